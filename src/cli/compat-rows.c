/* SPDX-License-Identifier: MIT */
/*
 * Where a container that is an iommufd may answer differently from a type1 container on
 * Linux 7.2, one by one.
 */
#include "cli/compat.h"

#include <viaduct/abi/iommufd.h>
#include <viaduct/abi/vfio.h>

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define V1 VIA_VFIO_TYPE1_IOMMU
#define V2 VIA_VFIO_TYPE1v2_IOMMU
#define R VIA_VFIO_DMA_MAP_FLAG_READ
#define W VIA_VFIO_DMA_MAP_FLAG_WRITE
#define UNKNOWN_IOCTL 0x3bff

/* Rows are about containers. */
static bool begin(struct compat_session *s, unsigned int type, bool device)
{
	if (s->mode != COMPAT_TYPE1 && s->mode != COMPAT_COMPAT)
		return false;
	return !(device ? compat_open_device(s, type) : compat_open(s, type));
}

/* A container without a group. */
static bool begin_empty(struct compat_session *s)
{
	enum compat_mode mode = s->mode;
	int r;

	if (mode != COMPAT_TYPE1 && mode != COMPAT_COMPAT)
		return false;
	if (mode == COMPAT_TYPE1) {
		r = compat_open(s, 0);
		if (!r)
			r = (int)compat_ioctl(s->group, VIA_VFIO_GROUP_UNSET_CONTAINER, NULL);
		return !r;
	}
	s->mode = COMPAT_NATIVE;
	r = compat_open(s, 0);
	s->mode = mode;
	return !r;
}

static void say_unmap(struct compat_session *s, uint64_t iova, uint64_t len, uint32_t flags)
{
	uint64_t size;
	long r = compat_unmap(s, iova, len, flags, &size);

	compat_say_result(s, r);
	compat_say(s, "size 0x%llx", (unsigned long long)size);
}

static long get_info(struct compat_session *s, struct via_vfio_iommu_type1_info *info, uint32_t argsz)
{
	info->argsz = argsz;
	return compat_ioctl(s->container, VIA_VFIO_IOMMU_GET_INFO, info);
}

static long extension(struct compat_session *s, unsigned int which)
{
	return compat_ioctl(s->container, VIA_VFIO_CHECK_EXTENSION, (void *)(uintptr_t)which);
}

static long set_iommu(struct compat_session *s, unsigned int type)
{
	return compat_ioctl(s->container, VIA_VFIO_SET_IOMMU, (void *)(uintptr_t)type);
}

static void before_set_iommu(struct compat_session *s)
{
	struct via_vfio_iommu_type1_info info = {0};

	if (!begin(s, 0, false))
		return;
	compat_say_result(s, compat_map(s, COMPAT_IOVA, 0, 1));
	say_unmap(s, COMPAT_IOVA, COMPAT_PAGE, 0);
	compat_say_result(s, get_info(s, &info, sizeof(info)));
}

static void without_group(struct compat_session *s)
{
	if (!begin_empty(s))
		return;
	compat_say_result(s, set_iommu(s, V2));
	compat_say_result(s, compat_map(s, COMPAT_IOVA, 0, 1));
}

static void set_twice(struct compat_session *s)
{
	if (begin(s, V2, false))
		compat_say_result(s, set_iommu(s, V2));
}

static void set_unknown(struct compat_session *s)
{
	if (begin(s, 0, false))
		compat_say_result(s, set_iommu(s, 99));
}

static void unknown_ioctl(struct compat_session *s)
{
	if (!begin(s, 0, false))
		return;
	compat_say_result(s, compat_ioctl(s->container, UNKNOWN_IOCTL, NULL));
	(void)set_iommu(s, V2);
	compat_say_result(s, compat_ioctl(s->container, UNKNOWN_IOCTL, NULL));
}

static void bad_address(struct compat_session *s)
{
	if (!begin(s, V2, false))
		return;
	compat_say_result(s, compat_map_at(s, COMPAT_IOVA, COMPAT_PAGE, COMPAT_PAGE, R | W));
	s->device = (int)compat_ioctl(s->group, VIA_VFIO_GROUP_GET_DEVICE_FD,
				      (void *)(uintptr_t)s->place->address[0]);
	compat_say(s, "device %s", s->device < 0 ? strerrorname_np(-s->device) : "0");
}

static void ranges_visible(struct compat_session *s)
{
	if (!begin(s, V2, false))
		return;
	/* The interrupt window of x86. */
	compat_say_result(s, compat_map(s, 0xfee00000, 0, 1));
}

static void leave_with_device(struct compat_session *s)
{
	if (begin(s, V2, true))
		compat_say_result(s, compat_ioctl(s->group, VIA_VFIO_GROUP_UNSET_CONTAINER, NULL));
}

static void map_no_access(struct compat_session *s)
{
	if (!begin(s, V2, true))
		return;
	compat_say_result(s, compat_map_at(s, COMPAT_IOVA, (uintptr_t)s->memory, COMPAT_PAGE, 0));
}

static void map_unaligned(struct compat_session *s)
{
	if (!begin(s, V2, false))
		return;
	compat_say_result(s, compat_map_at(s, COMPAT_IOVA, (uintptr_t)s->memory + 8, COMPAT_PAGE, R | W));
}

static void map_top(struct compat_session *s)
{
	if (!begin(s, V2, false))
		return;
	compat_say_result(s, compat_map_at(s, COMPAT_IOVA, 0 - (uint64_t)COMPAT_PAGE, COMPAT_PAGE, R | W));
}

static void map_nothing(struct compat_session *s)
{
	if (begin(s, V2, true))
		compat_say_result(s, compat_map_at(s, COMPAT_IOVA, (uintptr_t)s->memory, 0, R | W));
}

static void map_overlap(struct compat_session *s)
{
	if (!begin(s, V2, true))
		return;
	(void)compat_map(s, COMPAT_IOVA, 0, 2);
	compat_say_result(s, compat_map(s, COMPAT_IOVA + COMPAT_PAGE, 4, 1));
}

static void map_outside(struct compat_session *s)
{
	if (begin(s, V2, true))
		compat_say_result(s, compat_map(s, 1ull << 60, 0, 1));
}

static void unmap_cut_v2(struct compat_session *s)
{
	if (!begin(s, V2, true))
		return;
	(void)compat_map(s, COMPAT_IOVA, 0, 1);
	(void)compat_map(s, COMPAT_IOVA + COMPAT_PAGE, 1, 2);
	say_unmap(s, COMPAT_IOVA, 2 * COMPAT_PAGE, 0);
	compat_say(s, "%s", compat_map(s, COMPAT_IOVA, 0, 1) ? "first still there" : "first gone");
}

static void unmap_cut_v1(struct compat_session *s)
{
	if (!begin(s, V1, true))
		return;
	(void)compat_map(s, COMPAT_IOVA, 0, 4);
	say_unmap(s, COMPAT_IOVA, COMPAT_PAGE, 0);
}

static void unmap_unaligned(struct compat_session *s)
{
	if (begin(s, V2, true))
		say_unmap(s, COMPAT_IOVA + 8, COMPAT_PAGE, 0);
}

static void unmap_nothing(struct compat_session *s)
{
	if (begin(s, V2, true))
		say_unmap(s, COMPAT_IOVA, COMPAT_PAGE, 0);
}

static void unmap_empty(struct compat_session *s)
{
	if (begin(s, V2, true))
		say_unmap(s, COMPAT_IOVA, 0, 0);
}

static void dirty_flag(struct compat_session *s)
{
	struct via_vfio_iommu_type1_dirty_bitmap start = {.argsz = sizeof(start),
							  .flags = VIA_VFIO_IOMMU_DIRTY_PAGES_FLAG_START};

	if (!begin(s, V2, true))
		return;
	compat_say_result(s, compat_ioctl(s->container, VIA_VFIO_IOMMU_DIRTY_PAGES, &start));
}

static void vaddr_flag(struct compat_session *s)
{
	if (!begin(s, V2, true))
		return;
	(void)compat_map(s, COMPAT_IOVA, 0, 1);
	say_unmap(s, COMPAT_IOVA, COMPAT_PAGE, VIA_VFIO_DMA_UNMAP_FLAG_VADDR);
}

static void info_argsz(struct compat_session *s)
{
	struct {
		struct via_vfio_iommu_type1_info info;
		uint8_t chain[1000];
	} r = {0};

	if (!begin(s, V2, true))
		return;
	compat_say_result(s, get_info(s, &r.info, sizeof(r)));
	compat_say(s, r.info.argsz == sizeof(r) ? "argsz as given" : "argsz the needed size");
}

static void info_chain(struct compat_session *s)
{
	struct {
		struct via_vfio_iommu_type1_info info;
		uint8_t chain[1000];
	} r = {0};

	if (!begin(s, V2, true) || get_info(s, &r.info, sizeof(r)))
		return;
	for (uint32_t at = r.info.cap_offset, n = 0; at && at + 8 <= sizeof(r) && n < 8; n++) {
		const struct via_vfio_info_cap_header *cap = (void *)((uint8_t *)&r + at);

		compat_say(s, "capability %u", cap->id);
		at = cap->next;
	}
}

static void read_only_memory(struct compat_session *s)
{
	if (!begin(s, V2, true))
		return;
	if (mprotect(s->memory, COMPAT_PAGE, PROT_READ))
		return;
	compat_say_result(s, compat_map(s, COMPAT_IOVA, 0, 1));
}

static void iova_zero(struct compat_session *s)
{
	if (begin(s, V2, true))
		compat_say_result(s, compat_map(s, 0, 0, 1));
}

static void extensions(struct compat_session *s)
{
	if (!begin(s, 0, false))
		return;
	for (unsigned int i = 1; i <= 10; i++) {
		long r = extension(s, i);

		if (r > 0)
			compat_say(s, "%u", i);
		else if (r < 0)
			compat_say(s, "%u ENODEV", i);
	}
}

static void extensions_set(struct compat_session *s)
{
	if (!begin(s, V2, true))
		return;
	for (unsigned int i = 1; i <= 10; i++)
		if (extension(s, i) > 0)
			compat_say(s, "%u", i);
}

/* Both ways on one file: what one maps the other sees. */
static void both_ways(struct compat_session *s)
{
	struct via_iommu_ioas_alloc alloc = {.size = sizeof(alloc)};
	struct via_iommu_vfio_ioas set = {.size = sizeof(set), .op = VIA_IOMMU_VFIO_IOAS_SET};
	struct via_iommu_ioas_unmap unmap = {.size = sizeof(unmap), .iova = COMPAT_IOVA,
					     .length = COMPAT_PAGE};

	if (s->mode != COMPAT_COMPAT || !begin_empty(s))
		return;
	(void)compat_ioctl(s->container, VIA_IOMMU_IOAS_ALLOC, &alloc);
	set.ioas_id = unmap.ioas_id = alloc.out_ioas_id;
	compat_say_result(s, compat_ioctl(s->container, VIA_IOMMU_VFIO_IOAS, &set));
	compat_say_result(s, compat_map(s, COMPAT_IOVA, 0, 1));
	compat_say_result(s, compat_ioctl(s->container, VIA_IOMMU_IOAS_UNMAP, &unmap));
}

const struct compat_question compat_rows[] = {
	{"before-type", "MAP, UNMAP, GET_INFO before SET_IOMMU", before_set_iommu},
	{"no-group", "SET_IOMMU, MAP without a group", without_group},
	{"type-twice", "SET_IOMMU twice", set_twice},
	{"type-unknown", "SET_IOMMU of no type", set_unknown},
	{"unknown-ioctl", "unknown ioctl before and after SET_IOMMU", unknown_ioctl},
	{"bad-address", "MAP of a bad address, then GET_DEVICE_FD", bad_address},
	{"reserved", "MAP of the interrupt window, no device open", ranges_visible},
	{"leave", "UNSET_CONTAINER with an open device", leave_with_device},
	{"map-flags", "MAP without READ and WRITE, device open", map_no_access},
	{"map-unaligned", "MAP of an unaligned address, no device open", map_unaligned},
	{"map-top", "MAP of the last page of the address space", map_top},
	{"map-nothing", "MAP of 0 bytes", map_nothing},
	{"map-overlap", "MAP over a mapping", map_overlap},
	{"map-outside", "MAP outside of the valid ranges", map_outside},
	{"map-read-only", "MAP for writing of read-only memory", read_only_memory},
	{"map-zero", "MAP at IOVA 0", iova_zero},
	{"unmap-cut", "UNMAP of a mapping and half of the next", unmap_cut_v2},
	{"unmap-cut-v1", "UNMAP of the first of 4 pages, type 1", unmap_cut_v1},
	{"unmap-unaligned", "UNMAP of an unaligned empty range", unmap_unaligned},
	{"unmap-nothing", "UNMAP of an empty range", unmap_nothing},
	{"unmap-empty", "UNMAP of 0 bytes", unmap_empty},
	{"dirty", "DIRTY_PAGES START", dirty_flag},
	{"vaddr", "UNMAP with VADDR", vaddr_flag},
	{"info-argsz", "GET_INFO with room to spare", info_argsz},
	{"info-chain", "GET_INFO: capabilities", info_chain},
	{"extensions", "extensions before SET_IOMMU", extensions},
	{"extensions-set", "extensions after SET_IOMMU, device open", extensions_set},
	{"both-ways", "VFIO_IOAS SET, MAP_DMA, IOAS_UNMAP on one file", both_ways},
	{NULL, NULL, NULL},
};
