/* SPDX-License-Identifier: MIT */
/* For access*.c: what an access is, and what its pins and its copies have in common. */
#ifndef VIA_IOMMU_ACCESS_PRIVATE_H
#define VIA_IOMMU_ACCESS_PRIVATE_H

#include "iommu/access.h"
#include "iommu/ioas-private.h"
#include "iommu/suspend.h"

#include <errno.h>

struct record; /* a pinned range, in access_pins.c */

struct via_access {
	struct via_access_ops ops; /* constant; unmap NULL: it does not pin */
	void *cookie;
	pthread_mutex_t lock;	 /* attachment and pinning; before the IOAS's locks */
	struct via_ioas *ioas;	 /* under lock; a reference */
	bool leaving;		 /* under lock: takes no pins any more, and begins no copies */
	unsigned int n_copies;	 /* under lock: calls that copy now */
	pthread_cond_t copied;	 /* there is none any more */
	struct via_access *next; /* of the IOAS's accesses; the list's lock, like the next two */
	unsigned int users;	 /* calls of unmap that are under way */
	pthread_cond_t idle;
	struct via_bell bell;	 /* where calls wait for what is parked */
	struct record **buckets; /* ioas->lock, like the rest */
	size_t n_buckets, n_records;
};

/* With a reference, or NULL. leaving_too: also one that is being left. */
struct via_ioas *via_access_ioas_get(struct via_access *access, bool leaving_too);

/* The last byte: 0, -EINVAL there is none, -EOVERFLOW. */
static inline int via_access_range(via_iova_t iova, uint64_t len, via_iova_t *ret_last)
{
	if (!len)
		return -EINVAL;
	return __builtin_add_overflow(iova, len - 1, ret_last) ? -EOVERFLOW : 0;
}

/*
 * The area at iova, for an access. 0, -ENOENT, -EINVAL; -EAGAIN it is parked. With
 * ioas->lock.
 */
int via_access_area_at(struct via_ioas *ioas, via_iova_t iova, struct via_ioas_area **ret_area);
/* 0, -EPERM; -EINVAL registers. */
int via_access_check_rights(const struct via_ioas_area *area, bool write);

/*
 * Until nothing of [first, last] is parked: 0, -EBUSY too long, or not here; -ENOENT the access
 * goes away. No lock held.
 */
int via_access_wait_unparked(struct via_access *access, struct via_ioas *ioas, via_iova_t first,
			     via_iova_t last);

/* What the owner has not unpinned although it was told; and wait for what it is unpinning. */
void via_access_force_unpin(struct via_access *access, struct via_ioas *ioas);

#endif
