/* SPDX-License-Identifier: MIT */
/*
 * Pseudo-random MAP_DMA, UNMAP_DMA and DIRTY_PAGES calls, good ones and bad
 * ones, whose answers are condensed into check sums. The same calls run on a
 * real kernel (tests/oracle/record-type1.c writes type1-script.inc) and on our
 * container (test-type1-random.c).
 *
 * Dirty bits are not compared: Linux 7.2 reports bits behind a mapping's end
 * after an unaligned report (docs/differences.md).
 */
#ifndef VIA_TYPE1_SCRIPT_H
#define VIA_TYPE1_SCRIPT_H

#include <viaduct/abi/vfio.h>

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define SCRIPT_PAGE ((uint64_t)4096)
#define SCRIPT_CALLS 20000
#define SCRIPT_STEP 1000 /* calls per check sum */
#define SCRIPT_SUMS (SCRIPT_CALLS / SCRIPT_STEP)

/* RLIMIT_MEMLOCK of the runs, in bytes, where it counts. */
#define SCRIPT_MEMLOCK 65536

struct script {
	/* Return 0 or a negative errno. unmap writes the new size on success only. */
	int (*map)(const struct via_vfio_iommu_type1_dma_map *map);
	int (*unmap)(struct via_vfio_iommu_type1_dma_unmap *unmap,
		     const struct via_vfio_bitmap *bitmap);
	int (*dirty)(uint32_t flags, const struct via_vfio_iommu_type1_dirty_bitmap_get *get);
	FILE *trace; /* one line per call, or NULL */
};

struct script_state {
	const struct script *script;
	uint64_t seed;
	uint8_t *mem;
	uint64_t sum;
	char line[256];
};

/* 64 pages: 10 has no rights, 20 is read-only, 42 is missing; 40 and 41 hold bitmaps. */
static uint8_t *script_memory(void)
{
	uint8_t *mem = mmap(NULL, 64 * SCRIPT_PAGE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (mem == MAP_FAILED || mprotect(mem + 10 * SCRIPT_PAGE, SCRIPT_PAGE, PROT_NONE) ||
	    mprotect(mem + 20 * SCRIPT_PAGE, SCRIPT_PAGE, PROT_READ) ||
	    munmap(mem + 42 * SCRIPT_PAGE, SCRIPT_PAGE))
		return NULL;
	return mem;
}

static uint32_t script_pick(struct script_state *s, uint32_t n)
{
	s->seed = s->seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(s->seed >> 33) % n;
}

#define SCRIPT_CHOOSE(s, array) ((array)[script_pick(s, sizeof(array) / sizeof((array)[0]))])

static struct via_vfio_bitmap script_bitmap(struct script_state *s)
{
	const uint64_t words = (uint64_t)(uintptr_t)s->mem + 40 * SCRIPT_PAGE;
	const uint64_t pages[] = { 8192, 2048, 0x1800 };
	const uint64_t sizes[] = { 0, 7, 0x10000008, 1 };
	/* The first has eight good bytes and then none. */
	const uint64_t places[] = { words + 2 * SCRIPT_PAGE - 8, 0, UINT64_MAX - 3, 0x1000,
				    (uint64_t)1 << 47, (uint64_t)1 << 57, (uint64_t)1 << 63 };
	struct via_vfio_bitmap bitmap = { SCRIPT_PAGE, 8 + 8 * script_pick(s, 2), words };

	if (!script_pick(s, 12))
		bitmap.pgsize = SCRIPT_CHOOSE(s, pages);
	if (!script_pick(s, 6))
		bitmap.size = SCRIPT_CHOOSE(s, sizes);
	if (!script_pick(s, 8))
		bitmap.data = SCRIPT_CHOOSE(s, places);
	return bitmap;
}

static void script_range(struct script_state *s, uint64_t *iova, uint64_t *size)
{
	/* Low, across the MSI window, at the end of the aperture, at the end of all. */
	static const uint64_t bases[] = { 0, 0, 0, 0, 0, 0, 0xfedfd000, 0xffffffffd000,
					  0xffffffffffffc000 };
	uint64_t base = SCRIPT_CHOOSE(s, bases);

	*iova = base + script_pick(s, base ? 6 : 24) * SCRIPT_PAGE;
	*size = (1 + script_pick(s, 6)) * SCRIPT_PAGE;
	if (!script_pick(s, 40))
		*iova += 0x800;
	if (!script_pick(s, 40))
		*size += 0x100;
	if (!script_pick(s, 60))
		*size = 0;
	if (!script_pick(s, 60))
		*size = -SCRIPT_PAGE;
	if (!script_pick(s, 200))
		*size = UINT64_MAX;
}

static void script_map(struct script_state *s)
{
	static const uint32_t flags[] = { 3, 3, 3, 3, 1, 2, 4, 4, 0, 8, 5, 7 };
	struct via_vfio_iommu_type1_dma_map map = { .argsz = sizeof(map) };
	uint64_t page = script_pick(s, 4) ? script_pick(s, 4) : script_pick(s, 36);
	int rc;

	map.flags = SCRIPT_CHOOSE(s, flags);
	map.vaddr = (uint64_t)(uintptr_t)s->mem + page * SCRIPT_PAGE;
	script_range(s, &map.iova, &map.size);
	if (!script_pick(s, 60))
		map.vaddr += 0x10;
	if (!script_pick(s, 100))
		map.vaddr = -2 * SCRIPT_PAGE;
	rc = s->script->map(&map);
	(void)snprintf(s->line, sizeof(s->line), "map flags %x page %d iova %llx size %llx -> %d",
		       map.flags, (int)page, (unsigned long long)map.iova,
		       (unsigned long long)map.size, rc);
}

static void script_unmap(struct script_state *s)
{
	static const uint32_t flags[] = { 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 4, 4, 2, 6, 3, 5, 8 };
	struct via_vfio_iommu_type1_dma_unmap unmap = { .argsz = sizeof(unmap) };
	struct via_vfio_bitmap bitmap = script_bitmap(s);
	uint64_t size;
	int rc;

	unmap.argsz += (uint32_t)sizeof(bitmap);
	unmap.flags = SCRIPT_CHOOSE(s, flags);
	script_range(s, &unmap.iova, &unmap.size);
	if (!script_pick(s, 3))
		unmap.size = 24 * SCRIPT_PAGE;
	if ((unmap.flags & VIA_VFIO_DMA_UNMAP_FLAG_ALL) && script_pick(s, 5))
		unmap.iova = unmap.size = 0;
	size = unmap.size;
	rc = s->script->unmap(&unmap, &bitmap);
	(void)snprintf(s->line, sizeof(s->line),
		       "unmap flags %x iova %llx size %llx -> %d size %llx", unmap.flags,
		       (unsigned long long)unmap.iova, (unsigned long long)size, rc,
		       (unsigned long long)unmap.size);
}

static void script_dirty(struct script_state *s)
{
	static const uint32_t flags[] = { 4, 4, 4, 4, 4, 4, 1, 1, 2, 0, 3, 8 };
	struct via_vfio_iommu_type1_dirty_bitmap_get get = { .bitmap = script_bitmap(s) };
	uint32_t flag = SCRIPT_CHOOSE(s, flags);
	int rc;

	script_range(s, &get.iova, &get.size);
	if (script_pick(s, 2))
		get.size = 24 * SCRIPT_PAGE;
	rc = s->script->dirty(flag, &get);
	(void)snprintf(s->line, sizeof(s->line), "dirty flags %x iova %llx size %llx -> %d", flag,
		       (unsigned long long)get.iova, (unsigned long long)get.size, rc);
}

/* Runs all calls; a check sum after each SCRIPT_STEP of them. 0, or -1 without memory. */
static int script_run(const struct script *script, uint64_t seed, uint64_t sums[SCRIPT_SUMS])
{
	struct script_state s = { .script = script, .seed = seed, .mem = script_memory() };

	if (!s.mem)
		return -1;
	for (unsigned int i = 0; i < SCRIPT_CALLS; i++) {
		uint32_t call = script_pick(&s, 16);

		if (call < 8)
			script_map(&s);
		else if (call < 13)
			script_unmap(&s);
		else
			script_dirty(&s);
		if (script->trace)
			(void)fprintf(script->trace, "%u %s\n", i, s.line);
		for (const char *p = s.line; *p; p++)
			s.sum = s.sum * 1099511628211u + (uint8_t)*p;
		sums[i / SCRIPT_STEP] = s.sum;
	}
	(void)munmap(s.mem, 64 * SCRIPT_PAGE);
	return 0;
}

#endif
