/* SPDX-License-Identifier: MIT */
/* From claims to a view: what the writers' files share. Everything under bus->lock. */
#ifndef VIA_BUS_VIEW_H
#define VIA_BUS_VIEW_H

#include "bus/internal.h"
#include "bus/span.h"

/* One claim that comes, goes or changes its place. */
struct via_bus_item {
	struct via_claim *claim;
	bool leaves, enters;	       /* what is seen; ioeventfds: bus->events */
	uint64_t start, last;	       /* where it leaves */
	uint64_t new_start, new_last;  /* where it enters */
	struct via_bus_event *event;   /* an ioeventfd that enters: its new one */
	struct via_bus_change *change; /* what asked for it; NULL: nobody */
};

/* A view on its way. */
struct via_bus_draft {
	struct via_bus *bus;
	struct via_claim **events; /* the new bus->events */
	size_t n_events;
	struct via_bus_view *view;
	struct via_bus_chunk *fresh;   /* of all its maps: only it has them */
	struct via_bus_chunk *garbage; /* only the present view has them */
};

struct via_bus_commit {
	struct via_bus *bus;
	struct via_bus_item *items; /* one for each change, then one for each zombie */
	size_t n_items;
	struct via_bus_draft draft;
	struct via_bus_view *old; /* after success: to be retired without the lock */
};

/* claims.c */
static inline bool via_claim_is_enabled(const struct via_claim *claim)
{
	return claim->enabled;
}

/* 0, -EINVAL, -EBADF, -ENOMEM. One reference, linked nowhere. */
int via_claim_new(struct via_bus *bus, const struct via_claim_desc *desc,
		  struct via_claim **ret_claim);
/* What a claim that is an ioeventfd is at @addr. */
struct via_bus_event *via_claim_event_new(const struct via_claim *claim, uint64_t addr);
void via_claim_link(struct via_claim *claim);
void via_claim_unlink(struct via_claim *claim);

/* commit.c: c->items is the caller's to free, whatever happens. */
int via_bus_commit_locked(struct via_bus_commit *c, struct via_bus_change *changes, size_t n);
void via_bus_view_retired(struct via_epoch_head *head);

/* remove.c: a removed claim that no access can reach any more. */
void via_claim_finish_removal(struct via_claim *claim);

/* entry.c */
void via_bus_entry_init(struct via_bus_entry *entry, const struct via_bus_draft *draft,
			struct via_claim *claim, uint64_t start, uint64_t last, uint64_t delta);
/* A piece that is the whole of a layer's entry, which may be older than the draft's ioeventfds. */
void via_bus_entry_copy(struct via_bus_entry *entry, const struct via_bus_draft *draft,
			const struct via_bus_entry *whole);
void via_bus_entry_kill(struct via_bus_entry *entry);

/* layers.c: draft->view with its layers. 0; -EEXIST; -ENOMEM: draft->view is to be freed if there.
 */
int via_bus_layers_edit(struct via_bus_draft *draft, const struct via_bus_item *items, size_t n);

/* render.c: the visible pieces of draft->view, whose layers are complete. */
int via_bus_render(struct via_bus_draft *draft, const struct via_bus_item *items, size_t n);

/* view.c */
/* 0, -EEXIST or -ENOMEM; then nothing has changed. */
int via_bus_view_edit(struct via_bus_draft *draft, const struct via_bus_item *items, size_t n);
/* An empty one. */
int via_bus_view_new(struct via_bus_view **ret_view);
/* Its next has been published: what that does not share is freed with it. */
void via_bus_view_replaced(struct via_bus_view *old, const struct via_bus_draft *draft);
void via_bus_view_free(struct via_bus_view *view);
/* The last one, with all that it holds. */
void via_bus_view_destroy(struct via_bus_view *view);
/* Make every entry of @claim decline, in place. */
void via_bus_view_kill(struct via_bus_view *view, const struct via_claim *claim);

#endif
