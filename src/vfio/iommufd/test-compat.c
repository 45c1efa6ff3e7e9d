/* SPDX-License-Identifier: MIT */
/* A VFIO container that is an iommufd (spec iommu.md 3.8, 3.9, 11.6; 1.1, 1.2, 1.5 to 1.7). */
#include "iommu/access.h"
#include "iommu/dma.h"
#include "vfio/iommufd/test-iommufd.h"

#define RWD (VIA_VFIO_DMA_MAP_FLAG_READ | VIA_VFIO_DMA_MAP_FLAG_WRITE)
#define VADDR VIA_VFIO_DMA_MAP_FLAG_VADDR
#define ALL VIA_VFIO_DMA_UNMAP_FLAG_ALL

static long extension(struct bench *b, uintptr_t number)
{
	return ioc(b, VIA_VFIO_CHECK_EXTENSION, (void *)number);
}

static long set_iommu(struct bench *b, uintptr_t type)
{
	return ioc(b, VIA_VFIO_SET_IOMMU, (void *)type);
}

static long map_dma(struct bench *b, uint32_t flags, uint64_t vaddr, uint64_t iova, uint64_t size)
{
	struct via_vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map), .flags = flags, .vaddr = vaddr, .iova = iova, .size = size};

	return ioc(b, VIA_VFIO_IOMMU_MAP_DMA, &map);
}

static long unmap_dma(struct bench *b, uint32_t flags, uint64_t iova, uint64_t *size)
{
	struct via_vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap), .flags = flags, .iova = iova, .size = *size};
	long ret = ioc(b, VIA_VFIO_IOMMU_UNMAP_DMA, &unmap);

	*size = unmap.size;
	return ret;
}

#define UNMAP(flags, iova, in, result, out)                                                        \
	do {                                                                                       \
		uint64_t size_ = (in);                                                             \
		assert_int_equal(unmap_dma(b, flags, iova, &size_), result);                       \
		assert_true(size_ == (uint64_t)(out));                                             \
	} while (0)

/* What GROUP_SET_CONTAINER makes; its id. */
static uint32_t join(struct bench *b)
{
	uint32_t id = 0;

	assert_int_equal(via_iommufd_container_join(b->iommufd, false), 0);
	assert_int_equal(via_iommufd_compat_id(b->iommufd, &id), 0);
	return id;
}

static void test_case_93_94_fresh(void **state)
{
	struct bench *b = *state;

	assert_int_equal(ioc(b, VIA_VFIO_GET_API_VERSION, NULL), 0);
	assert_int_equal(extension(b, 1), 1);
	assert_int_equal(extension(b, 3), 1);
	assert_int_equal(extension(b, 9), 1);
	assert_int_equal(extension(b, 10), 0);
	assert_int_equal(extension(b, 6), 0);
	assert_int_equal(extension(b, 2), 0);
	assert_int_equal(extension(b, 7), 0);
	assert_int_equal(extension(b, 8), 1);
	assert_int_equal(extension(b, 4), -ENODEV);
	assert_int_equal(set_iommu(b, 2), -EINVAL);
	assert_int_equal(set_iommu(b, 3), -ENODEV);
	assert_int_equal(map_dma(b, RWD, VA, 0, PAGE), -ENODEV);
	assert_int_equal(map_dma(b, 8, VA, 0, PAGE), -EINVAL);
	UNMAP(0, 0, PAGE, -ENODEV, PAGE);
	assert_int_equal(ioc(b, VIA_VFIO_IOMMU_GET_INFO, NULL), -EFAULT);
	assert_int_equal(ioc(b, VIA_VFIO_IOMMU_DIRTY_PAGES, NULL), -ENOTTY);
}

static void test_joined(void **state)
{
	struct bench *b = *state;
	const uint32_t id = join(b);

	assert_int_equal(id, 1);
	assert_int_equal(join(b), id);
	assert_int_equal(extension(b, 4), 1);
	assert_int_equal(via_iommufd_container_join(b->iommufd, true), -EINVAL);
	assert_int_equal(destroy(b, id), 0);
	assert_int_equal(via_iommufd_container_join(b->iommufd, true), 0);
	assert_int_equal(via_iommufd_container_join(b->iommufd, false), -EINVAL);
	assert_int_equal(extension(b, 1), 0);
	assert_int_equal(set_iommu(b, 1), -EINVAL);
	assert_int_equal(set_iommu(b, 8), 0);
	b->tc.caller.caps &= ~VIA_CAP_SYS_RAWIO;
	assert_int_equal(set_iommu(b, 8), -EPERM);
}

static void test_case_95_96_types(void **state)
{
	struct via_iommu_vfio_ioas cmd = {.size = sizeof(cmd), .op = VIA_IOMMU_VFIO_IOAS_SET};
	struct bench *b = *state;
	uint64_t value = 9;

	cmd.ioas_id = ioas_new(b);
	assert_int_equal(ioc(b, VIA_IOMMU_VFIO_IOAS, &cmd), 0);
	assert_int_equal(map_dma(b, RWD, VA, 0, PAGE), 0);
	UNMAP(0, 0, PAGE, 0, PAGE);
	assert_int_equal(set_iommu(b, 1), 0);
	assert_int_equal(set_iommu(b, 3), 0);
	assert_int_equal(option(b, VIA_IOMMU_OPTION_HUGE_PAGES, VIA_IOMMU_OPTION_OP_GET,
				cmd.ioas_id, &value),
			 0);
	assert_int_equal(value, 0);
}

static void test_case_97_98(void **state)
{
	struct via_vfio_iommu_type1_dirty_bitmap dirty = {.argsz = 8, .flags = 1};
	struct bench *b = *state;
	const uint32_t id = join(b);

	assert_true(attach(b, 0, id) > 0);
	assert_int_equal(map_dma(b, RWD, addr(b->memory), LOW, PAGE), 0);
	assert_int_equal(set_iommu(b, 1), -EINVAL);
	assert_int_equal(map_dma(b, VADDR, addr(b->memory), LOW, PAGE), -EINVAL);
	UNMAP(1, LOW, PAGE, -EINVAL, PAGE);
	UNMAP(4, LOW, PAGE, -EINVAL, PAGE);
	assert_int_equal(ioc(b, VIA_VFIO_IOMMU_DIRTY_PAGES, &dirty), -ENOTTY);
	/* Neither READ nor WRITE: with a domain. */
	assert_int_equal(map_dma(b, 0, addr(b->memory), LOW + PAGE, PAGE), -EINVAL);
	assert_int_equal(map_dma(b, RWD, addr(b->memory), LOW, PAGE), -EEXIST);
	UNMAP(ALL, PAGE, 0, -EINVAL, 0);
	UNMAP(ALL, 0, PAGE, -EINVAL, PAGE);
	UNMAP(ALL, 0, 0, 0, PAGE);
}

static void test_no_protection(void **state)
{
	struct bench *b = *state;
	const uint32_t id = join(b);

	assert_int_equal(map_dma(b, 0, addr(b->memory), LOW, PAGE), 0);
	assert_int_equal(attach(b, 0, id), -EINVAL);
}

static void test_case_99_split(void **state)
{
	struct bench *b = *state;
	const uint32_t id = join(b);

	assert_int_equal(set_iommu(b, 1), 0);
	assert_true(attach(b, 0, id) > 0);
	assert_int_equal(map_dma(b, RWD, addr(b->memory), LOW, 4 * PAGE), 0);
	UNMAP(0, LOW + PAGE, PAGE, 0, PAGE);
	assert_int_equal(map_dma(b, RWD, addr(b->memory) + 8 * PAGE, LOW + PAGE, PAGE), 0);
	UNMAP(0, LOW, 4 * PAGE, 0, 4 * PAGE);
}

static void test_case_100_101_105(void **state)
{
	const uint64_t top = -(uint64_t)PAGE;
	struct bench *b = *state;

	join(b);
	assert_int_equal(set_iommu(b, 3), 0);
	assert_int_equal(set_iommu(b, 3), 0);
	assert_int_equal(map_dma(b, RWD, VA, 0x1000, PAGE), 0);
	assert_int_equal(map_dma(b, RWD, VA, 0x2000, 2 * PAGE), 0);
	UNMAP(0, 0x1000, 2 * PAGE, -ENOENT, PAGE);
	UNMAP(0, 0x1000, PAGE, 0, 0);
	UNMAP(0, 0x10001, 5, 0, 0);
	UNMAP(0, 0x10000, 0, -EINVAL, 0);
	assert_int_equal(map_dma(b, RWD, VA, top, 2 * PAGE), -EOVERFLOW);
	UNMAP(0, top, 2 * PAGE, -EOVERFLOW, 0);
	UNMAP(0, 0, MAX, 0, 2 * PAGE);
	/* That is all but the last byte; ALL is all. */
	assert_int_equal(map_dma(b, RWD, VA, top, PAGE), 0);
	UNMAP(0, 0, MAX, -ENOENT, 0);
	UNMAP(ALL, 0, 0, 0, PAGE);
}

/* Bytes beyond argsz are the program's. */
struct info {
	struct via_vfio_iommu_type1_info head;
	uint8_t rest[200];
};

static void get_info(struct bench *b, uint32_t argsz, struct info *info)
{
	memset(info, 0x55, sizeof(*info));
	info->head.argsz = argsz;
	assert_int_equal(ioc(b, VIA_VFIO_IOMMU_GET_INFO, info), 0);
}

static struct via_vfio_info_cap_header cap_at(const struct info *info, size_t offset)
{
	struct via_vfio_info_cap_header header;

	memcpy(&header, (const uint8_t *)info + offset, sizeof(header));
	return header;
}

static void test_case_102_103_info(void **state)
{
	struct bench *b = *state;
	const uint32_t id = join(b);
	struct info info;

	info.head.argsz = 15;
	assert_int_equal(ioc(b, VIA_VFIO_IOMMU_GET_INFO, &info), -EINVAL);
	get_info(b, 72, &info);
	assert_int_equal(info.head.argsz, 72);
	assert_int_equal(info.head.flags, 3);
	assert_true(info.head.iova_pgsizes == ~(uint64_t)4095);
	assert_int_equal(info.head.cap_offset, 24);
	assert_int_equal(cap_at(&info, 24).id, 3);
	assert_int_equal(cap_at(&info, 24).next, 40);
	assert_int_equal(cap_at(&info, 40).id, 1);
	assert_int_equal(cap_at(&info, 40).next, 0);
	assert_int_equal(((uint8_t *)&info)[72], 0x55);

	get_info(b, 56, &info);
	assert_int_equal(info.head.cap_offset, 0);
	assert_int_equal(info.head.argsz, 72);
	assert_int_equal(cap_at(&info, 24).id, 3);
	assert_int_equal(((uint8_t *)&info)[56], 0x55);
	assert_int_equal(((uint8_t *)&info)[40], 0x55);

	get_info(b, 16, &info);
	assert_int_equal(info.head.argsz, 72);
	assert_int_equal(info.head.cap_offset, 0x55555555);
	get_info(b, 24, &info);
	assert_int_equal(info.head.cap_offset, 0);
	assert_int_equal(((uint8_t *)&info)[24], 0x55);

	assert_true(attach(b, 0, id) > 0);
	get_info(b, 100, &info);
	assert_int_equal(info.head.argsz, 72);
	assert_true(info.head.iova_pgsizes == ~(uint64_t)4095);
}

static void ignore_unmap(void *cookie, via_iova_t iova, uint64_t len)
{
}

static const struct via_access_ops access_ops = {.unmap = ignore_unmap};

/* Three pages of which the second is pinned; type 1. */
static struct via_access *pinned(struct bench *b)
{
	struct via_access *access = NULL;
	struct via_piece *pieces;
	size_t n;

	const uint32_t id = join(b);

	assert_int_equal(set_iommu(b, 1), 0);
	assert_int_equal(map_dma(b, RWD, addr(b->memory), LOW, 3 * PAGE), 0);
	assert_int_equal(via_access_new(&access_ops, NULL, &access), 0);
	assert_int_equal(via_access_attach(access, inside(b, id)), 0);
	assert_int_equal(via_access_pin(access, LOW + PAGE, PAGE, 0, &pieces, &n), 0);
	via_pieces_free(pieces, n);
	return access;
}

static void unpin(struct via_access *access)
{
	assert_int_equal(via_access_unpin(access, LOW + PAGE, PAGE, 0), 0);
	via_access_detach(access);
	via_access_free(access);
}

static void test_case_104_pins(void **state)
{
	struct bench *b = *state;
	struct via_access *access = pinned(b);

	UNMAP(0, LOW, PAGE, -EINVAL, PAGE);
	unpin(access);
	UNMAP(0, LOW, PAGE, 0, PAGE);
}

/* Profile full ------------------------------------------------------------------- */

/* Gap 1: any page may go, and be gone at once or not at all. */
static void test_gap_1_hole_punching(void **state)
{
	struct bench *b = *state;
	struct via_access *access = pinned(b);

	UNMAP(0, LOW, PAGE, 0, PAGE);
	UNMAP(0, LOW + 2 * PAGE, PAGE, 0, PAGE);
	unpin(access);
	UNMAP(0, LOW, 3 * PAGE, 0, PAGE);

	/* Quirk 9: arguments are judged before anything is cut. */
	assert_int_equal(map_dma(b, RWD, addr(b->memory), LOW, 3 * PAGE), 0);
	UNMAP(0, LOW + PAGE, 0, -EINVAL, 0);
	UNMAP(0, LOW + PAGE, -(uint64_t)PAGE, -EOVERFLOW, -(uint64_t)PAGE);
	assert_int_equal(unmap(b, 1, LOW, PAGE), -ENOENT);
	assert_int_equal(unmap(b, 1, LOW, 3 * PAGE), 0);
}

static void test_gap_1_type1v2(void **state)
{
	struct bench *b = *state;

	join(b);
	assert_int_equal(set_iommu(b, 3), 0);
	assert_int_equal(map_dma(b, RWD, addr(b->memory), LOW, PAGE), 0);
	assert_int_equal(map_dma(b, RWD, addr(b->memory), LOW + PAGE, 2 * PAGE), 0);
	UNMAP(0, LOW, 2 * PAGE, -EINVAL, 2 * PAGE);
	UNMAP(0, LOW + 2 * PAGE, PAGE, -EINVAL, PAGE);
	UNMAP(0, LOW, 8 * PAGE, 0, 3 * PAGE);
	UNMAP(ALL, 0, 0, 0, 0);
}

static void test_gap_2_entry_limit(void **state)
{
	const struct via_vfio_config config = {.dma_entry_limit = 2};
	struct bench *b = bench_new(&config);
	const uint32_t id = join(b);
	struct info info;
	uint32_t avail;

	assert_true(attach(b, 0, id) > 0);
	assert_int_equal(set_iommu(b, 3), 0);
	assert_int_equal(map_dma(b, RWD, addr(b->memory), LOW, PAGE), 0);
	get_info(b, 200, &info);
	assert_int_equal(cap_at(&info, 56).id, 3);
	memcpy(&avail, (uint8_t *)&info + 64, sizeof(avail));
	assert_int_equal(avail, 1);
	/* A failure costs nothing. */
	assert_int_equal(map_dma(b, RWD, PAGE, LOW + PAGE, PAGE), -EFAULT);
	assert_int_equal(map_dma(b, RWD, addr(b->memory), LOW + PAGE, PAGE), 0);
	assert_int_equal(map_dma(b, RWD, addr(b->memory), LOW + 2 * PAGE, PAGE), -ENOSPC);
	assert_int_equal(map_dma(b, RWD, addr(b->memory), 0, PAGE), -ENOSPC);
	assert_int_equal(map_dma(b, RWD, addr(b->memory), LOW, PAGE), -EEXIST);
	UNMAP(0, LOW, PAGE, 0, PAGE);
	assert_int_equal(map_dma(b, RWD, addr(b->memory), LOW + 2 * PAGE, PAGE), 0);
	bench_free(b);
}

static void test_gap_5_suspend(void **state)
{
	struct bench *b = *state;
	const uint32_t id = join(b);
	struct via_access *access;
	uint8_t byte = 0;

	assert_int_equal(extension(b, 10), 1);
	assert_int_equal(set_iommu(b, 3), 0);
	assert_true(attach(b, 0, id) > 0);
	assert_int_equal(map_dma(b, RWD, addr(b->memory), LOW, PAGE), 0);
	assert_int_equal(map_dma(b, RWD, addr(b->memory), LOW + PAGE, 2 * PAGE), 0);
	assert_int_equal(map_dma(b, VADDR, addr(b->memory), LOW, PAGE), -EINVAL);
	UNMAP(4, LOW, PAGE, 0, PAGE);
	UNMAP(4 | ALL, 0, 0, -EINVAL, 0);
	UNMAP(4, LOW + PAGE, PAGE, -EINVAL, PAGE);
	assert_int_equal(map_dma(b, VADDR, addr(b->memory), LOW, 2 * PAGE), -EINVAL);
	assert_int_equal(map_dma(b, VADDR, addr(b->memory), LOW + PAGE, 2 * PAGE), -EINVAL);
	assert_int_equal(map_dma(b, VADDR, addr(b->memory), LOW + 8 * PAGE, PAGE), -ENOENT);
	assert_int_equal(map_dma(b, VADDR | RWD, addr(b->memory), LOW, PAGE), -EINVAL);
	assert_int_equal(map_dma(b, VADDR, addr(b->memory) + 1, LOW, PAGE), -EINVAL);

	/* The memory has moved. */
	b->memory[4 * PAGE + 3] = 77;
	assert_int_equal(map_dma(b, VADDR, addr(b->memory) + 4 * PAGE, LOW, PAGE), 0);
	assert_int_equal(map_dma(b, VADDR, addr(b->memory) + 4 * PAGE, LOW, PAGE), -EINVAL);
	assert_int_equal(via_access_new(NULL, NULL, &access), 0);
	assert_int_equal(via_access_attach(access, inside(b, id)), 0);
	assert_int_equal(via_access_rw(access, LOW + 3, &byte, 1, false), 0);
	assert_int_equal(byte, 77);
	via_access_detach(access);
	via_access_free(access);

	/* What is unmapped is not suspended any more. */
	UNMAP(4 | ALL, 0, 0, 0, 3 * PAGE);
	UNMAP(0, LOW, PAGE, 0, PAGE);
	assert_int_equal(map_dma(b, RWD, addr(b->memory), LOW, PAGE), 0);
	assert_int_equal(map_dma(b, VADDR, addr(b->memory), LOW, PAGE), -EINVAL);
	assert_int_equal(map_dma(b, VADDR, addr(b->memory), LOW + PAGE, 2 * PAGE), 0);
}

/* A device's access on a thread of its own. */
struct access {
	struct via_dma *dma;
	char byte;
	int ret;
	bool done; /* atomic */
	pthread_t thread;
};

static void *access_main(void *arg)
{
	struct access *access = arg;

	access->ret = via_dma_read(access->dma, LOW, &access->byte, 1);
	__atomic_store_n(&access->done, true, __ATOMIC_RELEASE);
	return NULL;
}

static struct via_domain *domain_of(struct bench *b, unsigned int i);

/* Hardware 0, attached, with a page at LOW that is suspended, and a device that reads it. */
static void access_begin(struct bench *b, struct access *access)
{
	const uint32_t id = join(b);

	assert_true(attach(b, 0, id) > 0);
	memset(b->memory, 'o', PAGE);
	memset(b->memory + PAGE, 'n', PAGE);
	assert_int_equal(map_dma(b, RWD, addr(b->memory), LOW, PAGE), 0);
	UNMAP(4, LOW, PAGE, 0, PAGE);
	*access = (struct access){0};
	assert_int_equal(via_dma_new("device", &access->dma), 0);
	via_dma_enable(access->dma, true);
	assert_int_equal(via_dma_attach_domain(access->dma, domain_of(b, 0)), 0);
	assert_int_equal(pthread_create(&access->thread, NULL, access_main, access), 0);
	usleep(30000);
	assert_false(__atomic_load_n(&access->done, __ATOMIC_ACQUIRE));
}

static int access_end(struct access *access)
{
	assert_int_equal(pthread_join(access->thread, NULL), 0);
	via_dma_free(access->dma);
	return access->ret;
}

static void test_gap_5_dma_waits(void **state)
{
	struct bench *b = *state;
	struct access access;

	access_begin(b, &access);
	assert_int_equal(map_dma(b, VADDR, addr(b->memory) + PAGE, LOW, PAGE), 0);
	assert_int_equal(access_end(&access), 0);
	assert_int_equal(access.byte, 'n');
}

static void test_gap_5_dma_wait_unmap(void **state)
{
	struct bench *b = *state;
	struct access access;

	access_begin(b, &access);
	UNMAP(0, LOW, PAGE, 0, PAGE);
	assert_int_equal(access_end(&access), -EFAULT);
}

static void test_gap_5_no_dma_wait(void **state)
{
	const struct via_vfio_config linux_config = {.profile = VIA_PROFILE_LINUX, .vaddr_wait_ms = 5};
	const struct via_vfio_config none = {.vaddr_wait_ms = -1}, some = {.vaddr_wait_ms = 5};
	const struct {
		const struct via_vfio_config *config;
		unsigned int ms;
	} cases[] = {{NULL, 10000}, {&some, 5}, {&none, 0}, {&linux_config, 0}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct bench *b = bench_new(cases[i].config);

		assert_int_equal(via_vfio_vaddr_wait(b->vfio), cases[i].ms);
		bench_free(b);
	}
}

/* As in a type1 container nobody joins meanwhile. */
static void test_gap_5_nobody_joins(void **state)
{
	struct bench *b = *state;
	const uint32_t id = join(b);

	assert_true(attach(b, 0, id) > 0);
	assert_int_equal(map_dma(b, RWD, addr(b->memory), LOW, PAGE), 0);
	UNMAP(4, LOW, PAGE, 0, PAGE);
	assert_int_equal(via_iommufd_container_join(b->iommufd, false), -EBUSY);
	assert_int_equal(attach(b, 1, id), -EBUSY);
	assert_int_equal(map_dma(b, VADDR, addr(b->memory), LOW, PAGE), 0);
	assert_int_equal(via_iommufd_container_join(b->iommufd, false), 0);
	assert_true(attach(b, 1, id) > 0);
}

/* Another program, whose memory is ours; shared memory of it has a file. */
static int shared_fd = -1;

static int shared_backing(struct via_mm *mm, uint64_t at, uint64_t len, unsigned int prot,
			  struct via_backing *ret_backing)
{
	*ret_backing = (struct via_backing){.fd = shared_fd < 0 ? -1 : dup(shared_fd), .len = len};
	return 0;
}

static void resume_elsewhere(struct bench *b, struct via_mm *other, uint64_t limit, long result)
{
	struct via_mm *mm = b->tc.caller.mm;

	other->memlock_limit = limit;
	b->tc.caller.mm = other;
	assert_int_equal(map_dma(b, VADDR, addr(b->memory), LOW, 2 * PAGE), result);
	b->tc.caller.mm = mm;
	assert_int_equal(via_ledger_pages(mm), result ? 2 : 0);
	assert_int_equal(via_ledger_pages(other), result ? 0 : 2);
	assert_int_equal(via_ledger_pinned(mm), result ? 2 : 0);
}

/* Who resumes a mapping pays for it, also if we hold its memory. */
static void test_gap_5_resume_moves_the_charge(void **state)
{
	const struct via_vfio_config config = {.memlock = VIA_MEMLOCK_ENFORCE};

	for (unsigned int held = 0; held < 2; held++) {
		struct bench *b = bench_new(&config);
		struct via_mm *mm = b->tc.caller.mm;
		struct via_mm_ops ops = *mm->ops;
		struct via_mm one = {.ops = &ops, .refs = 1, .memlock_limit = 2 * PAGE}, other = one;
		const uint32_t id = join(b);

		ops.backing = shared_backing;
		shared_fd = held ? memfd_create("held", MFD_CLOEXEC) : -1;
		assert_int_equal(held ? ftruncate(shared_fd, 2 * PAGE) : 0, 0);
		b->tc.caller.mm = &one;
		b->tc.caller.caps &= ~VIA_CAP_IPC_LOCK;
		assert_true(attach(b, 0, id) > 0);
		assert_int_equal(map_dma(b, RWD, addr(b->memory), LOW, 2 * PAGE), 0);
		UNMAP(4, LOW, 2 * PAGE, 0, 2 * PAGE);
		resume_elsewhere(b, &other, PAGE, -ENOMEM);
		assert_int_equal(map_dma(b, RWD, addr(b->memory), LOW + 2 * PAGE, PAGE), -ENOMEM);
		/* The same process does not pay twice for a moment. */
		assert_int_equal(map_dma(b, VADDR, addr(b->memory), LOW, 2 * PAGE), 0);
		UNMAP(4, LOW, 2 * PAGE, 0, 2 * PAGE);
		resume_elsewhere(b, &other, 2 * PAGE, 0);
		UNMAP(0, LOW, 2 * PAGE, 0, 2 * PAGE);
		assert_int_equal(via_ledger_pages(&other) + via_ledger_pinned(&other), 0);
		b->tc.caller.mm = mm;
		bench_free(b);
		assert_int_equal(one.refs, 1);
		assert_int_equal(other.refs, 1);
		if (held)
			close(shared_fd);
	}
}

/* Memory that we hold works on, and is found at its new address when it is pinned anew. */
static void test_gap_5_held_memory_moves(void **state)
{
	struct bench *b = *state;
	struct via_mm *mm = b->tc.caller.mm;
	/* The context has a reference until it is closed. */
	static struct via_mm_ops ops;
	static struct via_mm one = {.ops = &ops, .refs = 1, .memlock_limit = PAGE};
	struct via_dma *dma;
	uint32_t id = join(b);
	uint8_t *at, *again;
	char byte;

	ops = *mm->ops;
	ops.backing = shared_backing;
	shared_fd = memfd_create("held", MFD_CLOEXEC);
	assert_int_equal(ftruncate(shared_fd, PAGE), 0);
	at = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, shared_fd, 0);
	again = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, shared_fd, 0);
	assert_true(at != MAP_FAILED && again != MAP_FAILED);
	b->tc.caller.mm = &one;
	b->tc.caller.caps &= ~VIA_CAP_IPC_LOCK;
	assert_true(attach(b, 0, id) > 0);
	assert_int_equal(map_dma(b, RWD, addr(at), LOW, PAGE), 0);
	assert_int_equal(via_dma_new("device", &dma), 0);
	via_dma_enable(dma, true);
	assert_int_equal(via_dma_attach_domain(dma, domain_of(b, 0)), 0);
	UNMAP(4, LOW, PAGE, 0, PAGE);
	assert_int_equal(munmap(at, PAGE), 0);
	assert_int_equal(via_dma_write(dma, LOW, "h", 1), 0);
	assert_int_equal(map_dma(b, VADDR, addr(again), LOW, PAGE), 0);
	assert_int_equal(via_ledger_pages(&one), 1);
	assert_int_equal(via_dma_attach_domain(dma, NULL), 0);
	via_idev_detach(b->hws[0].idev, 0);
	assert_int_equal(via_ledger_pages(&one), 0);
	assert_true(attach(b, 0, id) > 0);
	assert_int_equal(via_dma_attach_domain(dma, domain_of(b, 0)), 0);
	assert_int_equal(via_dma_read(dma, LOW, &byte, 1), 0);
	assert_int_equal(byte, 'h');
	via_dma_free(dma);
	UNMAP(0, LOW, PAGE, 0, PAGE);
	b->tc.caller.mm = mm;
	close(shared_fd);
	(void)munmap(again, PAGE);
}

struct get {
	struct via_vfio_iommu_type1_dirty_bitmap head;
	struct via_vfio_iommu_type1_dirty_bitmap_get get;
};

static long get_dirty(struct bench *b, uint64_t iova, uint64_t size, uint64_t *words)
{
	struct get get = {
		.head = {sizeof(get), VIA_VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP},
		.get = {iova, size, {PAGE, (size / PAGE + 63) / 64 * 8, addr(words)}},
	};

	return ioc(b, VIA_VFIO_IOMMU_DIRTY_PAGES, &get);
}

static long dirty(struct bench *b, uint32_t flags)
{
	struct via_vfio_iommu_type1_dirty_bitmap head = {sizeof(head), flags};

	return ioc(b, VIA_VFIO_IOMMU_DIRTY_PAGES, &head);
}

static struct via_domain *domain_of(struct bench *b, unsigned int i)
{
	struct via_domain *domain;

	pthread_mutex_lock(&b->iommufd->devices_lock);
	domain = via_idev_hwpt(b->hws[i].idev, 0)->domain;
	pthread_mutex_unlock(&b->iommufd->devices_lock);
	return domain;
}

static void test_gap_6_dirty(void **state)
{
	struct bench *b = *state;
	const uint32_t id = join(b);
	uint64_t words[4] = {MAX, MAX, MAX, MAX};
	struct {
		struct via_vfio_iommu_type1_dma_unmap unmap;
		struct via_vfio_bitmap bitmap;
	} u = {
		.unmap = {sizeof(u), 1, LOW, PAGE},
		.bitmap = {PAGE, 8, addr(words)},
	};

	assert_int_equal(set_iommu(b, 3), 0);
	assert_true(attach(b, 0, id) > 0);
	assert_int_equal(map_dma(b, RWD, addr(b->memory), LOW, PAGE), 0);
	assert_int_equal(map_dma(b, RWD, addr(b->memory), LOW + 3 * PAGE, PAGE), 0);
	assert_int_equal(map_dma(b, RWD, addr(b->memory), LOW + 130 * PAGE, 2 * PAGE), 0);
	assert_int_equal(get_dirty(b, LOW, 4 * PAGE, words), -EINVAL);
	assert_int_equal(ioc(b, VIA_VFIO_IOMMU_UNMAP_DMA, &u), -EINVAL);
	assert_int_equal(dirty(b, 3), -EINVAL);
	assert_int_equal(dirty(b, 0), -EINVAL);
	assert_int_equal(dirty(b, 2), 0);
	assert_int_equal(dirty(b, 1), 0);
	assert_int_equal(dirty(b, 1), 0);
	via_domain_written(domain_of(b, 0), LOW + 3 * PAGE + 5, 1);
	via_domain_written(domain_of(b, 0), LOW + 131 * PAGE, 1);
	assert_int_equal(get_dirty(b, LOW, 132 * PAGE, words), 0);
	assert_true(words[0] == 8 && words[1] == MAX && words[2] == 8 && words[3] == MAX);
	assert_int_equal(get_dirty(b, LOW, 132 * PAGE, words), 0);
	assert_true(words[0] == 0 && words[1] == MAX && words[2] == 0);
	assert_int_equal(get_dirty(b, LOW, 131 * PAGE, words), -EINVAL);
	{
		struct get get = {{sizeof(get) - 1, VIA_VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP},
				  {LOW, 132 * PAGE, {PAGE, 24, addr(words)}}};

		assert_int_equal(ioc(b, VIA_VFIO_IOMMU_DIRTY_PAGES, &get), -EINVAL);
		get.head.argsz++;
		assert_int_equal(ioc(b, VIA_VFIO_IOMMU_DIRTY_PAGES, &get), 0);
	}
	assert_int_equal(get_dirty(b, LOW, 0, words), -EINVAL);
	via_domain_written(domain_of(b, 0), LOW, 1);
	assert_int_equal(get_dirty(b, LOW, PAGE, NULL), -EFAULT);

	/* The last writes are told by the call that unmaps. */
	u.bitmap.data = 8;
	assert_int_equal(ioc(b, VIA_VFIO_IOMMU_UNMAP_DMA, &u), -EFAULT);
	u.bitmap.data = addr(words);
	assert_int_equal(ioc(b, VIA_VFIO_IOMMU_UNMAP_DMA, &u), 0);
	assert_int_equal(u.unmap.size, PAGE);
	assert_true(words[0] == 1);
	/* What was written before is not the new mapping's. */
	via_domain_written(domain_of(b, 0), LOW + 3 * PAGE, 1);
	UNMAP(0, LOW + 3 * PAGE, PAGE, 0, PAGE);
	assert_int_equal(map_dma(b, RWD, addr(b->memory), LOW + 3 * PAGE, PAGE), 0);
	assert_int_equal(get_dirty(b, LOW, 4 * PAGE, words), 0);
	assert_true(words[0] == 0);
	assert_int_equal(dirty(b, 2), 0);
	assert_int_equal(get_dirty(b, LOW, 4 * PAGE, words), -EINVAL);
}

/* Devices that come and go while it is asked. */
static void test_gap_6_dirty_devices(void **state)
{
	struct bench *b = *state;
	const uint32_t id = join(b);
	uint64_t word = 0;

	assert_int_equal(map_dma(b, RWD, addr(b->memory), LOW, 4 * PAGE), 0);
	assert_int_equal(dirty(b, 1), 0);
	assert_true(attach(b, 0, id) > 0);
	via_domain_written(domain_of(b, 0), LOW + PAGE, 1);
	via_idev_detach(b->hws[0].idev, 0);
	assert_true(attach(b, 0, id) > 0);
	via_domain_written(domain_of(b, 0), LOW + 2 * PAGE, 1);
	assert_int_equal(get_dirty(b, LOW, 4 * PAGE, &word), 0);
	assert_true(word == 6);
	assert_int_equal(get_dirty(b, LOW, 4 * PAGE, &word), 0);
	assert_true(word == 0);
}

static void test_gap_7_errnos(void **state)
{
	struct bench *b = *state;
	uint64_t bitmap = 0;

	assert_int_equal(extension(b, 4), 0);
	assert_int_equal(set_iommu(b, 3), -EINVAL);
	assert_int_equal(map_dma(b, RWD, VA, 0, PAGE), -EINVAL);
	assert_int_equal(ioc(b, 0x3b7f, NULL), -EINVAL);
	assert_int_equal(ioc(b, 0x3bff, NULL), -ENOTTY);
	join(b);
	assert_int_equal(set_iommu(b, 99), -ENODEV);
	assert_int_equal(set_iommu(b, 6), -ENODEV);
	assert_int_equal(set_iommu(b, 9), -EINVAL);
	assert_int_equal(set_iommu(b, 3), 0);
	assert_int_equal(set_iommu(b, 3), -EINVAL);
	assert_int_equal(ioc(b, 0x3b7f, NULL), -ENOTTY);
	assert_int_equal(extension(b, 4), 1);
	assert_int_equal(map_dma(b, 0, addr(b->memory), LOW, PAGE), -EINVAL);
	assert_int_equal(map_dma(b, RWD, addr(b->memory), LOW, 0), -EINVAL);
	assert_int_equal(map_dma(b, RWD, addr(b->memory), LOW + 1, PAGE), -EINVAL);
	/* Nobody pins it yet, and still the program is told now. */
	assert_int_equal(map_dma(b, RWD, PAGE, LOW, PAGE), -EFAULT);
	assert_int_equal(map_dma(b, RWD, -(uint64_t)PAGE, LOW, PAGE), -EFAULT);
	assert_int_equal(map_dma(b, RWD, addr(b->memory), LOW, PAGE), 0);
	UNMAP(0, LOW, PAGE + 1, -EINVAL, PAGE + 1);
	UNMAP(0, LOW + 0x10001, 5, -EINVAL, 5);
	UNMAP(0, 0, MAX, -EINVAL, MAX);
	UNMAP(ALL, PAGE, 0, -EINVAL, 0);
	UNMAP(ALL, 0, PAGE, -EINVAL, PAGE);
	assert_int_equal(get_dirty(b, LOW, PAGE, &bitmap), -EINVAL);
	UNMAP(ALL, 0, 0, 0, PAGE);
}

static void test_gap_7_info(void **state)
{
	struct bench *b = *state;
	struct info info;

	join(b);
	get_info(b, 104, &info);
	assert_int_equal(info.head.argsz, 104);
	assert_int_equal(info.head.cap_offset, 24);
	assert_int_equal(cap_at(&info, 24).id, 2);
	assert_int_equal(cap_at(&info, 24).next, 56);
	assert_int_equal(cap_at(&info, 56).id, 3);
	assert_int_equal(cap_at(&info, 56).next, 72);
	assert_int_equal(cap_at(&info, 72).id, 1);
	get_info(b, 180, &info);
	assert_int_equal(info.head.argsz, 180);
	get_info(b, 103, &info);
	assert_int_equal(info.head.argsz, 104);
	assert_int_equal(info.head.cap_offset, 0);
	assert_int_equal(((uint8_t *)&info)[24], 0x55);
}

/* Quirk 11: a container's mappings are the process's, whatever the mode of the context. */
static void test_gap_9_accounting(void **state)
{
	const bool full = ((struct bench *)*state)->vfio->config.profile == VIA_PROFILE_FULL;
	struct bench *b = *state;
	const uint32_t id = join(b);

	b->tc.caller.caps &= ~VIA_CAP_IPC_LOCK;
	assert_true(attach(b, 0, id) > 0);
	assert_int_equal(map_dma(b, RWD, addr(b->memory), LOW, 3 * PAGE), 0);
	assert_int_equal(via_ledger_pages(b->tc.caller.mm), full ? 3 : 0);
	assert_int_equal(via_ledger_pinned(b->tc.caller.mm), 3);
	UNMAP(0, LOW, 3 * PAGE, 0, 3 * PAGE);
	assert_int_equal(via_ledger_pages(b->tc.caller.mm), 0);

	/* Who may exceed the limit is charged by type1 all the same. */
	b->tc.caller.caps |= VIA_CAP_IPC_LOCK;
	assert_int_equal(map_dma(b, RWD, addr(b->memory), LOW, 3 * PAGE), 0);
	assert_int_equal(via_ledger_pages(b->tc.caller.mm), full ? 3 : 0);
	assert_int_equal(via_ledger_pinned(b->tc.caller.mm), 3);
	UNMAP(0, LOW, 3 * PAGE, 0, 3 * PAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LINUX(test_case_93_94_fresh),
		LINUX(test_joined),
		LINUX(test_case_95_96_types),
		LINUX(test_case_97_98),
		LINUX(test_no_protection),
		LINUX(test_case_99_split),
		LINUX(test_case_100_101_105),
		LINUX(test_case_102_103_info),
		LINUX(test_case_104_pins),
		FULL(test_gap_1_hole_punching),
		FULL(test_gap_1_type1v2),
		cmocka_unit_test(test_gap_2_entry_limit),
		FULL(test_gap_5_suspend),
		FULL(test_gap_5_dma_waits),
		FULL(test_gap_5_dma_wait_unmap),
		cmocka_unit_test(test_gap_5_no_dma_wait),
		FULL(test_gap_5_nobody_joins),
		cmocka_unit_test(test_gap_5_resume_moves_the_charge),
		FULL(test_gap_5_held_memory_moves),
		FULL(test_gap_6_dirty),
		FULL(test_gap_6_dirty_devices),
		FULL(test_gap_7_errnos),
		FULL(test_gap_7_info),
		LINUX(test_gap_9_accounting),
		FULL(test_gap_9_accounting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
