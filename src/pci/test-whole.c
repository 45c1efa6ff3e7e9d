/* SPDX-License-Identifier: MIT */
/* The capabilities of reference device R beyond those that every function has. */
#include "pci/test-config.h"

static void test_t4_vendor(void **state)
{
	struct fixture *f = *state;

	/* Raw: one write of the same width, no reading before it, header bytes too. */
	put(f, 4, VNDR + 0xc, 0x12345678);
	assert_string_equal(f->log, "w4@dc=12345678 ");
	assert_int_equal(get(f, 4, VNDR + 0xc), 0x12345678);
	put(f, 2, VNDR, 0xffff);
	assert_int_equal(get(f, 2, VNDR), AF << 8 | 0x09);
}

static void test_t11_t13_hidden(void **state)
{
	struct fixture *f = *state;

	/* Slot ID and PASID are skipped, and their bodies are nobody's. */
	assert_int_equal(get(f, 1, VNDR + 1), AF);
	assert_int_equal(get(f, 4, SLOT), 0);
	assert_int_equal(get(f, 4, DSN), 0x16010003);
	assert_int_equal(get(f, 4, PASID), 0);
	put(f, 4, PASID + 4, 0xffffffff);
	assert_int_equal(get(f, 4, PASID + 4), 0);
	assert_int_equal(get(f, 1, AF + 1), 0);
	assert_int_equal(get(f, 4, POWER) >> 20, 0);
}

static void test_t16_t17_rom(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(get(f, 4, 0x30), 0);
	put(f, 4, 0x30, 0xffffffff);
	assert_int_equal(get(f, 4, 0x30), 0xffff0001);
	put(f, 4, 0x30, 0xfffff800);
	assert_int_equal(get(f, 4, 0x30), 0xffff0000);
	put(f, 1, 0x30, 0xff);
	assert_int_equal(get(f, 4, 0x30), 0xffff0001);
	/* Only the program's: the device never hears of it. */
	assert_string_equal(f->log, "");
}

static void test_t41_t42_t43_t44_vpd(void **state)
{
	struct fixture *f = *state;

	put(f, 2, VPD + 2, 0x0004);
	assert_int_equal(get(f, 2, VPD + 2), 0x8004);
	assert_int_equal(get(f, 4, VPD + 4), 0x78444342);
	/* The lower byte alone starts nothing; nor does data. */
	put(f, 2, VPD + 2, 0x0000);
	assert_int_equal(get(f, 4, VPD + 4), 0x41000482);
	put(f, 1, VPD + 2, 0x04);
	assert_int_equal(get(f, 2, VPD + 2), 0x8004);
	assert_int_equal(get(f, 4, VPD + 4), 0x41000482);
	put(f, 4, VPD + 4, 0x11223344);
	assert_int_equal(get(f, 4, VPD + 4), 0x11223344);
	/* Each way of writing the upper byte does. */
	put(f, 2, VPD + 2, 0x8004);
	assert_int_equal(get(f, 2, VPD + 2), 0x0004);
	put(f, 1, VPD + 3, 0x00);
	assert_int_equal(get(f, 2, VPD + 2), 0x8004);
	assert_int_equal(get(f, 4, VPD + 4), 0x11223344);
	put(f, 4, VPD, 0x00060000);
	assert_int_equal(get(f, 2, VPD + 2), 0x8006);
	assert_int_equal(get(f, 4, VPD + 4), 0x1122);
	/* Reading past the end is zeros; writing there, or misaligned, is not answered. */
	put(f, 2, VPD + 2, 0x0100);
	assert_int_equal(get(f, 2, VPD + 2), 0x8100);
	assert_int_equal(get(f, 4, VPD + 4), 0);
	put(f, 2, VPD + 2, 0x8002);
	assert_int_equal(get(f, 2, VPD + 2), 0x8002);
	put(f, 2, VPD + 2, 0x8008);
	assert_int_equal(get(f, 2, VPD + 2), 0x8008);
	assert_string_equal(f->log, "");
	/* An EEPROM: what was written is there after a reset. */
	via_config_reset(f->config, VIA_RESET_IOCTL);
	put(f, 2, VPD + 2, 0x0004);
	assert_int_equal(get(f, 4, VPD + 4), 0x11223344);
}

static void test_t50_af(void **state)
{
	struct fixture *f = *state;

	put(f, 1, AF + 4, 0xff);
	assert_int_equal(get(f, 1, AF + 4), 0);
	assert_non_null(strstr(f->hooks, "reset 2; "));
	f->hooks[0] = '\0';
	/* Not its neighbours. */
	put(f, 1, AF + 3, 0xff);
	put(f, 1, AF + 5, 0xff);
	put(f, 1, AF + 4, 0xfe);
	assert_string_equal(f->hooks, "");
	assert_int_equal(get(f, 2, AF + 2), 0x0306);
	/* A function that cannot: nothing happens, and the bit reads 0. */
	f->no_flr = true;
	put(f, 1, AF + 4, 1);
	assert_int_equal(get(f, 1, AF + 4), 0);
	assert_string_equal(f->hooks, "");
}

static void test_t52_t53_aer(void **state)
{
	static const struct row rows[] = {
		{ AER + 0, 0xffffffff, 0 },
		{ AER + 4, 0, 0x03fff031 },
		{ AER + 8, 0, 0x03fff031 },
		{ AER + 0xc, 0, 0x03fff031 },
		{ AER + 0x10, 0, 0x0000f1c1 },
		{ AER + 0x14, 0, 0x0000f1c1 },
		{ AER + 0x18, 0, 0x00000140 },
		{ AER + 0x1c, 0, 0 },
		{ AER + 0x28, 0, 0 },
		{ AER + 0x2c, 0xffffffff, 0 },
		{ DSN, 0xffffffff, 0 },
		{ DSN + 4, 0, 0 },
		{ DSN + 8, 0, 0 },
		{ DVSEC, 0xffffffff, 0 },
		{ DVSEC + 4, 0, 0 },
		{ POWER, 0xffffffff, 0 },
		{ POWER + 4, 0, 0xff },
		{ POWER + 8, 0, 0 },
		{ VPD, 0xffffff00, 0xffff0000 },
		{ VPD + 4, 0xffffffff, 0xffffffff },
		{ VNDR, 0x0000ff00, 0 },
		{ AF, 0x0000ff00, 0 },
		{ AF + 4, 0xffff0001, 0x00000001 },
		{ 0x30, 0xffffffff, 0xffffffff },
	};
	struct fixture *f = *state;
	struct via_config_masks *masks =
		checked_masks(f, rows, sizeof(rows) / sizeof(rows[0]));

	assert_int_equal(via_get_le32(masks->w1c + AER + 4), 0xffffffff);
	assert_int_equal(via_get_le32(masks->w1c + AER + 0x10), 0xffffffff);
	assert_int_equal(via_get_le32(masks->w1c + AER + 8), 0);
	test_free(masks);

	put(f, 4, AER + 8, 0xffffffff);
	assert_int_equal(get(f, 4, AER + 8), 0x03fff030);
	put(f, 4, AER + 0x14, 0);
	assert_int_equal(get(f, 4, AER + 0x14), 0);
	/* Q4: what is written back of a status register are zeros. */
	f->log[0] = '\0';
	put(f, 4, AER + 4, 0x1000);
	put(f, 4, AER + 4, 0);
	assert_string_equal(f->log, "r4@104 w4@104=1000 r4@104 w4@104=0 ");
	/* The hardware has more set, all of which are not the program's to clear. */
	f->aer_status = 0xfc001030;
	f->log[0] = '\0';
	put(f, 4, AER + 4, 0x1000);
	assert_int_equal(get(f, 4, AER + 4), 0xfc000030);
}

/* A model that implements every bit: what of a write of ones gets through (T47, T48, T52). */
static void test_t47_t48_t52_every_bit(void **state)
{
	static const struct {
		unsigned int pos, width;
		uint32_t changed;
	} rows[] = {
		{ EXP + 0x28, 2, 0xffdf }, /* T47 */
		{ EXP + 0x10, 2, 0 },	   /* T48 */
		{ EXP + 0x0a, 2, 0 },
		{ EXP + 0x18, 2, 0 },
		{ EXP + 0x30, 2, 0 },
		{ AER + 0x08, 4, 0x03fff031 }, /* T52 */
		{ AER + 0x0c, 4, 0x03fff031 },
		{ AER + 0x14, 4, 0x0000f1c1 },
		{ AER + 0x18, 4, 0x00000140 },
		{ AER + 0x1c, 4, 0 },
		{ DSN + 4, 4, 0 },
		{ POWER + 4, 4, 0x000000ff },
		{ POWER + 8, 4, 0 },
		{ POWER + 12, 4, 0 },
		{ AF + 2, 2, 0 },
		{ AF + 5, 1, 0 },
		{ PM + 2, 2, 0 },
		{ PM + 4, 4, 0xffff7efc },
		{ MSIX + 2, 2, 0 },
		{ MSIX + 4, 4, 0 },
		{ MSIX + 8, 4, 0 },
		{ 0x06, 2, 0 },
		{ 0x08, 4, 0 },
		{ 0x0c, 4, 0xff00ffff },
		{ 0x28, 4, 0 },
		{ 0x2c, 4, 0 },
		{ 0x38, 4, 0 },
		{ 0x3e, 2, 0 },
		{ VNDR + 4, 4, 0xffffffff },
		{ DVSEC + 8, 4, 0xffffffff },
	};
	struct fixture *f = *state;

	implement_every_bit(f);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint32_t all = rows[i].width == 4 ? 0xffffffff : (1u << 8 * rows[i].width) - 1;
		uint32_t changed = 0, before, after;

		/* A bit can be changed when it can be set or cleared. */
		before = get(f, rows[i].width, rows[i].pos);
		put(f, rows[i].width, rows[i].pos, rows[i].pos == PM + 4 ? all & ~3u : all);
		after = get(f, rows[i].width, rows[i].pos);
		changed |= before ^ after;
		put(f, rows[i].width, rows[i].pos, 0);
		changed |= after ^ get(f, rows[i].width, rows[i].pos);
		if (changed != rows[i].changed)
			fail_msg("%#x: %#x can be changed, expected %#x", rows[i].pos, changed,
				 rows[i].changed);
	}
}

static void test_t54_t55_dvsec(void **state)
{
	struct fixture *f = *state;
	uint32_t header = get(f, 4, DVSEC);

	assert_int_equal(header, 0x17810023);
	put(f, 4, AER, 0);
	put(f, 4, DVSEC, 0);
	assert_int_equal(get(f, 4, DVSEC), header);
	assert_int_equal(get(f, 4, AER) & 0xffff, 1);
	f->log[0] = '\0';
	put(f, 4, DVSEC + 0xc, 0x55aa);
	assert_string_equal(f->log, "w4@16c=55aa ");
	assert_int_equal(get(f, 4, DVSEC + 0xc), 0x55aa);
	assert_int_equal(get(f, 2, DVSEC + 8), 7);
}

static void test_q3_power_budget(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(get(f, 4, POWER + 8), 0x11111111);
	put(f, 1, POWER + 4, 1);
	assert_int_equal(get(f, 4, POWER + 8), 0x22222222);
	assert_int_equal(get(f, 1, POWER + 9), 0x22);
	put(f, 1, POWER + 8, 0);
	assert_int_equal(get(f, 4, POWER + 8), 0x22222222);
	put(f, 1, POWER + 4, 2);
	assert_int_equal(get(f, 4, POWER + 8), 0);
}

/* Everything shows when the function asks for it. */
static void test_show_all(void **state)
{
	struct via_config_desc desc = whole_r();
	struct fixture *f;

	desc.flags = VIA_CONFIG_SHOW_ALL;
	f = start(&desc);
	assert_int_equal(get(f, 1, VNDR + 1), SLOT);
	assert_int_equal(get(f, 4, DSN), 0x15810003);
	assert_int_equal(get(f, 2, PASID), 0x1b);
	assert_int_equal(get(f, 2, PASID + 4), 20 << 8);
	put(f, 2, PASID + 6, 0xffff);
	assert_int_equal(get(f, 2, PASID + 6), 1);
	stop(f);
}

/* R23, R6: a virtual function has its ids from outside, no pin, and memory always on. */
static void test_virtual_function(void **state)
{
	struct via_config_desc desc = whole_r();
	struct fixture *f;

	desc.flags = VIA_CONFIG_VF;
	desc.ident.vendor = 0x8086;
	desc.ident.device = 0x10ca;
	f = start(&desc);
	assert_int_equal(get(f, 4, 0), 0x10ca8086);
	assert_int_equal(get(f, 1, 0x3d), 0);
	put(f, 2, 0x04, 0);
	assert_int_equal(get(f, 2, 0x04), 0);
	assert_string_equal(f->hooks, "command 2>0; ");
	put(f, 2, 0x04, 2);
	assert_int_equal(get(f, 2, 0x04), 2);
	assert_int_equal(get(f, 4, 0x10), 0xc);
	stop(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_WHOLE_R(test_t4_vendor),
		WITH_WHOLE_R(test_t11_t13_hidden),
		WITH_WHOLE_R(test_t16_t17_rom),
		WITH_WHOLE_R(test_t41_t42_t43_t44_vpd),
		WITH_WHOLE_R(test_t50_af),
		WITH_WHOLE_R(test_t52_t53_aer),
		WITH_WHOLE_R(test_t47_t48_t52_every_bit),
		WITH_WHOLE_R(test_t54_t55_dvsec),
		WITH_WHOLE_R(test_q3_power_budget),
		cmocka_unit_test(test_show_all),
		cmocka_unit_test(test_virtual_function),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
