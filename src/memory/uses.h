/* SPDX-License-Identifier: MIT */
/*
 * Who is in the memory of an address space outside of read sections: leases, and
 * copies that a program may make as long as it likes (its pages may have a server of
 * its own: userfaultfd, FUSE). A use is noted in the section, or under the lock, that has
 * found the memory, so that whoever has taken the memory out of sight and waited for the
 * sections knows all uses of it. It waits for those of the bytes it takes away and for
 * no other, and while it does the memory stays.
 *
 * Any thread. The lock is a leaf.
 */
#ifndef VIA_MEMORY_USES_H
#define VIA_MEMORY_USES_H

#include <viaduct/memory.h>

#include <pthread.h>

enum via_use_kind {
	VIA_USE_COPY = 1,
	VIA_USE_READ = 2, /* a lease, for reading only */
	VIA_USE_WRITE = 4,
};

struct via_use_range {
	uint64_t first, last;
};

struct via_uses {
	pthread_mutex_t lock;
	pthread_cond_t ended;  /* a use has, and somebody waits */
	struct via_use *first; /* under lock, like the next two */
	uint64_t next_number;
	unsigned int n_waiting;
	unsigned int n; /* atomic; changed under lock */
};

/* Constant while it lasts but for its place in the list. The caller's. */
struct via_use {
	struct via_use *next, **link; /* under uses->lock */
	struct via_uses *uses;
	uint64_t number; /* ascending with the time of its beginning */
	const struct via_use_range *ranges;
	size_t n_ranges;
	enum via_use_kind kind;
	const void *user;   /* whose it is */
	const void *domain; /* by which it has found the memory; NULL: none */
};

/* Which uses: all of this has to be true of one. */
struct via_use_filter {
	struct via_use_range range; /* touches it */
	unsigned int kinds;	    /* is one of these */
	const void *user, *domain;  /* NULL: any */
};
#define VIA_USES_ANY (VIA_USE_COPY | VIA_USE_READ | VIA_USE_WRITE)
#define VIA_USES_EVERYWHERE ((struct via_use_range){0, UINT64_MAX})

void via_uses_init(struct via_uses *uses);
/* There are none, and nobody waits. */
void via_uses_deinit(struct via_uses *uses);

/* The caller has filled in use from ranges on. */
void via_use_begin(struct via_uses *uses, struct via_use *use);
void via_use_end(struct via_use *use);

/* A use of range for as long as the lease is out; like is its kind, user and domain. 0 or -ENOMEM.
 */
int via_use_lease(struct via_uses *uses, struct via_lease *lease, struct via_use_range range,
		  const struct via_use *like);

/*
 * Wait until none of those that have begun before the call is left, at most timeout_ms.
 * 0 or -ETIMEDOUT. Not in a section.
 */
int via_uses_wait(struct via_uses *uses, const struct via_use_filter *which,
		  unsigned int timeout_ms);

#endif
