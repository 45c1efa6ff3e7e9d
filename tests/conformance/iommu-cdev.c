/* SPDX-License-Identifier: MIT */
/* A device behind its own node: bound to an iommufd, attached, and what both then answer. */
#include "iommu.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define F FD_IOMMUFD
#define D FD_DEVICE
#define MAP_RW 6u
#define TOP (~0ull)

static const struct shown ranges_out = {OUT, 64, 0xa5a5a5a5};
static const struct shown info_out = {OUT, 16, 0xa5a5a5a5};

static void ranges(const struct door *door, uint32_t ioas)
{
	IO_SHOWN(door, F, IOAS_IOVA_RANGES, &ranges_out, 32, ioas, 8, 0, U64(OUT), U64(0));
}

static long map_at(const struct door *door, uint32_t ioas, uint64_t va, uint64_t len, uint64_t iova)
{
	return IO(door, F, IOAS_MAP, 40, 7, ioas, 0, U64(va), U64(len), U64(iova));
}

static long unmap(const struct door *door, uint32_t ioas, uint64_t iova, uint64_t len)
{
	return IO(door, F, IOAS_UNMAP, 24, ioas, U64(iova), U64(len));
}

static long bind(const struct door *door, int fd, int iommufd)
{
	return CALL(door, fd, DEVICE_BIND_IOMMUFD, 16, 0, (uint32_t)iommufd, 0);
}

static long attach(const struct door *door, int fd, uint32_t pt)
{
	return CALL(door, fd, DEVICE_ATTACH_IOMMUFD_PT, 12, 0, pt);
}

static long detach(const struct door *door, int fd)
{
	return CALL(door, fd, DEVICE_DETACH_IOMMUFD_PT, 8, 0);
}

static void binds(const struct door *door, const struct machine *machine)
{
	const uint32_t words[] = {24, 0, F, 0, U64(0)};

	call_open(door, machine->cdev, D);
	call_value(door, D, "DEVICE_GET_INFO", VIA_VFIO_DEVICE_GET_INFO, ARGS);
	call_value(door, D, "DEVICE_RESET", VIA_VFIO_DEVICE_RESET, 0);
	call_read(door, D, 7, 0, 4, BUFFER);
	call_write(door, D, 7, 4, 2, 0, BUFFER);
	call_mmap(door, D, 0, 0, PAGE, 3, 1);
	attach(door, D, 1);
	detach(door, D);
	iommufd_open(door);
	/* With the token flag first: what follows would bind. */
	bits(door, D, "DEVICE_BIND_IOMMUFD", VIA_VFIO_DEVICE_BIND_IOMMUFD, 6, words, 1, 32);
	bind(door, D, -1);
	bind(door, D, -2);
	bind(door, D, FD_CLOSED);
	bind(door, D, FD_PIPE);
	bind(door, D, FD_EVENT);
	bind(door, D, D);
	call_open(door, "vfio/vfio", FD_CONTAINER);
	bind(door, D, FD_CONTAINER);
	call_close(door, FD_CONTAINER);
	call_value(door, D, "DEVICE_BIND_IOMMUFD null", VIA_VFIO_DEVICE_BIND_IOMMUFD, 0);
	call_value(door, D, "DEVICE_BIND_IOMMUFD unmapped", VIA_VFIO_DEVICE_BIND_IOMMUFD, UNMAPPED);
	for (uint32_t size = 0; size < 16; size += 5)
		CALL(door, D, DEVICE_BIND_IOMMUFD, size, 0, F, 0, U64(0));
	CALL(door, D, DEVICE_BIND_IOMMUFD, 32, 0, F, 0, U64(0), 0, 1);
	CALL(door, D, DEVICE_BIND_IOMMUFD, 32, 0, F, 0, U64(0), 1, 0);
	CALL(door, D, DEVICE_BIND_IOMMUFD, 24, 1, F, 0, U64(UNMAPPED));
	CALL(door, D, DEVICE_BIND_IOMMUFD, 16, 1, F, 0);
	CALL(door, D, DEVICE_BIND_IOMMUFD, 24, 1, F, 0, U64(OUT));
	call_open(door, machine->subject.node, FD_GROUP);
	bind(door, D, F);
	call_close(door, FD_GROUP);
	CALL(door, D, DEVICE_BIND_IOMMUFD, 32, 0, F, 0, U64(0), 0, 0);
	bind(door, D, F);
	sizes(door, D, "DEVICE_BIND_IOMMUFD", VIA_VFIO_DEVICE_BIND_IOMMUFD, 16, 6, words);
	call_open(door, machine->cdev, FD_DEVICE2);
	bind(door, FD_DEVICE2, F);
	attach(door, FD_DEVICE2, 1);
	CALL(door, FD_DEVICE2, DEVICE_GET_INFO, 24);
	call_close(door, FD_DEVICE2);
	call_open(door, machine->subject.node, FD_GROUP);
	IO(door, F, DESTROY, 8, 1);
	CALL(door, D, DEVICE_GET_INFO, 24);
	call_close(door, D);
	IO(door, F, DESTROY, 8, 1);
	call_open(door, machine->subject.node, FD_GROUP);
	call_close(door, FD_GROUP);
	call_close(door, F);
}

static void attaches(const struct door *door, const struct machine *machine)
{
	const uint32_t an_attach[] = {16, 0, 2, 0}, a_detach[] = {12, 0, 0};
	uint32_t hwpt;

	call_open(door, machine->cdev, D);
	iommufd_open(door);
	bind(door, D, F);
	IO(door, F, IOAS_ALLOC, 12, 0, 0);
	IO(door, F, IOAS_ALLOC, 12, 0, 0);
	attach(door, D, 0);
	attach(door, D, 1);
	attach(door, D, 99);
	attach(door, D, ~0u);
	detach(door, D);
	ranges(door, 2);
	sizes(door, D, "DEVICE_ATTACH_IOMMUFD_PT", VIA_VFIO_DEVICE_ATTACH_IOMMUFD_PT, 12, 4,
	      an_attach);
	bits(door, D, "DEVICE_ATTACH_IOMMUFD_PT", VIA_VFIO_DEVICE_ATTACH_IOMMUFD_PT, 4, an_attach,
	     1, 32);
	ranges(door, 2);
	attach(door, D, 2);
	attach(door, D, 3);
	ranges(door, 2);
	ranges(door, 3);
	IO(door, F, DESTROY, 8, 3);
	IO(door, F, DESTROY, 8, 4);
	attach(door, D, 4);
	attach(door, D, 5);
	sizes(door, D, "DEVICE_DETACH_IOMMUFD_PT", VIA_VFIO_DEVICE_DETACH_IOMMUFD_PT, 8, 3,
	      a_detach);
	bits(door, D, "DEVICE_DETACH_IOMMUFD_PT", VIA_VFIO_DEVICE_DETACH_IOMMUFD_PT, 3, a_detach, 1,
	     32);
	/* A reply that faults. */
	call_faults(door, D, "DEVICE_ATTACH_IOMMUFD_PT", VIA_VFIO_DEVICE_ATTACH_IOMMUFD_PT, 3,
		    (uint32_t[]){12, 0, 2});
	ranges(door, 2);
	detach(door, D);
	attach(door, D, 2);
	call_faults(door, D, "DEVICE_ATTACH_IOMMUFD_PT", VIA_VFIO_DEVICE_ATTACH_IOMMUFD_PT, 3,
		    (uint32_t[]){12, 0, 3});
	ranges(door, 2);
	ranges(door, 3);
	detach(door, D);
	ranges(door, 3);
	/* What is mapped already. */
	map_at(door, 2, LAND, PAGE, 0xfee00000);
	attach(door, D, 2);
	unmap(door, 2, 0, TOP);
	map_at(door, 2, LAND, PAGE, 1ull << 60);
	attach(door, D, 2);
	unmap(door, 2, 0, TOP);
	map_at(door, 2, LAND + 16, PAGE, 0x10010);
	attach(door, D, 2);
	unmap(door, 2, 0, TOP);
	map_at(door, 2, UNMAPPED, PAGE, 0x10000);
	attach(door, D, 2);
	unmap(door, 2, 0, TOP);
	IO(door, F, IOAS_MAP_FILE, 40, MAP_RW, 2, FD_PIPE, U64(0), U64(PAGE), U64(0));
	attach(door, D, 2);
	unmap(door, 2, 0, TOP);
	memcpy((void *)OUT, (uint64_t[]){0xfed00000, 0xfeefffff}, 16);
	IO(door, F, IOAS_ALLOW_IOVAS, 24, 2, 1, 0, U64(OUT));
	attach(door, D, 2);
	IO(door, F, IOAS_ALLOW_IOVAS, 24, 2, 0, 0, U64(0));
	map_at(door, 2, LAND, PAGE, 0x10000);
	attach(door, D, 2);
	/* HWPTs. */
	for (uint32_t flags = 0; flags < 16; flags++)
		IO(door, F, HWPT_ALLOC, 48, flags, 1, 2, 0, 0, 0, 0, U64(0), 0, 0);
	for (uint32_t type = 0; type < 5; type++)
		IO(door, F, HWPT_ALLOC, 48, 0, 1, 2, 0, 0, type, 24, U64(OUT), 0, 0);
	if (!IO(door, F, HWPT_ALLOC, 48, 0, 1, 3, 0, 0, 0, 0, U64(0), 0, 0)) {
		hwpt = word_after(4);
		attach(door, D, hwpt);
		ranges(door, 3);
		IO(door, F, DESTROY, 8, hwpt);
		IO(door, F, HWPT_SET_DIRTY_TRACKING, 16, 1, hwpt, 0);
		IO(door, F, HWPT_GET_DIRTY_BITMAP, 48, hwpt, 0, 0, U64(0x10000), U64(PAGE),
		   U64(PAGE), U64(OUT));
		IO(door, F, HWPT_INVALIDATE, 32, hwpt, U64(OUT), 0, 24, 1, 0);
		IO(door, F, HWPT_ALLOC, 48, 0, 1, hwpt, 0, 0, 1, 24, U64(OUT), 0, 0);
		IO(door, F, VIOMMU_ALLOC, 40, 0, 1, 1, hwpt, 0, 0, 0, U64(0));
		detach(door, D);
		IO(door, F, DESTROY, 8, hwpt);
	}
	for (uint32_t len = 0; len < 40; len += 4)
		IO_SHOWN(door, F, GET_HW_INFO, &info_out, 40, 0, 1, len, U64(OUT), 0, 0, U64(0));
	for (uint32_t type = 0; type < 5; type++)
		IO_SHOWN(door, F, GET_HW_INFO, &info_out, 40, 1, 1, 24, U64(OUT), type, 0, U64(0));
	call_close(door, F);
	attach(door, D, 2);
	detach(door, D);
	CALL(door, D, DEVICE_GET_INFO, 24);
	call_close(door, D);
}

/* Each side of each end of what the device can address. */
static void edges(const struct door *door, const struct machine *machine)
{
	static const uint64_t ends[] = {0,	     0xfee00000,   0xfef00000,
					0x100000000, 0x8000000000, 0x1000000000000,
					1ull << 57,  1ull << 63};

	call_open(door, machine->cdev, D);
	iommufd_open(door);
	bind(door, D, F);
	IO(door, F, IOAS_ALLOC, 12, 0, 0);
	attach(door, D, 2);
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		for (int before = 2; before >= -1; before--) {
			for (unsigned int pages = 1; pages < 4; pages++) {
				uint64_t iova = ends[i] - (uint64_t)(int64_t)before * PAGE;

				if (!map_at(door, 2, LAND, pages * PAGE, iova))
					unmap(door, 2, iova, pages * PAGE);
			}
		}
	}
	for (uint64_t len = PAGE; len <= 1 << 20; len *= 2)
		IO(door, F, IOAS_MAP, 40, MAP_RW, 2, 0, U64(LAND), U64(len), U64(0));
	for (uint32_t flags = 0; flags < 16; flags++)
		IO(door, F, IOAS_MAP, 40, flags, 2, 0, U64(READ_ONLY), U64(PAGE), U64(0x900000));
	call_close(door, D);
	ranges(door, 2);
	call_close(door, F);
}

void cdev_lists(const struct door *door, const struct machine *machine)
{
	section("cdev: bind");
	binds(door, machine);
	section("cdev: attach");
	attaches(door, machine);
	section("cdev: ranges");
	edges(door, machine);
}

/* Sequences ------------------------------------------------------------------ */

struct world {
	uint64_t iova[16], length[16];
	uint32_t ioas[16];
};

static uint64_t pick_iova(const struct world *w)
{
	static const uint64_t bases[] = {0,	     0x10000,	 0x10000,
					 0xfedf8000, 0xfeef8000, 0xffffffff8000};

	if (below(2))
		return w->iova[below(16)] + (rarely(4) ? below(4) * PAGE : 0);
	return bases[below(6)] + below(16) * PAGE + (rarely(30) ? 1u << below(12) : 0);
}

static void step(const struct door *door, struct world *w)
{
	uint32_t id = rarely(20) ? below(12) : 2 + below(3),
		 flags = rarely(12) ? below(16) : 6 | below(2);
	uint64_t iova = pick_iova(w), length = (1 + below(8)) * PAGE,
		 va = rarely(20) ? UNMAPPED - below(3) * PAGE : LAND + below(64) * PAGE;
	unsigned int i = below(16);
	long ret;

	if (rarely(30))
		length ^= 1u << below(14);
	switch (below(24)) {
	case 0:
		IO(door, F, IOAS_ALLOC, 12, 0, 0);
		return;
	case 1:
		IO(door, F, DESTROY, 8, 1 + below(8));
		return;
	case 2:
	case 3:
	case 4:
		attach(door, D, rarely(3) ? 1 + below(10) : id);
		return;
	case 5:
		detach(door, D);
		return;
	case 6:
	case 7:
		IO(door, F, HWPT_ALLOC, 48, rarely(3) ? below(16) : 0, 1, id, 0, 0, 0, 0, U64(0), 0,
		   0);
		return;
	case 8:
		ranges(door, id);
		return;
	case 9:
		IO(door, F, OPTION, 24, 1, below(2), id, U64(below(2)));
		return;
	case 10:
		if (rarely(3))
			unmap(door, id, 0, TOP);
		return;
	case 11:
	case 12:
	case 13:
	case 14:
		unmap(door, w->ioas[i], w->iova[i], w->length[i]);
		return;
	case 15:
		unmap(door, id, iova, length);
		return;
	case 16:
	case 17:
		ret = IO(door, F, IOAS_COPY, 40, flags, id, w->ioas[i], U64(w->length[i]),
			 U64(iova), U64(w->iova[i]));
		length = w->length[i];
		if (!ret)
			iova = u64_after(6);
		break;
	case 18:
		ret = IO(door, F, IOAS_MAP_FILE, 40, flags, id, FD_MEMORY,
			 U64(below(MEMORY_PAGES) * PAGE), U64(length), U64(iova));
		if (!ret)
			iova = u64_after(8);
		break;
	default:
		ret = IO(door, F, IOAS_MAP, 40, flags, id, 0, U64(va), U64(length), U64(iova));
		if (!ret)
			iova = u64_after(8);
	}
	if (ret)
		return;
	w->ioas[below(16)] = id;
	i = below(16);
	w->ioas[i] = id;
	w->iova[i] = iova;
	w->length[i] = length;
}

void cdev_random(const struct door *door, const struct machine *machine)
{
	for (unsigned int n = 0; n < 6; n++) {
		struct world w = {0};
		char title[64];

		snprintf(title, sizeof(title), "cdev: random sequence %u", n);
		section(title);
		seed_with(machine->seed, 3000 + n);
		call_open(door, machine->cdev, D);
		iommufd_open(door);
		bind(door, D, F);
		for (unsigned int i = 0; i < 3; i++)
			IO(door, F, IOAS_ALLOC, 12, 0, 0);
		for (unsigned int i = 0; i < 16; i++) {
			w.ioas[i] = 2 + i % 3;
			w.length[i] = PAGE;
		}
		for (unsigned int i = 0; i < 200; i++)
			step(door, &w);
		call_close(door, D);
		for (uint32_t id = 1; id < 8; id++)
			ranges(door, id);
		call_close(door, F);
	}
}
