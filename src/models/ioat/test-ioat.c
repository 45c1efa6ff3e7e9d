/* SPDX-License-Identifier: MIT */
/* The I/OAT engine as a driver uses it: registers, copies, chains, interrupts. */
#include "models/ioat/testing.h"

/* --- registers --- */

static void test_registers(void **test_state)
{
	struct fixture *f = *test_state;

	assert_int_equal(get(f, IOAT_CHANCNT, 1), 1);
	assert_int_equal(get(f, IOAT_XFERCAP, 1), 20);
	assert_int_equal(get(f, IOAT_CBVER, 1), 0x32);
	assert_int_equal(get(f, IOAT_DMACAPABILITY, 4), 0);
	assert_int_equal(get(f, IOAT_CHANCNT, 4), 0x1401);
	assert_int_equal(get(f, 0, 8), 0x1401);
	/* These do not change. */
	put(f, IOAT_CHANCNT, 2, 0xffff);
	put(f, IOAT_CBVER, 8, UINT64_MAX);
	put(f, IOAT_DMACAPABILITY, 8, UINT64_MAX);
	assert_int_equal(get(f, IOAT_CHANCNT, 2), 0x1401);
	assert_int_equal(get(f, IOAT_CBVER, 8), 0x32);
	assert_int_equal(get(f, IOAT_DMACAPABILITY, 8), 0);
	put(f, IOAT_GENCTRL, 1, 0xff);
	assert_int_equal(get(f, IOAT_GENCTRL, 1), 1);
	/* Nothing answers elsewhere, and nothing is taken. */
	put(f, CHAN(IOAT_DCACTRL), 4, UINT32_MAX);
	put(f, 0x100, 8, UINT64_MAX);
	assert_int_equal(get(f, CHAN(IOAT_DCACTRL), 4), 0);
	assert_int_equal(get(f, 0x100, 8), 0);
	assert_int_equal(get(f, 0x1ff8, 8), 0);

	assert_int_equal(state(f), IOAT_HALTED);
	assert_int_equal(get(f, CHAN(IOAT_DMA_COMP), 2), 6);
	/* Addresses by halves and by bytes. */
	put(f, CHAN(IOAT_CHAINADDR), 4, 0x11223340);
	put(f, CHAN(IOAT_CHAINADDR) + 4, 4, 0x55667788);
	assert_true(get(f, CHAN(IOAT_CHAINADDR), 8) == 0x5566778811223340);
	put(f, CHAN(IOAT_CHAINADDR) + 7, 1, 0xaa);
	assert_true(get(f, CHAN(IOAT_CHAINADDR), 8) == 0xaa66778811223340);
	assert_int_equal(get(f, CHAN(IOAT_CHAINADDR) + 4, 2), 0x7788);
	put(f, CHAN(IOAT_CHANCMP), 8, UINT64_MAX);
	assert_true(get(f, CHAN(IOAT_CHANCMP), 8) == ~7ull);
	put(f, CHAN(IOAT_CHANERRMSK), 4, 0x12345678);
	assert_int_equal(get(f, CHAN(IOAT_CHANERRMSK), 4), 0x12345678);
	/* Errors are not written. */
	put(f, CHAN(IOAT_CHANERR), 4, UINT32_MAX);
	assert_int_equal(get(f, CHAN(IOAT_CHANERR), 4), 0);
	put(f, CHAN(IOAT_CDAR), 8, UINT64_MAX);
	put(f, CHAN(IOAT_CHANSTS), 8, UINT64_MAX);
	assert_int_equal(get(f, CHAN(IOAT_CDAR), 8), 0);
	assert_int_equal(get(f, CHAN(IOAT_CHANSTS), 8), IOAT_HALTED);
}

static void test_options(void **test_state)
{
	static const struct {
		const char *text;
		uint8_t log2; /* 0: refused */
	} rows[] = {{NULL, 17},	      {"xfercap=4K", 12}, {"xfercap=1M", 20}, {"xfercap=2K", 0},
		    {"xfercap=2M", 0}, {"xfercap=5000", 0}, {"xfercap=0", 0}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct via_device *dev;
		uint8_t b;

		assert_int_equal(make(rows[i].text, &dev), rows[i].log2 ? 0 : -EINVAL);
		if (!rows[i].log2)
			continue;
		assert_int_equal(via_device_open(dev), 0);
		set_command(dev, 6);
		assert_int_equal(via_device_region_read(dev, 0, IOAT_XFERCAP, &b, 1), 1);
		assert_int_equal(b, rows[i].log2);
		via_device_close(dev);
		via_device_free(dev);
	}
}

/* Whoever reads In Use as 0 has the channel. */
static void test_in_use(void **test_state)
{
	struct fixture *f = *test_state;

	put(f, CHAN(IOAT_CHANCTRL), 2, 0xffff);
	/* A look at the lower byte does not take it. */
	assert_int_equal(get(f, CHAN(IOAT_CHANCTRL), 1), 0x3c);
	assert_int_equal(get(f, CHAN(IOAT_CHANCTRL), 2), 0x003c);
	assert_int_equal(get(f, CHAN(IOAT_CHANCTRL), 2), 0x013c);
	put(f, CHAN(IOAT_CHANCTRL), 2, 0x0100);
	assert_int_equal(get(f, CHAN(IOAT_CHANCTRL), 2), 0x0100);
	put(f, CHAN(IOAT_CHANCTRL), 2, 0);
	assert_int_equal(get(f, CHAN(IOAT_CHANCTRL), 2), 0);
}

static uint32_t config_get(struct fixture *f, unsigned int pos, unsigned int size)
{
	uint8_t b[4] = {0};

	assert_int_equal(via_device_region_read(f->dev, VIA_REGION_CONFIG, pos, b, size), size);
	return via_get_le32(b);
}

static void config_put(struct fixture *f, unsigned int pos, unsigned int size, uint32_t value)
{
	uint8_t b[4];

	via_put_le32(b, value);
	assert_int_equal(via_device_region_write(f->dev, VIA_REGION_CONFIG, pos, b, size), size);
}

/* The function as a driver finds it, and the registers of extended space at rest. */
static void test_config(void **test_state)
{
	struct fixture *f = *test_state;

	assert_int_equal(via_device_config_size(f->dev), 4096);
	assert_int_equal(config_get(f, 0, 4), 0x20218086);
	assert_int_equal(config_get(f, 8, 4), 0x08800004);
	assert_int_equal(config_get(f, 0x100, 4), 0x0001000b);
	assert_int_equal(config_get(f, 0x104, 4), 0x09000000);
	/* Parity is never wrong; errors are not made by writing. */
	config_put(f, IOAT_PCI_DMAUNCERRSTS, 4, UINT32_MAX);
	assert_int_equal(config_get(f, IOAT_PCI_DMAUNCERRSTS, 4), 0);
	config_put(f, IOAT_PCI_CHANERR_INT, 4, UINT32_MAX);
	assert_int_equal(config_get(f, IOAT_PCI_CHANERR_INT, 4), 0);
	config_put(f, IOAT_PCI_CHANERRMSK_INT, 4, UINT32_MAX);
	assert_int_equal(config_get(f, IOAT_PCI_CHANERRMSK_INT, 4), 0x7ffff);
	config_put(f, IOAT_PCI_CHANERRMSK_INT + 1, 1, 0x3e);
	assert_int_equal(config_get(f, IOAT_PCI_CHANERRMSK_INT, 4), 0x73eff);
}

/* Errors are in both places, each of which is cleared alone, by the bits that are written. */
static void test_chanerr_int(void **test_state)
{
	struct fixture *f = *test_state;
	const uint32_t both = IOAT_CHANERR_CHAIN_ADDR | IOAT_CHANERR_LENGTH;

	/* What is masked is there too: the mask is about telling. */
	config_put(f, IOAT_PCI_CHANERRMSK_INT, 4, UINT32_MAX);
	set_desc(f, 0, IOVA + SRC, IOVA + DST, 0, 0);
	start(f, desc_iova(0), 1);
	wait_state(f, IOAT_HALTED);
	assert_int_equal(get(f, CHAN(IOAT_CHANERR), 4), IOAT_CHANERR_LENGTH);
	assert_int_equal(config_get(f, IOAT_PCI_CHANERR_INT, 4), IOAT_CHANERR_LENGTH);
	clear_errors(f);
	assert_int_equal(config_get(f, IOAT_PCI_CHANERR_INT, 4), IOAT_CHANERR_LENGTH);
	start(f, UNMAPPED, 1);
	wait_state(f, IOAT_HALTED);
	assert_int_equal(get(f, CHAN(IOAT_CHANERR), 4), IOAT_CHANERR_CHAIN_ADDR);
	assert_int_equal(config_get(f, IOAT_PCI_CHANERR_INT, 4), both);
	assert_int_equal(config_get(f, IOAT_PCI_CHANERR_INT + 1, 1), IOAT_CHANERR_LENGTH >> 8);
	assert_int_equal(config_get(f, IOAT_PCI_CHANERR_INT + 2, 2), 0);
	config_put(f, IOAT_PCI_CHANERR_INT + 2, 2, UINT16_MAX);
	config_put(f, IOAT_PCI_CHANERR_INT, 1, (uint8_t)~IOAT_CHANERR_CHAIN_ADDR);
	config_put(f, IOAT_PCI_CHANERR_INT + 1, 1, IOAT_CHANERR_LENGTH >> 8);
	assert_int_equal(config_get(f, IOAT_PCI_CHANERR_INT, 4), IOAT_CHANERR_CHAIN_ADDR);
	/* A reset of the channel leaves it to be asked, one of the function does not. */
	reset_channel(f);
	assert_int_equal(config_get(f, IOAT_PCI_CHANERR_INT, 4), IOAT_CHANERR_CHAIN_ADDR);
	assert_int_equal(via_device_reset(f->dev), 0);
	assert_int_equal(config_get(f, IOAT_PCI_CHANERR_INT, 4), 0);
	assert_int_equal(get(f, CHAN(IOAT_CHANERR), 4), 0);
}

/* --- copying --- */

static void test_copy(void **test_state)
{
	struct fixture *f = *test_state;
	static const struct {
		uint32_t src, dst, size;
	} rows[] = {{0, 0, 1},	      {0, 0, 4096},	    {1, 3, 4096},     {4095, 1, 2},
		    {0, 0, 65536},    {5, 7, 65537},	    {0, 0, 1048576}, {123, 456, 1000000}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		uint8_t *src = f->memory + SRC + rows[i].src, *dst = f->memory + DST + rows[i].dst;

		memset(f->memory + DST, 0xee, 2 * MIB);
		set_desc(f, 0, IOVA + SRC + rows[i].src, IOVA + DST + rows[i].dst, rows[i].size, 0);
		start(f, desc_iova(0), 1);
		wait_state(f, IOAT_DONE);
		assert_memory_equal(src, dst, rows[i].size);
		assert_int_equal(dst[rows[i].size], 0xee);
		if (rows[i].dst)
			assert_int_equal(dst[-1], 0xee);
		assert_true(get(f, CHAN(IOAT_CHANSTS), 8) == (desc_iova(0) | IOAT_DONE));
		assert_true(get(f, CHAN(IOAT_CDAR), 8) == desc_iova(0));
		assert_int_equal(get(f, CHAN(IOAT_DMACOUNT), 2), 1);
	}
	/* Nobody asked for a completion. */
	assert_int_equal(completion(f), 0);
	assert_int_equal(get(f, CHAN(IOAT_CHANERR), 4), 0);
}

static void test_completion(void **test_state)
{
	struct fixture *f = *test_state;

	set_desc(f, 0, IOVA + SRC, IOVA + DST, 64, IOAT_DESC_COMPL_WRITE | IOAT_DESC_FENCE);
	set_desc(f, 1, IOVA + SRC + 64, IOVA + DST + 64, 64,
		 IOAT_DESC_SRC_SNOOP_DIS | IOAT_DESC_DEST_SNOOP_DIS | IOAT_DESC_DEST_DCA |
			 IOAT_DESC_HINT);
	start(f, desc_iova(0), 2);
	wait_state(f, IOAT_DONE);
	/* While another followed, and it is the register that knows the last. */
	assert_true(completion(f) == (desc_iova(0) | IOAT_ACTIVE));
	assert_true(get(f, CHAN(IOAT_CHANSTS), 8) == (desc_iova(1) | IOAT_DONE));
	assert_memory_equal(f->memory + SRC, f->memory + DST, 128);

	/* A null descriptor moves nothing, whatever its addresses and size. */
	set_desc(f, 0, UNMAPPED, UINT64_MAX, 0, IOAT_DESC_NULL | IOAT_DESC_COMPL_WRITE);
	start(f, desc_iova(0), 1);
	wait_state(f, IOAT_DONE);
	assert_true(completion(f) == (desc_iova(0) | IOAT_DONE));
	assert_int_equal(get(f, CHAN(IOAT_CHANERR), 4), 0);
}

/* --- chains --- */

static void test_chain(void **test_state)
{
	struct fixture *f = *test_state;

	for (unsigned int i = 0; i < 100; i++)
		set_desc(f, i, IOVA + SRC + 1000 * i, IOVA + DST + 1000 * i, 1000,
			 IOAT_DESC_COMPL_WRITE);
	start(f, desc_iova(0), 100);
	wait_state(f, IOAT_DONE);
	assert_memory_equal(f->memory + SRC, f->memory + DST, 100000);
	assert_int_equal(f->memory[DST + 100000], 0xee);
	assert_true(completion(f) == (desc_iova(99) | IOAT_DONE));

	/* Writing the count once more does nothing. */
	memset(f->memory + DST, 0xee, MIB);
	put(f, CHAN(IOAT_DMACOUNT), 2, 100);
	assert_int_equal(state(f), IOAT_DONE);
	usleep(2000);
	assert_int_equal(f->memory[DST], 0xee);
}

/* A driver links a new descriptor behind the last one, before or after that is done. */
static void test_append(void **test_state)
{
	struct fixture *f = *test_state;

	for (uint16_t i = 0; i < 50; i++) {
		set_desc(f, i, IOVA + SRC + 20000u * i, IOVA + DST + 20000u * i, 20000, 0);
		/* Not linked yet: what is there must not be used. */
		set_next(f, i, UNMAPPED);
		if (i)
			set_next(f, i - 1u, desc_iova(i));
		if (!i)
			start(f, desc_iova(0), 1);
		else
			put(f, CHAN(IOAT_DMACOUNT), 2, i + 1u);
		/* Fetched, and perhaps done. */
		for (int n = 0; n < 10000 && get(f, CHAN(IOAT_CDAR), 8) != desc_iova(i); n++)
			usleep(100);
		if (i % 3 == 0)
			wait_state(f, IOAT_DONE);
	}
	wait_state(f, IOAT_DONE);
	assert_memory_equal(f->memory + SRC, f->memory + DST, 1000000);
	assert_true(get(f, CHAN(IOAT_CHANSTS), 8) == (desc_iova(49) | IOAT_DONE));
	assert_int_equal(get(f, CHAN(IOAT_CHANERR), 4), 0);
}

/* The count is modulo 2^16: a ring goes round for ever. */
static void test_count_wraps(void **test_state)
{
	struct fixture *f = *test_state;
	uint16_t count = 0;

	for (unsigned int i = 0; i < 16; i++)
		set_desc(f, i, IOVA + SRC, IOVA + DST, 8, IOAT_DESC_COMPL_WRITE);
	set_next(f, 15, desc_iova(0));
	put(f, CHAN(IOAT_CHAINADDR), 8, desc_iova(0));
	for (unsigned int i = 0; i < 3; i++) {
		count = (uint16_t)(count + 40000);
		put(f, CHAN(IOAT_DMACOUNT), 2, count);
		wait_state(f, IOAT_DONE);
	}
	/* 120000 descriptors are 7500 rounds. */
	assert_true(completion(f) == (desc_iova(15) | IOAT_DONE));
	/* A new chain counts from 0. */
	start(f, desc_iova(3), 1);
	wait_state(f, IOAT_DONE);
	assert_true(completion(f) == (desc_iova(3) | IOAT_DONE));
}

/* A copy over its own descriptor and its successor's: each was, or will be, read once. */
static void test_read_once(void **test_state)
{
	struct fixture *f = *test_state;
	uint8_t *d;

	set_desc(f, 0, IOVA + SRC, desc_iova(0), 128, IOAT_DESC_COMPL_WRITE);
	d = f->memory + SRC;
	memset(d, 0xff, 64);
	memcpy(d + 24, f->memory + 24, 8);
	memset(d + 64, 0, 64);
	via_put_le32(d + 64, 8);
	via_put_le64(d + 64 + 8, IOVA + SRC);
	via_put_le64(d + 64 + 16, IOVA + DST);
	start(f, desc_iova(0), 2);
	wait_state(f, IOAT_DONE);
	assert_int_equal(get(f, CHAN(IOAT_CHANERR), 4), 0);
	assert_true(completion(f) == (desc_iova(0) | IOAT_ACTIVE));
	assert_memory_equal(f->memory + DST, d, 8);
}

/* --- interrupts --- */

static void run_null(struct fixture *f)
{
	set_desc(f, 0, 0, 0, 1, IOAT_DESC_NULL | IOAT_DESC_INT_EN);
	start(f, desc_iova(0), 1);
	wait_state(f, IOAT_DONE);
	/* The interrupt comes with the state, in the same hold of the lock. */
}

static void rearm(struct fixture *f)
{
	put(f, CHAN(IOAT_CHANCTRL), 2, IOAT_CHANCTRL_INT_DISABLE);
}

static void test_msix(void **test_state)
{
	struct fixture *f = *test_state;

	arm(f, VIA_IRQ_MSIX);
	put(f, IOAT_INTRCTRL, 1, IOAT_INTRCTRL_MSIX_VECTOR_CONTROL);
	run_null(f);
	assert_int_equal(events(f, 1000), 1);
	assert_int_equal(get(f, CHAN(IOAT_CHANCTRL), 1), IOAT_CHANCTRL_INT_DISABLE);
	/* Disabled now; two that come are one when it is rearmed. */
	run_null(f);
	run_null(f);
	assert_int_equal(events(f, 20), 0);
	rearm(f);
	assert_int_equal(events(f, 1000), 1);
	rearm(f);
	assert_int_equal(events(f, 20), 0);
	assert_int_equal(get(f, CHAN(IOAT_CHANCTRL), 1), 0);
	/* A descriptor that does not ask. */
	set_desc(f, 0, IOVA + SRC, IOVA + DST, 8, IOAT_DESC_COMPL_WRITE);
	start(f, desc_iova(0), 1);
	wait_state(f, IOAT_DONE);
	assert_int_equal(events(f, 20), 0);
	run_null(f);
	assert_int_equal(events(f, 1000), 1);
	/* What was missed before a reset is not sent after it. */
	run_null(f);
	reset_channel(f);
	rearm(f);
	assert_int_equal(events(f, 20), 0);
}

static bool pin(struct fixture *f)
{
	uint8_t status[2];

	assert_int_equal(via_device_region_read(f->dev, VIA_REGION_CONFIG, 6, status, 2), 2);
	return status[0] & 8;
}

/* As a handler for a shared line does it: INTRCTRL, ATTNSTATUS, INTRCTRL. */
static void test_intx(void **test_state)
{
	struct fixture *f = *test_state;

	arm(f, VIA_IRQ_INTX);
	/* The master enable is off. */
	run_null(f);
	assert_false(pin(f));
	assert_int_equal(get(f, IOAT_INTRCTRL, 1), IOAT_INTRCTRL_INT_STATUS);
	assert_int_equal(get(f, IOAT_ATTNSTATUS, 4), 1);
	assert_int_equal(get(f, IOAT_ATTNSTATUS, 4), 0);
	assert_int_equal(get(f, IOAT_INTRCTRL, 1), 0);

	put(f, IOAT_INTRCTRL, 1, IOAT_INTRCTRL_MASTER_INT_EN);
	rearm(f);
	run_null(f);
	assert_true(pin(f));
	assert_int_equal(events(f, 1000), 1);
	/* The read takes the master enable, and the line falls. */
	assert_int_equal(get(f, IOAT_INTRCTRL, 1),
			 IOAT_INTRCTRL_MASTER_INT_EN | IOAT_INTRCTRL_INT_STATUS | IOAT_INTRCTRL_INT);
	assert_false(pin(f));
	assert_int_equal(get(f, IOAT_INTRCTRL, 1), IOAT_INTRCTRL_INT_STATUS);
	put(f, IOAT_INTRCTRL, 1, IOAT_INTRCTRL_MASTER_INT_EN);
	assert_true(pin(f));
	assert_int_equal(get(f, IOAT_ATTNSTATUS, 1), 1);
	assert_false(pin(f));
	/* Reset of the channel is no interrupt and does not answer one. */
	rearm(f);
	run_null(f);
	assert_true(pin(f));
	assert_int_equal(via_device_reset(f->dev), 0);
	assert_false(pin(f));
	assert_int_equal(get(f, IOAT_INTRCTRL, 1), 0);
}

/* Messages without vector control: one for the device, each time that its line rises. */
static void test_single_message(void **test_state)
{
	struct fixture *f = *test_state;

	arm(f, VIA_IRQ_MSIX);
	run_null(f);
	assert_int_equal(events(f, 20), 0);
	put(f, IOAT_INTRCTRL, 1, IOAT_INTRCTRL_MASTER_INT_EN);
	assert_int_equal(events(f, 1000), 1);
	assert_false(pin(f));
	rearm(f);
	run_null(f);
	assert_int_equal(events(f, 20), 0);
	get(f, IOAT_ATTNSTATUS, 4);
	rearm(f);
	run_null(f);
	assert_int_equal(events(f, 1000), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_registers),
		cmocka_unit_test(test_options),
		TEST(test_in_use),
		TEST(test_config),
		TEST(test_chanerr_int),
		TEST(test_copy),
		TEST(test_completion),
		TEST(test_chain),
		TEST(test_append),
		TEST(test_count_wraps),
		TEST(test_read_once),
		TEST(test_msix),
		TEST(test_intx),
		TEST(test_single_message),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
