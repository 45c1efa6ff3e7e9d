/* SPDX-License-Identifier: MIT */
/*
 * The case that the kernel gets wrong (test 10 of the bus): in a zone of 4 KiB an
 * entry of 4 bytes at 0x10. Who gets the writes beside it, in it, and far behind it?
 */
#include "measure.h"
#include "peer-kernel.h"

#include <viaduct/bus.h>

#include "base/util.h"

enum owner { NOBODY, ZONE, ENTRY };

static const struct {
	uint64_t addr;
	enum owner owner;
} cases[] = { { 0x04, ZONE }, { 0x10, ENTRY }, { 0x14, ZONE }, { 0x800, ZONE } };

static enum owner got;

static int zone_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	got = ZONE;
	return 0;
}

static int entry_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	got = ENTRY;
	return 0;
}

static bool ours(uint64_t addr)
{
	static const struct via_bus_ops zone = { .write = zone_write },
					entry = { .write = entry_write };
	const struct via_claim_desc desc[] = {
		{ .start = 0, .last = 0xfff, .ops = &zone },
		{ .start = 0x10, .last = 0x13, .priority = 1, .ops = &entry },
	};
	struct via_claim *claim;
	struct via_bus *bus;

	if (via_bus_new("exact", &bus) || via_bus_add(bus, &desc[0], &claim) ||
	    via_bus_add(bus, &desc[1], &claim))
		bench_die("cannot add a claim");
	(void)via_bus_write_value(bus, addr, 4, 0);
	via_bus_free(bus);
	return true;
}

static bool kernel_shape(uint64_t addr)
{
	struct kernel_bus *bus = kernel_bus_new();

	kernel_bus_add(bus, 0, 0x1000, zone_write, NULL);
	kernel_bus_add(bus, 0x10, 4, entry_write, NULL);
	(void)kernel_bus_dispatch(bus, addr, 4, 0);
	kernel_bus_free(bus);
	return true;
}

static bool is_exact(const char *name, bool (*dispatch)(uint64_t addr))
{
	static const char *const word[] = { "nobody", "zone", "entry" };
	bool exact = true;

	printf("  %-46s", name);
	for (unsigned int i = 0; i < VIA_ARRAY_SIZE(cases); i++) {
		got = NOBODY;
		(void)dispatch(cases[i].addr);
		printf(" 0x%03llx: %-7s", (unsigned long long)cases[i].addr, word[got]);
		exact &= got == cases[i].owner;
	}
	printf(" %s\n", exact ? "right" : "WRONG");
	return exact;
}

void measure_exact(void)
{
	bool exact;

	printf("\na zone of 4 KiB and in it an entry of 4 bytes at 0x10: who answers?\n");
	exact = is_exact("viaduct", ours);
	(void)is_exact("Linux' shape", kernel_shape);
	goal_pass("G23", "nested ranges: each access reaches its owner", exact, "");
	printf("  (the kernel itself: bench/bus-kvm)\n");
}
