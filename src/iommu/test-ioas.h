/* SPDX-License-Identifier: MIT */
/* What the tests of an IOAS below the ioctls share: two of them, the table of the kernel's mock device, memory. */
#ifndef VIA_IOMMU_TEST_IOAS_H
#define VIA_IOMMU_TEST_IOAS_H

#include "iommu/dma.h"
#include "iommu/ioas.h"

#include <errno.h>
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

static inline int setup(void **state)
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

static inline int teardown(void **state)
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
static inline int attach(void)
{
	static const struct via_domain_config config = { 0x1800, 16 << 20, 0x7fffffff, true, true };

	return via_domain_new(ioas, &config, &dom);
}

static inline int map(via_iova_t iova, uint64_t addr, uint64_t len, unsigned int prot)
{
	return via_ioas_map_pages(ioas, all, addr, len, prot, FIXED, &iova, NULL);
}

static inline int map_mem(via_iova_t iova, uint32_t page, uint64_t len, unsigned int prot)
{
	return map(iova, (uintptr_t)mem + (uint64_t)page * PAGE, len, prot);
}

/* The IOVA chosen, or an errno. */
static inline int64_t choose(uint64_t addr, uint64_t len)
{
	via_iova_t iova = 0xdead;
	int rc = via_ioas_map_pages(ioas, all, addr, len, RW, 0, &iova, NULL);

	return rc ? rc : (int64_t)iova;
}

/* The bytes unmapped, or an errno. */
static inline int64_t unmap(via_iova_t iova, uint64_t len)
{
	uint64_t bytes = 0;
	int rc = via_ioas_unmap_range(ioas, iova, iova + (len - 1), &bytes);

	return rc ? rc : (int64_t)bytes;
}

static inline int allow(via_iova_t first, via_iova_t last)
{
	return via_ioas_allow(ioas, &(struct via_iova_range){ first, last }, 1);
}

static inline int copy(via_iova_t src, uint64_t len, via_iova_t dst, unsigned int prot)
{
	return via_ioas_copy(other, ioas, src, len, prot, FIXED, &dst);
}

static inline int memfd(uint32_t pages)
{
	int fd = memfd_create("case", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)pages * PAGE), 0);
	return fd;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
