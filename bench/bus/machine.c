/* SPDX-License-Identifier: MIT */
#include "measure.h"

#include <limits.h>
#include <malloc.h>

static uint32_t next_random(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed;
}

static uint64_t address(uint32_t device, uint32_t random)
{
	return (uint64_t)device * STRIDE + (random >> 8 & (DEVICE_LEN / 4 - 1)) * 4;
}

void machine_init(struct machine *m, unsigned int n)
{
	m->n = n;
	m->devices = aligned_alloc(sizeof(struct device), n * sizeof(struct device));
	m->addr = calloc(N_ADDRESSES, sizeof(*m->addr));
	if (!m->devices || !m->addr)
		bench_die("out of memory");
	machine_pattern(m, RANDOM);
}

void machine_deinit(struct machine *m)
{
	free(m->addr);
	free(m->devices);
}

void machine_aim(uint64_t *addr, unsigned int device)
{
	uint32_t seed = 1;

	for (unsigned int i = 0; i < N_ADDRESSES; i++)
		addr[i] = address(device, next_random(&seed));
}

void machine_pattern(struct machine *m, enum pattern pattern)
{
	uint32_t seed = 1;

	if (pattern == HOT) {
		machine_aim(m->addr, m->n / 3); /* not where a bisection looks first */
		return;
	}
	for (unsigned int i = 0; i < N_ADDRESSES; i++) {
		uint32_t random = next_random(&seed);

		m->addr[i] = address((uint32_t)((uint64_t)random * m->n >> 32), random);
		if (pattern == MISS)
			m->addr[i] += DEVICE_LEN; /* behind it */
	}
}

void *machine_bus(const struct machine *m, const struct peer *peer)
{
	void *bus = peer->create(m->n);

	for (unsigned int i = 0; i < m->n; i++)
		peer->add(bus, (uint64_t)i * STRIDE, DEVICE_LEN, &m->devices[i]);
	return bus;
}

void machine_keep_memory(void)
{
	(void)mallopt(M_MMAP_MAX, 0);
	(void)mallopt(M_TRIM_THRESHOLD, INT_MAX);
	(void)mallopt(M_TOP_PAD, 16 << 20);
}
