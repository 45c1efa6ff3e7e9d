/* SPDX-License-Identifier: MIT */
/*
 * What the inside of a store looks like to those who copy from it often.
 */
#ifndef VIA_MEMORY_STORE_H
#define VIA_MEMORY_STORE_H

#include "memory/space.h"

/* A part of a store that lies in one piece: in our own address space, or in the program's. */
struct via_store_seg {
	uint64_t offset;	   /* of its first byte in the store */
	uint64_t len;
	uint8_t *host;		   /* NULL: copy through the mm */
	uint64_t remote;	   /* address in the program, if host is NULL */
	struct via_window *window; /* NULL: not ours to unmap */
};

/* Constant after via_store_new() but for refs. */
struct via_store {
	int refs;	     /* atomic */
	unsigned int prot;
	bool mapped;	     /* every segment is in our address space */
	bool prompt;	     /* and nobody can hold up a copy: it may be made in a read section */
	uint64_t len;
	struct via_space *space;
	size_t n_segs;
	struct via_store_seg segs[]; /* ascending, without gaps */
};

/* The segment that holds offset < store->len. */
const struct via_store_seg *via_store_seg(const struct via_store *store, uint64_t offset);

/* Where the whole store lies in our address space, or NULL when it is not in one piece there. */
static inline uint8_t *via_store_host(const struct via_store *store)
{
	return store->n_segs == 1 ? store->segs[0].host : NULL;
}

/* Do all its pages stay the same whatever the program does to its address space? */
bool via_store_pinned(const struct via_store *store);

/*
 * A store at addr without looking at the pages there: what is not there is
 * found by the first copy. Else as via_store_new().
 */
int via_store_new_unprobed(struct via_space *space, uint64_t addr, uint64_t len, unsigned int prot,
			   struct via_store **ret_store);

#endif
