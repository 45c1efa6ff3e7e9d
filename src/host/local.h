/* SPDX-License-Identifier: MIT */
/*
 * The in-process door: the host lives in the program itself. The operations
 * are those of host/door.h, with the same identities and life times (a
 * program's descriptor is one end of a socketpair here too), but the calls run
 * on the calling thread and copy the program's memory directly.
 */
#ifndef VIA_HOST_LOCAL_H
#define VIA_HOST_LOCAL_H

#include "host/door.h"
#include "host/host.h"

/*
 * Run one operation for the program that we are in.
 * data: VIA_DOOR_DATA_SIZE bytes, as a slot's data, of this call only.
 * fd: the request's descriptor (n_fds 1), which stays the caller's; else -1.
 * ret_fd: the reply's descriptor (n_fds 1), the caller's and close-on-exec; else -1.
 * Any thread; not from a callback of the library, and not in a signal handler
 * that may have interrupted the library. Return: the reply's result.
 */
int64_t via_host_local_call(struct via_host *host, const struct via_door_request *request,
			    void *data, int fd, struct via_door_reply *ret_reply, int *ret_fd);

#endif
