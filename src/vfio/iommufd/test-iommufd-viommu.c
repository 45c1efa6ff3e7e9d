/* SPDX-License-Identifier: MIT */
/* vIOMMUs, their devices, events and queues on the mock vendor (spec iommu.md 11.5). */
#include "vfio/iommufd/test-iommufd-mock.h"

static void test_case_80_viommu_busy(void **state)
{
	struct bench *b = *state;
	const struct virtual v = virtual(b);
	struct via_iommu_viommu_alloc cmd = {
		.size = sizeof(cmd), .type = TYPE, .dev_id = v.m.idev, .hwpt_id = v.parent};
	long vdev, child;

	cmd.flags = 1;
	assert_int_equal(ioc(b, VIA_IOMMU_VIOMMU_ALLOC, &cmd), -EOPNOTSUPP);
	cmd.flags = 0;
	cmd.type = 0xdead;
	cmd.hwpt_id = 99;
	assert_int_equal(ioc(b, VIA_IOMMU_VIOMMU_ALLOC, &cmd), -EOPNOTSUPP);
	assert_int_equal(viommu(b, v.m.idev, 0, NULL, 0), -ENOENT);
	assert_int_equal(viommu(b, 99, v.parent, NULL, 0), -ENOENT);
	assert_int_equal(viommu(b, v.m.idev, v.m.hwpt, NULL, 0), -EINVAL);
	assert_int_equal(viommu(b, v.m.idev, v.parent, NULL, 24), -EFAULT);
	assert_int_equal(viommu(b, v.m.idev, v.parent, b->memory, 4), -EINVAL);

	child = nested(b, v.m.idev, v.viommu, 0, 0);
	assert_true(child > 0);
	assert_int_equal(replace(b, v.m.stdev, (uint32_t)child), -ENOENT);
	vdev = vdevice(b, v.viommu, v.m.idev, 0x99);
	assert_true(vdev > 0);
	assert_int_equal(vdevice(b, v.viommu, v.m.idev, 0x98), -EEXIST);
	assert_int_equal(vdevice(b, v.viommu, mock_new(b, v.ioas).idev, 0x99), -EEXIST);
	assert_int_equal(vdevice(b, 99, v.m.idev, 0x99), -ENOENT);
	assert_int_equal(vdevice(b, v.viommu, 99, 0x99), -ENOENT);
	assert_int_equal(replace(b, v.m.stdev, (uint32_t)child), child);
	assert_int_equal(destroy(b, v.parent), -EBUSY);
	assert_int_equal(destroy(b, v.viommu), -EBUSY);
	assert_int_equal(replace(b, v.m.stdev, v.parent), v.parent);
	assert_int_equal(destroy(b, (uint32_t)child), 0);
	assert_int_equal(destroy(b, v.viommu), -EBUSY);
	assert_int_equal(destroy(b, (uint32_t)vdev), 0);
	assert_int_equal(destroy(b, v.viommu), 0);
}

/* A nested HWPT of a vIOMMU for a device that another vendor's IOMMU translates. */
static void test_viommu_of_another_vendor(void **state)
{
	struct bench *b = *state;
	const struct virtual v = virtual(b);
	const uint32_t other = ioas_new(b);

	assert_true(attach(b, 0, other) > 0);
	assert_int_equal(nested(b, b->hws[0].idev->object.id, v.viommu, 0, 0), -EINVAL);
	assert_int_equal(nested(b, b->hws[0].idev->object.id, v.parent, 0, 0), -EOPNOTSUPP);
	assert_true(nested(b, v.m.idev, v.viommu, 0, 0) > 0);
}

static void test_device_cache(void **state)
{
	struct bench *b = *state;
	const struct virtual v = virtual(b);
	uint32_t entries[2][3] = {{0, 0x99, 1}, {0, 0x98, 0}}, n = 2;

	assert_true(vdevice(b, v.viommu, v.m.idev, 0x99) > 0);
	assert_int_equal(invalidate(b, v.viommu, entries, 12, &n), -EINVAL);
	assert_int_equal(n, 1);
	for (uint32_t i = 0; i < 4; i++)
		assert_int_equal(check_word(b, VIA_IOMMU_TEST_DEV_CHECK_CACHE, v.m.idev, i,
					    i == 1 ? 0 : 0xbaddad),
				 0);
	/* Of a short entry the rest is zero, and so is what follows a long one. */
	n = 1;
	assert_int_equal(invalidate(b, v.viommu, entries, 8, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(check_word(b, VIA_IOMMU_TEST_DEV_CHECK_CACHE, v.m.idev, 0, 0), 0);
	assert_int_equal(invalidate(b, v.viommu, entries, 16, &n), 0);
	n = 1;
	assert_int_equal(invalidate(b, v.viommu, entries, 20, &n), -E2BIG);
	assert_int_equal(n, 0);
	assert_int_equal(check_word(b, VIA_IOMMU_TEST_DEV_CHECK_CACHE, v.m.stdev, 0, 0), -ENOENT);
}

static uint32_t veventq(struct bench *b, uint32_t id, uint32_t depth, uint32_t *ret_fd)
{
	struct via_iommu_veventq_alloc cmd = {
		.size = sizeof(cmd), .viommu_id = id, .type = EVENT_TYPE, .veventq_depth = depth};

	assert_int_equal(ioc(b, VIA_IOMMU_VEVENTQ_ALLOC, &cmd), 0);
	*ret_fd = cmd.out_veventq_fd;
	assert_int_equal(ioc(b, VIA_IOMMU_VEVENTQ_ALLOC, &cmd), -EEXIST);
	cmd.reserved = 1;
	assert_int_equal(ioc(b, VIA_IOMMU_VEVENTQ_ALLOC, &cmd), -EOPNOTSUPP);
	cmd.reserved = 0;
	cmd.veventq_depth = 0;
	assert_int_equal(ioc(b, VIA_IOMMU_VEVENTQ_ALLOC, &cmd), -EINVAL);
	cmd.veventq_depth = (1u << 19) + 1;
	assert_int_equal(ioc(b, VIA_IOMMU_VEVENTQ_ALLOC, &cmd), -EINVAL);
	return cmd.out_veventq_id;
}

static long vevent(struct bench *b, uint32_t dev)
{
	struct via_iommu_test_cmd cmd = {.vevent.dev_id = dev};

	return test_cmd(b, &cmd, VIA_IOMMU_TEST_TRIGGER_VEVENT, 0);
}

static void test_case_87_lost_events(void **state)
{
	struct bench *b = *state;
	const struct virtual v = virtual(b);
	uint32_t fd, out[8], queue;

	assert_int_equal(vevent(b, v.m.idev), -ENOENT);
	assert_true(vdevice(b, v.viommu, v.m.idev, 0x99) > 0);
	assert_true(replace(b, v.m.stdev, (uint32_t)nested(b, v.m.idev, v.viommu, 0, 0)) > 0);
	assert_int_equal(vevent(b, v.m.idev), -EOPNOTSUPP);
	queue = veventq(b, v.viommu, 1, &fd);
	assert_int_equal(fd_rw(b, (int)fd, out, 0, 0, false), -EINVAL);
	assert_int_equal(fd_rw(b, (int)fd, out, 7, 0, false), -EINVAL);
	assert_int_equal(fd_rw(b, (int)fd, out, 8, 8, false), -ESPIPE);
	assert_int_equal(fd_rw(b, (int)fd, out, 8, 0, false), 0);
	assert_int_equal(fd_rw(b, (int)fd, out, 8, 0, true), -EINVAL);
	assert_false(readable(b, (int)fd));
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(vevent(b, v.m.idev), 0);
	assert_true(readable(b, (int)fd));
	assert_int_equal(fd_rw(b, (int)fd, out, 8, 0, false), -EINVAL);
	assert_int_equal(fd_rw(b, (int)fd, NULL, 64, 0, false), -EFAULT);
	/* An event, then what tells that one was lost, which has no data. */
	assert_int_equal(fd_rw(b, (int)fd, out, sizeof(out), 0, false), 20);
	assert_int_equal(out[0], 0);
	assert_int_equal(out[1], 0);
	assert_int_equal(out[2], 0x99);
	assert_int_equal(out[3], VIA_IOMMU_VEVENTQ_FLAG_LOST_EVENTS);
	assert_int_equal(out[4], 2);
	assert_false(readable(b, (int)fd));
	assert_int_equal(vevent(b, v.m.idev), 0);
	assert_int_equal(fd_rw(b, (int)fd, out, sizeof(out), 0, false), 12);
	assert_int_equal(out[1], 3);
	assert_int_equal(destroy(b, queue), -EBUSY);
	assert_int_equal(test_close(&b->tc, (int)fd), 0);
	assert_int_equal(destroy(b, queue), 0);
}

/*
 * A door whose program refuses a descriptor: the file has been published by then,
 * and leads to what is behind it until its end is seen.
 */
static struct via_file *published;

static int refuse(struct via_caller *caller, struct via_file *file, bool cloexec)
{
	published = via_file_get(file);
	return -EMFILE;
}

static void test_refused_descriptors(void **state)
{
	struct bench *b = *state;
	const struct virtual v = virtual(b);
	const struct via_caller_ops *ops = b->tc.caller.ops;
	struct via_caller_ops refusing = *ops;
	struct via_iommu_fault_alloc fault = {.size = sizeof(fault)};
	struct via_iommu_veventq_alloc events = {
		.size = sizeof(events), .viommu_id = v.viommu, .type = 0xbeefbeef, .veventq_depth = 2};
	const struct {
		unsigned long cmd;
		void *arg;
		size_t len;
	} calls[] = {{VIA_IOMMU_FAULT_QUEUE_ALLOC, &fault, 40}, {VIA_IOMMU_VEVENTQ_ALLOC, &events, 64}};
	uint32_t first = ioas_new(b);

	refusing.file_put = refuse;
	for (size_t i = 0; i < 2; i++) {
		b->tc.caller.ops = &refusing;
		assert_int_equal(ioc(b, calls[i].cmd, calls[i].arg), -EMFILE);
		b->tc.caller.ops = ops;
		/* Its id is free at once, its type of the vIOMMU too. */
		assert_int_equal(ioas_new(b), first + 1);
		assert_int_equal(destroy(b, first + 1), 0);
		assert_int_equal(via_file_pread(published, &b->tc.caller, (uintptr_t)b->memory,
						calls[i].len, 0), 0);
		assert_true(published->ops->poll_fd(published) >= 0);
		if (i)
			assert_int_equal(destroy(b, v.viommu), -EBUSY);
		via_file_put(published);
	}
	assert_int_equal(ioc(b, VIA_IOMMU_VEVENTQ_ALLOC, &events), 0);
	test_close(&b->tc, (int)events.out_veventq_fd);
	assert_int_equal(destroy(b, events.out_veventq_id), 0);
	assert_int_equal(destroy(b, v.viommu), 0);
}

static void test_case_88_vdevice_tombstone(void **state)
{
	struct bench *b = *state;
	const struct virtual v = virtual(b);
	const long vdev = vdevice(b, v.viommu, v.m.idev, 0x99);

	assert_int_equal(destroy(b, v.m.stdev), 0);
	assert_int_equal(destroy(b, (uint32_t)vdev), -ENOENT);
	for (unsigned int i = 0; i < 100; i++)
		assert_int_not_equal(ioas_new(b), vdev);
	assert_int_equal(destroy(b, v.viommu), 0);
}

static void test_case_89_mmap(void **state)
{
	const struct {
		uint64_t offset, len;
		int prot, flags, want;
	} bad[] = {
		{0x1000, 0x1000, PROT_READ, MAP_SHARED, -ENXIO},
		{0x2000, 0x2000, PROT_READ, MAP_SHARED, -ENXIO},
		{0x3000, 0x2000, PROT_READ, MAP_SHARED, -ENXIO},
		{0x1000, 0x4000, PROT_READ, MAP_SHARED, -ENXIO},
		{0, 0x2000, PROT_READ, MAP_SHARED, -ENXIO},
		{0x1000, 0x2000, PROT_READ | PROT_EXEC, MAP_SHARED, -EPERM},
		{0x1000, 0x2000, PROT_READ, MAP_PRIVATE, -EINVAL},
	};
	struct {
		uint32_t in, out;
		uint64_t offset, length;
	} data = {.in = 0xbeef};
	struct bench *b = *state;
	const struct virtual v = virtual(b);
	const long id = viommu(b, v.m.idev, v.parent, &data, sizeof(data));
	struct via_mmap map = {0};
	struct via_file *file = NULL;
	uint32_t word = 0;

	assert_true(id > 0);
	assert_int_equal(data.out, 0xbeef);
	assert_int_equal(data.offset, 0x1000);
	assert_int_equal(data.length, 0x2000);
	assert_int_equal(test_file_get(&b->tc.caller, b->fd, &file), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(via_file_mmap(file, &b->tc.caller, bad[i].offset, bad[i].len,
					       bad[i].prot, bad[i].flags, &map),
				 bad[i].want);
	assert_int_equal(via_file_mmap(file, &b->tc.caller, 0x1000, 0x2000, PROT_READ, MAP_SHARED,
				       &map),
			 0);
	assert_int_equal(pread(map.fd, &word, sizeof(word), (off_t)map.offset), sizeof(word));
	assert_int_equal(word, 0xbeef);
	assert_int_equal(destroy(b, (uint32_t)id), -EBUSY);
	/* The next one gets the next pages. */
	assert_true(viommu(b, v.m.idev, v.parent, &data, sizeof(data)) > 0);
	assert_int_equal(data.offset, 0x3000);
	map.unmapped(map.owner);
	assert_int_equal(destroy(b, (uint32_t)id), 0);
	assert_true(viommu(b, v.m.idev, v.parent, &data, sizeof(data)) > 0);
	assert_int_equal(data.offset, 0x1000);
	via_file_put(file);
}

static long hw_queue(struct bench *b, uint32_t id, uint32_t index, uint64_t iova, uint64_t length)
{
	struct via_iommu_hw_queue_alloc cmd = {
		.size = sizeof(cmd),
		.viommu_id = id,
		.type = TYPE,
		.index = index,
		.nesting_parent_iova = iova,
		.length = length,
	};
	long ret = ioc(b, VIA_IOMMU_HW_QUEUE_ALLOC, &cmd);

	return ret < 0 ? ret : (long)cmd.out_hw_queue_id;
}

static void test_case_90_hw_queue(void **state)
{
	struct via_iommu_hw_queue_alloc cmd = {.size = sizeof(cmd), .length = PAGE};
	struct bench *b = *state;
	const struct virtual v = virtual(b);
	long first, second;

	cmd.viommu_id = v.viommu;
	assert_int_equal(ioc(b, VIA_IOMMU_HW_QUEUE_ALLOC, &cmd), -EOPNOTSUPP);
	cmd.type = 5;
	assert_int_equal(ioc(b, VIA_IOMMU_HW_QUEUE_ALLOC, &cmd), -EOPNOTSUPP);
	assert_int_equal(map_at(b, v.ioas, F, addr(b->memory), 2 * PAGE, LOW), 0);
	assert_int_equal(map_at(b, v.ioas, F, addr(b->memory) + 2 * PAGE, PAGE, LOW + 2 * PAGE), 0);
	assert_int_equal(map_at(b, v.ioas, FIXED | WRITE, addr(b->memory) + 3 * PAGE, PAGE,
				LOW + 3 * PAGE),
			 0);
	assert_int_equal(hw_queue(b, v.viommu, 0, LOW, 0), -EINVAL);
	assert_int_equal(hw_queue(b, v.viommu, 0, MAX, 2), -EOVERFLOW);
	/* The last page that there could be. */
	assert_int_equal(hw_queue(b, v.viommu, 0, -(uint64_t)PAGE, PAGE), -ENOENT);
	assert_int_equal(hw_queue(b, v.viommu, 0, -(uint64_t)PAGE, PAGE + 1), -EOVERFLOW);
	assert_int_equal(hw_queue(b, v.viommu, 0, 0, MAX), -ERANGE);
	assert_int_equal(hw_queue(b, v.viommu, 0, LOW + 4 * PAGE, PAGE), -ENOENT);
	assert_int_equal(hw_queue(b, v.viommu, 0, LOW + 3 * PAGE, PAGE), -EPERM);
	assert_int_equal(hw_queue(b, v.viommu, 1, LOW, PAGE), -EIO);
	assert_int_equal(hw_queue(b, v.viommu, 2, LOW, PAGE), -EINVAL);
	first = hw_queue(b, v.viommu, 0, LOW, PAGE);
	assert_true(first > 0);
	/* The id after it is its access's. */
	assert_int_equal(destroy(b, (uint32_t)first + 1), -EBUSY);
	assert_int_equal(hw_queue(b, v.viommu, 0, LOW, PAGE), -EEXIST);
	assert_int_equal(unmap(b, v.ioas, LOW, 2 * PAGE), -EBUSY);
	assert_int_equal(unmap(b, v.ioas, LOW + 2 * PAGE, PAGE), 0);
	second = hw_queue(b, v.viommu, 1, LOW + PAGE / 2, PAGE / 2);
	assert_true(second > 0);
	assert_int_equal(destroy(b, (uint32_t)first), -EBUSY);
	assert_int_equal(destroy(b, v.viommu), -EBUSY);
	assert_int_equal(destroy(b, (uint32_t)second), 0);
	assert_int_equal(unmap(b, v.ioas, LOW, 2 * PAGE), -EBUSY);
	assert_int_equal(destroy(b, (uint32_t)first), 0);
	assert_int_equal(unmap(b, v.ioas, LOW, 2 * PAGE), 0);
	assert_int_equal(destroy(b, v.viommu), 0);
}

static void test_case_91_hw_queue_apart(void **state)
{
	struct bench *b = *state;
	const struct virtual v = virtual(b);

	/* Two pages in a row of IOVAs whose memory is not. */
	assert_int_equal(map_at(b, v.ioas, F, addr(b->memory) + PAGE, PAGE, LOW), 0);
	assert_int_equal(map_at(b, v.ioas, F, addr(b->memory), PAGE, LOW + PAGE), 0);
	assert_int_equal(hw_queue(b, v.viommu, 0, LOW, 2 * PAGE), -EFAULT);
	assert_int_equal(unmap(b, v.ioas, LOW, 2 * PAGE), 0);
	assert_int_equal(check_refs(b, b->memory, 2 * PAGE, 0), 0);
}

static bool has_gone(struct via_caller *caller)
{
	return true;
}

/* What a program asks for at great length ends with it. */
static void test_long_work(void **state)
{
	enum { N = 512 };
	struct bench *b = *state;
	const struct virtual v = virtual(b);
	const struct via_caller_ops *ops = b->tc.caller.ops;
	struct via_caller_ops gone = *ops;
	uint32_t(*entries)[3] = calloc(N, sizeof(*entries)), n = N;
	uint8_t *pages = mmap(NULL, N * PAGE, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	assert_non_null(entries);
	assert_ptr_not_equal(pages, MAP_FAILED);
	assert_true(vdevice(b, v.viommu, v.m.idev, 0x99) > 0);
	for (uint32_t i = 0; i < N; i++)
		entries[i][1] = 0x99;
	assert_int_equal(check_refs(b, pages, N * PAGE, 0), 0);
	gone.gone = has_gone;
	b->tc.caller.ops = &gone;
	assert_int_equal(check_refs(b, pages, N * PAGE, 0), -EINTR);
	assert_int_equal(invalidate(b, v.viommu, entries, 12, &n), -EINTR);
	assert_int_equal(n, 0);
	b->tc.caller.ops = ops;
	n = N;
	assert_int_equal(invalidate(b, v.viommu, entries, 12, &n), 0);
	assert_int_equal(n, N);
	munmap(pages, N * PAGE);
	free(entries);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		MOCK(test_case_80_viommu_busy),
		MOCK(test_case_87_lost_events),
		MOCK(test_refused_descriptors),
		MOCK(test_case_88_vdevice_tombstone),
		MOCK(test_case_89_mmap),
		MOCK(test_case_90_hw_queue),
		MOCK(test_case_91_hw_queue_apart),
		MOCK(test_viommu_of_another_vendor),
		MOCK(test_device_cache),
		MOCK(test_long_work),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
