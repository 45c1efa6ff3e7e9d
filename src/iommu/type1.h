/* SPDX-License-Identifier: MIT */
/*
 * The type1 IOMMU of a VFIO container, v1 and v2: what VFIO_IOMMU_MAP_DMA and
 * its relatives mean, once their arguments are copied in. The caller of these
 * functions does argsz and EFAULT; every other check, and its order, is here.
 *
 * Any thread; calls on one container are serialised by its own lock. UNMAP
 * waits for running accesses and leases, so none of these may be called from
 * inside a read section (base/epoch.h) or a device callback.
 */
#ifndef VIA_IOMMU_TYPE1_H
#define VIA_IOMMU_TYPE1_H

#include <viaduct/abi/vfio.h>
#include <viaduct/iommu.h>

struct via_type1;

/*
 * A container that has just got its IOMMU. version: VIA_VFIO_TYPE1_IOMMU or
 * VIA_VFIO_TYPE1v2_IOMMU; anything else is -EINVAL, as SET_IOMMU answers for
 * an extension that is no type. enforce_memlock: refuse what exceeds
 * RLIMIT_MEMLOCK; else say once what a kernel would have refused. props is kept.
 * 0, -EINVAL or -ENOMEM.
 */
int via_type1_new(const struct via_iommu_props *props, unsigned int version, bool enforce_memlock,
		  struct via_type1 **ret_type1);
/* Mappings that it may have, instead of what props say. Before the first. */
void via_type1_set_entry_limit(struct via_type1 *type1, uint32_t limit);
/* Drops every mapping and its charge. Devices keep the IOAS alive, empty. Accepts NULL. */
void via_type1_free(struct via_type1 *type1);

/* Where the container's devices attach: borrowed, lives as long as type1. */
struct via_ioas *via_type1_ioas(struct via_type1 *type1);

/* CHECK_EXTENSION: the answer with no IOMMU set (type1 NULL) or with this one; 0 or 1. */
int via_type1_check_extension(const struct via_type1 *type1, uint64_t extension);

/* Bit map for iova_pgsizes of GET_INFO. */
uint64_t via_type1_pgsizes(const struct via_type1 *type1);

/*
 * The capability chain of GET_INFO as it follows the 24-byte structure
 * (offsets count from the structure's start). Writes it to buf if len
 * suffices. Return the bytes that it needs.
 */
size_t via_type1_info_caps(struct via_type1 *type1, void *buf, size_t len);

/* MAP_DMA for the program mm. 0 or negative errno. map->argsz is not looked at. */
int via_type1_map(struct via_type1 *type1, struct via_mm *mm,
		  const struct via_vfio_iommu_type1_dma_map *map);

/* The same where vaddr is not memory of mm but region, pages of another device's (NULL: it is memory). */
struct via_pages;
int via_type1_map_region(struct via_type1 *type1, struct via_mm *mm,
			 const struct via_vfio_iommu_type1_dma_map *map, struct via_pages *region);

/*
 * UNMAP_DMA. First check the flags: -EINVAL comes before the bitmap is copied
 * in, which is needed only with GET_DIRTY_BITMAP (else NULL). The bits are
 * written to bitmap->data in mm. *ret_size: bytes removed, to be written back
 * as size on success.
 */
int via_type1_unmap_flags(uint32_t flags);
int via_type1_unmap(struct via_type1 *type1, struct via_mm *mm,
		    const struct via_vfio_iommu_type1_dma_unmap *unmap,
		    const struct via_vfio_bitmap *bitmap, uint64_t *ret_size);

/*
 * DIRTY_PAGES. Check in this order: via_type1_dirty_allowed() before the
 * argument is read (-EACCES for v1); flags once argsz and flags are copied
 * in; then the call, with get only for GET_BITMAP (else NULL).
 */
int via_type1_dirty_allowed(const struct via_type1 *type1);
int via_type1_dirty_flags(uint32_t flags);
int via_type1_dirty(struct via_type1 *type1, struct via_mm *mm, uint32_t flags,
		    const struct via_vfio_iommu_type1_dirty_bitmap_get *get);

/* May a group join now? -EBUSY while an address is suspended (UNMAP_DMA with VADDR), else 0. */
int via_type1_attach_allowed(struct via_type1 *type1);

#endif
