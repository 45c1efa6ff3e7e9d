/* SPDX-License-Identifier: MIT */
/*
 * 157 for commands of /dev/iommu: memory runs out at the n-th allocation, for n = 1, 2, ...:
 * -ENOMEM, and no object stays. The linker puts our allocator before the real one.
 */
#include "vfio/iommufd/test-iommufd-mock.h"

#include <sys/resource.h>

static long fail_at = -1, n_allocations;

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_reallocarray(void *p, size_t n, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_reallocarray(void *p, size_t n, size_t size);

static bool may_allocate(void)
{
	return n_allocations++ != fail_at;
}

void *__wrap_malloc(size_t size)
{
	return may_allocate() ? __real_malloc(size) : NULL;
}

void *__wrap_calloc(size_t n, size_t size)
{
	return may_allocate() ? __real_calloc(n, size) : NULL;
}

void *__wrap_reallocarray(void *p, size_t n, size_t size)
{
	return may_allocate() ? __real_reallocarray(p, n, size) : NULL;
}

/* The command fails with each of its allocations in turn, and works at last. least: how many. */
static void in_spite(struct bench *b, unsigned long cmd, void *args, size_t size, long least)
{
	uint8_t before[256];
	long ret = -ENOMEM;

	assert_true(size <= sizeof(before));
	memcpy(before, args, size);
	for (long n = 0; ret < 0; n++) {
		const uint32_t n_live = b->iommufd->n_live;

		assert_true(n < 64);
		memcpy(args, before, size);
		n_allocations = 0;
		fail_at = n;
		ret = ioc(b, cmd, args);
		fail_at = -1;
		if (ret < 0) {
			assert_int_equal(ret, -ENOMEM);
			assert_int_equal(b->iommufd->n_live, n_live);
		} else {
			assert_true(n >= least);
		}
	}
}

static void test_case_157_objects(void **state)
{
	struct via_iommu_ioas_alloc ioas = {.size = sizeof(ioas)};
	struct via_iommu_fault_alloc fault = {.size = sizeof(fault)};
	struct bench *b = *state;

	in_spite(b, VIA_IOMMU_IOAS_ALLOC, &ioas, sizeof(ioas), 2);
	in_spite(b, VIA_IOMMU_FAULT_QUEUE_ALLOC, &fault, sizeof(fault), 1);
}

static void test_case_157_veventq(void **state)
{
	struct bench *b = *state;
	const uint32_t ioas = ioas_new(b);
	const struct mocked m = mock_new(b, ioas);
	const long parent = hwpt(b, m.idev, ioas, VIA_IOMMU_HWPT_ALLOC_NEST_PARENT);
	struct via_iommu_veventq_alloc cmd = {
		.size = sizeof(cmd),
		.viommu_id = (uint32_t)viommu(b, m.idev, (uint32_t)parent, NULL, 0),
		.type = EVENT_TYPE,
		.veventq_depth = 4,
	};

	in_spite(b, VIA_IOMMU_VEVENTQ_ALLOC, &cmd, sizeof(cmd), 2);
}

static void test_case_157_viommu(void **state)
{
	struct {
		uint32_t in, out;
		uint64_t offset, length;
	} data = {.in = 0xbeef};
	struct bench *b = *state;
	const uint32_t ioas = ioas_new(b);
	const struct mocked m = mock_new(b, ioas);
	struct via_iommu_viommu_alloc cmd = {
		.size = sizeof(cmd),
		.type = TYPE,
		.dev_id = m.idev,
		.hwpt_id = (uint32_t)hwpt(b, m.idev, ioas, VIA_IOMMU_HWPT_ALLOC_NEST_PARENT),
		.data_len = sizeof(data),
		.data_uptr = addr(&data),
	};
	struct rlimit limit;

	/* Its pages are a file, which takes a descriptor. */
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &(struct rlimit){0, limit.rlim_max}), 0);
	assert_int_equal(ioc(b, VIA_IOMMU_VIOMMU_ALLOC, &cmd), -ENOMEM);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	in_spite(b, VIA_IOMMU_VIOMMU_ALLOC, &cmd, sizeof(cmd), 2);
}

static void test_case_157_map(void **state)
{
	struct bench *b = *state;
	struct via_iommu_ioas_map cmd = {
		.size = sizeof(cmd),
		.flags = F,
		.ioas_id = dom(b),
		.user_va = addr(b->memory),
		.length = 4 * PAGE,
		.iova = LOW,
	};

	/* Whom to charge is one more to remember. */
	b->tc.caller.caps &= ~VIA_CAP_IPC_LOCK;
	in_spite(b, VIA_IOMMU_IOAS_MAP, &cmd, sizeof(cmd), 3);
	assert_int_equal(unmap(b, cmd.ioas_id, LOW, 4 * PAGE), 0);
	assert_int_equal(via_ledger_pinned(b->tc.caller.mm), 0);
}

static void test_case_157_info(void **state)
{
	struct {
		struct via_vfio_iommu_type1_info head;
		uint8_t chain[160];
	} info = {.head.argsz = sizeof(info)};
	struct bench *b = *state;

	assert_int_equal(via_iommufd_container_join(b->iommufd, false), 0);
	in_spite(b, VIA_VFIO_IOMMU_GET_INFO, &info, sizeof(info), 1);
	assert_int_equal(info.head.cap_offset, sizeof(info.head));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		MOCK(test_case_157_objects),
		MOCK(test_case_157_veventq),
		MOCK(test_case_157_viommu),
		MOCK(test_case_157_map),
		MOCK(test_case_157_info),
		MOCK_FULL(test_case_157_info),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
