/* SPDX-License-Identifier: MIT */
/* The peer of a real library: std::map by base address behind std::mutex. */
#ifndef VIA_BENCH_BUS_MAP_H
#define VIA_BENCH_BUS_MAP_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef void bus_map_write(void *device, uint64_t offset, unsigned int size, uint64_t value);

struct bus_map;
struct bus_map *bus_map_new(void);
void bus_map_free(struct bus_map *map);
void bus_map_add(struct bus_map *map, uint64_t start, uint64_t len, bus_map_write *write,
		 void *device);
bool bus_map_dispatch(struct bus_map *map, uint64_t addr, unsigned int size, uint64_t value);

#ifdef __cplusplus
}
#endif

#endif
