/* SPDX-License-Identifier: MIT */
#ifndef VIA_BASE_UTIL_H
#define VIA_BASE_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define via_container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#define VIA_ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

static inline uint64_t via_min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t via_max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static inline bool via_is_pow2(uint64_t v)
{
	return v && !(v & (v - 1));
}

/* The inclusive end of @len bytes at @start; false when @len is 0 or the end passes 2^64. */
static inline bool via_range_last(uint64_t start, uint64_t len, uint64_t *ret_last)
{
	if (!len || len - 1 > UINT64_MAX - start)
		return false;
	*ret_last = start + (len - 1);
	return true;
}

#endif
