/* SPDX-License-Identifier: MIT */
/*
 * One reserved range for all that the shim keeps, with guard pages around it:
 * the host is told not to write there, so that a program's wild pointer in a
 * call ends as EFAULT. Pages cost nothing until they are touched.
 */
#ifndef VIA_PRELOAD_ARENA_H
#define VIA_PRELOAD_ARENA_H

#include "host/door.h"

enum {
	VIA_ARENA_GUARD = 65536,
	VIA_ARENA_POOL = 65536,			    /* the connections */
	VIA_ARENA_FDS = 16 << 20,		    /* what is known about descriptor numbers */
	VIA_ARENA_SLOT = VIA_DOOR_SLOT_SIZE + 4096, /* each with a page that stays empty */
};

struct via_arena {
	uint8_t before[VIA_ARENA_GUARD];
	uint8_t pool[VIA_ARENA_POOL];
	uint8_t fds[VIA_ARENA_FDS];
	uint8_t slots[VIA_DOOR_MAX_SLOTS][VIA_ARENA_SLOT];
	uint8_t after[VIA_ARENA_GUARD];
};

/* NULL when there is no memory for it. Any thread, async-signal-safe. */
struct via_arena *via_arena_get(void);

/* The arena and the library's own data, for the host. */
void via_arena_keep_out(struct via_door_keep_out ranges[VIA_DOOR_N_KEEP_OUT]);

#endif
