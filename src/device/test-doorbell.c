/* SPDX-License-Identifier: MIT */
/* Doorbells and who looks at them. */
#include "device/test-device.h"

#include <sched.h>
#include <sys/resource.h>
#include <time.h>

static uint64_t cpu_us(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 +
	       (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static void test_doorbell(void **state)
{
	struct model *m = *state;
	struct via_device *dev = m->dev;
	via_le32 *bell = via_device_region_memory(dev, 0, BELL);
	uint32_t arms;
	struct guard guard = {{.arm = guard_arm, .disarm = guard_disarm}};
	struct via_device_stats stats;
	uint64_t cpu;
	uint8_t b[4] = {7};

	/* By pwrite: seen when the call returns. */
	assert_int_equal(via_device_region_write(dev, 0, BELL, b, 4), 4);
	assert_int_equal(m->bell, 7);
	via_device_get_stats(dev, &stats);
	assert_int_equal(stats.doorbells, 1);

	/* By a mapping: first write reported by the guard. */
	via_device_guard_add(dev, 0, &guard.guard);
	assert_true(becomes(&guard.armed, 1));
	cpu = cpu_us();
	usleep(100000);
	assert_true(cpu_us() - cpu < 10000);
	arms = __atomic_load_n(&guard.arms, __ATOMIC_SEQ_CST);
	__atomic_store_n(bell, via_cpu_to_le32(8), __ATOMIC_RELEASE);
	via_device_doorbell_ring(dev, 0);
	assert_true(becomes(&m->bell, 8));
	/* While it is polled writes go unreported, which is cheaper for the writer. */
	assert_int_equal(__atomic_load_n(&guard.disarms, __ATOMIC_SEQ_CST), 1);
	/* And armed again after a while. */
	for (int i = 0; i < 1000 && __atomic_load_n(&guard.arms, __ATOMIC_SEQ_CST) == arms; i++)
		usleep(1000);
	assert_true(becomes(&guard.armed, 1));

	/* Revocation takes write protection with it. */
	arms = __atomic_load_n(&guard.arms, __ATOMIC_SEQ_CST);
	command(dev, 0, 2);
	command(dev, 2, 0);
	for (int i = 0; i < 1000 && __atomic_load_n(&guard.arms, __ATOMIC_SEQ_CST) == arms; i++)
		usleep(1000);
	assert_true(__atomic_load_n(&guard.arms, __ATOMIC_SEQ_CST) > arms);

	via_device_guard_remove(dev, 0, &guard.guard);
	arms = __atomic_load_n(&guard.arms, __ATOMIC_SEQ_CST);
	via_device_doorbell_ring(dev, 0);
	usleep(20000);
	assert_int_equal(__atomic_load_n(&guard.arms, __ATOMIC_SEQ_CST), arms);
}

static uint64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* Doorbells a little apart are worth waiting for: no guard is armed between them. */
static void test_doorbell_window(void **state)
{
	struct model *m = *state;
	struct via_device *dev = m->dev;
	via_le32 *bell = via_device_region_memory(dev, 0, BELL);
	uint32_t rounds = 200, in_time = 0, armed = 0;
	struct guard guard = {{.arm = guard_arm, .disarm = guard_disarm}};

	via_device_guard_add(dev, 0, &guard.guard);
	for (uint32_t i = 1; i <= rounds; i++) {
		uint64_t start = now_us();

		__atomic_store_n(bell, via_cpu_to_le32(i), __ATOMIC_SEQ_CST);
		if (__atomic_load_n(&guard.armed, __ATOMIC_SEQ_CST))
			via_device_doorbell_ring(dev, 0);
		while (now_us() - start < 200)
			(void)sched_yield();
		assert_true(becomes(&m->bell, i));
		if (now_us() - start < 300) {
			in_time++;
			armed += __atomic_load_n(&guard.armed, __ATOMIC_SEQ_CST);
		}
	}
	via_device_guard_remove(dev, 0, &guard.guard);
	/* Where others keep us from running, the doorbells were not a little apart. */
	if (in_time > rounds / 4 * 3)
		assert_true(armed < in_time / 4);
	else
		print_message("only %u of %u doorbells came in time\n", in_time, rounds);
}

/* A mapping that cannot report its writes is polled. */
static void test_doorbell_silent(void **state)
{
	struct model *m = *state;
	struct via_device *dev = m->dev;
	via_le32 *bell = via_device_region_memory(dev, 0, BELL);
	struct guard guard = {{.arm = guard_arm, .disarm = guard_disarm}, .arm_result = -ENOTSUP};

	via_device_guard_add(dev, 0, &guard.guard);
	usleep(20000);
	__atomic_store_n(bell, via_cpu_to_le32(9), __ATOMIC_RELEASE);
	assert_true(becomes(&m->bell, 9));
	via_device_guard_remove(dev, 0, &guard.guard);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_DEVICE(test_doorbell),
		WITH_DEVICE(test_doorbell_window),
		WITH_DEVICE(test_doorbell_silent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
