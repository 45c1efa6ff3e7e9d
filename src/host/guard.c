/* SPDX-License-Identifier: MIT */
/*
 * Doorbell guards: while a device's thread sleeps, the doorbell pages of the
 * programs that map them are write-protected by userfaultfd. The first write
 * is an event for our guard thread, which takes the protection away (the
 * writer goes on) and wakes the device. The pages stay open while the device
 * polls; it arms the guard again before it sleeps.
 */
#include "host/internal.h"

#include "base/thread.h"
#include "device/device.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define PAGE_SIZE 4096u
/* A mapping has few doorbell areas; each guard costs us a descriptor. */
#define MAX_GUARDS 16u
/* Events of one guard before another gets its turn. */
#define MAX_EVENTS 64

struct via_guard {
	struct via_doorbell_guard base;
	struct via_guard *next;	     /* all of the host; guard_lock */
	struct via_guard *sibling;   /* of the mapping; guard_lock */
	struct via_mapping *mapping; /* constant; outlives the guard */
	int uffd;		     /* constant */
	uint64_t addr, len;	     /* constant; in the program */
};

static int protect_range(const struct via_guard *guard, uint64_t addr, uint64_t len, bool on)
{
	struct uffdio_writeprotect wp = {.range = {addr, len},
					 .mode = on ? UFFDIO_WRITEPROTECT_MODE_WP : 0};
	int r, tries = 100;

	/* EAGAIN: the program is changing its address space just now. */
	do
		r = ioctl(guard->uffd, UFFDIO_WRITEPROTECT, &wp) < 0 ? -errno : 0;
	while (r == -EAGAIN && --tries);
	return r;
}

static int protect(const struct via_guard *guard, bool on)
{
	int r = protect_range(guard, guard->addr, guard->len, on);

	/* A part is unmapped or mapped over: the rest still counts. */
	if (r == -ENOENT) {
		r = 0;
		for (uint64_t at = 0; !r && at < guard->len; at += PAGE_SIZE) {
			r = protect_range(guard, guard->addr + at, PAGE_SIZE, on);
			if (r == -ENOENT)
				r = 0;
		}
	}
	/* The process has gone: there is no next write. */
	return r == -ESRCH ? 0 : r;
}

static int guard_arm(struct via_doorbell_guard *base)
{
	return protect((struct via_guard *)base, true);
}

static void guard_disarm(struct via_doorbell_guard *base)
{
	(void)protect((struct via_guard *)base, false);
}

/* With guard_lock. */
static void handle(struct via_guard *guard)
{
	struct uffd_msg message;

	for (int i = 0; i < MAX_EVENTS; i++) {
		if (read(guard->uffd, &message, sizeof(message)) != (ssize_t)sizeof(message))
			return;
		if (message.event != UFFD_EVENT_PAGEFAULT)
			continue;
		(void)protect(guard, false);
		via_device_doorbell_ring(guard->mapping->dev, guard->mapping->region);
	}
}

static void *guard_main(void *cookie)
{
	struct via_host *host = cookie;
	bool stop = false;

	via_thread_prompt();
	while (!stop) {
		struct epoll_event event;

		if (epoll_wait(host->guard_epoll_fd, &event, 1, -1) != 1)
			continue;
		stop = !event.data.ptr;
		/* Its owner may have removed it meanwhile: only what is listed exists. */
		pthread_mutex_lock(&host->guard_lock);
		for (struct via_guard *g = host->guards; g; g = g->next)
			if (g == event.data.ptr) {
				handle(g);
				/* Its memory has gone: no more events, but no busy loop either. */
				if (event.events & (EPOLLERR | EPOLLHUP))
					(void)epoll_ctl(host->guard_epoll_fd, EPOLL_CTL_DEL,
							g->uffd, NULL);
				break;
			}
		pthread_mutex_unlock(&host->guard_lock);
	}
	return NULL;
}

/* With guard_lock. */
static int start_thread(struct via_host *host)
{
	struct epoll_event event = {.events = EPOLLIN};
	int r;

	if (host->guard_started)
		return 0;
	if (epoll_ctl(host->guard_epoll_fd, EPOLL_CTL_ADD, host->guard_stop_fd, &event) < 0 &&
	    errno != EEXIST)
		return -errno;
	r = via_thread_start(&host->guard_thread, guard_main, host);
	host->guard_started = !r;
	return r;
}

static bool is_userfaultfd(int fd)
{
	static const char name[] = "anon_inode:[userfaultfd]";
	char path[32], link[sizeof(name)];

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return readlink(path, link, sizeof(link)) == (ssize_t)strlen(name) &&
	       memcmp(link, name, strlen(name)) == 0;
}

/* With guard_lock. */
static int link_guard(struct via_host *host, struct via_guard *guard)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = guard};
	unsigned int n = 0;
	int r;

	for (struct via_guard *g = guard->mapping->guards; g; g = g->sibling)
		n++;
	if (guard->mapping->ended)
		return -ESTALE;
	if (n >= MAX_GUARDS)
		return -ENOMEM;
	r = start_thread(host);
	if (r)
		return r;
	if (epoll_ctl(host->guard_epoll_fd, EPOLL_CTL_ADD, guard->uffd, &event) < 0)
		return -errno;
	guard->next = host->guards;
	host->guards = guard;
	guard->sibling = guard->mapping->guards;
	guard->mapping->guards = guard;
	/* Under the lock: a removal by another thread then finds it in both places. */
	via_device_guard_add(guard->mapping->dev, guard->mapping->region, &guard->base);
	return 0;
}

int via_guard_add(struct via_mapping *mapping, uint64_t addr, uint64_t len, int uffd)
{
	struct via_host *host = mapping->host;
	struct via_guard *guard;
	int r, flags;

	flags = fcntl(uffd, F_GETFL);
	if (flags < 0 || !is_userfaultfd(uffd) || fcntl(uffd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -EINVAL;
	guard = calloc(1, sizeof(*guard));
	if (!guard)
		return -ENOMEM;
	guard->base.arm = guard_arm;
	guard->base.disarm = guard_disarm;
	guard->mapping = mapping;
	guard->uffd = uffd;
	guard->addr = addr;
	guard->len = len;
	pthread_mutex_lock(&host->guard_lock);
	r = link_guard(host, guard);
	pthread_mutex_unlock(&host->guard_lock);
	if (r)
		free(guard);
	/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the host's and the mapping's lists hold it */
	return r;
}

void via_guard_remove_all(struct via_mapping *mapping)
{
	struct via_host *host = mapping->host;
	struct via_guard *guard, **link;

	for (;;) {
		pthread_mutex_lock(&host->guard_lock);
		mapping->ended = true;
		guard = mapping->guards;
		if (guard) {
			mapping->guards = guard->sibling;
			for (link = &host->guards; *link != guard;)
				link = &(*link)->next;
			*link = guard->next;
		}
		pthread_mutex_unlock(&host->guard_lock);
		if (!guard)
			return;
		via_device_guard_remove(mapping->dev, mapping->region, &guard->base);
		/* A writer that waits must not wait for ever. */
		(void)protect(guard, false);
		(void)epoll_ctl(host->guard_epoll_fd, EPOLL_CTL_DEL, guard->uffd, NULL);
		(void)close(guard->uffd);
		free(guard);
	}
}

void via_guard_stop(struct via_host *host)
{
	if (!host->guard_started)
		return;
	(void)eventfd_write(host->guard_stop_fd, 1);
	(void)pthread_join(host->guard_thread, NULL);
}
