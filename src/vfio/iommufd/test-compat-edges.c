/* SPDX-License-Identifier: MIT */
/*
 * A container that is an iommufd, where ranges meet by one byte: mappings of a program's that
 * begin or end within a page, which only the commands of iommufd make.
 */
#include "iommu/access.h"
#include "vfio/iommufd/test-iommufd-mock.h"

#define RWD (VIA_VFIO_DMA_MAP_FLAG_READ | VIA_VFIO_DMA_MAP_FLAG_WRITE)
#define GET_DIRTY VIA_VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP
#define START VIA_VFIO_IOMMU_DIRTY_PAGES_FLAG_START
#define TOP (-(uint64_t)PAGE)

/* The compat IOAS. */
static uint32_t join(struct bench *b)
{
	uint32_t id = 0;

	assert_int_equal(via_iommufd_container_join(b->iommufd, false), 0);
	assert_int_equal(via_iommufd_compat_id(b->iommufd, &id), 0);
	return id;
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

static long unmap_dma(struct bench *b, uint32_t flags, uint64_t iova, uint64_t size)
{
	struct via_vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap), .flags = flags, .iova = iova, .size = size};

	return ioc(b, VIA_VFIO_IOMMU_UNMAP_DMA, &unmap);
}

static long dirty(struct bench *b, uint32_t flags)
{
	struct via_vfio_iommu_type1_dirty_bitmap head = {sizeof(head), flags};

	return ioc(b, VIA_VFIO_IOMMU_DIRTY_PAGES, &head);
}

static long get_dirty(struct bench *b, uint64_t iova, uint64_t size, uint64_t *word)
{
	struct {
		struct via_vfio_iommu_type1_dirty_bitmap head;
		struct via_vfio_iommu_type1_dirty_bitmap_get get;
	} get = {
		.head = {sizeof(get), VIA_VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP},
		.get = {iova, size, {PAGE, sizeof(*word), addr(word)}},
	};

	return ioc(b, VIA_VFIO_IOMMU_DIRTY_PAGES, &get);
}

/* One byte in the way, the last of the page. */
static void test_last_byte_is_taken(void **state)
{
	const struct via_vfio_config config = {.dma_entry_limit = 1};
	struct bench *b = bench_new(&config);
	const uint32_t id = join(b);

	assert_int_equal(map_at(b, id, F, addr(b->memory), 1, LOW + PAGE - 1), 0);
	assert_int_equal(map_dma(b, RWD, addr(b->memory), LOW, PAGE), -EEXIST);
	assert_int_equal(map_dma(b, RWD, addr(b->memory), LOW + PAGE, PAGE), -ENOSPC);
	bench_free(b);
}

static void test_dirty_pages_of_a_byte(void **state)
{
	struct bench *b = *state;
	const uint32_t id = join(b);
	uint64_t word = MAX;

	assert_int_equal(dirty(b, START), 0);
	assert_int_equal(map_at(b, id, F, addr(b->memory), 1, LOW + PAGE - 1), 0);
	assert_int_equal(get_dirty(b, LOW, PAGE, &word), 0);
	assert_int_equal(word, 0);
	assert_int_equal(unmap(b, id, LOW + PAGE - 1, 1), 0);
	/* Its second byte sticks out. */
	assert_int_equal(map_at(b, id, F, addr(b->memory), 2, LOW + PAGE - 1), 0);
	assert_int_equal(get_dirty(b, LOW, PAGE, &word), -EINVAL);
	assert_int_equal(get_dirty(b, LOW, 2 * PAGE, &word), 0);
}

/* As many mappings as the list of them has room for at first, all before what is still to come. */
static void test_dirty_pages_of_16(void **state)
{
	static uint64_t words[1024];
	struct bench *b = *state;
	struct {
		struct via_vfio_iommu_type1_dirty_bitmap head;
		struct via_vfio_iommu_type1_dirty_bitmap_get get;
	} get = {
		.head = {sizeof(get), VIA_VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP},
		.get = {LOW, sizeof(words) * 8 * PAGE, {PAGE, sizeof(words), addr(words)}},
	};

	memset(words, 0xff, sizeof(words));
	join(b);
	assert_int_equal(dirty(b, START), 0);
	for (unsigned int i = 0; i < 16; i++)
		assert_int_equal(map_dma(b, RWD, addr(b->memory), LOW + i * PAGE, PAGE), 0);
	assert_int_equal(ioc(b, VIA_VFIO_IOMMU_DIRTY_PAGES, &get), 0);
	assert_int_equal(words[0], 0);
	for (size_t i = 1; i < 1024; i++)
		assert_true(words[i] == MAX);
}

static void test_dirty_pages_at_the_top(void **state)
{
	struct bench *b = *state;
	uint64_t word = MAX;

	join(b);
	assert_int_equal(dirty(b, START), 0);
	assert_int_equal(map_dma(b, RWD, addr(b->memory), TOP, PAGE), 0);
	assert_int_equal(get_dirty(b, TOP, PAGE, &word), 0);
	assert_int_equal(word, 0);
	assert_int_equal(get_dirty(b, TOP, 2 * PAGE, &word), -EOVERFLOW);
}

/* A dma-buf of two pages, mapped from an offset on. */
static void map_region(struct bench *b, uint32_t id, uint64_t iova, uint64_t start, uint64_t length)
{
	struct via_iommu_test_cmd cmd = {.dmabuf_get = {2 * PAGE, O_CLOEXEC}};
	const long fd = test_cmd(b, &cmd, VIA_IOMMU_TEST_DMABUF_GET, 0);

	assert_true(fd >= 0);
	assert_int_equal(map_file(b, id, F, (int)fd, start, length, &iova), 0);
}

/* What cannot be cut does not stand in the way where it ends. */
static void test_cut_beside_a_region(void **state)
{
	struct bench *b = *state;
	const uint32_t id = join(b);

	assert_int_equal(set_iommu(b, 1), 0);
	map_region(b, id, LOW + 2 * PAGE, 0, PAGE);
	assert_int_equal(map_dma(b, RWD, addr(b->memory), LOW, 2 * PAGE), 0);
	assert_int_equal(unmap_dma(b, 0, LOW + PAGE, 2 * PAGE), 0);
	assert_int_equal(unmap_dma(b, 0, LOW, PAGE), 0);
}

/* What is in the way is looked for before what is reserved; arguments before both. */
static void test_order_of_checks(void **state)
{
	struct bench *b = *state;
	const uint32_t id = join(b);
	struct {
		struct via_vfio_iommu_type1_dma_unmap unmap;
		struct via_vfio_bitmap bitmap;
	} u = {
		.unmap = {sizeof(u) - 1, GET_DIRTY, TOP, 2 * PAGE},
	};

	assert_true(attach(b, 0, id) > 0);
	assert_int_equal(map_dma(b, RWD, addr(b->memory), LOW - PAGE, 2 * PAGE), -EINVAL);
	assert_int_equal(map_dma(b, RWD, addr(b->memory), LOW, PAGE), 0);
	assert_int_equal(map_dma(b, RWD, addr(b->memory), LOW - PAGE, 2 * PAGE), -EEXIST);
	assert_int_equal(map_dma(b, RWD | 8, addr(b->memory), LOW + PAGE, PAGE), -EINVAL);
	assert_int_equal(map_dma(b, RWD, TOP, LOW + PAGE, 2 * PAGE), -EOVERFLOW);
	assert_int_equal(map_dma(b, RWD, addr(b->memory), TOP, 2 * PAGE), -EOVERFLOW);
	/* No room for the bitmap that it asks for, before the range. */
	assert_int_equal(ioc(b, VIA_VFIO_IOMMU_UNMAP_DMA, &u), -EINVAL);
	assert_int_equal(unmap_dma(b, 0, TOP, 2 * PAGE), -EOVERFLOW);
}

/* Of type 1 the kernel has no dirty pages. */
static void test_no_dirty_pages_of_type1(void **state)
{
	struct bench *b = *state;

	join(b);
	assert_int_equal(set_iommu(b, 1), 0);
	assert_int_equal(dirty(b, START), -EACCES);
}

/* Somebody who holds a page of the IOAS, and does something when he is asked for it. */
struct holder {
	struct via_access *access;
	struct bench *b;
	uint32_t id;
	bool lets_go;
};

static void asked(void *cookie, via_iova_t iova, uint64_t len)
{
	struct holder *holder = cookie;

	if (!holder->lets_go)
		return;
	holder->lets_go = false;
	assert_int_equal(via_access_unpin(holder->access, LOW, PAGE, 0), 0);
	assert_int_equal(
		map_at(holder->b, holder->id, F, addr(holder->b->memory), 2 * PAGE, LOW + PAGE), 0);
}

/* A page at LOW that is held. */
static void hold(struct bench *b, struct holder *holder)
{
	static const struct via_access_ops ops = {.unmap = asked};
	struct via_piece *pieces;
	size_t n;

	*holder = (struct holder){.b = b, .id = join(b)};
	assert_int_equal(map_dma(b, RWD, addr(b->memory), LOW, PAGE), 0);
	assert_int_equal(via_access_new(&ops, holder, &holder->access), 0);
	assert_int_equal(via_access_attach(holder->access, inside(b, holder->id)), 0);
	assert_int_equal(via_access_pin(holder->access, LOW, PAGE, 0, &pieces, &n), 0);
	via_pieces_free(pieces, n);
}

static void let_go(struct holder *holder)
{
	via_access_detach(holder->access);
	via_access_free(holder->access);
}

/* A mapping that comes meanwhile by a call of iommufd, and would have to be cut. */
static void test_mapped_while_it_is_unmapped(void **state)
{
	struct bench *b = *state;
	struct holder holder;

	hold(b, &holder);
	holder.lets_go = true;
	assert_int_equal(unmap_dma(b, 0, LOW, 2 * PAGE), -EINVAL);
	assert_int_equal(unmap(b, holder.id, LOW + PAGE, 2 * PAGE), 0);
	let_go(&holder);
}

/* The last writes cannot be told of what does not go. */
static void test_held_while_it_is_unmapped(void **state)
{
	struct bench *b = *state;
	uint64_t word = MAX;
	struct {
		struct via_vfio_iommu_type1_dma_unmap unmap;
		struct via_vfio_bitmap bitmap;
	} u = {
		.unmap = {sizeof(u), GET_DIRTY, LOW, PAGE},
		.bitmap = {PAGE, sizeof(word), addr(&word)},
	};
	struct holder holder;

	hold(b, &holder);
	assert_int_equal(dirty(b, START), 0);
	assert_int_equal(ioc(b, VIA_VFIO_IOMMU_UNMAP_DMA, &u), -EBUSY);
	assert_true(word == MAX);
	assert_int_equal(via_access_unpin(holder.access, LOW, PAGE, 0), 0);
	assert_int_equal(ioc(b, VIA_VFIO_IOMMU_UNMAP_DMA, &u), 0);
	assert_int_equal(word, 0);
	let_go(&holder);
}

/* A program that asks for something in the middle of a map of its own. */
static struct bench *mapping;
static int (*real_probe)(struct via_mm *mm, uint64_t at, uint64_t len, unsigned int prot);
static long suspended;

static int probe_and_suspend(struct via_mm *mm, uint64_t at, uint64_t len, unsigned int prot)
{
	if (at == addr(mapping->memory))
		suspended = unmap_dma(mapping, VIA_VFIO_DMA_UNMAP_FLAG_VADDR, LOW, PAGE);
	return real_probe(mm, at, len, prot);
}

static void test_suspended_while_it_is_mapped(void **state)
{
	struct bench *b = *state;
	struct via_mm *mm = b->tc.caller.mm;
	static struct via_mm_ops ops;
	static struct via_mm other;
	const uint32_t id = join(b);

	assert_true(attach(b, 0, id) > 0);
	ops = *mm->ops;
	real_probe = ops.probe;
	ops.probe = probe_and_suspend;
	other = (struct via_mm){.ops = &ops, .refs = 1, .memlock_limit = mm->memlock_limit};
	mapping = b;
	suspended = 0;
	b->tc.caller.mm = &other;
	assert_int_equal(map_at(b, id, F, addr(b->memory), PAGE, LOW), 0);
	assert_int_equal(suspended, -EINVAL);
	assert_int_equal(unmap(b, id, LOW, PAGE), 0);
	b->tc.caller.mm = mm;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_last_byte_is_taken),
		FULL(test_dirty_pages_of_a_byte),
		FULL(test_dirty_pages_of_16),
		FULL(test_dirty_pages_at_the_top),
		MOCK_FULL(test_cut_beside_a_region),
		FULL(test_order_of_checks),
		FULL(test_no_dirty_pages_of_type1),
		FULL(test_mapped_while_it_is_unmapped),
		FULL(test_held_while_it_is_unmapped),
		FULL(test_suspended_while_it_is_mapped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
