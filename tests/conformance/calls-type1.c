/* SPDX-License-Identifier: MIT */
/* A type1 container's calls, version 2 and version 1. */
#include "calls.h"

#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void map(const struct door *door, uint32_t flags, uint64_t vaddr, uint64_t iova,
		uint64_t size)
{
	CALL(door, FD_CONTAINER, IOMMU_MAP_DMA, 32, flags, U64(vaddr), U64(iova), U64(size));
}

static void unmap(const struct door *door, uint32_t flags, uint64_t iova, uint64_t size)
{
	CALL(door, FD_CONTAINER, IOMMU_UNMAP_DMA, 24, flags, U64(iova), U64(size));
}

static void unmap_all(const struct door *door)
{
	unmap(door, VIA_VFIO_DMA_UNMAP_FLAG_ALL, 0, 0);
}

static void info(const struct door *door)
{
	static const uint32_t sizes[] = {0,  4,	 8,  15,  16,  17,  19,	 20,  23,  24,	25,   32,
					 56, 72, 96, 103, 104, 112, 119, 120, 121, 128, 1024, ~0u};

	for (size_t i = 0; i < COUNT(sizes); i++)
		CALL(door, FD_CONTAINER, IOMMU_GET_INFO, sizes[i]);
	call_faults(door, FD_CONTAINER, "IOMMU_GET_INFO", VIA_VFIO_IOMMU_GET_INFO, 4,
		    (uint32_t[]){16, 0, 0, 0});
	call_faults(door, FD_CONTAINER, "IOMMU_GET_INFO", VIA_VFIO_IOMMU_GET_INFO, 6,
		    (uint32_t[]){24, 0, 0, 0, 0, 0});
	/* The chain would go beyond the edge. */
	call_faults(door, FD_CONTAINER, "IOMMU_GET_INFO chain", VIA_VFIO_IOMMU_GET_INFO, 6,
		    (uint32_t[]){512, 0, 0, 0, 0, 0});
}

static void map_arguments(const struct door *door)
{
	static const uint32_t sizes[] = {0, 8, 31, 33, ~0u};
	const uint64_t top = ~0ull - PAGE + 1;

	for (size_t i = 0; i < COUNT(sizes); i++) {
		CALL(door, FD_CONTAINER, IOMMU_MAP_DMA, sizes[i], 3, U64(BUFFER), U64(0),
		     U64(PAGE));
		unmap_all(door);
	}
	call_faults(door, FD_CONTAINER, "IOMMU_MAP_DMA", VIA_VFIO_IOMMU_MAP_DMA, 8,
		    (uint32_t[]){32, 3, U64(BUFFER), U64(0x100000), U64(PAGE)});
	unmap_all(door);
	for (uint32_t flags = 0; flags < 10; flags++) {
		map(door, flags, BUFFER, 0x10000, PAGE);
		unmap_all(door);
	}
	map(door, 3 | 1u << 31, BUFFER, 0, PAGE);
	map(door, 3, BUFFER, 0, 0);
	map(door, 3, BUFFER, 0, 1);
	map(door, 3, BUFFER, 0, PAGE - 1);
	map(door, 3, BUFFER, 0, PAGE + 1);
	map(door, 3, BUFFER, 1, PAGE);
	map(door, 3, BUFFER + 1, 0, PAGE);
	map(door, 3, BUFFER, 0x800, PAGE);
	map(door, 3, BUFFER, top, PAGE);
	map(door, 3, BUFFER, top, 2 * PAGE);
	map(door, 3, BUFFER, top + 1, 2 * PAGE);
	map(door, 3, top, 0, PAGE);
	map(door, 3, top, 0, 2 * PAGE);
	map(door, 3, BUFFER, 0, ~0ull);
	map(door, 3, BUFFER, 0, top);
	/* The edges of what the IOMMU can address. */
	map(door, 3, BUFFER, 0xfedff000, PAGE);
	map(door, 3, BUFFER, 0xfedff000, 2 * PAGE);
	map(door, 3, BUFFER, 0xfee00000, PAGE);
	map(door, 3, BUFFER, 0xfeeff000, PAGE);
	map(door, 3, BUFFER, 0xfeeff000, 2 * PAGE);
	map(door, 3, BUFFER, 0xfef00000, PAGE);
	map(door, 3, BUFFER, 0xfffffffff000, PAGE);
	map(door, 3, BUFFER, 0xfffffffff000, 2 * PAGE);
	map(door, 3, BUFFER, 0x1000000000000, PAGE);
	unmap_all(door);
	/* Memory that is not there, cannot be written, or ends in the middle. */
	map(door, 3, UNMAPPED, 0, PAGE);
	map(door, 1, UNMAPPED, 0, PAGE);
	map(door, 3, READ_ONLY, 0, PAGE);
	map(door, 2, READ_ONLY, 0, PAGE);
	map(door, 1, READ_ONLY, 0, PAGE);
	unmap_all(door);
	map(door, 3, EDGE, 0, PAGE);
	map(door, 1, EDGE, 0, PAGE);
	map(door, 3, EDGE - PAGE, 0, 2 * PAGE);
	map(door, 3, 0, 0, PAGE);
	map(door, 3, 0xffffffff80000000, 0, PAGE);
	unmap_all(door);
}

static void overlaps(const struct door *door)
{
	map(door, 3, BUFFER, 0x10000, 4 * PAGE);
	map(door, 3, BUFFER, 0x10000, 4 * PAGE);
	map(door, 3, BUFFER, 0x10000, PAGE);
	map(door, 3, BUFFER, 0x13000, PAGE);
	map(door, 3, BUFFER, 0xf000, 2 * PAGE);
	map(door, 3, BUFFER, 0xf000, 8 * PAGE);
	map(door, 3, BUFFER, 0xf000, PAGE);
	map(door, 3, BUFFER, 0x14000, PAGE);
	/* The same memory elsewhere, with other rights. */
	map(door, 1, BUFFER, 0x40000000, 4 * PAGE);
}

static void unmaps(const struct door *door)
{
	static const uint32_t sizes[] = {0, 16, 23, 25, ~0u};

	for (size_t i = 0; i < COUNT(sizes); i++)
		CALL(door, FD_CONTAINER, IOMMU_UNMAP_DMA, sizes[i], 0, U64(0x900000), U64(PAGE));
	call_faults(door, FD_CONTAINER, "IOMMU_UNMAP_DMA", VIA_VFIO_IOMMU_UNMAP_DMA, 6,
		    (uint32_t[]){24, 0, U64(0x900000), U64(PAGE)});
	for (uint32_t flags = 0; flags < 17; flags++)
		unmap(door, flags, 0x900000, PAGE);
	unmap(door, 1u << 31, 0x900000, PAGE);
	unmap(door, 0, 0x900000, 0);
	unmap(door, 0, 0x900000, PAGE + 1);
	unmap(door, 0, 0x900001, PAGE);
	unmap(door, 0, 0, ~0ull);
	unmap(door, 0, 0, ~0ull - PAGE + 1);
	unmap(door, 0, PAGE, ~0ull - PAGE + 1);
	unmap(door, 0, 2 * PAGE, ~0ull - PAGE + 1);
	unmap(door, 0, ~0ull - PAGE + 1, PAGE);
	unmap(door, 0, 1ull << 60, PAGE);
	overlaps(door);
	unmap(door, 0, 0x11000, PAGE);
	unmap(door, 0, 0x10000, PAGE);
	unmap(door, 0, 0x13000, PAGE);
	unmap(door, 0, 0x10000, 3 * PAGE);
	unmap(door, 0, 0x11000, 3 * PAGE);
	unmap(door, 0, 0x12000, 4 * PAGE);
	unmap(door, 0, 0xf000, 3 * PAGE);
	unmap(door, 0, 0x10000, 4 * PAGE);
	unmap(door, 0, 0x10000, 4 * PAGE);
	unmap(door, 0, 0x8000, 16 * PAGE);
	unmap(door, VIA_VFIO_DMA_UNMAP_FLAG_ALL, PAGE, 0);
	unmap(door, VIA_VFIO_DMA_UNMAP_FLAG_ALL, 0, PAGE);
	unmap(door, VIA_VFIO_DMA_UNMAP_FLAG_ALL, 0, 0);
	unmap(door, VIA_VFIO_DMA_UNMAP_FLAG_ALL, 0, 0);
}

static void suspends(const struct door *door)
{
	const uint32_t vaddr = VIA_VFIO_DMA_UNMAP_FLAG_VADDR, all = VIA_VFIO_DMA_UNMAP_FLAG_ALL;

	map(door, 3, BUFFER, 0x10000, 2 * PAGE);
	map(door, 3, BUFFER, 0x20000, 2 * PAGE);
	map(door, 4, BUFFER, 0x10000, 2 * PAGE);
	map(door, 4, BUFFER, 0x50000, 2 * PAGE);
	unmap(door, vaddr, 0x10000, PAGE);
	unmap(door, vaddr, 0x10000, 2 * PAGE);
	unmap(door, vaddr, 0x10000, 2 * PAGE);
	unmap(door, vaddr | all, 0, 0);
	map(door, 4, BUFFER, 0x10000, PAGE);
	map(door, 4, BUFFER, 0x11000, PAGE);
	map(door, 4, BUFFER, 0x20000, 2 * PAGE);
	map(door, 3, BUFFER, 0x10000, 2 * PAGE);
	map(door, 3, BUFFER, 0x30000, PAGE);
	map(door, 5, BUFFER, 0x10000, 2 * PAGE);
	map(door, 4, BUFFER, 0x10000, 2 * PAGE);
	map(door, 4, BUFFER, 0x10000, 2 * PAGE);
	unmap(door, vaddr | all, 0, 0);
	unmap(door, 0, 0x10000, 2 * PAGE);
	unmap_all(door);
}

static void dirty(const struct door *door, uint32_t argsz, uint32_t flags, uint64_t iova,
		  uint64_t size, uint64_t pgsize, uint64_t bitmap_size)
{
	memset((void *)PAGE_AT(40), 0, PAGE);
	CALL(door, FD_CONTAINER, IOMMU_DIRTY_PAGES, argsz, flags, U64(iova), U64(size), U64(pgsize),
	     U64(bitmap_size), U64(PAGE_AT(40)));
}

static void dirty_pages(const struct door *door)
{
	static const uint32_t sizes[] = {0, 4, 7, 8, 9, 47};

	map(door, 3, BUFFER, 0x10000, 4 * PAGE);
	dirty(door, 48, 4, 0x10000, 4 * PAGE, PAGE, 8);
	for (uint32_t flags = 0; flags < 10; flags++)
		CALL(door, FD_CONTAINER, IOMMU_DIRTY_PAGES, 8, flags);
	call_faults(door, FD_CONTAINER, "IOMMU_DIRTY_PAGES", VIA_VFIO_IOMMU_DIRTY_PAGES, 2,
		    (uint32_t[]){8, 2});
	CALL(door, FD_CONTAINER, IOMMU_DIRTY_PAGES, 8, 1);
	CALL(door, FD_CONTAINER, IOMMU_DIRTY_PAGES, 8, 1);
	for (size_t i = 0; i < COUNT(sizes); i++)
		dirty(door, sizes[i], 4, 0x10000, 4 * PAGE, PAGE, 8);
	dirty(door, 48, 4, 0x10000, 0, PAGE, 8);
	dirty(door, 48, 4, 0x10000, 4 * PAGE, PAGE, 0);
	dirty(door, 48, 4, 0x10000, 4 * PAGE, PAGE, 7);
	dirty(door, 48, 4, 0x10000, 4 * PAGE, 2 * PAGE, 8);
	dirty(door, 48, 4, 0x10000, 4 * PAGE, 0, 8);
	dirty(door, 48, 4, 0x10000, 4 * PAGE, 2048, 8);
	dirty(door, 48, 4, 0x10800, 4 * PAGE, PAGE, 8);
	dirty(door, 48, 4, 0x10000, 4 * PAGE + 1, PAGE, 8);
	dirty(door, 48, 4, 0x10000, PAGE, PAGE, 8);
	dirty(door, 48, 4, 0x11000, 3 * PAGE, PAGE, 8);
	dirty(door, 48, 4, ~0ull - PAGE + 1, 2 * PAGE, PAGE, 8);
	dirty(door, 48, 4, 0x900000, 4 * PAGE, PAGE, 8);
	dirty(door, 48, 4, 0x10000, 65 * PAGE, PAGE, 8);
	dirty(door, 48, 4, 0, 1ull << 47, PAGE, 1ull << 29);
	CALL(door, FD_CONTAINER, IOMMU_DIRTY_PAGES, 48, 4, U64(0x10000), U64(4 * PAGE), U64(PAGE),
	     U64(8), U64(UNMAPPED));
	CALL(door, FD_CONTAINER, IOMMU_DIRTY_PAGES, 48, 4, U64(0x10000), U64(4 * PAGE), U64(PAGE),
	     U64(8), U64(READ_ONLY));
	CALL(door, FD_CONTAINER, IOMMU_DIRTY_PAGES, 48, 4, U64(0x10000), U64(4 * PAGE), U64(PAGE),
	     U64(8), U64(0xffffffff80000000));
	/* UNMAP that reports. */
	CALL(door, FD_CONTAINER, IOMMU_UNMAP_DMA, 47, 1, U64(0x10000), U64(4 * PAGE), U64(PAGE),
	     U64(8), U64(PAGE_AT(40)));
	CALL(door, FD_CONTAINER, IOMMU_UNMAP_DMA, 48, 3, U64(0), U64(0), U64(PAGE), U64(8),
	     U64(PAGE_AT(40)));
	CALL(door, FD_CONTAINER, IOMMU_UNMAP_DMA, 48, 5, U64(0x10000), U64(4 * PAGE), U64(PAGE),
	     U64(8), U64(PAGE_AT(40)));
	CALL(door, FD_CONTAINER, IOMMU_UNMAP_DMA, 48, 1, U64(0x10000), U64(4 * PAGE), U64(8192),
	     U64(8), U64(PAGE_AT(40)));
	CALL(door, FD_CONTAINER, IOMMU_UNMAP_DMA, 48, 1, U64(0x10000), U64(4 * PAGE), U64(PAGE),
	     U64(0), U64(PAGE_AT(40)));
	CALL(door, FD_CONTAINER, IOMMU_UNMAP_DMA, 48, 1, U64(0x10000), U64(4 * PAGE), U64(PAGE),
	     U64(8), U64(PAGE_AT(40)));
	CALL(door, FD_CONTAINER, IOMMU_DIRTY_PAGES, 8, 2);
	CALL(door, FD_CONTAINER, IOMMU_DIRTY_PAGES, 8, 2);
	map(door, 3, BUFFER, 0x10000, 4 * PAGE);
	CALL(door, FD_CONTAINER, IOMMU_UNMAP_DMA, 48, 1, U64(0x10000), U64(4 * PAGE), U64(PAGE),
	     U64(8), U64(PAGE_AT(40)));
	unmap_all(door);
}

/* Version 1 removes what starts in the range, whole, and stops at what starts before it. */
static void version1(const struct door *door)
{
	map(door, 3, BUFFER, 0, 4 * PAGE);
	unmap(door, 0, PAGE, PAGE);
	unmap(door, 0, 0, PAGE);
	unmap(door, 0, 0, PAGE);
	map(door, 3, BUFFER, 0, 4 * PAGE);
	map(door, 3, BUFFER, 4 * PAGE, PAGE);
	unmap(door, 0, PAGE, 4 * PAGE);
	unmap(door, 0, 0x3000, 2 * PAGE);
	unmap(door, 0, 0, 5 * PAGE);
	map(door, 3, BUFFER, 0, PAGE);
	unmap(door, VIA_VFIO_DMA_UNMAP_FLAG_ALL, 0, 0);
	unmap(door, 0, 0, 0);
	unmap(door, 0, 0x800, PAGE);
	dirty(door, 48, 1, 0, 0, 0, 0);
	call_value(door, FD_CONTAINER, "IOMMU_DIRTY_PAGES", VIA_VFIO_IOMMU_DIRTY_PAGES, 0);
	info(door);
}

void type1_calls(const struct door *door, const struct subject *subject)
{
	section("type1v2 container");
	set_up(door, subject);
	info(door);
	map_arguments(door);
	overlaps(door);
	info(door);
	unmap_all(door);
	unmaps(door);
	section("suspended addresses");
	suspends(door);
	section("dirty pages");
	dirty_pages(door);
	tear_down(door);

	section("type1 container");
	call_open(door, "vfio/vfio", FD_CONTAINER);
	call_open(door, subject->node, FD_GROUP);
	CALL(door, FD_GROUP, GROUP_SET_CONTAINER, FD_CONTAINER);
	call_value(door, FD_CONTAINER, "SET_IOMMU", VIA_VFIO_SET_IOMMU, 1);
	version1(door);
	call_close(door, FD_GROUP);
	call_close(door, FD_CONTAINER);
}
