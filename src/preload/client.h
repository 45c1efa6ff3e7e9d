/* SPDX-License-Identifier: MIT */
/*
 * The shim's side of the door (host/door.h): a pool of connections to the host
 * process, and one call on one of them. A thread takes any that is free, so a
 * signal handler that enters the shim in the middle of a call gets another.
 */
#ifndef VIA_PRELOAD_CLIENT_H
#define VIA_PRELOAD_CLIENT_H

#include "host/door.h"

struct via_call {
	struct via_door_request request;
	int fd; /* goes with the request, or -1 */
	const void *in;
	size_t in_len; /* copied to the slot's data */
	void *out;
	size_t out_len; /* copied from the slot's data after the reply */
	bool cloexec;	/* of a descriptor that comes back */

	struct via_door_reply reply;
	int ret_fd; /* came back, or -1 */
};

/* True when the program was started with a door: else the shim does nothing. */
bool via_client_present(void);

/*
 * Make the call: reply.result, or a negative errno: -EIO when the host is gone,
 * -EMFILE when it takes no more connections. Any thread, signal handlers.
 */
int64_t via_call(struct via_call *call);

/* op on id with up to four arguments, nothing else. */
int64_t via_call_simple(uint32_t op, uint64_t id, uint64_t a0, uint64_t a1, uint64_t a2,
			uint64_t a3);

/* This process has opened /dev/kvm: tells the host now or with the next connection. */
void via_client_note_kvm(void);

/*
 * A number that changes when this address space becomes a forked child's:
 * handles that carry another one belong to the parent.
 */
uint64_t via_client_generation(void);

/* In a forked child: give the parent's connections up. */
void via_client_after_fork(void);

#endif
