/* SPDX-License-Identifier: MIT */
/* Many accesses in one call: buffers, strings, batches, and where a space ends. */
#include "bus/test-support.h"

static struct via_bus *new_ports(void)
{
	struct via_bus *bus;

	assert_int_equal(
		via_bus_new_as(&(struct via_bus_desc){.name = "ports", .last = 0xffff}, &bus), 0);
	return bus;
}

static void case_46_end_of_the_ports(void **state)
{
	struct via_bus *bus = new_ports();
	struct dev d = {0};
	struct via_claim_desc desc = claim_of(&d, 0xff00, 0xffff, 0);
	uint8_t buf[8];
	size_t done = 7;
	uint64_t v = 5;

	desc.valid_unaligned = true;
	add_desc(bus, &desc);
	assert_int_equal(via_bus_read_value(bus, 0xffff, 2, &v), -EINVAL);
	assert_int_equal(v, 5);
	assert_int_equal(via_bus_write_value(bus, 0xfffe, 4, 0), -EINVAL);
	assert_int_equal(via_bus_read_value(bus, 0x10000, 1, &v), -EINVAL);
	assert_int_equal(via_bus_read_value(bus, UINT64_MAX, 1, &v), -EINVAL);
	assert_int_equal(via_bus_write_value(bus, UINT64_MAX, 8, 0), -EINVAL);
	assert_int_equal(via_bus_read(bus, 0xfffc, buf, 5, &done), -EINVAL);
	assert_int_equal(done, 0);
	assert_int_equal(via_bus_write(bus, 0xfffc, buf, 5, &done), -EINVAL);
	assert_int_equal(via_bus_read(bus, 0x10000, buf, 1, NULL), -EINVAL);
	done = 7;
	assert_int_equal(via_bus_read_string(bus, 0xffff, 2, buf, 2, &done), -EINVAL);
	assert_int_equal(done, 0);
	assert_int_equal(d.n_calls, 0);
	assert_int_equal(via_bus_read_value(bus, 0xffff, 1, &v), 0);
	assert_int_equal(via_bus_write_value(bus, 0xfffe, 2, 0), 0);
	assert_int_equal(via_bus_read(bus, 0xffff, buf, 1, &done), 0);
	assert_int_equal(done, 1);
	assert_int_equal(via_bus_write(bus, 0xffff, buf, 1, NULL), 0);
	assert_int_equal(via_bus_read(bus, 0xfff8, buf, 8, &done), 0);
	assert_int_equal(done, 8);
	/* Nothing is past the end. */
	desc.start = 0xfff0;
	desc.last = 0x10000;
	desc.priority = 1;
	assert_int_equal(via_bus_add(bus, &desc, &(struct via_claim *){NULL}), -EINVAL);
	via_bus_free(bus);
}

static void end_of_all_spaces(void **state)
{
	struct via_bus *bus = new_bus();
	struct dev d = {0};
	uint8_t buf[16];
	size_t done;
	uint64_t v;

	memset(d.mem, 0x5a, DEV_BYTES);
	add(bus, &d, UINT64_MAX - 7, UINT64_MAX, 0);
	assert_int_equal(via_bus_read_value(bus, UINT64_MAX, 1, &v), 0);
	assert_int_equal(v, 0x5a);
	assert_int_equal(via_bus_read(bus, UINT64_MAX, buf, 1, &done), 0);
	assert_int_equal(done, 1);
	assert_int_equal(via_bus_read_value(bus, UINT64_MAX - 7, 8, &v), 0);
	assert_true(v == 0x5a5a5a5a5a5a5a5a);
	/* What lies beyond is nobody's; it does not begin again at 0. */
	add(bus, &d, 0, 7, 0);
	dev_reset(&d);
	assert_int_equal(via_bus_read_value(bus, UINT64_MAX, 8, &v), -ENXIO);
	assert_true(v == 0xffffffffffffff5a);
	assert_int_equal(d.n_calls, 1);
	assert_int_equal(via_bus_read_value(bus, UINT64_MAX - 1, 4, &v), -ENXIO);
	assert_int_equal(v, 0xffff5a5a);
	memset(buf, 0, sizeof(buf));
	assert_int_equal(via_bus_read(bus, UINT64_MAX - 3, buf, 16, &done), -ENXIO);
	assert_int_equal(done, 4);
	assert_memory_equal(buf, ((uint8_t[]){0x5a, 0x5a, 0x5a, 0x5a, 0xff, 0xff}), 6);
	assert_int_equal(buf[15], 0xff);
	assert_int_equal(via_bus_write_value(bus, UINT64_MAX, 2, 0x1122), -ENXIO);
	assert_int_equal(d.mem[7], 0x22);
	assert_int_equal(d.mem[0], 0x5a);
	assert_int_equal(via_bus_write(bus, UINT64_MAX - 7, buf, 9, &done), -ENXIO);
	assert_int_equal(done, 8);
	/* Nothing at all is no access. */
	assert_int_equal(via_bus_read(bus, UINT64_MAX, buf, 0, &done), 0);
	assert_int_equal(done, 0);
	assert_int_equal(via_bus_write(bus, 0x5000, buf, 0, NULL), 0);
	via_bus_free(bus);
}

/* --- Strings --- */

/* A FIFO that removes its own claim in the middle. */
struct fifo {
	struct via_claim *claim;
	unsigned int n, remove_at;
	uint16_t got[16];
};

static int fifo_read(void *opaque, uint64_t offset, unsigned int size, uint64_t *ret_value)
{
	struct fifo *fifo = opaque;

	*ret_value = ++fifo->n;
	if (fifo->n == fifo->remove_at)
		via_bus_remove_async(fifo->claim, NULL, NULL);
	return VIA_BUS_OK;
}

static int fifo_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	struct fifo *fifo = opaque;

	if (fifo->n < 16)
		fifo->got[fifo->n] = (uint16_t)value;
	if (++fifo->n == fifo->remove_at)
		via_bus_remove_async(fifo->claim, NULL, NULL);
	return VIA_BUS_OK;
}

static const struct via_bus_ops fifo_ops = {fifo_read, fifo_write};

static void add_fifo(struct via_bus *bus, struct fifo *fifo, unsigned int remove_at)
{
	struct via_claim_desc desc = {
		.start = 0x1f0, .last = 0x1f7, .ops = &fifo_ops, .opaque = fifo};

	*fifo = (struct fifo){.remove_at = remove_at};
	fifo->claim = add_desc(bus, &desc);
}

static void case_46_string_removed_half_way(void **state)
{
	enum { N = 1024 };
	struct via_bus *bus = new_ports();
	uint8_t *buf = malloc(2 * N);
	struct fifo fifo;
	size_t done = 0;
	unsigned int i;

	memset(buf, 0xee, 2 * N);
	add_fifo(bus, &fifo, 512);
	assert_int_equal(via_bus_read_string(bus, 0x1f0, 2, buf, N, &done), 0);
	assert_int_equal(done, 512);
	assert_int_equal(fifo.n, 512);
	for (i = 0; i < N; i++)
		assert_int_equal(buf[2 * i] | buf[2 * i + 1] << 8, i < 512 ? i + 1 : 0);
	add_fifo(bus, &fifo, 512);
	assert_int_equal(via_bus_write_string(bus, 0x1f0, 2, buf, N, &done), 0);
	assert_int_equal(done, 512);
	assert_int_equal(fifo.n, 512);
	for (i = 0; i < 16; i++)
		assert_int_equal(fifo.got[i], i + 1);
	free(buf);
	via_bus_free(bus);
}

static int fail_later(void *opaque, uint64_t offset, unsigned int size, uint64_t *ret_value)
{
	unsigned int *n = opaque;

	*ret_value = 0x77;
	return ++*n == 3 ? -EIO : VIA_BUS_OK;
}

static void strings(void **state)
{
	static const struct via_bus_ops failing = {fail_later, NULL};
	struct via_bus *bus = new_ports();
	unsigned int n_calls = 0;
	struct via_claim_desc desc = {
		.start = 0x300, .last = 0x30f, .ops = &failing, .opaque = &n_calls};
	struct fifo fifo;
	uint8_t buf[32];
	size_t done;
	unsigned int size;

	add_fifo(bus, &fifo, 0);
	for (size = 1; size <= 8; size *= 2) {
		fifo.n = 0;
		memset(buf, 0xee, sizeof(buf));
		assert_int_equal(via_bus_read_string(bus, 0x1f0, size, buf, 3, &done), 0);
		assert_int_equal(done, 3);
		assert_int_equal(buf[0], 1);
		assert_int_equal(buf[size], 2);
		assert_int_equal(buf[2 * size], 3);
		assert_int_equal(buf[3 * size], 0xee);
		fifo.n = 0;
		assert_int_equal(via_bus_write_string(bus, 0x1f0, size, buf, 3, NULL), 0);
		assert_int_equal(fifo.n, 3);
		assert_int_equal(fifo.got[2], 3);
	}
	/* Nobody at all: ones, and one question only. */
	memset(buf, 0xee, sizeof(buf));
	assert_int_equal(via_bus_read_string(bus, 0x500, 2, buf, 4, &done), -ENXIO);
	assert_int_equal(done, 0);
	assert_memory_equal(buf, "\xff\xff\xff\xff\xff\xff\xff\xff\xee", 9);
	assert_int_equal(via_bus_write_string(bus, 0x500, 2, buf, 4, &done), -ENXIO);
	assert_int_equal(done, 0);
	/* An error ends it. */
	add_desc(bus, &desc);
	memset(buf, 0xee, sizeof(buf));
	assert_int_equal(via_bus_read_string(bus, 0x300, 1, buf, 8, &done), -EIO);
	assert_int_equal(done, 2);
	assert_memory_equal(buf, "\x77\x77\0\0\0\0\0\0\xee", 9);
	assert_int_equal(n_calls, 3);
	/* What is no width, and nothing. */
	done = 7;
	assert_int_equal(via_bus_read_string(bus, 0x1f0, 0, buf, 1, &done), -EINVAL);
	assert_int_equal(done, 0);
	assert_int_equal(via_bus_read_string(bus, 0x1f0, 3, buf, 1, NULL), -EINVAL);
	assert_int_equal(via_bus_read_string(bus, 0x1f0, 16, buf, 1, NULL), -EINVAL);
	assert_int_equal(via_bus_write_string(bus, 0x1f0, 9, buf, 1, NULL), -EINVAL);
	assert_int_equal(via_bus_read_string(bus, 0x500, 4, buf, 0, &done), 0);
	assert_int_equal(done, 0);
	via_bus_free(bus);
}

static void string_of_zeros(void **state)
{
	struct via_bus *bus;
	uint8_t buf[4] = {1, 1, 1, 1};

	assert_int_equal(via_bus_new_as(&(struct via_bus_desc){.zeros = true}, &bus), 0);
	assert_int_equal(via_bus_read_string(bus, 0, 1, buf, 4, NULL), -ENXIO);
	assert_memory_equal(buf, "\0\0\0\0", 4);
	via_bus_free(bus);
}

/* --- Batches --- */

enum { N_OPS = 64 };

static void fill_ops(struct via_bus_op *ops)
{
	unsigned int i;

	for (i = 0; i < N_OPS; i++)
		ops[i] = (struct via_bus_op){
			.addr = 0x100u * (i * 7 % 40) + 8 * (i % 4) + (i % 5 == 4),
			.size = (uint8_t)(1u << (i % 4)),
			.write = i % 3 == 0,
			.value = i * 0x0101010101010101u,
			.result = 1,
		};
	ops[20].size = 3;
	ops[21].size = 16;
	ops[22].addr = UINT64_MAX;
}

static struct via_bus *new_world(struct dev *d)
{
	struct via_bus *bus = new_bus();
	unsigned int i;

	memset(d, 0, 32 * sizeof(*d));
	for (i = 0; i < 32; i++) {
		memset(d[i].mem, (int)i, DEV_BYTES);
		d[i].decline_reads = i % 8 == 7;
		add(bus, &d[i], 0x100 * i, 0x100 * i + 0xff, 0);
	}
	return bus;
}

static void case_71_as_singles(void **state)
{
	struct via_bus_op one[N_OPS], all[N_OPS];
	static struct dev d[2][32];
	struct via_bus *bus[2] = {new_world(d[0]), new_world(d[1])};
	unsigned int i;

	fill_ops(one);
	fill_ops(all);
	for (i = 0; i < N_OPS; i++) {
		struct via_bus_op *op = &one[i];

		op->result = op->write ? via_bus_write_value(bus[0], op->addr, op->size, op->value)
				       : via_bus_read_value(bus[0], op->addr, op->size, &op->value);
	}
	assert_int_equal(via_bus_batch(bus[1], all, N_OPS, false), N_OPS);
	for (i = 0; i < N_OPS; i++) {
		assert_int_equal(all[i].result, one[i].result);
		assert_true(all[i].value == one[i].value);
	}
	for (i = 0; i < 32; i++)
		assert_memory_equal(&d[0][i], &d[1][i], sizeof(d[0][i]));
	assert_int_equal(via_bus_batch(bus[1], NULL, 0, true), 0);
	via_bus_free(bus[0]);
	via_bus_free(bus[1]);
}

static void case_71_stops(void **state)
{
	struct via_bus *bus = new_bus();
	struct dev d = {0};
	struct via_bus_op ops[6];
	unsigned int i;

	add(bus, &d, 0x100, 0x1ff, 0);
	for (i = 0; i < 6; i++)
		ops[i] = (struct via_bus_op){
			.addr = i == 3 ? 0x900 : 0x100, .size = 4, .write = true, .result = 77};
	assert_int_equal(via_bus_batch(bus, ops, 6, true), 4);
	assert_int_equal(ops[2].result, 0);
	assert_int_equal(ops[3].result, -ENXIO);
	assert_int_equal(ops[4].result, 77);
	assert_int_equal(d.n_writes, 3);
	assert_int_equal(via_bus_batch(bus, ops, 6, false), 6);
	assert_int_equal(d.n_writes, 8);
	via_bus_free(bus);
}

/* A device that removes another one that the batch is to reach later. */
struct remover {
	struct via_claim *other;
	unsigned int n_done;
};

static void remover_done(void *opaque)
{
	((struct remover *)opaque)->n_done++;
}

static int remover_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	struct remover *r = opaque;

	if (r->other)
		via_bus_remove_async(r->other, remover_done, r);
	r->other = NULL;
	/* In the section of the batch nothing is over yet. */
	assert_int_equal(r->n_done, 0);
	return VIA_BUS_OK;
}

static void case_72_removes_a_later_one(void **state)
{
	static const struct via_bus_ops ops = {.write = remover_write};
	struct via_bus *bus = new_bus();
	struct dev d[2] = {0};
	struct remover remover = {.other = add(bus, &d[0], 0x200, 0x2ff, 1)};
	struct via_claim_desc desc = {
		.start = 0x100, .last = 0x1ff, .ops = &ops, .opaque = &remover};
	struct via_bus_op op[5] = {
		{.addr = 0x200, .size = 4, .write = true},
		{.addr = 0x100, .size = 4, .write = true},
		{.addr = 0x200, .size = 4, .write = true},
		{.addr = 0x280, .size = 4, .write = true},
		{.addr = 0x100, .size = 4, .write = true},
	};
	unsigned int i;

	add_desc(bus, &desc);
	add(bus, &d[1], 0x200, 0x27f, 0);
	assert_int_equal(via_bus_batch(bus, op, 5, false), 5);
	for (i = 0; i < 5; i++)
		assert_int_equal(op[i].result, i == 3 ? -ENXIO : 0);
	assert_int_equal(d[0].n_writes, 1);
	assert_int_equal(d[1].n_writes, 1);
	assert_int_equal(remover.n_done, 1);
	via_bus_free(bus);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(case_46_end_of_the_ports),
		cmocka_unit_test(end_of_all_spaces),
		cmocka_unit_test(case_46_string_removed_half_way),
		cmocka_unit_test(strings),
		cmocka_unit_test(string_of_zeros),
		cmocka_unit_test(case_71_as_singles),
		cmocka_unit_test(case_71_stops),
		cmocka_unit_test(case_72_removes_a_later_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
