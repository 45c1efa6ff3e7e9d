/* SPDX-License-Identifier: MIT */
/* Which descriptors are ours, and calls on those. */
#ifndef VIA_PRELOAD_OURS_H
#define VIA_PRELOAD_OURS_H

#include "preload/client.h"
#include "preload/fdtable.h"

/*
 * The host's id of the file behind fd, or 0. Looks at the descriptor itself;
 * a socket that was never seen is shown to the host once.
 */
uint64_t via_ours(int fd);

/* False only when fd is known to be none of ours: cheap, no system call. */
static inline bool via_maybe_ours(int fd)
{
	return via_client_present() && via_fd_get(fd).kind != VIA_FD_OTHER;
}

/*
 * via_call() on the file behind fd, whose id the function puts into the
 * request; asks who it is again when the host has forgotten. -ENOTSOCK: none of ours.
 */
int64_t via_call_on(int fd, struct via_call *call);

/* Open a node of ours, "vfio/7": descriptor or negative errno. */
int via_open_node(const char *node, int flags);

#endif
