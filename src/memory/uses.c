/* SPDX-License-Identifier: MIT */
#include "memory/uses.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>

/* What a lease has of its own. */
struct lease_use {
	struct via_use use;
	struct via_use_range range;
};

void via_uses_init(struct via_uses *uses)
{
	pthread_condattr_t attr;

	*uses = (struct via_uses){0};
	pthread_mutex_init(&uses->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&uses->ended, &attr);
	pthread_condattr_destroy(&attr);
}

void via_uses_deinit(struct via_uses *uses)
{
	/* Who has ended the last one may still be at the lock: a waiter need not have taken it. */
	pthread_mutex_lock(&uses->lock);
	assert(!uses->first && !uses->n_waiting);
	pthread_mutex_unlock(&uses->lock);
	pthread_cond_destroy(&uses->ended);
	pthread_mutex_destroy(&uses->lock);
}

void via_use_begin(struct via_uses *uses, struct via_use *use)
{
	use->uses = uses;
	pthread_mutex_lock(&uses->lock);
	use->number = uses->next_number++;
	use->next = uses->first;
	use->link = &uses->first;
	if (use->next)
		use->next->link = &use->next;
	uses->first = use;
	__atomic_store_n(&uses->n, uses->n + 1, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&uses->lock);
}

void via_use_end(struct via_use *use)
{
	struct via_uses *uses = use->uses;

	pthread_mutex_lock(&uses->lock);
	*use->link = use->next;
	if (use->next)
		use->next->link = use->link;
	if (uses->n_waiting)
		pthread_cond_broadcast(&uses->ended);
	/* What was done in the memory is seen by who finds nobody there. */
	__atomic_store_n(&uses->n, uses->n - 1, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&uses->lock);
}

int via_use_lease(struct via_uses *uses, struct via_lease *lease, struct via_use_range range,
		  const struct via_use *like)
{
	struct lease_use *own = malloc(sizeof(*own));

	if (!own)
		return -ENOMEM;
	own->range = range;
	own->use = *like;
	own->use.ranges = &own->range;
	own->use.n_ranges = 1;
	via_use_begin(uses, &own->use);
	lease->use = &own->use; /* the first member: free() takes it for own */
	return 0;
}

static bool touches(const struct via_use *use, const struct via_use_range *range)
{
	for (size_t i = 0; i < use->n_ranges; i++)
		if (use->ranges[i].first <= range->last && use->ranges[i].last >= range->first)
			return true;
	return false;
}

static bool matches(const struct via_use *use, const struct via_use_filter *which)
{
	return (use->kind & which->kinds) && (!which->user || use->user == which->user) &&
	       (!which->domain || use->domain == which->domain) && touches(use, &which->range);
}

/* Is there one with a smaller number? With the lock. */
static bool any(const struct via_uses *uses, const struct via_use_filter *which, uint64_t number)
{
	for (const struct via_use *use = uses->first; use; use = use->next)
		if (use->number < number && matches(use, which))
			return true;
	return false;
}

int via_uses_wait(struct via_uses *uses, const struct via_use_filter *which,
		  unsigned int timeout_ms)
{
	struct timespec until;
	uint64_t number;
	int rc = 0;

	/* The usual case. Those that matter have begun in sections that are over. */
	if (!__atomic_load_n(&uses->n, __ATOMIC_ACQUIRE))
		return 0;
	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += timeout_ms / 1000;
	until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&uses->lock);
	number = uses->next_number;
	uses->n_waiting++;
	while (any(uses, which, number) && !rc)
		rc = pthread_cond_timedwait(&uses->ended, &uses->lock, &until);
	/* One that has ended as time was up. */
	if (rc && !any(uses, which, number))
		rc = 0;
	uses->n_waiting--;
	pthread_mutex_unlock(&uses->lock);
	return rc ? -ETIMEDOUT : 0;
}
