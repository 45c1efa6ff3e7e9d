/* SPDX-License-Identifier: MIT */
/*
 * Cases of the specification of I/O address spaces (11.2, 11.3), as far as
 * they are below the ioctls, and calls that meet one that is under way.
 */
#include "iommu/access.h"
#include "iommu/dma.h"
#include "iommu/ioas.h"
#include "memory/guard.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define PAGE 4096u
#define RW (VIA_PROT_READ | VIA_PROT_WRITE)
#define FIXED VIA_IOAS_FIXED
#define VA ((uint64_t)0x7f0000000000)

static const struct via_ledger_owner nobody;

static struct via_mm *self;
static struct via_space *space;
static struct via_pages *all; /* all addresses */
static struct via_ioas *ioas, *other;
static struct via_domain *dom;
static uint8_t *mem; /* 64 pages */

#define MEM_PAGES 64u

static int setup(void **state)
{
	self = via_mm_self();
	assert_int_equal(via_space_new_mm(self, &space), 0);
	assert_int_equal(via_pages_new_memory(space, 0, (uint64_t)1 << 47, true, &nobody, &all), 0);
	assert_int_equal(via_ioas_new_bare(&ioas), 0);
	assert_int_equal(via_ioas_new_bare(&other), 0);
	mem = mmap(NULL, MEM_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		   0);
	assert_ptr_not_equal(mem, MAP_FAILED);
	return 0;
}

static int teardown(void **state)
{
	via_domain_free(dom);
	dom = NULL;
	via_ioas_put(ioas);
	via_ioas_put(other);
	assert_int_equal(via_pages_pinned(all), 0);
	via_pages_put(all);
	via_space_put(space);
	via_mm_put(self);
	(void)munmap(mem, MEM_PAGES * PAGE);
	return 0;
}

/* The table of the kernel's mock device. */
static int attach(void)
{
	static const struct via_domain_config config = { 0x1800, 16 << 20, 0x7fffffff, true, true };

	return via_domain_new(ioas, &config, &dom);
}

static int map(via_iova_t iova, uint64_t addr, uint64_t len, unsigned int prot)
{
	return via_ioas_map_pages(ioas, all, addr, len, prot, FIXED, &iova, NULL);
}

static int map_mem(via_iova_t iova, uint32_t page, uint64_t len, unsigned int prot)
{
	return map(iova, (uintptr_t)mem + (uint64_t)page * PAGE, len, prot);
}

/* The IOVA chosen, or an errno. */
static int64_t choose(uint64_t addr, uint64_t len)
{
	via_iova_t iova = 0xdead;
	int rc = via_ioas_map_pages(ioas, all, addr, len, RW, 0, &iova, NULL);

	return rc ? rc : (int64_t)iova;
}

/* The bytes unmapped, or an errno. */
static int64_t unmap(via_iova_t iova, uint64_t len)
{
	uint64_t bytes = 0;
	int rc = via_ioas_unmap_range(ioas, iova, iova + (len - 1), &bytes);

	return rc ? rc : (int64_t)bytes;
}

static int allow(via_iova_t first, via_iova_t last)
{
	return via_ioas_allow(ioas, &(struct via_iova_range){ first, last }, 1);
}

static int copy(via_iova_t src, uint64_t len, via_iova_t dst, unsigned int prot)
{
	return via_ioas_copy(other, ioas, src, len, prot, FIXED, &dst);
}

/* 11.2 --------------------------------------------------------------------------- */

static void test_cases_11_to_14_empty(void **state)
{
	assert_int_equal(map(0, VA, 0x1000, RW), 0);
	assert_int_equal(unmap(0, 0x1000), 0x1000);
	assert_int_equal(choose(VA + 0x1000, 0x1000), 0x1000);
	assert_int_equal(unmap(0x1000, 0x1000), 0x1000);
	assert_int_equal(choose(VA + 0x1234, 0x1000), 0x1234);
	assert_int_equal(unmap(0x1234, 0x1000), 0x1000);
	assert_int_equal(choose(VA + 0x200000, 0x300000), 0x200000);
}

static void test_case_15_alignment_is_capped(void **state)
{
	const uint64_t len = 0x40000000;
	uint64_t addr = 0x7f0040000000;
	void *p = mmap((void *)(uintptr_t)addr, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS |
		       MAP_FIXED_NOREPLACE | MAP_NORESERVE, -1, 0);
	via_iova_t iova;

	if (p == MAP_FAILED)
		skip();
	assert_int_equal(attach(), 0);
	assert_int_equal(via_ioas_map_pages(ioas, all, addr, len, RW, 0, &iova, NULL), 0);
	assert_int_equal(iova, 0x1000000);
	assert_int_equal(unmap(0, UINT64_MAX), len);
	(void)munmap(p, len);
}

static int file(uint64_t start, uint64_t len, unsigned int flags, via_iova_t *iova, int fd)
{
	struct via_pages *pages;
	int rc = via_pages_new_file(fd, start, len, true, &nobody, &pages);

	if (rc)
		return rc;
	rc = via_ioas_map_pages(ioas, pages, 0, len, RW, flags, iova, NULL);
	via_pages_put(pages);
	return rc;
}

static int memfd(uint32_t pages)
{
	int fd = memfd_create("case", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)pages * PAGE), 0);
	return fd;
}

static void test_cases_16_49_50_51_files(void **state)
{
	int fd = memfd(8), small = memfd(4), pipes[2];
	via_iova_t iova;

	assert_int_equal(file(0, 0x5000, 0, &iova, fd), 0);
	assert_int_equal(iova, 0x8000);
	assert_int_equal(unmap(0, UINT64_MAX), 0x5000);

	/* 49, 50: looked at when it is pinned. */
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(file(0x1000, 0x4000, FIXED, &(via_iova_t){ 0x1000000 }, small), 0);
	assert_int_equal(attach(), -EINVAL);
	assert_int_equal(unmap(0x1000000, 0x4000), 0x4000);
	assert_int_equal(file(0, 0x1000, FIXED, &(via_iova_t){ 0x1000000 }, pipes[0]), 0);
	assert_int_equal(attach(), -EINVAL);
	assert_int_equal(unmap(0x1000000, 0x1000), 0x1000);
	assert_int_equal(attach(), 0);
	assert_int_equal(file(0x1000, 0x4000, FIXED, &(via_iova_t){ 0x1000000 }, small), -EINVAL);
	assert_int_equal(file(0, 0x1000, FIXED, &(via_iova_t){ 0x1000000 }, pipes[0]), -EINVAL);
	assert_true(via_ioas_empty(ioas));

	/* 51 */
	assert_int_equal(file(0x800, 0x800, FIXED, &(via_iova_t){ 0x1000000 }, fd), 0);
	assert_int_equal(unmap(0x1000000, 0x800), 0x800);
	assert_int_equal(via_ioas_set_large_pages(ioas, false), 0);
	assert_int_equal(file(0x800, 0x800, FIXED, &(via_iova_t){ 0x1000000 }, fd), -EINVAL);
	(void)close(pipes[0]);
	(void)close(pipes[1]);
	(void)close(small);
	(void)close(fd);
}

static void test_cases_17_18_first_fit(void **state)
{
	assert_int_equal(map(0x2000, VA, 0x1000, RW), 0);
	assert_int_equal(choose(VA + 0x2000, 0x2000), 0x4000);
	assert_int_equal(unmap(0, UINT64_MAX), 0x3000);
	assert_int_equal(choose(VA + 0x1000, 0x3000), 0x1000);
	assert_int_equal(unmap(0, UINT64_MAX), 0x3000);
	assert_int_equal(choose(VA + 0x4000, 0x3000), 0x4000);
}

static void test_cases_19_20_36_allowed(void **state)
{
	assert_int_equal(allow(0x10000, 0x10fff), 0);
	assert_int_equal(choose(VA, 0x1000), 0x10000);
	assert_int_equal(choose(VA, 0x1000), -ENOSPC);
	assert_int_equal(unmap(0x10000, 0x1000), 0x1000);
	assert_int_equal(allow(0x10000, 0x10ffe), 0);
	assert_int_equal(choose(VA, 0x1000), -ENOSPC);
	assert_int_equal(map(0x50000, VA, 0x1000, RW), 0);
	/* None is no restriction. */
	assert_int_equal(via_ioas_allow(ioas, NULL, 0), 0);
	assert_int_equal(choose(VA, 0x1000), 0x1000);
}

static void test_case_21_offset_is_ored(void **state)
{
	assert_int_equal(map(0x1003, VA, 1, RW), 0);
	assert_int_equal(choose(VA + 0x1003, 1), 0x1007);
}

static void test_cases_22_23_with_domain(void **state)
{
	assert_int_equal(attach(), 0);
	assert_int_equal(via_ioas_alignment(ioas), 2048);
	assert_int_equal(choose((uintptr_t)mem + 0x1400, 0x800), -EINVAL);
	assert_int_equal(choose((uintptr_t)mem + 0x1800, 0x800), 0x1000800);
	assert_int_equal(choose((uintptr_t)mem + 0x1800, 0x800), 0x1001800);
}

static void test_case_24_no_overflow(void **state)
{
	assert_int_equal(via_ioas_reserve(ioas, 6, 6 + 0xffffffffffff8000, NULL), 0);
	assert_int_equal(choose(VA + 0x200000, 0x5000), -ENOSPC);
	/* NULL is nobody, and stays. */
	via_ioas_unreserve(ioas, NULL);
	assert_int_equal(choose(VA + 0x200000, 0x5000), -ENOSPC);
}

static void test_case_25_large_page(void **state)
{
	assert_int_equal(map(0x200000, VA, 0x1000, RW), 0);
	assert_int_equal(choose(VA + 0x200000, 0x200000), 0x400000);
}

static void test_cases_26_29_30_31_fixed(void **state)
{
	assert_int_equal(map(0x1000, VA, 0, RW), -EINVAL);
	assert_int_equal(map(-(uint64_t)0x1000, VA, 0x1000, RW), 0);
	assert_int_equal(unmap(-(uint64_t)0x1000, 0x1000), 0x1000);
	assert_int_equal(map(-(uint64_t)0x1000, VA, 0x2000, RW), -EOVERFLOW);
	assert_int_equal(map(0x1000, VA, 0x2000, RW), 0);
	assert_int_equal(map(0x2fff, VA, 1, RW), -EEXIST);
	assert_int_equal(map(0x3000, VA, 1, RW), 0);
	assert_int_equal(via_ioas_reserve(ioas, 0x8000, 0x8fff, NULL), 0);
	assert_int_equal(map(0x8000, VA, 0x1000, RW), -EINVAL);
	assert_int_equal(map(0x1000, VA, 0x8000, RW), -EINVAL);
	assert_int_equal(via_ioas_reserve(ioas, 0x2fff, 0x5000, NULL), -EADDRINUSE);
}

static void test_cases_32_33_34_attach_refused(void **state)
{
	assert_int_equal(map_mem(0x1000000, 0, 0x801, RW), 0);
	assert_int_equal(attach(), -EADDRINUSE);
	assert_int_equal(unmap(0x1000000, 0x801), 0x801);
	assert_int_equal(map_mem(0x1000, 0, 0x1000, RW), 0);
	assert_int_equal(attach(), -EADDRINUSE);
	assert_int_equal(unmap(0x1000, 0x1000), 0x1000);
	assert_int_equal(munmap(mem + 3 * PAGE, PAGE), 0);
	assert_int_equal(map_mem(0x1000000, 0, 2 * PAGE, RW), 0);
	assert_int_equal(map_mem(0x2000000, 3, PAGE, RW), 0);
	assert_int_equal(attach(), -EFAULT);
	/* Nothing is left of it: no pin, no reservation, no alignment. */
	assert_int_equal(via_pages_pinned(all), 0);
	assert_int_equal(via_ioas_alignment(ioas), 1);
	assert_int_equal(map_mem(0x801, 0, 1, RW), 0);
	assert_int_equal(unmap(0x801, 1), 1);
	assert_int_equal(unmap(0x2000000, PAGE), PAGE);
	assert_int_equal(attach(), 0);
	assert_int_equal(via_pages_pinned(all), 2);
}

static void test_case_35_protection(void **state)
{
	assert_int_equal(attach(), 0);
	assert_int_equal(mprotect(mem, PAGE, PROT_READ), 0);
	assert_int_equal(map_mem(0x1000000, 0, PAGE, RW), -EFAULT);
	assert_true(via_ioas_empty(ioas));
	/* A map that only reads has a store of its own, which is not writable. */
	assert_int_equal(via_ioas_map_area(ioas, 0x1000000, space, (uintptr_t)mem, PAGE,
					   VIA_PROT_READ, NULL), 0);
}

static void test_case_37_refused_lists(void **state)
{
	struct via_iova_range two[] = { { 0x10000, 0x1ffff }, { 0x1f000, 0x2ffff } };

	assert_int_equal(via_ioas_reserve(ioas, 0x8000, 0x8fff, &two), 0);
	assert_int_equal(allow(0x40000, 0x40fff), 0);
	assert_int_equal(allow(0x1000, 0x1000), -EINVAL);
	assert_int_equal(via_ioas_allow(ioas, two, 2), -EINVAL);
	assert_int_equal(allow(0, 0x8000), -EADDRINUSE);
	assert_int_equal(choose(VA, 0x1000), 0x40000);
	/* And the other way round. */
	assert_int_equal(via_ioas_reserve(ioas, 0x30000, 0x40000, &two), -EADDRINUSE);
	via_ioas_unreserve(ioas, &two);
	assert_int_equal(allow(0, 0x8000), 0);
}

static void test_cases_38_40_41_42_unmap(void **state)
{
	uint64_t bytes;

	assert_int_equal(unmap(0, 0), 0);
	assert_int_equal(via_ioas_unmap_range(ioas, 0, UINT64_MAX, &bytes), 0);
	assert_int_equal(map(0x1000, VA, 0x1000, RW), 0);
	assert_int_equal(map(0x3000, VA, 0x1000, RW), 0);
	assert_int_equal(unmap(0, 0x10000), 0x2000);

	assert_int_equal(map(0x1000, VA, 0x1000, RW), 0);
	assert_int_equal(map(0x3000, VA, 0x2000, RW), 0);
	assert_int_equal(via_ioas_unmap_range(ioas, 0x1000, 0x3fff, &bytes), -ENOENT);
	assert_int_equal(bytes, 0x1000);
	assert_int_equal(via_ioas_find(ioas, 0)->first, 0x3000);
	assert_int_equal(unmap(0x4000, 0x1000), -ENOENT);
	assert_int_equal(unmap(0x3000, 0x2000), 0x2000);
}

static void test_cases_43_44_ranges(void **state)
{
	struct via_iova_range ranges[4];

	assert_int_equal(via_ioas_ranges(ioas, ranges, 4), 1);
	assert_true(ranges[0].first == 0 && ranges[0].last == UINT64_MAX);
	assert_int_equal(via_ioas_reserve(ioas, 0x1000, 0x1fff, &ranges), 0);
	assert_int_equal(via_ioas_reserve(ioas, 0x1800, 0x2fff, &ranges), 0);
	assert_int_equal(via_ioas_reserve(ioas, 0x8000, UINT64_MAX, &ranges), 0);
	assert_int_equal(via_ioas_ranges(ioas, NULL, 0), 2);
	assert_int_equal(via_ioas_ranges(ioas, ranges, 4), 2);
	assert_true(ranges[0].first == 0 && ranges[0].last == 0xfff);
	assert_true(ranges[1].first == 0x3000 && ranges[1].last == 0x7fff);
	assert_int_equal(via_ioas_reserve(ioas, 0, UINT64_MAX, &ranges), 0);
	assert_int_equal(via_ioas_ranges(ioas, ranges, 4), 0);
}

static void test_cases_45_46_copy(void **state)
{
	uint64_t bytes;

	assert_int_equal(map(0x1000, VA, 0x1000, RW), 0);
	assert_int_equal(map(0x2000, VA + 0x8000, 0x1000, RW), 0);
	assert_int_equal(copy(0x1800, 0x1000, 0, RW), 0);
	assert_int_equal(via_ioas_unmap_range(other, 0, 0x7ff, &bytes), 0);
	assert_int_equal(bytes, 0x800);
	assert_int_equal(copy(0x2800, 0x1000, 0x10000, RW), -ENOENT);
	assert_int_equal(copy(0x1000, 0x1000, 0x800, RW), -EEXIST);
	assert_int_equal(copy(0x1000, 0, 0, RW), -EINVAL);
	assert_int_equal(copy(UINT64_MAX - 1, 4, 0, RW), -EOVERFLOW);
	/* To where it comes from. */
	assert_int_equal(via_ioas_copy(ioas, ioas, 0x1000, 0x2000, RW, 0, &bytes), 0);
	assert_int_equal(bytes, 0x4000);
	assert_int_equal(unmap(0x5000, 0x1000), 0x1000);
}

static void test_cases_47_48_copy_of_protected(void **state)
{
	struct via_pages *pages;
	via_iova_t iova = 0x1000;

	assert_int_equal(via_pages_new_memory(space, VA, PAGE, false, &nobody, &pages), 0);
	assert_int_equal(via_ioas_map_pages(ioas, pages, 0, PAGE, VIA_PROT_READ, FIXED, &iova,
					    NULL), 0);
	via_pages_put(pages);
	assert_int_equal(copy(0x1000, PAGE, 0, RW), -EPERM);
	assert_int_equal(copy(0x1000, PAGE, 0, VIA_PROT_READ), 0);
	assert_int_equal(map(0x2000, VA, PAGE, VIA_PROT_WRITE), 0);
	assert_int_equal(copy(0x2000, PAGE, 0x2000, VIA_PROT_READ), 0);
	assert_true(via_ioas_find(other, 0)->pages == pages);
}

/* 11.3 --------------------------------------------------------------------------- */

static void test_case_55_large_pages(void **state)
{
	assert_int_equal(attach(), 0);
	assert_int_equal(via_ioas_set_large_pages(ioas, false), 0);
	assert_int_equal(via_ioas_alignment(ioas), PAGE);
	assert_int_equal(via_ioas_set_large_pages(ioas, true), 0);
	assert_int_equal(map_mem(0x1000000, 0, PAGE, RW), 0);
	assert_int_equal(via_ioas_set_large_pages(ioas, false), -EINVAL);
	assert_true(via_ioas_large_pages(ioas));
	via_domain_free(dom);
	dom = NULL;
	assert_int_equal(map(0x800, VA, PAGE, RW), 0);
	assert_int_equal(via_ioas_set_large_pages(ioas, false), -EADDRINUSE);
	assert_int_equal(via_ioas_set_large_pages(ioas, true), 0);
	assert_int_equal(unmap(0x800, PAGE), PAGE);
	assert_int_equal(via_ioas_set_large_pages(ioas, false), 0);
	/* Already so: nothing is asked. */
	assert_int_equal(attach(), 0);
	assert_int_equal(via_ioas_set_large_pages(ioas, false), 0);
}

/* An owner with a limit of its own. */
static struct via_mm limited;
static const struct via_mm_ops *self_ops;

static void never_free(struct via_mm *mm)
{
}

static void limit(uint64_t pages)
{
	static struct via_mm_ops ops;

	self_ops = self->ops;
	ops = *self_ops;
	ops.free = never_free;
	limited = (struct via_mm){ .ops = &ops, .refs = 1, .memlock_limit = pages * PAGE };
}

static int map_charged(via_iova_t iova, uint32_t page, uint32_t n)
{
	const struct via_ledger_owner owner = { .mm = &limited, .mode = VIA_CHARGE_MM,
						.enforce = true };
	struct via_pages *pages;
	int rc = via_pages_new_memory(space, (uintptr_t)mem + (uint64_t)page * PAGE,
				      (uint64_t)n * PAGE, true, &owner, &pages);

	assert_int_equal(rc, 0);
	rc = via_ioas_map_pages(ioas, pages, 0, (uint64_t)n * PAGE, RW, FIXED, &iova, NULL);
	via_pages_put(pages);
	return rc;
}

static void test_cases_57_58_61_limits(void **state)
{
	static const struct via_domain_config config = { 0x1000, 0, UINT64_MAX, true, true };
	struct via_domain *second;
	via_iova_t iova;

	limit(16);
	/* 61: nothing is charged before it is pinned. */
	assert_int_equal(map_charged(0x1000000, 0, 17), 0);
	assert_int_equal(attach(), -ENOMEM);
	assert_int_equal(unmap(0x1000000, 17 * PAGE), 17 * PAGE);
	assert_int_equal(attach(), 0);
	/* 57 */
	assert_int_equal(map_charged(0x1000000, 0, 16), 0);
	assert_int_equal(via_domain_new(ioas, &config, &second), 0);
	assert_int_equal(via_ioas_copy(ioas, ioas, 0x1000000, 16 * PAGE, RW, 0, &iova), 0);
	assert_int_equal(map_charged(0x2000000, 16, 1), -ENOMEM);
	assert_int_equal(unmap(0x1000000, 16 * PAGE), 16 * PAGE);
	assert_int_equal(map_charged(0x2000000, 16, 1), -ENOMEM); /* the copy pins them */
	assert_int_equal(unmap(iova, 16 * PAGE), 16 * PAGE);
	/* 58: stores of their own. */
	assert_int_equal(map_charged(0x2000000, 0, 8), 0);
	assert_int_equal(map_charged(0x3000000, 0, 8), 0);
	assert_int_equal(map_charged(0x4000000, 0, 8), -ENOMEM);
	via_domain_free(dom);
	dom = NULL;
	assert_int_equal(via_ledger_pages(&limited), 16);
	via_domain_free(second);
	assert_int_equal(via_ledger_pages(&limited), 0);
}

static void test_cases_62_63_change_of_owner(void **state)
{
	struct via_ioas *const both[] = { other, ioas };
	struct via_ledger_owner owner = { .mm = &limited, .mode = VIA_CHARGE_MM, .enforce = true };
	struct via_ledger_owner old = { .mm = self, .mode = VIA_CHARGE_MM, .enforce = true };
	uint64_t before = via_ledger_pages(self);
	struct via_pages *pages;
	via_iova_t iova = 0x1000000;
	int fd = memfd(4);

	limit(3);
	self->memlock_limit = before * PAGE + ((uint64_t)1 << 20);
	assert_int_equal(via_ioas_change_owner(both, 2, &owner), 0);
	assert_int_equal(map(0x1000000, VA, PAGE, RW), 0);
	assert_int_equal(via_ioas_change_owner(both, 2, &owner), -EINVAL);
	assert_int_equal(unmap(0x1000000, PAGE), PAGE);
	assert_int_equal(attach(), 0);
	assert_int_equal(via_pages_new_file(fd, 0, 4 * PAGE, true, &old, &pages), 0);
	assert_int_equal(via_ioas_map_pages(ioas, pages, 0, 4 * PAGE, RW, FIXED, &iova, NULL), 0);
	via_pages_put(pages);
	assert_int_equal(copy(0x1000000, 4 * PAGE, 0, RW), 0);
	assert_int_equal(via_ledger_pages(self), before + 4);
	assert_int_equal(via_ioas_change_owner(both, 2, &owner), -ENOMEM);
	assert_int_equal(via_ledger_pages(self), before + 4);
	limited.memlock_limit = 4 * PAGE;
	/* Of two areas, once. */
	assert_int_equal(via_ioas_change_owner(both, 2, &owner), 0);
	assert_int_equal(via_ledger_pages(self), before);
	assert_int_equal(via_ledger_pages(&limited), 4);
	assert_int_equal(unmap(0, 0), 4 * PAGE);
	assert_int_equal(via_ledger_pages(&limited), 0);
	(void)close(fd);
}

/* Calls that meet a map that is under way ---------------------------------------------- */

static sem_t probing, go_on;
static bool stop_probes;

static int slow_probe(struct via_mm *mm, uint64_t addr, uint64_t len, unsigned int prot)
{
	if (stop_probes) {
		(void)sem_post(&probing);
		while (sem_wait(&go_on))
			;
	}
	return self_ops->probe(mm, addr, len, prot);
}

static void *map_slowly(void *arg)
{
	struct via_pages *pages = arg;
	via_iova_t iova = 0x1000000;

	return (void *)(intptr_t)via_ioas_map_pages(ioas, pages, 0, PAGE, RW, FIXED, &iova, NULL);
}

static void test_map_under_way(void **state)
{
	static struct via_mm_ops ops;
	struct via_ioas *const one[] = { ioas };
	struct via_space *slow;
	struct via_pages *pages;
	struct via_mm mm;
	uint64_t bytes;
	pthread_t thread;
	void *ret;

	self_ops = self->ops;
	ops = *self_ops;
	ops.probe = slow_probe;
	ops.free = never_free;
	mm = (struct via_mm){ .ops = &ops, .refs = 1, .memlock_limit = UINT64_MAX };
	stop_probes = true;
	assert_int_equal(sem_init(&probing, 0, 0), 0);
	assert_int_equal(sem_init(&go_on, 0, 0), 0);
	assert_int_equal(via_space_new_mm(&mm, &slow), 0);
	assert_int_equal(via_pages_new_memory(slow, (uintptr_t)mem, PAGE, true, &nobody, &pages), 0);
	assert_int_equal(attach(), 0);
	assert_int_equal(map_mem(0x1002000, 4, PAGE, RW), 0);
	assert_int_equal(pthread_create(&thread, NULL, map_slowly, pages), 0);
	while (sem_wait(&probing))
		;
	assert_int_equal(map_mem(0x1000000, 5, PAGE, RW), -EEXIST);
	assert_int_equal(choose((uintptr_t)mem, PAGE), 0x1001000);
	assert_int_equal(unmap(0x1000000, PAGE), -EBUSY);
	assert_int_equal(copy(0x1000000, PAGE, 0, RW), -ENOENT);
	assert_int_equal(via_ioas_change_owner(one, 1, &nobody), -EBUSY);
	assert_int_equal(via_ioas_reserve(ioas, 0x1000000, 0x1000fff, NULL), -EADDRINUSE);
	assert_int_equal(via_ioas_cut(ioas, 0x1000000 + 2047, false), -EBUSY);
	/* Everything: what is before it goes. */
	assert_int_equal(unmap(0x1001000, PAGE), PAGE);
	assert_int_equal(via_ioas_unmap_range(ioas, 0, UINT64_MAX, &bytes), -EBUSY);
	assert_int_equal(bytes, 0);
	(void)sem_post(&go_on);
	assert_int_equal(pthread_join(thread, &ret), 0);
	assert_int_equal((intptr_t)ret, 0);
	assert_int_equal(copy(0x1000000, PAGE, 0, RW), 0);
	assert_int_equal(unmap(0, 0), 2 * PAGE);
	stop_probes = false;
	via_pages_put(pages);
	assert_int_equal(via_ioas_unmap_range(other, 0, UINT64_MAX, &bytes), 0);
	via_space_put(slow);
}

/* Accesses ------------------------------------------------------------------------------- */

struct pinner {
	struct via_access *access;
	via_iova_t iova;
	uint64_t len;
	unsigned int calls, ignore; /* so many calls do nothing */
};

static void give_up(void *cookie, via_iova_t iova, uint64_t len)
{
	struct pinner *p = cookie;

	if (p->calls++ >= p->ignore)
		(void)via_access_unpin(p->access, p->iova, p->len, 0);
}

static void pin(struct pinner *p, via_iova_t iova, uint64_t len)
{
	struct via_piece *pieces;
	size_t n;

	p->iova = iova;
	p->len = len;
	p->calls = 0;
	assert_int_equal(via_access_pin(p->access, iova, len, 0, &pieces, &n), 0);
	via_pieces_free(pieces, n);
}

static void test_cases_66_68_unmap_of_pinned(void **state)
{
	static const struct via_access_ops ops = { give_up };
	struct pinner p = { 0 };
	uint64_t bytes;

	assert_int_equal(via_access_new(&ops, &p, &p.access), 0);
	assert_int_equal(map_mem(0x800, 0, 0x800, RW), 0);
	assert_int_equal(via_access_attach(p.access, ioas), -EADDRINUSE);
	assert_int_equal(via_ioas_alignment(ioas), 1);
	assert_int_equal(unmap(0x800, 0x800), 0x800);
	assert_int_equal(via_access_attach(p.access, ioas), 0);
	assert_int_equal(via_ioas_alignment(ioas), PAGE);

	for (via_iova_t iova = 0; iova < 3 * PAGE; iova += PAGE)
		assert_int_equal(map_mem(iova, 0, PAGE, RW), 0);
	/* Asked three times, then all goes. */
	p.ignore = 2;
	pin(&p, PAGE, PAGE);
	assert_int_equal(via_ioas_cut(ioas, PAGE + 2047, false), -EINVAL);
	assert_int_equal(unmap(0, 3 * PAGE), 3 * PAGE);
	assert_int_equal(p.calls, 3);

	/* One that does not: what lies before has gone. */
	for (via_iova_t iova = 0; iova < 3 * PAGE; iova += PAGE)
		assert_int_equal(map_mem(iova, 0, PAGE, RW), 0);
	p.ignore = 1000;
	pin(&p, PAGE, PAGE);
	assert_int_equal(via_ioas_unmap_range(ioas, 0, 3 * PAGE - 1, &bytes), -EDEADLK);
	assert_int_equal(bytes, PAGE);
	assert_int_equal(p.calls, 100);
	assert_int_equal(via_access_unpin(p.access, PAGE, PAGE, 0), 0);
	assert_int_equal(unmap(PAGE, 2 * PAGE), 2 * PAGE);
	via_access_free(p.access);
	assert_int_equal(via_ioas_alignment(ioas), 1);
}

/* Other pages for an area: by its first byte, and no other. */
static void test_replace_what_is_not_there(void **state)
{
	assert_int_equal(via_ioas_replace(ioas, PAGE, all), -ENOENT);
	assert_int_equal(map_mem(PAGE, 0, 2 * PAGE, RW), 0);
	assert_int_equal(via_ioas_replace(ioas, 0, all), -ENOENT);
	assert_int_equal(via_ioas_replace(ioas, 2 * PAGE, all), -ENOENT);
	assert_int_equal(via_ioas_replace(ioas, 3 * PAGE, all), -ENOENT);
	assert_int_equal(unmap(0, 4 * PAGE), 2 * PAGE);
}

static void test_cut_with_pins(void **state)
{
	static const struct via_access_ops ops = { give_up };
	struct pinner p = { 0 };

	assert_int_equal(via_access_new(&ops, &p, &p.access), 0);
	assert_int_equal(via_access_attach(p.access, ioas), 0);
	assert_int_equal(map_mem(0, 0, 4 * PAGE, RW), 0);
	pin(&p, 2 * PAGE, PAGE);
	assert_int_equal(via_ioas_cut(ioas, PAGE - 1, false), -EINVAL);
	assert_int_equal(via_ioas_cut(ioas, PAGE - 1, true), 0);
	assert_int_equal(via_ioas_cut(ioas, 2 * PAGE - 1, true), 0);
	/* What is not pinned can go without anybody being asked. */
	assert_int_equal(unmap(0, 2 * PAGE), 2 * PAGE);
	assert_int_equal(p.calls, 0);
	assert_int_equal(unmap(0, 0), 2 * PAGE);
	assert_int_equal(p.calls, 1);
	via_access_free(p.access);
}

/* Domains and devices -------------------------------------------------------------------- */

static unsigned int n_gone; /* atomic: messages about memory that is not there */

static void on_log(void *cookie, enum via_log_level level, const char *text)
{
	if (strstr(text, "memory behind"))
		__atomic_add_fetch(&n_gone, 1, __ATOMIC_RELAXED);
}

static void test_domains_come_and_go(void **state)
{
	static const struct via_domain_config config = { 0x1000, 0, 0xffffffff, true, true };
	struct via_domain *second;
	struct via_dma *dma;
	uint32_t value = 0;

	via_log_set(on_log, NULL, VIA_LOG_WARNING);
	assert_int_equal(via_dma_new("test", &dma), 0);
	via_dma_enable(dma, true);
	memcpy(mem, "abc", 4);
	assert_int_equal(map_mem(0x1000000, 0, PAGE, RW), 0);
	/* Attached to an IOAS without a domain: nothing is loaded. */
	assert_int_equal(via_dma_attach(dma, ioas), 0);
	assert_int_equal(via_dma_read(dma, 0x1000000, &value, 4), -EFAULT);
	assert_int_equal(attach(), 0);
	assert_int_equal(via_domain_new(ioas, &config, &second), 0);
	assert_int_equal(via_ioas_alignment(ioas), PAGE);
	assert_int_equal(via_dma_attach_domain(dma, dom), 0);
	assert_int_equal(via_dma_read(dma, 0x1000000, &value, 4), 0);
	assert_memory_equal(&value, "abc", 4);
	assert_int_equal(via_dma_attach_domain(dma, second), 0);
	via_domain_free(dom);
	dom = NULL;
	/* What the first one reserved has gone with it, what the second one did has not. */
	assert_int_equal(map_mem(0, 0, PAGE, RW), 0);
	assert_int_equal(map_mem(0x100000000, 0, PAGE, RW), -EINVAL);
	assert_int_equal(via_dma_read(dma, 0x1000000, &value, 4), 0);
	assert_int_equal(via_dma_attach(dma, NULL), 0);
	via_domain_free(second);
	assert_int_equal(via_pages_pinned(all), 0);
	assert_int_equal(via_ioas_alignment(ioas), 1);
	assert_int_equal(map_mem(0x100000000, 0, PAGE, RW), 0);
	via_dma_free(dma);
	via_log_set(NULL, NULL, VIA_LOG_WARNING);
}

static int note(void *cookie, via_iova_t first, via_iova_t last)
{
	struct via_iova_range *range = cookie;

	assert_int_equal(range->first, 0); /* one run */
	*range = (struct via_iova_range){ first, last };
	return 0;
}

static void test_dirty_tracking(void **state)
{
	static const struct via_domain_config config = { 0x1000, 0, UINT64_MAX, true, true };
	struct via_iova_range range = { 0 };
	struct via_dma_seg seg = { 0x1000000, 8 };
	struct via_dirty_store *dirty;
	struct via_domain *second;
	struct via_lease lease;
	struct via_dma *dma;
	uint8_t buf[PAGE] = { 0 };
	size_t n;

	assert_int_equal(via_dma_new("test", &dma), 0);
	via_dma_enable(dma, true);
	assert_int_equal(attach(), 0);
	assert_int_equal(via_domain_new(ioas, &config, &second), 0);
	assert_int_equal(map_mem(0x1000000, 0, 4 * PAGE, RW), 0);
	assert_int_equal(via_dma_attach_domain(dma, dom), 0);
	assert_null(via_domain_dirty(dom));
	assert_int_equal(via_dma_write(dma, 0x1000000, buf, 1), 0);
	assert_int_equal(via_domain_track(dom, true), 0);
	assert_int_equal(via_domain_track(second, true), 0);
	dirty = via_domain_dirty(dom);
	assert_int_equal(via_dirty_store_harvest(dirty, 0, UINT64_MAX, true, note, &range), 0);
	assert_int_equal(range.first, 0);
	/* One byte, and a long one; reads and failed writes do not count. */
	assert_int_equal(via_dma_write(dma, 0x10007ff, buf, 1), 0);
	assert_int_equal(via_dma_write(dma, 0x1000800, buf, 4096), 0);
	assert_int_equal(via_dma_read(dma, 0x1002000, buf, 4096), 0);
	assert_int_equal(via_dma_write(dma, 0x2000000, buf, 1), -EFAULT);
	assert_int_equal(via_dirty_store_harvest(dirty, 0, UINT64_MAX, true, note, &range), 0);
	assert_true(range.first == 0x1000000 && range.last == 0x10017ff);
	/* Not the other domain's device. */
	range.first = 0;
	assert_int_equal(via_dirty_store_harvest(via_domain_dirty(second), 0, UINT64_MAX, true,
						 note, &range), 0);
	assert_int_equal(range.first, 0);
	assert_int_equal(via_dma_lease(dma, &seg, 1, VIA_PROT_WRITE, &lease, 1, &n), -EOPNOTSUPP);
	assert_int_equal(via_dma_lease(dma, &seg, 1, VIA_PROT_READ, &lease, 1, &n), 0);
	via_lease_put(&lease);
	/* What is unmapped is not dirty any more. */
	assert_int_equal(via_dma_write(dma, 0x1003000, buf, 1), 0);
	assert_int_equal(unmap(0x1000000, 4 * PAGE), 4 * PAGE);
	assert_int_equal(via_dirty_store_harvest(dirty, 0, UINT64_MAX, true, note, &range), 0);
	assert_int_equal(range.first, 0);
	/* On again begins anew. */
	assert_int_equal(map_mem(0x1000000, 0, 4 * PAGE, RW), 0);
	assert_int_equal(via_dma_write(dma, 0x1003000, buf, 1), 0);
	assert_int_equal(via_domain_track(dom, false), 0);
	assert_int_equal(via_dma_write(dma, 0x1000000, buf, 1), 0);
	assert_int_equal(via_domain_track(dom, true), 0);
	assert_int_equal(via_dirty_store_harvest(dirty, 0, UINT64_MAX, true, note, &range), 0);
	assert_int_equal(range.first, 0);
	via_dma_free(dma);
	via_domain_free(second);
}

static bool tracked; /* atomic */

static void *track_thread(void *arg)
{
	int rc = via_domain_track(dom, true);

	__atomic_store_n(&tracked, true, __ATOMIC_RELEASE);
	return (void *)(intptr_t)rc;
}

/* What is written through a pointer is not seen: it is over before tracking begins. */
static void test_tracking_waits_for_leases(void **state)
{
	struct via_dma_seg seg = { 0x1000000, 8 };
	struct via_lease lease, read;
	struct via_dma *dma;
	pthread_t thread;
	void *ret;
	size_t n;

	tracked = false;
	assert_int_equal(via_dma_new("test", &dma), 0);
	via_dma_enable(dma, true);
	assert_int_equal(attach(), 0);
	assert_int_equal(map_mem(0x1000000, 0, PAGE, RW), 0);
	assert_int_equal(via_dma_attach_domain(dma, dom), 0);
	assert_int_equal(via_dma_lease(dma, &seg, 1, VIA_PROT_WRITE, &lease, 1, &n), 0);
	assert_int_equal(via_dma_lease(dma, &seg, 1, VIA_PROT_READ, &read, 1, &n), 0);
	assert_int_equal(pthread_create(&thread, NULL, track_thread, NULL), 0);
	for (int i = 0; i < 50; i++) {
		usleep(1000);
		assert_false(__atomic_load_n(&tracked, __ATOMIC_ACQUIRE));
	}
	via_lease_put(&lease);
	assert_int_equal(pthread_join(thread, &ret), 0);
	assert_int_equal((intptr_t)ret, 0);
	via_lease_put(&read);
	via_dma_free(dma);
}

/* Regions -------------------------------------------------------------------------------- */

/* A page of memory, and a page of registers. */
struct region {
	uint8_t *memory;
	uint8_t registers[PAGE];
	unsigned int n_accesses, n_written;
	bool released;
};

static uint8_t *region_memory(void *cookie, uint64_t offset, uint64_t *ret_len)
{
	struct region *r = cookie;

	*ret_len = PAGE - offset % PAGE;
	return offset < PAGE ? r->memory + offset : NULL;
}

static int region_access(void *cookie, uint64_t offset, void *buf, size_t len, bool write)
{
	struct region *r = cookie;

	r->n_accesses++;
	memcpy(write ? (void *)(r->registers + offset - PAGE) : buf,
	       write ? buf : (void *)(r->registers + offset - PAGE), len);
	return 0;
}

static void region_written(void *cookie)
{
	((struct region *)cookie)->n_written++;
}

static void region_release(void *cookie)
{
	((struct region *)cookie)->released = true;
}

static void test_dma_to_a_region(void **state)
{
	static const struct via_pages_region_ops ops = { region_memory, region_access,
							 region_written, region_release };
	struct region r = { .memory = mem + 8 * PAGE };
	struct via_dma_seg seg = { 0x1000000, 8 };
	struct via_pages *pages;
	struct via_lease lease;
	struct via_dma *dma;
	uint8_t buf[3 * PAGE], back[3 * PAGE];
	via_iova_t iova = 0x1000000;
	uint64_t bytes;
	size_t n;

	for (size_t i = 0; i < sizeof(buf); i++)
		buf[i] = (uint8_t)(i * 5 + i / 251);
	assert_int_equal(via_dma_new("test", &dma), 0);
	via_dma_enable(dma, true);
	assert_int_equal(attach(), 0);
	assert_int_equal(via_dma_attach_domain(dma, dom), 0);
	assert_int_equal(via_pages_new_region(&ops, &r, 0, 2 * PAGE, true, &pages), 0);
	assert_int_equal(via_ioas_map_pages(ioas, pages, 0, 2 * PAGE, RW, FIXED, &iova, NULL), 0);
	assert_int_equal(map_mem(0x1002000, 0, PAGE, RW), 0);
	/* Memory of the region, its registers, and memory in one access. */
	assert_int_equal(via_dma_write(dma, 0x1000000, buf, sizeof(buf)), 0);
	assert_memory_equal(mem + 8 * PAGE, buf, PAGE);
	assert_memory_equal(r.registers, buf + PAGE, PAGE);
	assert_memory_equal(mem, buf + 2 * PAGE, PAGE);
	assert_int_equal(r.n_written, 1);
	assert_int_equal(r.n_accesses, 1);
	assert_int_equal(via_dma_read(dma, 0x1000000, back, sizeof(back)), 0);
	assert_memory_equal(back, buf, sizeof(buf));
	assert_int_equal(via_dma_write(dma, 0x1000010, buf, 4), 0);
	assert_int_equal(r.n_written, 2);
	assert_int_equal(via_dma_write(dma, 0x1001010, buf, 4), 0);
	assert_int_equal(r.n_accesses, 3);
	/* Written by a lease, nobody would be told. */
	assert_int_equal(via_dma_lease(dma, &seg, 1, VIA_PROT_WRITE, &lease, 1, &n), -EOPNOTSUPP);
	seg.iova = 0x1001000;
	assert_int_equal(via_dma_lease(dma, &seg, 1, VIA_PROT_READ, &lease, 1, &n), -EOPNOTSUPP);

	assert_int_equal(via_ioas_cut(ioas, 0x1000fff, false), -EOPNOTSUPP);
	via_pages_revoke(pages);
	assert_int_equal(via_dma_write(dma, 0x1000010, buf, 4), -EFAULT);
	assert_int_equal(via_dma_write(dma, 0x1001010, buf, 4), -EFAULT);
	assert_int_equal(copy(0x1000000, PAGE, 0, RW), 0);
	via_pages_restore(pages);
	assert_int_equal(via_dma_write(dma, 0x1000010, buf, 4), 0);
	assert_int_equal(via_dma_write(dma, 0x1001010, buf, 4), 0);
	via_pages_put(pages);
	assert_int_equal(unmap(0x1000000, 2 * PAGE), 2 * PAGE);
	assert_false(r.released);
	/* Released with the last area, before the call returns. */
	assert_int_equal(via_ioas_unmap_range(other, 0, UINT64_MAX, &bytes), 0);
	assert_true(r.released);
	via_dma_free(dma);
}

/* Unmap against devices --------------------------------------------------------------------- */

struct racer {
	struct via_dma *dma;
	bool stop;     /* atomic */
	uint64_t hits; /* atomic */
};

static void *race(void *arg)
{
	struct racer *r = arg;
	uint64_t buf[64] = { 0 }, hits = 0;

	while (!__atomic_load_n(&r->stop, __ATOMIC_RELAXED)) {
		struct via_dma_seg seg = { 0x1000000, 64 };
		struct via_lease lease;
		size_t n;

		hits += !via_dma_write(r->dma, 0x1000000, buf, 8);
		(void)via_dma_read(r->dma, 0x1000800, buf, sizeof(buf));
		/* Over the end of one area into the next. */
		(void)via_dma_read(r->dma, 0x1000fc0, buf, 128);
		if (!via_dma_lease(r->dma, &seg, 1, VIA_PROT_READ, &lease, 1, &n)) {
			(void)__atomic_load_n((uint64_t *)lease.ptr, __ATOMIC_RELAXED);
			via_lease_put(&lease);
		}
	}
	__atomic_add_fetch(&r->hits, hits, __ATOMIC_RELAXED);
	return NULL;
}

/* 155: the memory is taken away as soon as UNMAP has returned; nobody must notice. */
static void test_case_155_no_access_after_unmap(void **state)
{
	struct racer r = { 0 };
	pthread_t threads[3];

	assert_int_equal(via_guard_install(), 0);
	via_log_set(on_log, NULL, VIA_LOG_WARNING);
	n_gone = 0;
	assert_int_equal(attach(), 0);
	assert_int_equal(via_dma_new("test", &r.dma), 0);
	via_dma_enable(r.dma, true);
	assert_int_equal(via_dma_attach_domain(r.dma, dom), 0);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, race, &r), 0);
	for (uint32_t round = 0; round < 400; round++) {
		uint32_t page = round % 2 * 2;

		assert_int_equal(map_mem(0x1000000, page, PAGE, RW), 0);
		assert_int_equal(map_mem(0x1001000, page + 1, PAGE, RW), 0);
		if (round % 4 == 0)
			usleep(100);
		/* In one piece, after a cut, or by the last domain that goes. */
		if (round % 8 == 7)
			assert_int_equal(via_ioas_cut(ioas, 0x1000000 + 2047, false), 0);
		assert_int_equal(unmap(0x1000000, 2 * PAGE), 2 * PAGE);
		assert_int_equal(mprotect(mem + page * PAGE, 2 * PAGE, PROT_NONE), 0);
		if (round % 4 == 0)
			usleep(20);
		assert_int_equal(mprotect(mem + page * PAGE, 2 * PAGE, PROT_READ | PROT_WRITE), 0);
	}
	__atomic_store_n(&r.stop, true, __ATOMIC_RELAXED);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_true(r.hits > 0);
	assert_int_equal(n_gone, 0);
	via_dma_free(r.dma);
	via_log_set(NULL, NULL, VIA_LOG_WARNING);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_cases_11_to_14_empty),
		TEST(test_case_15_alignment_is_capped),
		TEST(test_cases_16_49_50_51_files),
		TEST(test_cases_17_18_first_fit),
		TEST(test_cases_19_20_36_allowed),
		TEST(test_case_21_offset_is_ored),
		TEST(test_cases_22_23_with_domain),
		TEST(test_case_24_no_overflow),
		TEST(test_case_25_large_page),
		TEST(test_cases_26_29_30_31_fixed),
		TEST(test_cases_32_33_34_attach_refused),
		TEST(test_case_35_protection),
		TEST(test_case_37_refused_lists),
		TEST(test_cases_38_40_41_42_unmap),
		TEST(test_cases_43_44_ranges),
		TEST(test_cases_45_46_copy),
		TEST(test_cases_47_48_copy_of_protected),
		TEST(test_case_55_large_pages),
		TEST(test_cases_57_58_61_limits),
		TEST(test_cases_62_63_change_of_owner),
		TEST(test_map_under_way),
		TEST(test_cases_66_68_unmap_of_pinned),
		TEST(test_replace_what_is_not_there),
		TEST(test_cut_with_pins),
		TEST(test_domains_come_and_go),
		TEST(test_dirty_tracking),
		TEST(test_tracking_waits_for_leases),
		TEST(test_dma_to_a_region),
		TEST(test_case_155_no_access_after_unmap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
