/* SPDX-License-Identifier: MIT */
/* The I/OAT engine with bad descriptors, commands in the midst of work, chains that loop. */
#include "models/ioat/testing.h"

/* --- errors --- */

struct bad {
	uint64_t src, dst;
	uint32_t size, control;
	uint32_t error;
};

static const struct bad bad_descs[] = {
	{UNMAPPED, IOVA + DST, 64, 0, IOAT_CHANERR_READ_DATA},
	{IOVA + SRC, UNMAPPED, 64, 0, IOAT_CHANERR_WRITE_DATA},
	/* Half of it is there. */
	{IOVA + MEMORY - 32, IOVA + DST, 64, 0, IOAT_CHANERR_READ_DATA},
	{IOVA + SRC, IOVA + MEMORY - 65536, 65537, 0, IOAT_CHANERR_WRITE_DATA},
	{UINT64_MAX - 62, IOVA + DST, 64, 0, IOAT_CHANERR_SRC_ADDR},
	{IOVA + SRC, UINT64_MAX, 2, 0, IOAT_CHANERR_DEST_ADDR},
	{UINT64_MAX, UINT64_MAX, 2, 0, IOAT_CHANERR_SRC_ADDR | IOAT_CHANERR_DEST_ADDR},
	{IOVA + SRC, IOVA + DST, 0, 0, IOAT_CHANERR_LENGTH},
	{IOVA + SRC, IOVA + DST, MIB + 1, 0, IOAT_CHANERR_LENGTH},
	{IOVA + SRC, IOVA + DST, UINT32_MAX, 0, IOAT_CHANERR_LENGTH},
	{IOVA + SRC, IOVA + DST, 64, 0x01000000, IOAT_CHANERR_CONTROL}, /* block fill */
	{IOVA + SRC, IOVA + DST, 64, 0x87000000, IOAT_CHANERR_CONTROL}, /* XOR */
	{IOVA + SRC, IOVA + DST, 64, 0x89000000, IOAT_CHANERR_CONTROL}, /* PQ */
	{IOVA + SRC, IOVA + DST, 64, IOAT_DESC_SRC_BRK, IOAT_CHANERR_CONTROL},
	{IOVA + SRC, IOVA + DST, 64, IOAT_DESC_DEST_BRK, IOAT_CHANERR_CONTROL},
	{IOVA + SRC, IOVA + DST, 64, IOAT_DESC_BUNDLE, IOAT_CHANERR_CONTROL},
	{IOVA + SRC, IOVA + DST, 64, 0x00000800, IOAT_CHANERR_CONTROL},
	{IOVA + SRC, IOVA + DST, 64, 0x00800000 | IOAT_DESC_NULL, IOAT_CHANERR_CONTROL},
};

static void expect_error(struct fixture *f, uint32_t error, uint64_t completed)
{
	wait_state(f, IOAT_HALTED);
	assert_int_equal(get(f, CHAN(IOAT_CHANERR), 4), error);
	assert_true(get(f, CHAN(IOAT_CHANSTS), 8) == (completed | IOAT_HALTED));
}

static void test_bad_descriptors(void **test_state)
{
	struct fixture *f = *test_state;

	arm(f, VIA_IRQ_MSIX);
	put(f, IOAT_INTRCTRL, 1, IOAT_INTRCTRL_MSIX_VECTOR_CONTROL);
	for (size_t i = 0; i < sizeof(bad_descs) / sizeof(*bad_descs); i++) {
		const struct bad *b = &bad_descs[i];

		put(f, CHAN(IOAT_CHANCTRL), 2,
		    IOAT_CHANCTRL_INT_DISABLE | IOAT_CHANCTRL_ERR_COMPLETION_EN |
			    IOAT_CHANCTRL_ERR_INT_EN | IOAT_CHANCTRL_ANY_ERR_ABORT_EN);
		memset(f->memory + COMPLETION, 0, 8);
		set_desc(f, 0, IOVA + SRC, IOVA + DST, 64, 0);
		set_desc(f, 1, b->src, b->dst, b->size, b->control | IOAT_DESC_INT_EN);
		set_desc(f, 2, IOVA + SRC, IOVA + DST + 4096, 64, 0);
		start(f, desc_iova(0), 3);
		expect_error(f, b->error, desc_iova(0));
		assert_int_equal(events(f, 1000), 1);
		assert_true(completion(f) == (desc_iova(0) | IOAT_HALTED));
		assert_int_equal(f->memory[DST + 4096], 0xee);
		/* It stays so until the error is cleared, and then needs a new chain. */
		put(f, CHAN(IOAT_DMACOUNT), 2, 4);
		start(f, desc_iova(0), 1);
		assert_int_equal(state(f), IOAT_HALTED);
		put(f, CHAN(IOAT_CHANERR), 4, ~b->error);
		assert_int_equal(get(f, CHAN(IOAT_CHANERR), 4), b->error);
		clear_errors(f);
		assert_int_equal(state(f), IOAT_HALTED);
		start(f, desc_iova(0), 1);
		wait_state(f, IOAT_DONE);
	}
}

static void test_bad_chain(void **test_state)
{
	struct fixture *f = *test_state;

	/* None at all. */
	put(f, CHAN(IOAT_DMACOUNT), 2, 1);
	expect_error(f, IOAT_CHANERR_CHAIN_ADDR, 0);
	clear_errors(f);
	start(f, UNMAPPED, 1);
	expect_error(f, IOAT_CHANERR_CHAIN_ADDR, 0);
	clear_errors(f);
	start(f, UINT64_MAX - 63, 1);
	expect_error(f, IOAT_CHANERR_CHAIN_ADDR, 0);
	clear_errors(f);
	start(f, desc_iova(0) + 32, 1);
	expect_error(f, IOAT_CHANERR_CHAIN_ADDR, 0);
	clear_errors(f);

	set_desc(f, 0, IOVA + SRC, IOVA + DST, 64, 0);
	set_next(f, 0, UNMAPPED);
	start(f, desc_iova(0), 2);
	expect_error(f, IOAT_CHANERR_NEXT_ADDR, desc_iova(0));
	clear_errors(f);
	set_next(f, 0, desc_iova(1) + 8);
	start(f, desc_iova(0), 2);
	expect_error(f, IOAT_CHANERR_NEXT_ALIGN, desc_iova(0));
	clear_errors(f);

	/* Neither completion nor interrupt was asked for. */
	assert_int_equal(completion(f), 0);
	assert_int_equal(get(f, IOAT_ATTNSTATUS, 4), 0);
	/* A channel that has failed does not go on by the count alone. */
	set_desc(f, 0, IOVA + SRC, IOVA + DST, 64, 0);
	set_desc(f, 1, IOVA + SRC, IOVA + DST, 0, 0);
	set_desc(f, 2, IOVA + SRC, IOVA + DST, 64, 0);
	start(f, desc_iova(0), 2);
	expect_error(f, IOAT_CHANERR_LENGTH, desc_iova(0));
	clear_errors(f);
	put(f, CHAN(IOAT_DMACOUNT), 2, 2);
	expect_error(f, IOAT_CHANERR_CHAIN_ADDR, desc_iova(0));
}

static void test_bad_completion(void **test_state)
{
	struct fixture *f = *test_state;
	struct via_dma_stats stats;

	put(f, CHAN(IOAT_CHANCTRL), 2, IOAT_CHANCTRL_ERR_COMPLETION_EN | IOAT_CHANCTRL_ERR_INT_EN);
	put(f, CHAN(IOAT_CHANCMP), 8, UNMAPPED);
	set_desc(f, 0, IOVA + SRC, IOVA + DST, 64, IOAT_DESC_COMPL_WRITE);
	start(f, desc_iova(0), 1);
	/* The copy itself was done. */
	expect_error(f, IOAT_CHANERR_COMPLETION, desc_iova(0));
	assert_memory_equal(f->memory + SRC, f->memory + DST, 64);
	clear_errors(f);
	/* An error whose completion fails too. */
	set_desc(f, 0, IOVA + SRC, IOVA + DST, 0, 0);
	start(f, desc_iova(0), 1);
	for (int i = 0; i < 1000 && get(f, CHAN(IOAT_CHANERR), 4) == IOAT_CHANERR_LENGTH; i++)
		usleep(500);
	expect_error(f, IOAT_CHANERR_LENGTH | IOAT_CHANERR_COMPLETION, 0);
	/* Each was tried once. */
	usleep(5000);
	via_dma_get_stats(via_device_dma(f->dev), &stats);
	assert_int_equal(stats.faults, 2);
}

/* A masked error halts, but is not told by interrupt. */
static void test_error_mask(void **test_state)
{
	struct fixture *f = *test_state;

	put(f, CHAN(IOAT_CHANCTRL), 2, IOAT_CHANCTRL_ERR_INT_EN);
	put(f, CHAN(IOAT_CHANERRMSK), 4, IOAT_CHANERR_LENGTH);
	set_desc(f, 0, IOVA + SRC, IOVA + DST, 0, 0);
	start(f, desc_iova(0), 1);
	expect_error(f, IOAT_CHANERR_LENGTH, 0);
	usleep(5000);
	assert_int_equal(get(f, IOAT_ATTNSTATUS, 4), 0);
}

static void test_bad_commands(void **test_state)
{
	struct fixture *f = *test_state;
	static const uint8_t bad[] = {0x01, 0x02, 0x40, 0x80, 0x24, 0x0c, 0xff};

	for (size_t i = 0; i < sizeof(bad); i++) {
		command(f, bad[i]);
		expect_error(f, IOAT_CHANERR_CHANCMD, 0);
		clear_errors(f);
	}
	command(f, 0);
	assert_int_equal(get(f, CHAN(IOAT_CHANERR), 4), 0);
}

/* --- suspend, abort, reset --- */

/* A chain without end: a descriptor that follows itself, of 1 MiB. */
static void start_loop(struct fixture *f)
{
	set_desc(f, 0, IOVA + SRC, IOVA + DST, MIB, 0);
	set_next(f, 0, desc_iova(0));
	start(f, desc_iova(0), 0xffff);
}

static void test_suspend(void **test_state)
{
	struct fixture *f = *test_state;

	/* Not what is halted. */
	command(f, IOAT_CHANCMD_SUSPEND);
	assert_int_equal(state(f), IOAT_HALTED);
	command(f, IOAT_CHANCMD_RESUME);
	assert_int_equal(state(f), IOAT_HALTED);
	/* An idle channel; then a new chain starts it. */
	for (unsigned int i = 0; i < 3; i++) {
		set_desc(f, 0, IOVA + SRC, IOVA + DST, 64, 0);
		start(f, desc_iova(0), 1);
		wait_state(f, IOAT_DONE);
		command(f, IOAT_CHANCMD_SUSPEND);
		wait_state(f, IOAT_SUSPENDED);
		assert_int_equal(get(f, CHAN(IOAT_CHANCMD), 1), 0);
	}
	command(f, IOAT_CHANCMD_RESUME);
	assert_int_equal(state(f), IOAT_DONE);

	/* One at work stops between descriptors, and nothing moves. */
	start_loop(f);
	command(f, IOAT_CHANCMD_SUSPEND);
	wait_state(f, IOAT_SUSPENDED);
	memset(f->memory + DST, 0x11, MIB);
	usleep(5000);
	assert_int_equal(f->memory[DST], 0x11);
	assert_int_equal(f->memory[DST + MIB - 1], 0x11);
	assert_int_equal(state(f), IOAT_SUSPENDED);
	/* It goes on by command, and by the count. */
	command(f, IOAT_CHANCMD_RESUME);
	assert_int_equal(state(f), IOAT_ACTIVE);
	command(f, IOAT_CHANCMD_SUSPEND);
	wait_state(f, IOAT_SUSPENDED);
	put(f, CHAN(IOAT_DMACOUNT), 2, 0xfffe);
	assert_int_equal(state(f), IOAT_ACTIVE);
	reset_channel(f);
}

static void test_abort(void **test_state)
{
	struct fixture *f = *test_state;

	start_loop(f);
	command(f, IOAT_CHANCMD_ABORT);
	wait_state(f, IOAT_HALTED);
	assert_int_equal(get(f, CHAN(IOAT_CHANERR), 4), 0);
	/* DMA in flight came first. */
	memset(f->memory + DST, 0x11, MIB);
	usleep(5000);
	for (size_t i = 0; i < MIB; i += 4096)
		assert_int_equal(f->memory[DST + i], 0x11);
	/* The registers stay. */
	assert_true(get(f, CHAN(IOAT_CHANCMP), 8) == IOVA + COMPLETION);
	set_desc(f, 1, IOVA + SRC, IOVA + DST, 64, 0);
	start(f, desc_iova(1), 1);
	wait_state(f, IOAT_DONE);
	assert_memory_equal(f->memory + SRC, f->memory + DST, 64);
}

static void test_channel_reset(void **test_state)
{
	struct fixture *f = *test_state;

	put(f, CHAN(IOAT_CHANCTRL), 2, IOAT_CHANCTRL_ERR_INT_EN);
	put(f, IOAT_INTRCTRL, 1, IOAT_INTRCTRL_MASTER_INT_EN);
	start_loop(f);
	reset_channel(f);
	memset(f->memory + DST, 0x11, MIB);
	usleep(5000);
	for (size_t i = 0; i < MIB; i += 4096)
		assert_int_equal(f->memory[DST + i], 0x11);
	assert_int_equal(get(f, CHAN(IOAT_CHANSTS), 8), IOAT_HALTED);
	assert_int_equal(get(f, CHAN(IOAT_CHANCTRL), 1), 0);
	assert_int_equal(get(f, CHAN(IOAT_DMACOUNT), 2), 0);
	assert_int_equal(get(f, CHAN(IOAT_CHAINADDR), 8), 0);
	assert_int_equal(get(f, CHAN(IOAT_CHANCMP), 8), 0);
	assert_int_equal(get(f, CHAN(IOAT_CDAR), 8), 0);
	assert_int_equal(get(f, IOAT_ATTNSTATUS, 4), 0);
	/* The device's own registers are not the channel's. */
	assert_int_equal(get(f, IOAT_INTRCTRL, 1), IOAT_INTRCTRL_MASTER_INT_EN);
	/* What went wrong can still be read after it. */
	command(f, 0xff);
	reset_channel(f);
	assert_int_equal(get(f, CHAN(IOAT_CHANERR), 4), IOAT_CHANERR_CHANCMD);
	clear_errors(f);
	set_desc(f, 0, IOVA + SRC, IOVA + DST, 64, 0);
	start(f, desc_iova(0), 1);
	wait_state(f, IOAT_DONE);
}

/* --- hostile chains --- */

/* A new chain while another runs: nothing of that one is taken for the new one's. */
static void test_switch_chain(void **test_state)
{
	struct fixture *f = *test_state;

	set_desc(f, 0, 0, 0, 0, IOAT_DESC_NULL);
	set_desc(f, 1, 0, 0, 0, IOAT_DESC_NULL);
	set_next(f, 1, desc_iova(0));
	set_desc(f, 2, IOVA + SRC, IOVA + DST, 64, 0);
	set_desc(f, 3, IOVA + SRC, IOVA + DST, 64, IOAT_DESC_COMPL_WRITE);
	for (unsigned int i = 0; i < 500; i++) {
		start(f, desc_iova(0), 0xffff);
		if (i % 2)
			usleep(20);
		start(f, desc_iova(2), 2);
		wait_state(f, IOAT_DONE);
		assert_true(get(f, CHAN(IOAT_CHANSTS), 8) == (desc_iova(3) | IOAT_DONE));
		assert_true(get(f, CHAN(IOAT_CDAR), 8) == desc_iova(3));
		assert_true(completion(f) == (desc_iova(3) | IOAT_DONE));
	}
	assert_int_equal(get(f, CHAN(IOAT_CHANERR), 4), 0);
}

/* 64 GiB of a chain that loops: nobody else waits for it. */
static void test_loop_is_bounded(void **test_state)
{
	struct fixture *f = *test_state;
	uint64_t t0, unmapped;

	start_loop(f);
	t0 = now_ms();
	for (unsigned int i = 0; i < 1000; i++)
		assert_int_equal(state(f), IOAT_ACTIVE);
	/* A new chain while the old one runs. */
	for (unsigned int i = 0; i < 20; i++)
		start(f, desc_iova(0), 0xffff);
	assert_int_equal(state(f), IOAT_ACTIVE);
	/* A reset of the function. */
	assert_int_equal(via_device_reset(f->dev), 0);
	assert_int_equal(get(f, CHAN(IOAT_CHANSTS), 8), IOAT_HALTED);
	assert_int_equal(get(f, CHAN(IOAT_CHANERR), 4), 0);
	/* Bus mastering goes; a device that may not write tells nobody. */
	put(f, IOAT_INTRCTRL, 1, IOAT_INTRCTRL_MASTER_INT_EN);
	put(f, CHAN(IOAT_CHANCTRL), 2, IOAT_CHANCTRL_ERR_INT_EN);
	start_loop(f);
	set_command(f->dev, 2);
	wait_state(f, IOAT_HALTED);
	assert_true(get(f, CHAN(IOAT_CHANERR), 4) != 0);
	assert_int_equal(get(f, IOAT_ATTNSTATUS, 4), 0);
	set_command(f->dev, 6);
	clear_errors(f);
	/* An unmap under it. */
	start_loop(f);
	assert_int_equal(via_ioas_unmap(f->ioas, IOVA, IOVA + MEMORY - 1, &unmapped), 0);
	wait_state(f, IOAT_HALTED);
	assert_true(get(f, CHAN(IOAT_CHANERR), 4) != 0);
	clear_errors(f);
	assert_int_equal(via_ioas_map(f->ioas, IOVA, f->space, (uintptr_t)f->memory, MEMORY,
				      VIA_PROT_READ | VIA_PROT_WRITE),
			 0);
	/* Null descriptors that loop, and the last close while another loop runs (in tear_down). */
	set_desc(f, 1, 0, 0, 0, IOAT_DESC_NULL | IOAT_DESC_COMPL_WRITE | IOAT_DESC_INT_EN);
	set_next(f, 1, desc_iova(1));
	put(f, CHAN(IOAT_CHANCMP), 8, IOVA + COMPLETION);
	start(f, desc_iova(1), 0xffff);
	for (unsigned int i = 0; i < 200; i++)
		put(f, CHAN(IOAT_DMACOUNT), 2, (0xffff + i * 1000) & 0xffff);
	start(f, desc_iova(0), 0xffff);
	assert_true(now_ms() - t0 < 10000);
}

/* A chain through all memory, each address within it, as a fuzzer would have it. */
static void test_random_chains(void **test_state)
{
	struct fixture *f = *test_state;
	uint32_t seed = 1;

	for (unsigned int round = 0; round < 300; round++) {
		for (size_t i = 0; i < 4096; i += 4) {
			seed = seed * 1664525 + 1013904223;
			via_put_le32(f->memory + i, seed);
		}
		for (unsigned int i = 0; i < 64; i++) {
			uint8_t *d = f->memory + (size_t)64 * i;

			seed = seed * 1664525 + 1013904223;
			set_next(f, i, seed >> 30 ? desc_iova(seed >> 8 & 63) : seed);
			if (seed >> 4 & 1)
				via_put_le32(d + 4, via_get_le32(d + 4) & 0x7ff);
			if (seed >> 5 & 1)
				via_put_le32(d, via_get_le32(d) & 0x1fffff);
			if (seed >> 6 & 1)
				via_put_le64(d + 8, IOVA + SRC);
			if (seed >> 7 & 1)
				via_put_le64(d + 16, IOVA + DST);
		}
		start(f, desc_iova(seed >> 20 & 63), (uint16_t)(seed >> 16 & 127));
		if (seed & 0x8000)
			put(f, (seed >> 10 & 0x1f8), 8, (uint64_t)seed << 13);
		reset_channel(f);
		clear_errors(f);
	}
	put(f, CHAN(IOAT_CHANCMP), 8, IOVA + COMPLETION);
	set_desc(f, 0, IOVA + SRC, IOVA + DST, 64, IOAT_DESC_COMPL_WRITE);
	start(f, desc_iova(0), 1);
	wait_state(f, IOAT_DONE);
	assert_true(completion(f) == (desc_iova(0) | IOAT_DONE));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_bad_descriptors),
		TEST(test_bad_chain),
		TEST(test_bad_completion),
		TEST(test_error_mask),
		TEST(test_bad_commands),
		TEST(test_suspend),
		TEST(test_abort),
		TEST(test_channel_reset),
		TEST(test_switch_chain),
		TEST(test_loop_is_bounded),
		TEST(test_random_chains),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
