/* SPDX-License-Identifier: MIT */
/* Slices of a BAR as an importer has them. */
#include "device/export.h"
#include "device/test-sample.h"

struct importer {
	struct via_region_importer base;
	unsigned int revoked, restored; /* calls */
	bool usable;
};

static void lose(struct via_region_importer *base)
{
	struct importer *i = (struct importer *)base;

	assert_true(i->usable);
	i->usable = false;
	i->revoked++;
}

static void regain(struct via_region_importer *base)
{
	struct importer *i = (struct importer *)base;

	assert_false(i->usable);
	i->usable = true;
	i->restored++;
}

static struct importer new_importer(void)
{
	return (struct importer){.base = {.revoke = lose, .restore = regain}, .usable = true};
}

static struct via_region_export *export_of(struct via_device *dev, uint64_t offset, uint64_t len)
{
	const struct via_region_range range = {offset, len};
	struct via_region_export *export = NULL;

	assert_int_equal(via_region_export_new(dev, 0, &range, 1, &export), 0);
	return export;
}

static int refused(struct via_device *dev, unsigned int region, uint64_t offset, uint64_t len)
{
	const struct via_region_range ranges[] = {{MEMORY, 0x1000}, {offset, len}};
	struct via_region_export *export = NULL;
	int ret = via_region_export_new(dev, region, ranges, 2, &export);

	assert_null(export);
	return ret;
}

static void test_export_refused(void **state)
{
	struct via_device *dev = ((struct sample *)*state)->dev;
	struct via_region_export *export;

	assert_int_equal(refused(dev, 6, 0, 0x1000), -ENODEV);
	assert_int_equal(refused(dev, 1, 0, 0x1000), -ENODEV);
	assert_int_equal(refused(dev, 2, 0, 0x1000), -EINVAL);
	assert_int_equal(refused(dev, 0, 0, 0), -EINVAL);
	assert_int_equal(refused(dev, 0, 1, 0x1000), -EINVAL);
	assert_int_equal(refused(dev, 0, 0, 0x1001), -EINVAL);
	assert_int_equal(refused(dev, 0, 0x4000, 0x1000), -EINVAL);
	assert_int_equal(refused(dev, 0, 0x3000, 0x2000), -EINVAL);
	assert_int_equal(refused(dev, 0, UINT64_MAX - 0xfff, 0x1000), -EOVERFLOW);
	assert_int_equal(refused(dev, 0, 0, UINT64_MAX - 0xfff), -EINVAL);
	assert_int_equal(refused(dev, 0, 0, 1ull << 63), -EINVAL);
	assert_int_equal(via_region_export_new(dev, 0, NULL, 0, &export), -EINVAL);
}

static void test_export_bounded(void **state)
{
	struct via_device *dev = ((struct sample *)*state)->dev;
	struct via_region_export *exports[1024], *more = NULL;
	struct via_region_range *ranges = calloc(262145, sizeof(*ranges));

	assert_non_null(ranges);
	for (unsigned int i = 0; i < 262145; i++)
		ranges[i] = (struct via_region_range){MEMORY, 0x1000};
	assert_int_equal(via_region_export_new(dev, 0, ranges, 262145, &more), -ENOMEM);
	assert_int_equal(via_region_export_new(dev, 0, ranges, 262144, &exports[0]), 0);
	assert_int_equal(via_region_export_new(dev, 0, ranges, 1, &more), -ENOMEM);
	via_region_export_free(exports[0]);
	free(ranges);
	for (unsigned int i = 0; i < 1024; i++)
		exports[i] = export_of(dev, MEMORY, 0x1000);
	assert_int_equal(via_region_export_new(dev, 0,
					       &(struct via_region_range){MEMORY, 0x1000}, 1, &more),
			 -ENOMEM);
	for (unsigned int i = 0; i < 1024; i++)
		via_region_export_free(exports[i]);
	via_region_export_free(export_of(dev, MEMORY, 0x1000));
	via_region_export_free(NULL);
}

static void test_export_slices(void **state)
{
	struct sample *s = *state;
	const struct via_region_range ranges[] = {{MEMORY + 0x1000, 0x1000}, {BELL, 0x2000}};
	struct via_region_export *export;
	struct importer i = new_importer();
	struct via_region_slice slice;
	uint32_t value = 0;

	assert_int_equal(via_region_export_new(s->dev, 0, ranges, 2, &export), 0);
	assert_int_equal(via_region_export_size(export), 0x3000);
	assert_int_equal(via_region_export_count(export), 2);
	assert_int_equal(via_region_export_attach(export, &i.base), 0);
	via_region_export_slice(export, 0, &slice);
	assert_int_equal(slice.len, 0x1000);
	assert_int_equal(slice.offset, MEMORY + 0x1000);
	/* The file, the pointer and the region are the same bytes. */
	memcpy((char *)slice.memory + 8, &(uint32_t){0x12345678}, 4);
	assert_int_equal(call_read(s->dev, 0, MEMORY + 0x1008, &value, 4), 4);
	assert_int_equal(value, 0x12345678);
	assert_int_equal(pread(slice.fd, &value, 4, (off_t)slice.offset + 8), 4);
	assert_int_equal(value, 0x12345678);
	/* A doorbell is seen when the importer says that it has written. */
	via_region_export_slice(export, 1, &slice);
	__atomic_store_n((uint32_t *)slice.memory, htole32(5), __ATOMIC_RELEASE);
	via_region_export_written(export);
	for (int n = 0; n < 1000 && __atomic_load_n(&s->bell, __ATOMIC_SEQ_CST) != 5; n++)
		usleep(1000);
	assert_int_equal(__atomic_load_n(&s->bell, __ATOMIC_SEQ_CST), 5);
	via_region_export_detach(export, &i.base);
	via_region_export_free(export);
}

static void test_export_registers(void **state)
{
	struct via_device *dev = ((struct sample *)*state)->dev;
	struct via_region_export *registers = export_of(dev, 0, 0x1000);
	struct via_region_export *both = export_of(dev, 0, 0x2000);
	struct importer i = new_importer();

	/* They can be exported, as a kernel does, but they are no memory. */
	assert_int_equal(via_region_export_attach(registers, &i.base), -EOPNOTSUPP);
	assert_int_equal(via_region_export_attach(both, &i.base), -EOPNOTSUPP);
	config_put(dev, 4, 0);
	assert_int_equal(via_region_export_attach(registers, &i.base), -ENODEV);
	via_region_export_free(registers);
	via_region_export_free(both);
}

static void low_power(struct via_device *dev, bool on)
{
	via_device_begin(dev);
	if (on)
		assert_int_equal(via_device_low_power_entry(dev, -1), 0);
	else
		via_device_low_power_exit(dev);
	via_device_end(dev);
}

static void test_export_revoked(void **state)
{
	struct via_device *dev = ((struct sample *)*state)->dev;
	struct via_region_export *export = export_of(dev, MEMORY, 0x1000);
	struct importer i = new_importer(), late = new_importer(), gone = new_importer();
	uint64_t pm = pm_control(dev);

	assert_int_equal(via_region_export_attach(export, &i.base), 0);
	assert_int_equal(via_region_export_attach(export, &gone.base), 0);
	via_region_export_detach(export, &gone.base);
	/* Memory off, D3hot, low power. */
	config_put(dev, 4, 0);
	assert_int_equal(i.revoked, 1);
	assert_int_equal(via_region_export_attach(export, &late.base), -ENODEV);
	config_put(dev, pm, 3);
	config_put(dev, 4, 2);
	assert_int_equal(i.restored, 0);
	config_put(dev, pm, 0);
	assert_int_equal(i.restored, 1);
	low_power(dev, true);
	assert_int_equal(i.revoked, 2);
	/* Nothing but the end of low power gives it back. */
	config_put(dev, 4, 0);
	config_put(dev, 4, 2);
	assert_int_equal(via_device_reset(dev), 0);
	assert_int_equal(i.restored, 1);
	assert_int_equal(via_region_export_attach(export, &late.base), -ENODEV);
	low_power(dev, false);
	assert_int_equal(i.restored, 2);
	/* A reset: for a moment. */
	assert_int_equal(via_device_reset(dev), 0);
	assert_int_equal(i.revoked, 3);
	assert_int_equal(i.restored, 3);
	assert_int_equal(via_region_export_attach(export, &late.base), 0);
	via_region_export_detach(export, &late.base);

	/* Made while memory is off: nothing to attach to yet. */
	config_put(dev, 4, 0);
	via_region_export_free(export_of(dev, MEMORY, 0x1000));
	config_put(dev, 4, 2);

	/* The last close is the end, also for who opens the device again. */
	via_device_close(dev);
	assert_int_equal(i.revoked, 5);
	assert_int_equal(via_device_open(dev), 0);
	assert_int_equal(i.restored, 4);
	assert_int_equal(i.revoked, 5);
	assert_int_equal(via_region_export_attach(export, &late.base), -ENODEV);
	assert_int_equal(gone.revoked + late.revoked, 0);
	via_region_export_detach(export, &i.base);
	via_region_export_free(export);
}

/* Attached and detached while the function comes and goes; a slice is used only while it may be. */
struct storm {
	struct via_region_export *export;
	bool stop; /* atomic */
};

static void *storm_imports(void *arg)
{
	struct storm *s = arg;
	unsigned int attached = 0;

	while (!__atomic_load_n(&s->stop, __ATOMIC_RELAXED)) {
		struct importer i = new_importer();

		if (via_region_export_attach(s->export, &i.base))
			continue;
		attached++;
		via_region_export_written(s->export);
		via_region_export_detach(s->export, &i.base);
	}
	return attached ? NULL : s;
}

static void test_export_storm(void **state)
{
	struct via_device *dev = ((struct sample *)*state)->dev;
	struct storm s = {.export = export_of(dev, BELL, 0x1000)};
	pthread_t threads[2];
	void *failed;

	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, storm_imports, &s), 0);
	for (int i = 0; i < 100; i++) {
		config_put(dev, 4, 0);
		config_put(dev, 4, 2);
		low_power(dev, true);
		low_power(dev, false);
		assert_int_equal(via_device_reset(dev), 0);
		via_region_export_free(export_of(dev, MEMORY, 0x1000));
		usleep(200);
	}
	__atomic_store_n(&s.stop, true, __ATOMIC_RELAXED);
	for (int i = 0; i < 2; i++) {
		pthread_join(threads[i], &failed);
		assert_null(failed);
	}
	via_region_export_free(s.export);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, sample_set_up, sample_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_export_refused),   CASE(test_export_bounded), CASE(test_export_slices),
		CASE(test_export_registers), CASE(test_export_revoked), CASE(test_export_storm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
