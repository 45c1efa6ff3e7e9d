/* SPDX-License-Identifier: MIT */
/*
 * A model that waits, with the device's lock, for memory whose address is suspended,
 * while a program polls its registers: reset and close end that at once.
 */
#include "device/test-sample.h"
#include "iommu/ioas.h"
#include "iommu/suspend.h"

#include <sys/mman.h>
#include <time.h>

#define IOVA 0x100000u
#define PAGE 0x1000u
#define LONG 60000u

static int result = 1; /* atomic: of the model's DMA; 1: it has not ended */
static bool stop;      /* atomic */

static void parked_write(struct via_device *dev, void *model, unsigned int bar, uint64_t offset,
			 unsigned int size, uint64_t value)
{
	via_device_kick(dev, 1);
}

static void parked_work(struct via_device *dev, void *model, uint64_t events)
{
	uint32_t word;

	__atomic_store_n(&result, via_dma_read(via_device_dma(dev), IOVA, &word, 4), __ATOMIC_RELEASE);
}

static const struct via_device_ops parked_ops = {
	.read = sample_read,
	.write = parked_write,
	.work = parked_work,
	.doorbell = sample_doorbell,
	.reset = sample_reset,
	.free = free,
};

static void *poll_registers(void *arg)
{
	struct sample *s = arg;
	uint32_t word;

	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED))
		(void)call_read(s->dev, 0, 0, &word, 4);
	return NULL;
}

static void nap(void)
{
	const struct timespec ts = {0, 50000000};

	(void)nanosleep(&ts, NULL);
}

/* A device whose thread waits, and a program that waits for the device. */
static void park(struct sample **ret_sample, struct via_ioas **ret_ioas, void *memory)
{
	struct sample *s = calloc(1, sizeof(*s));
	const uint8_t command[] = {6, 0};
	const uint32_t word = 1;
	struct via_error err = {0};
	struct via_space *space;
	struct via_ioas *ioas;
	struct via_mm *mm = via_mm_self();
	uint64_t size;

	assert_non_null(s);
	assert_int_equal(via_device_new(&sample_desc, &parked_ops, s, &err, &s->dev), 0);
	assert_int_equal(via_device_open(s->dev), 0);
	assert_int_equal(call_write(s->dev, VIA_REGION_CONFIG, 4, command, 2), 2);
	assert_int_equal(via_ioas_new(via_iommu_props_intel(), &ioas), 0);
	via_ioas_set_vaddr_wait(ioas, LONG);
	assert_int_equal(via_space_new_mm(mm, &space), 0);
	assert_int_equal(via_ioas_map(ioas, IOVA, space, (uintptr_t)memory, PAGE, VIA_PROT_READ), 0);
	assert_int_equal(via_ioas_suspend(ioas, IOVA, IOVA + PAGE - 1, &size), 0);
	assert_int_equal(via_device_attach(s->dev, ioas), 0);
	__atomic_store_n(&result, 1, __ATOMIC_RELAXED);
	assert_int_equal(call_write(s->dev, 0, 0, &word, 4), 4);
	nap();
	assert_int_equal(__atomic_load_n(&result, __ATOMIC_ACQUIRE), 1);
	via_space_put(space);
	via_mm_put(mm);
	*ret_sample = s;
	*ret_ioas = ioas;
}

static void ended_by(void (*end)(struct sample *s))
{
	void *memory = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct timespec before, after;
	struct via_ioas *ioas;
	struct sample *s;
	pthread_t thread;

	assert_ptr_not_equal(memory, MAP_FAILED);
	park(&s, &ioas, memory);
	__atomic_store_n(&stop, false, __ATOMIC_RELAXED);
	assert_int_equal(pthread_create(&thread, NULL, poll_registers, s), 0);
	nap();
	(void)clock_gettime(CLOCK_MONOTONIC, &before);
	end(s);
	(void)clock_gettime(CLOCK_MONOTONIC, &after);
	assert_true(after.tv_sec - before.tv_sec < LONG / 2000);
	nap();
	assert_true(__atomic_load_n(&result, __ATOMIC_ACQUIRE) < 0);
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	via_device_close(s->dev);
	assert_int_equal(via_device_attach(s->dev, NULL), 0);
	via_device_free(s->dev);
	via_ioas_put(ioas);
	(void)munmap(memory, PAGE);
}

static void reset(struct sample *s)
{
	const uint32_t word = 1;

	assert_int_equal(via_device_reset(s->dev), 0);
	/* Bus mastering is as it was: the next access waits again. */
	nap();
	assert_true(__atomic_exchange_n(&result, 1, __ATOMIC_ACQ_REL) < 0);
	assert_int_equal(call_write(s->dev, 0, 0, &word, 4), 4);
	nap();
	assert_int_equal(__atomic_load_n(&result, __ATOMIC_ACQUIRE), 1);
	via_devices_bus_reset(&s->dev, 1);
}

static void close_device(struct sample *s)
{
	via_device_close(s->dev);
	assert_int_equal(via_device_open(s->dev), 0);
}

static void test_gap_5_reset_ends_the_wait(void **state)
{
	ended_by(reset);
}

static void test_gap_5_close_ends_the_wait(void **state)
{
	ended_by(close_device);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gap_5_reset_ends_the_wait),
		cmocka_unit_test(test_gap_5_close_ends_the_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
