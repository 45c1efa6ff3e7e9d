/* SPDX-License-Identifier: MIT */
/*
 * A window of an HWPT's dirty bitmap is found first and taken then; between the two an unmap may
 * forget all that was found. The linker puts ours before the function that looks, which does so.
 */
#include "iommu/dirty_store.h"
#include "vfio/iommufd/test-iommufd-mock.h"

static unsigned int looks, forget_at; /* 0: never */

int __real_via_dirty_store_harvest(struct via_dirty_store *store, via_iova_t first, via_iova_t last,
				   bool clear,
				   int (*run)(void *cookie, via_iova_t first, via_iova_t last),
				   void *cookie);
int __wrap_via_dirty_store_harvest(struct via_dirty_store *store, via_iova_t first, via_iova_t last,
				   bool clear,
				   int (*run)(void *cookie, via_iova_t first, via_iova_t last),
				   void *cookie);

int __wrap_via_dirty_store_harvest(struct via_dirty_store *store, via_iova_t first, via_iova_t last,
				   bool clear,
				   int (*run)(void *cookie, via_iova_t first, via_iova_t last),
				   void *cookie)
{
	if (++looks == forget_at)
		via_dirty_store_clear(store, 0, UINT64_MAX);
	return __real_via_dirty_store_harvest(store, first, last, clear, run, cookie);
}

static long bitmap(struct bench *b, uint32_t id, uint64_t *bits)
{
	struct via_iommu_hwpt_get_dirty_bitmap cmd = {
		.size = sizeof(cmd),
		.hwpt_id = id,
		.iova = LOW,
		.length = PAGE,
		.page_size = PAGE,
		.data = addr(bits),
	};

	looks = 0;
	return ioc(b, VIA_IOMMU_HWPT_GET_DIRTY_BITMAP, &cmd);
}

static void test_forgotten_between(void **state)
{
	struct via_iommu_hwpt_set_dirty_tracking track = {.size = sizeof(track), .flags = 1};
	struct bench *b = *state;
	const uint32_t ioas = ioas_new(b);
	const struct mocked m = mock_new(b, ioas);
	uint64_t bits = 0, one = 1;
	struct via_iommu_test_cmd mark = {
		.dirty = {.iova = LOW, .length = PAGE, .page_size = PAGE, .uptr = addr(&one)}};
	uint32_t id;

	id = (uint32_t)hwpt(b, m.idev, ioas, VIA_IOMMU_HWPT_ALLOC_DIRTY_TRACKING);
	assert_int_equal(replace(b, m.stdev, id), id);
	track.hwpt_id = id;
	assert_int_equal(ioc(b, VIA_IOMMU_HWPT_SET_DIRTY_TRACKING, &track), 0);
	assert_int_equal(map_at(b, ioas, F, addr(b->memory), PAGE, LOW), 0);

	assert_int_equal(test_cmd(b, &mark, VIA_IOMMU_TEST_DIRTY, id), 0);
	forget_at = 2;
	assert_int_equal(bitmap(b, id, &bits), 0);
	assert_int_equal(bits, 0);
	assert_int_equal(looks, 2);

	assert_int_equal(test_cmd(b, &mark, VIA_IOMMU_TEST_DIRTY, id), 0);
	forget_at = 0;
	assert_int_equal(bitmap(b, id, &bits), 0);
	assert_int_equal(bits, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		MOCK_FULL(test_forgotten_between),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
