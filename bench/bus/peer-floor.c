/* SPDX-License-Identifier: MIT */
/*
 * No search: what the callback and the loop cost by themselves, and in a section of a reader
 * of what may change.
 */
#include "peer.h"

#include "base/epoch.h"

struct slot {
	int (*write)(void *device, uint64_t offset, unsigned int size, uint64_t value);
	struct device *device;
};

struct floor_bus {
	unsigned int n;
	struct slot slots[];
};

static int device_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	((struct device *)opaque)->value = value;
	return 0;
}

static void *create(unsigned int n)
{
	struct floor_bus *bus = calloc(1, sizeof(*bus) + n * sizeof(bus->slots[0]));

	if (!bus)
		bench_die("out of memory");
	return bus;
}

static void add(void *arg, uint64_t start, uint64_t len, struct device *device)
{
	struct floor_bus *bus = arg;

	bus->slots[bus->n++] = (struct slot){ device_write, device };
}

static inline bool dispatch(void *arg, uint64_t addr, unsigned int size, uint64_t value)
{
	const struct slot *slot = &((struct floor_bus *)arg)->slots[addr / STRIDE];

	return slot->write(slot->device, addr % STRIDE, size, value) == 0;
}

static inline bool dispatch_section(void *arg, uint64_t addr, unsigned int size, uint64_t value)
{
	bool ok;

	via_epoch_enter();
	ok = dispatch(arg, addr, size, value);
	via_epoch_exit();
	return ok;
}

PEER_RUN(run, dispatch)
PEER_RUN(run_section, dispatch_section)

const struct peer peer_floor = {
	.name = "floor: known index, indirect call, no lock",
	.older = { 2.4, 2.4, 2.4, 2.4, 4.2 },
	.create = create,
	.destroy = free,
	.add = add,
	.run = run,
};

const struct peer peer_floor_section = {
	.name = "the same in a read section (epoch slot)",
	.create = create,
	.destroy = free,
	.add = add,
	.run = run_section,
};
