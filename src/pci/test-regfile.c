/* SPDX-License-Identifier: MIT */
/* Status bits of the emulated registers: the only ones that the function itself sets. */
#include "pci/regfile.c"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void test_rw1c_and_sticky(void **state)
{
	static const struct via_config_desc desc = { .power_management = true };
	static const struct via_irqs_desc irqs_desc = { .intx = false };
	struct via_config_dev dev;
	struct via_regfile *regs;
	struct via_irqs *irqs;
	uint32_t value;

	assert_int_equal(via_irqs_new(&irqs_desc, NULL, NULL, &irqs), 0);
	assert_int_equal(via_regfile_new(&desc, irqs, NULL, &regs), 0);
	via_regfile_dev(regs, &dev);
	regs->value[PCI_STATUS + 1] = 0xf9;
	regs->value[0x40 + PCI_PM_CSR + 1] = 0x80;

	assert_int_equal(dev.ops->write(dev.cookie, PCI_STATUS, 2, 0x2010), 0);
	assert_int_equal(dev.ops->read(dev.cookie, PCI_STATUS, 2, &value), 0);
	assert_int_equal(value, 0xd910);
	dev.ops->reset(dev.cookie);
	assert_int_equal(dev.ops->read(dev.cookie, PCI_STATUS, 2, &value), 0);
	assert_int_equal(value, 0x0010);
	assert_int_equal(dev.ops->read(dev.cookie, 0x40 + PCI_PM_CSR, 2, &value), 0);
	assert_int_equal(value, 0x8008);
	assert_int_equal(dev.ops->write(dev.cookie, 0x40 + PCI_PM_CSR, 2, 0x8003), 0);
	assert_int_equal(dev.ops->read(dev.cookie, 0x40 + PCI_PM_CSR, 2, &value), 0);
	assert_int_equal(value, 0x000b);
	via_regfile_free(regs);
	via_irqs_free(irqs);
}

static uint32_t look(void *cookie, unsigned int pos, unsigned int width, uint32_t value)
{
	unsigned int *calls = cookie;

	++*calls;
	return ~value;
}

/* Registers that a model answers for: the body of its capability, and no byte around it. */
static void test_look(void **state)
{
	static const uint8_t body[6] = {0x01, 0x02, 0x03, 0x04, 0x05, 0x06};
	static const struct via_pci_cap cap = {
		.kind = VIA_CAP_VENDOR, .vendor = {.value = body, .len = sizeof(body)}};
	static const struct via_config_desc desc = {.caps = &cap, .n_caps = 1};
	static const struct via_irqs_desc irqs_desc = {.intx = false};
	struct via_config_dev dev;
	struct via_regfile *regs;
	struct via_irqs *irqs;
	unsigned int calls = 0;
	uint32_t value;

	assert_int_equal(via_irqs_new(&irqs_desc, NULL, NULL, &irqs), 0);
	assert_int_equal(via_regfile_new(&desc, irqs, NULL, &regs), 0);
	via_regfile_listen(regs, look, NULL, &calls);
	via_regfile_dev(regs, &dev);
	assert_int_equal(dev.ops->read(dev.cookie, 0x40, 4, &value), 0);
	assert_int_equal(value, 0xfe090009);
	assert_int_equal(dev.ops->read(dev.cookie, 0x46, 2, &value), 0);
	assert_int_equal(value, 0xfafb);
	assert_int_equal(dev.ops->read(dev.cookie, 0x48, 4, &value), 0);
	assert_int_equal(value, 0x000000f9);
	assert_int_equal(calls, 3);
	assert_int_equal(dev.ops->read(dev.cookie, 0x40, 2, &value), 0);
	assert_int_equal(dev.ops->read(dev.cookie, 0, 4, &value), 0);
	assert_int_equal(calls, 3);
	via_regfile_free(regs);
	via_irqs_free(irqs);
}

int main(void)
{
	static const struct CMUnitTest tests[] = { cmocka_unit_test(test_rw1c_and_sticky),
						   cmocka_unit_test(test_look) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
