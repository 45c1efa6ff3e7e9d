/* SPDX-License-Identifier: MIT */
/*
 * A user-space driver for the edu device, in plain VFIO: nothing here knows of
 * Viaduct. It prints the same on a kernel with the real device.
 *
 *   edu-driver [--fork|--exec|--scm] [--loop N] BDF [GROUP]
 *
 * --fork, --exec and --scm use a container descriptor that was inherited by a
 * child, kept over exec, or received over a socket.
 */
#include <err.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <linux/vfio.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ID = 0x00, LIVENESS = 0x04, FACTORIAL = 0x08, STATUS = 0x20, IRQ_STATUS = 0x24,
       IRQ_RAISE = 0x60, IRQ_ACK = 0x64, DMA_SRC = 0x80, DMA_DST = 0x88, DMA_COUNT = 0x90,
       DMA_CMD = 0x98 };

#define CARD_BUFFER 0x40000u
#define DMA_LEN 2048u /* QEMU 7.2 refuses a transfer of the whole buffer */
#define IOVA 0x100000u /* the card drives 28 address bits */

struct edu {
	int device;
	uint64_t bar_offset;
	size_t bar_size;
	volatile uint8_t *bar; /* NULL: by pread and pwrite */
};

static uint32_t get(const struct edu *edu, uint64_t reg)
{
	uint32_t value;

	if (edu->bar)
		return *(const volatile uint32_t *)(edu->bar + reg);
	if (pread(edu->device, &value, 4, (off_t)(edu->bar_offset + reg)) != 4)
		err(1, "reading register 0x%lx", (unsigned long)reg);
	return value;
}

static void put(const struct edu *edu, uint64_t reg, uint32_t value)
{
	if (edu->bar)
		*(volatile uint32_t *)(edu->bar + reg) = value;
	else if (pwrite(edu->device, &value, 4, (off_t)(edu->bar_offset + reg)) != 4)
		err(1, "writing register 0x%lx", (unsigned long)reg);
}

static void wait_clear(const struct edu *edu, uint64_t reg, uint32_t bit)
{
	for (int i = 0; get(edu, reg) & bit; i++) {
		if (i == 5000)
			errx(1, "register 0x%lx stays busy", (unsigned long)reg);
		usleep(1000);
	}
}

static void dma(const struct edu *edu, uint64_t src, uint64_t dst, uint32_t len, uint32_t cmd)
{
	put(edu, DMA_SRC, (uint32_t)src);
	put(edu, DMA_DST, (uint32_t)dst);
	put(edu, DMA_COUNT, len);
	put(edu, DMA_CMD, 1 | cmd);
	wait_clear(edu, DMA_CMD, 1);
}

/* fd >= 0: signal it; -1 with count 0: off. */
static void set_irq(const struct edu *edu, uint32_t index, uint32_t flags, uint32_t count, int fd)
{
	union {
		struct vfio_irq_set set;
		uint8_t room[sizeof(struct vfio_irq_set) + sizeof(int32_t)];
	} u = {.set = {.argsz = sizeof(struct vfio_irq_set), .flags = flags, .index = index,
		       .count = count}};

	if (flags & VFIO_IRQ_SET_DATA_EVENTFD) {
		u.set.argsz += (uint32_t)sizeof(int32_t);
		memcpy(u.set.data, &fd, sizeof(int32_t));
	}
	if (ioctl(edu->device, VFIO_DEVICE_SET_IRQS, &u.set))
		err(1, "VFIO_DEVICE_SET_IRQS index %u", index);
}

/* How often an interrupt came. */
static void report(const char *what, int fd, int timeout_ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	uint64_t n = 0;

	if (poll(&p, 1, timeout_ms) == 1 && read(fd, &n, sizeof(n)) != sizeof(n))
		err(1, "reading an eventfd");
	printf("%s: %llu\n", what, (unsigned long long)n);
}

static void find_group(const char *bdf, char *group, size_t len)
{
	char path[PATH_MAX], link[PATH_MAX];
	ssize_t n;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group", bdf);
	n = readlink(path, link, sizeof(link) - 1);
	if (n < 0)
		err(1, "%s", path);
	link[n] = '\0';
	snprintf(group, len, "%s", basename(link));
}

static int open_container(void)
{
	int container = open("/dev/vfio/vfio", O_RDWR);

	if (container < 0)
		err(1, "/dev/vfio/vfio");
	return container;
}

static int open_group(int container, const char *number)
{
	struct vfio_group_status status = {.argsz = sizeof(status)};
	char path[64];
	int group;

	if (ioctl(container, VFIO_GET_API_VERSION) != VFIO_API_VERSION ||
	    ioctl(container, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU) != 1)
		errx(1, "the container has no type1 version 2 IOMMU");
	snprintf(path, sizeof(path), "/dev/vfio/%s", number);
	group = open(path, O_RDWR);
	if (group < 0)
		err(1, "%s", path);
	if (ioctl(group, VFIO_GROUP_GET_STATUS, &status) || !(status.flags & VFIO_GROUP_FLAGS_VIABLE))
		errx(1, "group %s is not viable", number);
	if (ioctl(group, VFIO_GROUP_SET_CONTAINER, &container))
		err(1, "VFIO_GROUP_SET_CONTAINER");
	if (ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU))
		err(1, "VFIO_SET_IOMMU");
	return group;
}

static void open_device(struct edu *edu, int group, const char *bdf)
{
	struct vfio_device_info info = {.argsz = sizeof(info)};
	struct vfio_region_info bar = {.argsz = sizeof(bar), .index = VFIO_PCI_BAR0_REGION_INDEX};
	struct vfio_region_info config = {.argsz = sizeof(config),
					  .index = VFIO_PCI_CONFIG_REGION_INDEX};
	uint16_t ids[2], command;
	void *p;

	edu->device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, bdf);
	if (edu->device < 0)
		err(1, "device %s", bdf);
	if (ioctl(edu->device, VFIO_DEVICE_GET_INFO, &info) ||
	    ioctl(edu->device, VFIO_DEVICE_GET_REGION_INFO, &bar) ||
	    ioctl(edu->device, VFIO_DEVICE_GET_REGION_INFO, &config))
		err(1, "device information");
	if (pread(edu->device, ids, 4, (off_t)config.offset) != 4 || ids[0] != 0x1234 ||
	    ids[1] != 0x11e8)
		errx(1, "%s is not an edu device", bdf);
	/* Memory decoding, and bus mastering for DMA and MSI. */
	if (pread(edu->device, &command, 2, (off_t)config.offset + 4) != 2)
		err(1, "reading the command register");
	command |= 6;
	if (pwrite(edu->device, &command, 2, (off_t)config.offset + 4) != 2)
		err(1, "writing the command register");
	edu->bar_offset = bar.offset;
	edu->bar_size = bar.size;
	edu->bar = NULL;
	if (bar.flags & VFIO_REGION_INFO_FLAG_MMAP) {
		p = mmap(NULL, bar.size, PROT_READ | PROT_WRITE, MAP_SHARED, edu->device,
			 (off_t)bar.offset);
		if (p == MAP_FAILED)
			err(1, "mapping BAR 0");
		edu->bar = p;
	}
	printf("device %04x:%04x: %u regions, %u interrupts, BAR 0 of %llu bytes\n", ids[0], ids[1],
	       info.num_regions, info.num_irqs, (unsigned long long)bar.size);
}

static void test_registers(const struct edu *edu)
{
	static const uint32_t numbers[] = {0, 1, 5, 10, 12};

	put(edu, STATUS, 0);
	put(edu, IRQ_ACK, UINT32_MAX);
	put(edu, LIVENESS, 0x12345678);
	printf("identification 0x%08x\n", get(edu, ID));
	printf("liveness 0x12345678 -> 0x%08x\n", get(edu, LIVENESS));
	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
		put(edu, FACTORIAL, numbers[i]);
		wait_clear(edu, STATUS, 1);
		printf("factorial %u! = %u\n", numbers[i], get(edu, FACTORIAL));
	}
}

static void test_dma(const struct edu *edu, uint8_t *memory)
{
	for (unsigned int i = 0; i < DMA_LEN; i++)
		memory[i] = (uint8_t)(i * 7 + i / 256);
	memset(memory + DMA_LEN, 0, DMA_LEN);
	dma(edu, IOVA, CARD_BUFFER, DMA_LEN, 0);
	dma(edu, CARD_BUFFER, IOVA + DMA_LEN, DMA_LEN, 2);
	printf("dma of %u bytes to the card and back: %s\n", DMA_LEN,
	       memcmp(memory, memory + DMA_LEN, DMA_LEN) == 0 ? "equal" : "DIFFERENT");
	memset(memory + DMA_LEN, 0, DMA_LEN);
	dma(edu, CARD_BUFFER + 100, IOVA + DMA_LEN + 33, 1000, 2);
	printf("dma of 1000 bytes at odd addresses: %s\n",
	       memcmp(memory + 100, memory + DMA_LEN + 33, 1000) == 0 &&
			       !memory[DMA_LEN + 32] && !memory[DMA_LEN + 1033]
		       ? "equal"
		       : "DIFFERENT");
}

static void test_interrupts(const struct edu *edu)
{
	int fd = eventfd(0, EFD_CLOEXEC);

	for (uint32_t i = 0; i <= VFIO_PCI_MSIX_IRQ_INDEX; i++) {
		struct vfio_irq_info info = {.argsz = sizeof(info), .index = i};

		if (ioctl(edu->device, VFIO_DEVICE_GET_IRQ_INFO, &info))
			err(1, "VFIO_DEVICE_GET_IRQ_INFO");
		printf("interrupt index %u: %u, flags 0x%x\n", i, info.count, info.flags);
	}

	set_irq(edu, VFIO_PCI_MSI_IRQ_INDEX,
		VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER, 1, fd);
	put(edu, STATUS, 0x80);
	put(edu, FACTORIAL, 6);
	report("msi after 6!", fd, 5000);
	printf("interrupt status 0x%x", get(edu, IRQ_STATUS));
	put(edu, IRQ_ACK, UINT32_MAX);
	printf(", acknowledged 0x%x", get(edu, IRQ_STATUS));
	printf(", 6! = %u\n", get(edu, FACTORIAL));
	put(edu, STATUS, 0);
	dma(edu, CARD_BUFFER, IOVA, DMA_LEN, 2 | 4);
	report("msi after dma", fd, 5000);
	printf("interrupt status 0x%x\n", get(edu, IRQ_STATUS));
	put(edu, IRQ_ACK, UINT32_MAX);
	set_irq(edu, VFIO_PCI_MSI_IRQ_INDEX,
		VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER, 0, -1);

	set_irq(edu, VFIO_PCI_INTX_IRQ_INDEX,
		VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER, 1, fd);
	put(edu, IRQ_RAISE, 0x10);
	report("intx after raise", fd, 5000);
	report("intx while masked", fd, 100);
	put(edu, IRQ_ACK, 0x10);
	set_irq(edu, VFIO_PCI_INTX_IRQ_INDEX,
		VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_UNMASK, 1, -1);
	put(edu, IRQ_RAISE, 0x20);
	report("intx after unmask and raise", fd, 5000);
	put(edu, IRQ_ACK, UINT32_MAX);
	set_irq(edu, VFIO_PCI_INTX_IRQ_INDEX,
		VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER, 0, -1);
	close(fd);
}

static void run(int container, const char *number, const char *bdf)
{
	int group = open_group(container, number);
	uint8_t *memory = mmap(NULL, 2 * DMA_LEN, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.vaddr = (uintptr_t)memory,
		.iova = IOVA,
		.size = 2 * DMA_LEN,
	};
	struct vfio_iommu_type1_dma_unmap unmap = {.argsz = sizeof(unmap), .iova = IOVA,
						   .size = 2 * DMA_LEN};
	struct edu edu;

	if (memory == MAP_FAILED)
		err(1, "memory");
	open_device(&edu, group, bdf);
	if (ioctl(container, VFIO_IOMMU_MAP_DMA, &map))
		err(1, "VFIO_IOMMU_MAP_DMA");
	test_registers(&edu);
	test_dma(&edu, memory);
	test_interrupts(&edu);
	if (ioctl(container, VFIO_IOMMU_UNMAP_DMA, &unmap))
		err(1, "VFIO_IOMMU_UNMAP_DMA");
	printf("unmapped %llu bytes\n", (unsigned long long)unmap.size);
	munmap(memory, 2 * DMA_LEN);
	if (edu.bar)
		munmap((void *)edu.bar, edu.bar_size);
	close(edu.device);
	close(group);
	close(container);
	fflush(stdout);
}

/* Send, or with fd -1 receive, one descriptor. */
static int pass_fd(int sock, int fd)
{
	_Alignas(struct cmsghdr) char room[CMSG_SPACE(sizeof(int))] = {0};
	char byte = 0;
	struct iovec iov = {&byte, 1};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = room,
			     .msg_controllen = sizeof(room)};
	struct cmsghdr *head = (struct cmsghdr *)(void *)room;

	if (fd < 0) {
		if (recvmsg(sock, &msg, 0) != 1 || !msg.msg_controllen)
			errx(1, "no descriptor received");
		memcpy(&fd, CMSG_DATA(head), sizeof(fd));
		return fd;
	}
	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(head), &fd, sizeof(fd));
	if (sendmsg(sock, &msg, 0) != 1)
		err(1, "sending a descriptor");
	return fd;
}

/* The driver runs in a child, with a container that the parent opened. */
static void run_in_child(const char *mode, const char *number, const char *bdf)
{
	bool scm = !strcmp(mode, "--scm");
	int sock[2], container = scm ? -1 : open_container(), status;
	char text[16];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock))
		err(1, "socketpair");
	pid = fork();
	if (pid < 0)
		err(1, "fork");
	if (!pid) {
		if (!strcmp(mode, "--exec")) {
			snprintf(text, sizeof(text), "%d", container);
			execl("/proc/self/exe", "edu-driver", "--container", text, bdf, number,
			      (char *)NULL);
			err(1, "exec");
		}
		run(scm ? pass_fd(sock[1], -1) : container, number, bdf);
		_exit(0);
	}
	if (scm) {
		container = open_container();
		pass_fd(sock[0], container);
	}
	close(container);
	close(sock[0]);
	close(sock[1]);
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status))
		errx(1, "the child failed");
}

int main(int argc, char **argv)
{
	const char *mode = NULL;
	char number[PATH_MAX];
	int container = -1, loops = 1, i = 1;

	for (; i < argc && !strncmp(argv[i], "--", 2); i++) {
		if (!strcmp(argv[i], "--loop") && i + 1 < argc)
			loops = atoi(argv[++i]);
		else if (!strcmp(argv[i], "--container") && i + 1 < argc)
			container = atoi(argv[++i]);
		else if (!strcmp(argv[i], "--fork") || !strcmp(argv[i], "--exec") ||
			 !strcmp(argv[i], "--scm"))
			mode = argv[i];
		else
			break;
	}
	if (argc - i < 1 || argc - i > 2 || argv[i][0] == '-')
		errx(1, "usage: edu-driver [--fork|--exec|--scm] [--loop N] BDF [GROUP]");
	if (argc - i == 2)
		snprintf(number, sizeof(number), "%s", argv[i + 1]);
	else
		find_group(argv[i], number, sizeof(number));
	for (int n = 0; n < loops; n++) {
		if (mode)
			run_in_child(mode, number, argv[i]);
		else
			run(container < 0 ? open_container() : container, number, argv[i]);
	}
	return 0;
}
