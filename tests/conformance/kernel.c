/* SPDX-License-Identifier: MIT */
/*
 * The list of calls as system calls: run this where a kernel has a device
 * bound to vfio-pci. Static, so that it runs in a bare guest.
 *
 * usage: vfio-calls ADDRESS GROUP [ADDRESS2 GROUP2 NEIGHBOUR]
 */
#include "calls.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <unistd.h>

static long result(long ret)
{
	return ret < 0 ? -errno : ret;
}

static int renumber(int from, int to)
{
	if (from < 0)
		return -errno;
	if (dup3(from, to, O_CLOEXEC) < 0)
		return -errno;
	close(from);
	return to;
}

static int sys_open(const char *node, int fd)
{
	char path[64];

	snprintf(path, sizeof(path), "/dev/%s", node);
	return renumber(open(path, O_RDWR | O_CLOEXEC), fd);
}

static int sys_close(int fd)
{
	return (int)result(close(fd));
}

static long sys_ioctl(int fd, unsigned long cmd, uintptr_t arg)
{
	return result(ioctl(fd, cmd, arg));
}

static long sys_ioctl_fd(int fd, unsigned long cmd, uintptr_t arg, int new_fd)
{
	return renumber(ioctl(fd, cmd, arg), new_fd);
}

static ssize_t sys_pread(int fd, uintptr_t buf, size_t len, uint64_t offset)
{
	return result(pread(fd, (void *)buf, len, (off_t)offset));
}

static ssize_t sys_pwrite(int fd, uintptr_t buf, size_t len, uint64_t offset)
{
	return result(pwrite(fd, (void *)buf, len, (off_t)offset));
}

static long sys_mmap(int fd, uint64_t offset, size_t len, int prot, int flags)
{
	void *p = mmap(NULL, len, prot, flags, fd, (off_t)offset);

	if (p == MAP_FAILED)
		return -errno;
	munmap(p, len);
	return 0;
}

/* A function is suspended some time after the call that lets it. */
static void sys_settle(void)
{
	usleep(300000);
}

static const struct door door = {
	.open = sys_open,
	.close = sys_close,
	.ioctl = sys_ioctl,
	.ioctl_fd = sys_ioctl_fd,
	.pread = sys_pread,
	.pwrite = sys_pwrite,
	.mmap = sys_mmap,
	.settle = sys_settle,
};

int main(int argc, char **argv)
{
	struct utsname uts;
	char nodes[2][32];
	struct pair pair;

	if (argc != 3 && argc != 6) {
		fprintf(stderr, "usage: %s ADDRESS GROUP [ADDRESS2 GROUP2 NEIGHBOUR]\n", argv[0]);
		return 2;
	}
	uname(&uts);
	printf("## kernel %s %s %s\n", uts.sysname, uts.release, uts.machine);
	snprintf(nodes[0], sizeof(nodes[0]), "vfio/%s", argv[2]);
	pair.one = (struct subject){argv[1], nodes[0]};
	if (argc == 3) {
		all_calls(&door, &pair.one);
		return 0;
	}
	snprintf(nodes[1], sizeof(nodes[1]), "vfio/%s", argv[4]);
	pair.two = (struct subject){argv[3], nodes[1]};
	pair.neighbour = argv[5];
	pair_calls(&door, &pair);
	return 0;
}
