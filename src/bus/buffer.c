/* SPDX-License-Identifier: MIT */
/* Many accesses in one call: buffers, strings of one port, batches. */
#include "bus/internal.h"

#include <errno.h>

#include "base/util.h"

/* The largest naturally aligned access that starts a rest of @len bytes. */
static unsigned int chunk_len(uint64_t addr, size_t len)
{
	unsigned int chunk = 8;

	while (chunk > len || (addr & (chunk - 1)))
		chunk /= 2;
	return chunk;
}

/* A naturally aligned piece of a buffer, in a section of its own, so that a long one holds up
 * nobody. */
static int one(struct via_bus *bus, struct via_bus_access *access)
{
	int ret;

	via_epoch_enter();
	ret = via_bus_access(bus, access);
	via_epoch_exit();
	return ret;
}

/* One of @in and @out is NULL. */
static int transfer(struct via_bus *bus, uint64_t addr, uint8_t *in, const uint8_t *out, size_t len,
		    size_t *ret_done)
{
	bool missed = false;
	size_t pos = 0, done = 0;
	int ret = 0;

	if (ret_done)
		*ret_done = 0;
	if (len && (addr > bus->last || len - 1 > bus->last - addr)) {
		if (bus->last != UINT64_MAX)
			return -EINVAL;
		len = (size_t)(UINT64_MAX - addr) + 1;
		missed = true;
	}
	while (pos < len) {
		struct via_bus_access access = {.addr = addr + pos, .write = !in};

		access.len = chunk_len(addr + pos, len - pos);
		if (out)
			memcpy(access.bytes, out + pos, access.len);
		else if (!bus->zeros)
			memset(access.bytes, 0xff, sizeof(access.bytes));
		ret = one(bus, &access);
		if (in)
			memcpy(in + pos, access.bytes, access.len);
		if (done == pos)
			done += access.done;
		if (ret && ret != -ENXIO)
			break;
		missed |= access.missed;
		ret = 0;
		pos += access.len;
	}
	if (ret_done)
		*ret_done = done;
	return ret ? ret : missed ? -ENXIO : 0;
}

int via_bus_read(struct via_bus *bus, uint64_t addr, void *buf, size_t len, size_t *ret_done)
{
	memset(buf, bus->zeros ? 0 : 0xff, len);
	return transfer(bus, addr, buf, NULL, len, ret_done);
}

int via_bus_write(struct via_bus *bus, uint64_t addr, const void *buf, size_t len, size_t *ret_done)
{
	return transfer(bus, addr, NULL, buf, len, ret_done);
}

/* --- Strings --- */

static bool string_ok(unsigned int size, size_t *ret_done)
{
	if (ret_done)
		*ret_done = 0;
	return via_is_pow2(size) && size <= 8;
}

/* @i accesses were answered, then one was not. */
static int string_end(size_t i, int ret, size_t *ret_done)
{
	if (ret_done)
		*ret_done = i;
	return ret == -ENXIO && i ? 0 : ret;
}

int via_bus_read_string(struct via_bus *bus, uint64_t addr, unsigned int size, void *buf,
			size_t count, size_t *ret_done)
{
	uint8_t *p = buf, bytes[8];
	uint64_t value = 0;
	int ret = 0;
	size_t i;

	if (!string_ok(size, ret_done))
		return -EINVAL;
	for (i = 0; i < count; i++) {
		ret = via_bus_read_value(bus, addr, size, &value);
		if (ret)
			break;
		via_put_le64(bytes, value);
		memcpy(p + i * size, bytes, size);
	}
	if (i < count)
		memset(p + i * size, i || bus->zeros ? 0 : 0xff, (count - i) * size);
	return string_end(i, ret, ret_done);
}

int via_bus_write_string(struct via_bus *bus, uint64_t addr, unsigned int size, const void *buf,
			 size_t count, size_t *ret_done)
{
	const uint8_t *p = buf;
	int ret = 0;
	size_t i;

	if (!string_ok(size, ret_done))
		return -EINVAL;
	for (i = 0; i < count && !ret; i++) {
		uint8_t bytes[8] = {0};

		memcpy(bytes, p + i * size, size);
		ret = via_bus_write_value(bus, addr, size, via_get_le64(bytes));
	}
	return string_end(i - (ret != 0), ret, ret_done);
}

/* --- Batches --- */

/* As far ahead as its cache line is asked for: about a miss of the cache takes that long. */
#define BATCH_AHEAD 3u

/* Where it will probably be looked for: a hint, whatever happens to the bus until then. */
static void prefetch(struct via_bus *bus, uint64_t addr)
{
	__builtin_prefetch(via_bus_map_guess(&via_bus_view_get(bus)->map, addr));
}

size_t via_bus_batch(struct via_bus *bus, struct via_bus_op *ops, size_t n, bool stop)
{
	size_t i;

	via_epoch_enter();
	for (i = 0; i < n; i++) {
		struct via_bus_op *op = &ops[i];

		if (i + BATCH_AHEAD < n)
			prefetch(bus, ops[i + BATCH_AHEAD].addr);
		op->result = op->write ? via_bus_write_entered(bus, op->addr, op->size, op->value)
				       : via_bus_read_entered(bus, op->addr, op->size, &op->value);
		if (stop && op->result) {
			i++;
			break;
		}
	}
	via_epoch_exit();
	return i;
}
