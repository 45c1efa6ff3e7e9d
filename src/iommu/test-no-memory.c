/* SPDX-License-Identifier: MIT */
/*
 * 157: memory runs out at the n-th allocation, for n = 1, 2, ...: an errno, the
 * state as before, nothing lost (the sanitizers count). Unmapping never fails.
 * The code is built here once more with an allocator that fails.
 */
#include <stdbool.h>
#include <stdlib.h>

static long fail_at = -1, n_allocations;

static bool may_allocate(void)
{
	return n_allocations++ != fail_at;
}

static void *test_malloc(size_t size)
{
	return may_allocate() ? malloc(size) : NULL;
}

static void *test_calloc(size_t n, size_t size)
{
	return may_allocate() ? calloc(n, size) : NULL;
}

static void *test_reallocarray(void *p, size_t n, size_t size)
{
	return may_allocate() ? reallocarray(p, n, size) : NULL;
}

#define malloc test_malloc
#define calloc test_calloc
#define reallocarray test_reallocarray
#include "iommu/index.c"
#include "iommu/ioas.c"
#include "iommu/type1.c"
#include "memory/store.c"
#undef malloc
#undef calloc
#undef reallocarray

#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>

#include <cmocka.h>

#define PAGE 4096u
#define AREAS 300u

static struct via_type1 *type1;
static struct via_mm *mm;
static uint8_t *mem;

static int map(uint32_t page, uint32_t pages)
{
	struct via_vfio_iommu_type1_dma_map m = {
		sizeof(m), VIA_VFIO_DMA_MAP_FLAG_READ, (uintptr_t)mem, (uint64_t)page * PAGE,
		(uint64_t)pages * PAGE,
	};

	return via_type1_map(type1, mm, &m);
}

static uint64_t unmap(uint32_t page, uint32_t pages)
{
	struct via_vfio_iommu_type1_dma_unmap u = { sizeof(u), 0, (uint64_t)page * PAGE,
						    (uint64_t)pages * PAGE };
	uint64_t size = 0;

	assert_int_equal(via_type1_unmap(type1, mm, &u, NULL, &size), 0);
	return size / PAGE;
}

/* Map, failing at the first allocation, the second, and so on until it works. */
static void map_in_spite(uint32_t page, uint32_t pages)
{
	uint64_t charged = mm->locked_pages;
	uint32_t available = type1->available;
	int rc = -ENOMEM;

	for (long n = 0; rc; n++) {
		assert_true(n < 16);
		fail_at = n;
		n_allocations = 0;
		rc = map(page, pages);
		fail_at = -1;
		if (!rc) {
			assert_true(n >= 4); /* the mapping, the area, the store's parts, the store */
			break;
		}
		assert_int_equal(rc, -ENOMEM);
		assert_int_equal(mm->locked_pages, charged);
		assert_int_equal(type1->available, available);
		assert_null(via_index_lookup(&type1->ioas->index, (uint64_t)page * PAGE));
	}
}

static void test_map(void **state)
{
	mm = via_mm_self();
	assert_int_equal(via_type1_new(via_iommu_props_intel(), VIA_VFIO_TYPE1v2_IOMMU, true,
				       &type1), 0);
	/* Ascending, then between them, so that chunks are appended to, made and split. */
	for (uint32_t i = 0; i < AREAS; i++)
		map_in_spite(4 * i, 1);
	for (uint32_t i = 0; i < AREAS; i++)
		map_in_spite(4 * i + 2, 1);
	for (uint32_t i = 0; i < AREAS; i++) {
		assert_non_null(via_index_lookup(&type1->ioas->index, (uint64_t)4 * i * PAGE));
		assert_null(via_index_lookup(&type1->ioas->index, (uint64_t)(4 * i + 1) * PAGE));
	}
	/* Unmapping does without memory. */
	fail_at = 0;
	n_allocations = 0;
	assert_int_equal(unmap(0, 4 * AREAS - 100), 2 * AREAS - 50);
	fail_at = -1;
	/* One large area over the empty chunks. */
	map_in_spite(5, 4 * AREAS - 110);
	assert_int_equal(unmap(0, 4 * AREAS), 4 * AREAS - 110 + 50);
	via_type1_free(type1);
	assert_int_equal(mm->locked_pages, 0);
	via_mm_put(mm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_map),
	};

	mem = mmap(NULL, 4 * AREAS * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mem == MAP_FAILED)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
