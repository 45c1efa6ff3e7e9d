/* SPDX-License-Identifier: MIT */
/*
 * Objects of one size, each at the start of a cache line, side by side in chunks
 * of 2 MiB. Chunks after the first are huge pages where the kernel has any: who looks at
 * random objects among a million would else miss the TLB more often than the
 * cache.
 *
 * An empty chunk goes back to the kernel, but for one. A slab lives as long as
 * the process. Any thread, and a forked child.
 */
#ifndef VIA_BASE_SLAB_H
#define VIA_BASE_SLAB_H

#include <pthread.h>
#include <stddef.h>

struct via_slab_chunk;

struct via_slab {
	size_t size;	      /* constant: of an object, a multiple of 64 */
	pthread_mutex_t lock; /* what follows */
	struct via_slab_chunk *open;  /* have room */
	struct via_slab_chunk *spare; /* is empty, and not among the open ones; or NULL */
	size_t n_chunks;
	struct via_slab *next; /* of all slabs that have had a chunk; under the lock of that list */
};

#define VIA_SLAB_LINE 64u
#define VIA_SLAB(type)                                                                             \
	{ .size = (sizeof(type) + VIA_SLAB_LINE - 1) & ~(size_t)(VIA_SLAB_LINE - 1),               \
	  .lock = PTHREAD_MUTEX_INITIALIZER }

/* Uninitialised, or NULL. */
void *via_slab_alloc(struct via_slab *slab);
void via_slab_free(void *object); /* NULL allowed. Needs no memory */

/* Bytes of the chunks that there are: of address space. */
size_t via_slab_bytes(struct via_slab *slab);

#endif
