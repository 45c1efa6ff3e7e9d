/* SPDX-License-Identifier: MIT */
/* The writers' side: the set of claims, and publishing a view of each new set. */
#include "bus/internal.h"

#include <errno.h>
#include <stdlib.h>

#include "base/util.h"

static _Atomic unsigned int n_buses;

#define KNOWN_FLAGS                                                                                \
	(VIA_BUS_BIG_ENDIAN | VIA_BUS_INDIVISIBLE | VIA_BUS_REENTRANT | VIA_BUS_NARROW_RMW)

int via_bus_new(const char *name, struct via_bus **ret_bus)
{
	struct via_bus *bus = calloc(1, sizeof(*bus));
	struct via_bus_view *view;
	int ret;

	if (!bus)
		return -ENOMEM;
	ret = via_bus_view_new(NULL, 0, &view);
	if (ret) {
		free(bus);
		return ret;
	}
	bus->name = name;
	/* An odd multiplier: buses made one after the other start far apart in the cache. */
	bus->salt = (atomic_fetch_add(&n_buses, 1) * 37u) % VIA_BUS_CACHE_SLOTS;
	(void)pthread_mutex_init(&bus->lock, NULL);
	atomic_init(&bus->view, view);
	*ret_bus = bus;
	return 0;
}

void via_bus_free(struct via_bus *bus)
{
	size_t i;

	if (!bus)
		return;
	via_bus_view_free(atomic_load(&bus->view));
	for (i = 0; i < bus->n_claims; i++)
		via_claim_put(bus->claims[i]);
	free(bus->claims);
	(void)pthread_mutex_destroy(&bus->lock);
	free(bus);
}

void via_claim_put(struct via_claim *claim)
{
	if (atomic_fetch_sub(&claim->refs, 1) == 1)
		free(claim);
}

static bool width_ok(uint8_t *min, uint8_t *max)
{
	*min = *min ? *min : 1;
	*max = *max ? *max : 8;
	return via_is_pow2(*min) && via_is_pow2(*max) && *min <= *max && *max <= 8;
}

static int claim_new(struct via_bus *bus, const struct via_claim_desc *desc,
		     struct via_claim **ret_claim)
{
	struct via_claim_desc d = *desc;
	struct via_claim *claim;

	if (d.last < d.start || d.last - d.start > UINT64_MAX - d.offset)
		return -EINVAL;
	if (!width_ok(&d.valid_min, &d.valid_max) || !width_ok(&d.impl_min, &d.impl_max))
		return -EINVAL;
	if (d.flags & ~(unsigned int)KNOWN_FLAGS)
		return -EINVAL;
	claim = calloc(1, sizeof(*claim));
	if (!claim)
		return -ENOMEM;
	claim->bus = bus;
	claim->desc = d;
	atomic_init(&claim->refs, 1);
	*ret_claim = claim;
	return 0;
}

static void view_retired(struct via_epoch_head *head)
{
	via_bus_view_free(via_container_of(head, struct via_bus_view, head));
}

/* Under bus->lock. The old view is the caller's to retire, after it has unlocked. */
static struct via_bus_view *publish(struct via_bus *bus, struct via_bus_view *view)
{
	struct via_bus_view *old = atomic_load_explicit(&bus->view, memory_order_relaxed);

	/* Pairs with the acquire in via_bus_view_get(). */
	atomic_store_explicit(&bus->view, view, memory_order_release);
	return old;
}

static int compare_claims(const void *a, const void *b)
{
	const struct via_claim_desc *da = &(*(const struct via_claim *const *)a)->desc;
	const struct via_claim_desc *db = &(*(const struct via_claim *const *)b)->desc;

	if (da->priority != db->priority)
		return da->priority < db->priority ? 1 : -1;
	return (da->start > db->start) - (da->start < db->start);
}

/* The survivors, in order, merged with what is new or has moved. */
static void merge_claims(struct via_claim **to, struct via_claim *const *from, size_t n_from,
			 struct via_claim **fresh, size_t n_fresh)
{
	size_t i, j = 0, n = 0;

	qsort(fresh, n_fresh, sizeof(*fresh), compare_claims);
	for (i = 0; i < n_from; i++) {
		if (from[i]->change)
			continue;
		while (j < n_fresh && compare_claims(&fresh[j], &from[i]) < 0)
			to[n++] = fresh[j++];
		to[n++] = from[i];
	}
	while (j < n_fresh)
		to[n++] = fresh[j++];
}

static bool overlaps(struct via_claim *const *claims, size_t n)
{
	size_t i;

	for (i = 1; i < n; i++) {
		/* NOLINTNEXTLINE(clang-analyzer-core.uninitialized.Assign): merge_claims() wrote all */
		const struct via_claim_desc *a = &claims[i - 1]->desc, *b = &claims[i]->desc;

		if (a->priority == b->priority && b->start <= a->last)
			return true;
	}
	return false;
}

/* A transaction on its way: what it needs to be undone. */
struct commit {
	struct via_bus *bus;
	struct via_bus_change *changes;
	size_t n_changes;
	size_t n_fresh;	      /* claims that are added or moved */
	size_t n_gone;	      /* claims that are removed */
	struct via_claim **fresh;  /* n_changes */
	struct via_claim **claims; /* the new set */
	size_t n_claims;
};

static void move_claim(struct via_claim *claim, uint64_t start)
{
	claim->desc.last = start + (claim->desc.last - claim->desc.start);
	claim->desc.start = start;
}

static int prepare_one(struct commit *c, struct via_bus_change *change)
{
	struct via_claim *claim = change->claim;
	uint64_t start;
	int ret;

	switch (change->kind) {
	case VIA_BUS_ADD:
		ret = claim_new(c->bus, &change->desc, &claim);
		if (ret)
			return ret;
		claim->change = change;
		c->fresh[c->n_fresh++] = claim;
		return 0;
	case VIA_BUS_REMOVE:
		if (!claim || claim->bus != c->bus || claim->change)
			return -EINVAL;
		claim->change = change;
		c->n_gone++;
		return 0;
	case VIA_BUS_MOVE:
		if (!claim || claim->bus != c->bus || claim->change)
			return -EINVAL;
		if (claim->desc.last - claim->desc.start > UINT64_MAX - change->start)
			return -EINVAL;
		claim->change = change;
		c->fresh[c->n_fresh++] = claim;
		/* The change keeps the old place until the transaction is decided. */
		start = claim->desc.start;
		move_claim(claim, change->start);
		change->desc.start = start;
		return 0;
	}
	return -EINVAL;
}

/* Under bus->lock. */
static int prepare(struct commit *c, struct via_bus_view **ret_view)
{
	size_t i;
	int ret;

	c->fresh = malloc((c->n_changes + 1) * sizeof(struct via_claim *));
	if (!c->fresh)
		return -ENOMEM;
	for (i = 0; i < c->n_changes; i++) {
		ret = prepare_one(c, &c->changes[i]);
		if (ret)
			return ret;
	}
	c->n_claims = c->bus->n_claims - c->n_gone;
	for (i = 0; i < c->n_changes; i++)
		c->n_claims += c->changes[i].kind == VIA_BUS_ADD;
	c->claims = malloc((c->n_claims + 1) * sizeof(struct via_claim *));
	if (!c->claims)
		return -ENOMEM;
	merge_claims(c->claims, c->bus->claims, c->bus->n_claims, c->fresh, c->n_fresh);
	if (overlaps(c->claims, c->n_claims))
		return -EEXIST;
	return via_bus_view_new(c->claims, c->n_claims, ret_view);
}

/* Under bus->lock: unmarks every claim; a failed transaction leaves no trace. */
static void settle(struct commit *c, bool failed)
{
	size_t i;

	for (i = 0; i < c->n_fresh; i++) {
		struct via_claim *claim = c->fresh[i];
		struct via_bus_change *change = claim->change;

		claim->change = NULL;
		if (change->kind == VIA_BUS_MOVE) {
			if (failed)
				move_claim(claim, change->desc.start);
		} else if (failed) {
			via_claim_put(claim);
		} else {
			change->claim = claim;
		}
	}
	for (i = 0; i < c->n_changes && failed; i++) {
		struct via_claim *claim = c->changes[i].claim;

		if (c->changes[i].kind == VIA_BUS_REMOVE && claim && claim->bus == c->bus &&
		    claim->change == &c->changes[i])
			claim->change = NULL;
	}
}

static void retire(struct via_bus_view *old, bool wait)
{
	if (wait && via_epoch_synchronize() == 0)
		via_bus_view_free(old);
	else
		via_epoch_defer(&old->head, view_retired);
}

int via_bus_commit(struct via_bus *bus, struct via_bus_change *changes, size_t n)
{
	struct commit c = { .bus = bus, .changes = changes, .n_changes = n };
	struct via_bus_view *view = NULL, *old = NULL;
	bool wait = false;
	size_t i;
	int ret;

	for (i = 0; i < n; i++) {
		if (changes[i].kind == VIA_BUS_REMOVE && via_epoch_inside())
			return -EDEADLK;
		wait |= changes[i].kind != VIA_BUS_ADD;
	}
	(void)pthread_mutex_lock(&bus->lock);
	ret = prepare(&c, &view);
	settle(&c, ret != 0);
	if (!ret) {
		struct via_claim **claims = bus->claims;

		old = publish(bus, view);
		bus->claims = c.claims;
		bus->n_claims = c.n_claims;
		c.claims = claims;
	}
	(void)pthread_mutex_unlock(&bus->lock);
	free(c.claims);
	free(c.fresh);
	if (ret)
		return ret;
	retire(old, wait);
	for (i = 0; i < n; i++) {
		if (changes[i].kind == VIA_BUS_REMOVE)
			via_claim_put(changes[i].claim);
	}
	return 0;
}

int via_bus_add(struct via_bus *bus, const struct via_claim_desc *desc,
		struct via_claim **ret_claim)
{
	struct via_bus_change change = { .kind = VIA_BUS_ADD, .desc = *desc };
	int ret = via_bus_commit(bus, &change, 1);

	if (!ret && ret_claim)
		*ret_claim = change.claim;
	return ret;
}

/*
 * Take a claim out of the set and of what readers find. Without memory for a
 * new view the claim dies in the present one, which keeps it until the next.
 * Return: the old view to retire, or NULL.
 */
static struct via_bus_view *unpublish(struct via_claim *claim)
{
	struct via_bus *bus = claim->bus;
	struct via_bus_view *view, *old = NULL;
	size_t i;

	(void)pthread_mutex_lock(&bus->lock);
	for (i = 0; i < bus->n_claims && bus->claims[i] != claim; i++)
		;
	bus->n_claims--;
	memmove(&bus->claims[i], &bus->claims[i + 1], (bus->n_claims - i) * sizeof(*bus->claims));
	if (via_bus_view_new(bus->claims, bus->n_claims, &view) == 0) {
		old = publish(bus, view);
	} else {
		view = atomic_load_explicit(&bus->view, memory_order_relaxed);
		via_bus_view_kill(view, claim);
		(void)atomic_fetch_add(&claim->refs, 1);
		claim->next = view->zombies;
		view->zombies = claim;
	}
	(void)pthread_mutex_unlock(&bus->lock);
	return old;
}

int via_bus_remove(struct via_claim *claim)
{
	if (via_epoch_inside())
		return -EDEADLK;
	struct via_bus_view *old = unpublish(claim);

	(void)via_epoch_synchronize();
	via_bus_view_free(old);
	via_claim_put(claim);
	return 0;
}

static void claim_retired(struct via_epoch_head *head)
{
	struct via_claim *claim = via_container_of(head, struct via_claim, head);

	if (claim->done)
		claim->done(claim->done_opaque);
	via_claim_put(claim);
}

void via_bus_remove_async(struct via_claim *claim, void (*done)(void *opaque), void *opaque)
{
	struct via_bus_view *old;

	claim->done = done;
	claim->done_opaque = opaque;
	old = unpublish(claim);
	if (old)
		via_epoch_defer(&old->head, view_retired);
	via_epoch_defer(&claim->head, claim_retired);
}
