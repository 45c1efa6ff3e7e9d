/* SPDX-License-Identifier: MIT */
/*
 * The memfd behind a memory BAR, and its revocation.
 *
 * Programs map the memfd. Truncating it to nothing makes every mapping of it,
 * in every process, fault with SIGBUS, which is what a disabled BAR does. The
 * library's own mapping must not: before the truncation its bytes move to
 * private memory at the same address, and afterwards they move back.
 *
 * A program holds the memfd too and may truncate it itself: such pages become
 * private zeros to us (memory/guard.h), until the next revocation mends them.
 */
#include "device/internal.h"

#include "base/log.h"
#include "memory/guard.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

bool via_bar_page_is_zero(const uint8_t *page)
{
	static const uint8_t zero[VIA_DEVICE_PAGE];

	return !memcmp(page, zero, VIA_DEVICE_PAGE);
}

static bool area_shared(const struct via_area *area)
{
	return area->kind != VIA_AREA_REGISTER;
}

int via_bar_mapping_init(struct via_bar *bar)
{
	bool shared = false;
	void *memory;

	if (bar->io || !bar->size || bar->unmappable)
		return 0;
	bar->map_size = (bar->size + VIA_DEVICE_PAGE - 1) & ~(uint64_t)(VIA_DEVICE_PAGE - 1);
	bar->memfd = memfd_create("viaduct-bar", MFD_CLOEXEC);
	if (bar->memfd < 0)
		return -errno;
	if (ftruncate(bar->memfd, (off_t)bar->map_size))
		return -errno;
	for (size_t i = 0; i < bar->n_areas; i++)
		shared |= area_shared(&bar->areas[i]);
	if (!shared)
		return 0;
	memory = mmap(NULL, bar->map_size, PROT_READ | PROT_WRITE, MAP_SHARED, bar->memfd, 0);
	if (memory == MAP_FAILED)
		return -errno;
	bar->memory = memory;
	return via_guard_range_add(memory, bar->map_size);
}

void via_bar_mapping_deinit(struct via_bar *bar)
{
	if (bar->memory) {
		via_guard_range_remove(bar->memory);
		munmap(bar->memory, bar->map_size);
	}
	if (bar->memfd >= 0)
		close(bar->memfd);
}

/* Moves the shared bytes to private memory at the same address. */
static int detach(struct via_bar *bar)
{
	uint8_t *copy = mmap(NULL, bar->map_size, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (copy == MAP_FAILED)
		return -errno;
	for (size_t i = 0; i < bar->n_areas; i++) {
		const struct via_area *area = &bar->areas[i];
		uint64_t end = area->offset + area->size;

		if (!area_shared(area))
			continue;
		/* Holes stay holes: a large area may be mostly untouched. */
		for (uint64_t at = area->offset; at < end;) {
			off_t data = lseek(bar->memfd, (off_t)at, SEEK_DATA);
			off_t hole;

			if (data < 0 || (uint64_t)data >= end)
				break;
			hole = lseek(bar->memfd, data, SEEK_HOLE);
			if (hole < 0 || (uint64_t)hole > end)
				hole = (off_t)end;
			memcpy(copy + data, bar->memory + data, (size_t)(hole - data));
			at = (uint64_t)hole;
		}
	}
	/* One step for every thread that reads through bar->memory meanwhile. */
	if (mremap(copy, bar->map_size, bar->map_size, MREMAP_MAYMOVE | MREMAP_FIXED,
		   bar->memory) == MAP_FAILED) {
		int ret = -errno;

		munmap(copy, bar->map_size);
		return ret;
	}
	return 0;
}

void via_bar_revoke(struct via_bar *bar)
{
	int ret;

	if (bar->memfd < 0 || bar->revoked)
		return;
	ret = bar->memory ? detach(bar) : 0;
	if (!ret && ftruncate(bar->memfd, 0))
		ret = -errno;
	if (ret)
		via_log(VIA_LOG_ERROR, "%s: BAR %u stays mapped while memory is disabled: %s",
			bar->dev->desc->name, bar->index, strerror(-ret));
	bar->revoked = true;
}

/* Copies the shared bytes into the grown file. */
static int write_back(struct via_bar *bar)
{
	for (size_t i = 0; i < bar->n_areas; i++) {
		const struct via_area *area = &bar->areas[i];

		if (!area_shared(area))
			continue;
		for (uint64_t at = area->offset; at < area->offset + area->size;
		     at += VIA_DEVICE_PAGE) {
			if (via_bar_page_is_zero(bar->memory + at))
				continue;
			if (pwrite(bar->memfd, bar->memory + at, VIA_DEVICE_PAGE, (off_t)at) !=
			    VIA_DEVICE_PAGE)
				return -ENOMEM;
		}
	}
	return 0;
}

void via_bar_restore(struct via_bar *bar)
{
	int ret = 0;

	if (bar->memfd < 0 || !bar->revoked)
		return;
	if (ftruncate(bar->memfd, (off_t)bar->map_size))
		ret = -errno;
	if (!ret && bar->memory)
		ret = write_back(bar);
	if (!ret && bar->memory &&
	    mmap(bar->memory, bar->map_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
		 bar->memfd, 0) == MAP_FAILED)
		ret = -errno;
	if (ret)
		via_log(VIA_LOG_ERROR, "%s: mappings of BAR %u cannot be restored: %s",
			bar->dev->desc->name, bar->index, strerror(-ret));
	bar->revoked = false;
}

void via_mappings_switch(struct via_device *dev, bool *what, bool on)
{
	bool mapped;

	pthread_rwlock_wrlock(&dev->memory_lock);
	__atomic_store_n(what, on, __ATOMIC_SEQ_CST);
	mapped = dev->memory_on && !dev->power.engaged;
	/* Importers let go before the pages do, and take hold after. */
	if (dev->mapped && !mapped)
		via_exports_revoke(dev);
	for (unsigned int i = 0; i < VIA_PCI_BARS; i++) {
		if (mapped)
			via_bar_restore(&dev->bars[i]);
		else
			via_bar_revoke(&dev->bars[i]);
	}
	if (mapped && !dev->mapped)
		via_exports_restore(dev);
	dev->mapped = mapped;
	pthread_rwlock_unlock(&dev->memory_lock);
	/* Write protection of mapped doorbells went with their pages. */
	if (mapped)
		for (unsigned int i = 0; i < VIA_PCI_BARS; i++)
			if (dev->bars[i].has_doorbells)
				via_device_doorbell_ring(dev, i);
}

int via_device_region_map(struct via_device *dev, unsigned int region,
			  struct via_region_map *ret_map)
{
	struct via_bar *bar;

	if (region >= VIA_PCI_BARS || dev->bars[region].memfd < 0)
		return -EINVAL;
	bar = &dev->bars[region];
	*ret_map = (struct via_region_map){
		.fd = bar->memfd,
		.size = bar->map_size,
		.areas = bar->areas,
		.n_areas = bar->n_areas,
	};
	return 0;
}

void *via_device_region_memory(struct via_device *dev, unsigned int bar, uint64_t offset)
{
	const struct via_bar *b;

	if (bar >= VIA_PCI_BARS)
		return NULL;
	b = &dev->bars[bar];
	for (size_t i = 0; i < b->n_areas; i++) {
		const struct via_area *area = &b->areas[i];

		if (offset >= area->offset && offset - area->offset < area->size)
			return area_shared(area) ? b->memory + offset : NULL;
	}
	return NULL;
}
