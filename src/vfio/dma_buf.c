/* SPDX-License-Identifier: MIT */
/*
 * Feature DMA_BUF: slices of a BAR behind a descriptor, for another device's
 * DMA. A dma-buf is a kernel object that we cannot make: this is a file of our
 * own that answers as one, and only our own importers know it
 * (device/export.h). Sync files and lseek(2) it has not.
 */
#include "vfio/dma_buf.h"
#include "vfio/feature.h"
#include "vfio/profile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

/* The kernel's least surprising bound: what it can allocate in one piece. */
#define RANGES_MAX 262144u

/* Calls of a dma-buf, and their arguments. */
#define DMA_BUF_IOCTL_SYNC 0x40086200u
#define DMA_BUF_SET_NAME_A 0x40046201u
#define DMA_BUF_SET_NAME_B 0x40086201u
#define DMA_BUF_SYNC_RW 3u
#define DMA_BUF_SYNC_END 4u
#define DMA_BUF_NAME_LEN 32u

struct via_dma_buf_file {
	struct via_file file;
	struct via_region_export *export;
	uint32_t access; /* O_ACCMODE of open_flags */
	bool restores;	 /* a mapping of it works again once it is no longer revoked */
};

static struct via_dma_buf_file *dma_buf_of(struct via_file *file)
{
	return VIA_CONTAINER_OF(file, struct via_dma_buf_file, file);
}

/* There are no caches between a program and these pages. */
static long sync(struct via_caller *caller, uint64_t arg)
{
	uint64_t flags;
	int ret = via_copy_in(caller, &flags, arg, sizeof(flags));

	if (ret < 0)
		return ret;
	if (flags & ~(uint64_t)(DMA_BUF_SYNC_RW | DMA_BUF_SYNC_END) || !(flags & DMA_BUF_SYNC_RW))
		return -EINVAL;
	return 0;
}

static long dma_buf_ioctl(struct via_file *file, struct via_caller *caller, unsigned long cmd,
			  uint64_t arg)
{
	char name[DMA_BUF_NAME_LEN];

	switch (cmd) {
	case DMA_BUF_IOCTL_SYNC:
		return sync(caller, arg);
	case DMA_BUF_SET_NAME_A:
	case DMA_BUF_SET_NAME_B:
		/* For people who look into debugfs, which nobody can here. */
		return via_copy_in_string(caller, name, arg, sizeof(name));
	default:
		return -ENOTTY;
	}
}

static ssize_t dma_buf_pread(struct via_file *file, struct via_caller *caller, uint64_t addr,
			     size_t len, uint64_t offset)
{
	uint32_t access = dma_buf_of(file)->access;

	return access == O_RDONLY || access == O_RDWR ? -EINVAL : -EBADF;
}

static ssize_t dma_buf_pwrite(struct via_file *file, struct via_caller *caller, uint64_t addr,
			      size_t len, uint64_t offset)
{
	uint32_t access = dma_buf_of(file)->access;

	return access == O_WRONLY || access == O_RDWR ? -EINVAL : -EBADF;
}

static int dma_buf_mmap(struct via_file *file, struct via_caller *caller, uint64_t offset,
			uint64_t len, int prot, int flags, struct via_mmap *ret_map)
{
	uint32_t access = dma_buf_of(file)->access;

	return access == O_RDONLY || access == O_RDWR ? -EINVAL : -EACCES;
}

static void dma_buf_release(struct via_file *file)
{
	struct via_dma_buf_file *dma_buf = dma_buf_of(file);

	via_region_export_free(dma_buf->export);
	free(dma_buf);
}

static int dma_buf_pages(struct via_file *file, uint64_t start, uint64_t len, bool writable,
			 struct via_pages **ret_pages)
{
	return via_region_pages(file, start, len, dma_buf_of(file)->restores, ret_pages);
}

static const struct via_file_ops dma_buf_ops = {
	.kind = "dma-buf",
	.ioctl = dma_buf_ioctl,
	.pread = dma_buf_pread,
	.pwrite = dma_buf_pwrite,
	.mmap = dma_buf_mmap,
	.dma_pages = dma_buf_pages,
	.release = dma_buf_release,
};

struct via_region_export *via_dma_buf_export(struct via_file *file)
{
	return file->ops == &dma_buf_ops ? dma_buf_of(file)->export : NULL;
}

static long publish(struct via_caller *caller, struct via_region_export *export, uint32_t flags,
		    bool restores)
{
	struct via_dma_buf_file *dma_buf = calloc(1, sizeof(*dma_buf));
	long fd;

	if (!dma_buf) {
		via_region_export_free(export);
		return -ENOMEM;
	}
	dma_buf->file.ops = &dma_buf_ops;
	dma_buf->file.refs = 1;
	dma_buf->export = export;
	dma_buf->access = flags & O_ACCMODE;
	dma_buf->restores = restores;
	fd = caller->ops->file_put(caller, &dma_buf->file, flags & O_CLOEXEC);
	if (fd < 0)
		via_file_put(&dma_buf->file);
	return fd;
}

long via_run_dma_buf(struct via_device_file *df, struct via_caller *caller, uint32_t op,
			 uint64_t data, uint32_t len)
{
	struct via_vfio_device_feature_dma_buf get;
	struct via_region_export *export;
	struct via_region_range *ranges;
	struct via_region_info info;
	int ret;

	ret = via_copy_in(caller, &get, data, sizeof(get));
	if (ret < 0)
		return ret;
	if (!get.nr_ranges || get.flags)
		return -EINVAL;
	if (get.region_index >= VIA_REGION_ROM ||
	    via_device_region_info(df->placed->dev, get.region_index, &info) || !info.size)
		return -ENODEV;
	if (get.nr_ranges > RANGES_MAX)
		return -ENOMEM;
	ranges = calloc(get.nr_ranges, sizeof(*ranges));
	if (!ranges)
		return -ENOMEM;
	/* However many argsz says that there are. */
	_Static_assert(sizeof(*ranges) == sizeof(struct via_vfio_region_dma_range), "same layout");
	ret = via_copy_in(caller, ranges, data + sizeof(get), get.nr_ranges * sizeof(*ranges));
	if (!ret)
		ret = via_region_export_new(df->placed->dev, get.region_index, ranges,
					    get.nr_ranges, &export);
	free(ranges);
	return ret ? ret
		   : publish(caller, export, get.open_flags,
			     via_profile_full(df->vfio, VIA_DIFFERS_DMA_BUF_RESTORE));
}
