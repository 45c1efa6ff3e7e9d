/* SPDX-License-Identifier: MIT */
#include "host/door.h"

#include <errno.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* A round trip between two busy CPUs is below 2 us; a sleep and a wake cost about 10 us. */
#define SPIN_MIN_NS 1000u
#define SPIN_MAX_NS 20000u
/* After this many waits without spinning, spinning is tried again. */
#define SPIN_RETRY 64u

static int64_t now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#else
	__asm__ volatile("" ::: "memory");
#endif
}

static uint32_t spin_budget(struct via_door_spin *spin)
{
	if (spin->budget_ns == 0 && (spin->misses == 0 || spin->misses >= SPIN_RETRY)) {
		spin->budget_ns = SPIN_MAX_NS;
		spin->misses = 0;
	}
	return spin->budget_ns;
}

static void spin_learn(struct via_door_spin *spin, bool paid)
{
	if (paid) {
		spin->misses = 0;
		spin->budget_ns = SPIN_MAX_NS;
		return;
	}
	spin->misses++;
	spin->budget_ns /= 2;
	if (spin->budget_ns < SPIN_MIN_NS)
		spin->budget_ns = 0;
}

uint32_t via_door_wait(uint32_t *state, uint32_t turn, struct via_door_spin *spin, int64_t limit_ns)
{
	int saved_errno = errno;
	uint32_t budget = spin_budget(spin);
	int64_t start = now_ns(), left;
	uint32_t value, rounds = 0;

	/* Acquire: pairs with the exchange in via_door_post(). */
	for (;;) {
		value = __atomic_load_n(state, __ATOMIC_ACQUIRE);
		if ((value & ~VIA_DOOR_WAITING) != turn) {
			if (budget)
				spin_learn(spin, true);
			goto out;
		}
		if (!budget || (++rounds % 32 == 0 && now_ns() - start >= budget))
			break;
		relax();
	}
	spin_learn(spin, false);
	for (;;) {
		struct timespec ts;

		value = __atomic_load_n(state, __ATOMIC_ACQUIRE);
		if ((value & ~VIA_DOOR_WAITING) != turn)
			goto out;
		if (value == turn &&
		    !__atomic_compare_exchange_n(state, &value, turn | VIA_DOOR_WAITING, false,
						 __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE))
			continue;
		left = limit_ns - (now_ns() - start);
		if (limit_ns >= 0 && left <= 0)
			goto out;
		ts.tv_sec = (time_t)(left / 1000000000);
		ts.tv_nsec = (long)(left % 1000000000);
		(void)syscall(SYS_futex, state, FUTEX_WAIT, turn | VIA_DOOR_WAITING,
			      limit_ns < 0 ? NULL : &ts, NULL, 0);
	}
out:
	errno = saved_errno;
	return value & ~VIA_DOOR_WAITING;
}

void via_door_post(uint32_t *state, uint32_t next)
{
	/* Release: what was written for the other side; pairs with the loads in via_door_wait(). */
	if (__atomic_exchange_n(state, next, __ATOMIC_ACQ_REL) & VIA_DOOR_WAITING) {
		int saved_errno = errno;

		(void)syscall(SYS_futex, state, FUTEX_WAKE, 1, NULL, NULL, 0);
		errno = saved_errno;
	}
}

int via_door_send(int sock, const void *bytes, size_t len, int fd, int flags)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct iovec iov = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	int saved_errno = errno, r;
	long n;

	if (fd >= 0) {
		struct cmsghdr *cmsg;

		msg.msg_control = control.space;
		msg.msg_controllen = sizeof(control.space);
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
	}
	do
		n = syscall(SYS_sendmsg, sock, &msg, flags | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	r = n < 0 ? -errno : (size_t)n == len ? 0 : -EPROTO;
	errno = saved_errno;
	return r;
}

/* Room for more than one, so that an enemy's extra descriptors are seen and closed. */
#define RECV_FDS 4

int via_door_recv(int sock, void *bytes, size_t len, int flags, bool cloexec, int *ret_fd)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(RECV_FDS * sizeof(int))];
	} control;
	struct iovec iov = {.iov_base = bytes, .iov_len = len};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control.space,
			     .msg_controllen = sizeof(control.space)};
	int fds[RECV_FDS], saved_errno = errno, r = 0;
	size_t n_fds = 0;
	long n;

	do
		n = syscall(SYS_recvmsg, sock, &msg, flags | (cloexec ? MSG_CMSG_CLOEXEC : 0));
	while (n < 0 && errno == EINTR);
	if (n < 0) {
		r = -errno;
		goto out;
	}
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n_fds = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		if (n_fds > RECV_FDS)
			n_fds = RECV_FDS;
		memcpy(fds, CMSG_DATA(c), n_fds * sizeof(int));
	}
	if (msg.msg_flags & MSG_CTRUNC)
		r = n_fds ? -EPROTO : -EMFILE;
	else if (n == 0)
		r = -ECONNRESET;
	else if ((size_t)n != len || msg.msg_flags & MSG_TRUNC || n_fds > 1)
		r = -EPROTO;
	if (!r) {
		*ret_fd = n_fds ? fds[0] : -1;
		goto out;
	}
	while (n_fds > 0)
		(void)syscall(SYS_close, fds[--n_fds]);
out:
	errno = saved_errno;
	return r;
}

dev_t via_door_node_number(const char *node)
{
	const char *digits = node + strcspn(node, "0123456789");
	unsigned int n = 0;

	if (strcmp(node, "vfio/vfio") == 0)
		return makedev(VIA_NODE_MISC_MAJOR, VIA_NODE_VFIO_MINOR);
	if (strcmp(node, "iommu") == 0)
		return makedev(VIA_NODE_MISC_MAJOR, VIA_NODE_IOMMU_MINOR);
	if (strncmp(node, "vfio/", 5) != 0)
		return 0;
	for (; *digits >= '0' && *digits <= '9'; digits++)
		n = n * 10 + (unsigned int)(*digits - '0');
	return makedev(strstr(node, "devices/") ? VIA_NODE_DEVICE_MAJOR : VIA_NODE_GROUP_MAJOR, n);
}
