/* SPDX-License-Identifier: MIT */
/* Ioeventfds: when a signal becomes a write, and what keeps it from that. */
#include "device/test-sample.h"

static int ioeventfd(struct via_device *dev, unsigned int region, uint64_t offset,
		     unsigned int width, uint64_t data, int fd)
{
	const struct via_ioeventfd_write what = {region, width, offset, data};
	int ret;

	via_device_begin(dev);
	ret = via_device_ioeventfd(dev, &what, fd, own_fd, NULL);
	via_device_end(dev);
	return ret;
}

/* Something that a program may do at any time; earlier signals count before it. */
static void any_call(struct via_device *dev)
{
	via_device_begin(dev);
	via_device_end(dev);
}

static uint32_t writes(const struct sample *s)
{
	return __atomic_load_n(&s->writes, __ATOMIC_SEQ_CST);
}

static unsigned int n_open(void)
{
	unsigned int n = 0;

	for (int fd = 0; fd < 2048; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void test_ioeventfd_write(void **state)
{
	struct sample *s = *state;
	int fd = new_event();

	assert_int_equal(ioeventfd(s->dev, 0, 0x40, 4, 0x1122334455667788, fd), 0);
	signal_event(fd, 1);
	any_call(s->dev);
	assert_int_equal(writes(s), 1);
	assert_int_equal(seen(s->offset), 0x40);
	assert_int_equal(seen(s->size), 4);
	assert_int_equal(seen(s->value), 0x55667788);
	/* Once, whatever the count; and it is consumed. */
	signal_event(fd, 5);
	any_call(s->dev);
	any_call(s->dev);
	assert_int_equal(writes(s), 2);
	assert_int_equal(events(fd), 0);
	/* As a program's own write: in aligned pieces, byte by byte if need be. */
	assert_int_equal(ioeventfd(s->dev, 0, 0x40, 4, 0x1122334455667788, -1), 0);
	assert_int_equal(ioeventfd(s->dev, 0, 0x41, 4, 0x04030201, fd), 0);
	signal_event(fd, 1);
	any_call(s->dev);
	assert_int_equal(writes(s), 5);
	assert_int_equal(seen(s->value), 4);
	assert_int_equal(seen(s->offset), 0x44);
	/* Before a trapped access, too. */
	signal_event(fd, 1);
	assert_int_equal(via_device_mapped_read(s->dev, 0, 0, 4, &(uint64_t){0}), 0);
	assert_int_equal(writes(s), 8);
	/* And soon, if nobody calls. */
	signal_event(fd, 1);
	for (int i = 0; i < 1000 && writes(s) < 11; i++)
		usleep(1000);
	assert_int_equal(writes(s), 11);
	close(fd);
}

/* Several on one eventfd all write; they share our descriptor. */
static void test_ioeventfd_shared(void **state)
{
	struct sample *s = *state;
	int fd = new_event(), other = dup(fd);
	unsigned int before = n_open();

	for (unsigned int i = 0; i < 40; i++)
		assert_int_equal(ioeventfd(s->dev, 0, 0x40, 4, i, i % 2 ? other : fd), 0);
	assert_int_equal(n_open(), before + 1);
	signal_event(fd, 1);
	any_call(s->dev);
	assert_int_equal(writes(s), 40);
	/* The oldest comes last. */
	assert_int_equal(seen(s->value), 0);
	for (unsigned int i = 0; i < 39; i++)
		assert_int_equal(ioeventfd(s->dev, 0, 0x40, 4, i, -1), 0);
	signal_event(fd, 1);
	any_call(s->dev);
	assert_int_equal(writes(s), 41);
	assert_int_equal(seen(s->value), 39);
	assert_int_equal(ioeventfd(s->dev, 0, 0x40, 4, 39, -1), 0);
	assert_int_equal(n_open(), before);
	signal_event(fd, 1);
	any_call(s->dev);
	assert_int_equal(writes(s), 41);
	assert_int_equal(events(fd), 1);
	close(fd);
	close(other);
}

static void test_ioeventfd_gating(void **state)
{
	struct sample *s = *state;
	struct via_device *dev = s->dev;
	uint64_t pm = pm_control(dev);
	int fd = new_event(), port = new_event();

	assert_int_equal(ioeventfd(dev, 0, 0x40, 4, 1, fd), 0);
	assert_int_equal(ioeventfd(dev, 2, 0, 4, 2, port), 0);
	/* Lost, not late. */
	config_put(dev, 4, 0);
	signal_event(fd, 1);
	config_put(dev, 4, 2);
	assert_int_equal(writes(s), 0);
	assert_int_equal(events(fd), 0);
	/* Ports are not gated. */
	config_put(dev, 4, 0);
	signal_event(port, 1);
	config_put(dev, 4, 2);
	assert_int_equal(writes(s), 1);
	/* D3hot; low power, which a signal does not end. */
	config_put(dev, pm, 3);
	signal_event(fd, 1);
	config_put(dev, pm, 0);
	assert_int_equal(writes(s), 1);
	assert_int_equal(via_device_low_power_entry(dev, -1), 0);
	signal_event(fd, 1);
	any_call(dev);
	assert_int_equal(writes(s), 1);
	via_device_low_power_exit(dev);
	signal_event(fd, 1);
	any_call(dev);
	assert_int_equal(writes(s), 2);
	/* Resets leave it alone. */
	assert_int_equal(via_device_reset(dev), 0);
	signal_event(fd, 1);
	any_call(dev);
	assert_int_equal(writes(s), 3);
	close(fd);
	close(port);
}

static void test_ioeventfd_areas(void **state)
{
	struct sample *s = *state;
	int fd = new_event();
	uint32_t value;

	assert_int_equal(ioeventfd(s->dev, 0, BELL, 4, 77, fd), 0);
	assert_int_equal(ioeventfd(s->dev, 0, MEMORY + 6, 2, 0xabcd, fd), 0);
	signal_event(fd, 1);
	any_call(s->dev);
	/* Rung, not only written. */
	assert_int_equal(__atomic_load_n(&s->bell, __ATOMIC_SEQ_CST), 77);
	assert_int_equal(call_read(s->dev, 0, MEMORY + 4, &value, 4), 4);
	assert_int_equal(le32toh(value), 0xabcd0000);
	close(fd);
}

static void test_ioeventfd_refused(void **state)
{
	struct via_device *dev = ((struct sample *)*state)->dev;
	int fd = new_event(), pipes[2];
	unsigned int before = n_open();

	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	assert_int_equal(ioeventfd(dev, 6, 0, 4, 0, fd), -EINVAL);
	assert_int_equal(ioeventfd(dev, 1, 0, 1, 0, fd), -EINVAL);
	assert_int_equal(ioeventfd(dev, 0, 0x4000, 1, 0, fd), -EINVAL);
	assert_int_equal(ioeventfd(dev, 0, 0x3ffd, 4, 0, fd), -EINVAL);
	assert_int_equal(ioeventfd(dev, 0, 0, 8, 0, fd), -EINVAL);
	/* The MSI-X table: touched from both sides. */
	assert_int_equal(ioeventfd(dev, 0, TABLE - 3, 4, 0, fd), -EINVAL);
	assert_int_equal(ioeventfd(dev, 0, TABLE + 63, 1, 0, fd), -EINVAL);
	assert_int_equal(ioeventfd(dev, 0, TABLE - 4, 4, 0, -1), -ENODEV);
	assert_int_equal(ioeventfd(dev, 0, TABLE + 64, 4, 0, -1), -ENODEV);
	assert_int_equal(ioeventfd(dev, 0, 0, 4, 0, 2000), -EBADF);
	assert_int_equal(ioeventfd(dev, 0, 0, 4, 0, pipes[0]), -EINVAL);
	close(pipes[0]);
	close(pipes[1]);
	assert_int_equal(n_open(), before);

	for (unsigned int i = 0; i < 1000; i++)
		assert_int_equal(ioeventfd(dev, 0, 0, 4, i, fd), 0);
	assert_int_equal(ioeventfd(dev, 0, 0, 4, 1000, fd), -ENOSPC);
	assert_int_equal(ioeventfd(dev, 0, 0, 4, 999, fd), -EEXIST);
	assert_int_equal(ioeventfd(dev, 0, 0, 4, 1000, 2000), -ENOSPC);
	assert_int_equal(ioeventfd(dev, 0, 0, 4, 1000, -1), -ENODEV);
	/* Gone with the last close; a signal before that counts. */
	signal_event(fd, 1);
	via_device_close(dev);
	assert_int_equal(writes(*state), 1000);
	signal_event(fd, 1);
	assert_int_equal(via_device_open(dev), 0);
	any_call(dev);
	assert_int_equal(writes(*state), 1000);
	assert_int_equal(events(fd), 1);
	assert_int_equal(n_open(), before);
	close(fd);
}

/* A program's own description: blocking, a semaphore, read by others, closed. */
static void test_ioeventfd_description(void **state)
{
	struct sample *s = *state;
	int blocking = eventfd(0, EFD_CLOEXEC), semaphore = eventfd(0, EFD_SEMAPHORE | EFD_NONBLOCK);
	int counted = eventfd(3, EFD_CLOEXEC);
	uint64_t count;

	assert_int_equal(ioeventfd(s->dev, 0, 0, 4, 1, blocking), 0);
	signal_event(blocking, 1);
	(void)!read(blocking, &count, 0);
	any_call(s->dev);
	assert_int_equal(writes(s), 1);
	assert_int_equal(fcntl(blocking, F_GETFL) & O_NONBLOCK, 0);

	/* One increment is taken at each wake. */
	assert_int_equal(ioeventfd(s->dev, 0, 0, 4, 2, semaphore), 0);
	signal_event(semaphore, 3);
	any_call(s->dev);
	any_call(s->dev);
	usleep(10000);
	assert_int_equal(writes(s), 2);
	assert_int_equal(events(semaphore), 1);
	assert_int_equal(events(semaphore), 1);
	assert_int_equal(events(semaphore), 0);

	/* Signalled before: counts as a wake. */
	assert_int_equal(ioeventfd(s->dev, 0, 0, 4, 3, counted), 0);
	any_call(s->dev);
	assert_int_equal(writes(s), 3);

	/* Closed by the program: ours until it is removed. */
	close(counted);
	assert_int_equal(ioeventfd(s->dev, 0, 0, 4, 3, -1), 0);
	close(blocking);
	close(semaphore);
}

/* Signals, removals, resets and memory switched at the same time; each signal is one write at most. */
struct storm {
	struct sample *s;
	int fd;
	uint64_t signals;
	bool stop; /* atomic */
};

static void *storm_signals(void *arg)
{
	struct storm *s = arg;

	while (!__atomic_load_n(&s->stop, __ATOMIC_RELAXED)) {
		signal_event(s->fd, 1);
		s->signals++;
		any_call(s->s->dev);
	}
	return NULL;
}

static void test_ioeventfd_storm(void **state)
{
	struct storm s[2] = {{.s = *state, .fd = new_event()}, {.s = *state, .fd = new_event()}};
	struct via_device *dev = s[0].s->dev;
	pthread_t threads[2];

	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, storm_signals, &s[i]), 0);
	for (int i = 0; i < 300; i++) {
		assert_int_equal(ioeventfd(dev, 0, 0, 4, 1, s[0].fd), 0);
		assert_int_equal(ioeventfd(dev, 0, 0, 4, 2, s[1].fd), 0);
		usleep(50);
		if (i % 10 == 0) {
			config_put(dev, 4, 0);
			config_put(dev, 4, 2);
			assert_int_equal(via_device_reset(dev), 0);
		}
		assert_int_equal(ioeventfd(dev, 0, 0, 4, 1, -1), 0);
		assert_int_equal(ioeventfd(dev, 0, 0, 4, 2, -1), 0);
	}
	for (int i = 0; i < 2; i++)
		__atomic_store_n(&s[i].stop, true, __ATOMIC_RELAXED);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	/* And one for the count that an eventfd may have had when it was added. */
	assert_true(writes(*state) > 0);
	assert_true(writes(*state) <= s[0].signals + s[1].signals);
	close(s[0].fd);
	close(s[1].fd);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, sample_set_up, sample_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_ioeventfd_write),
		CASE(test_ioeventfd_shared),
		CASE(test_ioeventfd_gating),
		CASE(test_ioeventfd_areas),
		CASE(test_ioeventfd_refused),
		CASE(test_ioeventfd_description),
		CASE(test_ioeventfd_storm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
