/* SPDX-License-Identifier: MIT */
/* Which bits are whose, and capability lists of every kind. */
#include "pci/test-config.h"

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
	struct via_config_masks *masks =
		checked_masks(*state, rows, sizeof(rows) / sizeof(rows[0]));

	assert_int_equal(via_get_le16(masks->w1c + 0x06), 0xf900);
	assert_int_equal(via_get_le16(masks->w1c + PM + 4), 0x8000);
	assert_int_equal(via_get_le16(masks->w1c + EXP + 10), 0x000f);
	test_free(masks);
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
		via_config_masks_build(masks, image, 256, &(struct via_config_policy){0});
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
	via_config_masks_build(masks, image, 256, &(struct via_config_policy){0});
	assert_int_equal(image[0x34], 0x40);
	assert_int_equal(image[0x41], 0x60); /* T11 */
	assert_int_equal(image[0x61], 0);    /* T9 */
	assert_int_equal(masks->owner[0x50].tag, VIA_OWNER_NONE);
	assert_int_equal(image[0x50], 0);

	make_list(image); /* T12: nothing that is shown */
	image[0x34] = 0x50;
	image[0x51] = 0;
	via_config_masks_build(masks, image, 256, &(struct via_config_policy){0});
	assert_int_equal(image[0x34], 0);
	assert_int_equal(image[0x06], 0);

	make_list(image); /* a capability at the end of the space that does not fit */
	image[0x61] = 0xf8;
	via_put_le16(image + 0xf8, 0x0011);
	via_config_masks_build(masks, image, 256, &(struct via_config_policy){0});
	assert_int_equal(image[0x61], 0);

	make_list(image); /* overlap: the earlier keeps its bytes */
	image[0x41] = 0x44;
	via_put_le16(image + 0x44, 0x6011);
	via_config_masks_build(masks, image, 256, &(struct via_config_policy){0});
	assert_int_equal(image[0x41], 0x60);
	test_free(masks);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		WITH_R(test_t1_tables),
		cmocka_unit_test(test_msi_layouts),
		cmocka_unit_test(test_hostile_lists),
		cmocka_unit_test(test_t9_t11_t12_lists),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
