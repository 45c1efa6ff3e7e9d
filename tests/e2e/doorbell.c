/* SPDX-License-Identifier: MIT */
/*
 * An NVMe admin queue by plain stores to a mapped doorbell page: commands one
 * after the other, then with pauses in which the device goes to sleep, then
 * from a forked child. Each must be noticed.
 *
 *   doorbell GROUP BDF
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
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096, DEPTH = 16, IOVA = 0x100000 };

/* What a child and its parent go on with. */
struct queue {
	uint8_t submission[PAGE], completion[PAGE], data[PAGE];
	uint32_t tail, head, phase, id;
};

static volatile uint8_t *bar;
static struct queue *q;

static void die(const char *what)
{
	fprintf(stderr, "doorbell: %s: %s\n", what, strerror(errno));
	exit(1);
}

static volatile uint32_t *reg(uint32_t offset)
{
	return (volatile uint32_t *)(bar + offset);
}

static int64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* Identify controller; the time until its completion is there. */
static int64_t identify(void)
{
	uint32_t *command = (uint32_t *)(void *)(q->submission + (size_t)q->tail * 64);
	volatile uint32_t *done = (uint32_t *)(void *)(q->completion + (size_t)q->head * 16);
	int64_t start = now_us();

	memset(command, 0, 64);
	command[0] = 6 | ++q->id % 60000 << 16;
	command[6] = IOVA + 2 * PAGE;
	command[10] = 1;
	q->tail = (q->tail + 1) % DEPTH;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	*reg(0x1000) = q->tail;
	while ((done[3] >> 16 & 1) != q->phase) {
		if (now_us() - start > 2000000) {
			fprintf(stderr, "doorbell: command %u was not noticed\n", q->id);
			exit(1);
		}
	}
	if (done[3] >> 17) {
		fprintf(stderr, "doorbell: status %#x\n", done[3] >> 17);
		exit(1);
	}
	q->head = (q->head + 1) % DEPTH;
	if (!q->head)
		q->phase ^= 1;
	*reg(0x1004) = q->head;
	return now_us() - start;
}

static int compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static void many(const char *how, unsigned int pause_us)
{
	int64_t times[200];

	for (int i = 0; i < 200; i++) {
		if (pause_us)
			usleep(pause_us);
		times[i] = identify();
	}
	qsort(times, 200, sizeof(times[0]), compare);
	printf("%s: median %lld us, worst %lld us\n", how, (long long)times[100],
	       (long long)times[199]);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	struct vfio_region_info info = {.argsz = sizeof(info)};
	struct vfio_iommu_type1_dma_map map = {.argsz = sizeof(map), .flags = 3, .iova = IOVA};
	int container, group, device, status;
	char path[64];
	uint16_t word = 6;
	pid_t pid;

	if (argc != 3)
		return 2;
	snprintf(path, sizeof(path), "/dev/vfio/%s", argv[1]);
	container = open("/dev/vfio/vfio", O_RDWR);
	group = open(path, O_RDWR);
	if (ioctl(group, VFIO_GROUP_SET_CONTAINER, &container) ||
	    ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU))
		die("container");
	device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, argv[2]);
	q = mmap(NULL, sizeof(*q) + PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	map.vaddr = (uint64_t)q;
	map.size = 4 * PAGE;
	if (ioctl(container, VFIO_IOMMU_MAP_DMA, &map))
		die("MAP_DMA");
	info.index = VFIO_PCI_CONFIG_REGION_INDEX;
	if (ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &info) ||
	    pwrite(device, &word, 2, (off_t)info.offset + 4) != 2)
		die("config");
	info = (struct vfio_region_info){.argsz = sizeof(info)};
	if (ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &info))
		die("BAR 0");
	bar = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, device, (off_t)info.offset);
	if (bar == MAP_FAILED)
		die("mmap");

	*reg(0x14) = 0;
	while (*reg(0x1c) & 1)
		;
	q->phase = 1;
	*reg(0x24) = (DEPTH - 1) << 16 | (DEPTH - 1);
	*(volatile uint64_t *)(bar + 0x28) = IOVA;
	*(volatile uint64_t *)(bar + 0x30) = IOVA + PAGE;
	*reg(0x14) = 4 << 20 | 6 << 16 | 1;
	while (!(*reg(0x1c) & 1))
		;
	many("busy", 0);
	many("after 3 ms of rest", 3000);
	pid = fork();
	if (!pid) {
		many("forked, busy", 0);
		many("forked, after 3 ms of rest", 3000);
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid || status)
		return 1;
	many("parent again", 1000);
	return 0;
}
