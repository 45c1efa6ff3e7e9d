/* SPDX-License-Identifier: MIT */
/*
 * Areas by IOVA: sorted chunks, and a sorted array of the chunks' lowest
 * keys. Readers hold a read section; changes are serialised by the caller.
 *
 * A slot whose area is NULL is empty. No empty slot's key lies inside a live
 * area (but for its first byte), hence the slot with the greatest key <= iova
 * decides alone.
 */
#ifndef VIA_IOMMU_INDEX_H
#define VIA_IOMMU_INDEX_H

#include "iommu/ioas.h"

struct via_index_table;

struct via_index {
	struct via_index_table *table; /* atomic: published with release */
	size_t n_empty;		       /* chunks without an area; under the caller's lock */
};

void via_index_init(struct via_index *index);
/* No reader may be left; areas are the caller's. */
void via_index_deinit(struct via_index *index);

/* For readers. */
struct via_ioas_area *via_index_lookup(const struct via_index *index, via_iova_t iova);

/* For the one who may change it: the first area that ends at or after iova. */
struct via_ioas_area *via_index_find(const struct via_index *index, via_iova_t iova);
/* The area must not overlap another. 0 or -ENOMEM, then nothing has changed. */
int via_index_insert(struct via_index *index, struct via_ioas_area *area);
/* Replace what is found at area->first by area. */
void via_index_replace(struct via_index *index, struct via_ioas_area *area);
void via_index_remove(struct via_index *index, const struct via_ioas_area *area);
/* Give back what removals have left empty, if it is much. */
void via_index_trim(struct via_index *index);

#endif
