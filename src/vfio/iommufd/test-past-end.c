/* SPDX-License-Identifier: MIT */
/*
 * Nothing is looked at behind the end of an array: the linker puts our allocator before the real
 * one, which gives more than is asked for, with ones in what is too much. Numbers that a
 * program passes, and those that are the next ones, are the first behind an end.
 */
#include "vfio/iommufd/test-iommufd-mock.h"

#define BEHIND 64u
#define ONES 0xff

void *__real_malloc(size_t size);
void *__real_reallocarray(void *p, size_t n, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_reallocarray(void *p, size_t n, size_t size);

void *__wrap_malloc(size_t size)
{
	uint8_t *p = __real_malloc(size + BEHIND);

	if (p)
		memset(p + size, ONES, BEHIND);
	return p;
}

void *__wrap_reallocarray(void *p, size_t n, size_t size)
{
	uint8_t *more = __real_reallocarray(p, n * size + BEHIND, 1);

	if (more)
		memset(more + n * size, ONES, BEHIND);
	return more;
}

static void test_objects(void **state)
{
	struct bench *b = *state;

	ioas_new(b);
	assert_int_equal(destroy(b, b->iommufd->n_objects), -ENOENT);
	assert_int_equal(destroy(b, b->iommufd->n_objects - 1), -ENOENT);
}

static ssize_t respond(struct bench *b, uint32_t fd, uint32_t cookie)
{
	struct via_iommu_hwpt_page_response resp = {cookie, VIA_IOMMUFD_PAGE_RESP_SUCCESS};

	return fd_rw(b, (int)fd, &resp, sizeof(resp), 0, true);
}

/* The table of cookies begins with 16 places, of which the first is nobody's. */
static void test_cookies(void **state)
{
	struct via_iommu_fault_alloc queue = {.size = sizeof(queue)};
	struct via_iommu_hwpt_pgfault faults[17];
	struct bench *b = *state;
	const uint32_t ioas = ioas_new(b);
	const struct mocked m = mock_new(b, ioas);
	struct via_iommu_test_cmd cmd = {.iopf = {.dev_id = m.idev, .perm = 1}};
	uint32_t parent, child, fd;

	assert_int_equal(ioc(b, VIA_IOMMU_FAULT_QUEUE_ALLOC, &queue), 0);
	fd = queue.out_fault_fd;
	parent = (uint32_t)hwpt(b, m.idev, ioas, VIA_IOMMU_HWPT_ALLOC_NEST_PARENT);
	child = (uint32_t)nested(b, m.idev, parent, VIA_IOMMU_HWPT_FAULT_ID_VALID,
				 queue.out_fault_id);
	assert_int_equal(replace(b, m.stdev, child), child);
	for (unsigned int i = 0; i < 17; i++)
		assert_int_equal(test_cmd(b, &cmd, VIA_IOMMU_TEST_TRIGGER_IOPF, 0), 0);

	assert_int_equal(fd_rw(b, (int)fd, faults, sizeof(faults[0]), 0, false), sizeof(faults[0]));
	assert_int_equal(respond(b, fd, 16), -EINVAL);
	assert_int_equal(fd_rw(b, (int)fd, faults + 1, 16 * sizeof(faults[0]), 0, false),
			 16 * sizeof(faults[0]));
	for (uint32_t i = 0; i < 17; i++)
		assert_int_equal(faults[i].cookie, i + 1);
	for (uint32_t i = 0; i < 17; i++)
		assert_int_equal(respond(b, fd, i + 1), 8);
}

/* The last word of what is reported in one go. */
static void test_dirty_pages(void **state)
{
	const uint64_t size = (uint64_t)64 * 512 * PAGE;
	struct bench *b = *state;
	uint64_t words[512];
	struct {
		struct via_vfio_iommu_type1_dirty_bitmap head;
		struct via_vfio_iommu_type1_dirty_bitmap_get get;
	} cmd = {
		.head = {sizeof(cmd), VIA_VFIO_IOMMU_DIRTY_PAGES_FLAG_START},
		.get = {LOW, size, {PAGE, sizeof(words), addr(words)}},
	};
	struct via_vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = VIA_VFIO_DMA_MAP_FLAG_READ | VIA_VFIO_DMA_MAP_FLAG_WRITE,
		.vaddr = addr(b->memory),
		.iova = LOW + size - PAGE,
		.size = PAGE,
	};

	memset(words, ONES, sizeof(words));
	assert_int_equal(via_iommufd_container_join(b->iommufd, false), 0);
	assert_int_equal(ioc(b, VIA_VFIO_IOMMU_MAP_DMA, &map), 0);
	assert_int_equal(ioc(b, VIA_VFIO_IOMMU_DIRTY_PAGES, &cmd), 0);
	cmd.head.flags = VIA_VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP;
	assert_int_equal(ioc(b, VIA_VFIO_IOMMU_DIRTY_PAGES, &cmd), 0);
	assert_int_equal(words[511], 0);
	assert_true(words[510] == MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		MOCK(test_objects),
		MOCK(test_cookies),
		FULL(test_dirty_pages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
