/* SPDX-License-Identifier: MIT */
/*
 * The inside of a page store, for those who keep its parts: pages.c (what is
 * pinned), pages_file.c (files), pages_region.c (regions), identity.c.
 */
#ifndef VIA_IOMMU_PAGES_INTERNAL_H
#define VIA_IOMMU_PAGES_INTERNAL_H

#include "iommu/area.h"

#include "memory/store.h"

/*
 * Neighbouring slots that are pinned by the same pins and lie in one store. A
 * border between two spans is there because a pin begins or ends there, or the
 * store does: unpinning never has to make one, so it needs no memory.
 */
struct via_span {
	uint64_t first, last;	 /* slots */
	struct via_store *store; /* a reference */
	uint64_t offset;	 /* of the first slot in store, bytes */
	unsigned int count;	 /* pins that cover the span */
	unsigned int starts;	 /* pins whose first slot is first */
	unsigned int ends;	 /* pins whose last slot is last */
};

struct via_pages_file;

struct via_pages {
	int refs;		  /* atomic */
	enum via_pages_kind kind; /* constant, like the rest of this paragraph */
	bool writable;
	uint64_t start, len;
	struct via_space *space;     /* MEMORY */
	struct via_pages_file *file; /* FILE */
	const struct via_pages_region_ops *ops;
	void *cookie;
	bool restores;

	unsigned int accesses;	     /* REGION: under a lock of pages_region.c */

	struct via_pages *prev, *next; /* of all pages; under the lock of identity.c */

	pthread_mutex_t lock; /* all below */
	bool unprobed;
	bool no_address; /* MEMORY: atomic; only what is pinned counts */
	struct via_ledger_owner owner; /* references */
	struct via_span *spans;	       /* sorted, disjoint; &one or allocated */
	size_t n_spans, room;
	struct via_span one;
	uint64_t n_pinned; /* slots in spans */
	bool revoked;	   /* REGION; read without the lock too */
	struct via_ioas_area *areas; /* REGION: loaded areas */
};

/* The slot of the byte at offset. */
static inline uint64_t via_pages_slot(const struct via_pages *pages, uint64_t offset)
{
	return ((pages->start & (VIA_PAGES_SIZE - 1)) + offset) >> VIA_PAGES_SHIFT;
}

/* The source's address of a slot. */
static inline uint64_t via_pages_slot_addr(const struct via_pages *pages, uint64_t slot)
{
	return (pages->start & ~(VIA_PAGES_SIZE - 1)) + (slot << VIA_PAGES_SHIFT);
}

/* The span that holds slot, or the first one behind it; n_spans: none. With the lock. */
size_t via_pages_find_span(const struct via_pages *pages, uint64_t slot);

/*
 * A pin of [offset, offset + len) becomes two, whose border is before the byte
 * at offset + at. With the lock. 0 or -ENOMEM.
 */
int via_pages_cut_pin(struct via_pages *pages, uint64_t offset, uint64_t len, uint64_t at);
/* The two are one again. */
void via_pages_uncut_pin(struct via_pages *pages, uint64_t offset, uint64_t at);

/*
 * As via_pages_pieces(), with the lock; where one piece is enough it is *one, and *ret_pieces
 * too. Of a region also while revoked.
 */
int via_pages_list(struct via_pages *pages, uint64_t offset, uint64_t len, struct via_piece *one,
		   struct via_piece **ret_pieces, size_t *ret_n);
/* Of a region: what memory() says, in new stores. */
int via_pages_region_list(struct via_pages *pages, uint64_t offset, uint64_t len,
			  struct via_piece *one, struct via_piece **ret_pieces, size_t *ret_n);

/* The last reference is gone: wait for accesses. */
void via_pages_region_settle(struct via_pages *pages);

/* Files: what fd is open to, shared by all pages of it. 0 or -ENOMEM. */
int via_pages_file_get(int fd, struct via_pages_file **ret_file);
void via_pages_file_put(struct via_pages_file *file);
/* [addr, addr + len) of it as memory: 0, -EINVAL, -ENOMEM, -EFAULT. */
int via_pages_file_store(struct via_pages_file *file, uint64_t addr, uint64_t len, bool writable,
			 struct via_store **ret_store);
/* Of the page at offset. */
struct via_page_identity via_pages_file_identity(const struct via_pages_file *file,
						 uint64_t offset);

/* area.c, with the lock: take what is published back, or publish it again. */
void via_area_hide_locked(struct via_ioas_area *area);
void via_area_show_locked(struct via_ioas_area *area);

/* The list of all pages. */
void via_pages_enlist(struct via_pages *pages);
void via_pages_delist(struct via_pages *pages);

#endif
