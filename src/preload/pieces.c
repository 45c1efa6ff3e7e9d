/* SPDX-License-Identifier: MIT */
#include "preload/pieces.h"

#include "preload/ours.h"
#include "preload/sys.h"

/* Odd while a writer is at work. Atomic. */
static uint64_t sequence;
struct via_lock via_pieces_lock;
struct via_piece via_pieces[VIA_MAX_PIECES];
uint32_t via_n_pieces;
struct via_mapping via_mappings[VIA_MAX_MAPPINGS];

void via_pieces_write_begin(void)
{
	__atomic_store_n(&sequence, sequence + 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

void via_pieces_write_end(void)
{
	__atomic_store_n(&sequence, sequence + 1, __ATOMIC_RELEASE);
}

bool via_maps_find(uint64_t addr, struct via_piece *ret_piece)
{
	for (;;) {
		uint64_t before = __atomic_load_n(&sequence, __ATOMIC_ACQUIRE);
		bool found = false;

		if (before & 1) {
			via_sys(SYS_sched_yield, 0);
			continue;
		}
		for (uint32_t i = 0; i < __atomic_load_n(&via_n_pieces, __ATOMIC_RELAXED); i++) {
			struct via_piece p = via_pieces[i];

			if (addr >= p.start && addr < p.end) {
				*ret_piece = p;
				found = true;
				break;
			}
		}
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (__atomic_load_n(&sequence, __ATOMIC_RELAXED) == before)
			return found;
	}
}

bool via_pieces_overlap(uint64_t start, uint64_t end)
{
	struct via_piece p;

	if (!__atomic_load_n(&via_n_pieces, __ATOMIC_ACQUIRE))
		return false;
	if (via_maps_find(start, &p))
		return true;
	for (;;) {
		uint64_t before = __atomic_load_n(&sequence, __ATOMIC_ACQUIRE);
		bool found = false;

		for (uint32_t i = 0; i < __atomic_load_n(&via_n_pieces, __ATOMIC_RELAXED); i++)
			found |= via_pieces[i].start < end && start < via_pieces[i].end;
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (!(before & 1) && __atomic_load_n(&sequence, __ATOMIC_RELAXED) == before)
			return found;
	}
}

bool via_pieces_add(struct via_piece p)
{
	if (via_n_pieces == VIA_MAX_PIECES)
		return false;
	via_pieces[via_n_pieces] = p;
	__atomic_store_n(&via_n_pieces, via_n_pieces + 1, __ATOMIC_RELAXED);
	via_mappings[p.mapping].n_pieces++;
	return true;
}

void via_pieces_drop(uint32_t i)
{
	via_mappings[via_pieces[i].mapping].n_pieces--;
	via_pieces[i] = via_pieces[via_n_pieces - 1];
	__atomic_store_n(&via_n_pieces, via_n_pieces - 1, __ATOMIC_RELAXED);
}

/* Make piece i end at addr and a new one begin there. */
static bool split_piece(uint32_t i, uint64_t addr)
{
	struct via_piece rest = via_pieces[i];

	rest.offset += addr - rest.start;
	rest.start = addr;
	if (!via_pieces_add(rest))
		return false;
	via_pieces[i].end = addr;
	return true;
}

void via_pieces_cut(uint64_t start, uint64_t end)
{
	for (uint32_t i = 0; i < via_n_pieces; i++) {
		if (via_pieces[i].start < start && start < via_pieces[i].end)
			split_piece(i, start);
		if (via_pieces[i].start < end && end < via_pieces[i].end)
			split_piece(i, end);
	}
}

void via_pieces_remove(uint64_t start, uint64_t end)
{
	via_pieces_cut(start, end);
	for (uint32_t i = 0; i < via_n_pieces;) {
		if (via_pieces[i].start >= start && via_pieces[i].end <= end)
			via_pieces_drop(i);
		else
			i++;
	}
}

void via_mappings_collect(struct via_released *r)
{
	uint64_t generation = via_client_generation();

	r->n = 0;
	for (uint32_t i = 0; i < VIA_MAX_MAPPINGS && r->n < 16; i++) {
		struct via_mapping *m = &via_mappings[i];

		if (m->n_pieces || m->hidden <= 0)
			continue;
		r->id[r->n] = m->generation == generation ? m->id : 0;
		r->hidden[r->n++] = m->hidden;
		m->hidden = 0;
	}
}

void via_mappings_release(const struct via_released *r)
{
	for (unsigned int i = 0; i < r->n; i++) {
		if (r->id[i])
			via_call_simple(VIA_DOOR_UNMAP, r->id[i], 0, 0, 0, 0);
		via_fd_close_hidden(r->hidden[i]);
	}
	if (r->n)
		via_call_simple(VIA_DOOR_SYNC, 0, 0, 0, 0, 0);
}

struct via_mapping *via_mappings_free(void)
{
	for (uint32_t i = 0; i < VIA_MAX_MAPPINGS; i++)
		if (!via_mappings[i].n_pieces && via_mappings[i].hidden <= 0)
			return &via_mappings[i];
	return NULL;
}

void via_pieces_after_fork(void)
{
	via_lock_reset(&via_pieces_lock);
	if (sequence & 1)
		sequence++;
}
