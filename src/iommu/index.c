/* SPDX-License-Identifier: MIT */
/*
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
#include "iommu/index.h"

#include "base/epoch.h"
#include "base/slab.h"
#include "base/util.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/* ThreadSanitizer takes vectors for what is not atomic. */
#if defined(__x86_64__) && !VIA_EPOCH_TSAN
#define INDEX_AVX512
#include <immintrin.h>
#endif

#define SLOTS 15u
#define CHILDREN 32u
#define HEIGHT_MAX 16u /* a root is made of 32 full nodes: never reached */
#define LINE 64u
/* A tree that is made anew gets so many of each, so that there is room. */
#define SLOTS_FILL 12u
#define CHILDREN_FILL 28u

/* In the low bits of a pointer to an area. */
#define PROT ((uintptr_t)(VIA_PROT_READ | VIA_PROT_WRITE))

/* Changer's: to free several after one grace period. */
struct block {
	struct via_epoch_head head; /* of the first in a list of dead ones */
	struct block *next;
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
struct leaf {
	_Alignas(LINE) uint64_t version; /* atomic */
	uint64_t first[SLOTS];		 /* atomic, each; like last and areas */
	uint64_t last[SLOTS];
	uint64_t n_used;		 /* atomic: slots above have always been empty */
	uintptr_t areas[SLOTS]; /* atomic, each; with PROT bits */
	uint8_t *host[SLOTS];	/* atomic, each: area->host while it is shown */
	struct block block;
};

/* What lies below: changer's. Empty: lo > hi. */
struct span {
	via_iova_t lo, hi;
	uint64_t gap; /* no hole between two neighbours is longer; it may be that none is as long */
};

struct node {
	_Alignas(LINE) uint64_t bounds[CHILDREN - 1]; /* atomic, each; ascending. UINT64_MAX from the last child's on */
	uint64_t n;			 /* changer's */
	void *children[CHILDREN];	 /* atomic, each: nodes or leaves */
	struct span spans[CHILDREN];
	struct block block;
};

/* The way to a leaf. Level 1 is above the leaf. */
struct path {
	unsigned int height;
	struct node *node[HEIGHT_MAX + 1];
	size_t child[HEIGHT_MAX + 1];
	struct leaf *leaf;
};

static const struct span empty_span = { .lo = UINT64_MAX };

static struct via_slab leaf_slab = VIA_SLAB(struct leaf);
static struct via_slab node_slab = VIA_SLAB(struct node);

/* Lookup ------------------------------------------------------------------ */

static inline uint64_t load(const uint64_t *p)
{
	return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static inline void store(uint64_t *p, uint64_t value)
{
	__atomic_store_n(p, value, __ATOMIC_RELEASE);
}

static inline uintptr_t root_of(const struct via_index *index)
{
	return __atomic_load_n(&index->root, __ATOMIC_ACQUIRE);
}

static inline unsigned int height_of(uintptr_t root)
{
	return root & (LINE - 1);
}

static inline void *node_of(uintptr_t root)
{
	return (void *)(root & ~(uintptr_t)(LINE - 1));
}

static inline void *child_of(const struct node *node, size_t i)
{
	return __atomic_load_n(&node->children[i], __ATOMIC_ACQUIRE);
}

/* In a long row of comparisons: one after the other, or the compiler first loads them all and spills them. */
#define IN_ORDER(result, from) __asm__("" : "+r"(result), "+r"(from))

/* All are compared, so that no branch has to be guessed. */
static inline size_t child_for(const struct node *node, via_iova_t iova)
{
	size_t n = 0;

#pragma GCC unroll 31
	for (size_t i = 0; i < CHILDREN - 1; i++) {
		n += load(&node->bounds[i]) < iova;
		IN_ORDER(n, node);
	}
	return n;
}

static inline bool slot_has(const struct leaf *leaf, size_t i, via_iova_t iova)
{
	uint64_t from = load(&leaf->first[i]) <= iova;

	/* Or the compiler makes a branch of it. */
	IN_ORDER(from, leaf);
	return from & (load(&leaf->last[i]) >= iova);
}

/* What slot i (SLOTS: nothing) has. */
static inline struct via_translation slot_get(const struct leaf *leaf, size_t i)
{
	uintptr_t area;

	if (__builtin_expect(i == SLOTS, 0))
		return (struct via_translation){ 0 };
	area = __atomic_load_n(&leaf->areas[i], __ATOMIC_ACQUIRE);
	return (struct via_translation){
		.area = (struct via_ioas_area *)(area & ~PROT),
		.first = load(&leaf->first[i]),
		.last = load(&leaf->last[i]),
		.prot = (unsigned int)(area & PROT),
		.host = __atomic_load_n(&leaf->host[i], __ATOMIC_ACQUIRE),
	};
}

static struct via_translation lookup_small(const struct leaf *leaf, via_iova_t iova)
{
	struct via_translation found;
	uint64_t version;

	do {
		size_t n, slot = 0;

		/* First: a slot that has come since would not be looked at, and nobody would know. */
		version = load(&leaf->version);
		n = load(&leaf->n_used);
		while (slot < n && !slot_has(leaf, slot, iova))
			slot++;
		found = slot_get(leaf, slot < n ? slot : SLOTS);
	} while (__builtin_expect(load(&leaf->version) != version, 0));
	return found;
}

static struct via_translation lookup_leaf(const struct leaf *leaf, via_iova_t iova)
{
	struct via_translation found;
	uint64_t version;

	do {
		size_t slot = SLOTS;

		version = load(&leaf->version);
#pragma GCC unroll 15
		for (size_t i = 0; i < SLOTS; i++) {
			slot = slot_has(leaf, i, iova) ? i : slot;
			IN_ORDER(slot, leaf);
		}
		found = slot_get(leaf, slot);
	} while (__builtin_expect(load(&leaf->version) != version, 0));
	return found;
}

/* The lines of a leaf come together. */
static inline void prefetch_leaf(const void *leaf)
{
	for (size_t offset = 0; offset < offsetof(struct leaf, block); offset += LINE)
		__builtin_prefetch((const char *)leaf + offset);
}

/* Which of them is needed is known too late. */
static inline void prefetch_children(const struct node *node)
{
	for (size_t i = 0; i < CHILDREN; i += LINE / sizeof(void *))
		__builtin_prefetch(&node->children[i]);
}

static struct via_translation lookup_below(const void *at, unsigned int level, via_iova_t iova)
{
	/* The root is in the cache. */
	for (;;) {
		at = child_of(at, child_for(at, iova));
		if (!--level)
			break;
		prefetch_children(at);
	}
	prefetch_leaf(at);
	return lookup_leaf(at, iova);
}

/* The same eight words at once. To the memory model each of them is an acquiring load, as all are here. */
#ifdef INDEX_AVX512
#define AVX512 __attribute__((target("avx512f,popcnt,bmi")))

static inline AVX512 unsigned int below_avx512(const uint64_t *words, __m512i iova)
{
	return _mm512_cmplt_epu64_mask(_mm512_load_si512(words), iova);
}

static inline AVX512 unsigned int above_avx512(const uint64_t *words, __m512i iova)
{
	return _mm512_cmpgt_epu64_mask(_mm512_load_si512(words), iova);
}

static inline AVX512 size_t child_for_avx512(const struct node *node, __m512i iova)
{
	unsigned int low = below_avx512(node->bounds, iova) | below_avx512(node->bounds + 8, iova) << 8;
	unsigned int high = below_avx512(node->bounds + 16, iova) |
			    (below_avx512(node->bounds + 24, iova) & 0x7f) << 8; /* n is not a bound */

	return (size_t)__builtin_popcount(low | high << 16);
}

static AVX512 struct via_translation lookup_avx512(const void *at, unsigned int level,
						   via_iova_t key)
{
	const __m512i iova = _mm512_set1_epi64((long long)key);
	const struct leaf *leaf;
	struct via_translation found;
	uint64_t version;

	/* The root is in the cache. */
	for (;;) {
		at = child_of(at, child_for_avx512(at, iova));
		if (!--level)
			break;
		prefetch_children(at);
	}
	prefetch_leaf(at);
	leaf = at;
	do {
		unsigned int not_from, not_to;

		version = load(&leaf->version);
		not_from = above_avx512(&leaf->version, iova) |
			   above_avx512(&leaf->version + 8, iova) << 8;
		/* A slot's first before its last. */
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
		not_to = below_avx512(leaf->last, iova) | below_avx512(leaf->last + 8, iova) << 8;
		/* Bit 15, where there is no slot, is set in the end. */
		found = slot_get(leaf, (size_t)__builtin_ctz((~(not_from >> 1 | not_to) & 0x7fff) | 0x8000));
	} while (__builtin_expect(load(&leaf->version) != version, 0));
	return found;
}
#endif

static inline struct via_translation lookup(const struct via_index *index, via_iova_t iova,
					    bool plain)
{
	uintptr_t root = root_of(index);
	const void *at = node_of(root);
	unsigned int level = height_of(root);

	if (!level)
		return at ? lookup_small(at, iova) : (struct via_translation){ 0 };
#ifdef INDEX_AVX512
	if (!plain && __builtin_cpu_supports("avx512f"))
		return lookup_avx512(at, level, iova);
#endif
	return lookup_below(at, level, iova);
}

struct via_translation via_index_translate(const struct via_index *index, via_iova_t iova)
{
	return lookup(index, iova, false);
}

struct via_translation via_index_translate_plain(const struct via_index *index, via_iova_t iova)
{
	return lookup(index, iova, true);
}

struct via_ioas_area *via_index_lookup(const struct via_index *index, via_iova_t iova)
{
	return lookup(index, iova, false).area;
}

/* Spans ------------------------------------------------------------------- */

static bool is_empty(const struct span *span)
{
	return span->lo > span->hi;
}

/* An area that was not there. */
static void span_add(struct span *span, via_iova_t first, via_iova_t last)
{
	if (is_empty(span)) {
		*span = (struct span){ first, last, 0 };
	} else if (first > span->hi) {
		span->gap = via_max_u64(span->gap, first - span->hi - 1);
		span->hi = last;
	} else if (last < span->lo) {
		span->gap = via_max_u64(span->gap, span->lo - last - 1);
		span->lo = first;
	}
}

/* What follows it. */
static void span_append(struct span *span, const struct span *next)
{
	if (is_empty(next))
		return;
	span_add(span, next->lo, next->hi);
	span->gap = via_max_u64(span->gap, next->gap);
}

static struct span node_span(const struct node *node)
{
	struct span span = empty_span;

	for (size_t i = 0; i < node->n; i++)
		span_append(&span, &node->spans[i]);
	return span;
}

/* For the changer. */
static struct via_ioas_area *area_at(const struct leaf *leaf, size_t i)
{
	return (struct via_ioas_area *)(leaf->areas[i] & ~PROT);
}

/* The areas in order; how many. */
static size_t leaf_sort(const struct leaf *leaf, struct via_ioas_area *areas[SLOTS])
{
	size_t n = 0;

	for (size_t i = 0; i < SLOTS; i++) {
		struct via_ioas_area *area = area_at(leaf, i);
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

static struct span areas_span(struct via_ioas_area *const *areas, size_t n)
{
	struct span span = empty_span;

	for (size_t i = 0; i < n; i++)
		span_add(&span, areas[i]->first, areas[i]->last);
	return span;
}

/* Find -------------------------------------------------------------------- */

/* Slot *ret_slot of the leaf has the first area that ends at or after iova. NULL: there is none. */
static const struct leaf *find(const struct via_index *index, via_iova_t iova, size_t *ret_slot)
{
	const void *at = node_of(index->root);
	const struct leaf *leaf;
	size_t slot = SLOTS;

	if (!at)
		return NULL;
	for (unsigned int level = height_of(index->root); level; level--) {
		const struct node *node = at;
		size_t i;

		prefetch_children(node);
		i = child_for(node, iova);
		__builtin_prefetch(&node->spans[i]);
		/* Most likely it is this one. */
		if (level == 1)
			prefetch_leaf(node->children[i]);
		while (i < node->n && (is_empty(&node->spans[i]) || node->spans[i].hi < iova))
			i++;
		if (i == node->n)
			return NULL;
		at = node->children[i];
	}
	prefetch_leaf(at);
	leaf = at;
	for (size_t i = 0; i < SLOTS; i++)
		if (leaf->areas[i] && leaf->last[i] >= iova &&
		    (slot == SLOTS || leaf->first[i] < leaf->first[slot]))
			slot = i;
	*ret_slot = slot;
	return slot < SLOTS ? leaf : NULL;
}

struct via_ioas_area *via_index_find(const struct via_index *index, via_iova_t iova)
{
	size_t slot;
	const struct leaf *leaf = find(index, iova, &slot);

	return leaf ? area_at(leaf, slot) : NULL;
}

bool via_index_overlaps(const struct via_index *index, via_iova_t first, via_iova_t last)
{
	size_t slot;
	const struct leaf *leaf = find(index, first, &slot);

	return leaf && leaf->first[slot] <= last;
}

/* Where next_hole() has got to: nothing before at is a hole that is long enough. */
struct search {
	via_iova_t at;
	uint64_t min_len;
	bool done; /* a hole ends before next, or at is behind all IOVAs */
	via_iova_t next;
	bool found;
};

/* Something begins at lo, and holes after it, up to hi, are to be looked for by the caller (or not, if short). */
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
static struct span search_below(struct search *search, void *at, unsigned int level)
{
	struct via_ioas_area *areas[SLOTS];
	struct node *node = at;
	size_t n;

	if (!level) {
		n = leaf_sort(at, areas);
		for (size_t i = 0; i < n && !search_stops(search, areas[i]->first); i++)
			search_skip(search, areas[i]->last);
		return areas_span(areas, n);
	}
	for (size_t i = 0; i < node->n; i++) {
		struct span *span = &node->spans[i];

		if (is_empty(span) || span->hi < search->at)
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
	return node_span(node);
}

bool via_index_next_hole(const struct via_index *index, via_iova_t from, uint64_t min_len,
			 struct via_iova_range *ret_hole)
{
	struct search search = { .at = from, .min_len = min_len ? min_len : 1 };

	if (index->root)
		(void)search_below(&search, node_of(index->root), height_of(index->root));
	if (!search.found) {
		if (search.done || UINT64_MAX - search.at < search.min_len - 1)
			return false;
		*ret_hole = (struct via_iova_range){ search.at, UINT64_MAX };
		return true;
	}
	*ret_hole = (struct via_iova_range){ search.at, search.next - 1 };
	return true;
}

/* Memory ------------------------------------------------------------------ */

/* What one change makes, to be freed if it fails; and what it replaces, to be freed if not. */
struct change {
	struct block *made, *dead;
	size_t n_leaves_made, n_leaves_dead;
};

static void push(struct block **list, struct block *block)
{
	block->next = *list;
	*list = block;
}

static void free_blocks(struct block *block)
{
	while (block) {
		struct block *next = block->next;

		via_slab_free(block->self);
		block = next;
	}
}

static void free_dead(struct via_epoch_head *head)
{
	free_blocks(via_container_of(head, struct block, head));
}

static struct leaf *leaf_new(struct change *change)
{
	struct leaf *leaf = via_slab_alloc(&leaf_slab);

	if (!leaf)
		return NULL;
	*leaf = (struct leaf){ .block.self = leaf };
	for (size_t i = 0; i < SLOTS; i++)
		leaf->first[i] = UINT64_MAX;
	push(&change->made, &leaf->block);
	change->n_leaves_made++;
	return leaf;
}

static struct node *node_new(struct change *change)
{
	struct node *node = via_slab_alloc(&node_slab);

	if (!node)
		return NULL;
	node->n = 0;
	node->block.self = node;
	for (size_t i = 0; i < CHILDREN - 1; i++)
		node->bounds[i] = UINT64_MAX;
	for (size_t i = 0; i < CHILDREN; i++)
		node->children[i] = NULL;
	push(&change->made, &node->block);
	return node;
}

static void leaf_dead(struct change *change, struct leaf *leaf)
{
	push(&change->dead, &leaf->block);
	change->n_leaves_dead++;
}

static int change_failed(struct change *change)
{
	free_blocks(change->made);
	return -ENOMEM;
}

/* Nothing that begins now finds what is dead. */
static void change_done(struct via_index *index, struct change *change)
{
	index->n_leaves += change->n_leaves_made - change->n_leaves_dead;
	if (change->dead)
		via_epoch_defer(&change->dead->head, free_dead);
}

static void tree_dead(struct change *change, void *at, unsigned int level)
{
	struct node *node = at;

	if (!level) {
		leaf_dead(change, at);
		return;
	}
	for (size_t i = 0; i < node->n; i++)
		tree_dead(change, node->children[i], level - 1);
	push(&change->dead, &node->block);
}

void via_index_init(struct via_index *index)
{
	*index = (struct via_index){ 0 };
}

void via_index_deinit(struct via_index *index)
{
	struct change change = { 0 };

	if (index->root)
		tree_dead(&change, node_of(index->root), height_of(index->root));
	free_blocks(change.dead);
	via_index_init(index);
}

/* Change ------------------------------------------------------------------ */

static void publish_root(struct via_index *index, void *at, unsigned int height)
{
	__atomic_store_n(&index->root, (uintptr_t)at | height, __ATOMIC_RELEASE);
}

static void bump(struct leaf *leaf)
{
	store(&leaf->version, leaf->version + 1);
}

/* Bounds apart. NULL: nothing. */
static void slot_set(struct leaf *leaf, size_t i, const struct via_ioas_area *area)
{
	uint8_t *host = area && area->shown ? __atomic_load_n(&area->host, __ATOMIC_RELAXED) : NULL;

	__atomic_store_n(&leaf->areas[i], area ? (uintptr_t)area | (area->prot & PROT) : 0,
			 __ATOMIC_RELEASE);
	__atomic_store_n(&leaf->host[i], host, __ATOMIC_RELEASE);
}

static void slot_fill(struct leaf *leaf, size_t i, struct via_ioas_area *area)
{
	bump(leaf);
	if (i >= leaf->n_used)
		store(&leaf->n_used, i + 1);
	slot_set(leaf, i, area);
	store(&leaf->last[i], area->last);
	store(&leaf->first[i], area->first);
}

/* SLOTS: there is none. */
static size_t slot_free(const struct leaf *leaf)
{
	size_t i = 0;

	while (i < SLOTS && leaf->areas[i])
		i++;
	return i;
}

/* The slot of the area that starts at first. */
static size_t slot_at(const struct leaf *leaf, via_iova_t first)
{
	size_t i = 0;

	while (i < SLOTS && (!leaf->areas[i] || leaf->first[i] != first))
		i++;
	assert(i < SLOTS);
	return i;
}

static struct leaf *leaf_of(struct change *change, struct via_ioas_area *const *areas, size_t n)
{
	struct leaf *leaf = leaf_new(change);

	for (size_t i = 0; leaf && i < n; i++)
		slot_fill(leaf, i, areas[i]);
	return leaf;
}

static void descend(const struct via_index *index, via_iova_t iova, struct path *path)
{
	void *at = node_of(index->root);

	path->height = height_of(index->root);
	for (unsigned int level = path->height; level; level--) {
		path->node[level] = at;
		prefetch_children(at);
		path->child[level] = child_for(at, iova);
		__builtin_prefetch(&path->node[level]->spans[path->child[level]]);
		at = path->node[level]->children[path->child[level]];
	}
	prefetch_leaf(at);
	path->leaf = at;
}

/*
 * What is not mapped up to last shall belong to the leaf. From right to left: bounds are ascending at any time.
 */
static void raise_bounds(const struct path *path, via_iova_t last)
{
	for (unsigned int level = path->height; level; level--) {
		struct node *node = path->node[level];

		for (size_t i = node->n - 1; i-- > path->child[level];)
			if (node->bounds[i] < last)
				store(&node->bounds[i], last);
	}
}

/* An area has come to the leaf, or to what replaced it; the levels up to done know. */
static void spans_add(const struct path *path, unsigned int done, const struct via_ioas_area *area)
{
	for (unsigned int level = done + 1; level <= path->height; level++)
		span_add(&path->node[level]->spans[path->child[level]], area->first, area->last);
}

/* Two children that take the place of one. bound: the last IOVA of the left one. */
struct pair {
	void *left, *right;
	via_iova_t bound;
	struct span left_span, right_span;
};

/* Put a child behind what a new node has. bound of the last one is not needed. */
static void node_append(struct node *node, void *child, via_iova_t bound, const struct span *span)
{
	node->children[node->n] = child;
	node->spans[node->n] = *span;
	if (node->n < CHILDREN - 1)
		node->bounds[node->n] = bound;
	node->n++;
}

/* Children from .. to - 1 of what node would be with the pair in place of child at. */
static struct node *node_part(struct change *change, const struct node *node, size_t at,
			      const struct pair *pair, size_t from, size_t to)
{
	struct node *part = node_new(change);

	for (size_t i = from; part && i < to; i++) {
		size_t old = i > at ? i - 1 : i;
		via_iova_t bound = old < CHILDREN - 1 ? node->bounds[old] : UINT64_MAX;

		if (i == at)
			node_append(part, pair->left, pair->bound, &pair->left_span);
		else if (i == at + 1)
			node_append(part, pair->right, bound, &pair->right_span);
		else
			node_append(part, node->children[old], bound, &node->spans[old]);
	}
	/* What lies above the node bounds its last child. */
	if (part && part->n < CHILDREN)
		part->bounds[part->n - 1] = UINT64_MAX;
	return part;
}

/* The pair's left part is the child that is there, and has nothing to its right. */
static bool appends(const struct node *node, size_t at, const struct pair *pair)
{
	return at == node->n - 1 && node->children[at] == pair->left;
}

/* A full node: pair becomes what takes its place. */
static bool node_split(struct change *change, struct node *node, size_t at, struct pair *pair)
{
	struct node *left = node, *right;

	if (appends(node, at, pair)) {
		/* So that ascending maps fill nodes to the end. */
		right = node_new(change);
		if (!right)
			return false;
		node_append(right, pair->right, UINT64_MAX, &pair->right_span);
	} else {
		const size_t half = (CHILDREN + 1) / 2;
		via_iova_t bound;

		left = node_part(change, node, at, pair, 0, half);
		right = node_part(change, node, at, pair, half, CHILDREN + 1);
		if (!left || !right)
			return false;
		bound = half - 1 == at ? pair->bound : node->bounds[half - 1 > at ? half - 2 : half - 1];
		push(&change->dead, &node->block);
		pair->bound = bound;
	}
	pair->left = left;
	pair->right = right;
	pair->left_span = node_span(left);
	pair->right_span = node_span(right);
	return true;
}

/* Put the pair in place of the leaf, and publish it. The level up to which spans know, or -ENOMEM. */
static int put_pair(struct via_index *index, const struct path *path, struct change *change,
		    struct pair *pair)
{
	unsigned int level = 1;
	struct node *node, *fresh;
	size_t at;

	for (; level <= path->height && path->node[level]->n == CHILDREN; level++)
		if (!node_split(change, path->node[level], path->child[level], pair))
			return -ENOMEM;
	if (level > path->height) {
		fresh = level <= HEIGHT_MAX ? node_new(change) : NULL;
		if (!fresh)
			return -ENOMEM;
		node_append(fresh, pair->left, pair->bound, &pair->left_span);
		node_append(fresh, pair->right, UINT64_MAX, &pair->right_span);
		publish_root(index, fresh, level);
		return (int)level;
	}
	node = path->node[level];
	at = path->child[level];
	if (appends(node, at, pair)) {
		node->spans[node->n] = pair->right_span;
		__atomic_store_n(&node->children[node->n], pair->right, __ATOMIC_RELEASE);
		node->n++;
		store(&node->bounds[at], pair->bound);
		return (int)level;
	}
	fresh = node_part(change, node, at, pair, 0, node->n + 1);
	if (!fresh)
		return -ENOMEM;
	push(&change->dead, &node->block);
	if (level == path->height)
		publish_root(index, fresh, level);
	else
		__atomic_store_n(&path->node[level + 1]->children[path->child[level + 1]], fresh,
				 __ATOMIC_RELEASE);
	return (int)level;
}

/* Two leaves for a full one, with area; and low in place of what starts there if it is not NULL. */
static bool leaf_split(struct change *change, struct leaf *leaf, struct via_ioas_area *low,
		       struct via_ioas_area *area, struct pair *pair)
{
	struct via_ioas_area *areas[SLOTS + 1];
	size_t n = leaf_sort(leaf, areas), at = n, half;
	struct leaf *left = leaf, *right = leaf;

	for (size_t i = 0; low && i < n; i++)
		if (areas[i]->first == low->first)
			areas[i] = low;
	for (; at && areas[at - 1]->first > area->first; at--)
		areas[at] = areas[at - 1];
	areas[at] = area;
	/* So that ascending and descending maps fill leaves to the end. */
	half = low ? (n + 1) / 2 : at == n ? n : at == 0 ? 1 : (n + 1) / 2;
	if (low || at != n)
		left = leaf_of(change, areas, half);
	if (low || at != 0)
		right = leaf_of(change, areas + half, n + 1 - half);
	if (!left || !right)
		return false;
	if (left != leaf && right != leaf)
		leaf_dead(change, leaf);
	*pair = (struct pair){ left, right, areas[half - 1]->last, areas_span(areas, half),
			       areas_span(areas + half, n + 1 - half) };
	return true;
}

static int insert_split(struct via_index *index, const struct path *path,
			struct via_ioas_area *low, struct via_ioas_area *area)
{
	struct change change = { 0 };
	struct pair pair;
	int level;

	if (!leaf_split(&change, path->leaf, low, area, &pair))
		return change_failed(&change);
	level = put_pair(index, path, &change, &pair);
	if (level < 0)
		return change_failed(&change);
	spans_add(path, (unsigned int)level, area);
	change_done(index, &change);
	return 0;
}

static int insert_first(struct via_index *index, struct via_ioas_area *area)
{
	struct change change = { 0 };
	struct leaf *leaf = leaf_of(&change, &area, 1);

	if (!leaf)
		return -ENOMEM;
	publish_root(index, leaf, 0);
	change_done(index, &change);
	return 0;
}

int via_index_insert(struct via_index *index, struct via_ioas_area *area)
{
	struct path path;
	size_t slot;
	int rc = 0;

	if (!index->root) {
		rc = insert_first(index, area);
	} else {
		descend(index, area->first, &path);
		raise_bounds(&path, area->last);
		slot = slot_free(path.leaf);
		if (slot < SLOTS) {
			slot_fill(path.leaf, slot, area);
			spans_add(&path, 0, area);
		} else {
			rc = insert_split(index, &path, NULL, area);
		}
	}
	index->n_areas += !rc;
	return rc;
}

/* Let readers know of area->shown. */
static void show(struct via_index *index, const struct via_ioas_area *area)
{
	struct path path;

	descend(index, area->first, &path);
	for (size_t i = 0; i < SLOTS; i++)
		if (area_at(path.leaf, i) == area)
			slot_set(path.leaf, i, area);
}

void via_index_replace(struct via_index *index, struct via_ioas_area *area)
{
	struct path path;
	size_t slot;

	descend(index, area->first, &path);
	slot = slot_at(path.leaf, area->first);
	assert(path.leaf->last[slot] == area->last);
	/* Between the two the one area may be found with the other's memory: both are good until the old one is freed. */
	slot_set(path.leaf, slot, area);
	bump(path.leaf);
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
	struct path path;
	struct leaf *leaf;
	size_t slot, old;
	int rc = 0;

	descend(index, low->first, &path);
	leaf = path.leaf;
	slot = slot_free(leaf);
	if (slot == SLOTS) {
		rc = insert_split(index, &path, low, high);
	} else {
		old = slot_at(leaf, low->first);
		slot_fill(leaf, slot, high);
		/* Who does not find the old area any more finds high, or a new version and looks again. */
		bump(leaf);
		store(&leaf->last[old], low->last);
		bump(leaf);
		slot_set(leaf, old, low);
	}
	index->n_areas += !rc;
	return rc;
}

/* Something has gone from child at of the node; what is the node's span, if it was this? */
static struct span span_after(const struct node *node, size_t at, struct span span)
{
	const struct span *own = &node->spans[at], *before = NULL, *behind = NULL;
	struct span around = empty_span;

	for (size_t i = at; i-- && !before;)
		before = is_empty(&node->spans[i]) ? NULL : &node->spans[i];
	for (size_t i = at + 1; i < node->n && !behind; i++)
		behind = is_empty(&node->spans[i]) ? NULL : &node->spans[i];
	if (before)
		span_append(&around, before);
	span_append(&around, own);
	if (behind)
		span_append(&around, behind);
	if (is_empty(&around))
		return empty_span;
	if (!before)
		span.lo = around.lo;
	if (!behind)
		span.hi = around.hi;
	span.gap = via_max_u64(span.gap, around.gap);
	return span;
}

/* The leaf's span, of which [first, last] has gone. */
static struct span leaf_span_after(const struct leaf *leaf, via_iova_t first, struct span span)
{
	via_iova_t before = 0, behind = UINT64_MAX, lo = UINT64_MAX, hi = 0;
	bool any = false;

	for (size_t i = 0; i < SLOTS; i++) {
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
		return empty_span;
	if (lo < first && hi > first)
		span.gap = via_max_u64(span.gap, behind - before - 1);
	return (struct span){ lo, hi, span.gap };
}

void via_index_remove(struct via_index *index, const struct via_ioas_area *area)
{
	struct path path;
	struct leaf *leaf;
	size_t slot;

	descend(index, area->first, &path);
	leaf = path.leaf;
	slot = slot_at(leaf, area->first);
	store(&leaf->first[slot], UINT64_MAX);
	store(&leaf->last[slot], 0);
	slot_set(leaf, slot, NULL);
	index->n_areas--;
	for (unsigned int level = 1; level <= path.height; level++) {
		struct span *span = &path.node[level]->spans[path.child[level]], fresh;

		if (level == 1)
			fresh = leaf_span_after(leaf, area->first, *span);
		else
			fresh = span_after(path.node[level - 1], path.child[level - 1], *span);
		if (fresh.lo == span->lo && fresh.hi == span->hi && fresh.gap == span->gap)
			break;
		*span = fresh;
	}
}

/* Trim -------------------------------------------------------------------- */

struct item {
	void *at;
	struct span span;
};

/* A level of nodes above n items; how many there are then, or 0 without memory. */
static size_t level_up(struct change *change, struct item *items, size_t n)
{
	size_t out = 0;

	for (size_t i = 0; i < n; out++) {
		struct node *node = node_new(change);

		if (!node)
			return 0;
		for (size_t k = 0; k < CHILDREN_FILL && i < n; k++, i++)
			node_append(node, items[i].at, items[i].span.hi, &items[i].span);
		node->bounds[node->n - 1] = UINT64_MAX;
		items[out] = (struct item){ node, node_span(node) };
	}
	return out;
}

/* All areas into new leaves; how many, or 0 without memory. */
static size_t leaves_anew(const struct via_index *index, struct change *change, struct item *items)
{
	struct via_ioas_area *areas[SLOTS_FILL] = { NULL }, *area = via_index_find(index, 0);
	size_t out = 0;

	for (; area; out++) {
		size_t n = 0;

		for (; area && n < SLOTS_FILL; n++) {
			areas[n] = area;
			area = area->last < UINT64_MAX ? via_index_find(index, area->last + 1) : NULL;
		}
		items[out] = (struct item){ leaf_of(change, areas, n), areas_span(areas, n) };
		if (!items[out].at)
			return 0;
	}
	return out;
}

void via_index_trim(struct via_index *index)
{
	struct change change = { 0 };
	struct item *items = NULL;
	uintptr_t root = index->root;
	unsigned int height = 0;
	size_t n;

	if (index->n_leaves < 2 || index->n_areas >= index->n_leaves * SLOTS / 4)
		return;
	if (index->n_areas) {
		n = (index->n_areas + SLOTS_FILL - 1) / SLOTS_FILL;
		items = malloc(n * sizeof(*items));
		if (items)
			n = leaves_anew(index, &change, items);
		for (; items && n > 1; height++)
			n = level_up(&change, items, n);
		if (!items || !n) {
			(void)change_failed(&change); /* it only costs memory */
			free(items);
			return;
		}
		publish_root(index, items[0].at, height);
	} else {
		publish_root(index, NULL, 0);
	}
	free(items);
	tree_dead(&change, node_of(root), height_of(root));
	change_done(index, &change);
}
