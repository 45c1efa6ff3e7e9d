/* SPDX-License-Identifier: MIT */
/*
 * A lock that a signal handler may not find held by the thread it interrupted:
 * every signal is blocked while it is held. Trapped accesses do not happen
 * inside. Survives fork by via_lock_reset() in the child.
 */
#ifndef VIA_PRELOAD_LOCK_H
#define VIA_PRELOAD_LOCK_H

#include <sched.h>
#include <signal.h>
#include <stdint.h>

#include "preload/sys.h"

struct via_lock {
	uint32_t held; /* atomic */
};

static inline uint64_t via_lock(struct via_lock *lock)
{
	uint64_t all = ~0ull, old = 0;

	via_sys(SYS_rt_sigprocmask, SIG_SETMASK, &all, &old, sizeof(all));
	while (__atomic_exchange_n(&lock->held, 1, __ATOMIC_ACQUIRE))
		via_sys(SYS_sched_yield, 0);
	return old;
}

static inline void via_unlock(struct via_lock *lock, uint64_t old)
{
	__atomic_store_n(&lock->held, 0, __ATOMIC_RELEASE);
	via_sys(SYS_rt_sigprocmask, SIG_SETMASK, &old, NULL, sizeof(old));
}

static inline void via_lock_reset(struct via_lock *lock)
{
	__atomic_store_n(&lock->held, 0, __ATOMIC_RELEASE);
}

#endif
