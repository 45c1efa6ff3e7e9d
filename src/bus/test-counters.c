/* SPDX-License-Identifier: MIT */
/* What is told of accesses: who answered how often, and what nobody answered. */
#include "bus/test-support.h"

#include <pthread.h>
#include <stdatomic.h>

#include "bus/internal.h"

static struct via_bus_miss missed[8];
static unsigned int n_missed;

static void note_miss(void *opaque, const struct via_bus_miss *miss)
{
	/* In a section, on the thread that asks. */
	assert_true(via_epoch_inside());
	assert_ptr_equal(opaque, missed);
	if (n_missed < 8)
		missed[n_missed] = *miss;
	n_missed++;
}

static struct via_bus *new_told(struct via_bus *below, bool zeros)
{
	struct via_bus_desc desc = {.name = "told",
				    .below = below,
				    .zeros = zeros,
				    .miss = note_miss,
				    .opaque = missed};
	struct via_bus *bus;

	n_missed = 0;
	assert_int_equal(via_bus_new_as(&desc, &bus), 0);
	return bus;
}

static void expect_miss(unsigned int n, uint64_t addr, unsigned int size, bool write,
			uint64_t value)
{
	assert_true(n < n_missed);
	assert_true(missed[n].addr == addr);
	assert_int_equal(missed[n].size, size);
	assert_int_equal(missed[n].write, write);
	assert_true(missed[n].value == value);
}

static void case_1_description(void **state)
{
	struct via_bus *bus = new_told(NULL, false);
	unsigned int size, i;
	uint64_t v = 0;

	for (size = 1, i = 0; size <= 8; size *= 2, i += 2) {
		assert_int_equal(via_bus_read_value(bus, 0x1230, size, &v), -ENXIO);
		expect_miss(i, 0x1230, size, false, 0);
		assert_int_equal(via_bus_write_value(bus, UINT64_MAX - 7, size, 0xfedcba9876543210),
				 -ENXIO);
		expect_miss(i + 1, UINT64_MAX - 7, size, true,
			    0xfedcba9876543210 & (UINT64_MAX >> (64 - 8 * size)));
	}
	assert_int_equal(n_missed, 8);
	/* Every piece of a buffer, and of what goes on past the end only what there is. */
	n_missed = 0;
	assert_int_equal(via_bus_write(bus, 0x1001, "abcdefg", 7, NULL), -ENXIO);
	assert_int_equal(n_missed, 3);
	expect_miss(0, 0x1001, 1, true, 'a');
	expect_miss(1, 0x1002, 2, true, 'b' | 'c' << 8);
	expect_miss(2, 0x1004, 4, true, 'd' | 'e' << 8 | 'f' << 16 | (uint64_t)'g' << 24);
	n_missed = 0;
	assert_int_equal(via_bus_write_value(bus, UINT64_MAX - 1, 8, 0x1122334455667788), -ENXIO);
	assert_int_equal(n_missed, 1);
	expect_miss(0, UINT64_MAX - 1, 2, true, 0x7788);
	assert_int_equal(via_bus_read_value(bus, 0, 3, &v), -EINVAL);
	assert_int_equal(n_missed, 1);
	via_bus_free(bus);
}

static int not_here_read(void *opaque, uint64_t offset, unsigned int size, uint64_t *ret_value)
{
	*ret_value = 0x77;
	return -ENXIO;
}

static int not_here_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	return -ENXIO;
}

static const struct via_bus_ops not_here = {not_here_read, not_here_write};

static void misses_of_every_kind(void **state)
{
	struct via_bus *vm = new_bus(), *bus = new_told(vm, false);
	struct dev d = {0};
	struct via_claim_desc desc = claim_of(&d, 0x1002, 0x1003, 0);
	uint64_t v = 0;

	/* What the parts between claims of both levels leave. */
	add_desc(bus, &desc);
	desc.start = desc.last = 0x1006;
	add_desc(vm, &desc);
	assert_int_equal(via_bus_write_value(bus, 0x1000, 8, 0x8877665544332211), -ENXIO);
	assert_int_equal(n_missed, 3);
	expect_miss(0, 0x1000, 2, true, 0x2211);
	expect_miss(1, 0x1004, 2, true, 0x6655);
	expect_miss(2, 0x1007, 1, true, 0x88);
	/* A width that a device does not accept. */
	n_missed = 0;
	desc = claim_of(&d, 0x2000, 0x20ff, 0);
	desc.valid_min = 4;
	add_desc(bus, &desc);
	assert_int_equal(via_bus_write_value(bus, 0x2010, 2, 0x44332211), -ENXIO);
	assert_int_equal(n_missed, 1);
	expect_miss(0, 0x2010, 2, true, 0x2211);
	/* A device that says so itself, directly and as a part. */
	n_missed = 0;
	desc = (struct via_claim_desc){.start = 0x3000, .last = 0x3003, .ops = &not_here};
	add_desc(bus, &desc);
	assert_int_equal(via_bus_read_value(bus, 0x3000, 4, &v), -ENXIO);
	assert_int_equal(v, 0xffffffff);
	assert_int_equal(via_bus_write_value(bus, 0x3000, 4, 0x1122334455), -ENXIO);
	assert_int_equal(via_bus_read_value(bus, 0x3000, 8, &v), -ENXIO);
	assert_true(v == UINT64_MAX);
	assert_int_equal(n_missed, 4);
	expect_miss(0, 0x3000, 4, false, 0);
	expect_miss(1, 0x3000, 4, true, 0x22334455);
	expect_miss(2, 0x3000, 4, false, 0);
	expect_miss(3, 0x3004, 4, false, 0);
	/* Indivisible: all of it. */
	n_missed = 0;
	desc = claim_of(&d, 0x4000, 0x4003, 0);
	desc.flags = VIA_BUS_INDIVISIBLE;
	add_desc(bus, &desc);
	assert_int_equal(via_bus_write_value(bus, 0x4000, 8, 5), -ENXIO);
	assert_int_equal(n_missed, 1);
	expect_miss(0, 0x4000, 8, true, 5);
	via_bus_free(bus);
	via_bus_free(vm);
}

static void zeros(void **state)
{
	struct via_bus *bus = new_told(NULL, true);
	struct via_claim_desc desc = {.start = 0x3000, .last = 0x3003, .ops = &not_here};
	struct dev d = {.mem = {0x11, 0x22, 0x33, 0x44}, .decline_reads = false};
	uint8_t buf[8];
	uint64_t v = 1;

	add_desc(bus, &desc);
	add(bus, &d, 0x1000, 0x1001, 0);
	assert_int_equal(via_bus_read_value(bus, 0x5000, 8, &v), -ENXIO);
	assert_int_equal(v, 0);
	v = 1;
	assert_int_equal(via_bus_read_value(bus, 0x3000, 4, &v), -ENXIO);
	assert_int_equal(v, 0);
	v = 1;
	assert_int_equal(via_bus_read_value(bus, 0x3000, 8, &v), -ENXIO);
	assert_int_equal(v, 0);
	assert_int_equal(via_bus_read_value(bus, 0x1000, 8, &v), -ENXIO);
	assert_int_equal(v, 0x2211);
	v = UINT64_MAX;
	assert_int_equal(via_bus_read_value(bus, UINT64_MAX, 8, &v), -ENXIO);
	assert_int_equal(v, 0);
	memset(buf, 0xee, sizeof(buf));
	assert_int_equal(via_bus_read(bus, 0xffc, buf, 8, NULL), -ENXIO);
	assert_memory_equal(buf, ((uint8_t[]){0, 0, 0, 0, 0x11, 0x22, 0, 0}), 8);
	memset(buf, 0xee, sizeof(buf));
	assert_int_equal(via_bus_read(bus, UINT64_MAX - 3, buf, 8, NULL), -ENXIO);
	assert_memory_equal(buf, ((uint8_t[8]){0}), 8);
	via_bus_free(bus);
}

/* --- Counters --- */

static void expect_stats(const struct via_claim *claim, uint64_t reads, uint64_t writes,
			 uint64_t declines, uint64_t refusals)
{
	struct via_claim_stats stats;

	memset(&stats, 0xff, sizeof(stats));
	via_claim_get_stats(claim, &stats);
	assert_int_equal(stats.reads, reads);
	assert_int_equal(stats.writes, writes);
	assert_int_equal(stats.declines, declines);
	assert_int_equal(stats.refusals, refusals);
}

static void case_74_counters_of_a_claim(void **state)
{
	struct via_bus *bus = new_bus();
	struct dev d[3] = {0};
	struct via_claim *a = add(bus, &d[0], 0x1000, 0x1fff, 0), *b, *c;
	uint64_t v;

	expect_stats(a, 0, 0, 0, 0);
	assert_int_equal(via_bus_read_value(bus, 0x1000, 4, &v), 0);
	expect_stats(a, 0, 0, 0, 0);
	assert_int_equal(via_bus_set_counting(bus, true), 0);
	assert_int_equal(via_bus_read_value(bus, 0x1000, 4, &v), 0);
	assert_int_equal(via_bus_write_value(bus, 0x1000, 4, 0), 0);
	assert_int_equal(via_bus_write_value(bus, 0x1000, 4, 0), 0);
	expect_stats(a, 1, 2, 0, 0);
	/* Claims that come later, eclipse and decline. */
	b = add(bus, &d[1], 0x1000, 0x10ff, 1);
	d[1].decline_reads = true;
	assert_int_equal(via_bus_read_value(bus, 0x1000, 4, &v), 0);
	assert_int_equal(via_bus_write_value(bus, 0x1000, 4, 0), 0);
	expect_stats(a, 2, 2, 0, 0);
	expect_stats(b, 0, 1, 1, 0);
	/* Each callback of an access counts. */
	assert_int_equal(via_bus_read(bus, 0x1100, (uint8_t[16]){0}, 16, NULL), 0);
	expect_stats(a, 4, 2, 0, 0);
	/* A claim that is not there yet, but its place. */
	struct via_claim_desc desc = claim_of(&d[2], 0x3000, 0x3fff, 0);

	desc.flags = VIA_BUS_DISABLED;
	c = add_desc(bus, &desc);
	assert_int_equal(
		via_bus_commit(bus, &(struct via_bus_change){VIA_BUS_ENABLE, .claim = c}, 1), 0);
	assert_int_equal(via_bus_read_value(bus, 0x3000, 4, &v), 0);
	expect_stats(c, 1, 0, 0, 0);
	/* Off, it keeps what it has; on again, it goes on. */
	assert_int_equal(via_bus_set_counting(bus, false), 0);
	assert_int_equal(via_bus_read_value(bus, 0x1100, 4, &v), 0);
	expect_stats(a, 4, 2, 0, 0);
	assert_int_equal(via_bus_set_counting(bus, true), 0);
	assert_int_equal(via_bus_set_counting(bus, true), 0);
	assert_int_equal(via_bus_read_value(bus, 0x1100, 4, &v), 0);
	expect_stats(a, 5, 2, 0, 0);
	via_bus_free(bus);
}

/* A claim that was disabled while counting began counts when it is seen. */
static void case_74_disabled_meanwhile(void **state)
{
	struct via_bus *bus = new_bus();
	struct dev d[2] = {0};
	struct via_claim_desc desc = claim_of(&d[0], 0x1000, 0x1fff, 0);
	struct via_claim *claim;
	uint64_t v;

	desc.flags = VIA_BUS_DISABLED;
	claim = add_desc(bus, &desc);
	add(bus, &d[1], 0x1000, 0x1fff, 0);
	assert_int_equal(via_bus_set_counting(bus, true), 0);
	assert_int_equal(owner(bus, d, 2, 0x1000), 1);
	assert_int_equal(
		via_bus_commit(bus, &(struct via_bus_change){VIA_BUS_MOVE, claim, .start = 0x4000},
			       1),
		0);
	assert_int_equal(owner(bus, d, 2, 0x4000), -1);
	assert_int_equal(via_bus_commit(bus, &(struct via_bus_change){VIA_BUS_ENABLE, claim}, 1),
			 0);
	assert_int_equal(via_bus_read_value(bus, 0x4000, 4, &v), 0);
	expect_stats(claim, 1, 0, 0, 0);
	via_bus_free(bus);
}

struct asks_itself {
	struct via_bus *bus;
	int ret;
};

static int ask_itself(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	struct asks_itself *self = opaque;

	self->ret = via_bus_write_value(self->bus, 0x1000, 4, 0);
	return VIA_BUS_OK;
}

static int take_lanes(void *opaque, uint64_t offset, unsigned int size, uint64_t value,
		      unsigned int lanes)
{
	return lanes & 8 ? VIA_BUS_DECLINE : VIA_BUS_OK;
}

static void case_74_refusals_and_lanes(void **state)
{
	static const struct via_bus_ops ops = {.write = ask_itself};
	static const struct via_bus_ops lane_ops = {.write_lanes = take_lanes};
	struct via_bus *bus = new_bus();
	struct asks_itself self = {bus, 0};
	struct via_claim_desc desc = {
		.start = 0x1000, .last = 0x1fff, .ops = &ops, .opaque = &self};
	struct via_claim *claim = add_desc(bus, &desc), *lanes;

	desc = (struct via_claim_desc){
		.start = 0x3000, .last = 0x3fff, .ops = &lane_ops, .impl_min = 4};
	lanes = add_desc(bus, &desc);
	assert_int_equal(via_bus_write_value(bus, 0x1000, 4, 0), 0);
	assert_int_equal(self.ret, -EBUSY);
	expect_stats(claim, 0, 0, 0, 0);
	assert_int_equal(via_bus_set_counting(bus, true), 0);
	assert_int_equal(via_bus_write_value(bus, 0x1000, 4, 0), 0);
	assert_int_equal(self.ret, -EBUSY);
	expect_stats(claim, 0, 1, 0, 1);
	/* No read and no write: ones are read, and what is written is dropped and counts. */
	assert_int_equal(via_bus_write_value(bus, 0x3000, 1, 0), 0);
	expect_stats(lanes, 0, 1, 0, 0);
	assert_int_equal(via_bus_write_value(bus, 0x3003, 1, 0), -ENXIO);
	expect_stats(lanes, 0, 1, 1, 0);
	uint64_t v = 0;

	assert_int_equal(via_bus_read_value(bus, 0x3000, 4, &v), 0);
	assert_int_equal(v, 0xffffffff);
	assert_int_equal(via_bus_write_value(bus, 0x3000, 4, 0), 0);
	expect_stats(lanes, 1, 2, 1, 0);
	via_bus_free(bus);
}

static void case_74_misses(void **state)
{
	struct via_bus *vm = new_bus(), *bus;
	struct via_bus_miss_stats stats[70];
	uint64_t others = 99, v;
	unsigned int i, k;

	assert_int_equal(via_bus_new_as(&(struct via_bus_desc){.below = vm}, &bus), 0);
	(void)via_bus_read_value(bus, 0x10, 4, &v);
	assert_int_equal(via_bus_get_misses(bus, NULL, 0, NULL), 0);
	assert_int_equal(via_bus_get_misses(bus, stats, 4, &others), 0);
	assert_int_equal(others, 0);
	assert_int_equal(via_bus_set_counting(bus, true), 0);
	for (i = 0; i < 3; i++) {
		for (k = 0; k <= i; k++) {
			(void)via_bus_read_value(bus, 0x1000 + i, 1, &v);
			(void)via_bus_write_value(bus, 0x1000 + i, 1, 0);
		}
	}
	(void)via_bus_write_value(bus, UINT64_MAX, 1, 0);
	/* The most frequent first; of equals, the lower address. */
	(void)via_bus_read_value(bus, 0, 1, &v);
	assert_int_equal(via_bus_get_misses(bus, stats, 70, &others), 5);
	assert_int_equal(others, 0);
	assert_int_equal(stats[0].addr, 0x1002);
	assert_int_equal(stats[0].reads, 3);
	assert_int_equal(stats[0].writes, 3);
	assert_int_equal(stats[1].addr, 0x1001);
	assert_int_equal(stats[2].addr, 0x1000);
	assert_int_equal(stats[3].addr, 0);
	assert_int_equal(stats[3].reads, 1);
	assert_int_equal(stats[3].writes, 0);
	assert_true(stats[4].addr == UINT64_MAX);
	assert_int_equal(stats[4].reads, 0);
	assert_int_equal(stats[4].writes, 1);
	/* Room for fewer. */
	memset(stats, 0xee, sizeof(stats));
	assert_int_equal(via_bus_get_misses(bus, stats, 1, NULL), 5);
	assert_int_equal(stats[0].addr, 0x1002);
	assert_true(stats[1].addr == 0xeeeeeeeeeeeeeeee);
	/* Those of the VM's own accesses are not the vCPU's. */
	(void)via_bus_read_value(vm, 0x5000, 1, &v);
	assert_int_equal(via_bus_get_misses(bus, NULL, 0, NULL), 5);
	assert_int_equal(via_bus_get_misses(vm, NULL, 0, NULL), 0);
	/* 64 addresses have a place, others are counted together. */
	for (i = 0; i < 100; i++)
		(void)via_bus_read_value(bus, 0x10000 + 0x1000 * i, 4, &v);
	assert_int_equal(via_bus_get_misses(bus, stats, 70, &others), 64);
	assert_int_equal(others, 100 - 59);
	for (i = 5; i < 64; i++)
		assert_int_equal(stats[i].reads + stats[i].writes, 1);
	(void)via_bus_read_value(bus, 0x1002, 1, &v);
	assert_int_equal(via_bus_get_misses(bus, stats, 1, &others), 64);
	assert_int_equal(stats[0].reads, 4);
	assert_int_equal(others, 100 - 59);
	/* Off: what has been counted stays. */
	assert_int_equal(via_bus_set_counting(bus, false), 0);
	(void)via_bus_read_value(bus, 0x1002, 1, &v);
	(void)via_bus_read_value(bus, 0x9999, 1, &v);
	assert_int_equal(via_bus_get_misses(bus, stats, 1, &others), 64);
	assert_int_equal(stats[0].reads, 4);
	assert_int_equal(others, 100 - 59);
	via_bus_free(bus);
	via_bus_free(vm);
}

/* Counting switched while others dispatch: nothing is lost while it is on. */
struct counted {
	struct via_bus *bus;
	unsigned int n;
};

static void *counted_main(void *arg)
{
	struct counted *c = arg;
	unsigned int i;
	uint64_t v;

	for (i = 0; i < c->n; i++) {
		(void)via_bus_read_value(c->bus, 0x1000, 4, &v);
		(void)via_bus_read_value(c->bus, 0x8000 + 8 * (i % 128), 4, &v);
	}
	return NULL;
}

static void case_74_by_several_threads(void **state)
{
	struct counted c = {new_bus(), 5000};
	struct via_bus_miss_stats stats[64];
	struct via_claim_stats of_claim;
	struct dev d[16] = {0};
	struct via_claim_desc desc = {.start = 0x1000, .last = 0x1fff};
	struct via_claim *claim = add_desc(c.bus, &desc);
	uint64_t others, sum = 0;
	pthread_t thread[2];
	unsigned int i;

	assert_int_equal(via_bus_set_counting(c.bus, true), 0);
	for (i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, counted_main, &c), 0);
	/* Changes beside it make entries anew. */
	for (i = 0; i < 100; i++)
		(void)via_bus_remove(add(c.bus, &d[i % 16], 0x2000, 0x2fff, 0));
	for (i = 0; i < 2; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
	via_claim_get_stats(claim, &of_claim);
	assert_int_equal(of_claim.reads, 2 * c.n);
	assert_int_equal(via_bus_get_misses(c.bus, stats, 64, &others), 64);
	for (i = 0; i < 64; i++)
		sum += stats[i].reads;
	assert_int_equal(sum + others, 2 * c.n);
	/* Switched on and off meanwhile. */
	for (i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, counted_main, &c), 0);
	for (i = 0; i < 100; i++)
		assert_int_equal(via_bus_set_counting(c.bus, i & 1), 0);
	for (i = 0; i < 2; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
	via_claim_get_stats(claim, &of_claim);
	assert_true(of_claim.reads >= 2 * c.n && of_claim.reads <= 4 * c.n);
	via_bus_free(c.bus);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(case_1_description),
		cmocka_unit_test(misses_of_every_kind),
		cmocka_unit_test(zeros),
		cmocka_unit_test(case_74_counters_of_a_claim),
		cmocka_unit_test(case_74_disabled_meanwhile),
		cmocka_unit_test(case_74_refusals_and_lanes),
		cmocka_unit_test(case_74_misses),
		cmocka_unit_test(case_74_by_several_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
