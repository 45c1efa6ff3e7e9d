/* SPDX-License-Identifier: MIT */
/*
 * Areas by IOVA: a tree with leaves of a few cache lines, which have the bounds
 * of their areas beside each other. A lookup in 10^6 areas misses the cache
 * about once, and reads no area. Up to 15 areas are one leaf.
 *
 * Readers hold a read section and are never made to wait; changes are
 * serialised by the caller. An area that was removed is out of readers' hands
 * after one via_epoch_synchronize().
 */
#ifndef VIA_IOMMU_INDEX_H
#define VIA_IOMMU_INDEX_H

#include "iommu/ioas.h"

struct via_index {
	uintptr_t root;	 /* atomic: published with release. A node, and the nodes above the leaves in the low bits */
	size_t n_areas;	 /* under the caller's lock, like n_leaves */
	size_t n_leaves;
};

void via_index_init(struct via_index *index);
/* No reader may be left; areas are the caller's. */
void via_index_deinit(struct via_index *index);

/* What a reader finds: all that a translation needs, and from the cache lines of the index alone. */
struct via_translation {
	struct via_ioas_area *area; /* NULL: nothing is there */
	via_iova_t first, last;	    /* the area's, like prot */
	unsigned int prot;
	uint8_t *host; /* of first; NULL: ask the area, it may have one */
};

/* For readers. */
struct via_translation via_index_translate(const struct via_index *index, via_iova_t iova);
struct via_ioas_area *via_index_lookup(const struct via_index *index, via_iova_t iova);
/* As it is on processors without AVX-512: for tests. */
struct via_translation via_index_translate_plain(const struct via_index *index, via_iova_t iova);

/* For the one who may change it: the first area that ends at or after iova. */
struct via_ioas_area *via_index_find(const struct via_index *index, via_iova_t iova);
/* Is there an area that touches [first, last]? Looks at no area. */
bool via_index_overlaps(const struct via_index *index, via_iova_t first, via_iova_t last);
/* The area must not overlap another. 0 or -ENOMEM, then nothing has changed. */
int via_index_insert(struct via_index *index, struct via_ioas_area *area);
/* Replace what is found at area->first, and has the same bounds, by area. */
void via_index_replace(struct via_index *index, struct via_ioas_area *area);
/*
 * Let readers have area->host from the index, which is to be told before it
 * becomes NULL: by hide(), which is nothing for an area that is not shown. In the
 * order of hide(), a new generation, a grace period nobody has the pointer any more.
 * The area is in the index, or has been replaced there. Both set area->shown.
 */
void via_index_show(struct via_index *index, struct via_ioas_area *area);
void via_index_hide(struct via_index *index, struct via_ioas_area *area);
/* Needs no memory. The area is in the index. */
void via_index_remove(struct via_index *index, const struct via_ioas_area *area);
/*
 * One area becomes two: low takes the slot of what is found at low->first, and
 * high follows it without a gap. Readers see the old one or both. 0 or -ENOMEM, then nothing has changed.
 */
int via_index_cut(struct via_index *index, struct via_ioas_area *low, struct via_ioas_area *high);
/*
 * For the one who may change it: the first range of at least min_len bytes in
 * [from, UINT64_MAX] that no area touches, made as long as possible to the right
 * (it starts at from if from lies in a hole). False: there is none. Holes that are
 * too small are skipped by the subtree. It may improve the index's idea of its
 * holes, which readers do not see.
 */
bool via_index_next_hole(const struct via_index *index, via_iova_t from, uint64_t min_len,
			 struct via_iova_range *ret_hole);
/* Give back what removals have left empty, if it is much. After removals; it costs a constant for each. */
void via_index_trim(struct via_index *index);

#endif
