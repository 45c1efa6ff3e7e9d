/* SPDX-License-Identifier: MIT */
/* VFIO ioctls with arguments that an input chooses, for whoever carries them out. */
#ifndef VIA_TESTS_FUZZ_CALLS_H
#define VIA_TESTS_FUZZ_CALLS_H

#include "arena.h"

#include <viaduct/abi/vfio.h>
#include <viaduct/base.h>

struct call {
	unsigned long cmd;
	uint64_t arg;
};

/* The most bytes that an argument has. */
#define CALLS_ROOM 96

static inline void calls_text(uint8_t *at, const char *text)
{
	memcpy(at, text, strlen(text) + 1);
}

static inline uint64_t calls_iova(struct fuzz_input *in)
{
	return (1ull << 20) + (uint64_t)(fuzz_u8(in) & 31) * ARENA_PAGE;
}

/* The argument that a driver gives, with the numbers that matter from the input; its size. */
static inline size_t calls_template(struct fuzz_input *in, unsigned long cmd, uint8_t *at,
				    const int *fds, size_t n_fds)
{
	union {
		struct via_vfio_iommu_type1_dma_map map;
		struct {
			struct via_vfio_iommu_type1_dma_unmap unmap;
			struct via_vfio_bitmap bitmap;
		} unmap;
		struct {
			struct via_vfio_iommu_type1_dirty_bitmap dirty;
			struct via_vfio_iommu_type1_dirty_bitmap_get get;
		} dirty;
		struct {
			struct via_vfio_irq_set set;
			int32_t fds[5];
		} irqs;
		struct {
			struct via_vfio_pci_hot_reset reset;
			int32_t fds[3];
		} reset;
		struct via_vfio_region_info region;
		struct via_vfio_device_ioeventfd ioeventfd;
		struct {
			struct via_vfio_device_feature header;
			union {
				struct via_vfio_device_low_power_entry_with_wakeup wakeup;
				struct {
					struct via_vfio_device_feature_dma_buf get;
					struct via_vfio_region_dma_range ranges[2];
				} dma_buf;
			} u;
		} feature;
	} u;
	uint8_t how = fuzz_u8(in);
	size_t size = 0;

	memset(&u, 0, sizeof(u));
	switch (cmd) {
	case VIA_VFIO_IOMMU_MAP_DMA: /* and PCI_HOT_RESET */
		if (how & 0x80) {
			u.reset.reset.count = how & 3;
			for (unsigned int i = 0; i < 3; i++)
				u.reset.fds[i] = fds[fuzz_u8(in) % n_fds];
			size = sizeof(u.reset);
			break;
		}
		u.map.flags = how & 7;
		u.map.vaddr = ARENA_BASE + (uint64_t)(fuzz_u8(in) % ARENA_END) * ARENA_PAGE;
		u.map.iova = calls_iova(in);
		u.map.size = (1 + (how >> 3 & 7u)) * ARENA_PAGE;
		size = sizeof(u.map);
		break;
	case VIA_VFIO_IOMMU_UNMAP_DMA:
		u.unmap.unmap.flags = how & 7;
		if (!(how & 2)) {
			u.unmap.unmap.iova = calls_iova(in);
			u.unmap.unmap.size = (1 + (how >> 3 & 15u)) * ARENA_PAGE;
		}
		u.unmap.bitmap.pgsize = ARENA_PAGE;
		u.unmap.bitmap.size = 8;
		u.unmap.bitmap.data = how & 0x80 ? arena_pointer(in) : ARENA_BASE + 8 * ARENA_PAGE;
		size = sizeof(u.unmap);
		break;
	case VIA_VFIO_DEVICE_IOEVENTFD:
		u.ioeventfd.flags = 1u << (how & 3);
		u.ioeventfd.offset = (how >> 2 & 7ull) << VIA_VFIO_PCI_OFFSET_SHIFT | fuzz_u8(in);
		u.ioeventfd.data = how >> 5 & 3;
		u.ioeventfd.fd = how & 0x80 ? -1 : fds[fuzz_u8(in) % n_fds];
		size = sizeof(u.ioeventfd);
		break;
	case VIA_VFIO_IOMMU_DIRTY_PAGES: /* and DEVICE_FEATURE */
		if ((how & 0xc0) == 0xc0) {
			u.feature.header.flags = (how & 15u) | 1u << (how & 0x20 ? 17 : 16);
			if ((how & 15) == VIA_VFIO_DEVICE_FEATURE_DMA_BUF) {
				how = fuzz_u8(in);
				u.feature.u.dma_buf.get.region_index = how & 7;
				u.feature.u.dma_buf.get.nr_ranges = how >> 3 & 3;
				for (unsigned int i = 0; i < 2; i++)
					u.feature.u.dma_buf.ranges[i] =
						(struct via_vfio_region_dma_range){
							(how >> 5 & 3u) * ARENA_PAGE, ARENA_PAGE};
			} else {
				u.feature.u.wakeup.wakeup_eventfd = fds[fuzz_u8(in) % n_fds];
			}
			size = sizeof(u.feature);
			break;
		}
		u.dirty.dirty.flags = how & 7;
		u.dirty.get.iova = calls_iova(in);
		u.dirty.get.size = (1 + (how >> 3 & 31u)) * ARENA_PAGE;
		u.dirty.get.bitmap.pgsize = ARENA_PAGE;
		u.dirty.get.bitmap.size = 8;
		u.dirty.get.bitmap.data = ARENA_BASE + 8 * ARENA_PAGE;
		size = sizeof(u.dirty);
		break;
	case VIA_VFIO_DEVICE_SET_IRQS:
		u.irqs.set.index = how & 7;
		u.irqs.set.flags = 1u << (how >> 3 & 3) | 8u << (how >> 5 & 3);
		how = fuzz_u8(in);
		u.irqs.set.start = how & 3;
		u.irqs.set.count = how >> 2 & 7;
		for (unsigned int i = 0; i < 5; i++)
			u.irqs.fds[i] = how & 0x80 ? -1 : fds[fuzz_u8(in) % n_fds];
		size = sizeof(u.irqs);
		break;
	case VIA_VFIO_DEVICE_GET_PCI_HOT_RESET_INFO: /* and IOMMU_GET_INFO */
		size = sizeof(u);
		break;
	default:
		u.region.index = how & 15;
		size = CALLS_ROOM;
	}
	memcpy(at, &u, size < sizeof(u) ? size : sizeof(u));
	via_put_le32(at, (uint32_t)size);
	return size;
}

/*
 * The bytes of an argument: from the input, then up to three of its words
 * replaced by what belongs there: its size, a descriptor, a pointer.
 */
static inline void calls_argument(struct fuzz_input *in, unsigned long cmd, uint8_t *at,
				  const int *fds, size_t n_fds)
{
	static const char *const names[] = {"0000:00:04.0", "0000:01:00.0", "0000:01:00.1",
					    "0000:00:04.0 x=1"};
	uint8_t len = fuzz_u8(in) % CALLS_ROOM, fixes = fuzz_u8(in);

	if (fixes & 0x80) {
		calls_text(at, names[fixes & 3]);
		return;
	}
	if (fixes & 0x20) {
		(void)calls_template(in, cmd, at, fds, n_fds);
	} else {
		fuzz_bytes(in, at, len);
		if (!(fixes & 0x40))
			via_put_le32(at, len);
	}
	for (unsigned int i = 0; i < (fixes & 3u); i++) {
		uint8_t where = fuzz_u8(in);
		uint8_t *word = at + (where & 0x3f);

		switch (where >> 6) {
		case 0:
			via_put_le32(word, (uint32_t)fds[fuzz_u8(in) % n_fds]);
			break;
		case 1:
			via_put_le64(word, arena_pointer(in));
			break;
		default:
			via_put_le64(word, fuzz_number(in));
		}
	}
}

static inline struct call calls_take(struct fuzz_input *in, const int *fds, size_t n_fds)
{
	uint8_t kind = fuzz_u8(in), where = fuzz_u8(in);
	struct call call = {.cmd = VIA_VFIO_GET_API_VERSION + (kind & 0x1fu)};

	if (kind & 0x20) {
		call.arg = kind & 0x40 ? fuzz_u8(in) : fuzz_number(in);
		if (call.arg > UINT16_MAX)
			call.arg |= 1ull << 47;
	} else if (kind & 0x40) {
		call.arg = arena_pointer(in);
	} else {
		/* At the end of a good page, or inside one. */
		uint64_t offset = where & 0x80 ? ARENA_READ_ONLY * ARENA_PAGE - (where & 0x7f)
					       : where & 0x7fu;

		if (where & 0x80)
			calls_argument(in, call.cmd,
				       arena_page(ARENA_READ_ONLY - 1) + ARENA_PAGE - 0x100, fds,
				       n_fds);
		else
			calls_argument(in, call.cmd, arena_page(0) + offset, fds, n_fds);
		call.arg = ARENA_BASE + offset;
	}
	if (kind & 0x80)
		call.cmd = call.cmd == VIA_VFIO_GET_API_VERSION ? fuzz_u64(in) : call.cmd;
	return call;
}

#endif
