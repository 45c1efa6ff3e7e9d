/* SPDX-License-Identifier: MIT */
#include "peer-kernel.h"
#include "peer.h"

#include <string.h>

struct range {
	uint64_t start;
	uint64_t len;
	kernel_write_fn *write;
	void *device;
};

struct kernel_bus {
	size_t n;
	size_t cookie; /* last hit */
	struct range *ranges;
};

struct kernel_bus *kernel_bus_new(void)
{
	struct kernel_bus *bus = calloc(1, sizeof(*bus));

	if (!bus)
		bench_die("out of memory");
	return bus;
}

void kernel_bus_free(struct kernel_bus *bus)
{
	free(bus->ranges);
	free(bus);
}

/* A new array for each: readers have the old one until they are gone. */
void kernel_bus_add(struct kernel_bus *bus, uint64_t start, uint64_t len, kernel_write_fn *write,
		    void *device)
{
	struct range *ranges = malloc((bus->n + 1) * sizeof(*ranges));
	size_t i;

	if (!ranges)
		bench_die("out of memory");
	for (i = 0; i < bus->n && bus->ranges[i].start <= start; i++)
		;
	if (i)
		memcpy(ranges, bus->ranges, i * sizeof(*ranges));
	ranges[i] = (struct range){ start, len, write, device };
	if (i < bus->n)
		memcpy(ranges + i + 1, bus->ranges + i, (bus->n - i) * sizeof(*ranges));
	free(bus->ranges);
	bus->ranges = ranges;
	bus->n++;
}

/* Equal: @b holds all of @a. */
static int compare_range(const void *key, const void *element)
{
	const struct range *a = key, *b = element;

	if (a->start < b->start)
		return -1;
	return a->start + a->len > b->start + b->len;
}

/* Called through a pointer that the compiler cannot see through, as a shared helper does. */
static int (*volatile compare)(const void *, const void *) = compare_range;

static bool ask_from(const struct kernel_bus *bus, size_t i, const struct range *key,
		     uint64_t value, size_t *ret_index)
{
	for (; i < bus->n && !compare_range(key, &bus->ranges[i]); i++) {
		const struct range *range = &bus->ranges[i];

		if (!range->write(range->device, key->start - range->start, (unsigned int)key->len,
				  value)) {
			*ret_index = i;
			return true;
		}
	}
	return false;
}

static bool search(const struct kernel_bus *bus, const struct range *key, uint64_t value,
		   size_t *ret_index)
{
	const struct range *range = bsearch(key, bus->ranges, bus->n, sizeof(*range), compare);

	if (!range)
		return false;
	while (range > bus->ranges && !compare_range(key, range - 1))
		range--;
	return ask_from(bus, (size_t)(range - bus->ranges), key, value, ret_index);
}

bool kernel_bus_dispatch(const struct kernel_bus *bus, uint64_t addr, unsigned int size,
			 uint64_t value)
{
	struct range key = { .start = addr, .len = size };
	size_t index;

	return search(bus, &key, value, &index);
}

PEER_DISPATCH dispatch(void *arg, uint64_t addr, unsigned int size, uint64_t value)
{
	return kernel_bus_dispatch(arg, addr, size, value);
}

/* A caller that keeps the index of its last hit, as virtio-ccw does. */
PEER_DISPATCH dispatch_cookie(void *arg, uint64_t addr, unsigned int size, uint64_t value)
{
	struct range key = { .start = addr, .len = size };
	struct kernel_bus *bus = arg;
	size_t cookie = bus->cookie;

	if (cookie < bus->n && !compare(&key, &bus->ranges[cookie]) &&
	    ask_from(bus, cookie, &key, value, &bus->cookie))
		return true;
	return search(bus, &key, value, &bus->cookie);
}

static int device_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	((struct device *)opaque)->value = value;
	return 0;
}

static void *create(unsigned int n)
{
	return kernel_bus_new();
}

static void destroy(void *bus)
{
	kernel_bus_free(bus);
}

static void add(void *bus, uint64_t start, uint64_t len, struct device *device)
{
	kernel_bus_add(bus, start, len, device_write, device);
}

PEER_RUN(run, dispatch)
PEER_RUN(run_cookie, dispatch_cookie)

const struct peer peer_kernel = {
	.name = "Linux' shape: sorted array, bsearch(), no lock",
	.older = { 16.9, 27.5, 52.0, 81.7, 132 },
	.create = create,
	.destroy = destroy,
	.add = add,
	.run = run,
};

const struct peer peer_kernel_cookie = {
	.name = "the same with a caller's cookie",
	.older = { 5.5, 20.3, 45.7, 80.7, 131 },
	.create = create,
	.destroy = destroy,
	.add = add,
	.run = run_cookie,
};
