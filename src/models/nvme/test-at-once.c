/* SPDX-License-Identifier: MIT */
/*
 * Writes that are made at once, on the thread that submits them, and when they
 * are the engine's instead. Time is the test's: a write takes as long as it says.
 */
#include <time.h>

static int test_clock(clockid_t id, struct timespec *ret_time);
#define clock_gettime test_clock
#include "models/nvme/backend.c"
#undef clock_gettime

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define BLOCK 4096u
#define MS 1000000u

static uint64_t now = 1000u * MS, takes;

/* Looked at before and after a write. */
static int test_clock(clockid_t id, struct timespec *ret_time)
{
	ret_time->tv_sec = (time_t)(now / 1000000000u);
	ret_time->tv_nsec = (long)(now % 1000000000u);
	now += takes;
	return 0;
}

/* Counts what the engine gets. */
struct fixture {
	struct via_nvme_backend *backend;
	struct via_nvme_engine_ops ops, counting;
	unsigned int submitted;
	uint8_t buffer[1 << 20];
};

static struct fixture *fixture;

static void count(void *engine, struct via_nvme_io *io)
{
	fixture->submitted++;
	fixture->ops.submit(engine, io);
}

static int open_backend(bool direct, enum via_nvme_engine_kind kind)
{
	char path[] = "/tmp/viaduct-at-once.XXXXXX";
	struct via_nvme_backend_config config = {
		.image = path, .block_size = BLOCK, .direct = direct, .engine = kind, .depth = 4};
	struct via_error err = {0};
	int fd = mkstemp(path), r;

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 4 << 20), 0);
	close(fd);
	fixture = calloc(1, sizeof(*fixture));
	assert_non_null(fixture);
	r = via_nvme_backend_open(&config, &err, &fixture->backend);
	unlink(path);
	if (r) {
		free(fixture);
		return r;
	}
	fixture->ops = fixture->counting = *fixture->backend->engine.ops;
	fixture->counting.submit = count;
	fixture->backend->engine.ops = &fixture->counting;
	memset(fixture->buffer, 0x5a, sizeof(fixture->buffer));
	takes = 0;
	return 0;
}

static void close_backend(void)
{
	via_nvme_backend_close(fixture->backend);
	free(fixture);
}

/* Does the engine get it? Waits for its end, which must be a good one. */
static bool to_engine(enum via_nvme_io_op op, uint64_t len, bool fua)
{
	struct iovec iov = {fixture->buffer, len};
	struct via_nvme_io io = {
		.op = op, .fua = fua, .offset = 4 * BLOCK, .len = len, .iov = &iov, .n_iov = 1};
	unsigned int before = fixture->submitted;

	via_nvme_backend_submit(fixture->backend, &io);
	via_nvme_backend_kick(fixture->backend);
	assert_ptr_equal(via_nvme_backend_wait(fixture->backend), &io);
	assert_int_equal(io.result, 0);
	return fixture->submitted != before;
}

static bool open_uring(void)
{
	int r = open_backend(false, NVME_ENGINE_URING);

	if (r)
		print_message("io_uring is not available: %s\n", strerror(-r));
	return !r;
}

static void test_slow_write_pauses(void **state)
{
	uint8_t back[BLOCK];

	if (!open_uring())
		skip();
	/* As long as none is slow. */
	takes = QUICK_NS;
	for (unsigned int i = 0; i < 10; i++)
		assert_false(to_engine(NVME_IO_WRITE, BLOCK, false));
	assert_int_equal(pread(fixture->backend->fd, back, BLOCK, 4 * BLOCK), BLOCK);
	assert_memory_equal(back, fixture->buffer, BLOCK);
	/* The one that is has been made; those that follow are the engine's, for a while. */
	takes = QUICK_NS + 1;
	assert_false(to_engine(NVME_IO_WRITE, BLOCK, false));
	takes = 0;
	memset(fixture->buffer, 0xa5, BLOCK);
	for (unsigned int i = 0; i < 10; i++) {
		assert_true(to_engine(NVME_IO_WRITE, BLOCK, false));
		now += PAUSE_NS / 11;
	}
	assert_int_equal(pread(fixture->backend->fd, back, BLOCK, 4 * BLOCK), BLOCK);
	assert_memory_equal(back, fixture->buffer, BLOCK);
	now += PAUSE_NS / 11 + 11;
	assert_false(to_engine(NVME_IO_WRITE, BLOCK, false));
	/* The pause counts from the end of the write, however long that took. */
	takes = 10 * (uint64_t)PAUSE_NS;
	assert_false(to_engine(NVME_IO_WRITE, BLOCK, false));
	/* The look at the clock after the write has moved it on again. */
	now -= takes;
	takes = 0;
	now += PAUSE_NS - 1;
	assert_true(to_engine(NVME_IO_WRITE, BLOCK, false));
	now += 1;
	assert_false(to_engine(NVME_IO_WRITE, BLOCK, false));
	close_backend();
}

/* A long write may take longer. */
static void test_quick_by_size(void **state)
{
	if (!open_uring())
		skip();
	takes = 17 * (uint64_t)QUICK_NS;
	assert_false(to_engine(NVME_IO_WRITE, 1 << 20, false));
	assert_false(to_engine(NVME_IO_WRITE, 1 << 20, false));
	takes++;
	assert_false(to_engine(NVME_IO_WRITE, 1 << 20, false));
	takes = 0;
	assert_true(to_engine(NVME_IO_WRITE, 1 << 20, false));
	close_backend();
}

/* Reads, flushes, zeros and writes that must be stable wait for the disk: never here. */
static void test_others_are_the_engines(void **state)
{
	if (!open_uring())
		skip();
	assert_false(to_engine(NVME_IO_WRITE, BLOCK, false));
	assert_true(to_engine(NVME_IO_WRITE, BLOCK, true));
	assert_true(to_engine(NVME_IO_READ, BLOCK, false));
	assert_true(to_engine(NVME_IO_FLUSH, 0, false));
	assert_true(to_engine(NVME_IO_ZERO, BLOCK, false));
	close_backend();
	/* Nor with an engine that has threads of its own. */
	assert_int_equal(open_backend(false, NVME_ENGINE_THREADS), 0);
	assert_true(to_engine(NVME_IO_WRITE, BLOCK, false));
	close_backend();
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_slow_write_pauses),
		cmocka_unit_test(test_quick_by_size),
		cmocka_unit_test(test_others_are_the_engines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
