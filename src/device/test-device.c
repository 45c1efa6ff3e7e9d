/* SPDX-License-Identifier: MIT */
/* Regions, mappings, doorbells, interrupts and resets of a small function with a bit of everything. */
#include "device/device.h"
#include "memory/guard.h"

#include <viaduct/abi/vfio.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <setjmp.h>
#include <cmocka.h>

#define BELL 0x1000u
#define MEMORY 0x2000u
#define TABLE 0x3000u
#define PBA 0x3800u
#define N_VECTORS 4u

struct model {
	struct via_device *dev;
	uint64_t last_offset, last_value; /* of a register write */
	unsigned int last_size;
	uint64_t sizes;		  /* or-ed sizes of register reads */
	uint64_t work;		  /* atomic; or-ed events */
	unsigned int work_calls;  /* atomic */
	uint32_t bell;		  /* atomic; last doorbell value seen */
	unsigned int kinds;	  /* bits 1 << enum via_reset */
	int watched;
	bool *freed;
};

static uint64_t model_read(struct via_device *dev, void *opaque, unsigned int bar, uint64_t offset,
			   unsigned int size)
{
	struct model *m = opaque;

	m->sizes |= size;
	return 0x1122334455667700 + offset;
}

static void model_write(struct via_device *dev, void *opaque, unsigned int bar, uint64_t offset,
			unsigned int size, uint64_t value)
{
	struct model *m = opaque;

	m->last_offset = offset;
	m->last_value = value;
	m->last_size = size;
}

static bool model_doorbell(struct via_device *dev, void *opaque, unsigned int bar)
{
	struct model *m = opaque;
	uint32_t *bell = via_device_region_memory(dev, 0, BELL);
	uint32_t value = __atomic_load_n(bell, __ATOMIC_ACQUIRE);

	if (value == m->bell)
		return false;
	__atomic_store_n(&m->bell, value, __ATOMIC_RELEASE);
	return true;
}

static void model_work(struct via_device *dev, void *opaque, uint64_t events)
{
	struct model *m = opaque;
	uint64_t count;

	if (events & 0x100)
		assert_int_equal(read(m->watched, &count, sizeof(count)), sizeof(count));
	__atomic_fetch_or(&m->work, events, __ATOMIC_SEQ_CST);
	__atomic_fetch_add(&m->work_calls, 1, __ATOMIC_SEQ_CST);
}

static void model_reset(struct via_device *dev, void *opaque, enum via_reset kind)
{
	struct model *m = opaque;

	m->kinds |= 1u << kind;
}

static void model_free(void *opaque)
{
	struct model *m = opaque;

	if (m->freed)
		*m->freed = true;
	free(m);
}

static const struct via_area areas[] = {
	/* Deliberately not in order. */
	{MEMORY, 0x1000, VIA_AREA_MEMORY},
	{BELL, 0x1000, VIA_AREA_DOORBELL},
};

static const struct via_device_desc desc = {
	.name = "sample",
	.ident = {.vendor = 0x1b36, .device = 1, .class_code = 0xff0000, .interrupt_pin = 1},
	.bars[0] = {.size = 0x8000, .flags = VIA_BAR_MEM64, .areas = areas, .n_areas = 2},
	.bars[2] = {.size = 16, .flags = VIA_BAR_IO},
	.bars[3] = {.size = 64, .valid_min = 4, .valid_max = 4, .impl_min = 4, .impl_max = 4},
	.msix = {.vectors = N_VECTORS, .table_offset = TABLE, .pba_offset = PBA},
	.express = {.present = true},
	.power_management = true,
};

static const struct via_device_ops ops = {
	.read = model_read,
	.write = model_write,
	.doorbell = model_doorbell,
	.work = model_work,
	.reset = model_reset,
	.free = model_free,
};

static struct model *new_device(struct via_device **ret_dev)
{
	struct model *m = calloc(1, sizeof(*m));
	struct via_error err = {0};

	assert_non_null(m);
	m->watched = -1;
	if (via_device_new(&desc, &ops, m, &err, ret_dev))
		fail_msg("%s", err.text);
	m->dev = *ret_dev;
	return m;
}

static int set_up(void **state)
{
	struct via_device *dev;

	*state = new_device(&dev);
	return via_device_open(dev);
}

static int tear_down(void **state)
{
	struct model *m = *state;
	struct via_device *dev = m->dev;

	via_device_close(dev);
	via_device_free(dev);
	return 0;
}

static uint16_t config_get(struct via_device *dev, uint64_t at)
{
	uint8_t b[2];

	assert_int_equal(via_device_region_read(dev, VIA_REGION_CONFIG, at, b, 2), 2);
	return via_get_le16(b);
}

static void config_put(struct via_device *dev, uint64_t at, uint16_t value)
{
	uint8_t b[2];

	via_put_le16(b, value);
	assert_int_equal(via_device_region_write(dev, VIA_REGION_CONFIG, at, b, 2), 2);
}

static uint64_t capability(struct via_device *dev, unsigned int id)
{
	uint8_t at = (uint8_t)config_get(dev, 0x34);

	for (int i = 0; at && i < 48; i++) {
		uint16_t head = config_get(dev, at);

		if ((head & 0xff) == id)
			return at;
		at = (uint8_t)(head >> 8);
	}
	fail_msg("no capability %u", id);
	return 0;
}

static void command(struct via_device *dev, uint16_t set, uint16_t clear)
{
	config_put(dev, 4, (uint16_t)((config_get(dev, 4) | set) & ~clear));
}

/* Wait until *word has value; false after a second. */
static bool becomes(const uint32_t *word, uint32_t value)
{
	for (int i = 0; i < 1000; i++) {
		if (__atomic_load_n(word, __ATOMIC_ACQUIRE) == value)
			return true;
		usleep(1000);
	}
	return false;
}

static int own_fd(void *cookie, int fd, int *ret_fd)
{
	*ret_fd = dup(fd);
	return *ret_fd < 0 ? -EBADF : 0;
}

static int set_irqs(struct via_device *dev, uint32_t index, uint32_t flags, uint32_t start,
		    uint32_t count, const int32_t *fds)
{
	static const uint8_t bools[8] = {1, 0, 1, 1};
	struct via_set_irqs set = {.index = index, .start = start, .count = count, .flags = flags,
				   .bools = bools, .fds = fds, .fd_get = own_fd};
	uint32_t argsz = 20 + 4 * count;
	size_t len;
	int ret = via_device_irqs_check(dev, argsz, &set, &len);

	return ret ? ret : via_device_set_irqs(dev, &set);
}

#define TRIGGER_FD (VIA_VFIO_IRQ_SET_DATA_EVENTFD | VIA_VFIO_IRQ_SET_ACTION_TRIGGER)

static uint64_t events(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	uint64_t n = 0;

	if (poll(&p, 1, 0) == 1)
		assert_int_equal(read(fd, &n, sizeof(n)), sizeof(n));
	return n;
}

/* --- what is refused --- */

static void refused(const struct via_device_desc *d, const char *text)
{
	struct model *m = calloc(1, sizeof(*m));
	struct via_device *dev = NULL;
	struct via_error err = {0};
	bool freed = false;

	assert_non_null(m);
	m->freed = &freed;
	assert_int_equal(via_device_new(d, &ops, m, &err, &dev), -EINVAL);
	assert_null(dev);
	assert_true(freed);
	if (!strstr(err.text, text))
		fail_msg("'%s' does not say '%s'", err.text, text);
}

static void test_bad_descriptions(void **state)
{
	static const struct via_area outside = {0x8000, 0x1000, VIA_AREA_MEMORY};
	static const struct via_area unaligned = {0x800, 0x1000, VIA_AREA_MEMORY};
	static const struct via_area overlapping[] = {{0, 0x2000, VIA_AREA_MEMORY},
						      {0x1000, 0x1000, VIA_AREA_MEMORY}};
	struct via_device_desc d;

#define REFUSED(text, ...) (d = desc, __VA_ARGS__, refused(&d, text))
	REFUSED("no name", d.name = NULL);
	REFUSED("not a power of two", d.bars[0].size = 0x7000);
	REFUSED("below the least", d.bars[2].size = 2);
	REFUSED("BAR 1 must exist and be left empty", d.bars[1].size = 16);
	REFUSED("needs VIA_BAR_MEM64", d.bars[4].size = UINT64_C(1) << 32);
	REFUSED("neither 64-bit nor", d.bars[2].flags |= VIA_BAR_PREFETCH);
	REFUSED("widths", d.bars[0].valid_max = 3);
	REFUSED("ends past the BAR", d.bars[0].areas = &outside, d.bars[0].n_areas = 1);
	REFUSED("multiples of 4096", d.bars[0].areas = &unaligned, d.bars[0].n_areas = 1);
	REFUSED("areas 0 and 1 overlap", d.bars[0].areas = overlapping);
	REFUSED("is I/O and cannot have areas", d.bars[2].areas = areas, d.bars[2].n_areas = 1);
	REFUSED("3 MSI vectors", d.msi.vectors = 3);
	REFUSED("the most is 2048", d.msix.vectors = 2049);
	REFUSED("not a memory BAR", d.msix.table_bar = 2);
	REFUSED("not a multiple of 8", d.msix.pba_offset = 0x3804);
	REFUSED("ends past BAR 0", d.msix.table_offset = 0x7ff0);
	REFUSED("overlaps area", d.msix.table_offset = MEMORY);
	REFUSED("overlap in BAR 0", d.msix.pba_offset = TABLE + 8);
	REFUSED("interrupt pin 5", d.ident.interrupt_pin = 5);
#undef REFUSED
}

/* --- life --- */

static void test_open_close(void **state)
{
	struct via_device *dev;
	struct model *m = new_device(&dev);
	struct via_device_stats stats;
	uint64_t value;

	assert_int_equal(via_device_mapped_read(dev, 0, 0, 4, &value), -EIO);
	assert_int_equal(via_device_open(dev), 0);
	assert_int_equal(m->kinds, 1u << VIA_RESET_OPEN);
	assert_int_equal(config_get(dev, 4) & 0x407, 0x003);
	command(dev, 4, 0);
	assert_int_equal(via_device_open(dev), 0);
	assert_int_equal(config_get(dev, 4) & 0x407, 0x007);
	via_device_close(dev);
	assert_int_equal(m->kinds, 1u << VIA_RESET_OPEN);
	via_device_close(dev);
	assert_int_equal(m->kinds, 1u << VIA_RESET_OPEN | 1u << VIA_RESET_CLOSE);
	assert_int_equal(via_device_open(dev), 0);
	assert_int_equal(config_get(dev, 4) & 0x407, 0x003);
	via_device_close(dev);
	via_device_get_stats(dev, &stats);
	assert_int_equal(stats.resets, 4);
	via_device_free(dev);
}

/* What was asked for before a reset does not happen after it. */
static void test_reset_drops_work(void **state)
{
	struct via_device *dev;
	struct model *m = new_device(&dev);

	via_device_kick(dev, 1);
	assert_int_equal(via_device_open(dev), 0);
	via_device_kick(dev, 2);
	assert_true(becomes(&m->work_calls, 1));
	assert_int_equal(m->work, 2);
	via_device_close(dev);
	via_device_free(dev);
}

static unsigned int open_fds(void)
{
	unsigned int n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* Each descriptor that a device needs is refused once. */
static void test_out_of_descriptors(void **state)
{
	unsigned int before = open_fds(), unused = 0;
	struct rlimit old, few;
	struct via_device *dev = NULL;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	few = old;
	for (few.rlim_cur = 0; !dev; unused += fcntl((int)few.rlim_cur++, F_GETFD) < 0) {
		struct model *m = calloc(1, sizeof(*m));
		struct via_error err = {0};
		int ret;

		assert_non_null(m);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
		ret = via_device_new(&desc, &ops, m, &err, &dev);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
		if (!ret)
			break;
		assert_int_equal(ret, -EMFILE);
		assert_non_null(strstr(err.text, "sample"));
		assert_int_equal(open_fds(), before);
	}
	/* It takes two epolls, eventfd and two memfds: each was missing once. */
	assert_int_equal(unused, 5);
	via_device_free(dev);
	assert_int_equal(open_fds(), before);
}

static void test_info(void **state)
{
	struct via_device *dev = ((struct model *)*state)->dev;
	struct via_region_info info;
	struct via_irq_info irq;
	struct via_region_map map;

	assert_int_equal(via_device_region_info(dev, 0, &info), 0);
	assert_int_equal(info.size, 0x8000);
	assert_true(info.mappable && info.msix_table && info.readable && info.writable);
	assert_int_equal(via_device_region_info(dev, 1, &info), 0);
	assert_int_equal(info.size, 0);
	assert_false(info.readable || info.mappable);
	assert_int_equal(via_device_region_info(dev, 2, &info), 0);
	assert_true(info.io && !info.mappable);
	assert_int_equal(via_device_region_info(dev, VIA_REGION_ROM, &info), 0);
	assert_int_equal(info.size, 0);
	assert_int_equal(via_device_region_info(dev, VIA_REGION_CONFIG, &info), 0);
	assert_int_equal(info.size, 4096);
	assert_int_equal(via_device_region_info(dev, VIA_REGION_VGA, &info), -EINVAL);
	assert_int_equal(via_device_region_info(dev, 9, &info), -EINVAL);
	assert_int_equal(via_device_irq_info(dev, VIA_IRQ_MSIX, &irq), 0);
	assert_int_equal(irq.count, N_VECTORS);
	assert_int_equal(via_device_irq_info(dev, 5, &irq), -EINVAL);

	assert_int_equal(via_device_region_map(dev, 2, &map), -EINVAL);
	assert_int_equal(via_device_region_map(dev, 3, &map), 0);
	assert_int_equal(map.size, 4096);
	assert_int_equal(via_device_region_map(dev, 0, &map), 0);
	assert_int_equal(map.size, 0x8000);
	assert_int_equal(map.n_areas, 4);
	assert_int_equal(map.areas[0].kind, VIA_AREA_REGISTER);
	assert_int_equal(map.areas[1].kind, VIA_AREA_DOORBELL);
	assert_int_equal(map.areas[2].kind, VIA_AREA_MEMORY);
	assert_int_equal(map.areas[3].kind, VIA_AREA_REGISTER);
	assert_int_equal(map.areas[3].offset + map.areas[3].size, 0x8000);
}

/* --- access --- */

static void test_access(void **state)
{
	struct model *m = *state;
	struct via_device *dev = m->dev;
	uint8_t b[16];
	uint64_t value;

	/* Any length is cut into naturally aligned accesses. */
	m->sizes = 0;
	assert_int_equal(via_device_region_read(dev, 0, 0x101, b, 15), 15);
	assert_int_equal(m->sizes, 1 | 2 | 4 | 8);
	assert_int_equal(b[0], 0x01);
	assert_int_equal(via_get_le64(b + 7), 0x1122334455667808);
	memset(b, 0x5a, sizeof(b));
	assert_int_equal(via_device_region_write(dev, 0, 0x10, b, 8), 8);
	assert_int_equal(m->last_offset, 0x10);
	assert_int_equal(m->last_size, 8);
	assert_true(m->last_value == 0x5a5a5a5a5a5a5a5a);

	/* The end: short, then EINVAL. Absent BARs are EINVAL, of length 0 nothing is asked. */
	assert_int_equal(via_device_region_read(dev, 0, 0x7ffc, b, 8), 4);
	assert_int_equal(via_device_region_read(dev, 0, 0x8000, b, 1), -EINVAL);
	assert_int_equal(via_device_region_read(dev, 1, 0, b, 4), -EINVAL);
	assert_int_equal(via_device_region_read(dev, VIA_REGION_ROM, 0, b, 4), -EINVAL);
	assert_int_equal(via_device_region_write(dev, VIA_REGION_VGA, 0, b, 4), -EINVAL);
	assert_int_equal(via_device_region_read(dev, 77, 0, b, 0), 0);
	assert_int_equal(via_device_region_read(dev, VIA_REGION_CONFIG, 4094, b, 4), -EFAULT);

	/* I/O ports have no 8-byte accesses. */
	m->sizes = 0;
	assert_int_equal(via_device_region_read(dev, 2, 0, b, 8), 8);
	assert_int_equal(m->sizes, 4);
	/* Widths that the model does not take do not reach it. */
	m->sizes = 0;
	assert_int_equal(via_device_region_read(dev, 3, 0, b, 2), 2);
	assert_int_equal(m->sizes, 0);

	/* Shared areas are bytes. */
	value = 0x0102030405060708;
	assert_int_equal(via_device_mapped_write(dev, 0, MEMORY + 8, 8, value), 0);
	assert_int_equal(via_get_le64((uint8_t *)via_device_region_memory(dev, 0, MEMORY) + 8),
			 value);
	assert_int_equal(via_device_region_read(dev, 0, MEMORY + 10, b, 3), 3);
	assert_memory_equal(b, ((uint8_t[]){6, 5, 4}), 3);
	assert_null(via_device_region_memory(dev, 0, 0));
	assert_null(via_device_region_memory(dev, 0, 0x8000));
	assert_null(via_device_region_memory(dev, 7, 0));

	/* A mapping reaches up to the page's end; nobody answers there. */
	assert_int_equal(via_device_mapped_read(dev, 3, 64, 4, &value), 0);
	assert_int_equal((uint32_t)value, UINT32_MAX);
	assert_int_equal(via_device_mapped_read(dev, 3, 4096, 4, &value), -EINVAL);
	assert_int_equal(via_device_mapped_read(dev, 3, 0, 3, &value), -EINVAL);
	assert_int_equal(via_device_mapped_read(dev, 2, 0, 4, &value), -EINVAL);
}

static void test_memory_disabled(void **state)
{
	struct model *m = *state;
	struct via_device *dev = m->dev;
	uint8_t b[8];
	uint64_t value;

	command(dev, 0, 2);
	assert_int_equal(via_device_region_read(dev, 0, 0, b, 4), -EIO);
	assert_int_equal(via_device_region_write(dev, 0, 0, b, 4), -EIO);
	assert_int_equal(via_device_mapped_read(dev, 0, 0, 4, &value), -EIO);
	assert_int_equal(via_device_mapped_write(dev, 0, 0, 4, 0), -EIO);
	assert_int_equal(via_device_region_read(dev, 2, 0, b, 4), 4);
	/* The hidden table does not ask whether the BAR answers. */
	assert_int_equal(via_device_region_read(dev, 0, TABLE, b, 4), 4);
	assert_int_equal(b[0], 0xff);
	command(dev, 2, 0);
	assert_int_equal(via_device_region_read(dev, 0, 0, b, 4), 4);
	/* D3hot disables too. */
	config_put(dev, capability(dev, 1) + 4, 3);
	assert_int_equal(via_device_region_read(dev, 0, 0, b, 4), -EIO);
	config_put(dev, capability(dev, 1) + 4, 0);
	assert_int_equal(via_device_region_read(dev, 0, 0, b, 4), 4);
}

static void test_table_hidden(void **state)
{
	struct via_device *dev = ((struct model *)*state)->dev;
	uint8_t b[80];
	uint64_t value;

	/* The end of the memory area, the table as ones, 8 register bytes. */
	assert_int_equal(via_device_region_read(dev, 0, TABLE - 8, b, 80), 80);
	assert_int_equal(b[7], 0);
	for (int i = 8; i < 72; i++)
		assert_int_equal(b[i], 0xff);
	assert_int_equal(b[79], 0x11);
	memset(b, 0, sizeof(b));
	assert_int_equal(via_device_region_write(dev, 0, TABLE, b, 64), 64);
	/* A mapping does see it: vectors start masked. */
	assert_int_equal(via_device_mapped_read(dev, 0, TABLE + 12, 4, &value), 0);
	assert_int_equal(value & 1, 1);
}

/* --- revocation --- */

static sigjmp_buf bus_error;

static void on_bus_error(int sig)
{
	siglongjmp(bus_error, 1);
}

/* What a program that maps the BAR finds at the memory area: the byte, or 'B' for SIGBUS. */
static char touch(const volatile uint8_t *map)
{
	if (sigsetjmp(bus_error, 1))
		return 'B';
	return (char)map[MEMORY];
}

static void mapper(int fd, int in, int out)
{
	volatile uint8_t *map = mmap(NULL, 0x8000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	char c;

	signal(SIGBUS, on_bus_error);
	while (read(in, &c, 1) == 1) {
		c = touch(map);
		if (write(out, &c, 1) != 1)
			break;
	}
	_exit(0);
}

static char ask(int to, int from)
{
	char c = 0;

	assert_int_equal(write(to, &c, 1), 1);
	assert_int_equal(read(from, &c, 1), 1);
	return c;
}

static void test_revocation(void **state)
{
	struct via_device *dev = ((struct model *)*state)->dev;
	char *memory = via_device_region_memory(dev, 0, MEMORY);
	struct via_region_map map;
	int to[2], from[2];
	pid_t pid;

	assert_int_equal(via_device_region_map(dev, 0, &map), 0);
	assert_int_equal(pipe(to), 0);
	assert_int_equal(pipe(from), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		close(to[1]);
		mapper(map.fd, to[0], from[1]);
	}
	close(to[0]);
	*memory = 'x';
	assert_int_equal(ask(to[1], from[0]), 'x');
	command(dev, 0, 2);
	assert_int_equal(ask(to[1], from[0]), 'B');
	/* The model goes on at the same address. */
	assert_int_equal(*memory, 'x');
	*memory = 'y';
	memory[4095] = 'z';
	assert_ptr_equal(via_device_region_memory(dev, 0, MEMORY), memory);
	assert_int_equal(ask(to[1], from[0]), 'B');
	command(dev, 2, 0);
	assert_int_equal(ask(to[1], from[0]), 'y');
	assert_int_equal(memory[4095], 'z');
	*memory = 'w';
	assert_int_equal(ask(to[1], from[0]), 'w');
	/* Reset brings it back by itself. */
	assert_int_equal(via_device_reset(dev), 0);
	assert_int_equal(ask(to[1], from[0]), 'w');
	close(to[1]);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	close(from[0]);
	close(from[1]);
}

/* A program that truncates the file itself loses its own bytes, nothing else. */
static void test_hostile_truncation(void **state)
{
	struct via_device *dev = ((struct model *)*state)->dev;
	volatile char *memory = via_device_region_memory(dev, 0, MEMORY);
	struct via_region_map map;
	uint64_t value;

	assert_int_equal(via_guard_install(), 0);
	assert_int_equal(via_device_region_map(dev, 0, &map), 0);
	*memory = 'x';
	assert_int_equal(ftruncate(map.fd, 0), 0);
	assert_int_equal(*memory, 0);
	*memory = 'y';
	assert_int_equal(via_device_mapped_read(dev, 0, MEMORY, 1, &value), 0);
	assert_int_equal(value, 'y');
	assert_int_equal(via_device_mapped_write(dev, 0, BELL, 4, 5), 0);
	assert_int_equal(ftruncate(map.fd, 0x8000), 0);
	/* The next reset makes one of the two again. */
	assert_int_equal(via_device_reset(dev), 0);
	*memory = 'z';
	assert_int_equal(pread(map.fd, &value, 1, MEMORY), 1);
	assert_int_equal(value & 0xff, 'z');
}

/* --- the device's thread --- */

struct guard {
	struct via_doorbell_guard guard;
	int arm_result;
	uint32_t armed;	 /* atomic: 1 between arm and disarm */
	uint32_t arms;	 /* atomic */
	uint32_t disarms; /* atomic */
};

static int guard_arm(struct via_doorbell_guard *g)
{
	struct guard *guard = (struct guard *)g;

	__atomic_fetch_add(&guard->arms, 1, __ATOMIC_SEQ_CST);
	if (!guard->arm_result)
		__atomic_store_n(&guard->armed, 1, __ATOMIC_SEQ_CST);
	return guard->arm_result;
}

static void guard_disarm(struct via_doorbell_guard *g)
{
	struct guard *guard = (struct guard *)g;

	__atomic_store_n(&guard->armed, 0, __ATOMIC_SEQ_CST);
	__atomic_fetch_add(&guard->disarms, 1, __ATOMIC_SEQ_CST);
}

static uint64_t cpu_us(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 +
	       (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static void test_doorbell(void **state)
{
	struct model *m = *state;
	struct via_device *dev = m->dev;
	uint32_t *bell = via_device_region_memory(dev, 0, BELL), arms;
	struct guard guard = {{.arm = guard_arm, .disarm = guard_disarm}};
	struct via_device_stats stats;
	uint64_t cpu;
	uint8_t b[4] = {7};

	/* By pwrite: seen when the call returns. */
	assert_int_equal(via_device_region_write(dev, 0, BELL, b, 4), 4);
	assert_int_equal(m->bell, 7);
	via_device_get_stats(dev, &stats);
	assert_int_equal(stats.doorbells, 1);

	/* By a mapping: first write reported by the guard. */
	via_device_guard_add(dev, 0, &guard.guard);
	assert_true(becomes(&guard.armed, 1));
	cpu = cpu_us();
	usleep(100000);
	assert_true(cpu_us() - cpu < 10000);
	arms = __atomic_load_n(&guard.arms, __ATOMIC_SEQ_CST);
	__atomic_store_n(bell, 8, __ATOMIC_RELEASE);
	via_device_doorbell_ring(dev, 0);
	assert_true(becomes(&m->bell, 8));
	/* While it is polled writes go unreported, which is cheaper for the writer. */
	assert_int_equal(__atomic_load_n(&guard.disarms, __ATOMIC_SEQ_CST), 1);
	/* And armed again after a while. */
	for (int i = 0; i < 1000 && __atomic_load_n(&guard.arms, __ATOMIC_SEQ_CST) == arms; i++)
		usleep(1000);
	assert_true(becomes(&guard.armed, 1));

	/* Revocation takes write protection with it. */
	arms = __atomic_load_n(&guard.arms, __ATOMIC_SEQ_CST);
	command(dev, 0, 2);
	command(dev, 2, 0);
	for (int i = 0; i < 1000 && __atomic_load_n(&guard.arms, __ATOMIC_SEQ_CST) == arms; i++)
		usleep(1000);
	assert_true(__atomic_load_n(&guard.arms, __ATOMIC_SEQ_CST) > arms);

	via_device_guard_remove(dev, 0, &guard.guard);
	arms = __atomic_load_n(&guard.arms, __ATOMIC_SEQ_CST);
	via_device_doorbell_ring(dev, 0);
	usleep(20000);
	assert_int_equal(__atomic_load_n(&guard.arms, __ATOMIC_SEQ_CST), arms);
}

static uint64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* Doorbells a little apart are worth waiting for: no guard is armed between them. */
static void test_doorbell_window(void **state)
{
	struct model *m = *state;
	struct via_device *dev = m->dev;
	uint32_t *bell = via_device_region_memory(dev, 0, BELL), rounds = 200, in_time = 0, armed = 0;
	struct guard guard = {{.arm = guard_arm, .disarm = guard_disarm}};

	via_device_guard_add(dev, 0, &guard.guard);
	for (uint32_t i = 1; i <= rounds; i++) {
		uint64_t start = now_us();

		__atomic_store_n(bell, i, __ATOMIC_SEQ_CST);
		if (__atomic_load_n(&guard.armed, __ATOMIC_SEQ_CST))
			via_device_doorbell_ring(dev, 0);
		while (now_us() - start < 200)
			(void)sched_yield();
		assert_true(becomes(&m->bell, i));
		if (now_us() - start < 300) {
			in_time++;
			armed += __atomic_load_n(&guard.armed, __ATOMIC_SEQ_CST);
		}
	}
	via_device_guard_remove(dev, 0, &guard.guard);
	/* Where others keep us from running, the doorbells were not a little apart. */
	if (in_time > rounds / 4 * 3)
		assert_true(armed < in_time / 4);
	else
		print_message("only %u of %u doorbells came in time\n", in_time, rounds);
}

/* A mapping that cannot report its writes is polled. */
static void test_doorbell_silent(void **state)
{
	struct model *m = *state;
	struct via_device *dev = m->dev;
	uint32_t *bell = via_device_region_memory(dev, 0, BELL);
	struct guard guard = {{.arm = guard_arm, .disarm = guard_disarm}, .arm_result = -ENOTSUP};

	via_device_guard_add(dev, 0, &guard.guard);
	usleep(20000);
	__atomic_store_n(bell, 9, __ATOMIC_RELEASE);
	assert_true(becomes(&m->bell, 9));
	via_device_guard_remove(dev, 0, &guard.guard);
}

static void test_work(void **state)
{
	struct model *m = *state;
	struct via_device *dev = m->dev;
	uint64_t one = 1;
	unsigned int calls;

	via_device_kick(dev, 3);
	assert_true(becomes(&m->work_calls, 1));
	assert_int_equal(m->work, 3);
	m->watched = eventfd(0, EFD_CLOEXEC);
	assert_int_equal(via_device_watch(dev, m->watched, 0x100), 0);
	assert_int_equal(write(m->watched, &one, sizeof(one)), sizeof(one));
	assert_true(becomes(&m->work_calls, 2));
	assert_int_equal(m->work, 0x103);
	assert_int_equal(via_device_watch(dev, m->watched, 0), 0);
	calls = __atomic_load_n(&m->work_calls, __ATOMIC_SEQ_CST);
	assert_int_equal(write(m->watched, &one, sizeof(one)), sizeof(one));
	usleep(20000);
	assert_int_equal(__atomic_load_n(&m->work_calls, __ATOMIC_SEQ_CST), calls);
	close(m->watched);
}

/* Attached to nothing: -EFAULT once the function may ask, -EPERM while it may not. */
static void test_bus_master(void **state)
{
	struct via_device *dev = ((struct model *)*state)->dev;
	struct via_dma *dma = via_device_dma(dev);
	uint64_t pm = capability(dev, 1), express = capability(dev, 0x10);
	char b;

	assert_int_equal(via_dma_read(dma, 0, &b, 1), -EPERM);
	command(dev, 4, 0);
	assert_int_equal(via_dma_read(dma, 0, &b, 1), -EFAULT);
	config_put(dev, pm + 4, 3);
	assert_int_equal(via_dma_read(dma, 0, &b, 1), -EPERM);
	config_put(dev, pm + 4, 0);
	assert_int_equal(via_dma_read(dma, 0, &b, 1), -EFAULT);
	config_put(dev, express + 8, 0x8000);
	assert_int_equal(via_device_reset(dev), 0);
	assert_int_equal(via_dma_read(dma, 0, &b, 1), -EFAULT);
	command(dev, 0, 4);
	assert_int_equal(via_device_reset(dev), 0);
	assert_int_equal(via_dma_read(dma, 0, &b, 1), -EPERM);
}

/* --- interrupts --- */

static void test_msix(void **state)
{
	struct via_device *dev = ((struct model *)*state)->dev;
	int32_t fds[N_VECTORS];
	uint64_t value;

	for (unsigned int i = 0; i < N_VECTORS; i++)
		fds[i] = eventfd(0, EFD_CLOEXEC);
	command(dev, 4, 0);
	assert_false(via_irq_message_mode(dev));
	assert_int_equal(set_irqs(dev, VIA_IRQ_MSIX, TRIGGER_FD, 0, N_VECTORS, fds), 0);
	assert_true(via_irq_message_mode(dev));
	via_irq_trigger(dev, 2);
	assert_int_equal(events(fds[2]), 1);
	assert_int_equal(events(fds[0]), 0);

	/* Bus mastering off: no messages. */
	command(dev, 0, 4);
	via_irq_trigger(dev, 2);
	assert_int_equal(events(fds[2]), 0);
	command(dev, 4, 0);

	/* Resets leave the arrangement alone. */
	assert_int_equal(via_device_reset(dev), 0);
	config_put(dev, capability(dev, 0x10) + 8, 0x8000);
	assert_true(((struct model *)*state)->kinds & 1u << VIA_RESET_IOCTL);
	assert_true(((struct model *)*state)->kinds & 1u << VIA_RESET_FLR);
	assert_true(via_irq_message_mode(dev));
	via_irq_trigger(dev, 3);
	assert_int_equal(events(fds[3]), 1);
	assert_int_equal(via_device_mapped_read(dev, 0, PBA, 8, &value), 0);
	assert_int_equal(value, 0);

	assert_int_equal(set_irqs(dev, VIA_IRQ_MSIX, VIA_VFIO_IRQ_SET_DATA_NONE |
				  VIA_VFIO_IRQ_SET_ACTION_TRIGGER, 0, 0, NULL), 0);
	assert_false(via_irq_message_mode(dev));
	for (unsigned int i = 0; i < N_VECTORS; i++)
		close(fds[i]);
}

static void test_intx_resample(void **state)
{
	struct via_device *dev = ((struct model *)*state)->dev;
	int32_t trigger = eventfd(0, EFD_CLOEXEC), unmask = eventfd(0, EFD_CLOEXEC);
	struct pollfd p = {.fd = trigger, .events = POLLIN};
	uint64_t one = 1;

	assert_int_equal(set_irqs(dev, VIA_IRQ_INTX, TRIGGER_FD, 0, 1, &trigger), 0);
	assert_int_equal(set_irqs(dev, VIA_IRQ_INTX,
				  VIA_VFIO_IRQ_SET_DATA_EVENTFD | VIA_VFIO_IRQ_SET_ACTION_UNMASK, 0,
				  1, &unmask),
			 0);
	via_irq_set_level(dev, true);
	assert_int_equal(events(trigger), 1);
	assert_int_equal(events(trigger), 0);
	/* The line is still up: the eventfd's unmask signals again. */
	assert_int_equal(write(unmask, &one, sizeof(one)), sizeof(one));
	assert_int_equal(poll(&p, 1, 1000), 1);
	assert_int_equal(events(trigger), 1);
	via_irq_set_level(dev, false);
	assert_int_equal(set_irqs(dev, VIA_IRQ_INTX, VIA_VFIO_IRQ_SET_DATA_NONE |
				  VIA_VFIO_IRQ_SET_ACTION_TRIGGER, 0, 0, NULL), 0);
	close(trigger);
	close(unmask);
}

/* Accesses, resets, kicks and decoding switched at the same time. */
struct storm {
	struct via_device *dev;
	bool stop;
};

static void *storm_reader(void *arg)
{
	struct storm *s = arg;
	uint8_t b[64];

	while (!__atomic_load_n(&s->stop, __ATOMIC_RELAXED)) {
		via_device_region_read(s->dev, 0, MEMORY, b, sizeof(b));
		via_device_region_write(s->dev, 0, BELL, b, 4);
		via_device_kick(s->dev, 1);
		via_irq_trigger(s->dev, 1);
	}
	return NULL;
}

static void test_storm(void **state)
{
	struct storm s = {.dev = ((struct model *)*state)->dev};
	struct guard guard = {{.arm = guard_arm, .disarm = guard_disarm}};
	pthread_t threads[2];

	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, storm_reader, &s), 0);
	for (int i = 0; i < 60; i++) {
		via_device_guard_add(s.dev, 0, &guard.guard);
		command(s.dev, 0, 2);
		command(s.dev, 6, 0);
		assert_int_equal(via_device_reset(s.dev), 0);
		via_device_guard_remove(s.dev, 0, &guard.guard);
	}
	__atomic_store_n(&s.stop, true, __ATOMIC_RELAXED);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
}

static uint32_t next_random(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

/* A hostile program: any access anywhere, any SET_IRQS. Nothing may crash, hang or overrun. */
static void test_random(void **state)
{
	struct via_device *dev = ((struct model *)*state)->dev;
	int32_t fds[8], trigger = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	uint32_t seed = 1, total = 0;

	for (unsigned int i = 0; i < 8; i++)
		fds[i] = i % 3 ? trigger : -1;
	for (int i = 0; i < 20000; i++) {
		unsigned int region = next_random(&seed) % 11, action = next_random(&seed) % 8;
		uint64_t offset = next_random(&seed) % (region == VIA_REGION_CONFIG ? 4200 : 0x9000);
		size_t len = next_random(&seed) % 48;
		uint64_t value = next_random(&seed);
		uint8_t b[64];
		ssize_t n = 0;

		if (region < 9 && action < 3)
			offset %= 0x140;
		memset(b, (int)next_random(&seed), 48);
		memset(b + 48, 0xc3, 16);
		if (action < 3)
			n = via_device_region_write(dev, region, offset, b, len);
		else if (action < 6)
			n = via_device_region_read(dev, region, offset, b, len);
		else if (action == 6)
			n = via_device_mapped_write(dev, region, offset, 1u << (len % 4), value);
		else
			n = set_irqs(dev, region, (uint32_t)value & 0x3f, (uint32_t)len % 6,
				     (uint32_t)len % 9, fds) == 0;
		assert_true(n <= 48);
		for (unsigned int k = 48; k < 64; k++)
			assert_int_equal(b[k], 0xc3);
		total += n > 0;
		via_irq_set_level(dev, value & 1);
		via_irq_trigger(dev, value & 7);
		if (i % 50 == 0) {
			config_put(dev, capability(dev, 1) + 4, 0);
			command(dev, 6, 0);
		}
	}
	assert_true(total > 2000);
	close(trigger);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bad_descriptions),
		cmocka_unit_test(test_open_close),
		cmocka_unit_test(test_reset_drops_work),
		cmocka_unit_test(test_out_of_descriptors),
		cmocka_unit_test_setup_teardown(test_info, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_access, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_memory_disabled, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_table_hidden, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_revocation, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_hostile_truncation, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_doorbell, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_doorbell_window, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_doorbell_silent, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_work, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_bus_master, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_msix, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_intx_resample, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_storm, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_random, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
