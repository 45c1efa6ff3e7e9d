/* SPDX-License-Identifier: MIT */
/*
 * A device's dma-buf as DMA memory of an IOAS: the pages follow the export, which
 * is revoked while the device does not answer (spec iommu.md 2.11).
 */
#include "base/util.h"
#include "vfio/dma_buf.h"
#include "vfio/iommufd/iommufd.h"

#include <errno.h>
#include <stdlib.h>

struct region_source {
	struct via_region_importer importer;
	struct via_file *file; /* a reference; keeps export. NULL: export is ours */
	struct via_region_export *export;
	pthread_mutex_t lock; /* below the device's memory lock, above that of pages */
	struct via_pages *pages; /* lock; borrowed: they own this. NULL: not made yet */
	bool revoked;		 /* lock */
};

static void revoke(struct via_region_importer *importer)
{
	struct region_source *source = VIA_CONTAINER_OF(importer, struct region_source, importer);

	pthread_mutex_lock(&source->lock);
	source->revoked = true;
	if (source->pages)
		via_pages_revoke(source->pages);
	pthread_mutex_unlock(&source->lock);
}

static void restore(struct via_region_importer *importer)
{
	struct region_source *source = VIA_CONTAINER_OF(importer, struct region_source, importer);

	pthread_mutex_lock(&source->lock);
	source->revoked = false;
	if (source->pages)
		via_pages_restore(source->pages);
	pthread_mutex_unlock(&source->lock);
}

static uint8_t *region_memory(void *cookie, uint64_t offset, uint64_t *ret_len)
{
	const struct region_source *source = cookie;

	return via_region_export_memory(source->export, 0, offset, ret_len);
}

static int region_access(void *cookie, uint64_t offset, void *buf, size_t len, bool write)
{
	const struct region_source *source = cookie;

	return via_region_export_access(source->export, 0, offset, buf, len, write);
}

static void region_written(void *cookie)
{
	const struct region_source *source = cookie;

	via_region_export_written(source->export);
}

/* Nobody holds a lock: the last importer may be the last user of the device. */
static void region_release(void *cookie)
{
	struct region_source *source = cookie;

	via_region_export_detach(source->export, &source->importer);
	pthread_mutex_destroy(&source->lock);
	if (source->file)
		via_file_put(source->file);
	else
		via_region_export_free(source->export);
	free(source);
}

static const struct via_pages_region_ops region_ops = {
	.memory = region_memory,
	.access = region_access,
	.written = region_written,
	.release = region_release,
};

static int source_new(struct via_region_export *export, struct region_source **ret_source)
{
	struct region_source *source = calloc(1, sizeof(*source));
	int ret;

	if (!source)
		return -ENOMEM;
	source->importer.revoke = revoke;
	source->importer.restore = restore;
	source->importer.registers = true;
	source->export = export;
	pthread_mutex_init(&source->lock, NULL);
	ret = via_region_export_attach(source->export, &source->importer);
	if (ret < 0) {
		pthread_mutex_destroy(&source->lock);
		free(source);
		return ret;
	}
	*ret_source = source;
	return 0;
}

static int check(const struct via_region_export *export, uint64_t start, uint64_t length)
{
	uint64_t last;

	if (!via_range_last(start, length, &last) || via_region_export_size(export) <= last ||
	    length / VIA_PAGES_SIZE >= UINT32_MAX)
		return -EINVAL;
	return via_region_export_count(export) == 1 ? 0 : -EOPNOTSUPP;
}

/* source is the pages' from here on. */
static int make_pages(struct region_source *source, uint64_t start, uint64_t length, bool restores,
		      struct via_pages **ret_pages)
{
	struct via_pages *pages;
	int ret;

	ret = via_pages_new_region(&region_ops, source, start, length, restores, &pages);
	if (ret < 0)
		return ret;
	/* It may have been revoked since it was attached. */
	pthread_mutex_lock(&source->lock);
	source->pages = pages;
	if (source->revoked)
		via_pages_revoke(pages);
	pthread_mutex_unlock(&source->lock);
	*ret_pages = pages;
	return 0;
}

int via_region_pages(struct via_file *file, uint64_t start, uint64_t length, bool restores,
		     struct via_pages **ret_pages)
{
	struct region_source *source;
	int ret;

	ret = check(via_dma_buf_export(file), start, length);
	if (!ret)
		ret = source_new(via_dma_buf_export(file), &source);
	if (ret < 0)
		return ret;
	source->file = via_file_get(file);
	return make_pages(source, start, length, restores, ret_pages);
}

int via_export_pages(struct via_region_export *export, uint64_t start, uint64_t length,
		     bool restores, struct via_pages **ret_pages)
{
	struct region_source *source;
	int ret;

	ret = check(export, start, length);
	if (!ret)
		ret = source_new(export, &source);
	if (ret < 0) {
		via_region_export_free(export);
		return ret;
	}
	return make_pages(source, start, length, restores, ret_pages);
}
