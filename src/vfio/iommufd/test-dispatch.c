/* SPDX-License-Identifier: MIT */
/* How commands of /dev/iommu are called, and its objects (spec iommu.md 2.3, 11.1). */
#include "vfio/iommufd/commands.h"
#include "vfio/iommufd/test-iommufd.h"

#include <time.h>

/* Two pages, the second of which is not there. */
static uint8_t *last_page(void)
{
	uint8_t *p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			  0);

	assert_ptr_not_equal(p, MAP_FAILED);
	assert_int_equal(munmap(p + PAGE, PAGE), 0);
	return p;
}

static void test_case_1_3_numbers(void **state)
{
	struct via_iommu_ioas_alloc cmd = {.size = sizeof(cmd)};
	struct bench *b = *state;

	assert_int_equal(ioc(b, 0x3b7f, &cmd), -ENOTTY);
	/* With bits for size and direction: but the pointer is tried first. */
	assert_int_equal(ioc(b, 0xc00c3b81, &cmd), -ENOTTY);
	assert_int_equal(ioc(b, 0xc00c3b81, NULL), -EFAULT);
	assert_int_equal(ioc(b, 0x3bff, NULL), -ENOTTY);
	assert_int_equal(ioc(b, 0x3b95, NULL), -ENOTTY);
	assert_int_equal(ioc(b, 0x3ba0, NULL), -ENOTTY);
	/* Another type of ioctl with a number of the table. */
	assert_int_equal(ioc(b, 0x4181, &cmd), -ENOTTY);
	assert_int_equal(ioc(b, 0x4181, NULL), -EFAULT);
}

static void test_table_with_tests(void **state)
{
	const struct via_vfio_config config = {.iommu_test = true};
	struct bench *b = bench_new(&config);
	uint32_t size = 8;

	assert_int_equal(ioc(b, 0x3b95, NULL), -EFAULT);
	assert_int_equal(ioc(b, 0x3b95, &size), -ENOTTY);
	assert_int_equal(ioc(b, 0x3ba0, NULL), -EFAULT);
	assert_int_equal(ioc(b, 0x3ba1, NULL), -ENOTTY);
	bench_free(b);
}

static void test_case_4_5_sizes(void **state)
{
	struct bench *b = *state;
	struct {
		struct via_iommu_ioas_map cmd;
		uint8_t tail[64];
	} m = {.cmd = {.size = 39, .flags = F, .user_va = VA, .length = PAGE}};
	uint8_t *page = last_page();

	m.cmd.ioas_id = ioas_new(b);
	assert_int_equal(ioc(b, VIA_IOMMU_IOAS_MAP, &m), -EINVAL);
	m.cmd.size = 40;
	assert_int_equal(ioc(b, VIA_IOMMU_IOAS_MAP, &m), 0);
	m.cmd.size = 41;
	m.cmd.iova = PAGE;
	assert_int_equal(ioc(b, VIA_IOMMU_IOAS_MAP, &m), 0);
	m.cmd.iova = 2 * PAGE;
	m.tail[0] = 1;
	assert_int_equal(ioc(b, VIA_IOMMU_IOAS_MAP, &m), -E2BIG);
	m.tail[0] = 0;
	m.tail[20] = 1;
	m.cmd.size = 40 + 20;
	assert_int_equal(ioc(b, VIA_IOMMU_IOAS_MAP, &m), 0);

	/* The claimed size leads out of what is mapped; what comes first decides. */
	m.cmd.size = 64;
	m.cmd.iova = 3 * PAGE;
	memcpy(page + PAGE - 50, &m.cmd, sizeof(m.cmd));
	assert_int_equal(ioc(b, VIA_IOMMU_IOAS_MAP, page + PAGE - 50), -EFAULT);
	page[PAGE - 1] = 1;
	assert_int_equal(ioc(b, VIA_IOMMU_IOAS_MAP, page + PAGE - 50), -E2BIG);
	page[PAGE - 1] = 0;
	m.cmd.size = UINT32_MAX;
	memcpy(page + PAGE - 50, &m.cmd, sizeof(m.cmd));
	assert_int_equal(ioc(b, VIA_IOMMU_IOAS_MAP, page + PAGE - 50), -EFAULT);
	munmap(page, PAGE);

	m.cmd.size = 0;
	assert_int_equal(ioc(b, VIA_IOMMU_IOAS_MAP, &m), -EINVAL);
}

/* No program has memory beyond 2^47, whatever comes before that. */
static void test_tail_beyond_memory(void **state)
{
	const uint32_t size = UINT32_MAX;
	struct bench *b = *state;
	uint8_t *page = MAP_FAILED;

	for (uint64_t at = ((uint64_t)1 << 47) - ((uint64_t)3 << 30);
	     page == MAP_FAILED && at < ((uint64_t)1 << 47) - (1u << 28); at += 1u << 26)
		page = mmap((void *)(uintptr_t)at, PAGE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	assert_ptr_not_equal(page, MAP_FAILED);
	memcpy(page, &size, sizeof(size));
	page[sizeof(struct via_iommu_ioas_alloc)] = 1;
	assert_int_equal(ioc(b, VIA_IOMMU_IOAS_ALLOC, page), -EFAULT);
	munmap(page, PAGE);
}

static void test_case_5_long_tail(void **state)
{
	const uint32_t size = 3 * PAGE;
	struct via_iommu_destroy *cmd = calloc(1, size);
	struct bench *b = *state;
	uint8_t *bytes = (uint8_t *)cmd;

	assert_non_null(cmd);
	cmd->size = size;
	cmd->id = ioas_new(b);
	bytes[size - 1] = 1;
	assert_int_equal(ioc(b, VIA_IOMMU_DESTROY, cmd), -E2BIG);
	bytes[size - 1] = 0;
	assert_int_equal(ioc(b, VIA_IOMMU_DESTROY, cmd), 0);
	free(cmd);
}

static void test_case_6_7_short(void **state)
{
	struct via_iommu_hwpt_alloc alloc = {.size = 24, .data_type = 77, .data_len = 8};
	struct via_iommu_hw_info info = {.size = 31};
	struct bench *b = *state;
	const uint32_t ioas = dom(b);

	alloc.dev_id = b->hws[0].idev->object.id;
	alloc.pt_id = ioas;
	assert_int_equal(ioc(b, VIA_IOMMU_HWPT_ALLOC, &alloc), 0);
	assert_int_equal(alloc.data_type, 77);
	assert_int_equal(destroy(b, alloc.out_hwpt_id), 0);
	alloc.size = 23;
	assert_int_equal(ioc(b, VIA_IOMMU_HWPT_ALLOC, &alloc), -EINVAL);

	assert_int_equal(ioc(b, VIA_IOMMU_GET_HW_INFO, &info), -EINVAL);
	info.size = 32;
	info.dev_id = b->hws[0].idev->object.id;
	info.out_capabilities = 0x1234567890;
	assert_int_equal(ioc(b, VIA_IOMMU_GET_HW_INFO, &info), 0);
	assert_true(info.out_capabilities == 0x1234567890);
	/* It has nothing to tell, so no type can be asked for. */
	info.size = sizeof(info);
	info.flags = VIA_IOMMU_HW_INFO_FLAG_INPUT_TYPE;
	info.data_type = 1;
	info.out_capabilities = 0;
	assert_int_equal(ioc(b, VIA_IOMMU_GET_HW_INFO, &info), -EOPNOTSUPP);
	info.data_type = VIA_IOMMU_HW_INFO_TYPE_NONE;
	assert_int_equal(ioc(b, VIA_IOMMU_GET_HW_INFO, &info), 0);
}

/* Its interrupts could reach what is not its own. */
static void test_bind_without_isolation(void **state)
{
	struct bench *b = *state;
	struct via_idev *idev = NULL;

	b->hws[1].hw.isolated_msi = false;
	assert_int_equal(via_idev_bind(b->iommufd, &b->hws[1].hw, &idev), -EPERM);
	assert_null(idev);
	b->hws[1].hw.isolated_msi = true;
	assert_int_equal(via_idev_bind(b->iommufd, &b->hws[1].hw, &b->hws[1].idev), 0);
}

static void test_case_8_lowest_id(void **state)
{
	struct bench *b = *state;

	assert_int_equal(ioas_new(b), 1);
	assert_int_equal(destroy(b, 1), 0);
	assert_int_equal(ioas_new(b), 1);
	for (uint32_t id = 2; id < 300; id++)
		assert_int_equal(ioas_new(b), id);
	assert_int_equal(destroy(b, 200), 0);
	assert_int_equal(destroy(b, 7), 0);
	assert_int_equal(destroy(b, 7), -ENOENT);
	assert_int_equal(destroy(b, 0), -ENOENT);
	assert_int_equal(destroy(b, UINT32_MAX), -ENOENT);
	assert_int_equal(ioas_new(b), 7);
	assert_int_equal(ioas_new(b), 200);
	assert_int_equal(ioas_new(b), 300);
}

static void test_case_9_reply(void **state)
{
	struct via_iommu_ioas_map map = {
		.size = sizeof(map), .flags = F, .user_va = VA, .length = PAGE, .iova = PAGE};
	struct via_iommu_ioas_alloc alloc = {.size = sizeof(alloc)};
	struct bench *b = *state;
	uint8_t *page = last_page();

	map.ioas_id = ioas_new(b);
	memcpy(page, &map, sizeof(map));
	mprotect(page, PAGE, PROT_READ);
	assert_int_equal(ioc(b, VIA_IOMMU_IOAS_MAP, page), -EFAULT);
	assert_int_equal(unmap(b, map.ioas_id, PAGE, PAGE), 0);

	/* An object of which nobody knows is not kept. */
	mprotect(page, PAGE, PROT_READ | PROT_WRITE);
	memcpy(page, &alloc, sizeof(alloc));
	mprotect(page, PAGE, PROT_READ);
	assert_int_equal(ioc(b, VIA_IOMMU_IOAS_ALLOC, page), -EFAULT);
	assert_int_equal(ioas_new(b), 2);

	/* Commands without an answer do not write. */
	mprotect(page, PAGE, PROT_READ | PROT_WRITE);
	memcpy(page, &(struct via_iommu_destroy){8, 2}, 8);
	mprotect(page, PAGE, PROT_READ);
	assert_int_equal(ioc(b, VIA_IOMMU_DESTROY, page), 0);
	munmap(page, PAGE);
}

/* A program whose memory cannot be written any more when the answer comes. */
static struct {
	struct via_mm mm;
	struct bench *b;
	long destroyed;
	uint32_t other;
} lost;

static int lost_writev(struct via_mm *mm, const struct iovec *local, size_t n_local,
		       const struct iovec *remote, size_t n_remote)
{
	struct via_mm *self = via_mm_self();

	/* Another thread of it guesses the id, and makes something of its own. */
	lost.b->tc.caller.mm = self;
	lost.destroyed = destroy(lost.b, 1);
	lost.other = ioas_new(lost.b);
	via_mm_put(self);
	return -EFAULT;
}

/* What nobody was told of goes, and nothing else; before, nobody finds it. */
static void test_reply_that_is_lost(void **state)
{
	struct via_iommu_ioas_alloc alloc = {.size = sizeof(alloc)};
	struct bench *b = *state;
	struct via_mm *self = b->tc.caller.mm;
	struct via_mm_ops ops = *self->ops;

	ops.writev = lost_writev;
	lost.mm = *self;
	lost.mm.ops = &ops;
	lost.b = b;
	b->tc.caller.mm = &lost.mm;
	assert_int_equal(ioc(b, VIA_IOMMU_IOAS_ALLOC, &alloc), -EFAULT);
	assert_ptr_equal(b->tc.caller.mm, self);
	assert_int_equal(lost.destroyed, -ENOENT);
	assert_int_equal(destroy(b, lost.other), 0);
	assert_int_equal(destroy(b, 1), -ENOENT);
	assert_int_equal(ioas_new(b), 1);
}

static void test_case_10_in_use(void **state)
{
	struct bench *b = *state;
	const uint32_t ioas = dom(b);
	struct via_object *object;

	assert_int_equal(destroy(b, b->hws[0].idev->object.id), -EBUSY);
	assert_int_equal(destroy(b, ioas), -EBUSY);
	object = via_object_get(b->iommufd, 3, VIA_OBJECT_HWPT_PAGING);
	assert_non_null(object);
	via_object_put(object);
	assert_int_equal(destroy(b, 3), -EBUSY);
}

/* Objects alone ------------------------------------------------------------------- */

static unsigned int n_destroyed;

static void test_destroy(struct via_object *object)
{
	n_destroyed++;
	free(object);
}

static const struct via_object_ops test_ops = {VIA_OBJECT_TEST, test_destroy};

static struct via_object *test_object(struct bench *b)
{
	struct via_object *object = calloc(1, sizeof(*object));

	assert_non_null(object);
	assert_int_equal(via_object_reserve(b->iommufd, object, &test_ops), 0);
	return object;
}

static void test_reserved_ids(void **state)
{
	struct bench *b = *state;
	struct via_object *object = test_object(b), *again;
	const uint32_t id = object->id;

	assert_null(via_object_get(b->iommufd, id, VIA_OBJECT_ANY));
	assert_int_equal(destroy(b, id), -ENOENT);
	assert_int_equal(ioas_new(b), id + 1);
	via_object_finish(object);
	assert_null(via_object_get(b->iommufd, id, VIA_OBJECT_IOAS));
	again = via_object_get(b->iommufd, id, VIA_OBJECT_TEST);
	assert_ptr_equal(again, object);
	assert_int_equal(destroy(b, id), -EBUSY);
	via_object_use(object);
	via_object_put(object);
	assert_int_equal(via_object_remove(object, 0), -EBUSY);
	assert_int_equal(via_object_remove(object, 1), 0);
	assert_int_equal(destroy(b, id), -ENOENT);
	free(object);
	object = test_object(b);
	assert_int_equal(object->id, id);
	via_object_abort(object);
	free(object);
	object = test_object(b);
	assert_int_equal(object->id, id);
	via_object_finish(object);
	n_destroyed = 0;
	assert_int_equal(destroy(b, id), 0);
	assert_int_equal(n_destroyed, 1);
}

static void *put_later(void *object)
{
	usleep(20000);
	via_object_put(object);
	return NULL;
}

static void test_case_88_tombstone(void **state)
{
	struct bench *b = *state;
	struct via_object *object = test_object(b);
	const uint32_t id = object->id;
	pthread_t thread;

	via_object_finish(object);
	via_object_use(object);
	assert_int_equal(pthread_create(&thread, NULL, put_later, object), 0);
	assert_true(via_object_bury(object));
	via_object_drain(object);
	assert_int_equal(object->users, 0);
	pthread_join(thread, NULL);
	assert_false(via_object_bury(object));
	free(object);
	assert_int_equal(destroy(b, id), -ENOENT);
	for (unsigned int i = 0; i < 100; i++)
		assert_int_not_equal(ioas_new(b), id);
}

static void test_case_80_close_frees_all(void **state)
{
	const struct via_vfio_config config = {.profile = VIA_PROFILE_LINUX};
	struct bench *b = bench_new(&config);
	struct via_object *low = test_object(b), *high = test_object(b);

	/* Neither order of ids is the order of use. */
	via_object_finish(low);
	via_object_finish(high);
	dom(b);
	n_destroyed = 0;
	bench_free(b);
	assert_int_equal(n_destroyed, 2);
}

static void test_bounded(void **state)
{
	struct bench *b = *state;
	struct via_object *objects = calloc(65537, sizeof(*objects));
	uint32_t n = 0;
	int ret;

	assert_non_null(objects);
	while ((ret = via_object_reserve(b->iommufd, &objects[n], &test_ops)) == 0)
		n++;
	assert_int_equal(ret, -ENOMEM);
	assert_int_equal(n, 65536);
	while (n)
		via_object_abort(&objects[--n]);
	free(objects);
	assert_int_equal(ioas_new(b), 1);
}

static long allow_many(struct bench *b, uint32_t ioas, const struct via_iova_range *ranges, uint32_t n)
{
	struct via_iommu_ioas_allow_iovas cmd = {
		.size = sizeof(cmd), .ioas_id = ioas, .num_iovas = n, .allowed_iovas = addr(ranges)};

	return ioc(b, VIA_IOMMU_IOAS_ALLOW_IOVAS, &cmd);
}

/* Lists of one context, however many IOASes it has; those that go make room. */
static void test_bounded_allowed(void **state)
{
	const uint32_t max = 65536;
	struct bench *b = *state;
	struct via_iova_range *ranges = calloc(max + 1, sizeof(*ranges));
	uint32_t ids[3];

	assert_non_null(ranges);
	for (uint32_t i = 0; i <= max; i++)
		ranges[i] = (struct via_iova_range){(uint64_t)i * 16, (uint64_t)i * 16 + 1};
	for (size_t i = 0; i < 3; i++)
		ids[i] = ioas_new(b);
	assert_int_equal(allow_many(b, ids[0], ranges, max + 1), -ENOMEM);
	assert_int_equal(allow_many(b, ids[0], ranges, max), 0);
	/* Replaced, not added; what fails does not count. */
	assert_int_equal(allow_many(b, ids[0], ranges, max), 0);
	assert_int_equal(allow_many(b, ids[1], NULL, max), -EFAULT);
	assert_int_equal(allow_many(b, ids[1], ranges, max), 0);
	assert_int_equal(allow_many(b, ids[2], ranges, 1), -ENOMEM);
	assert_int_equal(destroy(b, ids[0]), 0);
	assert_int_equal(allow_many(b, ids[2], ranges, max), 0);
	assert_int_equal(allow_many(b, ids[2], NULL, 0), 0);
	assert_int_equal(b->iommufd->n_allowed, max);
	free(ranges);
}

static void test_blob(void **state)
{
	struct bench *b = *state;
	const struct via_iommufd_call call = {.iommufd = b->iommufd, .caller = &b->tc.caller};
	const uint64_t src[2] = {1, 2};
	uint64_t dst[2] = {7, 7};

	assert_int_equal(via_iommufd_blob(&call, addr(src), 7, 8, dst, sizeof(dst)), -EINVAL);
	assert_int_equal(via_iommufd_blob(&call, addr(src), 17, 8, dst, sizeof(dst)), -EINVAL);
	assert_int_equal(via_iommufd_blob(&call, 8, 8, 8, dst, sizeof(dst)), -EFAULT);
	assert_int_equal(via_iommufd_blob(&call, addr(src), 8, 8, dst, sizeof(dst)), 0);
	assert_true(dst[0] == 1 && dst[1] == 0);
	assert_int_equal(via_iommufd_blob(&call, addr(src), 16, 8, dst, sizeof(dst)), 0);
	assert_true(dst[1] == 2);
}

static void test_plain_operations(void **state)
{
	struct via_file *file = NULL;
	struct bench *b = *state;
	struct via_mmap map;
	char byte;

	assert_int_equal(test_file_get(&b->tc.caller, b->fd, &file), 0);
	assert_int_equal(via_file_pread(file, &b->tc.caller, addr(&byte), 1, 0), -EINVAL);
	assert_int_equal(via_file_pwrite(file, &b->tc.caller, addr(&byte), 1, 0), -EINVAL);
	assert_int_equal(
		via_file_mmap(file, &b->tc.caller, 0, PAGE, PROT_READ, MAP_SHARED, &map), -ENXIO);
	via_file_put(file);
}

/* Hardware that attaches when it is told to. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool attaching, go;
	struct via_idev *idev;
	uint32_t ioas;
} slow = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static int slow_attach(struct via_iommu_hw *hw, uint32_t pasid, struct via_hwpt *hwpt)
{
	pthread_mutex_lock(&slow.lock);
	slow.attaching = true;
	pthread_cond_broadcast(&slow.changed);
	while (!slow.go)
		pthread_cond_wait(&slow.changed, &slow.lock);
	pthread_mutex_unlock(&slow.lock);
	return 0;
}

static void *slow_attacher(void *arg)
{
	uint32_t id = slow.ioas;

	return (void *)(intptr_t)via_idev_attach(slow.idev, 0, false, &id);
}

static void *slow_resetter(void *arg)
{
	via_iommu_hw_reset(slow.idev->hw, slow.idev, true);
	return NULL;
}

/* A reset begins when no attachment has: nothing of it is under way any more. */
static void test_reset_during_attach(void **state)
{
	static const struct via_iommu_hw_ops ops = {
		.name = "slow", .paging = test_paging, .attach = slow_attach};
	struct bench *b = *state;
	pthread_t attacher, resetter;
	struct timespec soon;
	uint32_t other;
	void *ret;
	bool early;

	slow.ioas = ioas_new(b);
	other = ioas_new(b);
	b->hws[0].hw.ops = &ops;
	assert_int_equal(via_idev_bind(b->iommufd, &b->hws[0].hw, &b->hws[0].idev), 0);
	slow.idev = b->hws[0].idev;
	slow.attaching = slow.go = false;
	assert_int_equal(pthread_create(&attacher, NULL, slow_attacher, NULL), 0);
	pthread_mutex_lock(&slow.lock);
	while (!slow.attaching)
		pthread_cond_wait(&slow.changed, &slow.lock);
	pthread_mutex_unlock(&slow.lock);
	assert_int_equal(pthread_create(&resetter, NULL, slow_resetter, NULL), 0);
	(void)clock_gettime(CLOCK_REALTIME, &soon);
	soon.tv_nsec += 100000000;
	if (soon.tv_nsec >= 1000000000) {
		soon.tv_nsec -= 1000000000;
		soon.tv_sec++;
	}
	early = pthread_timedjoin_np(resetter, NULL, &soon) == 0;
	pthread_mutex_lock(&slow.lock);
	slow.go = true;
	pthread_cond_broadcast(&slow.changed);
	pthread_mutex_unlock(&slow.lock);
	assert_int_equal(pthread_join(attacher, &ret), 0);
	assert_false(early);
	assert_int_equal(pthread_join(resetter, NULL), 0);
	assert_int_equal((intptr_t)ret, 0);
	assert_int_equal(via_idev_attach(slow.idev, 0, true, &other), -EBUSY);
	via_iommu_hw_reset(slow.idev->hw, slow.idev, false);
	assert_int_equal(via_idev_attach(slow.idev, 0, true, &other), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LINUX(test_case_1_3_numbers),
		cmocka_unit_test(test_table_with_tests),
		LINUX(test_case_4_5_sizes),
		LINUX(test_case_5_long_tail),
		LINUX(test_case_6_7_short),
		LINUX(test_tail_beyond_memory),
		LINUX(test_bind_without_isolation),
		LINUX(test_case_8_lowest_id),
		LINUX(test_case_9_reply),
		LINUX(test_reply_that_is_lost),
		LINUX(test_reset_during_attach),
		LINUX(test_case_10_in_use),
		LINUX(test_reserved_ids),
		LINUX(test_case_88_tombstone),
		cmocka_unit_test(test_case_80_close_frees_all),
		LINUX(test_bounded),
		LINUX(test_bounded_allowed),
		LINUX(test_blob),
		LINUX(test_plain_operations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
