/* SPDX-License-Identifier: MIT */
/**
 * DOC: viaduct/abi/iommufd.h - the ABI of /dev/iommu, from facts
 *
 * Numbers and layouts of the I/O address space commands as of Linux 7.2 under
 * names of our own: IOMMU_X is VIA_IOMMU_X, struct iommu_x is struct
 * via_iommu_x. Each structure starts with its own size; a command accepts
 * shorter ones down to its minimum and longer ones whose tail is zero.
 */
#ifndef VIADUCT_ABI_IOMMUFD_H
#define VIADUCT_ABI_IOMMUFD_H

#include <viaduct/abi/vfio.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VIA_IOMMU_DESTROY 0x3b80
#define VIA_IOMMU_IOAS_ALLOC 0x3b81
#define VIA_IOMMU_IOAS_ALLOW_IOVAS 0x3b82
#define VIA_IOMMU_IOAS_COPY 0x3b83
#define VIA_IOMMU_IOAS_IOVA_RANGES 0x3b84
#define VIA_IOMMU_IOAS_MAP 0x3b85
#define VIA_IOMMU_IOAS_UNMAP 0x3b86
#define VIA_IOMMU_OPTION 0x3b87
#define VIA_IOMMU_VFIO_IOAS 0x3b88
#define VIA_IOMMU_HWPT_ALLOC 0x3b89
#define VIA_IOMMU_GET_HW_INFO 0x3b8a
#define VIA_IOMMU_HWPT_SET_DIRTY_TRACKING 0x3b8b
#define VIA_IOMMU_HWPT_GET_DIRTY_BITMAP 0x3b8c
#define VIA_IOMMU_HWPT_INVALIDATE 0x3b8d
#define VIA_IOMMU_FAULT_QUEUE_ALLOC 0x3b8e
#define VIA_IOMMU_IOAS_MAP_FILE 0x3b8f
#define VIA_IOMMU_VIOMMU_ALLOC 0x3b90
#define VIA_IOMMU_VDEVICE_ALLOC 0x3b91
#define VIA_IOMMU_IOAS_CHANGE_PROCESS 0x3b92
#define VIA_IOMMU_VEVENTQ_ALLOC 0x3b93
#define VIA_IOMMU_HW_QUEUE_ALLOC 0x3b94

struct via_iommu_destroy {
	uint32_t size;
	uint32_t id;
};
VIA_ABI_SIZE(via_iommu_destroy, 8);

struct via_iommu_ioas_alloc {
	uint32_t size;
	uint32_t flags;
	uint32_t out_ioas_id;
};
VIA_ABI_SIZE(via_iommu_ioas_alloc, 12);

struct via_iommu_iova_range {
	uint64_t start;
	uint64_t last;
};
VIA_ABI_SIZE(via_iommu_iova_range, 16);

struct via_iommu_ioas_iova_ranges {
	uint32_t size;
	uint32_t ioas_id;
	uint32_t num_iovas; /* in and out */
	uint32_t reserved;
	uint64_t allowed_iovas; /* address */
	uint64_t out_iova_alignment;
};
VIA_ABI_SIZE(via_iommu_ioas_iova_ranges, 32);
VIA_ABI_AT(via_iommu_ioas_iova_ranges, allowed_iovas, 16);
VIA_ABI_AT(via_iommu_ioas_iova_ranges, out_iova_alignment, 24);

struct via_iommu_ioas_allow_iovas {
	uint32_t size;
	uint32_t ioas_id;
	uint32_t num_iovas;
	uint32_t reserved;
	uint64_t allowed_iovas; /* address */
};
VIA_ABI_SIZE(via_iommu_ioas_allow_iovas, 24);
VIA_ABI_AT(via_iommu_ioas_allow_iovas, allowed_iovas, 16);

#define VIA_IOMMU_IOAS_MAP_FIXED_IOVA (1u << 0)
#define VIA_IOMMU_IOAS_MAP_WRITEABLE (1u << 1)
#define VIA_IOMMU_IOAS_MAP_READABLE (1u << 2)

struct via_iommu_ioas_map {
	uint32_t size;
	uint32_t flags;
	uint32_t ioas_id;
	uint32_t reserved;
	uint64_t user_va;
	uint64_t length;
	uint64_t iova; /* in and out */
};
VIA_ABI_SIZE(via_iommu_ioas_map, 40);
VIA_ABI_AT(via_iommu_ioas_map, user_va, 16);
VIA_ABI_AT(via_iommu_ioas_map, length, 24);
VIA_ABI_AT(via_iommu_ioas_map, iova, 32);

struct via_iommu_ioas_map_file {
	uint32_t size;
	uint32_t flags;
	uint32_t ioas_id;
	int32_t fd;
	uint64_t start;
	uint64_t length;
	uint64_t iova; /* in and out */
};
VIA_ABI_SIZE(via_iommu_ioas_map_file, 40);
VIA_ABI_AT(via_iommu_ioas_map_file, fd, 12);
VIA_ABI_AT(via_iommu_ioas_map_file, start, 16);
VIA_ABI_AT(via_iommu_ioas_map_file, length, 24);
VIA_ABI_AT(via_iommu_ioas_map_file, iova, 32);

struct via_iommu_ioas_copy {
	uint32_t size;
	uint32_t flags;
	uint32_t dst_ioas_id;
	uint32_t src_ioas_id;
	uint64_t length;
	uint64_t dst_iova; /* in and out */
	uint64_t src_iova;
};
VIA_ABI_SIZE(via_iommu_ioas_copy, 40);
VIA_ABI_AT(via_iommu_ioas_copy, length, 16);
VIA_ABI_AT(via_iommu_ioas_copy, dst_iova, 24);
VIA_ABI_AT(via_iommu_ioas_copy, src_iova, 32);

struct via_iommu_ioas_unmap {
	uint32_t size;
	uint32_t ioas_id;
	uint64_t iova;
	uint64_t length; /* in and out */
};
VIA_ABI_SIZE(via_iommu_ioas_unmap, 24);
VIA_ABI_AT(via_iommu_ioas_unmap, iova, 8);
VIA_ABI_AT(via_iommu_ioas_unmap, length, 16);

#define VIA_IOMMU_OPTION_RLIMIT_MODE 0
#define VIA_IOMMU_OPTION_HUGE_PAGES 1
#define VIA_IOMMU_OPTION_OP_SET 0
#define VIA_IOMMU_OPTION_OP_GET 1

struct via_iommu_option {
	uint32_t size;
	uint32_t option_id;
	uint16_t op;
	uint16_t reserved;
	uint32_t object_id;
	uint64_t val64;
};
VIA_ABI_SIZE(via_iommu_option, 24);
VIA_ABI_AT(via_iommu_option, op, 8);
VIA_ABI_AT(via_iommu_option, object_id, 12);
VIA_ABI_AT(via_iommu_option, val64, 16);

#define VIA_IOMMU_VFIO_IOAS_GET 0
#define VIA_IOMMU_VFIO_IOAS_SET 1
#define VIA_IOMMU_VFIO_IOAS_CLEAR 2

struct via_iommu_vfio_ioas {
	uint32_t size;
	uint32_t ioas_id;
	uint16_t op;
	uint16_t reserved;
};
VIA_ABI_SIZE(via_iommu_vfio_ioas, 12);
VIA_ABI_AT(via_iommu_vfio_ioas, op, 8);

struct via_iommu_ioas_change_process {
	uint32_t size;
	uint32_t reserved;
};
VIA_ABI_SIZE(via_iommu_ioas_change_process, 8);

#ifdef __cplusplus
}
#endif

#endif
