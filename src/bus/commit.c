/* SPDX-License-Identifier: MIT */
/* Transactions: from changes to a view that is published, or to nothing at all. */
#include "bus/view.h"

#include <errno.h>
#include <stdlib.h>

#include "base/util.h"

/* Where a claim of @bus that no other change concerns is, and that it may go. */
static int item_of(struct via_bus_item *item, struct via_bus *bus, struct via_claim *claim)
{
	if (!claim || claim->bus != bus || claim->changing)
		return -EINVAL;
	claim->changing = true;
	*item = (struct via_bus_item){
		.claim = claim,
		.leaves = via_claim_is_enabled(claim),
		.start = claim->desc.start,
		.last = claim->desc.last,
		.new_start = claim->desc.start,
		.new_last = claim->desc.last,
	};
	return 0;
}

static int prepare_add(struct via_bus_commit *c, struct via_bus_item *item,
		       const struct via_claim_desc *desc)
{
	struct via_claim *claim;
	int ret = via_claim_new(c->bus, desc, &claim);

	if (ret)
		return ret;
	claim->changing = true;
	*item = (struct via_bus_item){
		.claim = claim,
		.enters = via_claim_is_enabled(claim),
		.new_start = claim->desc.start,
		.new_last = claim->desc.last,
	};
	c->n_items++;
	if (c->bus->counting)
		ret = via_claim_counters_new(claim);
	return ret;
}

static int prepare_place(struct via_bus_item *item, const struct via_bus_change *change)
{
	const struct via_claim *claim = item->claim;
	uint64_t len = claim->desc.last - claim->desc.start, last = claim->bus->last;

	if (change->kind == VIA_BUS_RESIZE) {
		if (claim->desc.ioeventfd || change->last < change->start)
			return -EINVAL;
		len = change->last - change->start;
		if (len > UINT64_MAX - claim->desc.offset)
			return -EINVAL;
	}
	if (change->start > last || len > last - change->start)
		return -EINVAL;
	item->enters = item->leaves;
	item->new_start = change->start;
	item->new_last = change->start + len;
	return 0;
}

static int prepare_one(struct via_bus_commit *c, struct via_bus_change *change)
{
	struct via_bus_item *item = &c->items[c->n_items];
	int ret;

	if (change->kind == VIA_BUS_ADD) {
		ret = prepare_add(c, item, &change->desc);
		item->change = change;
		return ret;
	}
	ret = item_of(item, c->bus, change->claim);
	if (ret)
		return ret;
	c->n_items++;
	item->change = change;
	switch (change->kind) {
	case VIA_BUS_REMOVE:
		return 0;
	case VIA_BUS_MOVE:
	case VIA_BUS_RESIZE:
		return prepare_place(item, change);
	case VIA_BUS_ENABLE:
		item->enters = true;
		return 0;
	case VIA_BUS_DISABLE:
		return 0;
	default:
		return -EINVAL;
	}
}

static int compare_events(const void *a, const void *b)
{
	const struct via_bus_item *x = *(const struct via_bus_item *const *)a;
	const struct via_bus_item *y = *(const struct via_bus_item *const *)b;

	return via_bus_event_compare(x->event, y->event);
}

/* The new bus->events: those that stay, merged with those that come. */
static int prepare_events(struct via_bus_commit *c)
{
	struct via_bus *bus = c->bus;
	struct via_bus_item **fresh = malloc((c->n_items + 1) * sizeof(*fresh));
	size_t n_fresh = 0, i, k = 0, n = 0;
	struct via_claim **to;

	if (!fresh)
		return -ENOMEM;
	for (i = 0; i < c->n_items; i++) {
		struct via_bus_item *item = &c->items[i];

		if (!item->claim->desc.ioeventfd || !item->enters)
			continue;
		item->event = via_claim_event_new(item->claim, item->new_start);
		if (!item->event) {
			free(fresh);
			return -ENOMEM;
		}
		fresh[n_fresh++] = item;
	}
	to = malloc((bus->n_events + n_fresh + 1) * sizeof(struct via_claim *));
	if (!to) {
		free(fresh);
		return -ENOMEM;
	}
	qsort(fresh, n_fresh, sizeof(*fresh), compare_events);
	for (i = 0; i < bus->n_events; i++) {
		if (bus->events[i]->changing)
			continue;
		while (k < n_fresh &&
		       via_bus_event_compare(fresh[k]->event, bus->events[i]->event) < 0)
			to[n++] = fresh[k++]->claim;
		to[n++] = bus->events[i];
	}
	while (k < n_fresh)
		to[n++] = fresh[k++]->claim;
	free(fresh);
	c->draft.events = to;
	c->draft.n_events = n;
	return 0;
}

/* A claim's event is the new one while the draft is made: its place among its like. */
static void swap_events(struct via_bus_commit *c)
{
	size_t i;

	for (i = 0; i < c->n_items; i++) {
		struct via_bus_item *item = &c->items[i];
		struct via_bus_event *event = item->claim->event;

		if (!item->claim->desc.ioeventfd)
			continue;
		item->claim->event = item->event;
		item->event = event;
	}
}

static bool has_events(const struct via_bus_commit *c)
{
	size_t i;

	for (i = 0; i < c->n_items; i++) {
		if (c->items[i].claim->desc.ioeventfd)
			return true;
	}
	return false;
}

static size_t count_indivisible(const struct via_bus_commit *c)
{
	size_t n = c->bus->n_indivisible, i;

	for (i = 0; i < c->n_items; i++) {
		if (!(c->items[i].claim->desc.flags & VIA_BUS_INDIVISIBLE))
			continue;
		n += c->items[i].enters;
		n -= c->items[i].leaves;
	}
	return n;
}

static int make_draft(struct via_bus_commit *c)
{
	bool events = has_events(c);
	int ret = 0;

	c->draft.bus = c->bus;
	c->draft.events = c->bus->events;
	c->draft.n_events = c->bus->n_events;
	if (events)
		ret = prepare_events(c);
	if (ret)
		return ret;
	swap_events(c);
	ret = via_bus_view_edit(&c->draft, c->items, c->n_items);
	if (ret) {
		swap_events(c);
		if (events)
			free(c->draft.events);
	} else {
		c->draft.view->has_indivisible = count_indivisible(c) != 0;
	}
	return ret;
}

/* Those whose removal found no memory: their entries go with the next view that there is. */
static void add_zombies(struct via_bus_commit *c)
{
	struct via_claim *claim;

	for (claim = c->bus->zombies; claim; claim = claim->zombie) {
		struct via_bus_item *item = &c->items[c->n_items];

		claim->changing = false;
		if (!item_of(item, c->bus, claim)) {
			item->leaves = true;
			c->n_items++;
		}
	}
}

static size_t count_zombies(const struct via_bus *bus)
{
	const struct via_claim *claim;
	size_t n = 0;

	for (claim = bus->zombies; claim; claim = claim->zombie)
		n++;
	return n;
}

/* What has been a draft is the view. Under bus->lock. */
static void publish(struct via_bus_commit *c)
{
	struct via_bus *bus = c->bus;
	struct via_bus_events *old_events;
	size_t i;

	c->old = atomic_load_explicit(&bus->view, memory_order_relaxed);
	bus->n_indivisible = count_indivisible(c);
	/* Pairs with the acquire in via_bus_view_get(). */
	atomic_store_explicit(&bus->view, c->draft.view, memory_order_release);
	via_bus_view_replaced(c->old, &c->draft);
	old_events = c->old->old_events;
	if (bus->events != c->draft.events)
		free(bus->events);
	bus->events = c->draft.events;
	bus->n_events = c->draft.n_events;
	for (i = 0; i < c->n_items; i++) {
		struct via_bus_event *event = c->items[i].event;

		if (!event)
			continue;
		event->next = old_events->garbage;
		old_events->garbage = event;
	}
	c->old->old_claims = bus->zombies;
	bus->zombies = NULL;
}

/* Under bus->lock: every claim as the change says it is from now on. */
static void settle(struct via_bus_commit *c)
{
	size_t i;

	for (i = 0; i < c->n_items; i++) {
		struct via_bus_item *item = &c->items[i];
		struct via_claim *claim = item->claim;

		claim->changing = false;
		if (!item->change)
			continue;
		claim->desc.start = item->new_start;
		claim->desc.last = item->new_last;
		switch (item->change->kind) {
		case VIA_BUS_ADD:
			via_claim_link(claim);
			item->change->claim = claim;
			break;
		case VIA_BUS_REMOVE:
			via_claim_unlink(claim);
			break;
		case VIA_BUS_ENABLE:
			claim->enabled = true;
			break;
		case VIA_BUS_DISABLE:
			claim->enabled = false;
			break;
		default:
			break;
		}
	}
}

/* Under bus->lock: a transaction that failed leaves no trace. */
static void undo(struct via_bus_commit *c)
{
	size_t i;

	for (i = 0; i < c->n_items; i++) {
		struct via_bus_item *item = &c->items[i];

		item->claim->changing = false;
		free(item->event);
		if (item->change && item->change->kind == VIA_BUS_ADD)
			via_claim_put(item->claim);
	}
}

/* Under bus->lock, with the items of the changes. */
static int apply(struct via_bus_commit *c)
{
	int ret;

	add_zombies(c);
	ret = make_draft(c);
	if (ret)
		return ret;
	publish(c);
	settle(c);
	return 0;
}

int via_bus_commit_locked(struct via_bus_commit *c, struct via_bus_change *changes, size_t n)
{
	int ret = 0;
	size_t i;

	c->items = malloc((n + count_zombies(c->bus) + 1) * sizeof(*c->items));
	if (!c->items)
		return -ENOMEM;
	for (i = 0; i < n && !ret; i++)
		ret = prepare_one(c, &changes[i]);
	if (!ret)
		ret = apply(c);
	if (ret)
		undo(c);
	return ret;
}

/* Under bus->lock: all @n claims leave and enter where they are. */
static int redraw(struct via_bus_commit *c, size_t n)
{
	struct via_bus_item *items =
		malloc((n + count_zombies(c->bus) + 1) * sizeof(struct via_bus_item));
	struct via_claim *claim;
	int ret;

	if (!items)
		return -ENOMEM;
	c->items = items;
	for (claim = c->bus->claims; claim; claim = claim->next) {
		if (claim->desc.ioeventfd || !via_claim_is_enabled(claim))
			continue;
		if (!item_of(&items[c->n_items], c->bus, claim))
			items[c->n_items++].enters = true;
	}
	ret = apply(c);
	if (ret)
		undo(c);
	free(items);
	return ret;
}

void via_bus_view_retired(struct via_epoch_head *head)
{
	via_bus_view_free(via_container_of(head, struct via_bus_view, head));
}

static void retire(struct via_bus_view *old, bool wait)
{
	if (wait && via_epoch_synchronize() == 0)
		via_bus_view_free(old);
	else
		via_epoch_defer_lazily(&old->head, via_bus_view_retired);
}

int via_bus_commit(struct via_bus *bus, struct via_bus_change *changes, size_t n)
{
	struct via_bus_commit c = {.bus = bus};
	bool wait = false;
	size_t i;
	int ret;

	for (i = 0; i < n; i++) {
		if (changes[i].kind == VIA_BUS_REMOVE && via_epoch_inside())
			return -EDEADLK;
		wait |= changes[i].kind != VIA_BUS_ADD && changes[i].kind != VIA_BUS_ENABLE;
	}
	via_bus_announce(bus);
	(void)pthread_mutex_lock(&bus->lock);
	ret = via_bus_commit_locked(&c, changes, n);
	(void)pthread_mutex_unlock(&bus->lock);
	free(c.items);
	if (ret)
		return ret;
	via_bus_notify(bus);
	retire(c.old, wait);
	for (i = 0; i < n; i++) {
		if (changes[i].kind == VIA_BUS_REMOVE)
			via_claim_finish_removal(changes[i].claim);
	}
	return 0;
}

int via_bus_add(struct via_bus *bus, const struct via_claim_desc *desc,
		struct via_claim **ret_claim)
{
	struct via_bus_change change = {.kind = VIA_BUS_ADD, .desc = *desc};
	int ret = via_bus_commit(bus, &change, 1);

	if (!ret && ret_claim)
		*ret_claim = change.claim;
	return ret;
}

/* Every entry is made anew: what it calls depends on it. */
int via_bus_set_counting(struct via_bus *bus, bool on)
{
	struct via_bus_commit c = {.bus = bus};
	struct via_claim *claim;
	size_t n = 0;
	int ret = 0;

	(void)pthread_mutex_lock(&bus->lock);
	for (claim = bus->claims; claim && !ret; claim = claim->next, n++)
		ret = on ? via_claim_counters_new(claim) : 0;
	if (!ret)
		ret = on ? via_bus_misses_new(bus) : 0;
	if (!ret && bus->counting != on) {
		bus->counting = on;
		ret = redraw(&c, n);
		if (ret)
			bus->counting = !on;
	}
	/* Last: what has failed counts nothing. */
	if (!ret)
		via_bus_misses_switch(bus, on);
	(void)pthread_mutex_unlock(&bus->lock);
	if (c.old)
		retire(c.old, false);
	return ret;
}
