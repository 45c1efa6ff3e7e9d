/* SPDX-License-Identifier: MIT */
/*
 * door-client EDU-BDF NVME-BDF: a plain VFIO program that times single calls
 * and accesses, whatever door they go through. Prints "name nanoseconds", the
 * median of many samples each; bench/door runs it behind each door in turn.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <linux/vfio.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define SAMPLES 2001
#define EDU_ID 0x00
#define EDU_IRQ_RAISE 0x60
#define EDU_IRQ_ACK 0x64
#define NVME_DOORBELL 0x1000

static double samples[SAMPLES];

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int less(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void report(const char *name, size_t n)
{
	qsort(samples, n, sizeof(samples[0]), less);
	printf("%s %.0f\n", name, samples[n / 2]);
	fflush(stdout);
}

static void die(const char *what)
{
	fprintf(stderr, "door-client: %s: %s\n", what, strerror(errno));
	exit(1);
}

struct bar {
	int device;
	uint64_t offset;
	volatile uint8_t *map; /* NULL: by pread and pwrite */
};

static uint32_t get(const struct bar *bar, uint64_t reg)
{
	uint32_t v = 0;

	if (bar->map)
		return *(const volatile uint32_t *)(bar->map + reg);
	if (pread(bar->device, &v, 4, (off_t)(bar->offset + reg)) != 4)
		die("pread");
	return v;
}

static void put(const struct bar *bar, uint64_t reg, uint32_t v)
{
	if (bar->map)
		*(volatile uint32_t *)(bar->map + reg) = v;
	else if (pwrite(bar->device, &v, 4, (off_t)(bar->offset + reg)) != 4)
		die("pwrite");
}

static int open_group(const char *bdf)
{
	char path[PATH_MAX], link[PATH_MAX];
	ssize_t n;

	(void)snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group", bdf);
	n = readlink(path, link, sizeof(link) - 1);
	if (n < 0)
		die(path);
	link[n] = '\0';
	(void)snprintf(path, sizeof(path), "/dev/vfio/%s", basename(link));
	return open(path, O_RDWR);
}

/* A group is a number, or a BDF whose group sysfs tells (a static program has no sysfs view). */
static struct bar open_bar(int *container, const char *bdf, const char *group)
{
	struct vfio_region_info info = {.argsz = sizeof(info), .index = 0};
	struct bar bar = {0};
	char path[64];
	int fd, first = *container < 0;

	if (first)
		*container = open("/dev/vfio/vfio", O_RDWR);
	(void)snprintf(path, sizeof(path), "/dev/vfio/%s", group ? group : "");
	fd = group ? open(path, O_RDWR) : open_group(bdf);
	if (*container < 0 || fd < 0 || ioctl(fd, VFIO_GROUP_SET_CONTAINER, container))
		die("container and group");
	if (first && ioctl(*container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU))
		die("SET_IOMMU");
	bar.device = ioctl(fd, VFIO_GROUP_GET_DEVICE_FD, bdf);
	if (bar.device < 0 || ioctl(bar.device, VFIO_DEVICE_GET_REGION_INFO, &info))
		die(bdf);
	bar.offset = info.offset;
	/* With a sparse list only parts could be mapped: then not at all, it is the door that is timed. */
	if ((info.flags & VFIO_REGION_INFO_FLAG_MMAP) && info.argsz <= sizeof(info)) {
		bar.map = mmap(NULL, info.size, PROT_READ | PROT_WRITE, MAP_SHARED, bar.device, (off_t)info.offset);
		if (bar.map == MAP_FAILED)
			die("mmap");
	} else if (info.flags & VFIO_REGION_INFO_FLAG_MMAP) {
		bar.map = mmap(NULL, info.size, PROT_READ | PROT_WRITE, MAP_SHARED, bar.device, (off_t)info.offset);
		if (bar.map == MAP_FAILED)
			bar.map = NULL;
	}
	return bar;
}

static void bench_ioctl(const struct bar *edu)
{
	struct vfio_device_info info = {.argsz = sizeof(info)};

	for (size_t i = 0; i < SAMPLES; i++) {
		uint64_t t = now();

		if (ioctl(edu->device, VFIO_DEVICE_GET_INFO, &info))
			die("GET_INFO");
		samples[i] = (double)(now() - t);
	}
	report("ioctl", SAMPLES);
}

static void bench_read(const struct bar *edu)
{
	for (size_t i = 0; i < SAMPLES; i++) {
		uint64_t t = now();

		if (get(edu, EDU_ID) != 0x010000ed)
			die("identification");
		samples[i] = (double)(now() - t);
	}
	report("register-read", SAMPLES);
}

static void bench_interrupt(const struct bar *edu)
{
	char raw[sizeof(struct vfio_irq_set) + sizeof(int32_t)];
	struct vfio_irq_set *set = (struct vfio_irq_set *)raw;
	int32_t event = eventfd(0, EFD_CLOEXEC);
	size_t n = SAMPLES / 4;

	*set = (struct vfio_irq_set){.argsz = sizeof(raw), .index = VFIO_PCI_MSI_IRQ_INDEX, .count = 1,
		.flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER};
	memcpy(set->data, &event, sizeof(event));
	if (ioctl(edu->device, VFIO_DEVICE_SET_IRQS, set))
		die("SET_IRQS");
	for (size_t i = 0; i < n; i++) {
		uint64_t count, t = now();

		put(edu, EDU_IRQ_RAISE, 1);
		if (read(event, &count, sizeof(count)) != sizeof(count))
			die("eventfd");
		samples[i] = (double)(now() - t);
		put(edu, EDU_IRQ_ACK, 1);
	}
	report("write-to-interrupt", n);
	close(event);
}

static void bench_doorbell(const struct bar *nvme)
{
	size_t n = 64;

	/* The controller is disabled, so the value means nothing; a store is a store. */
	for (size_t i = 0; i < SAMPLES; i++) {
		uint64_t t = now();

		put(nvme, NVME_DOORBELL, (uint32_t)i & 1);
		samples[i] = (double)(now() - t);
	}
	report("doorbell-posted", SAMPLES);
	for (size_t i = 0; i < n; i++) {
		const struct timespec idle = {.tv_nsec = 5 * 1000 * 1000};
		uint64_t t;

		(void)nanosleep(&idle, NULL); /* the device has gone to sleep */
		t = now();
		put(nvme, NVME_DOORBELL, (uint32_t)i & 1);
		samples[i] = (double)(now() - t);
	}
	report("doorbell-after-idle", n);
}

int main(int argc, char **argv)
{
	struct bar edu, nvme;
	uint16_t command;
	int container = -1;

	if (argc < 3) {
		fprintf(stderr, "usage: door-client EDU-BDF NVME-BDF|- [EDU-GROUP NVME-GROUP]\n");
		return 2;
	}
	edu = open_bar(&container, argv[1], argc > 3 ? argv[3] : NULL);
	/* Messages need Bus Master Enable. */
	if (pread(edu.device, &command, 2, (off_t)(7ull << 40) + 4) != 2)
		die("config");
	command |= 4;
	if (pwrite(edu.device, &command, 2, (off_t)(7ull << 40) + 4) != 2)
		die("config");
	bench_ioctl(&edu);
	bench_read(&edu);
	bench_interrupt(&edu);
	if (strcmp(argv[2], "-")) {
		nvme = open_bar(&container, argv[2], argc > 4 ? argv[4] : NULL);
		bench_doorbell(&nvme);
	}
	return 0;
}
