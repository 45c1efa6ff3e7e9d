/* SPDX-License-Identifier: MIT */
/* What it costs to register devices, to remove one, to move one. */
#include "measure.h"
#include "ours.h"

#include <string.h>
#include <unistd.h>

#include "base/util.h"

#define REGISTER_ROUNDS 5u
#define N_REGISTER 16384u

/* Registering. The cost that grows with what is there already is in it: all are added. */
static double run_register(void *arg)
{
	const struct peer *peer = arg;
	unsigned int n = N_REGISTER;
	struct machine m;
	double start;
	void *bus;

	machine_init(&m, n);
	start = bench_cpu_ns();
	bus = machine_bus(&m, peer);
	start = (bench_cpu_ns() - start) / n;
	peer->destroy(bus);
	machine_deinit(&m);
	return start;
}

/* ns for one more when all are there. */
static double one_more(const struct peer *peer)
{
	const unsigned int n_more = 64;
	struct machine m;
	double start;
	void *bus;

	machine_init(&m, N_REGISTER);
	bus = machine_bus(&m, peer);
	start = bench_cpu_ns();
	for (unsigned int i = 0; i < n_more; i++)
		peer->add(bus, (uint64_t)(m.n + i) * STRIDE, DEVICE_LEN, &m.devices[i]);
	start = (bench_cpu_ns() - start) / n_more;
	peer->destroy(bus);
	machine_deinit(&m);
	return start;
}

static double run_commit(void *arg)
{
	return ours_register(N_REGISTER, true);
}

static double run_one_by_one(void *arg)
{
	return ours_register(N_REGISTER, false);
}

/* ns for one more region when so many are there; it renders all of them each time. */
static double qemu_region(unsigned int n)
{
	struct machine m;
	double start;
	void *bus;

	machine_init(&m, n);
	bus = machine_bus(&m, &peer_qemu);
	start = bench_cpu_ns();
	for (unsigned int i = 0; i < 16; i++)
		peer_qemu.add(bus, (uint64_t)(n + i) * STRIDE, DEVICE_LEN, &m.devices[i]);
	start = (bench_cpu_ns() - start) / 16;
	peer_qemu.destroy(bus);
	machine_deinit(&m);
	return start;
}

static void register_qemu(const struct bench_case *ours)
{
	double at_1000, at_4000;

	if (!peer_qemu.create) {
		goal_skip("G19", "one commit of 16384: a region of QEMU's at 4000",
			  "built without libunicorn");
		return;
	}
	at_1000 = qemu_region(1000);
	at_4000 = qemu_region(4000);
	printf("  %-46s %33.0f %14s\n", "QEMU's memory API, one more at 1000", at_1000, "120000");
	printf("  %-46s %33.0f %14s\n", "QEMU's memory API, one more at 4000", at_4000, "3400000");
	goal_at_least("G19", "one commit of 16384, each: a region of QEMU's at 4000",
		      at_4000 / sample_median(ours, REGISTER_ROUNDS), 10000,
		      goal_text("it takes %.2f ms here, 3.4 ms then; ours %.0f ns", at_4000 / 1e6,
				sample_median(ours, REGISTER_ROUNDS)));
}

/* The cost of one more grows with what is there: all from none are what a commit is compared with.
 */
static void register_row(const struct bench_case *c, const struct bench_case *ours,
			 const struct peer *peer, const char *older)
{
	double more[REGISTER_ROUNDS];

	printf("  %-46s %9.0f %11.1fx", c->name, sample_median(c, REGISTER_ROUNDS),
	       sample_ratio(c, ours, REGISTER_ROUNDS));
	if (!peer) {
		printf("\n");
		return;
	}
	for (unsigned int i = 0; i < REGISTER_ROUNDS; i++)
		more[i] = one_more(peer);
	printf(" %10.0f %14s\n", bench_median(more, REGISTER_ROUNDS), older);
}

void measure_register(void)
{
	static const struct {
		const struct peer *peer;
		const char *older;
		bool goal;
	} rows[] = {
		{ &peer_ours, "-", false },	    { &peer_map, "-", false },
		{ &peer_crosvm, "-", false },	    { &peer_cloud, "15500", true },
		{ &peer_vm_device, "17300", true }, { &peer_kernel, "-", false },
	};
	struct bench_case cases[1 + VIA_ARRAY_SIZE(rows)] = {
		{ .name = "viaduct, one commit", .run = run_commit },
		{ .name = "viaduct, one by one", .run = run_one_by_one },
	};
	unsigned int n = 2;

	for (unsigned int i = 1; i < VIA_ARRAY_SIZE(rows); i++)
		cases[n++] = (struct bench_case){
			rows[i].peer->name, run_register, (void *)rows[i].peer, { 0 }
		};
	bench_run(cases, n, REGISTER_ROUNDS);
	printf("\nregistering %u devices: ns of CPU for each, medians of %u rounds in turn\n",
	       N_REGISTER, REGISTER_ROUNDS);
	printf("  %-46s %9s %12s %10s %14s\n", "", "median", "to one commit", "one more",
	       "older (Xeon)");
	register_row(&cases[0], &cases[0], NULL, NULL);
	for (unsigned int i = 0; i < VIA_ARRAY_SIZE(rows); i++)
		register_row(&cases[i + 1], &cases[0], rows[i].peer, rows[i].older);
	for (unsigned int i = 1; i < VIA_ARRAY_SIZE(rows); i++) {
		const struct bench_case *c = &cases[i + 1];

		if (!rows[i].goal)
			continue;
		goal_at_least(
			"G19", goal_text("one commit of 16384: %s", c->name),
			sample_ratio(c, &cases[0], REGISTER_ROUNDS), 50,
			goal_text("its look for overlaps takes %.1f us each here, %s ns then; "
				  "ours %.2f us, the goal would be %.2f",
				  sample_median(c, REGISTER_ROUNDS) / 1000, rows[i].older,
				  sample_median(&cases[0], REGISTER_ROUNDS) / 1000,
				  sample_median(c, REGISTER_ROUNDS) / 50000));
	}
	goal_at_most("c.10", "1024 added one by one, each", ours_register(1024, false) / 1000, "us",
		     1, "each is a commit, which makes a view");
	register_qemu(&cases[0]);
}

/* us: a membarrier(2) while another CPU is busy with us, which every writer has to make. */
static double busy_membarrier(void)
{
	static double us;

	if (us == 0)
		us = membarrier_cost(true).p50;
	return us;
}

static bool has_two_cpus(void)
{
	return sysconf(_SC_NPROCESSORS_ONLN) > 1;
}

static void remove_row(unsigned int n, const char *older)
{
	unsigned int n_samples = n > 1024 ? 300 : 1000;
	struct latency alone = ours_remove(n, false, n_samples), busy;

	printf("  %-30s %10.2f %10.2f", goal_text("%u devices there", n), alone.p50, alone.p99);
	if (!has_two_cpus()) {
		printf("\n");
		goal_skip("G20", goal_text("remove at %u, a busy reader", n), "one CPU");
		return;
	}
	busy = ours_remove(n, true, n_samples);
	printf(" %12.2f %12.2f %20s\n", busy.p50, busy.p99, older);
	if (n == 1024)
		goal_at_most("c.10", "remove at 1024 without a reader, p50", alone.p50, "us", 2,
			     "");
	goal_at_most(
		"G20", goal_text("remove at %u, a busy reader, p50", n), busy.p50, "us", 40,
		goal_text("%.1f us without a reader; interrupting the reader's CPU takes %.1f us "
			  "by itself here (16 us then)",
			  alone.p50, busy_membarrier()));
}

void measure_remove(void)
{
	printf("\nremoving a device just after it was added, until no callback of it runs: us, "
	       "wall clock\n");
	printf("  %-30s %10s %10s %12s %12s %20s\n", "", "alone p50", "alone p99", "reader p50",
	       "reader p99", "older p50 (Xeon)");
	if (has_two_cpus()) {
		struct latency alone = membarrier_cost(false), busy = membarrier_cost(true);

		printf("  %-30s %10.2f %10.2f %12.2f %12.2f %20s\n", "floor: one membarrier(2)",
		       alone.p50, alone.p99, busy.p50, busy.p99, "16");
	}
	remove_row(16, "0.2 to 17");
	remove_row(1024, "17");
	remove_row(16384, "40");
	printf("  (the kernel's takes 8 ms after an add: bench/bus-kvm has it beside ours)\n");
}

void measure_move(void)
{
	struct latency alone = ours_move(1024, false, 500), busy = alone;
	const char *why = "";

	printf("\nmoving a device with 64 doorbells as one commit, among 1024: us, wall clock\n");
	printf("  %-30s p50 %9.2f  p99 %9.2f\n", "alone", alone.p50, alone.p99);
	if (has_two_cpus()) {
		busy = ours_move(1024, true, 500);
		printf("  %-30s p50 %9.2f  p99 %9.2f\n", "a busy reader", busy.p50, busy.p99);
		why = goal_text(
			"%.1f us without a reader; interrupting the reader's CPU takes %.1f us "
			"by itself here (16 us then)",
			alone.p50, busy_membarrier());
	}
	goal_at_most("G21", "move of a device with 64 doorbells, p50", busy.p50, "us", 100, why);
	printf("  (one by one in the kernel, 512 ms then: bench/bus-kvm has it beside ours)\n");
}
