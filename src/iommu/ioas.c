/* SPDX-License-Identifier: MIT */
#include "iommu/ioas.h"

#include "base/epoch.h"
#include "base/log.h"
#include "iommu/index.h"
#include "memory/store.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>

/* After this the users are asked to give their leases back, and after the second we complain. */
#define LEASE_PATIENCE_MS 1000
#define LEASE_COMPLAIN_MS 5000

struct via_ioas {
	int refs;			    /* atomic */
	uint64_t generation;		    /* atomic; raised under lock */
	const struct via_iommu_props *props; /* constant */
	pthread_mutex_t lock;		    /* changers of the index */
	struct via_index index;
	pthread_mutex_t users_lock;
	struct via_ioas_user *users;	    /* under users_lock */
};

/* Unique over all IOASes, so that a device's cache needs no flush when it moves to another. */
static uint64_t next_generation(void)
{
	static uint64_t last; /* atomic */

	return __atomic_add_fetch(&last, 1, __ATOMIC_RELAXED);
}

int via_ioas_new(const struct via_iommu_props *props, struct via_ioas **ret_ioas)
{
	struct via_ioas *ioas = calloc(1, sizeof(*ioas));

	if (!ioas)
		return -ENOMEM;
	ioas->refs = 1;
	ioas->generation = next_generation();
	ioas->props = props;
	pthread_mutex_init(&ioas->lock, NULL);
	pthread_mutex_init(&ioas->users_lock, NULL);
	via_index_init(&ioas->index);
	*ret_ioas = ioas;
	return 0;
}

struct via_ioas *via_ioas_get(struct via_ioas *ioas)
{
	__atomic_add_fetch(&ioas->refs, 1, __ATOMIC_RELAXED);
	return ioas;
}

static void area_free(struct via_ioas_area *area)
{
	via_store_put(area->store);
	free(area);
}

void via_ioas_put(struct via_ioas *ioas)
{
	struct via_ioas_area *area;

	if (!ioas || __atomic_sub_fetch(&ioas->refs, 1, __ATOMIC_ACQ_REL))
		return;
	while ((area = via_index_find(&ioas->index, 0))) {
		via_index_remove(&ioas->index, area);
		area_free(area);
	}
	via_index_deinit(&ioas->index);
	pthread_mutex_destroy(&ioas->lock);
	pthread_mutex_destroy(&ioas->users_lock);
	free(ioas);
}

uint64_t via_ioas_generation(const struct via_ioas *ioas)
{
	return __atomic_load_n(&ioas->generation, __ATOMIC_ACQUIRE);
}

struct via_ioas_area *via_ioas_lookup(struct via_ioas *ioas, via_iova_t iova)
{
	return via_index_lookup(&ioas->index, iova);
}

struct via_ioas_area *via_ioas_find(struct via_ioas *ioas, via_iova_t iova)
{
	return via_index_find(&ioas->index, iova);
}

static bool overlaps(struct via_ioas *ioas, via_iova_t first, via_iova_t last)
{
	const struct via_ioas_area *area = via_index_find(&ioas->index, first);

	return area && area->first <= last;
}

int via_ioas_map_area(struct via_ioas *ioas, via_iova_t iova, struct via_space *space,
		      uint64_t addr, uint64_t len, unsigned int prot, void *owner)
{
	uint64_t granule = ioas->props->pgsize_bitmap & -ioas->props->pgsize_bitmap;
	struct via_ioas_area *area;
	via_iova_t last;
	int rc;

	if (!len || ((iova | len) & (granule - 1)))
		return -EINVAL;
	if (__builtin_add_overflow(iova, len - 1, &last))
		return -EOVERFLOW;
	if (!via_ioas_usable(ioas->props, iova, last))
		return -EINVAL;
	area = malloc(sizeof(*area));
	if (!area)
		return -ENOMEM;
	*area = (struct via_ioas_area){ .first = iova, .last = last, .prot = prot, .owner = owner };

	/* Making the store is slow and may wait for the program: not under the lock. */
	pthread_mutex_lock(&ioas->lock);
	rc = overlaps(ioas, iova, last) ? -EEXIST : 0;
	pthread_mutex_unlock(&ioas->lock);
	if (!rc)
		rc = via_store_new(space, addr, len, prot, &area->store);
	if (rc) {
		free(area);
		return rc;
	}
	area->host = via_store_host(area->store);

	pthread_mutex_lock(&ioas->lock);
	rc = overlaps(ioas, iova, last) ? -EEXIST : via_index_insert(&ioas->index, area);
	pthread_mutex_unlock(&ioas->lock);
	if (rc)
		area_free(area);
	return rc;
}

int via_ioas_map(struct via_ioas *ioas, via_iova_t iova, struct via_space *space, uint64_t addr,
		 uint64_t len, unsigned int prot)
{
	return via_ioas_map_area(ioas, iova, space, addr, len, prot, NULL);
}

static void cancel_users(struct via_ioas *ioas)
{
	pthread_mutex_lock(&ioas->users_lock);
	for (struct via_ioas_user *user = ioas->users; user; user = user->next)
		user->cancel(user);
	pthread_mutex_unlock(&ioas->users_lock);
}

/*
 * The memory may be freed by the program as soon as unmap returns, so there
 * is no giving up: I/O that cannot be cancelled is waited for.
 */
static void wait_for_leases(struct via_ioas *ioas, const struct via_ioas_area *area)
{
	if (!via_store_wait(area->store, LEASE_PATIENCE_MS))
		return;
	do {
		cancel_users(ioas);
		if (!via_store_wait(area->store, LEASE_COMPLAIN_MS))
			return;
		via_log(VIA_LOG_WARNING,
			"unmap of iova 0x%" PRIx64 "-0x%" PRIx64 " waits for device I/O that does not end",
			area->first, area->last);
	} while (true);
}

/* Take out what starts in [first, last]; a list in ascending order. */
static struct via_ioas_area *take_out(struct via_ioas *ioas, via_iova_t first, via_iova_t last)
{
	struct via_ioas_area *area, *list = NULL, **tail = &list;

	for (area = via_index_find(&ioas->index, first); area && area->first <= last;
	     area = via_index_find(&ioas->index, area->last + 1)) {
		via_index_remove(&ioas->index, area);
		area->next = NULL;
		*tail = area;
		tail = &area->next;
		if (area->last == UINT64_MAX)
			break;
	}
	if (list) {
		__atomic_store_n(&ioas->generation, next_generation(), __ATOMIC_RELEASE);
		via_index_trim(&ioas->index);
	}
	return list;
}

/* Let go of areas that nobody finds any more. */
static uint64_t retire(struct via_ioas *ioas, struct via_ioas_area *list,
		       void (*removed)(void *cookie, void *owner), void *cookie)
{
	uint64_t bytes = 0;

	if (list)
		(void)via_epoch_synchronize();
	while (list) {
		struct via_ioas_area *area = list;

		list = area->next;
		wait_for_leases(ioas, area);
		bytes += area->last - area->first + 1;
		if (removed)
			removed(cookie, area->owner);
		area_free(area);
	}
	return bytes;
}

int via_ioas_unmap(struct via_ioas *ioas, via_iova_t iova, via_iova_t last, uint64_t *ret_unmapped)
{
	const struct via_ioas_area *head, *tail;
	struct via_ioas_area *list = NULL;
	int rc = 0;

	if (last < iova)
		return -EINVAL;
	if (via_epoch_inside())
		return -EDEADLK;
	pthread_mutex_lock(&ioas->lock);
	head = via_index_lookup(&ioas->index, iova);
	tail = via_index_lookup(&ioas->index, last);
	if ((head && head->first != iova) || (tail && tail->last != last))
		rc = -ENOENT;
	else
		list = take_out(ioas, iova, last);
	pthread_mutex_unlock(&ioas->lock);
	if (!rc)
		*ret_unmapped = retire(ioas, list, NULL, NULL);
	return rc;
}

uint64_t via_ioas_remove(struct via_ioas *ioas, via_iova_t first, via_iova_t last,
			 void (*removed)(void *cookie, void *owner), void *cookie)
{
	struct via_ioas_area *list;

	pthread_mutex_lock(&ioas->lock);
	list = take_out(ioas, first, last);
	pthread_mutex_unlock(&ioas->lock);
	return retire(ioas, list, removed, cookie);
}

int via_ioas_replace(struct via_ioas *ioas, struct via_ioas_area *area, struct via_store *store)
{
	struct via_ioas_area *fresh = malloc(sizeof(*fresh));

	if (!fresh)
		return -ENOMEM;
	*fresh = *area;
	fresh->store = store;
	fresh->host = via_store_host(store);
	pthread_mutex_lock(&ioas->lock);
	via_index_replace(&ioas->index, fresh);
	__atomic_store_n(&ioas->generation, next_generation(), __ATOMIC_RELEASE);
	pthread_mutex_unlock(&ioas->lock);
	area->next = NULL;
	(void)retire(ioas, area, NULL, NULL);
	return 0;
}

void via_ioas_user_add(struct via_ioas *ioas, struct via_ioas_user *user)
{
	pthread_mutex_lock(&ioas->users_lock);
	user->next = ioas->users;
	ioas->users = user;
	pthread_mutex_unlock(&ioas->users_lock);
}

void via_ioas_user_remove(struct via_ioas *ioas, struct via_ioas_user *user)
{
	struct via_ioas_user **p;

	pthread_mutex_lock(&ioas->users_lock);
	for (p = &ioas->users; *p != user; p = &(*p)->next)
		;
	*p = user->next;
	pthread_mutex_unlock(&ioas->users_lock);
}
