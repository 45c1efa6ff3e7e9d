/* SPDX-License-Identifier: MIT */
/* Removal, which cannot fail. */
#include "bus/view.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

/* A removed claim that no access can reach any more. */
void via_claim_finish_removal(struct via_claim *claim)
{
	if (claim->desc.coalescer)
		via_coalescer_forget(claim);
	via_claim_put(claim);
}

/*
 * Take a claim out of the set and of what readers find. Without memory for a
 * new view the claim dies in the present one and stays in it until the next.
 * Under bus->lock. Return: the old view to retire, or NULL.
 */
static struct via_bus_view *unpublish(struct via_claim *claim)
{
	struct via_bus *bus = claim->bus;
	struct via_bus_change change = {.kind = VIA_BUS_REMOVE, .claim = claim};
	struct via_bus_commit c = {.bus = bus};
	size_t i;

	if (!via_bus_commit_locked(&c, &change, 1)) {
		free(c.items);
		return c.old;
	}
	free(c.items);
	via_claim_unlink(claim);
	if (!via_claim_is_enabled(claim))
		return NULL;
	via_bus_view_kill(bus->view, claim);
	for (i = 0; claim->event && i < bus->n_events; i++) {
		if (bus->events[i] != claim)
			continue;
		bus->n_events--;
		memmove(&bus->events[i], &bus->events[i + 1],
			(bus->n_events - i) * sizeof(struct via_claim *));
	}
	(void)atomic_fetch_add(&claim->refs, 1);
	claim->zombie = bus->zombies;
	bus->zombies = claim;
	return NULL;
}

static struct via_bus_view *take_out(struct via_claim *claim)
{
	struct via_bus *bus = claim->bus;
	struct via_bus_view *old;

	via_bus_announce(bus);
	(void)pthread_mutex_lock(&bus->lock);
	old = unpublish(claim);
	(void)pthread_mutex_unlock(&bus->lock);
	via_bus_notify(bus);
	return old;
}

int via_bus_remove(struct via_claim *claim)
{
	if (via_epoch_inside())
		return -EDEADLK;
	struct via_bus_view *old = take_out(claim);

	(void)via_epoch_synchronize();
	via_bus_view_free(old);
	via_claim_finish_removal(claim);
	return 0;
}

static void claim_retired(struct via_epoch_head *head)
{
	struct via_claim *claim = via_container_of(head, struct via_claim, head);

	if (claim->desc.coalescer)
		via_coalescer_forget(claim);
	if (claim->done)
		claim->done(claim->done_opaque);
	via_claim_put(claim);
}

void via_bus_remove_async(struct via_claim *claim, void (*done)(void *opaque), void *opaque)
{
	struct via_bus_view *old;

	claim->done = done;
	claim->done_opaque = opaque;
	old = take_out(claim);
	if (old)
		via_epoch_defer(&old->head, via_bus_view_retired);
	via_epoch_defer(&claim->head, claim_retired);
}

/* --- Ioeventfds by what they are --- */

int via_bus_ioeventfd_assign(struct via_bus *bus, uint64_t addr,
			     const struct via_bus_ioeventfd *ioeventfd)
{
	return via_bus_add(bus, &(struct via_claim_desc){.start = addr, .ioeventfd = ioeventfd},
			   NULL);
}

static bool is_same(const struct via_claim *claim, uint64_t addr,
		    const struct via_bus_ioeventfd *desc)
{
	const struct via_bus_ioeventfd *have = claim->desc.ioeventfd;
	uint64_t mask = desc->len < 8 ? (UINT64_C(1) << 8 * desc->len) - 1 : UINT64_MAX;

	return claim->desc.start == addr && have->fd == desc->fd && have->len == desc->len &&
	       have->match == desc->match && (!desc->match || have->data == (desc->data & mask));
}

int via_bus_ioeventfd_deassign(struct via_bus *bus, uint64_t addr,
			       const struct via_bus_ioeventfd *ioeventfd)
{
	struct via_claim *claim = NULL;
	struct via_bus_view *old = NULL;
	size_t i;

	if (via_epoch_inside())
		return -EDEADLK;
	via_bus_announce(bus);
	(void)pthread_mutex_lock(&bus->lock);
	for (i = 0; i < bus->n_events && !claim; i++) {
		if (is_same(bus->events[i], addr, ioeventfd))
			claim = bus->events[i];
	}
	if (claim)
		old = unpublish(claim);
	(void)pthread_mutex_unlock(&bus->lock);
	if (!claim)
		return -ENOENT;
	via_bus_notify(bus);
	(void)via_epoch_synchronize();
	via_bus_view_free(old);
	via_claim_finish_removal(claim);
	return 0;
}
