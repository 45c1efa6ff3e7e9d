/* SPDX-License-Identifier: MIT */
/* Dispatch of one access: the plain case at once, all others by access.c. */
#include "bus/internal.h"

#include <errno.h>

#include "base/util.h"

_Thread_local const struct via_bus_frame *via_bus_active_slotless
	__attribute__((tls_model("initial-exec")));

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
	int ret = 0;

	for (frame = up; frame && !ret; frame = frame->up) {
		if (!again_ok && frame->claim->desc.ops == claim->desc.ops &&
		    frame->claim->desc.opaque == claim->desc.opaque)
			ret = -EBUSY;
		depth++;
	}
	return !ret && depth >= VIA_BUS_DEPTH_MAX ? -ELOOP : ret;
}

/* The same for an access, which is refused for good. */
static int check_call(const struct via_bus_frame *up, const struct via_claim *claim)
{
	int ret = up ? check_nested(up, claim) : 0;

	if (ret)
		via_bus_count_refusal(claim);
	return ret;
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
	struct via_bus_frame frame = {via_bus_active(), entry->claim};
	int ret = check_call(frame.up, entry->claim);

	if (ret)
		return ret;
	via_bus_set_active(&frame);
	ret = do_read(entry, offset, size, ret_value);
	via_bus_set_active(frame.up);
	return ret;
}

int via_bus_call_write(const struct via_bus_entry *entry, uint64_t offset, unsigned int size,
		       uint64_t value)
{
	struct via_bus_frame frame = {via_bus_active(), entry->claim};
	int ret = check_call(frame.up, entry->claim);

	if (ret)
		return ret;
	via_bus_set_active(&frame);
	ret = do_write(entry, offset, size, value);
	via_bus_set_active(frame.up);
	return ret;
}

int via_bus_call_lanes(const struct via_bus_entry *entry, uint64_t offset, unsigned int size,
		       uint64_t value, unsigned int lanes)
{
	const struct via_claim_desc *desc = &entry->claim->desc;
	struct via_bus_frame frame = {via_bus_active(), entry->claim};
	int ret = check_call(frame.up, entry->claim);

	if (ret)
		return ret;
	via_bus_set_active(&frame);
	if (desc->coalescer)
		via_coalescer_drain_before(entry->claim);
	ret = desc->ops->write_lanes(desc->opaque, offset, size, value, lanes);
	via_bus_count_lanes(entry, ret);
	via_bus_set_active(frame.up);
	return ret;
}

bool via_bus_may_call(const struct via_claim *claim)
{
	return !check_nested(via_bus_active(), claim);
}

void via_bus_call_queued(const struct via_claim *claim, uint64_t offset, unsigned int size,
			 uint64_t value)
{
	const struct via_claim_desc *desc = &claim->desc;
	struct via_bus_frame frame = {via_bus_active(), claim};

	if (!desc->ops || !desc->ops->write)
		return;
	via_bus_set_active(&frame);
	/* Whoever wrote it has gone on: there is nobody to tell. */
	(void)desc->ops->write(desc->opaque, offset, size, value);
	via_bus_set_active(frame.up);
}

/* By the size of an access; a load costs less than the shifts. */
static const uint64_t value_masks[9] = {
	[1] = UINT8_MAX, [2] = UINT16_MAX, [4] = UINT32_MAX, [8] = UINT64_MAX};

static inline uint64_t value_mask(unsigned int size)
{
	return value_masks[size];
}

/* The access is one plain aligned callback of @entry, with @direct its widths of that kind. */
static inline bool is_direct(const struct via_bus_entry *entry, unsigned int direct, uint64_t addr,
			     unsigned int size)
{
	return size <= 8 && (direct >> size & 1) && !((addr + entry->delta) & (size - 1));
}

static bool size_ok(unsigned int size)
{
	return size <= 8 && via_is_pow2(size);
}

static int access_init(struct via_bus_access *access, const struct via_bus *bus, uint64_t addr,
		       unsigned int size, bool write)
{
	if (!size_ok(size))
		return -EINVAL;
	if (bus->last != UINT64_MAX && (addr > bus->last || size - 1 > bus->last - addr))
		return -EINVAL;
	*access = (struct via_bus_access){
		.addr = addr,
		/* What would lie beyond the end of all spaces is nobody's. */
		.len = (unsigned int)via_min_u64(size - 1, UINT64_MAX - addr) + 1,
		.write = write,
		.cut = size - 1 > UINT64_MAX - addr,
	};
	if (!bus->zeros)
		memset(access->bytes, 0xff, sizeof(access->bytes));
	return 0;
}

/*
 * One access of a caller, on its way: what only a refusal needs is kept on the
 * stack, not in registers that would have to be saved.
 */
struct request {
	struct via_bus_frame frame; /* its claim has been asked */
	struct via_bus *bus;
	uint64_t addr;
	uint64_t value;
	uint64_t *ret_value;
	unsigned int size;
};

/* @asked: a claim that holds all of the access and has declined it with @answer, or NULL. */
static int do_access(const struct request *r, const struct via_claim *asked, int answer,
		     struct via_bus_access *access)
{
	int ret = asked ? via_bus_access_beneath(r->bus, asked, answer, access)
			: via_bus_access(r->bus, access);

	return !ret && access->len < r->size ? -ENXIO : ret;
}

static __attribute__((noinline)) int read_slow(const struct request *r,
					       const struct via_claim *asked, int answer)
{
	struct via_bus_access access;
	int ret = access_init(&access, r->bus, r->addr, r->size, false);

	if (ret)
		return ret;
	ret = do_access(r, asked, answer, &access);
	if (ret && ret != -ENXIO)
		return ret;
	*r->ret_value = via_get_le64(access.bytes) & value_mask(r->size);
	return ret;
}

static __attribute__((noinline)) int write_slow(const struct request *r,
						const struct via_claim *asked, int answer)
{
	struct via_bus_access access;
	int ret = access_init(&access, r->bus, r->addr, r->size, true);

	if (ret)
		return ret;
	via_put_le64(access.bytes, r->value);
	return do_access(r, asked, answer, &access);
}

/* A callback's answer that is none: declined, nobody after all, or an error. */
static __attribute__((noinline)) int read_refused(const struct request *r, int ret)
{
	if (ret > 0)
		return read_slow(r, r->frame.claim, ret);
	if (ret == -ENXIO) {
		*r->ret_value = r->bus->zeros ? 0 : value_mask(r->size);
		via_bus_note_miss(r->bus, r->addr, r->size, false, 0);
	}
	return ret;
}

static __attribute__((noinline)) int write_refused(const struct request *r, int ret)
{
	if (ret > 0)
		return write_slow(r, r->frame.claim, ret);
	if (ret == -ENXIO)
		via_bus_note_miss(r->bus, r->addr, r->size, true, r->value & value_mask(r->size));
	return ret;
}

/* Nothing of the upper level begins inside the access, which has no claim there at its start. */
static bool shows_below(const struct via_bus_map *map, uint64_t addr, unsigned int size)
{
	struct via_bus_cursor at = via_bus_map_seek(map, addr);
	const struct via_bus_entry *entry = via_bus_cursor_entry(&at);

	return !entry || entry->start - addr >= size;
}

/* The visible piece at @addr, wherever it is. */
static const struct via_bus_entry *look_up(struct via_bus *bus, uint64_t addr, unsigned int size)
{
	struct via_bus_view *view = via_bus_view_get(bus);
	const struct via_bus_entry *entry = via_bus_map_find(&view->map, addr);

	if (!entry && bus->below && !view->events && shows_below(&view->map, addr, size))
		entry = via_bus_map_find(&via_bus_view_get(bus->below)->map, addr);
	return entry;
}

/* Any access in a section; what is plain about it still takes no more than the callback. */
int via_bus_read_entered(struct via_bus *bus, uint64_t addr, unsigned int size, uint64_t *ret_value)
{
	const struct via_bus_entry *entry = look_up(bus, addr, size);
	struct request r = {.bus = bus, .addr = addr, .size = size, .ret_value = ret_value};
	int ret;

	if (!entry || !is_direct(entry, entry->direct_read, addr, size))
		return read_slow(&r, NULL, 0);
	r.frame.claim = entry->claim;
	ret = via_bus_call_read(entry, addr + entry->delta, size, &r.value);
	if (ret)
		return read_refused(&r, ret);
	*ret_value = r.value & value_mask(size);
	return 0;
}

int via_bus_write_entered(struct via_bus *bus, uint64_t addr, unsigned int size, uint64_t value)
{
	const struct via_bus_entry *entry = look_up(bus, addr, size);
	struct request r = {.bus = bus, .addr = addr, .size = size, .value = value};
	int ret;

	if (!entry || !is_direct(entry, entry->direct_write, addr, size))
		return write_slow(&r, NULL, 0);
	r.frame.claim = entry->claim;
	ret = via_bus_call_write(entry, addr + entry->delta, size, value & value_mask(size));
	return ret ? write_refused(&r, ret) : 0;
}

static __attribute__((noinline)) int read_general(struct via_bus *bus, uint64_t addr,
						  unsigned int size, uint64_t *ret_value)
{
	int ret;

	via_epoch_enter();
	ret = via_bus_read_entered(bus, addr, size, ret_value);
	via_epoch_exit();
	return ret;
}

static __attribute__((noinline)) int write_general(struct via_bus *bus, uint64_t addr,
						   unsigned int size, uint64_t value)
{
	int ret;

	via_epoch_enter();
	ret = via_bus_write_entered(bus, addr, size, value);
	via_epoch_exit();
	return ret;
}

/* --- The plain case ---
 * A thread outside of every section, and one aligned callback of a piece that
 * the windows name: no callback is active, so there is nothing to check and
 * nothing to restore. No call stands before that of the device, but for those
 * that take over, so nothing has to be saved for after one; the slot is looked up
 * anew.
 */

static inline bool is_outermost(const struct via_epoch_slot *slot)
{
	return slot && !atomic_load_explicit(&slot->word, memory_order_relaxed);
}

/* What a section's end may have to do, kept out of the plain case. */
static __attribute__((noinline)) int left(int ret)
{
	via_epoch_left();
	return ret;
}

static inline int leave(int ret)
{
	struct via_epoch_slot *slot = via_epoch_self;

	slot->active = NULL;
	atomic_store_explicit(&slot->word, 0, memory_order_release);
	atomic_signal_fence(memory_order_seq_cst);
	return __builtin_expect(via_epoch_attention() != 0, 0) ? left(ret) : ret;
}

#define PLAIN __attribute__((always_inline))

/* In the section that the caller has begun, which ends here. */
static inline PLAIN int read_plain(struct request *r, struct via_epoch_slot *slot,
				   const struct via_bus_entry *entry, uint64_t addr,
				   unsigned int size)
{
	uint64_t offset = addr + entry->delta;
	int ret;

	r->frame.up = NULL;
	r->frame.claim = entry->claim;
	slot->active = &r->frame;
	ret = do_read(entry, offset, size, &r->value);
	if (__builtin_expect(ret != 0, 0)) {
		/* It has returned: who is asked next may be the same device. */
		via_bus_set_active(NULL);
		return leave(read_refused(r, ret));
	}
	*r->ret_value = r->value & value_mask(r->size);
	return leave(0);
}

static inline PLAIN int write_plain(struct request *r, struct via_epoch_slot *slot,
				    const struct via_bus_entry *entry, uint64_t addr,
				    unsigned int size, uint64_t value)
{
	uint64_t offset = addr + entry->delta;
	int ret;

	r->frame.up = NULL;
	r->frame.claim = entry->claim;
	slot->active = &r->frame;
	ret = do_write(entry, offset, size, value & value_mask(size));
	if (__builtin_expect(ret != 0, 0)) {
		via_bus_set_active(NULL);
		return leave(write_refused(r, ret));
	}
	return leave(0);
}

/* Nobody is there, for certain, and it is no access that would be an error. */
static inline bool is_nobody(const struct via_bus *bus, const struct via_bus_view *view,
			     uint64_t addr, unsigned int size)
{
	if (!size_ok(size) || addr > bus->last || size - 1 > bus->last - addr)
		return false;
	return !view->events && via_bus_map_is_gap(&view->map, addr, size);
}

/*
 * In the section that the caller has begun, which ends here: @entry of @view is what is at @addr
 * by the windows, or NULL; above @view nothing has a byte of the access.
 */
static inline PLAIN int read_found(struct via_bus *bus, const struct via_bus_view *view,
				   const struct via_bus_entry *entry, uint64_t addr,
				   unsigned int size, uint64_t *ret_value)
{
	struct via_epoch_slot *slot = via_epoch_self;
	struct request r;

	r.bus = bus;
	r.addr = addr;
	r.size = size;
	r.ret_value = ret_value;
	if (entry && is_direct(entry, entry->direct_read, addr, size))
		return read_plain(&r, slot, entry, addr, size);
	if (!entry && view && is_nobody(bus, view, addr, size))
		return leave(read_refused(&r, -ENXIO));
	atomic_store_explicit(&slot->word, 0, memory_order_release);
	return read_general(bus, addr, size, ret_value);
}

static inline PLAIN int write_found(struct via_bus *bus, const struct via_bus_view *view,
				    const struct via_bus_entry *entry, uint64_t addr,
				    unsigned int size, uint64_t value)
{
	struct via_epoch_slot *slot = via_epoch_self;
	struct request r;

	r.bus = bus;
	r.addr = addr;
	r.size = size;
	r.value = value;
	/* Reads do not look at ioeventfds: what is plain for them is plain but for those. */
	if (entry && is_direct(entry, entry->direct_read, addr, size)) {
		if (entry->flags & VIA_BUS_HAS_EVENTS &&
		    via_bus_events_write(view->events, addr, size, value))
			return leave(0);
		return write_plain(&r, slot, entry, addr, size, value);
	}
	if (!entry && view && is_nobody(bus, view, addr, size))
		return leave(write_refused(&r, -ENXIO));
	atomic_store_explicit(&slot->word, 0, memory_order_release);
	return write_general(bus, addr, size, value);
}

/* What is not plain at the first look, on a bus that stands alone. */
static __attribute__((noinline)) int read_second(struct via_bus *bus, uint64_t addr,
						 unsigned int size, uint64_t *ret_value)
{
	const struct via_bus_view *view = via_bus_view_get(bus);

	return read_found(bus, view, via_bus_map_guess(&view->map, addr), addr, size, ret_value);
}

static __attribute__((noinline)) int write_second(struct via_bus *bus, uint64_t addr,
						  unsigned int size, uint64_t value)
{
	const struct via_bus_view *view = via_bus_view_get(bus);

	return write_found(bus, view, via_bus_map_guess(&view->map, addr), addr, size, value);
}

/* --- A bus above another: a vCPU's ---
 * Most of them have no claim, or one. @ret_view: whose entry it is, or would be; NULL: it takes
 * more than a look.
 */
static inline PLAIN const struct via_bus_entry *guess_above(struct via_bus *bus, uint64_t addr,
							    unsigned int size,
							    const struct via_bus_view **ret_view)
{
	const struct via_bus_view *view = via_bus_view_get(bus);
	const struct via_bus_entry *entry;

	*ret_view = view;
	if (view->map.n_chunks == 1 && view->map.first->n == 1) {
		entry = &view->map.first->entry[0];
		if (via_bus_entry_has(entry, addr))
			return entry;
		if (addr < entry->start && entry->start - addr < size)
			*ret_view = NULL;
	} else if (view->map.n_chunks) {
		entry = via_bus_map_guess(&view->map, addr);
		if (entry)
			return entry;
		if (!via_bus_map_is_gap(&view->map, addr, size))
			*ret_view = NULL;
	}
	if (view->events)
		*ret_view = NULL;
	if (!*ret_view)
		return NULL;
	view = via_bus_view_get(bus->below);
	*ret_view = view;
	return via_bus_map_guess(&view->map, addr);
}

static __attribute__((noinline)) int read_above(struct via_bus *bus, uint64_t addr,
						unsigned int size, uint64_t *ret_value)
{
	struct via_epoch_slot *slot = via_epoch_self;
	const struct via_bus_view *view;
	const struct via_bus_entry *entry;

	if (!is_outermost(slot))
		return read_general(bus, addr, size, ret_value);
	via_epoch_begin(slot);
	entry = guess_above(bus, addr, size, &view);
	return read_found(bus, view, entry, addr, size, ret_value);
}

static __attribute__((noinline)) int write_above(struct via_bus *bus, uint64_t addr,
						 unsigned int size, uint64_t value)
{
	struct via_epoch_slot *slot = via_epoch_self;
	const struct via_bus_view *view;
	const struct via_bus_entry *entry;

	if (!is_outermost(slot))
		return write_general(bus, addr, size, value);
	via_epoch_begin(slot);
	entry = guess_above(bus, addr, size, &view);
	return write_found(bus, view, entry, addr, size, value);
}

int via_bus_read_value(struct via_bus *bus, uint64_t addr, unsigned int size, uint64_t *ret_value)
{
	struct via_epoch_slot *slot = via_epoch_self;
	const struct via_bus_entry *entry;
	struct request r;

	if (bus->below)
		return read_above(bus, addr, size, ret_value);
	if (__builtin_expect(!is_outermost(slot), 0))
		return read_general(bus, addr, size, ret_value);
	via_epoch_begin(slot);
	entry = via_bus_map_guess(&via_bus_view_get(bus)->map, addr);
	if (__builtin_expect(!entry || !is_direct(entry, entry->direct_read, addr, size), 0))
		return read_second(bus, addr, size, ret_value);
	r.bus = bus;
	r.addr = addr;
	r.size = size;
	r.ret_value = ret_value;
	return read_plain(&r, slot, entry, addr, size);
}

int via_bus_write_value(struct via_bus *bus, uint64_t addr, unsigned int size, uint64_t value)
{
	struct via_epoch_slot *slot = via_epoch_self;
	const struct via_bus_entry *entry;
	struct request r;

	if (bus->below)
		return write_above(bus, addr, size, value);
	if (__builtin_expect(!is_outermost(slot), 0))
		return write_general(bus, addr, size, value);
	via_epoch_begin(slot);
	entry = via_bus_map_guess(&via_bus_view_get(bus)->map, addr);
	if (__builtin_expect(!entry || !is_direct(entry, entry->direct_write, addr, size), 0))
		return write_second(bus, addr, size, value);
	r.bus = bus;
	r.addr = addr;
	r.size = size;
	r.value = value;
	return write_plain(&r, slot, entry, addr, size, value);
}
