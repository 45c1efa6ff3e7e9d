/* SPDX-License-Identifier: MIT */
/*
 * The shapes of the buses of VMMs in Rust: an ordered map by base address behind
 * a lock; a device is a counted reference to an object with a virtual write,
 * which gets a slice of bytes, and most have a mutex of their own. Adding one
 * looks at all that are there for an overlap.
 */
#include "btree.h"
#include "locks.h"
#include "peer.h"

#include <cstring>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <vector>

namespace
{

class bus_device
{
      public:
	virtual ~bus_device() = default;
	virtual void write(uint64_t base, uint64_t offset, const uint8_t *data, size_t len) = 0;
};

/* Looks after itself: several threads may call it. */
class sync_device : public bus_device
{
	device *target;

      public:
	explicit sync_device(device *d) : target(d)
	{
	}
	void write(uint64_t, uint64_t, const uint8_t *data, size_t len) override
	{
		uint32_t value = 0;

		if (len == sizeof(value))
			std::memcpy(&value, data, sizeof(value));
		target->value = value;
	}
};

/* One thread at a time. */
class mutex_device : public bus_device
{
	word_mutex lock;
	std::unique_ptr<bus_device> inside;

      public:
	explicit mutex_device(device *d) : inside(new sync_device(d))
	{
	}
	void write(uint64_t base, uint64_t offset, const uint8_t *data, size_t len) override
	{
		std::lock_guard<word_mutex> guard(lock);

		inside->write(base, offset, data, len);
	}
};

std::shared_ptr<bus_device> make_device(device *d, bool with_mutex)
{
	if (with_mutex)
		return std::make_shared<mutex_device>(d);
	return std::make_shared<sync_device>(d);
}

[[noreturn]] void overlap()
{
	fprintf(stderr, "bench bus: an overlap\n");
	exit(1);
}

/* crosvm: a mutex around the map; the reference is copied out, and counted down after the call. */
template <bool WITH_MUTEX> struct crosvm_bus {
	word_mutex lock;
	btree<std::shared_ptr<bus_device>> devices;

	static void *create(unsigned int)
	{
		return new crosvm_bus;
	}
	static void destroy(void *bus)
	{
		delete static_cast<crosvm_bus *>(bus);
	}
	static void add(void *arg, uint64_t start, uint64_t len, device *d)
	{
		crosvm_bus *bus = static_cast<crosvm_bus *>(arg);
		std::lock_guard<word_mutex> guard(bus->lock);

		if (bus->devices.any([=](const bus_range &r) { return r.overlaps(start, len); }))
			overlap();
		bus->devices.insert({ start, len }, make_device(d, WITH_MUTEX));
	}
	bool write(uint64_t addr, const uint8_t *data, size_t len)
	{
		std::shared_ptr<bus_device> found;
		bus_range range;

		{
			std::lock_guard<word_mutex> guard(lock);
			const auto *value = devices.last_at_most(addr, &range);

			if (!value)
				return false;
			found = *value;
		}
		if (addr - range.base >= range.len)
			return false;
		found->write(range.base, addr - range.base, data, len);
		return true;
	}
};

/* cloud-hypervisor: the map keeps weak references, each access makes a strong one of it. */
template <bool WITH_MUTEX> struct cloud_bus {
	word_rwlock lock;
	btree<std::weak_ptr<bus_device>> devices;
	std::vector<std::shared_ptr<bus_device>> owned;

	static void *create(unsigned int)
	{
		return new cloud_bus;
	}
	static void destroy(void *bus)
	{
		delete static_cast<cloud_bus *>(bus);
	}
	static void add(void *arg, uint64_t start, uint64_t len, device *d)
	{
		cloud_bus *bus = static_cast<cloud_bus *>(arg);

		bus->owned.push_back(make_device(d, WITH_MUTEX));
		{
			std::shared_lock<word_rwlock> guard(bus->lock);

			if (bus->devices.any(
				    [=](const bus_range &r) { return r.overlaps(start, len); }))
				overlap();
		}
		std::lock_guard<word_rwlock> guard(bus->lock);

		bus->devices.insert({ start, len }, bus->owned.back());
	}
	bool write(uint64_t addr, const uint8_t *data, size_t len)
	{
		std::shared_ptr<bus_device> found;
		bus_range range;

		{
			std::shared_lock<word_rwlock> guard(lock);
			const auto *value = devices.last_at_most(addr, &range);

			if (!value || !(found = value->lock()))
				return false;
		}
		if (addr - range.base >= range.len)
			return false;
		found->write(range.base, addr - range.base, data, len);
		return true;
	}
};

struct no_lock {
	void lock()
	{
	}
	void unlock()
	{
	}
	void lock_shared()
	{
	}
	void unlock_shared()
	{
	}
};

/* rust-vmm's vm-device has no lock; a VMM that changes it puts one around it, held during the call.
 */
template <typename Lock, bool WITH_MUTEX> struct vm_device_bus {
	Lock lock;
	btree<std::shared_ptr<bus_device>> devices;

	static void *create(unsigned int)
	{
		return new vm_device_bus;
	}
	static void destroy(void *bus)
	{
		delete static_cast<vm_device_bus *>(bus);
	}
	static void add(void *arg, uint64_t start, uint64_t len, device *d)
	{
		vm_device_bus *bus = static_cast<vm_device_bus *>(arg);
		std::lock_guard<Lock> guard(bus->lock);

		if (bus->devices.any([=](const bus_range &r) { return r.overlaps(start, len); }))
			overlap();
		bus->devices.insert({ start, len }, make_device(d, WITH_MUTEX));
	}
	bool write(uint64_t addr, const uint8_t *data, size_t len)
	{
		std::shared_lock<Lock> guard(lock);
		bus_range range;
		const auto *value = devices.last_at_most(addr, &range);

		if (!value || addr + len > range.base + range.len)
			return false;
		(*value)->write(range.base, addr - range.base, data, len);
		return true;
	}
};

template <typename Bus>
PEER_DISPATCH dispatch(void *arg, uint64_t addr, unsigned int size, uint64_t value)
{
	uint8_t data[8];

	std::memcpy(data, &value, sizeof(data));
	return static_cast<Bus *>(arg)->write(addr, data, size);
}

template <typename Bus>
PEER_RUN(run, dispatch<Bus>)

template <typename Bus>
constexpr struct peer make_peer(const char *name, bool locked, const peer_older &figures)
{
	struct peer p = {};

	p.name = name;
	p.locked = locked;
	p.older = figures;
	p.create = Bus::create;
	p.destroy = Bus::destroy;
	p.add = Bus::add;
	p.run = run<Bus>;
	return p;
}

} // namespace

const struct peer peer_crosvm = make_peer<crosvm_bus<false>>(
	"crosvm's shape, device without a mutex", true, { 54.2, 44.8, 49.6, 74.8, 118 });
const struct peer peer_crosvm_mutex =
	make_peer<crosvm_bus<true>>("crosvm's shape, device with a mutex", true, {});
const struct peer peer_cloud = make_peer<cloud_bus<false>>("cloud-hypervisor's shape, sync device",
							   true, { 53.2, 43.6, 50.6, 76.4, 110 });
const struct peer peer_cloud_mutex = make_peer<cloud_bus<true>>(
	"cloud-hypervisor's shape, Mutex device", true, { 69.2, 60.0, 64.2, 84.1, 135 });
const struct peer peer_vm_device = make_peer<vm_device_bus<word_rwlock, true>>(
	"vm-device's shape, RwLock, Mutex device", true, { 49.0, 39.4, 43.4, 70.6, 111 });
const struct peer peer_vm_device_bare = make_peer<vm_device_bus<no_lock, false>>(
	"vm-device's shape, no lock", false, { 27.5, 17.6, 33.5, 58.8, 93.1 });
