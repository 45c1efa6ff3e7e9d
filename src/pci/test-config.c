/* SPDX-License-Identifier: MIT */
/*
 * Config space over the reference device R of pci-config.md 9.1, with what is
 * there of it: PM at 40, MSI at 50, PCI Express at 70, MSI-X at B0. Names carry
 * the numbers of the table there.
 */
#include "pci/config.h"
#include "pci/dev.h"
#include "pci/masks.h"
#include "pci/regs.h"

#include <viaduct/abi/vfio.h>

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { PM = 0x40, MSI = 0x50, EXP = 0x70, MSIX = 0xb0 };

static const struct via_config_desc device_r = {
	.ident = { .vendor = 0x1af4, .device = 0x10f0, .subsystem_vendor = 0x1af4,
		   .subsystem_device = 0x1100, .class_code = 0x020000, .revision = 1,
		   .interrupt_pin = 1 },
	.bars = {
		[0] = { .size = 64 << 10, .flags = VIA_BAR_MEM64 | VIA_BAR_PREFETCH },
		[2] = { .size = 64, .flags = VIA_BAR_IO },
		[3] = { .size = 4 << 10, .flags = VIA_BAR_MEM32 },
		[4] = { .size = 8ull << 30, .flags = VIA_BAR_MEM64 | VIA_BAR_PREFETCH },
	},
	.msi = { .vectors = 8, .addr64 = true, .maskable = true },
	.msix = { .vectors = 16, .table_bar = 0, .table_offset = 0x2000, .pba_bar = 0,
		  .pba_offset = 0x3000 },
	.express = { .present = true },
	.power_management = true,
};

/* --- A function whose device transactions and hooks are written down ------- */

struct fixture {
	struct via_irqs *irqs;
	struct via_regfile *regs;
	struct via_config_dev real; /* the registers behind the log */
	struct via_config *config;
	char log[512];	/* device transactions, "r4@0c w2@04=0103 " */
	char hooks[512];
	uint32_t raised; /* latched STATUS bits of the "hardware", at dword 4 */
	/* Power management of another kind than the library's own. */
	bool d1_d2, soft_reset;
	int fds[16];
};

static void note(char *log, size_t size, const char *fmt, ...) VIA_PRINTF(3, 4);

static void note(char *log, size_t size, const char *fmt, ...)
{
	size_t n = strlen(log);
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(log + n, size - n, fmt, args);
	va_end(args);
}

/* STATUS bits 15..8 in the upper half of the dword at 4, at pos. */
static uint32_t raised_at(const struct fixture *f, unsigned int pos, unsigned int width)
{
	if (pos < 4 || pos >= 8)
		return 0;
	return (uint32_t)((f->raised >> 8 * (pos - 4)) & ((1ull << 8 * width) - 1));
}

static int log_read(void *cookie, unsigned int pos, unsigned int width, uint32_t *ret_value)
{
	struct fixture *f = cookie;

	note(f->log, sizeof(f->log), "r%u@%02x ", width, pos);
	assert_int_equal(f->real.ops->read(f->real.cookie, pos, width, ret_value), 0);
	*ret_value |= raised_at(f, pos, width);
	if (f->d1_d2 && pos == PM + PCI_PM_PMC)
		*ret_value |= PCI_PM_PMC_D1 | PCI_PM_PMC_D2;
	if (f->soft_reset && pos == PM + PCI_PM_CSR)
		*ret_value &= ~PCI_PM_CSR_NO_SOFT_RESET;
	return 0;
}

static int log_write(void *cookie, unsigned int pos, unsigned int width, uint32_t value)
{
	struct fixture *f = cookie;

	note(f->log, sizeof(f->log), "w%u@%02x=%x ", width, pos, value);
	if (pos >= 4 && pos < 8)
		f->raised &= ~(value << 8 * (pos - 4));
	return f->real.ops->write(f->real.cookie, pos, width, value);
}

static void log_init(void *cookie)
{
	struct fixture *f = cookie;

	f->real.ops->init(f->real.cookie);
}

static void log_reset(void *cookie)
{
	struct fixture *f = cookie;

	f->real.ops->reset(f->real.cookie);
	f->raised = 0;
}

static const struct via_config_dev_ops log_ops = {
	.read = log_read, .write = log_write, .init = log_init, .reset = log_reset,
};

static void on_memory(void *cookie, bool on)
{
	struct fixture *f = cookie;

	note(f->hooks, sizeof(f->hooks), "memory %d; ", on);
}

static void on_command(void *cookie, uint16_t old, uint16_t now)
{
	struct fixture *f = cookie;

	note(f->hooks, sizeof(f->hooks), "command %x>%x; ", old, now);
}

static void on_power(void *cookie, unsigned int old, unsigned int now)
{
	struct fixture *f = cookie;

	note(f->hooks, sizeof(f->hooks), "power %u>%u; ", old, now);
}

static void on_reset(void *cookie, enum via_reset kind)
{
	struct fixture *f = cookie;

	assert_false(f->config && via_config_bus_master(f->config));
	if (kind == VIA_RESET_CLOSE)
		assert_false(via_irqs_message_mode(f->irqs));
	note(f->hooks, sizeof(f->hooks), "reset %d; ", kind);
}

static const struct via_config_ops hooks = {
	.memory = on_memory, .command = on_command, .power = on_power, .reset = on_reset,
};

static struct fixture *start(const struct via_config_desc *desc)
{
	struct fixture *f = test_calloc(1, sizeof(*f));
	struct via_irqs_desc irqs;
	struct via_config_dev dev;

	assert_int_equal(via_config_desc_check(desc, NULL), 0);
	via_config_irqs_desc(desc, &irqs);
	assert_int_equal(via_irqs_new(&irqs, NULL, NULL, &f->irqs), 0);
	assert_int_equal(via_regfile_new(desc, f->irqs, &f->regs), 0);
	via_regfile_dev(f->regs, &f->real);
	dev = (struct via_config_dev){ .ops = &log_ops, .cookie = f, .size = f->real.size };
	assert_int_equal(via_config_new_on(&dev, desc, &hooks, f, f->irqs, &f->config), 0);
	assert_string_equal(f->hooks, "");
	via_config_open(f->config);
	for (int i = 0; i < 16; i++)
		f->fds[i] = eventfd(0, EFD_NONBLOCK);
	f->log[0] = f->hooks[0] = '\0';
	return f;
}

static void stop(struct fixture *f)
{
	via_config_close(f->config);
	via_config_free(f->config);
	via_regfile_free(f->regs);
	via_irqs_free(f->irqs);
	for (int i = 0; i < 16; i++)
		close(f->fds[i]);
	test_free(f);
}

static int setup(void **state)
{
	*state = start(&device_r);
	return 0;
}

static int teardown(void **state)
{
	stop(*state);
	return 0;
}

static uint32_t get(struct fixture *f, unsigned int width, unsigned int pos)
{
	uint8_t bytes[4] = { 0 };

	assert_int_equal(via_config_read(f->config, pos, bytes, width), width);
	return via_get_le32(bytes);
}

/* Every write that is inside the space reports its full length. */
static void put(struct fixture *f, unsigned int width, unsigned int pos, uint32_t value)
{
	uint8_t bytes[4];

	via_put_le32(bytes, value);
	assert_int_equal(via_config_write(f->config, pos, bytes, width), width);
}

static int dup_fd(void *cookie, int fd, int *ret_fd)
{
	int copy = dup(fd);

	if (copy < 0)
		return -EBADF;
	*ret_fd = copy;
	return 0;
}

static int arm(struct fixture *f, unsigned int index, uint32_t n)
{
	struct via_set_irqs set = {
		.index = index, .count = n, .fds = f->fds, .fd_get = dup_fd,
		.flags = VIA_VFIO_IRQ_SET_ACTION_TRIGGER | VIA_VFIO_IRQ_SET_DATA_EVENTFD,
	};

	return via_irqs_set(f->irqs, &set);
}

static int disarm(struct fixture *f, unsigned int index)
{
	struct via_set_irqs set = {
		.index = index,
		.flags = VIA_VFIO_IRQ_SET_ACTION_TRIGGER | VIA_VFIO_IRQ_SET_DATA_NONE,
	};

	return via_irqs_set(f->irqs, &set);
}

static uint64_t count(struct fixture *f, unsigned int i)
{
	uint64_t n;

	return read(f->fds[i], &n, sizeof(n)) == sizeof(n) ? n : 0;
}

/* --- Tables ---------------------------------------------------------------- */

struct row {
	unsigned int pos;
	uint32_t virt, write;
};

static void test_t1_tables(void **state)
{
	/* The whole of the header (2.2) and of the capabilities (3.2 to 3.7), as dwords. */
	static const struct row rows[] = {
		{ 0x00, 0xffffffff, 0 },
		{ 0x04, 0x00100400, 0x0000ffff },
		{ 0x08, 0, 0 },
		{ 0x0c, 0, 0xff00ffff },
		{ 0x10, 0xffffffff, 0xffffffff },
		{ 0x14, 0xffffffff, 0xffffffff },
		{ 0x18, 0xffffffff, 0xffffffff },
		{ 0x1c, 0xffffffff, 0xffffffff },
		{ 0x20, 0xffffffff, 0xffffffff },
		{ 0x24, 0xffffffff, 0xffffffff },
		{ 0x28, 0, 0 },
		{ 0x2c, 0, 0 },
		{ 0x30, 0xffffffff, 0xffffffff },
		{ 0x34, 0x000000ff, 0 },
		{ 0x38, 0, 0 },
		{ 0x3c, 0x0000ffff, 0x000000ff },
		{ PM + 0, 0xf800ff00, 0 },
		{ PM + 4, 0x00008100, 0xffff7efc },
		/* Control, mask and pending: the strict variant of 3.5. */
		{ MSI + 0, 0x00ffff00, 0x00710000 },
		{ MSI + 4, 0xffffffff, 0xfffffffc },
		{ MSI + 8, 0xffffffff, 0xffffffff },
		{ MSI + 12, 0x0000ffff, 0x0000ffff },
		{ MSI + 16, 0xffffffff, 0x000000ff },
		{ MSI + 20, 0xffffffff, 0 },
		{ EXP + 0, 0x0000ff00, 0 },
		{ EXP + 4, 0, 0 },
		{ EXP + 8, 0x0000f0e0, 0x0000fdff },
		{ EXP + 0x0c, 0, 0 },
		{ EXP + 0x10, 0, 0 },
		{ EXP + 0x24, 0, 0 },
		{ EXP + 0x28, 0, 0x0000ffdf },
		{ EXP + 0x2c, 0, 0 },
		{ EXP + 0x30, 0, 0 },
		/* Beyond the 0x34 bytes that are shown: nobody's. */
		{ EXP + 0x34, 0xffffffff, 0 },
		{ MSIX + 0, 0x0000ff00, 0 },
		{ MSIX + 4, 0, 0 },
		{ MSIX + 8, 0, 0 },
		{ MSIX + 12, 0xffffffff, 0 },
		{ 0x100, 0xffffffff, 0 },
		{ 0xffc, 0xffffffff, 0 },
	};
	struct fixture *f = *state;
	struct via_config_masks *masks = test_malloc(sizeof(*masks));
	uint8_t *image = test_calloc(1, 4096);

	for (unsigned int pos = 0; pos < 4096; pos += 4) {
		uint32_t value;

		assert_int_equal(f->real.ops->read(f->real.cookie, pos, 4, &value), 0);
		via_put_le32(image + pos, value);
	}
	via_config_masks_build(masks, image, 4096);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint32_t virt = via_get_le32(masks->virt + rows[i].pos);
		uint32_t write = via_get_le32(masks->write + rows[i].pos);

		if (virt != rows[i].virt || write != rows[i].write)
			fail_msg("%#x: virt %#x write %#x, expected %#x %#x", rows[i].pos, virt,
				 write, rows[i].virt, rows[i].write);
	}
	assert_int_equal(via_get_le16(masks->w1c + 0x06), 0xf900);
	assert_int_equal(via_get_le16(masks->w1c + PM + 4), 0x8000);
	assert_int_equal(via_get_le16(masks->w1c + EXP + 10), 0x000f);
	test_free(masks);
	test_free(image);
}

/* Every layout of MSI, by which bytes take a write of ones (10, 14, 20, 24 bytes). */
static void test_msi_layouts(void **state)
{
	static const char *const expected[4] = {
		/*    id  ctrl      address     data */
		"00000000 fffffffc 0000ffff 00000000 00000000 00000000",
		"00000000 fffffffc ffffffff 0000ffff 00000000 00000000",
		"00000000 fffffffc 0000ffff 0000000f 00000000 00000000",
		"00000000 fffffffc ffffffff 0000ffff 0000000f 00000000",
	};

	for (unsigned int kind = 0; kind < 4; kind++) {
		struct via_config_desc desc = {
			.msi = { .vectors = 4, .addr64 = kind & 1, .maskable = kind & 2 },
		};
		struct fixture *f = start(&desc);
		char text[64] = "";

		assert_int_equal(get(f, 1, 0x34), 0x40);
		for (unsigned int pos = 0x40; pos < 0x58; pos += 4) {
			uint32_t old = get(f, 4, pos);

			put(f, 4, pos, 0xffffffff);
			note(text, sizeof(text), "%s%08x", pos == 0x40 ? "" : " ",
			     get(f, 4, pos) ^ old);
		}
		assert_string_equal(text, expected[kind]);
		stop(f);
	}
}

static void test_hostile_lists(void **state)
{
	struct via_config_masks *masks = test_malloc(sizeof(*masks));
	uint8_t *image = test_malloc(4096);

	srand(1);
	for (int round = 0; round < 2000; round++) {
		unsigned int pos, n = 0;

		for (unsigned int i = 0; i < 256; i++)
			image[i] = (uint8_t)rand();
		image[6] |= 0x10;
		/* Ids that are known make it likelier that something survives. */
		for (unsigned int i = 0x40; i < 256; i += 4)
			image[i] = (uint8_t[]){ 1, 5, 0x10, 0x11, 9 }[rand() % 5];
		via_config_masks_build(masks, image, 256);
		for (pos = image[0x34]; pos; pos = image[pos + 1]) {
			assert_true(pos >= 0x40 && pos % 4 == 0 && n++ < 48);
			assert_int_equal(masks->owner[pos].start, pos);
			assert_int_equal(masks->owner[pos].tag, image[pos]);
		}
		assert_int_equal(!!(image[6] & 0x10), n != 0);
	}
	test_free(masks);
	test_free(image);
}

static void make_list(uint8_t *image)
{
	memset(image, 0, 256);
	image[0x06] = 0x10;
	image[0x34] = 0x40;
	via_put_le16(image + 0x40, 0x5001); /* PM, next 50 */
	via_put_le16(image + 0x50, 0x6004); /* Slot ID, hidden, next 60 */
	via_put_le16(image + 0x60, 0x4011); /* MSI-X, next 40: a loop */
}

static void test_t9_t11_t12_lists(void **state)
{
	struct via_config_masks *masks = test_malloc(sizeof(*masks));
	uint8_t image[256];

	make_list(image);
	via_config_masks_build(masks, image, 256);
	assert_int_equal(image[0x34], 0x40);
	assert_int_equal(image[0x41], 0x60); /* T11 */
	assert_int_equal(image[0x61], 0);    /* T9 */
	assert_int_equal(masks->owner[0x50].tag, VIA_OWNER_NONE);
	assert_int_equal(image[0x50], 0);

	make_list(image); /* T12: nothing that is shown */
	image[0x34] = 0x50;
	image[0x51] = 0;
	via_config_masks_build(masks, image, 256);
	assert_int_equal(image[0x34], 0);
	assert_int_equal(image[0x06], 0);

	make_list(image); /* a capability at the end of the space that does not fit */
	image[0x61] = 0xf8;
	via_put_le16(image + 0xf8, 0x0011);
	via_config_masks_build(masks, image, 256);
	assert_int_equal(image[0x61], 0);

	make_list(image); /* overlap: the earlier keeps its bytes */
	image[0x41] = 0x44;
	via_put_le16(image + 0x44, 0x6011);
	via_config_masks_build(masks, image, 256);
	assert_int_equal(image[0x41], 0x60);
	test_free(masks);
}

/* --- Transactions ----------------------------------------------------------- */

static void test_t3_virtual_is_not_device(void **state)
{
	struct fixture *f = *state;

	put(f, 4, 0x10, 0xc0000000);
	assert_int_equal(get(f, 4, 0x10), 0xc000000c);
	assert_string_equal(f->log, "");
	/* Read-modify-write of the same width, also when nothing changes. */
	put(f, 2, 0x0c, 0);
	assert_string_equal(f->log, "r2@0c w2@0c=0 ");
}

static void test_t5_t6_splitting(void **state)
{
	struct fixture *f = *state;
	uint8_t bytes[8];

	assert_int_equal(via_config_read(f->config, 0x09, bytes, 7), 7);
	assert_string_equal(f->log, "r1@09 r2@0a r4@0c ");
	f->log[0] = '\0';
	assert_int_equal(via_config_read(f->config, 0x01, bytes, 7), 7);
	assert_string_equal(f->log, "r4@04 ");
	f->log[0] = '\0';
	assert_int_equal(via_config_read(f->config, 0x3e, bytes, 4), 4);
	assert_string_equal(f->log, "r2@3e r2@40 ");
	assert_memory_equal(bytes + 2, "\x01\x50", 2);
	f->log[0] = '\0';
	assert_int_equal(via_config_read(f->config, 0x41, bytes, 3), 3);
	assert_string_equal(f->log, "r2@42 ");
	f->log[0] = '\0';
	assert_int_equal(via_config_read(f->config, 0x08, bytes, 8), 8);
	assert_string_equal(f->log, "r4@08 r4@0c ");
	f->log[0] = '\0';
	/* The shown part of the capability ends at A4; beyond it nothing is asked of the device. */
	assert_int_equal(via_config_read(f->config, EXP + 0x32, bytes, 4), 4);
	assert_string_equal(f->log, "r2@a2 ");
}

static void test_t7_t8_bounds(void **state)
{
	struct fixture *f = *state;
	uint8_t *all = test_malloc(4096);

	assert_int_equal(via_config_size(f->config), 4096);
	assert_int_equal(via_config_read(f->config, 0, all, 4096), 4096);
	assert_int_equal(via_get_le32(all), 0x10f01af4);
	assert_int_equal(via_get_le32(all + 0x100), 0);
	assert_int_equal(via_config_read(f->config, 0xffe, all, 4), -EFAULT);
	assert_int_equal(via_config_read(f->config, 0x1000, all, 1), -EFAULT);
	assert_int_equal(via_config_read(f->config, UINT64_MAX, all, 2), -EFAULT);
	assert_int_equal(via_config_read(f->config, 0x3c, all, SIZE_MAX), -EFAULT);
	assert_int_equal(via_config_read(f->config, 0x2000, all, 0), 0);
	assert_int_equal(via_config_write(f->config, 0xfff, all, 2), -EFAULT);
	/* Nothing of a request that leaves the space is done. */
	memset(all, 0x77, 4096);
	assert_int_equal(via_config_write(f->config, 0x3c, all, 4096), -EFAULT);
	assert_int_equal(get(f, 1, 0x3c), 0);
	test_free(all);
}

static void test_conventional_size(void **state)
{
	struct via_config_desc desc = device_r;
	struct fixture *f;
	uint32_t value;

	put(*state, 2, 0x0c, 0x4010); /* PCI Express has no latency timer */
	assert_int_equal(get(*state, 2, 0x0c), 0x0010);
	desc.express.present = false;
	f = start(&desc);
	put(f, 2, 0x0c, 0x4010);
	assert_int_equal(get(f, 2, 0x0c), 0x4010);
	assert_int_equal(via_config_size(f->config), 256);
	assert_int_equal(via_config_read(f->config, 0xfe, &value, 4), -EFAULT);
	assert_int_equal(via_config_read(f->config, 0x100, &value, 4), -EFAULT);
	stop(f);
}

/* --- Header ------------------------------------------------------------------ */

static void test_t14_t18_bars(void **state)
{
	struct fixture *f = *state;

	for (unsigned int pos = 0x10; pos < 0x14; pos++)
		put(f, 1, pos, 0xff);
	assert_int_equal(get(f, 4, 0x10), 0xffff000c); /* T14 */
	put(f, 4, 0x10, 0);
	assert_int_equal(get(f, 4, 0x10), 0x0000000c);
	for (unsigned int pos = 0x10; pos < 0x34; pos += 4) {
		if (pos != 0x28 && pos != 0x2c)
			put(f, 4, pos, 0xffffffff);
	}
	assert_int_equal(get(f, 4, 0x10), 0xffff000c); /* T15 */
	assert_int_equal(get(f, 4, 0x14), 0xffffffff);
	assert_int_equal(get(f, 4, 0x18), 0xffffffc1); /* T16 */
	assert_int_equal(get(f, 4, 0x1c), 0xfffff000);
	assert_int_equal(get(f, 4, 0x20), 0x0000000c);
	assert_int_equal(get(f, 4, 0x24), 0xfffffffe);
	assert_int_equal(get(f, 4, 0x30), 0); /* no ROM */
	put(f, 4, 0x14, 0x12345678);	      /* T18 */
	assert_int_equal(get(f, 4, 0x14), 0x12345678);
	put(f, 2, 0x12, 0xabcd);
	assert_int_equal(get(f, 4, 0x10), 0xabcd000c);
}

static void test_unimplemented_bar(void **state)
{
	struct via_config_desc desc = { .bars[1] = { .size = 16 } };
	struct fixture *f = start(&desc);

	put(f, 4, 0x10, 0xffffffff);
	put(f, 4, 0x14, 0xffffffff);
	put(f, 4, 0x18, 0xffffffff);
	assert_int_equal(get(f, 4, 0x10), 0);
	assert_int_equal(get(f, 4, 0x14), 0xfffffff0);
	assert_int_equal(get(f, 4, 0x18), 0);
	/* No capabilities: no list. */
	assert_int_equal(get(f, 2, 0x06), 0);
	assert_int_equal(get(f, 1, 0x34), 0);
	stop(f);
}

static void test_t20_open_state(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(get(f, 2, 0x04), 0x0103);
	assert_int_equal(get(f, 2, 0x06), 0x0010);
	assert_false(via_config_bus_master(f->config));
	put(f, 2, 0x04, 0xffff);
	assert_int_equal(get(f, 2, 0x04), 0x0507); /* as the kernel shows of an edu or nvme */
	assert_true(via_config_bus_master(f->config));
	assert_string_equal(f->hooks, "command 103>507; ");
}

static void test_t21_t24_intx_disable(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(arm(f, VIA_IRQ_INTX, 1), 0);
	via_irqs_set_level(f->irqs, true);
	assert_int_equal(count(f, 0), 1);
	assert_int_equal(get(f, 2, 0x04) & 0x400, 0);	   /* T21: the host's mask is not shown */
	assert_int_equal(get(f, 2, 0x06), 0x0018);
	via_irqs_set_level(f->irqs, false);
	assert_int_equal(get(f, 2, 0x06), 0x0010);
	put(f, 2, 0x04, 0x0507); /* T22 */
	assert_int_equal(get(f, 2, 0x04), 0x0507);
	via_irqs_set_level(f->irqs, true); /* T23 */
	assert_int_equal(count(f, 0), 0);
	assert_int_equal(get(f, 2, 0x06), 0x0018);
	put(f, 2, 0x04, 0x0107); /* T24 */
	assert_int_equal(count(f, 0), 1);
	put(f, 2, 0x04, 0x0107);
	assert_int_equal(count(f, 0), 0);
}

static void test_t27_byte_command(void **state)
{
	struct fixture *f = *state;

	put(f, 1, 0x05, 0x04);
	assert_int_equal(get(f, 2, 0x04), 0x0403);
	assert_string_equal(f->hooks, "command 103>403; ");
	assert_int_equal(arm(f, VIA_IRQ_INTX, 1), 0);
	via_irqs_set_level(f->irqs, true);
	assert_int_equal(count(f, 0), 0);
	put(f, 1, 0x05, 0);
	assert_int_equal(count(f, 0), 1);
}

static void test_t28_status_survives_command_writes(void **state)
{
	struct fixture *f = *state;

	f->raised = 0x80000000;
	put(f, 4, 0x04, 0xffff0006);
	assert_int_equal(get(f, 4, 0x04), 0x80100006);
	put(f, 2, 0x06, 0xffff);
	assert_int_equal(get(f, 2, 0x06), 0x8010);
	via_config_reset(f->config, VIA_RESET_IOCTL);
	assert_int_equal(get(f, 4, 0x04), 0x00100006);
}

static void test_t29_t30_read_only(void **state)
{
	static const struct row rows[] = { /* width in virt */
		{ 0x00, 2, 0xdead }, { 0x3d, 1, 4 }, { 0x2c, 4, 0 }, { 0x34, 1, 0 },
		{ 0x0e, 1, 0x81 }, { 0x08, 4, 0x12345678 }, { 0x28, 4, 0xffffffff },
		{ 0x35, 1, 0xff }, { 0x38, 4, 0xffffffff }, { 0x3e, 2, 0xffff },
		{ MSI, 2, 0xffff }, { MSIX, 4, 0xffffffff }, { MSIX + 4, 4, 0xffffffff },
		{ MSIX + 8, 4, 0xffffffff }, { EXP, 4, 0xffffffff }, { EXP + 4, 4, 0 },
		{ EXP + 10, 2, 0x000f }, { EXP + 16, 2, 0x0003 }, /* T48 */
		{ 0xfc, 4, 0xffffffff }, { 0x100, 4, 0xffffffff }, { 0xffc, 4, 0xffffffff },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint32_t old = get(f, rows[i].virt, rows[i].pos);

		put(f, rows[i].virt, rows[i].pos, rows[i].write);
		assert_int_equal(get(f, rows[i].virt, rows[i].pos), old);
	}
	put(f, 1, 0x3c, 0x5a); /* T30 */
	assert_int_equal(get(f, 2, 0x3c), 0x015a);
}

static void test_memory_is_revoked_before_the_bit(void **state)
{
	struct fixture *f = *state;

	put(f, 2, 0x04, 0x0101);
	assert_string_equal(f->hooks, "memory 0; command 103>101; ");
	f->hooks[0] = '\0';
	put(f, 1, 0x04, 0x06);
	assert_string_equal(f->hooks, "command 101>106; memory 1; ");
	f->hooks[0] = '\0';
	via_config_close(f->config);
	assert_string_equal(f->hooks, "command 106>102; memory 0; reset 5; command 102>103; ");
	f->hooks[0] = '\0';
	via_config_open(f->config);
	assert_string_equal(f->hooks, "reset 0; memory 1; ");
}

static void test_t92_reopen_is_fresh(void **state)
{
	struct fixture *f = *state;

	put(f, 4, 0x10, 0xc0000000);
	put(f, 2, 0x04, 0x0507);
	put(f, 1, 0x3c, 0x5a);
	put(f, 4, MSI + 4, 0xfee00000);
	put(f, 4, MSI + 16, 0xff);
	assert_int_equal(arm(f, VIA_IRQ_MSI, 4), 0);
	via_config_close(f->config);
	assert_int_equal(get(f, 2, 0x04), 0x0103);
	via_config_open(f->config);
	assert_int_equal(get(f, 4, 0x10), 0x0000000c);
	assert_int_equal(get(f, 2, 0x04), 0x0103);
	assert_int_equal(get(f, 1, 0x3c), 0);
	assert_int_equal(get(f, 4, MSI + 4), 0);
	assert_int_equal(get(f, 4, MSI + 16), 0);
	assert_int_equal(disarm(f, VIA_IRQ_MSI), -EINVAL);
	/* What the last program granted does not clamp the next one's vectors wider. */
	put(f, 2, MSI + 2, 0x0031);
	assert_int_equal(get(f, 2, MSI + 2), 0x0186);
	/* And what it masked is not masked. */
	put(f, 2, 0x04, 0x0107);
	assert_int_equal(arm(f, VIA_IRQ_MSI, 4), 0);
	via_irqs_trigger(f->irqs, 1);
	assert_int_equal(count(f, 1), 1);
	assert_int_equal(arm(f, VIA_IRQ_REQ, 1), 0);
	via_config_close(f->config);
	assert_int_equal(disarm(f, VIA_IRQ_REQ), -EINVAL);
	via_config_open(f->config);
}

/* --- Power management ---------------------------------------------------------- */

static void test_t31_t32_power(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(get(f, 2, PM + 2), 0x0003); /* T31 */
	assert_int_equal(get(f, 2, PM + 4), 0x0008);
	put(f, 2, PM + 4, 0xff03); /* T32 */
	assert_int_equal(get(f, 2, PM + 4), 0x000b);
	assert_string_equal(f->hooks, "memory 0; power 0>3; ");
	assert_int_equal(arm(f, VIA_IRQ_MSI, 1), -EINVAL);
	assert_int_equal(arm(f, VIA_IRQ_MSIX, 1), -EINVAL);
	assert_int_equal(arm(f, VIA_IRQ_INTX, 1), 0);
	assert_int_equal(disarm(f, VIA_IRQ_INTX), 0);
	/* Config space works, memory stays off. */
	put(f, 2, 0x04, 0x0100);
	put(f, 2, 0x04, 0x0102);
	assert_int_equal(get(f, 2, 0x04), 0x0102);
	f->hooks[0] = '\0';
	put(f, 2, PM + 4, 0x0001); /* not upwards, and D1 does not exist */
	assert_int_equal(get(f, 2, PM + 4), 0x000b);
	put(f, 1, PM + 4, 0);
	assert_int_equal(get(f, 2, PM + 4), 0x0008);
	assert_string_equal(f->hooks, "power 3>0; memory 1; ");
	f->hooks[0] = '\0';
	put(f, 2, PM + 4, 0x0001); /* T32b */
	put(f, 2, PM + 4, 0x0002);
	put(f, 1, PM + 5, 0x03);
	assert_int_equal(get(f, 2, PM + 4), 0x0008);
	assert_string_equal(f->hooks, "");
}

static void test_d1_d2(void **state)
{
	struct fixture *f = *state;

	f->d1_d2 = true;
	put(f, 2, PM + 4, 2);
	assert_int_equal(get(f, 2, PM + 4), 0x000a);
	put(f, 2, PM + 4, 1); /* only deeper, or to D0 */
	assert_int_equal(get(f, 2, PM + 4), 0x000a);
	put(f, 2, PM + 4, 3);
	put(f, 2, PM + 4, 2);
	assert_int_equal(get(f, 2, PM + 4), 0x000b);
	put(f, 2, PM + 4, 0);
	put(f, 2, PM + 4, 1);
	assert_int_equal(get(f, 2, PM + 4), 0x0009);
	assert_string_equal(f->hooks, "power 0>2; memory 0; power 2>3; power 3>0; memory 1; "
				      "power 0>1; ");
}

static void test_soft_reset(void **state)
{
	struct fixture *f = *state;

	f->soft_reset = true;
	put(f, 4, 0x10, 0xc0000000);
	put(f, 2, PM + 4, 3);
	f->hooks[0] = '\0';
	put(f, 2, PM + 4, 0);
	assert_string_equal(f->hooks, "power 3>0; reset 3; memory 1; ");
	assert_int_equal(get(f, 4, 0x10), 0xc000000c);
}

static void test_reset_leaves_d3(void **state)
{
	struct fixture *f = *state;

	put(f, 2, PM + 4, 3);
	f->hooks[0] = '\0';
	via_config_reset(f->config, VIA_RESET_HOT);
	assert_string_equal(f->hooks, "power 3>0; reset 4; memory 1; ");
	assert_int_equal(get(f, 2, PM + 4), 0x0008);
}

/* --- MSI and MSI-X --------------------------------------------------------------- */

static void test_t33_t34_msi_control(void **state)
{
	struct fixture *f = *state;

	put(f, 2, MSI + 2, 0x01ff); /* T33, Q1 */
	assert_int_equal(get(f, 2, MSI + 2), 0x0186);
	put(f, 2, MSI + 2, 0);
	assert_int_equal(get(f, 2, MSI + 2), 0x0186);
	assert_int_equal(arm(f, VIA_IRQ_MSI, 4), 0);
	assert_int_equal(get(f, 2, MSI + 2), 0x0186); /* arming does not write it */
	put(f, 2, MSI + 2, 0x0031);
	assert_int_equal(get(f, 2, MSI + 2), 0x01a7); /* T34 */
	assert_int_equal(disarm(f, VIA_IRQ_MSI), 0);
	assert_int_equal(get(f, 2, MSI + 2), 0x01a7);
	put(f, 1, MSI + 2, 0x31);
	assert_int_equal(get(f, 2, MSI + 2), 0x01a6); /* the limit outlives disarming */
	assert_int_equal(arm(f, VIA_IRQ_MSI, 3), 0);
	put(f, 1, MSI + 2, 0x71);
	assert_int_equal(get(f, 2, MSI + 2), 0x01a7);
}

static void test_q18_header_write_keeps_msi_on(void **state)
{
	struct fixture *f = *state;

	put(f, 2, 0x04, 0x0107);
	assert_int_equal(arm(f, VIA_IRQ_MSI, 4), 0);
	put(f, 2, MSI, 0xffff);
	via_irqs_trigger(f->irqs, 1);
	assert_int_equal(count(f, 1), 1);
	/* Writing the control word with Enable off does switch it off. */
	put(f, 2, MSI + 2, 0x0020);
	via_irqs_trigger(f->irqs, 1);
	assert_int_equal(count(f, 1), 0);
	put(f, 2, MSI + 2, 0x0021);
	via_irqs_trigger(f->irqs, 1);
	via_irqs_trigger(f->irqs, 3);
	assert_int_equal(count(f, 1), 1);
	assert_int_equal(count(f, 3), 1);
	/* Two granted: the others have no message. */
	put(f, 2, MSI + 2, 0x0011);
	via_irqs_trigger(f->irqs, 3);
	assert_int_equal(count(f, 3), 0);
}

static void test_t35_t36_mask_pending(void **state)
{
	struct fixture *f = *state;

	put(f, 2, 0x04, 0x0107);
	assert_int_equal(arm(f, VIA_IRQ_MSI, 4), 0);
	put(f, 4, MSI + 16, 0xffffff02); /* bits of vectors that do not exist stay 0 */
	assert_int_equal(get(f, 4, MSI + 16), 0x02);
	via_irqs_trigger(f->irqs, 1);
	via_irqs_trigger(f->irqs, 1);
	assert_int_equal(count(f, 1), 0);
	assert_int_equal(get(f, 4, MSI + 20), 2);
	put(f, 4, MSI + 20, 0xffffffff); /* T36 */
	assert_int_equal(get(f, 4, MSI + 20), 2);
	put(f, 1, MSI + 16, 0);
	assert_int_equal(count(f, 1), 1);
	assert_int_equal(get(f, 4, MSI + 20), 0);
}

static void test_t37_t38_msix_control(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(get(f, 4, MSIX), 0x000f0011);
	assert_int_equal(get(f, 4, MSIX + 4), 0x2000);
	assert_int_equal(get(f, 4, MSIX + 8), 0x3000);
	put(f, 2, MSIX + 2, 0xc00f); /* T38 */
	assert_int_equal(get(f, 2, MSIX + 2), 0x000f);
	assert_int_equal(arm(f, VIA_IRQ_MSIX, 4), 0);
	assert_int_equal(get(f, 2, MSIX + 2), 0x800f); /* T37 */
	put(f, 2, MSIX + 2, 0x400f);
	assert_int_equal(get(f, 2, MSIX + 2), 0x800f);
	assert_int_equal(disarm(f, VIA_IRQ_MSIX), 0);
	assert_int_equal(get(f, 2, MSIX + 2), 0x000f);
}

/* --- PCI Express ------------------------------------------------------------------ */

static void test_t45_device_control(void **state)
{
	struct fixture *f = *state;
	uint32_t dev;

	assert_int_equal(get(f, 2, EXP + 8), 0x2810);
	put(f, 2, EXP + 8, 0xffff);
	assert_int_equal(get(f, 2, EXP + 8), 0x7dff);
	assert_string_equal(f->hooks, "memory 0; reset 2; memory 1; ");
	f->real.ops->read(f->real.cookie, EXP + 8, 2, &dev);
	assert_int_equal(dev, 0x2d1f);
	put(f, 2, EXP + 8, 0x1000);
	assert_int_equal(get(f, 2, EXP + 8), 0x1000);
	f->real.ops->read(f->real.cookie, EXP + 8, 2, &dev);
	assert_int_equal(dev, 0x1000);
	put(f, 2, EXP + 0x28, 0xffff); /* no second control bit exists yet */
	assert_int_equal(get(f, 2, EXP + 0x28), 0);
}

static void test_t49_read_request_floor(void **state)
{
	struct fixture *f = *state;
	uint32_t dev;

	f->real.ops->write(f->real.cookie, EXP + 8, 2, 0x2030); /* 256 byte payload */
	put(f, 2, EXP + 8, 0x0010);
	assert_int_equal(get(f, 2, EXP + 8) & 0x7000, 0);
	f->real.ops->read(f->real.cookie, EXP + 8, 2, &dev);
	assert_int_equal(dev, 0x1030);
}

static void test_t51_flr_keeps_config(void **state)
{
	struct fixture *f = *state;

	put(f, 4, 0x10, 0xc0000000);
	put(f, 2, 0x04, 0x0507);
	put(f, 4, MSI + 4, 0xfee01000);
	put(f, 1, 0x0c, 0x10);
	assert_int_equal(arm(f, VIA_IRQ_MSIX, 4), 0);
	via_irqs_set_level(f->irqs, true);
	assert_int_equal(get(f, 2, 0x06), 0x0018);
	f->hooks[0] = '\0';
	put(f, 1, EXP + 9, 0x80);
	/* No DMA while the model is reset. */
	assert_string_equal(f->hooks,
			    "memory 0; command 507>503; reset 2; command 503>507; memory 1; ");
	assert_int_equal(get(f, 4, 0x10), 0xc000000c);
	assert_int_equal(get(f, 2, 0x04), 0x0507);
	assert_int_equal(get(f, 4, MSI + 4), 0xfee01000);
	assert_int_equal(get(f, 1, 0x0c), 0x10);
	assert_int_equal(get(f, 2, 0x06), 0x0010);
	via_irqs_trigger(f->irqs, 2);
	assert_int_equal(count(f, 2), 1);
}

static void test_integrated_endpoint(void **state)
{
	struct via_config_desc desc = { .express = { .present = true, .integrated = true,
						     .max_payload = 1 } };
	struct fixture *f = start(&desc);

	assert_int_equal(get(f, 4, 0x40), 0x00920010);
	assert_int_equal(get(f, 4, 0x44), 0x10008021);
	assert_int_equal(get(f, 4, 0x4c), 0);
	put(f, 2, 0x48, 0x8000);
	assert_string_equal(f->hooks, "memory 0; reset 2; memory 1; ");
	stop(f);
}

/* What vfio-pci shows of QEMU's edu; the host's BAR address and interrupt line aside. */
static void test_edu_as_kernel(void **state)
{
	static const uint8_t kernel[] = {
		0x34, 0x12, 0xe8, 0x11, 0x03, 0x01, 0x10, 0x00, 0x10, 0x00, 0xff, 0x00, 0, 0, 0, 0,
		0x00, 0x00, 0x00, 0x00, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
		0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xf4, 0x1a, 0x00, 0x11,
		0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0, 0x00, 0x01, 0, 0,
		0x05, 0x00, 0x80, 0x00,
	};
	static const struct via_config_desc desc = {
		.ident = { .vendor = 0x1234, .device = 0x11e8, .class_code = 0x00ff00,
			   .revision = 0x10, .subsystem_vendor = 0x1af4,
			   .subsystem_device = 0x1100, .interrupt_pin = 1 },
		.bars[0] = { .size = 1 << 20 },
		.msi = { .vectors = 1, .addr64 = true },
	};
	static const struct via_config_ops no_hooks = { .memory = NULL };
	struct via_irqs_desc irqs_desc;
	struct via_config *config;
	struct via_irqs *irqs;
	uint8_t expected[256] = { 0 }, bytes[256];

	memcpy(expected, kernel, sizeof(kernel));
	via_config_irqs_desc(&desc, &irqs_desc);
	assert_int_equal(via_irqs_new(&irqs_desc, NULL, NULL, &irqs), 0);
	assert_int_equal(via_config_new(&desc, &no_hooks, NULL, irqs, NULL, &config), 0);
	via_config_open(config);
	assert_int_equal(via_config_read(config, 0, bytes, sizeof(bytes)), 256);
	assert_memory_equal(bytes, expected, 256);
	via_config_close(config);
	via_config_free(config);
	via_irqs_free(irqs);
}

/* --- T93, Q16: writers of one register lose nothing of each other --------------- */

static atomic_bool stop_threads;

static void *flip_byte(void *cookie)
{
	static atomic_uint next_pos;
	struct fixture *f = cookie;
	unsigned int pos = 0x10 + 3 - atomic_fetch_add(&next_pos, 1) % 2;

	for (unsigned int i = 0; !atomic_load(&stop_threads); i++) {
		put(f, 1, pos, i & 0xff);
		assert_int_equal(get(f, 1, pos), i & 0xff);
	}
	return NULL;
}

static void *disturb(void *cookie)
{
	struct fixture *f = cookie;

	for (unsigned int i = 0; !atomic_load(&stop_threads); i++) {
		put(f, 2, 0x04, i & 1 ? 0x0507 : 0x0103);
		put(f, 1, EXP + 9, 0x80);
		put(f, 4, MSI, i << 16);
		put(f, 1, PM + 4, i & 3);
		put(f, 4, MSI + 16, i);
		(void)get(f, 4, MSI + 20);
		(void)get(f, 2, MSIX + 2);
		if (i % 32 == 0)
			via_config_reset(f->config, VIA_RESET_IOCTL);
	}
	return NULL;
}

static void *arm_and_raise(void *cookie)
{
	struct fixture *f = cookie;

	for (unsigned int i = 0; !atomic_load(&stop_threads); i++) {
		(void)arm(f, i % 3, 1);
		via_irqs_trigger(f->irqs, 0);
		via_irqs_set_level(f->irqs, i & 4);
		(void)via_config_bus_master(f->config);
		(void)disarm(f, i % 3);
	}
	return NULL;
}

static void test_t93_threads(void **state)
{
	static void *(*const bodies[])(void *) = { flip_byte, flip_byte, disturb, arm_and_raise };
	struct timespec time = { .tv_nsec = 200000000 };
	static const struct via_config_ops no_hooks = { .memory = NULL };
	struct fixture f = { .log = "" };
	struct via_irqs_desc irqs;
	pthread_t threads[4];

	via_config_irqs_desc(&device_r, &irqs);
	assert_int_equal(via_irqs_new(&irqs, NULL, NULL, &f.irqs), 0);
	assert_int_equal(via_config_new(&device_r, &no_hooks, NULL, f.irqs, NULL, &f.config), 0);
	via_config_open(f.config);
	for (int i = 0; i < 16; i++)
		f.fds[i] = eventfd(0, EFD_NONBLOCK);
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, bodies[i], &f), 0);
	nanosleep(&time, NULL);
	atomic_store(&stop_threads, true);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	via_config_close(f.config);
	via_config_free(f.config);
	via_irqs_free(f.irqs);
	for (int i = 0; i < 16; i++)
		close(f.fds[i]);
}

static void test_descriptions_are_checked(void **state)
{
	struct via_config_desc bad[] = {
		{ .bars[0] = { .size = 24 } },
		{ .bars[0] = { .size = 8 } },
		{ .bars[0] = { .size = 2, .flags = VIA_BAR_IO } },
		{ .bars[0] = { .size = 1ull << 32 } },
		{ .bars[0] = { .size = 64, .flags = VIA_BAR_IO | VIA_BAR_MEM64 } },
		{ .bars[0] = { .size = 64, .flags = 8 } },
		{ .bars[5] = { .size = 64, .flags = VIA_BAR_MEM64 } },
		{ .bars = { { .size = 64, .flags = VIA_BAR_MEM64 }, { .size = 64 } } },
		{ .ident.class_code = 0x1000000 },
		{ .ident.interrupt_pin = 5 },
		{ .msi.vectors = 3 },
		{ .msi.vectors = 64 },
		{ .express.max_payload = 6 },
		{ .msix.vectors = 1 },
		{ .msix.vectors = 2049, .bars[0] = { .size = 1 << 20 } },
		{ .msix = { .vectors = 1, .table_bar = 6 }, .bars[0] = { .size = 4096 } },
		{ .msix = { .vectors = 1, .table_offset = 4 }, .bars[0] = { .size = 4096 } },
		{ .msix = { .vectors = 1, .table_offset = 4088, .pba_offset = 0 },
		  .bars[0] = { .size = 4096 } },
		{ .msix = { .vectors = 2, .pba_offset = 24 }, .bars[0] = { .size = 4096 } },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct via_error err = { 0 };
		struct via_config *config;

		if (via_config_new(&bad[i], &hooks, NULL, NULL, &err, &config) != -EINVAL)
			fail_msg("description %zu was taken", i);
		assert_int_equal(err.code, -EINVAL);
		assert_true(err.text[0]);
	}
}

int main(void)
{
#define WITH_R(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	static const struct CMUnitTest tests[] = {
		WITH_R(test_t1_tables),
		cmocka_unit_test(test_msi_layouts),
		cmocka_unit_test(test_hostile_lists),
		cmocka_unit_test(test_t9_t11_t12_lists),
		WITH_R(test_t3_virtual_is_not_device),
		WITH_R(test_t5_t6_splitting),
		WITH_R(test_t7_t8_bounds),
		WITH_R(test_conventional_size),
		WITH_R(test_t14_t18_bars),
		cmocka_unit_test(test_unimplemented_bar),
		WITH_R(test_t20_open_state),
		WITH_R(test_t21_t24_intx_disable),
		WITH_R(test_t27_byte_command),
		WITH_R(test_t28_status_survives_command_writes),
		WITH_R(test_t29_t30_read_only),
		WITH_R(test_memory_is_revoked_before_the_bit),
		WITH_R(test_t92_reopen_is_fresh),
		WITH_R(test_t31_t32_power),
		WITH_R(test_d1_d2),
		WITH_R(test_soft_reset),
		WITH_R(test_reset_leaves_d3),
		WITH_R(test_t33_t34_msi_control),
		WITH_R(test_q18_header_write_keeps_msi_on),
		WITH_R(test_t35_t36_mask_pending),
		WITH_R(test_t37_t38_msix_control),
		WITH_R(test_t45_device_control),
		WITH_R(test_t49_read_request_floor),
		WITH_R(test_t51_flr_keeps_config),
		cmocka_unit_test(test_integrated_endpoint),
		cmocka_unit_test(test_edu_as_kernel),
		cmocka_unit_test(test_t93_threads),
		cmocka_unit_test(test_descriptions_are_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
