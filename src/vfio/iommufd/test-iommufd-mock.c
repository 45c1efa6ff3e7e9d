/* SPDX-License-Identifier: MIT */
/* HWPTs, nesting, faults, PASIDs on the mock vendor (spec iommu.md 11.5). */
#include "vfio/iommufd/test-iommufd-mock.h"

#define FAULT_FLAG VIA_IOMMU_HWPT_FAULT_ID_VALID
#define PASIDS VIA_IOMMU_HWPT_ALLOC_PASID

static struct via_iommu_fault_alloc fault_queue(struct bench *b)
{
	struct via_iommu_fault_alloc cmd = {.size = sizeof(cmd)};

	assert_int_equal(ioc(b, VIA_IOMMU_FAULT_QUEUE_ALLOC, &cmd), 0);
	return cmd;
}

static void iopf(struct bench *b, uint32_t dev, uint32_t number, uint64_t at)
{
	struct via_iommu_test_cmd cmd = {
		.iopf = {.dev_id = dev, .pasid = number, .grpid = 3, .perm = 1, .addr = at}};

	assert_int_equal(test_cmd(b, &cmd, VIA_IOMMU_TEST_TRIGGER_IOPF, 0), 0);
}

static ssize_t respond(struct bench *b, uint32_t fd, uint32_t cookie, uint32_t code)
{
	struct via_iommu_hwpt_page_response resp = {cookie, code};

	return fd_rw(b, (int)fd, &resp, sizeof(resp), 0, true);
}

static void test_case_73_74_75_76_hwpt_alloc(void **state)
{
	const uint32_t data[2] = {TLB, 0};
	struct bench *b = *state;
	const uint32_t ioas = ioas_new(b);
	const struct mocked m = mock_new(b, ioas);
	const long parent = hwpt(b, m.idev, ioas, PARENT), plain = hwpt(b, m.idev, ioas, 0);
	long child;

	assert_int_equal(hwpt(b, 99, ioas, 0), -ENOENT);
	assert_int_equal(hwpt(b, ioas, ioas, 0), -ENOENT);
	assert_int_equal(hwpt(b, m.idev, 99, 0), -EINVAL);
	assert_int_equal(hwpt(b, m.idev, m.idev, 0), -EINVAL);
	assert_int_equal(hwpt_data(b, m.idev, ioas, 0, 0, 0, data, 8), -EINVAL);
	assert_int_equal(hwpt_data(b, m.idev, (uint32_t)parent, 0, 0, NESTED_TYPE, data, 0), -EINVAL);
	assert_int_equal(hwpt(b, m.idev, ioas, PARENT | FAULT_FLAG), -EOPNOTSUPP);
	assert_int_equal(hwpt(b, m.idev, ioas, 1u << 31), -EOPNOTSUPP);
	assert_int_equal(nested(b, m.idev, (uint32_t)plain, 0, 0), -EINVAL);
	assert_int_equal(nested(b, m.idev, m.hwpt, 0, 0), -EINVAL);
	assert_int_equal(hwpt_data(b, m.idev, (uint32_t)parent, 0, 0, 1, data, 8), -EOPNOTSUPP);
	assert_int_equal(hwpt_data(b, m.idev, (uint32_t)parent, 0, 0, NESTED_TYPE, data, 3), -EINVAL);
	assert_int_equal(hwpt_data(b, m.idev, (uint32_t)parent, 0, 0, NESTED_TYPE, NULL, 8), -EFAULT);
	assert_int_equal(nested(b, m.idev, (uint32_t)parent, PARENT, 0), -EOPNOTSUPP);
	assert_int_equal(nested(b, m.idev, (uint32_t)parent, FAULT_FLAG, 99), -ENOENT);
	child = nested(b, m.idev, (uint32_t)parent, 0, 0);
	assert_true(child > 0);
	assert_int_equal(nested(b, m.idev, (uint32_t)child, 0, 0), -EINVAL);
	assert_int_equal(destroy(b, (uint32_t)parent), -EBUSY);
	assert_int_equal(destroy(b, (uint32_t)child), 0);
	assert_int_equal(destroy(b, (uint32_t)parent), 0);
	assert_int_equal(destroy(b, ioas), -EBUSY);
}

static void test_case_78_79_replace(void **state)
{
	struct bench *b = *state;
	const uint32_t one = ioas_new(b), two = ioas_new(b), third = ioas_new(b);
	const struct mocked m = mock_new(b, one);

	assert_int_equal(map_at(b, one, F, addr(b->memory), PAGE, LOW), 0);
	assert_int_equal(map_at(b, two, F, PAGE, PAGE, LOW), 0);
	assert_int_equal(replace(b, m.stdev, two), -EFAULT);
	assert_int_equal(check_map(b, m.hwpt, LOW, b->memory, PAGE), 0);
	assert_int_equal(check_map(b, m.hwpt, LOW, b->memory + PAGE, PAGE), -EINVAL);
	assert_int_equal(check_map(b, m.hwpt, LOW + 1, b->memory, PAGE), -EINVAL);
	assert_int_equal(check_map(b, one, LOW, b->memory, PAGE), -ENOENT);
	assert_int_equal(replace(b, m.idev, third), -ENOENT);
	assert_true(replace(b, m.stdev, third) > 0);
	assert_int_equal(destroy(b, m.hwpt), -ENOENT);
	assert_int_equal(destroy(b, one), 0);
	assert_int_equal(check_refs(b, b->memory, PAGE, 0), 0);
	assert_int_equal(destroy(b, m.idev), -EBUSY);
	assert_int_equal(destroy(b, m.stdev), 0);
	assert_int_equal(destroy(b, m.idev), -ENOENT);
	assert_int_equal(destroy(b, third), 0);
}

static void test_case_81_82_invalidate(void **state)
{
	struct bench *b = *state;
	const uint32_t ioas = ioas_new(b);
	const struct mocked m = mock_new(b, ioas);
	const long parent = hwpt(b, m.idev, ioas, PARENT);
	const uint32_t child = (uint32_t)nested(b, m.idev, (uint32_t)parent, 0, 0);
	const struct {
		uint32_t n, len;
		const void *data;
	} bad[] = {{(1u << 19) + 1, 8, b->memory}, {1, 0, b->memory}, {1, 4097, b->memory},
		   {1, 8, NULL},		   {1, 7, b->memory}, {1, 9, b->memory}};
	uint32_t entries[2][2] = {{0, 1}, {0, 4}}, n;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		n = bad[i].n;
		assert_int_equal(invalidate(b, child, bad[i].data, bad[i].len, &n), -EINVAL);
		assert_int_equal(n, 0);
	}
	n = 2;
	assert_int_equal(invalidate(b, child, entries, 8, &n), -EINVAL);
	assert_int_equal(n, 1);
	for (uint32_t i = 0; i < 4; i++)
		assert_int_equal(check_word(b, VIA_IOMMU_TEST_MD_CHECK_IOTLB, child, i,
					    i == 1 ? 0 : TLB),
				 0);
	assert_int_equal(check_word(b, VIA_IOMMU_TEST_MD_CHECK_IOTLB, child, 4, 0), -EINVAL);
	assert_int_equal(check_word(b, VIA_IOMMU_TEST_MD_CHECK_IOTLB, child, 1, TLB), -EINVAL);
	entries[0][0] = 2;
	n = 2;
	assert_int_equal(invalidate(b, child, entries, 8, &n), -EOPNOTSUPP);
	assert_int_equal(n, 0);
	entries[0][0] = 1;
	n = 1;
	assert_int_equal(invalidate(b, child, entries, 8, &n), 0);
	assert_int_equal(check_word(b, VIA_IOMMU_TEST_MD_CHECK_IOTLB, child, 3, 0), 0);
	n = 0;
	assert_int_equal(invalidate(b, child, NULL, 0, &n), 0);
	assert_int_equal(invalidate(b, (uint32_t)parent, NULL, 0, &n), -EINVAL);
}

/* A device on a nested HWPT with a fault queue, and its ids. */
struct faulty {
	struct mocked m;
	uint32_t ioas, parent, hwpt, queue, fd;
};

static struct faulty faulty(struct bench *b)
{
	struct via_iommu_fault_alloc queue = fault_queue(b);
	struct faulty f = {.queue = queue.out_fault_id, .fd = queue.out_fault_fd};

	f.ioas = ioas_new(b);
	f.m = mock_new(b, f.ioas);
	f.parent = (uint32_t)hwpt(b, f.m.idev, f.ioas, PARENT);
	f.hwpt = (uint32_t)nested(b, f.m.idev, f.parent, FAULT_FLAG, f.queue);
	assert_int_equal(replace(b, f.m.stdev, f.hwpt), f.hwpt);
	return f;
}

static void test_case_83_84_fault_file(void **state)
{
	struct via_iommu_hwpt_pgfault faults[3];
	struct bench *b = *state;
	const struct faulty f = faulty(b);
	const int fd = (int)f.fd;

	assert_int_equal(fd_rw(b, fd, faults, 39, 0, false), -ESPIPE);
	assert_int_equal(fd_rw(b, fd, faults, 40, 40, false), -ESPIPE);
	assert_int_equal(fd_rw(b, fd, faults, 40, 0, false), 0);
	assert_int_equal(fd_rw(b, fd, faults, 7, 0, true), -ESPIPE);
	assert_int_equal(respond(b, f.fd, 1, 0), -EINVAL);
	assert_int_equal(respond(b, f.fd, 1, 2), -EINVAL);
	assert_false(readable(b, fd));

	iopf(b, f.m.idev, 1, 0x1000);
	iopf(b, f.m.idev, 0, 0x2000);
	assert_true(readable(b, fd));
	/* No room at all is too little. */
	assert_int_equal(fd_rw(b, fd, faults, 0, 0, false), -EINVAL);
	assert_int_equal(fd_rw(b, fd, NULL, 40, 0, false), -EFAULT);
	assert_true(readable(b, fd));
	assert_int_equal(fd_rw(b, fd, faults, 120, 0, false), 80);
	assert_false(readable(b, fd));
	assert_int_equal(faults[0].cookie, 1);
	assert_int_equal(faults[0].pasid, 1);
	assert_int_equal(faults[0].flags, 3);
	assert_int_equal(faults[0].grpid, 3);
	assert_int_equal(faults[0].dev_id, f.m.idev);
	assert_int_equal(faults[0].addr, 0x1000);
	assert_int_equal(faults[1].cookie, 2);
	assert_int_equal(faults[1].flags, 2);
	assert_int_equal(respond(b, f.fd, 1, 2), -EINVAL);
	assert_int_equal(respond(b, f.fd, 1, 0), 8);
	assert_int_equal(respond(b, f.fd, 1, 0), -EINVAL);
	/* The lowest cookie that is free. */
	iopf(b, f.m.idev, 0, 0x3000);
	assert_int_equal(fd_rw(b, fd, faults, 40, 0, false), 40);
	assert_int_equal(faults[0].cookie, 1);
}

struct answers {
	unsigned int n;
	uint32_t last;
};

static void answered(void *cookie, uint32_t code)
{
	struct answers *answers = cookie;

	answers->n++;
	answers->last = code;
}

static void test_case_84_85_groups(void **state)
{
	struct via_iommu_hwpt_pgfault faults[3] = {{.addr = 1}, {.addr = 2}, {.addr = 3}};
	struct answers answers = {0};
	struct bench *b = *state;
	const struct faulty f = faulty(b);
	struct via_object *object = via_object_get(b->iommufd, f.hwpt, VIA_OBJECT_ANY);
	struct via_object *idev = via_object_get(b->iommufd, f.m.idev, VIA_OBJECT_ANY);
	struct via_hwpt *h = VIA_CONTAINER_OF(object, struct via_hwpt, object);
	struct via_idev *dev = VIA_CONTAINER_OF(idev, struct via_idev, object);

	pthread_mutex_lock(&b->iommufd->devices_lock);
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(via_fault_report(h, dev, faults, 3, answered, &answers), 0);
	pthread_mutex_unlock(&b->iommufd->devices_lock);
	via_object_put(object);
	via_object_put(idev);
	assert_int_equal(fd_rw(b, (int)f.fd, faults, 80, 0, false), -EINVAL);
	assert_int_equal(fd_rw(b, (int)f.fd, faults, 120, 0, false), 120);
	assert_int_equal(faults[0].cookie, 1);
	assert_int_equal(faults[2].cookie, 1);
	assert_int_equal(faults[2].addr, 3);
	assert_int_equal(respond(b, f.fd, 1, 0), 8);
	assert_int_equal(answers.n, 1);
	assert_int_equal(answers.last, 0);
	/* One that was read, one that was not. */
	assert_int_equal(fd_rw(b, (int)f.fd, faults, 120, 0, false), 120);
	assert_true(readable(b, (int)f.fd));
	assert_true(replace(b, f.m.stdev, f.ioas) > 0);
	assert_int_equal(answers.n, 3);
	assert_int_equal(answers.last, VIA_IOMMUFD_PAGE_RESP_INVALID);
	assert_int_equal(respond(b, f.fd, 1, 0), -EINVAL);
	assert_false(readable(b, (int)f.fd));
	assert_int_equal(fd_rw(b, (int)f.fd, faults, 120, 0, false), 0);
}

/* A program that never answers: so many groups wait for it, of so many records each, and no more. */
static void test_fault_queue_is_bounded(void **state)
{
	static struct via_iommu_hwpt_pgfault many[4097];
	struct via_iommu_hwpt_pgfault fault;
	struct answers answers = {0};
	struct bench *b = *state;
	const struct faulty f = faulty(b);
	struct via_object *object = via_object_get(b->iommufd, f.hwpt, VIA_OBJECT_ANY);
	struct via_object *idev = via_object_get(b->iommufd, f.m.idev, VIA_OBJECT_ANY);
	struct via_hwpt *h = VIA_CONTAINER_OF(object, struct via_hwpt, object);
	struct via_idev *dev = VIA_CONTAINER_OF(idev, struct via_idev, object);

	pthread_mutex_lock(&b->iommufd->devices_lock);
	assert_int_equal(via_fault_report(h, dev, many, 4097, answered, &answers), -ENOMEM);
	assert_int_equal(via_fault_report(h, dev, many, 0, answered, &answers), -ENOMEM);
	for (unsigned int i = 0; i < 65535; i++)
		assert_int_equal(via_fault_report(h, dev, many, 1, answered, &answers), 0);
	assert_int_equal(via_fault_report(h, dev, many, 4096, answered, &answers), 0);
	assert_int_equal(via_fault_report(h, dev, many, 1, answered, &answers), -ENOMEM);
	pthread_mutex_unlock(&b->iommufd->devices_lock);
	/* One that is read still counts, one that is answered does not; nobody was told of what was refused. */
	assert_int_equal(fd_rw(b, (int)f.fd, &fault, sizeof(fault), 0, false), sizeof(fault));
	pthread_mutex_lock(&b->iommufd->devices_lock);
	assert_int_equal(via_fault_report(h, dev, many, 1, answered, &answers), -ENOMEM);
	pthread_mutex_unlock(&b->iommufd->devices_lock);
	assert_int_equal(answers.n, 0);
	assert_int_equal(respond(b, f.fd, fault.cookie, 0), 8);
	assert_int_equal(answers.n, 1);
	pthread_mutex_lock(&b->iommufd->devices_lock);
	assert_int_equal(via_fault_report(h, dev, many, 1, answered, &answers), 0);
	assert_int_equal(via_fault_report(h, dev, many, 1, answered, &answers), -ENOMEM);
	pthread_mutex_unlock(&b->iommufd->devices_lock);
	via_object_put(object);
	via_object_put(idev);
	assert_true(replace(b, f.m.stdev, f.ioas) > 0);
	assert_int_equal(answers.n, 1 + 65536);
}

static void test_case_86_destroy_fault_queue(void **state)
{
	struct bench *b = *state;
	const struct via_iommu_fault_alloc queue = fault_queue(b);
	struct via_iommu_fault_alloc cmd = {.size = sizeof(cmd), .flags = 1};

	assert_int_equal(ioc(b, VIA_IOMMU_FAULT_QUEUE_ALLOC, &cmd), -EOPNOTSUPP);
	assert_int_equal(destroy(b, queue.out_fault_id), -EBUSY);
	assert_int_equal(test_close(&b->tc, (int)queue.out_fault_fd), 0);
	assert_int_equal(destroy(b, queue.out_fault_id), 0);
}

static void test_case_77_92_pasid(void **state)
{
	struct bench *b = *state;
	const uint32_t ioas = ioas_new(b);
	struct mocked m, plain = mock_new(b, ioas);
	uint32_t with, two;

	assert_int_equal(mock_flags(b, ioas, 2, &m), -EINVAL);
	assert_int_equal(mock_flags(b, ioas, 0, &m), 0);
	/* One without a width has none to give away. */
	with = (uint32_t)hwpt(b, m.idev, ioas, PASIDS);
	assert_int_equal(replace(b, m.stdev, with), with);
	assert_int_equal(pasid(b, VIA_IOMMU_TEST_PASID_ATTACH, m.stdev, 1, with), -EINVAL);
	assert_int_equal(mock_flags(b, ioas, 4, &m), 0);
	with = (uint32_t)hwpt(b, m.idev, ioas, PASIDS);
	two = (uint32_t)hwpt(b, m.idev, ioas, PASIDS);
	assert_int_equal(pasid(b, VIA_IOMMU_TEST_PASID_DETACH, m.stdev, 7, 0), 0);
	/* The device's own domain cannot have them beside it. */
	assert_int_equal(pasid(b, VIA_IOMMU_TEST_PASID_ATTACH, m.stdev, 7, with), -EINVAL);
	assert_int_equal(replace(b, m.stdev, with), with);
	assert_int_equal(pasid(b, VIA_IOMMU_TEST_PASID_ATTACH, m.stdev, 7, ioas), -EINVAL);
	assert_int_equal(pasid(b, VIA_IOMMU_TEST_PASID_ATTACH, m.stdev, 7, plain.hwpt), -EINVAL);
	assert_int_equal(pasid(b, VIA_IOMMU_TEST_PASID_ATTACH, m.stdev, 1u << 20, with), -EINVAL);
	assert_int_equal(pasid(b, VIA_IOMMU_TEST_PASID_REPLACE, m.stdev, 7, with), -EINVAL);
	assert_int_equal(pasid(b, VIA_IOMMU_TEST_PASID_ATTACH, m.stdev, 7, with), 0);
	assert_int_equal(pasid(b, VIA_IOMMU_TEST_PASID_ATTACH, m.stdev, 7, with), -EBUSY);
	assert_int_equal(pasid(b, VIA_IOMMU_TEST_PASID_ATTACH, m.stdev, 7, two), -EBUSY);
	assert_int_equal(pasid(b, VIA_IOMMU_TEST_PASID_CHECK_HWPT, m.stdev, 7, with), 0);
	assert_int_equal(pasid(b, VIA_IOMMU_TEST_PASID_CHECK_HWPT, m.stdev, 7, two), -EINVAL);
	assert_int_equal(pasid(b, VIA_IOMMU_TEST_PASID_CHECK_HWPT, m.stdev, 7, 0), -EINVAL);
	assert_int_equal(pasid(b, VIA_IOMMU_TEST_PASID_CHECK_HWPT, m.stdev, 8, 0), 0);
	assert_int_equal(replace(b, m.stdev, ioas), -EINVAL);
	assert_int_equal(pasid(b, VIA_IOMMU_TEST_PASID_DETACH, m.stdev, 7, 0), 0);
	/* Every second time this one says no. */
	assert_int_equal(pasid(b, VIA_IOMMU_TEST_PASID_ATTACH, m.stdev, 1024, with), 0);
	assert_int_equal(pasid(b, VIA_IOMMU_TEST_PASID_REPLACE, m.stdev, 1024, two), -ENOMEM);
	assert_int_equal(pasid(b, VIA_IOMMU_TEST_PASID_CHECK_HWPT, m.stdev, 1024, with), 0);
	assert_int_equal(pasid(b, VIA_IOMMU_TEST_PASID_DETACH, m.stdev, 1024, 0), 0);
	assert_int_equal(pasid(b, VIA_IOMMU_TEST_PASID_ATTACH, m.stdev, 1024, two), 0);
}

static void test_device_without_dirty_tracking(void **state)
{
	const uint32_t dirty = VIA_IOMMU_HWPT_ALLOC_DIRTY_TRACKING;
	struct bench *b = *state;
	const uint32_t ioas = ioas_new(b);
	const struct mocked able = mock_new(b, ioas);
	const uint32_t tracking = (uint32_t)hwpt(b, able.idev, ioas, dirty);
	struct mocked m;

	assert_int_equal(mock_flags(b, ioas, 1, &m), 0);
	assert_int_equal(hwpt(b, m.idev, ioas, dirty), -EOPNOTSUPP);
	assert_int_equal(replace(b, m.stdev, tracking), -EINVAL);
	assert_int_equal(mock_flags(b, tracking, 1, &m), -EINVAL);
}

static void test_hw_info(void **state)
{
	uint32_t out[4] = {1, 1, 1, 1};
	struct bench *b = *state;
	const struct mocked m = mock_new(b, ioas_new(b));
	struct via_iommu_hw_info cmd = {.size = sizeof(cmd),
					.dev_id = m.idev,
					.data_len = sizeof(out),
					.data_uptr = addr(out)};

	assert_int_equal(ioc(b, VIA_IOMMU_GET_HW_INFO, &cmd), 0);
	assert_int_equal(cmd.data_type, 0xfeedbeef);
	assert_int_equal(cmd.data_len, 8);
	assert_int_equal(out[0], 0);
	assert_int_equal(out[1], 0xdeadbeef);
	assert_int_equal(out[2] | out[3], 0);
	assert_int_equal(cmd.out_capabilities, 9);
	cmd.flags = VIA_IOMMU_HW_INFO_FLAG_INPUT_TYPE;
	cmd.data_type = 1;
	assert_int_equal(ioc(b, VIA_IOMMU_GET_HW_INFO, &cmd), -EOPNOTSUPP);
}

static void test_other_operations(void **state)
{
	struct via_iommu_test_cmd cmd = {0};
	struct bench *b = *state;
	const uint32_t ioas = ioas_new(b);

	assert_int_equal(test_cmd(b, &cmd, 0, 0), -EOPNOTSUPP);
	assert_int_equal(test_cmd(b, &cmd, 24, 0), -EOPNOTSUPP);
	cmd.memory.limit = 11;
	assert_int_equal(test_cmd(b, &cmd, VIA_IOMMU_TEST_SET_TEMP_MEMORY_LIMIT, 0), -EINVAL);
	cmd.memory.limit = 12;
	assert_int_equal(test_cmd(b, &cmd, VIA_IOMMU_TEST_SET_TEMP_MEMORY_LIMIT, 0), 0);
	cmd.reserve.start = MAX;
	cmd.reserve.length = 2;
	assert_int_equal(test_cmd(b, &cmd, VIA_IOMMU_TEST_ADD_RESERVED, ioas), -EOVERFLOW);
	cmd.reserve.length = 0;
	assert_int_equal(test_cmd(b, &cmd, VIA_IOMMU_TEST_ADD_RESERVED, ioas), -EINVAL);
	cmd.reserve.length = 1;
	assert_int_equal(test_cmd(b, &cmd, VIA_IOMMU_TEST_ADD_RESERVED, 99), -ENOENT);
	assert_int_equal(test_cmd(b, &cmd, VIA_IOMMU_TEST_ADD_RESERVED, ioas), 0);
	assert_int_equal(test_cmd(b, &cmd, VIA_IOMMU_TEST_MOCK_DOMAIN, 99), -ENOENT);
	/* Nothing of the failed device is left. */
	assert_int_equal(ioas_new(b), ioas + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		MOCK(test_case_73_74_75_76_hwpt_alloc),
		MOCK(test_case_77_92_pasid),
		MOCK(test_case_78_79_replace),
		MOCK(test_case_81_82_invalidate),
		MOCK(test_case_83_84_fault_file),
		MOCK(test_case_84_85_groups),
		MOCK(test_fault_queue_is_bounded),
		MOCK(test_case_86_destroy_fault_queue),
		MOCK(test_device_without_dirty_tracking),
		MOCK(test_hw_info),
		MOCK(test_other_operations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
