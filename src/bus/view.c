/* SPDX-License-Identifier: MIT */
/* The life of a view: made from the one before, published by claims.c, freed when nobody sees it.
 */
#include "bus/view.h"

#include <errno.h>
#include <stdlib.h>

int via_bus_view_new(struct via_bus_view **ret_view)
{
	*ret_view = calloc(1, sizeof(**ret_view));
	return *ret_view ? 0 : -ENOMEM;
}

/* A draft that is given up: what only it has. */
static void discard(struct via_bus_draft *draft)
{
	struct via_bus_view *view = draft->view;
	size_t i;

	via_bus_chunks_free(draft->fresh);
	if (!view)
		return;
	for (i = 0; i < view->n_layers; i++) {
		if (view->layers[i].replaced)
			via_bus_map_free(&view->layers[i].map);
	}
	via_bus_map_free(&view->map);
	if (view->events != draft->bus->view->events)
		free(view->events);
	free(view);
}

static int edit_events(struct via_bus_draft *draft, const struct via_bus_item *items, size_t n)
{
	struct via_bus_view *view = draft->view;
	bool changed = false;
	size_t i;

	view->events = draft->bus->view->events;
	for (i = 0; i < n; i++)
		changed |= items[i].claim->desc.ioeventfd != NULL;
	if (!changed)
		return 0;
	view->events = NULL;
	return draft->n_events ? via_bus_events_new(draft->events, draft->n_events, &view->events)
			       : 0;
}

int via_bus_view_edit(struct via_bus_draft *draft, const struct via_bus_item *items, size_t n)
{
	int ret = via_bus_layers_edit(draft, items, n);

	if (!ret)
		ret = edit_events(draft, items, n);
	if (!ret)
		ret = via_bus_render(draft, items, n);
	if (ret)
		discard(draft);
	return ret;
}

/* Which tables the next view has taken over: those of layers that it did not replace. */
static void mark_replaced(struct via_bus_view *old, const struct via_bus_view *next)
{
	size_t i, k = 0;

	for (i = 0; i < old->n_layers; i++) {
		struct via_bus_layer *layer = &old->layers[i];

		while (k < next->n_layers && next->layers[k].priority > layer->priority)
			k++;
		layer->replaced = k == next->n_layers ||
				  next->layers[k].priority != layer->priority ||
				  next->layers[k].replaced;
	}
}

void via_bus_view_replaced(struct via_bus_view *old, const struct via_bus_draft *draft)
{
	mark_replaced(old, draft->view);
	old->garbage = draft->garbage;
	if (old->events != draft->view->events)
		old->old_events = old->events;
}

static void free_claims(struct via_claim *claim)
{
	struct via_claim *next;

	for (; claim; claim = next) {
		next = claim->zombie;
		via_claim_put(claim);
	}
}

void via_bus_view_free(struct via_bus_view *view)
{
	size_t i;

	if (!view)
		return;
	for (i = 0; i < view->n_layers; i++) {
		if (view->layers[i].replaced)
			via_bus_map_free(&view->layers[i].map);
	}
	via_bus_map_free(&view->map);
	via_bus_chunks_free(view->garbage);
	via_bus_events_free(view->old_events);
	free_claims(view->old_claims);
	free(view);
}

void via_bus_view_destroy(struct via_bus_view *view)
{
	size_t i;

	for (i = 0; i < view->n_layers; i++)
		via_bus_map_destroy(&view->layers[i].map);
	via_bus_map_destroy(&view->map);
	via_bus_events_free(view->events);
	free(view);
}

static void kill_in(const struct via_bus_map *map, const struct via_claim *claim, bool layer)
{
	struct via_bus_cursor at = via_bus_map_seek(map, claim->desc.start);
	struct via_bus_entry *entry;

	for (; (entry = via_bus_cursor_entry(&at)) && entry->start <= claim->desc.last;
	     via_bus_cursor_next(&at)) {
		/*
		 * Where this claim is fused with a neighbour the piece dies for both:
		 * dispatch then finds the neighbour in the layer.
		 */
		if (layer ? entry->claim == claim
			  : entry->claim->desc.priority == claim->desc.priority)
			via_bus_entry_kill(entry);
	}
}

void via_bus_view_kill(struct via_bus_view *view, const struct via_claim *claim)
{
	size_t i;

	if (claim->event)
		atomic_store_explicit(&claim->event->fd, -1, memory_order_release);
	for (i = 0; i < view->n_layers && !claim->event; i++) {
		if (view->layers[i].priority == claim->desc.priority)
			kill_in(&view->layers[i].map, claim, true);
	}
	if (!claim->event)
		kill_in(&view->map, claim, false);
}
