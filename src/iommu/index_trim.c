/* SPDX-License-Identifier: MIT */
/* A tree that removals have left mostly empty is made anew. */
#include "iommu/index_tree.h"

#include <stdlib.h>

/* It gets so many of each, so that there is room. */
#define SLOTS_FILL 12u
#define CHILDREN_FILL 28u

struct item {
	void *at;
	struct via_index_span span;
};

/* A level of nodes above n items; how many there are then, or 0 without memory. */
static size_t level_up(struct via_index_change *change, struct item *items, size_t n)
{
	size_t out = 0;

	for (size_t i = 0; i < n; out++) {
		struct via_index_node *node = via_index_node_new(change);

		if (!node)
			return 0;
		for (size_t k = 0; k < CHILDREN_FILL && i < n; k++, i++)
			via_index_node_append(node, items[i].at, items[i].span.hi, &items[i].span);
		node->bounds[node->n - 1] = UINT64_MAX;
		items[out] = (struct item){ node, via_index_node_span(node) };
	}
	return out;
}

/* All areas into new leaves; how many, or 0 without memory. */
static size_t leaves_anew(const struct via_index *index, struct via_index_change *change,
			  struct item *items)
{
	struct via_ioas_area *areas[SLOTS_FILL] = { NULL }, *area = via_index_find(index, 0);
	size_t out = 0;

	for (; area; out++) {
		size_t n = 0;

		for (; area && n < SLOTS_FILL; n++) {
			areas[n] = area;
			area = area->last < UINT64_MAX ? via_index_find(index, area->last + 1)
						       : NULL;
		}
		items[out] = (struct item){via_index_leaf_of(change, areas, n),
					   via_index_areas_span(areas, n)};
		if (!items[out].at)
			return 0;
	}
	return out;
}

void via_index_trim(struct via_index *index)
{
	struct via_index_change change = { 0 };
	struct item *items = NULL;
	uintptr_t root = index->root;
	unsigned int height = 0;
	size_t n;

	if (index->n_leaves < 2 || index->n_areas >= index->n_leaves * VIA_INDEX_SLOTS / 4)
		return;
	if (index->n_areas) {
		n = (index->n_areas + SLOTS_FILL - 1) / SLOTS_FILL;
		items = malloc(n * sizeof(*items));
		if (items)
			n = leaves_anew(index, &change, items);
		for (; items && n > 1; height++)
			n = level_up(&change, items, n);
		if (!items || !n) {
			(void)via_index_change_failed(&change); /* it only costs memory */
			free(items);
			return;
		}
		via_index_publish(index, items[0].at, height);
	} else {
		via_index_publish(index, NULL, 0);
	}
	free(items);
	via_index_tree_dead(&change, via_index_node_of(root), via_index_height_of(root));
	via_index_change_done(index, &change);
}
