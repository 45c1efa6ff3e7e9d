/* SPDX-License-Identifier: MIT */
/* Accesses by the mock's own device, dirty tracking, dma-bufs (spec iommu.md 11.4, 11.8). */
#include "vfio/iommufd/test-iommufd-mock.h"

#define PINS VIA_IOMMU_TEST_ACCESS_PINS

/* A descriptor, or an errno. */
static long access_new(struct bench *b, uint32_t ioas, uint32_t flags)
{
	struct via_iommu_test_cmd cmd = {.create_access.flags = flags};
	long ret = test_cmd(b, &cmd, VIA_IOMMU_TEST_CREATE_ACCESS, ioas);

	return ret < 0 ? ret : (long)cmd.create_access.out_fd;
}

/* The number of what is pinned, or an errno. */
static long pin(struct bench *b, long fd, uint64_t iova, uint64_t length, const void *p,
		uint32_t flags)
{
	struct via_iommu_test_cmd cmd = {
		.access_pages = {.flags = flags, .iova = iova, .length = length, .uptr = addr(p)}};
	long ret = test_cmd(b, &cmd, VIA_IOMMU_TEST_ACCESS_PAGES, (uint32_t)fd);

	return ret < 0 ? ret : (long)cmd.access_pages.out_item;
}

static long unpin(struct bench *b, long fd, long item)
{
	struct via_iommu_test_cmd cmd = {.destroy_pages.item = (uint32_t)item};

	return test_cmd(b, &cmd, VIA_IOMMU_TEST_DESTROY_ACCESS_PAGES, (uint32_t)fd);
}

static long rw(struct bench *b, long fd, uint64_t iova, void *p, uint64_t length, uint32_t flags)
{
	struct via_iommu_test_cmd cmd = {
		.access_rw = {.iova = iova, .length = length, .uptr = addr(p), .flags = flags}};

	return test_cmd(b, &cmd, VIA_IOMMU_TEST_ACCESS_RW, (uint32_t)fd);
}

static long access_replace(struct bench *b, long fd, uint32_t ioas)
{
	struct via_iommu_test_cmd cmd = {.access_replace.ioas_id = ioas};

	return test_cmd(b, &cmd, VIA_IOMMU_TEST_ACCESS_REPLACE_IOAS, (uint32_t)fd);
}

static void test_case_64_65_pin(void **state)
{
	struct bench *b = *state;
	const uint32_t ioas = ioas_new(b);
	const long fd = access_new(b, ioas, PINS);

	assert_true(fd >= 0);
	assert_int_equal(map_at(b, ioas, F, addr(b->memory), 2 * PAGE, LOW), 0);
	assert_int_equal(map_at(b, ioas, FIXED | READ, addr(b->memory) + 2 * PAGE, PAGE,
				LOW + 2 * PAGE),
			 0);
	assert_int_equal(pin(b, fd, LOW, 0, b->memory, 0), -EINVAL);
	assert_int_equal(pin(b, fd, MAX - PAGE + 1, 2 * PAGE, NULL, 0), -EOVERFLOW);
	assert_int_equal(pin(b, fd, LOW + 2 * PAGE, PAGE, NULL, 1), -EPERM);
	assert_int_equal(pin(b, fd, LOW, 4 * PAGE, b->memory, 0), -ENOENT);
	assert_int_equal(check_refs(b, b->memory, 4 * PAGE, 0), 0);
	/* Not the pages that the program says. */
	assert_int_equal(pin(b, fd, LOW, PAGE, b->memory + PAGE, 0), -EBADE);
	assert_int_equal(check_refs(b, b->memory, 4 * PAGE, 0), 0);
	assert_int_equal(pin(b, fd, LOW, 3 * PAGE, b->memory, 0), 0);
	assert_int_equal(check_refs(b, b->memory, 3 * PAGE, 1), 0);
	assert_int_equal(check_refs(b, b->memory, 3 * PAGE, 0), -EIO);
	assert_int_equal(check_refs(b, b->memory + 1, PAGE, 1), -EINVAL);
	assert_int_equal(pin(b, fd, LOW, 16u * 1024 * 1024 + 1, NULL, 0), -ENOMEM);
	assert_int_equal(pin(b, fd, LOW, PAGE, NULL, 2), -EOPNOTSUPP);
	assert_int_equal(pin(b, b->fd, LOW, PAGE, NULL, 0), -EBADFD);
	assert_int_equal(unpin(b, fd, 77), -ENOENT);
	assert_int_equal(test_close(&b->tc, (int)fd), 0);
	assert_int_equal(check_refs(b, b->memory, 3 * PAGE, 0), 0);
	assert_int_equal(destroy(b, ioas), 0);
}

static void test_case_66_alignment(void **state)
{
	struct bench *b = *state;
	const uint32_t ioas = ioas_new(b);
	long fd;

	assert_int_equal(map_at(b, ioas, F, addr(b->memory), PAGE, LOW + 0x800), 0);
	assert_int_equal(access_new(b, ioas, PINS), -EADDRINUSE);
	assert_int_equal(access_new(b, ioas, 2), -EOPNOTSUPP);
	assert_int_equal(access_new(b, 99, 0), -ENOENT);
	fd = access_new(b, ioas, 0);
	assert_true(fd >= 0);
	assert_int_equal(pin(b, fd, LOW + 0x800, PAGE, NULL, 0), -EOPNOTSUPP);
	assert_int_equal(destroy(b, ioas), -EBUSY);
	/* The access has an id, which is its driver's. */
	assert_int_equal(destroy(b, ioas + 1), -EBUSY);
}

static void test_case_67_rw_before_a_hole(void **state)
{
	struct bench *b = *state;
	const uint32_t ioas = ioas_new(b);
	const long fd = access_new(b, ioas, 0);
	uint8_t buf[100];

	assert_int_equal(map_at(b, ioas, F, addr(b->memory), PAGE, LOW), 0);
	memset(buf, 0x5a, sizeof(buf));
	assert_int_equal(rw(b, fd, LOW + PAGE - 50, buf, 100, 1), -ENOENT);
	assert_memory_equal(b->memory + PAGE - 50, buf, 50);
	memset(buf, 0x11, sizeof(buf));
	assert_int_equal(rw(b, fd, LOW + PAGE - 50, buf, 100, 0), -ENOENT);
	assert_int_equal(buf[0], 0x11);
	assert_int_equal(rw(b, fd, LOW + PAGE - 50, buf, 50, 4), 0);
	assert_int_equal(buf[49], 0x5a);
	assert_int_equal(buf[50], 0x11);
	assert_int_equal(rw(b, fd, LOW, NULL, 1, 1), -EFAULT);
	assert_int_equal(rw(b, fd, LOW, NULL, 1, 0), -EFAULT);
	assert_int_equal(rw(b, fd, LOW, buf, 0, 0), -EINVAL);
	assert_int_equal(rw(b, fd, LOW, buf, 1, 2), -EOPNOTSUPP);
}

static void test_case_68_70_unmap_takes_pins(void **state)
{
	struct bench *b = *state;
	const uint32_t ioas = ioas_new(b);
	const long fd = access_new(b, ioas, PINS);
	long items[3];

	assert_int_equal(map_at(b, ioas, F, addr(b->memory), PAGE, LOW), 0);
	assert_int_equal(map_at(b, ioas, F, addr(b->memory) + PAGE, PAGE, LOW + PAGE), 0);
	for (unsigned int i = 0; i < 2; i++)
		items[i] = pin(b, fd, LOW, PAGE, b->memory, 0);
	items[2] = pin(b, fd, LOW + PAGE, PAGE, b->memory + PAGE, 0);
	assert_true(items[0] == 0 && items[1] == 1 && items[2] == 2);
	assert_int_equal(check_refs(b, b->memory, 2 * PAGE, 1), 0);
	assert_int_equal(unpin(b, fd, items[0]), 0);
	assert_int_equal(check_refs(b, b->memory, PAGE, 1), 0);
	assert_int_equal(unmap(b, ioas, LOW, PAGE), 0);
	assert_int_equal(unpin(b, fd, items[1]), -ENOENT);
	/* The neighbour is not touched. */
	assert_int_equal(unpin(b, fd, items[2]), 0);
	assert_int_equal(check_refs(b, b->memory, 2 * PAGE, 0), 0);
}

static void test_case_71_replace(void **state)
{
	struct bench *b = *state;
	const uint32_t one = ioas_new(b), two = ioas_new(b);
	const long fd = access_new(b, one, PINS);
	long item;

	assert_int_equal(map_at(b, one, F, addr(b->memory), PAGE, LOW), 0);
	item = pin(b, fd, LOW, PAGE, b->memory, 0);
	assert_int_equal(access_replace(b, fd, one), 0);
	assert_int_equal(check_refs(b, b->memory, PAGE, 1), 0);
	assert_int_equal(access_replace(b, fd, 99), -ENOENT);
	assert_int_equal(access_replace(b, b->fd, two), -EBADFD);
	assert_int_equal(access_replace(b, fd, two), 0);
	assert_int_equal(check_refs(b, b->memory, PAGE, 0), 0);
	assert_int_equal(unpin(b, fd, item), -ENOENT);
	assert_int_equal(destroy(b, one), 0);
	assert_int_equal(destroy(b, two), -EBUSY);
}

static long dmabuf(struct bench *b, uint32_t length)
{
	struct via_iommu_test_cmd cmd = {.dmabuf_get = {length, O_CLOEXEC}};

	return test_cmd(b, &cmd, VIA_IOMMU_TEST_DMABUF_GET, 0);
}

static long dmabuf_revoke(struct bench *b, long fd, uint32_t revoked)
{
	struct via_iommu_test_cmd cmd = {.dmabuf_revoke = {(int32_t)fd, revoked}};

	return test_cmd(b, &cmd, VIA_IOMMU_TEST_DMABUF_REVOKE, 0);
}

static void test_case_72_dmabuf(void **state)
{
	struct bench *b = *state;
	const uint32_t ioas = ioas_new(b);
	const long fd = access_new(b, ioas, PINS), buf = dmabuf(b, 3 * PAGE + 1);
	const uint32_t auto_hwpt = mock_new(b, ioas).hwpt;
	uint64_t iova = LOW;
	uint8_t byte;

	assert_int_equal(dmabuf(b, 0), -EINVAL);
	assert_int_equal(dmabuf(b, 513 * PAGE), -EINVAL);
	assert_true(buf >= 0 && auto_hwpt);
	assert_int_equal(map_file(b, ioas, F, (int)buf, 0, 0, &iova), -EINVAL);
	assert_int_equal(map_file(b, ioas, F, (int)buf, 4 * PAGE, PAGE, &iova), -EINVAL);
	assert_int_equal(map_file(b, ioas, F, (int)buf, 0, 5 * PAGE, &iova), -EINVAL);
	assert_int_equal(map_file(b, ioas, F, (int)buf, 0, 4 * PAGE, &iova), 0);
	assert_int_equal(pin(b, fd, LOW, PAGE, NULL, 0), -EINVAL);
	assert_int_equal(rw(b, fd, LOW, &byte, 1, 0), -EINVAL);
	assert_int_equal(dmabuf_revoke(b, buf, 1), 0);
	iova = 2 * LOW;
	assert_int_equal(map_file(b, ioas, F, (int)buf, 0, 4 * PAGE, &iova), -ENODEV);
	assert_int_equal(dmabuf_revoke(b, buf, 0), 0);
	assert_int_equal(map_file(b, ioas, F, (int)buf, 0, 4 * PAGE, &iova), 0);
	assert_int_equal(unmap(b, ioas, LOW, 4 * PAGE), 0);
	iova = LOW;
	assert_int_equal(map_file(b, ioas, F, (int)buf, 0, 4 * PAGE, &iova), 0);
	assert_int_equal(dmabuf_revoke(b, 999, 1), -EBADF);
	assert_int_equal(dmabuf_revoke(b, b->fd, 1), -EINVAL);
}

/* One buffer can be mapped so many times in its life. */
static void test_dmabuf_is_bounded(void **state)
{
	struct bench *b = *state;
	const uint32_t ioas = ioas_new(b);
	const long buf = dmabuf(b, PAGE), other = dmabuf(b, PAGE);
	uint64_t iova = LOW;

	for (unsigned int i = 0; i < 4096; i++) {
		assert_int_equal(map_file(b, ioas, F, (int)buf, 0, PAGE, &iova), 0);
		if (i % 2)
			assert_int_equal(unmap(b, ioas, iova, PAGE), 0);
		iova += PAGE;
	}
	assert_int_equal(map_file(b, ioas, F, (int)buf, 0, PAGE, &iova), -ENOMEM);
	assert_int_equal(map_file(b, ioas, F, (int)other, 0, PAGE, &iova), 0);
}

static int foreign_pages(struct via_file *file, uint64_t start, uint64_t len, bool writable,
			 struct via_pages **ret_pages)
{
	return -EINVAL;
}

static void foreign_release(struct via_file *file)
{
	free(file);
}

/* Files that are no dma-bufs of the mock's. */
static void test_revoke_of_other_files(void **state)
{
	static const struct via_file_ops foreign = {
		.kind = "foreign", .dma_pages = foreign_pages, .release = foreign_release};
	struct via_file *file = calloc(1, sizeof(*file));
	struct bench *b = *state;
	int plain = open("/dev/null", O_RDWR | O_CLOEXEC), other;

	assert_non_null(file);
	*file = (struct via_file){.ops = &foreign, .refs = 1};
	other = test_file_put(&b->tc.caller, file, true);
	assert_true(plain >= 0 && other >= 0);
	assert_int_equal(dmabuf_revoke(b, plain, 1), -EINVAL);
	assert_int_equal(dmabuf_revoke(b, other, 1), -EOPNOTSUPP);
	close(plain);
}

/* Pins of memory that is not there. */
static void test_refs_of_no_memory(void **state)
{
	struct bench *b = *state;
	uint8_t *hole = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(hole, MAP_FAILED);
	assert_int_equal(check_refs(b, hole, PAGE, 0), 0);
	munmap(hole, PAGE);
	assert_int_equal(check_refs(b, hole, PAGE, 0), -EFAULT);
}

/* Dirty tracking ------------------------------------------------------------ */

static long track(struct bench *b, long id, uint32_t on)
{
	struct via_iommu_hwpt_set_dirty_tracking cmd = {
		.size = sizeof(cmd), .flags = on, .hwpt_id = (uint32_t)id};

	return ioc(b, VIA_IOMMU_HWPT_SET_DIRTY_TRACKING, &cmd);
}

static long mark(struct bench *b, long id, uint64_t iova, uint64_t length, uint64_t bits)
{
	struct via_iommu_test_cmd cmd = {.dirty = {.iova = iova,
						   .length = length,
						   .page_size = 2048,
						   .uptr = addr(&bits)}};
	long ret = test_cmd(b, &cmd, VIA_IOMMU_TEST_DIRTY, (uint32_t)id);

	return ret < 0 ? ret : (long)cmd.dirty.out_n_dirty;
}

static long bitmap(struct bench *b, long id, uint64_t iova, uint64_t length, uint64_t page_size,
		   uint32_t flags, uint64_t *bits)
{
	struct via_iommu_hwpt_get_dirty_bitmap cmd = {
		.size = sizeof(cmd),
		.hwpt_id = (uint32_t)id,
		.flags = flags,
		.iova = iova,
		.length = length,
		.page_size = page_size,
		.data = addr(bits),
	};

	return ioc(b, VIA_IOMMU_HWPT_GET_DIRTY_BITMAP, &cmd);
}

/* An HWPT that tracks 8 pages at LOW, mapped in small leaves. */
static long tracked(struct bench *b, uint32_t *ret_ioas)
{
	const uint32_t ioas = ioas_new(b);
	const struct mocked m = mock_new(b, ioas);
	const long id = hwpt(b, m.idev, ioas, VIA_IOMMU_HWPT_ALLOC_DIRTY_TRACKING);

	assert_true(id > 0);
	assert_int_equal(set_option(b, VIA_IOMMU_OPTION_HUGE_PAGES, ioas, 0), 0);
	assert_int_equal(replace(b, m.stdev, (uint32_t)id), id);
	assert_int_equal(map_at(b, ioas, F, addr(b->memory), 8 * PAGE, LOW), 0);
	*ret_ioas = ioas;
	return id;
}

static void test_case_134_135_136_137_hwpt_dirty(void **state)
{
	struct bench *b = *state;
	uint64_t bits = MAX;
	uint32_t ioas;
	const long id = tracked(b, &ioas);
	const long plain = hwpt(b, mock_new(b, ioas).idev, ioas, 0);

	assert_int_equal(mark(b, id, LOW, 8 * PAGE, 0x5), -EINVAL);
	assert_int_equal(track(b, id, 1), 0);
	assert_int_equal(bitmap(b, id, LOW, 8 * PAGE, 2048, 0, &bits), 0);
	assert_true(bits == MAX);
	assert_int_equal(bitmap(b, id, LOW, 8 * PAGE, 0, 0, &bits), -EINVAL);
	assert_int_equal(bitmap(b, id, LOW + 2048, 8 * PAGE, PAGE, 0, &bits), -EINVAL);
	assert_int_equal(bitmap(b, id, LOW, 1024, 1024, 0, &bits), -EINVAL);
	assert_int_equal(bitmap(b, plain, LOW, 8 * PAGE, 2048, 0, &bits), -EOPNOTSUPP);

	assert_int_equal(mark(b, id, LOW, 8 * PAGE, 0x8005), 3);
	assert_int_equal(mark(b, id, LOW, 0, 1), -EINVAL);
	assert_int_equal(mark(b, id, LOW + 1, 8 * PAGE, 1), -EINVAL);
	assert_int_equal(mark(b, 99, LOW, 8 * PAGE, 1), -ENOENT);
	for (unsigned int i = 0; i < 4; i++) {
		bits = 0;
		assert_int_equal(bitmap(b, id, LOW, 8 * PAGE, 2048, i < 2, &bits), 0);
		assert_int_equal(bits, i < 3 ? 0x8005 : 0);
	}
	mark(b, id, LOW, 8 * PAGE, 0x8005);
	assert_int_equal(track(b, id, 0), 0);
	assert_int_equal(track(b, id, 1), 0);
	bits = 0;
	assert_int_equal(bitmap(b, id, LOW, 8 * PAGE, 2048, 0, &bits), 0);
	assert_int_equal(bits, 0);
}

static void test_case_138_139_hwpt_dirty_holes(void **state)
{
	struct bench *b = *state;
	uint64_t bits = 0;
	uint32_t ioas;
	const long id = tracked(b, &ioas);

	assert_int_equal(track(b, id, 1), 0);
	assert_int_equal(map_at(b, ioas, F, addr(b->memory) + 16 * PAGE, PAGE, LOW + 9 * PAGE), 0);
	assert_int_equal(mark(b, id, LOW + 8 * PAGE, 2 * PAGE, 0xf), 4);
	assert_int_equal(mark(b, id, LOW, 2 * PAGE, 0x4), 1);
	assert_int_equal(bitmap(b, id, LOW, 10 * PAGE, 2 * PAGE, 0, &bits), 0);
	assert_int_equal(bits, 0x1);
	bits = 0;
	assert_int_equal(bitmap(b, id, LOW + 9 * PAGE, PAGE, 2048, 0, &bits), 0);
	assert_int_equal(bits, 0x3);
}

static void test_case_138_full(void **state)
{
	struct bench *b = *state;
	uint64_t bits = 0;
	uint32_t ioas;
	const long id = tracked(b, &ioas);

	assert_int_equal(track(b, id, 1), 0);
	assert_int_equal(mark(b, id, LOW, 2 * PAGE, 0x4), 1);
	assert_int_equal(bitmap(b, id, LOW, 10 * PAGE, 2048, 0, &bits), -EINVAL);
	assert_int_equal(bitmap(b, id, LOW, 8 * PAGE, 2048, 0, NULL), -EFAULT);
	assert_int_equal(bitmap(b, id, LOW, 8 * PAGE, 2048, 0, &bits), 0);
	assert_int_equal(bits, 0x4);
}

/* A table of type 1: the leaf of 1 MiB is what one write makes dirty. */
static void test_huge_leaves(void **state)
{
	const size_t size = 4u << 20;
	const uint32_t data[2] = {0, 1}, wrong[2] = {0, 2};
	struct bench *b = *state;
	const uint32_t ioas = ioas_new(b);
	const struct mocked m = mock_new(b, ioas);
	const long id = hwpt_data(b, m.idev, ioas, VIA_IOMMU_HWPT_ALLOC_DIRTY_TRACKING, 0,
				  NESTED_TYPE, data, sizeof(data));
	uint64_t bits[32] = {0};
	uint8_t *memory;

	memory = mmap(NULL, 2 * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(memory, MAP_FAILED);
	assert_int_equal(hwpt_data(b, m.idev, ioas, 0, 0, NESTED_TYPE, wrong, sizeof(wrong)),
			 -EOPNOTSUPP);
	assert_true(id > 0);
	assert_int_equal(replace(b, m.stdev, (uint32_t)id), id);
	assert_int_equal(track(b, id, 1), 0);
	assert_int_equal(
		map_at(b, ioas, F, (addr(memory) + size - 1) & ~(uint64_t)(size - 1), size, LOW), 0);
	assert_int_equal(mark(b, id, LOW + 4096, 64 * 2048, 1), 1);
	assert_int_equal(bitmap(b, id, LOW, size, 2048, 0, bits), 0);
	for (unsigned int i = 0; i < 32; i++)
		assert_true(bits[i] == (i < 8 ? MAX : 0));
	munmap(memory, 2 * size);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		MOCK(test_case_64_65_pin),
		MOCK(test_case_66_alignment),
		MOCK(test_case_67_rw_before_a_hole),
		MOCK(test_case_68_70_unmap_takes_pins),
		MOCK(test_case_71_replace),
		MOCK(test_case_72_dmabuf),
		MOCK(test_dmabuf_is_bounded),
		MOCK(test_revoke_of_other_files),
		MOCK(test_refs_of_no_memory),
		MOCK(test_case_134_135_136_137_hwpt_dirty),
		MOCK(test_case_138_139_hwpt_dirty_holes),
		MOCK_FULL(test_case_138_full),
		MOCK(test_huge_leaves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
