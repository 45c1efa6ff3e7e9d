/* SPDX-License-Identifier: MIT */
/*
 * The table of mapped regions and their pieces, for maps.c. The fault handler
 * reads it under a sequence count, so writers keep signals away.
 */
#ifndef VIA_PRELOAD_PIECES_H
#define VIA_PRELOAD_PIECES_H

#include "preload/lock.h"
#include "preload/maps.h"

enum { VIA_MAX_PIECES = 2048, VIA_MAX_MAPPINGS = 512 };

/* One mmap of a region, until its last piece is unmapped. */
struct via_mapping {
	uint32_t n_pieces;   /* lock; 0: free */
	int hidden;	     /* lock: keeps the device open, as a kernel's mapping does */
	uint64_t id;	     /* atomic: the host's handle... */
	uint64_t generation; /* atomic: ...in the process of this generation */
	uint64_t offset, len;
	int prot, flags; /* as asked, to ask again in a forked child */
};

/* Taken, with signals kept away, by who changes what follows. */
extern struct via_lock via_pieces_lock;
/* via_pieces_lock; read by the fault handler between two looks at the sequence. */
extern struct via_piece via_pieces[VIA_MAX_PIECES];
extern uint32_t via_n_pieces; /* atomic */
extern struct via_mapping via_mappings[VIA_MAX_MAPPINGS];

/* Around each change of the pieces. */
void via_pieces_write_begin(void);
void via_pieces_write_end(void);

/* Whether any piece touches [start, end). Without the lock. */
bool via_pieces_overlap(uint64_t start, uint64_t end);

/* Between via_pieces_write_begin() and via_pieces_write_end(). False: the table is full. */
bool via_pieces_add(struct via_piece p);
void via_pieces_drop(uint32_t i);

/*
 * Cut pieces at start and end, so that each lies inside or outside. Where the
 * table is full a piece stays whole: a trap may then hit what the program
 * unmapped, which is its fault to begin with.
 */
void via_pieces_cut(uint64_t start, uint64_t end);
void via_pieces_remove(uint64_t start, uint64_t end);

/* In a forked child, whose parent's other threads may have been at work. */
void via_pieces_after_fork(void);

/* With the lock: an unused entry, or NULL. */
struct via_mapping *via_mappings_free(void);

/* With the lock: hand out what the mappings without pieces held. */
struct via_released {
	uint64_t id[16];
	int hidden[16];
	unsigned int n;
};

void via_mappings_collect(struct via_released *r);

/* Without the lock: it calls the host. */
void via_mappings_release(const struct via_released *r);

#endif
