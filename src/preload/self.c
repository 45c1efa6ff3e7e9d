/* SPDX-License-Identifier: MIT */
#include "preload/self.h"

#include "preload/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

/* Through a pipe, where a filter refuses process_vm_readv: the kernel does the copy there too. */
static int through_pipe(uint64_t to, uint64_t from, size_t len)
{
	int ends[2], err = 0;

	if (via_sys(SYS_pipe2, ends, O_CLOEXEC | O_NONBLOCK))
		return -EFAULT;
	while (len && !err) {
		size_t part = len < 4096 ? len : 4096;

		if (via_sys(SYS_write, ends[1], from, part) != (long)part ||
		    via_sys(SYS_read, ends[0], to, part) != (long)part)
			err = -EFAULT;
		from += part;
		to += part;
		len -= part;
	}
	via_sys(SYS_close, ends[0]);
	via_sys(SYS_close, ends[1]);
	return err;
}

static int copy(uint64_t to, uint64_t from, size_t len, long nr)
{
	uint64_t remote_at = nr == SYS_process_vm_readv ? from : to;
	uint64_t local_at = nr == SYS_process_vm_readv ? to : from;
	struct iovec local = {(void *)local_at, len}, remote = {(void *)remote_at, len};
	long n;

	if (!len)
		return 0;
	n = via_sys(nr, via_sys(SYS_getpid, 0), &local, 1, &remote, 1, 0);
	if (n == -EPERM || n == -ENOSYS || n == -EACCES)
		return through_pipe(to, from, len);
	return n == (long)len ? 0 : -EFAULT;
}

int via_self_read(void *to, uint64_t from, size_t len)
{
	return copy((uint64_t)to, from, len, SYS_process_vm_readv);
}

int via_self_write(uint64_t to, const void *from, size_t len)
{
	return copy(to, (uint64_t)from, len, SYS_process_vm_writev);
}

int via_self_string(char *to, uint64_t from, size_t room)
{
	enum { FIRST = 256, PAGE = 4096 };
	size_t at = 0;

	/* Never past the page that the string may end in: the next one may be bad. */
	while (at < room) {
		size_t part = PAGE - (from + at) % PAGE;
		const char *end;

		if (!at && part > FIRST)
			part = FIRST;
		if (part > room - at)
			part = room - at;
		if (via_self_read(to + at, from + at, part))
			return -EFAULT;
		end = memchr(to + at, '\0', part);
		if (end)
			return (int)(end - to);
		at += part;
	}
	return -ENAMETOOLONG;
}
