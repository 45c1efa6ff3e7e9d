/* SPDX-License-Identifier: MIT */
/* Writes that wait: in order, never lost, made before anybody could miss them. */
#include "bus/test-support.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* A device that keeps what was written to it, in order. */
struct sink {
	uint64_t value[64];
	uint64_t offset[64];
	unsigned int size[64];
	unsigned int n, n_reads;
	/* What its callbacks do to the rest, if anything. */
	struct via_bus *bus;
	uint64_t then_read;
	struct via_coalescer *then_drain;
	int ret;
};

static int sink_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	struct sink *sink = opaque;
	uint64_t v;

	if (sink->n < 64) {
		sink->value[sink->n] = value;
		sink->offset[sink->n] = offset;
		sink->size[sink->n] = size;
	}
	sink->n++;
	if (sink->then_read)
		sink->ret = via_bus_read_value(sink->bus, sink->then_read, 4, &v);
	if (sink->then_drain)
		via_coalescer_drain(sink->then_drain);
	return VIA_BUS_OK;
}

static int sink_read(void *opaque, uint64_t offset, unsigned int size, uint64_t *ret_value)
{
	struct sink *sink = opaque;

	sink->n_reads++;
	*ret_value = sink->n;
	return VIA_BUS_OK;
}

static const struct via_bus_ops sink_ops = {sink_read, sink_write};

static struct via_claim_desc zone(struct sink *sink, struct via_coalescer *coalescer,
				  uint64_t start)
{
	return (struct via_claim_desc){.start = start,
				       .last = start + 0xfff,
				       .ops = &sink_ops,
				       .opaque = sink,
				       .name = "zone",
				       .flags = VIA_BUS_COALESCE,
				       .coalescer = coalescer};
}

static struct via_coalescer *new_coalescer(size_t n_slots, int fd)
{
	struct via_coalescer *coalescer;

	assert_int_equal(via_coalescer_new(n_slots, fd, &coalescer), 0);
	return coalescer;
}

static void write_at(struct via_bus *bus, uint64_t addr, uint64_t value)
{
	assert_int_equal(via_bus_write_value(bus, addr, 4, value), 0);
}

static void expect(const struct sink *sink, unsigned int n)
{
	unsigned int i;

	assert_int_equal(sink->n, n);
	for (i = 0; i < n && i < 64; i++)
		assert_int_equal(sink->value[i], i);
}

static void case_68_before_a_read(void **state)
{
	struct via_bus *bus = new_bus();
	struct via_coalescer *coalescer = new_coalescer(8, -1);
	struct sink sink = {0};
	struct via_claim_desc desc = zone(&sink, coalescer, 0x1000);
	uint64_t v = 0;
	int i;

	add_desc(bus, &desc);
	for (i = 0; i < 3; i++)
		write_at(bus, 0x1000 + 4u * (unsigned int)i, (unsigned int)i);
	assert_int_equal(sink.n, 0);
	assert_int_equal(via_bus_read_value(bus, 0x1100, 4, &v), 0);
	assert_int_equal(v, 3);
	expect(&sink, 3);
	for (i = 0; i < 3; i++) {
		assert_int_equal(sink.offset[i], 4 * i);
		assert_int_equal(sink.size[i], 4);
	}
	/* A claim of the same device that does not queue: what is queued comes before its writes.
	 */
	write_at(bus, 0x1000, 3);
	desc.start = 0x3000;
	desc.last = 0x3fff;
	desc.flags = 0;
	add_desc(bus, &desc);
	write_at(bus, 0x3000, 4);
	expect(&sink, 5);
	write_at(bus, 0x1000, 5);
	assert_int_equal(via_bus_read_value(bus, 0x3000, 4, &v), 0);
	assert_int_equal(v, 6);
	/* A fence. */
	write_at(bus, 0x1000, 6);
	via_coalescer_drain(coalescer);
	expect(&sink, 7);
	via_coalescer_drain(coalescer);
	expect(&sink, 7);
	via_bus_free(bus);
	via_coalescer_free(coalescer);
}

static void case_69_full(void **state)
{
	unsigned int slots, i;

	for (slots = 1; slots <= 5; slots++) {
		struct via_bus *bus = new_bus();
		struct via_coalescer *coalescer = new_coalescer(slots, -1);
		struct sink sink = {0};
		struct via_claim_desc desc = zone(&sink, coalescer, 0x1000);

		add_desc(bus, &desc);
		/* Each round fills it, and one more is made at once, after all others. */
		for (i = 0; i < 10 * (slots + 1); i++) {
			write_at(bus, 0x1000, i);
			assert_int_equal(sink.n, (i + 1) / (slots + 1) * (slots + 1));
		}
		expect(&sink, 10 * (slots + 1) < 64 ? 10 * (slots + 1) : sink.n);
		via_bus_free(bus);
		via_coalescer_free(coalescer);
	}
}

static void refused(void **state)
{
	struct via_bus *bus = new_bus();
	struct via_coalescer *coalescer;
	struct sink sink = {0};
	struct via_claim_desc desc = zone(&sink, NULL, 0);
	struct via_claim *claim;

	assert_int_equal(via_coalescer_new(0, -1, &coalescer), -EINVAL);
	assert_int_equal(via_coalescer_new(65537, -1, &coalescer), -EINVAL);
	assert_int_equal(via_coalescer_new(8, 0, &coalescer), -EINVAL);
	assert_int_equal(via_coalescer_new(65536, -1, &coalescer), 0);
	via_coalescer_free(coalescer);
	via_coalescer_free(NULL);
	assert_int_equal(via_bus_add(bus, &desc, &claim), -EINVAL);
	desc.flags = VIA_BUS_DISCARD;
	assert_int_equal(via_bus_add(bus, &desc, &claim), -EINVAL);
	desc.coalescer = coalescer = new_coalescer(4, -1);
	assert_int_equal(via_bus_add(bus, &desc, &claim), -EINVAL);
	desc.flags = VIA_BUS_COALESCE | VIA_BUS_DISCARD;
	assert_int_equal(via_bus_add(bus, &desc, &claim), 0);
	desc.start = 0x10000;
	desc.last = 0x10fff;
	desc.flags = 1u << 7;
	assert_int_equal(via_bus_add(bus, &desc, &claim), -EINVAL);
	via_bus_free(bus);
	via_coalescer_free(coalescer);
}

/* --- Removal --- */

static void count_done(void *opaque)
{
	struct sink *sink = opaque;

	/* By then everything has been made. */
	sink->ret = (int)sink->n;
}

static void case_70_removal(void **state)
{
	struct via_bus *bus = new_bus();
	struct via_coalescer *coalescer = new_coalescer(8, -1);
	struct sink sink[2] = {0};
	struct via_claim_desc desc = zone(&sink[0], coalescer, 0x1000);
	struct via_bus_change ch = {.kind = VIA_BUS_REMOVE};
	struct via_claim *claim[2];
	int how, i;

	for (how = 0; how < 6; how++) {
		bool discards = how & 1;

		memset(sink, 0, sizeof(sink));
		desc = zone(&sink[0], coalescer, 0x1000);
		if (discards)
			desc.flags |= VIA_BUS_DISCARD;
		claim[0] = add_desc(bus, &desc);
		desc = zone(&sink[1], coalescer, 0x3000);
		claim[1] = add_desc(bus, &desc);
		/* In turn, so that one who discards does not take the other's along. */
		for (i = 0; i < 3; i++) {
			write_at(bus, 0x1000, (unsigned int)i);
			write_at(bus, 0x3000, (unsigned int)i);
		}
		ch.claim = claim[0];
		if (how / 2 == 0)
			assert_int_equal(via_bus_remove(claim[0]), 0);
		else if (how / 2 == 1)
			via_bus_remove_async(claim[0], count_done, &sink[0]);
		else
			assert_int_equal(via_bus_commit(bus, &ch, 1), 0);
		expect(&sink[0], discards ? 0 : 3);
		if (how / 2 == 1)
			assert_int_equal(sink[0].ret, discards ? 0 : 3);
		via_coalescer_drain(coalescer);
		expect(&sink[0], discards ? 0 : 3);
		expect(&sink[1], 3);
		assert_int_equal(via_bus_remove(claim[1]), 0);
	}
	via_bus_free(bus);
	via_coalescer_free(coalescer);
}

/* A bus that is freed removes what is left: the queue does not keep what is gone. */
static void case_70_free_with_a_full_queue(void **state)
{
	struct via_coalescer *coalescer = new_coalescer(4, -1);
	struct sink sink[2] = {0};
	struct via_bus *bus = new_bus();
	struct via_claim_desc desc = zone(&sink[0], coalescer, 0x1000);
	int i;

	add_desc(bus, &desc);
	desc = zone(&sink[1], coalescer, 0x3000);
	desc.flags |= VIA_BUS_DISCARD;
	add_desc(bus, &desc);
	for (i = 0; i < 2; i++) {
		write_at(bus, 0x1000, (unsigned int)i);
		write_at(bus, 0x3000, (unsigned int)i);
	}
	via_bus_free(bus);
	expect(&sink[0], 2);
	expect(&sink[1], 0);
	via_coalescer_drain(coalescer);
	expect(&sink[0], 2);
	via_coalescer_free(coalescer);
}

/* Two halves of one device: what is queued for one goes with that one. */
static void case_70_halves(void **state)
{
	struct via_coalescer *coalescer = new_coalescer(8, -1);
	struct via_bus *bus = new_bus();
	int which;

	for (which = 0; which < 2; which++) {
		struct sink sink = {0};
		struct via_claim_desc desc = zone(&sink, coalescer, 0x1000);
		struct via_claim *half[2];

		desc.flags |= VIA_BUS_DISCARD;
		half[0] = add_desc(bus, &desc);
		desc.start = 0x2000;
		desc.last = 0x2fff;
		desc.offset = 0x1000;
		half[1] = add_desc(bus, &desc);
		write_at(bus, 0x1000, 0);
		write_at(bus, 0x2000, 1);
		assert_int_equal(via_bus_remove(half[which]), 0);
		via_coalescer_drain(coalescer);
		assert_int_equal(sink.n, 1);
		assert_int_equal(sink.value[0], !which);
		assert_int_equal(via_bus_remove(half[!which]), 0);
	}
	via_bus_free(bus);
	via_coalescer_free(coalescer);
}

/* --- Notification --- */

static uint64_t told(int fd)
{
	uint64_t n;

	return read(fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

static void notifies(void **state)
{
	struct via_bus *bus = new_bus();
	int fd = eventfd(0, EFD_NONBLOCK);
	struct via_coalescer *coalescer = new_coalescer(4, fd);
	struct sink sink = {0};
	struct via_claim_desc desc = zone(&sink, coalescer, 0x1000);
	int round;

	add_desc(bus, &desc);
	for (round = 0; round < 3; round++) {
		assert_int_equal(told(fd), 0);
		write_at(bus, 0x1000, 0);
		assert_int_equal(told(fd), 1);
		write_at(bus, 0x1000, 1);
		write_at(bus, 0x1000, 2);
		assert_int_equal(told(fd), 0);
		via_coalescer_drain(coalescer);
	}
	assert_int_equal(sink.n, 9);
	via_bus_free(bus);
	via_coalescer_free(coalescer);
	close(fd);
}

/* --- Devices in devices --- */

static void nested(void **state)
{
	struct via_bus *bus = new_bus();
	struct via_coalescer *c[2] = {new_coalescer(4, -1), new_coalescer(4, -1)};
	struct sink sink[2] = {0};
	struct via_claim_desc desc = zone(&sink[0], c[0], 0x1000);
	struct via_claim_stats stats;
	struct via_claim *claim;

	claim = add_desc(bus, &desc);
	desc = zone(&sink[1], c[1], 0x3000);
	add_desc(bus, &desc);
	assert_int_equal(via_bus_set_counting(bus, true), 0);
	/* The write of one reads the other: whose queue comes first. */
	sink[0].bus = bus;
	sink[0].then_read = 0x3000;
	write_at(bus, 0x1000, 0);
	write_at(bus, 0x3000, 0);
	write_at(bus, 0x3000, 1);
	via_coalescer_drain(c[0]);
	expect(&sink[0], 1);
	assert_int_equal(sink[0].ret, 0);
	expect(&sink[1], 2);
	/* A device that drains its own queue in the middle of a write waits for nothing. */
	memset(sink, 0, sizeof(sink));
	sink[0].then_drain = c[0];
	write_at(bus, 0x1000, 0);
	write_at(bus, 0x1000, 1);
	write_at(bus, 0x1000, 2);
	via_coalescer_drain(c[0]);
	expect(&sink[0], 3);
	/* Nor does it when the write is made at once. */
	memset(sink, 0, sizeof(sink));
	sink[0].then_drain = c[0];
	for (unsigned int i = 0; i < 5; i++)
		write_at(bus, 0x1000, i);
	expect(&sink[0], 5);
	/* One that reads itself is refused, and that is a refusal; the rest was none. */
	memset(sink, 0, sizeof(sink));
	sink[0].bus = bus;
	sink[0].then_read = 0x1000;
	via_claim_get_stats(claim, &stats);
	assert_int_equal(stats.refusals, 0);
	write_at(bus, 0x1000, 0);
	via_coalescer_drain(c[0]);
	assert_int_equal(sink[0].ret, -EBUSY);
	expect(&sink[0], 1);
	via_claim_get_stats(claim, &stats);
	assert_int_equal(stats.refusals, 1);
	via_bus_free(bus);
	via_coalescer_free(c[0]);
	via_coalescer_free(c[1]);
}

/* A write of a device that a drain of its own queue interrupts: the rest keeps its order. */
static void drained_in_the_middle(void **state)
{
	struct via_bus *bus = new_bus();
	struct via_coalescer *coalescer = new_coalescer(8, -1);
	struct sink sink = {.then_drain = coalescer};
	struct via_claim_desc desc = zone(&sink, coalescer, 0x1000);
	struct via_claim *claim = add_desc(bus, &desc);
	struct via_claim_stats stats;

	assert_int_equal(via_bus_set_counting(bus, true), 0);
	desc.start = 0x3000;
	desc.last = 0x3fff;
	desc.flags = 0;
	desc.coalescer = NULL;
	add_desc(bus, &desc);
	/* By a claim of the device that has no queue: its own drain must not enter it again. */
	write_at(bus, 0x1000, 1);
	write_at(bus, 0x3000, 0);
	assert_int_equal(sink.n, 1);
	assert_int_equal(sink.value[0], 0);
	via_coalescer_drain(coalescer);
	expect(&sink, 2);
	/* What only waits has not been refused. */
	via_claim_get_stats(claim, &stats);
	assert_int_equal(stats.refusals, 0);
	via_bus_free(bus);
	via_coalescer_free(coalescer);
}

/* Lanes of a word are no queued write: they come after what is queued. */
static unsigned int lanes_after;

static int sink_lanes(void *opaque, uint64_t offset, unsigned int size, uint64_t value,
		      unsigned int lanes)
{
	struct sink *sink = opaque;

	lanes_after = sink->n;
	assert_int_equal(lanes, 2);
	assert_int_equal(value, 0x5500);
	return VIA_BUS_OK;
}

static void lanes_wait_for_the_queue(void **state)
{
	static const struct via_bus_ops ops = {sink_read, sink_write, sink_lanes};
	struct via_bus *bus = new_bus();
	struct via_coalescer *coalescer = new_coalescer(8, -1);
	struct sink sink = {0};
	struct via_claim_desc desc = zone(&sink, coalescer, 0x1000);

	desc.ops = &ops;
	desc.impl_min = 4;
	add_desc(bus, &desc);
	write_at(bus, 0x1000, 0);
	write_at(bus, 0x1000, 1);
	assert_int_equal(sink.n, 0);
	assert_int_equal(via_bus_write_value(bus, 0x1001, 1, 0x55), 0);
	assert_int_equal(lanes_after, 2);
	via_bus_free(bus);
	via_coalescer_free(coalescer);
}

/* --- Many writers --- */

enum { WRITERS = 3, EACH = 20000 };

struct writer {
	struct via_bus *bus;
	unsigned int id;
};

/* Writes of each writer come in its order, and all of them come. */
struct judge {
	_Atomic uint64_t next[WRITERS];
	_Atomic unsigned int n_bad, n_inside;
};

static int judge_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	struct judge *judge = opaque;
	unsigned int id = (unsigned int)(value >> 24);

	/* Those that are queued are made by one thread at a time; one made at once may join. */
	if (atomic_load_explicit(&judge->next[id], memory_order_relaxed) != (value & 0xffffff))
		atomic_fetch_add(&judge->n_bad, 1);
	atomic_store_explicit(&judge->next[id], (value & 0xffffff) + 1, memory_order_relaxed);
	return VIA_BUS_OK;
}

static int judge_read(void *opaque, uint64_t offset, unsigned int size, uint64_t *ret_value)
{
	struct judge *judge = opaque;

	*ret_value = atomic_load_explicit(&judge->next[offset / 4], memory_order_relaxed);
	return VIA_BUS_OK;
}

static const struct via_bus_ops judge_ops = {judge_read, judge_write};

static void *writer_main(void *arg)
{
	struct writer *w = arg;
	uint64_t bad = 0, v;
	unsigned int i;

	for (i = 0; i < EACH; i++) {
		bad |= (unsigned int)via_bus_write_value(w->bus, 0x1000, 4,
							 (uint64_t)w->id << 24 | i);
		/* A writer sees its own writes done. */
		if (i % 64 == 63) {
			bad |= (unsigned int)via_bus_read_value(w->bus, 0x1000 + 4u * w->id, 4, &v);
			bad |= v != i + 1;
		}
	}
	return bad ? w : NULL;
}

static void many_writers_keep_their_order(void **state)
{
	struct via_bus *bus = new_bus();
	struct via_coalescer *coalescer = new_coalescer(7, -1);
	struct judge judge = {0};
	struct via_claim_desc desc = {.start = 0x1000,
				      .last = 0x1fff,
				      .ops = &judge_ops,
				      .opaque = &judge,
				      .flags = VIA_BUS_COALESCE,
				      .coalescer = coalescer};
	struct writer w[WRITERS];
	pthread_t thread[WRITERS];
	unsigned int i;

	add_desc(bus, &desc);
	for (i = 0; i < WRITERS; i++) {
		w[i] = (struct writer){bus, i};
		assert_int_equal(pthread_create(&thread[i], NULL, writer_main, &w[i]), 0);
	}
	for (i = 0; i < WRITERS; i++) {
		void *bad;

		assert_int_equal(pthread_join(thread[i], &bad), 0);
		assert_null(bad);
	}
	via_coalescer_drain(coalescer);
	assert_int_equal(judge.n_bad, 0);
	for (i = 0; i < WRITERS; i++)
		assert_int_equal(judge.next[i], EACH);
	via_bus_free(bus);
	via_coalescer_free(coalescer);
}

/* A consumer that sleeps until it is told misses no write. */
struct consumer {
	struct via_coalescer *coalescer;
	struct judge *judge;
	int fd;
};

static void *consumer_main(void *arg)
{
	struct consumer *c = arg;

	while (atomic_load(&c->judge->next[0]) < EACH) {
		uint64_t n;

		if (read(c->fd, &n, sizeof(n)) != sizeof(n))
			return arg;
		via_coalescer_drain(c->coalescer);
	}
	return NULL;
}

static void nobody_is_left_untold(void **state)
{
	struct via_bus *bus = new_bus();
	int fd = eventfd(0, 0);
	struct via_coalescer *coalescer = new_coalescer(64, fd);
	struct judge judge = {0};
	struct via_claim_desc desc = {.start = 0x1000,
				      .last = 0x1fff,
				      .ops = &judge_ops,
				      .opaque = &judge,
				      .flags = VIA_BUS_COALESCE,
				      .coalescer = coalescer};
	struct consumer consumer = {coalescer, &judge, fd};
	pthread_t thread;
	void *bad;
	unsigned int i;

	add_desc(bus, &desc);
	assert_int_equal(pthread_create(&thread, NULL, consumer_main, &consumer), 0);
	for (i = 0; i < EACH; i++) {
		assert_int_equal(via_bus_write_value(bus, 0x1000, 4, i), 0);
		/* Let it fall asleep now and then: a write that is not told of would hang here. */
		if (i % 1024 == 0)
			while (atomic_load(&judge.next[0]) <= i)
				sched_yield();
	}
	assert_int_equal(pthread_join(thread, &bad), 0);
	assert_null(bad);
	assert_int_equal(judge.n_bad, 0);
	via_bus_free(bus);
	via_coalescer_free(coalescer);
	close(fd);
}

/* Claims come and go, full queues and all, while others write and drain. */
struct churn {
	struct via_bus *bus;
	struct via_coalescer *coalescer;
	_Atomic bool stop;
	_Atomic unsigned int n;
};

struct mortal {
	uint64_t magic;
	_Atomic unsigned int *n_bad;
};

#define MAGIC 0x6c697665u

static int mortal_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	struct mortal *m = opaque;

	if (m->magic != MAGIC)
		atomic_fetch_add(m->n_bad, 1);
	return VIA_BUS_OK;
}

static const struct via_bus_ops mortal_ops = {NULL, mortal_write};

static void *churn_main(void *arg)
{
	struct churn *c = arg;
	unsigned int i = 0;

	while (!atomic_load_explicit(&c->stop, memory_order_relaxed)) {
		(void)via_bus_write_value(c->bus, 0x1000 + 4 * (i % 16), 4, i);
		if (i++ % 32 == 0)
			via_coalescer_drain(c->coalescer);
		atomic_fetch_add_explicit(&c->n, 1, memory_order_relaxed);
	}
	return NULL;
}

static void case_70_removed_while_full(void **state)
{
	struct churn c = {.bus = new_bus(), .coalescer = new_coalescer(3, -1)};
	_Atomic unsigned int n_bad = 0;
	pthread_t thread[2];
	int i;

	for (i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, churn_main, &c), 0);
	for (i = 0; i < 1000 || atomic_load(&c.n) < 1000; i++) {
		struct mortal *m = malloc(sizeof(*m));
		struct via_claim_desc desc = {.start = 0x1000,
					      .last = 0x1fff,
					      .ops = &mortal_ops,
					      .opaque = m,
					      .coalescer = c.coalescer};
		struct via_claim *claim;

		assert_non_null(m);
		*m = (struct mortal){MAGIC, &n_bad};
		desc.flags = VIA_BUS_COALESCE | (i & 1 ? VIA_BUS_DISCARD : 0);
		claim = add_desc(c.bus, &desc);
		if (i % 4 == 0)
			sched_yield();
		assert_int_equal(via_bus_remove(claim), 0);
		/* Nothing of it is in the queue, nor on its way. */
		m->magic = 0;
		free(m);
	}
	atomic_store(&c.stop, true);
	for (i = 0; i < 2; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
	assert_int_equal(n_bad, 0);
	via_bus_free(c.bus);
	via_coalescer_free(c.coalescer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(case_68_before_a_read),
		cmocka_unit_test(case_69_full),
		cmocka_unit_test(refused),
		cmocka_unit_test(case_70_removal),
		cmocka_unit_test(case_70_halves),
		cmocka_unit_test(case_70_free_with_a_full_queue),
		cmocka_unit_test(notifies),
		cmocka_unit_test(nested),
		cmocka_unit_test(drained_in_the_middle),
		cmocka_unit_test(lanes_wait_for_the_queue),
		cmocka_unit_test(many_writers_keep_their_order),
		cmocka_unit_test(nobody_is_left_untold),
		cmocka_unit_test(case_70_removed_while_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
