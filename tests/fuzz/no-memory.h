/* SPDX-License-Identifier: MIT */
/*
 * Allocations that fail when an input says so. For programs that are linked
 * with no-memory.c and --wrap of its functions; only the thread that has asked for it is refused.
 */
#ifndef VIA_TESTS_FUZZ_NO_MEMORY_H
#define VIA_TESTS_FUZZ_NO_MEMORY_H

#include <stdbool.h>

/* Of this thread: allocations until the one that fails; 0: none does. */
extern _Thread_local unsigned int allocations_left;

/* Is this the one? */
bool no_memory(void);

#endif
