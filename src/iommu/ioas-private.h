/* SPDX-License-Identifier: MIT */
/*
 * The inside of struct via_ioas, for the files that make it up: ioas.c (its life,
 * looking), map.c (maps, copies, cuts), unmap.c, ranges.c (what is reserved and
 * allowed, the alignment), alloc.c (the choice of an IOVA), domain.c, access.c.
 *
 * Locks as in ioas.h. The list of domains is changed with both domains_lock
 * written and lock held, so either suffices to look.
 */
#ifndef VIA_IOMMU_IOAS_PRIVATE_H
#define VIA_IOMMU_IOAS_PRIVATE_H

#include "iommu/access.h"
#include "iommu/area.h"
#include "iommu/domain.h"
#include "iommu/index.h"
#include "iommu/ioas.h"
#include "memory/uses.h"

#include <pthread.h>

/* A range that must not be mapped, or that automatic IOVAs come from. */
struct via_reserved {
	via_iova_t first, last;
	void *owner;
};

/* Sorted by first; the merged ones neither overlap nor touch. Under ioas->lock. */
struct via_reserved_set {
	struct via_reserved *entries;
	struct via_iova_range *merged;
	size_t n_entries, n_merged;
	size_t room; /* in both */
};

/*
 * "Nothing of len bytes or more, aligned to align or more, with an address whose
 * offset in its page is 0, can be placed below bound": a rising hint that
 * makes a row of automatic maps linear. len 0: unused. Under ioas->lock.
 */
struct via_hint {
	uint64_t len;
	uint64_t align;
	via_iova_t bound;
};
#define VIA_HINTS 16u

/*
 * A domain is also what a device is attached to (dma.c). The IOAS's own one
 * stands for "attached to this IOAS"; it is a domain in earnest only if
 * via_ioas_new() has made the IOAS.
 */
struct via_domain {
	struct via_ioas *ioas; /* constant; a reference unless it is ioas->own */
	struct via_domain_config config; /* constant */
	struct via_domain *next; /* of ioas->domains */
	struct via_dirty_store *dirty; /* atomic: read in a section; made once, then constant */
	bool tracks; /* atomic: read in a section */
	pthread_mutex_t track_lock; /* changes of dirty and tracks */
};

struct via_ioas {
	int refs;	     /* atomic */
	struct via_check *check; /* constant once there are maps; NULL: nobody listens */
	uint64_t generation; /* atomic */
	pthread_rwlock_t domains_lock;
	pthread_mutex_t lock;
	struct via_index index; /* changed under lock, read in sections */
	uint64_t alignment;	/* lock */
	bool large_pages;	/* lock; changed with domains_lock written as well */
	struct via_reserved_set reserved;
	struct via_reserved_set allowed; /* owners are NULL */
	struct via_hint hints[VIA_HINTS]; /* lock */
	unsigned int next_hint;		  /* lock: the one to be overwritten */
	struct via_domain *domains;	  /* domains_lock and lock */
	unsigned int n_aligned;		  /* likewise: accesses that demand the alignment of a page */
	struct via_access_list accesses;
	uint64_t n_suspended;	   /* lock: areas */
	unsigned int vaddr_wait_ms; /* constant once there are maps; 0: nothing is parked */
	/*
	 * lock: areas that are out of the index and have nothing any more, but may still
	 * be looked at; freed after the next grace period.
	 */
	struct via_ioas_area *dead;
	size_t n_dead; /* lock */
	struct via_uses uses; /* leases, and copies outside of sections; before the area's memory goes */
	pthread_mutex_t users_lock;
	struct via_ioas_user *users; /* users_lock */
	struct via_domain own;
};

/* Ranges and alignment (ranges.c); ioas->lock held ---------------------------- */

/* Set the alignment from domains, accesses and large_pages. -EADDRINUSE: nothing has changed. */
int via_ioas_recompute_alignment(struct via_ioas *ioas);
bool via_reserved_overlaps(const struct via_reserved_set *set, via_iova_t first, via_iova_t last);
void via_reserved_clear(struct via_reserved_set *set);
int via_ioas_reserve_locked(struct via_ioas *ioas, via_iova_t first, via_iova_t last, void *owner);
void via_ioas_unreserve_locked(struct via_ioas *ioas, void *owner);
bool via_ioas_overlaps(const struct via_ioas *ioas, via_iova_t first, via_iova_t last);

/* The choice of an IOVA (alloc.c); ioas->lock held ---------------------------- */

/* 2.5 for an address. -EOVERFLOW, -EINVAL, -ENOSPC. */
int via_ioas_choose(struct via_ioas *ioas, uint64_t addr, uint64_t len, via_iova_t *ret_iova);
/* [first, ...] has become free: what was known of it is not true any more. */
void via_ioas_forget_hints(struct via_ioas *ioas, via_iova_t first);

/* Areas (unmap.c) --------------------------------------------------------------- */

/*
 * Hide the areas of a list, wait until nobody is in their memory any more, and
 * unload them. domains_lock held, no other.
 */
void via_ioas_quiesce(struct via_ioas *ioas, struct via_ioas_area *list);
/*
 * Wait for these uses of the IOAS's memory. It may be freed by the program when the
 * caller returns, so there is no giving up: what does not end is told (what: who waits) and
 * waited for. After a while the user is asked to give its leases back, or all are (NULL).
 */
void via_ioas_wait_for_uses(struct via_ioas *ioas, const struct via_use_filter *which,
			    struct via_ioas_user *user, const char *what);
/* The same for all of an area, which is hidden or out of the index. */
void via_ioas_wait_for_area(struct via_ioas *ioas, const struct via_ioas_area *area,
			    const char *what);

/* What has been loaded is found in the index alone from now on. ioas->lock, and domains_lock, held. */
void via_ioas_show(struct via_ioas *ioas, struct via_ioas_area *area);
/* Take the areas of a list, which are quiet, out of the index. No lock but domains_lock. */
void via_ioas_take_out(struct via_ioas *ioas, struct via_ioas_area *list);
/*
 * Give back what areas of a list, which are out of the index, have; free them when
 * nobody looks at them any more. No lock held.
 */
void via_ioas_let_go(struct via_ioas *ioas, struct via_ioas_area *list);

/* Domains (domain.c) -------------------------------------------------------------- */

/* Make own a domain of the IOAS, which nobody else knows yet. */
int via_domain_init_own(struct via_ioas *ioas, const struct via_iommu_props *props);
void via_domain_deinit(struct via_domain *domain);

#endif
