/* SPDX-License-Identifier: MIT */
/*
 * The type1 container. Cases that carry a number were seen on Linux 7.2; the
 * number is that of the list they were recorded in.
 */
#include "iommu/ledger.h"
#include "iommu/type1.h"
#include "memory/guard.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <cmocka.h>

#define PAGE 4096u
#define R VIA_VFIO_DMA_MAP_FLAG_READ
#define W VIA_VFIO_DMA_MAP_FLAG_WRITE
#define VADDR VIA_VFIO_DMA_MAP_FLAG_VADDR
#define UNMAP_ALL VIA_VFIO_DMA_UNMAP_FLAG_ALL
#define UNMAP_VADDR VIA_VFIO_DMA_UNMAP_FLAG_VADDR
#define UNMAP_DIRTY VIA_VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP
#define UNTOUCHED 0x5a5a5a5a5a5a5a5au

/* A program like ourselves, with a ledger of its own. */
struct program {
	struct via_mm mm;
	struct via_mm *self;
};

static int prog_readv(struct via_mm *mm, const struct iovec *l, size_t nl, const struct iovec *r,
		      size_t nr)
{
	struct via_mm *self = ((struct program *)mm)->self;

	return self->ops->readv(self, l, nl, r, nr);
}

static int prog_writev(struct via_mm *mm, const struct iovec *l, size_t nl, const struct iovec *r,
		       size_t nr)
{
	struct via_mm *self = ((struct program *)mm)->self;

	return self->ops->writev(self, l, nl, r, nr);
}

static int prog_probe(struct via_mm *mm, uint64_t addr, uint64_t len, unsigned int prot)
{
	struct via_mm *self = ((struct program *)mm)->self;

	return self->ops->probe(self, addr, len, prot);
}

static int prog_backing(struct via_mm *mm, uint64_t addr, uint64_t len, unsigned int prot,
			struct via_backing *ret)
{
	*ret = (struct via_backing){ .fd = -1, .len = len };
	return 0;
}

static void prog_free(struct via_mm *mm)
{
	via_mm_put(((struct program *)mm)->self);
	free(mm);
}

static const struct via_mm_ops prog_ops = { prog_readv, prog_writev, prog_probe, prog_backing,
					    prog_free };

static struct via_mm *program(void)
{
	struct program *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	p->self = via_mm_self();
	p->mm = (struct via_mm){ .ops = &prog_ops, .refs = 1, .memlock_limit = UINT64_MAX };
	return &p->mm;
}

static uint8_t *mem;
static struct via_mm *mm;
static struct via_type1 *t;
static struct via_iommu_props props;

static void start(unsigned int version, uint32_t limit, bool enforce)
{
	props = *via_iommu_props_intel();
	props.entry_limit = limit;
	mm = program();
	assert_int_equal(via_type1_new(&props, version, enforce, &t), 0);
}

static void finish(void)
{
	via_type1_free(t);
	assert_int_equal(via_ledger_pages(mm), 0);
	assert_int_equal(mm->refs, 1);
	via_mm_put(mm);
}

static void start_v2(void)
{
	start(VIA_VFIO_TYPE1v2_IOMMU, 65535, true);
}

static int map_at(struct via_mm *by, uint64_t vaddr, uint64_t iova, uint64_t size, uint32_t flags)
{
	struct via_vfio_iommu_type1_dma_map m = { sizeof(m), flags, vaddr, iova, size };

	return via_type1_map(t, by, &m);
}

static int map(uint64_t iova, uint64_t size)
{
	return map_at(mm, (uintptr_t)mem, iova, size, R | W);
}

static uint64_t unmapped;

static int unmap_flags(uint64_t iova, uint64_t size, uint32_t flags,
		       const struct via_vfio_bitmap *bitmap)
{
	struct via_vfio_iommu_type1_dma_unmap u = { sizeof(u), flags, iova, size };

	unmapped = UNTOUCHED;
	return via_type1_unmap(t, mm, &u, bitmap, &unmapped);
}

static int unmap(uint64_t iova, uint64_t size)
{
	return unmap_flags(iova, size, 0, NULL);
}

static unsigned int available(void)
{
	uint8_t caps[256];
	struct via_vfio_iommu_type1_info_dma_avail avail;

	assert_true(via_type1_info_caps(t, caps, sizeof(caps)) <= sizeof(caps));
	memcpy(&avail, caps + sizeof(struct via_vfio_iommu_type1_info_cap_migration),
	       sizeof(avail));
	assert_int_equal(avail.header.id, VIA_VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL);
	return avail.avail;
}

static void test_107_versions(void **state)
{
	struct via_type1 *other;

	props = *via_iommu_props_intel();
	assert_int_equal(via_type1_new(&props, VIA_VFIO_UNMAP_ALL, true, &other), -EINVAL);
	assert_int_equal(via_type1_new(&props, VIA_VFIO_TYPE1_NESTING_IOMMU, true, &other),
			 -EINVAL);
}

static void test_108_extensions(void **state)
{
	start_v2();
	assert_int_equal(via_type1_check_extension(NULL, VIA_VFIO_UPDATE_VADDR), 0);
	assert_int_equal(via_type1_check_extension(t, VIA_VFIO_UPDATE_VADDR), 1);
	for (uint64_t x = 0; x < 12; x++)
		assert_int_equal(via_type1_check_extension(NULL, x), x == 1 || x == 3 || x == 9);
	assert_int_equal(via_type1_check_extension(t, VIA_VFIO_DMA_CC_IOMMU), 0);
	assert_int_equal(via_type1_check_extension(t, (uint64_t)1 << 32 | 1), 0);
	finish();
}

static void test_109_v1_has_no_dirty_pages(void **state)
{
	start(VIA_VFIO_TYPE1_IOMMU, 10, true);
	assert_int_equal(via_type1_dirty_allowed(t), -EACCES);
	assert_int_equal(via_type1_dirty(t, mm, 0, NULL), -EACCES);
	finish();
	start_v2();
	assert_int_equal(via_type1_dirty_allowed(t), 0);
	finish();
}

static void test_110_map_arguments(void **state)
{
	uint64_t va = (uintptr_t)mem;

	start_v2();
	assert_int_equal(map_at(mm, va, 0, PAGE, 8 | R), -EINVAL);
	assert_int_equal(map_at(mm, va, 0, PAGE, 0), -EINVAL);
	assert_int_equal(map_at(mm, va, 0, PAGE, VADDR | R), -EINVAL);
	assert_int_equal(map_at(mm, va, 0, 0, R), -EINVAL);
	assert_int_equal(map_at(mm, va + 1, 0, PAGE, R), -EINVAL);
	assert_int_equal(map_at(mm, va, 0x800, PAGE, R), -EINVAL);
	assert_int_equal(map_at(mm, va, 0, PAGE + 1, R), -EINVAL);
	assert_int_equal(map_at(mm, 0, 0, PAGE, R), -EFAULT);
	assert_int_equal(map_at(mm, va, 0, PAGE, W), 0);
	finish();
}

static void test_111_overflow(void **state)
{
	start_v2();
	assert_int_equal(map(UINT64_MAX - 0xfff, 0x2000), -EOVERFLOW);
	assert_int_equal(map(UINT64_MAX - 0xff, 0x2000), -EOVERFLOW);
	assert_int_equal(map_at(mm, UINT64_MAX - 0xfff, 0, 0x2000, R), -EOVERFLOW);
	/* Overflow is looked at before the flags' meaning. */
	assert_int_equal(map_at(mm, 0, UINT64_MAX, 0x2000, 0), -EOVERFLOW);
	finish();
}

static void test_112_order_of_map_checks(void **state)
{
	start(VIA_VFIO_TYPE1v2_IOMMU, 1, true);
	assert_int_equal(map(0xfedff000, PAGE), 0);
	assert_int_equal(map(0xfedff000, PAGE), -EEXIST);
	assert_int_equal(map(0xfedff000, 2 * PAGE), -EEXIST);
	assert_int_equal(map(0xfee00000, PAGE), -ENOSPC);
	finish();
	start_v2();
	assert_int_equal(map_at(mm, 0, 0xfee00000, PAGE, R), -EINVAL);
	assert_int_equal(map((uint64_t)1 << 48, PAGE), -EINVAL);
	finish();
}

static void test_113_entry_limit(void **state)
{
	start(VIA_VFIO_TYPE1v2_IOMMU, 2, true);
	assert_int_equal(available(), 2);
	assert_int_equal(map_at(mm, 0, 0, PAGE, R), -EFAULT);
	assert_int_equal(available(), 2);
	assert_int_equal(map(0, PAGE), 0);
	assert_int_equal(map(PAGE, PAGE), 0);
	assert_int_equal(map(2 * PAGE, PAGE), -ENOSPC);
	assert_int_equal(unmap(0, PAGE), 0);
	assert_int_equal(available(), 1);
	assert_int_equal(map(2 * PAGE, PAGE), 0);
	finish();
}

static void test_114_115_v1_unmap(void **state)
{
	start(VIA_VFIO_TYPE1_IOMMU, 65535, true);
	assert_int_equal(map(0, 0x4000), 0);
	assert_int_equal(unmap(0x1000, 0x1000), 0);
	assert_int_equal(unmapped, 0);
	assert_int_equal(unmap(0, 0x1000), 0);
	assert_int_equal(unmapped, 0x4000);
	assert_int_equal(map(0, 0x4000), 0);
	assert_int_equal(map(0x4000, 0x1000), 0);
	assert_int_equal(unmap(0x1000, 0x4000), 0);
	assert_int_equal(unmapped, 0);
	assert_int_equal(map(0, 0x1000), -EEXIST);
	assert_int_equal(map(0x4000, 0x1000), -EEXIST);
	finish();
}

static void test_116_v2_does_not_cut(void **state)
{
	start_v2();
	assert_int_equal(map(0, 0x4000), 0);
	assert_int_equal(unmap(0x1000, 0x1000), -EINVAL);
	assert_int_equal(unmap(0, 0x1000), -EINVAL);
	assert_int_equal(map(0x4000, 0x1000), 0);
	assert_int_equal(unmap(0x1000, 0x4000), -EINVAL);
	assert_int_equal(map(0, 0x1000), -EEXIST);
	assert_int_equal(map(0x4000, 0x1000), -EEXIST);
	finish();
}

static void test_117_v2_range_with_holes(void **state)
{
	start_v2();
	assert_int_equal(map(0, 0x1000), 0);
	assert_int_equal(map(0x2000, 0x1000), 0);
	assert_int_equal(unmap(0, 0x10000), 0);
	assert_int_equal(unmapped, 0x2000);
	assert_int_equal(unmap(0, 0x10000), 0);
	assert_int_equal(unmapped, 0);
	finish();
}

static void test_118_unmap_all(void **state)
{
	struct via_vfio_bitmap bitmap = { PAGE, 8, (uintptr_t)mem };

	start_v2();
	assert_int_equal(unmap_flags(0x1000, 0, UNMAP_ALL, NULL), -EINVAL);
	assert_int_equal(unmap_flags(0, 0x1000, UNMAP_ALL, NULL), -EINVAL);
	assert_int_equal(unmap_flags(0, 0, UNMAP_ALL, NULL), 0);
	assert_int_equal(unmapped, 0);
	assert_int_equal(via_type1_unmap_flags(UNMAP_ALL | UNMAP_DIRTY), -EINVAL);
	assert_int_equal(unmap_flags(0, 0, UNMAP_ALL | UNMAP_DIRTY, &bitmap), -EINVAL);
	assert_int_equal(via_type1_unmap_flags(8), -EINVAL);
	finish();
	start(VIA_VFIO_TYPE1_IOMMU, 65535, true);
	assert_int_equal(map(0, 0x1000), 0);
	assert_int_equal(map(0xfffffffff000, 0x1000), 0);
	assert_int_equal(unmap_flags(0, 0, UNMAP_ALL, NULL), 0);
	assert_int_equal(unmapped, 0x2000);
	finish();
}

static void test_119_unmap_errors(void **state)
{
	start_v2();
	assert_int_equal(unmap(0x800, 0x1000), -EINVAL);
	assert_int_equal(unmapped, UNTOUCHED);
	assert_int_equal(unmap(0, 0), -EINVAL);
	assert_int_equal(unmap(0, 0x800), -EINVAL);
	assert_int_equal(unmap(0, UINT64_MAX), -EINVAL);
	assert_int_equal(unmap(UINT64_MAX - 0xfff, 0x2000), -EOVERFLOW);
	assert_int_equal(unmapped, UNTOUCHED);
	finish();
}

static void test_120_info(void **state)
{
	struct via_vfio_iommu_type1_info_cap_migration migration;
	struct via_vfio_iommu_type1_info_dma_avail avail;
	struct via_vfio_iommu_type1_info_cap_iova_range range;
	struct via_vfio_iova_range ranges[2];
	uint8_t caps[256];
	size_t need;

	start_v2();
	need = via_type1_info_caps(t, NULL, 0);
	assert_int_equal(need, 32 + 16 + 16 + 32);
	memset(caps, 0xee, sizeof(caps));
	assert_int_equal(via_type1_info_caps(t, caps, need - 1), need);
	assert_int_equal(caps[0], 0xee);
	assert_int_equal(via_type1_info_caps(t, caps, need), need);
	assert_int_equal(caps[need], 0xee);
	memcpy(&migration, caps, sizeof(migration));
	assert_int_equal(migration.header.id, 2);
	assert_int_equal(migration.header.version, 1);
	assert_int_equal(migration.header.next, 56);
	assert_int_equal(migration.flags, 0);
	assert_int_equal(migration.pgsize_bitmap, PAGE);
	assert_int_equal(migration.max_dirty_bitmap_size, 0x10000000);
	memcpy(&avail, caps + 32, sizeof(avail));
	assert_int_equal(avail.header.id, 3);
	assert_int_equal(avail.header.next, 72);
	assert_int_equal(avail.avail, 65535);
	memcpy(&range, caps + 48, sizeof(range));
	assert_int_equal(range.header.id, 1);
	assert_int_equal(range.header.next, 0);
	assert_int_equal(range.nr_iovas, 2);
	memcpy(ranges, caps + 64, sizeof(ranges));
	assert_int_equal(ranges[0].start, 0);
	assert_int_equal(ranges[0].end, 0xfedfffff);
	assert_int_equal(ranges[1].start, 0xfef00000);
	assert_int_equal(ranges[1].end, 0xffffffffffff);
	assert_int_equal(via_type1_pgsizes(t), 0x40201000);
	finish();
}

static void test_123_container_dies(void **state)
{
	struct via_dma *dma;
	uint8_t byte;

	start_v2();
	assert_int_equal(via_dma_new("device", &dma), 0);
	via_dma_enable(dma, true);
	assert_int_equal(via_dma_attach(dma, via_type1_ioas(t)), 0);
	assert_int_equal(map(0, 4 * PAGE), 0);
	assert_int_equal(via_dma_read(dma, 0x100, &byte, 1), 0);
	assert_int_equal(via_ledger_pages(mm), 4);
	via_type1_free(t);
	assert_int_equal(via_ledger_pages(mm), 0);
	assert_int_equal(via_dma_read(dma, 0x100, &byte, 1), -EFAULT);
	via_dma_free(dma);
	assert_int_equal(via_type1_new(&props, VIA_VFIO_TYPE1v2_IOMMU, true, &t), 0);
	assert_int_equal(available(), 65535);
	finish();
}

/* Dirty pages. */

static uint64_t words[64];

static int dirty_get(uint64_t iova, uint64_t size, uint64_t pgsize, uint64_t bytes)
{
	struct via_vfio_iommu_type1_dirty_bitmap_get get = {
		iova, size, { pgsize, bytes, (uintptr_t)words }
	};

	return via_type1_dirty(t, mm, VIA_VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP, &get);
}

static int dirty(uint32_t flags)
{
	return via_type1_dirty(t, mm, flags, NULL);
}

static void test_127_128_dirty_arguments(void **state)
{
	start_v2();
	assert_int_equal(map(0, 0x2000), 0);
	assert_int_equal(dirty_get(0, 0x2000, PAGE, 8), -EINVAL); /* off */
	assert_int_equal(dirty(1), 0);
	assert_int_equal(dirty(1), 0);
	assert_int_equal(dirty(3), -EINVAL);
	assert_int_equal(dirty(0), -EINVAL);
	assert_int_equal(dirty(8), -EINVAL);
	assert_int_equal(dirty_get(0, 0x2000, PAGE, 8), 0);
	assert_int_equal(dirty_get(0, 0x2000, 8192, 8), -EINVAL);
	assert_int_equal(dirty_get(0, 0x2000, 0, 8), -EINVAL);
	assert_int_equal(dirty_get(0, 0x2000, PAGE, 7), -EINVAL);
	assert_int_equal(dirty_get(0, 0x2000, PAGE, 0x10000008), -EINVAL);
	assert_int_equal(dirty_get(0, 0x1000, PAGE, 8), -EINVAL);
	assert_int_equal(dirty_get(0x1000, 0x1000, PAGE, 8), -EINVAL);
	assert_int_equal(dirty_get(0, 0, PAGE, 8), -EINVAL);
	assert_int_equal(dirty_get(UINT64_MAX - 0xfff, 0x2000, PAGE, 8), -EOVERFLOW);
	assert_int_equal(dirty_get(0, 65 * PAGE, PAGE, 8), -EINVAL);
	assert_int_equal(dirty_get(0x4000, 0x2000, PAGE, 8), 0); /* a hole */
	assert_int_equal(dirty(2), 0);
	assert_int_equal(dirty(2), 0);
	assert_int_equal(dirty_get(0, 0x2000, PAGE, 8), -EINVAL);
	finish();
}

static int any_probe(struct via_mm *by, uint64_t addr, uint64_t len, unsigned int prot)
{
	return 0;
}

/* A mapping of 2^31 pages has no bitmap: not to be had with tracking, nor tracking with it. */
static void test_dirty_limit_of_pages(void **state)
{
	struct via_mm_ops ops = prog_ops;
	const uint64_t most = (uint64_t)INT32_MAX * PAGE, first = (uint64_t)1 << 32;

	ops.probe = any_probe;
	start(VIA_VFIO_TYPE1v2_IOMMU, 65535, false);
	mm->ops = &ops;
	assert_int_equal(dirty(1), 0);
	assert_int_equal(map(first, most + PAGE), -EINVAL);
	assert_int_equal(available(), 65535);
	assert_int_equal(map(first, most), 0);
	assert_int_equal(dirty(2), 0);
	assert_int_equal(dirty(1), 0);
	assert_int_equal(dirty(2), 0);
	assert_int_equal(unmap(first, most), 0);
	assert_int_equal(map(first, most + PAGE), 0);
	assert_int_equal(dirty(1), -EINVAL);
	assert_int_equal(dirty_get(0, PAGE, PAGE, 8), -EINVAL);
	assert_int_equal(unmap(first, most + PAGE), 0);
	assert_int_equal(dirty(1), 0);
	finish();
}

static void test_129_132_dirty_words(void **state)
{
	start_v2();
	assert_int_equal(dirty(1), 0);
	assert_int_equal(map(0, 0x1000), 0);
	assert_int_equal(map(0x3000, 0x1000), 0);
	assert_int_equal(map(60 * PAGE, 70 * PAGE), 0);
	for (int round = 0; round < 3; round++) {
		memset(words, 0, sizeof(words));
		assert_int_equal(dirty_get(0, 200 * PAGE, PAGE, 32), 0);
		assert_int_equal(words[0], 0xf000000000000009);
		assert_int_equal(words[1], UINT64_MAX);
		assert_int_equal(words[2], 3);
		assert_int_equal(words[3], 0);
	}
	/* From a word's start all of it is written; else the first word is added to. */
	words[0] = UINT64_MAX;
	assert_int_equal(dirty_get(0, 0x1000, PAGE, 8), 0);
	assert_int_equal(words[0], 1);
	words[0] = 0x100;
	assert_int_equal(dirty_get(0x2000, 0x2000, PAGE, 8), 0);
	assert_int_equal(words[0], 0x102);
	words[0] = UINT64_MAX;
	assert_int_equal(dirty_get(0x4000, 0x4000, PAGE, 8), 0);
	assert_int_equal(words[0], UINT64_MAX);
	/* A mapping that ends with its word. */
	words[0] = words[1] = 0;
	assert_int_equal(map(256 * PAGE, 64 * PAGE), 0);
	assert_int_equal(dirty_get(256 * PAGE, 65 * PAGE, PAGE, 16), 0);
	assert_int_equal(words[0], UINT64_MAX);
	assert_int_equal(words[1], 0);
	finish();
}

static void test_133_unmap_with_dirty(void **state)
{
	struct via_vfio_bitmap bitmap = { PAGE, 8, (uintptr_t)words };

	start_v2();
	assert_int_equal(map(0x1000, 0x2000), 0);
	assert_int_equal(map(0x5000, 0x1000), 0);
	assert_int_equal(unmap_flags(0, 0x8000, UNMAP_DIRTY, &bitmap), -EINVAL);
	assert_int_equal(dirty(1), 0);
	bitmap.pgsize = 8192;
	assert_int_equal(unmap_flags(0, 0x8000, UNMAP_DIRTY, &bitmap), -EINVAL);
	bitmap.pgsize = PAGE;
	memset(words, 0, sizeof(words));
	assert_int_equal(unmap_flags(0, 0x8000, UNMAP_DIRTY, &bitmap), 0);
	assert_int_equal(unmapped, 0x3000);
	assert_int_equal(words[0], 0x26);
	assert_int_equal(available(), 65535);
	finish();
}

static void test_dirty_bad_pointer(void **state)
{
	uint8_t *guard = mem + 15 * PAGE;
	struct via_vfio_bitmap bitmap = { PAGE, 16, (uintptr_t)guard - 8 };

	assert_int_equal(via_guard_install(), 0);
	start_v2();
	assert_int_equal(dirty(1), 0);
	assert_int_equal(map(0, 0x1000), 0);
	assert_int_equal(map(64 * PAGE, 0x1000), 0);
	assert_int_equal(mprotect(guard, PAGE, PROT_NONE), 0);
	/* The first mapping is reported and gone, the second stays. */
	assert_int_equal(unmap_flags(0, 65 * PAGE, UNMAP_DIRTY, &bitmap), -EFAULT);
	assert_int_equal(unmapped, UNTOUCHED);
	assert_int_equal(mprotect(guard, PAGE, PROT_READ | PROT_WRITE), 0);
	assert_int_equal(available(), 65534);
	assert_int_equal(map(0, 0x1000), 0);
	assert_int_equal(map(64 * PAGE, 0x1000), -EEXIST);
	bitmap.data = ((uint64_t)1 << 56) - 4096 - 8;
	assert_int_equal(unmap_flags(0, 0x1000, UNMAP_DIRTY, &bitmap), -EINVAL);
	bitmap.data = UINT64_MAX - 4;
	assert_int_equal(unmap_flags(0, 0x1000, UNMAP_DIRTY, &bitmap), -EINVAL);
	finish();
}

/* Suspended addresses. */

static void test_141_suspend(void **state)
{
	start_v2();
	assert_int_equal(map(0, 0x1000), 0);
	assert_int_equal(map(0x1000, 0x1000), 0);
	assert_int_equal(unmap_flags(0, 0x1000, UNMAP_VADDR, NULL), 0);
	assert_int_equal(unmapped, 0x1000);
	assert_int_equal(unmap_flags(0, 0, UNMAP_VADDR | UNMAP_ALL, NULL), -EINVAL);
	assert_int_equal(map_at(mm, (uintptr_t)mem, 0x1000, 0x1000, VADDR), -EINVAL);
	assert_int_equal(map_at(mm, (uintptr_t)mem, 0, 0x1000, VADDR), 0);
	assert_int_equal(unmap_flags(0, 0, UNMAP_VADDR | UNMAP_ALL, NULL), 0);
	assert_int_equal(unmapped, 0x2000);
	finish();
}

static void test_142_143_resume(void **state)
{
	uint64_t va = (uintptr_t)mem;
	struct via_dma *dma;
	char buf[4];

	start_v2();
	assert_int_equal(via_dma_new("device", &dma), 0);
	via_dma_enable(dma, true);
	assert_int_equal(via_dma_attach(dma, via_type1_ioas(t)), 0);
	assert_int_equal(map(0, 0x2000), 0);
	assert_int_equal(unmap_flags(0, 0x2000, UNMAP_VADDR, NULL), 0);
	assert_int_equal(via_type1_attach_allowed(t), -EBUSY);
	memcpy(mem, "old", 4);
	memcpy(mem + 4 * PAGE, "new", 4);
	assert_int_equal(via_dma_read(dma, 0, buf, 4), 0);
	assert_string_equal(buf, "old");
	assert_int_equal(map_at(mm, va, 0, 0x1000, VADDR), -EINVAL);
	assert_int_equal(map_at(mm, va, 0x4000, 0x1000, VADDR), -ENOENT);
	assert_int_equal(map(0x4000, 0x1000), 0);
	assert_int_equal(map_at(mm, va, 0x4000, 0x1000, VADDR), -EINVAL);
	assert_int_equal(map_at(mm, va + 4 * PAGE, 0, 0x2000, VADDR), 0);
	assert_int_equal(via_type1_attach_allowed(t), 0);
	assert_int_equal(via_dma_read(dma, 0, buf, 4), 0);
	assert_string_equal(buf, "new");
	/* An address where nothing is: accepted, found by the first access. */
	assert_int_equal(unmap_flags(0, 0x2000, UNMAP_VADDR, NULL), 0);
	assert_int_equal(via_guard_install(), 0);
	assert_int_equal(map_at(mm, 0, 0, 0x2000, VADDR), 0);
	assert_int_equal(via_dma_read(dma, 0, buf, 4), -EFAULT);
	assert_int_equal(unmap_flags(0, 0x2000, UNMAP_VADDR, NULL), 0);
	assert_int_equal(unmap(0, 0x2000), 0);
	assert_int_equal(via_type1_attach_allowed(t), 0);
	via_dma_free(dma);
	finish();
}

static void test_145_suspend_takes_no_slot(void **state)
{
	start(VIA_VFIO_TYPE1v2_IOMMU, 1, true);
	assert_int_equal(map(0, 0x1000), 0);
	assert_int_equal(unmap_flags(0, 0x1000, UNMAP_VADDR, NULL), 0);
	assert_int_equal(map_at(mm, (uintptr_t)mem, 0, 0x1000, VADDR), 0);
	assert_int_equal(available(), 0);
	finish();
}

static void test_146_resume_moves_the_charge(void **state)
{
	struct via_mm *child = program();

	start_v2();
	child->memlock_limit = 3 * PAGE;
	assert_int_equal(map(0, 4 * PAGE), 0);
	assert_int_equal(unmap_flags(0, 4 * PAGE, UNMAP_VADDR, NULL), 0);
	assert_int_equal(map_at(child, (uintptr_t)mem, 0, 4 * PAGE, VADDR), -ENOMEM);
	assert_int_equal(via_ledger_pages(mm), 4);
	child->memlock_limit = 4 * PAGE;
	assert_int_equal(map_at(child, (uintptr_t)mem, 0, 4 * PAGE, VADDR), 0);
	assert_int_equal(via_ledger_pages(mm), 0);
	assert_int_equal(via_ledger_pages(child), 4);
	finish();
	assert_int_equal(via_ledger_pages(child), 0);
	assert_int_equal(child->refs, 1);
	via_mm_put(child);
}

/* Locked memory. */

static void test_ledger_enforced(void **state)
{
	start_v2();
	mm->memlock_limit = 8 * PAGE + 100;
	assert_int_equal(map(0, 5 * PAGE), 0);
	assert_int_equal(map(0x10000, 4 * PAGE), -ENOMEM);
	assert_int_equal(map(0x10000, 3 * PAGE), 0); /* the same memory counts again */
	assert_int_equal(via_ledger_pages(mm), 8);
	assert_int_equal(via_ledger_room(mm), 0);
	assert_int_equal(map(0x20000, PAGE), -ENOMEM);
	assert_int_equal(map_at(mm, 0, 0x20000, PAGE, R), -EFAULT); /* seen before the limit is */
	assert_int_equal(available(), 65533);
	mm->cap_ipc_lock = true;
	assert_int_equal(map(0x20000, PAGE), 0);
	assert_int_equal(via_ledger_pages(mm), 9);
	assert_int_equal(unmap(0, 5 * PAGE), 0);
	assert_int_equal(via_ledger_pages(mm), 4);
	finish();
}

static unsigned int n_logged;

static void on_log(void *cookie, enum via_log_level level, const char *text)
{
	n_logged += strstr(text, "RLIMIT_MEMLOCK") != NULL;
}

static void test_ledger_warns_once(void **state)
{
	via_log_set(on_log, NULL, VIA_LOG_WARNING);
	start(VIA_VFIO_TYPE1v2_IOMMU, 65535, false);
	mm->memlock_limit = 2 * PAGE;
	assert_int_equal(map(0, 2 * PAGE), 0);
	assert_int_equal(n_logged, 0);
	assert_int_equal(map(0x10000, PAGE), 0);
	assert_int_equal(map(0x20000, PAGE), 0);
	assert_int_equal(n_logged, 1);
	assert_int_equal(via_ledger_pages(mm), 4);
	finish();
	via_log_set(NULL, NULL, VIA_LOG_WARNING);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_107_versions),
		cmocka_unit_test(test_108_extensions),
		cmocka_unit_test(test_109_v1_has_no_dirty_pages),
		cmocka_unit_test(test_110_map_arguments),
		cmocka_unit_test(test_111_overflow),
		cmocka_unit_test(test_112_order_of_map_checks),
		cmocka_unit_test(test_113_entry_limit),
		cmocka_unit_test(test_114_115_v1_unmap),
		cmocka_unit_test(test_116_v2_does_not_cut),
		cmocka_unit_test(test_117_v2_range_with_holes),
		cmocka_unit_test(test_118_unmap_all),
		cmocka_unit_test(test_119_unmap_errors),
		cmocka_unit_test(test_120_info),
		cmocka_unit_test(test_123_container_dies),
		cmocka_unit_test(test_127_128_dirty_arguments),
		cmocka_unit_test(test_dirty_limit_of_pages),
		cmocka_unit_test(test_129_132_dirty_words),
		cmocka_unit_test(test_133_unmap_with_dirty),
		cmocka_unit_test(test_dirty_bad_pointer),
		cmocka_unit_test(test_141_suspend),
		cmocka_unit_test(test_142_143_resume),
		cmocka_unit_test(test_145_suspend_takes_no_slot),
		cmocka_unit_test(test_146_resume_moves_the_charge),
		cmocka_unit_test(test_ledger_enforced),
		cmocka_unit_test(test_ledger_warns_once),
	};

	mem = mmap(NULL, 256 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mem == MAP_FAILED)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
