/* SPDX-License-Identifier: MIT */
/* Interrupts of a device, over its resets. */
#include "device/test-device.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_DEVICE(test_msix),
		WITH_DEVICE(test_intx_resample),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
