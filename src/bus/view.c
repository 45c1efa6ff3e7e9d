/* SPDX-License-Identifier: MIT */
/* Rendering: from a set of claims that may nest to a flat picture of who is seen where. */
#include "bus/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static _Atomic uint64_t generations;

static int read_ones(void *opaque, uint64_t offset, unsigned int size, uint64_t *ret_value)
{
	*ret_value = UINT64_MAX;
	return VIA_BUS_OK;
}

static int write_drop(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	return VIA_BUS_OK;
}

static int read_dead(void *opaque, uint64_t offset, unsigned int size, uint64_t *ret_value)
{
	return VIA_BUS_DECLINE;
}

static int write_dead(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	return VIA_BUS_DECLINE;
}

/* A stretch on which one claim is seen, while rendering. */
struct piece {
	uint64_t start;
	uint64_t last;
	const struct via_claim *claim;
};

struct render {
	const struct via_claim **by_start; /* n */
	const struct via_claim **heap;	   /* n: claims that cover the sweep's position */
	size_t n_heap;
	struct piece *pieces; /* at most 2 n */
	size_t n_pieces;
};

static uint64_t claim_delta(const struct via_claim *claim)
{
	return claim->desc.offset - claim->desc.start;
}

static int compare_start(const void *a, const void *b)
{
	const struct via_claim *ca = *(const struct via_claim *const *)a;
	const struct via_claim *cb = *(const struct via_claim *const *)b;

	return (ca->desc.start > cb->desc.start) - (ca->desc.start < cb->desc.start);
}

static void heap_push(struct render *r, const struct via_claim *claim)
{
	size_t i = r->n_heap++;

	while (i && r->heap[(i - 1) / 2]->desc.priority < claim->desc.priority) {
		r->heap[i] = r->heap[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	r->heap[i] = claim;
}

static void heap_pop(struct render *r)
{
	const struct via_claim *claim = r->heap[--r->n_heap];
	size_t i = 0, child;

	while ((child = 2 * i + 1) < r->n_heap) {
		if (child + 1 < r->n_heap &&
		    r->heap[child + 1]->desc.priority > r->heap[child]->desc.priority)
			child++;
		if (r->heap[child]->desc.priority <= claim->desc.priority)
			break;
		r->heap[i] = r->heap[child];
		i = child;
	}
	r->heap[i] = claim;
}

/* Neighbours are one piece when a callback could not tell the difference. */
static bool can_fuse(const struct via_claim *a, const struct via_claim *b)
{
	const struct via_claim_desc *da = &a->desc, *db = &b->desc;

	if (a == b)
		return true;
	return da->ops == db->ops && da->opaque == db->opaque && claim_delta(a) == claim_delta(b) &&
	       da->priority == db->priority && da->flags == db->flags &&
	       da->valid_min == db->valid_min && da->valid_max == db->valid_max &&
	       da->impl_min == db->impl_min && da->impl_max == db->impl_max &&
	       da->valid_unaligned == db->valid_unaligned &&
	       da->impl_unaligned == db->impl_unaligned && !(da->flags & VIA_BUS_INDIVISIBLE);
}

static void piece_add(struct render *r, uint64_t start, uint64_t last,
		      const struct via_claim *claim)
{
	struct piece *prev = r->n_pieces ? &r->pieces[r->n_pieces - 1] : NULL;

	if (prev && prev->last + 1 == start && can_fuse(prev->claim, claim))
		prev->last = last;
	else
		r->pieces[r->n_pieces++] = (struct piece){ start, last, claim };
}

/*
 * Sweep upwards. The claims that began and have not ended are in a heap by
 * priority; those that ended are dropped when they come to its top.
 */
static void sweep(struct render *r, size_t n)
{
	uint64_t pos = 0, last;
	size_t i = 0;

	for (;;) {
		while (r->n_heap && r->heap[0]->desc.last < pos)
			heap_pop(r);
		if (!r->n_heap) {
			if (i == n)
				return;
			pos = r->by_start[i]->desc.start;
		}
		while (i < n && r->by_start[i]->desc.start == pos)
			heap_push(r, r->by_start[i++]);
		last = r->heap[0]->desc.last;
		if (i < n && r->by_start[i]->desc.start <= last)
			last = r->by_start[i]->desc.start - 1;
		piece_add(r, pos, last, r->heap[0]);
		if (last == UINT64_MAX)
			return;
		pos = last + 1;
	}
}

/*
 * Widths of which every aligned access that begins in the piece also ends in it
 * and reaches the callback as it is.
 */
static uint16_t direct_widths(const struct via_claim_desc *desc, const struct piece *piece)
{
	uint64_t end = piece->last + 1 - desc->start + desc->offset;
	uint16_t direct = 0;
	unsigned int size;

	for (size = 1; size <= 8; size *= 2) {
		if (size < desc->valid_min || size > desc->valid_max || size < desc->impl_min ||
		    size > desc->impl_max)
			continue;
		/* Bytes have no order; wider values of a big-endian device are swapped. */
		if (size > 1 && (desc->flags & VIA_BUS_BIG_ENDIAN))
			continue;
		if (end & (size - 1))
			continue;
		direct |= (uint16_t)(1u << size);
	}
	return direct;
}

static void entry_init(struct via_bus_entry *entry, const struct piece *piece, size_t layer)
{
	const struct via_claim *claim = piece->claim;
	const struct via_bus_ops *ops = claim->desc.ops;

	*entry = (struct via_bus_entry){
		.start = piece->start,
		.last = piece->last,
		.delta = claim_delta(claim),
		.opaque = claim->desc.opaque,
		.claim = (struct via_claim *)claim,
		.direct = direct_widths(&claim->desc, piece),
		.flags = (uint16_t)claim->desc.flags,
		.layer = (uint32_t)layer,
	};
	atomic_init(&entry->read, ops && ops->read ? ops->read : read_ones);
	atomic_init(&entry->write, ops && ops->write ? ops->write : write_drop);
}

/* @claims are sorted by priority, descending: the number of distinct ones above. */
static size_t layer_of(const struct via_bus_view *view, int priority)
{
	size_t low = 0, high = view->n_layers;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (view->layers[mid].entries[0].claim->desc.priority > priority)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/*
 * The commonest distance between neighbours decides which address bits choose
 * a slot of the translation cache: one slot for each device when devices are
 * evenly spaced, for pages of a machine as well as for registers of a BAR.
 */
static unsigned int choose_cache_shift(const struct via_bus_view *view)
{
	size_t count[64] = { 0 }, i;
	unsigned int shift, best = 12;

	if (view->n_entries == 1 && view->entries[0].last != view->entries[0].start)
		return 63u - (unsigned int)__builtin_clzll(view->entries[0].last -
							   view->entries[0].start);
	for (i = 1; i < view->n_entries; i++)
		count[63 - __builtin_clzll(view->start[i] - view->start[i - 1])]++;
	for (shift = 0; shift < 64; shift++) {
		if (count[shift] > count[best])
			best = shift;
	}
	return best;
}

static size_t count_layers(struct via_claim *const *claims, size_t n)
{
	size_t i, n_layers = n ? 1 : 0;

	for (i = 1; i < n; i++)
		n_layers += claims[i]->desc.priority != claims[i - 1]->desc.priority;
	return n_layers;
}

/* Windows for a set of pieces: a power of two wide, at most twice as many as pieces. */
static void choose_windows(const struct render *r, unsigned int *ret_shift, size_t *ret_n)
{
	uint64_t span;
	unsigned int shift = 0;

	*ret_shift = 0;
	*ret_n = 0;
	if (!r->n_pieces)
		return;
	span = r->pieces[r->n_pieces - 1].start - r->pieces[0].start;
	while (span >> shift >= 2 * r->n_pieces)
		shift++;
	*ret_shift = shift;
	*ret_n = (size_t)(span >> shift) + 1;
}

static void fill_windows(struct via_bus_view *view)
{
	uint32_t *window = (uint32_t *)view->window;
	size_t w, i = 0;

	for (w = 0; w < view->n_windows; w++) {
		uint64_t base = view->start[0] + ((uint64_t)w << view->window_shift);

		while (i < view->n_entries && view->start[i] < base)
			i++;
		window[w] = (uint32_t)i;
	}
	window[w] = (uint32_t)view->n_entries;
}

/* One allocation: header, entries, layer entries, layers, starts, windows. */
static struct via_bus_view *view_alloc(const struct render *r, size_t n_claims, size_t n_layers)
{
	size_t head = (sizeof(struct via_bus_view) + 63) & ~(size_t)63, size = head, n_windows;
	struct via_bus_view *view;
	unsigned int shift;
	char *p;

	choose_windows(r, &shift, &n_windows);
	size += (r->n_pieces + n_claims) * sizeof(struct via_bus_entry);
	size += n_layers * sizeof(struct via_bus_layer) + r->n_pieces * sizeof(uint64_t);
	size += (n_windows + 1) * sizeof(uint32_t);
	p = aligned_alloc(64, (size + 63) & ~(size_t)63);
	if (!p)
		return NULL;
	view = (struct via_bus_view *)(void *)p;
	*view = (struct via_bus_view){
		.n_entries = r->n_pieces,
		.n_windows = n_windows,
		.window_shift = shift,
	};
	p += head;
	view->entries = (struct via_bus_entry *)(void *)p;
	p += (r->n_pieces + n_claims) * sizeof(struct via_bus_entry);
	view->layers = (struct via_bus_layer *)(void *)p;
	p += n_layers * sizeof(struct via_bus_layer);
	view->start = (uint64_t *)(void *)p;
	p += r->n_pieces * sizeof(uint64_t);
	view->window = (uint32_t *)(void *)p;
	return view;
}

static void fill_layers(struct via_bus_view *view, struct via_claim *const *claims, size_t n)
{
	struct via_bus_entry *entry = view->entries + view->n_entries;
	struct via_bus_layer *layer = NULL;
	size_t i;

	for (i = 0; i < n; i++, entry++) {
		struct piece whole = { claims[i]->desc.start, claims[i]->desc.last, claims[i] };

		if (!i || claims[i]->desc.priority != claims[i - 1]->desc.priority) {
			layer = &view->layers[view->n_layers++];
			*layer = (struct via_bus_layer){ .entries = entry };
		}
		entry_init(entry, &whole, view->n_layers - 1);
		layer->n_entries++;
	}
}

static int build(const struct render *r, struct via_claim *const *claims, size_t n,
		 struct via_bus_view **ret_view)
{
	struct via_bus_view *view = view_alloc(r, n, count_layers(claims, n));
	uint64_t *start;
	size_t i;

	if (!view)
		return -ENOMEM;
	view->generation = atomic_fetch_add(&generations, 1) + 1;
	fill_layers(view, claims, n);
	start = (uint64_t *)view->start;
	for (i = 0; i < r->n_pieces; i++) {
		const struct piece *piece = &r->pieces[i];

		start[i] = piece->start;
		entry_init(&view->entries[i], piece, layer_of(view, piece->claim->desc.priority));
		view->has_indivisible |= (piece->claim->desc.flags & VIA_BUS_INDIVISIBLE) != 0;
	}
	fill_windows(view);
	view->cache_shift = choose_cache_shift(view);
	*ret_view = view;
	return 0;
}

int via_bus_view_new(struct via_claim *const *claims, size_t n, struct via_bus_view **ret_view)
{
	struct render r = { 0 };
	int ret = -ENOMEM;
	size_t i;

	if (n > INT32_MAX)
		return -ENOMEM;
	/* One more than needed, so that an empty set is not a zero-sized request. */
	r.by_start = malloc((n + 1) * sizeof(*r.by_start));
	r.heap = malloc((n + 1) * sizeof(*r.heap));
	r.pieces = malloc((2 * n + 1) * sizeof(*r.pieces));
	if (r.by_start && r.heap && r.pieces) {
		for (i = 0; i < n; i++)
			r.by_start[i] = claims[i];
		if (count_layers(claims, n) > 1)
			qsort(r.by_start, n, sizeof(*r.by_start), compare_start);
		sweep(&r, n);
		ret = build(&r, claims, n, ret_view);
	}
	free(r.pieces);
	free(r.heap);
	free(r.by_start);
	return ret;
}

static void kill_entry(struct via_bus_entry *entry)
{
	atomic_store_explicit(&entry->read, read_dead, memory_order_release);
	atomic_store_explicit(&entry->write, write_dead, memory_order_release);
}

void via_bus_view_kill(struct via_bus_view *view, const struct via_claim *claim)
{
	size_t number = layer_of(view, claim->desc.priority), i;
	struct via_bus_layer *layer = &view->layers[number];

	for (i = 0; i < layer->n_entries; i++) {
		if (layer->entries[i].claim == claim)
			kill_entry(&layer->entries[i]);
	}
	/*
	 * Where this claim is fused with a neighbour the piece dies for both:
	 * dispatch then finds the neighbour in the layer.
	 */
	i = view->n_entries ? via_bus_search(view, claim->desc.start) : 0;
	for (; i < view->n_entries && view->start[i] <= claim->desc.last; i++) {
		if (view->entries[i].layer == number && view->entries[i].last >= claim->desc.start)
			kill_entry(&view->entries[i]);
	}
}

bool via_bus_entry_is_dead(const struct via_bus_entry *entry)
{
	return atomic_load_explicit(&entry->write, memory_order_acquire) == write_dead;
}

void via_bus_view_free(struct via_bus_view *view)
{
	struct via_claim *claim, *next;

	if (!view)
		return;
	for (claim = view->zombies; claim; claim = next) {
		next = claim->next;
		via_claim_put(claim);
	}
	free(view);
}
