/* SPDX-License-Identifier: MIT */
/* The operations on an index. They change one leaf, unless it has no room (index_split.c). */
#include "iommu/index_tree.h"

#include <assert.h>
#include <errno.h>

void via_index_init(struct via_index *index)
{
	*index = (struct via_index){ 0 };
}

void via_index_deinit(struct via_index *index)
{
	struct via_index_change change = { 0 };

	if (index->root)
		via_index_tree_dead(&change, via_index_node_of(index->root),
				    via_index_height_of(index->root));
	via_index_change_done_alone(&change);
	via_index_init(index);
}

static void descend(const struct via_index *index, via_iova_t iova, struct via_index_path *path)
{
	void *at = via_index_node_of(index->root);

	path->height = via_index_height_of(index->root);
	for (unsigned int level = path->height; level; level--) {
		path->node[level] = at;
		via_index_prefetch_children(at);
		path->child[level] = via_index_child_for(at, iova);
		__builtin_prefetch(&path->node[level]->spans[path->child[level]]);
		at = path->node[level]->children[path->child[level]];
	}
	via_index_prefetch_leaf(at);
	path->leaf = at;
}

/* VIA_INDEX_SLOTS: there is none. */
static size_t slot_free(const struct via_index_leaf *leaf)
{
	size_t i = 0;

	while (i < VIA_INDEX_SLOTS && leaf->areas[i])
		i++;
	return i;
}

/* The slot of the area that starts at first. */
static size_t slot_at(const struct via_index_leaf *leaf, via_iova_t first)
{
	size_t i = 0;

	while (i < VIA_INDEX_SLOTS && (!leaf->areas[i] || leaf->first[i] != first))
		i++;
	assert(i < VIA_INDEX_SLOTS);
	return i;
}

/* What is not mapped up to last shall belong to the leaf. From right to left: bounds stay ascending. */
static void raise_bounds(const struct via_index_path *path, via_iova_t last)
{
	for (unsigned int level = path->height; level; level--) {
		struct via_index_node *node = path->node[level];

		for (size_t i = node->n - 1; i-- > path->child[level];)
			if (node->bounds[i] < last)
				via_index_store(&node->bounds[i], last);
	}
}

static int insert_first(struct via_index *index, struct via_ioas_area *area)
{
	struct via_index_change change = { 0 };
	struct via_index_leaf *leaf = via_index_leaf_of(&change, &area, 1);

	if (!leaf)
		return -ENOMEM;
	via_index_publish(index, leaf, 0);
	via_index_change_done(index, &change);
	return 0;
}

int via_index_insert(struct via_index *index, struct via_ioas_area *area)
{
	struct via_index_path path;
	size_t slot;
	int rc = 0;

	if (!index->root) {
		rc = insert_first(index, area);
	} else {
		descend(index, area->first, &path);
		raise_bounds(&path, area->last);
		slot = slot_free(path.leaf);
		if (slot < VIA_INDEX_SLOTS) {
			via_index_slot_fill(path.leaf, slot, area);
			via_index_spans_add(&path, 0, area);
		} else {
			rc = via_index_split(index, &path, NULL, area);
		}
	}
	index->n_areas += !rc;
	return rc;
}

/* Let readers know of area->shown. */
static void show(struct via_index *index, const struct via_ioas_area *area)
{
	struct via_index_path path;

	descend(index, area->first, &path);
	for (size_t i = 0; i < VIA_INDEX_SLOTS; i++)
		if (via_index_area_at(path.leaf, i) == area)
			via_index_slot_set(path.leaf, i, area);
}

void via_index_replace(struct via_index *index, struct via_ioas_area *area)
{
	struct via_index_path path;
	size_t slot;

	descend(index, area->first, &path);
	slot = slot_at(path.leaf, area->first);
	assert(path.leaf->last[slot] == area->last);
	/* Between the two one may be found with the other's memory: both are good until the old one is freed. */
	via_index_slot_set(path.leaf, slot, area);
	via_index_leaf_bump(path.leaf);
}

void via_index_show(struct via_index *index, struct via_ioas_area *area)
{
	area->shown = true;
	show(index, area);
}

void via_index_hide(struct via_index *index, struct via_ioas_area *area)
{
	if (!area->shown)
		return;
	area->shown = false;
	show(index, area);
}

int via_index_cut(struct via_index *index, struct via_ioas_area *low, struct via_ioas_area *high)
{
	struct via_index_path path;
	struct via_index_leaf *leaf;
	size_t slot, old;
	int rc = 0;

	descend(index, low->first, &path);
	leaf = path.leaf;
	slot = slot_free(leaf);
	if (slot == VIA_INDEX_SLOTS) {
		rc = via_index_split(index, &path, low, high);
	} else {
		old = slot_at(leaf, low->first);
		via_index_slot_fill(leaf, slot, high);
		/* Who does not find the old area any more finds high, or a new version and looks again. */
		via_index_leaf_bump(leaf);
		via_index_store(&leaf->last[old], low->last);
		via_index_leaf_bump(leaf);
		via_index_slot_set(leaf, old, low);
	}
	index->n_areas += !rc;
	return rc;
}

void via_index_remove(struct via_index *index, const struct via_ioas_area *area)
{
	struct via_index_path path;
	struct via_index_leaf *leaf;
	size_t slot;

	descend(index, area->first, &path);
	leaf = path.leaf;
	slot = slot_at(leaf, area->first);
	via_index_store(&leaf->first[slot], UINT64_MAX);
	via_index_store(&leaf->last[slot], 0);
	via_index_slot_set(leaf, slot, NULL);
	index->n_areas--;
	via_index_spans_remove(&path, area->first);
}
