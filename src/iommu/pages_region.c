/* SPDX-License-Identifier: MIT */
/*
 * Regions of devices as DMA memory. What is memory there is reached in place,
 * through stores over our own address space; the rest by calls.
 */
#include "iommu/ioas-private.h"
#include "iommu/pages_internal.h"

#include "base/epoch.h"

#include <errno.h>
#include <stdlib.h>

/* The space of our own memory, without a reference. */
static struct via_space *own_space(void)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static struct via_space *space; /* under lock; kept for ever */
	struct via_space *found;
	struct via_mm *mm;

	pthread_mutex_lock(&lock);
	if (!space) {
		mm = via_mm_self();
		if (via_space_new_mm(mm, &space))
			space = NULL;
		via_mm_put(mm);
	}
	found = space;
	pthread_mutex_unlock(&lock);
	return found;
}

/* The piece of the region at offset: memory, or registers up to the next memory. */
static int next_piece(struct via_pages *pages, uint64_t offset, uint64_t end,
		      struct via_piece *ret_piece)
{
	struct via_piece piece = { .len = end - offset };
	uint64_t len = 0;
	uint8_t *host = pages->ops->memory(pages->cookie, pages->start + offset, &len);
	struct via_space *space;
	int rc = 0;

	if (len && len < piece.len)
		piece.len = len;
	if (host) {
		space = own_space();
		/* It is ours: nothing to probe, nothing to make resident. */
		rc = space ? via_store_new_unprobed(space, (uintptr_t)host, piece.len,
						    VIA_PROT_READ | VIA_PROT_WRITE, &piece.store) :
			     -ENOMEM;
	}
	*ret_piece = piece;
	return rc;
}

int via_pages_region_list(struct via_pages *pages, uint64_t offset, uint64_t len,
			  struct via_piece *one, struct via_piece **ret_pieces, size_t *ret_n)
{
	struct via_piece *pieces = NULL, piece;
	size_t n = 0, room = 0;
	int rc = 0;

	for (uint64_t done = 0; !rc && done < len; done += piece.len) {
		rc = next_piece(pages, offset + done, offset + len, &piece);
		if (rc)
			break;
		piece.offset = done;
		if (one && !done && piece.len == len) {
			*one = piece;
			*ret_pieces = one;
			*ret_n = 1;
			return 0;
		}
		if (n == room) {
			struct via_piece *more =
				reallocarray(pieces, room ? 2 * room : 2, sizeof(*pieces));

			if (!more) {
				via_store_put(piece.store);
				rc = -ENOMEM;
				break;
			}
			pieces = more;
			room = room ? 2 * room : 2;
		}
		/* Registers that are told in parts are one piece. */
		if (n && !piece.store && !pieces[n - 1].store)
			pieces[n - 1].len += piece.len;
		else
			pieces[n++] = piece;
	}
	if (rc) {
		via_pieces_free(pieces, n);
		return rc;
	}
	*ret_pieces = pieces;
	*ret_n = n;
	return 0;
}

static pthread_mutex_t access_lock = PTHREAD_MUTEX_INITIALIZER; /* a leaf */
static pthread_cond_t access_over = PTHREAD_COND_INITIALIZER;

void via_pages_access_begin(struct via_pages *pages)
{
	pthread_mutex_lock(&access_lock);
	pages->accesses++;
	pthread_mutex_unlock(&access_lock);
}

void via_pages_access_end(struct via_pages *pages)
{
	pthread_mutex_lock(&access_lock);
	if (!--pages->accesses)
		pthread_cond_broadcast(&access_over);
	pthread_mutex_unlock(&access_lock);
}

void via_pages_region_settle(struct via_pages *pages)
{
	pthread_mutex_lock(&access_lock);
	while (pages->accesses)
		pthread_cond_wait(&access_over, &access_lock);
	pthread_mutex_unlock(&access_lock);
}

int via_pages_access(struct via_pages *pages, uint64_t offset, void *buf, size_t len, bool write)
{
	if (pages->kind != VIA_PAGES_REGION || __atomic_load_n(&pages->revoked, __ATOMIC_ACQUIRE))
		return -EFAULT;
	return pages->ops->access(pages->cookie, pages->start + offset, buf, len, write);
}

void via_pages_written(struct via_pages *pages)
{
	if (pages->kind == VIA_PAGES_REGION && pages->ops->written)
		pages->ops->written(pages->cookie);
}

void via_pages_revoke(struct via_pages *pages)
{
	pthread_mutex_lock(&pages->lock);
	if (pages->revoked) {
		pthread_mutex_unlock(&pages->lock);
		return;
	}
	__atomic_store_n(&pages->revoked, true, __ATOMIC_RELEASE);
	for (struct via_ioas_area *area = pages->areas; area; area = area->next_of_pages)
		via_area_hide_locked(area);
	(void)via_epoch_synchronize();
	/* With the lock: unloading an area waits too, for the same leases. */
	for (struct via_ioas_area *area = pages->areas; area; area = area->next_of_pages)
		via_ioas_wait_for_area(area->ioas, area, "taking a region's memory away");
	pthread_mutex_unlock(&pages->lock);
}

void via_pages_restore(struct via_pages *pages)
{
	pthread_mutex_lock(&pages->lock);
	if (pages->revoked && pages->restores) {
		__atomic_store_n(&pages->revoked, false, __ATOMIC_RELEASE);
		for (struct via_ioas_area *area = pages->areas; area; area = area->next_of_pages)
			via_area_show_locked(area);
	}
	pthread_mutex_unlock(&pages->lock);
}
