/* SPDX-License-Identifier: MIT */
/*
 * The inside of an IOAS, for the device's way in (dma.c), for domains and
 * accesses, and for the ABIs on top (type1.c, vfio/iommufd).
 *
 * Areas are kept in one index (index.h) that readers search without a lock. A
 * removed area leaves an empty slot behind, so that unmapping needs no memory
 * and cannot fail for lack of it.
 *
 * An area is in the index from the moment its IOVA is reserved. It is
 * incomplete, and nobody reaches memory through it, until it is mapped; then
 * it names a slice of a page store (pages.h). Its memory is loaded, which pins
 * it, while the IOAS has at least one domain (domain.h).
 *
 * Locks, in this order: several IOASes by address; ioas->domains_lock (a
 * rwlock: map, unmap and copy read, what changes domains and accesses writes);
 * ioas->lock (the index, reserved and allowed ranges, the alignment; never
 * held while memory is pinned); pages->lock.
 */
#ifndef VIA_IOMMU_IOAS_H
#define VIA_IOMMU_IOAS_H

#include "iommu/pages.h"

#include <viaduct/iommu.h>

#include <pthread.h>

/*
 * What a domain's translation of an area is made of, published in one piece.
 * Constant; freed after a grace period.
 */
struct via_area_fill {
	size_t n;
	struct via_piece *pieces; /* ascending, without gaps */
};

struct via_domain;

/* What a device's access needs is in the first cache line. Made by via_area_new(). */
struct via_ioas_area {
	_Alignas(64) via_iova_t first; /* constant while in the index, like last, prot, pages, offset */
	via_iova_t last;
	uint8_t *host;		    /* atomic: of the first byte, if all of it is in our memory in one piece and loaded */
	unsigned int prot;	    /* VIA_PROT_*; 0 is possible (MAP of the compat container) */
	struct via_area_fill *fill; /* atomic; changed under pages->lock. NULL: not loaded, or revoked */
	struct via_pages *pages;    /* a reference. For who has found fill in a section, or complete */
	uint64_t offset;	    /* of the first byte in pages */
	struct via_ioas *ioas;	    /* constant */
	struct via_area_fill *kept; /* pages->lock: loaded, but hidden or revoked */
	struct via_area_fill own;   /* what fill and kept point to; constant while they do */
	struct via_piece one;	    /* own.pieces, if there is but one */
	struct via_ioas_area *next_of_pages, **link_of_pages; /* pages->lock; a region's loaded areas */
	bool loaded;		    /* pages->lock: pinned for the domains of the IOAS */
	bool hidden;		    /* pages->lock: about to be unloaded or replaced, is not published again */
	bool complete;		    /* ioas->lock: mapped; else it is being built or torn down */
	bool shown;		    /* ioas->lock: the index has host; only of areas whose host is hidden by us alone */
	bool closing;		    /* ioas->lock: being unmapped, takes no new access */
	bool suspended;		    /* ioas->lock: its address is not valid now (suspend.h) */
	bool parked;		    /* atomic; changed under ioas->lock: and nothing else leads there, so wait */
	uint64_t parked_until;	    /* ns of CLOCK_MONOTONIC; constant while parked */
	unsigned int n_accesses;    /* ioas->lock: ranges pinned by accesses */
	unsigned int n_locks;	    /* ioas->lock: -EBUSY for unmap (HW_QUEUE) */
	void *owner;		    /* the mapper's; under the mapper's lock */
	struct via_ioas_area *next; /* of a list of removed areas */
};

/*
 * An IOAS without anything: every IOVA usable, alignment 1, no domain.
 * (via_ioas_new() makes one that has a domain of its own, over props.)
 */
int via_ioas_new_bare(struct via_ioas **ret_ioas);

/* Map --------------------------------------------------------------------- */

#define VIA_IOAS_FIXED 1u /* at *iova; else *iova is chosen (spec iommu.md 2.5) */

/*
 * Map [offset, offset + len) of pages. The checks and errnos of 2.6.4 from step
 * 7 on, in that order. The area has a reference of its own to pages. owner: the
 * mapper's record, NULL for none.
 */
int via_ioas_map_pages(struct via_ioas *ioas, struct via_pages *pages, uint64_t offset,
		       uint64_t len, unsigned int prot, unsigned int flags, via_iova_t *iova,
		       void *owner);

/* COPY: steps 5 and 7 of 2.6.6; the caller has checked flags and found both. */
int via_ioas_copy(struct via_ioas *dst, struct via_ioas *src, via_iova_t src_iova, uint64_t len,
		  unsigned int prot, unsigned int flags, via_iova_t *dst_iova);

/* As via_ioas_map(), with the mapper's record of it; memory is charged to nobody (type1 does that itself). */
int via_ioas_map_area(struct via_ioas *ioas, via_iova_t iova, struct via_space *space,
		      uint64_t addr, uint64_t len, unsigned int prot, void *owner);

/* Unmap ------------------------------------------------------------------- */

/*
 * 2.6.7 after the argument checks: areas go from low to high until one cannot;
 * *ret_bytes is what went, also on failure. Nothing there is 0 with 0 bytes.
 * Returns when nothing reaches the memory any more. -EBUSY incomplete or
 * locked; -ENOENT sticks out; -EDEADLK an access keeps its pins; all of them is
 * (0, UINT64_MAX).
 */
int via_ioas_unmap_range(struct via_ioas *ioas, via_iova_t first, via_iova_t last,
			 uint64_t *ret_bytes);

/*
 * Remove the areas that start in [first, last], ascending; none may be cut.
 * removed() is called for each owner once nothing reaches its memory any
 * more. Bytes removed. Not from inside a read section.
 */
uint64_t via_ioas_remove(struct via_ioas *ioas, via_iova_t first, via_iova_t last,
			 void (*removed)(void *cookie, void *owner), void *cookie);

/*
 * Cut the area that holds both iova and iova + 1 behind iova, if there is one.
 * -EINVAL pinned by an access (unless pins_too) or unaligned; -EOPNOTSUPP a
 * region; -EBUSY incomplete or closing; -ENOMEM. Devices see either the one
 * area or the two. owner of both halves is the former's.
 */
int via_ioas_cut(struct via_ioas *ioas, via_iova_t iova, bool pins_too);

/*
 * Put pages (of the same length, its reference consumed on success) behind the
 * area at first, whole; returns when the old ones are out of use. What accesses have
 * pinned of them stays theirs. 0 or an errno of pinning.
 */
int via_ioas_replace(struct via_ioas *ioas, via_iova_t first, struct via_pages *pages);

/* Look -------------------------------------------------------------------- */

/*
 * The first area that ends at or after iova, or NULL. Only for the one that
 * keeps others from changing the IOAS.
 */
struct via_ioas_area *via_ioas_find(struct via_ioas *ioas, via_iova_t iova);

/* Is [first, last] inside one usable range? */
bool via_ioas_usable(const struct via_iommu_props *props, via_iova_t first, via_iova_t last);

/* For readers inside a section: the area that holds iova, or NULL. It may be empty. (index.h has more.) */
struct via_ioas_area *via_ioas_lookup(struct via_ioas *ioas, via_iova_t iova);

/* For readers inside a section: the piece of fill that holds the byte at offset of the area. In area.c. */
const struct via_piece *via_area_piece(const struct via_area_fill *fill, uint64_t offset);

/* Every area in ascending order, with ioas->lock held. A non-zero return of fn ends the walk and is returned. */
int via_ioas_each_area(struct via_ioas *ioas, int (*fn)(void *cookie, const struct via_ioas_area *area),
		       void *cookie);
/* Are there areas? domains? */
bool via_ioas_empty(struct via_ioas *ioas);
bool via_ioas_has_domain(struct via_ioas *ioas);

/*
 * Changes with every removal, revocation and restoration, never repeats in the process: what was looked up
 * under one value may be used as long as the value is current.
 */
uint64_t via_ioas_generation(const struct via_ioas *ioas);
/* A new generation. Takes no lock. */
void via_ioas_changed(struct via_ioas *ioas);

/* Ranges, alignment -------------------------------------------------------- */

/* A: IOVA, length and page offset of every area are multiples of it (2.4). */
uint64_t via_ioas_alignment(struct via_ioas *ioas);

/*
 * Reserve for owner (any pointer; NULL is nobody, and such stay for ever).
 * -EADDRINUSE an area or an allowed range is there; -ENOMEM.
 */
int via_ioas_reserve(struct via_ioas *ioas, via_iova_t first, via_iova_t last, void *owner);
void via_ioas_unreserve(struct via_ioas *ioas, void *owner);

/* 2.6.3 once copied in: replaces the list. -EINVAL an empty or overlapping entry; -EADDRINUSE; -ENOMEM. */
int via_ioas_allow(struct via_ioas *ioas, const struct via_iova_range *ranges, size_t n);

/*
 * The holes of what is reserved, ascending: up to max of them to ranges, and
 * how many there are.
 */
size_t via_ioas_ranges(struct via_ioas *ioas, struct via_iova_range *ranges, size_t max);

/* HUGE_PAGES (2.6.8): 0; -EINVAL there are a domain and an area; -EADDRINUSE. */
int via_ioas_set_large_pages(struct via_ioas *ioas, bool on);
bool via_ioas_large_pages(struct via_ioas *ioas);

/* CHANGE_PROCESS over several (2.6.9); distinct, any order. -EBUSY, -EINVAL, -ENOMEM. */
int via_ioas_change_owner(struct via_ioas *const *ioases, size_t n,
			  const struct via_ledger_owner *owner);

/* Users ------------------------------------------------------------------- */

/* A user of the IOAS that may hold leases: asked to give them back. */
struct via_ioas_user {
	struct via_ioas_user *next; /* under the IOAS's users_lock */
	/* Must not block nor change the IOAS or its users. */
	void (*cancel)(struct via_ioas_user *user);
	/* What is parked has come back, or has gone; likewise, also inside a read section. */
	void (*unparked)(struct via_ioas_user *user);
};
void via_ioas_user_add(struct via_ioas *ioas, struct via_ioas_user *user);
void via_ioas_user_remove(struct via_ioas *ioas, struct via_ioas_user *user);
/* Ask all of them. Takes users_lock. */
void via_ioas_cancel_users(struct via_ioas *ioas);
/* Tell all of them to look again at what is parked. Takes users_lock. */
void via_ioas_unparked(struct via_ioas *ioas);

/* For accesses (access.c) -------------------------------------------------- */

/*
 * The IOAS's accesses; embedded in it. The list's lock is below ioas->lock and
 * domains_lock and held for nothing slow.
 */
struct via_access_list {
	pthread_mutex_t lock;
	struct via_access *first; /* under lock */
};
struct via_access_list *via_ioas_accesses(struct via_ioas *ioas);

/*
 * An access joins (alignment: 4096 if it pins, else 1), or leaves: takes domains_lock
 * for writing. -EADDRINUSE an area is not so aligned.
 */
int via_ioas_access_join(struct via_ioas *ioas, uint64_t alignment);
void via_ioas_access_leave(struct via_ioas *ioas, uint64_t alignment);

/* ioas->lock, under which areas, closing and the counts of pins may be looked at. */
void via_ioas_lock(struct via_ioas *ioas);
void via_ioas_unlock(struct via_ioas *ioas);
/* domains_lock for reading: nobody changes domains, accesses or the owner of pages. */
void via_ioas_hold(struct via_ioas *ioas);
void via_ioas_drop(struct via_ioas *ioas);

#endif
