/* SPDX-License-Identifier: MIT */
/*
 * Bits in leaves of 32,768 granules, leaves in a tree of nodes with 256
 * children. Level 0 is the granule, level 1 the 512 granules of a cache line
 * (one word in the leaf), and each node has a bit for each child: set when
 * something below it is.
 *
 * There is one tree for each height: tops[h] has what lies below 256^h leaves and
 * not below 256^(h-1). So low IOVAs, which are the usual ones, are found at
 * once, and the root never changes.
 *
 * Bits are set from the bottom to the top and cleared from the top to the bottom,
 * all sequentially consistent: who finds a summary bit set has set its own bit
 * below before the harvest, which is yet to clear that summary, looks there. A
 * marker tests every level, even if it finds its granule set: then all above is
 * set when it returns, also when the one who set the granule has not got so far.
 */
#include "iommu/dirty_store.h"

#include "base/epoch.h"
#include "base/util.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define LEAF_BITS 15
#define LEAF_WORDS (1u << (LEAF_BITS - 6))
#define LINE_WORDS 8u /* words below one bit of level 1 */
#define NODE_BITS 8
#define NODE_CHILDREN (1u << NODE_BITS)
#define HEIGHT 5u /* 15 + 5 * 8 bits: granules of 512 bytes */

/* Fewer blocks than these are kept even if they are clean. */
#define TRIM_MIN 64u

/* What leaves and nodes begin with: to be a list once they have been taken out. Changed by the harvest. */
struct block {
	struct block *next;
	uint64_t base; /* first granule; constant, like level: 0 for a leaf */
	unsigned int level;
};

struct leaf {
	struct block block;
	uint64_t lines; /* atomic: level 1 */
	_Alignas(64) uint64_t words[LEAF_WORDS]; /* atomic, each */
};

struct node {
	struct block block;
	uint64_t dirty[NODE_CHILDREN / 64]; /* atomic, each: a bit for each child */
	struct block *children[NODE_CHILDREN]; /* atomic: NULL, COARSE, or published by compare-and-swap */
};

struct via_dirty_store {
	unsigned int shift; /* constant: of a granule */
	size_t n_blocks;    /* atomic: leaves and nodes there are, but for the tops */
	pthread_mutex_t harvest_lock; /* one harvest or clear at a time; with trim_at */
	size_t trim_at;	    /* so many are too many */
	struct node tops[HEIGHT + 1]; /* [0] is not used */
};

/* Instead of a child there was no memory for: all of it is dirty. */
static struct block coarse;
#define COARSE (&coarse)

static uint64_t load(const uint64_t *word)
{
	return __atomic_load_n(word, __ATOMIC_SEQ_CST);
}

/* Most words have been set already: then they are not written, and stay in every cache. */
static void set_bits(uint64_t *word, uint64_t bits)
{
	if ((load(word) & bits) != bits)
		(void)__atomic_fetch_or(word, bits, __ATOMIC_SEQ_CST);
}

static struct block *child_of(const struct node *node, size_t i)
{
	return __atomic_load_n(&node->children[i], __ATOMIC_SEQ_CST);
}

/* Granules below a block of this level. */
static uint64_t span_of(unsigned int level)
{
	return (uint64_t)1 << (LEAF_BITS + NODE_BITS * level);
}

/* The bits of word w (of a bitmap that begins at base) that lie in [first, last], which touches it. */
static uint64_t mask_of(uint64_t base, uint64_t first, uint64_t last)
{
	uint64_t mask = UINT64_MAX;

	if (first > base)
		mask <<= first - base;
	if (last - base < 63)
		mask &= ((uint64_t)2 << (last - base)) - 1;
	return mask;
}

int via_dirty_store_new(uint64_t granule, struct via_dirty_store **ret_store)
{
	struct via_dirty_store *store = calloc(1, sizeof(*store));

	if (!store)
		return -ENOMEM;
	store->shift = (unsigned int)__builtin_ctzll(granule);
	store->trim_at = TRIM_MIN;
	pthread_mutex_init(&store->harvest_lock, NULL);
	for (unsigned int h = 1; h <= HEIGHT; h++)
		store->tops[h].block.level = h;
	*ret_store = store;
	return 0;
}

static void free_below(struct node *node)
{
	for (size_t i = 0; i < NODE_CHILDREN; i++) {
		struct block *child = node->children[i];

		if (!child || child == COARSE)
			continue;
		if (child->level)
			free_below(via_container_of(child, struct node, block));
		free(child);
	}
}

void via_dirty_store_free(struct via_dirty_store *store)
{
	if (!store)
		return;
	for (unsigned int h = 1; h <= HEIGHT; h++)
		free_below(&store->tops[h]);
	pthread_mutex_destroy(&store->harvest_lock);
	free(store);
}

uint64_t via_dirty_store_granule(const struct via_dirty_store *store)
{
	return (uint64_t)1 << store->shift;
}

/* Mark -------------------------------------------------------------------- */

static struct block *block_new(unsigned int level, uint64_t base)
{
	struct block *block;

	if (level) {
		/* NOLINTNEXTLINE(clang-analyzer-unix.MallocSizeof): a node begins with its block */
		block = calloc(1, sizeof(struct node));
	} else {
		block = aligned_alloc(_Alignof(struct leaf), sizeof(struct leaf));
		if (block)
			memset(block, 0, sizeof(struct leaf));
	}
	if (block) {
		block->level = level;
		block->base = base;
	}
	return block;
}

/* The child, which is made if there is none: perhaps COARSE. */
static struct block *child_make(struct via_dirty_store *store, struct node *node, size_t i)
{
	unsigned int level = node->block.level - 1;
	struct block *child = child_of(node, i), *fresh;

	if (child)
		return child;
	fresh = block_new(level, node->block.base + i * span_of(level));
	if (__atomic_compare_exchange_n(&node->children[i], &child, fresh ? fresh : COARSE, false,
					__ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
		if (fresh)
			(void)__atomic_fetch_add(&store->n_blocks, 1, __ATOMIC_RELAXED);
		return fresh ? fresh : COARSE;
	}
	free(fresh);
	return child;
}

/* [first, last] lies in the leaf. */
static void leaf_mark(struct leaf *leaf, uint64_t first, uint64_t last)
{
	size_t from = (first - leaf->block.base) / 64, to = (last - leaf->block.base) / 64;

	for (size_t w = from; w <= to; w++)
		set_bits(&leaf->words[w], mask_of(leaf->block.base + 64 * w, first, last));
	set_bits(&leaf->lines, mask_of(0, from / LINE_WORDS, to / LINE_WORDS));
}

static void all_coarse(struct via_dirty_store *store, struct node *node);

/* The whole child, whether there is one or not. */
static void child_coarse(struct via_dirty_store *store, struct node *node, size_t i)
{
	struct block *child = NULL;

	if (__atomic_compare_exchange_n(&node->children[i], &child, COARSE, false,
					__ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST) || child == COARSE)
		return;
	if (child->level)
		all_coarse(store, via_container_of(child, struct node, block));
	else
		leaf_mark(via_container_of(child, struct leaf, block), child->base,
			  child->base + span_of(0) - 1);
}

static void all_coarse(struct via_dirty_store *store, struct node *node)
{
	for (size_t i = 0; i < NODE_CHILDREN; i++)
		child_coarse(store, node, i);
	for (size_t w = 0; w < NODE_CHILDREN / 64; w++)
		set_bits(&node->dirty[w], UINT64_MAX);
}

/*
 * Mark from first to last, or to the end of the leaf or of what is coarse; or else the
 * whole of what would be a block of level stop at first. The last granule marked.
 */
static uint64_t mark_some(struct via_dirty_store *store, uint64_t first, uint64_t last,
			  bool whole, unsigned int stop)
{
	unsigned int bits = 64 - (unsigned int)__builtin_clzll(first | 1);
	unsigned int top = bits <= LEAF_BITS + NODE_BITS ?
				   1 : (bits - LEAF_BITS + NODE_BITS - 1) / NODE_BITS;
	struct node *path[HEIGHT + 1], *node = &store->tops[top];
	struct block *child = NULL;
	unsigned int level;
	uint64_t end;

	for (level = top;; level--) {
		size_t i = (first / span_of(level - 1)) % NODE_CHILDREN;

		path[level] = node;
		if (whole && level == stop + 1)
			break;
		child = child_make(store, node, i);
		if (child == COARSE || level == 1)
			break;
		node = via_container_of(child, struct node, block);
	}
	end = via_min_u64(last, first | (span_of(level - 1) - 1));
	if (child != COARSE) {
		if (whole)
			child_coarse(store, node, (first / span_of(stop)) % NODE_CHILDREN);
		else
			leaf_mark(via_container_of(child, struct leaf, block), first, end);
	}
	for (; level <= top; level++) {
		size_t i = (first / span_of(level - 1)) % NODE_CHILDREN;

		set_bits(&path[level]->dirty[i / 64], (uint64_t)1 << i % 64);
	}
	return end;
}

static void mark_coarse(struct via_dirty_store *store, unsigned int level, uint64_t base)
{
	via_epoch_enter();
	(void)mark_some(store, base, base + span_of(level) - 1, true, level);
	via_epoch_exit();
}

static void mark_granules(struct via_dirty_store *store, uint64_t first, uint64_t last)
{
	uint64_t done;

	/* Blocks that are taken out are freed when nobody is here any more. */
	via_epoch_enter();
	while ((done = mark_some(store, first, last, false, 0)) != last)
		first = done + 1;
	via_epoch_exit();
}

void via_dirty_store_mark(struct via_dirty_store *store, via_iova_t iova, uint64_t len)
{
	mark_granules(store, iova >> store->shift, (iova + (len - 1)) >> store->shift);
}

/* Harvest ----------------------------------------------------------------- */

struct harvest {
	struct via_dirty_store *store;
	via_iova_t first_byte, last_byte;
	uint64_t first, last; /* granules */
	bool clear, cleared;
	int (*fn)(void *cookie, via_iova_t first, via_iova_t last); /* NULL: nobody wants to know */
	void *cookie;
	bool has_run;
	uint64_t run_first, run_last; /* found, and not yet reported */
	int rc;			      /* the walk has ended */
};

static int report(const struct harvest *h, uint64_t first, uint64_t last)
{
	unsigned int shift = h->store->shift;
	uint64_t end = (last << shift) + (((uint64_t)1 << shift) - 1);

	return h->fn ? h->fn(h->cookie, via_max_u64(first << shift, h->first_byte),
			     via_min_u64(end, h->last_byte)) : 0;
}

static void put_back(const struct harvest *h, uint64_t first, uint64_t last)
{
	if (h->clear)
		mark_granules(h->store, first, last);
}

static void flush(struct harvest *h)
{
	if (!h->has_run)
		return;
	h->has_run = false;
	h->rc = report(h, h->run_first, h->run_last);
	if (h->rc)
		put_back(h, h->run_first, h->run_last);
}

/* Dirty granules, which have been taken out if h->clear. */
static void found(struct harvest *h, uint64_t first, uint64_t last)
{
	if (h->has_run && h->run_last + 1 == first) {
		h->run_last = last;
		return;
	}
	if (!h->rc)
		flush(h);
	if (h->rc) {
		put_back(h, first, last);
		return;
	}
	h->has_run = true;
	h->run_first = first;
	h->run_last = last;
}

static void found_word(struct harvest *h, uint64_t base, uint64_t bits)
{
	while (bits) {
		unsigned int from = (unsigned int)__builtin_ctzll(bits);
		uint64_t above = ~(bits >> from);
		unsigned int n = above ? (unsigned int)__builtin_ctzll(above) : 64;

		found(h, base + from, base + from + n - 1);
		bits = n + from >= 64 ? 0 : bits & UINT64_MAX << (from + n);
	}
}

static bool harvest_words(struct harvest *h, struct leaf *leaf, size_t from)
{
	bool left = false;

	for (size_t w = from; w < from + LINE_WORDS; w++) {
		uint64_t base = leaf->block.base + 64 * w, bits = load(&leaf->words[w]), mask;

		if (!bits)
			continue;
		if (h->rc || base > h->last || base + 63 < h->first) {
			left = true;
			continue;
		}
		mask = mask_of(base, h->first, h->last);
		if (h->clear && (bits & mask)) {
			bits = __atomic_fetch_and(&leaf->words[w], ~mask, __ATOMIC_SEQ_CST);
			h->cleared = true;
		}
		left |= (bits & ~mask) != 0;
		found_word(h, base, bits & mask);
	}
	return left;
}

/* Before one looks below it; it is put back if something is left there. */
static void summary_clear(const struct harvest *h, uint64_t *word, uint64_t bit)
{
	if (h->clear)
		(void)__atomic_fetch_and(word, ~bit, __ATOMIC_SEQ_CST);
}

/* Is something left that is dirty? */
static bool harvest_leaf(struct harvest *h, struct leaf *leaf)
{
	uint64_t base = leaf->block.base, span = 64 * LINE_WORDS;
	uint64_t first = h->first > base ? (h->first - base) / span : 0;
	uint64_t last = via_min_u64((h->last - base) / span, 63);
	uint64_t lines = load(&leaf->lines), mask = mask_of(0, first, last);
	bool left = (lines & ~mask) != 0;

	for (lines &= mask; lines; lines &= lines - 1) {
		uint64_t bit = lines & -lines;

		if (h->rc)
			return true;
		summary_clear(h, &leaf->lines, bit);
		if (harvest_words(h, leaf, (size_t)__builtin_ctzll(bit) * LINE_WORDS)) {
			set_bits(&leaf->lines, bit);
			left = true;
		}
	}
	return left;
}

/* Reported for itself: it could not be put back granule by granule. */
static bool harvest_coarse(struct harvest *h, struct block **child, uint64_t base, uint64_t end)
{
	struct block *expected = COARSE;

	flush(h);
	if (!h->rc)
		h->rc = report(h, via_max_u64(base, h->first), via_min_u64(end, h->last));
	if (h->rc || base < h->first || end > h->last)
		return true;
	if (h->clear) {
		(void)__atomic_compare_exchange_n(child, &expected, NULL, false, __ATOMIC_SEQ_CST,
						  __ATOMIC_SEQ_CST);
		h->cleared = true;
	}
	return false;
}

static bool harvest_node(struct harvest *h, struct node *node);

static bool harvest_child(struct harvest *h, struct node *node, size_t i)
{
	uint64_t span = span_of(node->block.level - 1), base = node->block.base + i * span;
	struct block *child = child_of(node, i);

	if (!child) /* a marker came late, to what had been cleared or taken out */
		return false;
	if (child == COARSE)
		return harvest_coarse(h, &node->children[i], base, base + span - 1);
	return child->level ? harvest_node(h, via_container_of(child, struct node, block)) :
			      harvest_leaf(h, via_container_of(child, struct leaf, block));
}

static bool harvest_node(struct harvest *h, struct node *node)
{
	uint64_t span = span_of(node->block.level - 1), base = node->block.base;
	uint64_t first = h->first > base ? (h->first - base) / span : 0;
	uint64_t last = (h->last - base) / span;
	bool left = false;

	for (size_t w = 0; w < NODE_CHILDREN / 64; w++) {
		uint64_t bits = load(&node->dirty[w]), mask = 0;

		if (!bits)
			continue;
		if (first <= 64 * w + 63 && last >= 64 * w)
			mask = mask_of(64 * w, first, last);
		left |= (bits & ~mask) != 0;
		for (bits &= mask; bits; bits &= bits - 1) {
			uint64_t bit = bits & -bits;

			if (h->rc)
				return true;
			summary_clear(h, &node->dirty[w], bit);
			if (harvest_child(h, node, 64 * w + (size_t)__builtin_ctzll(bit))) {
				set_bits(&node->dirty[w], bit);
				left = true;
			}
		}
	}
	return left;
}

/* Trim -------------------------------------------------------------------- */

/* Take out what is clean, as high up as possible. */
static void take_clean(struct node *node, struct block **list)
{
	for (size_t i = 0; i < NODE_CHILDREN; i++) {
		struct block *child = child_of(node, i);

		if (!child || child == COARSE)
			continue;
		if (load(&node->dirty[i / 64]) >> i % 64 & 1) {
			if (child->level)
				take_clean(via_container_of(child, struct node, block), list);
			continue;
		}
		__atomic_store_n(&node->children[i], NULL, __ATOMIC_SEQ_CST);
		child->next = *list;
		*list = child;
	}
}

static int mark_again(void *cookie, via_iova_t first, via_iova_t last)
{
	struct via_dirty_store *store = cookie;

	mark_granules(store, first >> store->shift, last >> store->shift);
	return 0;
}

/* Of a block that nobody reaches any more: mark again what came late, and free it. */
static void drop(struct via_dirty_store *store, struct block *block)
{
	struct harvest h = { .store = store, .last_byte = UINT64_MAX, .last = UINT64_MAX,
			     .fn = mark_again, .cookie = store };

	if (!block->level) {
		struct leaf *leaf = via_container_of(block, struct leaf, block);

		for (size_t w = 0; leaf->lines && w < LEAF_WORDS; w++)
			found_word(&h, block->base + 64 * w, leaf->words[w]);
		flush(&h);
	} else {
		struct node *node = via_container_of(block, struct node, block);
		uint64_t span = span_of(block->level - 1);

		for (size_t i = 0; i < NODE_CHILDREN; i++) {
			struct block *child = node->children[i];

			if (child == COARSE)
				mark_coarse(store, block->level - 1, block->base + i * span);
			else if (child)
				drop(store, child);
		}
	}
	(void)__atomic_fetch_sub(&store->n_blocks, 1, __ATOMIC_RELAXED);
	free(block);
}

static void trim(struct via_dirty_store *store)
{
	struct block *list = NULL;

	if (__atomic_load_n(&store->n_blocks, __ATOMIC_RELAXED) < store->trim_at ||
	    via_epoch_inside())
		return;
	for (unsigned int h = 1; h <= HEIGHT; h++)
		take_clean(&store->tops[h], &list);
	(void)via_epoch_synchronize();
	while (list) {
		struct block *block = list;

		list = block->next;
		drop(store, block);
	}
	store->trim_at = 2 * __atomic_load_n(&store->n_blocks, __ATOMIC_RELAXED);
	if (store->trim_at < TRIM_MIN)
		store->trim_at = TRIM_MIN;
}

static void walk(struct harvest *h)
{
	for (unsigned int top = 1; top <= HEIGHT && !h->rc; top++)
		(void)harvest_node(h, &h->store->tops[top]);
	if (!h->rc)
		flush(h);
}

int via_dirty_store_harvest(struct via_dirty_store *store, via_iova_t first, via_iova_t last,
			    bool clear, int (*fn)(void *cookie, via_iova_t first, via_iova_t last),
			    void *cookie)
{
	struct harvest h = { .store = store, .first_byte = first, .last_byte = last,
			     .first = first >> store->shift, .last = last >> store->shift,
			     .clear = clear, .fn = fn, .cookie = cookie };

	pthread_mutex_lock(&store->harvest_lock);
	walk(&h);
	/*
	 * Who has found its bit set, before it was cleared, may have its data in
	 * the processor still. It is in memory when its section has ended.
	 */
	if (h.cleared)
		(void)via_epoch_synchronize();
	if (clear)
		trim(store);
	pthread_mutex_unlock(&store->harvest_lock);
	return h.rc;
}

void via_dirty_store_clear(struct via_dirty_store *store, via_iova_t first, via_iova_t last)
{
	struct harvest h = { .store = store, .first_byte = first, .last_byte = last,
			     .first = first >> store->shift, .last = last >> store->shift,
			     .clear = true };

	pthread_mutex_lock(&store->harvest_lock);
	walk(&h);
	trim(store);
	pthread_mutex_unlock(&store->harvest_lock);
}
