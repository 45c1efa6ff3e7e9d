/* SPDX-License-Identifier: MIT */
/* What the tests of the interrupt engine share: one engine and a program's eventfds. */
#ifndef VIA_PCI_TEST_IRQS_H
#define VIA_PCI_TEST_IRQS_H

#include "pci/irqs.h"

#include <viaduct/abi/vfio.h>

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

enum { N_FDS = 16 };

enum {
	NONE = VIA_VFIO_IRQ_SET_DATA_NONE,
	BOOL = VIA_VFIO_IRQ_SET_DATA_BOOL,
	EVENTFD = VIA_VFIO_IRQ_SET_DATA_EVENTFD,
	MASK = VIA_VFIO_IRQ_SET_ACTION_MASK,
	UNMASK = VIA_VFIO_IRQ_SET_ACTION_UNMASK,
	TRIGGER = VIA_VFIO_IRQ_SET_ACTION_TRIGGER,
};

struct rig {
	struct via_irqs *irqs;
	int fds[N_FDS];
	int watched;  /* resample descriptor given to the owner, -1 */
	int unwatched; /* how often one was taken back */
};

static int rig_watch(void *cookie, int fd)
{
	((struct rig *)cookie)->watched = fd;
	return 0;
}

static void rig_unwatch(void *cookie, int fd)
{
	struct rig *rig = cookie;

	assert_int_equal(fd, rig->watched);
	assert_true(fcntl(fd, F_GETFD) >= 0); /* not closed yet */
	rig->watched = -1;
	rig->unwatched++;
}

static const struct via_irqs_ops rig_ops = { .watch = rig_watch, .unwatch = rig_unwatch };

static void rig_init(struct rig *rig, const struct via_irqs_desc *desc)
{
	*rig = (struct rig){ .watched = -1 };
	assert_int_equal(via_irqs_new(desc, &rig_ops, rig, &rig->irqs), 0);
	for (int i = 0; i < N_FDS; i++)
		rig->fds[i] = eventfd(0, EFD_NONBLOCK);
	via_irqs_set_bus_master(rig->irqs, true);
}

static void rig_deinit(struct rig *rig)
{
	via_irqs_free(rig->irqs);
	for (int i = 0; i < N_FDS; i++)
		close(rig->fds[i]);
}

static int rig_fd_get(void *cookie, int fd, int *ret_fd)
{
	int copy = dup(fd);

	if (copy < 0)
		return -EBADF;
	*ret_fd = copy;
	return 0;
}

static int rig_set(struct rig *rig, uint32_t flags, uint32_t index, uint32_t start, uint32_t count,
		   const void *data)
{
	struct via_set_irqs set = {
		.index = index, .start = start, .count = count, .flags = flags,
		.bools = data, .fds = data, .fd_get = rig_fd_get,
	};

	return via_irqs_set(rig->irqs, &set);
}

static int rig_arm(struct rig *rig, uint32_t index, uint32_t start, uint32_t count)
{
	return rig_set(rig, TRIGGER | EVENTFD, index, start, count, rig->fds + start);
}

static int rig_disarm(struct rig *rig, uint32_t index)
{
	return rig_set(rig, TRIGGER | NONE, index, 0, 0, NULL);
}

/* Increments of the i-th eventfd since the last call. */
static uint64_t rig_count(struct rig *rig, unsigned int i)
{
	uint64_t n;

	return read(rig->fds[i], &n, sizeof(n)) == (ssize_t)sizeof(n) ? n : 0;
}

#endif
