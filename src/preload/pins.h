/* SPDX-License-Identifier: MIT */
/*
 * Private memory that DMA refers to outlives the program's munmap, as memory
 * pinned by a kernel does: its pages are moved aside, and the host told where.
 */
#ifndef VIA_PRELOAD_PINS_H
#define VIA_PRELOAD_PINS_H

#include <stdbool.h>
#include <stdint.h>

/* Does command with this argument name memory to be mapped, and which? */
bool via_pins_memory(unsigned long command, uint64_t arg, uint64_t *ret_addr, uint64_t *ret_len);
/* After an ioctl on a descriptor of ours: mappings begin and end with some. */
void via_pins_note(unsigned long command, uint64_t arg, int64_t result);
/* After a close of one of ours: mappings may have ended. */
void via_pins_collect(void);

/*
 * [start, end) is about to be unmapped or mapped over: take the pages that are
 * needed out of it. stay: the range itself remains mapped (MADV_DONTNEED).
 */
void via_pins_rescue(uint64_t start, uint64_t end, bool stay);

/* Around an mremap of [start, end) by the program itself. */
bool via_pins_move_begin(uint64_t start, uint64_t end);
void via_pins_move_end(uint64_t from, uint64_t len, uint64_t to);

/* In a forked child, whose memory no DMA refers to. */
void via_pins_after_fork(void);

#endif
