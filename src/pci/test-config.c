/* SPDX-License-Identifier: MIT */
/* Transactions, the header, life and threads of config space. */
#include "pci/test-config.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

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

static void test_t14_t15_t16_t18_bars(void **state)
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

/* --- What the host left in COMMAND ------------------------------------------ */

static int left_read(void *cookie, unsigned int pos, unsigned int width, uint32_t *ret_value)
{
	uint8_t bytes[4] = { 0 };

	memcpy(bytes, (uint8_t *)cookie + pos, width);
	*ret_value = via_get_le32(bytes);
	return 0;
}

static int left_write(void *cookie, unsigned int pos, unsigned int width, uint32_t value)
{
	uint8_t bytes[4];

	via_put_le32(bytes, value);
	memcpy((uint8_t *)cookie + pos, bytes, width);
	return 0;
}

static void left_init(void *cookie)
{
	via_put_le16((uint8_t *)cookie + PCI_COMMAND, PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE);
}

static void left_reset(void *cookie)
{
}

/* pci-config.md 6.1: an open clears Bus Master, and both engines agree on the rest. */
static void test_command_that_was_left(void **state)
{
	static const struct via_config_dev_ops ops = { .read = left_read, .write = left_write,
						       .init = left_init, .reset = left_reset };
	static const struct via_config_ops no_hooks = { .memory = NULL };
	uint8_t registers[256] = { [PCI_INTERRUPT_PIN] = 1 };
	struct via_config_dev dev = { .ops = &ops, .cookie = registers, .size = 256 };
	struct via_irqs_desc irqs = { .intx = true };
	struct fixture f = { .fds[0] = eventfd(0, EFD_NONBLOCK) };
	struct via_config_desc desc = { 0 };

	assert_int_equal(via_irqs_new(&irqs, NULL, NULL, &f.irqs), 0);
	assert_int_equal(via_config_new_on(&dev, &desc, &no_hooks, NULL, f.irqs, &f.config), 0);
	assert_false(via_config_bus_master(f.config));
	via_config_open(f.config);
	assert_false(via_config_bus_master(f.config));
	assert_int_equal(get(&f, 2, PCI_COMMAND), PCI_COMMAND_INTX_DISABLE);
	assert_int_equal(arm(&f, VIA_IRQ_INTX, 1), 0);
	via_irqs_set_level(f.irqs, true);
	assert_int_equal(count(&f, 0), 0);
	put(&f, 2, PCI_COMMAND, 0);
	assert_int_equal(count(&f, 0), 1);
	via_config_close(f.config);
	assert_false(via_config_bus_master(f.config));
	via_config_free(f.config);
	via_irqs_free(f.irqs);
	close(f.fds[0]);
}

static void test_t21_t22_t23_t24_intx_disable(void **state)
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

/* --- Reads that take no lock ------------------------------------------------ */

static void *read_ids(void *cookie)
{
	struct fixture *f = cookie;

	assert_int_equal(get(f, 4, PCI_VENDOR_ID), 0x10f01af4);
	assert_int_equal(get(f, 2, PCI_DEVICE_ID), 0x10f0);
	assert_int_equal(get(f, 1, PCI_BAR(2)), 1);
	return NULL;
}

/* With the config lock held by somebody who waits for the reader. */
static void wait_for_reader(void *cookie, uint16_t old, uint16_t now)
{
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, read_ids, cookie), 0);
	pthread_join(thread, NULL);
}

static void test_virtual_reads_do_not_wait(void **state)
{
	static const struct via_config_ops waiting = { .command = wait_for_reader };
	struct fixture f = { .log = "" };
	struct via_irqs_desc irqs;

	via_config_irqs_desc(&device_r, &irqs);
	assert_int_equal(via_irqs_new(&irqs, NULL, NULL, &f.irqs), 0);
	assert_int_equal(via_config_new(&device_r, &waiting, &f, f.irqs, NULL, &f.config), 0);
	via_config_open(f.config);
	put(&f, 2, PCI_COMMAND, PCI_COMMAND_MASTER);
	via_config_close(f.config);
	via_config_free(f.config);
	via_irqs_free(f.irqs);
}

/* What a transaction does shows as a whole: the low bits of a BAR are never the written ones. */
static void *write_bars(void *cookie)
{
	struct fixture *f = cookie;

	for (uint32_t i = 0; !atomic_load(&stop_threads); i++) {
		put(f, 4, PCI_BAR(1), i & 1 ? 0xffffffff : 0);
		put(f, 4, PCI_BAR(0), i & 2 ? 0xffffffff : 0);
		if (i % 16 == 0)
			put(f, 2, EXP + PCI_EXP_DEVCTL, PCI_EXP_DEVCTL_FLR);
	}
	return NULL;
}

static void test_reads_are_whole(void **state)
{
	struct fixture *f = *state;
	pthread_t thread;

	atomic_store(&stop_threads, false);
	f->log[0] = '\0';
	assert_int_equal(pthread_create(&thread, NULL, write_bars, f), 0);
	for (unsigned int i = 0; i < 2000000; i++) {
		uint32_t high = get(f, 4, PCI_BAR(1)), low = get(f, 4, PCI_BAR(0));

		if (high != 0 && high != 0xffffffff)
			fail_msg("%#x", high);
		if (low != 0xffff000c && low != 0xc)
			fail_msg("%#x", low);
		if (i % 64 == 0)
			assert_int_equal(get(f, 2, EXP + PCI_EXP_DEVCTL) & PCI_EXP_DEVCTL_FLR, 0);
	}
	atomic_store(&stop_threads, true);
	pthread_join(thread, NULL);
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
		{ .bars[0] = { .size = 64, .flags = VIA_BAR_IO | VIA_BAR_PREFETCH } },
		{ .rom_size = 3000 },
		{ .msix = { .vectors = 1, .pba_offset = 64 },
		  .bars[0] = { .size = 4096, .flags = VIA_BAR_IO } },
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
	static const struct CMUnitTest tests[] = {
		WITH_R(test_t3_virtual_is_not_device),
		WITH_R(test_t5_t6_splitting),
		WITH_R(test_t7_t8_bounds),
		WITH_R(test_conventional_size),
		WITH_R(test_t14_t15_t16_t18_bars),
		cmocka_unit_test(test_unimplemented_bar),
		WITH_R(test_t20_open_state),
		cmocka_unit_test(test_command_that_was_left),
		WITH_R(test_t21_t22_t23_t24_intx_disable),
		WITH_R(test_t27_byte_command),
		WITH_R(test_t28_status_survives_command_writes),
		WITH_R(test_t29_t30_read_only),
		WITH_R(test_memory_is_revoked_before_the_bit),
		WITH_R(test_t92_reopen_is_fresh),
		cmocka_unit_test(test_edu_as_kernel),
		cmocka_unit_test(test_t93_threads),
		cmocka_unit_test(test_virtual_reads_do_not_wait),
		WITH_R(test_reads_are_whole),
		cmocka_unit_test(test_descriptions_are_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
