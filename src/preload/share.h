/* SPDX-License-Identifier: MIT */
/*
 * Private memory of a program can only be copied by the host process, shared
 * memory is mapped by both. What a program keeps from its children
 * (MADV_DONTFORK: a VMM's guest memory, a driver's buffers) no other process
 * can see, so whether it is private makes no difference to anybody: while it
 * is untouched the shim puts shared memory in its place. What would still show
 * the difference (giving pages back, handing it to children after all) is done
 * here in the way of private memory.
 *
 * All functions: any thread; ranges are whole pages, end exclusive.
 */
#ifndef VIA_PRELOAD_SHARE_H
#define VIA_PRELOAD_SHARE_H

#include <stdbool.h>
#include <stdint.h>

/* madvise(2) of [start, end): the kernel's answer. */
long via_share_advise(uint64_t start, uint64_t end, int advice);
/* [start, end) will be unmapped, or has been mapped over. */
void via_share_forget(uint64_t start, uint64_t end);
/* Around mremap(2): before, and after it has moved len bytes to where it now takes new_len. */
void via_share_before_move(uint64_t from, uint64_t old_len, uint64_t new_len, int flags);
void via_share_moved(uint64_t from, uint64_t len, uint64_t to, uint64_t new_len);
/* In a forked child, which has none of this memory. */
void via_share_after_fork(void);

#endif
