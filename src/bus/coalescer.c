/* SPDX-License-Identifier: MIT */
/*
 * Writes that wait. One queue for a device, whoever writes: a place in it is
 * taken by one atomic operation, so that writes of one CPU that another has
 * learned of stand before that one's. They are made by one thread at a time.
 */
#include "bus/internal.h"

#include <errno.h>
#include <stdlib.h>

#include "base/eventfd.h"
#include "base/util.h"

#define SLOTS_MAX 65536u

struct queued {
	/* 2 n: free in round n of the queue. 2 n + 1: filled. Release by who changes it. */
	_Atomic uint64_t turn;
	struct via_claim *claim; /* the rest: who has the turn */
	uint64_t offset;
	uint64_t value;
	unsigned int size;
};

struct via_coalescer {
	size_t n_slots; /* constant */
	int notify_fd;	/* constant */
	bool nonblock;	/* constant: O_NONBLOCK of notify_fd */
	struct via_coalescer_source *_Atomic source;
	_Atomic bool told; /* notify_fd was signalled since the queue was last emptied */
	_Alignas(64) _Atomic uint64_t tail; /* the next write's place */
	_Alignas(64) pthread_mutex_t lock;  /* who makes them */
	uint64_t head;			    /* lock */
	struct queued *slot;		    /* constant */
};

int via_coalescer_new(size_t n_slots, int notify_fd, struct via_coalescer **ret_coalescer)
{
	struct via_coalescer *c;

	if (!n_slots || n_slots > SLOTS_MAX || (notify_fd >= 0 && !via_eventfd_is(notify_fd)))
		return -EINVAL;
	c = aligned_alloc(64, sizeof(*c));
	if (!c)
		return -ENOMEM;
	*c = (struct via_coalescer){.n_slots = n_slots, .notify_fd = notify_fd};
	c->slot = calloc(n_slots, sizeof(*c->slot));
	if (!c->slot) {
		free(c);
		return -ENOMEM;
	}
	(void)pthread_mutex_init(&c->lock, NULL);
	*ret_coalescer = c;
	return 0;
}

void via_coalescer_free(struct via_coalescer *coalescer)
{
	if (!coalescer)
		return;
	(void)pthread_mutex_destroy(&coalescer->lock);
	free(coalescer->slot);
	free(coalescer);
}

static bool enqueue(struct via_coalescer *c, struct via_claim *claim, uint64_t offset,
		    unsigned int size, uint64_t value)
{
	uint64_t at = atomic_load_explicit(&c->tail, memory_order_relaxed);
	struct queued *q;

	do {
		uint64_t turn;

		q = &c->slot[at % c->n_slots];
		turn = atomic_load_explicit(&q->turn, memory_order_acquire);
		if (turn != 2 * (at / c->n_slots)) {
			uint64_t now = atomic_load_explicit(&c->tail, memory_order_relaxed);

			if (now == at)
				return false;
			at = now;
			continue;
		}
		/* Before the look at whether it is told: make_all() does the reverse. */
		if (atomic_compare_exchange_weak(&c->tail, &at, at + 1))
			break;
	} while (true);
	q->claim = claim;
	q->offset = offset;
	q->value = value;
	q->size = size;
	atomic_store_explicit(&q->turn, 2 * (at / c->n_slots) + 1, memory_order_release);
	if (c->notify_fd >= 0 && !atomic_load(&c->told) && !atomic_exchange(&c->told, true))
		via_eventfd_signal(c->notify_fd, false);
	return true;
}

/* Under c->lock: up to what is queued now, but not the writes of @skip. */
static void make_all(struct via_coalescer *c, const struct via_claim *skip)
{
	uint64_t end;

	/* Before the look at what there is: a write that comes later tells anew. */
	atomic_store(&c->told, false);
	end = atomic_load(&c->tail);
	while (c->head != end) {
		struct queued *q = &c->slot[c->head % c->n_slots];
		uint64_t round = c->head / c->n_slots;
		struct queued it;

		/* Who took the place is about to fill it; what follows waits for that. */
		while (atomic_load_explicit(&q->turn, memory_order_acquire) != 2 * round + 1)
			sched_yield();
		if (q->claim != skip && !via_bus_may_call(q->claim))
			break;
		it = *q;
		c->head++;
		atomic_store_explicit(&q->turn, 2 * (round + 1), memory_order_release);
		if (it.claim != skip)
			via_bus_call_queued(it.claim, it.offset, it.size, it.value);
	}
}

static void drain(struct via_coalescer *c, const struct via_claim *skip)
{
	struct via_coalescer_source *source;

	via_epoch_enter();
	source = atomic_load_explicit(&c->source, memory_order_acquire);
	if (source)
		source->drain(source);
	/*
	 * A callback does not wait for another one: that may be waiting for the
	 * callback's own device. Whoever is at it makes what is queued.
	 */
	if (!via_bus_active())
		(void)pthread_mutex_lock(&c->lock);
	if (!via_bus_active() || pthread_mutex_trylock(&c->lock) == 0) {
		make_all(c, skip);
		(void)pthread_mutex_unlock(&c->lock);
	}
	via_epoch_exit();
}

void via_coalescer_drain(struct via_coalescer *coalescer)
{
	drain(coalescer, NULL);
}

void via_coalescer_forget(struct via_claim *claim)
{
	drain(claim->desc.coalescer, claim->desc.flags & VIA_BUS_DISCARD ? claim : NULL);
}

void via_coalescer_set_source(struct via_coalescer *coalescer, struct via_coalescer_source *source)
{
	atomic_store_explicit(&coalescer->source, source, memory_order_release);
}

bool via_coalescer_tells(const struct via_coalescer *coalescer)
{
	return coalescer->notify_fd >= 0;
}

/* What is queued comes before the access that is being made, whose device is not active yet. */
void via_coalescer_drain_before(const struct via_claim *claim)
{
	const struct via_bus_frame *active = via_bus_active();

	via_bus_set_active(active->up);
	drain(claim->desc.coalescer, NULL);
	via_bus_set_active(active);
}

int via_bus_coalesced_read(void *opaque, uint64_t offset, unsigned int size, uint64_t *ret_value)
{
	struct via_claim *claim = opaque;
	const struct via_bus_ops *ops = claim->desc.ops;

	via_coalescer_drain_before(claim);
	if (ops && ops->read)
		return ops->read(claim->desc.opaque, offset, size, ret_value);
	*ret_value = UINT64_MAX;
	return VIA_BUS_OK;
}

int via_bus_coalesced_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	struct via_claim *claim = opaque;
	const struct via_bus_ops *ops = claim->desc.ops;

	if (claim->desc.flags & VIA_BUS_COALESCE &&
	    enqueue(claim->desc.coalescer, claim, offset, size, value))
		return VIA_BUS_OK;
	via_coalescer_drain_before(claim);
	return ops && ops->write ? ops->write(claim->desc.opaque, offset, size, value) : VIA_BUS_OK;
}
