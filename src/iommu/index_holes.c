/* SPDX-License-Identifier: MIT */
/* What each node knows of the IOVAs below its children, and the search for holes by it. */
#include "iommu/index_tree.h"

#include "base/util.h"

/* Spans ------------------------------------------------------------------------ */

/* An area that was not there. */
static void span_add(struct via_index_span *span, via_iova_t first, via_iova_t last)
{
	if (via_index_span_empty(span)) {
		*span = (struct via_index_span){ first, last, 0 };
	} else if (first > span->hi) {
		span->gap = via_max_u64(span->gap, first - span->hi - 1);
		span->hi = last;
	} else if (last < span->lo) {
		span->gap = via_max_u64(span->gap, span->lo - last - 1);
		span->lo = first;
	}
}

/* What follows it. */
static void span_append(struct via_index_span *span, const struct via_index_span *next)
{
	if (via_index_span_empty(next))
		return;
	span_add(span, next->lo, next->hi);
	span->gap = via_max_u64(span->gap, next->gap);
}

struct via_index_span via_index_node_span(const struct via_index_node *node)
{
	struct via_index_span span = VIA_INDEX_EMPTY_SPAN;

	for (size_t i = 0; i < node->n; i++)
		span_append(&span, &node->spans[i]);
	return span;
}

struct via_index_span via_index_areas_span(struct via_ioas_area *const *areas, size_t n)
{
	struct via_index_span span = VIA_INDEX_EMPTY_SPAN;

	for (size_t i = 0; i < n; i++)
		span_add(&span, areas[i]->first, areas[i]->last);
	return span;
}

void via_index_spans_add(const struct via_index_path *path, unsigned int done,
			 const struct via_ioas_area *area)
{
	for (unsigned int level = done + 1; level <= path->height; level++)
		span_add(&path->node[level]->spans[path->child[level]], area->first, area->last);
}

/* Something has gone from child at of the node; what is the node's span, if it was this? */
static struct via_index_span span_after(const struct via_index_node *node, size_t at,
					struct via_index_span span)
{
	const struct via_index_span *own = &node->spans[at], *before = NULL, *behind = NULL;
	struct via_index_span around = VIA_INDEX_EMPTY_SPAN;

	for (size_t i = at; i-- && !before;)
		before = via_index_span_empty(&node->spans[i]) ? NULL : &node->spans[i];
	for (size_t i = at + 1; i < node->n && !behind; i++)
		behind = via_index_span_empty(&node->spans[i]) ? NULL : &node->spans[i];
	if (before)
		span_append(&around, before);
	span_append(&around, own);
	if (behind)
		span_append(&around, behind);
	if (via_index_span_empty(&around))
		return VIA_INDEX_EMPTY_SPAN;
	if (!before)
		span.lo = around.lo;
	if (!behind)
		span.hi = around.hi;
	span.gap = via_max_u64(span.gap, around.gap);
	return span;
}

/* The leaf's span, of which [first, last] has gone. */
static struct via_index_span leaf_span_after(const struct via_index_leaf *leaf, via_iova_t first,
					     struct via_index_span span)
{
	via_iova_t before = 0, behind = UINT64_MAX, lo = UINT64_MAX, hi = 0;
	bool any = false;

	for (size_t i = 0; i < VIA_INDEX_SLOTS; i++) {
		if (!leaf->areas[i])
			continue;
		any = true;
		lo = via_min_u64(lo, leaf->first[i]);
		hi = via_max_u64(hi, leaf->last[i]);
		if (leaf->first[i] < first)
			before = via_max_u64(before, leaf->last[i]);
		else
			behind = via_min_u64(behind, leaf->first[i]);
	}
	if (!any)
		return VIA_INDEX_EMPTY_SPAN;
	if (lo < first && hi > first)
		span.gap = via_max_u64(span.gap, behind - before - 1);
	return (struct via_index_span){ lo, hi, span.gap };
}

void via_index_spans_remove(const struct via_index_path *path, via_iova_t first)
{
	for (unsigned int level = 1; level <= path->height; level++) {
		struct via_index_span *span = &path->node[level]->spans[path->child[level]], fresh;

		if (level == 1)
			fresh = leaf_span_after(path->leaf, first, *span);
		else
			fresh = span_after(path->node[level - 1], path->child[level - 1], *span);
		if (fresh.lo == span->lo && fresh.hi == span->hi && fresh.gap == span->gap)
			break;
		*span = fresh;
	}
}

/* Holes ------------------------------------------------------------------------ */

/* Where next_hole() has got to: nothing before at is a hole that is long enough. */
struct search {
	via_iova_t at;
	uint64_t min_len;
	bool done; /* a hole ends before next, or at is behind all IOVAs */
	via_iova_t next;
	bool found;
};

/* Something begins at lo: is there a hole before it? What follows lo is the caller's to search. */
static bool search_stops(struct search *search, via_iova_t lo)
{
	if (lo > search->at && lo - search->at >= search->min_len) {
		search->next = lo;
		search->found = search->done = true;
	}
	return search->done;
}

static void search_skip(struct search *search, via_iova_t hi)
{
	if (hi < search->at)
		return;
	search->done = hi == UINT64_MAX;
	search->at = hi + 1;
}

/* The span of what was searched is returned: it is exact then. */
static struct via_index_span search_below(struct search *search, void *at, unsigned int level)
{
	struct via_ioas_area *areas[VIA_INDEX_SLOTS];
	struct via_index_node *node = at;
	size_t n;

	if (!level) {
		n = via_index_leaf_sort(at, areas);
		for (size_t i = 0; i < n && !search_stops(search, areas[i]->first); i++)
			search_skip(search, areas[i]->last);
		return via_index_areas_span(areas, n);
	}
	for (size_t i = 0; i < node->n; i++) {
		struct via_index_span *span = &node->spans[i];

		if (via_index_span_empty(span) || span->hi < search->at)
			continue;
		if (search_stops(search, span->lo))
			break;
		if (span->gap >= search->min_len)
			*span = search_below(search, node->children[i], level - 1);
		if (search->done)
			break;
		search_skip(search, span->hi);
		if (search->done)
			break;
	}
	return via_index_node_span(node);
}

bool via_index_next_hole(const struct via_index *index, via_iova_t from, uint64_t min_len,
			 struct via_iova_range *ret_hole)
{
	struct search search = { .at = from, .min_len = min_len ? min_len : 1 };

	if (index->root)
		(void)search_below(&search, via_index_node_of(index->root),
				   via_index_height_of(index->root));
	if (!search.found) {
		if (search.done || UINT64_MAX - search.at < search.min_len - 1)
			return false;
		*ret_hole = (struct via_iova_range){ search.at, UINT64_MAX };
		return true;
	}
	*ret_hole = (struct via_iova_range){ search.at, search.next - 1 };
	return true;
}
