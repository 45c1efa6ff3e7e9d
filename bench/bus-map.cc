/* SPDX-License-Identifier: MIT */
#include "bus-map.h"

#include <map>
#include <mutex>

struct bus_map {
	struct entry {
		uint64_t len;
		bus_map_write *write;
		void *device;
	};
	std::mutex lock;
	std::map<uint64_t, entry> entries;
};

struct bus_map *bus_map_new(void)
{
	return new bus_map;
}

void bus_map_free(struct bus_map *map)
{
	delete map;
}

void bus_map_add(struct bus_map *map, uint64_t start, uint64_t len, bus_map_write *write,
		 void *device)
{
	map->entries[start] = { len, write, device };
}

/* The entry is copied and the lock dropped before the call, as VMMs do. */
bool bus_map_dispatch(struct bus_map *map, uint64_t addr, unsigned int size, uint64_t value)
{
	bus_map::entry found;
	uint64_t start;

	{
		std::lock_guard<std::mutex> guard(map->lock);
		auto it = map->entries.upper_bound(addr);

		if (it == map->entries.begin())
			return false;
		--it;
		if (addr - it->first >= it->second.len)
			return false;
		start = it->first;
		found = it->second;
	}
	found.write(found.device, addr - start, size, value);
	return true;
}
