/* SPDX-License-Identifier: MIT */
/* Which IOVAs of an IOAS may be used: reserved and allowed ranges, and the alignment. */
#include "iommu/ioas-private.h"

#include "base/util.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Sets of ranges ------------------------------------------------------------ */

void via_reserved_clear(struct via_reserved_set *set)
{
	free(set->entries);
	free(set->merged);
	*set = (struct via_reserved_set){ 0 };
}

/* After a change of the entries; there is room for all of them. */
static void merge(struct via_reserved_set *set)
{
	size_t n = 0;

	for (size_t i = 0; i < set->n_entries; i++) {
		const struct via_reserved *e = &set->entries[i];
		struct via_iova_range *last = n ? &set->merged[n - 1] : NULL;

		if (last && (e->first <= last->last || e->first - 1 == last->last))
			last->last = via_max_u64(last->last, e->last);
		else
			set->merged[n++] = (struct via_iova_range){ e->first, e->last };
	}
	set->n_merged = n;
}

static int make_room(struct via_reserved_set *set, size_t n)
{
	size_t room = set->room ? set->room : 4;
	struct via_reserved *entries;
	struct via_iova_range *merged;

	if (n <= set->room)
		return 0;
	while (room < n)
		room *= 2;
	entries = reallocarray(set->entries, room, sizeof(*entries));
	if (!entries)
		return -ENOMEM;
	set->entries = entries;
	merged = reallocarray(set->merged, room, sizeof(*merged));
	if (!merged)
		return -ENOMEM;
	set->merged = merged;
	set->room = room;
	return 0;
}

static int insert(struct via_reserved_set *set, const struct via_reserved *entry)
{
	int rc = make_room(set, set->n_entries + 1);
	size_t i = set->n_entries;

	if (rc)
		return rc;
	for (; i && set->entries[i - 1].first > entry->first; i--)
		set->entries[i] = set->entries[i - 1];
	set->entries[i] = *entry;
	set->n_entries++;
	merge(set);
	return 0;
}

bool via_reserved_overlaps(const struct via_reserved_set *set, via_iova_t first, via_iova_t last)
{
	size_t low = 0, high = set->n_merged;

	/* The first one that ends at or after first. */
	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (set->merged[mid].last < first)
			low = mid + 1;
		else
			high = mid;
	}
	return low < set->n_merged && set->merged[low].first <= last;
}

/* Reserved ------------------------------------------------------------------- */

int via_ioas_reserve_locked(struct via_ioas *ioas, via_iova_t first, via_iova_t last, void *owner)
{
	const struct via_reserved entry = { first, last, owner };

	if (via_ioas_overlaps(ioas, first, last) ||
	    via_reserved_overlaps(&ioas->allowed, first, last))
		return -EADDRINUSE;
	return insert(&ioas->reserved, &entry);
}

void via_ioas_unreserve_locked(struct via_ioas *ioas, void *owner)
{
	struct via_reserved_set *set = &ioas->reserved;
	size_t n = 0;

	if (!owner)
		return;
	for (size_t i = 0; i < set->n_entries; i++)
		if (set->entries[i].owner != owner)
			set->entries[n++] = set->entries[i];
	if (n == set->n_entries)
		return;
	set->n_entries = n;
	merge(set);
	via_ioas_forget_hints(ioas, 0);
}

int via_ioas_reserve(struct via_ioas *ioas, via_iova_t first, via_iova_t last, void *owner)
{
	int rc;

	pthread_mutex_lock(&ioas->lock);
	rc = via_ioas_reserve_locked(ioas, first, last, owner);
	pthread_mutex_unlock(&ioas->lock);
	return rc;
}

void via_ioas_unreserve(struct via_ioas *ioas, void *owner)
{
	pthread_mutex_lock(&ioas->lock);
	via_ioas_unreserve_locked(ioas, owner);
	pthread_mutex_unlock(&ioas->lock);
}

size_t via_ioas_ranges(struct via_ioas *ioas, struct via_iova_range *ranges, size_t max)
{
	const struct via_reserved_set *set = &ioas->reserved;
	via_iova_t at = 0;
	bool more = true;
	size_t n = 0;

	pthread_mutex_lock(&ioas->lock);
	for (size_t i = 0; i <= set->n_merged && more; i++) {
		via_iova_t last = UINT64_MAX;

		if (i < set->n_merged)
			last = set->merged[i].first - 1; /* wraps only when there is no hole */
		if (i == set->n_merged || at < set->merged[i].first) {
			if (n < max)
				ranges[n] = (struct via_iova_range){ at, last };
			n++;
		}
		if (i < set->n_merged)
			more = !__builtin_add_overflow(set->merged[i].last, 1, &at);
	}
	pthread_mutex_unlock(&ioas->lock);
	return n;
}

/* Allowed -------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
	const struct via_reserved *x = a, *y = b;

	return (x->first > y->first) - (x->first < y->first);
}

static int build_allowed(const struct via_iova_range *ranges, size_t n,
			 struct via_reserved_set *set)
{
	int rc;

	for (size_t i = 0; i < n; i++)
		if (ranges[i].first >= ranges[i].last)
			return -EINVAL;
	rc = make_room(set, n);
	if (rc || !n)
		return rc;
	for (size_t i = 0; i < n; i++)
		set->entries[i] = (struct via_reserved){ ranges[i].first, ranges[i].last, NULL };
	qsort(set->entries, n, sizeof(set->entries[0]), compare);
	for (size_t i = 1; i < n; i++)
		if (set->entries[i].first <= set->entries[i - 1].last)
			return -EINVAL;
	set->n_entries = n;
	merge(set);
	return 0;
}

int via_ioas_allow(struct via_ioas *ioas, const struct via_iova_range *ranges, size_t n)
{
	struct via_reserved_set set = { 0 };
	int rc = build_allowed(ranges, n, &set);

	pthread_mutex_lock(&ioas->lock);
	for (size_t i = 0; !rc && i < set.n_merged; i++)
		if (via_reserved_overlaps(&ioas->reserved, set.merged[i].first,
					  set.merged[i].last))
			rc = -EADDRINUSE;
	if (!rc) {
		struct via_reserved_set old = ioas->allowed;

		ioas->allowed = set;
		set = old;
		via_ioas_forget_hints(ioas, 0);
	}
	pthread_mutex_unlock(&ioas->lock);
	via_reserved_clear(&set);
	return rc;
}

/* Alignment ------------------------------------------------------------------ */

static uint64_t wanted_alignment(const struct via_ioas *ioas)
{
	uint64_t a = ioas->large_pages ? 1 : VIA_PAGES_SIZE;

	for (const struct via_domain *d = ioas->domains; d; d = d->next)
		a = via_max_u64(a, d->config.pgsize_bitmap & -d->config.pgsize_bitmap);
	return ioas->n_aligned ? via_max_u64(a, VIA_PAGES_SIZE) : a;
}

static bool all_aligned(const struct via_ioas *ioas, uint64_t alignment)
{
	const struct via_ioas_area *area = via_index_find(&ioas->index, 0);

	while (area) {
		uint64_t in_page = via_pages_start(area->pages) + area->offset;

		if ((area->first | (area->last + 1) | (in_page & (VIA_PAGES_SIZE - 1))) &
		    (alignment - 1))
			return false;
		area = area->last == UINT64_MAX ? NULL :
						  via_index_find(&ioas->index, area->last + 1);
	}
	return true;
}

int via_ioas_recompute_alignment(struct via_ioas *ioas)
{
	uint64_t alignment = wanted_alignment(ioas);

	if (alignment > ioas->alignment && !all_aligned(ioas, alignment))
		return -EADDRINUSE;
	ioas->alignment = alignment;
	return 0;
}

uint64_t via_ioas_alignment(struct via_ioas *ioas)
{
	uint64_t alignment;

	pthread_mutex_lock(&ioas->lock);
	alignment = ioas->alignment;
	pthread_mutex_unlock(&ioas->lock);
	return alignment;
}

int via_ioas_set_large_pages(struct via_ioas *ioas, bool on)
{
	bool old;
	int rc = 0;

	pthread_rwlock_wrlock(&ioas->domains_lock);
	pthread_mutex_lock(&ioas->lock);
	old = ioas->large_pages;
	if (!on && old && ioas->domains && via_index_find(&ioas->index, 0))
		rc = -EINVAL;
	if (!rc) {
		ioas->large_pages = on;
		rc = via_ioas_recompute_alignment(ioas);
		if (rc)
			ioas->large_pages = old;
	}
	pthread_mutex_unlock(&ioas->lock);
	pthread_rwlock_unlock(&ioas->domains_lock);
	return rc;
}

bool via_ioas_large_pages(struct via_ioas *ioas)
{
	bool on;

	pthread_mutex_lock(&ioas->lock);
	on = ioas->large_pages;
	pthread_mutex_unlock(&ioas->lock);
	return on;
}

/* Accesses -------------------------------------------------------------------- */

int via_ioas_access_join(struct via_ioas *ioas, uint64_t alignment)
{
	int rc = 0;

	if (alignment < VIA_PAGES_SIZE)
		return 0;
	pthread_rwlock_wrlock(&ioas->domains_lock);
	pthread_mutex_lock(&ioas->lock);
	ioas->n_aligned++;
	rc = via_ioas_recompute_alignment(ioas);
	if (rc)
		ioas->n_aligned--;
	pthread_mutex_unlock(&ioas->lock);
	pthread_rwlock_unlock(&ioas->domains_lock);
	return rc;
}

void via_ioas_access_leave(struct via_ioas *ioas, uint64_t alignment)
{
	if (alignment < VIA_PAGES_SIZE)
		return;
	pthread_rwlock_wrlock(&ioas->domains_lock);
	pthread_mutex_lock(&ioas->lock);
	ioas->n_aligned--;
	(void)via_ioas_recompute_alignment(ioas); /* it can only become less */
	pthread_mutex_unlock(&ioas->lock);
	pthread_rwlock_unlock(&ioas->domains_lock);
}
