/* SPDX-License-Identifier: MIT */
/*
 * An access: how software reaches an IOAS as an emulated (mdev) device of a
 * kernel does, by pinning ranges and by copies (spec iommu.md 2.9).
 *
 * Any thread. The unmap callback runs on the thread that unmaps, with no lock
 * of the IOAS held; it must unpin what it has pinned in the range, and may do
 * that from another thread, before it returns.
 */
#ifndef VIA_IOMMU_ACCESS_H
#define VIA_IOMMU_ACCESS_H

#include "iommu/ioas.h"

struct via_access;

struct via_access_ops {
	void (*unmap)(void *cookie, via_iova_t iova, uint64_t len);
};

/* ops NULL: it will never pin. 0 or -ENOMEM. */
int via_access_new(const struct via_access_ops *ops, void *cookie, struct via_access **ret_access);
void via_access_free(struct via_access *access);

/* -EINVAL attached already; -EADDRINUSE pinning needs an alignment that an area lacks. */
int via_access_attach(struct via_access *access, struct via_ioas *ioas);
/* To another IOAS: -ENOENT not attached. unmap(0, UINT64_MAX) is called before the old one is left. */
int via_access_replace(struct via_access *access, struct via_ioas *ioas);
void via_access_detach(struct via_access *access);
struct via_ioas *via_access_ioas(const struct via_access *access);

#define VIA_ACCESS_WRITE 1u
#define VIA_ACCESS_LOCK 2u /* unmap of the range is -EBUSY while it is pinned (HW_QUEUE) */

/*
 * Pins and copies wait where memory is parked (suspend.h), outside of read sections:
 * -EBUSY when it does not come back in time, -ENOENT when the access leaves the IOAS.
 *
 * Pin what lies behind [iova, iova + len). *ret_pieces as via_pages_pieces().
 * -EINVAL, -EOVERFLOW, -ENOENT, -EPERM as 2.9; on error nothing is pinned.
 */
int via_access_pin(struct via_access *access, via_iova_t iova, uint64_t len, unsigned int flags,
		   struct via_piece **ret_pieces, size_t *ret_n);
/* The range of an earlier pin, with its flags. -ENOENT: there is none, nothing is done. */
int via_access_unpin(struct via_access *access, via_iova_t iova, uint64_t len, unsigned int flags);

/* The identity of each slot of a pinned range, in order. 0, -ENOENT, -ENOMEM. */
int via_access_identities(struct via_access *access, via_iova_t iova, uint64_t len,
			  struct via_page_identity *identities);

/* Byte granular; what comes before a hole is copied. -EINVAL, -EOVERFLOW, -ENOENT, -EPERM, -EFAULT. */
int via_access_rw(struct via_access *access, via_iova_t iova, void *buf, uint64_t len, bool write);

/* For the IOAS ------------------------------------------------------------- */

void via_access_list_init(struct via_access_list *list);
void via_access_list_deinit(struct via_access_list *list);
/* Call unmap of each access that pins, with no lock held. */
void via_access_list_notify(struct via_access_list *list, via_iova_t iova, uint64_t len);
/*
 * How many pinned ranges touch [first, last], for area->n_accesses; of them, how many
 * are locked. With ioas->lock. Needed after a cut.
 */
unsigned int via_access_list_count(struct via_access_list *list, via_iova_t first, via_iova_t last,
				   unsigned int *ret_locks);

#endif
