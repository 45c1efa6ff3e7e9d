/* SPDX-License-Identifier: MIT */
/*
 * What the tests of config space share: the reference device R of
 * pci-config.md 9.1 with what is there of it (PM at 40, MSI at 50, PCI Express
 * at 70, MSI-X at B0), its device transactions and hooks written down. Names of
 * tests carry the numbers of the table there.
 */
#ifndef VIA_PCI_TEST_CONFIG_H
#define VIA_PCI_TEST_CONFIG_H

#include "pci/config.h"
#include "pci/dev.h"
#include "pci/masks.h"
#include "pci/regs.h"

#include <viaduct/abi/vfio.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
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

/* The whole of R: its other capabilities, in their places, and the ROM. */
enum { VPD = 0xc0, VNDR = 0xd0, SLOT = 0xe0, AF = 0xe8 };
enum { AER = 0x100, DSN = 0x148, PASID = 0x158, DVSEC = 0x160, POWER = 0x178 };

static const uint8_t vpd_bytes[] = { 0x82, 0x04, 0x00, 0x41, 0x42, 0x43, 0x44, 0x78 };
static const uint8_t ones[16] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
				  0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
static const uint32_t power_data[] = { 0x11111111, 0x22222222 };

static const struct via_pci_cap caps_r[] = {
	{ .kind = VIA_CAP_VPD, .offset = VPD,
	  .vpd = { vpd_bytes, sizeof(vpd_bytes), true } },
	{ .kind = VIA_CAP_VENDOR, .offset = VNDR, .vendor = { .writable = ones, .len = 13 } },
	{ .kind = VIA_CAP_OTHER, .offset = SLOT, .other = { .id = 4, .body = { .len = 2 } } },
	{ .kind = VIA_CAP_AF, .offset = AF },
	{ .kind = VIA_CAP_AER, .offset = AER },
	{ .kind = VIA_CAP_DSN, .offset = DSN, .dsn = 0x1122334455667788 },
	{ .kind = VIA_CAP_PASID, .offset = PASID, .pasid = { .width = 20 } },
	{ .kind = VIA_CAP_DVSEC, .offset = DVSEC,
	  .dvsec = { .vendor = 0x1234, .id = 7, .body = { .writable = ones, .len = 14 } } },
	{ .kind = VIA_CAP_POWER_BUDGET, .offset = POWER, .power_budget = { power_data, 2 } },
};

static inline struct via_config_desc whole_r(void)
{
	struct via_config_desc desc = device_r;

	desc.caps = caps_r;
	desc.n_caps = sizeof(caps_r) / sizeof(caps_r[0]);
	desc.rom_size = 64 << 10;
	return desc;
}

/* --- A function whose device transactions and hooks are written down ------- */

struct fixture {
	struct via_irqs *irqs;
	struct via_regfile *regs;
	struct via_config_dev real; /* the registers behind the log */
	struct via_config *config;
	char log[512];	/* device transactions, "r4@0c w2@04=0103 " */
	char hooks[512];
	unsigned int n_command_writes; /* of those that the log may have had no room for */
	uint32_t aer_status; /* latched bits of the AER capability at 0x100, beyond the library's */
	uint32_t raised; /* latched STATUS bits of the "hardware", at dword 4 */
	/* Power management of another kind than the library's own. */
	bool d1_d2, soft_reset, always_d0;
	struct {
		unsigned int pos;
		uint32_t clear, set;
	} patch; /* what reads at pos show is changed; pos 0: not */
	bool no_flr;	  /* neither by PCI Express nor by Advanced Features */
	bool every_bit;	  /* every register bit is implemented: bytes, instead of real */
	uint8_t bytes[VIA_CONFIG_SIZE_EXPRESS];
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
	if (f->every_bit) {
		*ret_value = 0;
		for (unsigned int i = 0; i < width; i++)
			*ret_value |= (uint32_t)f->bytes[pos + i] << 8 * i;
	} else {
		assert_int_equal(f->real.ops->read(f->real.cookie, pos, width, ret_value), 0);
	}
	if (f->patch.pos && pos == f->patch.pos)
		*ret_value = (*ret_value & ~f->patch.clear) | f->patch.set;
	if (f->no_flr && pos == EXP + PCI_EXP_DEVCAP)
		*ret_value &= ~PCI_EXP_DEVCAP_FLR;
	if (f->no_flr && pos == AF + PCI_AF_CAP)
		*ret_value &= ~PCI_AF_CAP_FLR;
	*ret_value |= raised_at(f, pos, width);
	if (pos == 0x104 && width == 4)
		*ret_value |= f->aer_status;
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
	f->n_command_writes += pos == PCI_COMMAND;
	if (pos == 0x104)
		f->aer_status &= ~value;
	if (f->always_d0 && pos == PM + PCI_PM_CSR)
		value &= ~PCI_PM_CSR_STATE;
	if (f->every_bit) {
		for (unsigned int i = 0; i < width; i++)
			f->bytes[pos + i] = (uint8_t)(value >> 8 * i);
		return 0;
	}
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

static int log_vpd(void *cookie, bool write, unsigned int address, uint8_t data[4])
{
	struct fixture *f = cookie;

	return f->real.ops->vpd(f->real.cookie, write, address, data);
}

static const struct via_config_dev_ops log_ops = {
	.read = log_read, .write = log_write, .init = log_init, .reset = log_reset, .vpd = log_vpd,
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
	assert_int_equal(via_regfile_new(desc, f->irqs, NULL, &f->regs), 0);
	via_regfile_dev(f->regs, &f->real);
	dev = (struct via_config_dev){ .ops = &log_ops, .cookie = f, .size = f->real.size,
				       .shown = f->real.shown };
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

static inline int setup(void **state)
{
	*state = start(&device_r);
	return 0;
}

/* From now on a write to the device changes every bit that it names. */
static inline void implement_every_bit(struct fixture *f)
{
	for (unsigned int pos = 0; pos < f->real.size; pos++) {
		uint32_t value;

		assert_int_equal(f->real.ops->read(f->real.cookie, pos, 1, &value), 0);
		f->bytes[pos] = (uint8_t)value;
	}
	f->every_bit = true;
}

static inline int setup_whole(void **state)
{
	struct via_config_desc desc = whole_r();

	*state = start(&desc);
	return 0;
}

static inline int teardown(void **state)
{
	stop(*state);
	return 0;
}

static inline uint32_t get(struct fixture *f, unsigned int width, unsigned int pos)
{
	uint8_t bytes[4] = { 0 };

	assert_int_equal(via_config_read(f->config, pos, bytes, width), width);
	return via_get_le32(bytes);
}

/* Every write that is inside the space reports its full length. */
static inline void put(struct fixture *f, unsigned int width, unsigned int pos, uint32_t value)
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

static inline int arm(struct fixture *f, unsigned int index, uint32_t n)
{
	struct via_set_irqs set = {
		.index = index, .count = n, .fds = f->fds, .fd_get = dup_fd,
		.flags = VIA_VFIO_IRQ_SET_ACTION_TRIGGER | VIA_VFIO_IRQ_SET_DATA_EVENTFD,
	};

	return via_irqs_set(f->irqs, &set);
}

static inline int disarm(struct fixture *f, unsigned int index)
{
	struct via_set_irqs set = {
		.index = index,
		.flags = VIA_VFIO_IRQ_SET_ACTION_TRIGGER | VIA_VFIO_IRQ_SET_DATA_NONE,
	};

	return via_irqs_set(f->irqs, &set);
}

static inline uint64_t count(struct fixture *f, unsigned int i)
{
	uint64_t n;

	return read(f->fds[i], &n, sizeof(n)) == sizeof(n) ? n : 0;
}

struct row {
	unsigned int pos;
	uint32_t virt, write;
};

/* The masks of what the device of f shows, each dword of rows compared. To be freed. */
static inline struct via_config_masks *checked_masks(struct fixture *f, const struct row *rows,
						     size_t n)
{
	struct via_config_masks *masks = test_malloc(sizeof(*masks));
	uint8_t *image = test_calloc(1, VIA_CONFIG_SIZE_EXPRESS);

	for (unsigned int pos = 0; pos < f->real.size; pos += 4) {
		uint32_t value;

		assert_int_equal(f->real.ops->read(f->real.cookie, pos, 4, &value), 0);
		via_put_le32(image + pos, value);
	}
	via_config_masks_build(masks, image, f->real.size, &(struct via_config_policy){ 0 });
	for (size_t i = 0; i < n; i++) {
		uint32_t virt = via_get_le32(masks->virt + rows[i].pos);
		uint32_t write = via_get_le32(masks->write + rows[i].pos);

		if (virt != rows[i].virt || write != rows[i].write)
			fail_msg("%#x: virt %#x write %#x, expected %#x %#x", rows[i].pos, virt,
				 write, rows[i].virt, rows[i].write);
	}
	test_free(image);
	return masks;
}

#define WITH_WHOLE_R(name) cmocka_unit_test_setup_teardown(name, setup_whole, teardown)
#define WITH_R(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
