/* SPDX-License-Identifier: MIT */
#include "bus/events.h"

#include <errno.h>
#include <stdlib.h>

#include "base/eventfd.h"
#include "base/util.h"
#include "bus/internal.h"

/* What a table holds: the address, what it takes, and which data. */
static size_t hash(uint64_t addr, unsigned int len, bool match, uint64_t data)
{
	uint64_t h = addr * UINT64_C(0x9e3779b97f4a7c15) ^ (uint64_t)(len * 2 + match) << 59;

	h = (h ^ h >> 32 ^ data) * UINT64_C(0xd6e8feb86659fd93);
	return (size_t)(h ^ h >> 32);
}

static struct via_bus_event *find(const struct via_bus_events *events, uint64_t addr,
				  unsigned int len, bool match, uint64_t data)
{
	size_t i = hash(addr, len, match, data) & events->mask;

	for (; events->slot[i]; i = (i + 1) & events->mask) {
		struct via_bus_event *e = events->slot[i];

		if (e->addr == addr && e->data == data && e->len == len && e->match == match)
			return e;
	}
	return NULL;
}

bool via_bus_events_write(const struct via_bus_events *events, uint64_t addr, unsigned int len,
			  uint64_t value)
{
	struct via_bus_event *e = NULL;
	int fd;

	if (events->has_match)
		e = find(events, addr, len, true,
			 len < 8 ? value & ((UINT64_C(1) << 8 * len) - 1) : value);
	if (!e && events->has_wild)
		e = find(events, addr, len, false, 0);
	if (!e && events->has_any)
		e = find(events, addr, 0, false, 0);
	if (!e)
		return false;
	fd = atomic_load_explicit(&e->fd, memory_order_acquire);
	if (fd < 0)
		return false;
	via_eventfd_signal(fd, e->nonblock);
	return true;
}

int via_bus_event_check(const struct via_bus_ioeventfd *desc, uint64_t addr, uint64_t last)
{
	if (desc->len > 8 || (desc->len && !via_is_pow2(desc->len)))
		return -EINVAL;
	if (desc->match && !desc->len)
		return -EINVAL;
	if (addr > last || (desc->len && desc->len - 1u > last - addr))
		return -EINVAL;
	return via_eventfd_is(desc->fd) ? 0 : -EBADF;
}

static int compare(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

int via_bus_event_compare(const struct via_bus_event *a, const struct via_bus_event *b)
{
	int c = compare(a->addr, b->addr);

	c = c ? c : compare(a->len, b->len);
	c = c ? c : compare(a->match, b->match);
	return c ? c : compare(a->data, b->data);
}

/*
 * Neighbours in order: one that takes any length excludes all others at its
 * address and comes first, one that takes any data all others of its length.
 */
static bool excludes(const struct via_bus_event *a, const struct via_bus_event *b)
{
	if (a->addr != b->addr)
		return false;
	if (!a->len)
		return true;
	return a->len == b->len && (!a->match || a->data == b->data);
}

static void insert(struct via_bus_events *events, struct via_bus_event *e)
{
	size_t i = hash(e->addr, e->len, e->match, e->data) & events->mask;

	while (events->slot[i])
		i = (i + 1) & events->mask;
	events->slot[i] = e;
	events->has_any |= !e->len;
	events->has_wild |= e->len && !e->match;
	events->has_match |= e->match;
}

int via_bus_events_new(struct via_claim *const *claims, size_t n,
		       struct via_bus_events **ret_events)
{
	struct via_bus_events *events;
	size_t room = 8, i;

	for (i = 1; i < n; i++) {
		if (excludes(claims[i - 1]->event, claims[i]->event))
			return -EEXIST;
	}
	while (room < 2 * n)
		room *= 2;
	events = calloc(1, sizeof(*events) + room * sizeof(events->slot[0]));
	if (!events)
		return -ENOMEM;
	events->mask = room - 1;
	for (i = 0; i < n; i++)
		insert(events, claims[i]->event);
	*ret_events = events;
	return 0;
}

void via_bus_events_free(struct via_bus_events *events)
{
	struct via_bus_event *e, *next;

	if (!events)
		return;
	for (e = events->garbage; e; e = next) {
		next = e->next;
		free(e);
	}
	free(events);
}

bool via_bus_events_touch(struct via_claim *const *claims, size_t n, uint64_t first, uint64_t last)
{
	size_t low = 0, high = n;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (claims[mid]->event->addr < first)
			low = mid + 1;
		else
			high = mid;
	}
	return low < n && claims[low]->event->addr <= last;
}
