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

static unsigned int shown_len(const struct lists *l, unsigned int pos)
{
	unsigned int len = 0;

	while (l->masks.owner[pos].tag != VIA_OWNER_NONE && l->masks.owner[pos + len].start == pos &&
	       l->masks.owner[pos + len].tag == l->masks.owner[pos].tag)
		len++;
	return len;
}

/* A capability whose bytes 2 to 11 are these: how long is it? */
static unsigned int len_of(bool is_extended, unsigned int id, const uint8_t *bytes)
{
	struct lists *l = fresh();
	unsigned int pos = is_extended ? 0x200 : 0xa0, len;

	if (is_extended) {
		extended(l, 0x100, 0x03, 0x200);
		extended(l, 0x200, id, 0);
		memcpy(l->image + pos + 4, bytes + 2, 8);
	} else {
		l->image[0x41] = 0xa0;
		l->image[0xa0] = (uint8_t)id;
		memcpy(l->image + pos + 2, bytes, 10);
	}
	build(l, false);
	len = shown_len(l, pos);
	test_free(l);
	return len;
}

/*
 * What decides on a length: each single bit of it, by the lengths with it
 * flipped. All other bits leave the length as it is.
 */
static void test_lengths_bit_by_bit(void **state)
{
	static const struct {
		bool extended;
		unsigned int id;
		uint8_t at; /* the byte from the start of the capability that has base */
		uint32_t base;
		unsigned int len;
		struct {
			uint8_t byte, bit;
			unsigned int len;
		} other[13];
	} rows[] = {
		{ false, 0x05, 2, 0, 10, { { 2, 7, 14 }, { 3, 0, 20 } } },
		{ false, 0x05, 2, 0x0180, 24, { { 2, 7, 20 }, { 3, 0, 14 } } },
		{ false, 0x07, 2, 0, 8, { { 3, 4, 24 }, { 3, 5, 24 } } },
		{ false, 0x08, 2, 0, 28, { { 3, 5, 24 }, { 3, 6, 24 }, { 3, 7, 24 } } },
		{ false, 0x09, 2, 0, 0, { { 2, 2, 4 }, { 2, 3, 8 }, { 2, 4, 16 }, { 2, 5, 32 },
					  { 2, 6, 64 } } },
		{ false, 0x09, 2, 3, 3, { { 2, 0, 0 }, { 2, 1, 0 }, { 2, 2, 7 }, { 2, 3, 11 },
					  { 2, 4, 19 }, { 2, 5, 35 }, { 2, 6, 67 }, { 2, 7, 0 } } },
		{ false, 0x12, 2, 0, 8, { { 0 } } },
		{ false, 0x12, 4, 0x0f, 16, { { 4, 0, 8 }, { 4, 1, 8 }, { 4, 2, 8 }, { 4, 3, 8 } } },
		{ false, 0x10, 2, 0x0002, 0x34, { { 0 } } },
		{ false, 0x10, 2, 0x0001, 0x14, { { 2, 0, 0x34 }, { 2, 1, 0x34 }, { 2, 2, 0x34 },
						  { 2, 3, 0x34 } } },
		{ false, 0x10, 2, 0x0092, 0x2c, { { 2, 4, 0x34 }, { 2, 5, 0x34 }, { 2, 6, 0x34 },
						  { 2, 7, 0x34 } } },
		{ false, 0x10, 2, 0x0091, 0x0c, { { 2, 0, 0x2c }, { 2, 1, 0x2c }, { 2, 2, 0x2c },
						  { 2, 3, 0x2c }, { 2, 4, 0x14 }, { 2, 5, 0x14 },
						  { 2, 6, 0x14 }, { 2, 7, 0x14 } } },
		{ false, 0x01, 2, 0, 8, { { 0 } } },
		{ false, 0x02, 2, 0, 12, { { 0 } } },
		{ false, 0x03, 2, 0, 8, { { 0 } } },
		{ false, 0x11, 2, 0, 12, { { 0 } } },
		{ false, 0x13, 2, 0, 6, { { 0 } } },
		{ true, 0x02, 4, 0, 0x1c, { { 4, 0, 0x28 }, { 4, 1, 0x34 }, { 4, 2, 0x4c },
					    { 8, 1, 0x30 }, { 8, 2, 0x40 }, { 8, 3, 0x60 } } },
		{ true, 0x0b, 4, 0, 0, { { 6, 6, 4 }, { 6, 7, 8 }, { 7, 0, 16 }, { 7, 1, 32 },
					 { 7, 2, 64 }, { 7, 3, 128 }, { 7, 4, 256 }, { 7, 5, 512 },
					 { 7, 6, 1024 }, { 7, 7, 2048 } } },
		{ true, 0x23, 4, 0, 0, { { 6, 6, 4 }, { 6, 7, 8 }, { 7, 0, 16 }, { 7, 1, 32 },
					 { 7, 2, 64 }, { 7, 3, 128 }, { 7, 4, 256 }, { 7, 5, 512 },
					 { 7, 6, 1024 }, { 7, 7, 2048 } } },
		{ true, 0x0d, 4, 0, 8, { { 4, 5, 40 } } },
		{ true, 0x0d, 4, 0x0120, 12, { { 4, 5, 8 }, { 5, 0, 40 }, { 5, 5, 16 }, { 5, 6, 20 },
					       { 5, 7, 28 } } },
		{ true, 0x15, 4, 0, 4, { { 8, 5, 12 }, { 8, 6, 20 }, { 8, 7, 36 } } },
		{ true, 0x16, 4, 0, 17, { { 4, 0, 18 }, { 4, 1, 19 }, { 4, 2, 21 }, { 4, 3, 25 },
					  { 4, 4, 33 } } },
		{ true, 0x17, 4, 0, 12, { { 5, 1, 14 } } },
		{ true, 0x17, 4, 0x00000200, 14, { { 5, 1, 12 }, { 5, 2, 12 }, { 6, 0, 16 },
						   { 6, 1, 18 }, { 6, 2, 22 }, { 6, 3, 30 },
						   { 6, 4, 46 }, { 6, 5, 78 }, { 6, 6, 142 },
						   { 6, 7, 270 }, { 7, 0, 526 }, { 7, 1, 1038 },
						   { 7, 2, 2062 } } },
		{ true, 0x17, 4, 0x00000400, 12, { { 5, 1, 12 } } },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (unsigned int n = 0; n <= 80; n++) {
			unsigned int want = rows[i].len, byte = 2 + n / 8, bit = n % 8, len;
			uint8_t bytes[16] = { 0 };

			via_put_le32(bytes + rows[i].at - 2, rows[i].base);
			if (rows[i].extended && byte < 4) /* its header */
				continue;
			if (n < 80)
				bytes[byte - 2] ^= (uint8_t)(1u << bit);
			for (unsigned int k = 0; n < 80 && k < 13 && rows[i].other[k].byte; k++)
				if (rows[i].other[k].byte == byte && rows[i].other[k].bit == bit)
					want = rows[i].other[k].len;
			len = len_of(rows[i].extended, rows[i].id, bytes);
			if (len != want)
				fail_msg("row %zu, byte %u bit %u: %u bytes, expected %u", i, byte, bit,
					 len, want);
		}
	}
}

/* The masks of MSI and PCI-X, by each bit of their control words. */
static void test_control_bit_by_bit(void **state)
{
	for (unsigned int bit = 0; bit < 32; bit++) {
		bool msi = bit < 16;
		uint32_t control = 1u << bit % 16;
		unsigned int data = control & 0x80 ? 0xac : 0xa8, mask = data + 4;
		uint32_t vectors = control == 2 ? 3 : control == 4 ? 15 : control == 8 ? 0xffff : 1;
		struct lists *l = fresh();

		l->image[0x41] = 0xa0;
		l->image[0xa0] = msi ? 0x05 : 0x07;
		via_put_le16(l->image + 0xa2, (uint16_t)control);
		if (!msi) {
			memset(l->image + 0x40, 0, 4); /* only it can say that there is a second list */
			l->image[0x34] = 0xa0;
			extended(l, 0x100, 0x03, 0);
		}
		build(l, false);
		if (msi) {
			assert_int_equal(via_get_le16(l->masks.write + 0xa2), 0x0071);
			assert_int_equal(via_get_le16(l->masks.write + data), 0xffff);
			assert_int_equal(via_get_le32(l->masks.write + mask),
					 control & 0x100 ? vectors : 0);
			assert_int_equal(via_get_le16(l->image + 0xa2), control & ~0x71u);
		} else {
			bool two = control & 0x3000;

			assert_int_equal(via_get_le16(l->masks.write + 0xa2), 0xffff);
			assert_int_equal(via_get_le32(l->masks.write + 0xa8), two ? 0xffffffff : 0);
			assert_int_equal(l->masks.pcix_2, two);
			assert_int_equal(l->masks.owner[0x100].tag, two ? 3 : VIA_OWNER_NONE);
		}
		test_free(l);
	}
	/* Maskable, and each other bit: three of them say how many vectors there are. */
	for (unsigned int bit = 0; bit < 16; bit++) {
		struct lists *l = fresh();

		l->image[0x41] = 0xa0;
		l->image[0xa0] = 0x05;
		via_put_le16(l->image + 0xa2, (uint16_t)(0x100 | 1u << bit));
		build(l, false);
		assert_int_equal(via_get_le32(l->masks.write + (bit == 7 ? 0xb0 : 0xac)),
				 bit == 1 ? 3 : bit == 2 ? 15 : bit == 3 ? 0xffff : 1);
		test_free(l);
	}
}

/* Each kind where it just fits, and one byte too far. */
static void test_edge_of_space(void **state)
{
	static const struct {
		bool extended;
		unsigned int id;
		uint32_t second; /* bytes 2 to 5, of an extended one 4 to 7 */
		unsigned int len;
	} rows[] = {
		{ false, 0x01, 0, 8 }, { false, 0x02, 0, 12 }, { false, 0x03, 0, 8 },
		{ false, 0x05, 0, 10 }, { false, 0x07, 0, 8 }, { false, 0x08, 0xe000, 24 },
		{ false, 0x09, 4, 4 }, { false, 0x10, 0x0091, 12 }, { false, 0x11, 0, 12 },
		{ false, 0x12, 0, 8 }, { false, 0x13, 0, 6 }, { true, 0x01, 0, 0x2c },
		{ true, 0x02, 0, 0x1c }, { true, 0x03, 0, 12 }, { true, 0x04, 0, 16 },
		{ true, 0x08, 0, 0x1c }, { true, 0x09, 0, 0x1c }, { true, 0x0b, 8u << 20, 8 },
		{ true, 0x0d, 0, 8 }, { true, 0x0e, 0, 8 }, { true, 0x0f, 0, 8 },
		{ true, 0x10, 0, 0x40 }, { true, 0x12, 0, 40 }, { true, 0x13, 0, 16 },
		{ true, 0x15, 0, 12 }, { true, 0x16, 0, 17 }, { true, 0x17, 0, 12 },
		{ true, 0x18, 0, 8 }, { true, 0x23, 8u << 20, 8 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		/* Rounded down to where one can start: the byte behind is in the way, or the end. */
		unsigned int end = rows[i].extended ? 0x1000 : 0x100;
		unsigned int pos = (end - rows[i].len) & ~3u;

		for (unsigned int beyond = 0; beyond <= 4 && pos + beyond < end; beyond += 4) {
			struct lists *l = fresh();

			if (rows[i].extended) {
				extended(l, 0x100, 0x03, pos + beyond);
				extended(l, pos + beyond, rows[i].id, 0);
				via_put_le32(l->image + pos + beyond + 4 * (pos + beyond + 8 <= end),
					     pos + beyond + 8 <= end ? rows[i].second :
								       rows[i].id | 1u << 16);
			} else {
				l->image[0x41] = (uint8_t)(pos + beyond);
				l->image[pos + beyond] = (uint8_t)rows[i].id;
				via_put_le16(l->image + pos + beyond + 2, (uint16_t)rows[i].second);
			}
			build(l, false);
			if ((l->masks.owner[pos + beyond].tag == rows[i].id) != !beyond)
				fail_msg("row %zu at %#x", i, pos + beyond);
			test_free(l);
		}
	}
}

/* In the last dword of the space there is not even room to look at. */
static void test_last_dword(void **state)
{
	for (unsigned int id = 0; id < 256; id++) {
		struct lists *l = fresh();

		l->image[0x41] = 0xfc;
		l->image[0xfc] = (uint8_t)id;
		l->image[0xfe] = 4;
		extended(l, 0x100, 0x03, 0xffc);
		extended(l, 0xffc, id, 0);
		build(l, false);
		/* All but a vendor-specific block of four bytes. */
		assert_int_equal(l->image[0x41], id == 0x09 ? 0xfc : 0);
		assert_int_equal(header(l, 0x100) >> 20, 0);
		test_free(l);
	}
}

/* The low bits of a pointer count for nothing, and whether there is a list is one bit of Status. */
static void test_pointers(void **state)
{
	struct lists *l = fresh();

	l->image[0x34] = 0x43;
	l->image[0x41] = 0x82;
	l->image[0x80] = 0x04, l->image[0x81] = 0x91; /* hidden */
	l->image[0x90] = 0x03;
	extended(l, 0x100, 0x03, 0x143);
	extended(l, 0x140, 0x1b, 0x182); /* hidden */
	extended(l, 0x180, 0x18, 0x001);
	build(l, false);
	assert_int_equal(l->image[0x34], 0x40);
	assert_int_equal(l->image[0x41], 0x90);
	assert_int_equal(l->image[0x91], 0);
	assert_int_equal(l->masks.owner[0x90].tag, 3);
	/* The list is relinked; bits that are none of it stay. */
	assert_int_equal(header(l, 0x100), 0x18310003);
	assert_int_equal(header(l, 0x180), 0x00110018);
	test_free(l);
	/* What relinks leaves the rest of the header, also of one that only the function's wish shows. */
	l = fresh();
	extended(l, 0x100, 0xffc9, 0x140);
	l->image[0x102] |= 0x0f;
	extended(l, 0x140, 0x1b, 0x180);
	extended(l, 0x180, 0x18, 0);
	{
		uint16_t shown[VIA_CONFIG_DWORDS] = { [0x100 / 4] = 16 };

		via_config_masks_build(&l->masks, l->image, 4096,
				       &(struct via_config_policy){ .shown = shown });
	}
	assert_int_equal(l->masks.owner[0x100].tag, 0xffc9);
	assert_int_equal(header(l, 0x100), 0x180fffc9);
	test_free(l);
	for (unsigned int bit = 0; bit < 16; bit++) {
		l = fresh();
		via_put_le16(l->image + 0x06, (uint16_t)(1u << bit));
		build(l, false);
		assert_int_equal(l->masks.owner[0x40].tag, bit == 4 ? 0x10 : VIA_OWNER_NONE);
		assert_int_equal(l->image[0x34], bit == 4 ? 0x40 : 0);
		test_free(l);
	}
}

/* A dword of ones at 0x100 is a device that does not answer: no list, not even a placeholder. */
static void test_no_extended_list(void **state)
{
	struct lists *l = fresh();

	via_put_le32(l->image + 0x100, 0xffffffff);
	build(l, false);
	assert_int_equal(l->masks.owner[0x100].tag, VIA_OWNER_NONE);
	assert_int_equal(header(l, 0x100), 0);
	test_free(l);
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
	/* All of the lower ids, and those with one higher bit. */
	for (unsigned int n = 0; n < 0x200 + 8; n++) {
		struct lists *l = fresh();
		unsigned int id = n < 0x200 ? n : 0x0003u | 0x100u << (n - 0x200);
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

/* --- T1: the masks of every capability that is shown --------------------------- */

/* Each dword that differs from one that nobody owns: virtual, writable, w1c, raw, owner. */
static void check_masks(struct lists *l, const char *expected)
{
	static char text[16384];

	build(l, false);
	text[0] = '\0';
	for (unsigned int pos = 0; pos < VIA_CONFIG_SIZE_EXPRESS; pos += 4) {
		const struct via_config_masks *m = &l->masks;
		uint32_t virt = via_get_le32(m->virt + pos), write = via_get_le32(m->write + pos);
		uint32_t w1c = via_get_le32(m->w1c + pos), raw = via_get_le32(m->raw + pos);

		if (m->owner[pos].tag != VIA_OWNER_NONE || virt != 0xffffffff || write || w1c || raw)
			note(text, sizeof(text), "%03x %08x %08x %08x %08x %x\n", pos, virt, write,
			     w1c, raw, m->owner[pos].tag);
	}
	if (strcmp(text, expected)) {
		(void)fprintf(stderr, "the masks are\n%s", text);
		fail();
	}
	test_free(l);
}

/* A chain of conventional capabilities, {position, id, bytes 2 to 5 as a number}. */
static struct lists *chain(const uint32_t (*caps)[3], size_t n)
{
	struct lists *l = test_calloc(1, sizeof(*l));

	l->image[0x06] = 0x10;
	for (size_t i = 0; i < n; i++) {
		l->image[i ? caps[i - 1][0] + 1 : 0x34] = (uint8_t)caps[i][0];
		l->image[caps[i][0]] = (uint8_t)caps[i][1];
		via_put_le32(l->image + caps[i][0] + 2, caps[i][2]);
	}
	return l;
}

static void test_t1_every_capability(void **state)
{
	static const uint32_t one[][3] = {
		{ 0x40, 0x10, 0x0002 },	   /* PCI Express version 2 */
		{ 0x80, 0x01, 0xffff },	   /* power management */
		{ 0x90, 0x02, 0 },	   /* AGP */
		{ 0xa0, 0x03, 0 },	   /* VPD */
		{ 0xb0, 0x11, 0 },	   /* MSI-X */
		{ 0xc0, 0x13, 0x0306 },	   /* Advanced Features */
		{ 0xc8, 0x12, 0x000f0000 }, /* SATA, 16 bytes */
		{ 0xd8, 0x08, 0x2000 },	   /* HyperTransport, 24 bytes */
		{ 0xf0, 0x09, 0x10 },	   /* vendor-specific, 16 bytes */
	};
	static const uint32_t two[][3] = {
		{ 0x40, 0x05, 0x018c }, /* MSI, 64 vectors claimed: 32 */
		{ 0x60, 0x07, 0x1000 }, /* PCI-X 2.0 */
		{ 0x78, 0x08, 0x1f00 }, /* HyperTransport, 28 bytes */
		{ 0x94, 0x12, 0 },	/* SATA, 8 bytes */
		{ 0xa0, 0x10, 0x0001 }, /* PCI Express version 1 */
		{ 0xc0, 0x05, 0x0100 }, /* a second MSI, of one vector */
		{ 0xe0, 0x07, 0 },	/* PCI-X 1.0 */
	};
	static const uint32_t three[][3] = {
		{ 0x40, 0x10, 0x0091 }, /* an integrated endpoint, version 1 */
		{ 0x50, 0x05, 0x0084 }, /* MSI of four vectors, 64 bits */
		{ 0x60, 0x05, 0x0000 },
		{ 0x80, 0x10, 0x0092 }, /* version 2 */
	};
	static const struct {
		unsigned int id;
		uint32_t second, third;
	} extended_caps[] = {
		{ 0x01, 0, 0 }, { 0x02, 0, 0 }, { 0x03, 0, 0 }, { 0x04, 0, 0 }, { 0x08, 0, 0 },
		{ 0x09, 0, 0 }, { 0x0b, 0x01000000, 0 }, { 0x0d, 0, 0 }, { 0x0e, 0, 0 },
		{ 0x0f, 0, 0 }, { 0x10, 0, 0 }, { 0x12, 0, 0 }, { 0x13, 0, 0 }, { 0x15, 0, 0x20 },
		{ 0x16, 0, 0 }, { 0x17, 0, 0 }, { 0x18, 0, 0 }, { 0x23, 0x01000000, 0 },
	};
	struct lists *l = chain(one, sizeof(one) / sizeof(one[0]));
	unsigned int pos = 0x100;

	for (size_t i = 0; i < sizeof(extended_caps) / sizeof(extended_caps[0]); i++, pos += 0x50) {
		bool last = i + 1 == sizeof(extended_caps) / sizeof(extended_caps[0]);

		extended(l, pos, extended_caps[i].id, last ? 0 : pos + 0x50);
		via_put_le32(l->image + pos + 4, extended_caps[i].second);
		via_put_le32(l->image + pos + 8, extended_caps[i].third);
	}
	check_masks(l, 
			"000 ffffffff 00000000 00000000 00000000 fffe\n"
			"004 00100400 0000ffff f9000000 00000000 fffe\n"
			"008 00000000 00000000 00000000 00000000 fffe\n"
			"00c 00000000 ff00ffff 00000000 00000000 fffe\n"
			"010 ffffffff ffffffff 00000000 00000000 fffe\n"
			"014 ffffffff ffffffff 00000000 00000000 fffe\n"
			"018 ffffffff ffffffff 00000000 00000000 fffe\n"
			"01c ffffffff ffffffff 00000000 00000000 fffe\n"
			"020 ffffffff ffffffff 00000000 00000000 fffe\n"
			"024 ffffffff ffffffff 00000000 00000000 fffe\n"
			"028 00000000 00000000 00000000 00000000 fffe\n"
			"02c 00000000 00000000 00000000 00000000 fffe\n"
			"030 ffffffff ffffffff 00000000 00000000 fffe\n"
			"034 000000ff 00000000 00000000 00000000 fffe\n"
			"038 00000000 00000000 00000000 00000000 fffe\n"
			"03c 0000ffff 000000ff 00000000 00000000 fffe\n"
			"040 0000ff00 00000000 00000000 00000000 10\n"
			"044 00000000 00000000 00000000 00000000 10\n"
			"048 0000f0e0 0000fdff 000f0000 00000000 10\n"
			"04c 00000000 00000000 00000000 00000000 10\n"
			"050 00000000 00000000 00000000 00000000 10\n"
			"054 00000000 00000000 00000000 00000000 10\n"
			"058 00000000 00000000 00000000 00000000 10\n"
			"05c 00000000 00000000 00000000 00000000 10\n"
			"060 00000000 00000000 00000000 00000000 10\n"
			"064 00000000 00000000 00000000 00000000 10\n"
			"068 00000000 0000ffdf 00000000 00000000 10\n"
			"06c 00000000 00000000 00000000 00000000 10\n"
			"070 00000000 00000000 00000000 00000000 10\n"
			"080 f800ff00 00000000 00000000 00000000 1\n"
			"084 00008100 ffff7efc 00008000 00000000 1\n"
			"090 0000ff00 00000000 00000000 00000000 2\n"
			"094 00000000 00000000 00000000 00000000 2\n"
			"098 00000000 00000000 00000000 00000000 2\n"
			"0a0 ffffff00 ffff0000 00000000 00000000 3\n"
			"0a4 ffffffff ffffffff 00000000 00000000 3\n"
			"0b0 0000ff00 00000000 00000000 00000000 11\n"
			"0b4 00000000 00000000 00000000 00000000 11\n"
			"0b8 00000000 00000000 00000000 00000000 11\n"
			"0c0 0000ff00 00000000 00000000 00000000 13\n"
			"0c4 ffff0001 00000001 00000000 00000000 13\n"
			"0c8 0000ff00 00000000 00000000 00000000 12\n"
			"0cc 00000000 00000000 00000000 00000000 12\n"
			"0d0 00000000 00000000 00000000 00000000 12\n"
			"0d4 00000000 00000000 00000000 00000000 12\n"
			"0d8 0000ff00 00000000 00000000 00000000 8\n"
			"0dc 00000000 00000000 00000000 00000000 8\n"
			"0e0 00000000 00000000 00000000 00000000 8\n"
			"0e4 00000000 00000000 00000000 00000000 8\n"
			"0e8 00000000 00000000 00000000 00000000 8\n"
			"0ec 00000000 00000000 00000000 00000000 8\n"
			"0f0 0000ff00 00000000 00000000 ffffffff 9\n"
			"0f4 00000000 00000000 00000000 ffffffff 9\n"
			"0f8 00000000 00000000 00000000 ffffffff 9\n"
			"0fc 00000000 00000000 00000000 ffffffff 9\n"
			"100 ffffffff 00000000 00000000 00000000 1\n"
			"104 00000000 03fff031 ffffffff 00000000 1\n"
			"108 00000000 03fff031 00000000 00000000 1\n"
			"10c 00000000 03fff031 00000000 00000000 1\n"
			"110 00000000 0000f1c1 ffffffff 00000000 1\n"
			"114 00000000 0000f1c1 00000000 00000000 1\n"
			"118 00000000 00000140 00000000 00000000 1\n"
			"11c 00000000 00000000 00000000 00000000 1\n"
			"120 00000000 00000000 00000000 00000000 1\n"
			"124 00000000 00000000 00000000 00000000 1\n"
			"128 00000000 00000000 00000000 00000000 1\n"
			"150 ffffffff 00000000 00000000 00000000 2\n"
			"154 00000000 00000000 00000000 00000000 2\n"
			"158 00000000 00000000 00000000 00000000 2\n"
			"15c 00000000 00000000 00000000 00000000 2\n"
			"160 00000000 00000000 00000000 00000000 2\n"
			"164 00000000 00000000 00000000 00000000 2\n"
			"168 00000000 00000000 00000000 00000000 2\n"
			"1a0 ffffffff 00000000 00000000 00000000 3\n"
			"1a4 00000000 00000000 00000000 00000000 3\n"
			"1a8 00000000 00000000 00000000 00000000 3\n"
			"1f0 ffffffff 00000000 00000000 00000000 4\n"
			"1f4 00000000 000000ff 00000000 00000000 4\n"
			"1f8 00000000 00000000 00000000 00000000 4\n"
			"1fc 00000000 00000000 00000000 00000000 4\n"
			"240 ffffffff 00000000 00000000 00000000 8\n"
			"244 00000000 00000000 00000000 00000000 8\n"
			"248 00000000 00000000 00000000 00000000 8\n"
			"24c 00000000 00000000 00000000 00000000 8\n"
			"250 00000000 00000000 00000000 00000000 8\n"
			"254 00000000 00000000 00000000 00000000 8\n"
			"258 00000000 00000000 00000000 00000000 8\n"
			"290 ffffffff 00000000 00000000 00000000 9\n"
			"294 00000000 00000000 00000000 00000000 9\n"
			"298 00000000 00000000 00000000 00000000 9\n"
			"29c 00000000 00000000 00000000 00000000 9\n"
			"2a0 00000000 00000000 00000000 00000000 9\n"
			"2a4 00000000 00000000 00000000 00000000 9\n"
			"2a8 00000000 00000000 00000000 00000000 9\n"
			"2e0 ffffffff 00000000 00000000 ffffffff b\n"
			"2e4 00000000 00000000 00000000 ffffffff b\n"
			"2e8 00000000 00000000 00000000 ffffffff b\n"
			"2ec 00000000 00000000 00000000 ffffffff b\n"
			"330 ffffffff 00000000 00000000 00000000 d\n"
			"334 00000000 00000000 00000000 00000000 d\n"
			"380 ffffffff 00000000 00000000 00000000 e\n"
			"384 00000000 00000000 00000000 00000000 e\n"
			"3d0 ffffffff 00000000 00000000 00000000 f\n"
			"3d4 00000000 00000000 00000000 00000000 f\n"
			"420 ffffffff 00000000 00000000 00000000 10\n"
			"424 00000000 00000000 00000000 00000000 10\n"
			"428 00000000 00000000 00000000 00000000 10\n"
			"42c 00000000 00000000 00000000 00000000 10\n"
			"430 00000000 00000000 00000000 00000000 10\n"
			"434 00000000 00000000 00000000 00000000 10\n"
			"438 00000000 00000000 00000000 00000000 10\n"
			"43c 00000000 00000000 00000000 00000000 10\n"
			"440 00000000 00000000 00000000 00000000 10\n"
			"444 00000000 00000000 00000000 00000000 10\n"
			"448 00000000 00000000 00000000 00000000 10\n"
			"44c 00000000 00000000 00000000 00000000 10\n"
			"450 00000000 00000000 00000000 00000000 10\n"
			"454 00000000 00000000 00000000 00000000 10\n"
			"458 00000000 00000000 00000000 00000000 10\n"
			"45c 00000000 00000000 00000000 00000000 10\n"
			"470 ffffffff 00000000 00000000 00000000 12\n"
			"474 00000000 00000000 00000000 00000000 12\n"
			"478 00000000 00000000 00000000 00000000 12\n"
			"47c 00000000 00000000 00000000 00000000 12\n"
			"480 00000000 00000000 00000000 00000000 12\n"
			"484 00000000 00000000 00000000 00000000 12\n"
			"488 00000000 00000000 00000000 00000000 12\n"
			"48c 00000000 00000000 00000000 00000000 12\n"
			"490 00000000 00000000 00000000 00000000 12\n"
			"494 00000000 00000000 00000000 00000000 12\n"
			"4c0 ffffffff 00000000 00000000 00000000 13\n"
			"4c4 00000000 00000000 00000000 00000000 13\n"
			"4c8 00000000 00000000 00000000 00000000 13\n"
			"4cc 00000000 00000000 00000000 00000000 13\n"
			"510 ffffffff 00000000 00000000 00000000 15\n"
			"514 00000000 00000000 00000000 00000000 15\n"
			"518 00000000 00000000 00000000 00000000 15\n"
			"560 ffffffff 00000000 00000000 00000000 16\n"
			"564 00000000 00000000 00000000 00000000 16\n"
			"568 00000000 00000000 00000000 00000000 16\n"
			"56c 00000000 00000000 00000000 00000000 16\n"
			"570 ffffff00 00000000 00000000 00000000 16\n"
			"5b0 ffffffff 00000000 00000000 00000000 17\n"
			"5b4 00000000 00000000 00000000 00000000 17\n"
			"5b8 00000000 00000000 00000000 00000000 17\n"
			"600 ffffffff 00000000 00000000 00000000 18\n"
			"604 00000000 00000000 00000000 00000000 18\n"
			"650 ffffffff 00000000 00000000 ffffffff 23\n"
			"654 00000000 00000000 00000000 ffffffff 23\n"
			"658 00000000 00000000 00000000 ffffffff 23\n"
			"65c 00000000 00000000 00000000 ffffffff 23\n");
	check_masks(chain(two, sizeof(two) / sizeof(two[0])), 
			"000 ffffffff 00000000 00000000 00000000 fffe\n"
			"004 00100400 0000ffff f9000000 00000000 fffe\n"
			"008 00000000 00000000 00000000 00000000 fffe\n"
			"00c 00000000 ff00ffff 00000000 00000000 fffe\n"
			"010 ffffffff ffffffff 00000000 00000000 fffe\n"
			"014 ffffffff ffffffff 00000000 00000000 fffe\n"
			"018 ffffffff ffffffff 00000000 00000000 fffe\n"
			"01c ffffffff ffffffff 00000000 00000000 fffe\n"
			"020 ffffffff ffffffff 00000000 00000000 fffe\n"
			"024 ffffffff ffffffff 00000000 00000000 fffe\n"
			"028 00000000 00000000 00000000 00000000 fffe\n"
			"02c 00000000 00000000 00000000 00000000 fffe\n"
			"030 ffffffff ffffffff 00000000 00000000 fffe\n"
			"034 000000ff 00000000 00000000 00000000 fffe\n"
			"038 00000000 00000000 00000000 00000000 fffe\n"
			"03c 0000ffff 000000ff 00000000 00000000 fffe\n"
			"040 00ffff00 00710000 00000000 00000000 5\n"
			"044 ffffffff fffffffc 00000000 00000000 5\n"
			"048 ffffffff ffffffff 00000000 00000000 5\n"
			"04c 0000ffff 0000ffff 00000000 00000000 5\n"
			"050 ffffffff ffffffff 00000000 00000000 5\n"
			"054 ffffffff 00000000 00000000 00000000 5\n"
			"060 0000ff00 ffff0000 00000000 00000000 7\n"
			"064 00000000 00000000 00000000 00000000 7\n"
			"068 00000000 ffffffff 00000000 00000000 7\n"
			"06c 00000000 00000000 00000000 00000000 7\n"
			"070 00000000 00000000 00000000 00000000 7\n"
			"074 00000000 00000000 00000000 00000000 7\n"
			"078 0000ff00 00000000 00000000 00000000 8\n"
			"07c 00000000 00000000 00000000 00000000 8\n"
			"080 00000000 00000000 00000000 00000000 8\n"
			"084 00000000 00000000 00000000 00000000 8\n"
			"088 00000000 00000000 00000000 00000000 8\n"
			"08c 00000000 00000000 00000000 00000000 8\n"
			"090 00000000 00000000 00000000 00000000 8\n"
			"094 0000ff00 00000000 00000000 00000000 12\n"
			"098 00000000 00000000 00000000 00000000 12\n"
			"0a0 0000ff00 00000000 00000000 00000000 10\n"
			"0a4 00000000 00000000 00000000 00000000 10\n"
			"0a8 0000f0e0 0000fdff 000f0000 00000000 10\n"
			"0ac 00000000 00000000 00000000 00000000 10\n"
			"0b0 00000000 00000000 00000000 00000000 10\n"
			"0c0 00ffff00 00710000 00000000 00000000 5\n"
			"0c4 ffffffff fffffffc 00000000 00000000 5\n"
			"0c8 0000ffff 0000ffff 00000000 00000000 5\n"
			"0cc ffffffff 00000001 00000000 00000000 5\n"
			"0d0 ffffffff 00000000 00000000 00000000 5\n"
			"0e0 0000ff00 ffff0000 00000000 00000000 7\n"
			"0e4 00000000 00000000 00000000 00000000 7\n");
	check_masks(chain(three, sizeof(three) / sizeof(three[0])), 
			"000 ffffffff 00000000 00000000 00000000 fffe\n"
			"004 00100400 0000ffff f9000000 00000000 fffe\n"
			"008 00000000 00000000 00000000 00000000 fffe\n"
			"00c 00000000 ff00ffff 00000000 00000000 fffe\n"
			"010 ffffffff ffffffff 00000000 00000000 fffe\n"
			"014 ffffffff ffffffff 00000000 00000000 fffe\n"
			"018 ffffffff ffffffff 00000000 00000000 fffe\n"
			"01c ffffffff ffffffff 00000000 00000000 fffe\n"
			"020 ffffffff ffffffff 00000000 00000000 fffe\n"
			"024 ffffffff ffffffff 00000000 00000000 fffe\n"
			"028 00000000 00000000 00000000 00000000 fffe\n"
			"02c 00000000 00000000 00000000 00000000 fffe\n"
			"030 ffffffff ffffffff 00000000 00000000 fffe\n"
			"034 000000ff 00000000 00000000 00000000 fffe\n"
			"038 00000000 00000000 00000000 00000000 fffe\n"
			"03c 0000ffff 000000ff 00000000 00000000 fffe\n"
			"040 0000ff00 00000000 00000000 00000000 10\n"
			"044 00000000 00000000 00000000 00000000 10\n"
			"048 0000f0e0 0000fdff 000f0000 00000000 10\n"
			"050 00ffff00 00710000 00000000 00000000 5\n"
			"054 ffffffff fffffffc 00000000 00000000 5\n"
			"058 ffffffff ffffffff 00000000 00000000 5\n"
			"05c ffffffff 0000ffff 00000000 00000000 5\n"
			"060 00ffff00 00710000 00000000 00000000 5\n"
			"064 ffffffff fffffffc 00000000 00000000 5\n"
			"068 ffffffff 0000ffff 00000000 00000000 5\n"
			"080 0000ff00 00000000 00000000 00000000 10\n"
			"084 00000000 00000000 00000000 00000000 10\n"
			"088 0000f0e0 0000fdff 000f0000 00000000 10\n"
			"08c 00000000 00000000 00000000 00000000 10\n"
			"090 00000000 00000000 00000000 00000000 10\n"
			"094 00000000 00000000 00000000 00000000 10\n"
			"098 00000000 00000000 00000000 00000000 10\n"
			"09c 00000000 00000000 00000000 00000000 10\n"
			"0a0 00000000 00000000 00000000 00000000 10\n"
			"0a4 00000000 00000000 00000000 00000000 10\n"
			"0a8 00000000 0000ffdf 00000000 00000000 10\n");
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
		cmocka_unit_test(test_lengths_bit_by_bit),
		cmocka_unit_test(test_control_bit_by_bit),
		cmocka_unit_test(test_edge_of_space),
		cmocka_unit_test(test_no_extended_list),
		cmocka_unit_test(test_last_dword),
		cmocka_unit_test(test_pointers),
		cmocka_unit_test(test_visible),
		cmocka_unit_test(test_t1_every_capability),
		cmocka_unit_test(test_t94_random_images),
		cmocka_unit_test(test_t60_restore),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
