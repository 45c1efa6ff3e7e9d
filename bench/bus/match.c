/* SPDX-License-Identifier: MIT */
/*
 * Data-matched doorbells at one address. The peer is the kernel's shape: each is
 * a device of its own that declines what it does not match, asked one after another.
 */
#include "measure.h"
#include "ours.h"
#include "peer-kernel.h"

#include "base/util.h"

#define N_OPS 20000u

struct matcher {
	uint64_t data;
	uint64_t hits;
};

static int matcher_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	struct matcher *matcher = opaque;

	if (size != 4 || value != matcher->data)
		return -1;
	matcher->hits++;
	return 0;
}

/* ns until the last of @n is found; nothing is signalled. */
static double kernel_match(unsigned int n)
{
	struct matcher *matchers = calloc(n, sizeof(*matchers));
	unsigned int n_ops = N_OPS * 8 / n + 100;
	struct kernel_bus *bus = kernel_bus_new();
	double start;

	if (!matchers)
		bench_die("out of memory");
	for (unsigned int i = 0; i < n; i++) {
		matchers[i].data = i;
		kernel_bus_add(bus, 0, 4, matcher_write, &matchers[i]);
	}
	start = bench_cpu_ns();
	for (unsigned int i = 0; i < n_ops; i++) {
		if (!kernel_bus_dispatch(bus, 0, 4, n - 1))
			bench_die("an access missed");
	}
	start = (bench_cpu_ns() - start) / n_ops;
	kernel_bus_free(bus);
	free(matchers);
	return start;
}

void measure_match(void)
{
	static const struct {
		unsigned int n;
		const char *older;
	} rows[] = {
		{ 1, "1000" }, { 64, "2300" }, { 256, "6200" }, { 1000, "24600" }, { 4000, "95000" }
	};
	double hit[ROUNDS], find[ROUNDS], other[ROUNDS], theirs[ROUNDS];

	printf("\ndata-matched doorbells at one address: ns of CPU, medians of %u rounds in turn\n",
	       ROUNDS);
	printf("  %-10s %12s %14s %16s %24s %22s\n", "doorbells", "ours, hit", "less write(2)",
	       "nothing matches", "Linux' shape, the last", "older, real KVM");
	for (unsigned int i = 0; i < VIA_ARRAY_SIZE(rows); i++) {
		unsigned int n = rows[i].n;
		double median;

		for (unsigned int k = 0; k < ROUNDS; k++) {
			struct match_cost cost = ours_match(n);

			hit[k] = cost.hit;
			find[k] = cost.find;
			other[k] = cost.other;
			theirs[k] = kernel_match(n);
		}
		median = bench_median(find, ROUNDS);
		printf("  %-10u %12.1f %14.1f %16.1f %24.1f %22s\n", n, bench_median(hit, ROUNDS),
		       median, bench_median(other, ROUNDS), bench_median(theirs, ROUNDS),
		       rows[i].older);
		if (n != 1000)
			continue;
		goal_at_most("G22", "hit among 1000, without the system call that signals", median,
			     "ns", 50, "");
		printf("       Linux' shape to ours: %.0fx (its indirect calls are cheap here; "
		       "%s)\n",
		       theirs[ROUNDS / 2] / median, "bench/bus-kvm has the kernel itself");
	}
}
