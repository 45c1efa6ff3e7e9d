/* SPDX-License-Identifier: MIT */
/* Pins of accesses: which ranges each has pinned, and the areas that must stay for them. */
#include "iommu/access-private.h"

#include <limits.h>
#include <sched.h>
#include <stdlib.h>

#define FIRST_BUCKETS 16u

/* A part of a pinned range: what one area was of, when it was pinned. */
struct slice {
	struct via_pages *pages; /* a reference */
	uint64_t offset, len;
};

/*
 * A pinned range. It names bytes of page stores, so that a cut of an area
 * changes nothing here; the areas' counts of such ranges are made anew.
 */
struct record {
	struct record *next;	/* of its bucket; ioas->lock, like the counts and settled */
	via_iova_t first, last; /* constant, like the slices */
	unsigned int count;	/* pins, of them locked: */
	unsigned int n_locks;
	bool settled; /* pinned, and not about to be unpinned */
	size_t n;
	struct slice slices[];
};

/* Records ---------------------------------------------------------------- */
/* All with ioas->lock. */

static struct record **bucket_of(struct record **buckets, size_t n, via_iova_t first)
{
	return &buckets[((first >> VIA_PAGES_SHIFT) * 0x9e3779b97f4a7c15u >> 32) & (n - 1)];
}

static struct record *find_record(struct via_access *access, via_iova_t first, via_iova_t last)
{
	struct record *r;

	if (!access->n_buckets)
		return NULL;
	for (r = *bucket_of(access->buckets, access->n_buckets, first); r; r = r->next)
		if (r->first == first && r->last == last && r->settled)
			break;
	return r;
}

static void grow(struct via_access *access)
{
	size_t n = access->n_buckets ? 2 * access->n_buckets : FIRST_BUCKETS;
	struct record **buckets = calloc(n, sizeof(struct record *));

	if (!buckets)
		return;
	for (size_t i = 0; i < access->n_buckets; i++)
		for (struct record *r = access->buckets[i], *next; r; r = next) {
			struct record **bucket = bucket_of(buckets, n, r->first);

			next = r->next;
			r->next = *bucket;
			*bucket = r;
		}
	free(access->buckets);
	access->buckets = buckets;
	access->n_buckets = n;
}

static int insert_record(struct via_access *access, struct record *record)
{
	struct record **bucket;

	if (access->n_records >= access->n_buckets)
		grow(access);
	if (!access->n_buckets)
		return -ENOMEM;
	bucket = bucket_of(access->buckets, access->n_buckets, record->first);
	record->next = *bucket;
	*bucket = record;
	access->n_records++;
	return 0;
}

static void remove_record(struct via_access *access, struct record *record)
{
	struct record **p = bucket_of(access->buckets, access->n_buckets, record->first);

	while (*p != record)
		p = &(*p)->next;
	*p = record->next;
	access->n_records--;
}

/* Every area that the record touches has so many ranges, and locked ones, more. */
static void count_areas(struct via_ioas *ioas, const struct record *record, unsigned int ranges,
			unsigned int locks)
{
	via_iova_t at = record->first;

	for (;;) {
		struct via_ioas_area *area = via_ioas_find(ioas, at);

		/* They are pinned: the areas are there, unless they were taken out by force. */
		if (!area || area->first > record->last)
			break;
		area->n_accesses += ranges;
		area->n_locks += locks;
		if (area->last >= record->last)
			break;
		at = area->last + 1;
	}
}

static void record_free(struct record *record)
{
	for (size_t i = 0; i < record->n; i++)
		via_pages_put(record->slices[i].pages);
	free(record);
}

unsigned int via_access_list_count(struct via_access_list *list, via_iova_t first, via_iova_t last,
				   unsigned int *ret_locks)
{
	unsigned int n = 0;

	*ret_locks = 0;
	pthread_mutex_lock(&list->lock);
	for (struct via_access *access = list->first; access; access = access->next)
		for (size_t i = 0; i < access->n_buckets; i++)
			for (struct record *r = access->buckets[i]; r; r = r->next)
				if (r->first <= last && r->last >= first) {
					n++;
					*ret_locks += r->n_locks > 0;
				}
	pthread_mutex_unlock(&list->lock);
	return n;
}

/* Slices ----------------------------------------------------------------- */

/* Of the part of [at, last] that lies in the area at `at`: a slice (no reference), and its last
 * byte. */
static int slice_at(struct via_ioas *ioas, via_iova_t at, via_iova_t last, bool write,
		    struct slice *ret_slice, via_iova_t *ret_last)
{
	struct via_ioas_area *area;
	uint64_t start;
	int rc = via_access_area_at(ioas, at, &area);

	if (rc)
		return rc;
	*ret_last = last < area->last ? last : area->last;
	*ret_slice =
		(struct slice){area->pages, area->offset + (at - area->first), *ret_last - at + 1};
	/* Pages are pinned whole: a range is whole ones but at its end. */
	start = via_pages_start(area->pages) + ret_slice->offset;
	if (start % VIA_PAGES_SIZE ||
	    (*ret_last != last && (start + ret_slice->len) % VIA_PAGES_SIZE))
		return -EINVAL;
	return via_access_check_rights(area, write);
}

/* How many slices from first on are good; *ret_rc: why no more. */
static size_t count_slices(struct via_ioas *ioas, via_iova_t first, via_iova_t last, bool write,
			   int *ret_rc)
{
	via_iova_t at = first, end;
	struct slice slice;
	size_t n = 0;

	for (;; at = end + 1) {
		*ret_rc = slice_at(ioas, at, last, write, &slice, &end);
		if (*ret_rc)
			return n;
		n++;
		if (end == last)
			return n;
	}
}

/* Pinning ---------------------------------------------------------------- */

/* The first n of the record's slices. */
static void unpin_slices(const struct record *record, size_t n)
{
	while (n--)
		via_pages_unpin(record->slices[n].pages, record->slices[n].offset,
				record->slices[n].len);
}

static int pin_slices(const struct record *record)
{
	for (size_t i = 0; i < record->n; i++) {
		const struct slice *slice = &record->slices[i];
		int rc = via_pages_pin(slice->pages, slice->offset, slice->len);

		if (rc) {
			unpin_slices(record, i);
			return rc;
		}
	}
	return 0;
}

/* A record of what is good of [first, last], which is in the access's if all is; *ret_rc as above.
 */
static struct record *record_new(struct via_access *access, struct via_ioas *ioas, via_iova_t first,
				 via_iova_t last, unsigned int flags, int *ret_rc)
{
	bool write = flags & VIA_ACCESS_WRITE, lock = flags & VIA_ACCESS_LOCK;
	size_t n = count_slices(ioas, first, last, write, ret_rc);
	struct record *record = n ? malloc(sizeof(*record) + n * sizeof(record->slices[0])) : NULL;
	via_iova_t at = first, end = first;

	if (!record) {
		*ret_rc = n ? -ENOMEM : *ret_rc;
		return NULL;
	}
	*record = (struct record){.first = first, .last = last, .count = 1, .n_locks = lock};
	for (; record->n < n; record->n++, at = end + 1) {
		(void)slice_at(ioas, at, last, write, &record->slices[record->n], &end);
		(void)via_pages_get(record->slices[record->n].pages);
	}
	if (*ret_rc)
		return record;
	*ret_rc = insert_record(access, record);
	if (*ret_rc) {
		record_free(record);
		return NULL;
	}
	count_areas(ioas, record, 1, lock);
	return record;
}

/* What the record has pinned, as one list. */
static int list_pieces(const struct record *record, struct via_piece **ret_pieces, size_t *ret_n)
{
	struct via_piece *all = NULL;
	uint64_t done = 0;
	size_t n_all = 0;

	for (size_t i = 0; i < record->n; i++) {
		const struct slice *slice = &record->slices[i];
		struct via_piece *pieces, *more;
		size_t n;
		int rc = via_pages_pieces(slice->pages, slice->offset, slice->len, &pieces, &n);

		more = rc ? NULL : reallocarray(all, n_all + n, sizeof(*all));
		if (!more) {
			if (!rc)
				via_pieces_free(pieces, n);
			via_pieces_free(all, n_all);
			return rc ? rc : -ENOMEM;
		}
		all = more;
		for (size_t k = 0; k < n; k++) {
			all[n_all + k] = pieces[k];
			all[n_all + k].offset += done;
		}
		free(pieces);
		n_all += n;
		done += slice->len;
	}
	*ret_pieces = all;
	*ret_n = n_all;
	return 0;
}

/* Give back one pin of a settled record; with ioas->lock, which is dropped. */
static void release(struct via_access *access, struct via_ioas *ioas, struct record *record,
		    bool lock)
{
	if (lock && !--record->n_locks)
		count_areas(ioas, record, 0, -1u);
	if (--record->count) {
		via_ioas_unlock(ioas);
		return;
	}
	/* Areas count it until its pages are free. */
	record->settled = false;
	via_ioas_unlock(ioas);
	unpin_slices(record, record->n);
	via_ioas_lock(ioas);
	remove_record(access, record);
	count_areas(ioas, record, -1u, 0);
	via_ioas_unlock(ioas);
	record_free(record);
}

/* A range that is pinned by us already: once more. */
static int pin_again(struct via_access *access, struct via_ioas *ioas, struct record *record,
		     unsigned int flags, struct via_piece **ret_pieces, size_t *ret_n)
{
	bool lock = flags & VIA_ACCESS_LOCK;
	int rc;

	(void)count_slices(ioas, record->first, record->last, flags & VIA_ACCESS_WRITE, &rc);
	if (!rc && record->count == UINT_MAX)
		rc = -ENOMEM;
	if (rc) {
		via_ioas_unlock(ioas);
		return rc;
	}
	record->count++;
	if (lock && !record->n_locks++)
		count_areas(ioas, record, 0, 1);
	via_ioas_unlock(ioas);
	rc = list_pieces(record, ret_pieces, ret_n);
	if (rc) {
		via_ioas_lock(ioas);
		release(access, ioas, record, lock);
	}
	return rc;
}

/* With ioas held, and access->lock: pins of one access follow one another. */
static int pin(struct via_access *access, struct via_ioas *ioas, via_iova_t first, via_iova_t last,
	       unsigned int flags, struct via_piece **ret_pieces, size_t *ret_n)
{
	struct record *record;
	bool inserted;
	int rc, rc_pin;

	via_ioas_lock(ioas);
	record = find_record(access, first, last);
	if (record)
		return pin_again(access, ioas, record, flags, ret_pieces, ret_n);
	record = record_new(access, ioas, first, last, flags, &rc);
	via_ioas_unlock(ioas);
	if (!record)
		return rc;
	/* What comes before the bad area is pinned, and may be what fails. */
	inserted = !rc;
	rc_pin = pin_slices(record);
	if (!rc_pin && !rc)
		rc = list_pieces(record, ret_pieces, ret_n);
	if (!rc_pin && rc)
		unpin_slices(record, record->n);
	if (rc_pin)
		rc = rc_pin;
	via_ioas_lock(ioas);
	record->settled = !rc;
	if (rc && inserted) {
		remove_record(access, record);
		count_areas(ioas, record, -1u, -record->n_locks);
	}
	via_ioas_unlock(ioas);
	if (rc)
		record_free(record);
	return rc;
}

/* Calls ------------------------------------------------------------------ */

int via_access_pin(struct via_access *access, via_iova_t iova, uint64_t len, unsigned int flags,
		   struct via_piece **ret_pieces, size_t *ret_n)
{
	struct via_ioas *ioas;
	via_iova_t last;
	int rc = via_access_range(iova, len, &last);

	if (rc)
		return rc;
	if (!access->ops.unmap)
		return -EINVAL;
	ioas = via_access_ioas_get(access, false);
	if (!ioas)
		return -ENOENT;
	do {
		/* The IOAS first: an unpin waits for our lock, and whoever changes the IOAS for
		 * that. */
		via_ioas_hold(ioas);
		pthread_mutex_lock(&access->lock);
		rc = access->ioas != ioas || access->leaving
			     ? -ENOENT
			     : pin(access, ioas, iova, last, flags, ret_pieces, ret_n);
		pthread_mutex_unlock(&access->lock);
		via_ioas_drop(ioas);
		if (rc != -EAGAIN)
			break;
		rc = via_access_wait_unparked(access, ioas, iova, last);
	} while (!rc);
	via_ioas_put(ioas);
	return rc;
}

int via_access_unpin(struct via_access *access, via_iova_t iova, uint64_t len, unsigned int flags)
{
	struct via_ioas *ioas = via_access_ioas_get(access, true);
	bool lock = flags & VIA_ACCESS_LOCK;
	struct record *record = NULL;
	via_iova_t last;

	if (!ioas)
		return -ENOENT;
	via_ioas_lock(ioas);
	if (!via_access_range(iova, len, &last))
		record = find_record(access, iova, last);
	if (record && (lock ? !record->n_locks : record->count == record->n_locks))
		record = NULL;
	if (record)
		release(access, ioas, record, lock);
	else
		via_ioas_unlock(ioas);
	via_ioas_put(ioas);
	return record ? 0 : -ENOENT;
}

/* A record that nobody is at, or NULL. With ioas->lock. */
static struct record *any_settled(const struct via_access *access)
{
	for (size_t i = 0; i < access->n_buckets; i++)
		for (struct record *r = access->buckets[i]; r; r = r->next)
			if (r->settled)
				return r;
	return NULL;
}

void via_access_force_unpin(struct via_access *access, struct via_ioas *ioas)
{
	via_ioas_lock(ioas);
	while (access->n_records) {
		struct record *record = any_settled(access);

		if (record) {
			count_areas(ioas, record, 0, record->n_locks ? -1u : 0);
			record->n_locks = 0;
			record->count = 1;
			release(access, ioas, record, false);
		} else {
			via_ioas_unlock(ioas);
			(void)sched_yield();
		}
		via_ioas_lock(ioas);
	}
	via_ioas_unlock(ioas);
}

/* What record names, with references of one's own. ioas->lock held. NULL: no memory. */
static struct slice *copy_slices(const struct record *record)
{
	struct slice *slices = malloc(record->n * sizeof(*slices));

	for (size_t i = 0; slices && i < record->n; i++) {
		slices[i] = record->slices[i];
		(void)via_pages_get(slices[i].pages);
	}
	return slices;
}

int via_access_identities(struct via_access *access, via_iova_t iova, uint64_t len,
			  struct via_page_identity *identities)
{
	struct via_ioas *ioas = via_access_ioas_get(access, true);
	struct slice *slices = NULL;
	struct record *record = NULL;
	via_iova_t last;
	size_t n = 0;
	int rc = -ENOENT;

	if (!ioas)
		return -ENOENT;
	via_ioas_lock(ioas);
	if (!via_access_range(iova, len, &last))
		record = find_record(access, iova, last);
	if (record) {
		slices = copy_slices(record);
		n = record->n;
		rc = slices ? 0 : -ENOMEM;
	}
	via_ioas_unlock(ioas);
	for (size_t i = 0; slices && i < n; i++) {
		for (uint64_t done = 0; !rc && done < slices[i].len; done += VIA_PAGES_SIZE)
			rc = via_pages_identity(slices[i].pages, slices[i].offset + done,
						identities++);
		via_pages_put(slices[i].pages);
	}
	free(slices);
	via_ioas_put(ioas);
	return rc;
}
