/* SPDX-License-Identifier: MIT */
/* Containers of type 1: each field of their structures, and sequences of both versions. */
#include "iommu.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define C FD_CONTAINER
#define BITMAP_WORDS 16u

static const struct shown bitmap = {OUT, BITMAP_WORDS, 0};

static void set_up_type(const struct door *door, const struct machine *machine, uintptr_t type)
{
	call_open(door, "vfio/vfio", FD_CONTAINER);
	call_open(door, machine->subject.node, FD_GROUP);
	CALL(door, FD_GROUP, GROUP_SET_CONTAINER, FD_CONTAINER);
	call_value(door, FD_CONTAINER, "SET_IOMMU", VIA_VFIO_SET_IOMMU, type);
}

static void close_type(const struct door *door)
{
	call_close(door, FD_GROUP);
	call_close(door, FD_CONTAINER);
}

static long map(const struct door *door, uint32_t flags, uint64_t vaddr, uint64_t iova,
		uint64_t size)
{
	return CALL(door, C, IOMMU_MAP_DMA, 32, flags, U64(vaddr), U64(iova), U64(size));
}

static long unmap(const struct door *door, uint32_t flags, uint64_t iova, uint64_t size)
{
	return CALL(door, C, IOMMU_UNMAP_DMA, 24, flags, U64(iova), U64(size));
}

static long report(const struct door *door, uint64_t iova, uint64_t size, uint64_t bytes)
{
	return io(door, C, "IOMMU_DIRTY_PAGES", VIA_VFIO_IOMMU_DIRTY_PAGES,
		  WORDS(48, 4, U64(iova), U64(size), U64(PAGE), U64(bytes), U64(OUT)), &bitmap);
}

static long unmap_reported(const struct door *door, uint64_t iova, uint64_t size, uint64_t bytes)
{
	return io(door, C, "IOMMU_UNMAP_DMA", VIA_VFIO_IOMMU_UNMAP_DMA,
		  WORDS(48, 1, U64(iova), U64(size), U64(PAGE), U64(bytes), U64(OUT)), &bitmap);
}

static void info(const struct door *door)
{
	CALL(door, C, IOMMU_GET_INFO, 1024);
}

static void fields(const struct door *door)
{
	const uint32_t a_map[] = {32, 3, U64(LAND), U64(0x10000), U64(PAGE)};
	const uint32_t an_unmap[] = {24, 0, U64(0x10000), U64(PAGE)};
	const uint32_t an_info[] = {24, 0, U64(0), 0, 0};
	const uint32_t a_start[] = {8, 1};
	const uint32_t a_report[] = {48,	4,	U64(0x10000), U64(4 * PAGE),
				     U64(PAGE), U64(8), U64(OUT)};

	sizes(door, C, "IOMMU_MAP_DMA", VIA_VFIO_IOMMU_MAP_DMA, 32, 8, a_map);
	sizes(door, C, "IOMMU_UNMAP_DMA", VIA_VFIO_IOMMU_UNMAP_DMA, 24, 6, an_unmap);
	sizes(door, C, "IOMMU_GET_INFO", VIA_VFIO_IOMMU_GET_INFO, 16, 6, an_info);
	sizes(door, C, "IOMMU_DIRTY_PAGES", VIA_VFIO_IOMMU_DIRTY_PAGES, 8, 2, a_start);
	bits(door, C, "IOMMU_MAP_DMA", VIA_VFIO_IOMMU_MAP_DMA, 8, a_map, 1, 32);
	unmap(door, 2, 0, 0);
	for (unsigned int word = 2; word < 8; word++) {
		bits(door, C, "IOMMU_MAP_DMA", VIA_VFIO_IOMMU_MAP_DMA, 8, a_map, word, 32);
		unmap(door, 2, 0, 0);
	}
	map(door, 3, LAND, 0x10000, 4 * PAGE);
	bits(door, C, "IOMMU_UNMAP_DMA", VIA_VFIO_IOMMU_UNMAP_DMA, 6, an_unmap, 1, 32);
	for (unsigned int word = 2; word < 6; word++) {
		bits(door, C, "IOMMU_UNMAP_DMA", VIA_VFIO_IOMMU_UNMAP_DMA, 6, an_unmap, word, 32);
		map(door, 3, LAND, 0x10000, 4 * PAGE);
	}
	bits(door, C, "IOMMU_DIRTY_PAGES", VIA_VFIO_IOMMU_DIRTY_PAGES, 2, a_start, 1, 32);
	CALL(door, C, IOMMU_DIRTY_PAGES, 8, 1);
	for (unsigned int word = 1; word < 10; word++)
		bits(door, C, "IOMMU_DIRTY_PAGES", VIA_VFIO_IOMMU_DIRTY_PAGES, 12, a_report, word,
		     32);
	CALL(door, C, IOMMU_DIRTY_PAGES, 8, 2);
	unmap(door, 2, 0, 0);
}

/* Each side of each end of what the IOMMU can address. */
static void edges(const struct door *door)
{
	static const uint64_t ends[] = {0,	     0xfee00000,   0xfef00000,
					0x100000000, 0x8000000000, 0x1000000000000,
					1ull << 52,  1ull << 57,   1ull << 63};

	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		for (int before = 3; before >= -1; before--) {
			for (unsigned int pages = 1; pages < 5; pages += pages) {
				uint64_t iova = ends[i] - (uint64_t)(int64_t)before * PAGE;

				if (!map(door, 3, LAND, iova, pages * PAGE))
					unmap(door, 0, iova, pages * PAGE);
			}
		}
	}
}

/* As many mappings as a container takes; only how it ends is a line. */
static void entries(const struct door *door)
{
	unsigned int n = 0;
	long ret;

	do {
		args_fill(WORDS(32, 3, U64(LAND), U64(n * PAGE), U64(PAGE)));
		ret = door->ioctl(C, VIA_VFIO_IOMMU_MAP_DMA, ARGS);
	} while (!ret && ++n < 70000);
	printf("container IOMMU_MAP_DMA %u times, then", n);
	print_result(ret);
	printf("\n");
	map(door, 3, LAND, 0, PAGE);
	map(door, 3, LAND, 0xfee00000, PAGE);
	map(door, 3, EDGE, 1ull << 40, PAGE);
	info(door);
	unmap(door, 0, 0, PAGE);
	map(door, 3, EDGE, 1ull << 40, PAGE);
	map(door, 3, LAND, 1ull << 40, PAGE);
	map(door, 3, LAND, 1ull << 41, PAGE);
	unmap(door, 4, 0, 0x7fffffff000);
	map(door, 4, LAND, PAGE, PAGE);
	unmap(door, 0, PAGE, 0x7fffffff000);
	info(door);
	unmap(door, 2, 0, 0);
	info(door);
}

void type1_lists(const struct door *door, const struct machine *machine)
{
	section("type1v2: fields");
	set_up_type(door, machine, 3);
	fields(door);
	edges(door);
	info(door);
	section("type1v2: entries");
	entries(door);
	close_type(door);
	section("type1: fields");
	set_up_type(door, machine, 1);
	fields(door);
	edges(door);
	info(door);
	close_type(door);
}

/* Sequences ------------------------------------------------------------------ */

/* What a sequence believes to be mapped; used to find interesting addresses. */
struct believed {
	uint64_t iova[16], size[16];
	unsigned int unit; /* pages between addresses */
};

static uint64_t pick_base(void)
{
	static const uint64_t bases[] = {
		0,	    0,		0x10000,    0x10000,	    0x10000,
		0xfedf0000, 0xfef00000, 0xffff0000, 0xffffffff0000, ~0ull - 0xffff};

	return bases[below(sizeof(bases) / sizeof(bases[0]))];
}

static uint64_t pick_iova(const struct believed *b)
{
	uint64_t iova;

	if (below(2))
		iova = b->iova[below(16)];
	else
		iova = (pick_base() & ~(b->unit * PAGE - 1)) + below(16) * b->unit * PAGE;
	if (rarely(40))
		iova += 1u << below(12);
	return iova;
}

static uint64_t pick_size(const struct believed *b)
{
	switch (below(24)) {
	case 0:
		return 0;
	case 1:
		return random64() >> below(64);
	case 2:
		return ~0ull << below(20);
	case 3:
		return PAGE + below(PAGE);
	case 4:
	case 5:
	case 6:
	case 7:
	case 8:
	case 9:
		return b->size[below(16)];
	default:
		return (1 + below(b->unit > 1 ? 100 : 12)) * PAGE;
	}
}

static uint64_t pick_vaddr(void)
{
	switch (below(24)) {
	case 0:
		return EDGE - below(3) * PAGE;
	case 1:
		return READ_ONLY;
	case 2:
		return UNMAPPED;
	case 3:
		return LAND + below(PAGE);
	case 4:
		return ~0ull << below(30);
	case 5:
		return MEMORY + below(MEMORY_PAGES) * PAGE;
	default:
		return LAND + below(LAND_PAGES - 16) * PAGE;
	}
}

static void step(const struct door *door, struct believed *b)
{
	uint64_t iova = pick_iova(b), size = pick_size(b), vaddr = pick_vaddr();
	unsigned int at = below(16);
	uint32_t flags = 3;

	switch (below(32)) {
	case 0:
		iova = rarely(4) ? iova : 0;
		unmap(door, rarely(3) ? 6 : 2, iova, 0);
		break;
	case 1:
		info(door);
		break;
	case 2:
		CALL(door, C, IOMMU_DIRTY_PAGES, 8, 1);
		break;
	case 3:
		CALL(door, C, IOMMU_DIRTY_PAGES, 8, 2u << below(3));
		break;
	case 4:
	case 5:
		at = below(16);
		report(door, b->iova[at], b->size[at], below(3) ? 8 : 64);
		break;
	case 6:
		unmap_reported(door, b->iova[at], b->size[at], below(3) ? 8 : 64);
		break;
	case 7:
	case 8:
		unmap(door, 4, b->iova[at], b->size[at]);
		break;
	case 9:
	case 10:
		map(door, 4, vaddr, b->iova[at], b->size[at]);
		break;
	case 11:
		CALL(door, C, IOMMU_MAP_DMA, rarely(2) ? 32 : below(40),
		     (uint32_t)random64() >> below(32), U64(vaddr), U64(iova), U64(size));
		break;
	case 12:
	case 13:
	case 14:
	case 15:
	case 16:
	case 17:
		unmap(door, rarely(20) ? below(8) : 0, iova, size);
		break;
	default:
		if (rarely(4))
			flags = 1 + below(3);
		if (rarely(20))
			flags = below(16);
		if (!map(door, flags, vaddr, iova, size)) {
			b->iova[at] = iova;
			b->size[at] = size;
		}
	}
}

/*
 * A report's bits behind the end of a mapping are left over from shifts that
 * differ (docs/differences.md): where reports are made, addresses are 64 pages apart.
 */
static void sequence(const struct door *door, const struct machine *machine, uintptr_t type,
		     unsigned int n, unsigned int steps)
{
	struct believed b = {.unit = n % 2 ? 64 : 1};
	char title[64];

	snprintf(title, sizeof(title), "type %u: random sequence %u", (unsigned int)type, n);
	section(title);
	seed_with(machine->seed, type << 16 | n);
	set_up_type(door, machine, type);
	for (unsigned int i = 0; i < 16; i++) {
		b.iova[i] = i * b.unit * PAGE;
		b.size[i] = PAGE;
	}
	for (unsigned int i = 0; i < steps; i++)
		step(door, &b);
	unmap(door, 2, 0, 0);
	info(door);
	close_type(door);
}

void type1_random(const struct door *door, const struct machine *machine)
{
	for (unsigned int n = 0; n < 6; n++)
		sequence(door, machine, 3, n, 250);
	for (unsigned int n = 0; n < 4; n++)
		sequence(door, machine, 1, n, 250);
}
