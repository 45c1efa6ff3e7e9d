/* SPDX-License-Identifier: MIT */
#include "preload/arena.h"

#include "preload/sys.h"

#include <stddef.h>
#include <sys/mman.h>

/* Atomic, set once. */
static struct via_arena *the_arena;

/* Bounds of the library's writable data, from the linker; the first is in .data. */
static uint64_t data_start __attribute__((section(".data"))) = 1;
extern char _end[] __attribute__((visibility("hidden")));

static bool failed(long ret)
{
	return ret < 0 && ret >= -4095;
}

static struct via_arena *make(void)
{
	long p = via_sys(SYS_mmap, NULL, sizeof(struct via_arena), PROT_NONE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct via_arena *arena = (struct via_arena *)p;

	if (failed(p))
		return NULL;
	if (via_sys(SYS_mprotect, arena->pool, sizeof(arena->pool) + sizeof(arena->fds),
		    PROT_READ | PROT_WRITE)) {
		via_sys(SYS_munmap, p, sizeof(*arena));
		return NULL;
	}
	via_sys(SYS_madvise, arena->pool, sizeof(arena->pool), MADV_WIPEONFORK);
	via_sys(SYS_madvise, arena, sizeof(*arena), MADV_DONTDUMP);
	return arena;
}

struct via_arena *via_arena_get(void)
{
	struct via_arena *arena = __atomic_load_n(&the_arena, __ATOMIC_ACQUIRE), *expected = NULL;

	if (arena)
		return arena;
	arena = make();
	if (arena && !__atomic_compare_exchange_n(&the_arena, &expected, arena, false,
						  __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
		via_sys(SYS_munmap, arena, sizeof(*arena));
		arena = expected;
	}
	return arena;
}

void via_arena_keep_out(struct via_door_keep_out ranges[VIA_DOOR_N_KEEP_OUT])
{
	struct via_arena *arena = via_arena_get();
	uint64_t start = (uint64_t)&data_start & ~4095ull;

	ranges[0] = (struct via_door_keep_out){(uint64_t)arena, arena ? sizeof(*arena) : 0};
	ranges[1] = (struct via_door_keep_out){start, ((uint64_t)_end | 4095) + 1 - start};
}
