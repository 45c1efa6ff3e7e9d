/* SPDX-License-Identifier: MIT */
/*
 * The ten things that a founding thread of this project found an iommufd to lack as
 * a VFIO container, each as a question that a program can ask.
 */
#include "cli/compat.h"

#include <viaduct/abi/iommufd.h>
#include <viaduct/abi/vfio.h>

#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EDU_LIVENESS 0x04u

/* One less where the question makes no sense for who asks. */
static bool skip(struct compat_session *s, bool native_too)
{
	return s->mode == COMPAT_SPAPR || (s->mode == COMPAT_NATIVE && !native_too);
}

/* 1: unmap a page out of the middle of a mapping. */
static void hole_punching(struct compat_session *s)
{
	uint64_t size;
	long r;

	if (skip(s, true) || compat_open_device(s, VIA_VFIO_TYPE1_IOMMU))
		return;
	compat_say_result(s, compat_map(s, COMPAT_IOVA, 0, 4));
	r = compat_unmap(s, COMPAT_IOVA + COMPAT_PAGE, COMPAT_PAGE, 0, &size);
	compat_say_result(s, r);
	if (!r)
		compat_say(s, "0x%llx bytes gone", (unsigned long long)size);
	/* What is left, as the next map finds it. */
	r = compat_map(s, COMPAT_IOVA + COMPAT_PAGE, 8, 1);
	compat_say(s, "%s", r == 0 ? "hole can be mapped" : "still mapped");
}

/* 2: how many mappings a container may have, and where that is enforced. */
static void entry_limit(struct compat_session *s)
{
	struct {
		struct via_vfio_iommu_type1_info info;
		uint8_t chain[512];
	} r = {.info = {.argsz = sizeof(r)}};
	struct via_vfio_iommu_type1_info_dma_avail avail;
	uint32_t at;

	if (skip(s, false) || compat_open_device(s, VIA_VFIO_TYPE1v2_IOMMU))
		return;
	if (compat_ioctl(s->container, VIA_VFIO_IOMMU_GET_INFO, &r))
		return;
	for (at = r.info.cap_offset; at && at + sizeof(avail) <= sizeof(r); at = avail.header.next) {
		memcpy(&avail, (uint8_t *)&r + at, sizeof(avail));
		if (avail.header.id == VIA_VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL) {
			compat_say(s, "%u left", avail.avail);
			return;
		}
	}
	compat_say(s, "not told");
}

static bool written(struct compat_session *s)
{
	/* The register answers with the complement of what was written to it. */
	compat_dma_write(s, COMPAT_IOVA + EDU_LIVENESS, 4);
	return compat_read(s, s->second_device, EDU_LIVENESS, 4) != 0;
}

/* 3: a BAR of one device as DMA memory of another. */
static void peer_to_peer(struct compat_session *s)
{
	uint32_t flags = VIA_VFIO_DMA_MAP_FLAG_READ | VIA_VFIO_DMA_MAP_FLAG_WRITE;
	void *bar;
	long r;

	if (skip(s, true) || compat_open_device(s, VIA_VFIO_TYPE1v2_IOMMU) || compat_open_second(s))
		return;
	bar = mmap(NULL, COMPAT_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, s->second_device, 0);
	if (bar == MAP_FAILED) {
		compat_say(s, "BAR cannot be mapped");
		return;
	}
	r = compat_map_at(s, COMPAT_IOVA, (uintptr_t)bar, COMPAT_PAGE, flags);
	compat_say_result(s, r);
	if (!r) {
		compat_write(s, s->second_device, EDU_LIVENESS, 4, ~0u);
		compat_say(s, written(s) ? "device reaches it" : "device does not reach it");
		compat_write(s, s->second_device, EDU_LIVENESS, 4, ~0u);
		compat_command(s, s->second_device, 0);
		compat_command(s, s->second_device, 6);
		compat_say(s, written(s) ? "also after memory was off and on" : "not after memory was off and on");
	}
	(void)munmap(bar, COMPAT_PAGE);
}

/* The kernel's test command, where it is offered. */
struct test_command {
	uint32_t size, op, id, reserved;
	uint32_t words[13];
	uint32_t last;
};

#define TEST_CMD 0x3ba0u
#define TEST_CREATE_ACCESS 5u
#define TEST_ACCESS_PAGES 7u

/* 4: memory that an emulated (mdev) device has pinned. */
static void mdev_access(struct compat_session *s)
{
	struct test_command access = {.size = sizeof(access), .op = TEST_CREATE_ACCESS, .words = {[1] = 1}};
	struct test_command pages = {.size = sizeof(pages), .op = TEST_ACCESS_PAGES, .words = {1}};
	struct via_iommu_vfio_ioas get = {.size = sizeof(get)};
	uint64_t iova = COMPAT_IOVA, len = 2 * COMPAT_PAGE, va = (uintptr_t)s->memory, size;
	long r;

	if (s->mode == COMPAT_TYPE1 || skip(s, true) || compat_open_device(s, VIA_VFIO_TYPE1_IOMMU))
		return;
	get.ioas_id = s->ioas;
	if (s->mode == COMPAT_COMPAT && compat_ioctl(s->container, VIA_IOMMU_VFIO_IOAS, &get))
		return;
	access.id = get.ioas_id;
	r = compat_ioctl(s->container, TEST_CMD, &access);
	if (r == -ENOTTY)
		return;
	compat_say_result(s, compat_map(s, iova, 0, 4));
	pages.id = access.words[0];
	memcpy(&pages.words[2], &iova, 8);
	memcpy(&pages.words[4], &len, 8);
	memcpy(&pages.words[6], &va, 8);
	r = compat_ioctl(s->container, TEST_CMD, &pages);
	compat_say(s, "%s", r ? "pin failed" : "pinned");
	r = compat_unmap(s, iova, COMPAT_PAGE, 0, &size);
	compat_say(s, "a page of it: %s", r ? strerrorname_np((int)-r) : "unmapped");
	r = compat_unmap(s, iova, 4 * COMPAT_PAGE, 0, &size);
	compat_say(s, "all: %s", r ? strerrorname_np((int)-r) : "unmapped");
	if (access.words[0])
		(void)close((int)access.words[0]);
}

/* 5: take a mapping's address away, and give it another one. */
static void vaddr_suspend(struct compat_session *s)
{
	uint64_t size;

	if (skip(s, false) || compat_open_device(s, VIA_VFIO_TYPE1v2_IOMMU))
		return;
	compat_say(s, "extension %ld", compat_ioctl(s->container, VIA_VFIO_CHECK_EXTENSION,
						    (void *)(uintptr_t)VIA_VFIO_UPDATE_VADDR));
	(void)compat_map(s, COMPAT_IOVA, 0, 4);
	compat_say_result(s, compat_unmap(s, COMPAT_IOVA, 4 * COMPAT_PAGE,
					  VIA_VFIO_DMA_UNMAP_FLAG_VADDR, &size));
	compat_say_result(s, compat_map_at(s, COMPAT_IOVA, (uintptr_t)s->memory, 4 * COMPAT_PAGE,
					   VIA_VFIO_DMA_MAP_FLAG_VADDR));
}

static long dirty_container(struct compat_session *s, uint32_t flags, uint64_t *bits)
{
	struct {
		struct via_vfio_iommu_type1_dirty_bitmap head;
		struct via_vfio_iommu_type1_dirty_bitmap_get get;
	} d = {
		.head = {.argsz = sizeof(d), .flags = flags},
		.get = {.iova = COMPAT_IOVA, .size = 16 * COMPAT_PAGE,
			.bitmap = {.pgsize = COMPAT_PAGE, .size = 8, .data = (uintptr_t)bits}},
	};

	return compat_ioctl(s->container, VIA_VFIO_IOMMU_DIRTY_PAGES, &d);
}

static void say_bits(struct compat_session *s, uint64_t bits)
{
	if (bits == 0xffff)
		compat_say(s, "every page is dirty");
	else
		compat_say(s, "dirty: 0x%llx", (unsigned long long)bits);
}

static void dirty_native(struct compat_session *s)
{
	struct via_iommu_hwpt_alloc alloc = {.size = sizeof(alloc), .dev_id = s->devid, .pt_id = s->ioas,
					     .flags = VIA_IOMMU_HWPT_ALLOC_DIRTY_TRACKING};
	struct via_iommu_hwpt_set_dirty_tracking set = {.size = sizeof(set),
							.flags = VIA_IOMMU_HWPT_DIRTY_TRACKING_ENABLE};
	struct via_vfio_device_attach_iommufd_pt attach = {.argsz = sizeof(attach)};
	struct via_iommu_hwpt_get_dirty_bitmap get = {.size = sizeof(get), .iova = COMPAT_IOVA,
						      .length = 16 * COMPAT_PAGE, .page_size = COMPAT_PAGE};
	uint64_t bits = 0;
	long r = compat_ioctl(s->container, VIA_IOMMU_HWPT_ALLOC, &alloc);

	compat_say_result(s, r);
	if (r)
		return;
	attach.pt_id = set.hwpt_id = get.hwpt_id = alloc.out_hwpt_id;
	r = compat_ioctl(s->device, VIA_VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach);
	if (!r)
		r = compat_ioctl(s->container, VIA_IOMMU_HWPT_SET_DIRTY_TRACKING, &set);
	compat_dma_write(s, COMPAT_IOVA + 5 * COMPAT_PAGE, 64);
	get.data = (uintptr_t)&bits;
	if (!r)
		r = compat_ioctl(s->container, VIA_IOMMU_HWPT_GET_DIRTY_BITMAP, &get);
	compat_say_result(s, r);
	say_bits(s, bits);
}

/* 6: which pages of sixteen has the device written, that has written the sixth? */
static void dirty_tracking(struct compat_session *s)
{
	uint64_t bits = 0;
	long r;

	if (skip(s, true) || compat_open_device(s, VIA_VFIO_TYPE1v2_IOMMU))
		return;
	(void)compat_map(s, COMPAT_IOVA, 0, 16);
	if (s->mode == COMPAT_NATIVE) {
		dirty_native(s);
		return;
	}
	r = dirty_container(s, VIA_VFIO_IOMMU_DIRTY_PAGES_FLAG_START, NULL);
	compat_say_result(s, r);
	if (r)
		return;
	compat_dma_write(s, COMPAT_IOVA + 5 * COMPAT_PAGE, 64);
	compat_say_result(s, dirty_container(s, VIA_VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP, &bits));
	say_bits(s, bits);
}

/* 7: errnos; all of them are rows of their own. */
static void errnos(struct compat_session *s)
{
	uint64_t size;

	if (skip(s, false) || compat_open(s, 0))
		return;
	compat_say_result(s, compat_ioctl(s->container, VIA_VFIO_SET_IOMMU,
					  (void *)(uintptr_t)VIA_VFIO_TYPE1_NESTING_IOMMU));
	compat_say_result(s, compat_ioctl(s->container, VIA_VFIO_SET_IOMMU,
					  (void *)(uintptr_t)VIA_VFIO_TYPE1v2_IOMMU));
	compat_say_result(s, compat_ioctl(s->container, VIA_VFIO_SET_IOMMU,
					  (void *)(uintptr_t)VIA_VFIO_TYPE1v2_IOMMU));
	(void)compat_map(s, COMPAT_IOVA, 0, 2);
	compat_say_result(s, compat_unmap(s, COMPAT_IOVA, COMPAT_PAGE, 0, &size));
}

/* 8: the windows of a POWER machine. */
static void spapr(struct compat_session *s)
{
	struct via_vfio_iommu_spapr_tce_info info = {.argsz = sizeof(info)};
	struct via_vfio_iommu_spapr_register_memory reg = {.argsz = sizeof(reg), .size = 16 * COMPAT_PAGE,
							   .vaddr = (uintptr_t)s->memory};
	struct via_vfio_iommu_spapr_tce_create create = {.argsz = sizeof(create), .page_shift = 16,
							 .window_size = 1ull << 40, .levels = 3};
	uint64_t size;

	if (s->mode != COMPAT_SPAPR) {
		int fd = skip(s, false) || compat_open(s, 0) ? -1 : s->container;

		if (fd >= 0)
			compat_say(s, "extensions %ld %ld",
				   compat_ioctl(fd, VIA_VFIO_CHECK_EXTENSION,
						(void *)(uintptr_t)VIA_VFIO_SPAPR_TCE_IOMMU),
				   compat_ioctl(fd, VIA_VFIO_CHECK_EXTENSION,
						(void *)(uintptr_t)VIA_VFIO_SPAPR_TCE_v2_IOMMU));
		return;
	}
	if (compat_open_device(s, VIA_VFIO_SPAPR_TCE_v2_IOMMU))
		return;
	(void)compat_ioctl(s->container, VIA_VFIO_IOMMU_SPAPR_TCE_GET_INFO, &info);
	compat_say(s, "window of 0x%x", info.dma32_window_size);
	compat_say_result(s, compat_ioctl(s->container, VIA_VFIO_IOMMU_SPAPR_REGISTER_MEMORY, &reg));
	compat_say_result(s, compat_map(s, COMPAT_IOVA, 0, 4));
	compat_dma_write(s, COMPAT_IOVA, 4);
	compat_say_result(s, compat_ioctl(s->container, VIA_VFIO_IOMMU_SPAPR_TCE_CREATE, &create));
	compat_say(s, "at 0x%llx", (unsigned long long)create.start_addr);
	compat_say_result(s, compat_unmap(s, COMPAT_IOVA, 4 * COMPAT_PAGE, 0, &size));
}

static void drop_ipc_lock(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &head, data))
		return;
	data[0].effective &= ~(1u << CAP_IPC_LOCK);
	(void)syscall(SYS_capset, &head, data);
}

static long status_kib(const char *name)
{
	FILE *f = fopen("/proc/self/status", "r");
	long value = -1;
	char line[256];

	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, name, strlen(name)))
			(void)sscanf(line + strlen(name), ": %ld", &value);
	if (f)
		(void)fclose(f);
	return value;
}

/* 9: who pays for pinned memory, and what is refused. */
static void locked_memory(struct compat_session *s)
{
	struct rlimit limit = {8 * COMPAT_PAGE, 8 * COMPAT_PAGE}, old;
	long locked, pinned, r;

	drop_ipc_lock();
	if (skip(s, true) || getrlimit(RLIMIT_MEMLOCK, &old) ||
	    compat_open_device(s, VIA_VFIO_TYPE1v2_IOMMU))
		return;
	locked = status_kib("VmLck");
	pinned = status_kib("VmPin");
	compat_say_result(s, compat_map(s, COMPAT_IOVA, 0, 8));
	compat_say(s, "VmLck +%ld VmPin +%ld", status_kib("VmLck") - locked, status_kib("VmPin") - pinned);
	limit.rlim_max = old.rlim_max;
	(void)setrlimit(RLIMIT_MEMLOCK, &limit);
	r = compat_map(s, COMPAT_IOVA + 16 * COMPAT_PAGE, 8, 1);
	compat_say(s, "beyond the limit %s", r ? strerrorname_np((int)-r) : "0");
	(void)setrlimit(RLIMIT_MEMLOCK, &old);
}

/* 10: cache coherency, asked before there is anything to ask about. */
static void coherency(struct compat_session *s)
{
	bool classic = s->mode == COMPAT_TYPE1;

	if (skip(s, false))
		return;
	s->mode = COMPAT_NATIVE; /* nothing but the file */
	if (!classic && compat_open(s, 0))
		return;
	s->mode = classic ? COMPAT_TYPE1 : COMPAT_COMPAT;
	if (classic && compat_open(s, 0))
		return;
	compat_say_result(s, compat_ioctl(s->container, VIA_VFIO_CHECK_EXTENSION,
					  (void *)(uintptr_t)VIA_VFIO_DMA_CC_IOMMU));
}

const struct compat_question compat_gaps[] = {
	{"gap-1", "hole punching: map 4 pages, unmap the second", hole_punching},
	{"gap-2", "dma_entry_limit", entry_limit},
	{"gap-3", "P2P: a BAR as DMA memory", peer_to_peer},
	{"gap-4", "mdev access: unmap what an access has pinned", mdev_access},
	{"gap-5", "VADDR: suspend, resume", vaddr_suspend},
	{"gap-6", "dirty tracking: the device writes page 5 of 16", dirty_tracking},
	{"gap-7", "errnos: SET_IOMMU 6, 3, 3; unmap that cuts", errnos},
	{"gap-8", "sPAPR TCE", spapr},
	{"gap-9", "locked memory (kB), without CAP_IPC_LOCK", locked_memory},
	{"gap-10", "DMA_CC on a fresh file", coherency},
	{NULL, NULL, NULL},
};
