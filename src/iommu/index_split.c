/* SPDX-License-Identifier: MIT */
/* A full leaf becomes two; so does a full node above it, up to a new root. */
#include "iommu/index_tree.h"

#include <errno.h>

/* Two children that take the place of one. bound: the last IOVA of the left one. */
struct pair {
	void *left, *right;
	via_iova_t bound;
	struct via_index_span left_span, right_span;
};

/* Children from .. to - 1 of what node would be with the pair in place of child at. */
static struct via_index_node *node_part(struct via_index_change *change,
					const struct via_index_node *node, size_t at,
					const struct pair *pair, size_t from, size_t to)
{
	struct via_index_node *part = via_index_node_new(change);

	for (size_t i = from; part && i < to; i++) {
		size_t old = i > at ? i - 1 : i;
		via_iova_t bound = old < VIA_INDEX_CHILDREN - 1 ? node->bounds[old] : UINT64_MAX;

		if (i == at)
			via_index_node_append(part, pair->left, pair->bound, &pair->left_span);
		else if (i == at + 1)
			via_index_node_append(part, pair->right, bound, &pair->right_span);
		else
			via_index_node_append(part, node->children[old], bound, &node->spans[old]);
	}
	/* What lies above the node bounds its last child. */
	if (part && part->n < VIA_INDEX_CHILDREN)
		part->bounds[part->n - 1] = UINT64_MAX;
	return part;
}

/* The pair's left part is the child that is there, and has nothing to its right. */
static bool appends(const struct via_index_node *node, size_t at, const struct pair *pair)
{
	return at == node->n - 1 && node->children[at] == pair->left;
}

/* A full node: pair becomes what takes its place. */
static bool node_split(struct via_index_change *change, struct via_index_node *node, size_t at,
		       struct pair *pair)
{
	struct via_index_node *left = node, *right;

	if (appends(node, at, pair)) {
		/* So that ascending maps fill nodes to the end. */
		right = via_index_node_new(change);
		if (!right)
			return false;
		via_index_node_append(right, pair->right, UINT64_MAX, &pair->right_span);
	} else {
		const size_t half = (VIA_INDEX_CHILDREN + 1) / 2;
		via_iova_t bound;

		left = node_part(change, node, at, pair, 0, half);
		right = node_part(change, node, at, pair, half, VIA_INDEX_CHILDREN + 1);
		if (!left || !right)
			return false;
		bound = half - 1 == at ? pair->bound
				       : node->bounds[half - 1 > at ? half - 2 : half - 1];
		via_index_node_dead(change, node);
		pair->bound = bound;
	}
	pair->left = left;
	pair->right = right;
	pair->left_span = via_index_node_span(left);
	pair->right_span = via_index_node_span(right);
	return true;
}

/* Put the pair in place of the leaf, and publish it. Spans know up to the level returned; or -ENOMEM. */
static int put_pair(struct via_index *index, const struct via_index_path *path,
		    struct via_index_change *change, struct pair *pair)
{
	unsigned int level = 1;
	struct via_index_node *node, *fresh;
	size_t at;

	for (; level <= path->height && path->node[level]->n == VIA_INDEX_CHILDREN; level++)
		if (!node_split(change, path->node[level], path->child[level], pair))
			return -ENOMEM;
	if (level > path->height) {
		fresh = level <= VIA_INDEX_HEIGHT_MAX ? via_index_node_new(change) : NULL;
		if (!fresh)
			return -ENOMEM;
		via_index_node_append(fresh, pair->left, pair->bound, &pair->left_span);
		via_index_node_append(fresh, pair->right, UINT64_MAX, &pair->right_span);
		via_index_publish(index, fresh, level);
		return (int)level;
	}
	node = path->node[level];
	at = path->child[level];
	if (appends(node, at, pair)) {
		node->spans[node->n] = pair->right_span;
		__atomic_store_n(&node->children[node->n], pair->right, __ATOMIC_RELEASE);
		node->n++;
		via_index_store(&node->bounds[at], pair->bound);
		return (int)level;
	}
	fresh = node_part(change, node, at, pair, 0, node->n + 1);
	if (!fresh)
		return -ENOMEM;
	via_index_node_dead(change, node);
	if (level == path->height)
		via_index_publish(index, fresh, level);
	else
		__atomic_store_n(&path->node[level + 1]->children[path->child[level + 1]], fresh,
				 __ATOMIC_RELEASE);
	return (int)level;
}

/* Two leaves for a full one, with area; and low in place of what starts there if it is not NULL. */
static bool leaf_split(struct via_index_change *change, struct via_index_leaf *leaf,
		       struct via_ioas_area *low, struct via_ioas_area *area, struct pair *pair)
{
	struct via_ioas_area *areas[VIA_INDEX_SLOTS + 1];
	size_t n = via_index_leaf_sort(leaf, areas), at = n, half;
	struct via_index_leaf *left = leaf, *right = leaf;

	for (size_t i = 0; low && i < n; i++)
		if (areas[i]->first == low->first)
			areas[i] = low;
	for (; at && areas[at - 1]->first > area->first; at--)
		areas[at] = areas[at - 1];
	areas[at] = area;
	/* So that ascending and descending maps fill leaves to the end. */
	half = low ? (n + 1) / 2 : at == n ? n : at == 0 ? 1 : (n + 1) / 2;
	if (low || at != n)
		left = via_index_leaf_of(change, areas, half);
	if (low || at != 0)
		right = via_index_leaf_of(change, areas + half, n + 1 - half);
	if (!left || !right)
		return false;
	if (left != leaf && right != leaf)
		via_index_leaf_dead(change, leaf);
	*pair = (struct pair){left, right, areas[half - 1]->last, via_index_areas_span(areas, half),
			      via_index_areas_span(areas + half, n + 1 - half)};
	return true;
}

int via_index_split(struct via_index *index, const struct via_index_path *path,
		    struct via_ioas_area *low, struct via_ioas_area *area)
{
	struct via_index_change change = { 0 };
	struct pair pair;
	int level;

	if (!leaf_split(&change, path->leaf, low, area, &pair))
		return via_index_change_failed(&change);
	level = put_pair(index, path, &change, &pair);
	if (level < 0)
		return via_index_change_failed(&change);
	via_index_spans_add(path, (unsigned int)level, area);
	via_index_change_done(index, &change);
	return 0;
}
