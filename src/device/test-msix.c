/* SPDX-License-Identifier: MIT */
/* MSI-X as a program finds it that leaves table, masks and Enable to the function. */
#include "device/device.h"
#include "pci/regs.h"

#include <viaduct/abi/vfio.h>

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#define VECTORS 66u
#define TABLE 0x1000u
#define PBA 0x1800u
#define CAP 0x40u
#define CONTROL (CAP + PCI_MSIX_CONTROL)

struct fixture {
	struct via_device *dev;
	int fds[VECTORS];
};

static const struct via_device_desc desc = {
	.name = "vectors",
	.ident = {.vendor = 0x1b36, .device = 1, .class_code = 0xff0000},
	.bars[0] = {.size = 0x2000},
	.msix = {.vectors = VECTORS, .table_offset = TABLE, .pba_offset = PBA},
};

static const struct via_device_ops ops = {0};

static uint64_t get(struct fixture *f, unsigned int region, uint64_t at, unsigned int size)
{
	uint8_t b[8] = {0};

	assert_int_equal(via_device_region_read(f->dev, region, at, b, size), size);
	return via_get_le32(b) | (uint64_t)via_get_le32(b + 4) << 32;
}

static void put(struct fixture *f, unsigned int region, uint64_t at, unsigned int size,
		uint64_t value)
{
	uint8_t b[8];

	via_put_le32(b, (uint32_t)value);
	via_put_le32(b + 4, (uint32_t)(value >> 32));
	assert_int_equal(via_device_region_write(f->dev, region, at, b, size), size);
}

static unsigned int control(struct fixture *f)
{
	return (unsigned int)get(f, VIA_REGION_CONFIG, CONTROL, 2);
}

static void set_control(struct fixture *f, unsigned int value)
{
	put(f, VIA_REGION_CONFIG, CONTROL, 2, value);
}

static void mask(struct fixture *f, unsigned int vector, unsigned int value)
{
	put(f, 0, TABLE + 16 * vector + 12, 4, value);
}

static unsigned int pending(struct fixture *f, unsigned int vector)
{
	return get(f, 0, PBA + vector / 8, 1) >> vector % 8 & 1;
}

static int own_fd(void *cookie, int fd, int *ret_fd)
{
	*ret_fd = dup(fd);
	return *ret_fd < 0 ? -EBADF : 0;
}

static int set_irqs(struct fixture *f, uint32_t flags, uint32_t start, uint32_t count,
		    const int32_t *fds)
{
	struct via_set_irqs set = {.index = VIA_IRQ_MSIX,
				   .start = start,
				   .count = count,
				   .flags = flags | VIA_VFIO_IRQ_SET_ACTION_TRIGGER,
				   .fds = fds,
				   .fd_get = own_fd};

	return via_device_set_irqs(f->dev, &set);
}

static int connect_from(struct fixture *f, uint32_t start, uint32_t count)
{
	return set_irqs(f, VIA_VFIO_IRQ_SET_DATA_EVENTFD, start, count, f->fds + start);
}

static unsigned int events(const struct fixture *f, unsigned int vector)
{
	struct pollfd p = {.fd = f->fds[vector], .events = POLLIN};
	uint64_t n = 0;

	if (poll(&p, 1, 0) == 1)
		assert_int_equal(read(p.fd, &n, sizeof(n)), sizeof(n));
	return (unsigned int)n;
}

static void open_it(struct fixture *f)
{
	assert_int_equal(via_device_open(f->dev), 0);
	put(f, VIA_REGION_CONFIG, 4, 2, 6);
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct via_error err = {0};

	assert_non_null(f);
	for (unsigned int i = 0; i < VECTORS; i++)
		f->fds[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (via_device_new(&desc, &ops, NULL, &err, &f->dev))
		fail_msg("%s", err.text);
	assert_int_equal(via_device_emulate_msix(f->dev, true), 0);
	open_it(f);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	via_device_close(f->dev);
	via_device_free(f->dev);
	for (unsigned int i = 0; i < VECTORS; i++)
		close(f->fds[i]);
	free(f);
	return 0;
}

static void test_control(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(control(f), VECTORS - 1);
	set_control(f, 0xffff);
	assert_int_equal(control(f), 0xc000 | (VECTORS - 1));
	put(f, VIA_REGION_CONFIG, CONTROL + 1, 1, 0x40);
	assert_int_equal(control(f), 0x4000 | (VECTORS - 1));
	put(f, VIA_REGION_CONFIG, CAP, 4, 0x8000ffff);
	assert_int_equal(control(f), 0x8000 | (VECTORS - 1));
	put(f, VIA_REGION_CONFIG, CONTROL, 1, 0);
	assert_int_equal(control(f), 0x8000 | (VECTORS - 1));
	/* Arming does not enable, nor does disarming disable. */
	set_control(f, 0);
	assert_int_equal(connect_from(f, 0, 1), 0);
	assert_int_equal(control(f), VECTORS - 1);
	set_control(f, 0x8000);
	assert_int_equal(set_irqs(f, VIA_VFIO_IRQ_SET_DATA_NONE, 0, 0, NULL), 0);
	assert_int_equal(control(f), 0x8000 | (VECTORS - 1));
}

static void test_table(void **state)
{
	struct fixture *f = *state;

	for (unsigned int i = 0; i < VECTORS; i++)
		assert_int_equal(get(f, 0, TABLE + 16 * i + 12, 4), 1);
	put(f, 0, TABLE + 16, 8, 0x11223344fee00f0full);
	put(f, 0, TABLE + 24, 4, 0x55667788);
	put(f, 0, TABLE + 28, 1, 0xfe);
	assert_true(get(f, 0, TABLE + 16, 8) == 0x11223344fee00f0cull);
	assert_true(get(f, 0, TABLE + 24, 8) == 0x55667788);
	put(f, 0, TABLE + 30, 2, 0xffff);
	assert_int_equal(get(f, 0, TABLE + 28, 4), 0);
	put(f, 0, TABLE + 25, 1, 0xaa);
	assert_int_equal(get(f, 0, TABLE + 24, 4), 0x5566aa88);
	/* Connecting leaves the masks to the program. */
	assert_int_equal(connect_from(f, 0, 4), 0);
	assert_int_equal(get(f, 0, TABLE + 12, 4), 1);
	assert_int_equal(get(f, 0, TABLE + 28, 4), 0);
	assert_int_equal(set_irqs(f, VIA_VFIO_IRQ_SET_DATA_NONE, 0, 0, NULL), 0);
	assert_int_equal(get(f, 0, TABLE + 28, 4), 0);
	assert_int_equal(get(f, 0, TABLE + 44, 4), 1);
	/* The end of the table, and of the array behind it. */
	put(f, 0, TABLE + 16 * VECTORS - 4, 4, 0);
	assert_int_equal(get(f, 0, TABLE + 16 * VECTORS - 4, 4), 0);
	put(f, 0, PBA, 8, UINT64_MAX);
	assert_int_equal(get(f, 0, PBA, 8), 0);
}

static void test_masks_and_pending(void **state)
{
	struct fixture *f = *state;
	const unsigned int v[] = {0, 1, 65};

	assert_int_equal(connect_from(f, 0, VECTORS), 0);
	/* Not enabled: nothing is sent or remembered. */
	mask(f, 0, 0);
	via_irq_trigger(f->dev, 0);
	via_irq_trigger(f->dev, 1);
	set_control(f, 0x8000);
	assert_int_equal(pending(f, 0) + pending(f, 1) + events(f, 0), 0);
	mask(f, 1, 0);
	assert_int_equal(events(f, 1), 0);
	mask(f, 0, 1);
	mask(f, 1, 1);

	for (unsigned int i = 0; i < 3; i++) {
		/* Masked: pending, once, and sent when it is unmasked. */
		via_irq_trigger(f->dev, v[i]);
		via_irq_trigger(f->dev, v[i]);
		assert_int_equal(events(f, v[i]), 0);
		assert_int_equal(pending(f, v[i]), 1);
		mask(f, v[i], 0);
		assert_int_equal(events(f, v[i]), 1);
		assert_int_equal(pending(f, v[i]), 0);
		via_irq_trigger(f->dev, v[i]);
		assert_int_equal(events(f, v[i]), 1);
	}

	/* The function's mask covers all; behind it a vector's own still counts. */
	set_control(f, 0xc000);
	mask(f, 1, 1);
	for (unsigned int i = 0; i < 3; i++) {
		via_irq_trigger(f->dev, v[i]);
		assert_int_equal(events(f, v[i]), 0);
		assert_int_equal(pending(f, v[i]), 1);
	}
	mask(f, 65, 1);
	mask(f, 65, 0);
	assert_int_equal(events(f, 65), 0);
	set_control(f, 0x8000);
	assert_int_equal(events(f, 0), 1);
	assert_int_equal(events(f, 1), 0);
	assert_int_equal(events(f, 65), 1);
	assert_int_equal(pending(f, 1), 1);
	/* Disabled meanwhile: it stays pending. */
	set_control(f, 0);
	mask(f, 1, 0);
	assert_int_equal(events(f, 1), 0);
	set_control(f, 0x8000);
	assert_int_equal(events(f, 1), 1);
}

static void test_connections(void **state)
{
	struct fixture *f = *state;
	const int32_t none = -1;

	assert_int_equal(connect_from(f, 0, 1), 0);
	set_control(f, 0x8000);
	mask(f, 0, 0);
	mask(f, 1, 0);
	/* What has no eventfd waits for it, unless the program has masked it by then. */
	via_irq_trigger(f->dev, 1);
	via_irq_trigger(f->dev, 2);
	assert_int_equal(pending(f, 1), 1);
	assert_int_equal(connect_from(f, 1, 2), 0);
	assert_int_equal(events(f, 1), 1);
	assert_int_equal(events(f, 2), 0);
	assert_int_equal(pending(f, 2), 1);
	mask(f, 2, 0);
	assert_int_equal(events(f, 2), 1);
	/* Taken away and given back: the program's mask is what it was. */
	assert_int_equal(set_irqs(f, VIA_VFIO_IRQ_SET_DATA_EVENTFD, 1, 1, &none), 0);
	assert_int_equal(get(f, 0, TABLE + 28, 4), 0);
	via_irq_trigger(f->dev, 1);
	assert_int_equal(connect_from(f, 1, 1), 0);
	assert_int_equal(events(f, 1), 1);
	/* Bus mastering off: what is masked stays pending, what is not is lost. */
	put(f, VIA_REGION_CONFIG, 4, 2, 2);
	mask(f, 1, 1);
	via_irq_trigger(f->dev, 0);
	via_irq_trigger(f->dev, 1);
	mask(f, 1, 0);
	assert_int_equal(events(f, 0) + events(f, 1), 0);
	put(f, VIA_REGION_CONFIG, 4, 2, 6);
	assert_int_equal(events(f, 0), 0);
	assert_int_equal(events(f, 1), 1);
}

static void test_life(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(via_device_emulate_msix(f->dev, false), -EBUSY);
	assert_int_equal(connect_from(f, 0, 2), 0);
	set_control(f, 0x8000);
	mask(f, 0, 0);
	put(f, 0, TABLE, 4, 0xfee00000);
	via_irq_trigger(f->dev, 1);
	assert_int_equal(pending(f, 1), 1);
	/* A reset forgets what is pending; the rest is put back, as the host does. */
	assert_int_equal(via_device_reset(f->dev), 0);
	assert_int_equal(pending(f, 1), 0);
	assert_int_equal(control(f), 0x8000 | (VECTORS - 1));
	assert_int_equal(get(f, 0, TABLE, 4), 0xfee00000);
	via_irq_trigger(f->dev, 0);
	assert_int_equal(events(f, 0), 1);
	/* The next program finds nothing of it. */
	via_device_close(f->dev);
	open_it(f);
	assert_int_equal(control(f), VECTORS - 1);
	assert_int_equal(get(f, 0, TABLE, 4), 0);
	assert_int_equal(get(f, 0, TABLE + 12, 4), 1);
	assert_int_equal(connect_from(f, 0, 1), 0);
	mask(f, 0, 0);
	via_irq_trigger(f->dev, 0);
	assert_int_equal(events(f, 0), 0);

	/* Off again, it is as vfio-pci has it. */
	via_device_close(f->dev);
	assert_int_equal(via_device_emulate_msix(f->dev, false), 0);
	open_it(f);
	set_control(f, 0xc000);
	assert_int_equal(control(f), VECTORS - 1);
	assert_int_equal(get(f, 0, TABLE + 12, 4), UINT32_MAX);
	assert_int_equal(connect_from(f, 0, 1), 0);
	assert_int_equal(control(f), 0x8000 | (VECTORS - 1));
	via_irq_trigger(f->dev, 0);
	assert_int_equal(events(f, 0), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_control),	TEST(test_table), TEST(test_masks_and_pending),
		TEST(test_connections), TEST(test_life),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
