/* SPDX-License-Identifier: MIT */
/* Capability lists of devices that err or lie, and registers that change behind our back. */
#include "pci/test-config.h"

struct lists {
	struct via_config_masks masks;
	uint8_t image[4096];
};

static struct lists *fresh(void)
{
	struct lists *l = test_calloc(1, sizeof(*l));

	l->image[0x06] = 0x10;
	/* PCI Express, so that there is a second list. */
	l->image[0x34] = 0x40;
	l->image[0x40] = 0x10;
	l->image[0x42] = 2;
	return l;
}

static void extended(struct lists *l, unsigned int pos, unsigned int id, unsigned int next)
{
	via_put_le32(l->image + pos, id | 1u << 16 | next << 20);
}

static uint32_t header(const struct lists *l, unsigned int pos)
{
	return via_get_le32(l->image + pos);
}

static void build(struct lists *l, bool raw)
{
	via_config_masks_build(&l->masks, l->image, 4096,
			       &(struct via_config_policy){ .raw_gaps = raw });
}

static void test_t56_t57_first_hidden(void **state)
{
	struct lists *l = fresh();

	extended(l, 0x100, 0x1b, 0x140);
	extended(l, 0x140, 0x01, 0);
	build(l, true);
	assert_int_equal(header(l, 0x100), 0x14000000);
	assert_int_equal(l->masks.owner[0x100].tag, VIA_OWNER_PLACEHOLDER);
	assert_int_equal(via_get_le32(l->masks.virt + 0x100), 0xffffffff);
	assert_int_equal(l->masks.raw[0x100], 0);
	/* Only the header: its body is the device's. */
	assert_int_equal(l->masks.raw[0x104], 0xff);
	assert_int_equal(header(l, 0x140), 0x00010001);
	test_free(l);

	l = fresh();
	extended(l, 0x100, 0x1b, 0);
	build(l, false);
	assert_int_equal(header(l, 0x100), 0);
	test_free(l);
}

static void test_t58_unknown(void **state)
{
	struct lists *l = fresh();

	/* 0x0101 is no AER, 0x01ff and 0x01fe no marks of ours. */
	for (unsigned int id = 0x0101; id; id = id == 0x0101 ? 0x01ff : id == 0x01ff ? 0x01fe : 0) {
		memset(l->image + 0x100, 0, 0x100);
		extended(l, 0x100, id, 0x180);
		extended(l, 0x180, 0x03, 0);
		build(l, true);
		assert_int_equal(header(l, 0x100), 0x18000000);
		assert_int_equal(via_get_le32(l->masks.write + 0x104), 0);
		assert_int_equal(via_get_le32(l->masks.virt + 0x100), 0xffffffff);
		assert_int_equal(via_get_le32(l->masks.write + 0x100), 0);
	}
	test_free(l);
}

static void test_t9_loops(void **state)
{
	struct lists *l = fresh();

	extended(l, 0x100, 0x01, 0x140);
	extended(l, 0x140, 0x03, 0x180);
	extended(l, 0x180, 0x18, 0x140);
	build(l, false);
	assert_int_equal(header(l, 0x140), 0x18010003);
	assert_int_equal(header(l, 0x180), 0x00010018);
	test_free(l);
}

static void test_bounds(void **state)
{
	struct lists *l = fresh();

	/* Over its neighbour, over the end, and in the first 256 bytes. */
	extended(l, 0x100, 0x01, 0x120);
	extended(l, 0x120, 0x03, 0xff8);
	extended(l, 0xff8, 0x03, 0x0c0);
	build(l, false);
	assert_int_equal(header(l, 0x100), 0x00010001);
	assert_int_equal(l->masks.owner[0x120].start, 0x100);
	assert_int_equal(l->masks.owner[0xff8].tag, VIA_OWNER_NONE);
	test_free(l);

	/* A vendor-specific block says its length: too short to be one, too long to fit. */
	l = fresh();
	extended(l, 0x100, 0x03, 0x110);
	extended(l, 0x110, 0x0b, 0x120);
	via_put_le32(l->image + 0x114, 3u << 20);
	extended(l, 0x120, 0x23, 0x140);
	via_put_le32(l->image + 0x124, 0xfffu << 20);
	extended(l, 0x140, 0x0b, 0);
	via_put_le32(l->image + 0x144, 0x20u << 20);
	build(l, false);
	assert_int_equal(header(l, 0x100) >> 20, 0x140);
	assert_int_equal(l->masks.owner[0x15f].tag, 0x0b);
	assert_int_equal(l->masks.owner[0x160].tag, VIA_OWNER_NONE);
	test_free(l);
}

static void test_t10_t59_vendor(void **state)
{
	struct lists *l = fresh();

	/* Two neighbours of one id, and one behind them that is hidden. */
	l->image[0x41] = 0xa0;
	l->image[0xa0] = 0x09, l->image[0xa1] = 0xb0, l->image[0xa2] = 0x10;
	l->image[0xb0] = 0x09, l->image[0xb1] = 0xc0, l->image[0xb2] = 0x10;
	l->image[0xc0] = 0x04, l->image[0xc1] = 0xd0;
	l->image[0xd0] = 0x09, l->image[0xd1] = 0xf8, l->image[0xd2] = 2;
	l->image[0xf8] = 0x09, l->image[0xf9] = 0xe0, l->image[0xfa] = 0x40;
	l->image[0xe0] = 0x13, l->image[0xe1] = 0;
	build(l, false);
	assert_int_equal(l->image[0xa1], 0xb0);
	assert_int_equal(l->image[0xb1], 0xe0);
	assert_int_equal(l->masks.owner[0xb5].start, 0xb0);
	assert_int_equal(l->masks.virt[0xb1], 0xff);
	assert_int_equal(l->masks.owner[0xf8].tag, VIA_OWNER_NONE);
	assert_int_equal(l->masks.owner[0x100].tag, VIA_OWNER_NONE);
	test_free(l);
}

/* A device whose reset bits read as one: any write beside them would reset it. */
static void test_reset_bits_read_as_zero(void **state)
{
	struct lists *l = fresh();

	l->image[0x41] = 0xc0;
	l->image[0x49] = 0x80;
	l->image[0xc0] = 0x13, l->image[0xc1] = 0, l->image[0xc4] = 1;
	build(l, false);
	assert_int_equal(l->masks.express, 0x40);
	assert_int_equal(l->masks.af, 0xc0);
	assert_int_equal(l->image[0x49], 0);
	assert_int_equal(l->image[0xc4], 0);
	test_free(l);
}

/* Every length that a register says (4.3, 4.4, 3.2). */
static void test_lengths(void **state)
{
	static const struct {
		unsigned int id;
		uint32_t second, third;
		unsigned int len;
	} rows[] = {
		{ 0x02, 0, 0, 0x1c },		{ 0x02, 7, 0, 0x70 },
		{ 0x08, 1, 0x2, 0x40 },		{ 0x09, 1, 0x4, 0x50 },
		{ 0x02, 1, 0xe, 0x70 },		{ 0x0d, 0, 0, 8 },
		{ 0x0d, 0x0120, 0, 12 },	{ 0x0d, 0x2020, 0, 12 },
		{ 0x0d, 0x2120, 0, 16 },	{ 0x0d, 0x0020, 0, 40 },
		{ 0x15, 0, 0x20, 12 },		{ 0x15, 0, 0xe0, 60 },
		{ 0x16, 0x1f, 0, 48 },		{ 0x16, 0, 0, 17 },
		{ 0x17, 0x400, 0, 12 },		{ 0x17, 0x00030200, 0, 20 },
		{ 0x0e, 0, 0, 8 },		{ 0x0f, 0, 0, 8 },
		{ 0x10, 0, 0, 0x40 },		{ 0x12, 0, 0, 40 },
		{ 0x13, 0, 0, 16 },		{ 0x18, 0, 0, 8 },
		{ 0x04, 0, 0, 16 },		{ 0x03, 0, 0, 12 },
		{ 0x23, 0x01800000, 0, 0x18 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct lists *l = fresh();
		unsigned int len = 0;

		extended(l, 0x100, rows[i].id, 0);
		via_put_le32(l->image + 0x104, rows[i].second);
		via_put_le32(l->image + 0x108, rows[i].third);
		build(l, false);
		while (l->masks.owner[0x100 + len].tag == rows[i].id)
			len++;
		if (len != rows[i].len)
			fail_msg("row %zu: %#x bytes, expected %#x", i, len, rows[i].len);
		test_free(l);
	}
}

/* Ids that are hidden, of both lists; all others show. */
static void test_visible(void **state)
{
	static const uint8_t shown[] = { 0x01, 0x02, 0x03, 0x05, 0x07, 0x08, 0x09,
					 0x10, 0x11, 0x12, 0x13 };
	static const uint8_t shown_extended[] = { 0x01, 0x02, 0x03, 0x04, 0x08, 0x09, 0x0b, 0x0d, 0x0e,
						  0x0f, 0x10, 0x12, 0x13, 0x15, 0x16, 0x17, 0x18, 0x23 };

	for (unsigned int id = 0; id < 256; id++) {
		struct lists *l = fresh();
		bool want = memchr(shown, (int)id, sizeof(shown));

		l->image[0x41] = 0x80;
		l->image[0x80] = (uint8_t)id;
		l->image[0x82] = 0x10;
		build(l, false);
		if ((l->image[0x41] == 0x80) != want)
			fail_msg("capability %#x is %s", id, want ? "hidden" : "shown");
		test_free(l);
	}
	for (unsigned int id = 0; id < 0x200; id++) {
		struct lists *l = fresh();
		bool want = id < 256 && memchr(shown_extended, (int)id, sizeof(shown_extended));

		extended(l, 0x100, 0x03, 0x200);
		extended(l, 0x200, id, 0);
		via_put_le32(l->image + 0x204, 0x02000000);
		build(l, false);
		if ((header(l, 0x100) >> 20 == 0x200) != want)
			fail_msg("extended capability %#x is %s", id, want ? "hidden" : "shown");
		test_free(l);
	}
}

/* Any registers at all: the lists end, and what is in them is inside the space and apart. */
static void test_t94_random_images(void **state)
{
	static const uint8_t likely[] = { 0x01, 0x05, 0x10, 0x11, 0x09, 0x07, 0x03, 0x13 };
	struct lists *l = test_malloc(sizeof(*l));
	unsigned int shown = 0;

	srand(94);
	for (int round = 0; round < 500; round++) {
		unsigned int n = 0, pos;

		for (unsigned int i = 0; i < 4096; i++)
			l->image[i] = (uint8_t)rand();
		l->image[0x06] |= 0x10;
		for (unsigned int i = 0x40; i < 0x100; i += 4)
			l->image[i] = likely[rand() % sizeof(likely)];
		for (unsigned int i = 0x100; i < 0x1000; i += 4)
			if (rand() % 2)
				extended(l, i, 1 + rand() % 0x25, 0x100 + rand() % 0xf00);
		build(l, round % 2);
		for (pos = l->image[0x34]; pos; pos = l->image[pos + 1], n++) {
			assert_true(n < 48 && pos >= 0x40);
			assert_int_equal(l->masks.owner[pos].start, pos);
			assert_int_equal(l->masks.virt[pos + 1], 0xff);
			assert_int_equal(l->masks.write[pos + 1], 0);
		}
		shown += n;
		n = 0;
		for (pos = 0x100; pos && l->masks.express; pos = header(l, pos) >> 20 & 0xffc, n++) {
			assert_true(n < 960 && pos >= 0x100);
			assert_int_equal(l->masks.owner[pos].start, pos);
			assert_int_equal(via_get_le32(l->masks.virt + pos), 0xffffffff);
			assert_int_equal(via_get_le32(l->masks.write + pos), 0);
			/* All of it is one block: the next one starts behind its end. */
			while (pos + 1 < 4096 && l->masks.owner[pos + 1].start == l->masks.owner[pos].start)
				pos++;
			assert_true(pos < 4096);
			pos = l->masks.owner[pos].start;
		}
		shown += n;
	}
	assert_true(shown > 1000);
	test_free(l);
}

/* R22: the device has lost its BARs, or its memory enable. */
static void test_t60_restore(void **state)
{
	struct via_config_desc desc = whole_r();
	struct fixture *f;

	desc.flags = VIA_CONFIG_RESTORE_BARS;
	f = start(&desc);
	/* Nothing is lost: only the command is written. */
	put(f, 2, 0x04, 0x0103);
	assert_null(strstr(f->log, "w4@10"));
	f->log[0] = '\0';
	/* The device loses its command register. */
	assert_int_equal(f->real.ops->write(f->real.cookie, 0x04, 2, 0), 0);
	put(f, 2, 0x04, 0x0006);
	assert_non_null(strstr(f->log, "w4@10=c "));
	assert_non_null(strstr(f->log, "w4@30=0 "));
	assert_true(strstr(f->log, "w4@30=0 ") < strstr(f->log, "w2@04="));
	stop(f);

	f = start(&device_r);
	assert_int_equal(f->real.ops->write(f->real.cookie, 0x04, 2, 0), 0);
	put(f, 2, 0x04, 0x0006);
	assert_null(strstr(f->log, "w4@10"));
	stop(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_t56_t57_first_hidden),
		cmocka_unit_test(test_t58_unknown),
		cmocka_unit_test(test_t9_loops),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_t10_t59_vendor),
		cmocka_unit_test(test_reset_bits_read_as_zero),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_visible),
		cmocka_unit_test(test_t94_random_images),
		cmocka_unit_test(test_t60_restore),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
