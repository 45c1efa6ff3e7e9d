/* SPDX-License-Identifier: MIT */
/*
 * The sPAPR TCE IOMMU of a VFIO container, v1 and v2: up to two windows of
 * translation entries, which are set and cleared by ranges (spec iommu.md 7). The
 * caller of these functions does argsz and EFAULT, via_spapr_mine() comes before
 * it; every other check, and its order, is here.
 *
 * Any thread; calls on one container are serialised by its own lock. None of these
 * may be called from inside a read section (base/epoch.h) or a device callback.
 */
#ifndef VIA_IOMMU_SPAPR_H
#define VIA_IOMMU_SPAPR_H

#include <viaduct/abi/vfio.h>
#include <viaduct/iommu.h>

/* The platform. */
struct via_spapr_props {
	uint32_t tce32_start, tce32_size; /* the default window; bytes */
	uint64_t pgsizes;		  /* bit n: windows with pages of 2^n bytes */
	uint32_t max_windows;		  /* 1 or 2; 0: no dynamic windows at all (v2 is refused) */
	uint32_t max_levels;
	uint64_t tce64_start; /* where the second window begins */
};

/* PowerNV: 2 GiB at 0, 4 KiB, 64 KiB and 16 MiB pages, two windows of up to five levels. */
const struct via_spapr_props *via_spapr_props_powernv(void);

struct via_spapr;

/*
 * version: VIA_VFIO_SPAPR_TCE_IOMMU or VIA_VFIO_SPAPR_TCE_v2_IOMMU. enforce_memlock as via_type1_new().
 * exact: with Linux's slips (spec iommu.md 12: 1). props is kept. 0, -EINVAL, -ENOMEM.
 */
int via_spapr_new(const struct via_spapr_props *props, unsigned int version, bool enforce_memlock,
		  bool exact, struct via_spapr **ret_spapr);
void via_spapr_free(struct via_spapr *spapr); /* NULL allowed */

/* Where the container's devices attach: borrowed, lives as long as spapr. */
struct via_ioas *via_spapr_ioas(struct via_spapr *spapr);

int via_spapr_check_extension(const struct via_spapr *spapr, uint64_t extension);

/* The container belongs to the program that has used it first: -EPERM for another one, else 0. */
int via_spapr_mine(struct via_spapr *spapr, const struct via_mm *mm);
/* MAP_DMA and UNMAP_DMA, before their argument is looked at: -EPERM not enabled. */
int via_spapr_enabled(struct via_spapr *spapr);

void via_spapr_info(const struct via_spapr *spapr, struct via_vfio_iommu_spapr_tce_info *info);

/* -ENOTTY for the other version. */
int via_spapr_enable(struct via_spapr *spapr, struct via_mm *mm);
int via_spapr_disable(struct via_spapr *spapr);
bool via_spapr_is_v2(const struct via_spapr *spapr);
/* v2; argsz is not looked at. */
int via_spapr_register(struct via_spapr *spapr, struct via_mm *mm,
		       const struct via_vfio_iommu_spapr_register_memory *reg);
int via_spapr_unregister(struct via_spapr *spapr,
			 const struct via_vfio_iommu_spapr_register_memory *reg);
int via_spapr_create(struct via_spapr *spapr, struct via_mm *mm,
		     struct via_vfio_iommu_spapr_tce_create *create);
int via_spapr_remove(struct via_spapr *spapr, struct via_mm *mm,
		     const struct via_vfio_iommu_spapr_tce_remove *remove);

/* 0 or an errno, or 1: exact, and the range is not the window's. */
int via_spapr_map(struct via_spapr *spapr, struct via_mm *mm,
		  const struct via_vfio_iommu_type1_dma_map *map);
int via_spapr_unmap(struct via_spapr *spapr, const struct via_vfio_iommu_type1_dma_unmap *unmap);

#endif
