/* SPDX-License-Identifier: MIT */
/*
 * A user-space NVMe driver in plain VFIO that reads 4 KiB blocks at random,
 * beside a plain pread() loop that does the same reads of the same image.
 * Nothing here knows of Viaduct; it polls its completion queue, as SPDK does,
 * but lets others have the CPU when nothing has come for a while.
 *
 *   nvme-client --make IMAGE MIB        an image whose blocks carry their numbers
 *   nvme-client [--rounds N] [--ms N] IMAGE BDF
 *
 * Every block that is read is checked. Exit status 1 on any error.
 */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <linux/vfio.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define BLOCK 4096u
#define QUEUE 64u	    /* entries of an I/O queue */
#define MAX_DEPTH 32u
#define ADMIN_ENTRIES 16u
/* Layout of one memory: queues, then a buffer for each command in flight. */
#define AT_SQ 0u
#define AT_CQ 4096u
#define AT_ADMIN_SQ 8192u
#define AT_ADMIN_CQ 12288u
#define AT_IDENTIFY 16384u
#define AT_BUFFERS 20480u
#define MEMORY (AT_BUFFERS + MAX_DEPTH * BLOCK)

enum { REG_CC = 0x14, REG_CSTS = 0x1c, REG_AQA = 0x24, REG_ASQ = 0x28, REG_ACQ = 0x30,
       DOORBELLS = 0x1000 };

struct sqe {
	uint32_t cdw0, nsid;
	uint64_t reserved, metadata, prp1, prp2;
	uint32_t cdw10, cdw11, cdw12, cdw13, cdw14, cdw15;
};

struct cqe {
	uint32_t result, reserved;
	uint16_t sq_head, sq_id, cid, status;
};

struct queue {
	struct sqe *sq;
	volatile struct cqe *cq;
	uint32_t entries, tail, head;
	uint16_t phase;
	unsigned int id;
};

/* One way of giving the device memory. */
struct memory {
	uint8_t *base;
	uint64_t iova;
	struct queue queue;
};

static struct {
	int device;
	uint64_t bar_offset;
	volatile uint8_t *bar; /* NULL: by pread and pwrite */
	unsigned int lba_shift;
	struct queue admin;
	struct memory *admin_memory;
} nvme;

static struct {
	int fd;
	uint64_t n_blocks;
	unsigned int ms; /* of one round */
	uint64_t random;
} image;

static void die(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));
static void die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fprintf(stderr, "nvme-client: ");
	vfprintf(stderr, fmt, ap);
	fprintf(stderr, "\n");
	va_end(ap);
	exit(1);
}

static uint64_t next_block(void)
{
	image.random ^= image.random << 13;
	image.random ^= image.random >> 7;
	image.random ^= image.random << 17;
	return image.random % image.n_blocks;
}

/* Registers --------------------------------------------------------------- */

static uint32_t get(uint64_t reg)
{
	uint32_t value;

	if (nvme.bar)
		return *(volatile uint32_t *)(nvme.bar + reg);
	if (pread(nvme.device, &value, 4, (off_t)(nvme.bar_offset + reg)) != 4)
		die("register 0x%lx: %s", (unsigned long)reg, strerror(errno));
	return value;
}

static void put(uint64_t reg, uint32_t value)
{
	if (nvme.bar)
		*(volatile uint32_t *)(nvme.bar + reg) = value;
	else if (pwrite(nvme.device, &value, 4, (off_t)(nvme.bar_offset + reg)) != 4)
		die("register 0x%lx: %s", (unsigned long)reg, strerror(errno));
}

static void put64(uint64_t reg, uint64_t value)
{
	put(reg, (uint32_t)value);
	put(reg + 4, (uint32_t)(value >> 32));
}

/* Queues ------------------------------------------------------------------ */

static void push(struct queue *q, const struct sqe *sqe)
{
	q->sq[q->tail] = *sqe;
	q->tail = (q->tail + 1) % q->entries;
}

static void ring(const struct queue *q)
{
	/* The entries are visible before the doorbell. */
	__atomic_thread_fence(__ATOMIC_RELEASE);
	put(DOORBELLS + 8 * q->id, q->tail);
}

/* The next completion's command identifier, or -1. */
static int take(struct queue *q)
{
	volatile struct cqe *cqe = &q->cq[q->head];
	uint16_t status = cqe->status;
	int cid;

	if ((status & 1) != q->phase)
		return -1;
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	if (status >> 1)
		die("command failed with status 0x%x", status >> 1);
	cid = cqe->cid;
	if (++q->head == q->entries) {
		q->head = 0;
		q->phase ^= 1;
	}
	return cid;
}

static void acknowledge(const struct queue *q)
{
	put(DOORBELLS + 8 * q->id + 4, q->head);
}

static int wait_completion(struct queue *q)
{
	double begin = bench_wall_ns();
	int cid;

	for (unsigned int spins = 0; (cid = take(q)) < 0; spins++) {
		double waited = spins % 64 == 63 ? bench_wall_ns() - begin : 0;

		if (waited > 20e9)
			die("a command does not complete");
		if (waited > 10e3)
			(void)sched_yield();
		__builtin_ia32_pause();
	}
	return cid;
}

static void admin(const struct sqe *sqe)
{
	push(&nvme.admin, sqe);
	ring(&nvme.admin);
	wait_completion(&nvme.admin);
	acknowledge(&nvme.admin);
}

static struct queue make_queue(struct memory *m, unsigned int id)
{
	return (struct queue){
		.sq = (struct sqe *)(m->base + (id ? AT_SQ : AT_ADMIN_SQ)),
		.cq = (struct cqe *)(m->base + (id ? AT_CQ : AT_ADMIN_CQ)),
		.entries = id ? QUEUE : ADMIN_ENTRIES,
		.phase = 1,
		.id = id,
	};
}

static void create_io_queues(struct memory *m, unsigned int id)
{
	struct sqe sqe = {.cdw0 = 0x05, .prp1 = m->iova + AT_CQ, .cdw10 = (QUEUE - 1) << 16 | id,
			  .cdw11 = 1};

	m->queue = make_queue(m, id);
	admin(&sqe);
	sqe.cdw0 = 0x01;
	sqe.prp1 = m->iova + AT_SQ;
	sqe.cdw11 = id << 16 | 1;
	admin(&sqe);
}

static void start_controller(struct memory *m)
{
	struct sqe identify = {.cdw0 = 0x06, .nsid = 1, .prp1 = m->iova + AT_IDENTIFY};

	put(REG_CC, 0);
	while (get(REG_CSTS) & 1)
		usleep(100);
	nvme.admin = make_queue(m, 0);
	put(REG_AQA, (ADMIN_ENTRIES - 1) << 16 | (ADMIN_ENTRIES - 1));
	put64(REG_ASQ, m->iova + AT_ADMIN_SQ);
	put64(REG_ACQ, m->iova + AT_ADMIN_CQ);
	put(REG_CC, 4u << 20 | 6u << 16 | 1);
	for (int i = 0; (get(REG_CSTS) & 3) != 1; i++) {
		if (i == 50000)
			die("the controller does not get ready (CSTS 0x%x)", get(REG_CSTS));
		usleep(100);
	}
	admin(&identify);
	nvme.lba_shift = m->base[AT_IDENTIFY + 128 + 2];
	if (nvme.lba_shift < 9 || nvme.lba_shift > 12)
		die("blocks of 2^%u bytes", nvme.lba_shift);
}

/* VFIO -------------------------------------------------------------------- */

static int open_group(const char *bdf, int container)
{
	struct vfio_group_status status = {.argsz = sizeof(status)};
	char path[PATH_MAX], link[PATH_MAX];
	ssize_t n;
	int group;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group", bdf);
	n = readlink(path, link, sizeof(link) - 1);
	if (n < 0)
		die("%s: %s", path, strerror(errno));
	link[n] = '\0';
	snprintf(path, sizeof(path), "/dev/vfio/%s", basename(link));
	group = open(path, O_RDWR);
	if (group < 0)
		die("%s: %s", path, strerror(errno));
	if (ioctl(group, VFIO_GROUP_GET_STATUS, &status) ||
	    !(status.flags & VFIO_GROUP_FLAGS_VIABLE) ||
	    ioctl(group, VFIO_GROUP_SET_CONTAINER, &container) ||
	    ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU))
		die("%s cannot be used: %s", path, strerror(errno));
	return group;
}

static void open_device(const char *bdf, int group)
{
	struct vfio_region_info bar = {.argsz = sizeof(bar), .index = VFIO_PCI_BAR0_REGION_INDEX};
	struct vfio_region_info config = {.argsz = sizeof(config),
					  .index = VFIO_PCI_CONFIG_REGION_INDEX};
	uint16_t command;
	void *p;

	nvme.device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, bdf);
	if (nvme.device < 0)
		die("device %s: %s", bdf, strerror(errno));
	if (ioctl(nvme.device, VFIO_DEVICE_GET_REGION_INFO, &bar) ||
	    ioctl(nvme.device, VFIO_DEVICE_GET_REGION_INFO, &config) ||
	    pread(nvme.device, &command, 2, (off_t)config.offset + 4) != 2)
		die("device information: %s", strerror(errno));
	command |= 6;
	if (pwrite(nvme.device, &command, 2, (off_t)config.offset + 4) != 2)
		die("the command register: %s", strerror(errno));
	nvme.bar_offset = bar.offset;
	if (bar.flags & VFIO_REGION_INFO_FLAG_MMAP) {
		/* Registers and doorbells; the MSI-X table behind them is not needed. */
		p = mmap(NULL, 2 * DOORBELLS, PROT_READ | PROT_WRITE, MAP_SHARED, nvme.device,
			 (off_t)bar.offset);
		if (p == MAP_FAILED)
			die("mapping BAR 0: %s", strerror(errno));
		nvme.bar = p;
	}
}

static void map_memory(struct memory *m, int container, uint64_t iova, int fd)
{
	struct vfio_iommu_type1_dma_map map = {.argsz = sizeof(map), .iova = iova, .size = MEMORY};
	void *p;

	map.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;
	p = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE,
		 fd >= 0 ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS, fd, 0);
	if (p == MAP_FAILED)
		die("memory: %s", strerror(errno));
	memset(p, 0, MEMORY);
	map.vaddr = (uintptr_t)p;
	if (ioctl(container, VFIO_IOMMU_MAP_DMA, &map))
		die("VFIO_IOMMU_MAP_DMA: %s", strerror(errno));
	m->base = p;
	m->iova = iova;
}

/* What is measured ---------------------------------------------------------- */

static void check_block(const void *data, uint64_t number)
{
	uint64_t there;

	memcpy(&there, data, sizeof(there));
	if (there != number)
		die("block %llu holds %llu", (unsigned long long)number, (unsigned long long)there);
}

static void queue_read(struct memory *m, uint16_t cid, uint64_t *numbers)
{
	unsigned int shift = 12 - nvme.lba_shift;
	uint64_t number = next_block();
	struct sqe sqe = {
		.cdw0 = 0x02 | (uint32_t)cid << 16,
		.nsid = 1,
		.prp1 = m->iova + AT_BUFFERS + cid * BLOCK,
		.cdw10 = (uint32_t)(number << shift),
		.cdw11 = (uint32_t)(number << shift >> 32),
		.cdw12 = (1u << shift) - 1,
	};

	numbers[cid] = number;
	push(&m->queue, &sqe);
}

struct reads {
	struct memory *memory; /* NULL: pread */
	unsigned int depth;
};

/* Nanoseconds per read: keep @depth commands in flight for a round. */
static double run_nvme(void *arg)
{
	const struct reads *r = arg;
	struct memory *m = r->memory;
	uint64_t numbers[MAX_DEPTH], n = 0;
	unsigned int in_flight = r->depth;
	double begin = bench_wall_ns(), end = begin + image.ms * 1e6, now;

	for (uint16_t cid = 0; cid < r->depth; cid++)
		queue_read(m, cid, numbers);
	ring(&m->queue);
	do {
		int cid = wait_completion(&m->queue);
		bool more;

		now = bench_wall_ns();
		more = now < end;
		/* All that has come, with one doorbell each way. */
		do {
			check_block(m->base + AT_BUFFERS + (unsigned int)cid * BLOCK, numbers[cid]);
			n++;
			if (more)
				queue_read(m, (uint16_t)cid, numbers);
			else
				in_flight--;
		} while ((cid = take(&m->queue)) >= 0);
		acknowledge(&m->queue);
		if (more)
			ring(&m->queue);
	} while (in_flight);
	return (now - begin) / (double)n;
}

static double run_pread(void *arg)
{
	static uint8_t buffer[BLOCK] __attribute__((aligned(4096)));
	double begin = bench_wall_ns(), end = begin + image.ms * 1e6, now;
	uint64_t n = 0;

	(void)arg;
	do {
		uint64_t number = next_block();

		if (pread(image.fd, buffer, BLOCK, (off_t)(number * BLOCK)) != BLOCK)
			die("pread: %s", strerror(errno));
		check_block(buffer, number);
		n++;
		now = bench_wall_ns();
	} while (now < end);
	return (now - begin) / (double)n;
}

static void report(const struct bench_case *c, const struct bench_case *peer, unsigned int rounds)
{
	double cost[BENCH_ROUNDS_MAX], ratio[BENCH_ROUNDS_MAX], median;

	for (unsigned int i = 0; i < rounds; i++) {
		cost[i] = c->sample[i];
		ratio[i] = peer->sample[i] / c->sample[i];
	}
	median = bench_median(cost, rounds);
	printf("  %-32s %10.0f IOPS %8.2f us/read %6.2f of pread\n", c->name, 1e9 / median,
	       median / 1e3, bench_median(ratio, rounds));
}

static void make_image(const char *path, unsigned long mib)
{
	static uint64_t block[BLOCK / 8];
	FILE *f = fopen(path, "w");

	if (!f)
		die("%s: %s", path, strerror(errno));
	for (uint64_t i = 0; i < mib * 256; i++) {
		block[0] = i;
		block[BLOCK / 8 - 1] = ~i;
		if (fwrite(block, BLOCK, 1, f) != 1)
			die("%s: %s", path, strerror(errno));
	}
	if (fclose(f))
		die("%s: %s", path, strerror(errno));
}

static void set_up(const char *bdf, struct memory *shared, struct memory *private)
{
	int container = open("/dev/vfio/vfio", O_RDWR);
	int fd = memfd_create("nvme-client", MFD_CLOEXEC);

	if (container < 0)
		die("/dev/vfio/vfio: %s", strerror(errno));
	if (fd < 0 || ftruncate(fd, MEMORY))
		die("memfd: %s", strerror(errno));
	open_device(bdf, open_group(bdf, container));
	map_memory(shared, container, 0x100000, fd);
	map_memory(private, container, 0x10000000, -1);
	start_controller(shared);
	create_io_queues(shared, 1);
	create_io_queues(private, 2);
}

int main(int argc, char **argv)
{
	struct memory shared, private;
	struct reads reads[] = {{NULL, 1}, {&shared, 1}, {&shared, 32}, {&private, 1},
				{&private, 32}};
	struct bench_case cases[] = {
		{"pread of the image", run_pread, &reads[0], {0}},
		{"memfd, queue depth 1", run_nvme, &reads[1], {0}},
		{"memfd, queue depth 32", run_nvme, &reads[2], {0}},
		{"private memory, queue depth 1", run_nvme, &reads[3], {0}},
		{"private memory, queue depth 32", run_nvme, &reads[4], {0}},
	};
	unsigned int n = sizeof(cases) / sizeof(*cases), rounds = 7, at = 1;

	image.ms = 200;
	image.random = 88172645463325252ull;
	if (argc == 4 && !strcmp(argv[1], "--make")) {
		make_image(argv[2], strtoul(argv[3], NULL, 0));
		return 0;
	}
	for (; argc - at >= 2 && argv[at][0] == '-'; at += 2) {
		if (!strcmp(argv[at], "--rounds"))
			rounds = (unsigned int)strtoul(argv[at + 1], NULL, 0);
		else if (!strcmp(argv[at], "--ms"))
			image.ms = (unsigned int)strtoul(argv[at + 1], NULL, 0);
		else
			die("unknown option %s", argv[at]);
	}
	if (argc - at != 2 || !rounds || rounds > BENCH_ROUNDS_MAX)
		die("usage: nvme-client [--rounds N] [--ms N] IMAGE BDF, or --make IMAGE MIB");
	image.fd = open(argv[at], O_RDONLY | O_CLOEXEC);
	if (image.fd < 0)
		die("%s: %s", argv[at], strerror(errno));
	image.n_blocks = (uint64_t)lseek(image.fd, 0, SEEK_END) / BLOCK;
	set_up(argv[at + 1], &shared, &private);
	bench_run(cases, n, rounds);
	for (unsigned int i = 0; i < n; i++)
		report(&cases[i], &cases[0], rounds);
	return 0;
}
