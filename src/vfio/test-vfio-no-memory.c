/* SPDX-License-Identifier: MIT */
/*
 * 157 for containers: memory runs out at the n-th allocation, for n = 1, 2, ...: -ENOMEM, and
 * the call can be made again. The linker puts our allocator before the real one.
 */
#include "base/test-allocations.h"
#include "vfio/test-vfio.h"

#include <viaduct/abi/iommufd.h>

/* The call fails with each of its allocations in turn, and works at last. least: how many. */
static void in_spite(struct machine *m, int fd, unsigned long cmd, const void *arg, long least)
{
	long ret = -ENOMEM;

	for (long n = 0; ret < 0; n++) {
		assert_true(n < 64);
		fail_allocation(n);
		ret = ioc(m, fd, cmd, arg);
		fail_allocation(-1);
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

#define BAR_MEMORY 0x2000u

/* A BAR's memory as the program has mapped it, and as a dma-buf, in a container and an IOAS. */
static uint8_t *bar_of(struct machine *m, int fd)
{
	struct via_file *file = NULL;
	struct via_mmap map;
	uint8_t *at;

	assert_int_equal(test_file_get(&m->tc.caller, fd, &file), 0);
	assert_int_equal(via_file_mmap(file, &m->tc.caller, BAR_MEMORY, PAGE,
				       PROT_READ | PROT_WRITE, MAP_SHARED, &map),
			 0);
	at = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, map.fd, (off_t)map.offset);
	assert_ptr_not_equal(at, MAP_FAILED);
	via_file_put(file);
	return at;
}

static void test_case_157_bar_in_a_container(void **state)
{
	struct machine *m = machine_new(NULL);
	int container = node(m, "vfio/vfio"), groups[2] = {node(m, "vfio/1"), node(m, "vfio/2")};
	struct via_vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map), .flags = 3, .iova = IOVA, .size = PAGE};
	uint8_t *bar;

	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(join(m, groups[i], container), 0);
	assert_int_equal(ioc(m, container, VIA_VFIO_SET_IOMMU, (void *)VIA_VFIO_TYPE1v2_IOMMU), 0);
	bar = bar_of(m, device(m, groups[1], "0000:00:05.0"));
	map.vaddr = (uint64_t)(uintptr_t)bar;
	in_spite(m, container, VIA_VFIO_IOMMU_MAP_DMA, &map, 3);
	munmap(bar, PAGE);
	teardown((void **)&m);
}

static void test_case_157_bar_in_an_ioas(void **state)
{
	struct get {
		struct via_vfio_device_feature head;
		struct via_vfio_device_feature_dma_buf buf;
		struct via_vfio_region_dma_range range;
	} get = {
		.head = {.argsz = sizeof(get),
			 .flags = VIA_VFIO_DEVICE_FEATURE_DMA_BUF | VIA_VFIO_DEVICE_FEATURE_GET},
		.buf = {.region_index = 0, .open_flags = O_CLOEXEC | O_RDWR, .nr_ranges = 1},
		.range = {BAR_MEMORY, PAGE},
	};
	struct machine *m = machine_new(NULL);
	struct via_iommu_ioas_alloc ioas = {.size = sizeof(ioas)};
	struct via_vfio_device_bind_iommufd bind = {.argsz = sizeof(bind)};
	struct via_vfio_device_attach_iommufd_pt attach = {.argsz = sizeof(attach)};
	struct via_iommu_ioas_map_file file = {
		.size = sizeof(file), .flags = 7, .length = PAGE, .iova = IOVA};
	struct via_iommu_ioas_map map = {
		.size = sizeof(map), .flags = 7, .length = PAGE, .iova = IOVA + PAGE};
	uint8_t *bar;
	int dev;

	bind.iommufd = node(m, "iommu");
	assert_int_equal(ioc(m, bind.iommufd, VIA_IOMMU_IOAS_ALLOC, &ioas), 0);
	attach.pt_id = file.ioas_id = map.ioas_id = ioas.out_ioas_id;
	dev = node(m, "vfio/devices/vfio1");
	in_spite(m, dev, VIA_VFIO_DEVICE_BIND_IOMMUFD, &bind, 2);
	in_spite(m, dev, VIA_VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach, 3);
	assert_int_equal(region_write(m, dev, VIA_VFIO_PCI_CONFIG_REGION_INDEX, 4, 6, 2), 2);
	file.fd = (int)ioc(m, dev, VIA_VFIO_DEVICE_FEATURE, &get);
	assert_true(file.fd >= 0);
	in_spite(m, bind.iommufd, VIA_IOMMU_IOAS_MAP_FILE, &file, 3);
	bar = bar_of(m, dev);
	map.user_va = (uint64_t)(uintptr_t)bar;
	in_spite(m, bind.iommufd, VIA_IOMMU_IOAS_MAP, &map, 3);
	munmap(bar, PAGE);
	teardown((void **)&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_case_157_noiommu),
		cmocka_unit_test(test_case_157_spapr),
		cmocka_unit_test(test_case_157_type1),
		cmocka_unit_test(test_case_157_bar_in_a_container),
		cmocka_unit_test(test_case_157_bar_in_an_ioas),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
