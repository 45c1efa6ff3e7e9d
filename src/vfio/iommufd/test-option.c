/* SPDX-License-Identifier: MIT */
/* Options, accounting, change of process (spec iommu.md 2.6.8 to 2.6.10, 11.3). */
#include "vfio/iommufd/test-iommufd.h"

#define MODE VIA_IOMMU_OPTION_RLIMIT_MODE
#define HUGE VIA_IOMMU_OPTION_HUGE_PAGES
#define GET VIA_IOMMU_OPTION_OP_GET

static void test_case_54_rlimit_mode(void **state)
{
	struct bench *b = *state;
	uint64_t value = 7;
	uint32_t id;

	assert_int_equal(set_option(b, MODE, 0, 5), -EINVAL);
	assert_int_equal(set_option(b, MODE, 1, 1), -EOPNOTSUPP);
	assert_int_equal(option(b, MODE, 9, 0, &value), -EOPNOTSUPP);
	assert_int_equal(option(b, MODE, GET, 0, &value), 0);
	assert_int_equal(value, 0);
	assert_int_equal(set_option(b, MODE, 0, 1), 0);
	assert_int_equal(option(b, MODE, GET, 0, &value), 0);
	assert_int_equal(value, 1);
	id = ioas_new(b);
	assert_int_equal(set_option(b, MODE, 0, 5), -EBUSY);
	b->tc.caller.caps &= ~VIA_CAP_SYS_RESOURCE;
	assert_int_equal(set_option(b, MODE, 0, 0), -EPERM);
	assert_int_equal(option(b, MODE, GET, 0, &value), 0);
	assert_int_equal(destroy(b, id), 0);
}

static void test_case_55_56_huge_pages(void **state)
{
	struct via_iommu_option cmd = {.size = sizeof(cmd), .reserved = 1, .option_id = 7};
	struct bench *b = *state;
	uint32_t id = dom(b), empty = ioas_new(b);
	uint64_t value = 0;

	assert_int_equal(ioc(b, VIA_IOMMU_OPTION, &cmd), -EOPNOTSUPP);
	assert_int_equal(option(b, HUGE, GET, id, &value), 0);
	assert_int_equal(value, 1);
	assert_int_equal(set_option(b, HUGE, id, 0), 0);
	assert_int_equal(option(b, HUGE, GET, id, &value), 0);
	assert_int_equal(value, 0);
	assert_int_equal(set_option(b, HUGE, id, 1), 0);
	assert_int_equal(map_at(b, id, F, addr(b->memory), PAGE, LOW), 0);
	assert_int_equal(set_option(b, HUGE, id, 0), -EINVAL);
	assert_int_equal(map_at(b, empty, F, VA, 0x800, 0x800), 0);
	assert_int_equal(set_option(b, HUGE, empty, 0), -EADDRINUSE);
	assert_int_equal(set_option(b, HUGE, empty, 1), 0);
	assert_int_equal(set_option(b, HUGE, empty, 2), -EINVAL);
	assert_int_equal(set_option(b, HUGE, b->hws[0].idev->object.id, 0), -ENOENT);
	assert_int_equal(option(b, 7, GET, id, &value), -EOPNOTSUPP);
	assert_int_equal(option(b, HUGE, 9, id, &value), -EOPNOTSUPP);
}

static void test_vfio_ioas(void **state)
{
	struct via_iommu_vfio_ioas cmd = {.size = sizeof(cmd), .reserved = 1};
	struct bench *b = *state;
	const uint32_t id = ioas_new(b);

	assert_int_equal(ioc(b, VIA_IOMMU_VFIO_IOAS, &cmd), -EOPNOTSUPP);
	cmd.reserved = 0;
	cmd.op = 9;
	assert_int_equal(ioc(b, VIA_IOMMU_VFIO_IOAS, &cmd), -EOPNOTSUPP);
	cmd.op = VIA_IOMMU_VFIO_IOAS_GET;
	assert_int_equal(ioc(b, VIA_IOMMU_VFIO_IOAS, &cmd), -ENODEV);
	cmd.op = VIA_IOMMU_VFIO_IOAS_SET;
	cmd.ioas_id = 99;
	assert_int_equal(ioc(b, VIA_IOMMU_VFIO_IOAS, &cmd), -ENOENT);
	cmd.ioas_id = id;
	assert_int_equal(ioc(b, VIA_IOMMU_VFIO_IOAS, &cmd), 0);
	cmd.ioas_id = 0;
	cmd.op = VIA_IOMMU_VFIO_IOAS_GET;
	assert_int_equal(ioc(b, VIA_IOMMU_VFIO_IOAS, &cmd), 0);
	assert_int_equal(cmd.ioas_id, id);
	/* It is an object like any other. */
	assert_int_equal(destroy(b, id), 0);
	assert_int_equal(ioc(b, VIA_IOMMU_VFIO_IOAS, &cmd), -ENODEV);
	cmd.op = VIA_IOMMU_VFIO_IOAS_CLEAR;
	assert_int_equal(ioc(b, VIA_IOMMU_VFIO_IOAS, &cmd), 0);
}

/* Accounting ------------------------------------------------------------------ */

static uint64_t old_limit;

static int setup_limited(void **state)
{
	const struct via_vfio_config config = {
		.profile = VIA_PROFILE_LINUX, .memlock = VIA_MEMLOCK_ENFORCE};
	struct bench *b = bench_new(&config);

	old_limit = b->tc.caller.mm->memlock_limit;
	b->tc.caller.mm->memlock_limit = 16 * PAGE;
	b->tc.caller.caps &= ~VIA_CAP_IPC_LOCK;
	*state = b;
	return 0;
}

static int teardown_limited(void **state)
{
	struct bench *b = *state;
	struct via_mm *mm = via_mm_get(b->tc.caller.mm);
	int ret;

	mm->memlock_limit = old_limit;
	ret = teardown(state);
	/* All that was charged has been given back. */
	assert_int_equal(via_ledger_pages(mm), 0);
	assert_int_equal(via_ledger_pinned(mm), 0);
	via_mm_put(mm);
	return ret;
}

static void limits(struct bench *b)
{
	const uint32_t id = dom(b);
	const uint64_t va = addr(b->memory);

	assert_int_equal(map_at(b, id, F, va, 16 * PAGE, LOW), 0);
	assert_true(attach(b, 1, id) > 0);
	assert_int_equal(copy(b, F, id, id, 16 * PAGE, LOW + 0x100000, LOW), 0);
	assert_int_equal(map_at(b, id, F, va, PAGE, LOW + 0x200000), -ENOMEM);
	assert_int_equal(map_at(b, id, F, va, PAGE, LOW + 0x200000), -ENOMEM);
	assert_int_equal(unmap(b, id, 0, MAX), 0);
	assert_int_equal(map_at(b, id, F, va, 8 * PAGE, LOW), 0);
	assert_int_equal(map_at(b, id, F, va, 8 * PAGE, LOW + 0x100000), 0);
	assert_int_equal(map_at(b, id, F, va, 8 * PAGE, LOW + 0x200000), -ENOMEM);
}

static void test_case_57_58_user_mode(void **state)
{
	struct bench *b = *state;

	limits(b);
	assert_int_equal(via_ledger_pages(b->tc.caller.mm), 0);
	assert_int_equal(via_ledger_pinned(b->tc.caller.mm), 16);
}

static void test_case_57_58_mm_mode(void **state)
{
	struct bench *b = *state;

	assert_int_equal(set_option(b, MODE, 0, 1), 0);
	limits(b);
	assert_int_equal(via_ledger_pages(b->tc.caller.mm), 16);
	assert_int_equal(via_ledger_pinned(b->tc.caller.mm), 16);
}

static void test_case_60_ipc_lock(void **state)
{
	struct bench *b = *state;
	uint32_t id;

	b->tc.caller.caps |= VIA_CAP_IPC_LOCK;
	b->tc.caller.mm->memlock_limit = 0;
	id = dom(b);
	assert_int_equal(map_at(b, id, F, addr(b->memory), 16 * PAGE, LOW), 0);
	assert_int_equal(via_ledger_pages(b->tc.caller.mm), 0);
	assert_int_equal(via_ledger_pinned(b->tc.caller.mm), 16);
	/* Sampled when the memory was named, not when it is pinned. */
	assert_int_equal(unmap(b, id, 0, MAX), 0);
	id = ioas_new(b);
	assert_int_equal(map_at(b, id, F, addr(b->memory), PAGE, LOW), 0);
	b->tc.caller.caps &= ~VIA_CAP_IPC_LOCK;
	assert_true(attach(b, 1, id) > 0);
}

static void test_case_61_deferred(void **state)
{
	struct bench *b = *state;
	const uint32_t id = ioas_new(b);

	b->tc.caller.mm->memlock_limit = 0;
	assert_int_equal(map_at(b, id, F, addr(b->memory), 16 * PAGE, LOW), 0);
	assert_int_equal(attach(b, 0, id), -ENOMEM);
	assert_int_equal(map_at(b, id, F, addr(b->memory), PAGE, LOW), -EEXIST);
	assert_int_equal(via_ledger_pinned(b->tc.caller.mm), 0);
}

static void test_case_62_change_process(void **state)
{
	struct via_iommu_ioas_change_process cmd = {.size = sizeof(cmd), .reserved = 1};
	struct bench *b = *state;
	int fd = memfd_create("test", MFD_CLOEXEC);
	uint64_t iova = LOW;
	uint32_t id;

	assert_int_equal(ftruncate(fd, 4 * PAGE), 0);
	assert_int_equal(ioc(b, VIA_IOMMU_IOAS_CHANGE_PROCESS, &cmd), -EOPNOTSUPP);
	cmd.reserved = 0;
	assert_int_equal(ioc(b, VIA_IOMMU_IOAS_CHANGE_PROCESS, &cmd), 0);
	id = dom(b);
	assert_int_equal(map_file(b, id, F, fd, 0, 4 * PAGE, &iova), 0);
	assert_int_equal(ioc(b, VIA_IOMMU_IOAS_CHANGE_PROCESS, &cmd), 0);
	assert_int_equal(map_at(b, id, F, addr(b->memory), PAGE, LOW + 0x10000), 0);
	assert_int_equal(ioc(b, VIA_IOMMU_IOAS_CHANGE_PROCESS, &cmd), -EINVAL);
	close(fd);
}

#define LIMITED(f) cmocka_unit_test_setup_teardown(f, setup_limited, teardown_limited)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LINUX(test_case_54_rlimit_mode),
		LINUX(test_case_55_56_huge_pages),
		LINUX(test_vfio_ioas),
		LIMITED(test_case_57_58_user_mode),
		LIMITED(test_case_57_58_mm_mode),
		LIMITED(test_case_60_ipc_lock),
		LIMITED(test_case_61_deferred),
		LIMITED(test_case_62_change_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
