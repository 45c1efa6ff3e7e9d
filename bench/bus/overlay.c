/* SPDX-License-Identifier: MIT */
/*
 * A vCPU's own bus above the machine's: what its one claim, or none, adds to an
 * access to a device of the machine; and what an access to that claim takes.
 */
#include "measure.h"

#include <viaduct/bus.h>

#include "base/util.h"

#define N_OPS 400000u
#define N_DEVICES 64u
#define LAPIC ((uint64_t)0xfee00000)

static uint64_t *machine_addr, *lapic_addr;

static double run_machine(void *bus)
{
	return peer_ours.run(bus, machine_addr, N_OPS, true);
}

static double run_lapic(void *bus)
{
	return peer_ours.run(bus, lapic_addr, N_OPS, true);
}

static struct via_bus *new_above(struct via_bus *below)
{
	const struct via_bus_desc desc = { .name = "vCPU", .below = below };
	struct via_bus *bus;

	if (via_bus_new_as(&desc, &bus))
		bench_die("out of memory");
	return bus;
}

void measure_overlay(void)
{
	struct machine m;
	struct device lapic;
	struct via_bus *machine, *none, *one;
	struct bench_case cases[4] = {
		{ .name = "on the machine's bus", .run = run_machine },
		{ .name = "through a vCPU's bus without a claim", .run = run_machine },
		{ .name = "through a vCPU's bus with one claim", .run = run_machine },
		{ .name = "to that claim", .run = run_lapic },
	};
	double added[ROUNDS];

	machine_init(&m, N_DEVICES);
	machine_pattern(&m, HOT);
	machine_addr = m.addr;
	lapic_addr = calloc(N_ADDRESSES, sizeof(*lapic_addr));
	if (!lapic_addr)
		bench_die("out of memory");
	for (unsigned int i = 0; i < N_ADDRESSES; i++)
		lapic_addr[i] = LAPIC + i % 256 * 16;
	machine = machine_bus(&m, &peer_ours);
	none = new_above(machine);
	one = new_above(machine);
	peer_ours.add(one, LAPIC, DEVICE_LEN, &lapic);
	cases[0].arg = machine;
	cases[1].arg = none;
	cases[2].arg = cases[3].arg = one;
	bench_run(cases, VIA_ARRAY_SIZE(cases), ROUNDS);
	printf("\nan access with a bus for each vCPU above that of the machine: ns of CPU, medians "
	       "of %u rounds in turn\n",
	       ROUNDS);
	for (unsigned int i = 0; i < VIA_ARRAY_SIZE(cases); i++)
		printf("  %-46s %9.2f\n", cases[i].name, sample_median(&cases[i], ROUNDS));
	for (unsigned int k = 0; k < ROUNDS; k++)
		added[k] = cases[2].sample[k] - cases[0].sample[k];
	goal_at_most("c.10", "a vCPU's bus of one claim adds", bench_median(added, ROUNDS), "ns",
		     1.5, "");
	via_bus_free(one);
	via_bus_free(none);
	via_bus_free(machine);
	free(lapic_addr);
	machine_deinit(&m);
}
