/* SPDX-License-Identifier: MIT */
#include "host/internal.h"

#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

/* How long a call waits at most for a dead process's last call to end. */
#define SETTLE_SECONDS 2

static int control(struct via_host *host, int op, struct via_source *source, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = source};
	struct epoll_event alarm = {.events = events | EPOLLET};

	if (epoll_ctl(host->epoll_fd, op, source->fd, &event) < 0)
		return -errno;
	/* Second: what it wakes then looks at a set that has the source. */
	return epoll_ctl(host->alarm_fd, op, source->fd, &alarm) < 0 ? -errno : 0;
}

int via_loop_add(struct via_host *host, struct via_source *source, uint32_t events)
{
	int r = control(host, EPOLL_CTL_ADD, source, events);

	if (r)
		via_loop_forget(host, source);
	return r;
}

int via_loop_change(struct via_host *host, struct via_source *source, uint32_t events)
{
	return control(host, EPOLL_CTL_MOD, source, events);
}

void via_loop_forget(struct via_host *host, struct via_source *source)
{
	(void)epoll_ctl(host->alarm_fd, EPOLL_CTL_DEL, source->fd, NULL);
	(void)epoll_ctl(host->epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
}

void via_loop_remove(struct via_host *host, struct via_source *source)
{
	if (source->fd < 0)
		return;
	/* Explicitly: a fork child in process may hold the description open. */
	via_loop_forget(host, source);
	(void)close(source->fd);
	source->fd = -1;
}

/* Of one look: a listener that cannot accept for lack of descriptors stays ready. */
#define MAX_EVENTS 8192

/*
 * One event at a time, because acting on one may free the source of another.
 */
static void look_for_events(struct via_host *host)
{
	struct epoll_event event;

	pthread_mutex_lock(&host->poll_lock);
	for (int i = 0; i < MAX_EVENTS && epoll_wait(host->epoll_fd, &event, 1, 0) == 1; i++) {
		struct via_source *source = event.data.ptr;

		source->event(source, event.events);
	}
	pthread_mutex_unlock(&host->poll_lock);
}

void via_loop_look(struct via_host *host)
{
	look_for_events(host);
}

void via_reap_push(struct via_host *host, struct via_reap *reap)
{
	pthread_mutex_lock(&host->lock);
	reap->next = NULL;
	*host->reap_end = reap;
	host->reap_end = &reap->next;
	pthread_cond_signal(&host->reap_more);
	pthread_mutex_unlock(&host->lock);
}

void via_reap_run(struct via_host *host)
{
	pthread_mutex_lock(&host->reap_lock);
	for (;;) {
		struct via_reap *reap;

		pthread_mutex_lock(&host->lock);
		reap = host->reap_first;
		if (reap) {
			host->reap_first = reap->next;
			if (!host->reap_first)
				host->reap_end = &host->reap_first;
		}
		pthread_mutex_unlock(&host->lock);
		if (!reap)
			break;
		reap->run(reap);
	}
	pthread_mutex_unlock(&host->reap_lock);
}

/*
 * A dead client's connection still counts while it runs a call or has
 * descriptors on the way: a kernel too finishes a killed process's system call
 * before the process is gone. Those that wait here do not wait for each other.
 */
static bool dead_left(struct via_host *host, bool waiting_too)
{
	for (struct via_conn *c = host->conns; c; c = c->next)
		if (__atomic_load_n(&c->dead, __ATOMIC_SEQ_CST) &&
		    (waiting_too || !__atomic_load_n(&c->settling, __ATOMIC_SEQ_CST)))
			return true;
	return false;
}

static void wait_for_dead(struct via_host *host, bool waiting_too)
{
	struct timespec limit;

	pthread_mutex_lock(&host->lock);
	if (dead_left(host, waiting_too)) {
		(void)clock_gettime(CLOCK_MONOTONIC, &limit);
		limit.tv_sec += SETTLE_SECONDS;
		while (dead_left(host, waiting_too))
			if (pthread_cond_timedwait(&host->changed, &host->lock, &limit))
				break;
	}
	pthread_mutex_unlock(&host->lock);
}

static void settle(struct via_host *host, bool waiting_too)
{
	uint64_t ended = __atomic_load_n(&host->n_ended, __ATOMIC_ACQUIRE);

	look_for_events(host);
	wait_for_dead(host, waiting_too);
	/* What a connection held was closed with it, perhaps after we looked. */
	if (__atomic_load_n(&host->n_ended, __ATOMIC_ACQUIRE) != ended)
		look_for_events(host);
	via_reap_run(host);
}

void via_settle(struct via_host *host)
{
	settle(host, false);
}

void via_host_settle(struct via_host *host)
{
	settle(host, true);
}

static bool stopping(struct via_host *host)
{
	bool stop;

	pthread_mutex_lock(&host->lock);
	stop = host->stopping;
	pthread_mutex_unlock(&host->lock);
	return stop;
}

static void *loop_main(void *cookie)
{
	struct via_host *host = cookie;
	struct epoll_event alarm;

	while (!stopping(host)) {
		(void)epoll_wait(host->alarm_fd, &alarm, 1, -1);
		look_for_events(host);
	}
	return NULL;
}

static void *reap_main(void *cookie)
{
	struct via_host *host = cookie;

	for (;;) {
		pthread_mutex_lock(&host->lock);
		while (!host->reap_first && !host->stopping)
			pthread_cond_wait(&host->reap_more, &host->lock);
		if (host->stopping && !host->reap_first) {
			pthread_mutex_unlock(&host->lock);
			return NULL;
		}
		pthread_mutex_unlock(&host->lock);
		via_reap_run(host);
	}
}

int via_thread_start(pthread_t *ret_thread, void *(*run)(void *cookie), void *cookie)
{
	sigset_t mask, old;
	int r;

	/* The program's signals are for the program's threads. */
	(void)sigfillset(&mask);
	/* Faults of guarded copies are ours (memory/guard.h). */
	(void)sigdelset(&mask, SIGSEGV);
	(void)sigdelset(&mask, SIGBUS);
	(void)pthread_sigmask(SIG_SETMASK, &mask, &old);
	r = -pthread_create(ret_thread, NULL, run, cookie);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	return r;
}

/* With lock held. */
static int start_threads(struct via_host *host)
{
	int r = via_thread_start(&host->loop_thread, loop_main, host);

	if (r)
		return r;
	r = via_thread_start(&host->reap_thread, reap_main, host);
	if (r) {
		host->stopping = true;
		(void)eventfd_write(host->wake_fd, 1);
		pthread_mutex_unlock(&host->lock);
		(void)pthread_join(host->loop_thread, NULL);
		pthread_mutex_lock(&host->lock);
	}
	return r;
}

int via_host_start(struct via_host *host)
{
	int r = 0;

	pthread_mutex_lock(&host->lock);
	if (!host->started) {
		r = start_threads(host);
		host->started = !r;
	}
	pthread_mutex_unlock(&host->lock);
	return r;
}

void via_host_stop(struct via_host *host)
{
	bool started;

	pthread_mutex_lock(&host->lock);
	started = host->started;
	host->stopping = true;
	pthread_cond_broadcast(&host->reap_more);
	pthread_mutex_unlock(&host->lock);
	(void)eventfd_write(host->wake_fd, 1);
	if (started) {
		(void)pthread_join(host->loop_thread, NULL);
		(void)pthread_join(host->reap_thread, NULL);
	}
}
