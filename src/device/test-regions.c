/* SPDX-License-Identifier: MIT */
/* Accesses, mappings and their revocation. */
#include "device/test-device.h"
#include "memory/guard.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

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
	assert_int_equal(via_device_mapped_write(dev, 3, 4096, 4, 0), -EINVAL);
	assert_int_equal(via_device_mapped_write(dev, 0, 0, 3, 0), -EINVAL);
	assert_int_equal(via_device_mapped_write(dev, 6, 0, 4, 0), -EINVAL);
}

/* One access by a bus that has the BAR in it. */
static void test_by_a_bus(void **state)
{
	static const uint8_t rom[] = {0x55, 0xaa, 1, 2, 3};
	static const struct via_device_desc vga = {
		.name = "vga",
		.ident = {.vendor = 0x1b36, .device = 1, .class_code = 0x030000},
		.bars[0] = {.size = 16},
		.rom = {rom, sizeof(rom)},
	};
	struct model *m = calloc(1, sizeof(*m)), *other = *state;
	struct via_device *dev;
	uint64_t v;

	assert_non_null(m);
	assert_int_equal(via_device_new(&vga, &ops, m, NULL, &dev), 0);
	assert_int_equal(via_device_open(dev), 0);
	assert_int_equal(via_device_bar_read(dev, 0, 8, 8, &v), 0);
	assert_true(v == 0x1122334455667708);
	assert_int_equal(via_device_bar_write(dev, 0, 12, 4, 0x1234), 0);
	assert_true(m->last_offset == 12 && m->last_value == 0x1234);
	/* Ends, widths, and what is not there. */
	assert_int_equal(via_device_bar_read(dev, 0, 12, 8, &v), -EINVAL);
	assert_int_equal(via_device_bar_read(dev, 0, 16, 1, &v), -EINVAL);
	assert_int_equal(via_device_bar_read(dev, 0, 0, 3, &v), -EINVAL);
	assert_int_equal(via_device_bar_write(dev, 0, 13, 4, 0), -EINVAL);
	assert_int_equal(via_device_bar_write(dev, 1, 0, 4, 0), -EINVAL);
	assert_int_equal(via_device_bar_write(dev, VIA_REGION_ROM, 0, 4, 0), -EINVAL);
	assert_int_equal(via_device_bar_write(dev, VIA_REGION_CONFIG, 0, 4, 0), -EINVAL);
	/* The ROM is 2 KiB, and ones behind its image. */
	assert_int_equal(via_device_bar_read(dev, VIA_REGION_ROM, 1, 8, &v), 0);
	assert_true(v == 0xffffffff030201aa);
	assert_int_equal(via_device_bar_read(dev, VIA_REGION_ROM, 2047, 1, &v), 0);
	assert_int_equal(via_device_bar_read(dev, VIA_REGION_ROM, 2048, 1, &v), -EIO);
	assert_int_equal(via_device_bar_read(dev, VIA_REGION_ROM, 0, 16, &v), -EINVAL);
	/* COMMAND does not gate VGA and ports, whose bus is to know. */
	command(dev, 0, 2);
	assert_int_equal(via_device_bar_read(dev, 0, 0, 4, &v), -EIO);
	assert_int_equal(via_device_bar_write(dev, 0, 0, 4, 0), -EIO);
	assert_int_equal(via_device_bar_read(dev, VIA_REGION_ROM, 0, 4, &v), -EIO);
	assert_int_equal(via_device_bar_write(dev, VIA_REGION_VGA, 0x3c0, 2, 0x55aa), 0);
	assert_true(m->last_offset == 0x3c0 && m->last_size == 2);
	assert_int_equal(via_device_bar_read(dev, VIA_REGION_VGA, 0xb8000, 4, &v), 0);
	assert_int_equal(v, (uint32_t)(0x1122334455667700 + 0xb8000));
	assert_int_equal(via_device_bar_read(dev, VIA_REGION_VGA, 0xc0000, 4, &v), -EINVAL);
	assert_int_equal(via_device_bar_read(other->dev, VIA_REGION_VGA, 0xb8000, 4, &v), -EINVAL);
	command(other->dev, 0, 3);
	assert_int_equal(via_device_bar_read(other->dev, 2, 4, 4, &v), 0);
	via_device_close(dev);
	via_device_free(dev);
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

	if (getenv("VIADUCT_EMULATED")) {
		print_message("# qemu-user does not say which address a SIGBUS is about\n");
		skip();
	}
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_DEVICE(test_access),
		WITH_DEVICE(test_by_a_bus),
		WITH_DEVICE(test_memory_disabled),
		WITH_DEVICE(test_table_hidden),
		WITH_DEVICE(test_revocation),
		WITH_DEVICE(test_hostile_truncation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
