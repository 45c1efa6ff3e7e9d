/* SPDX-License-Identifier: MIT */
/* Ranges that share one byte with an area, a reserved range or a suspended one; and just none. */
#include "base/epoch.h"
#include "iommu/suspend.h"
#include "iommu/test-pages.h"

#define IOVA 0x10000u

static int unmap(struct fixture *f, via_iova_t first, via_iova_t last)
{
	uint64_t bytes;

	return via_ioas_unmap_range(f->ioas, first, last, &bytes);
}

/* Where an IOVA may be any byte. */
static void test_unmap(void **state)
{
	struct fixture *f = *state;
	uint64_t bytes;

	assert_int_equal(map_at(f, f->ioas, IOVA, 0, PAGE, RW), 0);
	assert_int_equal(map_at(f, f->ioas, IOVA + PAGE, 0, 1, RW), 0);
	assert_int_equal(unmap(f, IOVA - PAGE, IOVA), -ENOENT);
	assert_int_equal(unmap(f, IOVA - PAGE, IOVA - 1), 0);
	assert_int_equal(unmap(f, IOVA + 1, IOVA + PAGE - 1), -ENOENT);
	assert_int_equal(unmap(f, IOVA + PAGE - 1, IOVA + PAGE), -ENOENT);
	assert_int_equal(via_ioas_unmap_range(f->ioas, IOVA + PAGE, IOVA + PAGE, &bytes), 0);
	assert_int_equal(bytes, 1);
	assert_int_equal(via_ioas_unmap(f->ioas, IOVA + 1, IOVA, &bytes), -EINVAL);
	assert_int_equal(via_ioas_unmap(f->ioas, IOVA, IOVA, &bytes), -ENOENT);
	via_epoch_enter();
	assert_int_equal(via_ioas_unmap(f->ioas, IOVA, IOVA + PAGE - 1, &bytes), -EDEADLK);
	assert_int_equal(unmap(f, IOVA, IOVA + PAGE - 1), -EDEADLK);
	via_epoch_exit();
	assert_int_equal(via_ioas_unmap(f->ioas, IOVA, IOVA + PAGE - 1, &bytes), 0);
}

static void test_reserved(void **state)
{
	struct fixture *f = *state;
	struct via_iova_range ranges[3];

	assert_int_equal(via_ioas_reserve(f->ioas, IOVA, IOVA + PAGE, f), 0);
	assert_int_equal(map_at(f, f->ioas, IOVA + PAGE, 0, 1, RW), -EINVAL);
	assert_int_equal(map_at(f, f->ioas, IOVA - 1, 0, 2, RW), -EINVAL);
	assert_int_equal(map_at(f, f->ioas, IOVA + PAGE + 1, 0, 1, RW), 0);
	assert_int_equal(map_at(f, f->ioas, IOVA - 1, 0, 1, RW), 0);
	/* Holes of a byte, and none. */
	assert_int_equal(via_ioas_reserve(f->ioas, IOVA + PAGE + 1, UINT64_MAX, &ranges),
			 -EADDRINUSE);
	assert_int_equal(via_ioas_reserve(f->ioas, IOVA + PAGE + 2, UINT64_MAX, &ranges), 0);
	assert_int_equal(via_ioas_ranges(f->ioas, ranges, 3), 2);
	assert_int_equal(ranges[0].last, IOVA - 1);
	assert_int_equal(ranges[1].first, IOVA + PAGE + 1);
	assert_int_equal(ranges[1].last, IOVA + PAGE + 1);
	/* What was reserved once is forgotten. */
	via_ioas_unreserve(f->ioas, f);
	via_ioas_unreserve(f->ioas, &ranges);
	assert_int_equal(map_at(f, f->ioas, IOVA, 0, PAGE, RW), 0);
	assert_int_equal(unmap(f, 0, UINT64_MAX), 0);
	assert_int_equal(via_ioas_reserve(f->ioas, 0, UINT64_MAX, f), 0);
	assert_int_equal(via_ioas_ranges(f->ioas, ranges, 3), 0);
	via_ioas_unreserve(f->ioas, f);
	assert_int_equal(via_ioas_ranges(f->ioas, ranges, 3), 1);
	assert_int_equal(ranges[0].first, 0);
	assert_int_equal(ranges[0].last, UINT64_MAX);
}

static void test_allowed(void **state)
{
	const struct via_iova_range apart[] = {{IOVA, IOVA + 1}, {IOVA + 2, IOVA + 9}};
	const struct via_iova_range shared[] = {{IOVA, IOVA + 1}, {IOVA + 1, IOVA + 9}};
	const struct via_iova_range one = {IOVA, IOVA};
	struct fixture *f = *state;

	assert_int_equal(via_ioas_allow(f->ioas, apart, 2), 0);
	assert_int_equal(via_ioas_allow(f->ioas, shared, 2), -EINVAL);
	assert_int_equal(via_ioas_allow(f->ioas, &one, 1), -EINVAL);
	assert_int_equal(via_ioas_reserve(f->ioas, IOVA + 9, IOVA + PAGE, f), -EADDRINUSE);
	assert_int_equal(via_ioas_reserve(f->ioas, IOVA + 10, IOVA + PAGE, f), 0);
	assert_int_equal(via_ioas_allow(f->ioas, &(struct via_iova_range){IOVA, IOVA + 10}, 1),
			 -EADDRINUSE);
}

static int map_pages(struct fixture *f, struct via_pages *pages, uint64_t offset, uint64_t len,
		     unsigned int prot, via_iova_t iova)
{
	return via_ioas_map_pages(f->ioas, pages, offset, len, prot, VIA_IOAS_FIXED, &iova, NULL);
}

/* The alignment is looked at before what the pages allow; an address counts as an IOVA does. */
static void test_map(void **state)
{
	struct fixture *f = *state;
	struct via_domain *domain = domain_of(f->ioas);
	struct via_pages *pages;

	assert_int_equal(via_pages_new_memory(f->space, (uintptr_t)f->mem, 4 * PAGE, false,
					      &f->owner, &pages),
			 0);
	assert_int_equal(map_pages(f, pages, 0, PAGE, RW, IOVA), -EPERM);
	assert_int_equal(map_pages(f, pages, 0, PAGE - 1, RW, IOVA), -EINVAL);
	assert_int_equal(map_pages(f, pages, 0, PAGE, RW, IOVA + 1), -EINVAL);
	assert_int_equal(map_pages(f, pages, 1, PAGE, VIA_PROT_READ, IOVA), -EINVAL);
	assert_int_equal(map_pages(f, pages, 0, 0, VIA_PROT_READ, IOVA), -EINVAL);
	/* No page table has an entry that allows nothing. */
	assert_int_equal(map_pages(f, pages, 0, PAGE, 0, IOVA), -EINVAL);
	assert_int_equal(map_pages(f, pages, 0, PAGE, VIA_PROT_READ, -(via_iova_t)PAGE), 0);
	assert_int_equal(map_pages(f, pages, 0, 2 * PAGE, VIA_PROT_READ, -(via_iova_t)PAGE),
			 -EOVERFLOW);
	/* The last address of all is nobody's memory. */
	assert_int_equal(
		via_ioas_map(f->ioas, IOVA, f->space, -(uint64_t)PAGE, PAGE, VIA_PROT_READ),
		-EFAULT);
	assert_int_equal(
		via_ioas_map(f->ioas, IOVA, f->space, -(uint64_t)PAGE, 2 * PAGE, VIA_PROT_READ),
		-EOVERFLOW);
	assert_int_equal(unmap(f, 0, UINT64_MAX), 0);
	via_pages_put(pages);
	via_domain_free(domain);
}

/* Neighbours may meet where no page ends; where there is a page table they may not. */
static void test_copy_of_unaligned_neighbours(void **state)
{
	struct fixture *f = *state;
	via_iova_t iova = IOVA;
	struct via_domain *domain;
	struct via_ioas *copy;

	assert_int_equal(via_ioas_new_bare(&copy), 0);
	domain = domain_of(copy);
	assert_int_equal(map_at(f, f->ioas, IOVA, 0, PAGE / 2, RW), 0);
	assert_int_equal(map_at(f, f->ioas, IOVA + PAGE / 2, PAGE, PAGE / 2, RW), 0);
	assert_int_equal(via_ioas_copy(copy, f->ioas, IOVA, PAGE, RW, VIA_IOAS_FIXED, &iova),
			 -EINVAL);
	assert_null(via_ioas_find(copy, 0));
	assert_int_equal(via_user_pages(f->user), 0);
	via_domain_free(domain);
	via_ioas_put(copy);
	assert_int_equal(unmap(f, 0, UINT64_MAX), 0);
}

/* COPY of parts of areas, up to a byte; a hole before, between and behind. */
static void test_copy(void **state)
{
	struct fixture *f = *state;
	struct via_ioas *copy;
	via_iova_t iova = IOVA;
	uint64_t bytes;

	assert_int_equal(via_ioas_new_bare(&copy), 0);
	assert_int_equal(map_at(f, f->ioas, IOVA, 0, PAGE, RW), 0);
	assert_int_equal(map_at(f, f->ioas, IOVA + PAGE, 5 * PAGE, PAGE, RW), 0);
	assert_int_equal(via_ioas_copy(copy, f->ioas, IOVA - 1, 2, RW, VIA_IOAS_FIXED, &iova),
			 -ENOENT);
	assert_int_equal(
		via_ioas_copy(copy, f->ioas, IOVA + 2 * PAGE - 1, 2, RW, VIA_IOAS_FIXED, &iova),
		-ENOENT);
	assert_int_equal(via_ioas_copy(copy, f->ioas, IOVA, 0, RW, VIA_IOAS_FIXED, &iova), -EINVAL);
	assert_int_equal(via_ioas_copy(copy, f->ioas, UINT64_MAX, 2, RW, VIA_IOAS_FIXED, &iova),
			 -EOVERFLOW);
	assert_int_equal(via_ioas_copy(copy, f->ioas, IOVA, PAGE + 1, RW, VIA_IOAS_FIXED, &iova),
			 0);
	assert_int_equal(via_ioas_unmap_range(copy, 0, UINT64_MAX, &bytes), 0);
	assert_int_equal(bytes, PAGE + 1);
	/* The last two areas of all. */
	iova = -(via_iova_t)(2 * PAGE);
	assert_int_equal(map_at(f, f->ioas, iova, 0, PAGE, RW), 0);
	assert_int_equal(map_at(f, f->ioas, iova + PAGE, 5 * PAGE, PAGE, RW), 0);
	assert_int_equal(via_ioas_copy(copy, f->ioas, iova, 2 * PAGE, RW, VIA_IOAS_FIXED, &iova),
			 0);
	assert_int_equal(via_ioas_find(copy, 0)->last, iova + PAGE - 1);
	assert_int_equal(via_ioas_unmap_range(copy, 0, UINT64_MAX, &bytes), 0);
	iova = IOVA;
	via_ioas_find(f->ioas, IOVA)->complete = false;
	assert_int_equal(via_ioas_copy(copy, f->ioas, IOVA, PAGE, RW, VIA_IOAS_FIXED, &iova),
			 -ENOENT);
	assert_int_equal(via_ioas_cut(f->ioas, IOVA + 5, false), -EBUSY);
	via_ioas_find(f->ioas, IOVA)->complete = true;
	assert_int_equal(via_ioas_find(copy, 0) == NULL, true);
	via_ioas_put(copy);
	assert_int_equal(unmap(f, 0, UINT64_MAX), 0);
}

/* A cut before the first byte of an area, or behind its last, is none. */
static void test_cut(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(map_at(f, f->ioas, IOVA, 0, 2 * PAGE, RW), 0);
	assert_int_equal(via_ioas_cut(f->ioas, IOVA - 1, false), 0);
	assert_int_equal(via_ioas_cut(f->ioas, IOVA + 2 * PAGE - 1, false), 0);
	assert_int_equal(via_ioas_find(f->ioas, IOVA)->last, IOVA + 2 * PAGE - 1);
	/* Behind its first byte it is one. */
	assert_int_equal(via_ioas_cut(f->ioas, IOVA, false), 0);
	assert_int_equal(via_ioas_find(f->ioas, IOVA)->last, IOVA);
	assert_int_equal(via_ioas_find(f->ioas, IOVA + 1)->last, IOVA + 2 * PAGE - 1);
	assert_int_equal(unmap(f, 0, UINT64_MAX), 0);
}

/* What is put behind an area: only behind one that begins there, and is not being changed. */
static void test_replace(void **state)
{
	struct fixture *f = *state;
	struct via_pages *pages = pages_of(f, 5 * PAGE, PAGE);

	assert_int_equal(map_at(f, f->ioas, IOVA, 0, PAGE, RW), 0);
	assert_int_equal(via_ioas_replace(f->ioas, IOVA + 1, pages), -ENOENT);
	assert_int_equal(via_ioas_replace(f->ioas, IOVA - 1, pages), -ENOENT);
	assert_int_equal(via_ioas_replace(f->ioas, IOVA + PAGE, pages), -ENOENT);
	via_ioas_find(f->ioas, IOVA)->complete = false;
	assert_int_equal(via_ioas_replace(f->ioas, IOVA, pages), -EBUSY);
	via_ioas_find(f->ioas, IOVA)->complete = true;
	assert_int_equal(via_ioas_replace(f->ioas, IOVA, pages), 0);
	assert_int_equal(unmap(f, 0, UINT64_MAX), 0);
}

static void test_suspend(void **state)
{
	struct via_resume resume;
	struct fixture *f = *state;
	uint64_t size;

	assert_int_equal(map_at(f, f->ioas, IOVA, 0, PAGE, RW), 0);
	via_epoch_enter();
	assert_int_equal(via_ioas_suspend(f->ioas, IOVA, IOVA + PAGE - 1, &size), -EDEADLK);
	via_epoch_exit();
	via_ioas_find(f->ioas, IOVA)->closing = true;
	assert_int_equal(via_ioas_suspend(f->ioas, IOVA, IOVA + PAGE - 1, &size), -EBUSY);
	via_ioas_find(f->ioas, IOVA)->closing = false;
	/* Areas that start there. */
	assert_int_equal(via_ioas_suspend(f->ioas, IOVA + 1, IOVA + PAGE, &size), 0);
	assert_int_equal(size, 0);
	assert_int_equal(via_ioas_suspend(f->ioas, IOVA - PAGE, IOVA, &size), 0);
	assert_int_equal(size, PAGE);
	assert_true(via_ioas_suspended(f->ioas));
	assert_int_equal(via_ioas_suspend(f->ioas, IOVA, IOVA + PAGE - 1, &size), -EINVAL);
	assert_int_equal(via_ioas_resume(f->ioas, IOVA - PAGE, IOVA - 1, &resume), -ENOENT);
	assert_int_equal(via_ioas_resume(f->ioas, IOVA - PAGE, IOVA, &resume), -EINVAL);
	assert_int_equal(via_ioas_resume(f->ioas, IOVA + PAGE, IOVA + 2 * PAGE, &resume), -ENOENT);
	assert_int_equal(via_ioas_resume(f->ioas, IOVA, IOVA + PAGE - 1, &resume), 0);
	assert_false(via_ioas_suspended(f->ioas));
	via_pages_put(resume.pages);
	assert_int_equal(unmap(f, 0, UINT64_MAX), 0);
}

/* An access that does not unpin is asked a hundred times. */
static unsigned int calls;

static void ignore(void *cookie, via_iova_t iova, uint64_t len)
{
	calls++;
}

static void test_rounds(void **state)
{
	static const struct via_access_ops ops = {ignore};
	struct fixture *f = *state;
	struct via_access *access;
	struct via_piece *pieces;
	size_t n;

	calls = 0;
	assert_int_equal(via_access_new(&ops, NULL, &access), 0);
	assert_int_equal(via_access_attach(access, f->ioas), 0);
	assert_int_equal(map_at(f, f->ioas, IOVA, 0, PAGE, RW), 0);
	assert_int_equal(via_access_pin(access, IOVA, PAGE, 0, &pieces, &n), 0);
	via_pieces_free(pieces, n);
	assert_int_equal(unmap(f, IOVA, IOVA + PAGE - 1), -EDEADLK);
	assert_int_equal(calls, 100);
	via_access_free(access);
	assert_int_equal(unmap(f, 0, UINT64_MAX), 0);
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(test_unmap),
		test(test_reserved),
		test(test_allowed),
		test(test_map),
		test(test_copy_of_unaligned_neighbours),
		test(test_copy),
		test(test_cut),
		test(test_replace),
		test(test_suspend),
		test(test_rounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
