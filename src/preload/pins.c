/* SPDX-License-Identifier: MIT */
#include "preload/pins.h"

#include "preload/client.h"
#include "preload/lock.h"
#include "preload/self.h"
#include "preload/sys.h"

#include <viaduct/abi/iommufd.h>
#include <viaduct/abi/vfio.h>

#include <errno.h>
#include <sys/mman.h>

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

enum { PAGE = 4096, MAX_ASIDE = 1024, BATCH = 64, ROUNDS = 64 };

/*
 * Atomic: bounds of all that was ever mapped for DMA. What lies outside costs
 * nothing; what lies inside is asked about.
 */
static uint64_t lowest = UINT64_MAX, highest;

/* Where pages were put. lock; len 0: free. */
static struct via_lock lock;
static struct via_door_range aside[MAX_ASIDE];
static uint32_t n_aside; /* atomic */

static bool concerned(uint64_t start, uint64_t end)
{
	return start < __atomic_load_n(&highest, __ATOMIC_RELAXED) &&
	       __atomic_load_n(&lowest, __ATOMIC_RELAXED) < end;
}

static void extend(uint64_t start, uint64_t end)
{
	uint64_t low = __atomic_load_n(&lowest, __ATOMIC_RELAXED);
	uint64_t high = __atomic_load_n(&highest, __ATOMIC_RELAXED);

	while (start < low && !__atomic_compare_exchange_n(&lowest, &low, start, false,
							   __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
	while (end > high && !__atomic_compare_exchange_n(&highest, &high, end, false,
							  __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
}

static int64_t held(uint64_t start, uint64_t end, struct via_door_range ranges[BATCH])
{
	struct via_call call = {
		.request = {.op = VIA_DOOR_HELD, .arg = {start, end - start}},
		.fd = -1,
		.out = ranges,
		.out_len = BATCH * sizeof(ranges[0]),
	};
	int64_t n = via_call(&call);

	return n > BATCH ? BATCH : n;
}

static int64_t moved(uint64_t from, uint64_t len, uint64_t to, bool done)
{
	return via_call_simple(VIA_DOOR_MOVED, 0, from, len, to, done);
}

static bool failed(long ret)
{
	return ret < 0 && ret >= -4095;
}

/* The place is reserved; what cannot be moved in one piece spans mappings. */
static void move_pages(const struct via_door_range *r, uint64_t to, bool stay)
{
	int flags = MREMAP_MAYMOVE | MREMAP_FIXED | (stay ? MREMAP_DONTUNMAP : 0);

	if (!failed(via_sys(SYS_mremap, r->addr, r->len, r->len, flags, to)))
		return;
	for (uint64_t at = 0; at < r->len; at += PAGE)
		via_sys(SYS_mremap, r->addr + at, PAGE, PAGE, flags, to + at);
}

static bool remember(uint64_t addr, uint64_t len)
{
	uint64_t old = via_lock(&lock);
	bool done = false;

	for (uint32_t i = 0; i < MAX_ASIDE && !done; i++)
		if (!aside[i].len) {
			aside[i] = (struct via_door_range){addr, len};
			__atomic_add_fetch(&n_aside, 1, __ATOMIC_RELAXED);
			done = true;
		}
	via_unlock(&lock, old);
	return done;
}

static bool put_aside(const struct via_door_range *r, bool stay)
{
	long to = via_sys(SYS_mmap, NULL, r->len, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (failed(to))
		return false;
	if (moved(r->addr, r->len, (uint64_t)to, false) < 0) {
		via_sys(SYS_munmap, to, r->len);
		return false;
	}
	move_pages(r, (uint64_t)to, stay);
	moved(0, 0, 0, true);
	/* Without a place to remember them they stay until the process ends. */
	(void)remember((uint64_t)to, r->len);
	return true;
}

void via_pins_rescue(uint64_t start, uint64_t end, bool stay)
{
	struct via_door_range ranges[BATCH];
	int64_t n = BATCH;

	if (!concerned(start, end) || !via_client_present())
		return;
	for (int round = 0; round < ROUNDS && n == BATCH; round++) {
		n = held(start, end, ranges);
		for (int64_t i = 0; i < n; i++)
			if (!put_aside(&ranges[i], stay))
				return;
	}
}

void via_pins_collect(void)
{
	struct via_door_range ranges[BATCH];

	for (uint32_t i = 0; __atomic_load_n(&n_aside, __ATOMIC_RELAXED) && i < MAX_ASIDE; i++) {
		uint64_t old = via_lock(&lock);
		struct via_door_range r = aside[i];

		aside[i].len = 0;
		via_unlock(&lock, old);
		if (!r.len)
			continue;
		__atomic_sub_fetch(&n_aside, 1, __ATOMIC_RELAXED);
		if (held(r.addr, r.addr + r.len, ranges) == 0)
			via_sys(SYS_munmap, r.addr, r.len);
		else
			(void)remember(r.addr, r.len);
	}
}

bool via_pins_memory(unsigned long command, uint64_t arg, uint64_t *ret_addr, uint64_t *ret_len)
{
	struct via_vfio_iommu_type1_dma_map map;
	struct via_iommu_ioas_map ioas_map;

	if (command == VIA_VFIO_IOMMU_MAP_DMA && !via_self_read(&map, arg, sizeof(map))) {
		*ret_addr = map.vaddr;
		*ret_len = map.size;
		return true;
	}
	if (command == VIA_IOMMU_IOAS_MAP && !via_self_read(&ioas_map, arg, sizeof(ioas_map))) {
		*ret_addr = ioas_map.user_va;
		*ret_len = ioas_map.length;
		return true;
	}
	return false;
}

void via_pins_note(unsigned long command, uint64_t arg, int64_t result)
{
	uint64_t addr, len;

	if (result < 0)
		return;
	if (command == VIA_VFIO_IOMMU_UNMAP_DMA || command == VIA_IOMMU_IOAS_UNMAP ||
	    command == VIA_IOMMU_DESTROY)
		via_pins_collect();
	/* Pinned by this call or, of an IOAS, by a later one of anybody's. */
	else if (via_pins_memory(command, arg, &addr, &len) && addr + len > addr)
		extend(addr, addr + len);
}

bool via_pins_move_begin(uint64_t start, uint64_t end)
{
	struct via_door_range ranges[BATCH];

	return concerned(start, end) && via_client_present() && held(start, end, ranges) > 0 &&
	       moved(0, 0, 0, false) == 0;
}

void via_pins_move_end(uint64_t from, uint64_t len, uint64_t to)
{
	moved(from, len, to, true);
	if (len)
		extend(to, to + len);
}

void via_pins_after_fork(void)
{
	via_lock_reset(&lock);
	lowest = UINT64_MAX;
	highest = 0;
	for (uint32_t i = 0; n_aside && i < MAX_ASIDE; i++)
		if (aside[i].len) {
			via_sys(SYS_munmap, aside[i].addr, aside[i].len);
			aside[i].len = 0;
			n_aside--;
		}
}
