/* SPDX-License-Identifier: MIT */
/* A device that is plain memory and remembers its calls, and short ways to claim. */
#ifndef VIA_BUS_TEST_SUPPORT_H
#define VIA_BUS_TEST_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>

#include <viaduct/bus.h>

#define DEV_BYTES 64

struct dev {
	uint8_t mem[DEV_BYTES]; /* offset modulo the size */
	bool big_endian;
	bool decline_reads, decline_writes;
	unsigned int n_reads, n_writes;
	struct {
		uint64_t offset;
		unsigned int size;
	} call[16]; /* the first calls since dev_reset() */
	unsigned int n_calls;
};

static inline void dev_note(struct dev *dev, uint64_t offset, unsigned int size)
{
	if (dev->n_calls < 16) {
		dev->call[dev->n_calls].offset = offset;
		dev->call[dev->n_calls].size = size;
	}
	dev->n_calls++;
}

static inline int dev_read(void *opaque, uint64_t offset, unsigned int size, uint64_t *ret_value)
{
	struct dev *dev = opaque;
	uint64_t v = 0;
	unsigned int i;

	dev_note(dev, offset, size);
	if (dev->decline_reads)
		return VIA_BUS_DECLINE;
	dev->n_reads++;
	for (i = 0; i < size; i++) {
		unsigned int lane = dev->big_endian ? size - 1 - i : i;

		v |= (uint64_t)dev->mem[(offset + i) % DEV_BYTES] << (8 * lane);
	}
	/* Bits above the size are the device's rubbish: nobody may see them. */
	*ret_value = size < 8 ? v | UINT64_MAX << (8 * size) : v;
	return VIA_BUS_OK;
}

static inline int dev_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	struct dev *dev = opaque;
	unsigned int i;

	dev_note(dev, offset, size);
	if (dev->decline_writes)
		return VIA_BUS_DECLINE;
	dev->n_writes++;
	for (i = 0; i < size; i++) {
		unsigned int lane = dev->big_endian ? size - 1 - i : i;

		dev->mem[(offset + i) % DEV_BYTES] = (uint8_t)(value >> (8 * lane));
	}
	return VIA_BUS_OK;
}

static const struct via_bus_ops dev_ops = { dev_read, dev_write };

static inline void dev_reset(struct dev *dev)
{
	dev->n_calls = dev->n_reads = dev->n_writes = 0;
}

static inline struct via_claim_desc claim_of(struct dev *dev, uint64_t start, uint64_t last,
					     int priority)
{
	return (struct via_claim_desc){ .start = start,
					.last = last,
					.priority = priority,
					.ops = &dev_ops,
					.opaque = dev,
					.name = "dev" };
}

static inline struct via_claim *add_desc(struct via_bus *bus, const struct via_claim_desc *desc)
{
	struct via_claim *claim = NULL;

	assert_int_equal(via_bus_add(bus, desc, &claim), 0);
	return claim;
}

static inline struct via_claim *add(struct via_bus *bus, struct dev *dev, uint64_t start,
				    uint64_t last, int priority)
{
	struct via_claim_desc desc = claim_of(dev, start, last, priority);

	return add_desc(bus, &desc);
}

static inline struct via_bus *new_bus(void)
{
	struct via_bus *bus;

	assert_int_equal(via_bus_new("test", &bus), 0);
	return bus;
}

/* Which of the devices answers a byte read at @addr: its index, or -1 for nobody. */
static inline int owner(struct via_bus *bus, struct dev *devs, int n, uint64_t addr)
{
	uint64_t value = 0;
	int i, who = -1;
	int ret;

	for (i = 0; i < n; i++)
		dev_reset(&devs[i]);
	ret = via_bus_read_value(bus, addr, 1, &value);
	for (i = 0; i < n; i++) {
		if (devs[i].n_reads) {
			assert_int_equal(who, -1);
			who = i;
		}
	}
	assert_int_equal(ret, who < 0 ? -ENXIO : 0);
	return who;
}

#endif
