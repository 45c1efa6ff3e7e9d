/* SPDX-License-Identifier: MIT */
/* Mapped regions of devices in this address space, and which parts of them are trapped. */
#ifndef VIA_PRELOAD_MAPS_H
#define VIA_PRELOAD_MAPS_H

#include <stdbool.h>
#include <stdint.h>

/* A run of one mapping with one meaning. */
struct via_piece {
	uint64_t start, end; /* addresses */
	uint64_t offset;     /* of start, from the start of the mapping */
	uint32_t mapping;    /* index into the shim's table */
	uint32_t kind;	     /* enum via_area_kind */
	int prot;	     /* what the program asked for */
	bool trapped;	     /* reads (register) or writes (doorbell) are carried out by the host */
};

/* The piece at addr. Async-signal-safe, lock-free. */
bool via_maps_find(uint64_t addr, struct via_piece *ret_piece);

/* An access that was trapped: 0, -EIO, -EFAULT (the mapping has gone). */
int via_maps_read(const struct via_piece *piece, uint64_t addr, unsigned int size,
		  uint64_t *ret_value);
int via_maps_write(const struct via_piece *piece, uint64_t addr, unsigned int size, uint64_t value);

/* In a forked child: its doorbells are not watched, so they are trapped. */
void via_maps_after_fork(void);

#endif
