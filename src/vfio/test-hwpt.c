/* SPDX-License-Identifier: MIT */
/*
 * HWPTs of our own devices, in the order of the specification's cases: what
 * can be allocated and attached, and which pages devices have written.
 */
#include "vfio/test-node.h"

struct rig {
	struct nodes *n;
	int iommufd, fd;
	uint32_t dev, ioas;
};

static struct rig rig_new(struct nodes *n, unsigned int pages)
{
	struct rig r = {.n = n, .iommufd = node_open(&n->s, "iommu")};

	r.fd = bound(n, 2, r.iommufd, &r.dev);
	r.ioas = ioas_with(n, r.iommufd, pages);
	return r;
}

static long alloc(struct rig *r, uint32_t pt, uint32_t flags, uint32_t *ret_id)
{
	return hwpt_new(&r->n->s, r->iommufd, r->dev, pt, flags, ret_id);
}

static long attach(struct rig *r, uint32_t pt)
{
	return attach_to(&r->n->s, r->fd, &pt);
}

static void test_case_73_absent_and_wrong_ids(void **state)
{
	struct rig r = rig_new(*state, 1);

	assert_int_equal(hwpt_new(&r.n->s, r.iommufd, 77, r.ioas, 0, NULL), -ENOENT);
	assert_int_equal(alloc(&r, 77, 0, NULL), -EINVAL);
	assert_int_equal(alloc(&r, r.dev, 0, NULL), -EINVAL);
	/* Nothing was left: the next id is the next. */
	assert_int_equal(ioas_new(&r.n->s, r.iommufd), r.ioas + 1);
}

static void test_case_77_two_of_one_group(void **state)
{
	struct rig r = rig_new(*state, 1);
	struct nodes *n = r.n;
	int a = bound(n, 0, r.iommufd, NULL), b = bound(n, 1, r.iommufd, NULL);
	uint32_t other = ioas_with(n, r.iommufd, 1), with, second, pt;

	/* By ids, a second attach of a node is a replace; of a PASID, too. */
	assert_int_equal(alloc(&r, r.ioas, VIA_IOMMU_HWPT_ALLOC_PASID, &with), 0);
	assert_int_equal(alloc(&r, r.ioas, VIA_IOMMU_HWPT_ALLOC_PASID, &second), 0);
	pt = with;
	assert_int_equal(attach_to(&n->s, a, &pt), 0);
	pt = second;
	assert_int_equal(attach_to(&n->s, b, &pt), -EINVAL);
	pt = other;
	assert_int_equal(attach_to(&n->s, b, &pt), -EINVAL);
	pt = with;
	assert_int_equal(attach_to(&n->s, b, &pt), 0);
}

static void test_case_78_replace_that_fails(void **state)
{
	struct rig r = rig_new(*state, 1);
	uint32_t bad = ioas_new(&r.n->s, r.iommufd);

	assert_int_equal(map_page(&r.n->s, r.iommufd, bad, IOVA, r.n->s.bad), 0);
	assert_int_equal(attach(&r, r.ioas), 0);
	assert_int_equal(attach(&r, bad), -EFAULT);
	assert_true(can_read(r.n, r.fd, IOVA));
	/* What the old one must not map it must not still. */
	assert_int_equal(map_page(&r.n->s, r.iommufd, r.ioas, 0xfee00000, r.n->s.page), -EINVAL);
	assert_int_equal(map_page(&r.n->s, r.iommufd, bad, 0xfee00000, r.n->s.page), 0);
}

static void test_case_79_automatic_ones_go(void **state)
{
	struct rig r = rig_new(*state, 1);
	uint32_t pt = r.ioas;

	assert_int_equal(attach_to(&r.n->s, r.fd, &pt), 0);
	assert_int_equal(destroy(&r.n->s, r.iommufd, pt), -EBUSY);
	assert_int_equal(detach(&r.n->s, r.fd), 0);
	assert_int_equal(destroy(&r.n->s, r.iommufd, pt), -ENOENT);
	assert_int_equal(destroy(&r.n->s, r.iommufd, r.ioas), 0);
}

static void test_case_80_ioas_with_a_hwpt(void **state)
{
	struct rig r = rig_new(*state, 1);
	uint32_t hwpt;

	assert_int_equal(alloc(&r, r.ioas, 0, &hwpt), 0);
	assert_int_equal(destroy(&r.n->s, r.iommufd, r.ioas), -EBUSY);
	assert_int_equal(attach(&r, hwpt), 0);
	assert_int_equal(destroy(&r.n->s, r.iommufd, hwpt), -EBUSY);
	assert_int_equal(detach(&r.n->s, r.fd), 0);
	assert_int_equal(destroy(&r.n->s, r.iommufd, hwpt), 0);
	assert_int_equal(destroy(&r.n->s, r.iommufd, r.ioas), 0);
	/* Those that are left go with the context. */
	r.ioas = ioas_with(r.n, r.iommufd, 1);
	assert_int_equal(alloc(&r, r.ioas, 0, &hwpt), 0);
}

static void test_case_92_pasids_that_do_not_fit(void **state)
{
	struct rig r = rig_new(*state, 1);
	uint32_t with, pt = r.ioas;

	assert_int_equal(alloc(&r, r.ioas, VIA_IOMMU_HWPT_ALLOC_PASID, &with), 0);
	assert_int_equal(attach_pasid(&r.n->s, r.fd, 1, &pt), -EINVAL);
	/* Linux takes any PASID of a device that has none. */
	pt = with;
	assert_int_equal(attach_pasid(&r.n->s, r.fd, 1, &pt), -EINVAL);
}

static void test_a_pasid_reply_that_faults_undoes_the_pasid(void **state)
{
	struct rig r = rig_new(*state, 1);
	struct via_vfio_device_attach_iommufd_pt attach_it = {
		.argsz = sizeof(attach_it), .flags = VIA_VFIO_DEVICE_ATTACH_PASID, .pasid = 3};
	uint32_t with;

	assert_int_equal(alloc(&r, r.ioas, VIA_IOMMU_HWPT_ALLOC_PASID, &with), 0);
	assert_int_equal(attach(&r, with), 0);
	attach_it.pt_id = with;
	r.n->s.fill_read_only(r.n->s.cookie, &attach_it, sizeof(attach_it));
	assert_int_equal(call(&r.n->s, r.fd, VIA_VFIO_DEVICE_ATTACH_IOMMUFD_PT, r.n->s.read_only),
			 -EFAULT);
	assert_true(can_read(r.n, r.fd, IOVA));
	assert_int_equal(detach(&r.n->s, r.fd), 0);
	assert_int_equal(destroy(&r.n->s, r.iommufd, with), 0);
}

/* Dirty pages -------------------------------------------------------------------- */

static long track(struct rig *r, uint32_t hwpt, bool on)
{
	struct via_iommu_hwpt_set_dirty_tracking set = {
		.size = sizeof(set), .flags = on, .hwpt_id = hwpt};

	return call(&r->n->s, r->iommufd, VIA_IOMMU_HWPT_SET_DIRTY_TRACKING, &set);
}

static long bitmap(struct rig *r, uint32_t hwpt, uint32_t flags, uint64_t iova, uint64_t length,
		   uint64_t page_size, void *data)
{
	struct via_iommu_hwpt_get_dirty_bitmap get = {
		.size = sizeof(get),
		.hwpt_id = hwpt,
		.flags = flags,
		.iova = iova,
		.length = length,
		.page_size = page_size,
		.data = (uint64_t)(uintptr_t)data,
	};

	return call(&r->n->s, r->iommufd, VIA_IOMMU_HWPT_GET_DIRTY_BITMAP, &get);
}

#define NO_CLEAR VIA_IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR

/* A HWPT that tracks, attached. */
static uint32_t tracking(struct rig *r)
{
	uint32_t hwpt;

	assert_int_equal(alloc(r, r->ioas, VIA_IOMMU_HWPT_ALLOC_DIRTY_TRACKING, &hwpt), 0);
	assert_int_equal(attach(r, hwpt), 0);
	assert_int_equal(track(r, hwpt, true), 0);
	return hwpt;
}

static void test_case_134_bits_are_only_set(void **state)
{
	struct rig r = rig_new(*state, 16);
	uint32_t hwpt = tracking(&r);
	/* Any alignment, and no byte beyond is touched. */
	uint8_t bytes[5] = {0x5a, 0xff, 0x0f, 0xa5, 0};

	assert_int_equal(bitmap(&r, hwpt, 0, IOVA, 16 * PAGE, PAGE, bytes + 1), 0);
	assert_int_equal(bytes[1], 0xff);
	assert_int_equal(bytes[2], 0x0f);
	assert_true(can_write(r.n, r.fd, IOVA + 15 * PAGE + 8));
	assert_true(can_write(r.n, r.fd, IOVA + 13 * PAGE - 2));
	memset(bytes + 1, 0, 2);
	assert_int_equal(bitmap(&r, hwpt, 0, IOVA, 16 * PAGE, PAGE, bytes + 1), 0);
	assert_int_equal(bytes[1], 0);
	assert_int_equal(bytes[2], 1 << 4 | 1 << 5 | 1 << 7);
	assert_int_equal(bytes[0], 0x5a);
	assert_int_equal(bytes[3], 0xa5);
}

static void test_case_135_bad_arguments(void **state)
{
	struct rig r = rig_new(*state, 4);
	uint32_t hwpt = tracking(&r), plain;
	uint8_t byte = 0;

	assert_int_equal(bitmap(&r, hwpt, 0, IOVA, PAGE, 0, &byte), -EINVAL);
	assert_int_equal(bitmap(&r, hwpt, 0, IOVA + 512, PAGE, PAGE, &byte), -EINVAL);
	assert_int_equal(bitmap(&r, hwpt, 0, IOVA, PAGE - 512, 512, &byte), -EINVAL);
	assert_int_equal(bitmap(&r, hwpt, 0, IOVA + PAGE, PAGE, 2 * PAGE, &byte), -EINVAL);
	assert_int_equal(bitmap(&r, hwpt, 0, IOVA, 0, PAGE, &byte), -EOVERFLOW);
	assert_int_equal(bitmap(&r, hwpt, 0, IOVA, UINT64_MAX, PAGE, &byte), -EOVERFLOW);
	assert_int_equal(bitmap(&r, hwpt, 2, IOVA, PAGE, PAGE, &byte), -EOPNOTSUPP);
	assert_int_equal(bitmap(&r, r.ioas, 0, IOVA, PAGE, PAGE, &byte), -ENOENT);
	assert_int_equal(alloc(&r, r.ioas, 0, &plain), 0);
	assert_int_equal(bitmap(&r, plain, 0, IOVA, PAGE, PAGE, &byte), -EOPNOTSUPP);
	assert_int_equal(track(&r, plain, true), -EOPNOTSUPP);
	assert_int_equal(byte, 0);
}

static void test_case_136_no_clear(void **state)
{
	struct rig r = rig_new(*state, 4);
	uint32_t hwpt = tracking(&r);

	assert_true(can_write(r.n, r.fd, IOVA + 2 * PAGE));
	for (unsigned int i = 0; i < 4; i++) {
		uint8_t byte = 0;

		assert_int_equal(
			bitmap(&r, hwpt, i < 2 ? NO_CLEAR : 0, IOVA, 4 * PAGE, PAGE, &byte), 0);
		assert_int_equal(byte, i < 3 ? 1 << 2 : 0);
	}
}

static void test_case_137_enabling_clears(void **state)
{
	struct rig r = rig_new(*state, 4);
	uint32_t hwpt = tracking(&r);
	uint8_t byte = 0;

	assert_true(can_write(r.n, r.fd, IOVA));
	assert_int_equal(track(&r, hwpt, false), 0);
	assert_int_equal(track(&r, hwpt, true), 0);
	assert_int_equal(bitmap(&r, hwpt, 0, IOVA, 4 * PAGE, PAGE, &byte), 0);
	assert_int_equal(byte, 0);
	/* Once more without a pause, and what is written while it is off is not seen. */
	assert_true(can_write(r.n, r.fd, IOVA));
	assert_int_equal(track(&r, hwpt, true), 0);
	assert_int_equal(track(&r, hwpt, false), 0);
	assert_true(can_write(r.n, r.fd, IOVA + PAGE));
	assert_int_equal(bitmap(&r, hwpt, 0, IOVA, 4 * PAGE, PAGE, &byte), 0);
	assert_int_equal(byte, 0);
}

static void test_case_138_holes(void **state)
{
	struct rig r = rig_new(*state, 4);
	uint32_t hwpt = tracking(&r);
	uint8_t byte = 0;

	assert_int_equal(unmap_page(r.n, r.iommufd, r.ioas, IOVA + PAGE), 0);
	assert_true(can_write(r.n, r.fd, IOVA));
	assert_true(can_write(r.n, r.fd, IOVA + 2 * PAGE));
	/* Nothing is taken then. */
	assert_int_equal(bitmap(&r, hwpt, 0, IOVA, 4 * PAGE, PAGE, &byte), -EINVAL);
	assert_int_equal(byte, 0);
	assert_int_equal(bitmap(&r, hwpt, 0, IOVA, PAGE, PAGE, &byte), 0);
	assert_int_equal(byte, 1);
	byte = 0;
	assert_int_equal(bitmap(&r, hwpt, 0, IOVA + 2 * PAGE, 2 * PAGE, PAGE, &byte), 0);
	assert_int_equal(byte, 1);
	/* A page that is mapped anew is clean. */
	assert_int_equal(bitmap(&r, hwpt, 0, IOVA, PAGE, PAGE, &byte), 0);
	assert_true(can_write(r.n, r.fd, IOVA));
	assert_int_equal(unmap_page(r.n, r.iommufd, r.ioas, IOVA), 0);
	assert_int_equal(map_page(&r.n->s, r.iommufd, r.ioas, IOVA, r.n->s.page), 0);
	byte = 0;
	assert_int_equal(bitmap(&r, hwpt, 0, IOVA, PAGE, PAGE, &byte), 0);
	assert_int_equal(byte, 0);
}

static void test_case_139_units(void **state)
{
	struct rig r = rig_new(*state, 16);
	uint32_t hwpt = tracking(&r);
	uint8_t bytes[16] = {0};

	assert_true(can_write(r.n, r.fd, IOVA + PAGE));
	assert_int_equal(bitmap(&r, hwpt, NO_CLEAR, IOVA, 4 * PAGE, 2 * PAGE, bytes), 0);
	assert_int_equal(bytes[0], 1);
	/* As if it were its lowest set bit, if the range allows it. */
	bytes[0] = 0;
	assert_int_equal(bitmap(&r, hwpt, NO_CLEAR, IOVA, 16 * PAGE, 3 * PAGE, bytes), 0);
	assert_int_equal(bytes[0], 1 << 1);
	/* Smaller than what is tracked: all that may have been written. */
	bytes[0] = 0;
	assert_int_equal(bitmap(&r, hwpt, 0, IOVA, 2 * PAGE, 512, bytes), 0);
	assert_int_equal(bytes[0], 0);
	assert_true(bytes[1] & 1);
}

static int says_yes(struct via_mm *mm, uint64_t addr, uint64_t len, unsigned int prot)
{
	return 0;
}

static void test_a_bad_bitmap_loses_nothing(void **state)
{
	struct rig r = rig_new(*state, 4);
	uint32_t hwpt = tracking(&r);
	struct via_caller *caller = &r.n->m->tc.caller;
	struct via_mm lying = *caller->mm, *honest = caller->mm;
	struct via_mm_ops ops = *honest->ops;
	uint8_t byte = 0;

	/* Looked at before anything else, whether or not it will be needed. */
	assert_int_equal(bitmap(&r, hwpt, 0, IOVA, 4 * PAGE, PAGE, r.n->s.bad), -EFAULT);
	/* And should it go after that, what was for it is still there. */
	ops.probe = says_yes;
	lying.ops = &ops;
	assert_true(can_write(r.n, r.fd, IOVA + PAGE));
	caller->mm = &lying;
	assert_int_equal(bitmap(&r, hwpt, 0, IOVA, 4 * PAGE, PAGE, r.n->s.bad), -EFAULT);
	caller->mm = honest;
	assert_int_equal(bitmap(&r, hwpt, 0, IOVA, 4 * PAGE, PAGE, &byte), 0);
	assert_int_equal(byte, 2);
	byte = 0;

	assert_true(can_write(r.n, r.fd, IOVA));
	assert_int_equal(bitmap(&r, hwpt, 0, IOVA, 4 * PAGE, PAGE, r.n->s.bad), -EFAULT);
	assert_int_equal(bitmap(&r, hwpt, 0, IOVA, 4 * PAGE, PAGE, r.n->s.read_only), -EFAULT);
	assert_int_equal(bitmap(&r, hwpt, 0, IOVA, 4 * PAGE, PAGE, &byte), 0);
	assert_int_equal(byte, 1);
}

static void test_linux_has_no_tracking(void **state)
{
	struct rig r = rig_new(*state, 1);

	assert_int_equal(alloc(&r, r.ioas, VIA_IOMMU_HWPT_ALLOC_DIRTY_TRACKING, NULL), -EOPNOTSUPP);
}

/* Far apart, so that it takes several windows. */
static void test_a_bitmap_of_many_windows(void **state)
{
	struct rig r = rig_new(*state, 1);
	struct nodes *n = r.n;
	const uint64_t len = UINT64_C(1) << 28, far = IOVA + len;
	uint8_t *data = calloc(1, 2 * (len / PAGE) / 8);
	void *big = mmap(NULL, 2 * len, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint32_t ioas = ioas_new(&n->s, r.iommufd), hwpt;
	struct via_iommu_ioas_map map = {
		.size = sizeof(map),
		.flags = 7,
		.ioas_id = ioas,
		.user_va = (uint64_t)(uintptr_t)big,
		.length = 2 * len,
		.iova = IOVA,
	};
	size_t bits = 0;

	assert_ptr_not_equal(big, MAP_FAILED);
	assert_non_null(data);
	assert_int_equal(call(&n->s, r.iommufd, VIA_IOMMU_IOAS_MAP, &map), 0);
	r.ioas = ioas;
	hwpt = tracking(&r);
	assert_true(can_write(n, r.fd, IOVA));
	/* Over the end of a window of 32,768 bits. */
	assert_true(can_write(n, r.fd, (uint32_t)(IOVA + 32768 * PAGE - 2)));
	assert_true(can_write(n, r.fd, (uint32_t)far));
	assert_true(can_write(n, r.fd, (uint32_t)(far + len - 4)));
	for (unsigned int i = 0; i < 2; i++) {
		memset(data, 0, 2 * (len / PAGE) / 8);
		bits = 0;
		assert_int_equal(bitmap(&r, hwpt, 0, IOVA, 2 * len, PAGE, data), 0);
		for (size_t j = 0; j < 2 * (len / PAGE) / 8; j++)
			bits += (size_t)__builtin_popcount(data[j]);
		assert_int_equal(bits, i ? 0 : 5);
		assert_int_equal(data[0], i ? 0 : 1);
		assert_int_equal(data[4095], i ? 0 : 0x80);
		assert_int_equal(data[4096], i ? 0 : 1);
		assert_int_equal(data[2 * (len / PAGE) / 8 - 1], i ? 0 : 0x80);
	}
	node_close(&n->s, r.fd);
	munmap(big, 2 * len);
	free(data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FULL(test_case_73_absent_and_wrong_ids),
		LINUX(test_case_77_two_of_one_group),
		FULL(test_case_78_replace_that_fails),
		FULL(test_case_79_automatic_ones_go),
		FULL(test_case_80_ioas_with_a_hwpt),
		FULL(test_case_92_pasids_that_do_not_fit),
		LINUX(test_a_pasid_reply_that_faults_undoes_the_pasid),
		FULL(test_case_134_bits_are_only_set),
		FULL(test_case_135_bad_arguments),
		FULL(test_case_136_no_clear),
		FULL(test_case_137_enabling_clears),
		FULL(test_case_138_holes),
		FULL(test_case_139_units),
		FULL(test_a_bad_bitmap_loses_nothing),
		LINUX(test_linux_has_no_tracking),
		FULL(test_a_bitmap_of_many_windows),
	};

	return cmocka_run_group_tests_name("iommufd HWPTs", tests, NULL, NULL);
}
