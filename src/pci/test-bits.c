/* SPDX-License-Identifier: MIT */
/* Registers whose bits mean something to the engine: each bit by itself means that and no more. */
#include "pci/msix.h"
#include "pci/test-config.h"

static uint32_t device_value(struct fixture *f, unsigned int width, unsigned int pos)
{
	uint32_t value;

	assert_int_equal(f->real.ops->read(f->real.cookie, pos, width, &value), 0);
	return value;
}

static bool resets(const struct fixture *f)
{
	return strstr(f->hooks, "reset");
}

static void test_command(void **state)
{
	for (unsigned int bit = 0; bit < 16; bit++) {
		struct fixture *f = start(&device_r);

		implement_every_bit(f);
		put(f, 2, PCI_COMMAND, 1u << bit);
		assert_int_equal(get(f, 2, PCI_COMMAND), 1u << bit);
		assert_int_equal(via_config_bus_master(f->config), bit == 2);
		/* Memory goes before the rest, unless it stays. */
		assert_int_equal(!strncmp(f->hooks, "memory 0; ", 10), bit != 1);
		assert_null(strstr(f->hooks, "memory 1"));
		assert_int_equal(arm(f, VIA_IRQ_INTX, 1), 0);
		via_irqs_set_level(f->irqs, true);
		assert_int_equal(count(f, 0), bit != 10);
		stop(f);
		/* INTx Disable goes, whatever else stays. */
		f = start(&device_r);
		implement_every_bit(f);
		put(f, 2, PCI_COMMAND, 0x0400u | 1u << bit);
		put(f, 2, PCI_COMMAND, 1u << bit);
		assert_int_equal(arm(f, VIA_IRQ_INTX, 1), 0);
		via_irqs_set_level(f->irqs, true);
		assert_int_equal(count(f, 0), bit != 10);
		stop(f);
	}
}

/* A change of any bit but INTx Disable leaves the interrupt masked as it is. */
static void test_command_keeps_mask(void **state)
{
	struct fixture *f = start(&device_r);
	struct via_set_irqs mask = { .index = VIA_IRQ_INTX, .count = 1,
				     .flags = VIA_VFIO_IRQ_SET_ACTION_MASK |
					      VIA_VFIO_IRQ_SET_DATA_NONE };

	implement_every_bit(f);
	assert_int_equal(arm(f, VIA_IRQ_INTX, 1), 0);
	assert_int_equal(via_irqs_set(f->irqs, &mask), 0);
	via_irqs_set_level(f->irqs, true);
	for (unsigned int bit = 0; bit < 16; bit++) {
		if (bit == 10)
			continue;
		put(f, 2, PCI_COMMAND, 1u << bit);
		put(f, 2, PCI_COMMAND, 0);
		if (count(f, 0))
			fail_msg("bit %u unmasks", bit);
	}
	put(f, 2, PCI_COMMAND, PCI_COMMAND_INTX_DISABLE);
	put(f, 2, PCI_COMMAND, 0);
	assert_int_equal(count(f, 0), 1);
	stop(f);
}

/* Messages need bus mastering, and nothing else of COMMAND. */
static void test_command_and_messages(void **state)
{
	struct fixture *f = start(&device_r);

	implement_every_bit(f);
	assert_int_equal(arm(f, VIA_IRQ_MSIX, 1), 0);
	for (unsigned int bit = 0; bit < 16; bit++) {
		put(f, 2, PCI_COMMAND, 1u << bit);
		via_irqs_trigger(f->irqs, 0);
		assert_int_equal(count(f, 0), bit == 2);
	}
	put(f, 2, PCI_COMMAND, 0xffff & ~PCI_COMMAND_MASTER);
	via_irqs_trigger(f->irqs, 0);
	assert_int_equal(count(f, 0), 0);
	/* A reset holds bus mastering off meanwhile, and nothing else. */
	put(f, 2, PCI_COMMAND, 0xffff);
	f->hooks[0] = '\0';
	via_config_reset(f->config, VIA_RESET_IOCTL);
	assert_string_equal(f->hooks,
			    "memory 0; command ffff>fffb; reset 1; command fffb>ffff; memory 1; ");
	/* The last close ends bus mastering, and nothing else. */
	f->hooks[0] = '\0';
	via_config_close(f->config);
	assert_non_null(strstr(f->hooks, "command ffff>fffb; "));
	via_config_open(f->config);
	stop(f);
}

/* Whatever the host left: an open and a close clear Bus Master, and nothing else. */
static void test_open_and_close(void **state)
{
	for (unsigned int bit = 0; bit <= 16; bit++) {
		struct fixture *f = start(&device_r);
		uint32_t left = bit < 16 ? 1u << bit : 0xffff;

		implement_every_bit(f);
		via_put_le16(f->bytes + PCI_COMMAND, (uint16_t)left);
		via_config_close(f->config);
		assert_int_equal(via_get_le16(f->bytes + PCI_COMMAND), left & ~4u);
		via_put_le16(f->bytes + PCI_COMMAND, (uint16_t)left);
		f->log[0] = '\0';
		via_config_open(f->config);
		f->log[sizeof(f->log) - 1] = '\0';
		assert_int_equal(via_get_le16(f->bytes + PCI_COMMAND), left & ~4u);
		assert_int_equal(get(f, 2, PCI_COMMAND), left & ~4u);
		assert_int_equal(f->n_command_writes, left & 4 ? 2 : 1);
		assert_int_equal(arm(f, VIA_IRQ_INTX, 1), 0);
		via_irqs_set_level(f->irqs, true);
		assert_int_equal(count(f, 0), !(left & 0x400));
		stop(f);
	}
}

/* Each flag means its own. */
static void test_flags(void **state)
{
	for (unsigned int flags = 0; flags < 32; flags++) {
		struct via_config_desc desc = whole_r();
		bool raw = flags & VIA_CONFIG_RAW_GAPS, restores = flags & VIA_CONFIG_RESTORE_BARS;
		bool vf = flags & VIA_CONFIG_VF, all = flags & VIA_CONFIG_SHOW_ALL;
		struct fixture *f;

		desc.flags = flags & 15;
		f = start(&desc);
		if (flags & VIA_CONFIG_MSIX_EMULATED) {
			via_config_close(f->config);
			via_config_emulate_msix(f->config, true);
			via_config_emulate_msix(f->config, false);
			via_config_emulate_msix(f->config, true);
			via_config_open(f->config);
		}
		put(f, 2, MSIX + PCI_MSIX_CONTROL, 0xc000);
		assert_int_equal(get(f, 2, MSIX + PCI_MSIX_CONTROL), flags & 16 ? 0xc00f : 0x000f);
		assert_int_equal(get(f, 1, PCI_INTERRUPT_PIN), !vf);
		assert_int_equal(get(f, 4, DSN) >> 20, all ? PASID : DVSEC);
		f->log[0] = '\0';
		put(f, 4, 0xfc, 0x12345678); /* nobody's */
		assert_string_equal(f->log, raw ? "w4@fc=12345678 " : "");
		f->log[0] = f->hooks[0] = '\0';
		put(f, 2, PCI_COMMAND, 0x0101);
		assert_string_equal(f->hooks, vf ? "command 2>0; " : "memory 0; command 103>101; ");
		put(f, 2, PCI_COMMAND, 0x0103);
		f->log[0] = '\0';
		assert_int_equal(f->real.ops->write(f->real.cookie, PCI_COMMAND, 2, 0), 0);
		put(f, 2, PCI_COMMAND, 0x0103);
		assert_int_equal(strstr(f->log, "w4@10=") != NULL, restores && !vf);
		stop(f);
	}
}

/* What the host left in Device Control shows, but for the reset bit. */
static void test_left_device_control(void **state)
{
	struct fixture *f = start(&device_r);

	implement_every_bit(f);
	via_put_le16(f->bytes + EXP + PCI_EXP_DEVCTL, 0xffff);
	via_config_close(f->config);
	via_config_open(f->config);
	f->hooks[0] = '\0';
	assert_int_equal(get(f, 2, EXP + PCI_EXP_DEVCTL), 0x7fff);
	put(f, 2, EXP + PCI_EXP_DEVCTL, 0x7fff);
	assert_false(resets(f));
	/* One that does not change is not applied, whatever else does. */
	put(f, 2, EXP + PCI_EXP_DEVCTL, 0x7000);
	for (unsigned int bit = 0; bit < 12; bit++) {
		via_put_le16(f->bytes + EXP + PCI_EXP_DEVCTL, 0x2000);
		put(f, 2, EXP + PCI_EXP_DEVCTL, 0x1000);
		via_put_le16(f->bytes + EXP + PCI_EXP_DEVCTL, 0x2000);
		put(f, 2, EXP + PCI_EXP_DEVCTL, 0x1000u | 1u << bit);
		assert_int_equal(via_get_le16(f->bytes + EXP + PCI_EXP_DEVCTL) & 0x7000, 0x2000);
		put(f, 2, EXP + PCI_EXP_DEVCTL, 0x7000);
	}
	assert_false(resets(f));
	/* A reset leaves it as well; and each bit of the size is one that changes it. */
	via_put_le16(f->bytes + EXP + PCI_EXP_DEVCTL, 0x2000);
	put(f, 2, EXP + PCI_EXP_DEVCTL, 0x1000);
	via_put_le16(f->bytes + EXP + PCI_EXP_DEVCTL, 0x2000);
	put(f, 2, EXP + PCI_EXP_DEVCTL, 0x9000);
	assert_int_equal(via_get_le16(f->bytes + EXP + PCI_EXP_DEVCTL) & 0x7000, 0x2000);
	for (unsigned int bit = 12; bit < 15; bit++) {
		put(f, 2, EXP + PCI_EXP_DEVCTL, 0);
		assert_int_equal(via_get_le16(f->bytes + EXP + PCI_EXP_DEVCTL) & 0x7000, 0);
		put(f, 2, EXP + PCI_EXP_DEVCTL, 1u << bit);
		assert_int_equal(via_get_le16(f->bytes + EXP + PCI_EXP_DEVCTL) & 0x7000, 1u << bit);
	}
	/* A new size of read requests is all that changes besides what is written. */
	via_put_le16(f->bytes + EXP + PCI_EXP_DEVCTL, 0x8f1f);
	put(f, 2, EXP + PCI_EXP_DEVCTL, 0x5d1f);
	assert_int_equal(via_get_le16(f->bytes + EXP + PCI_EXP_DEVCTL), 0xdf1f);
	via_put_le16(f->bytes + EXP + PCI_EXP_DEVCTL, 0x8f5f);
	put(f, 2, EXP + PCI_EXP_DEVCTL, 0x3d1f);
	assert_int_equal(via_get_le16(f->bytes + EXP + PCI_EXP_DEVCTL), 0xbf5f);
	via_put_le16(f->bytes + EXP + PCI_EXP_DEVCTL, 0x8f9f);
	put(f, 2, EXP + PCI_EXP_DEVCTL, 0x4d1f);
	assert_int_equal(via_get_le16(f->bytes + EXP + PCI_EXP_DEVCTL), 0xcf9f);
	stop(f);
}

/* The device's function mask is one bit of its control register. */
static void test_msix_function_mask(void **state)
{
	for (unsigned int bit = 0; bit < 16; bit++) {
		struct fixture *f = start(&device_r);

		put(f, 2, PCI_COMMAND, 0x0107);
		assert_int_equal(arm(f, VIA_IRQ_MSIX, 1), 0);
		assert_int_equal(get(f, 2, MSIX + PCI_MSIX_CONTROL), 0x800f);
		assert_int_equal(f->real.ops->write(f->real.cookie, MSIX + PCI_MSIX_CONTROL, 2,
						    1u << bit), 0);
		via_irqs_trigger(f->irqs, 0);
		assert_int_equal(count(f, 0), bit != 14);
		stop(f);
	}
}

/* Left to the function, Enable and Function Mask are one bit each, whatever the others are. */
static void test_emulated_msix(void **state)
{
	static const struct {
		uint32_t control;
		unsigned int sent;
	} rows[] = { { 0, 0 }, { 0x4000, 0 }, { 0x8000, 1 }, { 0xc000, 0 } };

	for (unsigned int bit = 0; bit < 14; bit++) {
		struct fixture *f = start(&device_r);

		implement_every_bit(f);
		via_put_le16(f->bytes + MSIX + PCI_MSIX_CONTROL, (uint16_t)(1u << bit));
		via_config_close(f->config);
		via_config_emulate_msix(f->config, true);
		via_config_open(f->config);
		put(f, 2, PCI_COMMAND, 4);
		assert_int_equal(arm(f, VIA_IRQ_MSIX, 1), 0);
		via_msix_table_write(f->irqs, 12, 4, 0);
		for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
			put(f, 2, MSIX + PCI_MSIX_CONTROL, rows[i].control);
			assert_int_equal(get(f, 2, MSIX + PCI_MSIX_CONTROL), rows[i].control | 1u << bit);
			/* What came while it was off is lost, not late. */
			assert_int_equal(count(f, 0), 0);
			via_irqs_trigger(f->irqs, 0);
			assert_int_equal(count(f, 0), rows[i].sent);
		}
		stop(f);
	}
}

/* Otherwise they are the host's, by whatever other flags: nothing is written, nothing follows. */
static void test_msix_is_the_hosts(void **state)
{
	for (unsigned int flags = 0; flags < 16; flags++) {
		struct via_config_desc desc = device_r;
		struct fixture *f;

		desc.flags = flags;
		f = start(&desc);
		implement_every_bit(f);
		via_put_le16(f->bytes + MSIX + PCI_MSIX_CONTROL, 0x400f);
		via_config_close(f->config);
		via_config_open(f->config);
		put(f, 2, PCI_COMMAND, 4);
		assert_int_equal(arm(f, VIA_IRQ_MSIX, 1), 0);
		put(f, 2, MSIX + PCI_MSIX_CONTROL, 0x8000);
		assert_int_equal(get(f, 2, MSIX + PCI_MSIX_CONTROL), 0x400f);
		via_irqs_trigger(f->irqs, 0);
		assert_int_equal(count(f, 0), 1);
		stop(f);
	}
}

/* The line shows as one bit of Status. */
static void test_status(void **state)
{
	struct fixture *f = start(&device_r);

	via_irqs_set_level(f->irqs, true);
	assert_int_equal(get(f, 2, PCI_STATUS), 0x0018);
	via_irqs_set_level(f->irqs, false);
	assert_int_equal(get(f, 2, PCI_STATUS), 0x0010);
	stop(f);
}

static void test_restore(void **state)
{
	for (unsigned int bit = 0; bit < 16; bit++) {
		struct via_config_desc desc = device_r;
		struct fixture *f;

		desc.flags = VIA_CONFIG_RESTORE_BARS;
		f = start(&desc);
		implement_every_bit(f);
		put(f, 2, PCI_COMMAND, 0xffff);
		assert_null(strstr(f->log, "w4@10="));
		f->bytes[PCI_COMMAND + bit / 8] &= (uint8_t)~(1u << bit % 8);
		put(f, 2, PCI_COMMAND, 0xffff);
		if ((strstr(f->log, "w4@10=") != NULL) != (bit < 2))
			fail_msg("bit %u", bit);
		stop(f);
	}
}

/* R6: a virtual function's Memory Enable is all that is the program's own. */
static void test_virtual_function(void **state)
{
	struct via_config_desc desc = device_r;
	struct fixture *f;

	desc.flags = VIA_CONFIG_VF;
	f = start(&desc);
	assert_int_equal(via_get_le16(via_config_masks_of(f->config)->virt + PCI_COMMAND), 0x0402);
	assert_int_equal(get(f, 2, PCI_COMMAND), 0x0002);
	put(f, 2, PCI_COMMAND, 0);
	assert_int_equal(get(f, 2, PCI_COMMAND), 0);
	put(f, 2, PCI_COMMAND, 0xffff);
	assert_int_equal(get(f, 2, PCI_COMMAND), 0x0406);
	assert_null(strstr(f->hooks, "memory"));
	stop(f);
}

/* Its Memory Enable reads as one although the hardware has none. */
static void test_virtual_function_memory(void **state)
{
	struct via_config_desc desc = device_r;
	struct fixture *f;

	desc.flags = VIA_CONFIG_VF;
	f = start(&desc);
	f->patch.pos = PCI_COMMAND;
	f->patch.clear = 0xffff;
	via_config_close(f->config);
	via_config_open(f->config);
	assert_int_equal(get(f, 2, PCI_COMMAND), 0x0002);
	stop(f);
}

/* Its physical function has taken it away: bus mastering first, then all of it is fresh. */
static void test_lost_function(void **state)
{
	struct via_config_desc desc = device_r;
	struct fixture *f;

	desc.flags = VIA_CONFIG_VF;
	f = start(&desc);
	implement_every_bit(f);
	put(f, 2, PCI_COMMAND, 0xfbff);
	f->hooks[0] = '\0';
	via_config_lose(f->config);
	assert_non_null(strstr(f->hooks, "command fbff>fbfb; "));
	stop(f);
}

static void test_power_state(void **state)
{
	for (unsigned int bit = 0; bit < 16; bit++) {
		struct fixture *f = start(&device_r);
		char expected[64] = "";

		f->d1_d2 = true;
		put(f, 2, PM + PCI_PM_CSR, 1u << bit);
		if (bit < 2)
			note(expected, sizeof(expected), "power 0>%u; ", bit + 1);
		assert_string_equal(f->hooks, expected);
		stop(f);
		/* Which states there are. */
		f = start(&device_r);
		f->patch.pos = PM + PCI_PM_PMC;
		f->patch.clear = 0xffff;
		f->patch.set = 1u << bit;
		put(f, 2, PM + PCI_PM_CSR, 1);
		assert_string_equal(f->hooks, bit == 9 ? "power 0>1; " : "");
		stop(f);
		f = start(&device_r);
		f->patch.pos = PM + PCI_PM_PMC;
		f->patch.clear = 0xffff;
		f->patch.set = 1u << bit;
		put(f, 2, PM + PCI_PM_CSR, 2);
		assert_string_equal(f->hooks, bit == 10 ? "power 0>2; " : "");
		stop(f);
	}
}

/* Whether D3hot loses what it holds is one bit of the register, in which the state is two. */
static void test_power_control(void **state)
{
	for (unsigned int bit = 2; bit < 16; bit++) {
		struct fixture *f = start(&device_r);

		f->patch.pos = PM + PCI_PM_CSR;
		f->patch.clear = 0xfffc;
		f->patch.set = 1u << bit;
		put(f, 2, PM + PCI_PM_CSR, 3);
		assert_string_equal(f->hooks, "memory 0; power 0>3; ");
		/* Only the state changes on the way in, all of it goes to zero on the way out. */
		f->log[0] = '\0';
		put(f, 1, PM + PCI_PM_CSR, 0);
		assert_non_null(strstr(f->log, "w2@44=0 "));
		assert_int_equal(resets(f), bit != 3);
		stop(f);
	}
}

static void test_power_writes(void **state)
{
	struct fixture *f = start(&device_r);

	implement_every_bit(f);
	f->bytes[PM + PCI_PM_CSR] = 0xfc;
	f->bytes[PM + PCI_PM_CSR + 1] = 0x7f;
	f->d1_d2 = true;
	put(f, 1, PM + PCI_PM_CSR, 0xfe);
	/* The mask's part, then the state by itself: status is not written back. */
	assert_non_null(strstr(f->log, "w1@44=fc "));
	assert_non_null(strstr(f->log, "w2@44=7ffe "));
	stop(f);
}

/* A state that a program left is over when it closes; so is what it wrote there. */
static void test_close_wakes(void **state)
{
	struct fixture *f = start(&device_r);

	put(f, 2, PM + PCI_PM_CSR, 3);
	f->hooks[0] = '\0';
	via_config_close(f->config);
	assert_non_null(strstr(f->hooks, "power 3>0; "));
	via_config_open(f->config);
	stop(f);
}

static void test_device_control(void **state)
{
	for (unsigned int bit = 0; bit < 16; bit++) {
		struct fixture *f = start(&device_r);
		uint32_t field = 1u << bit & 0x7000;

		put(f, 2, EXP + PCI_EXP_DEVCTL, 1u << bit);
		assert_int_equal(resets(f), bit == 15);
		assert_int_equal(get(f, 2, EXP + PCI_EXP_DEVCTL), bit == 15 || bit == 9 ? 0 : 1u << bit);
		assert_int_equal(device_value(f, 2, EXP + PCI_EXP_DEVCTL) & 0x7000, field);
		stop(f);
		/* The size of a read request is not below what the device's payload is. */
		f = start(&device_r);
		implement_every_bit(f);
		via_put_le16(f->bytes + EXP + PCI_EXP_DEVCTL, (uint16_t)(1u << bit));
		put(f, 2, EXP + PCI_EXP_DEVCTL, 0);
		assert_int_equal(via_get_le16(f->bytes + EXP + PCI_EXP_DEVCTL) & 0x7000,
				 bit >= 5 && bit < 8 ? 1u << (bit + 7) & 0x7000 : 0);
		stop(f);
	}
	for (unsigned int bit = 0; bit < 32; bit++) {
		struct fixture *f = start(&device_r);

		f->patch.pos = EXP + PCI_EXP_DEVCAP;
		f->patch.clear = 0xffffffff;
		f->patch.set = 1u << bit;
		put(f, 2, EXP + PCI_EXP_DEVCTL, 0x8000);
		assert_int_equal(resets(f), bit == 28);
		stop(f);
	}
	/* Every size, and that a value which stays is not written again. */
	for (unsigned int field = 0; field < 8; field++) {
		struct fixture *f = start(&device_r);

		put(f, 2, EXP + PCI_EXP_DEVCTL, field << 12);
		assert_int_equal(get(f, 2, EXP + PCI_EXP_DEVCTL), field << 12);
		assert_int_equal(device_value(f, 2, EXP + PCI_EXP_DEVCTL) & 0x7000,
				 field < 6 ? field << 12 : 0x2000);
		implement_every_bit(f);
		f->log[0] = '\0';
		put(f, 2, EXP + PCI_EXP_DEVCTL, field << 12 | 0x0fff);
		assert_null(strstr(strchr(f->log, 'w') + 1, "w"));
		stop(f);
	}
}

static void test_advanced_features(void **state)
{
	struct via_config_desc desc = whole_r();

	for (unsigned int bit = 0; bit < 8; bit++) {
		struct fixture *f = start(&desc);

		put(f, 1, AF + PCI_AF_CONTROL, 1u << bit);
		assert_int_equal(resets(f), bit == 0);
		assert_int_equal(get(f, 1, AF + PCI_AF_CONTROL), 0);
		stop(f);
		/* Both of two bits, whatever the others are. */
		f = start(&desc);
		f->patch.pos = AF + PCI_AF_CAP;
		f->patch.clear = 0xff;
		f->patch.set = 1u << bit | 1;
		put(f, 1, AF + PCI_AF_CONTROL, 1);
		assert_int_equal(resets(f), bit == 1);
		stop(f);
		f = start(&desc);
		f->patch.pos = AF + PCI_AF_CAP;
		f->patch.clear = 0xff;
		f->patch.set = 1u << bit | 2;
		put(f, 1, AF + PCI_AF_CONTROL, 1);
		assert_int_equal(resets(f), bit == 0);
		stop(f);
	}
}

/* So for those that the device has set itself. */
static void test_left_advanced_features(void **state)
{
	struct via_config_desc desc = whole_r();
	struct fixture *f = start(&desc);

	implement_every_bit(f);
	f->bytes[AF + PCI_AF_CONTROL] = 0xff;
	via_config_close(f->config);
	via_config_open(f->config);
	f->hooks[0] = '\0';
	assert_int_equal(get(f, 1, AF + PCI_AF_CONTROL), 0xfe);
	put(f, 1, AF + PCI_AF_CONTROL, 0xfe);
	assert_false(resets(f));
	put(f, 1, AF + PCI_AF_CONTROL, 0xff);
	assert_true(resets(f));
	stop(f);
}

static void test_vpd_address(void **state)
{
	struct via_config_desc desc = whole_r();
	struct fixture *f = start(&desc);

	for (unsigned int bit = 0; bit < 15; bit++) {
		uint32_t data = bit == 0   ? 0x42410004
				: bit == 1 ? 0x43424100
				: bit == 2 ? 0x78444342
					   : 0;

		put(f, 4, VPD + PCI_VPD_DATA, 0x99999999);
		put(f, 2, VPD + PCI_VPD_ADDRESS, 1u << bit);
		assert_int_equal(get(f, 2, VPD + PCI_VPD_ADDRESS), 0x8000u | 1u << bit);
		assert_int_equal(get(f, 4, VPD + PCI_VPD_DATA), data);
		put(f, 4, VPD + PCI_VPD_DATA, 0x99999999);
		put(f, 2, VPD + PCI_VPD_ADDRESS, 0x8000u | 1u << bit);
		assert_int_equal(get(f, 2, VPD + PCI_VPD_ADDRESS), (bit == 2 ? 0 : 0x8000u) | 1u << bit);
		if (bit == 2) { /* that one was written */
			put(f, 4, VPD + PCI_VPD_DATA, 0x78444342);
			put(f, 2, VPD + PCI_VPD_ADDRESS, 0x8004);
		}
	}
	/* Nothing of it is lost. */
	put(f, 2, VPD + PCI_VPD_ADDRESS, 0);
	assert_int_equal(get(f, 4, VPD + PCI_VPD_DATA), 0x41000482);
	stop(f);
}

/* Enable follows what is armed, the count of vectors what was asked for; the rest stays. */
/* A function with none answers nothing: the flag stays. */
static void test_no_vpd(void **state)
{
	static const struct via_pci_cap none = { .kind = VIA_CAP_VPD };
	struct via_config_desc desc = { .caps = &none, .n_caps = 1 };
	struct fixture *f = start(&desc);

	put(f, 2, 0x40 + PCI_VPD_ADDRESS, 4);
	assert_int_equal(get(f, 2, 0x40 + PCI_VPD_ADDRESS), 4);
	stop(f);
}

static void test_msi_control(void **state)
{
	for (int kind = 0; kind < 4; kind++) {
		struct via_config_desc desc = {
			.msi = { .vectors = 16, .addr64 = kind & 1, .maskable = kind & 2 },
		};
		uint32_t fixed = 0x0008u | (kind & 1 ? 0x80 : 0) | (kind & 2 ? 0x100 : 0);
		struct fixture *f = start(&desc);
		const unsigned int control = 0x40 + PCI_MSI_CONTROL;

		for (int armed = 1; armed >= 0; armed--) {
			if (armed)
				assert_int_equal(arm(f, VIA_IRQ_MSI, 16), 0);
			else
				assert_int_equal(disarm(f, VIA_IRQ_MSI), 0);
			for (unsigned int value = 0; value < 0x100; value++) {
				unsigned int mme = value >> 4 & 7;

				put(f, 2, control, value);
				if (mme > 4)
					mme = 4;
				assert_int_equal(get(f, 2, control),
						 fixed | mme << 4 | (armed ? value & 1 : 0));
			}
		}
		/* Enable alone decides whether anything is sent. */
		put(f, 2, PCI_COMMAND, 0x0107);
		assert_int_equal(arm(f, VIA_IRQ_MSI, 16), 0);
		for (unsigned int value = 0; value < 0x80; value++) {
			put(f, 1, control, value);
			via_irqs_trigger(f->irqs, 0);
			assert_int_equal(count(f, 0), value & 1);
		}
		stop(f);
	}
}

/*
 * Where the mask register is, if there is one, by two bits of the control word
 * whatever the others are: behind the capability is the data of another one.
 */
static void test_msi_mask_register(void **state)
{
	for (int maskable = 0; maskable < 2; maskable++) {
		for (unsigned int bit = 0; bit < 16; bit++) {
			struct via_config_desc desc = { .msi = { .vectors = 32, .maskable = maskable } };
			struct fixture *f = start(&desc);
			const unsigned int vpd = 0x40 + (maskable ? 0x14 : bit == 7 ? 0x10 : 0xc);

			if (bit == 8 || (bit == 7 && maskable)) {
				stop(f);
				continue;
			}
			implement_every_bit(f);
			f->bytes[0x41] = (uint8_t)vpd;
			f->bytes[vpd] = PCI_CAP_ID_VPD;
			f->bytes[0x43] = (uint8_t)maskable;
			via_put_le16(f->bytes + 0x42, (uint16_t)(maskable << 8 | 1u << bit));
			via_config_close(f->config);
			via_config_open(f->config);
			put(f, 2, PCI_COMMAND, 4);
			assert_int_equal(arm(f, VIA_IRQ_MSI, 16), 0);
			if (bit == 0 || (bit > 3 && bit < 7))
				put(f, 1, 0x42, 1u | 1u << bit);
			put(f, 4, vpd + 4, 0x99999999);
			if (maskable) {
				put(f, 4, 0x4c, 1);
				via_irqs_trigger(f->irqs, 0);
				assert_int_equal(count(f, 0), 0);
			}
			/* The whole of it is read, and no more is written there. */
			for (unsigned int pos = 0x40; pos < vpd; pos += 2)
				(void)get(f, 2, pos);
			if (get(f, 4, vpd + 4) != 0x99999999)
				fail_msg("maskable %d, bit %u", maskable, bit);
			stop(f);
		}
	}
}

static void test_rom_and_bars(void **state)
{
	static const struct via_config_desc desc = {
		.bars = { [0] = { .size = 64 << 10, .flags = VIA_BAR_MEM64 },
			  [2] = { .size = 4096, .flags = VIA_BAR_PREFETCH },
			  [4] = { .size = 16, .flags = VIA_BAR_IO } },
		.rom_size = 2048,
	};
	static const uint32_t expected[] = { 0xffff0004, 0xffffffff, 0xfffff008, 0, 0xfffffff1, 0 };
	struct fixture *f = start(&desc);

	for (unsigned int i = 0; i < 6; i++) {
		put(f, 4, PCI_BAR(i), 0xffffffff);
		assert_int_equal(get(f, 4, PCI_BAR(i)), expected[i]);
	}
	for (unsigned int bit = 0; bit < 32; bit++) {
		put(f, 4, PCI_ROM_BAR, 1u << bit);
		assert_int_equal(get(f, 4, PCI_ROM_BAR), bit == 0 || bit >= 11 ? 1u << bit : 0);
	}
	stop(f);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_command),
		cmocka_unit_test(test_command_keeps_mask),
		cmocka_unit_test(test_command_and_messages),
		cmocka_unit_test(test_open_and_close),
		cmocka_unit_test(test_flags),
		cmocka_unit_test(test_left_device_control),
		cmocka_unit_test(test_msix_function_mask),
		cmocka_unit_test(test_status),
		cmocka_unit_test(test_restore),
		cmocka_unit_test(test_virtual_function),
		cmocka_unit_test(test_virtual_function_memory),
		cmocka_unit_test(test_lost_function),
		cmocka_unit_test(test_power_state),
		cmocka_unit_test(test_power_control),
		cmocka_unit_test(test_power_writes),
		cmocka_unit_test(test_close_wakes),
		cmocka_unit_test(test_device_control),
		cmocka_unit_test(test_advanced_features),
		cmocka_unit_test(test_left_advanced_features),
		cmocka_unit_test(test_vpd_address),
		cmocka_unit_test(test_no_vpd),
		cmocka_unit_test(test_msi_control),
		cmocka_unit_test(test_msi_mask_register),
		cmocka_unit_test(test_emulated_msix),
		cmocka_unit_test(test_msix_is_the_hosts),
		cmocka_unit_test(test_rom_and_bars),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
