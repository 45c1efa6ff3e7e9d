/* SPDX-License-Identifier: MIT */
/* How an access becomes callbacks: widths, splitting, declining, re-entrancy. */
#include "bus/test-support.h"

#define BASE 0x1000u

static void fill(struct dev *d)
{
	unsigned int i;

	for (i = 0; i < DEV_BYTES; i++)
		d->mem[i] = (uint8_t)(0x10 + i);
}

static void check_calls(const struct dev *d, const struct via_claim_desc *desc)
{
	unsigned int i;

	for (i = 0; i < d->n_calls && i < 16; i++) {
		assert_true(d->call[i].size >= desc->impl_min && d->call[i].size <= desc->impl_max);
		if (!desc->impl_unaligned)
			assert_int_equal(d->call[i].offset % d->call[i].size, 0);
		/* Only a read-modify-write, and the word that holds a narrow part, go back. */
		if (i && desc->impl_min == 1)
			assert_true(d->call[i].offset > d->call[i - 1].offset);
	}
}

static void matrix_one(struct via_bus *bus, struct dev *d, const struct via_claim_desc *desc,
		       unsigned int offset, unsigned int len)
{
	uint8_t model[DEV_BYTES], buf[8];
	uint64_t value = 0, want = 0;
	size_t done = 0;
	unsigned int i;

	fill(d);
	memcpy(model, d->mem, sizeof(model));
	dev_reset(d);
	assert_int_equal(via_bus_read(bus, BASE + offset, buf, len, &done), 0);
	assert_int_equal(done, len);
	assert_memory_equal(buf, model + offset, len);
	check_calls(d, desc);

	for (i = 0; i < len; i++)
		buf[i] = model[offset + i] = (uint8_t)(0xa0 + i);
	dev_reset(d);
	assert_int_equal(via_bus_write(bus, BASE + offset, buf, len, &done), 0);
	assert_int_equal(done, len);
	assert_memory_equal(d->mem, model, sizeof(model));
	check_calls(d, desc);

	if (len & (len - 1))
		return;
	for (i = 0; i < len; i++)
		want |= (uint64_t)model[offset + i] << (8 * i);
	dev_reset(d);
	assert_int_equal(via_bus_read_value(bus, BASE + offset, len, &value), 0);
	assert_true(value == want);
	check_calls(d, desc);
	fill(d);
	dev_reset(d);
	assert_int_equal(via_bus_write_value(bus, BASE + offset, len, ~want), 0);
	fill(d + 1);
	for (i = 0; i < len; i++)
		d[1].mem[offset + i] = (uint8_t)(~want >> (8 * i));
	assert_memory_equal(d->mem, d[1].mem, DEV_BYTES);
	check_calls(d, desc);
}

static void case_35_matrix(void **state)
{
	unsigned int min, max, variant, offset, len;

	for (variant = 0; variant < 4; variant++) {
		for (min = 1; min <= 8; min *= 2) {
			for (max = min; max <= 8; max *= 2) {
				struct via_bus *bus = new_bus();
				struct dev d[2] = { 0 };
				struct via_claim_desc desc =
					claim_of(d, BASE, BASE + DEV_BYTES - 1, 0);

				d->big_endian = variant & 1;
				desc.impl_unaligned = variant & 2;
				desc.valid_unaligned = true;
				desc.impl_min = (uint8_t)min;
				desc.impl_max = (uint8_t)max;
				desc.flags = VIA_BUS_NARROW_RMW;
				if (d->big_endian)
					desc.flags |= VIA_BUS_BIG_ENDIAN;
				add_desc(bus, &desc);
				for (offset = 0; offset <= 8; offset++) {
					for (len = 1; len <= 8; len++)
						matrix_one(bus, d, &desc, offset, len);
				}
				via_bus_free(bus);
			}
		}
	}
}

static void expect_calls(const struct dev *d, unsigned int n, ...)
{
	va_list args;
	unsigned int i;

	assert_int_equal(d->n_calls, n);
	va_start(args, n);
	for (i = 0; i < n; i++) {
		assert_int_equal(d->call[i].offset, va_arg(args, unsigned int));
		assert_int_equal(d->call[i].size, va_arg(args, unsigned int));
	}
	va_end(args);
}

static void case_36_unaligned(void **state)
{
	struct via_bus *bus = new_bus();
	struct dev d = { 0 };
	struct via_claim_desc desc = claim_of(&d, BASE, BASE + 63, 0);
	struct via_claim *claim;
	uint64_t v;

	desc.impl_max = 4;
	desc.valid_unaligned = true;
	claim = add_desc(bus, &desc);
	assert_int_equal(via_bus_read_value(bus, BASE + 1, 4, &v), 0);
	expect_calls(&d, 3, 1, 1, 2, 2, 4, 1);
	via_bus_remove(claim);
	desc.valid_unaligned = false;
	add_desc(bus, &desc);
	dev_reset(&d);
	assert_int_equal(via_bus_read_value(bus, BASE + 1, 4, &v), -ENXIO);
	assert_int_equal(v, 0xffffffff);
	assert_int_equal(via_bus_write_value(bus, BASE + 1, 4, 0), -ENXIO);
	expect_calls(&d, 0);
	via_bus_free(bus);
}

static void case_37_38_39_45_widths(void **state)
{
	struct via_bus *bus = new_bus();
	struct dev d = { 0 };
	struct via_claim_desc desc = claim_of(&d, BASE, BASE + 63, 0);
	struct via_claim *claim;
	uint64_t v;

	fill(&d);
	desc.impl_min = desc.impl_max = 4;
	claim = add_desc(bus, &desc);
	assert_int_equal(via_bus_read_value(bus, BASE, 8, &v), 0);
	expect_calls(&d, 2, 0, 4, 4, 4);
	assert_true(v == 0x1716151413121110);
	dev_reset(&d);
	assert_int_equal(via_bus_read_value(bus, BASE + 6, 1, &v), 0);
	expect_calls(&d, 1, 4, 4);
	assert_int_equal(v, 0x16);
	assert_int_equal(via_bus_read_value(bus, BASE + 8, 4, &v), 0);
	assert_int_equal(v, 0x1b1a1918);

	/* A narrow write has no side effect unless the device allows it to become two. */
	dev_reset(&d);
	assert_int_equal(via_bus_write_value(bus, BASE + 1, 1, 0xee), -ENXIO);
	expect_calls(&d, 0);
	via_bus_remove(claim);
	desc.flags = VIA_BUS_NARROW_RMW;
	add_desc(bus, &desc);
	assert_int_equal(via_bus_write_value(bus, BASE + 1, 1, 0xee), 0);
	expect_calls(&d, 2, 0, 4, 0, 4);
	assert_int_equal(d.mem[0], 0x10);
	assert_int_equal(d.mem[1], 0xee);
	via_bus_free(bus);
}

/* What a device of words was told to write of them. */
struct words {
	uint8_t mem[64];
	struct {
		uint64_t offset, value;
		unsigned int size, lanes;
	} call[8];
	unsigned int n, n_plain;
	int ret;
	bool big_endian;
};

static int words_lanes(void *opaque, uint64_t offset, unsigned int size, uint64_t value,
		       unsigned int lanes)
{
	struct words *w = opaque;
	unsigned int i;

	w->call[w->n % 8].offset = offset;
	w->call[w->n % 8].value = value;
	w->call[w->n % 8].size = size;
	w->call[w->n++ % 8].lanes = lanes;
	if (w->ret)
		return w->ret;
	for (i = 0; i < size; i++) {
		if (lanes >> i & 1)
			w->mem[offset + i] =
				(uint8_t)(value >> 8 * (w->big_endian ? size - 1 - i : i));
	}
	return VIA_BUS_OK;
}

static int words_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	((struct words *)opaque)->n_plain++;
	return words_lanes(opaque, offset, size, value, (1u << size) - 1);
}

static int words_read(void *opaque, uint64_t offset, unsigned int size, uint64_t *ret_value)
{
	fail();
	return -EIO;
}

/* Every offset and length beside an array of bytes: no byte more is written, and none is read. */
static void case_39_lanes(void **state)
{
	static const struct via_bus_ops ops = {words_read, words_write, words_lanes};
	unsigned int min, max, offset, len, i, variant;

	for (variant = 0; variant < 24; variant++) {
		struct via_bus *bus = new_bus();
		struct words w = {.big_endian = variant & 1};
		struct via_claim_desc desc = {.start = BASE,
					      .last = BASE + 63,
					      .ops = &ops,
					      .opaque = &w,
					      .valid_unaligned = true};

		min = 2u << variant / 2 % 3;
		max = variant / 6 % 2 ? 8 : min;
		desc.impl_min = (uint8_t)min;
		desc.impl_max = (uint8_t)max;
		desc.impl_unaligned = variant / 12;
		desc.flags = w.big_endian ? VIA_BUS_BIG_ENDIAN : 0;
		add_desc(bus, &desc);
		for (offset = 0; offset < 16; offset++) {
			for (len = 1; len <= 16; len++) {
				uint8_t want[64], buf[16];

				memset(w.mem, 0xee, sizeof(w.mem));
				memset(want, 0xee, sizeof(want));
				for (i = 0; i < len; i++)
					buf[i] = want[offset + i] = (uint8_t)(i + 1);
				assert_int_equal(via_bus_write(bus, BASE + offset, buf, len, NULL),
						 0);
				assert_memory_equal(w.mem, want, sizeof(want));
			}
			for (len = 1; len <= 8; len *= 2) {
				w.n = 0;
				assert_int_equal(via_bus_write_value(bus, BASE + offset, len,
								     0x0807060504030201),
						 0);
				for (i = 0; i < len; i++)
					assert_int_equal(w.mem[offset + i], i + 1);
				for (i = 0; i < w.n; i++) {
					assert_true(w.call[i].lanes);
					assert_true(w.call[i].size >= min && w.call[i].size <= max);
				}
			}
		}
		via_bus_free(bus);
	}
}

static void lanes_one_by_one(void **state)
{
	static const struct via_bus_ops ops = {NULL, words_write, words_lanes};
	static const struct via_bus_ops no_lanes = {NULL, words_write};
	struct via_bus *bus = new_bus();
	struct words w = {0};
	struct dev beneath = {0};
	struct via_claim_desc desc = {.start = BASE,
				      .last = BASE + 63,
				      .ops = &ops,
				      .opaque = &w,
				      .impl_min = 4,
				      .priority = 1};

	add_desc(bus, &desc);
	add(bus, &beneath, BASE, BASE + 63, 0);
	assert_int_equal(via_bus_write_value(bus, BASE + 6, 1, 0x5a), 0);
	assert_int_equal(w.n, 1);
	assert_int_equal(w.call[0].offset, 4);
	assert_int_equal(w.call[0].size, 4);
	assert_int_equal(w.call[0].lanes, 4);
	assert_int_equal(w.call[0].value, 0x5a0000);
	assert_int_equal(via_bus_write_value(bus, BASE + 8, 2, 0x1234), 0);
	assert_int_equal(w.call[1].lanes, 3);
	assert_int_equal(w.call[1].value, 0x1234);
	/* A whole word is an ordinary write. */
	assert_int_equal(w.n_plain, 0);
	assert_int_equal(via_bus_write_value(bus, BASE + 8, 4, 1), 0);
	assert_int_equal(w.n_plain, 1);
	assert_int_equal(beneath.n_writes, 0);
	/* Declined, it is the write of those beneath; refused, it ends. */
	w.ret = VIA_BUS_DECLINE;
	assert_int_equal(via_bus_write_value(bus, BASE + 6, 1, 0x77), 0);
	assert_int_equal(beneath.n_writes, 1);
	assert_int_equal(beneath.mem[6], 0x77);
	w.ret = -EIO;
	assert_int_equal(via_bus_write_value(bus, BASE + 6, 1, 0x77), -EIO);
	assert_int_equal(beneath.n_writes, 1);
	via_bus_free(bus);

	/* Without them, and without consent to two accesses, nobody takes it. */
	bus = new_bus();
	desc.ops = &no_lanes;
	add_desc(bus, &desc);
	w = (struct words){0};
	assert_int_equal(via_bus_write_value(bus, BASE + 6, 1, 0x5a), -ENXIO);
	assert_int_equal(w.n, 0);
	via_bus_free(bus);
}

static void valid_widths(void **state)
{
	struct via_bus *bus = new_bus();
	struct dev d = { 0 };
	struct via_claim_desc desc = claim_of(&d, BASE, BASE + 63, 0);
	uint64_t v;

	desc.valid_min = 2;
	desc.valid_max = 4;
	add_desc(bus, &desc);
	assert_int_equal(via_bus_read_value(bus, BASE, 1, &v), -ENXIO);
	assert_int_equal(v, 0xff);
	assert_int_equal(via_bus_read_value(bus, BASE, 8, &v), -ENXIO);
	assert_true(v == UINT64_MAX);
	assert_int_equal(via_bus_write_value(bus, BASE, 1, 0), -ENXIO);
	expect_calls(&d, 0);
	assert_int_equal(via_bus_read_value(bus, BASE, 2, &v), 0);
	assert_int_equal(via_bus_read_value(bus, BASE, 4, &v), 0);
	via_bus_free(bus);
}

static void missing_callbacks(void **state)
{
	static const struct via_bus_ops none;
	struct via_bus *bus = new_bus();
	struct via_claim_desc desc = { .start = 0, .last = 0xff, .ops = &none };
	uint64_t v = 0;

	add_desc(bus, &desc);
	assert_int_equal(via_bus_read_value(bus, 0, 2, &v), 0);
	assert_int_equal(v, 0xffff);
	assert_int_equal(via_bus_write_value(bus, 0, 2, 0), 0);
	via_bus_free(bus);
}

static void case_40_crossing(void **state)
{
	struct via_bus *bus = new_bus();
	struct dev d[2] = { 0 };
	uint8_t buf[8] = { 0 };
	uint64_t v;
	size_t done;

	fill(&d[0]);
	fill(&d[1]);
	add(bus, &d[0], 0x100, 0x102, 0);
	add(bus, &d[1], 0x105, 0x107, 0);
	assert_int_equal(via_bus_read(bus, 0x100, buf, 8, &done), -ENXIO);
	assert_int_equal(done, 3);
	assert_memory_equal(buf, ((uint8_t[]){ 0x10, 0x11, 0x12, 0xff, 0xff, 0x10, 0x11, 0x12 }), 8);
	expect_calls(&d[0], 2, 0, 2, 2, 1);
	assert_int_equal(via_bus_read_value(bus, 0x100, 8, &v), -ENXIO);
	assert_true(v == 0x121110ffff121110);
	assert_int_equal(via_bus_write_value(bus, 0x100, 8, 0x0807060504030201), -ENXIO);
	assert_memory_equal(d[0].mem, ((uint8_t[]){ 1, 2, 3, 0x13 }), 4);
	assert_memory_equal(d[1].mem, ((uint8_t[]){ 6, 7, 8, 0x13 }), 4);
	via_bus_free(bus);
}

static void case_41_indivisible(void **state)
{
	struct via_bus *bus = new_bus();
	struct dev d[2] = { 0 };
	struct via_claim_desc desc = claim_of(&d[1], 0x104, 0x107, 0);
	uint64_t v;

	add(bus, &d[0], 0x100, 0x103, 0);
	desc.flags = VIA_BUS_INDIVISIBLE;
	add_desc(bus, &desc);
	assert_int_equal(via_bus_read_value(bus, 0x100, 8, &v), -ENXIO);
	assert_int_equal(via_bus_write_value(bus, 0x102, 4, 0), -ENXIO);
	expect_calls(&d[0], 0);
	expect_calls(&d[1], 0);
	assert_int_equal(via_bus_read_value(bus, 0x104, 4, &v), 0);
	assert_int_equal(via_bus_read_value(bus, 0x100, 4, &v), 0);
	expect_calls(&d[1], 1, 0, 4);
	/* What begins beneath it does not divide it. */
	add(bus, &d[0], 0x106, 0x10f, -1);
	dev_reset(&d[1]);
	assert_int_equal(via_bus_read_value(bus, 0x104, 4, &v), 0);
	expect_calls(&d[1], 1, 0, 4);
	via_bus_free(bus);
}

static void case_42_43_prefix(void **state)
{
	struct via_bus *bus = new_bus();
	struct dev d = { 0 };
	uint8_t buf[16] = { 0 };
	size_t done = 0;

	add(bus, &d, 0, 0xfff, 0);
	assert_int_equal(via_bus_read(bus, 0xff8, buf, 16, &done), -ENXIO);
	assert_int_equal(done, 8);
	dev_reset(&d);
	assert_int_equal(via_bus_write(bus, 0x20, buf, 16, &done), 0);
	assert_int_equal(done, 16);
	expect_calls(&d, 2, 0x20, 8, 0x28, 8);
	via_bus_free(bus);
}

static void case_47_two_registers(void **state)
{
	struct via_bus *bus = new_bus();
	struct dev d[2] = { 0 };

	add(bus, &d[0], 0x04, 0x05, 0);
	add(bus, &d[1], 0x06, 0x07, 0);
	assert_int_equal(via_bus_write_value(bus, 0x04, 4, 0x44332211), 0);
	expect_calls(&d[0], 1, 0, 2);
	expect_calls(&d[1], 1, 0, 2);
	assert_int_equal(d[0].mem[1], 0x22);
	assert_int_equal(d[1].mem[0], 0x33);
	via_bus_free(bus);
}

static void case_44_long_buffer(void **state)
{
	enum { N = 256, EACH = 4096 };
	struct dev *d = calloc(N, sizeof(*d));
	uint8_t *buf = malloc(N * EACH);
	struct via_bus *bus = new_bus();
	size_t done = 0;
	int i;

	for (i = 0; i < N; i++) {
		memset(d[i].mem, i, DEV_BYTES);
		add(bus, &d[i], (uint64_t)i * EACH, (uint64_t)i * EACH + EACH - 1, 0);
	}
	assert_int_equal(via_bus_read(bus, 0, buf, N * EACH, &done), 0);
	assert_int_equal(done, N * EACH);
	for (i = 0; i < N * EACH; i++)
		assert_int_equal(buf[i], i / EACH);
	via_bus_free(bus);
	free(buf);
	free(d);
}

static int fail_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	return -EIO;
}

static void callback_error_ends_access(void **state)
{
	static const struct via_bus_ops ops = { NULL, fail_write };
	struct via_bus *bus = new_bus();
	struct dev d[2] = { 0 };
	struct via_claim_desc desc = { .start = 0x104, .last = 0x107, .ops = &ops };
	uint8_t buf[16] = { 0 };
	size_t done = 0;

	add(bus, &d[0], 0x100, 0x103, 0);
	add_desc(bus, &desc);
	add(bus, &d[1], 0x108, 0x10f, 0);
	assert_int_equal(via_bus_write(bus, 0x100, buf, 16, &done), -EIO);
	assert_int_equal(done, 4);
	assert_int_equal(d[1].n_calls, 0);
	assert_int_equal(via_bus_write_value(bus, 0x104, 4, 0), -EIO);
	via_bus_free(bus);
}

static void case_48_49_decline(void **state)
{
	struct via_bus *bus = new_bus();
	struct dev d[2] = { 0 };
	uint64_t v = 0;

	fill(&d[0]);
	d[1].decline_reads = true;
	add(bus, &d[0], 0x100, 0x1ff, 0);
	add(bus, &d[1], 0x100, 0x10f, 1);
	assert_int_equal(via_bus_read_value(bus, 0x104, 4, &v), 0);
	assert_int_equal(v, 0x17161514);
	assert_int_equal(via_bus_write_value(bus, 0x104, 4, 5), 0);
	assert_int_equal(d[1].n_writes, 1);
	assert_int_equal(d[0].n_writes, 0);
	d[0].decline_reads = true;
	assert_int_equal(via_bus_read_value(bus, 0x104, 4, &v), -ENXIO);
	assert_int_equal(v, 0xffffffff);
	via_bus_free(bus);
}

/* One access over a declining claim with different claims and a hole beneath. */
static void decline_splits_beneath(void **state)
{
	struct via_bus *bus = new_bus();
	struct dev d[4] = { 0 };
	uint64_t v = 0;
	int i;

	for (i = 0; i < 4; i++)
		memset(d[i].mem, 0x11 * i, DEV_BYTES);
	d[3].decline_reads = d[2].decline_reads = true;
	add(bus, &d[3], 0x100, 0x1ff, 3);
	add(bus, &d[2], 0x102, 0x105, 2);
	add(bus, &d[1], 0x100, 0x103, 1);
	add(bus, &d[0], 0x105, 0x106, 0);
	assert_int_equal(via_bus_read_value(bus, 0x100, 8, &v), -ENXIO);
	assert_true(v == 0xff0000ff11111111);
	assert_int_equal(d[3].n_calls, 1);
	assert_int_equal(d[2].n_calls, 1);
	expect_calls(&d[2], 1, 0, 4);
	expect_calls(&d[1], 2, 0, 2, 2, 2);
	expect_calls(&d[0], 2, 0, 1, 1, 1);
	via_bus_free(bus);
}

/* A device with two faces: the upper one has nothing, and remembers the last write below. */
static int faces_read(void *opaque, uint64_t offset, unsigned int size, uint64_t *ret_value)
{
	*ret_value = *(uint64_t *)opaque;
	return offset < 0x100 ? VIA_BUS_DECLINE : VIA_BUS_OK;
}

static int faces_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	if (offset < 0x100)
		return VIA_BUS_DECLINE;
	*(uint64_t *)opaque = value;
	return VIA_BUS_OK;
}

/* What has declined has returned: the one beneath may be the same device. */
static void declines_to_itself(void **state)
{
	static const struct via_bus_ops ops = {faces_read, faces_write, NULL};
	struct via_bus *bus = new_bus();
	uint64_t memory = 0, v = 0;
	struct via_claim_desc desc = {.last = 0xff, .ops = &ops, .opaque = &memory, .priority = 1};

	add_desc(bus, &desc);
	desc.priority = 0;
	desc.offset = 0x100;
	add_desc(bus, &desc);
	assert_int_equal(via_bus_write_value(bus, 0x10, 4, 0x12345678), 0);
	assert_int_equal(via_bus_read_value(bus, 0x20, 4, &v), 0);
	assert_int_equal(v, 0x12345678);
	via_bus_free(bus);
}

static void case_50_deep_chain(void **state)
{
	enum { N = 1000 };
	struct dev *d = calloc(N, sizeof(*d));
	struct via_bus *bus = new_bus();
	uint64_t v = 0;
	int i;

	for (i = 0; i < N; i++) {
		d[i].decline_reads = i > 0;
		add(bus, &d[i], 0x100, 0x1ff, i);
	}
	assert_int_equal(via_bus_read_value(bus, 0x100, 4, &v), 0);
	for (i = 0; i < N; i++)
		assert_int_equal(d[i].n_calls, 1);
	via_bus_free(bus);
	free(d);
}

/* A device that makes another access, as DMA to a peer or to itself would. */
struct hop {
	struct via_bus *bus;
	uint64_t target;
	int ret;
	unsigned int n;
};

static int hop_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	struct hop *hop = opaque;

	hop->n++;
	hop->ret = hop->n > 64 ? -E2BIG : via_bus_write_value(hop->bus, hop->target, 4, value);
	return VIA_BUS_OK;
}

static const struct via_bus_ops hop_ops = { NULL, hop_write };

static struct via_claim *add_hop(struct hop *hop, uint64_t start, unsigned int flags)
{
	struct via_claim_desc desc = { .start = start,
				       .last = start + 0xff,
				       .ops = &hop_ops,
				       .opaque = hop,
				       .flags = flags };

	return add_desc(hop->bus, &desc);
}

static void case_52_53_reentrancy(void **state)
{
	struct via_bus *bus = new_bus();
	struct hop self = { bus, 0x000, 1, 0 };
	struct hop a = { bus, 0x200, 1, 0 }, b = { bus, 0x100, 1, 0 };

	add_hop(&self, 0x000, 0);
	add_hop(&a, 0x100, 0);
	add_hop(&b, 0x200, 0);
	assert_int_equal(via_bus_write_value(bus, 0, 4, 0), 0);
	assert_int_equal(self.ret, -EBUSY);
	assert_int_equal(self.n, 1);
	assert_int_equal(via_bus_write_value(bus, 0x100, 4, 0), 0);
	assert_int_equal(a.ret, 0);
	assert_int_equal(b.ret, -EBUSY);
	assert_int_equal(a.n, 1);
	/* The guard is undone: the next access works. */
	assert_int_equal(via_bus_write_value(bus, 0x200, 4, 0), 0);
	assert_int_equal(b.n, 2);
	via_bus_free(bus);
}

static void case_54_55_depth(void **state)
{
	struct via_bus *bus = new_bus();
	struct hop self = { bus, 0, 1, 0 };

	add_hop(&self, 0, VIA_BUS_REENTRANT);
	assert_int_equal(via_bus_write_value(bus, 0, 4, 0), 0);
	assert_int_equal(self.n, 8);
	via_bus_free(bus);
}

/* Nine different ones, each of which asks the next: the ninth is one too many. */
static void case_55_different_devices(void **state)
{
	struct via_bus *bus = new_bus();
	struct hop hop[9];
	unsigned int i;

	for (i = 0; i < 9; i++) {
		hop[i] = (struct hop){bus, 0x100 * (i + 1), 1, 0};
		add_hop(&hop[i], 0x100 * i, 0);
	}
	assert_int_equal(via_bus_write_value(bus, 0, 4, 0), 0);
	for (i = 0; i < 9; i++) {
		assert_int_equal(hop[i].n, i < 8);
		assert_int_equal(hop[i].ret, i == 7 ? -ELOOP : i == 8 ? 1 : 0);
	}
	via_bus_free(bus);
}

/* --- Each flag by itself --- */

/* A little-endian device of words that reads itself when it is written 0x5e1f. */
struct self {
	struct via_bus *bus;
	uint8_t mem[64];
	unsigned int n_writes;
	int ret;
};

static int self_read(void *opaque, uint64_t offset, unsigned int size, uint64_t *ret_value)
{
	const struct self *self = opaque;
	unsigned int i;

	*ret_value = 0;
	for (i = 0; i < size; i++)
		*ret_value |= (uint64_t)self->mem[offset + i] << 8 * i;
	return VIA_BUS_OK;
}

static int self_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	struct self *self = opaque;
	unsigned int i;
	uint64_t v;

	self->n_writes++;
	for (i = 0; i < size; i++)
		self->mem[offset + i] = (uint8_t)(value >> 8 * i);
	if (value == 0x5e1f)
		self->ret = via_bus_read_value(self->bus, BASE, 4, &v);
	return VIA_BUS_OK;
}

static const struct via_bus_ops self_ops = {self_read, self_write};

/* Each half of @value as a claim with @flags has it. */
static uint64_t ordered(unsigned int flags, uint64_t value)
{
	uint32_t low = (uint32_t)value, high = (uint32_t)(value >> 32);

	if (!(flags & VIA_BUS_BIG_ENDIAN))
		return value;
	return (uint64_t)__builtin_bswap32(high) << 32 | __builtin_bswap32(low);
}

static void one_flag(unsigned int flags, bool queue)
{
	struct via_bus *bus = new_bus();
	struct self self = {.bus = bus, .ret = 1};
	struct dev next = {0};
	struct via_coalescer *coalescer = NULL;
	struct via_claim_desc desc = {.start = BASE,
				      .last = BASE + 31,
				      .ops = &self_ops,
				      .opaque = &self,
				      .valid_unaligned = true,
				      .impl_min = 2,
				      .impl_max = 4,
				      .flags = flags};
	struct via_claim *claim[2];
	char text[256];
	uint64_t v = 0;
	unsigned int i;

	for (i = 0; i < sizeof(self.mem); i++)
		self.mem[i] = (uint8_t)(i + 1);
	if (queue)
		assert_int_equal(via_coalescer_new(8, -1, &coalescer), 0);
	desc.coalescer = coalescer;
	claim[0] = add_desc(bus, &desc);
	desc.start = BASE + 32;
	desc.last = BASE + 63;
	desc.offset = 32;
	claim[1] = add_desc(bus, &desc);
	add(bus, &next, BASE + 64, BASE + 127, 0);
	/* Where there is an indivisible one, all others are looked at. */
	desc = claim_of(&next, 2 * BASE, 2 * BASE + 3, 0);
	desc.flags = VIA_BUS_INDIVISIBLE;
	add_desc(bus, &desc);

	/* One piece, and what the dump says of it. */
	(void)via_bus_dump(bus, text, sizeof(text));
	assert_int_equal(strstr(text, "1020-") != NULL,
			 (flags & (VIA_BUS_INDIVISIBLE | VIA_BUS_DISCARD)) != 0);
	assert_int_equal(strstr(text, "coalesced") != NULL, (flags & VIA_BUS_COALESCE) != 0);
	/* Which byte is which, directly and in parts. */
	assert_int_equal(via_bus_read_value(bus, BASE, 4, &v), 0);
	assert_int_equal(v, ordered(flags, 0x04030201));
	assert_int_equal(via_bus_read_value(bus, BASE + 8, 8, &v), 0);
	assert_true(v == ordered(flags, 0x100f0e0d0c0b0a09));
	assert_int_equal(via_bus_write_value(bus, BASE + 8, 8, ordered(flags, 0x0102030405060708)),
			 0);
	/* At once, or later. */
	assert_int_equal(self.n_writes, flags & VIA_BUS_COALESCE ? 0 : 2);
	assert_int_equal(via_bus_read_value(bus, BASE + 8, 4, &v), 0);
	assert_int_equal(v, ordered(flags, 0x05060708));
	assert_int_equal(self.n_writes, 2);
	assert_int_equal(via_bus_read_value(bus, BASE + 9, 4, &v), 0);
	if (!(flags & VIA_BUS_BIG_ENDIAN))
		assert_int_equal(v, 0x04050607);
	/* Over an edge. */
	assert_int_equal(via_bus_read_value(bus, BASE + 60, 8, &v),
			 flags & VIA_BUS_INDIVISIBLE ? -ENXIO : 0);
	/* Part of a word. */
	assert_int_equal(via_bus_write_value(bus, BASE + 1, 1, 0x77),
			 flags & VIA_BUS_NARROW_RMW ? 0 : -ENXIO);
	if (coalescer)
		via_coalescer_drain(coalescer);
	assert_int_equal(self.mem[1], flags & VIA_BUS_NARROW_RMW ? 0x77 : 2);
	/* Itself. */
	assert_int_equal(via_bus_write_value(bus, BASE + 16, 4, ordered(flags, 0x5e1f)), 0);
	if (coalescer)
		via_coalescer_drain(coalescer);
	assert_int_equal(self.ret, flags & VIA_BUS_REENTRANT ? 0 : -EBUSY);
	/* What is left when it goes. */
	assert_int_equal(via_bus_write_value(bus, BASE + 20, 4, ordered(flags, 0x11223344)), 0);
	assert_int_equal(via_bus_remove(claim[0]), 0);
	assert_int_equal(self.mem[20], flags & VIA_BUS_DISCARD ? 21 : 0x44);
	assert_int_equal(via_bus_remove(claim[1]), 0);
	via_bus_free(bus);
	via_coalescer_free(coalescer);
}

static void each_flag_by_itself(void **state)
{
	static const unsigned int flags[] = {0, VIA_BUS_BIG_ENDIAN, VIA_BUS_INDIVISIBLE,
					     VIA_BUS_REENTRANT, VIA_BUS_NARROW_RMW};
	unsigned int i;

	for (i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		one_flag(flags[i], false);
		one_flag(flags[i], true);
		one_flag(flags[i] | VIA_BUS_COALESCE, true);
		one_flag(flags[i] | VIA_BUS_COALESCE | VIA_BUS_DISCARD, true);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(case_35_matrix),
		cmocka_unit_test(case_36_unaligned),
		cmocka_unit_test(case_37_38_39_45_widths),
		cmocka_unit_test(case_39_lanes),
		cmocka_unit_test(lanes_one_by_one),
		cmocka_unit_test(valid_widths),
		cmocka_unit_test(missing_callbacks),
		cmocka_unit_test(case_40_crossing),
		cmocka_unit_test(case_41_indivisible),
		cmocka_unit_test(case_42_43_prefix),
		cmocka_unit_test(case_44_long_buffer),
		cmocka_unit_test(case_47_two_registers),
		cmocka_unit_test(callback_error_ends_access),
		cmocka_unit_test(case_48_49_decline),
		cmocka_unit_test(decline_splits_beneath),
		cmocka_unit_test(declines_to_itself),
		cmocka_unit_test(case_50_deep_chain),
		cmocka_unit_test(case_52_53_reentrancy),
		cmocka_unit_test(case_54_55_depth),
		cmocka_unit_test(case_55_different_devices),
		cmocka_unit_test(each_flag_by_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
