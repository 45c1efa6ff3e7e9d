/* SPDX-License-Identifier: MIT */
#include "iommu/ledger.h"

#include "base/log.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>

#define PAGE_SHIFT 12

struct via_user {
	struct via_user *next; /* users_lock */
	unsigned int refs;     /* users_lock */
	uid_t uid;	       /* constant */
	uint64_t pages;	       /* atomic */
};

/* There are as many as users whose programs are being served: few. */
static pthread_mutex_t users_lock = PTHREAD_MUTEX_INITIALIZER;
static struct via_user *users; /* under users_lock */

struct via_user *via_user_get(uid_t uid)
{
	struct via_user *user;

	pthread_mutex_lock(&users_lock);
	for (user = users; user && user->uid != uid; user = user->next)
		;
	if (!user) {
		user = calloc(1, sizeof(*user));
		if (user) {
			user->uid = uid;
			user->next = users;
			users = user;
		}
	}
	if (user)
		user->refs++;
	pthread_mutex_unlock(&users_lock);
	return user;
}

struct via_user *via_user_ref(struct via_user *user)
{
	pthread_mutex_lock(&users_lock);
	user->refs++;
	pthread_mutex_unlock(&users_lock);
	return user;
}

void via_user_put(struct via_user *user)
{
	struct via_user **p;

	if (!user)
		return;
	pthread_mutex_lock(&users_lock);
	if (--user->refs) {
		user = NULL;
	} else {
		for (p = &users; *p != user; p = &(*p)->next)
			;
		*p = user->next;
	}
	pthread_mutex_unlock(&users_lock);
	free(user);
}

uint64_t via_user_pages(const struct via_user *user)
{
	return __atomic_load_n(&user->pages, __ATOMIC_RELAXED);
}

static uint64_t memlock_pages(const struct via_mm *mm)
{
	return __atomic_load_n(&mm->memlock_limit, __ATOMIC_RELAXED) >> PAGE_SHIFT;
}

/* Add to a counter that has a limit, which may be reached but not exceeded. */
static int charge(uint64_t *counter, uint64_t pages, uint64_t limit, bool enforce, bool *ret_over)
{
	uint64_t old = __atomic_load_n(counter, __ATOMIC_RELAXED);
	bool over;

	do {
		over = pages > limit || old > limit - pages;
		if (over && enforce)
			return -ENOMEM;
	} while (!__atomic_compare_exchange_n(counter, &old, old + pages, true, __ATOMIC_RELAXED,
					      __ATOMIC_RELAXED));
	if (ret_over)
		*ret_over = over;
	return 0;
}

static void uncharge(uint64_t *counter, uint64_t pages)
{
	uint64_t left = __atomic_sub_fetch(counter, pages, __ATOMIC_RELAXED);

	assert(left <= UINT64_MAX - pages);
	(void)left;
}

/* What the owner's mode counts in, or NULL. */
static uint64_t *counter_of(const struct via_ledger_owner *owner)
{
	switch (owner->mode) {
	case VIA_CHARGE_USER:
		return &owner->user->pages;
	case VIA_CHARGE_MM:
		return &owner->mm->locked_pages;
	default:
		return NULL;
	}
}

int via_ledger_pin(const struct via_ledger_owner *owner, uint64_t pages, bool *ret_over)
{
	uint64_t *counter;

	if (ret_over)
		*ret_over = false;
	if (!owner->mm)
		return 0;
	counter = counter_of(owner);
	if (counter) {
		int rc = charge(counter, pages, memlock_pages(owner->mm), owner->enforce, ret_over);

		if (rc)
			return rc;
	}
	__atomic_add_fetch(&owner->mm->pinned_pages, pages, __ATOMIC_RELAXED);
	return 0;
}

void via_ledger_unpin(const struct via_ledger_owner *owner, uint64_t pages)
{
	uint64_t *counter;

	if (!owner->mm)
		return;
	counter = counter_of(owner);
	if (counter)
		uncharge(counter, pages);
	uncharge(&owner->mm->pinned_pages, pages);
}

static uint64_t limit_of(struct via_mm *mm)
{
	if (__atomic_load_n(&mm->cap_ipc_lock, __ATOMIC_RELAXED))
		return UINT64_MAX;
	return memlock_pages(mm);
}

uint64_t via_ledger_pages(struct via_mm *mm)
{
	return __atomic_load_n(&mm->locked_pages, __ATOMIC_RELAXED);
}

uint64_t via_ledger_room(struct via_mm *mm)
{
	uint64_t limit = limit_of(mm), pages = via_ledger_pages(mm);

	if (limit == UINT64_MAX)
		return UINT64_MAX;
	return limit > pages ? limit - pages : 0;
}

uint64_t via_ledger_pinned(struct via_mm *mm)
{
	return __atomic_load_n(&mm->pinned_pages, __ATOMIC_RELAXED);
}

int via_ledger_charge(struct via_mm *mm, uint64_t pages, bool enforce, bool *ret_over)
{
	return charge(&mm->locked_pages, pages, limit_of(mm), enforce, ret_over);
}

void via_ledger_uncharge(struct via_mm *mm, uint64_t pages)
{
	uncharge(&mm->locked_pages, pages);
}

void via_ledger_warn_over(struct via_mm *mm, uint64_t pages)
{
	if (__atomic_exchange_n(&mm->memlock_warned, true, __ATOMIC_RELAXED))
		return;
	via_log(VIA_LOG_WARNING,
		"process %d: DMA mappings now lock %" PRIu64 " KiB, RLIMIT_MEMLOCK is %" PRIu64
		" KiB: Linux would refuse this with ENOMEM (raise it with ulimit -l; "
		"--memlock=enforce refuses too)",
		(int)mm->pid, pages << (PAGE_SHIFT - 10),
		__atomic_load_n(&mm->memlock_limit, __ATOMIC_RELAXED) >> 10);
}
