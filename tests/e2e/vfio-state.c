/* SPDX-License-Identifier: MIT */
/*
 * vfio-state try GROUP        open the group, say what open(2) said, close it
 * vfio-state hold GROUP BDF   take container, group and device; print "held"; keep them
 *                             until standard input ends
 * vfio-state close GROUP BDF  take all three, close them in every order, and after each
 *                             close say whether the group can be opened again
 * vfio-state bar GROUP BDF    map BAR 0 for DMA and say what the ioctl said
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

static int group_open(const char *group)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/dev/vfio/%s", group);
	return open(path, O_RDWR);
}

static const char *probe(const char *group)
{
	int fd = group_open(group);

	if (fd < 0)
		return strerrorname_np(errno);
	close(fd);
	return "free";
}

static void take(const char *group, const char *bdf, int fds[3])
{
	fds[0] = open("/dev/vfio/vfio", O_RDWR);
	fds[1] = group_open(group);
	if (fds[0] < 0 || fds[1] < 0 || ioctl(fds[1], VFIO_GROUP_SET_CONTAINER, &fds[0]) ||
	    ioctl(fds[0], VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU)) {
		perror("vfio-state: container or group");
		exit(1);
	}
	fds[2] = ioctl(fds[1], VFIO_GROUP_GET_DEVICE_FD, bdf);
	if (fds[2] < 0) {
		perror("vfio-state: device");
		exit(1);
	}
}

static void close_in_order(const char *group, const char *bdf, const int order[3])
{
	static const char *const names[] = {"container", "group", "device"};
	int fds[3];

	take(group, bdf, fds);
	printf("open: %s\n", probe(group));
	for (int i = 0; i < 3; i++) {
		close(fds[order[i]]);
		printf("%s closed: %s\n", names[order[i]], probe(group));
	}
}

static const char *dma_of_bar(const char *group, const char *bdf)
{
	struct vfio_region_info bar = {.argsz = sizeof(bar), .index = 0};
	struct vfio_iommu_type1_dma_map map = {.argsz = sizeof(map), .size = 4096, .iova = 0x100000,
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE};
	int fds[3];
	void *p;

	take(group, bdf, fds);
	if (ioctl(fds[2], VFIO_DEVICE_GET_REGION_INFO, &bar))
		return strerrorname_np(errno);
	p = mmap(NULL, bar.size, PROT_READ | PROT_WRITE, MAP_SHARED, fds[2], (off_t)bar.offset);
	if (p == MAP_FAILED)
		return "cannot be mapped";
	map.vaddr = (uint64_t)(uintptr_t)p;
	return ioctl(fds[0], VFIO_IOMMU_MAP_DMA, &map) ? strerrorname_np(errno) : "mapped";
}

int main(int argc, char **argv)
{
	static const int orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
	int fds[3];
	char c;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc == 3 && !strcmp(argv[1], "try")) {
		puts(probe(argv[2]));
	} else if (argc == 4 && !strcmp(argv[1], "hold")) {
		take(argv[2], argv[3], fds);
		puts("held");
		while (read(0, &c, 1) > 0)
			;
	} else if (argc == 4 && !strcmp(argv[1], "close")) {
		for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++)
			close_in_order(argv[2], argv[3], orders[i]);
	} else if (argc == 4 && !strcmp(argv[1], "bar")) {
		puts(dma_of_bar(argv[2], argv[3]));
	} else {
		fprintf(stderr, "usage: vfio-state try GROUP | hold GROUP BDF | close GROUP BDF | bar GROUP BDF\n");
		return 2;
	}
	return 0;
}
