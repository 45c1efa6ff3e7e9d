/* SPDX-License-Identifier: MIT */
/* Dispatch: the translation cache, the hot path, and buffers. */
#include "bus/internal.h"

#include <errno.h>
#include <stdlib.h>

#include "base/util.h"

/* No view has generation 0, so a thread starts with a cache that never hits. */
static struct via_bus_cache no_cache;
_Thread_local struct via_bus_cache *via_bus_cache
	__attribute__((tls_model("initial-exec"))) = &no_cache;
_Thread_local const struct via_bus_frame *via_bus_active
	__attribute__((tls_model("initial-exec")));

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
static int check_nested(const struct via_bus_frame *up, const struct via_claim *claim)
{
	bool again_ok = claim->desc.flags & VIA_BUS_REENTRANT;
	const struct via_bus_frame *frame;
	unsigned int depth = 0;

	for (frame = up; frame; frame = frame->up) {
		if (!again_ok && frame->claim->desc.ops == claim->desc.ops &&
		    frame->claim->desc.opaque == claim->desc.opaque)
			return -EBUSY;
		depth++;
	}
	return depth < VIA_BUS_DEPTH_MAX ? 0 : -ELOOP;
}

static inline int do_read(const struct via_bus_entry *entry, uint64_t offset, unsigned int size,
			  uint64_t *ret_value)
{
	return atomic_load_explicit(&entry->read, memory_order_relaxed)(entry->opaque, offset, size,
									ret_value);
}

static inline int do_write(const struct via_bus_entry *entry, uint64_t offset, unsigned int size,
			   uint64_t value)
{
	return atomic_load_explicit(&entry->write, memory_order_relaxed)(entry->opaque, offset,
									 size, value);
}

int via_bus_call_read(const struct via_bus_entry *entry, uint64_t offset, unsigned int size,
		      uint64_t *ret_value)
{
	struct via_bus_frame frame = { via_bus_active, entry->claim };
	int ret = check_nested(frame.up, entry->claim);

	if (ret)
		return ret;
	via_bus_active = &frame;
	ret = do_read(entry, offset, size, ret_value);
	via_bus_active = frame.up;
	return ret;
}

int via_bus_call_write(const struct via_bus_entry *entry, uint64_t offset, unsigned int size,
		       uint64_t value)
{
	struct via_bus_frame frame = { via_bus_active, entry->claim };
	int ret = check_nested(frame.up, entry->claim);

	if (ret)
		return ret;
	via_bus_active = &frame;
	ret = do_write(entry, offset, size, value);
	via_bus_active = frame.up;
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
	       !((addr + entry->delta) & (size - 1));
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

/* One access of a caller, on its way. */
struct request {
	struct via_bus_frame frame;
	struct via_bus *bus;
	const struct via_bus_view *view;
	const struct via_bus_entry *declined; /* has been asked already, or NULL */
	uint64_t addr;
	uint64_t value;
	uint64_t *ret_value;
	unsigned int size;
};

static __attribute__((noinline)) int read_slow(const struct request *r)
{
	struct via_bus_access access;
	int ret;

	if (!size_ok(r->size))
		return -EINVAL;
	access_init(&access, r->addr, r->size, false);
	ret = r->declined ? via_bus_access_beneath(r->view, r->declined, &access) :
			    via_bus_access(r->bus, &access);
	if (!ret && access.len < r->size)
		ret = -ENXIO;
	if (ret && ret != -ENXIO)
		return ret;
	*r->ret_value = via_get_le64(access.bytes) & value_mask(r->size);
	return ret;
}

static __attribute__((noinline)) int write_slow(const struct request *r)
{
	struct via_bus_access access;
	int ret;

	if (!size_ok(r->size))
		return -EINVAL;
	access_init(&access, r->addr, r->size, true);
	via_put_le64(access.bytes, r->value);
	ret = r->declined ? via_bus_access_beneath(r->view, r->declined, &access) :
			    via_bus_access(r->bus, &access);
	return !ret && access.len < r->size ? -ENXIO : ret;
}

/*
 * The plain case inside a section. With @outermost no callback is active on
 * this thread, so there is nothing to check, and nothing to restore that would
 * chain one access to the next. What only a refusal needs goes to the stack,
 * not into registers that would have to be saved.
 */
static inline __attribute__((always_inline)) int read_inside(struct request *r, struct via_bus *bus,
							     uint64_t addr, unsigned int size,
							     uint64_t *ret_value, bool outermost)
{
	struct via_bus_view *view = via_bus_view_get(bus);
	const struct via_bus_entry *entry = via_bus_lookup(bus, view, addr);
	int ret;

	r->bus = bus;
	r->view = view;
	r->addr = addr;
	r->size = size;
	r->ret_value = ret_value;
	r->declined = NULL;
	if (__builtin_expect(!is_direct(entry, addr, size), 0))
		return read_slow(r);
	r->declined = entry;
	if (outermost) {
		r->frame.up = NULL;
		r->frame.claim = entry->claim;
		via_bus_active = &r->frame;
		ret = do_read(entry, addr + entry->delta, size, &r->value);
		via_bus_active = NULL;
	} else {
		ret = via_bus_call_read(entry, addr + entry->delta, size, &r->value);
	}
	if (__builtin_expect(ret == 0, 1))
		*r->ret_value = r->value & value_mask(r->size);
	else if (ret > 0)
		ret = read_slow(r);
	else if (ret == -ENXIO)
		*r->ret_value = value_mask(r->size);
	return ret;
}

static inline __attribute__((always_inline)) int write_inside(struct request *r,
							      struct via_bus *bus, uint64_t addr,
							      unsigned int size, uint64_t value,
							      bool outermost)
{
	struct via_bus_view *view = via_bus_view_get(bus);
	const struct via_bus_entry *entry = via_bus_lookup(bus, view, addr);
	int ret;

	r->bus = bus;
	r->view = view;
	r->addr = addr;
	r->size = size;
	r->value = value;
	r->declined = NULL;
	if (__builtin_expect(!is_direct(entry, addr, size), 0))
		return write_slow(r);
	r->declined = entry;
	value &= value_mask(size);
	if (outermost) {
		r->frame.up = NULL;
		r->frame.claim = entry->claim;
		via_bus_active = &r->frame;
		ret = do_write(entry, addr + entry->delta, size, value);
		via_bus_active = NULL;
	} else {
		ret = via_bus_call_write(entry, addr + entry->delta, size, value);
	}
	return __builtin_expect(ret > 0, 0) ? write_slow(r) : ret;
}

/* A thread inside a section already, or one without a slot. */
static __attribute__((noinline)) int read_nested(struct via_bus *bus, uint64_t addr,
						 unsigned int size, uint64_t *ret_value)
{
	struct request r;
	int ret;

	via_epoch_enter();
	ret = read_inside(&r, bus, addr, size, ret_value, false);
	via_epoch_exit();
	return ret;
}

static __attribute__((noinline)) int write_nested(struct via_bus *bus, uint64_t addr,
						  unsigned int size, uint64_t value)
{
	struct request r;
	int ret;

	via_epoch_enter();
	ret = write_inside(&r, bus, addr, size, value, false);
	via_epoch_exit();
	return ret;
}

static inline bool is_outermost(const struct via_epoch_slot *slot)
{
	return slot && !atomic_load_explicit(&slot->word, memory_order_relaxed);
}

int via_bus_read_value(struct via_bus *bus, uint64_t addr, unsigned int size, uint64_t *ret_value)
{
	struct via_epoch_slot *slot = via_epoch_self;
	struct request r;
	int ret;

	if (__builtin_expect(!is_outermost(slot), 0))
		return read_nested(bus, addr, size, ret_value);
	via_epoch_begin(slot);
	ret = read_inside(&r, bus, addr, size, ret_value, true);
	via_epoch_end(slot);
	return ret;
}

int via_bus_write_value(struct via_bus *bus, uint64_t addr, unsigned int size, uint64_t value)
{
	struct via_epoch_slot *slot = via_epoch_self;
	struct request r;
	int ret;

	if (__builtin_expect(!is_outermost(slot), 0))
		return write_nested(bus, addr, size, value);
	via_epoch_begin(slot);
	ret = write_inside(&r, bus, addr, size, value, true);
	via_epoch_end(slot);
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
