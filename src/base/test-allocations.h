/* SPDX-License-Identifier: MIT */
/*
 * Memory that runs out: one allocation of the program fails. For one source of a test that is
 * linked with --wrap of malloc, calloc and reallocarray.
 */
#ifndef VIA_BASE_TEST_ALLOCATIONS_H
#define VIA_BASE_TEST_ALLOCATIONS_H

#include <stdbool.h>
#include <stddef.h>

static long fail_at = -1, n_allocations;

/* The n-th allocation from now on fails, or (negative) none; they are counted in between. */
static inline void fail_allocation(long n)
{
	if (n >= 0)
		n_allocations = 0;
	fail_at = n;
}

static inline bool may_allocate(void)
{
	return fail_at < 0 || n_allocations++ != fail_at;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_reallocarray(void *p, size_t n, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_reallocarray(void *p, size_t n, size_t size);

void *__wrap_malloc(size_t size)
{
	return may_allocate() ? __real_malloc(size) : NULL;
}

void *__wrap_calloc(size_t n, size_t size)
{
	return may_allocate() ? __real_calloc(n, size) : NULL;
}

void *__wrap_reallocarray(void *p, size_t n, size_t size)
{
	return may_allocate() ? __real_reallocarray(p, n, size) : NULL;
}

#endif
