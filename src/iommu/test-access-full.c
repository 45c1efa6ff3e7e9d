/* SPDX-License-Identifier: MIT */
/*
 * A range that an access has pinned as often as can be counted is not pinned once more. Nobody
 * waits for 2^32 pins: the count is set. The code is built here once more, for that.
 */
#include "iommu/access_pins.c"

#include "iommu/test-pages.h"

#define IOVA 0x10000u

static void nothing_to_unpin(void *cookie, via_iova_t iova, uint64_t len)
{
}

static void test_pins(void **state)
{
	static const struct via_access_ops ops = {nothing_to_unpin};
	struct fixture *f = *state;
	struct via_access *access = NULL;
	struct via_piece *pieces;
	struct record *record;
	size_t n;

	assert_int_equal(map_at(f, f->ioas, IOVA, 0, PAGE, RW), 0);
	assert_int_equal(via_access_new(&ops, NULL, &access), 0);
	assert_int_equal(via_access_attach(access, f->ioas), 0);
	assert_int_equal(via_access_pin(access, IOVA, PAGE, 0, &pieces, &n), 0);
	via_pieces_free(pieces, n);
	record = find_record(access, IOVA, IOVA + PAGE - 1);
	assert_non_null(record);
	record->count = UINT_MAX;
	assert_int_equal(via_access_pin(access, IOVA, PAGE, 0, &pieces, &n), -ENOMEM);
	assert_int_equal(record->count, UINT_MAX);
	record->count = UINT_MAX - 1;
	assert_int_equal(via_access_pin(access, IOVA, PAGE, 0, &pieces, &n), 0);
	via_pieces_free(pieces, n);
	assert_int_equal(record->count, UINT_MAX);
	record->count = 1;
	assert_int_equal(via_access_unpin(access, IOVA, PAGE, 0), 0);
	via_access_free(access);
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(test_pins),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
