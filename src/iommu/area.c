/* SPDX-License-Identifier: MIT */
#include "iommu/area.h"

#include "base/slab.h"
#include "iommu/access.h"
#include "iommu/pages_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

static struct via_slab slab = VIA_SLAB(struct via_ioas_area);

struct via_ioas_area *via_area_new(void)
{
	struct via_ioas_area *area = via_slab_alloc(&slab);

	if (area)
		*area = (struct via_ioas_area){ 0 };
	return area;
}

static uint64_t len_of(const struct via_ioas_area *area)
{
	return area->last - area->first + 1; /* an area is never the whole 2^64 */
}

const struct via_piece *via_area_piece(const struct via_area_fill *fill, uint64_t offset)
{
	size_t low = 0, high = fill->n;

	while (high - low > 1) {
		size_t mid = (low + high) / 2;

		if (fill->pieces[mid].offset <= offset)
			low = mid;
		else
			high = mid;
	}
	return &fill->pieces[low];
}

/* Where all of fill lies in our memory in one piece, and nobody holds up a copy; or NULL. */
static uint8_t *host_of(const struct via_area_fill *fill)
{
	const struct via_piece *piece = fill->pieces;
	const struct via_store_seg *seg;

	if (fill->n != 1 || !piece->store || !piece->store->prompt)
		return NULL;
	seg = via_store_seg(piece->store, piece->store_offset);
	if (!seg->host || piece->len > seg->len - (piece->store_offset - seg->offset))
		return NULL;
	return seg->host + (piece->store_offset - seg->offset);
}

void via_area_show_locked(struct via_ioas_area *area)
{
	if (!area->kept || area->hidden)
		return;
	__atomic_store_n(&area->fill, area->kept, __ATOMIC_RELEASE);
	/* Who writes through the pointer alone tells nobody. */
	if (!area->pages->ops || !area->pages->ops->written)
		__atomic_store_n(&area->host, host_of(area->kept), __ATOMIC_RELEASE);
	area->kept = NULL;
	if (area->pages->kind == VIA_PAGES_REGION)
		via_ioas_changed(area->ioas);
}

void via_area_hide_locked(struct via_ioas_area *area)
{
	if (!area->fill)
		return;
	area->kept = area->fill;
	__atomic_store_n(&area->host, NULL, __ATOMIC_RELEASE);
	__atomic_store_n(&area->fill, NULL, __ATOMIC_RELEASE);
	via_ioas_changed(area->ioas);
}

static void link_area(struct via_ioas_area *area)
{
	struct via_ioas_area **head = &area->pages->areas;

	area->next_of_pages = *head;
	area->link_of_pages = head;
	if (*head)
		(*head)->link_of_pages = &area->next_of_pages;
	*head = area;
}

static void unlink_area(struct via_ioas_area *area)
{
	*area->link_of_pages = area->next_of_pages;
	if (area->next_of_pages)
		area->next_of_pages->link_of_pages = area->link_of_pages;
	area->link_of_pages = NULL;
}

/* Make own and kept of what is pinned. With the lock of the pages. */
static int fill_area(struct via_ioas_area *area)
{
	int rc = via_pages_list(area->pages, area->offset, len_of(area), &area->one,
				&area->own.pieces, &area->own.n);

	if (!rc)
		area->kept = &area->own;
	return rc;
}

static void empty_area(struct via_ioas_area *area)
{
	if (!area->fill && !area->kept)
		return;
	assert(!area->fill || !area->kept);
	__atomic_store_n(&area->host, NULL, __ATOMIC_RELEASE);
	__atomic_store_n(&area->fill, NULL, __ATOMIC_RELEASE);
	area->kept = NULL;
	if (area->own.pieces == &area->one)
		via_store_put(area->one.store);
	else
		via_pieces_free(area->own.pieces, area->own.n);
	area->own = (struct via_area_fill){ 0 };
}

int via_area_load(struct via_ioas_area *area)
{
	struct via_pages *pages = area->pages;
	bool is_region = pages->kind == VIA_PAGES_REGION;
	int rc;

	/* An area of no use can be had (iommufd as a container), but no page table holds it. */
	if (!area->prot)
		return -EINVAL;
	rc = via_pages_pin(pages, area->offset, len_of(area));
	if (rc)
		return rc;
	pthread_mutex_lock(&pages->lock);
	assert(!area->loaded);
	/* What is revoked for ever needs no memory. */
	rc = pages->revoked && !pages->restores ? 0 : fill_area(area);
	if (!rc) {
		area->loaded = true;
		/* What is parked can only be replaced. */
		area->hidden = __atomic_load_n(&area->parked, __ATOMIC_RELAXED);
		if (is_region)
			link_area(area);
		if (!pages->revoked)
			via_area_show_locked(area);
	}
	pthread_mutex_unlock(&pages->lock);
	if (rc)
		via_pages_unpin(pages, area->offset, len_of(area));
	return rc;
}

void via_area_hide(struct via_ioas_area *area)
{
	if (!area->pages)
		return;
	pthread_mutex_lock(&area->pages->lock);
	area->hidden = true;
	via_area_hide_locked(area);
	pthread_mutex_unlock(&area->pages->lock);
}

void via_area_unload(struct via_ioas_area *area)
{
	struct via_pages *pages = area->pages;

	if (!pages)
		return;
	pthread_mutex_lock(&pages->lock);
	if (!area->loaded) {
		pthread_mutex_unlock(&pages->lock);
		return;
	}
	empty_area(area);
	area->loaded = false;
	if (pages->kind == VIA_PAGES_REGION)
		unlink_area(area);
	pthread_mutex_unlock(&pages->lock);
	via_pages_unpin(pages, area->offset, len_of(area));
}

int via_area_cut(struct via_ioas_area *area, uint64_t at, struct via_ioas_area *low,
		 struct via_ioas_area *high)
{
	struct via_pages *pages = area->pages;
	struct via_access_list *accesses = via_ioas_accesses(area->ioas);
	int rc = 0;

	if (pages->kind == VIA_PAGES_REGION)
		return -EOPNOTSUPP;
	assert(at && at < len_of(area));
	*low = (struct via_ioas_area){
		.first = area->first,
		.last = area->first + (at - 1),
		.prot = area->prot,
		.pages = pages,
		.offset = area->offset,
		.ioas = area->ioas,
		.loaded = area->loaded,
		.closing = area->closing,
		.hidden = area->hidden,
		.suspended = area->suspended,
		.parked = area->parked,
		.parked_until = area->parked_until,
		.owner = area->owner,
	};
	*high = *low;
	high->first = area->first + at;
	high->last = area->last;
	high->offset += at;

	pthread_mutex_lock(&pages->lock);
	if (area->loaded) {
		rc = fill_area(low);
		if (!rc)
			rc = fill_area(high);
		if (!rc)
			rc = via_pages_cut_pin(pages, area->offset, len_of(area), at);
		if (rc) {
			empty_area(low);
			empty_area(high);
			low->loaded = high->loaded = false;
			low->pages = high->pages = NULL;
		} else if (area->fill) {
			via_area_show_locked(low);
			via_area_show_locked(high);
		}
	}
	pthread_mutex_unlock(&pages->lock);
	if (rc)
		return rc;
	(void)via_pages_get(pages);
	(void)via_pages_get(pages);
	low->n_accesses = via_access_list_count(accesses, low->first, low->last, &low->n_locks);
	high->n_accesses = via_access_list_count(accesses, high->first, high->last, &high->n_locks);
	return 0;
}

void via_area_cut_undo(struct via_ioas_area *area, struct via_ioas_area *low,
		       struct via_ioas_area *high)
{
	struct via_pages *pages = area->pages;

	pthread_mutex_lock(&pages->lock);
	empty_area(low);
	empty_area(high);
	if (area->loaded)
		via_pages_uncut_pin(pages, area->offset, len_of(low));
	pthread_mutex_unlock(&pages->lock);
	via_pages_put(low->pages);
	via_pages_put(high->pages);
	low->pages = high->pages = NULL;
	low->loaded = high->loaded = false;
}

void via_area_cut_done(struct via_ioas_area *area)
{
	pthread_mutex_lock(&area->pages->lock);
	empty_area(area);
	pthread_mutex_unlock(&area->pages->lock);
	via_pages_put(area->pages);
	via_slab_free(area);
}

void via_area_free(struct via_ioas_area *area)
{
	if (!area)
		return;
	assert(!area->loaded);
	via_pages_put(area->pages);
	via_slab_free(area);
}
