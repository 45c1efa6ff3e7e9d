/* SPDX-License-Identifier: MIT */
/*
 * An exit of a vCPU that is an access, made on a bus. What KVM shares with us is
 * memory that others may write: fields are taken out once, checked, and used.
 */
#include "bus/kvm.h"

#include <errno.h>

#include "base/util.h"

/* One load that the compiler makes once. */
#define FETCH(field) __atomic_load_n(&(field), __ATOMIC_RELAXED)

/* The widths of a single access; others that KVM makes of an instruction are buffers. */
static bool is_width(uint32_t len)
{
	return len == 1 || len == 2 || len == 4 || len == 8;
}

/* KVM hands @len bytes as they would lie in memory, so their number is a little-endian one. */
static int mmio(struct kvm_run *run, struct via_bus *bus)
{
	uint64_t addr = FETCH(run->mmio.phys_addr);
	uint32_t len = FETCH(run->mmio.len);
	bool is_write = FETCH(run->mmio.is_write);
	uint64_t value = UINT64_MAX;
	uint8_t bytes[sizeof(value)];
	int ret;

	if (!len || len > sizeof(bytes))
		return -EINVAL;
	if (is_write) {
		for (uint32_t i = 0; i < len; i++)
			bytes[i] = FETCH(run->mmio.data[i]);
		if (!is_width(len))
			return via_bus_write(bus, addr, bytes, len, NULL);
		return via_bus_write_value(bus, addr, len, via_get_le64(bytes));
	}
	via_put_le64(bytes, UINT64_MAX);
	if (is_width(len)) {
		ret = via_bus_read_value(bus, addr, len, &value);
		via_put_le64(bytes, value);
	} else {
		ret = via_bus_read(bus, addr, bytes, len, NULL);
	}
	memcpy(run->mmio.data, bytes, len);
	return ret;
}

static int pio_one(struct via_bus *bus, uint16_t port, unsigned int size, bool out, uint8_t *data)
{
	uint8_t bytes[8] = {0};
	uint64_t value = UINT64_MAX;
	int ret;

	if (out) {
		memcpy(bytes, data, size);
		return via_bus_write_value(bus, port, size, via_get_le64(bytes));
	}
	ret = via_bus_read_value(bus, port, size, &value);
	via_put_le64(bytes, value);
	memcpy(data, bytes, size);
	return ret;
}

static int pio(struct kvm_run *run, size_t run_size, struct via_bus *bus)
{
	bool out = FETCH(run->io.direction) == KVM_EXIT_IO_OUT;
	unsigned int size = FETCH(run->io.size);
	uint16_t port = FETCH(run->io.port);
	uint32_t count = FETCH(run->io.count);
	uint64_t offset = FETCH(run->io.data_offset);
	uint64_t len = (uint64_t)size * count;
	uint8_t *data;

	/* Behind struct kvm_run, so that an answer does not overwrite what was asked. */
	if ((size != 1 && size != 2 && size != 4) || !count || offset < sizeof(*run) ||
	    offset > run_size || len > run_size - offset)
		return -EINVAL;
	data = (uint8_t *)run + offset;
	if (!bus) {
		if (!out)
			memset(data, 0xff, len);
		return -ENXIO;
	}
	if (count == 1)
		return pio_one(bus, port, size, out, data);
	return out ? via_bus_write_string(bus, port, size, data, count, NULL)
		   : via_bus_read_string(bus, port, size, data, count, NULL);
}

int via_kvm_dispatch(struct kvm_run *run, size_t size, struct via_bus *mmio_bus,
		     struct via_bus *pio_bus)
{
	switch (FETCH(run->exit_reason)) {
	case KVM_EXIT_MMIO:
		return mmio(run, mmio_bus);
	case KVM_EXIT_IO:
		return pio(run, size, pio_bus);
	default:
		return VIA_KVM_EXIT_OTHER;
	}
}
