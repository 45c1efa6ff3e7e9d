/* SPDX-License-Identifier: MIT */
/* Calls of a device file: infos, resets, and what can be mapped. */
#include "vfio/test-vfio.h"

/* Resets ---------------------------------------------------------------------- */

static long hot_reset(struct machine *m, int fd, uint32_t count, int a, int b)
{
	struct {
		struct via_vfio_pci_hot_reset reset;
		int32_t fds[2];
	} arg = {{sizeof(arg), 0, count}, {a, b}};

	return ioc(m, fd, VIA_VFIO_DEVICE_PCI_HOT_RESET, &arg);
}

static void hot_reset_of_a_slot(void **state)
{
	struct {
		struct via_vfio_pci_hot_reset_info info;
		struct via_vfio_pci_dependent_device devices[4];
	} arg = {.info = {.argsz = sizeof(arg)}};
	struct machine *m = *state;
	int container = node(m, "vfio/vfio"), one, three, four, fd;
	struct probe *other = add(m, "0000:00:06.2", 4);
	unsigned int resets[3];

	one = node(m, "vfio/1");
	three = node(m, "vfio/3");
	four = node(m, "vfio/4");
	assert_int_equal(join(m, three, container), 0);
	assert_int_equal(join(m, four, container), 0);
	assert_int_equal(set_type(m, container), 0);
	fd = device(m, three, "0000:00:06.0");

	assert_int_equal(ioc(m, fd, VIA_VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, &arg), 0);
	assert_int_equal(arg.info.count, 3);
	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(arg.devices[i].group_id, i < 2 ? 3 : 4);
		assert_int_equal(arg.devices[i].devfn, 6 << 3 | i);
	}
	arg.info.argsz = sizeof(arg.info) + 2 * sizeof(arg.devices[0]);
	assert_int_equal(ioc(m, fd, VIA_VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, &arg), -ENOSPC);
	assert_int_equal(arg.info.count, 3);

	assert_int_equal(hot_reset(m, fd, 1, three, -1), -EINVAL);
	assert_int_equal(hot_reset(m, fd, 2, three, one), -EINVAL);
	assert_int_equal(hot_reset(m, fd, 2, three, -1), -EBADF);
	resets[0] = m->probes[2]->resets;
	resets[1] = m->probes[3]->resets;
	resets[2] = other->resets;
	assert_int_equal(hot_reset(m, fd, 2, four, three), 0);
	assert_int_equal(m->probes[2]->resets, resets[0] + 1);
	/* Not open: reset when it is opened. */
	assert_int_equal(m->probes[3]->resets, resets[1]);
	assert_int_equal(other->resets, resets[2]);
}

static void profile_decides_on_reset(void **state)
{
	struct via_vfio_config linux_profile = {.profile = VIA_PROFILE_LINUX};

	for (int i = 0; i < 2; i++) {
		struct machine *m = machine_new(i ? &linux_profile : NULL);
		int container = node(m, "vfio/vfio"), group = node(m, "vfio/1"), fd;
		struct via_vfio_device_info info = {.argsz = sizeof(info)};
		struct via_vfio_pci_hot_reset_info hot = {.argsz = sizeof(hot)};

		assert_int_equal(join(m, group, container), 0);
		assert_int_equal(set_type(m, container), 0);
		fd = device(m, group, "0000:00:04.0");
		assert_int_equal(ioc(m, fd, VIA_VFIO_DEVICE_GET_INFO, &info), 0);
		assert_int_equal(info.flags, i ? 2 : 3);
		assert_int_equal(ioc(m, fd, VIA_VFIO_DEVICE_RESET, NULL), i ? -EINVAL : 0);
		assert_int_equal(ioc(m, fd, VIA_VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, &hot),
				 i ? -ENODEV : -ENOSPC);
		teardown((void **)&m);
	}
}

/* What can be mapped ----------------------------------------------------------- */

struct region {
	struct via_vfio_region_info info;
	struct via_vfio_region_info_cap_sparse_mmap cap;
	struct via_vfio_region_sparse_mmap_area areas[4];
};

static void region(struct machine *m, int fd, uint32_t index, struct region *ret_region)
{
	memset(ret_region, 0, sizeof(*ret_region));
	ret_region->info.argsz = sizeof(*ret_region);
	ret_region->info.index = index;
	assert_int_equal(ioc(m, fd, VIA_VFIO_DEVICE_GET_REGION_INFO, ret_region), 0);
}

static int try_mmap(struct machine *m, int fd, uint64_t offset, uint64_t len)
{
	struct via_file *file = NULL;
	struct via_mmap map;
	int ret;

	assert_int_equal(test_file_get(&m->tc.caller, fd, &file), 0);
	ret = via_file_mmap(file, &m->tc.caller, offset, len, PROT_READ, MAP_SHARED, &map);
	if (!ret) {
		assert_int_equal(map.region, offset >> VIA_VFIO_PCI_OFFSET_SHIFT);
		assert_int_equal(map.offset, offset & ((1ull << VIA_VFIO_PCI_OFFSET_SHIFT) - 1));
		assert_int_equal(map.len, len);
	}
	via_file_put(file);
	return ret;
}

/* first: where the one mappable part of BAR 0 starts; it ends at 0x4000. */
static void check_sparse(struct machine *m, uint64_t first)
{
	int container = node(m, "vfio/vfio"), group = node(m, "vfio/1"), fd;
	struct region r;

	assert_int_equal(join(m, group, container), 0);
	assert_int_equal(set_type(m, container), 0);
	fd = device(m, group, "0000:00:04.0");
	region(m, fd, 0, &r);
	assert_int_equal(r.info.flags, first ? 0xf : 7);
	if (first) {
		assert_int_equal(r.info.argsz, sizeof(r));
		assert_int_equal(r.info.cap_offset, sizeof(r.info));
		assert_int_equal(r.cap.header.id, VIA_VFIO_REGION_INFO_CAP_SPARSE_MMAP);
		assert_int_equal(r.cap.header.version, 1);
		assert_int_equal(r.cap.header.next, 0);
		assert_int_equal(r.cap.nr_areas, 1);
		assert_int_equal(r.areas[0].offset, first);
		assert_int_equal(r.areas[0].size, 0x4000 - first);
		/* One byte too few for the chain. */
		r.info.argsz = sizeof(r.info) + sizeof(r.cap) + sizeof(r.areas[0]) - 1;
		assert_int_equal(ioc(m, fd, VIA_VFIO_DEVICE_GET_REGION_INFO, &r), 0);
		assert_int_equal(r.info.argsz, sizeof(r.info) + sizeof(r.cap) + sizeof(r.areas[0]));
		assert_int_equal(r.info.cap_offset, 0);
		assert_int_equal(r.info.flags, 0xf);
	}
	assert_int_equal(try_mmap(m, fd, 0, 0x4000), first ? -EINVAL : 0);
	assert_int_equal(try_mmap(m, fd, 0, PAGE), first ? -EINVAL : 0);
	assert_int_equal(try_mmap(m, fd, 0x1000, PAGE), first > 0x1000 ? -EINVAL : 0);
	assert_int_equal(try_mmap(m, fd, 0x1000, 2 * PAGE), first > 0x1000 ? -EINVAL : 0);
	assert_int_equal(try_mmap(m, fd, 0x2000, 2 * PAGE), 0);
	assert_int_equal(try_mmap(m, fd, 0x2000, 3 * PAGE), -EINVAL);

	/* BAR 2 is registers and the MSI-X table: all of it or nothing. */
	region(m, fd, 2, &r);
	assert_int_equal(r.info.flags, first ? 3 : 0xf);
	if (!first)
		assert_int_equal(r.cap.header.id, VIA_VFIO_REGION_INFO_CAP_MSIX_MAPPABLE);
	assert_int_equal(try_mmap(m, fd, 2ull << 40, PAGE), first ? -EINVAL : 0);
	region(m, fd, 4, &r);
	assert_int_equal(r.info.flags, 3);
	teardown((void **)&m);
}

static void areas_that_are_offered(void **state)
{
	static const struct {
		struct via_vfio_config config;
		bool is_vmm, has_kvm;
		uint64_t first;
	} cases[] = {
		{{VIA_PROFILE_FULL, VIA_BARS_AUTO}, false, false, 0},
		{{VIA_PROFILE_FULL, VIA_BARS_AUTO}, true, false, 0x1000},
		{{VIA_PROFILE_FULL, VIA_BARS_AUTO}, true, true, 0x2000},
		{{VIA_PROFILE_FULL, VIA_BARS_TRAP}, true, true, 0},
		{{VIA_PROFILE_FULL, VIA_BARS_IO}, false, false, 0x1000},
		{{VIA_PROFILE_FULL, VIA_BARS_IO}, true, true, 0x2000},
		{{VIA_PROFILE_LINUX, VIA_BARS_AUTO}, true, true, 0},
		{{VIA_PROFILE_LINUX, VIA_BARS_IO}, false, false, 0x1000},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct machine *m = machine_new(&cases[i].config);

		m->tc.caller.is_vmm = cases[i].is_vmm;
		m->tc.caller.has_kvm = cases[i].has_kvm;
		check_sparse(m, cases[i].first);
	}
}

/* The cases of pci-config.md 9.2 that are about the calls of a device file ------- */

/* 00:04.0, whose BAR 2 has the MSI-X table. */
static int open_device(struct machine *m)
{
	int container = node(m, "vfio/vfio"), group = node(m, "vfio/1");

	assert_int_equal(join(m, group, container), 0);
	assert_int_equal(set_type(m, container), 0);
	return device(m, group, "0000:00:04.0");
}

static void test_t69_table_bar_info(void **state)
{
	struct machine *m = *state;
	int fd = open_device(m);
	struct region r;

	memset(&r, 0x5a, sizeof(r));
	r.info.argsz = 32;
	r.info.index = 2;
	assert_int_equal(ioc(m, fd, VIA_VFIO_DEVICE_GET_REGION_INFO, &r), 0);
	assert_int_equal(r.info.flags, 0xf);
	assert_int_equal(r.info.argsz, 40);
	assert_int_equal(r.info.cap_offset, 0);
	assert_int_equal(r.cap.header.id, 0x5a5a);
	assert_int_equal(ioc(m, fd, VIA_VFIO_DEVICE_GET_REGION_INFO, &r), 0);
	assert_int_equal(r.info.argsz, 40);
	assert_int_equal(r.info.cap_offset, 32);
	assert_int_equal(r.cap.header.id, 3);
	assert_int_equal(r.cap.header.version, 1);
	assert_int_equal(r.cap.header.next, 0);
	r.info.argsz = 31;
	assert_int_equal(ioc(m, fd, VIA_VFIO_DEVICE_GET_REGION_INFO, &r), -EINVAL);
}

static void test_t70_info(void **state)
{
	struct machine *m = *state;
	int fd = open_device(m);
	struct via_vfio_device_info info = {.argsz = 15, .flags = 99};

	assert_int_equal(ioc(m, fd, VIA_VFIO_DEVICE_GET_INFO, &info), -EINVAL);
	assert_int_equal(info.flags, 99);
	info.argsz = 16;
	info.cap_offset = 77;
	assert_int_equal(ioc(m, fd, VIA_VFIO_DEVICE_GET_INFO, &info), 0);
	assert_int_equal(info.flags & 2, 2);
	assert_int_equal(info.num_regions, 9);
	assert_int_equal(info.num_irqs, 5);
	assert_int_equal(info.cap_offset, 77);
	info.argsz = sizeof(info);
	assert_int_equal(ioc(m, fd, VIA_VFIO_DEVICE_GET_INFO, &info), 0);
	assert_int_equal(info.cap_offset, 0);
}

static void test_t71_irq_info(void **state)
{
	/* Not PCI Express: no ERR. */
	static const struct {
		long ret;
		uint32_t count, flags;
	} rows[] = {{0, 1, 7}, {0, 0, 9}, {0, 4, 1}, {-EINVAL, 0, 0}, {0, 1, 9}, {-EINVAL, 0, 0}};
	struct machine *m = *state;
	int fd = open_device(m);

	for (uint32_t i = 0; i < 6; i++) {
		struct via_vfio_irq_info info = {.argsz = sizeof(info), .index = i};

		assert_int_equal(ioc(m, fd, VIA_VFIO_DEVICE_GET_IRQ_INFO, &info), rows[i].ret);
		assert_int_equal(info.count, rows[i].count);
		assert_int_equal(info.flags, rows[i].flags);
		info.argsz = 15;
		assert_int_equal(ioc(m, fd, VIA_VFIO_DEVICE_GET_IRQ_INFO, &info), -EINVAL);
	}
}

static void test_t61_t66_offsets(void **state)
{
	struct machine *m = *state;
	int fd = open_device(m);

	for (unsigned int region = 0; region < 12; region++) {
		bool there = region == 0 || region == 2 || region == 4 || region == 7;

		assert_int_equal(region_write(m, fd, region, 0, 0, 4), there ? 4 : -EINVAL);
	}
	assert_int_equal(region_write(m, fd, 7, 256, 0, 1), -EFAULT);
	assert_int_equal(region_write(m, fd, (1u << 23) - 1, 0, 0, 1), -EINVAL);
}

static void test_t90_hot_reset_info(void **state)
{
	struct {
		struct via_vfio_pci_hot_reset_info info;
		struct via_vfio_pci_dependent_device devices[1];
	} arg = {.info = {.argsz = 12, .flags = 99}};
	struct machine *m = *state;
	int fd = open_device(m);
	struct via_vfio_pci_hot_reset reset = {.argsz = sizeof(reset)};

	assert_int_equal(ioc(m, fd, VIA_VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, &arg), -ENOSPC);
	assert_int_equal(arg.info.count, 1);
	assert_int_equal(arg.info.flags, 0);
	arg.info.argsz = 11;
	assert_int_equal(ioc(m, fd, VIA_VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, &arg), -EINVAL);
	arg.info.argsz = sizeof(arg);
	assert_int_equal(ioc(m, fd, VIA_VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, &arg), 0);
	assert_int_equal(arg.info.count, 1);
	assert_int_equal(arg.devices[0].group_id, 1);
	assert_int_equal(arg.devices[0].devfn, 4 << 3);
	/* The reset itself: no flag, one descriptor at least, no more than there are functions. */
	assert_int_equal(ioc(m, fd, VIA_VFIO_DEVICE_PCI_HOT_RESET, &reset), -EINVAL);
	reset.argsz = 11;
	assert_int_equal(ioc(m, fd, VIA_VFIO_DEVICE_PCI_HOT_RESET, &reset), -EINVAL);
	assert_int_equal(hot_reset(m, fd, 2, 0, 0), -EINVAL);
	assert_int_equal(hot_reset(m, fd, 1, fd, -1), -EINVAL);
	assert_int_equal(hot_reset(m, fd, 1, 999, -1), -EBADF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(hot_reset_of_a_slot),
		cmocka_unit_test(profile_decides_on_reset),
		cmocka_unit_test(areas_that_are_offered),
		TEST(test_t61_t66_offsets),
		TEST(test_t69_table_bar_info),
		TEST(test_t70_info),
		TEST(test_t71_irq_info),
		TEST(test_t90_hot_reset_info),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
