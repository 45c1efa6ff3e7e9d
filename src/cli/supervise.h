/* SPDX-License-Identifier: MIT */
/*
 * Being a good parent. Three processes: the supervisor is what the shell
 * started; its child, the host, keeps the devices; the host's child becomes
 * the program. So the host is an ancestor of everything that it serves (which
 * Yama's ptrace rule asks for), while the supervisor can end with the
 * program's status although background processes still use the devices.
 */
#ifndef VIA_CLI_SUPERVISE_H
#define VIA_CLI_SUPERVISE_H

#include <sys/types.h>

/* One message from the host to the supervisor, over a pipe. */
struct supervise_event {
	enum { SUPERVISE_STARTED, SUPERVISE_STOPPED, SUPERVISE_ENDED } kind;
	pid_t pid;  /* STARTED: the program's */
	int status; /* STOPPED, ENDED: as from waitpid(2) */
};

/* In the supervisor: forward signals, mirror stops, until the program has ended. Exit status. */
int supervise_program(int events, pid_t host);

/* In the host: wait for the program, tell the supervisor about every change. waitpid status. */
int supervise_child(int events, pid_t program);

/* In the host: the terminal's signals are the program's business. */
void supervise_detach_signals(void);

/* In the child that becomes the program: signal state as the supervisor found it. */
void supervise_restore_signals(void);

#endif
