/* SPDX-License-Identifier: MIT */
/*
 * The peer of the index of areas: a red-black tree with nodes inside its
 * records. Areas do not overlap, so an interval tree needs no more than this: the
 * greatest end below a node would only have to be kept up to date.
 */
#ifndef VIA_BENCH_RBTREE_H
#define VIA_BENCH_RBTREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a lookup needs is in one cache line, if the record is aligned to one. */
struct rb_node {
	struct rb_node *child[2];
	uint64_t first, last;
	struct rb_node *parent;
	bool red;
};

static inline struct rb_node *rb_lookup(struct rb_node *node, uint64_t at)
{
	while (node) {
		if (at < node->first)
			node = node->child[0];
		else if (at > node->last)
			node = node->child[1];
		else
			break;
	}
	return node;
}

static inline void rb_rotate(struct rb_node **root, struct rb_node *node, int dir)
{
	struct rb_node *up = node->child[!dir], *parent = node->parent;

	node->child[!dir] = up->child[dir];
	if (up->child[dir])
		up->child[dir]->parent = node;
	up->child[dir] = node;
	up->parent = parent;
	node->parent = up;
	if (!parent)
		*root = up;
	else
		parent->child[parent->child[1] == node] = up;
}

static inline void rb_insert(struct rb_node **root, struct rb_node *node)
{
	struct rb_node **link = root, *parent = NULL;

	while (*link) {
		parent = *link;
		link = &parent->child[node->first > parent->first];
	}
	node->child[0] = node->child[1] = NULL;
	node->parent = parent;
	node->red = true;
	*link = node;
	while ((parent = node->parent) && parent->red) {
		struct rb_node *grand = parent->parent;
		int side = grand->child[1] == parent;
		struct rb_node *uncle = grand->child[!side];

		if (uncle && uncle->red) {
			uncle->red = parent->red = false;
			grand->red = true;
			node = grand;
			continue;
		}
		if (parent->child[!side] == node) {
			rb_rotate(root, parent, side);
			node = parent;
			parent = node->parent;
		}
		parent->red = false;
		grand->red = true;
		rb_rotate(root, grand, !side);
	}
	(*root)->red = false;
}

#endif
