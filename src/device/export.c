/* SPDX-License-Identifier: MIT */
/* Slices of BARs for other devices' DMA: who has them, and when they may not. */
#include "device/export.h"
#include "device/internal.h"

#include <errno.h>
#include <stdlib.h>

/* What one device may have; a program's open files are bounded too. */
#define EXPORTS_MAX 1024u
#define RANGES_MAX 262144u

struct via_region_export {
	/* Constant. */
	struct via_device *dev; /* held */
	struct via_bar *bar;
	uint64_t size;
	size_t n_ranges;

	struct via_region_export *next;	       /* memory_lock */
	struct via_region_importer *importers; /* memory_lock */
	bool closed; /* atomic; written with memory_lock held: the device was closed since */
	struct via_region_range ranges[];      /* constant */
};

static int check_lengths(const struct via_region_range *ranges, size_t n, uint64_t *ret_size)
{
	uint64_t size = 0;

	for (size_t i = 0; i < n; i++) {
		if (!ranges[i].length || (ranges[i].offset | ranges[i].length) % VIA_DEVICE_PAGE ||
		    __builtin_add_overflow(size, ranges[i].length, &size))
			return -EINVAL;
	}
	/* The kernel has a use of its own for this bit. */
	if (!n || size >> 63)
		return -EINVAL;
	*ret_size = size;
	return 0;
}

static int check_places(const struct via_bar *bar, const struct via_region_range *ranges, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint64_t end;

		if (__builtin_add_overflow(ranges[i].offset, ranges[i].length, &end))
			return -EOVERFLOW;
		if (end > bar->size)
			return -EINVAL;
	}
	return 0;
}

static int publish(struct via_region_export *export)
{
	struct via_device *dev = export->dev;
	int ret = 0;

	pthread_rwlock_wrlock(&dev->memory_lock);
	if (dev->n_exports >= EXPORTS_MAX || dev->n_export_ranges + export->n_ranges > RANGES_MAX) {
		ret = -ENOMEM;
	} else {
		export->next = dev->exports;
		dev->exports = export;
		dev->n_exports++;
		dev->n_export_ranges += (unsigned int)export->n_ranges;
	}
	pthread_rwlock_unlock(&dev->memory_lock);
	return ret;
}

int via_region_export_new(struct via_device *dev, unsigned int region,
			  const struct via_region_range *ranges, size_t n_ranges,
			  struct via_region_export **ret_export)
{
	struct via_region_export *export;
	struct via_bar *bar;
	uint64_t size;
	int ret;

	if (region >= VIA_PCI_BARS || !dev->bars[region].size)
		return -ENODEV;
	bar = &dev->bars[region];
	ret = check_lengths(ranges, n_ranges, &size);
	if (!ret && bar->io)
		ret = -EINVAL;
	if (!ret)
		ret = check_places(bar, ranges, n_ranges);
	if (ret)
		return ret;
	if (n_ranges > RANGES_MAX)
		return -ENOMEM;
	export = malloc(sizeof(*export) + n_ranges * sizeof(*ranges));
	if (!export)
		return -ENOMEM;
	*export = (struct via_region_export){
		.dev = dev, .bar = bar, .size = size, .n_ranges = n_ranges};
	memcpy(export->ranges, ranges, n_ranges * sizeof(*ranges));
	ret = publish(export);
	if (ret) {
		free(export);
		return ret;
	}
	via_device_hold(dev);
	*ret_export = export;
	return 0;
}

void via_region_export_free(struct via_region_export *export)
{
	struct via_region_export **at;
	struct via_device *dev;

	if (!export)
		return;
	dev = export->dev;
	pthread_rwlock_wrlock(&dev->memory_lock);
	for (at = &dev->exports; *at != export;)
		at = &(*at)->next;
	*at = export->next;
	dev->n_exports--;
	dev->n_export_ranges -= (unsigned int)export->n_ranges;
	pthread_rwlock_unlock(&dev->memory_lock);
	free(export);
	via_device_let_go(dev);
}

/* Is all of the range bytes in shared memory? */
static bool is_memory(const struct via_bar *bar, const struct via_region_range *range)
{
	uint64_t end = range->offset + range->length;

	if (!bar->memory)
		return false;
	for (size_t i = 0; i < bar->n_areas; i++) {
		const struct via_area *area = &bar->areas[i];

		if (area->kind == VIA_AREA_REGISTER && area->offset < end &&
		    area->offset + area->size > range->offset)
			return false;
	}
	return true;
}

int via_region_export_attach(struct via_region_export *export, struct via_region_importer *importer)
{
	struct via_device *dev = export->dev;
	bool calls = false;
	int ret = 0;

	pthread_rwlock_wrlock(&dev->memory_lock);
	if (export->closed || !dev->mapped)
		ret = -ENODEV;
	for (size_t i = 0; !ret && i < export->n_ranges; i++) {
		calls |= !is_memory(export->bar, &export->ranges[i]);
		if (calls && !importer->by_calls && !importer->registers)
			ret = -EOPNOTSUPP;
	}
	if (!ret && (calls || importer->by_calls))
		ret = via_peers_expect(dev);
	if (!ret) {
		importer->next = export->importers;
		export->importers = importer;
	}
	pthread_rwlock_unlock(&dev->memory_lock);
	return ret;
}

void via_region_export_detach(struct via_region_export *export,
			      struct via_region_importer *importer)
{
	struct via_region_importer **at;

	pthread_rwlock_wrlock(&export->dev->memory_lock);
	for (at = &export->importers; *at != importer;)
		at = &(*at)->next;
	*at = importer->next;
	pthread_rwlock_unlock(&export->dev->memory_lock);
}

uint64_t via_region_export_size(const struct via_region_export *export)
{
	return export->size;
}

size_t via_region_export_count(const struct via_region_export *export)
{
	return export->n_ranges;
}

void via_region_export_slice(const struct via_region_export *export, size_t i,
			     struct via_region_slice *ret_slice)
{
	const struct via_region_range *range = &export->ranges[i];

	*ret_slice = (struct via_region_slice){
		.fd = export->bar->memfd,
		.offset = range->offset,
		.memory = export->bar->memory ? export->bar->memory + range->offset : NULL,
		.len = range->length,
	};
}

uint8_t *via_region_export_memory(const struct via_region_export *export, size_t i,
				  uint64_t offset, uint64_t *ret_len)
{
	const struct via_region_range *range = &export->ranges[i];
	const struct via_bar *bar = export->bar;
	uint64_t at = range->offset + offset, end = range->offset + range->length;

	/* The areas cover the BAR's pages, and an export is of whole ones. */
	for (size_t n = 0; n < bar->n_areas; n++) {
		const struct via_area *area = &bar->areas[n];

		if (at - area->offset >= area->size)
			continue;
		if (end > area->offset + area->size)
			end = area->offset + area->size;
		*ret_len = end - at;
		return area->kind == VIA_AREA_REGISTER || !bar->memory ? NULL : bar->memory + at;
	}
	*ret_len = end - at;
	return NULL;
}

int via_region_export_access(struct via_region_export *export, size_t i, uint64_t offset,
			     void *buf, size_t len, bool write)
{
	/* Set before the queue is closed, which is before the device can be opened again. */
	if (__atomic_load_n(&export->closed, __ATOMIC_ACQUIRE))
		return -EFAULT;
	return via_peers_access(export->dev, export->bar->index, export->ranges[i].offset + offset,
				buf, len, write);
}

void via_region_export_written(struct via_region_export *export)
{
	if (export->bar->has_doorbells)
		via_device_doorbell_ring(export->dev, export->bar->index);
}

void via_exports_revoke(struct via_device *dev)
{
	/* First: an importer waits for readers of pages, one of which may wait for the registers. */
	via_peers_answer(dev, false);
	for (struct via_region_export *e = dev->exports; e; e = e->next)
		for (struct via_region_importer *i = e->importers; i && !e->closed; i = i->next)
			i->revoke(i);
}

void via_exports_restore(struct via_device *dev)
{
	for (struct via_region_export *e = dev->exports; e; e = e->next)
		for (struct via_region_importer *i = e->importers; i && !e->closed; i = i->next)
			i->restore(i);
	via_peers_answer(dev, true);
}

void via_exports_close(struct via_device *dev)
{
	pthread_rwlock_wrlock(&dev->memory_lock);
	if (dev->mapped)
		via_exports_revoke(dev);
	for (struct via_region_export *e = dev->exports; e; e = e->next)
		__atomic_store_n(&e->closed, true, __ATOMIC_RELEASE);
	pthread_rwlock_unlock(&dev->memory_lock);
}
