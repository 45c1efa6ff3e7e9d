/* SPDX-License-Identifier: MIT */
/* The I/OAT engine on its way to another host, in the middle of a chain. */
#include "models/ioat/testing.h"

#include "device/internal.h"
#include "models/ioat/ioat.h"

#include <stdlib.h>

static uint8_t image[1 << 16];

static void go(struct via_device *dev, uint32_t to)
{
	struct via_migration_session *session;

	assert_int_equal(via_device_migration_set(dev, to, &session), 0);
	via_migration_session_put(session);
}

static size_t save(struct via_device *dev)
{
	struct via_migration_session *session;
	size_t len = 0;
	uint64_t mark;
	ssize_t n;

	assert_int_equal(via_device_migration_set(dev, VIA_STATE_STOP_COPY, &session), 0);
	while ((n = via_migration_peek(session, image + len, sizeof(image) - len, &mark)) > 0) {
		via_migration_consume(session, mark, (size_t)n);
		len += (size_t)n;
	}
	assert_int_equal(n, 0);
	via_migration_session_put(session);
	return len;
}

static int load(struct via_device *dev, size_t len)
{
	struct via_migration_session *session;
	int ret;

	assert_int_equal(via_device_migration_set(dev, VIA_STATE_RESUMING, &session), 0);
	assert_int_equal(via_migration_write(session, image, len), len);
	via_migration_session_put(session);
	ret = via_device_migration_set(dev, VIA_STATE_STOP, &session);
	return ret;
}

/* The machine has another engine in the place of the first. */
static void move(struct fixture *f, const char *options)
{
	size_t len = save(f->dev);

	via_device_close(f->dev);
	assert_int_equal(via_device_attach(f->dev, NULL), 0);
	via_device_free(f->dev);
	assert_int_equal(make(options, &f->dev), 0);
	assert_int_equal(via_device_attach(f->dev, f->ioas), 0);
	assert_int_equal(via_device_open(f->dev), 0);
	assert_int_equal(load(f->dev, len), 0);
	arm(f, VIA_IRQ_MSIX);
}

/* Chains of 64 copies that are moved at random moments, often more than once. */
static void test_moves(void **test_state)
{
	struct fixture *f = *test_state;

	srand(11);
	arm(f, VIA_IRQ_MSIX);
	for (unsigned int round = 0; round < 12; round++) {
		put(f, IOAT_INTRCTRL, 1, IOAT_INTRCTRL_MSIX_VECTOR_CONTROL);
		put(f, CHAN(IOAT_CHANCTRL), 2, IOAT_CHANCTRL_INT_DISABLE);
		put(f, CHAN(IOAT_CHANCMP), 8, IOVA + COMPLETION);
		fill(f);
		for (unsigned int i = 0; i < 64; i++)
			set_desc(f, i, IOVA + SRC + i * 16384u, IOVA + DST + i * 16384u, 16384,
				 i == 63 ? IOAT_DESC_INT_EN | IOAT_DESC_COMPL_WRITE : 0);
		if (round % 3 == 0)
			go(f->dev, VIA_STATE_RUNNING_P2P);
		start(f, desc_iova(0), 64);
		for (unsigned int k = 0; k < round % 4; k++) {
			usleep((useconds_t)rand() % 400);
			move(f, "xfercap=1M");
			if (k % 2)
				go(f->dev, VIA_STATE_RUNNING_P2P);
			else
				go(f->dev, VIA_STATE_RUNNING);
		}
		go(f->dev, VIA_STATE_RUNNING);
		wait_state(f, IOAT_DONE);
		assert_memory_equal(f->memory + SRC, f->memory + DST, MIB);
		assert_true(completion(f) == (desc_iova(63) | IOAT_DONE));
		assert_int_equal(events(f, 1000), 1);
		assert_int_equal(get(f, CHAN(IOAT_CHANERR), 4), 0);
	}
}

static void test_suspended_and_failed(void **test_state)
{
	struct fixture *f = *test_state;
	uint8_t before[4], again[4];

	put(f, CHAN(IOAT_CHANERRMSK), 4, 0x55);
	set_desc(f, 0, IOVA + SRC, IOVA + DST, 0, 0);
	start(f, desc_iova(0), 1);
	wait_state(f, IOAT_HALTED);
	assert_int_equal(
		via_device_region_read(f->dev, VIA_REGION_CONFIG, IOAT_PCI_CHANERR_INT, before, 4),
		4);
	assert_true(via_get_le32(before));
	move(f, "xfercap=1M");
	go(f->dev, VIA_STATE_RUNNING);
	assert_int_equal(state(f), IOAT_HALTED);
	assert_int_equal(get(f, CHAN(IOAT_CHANERR), 4), IOAT_CHANERR_LENGTH);
	assert_int_equal(get(f, CHAN(IOAT_CHANERRMSK), 4), 0x55);
	assert_int_equal(
		via_device_region_read(f->dev, VIA_REGION_CONFIG, IOAT_PCI_CHANERR_INT, again, 4),
		4);
	assert_memory_equal(before, again, 4);
	clear_errors(f);
	fill(f);
	set_desc(f, 0, IOVA + SRC, IOVA + DST, 64, 0);
	start(f, desc_iova(0), 1);
	wait_state(f, IOAT_DONE);
	command(f, IOAT_CHANCMD_SUSPEND);
	put(f, CHAN(IOAT_DMACOUNT), 2, 1);
	assert_int_equal(state(f), IOAT_SUSPENDED);
	move(f, "xfercap=1M");
	go(f->dev, VIA_STATE_RUNNING);
	assert_int_equal(state(f), IOAT_SUSPENDED);
	command(f, IOAT_CHANCMD_RESUME);
	assert_int_equal(state(f), IOAT_DONE);
}

static int try_load(struct fixture *f, uint32_t version, const uint8_t *buf, size_t len,
		    struct via_error *err)
{
	return via_ioat_migration.load(f->dev, f->dev->model, version, buf, len, err);
}

static void log_quietly(void *cookie, enum via_log_level level, const char *text)
{
}

/* A state that no channel can be in, with checksums as they should be. */
static void test_refuses(void **test_state)
{
	static const struct {
		unsigned int at;
		uint32_t value;
	} rows[] = {{0, 19}, {4, 1u << 9}, {8, 256},	{16, 65536},
		    {20, 4}, {72, 65536},  {76, 65536}, {108, 1}};
	struct fixture *f = *test_state;
	uint8_t state[136] = {20};
	struct via_error err = {0};

	for (size_t i = 0; i <= sizeof(rows) / sizeof(rows[0]); i++) {
		uint8_t bad[136];
		bool good = i == sizeof(rows) / sizeof(rows[0]);

		memcpy(bad, state, sizeof(bad));
		if (!good)
			via_put_le32(bad + rows[i].at, rows[i].value);
		err.text[0] = '\0';
		go(f->dev, VIA_STATE_STOP);
		assert_int_equal(try_load(f, 1, bad, sizeof(bad), &err), good ? 0 : -EINVAL);
		assert_true(good || err.text[0]);
		assert_int_equal(via_device_reset(f->dev), 0);
	}
	assert_int_equal(try_load(f, 2, state, sizeof(state), &err), -EINVAL);
	assert_int_equal(try_load(f, 1, state, 135, &err), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_moves),
		TEST(test_suspended_and_failed),
		TEST(test_refuses),
	};

	via_log_set(log_quietly, NULL, VIA_LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
