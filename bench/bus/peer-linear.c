/* SPDX-License-Identifier: MIT */
/* The first bus of KVM, of 2007: each device in turn is asked by callback whether it is meant. */
#include "peer.h"

struct asked {
	bool (*in_range)(const struct asked *asked, uint64_t addr);
	void (*write)(struct asked *asked, uint64_t addr, unsigned int size, uint64_t value);
	uint64_t start;
	uint64_t len;
	struct device *device;
};

struct linear_bus {
	unsigned int n;
	struct asked devices[];
};

static bool in_range(const struct asked *asked, uint64_t addr)
{
	return addr >= asked->start && addr < asked->start + asked->len;
}

static void device_write(struct asked *asked, uint64_t addr, unsigned int size, uint64_t value)
{
	asked->device->value = value;
}

static void *create(unsigned int n)
{
	struct linear_bus *bus = calloc(1, sizeof(*bus) + n * sizeof(bus->devices[0]));

	if (!bus)
		bench_die("out of memory");
	return bus;
}

static void add(void *arg, uint64_t start, uint64_t len, struct device *device)
{
	struct linear_bus *bus = arg;

	bus->devices[bus->n++] = (struct asked){ in_range, device_write, start, len, device };
}

PEER_DISPATCH dispatch(void *arg, uint64_t addr, unsigned int size, uint64_t value)
{
	struct linear_bus *bus = arg;

	for (unsigned int i = 0; i < bus->n; i++) {
		struct asked *asked = &bus->devices[i];

		if (asked->in_range(asked, addr)) {
			asked->write(asked, addr, size, value);
			return true;
		}
	}
	return false;
}

PEER_RUN(run, dispatch)

const struct peer peer_linear = {
	.name = "2007: in_range callbacks in turn, no lock",
	.scan = true,
	.older = { 0, 14.7, 59.9, 717, 0 },
	.create = create,
	.destroy = free,
	.add = add,
	.run = run,
};
