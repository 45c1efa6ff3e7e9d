/* SPDX-License-Identifier: MIT */
#include "base/eventfd.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

bool via_eventfd_is(int fd)
{
	static const char name[] = "anon_inode:[eventfd]";
	char path[32], link[sizeof(name)];
	ssize_t n;

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, link, sizeof(link));
	return n == (ssize_t)sizeof(name) - 1 && !memcmp(link, name, (size_t)n);
}

bool via_eventfd_drain(int fd)
{
	uint64_t count;
	struct iovec iov = {.iov_base = &count, .iov_len = sizeof(count)};
	struct pollfd pollfd = {.fd = fd, .events = POLLIN};
	ssize_t n = preadv2(fd, &iov, 1, -1, RWF_NOWAIT);

	if (n < 0 && errno == EOPNOTSUPP && poll(&pollfd, 1, 0) == 1 && pollfd.revents & POLLIN)
		n = read(fd, &count, sizeof(count));
	return n == (ssize_t)sizeof(count);
}

void via_eventfd_signal(int fd, bool nonblock)
{
	static const uint64_t one = 1;
	struct pollfd pollfd = {.fd = fd, .events = POLLOUT};

	if (nonblock || (poll(&pollfd, 1, 0) == 1 && pollfd.revents & POLLOUT))
		(void)!write(fd, &one, sizeof(one));
}
