/* SPDX-License-Identifier: MIT */
/*
 * Cost of one dispatch: a 4-byte write to one of n devices of 4 KiB, one every
 * 8 KiB, including the device's callback (one store). The peers without a lock
 * could not change while they are searched; ours can, and pays for it.
 */
#include "bench.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include <viaduct/bus.h>

#include "base/util.h"
#include "bus-map.h"

#define STRIDE 0x2000u
#define DEVICE_LEN 0x1000u
#define N_ADDRESSES 16384u
#define ROUNDS 9u

struct device {
	_Alignas(64) uint64_t value;
};

/* What bsearch() looks through, and what the linear scan asks. */
struct range {
	uint64_t start;
	uint64_t len;
	struct device *device;
	bool (*in_range)(const struct range *range, uint64_t addr);
	void (*write)(void *device, uint64_t offset, unsigned int size, uint64_t value);
};

struct machine {
	unsigned int n;
	struct device *devices;
	struct range *ranges;
	struct via_bus *bus;
	struct bus_map *map;
	uint64_t *addr; /* N_ADDRESSES, in the order of the pattern under test */
	unsigned int n_ops;
};

static int device_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	((struct device *)opaque)->value = value;
	return VIA_BUS_OK;
}

static void device_write_void(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	((struct device *)opaque)->value = value;
}

static bool in_range(const struct range *range, uint64_t addr)
{
	return addr >= range->start && addr < range->start + range->len;
}

static void die(const char *what)
{
	fprintf(stderr, "bench bus: %s\n", what);
	exit(1);
}

static double run_ours(void *arg)
{
	struct machine *m = arg;
	double start = bench_cpu_ns();
	unsigned int i, bad = 0;

	for (i = 0; i < m->n_ops; i++)
		bad |= via_bus_write_value(m->bus, m->addr[i % N_ADDRESSES], 4, i) != 0;
	if (bad)
		die("an access missed");
	return (bench_cpu_ns() - start) / m->n_ops;
}

/* No search: what the callback and the loop cost by themselves. */
static double run_floor(void *arg)
{
	struct machine *m = arg;
	double start = bench_cpu_ns();
	unsigned int i;

	for (i = 0; i < m->n_ops; i++) {
		uint64_t addr = m->addr[i % N_ADDRESSES];
		const struct range *range = &m->ranges[addr / STRIDE];

		range->write(range->device, addr - range->start, 4, i);
	}
	return (bench_cpu_ns() - start) / m->n_ops;
}

static int compare_range(const void *key, const void *element)
{
	uint64_t addr = *(const uint64_t *)key;
	const struct range *range = element;

	if (addr < range->start)
		return -1;
	return addr + 4 > range->start + range->len;
}

/* Called through a pointer that the compiler cannot see through, as a shared helper does. */
static int (*volatile compare)(const void *, const void *) = compare_range;

static double run_bsearch(void *arg)
{
	struct machine *m = arg;
	double start = bench_cpu_ns();
	unsigned int i;

	for (i = 0; i < m->n_ops; i++) {
		uint64_t addr = m->addr[i % N_ADDRESSES];
		const struct range *range =
			bsearch(&addr, m->ranges, m->n, sizeof(*m->ranges), compare);

		if (!range)
			die("an access missed");
		range->write(range->device, addr - range->start, 4, i);
	}
	return (bench_cpu_ns() - start) / m->n_ops;
}

static double run_linear(void *arg)
{
	struct machine *m = arg;
	/* Fewer accesses where each takes microseconds. */
	unsigned int n_ops = m->n_ops / (m->n / 64 + 1), i, k;
	double start = bench_cpu_ns();

	for (i = 0; i < n_ops; i++) {
		uint64_t addr = m->addr[i % N_ADDRESSES];

		for (k = 0; k < m->n && !m->ranges[k].in_range(&m->ranges[k], addr); k++)
			;
		if (k == m->n)
			die("an access missed");
		m->ranges[k].write(m->ranges[k].device, addr - m->ranges[k].start, 4, i);
	}
	return (bench_cpu_ns() - start) / n_ops;
}

static double run_map(void *arg)
{
	struct machine *m = arg;
	double start = bench_cpu_ns();
	unsigned int i;

	for (i = 0; i < m->n_ops; i++) {
		if (!bus_map_dispatch(m->map, m->addr[i % N_ADDRESSES], 4, i))
			die("an access missed");
	}
	return (bench_cpu_ns() - start) / m->n_ops;
}

static void machine_init(struct machine *m, unsigned int n)
{
	static const struct via_bus_ops ops = { .write = device_write };
	struct via_bus_change *changes = calloc(n, sizeof(*changes));
	unsigned int i;

	*m = (struct machine){ .n = n, .n_ops = 400000 };
	m->devices = aligned_alloc(64, n * sizeof(*m->devices));
	m->ranges = calloc(n, sizeof(*m->ranges));
	m->addr = calloc(N_ADDRESSES, sizeof(*m->addr));
	m->map = bus_map_new();
	if (!changes || !m->devices || !m->ranges || !m->addr || via_bus_new("bench", &m->bus))
		die("out of memory");
	for (i = 0; i < n; i++) {
		uint64_t start = (uint64_t)i * STRIDE;

		m->ranges[i] = (struct range){ start, DEVICE_LEN, &m->devices[i], in_range,
					       device_write_void };
		bus_map_add(m->map, start, DEVICE_LEN, device_write_void, &m->devices[i]);
		changes[i] = (struct via_bus_change){
			.kind = VIA_BUS_ADD,
			.desc = { .start = start,
				  .last = start + DEVICE_LEN - 1,
				  .ops = &ops,
				  .opaque = &m->devices[i] },
		};
	}
	if (via_bus_commit(m->bus, changes, n))
		die("cannot add the claims");
	free(changes);
}

static void machine_deinit(struct machine *m)
{
	via_bus_free(m->bus);
	bus_map_free(m->map);
	free(m->addr);
	free(m->ranges);
	free(m->devices);
}

static void measure(struct machine *m, bool hot)
{
	struct bench_case cases[] = {
		{ "viaduct", run_ours, m },
		{ "sorted array, bsearch(), no lock", run_bsearch, m },
		{ "linear in_range callbacks, no lock", run_linear, m },
		{ "std::mutex + std::map", run_map, m },
		{ "floor: known index, no lock", run_floor, m },
	};
	uint32_t seed = 1;
	char title[80];
	unsigned int i;

	for (i = 0; i < N_ADDRESSES; i++) {
		uint32_t device = m->n / 3; /* not where a bisection looks first */

		seed = seed * 1664525u + 1013904223u;
		if (!hot)
			device = (uint32_t)((uint64_t)seed * m->n >> 32);
		m->addr[i] = (uint64_t)device * STRIDE + (seed >> 8 & (DEVICE_LEN / 4 - 1)) * 4;
	}
	snprintf(title, sizeof(title), "%u claims, %s", m->n, hot ? "one device" : "random device");
	bench_compare(title, "ns per dispatch", cases, VIA_ARRAY_SIZE(cases), ROUNDS);
}

static void *idle(void *arg)
{
	for (;;)
		(void)pause();
	return NULL;
}

int main(void)
{
	static const unsigned int counts[] = { 4, 64, 1024, 16384 };
	bool pinned = bench_pin(0) == 0;
	pthread_t thread;
	unsigned int i;

	/* A VMM has threads, and with only one the C library's mutex skips its atomics. */
	if (pthread_create(&thread, NULL, idle, NULL))
		die("cannot start a thread");
	printf("bus dispatch: one thread at work, %s, thread CPU time, compiler %s\n",
	       pinned ? "pinned to CPU 0" : "not pinned", __VERSION__);
	for (i = 0; i < VIA_ARRAY_SIZE(counts); i++) {
		struct machine m;

		machine_init(&m, counts[i]);
		measure(&m, true);
		measure(&m, false);
		machine_deinit(&m);
	}
	return 0;
}
