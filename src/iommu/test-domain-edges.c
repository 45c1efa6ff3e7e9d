/* SPDX-License-Identifier: MIT */
/* What the library's own domain reserves, and what may be asked of what was written. */
#include "iommu/domain.h"
#include "iommu/dma.h"
#include "iommu/test-pages.h"

static const struct via_iova_range usable[] = {
	{0x10000, 0x1ffff},
	{0x20000, 0x2ffff},
	{0x40000, UINT64_MAX},
};

static const struct via_iommu_props props = {
	.pgsize_bitmap = PAGE,
	.ranges = usable,
	.n_ranges = 3,
	.entry_limit = 100,
};

/* What lies between the ranges that may be used cannot, and two that touch are as one. */
static void test_unusable(void **state)
{
	struct via_iova_range ranges[4];
	struct fixture *f = *state;
	struct via_ioas *ioas = NULL;

	assert_int_equal(via_ioas_new(&props, &ioas), 0);
	assert_int_equal(via_ioas_ranges(ioas, ranges, 4), 2);
	assert_int_equal(ranges[0].first, 0x10000);
	assert_int_equal(ranges[0].last, 0x2ffff);
	assert_int_equal(ranges[1].first, 0x40000);
	assert_int_equal(ranges[1].last, UINT64_MAX);
	assert_int_equal(map_at(f, ioas, 0, 0, PAGE, RW), -EINVAL);
	assert_int_equal(map_at(f, ioas, 0xf000, 0, PAGE, RW), -EINVAL);
	assert_int_equal(map_at(f, ioas, 0x1f000, 0, 2 * PAGE, RW), 0);
	assert_int_equal(map_at(f, ioas, 0x3f000, 0, PAGE, RW), -EINVAL);
	via_ioas_put(ioas);
}

/* A table needs pages that are not larger than ours. */
static void test_page_sizes(void **state)
{
	struct via_domain_config config = {.aperture_last = UINT64_MAX};
	struct fixture *f = *state;
	struct via_domain *domain;

	assert_int_equal(via_domain_new(f->ioas, &config, &domain), -EINVAL);
	config.pgsize_bitmap = 2 * PAGE;
	assert_int_equal(via_domain_new(f->ioas, &config, &domain), -EINVAL);
	assert_false(via_ioas_has_domain(f->ioas));
	config.pgsize_bitmap = 3 * PAGE;
	assert_int_equal(via_domain_new(f->ioas, &config, &domain), 0);
	via_domain_free(domain);
}

/* Is [first, last] inside one of them? */
static void test_usable(void **state)
{
	assert_true(via_ioas_usable(&props, 0x10000, 0x1ffff));
	assert_false(via_ioas_usable(&props, 0xffff, 0x1ffff));
	assert_false(via_ioas_usable(&props, 0x10000, 0x20000));
	assert_true(via_ioas_usable(&props, 0x40000, UINT64_MAX));
	assert_false(via_ioas_usable(&props, 0x3ffff, UINT64_MAX));
	assert_true(via_ioas_usable(&props, 0x1ffff, 0x1ffff));
}

static void test_get_dirty(void **state)
{
	struct fixture *f = *state;
	struct via_ioas *ioas = NULL;
	struct via_dma *dma;
	uint64_t word = 0;

	assert_int_equal(via_ioas_new(&props, &ioas), 0);
	assert_int_equal(map_at(f, ioas, 0x10000, 0, 4 * PAGE, RW), 0);
	assert_int_equal(via_dma_new("card", &dma), 0);
	via_dma_enable(dma, true);
	assert_int_equal(via_dma_attach(dma, ioas), 0);
	/* Nothing has ever been recorded. */
	assert_int_equal(via_ioas_get_dirty(ioas, 0x10000, 0x13fff, PAGE, &word), -EINVAL);
	assert_int_equal(via_ioas_track_dirty(ioas, true), 0);
	assert_int_equal(via_dma_write(dma, 0x11ffc, "12345678", 8), 0);
	assert_int_equal(via_ioas_get_dirty(ioas, 0x10000, 0x13fff, 3 * PAGE, &word), -EINVAL);
	assert_int_equal(via_ioas_get_dirty(ioas, 0x10000, 0x13fff, PAGE / 2, &word), -EINVAL);
	assert_int_equal(via_ioas_get_dirty(ioas, 0x10000, 0x10000 - 1, PAGE, &word), -EINVAL);
	assert_int_equal(via_ioas_get_dirty(ioas, 0x20000, 0x13fff, PAGE, &word), -EINVAL);
	assert_int_equal(via_ioas_get_dirty(ioas, 0x10000, 0x13ffe, PAGE, &word), -EINVAL);
	assert_int_equal(via_ioas_get_dirty(ioas, 0x10800, 0x13fff, PAGE, &word), -EINVAL);
	assert_int_equal(word, 0);
	assert_int_equal(via_ioas_get_dirty(ioas, 0x10000, 0x13fff, PAGE, &word), 0);
	assert_int_equal(word, 6);
	word = 0;
	assert_int_equal(via_ioas_get_dirty(ioas, 0x10000, 0x13fff, PAGE, &word), 0);
	assert_int_equal(word, 0);
	via_dma_free(dma);
	via_ioas_put(ioas);
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(test_unusable),
		test(test_page_sizes),
		test(test_usable),
		test(test_get_dirty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
