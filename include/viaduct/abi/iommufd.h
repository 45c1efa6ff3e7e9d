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
/* Of a kernel that is built for its own tests. */
#define VIA_IOMMU_TEST_CMD 0x3ba0

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

#define VIA_IOMMU_HWPT_ALLOC_NEST_PARENT (1u << 0)
#define VIA_IOMMU_HWPT_ALLOC_DIRTY_TRACKING (1u << 1)
#define VIA_IOMMU_HWPT_FAULT_ID_VALID (1u << 2)
#define VIA_IOMMU_HWPT_ALLOC_PASID (1u << 3)

#define VIA_IOMMU_HWPT_DATA_NONE 0
#define VIA_IOMMU_HWPT_DATA_VTD_S1 1
#define VIA_IOMMU_HWPT_DATA_ARM_SMMUV3 2
#define VIA_IOMMU_HWPT_DATA_AMD_GUEST 3

/* Callers may end the structure before data_type (24 bytes). */
struct via_iommu_hwpt_alloc {
	uint32_t size;
	uint32_t flags;
	uint32_t dev_id;
	uint32_t pt_id;
	uint32_t out_hwpt_id;
	uint32_t reserved;
	uint32_t data_type;
	uint32_t data_len;
	uint64_t data_uptr; /* address */
	uint32_t fault_id;
	uint32_t reserved2; /* not checked */
};
VIA_ABI_SIZE(via_iommu_hwpt_alloc, 48);
VIA_ABI_AT(via_iommu_hwpt_alloc, data_type, 24);
VIA_ABI_AT(via_iommu_hwpt_alloc, data_uptr, 32);
VIA_ABI_AT(via_iommu_hwpt_alloc, fault_id, 40);

#define VIA_IOMMU_HW_INFO_TYPE_NONE 0
#define VIA_IOMMU_HW_INFO_TYPE_INTEL_VTD 1
#define VIA_IOMMU_HW_INFO_TYPE_ARM_SMMUV3 2
#define VIA_IOMMU_HW_INFO_TYPE_TEGRA241_CMDQV 3
#define VIA_IOMMU_HW_INFO_TYPE_AMD 4
#define VIA_IOMMU_HW_INFO_FLAG_INPUT_TYPE (1u << 0)
#define VIA_IOMMU_HW_CAP_DIRTY_TRACKING (1u << 0)
#define VIA_IOMMU_HW_CAP_PCI_PASID_EXEC (1u << 1)
#define VIA_IOMMU_HW_CAP_PCI_PASID_PRIV (1u << 2)
#define VIA_IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED (1u << 3)

/* Callers may end the structure before out_capabilities (32 bytes). */
struct via_iommu_hw_info {
	uint32_t size;
	uint32_t flags;
	uint32_t dev_id;
	uint32_t data_len; /* in and out */
	uint64_t data_uptr; /* address */
	uint32_t data_type; /* in (with INPUT_TYPE) and out */
	uint8_t out_max_pasid_log2;
	uint8_t reserved[3];
	uint64_t out_capabilities;
};
VIA_ABI_SIZE(via_iommu_hw_info, 40);
VIA_ABI_AT(via_iommu_hw_info, data_uptr, 16);
VIA_ABI_AT(via_iommu_hw_info, data_type, 24);
VIA_ABI_AT(via_iommu_hw_info, out_max_pasid_log2, 28);
VIA_ABI_AT(via_iommu_hw_info, out_capabilities, 32);

/* Of GET_HW_INFO, type INTEL_VTD. */
struct via_iommu_hw_info_vtd {
	uint32_t flags;
	uint32_t reserved;
	uint64_t cap_reg;
	uint64_t ecap_reg;
};
VIA_ABI_SIZE(via_iommu_hw_info_vtd, 24);

#define VIA_IOMMU_HWPT_DIRTY_TRACKING_ENABLE (1u << 0)

struct via_iommu_hwpt_set_dirty_tracking {
	uint32_t size;
	uint32_t flags;
	uint32_t hwpt_id;
	uint32_t reserved; /* not checked */
};
VIA_ABI_SIZE(via_iommu_hwpt_set_dirty_tracking, 16);

#define VIA_IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR (1u << 0)

struct via_iommu_hwpt_get_dirty_bitmap {
	uint32_t size;
	uint32_t hwpt_id;
	uint32_t flags;
	uint32_t reserved;
	uint64_t iova;
	uint64_t length;
	uint64_t page_size;
	uint64_t data; /* address */
};
VIA_ABI_SIZE(via_iommu_hwpt_get_dirty_bitmap, 48);
VIA_ABI_AT(via_iommu_hwpt_get_dirty_bitmap, iova, 16);

struct via_iommu_hwpt_invalidate {
	uint32_t size;
	uint32_t hwpt_id; /* or a vIOMMU's */
	uint64_t data_uptr; /* address */
	uint32_t data_type;
	uint32_t entry_len;
	uint32_t entry_num; /* in and out, also on an error */
	uint32_t reserved;
};
VIA_ABI_SIZE(via_iommu_hwpt_invalidate, 32);
VIA_ABI_AT(via_iommu_hwpt_invalidate, data_uptr, 8);
VIA_ABI_AT(via_iommu_hwpt_invalidate, entry_num, 24);

struct via_iommu_fault_alloc {
	uint32_t size;
	uint32_t flags;
	uint32_t out_fault_id;
	uint32_t out_fault_fd;
};
VIA_ABI_SIZE(via_iommu_fault_alloc, 16);

#define VIA_IOMMU_PGFAULT_FLAGS_PASID_VALID (1u << 0)
#define VIA_IOMMU_PGFAULT_FLAGS_LAST_PAGE (1u << 1)
#define VIA_IOMMU_PGFAULT_PERM_READ (1u << 0)
#define VIA_IOMMU_PGFAULT_PERM_WRITE (1u << 1)
#define VIA_IOMMU_PGFAULT_PERM_EXEC (1u << 2)
#define VIA_IOMMU_PGFAULT_PERM_PRIV (1u << 3)

/* What read(2) of a fault queue gives. */
struct via_iommu_hwpt_pgfault {
	uint32_t flags;
	uint32_t dev_id;
	uint32_t pasid;
	uint32_t grpid;
	uint32_t perm;
	uint32_t reserved;
	uint64_t addr;
	uint32_t length;
	uint32_t cookie;
};
VIA_ABI_SIZE(via_iommu_hwpt_pgfault, 40);
VIA_ABI_AT(via_iommu_hwpt_pgfault, addr, 24);

#define VIA_IOMMUFD_PAGE_RESP_SUCCESS 0
#define VIA_IOMMUFD_PAGE_RESP_INVALID 1

/* What write(2) to a fault queue takes. */
struct via_iommu_hwpt_page_response {
	uint32_t cookie;
	uint32_t code;
};
VIA_ABI_SIZE(via_iommu_hwpt_page_response, 8);

#define VIA_IOMMU_VIOMMU_TYPE_DEFAULT 0
#define VIA_IOMMU_VIOMMU_TYPE_ARM_SMMUV3 1
#define VIA_IOMMU_VIOMMU_TYPE_TEGRA241_CMDQV 2

/* Callers may end the structure before data_len (24 bytes). */
struct via_iommu_viommu_alloc {
	uint32_t size;
	uint32_t flags;
	uint32_t type;
	uint32_t dev_id;
	uint32_t hwpt_id;
	uint32_t out_viommu_id;
	uint32_t data_len;
	uint32_t reserved; /* not checked */
	uint64_t data_uptr; /* address */
};
VIA_ABI_SIZE(via_iommu_viommu_alloc, 40);
VIA_ABI_AT(via_iommu_viommu_alloc, data_uptr, 32);

struct via_iommu_vdevice_alloc {
	uint32_t size;
	uint32_t viommu_id;
	uint32_t dev_id;
	uint32_t out_vdevice_id;
	uint64_t virt_id;
};
VIA_ABI_SIZE(via_iommu_vdevice_alloc, 24);

#define VIA_IOMMU_VEVENTQ_TYPE_DEFAULT 0
#define VIA_IOMMU_VEVENTQ_TYPE_ARM_SMMUV3 1
#define VIA_IOMMU_VEVENTQ_TYPE_TEGRA241_CMDQV 2
#define VIA_IOMMU_VEVENTQ_DEPTH_MAX (1u << 19)

/* Callers may end the structure before the last reserved word (28 bytes). */
struct via_iommu_veventq_alloc {
	uint32_t size;
	uint32_t flags;
	uint32_t viommu_id;
	uint32_t type;
	uint32_t veventq_depth;
	uint32_t out_veventq_id;
	uint32_t out_veventq_fd;
	uint32_t reserved;
};
VIA_ABI_SIZE(via_iommu_veventq_alloc, 32);

#define VIA_IOMMU_VEVENTQ_FLAG_LOST_EVENTS (1u << 0)

/* What read(2) of an event queue gives before each event's data. */
struct via_iommufd_vevent_header {
	uint32_t flags;
	uint32_t sequence;
};
VIA_ABI_SIZE(via_iommufd_vevent_header, 8);

#define VIA_IOMMU_HW_QUEUE_TYPE_DEFAULT 0
#define VIA_IOMMU_HW_QUEUE_TYPE_TEGRA241_CMDQV 1

struct via_iommu_hw_queue_alloc {
	uint32_t size;
	uint32_t flags;
	uint32_t viommu_id;
	uint32_t type;
	uint32_t index;
	uint32_t out_hw_queue_id;
	uint64_t nesting_parent_iova;
	uint64_t length;
};
VIA_ABI_SIZE(via_iommu_hw_queue_alloc, 40);
VIA_ABI_AT(via_iommu_hw_queue_alloc, nesting_parent_iova, 24);

#ifdef __cplusplus
}
#endif

#endif
