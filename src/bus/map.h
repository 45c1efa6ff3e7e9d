/* SPDX-License-Identifier: MIT */
/*
 * A map: entries that do not overlap, ascending, in chunks. A map never
 * changes; an edit makes a new one that shares every chunk that it does not
 * touch, so that what a change costs depends on what changes and hardly on how
 * much there is.
 *
 * A chunk is found by cutting the space between the first and the last chunk
 * into windows of equal size, and an entry of a chunk likewise. A window names
 * a likely candidate, which is checked; where addresses are so unevenly spread
 * that it is wrong, a bisection follows.
 */
#ifndef VIA_BUS_MAP_H
#define VIA_BUS_MAP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct via_claim;

typedef int via_bus_read_fn(void *opaque, uint64_t offset, unsigned int size, uint64_t *ret_value);
typedef int via_bus_write_fn(void *opaque, uint64_t offset, unsigned int size, uint64_t value);

/*
 * One range: a visible piece, or a claim in its layer. Immutable but for the
 * two callbacks, which a removal without memory replaces by ones that decline.
 * A cache line, so that a hit touches no other.
 */
struct via_bus_entry {
	_Alignas(64) uint64_t start;
	uint64_t last;
	uint64_t delta; /* callback offset = address + delta, modulo 2^64 */
	via_bus_read_fn *_Atomic read;
	via_bus_write_fn *_Atomic write;
	void *opaque;
	struct via_claim *claim; /* the first one, where several are fused */
	/* Bit n: any aligned access of n bytes is one plain callback. */
	uint16_t direct_read, direct_write;
	uint16_t flags; /* enum via_bus_flags, VIA_BUS_HAS_EVENTS */
};
_Static_assert(sizeof(struct via_bus_entry) == 64, "an entry is a cache line");

/* A write to it may be an ioeventfd's. */
#define VIA_BUS_HAS_EVENTS (1u << 15)

#define VIA_BUS_CHUNK_ENTRIES 32u
#define VIA_BUS_CHUNK_HINTS 46u

/* 1 to VIA_BUS_CHUNK_ENTRIES entries. Immutable once published. */
struct via_bus_chunk {
	_Alignas(64) uint64_t base; /* start of the first entry */
	struct via_bus_chunk *next; /* writers: on a list of fresh chunks, or of garbage */
	uint8_t shift;
	uint8_t n;
	uint8_t hint[VIA_BUS_CHUNK_HINTS]; /* entry in the middle of each window */
	struct via_bus_entry entry[];
};
_Static_assert(offsetof(struct via_bus_chunk, entry) == 64, "the head is a cache line");

struct via_bus_top {
	uint64_t start; /* of the chunk's first entry */
	struct via_bus_chunk *chunk;
};

struct via_bus_map {
	struct via_bus_chunk *first; /* the only one, if n_chunks is 1 */
	uint32_t n_chunks;
	uint32_t n_windows;
	uint64_t base; /* of the first entry */
	uint64_t last; /* of the last one */
	/* If n_chunks is more than 1: the one in the middle of each window, and all of them. */
	struct via_bus_chunk **window;
	struct via_bus_top *top;
	unsigned int shift;
};

/* Entries that replace those in [first, last]; no entry of the map crosses an end. */
struct via_bus_edit {
	uint64_t first, last;
	const struct via_bus_entry *entries; /* ascending, inside */
	size_t n;
};

/*
 * @edits: ascending, disjoint. @ret_fresh: chunks that only @ret_map has,
 * @ret_garbage: those that only @old has; both linked, after what is there.
 * 0 or -ENOMEM, and nothing has happened.
 */
int via_bus_map_edit(const struct via_bus_map *old, const struct via_bus_edit *edits,
		     size_t n_edits, struct via_bus_map *ret_map, struct via_bus_chunk **ret_fresh,
		     struct via_bus_chunk **ret_garbage);
/* The map's own memory, without its chunks. */
void via_bus_map_free(struct via_bus_map *map);
void via_bus_chunks_free(struct via_bus_chunk *list);
/* The map with all its chunks. */
void via_bus_map_destroy(struct via_bus_map *map);

/* A place in a map, between entries too. */
struct via_bus_cursor {
	const struct via_bus_map *map;
	uint32_t chunk;
	uint32_t index;
};

/* The first entry that ends at or after @addr. */
struct via_bus_cursor via_bus_map_seek(const struct via_bus_map *map, uint64_t addr);
/* NULL behind the last one. */
struct via_bus_entry *via_bus_cursor_entry(const struct via_bus_cursor *at);
void via_bus_cursor_next(struct via_bus_cursor *at);
/* The entry before, or NULL. */
struct via_bus_entry *via_bus_cursor_before(const struct via_bus_cursor *at);

static inline struct via_bus_chunk *via_bus_map_chunk(const struct via_bus_map *map, uint32_t i)
{
	return map->n_chunks == 1 ? map->first : map->top[i].chunk;
}

static inline bool via_bus_entry_has(const struct via_bus_entry *entry, uint64_t addr)
{
	return addr - entry->start <= entry->last - entry->start;
}

/*
 * The entry at @addr, if the windows name it. NULL: it may be there all the
 * same. No calls, so that a caller need not save what it has in registers.
 */
static inline __attribute__((always_inline)) struct via_bus_entry *
via_bus_map_guess(const struct via_bus_map *map, uint64_t addr)
{
	struct via_bus_chunk *chunk = map->first;
	struct via_bus_entry *entry;
	uint64_t window;

	if (map->n_chunks != 1) {
		/* No chunk, no window. Whether it is the right chunk, the entry will tell. */
		window = (addr - map->base) >> map->shift;
		if (__builtin_expect(window >= map->n_windows, 0))
			return NULL;
		chunk = map->window[window];
	}
	window = (addr - chunk->base) >> chunk->shift;
	if (__builtin_expect(window >= VIA_BUS_CHUNK_HINTS, 0))
		return NULL;
	/* By bytes: the compiler would count entries from two places. */
	entry = (struct via_bus_entry *)(void *)((char *)chunk->entry +
						 chunk->hint[window] * sizeof(*entry));
	return __builtin_expect(via_bus_entry_has(entry, addr), 1) ? entry : NULL;
}

/* Nothing is in [addr, addr + size - 1], which is inside the space. False: something may be. */
static inline bool via_bus_map_is_gap(const struct via_bus_map *map, uint64_t addr,
				      unsigned int size)
{
	struct via_bus_chunk *chunk = map->first;
	const struct via_bus_entry *entry;
	uint64_t window;
	unsigned int i;

	if (!map->n_chunks || addr > map->last)
		return true;
	if (addr < map->base)
		return map->base - addr >= size;
	if (map->n_chunks != 1)
		chunk = map->window[(addr - map->base) >> map->shift];
	window = (addr - chunk->base) >> chunk->shift;
	if (addr < chunk->base || window >= VIA_BUS_CHUNK_HINTS)
		return false;
	i = chunk->hint[window];
	entry = &chunk->entry[i];
	if (entry->last < addr)
		return i + 1u < chunk->n && entry[1].start > addr && entry[1].start - addr >= size;
	return entry->start > addr && entry[-1].last < addr && entry->start - addr >= size;
}

struct via_bus_entry *via_bus_map_find_slow(const struct via_bus_map *map, uint64_t addr);

/* The entry at @addr, or NULL. Readers, in a section. */
static inline struct via_bus_entry *via_bus_map_find(const struct via_bus_map *map, uint64_t addr)
{
	struct via_bus_entry *entry = via_bus_map_guess(map, addr);

	return __builtin_expect(entry != NULL, 1) ? entry : via_bus_map_find_slow(map, addr);
}

#endif
