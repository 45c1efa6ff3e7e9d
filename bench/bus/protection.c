/* SPDX-License-Identifier: MIT */
/*
 * What it costs a reader that the bus may change under it. Each way around the
 * same indirect call; the first, without any, is taken off.
 */
#include "measure.h"

#include <pthread.h>

#include "base/epoch.h"
#include "base/util.h"

#define N_OPS 1000000u

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static _Atomic unsigned int count;
static struct device device;

static __attribute__((noinline)) void store(struct device *d, uint64_t value)
{
	d->value = value;
}

static void (*volatile store_fn)(struct device *d, uint64_t value) = store;

#define PROTECTION_RUN(name, enter, leave)                          \
	static double name(void *arg)                               \
	{                                                           \
		void (*call)(struct device *, uint64_t) = store_fn; \
		double start = bench_cpu_ns();                      \
                                                                    \
		for (unsigned int i = 0; i < N_OPS; i++) {          \
			enter;                                      \
			call(&device, i);                           \
			leave;                                      \
		}                                                   \
		return (bench_cpu_ns() - start) / N_OPS;            \
	}

PROTECTION_RUN(run_bare, (void)0, (void)0)
PROTECTION_RUN(run_epoch, via_epoch_enter(), via_epoch_exit())
PROTECTION_RUN(run_fence, atomic_thread_fence(memory_order_seq_cst), (void)0)
PROTECTION_RUN(run_count, atomic_fetch_add(&count, 1), atomic_fetch_sub(&count, 1))
PROTECTION_RUN(run_mutex, pthread_mutex_lock(&mutex), pthread_mutex_unlock(&mutex))
PROTECTION_RUN(run_rwlock, pthread_rwlock_rdlock(&rwlock), pthread_rwlock_unlock(&rwlock))

void measure_protection(void)
{
	static struct bench_case cases[] = {
		{ .name = "none", .run = run_bare },
		{ .name = "epoch slot, as ours (nesting looked at)", .run = run_epoch },
		{ .name = "a full fence", .run = run_fence },
		{ .name = "a reference counted up and down", .run = run_count },
		{ .name = "pthread mutex", .run = run_mutex },
		{ .name = "pthread rwlock, for reading", .run = run_rwlock },
	};
	static const char *const older[] = { "-", "0.3 to 0.9", "6", "10", "12 to 14", "20 to 22" };

	bench_run(cases, VIA_ARRAY_SIZE(cases), ROUNDS);
	printf("\nprotection of a reader: ns that it adds to one indirect call of %.2f ns\n",
	       sample_median(&cases[0], ROUNDS));
	printf("  %-46s %9s %20s\n", "", "adds", "older (Xeon) adds");
	for (unsigned int i = 1; i < VIA_ARRAY_SIZE(cases); i++) {
		double added[ROUNDS];

		for (unsigned int k = 0; k < ROUNDS; k++)
			added[k] = cases[i].sample[k] - cases[0].sample[k];
		printf("  %-46s %9.2f %20s\n", cases[i].name, bench_median(added, ROUNDS),
		       older[i]);
	}
}
