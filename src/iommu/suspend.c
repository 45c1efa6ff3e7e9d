/* SPDX-License-Identifier: MIT */
#include "iommu/suspend.h"

#include "base/epoch.h"
#include "iommu/ioas-private.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S UINT64_C(1000000000)

/* Waiting -------------------------------------------------------------------- */

static uint64_t now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

void via_bell_ring(struct via_bell *bell)
{
	__atomic_add_fetch(&bell->rings, 1, __ATOMIC_ACQ_REL);
	(void)syscall(SYS_futex, &bell->rings, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

uint32_t via_bell_rings(const struct via_bell *bell)
{
	return __atomic_load_n(&bell->rings, __ATOMIC_ACQUIRE);
}

bool via_bell_wait(struct via_bell *bell, uint32_t rings, uint64_t until_ns)
{
	while (via_bell_rings(bell) == rings) {
		uint64_t now = now_ns(), left = until_ns - now;
		struct timespec ts;

		if (now >= until_ns)
			return false;
		ts.tv_sec = (time_t)(left / NS_PER_S);
		ts.tv_nsec = (long)(left % NS_PER_S);
		(void)syscall(SYS_futex, &bell->rings, FUTEX_WAIT_PRIVATE, rings, &ts, NULL, 0);
	}
	return true;
}

/* Suspend -------------------------------------------------------------------- */

void via_ioas_set_vaddr_wait(struct via_ioas *ioas, unsigned int ms)
{
	ioas->vaddr_wait_ms = ms;
}

static struct via_ioas_area *next_of(struct via_ioas *ioas, const struct via_ioas_area *area)
{
	return area->last == UINT64_MAX ? NULL : via_index_find(&ioas->index, area->last + 1);
}

/* The first area that starts in [first, ...]. ioas->lock held, as for the next two. */
static struct via_ioas_area *first_in(struct via_ioas *ioas, via_iova_t first)
{
	struct via_ioas_area *area = via_index_find(&ioas->index, first);

	return area && area->first < first ? next_of(ioas, area) : area;
}

static int may_suspend(struct via_ioas *ioas, via_iova_t first, via_iova_t last)
{
	struct via_ioas_area *area = first_in(ioas, first);

	for (; area && area->first <= last; area = next_of(ioas, area)) {
		if (!area->complete || area->closing)
			return -EBUSY;
		if (area->suspended)
			return -EINVAL;
	}
	return 0;
}

/* *ret_parked: those that are parked, incomplete until they are quiet. Bytes of all. */
static uint64_t mark(struct via_ioas *ioas, via_iova_t first, via_iova_t last,
		     struct via_ioas_area **ret_parked)
{
	const uint64_t until = now_ns() + ioas->vaddr_wait_ms * NS_PER_MS;
	struct via_ioas_area *area = first_in(ioas, first), **tail = ret_parked;
	uint64_t size = 0;

	for (; area && area->first <= last; area = next_of(ioas, area)) {
		uint64_t len = area->last - area->first + 1;

		area->suspended = true;
		ioas->n_suspended++;
		size += len;
		if (via_pages_fixed(area->pages, area->offset, len)) {
			via_pages_forget_address(area->pages);
		} else if (ioas->vaddr_wait_ms) {
			/* First: nobody finds its memory in the index under the generation that follows. */
			via_index_hide(&ioas->index, area);
			area->parked_until = until;
			__atomic_store_n(&area->parked, true, __ATOMIC_RELEASE);
			area->complete = false;
			*tail = area;
			tail = &area->next;
		}
	}
	*tail = NULL;
	return size;
}

/* Nobody uses the addresses of the list any more; *ret_range: what accesses have pinned. */
static bool quiet(struct via_ioas *ioas, struct via_ioas_area *list,
		  struct via_iova_range *ret_range)
{
	bool pinned = false;

	for (struct via_ioas_area *area = list; area; area = area->next)
		via_area_hide(area);
	(void)via_epoch_synchronize();
	for (struct via_ioas_area *area = list; area; area = area->next)
		via_ioas_wait_for_area(ioas, area, "suspending an address");
	pthread_mutex_lock(&ioas->lock);
	for (struct via_ioas_area *area = list, *next; area; area = next) {
		next = area->next;
		area->next = NULL;
		area->complete = true;
		if (!area->n_accesses)
			continue;
		if (!pinned)
			ret_range->first = area->first;
		ret_range->last = area->last;
		pinned = true;
	}
	pthread_mutex_unlock(&ioas->lock);
	return pinned;
}

int via_ioas_suspend(struct via_ioas *ioas, via_iova_t first, via_iova_t last, uint64_t *ret_size)
{
	struct via_ioas_area *parked = NULL;
	struct via_iova_range range = { 0, 0 };
	bool pinned = false;
	uint64_t size = 0;
	int rc;

	if (via_epoch_inside())
		return -EDEADLK;
	pthread_rwlock_rdlock(&ioas->domains_lock);
	pthread_mutex_lock(&ioas->lock);
	rc = may_suspend(ioas, first, last);
	if (!rc)
		size = mark(ioas, first, last, &parked);
	pthread_mutex_unlock(&ioas->lock);
	if (parked)
		pinned = quiet(ioas, parked, &range);
	pthread_rwlock_unlock(&ioas->domains_lock);
	if (pinned)
		via_access_list_notify(&ioas->accesses, range.first, range.last - range.first + 1);
	if (!rc)
		*ret_size = size;
	return rc;
}

bool via_ioas_suspended(struct via_ioas *ioas)
{
	bool ret;

	pthread_mutex_lock(&ioas->lock);
	ret = ioas->n_suspended;
	pthread_mutex_unlock(&ioas->lock);
	return ret;
}

void via_ioas_forget_suspended(struct via_ioas *ioas, struct via_ioas_area *area)
{
	ioas->n_suspended -= area->suspended;
	area->suspended = false;
	__atomic_store_n(&area->parked, false, __ATOMIC_RELEASE);
}

/* Resume --------------------------------------------------------------------- */

int via_ioas_resume(struct via_ioas *ioas, via_iova_t first, via_iova_t last,
		    struct via_resume *ret_resume)
{
	struct via_ioas_area *area;
	int rc = 0;

	pthread_mutex_lock(&ioas->lock);
	area = via_index_find(&ioas->index, first);
	if (!area || area->first > last) {
		rc = -ENOENT;
	} else if (!area->suspended || !area->complete || area->first != first ||
		   area->last != last) {
		rc = -EINVAL;
	} else {
		area->suspended = false;
		ioas->n_suspended--;
		*ret_resume = (struct via_resume){
			.pages = via_pages_get(area->pages),
			.offset = area->offset,
			.prot = area->prot,
			.held = !area->parked &&
				via_pages_fixed(area->pages, area->offset, last - first + 1),
		};
	}
	pthread_mutex_unlock(&ioas->lock);
	return rc;
}

void via_ioas_resume_undo(struct via_ioas *ioas, via_iova_t first, via_iova_t last)
{
	struct via_ioas_area *area;

	pthread_mutex_lock(&ioas->lock);
	area = via_index_find(&ioas->index, first);
	/* It may have been unmapped meanwhile. */
	if (area && area->first == first && area->last == last && area->complete &&
	    !area->suspended) {
		area->suspended = true;
		ioas->n_suspended++;
	}
	pthread_mutex_unlock(&ioas->lock);
}
