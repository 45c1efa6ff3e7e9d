/* SPDX-License-Identifier: MIT */
#include "cli/supervise.h"
#include "cli/cli.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

/* Signals that a person or a service manager sends to the command and means for the program. */
static const int forwarded[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH};

/* Signals of the terminal and of service managers, which the host must survive. */
static const int ignored[] = {SIGHUP,  SIGINT,	 SIGQUIT,  SIGTERM, SIGUSR1,
			      SIGUSR2, SIGTSTP, SIGTTOU, SIGPIPE};
#define N_IGNORED (sizeof(ignored) / sizeof(ignored[0]))

/* Signal state at start, e.g. SIGHUP ignored by nohup; written once, before the host's fork. */
static struct {
	sigset_t mask;
	struct sigaction actions[N_IGNORED];
} found;

static int signal_fd(void)
{
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(forwarded) / sizeof(forwarded[0]); i++)
		sigaddset(&set, forwarded[i]);
	sigaddset(&set, SIGCHLD);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC);
}

void supervise_detach_signals(void)
{
	const struct sigaction ignore = {.sa_handler = SIG_IGN};

	(void)sigprocmask(SIG_SETMASK, NULL, &found.mask);
	for (size_t i = 0; i < N_IGNORED; i++)
		(void)sigaction(ignored[i], &ignore, &found.actions[i]);
	(void)prctl(PR_SET_CHILD_SUBREAPER, 1);
}

void supervise_restore_signals(void)
{
	for (size_t i = 0; i < N_IGNORED; i++)
		(void)sigaction(ignored[i], &found.actions[i], NULL);
	(void)sigprocmask(SIG_SETMASK, &found.mask, NULL);
}

/* The shell's convention; dying of the signal ourselves would dump a second core. */
static int end_like(int status)
{
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	return 128 + WTERMSIG(status);
}

static void forward(int fd, pid_t program)
{
	struct signalfd_siginfo si;

	if (read(fd, &si, sizeof(si)) != sizeof(si) || program <= 0 || si.ssi_signo == SIGCHLD)
		return;
	/* What the terminal sends goes to the whole process group: the program has it already. */
	if (si.ssi_code > 0)
		return;
	(void)kill(program, (int)si.ssi_signo);
}

/* The program is ours now, as the nearest subreaper: it may still end in its own way. */
static int without_host(int sigfd, pid_t host, pid_t program)
{
	struct pollfd p = {.fd = sigfd, .events = POLLIN};
	int status = 0;

	if (waitpid(host, &status, 0) == host && WIFEXITED(status) && !program)
		return WEXITSTATUS(status);
	cli_error("the host process died (%s %d); the program has lost its devices",
		  WIFSIGNALED(status) ? "signal" : "status",
		  WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	if (!program)
		return CLI_OURS;
	for (;;) {
		pid_t pid = waitpid(program, &status, WNOHANG);

		if (pid == program)
			return end_like(status);
		if (pid < 0)
			return CLI_OURS;
		if (poll(&p, 1, -1) > 0)
			forward(sigfd, program);
	}
}

int supervise_program(int events, pid_t host)
{
	int sigfd = signal_fd();
	pid_t program = 0;
	struct pollfd p[2] = {{.fd = events, .events = POLLIN}, {.fd = sigfd, .events = POLLIN}};

	for (;;) {
		struct supervise_event e;

		if (poll(p, 2, -1) < 0 && errno != EINTR)
			break;
		if (p[1].revents)
			forward(sigfd, program);
		if (!p[0].revents)
			continue;
		if (read(events, &e, sizeof(e)) != sizeof(e))
			break;
		if (e.kind == SUPERVISE_STARTED)
			program = e.pid;
		else if (e.kind == SUPERVISE_STOPPED)
			(void)kill(getpid(), SIGSTOP);
		else
			return end_like(e.status);
	}
	/* The pipe closed without an end: the host died, or never started the program. */
	return without_host(sigfd, host, program);
}

int supervise_child(int events, pid_t program)
{
	struct supervise_event e = {.kind = SUPERVISE_STARTED, .pid = program};
	int status = 0;

	(void)!write(events, &e, sizeof(e));
	for (;;) {
		/* Also reaps orphans of the program, for which the host is the subreaper. */
		pid_t pid = waitpid(-1, &status, WUNTRACED);

		if (pid < 0 && errno == EINTR)
			continue;
		if (pid < 0)
			return status;
		if (pid != program)
			continue;
		if (!WIFSTOPPED(status))
			return status;
		e = (struct supervise_event){.kind = SUPERVISE_STOPPED, .status = status};
		(void)!write(events, &e, sizeof(e));
	}
}
