/* SPDX-License-Identifier: MIT */
/*
 * Inside the bus: claims are what writers change under a mutex, a view is the
 * immutable picture of them that dispatch searches.
 *
 * A view holds the visible pieces, flat and disjoint, and below them one layer
 * for each distinct priority. Claims of one priority never overlap, so a layer
 * is a sorted array too, and the claim beneath one that declines is found by a
 * binary search in the layers below its own.
 */
#ifndef VIA_BUS_INTERNAL_H
#define VIA_BUS_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include <viaduct/bus.h>

#include "base/epoch.h"

typedef int via_bus_read_fn(void *opaque, uint64_t offset, unsigned int size, uint64_t *ret_value);
typedef int via_bus_write_fn(void *opaque, uint64_t offset, unsigned int size, uint64_t value);

/*
 * One range of a view: a visible piece, or a claim in its layer. Immutable but
 * for the two callbacks, which a removal without memory replaces by ones that
 * decline. A cache line, so that a hit touches no other.
 */
struct via_bus_entry {
	_Alignas(64) uint64_t start;
	uint64_t last;
	uint64_t delta; /* callback offset = address + delta, modulo 2^64 */
	via_bus_read_fn *_Atomic read;
	via_bus_write_fn *_Atomic write;
	void *opaque;
	struct via_claim *claim; /* the first one, where several are fused */
	uint16_t direct;	 /* bit n: any aligned access of n bytes is one plain callback */
	uint16_t flags;		 /* enum via_bus_flags */
	uint32_t layer;		 /* layers below this number are beneath */
};
_Static_assert(sizeof(struct via_bus_entry) == 64, "an entry is a cache line");

/* Claims of one priority, ascending. */
struct via_bus_layer {
	struct via_bus_entry *entries;
	size_t n_entries;
};

/* Immutable once published; freed after a grace period. */
struct via_bus_view {
	uint64_t generation; /* process-wide, never reused */
	size_t n_entries;
	const uint64_t *start;	       /* of each visible piece: what is searched */
	const uint32_t *window;	       /* n_windows + 1: pieces that start below each window */
	size_t n_windows;
	unsigned int window_shift;
	struct via_bus_entry *entries; /* the visible pieces */
	struct via_bus_layer *layers;  /* highest priority first */
	size_t n_layers;
	unsigned int cache_shift; /* addresses that differ above it use different cache slots */
	bool has_indivisible;
	struct via_epoch_head head;
	struct via_claim *zombies; /* removed from this view in place; freed with it */
};

struct via_claim {
	struct via_bus *bus;
	struct via_claim_desc desc; /* constant but for start and last: bus->lock */
	struct via_claim *next;	    /* on a view's zombies: bus->lock */
	struct via_bus_change *change; /* in the transaction being applied: bus->lock */
	_Atomic unsigned int refs;  /* the caller (until removal is complete) and a view */
	struct via_epoch_head head; /* asynchronous removal */
	void (*done)(void *opaque);
	void *done_opaque;
};

struct via_bus {
	struct via_bus_view *_Atomic view; /* stored under lock with release, read in a section */
	unsigned int salt;		   /* constant; spreads buses over the cache */
	const char *name;		   /* constant */
	pthread_mutex_t lock;		   /* writers only */
	struct via_claim **claims;	   /* under lock: priority descending, then ascending */
	size_t n_claims;		   /* under lock */
};

static inline struct via_bus_view *via_bus_view_get(struct via_bus *bus)
{
	return atomic_load_explicit(&bus->view, memory_order_acquire);
}

/* view.c */
int via_bus_view_new(struct via_claim *const *claims, size_t n, struct via_bus_view **ret_view);
void via_bus_view_free(struct via_bus_view *view);
/* Make every entry of @claim decline, in place. */
void via_bus_view_kill(struct via_bus_view *view, const struct via_claim *claim);
bool via_bus_entry_is_dead(const struct via_bus_entry *entry);

/* The last element of an ascending array that is at most @addr, or the first. */
static inline size_t via_bus_bisect(const uint64_t *start, size_t n, uint64_t addr)
{
	size_t base = 0;

	/* Branch-free: the compiler makes a conditional move of the selection. */
	while (n > 1) {
		size_t half = n / 2;

		base = start[base + half] <= addr ? base + half : base;
		n -= half;
	}
	return base;
}

/*
 * The piece that starts last at or below @addr, or the first. The space from
 * the first to the last start is cut into windows of equal size, about two for
 * each piece, so that where pieces are evenly spread one comparison is left,
 * and where they are not, what is left is a bisection of one window.
 */
static inline size_t via_bus_search(const struct via_bus_view *view, uint64_t addr)
{
	uint64_t window;
	size_t first, n;

	if (addr < view->start[0])
		return 0;
	window = (addr - view->start[0]) >> view->window_shift;
	if (window >= view->n_windows)
		return view->n_entries - 1;
	first = view->window[window];
	n = view->window[window + 1] - first;
	/* The piece before those of the window may reach into it. */
	if (first) {
		first--;
		n++;
	}
	return first + via_bus_bisect(view->start + first, n, addr);
}

/* claims.c */
void via_claim_put(struct via_claim *claim);

/* lookup.c */
struct via_bus_entry *via_bus_lookup_slow(struct via_bus *bus, struct via_bus_view *view,
					  uint64_t addr);

#define VIA_BUS_CACHE_SLOTS 64u
#define VIA_BUS_CACHE_INDEX_BITS 20

/*
 * A thread's translation cache. A slot is one word, generation and index of an
 * entry, so that a signal handler that dispatches cannot leave half a slot.
 * Only the owning thread touches it.
 */
struct via_bus_cache {
	_Atomic uint64_t slot[VIA_BUS_CACHE_SLOTS];
};
extern _Thread_local struct via_bus_cache *via_bus_cache
	__attribute__((visibility("hidden"), tls_model("initial-exec")));

static inline _Atomic uint64_t *via_bus_cache_slot(const struct via_bus *bus,
						   const struct via_bus_view *view, uint64_t addr)
{
	return &via_bus_cache->slot[((addr >> view->cache_shift) ^ bus->salt) %
				    VIA_BUS_CACHE_SLOTS];
}

/* The visible piece at @addr, or NULL. Inside a section; @view is the bus's. */
static inline struct via_bus_entry *via_bus_lookup(struct via_bus *bus, struct via_bus_view *view,
						   uint64_t addr)
{
	uint64_t word = atomic_load_explicit(via_bus_cache_slot(bus, view, addr),
					     memory_order_relaxed);

	if (__builtin_expect(word >> VIA_BUS_CACHE_INDEX_BITS == view->generation, 1)) {
		struct via_bus_entry *entry =
			&view->entries[word & ((1u << VIA_BUS_CACHE_INDEX_BITS) - 1)];

		if (__builtin_expect(addr - entry->start <= entry->last - entry->start, 1))
			return entry;
	}
	return via_bus_lookup_slow(bus, view, addr);
}

#define VIA_BUS_DEPTH_MAX 8u

/* A device callback that runs, on the stack of the thread that runs it. */
struct via_bus_frame {
	const struct via_bus_frame *up;
	const struct via_claim *claim;
};
/* The innermost one of this thread; NULL outside every section. */
extern _Thread_local const struct via_bus_frame *via_bus_active
	__attribute__((visibility("hidden"), tls_model("initial-exec")));

/* One callback, guarded against re-entrancy: VIA_BUS_OK, VIA_BUS_DECLINE or negative errno. */
int via_bus_call_read(const struct via_bus_entry *entry, uint64_t offset, unsigned int size,
		      uint64_t *ret_value);
int via_bus_call_write(const struct via_bus_entry *entry, uint64_t offset, unsigned int size,
		       uint64_t value);

/* access.c: any access of up to 8 bytes, with all the rules. Inside a section. */
struct via_bus_access {
	uint64_t addr;
	unsigned int len;  /* 1 to 8; addr + len - 1 does not wrap */
	bool write;
	uint8_t bytes[8];  /* read: 0xff where nobody answered */
	unsigned int done; /* bytes answered, as a prefix */
	bool missed;	   /* some byte had no claim */
};
/* 0, -ENXIO when missed, or the errno that ended the access. */
int via_bus_access(struct via_bus *bus, struct via_bus_access *access);
/* The same for an access inside @entry of @view, which has just declined it. */
int via_bus_access_beneath(const struct via_bus_view *view, const struct via_bus_entry *entry,
			   struct via_bus_access *access);

#endif
