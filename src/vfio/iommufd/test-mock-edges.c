/* SPDX-License-Identifier: MIT */
/* The most that the mock vendor's objects take, and one more (spec iommu.md 11.5, 11.8). */
#include "vfio/iommufd/test-iommufd-mock.h"

#define FAULT_FLAG VIA_IOMMU_HWPT_FAULT_ID_VALID
#define LENGTH_MAX (16u << 20) /* of a pin or a copy */

/* Page requests --------------------------------------------------------------- */

static int report(struct via_hwpt *hwpt, struct via_idev *idev,
		  const struct via_iommu_hwpt_pgfault *faults, size_t n)
{
	int ret;

	pthread_mutex_lock(&idev->object.iommufd->devices_lock);
	ret = via_fault_report(hwpt, idev, faults, n, NULL, NULL);
	pthread_mutex_unlock(&idev->object.iommufd->devices_lock);
	return ret;
}

static void test_most_page_requests(void **state)
{
	static struct via_iommu_hwpt_pgfault faults[4097];
	struct via_iommu_fault_alloc queue = {.size = sizeof(queue)};
	struct bench *b = *state;
	const struct virtual v = virtual(b);
	struct via_object *child, *dev, *parent;
	struct via_hwpt *hwpt;
	struct via_idev *idev;

	assert_int_equal(ioc(b, VIA_IOMMU_FAULT_QUEUE_ALLOC, &queue), 0);
	child = via_object_get(
		b->iommufd, (uint32_t)nested(b, v.m.idev, v.parent, FAULT_FLAG, queue.out_fault_id),
		VIA_OBJECT_HWPT_NESTED);
	dev = via_object_get(b->iommufd, v.m.idev, VIA_OBJECT_DEVICE);
	parent = via_object_get(b->iommufd, v.parent, VIA_OBJECT_HWPT_PAGING);
	assert_true(child && dev && parent);
	hwpt = VIA_CONTAINER_OF(child, struct via_hwpt, object);
	idev = VIA_CONTAINER_OF(dev, struct via_idev, object);

	assert_int_equal(report(VIA_CONTAINER_OF(parent, struct via_hwpt, object), idev, faults, 1),
			 -ENODEV);
	assert_int_equal(report(hwpt, idev, faults, 4097), -ENOMEM);
	assert_int_equal(report(hwpt, idev, faults, 4096), 0);
	for (unsigned int n = 1; n < 65536; n++)
		assert_int_equal(report(hwpt, idev, faults, 1), 0);
	assert_int_equal(report(hwpt, idev, faults, 1), -ENOMEM);
	via_object_put(child);
	via_object_put(dev);
	via_object_put(parent);
}

/* vIOMMUs ---------------------------------------------------------------------- */

static void test_most_invalidations(void **state)
{
	struct bench *b = *state;
	const struct virtual v = virtual(b);
	const uint32_t child = (uint32_t)nested(b, v.m.idev, v.parent, 0, 0);
	uint32_t *words = (uint32_t *)(void *)b->memory, n = 1u << 19;

	/* The first one is wrong, which only who takes so many sees. */
	words[0] = 2;
	assert_int_equal(invalidate(b, child, words, 8, &n), -EOPNOTSUPP);
	n = (1u << 19) + 1;
	assert_int_equal(invalidate(b, child, words, 8, &n), -EINVAL);

	/* Zeros may follow an entry, up to a page. */
	assert_true(vdevice(b, v.viommu, v.m.idev, 0x99) > 0);
	words[0] = 0;
	words[1] = 0x99;
	n = 1;
	assert_int_equal(invalidate(b, v.viommu, words, PAGE, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(invalidate(b, v.viommu, words, PAGE + 1, &n), -EINVAL);
}

static long hw_queue(struct bench *b, uint32_t id, uint64_t iova, uint64_t length)
{
	struct via_iommu_hw_queue_alloc cmd = {
		.size = sizeof(cmd),
		.viommu_id = id,
		.type = TYPE,
		.nesting_parent_iova = iova,
		.length = length,
	};

	return ioc(b, VIA_IOMMU_HW_QUEUE_ALLOC, &cmd);
}

static void test_longest_hw_queue(void **state)
{
	/* An array of pointers to its pages may have up to INT_MAX bytes. */
	const uint64_t most = (uint64_t)INT32_MAX / 8 * PAGE;
	struct bench *b = *state;
	const struct virtual v = virtual(b);

	assert_int_equal(hw_queue(b, v.viommu, LOW, most), -ENOENT);
	assert_int_equal(hw_queue(b, v.viommu, LOW, most + 1), -ENOMEM);
	/* Whole pages that end with the last byte that there is. */
	assert_int_equal(hw_queue(b, v.viommu, 0, MAX - PAGE + 1), -ENOMEM);
	assert_int_equal(hw_queue(b, v.viommu, 0, MAX - PAGE + 2), -ERANGE);
}

static void test_deepest_veventq(void **state)
{
	struct bench *b = *state;
	struct via_iommu_veventq_alloc cmd = {
		.size = sizeof(cmd),
		.viommu_id = virtual(b).viommu,
		.type = EVENT_TYPE,
		.veventq_depth = VIA_IOMMU_VEVENTQ_DEPTH_MAX,
	};

	assert_int_equal(ioc(b, VIA_IOMMU_VEVENTQ_ALLOC, &cmd), 0);
}

/* Accesses --------------------------------------------------------------------- */

static uint32_t access_new(struct bench *b, uint32_t ioas)
{
	struct via_iommu_test_cmd cmd = {.create_access.flags = VIA_IOMMU_TEST_ACCESS_PINS};

	assert_int_equal(test_cmd(b, &cmd, VIA_IOMMU_TEST_CREATE_ACCESS, ioas), 0);
	return cmd.create_access.out_fd;
}

/* The number of what is pinned, or an errno. */
static long pin(struct bench *b, uint32_t fd, uint64_t iova, uint64_t length)
{
	struct via_iommu_test_cmd cmd = {.access_pages = {.iova = iova, .length = length}};
	long ret = test_cmd(b, &cmd, VIA_IOMMU_TEST_ACCESS_PAGES, fd);

	return ret < 0 ? ret : (long)cmd.access_pages.out_item;
}

static long unpin(struct bench *b, uint32_t fd, long item)
{
	struct via_iommu_test_cmd cmd = {.destroy_pages.item = (uint32_t)item};

	return test_cmd(b, &cmd, VIA_IOMMU_TEST_DESTROY_ACCESS_PAGES, fd);
}

static void test_longest_accesses(void **state)
{
	struct via_iommu_test_cmd cmd = {.access_rw = {.iova = LOW, .length = LENGTH_MAX}};
	struct bench *b = *state;
	const uint32_t fd = access_new(b, ioas_new(b));

	assert_int_equal(pin(b, fd, LOW, LENGTH_MAX), -ENOENT);
	assert_int_equal(pin(b, fd, LOW, LENGTH_MAX + 1), -ENOMEM);
	assert_int_equal(test_cmd(b, &cmd, VIA_IOMMU_TEST_ACCESS_RW, fd), -ENOENT);
	cmd.access_rw.length++;
	assert_int_equal(test_cmd(b, &cmd, VIA_IOMMU_TEST_ACCESS_RW, fd), -ENOMEM);
}

/* A pin goes with what is unmapped if it touches it with one byte; its neighbours stay. */
static void test_pins_of_a_byte(void **state)
{
	struct bench *b = *state;
	const uint32_t ioas = ioas_new(b), fd = access_new(b, ioas);
	long before, into, at, after;

	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(map_at(b, ioas, F, addr(b->memory), PAGE, LOW + i * PAGE), 0);
	before = pin(b, fd, LOW, PAGE);
	into = pin(b, fd, LOW, PAGE + 1);
	at = pin(b, fd, LOW + PAGE, 1);
	after = pin(b, fd, LOW + 2 * PAGE, 1);
	assert_true(before >= 0 && into >= 0 && at >= 0 && after >= 0);
	/* Only the start of a pin has to be that of a page. */
	assert_int_equal(pin(b, fd, LOW + 1, 1), -EINVAL);
	assert_int_equal(unmap(b, ioas, LOW + PAGE, PAGE), 0);
	assert_int_equal(unpin(b, fd, into), -ENOENT);
	assert_int_equal(unpin(b, fd, at), -ENOENT);
	assert_int_equal(unpin(b, fd, before), 0);
	assert_int_equal(unpin(b, fd, after), 0);
	assert_int_equal(check_refs(b, b->memory, PAGE, 0), 0);
}

static long dmabuf(struct bench *b, uint32_t length)
{
	struct via_iommu_test_cmd cmd = {.dmabuf_get = {length, O_CLOEXEC}};

	return test_cmd(b, &cmd, VIA_IOMMU_TEST_DMABUF_GET, 0);
}

static void test_largest_dmabuf(void **state)
{
	struct bench *b = *state;
	const uint32_t ioas = ioas_new(b);
	const long fd = dmabuf(b, 512 * PAGE);
	uint64_t iova = LOW;

	assert_true(fd >= 0);
	assert_int_equal(map_file(b, ioas, F, (int)fd, 512 * PAGE - 1, 2, &iova), -EINVAL);
	assert_int_equal(map_file(b, ioas, F, (int)fd, 512 * PAGE, 1, &iova), -EINVAL);
	assert_int_equal(map_file(b, ioas, F, (int)fd, 512 * PAGE - 1, 1, &iova), 0);
	assert_int_equal(dmabuf(b, 512 * PAGE + 1), -EINVAL);
}

/* It is memory throughout: nothing of it is reached by calls. */
static void test_dmabuf_without_registers(void **state)
{
	struct bench *b = *state;
	struct via_file *file = NULL;
	struct via_pages *pages;
	uint8_t byte = 0;

	assert_int_equal(test_file_get(&b->tc.caller, (int)dmabuf(b, PAGE), &file), 0);
	assert_int_equal(file->ops->dma_pages(file, 0, PAGE, true, &pages), 0);
	assert_int_equal(via_pages_access(pages, 0, &byte, 1, false), -EFAULT);
	via_pages_put(pages);
	via_file_put(file);
}

/* Dirty tracking ---------------------------------------------------------------- */

static long mark(struct bench *b, uint32_t id, uint64_t iova, uint64_t length, const void *bits)
{
	struct via_iommu_test_cmd cmd = {
		.dirty = {.iova = iova, .length = length, .page_size = 2048, .uptr = addr(bits)}};

	return test_cmd(b, &cmd, VIA_IOMMU_TEST_DIRTY, id);
}

static long bitmap(struct bench *b, uint32_t id, uint64_t iova, uint64_t length, uint64_t data)
{
	struct via_iommu_hwpt_get_dirty_bitmap cmd = {
		.size = sizeof(cmd),
		.hwpt_id = id,
		.iova = iova,
		.length = length,
		.page_size = 2048,
		.data = data,
	};

	return ioc(b, VIA_IOMMU_HWPT_GET_DIRTY_BITMAP, &cmd);
}

static void test_most_dirty_pages(void **state)
{
	struct bench *b = *state;

	assert_int_equal(mark(b, 99, LOW, (uint64_t)2048 << 27, b->memory), -ENOENT);
	assert_int_equal(mark(b, 99, LOW, ((uint64_t)2048 << 27) + 2048, b->memory), -EOVERFLOW);
}

/* The last leaf of what is mapped is a large one as the first is; and where there is no bitmap. */
static void test_last_large_leaf(void **state)
{
	struct via_iommu_hwpt_set_dirty_tracking track = {.size = sizeof(track), .flags = 1};
	const size_t size = 2u << 20;
	const uint32_t data[2] = {0, 1};
	struct bench *b = *state;
	const uint32_t ioas = ioas_new(b);
	const struct mocked m = mock_new(b, ioas);
	uint64_t bits[16] = {0}, one = 1;
	uint8_t *memory;
	uint32_t id;

	memory = mmap(NULL, 2 * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(memory, MAP_FAILED);
	id = (uint32_t)hwpt_data(b, m.idev, ioas, VIA_IOMMU_HWPT_ALLOC_DIRTY_TRACKING, 0,
				 NESTED_TYPE, data, sizeof(data));
	assert_int_equal(replace(b, m.stdev, id), id);
	track.hwpt_id = id;
	assert_int_equal(ioc(b, VIA_IOMMU_HWPT_SET_DIRTY_TRACKING, &track), 0);
	assert_int_equal(
		map_at(b, ioas, F, (addr(memory) + size - 1) & ~(uint64_t)(size - 1), size, LOW),
		0);
	/* Nothing is dirty, and still there has to be a place for it. */
	assert_int_equal(bitmap(b, id, LOW, size, (uint64_t)1 << 47), -EFAULT);
	assert_int_equal(mark(b, id, LOW + size - 2048, 2048, &one), 0);
	assert_int_equal(bitmap(b, id, LOW, size, addr(bits)), 0);
	for (unsigned int i = 0; i < 16; i++)
		assert_true(bits[i] == (i < 8 ? 0 : MAX));
	munmap(memory, 2 * size);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		MOCK(test_most_page_requests), MOCK(test_most_invalidations),
		MOCK(test_longest_hw_queue),   MOCK(test_deepest_veventq),
		MOCK(test_longest_accesses),   MOCK(test_pins_of_a_byte),
		MOCK(test_largest_dmabuf),     MOCK(test_dmabuf_without_registers),
		MOCK(test_most_dirty_pages),   MOCK_FULL(test_last_large_leaf),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
