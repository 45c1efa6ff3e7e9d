/* SPDX-License-Identifier: MIT */
/*
 * Which granules of an I/O address space have been written: a sparse bitmap
 * with summaries above it, so that a harvest looks only where something is set.
 *
 * mark() is lock-free, any thread, and never fails: memory for bits that it
 * does not get makes the store coarse there (everything of that gap is dirty).
 * Data is written before the bit is set, both in one read section (base/epoch.h):
 * a harvest clears, waits for the sections that may have seen the bit set
 * before, and returns; only then may the data be read. A write in between is
 * reported next time.
 *
 * Memory: devices can only mark what they can write, and the caller clears
 * what it unmaps. So what is dirty is mapped, and costs a bit for each granule and
 * at most 12.5 KiB for each run of 32,768 granules with one that is dirty;
 * what is clean is given back once it is most of the store.
 */
#ifndef VIA_IOMMU_DIRTY_STORE_H
#define VIA_IOMMU_DIRTY_STORE_H

#include <viaduct/iommu.h>

struct via_dirty_store;

/* granule: bytes, a power of two, 512 .. 4096. 0 or -ENOMEM. */
int via_dirty_store_new(uint64_t granule, struct via_dirty_store **ret_store);
/* No marker is left. NULL allowed. */
void via_dirty_store_free(struct via_dirty_store *store);

uint64_t via_dirty_store_granule(const struct via_dirty_store *store);
/* len > 0, iova + len - 1 does not wrap. In the section of the write. */
void via_dirty_store_mark(struct via_dirty_store *store, via_iova_t iova, uint64_t len);

/*
 * Each maximal run of dirty granules in [first, last], ascending, clipped to
 * it; clear: take them out. fn may be called with runs that touch. A non-zero
 * return of fn ends the walk (that run is put back if clear) and is returned.
 * Others who harvest or clear the store wait meanwhile, hence fn must not. clear: not
 * inside a section.
 */
int via_dirty_store_harvest(struct via_dirty_store *store, via_iova_t first, via_iova_t last,
			    bool clear, int (*fn)(void *cookie, via_iova_t first, via_iova_t last),
			    void *cookie);
/* Forget what is dirty in the granules that [first, last] touches. What is coarse, only if it is covered. */
void via_dirty_store_clear(struct via_dirty_store *store, via_iova_t first, via_iova_t last);

#endif
