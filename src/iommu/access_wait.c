/* SPDX-License-Identifier: MIT */
/* Accesses that have come to parked memory wait until it is back (suspend.h). */
#include "iommu/access-private.h"

#include "base/epoch.h"

/* A call that waits. */
struct waiter {
	struct via_ioas_user user;
	struct via_access *access;
};

static void nothing_to_cancel(struct via_ioas_user *user)
{
}

static void waiter_unparked(struct via_ioas_user *user)
{
	struct waiter *waiter = (void *)((char *)user - offsetof(struct waiter, user));

	via_bell_ring(&waiter->access->bell);
}

static bool is_attached(struct via_access *access, const struct via_ioas *ioas)
{
	bool ret;

	pthread_mutex_lock(&access->lock);
	ret = access->ioas == ioas && !access->leaving;
	pthread_mutex_unlock(&access->lock);
	return ret;
}

/* How long the first area of [first, last] that is parked may be so, or 0: none is. */
static uint64_t parked_until(struct via_ioas *ioas, via_iova_t first, via_iova_t last)
{
	const struct via_ioas_area *area;
	uint64_t until = 0;

	via_ioas_lock(ioas);
	area = via_ioas_find(ioas, first);
	while (area && area->first <= last && !area->parked)
		area = area->last >= last ? NULL : via_ioas_find(ioas, area->last + 1);
	if (area && area->first <= last)
		until = area->parked_until;
	via_ioas_unlock(ioas);
	return until;
}

int via_access_wait_unparked(struct via_access *access, struct via_ioas *ioas, via_iova_t first,
			     via_iova_t last)
{
	struct waiter waiter = {
		.user = {.cancel = nothing_to_cancel, .unparked = waiter_unparked},
		.access = access,
	};
	int rc = -EAGAIN;

	if (via_epoch_inside())
		return -EBUSY;
	via_ioas_user_add(ioas, &waiter.user);
	while (rc == -EAGAIN) {
		uint32_t rings = via_bell_rings(&access->bell);
		uint64_t until = parked_until(ioas, first, last);

		if (!is_attached(access, ioas))
			rc = -ENOENT;
		else if (!until)
			rc = 0;
		else if (!via_bell_wait(&access->bell, rings, until))
			rc = -EBUSY;
	}
	via_ioas_user_remove(ioas, &waiter.user);
	return rc;
}
