/* SPDX-License-Identifier: MIT */
/* What the tests of devices share: a small function with a bit of everything. */
#ifndef VIA_DEVICE_TEST_DEVICE_H
#define VIA_DEVICE_TEST_DEVICE_H

#include "device/device.h"

#include <viaduct/abi/vfio.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#define BELL 0x1000u
#define MEMORY 0x2000u
#define TABLE 0x3000u
#define PBA 0x3800u
#define N_VECTORS 4u

struct model {
	struct via_device *dev;
	uint64_t last_offset, last_value; /* of a register write */
	unsigned int last_size;
	uint64_t sizes;		  /* or-ed sizes of register reads */
	uint64_t work;		  /* atomic; or-ed events */
	unsigned int work_calls;  /* atomic */
	uint32_t bell;		  /* atomic; last doorbell value seen */
	unsigned int kinds;	  /* bits 1 << enum via_reset */
	int watched;
	bool *freed;
};

static uint64_t model_read(struct via_device *dev, void *opaque, unsigned int bar, uint64_t offset,
			   unsigned int size)
{
	struct model *m = opaque;

	m->sizes |= size;
	return 0x1122334455667700 + offset;
}

static void model_write(struct via_device *dev, void *opaque, unsigned int bar, uint64_t offset,
			unsigned int size, uint64_t value)
{
	struct model *m = opaque;

	m->last_offset = offset;
	m->last_value = value;
	m->last_size = size;
}

static bool model_doorbell(struct via_device *dev, void *opaque, unsigned int bar)
{
	struct model *m = opaque;
	via_le32 *bell = via_device_region_memory(dev, 0, BELL);
	uint32_t value = via_le32_to_cpu(__atomic_load_n(bell, __ATOMIC_ACQUIRE));

	if (value == m->bell)
		return false;
	__atomic_store_n(&m->bell, value, __ATOMIC_RELEASE);
	return true;
}

static void model_work(struct via_device *dev, void *opaque, uint64_t events)
{
	struct model *m = opaque;
	uint64_t count;

	if (events & 0x100)
		assert_int_equal(read(m->watched, &count, sizeof(count)), sizeof(count));
	__atomic_fetch_or(&m->work, events, __ATOMIC_SEQ_CST);
	__atomic_fetch_add(&m->work_calls, 1, __ATOMIC_SEQ_CST);
}

static void model_reset(struct via_device *dev, void *opaque, enum via_reset kind)
{
	struct model *m = opaque;

	m->kinds |= 1u << kind;
}

static void model_free(void *opaque)
{
	struct model *m = opaque;

	if (m->freed)
		*m->freed = true;
	free(m);
}

static const struct via_area areas[] = {
	/* Deliberately not in order. */
	{MEMORY, 0x1000, VIA_AREA_MEMORY},
	{BELL, 0x1000, VIA_AREA_DOORBELL},
};

static const struct via_device_desc desc = {
	.name = "sample",
	.ident = {.vendor = 0x1b36, .device = 1, .class_code = 0xff0000, .interrupt_pin = 1},
	.bars[0] = {.size = 0x8000, .flags = VIA_BAR_MEM64, .areas = areas, .n_areas = 2},
	.bars[2] = {.size = 16, .flags = VIA_BAR_IO},
	.bars[3] = {.size = 64, .valid_min = 4, .valid_max = 4, .impl_min = 4, .impl_max = 4},
	.msix = {.vectors = N_VECTORS, .table_offset = TABLE, .pba_offset = PBA},
	.express = {.present = true},
	.power_management = true,
};

static const struct via_device_ops ops = {
	.read = model_read,
	.write = model_write,
	.doorbell = model_doorbell,
	.work = model_work,
	.reset = model_reset,
	.free = model_free,
};

static inline struct model *new_device(struct via_device **ret_dev)
{
	struct model *m = calloc(1, sizeof(*m));
	struct via_error err = {0};

	assert_non_null(m);
	m->watched = -1;
	if (via_device_new(&desc, &ops, m, &err, ret_dev))
		fail_msg("%s", err.text);
	m->dev = *ret_dev;
	return m;
}

static inline int set_up(void **state)
{
	struct via_device *dev;

	*state = new_device(&dev);
	return via_device_open(dev);
}

static inline int tear_down(void **state)
{
	struct model *m = *state;
	struct via_device *dev = m->dev;

	via_device_close(dev);
	via_device_free(dev);
	return 0;
}

static inline uint16_t config_get(struct via_device *dev, uint64_t at)
{
	uint8_t b[2];

	assert_int_equal(via_device_region_read(dev, VIA_REGION_CONFIG, at, b, 2), 2);
	return via_get_le16(b);
}

static inline void config_put(struct via_device *dev, uint64_t at, uint16_t value)
{
	uint8_t b[2];

	via_put_le16(b, value);
	assert_int_equal(via_device_region_write(dev, VIA_REGION_CONFIG, at, b, 2), 2);
}

static inline uint64_t capability(struct via_device *dev, unsigned int id)
{
	uint8_t at = (uint8_t)config_get(dev, 0x34);

	for (int i = 0; at && i < 48; i++) {
		uint16_t head = config_get(dev, at);

		if ((head & 0xff) == id)
			return at;
		at = (uint8_t)(head >> 8);
	}
	fail_msg("no capability %u", id);
	return 0;
}

static inline void command(struct via_device *dev, uint16_t set, uint16_t clear)
{
	config_put(dev, 4, (uint16_t)((config_get(dev, 4) | set) & ~clear));
}

/* Wait until *word has value; false after a second. */
static inline bool becomes(const uint32_t *word, uint32_t value)
{
	for (int i = 0; i < 1000; i++) {
		if (__atomic_load_n(word, __ATOMIC_ACQUIRE) == value)
			return true;
		usleep(1000);
	}
	return false;
}

static inline int own_fd(void *cookie, int fd, int *ret_fd)
{
	*ret_fd = dup(fd);
	return *ret_fd < 0 ? -EBADF : 0;
}

static inline int set_irqs(struct via_device *dev, uint32_t index, uint32_t flags, uint32_t start,
		    uint32_t count, const int32_t *fds)
{
	static const uint8_t bools[8] = {1, 0, 1, 1};
	struct via_set_irqs set = {.index = index, .start = start, .count = count, .flags = flags,
				   .bools = bools, .fds = fds, .fd_get = own_fd};
	uint32_t argsz = 20 + 4 * count;
	size_t len;
	int ret = via_device_irqs_check(dev, argsz, &set, &len);

	return ret ? ret : via_device_set_irqs(dev, &set);
}

#define TRIGGER_FD (VIA_VFIO_IRQ_SET_DATA_EVENTFD | VIA_VFIO_IRQ_SET_ACTION_TRIGGER)

static inline uint64_t events(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	uint64_t n = 0;

	if (poll(&p, 1, 0) == 1)
		assert_int_equal(read(fd, &n, sizeof(n)), sizeof(n));
	return n;
}

/* A doorbell guard that counts. */
struct guard {
	struct via_doorbell_guard guard;
	int arm_result;
	uint32_t armed;	 /* atomic: 1 between arm and disarm */
	uint32_t arms;	 /* atomic */
	uint32_t disarms; /* atomic */
};

static inline int guard_arm(struct via_doorbell_guard *g)
{
	struct guard *guard = (struct guard *)g;

	__atomic_fetch_add(&guard->arms, 1, __ATOMIC_SEQ_CST);
	if (!guard->arm_result)
		__atomic_store_n(&guard->armed, 1, __ATOMIC_SEQ_CST);
	return guard->arm_result;
}

static inline void guard_disarm(struct via_doorbell_guard *g)
{
	struct guard *guard = (struct guard *)g;

	__atomic_store_n(&guard->armed, 0, __ATOMIC_SEQ_CST);
	__atomic_fetch_add(&guard->disarms, 1, __ATOMIC_SEQ_CST);
}

#define WITH_DEVICE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
