/* SPDX-License-Identifier: MIT */
/*
 * The index of areas against a sorted array, with an allocator that fails, and
 * with readers during all changes. The code is built here once more, for that.
 */
#include "base/slab.h"

#include <stdbool.h>
#include <stdlib.h>

static long fail_at = -1, n_allocations;

static bool may_allocate(void)
{
	return n_allocations++ != fail_at;
}

static void *test_malloc(size_t size)
{
	return may_allocate() ? malloc(size) : NULL;
}

static void *test_slab_alloc(struct via_slab *slab)
{
	return may_allocate() ? via_slab_alloc(slab) : NULL;
}

#define malloc test_malloc
#define via_slab_alloc test_slab_alloc
#include "iommu/index.c"
#include "iommu/index_holes.c"
#include "iommu/index_lookup.c"
#include "iommu/index_split.c"
#include "iommu/index_tree.c"
#include "iommu/index_trim.c"
#undef malloc
#undef via_slab_alloc

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define PAGE ((uint64_t)4096)

/* There are five of these. */
#define MODEL_OPS (VIA_EPOCH_TSAN ? 10000u : 240000u)

static uint64_t prng_state = 0x9e3779b97f4a7c15;

static uint64_t prng(void)
{
	prng_state ^= prng_state << 13;
	prng_state ^= prng_state >> 7;
	prng_state ^= prng_state << 17;
	return prng_state;
}

static struct via_ioas_area *area_new(via_iova_t first, via_iova_t last)
{
	struct via_ioas_area *area = aligned_alloc(_Alignof(struct via_ioas_area), sizeof(*area));

	assert_non_null(area);
	*area = (struct via_ioas_area){
		.first = first,
		.last = last,
		.prot = 3,
		.host = (uint8_t *)(uintptr_t)(first + 1),
		.shown = true,
	};
	return area;
}

/* What must hold of a subtree that is responsible for (after, end], but for what is empty. Its
 * exact span. */
static struct via_index_span check_below(const struct via_index *index, void *at,
					 unsigned int level, size_t *n_areas, size_t *n_leaves)
{
	struct via_index_span span = VIA_INDEX_EMPTY_SPAN;
	struct via_index_node *node = at;

	if (!level) {
		struct via_ioas_area *areas[VIA_INDEX_SLOTS];
		struct via_index_leaf *leaf = at;
		size_t n = via_index_leaf_sort(leaf, areas);

		for (size_t i = 0; i < VIA_INDEX_SLOTS; i++) {
			assert_true(!leaf->areas[i] || i < leaf->n_used);
			assert_int_equal(leaf->first[i], leaf->areas[i]
								 ? via_index_area_at(leaf, i)->first
								 : UINT64_MAX);
			assert_int_equal(leaf->last[i],
					 leaf->areas[i] ? via_index_area_at(leaf, i)->last : 0);
		}
		*n_areas += n;
		(*n_leaves)++;
		return via_index_areas_span(areas, n);
	}
	assert_in_range(node->n, 1, VIA_INDEX_CHILDREN);
	for (size_t i = 0; i < node->n; i++) {
		struct via_index_span below =
			check_below(index, node->children[i], level - 1, n_areas, n_leaves);

		assert_int_equal(below.lo, node->spans[i].lo);
		assert_int_equal(below.hi, node->spans[i].hi);
		assert_true(below.gap <= node->spans[i].gap);
		if (!via_index_span_empty(&below)) {
			assert_true(i == node->n - 1 || below.hi <= node->bounds[i]);
			assert_true(!i || below.lo > node->bounds[i - 1]);
		}
		span_append(&span, &below);
	}
	for (size_t i = node->n - 1; i < VIA_INDEX_CHILDREN - 1; i++)
		assert_int_equal(node->bounds[i], UINT64_MAX);
	for (size_t i = 1; i < VIA_INDEX_CHILDREN - 1; i++)
		assert_true(node->bounds[i - 1] <= node->bounds[i]);
	return span;
}

static void check_tree(const struct via_index *index)
{
	size_t n_areas = 0, n_leaves = 0;

	if (index->root)
		(void)check_below(index, via_index_node_of(index->root),
				  via_index_height_of(index->root), &n_areas, &n_leaves);
	assert_int_equal(n_areas, index->n_areas);
	assert_int_equal(n_leaves, index->n_leaves);
}

/* The model: sorted. */
static struct via_ioas_area *model[1 << 15];
static size_t n_model;

/* How many end before iova: the place of the first that does not. */
static size_t model_find(via_iova_t iova)
{
	size_t low = 0, high = n_model;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (model[mid]->last < iova)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static void model_insert(struct via_ioas_area *area)
{
	size_t i = model_find(area->first);

	memmove(&model[i + 1], &model[i], (n_model - i) * sizeof(model[0]));
	model[i] = area;
	n_model++;
}

static void model_remove(size_t i)
{
	n_model--;
	memmove(&model[i], &model[i + 1], (n_model - i) * sizeof(model[0]));
}

static bool model_next_hole(via_iova_t from, uint64_t min_len, struct via_iova_range *hole)
{
	for (size_t i = model_find(from); i < n_model; i++) {
		if (model[i]->first > from && model[i]->first - from >= min_len) {
			*hole = (struct via_iova_range){from, model[i]->first - 1};
			return true;
		}
		if (model[i]->last == UINT64_MAX)
			return false;
		from = model[i]->last + 1;
	}
	*hole = (struct via_iova_range){from, UINT64_MAX};
	return UINT64_MAX - from >= min_len - 1;
}

struct options {
	uint64_t space; /* of IOVA from base on, in units */
	uint64_t base, unit, max_len;
	size_t most; /* areas: half are removed from there */
};

static uint64_t random_iova(const struct options *o)
{
	return o->base + (prng() % o->space) * o->unit + prng() % o->unit;
}

static void op_insert(struct via_index *index, const struct options *o)
{
	via_iova_t first = o->base + prng() % o->space * o->unit;
	uint64_t len = (1 + prng() % o->max_len) * o->unit;
	via_iova_t last = len - 1 > UINT64_MAX - first ? UINT64_MAX : first + len - 1;
	size_t i = model_find(first);
	struct via_ioas_area *area;

	if (i < n_model && model[i]->first <= last)
		return;
	area = area_new(first, last);
	if (prng() % 16 == 0)
		fail_at = n_allocations + (long)(prng() % 3);
	if (!via_index_insert(index, area)) {
		model_insert(area);
	} else {
		assert_true(fail_at >= 0);
		free(area);
	}
	fail_at = -1;
}

static void op_remove(struct via_index *index, size_t i)
{
	struct via_ioas_area *area = model[i];

	via_index_remove(index, area);
	model_remove(i);
	free(area);
	if (prng() % 8 == 0) {
		if (prng() % 4 == 0)
			fail_at = n_allocations + (long)(prng() % 3);
		via_index_trim(index);
		fail_at = -1;
	}
}

static void op_cut(struct via_index *index, const struct options *o, size_t i)
{
	struct via_ioas_area *area = model[i], *low, *high;
	via_iova_t at;

	if (area->last - area->first < 1)
		return;
	at = area->first + prng() % (area->last - area->first);
	low = area_new(area->first, at);
	high = area_new(at + 1, area->last);
	if (prng() % 16 == 0)
		fail_at = n_allocations + (long)(prng() % 3);
	if (!via_index_cut(index, low, high)) {
		free(area);
		model[i] = low;
		model_insert(high);
	} else {
		assert_true(fail_at >= 0);
		free(low);
		free(high);
	}
	fail_at = -1;
}

/* Both ways to find it agree, and know what the area knows. */
static void check_translation(const struct via_index *index, via_iova_t iova,
			      const struct via_ioas_area *area)
{
	for (unsigned int plain = 0; plain < 2; plain++) {
		struct via_translation t = plain ? via_index_translate_plain(index, iova)
						 : via_index_translate(index, iova);

		assert_ptr_equal(t.area, area);
		assert_ptr_equal(t.host, area && area->shown ? area->host : NULL);
		if (!area)
			continue;
		assert_int_equal(t.first, area->first);
		assert_int_equal(t.last, area->last);
		assert_int_equal(t.prot, area->prot);
	}
}

static void op_look(struct via_index *index, const struct options *o)
{
	struct via_iova_range hole, expected;
	via_iova_t iova = random_iova(o);
	size_t i = model_find(iova);
	struct via_ioas_area *found = i < n_model ? model[i] : NULL;
	uint64_t len = prng() % (2 * o->max_len * o->unit) + 1;
	bool there;

	if (prng() % 64 == 0)
		iova = prng() % 2 ? 0 : UINT64_MAX;
	i = model_find(iova);
	found = i < n_model ? model[i] : NULL;
	assert_ptr_equal(via_index_find(index, iova), found);
	assert_int_equal(via_index_overlaps(index, iova, iova), found && found->first <= iova);
	if (found && found->first > iova) {
		assert_false(via_index_overlaps(index, iova, found->first - 1));
		assert_true(via_index_overlaps(index, iova, found->first));
	}
	assert_ptr_equal(via_index_lookup(index, iova),
			 found && found->first <= iova ? found : NULL);
	check_translation(index, iova, found && found->first <= iova ? found : NULL);
	if (found && prng() % 4 == 0) {
		if (prng() % 2)
			via_index_show(index, found);
		else
			via_index_hide(index, found);
		check_translation(index, found->last, found);
	}
	there = via_index_next_hole(index, iova, len, &hole);
	assert_int_equal(there, model_next_hole(iova, len, &expected));
	if (there) {
		assert_int_equal(hole.first, expected.first);
		assert_int_equal(hole.last, expected.last);
	}
}

static void run_model(const struct options *o, unsigned int n)
{
	struct via_index index;
	struct via_ioas_area *fresh;
	size_t i;

	via_index_init(&index);
	for (unsigned int op = 0; op < n; op++) {
		i = n_model ? prng() % n_model : 0;
		switch (prng() % 16) {
		case 0 ... 5:
			op_insert(&index, o);
			break;
		case 6 ... 8:
			if (n_model)
				op_remove(&index, i);
			break;
		case 9:
			if (n_model)
				op_cut(&index, o, i);
			break;
		case 10:
			if (!n_model)
				break;
			fresh = area_new(model[i]->first, model[i]->last);
			via_index_replace(&index, fresh);
			free(model[i]);
			model[i] = fresh;
			break;
		default:
			op_look(&index, o);
		}
		if (n_model > o->most)
			for (size_t left = prng() % n_model, at = prng() % (n_model - left + 1);
			     n_model > left;)
				op_remove(&index, at < n_model ? at : n_model - 1);
		if (op % 8192 == 0)
			check_tree(&index);
	}
	check_tree(&index);
	while (n_model)
		op_remove(&index, prng() % n_model);
	check_tree(&index);
	via_index_trim(&index);
	assert_in_range(index.n_leaves, 0, 1);
	via_index_deinit(&index);
}

static void test_model(void **state)
{
	/* Pages; bytes at the end of the space; areas that go over many bounds; a few. */
	const struct options options[] = {
		{.space = 100000, .base = 0, .unit = 4096, .max_len = 4, .most = 30000},
		{.space = 30000,
		 .base = UINT64_MAX - 29999,
		 .unit = 1,
		 .max_len = 3,
		 .most = 20000},
		{.space = 1 << 20, .base = PAGE, .unit = 4096, .max_len = 1 << 12, .most = 5000},
		{.space = 1 << 20,
		 .base = UINT64_MAX - ((uint64_t)4096 << 20) + 1,
		 .unit = 4096,
		 .max_len = 1 << 18,
		 .most = 5000},
		{.space = 100, .base = 0, .unit = 4096, .max_len = 4, .most = 20},
	};

	for (size_t i = 0; i < VIA_ARRAY_SIZE(options); i++)
		run_model(&options[i], MODEL_OPS);
}

/* Each order in turn, and out again in each: leaves are well filled, and none remains. */
#define ORDERED (VIA_EPOCH_TSAN ? 4000u : 40000u)

static void test_order(void **state)
{
	static struct via_ioas_area *areas[40000];
	static uint32_t order[40000];

	for (unsigned int how = 0; how < 9; how++) {
		struct via_index index;
		size_t limit = how / 3 == 2 ? ORDERED / 7 : ORDERED / 14;

		via_index_init(&index);
		for (unsigned int round = 0; round < 2; round++) {
			unsigned int kind = round ? how % 3 : how / 3;

			for (uint32_t i = 0; i < ORDERED; i++)
				order[i] = kind == 1 ? ORDERED - 1 - i : i;
			for (uint32_t i = ORDERED - 1; kind == 2 && i; i--) {
				uint32_t k = (uint32_t)(prng() % (i + 1)), t = order[i];

				order[i] = order[k];
				order[k] = t;
			}
			for (uint32_t i = 0; i < ORDERED; i++) {
				uint32_t k = order[i];

				if (!round) {
					areas[k] = area_new(k * 2 * PAGE, k * 2 * PAGE + PAGE - 1);
					assert_int_equal(via_index_insert(&index, areas[k]), 0);
				} else {
					via_index_remove(&index, areas[k]);
					via_index_trim(&index);
					free(areas[k]);
				}
				if (i % 4096 == 0)
					check_tree(&index);
			}
			assert_in_range(index.n_leaves, 0, round ? 1 : limit);
		}
		via_index_deinit(&index);
	}
}

/* The first hole again and again: each is found at once. */
/* Leaves are joined when less than a quarter of their slots is used, and not before. */
static void test_trim(void **state)
{
	const uint64_t n = 1200;
	struct via_ioas_area *area;
	struct via_index index;
	size_t n_leaves;

	via_index_init(&index);
	for (uint64_t i = 0; i < n; i++)
		assert_int_equal(via_index_insert(&index, area_new(i * PAGE, i * PAGE + PAGE - 1)),
				 0);
	n_leaves = index.n_leaves;
	/* Of each leaf some, so that none becomes empty. */
	for (uint64_t round = 1; round < 12 && index.n_areas > n_leaves * VIA_INDEX_SLOTS / 4;
	     round++) {
		for (uint64_t i = round; i < n && index.n_areas > n_leaves * VIA_INDEX_SLOTS / 4;
		     i += 12) {
			area = via_index_lookup(&index, i * PAGE);
			via_index_remove(&index, area);
			free(area);
			via_index_trim(&index);
			assert_int_equal(index.n_leaves, n_leaves);
		}
	}
	assert_int_equal(index.n_areas, n_leaves * VIA_INDEX_SLOTS / 4);
	area = via_index_find(&index, 0);
	via_index_remove(&index, area);
	free(area);
	via_index_trim(&index);
	assert_true(index.n_leaves < n_leaves / 2);
	check_tree(&index);
	while ((area = via_index_find(&index, 0))) {
		via_index_remove(&index, area);
		free(area);
	}
	via_index_deinit(&index);
}

static void test_fill_holes(void **state)
{
	struct via_iova_range hole = {0};
	struct via_ioas_area *area;
	struct via_index index;

	via_index_init(&index);
	for (uint64_t i = 0; i < 3000; i++)
		assert_int_equal(
			via_index_insert(&index, area_new(i * 3 * PAGE, i * 3 * PAGE + PAGE - 1)),
			0);
	assert_true(via_index_next_hole(&index, 0, 3 * PAGE, &hole));
	assert_int_equal(hole.first, 2999 * 3 * PAGE + PAGE);
	for (uint64_t i = 0; i < 6000; i++) {
		assert_true(via_index_next_hole(&index, 0, PAGE, &hole));
		assert_int_equal(hole.first, (i / 2 * 3 + 1 + i % 2) * PAGE);
		if (i < 5998)
			assert_int_equal(hole.last, (i / 2 * 3 + 3) * PAGE - 1);
		assert_int_equal(
			via_index_insert(&index, area_new(hole.first, hole.first + PAGE - 1)), 0);
	}
	check_tree(&index);
	area = area_new(hole.first + PAGE, UINT64_MAX);
	assert_int_equal(via_index_insert(&index, area), 0);
	assert_false(via_index_next_hole(&index, 0, 1, &hole));
	while ((area = via_index_find(&index, 0))) {
		via_index_remove(&index, area);
		free(area);
	}
	via_index_deinit(&index);
}

/*
 * Readers while areas come, go, are cut and replaced. Even places always have an
 * area, of one kind or another: no reader may miss it. What is found must hold the
 * IOVA, and be alive.
 */
#define PLACES 2000u
#define PLACE (16 * PAGE)
#define READERS 2

static struct {
	struct via_index index;
	bool stop;	  /* atomic */
	uint64_t lookups; /* atomic */
} race;

static void *reader(void *arg)
{
	uint64_t x = 0x2545f4914f6cdd1d + (uintptr_t)arg, n = 0;

	while (!__atomic_load_n(&race.stop, __ATOMIC_ACQUIRE)) {
		const struct via_ioas_area *area;
		struct via_translation t;
		via_iova_t iova;

		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		iova = x % (PLACES * PLACE);
		via_epoch_enter();
		area = via_index_lookup(&race.index, iova);
		t = via_index_translate(&race.index, iova);
		if (area && (area->first > iova || area->last < iova || area->prot != 3))
			abort();
		/* Bounds and pointer belong together, whatever has become of the area. */
		if (t.area && (t.first > iova || t.last < iova || t.prot != 3 || !t.host ||
			       t.host != (uint8_t *)(uintptr_t)(t.first + 1) || t.area->prot != 3))
			abort();
		if (!t.area && iova / PLACE % 2 == 0)
			abort();
		if (!area && iova / PLACE % 2 == 0)
			abort();
		via_epoch_exit();
		n++;
	}
	(void)__atomic_fetch_add(&race.lookups, n, __ATOMIC_RELAXED);
	return NULL;
}

static struct via_ioas_area *race_area(via_iova_t first, via_iova_t last)
{
	struct via_ioas_area *area = area_new(first, last);

	area->prot = 3;
	return area;
}

/* As unmap does: one grace period for several, and the memory is nobody's. */
static void race_free(struct via_ioas_area *area)
{
	static struct via_ioas_area *list;
	static unsigned int n;

	if (area) {
		area->next = list;
		list = area;
	}
	if (area && ++n % 64)
		return;
	assert_int_equal(via_epoch_synchronize(), 0);
	while ((area = list)) {
		list = area->next;
		area->prot = 0;
		free(area);
	}
}

static void race_change(uint64_t place)
{
	via_iova_t first = place * PLACE, last = first + PLACE - 1, iova = first + prng() % PLACE;
	struct via_ioas_area *area = via_index_find(&race.index, iova), *low, *high;
	bool here = area && area->first <= iova;

	if (place % 2) {
		if (here) {
			via_index_remove(&race.index, area);
			via_index_trim(&race.index);
			race_free(area);
		} else if (!via_index_lookup(&race.index, first)) {
			area = via_index_find(&race.index, first);
			if (!area || area->first > last)
				area = race_area(first, first + prng() % PLACE);
			else
				area = race_area(first, area->first - 1);
			assert_int_equal(via_index_insert(&race.index, area), 0);
		}
		return;
	}
	assert_true(here);
	if (prng() % 2 && area->last > area->first) {
		via_iova_t at = area->first + prng() % (area->last - area->first);

		low = race_area(area->first, at);
		high = race_area(at + 1, area->last);
		assert_int_equal(via_index_cut(&race.index, low, high), 0);
	} else {
		low = race_area(area->first, area->last);
		via_index_replace(&race.index, low);
	}
	race_free(area);
}

static void test_readers(void **state)
{
	pthread_t thread[READERS];
	struct via_ioas_area *area;

	via_index_init(&race.index);
	for (uint64_t i = 0; i < PLACES; i++)
		assert_int_equal(
			via_index_insert(&race.index, race_area(i * PLACE, (i + 1) * PLACE - 1)),
			0);
	for (uintptr_t i = 0; i < READERS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, reader, (void *)(i * 99991)), 0);
	for (unsigned int i = 0; i < 20000; i++)
		race_change(i % 4 ? prng() % PLACES : prng() % 8);
	race_free(NULL);
	__atomic_store_n(&race.stop, true, __ATOMIC_RELEASE);
	for (unsigned int i = 0; i < READERS; i++)
		(void)pthread_join(thread[i], NULL);
	assert_true(race.lookups > 0);
	check_tree(&race.index);
	while ((area = via_index_find(&race.index, 0))) {
		via_index_remove(&race.index, area);
		free(area);
	}
	via_index_deinit(&race.index);
}

/*
 * A bound that a removal or a cut moves between two versions, after the slot was chosen: what was
 * read then must not be taken for a translation of the IOVA.
 */
static void test_bounds_that_move(void **state)
{
	struct via_index_leaf leaf = {.version = 4};
	struct via_translation found = {.area = (void *)64, .first = 0, .last = PAGE - 1};

	assert_false(changed(&leaf, 4, &found, 0));
	assert_false(changed(&leaf, 4, &found, PAGE - 1));
	/* Cut: what is asked for went to another slot. */
	assert_true(changed(&leaf, 4, &found, PAGE));
	assert_true(changed(&leaf, 3, &found, 0));
	/* Removed. */
	found.first = UINT64_MAX;
	found.last = 0;
	assert_true(changed(&leaf, 4, &found, PAGE));
	assert_true(changed(&leaf, 4, &found, 0));
	/* Nothing is there, and that is what is said. */
	found = (struct via_translation){0};
	assert_false(changed(&leaf, 4, &found, PAGE));
	assert_true(changed(&leaf, 5, &found, PAGE));
}

/* One area is cut, over and over: no reader may miss either part at any moment. */
#define CUTS (VIA_EPOCH_TSAN ? 2000u : 25000u)

static struct {
	struct via_index index;
	bool stop; /* atomic */
} cut;

static void *cut_reader(void *arg)
{
	via_iova_t iova = (uintptr_t)arg;

	while (!__atomic_load_n(&cut.stop, __ATOMIC_ACQUIRE)) {
		struct via_translation t;

		via_epoch_enter();
		t = via_index_translate(&cut.index, iova);
		if (!t.area || t.first > iova || t.last < iova ||
		    t.host != (uint8_t *)(uintptr_t)(t.first + 1))
			abort();
		/* What is found reaches as far as it says. */
		if (t.area->first != t.first || t.area->last < t.last)
			abort();
		via_epoch_exit();
	}
	return NULL;
}

static void test_readers_of_a_cut(void **state)
{
	pthread_t thread[2];

	via_index_init(&cut.index);
	assert_int_equal(via_index_insert(&cut.index, area_new(0, 2 * PAGE - 1)), 0);
	/* One reads what stays in the low part, one what comes to the high one. */
	for (uintptr_t i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, cut_reader, (void *)(i * PAGE)),
				 0);
	for (unsigned int i = 0; i < CUTS; i++) {
		struct via_ioas_area *old = via_index_find(&cut.index, 0);
		struct via_ioas_area *low = area_new(0, PAGE - 1),
				     *high = area_new(PAGE, 2 * PAGE - 1);
		struct via_ioas_area *whole = area_new(0, 2 * PAGE - 1);
		struct via_index fresh;

		assert_int_equal(via_index_cut(&cut.index, low, high), 0);
		assert_int_equal(via_epoch_synchronize(), 0);
		free(old);
		/* Whole again: another tree. */
		via_index_init(&fresh);
		assert_int_equal(via_index_insert(&fresh, whole), 0);
		fresh.root = __atomic_exchange_n(&cut.index.root, fresh.root, __ATOMIC_ACQ_REL);
		cut.index.n_areas = 1;
		assert_int_equal(via_epoch_synchronize(), 0);
		via_index_deinit(&fresh);
		free(low);
		free(high);
	}
	__atomic_store_n(&cut.stop, true, __ATOMIC_RELEASE);
	for (unsigned int i = 0; i < 2; i++)
		(void)pthread_join(thread[i], NULL);
	free(via_index_find(&cut.index, 0));
	via_index_deinit(&cut.index);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_model),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_fill_holes),
		cmocka_unit_test(test_trim),
		cmocka_unit_test(test_readers),
		cmocka_unit_test(test_bounds_that_move),
		cmocka_unit_test(test_readers_of_a_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
