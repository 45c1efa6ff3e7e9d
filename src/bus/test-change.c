/* SPDX-License-Identifier: MIT */
/*
 * Changes of place, size and presence. What is seen is a function of what is
 * there, however it came to be so: the dump of a bus is that of a new one
 * with the same claims.
 */
#include "bus/test-support.h"

static void commit1(struct via_bus *bus, int want, struct via_bus_change change)
{
	assert_int_equal(via_bus_commit(bus, &change, 1), want);
}

static void expect_dump(struct via_bus *bus, const char *want)
{
	char text[1024];

	(void)via_bus_dump(bus, text, sizeof(text));
	assert_string_equal(text, want);
}

/* Two halves of one device, of which one is not there at first. */
static void case_16_fused_when_enabled(void **state)
{
	struct via_bus *bus = new_bus();
	struct dev d = {0};
	struct via_claim_desc desc = claim_of(&d, 0x104, 0x107, 0);
	struct via_claim *half;
	uint64_t v;

	add(bus, &d, 0x100, 0x103, 0);
	desc.offset = 4;
	desc.flags = VIA_BUS_DISABLED;
	half = add_desc(bus, &desc);
	assert_int_equal(via_bus_read_value(bus, 0x100, 8, &v), -ENXIO);
	commit1(bus, 0, (struct via_bus_change){VIA_BUS_ENABLE, half});
	expect_dump(bus, "0000000000000100-0000000000000107 dev +0x0 priority 0\n");
	dev_reset(&d);
	assert_int_equal(via_bus_read_value(bus, 0x100, 8, &v), 0);
	assert_int_equal(d.n_calls, 1);
	commit1(bus, 0, (struct via_bus_change){VIA_BUS_DISABLE, half});
	expect_dump(bus, "0000000000000100-0000000000000103 dev +0x0 priority 0\n");
	commit1(bus, 0, (struct via_bus_change){VIA_BUS_DISABLE, half});
	via_bus_free(bus);
}

/* Each property that a callback could tell keeps neighbours apart. */
static void case_16_not_fused(void **state)
{
	enum { N = 12 };
	static const struct via_bus_ops other_ops = {dev_read, dev_write};
	struct via_coalescer *coalescer;
	struct dev d[2] = {0};
	unsigned int i;

	assert_int_equal(via_coalescer_new(4, -1, &coalescer), 0);
	for (i = 0; i <= N; i++) {
		struct via_bus *bus = new_bus();
		struct via_claim_desc desc = claim_of(&d[0], 0x104, 0x107, 0);
		char text[512];

		desc.offset = i == 1 ? 5 : 4;
		desc.ops = i == 2 ? &other_ops : &dev_ops;
		desc.opaque = i == 3 ? &d[1] : &d[0];
		desc.flags = i == 4 ? VIA_BUS_REENTRANT : 0;
		desc.valid_min = i == 5 ? 2 : 0;
		desc.valid_max = i == 6 ? 4 : 0;
		desc.impl_min = i == 7 ? 2 : 0;
		desc.impl_max = i == 8 ? 4 : 0;
		desc.valid_unaligned = i == 9;
		desc.impl_unaligned = i == 10;
		desc.coalescer = i == 11 ? coalescer : NULL;
		desc.priority = i == 12;
		add(bus, &d[0], 0x100, 0x103, 0);
		add_desc(bus, &desc);
		(void)via_bus_dump(bus, text, sizeof(text));
		assert_int_equal(!strchr(text, '\n')[1], i == 0);
		via_bus_free(bus);
	}
	/* Nor are indivisible ones, each of which is one thing. */
	struct via_bus *bus = new_bus();
	struct via_claim_desc desc = claim_of(&d[0], 0x100, 0x103, 0);
	uint64_t v;

	desc.flags = VIA_BUS_INDIVISIBLE;
	add_desc(bus, &desc);
	desc.start = 0x104;
	desc.last = 0x107;
	desc.offset = 4;
	add_desc(bus, &desc);
	assert_int_equal(via_bus_read_value(bus, 0x100, 8, &v), -ENXIO);
	assert_int_equal(d[0].n_calls, 0);
	via_bus_free(bus);
	via_coalescer_free(coalescer);
}

static void resize(void **state)
{
	struct via_bus *bus = new_bus();
	struct dev d[3] = {0};
	struct via_claim *a = add(bus, &d[0], 0x100, 0x1ff, 0);
	struct via_claim *b = add(bus, &d[1], 0x200, 0x2ff, 0);
	struct via_bus_change both[2] = {
		{VIA_BUS_RESIZE, a, .start = 0x100, .last = 0x27f},
		{VIA_BUS_RESIZE, b, .start = 0x280, .last = 0x2ff},
	};
	uint64_t v;

	/* Less, at either end; what begins keeps its offset. */
	commit1(bus, 0, (struct via_bus_change){VIA_BUS_RESIZE, a, .start = 0x180, .last = 0x1bf});
	assert_int_equal(owner(bus, d, 2, 0x17f), -1);
	assert_int_equal(owner(bus, d, 2, 0x180), 0);
	assert_int_equal(d[0].call[0].offset, 0);
	assert_int_equal(owner(bus, d, 2, 0x1bf), 0);
	assert_int_equal(owner(bus, d, 2, 0x1c0), -1);
	/* More. */
	commit1(bus, 0, (struct via_bus_change){VIA_BUS_RESIZE, a, .start = 0x100, .last = 0x1ff});
	commit1(bus, -EEXIST,
		(struct via_bus_change){VIA_BUS_RESIZE, a, .start = 0x100, .last = 0x200});
	assert_int_equal(owner(bus, d, 2, 0x200), 1);
	/* A border that shifts, in one transaction. */
	assert_int_equal(via_bus_commit(bus, both, 2), 0);
	assert_int_equal(owner(bus, d, 2, 0x27f), 0);
	assert_int_equal(owner(bus, d, 2, 0x280), 1);
	assert_int_equal(d[1].call[0].offset, 0);
	/* What cannot be. */
	commit1(bus, -EINVAL, (struct via_bus_change){VIA_BUS_RESIZE, a, .start = 2, .last = 1});
	commit1(bus, 0,
		(struct via_bus_change){VIA_BUS_RESIZE, b, .start = 0x280, .last = UINT64_MAX});
	assert_int_equal(owner(bus, d, 2, UINT64_MAX), 1);
	commit1(bus, -EINVAL, (struct via_bus_change){VIA_BUS_MOVE, b, .start = 0x281});
	commit1(bus, 0, (struct via_bus_change){VIA_BUS_REMOVE, a});
	commit1(bus, 0, (struct via_bus_change){VIA_BUS_RESIZE, b, .start = 0, .last = UINT64_MAX});
	assert_int_equal(owner(bus, d, 2, 0), 1);
	commit1(bus, 0, (struct via_bus_change){VIA_BUS_RESIZE, b, .start = 7, .last = 7});
	expect_dump(bus, "0000000000000007-0000000000000007 dev +0x0 priority 0\n");
	commit1(bus, 0, (struct via_bus_change){VIA_BUS_MOVE, b, .start = UINT64_MAX});
	assert_int_equal(owner(bus, d, 2, UINT64_MAX), 1);

	struct via_claim_desc desc = claim_of(&d[2], 0x1000, 0x10ff, 0);

	desc.offset = UINT64_MAX - 0xff;
	a = add_desc(bus, &desc);
	commit1(bus, -EINVAL,
		(struct via_bus_change){VIA_BUS_RESIZE, a, .start = 0x1000, .last = 0x1100});
	commit1(bus, 0,
		(struct via_bus_change){VIA_BUS_RESIZE, a, .start = 0x1000, .last = 0x107f});
	/* What is not seen is resized all the same. */
	commit1(bus, 0, (struct via_bus_change){VIA_BUS_DISABLE, a});
	commit1(bus, 0,
		(struct via_bus_change){VIA_BUS_RESIZE, a, .start = 0x3000, .last = 0x3001});
	assert_int_equal(via_bus_read_value(bus, 0x3000, 1, &v), -ENXIO);
	commit1(bus, 0, (struct via_bus_change){VIA_BUS_ENABLE, a});
	assert_int_equal(via_bus_read_value(bus, 0x3000, 2, &v), 0);
	assert_int_equal(via_bus_read_value(bus, 0x3002, 1, &v), -ENXIO);
	via_bus_free(bus);
}

/* Places of one byte: all that can be, and each other's. */
static void one_byte(void **state)
{
	struct via_bus *bus = new_bus();
	struct dev d[2] = {0};
	struct via_claim *a = add(bus, &d[0], 0x100, 0x100, 0);
	struct via_claim *b = add(bus, &d[1], 0x101, 0x101, 0);
	struct via_bus_change swap[2] = {{VIA_BUS_MOVE, a, .start = 0x101},
					 {VIA_BUS_MOVE, b, .start = 0x100}};
	struct via_bus_change replace[2] = {{VIA_BUS_REMOVE, a},
					    {.desc = claim_of(&d[0], 0x101, 0x101, 0)}};

	commit1(bus, -EEXIST, swap[0]);
	assert_int_equal(via_bus_commit(bus, swap, 2), 0);
	assert_int_equal(owner(bus, d, 2, 0x100), 1);
	assert_int_equal(owner(bus, d, 2, 0x101), 0);
	assert_int_equal(via_bus_commit(bus, replace, 2), 0);
	assert_int_equal(owner(bus, d, 2, 0xff), -1);
	assert_int_equal(owner(bus, d, 2, 0x100), 1);
	assert_int_equal(owner(bus, d, 2, 0x101), 0);
	assert_int_equal(owner(bus, d, 2, 0x102), -1);
	/* From a place to one that begins with its last byte. */
	a = add(bus, &d[0], 0x200, 0x20f, 0);
	add(bus, &d[1], 0x210, 0x21f, 0);
	commit1(bus, -EEXIST, (struct via_bus_change){VIA_BUS_MOVE, a, .start = 0x20f});
	assert_int_equal(owner(bus, d, 2, 0x20e), 0);
	assert_int_equal(owner(bus, d, 2, 0x210), 1);
	commit1(bus, 0, (struct via_bus_change){VIA_BUS_MOVE, b, .start = 0});
	commit1(bus, 0,
		(struct via_bus_change){VIA_BUS_MOVE, replace[1].claim, .start = UINT64_MAX});
	assert_int_equal(owner(bus, d, 2, 0), 1);
	assert_int_equal(owner(bus, d, 2, UINT64_MAX), 0);
	via_bus_free(bus);
}

/* Of two fused halves one is resized, away from the other and back. */
static void resize_of_what_is_fused(void **state)
{
	struct via_bus *bus = new_bus();
	struct dev d = {0};
	struct via_claim_desc desc = claim_of(&d, 0x110, 0x11f, 0);
	struct via_claim *low = add(bus, &d, 0x100, 0x10f, 0), *high;

	desc.offset = 0x10;
	high = add_desc(bus, &desc);
	expect_dump(bus, "0000000000000100-000000000000011f dev +0x0 priority 0\n");
	commit1(bus, 0,
		(struct via_bus_change){VIA_BUS_RESIZE, low, .start = 0x100, .last = 0x107});
	expect_dump(bus, "0000000000000100-0000000000000107 dev +0x0 priority 0\n"
			 "0000000000000110-000000000000011f dev +0x10 priority 0\n");
	commit1(bus, 0,
		(struct via_bus_change){VIA_BUS_RESIZE, low, .start = 0x100, .last = 0x10f});
	commit1(bus, 0,
		(struct via_bus_change){VIA_BUS_RESIZE, high, .start = 0x110, .last = 0x12f});
	expect_dump(bus, "0000000000000100-000000000000012f dev +0x0 priority 0\n");
	/* From below, its first offset stays, so that it is not the other half any more. */
	commit1(bus, 0,
		(struct via_bus_change){VIA_BUS_RESIZE, high, .start = 0x118, .last = 0x12f});
	expect_dump(bus, "0000000000000100-000000000000010f dev +0x0 priority 0\n"
			 "0000000000000118-000000000000012f dev +0x10 priority 0\n");
	commit1(bus, 0, (struct via_bus_change){VIA_BUS_MOVE, high, .start = 0x110});
	expect_dump(bus, "0000000000000100-0000000000000127 dev +0x0 priority 0\n");
	assert_int_equal(via_bus_remove(low), 0);
	expect_dump(bus, "0000000000000110-0000000000000127 dev +0x10 priority 0\n");
	via_bus_free(bus);
}

static void refused_changes(void **state)
{
	struct via_bus *bus = new_bus(), *other = new_bus();
	struct dev d[2] = {0};
	struct via_claim *a = add(bus, &d[0], 0x100, 0x1ff, 0);
	struct via_claim *b = add(other, &d[1], 0x100, 0x1ff, 0);
	struct via_bus_change change[3] = {{VIA_BUS_MOVE, a, .start = 0x500},
					   {VIA_BUS_MOVE, b, .start = 0x500}};
	static const enum via_bus_change_kind kinds[] = {
		VIA_BUS_REMOVE, VIA_BUS_MOVE, VIA_BUS_RESIZE, VIA_BUS_ENABLE, VIA_BUS_DISABLE};
	unsigned int i;

	assert_int_equal(via_bus_commit(bus, change, 2), -EINVAL);
	change[1].claim = NULL;
	assert_int_equal(via_bus_commit(bus, change, 2), -EINVAL);
	change[1] = (struct via_bus_change){(enum via_bus_change_kind)77, a};
	assert_int_equal(via_bus_commit(bus, &change[1], 1), -EINVAL);
	/* Two changes of one claim, of whatever kinds. */
	for (i = 0; i < 25; i++) {
		change[0] = (struct via_bus_change){kinds[i / 5], a, .last = 0xff};
		change[1] = (struct via_bus_change){kinds[i % 5], a, .last = 0xff};
		assert_int_equal(via_bus_commit(bus, change, 2), -EINVAL);
	}
	/* One that fails at last takes back those that would have been. */
	change[0] = (struct via_bus_change){VIA_BUS_ADD, .desc = claim_of(&d[1], 0x300, 0x3ff, 0)};
	change[1] = (struct via_bus_change){VIA_BUS_DISABLE, a};
	change[2] = (struct via_bus_change){VIA_BUS_ADD, .desc = claim_of(&d[1], 0x3ff, 0x4ff, 0)};
	assert_int_equal(via_bus_commit(bus, change, 3), -EEXIST);
	assert_int_equal(owner(bus, d, 2, 0x100), 0);
	assert_int_equal(owner(bus, d, 2, 0x300), -1);
	/* And it is free for the next one. */
	commit1(bus, 0, (struct via_bus_change){VIA_BUS_MOVE, a, .start = 0x200});
	assert_int_equal(owner(bus, d, 2, 0x200), 0);
	assert_int_equal(via_bus_commit(bus, NULL, 0), 0);
	via_bus_free(bus);
	via_bus_free(other);
}

/* Nobody is where another one goes that is not seen. */
static void disabled_ones_overlap(void **state)
{
	struct via_bus *bus = new_bus();
	struct dev d[2] = {0};
	struct via_claim_desc desc = claim_of(&d[1], 0x100, 0x1ff, 0);
	struct via_claim *a = add(bus, &d[0], 0x100, 0x1ff, 0), *b;

	desc.flags = VIA_BUS_DISABLED;
	b = add_desc(bus, &desc);
	commit1(bus, -EEXIST, (struct via_bus_change){VIA_BUS_ENABLE, b});
	assert_int_equal(owner(bus, d, 2, 0x100), 0);
	commit1(bus, 0, (struct via_bus_change){VIA_BUS_MOVE, a, .start = 0x180});
	commit1(bus, -EEXIST, (struct via_bus_change){VIA_BUS_ENABLE, b});
	commit1(bus, 0, (struct via_bus_change){VIA_BUS_MOVE, a, .start = 0x200});
	commit1(bus, 0, (struct via_bus_change){VIA_BUS_ENABLE, b});
	assert_int_equal(owner(bus, d, 2, 0x100), 1);
	commit1(bus, -EEXIST, (struct via_bus_change){VIA_BUS_MOVE, b, .start = 0x101});
	assert_int_equal(owner(bus, d, 2, 0x100), 1);
	via_bus_free(bus);
}

/* --- The dump is a function of what is there --- */

static uint32_t seed = 12345;

static uint32_t rnd(uint32_t n)
{
	seed = seed * 1664525u + 1013904223u;
	return (uint32_t)((uint64_t)seed * n >> 32);
}

enum { CLAIMS = 40 };

struct there {
	struct via_claim *claim;
	struct via_claim_desc desc;
	bool disabled;
};

static void random_desc(struct there *there, struct dev *d)
{
	uint64_t start = 8 * rnd(60);

	there->disabled = !rnd(4);
	there->desc = claim_of(&d[rnd(2)], start, start + 8 * (1 + rnd(12)) - 1, (int)rnd(4));
	/* Most are one device at one place, so that many are fused. */
	there->desc.offset = rnd(4) ? start : rnd(4) * 8;
	there->desc.flags =
		(there->disabled ? VIA_BUS_DISABLED : 0u) | (rnd(12) ? 0u : VIA_BUS_INDIVISIBLE);
}

static int random_change(struct via_bus *bus, struct there *there)
{
	struct via_bus_change change = {.claim = there->claim, .start = 8 * rnd(60)};
	int ret;

	change.last = change.start + 8 * (1 + rnd(12)) - 1;
	switch (rnd(5)) {
	case 0:
		change.kind = VIA_BUS_MOVE;
		change.last = change.start + (there->desc.last - there->desc.start);
		break;
	case 1:
		change.kind = VIA_BUS_RESIZE;
		break;
	case 2:
		change.kind = there->disabled ? VIA_BUS_ENABLE : VIA_BUS_DISABLE;
		break;
	default:
		change.kind = VIA_BUS_REMOVE;
	}
	ret = via_bus_commit(bus, &change, 1);
	assert_true(!ret || ret == -EEXIST);
	if (ret)
		return ret;
	if (change.kind == VIA_BUS_REMOVE)
		there->claim = NULL;
	else if (change.kind == VIA_BUS_ENABLE || change.kind == VIA_BUS_DISABLE)
		there->disabled = !there->disabled;
	if (change.kind == VIA_BUS_MOVE || change.kind == VIA_BUS_RESIZE) {
		there->desc.start = change.start;
		there->desc.last = change.last;
	}
	return 0;
}

static void expect_as_new(struct via_bus *bus, const struct there *there)
{
	struct via_bus_change change[CLAIMS] = {0};
	struct via_bus *fresh = new_bus();
	char want[8192], got[8192];
	size_t n = 0, i, k;

	for (i = 0; i < CLAIMS; i++) {
		if (!there[i].claim)
			continue;
		change[n].desc = there[i].desc;
		change[n].desc.flags = (there[i].desc.flags & ~(unsigned int)VIA_BUS_DISABLED) |
				       (there[i].disabled ? VIA_BUS_DISABLED : 0u);
		n++;
	}
	/* In any order. */
	for (i = 0; n && i + 1 < n; i++) {
		struct via_bus_change swap = change[i];

		k = i + rnd((uint32_t)(n - i));
		change[i] = change[k];
		change[k] = swap;
	}
	if (rnd(2)) {
		assert_int_equal(via_bus_commit(fresh, change, n), 0);
	} else {
		for (i = 0; i < n; i++)
			assert_int_equal(via_bus_commit(fresh, &change[i], 1), 0);
	}
	assert_true(via_bus_dump(fresh, want, sizeof(want)) < sizeof(want));
	(void)via_bus_dump(bus, got, sizeof(got));
	assert_string_equal(got, want);
	via_bus_free(fresh);
}

static void case_9_a_function_of_what_is_there(void **state)
{
	struct via_bus *bus = new_bus();
	struct there there[CLAIMS] = {0};
	struct dev d[2] = {0};
	int i, changes = 0;

	for (i = 0; i < 6000; i++) {
		struct there *one = &there[rnd(CLAIMS)];

		if (one->claim) {
			if (random_change(bus, one))
				continue;
		} else {
			random_desc(one, d);
			if (via_bus_add(bus, &one->desc, &one->claim)) {
				one->claim = NULL;
				continue;
			}
		}
		changes++;
		if (i % 200 == 0)
			assert_int_equal(via_bus_set_counting(bus, i % 400 == 0), 0);
		expect_as_new(bus, there);
	}
	assert_true(changes > 1000);
	via_bus_free(bus);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(case_16_fused_when_enabled),
		cmocka_unit_test(case_16_not_fused),
		cmocka_unit_test(resize),
		cmocka_unit_test(one_byte),
		cmocka_unit_test(resize_of_what_is_fused),
		cmocka_unit_test(refused_changes),
		cmocka_unit_test(disabled_ones_overlap),
		cmocka_unit_test(case_9_a_function_of_what_is_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
