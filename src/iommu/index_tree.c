/* SPDX-License-Identifier: MIT */
/* What an index is made of: leaves and nodes come by a change, and go after a grace period. */
#include "iommu/index_tree.h"

#include "base/slab.h"
#include "base/util.h"

#include <errno.h>

static struct via_slab leaf_slab = VIA_SLAB(struct via_index_leaf);
static struct via_slab node_slab = VIA_SLAB(struct via_index_node);

static void push(struct via_index_block **list, struct via_index_block *block)
{
	block->next = *list;
	*list = block;
}

static void free_blocks(struct via_index_block *block)
{
	while (block) {
		struct via_index_block *next = block->next;

		via_slab_free(block->self);
		block = next;
	}
}

static void free_dead(struct via_epoch_head *head)
{
	free_blocks(via_container_of(head, struct via_index_block, head));
}

struct via_index_leaf *via_index_leaf_new(struct via_index_change *change)
{
	struct via_index_leaf *leaf = via_slab_alloc(&leaf_slab);

	if (!leaf)
		return NULL;
	*leaf = (struct via_index_leaf){ .block.self = leaf };
	for (size_t i = 0; i < VIA_INDEX_SLOTS; i++)
		leaf->first[i] = UINT64_MAX;
	push(&change->made, &leaf->block);
	change->n_leaves_made++;
	return leaf;
}

struct via_index_node *via_index_node_new(struct via_index_change *change)
{
	struct via_index_node *node = via_slab_alloc(&node_slab);

	if (!node)
		return NULL;
	node->n = 0;
	node->block.self = node;
	for (size_t i = 0; i < VIA_INDEX_CHILDREN - 1; i++)
		node->bounds[i] = UINT64_MAX;
	for (size_t i = 0; i < VIA_INDEX_CHILDREN; i++)
		node->children[i] = NULL;
	push(&change->made, &node->block);
	return node;
}

struct via_index_leaf *via_index_leaf_of(struct via_index_change *change,
					 struct via_ioas_area *const *areas, size_t n)
{
	struct via_index_leaf *leaf = via_index_leaf_new(change);

	for (size_t i = 0; leaf && i < n; i++)
		via_index_slot_fill(leaf, i, areas[i]);
	return leaf;
}

void via_index_leaf_dead(struct via_index_change *change, struct via_index_leaf *leaf)
{
	push(&change->dead, &leaf->block);
	change->n_leaves_dead++;
}

void via_index_node_dead(struct via_index_change *change, struct via_index_node *node)
{
	push(&change->dead, &node->block);
}

void via_index_tree_dead(struct via_index_change *change, void *at, unsigned int level)
{
	struct via_index_node *node = at;

	if (!level) {
		via_index_leaf_dead(change, at);
		return;
	}
	for (size_t i = 0; i < node->n; i++)
		via_index_tree_dead(change, node->children[i], level - 1);
	via_index_node_dead(change, node);
}

int via_index_change_failed(struct via_index_change *change)
{
	free_blocks(change->made);
	return -ENOMEM;
}

void via_index_change_done(struct via_index *index, struct via_index_change *change)
{
	index->n_leaves += change->n_leaves_made - change->n_leaves_dead;
	if (change->dead)
		via_epoch_defer(&change->dead->head, free_dead);
}

void via_index_change_done_alone(struct via_index_change *change)
{
	free_blocks(change->dead);
}

size_t via_index_leaf_sort(const struct via_index_leaf *leaf,
			   struct via_ioas_area *areas[VIA_INDEX_SLOTS])
{
	size_t n = 0;

	for (size_t i = 0; i < VIA_INDEX_SLOTS; i++) {
		struct via_ioas_area *area = via_index_area_at(leaf, i);
		size_t at = n;

		if (!area)
			continue;
		for (; at && areas[at - 1]->first > area->first; at--)
			areas[at] = areas[at - 1];
		areas[at] = area;
		n++;
	}
	return n;
}
