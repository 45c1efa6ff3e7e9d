/* SPDX-License-Identifier: MIT */
/*
 * An ordered map in wide nodes, as Rust's std has one: up to eleven entries in
 * each, searched one after another, so that it has far fewer cache misses than
 * a red-black tree. Insertion and what the peers ask; nothing is ever removed.
 */
#ifndef VIA_BENCH_BTREE_H
#define VIA_BENCH_BTREE_H

#include <algorithm>
#include <cstdint>
#include <utility>

struct bus_range {
	uint64_t base;
	uint64_t len;

	bool overlaps(uint64_t other_base, uint64_t other_len) const
	{
		return base < other_base + other_len && other_base < base + len;
	}
};

template <typename Value> class btree
{
	static constexpr unsigned int CAPACITY = 11, HALF = CAPACITY / 2;

	struct node {
		bool inner;
		unsigned int n = 0;
		bus_range key[CAPACITY];
		Value value[CAPACITY];

		explicit node(bool is_inner) : inner(is_inner)
		{
		}
	};
	struct inner_node : node {
		node *child[CAPACITY + 1];

		inner_node() : node(true)
		{
		}
	};

	node *root = nullptr;

	static inner_node *as_inner(node *n)
	{
		return static_cast<inner_node *>(n);
	}

	/* Entries of @n that start at or below @base. */
	static unsigned int position(const node *n, uint64_t base)
	{
		unsigned int i = 0;

		while (i < n->n && n->key[i].base <= base)
			i++;
		return i;
	}

	static void open_gap(node *n, unsigned int at)
	{
		std::move_backward(n->key + at, n->key + n->n, n->key + n->n + 1);
		std::move_backward(n->value + at, n->value + n->n, n->value + n->n + 1);
		n->n++;
	}

	/* The full child @at of @parent becomes two, with its middle entry between them. */
	static void split(inner_node *parent, unsigned int at)
	{
		node *left = parent->child[at];
		node *right = left->inner ? new inner_node : new node(false);

		right->n = CAPACITY - HALF - 1;
		std::move(left->key + HALF + 1, left->key + CAPACITY, right->key);
		std::move(left->value + HALF + 1, left->value + CAPACITY, right->value);
		if (left->inner)
			std::copy(as_inner(left)->child + HALF + 1,
				  as_inner(left)->child + CAPACITY + 1, as_inner(right)->child);
		std::copy_backward(parent->child + at + 1, parent->child + parent->n + 1,
				   parent->child + parent->n + 2);
		open_gap(parent, at);
		parent->key[at] = left->key[HALF];
		parent->value[at] = std::move(left->value[HALF]);
		parent->child[at + 1] = right;
		left->n = HALF;
	}

	template <typename Predicate> static bool any_below(const node *n, Predicate predicate)
	{
		for (unsigned int i = 0; i < n->n; i++) {
			if (predicate(n->key[i]))
				return true;
		}
		if (!n->inner)
			return false;
		for (unsigned int i = 0; i <= n->n; i++) {
			if (any_below(static_cast<const inner_node *>(n)->child[i], predicate))
				return true;
		}
		return false;
	}

	static void free_below(node *n)
	{
		if (!n->inner) {
			delete n;
			return;
		}
		for (unsigned int i = 0; i <= n->n; i++)
			free_below(as_inner(n)->child[i]);
		delete as_inner(n);
	}

      public:
	~btree()
	{
		if (root)
			free_below(root);
	}

	void insert(const bus_range &key, Value value)
	{
		node *n;

		if (!root)
			root = new node(false);
		if (root->n == CAPACITY) {
			inner_node *top = new inner_node;

			top->child[0] = root;
			root = top;
			split(top, 0);
		}
		for (n = root; n->inner;) {
			unsigned int at = position(n, key.base);

			if (as_inner(n)->child[at]->n == CAPACITY) {
				split(as_inner(n), at);
				at += n->key[at].base <= key.base;
			}
			n = as_inner(n)->child[at];
		}
		unsigned int at = position(n, key.base);

		open_gap(n, at);
		n->key[at] = key;
		n->value[at] = std::move(value);
	}

	/* The last entry at or below @addr; nullptr if there is none. */
	const Value *last_at_most(uint64_t addr, bus_range *ret_key) const
	{
		const node *n = root, *found = nullptr;
		unsigned int found_at = 0;

		while (n) {
			unsigned int at = position(n, addr);

			if (at) {
				found = n;
				found_at = at - 1;
			}
			if (!n->inner)
				break;
			n = static_cast<const inner_node *>(n)->child[at];
		}
		if (!found)
			return nullptr;
		*ret_key = found->key[found_at];
		return &found->value[found_at];
	}

	template <typename Predicate> bool any(Predicate predicate) const
	{
		return root && any_below(root, predicate);
	}
};

#endif
