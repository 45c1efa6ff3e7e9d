/* SPDX-License-Identifier: MIT */
/*
 * The shape of the bus in Linux: ranges sorted by address in one array that is
 * copied for each change; a binary search through a compare pointer for a range
 * that holds the whole access, from there back over those that hold it too, and
 * then forward until one does not decline.
 */
#ifndef VIA_BENCH_PEER_KERNEL_H
#define VIA_BENCH_PEER_KERNEL_H

#include <stdbool.h>
#include <stdint.h>

/* Return: 0, or not mine. */
typedef int kernel_write_fn(void *device, uint64_t offset, unsigned int size, uint64_t value);

struct kernel_bus;
struct kernel_bus *kernel_bus_new(void);
void kernel_bus_free(struct kernel_bus *bus);
void kernel_bus_add(struct kernel_bus *bus, uint64_t start, uint64_t len, kernel_write_fn *write,
		    void *device);
bool kernel_bus_dispatch(const struct kernel_bus *bus, uint64_t addr, unsigned int size,
			 uint64_t value);

#endif
