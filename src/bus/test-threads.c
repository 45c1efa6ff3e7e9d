/* SPDX-License-Identifier: MIT */
/* Readers and writers at once. Run it under ThreadSanitizer: that is half of its worth. */
#include "bus/test-support.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/epoch.h"

#define N_READERS 2

/* What a callback may touch only while its claim lives. */
struct live {
	uint64_t id;
	uint64_t magic;
};
#define MAGIC 0x6c697665ULL

static _Atomic unsigned int n_bad;

static int live_read(void *opaque, uint64_t offset, unsigned int size, uint64_t *ret_value)
{
	struct live *live = opaque;

	if (live->magic != MAGIC)
		atomic_fetch_add(&n_bad, 1);
	*ret_value = live->id;
	return VIA_BUS_OK;
}

static const struct via_bus_ops live_ops = { live_read, NULL };

static struct via_claim_desc live_claim(struct live *live, uint64_t start, int priority)
{
	return (struct via_claim_desc){ .start = start,
					.last = start + 0xff,
					.priority = priority,
					.ops = &live_ops,
					.opaque = live };
}

struct readers {
	struct via_bus *bus;
	void (*body)(struct readers *readers);
	_Atomic bool stop;
	_Atomic uint64_t n_done;
	pthread_t thread[N_READERS];
};

static void *reader_main(void *arg)
{
	struct readers *readers = arg;

	while (!atomic_load_explicit(&readers->stop, memory_order_relaxed)) {
		readers->body(readers);
		atomic_fetch_add_explicit(&readers->n_done, 1, memory_order_relaxed);
	}
	return NULL;
}

static void readers_start(struct readers *readers)
{
	int i;

	for (i = 0; i < N_READERS; i++)
		assert_int_equal(pthread_create(&readers->thread[i], NULL, reader_main, readers), 0);
	/* A writer that has finished before they begin would prove nothing. */
	while (!atomic_load(&readers->n_done))
		sched_yield();
}

static void readers_stop(struct readers *readers)
{
	int i;

	atomic_store(&readers->stop, true);
	for (i = 0; i < N_READERS; i++)
		assert_int_equal(pthread_join(readers->thread[i], NULL), 0);
}

static bool time_left(const struct timespec *since, long ms)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (now.tv_sec - since->tv_sec) * 1000 + (now.tv_nsec - since->tv_nsec) / 1000000 < ms;
}

static void read_anywhere(struct readers *readers)
{
	uint64_t v;
	int i;

	for (i = 0; i < 16; i++)
		(void)via_bus_read_value(readers->bus, 0x100u * i, 4, &v);
}

static void case_23_no_callback_after_remove(void **state)
{
	struct readers r = { .bus = new_bus(), .body = read_anywhere };
	struct timespec since;
	long page = sysconf(_SC_PAGESIZE);
	struct live *live;
	int i;

	clock_gettime(CLOCK_MONOTONIC, &since);
	live = mmap(NULL, (size_t)page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(live, MAP_FAILED);
	readers_start(&r);
	for (i = 0; i < 20 || (i < 20000 && time_left(&since, 400)); i++) {
		struct via_claim_desc desc = live_claim(live, 0x100u * (i % 16), 0);
		struct via_claim *claim;

		*live = (struct live){ 1, MAGIC };
		claim = add_desc(r.bus, &desc);
		sched_yield();
		assert_int_equal(via_bus_remove(claim), 0);
		/* A late callback is a bad magic, or now and then a fault. */
		live->magic = 0;
		if (i % 64 == 0) {
			assert_int_equal(mprotect(live, (size_t)page, PROT_NONE), 0);
			sched_yield();
			assert_int_equal(mprotect(live, (size_t)page, PROT_READ | PROT_WRITE), 0);
		}
	}
	readers_stop(&r);
	assert_int_equal(n_bad, 0);
	munmap(live, (size_t)page);
	via_bus_free(r.bus);
}

/* One device at one of two places, another beneath at both: the sum of the two reads is telling. */
static void read_pair(struct readers *readers)
{
	uint64_t v;
	int ret = via_bus_read_value(readers->bus, 0x1000, 8, &v);

	if (ret || (v != 1 && v != 2))
		atomic_fetch_add(&n_bad, 1);
}

static void case_24_25_moves_are_atomic(void **state)
{
	enum { N = 64 };
	struct readers r = { .bus = new_bus(), .body = read_pair };
	struct live live[2] = { { 1, MAGIC }, { 2, MAGIC } };
	struct via_bus_change ch[N];
	struct via_claim *claim[N];
	struct timespec since;
	int i, round;

	/* 64 claims change places in pairs: at every instant one of the pair is at 0x1000. */
	for (i = 0; i < N; i++) {
		struct via_claim_desc desc = live_claim(&live[i & 1], 0x1000u + 0x100u * i, 0);

		claim[i] = add_desc(r.bus, &desc);
	}
	clock_gettime(CLOCK_MONOTONIC, &since);
	readers_start(&r);
	for (round = 0; round < 20000 && time_left(&since, 300); round++) {
		for (i = 0; i < N; i++)
			ch[i] = (struct via_bus_change){
				.kind = VIA_BUS_MOVE,
				.claim = claim[i],
				.start = 0x1000u + 0x100u * (unsigned int)(i ^ (~round & 1)),
			};
		assert_int_equal(via_bus_commit(r.bus, ch, N), 0);
	}
	readers_stop(&r);
	assert_int_equal(n_bad, 0);
	via_bus_free(r.bus);
}

struct litmus {
	struct via_bus *bus;
	_Atomic int flag;
	struct live live;
};

static void *litmus_reader(void *arg)
{
	struct litmus *l = arg;
	uint64_t v;

	/* Warm this thread's cache with the old picture first. */
	(void)via_bus_read_value(l->bus, 0, 4, &v);
	while (!atomic_load_explicit(&l->flag, memory_order_acquire))
		(void)via_bus_read_value(l->bus, 0, 4, &v);
	return via_bus_read_value(l->bus, 0, 4, &v) == 0 && v == 7 ? l : NULL;
}

static void case_26_add_is_seen(void **state)
{
	int i;

	for (i = 0; i < 50; i++) {
		struct litmus l = { .bus = new_bus(), .live = { 7, MAGIC } };
		struct live under = { 1, MAGIC };
		struct via_claim_desc desc = live_claim(&under, 0, 0);
		pthread_t thread;
		void *ok;

		if (i & 1)
			add_desc(l.bus, &desc);
		assert_int_equal(pthread_create(&thread, NULL, litmus_reader, &l), 0);
		desc = live_claim(&l.live, 0, 1);
		add_desc(l.bus, &desc);
		atomic_store_explicit(&l.flag, 1, memory_order_release);
		assert_int_equal(pthread_join(thread, &ok), 0);
		assert_non_null(ok);
		via_bus_free(l.bus);
	}
}

/* A device whose write handler changes the bus. */
struct changer {
	struct via_bus *bus;
	struct via_claim *own, *other;
	int ret_remove, ret_move, ret_add;
	_Atomic int n_done;
	bool inside;
	bool done_inside;
	_Atomic int *meet;
};

static void changer_done(void *opaque)
{
	struct changer *c = opaque;

	c->done_inside = c->inside || via_epoch_inside();
	atomic_fetch_add(&c->n_done, 1);
}

static int changer_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	struct changer *c = opaque;
	struct via_bus_change ch;

	c->inside = true;
	switch (value) {
	case 1:
		c->ret_remove = via_bus_remove(c->own);
		break;
	case 2:
		via_bus_remove_async(c->own, changer_done, c);
		break;
	case 3:
		ch = (struct via_bus_change){
			.kind = VIA_BUS_MOVE, .claim = c->own, .start = 0x9000
		};
		c->ret_move = via_bus_commit(c->bus, &ch, 1);
		ch.kind = VIA_BUS_REMOVE;
		c->ret_remove = via_bus_commit(c->bus, &ch, 1);
		break;
	case 4:
		/* Both are inside before either removes the other. */
		atomic_fetch_add(c->meet, 1);
		while (atomic_load(c->meet) < 2)
			sched_yield();
		via_bus_remove_async(c->other, changer_done, c);
		break;
	}
	c->inside = false;
	return VIA_BUS_OK;
}

static const struct via_bus_ops changer_ops = { NULL, changer_write };

static void changer_init(struct changer *c, struct via_bus *bus, uint64_t start)
{
	struct via_claim_desc desc = {
		.start = start, .last = start + 0xff, .ops = &changer_ops, .opaque = c
	};

	*c = (struct changer){ .bus = bus };
	c->own = add_desc(bus, &desc);
}

static void case_27_28_remove_from_callback(void **state)
{
	struct via_bus *bus = new_bus();
	struct changer c;

	changer_init(&c, bus, 0);
	assert_int_equal(via_bus_write_value(bus, 0, 4, 1), 0);
	assert_int_equal(c.ret_remove, -EDEADLK);
	assert_int_equal(via_bus_write_value(bus, 0, 4, 0), 0);

	assert_int_equal(via_bus_write_value(bus, 0, 4, 3), 0);
	assert_int_equal(c.ret_move, 0);
	assert_int_equal(c.ret_remove, -EDEADLK);
	assert_int_equal(via_bus_write_value(bus, 0, 4, 0), -ENXIO);

	assert_int_equal(via_bus_write_value(bus, 0x9000, 4, 2), 0);
	assert_int_equal(c.n_done, 1);
	assert_false(c.done_inside);
	assert_int_equal(via_bus_write_value(bus, 0x9000, 4, 0), -ENXIO);
	via_bus_free(bus);
}

static int meet_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	return changer_write(opaque, offset, size, 4);
}

static const struct via_bus_ops meet_ops = { NULL, meet_write };

struct meeting {
	struct via_bus *bus;
	uint64_t addr;
};

static void *meet_main(void *arg)
{
	struct meeting *m = arg;

	return via_bus_write_value(m->bus, m->addr, 4, 0) ? NULL : m;
}

static void case_29_mutual_remove(void **state)
{
	int i, round;

	for (round = 0; round < 50; round++) {
		struct via_bus *bus = new_bus();
		_Atomic int meet = 0;
		struct changer c[2];
		struct meeting m[2];
		pthread_t thread[2];

		for (i = 0; i < 2; i++) {
			struct via_claim_desc desc = { .start = 0x100u * i,
						       .last = 0x100u * i + 0xff,
						       .ops = &meet_ops,
						       .opaque = &c[i] };

			c[i] = (struct changer){ .bus = bus, .meet = &meet };
			c[i].own = add_desc(bus, &desc);
			m[i] = (struct meeting){ bus, 0x100u * i };
		}
		c[0].other = c[1].own;
		c[1].other = c[0].own;
		for (i = 0; i < 2; i++)
			assert_int_equal(pthread_create(&thread[i], NULL, meet_main, &m[i]), 0);
		for (i = 0; i < 2; i++) {
			void *ok;

			assert_int_equal(pthread_join(thread[i], &ok), 0);
			assert_non_null(ok);
		}
		/* Whoever left last has run both. */
		assert_int_equal(c[0].n_done, 1);
		assert_int_equal(c[1].n_done, 1);
		via_bus_free(bus);
	}
}

static int meet_read(void *opaque, uint64_t offset, unsigned int size, uint64_t *ret_value)
{
	_Atomic int *meet = opaque;

	atomic_fetch_add(meet, 1);
	while (atomic_load(meet) < 2)
		sched_yield();
	*ret_value = 0;
	return VIA_BUS_OK;
}

static void *read_main(void *arg)
{
	uint64_t v;

	return via_bus_read_value(arg, 0, 4, &v) ? NULL : arg;
}

static void case_56_two_threads_in_one_device(void **state)
{
	static const struct via_bus_ops ops = { meet_read, NULL };
	struct via_bus *bus = new_bus();
	_Atomic int meet = 0;
	struct via_claim_desc desc = { .last = 0xff, .ops = &ops, .opaque = &meet };
	pthread_t thread[2];
	void *ok;
	int i;

	add_desc(bus, &desc);
	for (i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, read_main, bus), 0);
	for (i = 0; i < 2; i++) {
		assert_int_equal(pthread_join(thread[i], &ok), 0);
		assert_non_null(ok);
	}
	via_bus_free(bus);
}

static void *short_reader(void *arg)
{
	uint64_t v;

	(void)via_bus_read_value(arg, 0, 4, &v);
	return NULL;
}

/* The reader goes down the chain while the middle of it comes and goes. */
static int decline_read(void *opaque, uint64_t offset, unsigned int size, uint64_t *ret_value)
{
	struct live *live = opaque;

	if (live->magic != MAGIC)
		atomic_fetch_add(&n_bad, 1);
	return VIA_BUS_DECLINE;
}

static const struct via_bus_ops decline_ops = { decline_read, NULL };

static void read_bottom(struct readers *readers)
{
	uint64_t v;

	if (via_bus_read_value(readers->bus, 0, 8, &v) || v != 9)
		atomic_fetch_add(&n_bad, 1);
}

static void case_51_chain_changes(void **state)
{
	struct readers r = { .bus = new_bus(), .body = read_bottom };
	struct live bottom = { 9, MAGIC }, top = { 1, MAGIC }, middle = { 2, MAGIC };
	struct via_claim_desc desc = live_claim(&bottom, 0, 0);
	struct timespec since;
	int i;

	add_desc(r.bus, &desc);
	desc = live_claim(&top, 0, 2);
	desc.ops = &decline_ops;
	add_desc(r.bus, &desc);
	desc = live_claim(&middle, 0, 1);
	desc.ops = &decline_ops;
	clock_gettime(CLOCK_MONOTONIC, &since);
	readers_start(&r);
	for (i = 0; i < 20 || (i < 5000 && time_left(&since, 200)); i++) {
		struct via_claim *claim;

		middle.magic = MAGIC;
		claim = add_desc(r.bus, &desc);
		assert_int_equal(via_bus_remove(claim), 0);
		middle.magic = 0;
	}
	readers_stop(&r);
	assert_int_equal(n_bad, 0);
	via_bus_free(r.bus);
}

/* Views that nobody sees any more do not pile up, whoever makes the changes. */
static void case_34_memory_comes_back(void **state)
{
	struct readers r = { .bus = new_bus(), .body = read_anywhere };
	struct live live = { 1, MAGIC };
	struct timespec since;
	int i;

	clock_gettime(CLOCK_MONOTONIC, &since);
	readers_start(&r);
	for (i = 0; i < 200 || (i < 20000 && time_left(&since, 200)); i++) {
		struct via_claim_desc desc = live_claim(&live, 0x100u * (i % 16), 0);

		via_bus_remove_async(add_desc(r.bus, &desc), NULL, NULL);
		assert_true(via_epoch_n_pending() <= 68);
	}
	readers_stop(&r);
	assert_int_equal(via_epoch_synchronize(), 0);
	assert_int_equal(via_epoch_n_pending(), 0);
	via_bus_free(r.bus);
}

static void case_31_threads_come_and_go(void **state)
{
	struct via_bus *bus = new_bus();
	struct live live = { 1, MAGIC };
	int i;

	for (i = 0; i < 200; i++) {
		struct via_claim_desc desc = live_claim(&live, 0, 0);
		struct via_claim *claim = add_desc(bus, &desc);
		pthread_t thread;

		assert_int_equal(pthread_create(&thread, NULL, short_reader, bus), 0);
		assert_int_equal(via_bus_remove(claim), 0);
		assert_int_equal(pthread_join(thread, NULL), 0);
	}
	via_bus_free(bus);
}

static struct via_bus *signal_bus;

static void on_signal(int sig)
{
	uint64_t v;

	if (via_bus_read_value(signal_bus, 0x1000, 8, &v) || v != 2)
		atomic_fetch_add(&n_bad, 1);
	if (via_bus_read_value(signal_bus, 0x5000, 8, &v) != -ENXIO)
		atomic_fetch_add(&n_bad, 1);
}

static void case_32_signal_and_fork(void **state)
{
	struct via_bus *bus = new_bus();
	struct live live[2] = { { 1, MAGIC }, { 2, MAGIC } };
	struct via_claim_desc desc = live_claim(&live[0], 0, 0);
	struct sigaction act = { .sa_handler = on_signal }, old;
	struct timespec since;
	timer_t timer;
	struct sigevent ev = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM };
	struct itimerspec every = { { 0, 50000 }, { 0, 50000 } }, off = { 0 };
	int i, status;
	uint64_t v;
	pid_t pid;

	add_desc(bus, &desc);
	desc = live_claim(&live[1], 0x1000, 0);
	add_desc(bus, &desc);
	assert_int_equal(via_bus_read_value(bus, 0, 4, &v), 0);
	signal_bus = bus;
	assert_int_equal(sigaction(SIGALRM, &act, &old), 0);
	assert_int_equal(timer_create(CLOCK_MONOTONIC, &ev, &timer), 0);
	assert_int_equal(timer_settime(timer, 0, &every, NULL), 0);
	clock_gettime(CLOCK_MONOTONIC, &since);
	for (i = 0; time_left(&since, 100); i++) {
		if (via_bus_read_value(bus, 0, 8, &v) || v != 1)
			atomic_fetch_add(&n_bad, 1);
	}
	assert_int_equal(timer_settime(timer, 0, &off, NULL), 0);
	timer_delete(timer);
	sigaction(SIGALRM, &old, NULL);
	assert_int_equal(n_bad, 0);
	assert_false(via_epoch_inside());

	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		bool ok = !via_bus_read_value(bus, 0x1000, 8, &v) && v == 2;
		struct via_claim *claim;

		desc = live_claim(&live[1], 0x2000, 0);
		ok = ok && !via_bus_add(bus, &desc, &claim) && !via_bus_remove(claim);
		_exit(ok ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	via_bus_free(bus);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(case_23_no_callback_after_remove),
		cmocka_unit_test(case_24_25_moves_are_atomic),
		cmocka_unit_test(case_26_add_is_seen),
		cmocka_unit_test(case_27_28_remove_from_callback),
		cmocka_unit_test(case_29_mutual_remove),
		cmocka_unit_test(case_31_threads_come_and_go),
		cmocka_unit_test(case_34_memory_comes_back),
		cmocka_unit_test(case_51_chain_changes),
		cmocka_unit_test(case_32_signal_and_fork),
		cmocka_unit_test(case_56_two_threads_in_one_device),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
