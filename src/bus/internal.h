/* SPDX-License-Identifier: MIT */
/*
 * Inside the bus: claims are what writers change under a mutex, a view is the
 * immutable picture of them that dispatch searches.
 *
 * A view holds the visible pieces, flat and disjoint, and below them one layer
 * for each distinct priority. Claims of one priority never overlap, so a layer
 * is a map too, and the claim beneath one that declines is found by a search
 * in the layers below its own. Maps share what a change has left alone.
 */
#ifndef VIA_BUS_INTERNAL_H
#define VIA_BUS_INTERNAL_H

#include <pthread.h>

#include <viaduct/bus.h>

#include "base/epoch.h"
#include "bus/events.h"
#include "bus/map.h"

/* Claims of one priority. */
struct via_bus_layer {
	int priority;
	bool replaced; /* writers: its table is not the next view's, and goes with this one */
	struct via_bus_map map;
};

/* Immutable once published, but for what only writers look at; freed after a grace period. */
struct via_bus_view {
	struct via_bus_map map;	       /* the visible pieces */
	struct via_bus_events *events; /* NULL: no ioeventfds */
	bool has_indivisible;
	size_t n_layers;
	/* What the next view does not share: bus->lock until that is published, then who frees. */
	struct via_bus_chunk *garbage;
	struct via_bus_events *old_events;
	struct via_claim
		*old_claims; /* removed without memory while this or an older view was there */
	struct via_epoch_head head;
	struct via_bus_layer layers[]; /* highest priority first */
};

struct via_bus_counters;
struct via_bus_misses;

struct via_claim {
	struct via_bus *bus;
	struct via_claim_desc desc; /* constant but for start and last: bus->lock */
	bool enabled;		    /* VIA_BUS_DISABLED, which desc.flags does not say: bus->lock */
	struct via_claim *next, **link; /* of all of the bus: bus->lock */
	struct via_claim *zombie;	/* next of bus->zombies, or of a view's: bus->lock */
	struct via_bus_event *event;	/* of an ioeventfd: bus->lock */
	bool nonblock;			/* constant: its descriptor is O_NONBLOCK */
	bool changing;			/* in the transaction under way: bus->lock */
	struct via_bus_counters *_Atomic counters; /* made when counting begins, kept */
	_Atomic unsigned int refs;  /* the caller (until removal is complete), the zombies */
	struct via_epoch_head head; /* asynchronous removal */
	void (*done)(void *opaque);
	void *done_opaque;
};

/* Somebody who mirrors what is on a bus. */
struct via_bus_listener {
	/* Stored under bus->listen_lock with release; read also in a section, with acquire. */
	struct via_bus_listener *_Atomic next;
	/* After a change is published, before what was removed is waited for; may run at the same
	 * time. */
	void (*changed)(struct via_bus_listener *listener);
	/*
	 * Before a change is published: for who holds back accesses that have been made. In
	 * a section, without a lock; changes of others may come in between. NULL: nothing.
	 */
	void (*changing)(struct via_bus_listener *listener);
};

struct via_bus {
	struct via_bus_view *_Atomic view; /* stored under lock with release, read in a section */
	struct via_bus *below;		   /* constant; has none itself */
	uint64_t last;			   /* constant: of the space */
	bool zeros;			   /* constant */
	_Atomic bool notes_misses;	   /* there is a callback, or counting is on */
	const char *name;		   /* constant */
	void (*miss)(void *opaque, const struct via_bus_miss *miss); /* constant */
	void *opaque;						     /* constant */
	pthread_mutex_t lock;	   /* writers only: what follows */
	struct via_claim *claims;  /* all, the latest first */
	struct via_claim **events; /* ioeventfds, by via_bus_event_compare() */
	size_t n_events;
	size_t n_indivisible;	   /* enabled */
	struct via_claim *zombies; /* removed, but still in the view, where they decline */
	bool counting;
	struct via_bus_misses *_Atomic misses; /* stored under lock when counting begins, kept */
	pthread_mutex_t listen_lock;
	struct via_bus_listener *_Atomic listeners; /* as their next */
};

static inline struct via_bus_view *via_bus_view_get(struct via_bus *bus)
{
	return atomic_load_explicit(&bus->view, memory_order_acquire);
}

/* claims.c */
void via_claim_put(struct via_claim *claim);

/* bus.c */
void via_bus_listen(struct via_bus *bus, struct via_bus_listener *listener);
/* It may still be called for a change by a thread that is in a section. */
void via_bus_unlisten(struct via_bus *bus, struct via_bus_listener *listener);
/* A change is about to be published. Without bus->lock. */
void via_bus_announce(struct via_bus *bus);
/* A change has been published. */
void via_bus_notify(struct via_bus *bus);
/*
 * For a listener: the ioeventfds in order, and the visible pieces. fn runs under bus->lock, or in a
 * section, and leaves the bus alone. A claim->desc of a piece tells whether it is coalesced.
 */
void via_bus_each_event(struct via_bus *bus,
			void (*fn)(void *opaque, const struct via_bus_event *event), void *opaque);
void via_bus_each_piece(struct via_bus *bus,
			void (*fn)(void *opaque, const struct via_bus_entry *piece), void *opaque);

/*
 * What the callbacks of an entry answer whose claim was removed without memory
 * for a view without it: declined, and a living neighbour with which it had
 * been one piece may be found in its own layer.
 */
#define VIA_BUS_DEAD 2
bool via_bus_entry_is_dead(const struct via_bus_entry *entry);

#define VIA_BUS_DEPTH_MAX 8u

/* A device callback that runs, on the stack of the thread that runs it. */
struct via_bus_frame {
	const struct via_bus_frame *up;
	const struct via_claim *claim;
};
/* Of a thread that has no slot. */
extern _Thread_local const struct via_bus_frame *via_bus_active_slotless
	__attribute__((visibility("hidden"), tls_model("initial-exec")));

/* The innermost one of this thread; NULL outside every section. Inside, a slot stays what it is. */
static inline const struct via_bus_frame *via_bus_active(void)
{
	return via_epoch_self ? via_epoch_self->active : via_bus_active_slotless;
}

static inline void via_bus_set_active(const struct via_bus_frame *frame)
{
	if (via_epoch_self)
		via_epoch_self->active = frame;
	else
		via_bus_active_slotless = frame;
}

/* One callback, guarded against re-entrancy: VIA_BUS_OK, VIA_BUS_DECLINE or negative errno. */
int via_bus_call_read(const struct via_bus_entry *entry, uint64_t offset, unsigned int size,
		      uint64_t *ret_value);
int via_bus_call_write(const struct via_bus_entry *entry, uint64_t offset, unsigned int size,
		       uint64_t value);
/* By write_lanes, which the device has. */
int via_bus_call_lanes(const struct via_bus_entry *entry, uint64_t offset, unsigned int size,
		       uint64_t value, unsigned int lanes);

/* access.c: any access of up to 8 bytes, with all the rules. Inside a section. */
struct via_bus_access {
	uint64_t addr;
	unsigned int len; /* 1 to 8; addr + len - 1 does not wrap */
	bool write;
	bool cut;	   /* what was asked for goes on past 2^64 */
	uint8_t bytes[8];  /* read: the filler where nobody answered */
	unsigned int done; /* bytes answered, as a prefix */
	bool missed;	   /* some byte had no claim */
};
/* 0, -ENXIO when missed, or the errno that ended the access. */
int via_bus_access(struct via_bus *bus, struct via_bus_access *access);
/*
 * The same for an access that @asked, a claim of @bus or of what is below it,
 * holds all of and has just declined by @answer.
 */
int via_bus_access_beneath(struct via_bus *bus, const struct via_claim *asked, int answer,
			   struct via_bus_access *access);

/* Bytes that nobody answered: for those who asked to be told. */
void via_bus_note_miss(struct via_bus *bus, uint64_t addr, unsigned int size, bool write,
		       uint64_t value);

/* dispatch.c: inside a section, @size is any. */
int via_bus_read_entered(struct via_bus *bus, uint64_t addr, unsigned int size,
			 uint64_t *ret_value);
int via_bus_write_entered(struct via_bus *bus, uint64_t addr, unsigned int size, uint64_t value);

/* counters.c: what entries call while counting is on, with their claim as opaque. */
int via_bus_counted_read(void *opaque, uint64_t offset, unsigned int size, uint64_t *ret_value);
int via_bus_counted_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value);
/* A write of lanes, which is not made by one of them. */
void via_bus_count_lanes(const struct via_bus_entry *entry, int ret);
void via_bus_count_refusal(const struct via_claim *claim);
void via_bus_count_miss(struct via_bus *bus, const struct via_bus_miss *miss);
/* Under bus->lock: misses can be counted, 0 or -ENOMEM; from now on they are, or not. */
int via_bus_misses_new(struct via_bus *bus);
void via_bus_misses_switch(struct via_bus *bus, bool on);
/* A claim is to be counted from now on. 0 or -ENOMEM. */
int via_claim_counters_new(struct via_claim *claim);
void via_claim_counters_free(struct via_claim *claim);
void via_bus_misses_free(struct via_bus *bus);

/* A write of @claim's that was queued, guarded like the rest. */
bool via_bus_may_call(const struct via_claim *claim);
void via_bus_call_queued(const struct via_claim *claim, uint64_t offset, unsigned int size,
			 uint64_t value);

/* Somebody who queues writes outside, for this queue: drained before it is. */
struct via_coalescer_source {
	void (*drain)(struct via_coalescer_source *source); /* in a section */
};
/* One at most; NULL: none from now on. The former may still be called in sections that are open. */
void via_coalescer_set_source(struct via_coalescer *coalescer, struct via_coalescer_source *source);
/* Somebody is to be told when its queue stops being empty. */
bool via_coalescer_tells(const struct via_coalescer *coalescer);

/* coalescer.c: what entries of claims that have one call, with their claim as opaque. */
int via_bus_coalesced_read(void *opaque, uint64_t offset, unsigned int size, uint64_t *ret_value);
int via_bus_coalesced_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value);
/* Make what is queued before the access that is being made, which is the active frame's. */
void via_coalescer_drain_before(const struct via_claim *claim);
/* @claim is removed and no access to it runs: make what it has queued, or drop it. */
void via_coalescer_forget(struct via_claim *claim);

#endif
