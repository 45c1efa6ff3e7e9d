/* SPDX-License-Identifier: MIT */
/* Power management, MSI, MSI-X and PCI Express as the program writes them. */
#include "pci/test-config.h"

/* --- Power management ---------------------------------------------------------- */

static void test_t31_t32_t32b_power(void **state)
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

/* What is written in D3hot goes with the state, if that goes. */
static void test_d3_writes_are_lost(void **state)
{
	struct fixture *f = *state;

	put(f, 1, 0x0c, 0x11);
	for (int lost = 0; lost < 2; lost++) {
		f->soft_reset = lost;
		put(f, 2, PM + 4, 3);
		put(f, 1, 0x0c, 0x22);
		put(f, 2, 0x04, 0x0100);
		put(f, 4, 0x14, 0x22222222); /* virtual: not the device's to lose */
		f->log[0] = '\0';
		put(f, 2, PM + 4, 0);
		assert_non_null(strstr(f->log, "w2@44=0 "));
		assert_int_equal(get(f, 1, 0x0c), lost ? 0x11 : 0x22);
		assert_int_equal(get(f, 2, 0x04), lost ? 0x0103 : 0x0100);
		assert_int_equal(get(f, 4, 0x14), 0x22222222);
		assert_int_equal(via_config_bus_master(f->config), false);
		put(f, 1, 0x0c, 0x11);
		put(f, 2, 0x04, 0x0103);
	}
	/* The same from D3hot to D3hot: still the registers of the first time. */
	put(f, 2, PM + 4, 3);
	put(f, 1, 0x0c, 0x22);
	put(f, 2, PM + 4, 3);
	put(f, 2, PM + 4, 0);
	assert_int_equal(get(f, 1, 0x0c), 0x11);
	/* Resets that the host makes wake it first; one by a register does not lose them. */
	put(f, 2, PM + 4, 3);
	put(f, 1, 0x0c, 0x22);
	via_config_reset(f->config, VIA_RESET_HOT);
	assert_int_equal(get(f, 1, 0x0c), 0x11);
	put(f, 2, PM + 4, 3);
	put(f, 1, 0x0c, 0x22);
	put(f, 2, EXP + 8, 0x8000);
	assert_int_equal(get(f, 1, 0x0c), 0x22);
	assert_int_equal(get(f, 2, PM + 4), 0);
}

/* A device that refuses a power state stays where it is. */
static void test_refused_power(void **state)
{
	struct fixture *f = *state;

	f->always_d0 = true;
	f->soft_reset = true;
	put(f, 2, PM + 4, 3);
	assert_int_equal(get(f, 2, PM + 4), 0);
	put(f, 1, 0x0c, 0x22);
	put(f, 2, PM + 4, 0);
	assert_int_equal(get(f, 1, 0x0c), 0x22);
	assert_string_equal(f->hooks, "memory 0; memory 1; ");
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

/* T45 on a function without FLR: success, and nothing happens. */
static void test_t46_no_flr(void **state)
{
	struct fixture *f = *state;

	f->no_flr = true;
	put(f, 2, EXP + 8, 0xffff);
	assert_int_equal(get(f, 2, EXP + 8), 0x7dff);
	assert_string_equal(f->hooks, "");
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

int main(void)
{
	static const struct CMUnitTest tests[] = {
		WITH_R(test_t31_t32_t32b_power),
		WITH_R(test_d1_d2),
		WITH_R(test_soft_reset),
		WITH_R(test_d3_writes_are_lost),
		WITH_R(test_refused_power),
		WITH_R(test_reset_leaves_d3),
		WITH_R(test_t33_t34_msi_control),
		WITH_R(test_q18_header_write_keeps_msi_on),
		WITH_R(test_t35_t36_mask_pending),
		WITH_R(test_t37_t38_msix_control),
		WITH_R(test_t45_device_control),
		WITH_R(test_t46_no_flr),
		WITH_R(test_t49_read_request_floor),
		WITH_R(test_t51_flr_keeps_config),
		cmocka_unit_test(test_integrated_endpoint),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
