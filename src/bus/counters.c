/* SPDX-License-Identifier: MIT */
/* Counting: what entries call instead of their device while it is on. Nothing is shared by threads.
 */
#include "bus/internal.h"

#include <errno.h>
#include <stdlib.h>

#include "base/util.h"

#define STRIPES 8u
#define MISSES 64u

/* A thread adds to one stripe, chosen by its slot; few threads share one. */
struct stripe {
	_Alignas(64) _Atomic uint64_t reads;
	_Atomic uint64_t writes, declines, refusals;
};

struct via_bus_counters {
	struct stripe stripe[STRIPES];
};

struct missed {
	_Atomic unsigned int state; /* 0 free, 1 being taken, 2: addr is valid */
	uint64_t addr;		    /* written in state 1 */
	_Atomic uint64_t reads, writes;
};

struct via_bus_misses {
	_Atomic bool on;
	_Atomic uint64_t others;
	struct missed addr[MISSES]; /* open addressing */
};

int via_claim_counters_new(struct via_claim *claim)
{
	struct via_bus_counters *counters;

	if (atomic_load(&claim->counters))
		return 0;
	counters = aligned_alloc(64, sizeof(*counters));
	if (!counters)
		return -ENOMEM;
	memset(counters, 0, sizeof(*counters));
	atomic_store(&claim->counters, counters);
	return 0;
}

void via_claim_counters_free(struct via_claim *claim)
{
	free(atomic_load(&claim->counters));
}

static struct stripe *my_stripe(const struct via_claim *claim)
{
	struct via_bus_counters *counters =
		atomic_load_explicit(&((struct via_claim *)claim)->counters, memory_order_acquire);
	uintptr_t slot = (uintptr_t)via_epoch_self / 64;

	return counters ? &counters->stripe[(slot ^ slot / STRIPES) % STRIPES] : NULL;
}

static void count(_Atomic uint64_t *counter)
{
	(void)atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

static int note(struct via_claim *claim, bool write, int ret)
{
	struct stripe *stripe = my_stripe(claim);

	if (ret > 0)
		count(&stripe->declines);
	else if (!ret)
		count(write ? &stripe->writes : &stripe->reads);
	return ret;
}

int via_bus_counted_read(void *opaque, uint64_t offset, unsigned int size, uint64_t *ret_value)
{
	struct via_claim *claim = opaque;
	const struct via_bus_ops *ops = claim->desc.ops;
	int ret = VIA_BUS_OK;

	if (claim->desc.coalescer)
		ret = via_bus_coalesced_read(claim, offset, size, ret_value);
	else if (ops && ops->read)
		ret = ops->read(claim->desc.opaque, offset, size, ret_value);
	else
		*ret_value = UINT64_MAX;
	return note(claim, false, ret);
}

int via_bus_counted_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	struct via_claim *claim = opaque;
	const struct via_bus_ops *ops = claim->desc.ops;
	int ret = VIA_BUS_OK;

	if (claim->desc.coalescer)
		ret = via_bus_coalesced_write(claim, offset, size, value);
	else if (ops && ops->write)
		ret = ops->write(claim->desc.opaque, offset, size, value);
	return note(claim, true, ret);
}

void via_bus_count_lanes(const struct via_bus_entry *entry, int ret)
{
	if (atomic_load_explicit(&entry->write, memory_order_relaxed) == via_bus_counted_write)
		(void)note(entry->claim, true, ret);
}

void via_bus_count_refusal(const struct via_claim *claim)
{
	struct stripe *stripe = my_stripe(claim);

	if (stripe)
		count(&stripe->refusals);
}

void via_claim_get_stats(const struct via_claim *claim, struct via_claim_stats *ret_stats)
{
	const struct via_bus_counters *counters =
		atomic_load(&((struct via_claim *)claim)->counters);
	unsigned int i;

	*ret_stats = (struct via_claim_stats){0};
	for (i = 0; counters && i < STRIPES; i++) {
		const struct stripe *s = &counters->stripe[i];

		ret_stats->reads += atomic_load_explicit(&s->reads, memory_order_relaxed);
		ret_stats->writes += atomic_load_explicit(&s->writes, memory_order_relaxed);
		ret_stats->declines += atomic_load_explicit(&s->declines, memory_order_relaxed);
		ret_stats->refusals += atomic_load_explicit(&s->refusals, memory_order_relaxed);
	}
}

/* --- Addresses that nobody answers --- */

int via_bus_misses_new(struct via_bus *bus)
{
	struct via_bus_misses *misses = atomic_load(&bus->misses);

	if (misses)
		return 0;
	misses = calloc(1, sizeof(*misses));
	if (!misses)
		return -ENOMEM;
	atomic_store(&bus->misses, misses);
	return 0;
}

void via_bus_misses_switch(struct via_bus *bus, bool on)
{
	struct via_bus_misses *misses = atomic_load(&bus->misses);

	if (misses)
		atomic_store(&misses->on, on);
	atomic_store(&bus->notes_misses, on || bus->miss);
}

void via_bus_misses_free(struct via_bus *bus)
{
	free(atomic_load(&bus->misses));
}

/* The place of an address, made if need be; NULL when all are taken. */
static struct missed *place_of(struct via_bus_misses *misses, uint64_t addr)
{
	size_t i = (size_t)(addr * UINT64_C(0x9e3779b97f4a7c15) >> 58), n;

	for (n = 0; n < MISSES; n++, i = (i + 1) % MISSES) {
		struct missed *m = &misses->addr[i];
		unsigned int state = 0, spins;

		if (atomic_compare_exchange_strong(&m->state, &state, 1)) {
			m->addr = addr;
			atomic_store_explicit(&m->state, 2, memory_order_release);
			return m;
		}
		/* Being taken just now, two stores away; in a signal handler, perhaps by its own
		 * thread. */
		for (spins = 0; atomic_load_explicit(&m->state, memory_order_acquire) == 1;
		     spins++) {
			if (spins == 1000)
				return NULL;
			sched_yield();
		}
		if (m->addr == addr)
			return m;
	}
	return NULL;
}

void via_bus_count_miss(struct via_bus *bus, const struct via_bus_miss *miss)
{
	struct via_bus_misses *misses = atomic_load_explicit(&bus->misses, memory_order_acquire);
	struct missed *m;

	if (!misses || !atomic_load_explicit(&misses->on, memory_order_relaxed))
		return;
	m = place_of(misses, miss->addr);
	count(!m ? &misses->others : miss->write ? &m->writes : &m->reads);
}

static int compare_misses(const void *a, const void *b)
{
	const struct via_bus_miss_stats *x = a, *y = b;
	uint64_t nx = x->reads + x->writes, ny = y->reads + y->writes;

	if (nx != ny)
		return nx < ny ? 1 : -1;
	return (x->addr > y->addr) - (x->addr < y->addr);
}

size_t via_bus_get_misses(struct via_bus *bus, struct via_bus_miss_stats *stats, size_t n,
			  uint64_t *ret_others)
{
	struct via_bus_misses *misses = atomic_load_explicit(&bus->misses, memory_order_acquire);
	struct via_bus_miss_stats all[MISSES];
	size_t n_all = 0, i;

	for (i = 0; misses && i < MISSES; i++) {
		struct missed *m = &misses->addr[i];

		if (atomic_load_explicit(&m->state, memory_order_acquire) == 2)
			all[n_all++] = (struct via_bus_miss_stats){m->addr, atomic_load(&m->reads),
								   atomic_load(&m->writes)};
	}
	if (ret_others)
		*ret_others = misses ? atomic_load(&misses->others) : 0;
	if (n_all)
		qsort(all, n_all, sizeof(all[0]), compare_misses);
	n = via_min_u64(n, n_all);
	if (n)
		memcpy(stats, all, n * sizeof(*stats));
	return n_all;
}
