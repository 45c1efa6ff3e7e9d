/* SPDX-License-Identifier: MIT */
/*
 * Pages of a program that DMA refers to, followed when the program moves them.
 *
 * Private memory of another process is reached by its address, and a program
 * may unmap or move what it has mapped for DMA; its shim then moves the pages
 * to another place and says so. An address that is held therefore carries, in
 * the bits above user space, how many moves had happened when it was taken:
 * the later ones apply to it. An address without that mark is meant as it is.
 */
#ifndef VIA_HOST_PINS_H
#define VIA_HOST_PINS_H

#include "host/door.h"

#include <pthread.h>

#define VIA_PINS_BUCKETS 256u

struct via_pin {
	struct via_pin *next;
	uint64_t addr, len; /* marked */
};

struct via_pin_move {
	uint64_t from, len, to;
};

struct via_pins {
	pthread_rwlock_t lock; /* all below, unless said otherwise */
	struct via_pin *buckets[VIA_PINS_BUCKETS];
	size_t n_held;
	struct via_pin_move *moves;
	uint32_t n_moves;
	int settling; /* atomic: moves announced but not yet done */
};

int via_pins_init(struct via_pins *pins);
void via_pins_deinit(struct via_pins *pins);

/* *ret_addr is what to give to via_pins_where() and via_pins_release(). 0 or -ENOMEM. */
int via_pins_hold(struct via_pins *pins, uint64_t addr, uint64_t len, uint64_t *ret_addr);
void via_pins_release(struct via_pins *pins, uint64_t addr, uint64_t len);

/* Where the byte at addr is now; *len is cut to what lies together there. */
uint64_t via_pins_where(struct via_pins *pins, uint64_t addr, uint64_t *len);

/*
 * Whole pages within [addr, addr + len) that are held: ascending, disjoint, at
 * most max. Return: how many.
 */
size_t via_pins_held(struct via_pins *pins, uint64_t addr, uint64_t len,
		     struct via_door_range *ret_ranges, size_t max);

/*
 * What VIA_DOOR_MOVED says. 0; -ENOSPC: too many moves, the pages cannot be
 * followed; -EINVAL; -ENOMEM.
 */
int via_pins_moved(struct via_pins *pins, uint64_t from, uint64_t len, uint64_t to, bool done);

/* A move is on its way: what is not there now may be in a moment. */
bool via_pins_settling(struct via_pins *pins);

#endif
