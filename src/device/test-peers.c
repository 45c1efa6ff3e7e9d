/* SPDX-License-Identifier: MIT */
/* Accesses of other devices' DMA to registers: order, bounds, and the end. */
#include "device/export.h"
#include "device/test-sample.h"

#include <time.h>

static void ignore(struct via_region_importer *importer)
{
}

struct importer {
	struct via_region_importer base;
	struct via_region_export *export;
};

static void attach(struct importer *i, struct via_device *dev)
{
	const struct via_region_range range = {0, 0x4000};

	*i = (struct importer){
		.base = {.revoke = ignore, .restore = ignore, .registers = true}};
	assert_int_equal(via_region_export_new(dev, 0, &range, 1, &i->export), 0);
	assert_int_equal(via_region_export_attach(i->export, &i->base), 0);
}

static void detach(struct importer *i)
{
	via_region_export_detach(i->export, &i->base);
	via_region_export_free(i->export);
}

static int put(struct importer *i, uint64_t offset, uint64_t value, size_t len)
{
	value = htole64(value);
	return via_region_export_access(i->export, 0, offset, &value, len, true);
}

static int get(struct importer *i, uint64_t offset, void *buf, size_t len)
{
	return via_region_export_access(i->export, 0, offset, buf, len, false);
}

static void test_peers_order(void **state)
{
	struct sample *s = *state;
	uint8_t bytes[5000];
	struct importer i;
	uint64_t len;

	attach(&i, s->dev);
	for (uint32_t n = 1; n <= 1000; n++)
		assert_int_equal(put(&i, 4 * (n % 8), n, 4), 0);
	/* A read follows the writes before it. */
	assert_int_equal(get(&i, 0, bytes, 4), 0);
	assert_int_equal(bytes[0], 0x5a);
	assert_int_equal(seen(s->writes), 1000);
	assert_int_equal(seen(s->value), 1000);
	/* So does what the program does. */
	assert_int_equal(put(&i, 0x10, 7, 4), 0);
	assert_int_equal(call_read(s->dev, 0, 0, bytes, 4), 4);
	assert_int_equal(seen(s->value), 7);
	/* As wide as it may be. */
	assert_int_equal(put(&i, 0x14, 0x1122334455667788, 8), 0);
	assert_int_equal(get(&i, 0, bytes, 1), 0);
	assert_int_equal(seen(s->size), 4);
	assert_int_equal(seen(s->value), 0x11223344);
	assert_int_equal(seen(s->writes), 1003);
	/* The MSI-X table, as an instruction finds it, and what is behind registers. */
	assert_int_equal(put(&i, TABLE, 0xfee00000, 4), 0);
	assert_int_equal(get(&i, TABLE, bytes, 4), 0);
	assert_memory_equal(bytes, ((uint8_t[]){0, 0, 0xe0, 0xfe}), 4);
	assert_null(via_region_export_memory(i.export, 0, 0xff8, &len));
	assert_int_equal(len, 8);
	assert_non_null(via_region_export_memory(i.export, 0, BELL + 8, &len));
	assert_int_equal(len, 0xff8);
	assert_int_equal(get(&i, 0, bytes, sizeof(bytes)), 0);
	detach(&i);
}

static void test_peers_revoked(void **state)
{
	struct sample *s = *state;
	struct importer i, again;
	uint32_t value;

	attach(&i, s->dev);
	config_put(s->dev, 4, 0);
	assert_int_equal(put(&i, 0, 1, 4), -EFAULT);
	assert_int_equal(get(&i, 0, &value, 4), -EFAULT);
	config_put(s->dev, 4, 2);
	assert_int_equal(get(&i, 0, &value, 4), 0);
	config_put(s->dev, pm_control(s->dev), 3);
	assert_int_equal(get(&i, 0, &value, 4), -EFAULT);
	config_put(s->dev, pm_control(s->dev), 0);
	assert_int_equal(get(&i, 0, &value, 4), 0);
	assert_int_equal(via_device_reset(s->dev), 0);
	assert_int_equal(get(&i, 0, &value, 4), 0);
	via_device_close(s->dev);
	assert_int_equal(get(&i, 0, &value, 4), -EFAULT);
	assert_int_equal(via_device_open(s->dev), 0);
	config_put(s->dev, 4, 2);
	/* Also when somebody else may have them. */
	attach(&again, s->dev);
	assert_int_equal(get(&again, 0, &value, 4), 0);
	assert_int_equal(get(&i, 0, &value, 4), -EFAULT);
	assert_int_equal(put(&i, 0, 1, 4), -EFAULT);
	assert_int_equal(get(&again, 0, &value, 4), 0);
	assert_int_equal(seen(s->writes), 0);
	detach(&again);
	detach(&i);
}

/* --- A model that is busy --- */

struct busy {
	struct via_device *dev;
	bool holds, end; /* atomic */
};

static void *hold_lock(void *arg)
{
	struct busy *b = arg;

	via_device_lock(b->dev);
	__atomic_store_n(&b->holds, true, __ATOMIC_SEQ_CST);
	while (!seen(b->end))
		usleep(1000);
	via_device_unlock(b->dev);
	return NULL;
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void test_peers_bounded(void **state)
{
	struct sample *s = *state;
	struct busy b = {.dev = s->dev};
	uint8_t bytes[4096] = {0};
	unsigned int posted = 0;
	struct importer i;
	pthread_t thread;
	uint64_t begin;

	attach(&i, s->dev);
	assert_int_equal(pthread_create(&thread, NULL, hold_lock, &b), 0);
	while (!seen(b.holds))
		usleep(1000);
	/* Nobody waits for a write until the queue is full; then, and for a read, not for ever. */
	begin = now_ms();
	while (!via_region_export_access(i.export, 0, 0, bytes, TABLE, true))
		posted++;
	assert_in_range(posted, 16, 64);
	assert_in_range(now_ms() - begin, 900, 30000);
	begin = now_ms();
	assert_int_equal(get(&i, 0, bytes, 4), -EFAULT);
	assert_in_range(now_ms() - begin, 900, 30000);
	__atomic_store_n(&b.end, true, __ATOMIC_SEQ_CST);
	pthread_join(thread, NULL);
	assert_int_equal(call_read(s->dev, 0, 0, bytes, 4), 4);
	assert_int_equal(seen(s->writes), posted * TABLE / 8);
	assert_int_equal(get(&i, 0, bytes, 4), 0);
	detach(&i);
}

/* Who holds the lock that is needed is told at once. */
static void test_peers_cycle(void **state)
{
	struct sample *s = *state;
	struct importer i;
	uint32_t value;
	uint64_t begin;

	attach(&i, s->dev);
	via_device_lock(s->dev);
	begin = now_ms();
	assert_int_equal(put(&i, 0, 1, 4), 0);
	assert_int_equal(get(&i, 0, &value, 4), -EFAULT);
	assert_in_range(now_ms() - begin, 0, 900);
	via_device_unlock(s->dev);
	assert_int_equal(get(&i, 0, &value, 4), 0);
	assert_int_equal(seen(s->writes), 1);
	detach(&i);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, peers_set_up, sample_tear_down)

static int peers_set_up(void **state)
{
	(void)sample_set_up(state);
	config_put(((struct sample *)*state)->dev, 4, 2);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_peers_order),
		TEST(test_peers_revoked),
		TEST(test_peers_bounded),
		TEST(test_peers_cycle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
