/* SPDX-License-Identifier: MIT */
/* Access to regions: what pread, pwrite and a trapped mapping do (pci-config.md 5, 6.4, 6.6). */
#include "device/internal.h"

#include "pci/msix.h"

#include <errno.h>

int via_device_region_info(struct via_device *dev, unsigned int region,
			   struct via_region_info *ret_info)
{
	struct via_region_info info = {0};

	if (region < VIA_PCI_BARS) {
		const struct via_bar *bar = &dev->bars[region];

		info.size = bar->size;
		info.readable = info.writable = bar->size;
		info.io = bar->io;
		info.mappable = bar->memfd >= 0;
		info.msix_table = info.mappable && dev->desc->msix.vectors &&
				  dev->desc->msix.table_bar == region;
	} else if (region == VIA_REGION_CONFIG) {
		info.size = via_config_size(dev->config);
		info.readable = info.writable = true;
	} else if (region == VIA_REGION_ROM) {
		info.size = dev->rom_size;
		info.readable = dev->rom_size;
	} else if (region == VIA_REGION_VGA && dev->vga.size) {
		info.size = dev->vga.size;
		info.readable = info.writable = true;
	} else {
		return -EINVAL;
	}
	*ret_info = info;
	return 0;
}

/*
 * Begin an access: with 0, memory_lock is held for reading. gate is what must
 * be on, dev->memory_on or dev->mapped, or NULL for what COMMAND does not gate.
 * A BAR that does not answer because of a reset under way makes the access
 * wait, not fail.
 */
static int enter(struct via_device *dev, const bool *gate)
{
	for (;;) {
		bool low_power;

		pthread_rwlock_rdlock(&dev->memory_lock);
		if (!gate || *gate)
			return 0;
		low_power = dev->memory_on;
		pthread_rwlock_unlock(&dev->memory_lock);
		/* Waits for the reset; when it should answer now the next one may have begun. */
		if (low_power || !via_config_memory(dev->config))
			return -EIO;
	}
}

static void leave(struct via_device *dev)
{
	pthread_rwlock_unlock(&dev->memory_lock);
}

/* A byte that nobody answers reads as ones, on a bus that is no error. */
static int bus_result(int ret)
{
	return ret == -ENXIO ? 0 : ret;
}

/* memory_lock is held. */
static int read_entered(struct via_bar *bar, uint64_t offset, unsigned int size,
			uint64_t *ret_value)
{
	uint64_t value = UINT64_MAX;
	int ret;

	via_count(&bar->dev->counters.bar_reads);
	ret = bus_result(via_bus_read_value(bar->bus, offset, size, &value));
	if (!ret)
		*ret_value = value;
	return ret;
}

static int write_entered(struct via_bar *bar, uint64_t offset, unsigned int size, uint64_t value)
{
	via_count(&bar->dev->counters.bar_writes);
	return bus_result(via_bus_write_value(bar->bus, offset, size, value));
}

static int bar_read_value(struct via_bar *bar, const bool *gate, uint64_t offset,
			  unsigned int size, uint64_t *ret_value)
{
	int ret = enter(bar->dev, gate);

	if (ret)
		return ret;
	ret = read_entered(bar, offset, size, ret_value);
	leave(bar->dev);
	return ret;
}

static int bar_write_value(struct via_bar *bar, const bool *gate, uint64_t offset,
			   unsigned int size, uint64_t value)
{
	int ret = enter(bar->dev, gate);

	if (ret)
		return ret;
	ret = write_entered(bar, offset, size, value);
	leave(bar->dev);
	return ret;
}

/* Widest naturally aligned access that fits; I/O space has no 8-byte accesses. */
static unsigned int chunk_width(const struct via_bar *bar, uint64_t offset, uint64_t len)
{
	unsigned int width = bar->io ? 4 : 8;

	while (width > 1 && (width > len || offset % width))
		width /= 2;
	return width;
}

/*
 * Bytes from offset on that are inside (ret_hidden) or before the MSI-X table,
 * which this path does not show.
 */
static uint64_t table_run(const struct via_bar *bar, uint64_t offset, uint64_t len,
			  bool *ret_hidden)
{
	const struct via_pci_msix *msix = &bar->dev->desc->msix;
	uint64_t start = msix->table_offset;
	uint64_t end = start + via_msix_table_size(msix->vectors);

	*ret_hidden = false;
	if (!msix->vectors || bar->dev->msix_emulated || msix->table_bar != bar->index ||
	    offset >= end)
		return len;
	*ret_hidden = offset >= start;
	end = *ret_hidden ? end : start;
	return end - offset < len ? end - offset : len;
}

static int bar_access(struct via_bar *bar, uint64_t offset, uint8_t *in, const uint8_t *out,
		      uint64_t len)
{
	const bool *gate = bar->io ? NULL : &bar->dev->memory_on;

	while (len) {
		bool hidden;
		uint64_t run = table_run(bar, offset, len, &hidden);
		uint64_t value = 0;
		int ret;

		if (hidden) {
			if (in)
				memset(in, 0xff, run);
		} else {
			run = chunk_width(bar, offset, run);
			if (in) {
				ret = bar_read_value(bar, gate, offset, (unsigned int)run, &value);
				value = via_le64_to_cpu((VIA_FORCE via_le64)value);
				memcpy(in, &value, run);
			} else {
				memcpy(&value, out, run);
				value = via_le64_to_cpu((VIA_FORCE via_le64)value);
				ret = bar_write_value(bar, gate, offset, (unsigned int)run, value);
			}
			if (ret)
				return ret;
		}
		offset += run;
		len -= run;
		if (in)
			in += run;
		else
			out += run;
	}
	return 0;
}

/* --- Expansion ROM and legacy VGA ------------------------------------------ */

static ssize_t rom_read(struct via_device *dev, uint64_t offset, uint8_t *in, size_t len)
{
	const struct via_pci_rom *rom = &dev->desc->rom;
	size_t held = 0;

	if (offset >= dev->rom_size)
		return -EINVAL;
	if (len > dev->rom_size - offset)
		len = dev->rom_size - offset;
	/* The kernel looks for the image anew each time, and does not find it (6.6). */
	if (enter(dev, &dev->memory_on))
		return -ENOMEM;
	if (offset < rom->len)
		held = len < rom->len - offset ? len : rom->len - offset;
	if (held)
		memcpy(in, rom->image + offset, held);
	memset(in + held, 0xff, len - held);
	leave(dev);
	return (ssize_t)len;
}

/* An access ends with the range that it begins in. */
static ssize_t vga_access(struct via_device *dev, uint64_t offset, uint8_t *in, const uint8_t *out,
			  size_t len)
{
	const struct via_vga_range *range = via_vga_range_at(dev, offset);
	int ret;

	if (!range)
		return -EINVAL;
	if (len > range->last - offset + 1)
		len = range->last - offset + 1;
	ret = bar_access(&dev->vga, offset, in, out, len);
	return ret ? ret : (ssize_t)len;
}

static ssize_t region_access(struct via_device *dev, unsigned int region, uint64_t offset,
			     uint8_t *in, const uint8_t *out, size_t len)
{
	struct via_bar *bar;
	int ret;

	if (region == VIA_REGION_ROM && in)
		return rom_read(dev, offset, in, len);
	if (region == VIA_REGION_VGA)
		return vga_access(dev, offset, in, out, len);
	if (region >= VIA_PCI_BARS)
		return -EINVAL;
	bar = &dev->bars[region];
	if (offset >= bar->size)
		return -EINVAL;
	if (len > bar->size - offset)
		len = bar->size - offset;
	ret = bar_access(bar, offset, in, out, len);
	return ret ? ret : (ssize_t)len;
}

ssize_t via_device_region_read(struct via_device *dev, unsigned int region, uint64_t offset,
			       void *buf, size_t len)
{
	if (!len)
		return 0;
	via_peers_settle(dev);
	if (region == VIA_REGION_CONFIG) {
		via_count(&dev->counters.config_reads);
		return via_config_read(dev->config, offset, buf, len);
	}
	return region_access(dev, region, offset, buf, NULL, len);
}

ssize_t via_device_region_write(struct via_device *dev, unsigned int region, uint64_t offset,
				const void *buf, size_t len)
{
	if (!len)
		return 0;
	via_peers_settle(dev);
	if (region == VIA_REGION_CONFIG) {
		ssize_t ret;

		via_count(&dev->counters.config_writes);
		ret = via_config_write(dev->config, offset, buf, len);
		/* It may have been a reset. */
		via_migration_settle(dev);
		return ret;
	}
	return region_access(dev, region, offset, NULL, buf, len);
}

static bool mapped_valid(const struct via_device *dev, unsigned int region, uint64_t offset,
			 unsigned int size)
{
	return region < VIA_PCI_BARS && dev->bars[region].memfd >= 0 &&
	       (size == 1 || size == 2 || size == 4 || size == 8) &&
	       offset < dev->bars[region].map_size && size <= dev->bars[region].map_size - offset;
}

int via_device_mapped_read(struct via_device *dev, unsigned int region, uint64_t offset,
			   unsigned int size, uint64_t *ret_value)
{
	if (!mapped_valid(dev, region, offset, size))
		return -EINVAL;
	via_ioeventfds_run(dev);
	via_peers_settle(dev);
	return bar_read_value(&dev->bars[region], &dev->mapped, offset, size, ret_value);
}

int via_device_mapped_write(struct via_device *dev, unsigned int region, uint64_t offset,
			    unsigned int size, uint64_t value)
{
	if (!mapped_valid(dev, region, offset, size))
		return -EINVAL;
	via_ioeventfds_run(dev);
	via_peers_settle(dev);
	return bar_write_value(&dev->bars[region], &dev->mapped, offset, size, value);
}

/* NULL: that is not in any. */
static struct via_bar *bar_at(struct via_device *dev, unsigned int region, uint64_t offset,
			      unsigned int size)
{
	struct via_bar *bar = NULL;

	if (region < VIA_PCI_BARS)
		bar = &dev->bars[region];
	else if (region == VIA_REGION_VGA)
		bar = &dev->vga;
	if (!bar || (size != 1 && size != 2 && size != 4 && size != 8) || offset >= bar->size ||
	    size > bar->size - offset)
		return NULL;
	return bar;
}

static int rom_value(struct via_device *dev, uint64_t offset, unsigned int size,
		     uint64_t *ret_value)
{
	uint8_t bytes[8];

	memset(bytes, 0xff, sizeof(bytes));
	if (size > sizeof(bytes))
		return -EINVAL;
	if (rom_read(dev, offset, bytes, size) < 0)
		return -EIO;
	*ret_value = via_get_le64(bytes);
	return 0;
}

int via_device_bar_read(struct via_device *dev, unsigned int region, uint64_t offset,
			unsigned int size, uint64_t *ret_value)
{
	struct via_bar *bar;

	if (region == VIA_REGION_ROM)
		return rom_value(dev, offset, size, ret_value);
	bar = bar_at(dev, region, offset, size);
	if (!bar)
		return -EINVAL;
	via_peers_settle(dev);
	return bar_read_value(bar, bar->io ? NULL : &dev->memory_on, offset, size, ret_value);
}

int via_device_bar_write(struct via_device *dev, unsigned int region, uint64_t offset,
			 unsigned int size, uint64_t value)
{
	struct via_bar *bar;

	bar = bar_at(dev, region, offset, size);
	if (!bar)
		return -EINVAL;
	via_peers_settle(dev);
	return bar_write_value(bar, bar->io ? NULL : &dev->memory_on, offset, size, value);
}

/* One naturally aligned access. */
static int peer_value(struct via_bar *bar, uint64_t offset, unsigned int size, uint8_t *buf,
		      bool write)
{
	struct via_device *dev = bar->dev;
	uint64_t value = 0;
	int ret = -EIO;

	if (write) {
		memcpy(&value, buf, size);
		value = via_le64_to_cpu((VIA_FORCE via_le64)value);
	}
	pthread_rwlock_rdlock(&dev->memory_lock);
	if (dev->mapped)
		ret = write ? write_entered(bar, offset, size, value) :
			      read_entered(bar, offset, size, &value);
	leave(dev);
	if (!ret && !write) {
		value = (VIA_FORCE uint64_t)via_cpu_to_le64(value);
		memcpy(buf, &value, size);
	}
	return ret;
}

int via_device_peer_access(struct via_device *dev, unsigned int region, uint64_t offset,
			   uint8_t *buf, size_t len, bool write)
{
	struct via_bar *bar = &dev->bars[region];

	while (len) {
		unsigned int size = chunk_width(bar, offset, len);
		int ret = peer_value(bar, offset, size, buf, write);

		if (ret)
			return ret;
		offset += size;
		buf += size;
		len -= size;
	}
	return 0;
}

size_t via_device_config_size(const struct via_device *dev)
{
	return via_config_size(dev->config);
}
