/* SPDX-License-Identifier: MIT */
/*
 * 157: memory runs out at the n-th allocation, for n = 1, 2, ...: an errno, the
 * state as before, nothing lost (the sanitizers count). Unmapping never fails.
 * The code is built here once more with an allocator that fails.
 */
#include "base/slab.h"

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

static void *test_slab_alloc(struct via_slab *slab)
{
	return may_allocate() ? via_slab_alloc(slab) : NULL;
}

static void *test_reallocarray(void *p, size_t n, size_t size)
{
	return may_allocate() ? reallocarray(p, n, size) : NULL;
}

#define malloc test_malloc
#define via_slab_alloc test_slab_alloc
#define calloc test_calloc
#define reallocarray test_reallocarray
#include "iommu/alloc.c"
#include "iommu/area.c"
#include "iommu/domain.c"
#include "iommu/index.c"
#include "iommu/index_holes.c"
#include "iommu/index_lookup.c"
#include "iommu/index_split.c"
#include "iommu/index_tree.c"
#include "iommu/index_trim.c"
#include "iommu/ioas.c"
#include "iommu/map.c"
#include "iommu/pages.c"
#include "iommu/ranges.c"
#include "iommu/type1.c"
#include "iommu/unmap.c"
#include "memory/store.c"
#undef malloc
#undef via_slab_alloc
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
			/* The mapping, its pages, the area, the store's parts, the store. */
			assert_true(n >= 5);
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

/* What there is of an IOAS: areas, and their bytes. */
static size_t count(struct via_ioas *ioas)
{
	struct via_ioas_area *area = via_ioas_find(ioas, 0);
	size_t n = 0;

	for (; area; area = via_ioas_find(ioas, area->last + 1)) {
		assert_true(area->complete && area->loaded && !area->closing);
		n++;
	}
	return n;
}

/* A cut that finds no memory, at each place, leaves one area. */
static void cut_in_spite(struct via_ioas *ioas, via_iova_t iova)
{
	size_t n_areas = count(ioas);
	int rc = -ENOMEM;

	for (long n = 0; rc; n++) {
		struct via_ioas_area *area = via_ioas_find(ioas, iova);

		assert_true(n < 16);
		fail_at = n;
		n_allocations = 0;
		rc = via_ioas_cut(ioas, iova, false);
		fail_at = -1;
		if (!rc) {
			assert_true(n >= 2);
			break;
		}
		assert_int_equal(rc, -ENOMEM);
		assert_ptr_equal(via_ioas_find(ioas, iova), area);
		assert_int_equal(count(ioas), n_areas);
	}
	assert_int_equal(count(ioas), n_areas + 1);
	assert_int_equal(via_ioas_find(ioas, iova)->last, iova);
	assert_int_equal(via_ioas_find(ioas, iova + 1)->first, iova + 1);
}

static void test_cut(void **state)
{
	struct via_space *space;
	struct via_ioas *ioas = NULL;
	uint64_t bytes;

	mm = via_mm_self();
	assert_int_equal(via_space_new_mm(mm, &space), 0);
	assert_int_equal(via_ioas_new(via_iommu_props_intel(), &ioas), 0);
	assert_int_equal(via_ioas_map(ioas, 0x10000, space, (uintptr_t)mem, 256 * PAGE,
				      VIA_PROT_READ), 0);
	for (uint32_t step = 128; step; step /= 2)
		for (uint32_t at = step; at < 256; at += 2 * step)
			cut_in_spite(ioas, 0x10000 + (uint64_t)at * PAGE - 1);
	/* 256 areas of a page: nothing of their pages is lost, nor counted twice. */
	assert_int_equal(via_pages_pinned(via_ioas_find(ioas, 0)->pages), 256);
	for (uint32_t i = 0; i < 255; i++) {
		via_iova_t iova = 0x10000 + (uint64_t)(i * 37 % 256) * PAGE;

		assert_int_equal(via_ioas_unmap(ioas, iova, iova + PAGE - 1, &bytes), 0);
		assert_int_equal(bytes, PAGE);
		assert_int_equal(via_pages_pinned(via_ioas_find(ioas, 0)->pages), 255 - i);
	}
	via_ioas_put(ioas);
	via_space_put(space);
	via_mm_put(mm);
}

/* Copies of several areas, and a second domain, find no memory: nothing of them stays. */
static void test_copy_and_domain(void **state)
{
	const struct via_domain_config config = { 0x1000, 0, UINT64_MAX, false, false };
	struct via_ioas *src = NULL, *dst = NULL;
	struct via_domain *domain;
	struct via_space *space;
	via_iova_t iova;
	int rc = -ENOMEM;

	mm = via_mm_self();
	assert_int_equal(via_space_new_mm(mm, &space), 0);
	assert_int_equal(via_ioas_new_bare(&src), 0);
	assert_int_equal(via_ioas_new(via_iommu_props_intel(), &dst), 0);
	for (uint32_t i = 0; i < 80; i++)
		assert_int_equal(via_ioas_map(src, (uint64_t)i * PAGE, space,
					      (uintptr_t)mem + (uint64_t)(79 - i) * PAGE, PAGE,
					      VIA_PROT_READ), 0);
	for (long n = 0; rc; n++) {
		fail_at = n;
		n_allocations = 0;
		rc = via_ioas_copy(dst, src, 0, 80 * PAGE, VIA_PROT_READ, 0, &iova);
		fail_at = -1;
		assert_int_equal(count(dst), rc ? 0 : 80);
	}
	for (uint32_t i = 0; i < 80; i++)
		assert_int_equal(via_pages_pinned(via_ioas_find(src, i * PAGE)->pages), 1);
	rc = -ENOMEM;
	for (long n = 0; rc; n++) {
		fail_at = n;
		n_allocations = 0;
		rc = via_domain_new(src, &config, &domain);
		fail_at = -1;
		assert_int_equal(via_ioas_alignment(src), rc ? 1 : PAGE);
		assert_int_equal(via_ioas_has_domain(src), !rc);
		assert_int_equal(via_ioas_find(src, 79 * PAGE)->loaded, !rc);
	}
	assert_int_equal(count(src), 80);
	via_domain_free(domain);
	assert_false(via_ioas_find(src, 0)->loaded);
	via_ioas_put(src);
	via_ioas_put(dst);
	via_space_put(space);
	via_mm_put(mm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_map),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_copy_and_domain),
	};

	mem = mmap(NULL, 4 * AREAS * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mem == MAP_FAILED)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
