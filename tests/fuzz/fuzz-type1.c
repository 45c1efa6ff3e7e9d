/* SPDX-License-Identifier: MIT */
/*
 * MAP_DMA and UNMAP_DMA beside a model: an array that says for each page of a
 * small IOVA space which page of memory is behind it. Now and then a call of
 * any numbers, which must only not break anything.
 */
#include "arena.h"

#include "iommu/type1.h"
#include "memory/guard.h"

#include <errno.h>

#define PAGES 32u /* of the IOVA space that the model knows */
#define IOVA 0x100000ull

struct state {
	struct via_type1 *type1;
	struct via_mm *mm;
	struct via_dma *dma;
	bool v2;
	int page[PAGES];	 /* of the arena, -1: unmapped */
	unsigned int prot[PAGES];
	unsigned int mapping[PAGES]; /* number of the MAP_DMA, from 1 */
	unsigned int n_mappings;
};

static void map(struct state *s, struct fuzz_input *in)
{
	uint8_t at = fuzz_u8(in), len = fuzz_u8(in);
	unsigned int first = at % PAGES, n = 1 + len % 8, page = at >> 5 | (len >> 2 & 8);
	unsigned int prot = 1 + (len >> 6) % 3, i;
	struct via_vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = prot,
		.vaddr = ARENA_BASE + page * ARENA_PAGE,
		.iova = IOVA + first * ARENA_PAGE,
		.size = n * ARENA_PAGE,
	};
	bool taken = false;
	int r;

	/* Page 16 of the arena is read-only, the next forbidden: the device may write good ones. */
	if (first + n > PAGES || page + n > ARENA_READ_ONLY)
		return;
	for (i = first; i < first + n; i++)
		taken |= s->page[i] >= 0;
	r = via_type1_map(s->type1, s->mm, &map);
	FUZZ_CHECK(r == (taken ? -EEXIST : 0));
	if (r)
		return;
	s->n_mappings++;
	for (i = 0; i < n; i++) {
		s->page[first + i] = (int)(page + i);
		s->prot[first + i] = prot;
		s->mapping[first + i] = s->n_mappings;
	}
}

/* Does [first, end) cut a mapping at this place? */
static bool cuts(const struct state *s, unsigned int at)
{
	return at > 0 && at < PAGES && s->page[at] >= 0 && s->mapping[at] == s->mapping[at - 1];
}

static void unmap(struct state *s, struct fuzz_input *in)
{
	uint8_t at = fuzz_u8(in), len = fuzz_u8(in);
	unsigned int first = at % PAGES, n = 1 + len % PAGES, end = first + n, i;
	struct via_vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap),
		.iova = IOVA + first * ARENA_PAGE,
		.size = (uint64_t)n * ARENA_PAGE,
	};
	uint64_t gone = 0, size = 0;
	int r;

	if (end > PAGES)
		return;
	r = via_type1_unmap(s->type1, s->mm, &unmap, NULL, &size);
	if (s->v2 && (cuts(s, first) || cuts(s, end))) {
		FUZZ_CHECK(r == -EINVAL);
		return;
	}
	if (!s->v2) {
		/* Version 1 drops whole mappings, unless the range begins inside one. */
		if (cuts(s, first)) {
			FUZZ_CHECK(r == -EINVAL || (r == 0 && size == 0));
			return;
		}
		while (cuts(s, end))
			end++;
	}
	FUZZ_CHECK(r == 0);
	for (i = first; i < end; i++) {
		gone += s->page[i] >= 0 ? ARENA_PAGE : 0;
		s->page[i] = -1;
	}
	FUZZ_CHECK(size == gone);
}

/* One page as the device sees it. */
static void look(struct state *s, unsigned int i)
{
	uint8_t byte = 0xee;
	int r = via_dma_read(s->dma, IOVA + i * ARENA_PAGE + 7 * i, &byte, 1);

	if (s->page[i] < 0 || !(s->prot[i] & VIA_VFIO_DMA_MAP_FLAG_READ)) {
		FUZZ_CHECK(r == -EFAULT && byte == 0);
		return;
	}
	FUZZ_CHECK(r == 0 && byte == (uint8_t)s->page[i]);
}

static void put(struct state *s, struct fuzz_input *in)
{
	unsigned int i = fuzz_u8(in) % PAGES;
	uint8_t byte = (uint8_t)(s->page[i] < 0 ? 0 : s->page[i]); /* what is there already */
	int r = via_dma_write(s->dma, IOVA + i * ARENA_PAGE + 5, &byte, 1);

	FUZZ_CHECK(r == (s->page[i] >= 0 && s->prot[i] & VIA_VFIO_DMA_MAP_FLAG_WRITE ? 0
										      : -EFAULT));
}

/* Calls outside the model's part of the IOVA space, then all of that is dropped. */
static void any_numbers(struct state *s, struct fuzz_input *in)
{
	uint64_t size, iova = fuzz_number(in) | 1ull << 32;
	struct via_vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = fuzz_u8(in),
		.vaddr = arena_pointer(in),
		.iova = iova,
		.size = fuzz_number(in),
	};
	struct via_vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap),
		.iova = 1ull << 32,
		.size = 0 - (1ull << 32),
	};
	int r;

	if (map.flags & VIA_VFIO_DMA_MAP_FLAG_VADDR)
		map.flags &= ~VIA_VFIO_DMA_MAP_FLAG_VADDR;
	r = via_type1_map(s->type1, s->mm, &map);
	FUZZ_CHECK(r <= 0);
	if (!r)
		FUZZ_CHECK(map.iova + map.size - 1 >= map.iova && map.size &&
			   !((map.iova | map.size | map.vaddr) % ARENA_PAGE));
	r = via_type1_unmap(s->type1, s->mm, &unmap, NULL, &size);
	FUZZ_CHECK(r == 0);
	FUZZ_CHECK(r || map.size % ARENA_PAGE || size == map.size || size == 0);
}

static void dirty(struct state *s, struct fuzz_input *in)
{
	struct via_vfio_iommu_type1_dirty_bitmap_get get = {0};
	uint8_t how = fuzz_u8(in);
	uint32_t flags = how & 7;
	int r;

	if (via_type1_dirty_allowed(s->type1) || via_type1_dirty_flags(flags))
		return;
	if (flags == VIA_VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP) {
		get.iova = IOVA + fuzz_number(in);
		get.size = fuzz_number(in);
		get.bitmap.pgsize = how & 0x80 ? fuzz_number(in) : ARENA_PAGE;
		get.bitmap.size = fuzz_number(in);
		get.bitmap.data = (uintptr_t)arena_page(ARENA_SHARED) + (how >> 3);
	}
	r = via_type1_dirty(s->type1, s->mm, flags, flags == 4 ? &get : NULL);
	FUZZ_CHECK(r <= 0 && r >= -4095);
}

static void unmap_all(struct state *s)
{
	struct via_vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap), .flags = VIA_VFIO_DMA_UNMAP_FLAG_ALL};
	uint64_t gone = 0, size = 0;

	for (unsigned int i = 0; i < PAGES; i++) {
		gone += s->page[i] >= 0 ? ARENA_PAGE : 0;
		s->page[i] = -1;
	}
	FUZZ_CHECK(via_type1_unmap(s->type1, s->mm, &unmap, NULL, &size) == 0 && size == gone);
}

static void step(struct state *s, struct fuzz_input *in)
{
	switch (fuzz_u8(in) & 7) {
	case 0:
	case 1:
	case 2:
		map(s, in);
		break;
	case 3:
	case 4:
		unmap(s, in);
		break;
	case 5:
		put(s, in);
		break;
	case 6:
		any_numbers(s, in);
		break;
	default:
		if (fuzz_u8(in) & 0xf0)
			dirty(s, in);
		else
			unmap_all(s);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	struct state s = {.v2 = fuzz_u8(&in) & 1, .mm = via_mm_self()};

	arena_init();
	FUZZ_CHECK(via_guard_install() == 0);
	s.mm->memlock_limit = UINT64_MAX;
	for (unsigned int i = 0; i < PAGES; i++)
		s.page[i] = -1;
	FUZZ_CHECK(via_type1_new(via_iommu_props_intel(),
				 s.v2 ? VIA_VFIO_TYPE1v2_IOMMU : VIA_VFIO_TYPE1_IOMMU, false,
				 &s.type1) == 0);
	FUZZ_CHECK(via_dma_new("fuzz", &s.dma) == 0);
	via_dma_enable(s.dma, true);
	FUZZ_CHECK(via_dma_attach(s.dma, via_type1_ioas(s.type1)) == 0);
	for (int i = 0; i < FUZZ_STEPS && in.left; i++) {
		step(&s, &in);
		look(&s, fuzz_u8(&in) % PAGES);
	}
	for (unsigned int i = 0; i < PAGES; i++)
		look(&s, i);
	via_dma_free(s.dma);
	via_type1_free(s.type1);
	FUZZ_CHECK(s.mm->locked_pages == 0);
	via_mm_put(s.mm);
	return 0;
}
