/* SPDX-License-Identifier: MIT */
/* For importers: what is behind a dma-buf descriptor. */
#ifndef VIA_VFIO_DMA_BUF_H
#define VIA_VFIO_DMA_BUF_H

#include "device/export.h"
#include "iommu/pages.h"
#include "vfio/file.h"

/* Of a file that via_caller_ops.file_get() gave; lives as long as the file. NULL: no dma-buf of a device. */
struct via_region_export *via_dma_buf_export(struct via_file *file);

/*
 * iommufd/region.c: pages over [start, start + length) of a device's dma-buf; they keep a
 * reference to file. restores: as via_pages_new_region(). -EINVAL, -EOPNOTSUPP more than
 * one range; -ENODEV revoked; -ENOMEM.
 */
int via_region_pages(struct via_file *file, uint64_t start, uint64_t length, bool restores,
		     struct via_pages **ret_pages);
/* The same of an export, which is consumed, also on failure. */
int via_export_pages(struct via_region_export *export, uint64_t start, uint64_t length,
		     bool restores, struct via_pages **ret_pages);

#endif
