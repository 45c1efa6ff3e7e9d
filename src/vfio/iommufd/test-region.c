/* SPDX-License-Identifier: MIT */
/* A BAR of one device as memory of another, by dma-buf (spec iommu.md 1.3, 2.11, cases 52, 53). */
#include "vfio/iommufd/iommufd.h"
#include "vfio/profile.h"
#include "vfio/test-vfio.h"

#define F                                                                                          \
	(VIA_IOMMU_IOAS_MAP_FIXED_IOVA | VIA_IOMMU_IOAS_MAP_READABLE | VIA_IOMMU_IOAS_MAP_WRITEABLE)
#define BAR_MEMORY 0x2000u

struct get {
	struct via_vfio_device_feature head;
	struct via_vfio_device_feature_dma_buf buf;
	struct via_vfio_region_dma_range ranges[2];
};

struct peers {
	struct machine *m;
	int iommufd;
	int owner, other; /* devices */
	uint32_t ioas;
};

static int bound(struct peers *p, const char *name)
{
	struct via_vfio_device_bind_iommufd bind = {.argsz = sizeof(bind), .iommufd = p->iommufd};
	struct via_vfio_device_attach_iommufd_pt attach = {.argsz = sizeof(attach), .pt_id = p->ioas};
	int fd = node(p->m, name);

	assert_true(fd >= 0);
	assert_int_equal(ioc(p->m, fd, VIA_VFIO_DEVICE_BIND_IOMMUFD, &bind), 0);
	assert_int_equal(ioc(p->m, fd, VIA_VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach), 0);
	assert_int_equal(region_write(p->m, fd, VIA_VFIO_PCI_CONFIG_REGION_INDEX, 4, 6, 2), 2);
	return fd;
}

static int setup_peers(void **state, enum via_profile profile)
{
	const struct via_vfio_config config = {.profile = profile};
	struct via_iommu_ioas_alloc alloc = {.size = sizeof(alloc)};
	struct peers *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	p->m = machine_new(&config);
	p->iommufd = node(p->m, "iommu");
	assert_int_equal(ioc(p->m, p->iommufd, VIA_IOMMU_IOAS_ALLOC, &alloc), 0);
	p->ioas = alloc.out_ioas_id;
	p->other = bound(p, "vfio/devices/vfio0");
	p->owner = bound(p, "vfio/devices/vfio1");
	assert_int_equal(region_write(p->m, p->owner, 0, BAR_MEMORY, SECRET, 4), 4);
	*state = p;
	return 0;
}

static int setup_linux(void **state)
{
	return setup_peers(state, VIA_PROFILE_LINUX);
}

static int setup_full(void **state)
{
	return setup_peers(state, VIA_PROFILE_FULL);
}

static int teardown_peers(void **state)
{
	struct peers *p = *state;
	void *m = p->m;

	free(p);
	return teardown(&m);
}

static int dma_buf_of(struct peers *p, unsigned int n_ranges)
{
	struct get get = {
		.head = {.argsz = sizeof(get),
			 .flags = VIA_VFIO_DEVICE_FEATURE_DMA_BUF | VIA_VFIO_DEVICE_FEATURE_GET},
		.buf = {.region_index = 0, .open_flags = O_CLOEXEC | O_RDWR, .nr_ranges = n_ranges},
		.ranges = {{BAR_MEMORY, 0x1000}, {BAR_MEMORY + 0x1000, 0x1000}},
	};

	return (int)ioc(p->m, p->owner, VIA_VFIO_DEVICE_FEATURE, &get);
}

static long map_buf(struct peers *p, int fd, uint64_t iova, uint64_t length)
{
	struct via_iommu_ioas_map_file cmd = {
		.size = sizeof(cmd),
		.flags = F,
		.ioas_id = p->ioas,
		.fd = fd,
		.length = length,
		.iova = iova,
	};

	return ioc(p->m, p->iommufd, VIA_IOMMU_IOAS_MAP_FILE, &cmd);
}

static long unmap_buf(struct peers *p, uint64_t iova)
{
	struct via_iommu_ioas_unmap cmd = {
		.size = sizeof(cmd), .ioas_id = p->ioas, .iova = iova, .length = PAGE};

	return ioc(p->m, p->iommufd, VIA_IOMMU_IOAS_UNMAP, &cmd);
}

static void command(struct peers *p, uint32_t value)
{
	assert_int_equal(region_write(p->m, p->owner, VIA_VFIO_PCI_CONFIG_REGION_INDEX, 4, value,
				      2),
			 2);
}

static void test_case_52_dma_buf(void **state)
{
	struct peers *p = *state;
	int fd = dma_buf_of(p, 1), two = dma_buf_of(p, 2);
	struct via_iommu_ioas_alloc alloc = {.size = sizeof(alloc)};
	const uint32_t ioas = p->ioas;

	assert_true(fd >= 0 && two >= 0);
	/* An IOAS without devices does not mind single bytes; the buffer does. */
	assert_int_equal(ioc(p->m, p->iommufd, VIA_IOMMU_IOAS_ALLOC, &alloc), 0);
	p->ioas = alloc.out_ioas_id;
	assert_int_equal(map_buf(p, fd, IOVA, PAGE + 1), -EINVAL);
	assert_int_equal(map_buf(p, fd, IOVA, PAGE), 0);
	p->ioas = ioas;
	assert_int_equal(map_buf(p, fd, IOVA, 2 * PAGE), -EINVAL);
	assert_int_equal(map_buf(p, fd, IOVA, PAGE + 1), -EINVAL);
	assert_int_equal(map_buf(p, two, IOVA, PAGE), -EOPNOTSUPP);
	assert_int_equal(map_buf(p, fd, IOVA, PAGE), 0);
	assert_true(reaches(p->m, p->other, IOVA));
	command(p, 0);
	assert_false(reaches(p->m, p->other, IOVA));
	assert_int_equal(map_buf(p, fd, 2 * IOVA, PAGE), -ENODEV);
	assert_int_equal(unmap_buf(p, IOVA), 0);
	shut(p->m, fd);
	shut(p->m, two);
}

static void test_case_53_restore(void **state)
{
	struct peers *p = *state;
	const bool full = p->m->vfio->config.profile == VIA_PROFILE_FULL;
	int fd = dma_buf_of(p, 1);

	assert_int_equal(map_buf(p, fd, IOVA, PAGE), 0);
	command(p, 0);
	command(p, 6);
	assert_int_equal(reaches(p->m, p->other, IOVA), full);
	assert_int_equal(map_buf(p, fd, 2 * IOVA, PAGE), 0);
	assert_true(reaches(p->m, p->other, 2 * IOVA));
	/* The buffer lives as long as it is mapped, the memory as long as its device answers. */
	shut(p->m, fd);
	assert_true(reaches(p->m, p->other, 2 * IOVA));
	shut(p->m, p->owner);
	assert_false(reaches(p->m, p->other, 2 * IOVA));
	assert_int_equal(unmap_buf(p, IOVA), 0);
	assert_int_equal(unmap_buf(p, 2 * IOVA), 0);
}

/* The owner's BAR 0 from offset on, as the program has it. */
static void *bar_at(struct peers *p, uint64_t offset, size_t len, int prot)
{
	struct via_file *file = NULL;
	struct via_mmap map;
	void *at;

	assert_int_equal(test_file_get(&p->m->tc.caller, p->owner, &file), 0);
	assert_int_equal(via_file_mmap(file, &p->m->tc.caller, offset, len, prot, MAP_SHARED, &map),
			 0);
	at = mmap(NULL, len, prot, MAP_SHARED, map.fd, (off_t)map.offset);
	assert_ptr_not_equal(at, MAP_FAILED);
	via_file_put(file);
	return at;
}

static long map_bar(struct peers *p, const void *at, uint64_t iova, uint64_t length)
{
	struct via_iommu_ioas_map cmd = {
		.size = sizeof(cmd),
		.flags = F,
		.ioas_id = p->ioas,
		.user_va = (uint64_t)(uintptr_t)at,
		.length = length,
		.iova = iova,
	};

	return ioc(p->m, p->iommufd, VIA_IOMMU_IOAS_MAP, &cmd);
}

static void test_gap_3_bar_memory(void **state)
{
	struct peers *p = *state;
	const bool full = p->m->vfio->config.profile == VIA_PROFILE_FULL;
	uint8_t *bar = bar_at(p, BAR_MEMORY, 2 * PAGE, PROT_READ | PROT_WRITE);
	uint8_t *registers = bar_at(p, 0, PAGE, PROT_READ | PROT_WRITE);
	uint8_t *read_only = bar_at(p, BAR_MEMORY, PAGE, PROT_READ);

	assert_int_equal(map_bar(p, p->m->memory, 2 * IOVA, PAGE), 0);
	assert_int_equal(map_bar(p, read_only, IOVA, PAGE), -EFAULT);
	assert_int_equal(map_bar(p, registers, 4 * IOVA, PAGE), full ? 0 : -EFAULT);
	assert_int_equal(map_bar(p, bar, IOVA, PAGE), full ? 0 : -EFAULT);
	if (full) {
		assert_int_equal(region_write(p->m, p->owner, 0, 16, SECRET, 4), 4);
		assert_true(reaches(p->m, p->other, 4 * IOVA + 16));
		assert_true(reaches(p->m, p->other, IOVA));
		command(p, 0);
		assert_false(reaches(p->m, p->other, IOVA));
		assert_false(reaches(p->m, p->other, 4 * IOVA + 16));
		assert_int_equal(map_bar(p, bar, 3 * IOVA, PAGE), -EFAULT);
		command(p, 6);
		assert_true(reaches(p->m, p->other, IOVA));
		assert_true(reaches(p->m, p->other, 4 * IOVA + 16));
		shut(p->m, p->owner);
		assert_false(reaches(p->m, p->other, IOVA));
		assert_false(reaches(p->m, p->other, 4 * IOVA + 16));
		assert_int_equal(unmap_buf(p, IOVA), 0);
	}
	munmap(bar, 2 * PAGE);
	munmap(registers, PAGE);
	munmap(read_only, PAGE);
}

/* A program's own memory, and a BAR behind it, in one map. */
static void test_gap_3_mixed(void **state)
{
	struct peers *p = *state;
	const bool full = p->m->vfio->config.profile == VIA_PROFILE_FULL;
	uint8_t *bar = bar_at(p, BAR_MEMORY, PAGE, PROT_READ | PROT_WRITE);
	uint8_t *two = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			    0);

	assert_ptr_not_equal(two, MAP_FAILED);
	assert_ptr_equal(mremap(bar, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, two + PAGE),
			 two + PAGE);
	memcpy(two + 8, &(uint32_t){SECRET}, 4);
	assert_int_equal(map_bar(p, two, IOVA, 2 * PAGE), full ? 0 : -EFAULT);
	if (full) {
		assert_true(reaches(p->m, p->other, IOVA + 8));
		assert_true(reaches(p->m, p->other, IOVA + PAGE));
		assert_false(reaches(p->m, p->other, IOVA + 2 * PAGE));
		command(p, 0);
		assert_true(reaches(p->m, p->other, IOVA + 8));
		assert_false(reaches(p->m, p->other, IOVA + PAGE));
		command(p, 6);
		assert_true(reaches(p->m, p->other, IOVA + PAGE));
	}
	assert_int_equal(map_bar(p, two, 2 * IOVA, PAGE), 0);
	munmap(two, 2 * PAGE);
}

/* A dma-buf of registers; those that were exported while memory is off are none yet. */
static void test_gap_3_dma_buf_of_registers(void **state)
{
	struct peers *p = *state;
	struct get get = {
		.head = {.argsz = sizeof(get),
			 .flags = VIA_VFIO_DEVICE_FEATURE_DMA_BUF | VIA_VFIO_DEVICE_FEATURE_GET},
		.buf = {.open_flags = O_CLOEXEC | O_RDWR, .nr_ranges = 1},
		.ranges = {{0, 0x2000}},
	};
	int fd = (int)ioc(p->m, p->owner, VIA_VFIO_DEVICE_FEATURE, &get);

	assert_true(fd >= 0);
	assert_int_equal(map_buf(p, fd, IOVA, 2 * PAGE), 0);
	assert_int_equal(region_write(p->m, p->owner, 0, 16, SECRET, 4), 4);
	assert_true(reaches(p->m, p->other, IOVA + 16));
	command(p, 0);
	assert_false(reaches(p->m, p->other, IOVA + 16));
	command(p, 6);
	assert_int_equal(reaches(p->m, p->other, IOVA + 16),
			 (p->m->vfio->config.profile == VIA_PROFILE_FULL));
	shut(p->m, fd);
}

static void test_hardware_tracks(void **state)
{
	struct peers *p = *state;
	const bool full = p->m->vfio->config.profile == VIA_PROFILE_FULL;
	struct via_iommu_hwpt_alloc alloc = {
		.size = sizeof(alloc),
		.flags = VIA_IOMMU_HWPT_ALLOC_DIRTY_TRACKING,
		.pt_id = p->ioas,
		.dev_id = 2, /* the first after the IOAS */
	};

	assert_int_equal(ioc(p->m, p->iommufd, VIA_IOMMU_HWPT_ALLOC, &alloc),
			 full ? 0 : -EOPNOTSUPP);
}

#define LINUX(f) cmocka_unit_test_setup_teardown(f, setup_linux, teardown_peers)
#define FULL(f) cmocka_unit_test_setup_teardown(f, setup_full, teardown_peers)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LINUX(test_case_52_dma_buf), FULL(test_case_52_dma_buf),
		LINUX(test_case_53_restore), FULL(test_case_53_restore),
		LINUX(test_gap_3_bar_memory), FULL(test_gap_3_bar_memory),
		LINUX(test_gap_3_mixed), FULL(test_gap_3_mixed),
		LINUX(test_gap_3_dma_buf_of_registers), FULL(test_gap_3_dma_buf_of_registers),
		LINUX(test_hardware_tracks), FULL(test_hardware_tracks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
