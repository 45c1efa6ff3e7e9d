/* SPDX-License-Identifier: MIT */
/* Dispatch: the translation cache, the hot path, and buffers. */
#include "bus/internal.h"

#include <errno.h>
#include <stdlib.h>

#include "base/util.h"

/* No view has generation 0, so a thread starts with a cache that never hits. */
static struct via_bus_cache no_cache;
_Thread_local struct via_bus_cache *via_bus_cache = &no_cache;
_Thread_local const struct via_bus_frame *via_bus_active;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t cache_key;
static bool cache_key_valid; /* written under `once` */

static void cache_free(void *cache)
{
	via_bus_cache = &no_cache;
	free(cache);
}

static void init_once(void)
{
	cache_key_valid = pthread_key_create(&cache_key, cache_free) == 0;
}

/* A thread without a cache is slower, not wrong: failing here is no error. */
static bool cache_attach(void)
{
	struct via_bus_cache *cache;

	(void)pthread_once(&once, init_once);
	if (!cache_key_valid)
		return false;
	cache = calloc(1, sizeof(*cache));
	if (!cache)
		return false;
	if (pthread_setspecific(cache_key, cache)) {
		free(cache);
		return false;
	}
	via_bus_cache = cache;
	return true;
}

struct via_bus_entry *via_bus_lookup_slow(struct via_bus *bus, struct via_bus_view *view,
					  uint64_t addr)
{
	struct via_bus_entry *entry;
	size_t index;

	if (!view->n_entries)
		return NULL;
	index = via_bus_search(view, addr);
	entry = &view->entries[index];
	if (addr < entry->start || addr > entry->last)
		return NULL;
	if (index >> VIA_BUS_CACHE_INDEX_BITS == 0 &&
	    (via_bus_cache != &no_cache || cache_attach()))
		atomic_store_explicit(via_bus_cache_slot(bus, view, addr),
				      view->generation << VIA_BUS_CACHE_INDEX_BITS | index,
				      memory_order_relaxed);
	return entry;
}

/*
 * Refused: a device that is already active on this thread would find itself in
 * the middle of its own access. Another thread in the same device is no concern
 * of the bus. A device is its callbacks and their opaque, however many claims.
 */
int via_bus_check_nested(const struct via_bus_frame *up, const struct via_claim *claim)
{
	const struct via_bus_frame *frame;

	if (up->depth >= VIA_BUS_DEPTH_MAX)
		return -ELOOP;
	if (claim->desc.flags & VIA_BUS_REENTRANT)
		return 0;
	for (frame = up; frame; frame = frame->up) {
		if (frame->claim->desc.ops == claim->desc.ops &&
		    frame->claim->desc.opaque == claim->desc.opaque)
			return -EBUSY;
	}
	return 0;
}

int via_bus_call_read_nested(const struct via_bus_entry *entry, uint64_t offset, unsigned int size,
			     uint64_t *ret_value)
{
	const struct via_bus_frame *up = via_bus_active;
	struct via_bus_frame frame = { up, entry->claim, up->depth + 1 };
	int ret = via_bus_check_nested(up, entry->claim);

	if (ret)
		return ret;
	via_bus_active = &frame;
	ret = atomic_load_explicit(&entry->read, memory_order_relaxed)(entry->opaque, offset, size,
								       ret_value);
	via_bus_active = up;
	return ret;
}

int via_bus_call_write_nested(const struct via_bus_entry *entry, uint64_t offset,
			      unsigned int size, uint64_t value)
{
	const struct via_bus_frame *up = via_bus_active;
	struct via_bus_frame frame = { up, entry->claim, up->depth + 1 };
	int ret = via_bus_check_nested(up, entry->claim);

	if (ret)
		return ret;
	via_bus_active = &frame;
	ret = atomic_load_explicit(&entry->write, memory_order_relaxed)(entry->opaque, offset,
									size, value);
	via_bus_active = up;
	return ret;
}

static inline uint64_t value_mask(unsigned int size)
{
	return UINT64_MAX >> (64 - 8 * size);
}

/* The access is one plain aligned callback of @entry. */
static inline bool is_direct(const struct via_bus_entry *entry, uint64_t addr, unsigned int size)
{
	return entry && size <= 8 && (entry->direct >> size & 1) &&
	       !((addr + entry->delta) & (size - 1)) && entry->last - addr >= size - 1;
}

static bool size_ok(unsigned int size)
{
	return size <= 8 && via_is_pow2(size);
}

static void access_init(struct via_bus_access *access, uint64_t addr, size_t len, bool write)
{
	*access = (struct via_bus_access){
		.addr = addr,
		/* What would lie beyond the end of the space is nobody's. */
		.len = (unsigned int)via_min_u64(len - 1, UINT64_MAX - addr) + 1,
		.write = write,
		.bytes = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff },
	};
}

/* @declined: the entry that has been asked already, or NULL */
static __attribute__((noinline)) int read_slow(struct via_bus *bus,
					       const struct via_bus_view *view,
					       const struct via_bus_entry *declined, uint64_t addr,
					       unsigned int size, uint64_t *ret_value)
{
	struct via_bus_access access;
	int ret;

	if (!size_ok(size))
		return -EINVAL;
	access_init(&access, addr, size, false);
	ret = declined ? via_bus_access_beneath(view, declined, &access) :
			 via_bus_access(bus, &access);
	if (!ret && access.len < size)
		ret = -ENXIO;
	if (ret && ret != -ENXIO)
		return ret;
	*ret_value = via_get_le64(access.bytes) & value_mask(size);
	return ret;
}

static __attribute__((noinline)) int write_slow(struct via_bus *bus,
						const struct via_bus_view *view,
						const struct via_bus_entry *declined,
						uint64_t addr, unsigned int size, uint64_t value)
{
	struct via_bus_access access;
	int ret;

	if (!size_ok(size))
		return -EINVAL;
	access_init(&access, addr, size, true);
	via_put_le64(access.bytes, value);
	ret = declined ? via_bus_access_beneath(view, declined, &access) :
			 via_bus_access(bus, &access);
	return !ret && access.len < size ? -ENXIO : ret;
}

int via_bus_read_value(struct via_bus *bus, uint64_t addr, unsigned int size, uint64_t *ret_value)
{
	const struct via_bus_entry *entry;
	struct via_bus_view *view;
	uint64_t value;
	int ret;

	via_epoch_enter();
	view = via_bus_view_get(bus);
	entry = via_bus_lookup(bus, view, addr);
	if (__builtin_expect(is_direct(entry, addr, size), 1)) {
		ret = via_bus_call_read(entry, addr + entry->delta, size, &value);
		if (__builtin_expect(ret == 0, 1))
			*ret_value = value & value_mask(size);
		else if (ret > 0)
			ret = read_slow(bus, view, entry, addr, size, ret_value);
		else if (ret == -ENXIO)
			*ret_value = value_mask(size);
	} else {
		ret = read_slow(bus, view, NULL, addr, size, ret_value);
	}
	via_epoch_exit();
	return ret;
}

int via_bus_write_value(struct via_bus *bus, uint64_t addr, unsigned int size, uint64_t value)
{
	const struct via_bus_entry *entry;
	struct via_bus_view *view;
	int ret;

	via_epoch_enter();
	view = via_bus_view_get(bus);
	entry = via_bus_lookup(bus, view, addr);
	if (__builtin_expect(is_direct(entry, addr, size), 1)) {
		ret = via_bus_call_write(entry, addr + entry->delta, size,
					 value & value_mask(size));
		if (__builtin_expect(ret > 0, 0))
			ret = write_slow(bus, view, entry, addr, size, value);
	} else {
		ret = write_slow(bus, view, NULL, addr, size, value);
	}
	via_epoch_exit();
	return ret;
}

/* The largest naturally aligned access that starts a rest of @len bytes. */
static unsigned int chunk_len(uint64_t addr, size_t len)
{
	unsigned int chunk = 8;

	while (chunk > len || (addr & (chunk - 1)))
		chunk /= 2;
	return chunk;
}

/* One of @in and @out is NULL. Each access is its own section, so a long buffer holds up nobody. */
static int transfer(struct via_bus *bus, uint64_t addr, uint8_t *in, const uint8_t *out,
		    size_t len, size_t *ret_done)
{
	bool missed = false;
	size_t pos = 0, done = 0;
	int ret = 0;

	if (len && len - 1 > UINT64_MAX - addr) {
		len = (size_t)(UINT64_MAX - addr) + 1;
		missed = true;
	}
	while (pos < len) {
		struct via_bus_access access;

		access_init(&access, addr + pos, chunk_len(addr + pos, len - pos), !in);
		if (out)
			memcpy(access.bytes, out + pos, access.len);
		via_epoch_enter();
		ret = via_bus_access(bus, &access);
		via_epoch_exit();
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
	memset(buf, 0xff, len);
	return transfer(bus, addr, buf, NULL, len, ret_done);
}

int via_bus_write(struct via_bus *bus, uint64_t addr, const void *buf, size_t len, size_t *ret_done)
{
	return transfer(bus, addr, NULL, buf, len, ret_done);
}
