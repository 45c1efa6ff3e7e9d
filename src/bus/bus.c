/* SPDX-License-Identifier: MIT */
/* A bus as such: made, freed, and who wants to hear of changes. */
#include "bus/internal.h"
#include "bus/view.h"

#include <errno.h>
#include <stdlib.h>

int via_bus_new_as(const struct via_bus_desc *desc, struct via_bus **ret_bus)
{
	uint64_t last = desc->last ? desc->last : UINT64_MAX;
	struct via_bus *bus;
	struct via_bus_view *view;
	int ret;

	if (desc->below && (desc->below->below || desc->below->last != last))
		return -EINVAL;
	bus = calloc(1, sizeof(*bus));
	if (!bus)
		return -ENOMEM;
	ret = via_bus_view_new(&view);
	if (ret) {
		free(bus);
		return ret;
	}
	bus->name = desc->name;
	bus->below = desc->below;
	bus->last = last;
	bus->zeros = desc->zeros;
	bus->miss = desc->miss;
	bus->opaque = desc->opaque;
	atomic_init(&bus->notes_misses, desc->miss != NULL);
	(void)pthread_mutex_init(&bus->lock, NULL);
	(void)pthread_mutex_init(&bus->listen_lock, NULL);
	atomic_init(&bus->view, view);
	*ret_bus = bus;
	return 0;
}

int via_bus_new(const char *name, struct via_bus **ret_bus)
{
	return via_bus_new_as(&(struct via_bus_desc){.name = name}, ret_bus);
}

void via_bus_free(struct via_bus *bus)
{
	struct via_claim *claim;
	size_t i;

	if (!bus)
		return;
	/* While all is still there: a write that was queued is an ordinary one. */
	for (claim = bus->claims; claim; claim = claim->next) {
		if (claim->desc.coalescer)
			via_coalescer_forget(claim);
	}
	for (i = 0; i < bus->n_events; i++)
		free(bus->events[i]->event);
	free(bus->events);
	via_bus_view_destroy(atomic_load(&bus->view));
	while ((claim = bus->claims)) {
		bus->claims = claim->next;
		via_claim_put(claim);
	}
	while ((claim = bus->zombies)) {
		bus->zombies = claim->zombie;
		free(claim->event);
		via_claim_put(claim);
	}
	via_bus_misses_free(bus);
	(void)pthread_mutex_destroy(&bus->listen_lock);
	(void)pthread_mutex_destroy(&bus->lock);
	free(bus);
}

void via_bus_listen(struct via_bus *bus, struct via_bus_listener *listener)
{
	(void)pthread_mutex_lock(&bus->listen_lock);
	atomic_store_explicit(&listener->next, bus->listeners, memory_order_relaxed);
	atomic_store_explicit(&bus->listeners, listener, memory_order_release);
	(void)pthread_mutex_unlock(&bus->listen_lock);
}

void via_bus_unlisten(struct via_bus *bus, struct via_bus_listener *listener)
{
	struct via_bus_listener *_Atomic *link = &bus->listeners;

	(void)pthread_mutex_lock(&bus->listen_lock);
	while (*link != listener)
		link = &(*link)->next;
	atomic_store_explicit(link, listener->next, memory_order_release);
	(void)pthread_mutex_unlock(&bus->listen_lock);
}

void via_bus_announce(struct via_bus *bus)
{
	struct via_bus_listener *listener;

	if (!atomic_load_explicit(&bus->listeners, memory_order_relaxed))
		return;
	via_epoch_enter();
	for (listener = atomic_load_explicit(&bus->listeners, memory_order_acquire); listener;
	     listener = atomic_load_explicit(&listener->next, memory_order_acquire)) {
		if (listener->changing)
			listener->changing(listener);
	}
	via_epoch_exit();
}

void via_bus_notify(struct via_bus *bus)
{
	struct via_bus_listener *listener;

	(void)pthread_mutex_lock(&bus->listen_lock);
	for (listener = bus->listeners; listener; listener = listener->next)
		listener->changed(listener);
	(void)pthread_mutex_unlock(&bus->listen_lock);
}

void via_bus_each_event(struct via_bus *bus,
			void (*fn)(void *opaque, const struct via_bus_event *event), void *opaque)
{
	size_t i;

	(void)pthread_mutex_lock(&bus->lock);
	for (i = 0; i < bus->n_events; i++)
		fn(opaque, bus->events[i]->event);
	(void)pthread_mutex_unlock(&bus->lock);
}

void via_bus_each_piece(struct via_bus *bus,
			void (*fn)(void *opaque, const struct via_bus_entry *piece), void *opaque)
{
	struct via_bus_cursor at;
	const struct via_bus_entry *entry;

	via_epoch_enter();
	for (at = via_bus_map_seek(&via_bus_view_get(bus)->map, 0);
	     (entry = via_bus_cursor_entry(&at)); via_bus_cursor_next(&at)) {
		if (!via_bus_entry_is_dead(entry))
			fn(opaque, entry);
	}
	via_epoch_exit();
}
