/* SPDX-License-Identifier: MIT */
/*
 * The reference device R of pci-config.md 9.1 as a whole function, for the
 * cases of 9.2 that are about regions. Names carry their numbers.
 */
#include "device/test-device.h"

#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>

enum { R_PM = 0x40, R_MSIX = 0xb0 };

#define R_MEMORY 0x8000u /* in BAR 0; all else is registers */
static const struct via_area r_areas[] = {{R_MEMORY, 0x1000, VIA_AREA_MEMORY}};

static uint8_t rom_image[0x600];

static const struct via_device_desc r_desc = {
	.name = "R",
	.ident = {.vendor = 0x1af4, .device = 0x10f0, .subsystem_vendor = 0x1af4,
		  .subsystem_device = 0x1100, .class_code = 0x020000, .revision = 1,
		  .interrupt_pin = 1},
	.bars = {
		[0] = {.size = 64 << 10, .flags = VIA_BAR_MEM64 | VIA_BAR_PREFETCH,
		       .areas = r_areas, .n_areas = 1},
		[2] = {.size = 64, .flags = VIA_BAR_IO},
		[3] = {.size = 4 << 10},
		[4] = {.size = 8ull << 30, .flags = VIA_BAR_MEM64 | VIA_BAR_PREFETCH},
	},
	.rom = {rom_image, sizeof(rom_image)},
	.msi = {.vectors = 8, .addr64 = true, .maskable = true},
	.msix = {.vectors = 16, .table_offset = 0x2000, .pba_offset = 0x3000},
	.express = {.present = true},
	.power_management = true,
};

/* Its registers are bytes; what reaches them is written down, "r8.0@10 w4.3@0 ". */
struct r {
	struct via_device *dev;
	uint8_t bar0[64 << 10];
	uint8_t bar2[64];
	uint8_t bar3[4 << 10];
	char log[256];
	unsigned int resets;
};

static uint8_t *registers(struct r *r, unsigned int bar)
{
	return bar == 0 ? r->bar0 : bar == 2 ? r->bar2 : bar == 3 ? r->bar3 : NULL;
}

static void note(struct r *r, char what, unsigned int bar, uint64_t offset, unsigned int size)
{
	size_t n = strlen(r->log);

	(void)snprintf(r->log + n, sizeof(r->log) - n, "%c%u.%u@%llx ", what, size, bar,
		       (unsigned long long)offset);
}

static uint64_t r_read(struct via_device *dev, void *opaque, unsigned int bar, uint64_t offset,
		       unsigned int size)
{
	struct r *r = opaque;
	uint8_t *p = registers(r, bar);
	uint64_t value = 0;

	note(r, 'r', bar, offset, size);
	for (unsigned int i = 0; p && i < size; i++)
		value |= (uint64_t)p[offset + i] << 8 * i;
	return value;
}

static void r_write(struct via_device *dev, void *opaque, unsigned int bar, uint64_t offset,
		    unsigned int size, uint64_t value)
{
	struct r *r = opaque;
	uint8_t *p = registers(r, bar);

	note(r, 'w', bar, offset, size);
	for (unsigned int i = 0; p && i < size; i++)
		p[offset + i] = (uint8_t)(value >> 8 * i);
}

static void r_reset(struct via_device *dev, void *opaque, enum via_reset kind)
{
	struct r *r = opaque;

	r->resets++;
	memset(r->bar0, 0, sizeof(r->bar0));
	memset(r->bar3, 0, sizeof(r->bar3));
}

static const struct via_device_ops r_ops = {
	.read = r_read, .write = r_write, .reset = r_reset, .free = free,
};

static int open_r(void **state)
{
	struct r *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	for (size_t i = 0; i < sizeof(rom_image); i++)
		rom_image[i] = (uint8_t)(i * 7);
	rom_image[0] = 0x55;
	rom_image[1] = 0xaa;
	assert_int_equal(via_device_new(&r_desc, &r_ops, r, NULL, &r->dev), 0);
	*state = r;
	return via_device_open(r->dev);
}

static int close_r(void **state)
{
	struct via_device *dev = ((struct r *)*state)->dev;

	via_device_close(dev);
	via_device_free(dev);
	return 0;
}

static ssize_t in(struct r *r, unsigned int region, uint64_t offset, void *buf, size_t len)
{
	memset(buf, 0x5a, len);
	return via_device_region_read(r->dev, region, offset, buf, len);
}

static ssize_t out(struct r *r, unsigned int region, uint64_t offset, const void *buf, size_t len)
{
	return via_device_region_write(r->dev, region, offset, buf, len);
}

static void config_put32(struct r *r, uint64_t at, uint32_t value)
{
	uint8_t b[4];

	via_put_le32(b, value);
	assert_int_equal(out(r, VIA_REGION_CONFIG, at, b, 4), 4);
}

static void test_t19_bar_does_not_relocate(void **state)
{
	struct r *r = *state;
	uint8_t b[4] = {0};

	assert_int_equal(out(r, 0, 0x10, "\1\2\3\4", 4), 4);
	config_put32(r, 0x10, 0xfee00000);
	config_put32(r, 0x14, 0x12345678);
	assert_int_equal(in(r, 0, 0x10, b, 4), 4);
	assert_memory_equal(b, "\1\2\3\4", 4);
	assert_string_equal(r->log, "w4.0@10 r4.0@10 ");
}

static void test_t32_d3_gates_memory(void **state)
{
	struct r *r = *state;
	uint8_t b[4] = {0};

	config_put(r->dev, R_PM + 4, 0xff03);
	assert_int_equal(config_get(r->dev, R_PM + 4) & 0x8103, 3);
	assert_int_equal(in(r, 3, 0, b, 4), -EIO);
	assert_int_equal(out(r, 3, 0, b, 4), -EIO);
	assert_int_equal(in(r, VIA_REGION_ROM, 0, b, 4), -ENOMEM);
	assert_int_equal(in(r, 2, 0, b, 4), 4);
	assert_int_equal(config_get(r->dev, 0), 0x1af4);
	config_put(r->dev, R_PM + 4, 0);
	assert_int_equal(in(r, 3, 0, b, 4), 4);
}

static void test_t39_t40_table_is_hidden(void **state)
{
	struct r *r = *state;
	uint8_t b[16] = {0};
	uint64_t value;

	assert_int_equal(out(r, 0, 0x1ff8, "abcdefgh", 8), 8);
	r->log[0] = '\0';
	assert_int_equal(in(r, 0, 0x1ff8, b, 16), 16); /* T39 */
	assert_memory_equal(b, "abcdefgh\xff\xff\xff\xff\xff\xff\xff\xff", 16);
	assert_string_equal(r->log, "r8.0@1ff8 ");
	r->log[0] = '\0';
	memset(b, 0, sizeof(b));
	assert_int_equal(out(r, 0, 0x2000, b, 16), 16); /* T40 */
	assert_string_equal(r->log, "");
	/* Nor does the library's table: the vector is still masked. */
	assert_int_equal(via_device_mapped_read(r->dev, 0, 0x200c, 4, &value), 0);
	assert_int_equal(value, 1);
	/* The last entry, and what follows it. */
	assert_int_equal(in(r, 0, 0x20f8, b, 16), 16);
	assert_memory_equal(b, "\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0\0\0\0\0", 16);
	assert_string_equal(r->log, "r8.0@2100 ");
	/* The Pending Bit Array is no secret. */
	assert_int_equal(in(r, 0, 0x3000, b, 8), 8);
	assert_memory_equal(b, "\0\0\0\0\0\0\0\0", 8);
}

static void test_t61_t62_absent_and_short(void **state)
{
	struct r *r = *state;
	uint8_t b[16] = {0};

	for (unsigned int region = 0; region < VIA_PCI_BARS; region++) {
		bool there = region == 0 || region == 2 || region == 3 || region == 4;

		assert_int_equal(in(r, region, 0, b, 4), there ? 4 : -EINVAL); /* T61 */
		assert_int_equal(out(r, region, 0, b, 4), there ? 4 : -EINVAL);
	}
	assert_int_equal(out(r, 3, 0xffc, "last", 4), 4);
	assert_int_equal(in(r, 3, 0xffc, b, 8), 4); /* T62 */
	assert_memory_equal(b, "last\x5a\x5a\x5a\x5a", 8);
	assert_int_equal(in(r, 3, 0xfff, b, 16), 1);
	assert_int_equal(out(r, 3, 0xffe, b, 16), 2);
	assert_int_equal(in(r, 3, 0x1000, b, 1), -EINVAL);
	assert_int_equal(out(r, 3, 0x1000, b, 1), -EINVAL);
	assert_int_equal(in(r, 3, UINT64_MAX, b, 8), -EINVAL);
	assert_int_equal(in(r, 2, 0x3f, b, 4), 1);
}

static void test_t63_memory_enable_gates(void **state)
{
	struct r *r = *state;
	uint8_t b[4] = {0};

	command(r->dev, 0, 2);
	r->log[0] = '\0';
	assert_int_equal(in(r, 3, 0, b, 4), -EIO);
	assert_int_equal(out(r, 3, 0, b, 4), -EIO);
	assert_int_equal(in(r, 0, 0, b, 4), -EIO);
	assert_int_equal(in(r, 2, 4, b, 4), 4);
	assert_int_equal(in(r, VIA_REGION_ROM, 0, b, 4), -ENOMEM);
	assert_string_equal(r->log, "r4.2@4 ");
	/* I/O Enable gates nothing. */
	command(r->dev, 2, 1);
	assert_int_equal(in(r, 2, 4, b, 4), 4);
	assert_int_equal(in(r, 3, 0, b, 4), 4);
}

static sigjmp_buf bus_error;

static void on_bus_error(int sig)
{
	siglongjmp(bus_error, 1);
}

static bool touches(const volatile uint8_t *page)
{
	struct sigaction old, sa = {.sa_handler = on_bus_error};
	volatile bool ok = false;

	assert_int_equal(sigaction(SIGBUS, &sa, &old), 0);
	if (!sigsetjmp(bus_error, 1)) {
		(void)*page;
		ok = true;
	}
	assert_int_equal(sigaction(SIGBUS, &old, NULL), 0);
	return ok;
}

static void test_t64_revocation(void **state)
{
	struct r *r = *state;
	struct via_region_map map;
	uint8_t *page;

	assert_int_equal(via_device_region_map(r->dev, 0, &map), 0);
	page = mmap(NULL, 4096, PROT_READ, MAP_SHARED, map.fd, R_MEMORY);
	assert_ptr_not_equal(page, MAP_FAILED);
	assert_true(touches(page));
	command(r->dev, 0, 2);
	assert_false(touches(page));
	command(r->dev, 2, 0);
	assert_true(touches(page));
	config_put(r->dev, R_PM + 4, 3);
	assert_false(touches(page));
	config_put(r->dev, R_PM + 4, 0);
	assert_true(touches(page));
	assert_int_equal(munmap(page, 4096), 0);
}

static void test_t65_rom(void **state)
{
	struct r *r = *state;
	uint8_t b[8] = {0};

	assert_int_equal(out(r, VIA_REGION_ROM, 0, b, 4), -EINVAL);
	assert_int_equal(in(r, VIA_REGION_ROM, 0, b, 4), 4);
	assert_memory_equal(b, "\x55\xaa\x0e\x15", 4);
	assert_int_equal(in(r, VIA_REGION_ROM, 0x600, b, 4), 4);
	assert_memory_equal(b, "\xff\xff\xff\xff", 4);
	assert_int_equal(in(r, VIA_REGION_ROM, 0x5fe, b, 4), 4);
	assert_memory_equal(b, "\xf2\xf9\xff\xff", 4);
	/* As large as the next power of two, which is 2 KiB here. */
	assert_int_equal(in(r, VIA_REGION_ROM, 0x7fc, b, 8), 4);
	assert_int_equal(in(r, VIA_REGION_ROM, 0x800, b, 1), -EINVAL);
	assert_string_equal(r->log, "");
}

static void test_t66_region_index(void **state)
{
	struct r *r = *state;
	struct via_region_info info;
	uint8_t b[4] = {0};

	for (unsigned int region = VIA_REGION_VGA; region < 12; region++) {
		assert_int_equal(in(r, region, 0, b, 4), -EINVAL);
		assert_int_equal(out(r, region, 0, b, 4), -EINVAL);
		assert_int_equal(via_device_region_info(r->dev, region, &info), -EINVAL);
	}
	/* No function of class VGA. */
	assert_int_equal(in(r, VIA_REGION_VGA, 0xa0000, b, 4), -EINVAL);
	assert_int_equal(in(r, UINT32_MAX, 0, b, 4), -EINVAL);
}

static void test_t67_widths(void **state)
{
	struct r *r = *state;
	uint8_t b[16] = {0};

	assert_int_equal(in(r, 3, 0x10, b, 3), 3);
	assert_string_equal(r->log, "r2.3@10 r1.3@12 ");
	r->log[0] = '\0';
	assert_int_equal(in(r, 3, 0x10, b, 8), 8);
	assert_string_equal(r->log, "r8.3@10 ");
	r->log[0] = '\0';
	assert_int_equal(out(r, 3, 0x11, b, 15), 15);
	assert_string_equal(r->log, "w1.3@11 w2.3@12 w4.3@14 w8.3@18 ");
	/* Ports: at most four bytes at a time, low first. */
	r->log[0] = '\0';
	assert_int_equal(in(r, 2, 8, b, 8), 8);
	assert_string_equal(r->log, "r4.2@8 r4.2@c ");
	r->log[0] = '\0';
	assert_int_equal(out(r, 3, 0x20, "\1\2\3\4\5\6\7\10", 8), 8);
	assert_memory_equal(r->bar3 + 0x20, "\1\2\3\4\5\6\7\10", 8);
	assert_int_equal(in(r, 3, 0x22, b, 6), 6);
	assert_memory_equal(b, "\3\4\5\6\7\10", 6);
}

static void test_t68_region_info(void **state)
{
	static const struct {
		uint64_t size;
		bool readable, writable, mappable, msix_table, io;
	} rows[] = {
		{64 << 10, true, true, true, true, false},
		{0, false, false, false, false, false},
		{64, true, true, false, false, true},
		{4 << 10, true, true, true, false, false},
		{8ull << 30, true, true, true, false, false},
		{0, false, false, false, false, false},
		{2048, true, false, false, false, false},
		{4096, true, true, false, false, false},
	};
	struct r *r = *state;

	for (unsigned int i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct via_region_info info;

		memset(&info, 0xff, sizeof(info));
		assert_int_equal(via_device_region_info(r->dev, i, &info), 0);
		assert_true(info.size == rows[i].size);
		assert_int_equal(info.readable, rows[i].readable);
		assert_int_equal(info.writable, rows[i].writable);
		assert_int_equal(info.mappable, rows[i].mappable);
		assert_int_equal(info.msix_table, rows[i].msix_table);
		assert_int_equal(info.io, rows[i].io);
	}
}

/* RESET leaves the arrangement of interrupts alone, in both of its states. */
static void test_t91_reset_keeps_interrupts(void **state)
{
	struct r *r = *state;
	int32_t fds[2] = {eventfd(0, EFD_CLOEXEC), eventfd(0, EFD_CLOEXEC)};
	unsigned int resets = r->resets;

	assert_int_equal(set_irqs(r->dev, VIA_IRQ_INTX, TRIGGER_FD, 0, 1, fds), 0);
	assert_int_equal(set_irqs(r->dev, VIA_IRQ_INTX, VIA_VFIO_IRQ_SET_DATA_NONE |
				  VIA_VFIO_IRQ_SET_ACTION_MASK, 0, 1, NULL), 0);
	assert_int_equal(via_device_reset(r->dev), 0);
	assert_int_equal(r->resets, resets + 1);
	via_irq_set_level(r->dev, true);
	assert_int_equal(events(fds[0]), 0); /* still masked */
	assert_int_equal(set_irqs(r->dev, VIA_IRQ_INTX, VIA_VFIO_IRQ_SET_DATA_NONE |
				  VIA_VFIO_IRQ_SET_ACTION_UNMASK, 0, 1, NULL), 0);
	assert_int_equal(events(fds[0]), 1); /* still armed */
	via_irq_set_level(r->dev, false);
	assert_int_equal(set_irqs(r->dev, VIA_IRQ_INTX, VIA_VFIO_IRQ_SET_DATA_NONE |
				  VIA_VFIO_IRQ_SET_ACTION_TRIGGER, 0, 0, NULL), 0);

	command(r->dev, 4, 0);
	assert_int_equal(set_irqs(r->dev, VIA_IRQ_MSI, TRIGGER_FD, 0, 2, fds), 0);
	config_put(r->dev, 0x52, 0x0011);
	assert_int_equal(via_device_reset(r->dev), 0);
	assert_int_equal(config_get(r->dev, 0x52), 0x0197);
	assert_int_equal(config_get(r->dev, 4) & 0x407, 7);
	via_irq_trigger(r->dev, 1);
	assert_int_equal(events(fds[1]), 1);
	close(fds[0]);
	close(fds[1]);
}

static void test_t92_reopen(void **state)
{
	struct r *r = *state;
	int32_t fd = eventfd(0, EFD_CLOEXEC);

	command(r->dev, 0x404, 0);
	config_put32(r, 0x10, 0xc0000000);
	assert_int_equal(out(r, 3, 0, "\1", 1), 1);
	assert_int_equal(set_irqs(r->dev, VIA_IRQ_MSIX, TRIGGER_FD, 0, 1, &fd), 0);
	assert_int_equal(config_get(r->dev, R_MSIX + 2), 0x800f);
	via_device_close(r->dev);
	assert_int_equal(via_device_open(r->dev), 0);
	assert_int_equal(config_get(r->dev, 4) & 0x407, 3);
	assert_int_equal(config_get(r->dev, 0x10), 0xc);
	assert_int_equal(config_get(r->dev, 0x12), 0);
	assert_int_equal(config_get(r->dev, R_MSIX + 2), 0x000f);
	assert_int_equal(r->bar3[0], 0);
	assert_false(via_irq_message_mode(r->dev));
	assert_int_equal(set_irqs(r->dev, VIA_IRQ_MSIX, VIA_VFIO_IRQ_SET_DATA_NONE |
				  VIA_VFIO_IRQ_SET_ACTION_TRIGGER, 0, 0, NULL), -EINVAL);
	close(fd);
}

/* A function of class VGA has the legacy ranges, which COMMAND does not gate. */
static void test_t66_vga(void **state)
{
	static const struct {
		uint64_t offset;
		size_t len;
		ssize_t ret;
	} rows[] = {
		{0xa0000, 8, 8}, {0xbfffc, 8, 4}, {0x3b0, 2, 2}, {0x3bb, 4, 1}, {0x3c0, 4, 4},
		{0x3df, 2, 1}, {0x9fffc, 4, -EINVAL}, {0xc0000, 1, -EINVAL}, {0x3af, 1, -EINVAL},
		{0x3bc, 1, -EINVAL}, {0x3e0, 1, -EINVAL}, {0, 4, -EINVAL},
	};
	struct via_device_desc vga = r_desc;
	struct r *r = calloc(1, sizeof(*r));
	struct via_region_info info;
	uint8_t b[8] = {0};

	assert_non_null(r);
	vga.ident.class_code = 0x030000;
	assert_int_equal(via_device_new(&vga, &r_ops, r, NULL, &r->dev), 0);
	assert_int_equal(via_device_open(r->dev), 0);
	command(r->dev, 0, 7);
	assert_int_equal(via_device_region_info(r->dev, VIA_REGION_VGA, &info), 0);
	assert_int_equal(info.size, 0xc0000);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(in(r, VIA_REGION_VGA, rows[i].offset, b, rows[i].len), rows[i].ret);
		assert_int_equal(out(r, VIA_REGION_VGA, rows[i].offset, b, rows[i].len), rows[i].ret);
	}
	r->log[0] = '\0';
	assert_int_equal(in(r, VIA_REGION_VGA, 0xa0001, b, 7), 7);
	assert_string_equal(r->log, "r1.8@a0001 r2.8@a0002 r4.8@a0004 ");
	via_device_close(r->dev);
	via_device_free(r->dev);
}

#define WITH_R(name) cmocka_unit_test_setup_teardown(name, open_r, close_r)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_R(test_t19_bar_does_not_relocate),
		WITH_R(test_t32_d3_gates_memory),
		WITH_R(test_t39_t40_table_is_hidden),
		WITH_R(test_t61_t62_absent_and_short),
		WITH_R(test_t63_memory_enable_gates),
		WITH_R(test_t64_revocation),
		WITH_R(test_t65_rom),
		WITH_R(test_t66_region_index),
		cmocka_unit_test(test_t66_vga),
		WITH_R(test_t67_widths),
		WITH_R(test_t68_region_info),
		WITH_R(test_t91_reset_keeps_interrupts),
		WITH_R(test_t92_reopen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
