/* SPDX-License-Identifier: MIT */
/*
 * The tree behind an index, for those who keep its parts: index.c (what changes one
 * leaf), index_split.c (a full leaf), index_trim.c (a tree that is mostly empty),
 * index_lookup.c (readers), index_holes.c (spans and holes), index_tree.c (memory).
 *
 * Leaves have up to 15 areas in no order, and are changed in place. Above them
 * are nodes with up to 32 children, whose bounds tell readers the way, and whose
 * spans tell the changer what lies below.
 *
 * Child i of a node has what lies above bounds[i - 1] up to bounds[i], which is
 * the last IOVA that belongs to it; nothing bounds the last child but what is
 * above the node. Bounds only rise while a node is in use: over IOVAs where
 * nothing lives, when an area is about to be put there. A node changes
 * otherwise by an appended child, which counts once the bound before it is
 * there; or it is replaced by a copy. What was replaced stays as it is until
 * its readers have left.
 *
 * A reader that comes to a leaf by an old way finds all that has been there since
 * it began, because areas leave a leaf for another only together with the
 * leaf's replacement.
 */
#ifndef VIA_IOMMU_INDEX_TREE_H
#define VIA_IOMMU_INDEX_TREE_H

#include "iommu/index.h"

#include "base/epoch.h"

#define VIA_INDEX_SLOTS 15u
#define VIA_INDEX_CHILDREN 32u
#define VIA_INDEX_HEIGHT_MAX 16u /* a root is made of 32 full nodes: never reached */
#define VIA_INDEX_LINE 64u

/* In the low bits of a pointer to an area. */
#define VIA_INDEX_PROT ((uintptr_t)(VIA_PROT_READ | VIA_PROT_WRITE))

/* Changer's: to free several after one grace period. */
struct via_index_block {
	struct via_epoch_head head; /* of the first in a list of dead ones */
	struct via_index_block *next;
	void *self; /* a leaf or a node */
};

/*
 * Slot i is empty when first[i] > last[i]. To fill it: raise the version, then
 * write area, host, last, first. To empty it: first, last. So bounds and area that
 * a reader has found together under one version belong together.
 *
 * A reader that has come to a leaf wants all its lines at once, so what a translation
 * needs is here, and no further miss of the cache follows.
 */
struct via_index_leaf {
	_Alignas(VIA_INDEX_LINE) uint64_t version; /* atomic */
	uint64_t first[VIA_INDEX_SLOTS];	   /* atomic, each; like last and areas */
	uint64_t last[VIA_INDEX_SLOTS];
	uint64_t n_used;		  /* atomic: slots above have always been empty */
	uintptr_t areas[VIA_INDEX_SLOTS]; /* atomic, each; with VIA_INDEX_PROT bits */
	uint8_t *host[VIA_INDEX_SLOTS];	  /* atomic, each: area->host while it is shown */
	struct via_index_block block;
};

/* What lies below: changer's. Empty: lo > hi. */
struct via_index_span {
	via_iova_t lo, hi;
	uint64_t gap; /* no hole between two neighbours is longer; it may be that none is as long */
};

struct via_index_node {
	/* atomic, each; ascending. UINT64_MAX from the last child's on */
	_Alignas(VIA_INDEX_LINE) uint64_t bounds[VIA_INDEX_CHILDREN - 1];
	uint64_t n;			    /* changer's */
	void *children[VIA_INDEX_CHILDREN]; /* atomic, each: nodes or leaves */
	struct via_index_span spans[VIA_INDEX_CHILDREN];
	struct via_index_block block;
};

#define VIA_INDEX_EMPTY_SPAN ((struct via_index_span){ .lo = UINT64_MAX })

/* The way to a leaf. Level 1 is above the leaf. */
struct via_index_path {
	unsigned int height;
	struct via_index_node *node[VIA_INDEX_HEIGHT_MAX + 1];
	size_t child[VIA_INDEX_HEIGHT_MAX + 1];
	struct via_index_leaf *leaf;
};

/* Reading and writing --------------------------------------------------------- */

static inline uint64_t via_index_load(const uint64_t *p)
{
	return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static inline void via_index_store(uint64_t *p, uint64_t value)
{
	__atomic_store_n(p, value, __ATOMIC_RELEASE);
}

static inline uintptr_t via_index_root_of(const struct via_index *index)
{
	return __atomic_load_n(&index->root, __ATOMIC_ACQUIRE);
}

static inline unsigned int via_index_height_of(uintptr_t root)
{
	return root & (VIA_INDEX_LINE - 1);
}

static inline void *via_index_node_of(uintptr_t root)
{
	return (void *)(root & ~(uintptr_t)(VIA_INDEX_LINE - 1));
}

static inline void via_index_publish(struct via_index *index, void *at, unsigned int height)
{
	__atomic_store_n(&index->root, (uintptr_t)at | height, __ATOMIC_RELEASE);
}

static inline void *via_index_child_of(const struct via_index_node *node, size_t i)
{
	return __atomic_load_n(&node->children[i], __ATOMIC_ACQUIRE);
}

/* In a row of comparisons: one after the other, or the compiler first loads and spills them all. */
#define VIA_INDEX_IN_ORDER(result, from) __asm__("" : "+r"(result), "+r"(from))

/* All are compared, so that no branch has to be guessed. */
static inline size_t via_index_child_for(const struct via_index_node *node, via_iova_t iova)
{
	size_t n = 0;

#pragma GCC unroll 31
	for (size_t i = 0; i < VIA_INDEX_CHILDREN - 1; i++) {
		n += via_index_load(&node->bounds[i]) < iova;
		VIA_INDEX_IN_ORDER(n, node);
	}
	return n;
}

/* The lines of a leaf come together. */
static inline void via_index_prefetch_leaf(const void *leaf)
{
	for (size_t offset = 0; offset < offsetof(struct via_index_leaf, block);
	     offset += VIA_INDEX_LINE)
		__builtin_prefetch((const char *)leaf + offset);
}

/* Which of them is needed is known too late. */
static inline void via_index_prefetch_children(const struct via_index_node *node)
{
	for (size_t i = 0; i < VIA_INDEX_CHILDREN; i += VIA_INDEX_LINE / sizeof(void *))
		__builtin_prefetch(&node->children[i]);
}

/* Slots and spans, for the changer ------------------------------------------------ */

static inline struct via_ioas_area *via_index_area_at(const struct via_index_leaf *leaf, size_t i)
{
	return (struct via_ioas_area *)(leaf->areas[i] & ~VIA_INDEX_PROT);
}

static inline void via_index_leaf_bump(struct via_index_leaf *leaf)
{
	via_index_store(&leaf->version, leaf->version + 1);
}

/* Bounds apart. NULL: nothing. */
static inline void via_index_slot_set(struct via_index_leaf *leaf, size_t i,
				      const struct via_ioas_area *area)
{
	uint8_t *host = area && area->shown ? __atomic_load_n(&area->host, __ATOMIC_RELAXED) : NULL;

	__atomic_store_n(&leaf->areas[i],
			 area ? (uintptr_t)area | (area->prot & VIA_INDEX_PROT) : 0,
			 __ATOMIC_RELEASE);
	__atomic_store_n(&leaf->host[i], host, __ATOMIC_RELEASE);
}

static inline void via_index_slot_fill(struct via_index_leaf *leaf, size_t i,
				       struct via_ioas_area *area)
{
	via_index_leaf_bump(leaf);
	if (i >= leaf->n_used)
		via_index_store(&leaf->n_used, i + 1);
	via_index_slot_set(leaf, i, area);
	via_index_store(&leaf->last[i], area->last);
	via_index_store(&leaf->first[i], area->first);
}

static inline bool via_index_span_empty(const struct via_index_span *span)
{
	return span->lo > span->hi;
}

/* Put a child behind what a new node has. bound of the last one is not needed. */
static inline void via_index_node_append(struct via_index_node *node, void *child, via_iova_t bound,
					 const struct via_index_span *span)
{
	node->children[node->n] = child;
	node->spans[node->n] = *span;
	if (node->n < VIA_INDEX_CHILDREN - 1)
		node->bounds[node->n] = bound;
	node->n++;
}

/* In index_holes.c. */
struct via_index_span via_index_node_span(const struct via_index_node *node);
struct via_index_span via_index_areas_span(struct via_ioas_area *const *areas, size_t n);
/* An area has come to the leaf, or to what replaced it; the levels up to done know. */
void via_index_spans_add(const struct via_index_path *path, unsigned int done,
			 const struct via_ioas_area *area);
/* What started at first has gone from the leaf. */
void via_index_spans_remove(const struct via_index_path *path, via_iova_t first);

/* Making and replacing, in index_tree.c ------------------------------------------------ */

/* What one change makes, to be freed if it fails; and what it replaces, to be freed if not. */
struct via_index_change {
	struct via_index_block *made, *dead;
	size_t n_leaves_made, n_leaves_dead;
};

/* Empty, of the change; NULL: no memory. */
struct via_index_leaf *via_index_leaf_new(struct via_index_change *change);
struct via_index_node *via_index_node_new(struct via_index_change *change);
/* A leaf of n areas. */
struct via_index_leaf *via_index_leaf_of(struct via_index_change *change,
					 struct via_ioas_area *const *areas, size_t n);
/* To be freed when the change is done. */
void via_index_leaf_dead(struct via_index_change *change, struct via_index_leaf *leaf);
void via_index_node_dead(struct via_index_change *change, struct via_index_node *node);
void via_index_tree_dead(struct via_index_change *change, void *at, unsigned int level);
/* It has not been published: what it made is freed. -ENOMEM. */
int via_index_change_failed(struct via_index_change *change);
/* Nothing that begins now finds what is dead. */
void via_index_change_done(struct via_index *index, struct via_index_change *change);
/* It is, and there are no readers: what is dead is freed. */
void via_index_change_done_alone(struct via_index_change *change);

/* The areas in order; how many. */
size_t via_index_leaf_sort(const struct via_index_leaf *leaf,
			   struct via_ioas_area *areas[VIA_INDEX_SLOTS]);

/* In index_split.c ---------------------------------------------------------------------- */

/*
 * Put area into the leaf of path, which is full, and low in place of what starts there
 * if it is not NULL. 0 or -ENOMEM, then nothing has changed but bounds.
 */
int via_index_split(struct via_index *index, const struct via_index_path *path,
		    struct via_ioas_area *low, struct via_ioas_area *area);

#endif
