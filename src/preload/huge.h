/* SPDX-License-Identifier: MIT */
/*
 * --hugepages=emulate: what a program asks for in huge pages is ordinary
 * memory, aligned and rounded as they are. Shared memory of it is a memfd that
 * the host process can map too. The same is done for shared memory without a
 * file, whose pages only a privileged process may open.
 */
#ifndef VIA_PRELOAD_HUGE_H
#define VIA_PRELOAD_HUGE_H

#include <stdbool.h>
#include <stdint.h>

/* Page size of the huge memory that mmap(2) with these arguments is to give; 0: not ours to give. */
uint64_t via_huge_page(int flags, int fd);

/*
 * mmap(2) with page from via_huge_page(); len is not 0. Address or negative
 * errno; *ret_len is how much was mapped.
 */
long via_huge_map(uint64_t addr, uint64_t len, int prot, int flags, int fd, uint64_t offset,
		  uint64_t page, uint64_t *ret_len);

/*
 * [start, end) has just been mapped with these arguments: if the host process
 * could not open it, a memfd takes its place. Else, or where that fails, nothing.
 */
void via_huge_share(uint64_t start, uint64_t end, int prot, int flags);

/* Would a change of [start, end) cut a huge page? Without any it costs nothing. */
bool via_huge_cut(uint64_t start, uint64_t end);
/* [start, end) is unmapped, or something else now. */
void via_huge_forget(uint64_t start, uint64_t end);
/* mremap(2) has moved len bytes. */
void via_huge_moved(uint64_t from, uint64_t len, uint64_t to);

void via_huge_after_fork(void);

#endif
