/* SPDX-License-Identifier: MIT */
/*
 * 157 for containers: memory runs out at the n-th allocation, for n = 1, 2, ...: -ENOMEM, and
 * the call can be made again. The linker puts our allocator before the real one.
 */
#include "vfio/test-vfio.h"

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

/* The call fails with each of its allocations in turn, and works at last. least: how many. */
static void in_spite(struct machine *m, int fd, unsigned long cmd, const void *arg, long least)
{
	long ret = -ENOMEM;

	for (long n = 0; ret < 0; n++) {
		assert_true(n < 64);
		n_allocations = 0;
		fail_at = n;
		ret = ioc(m, fd, cmd, arg);
		fail_at = -1;
		if (ret < 0)
			assert_int_equal(ret, -ENOMEM);
		else
			assert_true(n >= least);
	}
}

static struct machine *machine_of(enum via_iommu_kind kind)
{
	const struct via_vfio_config config = {.iommu_kind = kind};

	return machine_new(&config);
}

static void test_case_157_noiommu(void **state)
{
	struct machine *m = machine_of(VIA_IOMMU_NONE);
	int container = node(m, "vfio/vfio"), group = node(m, "vfio/noiommu-1");

	assert_int_equal(join(m, group, container), 0);
	in_spite(m, container, VIA_VFIO_SET_IOMMU, (void *)VIA_VFIO_NOIOMMU_IOMMU, 3);
	teardown((void **)&m);
}

static void test_case_157_spapr(void **state)
{
	struct machine *m = machine_of(VIA_IOMMU_SPAPR);
	struct via_vfio_iommu_spapr_register_memory memory = {
		.argsz = sizeof(memory), .vaddr = (uint64_t)(uintptr_t)m->memory, .size = PAGE};
	int container = node(m, "vfio/vfio"), group = node(m, "vfio/1");

	assert_int_equal(join(m, group, container), 0);
	in_spite(m, container, VIA_VFIO_SET_IOMMU, (void *)VIA_VFIO_SPAPR_TCE_v2_IOMMU, 3);
	in_spite(m, container, VIA_VFIO_IOMMU_SPAPR_REGISTER_MEMORY, &memory, 2);
	assert_int_equal(ioc(m, container, VIA_VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY, &memory), 0);
	teardown((void **)&m);
}

static void test_case_157_type1(void **state)
{
	struct {
		struct via_vfio_iommu_type1_info head;
		uint8_t chain[160];
	} info = {.head.argsz = sizeof(info)};
	struct machine *m = machine_new(NULL);
	int container = node(m, "vfio/vfio"), group = node(m, "vfio/1");

	assert_int_equal(join(m, group, container), 0);
	in_spite(m, container, VIA_VFIO_SET_IOMMU, (void *)VIA_VFIO_TYPE1v2_IOMMU, 2);
	in_spite(m, container, VIA_VFIO_IOMMU_GET_INFO, &info, 1);
	assert_int_equal(info.head.cap_offset, sizeof(info.head));
	teardown((void **)&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_case_157_noiommu),
		cmocka_unit_test(test_case_157_spapr),
		cmocka_unit_test(test_case_157_type1),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
