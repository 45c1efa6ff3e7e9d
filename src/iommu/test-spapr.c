/* SPDX-License-Identifier: MIT */
/*
 * The sPAPR TCE container. No kernel of this kind was at hand: numbers and errnos
 * are those of the written cases (spec iommu.md 7, cases 147 to 150).
 */
#include "iommu/dma.h"
#include "iommu/ledger.h"
#include "iommu/spapr.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <cmocka.h>

#define PAGE 4096u
#define R VIA_VFIO_DMA_MAP_FLAG_READ
#define W VIA_VFIO_DMA_MAP_FLAG_WRITE
#define WINDOW_2 (1ull << 59)

struct fixture {
	struct via_spapr *spapr;
	struct via_mm *mm;
	struct via_dma *dma;
	uint8_t *mem; /* 16 pages, page i full of i + 1 */
};

static void start(struct fixture *f, unsigned int version, bool exact)
{
	f->mm = via_mm_self();
	f->mm->memlock_limit = UINT64_MAX;
	assert_int_equal(via_spapr_new(via_spapr_props_powernv(), version, true, exact, &f->spapr), 0);
	assert_int_equal(via_dma_new("tce", &f->dma), 0);
	assert_int_equal(via_dma_attach(f->dma, via_spapr_ioas(f->spapr)), 0);
	via_dma_enable(f->dma, true);
	f->mem = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(f->mem, MAP_FAILED);
	for (unsigned int i = 0; i < 16; i++)
		memset(f->mem + i * PAGE, (int)i + 1, PAGE);
}

static void finish(struct fixture *f)
{
	via_dma_free(f->dma);
	via_spapr_free(f->spapr);
	assert_int_equal(via_ledger_pages(f->mm), 0);
	f->mm->memlock_limit = UINT64_MAX;
	via_mm_put(f->mm);
	assert_int_equal(munmap(f->mem, 16 * PAGE), 0);
}

static int map_flags(struct fixture *f, unsigned int page, uint64_t iova, uint64_t size,
		     uint32_t flags)
{
	struct via_vfio_iommu_type1_dma_map m = { sizeof(m), flags,
						  (uintptr_t)f->mem + page * PAGE, iova, size };

	return via_spapr_map(f->spapr, f->mm, &m);
}

static int map(struct fixture *f, unsigned int page, uint64_t iova, uint64_t size)
{
	return map_flags(f, page, iova, size, R | W);
}

static int unmap(struct fixture *f, uint64_t iova, uint64_t size, uint32_t flags)
{
	struct via_vfio_iommu_type1_dma_unmap u = { sizeof(u), flags, iova, size };

	return via_spapr_unmap(f->spapr, &u);
}

static int reg(struct fixture *f, unsigned int page, uint64_t size)
{
	struct via_vfio_iommu_spapr_register_memory r = { sizeof(r), 0,
							  (uintptr_t)f->mem + page * PAGE, size };

	return via_spapr_register(f->spapr, f->mm, &r);
}

static int unreg(struct fixture *f, unsigned int page, uint64_t size)
{
	struct via_vfio_iommu_spapr_register_memory r = { sizeof(r), 0,
							  (uintptr_t)f->mem + page * PAGE, size };

	return via_spapr_unregister(f->spapr, &r);
}

static int create(struct fixture *f, unsigned int shift, uint64_t size, uint32_t levels,
		  uint64_t *ret_start)
{
	struct via_vfio_iommu_spapr_tce_create c = { .argsz = sizeof(c), .page_shift = shift,
						     .window_size = size, .levels = levels };
	int rc = via_spapr_create(f->spapr, f->mm, &c);

	if (ret_start)
		*ret_start = c.start_addr;
	return rc;
}

static int remove_window(struct fixture *f, uint64_t start)
{
	struct via_vfio_iommu_spapr_tce_remove r = { sizeof(r), 0, start };

	return via_spapr_remove(f->spapr, f->mm, &r);
}

/* What the device reads at iova, or -1. */
static int sees(struct fixture *f, uint64_t iova)
{
	uint8_t byte;

	return via_dma_read(f->dma, iova, &byte, 1) ? -1 : byte;
}

static void test_versions(void **state)
{
	struct via_spapr *spapr;

	assert_int_equal(via_spapr_new(via_spapr_props_powernv(), VIA_VFIO_TYPE1_IOMMU, true, true,
				       &spapr), -EINVAL);
	assert_int_equal(via_spapr_check_extension(NULL, VIA_VFIO_SPAPR_TCE_IOMMU), 1);
	assert_int_equal(via_spapr_check_extension(NULL, VIA_VFIO_SPAPR_TCE_v2_IOMMU), 1);
	assert_int_equal(via_spapr_check_extension(NULL, VIA_VFIO_TYPE1_IOMMU), 0);
	assert_int_equal(via_spapr_check_extension(NULL, VIA_VFIO_EEH), 0);
}

static void test_v1_enable(void **state)
{
	struct fixture f;

	start(&f, VIA_VFIO_SPAPR_TCE_IOMMU, true);
	assert_int_equal(map(&f, 0, 0, PAGE), -EPERM);
	assert_int_equal(unmap(&f, 0, PAGE, 0), -EPERM);
	assert_int_equal(via_spapr_disable(f.spapr), 0);
	assert_int_equal(reg(&f, 0, PAGE), -ENOTTY);

	/* The whole window counts at once. */
	f.mm->memlock_limit = 0x80000000 - PAGE;
	assert_int_equal(via_spapr_enable(f.spapr, f.mm), -ENOMEM);
	f.mm->memlock_limit = 0x80000000;
	assert_int_equal(via_spapr_enable(f.spapr, f.mm), 0);
	assert_int_equal(via_ledger_pages(f.mm), 0x80000);
	assert_int_equal(via_spapr_enable(f.spapr, f.mm), -EBUSY);

	assert_int_equal(map(&f, 0, 0x10000, 2 * PAGE), 0);
	assert_int_equal(sees(&f, 0x10000), 1);
	assert_int_equal(sees(&f, 0x11000), 2);
	assert_int_equal(via_ledger_pages(f.mm), 0x80000);
	assert_int_equal(via_spapr_disable(f.spapr), 0);
	assert_int_equal(via_ledger_pages(f.mm), 0);
	assert_int_equal(map(&f, 0, 0, PAGE), -EPERM);
	finish(&f);
}

static void test_v1_bad_memory(void **state)
{
	struct fixture f;

	start(&f, VIA_VFIO_SPAPR_TCE_IOMMU, true);
	assert_int_equal(via_spapr_enable(f.spapr, f.mm), 0);
	assert_int_equal(map(&f, 3, 0, PAGE), 0);
	assert_int_equal(mprotect(f.mem + PAGE, PAGE, PROT_NONE), 0);
	assert_int_equal(map(&f, 0, 0, 2 * PAGE), -EFAULT);
	assert_int_equal(sees(&f, PAGE), -1);
	assert_int_equal(mprotect(f.mem + PAGE, PAGE, PROT_READ | PROT_WRITE), 0);
	finish(&f);
}

/* Each container has a ledger of its own for what is registered in it. */
static void test_two_containers_charge_twice(void **state)
{
	struct fixture f, other;

	start(&f, VIA_VFIO_SPAPR_TCE_v2_IOMMU, true);
	other = f;
	assert_int_equal(via_spapr_new(via_spapr_props_powernv(), VIA_VFIO_SPAPR_TCE_v2_IOMMU, true,
				       true, &other.spapr), 0);
	f.mm->memlock_limit = 15 * PAGE;
	assert_int_equal(reg(&f, 0, 8 * PAGE), 0);
	assert_int_equal(via_ledger_pages(f.mm), 8);
	assert_int_equal(reg(&other, 0, 8 * PAGE), -ENOMEM);
	f.mm->memlock_limit = 16 * PAGE;
	assert_int_equal(reg(&other, 0, 8 * PAGE), 0);
	assert_int_equal(via_ledger_pages(f.mm), 16);
	assert_int_equal(unreg(&f, 0, 8 * PAGE), 0);
	assert_int_equal(via_ledger_pages(f.mm), 8);
	via_spapr_free(other.spapr);
	finish(&f);
}

static void test_case_147_register(void **state)
{
	struct fixture f;

	start(&f, VIA_VFIO_SPAPR_TCE_v2_IOMMU, true);
	assert_int_equal(via_spapr_enable(f.spapr, f.mm), -ENOTTY);
	assert_int_equal(via_spapr_disable(f.spapr), -ENOTTY);
	assert_int_equal(unreg(&f, 0, PAGE), -EPERM);
	assert_int_equal(map(&f, 0, 0, PAGE), -EPERM);
	assert_int_equal(reg(&f, 0, 0), -EINVAL);
	assert_int_equal(reg(&f, 0, 100), -EINVAL);
	assert_int_equal(reg(&f, 0, 8 * PAGE), 0);
	assert_int_equal(via_ledger_pages(f.mm), 8);
	assert_int_equal(reg(&f, 0, 8 * PAGE), -EBUSY);
	assert_int_equal(reg(&f, 4, 8 * PAGE), -EINVAL);
	assert_int_equal(reg(&f, 7, PAGE), -EINVAL);
	assert_int_equal(reg(&f, 8, PAGE), 0);

	assert_int_equal(map(&f, 2, 0x1000, 2 * PAGE), 0);
	assert_int_equal(sees(&f, 0x1fff), 3);
	assert_int_equal(sees(&f, 0x2000), 4);
	/* Over two regions, and beyond them. */
	assert_int_equal(map(&f, 7, 0x8000, 2 * PAGE), -EINVAL);
	assert_int_equal(map(&f, 12, 0x8000, PAGE), -EINVAL);
	assert_int_equal(unreg(&f, 0, 8 * PAGE), -EBUSY);
	assert_int_equal(unreg(&f, 0, 4 * PAGE), -ENOENT);
	assert_int_equal(unmap(&f, 0x1000, PAGE, 0), 0);
	assert_int_equal(sees(&f, 0x1000), -1);
	assert_int_equal(sees(&f, 0x2000), 4);
	assert_int_equal(unreg(&f, 0, 8 * PAGE), -EBUSY);
	assert_int_equal(unmap(&f, 0x2000, PAGE, 0), 0);
	assert_int_equal(unreg(&f, 0, 8 * PAGE), 0);
	assert_int_equal(via_ledger_pages(f.mm) - 1, 2 * (0x80000 * 8 / PAGE));
	finish(&f);
}

/* Cuts of an entry's range, and what they do to the region's count. */
static void test_cuts_keep_count(void **state)
{
	struct fixture f;

	start(&f, VIA_VFIO_SPAPR_TCE_v2_IOMMU, true);
	assert_int_equal(reg(&f, 0, 16 * PAGE), 0);
	assert_int_equal(map(&f, 0, 0, 16 * PAGE), 0);
	assert_int_equal(unmap(&f, 4 * PAGE, 4 * PAGE, 0), 0);
	for (unsigned int i = 0; i < 16; i++)
		assert_int_equal(sees(&f, i * PAGE), i >= 4 && i < 8 ? -1 : (int)i + 1);
	assert_int_equal(unmap(&f, 0, 4 * PAGE, 0), 0);
	assert_int_equal(unreg(&f, 0, 16 * PAGE), -EBUSY);
	assert_int_equal(unmap(&f, 8 * PAGE, 8 * PAGE, 0), 0);
	assert_int_equal(unreg(&f, 0, 16 * PAGE), 0);
	finish(&f);
}

static void test_gap_8_case_148_windows(void **state)
{
	struct fixture f;
	uint64_t at = 1;

	start(&f, VIA_VFIO_SPAPR_TCE_v2_IOMMU, true);
	assert_int_equal(create(&f, 13, 1u << 20, 1, NULL), -EINVAL);
	assert_int_equal(create(&f, 12, 3u << 20, 1, NULL), -EINVAL);
	assert_int_equal(create(&f, 12, 1u << 20, 0, NULL), -EINVAL);
	assert_int_equal(create(&f, 12, 1u << 20, 6, NULL), -EINVAL);
	assert_int_equal(create(&f, 64, 1u << 20, 1, NULL), -EINVAL);
	assert_int_equal(create(&f, 16, 1ull << 40, 3, &at), 0);
	assert_int_equal(at, WINDOW_2);
	assert_int_equal(create(&f, 12, 1u << 20, 1, NULL), -ENOSPC);
	assert_int_equal(remove_window(&f, 0xf0000000), -EINVAL);
	/* Any address inside a window names it. */
	assert_int_equal(remove_window(&f, WINDOW_2 + 12345), 0);
	assert_int_equal(remove_window(&f, WINDOW_2), -EINVAL);
	assert_int_equal(remove_window(&f, 0), 0);
	assert_int_equal(via_ledger_pages(f.mm), 0);
	/* The first place is free again. */
	assert_int_equal(create(&f, 12, 1u << 20, 1, &at), 0);
	assert_int_equal(at, 0);
	assert_int_equal(reg(&f, 0, PAGE), 0);
	assert_int_equal(map(&f, 0, 1u << 20, PAGE), -ENXIO);
	assert_int_equal(map(&f, 0, (1u << 20) - PAGE, PAGE), 0);
	assert_int_equal(remove_window(&f, 0), 0);
	assert_int_equal(sees(&f, (1u << 20) - PAGE), -1);
	assert_int_equal(unreg(&f, 0, PAGE), 0);
	finish(&f);
}

/* start 0 while the default window has not been needed cancels it, and charges nothing. */
static void test_default_window_pending(void **state)
{
	struct fixture f;
	uint64_t at = 1;

	start(&f, VIA_VFIO_SPAPR_TCE_v2_IOMMU, true);
	assert_int_equal(remove_window(&f, 0), 0);
	assert_int_equal(via_ledger_pages(f.mm), 0);
	assert_int_equal(remove_window(&f, 0), -EINVAL);
	assert_int_equal(create(&f, 12, 1u << 30, 2, &at), 0);
	assert_int_equal(at, 0);
	/* 2^18 entries in two levels of 512: 512 tables of 4 KiB and one, twice. */
	assert_int_equal(via_ledger_pages(f.mm), 2 * 513);
	finish(&f);
}

/* A second window that would pass the last IOVA, on a machine that places it so high. */
static void test_window_beyond_the_last_iova(void **state)
{
	struct via_spapr_props props = *via_spapr_props_powernv();
	struct via_vfio_iommu_spapr_tce_remove r = { sizeof(r), 1, 0 };
	struct fixture f;
	uint64_t at = 1;

	start(&f, VIA_VFIO_SPAPR_TCE_v2_IOMMU, true);
	assert_int_equal(via_dma_attach(f.dma, NULL), 0);
	via_spapr_free(f.spapr);
	props.tce64_start = 3ull << 62;
	assert_int_equal(via_spapr_new(&props, VIA_VFIO_SPAPR_TCE_v2_IOMMU, false, true, &f.spapr), 0);
	assert_int_equal(via_dma_attach(f.dma, via_spapr_ioas(f.spapr)), 0);
	assert_int_equal(create(&f, 24, 1ull << 63, 5, NULL), -EINVAL);
	assert_int_equal(create(&f, 24, 1ull << 40, 1, &at), 0);
	assert_int_equal(at, 3ull << 62);
	assert_int_equal(via_spapr_remove(f.spapr, f.mm, &r), -EINVAL);
	finish(&f);
}

static void test_case_149_over_mapping(void **state)
{
	struct fixture f;

	start(&f, VIA_VFIO_SPAPR_TCE_IOMMU, true);
	assert_int_equal(via_spapr_enable(f.spapr, f.mm), 0);
	assert_int_equal(map(&f, 0, 0, 4 * PAGE), 0);
	assert_int_equal(map(&f, 9, PAGE, PAGE), 0);
	assert_int_equal(sees(&f, 0), 1);
	assert_int_equal(sees(&f, PAGE), 10);
	assert_int_equal(sees(&f, 2 * PAGE), 3);
	assert_int_equal(unmap(&f, 64 * PAGE, PAGE, 0), 0);
	assert_int_equal(unmap(&f, 0, PAGE, VIA_VFIO_DMA_UNMAP_FLAG_ALL), -EINVAL);
	assert_int_equal(unmap(&f, 0, 100, 0), -EINVAL);
	assert_int_equal(map_flags(&f, 0, 0, PAGE, 0), -EINVAL);
	assert_int_equal(map_flags(&f, 0, 0, PAGE, 4), -EINVAL);
	assert_int_equal(map(&f, 0, 0x80000000, PAGE), -ENXIO);
	/* Direction. */
	assert_int_equal(map_flags(&f, 5, 0, PAGE, W), 0);
	assert_int_equal(sees(&f, 0), -1);
	assert_int_equal(via_dma_write(f.dma, 0, "x", 1), 0);
	assert_int_equal(f.mem[5 * PAGE], 'x');
	finish(&f);
}

/* spec iommu.md 12, quirk 1: a range that is not the window's. */
static void test_outside_window(void **state)
{
	for (unsigned int exact = 0; exact < 2; exact++) {
		struct fixture f;
		int rc = exact ? 1 : -EINVAL;

		start(&f, VIA_VFIO_SPAPR_TCE_IOMMU, exact);
		assert_int_equal(via_spapr_enable(f.spapr, f.mm), 0);
		assert_int_equal(map(&f, 0, 12, PAGE), rc);
		assert_int_equal(unmap(&f, 12, PAGE, 0), rc);
		assert_int_equal(unmap(&f, 0x7ffff000, 2 * PAGE, 0), rc);
		assert_int_equal(map(&f, 0, 0x7ffff000, 2 * PAGE), -EINVAL);
		finish(&f);
	}
}

static void other_free(struct via_mm *mm)
{
}

static void test_case_150_other_process(void **state)
{
	static const struct via_mm_ops ops = { .free = other_free };
	struct via_mm other = { .ops = &ops, .refs = 1, .memlock_limit = UINT64_MAX };
	struct via_vfio_iommu_spapr_register_memory r = { sizeof(r), 0, PAGE, PAGE };
	struct via_vfio_iommu_spapr_tce_create c = { .argsz = sizeof(c), .page_shift = 12,
						     .window_size = 1u << 20, .levels = 1 };
	struct fixture f;

	start(&f, VIA_VFIO_SPAPR_TCE_v2_IOMMU, true);
	assert_int_equal(via_spapr_mine(f.spapr, &other), 0);
	assert_int_equal(reg(&f, 0, PAGE), 0);
	assert_int_equal(via_spapr_mine(f.spapr, &other), -EPERM);
	assert_int_equal(via_spapr_mine(f.spapr, f.mm), 0);
	assert_int_equal(via_spapr_register(f.spapr, &other, &r), -EPERM);
	assert_int_equal(via_spapr_create(f.spapr, &other, &c), -EPERM);
	finish(&f);
}

/* A container of another machine. */
static void start_with(struct fixture *f, const struct via_spapr_props *props, unsigned int version)
{
	start(f, version, true);
	assert_int_equal(via_dma_attach(f->dma, NULL), 0);
	via_spapr_free(f->spapr);
	assert_int_equal(via_spapr_new(props, version, false, true, &f->spapr), 0);
	assert_int_equal(via_dma_attach(f->dma, via_spapr_ioas(f->spapr)), 0);
}

static void test_limits_of_windows(void **state)
{
	struct via_vfio_iommu_spapr_tce_create c = { .argsz = sizeof(c), .flags = 1, .page_shift = 12,
						     .window_size = 1u << 20, .levels = 1 };
	struct via_spapr_props props = *via_spapr_props_powernv();
	struct fixture f;
	uint64_t at;

	/* As large as there is room up to the second one's place, in as many levels as there are. */
	start_with(&f, &props, VIA_VFIO_SPAPR_TCE_v2_IOMMU);
	assert_int_equal(via_spapr_create(f.spapr, f.mm, &c), -EINVAL);
	assert_int_equal(remove_window(&f, 0), 0);
	assert_int_equal(create(&f, 12, WINDOW_2 << 1, 5, &at), -EINVAL);
	assert_int_equal(create(&f, 12, WINDOW_2, 5, &at), 0);
	assert_int_equal(at, 0);
	/* The last byte names it as well. */
	assert_int_equal(remove_window(&f, WINDOW_2), -EINVAL);
	assert_int_equal(remove_window(&f, WINDOW_2 - 1), 0);
	finish(&f);

	/* Up to the last IOVA. */
	props.tce64_start = 3ull << 62;
	start_with(&f, &props, VIA_VFIO_SPAPR_TCE_v2_IOMMU);
	assert_int_equal(create(&f, 24, 1ull << 62, 5, &at), 0);
	assert_int_equal(at, 3ull << 62);
	assert_int_equal(remove_window(&f, UINT64_MAX), 0);
	finish(&f);

	/* The largest page. */
	props.tce64_start = WINDOW_2;
	props.pgsizes |= 1ull << 63;
	start_with(&f, &props, VIA_VFIO_SPAPR_TCE_v2_IOMMU);
	assert_int_equal(create(&f, 63, 1ull << 63, 1, &at), 0);
	finish(&f);

	/* One window, and none that can be made. */
	props = *via_spapr_props_powernv();
	props.max_windows = 1;
	start_with(&f, &props, VIA_VFIO_SPAPR_TCE_v2_IOMMU);
	assert_int_equal(create(&f, 12, 1u << 20, 1, NULL), -EPERM);
	finish(&f);
	props.max_windows = 0;
	props.tce32_size = 0;
	start_with(&f, &props, VIA_VFIO_SPAPR_TCE_IOMMU);
	assert_int_equal(via_spapr_enable(f.spapr, f.mm), -EPERM);
	finish(&f);
	assert_int_equal(via_spapr_new(&props, VIA_VFIO_SPAPR_TCE_v2_IOMMU, false, true, &f.spapr),
			 -EINVAL);
}

static void test_limits_of_entries(void **state)
{
	struct via_vfio_iommu_type1_dma_map high = { sizeof(high), R, -(uint64_t)PAGE, 0, 2 * PAGE };
	struct fixture f;

	start(&f, VIA_VFIO_SPAPR_TCE_IOMMU, true);
	assert_int_equal(via_spapr_enabled(f.spapr), -EPERM);
	assert_int_equal(via_spapr_enable(f.spapr, f.mm), 0);
	assert_int_equal(via_spapr_enabled(f.spapr), 0);
	assert_int_equal(unreg(&f, 0, PAGE), -ENOTTY);
	assert_int_equal(map(&f, 0, 0, 0), -EINVAL);
	assert_int_equal(map(&f, 0, 0x7ffff000, PAGE), 0);
	assert_int_equal(unmap(&f, 0x7ffff000, PAGE, 0), 0);
	assert_int_equal(sees(&f, 0x7ffff000), -1);
	assert_int_equal(unmap(&f, 0x80000000, PAGE, 0), -ENXIO);
	assert_int_equal(unmap(&f, 0, 0, 0), 0);
	assert_int_equal(via_spapr_map(f.spapr, f.mm, &high), -EFAULT);
	finish(&f);

	start(&f, VIA_VFIO_SPAPR_TCE_v2_IOMMU, true);
	/* Neighbours do not overlap, whichever is first. */
	assert_int_equal(reg(&f, 4, 4 * PAGE), 0);
	assert_int_equal(reg(&f, 0, 4 * PAGE), 0);
	assert_int_equal(reg(&f, 8, 4 * PAGE), 0);
	assert_int_equal(via_spapr_map(f.spapr, f.mm, &high), -EINVAL);
	finish(&f);
}

static void test_info(void **state)
{
	struct via_vfio_iommu_spapr_tce_info info;
	struct fixture f;

	start(&f, VIA_VFIO_SPAPR_TCE_IOMMU, true);
	via_spapr_info(f.spapr, &info);
	assert_int_equal(info.flags, 0);
	assert_int_equal(info.dma32_window_start, 0);
	assert_int_equal(info.dma32_window_size, 0x80000000);
	finish(&f);
	start(&f, VIA_VFIO_SPAPR_TCE_v2_IOMMU, true);
	via_spapr_info(f.spapr, &info);
	assert_int_equal(info.flags, VIA_VFIO_IOMMU_SPAPR_INFO_DDW);
	assert_int_equal(info.ddw.pgsizes, 1 << 12 | 1 << 16 | 1 << 24);
	assert_int_equal(info.ddw.max_dynamic_windows_supported, 2);
	assert_int_equal(info.ddw.levels, 5);
	finish(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_versions),
		cmocka_unit_test(test_v1_enable),
		cmocka_unit_test(test_v1_bad_memory),
		cmocka_unit_test(test_two_containers_charge_twice),
		cmocka_unit_test(test_case_147_register),
		cmocka_unit_test(test_cuts_keep_count),
		cmocka_unit_test(test_gap_8_case_148_windows),
		cmocka_unit_test(test_default_window_pending),
		cmocka_unit_test(test_window_beyond_the_last_iova),
		cmocka_unit_test(test_case_149_over_mapping),
		cmocka_unit_test(test_outside_window),
		cmocka_unit_test(test_case_150_other_process),
		cmocka_unit_test(test_limits_of_windows),
		cmocka_unit_test(test_limits_of_entries),
		cmocka_unit_test(test_info),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
