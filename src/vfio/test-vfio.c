/* SPDX-License-Identifier: MIT */
/*
 * Groups, containers and devices together: who reaches what memory when, in
 * any order of opening and closing. Single answers are compared with a
 * kernel's in tests/conformance; here is what a recording cannot show.
 */
#include "device/device.h"
#include "vfio/test-caller.h"
#include "vfio/vfio.h"

#include <viaduct/abi/vfio.h>

#include <stdlib.h>
#include <sys/mman.h>

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define PAGE 4096u
#define IOVA 0x100000u
#define SECRET 0x5ec2e7u

/* A function whose register 0 reads 4 bytes of memory by DMA. */
struct probe {
	uint32_t value; /* register 8 */
	uint32_t error; /* register 12 */
	unsigned int resets;
};

static uint64_t probe_read(struct via_device *dev, void *model, unsigned int bar, uint64_t offset,
			   unsigned int size)
{
	struct probe *probe = model;

	return offset == 8 ? probe->value : offset == 12 ? probe->error : 0;
}

static void probe_write(struct via_device *dev, void *model, unsigned int bar, uint64_t offset,
			unsigned int size, uint64_t value)
{
	struct probe *probe = model;

	if (offset == 0)
		probe->error =
			(uint32_t)-via_dma_read(via_device_dma(dev), value, &probe->value, 4);
}

static bool probe_doorbell(struct via_device *dev, void *model, unsigned int bar)
{
	return false;
}

static void probe_reset(struct via_device *dev, void *model, enum via_reset kind)
{
	struct probe *probe = model;

	probe->resets++;
	probe->value = 0;
}

static const struct via_area probe_areas[] = {
	{0x0000, 0x1000, VIA_AREA_REGISTER},
	{0x1000, 0x1000, VIA_AREA_DOORBELL},
	{0x2000, 0x2000, VIA_AREA_MEMORY},
};

static const struct via_device_desc probe_desc = {
	.name = "probe",
	.ident = {.vendor = 0x1af4, .device = 0x10f0, .class_code = 0x00ff00, .interrupt_pin = 1},
	.bars =
		{
			[0] = {.size = 0x4000, .areas = probe_areas, .n_areas = 3},
			[2] = {.size = 0x2000},
			[4] = {.size = 0x40, .flags = VIA_BAR_IO},
		},
	.msix = {.vectors = 4, .table_bar = 2, .pba_bar = 2, .pba_offset = 0x1000},
};

static const struct via_device_ops probe_ops = {
	.read = probe_read,
	.write = probe_write,
	.doorbell = probe_doorbell,
	.reset = probe_reset,
	.free = free,
};

/* A machine for each test. */
struct machine {
	struct test_caller tc;
	struct via_vfio *vfio;
	struct probe *probes[4];
	uint32_t *memory; /* one page, SECRET in it */
};

static struct probe *add(struct machine *m, const char *addr_text, int group)
{
	struct probe *probe = calloc(1, sizeof(*probe));
	struct via_error err = {0};
	struct via_pci_addr addr;
	struct via_device *dev;

	assert_non_null(probe);
	assert_int_equal(via_pci_addr_parse(addr_text, &addr), 0);
	if (via_device_new(&probe_desc, &probe_ops, probe, &err, &dev) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(via_vfio_add(m->vfio, dev, &addr, group, NULL), 0);
	return probe;
}

/* 00:04.0 in group 1, 00:05.0 in group 2, 00:06.0 and 00:06.1 in group 3. */
static struct machine *machine_new(const struct via_vfio_config *config)
{
	struct machine *m = calloc(1, sizeof(*m));

	assert_non_null(m);
	test_caller_init(&m->tc);
	assert_int_equal(via_vfio_new(config, &m->vfio), 0);
	m->probes[1] = add(m, "0000:00:05.0", 2);
	m->probes[0] = add(m, "0000:00:04.0", 1);
	m->probes[2] = add(m, "0000:00:06.0", 3);
	m->probes[3] = add(m, "0000:00:06.1", 3);
	m->memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(m->memory, MAP_FAILED);
	m->memory[0] = SECRET;
	return m;
}

static int setup(void **state)
{
	*state = machine_new(NULL);
	return 0;
}

static int teardown(void **state)
{
	struct machine *m = *state;

	test_caller_deinit(&m->tc);
	via_vfio_free(m->vfio);
	munmap(m->memory, PAGE);
	free(m);
	return 0;
}

static int node(struct machine *m, const char *name)
{
	struct via_file *file = NULL;
	int ret = via_vfio_open(m->vfio, &m->tc.caller, name, O_RDWR, &file);

	return ret < 0 ? ret : test_file_put(&m->tc.caller, file, true);
}

static long ioc(struct machine *m, int fd, unsigned long cmd, const void *arg)
{
	struct via_file *file = NULL;
	long ret;

	assert_int_equal(test_file_get(&m->tc.caller, fd, &file), 0);
	ret = via_file_ioctl(file, &m->tc.caller, cmd, (uint64_t)(uintptr_t)arg);
	via_file_put(file);
	return ret;
}

static long join(struct machine *m, int group, int container)
{
	return ioc(m, group, VIA_VFIO_GROUP_SET_CONTAINER, &container);
}

static long leave(struct machine *m, int group)
{
	return ioc(m, group, VIA_VFIO_GROUP_UNSET_CONTAINER, NULL);
}

static long set_type(struct machine *m, int container)
{
	return ioc(m, container, VIA_VFIO_SET_IOMMU, (void *)VIA_VFIO_TYPE1v2_IOMMU);
}

static long map_at(struct machine *m, int container, uint64_t iova)
{
	struct via_vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = VIA_VFIO_DMA_MAP_FLAG_READ | VIA_VFIO_DMA_MAP_FLAG_WRITE,
		.vaddr = (uint64_t)(uintptr_t)m->memory,
		.iova = iova,
		.size = PAGE,
	};

	return ioc(m, container, VIA_VFIO_IOMMU_MAP_DMA, &map);
}

static long unmap_at(struct machine *m, int container, uint64_t iova)
{
	struct via_vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap),
		.iova = iova,
		.size = PAGE,
	};

	return ioc(m, container, VIA_VFIO_IOMMU_UNMAP_DMA, &unmap);
}

static ssize_t region_write(struct machine *m, int fd, unsigned int region, uint64_t offset,
			    uint32_t value, size_t len)
{
	struct via_file *file = NULL;
	ssize_t ret;

	assert_int_equal(test_file_get(&m->tc.caller, fd, &file), 0);
	ret = via_file_pwrite(file, &m->tc.caller, (uint64_t)(uintptr_t)&value, len,
			      ((uint64_t)region << VIA_VFIO_PCI_OFFSET_SHIFT) + offset);
	via_file_put(file);
	return ret;
}

static uint32_t reg(struct machine *m, int fd, uint64_t offset)
{
	struct via_file *file = NULL;
	uint32_t value = 0;

	assert_int_equal(test_file_get(&m->tc.caller, fd, &file), 0);
	assert_int_equal(
		via_file_pread(file, &m->tc.caller, (uint64_t)(uintptr_t)&value, 4, offset), 4);
	via_file_put(file);
	return value;
}

static int device(struct machine *m, int group, const char *name)
{
	int fd = (int)ioc(m, group, VIA_VFIO_GROUP_GET_DEVICE_FD, name);

	/* Memory and bus master. */
	if (fd >= 0)
		assert_int_equal(region_write(m, fd, VIA_VFIO_PCI_CONFIG_REGION_INDEX, 4, 6, 2), 2);
	return fd;
}

/* Does the function behind fd reach the page at iova? */
static bool reaches(struct machine *m, int fd, uint32_t iova)
{
	assert_int_equal(region_write(m, fd, 0, 0, iova, 4), 4);
	if (reg(m, fd, 12)) {
		assert_int_equal(reg(m, fd, 8), 0);
		return false;
	}
	assert_int_equal(reg(m, fd, 8), SECRET);
	return true;
}

static void shut(struct machine *m, int fd)
{
	assert_int_equal(test_close(&m->tc, fd), 0);
}

/* Life ---------------------------------------------------------------------- */

/* Closes the three files of an open device in the order that digits name. */
static void close_in_order(struct machine *m, const char *order)
{
	int fds[3], closed = 0;

	fds[0] = node(m, "vfio/vfio");
	fds[1] = node(m, "vfio/1");
	assert_int_equal(join(m, fds[1], fds[0]), 0);
	assert_int_equal(set_type(m, fds[0]), 0);
	fds[2] = device(m, fds[1], "0000:00:04.0");
	assert_true(fds[2] >= 0);
	assert_int_equal(map_at(m, fds[0], IOVA), 0);
	for (; *order; order++) {
		int which = *order - '0';

		if (!(closed & 4))
			assert_true(reaches(m, fds[2], IOVA));
		if ((closed & 6) != 6)
			assert_int_equal(node(m, "vfio/1"), -EBUSY);
		shut(m, fds[which]);
		closed |= 1 << which;
	}

	/* All is gone: the same again finds nothing of before. */
	fds[0] = node(m, "vfio/vfio");
	fds[1] = node(m, "vfio/1");
	assert_true(fds[1] >= 0);
	assert_int_equal(join(m, fds[1], fds[0]), 0);
	assert_int_equal(set_type(m, fds[0]), 0);
	fds[2] = device(m, fds[1], "0000:00:04.0");
	assert_false(reaches(m, fds[2], IOVA));
	assert_int_equal(unmap_at(m, fds[0], IOVA), 0);
	for (int i = 0; i < 3; i++)
		shut(m, fds[i]);
}

static void files_close_in_any_order(void **state)
{
	static const char *const orders[] = {"012", "021", "102", "120", "201", "210"};

	for (size_t i = 0; i < 6; i++)
		close_in_order(*state, orders[i]);
}

static void two_groups_share_a_container(void **state)
{
	struct machine *m = *state;
	int container = node(m, "vfio/vfio"), one = node(m, "vfio/1"), two = node(m, "vfio/2");
	int a, b;

	assert_int_equal(join(m, one, container), 0);
	assert_int_equal(set_type(m, container), 0);
	assert_int_equal(map_at(m, container, IOVA), 0);
	assert_int_equal(join(m, two, container), 0);
	a = device(m, one, "0000:00:04.0");
	b = device(m, two, "0000:00:05.0");
	assert_true(reaches(m, a, IOVA) && reaches(m, b, IOVA));
	/* A device is found in its own group only. */
	assert_int_equal(device(m, one, "0000:00:05.0"), -ENODEV);

	shut(m, a);
	assert_int_equal(leave(m, one), 0);
	assert_true(reaches(m, b, IOVA));
	assert_int_equal(leave(m, two), -EBUSY);
	shut(m, b);
	/* The last group takes the mappings with it, and the type. */
	assert_int_equal(leave(m, two), 0);
	assert_int_equal(map_at(m, container, IOVA), -EINVAL);
	assert_int_equal(join(m, two, container), 0);
	assert_int_equal(set_type(m, container), 0);
	assert_int_equal(map_at(m, container, IOVA), 0);
	shut(m, one);
	shut(m, two);
	shut(m, container);
}

static void containers_are_apart(void **state)
{
	struct machine *m = *state;
	int c1 = node(m, "vfio/vfio"), c2 = node(m, "vfio/vfio");
	int one = node(m, "vfio/1"), two = node(m, "vfio/2"), a, b;

	assert_int_equal(join(m, one, c1), 0);
	assert_int_equal(join(m, two, c2), 0);
	assert_int_equal(set_type(m, c1), 0);
	assert_int_equal(map_at(m, c1, IOVA), 0);
	assert_int_equal(set_type(m, c2), 0);
	a = device(m, one, "0000:00:04.0");
	b = device(m, two, "0000:00:05.0");
	assert_true(reaches(m, a, IOVA));
	assert_false(reaches(m, b, IOVA));
	assert_int_equal(unmap_at(m, c1, IOVA), 0);
	assert_false(reaches(m, a, IOVA));
}

static void a_group_of_two(void **state)
{
	struct machine *m = *state;
	int container = node(m, "vfio/vfio"), group = node(m, "vfio/3"), a, b;

	assert_int_equal(join(m, group, container), 0);
	assert_int_equal(set_type(m, container), 0);
	assert_int_equal(map_at(m, container, IOVA), 0);
	a = device(m, group, "0000:00:06.0");
	b = device(m, group, "0000:00:06.1");
	assert_true(reaches(m, a, IOVA) && reaches(m, b, IOVA));
	shut(m, a);
	assert_int_equal(leave(m, group), -EBUSY);
	shut(m, group);
	assert_int_equal(node(m, "vfio/3"), -EBUSY);
	assert_true(reaches(m, b, IOVA));
	shut(m, b);
	group = node(m, "vfio/3");
	assert_true(group >= 0);
	assert_int_equal(map_at(m, container, IOVA), -EINVAL);
}

/* What has left a container reaches nothing, though others still use it. */
static void a_group_that_left(void **state)
{
	struct machine *m = *state;
	int container = node(m, "vfio/vfio"), one = node(m, "vfio/1"), two = node(m, "vfio/2");
	struct via_dma *dma = via_device_dma(via_vfio_device(m->vfio, 0));
	uint32_t value;

	assert_int_equal(join(m, one, container), 0);
	assert_int_equal(join(m, two, container), 0);
	assert_int_equal(set_type(m, container), 0);
	assert_int_equal(map_at(m, container, IOVA), 0);
	via_dma_enable(dma, true);
	assert_int_equal(via_dma_read(dma, IOVA, &value, 4), 0);
	assert_int_equal(value, SECRET);
	assert_int_equal(leave(m, one), 0);
	assert_int_equal(via_dma_read(dma, IOVA, &value, 4), -EFAULT);
	assert_int_equal(join(m, one, container), 0);
	assert_int_equal(via_dma_read(dma, IOVA, &value, 4), 0);
}

static void no_join_while_suspended(void **state)
{
	struct machine *m = *state;
	int container = node(m, "vfio/vfio"), one = node(m, "vfio/1"), two = node(m, "vfio/2");
	struct via_vfio_iommu_type1_dma_unmap suspend = {
		.argsz = sizeof(suspend),
		.flags = VIA_VFIO_DMA_UNMAP_FLAG_VADDR,
		.iova = IOVA,
		.size = PAGE,
	};

	assert_int_equal(join(m, one, container), 0);
	assert_int_equal(set_type(m, container), 0);
	assert_int_equal(map_at(m, container, IOVA), 0);
	assert_int_equal(ioc(m, container, VIA_VFIO_IOMMU_UNMAP_DMA, &suspend), 0);
	assert_int_equal(join(m, two, container), -EBUSY);
	assert_int_equal(leave(m, two), -EINVAL);
	assert_int_equal(unmap_at(m, container, IOVA), 0);
	assert_int_equal(join(m, two, container), 0);
}

static int refuse_file(struct via_caller *caller, struct via_file *file, bool cloexec)
{
	return -EMFILE;
}

static void no_descriptor_left(void **state)
{
	struct machine *m = *state;
	int container = node(m, "vfio/vfio"), group = node(m, "vfio/1");
	const struct via_caller_ops *ops = m->tc.caller.ops;
	struct via_caller_ops refusing = *ops;

	assert_int_equal(join(m, group, container), 0);
	assert_int_equal(set_type(m, container), 0);
	refusing.file_put = refuse_file;
	m->tc.caller.ops = &refusing;
	assert_int_equal(ioc(m, group, VIA_VFIO_GROUP_GET_DEVICE_FD, "0000:00:04.0"), -EMFILE);
	m->tc.caller.ops = ops;
	/* The device was closed again. */
	assert_int_equal(leave(m, group), 0);
}

static void several_files_of_a_device(void **state)
{
	struct machine *m = *state;
	int container = node(m, "vfio/vfio"), group = node(m, "vfio/1"), a, b;
	unsigned int resets;

	assert_int_equal(join(m, group, container), 0);
	assert_int_equal(set_type(m, container), 0);
	assert_int_equal(map_at(m, container, IOVA), 0);
	a = device(m, group, "0000:00:04.0");
	resets = m->probes[0]->resets;
	b = device(m, group, "0000:00:04.0");
	assert_true(reaches(m, a, IOVA));
	assert_int_equal(reg(m, b, 8), SECRET);
	shut(m, a);
	/* Only the first open and the last close reset it. */
	assert_int_equal(m->probes[0]->resets, resets);
	assert_int_equal(reg(m, b, 8), SECRET);
	shut(m, b);
	assert_true(m->probes[0]->resets > resets);
}

/* Placement ------------------------------------------------------------------ */

static void placing_devices(void **state)
{
	struct machine *m = *state;
	static const char *const order[] = {"0000:00:04.0", "0000:00:05.0", "0000:00:06.0",
					    "0000:00:06.1", "0000:01:00.0", "0001:00:00.0"};
	struct via_pci_addr addr;
	struct via_device *dev;
	struct via_error err = {0};
	char text[VIA_PCI_ADDR_LEN];

	add(m, "0001:00:00.0", -1);
	add(m, "0000:01:00.0", -1);
	for (size_t i = 0; i < 6; i++) {
		dev = via_vfio_device(m->vfio, i);
		via_pci_addr_format(via_device_addr(dev), text);
		assert_string_equal(text, order[i]);
	}
	assert_null(via_vfio_device(m->vfio, 6));
	assert_int_equal(via_vfio_device_group(m->vfio, 0), 1);
	assert_int_equal(via_vfio_device_group(m->vfio, 3), 3);
	assert_int_equal(via_vfio_device_group(m->vfio, 5), 0);
	assert_int_equal(via_vfio_device_group(m->vfio, 4), 4);
	assert_int_equal(via_vfio_device_group(m->vfio, 6), -1);

	assert_int_equal(via_pci_addr_parse("0000:00:05.0", &addr), 0);
	assert_int_equal(via_device_new(&probe_desc, &probe_ops, calloc(1, sizeof(struct probe)),
					NULL, &dev),
			 0);
	assert_int_equal(via_vfio_add(m->vfio, dev, &addr, -1, &err), -EEXIST);
	assert_non_null(strstr(err.text, "0000:00:05.0"));

	/* A group that somebody works with is not changed. */
	assert_true(node(m, "vfio/1") >= 0);
	assert_int_equal(via_pci_addr_parse("0000:00:07.0", &addr), 0);
	assert_int_equal(via_device_new(&probe_desc, &probe_ops, calloc(1, sizeof(struct probe)),
					NULL, &dev),
			 0);
	assert_int_equal(via_vfio_add(m->vfio, dev, &addr, 1, NULL), -EBUSY);
}

static void nodes(void **state)
{
	static const char *const absent[] = {
		"",	   "vfio",    "vfio/", "vfio/vfio2",	  "vfio/9",  "vfio/01", "vfio/+1",
		"vfio/1 ", "vfio/-1", "iommu", "vfio/4294967297", "vfio/ 1", "vfio/1x"};
	struct machine *m = *state;

	for (size_t i = 0; i < sizeof(absent) / sizeof(absent[0]); i++)
		assert_int_equal(node(m, absent[i]), -ENOENT);
	assert_true(node(m, "vfio/vfio") >= 0);
	assert_true(node(m, "vfio/3") >= 0);
}

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

/* Threads ----------------------------------------------------------------------- */

struct worker {
	struct machine *m;
	int container, group;
	unsigned int number;
};

static void *mapper(void *arg)
{
	struct worker *w = arg;

	for (int i = 0; i < 200; i++) {
		/* Afresh: the answer's argsz is what it would take, capabilities included. */
		struct via_vfio_iommu_type1_info info = {.argsz = sizeof(info)};
		long ret = map_at(w->m, w->container, (uint64_t)(w->number + 1) << 30);

		assert_true(ret == 0 || ret == -EINVAL || ret == -EEXIST);
		ioc(w->m, w->container, VIA_VFIO_IOMMU_GET_INFO, &info);
		unmap_at(w->m, w->container, (uint64_t)(w->number + 1) << 30);
		ioc(w->m, w->container, VIA_VFIO_CHECK_EXTENSION, (void *)10);
	}
	return NULL;
}

static void *mover(void *arg)
{
	struct worker *w = arg;

	for (int i = 0; i < 50; i++) {
		int fd;

		if (join(w->m, w->group, w->container))
			continue;
		set_type(w->m, w->container);
		fd = device(w->m, w->group, w->number ? "0000:00:05.0" : "0000:00:04.0");
		if (fd >= 0) {
			reaches(w->m, fd, 1u << 30);
			shut(w->m, fd);
		}
		assert_int_equal(leave(w->m, w->group), 0);
	}
	return NULL;
}

/* Mappings come and go while groups join and leave. */
static void threads(void **state)
{
	struct machine *m = *state;
	int container = node(m, "vfio/vfio");
	struct worker workers[4];
	pthread_t ids[4];

	for (unsigned int i = 0; i < 4; i++) {
		workers[i] = (struct worker){m, container, -1, i % 2};
		if (i < 2)
			workers[i].group = node(m, i ? "vfio/2" : "vfio/1");
	}
	for (unsigned int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&ids[i], NULL, i < 2 ? mover : mapper, &workers[i]),
				 0);
	for (unsigned int i = 0; i < 4; i++)
		pthread_join(ids[i], NULL);
	/* Whatever the order was, nothing is left. */
	assert_int_equal(map_at(m, container, IOVA), -EINVAL);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(files_close_in_any_order),
		TEST(two_groups_share_a_container),
		TEST(containers_are_apart),
		TEST(a_group_of_two),
		TEST(a_group_that_left),
		TEST(no_join_while_suspended),
		TEST(no_descriptor_left),
		TEST(several_files_of_a_device),
		TEST(placing_devices),
		TEST(nodes),
		TEST(hot_reset_of_a_slot),
		cmocka_unit_test(profile_decides_on_reset),
		cmocka_unit_test(areas_that_are_offered),
		TEST(threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
