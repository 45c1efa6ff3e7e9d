/* SPDX-License-Identifier: MIT */
/* Layers: what claims there are of each priority, seen or not. */
#include "bus/view.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int compare_items(const void *a, const void *b)
{
	const struct via_bus_item *x = *(const struct via_bus_item *const *)a;
	const struct via_bus_item *y = *(const struct via_bus_item *const *)b;
	int px = x->claim->desc.priority, py = y->claim->desc.priority;

	if (px != py)
		return px < py ? 1 : -1;
	return (x->new_start > y->new_start) - (x->new_start < y->new_start);
}

/* Whoever makes many claims at once has them in order, often. */
static void sort_items(const struct via_bus_item **items, size_t n)
{
	size_t i;

	for (i = 1; i < n; i++) {
		if (compare_items(&items[i - 1], &items[i]) > 0) {
			qsort(items, n, sizeof(*items), compare_items);
			return;
		}
	}
}

/* An edit of one layer on its way. */
struct layer_edit {
	struct via_bus_draft *draft;
	const struct via_bus_item **items; /* by new_start */
	size_t n;
	struct via_bus_span *spans;    /* 2 n */
	struct via_bus_entry *entries; /* n */
	struct via_bus_edit *edits;    /* 2 n */
	size_t n_edits;
};

/* No claim that stays is in the way of one that comes. */
static bool is_free(const struct via_bus_map *old, const struct via_bus_edit *edit)
{
	struct via_bus_cursor at = via_bus_map_seek(old, edit->first);
	const struct via_bus_entry *entry;

	for (; (entry = via_bus_cursor_entry(&at)) && entry->start <= edit->last;
	     via_bus_cursor_next(&at)) {
		if (!entry->claim->changing)
			return false;
	}
	return true;
}

/* From the items of one priority to edits of its layer: 0 or -EEXIST. */
static int plan(struct layer_edit *e, const struct via_bus_map *old)
{
	size_t n_spans = 0, n_entries = 0, i, k;

	for (i = 0; i < e->n; i++) {
		const struct via_bus_item *item = e->items[i];
		struct via_claim *claim = item->claim;

		if (item->leaves)
			e->spans[n_spans++] = (struct via_bus_span){item->start, item->last};
		if (!item->enters)
			continue;
		if (n_entries && item->new_start <= e->entries[n_entries - 1].last)
			return -EEXIST;
		if (old->n_chunks)
			e->spans[n_spans++] =
				(struct via_bus_span){item->new_start, item->new_last};
		via_bus_entry_init(&e->entries[n_entries++], e->draft, claim, item->new_start,
				   item->new_last, claim->desc.offset - item->new_start);
	}
	if (!old->n_chunks) {
		e->edits[0] = (struct via_bus_edit){
			.last = UINT64_MAX, .entries = e->entries, .n = n_entries};
		e->n_edits = 1;
		return 0;
	}
	n_spans = via_bus_spans_join(e->spans, n_spans);
	for (i = k = 0; i < n_spans; i++) {
		struct via_bus_edit *edit = &e->edits[i];

		*edit = (struct via_bus_edit){.first = e->spans[i].first,
					      .last = e->spans[i].last,
					      .entries = &e->entries[k]};
		while (k < n_entries && e->entries[k].start <= edit->last) {
			edit->n++;
			k++;
		}
		if (edit->n && !is_free(old, edit))
			return -EEXIST;
	}
	e->n_edits = n_spans;
	return 0;
}

static int edit_layer(struct layer_edit *e, const struct via_bus_layer *old, int priority)
{
	struct via_bus_draft *draft = e->draft;
	struct via_bus_layer *layer = &draft->view->layers[draft->view->n_layers];
	static const struct via_bus_map nothing;
	const struct via_bus_map *from = old ? &old->map : &nothing;
	int ret = plan(e, from);

	if (ret)
		return ret;
	*layer = (struct via_bus_layer){.priority = priority, .replaced = true};
	ret = via_bus_map_edit(from, e->edits, e->n_edits, &layer->map, &draft->fresh,
			       &draft->garbage);
	if (!ret && layer->map.n_chunks)
		draft->view->n_layers++;
	return ret;
}

/* Old layers and those of the items, merged by descending priority. */
static int merge(struct layer_edit *e, const struct via_bus_item **items, size_t n)
{
	struct via_bus_view *view = e->draft->view;
	const struct via_bus_view *old = e->draft->bus->view;
	size_t i = 0, k = 0;
	int ret = 0;

	while (!ret && (i < n || k < old->n_layers)) {
		const struct via_bus_layer *layer = k < old->n_layers ? &old->layers[k] : NULL;
		int priority;

		if (i == n || (layer && layer->priority > items[i]->claim->desc.priority)) {
			view->layers[view->n_layers] = *layer;
			view->layers[view->n_layers++].replaced = false;
			k++;
			continue;
		}
		priority = items[i]->claim->desc.priority;
		e->items = &items[i];
		for (e->n = 0; i < n && items[i]->claim->desc.priority == priority; i++)
			e->n++;
		if (layer && layer->priority == priority)
			k++;
		else
			layer = NULL;
		ret = edit_layer(e, layer, priority);
	}
	return ret;
}

/* With room for the old layers, and one for each priority of the items. */
static struct via_bus_view *view_for(const struct via_bus_view *old,
				     const struct via_bus_item *const *items, size_t n)
{
	struct via_bus_view *view;
	size_t n_layers = old->n_layers + (n != 0), i;

	for (i = 1; i < n; i++)
		n_layers += items[i]->claim->desc.priority != items[i - 1]->claim->desc.priority;
	view = malloc(sizeof(*view) + n_layers * sizeof(view->layers[0]));
	if (view)
		*view = (struct via_bus_view){.n_layers = 0};
	return view;
}

int via_bus_layers_edit(struct via_bus_draft *draft, const struct via_bus_item *items, size_t n)
{
	struct layer_edit e = {.draft = draft};
	const struct via_bus_item **sorted;
	size_t i, n_sorted = 0;
	int ret = -ENOMEM;

	sorted = malloc((n + 1) * sizeof(*sorted));
	e.spans = malloc((2 * n + 1) * sizeof(*e.spans));
	e.edits = malloc((2 * n + 1) * sizeof(*e.edits));
	e.entries = aligned_alloc(64, (n + 1) * sizeof(*e.entries));
	if (sorted && e.spans && e.edits && e.entries) {
		for (i = 0; i < n; i++) {
			if (!items[i].claim->desc.ioeventfd)
				sorted[n_sorted++] = &items[i];
		}
		sort_items(sorted, n_sorted);
		draft->view = view_for(draft->bus->view, sorted, n_sorted);
		if (draft->view)
			ret = merge(&e, sorted, n_sorted);
	}
	free(e.entries);
	free(e.edits);
	free(e.spans);
	free(sorted);
	return ret;
}
