/* SPDX-License-Identifier: MIT */
/* The choice of an IOVA at the edges of what is reserved, and what is known from the last choice.
 */
#include "iommu/ioas-private.h"
#include "iommu/test-pages.h"

static int choose(struct via_ioas *ioas, uint64_t addr, uint64_t len, via_iova_t *ret_iova)
{
	int rc;

	pthread_mutex_lock(&ioas->lock);
	rc = via_ioas_choose(ioas, addr, len, ret_iova);
	pthread_mutex_unlock(&ioas->lock);
	return rc;
}

/* A reserved range of which only the last byte lies in the hole that is looked at. */
static void test_reserved_first_byte(void **state)
{
	struct fixture *f = *state;
	via_iova_t iova;

	assert_int_equal(via_ioas_set_large_pages(f->ioas, true), 0);
	assert_int_equal(via_ioas_alignment(f->ioas), 1);
	assert_int_equal(via_ioas_reserve(f->ioas, 0, PAGE, f), 0);
	assert_int_equal(choose(f->ioas, 0, 1, &iova), 0);
	assert_int_equal(iova, PAGE + 1);
	via_ioas_unreserve(f->ioas, f);
	assert_int_equal(choose(f->ioas, 0, 1, &iova), 0);
	assert_int_equal(iova, PAGE);
}

/* The last byte of a hole is not given, although a request of one byte would fit. */
static void test_last_byte(void **state)
{
	struct fixture *f = *state;
	via_iova_t iova;

	assert_int_equal(via_ioas_allow(f->ioas, &(struct via_iova_range){0x5000, 0x5001}, 1), 0);
	assert_int_equal(choose(f->ioas, 0, 1, &iova), 0);
	assert_int_equal(iova, 0x5000);
	assert_int_equal(map_at(f, f->ioas, 0x5000, 0, 1, RW), 0);
	assert_int_equal(choose(f->ioas, 0, 1, &iova), -ENOSPC);
}

/* What cannot be placed anywhere, or only against the alignment. */
static void test_refused(void **state)
{
	struct fixture *f = *state;
	const uint64_t half = UINT64_MAX / 2;
	struct via_domain *domain;
	via_iova_t iova;

	assert_int_equal(choose(f->ioas, 0, 0, &iova), -EOVERFLOW);
	assert_int_equal(choose(f->ioas, 0, half, &iova), -EOVERFLOW);
	assert_int_equal(choose(f->ioas, 0, half - 1, &iova), 0);
	/* Aligned to a byte only, as its address or its length. */
	domain = domain_of(f->ioas);
	assert_int_equal(choose(f->ioas, PAGE + 1, PAGE, &iova), -EINVAL);
	assert_int_equal(choose(f->ioas, 0, 1, &iova), -EINVAL);
	assert_int_equal(choose(f->ioas, PAGE, PAGE, &iova), 0);
	via_domain_free(domain);
}

/* A hint for exactly the same is taken, one for more of something is not. */
static void test_hints(void **state)
{
	struct fixture *f = *state;
	const uint64_t addr = 0x7f0000000000;
	via_iova_t iova;

	f->ioas->hints[3] = (struct via_hint){2 * PAGE, 2 * PAGE, 0x100000};
	assert_int_equal(choose(f->ioas, addr, 2 * PAGE, &iova), 0);
	assert_int_equal(iova, 0x100000);
	f->ioas->hints[3] = (struct via_hint){2 * PAGE, 2 * PAGE, 0x100000};
	assert_int_equal(choose(f->ioas, addr, PAGE, &iova), 0);
	assert_int_equal(iova, PAGE);
	via_ioas_forget_hints(f->ioas, 0);
	f->ioas->hints[3] = (struct via_hint){2 * PAGE, 2 * PAGE, 0x100000};
	assert_int_equal(choose(f->ioas, addr + PAGE, 2 * PAGE, &iova), 0);
	assert_int_equal(iova, PAGE);
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(test_reserved_first_byte),
		test(test_last_byte),
		test(test_refused),
		test(test_hints),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
