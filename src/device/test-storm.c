/* SPDX-License-Identifier: MIT */
/* All at the same time, and a hostile program. */
#include "device/test-device.h"

#include <pthread.h>

/* Accesses, resets, kicks and decoding switched at the same time. */
struct storm {
	struct via_device *dev;
	bool stop;
};

static void *storm_reader(void *arg)
{
	struct storm *s = arg;
	uint8_t b[64];

	while (!__atomic_load_n(&s->stop, __ATOMIC_RELAXED)) {
		via_device_region_read(s->dev, 0, MEMORY, b, sizeof(b));
		via_device_region_write(s->dev, 0, BELL, b, 4);
		via_device_kick(s->dev, 1);
		via_irq_trigger(s->dev, 1);
	}
	return NULL;
}

static void test_storm(void **state)
{
	struct storm s = {.dev = ((struct model *)*state)->dev};
	struct guard guard = {{.arm = guard_arm, .disarm = guard_disarm}};
	pthread_t threads[2];

	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, storm_reader, &s), 0);
	for (int i = 0; i < 60; i++) {
		via_device_guard_add(s.dev, 0, &guard.guard);
		command(s.dev, 0, 2);
		command(s.dev, 6, 0);
		assert_int_equal(via_device_reset(s.dev), 0);
		via_device_guard_remove(s.dev, 0, &guard.guard);
	}
	__atomic_store_n(&s.stop, true, __ATOMIC_RELAXED);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
}

static uint32_t next_random(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

/* A hostile program: any access anywhere, any SET_IRQS. Nothing may crash, hang or overrun. */
static void test_random(void **state)
{
	struct via_device *dev = ((struct model *)*state)->dev;
	int32_t fds[8], trigger = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	uint32_t seed = 1, total = 0;

	for (unsigned int i = 0; i < 8; i++)
		fds[i] = i % 3 ? trigger : -1;
	for (int i = 0; i < 20000; i++) {
		unsigned int region = next_random(&seed) % 11, action = next_random(&seed) % 8;
		uint64_t offset = next_random(&seed) % (region == VIA_REGION_CONFIG ? 4200 : 0x9000);
		size_t len = next_random(&seed) % 48;
		uint64_t value = next_random(&seed);
		uint8_t b[64];
		ssize_t n = 0;

		if (region < 9 && action < 3)
			offset %= 0x140;
		memset(b, (int)next_random(&seed), 48);
		memset(b + 48, 0xc3, 16);
		if (action < 3)
			n = via_device_region_write(dev, region, offset, b, len);
		else if (action < 6)
			n = via_device_region_read(dev, region, offset, b, len);
		else if (action == 6)
			n = via_device_mapped_write(dev, region, offset, 1u << (len % 4), value);
		else
			n = set_irqs(dev, region, (uint32_t)value & 0x3f, (uint32_t)len % 6,
				     (uint32_t)len % 9, fds) == 0;
		assert_true(n <= 48);
		for (unsigned int k = 48; k < 64; k++)
			assert_int_equal(b[k], 0xc3);
		total += n > 0;
		via_irq_set_level(dev, value & 1);
		via_irq_trigger(dev, value & 7);
		if (i % 50 == 0) {
			config_put(dev, capability(dev, 1) + 4, 0);
			command(dev, 6, 0);
		}
	}
	assert_true(total > 2000);
	close(trigger);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_DEVICE(test_storm),
		WITH_DEVICE(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
