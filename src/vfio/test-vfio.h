/* SPDX-License-Identifier: MIT */
/*
 * What the tests of file objects share: a machine with four functions, which
 * can read memory by DMA, in three groups.
 */
#ifndef VIA_VFIO_TEST_VFIO_H
#define VIA_VFIO_TEST_VFIO_H

#include "device/device.h"
#include "vfio/test-caller.h"
#include "vfio/vfio.h"

#include <viaduct/abi/vfio.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <cmocka.h>

#define PAGE 4096u
#define IOVA 0x100000u
#define SECRET 0x5ec2e7u

/* A function whose register 0 reads 4 bytes of memory by DMA, and whose register 4 writes them. */
struct probe {
	uint32_t value; /* register 8 */
	uint32_t error; /* register 12 */
	uint32_t word;	/* register 16: what is written */
	unsigned int resets;
};

static uint64_t probe_read(struct via_device *dev, void *model, unsigned int bar, uint64_t offset,
			   unsigned int size)
{
	struct probe *probe = model;

	return offset == 8    ? probe->value
	       : offset == 12 ? probe->error
	       : offset == 16 ? probe->word
			      : 0;
}

static inline void probe_write(struct via_device *dev, void *model, unsigned int bar, uint64_t offset,
			unsigned int size, uint64_t value)
{
	struct probe *probe = model;

	if (offset == 0)
		probe->error =
			(uint32_t)-via_dma_read(via_device_dma(dev), value, &probe->value, 4);
	if (offset == 4)
		probe->error =
			(uint32_t)-via_dma_write(via_device_dma(dev), value, &probe->word, 4);
	if (offset == 16)
		probe->word = (uint32_t)value;
}

static inline bool probe_doorbell(struct via_device *dev, void *model, unsigned int bar)
{
	return false;
}

static inline void probe_reset(struct via_device *dev, void *model, enum via_reset kind)
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

static inline struct probe *add(struct machine *m, const char *addr_text, int group)
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
static inline struct machine *machine_new(const struct via_vfio_config *config)
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

static inline int setup(void **state)
{
	*state = machine_new(NULL);
	return 0;
}

static inline int teardown(void **state)
{
	struct machine *m = *state;

	test_caller_deinit(&m->tc);
	via_vfio_free(m->vfio);
	munmap(m->memory, PAGE);
	free(m);
	return 0;
}

static inline int node(struct machine *m, const char *name)
{
	struct via_file *file = NULL;
	int ret = via_vfio_open(m->vfio, &m->tc.caller, name, O_RDWR, &file);

	return ret < 0 ? ret : test_file_put(&m->tc.caller, file, true);
}

static inline long ioc(struct machine *m, int fd, unsigned long cmd, const void *arg)
{
	struct via_file *file = NULL;
	long ret;

	assert_int_equal(test_file_get(&m->tc.caller, fd, &file), 0);
	ret = via_file_ioctl(file, &m->tc.caller, cmd, (uint64_t)(uintptr_t)arg);
	via_file_put(file);
	return ret;
}

static inline long join(struct machine *m, int group, int container)
{
	return ioc(m, group, VIA_VFIO_GROUP_SET_CONTAINER, &container);
}

static inline long leave(struct machine *m, int group)
{
	return ioc(m, group, VIA_VFIO_GROUP_UNSET_CONTAINER, NULL);
}

static inline long set_type(struct machine *m, int container)
{
	return ioc(m, container, VIA_VFIO_SET_IOMMU, (void *)VIA_VFIO_TYPE1v2_IOMMU);
}

static inline long map_at(struct machine *m, int container, uint64_t iova)
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

static inline long unmap_at(struct machine *m, int container, uint64_t iova)
{
	struct via_vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap),
		.iova = iova,
		.size = PAGE,
	};

	return ioc(m, container, VIA_VFIO_IOMMU_UNMAP_DMA, &unmap);
}

static inline ssize_t region_write(struct machine *m, int fd, unsigned int region, uint64_t offset,
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

static inline uint32_t reg(struct machine *m, int fd, uint64_t offset)
{
	struct via_file *file = NULL;
	uint32_t value = 0;

	assert_int_equal(test_file_get(&m->tc.caller, fd, &file), 0);
	assert_int_equal(
		via_file_pread(file, &m->tc.caller, (uint64_t)(uintptr_t)&value, 4, offset), 4);
	via_file_put(file);
	return value;
}

static inline int device(struct machine *m, int group, const char *name)
{
	int fd = (int)ioc(m, group, VIA_VFIO_GROUP_GET_DEVICE_FD, name);

	/* Memory and bus master. */
	if (fd >= 0)
		assert_int_equal(region_write(m, fd, VIA_VFIO_PCI_CONFIG_REGION_INDEX, 4, 6, 2), 2);
	return fd;
}

/* Does the function behind fd reach the page at iova? */
static inline bool reaches(struct machine *m, int fd, uint32_t iova)
{
	assert_int_equal(region_write(m, fd, 0, 0, iova, 4), 4);
	if (reg(m, fd, 12)) {
		assert_int_equal(reg(m, fd, 8), 0);
		return false;
	}
	assert_int_equal(reg(m, fd, 8), SECRET);
	return true;
}

static inline void shut(struct machine *m, int fd)
{
	assert_int_equal(test_close(&m->tc, fd), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
