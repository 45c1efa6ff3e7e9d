/* SPDX-License-Identifier: MIT */
/* Which IOVAs are chosen and which may be had: cases of the specification of I/O address spaces (11.2, 11.3). */
#include "iommu/test-ioas.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_cases_11_to_14_empty),
		TEST(test_case_15_alignment_is_capped),
		TEST(test_cases_17_18_first_fit),
		TEST(test_cases_19_20_36_allowed),
		TEST(test_case_21_offset_is_ored),
		TEST(test_cases_22_23_with_domain),
		TEST(test_case_24_no_overflow),
		TEST(test_case_25_large_page),
		TEST(test_cases_26_29_30_31_fixed),
		TEST(test_case_37_refused_lists),
		TEST(test_cases_43_44_ranges),
		TEST(test_case_55_large_pages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
