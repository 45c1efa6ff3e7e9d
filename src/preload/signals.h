/* SPDX-License-Identifier: MIT */
/*
 * SIGSEGV belongs to the program as well as to the trap: the shim's handler
 * lies underneath, what the program installs and masks is kept beside it.
 */
#ifndef VIA_PRELOAD_SIGNALS_H
#define VIA_PRELOAD_SIGNALS_H

#include <signal.h>
#include <stdint.h>

/* Put the trap's handler in place; from now on the program's is chained to. Once. */
void via_signals_install(void);

/*
 * In process: the host's threads copy from and to memory that may go away, so
 * SIGBUS has a handler underneath as well. After via_signals_install(). Once.
 */
void via_signals_guard_host(void);

/* The program's turn: a SIGSEGV that is not the trap's. Called in the handler. */
void via_signals_chain(siginfo_t *info, void *context);

/* Give the program SIGBUS for an access to addr at which the thread is stopped. */
void via_signals_bus_error(uint64_t addr, void *context);

/* In a forked child. */
void via_signals_after_fork(void);

/* trap.c: the handler underneath. */
void via_trap_handler(int sig, siginfo_t *info, void *context);

#endif
