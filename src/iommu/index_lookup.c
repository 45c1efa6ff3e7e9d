/* SPDX-License-Identifier: MIT */
/* Looking into an index: for readers, who hold a section and no lock, and for the changer. */
#include "iommu/index_tree.h"

/* ThreadSanitizer takes vectors for what is not atomic. */
#if defined(__x86_64__) && !VIA_EPOCH_TSAN
#define INDEX_AVX512
#include <immintrin.h>
#endif

/* Readers --------------------------------------------------------------------- */

static inline bool slot_has(const struct via_index_leaf *leaf, size_t i, via_iova_t iova)
{
	uint64_t from = via_index_load(&leaf->first[i]) <= iova;

	/* Or the compiler makes a branch of it. */
	VIA_INDEX_IN_ORDER(from, leaf);
	return from & (via_index_load(&leaf->last[i]) >= iova);
}

/*
 * What slot i (VIA_INDEX_SLOTS: nothing) has. In this order: a removal takes away the bounds, then
 * the area, then its memory, and a cut moves the bound before the area. So memory is the
 * area's, and the bounds are as narrow as it needs.
 */
static inline struct via_translation slot_get(const struct via_index_leaf *leaf, size_t i)
{
	uint8_t *host;
	uintptr_t area;

	if (__builtin_expect(i == VIA_INDEX_SLOTS, 0))
		return (struct via_translation){0};
	host = __atomic_load_n(&leaf->host[i], __ATOMIC_ACQUIRE);
	area = __atomic_load_n(&leaf->areas[i], __ATOMIC_ACQUIRE);
	return (struct via_translation){
		.area = (struct via_ioas_area *)(area & ~VIA_INDEX_PROT),
		.first = via_index_load(&leaf->first[i]),
		.last = via_index_load(&leaf->last[i]),
		.prot = (unsigned int)(area & VIA_INDEX_PROT),
		.host = host,
	};
}

/*
 * Has the leaf changed under our eyes? Its version tells of what has come since, but a bound that
 * moves away, in a removal or a cut, does so between two versions.
 */
static inline bool changed(const struct via_index_leaf *leaf, uint64_t version,
			   const struct via_translation *found, via_iova_t iova)
{
	bool moved = found->area && ((found->first > iova) | (found->last < iova));

	return __builtin_expect(via_index_load(&leaf->version) != version || moved, 0);
}

static struct via_translation lookup_small(const struct via_index_leaf *leaf, via_iova_t iova)
{
	struct via_translation found;
	uint64_t version;

	do {
		size_t n, slot = 0;

		/* First: a slot that has come since would not be looked at, and nobody would know.
		 */
		version = via_index_load(&leaf->version);
		n = via_index_load(&leaf->n_used);
		while (slot < n && !slot_has(leaf, slot, iova))
			slot++;
		found = slot_get(leaf, slot < n ? slot : VIA_INDEX_SLOTS);
	} while (changed(leaf, version, &found, iova));
	return found;
}

static struct via_translation lookup_leaf(const struct via_index_leaf *leaf, via_iova_t iova)
{
	struct via_translation found;
	uint64_t version;

	do {
		size_t slot = VIA_INDEX_SLOTS;

		version = via_index_load(&leaf->version);
#pragma GCC unroll 15
		for (size_t i = 0; i < VIA_INDEX_SLOTS; i++) {
			slot = slot_has(leaf, i, iova) ? i : slot;
			VIA_INDEX_IN_ORDER(slot, leaf);
		}
		found = slot_get(leaf, slot);
	} while (changed(leaf, version, &found, iova));
	return found;
}

static struct via_translation lookup_below(const void *at, unsigned int level, via_iova_t iova)
{
	/* The root is in the cache. */
	for (;;) {
		at = via_index_child_of(at, via_index_child_for(at, iova));
		if (!--level)
			break;
		via_index_prefetch_children(at);
	}
	via_index_prefetch_leaf(at);
	return lookup_leaf(at, iova);
}

/* The same, eight words at once. To the memory model each is an acquiring load, as all are here. */
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

static inline AVX512 size_t child_for_avx512(const struct via_index_node *node, __m512i iova)
{
	unsigned int low = below_avx512(node->bounds, iova) | below_avx512(node->bounds + 8, iova)
								      << 8;
	/* n is not a bound. */
	unsigned int last = below_avx512(node->bounds + 24, iova) & 0x7f;
	unsigned int high = below_avx512(node->bounds + 16, iova) | last << 8;

	return (size_t)__builtin_popcount(low | high << 16);
}

static AVX512 struct via_translation lookup_avx512(const void *at, unsigned int level,
						   via_iova_t key)
{
	const __m512i iova = _mm512_set1_epi64((long long)key);
	const struct via_index_leaf *leaf;
	struct via_translation found;
	uint64_t version;

	/* The root is in the cache. */
	for (;;) {
		at = via_index_child_of(at, child_for_avx512(at, iova));
		if (!--level)
			break;
		via_index_prefetch_children(at);
	}
	via_index_prefetch_leaf(at);
	leaf = at;
	do {
		unsigned int not_from, not_to;

		version = via_index_load(&leaf->version);
		not_from = above_avx512(&leaf->version, iova) |
			   above_avx512(&leaf->version + 8, iova) << 8;
		/* A slot's first before its last. */
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
		not_to = below_avx512(leaf->last, iova) | below_avx512(leaf->last + 8, iova) << 8;
		/* Bit 15, where there is no slot, is set in the end. */
		found = slot_get(
			leaf, (size_t)__builtin_ctz((~(not_from >> 1 | not_to) & 0x7fff) | 0x8000));
	} while (changed(leaf, version, &found, key));
	return found;
}
#endif

static inline struct via_translation lookup(const struct via_index *index, via_iova_t iova,
					    bool plain)
{
	uintptr_t root = via_index_root_of(index);
	const void *at = via_index_node_of(root);
	unsigned int level = via_index_height_of(root);

	if (!level)
		return at ? lookup_small(at, iova) : (struct via_translation){0};
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

/* The changer ------------------------------------------------------------------ */

/* Slot *ret_slot of the leaf has the first area that ends at or after iova. NULL: there is none. */
static const struct via_index_leaf *find(const struct via_index *index, via_iova_t iova,
					 size_t *ret_slot)
{
	const void *at = via_index_node_of(index->root);
	const struct via_index_leaf *leaf;
	size_t slot = VIA_INDEX_SLOTS;

	if (!at)
		return NULL;
	for (unsigned int level = via_index_height_of(index->root); level; level--) {
		const struct via_index_node *node = at;
		size_t i;

		via_index_prefetch_children(node);
		i = via_index_child_for(node, iova);
		__builtin_prefetch(&node->spans[i]);
		/* Most likely it is this one. */
		if (level == 1)
			via_index_prefetch_leaf(node->children[i]);
		while (i < node->n &&
		       (via_index_span_empty(&node->spans[i]) || node->spans[i].hi < iova))
			i++;
		if (i == node->n)
			return NULL;
		at = node->children[i];
	}
	via_index_prefetch_leaf(at);
	leaf = at;
	for (size_t i = 0; i < VIA_INDEX_SLOTS; i++)
		if (leaf->areas[i] && leaf->last[i] >= iova &&
		    (slot == VIA_INDEX_SLOTS || leaf->first[i] < leaf->first[slot]))
			slot = i;
	*ret_slot = slot;
	return slot < VIA_INDEX_SLOTS ? leaf : NULL;
}

struct via_ioas_area *via_index_find(const struct via_index *index, via_iova_t iova)
{
	size_t slot;
	const struct via_index_leaf *leaf = find(index, iova, &slot);

	return leaf ? via_index_area_at(leaf, slot) : NULL;
}

bool via_index_overlaps(const struct via_index *index, via_iova_t first, via_iova_t last)
{
	size_t slot;
	const struct via_index_leaf *leaf = find(index, first, &slot);

	return leaf && leaf->first[slot] <= last;
}
