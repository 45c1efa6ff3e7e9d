/* SPDX-License-Identifier: MIT */
/*
 * MAP_DMA and UNMAP_DMA beside a model: an array that says for each page of a
 * small IOVA space which page of memory is behind it. Now and then a call of
 * any numbers, which must only not break anything.
 */
#include "arena.h"

#include "iommu/ioas.h"
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
	bool watched; /* who has written what is asked of the address space itself */
	int page[PAGES];	 /* of the arena, -1: unmapped */
	unsigned int prot[PAGES];
	unsigned int mapping[PAGES]; /* number of the MAP_DMA, from 1 */
	unsigned int n_mappings;
	bool many_done;
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
	uint64_t gone = 0, size = 0, generation = via_ioas_generation(via_type1_ioas(s->type1));
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
	/* What was looked up before is not to be used any more. */
	FUZZ_CHECK(!gone || via_ioas_generation(via_type1_ioas(s->type1)) != generation);
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
	if (s->watched && !r) {
		struct via_ioas *ioas = via_type1_ioas(s->type1);
		uint64_t written = 0;

		FUZZ_CHECK(via_ioas_get_dirty(ioas, IOVA, IOVA + PAGES * ARENA_PAGE - 1, ARENA_PAGE,
					      &written) == 0);
		FUZZ_CHECK(written >> i & 1);
		FUZZ_CHECK(via_ioas_get_dirty(ioas, IOVA, IOVA + 5, ARENA_PAGE, &written) ==
			   -EINVAL);
	}
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

/* Beyond what the model knows. */
#define FAR_IOVA (1ull << 33)
#define MANY 600u

static uint64_t unmap_far(struct state *s, uint64_t first, uint64_t last)
{
	struct via_vfio_iommu_type1_dma_unmap unmap = {.argsz = sizeof(unmap),
						       .iova = FAR_IOVA + first * ARENA_PAGE,
						       .size = (last - first + 1) * ARENA_PAGE};
	uint64_t size = 0;

	FUZZ_CHECK(via_type1_unmap(s->type1, s->mm, &unmap, NULL, &size) == 0);
	return size;
}

/* Many mappings of a page each, made and dropped in an order of their own. */
static void many(struct state *s, struct fuzz_input *in)
{
	unsigned int n = 1 + fuzz_u16(in) % MANY, stride = 2u * fuzz_u8(in) + 1, left = n;
	struct via_vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map), .flags = 1, .vaddr = ARENA_BASE, .size = ARENA_PAGE};
	bool there[1024] = {false};

	if (s->many_done)
		return;
	s->many_done = true;
	/* An odd stride comes to every place of a power of two. */
	for (unsigned int i = 0; i < n; i++) {
		unsigned int at = i * stride % 1024;

		map.iova = FAR_IOVA + at * ARENA_PAGE;
		FUZZ_CHECK(via_type1_map(s->type1, s->mm, &map) == 0);
		there[at] = true;
	}
	for (unsigned int i = 0; i < 8; i++) {
		uint64_t first = fuzz_u16(in) % 1024, last = first + fuzz_u8(in), expect = 0;

		for (uint64_t at = first; at <= last && at < 1024; at++) {
			expect += there[at];
			there[at] = false;
		}
		FUZZ_CHECK(unmap_far(s, first, last) == expect * ARENA_PAGE);
		left -= (unsigned int)expect;
	}
	FUZZ_CHECK(unmap_far(s, 0, 2047) == left * ARENA_PAGE);
}

/* An address that is suspended, and resumed elsewhere or not. */
static void suspend(struct state *s, struct fuzz_input *in)
{
	uint8_t how = fuzz_u8(in);
	struct via_vfio_iommu_type1_dma_map map = {.argsz = sizeof(map),
						   .flags = 3,
						   .vaddr = (uintptr_t)arena_page(
							   how & 16 ? ARENA_SHARED : 0),
						   .iova = FAR_IOVA,
						   .size = (1 + (how & 3u)) * ARENA_PAGE};
	struct via_vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap),
		.flags = VIA_VFIO_DMA_UNMAP_FLAG_VADDR,
		.iova = FAR_IOVA - (how & 4 ? ARENA_PAGE : 0),
		.size = how & 8 ? map.size : 16 * ARENA_PAGE};
	uint64_t size = 0;
	uint8_t byte;
	int r;

	if (via_type1_map(s->type1, s->mm, &map))
		abort();
	r = via_type1_unmap(s->type1, s->mm, &unmap, NULL, &size);
	FUZZ_CHECK(r == 0 || r == -EINVAL);
	FUZZ_CHECK(via_type1_attach_allowed(s->type1) == (r || !size ? 0 : -EBUSY));
	map.flags = VIA_VFIO_DMA_MAP_FLAG_VADDR;
	map.vaddr = ARENA_BASE + (uint64_t)(fuzz_u8(in) % ARENA_END) * ARENA_PAGE;
	if (how & 0x20)
		map.size += ARENA_PAGE;
	if (!(how & 0x40)) {
		int resumed = via_type1_map(s->type1, s->mm, &map);

		FUZZ_CHECK(resumed <= 0);
		if (!resumed)
			FUZZ_CHECK(via_type1_attach_allowed(s->type1) == 0);
	}
	r = via_dma_read(s->dma, FAR_IOVA + 1, &byte, 1);
	FUZZ_CHECK(r == 0 || r == -EFAULT);
	(void)unmap_far(s, 0, 15);
	FUZZ_CHECK(via_type1_attach_allowed(s->type1) == 0);
}

/* UNMAP_DMA with a bitmap, of one mapping whose pages the device has written or not. */
static void unmap_dirty(struct state *s, struct fuzz_input *in)
{
	uint8_t how = fuzz_u8(in), byte = 0;
	struct via_vfio_iommu_type1_dma_map map = {.argsz = sizeof(map),
						   .flags = 3,
						   .vaddr = ARENA_BASE,
						   .iova = FAR_IOVA,
						   .size = (1 + (how & 7u)) * ARENA_PAGE};
	struct via_vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap),
		.flags = VIA_VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP,
		.iova = FAR_IOVA,
		.size = map.size};
	struct via_vfio_bitmap bitmap = {
		.pgsize = how & 0x80 ? fuzz_number(in) : ARENA_PAGE,
		.size = how & 0x40 ? fuzz_number(in) : 8,
		.data = how & 0x20 ? arena_pointer(in) : ARENA_BASE + 8 * ARENA_PAGE};
	uint64_t size = 0;
	int r;

	FUZZ_CHECK(via_type1_map(s->type1, s->mm, &map) == 0);
	FUZZ_CHECK(via_dma_read(s->dma, FAR_IOVA, &byte, 1) == 0);
	FUZZ_CHECK(via_dma_write(s->dma, FAR_IOVA, &byte, 1) == 0);
	r = via_type1_unmap_flags(unmap.flags);
	if (!r)
		r = via_type1_unmap(s->type1, s->mm, &unmap, &bitmap, &size);
	FUZZ_CHECK(r ? r >= -4095 && r < 0 : size == map.size);
	(void)unmap_far(s, 0, 15);
	arena_init(); /* the bitmap may have been put anywhere in it */
}

static void dirty(struct state *s, struct fuzz_input *in)
{
	struct via_vfio_iommu_type1_dirty_bitmap_get get = {0};
	uint8_t how = fuzz_u8(in);
	uint32_t flags = how & 7;
	int r;

	if (s->watched || via_type1_dirty_allowed(s->type1) || via_type1_dirty_flags(flags))
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
		switch (fuzz_u8(in) & 7) {
		case 0:
			unmap_all(s);
			break;
		case 1:
			many(s, in);
			break;
		case 2:
			suspend(s, in);
			break;
		case 3:
			unmap_dirty(s, in);
			break;
		default:
			dirty(s, in);
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	uint8_t kind = fuzz_u8(&in);
	struct state s = {.v2 = kind & 1, .watched = kind & 2, .mm = via_mm_self()};
	bool empty = true;

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
	if (s.watched)
		FUZZ_CHECK(via_ioas_track_dirty(via_type1_ioas(s.type1), true) == 0);
	for (int i = 0; i < FUZZ_STEPS && in.left; i++) {
		step(&s, &in);
		look(&s, fuzz_u8(&in) % PAGES);
	}
	for (unsigned int i = 0; i < PAGES; i++) {
		look(&s, i);
		empty &= s.page[i] < 0;
	}
	FUZZ_CHECK(via_ioas_empty(via_type1_ioas(s.type1)) == empty);
	via_dma_free(s.dma);
	via_type1_free(s.type1);
	FUZZ_CHECK(s.mm->locked_pages == 0);
	via_mm_put(s.mm);
	return 0;
}
