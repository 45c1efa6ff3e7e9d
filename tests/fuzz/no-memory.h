/* SPDX-License-Identifier: MIT */
/*
 * Allocations that fail when an input says so. For programs that are linked
 * with --wrap of these functions; only the thread that has asked for it is refused.
 */
#ifndef VIA_TESTS_FUZZ_NO_MEMORY_H
#define VIA_TESTS_FUZZ_NO_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

/* Of this thread: allocations until the one that fails; 0: none does. */
static _Thread_local unsigned int allocations_left;

static inline bool no_memory(void)
{
	return allocations_left && --allocations_left == 0;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_reallocarray(void *p, size_t n, size_t size);
void *__real_aligned_alloc(size_t align, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_reallocarray(void *p, size_t n, size_t size);
void *__wrap_aligned_alloc(size_t align, size_t size);

void *__wrap_malloc(size_t size)
{
	return no_memory() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return no_memory() ? NULL : __real_calloc(n, size);
}

void *__wrap_reallocarray(void *p, size_t n, size_t size)
{
	return no_memory() ? NULL : __real_reallocarray(p, n, size);
}

void *__wrap_aligned_alloc(size_t align, size_t size)
{
	return no_memory() ? NULL : __real_aligned_alloc(align, size);
}

#endif
