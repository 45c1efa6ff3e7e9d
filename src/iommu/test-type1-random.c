/* SPDX-License-Identifier: MIT */
/* Our type1 container against what Linux 7.2 answered to the same 80,000 calls. */
#include "iommu/type1-script.h"

#include "iommu/type1.h"
#include "memory/guard.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const struct {
	unsigned int version;
	uint64_t seed;
	uint64_t sums[SCRIPT_SUMS];
} recorded[] = {
#include "iommu/type1-script.inc"
};

static struct via_type1 *type1;
static struct via_mm *mm;

static int do_map(const struct via_vfio_iommu_type1_dma_map *map)
{
	return via_type1_map(type1, mm, map);
}

static int do_unmap(struct via_vfio_iommu_type1_dma_unmap *unmap,
		    const struct via_vfio_bitmap *bitmap)
{
	return via_type1_unmap(type1, mm, unmap, bitmap, &unmap->size);
}

static int do_dirty(uint32_t flags, const struct via_vfio_iommu_type1_dirty_bitmap_get *get)
{
	return via_type1_dirty(type1, mm, flags, get);
}

static void run(size_t which)
{
	struct script script = { do_map, do_unmap, do_dirty, NULL };
	uint64_t sums[SCRIPT_SUMS];

	assert_int_equal(via_guard_install(), 0);
	mm = via_mm_self();
	mm->memlock_limit = recorded[which].seed < 100 ? UINT64_MAX : SCRIPT_MEMLOCK;
	assert_int_equal(via_type1_new(via_iommu_props_intel(), recorded[which].version, true,
				       &type1), 0);
	assert_int_equal(script_run(&script, recorded[which].seed, sums), 0);
	/* The first that differs names the thousand calls to trace on both sides. */
	for (size_t i = 0; i < SCRIPT_SUMS; i++)
		assert_int_equal(sums[i], recorded[which].sums[i]);
	via_type1_free(type1);
	assert_int_equal(mm->locked_pages, 0);
	via_mm_put(mm);
}

static void test_v1(void **state)
{
	run(0);
}

static void test_v2(void **state)
{
	run(1);
}

static void test_v1_memlock(void **state)
{
	run(2);
}

static void test_v2_memlock(void **state)
{
	run(3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_v1),
		cmocka_unit_test(test_v2),
		cmocka_unit_test(test_v1_memlock),
		cmocka_unit_test(test_v2_memlock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
