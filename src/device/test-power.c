/* SPDX-License-Identifier: MIT */
/* Low power: what it takes from mappings, DMA and interrupts, and what ends it. */
#include "device/test-sample.h"

#include <sched.h>

static int entry(struct via_device *dev, int wake)
{
	int ret;

	via_device_begin(dev);
	ret = via_device_low_power_entry(dev, wake);
	via_device_end(dev);
	return ret;
}

static void leave(struct via_device *dev)
{
	via_device_begin(dev);
	via_device_low_power_exit(dev);
	via_device_end(dev);
}

static void test_low_power_mappings(void **state)
{
	struct via_device *dev = ((struct sample *)*state)->dev;
	char *memory = via_device_region_memory(dev, 0, MEMORY), c = 'b';
	struct via_region_map map;

	assert_int_equal(via_device_region_map(dev, 0, &map), 0);
	*memory = 'a';
	assert_true(is_mapped(dev));
	assert_int_equal(entry(dev, -1), 0);
	assert_false(is_mapped(dev));
	assert_int_equal(entry(dev, -1), -EINVAL);

	/* A call works, and changes nothing for mappings. */
	assert_int_equal(call_read(dev, 0, MEMORY, &c, 1), 1);
	assert_int_equal(c, 'a');
	c = 'b';
	assert_int_equal(call_write(dev, 0, MEMORY, &c, 1), 1);
	assert_false(is_mapped(dev));
	/* Nor do memory off and on again, and a reset. */
	config_put(dev, 4, 0);
	assert_false(is_mapped(dev));
	config_put(dev, 4, 2);
	assert_false(is_mapped(dev));
	via_device_begin(dev);
	assert_int_equal(via_device_reset(dev), 0);
	via_device_end(dev);
	assert_false(is_mapped(dev));

	leave(dev);
	assert_true(is_mapped(dev));
	assert_int_equal(pread(map.fd, &c, 1, MEMORY), 1);
	assert_int_equal(c, 'b');
	leave(dev);
	assert_true(is_mapped(dev));
	/* Ended while memory is off: it is still off. */
	assert_int_equal(entry(dev, -1), 0);
	config_put(dev, 4, 0);
	leave(dev);
	assert_false(is_mapped(dev));
	config_put(dev, 4, 2);
	assert_true(is_mapped(dev));
}

static void test_low_power_wakeup(void **state)
{
	struct via_device *dev = ((struct sample *)*state)->dev;
	int wake = new_event(), fds[2];
	uint32_t value;

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(entry(dev, fds[0]), -EINVAL);
	assert_true(is_mapped(dev));

	/* Once, by the first call, which ends it. */
	assert_int_equal(entry(dev, dup(wake)), 0);
	assert_int_equal(events(wake), 0);
	assert_false(is_mapped(dev));
	assert_int_equal(call_read(dev, 0, 0, &value, 4), 4);
	assert_int_equal(events(wake), 1);
	assert_true(is_mapped(dev));
	assert_int_equal(call_read(dev, 0, 0, &value, 4), 4);
	leave(dev);
	assert_int_equal(events(wake), 0);

	/* By leaving, too, and by entering again, which then works. */
	assert_int_equal(entry(dev, dup(wake)), 0);
	assert_int_equal(entry(dev, dup(wake)), 0);
	assert_int_equal(events(wake), 1);
	assert_false(is_mapped(dev));
	leave(dev);
	assert_int_equal(events(wake), 1);
	assert_true(is_mapped(dev));

	/* Not by the last close. */
	assert_int_equal(entry(dev, dup(wake)), 0);
	via_device_close(dev);
	assert_int_equal(via_device_open(dev), 0);
	assert_int_equal(events(wake), 0);
	assert_true(is_mapped(dev));
	assert_int_equal(entry(dev, dup(wake)), 0);
	leave(dev);
	/* Nothing of ours is left on it. */
	assert_int_equal(events(wake), 1);
	close(fds[0]);
	close(fds[1]);
	close(wake);
}

/* Two calls at a time: it sleeps when both have ended. */
static void test_low_power_nested(void **state)
{
	struct via_device *dev = ((struct sample *)*state)->dev;
	int wake = new_event();

	via_device_begin(dev);
	assert_int_equal(entry(dev, dup(wake)), 0);
	assert_false(is_mapped(dev));
	assert_int_equal(call_read(dev, 0, 0, (uint32_t[1]){0}, 4), 4);
	assert_int_equal(events(wake), 0);
	via_device_end(dev);
	via_device_begin(dev);
	assert_int_equal(events(wake), 1);
	via_device_end(dev);
	close(wake);
}

static void test_low_power_state(void **state)
{
	struct sample *s = *state;
	struct via_device *dev = s->dev;
	struct via_dma *dma = via_device_dma(dev);
	uint64_t pm = pm_control(dev);
	char b;

	/* -EFAULT: asked, and nothing there; -EPERM: not allowed to ask. */
	config_put(dev, 4, 6);
	assert_int_equal(via_dma_read(dma, 0, &b, 1), -EFAULT);
	assert_int_equal(entry(dev, -1), 0);
	assert_int_equal(via_dma_read(dma, 0, &b, 1), -EPERM);
	via_device_begin(dev);
	assert_int_equal(via_dma_read(dma, 0, &b, 1), -EFAULT);
	assert_int_equal(config_get(dev, pm) & 3, 0);
	via_device_end(dev);
	assert_int_equal(via_dma_read(dma, 0, &b, 1), -EPERM);
	leave(dev);
	assert_int_equal(via_dma_read(dma, 0, &b, 1), -EFAULT);

	/* A program may have put it in D3hot before: it wakes in D0. */
	config_put(dev, pm, 3);
	assert_false(is_mapped(dev));
	assert_int_equal(entry(dev, -1), 0);
	assert_int_equal(config_get(dev, pm) & 3, 0);
	assert_int_equal(call_read(dev, 0, 0, &b, 1), 1);
	assert_false(is_mapped(dev));
	leave(dev);
	assert_true(is_mapped(dev));
	/* Its state survives D3hot, so nothing of this was a reset. */
	assert_false(s->kinds & 1u << VIA_RESET_PM);
}

static void test_low_power_held_intx(void **state)
{
	static const struct via_device_desc without = SAMPLE_DESC(false);
	struct sample *s = sample_new(&without);
	struct via_device *dev = s->dev;
	int irq = new_event();

	assert_int_equal(set_irq(dev, VIA_IRQ_INTX, TRIGGER_FD, irq), 0);
	assert_int_equal(entry(dev, -1), 0);
	via_irq_set_level(dev, true);
	usleep(20000);
	assert_int_equal(events(irq), 0);
	/* The next call lets it through. */
	(void)config_get(dev, 0);
	assert_int_equal(events(irq), 1);
	leave(dev);
	assert_int_equal(events(irq), 0);
	assert_int_equal(set_irq(dev, VIA_IRQ_INTX, UNMASK, 0), 0);
	assert_int_equal(events(irq), 1);

	/* What the program has masked stays masked. */
	via_irq_set_level(dev, false);
	assert_int_equal(set_irq(dev, VIA_IRQ_INTX, UNMASK, 0), 0);
	assert_int_equal(set_irq(dev, VIA_IRQ_INTX, MASK, 0), 0);
	assert_int_equal(entry(dev, -1), 0);
	via_irq_set_level(dev, true);
	leave(dev);
	assert_int_equal(events(irq), 0);
	assert_int_equal(set_irq(dev, VIA_IRQ_INTX, UNMASK, 0), 0);
	assert_int_equal(events(irq), 1);

	/* It stays in D0: DMA goes on. */
	config_put(dev, 4, 6);
	assert_int_equal(entry(dev, -1), 0);
	assert_int_equal(via_dma_read(via_device_dma(dev), 0, (char[1]){0}, 1), -EFAULT);
	close(irq);
	via_device_close(dev);
	via_device_free(dev);
}

/* A function in D3hot that has an interrupt wakes the host. */
static void test_low_power_event(void **state)
{
	struct via_device *dev = ((struct sample *)*state)->dev;
	int irq = new_event(), wake = new_event();

	config_put(dev, 4, 6);
	assert_int_equal(set_irq(dev, VIA_IRQ_MSIX, TRIGGER_FD, irq), 0);
	assert_int_equal(entry(dev, dup(wake)), 0);
	via_irq_trigger(dev, 0);
	assert_int_equal(events(irq), 1);
	assert_int_equal(events_soon(wake), 1);
	for (int i = 0; i < 1000 && !is_mapped(dev); i++)
		usleep(1000);
	assert_true(is_mapped(dev));
	/* Over: the next one is an interrupt and no more. */
	via_irq_trigger(dev, 0);
	assert_int_equal(events(irq), 1);
	usleep(20000);
	assert_int_equal(events(wake), 0);
	assert_int_equal(set_irq(dev, VIA_IRQ_MSIX, TRIGGER_FD, -1), 0);
	via_device_close(dev);
	assert_int_equal(via_device_open(dev), 0);

	/* INTx is held back until it is awake; without an eventfd it sleeps again. */
	assert_int_equal(set_irq(dev, VIA_IRQ_INTX, TRIGGER_FD, irq), 0);
	assert_int_equal(entry(dev, -1), 0);
	via_irq_set_level(dev, true);
	assert_int_equal(events_soon(irq), 1);
	for (int i = 0; i < 1000 && via_dma_read(via_device_dma(dev), 0, (char[1]){0}, 1) != -EPERM;
	     i++)
		usleep(1000);
	assert_false(is_mapped(dev));
	assert_int_equal(events(wake), 0);
	leave(dev);
	close(irq);
	close(wake);
}

/* Entry, exit, calls, mapped accesses and interrupts at the same time. */
struct storm {
	struct via_device *dev;
	bool stop; /* atomic */
};

static void *storm_calls(void *arg)
{
	struct storm *s = arg;
	uint32_t value;

	while (!__atomic_load_n(&s->stop, __ATOMIC_RELAXED)) {
		/* Never -EIO: a call has the function awake. */
		if (call_read(s->dev, 0, 0, &value, 4) != 4)
			return s;
		if (via_device_mapped_read(s->dev, 0, 0, 4, &(uint64_t){0}) == -EINVAL)
			return s;
		sched_yield();
	}
	return NULL;
}

static void *storm_interrupts(void *arg)
{
	struct storm *s = arg;

	while (!__atomic_load_n(&s->stop, __ATOMIC_RELAXED)) {
		via_irq_trigger(s->dev, 0);
		via_irq_set_level(s->dev, true);
		via_irq_set_level(s->dev, false);
		sched_yield();
	}
	return NULL;
}

static void test_low_power_storm(void **state)
{
	struct storm s = {.dev = ((struct sample *)*state)->dev};
	int wake = new_event(), irq = new_event();
	uint64_t entered = 0, woken = 0;
	pthread_t threads[3];
	void *failed[3];

	assert_int_equal(set_irq(s.dev, VIA_IRQ_INTX, TRIGGER_FD, irq), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL,
						i < 2 ? storm_calls : storm_interrupts, &s), 0);
	for (int i = 0; i < 500; i++) {
		int fd = i % 3 ? dup(wake) : -1;
		int ret = entry(s.dev, fd);

		if (ret && fd >= 0)
			close(fd);
		entered += !ret && fd >= 0;
		if (i % 5 == 0)
			leave(s.dev);
		if (i % 50 == 0) {
			via_device_begin(s.dev);
			assert_int_equal(via_device_reset(s.dev), 0);
			via_device_end(s.dev);
		}
		woken += events(wake);
	}
	leave(s.dev);
	__atomic_store_n(&s.stop, true, __ATOMIC_RELAXED);
	for (int i = 0; i < 3; i++) {
		pthread_join(threads[i], &failed[i]);
		assert_null(failed[i]);
	}
	woken += events(wake);
	/* Signalled once each at most: an exit before it slept is none. */
	assert_true(entered && woken && woken <= entered);
	assert_true(is_mapped(s.dev));
	close(wake);
	close(irq);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, sample_set_up, sample_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_low_power_mappings),
		CASE(test_low_power_wakeup),
		CASE(test_low_power_nested),
		CASE(test_low_power_state),
		cmocka_unit_test(test_low_power_held_intx),
		CASE(test_low_power_event),
		CASE(test_low_power_storm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
