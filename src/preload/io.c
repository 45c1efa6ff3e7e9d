/* SPDX-License-Identifier: MIT */
/*
 * ioctl and the read and write families. A positioned access to a socket
 * fails, so other files go straight to the kernel and only a failure is
 * looked at; a plain read or write of a socket would block or eat the message
 * that makes our descriptors pollable, so those look first.
 */
#include "preload/ours.h"
#include "preload/pins.h"
#include "preload/real.h"
#include "preload/self.h"
#include "preload/sys.h"
#include "preload/trace.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

enum { VFIO_TYPE = ';' };

VIA_INTERPOSE int ioctl(int fd, unsigned long command, ...)
{
	struct via_call call = {.request = {.op = VIA_DOOR_IOCTL}, .fd = -1};
	va_list ap;
	uint64_t arg;
	int64_t ret;

	va_start(ap, command);
	arg = va_arg(ap, unsigned long);
	va_end(ap);
	/* The kernel takes 32 bits of it. */
	command = (unsigned int)command;
	if (via_client_present() &&
	    (_IOC_TYPE(command) == VFIO_TYPE || via_fd_get(fd).kind == VIA_FD_OURS)) {
		uint64_t frames[VIA_DOOR_FRAMES];

		call.request.arg[0] = command;
		call.request.arg[1] = arg;
		call.request.arg[0] |= (uint64_t)via_trace(command, frames) << 32;
		call.in = frames;
		call.in_len = (call.request.arg[0] >> 32) * sizeof(frames[0]);
		ret = via_call_on(fd, &call);
		if (ret != -ENOTSOCK) {
			via_pins_note(command, arg, ret);
			return (int)via_ret(ret);
		}
	}
	return (int)via_ret(via_sys(SYS_ioctl, fd, command, arg));
}

/* Positioned ------------------------------------------------------------------------------ */

static int64_t access_ours(int fd, uint32_t op, uint64_t addr, uint64_t len, uint64_t offset,
			   bool position)
{
	struct via_call call = {
		.request = {.op = op, .arg = {addr, len, offset, position}},
		.fd = -1,
	};
	int64_t ret = via_call_on(fd, &call);
	uint8_t byte;

	/* What made the descriptor readable is read; an event that came since makes it so again. */
	if (op == VIA_DOOR_PREAD && ret >= 0 && call.reply.value[0] == 1 &&
	    via_sys(SYS_recvfrom, fd, &byte, sizeof(byte), MSG_DONTWAIT, NULL, NULL) >= 0)
		via_call_simple(VIA_DOOR_SHOW, call.request.id, 0, 0, 0, 0);
	return ret;
}

static int64_t access_at(int fd, uint32_t op, uint64_t addr, uint64_t len, uint64_t offset)
{
	struct via_fd f = via_fd_get(fd);
	int64_t ret;

	if (f.kind == VIA_FD_OURS) {
		ret = access_ours(fd, op, addr, len, offset, false);
		if (ret != -ENOTSOCK)
			return ret;
	}
	ret = via_sys(op == VIA_DOOR_PREAD ? SYS_pread64 : SYS_pwrite64, fd, addr, len, offset);
	if (ret != -ESPIPE || !via_maybe_ours(fd))
		return ret;
	ret = access_ours(fd, op, addr, len, offset, false);
	return ret == -ENOTSOCK ? -ESPIPE : ret;
}

VIA_INTERPOSE ssize_t pread(int fd, void *buf, size_t len, off_t offset)
{
	return via_ret(access_at(fd, VIA_DOOR_PREAD, (uint64_t)buf, len, (uint64_t)offset));
}

VIA_INTERPOSE ssize_t pread64(int fd, void *buf, size_t len, off64_t offset)
{
	return via_ret(access_at(fd, VIA_DOOR_PREAD, (uint64_t)buf, len, (uint64_t)offset));
}

VIA_INTERPOSE ssize_t pwrite(int fd, const void *buf, size_t len, off_t offset)
{
	return via_ret(access_at(fd, VIA_DOOR_PWRITE, (uint64_t)buf, len, (uint64_t)offset));
}

VIA_INTERPOSE ssize_t pwrite64(int fd, const void *buf, size_t len, off64_t offset)
{
	return via_ret(access_at(fd, VIA_DOOR_PWRITE, (uint64_t)buf, len, (uint64_t)offset));
}

VIA_INTERPOSE ssize_t __pread_chk(int fd, void *buf, size_t len, off_t offset, size_t room);
VIA_INTERPOSE ssize_t __pread_chk(int fd, void *buf, size_t len, off_t offset, size_t room)
{
	if (len > room)
		abort();
	return pread64(fd, buf, len, offset);
}

VIA_INTERPOSE ssize_t __pread64_chk(int fd, void *buf, size_t len, off64_t offset, size_t room);
VIA_INTERPOSE ssize_t __pread64_chk(int fd, void *buf, size_t len, off64_t offset, size_t room)
{
	if (len > room)
		abort();
	return pread64(fd, buf, len, offset);
}

/* Vectors ----------------------------------------------------------------------------------- */

/* The kernel takes such a file segment by segment and stops at the first short one. */
static int64_t vector_ours(int fd, uint32_t op, const struct iovec *iov, int n, uint64_t offset,
			   bool position)
{
	int64_t done = 0;

	if (n < 0 || n > IOV_MAX)
		return -EINVAL;
	for (int i = 0; i < n; i++) {
		struct iovec v;
		int64_t ret = via_self_read(&v, (uint64_t)(iov + i), sizeof(v));

		if (!ret && v.iov_len)
			ret = access_ours(fd, op, (uint64_t)v.iov_base, v.iov_len,
					  offset + (uint64_t)done, position);
		if (ret < 0)
			return done ? done : ret;
		done += ret;
		if ((size_t)ret < v.iov_len)
			break;
	}
	return done;
}

static int64_t vector_at(int fd, uint32_t op, const struct iovec *iov, int n, uint64_t offset,
			 int flags)
{
	bool in = op == VIA_DOOR_PREAD;
	int64_t ret;

	if (via_fd_get(fd).kind != VIA_FD_OURS) {
		ret = flags ? via_sys(in ? SYS_preadv2 : SYS_pwritev2, fd, iov, n, offset, 0, flags)
			    : via_sys(in ? SYS_preadv : SYS_pwritev, fd, iov, n, offset, 0);
		if (ret != -ESPIPE || !via_maybe_ours(fd))
			return ret;
	}
	if (!via_ours(fd))
		return via_sys(in ? SYS_preadv2 : SYS_pwritev2, fd, iov, n, offset, 0, flags);
	if (flags)
		return -EOPNOTSUPP;
	return vector_ours(fd, op, iov, n, offset, false);
}

VIA_INTERPOSE ssize_t preadv(int fd, const struct iovec *iov, int n, off_t offset)
{
	return via_ret(vector_at(fd, VIA_DOOR_PREAD, iov, n, (uint64_t)offset, 0));
}

VIA_INTERPOSE ssize_t preadv64(int fd, const struct iovec *iov, int n, off64_t offset)
{
	return via_ret(vector_at(fd, VIA_DOOR_PREAD, iov, n, (uint64_t)offset, 0));
}

VIA_INTERPOSE ssize_t pwritev(int fd, const struct iovec *iov, int n, off_t offset)
{
	return via_ret(vector_at(fd, VIA_DOOR_PWRITE, iov, n, (uint64_t)offset, 0));
}

VIA_INTERPOSE ssize_t pwritev64(int fd, const struct iovec *iov, int n, off64_t offset)
{
	return via_ret(vector_at(fd, VIA_DOOR_PWRITE, iov, n, (uint64_t)offset, 0));
}

static ssize_t vector_2(int fd, uint32_t op, const struct iovec *iov, int n, off_t offset,
			int flags)
{
	if (offset == -1 && !flags)
		return op == VIA_DOOR_PREAD ? readv(fd, iov, n) : writev(fd, iov, n);
	return via_ret(vector_at(fd, op, iov, n, (uint64_t)offset, flags));
}

VIA_INTERPOSE ssize_t preadv2(int fd, const struct iovec *iov, int n, off_t offset, int flags)
{
	return vector_2(fd, VIA_DOOR_PREAD, iov, n, offset, flags);
}

VIA_INTERPOSE ssize_t preadv64v2(int fd, const struct iovec *iov, int n, off64_t offset, int flags)
{
	return vector_2(fd, VIA_DOOR_PREAD, iov, n, offset, flags);
}

VIA_INTERPOSE ssize_t pwritev2(int fd, const struct iovec *iov, int n, off_t offset, int flags)
{
	return vector_2(fd, VIA_DOOR_PWRITE, iov, n, offset, flags);
}

VIA_INTERPOSE ssize_t pwritev64v2(int fd, const struct iovec *iov, int n, off64_t offset, int flags)
{
	return vector_2(fd, VIA_DOOR_PWRITE, iov, n, offset, flags);
}

/* At the file's position ----------------------------------------------------------------------- */

VIA_INTERPOSE ssize_t read(int fd, void *buf, size_t len)
{
	if (via_maybe_ours(fd) && via_ours(fd))
		return via_ret(access_ours(fd, VIA_DOOR_PREAD, (uint64_t)buf, len, 0, true));
	return REAL(read)(fd, buf, len);
}

VIA_INTERPOSE ssize_t __read_chk(int fd, void *buf, size_t len, size_t room);
VIA_INTERPOSE ssize_t __read_chk(int fd, void *buf, size_t len, size_t room)
{
	if (len > room)
		abort();
	return read(fd, buf, len);
}

VIA_INTERPOSE ssize_t write(int fd, const void *buf, size_t len)
{
	if (via_maybe_ours(fd) && via_ours(fd))
		return via_ret(access_ours(fd, VIA_DOOR_PWRITE, (uint64_t)buf, len, 0, true));
	return REAL(write)(fd, buf, len);
}

VIA_INTERPOSE ssize_t readv(int fd, const struct iovec *iov, int n)
{
	if (via_maybe_ours(fd) && via_ours(fd))
		return via_ret(vector_ours(fd, VIA_DOOR_PREAD, iov, n, 0, true));
	return REAL(readv)(fd, iov, n);
}

VIA_INTERPOSE ssize_t writev(int fd, const struct iovec *iov, int n)
{
	if (via_maybe_ours(fd) && via_ours(fd))
		return via_ret(vector_ours(fd, VIA_DOOR_PWRITE, iov, n, 0, true));
	return REAL(writev)(fd, iov, n);
}

/* Descriptors that arrive ------------------------------------------------------------------------
 */

static void forget_received(struct msghdr *msg)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		size_t n;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
			via_fd_forget(fd);
		}
	}
}

VIA_INTERPOSE ssize_t recvmsg(int fd, struct msghdr *msg, int flags)
{
	ssize_t n = REAL(recvmsg)(fd, msg, flags);

	if (n >= 0 && msg->msg_control)
		forget_received(msg);
	return n;
}

VIA_INTERPOSE int recvmmsg(int fd, struct mmsghdr *msgs, unsigned int n, int flags,
			   struct timespec *timeout)
{
	int got = REAL(recvmmsg)(fd, msgs, n, flags, timeout);

	for (int i = 0; i < got; i++)
		if (msgs[i].msg_hdr.msg_control)
			forget_received(&msgs[i].msg_hdr);
	return got;
}
