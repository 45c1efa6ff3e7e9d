/* SPDX-License-Identifier: MIT */
#include "iommu/index.h"

#include "base/epoch.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define CHUNK_SLOTS 64

struct chunk {
	struct via_epoch_head head;
	uint32_t n;    /* slots in use; atomic: raised with release once they are filled */
	uint32_t live; /* slots with an area; the changer's */
	uint64_t keys[CHUNK_SLOTS]; /* ascending; constant below n */
	struct via_ioas_area *areas[CHUNK_SLOTS]; /* atomic */
};

/* Constant but for the chunk pointers. A key bounds its chunk from below; the first is 0. */
struct via_index_table {
	struct via_epoch_head head;
	size_t n;
	struct row {
		uint64_t key;
		struct chunk *chunk; /* atomic */
	} rows[];
};

static void chunk_free(struct via_epoch_head *head)
{
	free((char *)head - offsetof(struct chunk, head));
}

static void table_free(struct via_epoch_head *head)
{
	free((char *)head - offsetof(struct via_index_table, head));
}

static const struct via_index_table *table_of(const struct via_index *index)
{
	return __atomic_load_n(&index->table, __ATOMIC_ACQUIRE);
}

static struct chunk *chunk_of(const struct via_index_table *table, size_t i)
{
	return __atomic_load_n(&table->rows[i].chunk, __ATOMIC_ACQUIRE);
}

static struct via_ioas_area *area_of(const struct chunk *chunk, size_t i)
{
	return __atomic_load_n(&chunk->areas[i], __ATOMIC_ACQUIRE);
}

/* The last row whose key is <= iova; there is one. */
static size_t row_for(const struct via_index_table *table, via_iova_t iova)
{
	size_t low = 0, n = table->n;

	while (n > 1) {
		size_t half = n / 2;

		low += table->rows[low + half].key <= iova ? half : 0;
		n -= half;
	}
	return low;
}

/* Slots whose key is <= iova. */
static size_t slots_upto(const struct chunk *chunk, size_t n, via_iova_t iova)
{
	size_t low = 0;

	while (n) {
		size_t half = (n + 1) / 2;

		low += chunk->keys[low + half - 1] <= iova ? half : 0;
		n -= half;
	}
	return low;
}

void via_index_init(struct via_index *index)
{
	*index = (struct via_index){ 0 };
}

void via_index_deinit(struct via_index *index)
{
	struct via_index_table *table = index->table;

	for (size_t i = 0; table && i < table->n; i++)
		free(table->rows[i].chunk);
	free(table);
	index->table = NULL;
}

struct via_ioas_area *via_index_lookup(const struct via_index *index, via_iova_t iova)
{
	const struct via_index_table *table = table_of(index);
	const struct chunk *chunk;
	struct via_ioas_area *area;
	size_t n;

	if (!table)
		return NULL;
	chunk = chunk_of(table, row_for(table, iova));
	n = slots_upto(chunk, __atomic_load_n(&chunk->n, __ATOMIC_ACQUIRE), iova);
	if (!n)
		return NULL;
	area = area_of(chunk, n - 1);
	return area && area->last >= iova ? area : NULL;
}

struct via_ioas_area *via_index_find(const struct via_index *index, via_iova_t iova)
{
	const struct via_index_table *table = index->table;
	struct via_ioas_area *area = via_index_lookup(index, iova);
	size_t row, slot;

	if (area || !table)
		return area;
	row = row_for(table, iova);
	slot = slots_upto(chunk_of(table, row), chunk_of(table, row)->n, iova);
	for (; row < table->n; row++, slot = 0) {
		const struct chunk *chunk = chunk_of(table, row);

		for (; chunk->live && slot < chunk->n; slot++)
			if (chunk->areas[slot])
				return chunk->areas[slot];
	}
	return NULL;
}

static void chunk_append(struct chunk *chunk, struct via_ioas_area *area)
{
	uint32_t n;

	assert(chunk && chunk->n < CHUNK_SLOTS);
	n = chunk->n;
	chunk->keys[n] = area->first;
	__atomic_store_n(&chunk->areas[n], area, __ATOMIC_RELEASE);
	chunk->live++;
	__atomic_store_n(&chunk->n, n + 1, __ATOMIC_RELEASE);
}

/* Try to add without allocation. next_key: lower bound of the following chunk. */
static bool insert_in_place(struct chunk *chunk, struct via_ioas_area *area)
{
	size_t n = slots_upto(chunk, chunk->n, area->first);

	if (n && chunk->keys[n - 1] == area->first &&
	    (n == chunk->n || chunk->keys[n] > area->last)) {
		__atomic_store_n(&chunk->areas[n - 1], area, __ATOMIC_RELEASE);
		chunk->live++;
		return true;
	}
	if (n == chunk->n && n < CHUNK_SLOTS) {
		chunk_append(chunk, area);
		return true;
	}
	return false;
}

/*
 * The live areas of chunk and the new one, in order, in one chunk or two (else NULL). An
 * area behind all of a full chunk gets a chunk of its own, so that ascending
 * maps fill chunks to the end.
 */
static bool rebuild_chunk(const struct chunk *old, struct via_ioas_area *area,
			    struct chunk *out[2])
{
	size_t total = old->live + 1, first_part = total, done = 0;
	bool placed = false;

	if (total > CHUNK_SLOTS)
		first_part = slots_upto(old, old->n, area->first) == old->n ? old->live : total / 2;
	out[0] = calloc(1, sizeof(*out[0]));
	out[1] = first_part < total ? calloc(1, sizeof(*out[1])) : NULL;
	if (!out[0] || (first_part < total && !out[1])) {
		free(out[0]);
		free(out[1]);
		return false;
	}
	for (size_t i = 0; i <= old->n; i++) {
		struct via_ioas_area *next = i < old->n ? old->areas[i] : NULL;

		if (!placed && (i == old->n || (next && next->first > area->first))) {
			chunk_append(out[done++ >= first_part], area);
			placed = true;
		}
		if (next)
			chunk_append(out[done++ >= first_part], next);
	}
	return true;
}

static struct via_index_table *table_new(size_t n)
{
	struct via_index_table *table = malloc(sizeof(*table) + n * sizeof(table->rows[0]));

	if (table)
		table->n = 0;
	return table;
}

static void table_append(struct via_index_table *table, uint64_t key, struct chunk *chunk)
{
	assert(table);
	table->rows[table->n] = (struct row){ table->n ? key : 0, chunk };
	table->n++;
}

static void table_publish(struct via_index *index, struct via_index_table *table)
{
	struct via_index_table *old = index->table;

	__atomic_store_n(&index->table, table, __ATOMIC_RELEASE);
	if (old)
		via_epoch_defer(&old->head, table_free);
}

static int insert_first(struct via_index *index, struct via_ioas_area *area)
{
	struct via_index_table *table = table_new(1);
	struct chunk *chunk = calloc(1, sizeof(*chunk));

	if (!table || !chunk) {
		free(table);
		free(chunk);
		return -ENOMEM;
	}
	chunk_append(chunk, area);
	table_append(table, 0, chunk);
	table_publish(index, table);
	return 0;
}

/* A new table: row is replaced by parts; rows that lie under area give up their keys. */
static int insert_with_table(struct via_index *index, size_t row, struct via_ioas_area *area,
			     struct chunk *parts[2])
{
	struct via_index_table *old = index->table;
	struct via_index_table *table = table_new(old->n + 1);

	if (!table)
		return -ENOMEM;
	for (size_t i = 0; i < row; i++)
		table_append(table, old->rows[i].key, old->rows[i].chunk);
	table_append(table, old->rows[row].key, parts[0]);
	if (parts[1])
		table_append(table, parts[1]->keys[0], parts[1]);
	via_epoch_defer(&old->rows[row].chunk->head, chunk_free);
	for (size_t i = row + 1; i < old->n; i++) {
		struct chunk *chunk = old->rows[i].chunk;
		uint64_t key = old->rows[i].key;

		if (!chunk->live) {
			via_epoch_defer(&chunk->head, chunk_free);
			index->n_empty--;
			continue;
		}
		/* What lives in a chunk that starts under the area lies behind it. */
		table_append(table, key <= area->last ? area->last + 1 : key, chunk);
	}
	table_publish(index, table);
	return 0;
}

int via_index_insert(struct via_index *index, struct via_ioas_area *area)
{
	struct via_index_table *table = index->table;
	struct chunk *chunk, *parts[2];
	size_t row;
	bool spans, was_empty;
	int rc;

	if (!table)
		return insert_first(index, area);
	row = row_for(table, area->first);
	chunk = table->rows[row].chunk;
	was_empty = !chunk->live;
	spans = row + 1 < table->n && table->rows[row + 1].key <= area->last;
	if (!spans && insert_in_place(chunk, area)) {
		index->n_empty -= was_empty;
		return 0;
	}
	if (!rebuild_chunk(chunk, area, parts))
		return -ENOMEM;
	if (!parts[1] && !spans) {
		__atomic_store_n(&table->rows[row].chunk, parts[0], __ATOMIC_RELEASE);
		via_epoch_defer(&chunk->head, chunk_free);
	} else {
		rc = insert_with_table(index, row, area, parts);
		if (rc) {
			free(parts[0]);
			free(parts[1]);
			return rc;
		}
	}
	index->n_empty -= was_empty;
	return 0;
}

/* The slot of the live area that starts at first. */
static struct chunk *slot_of(const struct via_index *index, via_iova_t first, size_t *ret_slot)
{
	const struct via_index_table *table = index->table;
	struct chunk *chunk = table->rows[row_for(table, first)].chunk;

	*ret_slot = slots_upto(chunk, chunk->n, first) - 1;
	return chunk;
}

void via_index_replace(struct via_index *index, struct via_ioas_area *area)
{
	size_t slot;
	struct chunk *chunk = slot_of(index, area->first, &slot);

	__atomic_store_n(&chunk->areas[slot], area, __ATOMIC_RELEASE);
}

void via_index_remove(struct via_index *index, const struct via_ioas_area *area)
{
	size_t slot;
	struct chunk *chunk = slot_of(index, area->first, &slot);

	__atomic_store_n(&chunk->areas[slot], NULL, __ATOMIC_RELEASE);
	index->n_empty += !--chunk->live;
}

void via_index_trim(struct via_index *index)
{
	struct via_index_table *old = index->table, *table = NULL;

	if (index->n_empty < 4 || index->n_empty < old->n / 2)
		return;
	if (index->n_empty < old->n) {
		table = table_new(old->n - index->n_empty);
		if (!table)
			return; /* it only costs memory */
	}
	for (size_t i = 0; i < old->n; i++) {
		struct chunk *chunk = old->rows[i].chunk;

		if (chunk->live)
			table_append(table, old->rows[i].key, chunk);
		else
			via_epoch_defer(&chunk->head, chunk_free);
	}
	index->n_empty = 0;
	table_publish(index, table);
}
