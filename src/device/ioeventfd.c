/* SPDX-License-Identifier: MIT */
/*
 * Ioeventfds (pci-config.md 6.10): a write to a BAR at each wake of an eventfd.
 *
 * A kernel makes the write before the write(2) that signalled has returned. The
 * device's thread cannot be that early, so whoever could tell the difference
 * makes the write himself: each call of a program and each trapped access first
 * does what has been signalled by then (via_ioeventfds_run()). That also settles
 * what a signal before memory was switched off, or on again, means.
 *
 * Edge-triggered: of several signals between two looks one write is made, as
 * of one signal with the same count; what a semaphore keeps back makes none.
 * Several may share an eventfd, and all of them write then: it is watched once,
 * and a descriptor of ours is kept once.
 */
#include "device/internal.h"

#include "base/eventfd.h"
#include "pci/msix.h"

#include <errno.h>
#include <linux/kcmp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#define IOEVENTFDS_MAX 1000u
#define LOOK 16 /* events a look */

struct via_ioeventfd {
	struct via_ioeventfd *next;
	struct via_ioeventfd_write what;
	int fd; /* shared by those on one eventfd */
};

int via_ioeventfds_init(struct via_device *dev)
{
	struct via_ioeventfds *list = &dev->ioeventfds;
	struct epoll_event ev = {.events = EPOLLIN};

	pthread_mutex_init(&list->lock, NULL);
	list->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (list->epoll_fd < 0)
		return -errno;
	ev.data.fd = list->epoll_fd;
	return epoll_ctl(dev->worker.epoll_fd, EPOLL_CTL_ADD, list->epoll_fd, &ev) ? -errno : 0;
}

void via_ioeventfds_deinit(struct via_device *dev)
{
	via_ioeventfds_close(dev);
	if (dev->ioeventfds.epoll_fd >= 0)
		close(dev->ioeventfds.epoll_fd);
	pthread_mutex_destroy(&dev->ioeventfds.lock);
}

static bool same_write(const struct via_ioeventfd_write *a, const struct via_ioeventfd_write *b)
{
	return a->region == b->region && a->offset == b->offset && a->data == b->data &&
	       a->width == b->width;
}

/* --- The following with lock held --- */

static struct via_ioeventfd **find(struct via_ioeventfds *list,
				   const struct via_ioeventfd_write *what)
{
	struct via_ioeventfd **at = &list->first;

	while (*at && !same_write(&(*at)->what, what))
		at = &(*at)->next;
	return at;
}

static bool shared(const struct via_ioeventfds *list, int fd)
{
	const struct via_ioeventfd *e = list->first;

	while (e && e->fd != fd)
		e = e->next;
	return e;
}

static void drop(struct via_ioeventfds *list, struct via_ioeventfd **at)
{
	struct via_ioeventfd *e = *at;

	*at = e->next;
	__atomic_fetch_sub(&list->n, 1, __ATOMIC_RELAXED);
	if (!shared(list, e->fd)) {
		(void)epoll_ctl(list->epoll_fd, EPOLL_CTL_DEL, e->fd, NULL);
		close(e->fd);
	}
	free(e);
}

/* The one among those we have that is the same eventfd as fd, or -1. */
static int known(const struct via_ioeventfds *list, int fd)
{
	pid_t pid = getpid();

	for (const struct via_ioeventfd *e = list->first; e; e = e->next)
		if (!syscall(SYS_kcmp, pid, pid, KCMP_FILE, e->fd, fd))
			return e->fd;
	return -1;
}

/* 1: a new one could be added. */
static int look_up(struct via_ioeventfds *list, const struct via_ioeventfd_write *what, int number)
{
	struct via_ioeventfd **at = find(list, what);

	if (*at && number < 0) {
		drop(list, at);
		return 0;
	}
	if (*at)
		return -EEXIST;
	if (number < 0)
		return -ENODEV;
	return list->n < IOEVENTFDS_MAX ? 1 : -ENOSPC;
}

/* Consumes fd on success. */
static int add(struct via_ioeventfds *list, const struct via_ioeventfd_write *what, int fd)
{
	struct via_ioeventfd *e = calloc(1, sizeof(*e));
	struct epoll_event ev = {.events = EPOLLIN | EPOLLET, .data.fd = fd};
	int have = known(list, fd);

	if (!e)
		return -ENOMEM;
	if (have >= 0) {
		close(fd);
		fd = have;
	} else if (epoll_ctl(list->epoll_fd, EPOLL_CTL_ADD, fd, &ev)) {
		free(e);
		return -errno;
	}
	*e = (struct via_ioeventfd){.next = list->first, .what = *what, .fd = fd};
	list->first = e;
	__atomic_fetch_add(&list->n, 1, __ATOMIC_RELAXED);
	return 0;
}

static void make_write(struct via_device *dev, const struct via_ioeventfd_write *what)
{
	uint8_t bytes[8];

	via_put_le64(bytes, what->data);
	/* Nobody hears of a failure: memory may be off. */
	(void)via_device_region_write(dev, what->region, what->offset, bytes, what->width);
}

/* --- */

void via_ioeventfds_run(struct via_device *dev)
{
	struct via_ioeventfds *list = &dev->ioeventfds;
	struct epoll_event ready[LOOK];
	int n = LOOK;

	/* Relaxed: whoever knows that one was added has been told so in some other way. */
	if (!__atomic_load_n(&list->n, __ATOMIC_RELAXED))
		return;
	pthread_mutex_lock(&list->lock);
	/* Each has its turn; what a program signals meanwhile does not hold us up. */
	for (unsigned int seen = 0; n == LOOK && seen < IOEVENTFDS_MAX; seen += LOOK) {
		n = epoll_wait(list->epoll_fd, ready, LOOK, 0);
		for (int i = 0; i < n; i++) {
			(void)via_eventfd_drain(ready[i].data.fd);
			for (const struct via_ioeventfd *e = list->first; e; e = e->next)
				if (e->fd == ready[i].data.fd)
					make_write(dev, &e->what);
		}
	}
	pthread_mutex_unlock(&list->lock);
}

void via_ioeventfds_close(struct via_device *dev)
{
	struct via_ioeventfds *list = &dev->ioeventfds;

	pthread_mutex_lock(&list->lock);
	while (list->first)
		drop(list, &list->first);
	pthread_mutex_unlock(&list->lock);
}

static int check(struct via_device *dev, const struct via_ioeventfd_write *what)
{
	const struct via_pci_msix *msix = &dev->desc->msix;
	uint64_t table_end = msix->table_offset + via_msix_table_size(msix->vectors);
	uint64_t size;

	if (what->region >= VIA_PCI_BARS)
		return -EINVAL;
	size = dev->bars[what->region].size;
	if (what->offset > size || what->width > size - what->offset || what->width == 8)
		return -EINVAL;
	if (msix->vectors && msix->table_bar == what->region && what->offset < table_end &&
	    what->offset + what->width > msix->table_offset)
		return -EINVAL;
	return 0;
}

int via_device_ioeventfd(struct via_device *dev, const struct via_ioeventfd_write *what, int number,
			 int (*fd_get)(void *cookie, int fd, int *ret_fd), void *cookie)
{
	struct via_ioeventfds *list = &dev->ioeventfds;
	int fd, ret = check(dev, what);

	if (ret)
		return ret;
	pthread_mutex_lock(&list->lock);
	ret = look_up(list, what, number);
	pthread_mutex_unlock(&list->lock);
	if (ret <= 0)
		return ret;
	/* Without the lock: this asks the program. */
	ret = fd_get(cookie, number, &fd);
	if (ret)
		return ret;
	if (!via_eventfd_is(fd)) {
		close(fd);
		return -EINVAL;
	}
	pthread_mutex_lock(&list->lock);
	ret = look_up(list, what, number);
	if (ret > 0)
		ret = add(list, what, fd);
	pthread_mutex_unlock(&list->lock);
	if (ret)
		close(fd);
	return ret;
}
