/* SPDX-License-Identifier: MIT */
/* A program on a machine without type1: spapr | none GROUP BDF. */
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

static const char *result(long r)
{
	return r < 0 ? strerrorname_np(errno) : r ? "?" : "0";
}

static void extensions(int container, const char *what)
{
	printf("%sextensions:", what);
	for (unsigned long i = 1; i <= 10; i++)
		if (ioctl(container, VFIO_CHECK_EXTENSION, i) > 0)
			printf(" %lu", i);
	putchar('\n');
}

static void put(int device, off_t offset, uint64_t value)
{
	if (pwrite(device, &value, 8, offset) != 8)
		perror("register");
}

static void try_dma(int device)
{
	uint8_t *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct vfio_region_info config = {.argsz = sizeof(config), .index = VFIO_PCI_CONFIG_REGION_INDEX};
	uint64_t busy = 1;
	uint16_t command = 6;

	ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &config);
	if (pwrite(device, &command, 2, (off_t)config.offset + 4) != 2)
		perror("command");
	memset(memory, 0x5a, 64);
	put(device, 0x80, (uintptr_t)memory);
	put(device, 0x88, 0x40000);
	put(device, 0x90, 64);
	put(device, 0x98, 1);
	while (pread(device, &busy, 8, 0x98) == 8 && (busy & 1))
		;
	put(device, 0x80, 0x40000);
	put(device, 0x88, (uintptr_t)memory + 1024);
	put(device, 0x98, 3);
	while (pread(device, &busy, 8, 0x98) == 8 && (busy & 1))
		;
	printf("DMA by address: %s\n", memcmp(memory, memory + 1024, 64) ? "nothing came" : "ok");
}

int main(int argc, char **argv)
{
	struct vfio_iommu_type1_dma_map map = {.argsz = sizeof(map)};
	int container = open("/dev/vfio/vfio", O_RDWR), group, device;
	char node[64];

	setlinebuf(stdout);
	extensions(container, "");
	if (argc != 4)
		return 0;
	snprintf(node, sizeof(node), "/dev/vfio/noiommu-%s", argv[2]);
	group = open(node, O_RDWR);
	if (group < 0) {
		printf("group: %s\n", strerrorname_np(errno));
		return 1;
	}
	if (ioctl(group, VFIO_GROUP_SET_CONTAINER, &container))
		perror("SET_CONTAINER");
	extensions(container, "group: ");
	printf("SET_IOMMU 1: %s\n", result(ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1_IOMMU)));
	printf("SET_IOMMU 8: %s\n", result(ioctl(container, VFIO_SET_IOMMU, VFIO_NOIOMMU_IOMMU)));
	printf("MAP: %s\n", result(ioctl(container, VFIO_IOMMU_MAP_DMA, &map)));
	device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, argv[3]);
	printf("device: %s\n", device < 0 ? strerrorname_np(errno) : "ok");
	if (device >= 0)
		try_dma(device);
	return 0;
}
