/* SPDX-License-Identifier: MIT */
/*
 * What the shim knows about descriptor numbers of this process. It is a cache:
 * the truth is the descriptor itself, which is asked (fstat) before one of
 * ours is used, because numbers also change hands where nobody sees it.
 */
#ifndef VIA_PRELOAD_FDTABLE_H
#define VIA_PRELOAD_FDTABLE_H

#include <stdbool.h>
#include <stdint.h>

enum via_fd_kind {
	VIA_FD_UNKNOWN, /* never looked at */
	VIA_FD_OTHER,	/* none of ours */
	VIA_FD_OURS,	/* id is the host's file id */
	VIA_FD_HIDDEN,	/* the shim's own: the program must not see or close it */
};

struct via_fd {
	enum via_fd_kind kind;
	uint64_t id;  /* OURS */
	uint64_t ino; /* OURS: of the socket; OTHER: of a socket that was asked about, or 0 */
};

/* All functions: any thread, async-signal-safe. */

struct via_fd via_fd_get(int fd);
void via_fd_set(int fd, struct via_fd entry);
/* The number has a new meaning (closed, or given away by the kernel). */
void via_fd_forget(int fd);
/* to becomes what from is. */
void via_fd_copy(int from, int to);

/*
 * Move fd (consumed) to a high number that the program's loops do not reach,
 * close-on-exec, and mark it hidden. Return: the number, or fd itself when
 * there is no room.
 */
int via_fd_hide(int fd);
/* Close a hidden descriptor. */
void via_fd_close_hidden(int fd);

/* The lowest hidden descriptor in [first, last], or -1. */
int via_fd_next_hidden(unsigned int first, unsigned int last);

#endif
