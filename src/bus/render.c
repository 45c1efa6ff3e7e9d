/* SPDX-License-Identifier: MIT */
/*
 * Rendering: from layers to who is seen where. Only the spans that a change
 * may have altered are drawn anew, each grown until no piece crosses its ends.
 */
#include "bus/view.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct render {
	struct via_bus_draft *draft;
	const struct via_bus_map *old; /* what is seen now */
	struct via_bus_span *spans;
	size_t n_spans;
	/* Claims that a span meets, ascending, and those of them that cover the sweep's position.
	 */
	const struct via_bus_entry **meets, **heap;
	size_t n_meets, meets_room, n_heap;
	struct via_bus_entry *pieces;
	size_t n_pieces, pieces_room;
	struct via_bus_edit *edits; /* n_spans */
};

/* --- Spans --- */

/* To whole pieces, and by what lies next to them and may be fused. */
static void grow(const struct via_bus_map *old, struct via_bus_span *span)
{
	struct via_bus_cursor at = via_bus_map_seek(old, span->first);
	const struct via_bus_entry *entry = via_bus_cursor_entry(&at);

	if (entry && entry->start < span->first)
		span->first = entry->start;
	entry = via_bus_cursor_before(&at);
	if (entry && span->first && entry->last == span->first - 1)
		span->first = entry->start;
	at = via_bus_map_seek(old, span->last);
	entry = via_bus_cursor_entry(&at);
	if (!entry || entry->start > span->last) {
		if (entry && entry->start == span->last + 1)
			span->last = entry->last;
		return;
	}
	span->last = entry->last;
	via_bus_cursor_next(&at);
	entry = via_bus_cursor_entry(&at);
	if (entry && entry->start - 1 == span->last)
		span->last = entry->last;
}

static int find_spans(struct render *r, const struct via_bus_item *items, size_t n)
{
	size_t i;

	/* What will be seen takes up to two pieces of each claim; not touched, it costs nothing. */
	r->pieces_room = 2 * n + 16;
	r->pieces = aligned_alloc(64, r->pieces_room * sizeof(*r->pieces));
	if (!r->pieces)
		return -ENOMEM;
	if (!r->old->n_chunks) {
		r->spans[r->n_spans++] = (struct via_bus_span){0, UINT64_MAX};
		return 0;
	}
	for (i = 0; i < n; i++) {
		/* An ioeventfd matters to the piece in which it begins. */
		bool point = items[i].claim->desc.ioeventfd;

		if (items[i].leaves)
			r->spans[r->n_spans++] = (struct via_bus_span){
				items[i].start, point ? items[i].start : items[i].last};
		if (items[i].enters)
			r->spans[r->n_spans++] = (struct via_bus_span){
				items[i].new_start, point ? items[i].new_start : items[i].new_last};
	}
	for (i = 0; i < r->n_spans; i++)
		grow(r->old, &r->spans[i]);
	r->n_spans = via_bus_spans_join(r->spans, r->n_spans);
	return 0;
}

/* --- Who meets a span --- */

static int room_for(const struct via_bus_entry ***array, size_t n)
{
	const struct via_bus_entry **bigger = realloc(*array, n * sizeof(**array));

	if (!bigger)
		return -ENOMEM;
	*array = bigger;
	return 0;
}

static int meet(struct render *r, const struct via_bus_entry *entry)
{
	if (r->n_meets == r->meets_room) {
		size_t room = 2 * r->meets_room + 16;

		if (room_for(&r->meets, room) || room_for(&r->heap, room))
			return -ENOMEM;
		r->meets_room = room;
	}
	r->meets[r->n_meets++] = entry;
	return 0;
}

static int compare_start(const void *a, const void *b)
{
	const struct via_bus_entry *x = *(const struct via_bus_entry *const *)a;
	const struct via_bus_entry *y = *(const struct via_bus_entry *const *)b;

	return (x->start > y->start) - (x->start < y->start);
}

static int gather(struct render *r, const struct via_bus_span *span)
{
	const struct via_bus_view *view = r->draft->view;
	size_t i, n_met = 0;

	r->n_meets = 0;
	for (i = 0; i < view->n_layers; i++) {
		struct via_bus_cursor at = via_bus_map_seek(&view->layers[i].map, span->first);
		const struct via_bus_entry *entry;
		size_t before = r->n_meets;

		for (; (entry = via_bus_cursor_entry(&at)) && entry->start <= span->last;
		     via_bus_cursor_next(&at)) {
			if (meet(r, entry))
				return -ENOMEM;
		}
		n_met += r->n_meets != before;
	}
	/* One layer is in order. */
	if (n_met > 1)
		qsort(r->meets, r->n_meets, sizeof(*r->meets), compare_start);
	return 0;
}

/* --- The sweep --- */

static int priority(const struct via_bus_entry *entry)
{
	return entry->claim->desc.priority;
}

static void heap_push(struct render *r, const struct via_bus_entry *entry)
{
	size_t i = r->n_heap++;

	while (i && priority(r->heap[(i - 1) / 2]) < priority(entry)) {
		r->heap[i] = r->heap[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	r->heap[i] = entry;
}

static void heap_pop(struct render *r)
{
	const struct via_bus_entry *entry = r->heap[--r->n_heap];
	size_t i = 0, child;

	while ((child = 2 * i + 1) < r->n_heap) {
		if (child + 1 < r->n_heap &&
		    priority(r->heap[child + 1]) > priority(r->heap[child]))
			child++;
		if (priority(r->heap[child]) <= priority(entry))
			break;
		r->heap[i] = r->heap[child];
		i = child;
	}
	r->heap[i] = entry;
}

/*
 * Neighbours are one piece when a callback could not tell the difference; and what one of them
 * would discard must not be taken for the other's.
 */
static bool can_fuse(const struct via_bus_entry *a, const struct via_bus_entry *b)
{
	const struct via_claim_desc *da = &a->claim->desc, *db = &b->claim->desc;

	if (a->delta != b->delta)
		return false;
	if (a->claim == b->claim)
		return true;
	return da->ops == db->ops && da->opaque == db->opaque && da->priority == db->priority &&
	       da->flags == db->flags && da->valid_min == db->valid_min &&
	       da->valid_max == db->valid_max && da->impl_min == db->impl_min &&
	       da->impl_max == db->impl_max && da->valid_unaligned == db->valid_unaligned &&
	       da->impl_unaligned == db->impl_unaligned && da->coalescer == db->coalescer &&
	       !(da->flags & (VIA_BUS_INDIVISIBLE | VIA_BUS_DISCARD));
}

/* @from: the edit's first piece, before which nothing is fused. */
static int piece_add(struct render *r, size_t from, uint64_t start, uint64_t last,
		     const struct via_bus_entry *entry)
{
	struct via_bus_entry *prev = r->n_pieces > from ? &r->pieces[r->n_pieces - 1] : NULL;

	if (prev && prev->last + 1 == start && can_fuse(prev, entry)) {
		via_bus_entry_init(prev, r->draft, prev->claim, prev->start, last, prev->delta);
		return 0;
	}
	if (r->n_pieces == r->pieces_room) {
		size_t room = 2 * r->pieces_room + 16;
		struct via_bus_entry *bigger = aligned_alloc(64, room * sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		if (r->pieces)
			memcpy(bigger, r->pieces, r->n_pieces * sizeof(*bigger));
		free(r->pieces);
		r->pieces = bigger;
		r->pieces_room = room;
	}
	if (start == entry->start && last == entry->last)
		via_bus_entry_copy(&r->pieces[r->n_pieces++], r->draft, entry);
	else
		via_bus_entry_init(&r->pieces[r->n_pieces++], r->draft, entry->claim, start, last,
				   entry->delta);
	return 0;
}

/* The next one, which begins where nobody is, ends inside the span and before another begins. */
static bool is_alone(const struct render *r, size_t i, const struct via_bus_span *span)
{
	uint64_t last = r->meets[i]->last;

	return last < span->last && (i + 1 == r->n_meets || r->meets[i + 1]->start > last);
}

/*
 * Upwards. The claims that began and have not ended are in a heap by priority;
 * those that ended are dropped when they come to its top.
 */
static int sweep(struct render *r, const struct via_bus_span *span)
{
	size_t i = 0, from = r->n_pieces;
	uint64_t pos = span->first, last;

	r->n_heap = 0;
	for (;;) {
		while (r->n_heap && r->heap[0]->last < pos)
			heap_pop(r);
		if (!r->n_heap) {
			if (i == r->n_meets)
				return 0;
			if (r->meets[i]->start > pos)
				pos = r->meets[i]->start;
			if (is_alone(r, i, span)) {
				last = r->meets[i]->last;
				if (piece_add(r, from, pos, last, r->meets[i++]))
					return -ENOMEM;
				pos = last + 1;
				continue;
			}
		}
		while (i < r->n_meets && r->meets[i]->start <= pos)
			heap_push(r, r->meets[i++]);
		last = r->heap[0]->last;
		if (i < r->n_meets && r->meets[i]->start <= last)
			last = r->meets[i]->start - 1;
		if (last > span->last)
			last = span->last;
		if (piece_add(r, from, pos, last, r->heap[0]))
			return -ENOMEM;
		if (last == span->last)
			return 0;
		pos = last + 1;
	}
}

static int draw(struct render *r)
{
	size_t i, at = 0;
	int ret = 0;

	r->edits = calloc(r->n_spans + 1, sizeof(*r->edits));
	if (!r->edits)
		return -ENOMEM;
	for (i = 0; !ret && i < r->n_spans; i++) {
		size_t before = r->n_pieces;

		ret = gather(r, &r->spans[i]);
		if (!ret)
			ret = sweep(r, &r->spans[i]);
		r->edits[i] = (struct via_bus_edit){.first = r->spans[i].first,
						    .last = r->spans[i].last,
						    .n = r->n_pieces - before};
	}
	for (i = 0; i < r->n_spans; i++) {
		r->edits[i].entries = r->pieces ? &r->pieces[at] : NULL;
		at += r->edits[i].n;
	}
	return ret;
}

int via_bus_render(struct via_bus_draft *draft, const struct via_bus_item *items, size_t n)
{
	struct via_bus_span *spans = malloc((2 * n + 1) * sizeof(*spans));
	struct render r = {.draft = draft, .old = &draft->bus->view->map, .spans = spans};
	int ret = spans ? find_spans(&r, items, n) : -ENOMEM;

	if (!ret)
		ret = draw(&r);
	if (!ret)
		ret = via_bus_map_edit(r.old, r.edits, r.n_spans, &draft->view->map, &draft->fresh,
				       &draft->garbage);
	free(r.edits);
	free(r.pieces);
	free(r.heap);
	free(r.meets);
	free(spans);
	return ret;
}
