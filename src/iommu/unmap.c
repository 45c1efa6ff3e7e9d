/* SPDX-License-Identifier: MIT */
/* How areas go: their IOVA stays taken until nobody is in their memory any more. */
#include "iommu/check.h"
#include "iommu/ioas-private.h"
#include "iommu/suspend.h"

#include "base/epoch.h"
#include "base/log.h"

#include <errno.h>
#include <inttypes.h>

/* After this the users are asked to give their leases back, and after the second we complain. */
#define LEASE_PATIENCE_MS 1000
#define LEASE_COMPLAIN_MS 5000

/* Accesses are asked so often to give up their pins of one area. */
#define NOTIFY_ROUNDS 100

/* More dead areas than these are worth a grace period of their own. */
#define DEAD_MAX 256

#define PINNED 1 /* an access has pinned the area that is next */

void via_ioas_wait_for_uses(struct via_ioas *ioas, const struct via_use_filter *which,
			    struct via_ioas_user *user, const char *what)
{
	if (!via_uses_wait(&ioas->uses, which, LEASE_PATIENCE_MS))
		return;
	do {
		if (user)
			user->cancel(user);
		else
			via_ioas_cancel_users(ioas);
		if (!via_uses_wait(&ioas->uses, which, LEASE_COMPLAIN_MS))
			return;
		via_log(VIA_LOG_WARNING,
			"%s (iova 0x%" PRIx64 "-0x%" PRIx64 ") waits for device I/O that does not end",
			what, which->range.first, which->range.last);
	} while (true);
}

void via_ioas_wait_for_area(struct via_ioas *ioas, const struct via_ioas_area *area,
			    const char *what)
{
	const struct via_use_filter which = {
		.range = { area->first, area->last }, .kinds = VIA_USES_ANY,
	};

	via_ioas_wait_for_uses(ioas, &which, NULL, what);
}

static struct via_ioas_area *exhume(struct via_ioas *ioas)
{
	struct via_ioas_area *dead;

	pthread_mutex_lock(&ioas->lock);
	dead = ioas->dead;
	ioas->dead = NULL;
	ioas->n_dead = 0;
	pthread_mutex_unlock(&ioas->lock);
	return dead;
}

static void free_unseen(struct via_ioas_area *list)
{
	while (list) {
		struct via_ioas_area *area = list;

		list = area->next;
		via_area_free(area);
	}
}

void via_ioas_show(struct via_ioas *ioas, struct via_ioas_area *area)
{
	/* A region is revoked without asking us. */
	if (area->loaded && via_pages_kind(area->pages) != VIA_PAGES_REGION)
		via_index_show(&ioas->index, area);
}

/* Before the areas are: then nobody finds the pointer in the index under the generation that follows. */
static void hide_in_index(struct via_ioas *ioas, struct via_ioas_area *list)
{
	pthread_mutex_lock(&ioas->lock);
	for (struct via_ioas_area *area = list; area; area = area->next)
		via_index_hide(&ioas->index, area);
	pthread_mutex_unlock(&ioas->lock);
}

void via_ioas_quiesce(struct via_ioas *ioas, struct via_ioas_area *list)
{
	struct via_ioas_area *dead;
	bool loaded = false;

	for (const struct via_ioas_area *area = list; area && !loaded; area = area->next)
		loaded = area->loaded;
	if (loaded)
		hide_in_index(ioas, list);
	for (struct via_ioas_area *area = list; area; area = area->next) {
		if (!area->loaded)
			continue;
		via_area_hide(area);
	}
	if (loaded) {
		dead = exhume(ioas);
		(void)via_epoch_synchronize();
		free_unseen(dead);
	}
	/* Accesses copy also what is not loaded. */
	for (struct via_ioas_area *area = list; area; area = area->next) {
		via_ioas_wait_for_area(ioas, area, "unmapping");
		if (area->loaded)
			via_area_unload(area);
	}
}

void via_ioas_take_out(struct via_ioas *ioas, struct via_ioas_area *list)
{
	if (!list)
		return;
	pthread_mutex_lock(&ioas->lock);
	via_ioas_forget_hints(ioas, list->first); /* it is the lowest */
	for (const struct via_ioas_area *area = list; area; area = area->next)
		via_index_remove(&ioas->index, area);
	via_ioas_changed(ioas);
	via_index_trim(&ioas->index);
	pthread_mutex_unlock(&ioas->lock);
}

void via_ioas_let_go(struct via_ioas *ioas, struct via_ioas_area *list)
{
	struct via_ioas_area *last = NULL;
	size_t n = 0;
	bool many;

	for (struct via_ioas_area *area = list; area; area = area->next, n++) {
		via_pages_put(area->pages);
		area->pages = NULL;
		last = area;
	}
	if (!last)
		return;
	pthread_mutex_lock(&ioas->lock);
	last->next = ioas->dead;
	ioas->dead = list;
	ioas->n_dead += n;
	many = ioas->n_dead > DEAD_MAX;
	pthread_mutex_unlock(&ioas->lock);
	if (many && !via_epoch_inside()) {
		list = exhume(ioas);
		(void)via_epoch_synchronize();
		free_unseen(list);
	}
}

/* Unmap ---------------------------------------------------------------------- */

/* A call that unmaps. */
struct removal {
	struct via_ioas *ioas;
	via_iova_t first, last;
	bool whole; /* an area that sticks out at the end goes as a whole */
	bool atomic; /* one that sticks out is found before anything goes */
	void (*removed)(void *cookie, void *owner); /* may be NULL */
	void *cookie;
	via_iova_t at;	/* what is below is done */
	bool done;	/* at would be beyond the end */
	uint64_t bytes;
	bool unparked; /* somebody may wait for what goes */
	unsigned int rounds; /* of notifying for the area that starts at pinned_first */
	via_iova_t pinned_first;
	uint64_t pinned_len;
};

/* Does an area stick out? ioas->lock held. */
static bool sticks_out(const struct removal *r)
{
	const struct via_ioas_area *head = via_index_lookup(&r->ioas->index, r->first);
	const struct via_ioas_area *tail = via_index_lookup(&r->ioas->index, r->last);

	return (head && head->first != r->first) || (tail && tail->last != r->last);
}

/*
 * Mark what can go as being torn down, up to what cannot. *ret_list: in ascending
 * order. ioas->lock held.
 */
static int mark(struct removal *r, struct via_ioas_area **ret_list)
{
	struct via_ioas_area **tail = ret_list;

	*ret_list = NULL;
	while (!r->done) {
		struct via_ioas_area *area = via_index_find(&r->ioas->index, r->at);

		if (!area || area->first > r->last)
			break;
		if (!area->complete || area->n_locks)
			return -EBUSY;
		if (!r->whole && (area->first < r->first || area->last > r->last))
			return -ENOENT;
		area->closing = true;
		if (area->n_accesses) {
			if (!r->rounds || area->first != r->pinned_first)
				r->rounds = 0;
			r->pinned_first = area->first;
			r->pinned_len = area->last - area->first + 1;
			return PINNED;
		}
		area->complete = false;
		r->unparked |= area->parked;
		via_ioas_forget_suspended(r->ioas, area);
		area->next = NULL;
		*tail = area;
		tail = &area->next;
		r->done = area->last >= r->last;
		r->at = area->last + 1;
	}
	r->done = true;
	return 0;
}

/* What was written there is not asked for any more. domains_lock held. */
static void forget_written(struct via_ioas *ioas, via_iova_t first, via_iova_t last)
{
	for (const struct via_domain *domain = ioas->domains; domain; domain = domain->next) {
		struct via_dirty_store *dirty = via_domain_dirty(domain);

		if (dirty)
			via_dirty_store_clear(dirty, first, last);
	}
}

/* One pass: to the end, or to what an access has pinned. */
static int pass(struct removal *r)
{
	struct via_ioas *ioas = r->ioas;
	struct via_ioas_area *list = NULL;
	int rc;

	pthread_rwlock_rdlock(&ioas->domains_lock);
	pthread_mutex_lock(&ioas->lock);
	if (r->atomic && sticks_out(r))
		rc = -ENOENT;
	else
		rc = mark(r, &list);
	pthread_mutex_unlock(&ioas->lock);
	/* Who waits may hold what the grace period waits for. */
	if (r->unparked)
		via_ioas_unparked(ioas);
	/* Before it goes, so that who comes too late is told of it. */
	for (const struct via_ioas_area *area = list; area && ioas->check; area = area->next)
		via_check_note(ioas->check, ioas, area->first, area->last, 0);
	via_ioas_quiesce(ioas, list);
	for (const struct via_ioas_area *area = list; area; area = area->next) {
		r->bytes += area->last - area->first + 1;
		if (r->removed)
			r->removed(r->cookie, area->owner);
	}
	/* Not what lies between them: there may be maps by now, and writes. */
	for (const struct via_ioas_area *area = list; area; area = area->next) {
		const via_iova_t first = area->first;

		while (area->next && area->next->first - 1 == area->last)
			area = area->next;
		forget_written(ioas, first, area->last);
	}
	via_ioas_take_out(ioas, list);
	pthread_rwlock_unlock(&ioas->domains_lock);
	via_ioas_let_go(ioas, list);
	return rc;
}

static int run(struct removal *r)
{
	int rc;

	while ((rc = pass(r)) == PINNED) {
		if (r->rounds++ >= NOTIFY_ROUNDS)
			return -EDEADLK;
		via_access_list_notify(&r->ioas->accesses, r->pinned_first, r->pinned_len);
		r->atomic = false;
	}
	return rc;
}

int via_ioas_unmap(struct via_ioas *ioas, via_iova_t iova, via_iova_t last, uint64_t *ret_unmapped)
{
	struct removal r = {
		.ioas = ioas, .first = iova, .last = last, .at = iova, .atomic = true,
	};
	int rc;

	if (last < iova)
		return -EINVAL;
	if (via_epoch_inside())
		return -EDEADLK;
	rc = run(&r);
	if (!rc)
		*ret_unmapped = r.bytes;
	return rc;
}

int via_ioas_unmap_range(struct via_ioas *ioas, via_iova_t first, via_iova_t last,
			 uint64_t *ret_bytes)
{
	struct removal r = { .ioas = ioas, .first = first, .last = last, .at = first };
	int rc = via_epoch_inside() ? -EDEADLK : run(&r);

	*ret_bytes = r.bytes;
	return rc;
}

uint64_t via_ioas_remove(struct via_ioas *ioas, via_iova_t first, via_iova_t last,
			 void (*removed)(void *cookie, void *owner), void *cookie)
{
	struct removal r = {
		.ioas = ioas, .first = first, .last = last, .at = first, .whole = true,
		.removed = removed, .cookie = cookie,
	};

	(void)run(&r);
	return r.bytes;
}
