/* SPDX-License-Identifier: MIT */
/* Memory runs out: each allocation of a device fails once. Linked with --wrap of the allocators. */
#include "base/test-allocations.h"
#include "device/test-device.h"

static unsigned int open_fds(void)
{
	unsigned int n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void test_every_allocation(void **state)
{
	static const uint8_t vpd[] = {0x78, 0, 0, 0};
	static const uint32_t power[] = {1};
	static const struct via_pci_cap caps[] = {
		{.kind = VIA_CAP_VPD, .vpd = {vpd, sizeof(vpd), false}},
		{.kind = VIA_CAP_POWER_BUDGET, .power_budget = {power, 1}},
	};
	struct via_device_desc d = desc;
	unsigned int before = open_fds();
	struct via_device *dev = NULL;
	long at;

	d.caps = caps;
	d.n_caps = 2;
	for (at = 0; !dev; at++) {
		struct model *m = calloc(1, sizeof(*m));
		bool freed = false;
		int ret;

		assert_non_null(m);
		m->freed = &freed;
		fail_allocation(at);
		ret = via_device_new(&d, &ops, m, NULL, &dev);
		fail_allocation(-1);
		if (!ret) {
			/* Only because none of them has failed. */
			assert_true(n_allocations <= at);
			via_device_free(dev);
			break;
		}
		if (ret != -ENOMEM)
			fail_msg("allocation %ld: %d", at, ret);
		assert_true(freed);
		assert_int_equal(open_fds(), before);
	}
	/* The device, its BARs with their buses, config space, interrupts. */
	assert_true(at >= 12);
	assert_int_equal(open_fds(), before);
}

static void test_watch(void **state)
{
	struct model *m = *state;

	m->watched = eventfd(0, EFD_CLOEXEC);
	fail_allocation(0);
	assert_int_equal(via_device_watch(m->dev, m->watched, 0x100), -ENOMEM);
	fail_allocation(-1);
	assert_int_equal(via_device_watch(m->dev, m->watched, 0x100), 0);
	assert_int_equal(via_device_watch(m->dev, m->watched, 0), 0);
	close(m->watched);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_allocation),
		WITH_DEVICE(test_watch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
