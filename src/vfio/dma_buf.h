/* SPDX-License-Identifier: MIT */
/* For importers: what is behind a dma-buf descriptor. */
#ifndef VIA_VFIO_DMA_BUF_H
#define VIA_VFIO_DMA_BUF_H

#include "device/export.h"
#include "vfio/file.h"

/* Of a file that via_caller_ops.file_get() gave; lives as long as the file. NULL: no dma-buf. */
struct via_region_export *via_dma_buf_export(struct via_file *file);

#endif
