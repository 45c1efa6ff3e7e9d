/* SPDX-License-Identifier: MIT */
/*
 * Mappings whose address is not valid for a while: the program is about to move its
 * memory or to exec (UNMAP_DMA and MAP_DMA with VADDR, spec iommu.md 6).
 *
 * Memory of which we have a mapping of our own works on. What can only be reached
 * by its address is *parked*: whoever accesses it waits until it comes back, is
 * unmapped, or has been away for longer than the IOAS allows. Nobody waits inside a
 * read section or with a lock of an IOAS held.
 */
#ifndef VIA_IOMMU_SUSPEND_H
#define VIA_IOMMU_SUSPEND_H

#include "iommu/ioas.h"

/* Nothing is parked when this is 0, as from the start. Before the first map. */
void via_ioas_set_vaddr_wait(struct via_ioas *ioas, unsigned int ms);

/*
 * Suspend the areas that start in [first, last]: all, or none with -EINVAL, as one is already,
 * or -EBUSY, as one is being mapped or unmapped. When it returns nobody uses the addresses.
 * Accesses that have pinned what is parked are told to unpin. Not inside a section.
 */
int via_ioas_suspend(struct via_ioas *ioas, via_iova_t first, via_iova_t last, uint64_t *ret_size);

/* Is any area suspended? */
bool via_ioas_suspended(struct via_ioas *ioas);

/* An area that one call of resume has for itself. */
struct via_resume {
	struct via_pages *pages; /* what is there, from offset on; a reference */
	uint64_t offset;
	unsigned int prot;
	bool held; /* works on as it is; else via_ioas_replace() */
};

/*
 * [first, last] is suspended no longer. -ENOENT nothing overlaps; -EINVAL it is not one
 * area that is suspended. If it cannot be given its address: via_ioas_resume_undo().
 */
int via_ioas_resume(struct via_ioas *ioas, via_iova_t first, via_iova_t last,
		    struct via_resume *ret_resume);
void via_ioas_resume_undo(struct via_ioas *ioas, via_iova_t first, via_iova_t last);

/* For unmap: the area goes. With ioas->lock. */
void via_ioas_forget_suspended(struct via_ioas *ioas, struct via_ioas_area *area);

/* A place to wait. What may end a wait rings. */
struct via_bell {
	uint32_t rings; /* atomic, and a futex */
};

void via_bell_ring(struct via_bell *bell);
/* For a wait; taken before looking whether there is something to wait for. */
uint32_t via_bell_rings(const struct via_bell *bell);
/* Until it has rung since, or CLOCK_MONOTONIC has come to until_ns: then false. */
bool via_bell_wait(struct via_bell *bell, uint32_t rings, uint64_t until_ns);

#endif
