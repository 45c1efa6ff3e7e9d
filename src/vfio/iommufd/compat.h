/* SPDX-License-Identifier: MIT */
/*
 * An iommufd that is used as a VFIO container. Profile linux answers as a kernel's
 * iommufd does (compat_exact.c), profile full as type1 (compat_full.c): each is a
 * set of the four ioctls, called with one user more of the compat IOAS.
 */
#ifndef VIA_VFIO_IOMMUFD_COMPAT_H
#define VIA_VFIO_IOMMUFD_COMPAT_H

#include "vfio/iommufd/commands.h"

#include <viaduct/abi/vfio.h>

struct via_compat_call {
	struct via_iommufd *iommufd;
	struct via_caller *caller;
	struct via_iommufd_ioas *ioas;
	uint64_t arg;
};

/* Of all paging domains of ioas. */
uint64_t via_compat_pgsizes(struct via_iommufd_ioas *ioas);
bool via_compat_coherent(struct via_iommufd_ioas *ioas);
/* The IOVA_RANGE capability, the caller's to free. 0 or -ENOMEM. */
int via_compat_ranges(struct via_iommufd_ioas *ioas,
		      struct via_vfio_iommu_type1_info_cap_iova_range **ret_cap, size_t *ret_len);

/* compat_exact.c */
long via_compat_exact_info(const struct via_compat_call *call);
long via_compat_exact_map(const struct via_compat_call *call);
long via_compat_exact_unmap(const struct via_compat_call *call);

/* compat_full.c */
long via_compat_full_info(const struct via_compat_call *call);
long via_compat_full_map(const struct via_compat_call *call);
long via_compat_full_unmap(const struct via_compat_call *call);
long via_compat_full_dirty(const struct via_compat_call *call);

/* compat_vaddr.c */

/* Are mappings charged to the address space, whatever the context's mode is? */
bool via_compat_mm_accounting(const struct via_compat_call *call);
/* UNMAP_DMA with VADDR: all mappings that start in [first, last], or none: -EINVAL. */
int via_compat_suspend(struct via_iommufd_ioas *ioas, via_iova_t first, via_iova_t last,
		       uint64_t *ret_size);
/* MAP_DMA with VADDR; the arguments are checked. -ENOENT, -EINVAL, -ENOMEM. */
int via_compat_resume(const struct via_compat_call *call,
		      const struct via_vfio_iommu_type1_dma_map *map);

/* compat_dirty.c -------------------------------------------------------------- */

/* START: every device that is attached to ioas, now or later, tells what it writes. 0 or -ENOMEM. */
int via_compat_dirty_start(struct via_iommufd_ioas *ioas);
void via_compat_dirty_stop(struct via_iommufd_ioas *ioas);
bool via_compat_dirty_on(struct via_iommufd_ioas *ioas);
/*
 * Write the bits of [first, last] (multiples of a page) to bitmap in the program and
 * take them out; words in which no page of ranges lies are left alone. The
 * buffer is tried before anything is taken out. 0, -EFAULT, -ENOMEM.
 */
int via_compat_dirty_report(const struct via_compat_call *call, via_iova_t first, via_iova_t last,
			    const struct via_iova_range *ranges, size_t n_ranges,
			    const struct via_vfio_bitmap *bitmap);
/*
 * Unmap what starts in [first, last], and none may be cut; the last writes to it are kept
 * for a report. Bytes removed.
 */
uint64_t via_compat_dirty_unmap(struct via_iommufd_ioas *ioas, via_iova_t first, via_iova_t last);
/* What was kept of [first, last] is of no interest any more: it is unmapped. */
void via_compat_dirty_forget(struct via_iommufd_ioas *ioas, via_iova_t first, via_iova_t last);

#endif
