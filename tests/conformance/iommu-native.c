/* SPDX-License-Identifier: MIT */
/*
 * /dev/iommu without devices: each command's sizes, flags, reserved fields, addresses
 * and identifiers, then sequences.
 */
#include "iommu.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define F FD_IOMMUFD
#define MAP_RW 6u /* WRITEABLE | READABLE */
#define FIXED_RW 7u
#define TOP (~0ull)

static const struct shown ranges_out = {OUT, 64, 0xa5a5a5a5};

/* Commands: a call that is right but for the identifiers, once objects 1 (an IOAS) exists. */
struct command {
	const char *name;
	unsigned long cmd;
	unsigned int min; /* bytes */
	unsigned int n;	  /* words of all */
	uint32_t words[18];
	unsigned int flags; /* word of bits that are checked; 0: none */
	unsigned int width; /* of these bits; 0: 32 */
	unsigned int reserved[2];
};

#define COMMAND(id, least, count, ...)                                    \
	.name = #id, .cmd = VIA_IOMMU_##id, .min = (least), .n = (count), \
	.words = {(count)*4, __VA_ARGS__}

static const struct command commands[] = {
	{COMMAND(DESTROY, 8, 2, 99)},
	{COMMAND(IOAS_ALLOC, 12, 3, 0, 0), .flags = 1},
	{COMMAND(IOAS_ALLOW_IOVAS, 24, 6, 1, 0, 0, U64(0)), .reserved = {3}},
	{COMMAND(IOAS_COPY, 40, 10, MAP_RW, 1, 1, U64(PAGE), U64(0), U64(0x10000)),
	 /* The bits above are the test driver's. */
	 .flags = 1, .width = 16},
	{COMMAND(IOAS_IOVA_RANGES, 32, 8, 1, 4, 0, U64(OUT), U64(0)), .reserved = {3}},
	{COMMAND(IOAS_MAP, 40, 10, MAP_RW, 1, 0, U64(LAND), U64(PAGE), U64(0)), .flags = 1,
	 .reserved = {3}},
	{COMMAND(IOAS_UNMAP, 24, 6, 1, U64(0x7000), U64(PAGE))},
	{COMMAND(OPTION, 24, 6, 1, 1, 1, U64(0)), .flags = 1, .reserved = {2}},
	{COMMAND(VFIO_IOAS, 12, 3, 1, 2), .flags = 2},
	{COMMAND(HWPT_ALLOC, 24, 12, 0, 9, 1, 0, 0, 0, 0, U64(0), 0, 0), .flags = 1,
	 .reserved = {5, 11}},
	{COMMAND(GET_HW_INFO, 32, 10, 0, 9, 8, U64(OUT), 0, 0, U64(0)), .flags = 1,
	 .reserved = {7}},
	{COMMAND(HWPT_SET_DIRTY_TRACKING, 16, 4, 1, 9, 0), .flags = 1, .reserved = {3}},
	{COMMAND(HWPT_GET_DIRTY_BITMAP, 48, 12, 9, 0, 0, U64(0), U64(PAGE), U64(PAGE), U64(OUT)),
	 .flags = 2, .reserved = {3}},
	{COMMAND(HWPT_INVALIDATE, 32, 8, 9, U64(OUT), 0, 8, 1, 0), .reserved = {7}},
	{COMMAND(IOAS_MAP_FILE, 40, 10, MAP_RW, 1, FD_MEMORY, U64(0), U64(PAGE), U64(0)),
	 .flags = 1},
	{COMMAND(VIOMMU_ALLOC, 24, 10, 0, 1, 9, 9, 0, 0, 0, U64(0)), .flags = 1, .reserved = {7}},
	{COMMAND(VDEVICE_ALLOC, 24, 6, 9, 9, 0, U64(1))},
	{COMMAND(IOAS_CHANGE_PROCESS, 8, 2, 0), .reserved = {1}},
	{COMMAND(VEVENTQ_ALLOC, 28, 8, 0, 9, 1, 8, 0, 0, 0), .flags = 1, .reserved = {7}},
	{COMMAND(HW_QUEUE_ALLOC, 40, 10, 0, 9, 1, 0, 0, U64(0), U64(PAGE)), .flags = 1},
};

static void each_command(const struct door *door)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		const struct command *c = &commands[i];

		sizes(door, F, c->name, c->cmd, c->min, c->n, c->words);
		call_faults(door, F, c->name, c->cmd, c->n, c->words);
		if (c->flags)
			bits(door, F, c->name, c->cmd, c->n, c->words, c->flags,
			     c->width ? c->width : 32);
		for (unsigned int j = 0; j < 2; j++) {
			if (c->reserved[j])
				bits(door, F, c->name, c->cmd, c->n, c->words, c->reserved[j], 32);
		}
	}
}

static void fault_queue_sizes(const struct door *door)
{
	const uint32_t words[] = {16, 0, 0, 0};

	for (uint32_t size = 0; size < 16; size++)
		IO(door, F, FAULT_QUEUE_ALLOC, size, 0, 0, 0);
	IO(door, F, FAULT_QUEUE_ALLOC, 17, 0, 0, 0);
	for (unsigned int bit = 0; bit < 32; bit++)
		IO(door, F, FAULT_QUEUE_ALLOC, 16, 1u << bit, 0, 0);
	io_fd(door, F, "FAULT_QUEUE_ALLOC", VIA_IOMMU_FAULT_QUEUE_ALLOC, 4, words, 3, FD_FAULTS);
	IO(door, F, DESTROY, 8, word_after(2));
	call_close(door, FD_FAULTS);
}

static void numbers(const struct door *door)
{
	for (unsigned int cmd = 0x3b60; cmd < 0x3bb0; cmd++) {
		char name[16];

		if (cmd == VIA_IOMMU_FAULT_QUEUE_ALLOC)
			continue;
		snprintf(name, sizeof(name), "%x", cmd);
		call_value(door, F, name, cmd, 0);
		call_value(door, F, name, cmd, UNMAPPED);
		snprintf(name, sizeof(name), "%x", cmd | 0x80000000);
		call_value(door, F, name, cmd | 0x80000000, ARGS);
		snprintf(name, sizeof(name), "%x", cmd | 0x00080000);
		call_value(door, F, name, cmd | 0x00080000, ARGS);
	}
	call_value(door, F, "3a85", 0x3a85, ARGS);
	call_value(door, F, "85", 0x85, ARGS);
	call_value(door, F, "5401", 0x5401, ARGS);
}

static long map_at(const struct door *door, uint32_t ioas, uint64_t va, uint64_t len, uint64_t iova)
{
	return IO(door, F, IOAS_MAP, 40, FIXED_RW, ioas, 0, U64(va), U64(len), U64(iova));
}

static long map_any(const struct door *door, uint32_t ioas, uint64_t va, uint64_t len)
{
	return IO(door, F, IOAS_MAP, 40, MAP_RW, ioas, 0, U64(va), U64(len), U64(0));
}

static long unmap(const struct door *door, uint32_t ioas, uint64_t iova, uint64_t len)
{
	return IO(door, F, IOAS_UNMAP, 24, ioas, U64(iova), U64(len));
}

static void unmap_everything(const struct door *door, uint32_t ioas)
{
	unmap(door, ioas, 0, TOP);
}

static void ranges(const struct door *door, uint32_t ioas, uint32_t n)
{
	IO_SHOWN(door, F, IOAS_IOVA_RANGES, &ranges_out, 32, ioas, n, 0, U64(OUT), U64(0));
}

static void identifiers(const struct door *door)
{
	static const uint32_t ids[] = {0, 2, 3, 4, 99, 0x7fffffff, 0x80000000, 0xffffffff};

	/* 2 becomes a fault queue. */
	io_fd(door, F, "FAULT_QUEUE_ALLOC", VIA_IOMMU_FAULT_QUEUE_ALLOC, WORDS(16, 0, 0, 0), 3,
	      FD_FAULTS);
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		uint32_t id = ids[i];

		IO(door, F, DESTROY, 8, id);
		IO(door, F, IOAS_ALLOW_IOVAS, 24, id, 0, 0, U64(0));
		IO(door, F, IOAS_COPY, 40, MAP_RW, 1, id, U64(PAGE), U64(0), U64(0x10000));
		IO(door, F, IOAS_COPY, 40, MAP_RW, id, 1, U64(PAGE), U64(0), U64(0x10000));
		IO(door, F, IOAS_IOVA_RANGES, 32, id, 4, 0, U64(OUT), U64(0));
		map_any(door, id, LAND, PAGE);
		unmap(door, id, 0, PAGE);
		unmap_everything(door, id);
		IO(door, F, OPTION, 24, 0, 1, id, U64(0));
		IO(door, F, OPTION, 24, 1, 1, id, U64(0));
		IO(door, F, OPTION, 24, 1, 0, id, U64(1));
		IO(door, F, VFIO_IOAS, 12, id, 1);
		IO(door, F, VFIO_IOAS, 12, 0, 2);
		IO(door, F, HWPT_ALLOC, 48, 0, id, 1, 0, 0, 0, 0, U64(0), 0, 0);
		IO(door, F, HWPT_ALLOC, 48, 0, 1, id, 0, 0, 0, 0, U64(0), 0, 0);
		IO(door, F, GET_HW_INFO, 40, 0, id, 8, U64(OUT), 0, 0, U64(0));
		IO(door, F, HWPT_SET_DIRTY_TRACKING, 16, 1, id, 0);
		IO(door, F, HWPT_GET_DIRTY_BITMAP, 48, id, 0, 0, U64(0), U64(PAGE), U64(PAGE),
		   U64(OUT));
		IO(door, F, HWPT_INVALIDATE, 32, id, U64(OUT), 0, 8, 1, 0);
		IO(door, F, IOAS_MAP_FILE, 40, MAP_RW, id, FD_MEMORY, U64(0), U64(PAGE), U64(0));
		IO(door, F, VIOMMU_ALLOC, 40, 0, 1, id, 1, 0, 0, 0, U64(0));
		IO(door, F, VDEVICE_ALLOC, 24, id, 1, 0, U64(1));
		IO(door, F, VEVENTQ_ALLOC, 32, 0, id, 1, 8, 0, 0, 0);
		IO(door, F, HW_QUEUE_ALLOC, 40, 0, id, 1, 0, 0, U64(0), U64(PAGE));
	}
	IO(door, F, DESTROY, 8, 2);
	call_close(door, FD_FAULTS);
	IO(door, F, DESTROY, 8, 2);
	IO(door, F, IOAS_ALLOC, 12, 0, 0);
	IO(door, F, IOAS_ALLOC, 12, 0, 0);
	IO(door, F, DESTROY, 8, 2);
	IO(door, F, IOAS_ALLOC, 12, 0, 0);
}

static void map_boundaries(const struct door *door)
{
	static const uint64_t at[] = {0, 1, PAGE - 1, PAGE, TOP >> 1, TOP - PAGE, TOP - 1, TOP};
	const size_t n = sizeof(at) / sizeof(at[0]);

	for (size_t i = 0; i < n; i++) {
		for (size_t j = 0; j < n; j++) {
			map_at(door, 1, LAND, at[j], at[i]);
			unmap(door, 1, at[i], at[j]);
			unmap_everything(door, 1);
			map_any(door, 1, at[i], at[j]);
			unmap_everything(door, 1);
			IO(door, F, IOAS_MAP_FILE, 40, MAP_RW, 1, FD_MEMORY, U64(at[i]), U64(at[j]),
			   U64(0));
			unmap_everything(door, 1);
		}
	}
	map_at(door, 1, LAND, 4 * PAGE, 0x10000);
	for (size_t i = 0; i < n; i++) {
		for (size_t j = 0; j < n; j++) {
			IO(door, F, IOAS_COPY, 40, FIXED_RW, 2, 1, U64(at[j]), U64(at[i]),
			   U64(0x10000));
			IO(door, F, IOAS_COPY, 40, MAP_RW, 2, 1, U64(at[j]), U64(0), U64(at[i]));
			unmap_everything(door, 2);
		}
	}
	for (uint64_t iova = 0xe000; iova <= 0x15000; iova += PAGE / 2) {
		for (uint64_t len = PAGE / 2; len <= 6 * PAGE; len += 3 * PAGE / 2) {
			IO(door, F, IOAS_COPY, 40, MAP_RW, 2, 1, U64(len), U64(0), U64(iova));
			map_at(door, 1, LAND, len, iova);
			unmap(door, 1, iova, len);
			map_at(door, 1, LAND, 4 * PAGE, 0x10000);
		}
	}
	unmap_everything(door, 1);
	unmap_everything(door, 2);
	/* WRITEABLE of memory that was mapped for reading only. */
	IO(door, F, IOAS_MAP, 40, 5, 1, 0, U64(LAND), U64(PAGE), U64(0x10000));
	for (uint32_t flags = 0; flags < 8; flags++)
		IO(door, F, IOAS_COPY, 40, flags, 2, 1, U64(PAGE), U64(flags * PAGE), U64(0x10000));
	unmap_everything(door, 1);
	unmap_everything(door, 2);
}

static void automatic(const struct door *door)
{
	for (uint64_t len = 1; len <= 1ull << 62; len *= 2)
		map_any(door, 1, LAND, len);
	unmap_everything(door, 1);
	for (uint64_t len = PAGE; len <= 1 << 26; len += len / 2 / PAGE * PAGE + PAGE)
		map_any(door, 1, LAND & ~0xffffffull, len);
	unmap_everything(door, 1);
	for (uint64_t va = 1; va; va *= 4)
		map_any(door, 1, va, 3 * PAGE + 5);
	unmap_everything(door, 1);
	for (unsigned int i = 0; i < 24; i++)
		IO(door, F, IOAS_MAP_FILE, 40, MAP_RW, 1, FD_MEMORY, U64(i * PAGE / 2),
		   U64((i % 7 + 1) * PAGE), U64(0));
	unmap_everything(door, 1);
}

static void allow(const struct door *door, unsigned int n, const uint64_t *pairs)
{
	memcpy((void *)OUT, pairs, n * 16);
	IO(door, F, IOAS_ALLOW_IOVAS, 24, 1, n, 0, U64(OUT));
	ranges(door, 1, 8);
	for (unsigned int i = 0; i < 3; i++)
		map_any(door, 1, LAND, PAGE << i);
	map_at(door, 1, LAND, PAGE, 0x40000000);
	unmap_everything(door, 1);
}

static void allowed(const struct door *door)
{
	allow(door, 1, (uint64_t[]){0, 0xffff});
	allow(door, 1, (uint64_t[]){0x2000, 0x2fff});
	allow(door, 1, (uint64_t[]){0x2000, 0x2000});
	allow(door, 1, (uint64_t[]){0x2001, 0x2000});
	allow(door, 1, (uint64_t[]){0x2000, 0x2001});
	allow(door, 2, (uint64_t[]){0x2000, 0x2fff, 0x4000, 0x4fff});
	allow(door, 2, (uint64_t[]){0x4000, 0x4fff, 0x2000, 0x2fff});
	allow(door, 2, (uint64_t[]){0x2000, 0x2fff, 0x3000, 0x3fff});
	allow(door, 2, (uint64_t[]){0x2000, 0x2fff, 0x2fff, 0x3fff});
	allow(door, 2, (uint64_t[]){0x2000, 0x9fff, 0x3000, 0x3fff});
	allow(door, 3, (uint64_t[]){0x2800, 0x47ff, 0x4800, 0x57ff, 0x100000, 0x1fffff});
	allow(door, 1, (uint64_t[]){0, TOP});
	allow(door, 1, (uint64_t[]){TOP - 1, TOP});
	allow(door, 1, (uint64_t[]){TOP - 0x7fff, TOP});
	IO(door, F, IOAS_ALLOW_IOVAS, 24, 1, 1, 0, U64(0));
	IO(door, F, IOAS_ALLOW_IOVAS, 24, 1, 1, 0, U64(UNMAPPED));
	IO(door, F, IOAS_ALLOW_IOVAS, 24, 1, 0, 0, U64(UNMAPPED));
	allow(door, 0, NULL);
	ranges(door, 1, 0);
	ranges(door, 1, 1);
	IO(door, F, IOAS_IOVA_RANGES, 32, 1, 1, 0, U64(UNMAPPED), U64(0));
	IO(door, F, IOAS_IOVA_RANGES, 32, 1, 0, 0, U64(UNMAPPED), U64(0));
	IO(door, F, IOAS_IOVA_RANGES, 32, 1, 1, 0, U64(EDGE - 8), U64(0));
}

static void options(const struct door *door)
{
	static const uint64_t values[] = {0, 1, 2, 1ull << 32, TOP};

	for (uint32_t option = 0; option < 3; option++) {
		for (uint32_t op = 0; op < 3; op++) {
			for (uint32_t object = 0; object < 3; object++) {
				for (unsigned int v = 0; v < 5; v++)
					IO(door, F, OPTION, 24, option, op, object, U64(values[v]));
			}
		}
	}
	IO(door, F, OPTION, 24, 1, 0, 1, U64(1));
	map_at(door, 1, LAND, PAGE / 2, PAGE / 2);
	IO(door, F, OPTION, 24, 1, 0, 1, U64(0));
	unmap_everything(door, 1);
	IO(door, F, OPTION, 24, 1, 0, 1, U64(0));
	map_at(door, 1, LAND, PAGE / 2, PAGE / 2);
	map_at(door, 1, LAND, PAGE, PAGE / 2);
	map_at(door, 1, LAND + 1, PAGE, PAGE);
	map_at(door, 1, LAND, PAGE, PAGE);
	map_any(door, 1, LAND + 1, PAGE);
	map_any(door, 1, LAND, PAGE + 1);
	unmap(door, 1, PAGE, 1);
	unmap(door, 1, PAGE, PAGE);
	ranges(door, 1, 2);
	IO(door, F, OPTION, 24, 1, 0, 1, U64(1));
}

static void files(const struct door *door)
{
	static const uint32_t fds[] = {FD_MEMORY,  FD_MEMORY_RO, FD_PIPE,    FD_EVENT,	FD_CLOSED,
				       FD_IOMMUFD, 0xffffffff,	 0x7fffffff, 0x80000000};

	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
		for (uint32_t flags = 0; flags < 8; flags++) {
			IO(door, F, IOAS_MAP_FILE, 40, flags, 1, fds[i], U64(0), U64(PAGE),
			   U64(flags * 0x10000));
			unmap_everything(door, 1);
		}
		IO(door, F, IOAS_MAP_FILE, 40, MAP_RW, 1, fds[i], U64(0), U64(0), U64(0));
		IO(door, F, IOAS_MAP_FILE, 40, MAP_RW, 1, fds[i], U64(TOP), U64(2), U64(0));
		IO(door, F, IOAS_MAP_FILE, 40, MAP_RW, 1, fds[i], U64(0),
		   U64((MEMORY_PAGES + 1) * PAGE), U64(0));
		IO(door, F, IOAS_CHANGE_PROCESS, 8, 0);
		unmap_everything(door, 1);
	}
	IO(door, F, IOAS_MAP_FILE, 40, MAP_RW, 1, FD_MEMORY, U64(0), U64(PAGE), U64(0));
	IO(door, F, IOAS_CHANGE_PROCESS, 8, 0);
	map_any(door, 2, LAND, PAGE);
	IO(door, F, IOAS_CHANGE_PROCESS, 8, 0);
	unmap_everything(door, 1);
	unmap_everything(door, 2);
}

static void as_container(const struct door *door)
{
	static const uintptr_t types[] = {0, 1, 2, 3, 4, 6, 8, 9, 10, 99};

	for (unsigned int pass = 0; pass < 2; pass++) {
		for (uintptr_t ext = 0; ext < 13; ext++)
			call_value(door, F, "CHECK_EXTENSION", VIA_VFIO_CHECK_EXTENSION, ext);
		call_value(door, F, "GET_API_VERSION", VIA_VFIO_GET_API_VERSION, 0);
		for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
			call_value(door, F, "SET_IOMMU", VIA_VFIO_SET_IOMMU, types[i]);
		CALL(door, F, IOMMU_GET_INFO, 256);
		CALL(door, F, IOMMU_MAP_DMA, 32, 3, U64(LAND), U64(0), U64(PAGE));
		CALL(door, F, IOMMU_UNMAP_DMA, 24, 0, U64(0), U64(PAGE));
		CALL(door, F, IOMMU_DIRTY_PAGES, 8, 1);
		IO(door, F, VFIO_IOAS, 12, 0, 0);
		IO(door, F, VFIO_IOAS, 12, 1, 1);
		IO(door, F, VFIO_IOAS, 12, 0, 0);
	}
	IO(door, F, DESTROY, 8, 1);
	IO(door, F, VFIO_IOAS, 12, 0, 0);
	CALL(door, F, IOMMU_MAP_DMA, 32, 3, U64(LAND), U64(0), U64(PAGE));
}

void native_lists(const struct door *door, const struct machine *machine)
{
	section("native: numbers");
	iommufd_open(door);
	numbers(door);
	call_read(door, F, 0, 0, 8, BUFFER);
	call_write(door, F, 0, 0, 8, 0, BUFFER);
	call_mmap(door, F, 0, 0, PAGE, 3, 1);
	call_mmap(door, F, 0, PAGE, PAGE, 1, 1);
	section("native: accounting");
	IO(door, F, OPTION, 24, 0, 1, 0, U64(0));
	for (uint64_t v = 3; v-- > 0;)
		IO(door, F, OPTION, 24, 0, 0, 0, U64(v));
	IO(door, F, OPTION, 24, 0, 0, 0, U64(1));
	IO(door, F, OPTION, 24, 0, 1, 0, U64(0));
	IO(door, F, OPTION, 24, 0, 0, 0, U64(0));
	section("native: each command, no object");
	each_command(door);
	call_close(door, F);
	section("native: each command");
	iommufd_open(door);
	IO(door, F, IOAS_ALLOC, 12, 0, 0);
	map_at(door, 1, LAND, PAGE, 0x10000);
	each_command(door);
	fault_queue_sizes(door);
	call_close(door, F);
	section("native: identifiers");
	iommufd_open(door);
	IO(door, F, IOAS_ALLOC, 12, 0, 0);
	identifiers(door);
	section("native: boundaries of maps");
	map_boundaries(door);
	section("native: automatic addresses");
	automatic(door);
	section("native: allowed addresses");
	allowed(door);
	section("native: options");
	options(door);
	section("native: files");
	files(door);
	section("native: as a container");
	as_container(door);
	call_close(door, F);
}

/* Sequences ------------------------------------------------------------------ */

struct believed {
	uint64_t iova[24], length[24];
	uint32_t ioas[24];
	bool bytes; /* any address and length, not pages only */
};

static uint32_t pick_ioas(void)
{
	return rarely(40) ? below(20) : 1 + below(4);
}

static uint64_t fuzzed(uint64_t value)
{
	switch (below(60)) {
	case 0:
		return value + 1;
	case 1:
		return value - 1;
	case 2:
		return value ^ 1ull << below(64);
	case 3:
		return ~0ull - below(3) * PAGE;
	default:
		return value;
	}
}

static uint64_t pick_length(bool bytes)
{
	if (bytes && below(2))
		return 1 + below(3 * PAGE);
	return (1 + below(8)) * PAGE << (rarely(8) ? below(10) : 0);
}

static uint64_t pick_va(bool bytes)
{
	return LAND + below(64) * PAGE + (bytes && below(2) ? below(PAGE) : 0);
}

static void believe(struct believed *b, long ret, uint32_t ioas, uint64_t length, unsigned int at)
{
	unsigned int i = below(24);

	if (ret)
		return;
	b->ioas[i] = ioas;
	b->length[i] = length;
	b->iova[i] = u64_after(at);
}

static void step_ranges(const struct door *door, uint32_t ioas)
{
	uint64_t pairs[6], start = below(32) * PAGE;
	unsigned int n = below(4);

	for (unsigned int i = 0; i < n; i++) {
		pairs[2 * i] = start;
		pairs[2 * i + 1] = start + (1 + below(64)) * PAGE - (rarely(8) ? 0 : 1);
		start = pairs[2 * i + 1] + (rarely(8) ? 0 : 1 + below(16) * PAGE);
	}
	memcpy((void *)OUT, pairs, n * 16);
	IO(door, F, IOAS_ALLOW_IOVAS, 24, ioas, n, 0, U64(OUT));
	/* The list is part of the call. */
	printf("  of");
	for (unsigned int i = 0; i < 2 * n; i++)
		printf(" %lx", (unsigned long)pairs[i]);
	printf("\n");
}

static void step(const struct door *door, struct believed *b)
{
	unsigned int i = below(24);
	uint32_t ioas = pick_ioas(), flags = rarely(12) ? below(16) : MAP_RW;
	uint64_t length = fuzzed(pick_length(b->bytes)), va = fuzzed(pick_va(b->bytes));
	uint64_t iova = fuzzed(below(3) ? b->iova[i] + below(4) * PAGE : below(128) * PAGE);
	long ret;

	switch (below(40)) {
	case 0:
	case 1:
		IO(door, F, IOAS_ALLOC, 12, rarely(10), 0);
		break;
	case 2:
		IO(door, F, DESTROY, 8, ioas);
		break;
	case 3:
		ranges(door, ioas, below(8));
		break;
	case 4:
		step_ranges(door, ioas);
		break;
	case 5:
		IO(door, F, OPTION, 24, 1, below(2), ioas, U64(below(2)));
		break;
	case 6:
		IO(door, F, IOAS_CHANGE_PROCESS, 8, 0);
		break;
	case 7:
		IO(door, F, VFIO_IOAS, 12, ioas, below(3));
		break;
	case 8:
		CALL(door, F, IOMMU_MAP_DMA, 32, below(8) ? 3 : below(8), U64(va), U64(iova),
		     U64(length));
		break;
	case 9:
	case 10:
		CALL(door, F, IOMMU_UNMAP_DMA, 24, rarely(8) ? 2 : 0, U64(iova), U64(length));
		break;
	case 11:
		call_value(door, F, "SET_IOMMU", VIA_VFIO_SET_IOMMU, below(2) ? 3 : 1);
		break;
	case 12:
		TEST(door, ADD_RESERVED, ioas, U64(iova), U64(length));
		break;
	case 13:
		unmap_everything(door, ioas);
		break;
	case 14:
	case 15:
	case 16:
	case 17:
	case 18:
		ret = IO(door, F, IOAS_COPY, 40, flags | below(2), ioas, b->ioas[i],
			 U64(below(3) ? b->length[i] : length), U64(iova),
			 U64(b->iova[i] + (below(3) ? 0 : below(4) * PAGE)));
		believe(b, ret, ioas, b->length[i], 6);
		break;
	case 19:
	case 20:
	case 21:
		ret = IO(door, F, IOAS_MAP_FILE, 40, flags | below(2), ioas, FD_MEMORY,
			 U64(fuzzed(below(MEMORY_PAGES) * PAGE)), U64(length), U64(iova));
		believe(b, ret, ioas, length, 8);
		break;
	case 22:
	case 23:
	case 24:
	case 25:
	case 26:
	case 27:
		ret = IO(door, F, IOAS_UNMAP, 24, b->ioas[i], U64(fuzzed(b->iova[i])),
			 U64(fuzzed(b->length[i])));
		break;
	case 28:
	case 29:
		unmap(door, ioas, iova, length);
		break;
	default:
		ret = IO(door, F, IOAS_MAP, 40, flags | below(2), ioas, 0, U64(va), U64(length),
			 U64(iova));
		believe(b, ret, ioas, length, 8);
	}
}

void native_random(const struct door *door, const struct machine *machine)
{
	for (unsigned int n = 0; n < 8; n++) {
		struct believed b = {.bytes = n % 2};
		char title[64];

		snprintf(title, sizeof(title), "native: random sequence %u", n);
		section(title);
		seed_with(machine->seed, 1000 + n);
		iommufd_open(door);
		for (unsigned int i = 0; i < 4; i++)
			IO(door, F, IOAS_ALLOC, 12, 0, 0);
		for (unsigned int i = 0; i < 24; i++) {
			b.ioas[i] = 1 + i % 4;
			b.length[i] = PAGE;
		}
		for (unsigned int i = 0; i < 200; i++)
			step(door, &b);
		for (uint32_t id = 1; id < 8; id++)
			ranges(door, id, 8);
		call_close(door, F);
	}
}
