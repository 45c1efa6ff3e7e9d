/* SPDX-License-Identifier: MIT */
/*
 * Fair comparisons: ours and the peers run in the same process, round after
 * round in turn, so that a change of clock or load meets all of them. What is
 * reported is the median of the rounds, and of the ratios within each round.
 */
#ifndef VIA_BENCH_H
#define VIA_BENCH_H

#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BENCH_ROUNDS_MAX 64

/**
 * struct bench_case - one of the things compared; the first one of an array is ours
 * @name: column text
 * @run: one round; returns its cost in any unit (lower is better), e.g. ns per operation
 * @arg: passed to @run
 * @sample: filled by bench_compare()
 */
struct bench_case {
	const char *name;
	double (*run)(void *arg);
	void *arg;
	double sample[BENCH_ROUNDS_MAX];
};

static inline double bench_ns(clockid_t clock)
{
	struct timespec ts;

	(void)clock_gettime(clock, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

/* CPU time of the calling thread: other load on the machine does not count. */
static inline double bench_cpu_ns(void)
{
	return bench_ns(CLOCK_THREAD_CPUTIME_ID);
}

static inline double bench_wall_ns(void)
{
	return bench_ns(CLOCK_MONOTONIC);
}

/* Keep the calling thread on one CPU. Return: 0, or -1 where that is not allowed. */
static inline int bench_pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return sched_setaffinity(0, sizeof(set), &set);
}

static inline int bench_compare_doubles(const void *a, const void *b)
{
	double da = *(const double *)a, db = *(const double *)b;

	return (da > db) - (da < db);
}

/* @v is sorted on return. */
static inline double bench_median(double *v, unsigned int n)
{
	qsort(v, n, sizeof(*v), bench_compare_doubles);
	return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

/* One round of each that does not count, then @rounds in turn, each starting with another case. */
static inline void bench_run(struct bench_case *cases, unsigned int n, unsigned int rounds)
{
	unsigned int round, i;

	for (i = 0; i < n; i++)
		(void)cases[i].run(cases[i].arg);
	for (round = 0; round < rounds && round < BENCH_ROUNDS_MAX; round++) {
		for (i = 0; i < n; i++) {
			struct bench_case *c = &cases[(i + round) % n];

			c->sample[round] = c->run(c->arg);
		}
	}
}

/* The table: median, least, most, and how many times ours the peer costs. */
static inline void bench_report(const char *title, const char *unit, struct bench_case *cases,
				unsigned int n, unsigned int rounds)
{
	double ratio[BENCH_ROUNDS_MAX], sorted[BENCH_ROUNDS_MAX];
	unsigned int i, round;

	printf("\n%s (%s, median of %u rounds in turn)\n", title, unit, rounds);
	printf("  %-40s %10s %10s %10s %8s\n", "", "median", "min", "max", "ratio");
	for (i = 0; i < n; i++) {
		double median;

		for (round = 0; round < rounds; round++) {
			ratio[round] = cases[i].sample[round] / cases[0].sample[round];
			sorted[round] = cases[i].sample[round];
		}
		median = bench_median(sorted, rounds);
		printf("  %-40s %10.2f %10.2f %10.2f %7.2fx\n", cases[i].name, median, sorted[0],
		       sorted[rounds - 1], bench_median(ratio, rounds));
	}
}

static inline void bench_compare(const char *title, const char *unit, struct bench_case *cases,
				 unsigned int n, unsigned int rounds)
{
	bench_run(cases, n, rounds);
	bench_report(title, unit, cases, n, rounds);
}

#ifdef __cplusplus
}
#endif

#endif
