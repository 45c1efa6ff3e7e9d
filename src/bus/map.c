/* SPDX-License-Identifier: MIT */
#include "bus/map.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

/* A run of fewer entries than this takes its neighbour in. */
#define CHUNK_FEW (VIA_BUS_CHUNK_ENTRIES / 4)
#define WINDOWS_PER_CHUNK 4u

/* --- Looking --- */

/* The last entry of a chunk that starts at or below @addr, or the first. */
static uint32_t chunk_bisect(const struct via_bus_chunk *chunk, uint64_t addr)
{
	uint32_t base = 0, n = chunk->n;

	/* Branch-free: the compiler makes a conditional move of the selection. */
	while (n > 1) {
		uint32_t half = n / 2;

		base = chunk->entry[base + half].start <= addr ? base + half : base;
		n -= half;
	}
	return base;
}

/* The last chunk that starts at or below @addr, or the first. */
static uint32_t top_bisect(const struct via_bus_map *map, uint64_t addr)
{
	uint32_t base = 0, n = map->n_chunks;

	while (n > 1) {
		uint32_t half = n / 2;

		base = map->top[base + half].start <= addr ? base + half : base;
		n -= half;
	}
	return base;
}

struct via_bus_entry *via_bus_map_find_slow(const struct via_bus_map *map, uint64_t addr)
{
	struct via_bus_chunk *chunk;
	struct via_bus_entry *entry;

	if (!map->n_chunks)
		return NULL;
	chunk = via_bus_map_chunk(map, top_bisect(map, addr));
	entry = &chunk->entry[chunk_bisect(chunk, addr)];
	return via_bus_entry_has(entry, addr) ? entry : NULL;
}

struct via_bus_cursor via_bus_map_seek(const struct via_bus_map *map, uint64_t addr)
{
	struct via_bus_cursor at = {.map = map};
	const struct via_bus_chunk *chunk;

	if (!map->n_chunks)
		return at;
	at.chunk = top_bisect(map, addr);
	chunk = via_bus_map_chunk(map, at.chunk);
	at.index = chunk_bisect(chunk, addr);
	if (chunk->entry[at.index].last < addr)
		via_bus_cursor_next(&at);
	return at;
}

struct via_bus_entry *via_bus_cursor_entry(const struct via_bus_cursor *at)
{
	return at->chunk < at->map->n_chunks
		       ? &via_bus_map_chunk(at->map, at->chunk)->entry[at->index]
		       : NULL;
}

void via_bus_cursor_next(struct via_bus_cursor *at)
{
	if (++at->index == via_bus_map_chunk(at->map, at->chunk)->n) {
		at->index = 0;
		at->chunk++;
	}
}

struct via_bus_entry *via_bus_cursor_before(const struct via_bus_cursor *at)
{
	struct via_bus_chunk *chunk;

	if (at->index)
		return &via_bus_map_chunk(at->map, at->chunk)->entry[at->index - 1];
	if (!at->chunk)
		return NULL;
	chunk = via_bus_map_chunk(at->map, at->chunk - 1);
	return &chunk->entry[chunk->n - 1];
}

/* --- Making --- */

static void fill_hints(struct via_bus_chunk *chunk)
{
	uint64_t span = chunk->entry[chunk->n - 1].last - chunk->base;
	uint8_t i = 0;
	unsigned int w;

	chunk->shift = 0;
	while (span >> chunk->shift >= VIA_BUS_CHUNK_HINTS)
		chunk->shift++;
	for (w = 0; w < VIA_BUS_CHUNK_HINTS; w++) {
		/* Relative to base, where the end of the space cannot be passed unnoticed. */
		uint64_t middle =
			((uint64_t)w << chunk->shift) + ((UINT64_C(1) << chunk->shift) >> 1);

		while (i + 1 < chunk->n && chunk->entry[i + 1].start - chunk->base <= middle)
			i++;
		chunk->hint[w] = i;
	}
}

static struct via_bus_chunk *chunk_new(const struct via_bus_entry *const *entries, size_t n)
{
	size_t size = sizeof(struct via_bus_chunk) + n * sizeof(struct via_bus_entry), i;
	struct via_bus_chunk *chunk = aligned_alloc(64, size);

	if (!chunk)
		return NULL;
	chunk->base = entries[0]->start;
	chunk->next = NULL;
	chunk->n = (uint8_t)n;
	for (i = 0; i < n; i++)
		memcpy(&chunk->entry[i], entries[i], sizeof(chunk->entry[i]));
	fill_hints(chunk);
	return chunk;
}

/* An edit on its way. */
struct build {
	const struct via_bus_map *old;
	const struct via_bus_edit *edits;
	size_t n_edits, edit; /* edits before this one are in the run, or further down */
	struct via_bus_map map;
	struct via_bus_chunk *fresh, *garbage;
	const struct via_bus_entry **run; /* entries that await their chunks */
	size_t n_run, run_room;
};

static int push(struct build *b, const struct via_bus_entry *entries, size_t n)
{
	size_t i;

	if (b->n_run + n > b->run_room) {
		size_t room = 2 * b->run_room + n + 4 * (size_t)VIA_BUS_CHUNK_ENTRIES;
		const struct via_bus_entry **run = realloc(b->run, room * sizeof(*run));

		if (!run)
			return -ENOMEM;
		b->run = run;
		b->run_room = room;
	}
	for (i = 0; i < n; i++)
		b->run[b->n_run++] = &entries[i];
	return 0;
}

/* Chunks of about equal size for the run. */
static int flush(struct build *b)
{
	size_t left = (b->n_run + VIA_BUS_CHUNK_ENTRIES - 1) / VIA_BUS_CHUNK_ENTRIES, done = 0;

	for (; left; left--) {
		size_t n = (b->n_run - done) / left;
		struct via_bus_chunk *chunk = chunk_new(&b->run[done], n);

		if (!chunk)
			return -ENOMEM;
		chunk->next = b->fresh;
		b->fresh = chunk;
		b->map.top[b->map.n_chunks++] = (struct via_bus_top){chunk->base, chunk};
		done += n;
	}
	b->n_run = 0;
	return 0;
}

/* Edits that begin at or below @addr. */
static int push_edits(struct build *b, uint64_t addr)
{
	int ret = 0;

	for (; !ret && b->edit < b->n_edits && b->edits[b->edit].first <= addr; b->edit++)
		ret = push(b, b->edits[b->edit].entries, b->edits[b->edit].n);
	return ret;
}

static bool is_edited(const struct build *b, uint64_t addr)
{
	return b->edit && addr <= b->edits[b->edit - 1].last;
}

/* The last address that belongs to a chunk's part of the space. */
static uint64_t cover_last(const struct via_bus_map *map, uint32_t i)
{
	return i + 1 < map->n_chunks ? map->top[i + 1].start - 1 : UINT64_MAX;
}

static int rebuild_chunk(struct build *b, uint32_t i)
{
	struct via_bus_chunk *chunk = via_bus_map_chunk(b->old, i);
	uint32_t k;
	int ret = 0;

	for (k = 0; !ret && k < chunk->n; k++) {
		ret = push_edits(b, chunk->entry[k].start);
		if (!ret && !is_edited(b, chunk->entry[k].start))
			ret = push(b, &chunk->entry[k], 1);
	}
	if (!ret)
		ret = push_edits(b, cover_last(b->old, i));
	chunk->next = b->garbage;
	b->garbage = chunk;
	return ret;
}

/* Chunks before this one are as they were, from @i on. */
static uint32_t next_touched(const struct build *b, uint32_t i)
{
	uint32_t next = b->old->n_chunks;

	if (b->n_run && b->n_run < CHUNK_FEW)
		return i;
	if (i < next && is_edited(b, i ? b->old->top[i].start : 0))
		return i;
	if (b->edit < b->n_edits)
		next = top_bisect(b->old, b->edits[b->edit].first);
	return next > i ? next : i;
}

static int rebuild(struct build *b)
{
	uint32_t i = 0;
	int ret = 0;

	while (!ret && i < b->old->n_chunks) {
		uint32_t next = next_touched(b, i);

		if (next == i) {
			ret = rebuild_chunk(b, i++);
			continue;
		}
		ret = flush(b);
		if (!ret && b->old->n_chunks == 1)
			b->map.top[b->map.n_chunks] =
				(struct via_bus_top){b->old->first->base, b->old->first};
		else if (!ret)
			memcpy(&b->map.top[b->map.n_chunks], &b->old->top[i],
			       (next - i) * sizeof(b->map.top[0]));
		b->map.n_chunks += ret ? 0 : next - i;
		i = next;
	}
	if (!ret)
		ret = push_edits(b, UINT64_MAX);
	return ret ? ret : flush(b);
}

static void fill_windows(struct via_bus_map *map)
{
	uint64_t span = map->last - map->base;
	uint32_t w, i = 0;

	map->shift = 0;
	while (span >> map->shift >= (uint64_t)WINDOWS_PER_CHUNK * map->n_chunks)
		map->shift++;
	map->n_windows = (uint32_t)(span >> map->shift) + 1;
	for (w = 0; w < map->n_windows; w++) {
		uint64_t middle = ((uint64_t)w << map->shift) + ((UINT64_C(1) << map->shift) >> 1);

		while (i + 1 < map->n_chunks && map->top[i + 1].start - map->base <= middle)
			i++;
		map->window[w] = map->top[i].chunk;
	}
}

/* @n_top: what there is room for. */
static void finish(struct build *b, size_t n_top)
{
	struct via_bus_map *map = &b->map;

	if (map->n_chunks) {
		const struct via_bus_chunk *end = map->top[map->n_chunks - 1].chunk;

		map->first = map->top[0].chunk;
		map->base = map->top[0].start;
		map->last = end->entry[end->n - 1].last;
	}
	if (map->n_chunks > 1) {
		map->window = (struct via_bus_chunk **)(void *)(map->top + n_top);
		fill_windows(map);
	} else {
		free(map->top);
		map->top = NULL;
	}
}

static void hand_over(struct via_bus_chunk *list, struct via_bus_chunk **to)
{
	struct via_bus_chunk *next;

	for (; list; list = next) {
		next = list->next;
		list->next = *to;
		*to = list;
	}
}

int via_bus_map_edit(const struct via_bus_map *old, const struct via_bus_edit *edits,
		     size_t n_edits, struct via_bus_map *ret_map, struct via_bus_chunk **ret_fresh,
		     struct via_bus_chunk **ret_garbage)
{
	struct build b = {.old = old, .edits = edits, .n_edits = n_edits};
	size_t n_new = 0, n_top, i;
	int ret = -ENOMEM;

	for (i = 0; i < n_edits; i++)
		n_new += edits[i].n;
	/* Each run has one chunk more than its entries fill, at most. */
	n_top = old->n_chunks + n_new / VIA_BUS_CHUNK_ENTRIES +
		via_min_u64(n_edits, old->n_chunks) + 2;
	b.map.top =
		malloc(n_top * (sizeof(*b.map.top) + WINDOWS_PER_CHUNK * sizeof(*b.map.window)));
	if (b.map.top)
		ret = rebuild(&b);
	free(b.run);
	if (ret) {
		via_bus_chunks_free(b.fresh);
		free(b.map.top);
		return ret;
	}
	finish(&b, n_top);
	*ret_map = b.map;
	hand_over(b.fresh, ret_fresh);
	hand_over(b.garbage, ret_garbage);
	return 0;
}

void via_bus_map_free(struct via_bus_map *map)
{
	if (map->n_chunks > 1)
		free(map->top);
}

void via_bus_chunks_free(struct via_bus_chunk *list)
{
	struct via_bus_chunk *next;

	for (; list; list = next) {
		next = list->next;
		free(list);
	}
}

void via_bus_map_destroy(struct via_bus_map *map)
{
	uint32_t i;

	for (i = 0; i < map->n_chunks; i++)
		free(via_bus_map_chunk(map, i));
	via_bus_map_free(map);
}
