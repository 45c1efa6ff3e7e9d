/* SPDX-License-Identifier: MIT */
/* Who answers: lookup, overlap, transactions. Numbers are those of the bus's list of test cases. */
#include "bus/test-support.h"

static void case_1_empty(void **state)
{
	struct via_bus *bus = new_bus();
	uint8_t buf[16];
	uint64_t v = 0;
	size_t done = 7;

	assert_int_equal(via_bus_read_value(bus, 0, 4, &v), -ENXIO);
	assert_int_equal(v, 0xffffffff);
	assert_int_equal(via_bus_write_value(bus, UINT64_MAX, 1, 0), -ENXIO);
	memset(buf, 0, sizeof(buf));
	assert_int_equal(via_bus_read(bus, 3, buf, sizeof(buf), &done), -ENXIO);
	assert_int_equal(done, 0);
	assert_int_equal(buf[0] & buf[15], 0xff);
	via_bus_free(bus);
	via_bus_free(NULL);
}

static void case_2_edges(void **state)
{
	struct via_bus *bus = new_bus();
	struct dev d = { 0 };

	add(bus, &d, 0x1000, 0x1fff, 0);
	assert_int_equal(owner(bus, &d, 1, 0xfff), -1);
	assert_int_equal(owner(bus, &d, 1, 0x1000), 0);
	assert_int_equal(owner(bus, &d, 1, 0x1fff), 0);
	assert_int_equal(owner(bus, &d, 1, 0x2000), -1);
	via_bus_free(bus);
}

static void case_3_whole_space(void **state)
{
	struct via_bus *bus = new_bus();
	struct dev d[2] = { 0 };
	uint64_t v;
	size_t done;
	uint8_t buf[4];

	add(bus, &d[0], 0, UINT64_MAX, 0);
	add(bus, &d[1], UINT64_MAX - 7, UINT64_MAX, 1);
	assert_int_equal(owner(bus, d, 2, 0), 0);
	assert_int_equal(owner(bus, d, 2, UINT64_MAX / 2), 0);
	assert_int_equal(owner(bus, d, 2, UINT64_MAX - 8), 0);
	assert_int_equal(owner(bus, d, 2, UINT64_MAX), 1);
	/* Cut at the end of the space: two bytes are answered, two belong to nobody. */
	assert_int_equal(via_bus_read_value(bus, UINT64_MAX - 1, 4, &v), -ENXIO);
	assert_int_equal(via_bus_read(bus, UINT64_MAX - 1, buf, 4, &done), -ENXIO);
	assert_int_equal(done, 2);
	assert_int_equal(buf[0], 0);
	assert_int_equal(buf[2] & buf[3], 0xff);
	via_bus_free(bus);
}

static void case_4_5_refused(void **state)
{
	struct via_bus *bus = new_bus();
	struct dev d = { 0 };
	struct via_claim_desc desc = claim_of(&d, 0x10, 0xf, 0);
	struct via_claim *claim;
	uint64_t v;

	assert_int_equal(via_bus_add(bus, &desc, &claim), -EINVAL);
	desc = claim_of(&d, 0, UINT64_MAX, 0);
	desc.offset = 1;
	assert_int_equal(via_bus_add(bus, &desc, &claim), -EINVAL);
	desc = claim_of(&d, 0, 0xff, 0);
	desc.impl_min = 3;
	assert_int_equal(via_bus_add(bus, &desc, &claim), -EINVAL);
	desc.impl_min = 8;
	desc.impl_max = 4;
	assert_int_equal(via_bus_add(bus, &desc, &claim), -EINVAL);
	desc = claim_of(&d, 0, 0xff, 0);
	desc.valid_max = 16;
	assert_int_equal(via_bus_add(bus, &desc, &claim), -EINVAL);
	desc = claim_of(&d, 0, 0xff, 0);
	desc.flags = 1u << 31;
	assert_int_equal(via_bus_add(bus, &desc, &claim), -EINVAL);
	add(bus, &d, 0, 0xff, 0);
	assert_int_equal(via_bus_read_value(bus, 0, 0, &v), -EINVAL);
	assert_int_equal(via_bus_read_value(bus, 0, 3, &v), -EINVAL);
	assert_int_equal(via_bus_read_value(bus, 0, 16, &v), -EINVAL);
	assert_int_equal(via_bus_write_value(bus, 0, 1u << 31, 0), -EINVAL);
	assert_int_equal(d.n_calls, 0);
	via_bus_free(bus);
}

static void case_6_limits(void **state)
{
	static const size_t counts[] = { 5, 6, 999, 1000, 1001, 65536 };
	struct dev d = { 0 };
	size_t c, i;

	for (c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
		size_t n = counts[c];
		struct via_bus_change *ch = calloc(n, sizeof(*ch));
		struct via_bus *bus = new_bus();

		for (i = 0; i < n; i++)
			ch[i] = (struct via_bus_change){
				.kind = VIA_BUS_ADD, .desc = claim_of(&d, i * 32, i * 32 + 15, 0)
			};
		assert_int_equal(via_bus_commit(bus, ch, n), 0);
		for (i = 0; i < n; i++) {
			assert_int_equal(owner(bus, &d, 1, i * 32 + 15), 0);
			assert_int_equal(owner(bus, &d, 1, i * 32 + 16), -1);
		}
		via_bus_free(bus);
		free(ch);
	}
}

static void case_7_equal_priority(void **state)
{
	struct via_bus *bus = new_bus();
	struct dev d[2] = { 0 };
	struct via_claim_desc desc;
	struct via_claim *claim = NULL;
	char before[256], after[256];

	add(bus, &d[0], 0x100, 0x1ff, 0);
	via_bus_dump(bus, before, sizeof(before));
	desc = claim_of(&d[1], 0x1ff, 0x2ff, 0);
	assert_int_equal(via_bus_add(bus, &desc, &claim), -EEXIST);
	desc = claim_of(&d[1], 0, UINT64_MAX, 0);
	assert_int_equal(via_bus_add(bus, &desc, &claim), -EEXIST);
	desc = claim_of(&d[1], 0x100, 0x1ff, 0);
	assert_int_equal(via_bus_add(bus, &desc, &claim), -EEXIST);
	assert_null(claim);
	via_bus_dump(bus, after, sizeof(after));
	assert_string_equal(before, after);
	via_bus_free(bus);
}

static void case_8_12_eclipse(void **state)
{
	struct via_bus *bus = new_bus();
	struct dev d[2] = { 0 };
	struct via_claim *over;

	add(bus, &d[0], 0x1000, 0x1fff, 0);
	over = add(bus, &d[1], 0x1400, 0x14ff, 1);
	assert_int_equal(owner(bus, d, 2, 0x13ff), 0);
	assert_int_equal(owner(bus, d, 2, 0x1400), 1);
	assert_int_equal(owner(bus, d, 2, 0x14ff), 1);
	assert_int_equal(owner(bus, d, 2, 0x1500), 0);
	assert_int_equal(via_bus_remove(over), 0);
	assert_int_equal(owner(bus, d, 2, 0x1400), 0);
	assert_int_equal(owner(bus, d, 2, 0x14ff), 0);
	via_bus_free(bus);
}

static void case_9_any_order(void **state)
{
	static const int order[6][3] = { { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 },
					 { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 } };
	char first[1024], text[1024];
	struct dev d[3] = { 0 };
	int i, j;

	for (i = 0; i < 6; i++) {
		struct via_bus *bus = new_bus();

		for (j = 0; j < 3; j++) {
			int k = order[i][j];

			add(bus, &d[k], 0x100u * k, 0xfff - 0x100u * k, k);
		}
		assert_true(via_bus_dump(bus, text, sizeof(text)) < sizeof(text));
		if (!i)
			strcpy(first, text);
		assert_string_equal(first, text);
		assert_int_equal(owner(bus, d, 3, 0xff), 0);
		assert_int_equal(owner(bus, d, 3, 0x1ff), 1);
		assert_int_equal(owner(bus, d, 3, 0x200), 2);
		assert_int_equal(owner(bus, d, 3, 0xe00), 1);
		via_bus_free(bus);
	}
}

static void case_10_11_kernel(void **state)
{
	struct via_bus *bus = new_bus();
	struct dev d[3] = { 0 };

	add(bus, &d[0], 0x1000, 0x1fff, 0);
	add(bus, &d[1], 0x1010, 0x1013, 1);
	assert_int_equal(owner(bus, d, 3, 0x1004), 0);
	assert_int_equal(owner(bus, d, 3, 0x1010), 1);
	assert_int_equal(owner(bus, d, 3, 0x1014), 0);
	assert_int_equal(owner(bus, d, 3, 0x1800), 0);
	add(bus, &d[2], 0x1020, 0x1023, 1);
	assert_int_equal(owner(bus, d, 3, 0x1010), 1);
	assert_int_equal(owner(bus, d, 3, 0x1018), 0);
	assert_int_equal(owner(bus, d, 3, 0x1020), 2);
	assert_int_equal(owner(bus, d, 3, 0x1800), 0);
	via_bus_free(bus);
}

/* The naive model: scan every claim. */
#define MODEL_MAX 64
struct model {
	struct via_claim *claim[MODEL_MAX];
	uint64_t start[MODEL_MAX], last[MODEL_MAX];
	int priority[MODEL_MAX];
};

static int model_owner(const struct model *m, uint64_t addr)
{
	int i, best = -1;

	for (i = 0; i < MODEL_MAX; i++) {
		if (m->claim[i] && m->start[i] <= addr && addr <= m->last[i] &&
		    (best < 0 || m->priority[i] > m->priority[best]))
			best = i;
	}
	return best;
}

static bool model_conflict(const struct model *m, int self, uint64_t start, uint64_t last, int prio)
{
	int i;

	for (i = 0; i < MODEL_MAX; i++) {
		if (i != self && m->claim[i] && m->priority[i] == prio && m->start[i] <= last &&
		    start <= m->last[i])
			return true;
	}
	return false;
}

static uint32_t rnd_state = 12345;

static uint32_t rnd(uint32_t n)
{
	rnd_state = rnd_state * 1664525u + 1013904223u;
	return (rnd_state >> 8) % n;
}

static void model_probe(struct via_bus *bus, const struct model *m, struct dev *d, int around)
{
	int i;

	for (i = 0; i < MODEL_MAX; i++) {
		/* Every boundary now and then, those of the claim that changed always. */
		if (!m->claim[i] || (i != around && rnd(16)))
			continue;
		assert_int_equal(owner(bus, d, MODEL_MAX, m->start[i] - 1),
				 model_owner(m, m->start[i] - 1));
		assert_int_equal(owner(bus, d, MODEL_MAX, m->start[i]), model_owner(m, m->start[i]));
		assert_int_equal(owner(bus, d, MODEL_MAX, m->last[i]), model_owner(m, m->last[i]));
		assert_int_equal(owner(bus, d, MODEL_MAX, m->last[i] + 1),
				 model_owner(m, m->last[i] + 1));
	}
}

static void case_13_random(void **state)
{
	struct dev *d = calloc(MODEL_MAX, sizeof(*d));
	struct via_bus *bus = new_bus();
	struct model m = { 0 };
	int round;

	for (round = 0; round < 10000; round++) {
		int i = (int)rnd(MODEL_MAX), prio = (int)rnd(8) - 4;
		uint64_t start = rnd(2000), last = start + (rnd(4) ? rnd(60) : rnd(1500));
		bool conflict;

		if (!rnd(50)) {
			/* The ends of the space take part. */
			start = UINT64_MAX - rnd(100);
			last = UINT64_MAX - rnd((uint32_t)(UINT64_MAX - start) + 1);
		}
		conflict = model_conflict(&m, i, start, last, prio);
		if (!m.claim[i]) {
			struct via_claim_desc desc = claim_of(&d[i], start, last, prio);
			int ret = via_bus_add(bus, &desc, &m.claim[i]);

			assert_int_equal(ret, conflict ? -EEXIST : 0);
			if (ret)
				continue;
			m.start[i] = start;
			m.last[i] = last;
			m.priority[i] = prio;
		} else if (rnd(3)) {
			if (rnd(2))
				assert_int_equal(via_bus_remove(m.claim[i]), 0);
			else
				via_bus_remove_async(m.claim[i], NULL, NULL);
			m.claim[i] = NULL;
			assert_int_equal(owner(bus, d, MODEL_MAX, m.start[i]),
					 model_owner(&m, m.start[i]));
		} else {
			struct via_bus_change ch = { .kind = VIA_BUS_MOVE,
						     .claim = m.claim[i],
						     .start = start };
			uint64_t len = m.last[i] - m.start[i];
			int ret = via_bus_commit(bus, &ch, 1);

			if (len > UINT64_MAX - start) {
				assert_int_equal(ret, -EINVAL);
				continue;
			}
			conflict = model_conflict(&m, i, start, start + len, m.priority[i]);
			assert_int_equal(ret, conflict ? -EEXIST : 0);
			if (ret)
				continue;
			m.start[i] = start;
			m.last[i] = start + len;
		}
		model_probe(bus, &m, d, i);
	}
	via_bus_free(bus);
	free(d);
}

static void case_14_holes(void **state)
{
	struct via_bus *bus = new_bus();
	struct dev d[2] = { 0 };

	add(bus, &d[1], 0x000, 0x0ff, 1);
	add(bus, &d[1], 0x200, 0x2ff, 1);
	assert_int_equal(owner(bus, d, 2, 0x100), -1);
	add(bus, &d[0], 0x080, 0x17f, 0);
	assert_int_equal(owner(bus, d, 2, 0x080), 1);
	assert_int_equal(owner(bus, d, 2, 0x100), 0);
	assert_int_equal(owner(bus, d, 2, 0x180), -1);
	assert_int_equal(owner(bus, d, 2, 0x200), 1);
	via_bus_free(bus);
}

static void case_15_alias(void **state)
{
	struct via_bus *bus = new_bus();
	struct dev d = { 0 };
	struct via_claim_desc desc = claim_of(&d, 0x5000, 0x50ff, 0);
	uint64_t v;

	add(bus, &d, 0x1000, 0x10ff, 0);
	desc.offset = 0x40;
	add_desc(bus, &desc);
	assert_int_equal(via_bus_read_value(bus, 0x1044, 4, &v), 0);
	assert_int_equal(via_bus_read_value(bus, 0x5004, 4, &v), 0);
	assert_int_equal(d.call[0].offset, 0x44);
	assert_int_equal(d.call[1].offset, 0x44);
	via_bus_free(bus);
}

static void case_16_fused(void **state)
{
	struct via_bus *bus = new_bus();
	struct dev d[2] = { 0 };
	struct via_claim_desc desc = claim_of(&d[0], 0x104, 0x107, 0);
	struct via_claim *half;
	uint64_t v;

	add(bus, &d[0], 0x100, 0x103, 0);
	desc.offset = 4;
	half = add_desc(bus, &desc);
	assert_int_equal(via_bus_read_value(bus, 0x100, 8, &v), 0);
	assert_int_equal(d[0].n_calls, 1);
	assert_int_equal(d[0].call[0].size, 8);

	assert_int_equal(via_bus_remove(half), 0);
	add(bus, &d[1], 0x104, 0x107, 0);
	dev_reset(&d[0]);
	assert_int_equal(via_bus_read_value(bus, 0x100, 8, &v), 0);
	assert_int_equal(d[0].n_calls, 1);
	assert_int_equal(d[0].call[0].size, 4);
	assert_int_equal(d[1].n_calls, 1);
	assert_int_equal(d[1].call[0].offset, 0);
	via_bus_free(bus);
}

static void commit_all_or_nothing(void **state)
{
	struct via_bus *bus = new_bus();
	struct dev d[3] = { 0 };
	struct via_claim *a = add(bus, &d[0], 0x100, 0x1ff, 0);
	struct via_claim *b = add(bus, &d[1], 0x300, 0x3ff, 0);
	struct via_bus_change ch[] = {
		{ .kind = VIA_BUS_MOVE, .claim = a, .start = 0x500 },
		{ .kind = VIA_BUS_REMOVE, .claim = b },
		{ .kind = VIA_BUS_ADD, .desc = claim_of(&d[2], 0x500, 0x5ff, 0) },
	};
	struct via_bus_change swap[] = {
		{ .kind = VIA_BUS_MOVE, .claim = a, .start = 0x300 },
		{ .kind = VIA_BUS_MOVE, .claim = b, .start = 0x100 },
	};
	struct via_bus_change twice[] = {
		{ .kind = VIA_BUS_REMOVE, .claim = b },
		{ .kind = VIA_BUS_MOVE, .claim = b, .start = 0x900 },
	};
	char before[256], after[256];

	via_bus_dump(bus, before, sizeof(before));
	assert_int_equal(via_bus_commit(bus, ch, 3), -EEXIST);
	assert_int_equal(via_bus_commit(bus, twice, 2), -EINVAL);
	via_bus_dump(bus, after, sizeof(after));
	assert_string_equal(before, after);

	assert_int_equal(via_bus_commit(bus, swap, 2), 0);
	assert_int_equal(owner(bus, d, 3, 0x300), 0);
	assert_int_equal(owner(bus, d, 3, 0x100), 1);

	ch[2].desc = claim_of(&d[2], 0x600, 0x6ff, 0);
	assert_int_equal(via_bus_commit(bus, ch, 3), 0);
	assert_non_null(ch[2].claim);
	assert_int_equal(owner(bus, d, 3, 0x100), -1);
	assert_int_equal(owner(bus, d, 3, 0x500), 0);
	assert_int_equal(owner(bus, d, 3, 0x600), 2);
	via_bus_free(bus);
}

static void case_75_dump(void **state)
{
	static const char want[] =
		"0000000000001000-000000000000100f dev +0x0 priority 0\n"
		"0000000000001010-0000000000001013 dev +0x0 priority 1\n"
		"0000000000001014-0000000000001fff dev +0x14 priority 0\n";
	struct via_bus *bus = new_bus();
	struct dev d[2] = { 0 };
	char buf[512], cut[32];

	assert_int_equal(via_bus_dump(bus, buf, sizeof(buf)), 0);
	assert_string_equal(buf, "");
	add(bus, &d[0], 0x1000, 0x1fff, 0);
	add(bus, &d[1], 0x1010, 0x1013, 1);
	assert_int_equal(via_bus_dump(bus, NULL, 0), sizeof(want) - 1);
	assert_int_equal(via_bus_dump(bus, cut, sizeof(cut)), sizeof(want) - 1);
	assert_memory_equal(cut, want, sizeof(cut) - 1);
	assert_int_equal(cut[sizeof(cut) - 1], 0);
	via_bus_dump(bus, buf, sizeof(buf));
	assert_string_equal(buf, want);
	via_bus_free(bus);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(case_1_empty),
		cmocka_unit_test(case_2_edges),
		cmocka_unit_test(case_3_whole_space),
		cmocka_unit_test(case_4_5_refused),
		cmocka_unit_test(case_6_limits),
		cmocka_unit_test(case_7_equal_priority),
		cmocka_unit_test(case_8_12_eclipse),
		cmocka_unit_test(case_9_any_order),
		cmocka_unit_test(case_10_11_kernel),
		cmocka_unit_test(case_13_random),
		cmocka_unit_test(case_14_holes),
		cmocka_unit_test(case_15_alias),
		cmocka_unit_test(case_16_fused),
		cmocka_unit_test(commit_all_or_nothing),
		cmocka_unit_test(case_75_dump),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
