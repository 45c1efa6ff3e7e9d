/* SPDX-License-Identifier: MIT */
/*
 * A function for tests: BAR 0 has a page of registers (the MSI-X table among
 * them), one of doorbells and two of memory, BAR 2 is ports.
 */
#ifndef VIA_DEVICE_TEST_SAMPLE_H
#define VIA_DEVICE_TEST_SAMPLE_H

#include "device/device.h"

#include <viaduct/abi/vfio.h>

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <setjmp.h>
#include <cmocka.h>

#define TABLE 0x800u
#define PBA 0xc00u
#define BELL 0x1000u
#define MEMORY 0x2000u

struct sample {
	struct via_device *dev;
	uint32_t offset, size; /* atomic: of the last register write */
	uint64_t value;	       /* atomic: likewise */
	uint32_t writes;       /* atomic */
	uint32_t bell;	       /* atomic: last doorbell value seen */
	unsigned int kinds;    /* bits 1 << enum via_reset */
};

static inline uint64_t sample_read(struct via_device *dev, void *model, unsigned int bar,
				   uint64_t offset, unsigned int size)
{
	return 0x5a;
}

static inline void sample_write(struct via_device *dev, void *model, unsigned int bar,
				uint64_t offset, unsigned int size, uint64_t value)
{
	struct sample *s = model;

	__atomic_store_n(&s->offset, (uint32_t)offset, __ATOMIC_RELAXED);
	__atomic_store_n(&s->size, size, __ATOMIC_RELAXED);
	__atomic_store_n(&s->value, value, __ATOMIC_RELAXED);
	__atomic_fetch_add(&s->writes, 1, __ATOMIC_SEQ_CST);
}

/* The device's thread may be at it. */
#define seen(field) __atomic_load_n(&(field), __ATOMIC_SEQ_CST)

static inline bool sample_doorbell(struct via_device *dev, void *model, unsigned int bar)
{
	struct sample *s = model;
	uint32_t value = __atomic_load_n((uint32_t *)via_device_region_memory(dev, 0, BELL),
					 __ATOMIC_ACQUIRE);

	value = le32toh(value);
	return __atomic_exchange_n(&s->bell, value, __ATOMIC_SEQ_CST) != value;
}

static inline void sample_reset(struct via_device *dev, void *model, enum via_reset kind)
{
	((struct sample *)model)->kinds |= 1u << kind;
}

static const struct via_area sample_areas[] = {
	{BELL, 0x1000, VIA_AREA_DOORBELL},
	{MEMORY, 0x2000, VIA_AREA_MEMORY},
};

#define SAMPLE_DESC(with_pm)                                                                    \
	{                                                                                       \
		.name = "sample",                                                               \
		.ident = {.vendor = 0x1b36, .device = 1, .class_code = 0xff0000,                \
			  .interrupt_pin = 1},                                                  \
		.bars[0] = {.size = 0x4000, .areas = sample_areas, .n_areas = 2},               \
		.bars[2] = {.size = 64, .flags = VIA_BAR_IO},                                   \
		.msix = {.vectors = 4, .table_offset = TABLE, .pba_offset = PBA},               \
		.express = {.present = true}, .power_management = (with_pm),                    \
	}

static const struct via_device_desc sample_desc = SAMPLE_DESC(true);

static const struct via_device_ops sample_ops = {
	.read = sample_read,
	.write = sample_write,
	.doorbell = sample_doorbell,
	.reset = sample_reset,
	.free = free,
};

static inline struct sample *sample_new(const struct via_device_desc *desc)
{
	struct sample *s = calloc(1, sizeof(*s));
	struct via_error err = {0};

	assert_non_null(s);
	if (via_device_new(desc, &sample_ops, s, &err, &s->dev))
		fail_msg("%s", err.text);
	assert_int_equal(via_device_open(s->dev), 0);
	return s;
}

static inline int sample_set_up(void **state)
{
	*state = sample_new(&sample_desc);
	return 0;
}

static inline int sample_tear_down(void **state)
{
	struct via_device *dev = ((struct sample *)*state)->dev;

	via_device_close(dev);
	via_device_free(dev);
	return 0;
}

/* --- as a program, each a call --- */

static inline ssize_t call_read(struct via_device *dev, unsigned int region, uint64_t offset,
				void *buf, size_t len)
{
	ssize_t ret;

	via_device_begin(dev);
	ret = via_device_region_read(dev, region, offset, buf, len);
	via_device_end(dev);
	return ret;
}

static inline ssize_t call_write(struct via_device *dev, unsigned int region, uint64_t offset,
				 const void *buf, size_t len)
{
	ssize_t ret;

	via_device_begin(dev);
	ret = via_device_region_write(dev, region, offset, buf, len);
	via_device_end(dev);
	return ret;
}

static inline uint16_t config_get(struct via_device *dev, uint64_t at)
{
	uint8_t b[2];

	assert_int_equal(call_read(dev, VIA_REGION_CONFIG, at, b, 2), 2);
	return via_get_le16(b);
}

static inline void config_put(struct via_device *dev, uint64_t at, uint16_t value)
{
	uint8_t b[2];

	via_put_le16(b, value);
	assert_int_equal(call_write(dev, VIA_REGION_CONFIG, at, b, 2), 2);
}

/* Where the power state is, 0: nowhere. */
static inline uint64_t pm_control(struct via_device *dev)
{
	for (uint64_t at = config_get(dev, 0x34) & 0xff; at; at = config_get(dev, at) >> 8)
		if ((config_get(dev, at) & 0xff) == 1)
			return at + 4;
	return 0;
}

static inline int own_fd(void *cookie, int fd, int *ret_fd)
{
	*ret_fd = dup(fd); /* by fcntl() qemu-user does not know what it is a copy of */
	return *ret_fd < 0 ? -EBADF : 0;
}

static inline int set_irq(struct via_device *dev, uint32_t index, uint32_t flags, int32_t fd)
{
	struct via_set_irqs set = {.index = index, .count = 1, .flags = flags, .fds = &fd,
				   .fd_get = own_fd};
	int ret;

	via_device_begin(dev);
	ret = via_device_set_irqs(dev, &set);
	via_device_end(dev);
	return ret;
}

#define TRIGGER_FD (VIA_VFIO_IRQ_SET_DATA_EVENTFD | VIA_VFIO_IRQ_SET_ACTION_TRIGGER)
#define UNMASK (VIA_VFIO_IRQ_SET_DATA_NONE | VIA_VFIO_IRQ_SET_ACTION_UNMASK)
#define MASK (VIA_VFIO_IRQ_SET_DATA_NONE | VIA_VFIO_IRQ_SET_ACTION_MASK)

static inline int new_event(void)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	assert_true(fd >= 0);
	return fd;
}

static inline uint64_t events(int fd)
{
	uint64_t n = 0;

	return read(fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

/* The same, within a second. */
static inline uint64_t events_soon(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, 1000) == 1 ? events(fd) : 0;
}

static inline void signal_event(int fd, uint64_t count)
{
	assert_int_equal(write(fd, &count, sizeof(count)), sizeof(count));
}

/* Do mappings of BAR 0 have pages? */
static inline bool is_mapped(struct via_device *dev)
{
	struct via_region_map map;
	struct stat st;
	uint64_t value;

	assert_int_equal(via_device_region_map(dev, 0, &map), 0);
	assert_int_equal(fstat(map.fd, &st), 0);
	/* A trapped access agrees. */
	assert_int_equal(via_device_mapped_read(dev, 0, 0, 4, &value), st.st_size ? 0 : -EIO);
	return st.st_size;
}

#endif
