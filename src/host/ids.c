/* SPDX-License-Identifier: MIT */
#include "host/internal.h"

#include <stdlib.h>

/* The count of reuses has 31 bits, so that an id is positive as a signed number. */
#define GENERATION_MASK 0x7fffffffu

static uint32_t index_of(uint64_t id)
{
	return (uint32_t)id - 1;
}

static bool grow(struct via_id_table *table)
{
	uint32_t n = table->n_slots ? table->n_slots * 2 : 16;
	struct via_id_slot *slots;

	if (n > 1u << 24)
		return false;
	slots = realloc(table->slots, n * sizeof(*slots));
	if (!slots)
		return false;
	memset(slots + table->n_slots, 0, (n - table->n_slots) * sizeof(*slots));
	table->search = table->n_slots;
	table->slots = slots;
	table->n_slots = n;
	return true;
}

uint64_t via_id_add(struct via_id_table *table, void *ptr)
{
	uint32_t i;

	if (table->n_used == table->n_slots && !grow(table))
		return 0;
	for (i = table->search; table->slots[i].ptr;)
		i = (i + 1) % table->n_slots;
	table->slots[i].ptr = ptr;
	table->search = (i + 1) % table->n_slots;
	table->n_used++;
	return (uint64_t)(table->slots[i].generation & GENERATION_MASK) << 32 | (i + 1);
}

void *via_id_find(const struct via_id_table *table, uint64_t id)
{
	uint32_t i = index_of(id);

	if (i >= table->n_slots || table->slots[i].generation != id >> 32)
		return NULL;
	return table->slots[i].ptr;
}

void via_id_remove(struct via_id_table *table, uint64_t id)
{
	uint32_t i = index_of(id);

	if (!via_id_find(table, id))
		return;
	table->slots[i].ptr = NULL;
	table->slots[i].generation = (table->slots[i].generation + 1) & GENERATION_MASK;
	table->n_used--;
}

void via_id_deinit(struct via_id_table *table)
{
	free(table->slots);
	*table = (struct via_id_table){0};
}
