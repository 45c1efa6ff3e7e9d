/* SPDX-License-Identifier: MIT */
/*
 * Memory runs out: the writer's side is built here once more with an allocator
 * that fails at a chosen call.
 */
#include <stdbool.h>
#include <stdlib.h>

static long fail_at = -1; /* this allocation and all later ones fail; -1: none */
static bool fail_one;	  /* only that one */
static long n_allocations;

static bool may_allocate(void)
{
	long n = n_allocations++;

	return fail_at < 0 || n < fail_at || (fail_one && n > fail_at);
}

static void *test_malloc(size_t size)
{
	return may_allocate() ? malloc(size) : NULL;
}

static void *test_calloc(size_t n, size_t size)
{
	return may_allocate() ? calloc(n, size) : NULL;
}

static void *test_aligned_alloc(size_t align, size_t size)
{
	return may_allocate() ? aligned_alloc(align, size) : NULL;
}

#define malloc test_malloc
#define calloc test_calloc
#define aligned_alloc test_aligned_alloc
#include "bus/bus.c"
#include "bus/claims.c"
#include "bus/commit.c"
#include "bus/entry.c"
#include "bus/events.c"
#include "bus/layers.c"
#include "bus/map.c"
#include "bus/remove.c"
#include "bus/render.c"
#include "bus/view.c"
#undef malloc
#undef calloc
#undef aligned_alloc

#include "bus/test-support.h"

static void fail_from(long at, bool one)
{
	n_allocations = 0;
	fail_at = at;
	fail_one = one;
}

static void check_all(struct via_bus *bus, struct dev *d, const int *want)
{
	int i;

	for (i = 0; i < 8; i++)
		assert_int_equal(owner(bus, d, 4, 0x100u + 0x10u * (unsigned int)i), want[i]);
}

static int n_done;

static void count_done(void *opaque)
{
	n_done++;
}

/*
 * Zone, a nested claim, and two fused claims of one device side by side:
 *   0x100..0x17f zone (0), 0x110..0x11f (1) above it, 0x140..0x14f and 0x150..0x15f both (2)
 */
static void case_30_remove_without_memory(void **state)
{
	static const int all[8] = {0, 1, 0, 0, 2, 2, 0, 0};
	static const int no_1[8] = {0, 0, 0, 0, 2, 2, 0, 0};
	static const int half[8] = {0, 0, 0, 0, 0, 2, 0, 0};
	static const int no_0[8] = {-1, -1, -1, -1, -1, 2, -1, -1};
	static const int last[8] = {-1, -1, -1, -1, -1, 3, -1, -1};
	long at;

	for (at = 0; at < 48; at++) {
		struct via_bus *bus = new_bus();
		struct dev d[4] = {0};
		struct via_claim *c[4];
		struct via_claim_desc desc;
		uint64_t v;

		c[0] = add(bus, &d[0], 0x100, 0x17f, 0);
		c[1] = add(bus, &d[1], 0x110, 0x11f, 1);
		c[2] = add(bus, &d[2], 0x140, 0x14f, 1);
		desc = claim_of(&d[2], 0x150, 0x15f, 1);
		desc.offset = 0x10;
		c[3] = add_desc(bus, &desc);
		check_all(bus, d, all);

		fail_from(at, false);
		assert_int_equal(via_bus_remove(c[1]), 0);
		check_all(bus, d, no_1);
		via_bus_remove_async(c[2], count_done, NULL);
		assert_int_equal(n_done, at + 1);
		check_all(bus, d, half);
		/* An access over the seam of what was fused goes to the zone and to the survivor.
		 */
		dev_reset(&d[0]);
		dev_reset(&d[2]);
		assert_int_equal(via_bus_read(bus, 0x14f, (uint8_t[2]){0}, 2, NULL), 0);
		assert_int_equal(d[0].n_reads, 1);
		assert_int_equal(d[2].n_reads, 1);
		assert_int_equal(via_bus_remove(c[0]), 0);
		check_all(bus, d, no_0);
		assert_int_equal(via_bus_read_value(bus, 0x104, 4, &v), -ENXIO);

		/* With memory again the next change leaves no trace of the dead. */
		fail_from(-1, false);
		assert_int_equal(via_bus_remove(c[3]), 0);
		add(bus, &d[3], 0x150, 0x15f, 0);
		check_all(bus, d, last);
		via_bus_free(bus);
	}
}

static void failed_change_leaves_no_trace(void **state)
{
	char before[512], after[512];
	struct dev d[4] = {0};
	long at;

	for (at = 0;; at++) {
		struct via_bus *bus = new_bus();
		struct via_claim *a = add(bus, &d[0], 0x100, 0x1ff, 0);
		struct via_claim *b = add(bus, &d[1], 0x180, 0x18f, 1);
		struct via_bus_change ch[] = {
			{.kind = VIA_BUS_MOVE, .claim = a, .start = 0x500},
			{.kind = VIA_BUS_ADD, .desc = claim_of(&d[2], 0x100, 0x1ff, 0)},
			{.kind = VIA_BUS_REMOVE, .claim = b},
			{.kind = VIA_BUS_ADD, .desc = claim_of(&d[3], 0x600, 0x6ff, 0)},
		};
		int ret;

		via_bus_dump(bus, before, sizeof(before));
		fail_from(at, true);
		ret = via_bus_commit(bus, ch, 4);
		fail_from(-1, false);
		via_bus_dump(bus, after, sizeof(after));
		if (!ret)
			assert_string_not_equal(before, after);
		else
			assert_string_equal(before, after);
		if (ret) {
			assert_int_equal(ret, -ENOMEM);
			assert_int_equal(via_bus_commit(bus, ch, 4), 0);
		}
		via_bus_free(bus);
		if (!ret)
			break;
	}
	assert_true(at > 5);
}

static void new_fails(void **state)
{
	struct via_bus *bus;
	long at;
	int ret = -ENOMEM;

	for (at = 0; ret; at++) {
		fail_from(at, true);
		ret = via_bus_new("test", &bus);
		assert_true(ret == 0 || ret == -ENOMEM);
	}
	fail_from(-1, false);
	assert_true(at > 2);
	via_bus_free(bus);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(case_30_remove_without_memory),
		cmocka_unit_test(failed_change_leaves_no_trace),
		cmocka_unit_test(new_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
