/* SPDX-License-Identifier: MIT */
/*
 * A paging domain: what an I/O page table is to a kernel. While an IOAS has
 * one, all its areas are loaded. The translation itself is that of the IOAS;
 * a domain adds what its table can hold, and which bytes its devices have written.
 *
 * The domain keeps its IOAS alive. Any thread.
 */
#ifndef VIA_IOMMU_DOMAIN_H
#define VIA_IOMMU_DOMAIN_H

#include "iommu/dirty_store.h"
#include "iommu/ioas.h"

struct via_domain;

struct via_domain_config {
	uint64_t pgsize_bitmap;
	via_iova_t aperture_first, aperture_last;
	bool coherent; /* enforces cache coherency */
	bool dirty;    /* can track what devices write */
};

/*
 * 2.4 "adding a domain": -EINVAL pages larger than 4 KiB only; -EADDRINUSE an area
 * is unaligned or outside the aperture; then what loading every area answers. On
 * failure nothing has changed.
 */
int via_domain_new(struct via_ioas *ioas, const struct via_domain_config *config,
		   struct via_domain **ret_domain);
/* No device is attached. Unloads the areas if it was the last. NULL allowed. */
void via_domain_free(struct via_domain *domain);

struct via_ioas *via_domain_ioas(const struct via_domain *domain);
const struct via_domain_config *via_domain_config(const struct via_domain *domain);

/*
 * SET_DIRTY_TRACKING: turning it on forgets what was written before, and waits for
 * the leases for writing that devices of the domain have (they get no new ones). Returns
 * when every write that ends afterwards is recorded. 0, -ENOMEM; the caller has
 * checked that the domain can. Not from inside a section.
 */
int via_domain_track(struct via_domain *domain, bool on);
bool via_domain_tracks(const struct via_domain *domain);
/* The store of written IOVAs, or NULL when it has never tracked. Borrowed. */
struct via_dirty_store *via_domain_dirty(const struct via_domain *domain);
/* A device attached to the domain has written. In the section of the write. */
void via_domain_written(struct via_domain *domain, via_iova_t iova, uint64_t len);

#endif
