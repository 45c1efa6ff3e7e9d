/* SPDX-License-Identifier: MIT */
/*
 * What poll(2) on a queue's file looks at: an eventfd that is readable while
 * something waits. All under the lock of the queue.
 */
#ifndef VIA_VFIO_IOMMUFD_READY_H
#define VIA_VFIO_IOMMUFD_READY_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct via_ready {
	int fd; /* constant */
	bool set;
};

static inline int via_ready_init(struct via_ready *ready)
{
	ready->set = false;
	ready->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return ready->fd < 0 ? -errno : 0;
}

static inline void via_ready_deinit(struct via_ready *ready)
{
	(void)close(ready->fd);
}

static inline void via_ready_set(struct via_ready *ready, bool set)
{
	uint64_t count = 1;
	ssize_t n = 0;

	if (set == ready->set)
		return;
	/* Neither can fail: the counter is 0 or 1. */
	if (set)
		n = write(ready->fd, &count, sizeof(count));
	else
		n = read(ready->fd, &count, sizeof(count));
	(void)n;
	ready->set = set;
}

#endif
