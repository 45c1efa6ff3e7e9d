/* SPDX-License-Identifier: MIT */
#include "edu-client.h"

#include <fcntl.h>
#include <linux/vfio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

const char *group_path, *bdf;
int container, group, device;
uint64_t bar_offset, config_offset;
volatile uint8_t *bar;

void edu_client_init(const char *group_number, const char *address)
{
	static char path[64];

	snprintf(path, sizeof(path), "/dev/vfio/%s", group_number);
	group_path = path;
	bdf = address;
}

void open_fds(void)
{
	container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	CHECK(container >= 0);
	group = open(group_path, O_RDWR | O_CLOEXEC);
	CHECK(group >= 0);
	CHECK(ioctl(group, VFIO_GROUP_SET_CONTAINER, &container) == 0);
	CHECK(ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) == 0);
	device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, bdf);
	CHECK(device >= 0);
}

void *map_bar(void)
{
	void *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, device, (off_t)bar_offset);

	CHECK(p != MAP_FAILED);
	return p;
}

void memory_enable(bool on)
{
	uint16_t command;

	CHECK(pread(device, &command, 2, (off_t)config_offset + 4) == 2);
	command = (uint16_t)(on ? command | 6 : command & ~2);
	CHECK(pwrite(device, &command, 2, (off_t)config_offset + 4) == 2);
}

void find_regions(void)
{
	struct vfio_region_info info = {.argsz = sizeof(info)};

	CHECK(ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &info) == 0);
	bar_offset = info.offset;
	info.index = VFIO_PCI_CONFIG_REGION_INDEX;
	info.argsz = sizeof(info);
	CHECK(ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &info) == 0);
	config_offset = info.offset;
}

void open_all(void)
{
	open_fds();
	find_regions();
	memory_enable(true);
	bar = map_bar();
	CHECK(*reg(ID) == EDU_ID);
}

void close_all(void)
{
	CHECK(munmap((void *)(uintptr_t)bar, PAGE) == 0);
	CHECK(close(device) == 0 && close(group) == 0 && close(container) == 0);
}

void alive(void)
{
	uint32_t v = (uint32_t)rand();

	*reg(LIVENESS) = v;
	CHECK(*reg(LIVENESS) == ~v);
}

void edu_dma(uint32_t from, uint32_t to, uint32_t command)
{
	*reg(DMA_SRC) = from;
	*reg(DMA_DST) = to;
	*reg(DMA_COUNT) = PAGE;
	*reg(DMA_CMD) = command;
	for (int i = 0; *reg(DMA_CMD) & 1; i++) {
		CHECK(i < 5000);
		usleep(1000);
	}
}

void dma_map(uint64_t iova, void *memory, size_t len)
{
	struct vfio_iommu_type1_dma_map map = {.argsz = sizeof(map),
					       .flags = 3,
					       .iova = iova,
					       .vaddr = (uint64_t)memory,
					       .size = len};

	CHECK(ioctl(container, VFIO_IOMMU_MAP_DMA, &map) == 0);
}

uint8_t *dma_memory(uint64_t iova, size_t len)
{
	uint8_t *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED);
	dma_map(iova, p, len);
	return p;
}

void dma_unmap(uint64_t iova, size_t len)
{
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap), .iova = iova, .size = len};

	CHECK(ioctl(container, VFIO_IOMMU_UNMAP_DMA, &unmap) == 0 && unmap.size == len);
}

int child_status(pid_t pid)
{
	int status;

	CHECK(waitpid(pid, &status, 0) == pid);
	return status;
}

int edu_cases_main(int argc, char **argv, const struct edu_case *cases, size_t n_cases,
		   const char *child_arg, int (*child)(const char *fds))
{
	if (argc < 3) {
		fprintf(stderr, "usage: %s GROUP BDF [CASE]\n", argv[0]);
		return 2;
	}
	edu_client_init(argv[1], argv[2]);
	if (argc == 5 && strcmp(argv[3], child_arg) == 0)
		return child(argv[4]);
	for (size_t i = 0; i < n_cases; i++) {
		if (argc > 3 && strcmp(argv[3], cases[i].name) != 0)
			continue;
		cases[i].run();
		printf("ok %zu - %s\n", i + 1, cases[i].name);
		fflush(stdout);
	}
	return 0;
}
