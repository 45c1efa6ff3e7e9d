/* SPDX-License-Identifier: MIT */
#include "pci/signal.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/eventfd.h"

/* The completion ring at the address that a context is: part of the kernel's ABI. */
struct ring {
	uint32_t id, n_slots, head, tail, magic;
};
#define RING_MAGIC 0xa10a10a1u

/*
 * The kernel destroys a context only after a grace period, tens of milliseconds
 * that whoever frees a device would wait. So some are kept for the next device.
 */
#define MAX_IDLE 64u
static struct {
	pthread_mutex_t lock;
	pid_t owner;	/* lock; contexts belong to this process, not to a child that it forks */
	unsigned int n; /* lock */
	aio_context_t idle[MAX_IDLE]; /* lock */
} kept = {.lock = PTHREAD_MUTEX_INITIALIZER};

static aio_context_t take_idle(pid_t self)
{
	aio_context_t context = 0;

	pthread_mutex_lock(&kept.lock);
	if (kept.owner != self) {
		kept.owner = self;
		kept.n = 0;
	}
	if (kept.n)
		context = kept.idle[--kept.n];
	pthread_mutex_unlock(&kept.lock);
	return context;
}

static bool keep_idle(aio_context_t context, pid_t self)
{
	bool keep;

	pthread_mutex_lock(&kept.lock);
	keep = kept.owner == self && kept.n < MAX_IDLE;
	if (keep)
		kept.idle[kept.n++] = context;
	pthread_mutex_unlock(&kept.lock);
	return keep;
}

void via_signaller_init(struct via_signaller *signaller)
{
	*signaller = (struct via_signaller){.source = memfd_create("signal", MFD_CLOEXEC),
					    .owner = getpid()};
	if (signaller->source < 0)
		return;
	signaller->context = take_idle(signaller->owner);
	if (signaller->context)
		return;
	if (syscall(SYS_io_setup, 1, &signaller->context))
		signaller->context = 0;
	else if (((const struct ring *)signaller->context)->magic != RING_MAGIC)
		via_signaller_deinit(signaller);
}

void via_signaller_deinit(struct via_signaller *signaller)
{
	pid_t self = getpid();

	if (signaller->context && signaller->owner == self && !keep_idle(signaller->context, self))
		(void)syscall(SYS_io_destroy, signaller->context);
	if (signaller->source >= 0)
		close(signaller->source);
	*signaller = (struct via_signaller){.source = -1};
}

static bool signal_by_completion(struct via_signaller *signaller, int fd)
{
	struct iocb read_nothing = {
		.aio_lio_opcode = IOCB_CMD_PREAD,
		.aio_fildes = (uint32_t)signaller->source,
		.aio_flags = IOCB_FLAG_RESFD,
		.aio_resfd = (uint32_t)fd,
	};
	struct iocb *list[] = {&read_nothing};
	struct ring *ring = (struct ring *)signaller->context;

	/* Fails in a forked child: contexts belong to one address space. */
	if (syscall(SYS_io_submit, signaller->context, 1, list) != 1)
		return false;
	/* The read has completed; take the event without asking the kernel for it. */
	__atomic_store_n(&ring->head, __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE),
			 __ATOMIC_RELEASE);
	return true;
}

void via_signaller_signal(struct via_signaller *signaller, int fd)
{
	/* A counter that is full needs no increment: its reader learns of the interrupt. */
	if (!signaller->context || !signal_by_completion(signaller, fd))
		via_eventfd_signal(fd, false);
}
