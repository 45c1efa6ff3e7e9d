/* SPDX-License-Identifier: MIT */
/* Which bitmaps of a program are taken, and what is not a program's memory. */
#include "iommu/dirty.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define PAGE 4096u

static int check(uint64_t data, uint64_t bytes, uint64_t pgsize, uint64_t size)
{
	const struct via_vfio_bitmap bitmap = {pgsize, bytes, data};

	return via_dirty_bitmap_check(&bitmap, size);
}

static void test_limits(void **state)
{
	const uint64_t top = ((uint64_t)1 << 56) - 4096;

	assert_int_equal(check(top - 8, 8, PAGE, PAGE), 0);
	assert_int_equal(check(top - 7, 8, PAGE, PAGE), -EINVAL);
	assert_int_equal(check(UINT64_MAX - 7, 16, PAGE, PAGE), -EINVAL);
	assert_int_equal(check(PAGE, 8, 0, PAGE), -EINVAL);
	assert_int_equal(check(PAGE, 8, PAGE, PAGE - 1), -EINVAL);
	assert_int_equal(check(PAGE, 0, PAGE, PAGE), -EINVAL);
	assert_int_equal(check(PAGE, 8, PAGE, 64 * PAGE), 0);
	assert_int_equal(check(PAGE, 8, PAGE, 65 * PAGE), -EINVAL);
	assert_int_equal(check(PAGE, 16, PAGE, 65 * PAGE), 0);
	assert_int_equal(check(PAGE, VIA_DIRTY_BITMAP_MAX, PAGE, PAGE), 0);
	assert_int_equal(check(PAGE, (uint64_t)VIA_DIRTY_BITMAP_MAX + 1, PAGE, PAGE), -EINVAL);
}

/* Addresses above user space are not even tried: a via_mm may have a meaning of its own for them.
 */
static int never(struct via_mm *mm, const struct iovec *local, size_t n_local,
		 const struct iovec *remote, size_t n_remote)
{
	fail();
	return 0;
}

static void test_not_user_space(void **state)
{
	const struct via_mm_ops ops = {.readv = never, .writev = never};
	struct via_mm mm = {.ops = &ops, .refs = 1};

	assert_int_equal(via_dirty_report_all(&mm, (uint64_t)1 << 48, 0, 64), -EFAULT);
	assert_int_equal(via_dirty_report_all(&mm, ((uint64_t)1 << 48) - 8, 5, 64), -EFAULT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_not_user_space),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
