/* SPDX-License-Identifier: MIT */
/* The parts of the run, each a table and what it says of some goals. */
#ifndef VIA_BENCH_MEASURE_H
#define VIA_BENCH_MEASURE_H

#include "peer.h"

#define ROUNDS 9u

/* A number of devices and a pattern of addresses that reach them. */
struct machine {
	unsigned int n;
	struct device *devices;
	uint64_t *addr; /* N_ADDRESSES */
};

enum pattern { HOT, RANDOM, MISS };

void machine_init(struct machine *m, unsigned int n);
void machine_deinit(struct machine *m);
void machine_pattern(struct machine *m, enum pattern pattern);
/* Of one device. */
void machine_aim(uint64_t *addr, unsigned int device);
/* The peer's bus with all the devices of @m, added one by one. */
void *machine_bus(const struct machine *m, const struct peer *peer);

/* Memory that was used once stays: what is measured is about buses, not about page faults. */
void machine_keep_memory(void);

static inline double sample_median(const struct bench_case *c, unsigned int rounds)
{
	double sorted[BENCH_ROUNDS_MAX];

	for (unsigned int i = 0; i < rounds; i++)
		sorted[i] = c->sample[i];
	return bench_median(sorted, rounds);
}

/* How many times b what a costs, round by round. */
static inline double sample_ratio(const struct bench_case *a, const struct bench_case *b,
				  unsigned int rounds)
{
	double ratio[BENCH_ROUNDS_MAX];

	for (unsigned int i = 0; i < rounds; i++)
		ratio[i] = a->sample[i] / b->sample[i];
	return bench_median(ratio, rounds);
}

void measure_dispatch(void); /* G15, G16, G17; what nobody answers */
void measure_overlay(void);
void measure_protection(void); /* what it costs that the bus may change */
void measure_threads(void);    /* G18 */
void measure_register(void);   /* G19 */
void measure_remove(void);     /* G20 */
void measure_move(void);       /* G21 */
void measure_match(void);      /* G22 */
void measure_exact(void);      /* G23 */

#endif
