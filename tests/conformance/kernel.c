/* SPDX-License-Identifier: MIT */
/*
 * The list of calls as system calls: run this where a kernel has a device
 * bound to vfio-pci. Static, so that it runs in a bare guest.
 *
 * usage: vfio-calls ADDRESS GROUP [ADDRESS2 GROUP2 NEIGHBOUR]
 *        vfio-calls iommu LIST SEED ADDRESS
 */
#include "iommu.h"

#include <dirent.h>
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

static ssize_t sys_read(int fd, uintptr_t buf, size_t len)
{
	return result(read(fd, (void *)buf, len));
}

static ssize_t sys_write(int fd, uintptr_t buf, size_t len)
{
	return result(write(fd, (const void *)buf, len));
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
	.read = sys_read,
	.write = sys_write,
	.renumber = renumber,
};

/* The group of a function and the node of its own, by sysfs; GROUP and CDEV, or false. */
static bool find_nodes(const char *address, char group[32], char cdev[64])
{
	char path[128], target[128];
	struct dirent *entry = NULL;
	ssize_t len;
	DIR *dir;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group", address);
	len = readlink(path, target, sizeof(target) - 1);
	if (len < 0)
		return false;
	target[len] = 0;
	snprintf(group, 32, "%s", strrchr(target, '/') + 1);
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/vfio-dev", address);
	dir = opendir(path);
	while (dir && (entry = readdir(dir)) && entry->d_name[0] == '.')
		;
	if (entry)
		snprintf(cdev, 64, "vfio/devices/%.32s", entry->d_name);
	if (dir)
		closedir(dir);
	return entry;
}

static int iommu(char **argv)
{
	char group[32], cdev[64];

	if (!find_nodes(argv[2], group, cdev)) {
		fprintf(stderr, "%s: not bound to a driver of VFIO\n", argv[2]);
		return 2;
	}
	return iommu_main(&door, 5, (const char *[]){argv[0], argv[1], argv[2], group, cdev});
}

int main(int argc, char **argv)
{
	bool iommu_list = argc == 5 && !strcmp(argv[1], "iommu");
	struct utsname uts;
	char nodes[2][32];
	struct pair pair;

	if (argc != 3 && argc != 6 && !iommu_list) {
		fprintf(stderr,
			"usage: %s ADDRESS GROUP [ADDRESS2 GROUP2 NEIGHBOUR]\n"
			"       %s iommu LIST SEED ADDRESS\n",
			argv[0], argv[0]);
		return 2;
	}
	uname(&uts);
	printf("## kernel %s %s %s\n", uts.sysname, uts.release, uts.machine);
	if (iommu_list)
		return iommu(argv + 2);
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
