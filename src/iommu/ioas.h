/* SPDX-License-Identifier: MIT */
/*
 * The inside of an IOAS, for the device's way in (dma.c) and for the ABIs on
 * top (type1.c).
 *
 * Areas are kept in an index of sorted chunks that readers search without a
 * lock. A removed area leaves an empty slot behind, so that unmapping needs no
 * memory and cannot fail for lack of it.
 */
#ifndef VIA_IOMMU_IOAS_H
#define VIA_IOMMU_IOAS_H

#include <viaduct/iommu.h>

/* One mapping. Constant while published but for owner and next. */
struct via_ioas_area {
	via_iova_t first, last;
	uint8_t *host;		    /* of the first byte, or NULL: go through the store */
	unsigned int prot;
	struct via_store *store;    /* a reference */
	void *owner;		    /* the mapper's; under the mapper's lock */
	struct via_ioas_area *next; /* of a list of removed areas */
};

/* As via_ioas_map(), with the mapper's record of it. */
int via_ioas_map_area(struct via_ioas *ioas, via_iova_t iova, struct via_space *space,
		      uint64_t addr, uint64_t len, unsigned int prot, void *owner);

/*
 * Remove the areas that start in [first, last], ascending; none may be cut.
 * removed() is called for each owner once nothing reaches its memory any
 * more. Bytes removed. Not from inside a read section.
 */
uint64_t via_ioas_remove(struct via_ioas *ioas, via_iova_t first, via_iova_t last,
			 void (*removed)(void *cookie, void *owner), void *cookie);

/*
 * Put store (of the same length, its reference consumed on success) behind
 * area, which is freed; returns when the old store is out of use. 0 or -ENOMEM.
 */
int via_ioas_replace(struct via_ioas *ioas, struct via_ioas_area *area, struct via_store *store);

/*
 * The first area that ends at or after iova, or NULL. Only for the one that
 * keeps others from changing the IOAS.
 */
struct via_ioas_area *via_ioas_find(struct via_ioas *ioas, via_iova_t iova);

/* Is [first, last] inside one usable range? */
bool via_ioas_usable(const struct via_iommu_props *props, via_iova_t first, via_iova_t last);

/* For readers inside a section: the area that holds iova, or NULL. */
struct via_ioas_area *via_ioas_lookup(struct via_ioas *ioas, via_iova_t iova);

/*
 * Changes with every removal, never repeats in the process: what was looked up
 * under one value may be used as long as the value is current.
 */
uint64_t via_ioas_generation(const struct via_ioas *ioas);

/* A user of the IOAS that may hold leases: asked to give them back. */
struct via_ioas_user {
	struct via_ioas_user *next; /* under the IOAS's users_lock */
	/* Must not block nor change the IOAS or its users. */
	void (*cancel)(struct via_ioas_user *user);
};
void via_ioas_user_add(struct via_ioas *ioas, struct via_ioas_user *user);
void via_ioas_user_remove(struct via_ioas *ioas, struct via_ioas_user *user);

#endif
