/* SPDX-License-Identifier: MIT */
/* The edu device by its documented registers; DMA through an IOAS over our own memory. */
#include "device/device.h"
#include "device/migration.h"

#include <viaduct/abi/vfio.h>
#include <viaduct/models.h>

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define IOVA 0x100000u

struct fixture {
	struct via_device *dev;
	struct via_ioas *ioas;
	struct via_space *space;
	uint8_t *memory; /* two pages at IOVA */
	int irq;
};

static struct via_device *make(const char *options)
{
	const struct via_model *model = via_model_find("edu");
	struct via_options *opts;
	struct via_device *dev;
	struct via_error err = {0};

	assert_non_null(model);
	assert_int_equal(via_options_parse(model, options, &err, &opts), 0);
	if (model->create(opts, &err, &dev))
		fail_msg("%s", err.text);
	via_options_free(opts);
	return dev;
}

static uint32_t get(struct via_device *dev, uint64_t reg)
{
	uint8_t b[4];

	assert_int_equal(via_device_region_read(dev, 0, reg, b, 4), 4);
	return via_get_le32(b);
}

static void put(struct via_device *dev, uint64_t reg, uint32_t value)
{
	uint8_t b[4];

	via_put_le32(b, value);
	assert_int_equal(via_device_region_write(dev, 0, reg, b, 4), 4);
}

static void put64(struct via_device *dev, uint64_t reg, uint64_t value)
{
	uint8_t b[8];

	via_put_le64(b, value);
	assert_int_equal(via_device_region_write(dev, 0, reg, b, 8), 8);
}

static void wait_clear(struct via_device *dev, uint64_t reg, uint32_t bit)
{
	for (int i = 0; i < 2000; i++) {
		if (!(get(dev, reg) & bit))
			return;
		usleep(500);
	}
	fail_msg("register 0x%lx stays busy", (unsigned long)reg);
}

static void dma(struct via_device *dev, uint64_t src, uint64_t dst, uint64_t len, uint32_t cmd)
{
	put64(dev, 0x80, src);
	put64(dev, 0x88, dst);
	put64(dev, 0x90, len);
	put(dev, 0x98, 1 | cmd);
	wait_clear(dev, 0x98, 1);
}

static void set_command(struct via_device *dev, uint16_t value)
{
	uint8_t b[2];

	via_put_le16(b, value);
	assert_int_equal(via_device_region_write(dev, VIA_REGION_CONFIG, 4, b, 2), 2);
}

static int own_fd(void *cookie, int fd, int *ret_fd)
{
	*ret_fd = dup(fd);
	return *ret_fd < 0 ? -EBADF : 0;
}

static void arm(struct via_device *dev, uint32_t index, int fd)
{
	struct via_set_irqs set = {
		.index = index,
		.count = 1,
		.flags = VIA_VFIO_IRQ_SET_DATA_EVENTFD | VIA_VFIO_IRQ_SET_ACTION_TRIGGER,
		.fds = &fd,
		.fd_get = own_fd,
	};

	assert_int_equal(via_device_set_irqs(dev, &set), 0);
}

static uint64_t events(int fd, int timeout_ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	uint64_t n = 0;

	if (poll(&p, 1, timeout_ms) == 1)
		assert_int_equal(read(fd, &n, sizeof(n)), sizeof(n));
	return n;
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct via_mm *self = via_mm_self();

	assert_non_null(f);
	f->dev = make(NULL);
	f->memory = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(f->memory != MAP_FAILED);
	assert_int_equal(via_space_new_mm(self, &f->space), 0);
	via_mm_put(self);
	assert_int_equal(via_ioas_new(via_iommu_props_intel(), &f->ioas), 0);
	assert_int_equal(via_ioas_map(f->ioas, IOVA, f->space, (uintptr_t)f->memory, 8192,
				      VIA_PROT_READ | VIA_PROT_WRITE),
			 0);
	assert_int_equal(via_device_attach(f->dev, f->ioas), 0);
	assert_int_equal(via_device_open(f->dev), 0);
	set_command(f->dev, 6);
	f->irq = eventfd(0, EFD_CLOEXEC);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	via_device_close(f->dev);
	assert_int_equal(via_device_attach(f->dev, NULL), 0);
	via_device_free(f->dev);
	via_ioas_put(f->ioas);
	via_space_put(f->space);
	munmap(f->memory, 8192);
	close(f->irq);
	free(f);
	return 0;
}

static void test_registers(void **state)
{
	struct via_device *dev = ((struct fixture *)*state)->dev;
	uint8_t b[8];

	assert_int_equal(get(dev, 0), 0x010000ed);
	put(dev, 0, 0);
	assert_int_equal(get(dev, 0), 0x010000ed);
	put(dev, 4, 0x12345678);
	assert_int_equal(get(dev, 4), 0xedcba987);
	put(dev, 0x20, 0xffffffff);
	assert_int_equal(get(dev, 0x20), 0x80);
	put(dev, 0x20, 0);
	assert_int_equal(get(dev, 0x20), 0);
	assert_int_equal(get(dev, 0x40), 0xffffffff);
	/* Below 0x80 only 4-byte accesses mean anything, above 8-byte ones too. */
	assert_int_equal(via_device_region_read(dev, 0, 0, b, 8), 8);
	assert_true(via_get_le64(b) == UINT64_MAX);
	assert_int_equal(via_device_region_read(dev, 0, 4, b, 2), 2);
	assert_int_equal(via_get_le16(b), 0);
	assert_int_equal(via_device_region_write(dev, 0, 4, b, 2), 2);
	put64(dev, 0, 0);
	assert_int_equal(get(dev, 4), 0xedcba987);
	put64(dev, 0x80, 0x1122334455667788);
	assert_int_equal(via_device_region_read(dev, 0, 0x80, b, 8), 8);
	assert_true(via_get_le64(b) == 0x1122334455667788);
	assert_int_equal(get(dev, 0x80), 0x55667788);
	put(dev, 0x80, 5);
	assert_int_equal(via_device_region_read(dev, 0, 0x80, b, 8), 8);
	assert_int_equal(via_get_le64(b), 5);
}

static void test_factorial(void **state)
{
	struct fixture *f = *state;
	static const struct {
		uint32_t n, result;
	} rows[] = {{0, 1}, {1, 1}, {5, 120}, {12, 479001600}, {13, 1932053504}, {34, 0},
		    {0xffffffff, 0}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		put(f->dev, 8, rows[i].n);
		wait_clear(f->dev, 0x20, 1);
		assert_int_equal(get(f->dev, 8), rows[i].result);
	}
	assert_int_equal(get(f->dev, 0x24), 0);
	arm(f->dev, VIA_IRQ_MSI, f->irq);
	put(f->dev, 0x20, 0x80);
	put(f->dev, 8, 4);
	assert_int_equal(events(f->irq, 1000), 1);
	assert_int_equal(get(f->dev, 8), 24);
	assert_int_equal(get(f->dev, 0x20), 0x80);
	assert_int_equal(get(f->dev, 0x24), 1);
	put(f->dev, 0x64, 1);
	assert_int_equal(get(f->dev, 0x24), 0);
}

static void test_intx(void **state)
{
	struct fixture *f = *state;
	uint8_t status[2];

	arm(f->dev, VIA_IRQ_INTX, f->irq);
	put(f->dev, 0x60, 0);
	assert_int_equal(events(f->irq, 0), 0);
	put(f->dev, 0x60, 0x30);
	assert_int_equal(events(f->irq, 1000), 1);
	assert_int_equal(via_device_region_read(f->dev, VIA_REGION_CONFIG, 6, status, 2), 2);
	assert_true(status[0] & 8);
	/* The line falls with the last bit. */
	put(f->dev, 0x64, 0x10);
	assert_int_equal(via_device_region_read(f->dev, VIA_REGION_CONFIG, 6, status, 2), 2);
	assert_true(status[0] & 8);
	put(f->dev, 0x64, 0x20);
	assert_int_equal(via_device_region_read(f->dev, VIA_REGION_CONFIG, 6, status, 2), 2);
	assert_false(status[0] & 8);
}

static void test_dma(void **state)
{
	struct fixture *f = *state;

	for (unsigned int i = 0; i < 4096; i++)
		f->memory[i] = (uint8_t)(i ^ i >> 5);
	dma(f->dev, IOVA, 0x40000, 4096, 0);
	dma(f->dev, 0x40000, IOVA + 4096, 4096, 2);
	assert_memory_equal(f->memory, f->memory + 4096, 4096);

	/* Outside the buffer, and where nothing is mapped: done, and nothing happens. */
	memset(f->memory + 4096, 0, 4096);
	dma(f->dev, 0x40001, IOVA + 4096, 4096, 2);
	dma(f->dev, 0x3ffff, IOVA + 4096, 1, 2);
	dma(f->dev, 0x40000, IOVA + 4096, UINT64_MAX, 2);
	dma(f->dev, UINT64_MAX, IOVA + 4096, 2, 2);
	dma(f->dev, 0x40000, 0x200000, 16, 2);
	for (unsigned int i = 0; i < 4096; i++)
		assert_int_equal(f->memory[4096 + i], 0);
	/* A read of nothing gives zeros. */
	dma(f->dev, 0x200000, 0x40000, 16, 0);
	memset(f->memory + 4096, 0xee, 16);
	dma(f->dev, 0x40000, IOVA + 4096, 16, 2);
	assert_int_equal(f->memory[4096], 0);
	/* 28 address bits: the rest is not driven. */
	dma(f->dev, 0x40010, 0xabc0000000 + IOVA + 4096, 16, 2);
	assert_memory_equal(f->memory + 4096, f->memory + 16, 16);

	arm(f->dev, VIA_IRQ_MSI, f->irq);
	dma(f->dev, 0x40000, IOVA, 4, 2 | 4);
	assert_int_equal(events(f->irq, 1000), 1);
	assert_int_equal(get(f->dev, 0x24), 0x100);

	/* No bus mastering, no DMA. */
	set_command(f->dev, 2);
	memset(f->memory, 0x77, 16);
	dma(f->dev, 0x40010, IOVA, 16, 2);
	assert_int_equal(f->memory[0], 0x77);
	set_command(f->dev, 6);
	/* A reset gives it back, and the buffer is as new. */
	assert_int_equal(via_device_reset(f->dev), 0);
	dma(f->dev, 0x40010, IOVA, 16, 2);
	assert_int_equal(f->memory[0], 0);
}

static void test_mask_option(void **state)
{
	struct via_device *dev = make("dma_mask=0xffffffff");

	via_device_free(dev);
}

/* Config space as Linux shows QEMU's edu, apart from what firmware put into it. */
static void test_config(void **state)
{
	struct via_device *dev = ((struct fixture *)*state)->dev;
	static const uint8_t head[64] = {
		0x34, 0x12, 0xe8, 0x11, 0x00, 0x00, 0x10, 0x00, 0x10, 0x00, 0xff, 0x00,
		[0x2c] = 0xf4, 0x1a, 0x00, 0x11, [0x34] = 0x40, [0x3d] = 0x01,
	};
	static const uint8_t msi[16] = {0x05, 0x00, 0x80, 0x00};
	uint8_t b[257];

	assert_int_equal(via_device_config_size(dev), 256);
	assert_int_equal(via_device_region_read(dev, VIA_REGION_CONFIG, 0, b, 256), 256);
	b[4] = b[5] = 0;       /* command */
	memset(b + 0x10, 0, 4); /* BAR 0 */
	b[0x3c] = 0;	       /* line */
	assert_memory_equal(b, head, sizeof(head));
	assert_memory_equal(b + 0x40, msi, sizeof(msi));
	for (unsigned int i = 0x50; i < 256; i++)
		assert_int_equal(b[i], 0);
}

/* --- migration ------------------------------------------------------------- */

static void go(struct via_device *dev, uint32_t to)
{
	struct via_migration_session *session;

	assert_int_equal(via_device_migration_set(dev, to, &session), 0);
	via_migration_session_put(session);
}

static uint8_t image[1 << 15];

static size_t read_all(struct via_migration_session *session, size_t len, ssize_t end)
{
	uint64_t mark;
	ssize_t n;

	while ((n = via_migration_peek(session, image + len, sizeof(image) - len, &mark)) > 0) {
		via_migration_consume(session, mark, (size_t)n);
		len += (size_t)n;
	}
	assert_int_equal(n, end);
	return len;
}

static int load(struct via_device *dev, size_t len)
{
	struct via_migration_session *session, *none;
	int ret;

	assert_int_equal(via_device_migration_set(dev, VIA_STATE_RESUMING, &session), 0);
	assert_int_equal(via_migration_write(session, image, len), len);
	ret = via_device_migration_set(dev, VIA_STATE_STOP, &none);
	via_migration_session_put(session);
	return ret;
}

/* Saved while it runs, with DMA and an interrupt on their way; another goes on with it. */
static void test_migration(void **state)
{
	struct fixture *f = *state;
	struct via_device *other = make(NULL), *different = make("dma_mask=0xffff");
	struct via_migration_session *session;
	int irq = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	size_t len;

	assert_int_equal(via_device_attach(other, f->ioas), 0);
	assert_int_equal(via_device_open(other), 0);
	assert_int_equal(via_device_open(different), 0);
	arm(f->dev, VIA_IRQ_MSI, f->irq);
	memset(f->memory, 0x5a, 4096);
	dma(f->dev, IOVA, 0x40000, 4096, 0);
	put(f->dev, 4, 0x12345678);
	assert_int_equal(via_device_migration_set(f->dev, VIA_STATE_PRE_COPY, &session), 0);
	len = read_all(session, 0, -ENOMSG);
	/* Changes after it was read. */
	memset(f->memory, 0xa5, 2048);
	dma(f->dev, IOVA, 0x40000, 2048, 0);
	go(f->dev, VIA_STATE_PRE_COPY_P2P);
	/* Accepted, and not carried out here any more. */
	put64(f->dev, 0x80, 0x40000);
	put64(f->dev, 0x88, IOVA + 4096);
	put64(f->dev, 0x90, 4096);
	put(f->dev, 0x98, 3);
	put(f->dev, 0x20, 0x80);
	put(f->dev, 8, 5);
	put(f->dev, 0x60, 0x30);
	usleep(10000);
	assert_int_equal(events(f->irq, 0), 0);
	assert_int_equal(get(f->dev, 0x98), 3);
	assert_int_equal(f->memory[4096], 0);
	go(f->dev, VIA_STATE_STOP_COPY);
	len = read_all(session, len, 0);
	via_migration_session_put(session);

	assert_int_equal(load(different, len), -EINVAL);
	assert_int_equal(load(other, len), 0);
	arm(other, VIA_IRQ_MSI, irq);
	assert_int_equal(f->memory[4096], 0);
	go(other, VIA_STATE_RUNNING);
	wait_clear(other, 0x98, 1);
	wait_clear(other, 0x20, 1);
	assert_memory_equal(f->memory + 4096, f->memory, 2048);
	assert_int_equal(f->memory[4096 + 2048], 0x5a);
	assert_int_equal(get(other, 4), ~0x12345678u);
	assert_int_equal(get(other, 8), 120);
	assert_int_equal(get(other, 0x24), 0x31);
	/* The one that was raised, and the factorial's own. */
	assert_int_equal(events(irq, 1000), 2);
	assert_int_equal(events(f->irq, 0), 0);

	/* The first is not used up. */
	assert_int_equal(via_device_reset(f->dev), 0);
	assert_int_equal(get(f->dev, 4), 0);
	via_device_close(different);
	via_device_free(different);
	via_device_close(other);
	assert_int_equal(via_device_attach(other, NULL), 0);
	via_device_free(other);
	close(irq);
}

static void test_migration_of_the_line(void **state)
{
	struct fixture *f = *state;
	struct via_migration_session *session;
	size_t len;

	put(f->dev, 0x60, 1);
	assert_int_equal(via_device_migration_set(f->dev, VIA_STATE_STOP_COPY, &session), 0);
	len = read_all(session, 0, 0);
	via_migration_session_put(session);
	assert_int_equal(via_device_reset(f->dev), 0);
	arm(f->dev, VIA_IRQ_INTX, f->irq);
	assert_int_equal(load(f->dev, len), 0);
	assert_int_equal(events(f->irq, 10), 0);
	go(f->dev, VIA_STATE_RUNNING);
	assert_int_equal(events(f->irq, 1000), 1);
	put(f->dev, 0x64, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_registers, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_factorial, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_intx, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_dma, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_config, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_migration, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_migration_of_the_line, set_up, tear_down),
		cmocka_unit_test(test_mask_option),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
