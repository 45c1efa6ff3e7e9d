/* SPDX-License-Identifier: MIT */
/* One range of a program's addresses at which lie BARs, and its memory beside them. */
#ifndef VIA_VFIO_MIXED_H
#define VIA_VFIO_MIXED_H

#include "device/export.h"
#include "iommu/pages.h"

struct via_mixed_part {
	uint64_t start, len; /* from the first page of the range; whole pages */
	struct via_region_export *export; /* one range. NULL: memory */
};

/*
 * Pages over [addr, addr + len) of mm, whose pages the n parts cover in order. Memory is pinned,
 * and owner charged, at once; all is reached by calls. While a device does not answer,
 * its part is an error of the bus. The exports are consumed, also on failure. 0; -EFAULT bad memory, or
 * a device that does not answer now; -ENOMEM.
 */
int via_mixed_pages(struct via_mm *mm, uint64_t addr, uint64_t len, bool writable,
		    const struct via_ledger_owner *owner, const struct via_mixed_part *parts,
		    size_t n, struct via_pages **ret_pages);

#endif
