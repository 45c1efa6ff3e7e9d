/* SPDX-License-Identifier: MIT */
/* Accesses: to which IOAS each belongs, and whom of an IOAS an unmap has to tell. */
#include "iommu/access-private.h"

#include "base/epoch.h"

#include <assert.h>
#include <stdlib.h>

int via_access_new(const struct via_access_ops *ops, void *cookie, struct via_access **ret_access)
{
	struct via_access *access = calloc(1, sizeof(*access));

	if (!access)
		return -ENOMEM;
	if (ops)
		access->ops = *ops;
	access->cookie = cookie;
	pthread_mutex_init(&access->lock, NULL);
	pthread_cond_init(&access->idle, NULL);
	pthread_cond_init(&access->copied, NULL);
	*ret_access = access;
	return 0;
}

void via_access_free(struct via_access *access)
{
	if (!access)
		return;
	via_access_detach(access);
	assert(!access->n_records);
	free(access->buckets);
	pthread_mutex_destroy(&access->lock);
	pthread_cond_destroy(&access->idle);
	pthread_cond_destroy(&access->copied);
	free(access);
}

static uint64_t alignment_of(const struct via_access *access)
{
	return access->ops.unmap ? VIA_PAGES_SIZE : 1;
}

/* The list of an IOAS ---------------------------------------------------- */

void via_access_list_init(struct via_access_list *list)
{
	pthread_mutex_init(&list->lock, NULL);
	list->first = NULL;
}

void via_access_list_deinit(struct via_access_list *list)
{
	assert(!list->first);
	pthread_mutex_destroy(&list->lock);
}

static void list_add(struct via_access_list *list, struct via_access *access)
{
	struct via_access **p;

	pthread_mutex_lock(&list->lock);
	for (p = &list->first; *p; p = &(*p)->next)
		;
	access->next = NULL;
	*p = access;
	pthread_mutex_unlock(&list->lock);
}

/* Returns when no call of unmap for the list is under way; one that is keeps its place. */
static void list_remove(struct via_access_list *list, struct via_access *access)
{
	struct via_access **p;

	pthread_mutex_lock(&list->lock);
	while (access->users)
		pthread_cond_wait(&access->idle, &list->lock);
	for (p = &list->first; *p != access; p = &(*p)->next)
		;
	*p = access->next;
	pthread_mutex_unlock(&list->lock);
}

void via_access_list_notify(struct via_access_list *list, via_iova_t iova, uint64_t len)
{
	pthread_mutex_lock(&list->lock);
	for (struct via_access *access = list->first; access; access = access->next) {
		if (!access->ops.unmap)
			continue;
		access->users++;
		pthread_mutex_unlock(&list->lock);
		access->ops.unmap(access->cookie, iova, len);
		pthread_mutex_lock(&list->lock);
		if (!--access->users)
			pthread_cond_broadcast(&access->idle);
	}
	pthread_mutex_unlock(&list->lock);
}

/* Attachment ------------------------------------------------------------- */

/* Leave ioas: with access->leaving set, so that no pin nor copy comes any more. */
static void leave(struct via_access *access, struct via_ioas *ioas)
{
	via_bell_ring(&access->bell);
	if (access->ops.unmap)
		access->ops.unmap(access->cookie, 0, UINT64_MAX);
	via_access_force_unpin(access, ioas);
	pthread_mutex_lock(&access->lock);
	while (access->n_copies)
		pthread_cond_wait(&access->copied, &access->lock);
	pthread_mutex_unlock(&access->lock);
	list_remove(via_ioas_accesses(ioas), access);
	via_ioas_access_leave(ioas, alignment_of(access));
}

/* The IOAS is ioas (a reference, or NULL) from now on. */
static void settle(struct via_access *access, struct via_ioas *ioas)
{
	pthread_mutex_lock(&access->lock);
	access->ioas = ioas;
	access->leaving = false;
	pthread_mutex_unlock(&access->lock);
}

static void enter(struct via_access *access, struct via_ioas *ioas)
{
	list_add(via_ioas_accesses(ioas), access);
	settle(access, via_ioas_get(ioas));
}

int via_access_attach(struct via_access *access, struct via_ioas *ioas)
{
	int rc;

	pthread_mutex_lock(&access->lock);
	rc = access->ioas || access->leaving ? -EINVAL : 0;
	/* Nobody else may attach it meanwhile. */
	if (!rc)
		access->leaving = true;
	pthread_mutex_unlock(&access->lock);
	if (rc)
		return rc;
	rc = via_ioas_access_join(ioas, alignment_of(access));
	if (rc)
		settle(access, NULL);
	else
		enter(access, ioas);
	return rc;
}

int via_access_replace(struct via_access *access, struct via_ioas *ioas)
{
	struct via_ioas *old;
	int rc;

	pthread_mutex_lock(&access->lock);
	old = access->ioas;
	rc = !old ? -ENOENT : access->leaving ? -EBUSY : 0;
	if (!rc && old != ioas)
		access->leaving = true;
	pthread_mutex_unlock(&access->lock);
	if (rc || old == ioas)
		return rc;
	rc = via_ioas_access_join(ioas, alignment_of(access));
	if (rc) {
		settle(access, old);
		return rc;
	}
	leave(access, old);
	enter(access, ioas);
	via_ioas_put(old);
	return 0;
}

void via_access_detach(struct via_access *access)
{
	struct via_ioas *ioas;

	pthread_mutex_lock(&access->lock);
	ioas = access->leaving ? NULL : access->ioas;
	if (ioas)
		access->leaving = true;
	pthread_mutex_unlock(&access->lock);
	if (!ioas)
		return;
	leave(access, ioas);
	settle(access, NULL);
	via_ioas_put(ioas);
}

struct via_ioas *via_access_ioas(const struct via_access *access)
{
	struct via_access *a = (struct via_access *)(uintptr_t)access;
	struct via_ioas *ioas;

	pthread_mutex_lock(&a->lock);
	ioas = a->leaving ? NULL : a->ioas;
	pthread_mutex_unlock(&a->lock);
	return ioas;
}

struct via_ioas *via_access_ioas_get(struct via_access *access, bool leaving_too)
{
	struct via_ioas *ioas;

	pthread_mutex_lock(&access->lock);
	ioas = access->leaving && !leaving_too ? NULL : access->ioas;
	if (ioas)
		(void)via_ioas_get(ioas);
	pthread_mutex_unlock(&access->lock);
	return ioas;
}

/* Looking ---------------------------------------------------------------- */

int via_access_area_at(struct via_ioas *ioas, via_iova_t iova, struct via_ioas_area **ret_area)
{
	struct via_ioas_area *area = via_ioas_find(ioas, iova);

	if (!area || area->first > iova)
		return -ENOENT;
	if (area->parked)
		return -EAGAIN;
	if (!area->complete)
		return -ENOENT;
	if (area->closing)
		return -EINVAL;
	*ret_area = area;
	return 0;
}

int via_access_check_rights(const struct via_ioas_area *area, bool write)
{
	if (!(area->prot & (write ? VIA_PROT_WRITE : VIA_PROT_READ)))
		return -EPERM;
	if (write && !via_pages_writable(area->pages))
		return -EPERM;
	return via_pages_kind(area->pages) == VIA_PAGES_REGION ? -EINVAL : 0;
}
