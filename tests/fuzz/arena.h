/* SPDX-License-Identifier: MIT */
/*
 * Memory of the program that calls: good pages, a read-only one, a forbidden
 * one, shared ones, and nothing behind them. It is at one place in every run,
 * and a pointer that an input makes points into it or at nothing: calls act
 * on this very process.
 */
#ifndef VIA_TESTS_FUZZ_ARENA_H
#define VIA_TESTS_FUZZ_ARENA_H

#include "fuzz.h"

#include <sys/mman.h>
#include <unistd.h>

#define ARENA_PAGE 4096u
#define ARENA_BASE 0x200000000000ull

/* Page numbers. */
enum {
	ARENA_GOOD = 0,
	ARENA_READ_ONLY = 16,
	ARENA_FORBIDDEN = 17,
	ARENA_SHARED = 18,
	ARENA_END = 22,
};

static inline uint8_t *arena_page(unsigned int page)
{
	return (uint8_t *)(uintptr_t)(ARENA_BASE + (uint64_t)page * ARENA_PAGE);
}

/* The file of the shared ones. */
static inline int arena_shared_file(void)
{
	static int fd = -1;

	if (fd < 0) {
		fd = memfd_create("arena", MFD_CLOEXEC);
		FUZZ_CHECK(fd >= 0 && ftruncate(fd, 4 * ARENA_PAGE) == 0);
	}
	return fd;
}

/* Made at the first call, the same content at each. */
static inline void arena_init(void)
{
	static bool made;

	if (!made) {
		int fd = arena_shared_file();

		FUZZ_CHECK(mmap(arena_page(0), ARENA_END * ARENA_PAGE, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1,
				0) == arena_page(0));
		FUZZ_CHECK(mprotect(arena_page(ARENA_READ_ONLY), ARENA_PAGE, PROT_READ) == 0);
		FUZZ_CHECK(mprotect(arena_page(ARENA_FORBIDDEN), ARENA_PAGE, PROT_NONE) == 0);
		FUZZ_CHECK(mmap(arena_page(ARENA_SHARED), 4 * ARENA_PAGE, PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_FIXED, fd, 0) == arena_page(ARENA_SHARED));
		made = true;
	}
	for (unsigned int page = ARENA_GOOD; page < ARENA_READ_ONLY; page++)
		memset(arena_page(page), (int)page, ARENA_PAGE);
	memset(arena_page(ARENA_SHARED), 0x55, 4 * ARENA_PAGE);
}

static inline uint64_t arena_pointer(struct fuzz_input *in)
{
	uint8_t kind = fuzz_u8(in);
	uint64_t value;

	switch (kind & 7) {
	case 0:
	case 1:
		return ARENA_BASE + fuzz_u8(in);
	case 2: /* the start of a page */
		return ARENA_BASE + (uint64_t)(kind >> 3) * ARENA_PAGE;
	case 3: /* near the end of what can be read, written, used at all */
	case 4:
		return ARENA_BASE + (uint64_t)(ARENA_READ_ONLY + (kind >> 3) % 3) * ARENA_PAGE -
		       fuzz_u8(in);
	case 5:
		return ARENA_BASE + (uint64_t)ARENA_END * ARENA_PAGE - fuzz_u8(in);
	case 6:
		return ARENA_BASE + fuzz_u32(in) % ((ARENA_END + 2) * ARENA_PAGE);
	default:
		value = fuzz_number(in);
		return kind & 8 ? value & 0xffff : value | 1ull << 47;
	}
}

#endif
