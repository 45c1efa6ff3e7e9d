/* SPDX-License-Identifier: MIT */
/*
 * 157 for page stores, areas and accesses: memory runs out at the n-th
 * allocation, for n = 1, 2, ...: -ENOMEM, nothing pinned nor charged more than before,
 * and nothing lost (the sanitizers count). Unpinning and unloading do without.
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

static void *test_reallocarray(void *p, size_t n, size_t size)
{
	return may_allocate() ? reallocarray(p, n, size) : NULL;
}

static void *test_slab_alloc(struct via_slab *slab)
{
	return may_allocate() ? via_slab_alloc(slab) : NULL;
}

#define malloc test_malloc
#define via_slab_alloc test_slab_alloc
#define calloc test_calloc
#define reallocarray test_reallocarray
#include "iommu/access.c"
#include "iommu/access_pins.c"
#include "iommu/area.c"
#include "iommu/ledger.c"
#include "iommu/pages.c"
#define bucket_of file_bucket_of
#include "iommu/pages_file.c"
#undef bucket_of
#include "iommu/pages_region.c"
#include "memory/store.c"
#undef malloc
#undef via_slab_alloc
#undef calloc
#undef reallocarray

#undef PAGE_SHIFT
#include "iommu/test-pages.h"

/*
 * Do something that fails at the first allocation, then at the second, and so
 * on until it works. least: allocations that it needs at least.
 */
#define IN_SPITE(f, least, call)                                                                   \
	do {                                                                                       \
		uint64_t charged = via_user_pages((f)->user);                                      \
		int rc_ = -ENOMEM;                                                                 \
                                                                                                   \
		for (long n_ = 0; rc_; n_++) {                                                     \
			assert_true(n_ < 64);                                                      \
			n_allocations = 0;                                                         \
			fail_at = n_;                                                              \
			rc_ = (call);                                                              \
			fail_at = -1;                                                              \
			if (!rc_) {                                                                \
				assert_true(n_ >= (least));                                        \
				break;                                                             \
			}                                                                          \
			assert_int_equal(rc_, -ENOMEM);                                            \
			assert_int_equal(via_user_pages((f)->user), charged);                      \
		}                                                                                  \
	} while (0)

/* No allocation is to be had in call. */
#define WITHOUT(call)                                                                              \
	do {                                                                                       \
		n_allocations = 0;                                                                 \
		fail_at = 0;                                                                       \
		call;                                                                              \
		fail_at = -1;                                                                      \
		assert_int_equal(n_allocations, 0);                                                \
	} while (0)

static void test_pages(void **state)
{
	struct fixture *f = *state;
	struct via_pages *pages = NULL, *file = NULL;
	struct via_piece *pieces;
	int fd = memfd_of(16 * PAGE);
	size_t n;

	f->mm.memlock_limit = UINT64_MAX;
	IN_SPITE(f, 1, via_pages_new_memory(f->space, (uintptr_t)f->mem, N_PAGES * PAGE, true,
					    &f->owner, &pages));
	/* Apart, then across, then within. */
	for (unsigned int i = 0; i < 60; i += 4)
		IN_SPITE(f, 2, via_pages_pin(pages, i * PAGE, PAGE));
	IN_SPITE(f, 10, via_pages_pin(pages, 2 * PAGE, 40 * PAGE));
	IN_SPITE(f, 0, via_pages_pin(pages, 3 * PAGE, 2 * PAGE));
	IN_SPITE(f, 1, via_pages_pieces(pages, 2 * PAGE, 40 * PAGE, &pieces, &n));
	via_pieces_free(pieces, n);
	for (unsigned int i = 0; i < 60; i += 4)
		WITHOUT(via_pages_unpin(pages, i * PAGE, PAGE));
	WITHOUT(via_pages_unpin(pages, 3 * PAGE, 2 * PAGE));
	assert_int_equal(via_pages_pinned(pages), 40);
	WITHOUT(via_pages_unpin(pages, 2 * PAGE, 40 * PAGE));
	assert_int_equal(via_pages_pinned(pages), 0);
	WITHOUT(via_pages_put(pages));

	IN_SPITE(f, 2, via_pages_new_file(fd, 0, 16 * PAGE, true, &f->owner, &file));
	IN_SPITE(f, 1, via_pages_pin(file, PAGE, 8 * PAGE));
	WITHOUT(via_pages_unpin(file, PAGE, 8 * PAGE));
	WITHOUT(via_pages_put(file));
	(void)close(fd);
}

static int cut_and_undo(struct via_ioas_area *area, uint64_t at, bool undo, struct via_ioas_area *low,
			struct via_ioas_area *high)
{
	int rc = via_area_cut(area, at, low, high);

	if (!rc && undo)
		via_area_cut_undo(area, low, high);
	return rc;
}

static void test_areas(void **state)
{
	struct fixture *f = *state;
	struct via_pages *pages = pages_of(f, 0, 8 * PAGE);
	struct via_ioas_area *area = via_area_new(), low = { 0 }, high = { 0 };

	*area = (struct via_ioas_area){
		.first = 0x1000, .last = 0x8fff, .prot = RW, .pages = pages, .ioas = f->ioas,
	};
	/* Of two stores. */
	assert_int_equal(via_pages_pin(pages, 2 * PAGE, PAGE), 0);
	IN_SPITE(f, 3, via_area_load(area));
	assert_int_equal(area->own.n, 3);
	IN_SPITE(f, 1, cut_and_undo(area, 3 * PAGE, true, &low, &high));
	IN_SPITE(f, 1, cut_and_undo(area, PAGE + 512, false, &low, &high));
	WITHOUT(via_area_cut_done(area));
	WITHOUT(via_area_unload(&low));
	WITHOUT(via_area_unload(&high));
	assert_int_equal(via_pages_pinned(pages), 1);
	via_pages_unpin(pages, 2 * PAGE, PAGE);
	via_pages_put(low.pages);
	via_pages_put(high.pages);
}

static uint8_t *region_memory(void *cookie, uint64_t offset, uint64_t *ret_len)
{
	*ret_len = PAGE - offset % PAGE;
	return offset / PAGE % 2 ? NULL : (uint8_t *)cookie + offset;
}

static void region_release(void *cookie)
{
}

static const struct via_pages_region_ops region_ops = {
	.memory = region_memory, .release = region_release,
};

static void test_regions(void **state)
{
	struct fixture *f = *state;
	struct via_ioas_area *area = via_area_new();
	struct via_pages *pages = NULL;

	IN_SPITE(f, 1, via_pages_new_region(&region_ops, f->mem, 0, 8 * PAGE, true, &pages));
	*area = (struct via_ioas_area){
		.first = 0x1000, .last = 0x8fff, .prot = RW, .pages = pages, .ioas = f->ioas,
	};
	IN_SPITE(f, 6, via_area_load(area));
	assert_int_equal(area->fill->n, 8);
	WITHOUT(via_pages_revoke(pages));
	assert_null(area->fill);
	WITHOUT(via_pages_restore(pages));
	assert_int_equal(area->fill->n, 8);
	WITHOUT(via_area_unload(area));
	via_area_free(area);
}

static void on_unmap(void *cookie, via_iova_t iova, uint64_t len)
{
}

static int pin_access(struct via_access *access, uint64_t pages)
{
	struct via_piece *pieces;
	size_t n;
	int rc = via_access_pin(access, 0x10000, pages * PAGE, 0, &pieces, &n);

	if (!rc)
		via_pieces_free(pieces, n);
	return rc;
}

static void test_accesses(void **state)
{
	static const struct via_access_ops ops = { on_unmap };
	struct fixture *f = *state;
	struct via_access *access;
	uint64_t bytes;

	f->mm.memlock_limit = UINT64_MAX;
	IN_SPITE(f, 1, via_access_new(&ops, NULL, &access));
	assert_int_equal(map_at(f, f->ioas, 0x10000, 0, 4 * PAGE, RW), 0);
	assert_int_equal(map_at(f, f->ioas, 0x14000, 8 * PAGE, 40 * PAGE, RW), 0);
	IN_SPITE(f, 0, via_access_attach(access, f->ioas));
	/* So many that the table grows. */
	for (uint64_t n = 1; n <= 44; n++) {
		/* A table that cannot grow becomes slow, no more. */
		IN_SPITE(f, 1, pin_access(access, n));
		IN_SPITE(f, 2, pin_access(access, n));
	}
	assert_int_equal(via_user_pages(f->user), 44);
	for (uint64_t n = 1; n <= 44; n++) {
		WITHOUT(assert_int_equal(via_access_unpin(access, 0x10000, n * PAGE, 0), 0));
		WITHOUT(assert_int_equal(via_access_unpin(access, 0x10000, n * PAGE, 0), 0));
		WITHOUT(assert_int_equal(via_access_unpin(access, 0x10000, n * PAGE, 0), -ENOENT));
	}
	assert_int_equal(via_user_pages(f->user), 0);
	assert_int_equal(via_ioas_unmap_range(f->ioas, 0, UINT64_MAX, &bytes), 0);
	assert_int_equal(bytes, 44 * PAGE);
	WITHOUT(via_access_free(access));
}

static int get_user(struct via_user **ret_user)
{
	*ret_user = via_user_get(4711);
	return *ret_user ? 0 : -ENOMEM;
}

static void test_users(void **state)
{
	struct fixture *f = *state;
	struct via_user *user;

	IN_SPITE(f, 1, get_user(&user));
	via_user_put(user);
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(test_pages),
		test(test_areas),
		test(test_regions),
		test(test_accesses),
		test(test_users),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
