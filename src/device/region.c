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
	} else if (region != VIA_REGION_ROM) {
		/* No function of ours is VGA compatible. */
		return -EINVAL;
	}
	*ret_info = info;
	return 0;
}

/*
 * Enter a BAR: with 0, memory_lock is held for reading. A BAR that does not
 * answer because of a reset under way makes the access wait, not fail.
 */
static int bar_enter(struct via_bar *bar)
{
	struct via_device *dev = bar->dev;

	pthread_rwlock_rdlock(&dev->memory_lock);
	if (bar->io || dev->memory_on)
		return 0;
	pthread_rwlock_unlock(&dev->memory_lock);

	/* Reading config space waits for the transaction that holds its lock. */
	uint16_t command;
	via_config_read(dev->config, 4, &command, sizeof(command));
	pthread_rwlock_rdlock(&dev->memory_lock);
	if (dev->memory_on)
		return 0;
	pthread_rwlock_unlock(&dev->memory_lock);
	return -EIO;
}

static void bar_leave(struct via_bar *bar)
{
	pthread_rwlock_unlock(&bar->dev->memory_lock);
}

/* A byte that nobody answers reads as ones, on a bus that is no error. */
static int bus_result(int ret)
{
	return ret == -ENXIO ? 0 : ret;
}

static int bar_read_value(struct via_bar *bar, uint64_t offset, unsigned int size,
			  uint64_t *ret_value)
{
	uint64_t value = UINT64_MAX;
	int ret = bar_enter(bar);

	if (ret)
		return ret;
	via_count(&bar->dev->counters.bar_reads);
	ret = bus_result(via_bus_read_value(bar->bus, offset, size, &value));
	bar_leave(bar);
	if (!ret)
		*ret_value = value;
	return ret;
}

static int bar_write_value(struct via_bar *bar, uint64_t offset, unsigned int size, uint64_t value)
{
	int ret = bar_enter(bar);

	if (ret)
		return ret;
	via_count(&bar->dev->counters.bar_writes);
	ret = bus_result(via_bus_write_value(bar->bus, offset, size, value));
	bar_leave(bar);
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
	if (!msix->vectors || msix->table_bar != bar->index || offset >= end)
		return len;
	*ret_hidden = offset >= start;
	end = *ret_hidden ? end : start;
	return end - offset < len ? end - offset : len;
}

static int bar_access(struct via_bar *bar, uint64_t offset, uint8_t *in, const uint8_t *out,
		      uint64_t len)
{
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
				ret = bar_read_value(bar, offset, (unsigned int)run, &value);
				value = via_le64_to_cpu((VIA_FORCE via_le64)value);
				memcpy(in, &value, run);
			} else {
				memcpy(&value, out, run);
				value = via_le64_to_cpu((VIA_FORCE via_le64)value);
				ret = bar_write_value(bar, offset, (unsigned int)run, value);
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

static ssize_t region_access(struct via_device *dev, unsigned int region, uint64_t offset,
			     uint8_t *in, const uint8_t *out, size_t len)
{
	struct via_bar *bar;
	int ret;

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
	if (region == VIA_REGION_CONFIG) {
		via_count(&dev->counters.config_writes);
		return via_config_write(dev->config, offset, buf, len);
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
	return bar_read_value(&dev->bars[region], offset, size, ret_value);
}

int via_device_mapped_write(struct via_device *dev, unsigned int region, uint64_t offset,
			    unsigned int size, uint64_t value)
{
	if (!mapped_valid(dev, region, offset, size))
		return -EINVAL;
	return bar_write_value(&dev->bars[region], offset, size, value);
}

size_t via_device_config_size(const struct via_device *dev)
{
	return via_config_size(dev->config);
}
