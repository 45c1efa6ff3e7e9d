/* SPDX-License-Identifier: MIT */
#include "pci/signal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* By the context, with no way out. */
static bool signal_works(struct via_signaller *signaller, int fd)
{
	struct iocb nothing = {
		.aio_lio_opcode = IOCB_CMD_PREAD,
		.aio_fildes = (uint32_t)signaller->source,
	};
	struct iocb *list[] = {&nothing};
	struct io_event event;
	uint64_t n = 0;

	via_signaller_signal(signaller, fd);
	return read(fd, &n, sizeof(n)) == sizeof(n) && n == 1 &&
	       syscall(SYS_io_submit, signaller->context, 1, list) == 1 &&
	       syscall(SYS_io_getevents, signaller->context, 1, 1, &event, NULL) == 1;
}

/* Both ways: with asynchronous I/O, and without. */
static void start(struct via_signaller *signaller, int way)
{
	via_signaller_init(signaller);
	if (way)
		via_signaller_deinit(signaller);
}

static uint64_t take(int fd)
{
	uint64_t n = 0;
	struct pollfd pollfd = { .fd = fd, .events = POLLIN };

	if (poll(&pollfd, 1, 0) == 1)
		(void)!read(fd, &n, sizeof(n));
	return n;
}

static void test_counts(void **state)
{
	for (int way = 0; way < 2; way++) {
		int fd = eventfd(0, 0);
		struct via_signaller signaller;

		start(&signaller, way);
		/* More than any completion ring holds. */
		for (int i = 0; i < 3000; i++)
			via_signaller_signal(&signaller, fd);
		assert_int_equal(take(fd), 3000);
		via_signaller_deinit(&signaller);
		close(fd);
	}
}

static void test_full_counter(void **state)
{
	for (int way = 0; way < 2; way++) {
		int fd = eventfd(0, 0), flags = fcntl(fd, F_GETFL);
		uint64_t max = UINT64_MAX - 1;
		struct via_signaller signaller;

		start(&signaller, way);
		assert_int_equal(write(fd, &max, sizeof(max)), sizeof(max));
		alarm(5);
		for (int i = 0; i < 3; i++)
			via_signaller_signal(&signaller, fd);
		alarm(0);
		assert_true(take(fd) >= max);
		via_signaller_signal(&signaller, fd);
		assert_int_equal(take(fd), 1);
		assert_int_equal(fcntl(fd, F_GETFL), flags);
		via_signaller_deinit(&signaller);
		close(fd);
	}
}

static atomic_bool stop_thread;

/* A program that fills the counter whenever there is room, and at times empties it. */
static void *fill(void *cookie)
{
	int fd = *(int *)cookie;
	uint64_t n, max = UINT64_MAX - 1;

	while (!atomic_load(&stop_thread)) {
		(void)!read(fd, &n, sizeof(n));
		(void)!write(fd, &max, sizeof(max));
	}
	return NULL;
}

static void test_hostile_filler(void **state)
{
	int fd = eventfd(0, 0);
	struct via_signaller signaller;
	pthread_t thread;

	via_signaller_init(&signaller);
	if (!signaller.context) {
		close(fd);
		print_message("# no asynchronous I/O here\n");
		skip();
	}
	assert_int_equal(pthread_create(&thread, NULL, fill, &fd), 0);
	alarm(10);
	for (int i = 0; i < 100000; i++)
		via_signaller_signal(&signaller, fd);
	atomic_store(&stop_thread, true);
	/* The filler may be waiting itself, for something to read or for room. */
	while (pthread_tryjoin_np(thread, NULL)) {
		via_signaller_signal(&signaller, fd);
		(void)take(fd);
	}
	alarm(0);
	via_signaller_deinit(&signaller);
	close(fd);
}

static void test_forked_child(void **state)
{
	int fd = eventfd(0, 0), status;
	struct via_signaller signaller;
	pid_t pid;

	via_signaller_init(&signaller);
	pid = fork();
	if (!pid) {
		via_signaller_signal(&signaller, fd);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(take(fd), 1);
	via_signaller_deinit(&signaller);
	close(fd);
}

/* A context outlives its signaller and serves the next, but none in a forked child. */
static void test_contexts_are_kept(void **state)
{
	int fd = eventfd(0, 0), status;
	struct via_signaller signaller, second;
	aio_context_t first;
	pid_t pid;

	via_signaller_init(&signaller);
	first = signaller.context;
	if (!first) {
		close(fd);
		skip();
	}
	via_signaller_init(&second);
	assert_true(second.context != first);
	via_signaller_deinit(&signaller);
	pid = fork();
	if (!pid) {
		via_signaller_init(&signaller);
		/* The parent's is refused: only one of its own can be used. */
		status = !signaller.context ||
			 !signal_works(&signaller, fd);
		via_signaller_deinit(&signaller);
		via_signaller_deinit(&second);
		_exit(status);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	via_signaller_init(&signaller);
	assert_true(signaller.context == first);
	assert_true(signal_works(&signaller, fd) && signal_works(&second, fd));
	via_signaller_deinit(&signaller);
	via_signaller_deinit(&second);
	close(fd);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_counts),
		cmocka_unit_test(test_full_counter),
		cmocka_unit_test(test_hostile_filler),
		cmocka_unit_test(test_forked_child),
		cmocka_unit_test(test_contexts_are_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
