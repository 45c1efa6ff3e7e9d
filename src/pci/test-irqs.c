/* SPDX-License-Identifier: MIT */
/* Delivery of interrupts; names carry the numbers of pci-config.md 9. */
#include "pci/msix.h"
#include "pci/test-irqs.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static const struct via_irqs_desc desc_r = {
	.intx = true, .express = true, .msi = 8, .msi_maskable = true, .msix = 16,
};

static int setup(void **state)
{
	struct rig *rig = test_malloc(sizeof(*rig));

	rig_init(rig, &desc_r);
	*state = rig;
	return 0;
}

static int teardown(void **state)
{
	rig_deinit(*state);
	test_free(*state);
	return 0;
}

/* --- INTx ------------------------------------------------------------------- */

static void test_t25_automask(void **state)
{
	struct rig *rig = *state;

	assert_int_equal(rig_arm(rig, VIA_IRQ_INTX, 0, 1), 0);
	via_irqs_set_level(rig->irqs, true);
	via_irqs_set_level(rig->irqs, true);
	via_irqs_set_level(rig->irqs, false);
	via_irqs_set_level(rig->irqs, true);
	assert_int_equal(rig_count(rig, 0), 1);
	assert_true(via_irqs_level(rig->irqs));
}

static void test_t26_unmask(void **state)
{
	struct rig *rig = *state;

	assert_int_equal(rig_arm(rig, VIA_IRQ_INTX, 0, 1), 0);
	via_irqs_set_level(rig->irqs, true);
	assert_int_equal(rig_count(rig, 0), 1);
	assert_int_equal(rig_set(rig, UNMASK | NONE, VIA_IRQ_INTX, 0, 1, NULL), 0);
	assert_int_equal(rig_count(rig, 0), 1);
	via_irqs_set_level(rig->irqs, false);
	assert_int_equal(rig_set(rig, UNMASK | NONE, VIA_IRQ_INTX, 0, 1, NULL), 0);
	assert_int_equal(rig_count(rig, 0), 0);
	/* Unmasking what is not masked signals nothing either. */
	assert_int_equal(rig_set(rig, UNMASK | BOOL, VIA_IRQ_INTX, 0, 1, "\1"), 0);
	via_irqs_set_level(rig->irqs, true);
	assert_int_equal(rig_count(rig, 0), 1);
	/* A BOOL of 0 asks for nothing. */
	assert_int_equal(rig_set(rig, UNMASK | BOOL, VIA_IRQ_INTX, 0, 1, "\0"), 0);
	assert_int_equal(rig_count(rig, 0), 0);
}

static void test_mask(void **state)
{
	struct rig *rig = *state;

	assert_int_equal(rig_arm(rig, VIA_IRQ_INTX, 0, 1), 0);
	assert_int_equal(rig_set(rig, MASK | BOOL, VIA_IRQ_INTX, 0, 1, "\1"), 0);
	via_irqs_set_level(rig->irqs, true);
	assert_int_equal(rig_count(rig, 0), 0);
	assert_int_equal(rig_set(rig, MASK | BOOL, VIA_IRQ_INTX, 0, 1, "\1"), 0);
	assert_int_equal(rig_set(rig, MASK | NONE, VIA_IRQ_INTX, 0, 1, NULL), 0);
	assert_int_equal(rig_count(rig, 0), 0);
	/* Loopback goes past the mask and leaves it. */
	assert_int_equal(rig_set(rig, TRIGGER | NONE, VIA_IRQ_INTX, 0, 1, NULL), 0);
	assert_int_equal(rig_count(rig, 0), 1);
	assert_int_equal(rig_set(rig, UNMASK | NONE, VIA_IRQ_INTX, 0, 1, NULL), 0);
	assert_int_equal(rig_count(rig, 0), 1);
}

static void test_arm_with_line_high(void **state)
{
	struct rig *rig = *state;

	via_irqs_set_level(rig->irqs, true);
	assert_int_equal(rig_arm(rig, VIA_IRQ_INTX, 0, 1), 0);
	assert_int_equal(rig_count(rig, 0), 1);
	assert_int_equal(rig_disarm(rig, VIA_IRQ_INTX), 0);
	via_irqs_set_intx_disable(rig->irqs, true);
	assert_int_equal(rig_arm(rig, VIA_IRQ_INTX, 0, 1), 0);
	assert_int_equal(rig_count(rig, 0), 0);
	/* No signal of any kind while the program's INTx Disable is set. */
	assert_int_equal(rig_set(rig, TRIGGER | NONE, VIA_IRQ_INTX, 0, 1, NULL), 0);
	assert_int_equal(rig_set(rig, UNMASK | NONE, VIA_IRQ_INTX, 0, 1, NULL), 0);
	assert_int_equal(rig_count(rig, 0), 0);
	via_irqs_set_intx_disable(rig->irqs, false);
	assert_int_equal(rig_count(rig, 0), 1);
}

static void test_disable_while_unmasked(void **state)
{
	struct rig *rig = *state;

	assert_int_equal(rig_arm(rig, VIA_IRQ_INTX, 0, 1), 0);
	via_irqs_set_intx_disable(rig->irqs, true);
	via_irqs_set_level(rig->irqs, true);
	assert_int_equal(rig_count(rig, 0), 0);
	via_irqs_set_intx_disable(rig->irqs, false);
	assert_int_equal(rig_count(rig, 0), 1);
}

static void test_q12_clearing_disable_cancels_mask(void **state)
{
	struct rig *rig = *state;

	assert_int_equal(rig_arm(rig, VIA_IRQ_INTX, 0, 1), 0);
	assert_int_equal(rig_set(rig, MASK | NONE, VIA_IRQ_INTX, 0, 1, NULL), 0);
	via_irqs_set_intx_disable(rig->irqs, true);
	via_irqs_set_level(rig->irqs, true);
	via_irqs_set_intx_disable(rig->irqs, false);
	assert_int_equal(rig_count(rig, 0), 1);
}

static void test_t81_resample(void **state)
{
	struct rig *rig = *state;
	int unmask = eventfd(0, 0);
	uint64_t five = 5;

	assert_int_equal(rig_arm(rig, VIA_IRQ_INTX, 0, 1), 0);
	assert_int_equal(rig_set(rig, UNMASK | EVENTFD, VIA_IRQ_INTX, 0, 1, &unmask), 0);
	assert_true(rig->watched >= 0);
	via_irqs_set_level(rig->irqs, true);
	assert_int_equal(rig_count(rig, 0), 1);
	/* A wake without a count, for example one that came too late: nothing, and no wait. */
	via_irqs_resample(rig->irqs);
	assert_int_equal(rig_count(rig, 0), 0);
	assert_int_equal(write(unmask, &five, sizeof(five)), sizeof(five));
	via_irqs_resample(rig->irqs);
	via_irqs_resample(rig->irqs);
	assert_int_equal(rig_count(rig, 0), 1);
	assert_int_equal(rig_disarm(rig, VIA_IRQ_INTX), 0);
	assert_int_equal(rig->watched, -1);
	assert_int_equal(rig->unwatched, 1);
	via_irqs_resample(rig->irqs);
	close(unmask);
}

static void test_t80_resample_attach(void **state)
{
	struct rig *rig = *state;

	assert_int_equal(rig_arm(rig, VIA_IRQ_INTX, 0, 1), 0);
	assert_int_equal(rig_set(rig, MASK | EVENTFD, VIA_IRQ_INTX, 0, 1, rig->fds), -ENOTTY);
	assert_int_equal(rig_set(rig, UNMASK | EVENTFD, VIA_IRQ_INTX, 0, 1, rig->fds + 1), 0);
	assert_int_equal(rig_set(rig, UNMASK | EVENTFD, VIA_IRQ_INTX, 0, 1, rig->fds + 2), -EBUSY);
	assert_int_equal(rig->unwatched, 0);
	assert_int_equal(rig_set(rig, UNMASK | EVENTFD, VIA_IRQ_INTX, 0, 1, &(int){ -1 }), 0);
	assert_int_equal(rig->unwatched, 1);
	assert_int_equal(rig_set(rig, UNMASK | EVENTFD, VIA_IRQ_INTX, 0, 1, &(int){ -1 }), 0);
	assert_int_equal(rig->unwatched, 1);
	assert_int_equal(rig_set(rig, UNMASK | EVENTFD, VIA_IRQ_INTX, 0, 1, rig->fds + 2), 0);
}

static void test_no_intx_while_messages(void **state)
{
	struct rig *rig = *state;

	via_irqs_set_level(rig->irqs, true);
	assert_int_equal(rig_arm(rig, VIA_IRQ_MSI, 0, 1), 0);
	via_irqs_set_level(rig->irqs, true);
	assert_int_equal(rig_count(rig, 0), 0);
}

/* --- MSI ---------------------------------------------------------------------- */

static void test_msi_mask_and_connect(void **state)
{
	struct rig *rig = *state;
	int minus[1] = { -1 };

	assert_int_equal(rig_arm(rig, VIA_IRQ_MSI, 0, 8), 0);
	assert_true(via_irqs_message_mode(rig->irqs));
	for (unsigned int i = 0; i < 8; i++) {
		via_irqs_trigger(rig->irqs, i);
		assert_int_equal(rig_count(rig, i), 1);
	}
	/* Q22: vectors do not depend on vector 0. */
	assert_int_equal(rig_set(rig, TRIGGER | EVENTFD, VIA_IRQ_MSI, 0, 1, minus), 0);
	via_irqs_trigger(rig->irqs, 1);
	assert_int_equal(rig_count(rig, 1), 1);
	/* Not connected: latched, sent on connect. */
	via_irqs_trigger(rig->irqs, 0);
	assert_int_equal(rig_count(rig, 0), 0);
	assert_int_equal(via_irqs_msi_pending(rig->irqs), 1);
	assert_int_equal(rig_arm(rig, VIA_IRQ_MSI, 0, 1), 0);
	assert_int_equal(rig_count(rig, 0), 1);
	/* Masked by the program and not connected: both must end. */
	via_irqs_set_msi_mask(rig->irqs, 1);
	assert_int_equal(rig_set(rig, TRIGGER | EVENTFD, VIA_IRQ_MSI, 0, 1, minus), 0);
	via_irqs_trigger(rig->irqs, 0);
	assert_int_equal(rig_arm(rig, VIA_IRQ_MSI, 0, 1), 0);
	assert_int_equal(rig_count(rig, 0), 0);
	via_irqs_set_msi_mask(rig->irqs, 0);
	assert_int_equal(rig_count(rig, 0), 1);
	/* Reset forgets what was pending and keeps the arrangement. */
	via_irqs_set_msi_mask(rig->irqs, 4);
	via_irqs_trigger(rig->irqs, 2);
	via_irqs_reset(rig->irqs);
	via_irqs_set_msi_mask(rig->irqs, 0);
	assert_int_equal(rig_count(rig, 2), 0);
	via_irqs_trigger(rig->irqs, 2);
	assert_int_equal(rig_count(rig, 2), 1);
}

static void test_plain_msi_drops(void **state)
{
	static const struct via_irqs_desc desc = { .msi = 2 };
	struct rig rig;

	rig_init(&rig, &desc);
	via_irqs_trigger(rig.irqs, 0); /* not armed */
	assert_int_equal(rig_set(&rig, TRIGGER | EVENTFD, VIA_IRQ_MSI, 0, 2,
				 (int[]){ -1, rig.fds[1] }), 0);
	via_irqs_trigger(rig.irqs, 0);
	assert_int_equal(rig_arm(&rig, VIA_IRQ_MSI, 0, 1), 0);
	assert_int_equal(rig_count(&rig, 0), 0);
	assert_int_equal(via_irqs_dropped(rig.irqs), 1);
	via_irqs_trigger(rig.irqs, 2);
	assert_int_equal(via_irqs_dropped(rig.irqs), 2);
	rig_deinit(&rig);
}

static int trigger_and_get(void *cookie, int fd, int *ret_fd)
{
	via_irqs_trigger(((struct rig *)cookie)->irqs, 0);
	return rig_fd_get(NULL, fd, ret_fd);
}

/* One that comes while eventfds are exchanged goes to one of them, also without a pending bit. */
static void test_swap_loses_nothing(void **state)
{
	static const struct via_irqs_desc plain = { .msi = 1 };
	struct rig rig;
	struct via_set_irqs set;

	rig_init(&rig, &plain);
	set = (struct via_set_irqs){ .index = VIA_IRQ_MSI, .count = 1, .flags = TRIGGER | EVENTFD,
				     .fds = rig.fds + 1, .fd_get = trigger_and_get,
				     .cookie = &rig };
	assert_int_equal(rig_arm(&rig, VIA_IRQ_MSI, 0, 1), 0);
	assert_int_equal(via_irqs_set(rig.irqs, &set), 0);
	assert_int_equal(rig_count(&rig, 0), 1);
	assert_int_equal(rig_count(&rig, 1), 0);
	via_irqs_trigger(rig.irqs, 0);
	assert_int_equal(rig_count(&rig, 1), 1);
	assert_int_equal(via_irqs_dropped(rig.irqs), 0);
	rig_deinit(&rig);
}

static void test_bus_master_off_drops(void **state)
{
	struct rig *rig = *state;

	for (uint32_t index = VIA_IRQ_MSI; index <= VIA_IRQ_MSIX; index++) {
		uint64_t dropped = via_irqs_dropped(rig->irqs);

		assert_int_equal(rig_arm(rig, index, 0, 2), 0);
		via_irqs_set_bus_master(rig->irqs, false);
		via_irqs_trigger(rig->irqs, 1);
		assert_int_equal(rig_count(rig, 1), 0);
		assert_int_equal(via_irqs_dropped(rig->irqs), dropped + 1);
		via_irqs_set_bus_master(rig->irqs, true);
		assert_int_equal(rig_count(rig, 1), 0);
		via_irqs_trigger(rig->irqs, 1);
		assert_int_equal(rig_count(rig, 1), 1);
		assert_int_equal(rig_disarm(rig, index), 0);
	}
}

/* --- MSI-X ---------------------------------------------------------------------- */

static void test_msix_entry_mask(void **state)
{
	struct rig *rig = *state;

	assert_int_equal(via_msix_table_read(rig->irqs, 16 + 12, 4), 1);
	assert_int_equal(rig_arm(rig, VIA_IRQ_MSIX, 0, 4), 0);
	assert_int_equal(via_msix_table_read(rig->irqs, 16 + 12, 4), 0);
	assert_int_equal(via_msix_table_read(rig->irqs, 16 * 5 + 12, 4), 1);
	via_msix_table_write(rig->irqs, 16 + 12, 4, 1);
	via_irqs_trigger(rig->irqs, 1);
	via_irqs_trigger(rig->irqs, 1);
	via_irqs_trigger(rig->irqs, 0);
	assert_int_equal(rig_count(rig, 1), 0);
	assert_int_equal(rig_count(rig, 0), 1);
	assert_int_equal(via_msix_pba_read(rig->irqs, 0, 8), 2);
	via_msix_table_write(rig->irqs, 16 + 12, 1, 0);
	assert_int_equal(rig_count(rig, 1), 1);
	assert_int_equal(via_msix_pba_read(rig->irqs, 0, 8), 0);
	/* A vector nobody connected: latched, visible, sent on connect (dynamic). */
	via_irqs_trigger(rig->irqs, 15);
	assert_int_equal(via_msix_pba_read(rig->irqs, 0, 4), 0x8000);
	assert_int_equal(via_msix_pba_read(rig->irqs, 1, 1), 0x80);
	assert_int_equal(rig_arm(rig, VIA_IRQ_MSIX, 15, 1), 0);
	assert_int_equal(rig_count(rig, 15), 1);
	/* Beyond the table. */
	via_irqs_trigger(rig->irqs, 16);
	assert_int_equal(via_irqs_dropped(rig->irqs), 1);
	via_irqs_trigger(rig->irqs, UINT32_MAX);
	/* Nothing of it is left for the next arrangement. */
	via_irqs_trigger(rig->irqs, 9);
	assert_int_equal(rig_disarm(rig, VIA_IRQ_MSIX), 0);
	assert_int_equal(via_msix_pba_read(rig->irqs, 0, 8), 0);
	assert_int_equal(rig_arm(rig, VIA_IRQ_MSIX, 0, 16), 0);
	assert_int_equal(rig_count(rig, 9), 0);
}

static void test_msix_function_mask(void **state)
{
	struct rig *rig = *state;

	assert_int_equal(rig_arm(rig, VIA_IRQ_MSIX, 0, 4), 0);
	via_irqs_msix_function_mask(rig->irqs, true);
	via_irqs_trigger(rig->irqs, 2);
	via_irqs_trigger(rig->irqs, 3);
	via_msix_table_write(rig->irqs, 16 * 3 + 12, 4, 1);
	assert_int_equal(rig_count(rig, 2), 0);
	assert_int_equal(via_msix_pba_read(rig->irqs, 0, 8), 12);
	via_irqs_msix_function_mask(rig->irqs, false);
	assert_int_equal(rig_count(rig, 2), 1);
	assert_int_equal(rig_count(rig, 3), 0);
	assert_int_equal(via_msix_pba_read(rig->irqs, 0, 8), 8);
}

static void test_msix_registers(void **state)
{
	struct rig *rig = *state;
	uint64_t end = via_msix_table_size(16);

	assert_int_equal(end, 256);
	assert_int_equal(via_msix_pba_size(16), 8);
	assert_int_equal(via_msix_pba_size(65), 16);
	via_msix_table_write(rig->irqs, 16, 8, 0x1122334455667788);
	assert_int_equal(via_msix_table_read(rig->irqs, 16, 8), 0x1122334455667788);
	via_msix_table_write(rig->irqs, 16, 4, 0xffffffff);
	assert_int_equal(via_msix_table_read(rig->irqs, 16, 4), 0xfffffffc);
	via_msix_table_write(rig->irqs, 16 + 8, 8, 0xffffffff12345678);
	assert_int_equal(via_msix_table_read(rig->irqs, 16 + 8, 8), 0x0000000112345678);
	via_msix_table_write(rig->irqs, 16 + 10, 2, 0xabcd);
	assert_int_equal(via_msix_table_read(rig->irqs, 16 + 8, 4), 0xabcd5678);
	assert_int_equal(via_msix_table_read(rig->irqs, 16 + 9, 1), 0x56);
	/* Across two entries and past the end. */
	via_msix_table_write(rig->irqs, 12, 8, 0x5555555000000000);
	assert_int_equal(via_msix_table_read(rig->irqs, 12, 8), 0x5555555000000000);
	assert_int_equal(via_msix_table_read(rig->irqs, end - 4, 8), 1);
	via_msix_table_write(rig->irqs, end - 4, 8, 0);
	assert_int_equal(via_msix_table_read(rig->irqs, end, 8), 0);
	assert_int_equal(via_msix_table_read(rig->irqs, UINT64_MAX, 8), 0);
	assert_int_equal(via_msix_pba_read(rig->irqs, 8, 8), 0);
	/* The next program finds nothing of it. */
	via_irqs_release(rig->irqs, true);
	for (uint64_t offset = 0; offset < end; offset += 8)
		assert_int_equal(via_msix_table_read(rig->irqs, offset, 8),
				 offset % 16 ? 0x100000000 : 0);
	/* What MSI has pending is not shown here. */
	assert_int_equal(rig_arm(rig, VIA_IRQ_MSI, 0, 1), 0);
	via_irqs_set_msi_mask(rig->irqs, 1);
	via_irqs_trigger(rig->irqs, 0);
	assert_int_equal(via_irqs_msi_pending(rig->irqs), 1);
	assert_int_equal(via_msix_pba_read(rig->irqs, 0, 8), 0);
}

/* --- Eventfds --------------------------------------------------------------------- */

static void test_t84_full_eventfd(void **state)
{
	struct rig *rig = *state;
	int blocking = eventfd(0, 0);
	uint64_t max = UINT64_MAX - 1, n;
	int flags = fcntl(blocking, F_GETFL);

	assert_int_equal(write(blocking, &max, sizeof(max)), sizeof(max));
	assert_int_equal(rig_set(rig, TRIGGER | EVENTFD, VIA_IRQ_MSI, 0, 1, &blocking), 0);
	alarm(5);
	via_irqs_trigger(rig->irqs, 0);
	assert_int_equal(rig_set(rig, TRIGGER | NONE, VIA_IRQ_MSI, 0, 1, NULL), 0);
	alarm(0);
	assert_int_equal(fcntl(blocking, F_GETFL), flags);
	assert_int_equal(read(blocking, &n, sizeof(n)), sizeof(n));
	via_irqs_trigger(rig->irqs, 0);
	assert_int_equal(read(blocking, &n, sizeof(n)), sizeof(n));
	assert_int_equal(n, 1);
	close(blocking);
}

static unsigned int open_fds(void)
{
	unsigned int n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void test_descriptors_are_released(void **state)
{
	unsigned int before = open_fds();
	struct rig rig;
	int null = open("/dev/null", O_RDWR);

	rig_init(&rig, &desc_r);
	assert_int_equal(rig_arm(&rig, VIA_IRQ_INTX, 0, 1), 0);
	assert_int_equal(rig_arm(&rig, VIA_IRQ_INTX, 0, 1), 0);
	assert_int_equal(rig_set(&rig, UNMASK | EVENTFD, VIA_IRQ_INTX, 0, 1, rig.fds), 0);
	assert_int_equal(rig_set(&rig, UNMASK | EVENTFD, VIA_IRQ_INTX, 0, 1, rig.fds), -EBUSY);
	assert_int_equal(rig_set(&rig, UNMASK | EVENTFD, VIA_IRQ_INTX, 0, 1, &null), -EINVAL);
	assert_int_equal(rig_disarm(&rig, VIA_IRQ_INTX), 0);
	assert_int_equal(rig_set(&rig, TRIGGER | EVENTFD, VIA_IRQ_INTX, 0, 1, &null), -EINVAL);
	assert_int_equal(rig_arm(&rig, VIA_IRQ_MSIX, 0, 16), 0);
	assert_int_equal(rig_arm(&rig, VIA_IRQ_MSIX, 0, 16), 0);
	assert_int_equal(rig_set(&rig, TRIGGER | EVENTFD, VIA_IRQ_MSIX, 3, 1, &null), -EINVAL);
	assert_int_equal(rig_arm(&rig, VIA_IRQ_ERR, 0, 1), 0);
	assert_int_equal(rig_arm(&rig, VIA_IRQ_REQ, 0, 1), 0);
	assert_int_equal(rig_arm(&rig, VIA_IRQ_REQ, 0, 1), 0);
	rig_deinit(&rig);
	close(null);
	assert_int_equal(open_fds(), before);
}

/* A function that has no messages, freed while armed. */
static void test_free_releases_intx(void **state)
{
	static const struct via_irqs_desc line = { .intx = true };
	unsigned int before = open_fds();
	struct rig rig;

	rig_init(&rig, &line);
	assert_int_equal(rig_arm(&rig, VIA_IRQ_INTX, 0, 1), 0);
	assert_int_equal(rig_set(&rig, UNMASK | EVENTFD, VIA_IRQ_INTX, 0, 1, rig.fds), 0);
	rig_deinit(&rig);
	assert_int_equal(rig.watched, -1);
	assert_int_equal(open_fds(), before);
}

static void test_notify(void **state)
{
	struct rig *rig = *state;

	via_irqs_notify(rig->irqs, VIA_IRQ_ERR);
	assert_int_equal(rig_set(rig, TRIGGER | EVENTFD, VIA_IRQ_ERR, 0, 1, rig->fds), 0);
	assert_int_equal(rig_set(rig, TRIGGER | EVENTFD, VIA_IRQ_REQ, 0, 1, rig->fds + 1), 0);
	via_irqs_notify(rig->irqs, VIA_IRQ_ERR);
	assert_int_equal(rig_count(rig, 0), 1);
	assert_int_equal(rig_count(rig, 1), 0);
	via_irqs_notify(rig->irqs, VIA_IRQ_REQ);
	assert_int_equal(rig_count(rig, 1), 1);
	assert_int_equal(via_irqs_delivered(rig->irqs), 2);
	/* They are independent of the other indexes and of their end. */
	via_irqs_release(rig->irqs, false);
	via_irqs_notify(rig->irqs, VIA_IRQ_REQ);
	assert_int_equal(rig_count(rig, 1), 1);
	via_irqs_release(rig->irqs, true);
	via_irqs_notify(rig->irqs, VIA_IRQ_REQ);
	assert_int_equal(rig_count(rig, 1), 0);
}

static void test_t71_info(void **state)
{
	static const struct via_irqs_desc bare = { .intx = false };
	struct rig *rig = *state, other;
	struct via_irq_info info;
	static const struct via_irq_info expected[] = {
		{ 1, 7 }, { 8, 9 }, { 16, 1 }, { 1, 9 }, { 1, 9 },
	};

	for (unsigned int i = 0; i < VIA_N_IRQS; i++) {
		assert_int_equal(via_irqs_info(rig->irqs, i, &info), 0);
		assert_int_equal(info.count, expected[i].count);
		assert_int_equal(info.flags, expected[i].flags);
	}
	assert_int_equal(via_irqs_info(rig->irqs, 5, &info), -EINVAL);
	rig_init(&other, &bare);
	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(via_irqs_info(other.irqs, i, &info), 0);
		assert_int_equal(info.count, 0);
		assert_int_equal(info.flags, i ? 9 : 7);
	}
	assert_int_equal(via_irqs_info(other.irqs, VIA_IRQ_ERR, &info), -EINVAL);
	via_irqs_trigger(other.irqs, 0);
	via_irqs_reset(other.irqs);
	rig_deinit(&other);
}

/* --- T93: threads ------------------------------------------------------------------- */

static atomic_bool stop_threads;

static void *raise_all(void *cookie)
{
	struct rig *rig = cookie;

	for (unsigned int i = 0; !atomic_load(&stop_threads); i++) {
		via_irqs_trigger(rig->irqs, i % 17);
		via_irqs_set_level(rig->irqs, i & 1);
		via_irqs_resample(rig->irqs);
	}
	return NULL;
}

static void *touch_registers(void *cookie)
{
	struct rig *rig = cookie;

	for (unsigned int i = 0; !atomic_load(&stop_threads); i++) {
		via_msix_table_write(rig->irqs, (i % 16) * 16 + 12, 4, i / 16 & 1);
		(void)via_msix_pba_read(rig->irqs, 0, 8);
		via_irqs_set_msi_mask(rig->irqs, i);
		via_irqs_set_intx_disable(rig->irqs, i & 8);
		via_irqs_set_bus_master(rig->irqs, i & 3);
		if (i % 64 == 0)
			via_irqs_reset(rig->irqs);
	}
	return NULL;
}

static void *rearrange(void *cookie)
{
	struct rig *rig = cookie;

	for (unsigned int i = 0; !atomic_load(&stop_threads); i++) {
		uint32_t index = i % 3;

		(void)rig_arm(rig, index, 0, index == VIA_IRQ_INTX ? 1 : 4);
		(void)rig_set(rig, UNMASK | EVENTFD, VIA_IRQ_INTX, 0, 1, rig->fds + 8);
		(void)rig_arm(rig, VIA_IRQ_MSIX, 4, 4);
		(void)rig_set(rig, TRIGGER | NONE, index, 0, 1, NULL);
		(void)rig_disarm(rig, index);
	}
	return NULL;
}

static void test_t93_threads(void **state)
{
	static void *(*const bodies[])(void *) = { raise_all, touch_registers, rearrange,
						   rearrange };
	struct timespec time = { .tv_nsec = 200000000 };
	struct rig *rig = *state;
	pthread_t threads[4];

	atomic_store(&stop_threads, false);
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, bodies[i], rig), 0);
	nanosleep(&time, NULL);
	atomic_store(&stop_threads, true);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	assert_true(via_irqs_delivered(rig->irqs) > 0);
}

int main(void)
{
#define WITH_RIG(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	static const struct CMUnitTest tests[] = {
		WITH_RIG(test_t25_automask),
		WITH_RIG(test_t26_unmask),
		WITH_RIG(test_mask),
		WITH_RIG(test_arm_with_line_high),
		WITH_RIG(test_disable_while_unmasked),
		WITH_RIG(test_q12_clearing_disable_cancels_mask),
		WITH_RIG(test_t81_resample),
		WITH_RIG(test_t80_resample_attach),
		WITH_RIG(test_no_intx_while_messages),
		WITH_RIG(test_msi_mask_and_connect),
		cmocka_unit_test(test_plain_msi_drops),
		cmocka_unit_test(test_swap_loses_nothing),
		WITH_RIG(test_bus_master_off_drops),
		WITH_RIG(test_msix_entry_mask),
		WITH_RIG(test_msix_function_mask),
		WITH_RIG(test_msix_registers),
		WITH_RIG(test_t84_full_eventfd),
		cmocka_unit_test(test_descriptors_are_released),
		cmocka_unit_test(test_free_releases_intx),
		WITH_RIG(test_notify),
		WITH_RIG(test_t71_info),
		WITH_RIG(test_t93_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
