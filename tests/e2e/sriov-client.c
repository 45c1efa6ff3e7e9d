/* SPDX-License-Identifier: MIT */
/*
 * Programs around the card of `--device sriov`, by plain VFIO:
 *
 *	hold PF TOKEN...	open the physical function; for each line of input
 *				set the next token, say so, and wait for more
 *	work TOKEN KEY ROUNDS VF...	in one container: each function copies ROUNDS
 *				times a pattern of its own, combined with a key of its
 *				own, all of them at once; data and interrupts must be right
 *	try FUNCTION [TOKEN]	what GET_DEVICE_FD says
 *	lend VF TOKEN		open it and give it back when asked for
 */
#include <errno.h>
#include <fcntl.h>
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
#include <unistd.h>

#define CHECK(what)                                                                            \
	do {                                                                                   \
		if (!(what)) {                                                                 \
			fprintf(stderr, "%s:%d: not so: %s (%s)\n", __FILE__, __LINE__, #what, \
				strerror(errno));                                              \
			exit(1);                                                               \
		}                                                                              \
	} while (0)

enum { ID = 0x00, STATUS = 0x04, SRC = 0x08, DST = 0x10, LENGTH = 0x18, KEY = 0x1c };
enum { COMMAND = 0x20, SEND = 0x28 };
enum { DONE = 2, SIZE = 1 << 20, BAR_SIZE = 0x4000, MAX_VFS = 8, VECTORS = 2 };

struct function {
	const char *name;
	int group, device, irq[VECTORS];
	volatile uint32_t *bar; /* NULL: registers are not to be mapped */
	off_t bar_offset;
	uint32_t key;
	uint64_t iova;
	uint8_t *memory;
	unsigned int interrupts;
};

/* A line of input has come. */
static bool told(void)
{
	char line[16];

	return fgets(line, sizeof(line), stdin);
}

static int group_of(const char *name)
{
	char path[128], link[256];
	ssize_t n;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group", name);
	n = readlink(path, link, sizeof(link) - 1);
	CHECK(n > 0);
	link[n] = '\0';
	snprintf(path, sizeof(path), "/dev/vfio%s", strrchr(link, '/'));
	return open(path, O_RDWR | O_CLOEXEC);
}

/* A descriptor or -1, with errno. */
static int get_device(int group, const char *name, const char *token)
{
	char text[128];

	snprintf(text, sizeof(text), "%s%s%s", name, token ? " vf_token=" : "", token ? token : "");
	return ioctl(group, VFIO_GROUP_GET_DEVICE_FD, text);
}

static void enable(struct function *f)
{
	struct vfio_region_info info = {.argsz = sizeof(info),
					.index = VFIO_PCI_CONFIG_REGION_INDEX};
	uint16_t command = 6;

	CHECK(ioctl(f->device, VFIO_DEVICE_GET_REGION_INFO, &info) == 0);
	CHECK(pwrite(f->device, &command, 2, (off_t)info.offset + 4) == 2);
	info.index = 0;
	info.argsz = sizeof(info);
	CHECK(ioctl(f->device, VFIO_DEVICE_GET_REGION_INFO, &info) == 0);
	CHECK(info.size == BAR_SIZE);
	f->bar_offset = (off_t)info.offset;
	if (!(info.flags & VFIO_REGION_INFO_FLAG_MMAP))
		return;
	f->bar = mmap(NULL, BAR_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, f->device,
		      f->bar_offset);
	CHECK(f->bar != MAP_FAILED);
}

static void arm(int device, uint32_t index, const int *fds, uint32_t n)
{
	struct vfio_irq_set *set = calloc(1, sizeof(*set) + n * sizeof(fds[0]));

	CHECK(set);
	set->argsz = (uint32_t)(sizeof(*set) + n * sizeof(fds[0]));
	set->flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
	set->index = index;
	set->count = n;
	memcpy(set->data, fds, n * sizeof(fds[0]));
	CHECK(ioctl(device, VFIO_DEVICE_SET_IRQS, set) == 0);
	free(set);
}

static void open_function(struct function *f, int container, const char *name, const char *token)
{
	static unsigned int n;

	f->name = name;
	f->group = group_of(name);
	CHECK(f->group >= 0);
	CHECK(ioctl(f->group, VFIO_GROUP_SET_CONTAINER, &container) == 0);
	if (!n++)
		CHECK(ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) == 0);
	f->device = get_device(f->group, name, token);
	CHECK(f->device >= 0);
	enable(f);
}

static uint32_t reg(const struct function *f, unsigned int offset)
{
	uint32_t value;

	if (f->bar)
		return f->bar[offset / 4];
	CHECK(pread(f->device, &value, 4, f->bar_offset + (off_t)offset) == 4);
	return value;
}

static void set(struct function *f, unsigned int offset, uint32_t value)
{
	if (f->bar)
		f->bar[offset / 4] = value;
	else
		CHECK(pwrite(f->device, &value, 4, f->bar_offset + (off_t)offset) == 4);
}

/* Each function has two buffers; the second is where it copies to. */
static void give_memory(struct function *f, int container, unsigned int i)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.size = 2 * SIZE,
	};

	f->memory = mmap(NULL, 2 * SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			 0);
	CHECK(f->memory != MAP_FAILED);
	f->iova = 0x10000000ull * (i + 1);
	map.vaddr = (uint64_t)(uintptr_t)f->memory;
	map.iova = f->iova;
	CHECK(ioctl(container, VFIO_IOMMU_MAP_DMA, &map) == 0);
}

static uint8_t pattern(const struct function *f, unsigned int round, unsigned int at)
{
	return (uint8_t)(at * 31 + round * 7 + f->key);
}

static void start(struct function *f, unsigned int round)
{
	uint64_t dst = f->iova + SIZE;

	for (unsigned int i = 0; i < SIZE; i++)
		f->memory[i] = pattern(f, round, i);
	set(f, SRC, (uint32_t)f->iova);
	set(f, SRC + 4, (uint32_t)(f->iova >> 32));
	set(f, DST, (uint32_t)dst);
	set(f, DST + 4, (uint32_t)(dst >> 32));
	set(f, LENGTH, SIZE);
	set(f, KEY, f->key);
	set(f, COMMAND, 1);
}

static void finish(struct function *f, unsigned int round)
{
	struct pollfd p = {.fd = f->irq[0], .events = POLLIN};
	eventfd_t n;

	CHECK(poll(&p, 1, 10000) == 1 && eventfd_read(f->irq[0], &n) == 0 && n == 1);
	f->interrupts++;
	CHECK(reg(f, STATUS) == DONE);
	set(f, STATUS, DONE);
	for (unsigned int i = 0; i < SIZE; i++)
		CHECK(f->memory[SIZE + i] ==
		      (uint8_t)(pattern(f, round, i) ^ f->key >> 8 * (i % 4)));
}

static int work(int argc, char **argv)
{
	struct function f[MAX_VFS];
	uint32_t key = (uint32_t)strtoul(argv[1], NULL, 0);
	unsigned int rounds = (unsigned int)strtoul(argv[2], NULL, 0), n = (unsigned int)argc - 3;
	int container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);

	CHECK(container >= 0 && n <= MAX_VFS);
	for (unsigned int i = 0; i < n; i++) {
		f[i] = (struct function){.key = key + i};
		open_function(&f[i], container, argv[3 + i], argv[0]);
		give_memory(&f[i], container, i);
		for (unsigned int v = 0; v < VECTORS; v++)
			f[i].irq[v] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		arm(f[i].device, VFIO_PCI_MSIX_IRQ_INDEX, f[i].irq, VECTORS);
	}
	/* All have opened what they will: now the others may go on, and all begin together. */
	printf("open\n");
	fflush(stdout);
	CHECK(told());
	for (unsigned int round = 0; round < rounds; round++) {
		for (unsigned int i = 0; i < n; i++)
			start(&f[i], round);
		for (unsigned int i = 0; i < n; i++)
			finish(&f[i], round);
	}
	for (unsigned int i = 0; i < n; i++)
		printf("%s: function %u, %u copies, %u interrupts\n", f[i].name,
		       reg(&f[i], ID) & 0xffff, rounds, f[i].interrupts);
	return 0;
}

static void parse_token(const char *text, uint8_t *token)
{
	for (unsigned int n = 0; n < 16; text += 2) {
		if (*text == '-')
			text++;
		CHECK(sscanf(text, "%2hhx", &token[n++]) == 1);
	}
}

static int hold(int argc, char **argv)
{
	struct function f = {0};
	int container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	struct vfio_device_feature *feature = calloc(1, sizeof(*feature) + 16);

	CHECK(feature);
	feature->argsz = sizeof(*feature) + 16;
	feature->flags = VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_PCI_VF_TOKEN;
	open_function(&f, container, argv[0], NULL);
	for (int i = 1; i < argc; i++) {
		parse_token(argv[i], feature->data);
		CHECK(ioctl(f.device, VFIO_DEVICE_FEATURE, feature) == 0);
		printf("token %d\n", i);
		fflush(stdout);
		if (!told())
			break;
	}
	free(feature);
	return 0;
}

static int try(int argc, char **argv)
{
	int container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC), group = group_of(argv[0]), fd;

	CHECK(container >= 0 && group >= 0);
	CHECK(ioctl(group, VFIO_GROUP_SET_CONTAINER, &container) == 0);
	CHECK(ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) == 0);
	fd = get_device(group, argv[0], argc > 1 ? argv[1] : NULL);
	printf("%s\n", fd < 0 ? strerrorname_np(errno) : "open");
	return 0;
}

static int lend(int argc, char **argv)
{
	struct function f = {0};
	int container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	int request = eventfd(0, EFD_CLOEXEC);
	eventfd_t n;

	open_function(&f, container, argv[0], argv[1]);
	arm(f.device, VFIO_PCI_REQ_IRQ_INDEX, &request, 1);
	printf("open\n");
	fflush(stdout);
	CHECK(eventfd_read(request, &n) == 0);
	/* Not at once: whoever wants it back has to wait. */
	usleep(300000);
	CHECK(get_device(f.group, argv[0], argv[1]) < 0 && errno == ENODEV);
	printf("given back\n");
	fflush(stdout);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(int argc, char **argv);
		int least;
	} commands[] = {{"hold", hold, 2}, {"work", work, 4}, {"try", try, 1}, {"lend", lend, 2}};

	for (size_t i = 0; argc > 1 && i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(argv[1], commands[i].name) == 0 && argc - 2 >= commands[i].least)
			return commands[i].run(argc - 2, argv + 2);
	fprintf(stderr, "usage: see the top of sriov-client.c\n");
	return 2;
}
