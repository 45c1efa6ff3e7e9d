/* SPDX-License-Identifier: MIT */
/* The dirty bitmaps of a type1 container, as they lie in the program's memory. */
#ifndef VIA_IOMMU_DIRTY_H
#define VIA_IOMMU_DIRTY_H

#include <viaduct/abi/vfio.h>
#include <viaduct/memory.h>

/* Most bytes of bitmap in one call. */
#define VIA_DIRTY_BITMAP_MAX 0x10000000u

/* Is it large enough, not too large, and a possible pointer, for size bytes of IOVA? 0 or -EINVAL. */
int via_dirty_bitmap_check(const struct via_vfio_bitmap *bitmap, uint64_t size);

/*
 * Report n pages as dirty, whose bits start at bit of the bitmap at data in
 * mm. Words of 64 bits are overwritten, but the first one, if it is shared
 * with what lies before, is added to. 0 or -EFAULT.
 */
int via_dirty_report_all(struct via_mm *mm, uint64_t data, uint64_t bit, uint64_t n);

#endif
