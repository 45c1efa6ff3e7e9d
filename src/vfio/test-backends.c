/* SPDX-License-Identifier: MIT */
/* Containers of machines that have another IOMMU than most, or none. */
#include "vfio/test-vfio.h"

#define MAP_RW (VIA_VFIO_DMA_MAP_FLAG_READ | VIA_VFIO_DMA_MAP_FLAG_WRITE)

static struct machine *machine_of(enum via_iommu_kind kind, enum via_profile profile)
{
	const struct via_vfio_config config = {.iommu_kind = kind, .profile = profile};

	return machine_new(&config);
}

static long extension(struct machine *m, int container, unsigned long which)
{
	return ioc(m, container, VIA_VFIO_CHECK_EXTENSION, (void *)which);
}

static long set_iommu(struct machine *m, int container, unsigned long type)
{
	return ioc(m, container, VIA_VFIO_SET_IOMMU, (void *)type);
}

static long map_len(struct machine *m, int container, uint64_t iova, uint64_t len)
{
	struct via_vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = MAP_RW,
		.vaddr = (uint64_t)(uintptr_t)m->memory,
		.iova = iova,
		.size = len,
	};

	return ioc(m, container, VIA_VFIO_IOMMU_MAP_DMA, &map);
}

/* What the first device reads at iova, or 0. */
static uint32_t device_reads(struct machine *m, int device, uint64_t iova)
{
	struct via_file *file = NULL;
	uint16_t command = 6;
	uint32_t value = 0;

	assert_int_equal(test_file_get(&m->tc.caller, device, &file), 0);
	assert_int_equal(via_file_pwrite(file, &m->tc.caller, (uintptr_t)&command, 2,
					 ((uint64_t)VIA_VFIO_PCI_CONFIG_REGION_INDEX << 40) + 4), 2);
	assert_int_equal(via_file_pwrite(file, &m->tc.caller, (uintptr_t)&iova, 8, 0), 8);
	assert_int_equal(via_file_pread(file, &m->tc.caller, (uintptr_t)&value, 4, 8), 4);
	via_file_put(file);
	return value;
}

static void test_spapr_container(void **state)
{
	struct machine *m = machine_of(VIA_IOMMU_SPAPR, VIA_PROFILE_FULL);
	struct via_vfio_iommu_spapr_tce_info info = {.argsz = sizeof(info)};
	int container = node(m, "vfio/vfio"), first = node(m, "vfio/1"), second = node(m, "vfio/2"), device;

	assert_int_equal(extension(m, container, VIA_VFIO_SPAPR_TCE_IOMMU), 1);
	assert_int_equal(extension(m, container, VIA_VFIO_TYPE1_IOMMU), 0);
	assert_int_equal(set_iommu(m, container, VIA_VFIO_SPAPR_TCE_IOMMU), -EINVAL);
	assert_int_equal(join(m, first, container), 0);
	assert_int_equal(set_iommu(m, container, VIA_VFIO_TYPE1_IOMMU), -ENODEV);
	assert_int_equal(set_iommu(m, container, VIA_VFIO_SPAPR_TCE_IOMMU), 0);
	/* Version 1 has room for one group. */
	assert_int_equal(join(m, second, container), -EBUSY);
	assert_int_equal(extension(m, container, VIA_VFIO_SPAPR_TCE_v2_IOMMU), 1);

	assert_int_equal(ioc(m, container, VIA_VFIO_IOMMU_SPAPR_TCE_GET_INFO, &info), 0);
	assert_int_equal(info.flags, 0);
	assert_int_equal(info.dma32_window_size, 0x80000000);
	info.argsz = 15;
	assert_int_equal(ioc(m, container, VIA_VFIO_IOMMU_SPAPR_TCE_GET_INFO, &info), -EINVAL);
	assert_int_equal(ioc(m, container, VIA_VFIO_IOMMU_SPAPR_TCE_GET_INFO, NULL), -EFAULT);

	/* Not enabled comes before a bad pointer. */
	assert_int_equal(ioc(m, container, VIA_VFIO_IOMMU_MAP_DMA, NULL), -EPERM);
	assert_int_equal(ioc(m, container, VIA_VFIO_IOMMU_ENABLE, NULL), 0);
	assert_int_equal(ioc(m, container, VIA_VFIO_IOMMU_MAP_DMA, NULL), -EFAULT);
	assert_int_equal(map_len(m, container, IOVA, PAGE), 0);
	device = (int)ioc(m, first, VIA_VFIO_GROUP_GET_DEVICE_FD, "0000:00:04.0");
	assert_true(device >= 0);
	assert_int_equal(device_reads(m, device, IOVA), SECRET);
	assert_int_equal(unmap_at(m, container, IOVA), 0);
	assert_int_equal(device_reads(m, device, IOVA), 0);
	assert_int_equal(ioc(m, container, VIA_VFIO_IOMMU_DISABLE, NULL), 0);
	assert_int_equal(ioc(m, container, VIA_VFIO_IOMMU_SPAPR_REGISTER_MEMORY, NULL), -ENOTTY);
	assert_int_equal(ioc(m, container, VIA_VFIO_IOMMU_SPAPR_TCE_CREATE, NULL), -ENOTTY);
	assert_int_equal(ioc(m, container, VIA_VFIO_IOMMU_SPAPR_TCE_REMOVE, NULL), -ENOTTY);
	assert_int_equal(ioc(m, container, VIA_VFIO_EEH_PE_OP, NULL), -ENODEV);
	assert_int_equal(ioc(m, container, 0x3bff, NULL), -ENOTTY);
	teardown((void **)&m);
}

static void test_spapr_v2_container(void **state)
{
	struct machine *m = machine_of(VIA_IOMMU_SPAPR, VIA_PROFILE_FULL);
	struct via_vfio_iommu_spapr_register_memory reg = {
		.argsz = sizeof(reg), .vaddr = (uint64_t)(uintptr_t)m->memory, .size = PAGE};
	struct via_vfio_iommu_spapr_tce_create create = {
		.argsz = sizeof(create), .page_shift = 12, .window_size = 1u << 20, .levels = 1};
	struct via_vfio_iommu_spapr_tce_remove remove = {.argsz = sizeof(remove)};
	struct via_vfio_iommu_spapr_tce_info info = {.argsz = sizeof(info)};
	int container = node(m, "vfio/vfio"), first = node(m, "vfio/1"), second = node(m, "vfio/2");

	assert_int_equal(join(m, first, container), 0);
	assert_int_equal(set_iommu(m, container, VIA_VFIO_SPAPR_TCE_v2_IOMMU), 0);
	assert_int_equal(join(m, second, container), 0);
	assert_int_equal(ioc(m, container, VIA_VFIO_IOMMU_SPAPR_TCE_GET_INFO, &info), 0);
	assert_int_equal(info.ddw.levels, 5);
	/* Where there is no room for it, it is not given. */
	memset(&info, 0x55, sizeof(info));
	info.argsz = sizeof(info) - 1;
	assert_int_equal(ioc(m, container, VIA_VFIO_IOMMU_SPAPR_TCE_GET_INFO, &info), 0);
	assert_int_equal(info.dma32_window_size, 0x80000000);
	assert_int_equal(info.ddw.levels, 0x55555555);
	assert_int_equal(ioc(m, container, VIA_VFIO_IOMMU_ENABLE, NULL), -ENOTTY);
	assert_int_equal(map_len(m, container, IOVA, PAGE), -EPERM);
	assert_int_equal(ioc(m, container, VIA_VFIO_IOMMU_SPAPR_REGISTER_MEMORY, &reg), 0);
	assert_int_equal(map_len(m, container, IOVA, PAGE), 0);
	assert_int_equal(ioc(m, container, VIA_VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY, &reg), -EBUSY);
	assert_int_equal(unmap_at(m, container, IOVA), 0);
	assert_int_equal(ioc(m, container, VIA_VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY, &reg), 0);
	assert_int_equal(ioc(m, container, VIA_VFIO_IOMMU_SPAPR_TCE_CREATE, &create), 0);
	assert_int_equal(create.start_addr, 1ull << 59);
	remove.start_addr = create.start_addr;
	assert_int_equal(ioc(m, container, VIA_VFIO_IOMMU_SPAPR_TCE_REMOVE, &remove), 0);
	create.argsz = 39;
	assert_int_equal(ioc(m, container, VIA_VFIO_IOMMU_SPAPR_TCE_CREATE, &create), -EINVAL);
	teardown((void **)&m);
}

/* spec iommu.md 12, quirk 1. */
static void test_spapr_range_outside(void **state)
{
	for (unsigned int i = 0; i < 2; i++) {
		struct machine *m = machine_of(VIA_IOMMU_SPAPR,
					       i ? VIA_PROFILE_LINUX : VIA_PROFILE_FULL);
		int container = node(m, "vfio/vfio"), first = node(m, "vfio/1");

		assert_int_equal(join(m, first, container), 0);
		assert_int_equal(set_iommu(m, container, VIA_VFIO_SPAPR_TCE_IOMMU), 0);
		assert_int_equal(ioc(m, container, VIA_VFIO_IOMMU_ENABLE, NULL), 0);
		assert_int_equal(map_len(m, container, IOVA + 8, PAGE), i ? 1 : -EINVAL);
		teardown((void **)&m);
	}
}

static void test_noiommu_container(void **state)
{
	struct machine *m = machine_of(VIA_IOMMU_NONE, VIA_PROFILE_FULL);
	int container = node(m, "vfio/vfio"), group, device;

	assert_int_equal(node(m, "vfio/1"), -ENOENT);
	assert_int_equal(node(m, "vfio/noiommu-9"), -ENOENT);
	assert_int_equal(node(m, "vfio/noiommu-01"), -ENOENT);
	assert_int_equal(node(m, "vfio/devices/vfio0"), -ENOENT);
	group = node(m, "vfio/noiommu-1");
	assert_true(group >= 0);
	/* Without a group all that is loaded is asked; with one what fits it. */
	assert_int_equal(extension(m, container, VIA_VFIO_TYPE1_IOMMU), 1);
	assert_int_equal(join(m, group, container), 0);
	assert_int_equal(extension(m, container, VIA_VFIO_TYPE1_IOMMU), 0);
	assert_int_equal(extension(m, container, VIA_VFIO_NOIOMMU_IOMMU), 1);
	assert_int_equal(set_iommu(m, container, VIA_VFIO_TYPE1_IOMMU), -ENODEV);
	assert_int_equal(set_iommu(m, container, VIA_VFIO_NOIOMMU_IOMMU), 0);
	assert_int_equal(map_len(m, container, IOVA, PAGE), -ENOTTY);
	device = (int)ioc(m, group, VIA_VFIO_GROUP_GET_DEVICE_FD, "0000:00:04.0");
	assert_true(device >= 0);
	/* An IOVA is an address of ours. */
	assert_int_equal(device_reads(m, device, (uintptr_t)m->memory), SECRET);
	assert_int_equal(m->probes[0]->error, 0);
	assert_int_equal(device_reads(m, device, 0x2000), 0);
	assert_int_equal(m->probes[0]->error, EFAULT);
	assert_int_equal(device_reads(m, device, 16), 0);
	assert_int_equal(m->probes[0]->error, EFAULT);
	teardown((void **)&m);
}

/* An iommufd has no program whose addresses the devices could use. */
static void test_noiommu_iommufd(void **state)
{
	struct machine *m = machine_of(VIA_IOMMU_NONE, VIA_PROFILE_LINUX);
	int iommufd, group;

	m->tc.caller.caps = VIA_CAP_SYS_RAWIO;
	iommufd = node(m, "iommu");
	group = node(m, "vfio/noiommu-1");
	assert_true(iommufd >= 0 && group >= 0);
	assert_int_equal(ioc(m, group, VIA_VFIO_GROUP_GET_DEVICE_FD, "0000:00:04.0"), -EINVAL);
	assert_int_equal(join(m, group, iommufd), 0);
	assert_int_equal(ioc(m, group, VIA_VFIO_GROUP_GET_DEVICE_FD, "0000:00:04.0"), -EPERM);
	teardown((void **)&m);
}

static void test_noiommu_capability(void **state)
{
	struct machine *m = machine_of(VIA_IOMMU_NONE, VIA_PROFILE_LINUX);

	m->tc.caller.caps = 0;
	assert_int_equal(node(m, "vfio/noiommu-1"), -EPERM);
	m->tc.caller.caps = VIA_CAP_SYS_RAWIO;
	assert_true(node(m, "vfio/noiommu-1") >= 0);
	teardown((void **)&m);
	m = machine_of(VIA_IOMMU_NONE, VIA_PROFILE_FULL);
	m->tc.caller.caps = 0;
	assert_true(node(m, "vfio/noiommu-1") >= 0);
	teardown((void **)&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_spapr_container),
		cmocka_unit_test(test_spapr_v2_container),
		cmocka_unit_test(test_spapr_range_outside),
		cmocka_unit_test(test_noiommu_container),
		cmocka_unit_test(test_noiommu_iommufd),
		cmocka_unit_test(test_noiommu_capability),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
