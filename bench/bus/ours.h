/* SPDX-License-Identifier: MIT */
/* Changes of our bus, measured: here beside the peers, and in another program beside the kernel's.
 */
#ifndef VIA_BENCH_OURS_H
#define VIA_BENCH_OURS_H

#include <stdbool.h>

/* ns of CPU for each of @n devices: all in one commit, or added one by one. */
double ours_register(unsigned int n, bool one_commit);

/* us of wall clock. */
struct latency {
	double p50, p99;
};

/*
 * Removing one of @n devices that has just been added, @n_samples times; with a @reader,
 * another CPU dispatches all the while.
 */
struct latency ours_remove(unsigned int n, bool reader, unsigned int n_samples);
/* The part of it that interrupts the other CPU. */
struct latency membarrier_cost(bool reader);
/* Moving a device with 64 doorbells on a bus of @n others, as one commit. */
struct latency ours_move(unsigned int n, bool reader, unsigned int n_samples);

/* ns of CPU. */
struct match_cost {
	double hit;   /* one of @n data-matched doorbells is written to, its eventfd signalled */
	double find;  /* the same without the system call that signals */
	double other; /* data that no doorbell matches: the claim beneath is called */
};

/* @n doorbells of as many values at one address. */
struct match_cost ours_match(unsigned int n);

#endif
