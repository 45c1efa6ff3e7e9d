/* SPDX-License-Identifier: MIT */
/* The life of an IOAS, and looking into it. */
#include "iommu/check.h"
#include "iommu/ioas-private.h"

#include <errno.h>
#include <stdlib.h>

/* Unique over all IOASes, so that a device's cache needs no flush when it moves to another. */
void via_ioas_changed(struct via_ioas *ioas)
{
	static uint64_t last; /* atomic */

	/* An exchange: who sees what a later changer has stored sees what this one did before. */
	(void)__atomic_exchange_n(&ioas->generation, __atomic_add_fetch(&last, 1, __ATOMIC_RELAXED),
				  __ATOMIC_ACQ_REL);
}

int via_ioas_new_bare(struct via_ioas **ret_ioas)
{
	struct via_ioas *ioas = calloc(1, sizeof(*ioas));
	pthread_rwlockattr_t attr;

	if (!ioas)
		return -ENOMEM;
	ioas->refs = 1;
	via_ioas_changed(ioas);
	/* Or a program that maps all the time would keep devices from being attached. */
	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&ioas->domains_lock, &attr);
	pthread_rwlockattr_destroy(&attr);
	pthread_mutex_init(&ioas->lock, NULL);
	pthread_mutex_init(&ioas->users_lock, NULL);
	via_access_list_init(&ioas->accesses);
	via_index_init(&ioas->index);
	via_uses_init(&ioas->uses);
	ioas->large_pages = true;
	ioas->alignment = 1;
	ioas->own.ioas = ioas;
	pthread_mutex_init(&ioas->own.track_lock, NULL);
	*ret_ioas = ioas;
	return 0;
}

int via_ioas_new(const struct via_iommu_props *props, struct via_ioas **ret_ioas)
{
	struct via_ioas *ioas;
	int rc = via_ioas_new_bare(&ioas);

	if (rc)
		return rc;
	rc = via_domain_init_own(ioas, props);
	if (rc) {
		via_ioas_put(ioas);
		return rc;
	}
	*ret_ioas = ioas;
	return 0;
}

struct via_ioas *via_ioas_get(struct via_ioas *ioas)
{
	__atomic_add_fetch(&ioas->refs, 1, __ATOMIC_RELAXED);
	return ioas;
}

/* Nobody is attached any more, so nobody looks. */
static void free_areas(struct via_ioas *ioas)
{
	struct via_ioas_area *area;

	while ((area = via_index_find(&ioas->index, 0))) {
		via_index_remove(&ioas->index, area);
		via_area_unload(area);
		via_area_free(area);
	}
	while ((area = ioas->dead)) {
		ioas->dead = area->next;
		via_area_free(area);
	}
}

void via_ioas_put(struct via_ioas *ioas)
{
	if (!ioas || __atomic_sub_fetch(&ioas->refs, 1, __ATOMIC_ACQ_REL))
		return;
	free_areas(ioas);
	if (ioas->check)
		via_check_forget(ioas->check, ioas);
	via_index_deinit(&ioas->index);
	via_domain_deinit(&ioas->own);
	via_reserved_clear(&ioas->reserved);
	via_reserved_clear(&ioas->allowed);
	via_access_list_deinit(&ioas->accesses);
	via_uses_deinit(&ioas->uses);
	pthread_rwlock_destroy(&ioas->domains_lock);
	pthread_mutex_destroy(&ioas->lock);
	pthread_mutex_destroy(&ioas->users_lock);
	free(ioas);
}

void via_ioas_set_check(struct via_ioas *ioas, struct via_check *check)
{
	ioas->check = check;
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

int via_ioas_each_area(struct via_ioas *ioas,
		       int (*fn)(void *cookie, const struct via_ioas_area *area), void *cookie)
{
	const struct via_ioas_area *area;
	int rc = 0;

	pthread_mutex_lock(&ioas->lock);
	area = via_index_find(&ioas->index, 0);
	while (area && !rc) {
		rc = fn(cookie, area);
		area = area->last == UINT64_MAX ? NULL :
						  via_index_find(&ioas->index, area->last + 1);
	}
	pthread_mutex_unlock(&ioas->lock);
	return rc;
}

bool via_ioas_empty(struct via_ioas *ioas)
{
	bool empty;

	pthread_mutex_lock(&ioas->lock);
	empty = !via_index_find(&ioas->index, 0);
	pthread_mutex_unlock(&ioas->lock);
	return empty;
}

bool via_ioas_has_domain(struct via_ioas *ioas)
{
	bool has;

	pthread_mutex_lock(&ioas->lock);
	has = ioas->domains != NULL;
	pthread_mutex_unlock(&ioas->lock);
	return has;
}

bool via_ioas_overlaps(const struct via_ioas *ioas, via_iova_t first, via_iova_t last)
{
	return via_index_overlaps(&ioas->index, first, last);
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

void via_ioas_cancel_users(struct via_ioas *ioas)
{
	pthread_mutex_lock(&ioas->users_lock);
	for (struct via_ioas_user *user = ioas->users; user; user = user->next)
		user->cancel(user);
	pthread_mutex_unlock(&ioas->users_lock);
}

void via_ioas_unparked(struct via_ioas *ioas)
{
	pthread_mutex_lock(&ioas->users_lock);
	for (struct via_ioas_user *user = ioas->users; user; user = user->next)
		if (user->unparked)
			user->unparked(user);
	pthread_mutex_unlock(&ioas->users_lock);
}

struct via_access_list *via_ioas_accesses(struct via_ioas *ioas)
{
	return &ioas->accesses;
}

void via_ioas_lock(struct via_ioas *ioas)
{
	pthread_mutex_lock(&ioas->lock);
}

void via_ioas_unlock(struct via_ioas *ioas)
{
	pthread_mutex_unlock(&ioas->lock);
}

void via_ioas_hold(struct via_ioas *ioas)
{
	pthread_rwlock_rdlock(&ioas->domains_lock);
}

void via_ioas_drop(struct via_ioas *ioas)
{
	pthread_rwlock_unlock(&ioas->domains_lock);
}
