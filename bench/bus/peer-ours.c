/* SPDX-License-Identifier: MIT */
/* The bus of this library, through its public header. */
#include "peer.h"

#include <viaduct/bus.h>

static int device_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	((struct device *)opaque)->value = value;
	return VIA_BUS_OK;
}

static const struct via_bus_ops ops = { .write = device_write };

static void *create(unsigned int n)
{
	struct via_bus *bus;

	if (via_bus_new("bench", &bus))
		bench_die("out of memory");
	return bus;
}

static void destroy(void *bus)
{
	via_bus_free(bus);
}

static void add(void *bus, uint64_t start, uint64_t len, struct device *device)
{
	struct via_claim_desc desc = {
		.start = start,
		.last = start + len - 1,
		.ops = &ops,
		.opaque = device,
	};
	struct via_claim *claim;

	if (via_bus_add(bus, &desc, &claim))
		bench_die("cannot add a claim");
}

static inline bool dispatch(void *bus, uint64_t addr, unsigned int size, uint64_t value)
{
	return via_bus_write_value(bus, addr, size, value) == 0;
}

PEER_RUN(run, dispatch)

const struct peer peer_ours = {
	.name = "viaduct",
	.locked = true,
	.create = create,
	.destroy = destroy,
	.add = add,
	.run = run,
};
