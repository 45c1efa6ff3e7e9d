/* SPDX-License-Identifier: MIT */
/*
 * Closing and duplicating. The host sees the last close of a descriptor by
 * itself; what is done here is to wait until it has, so that the effect is
 * there when close returns, and to keep the shim's own descriptors out of
 * loops that close everything.
 */
#include "preload/ours.h"
#include "preload/pins.h"
#include "preload/real.h"
#include "preload/sys.h"

#include <errno.h>
#include <stdlib.h>
#include <linux/close_range.h>

static void settle(void)
{
	int err = errno;

	via_call_simple(VIA_DOOR_SYNC, 0, 0, 0, 0, 0);
	via_pins_collect();
	errno = err;
}

VIA_INTERPOSE int close(int fd)
{
	enum via_fd_kind kind = via_fd_get(fd).kind;
	int ret;

	if (kind == VIA_FD_HIDDEN) {
		errno = EBADF;
		return -1;
	}
	via_fd_forget(fd);
	ret = REAL(close)(fd);
	if (kind == VIA_FD_OURS)
		settle();
	return ret;
}

/* Close or mark what lies between hidden ones; unsharing applies to the first piece only. */
static long range(unsigned int first, unsigned int last, unsigned int flags)
{
	bool ours = false, started = false;
	long ret = 0;

	if (first > last)
		return -EINVAL;
	for (;;) {
		int hidden = via_fd_next_hidden(first, last);
		unsigned int end = hidden < 0 ? last : (unsigned int)hidden - 1;

		if (hidden < 0 || (unsigned int)hidden > first) {
			if (!(flags & CLOSE_RANGE_CLOEXEC))
				for (unsigned int fd = first; fd <= end && fd < 65536; fd++)
					ours |= via_fd_get((int)fd).kind == VIA_FD_OURS;
			ret = via_sys(SYS_close_range, first, end,
				      started ? flags & ~CLOSE_RANGE_UNSHARE : flags);
			if (ret)
				return ret;
			started = true;
			if (!(flags & CLOSE_RANGE_CLOEXEC))
				for (unsigned int fd = first; fd <= end && fd < 65536; fd++)
					if (via_fd_get((int)fd).kind != VIA_FD_UNKNOWN)
						via_fd_forget((int)fd);
		}
		if (hidden < 0 || (unsigned int)hidden == last)
			break;
		first = (unsigned int)hidden + 1;
	}
	if (ours)
		settle();
	return ret;
}

VIA_INTERPOSE int close_range(unsigned int first, unsigned int last, int flags)
{
	return (int)via_ret(range(first, last, (unsigned int)flags));
}

VIA_INTERPOSE void closefrom(int first)
{
	unsigned int from = first < 0 ? 0 : (unsigned int)first;

	if (range(from, ~0u, 0) != -ENOSYS)
		return;
	for (unsigned int fd = from; fd < 65536; fd++)
		(void)close((int)fd);
}

VIA_INTERPOSE int dup(int fd)
{
	long to;

	if (via_fd_get(fd).kind == VIA_FD_HIDDEN)
		return (int)via_ret(-EBADF);
	to = via_sys(SYS_dup, fd);
	if (to >= 0)
		via_fd_copy(fd, (int)to);
	return (int)via_ret(to);
}

static long dup_over(int fd, int to, int flags)
{
	enum via_fd_kind before = via_fd_get(to).kind;
	long ret;

	if (via_fd_get(fd).kind == VIA_FD_HIDDEN)
		return -EBADF;
	/* The number of one of the shim's own: not available, like one above the limit. */
	if (before == VIA_FD_HIDDEN)
		return -EBADF;
	ret = flags < 0 ? via_sys(SYS_dup2, fd, to) : via_sys(SYS_dup3, fd, to, flags);
	if (ret >= 0 && fd != to) {
		via_fd_copy(fd, to);
		if (before == VIA_FD_OURS)
			settle();
	}
	return ret;
}

VIA_INTERPOSE int dup2(int fd, int to)
{
	return (int)via_ret(dup_over(fd, to, -1));
}

VIA_INTERPOSE int dup3(int fd, int to, int flags)
{
	return (int)via_ret(dup_over(fd, to, flags & 0x7fffffff));
}

static int control(int fd, int cmd, unsigned long arg)
{
	int ret;

	if (via_fd_get(fd).kind == VIA_FD_HIDDEN)
		return (int)via_ret(-EBADF);
	ret = REAL(fcntl64)(fd, cmd, arg);
	if (ret >= 0 && (cmd == F_DUPFD || cmd == F_DUPFD_CLOEXEC))
		via_fd_copy(fd, ret);
	return ret;
}

VIA_INTERPOSE int fcntl(int fd, int cmd, ...)
{
	unsigned long arg;
	va_list ap;

	va_start(ap, cmd);
	arg = va_arg(ap, unsigned long);
	va_end(ap);
	return control(fd, cmd, arg);
}

VIA_INTERPOSE int fcntl64(int fd, int cmd, ...)
{
	unsigned long arg;
	va_list ap;

	va_start(ap, cmd);
	arg = va_arg(ap, unsigned long);
	va_end(ap);
	return control(fd, cmd, arg);
}
