/* SPDX-License-Identifier: MIT */
/*
 * type1-locked GROUP: map 64 KiB for DMA and show VmLck of this process as
 * several ways of reading it tell, in KiB, before and after.
 */
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static long in_text(const char *text)
{
	const char *line = strstr(text, "\nVmLck:");

	return line ? strtol(line + 7, NULL, 10) : -1;
}

static long by_descriptor(int fd)
{
	static char text[16384];
	ssize_t n, at = 0;

	while ((n = read(fd, text + at, sizeof(text) - 1 - (size_t)at)) > 0)
		at += n;
	text[at] = '\0';
	close(fd);
	return in_text(text);
}

static long by_stream(const char *path)
{
	FILE *f = fopen(path, "r");
	char line[256];
	long value = -1;

	while (f && fgets(line, sizeof(line), f))
		(void)sscanf(line, "VmLck: %ld", &value);
	if (f)
		fclose(f);
	return value;
}

static void show(const char *when)
{
	char path[32], command[96];
	FILE *child;
	long value = -1;
	int dir;

	snprintf(path, sizeof(path), "/proc/%d/status", getpid());
	dir = open("/proc/self", O_RDONLY | O_DIRECTORY);
	printf("%s: open %ld, openat %ld, fopen %ld, thread %ld", when,
	       by_descriptor(open("/proc/self/status", O_RDONLY)),
	       by_descriptor(openat(dir, "status", O_RDONLY)), by_stream(path),
	       by_stream("/proc/thread-self/status"));
	close(dir);
	snprintf(command, sizeof(command), "sed -n 's/^VmLck:[^0-9]*\\([0-9]*\\).*/\\1/p' %s", path);
	child = popen(command, "r");
	if (child && fscanf(child, "%ld", &value) == 1)
		printf(", another process %ld\n", value);
	if (child)
		pclose(child);
}

int main(int argc, char **argv)
{
	struct vfio_iommu_type1_dma_map map = {.argsz = sizeof(map), .size = 65536, .iova = 0x100000,
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE};
	struct vfio_iommu_type1_dma_unmap unmap = {.argsz = sizeof(unmap), .size = 65536, .iova = 0x100000};
	int container = open("/dev/vfio/vfio", O_RDWR), group;
	char path[64];

	if (argc != 2)
		return 2;
	snprintf(path, sizeof(path), "/dev/vfio/%s", argv[1]);
	group = open(path, O_RDWR);
	if (ioctl(group, VFIO_GROUP_SET_CONTAINER, &container) ||
	    ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU)) {
		perror("container");
		return 1;
	}
	map.vaddr = (__u64)(unsigned long)mmap(NULL, 65536, PROT_READ | PROT_WRITE,
					      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	setvbuf(stdout, NULL, _IONBF, 0);
	show("before");
	if (ioctl(container, VFIO_IOMMU_MAP_DMA, &map))
		perror("MAP_DMA");
	show("mapped");
	if (ioctl(container, VFIO_IOMMU_UNMAP_DMA, &unmap))
		perror("UNMAP_DMA");
	show("unmapped");
	return 0;
}
