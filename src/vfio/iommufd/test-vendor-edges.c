/* SPDX-License-Identifier: MIT */
/*
 * Hardware of several vendors in one context, and such as cannot do what it is asked for: what is
 * another vendor's is -EINVAL, what a vendor does not have -EOPNOTSUPP.
 */
#include "vfio/iommufd/intel.h"
#include "vfio/iommufd/mock.h"
#include "vfio/iommufd/test-iommufd-mock.h"


/* The id of hardware 0 as a device. */
static uint32_t device(struct bench *b)
{
	assert_int_equal(via_idev_bind(b->iommufd, &b->hws[0].hw, &b->hws[0].idev), 0);
	return b->hws[0].idev->object.id;
}

static void test_other_vendors_objects(void **state)
{
	struct bench *b = *state;
	const uint32_t ioas = ioas_new(b), dev = device(b);
	const struct mocked m = mock_new(b, ioas);
	const uint32_t parent = (uint32_t)hwpt(b, m.idev, ioas, PARENT);
	const long id = viommu(b, m.idev, parent, NULL, 0);
	struct via_iommu_test_cmd event = {.vevent.dev_id = dev};
	long own;

	assert_true(id > 0);
	assert_int_equal(attach(b, 0, parent), -EINVAL);
	/* There is a domain that would not fit; it gets one of its own. */
	own = attach(b, 0, ioas);
	assert_true(own > 0 && own != m.hwpt && own != parent);
	assert_int_equal(vdevice(b, (uint32_t)id, dev, 1), -EINVAL);
	assert_int_equal(viommu(b, dev, parent, NULL, 0), -EOPNOTSUPP);

	/* Nor does TEST_CMD look into what it has not made. */
	assert_int_equal(check_map(b, (uint32_t)own, LOW, b->memory, PAGE), -EINVAL);
	assert_int_equal(check_word(b, VIA_IOMMU_TEST_DEV_CHECK_CACHE, dev, 0, 0xbaddad), -EINVAL);
	assert_int_equal(test_cmd(b, &event, VIA_IOMMU_TEST_TRIGGER_VEVENT, 0), -EINVAL);
}

static void test_no_domains(void **state)
{
	static const struct via_iommu_hw_ops ops = {.name = "no domains", .attach = test_attach};
	struct bench *b = *state;
	const uint32_t ioas = ioas_new(b);

	b->hws[0].hw.ops = &ops;
	assert_int_equal(attach(b, 0, ioas), -EOPNOTSUPP);
	assert_int_equal(destroy(b, ioas), 0);
}

static void test_no_attachments(void **state)
{
	static const struct via_iommu_hw_ops ops = {.name = "no attachments",
						    .paging = test_paging};
	struct bench *b = *state;
	const uint32_t ioas = ioas_new(b);

	b->hws[0].hw.ops = &ops;
	assert_int_equal(attach(b, 0, ioas), -EOPNOTSUPP);
	assert_int_equal(destroy(b, ioas), 0);
}

static int plain_nested(struct via_iommu_hw *hw, const struct via_iommufd_call *call,
			struct via_hwpt *parent, struct via_viommu *viommu, uint32_t flags,
			uint32_t data_type, uint32_t data_len, uint64_t data_uptr,
			void **ret_private)
{
	*ret_private = hw;
	return 0;
}

static int plain_viommu(struct via_iommu_hw *hw, const struct via_iommufd_call *call, uint32_t type,
			uint32_t data_len, uint64_t data_uptr, struct via_viommu *viommu)
{
	static const struct via_viommu_ops ops = {0};

	if (viommu)
		viommu->ops = &ops;
	return 0;
}

/* Nested domains and a vIOMMU without caches. */
static void test_nothing_to_invalidate(void **state)
{
	static const struct via_iommu_hw_ops ops = {
		.name = "plain",
		.paging = test_paging,
		.nested = plain_nested,
		.attach = test_attach,
		.viommu = plain_viommu,
	};
	struct bench *b = *state;
	const uint32_t ioas = ioas_new(b);
	uint32_t dev, parent, n = 1;
	long child, id;

	b->hws[0].hw.ops = &ops;
	dev = device(b);
	parent = (uint32_t)hwpt(b, dev, ioas, PARENT);
	child = nested(b, dev, parent, 0, 0);
	id = viommu(b, dev, parent, NULL, 0);
	assert_true(child > 0 && id > 0);
	assert_int_equal(invalidate(b, (uint32_t)child, b->memory, 8, &n), -EOPNOTSUPP);
	assert_int_equal(n, 0);
	n = 1;
	assert_int_equal(invalidate(b, (uint32_t)id, b->memory, 8, &n), -EOPNOTSUPP);
	assert_int_equal(n, 0);
}

/* What the vendors refuse themselves, whatever has been checked before they are asked. */
static void test_vendors_refuse(void **state)
{
	struct via_iommu_hw *intel = via_intel_hw_new(NULL, false);
	void *private = NULL;

	(void)state;
	assert_non_null(intel);
	assert_int_equal(intel->ops->nested(intel, NULL, NULL, NULL, 0, 0, 0, 0, &private),
			 -EOPNOTSUPP);
	via_intel_hw_free(intel);
	assert_int_equal(
		via_mock_hw_ops.nested(NULL, NULL, NULL, NULL, PARENT, NESTED_TYPE, 8, 0, &private),
		-EOPNOTSUPP);
	assert_null(private);
}

/* A device that somebody is looking at is unbound when he has done. */
struct unbinder {
	struct via_idev *idev;
	bool done; /* atomic */
};

static void *unbind(void *arg)
{
	struct unbinder *unbinder = arg;

	via_idev_unbind(unbinder->idev);
	__atomic_store_n(&unbinder->done, true, __ATOMIC_RELEASE);
	return NULL;
}

static void test_unbind_waits(void **state)
{
	struct bench *b = *state;
	struct via_object *object = via_object_get(b->iommufd, device(b), VIA_OBJECT_DEVICE);
	struct unbinder unbinder = {.idev = b->hws[0].idev};
	pthread_t thread;

	assert_non_null(object);
	assert_int_equal(pthread_create(&thread, NULL, unbind, &unbinder), 0);
	usleep(30000);
	assert_false(__atomic_load_n(&unbinder.done, __ATOMIC_ACQUIRE));
	via_object_put(object);
	assert_int_equal(pthread_join(thread, NULL), 0);
	b->hws[0].idev = NULL;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		MOCK(test_other_vendors_objects),
		MOCK(test_no_domains),
		MOCK(test_no_attachments),
		MOCK(test_nothing_to_invalidate),
		cmocka_unit_test(test_vendors_refuse),
		MOCK(test_unbind_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
