/* SPDX-License-Identifier: MIT */
#include "base/epoch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/util.h"

struct thing {
	struct via_epoch_head head;
	_Atomic int *n_freed;
	bool inside;
};

static void thing_free(struct via_epoch_head *head)
{
	struct thing *thing = via_container_of(head, struct thing, head);

	thing->inside = via_epoch_inside();
	atomic_fetch_add(thing->n_freed, 1);
}

static void sections_nest(void **state)
{
	assert_false(via_epoch_inside());
	via_epoch_enter();
	via_epoch_enter();
	assert_int_equal(via_epoch_synchronize(), -EDEADLK);
	via_epoch_exit();
	assert_true(via_epoch_inside());
	assert_int_equal(via_epoch_synchronize(), -EDEADLK);
	via_epoch_exit();
	assert_false(via_epoch_inside());
	assert_int_equal(via_epoch_synchronize(), 0);
}

static void deferred_runs_after_the_section(void **state)
{
	_Atomic int n = 0;
	struct thing a = { .n_freed = &n }, b = { .n_freed = &n };

	via_epoch_defer(&a.head, thing_free);
	assert_int_equal(n, 1);
	via_epoch_enter();
	via_epoch_enter();
	via_epoch_defer(&b.head, thing_free);
	via_epoch_exit();
	assert_int_equal(n, 1);
	via_epoch_exit();
	assert_int_equal(n, 2);
	assert_false(a.inside || b.inside);
}

struct holder {
	_Atomic int phase; /* 1: inside, 2: leave, 3: left */
};

static void *hold(void *arg)
{
	struct holder *h = arg;

	via_epoch_enter();
	atomic_store(&h->phase, 1);
	while (atomic_load(&h->phase) != 2)
		sched_yield();
	via_epoch_exit();
	atomic_store(&h->phase, 3);
	return NULL;
}

static void wait_phase(struct holder *h, int phase)
{
	while (atomic_load(&h->phase) != phase)
		sched_yield();
}

static void last_reader_out_frees(void **state)
{
	struct holder h = { 0 };
	_Atomic int n = 0;
	struct thing a = { .n_freed = &n };
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, hold, &h), 0);
	wait_phase(&h, 1);
	via_epoch_defer(&a.head, thing_free);
	assert_int_equal(n, 0);
	/* A section that began later is no reason to wait, nor does it free too early. */
	via_epoch_enter();
	via_epoch_exit();
	assert_int_equal(n, 0);
	atomic_store(&h.phase, 2);
	wait_phase(&h, 3);
	assert_int_equal(n, 1);
	pthread_join(thread, NULL);
}

static void *synchronise(void *arg)
{
	(void)via_epoch_synchronize();
	atomic_store((_Atomic int *)arg, 1);
	return NULL;
}

static void synchronise_waits_for_open_sections(void **state)
{
	struct holder h = { 0 };
	_Atomic int done = 0;
	pthread_t reader, writer;

	assert_int_equal(pthread_create(&reader, NULL, hold, &h), 0);
	wait_phase(&h, 1);
	assert_int_equal(pthread_create(&writer, NULL, synchronise, &done), 0);
	usleep(20000);
	assert_int_equal(done, 0);
	atomic_store(&h.phase, 2);
	pthread_join(writer, NULL);
	assert_int_equal(done, 1);
	pthread_join(reader, NULL);
}

static void backlog_is_bounded(void **state)
{
	static struct thing things[1000];
	_Atomic int n = 0;
	struct holder h = { 0 };
	pthread_t thread;
	int i;

	assert_int_equal(pthread_create(&thread, NULL, hold, &h), 0);
	wait_phase(&h, 1);
	for (i = 0; i < 64; i++) {
		things[i].n_freed = &n;
		via_epoch_defer(&things[i].head, thing_free);
	}
	assert_int_equal(n, 0);
	assert_int_equal(via_epoch_n_pending(), 64);
	atomic_store(&h.phase, 2);
	for (; i < 1000; i++) {
		things[i].n_freed = &n;
		via_epoch_defer(&things[i].head, thing_free);
		assert_true(via_epoch_n_pending() <= 65);
	}
	pthread_join(thread, NULL);
	assert_int_equal(via_epoch_synchronize(), 0);
	assert_int_equal(n, 1000);
	assert_int_equal(via_epoch_n_pending(), 0);
}

static void lazily(void **state)
{
	static struct thing things[300];
	struct holder h = {0};
	pthread_t thread;
	_Atomic int n = 0;
	int i;

	for (i = 0; i < 300; i++)
		things[i].n_freed = &n;
	/* Nothing is asked of anybody, and nothing is pending for those who leave. */
	for (i = 0; i < 64; i++)
		via_epoch_defer_lazily(&things[i].head, thing_free);
	assert_int_equal(n, 0);
	assert_int_equal(via_epoch_n_pending(), 0);
	assert_int_equal(via_epoch_synchronize(), 0);
	assert_int_equal(n, 64);
	/* Nor for as long as somebody who may see it is inside. */
	assert_int_equal(pthread_create(&thread, NULL, hold, &h), 0);
	wait_phase(&h, 1);
	for (; i < 96; i++)
		via_epoch_defer_lazily(&things[i].head, thing_free);
	via_epoch_defer(&things[i++].head, thing_free);
	assert_int_equal(n, 64);
	assert_int_equal(via_epoch_n_pending(), 33);
	atomic_store(&h.phase, 2);
	pthread_join(thread, NULL);
	assert_int_equal(via_epoch_synchronize(), 0);
	assert_int_equal(n, 97);
	/* Those that wait are not more than a bound. */
	for (; i < 300; i++) {
		via_epoch_defer_lazily(&things[i].head, thing_free);
		assert_true(i - n <= 65);
	}
	assert_int_equal(via_epoch_synchronize(), 0);
	assert_int_equal(n, 300);
}

static void *enter_once(void *arg)
{
	via_epoch_enter();
	*(struct via_epoch_slot **)arg = via_epoch_self;
	via_epoch_exit();
	return NULL;
}

static void *die_inside(void *arg)
{
	via_epoch_enter();
	pthread_exit(NULL);
}

static void slots_of_dead_threads_are_reused(void **state)
{
	struct via_epoch_slot *slot, *first = NULL;
	pthread_t thread;
	int i;

	for (i = 0; i < 20; i++) {
		assert_int_equal(pthread_create(&thread, NULL, enter_once, &slot), 0);
		pthread_join(thread, NULL);
		assert_non_null(slot);
		if (!i)
			first = slot;
		assert_ptr_equal(slot, first);
	}
	assert_int_equal(pthread_create(&thread, NULL, die_inside, NULL), 0);
	pthread_join(thread, NULL);
	assert_int_equal(via_epoch_synchronize(), 0);
}

static int in_child(int (*body)(void))
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (!pid)
		_exit(body());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static int child_synchronises(void)
{
	alarm(5);
	return via_epoch_synchronize() ? 1 : 0;
}

static int child_is_inside(void)
{
	alarm(5);
	if (!via_epoch_inside() || via_epoch_synchronize() != -EDEADLK)
		return 1;
	via_epoch_exit();
	return via_epoch_synchronize() ? 2 : 0;
}

static void fork_clears_the_others(void **state)
{
	struct holder h = { 0 };
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, hold, &h), 0);
	wait_phase(&h, 1);
	assert_int_equal(in_child(child_synchronises), 0);
	via_epoch_enter();
	assert_int_equal(in_child(child_is_inside), 0);
	via_epoch_exit();
	atomic_store(&h.phase, 2);
	pthread_join(thread, NULL);
}

static int refuse_membarrier(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_membarrier, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { VIA_ARRAY_SIZE(code), code };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog, 0, 0);
}

struct box {
	struct via_epoch_head head;
	_Atomic int alive;
};

static struct box *_Atomic published;
static _Atomic bool stop;
static _Atomic int n_dead;

/* Stores that miss the cache keep the slot's store waiting behind them, if nothing else does. */
#define COLD_BYTES (8u << 20)

static void *read_boxes(void *arg)
{
	volatile char *cold = calloc(1, COLD_BYTES);
	uint32_t seed = 1;

	while (cold && !atomic_load_explicit(&stop, memory_order_relaxed)) {
		struct box *box;
		int i;

		for (i = 0; i < 8; i++) {
			seed = seed * 1664525u + 1013904223u;
			cold[(seed >> 8) % COLD_BYTES] = 1;
		}
		via_epoch_enter();
		box = atomic_load_explicit(&published, memory_order_acquire);
		for (i = 0; i < 200; i++) {
			if (!atomic_load_explicit(&box->alive, memory_order_relaxed)) {
				atomic_fetch_add(&n_dead, 1);
				break;
			}
		}
		via_epoch_exit();
	}
	free((void *)cold);
	return NULL;
}

/* Boxes change places; one that is out of use is marked dead after its grace period. */
static int litmus(void)
{
	static struct box boxes[2];
	pthread_t thread[2];
	int i;

	atomic_store(&n_dead, 0);
	atomic_store(&stop, false);
	atomic_store(&boxes[0].alive, 1);
	atomic_store(&published, &boxes[0]);
	for (i = 0; i < 2; i++) {
		if (pthread_create(&thread[i], NULL, read_boxes, NULL))
			return 1;
	}
	for (i = 1; i < 20000; i++) {
		struct box *next = &boxes[i & 1], *old = &boxes[~i & 1];

		atomic_store_explicit(&next->alive, 1, memory_order_relaxed);
		atomic_store_explicit(&published, next, memory_order_release);
		if (via_epoch_synchronize())
			return 2;
		atomic_store_explicit(&old->alive, 0, memory_order_relaxed);
	}
	atomic_store(&stop, true);
	for (i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	return atomic_load(&n_dead) ? 3 : 0;
}

static int litmus_refused_later(void)
{
	if (refuse_membarrier() || litmus())
		return 1;
	return via_epoch_fenced() ? 0 : 2;
}

/* The child's fork handler finds membarrier refused from the start. */
static int litmus_refused_early(void)
{
	if (refuse_membarrier())
		return 1;
	return in_child(litmus) || in_child(litmus_refused_later) ? 2 : 0;
}

static void case_33_litmus(void **state)
{
	assert_int_equal(litmus(), 0);
	assert_int_equal(in_child(litmus_refused_later), 0);
	assert_int_equal(in_child(litmus_refused_early), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sections_nest),
		cmocka_unit_test(deferred_runs_after_the_section),
		cmocka_unit_test(last_reader_out_frees),
		cmocka_unit_test(synchronise_waits_for_open_sections),
		cmocka_unit_test(backlog_is_bounded),
		cmocka_unit_test(lazily),
		cmocka_unit_test(slots_of_dead_threads_are_reused),
		cmocka_unit_test(fork_clears_the_others),
		cmocka_unit_test(case_33_litmus),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
