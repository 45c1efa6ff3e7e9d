/* SPDX-License-Identifier: MIT */
/* Two edus whose DMA engines write and read each other's registers, each on a thread of its own. */
#include "device/device.h"
#include "device/export.h"
#include "iommu/ioas.h"
#include "iommu/pages.h"

#include <viaduct/models.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define IOVA 0x100000u
#define PAGE 4096u
#define STORM_MS 1000

enum { LIVENESS = 0x04, DMA_SRC = 0x80, DMA_DST = 0x88, DMA_COUNT = 0x90, DMA_CMD = 0x98 };
enum { BUFFER = 0x40000, TO_RAM = 2 };

struct side {
	struct via_device *dev;
	/* Its registers, in the other's address space. */
	struct via_region_export *export;
	struct via_region_importer importer;
	struct via_ioas *ioas; /* what its own DMA reaches */
	struct side *other;
	bool *stop; /* the storm's */
	unsigned int sent; /* the author's */
};

struct storm {
	struct side sides[2];
	bool stop; /* atomic */
};

static void ignore(struct via_region_importer *importer)
{
}

static uint8_t *memory(void *cookie, uint64_t offset, uint64_t *ret_len)
{
	return via_region_export_memory(((struct side *)cookie)->export, 0, offset, ret_len);
}

static int access_registers(void *cookie, uint64_t offset, void *buf, size_t len, bool write)
{
	return via_region_export_access(((struct side *)cookie)->export, 0, offset, buf, len,
					write);
}

static void release(void *cookie)
{
	struct side *side = cookie;

	via_region_export_detach(side->export, &side->importer);
	via_region_export_free(side->export);
}

static const struct via_pages_region_ops region_ops = {
	.memory = memory, .access = access_registers, .release = release};

/* The device may be off: all of these can fail. */
static void put(struct via_device *dev, uint64_t reg, uint64_t value, size_t len)
{
	uint8_t b[8];

	via_put_le64(b, value);
	(void)via_device_region_write(dev, 0, reg, b, len);
}

static uint32_t get(struct via_device *dev, uint64_t reg)
{
	uint8_t b[4] = {0};

	(void)via_device_region_read(dev, 0, reg, b, 4);
	return via_get_le32(b);
}

static void command(struct via_device *dev, uint16_t value)
{
	uint8_t b[2];

	via_put_le16(b, value);
	(void)via_device_region_write(dev, VIA_REGION_CONFIG, 4, b, 2);
}

static void make(struct side *side)
{
	const struct via_model *model = via_model_find("edu");
	struct via_error err = {0};
	struct via_options *opts;

	assert_non_null(model);
	assert_int_equal(via_options_parse(model, NULL, &err, &opts), 0);
	assert_int_equal(model->create(opts, &err, &side->dev), 0);
	via_options_free(opts);
	assert_int_equal(via_ioas_new(via_iommu_props_intel(), &side->ioas), 0);
	assert_int_equal(via_device_attach(side->dev, side->ioas), 0);
	assert_int_equal(via_device_open(side->dev), 0);
	command(side->dev, 6);
}

static void offer(struct side *side)
{
	const struct via_region_range range = {0, PAGE};
	via_iova_t iova = IOVA;
	struct via_pages *pages;

	side->importer = (struct via_region_importer){
		.revoke = ignore, .restore = ignore, .registers = true};
	assert_int_equal(via_region_export_new(side->dev, 0, &range, 1, &side->export), 0);
	assert_int_equal(via_region_export_attach(side->export, &side->importer), 0);
	assert_int_equal(via_pages_new_region(&region_ops, side, 0, PAGE, true, &pages), 0);
	assert_int_equal(via_ioas_map_pages(side->other->ioas, pages, 0, PAGE,
					    VIA_PROT_READ | VIA_PROT_WRITE, VIA_IOAS_FIXED, &iova,
					    NULL),
			 0);
	via_pages_put(pages);
}

static int set_up(void **state)
{
	struct storm *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	for (unsigned int i = 0; i < 2; i++) {
		s->sides[i].other = &s->sides[!i];
		s->sides[i].stop = &s->stop;
		make(&s->sides[i]);
	}
	for (unsigned int i = 0; i < 2; i++)
		offer(&s->sides[i]);
	*state = s;
	return 0;
}

static int tear_down(void **state)
{
	struct storm *s = *state;
	uint64_t bytes;

	for (unsigned int i = 0; i < 2; i++) {
		via_device_close(s->sides[i].dev);
		assert_int_equal(via_device_attach(s->sides[i].dev, NULL), 0);
	}
	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(via_ioas_unmap(s->sides[i].ioas, IOVA, IOVA + PAGE - 1, &bytes), 0);
	for (unsigned int i = 0; i < 2; i++) {
		via_ioas_put(s->sides[i].ioas);
		via_device_free(s->sides[i].dev);
	}
	free(s);
	return 0;
}

static void transfer(struct via_device *dev, uint64_t src, uint64_t dst, uint64_t len,
		     uint32_t direction)
{
	put(dev, DMA_SRC, src, 8);
	put(dev, DMA_DST, dst, 8);
	put(dev, DMA_COUNT, len, 8);
	put(dev, DMA_CMD, 1 | direction, 4);
	for (unsigned int i = 0; i < 20000 && get(dev, DMA_CMD) & 1; i++)
		(void)sched_yield();
}

static void *author_main(void *arg)
{
	struct side *side = arg;

	while (!__atomic_load_n(side->stop, __ATOMIC_RELAXED)) {
		/* Out of the buffer to some of its registers; all of them into the buffer. */
		transfer(side->dev, BUFFER, IOVA + LIVENESS, 8, TO_RAM);
		transfer(side->dev, IOVA, BUFFER, 64, 0);
		side->sent++;
	}
	return NULL;
}

static void *resetter_main(void *arg)
{
	struct storm *s = arg;

	for (unsigned int i = 0; !__atomic_load_n(&s->stop, __ATOMIC_RELAXED); i++) {
		struct via_device *dev = s->sides[i % 2].dev;

		if (i % 3 == 0)
			(void)via_device_reset(dev);
		command(dev, 4);
		command(dev, 6);
		usleep(1500);
	}
	return NULL;
}

static void test_gap_3_two_edus(void **state)
{
	struct storm *s = *state;
	pthread_t threads[3];

	(void)alarm(60);
	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, author_main, &s->sides[i]), 0);
	assert_int_equal(pthread_create(&threads[2], NULL, resetter_main, s), 0);
	usleep(STORM_MS * 1000);
	__atomic_store_n(&s->stop, true, __ATOMIC_RELAXED);
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	(void)alarm(0);
	print_message("%u and %u rounds\n", s->sides[0].sent, s->sides[1].sent);
	for (unsigned int i = 0; i < 2; i++) {
		struct side *side = &s->sides[i];
		uint32_t buffer;

		/* What one holds, through the buffer of the other, and back inverted. */
		put(side->other->dev, LIVENESS, 0x1234 + i, 4);
		buffer = get(side->other->dev, LIVENESS);
		assert_int_equal(buffer, ~(0x1234 + i));
		transfer(side->dev, IOVA + LIVENESS, BUFFER, 4, 0);
		transfer(side->dev, BUFFER, IOVA + LIVENESS, 4, TO_RAM);
		assert_int_equal(get(side->other->dev, LIVENESS), ~buffer);
		assert_true(side->sent);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_gap_3_two_edus, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
