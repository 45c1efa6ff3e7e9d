/* SPDX-License-Identifier: MIT */
/* What anybody would write: libstdc++'s ordered map by base address behind its mutex. */
#include "peer.h"

#include <map>
#include <mutex>

namespace
{

using write_fn = int (*)(void *device, uint64_t offset, unsigned int size, uint64_t value);

int device_write(void *opaque, uint64_t, unsigned int, uint64_t value)
{
	static_cast<device *>(opaque)->value = value;
	return 0;
}

struct map_bus {
	struct entry {
		uint64_t len;
		write_fn write;
		void *device;
	};
	std::mutex lock;
	std::map<uint64_t, entry> entries;
};

void *create(unsigned int)
{
	return new map_bus;
}

void destroy(void *bus)
{
	delete static_cast<map_bus *>(bus);
}

void add(void *arg, uint64_t start, uint64_t len, struct device *device)
{
	map_bus *bus = static_cast<map_bus *>(arg);
	std::lock_guard<std::mutex> guard(bus->lock);

	bus->entries[start] = { len, device_write, device };
}

/* The entry is copied and the lock dropped before the call, as VMMs do. */
PEER_DISPATCH dispatch(void *arg, uint64_t addr, unsigned int size, uint64_t value)
{
	map_bus *bus = static_cast<map_bus *>(arg);
	map_bus::entry found;
	uint64_t start;

	{
		std::lock_guard<std::mutex> guard(bus->lock);
		auto it = bus->entries.upper_bound(addr);

		if (it == bus->entries.begin())
			return false;
		--it;
		if (addr - it->first >= it->second.len)
			return false;
		start = it->first;
		found = it->second;
	}
	return found.write(found.device, addr - start, size, value) == 0;
}

PEER_RUN(run, dispatch)

} // namespace

const struct peer peer_map = {
	.name = "std::mutex + std::map",
	.locked = true,
	.n_max = 0,
	.scan = false,
	.older = {},
	.create = create,
	.destroy = destroy,
	.add = add,
	.run = run,
};
