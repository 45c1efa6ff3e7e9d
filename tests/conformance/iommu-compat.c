/* SPDX-License-Identifier: MIT */
/* An iommufd as the container of a group, and both ways of calling at once. */
#include "iommu.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define F FD_IOMMUFD
#define TOP (~0ull)

static const struct shown ranges_out = {OUT, 64, 0xa5a5a5a5};

static void ranges(const struct door *door, uint32_t ioas)
{
	IO_SHOWN(door, F, IOAS_IOVA_RANGES, &ranges_out, 32, ioas, 8, 0, U64(OUT), U64(0));
}

static long map(const struct door *door, uint32_t flags, uint64_t vaddr, uint64_t iova,
		uint64_t size)
{
	return CALL(door, F, IOMMU_MAP_DMA, 32, flags, U64(vaddr), U64(iova), U64(size));
}

static long unmap(const struct door *door, uint32_t flags, uint64_t iova, uint64_t size)
{
	return CALL(door, F, IOMMU_UNMAP_DMA, 24, flags, U64(iova), U64(size));
}

static void set_type(const struct door *door, uintptr_t type)
{
	call_value(door, F, "SET_IOMMU", VIA_VFIO_SET_IOMMU, type);
}

static void join(const struct door *door, const struct machine *machine)
{
	iommufd_open(door);
	call_open(door, machine->subject.node, FD_GROUP);
	CALL(door, FD_GROUP, GROUP_SET_CONTAINER, F);
}

static void device_open(const struct door *door, const struct machine *machine)
{
	call_device_fd(door, FD_GROUP, machine->subject.name, FD_DEVICE);
}

static void close_all(const struct door *door)
{
	call_close(door, FD_DEVICE);
	call_close(door, FD_GROUP);
	call_close(door, F);
}

static void info(const struct door *door)
{
	static const uint32_t argsz[] = {0,  15, 16, 17, 20, 23, 24,  25,   32, 39,
					 40, 41, 56, 71, 72, 88, 120, 1024, ~0u};

	for (size_t i = 0; i < sizeof(argsz) / sizeof(argsz[0]); i++)
		CALL(door, F, IOMMU_GET_INFO, argsz[i]);
}

static void extensions(const struct door *door)
{
	for (uintptr_t ext = 0; ext < 13; ext++)
		call_value(door, F, "CHECK_EXTENSION", VIA_VFIO_CHECK_EXTENSION, ext);
	call_value(door, F, "CHECK_EXTENSION", VIA_VFIO_CHECK_EXTENSION, ~0ul);
}

static void states(const struct door *door, const struct machine *machine)
{
	static const uintptr_t types[] = {0, 2, 4, 6, 7, 8, 9, 10, 99, 3, 1, 3};

	iommufd_open(door);
	extensions(door);
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		set_type(door, types[i]);
	info(door);
	map(door, 3, LAND, 0, PAGE);
	call_open(door, machine->subject.node, FD_GROUP);
	CALL(door, FD_GROUP, GROUP_GET_STATUS, 8, 0);
	device_open(door, machine);
	CALL(door, FD_GROUP, GROUP_SET_CONTAINER, F);
	CALL(door, FD_GROUP, GROUP_SET_CONTAINER, F);
	CALL(door, FD_GROUP, GROUP_GET_STATUS, 8, 0);
	IO(door, F, VFIO_IOAS, 12, 0, 0);
	extensions(door);
	info(door);
	device_open(door, machine);
	extensions(door);
	info(door);
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		set_type(door, types[i]);
	IO(door, F, OPTION, 24, 1, 1, 1, U64(0));
	extensions(door);
	info(door);
	for (uint32_t id = 0; id < 5; id++)
		IO(door, F, DESTROY, 8, id);
	CALL(door, FD_DEVICE, DEVICE_ATTACH_IOMMUFD_PT, 12, 0, 1);
	CALL(door, FD_DEVICE, DEVICE_DETACH_IOMMUFD_PT, 8, 0);
	CALL(door, FD_DEVICE, DEVICE_BIND_IOMMUFD, 16, 0, F, 0);
	call_value(door, FD_GROUP, "GROUP_UNSET_CONTAINER", VIA_VFIO_GROUP_UNSET_CONTAINER, 0);
	call_value(door, FD_GROUP, "GROUP_UNSET_CONTAINER", VIA_VFIO_GROUP_UNSET_CONTAINER, 0);
	CALL(door, FD_DEVICE, DEVICE_GET_INFO, 24);
	map(door, 3, LAND, 0, PAGE);
	call_close(door, FD_DEVICE);
	for (uint32_t id = 0; id < 5; id++)
		IO(door, F, DESTROY, 8, id);
	map(door, 3, LAND, 0x10000, PAGE);
	CALL(door, FD_GROUP, GROUP_SET_CONTAINER, F);
	IO(door, F, VFIO_IOAS, 12, 0, 0);
	call_close(door, FD_GROUP);
	call_close(door, F);
}

static void fields(const struct door *door)
{
	const uint32_t a_map[] = {32, 3, U64(LAND), U64(0x10000), U64(PAGE)};
	const uint32_t an_unmap[] = {24, 0, U64(0x10000), U64(PAGE)};
	const uint32_t an_info[] = {24, 0, U64(0), 0, 0};

	sizes(door, F, "IOMMU_MAP_DMA", VIA_VFIO_IOMMU_MAP_DMA, 32, 8, a_map);
	call_faults(door, F, "IOMMU_MAP_DMA", VIA_VFIO_IOMMU_MAP_DMA, 8, a_map);
	sizes(door, F, "IOMMU_UNMAP_DMA", VIA_VFIO_IOMMU_UNMAP_DMA, 24, 6, an_unmap);
	call_faults(door, F, "IOMMU_UNMAP_DMA", VIA_VFIO_IOMMU_UNMAP_DMA, 6, an_unmap);
	sizes(door, F, "IOMMU_GET_INFO", VIA_VFIO_IOMMU_GET_INFO, 16, 6, an_info);
	call_faults(door, F, "IOMMU_GET_INFO", VIA_VFIO_IOMMU_GET_INFO, 6, an_info);
	/* Neither READ nor WRITE would make a kernel warn where a device is: never both off. */
	for (unsigned int bit = 2; bit < 32; bit++)
		map(door, 3 | 1u << bit, LAND, 0x10000, PAGE);
	for (uint32_t flags = 1; flags < 4; flags++) {
		map(door, flags, LAND, 0x10000, PAGE);
		unmap(door, 2, 0, 0);
	}
	for (unsigned int word = 2; word < 8; word++) {
		bits(door, F, "IOMMU_MAP_DMA", VIA_VFIO_IOMMU_MAP_DMA, 8, a_map, word, 32);
		unmap(door, 2, 0, 0);
	}
	map(door, 3, LAND, 0x10000, 4 * PAGE);
	bits(door, F, "IOMMU_UNMAP_DMA", VIA_VFIO_IOMMU_UNMAP_DMA, 6, an_unmap, 1, 32);
	for (unsigned int word = 2; word < 6; word++) {
		bits(door, F, "IOMMU_UNMAP_DMA", VIA_VFIO_IOMMU_UNMAP_DMA, 6, an_unmap, word, 32);
		unmap(door, 2, 0, 0);
		map(door, 3, LAND, 0x10000, 4 * PAGE);
	}
	unmap(door, 2, PAGE, 0);
	unmap(door, 2, 0, PAGE);
	unmap(door, 2, 0, 0);
	unmap(door, 2, 0, 0);
	unmap(door, 0, 0, TOP);
	unmap(door, 0, 0, 0);
	unmap(door, 0, 0x10000, 0);
	unmap(door, 0, TOP, 2);
	CALL(door, F, IOMMU_DIRTY_PAGES, 8, 1);
	map(door, 3, READ_ONLY, 0, PAGE);
	map(door, 1, READ_ONLY, 0, PAGE);
	map(door, 3, UNMAPPED, 0x20000, PAGE);
	map(door, 3, EDGE - PAGE, 0x30000, 2 * PAGE);
	unmap(door, 2, 0, 0);
}

/* What is cut by the halves, thirds and ends of a range. */
static void cuts(const struct door *door)
{
	for (unsigned int from = 0; from < 6; from++) {
		for (unsigned int n = 1; n < 5; n++) {
			map(door, 3, LAND, 0x10000, 2 * PAGE);
			map(door, 3, LAND + 8 * PAGE, 0x12000, PAGE);
			map(door, 3, LAND + 16 * PAGE, 0x14000, PAGE);
			unmap(door, 0, 0x10000 + from * PAGE, n * PAGE);
			unmap(door, 0, 0xf000, 2 * PAGE);
			unmap(door, 2, 0, 0);
		}
	}
	map(door, 3, LAND, 0x10000, 4 * PAGE);
	unmap(door, 0, 0x11000, 0);
	unmap(door, 0, 0x11800, PAGE);
	unmap(door, 0, 0x12000, ~0ull);
	unmap(door, 0, 0x10000, PAGE);
	unmap(door, 0, 0x11000, PAGE);
	unmap(door, 2, 0, 0);
}

static void both(const struct door *door)
{
	IO(door, F, IOAS_ALLOC, 12, 0, 0);
	map(door, 3, LAND, 0x10000, 2 * PAGE);
	IO(door, F, IOAS_UNMAP, 24, 1, U64(0x10000), U64(PAGE));
	IO(door, F, IOAS_UNMAP, 24, 1, U64(0x10000), U64(2 * PAGE));
	IO(door, F, IOAS_MAP, 40, 7, 1, 0, U64(LAND), U64(2 * PAGE), U64(0x10000));
	unmap(door, 0, 0x11000, PAGE);
	IO(door, F, IOAS_COPY, 40, 6, 1, 1, U64(PAGE), U64(0), U64(0x10000));
	unmap(door, 2, 0, 0);
	IO(door, F, VFIO_IOAS, 12, 2, 1);
	map(door, 3, LAND, 0x10000, 2 * PAGE);
	IO(door, F, IOAS_UNMAP, 24, 2, U64(0x10000), U64(2 * PAGE));
	ranges(door, 1);
	ranges(door, 2);
	CALL(door, F, IOMMU_GET_INFO, 256);
	IO(door, F, VFIO_IOAS, 12, 0, 2);
	map(door, 3, LAND, 0x10000, 2 * PAGE);
	IO(door, F, VFIO_IOAS, 12, 1, 1);
	IO(door, F, DESTROY, 8, 2);
}

void compat_lists(const struct door *door, const struct machine *machine)
{
	section("compat: states");
	states(door, machine);
	for (uintptr_t type = 1; type <= 3; type += 2) {
		for (unsigned int with = 0; with < 2; with++) {
			char title[64];

			snprintf(title, sizeof(title), "compat: type %u%s", (unsigned int)type,
				 with ? " with a device" : "");
			section(title);
			join(door, machine);
			set_type(door, type);
			if (with)
				device_open(door, machine);
			fields(door);
			cuts(door);
			both(door);
			close_all(door);
		}
	}
	section("compat: no access");
	join(door, machine);
	set_type(door, 3);
	map(door, 0, LAND, 0, PAGE);
	unmap(door, 0, 0, PAGE);
	map(door, 3, UNMAPPED, 0, PAGE);
	device_open(door, machine);
	unmap(door, 2, 0, 0);
	map(door, 3, LAND, 0xfee00000, PAGE);
	device_open(door, machine);
	unmap(door, 2, 0, 0);
	map(door, 3, LAND + 1, 1, PAGE);
	device_open(door, machine);
	unmap(door, 2, 0, 0);
	device_open(door, machine);
	close_all(door);
}

/* Sequences ------------------------------------------------------------------ */

struct world {
	uint64_t iova[16], length[16];
};

static uint64_t pick_iova(const struct world *w)
{
	static const uint64_t bases[] = {0,	     0x10000,	 0x10000,
					 0xfedf8000, 0xfeef8000, 0xffffffff8000};

	if (below(2))
		return w->iova[below(16)] + (rarely(3) ? below(4) * PAGE : 0);
	return bases[below(6)] + below(16) * PAGE + (rarely(30) ? 1u << below(12) : 0);
}

static void step(const struct door *door, const struct machine *machine, struct world *w)
{
	uint64_t iova = pick_iova(w), length = (1 + below(8)) * PAGE,
		 va = rarely(20) ? UNMAPPED - below(3) * PAGE : LAND + below(64) * PAGE;
	unsigned int i = below(16);
	long ret;

	if (rarely(30))
		length ^= 1u << below(14);
	switch (below(32)) {
	case 0:
		if (rarely(3))
			unmap(door, 2, rarely(6) ? iova : 0, 0);
		return;
	case 1:
		CALL(door, F, IOMMU_GET_INFO, below(100));
		return;
	case 2:
		set_type(door, rarely(4) ? below(10) : rarely(3) ? 1 : 3);
		return;
	case 3:
		if (rarely(2))
			call_close(door, FD_DEVICE);
		else
			device_open(door, machine);
		return;
	case 4:
		ranges(door, 1);
		return;
	case 5:
		IO(door, F, OPTION, 24, 1, below(2), 1, U64(below(2)));
		return;
	case 6:
		IO(door, F, IOAS_UNMAP, 24, 1, U64(iova), U64(length));
		return;
	case 7:
		CALL(door, F, IOMMU_MAP_DMA, below(40), 1 + below(8), U64(va), U64(iova),
		     U64(length));
		return;
	case 8:
	case 9:
	case 10:
	case 11:
	case 12:
	case 13:
		unmap(door, rarely(20) ? below(8) : 0, w->iova[i], w->length[i]);
		return;
	case 14:
	case 15:
	case 16:
	case 17:
		unmap(door, 0, iova, length);
		return;
	case 18:
		ret = IO(door, F, IOAS_COPY, 40, 7, 1, 1, U64(w->length[i]), U64(iova),
			 U64(w->iova[i]));
		length = w->length[i];
		break;
	case 19:
		ret = IO(door, F, IOAS_MAP_FILE, 40, 7, 1, FD_MEMORY,
			 U64(below(MEMORY_PAGES) * PAGE), U64(length), U64(iova));
		break;
	case 20:
		ret = IO(door, F, IOAS_MAP, 40, 6, 1, 0, U64(va), U64(length), U64(iova));
		if (!ret)
			iova = u64_after(8);
		break;
	default:
		ret = map(door, 1 + below(3), va, iova, length);
	}
	if (ret)
		return;
	w->iova[i] = iova;
	w->length[i] = length;
}

void compat_random(const struct door *door, const struct machine *machine)
{
	for (unsigned int n = 0; n < 8; n++) {
		struct world w = {0};
		char title[64];

		snprintf(title, sizeof(title), "compat: random sequence %u", n);
		section(title);
		seed_with(machine->seed, 4000 + n);
		join(door, machine);
		set_type(door, n % 2 ? 1 : 3);
		if (n % 4 > 1)
			device_open(door, machine);
		for (unsigned int i = 0; i < 16; i++)
			w.length[i] = PAGE;
		for (unsigned int i = 0; i < 200; i++)
			step(door, machine, &w);
		unmap(door, 2, 0, 0);
		ranges(door, 1);
		close_all(door);
	}
}
