/* SPDX-License-Identifier: MIT */
/* Interrupts of a function whose program is a guest: what the registers say is what is told. */
#include "pci/irqs.h"
#include "pci/msix.h"

#include <viaduct/abi/vfio.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

struct told {
	unsigned int messages, lines;
	unsigned int vector;
	uint64_t address;
	uint32_t data;
	bool level;
};

static void message(void *cookie, unsigned int vector, uint64_t address, uint32_t data)
{
	struct told *t = cookie;

	t->messages++;
	t->vector = vector;
	t->address = address;
	t->data = data;
}

static void line(void *cookie, bool level)
{
	struct told *t = cookie;

	/* Changes only. */
	assert_int_not_equal(level, t->level);
	t->lines++;
	t->level = level;
}

static const struct via_irqs_sink sink = {.message = message, .line = line};
static const struct via_irqs_desc both = {.intx = true, .msi = 4, .msi_maskable = true, .msix = 3};

static struct via_irqs *irqs_new(const struct via_irqs_desc *desc, struct told *t)
{
	struct via_irqs *irqs;

	assert_int_equal(via_irqs_new(desc, NULL, NULL, &irqs), 0);
	*t = (struct told){0};
	via_irqs_set_sink(irqs, &sink, t);
	via_irqs_emulate_msix(irqs, true);
	via_irqs_set_bus_master(irqs, true);
	return irqs;
}

static void unmask(struct via_irqs *irqs, unsigned int vector)
{
	via_msix_table_write(irqs, vector * VIA_MSIX_ENTRY_SIZE, 8, 0xfee00000 + 16 * vector);
	via_msix_table_write(irqs, vector * VIA_MSIX_ENTRY_SIZE + 8, 8, 0x40 + vector);
}

/* MSI-X before MSI before the pin. */
static void test_which_counts(void **state)
{
	struct told t;
	struct via_irqs *irqs = irqs_new(&both, &t);

	assert_true(via_irqs_armed(irqs, VIA_IRQ_INTX));
	via_irqs_set_level(irqs, true);
	assert_true(t.level);
	via_irqs_msi_message(irqs, 0x1000, 0x20);
	via_irqs_msi_control(irqs, true, 0);
	assert_true(via_irqs_armed(irqs, VIA_IRQ_MSI));
	assert_false(t.level);
	via_irqs_trigger(irqs, 0);
	assert_int_equal(t.messages, 1);
	assert_true(t.address == 0x1000 && t.data == 0x20);
	via_irqs_msix_control(irqs, true, false);
	assert_true(via_irqs_armed(irqs, VIA_IRQ_MSIX));
	unmask(irqs, 0);
	via_irqs_trigger(irqs, 0);
	assert_true(t.messages == 2 && t.address == 0xfee00000 && t.data == 0x40);
	via_irqs_msix_control(irqs, false, false);
	via_irqs_trigger(irqs, 0);
	assert_true(t.messages == 3 && t.address == 0x1000);
	via_irqs_msi_control(irqs, false, 0);
	assert_true(t.level);
	/* Last close: as it was at first. */
	via_irqs_msix_control(irqs, true, false);
	via_irqs_reset(irqs);
	via_irqs_release(irqs, true);
	assert_true(via_irqs_armed(irqs, VIA_IRQ_INTX));
	assert_false(t.level);
	assert_int_equal(via_msix_table_read(irqs, 12, 4), 1);
	via_irqs_free(irqs);
}

/* What waited for a vector that is switched off does not come with the next one's number. */
static void test_pending_ends_with_its_kind(void **state)
{
	struct told t;
	struct via_irqs *irqs = irqs_new(&both, &t);

	via_irqs_msix_control(irqs, true, false);
	via_irqs_trigger(irqs, 1);
	assert_int_equal(via_msix_pba_read(irqs, 0, 8), 2);
	via_irqs_msix_control(irqs, false, false);
	via_irqs_msi_control(irqs, true, 2);
	assert_int_equal(via_irqs_msi_pending(irqs), 0);
	assert_int_equal(t.messages, 0);
	via_irqs_free(irqs);
}

static void test_stopped(void **state)
{
	struct told t;
	struct via_irqs *irqs = irqs_new(&both, &t);

	via_irqs_set_level(irqs, true);
	via_irqs_hold(irqs, true);
	via_irqs_set_level(irqs, false);
	assert_true(t.level);
	via_irqs_hold(irqs, false);
	assert_false(t.level);
	via_irqs_msix_control(irqs, true, false);
	unmask(irqs, 2);
	via_irqs_hold(irqs, true);
	via_irqs_trigger(irqs, 2);
	assert_int_equal(t.messages, 0);
	via_irqs_hold(irqs, false);
	assert_true(t.messages == 1 && t.vector == 2 && t.data == 0x42);
	via_irqs_free(irqs);
}

/* Enables without a capability behind them, as of a recorded function. */
static void test_less_than_that(void **state)
{
	static const struct via_irqs_desc nothing = {0}, pin = {.intx = true};
	struct told t;
	struct via_irqs *irqs = irqs_new(&nothing, &t);

	via_irqs_msi_control(irqs, true, 5);
	via_irqs_msix_control(irqs, true, false);
	via_irqs_set_level(irqs, true);
	for (unsigned int i = 0; i < 40; i++)
		via_irqs_trigger(irqs, i);
	assert_false(via_irqs_message_mode(irqs));
	assert_int_equal(via_irqs_msi_qmax(irqs), 0);
	via_irqs_free(irqs);
	irqs = irqs_new(&pin, &t);
	via_irqs_msi_control(irqs, true, 5);
	via_irqs_set_level(irqs, true);
	assert_true(t.level);
	assert_int_equal(t.messages, 0);
	via_irqs_free(irqs);
}

static int own_fd(void *cookie, int fd, int *ret_fd)
{
	*ret_fd = dup(fd);
	return 0;
}

static void test_eventfds(void **state)
{
	int32_t fd = eventfd(0, EFD_CLOEXEC);
	struct via_set_irqs set = {
		.count = 1,
		.flags = VIA_VFIO_IRQ_SET_DATA_EVENTFD | VIA_VFIO_IRQ_SET_ACTION_TRIGGER,
		.fds = &fd,
		.fd_get = own_fd,
	};
	struct told t;
	struct via_irqs *irqs = irqs_new(&both, &t);

	for (set.index = VIA_IRQ_INTX; set.index <= VIA_IRQ_MSIX; set.index++)
		assert_int_equal(via_irqs_set(irqs, &set), -EINVAL);
	set.index = VIA_IRQ_REQ;
	assert_int_equal(via_irqs_set(irqs, &set), 0);
	via_irqs_release(irqs, true);
	via_irqs_set_sink(irqs, NULL, NULL);
	assert_false(via_irqs_has_sink(irqs));
	set.index = VIA_IRQ_INTX;
	assert_int_equal(via_irqs_set(irqs, &set), 0);
	via_irqs_set_level(irqs, true);
	assert_int_equal(t.lines, 0);
	via_irqs_free(irqs);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_which_counts),
		cmocka_unit_test(test_pending_ends_with_its_kind),
		cmocka_unit_test(test_stopped),
		cmocka_unit_test(test_less_than_that),
		cmocka_unit_test(test_eventfds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
