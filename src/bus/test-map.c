/* SPDX-License-Identifier: MIT */
/*
 * Maps beside a sorted array that is edited entry by entry. An argument is the
 * number of edits; without one there are few.
 */
#include "bus/test-support.h"

#include "bus/view.h"

static uint64_t seed = 88172645463325252u;

static uint64_t rnd64(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static uint64_t below(uint64_t n)
{
	return rnd64() % n;
}

#define ROOM 4096

/* The naive one. */
struct array {
	struct via_bus_entry entry[ROOM];
	size_t n;
};

static const struct via_bus_entry *array_find(const struct array *a, uint64_t addr)
{
	size_t low = 0, high = a->n;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (a->entry[mid].last < addr)
			low = mid + 1;
		else
			high = mid;
	}
	return low < a->n && a->entry[low].start <= addr ? &a->entry[low] : NULL;
}

/* The first entry that ends at or after @addr. */
static size_t array_seek(const struct array *a, uint64_t addr)
{
	size_t i = 0;

	while (i < a->n && a->entry[i].last < addr)
		i++;
	return i;
}

static void array_edit(struct array *a, const struct via_bus_edit *edit)
{
	size_t from = array_seek(a, edit->first), to = from;

	while (to < a->n && a->entry[to].start <= edit->last)
		to++;
	assert_true(a->n - (to - from) + edit->n <= ROOM);
	memmove(&a->entry[from + edit->n], &a->entry[to], (a->n - to) * sizeof(a->entry[0]));
	if (edit->n)
		memcpy(&a->entry[from], edit->entries, edit->n * sizeof(a->entry[0]));
	a->n = a->n - (to - from) + edit->n;
}

static bool same_entry(const struct via_bus_entry *x, const struct via_bus_entry *y)
{
	return !x == !y &&
	       (!x || (x->start == y->start && x->last == y->last && x->delta == y->delta));
}

static void check_at(const struct via_bus_map *map, const struct array *a, uint64_t addr)
{
	const struct via_bus_entry *want = array_find(a, addr), *guess;

	assert_true(same_entry(via_bus_map_find(map, addr), want));
	assert_true(same_entry(via_bus_map_find_slow(map, addr), want));
	/* A guess is right, or none. */
	guess = via_bus_map_guess(map, addr);
	assert_true(!guess || same_entry(guess, want));
}

static void check_seek(const struct via_bus_map *map, const struct array *a, uint64_t addr)
{
	struct via_bus_cursor at = via_bus_map_seek(map, addr);
	size_t i = array_seek(a, addr);

	assert_true(same_entry(via_bus_cursor_entry(&at), i < a->n ? &a->entry[i] : NULL));
	assert_true(same_entry(via_bus_cursor_before(&at), i ? &a->entry[i - 1] : NULL));
}

/* The chunks by themselves: neither empty nor too full, in order, the same as the array. */
static void check_whole(const struct via_bus_map *map, const struct array *a)
{
	struct via_bus_cursor at = via_bus_map_seek(map, 0);
	const struct via_bus_entry *entry;
	size_t i = 0, n = 0;
	uint32_t k;

	for (; (entry = via_bus_cursor_entry(&at)); via_bus_cursor_next(&at), i++) {
		assert_true(i < a->n);
		assert_true(same_entry(entry, &a->entry[i]));
	}
	assert_int_equal(i, a->n);
	for (k = 0; k < map->n_chunks; k++) {
		const struct via_bus_chunk *chunk = via_bus_map_chunk(map, k);

		assert_true(chunk->n >= 1 && chunk->n <= VIA_BUS_CHUNK_ENTRIES);
		assert_true(chunk->base == chunk->entry[0].start);
		assert_int_equal((uintptr_t)chunk->entry % 64, 0);
		if (map->n_chunks > 1)
			assert_true(map->top[k].start == chunk->base);
		n += chunk->n;
	}
	assert_int_equal(n, a->n);
	/* A map of few entries in many chunks would be a list. */
	assert_true(map->n_chunks <= 2 + a->n / 4);
}

static void check_around(const struct via_bus_map *map, const struct array *a,
			 const struct via_bus_entry *entry)
{
	check_at(map, a, entry->start - 1);
	check_at(map, a, entry->start);
	check_at(map, a, entry->start + (entry->last - entry->start) / 2);
	check_at(map, a, entry->last);
	check_at(map, a, entry->last + 1);
}

/* Which chunks are still some map's: an edit must give back exactly those that it replaced. */
static size_t n_list(const struct via_bus_chunk *list)
{
	size_t n = 0;

	for (; list; list = list->next)
		n++;
	return n;
}

struct world {
	struct via_bus_map map;
	struct array array;
	uint64_t (*place)(void); /* where the next entry may be */
	uint64_t longest;
};

static void apply(struct world *w, const struct via_bus_edit *edits, size_t n)
{
	struct via_bus_chunk *fresh = NULL, *garbage = NULL;
	struct via_bus_map map;
	uint32_t before = w->map.n_chunks;
	size_t i;

	assert_int_equal(via_bus_map_edit(&w->map, edits, n, &map, &fresh, &garbage), 0);
	for (i = 0; i < n; i++)
		array_edit(&w->array, &edits[i]);
	assert_int_equal(before - n_list(garbage), map.n_chunks - n_list(fresh));
	via_bus_map_free(&w->map);
	via_bus_chunks_free(garbage);
	w->map = map;
}

/* An entry at a free place, or none. */
static bool new_entry(const struct world *w, struct via_bus_entry *entry)
{
	uint64_t start = w->place(), last = start + below(w->longest);
	size_t i;

	if (last < start)
		last = UINT64_MAX;
	i = array_seek(&w->array, start);
	if (i < w->array.n && w->array.entry[i].start <= last) {
		/* Up to its neighbour, often: entries that touch. */
		if (w->array.entry[i].start <= start)
			return false;
		last = w->array.entry[i].start - 1;
	}
	*entry = (struct via_bus_entry){.start = start, .last = last, .delta = rnd64()};
	return true;
}

/* One entry comes, goes, or is cut into pieces. */
static void step_one(struct world *w, bool grows)
{
	struct via_bus_entry entry[8];
	struct via_bus_edit edit = {.entries = entry};
	const struct via_bus_entry *old;
	uint64_t len;
	size_t i;

	if (!w->array.n || (grows ? below(8) : !below(8))) {
		if (w->array.n + 8 > ROOM || !new_entry(w, &entry[0]))
			return;
		edit.n = 1;
		edit.first = entry[0].start;
		edit.last = entry[0].last;
		/* The span may be wider than the entry. */
		i = array_seek(&w->array, edit.first);
		if (below(2) && i < w->array.n && w->array.entry[i].start > edit.last)
			edit.last = w->array.entry[i].start - 1;
	} else {
		old = &w->array.entry[below(w->array.n)];
		edit.first = old->start;
		edit.last = old->last;
		len = (old->last - old->start) / 8;
		if (!below(4) && len && w->array.n + 8 <= ROOM) {
			edit.n = 8;
			for (i = 0; i < 8; i++)
				entry[i] = (struct via_bus_entry){
					.start = old->start + i * len,
					.last = i == 7 ? old->last : old->start + (i + 1) * len - 1,
					.delta = rnd64()};
		}
	}
	apply(w, &edit, 1);
	if (edit.n)
		check_around(&w->map, &w->array, &entry[0]);
	check_at(&w->map, &w->array, edit.first);
	check_at(&w->map, &w->array, edit.last);
}

/* A third of all entries go or are replaced, in as many edits. */
static void step_many(struct world *w)
{
	static struct via_bus_edit edits[ROOM];
	static struct via_bus_entry entries[ROOM];
	size_t i, n = 0;

	for (i = 0; i < w->array.n; i++) {
		const struct via_bus_entry *old = &w->array.entry[i];

		if (below(3))
			continue;
		edits[n] = (struct via_bus_edit){
			.first = old->start, .last = old->last, .entries = &entries[n]};
		/* Sometimes several neighbours, and what is between them. */
		while (!below(3) && i + 1 < w->array.n)
			edits[n].last = w->array.entry[++i].last;
		if (below(2)) {
			entries[n] = (struct via_bus_entry){
				.start = edits[n].first, .last = edits[n].last, .delta = rnd64()};
			edits[n].n = 1;
		}
		n++;
	}
	if (n)
		apply(w, edits, n);
}

static void check_everywhere(const struct world *w)
{
	size_t i;

	check_whole(&w->map, &w->array);
	for (i = 0; i < w->array.n; i++)
		check_around(&w->map, &w->array, &w->array.entry[i]);
	for (i = 0; i < 32; i++) {
		check_seek(&w->map, &w->array, w->place());
		check_at(&w->map, &w->array, rnd64());
	}
	check_at(&w->map, &w->array, 0);
	check_at(&w->map, &w->array, UINT64_MAX);
	check_seek(&w->map, &w->array, 0);
	check_seek(&w->map, &w->array, UINT64_MAX);
}

static unsigned long n_edits = 20000;

static void random_edits(uint64_t (*place)(void), uint64_t longest)
{
	struct world *w = calloc(1, sizeof(*w));
	size_t limit = 1000;
	unsigned long i;
	bool grows = true;

	assert_non_null(w);
	w->place = place;
	w->longest = longest;
	for (i = 0; i < n_edits; i++) {
		/* From nothing to much and back. */
		if (w->array.n >= limit) {
			grows = false;
			limit = 40 + below(2000);
		} else if (!w->array.n) {
			grows = true;
		}
		step_one(w, grows);
		if (i % 1024 == 1023) {
			check_everywhere(w);
			if (!below(4))
				step_many(w);
			check_everywhere(w);
		}
	}
	check_everywhere(w);
	via_bus_map_destroy(&w->map);
	free(w);
}

/* Evenly, over all of the space. */
static uint64_t anywhere(void)
{
	return rnd64();
}

/* Packed, so that nearly all entries touch. */
static uint64_t packed(void)
{
	return 0x1000 + below(0x8000);
}

/* As uneven as can be: as many below 2^k as between that and 2^(k+1). */
static uint64_t uneven(void)
{
	return rnd64() >> below(64);
}

/* At both ends, and hardly anything between. */
static uint64_t at_the_ends(void)
{
	uint64_t x = below(0x2000);

	return below(2) ? x : UINT64_MAX - x;
}

static uint64_t at_the_top(void)
{
	return UINT64_MAX - below(0x4000);
}

/* Dense clusters far from each other: most windows are wrong. */
static uint64_t clusters(void)
{
	return (below(5) << 61) + (below(3) << 30) + below(0x400);
}

static void even_spread(void **state)
{
	random_edits(anywhere, UINT64_C(1) << 52);
}

static void packed_spread(void **state)
{
	random_edits(packed, 24);
}

static void uneven_spread(void **state)
{
	random_edits(uneven, 64);
}

static void spread_at_the_ends(void **state)
{
	random_edits(at_the_ends, 6);
}

static void spread_at_the_top(void **state)
{
	random_edits(at_the_top, 12);
}

static void clustered_spread(void **state)
{
	random_edits(clusters, 3);
}

/* The whole space as one entry, as two, and as one byte at each end. */
static void extremes(void **state)
{
	static const struct {
		size_t n;
		uint64_t at[4][2];
	} maps[] = {
		{1, {{0, UINT64_MAX}}},
		{2, {{0, UINT64_MAX / 2}, {UINT64_MAX / 2 + 1, UINT64_MAX}}},
		{2, {{0, 0}, {UINT64_MAX, UINT64_MAX}}},
		{1, {{UINT64_MAX, UINT64_MAX}}},
		{1, {{0, 0}}},
		{4, {{0, 0}, {1, 1}, {UINT64_MAX - 1, UINT64_MAX - 1}, {UINT64_MAX, UINT64_MAX}}},
		{3,
		 {{1, UINT64_MAX / 4}, {UINT64_MAX - 3, UINT64_MAX - 2}, {UINT64_MAX, UINT64_MAX}}},
	};
	size_t m, i;

	for (m = 0; m < sizeof(maps) / sizeof(maps[0]); m++) {
		struct world *w = calloc(1, sizeof(*w));
		struct via_bus_entry entry[4] = {0};
		struct via_bus_edit edit = {.last = UINT64_MAX, .entries = entry};

		assert_non_null(w);
		w->place = anywhere;
		for (i = 0; i < maps[m].n; i++)
			entry[edit.n++] = (struct via_bus_entry){
				.start = maps[m].at[i][0], .last = maps[m].at[i][1], .delta = i};
		apply(w, &edit, 1);
		check_everywhere(w);
		edit.n = 0;
		apply(w, &edit, 1);
		check_everywhere(w);
		assert_int_equal(w->map.n_chunks, 0);
		via_bus_map_destroy(&w->map);
		free(w);
	}
}

/* What lies evenly is found by its window: the search is only for what does not. */
static void windows_name_what_is_even(void **state)
{
	enum { N = 4096 };
	struct via_bus_entry *entries = aligned_alloc(64, N * sizeof(*entries));
	struct via_bus_edit edit = {.last = UINT64_MAX, .entries = entries, .n = N};
	struct via_bus_chunk *fresh = NULL, *garbage = NULL;
	static const struct via_bus_map nothing;
	struct via_bus_map map;
	unsigned int named = 0;
	uint64_t i;

	assert_non_null(entries);
	for (i = 0; i < N; i++)
		entries[i] = (struct via_bus_entry){.start = 0xe0000000 + i * 0x1000,
						    .last = 0xe0000000 + i * 0x1000 + 0xfff};
	assert_int_equal(via_bus_map_edit(&nothing, &edit, 1, &map, &fresh, &garbage), 0);
	for (i = 0; i < N; i++) {
		const struct via_bus_entry *entry =
			via_bus_map_guess(&map, 0xe0000000 + i * 0x1000 + 0x800);

		assert_true(!entry || entry->start == 0xe0000000 + i * 0x1000);
		named += entry != NULL;
	}
	assert_true(named > N * 9 / 10);
	/* An edit of one entry shares all chunks but the one that it is in, or two. */
	edit = (struct via_bus_edit){.first = entries[2000].start, .last = entries[2000].last};
	fresh = NULL;
	struct via_bus_map next;

	assert_int_equal(via_bus_map_edit(&map, &edit, 1, &next, &fresh, &garbage), 0);
	assert_true(n_list(garbage) <= 2);
	assert_true(n_list(fresh) <= 2);
	via_bus_map_free(&map);
	via_bus_chunks_free(garbage);
	via_bus_map_destroy(&next);
	free(entries);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(extremes),	     cmocka_unit_test(windows_name_what_is_even),
		cmocka_unit_test(even_spread),	     cmocka_unit_test(packed_spread),
		cmocka_unit_test(uneven_spread),     cmocka_unit_test(spread_at_the_ends),
		cmocka_unit_test(spread_at_the_top), cmocka_unit_test(clustered_spread),
	};

	if (argc > 1)
		n_edits = strtoul(argv[1], NULL, 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
