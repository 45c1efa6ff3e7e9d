/* SPDX-License-Identifier: MIT */
/* The mailbox example, driven as a transport drives it. */
#include "device/device.h"

#include <viaduct/abi/vfio.h>

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

int mailbox_new(struct via_error *err, struct via_device **ret_device);

static void put(struct via_device *dev, uint64_t reg, unsigned int size, uint64_t value)
{
	assert_int_equal(via_device_mapped_write(dev, 0, reg, size, value), 0);
}

static uint64_t get(struct via_device *dev, uint64_t reg)
{
	uint64_t value;

	assert_int_equal(via_device_mapped_read(dev, 0, reg, 4, &value), 0);
	return value;
}

static int own_fd(void *cookie, int fd, int *ret_fd)
{
	*ret_fd = dup(fd);
	return 0;
}

static void arm(struct via_device *dev, int fd)
{
	struct via_set_irqs set = {
		.index = VIA_IRQ_MSIX,
		.count = 1,
		.flags = VIA_VFIO_IRQ_SET_DATA_EVENTFD | VIA_VFIO_IRQ_SET_ACTION_TRIGGER,
		.fds = &fd,
		.fd_get = own_fd,
	};

	assert_int_equal(via_device_set_irqs(dev, &set), 0);
}

static void test_mailbox(void **state)
{
	static char message[4096] __attribute__((aligned(4096))) = "from user space";
	struct via_mm *self = via_mm_self();
	int irq = eventfd(0, EFD_CLOEXEC);
	const uint8_t command[2] = {6};
	struct via_space *space;
	struct via_device *dev;
	struct via_ioas *ioas;
	struct via_error err = {0};
	uint64_t count;

	if (mailbox_new(&err, &dev))
		fail_msg("%s", err.text);
	assert_int_equal(via_space_new_mm(self, &space), 0);
	assert_int_equal(via_ioas_new(via_iommu_props_intel(), &ioas), 0);
	assert_int_equal(via_ioas_map(ioas, 0x10000, space, (uintptr_t)message, 4096,
				      VIA_PROT_READ | VIA_PROT_WRITE),
			 0);
	assert_int_equal(via_device_attach(dev, ioas), 0);
	assert_int_equal(via_device_open(dev), 0);
	assert_int_equal(via_device_region_write(dev, VIA_REGION_CONFIG, 4, command, 2), 2);
	arm(dev, irq);

	assert_int_equal(get(dev, 0), 0x584f424d);
	put(dev, 4, 4, 0x1234);
	assert_int_equal(get(dev, 4), 0x1234);
	put(dev, 8, 8, 0x10000);
	put(dev, 0x10, 4, 15);
	put(dev, 0x1000, 4, 77);
	assert_int_equal(read(irq, &count, sizeof(count)), sizeof(count));
	assert_int_equal(count, 1);
	assert_string_equal(message, "FROM USER SPACE");
	assert_int_equal(get(dev, 0x14), 0);
	assert_int_equal(get(dev, 0x18), 77);

	put(dev, 0x10, 4, 4097);
	put(dev, 0x1000, 4, 78);
	assert_int_equal(get(dev, 0x14), 1);
	put(dev, 8, 8, 0x20000);
	put(dev, 0x10, 4, 1);
	put(dev, 0x1000, 4, 79);
	assert_int_equal(get(dev, 0x14), 2);
	assert_int_equal(get(dev, 0x1c), 3);
	assert_int_equal(via_device_reset(dev), 0);
	assert_int_equal(get(dev, 0x1c), 0);

	via_device_close(dev);
	assert_int_equal(via_device_attach(dev, NULL), 0);
	via_device_free(dev);
	via_ioas_put(ioas);
	via_space_put(space);
	via_mm_put(self);
	close(irq);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mailbox),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
