/* SPDX-License-Identifier: MIT */
/**
 * DOC: viaduct/abi/vfio.h - the VFIO ABI of Linux, from facts
 *
 * Numbers and layouts that programs and the kernel agree on, as of Linux 7.2,
 * under names of our own: VFIO_X is VIA_VFIO_X, struct vfio_x is struct
 * via_vfio_x. All fields are in host byte order. Ioctl numbers carry neither
 * size nor direction and are reused per kind of descriptor: look at the kind
 * first. Needs no kernel header.
 */
#ifndef VIADUCT_ABI_VFIO_H
#define VIADUCT_ABI_VFIO_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define VIA_ABI_ASSERT(what) static_assert(what, #what)
extern "C" {
#else
#define VIA_ABI_ASSERT(what) _Static_assert(what, #what)
#endif
#define VIA_ABI_AT(type, field, where) VIA_ABI_ASSERT(offsetof(struct type, field) == (where))
#define VIA_ABI_SIZE(type, size) VIA_ABI_ASSERT(sizeof(struct type) == (size))

#define VIA_VFIO_API_VERSION 0
#define VIA_VFIO_TYPE 0x3b /* _IOC_TYPE of every number below */

/* Extensions: container types and properties. */
#define VIA_VFIO_TYPE1_IOMMU 1
#define VIA_VFIO_SPAPR_TCE_IOMMU 2
#define VIA_VFIO_TYPE1v2_IOMMU 3
#define VIA_VFIO_DMA_CC_IOMMU 4
#define VIA_VFIO_EEH 5
#define VIA_VFIO_TYPE1_NESTING_IOMMU 6
#define VIA_VFIO_SPAPR_TCE_v2_IOMMU 7
#define VIA_VFIO_NOIOMMU_IOMMU 8
#define VIA_VFIO_UNMAP_ALL 9
#define VIA_VFIO_UPDATE_VADDR 10

/* Container. */
#define VIA_VFIO_GET_API_VERSION 0x3b64
#define VIA_VFIO_CHECK_EXTENSION 0x3b65
#define VIA_VFIO_SET_IOMMU 0x3b66
/* Group. */
#define VIA_VFIO_GROUP_GET_STATUS 0x3b67
#define VIA_VFIO_GROUP_SET_CONTAINER 0x3b68
#define VIA_VFIO_GROUP_UNSET_CONTAINER 0x3b69
#define VIA_VFIO_GROUP_GET_DEVICE_FD 0x3b6a
/* Device. */
#define VIA_VFIO_DEVICE_GET_INFO 0x3b6b
#define VIA_VFIO_DEVICE_GET_REGION_INFO 0x3b6c
#define VIA_VFIO_DEVICE_GET_IRQ_INFO 0x3b6d
#define VIA_VFIO_DEVICE_SET_IRQS 0x3b6e
#define VIA_VFIO_DEVICE_RESET 0x3b6f
#define VIA_VFIO_DEVICE_GET_PCI_HOT_RESET_INFO 0x3b70
#define VIA_VFIO_DEVICE_PCI_HOT_RESET 0x3b71
#define VIA_VFIO_DEVICE_QUERY_GFX_PLANE 0x3b72
#define VIA_VFIO_DEVICE_GET_GFX_DMABUF 0x3b73
#define VIA_VFIO_DEVICE_IOEVENTFD 0x3b74
#define VIA_VFIO_DEVICE_FEATURE 0x3b75
#define VIA_VFIO_DEVICE_BIND_IOMMUFD 0x3b76
#define VIA_VFIO_DEVICE_ATTACH_IOMMUFD_PT 0x3b77
#define VIA_VFIO_DEVICE_DETACH_IOMMUFD_PT 0x3b78
#define VIA_VFIO_MIG_GET_PRECOPY_INFO 0x3b79
/* Container with a type1 IOMMU. */
#define VIA_VFIO_IOMMU_GET_INFO 0x3b70
#define VIA_VFIO_IOMMU_MAP_DMA 0x3b71
#define VIA_VFIO_IOMMU_UNMAP_DMA 0x3b72
#define VIA_VFIO_IOMMU_ENABLE 0x3b73
#define VIA_VFIO_IOMMU_DISABLE 0x3b74
#define VIA_VFIO_IOMMU_DIRTY_PAGES 0x3b75
/* Container with a sPAPR TCE IOMMU; MAP_DMA, UNMAP_DMA, ENABLE and DISABLE as above. */
#define VIA_VFIO_IOMMU_SPAPR_TCE_GET_INFO 0x3b70
#define VIA_VFIO_IOMMU_SPAPR_REGISTER_MEMORY 0x3b75
#define VIA_VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY 0x3b76
#define VIA_VFIO_IOMMU_SPAPR_TCE_CREATE 0x3b77
#define VIA_VFIO_IOMMU_SPAPR_TCE_REMOVE 0x3b78
#define VIA_VFIO_EEH_PE_OP 0x3b79

/**
 * struct via_vfio_info_cap_header - head of an entry in a capability chain
 * @next: from the start of the whole info structure; 0 ends the chain
 *
 * Entries start at multiples of 8.
 */
struct via_vfio_info_cap_header {
	uint16_t id;
	uint16_t version;
	uint32_t next;
};
VIA_ABI_SIZE(via_vfio_info_cap_header, 8);
VIA_ABI_AT(via_vfio_info_cap_header, version, 2);
VIA_ABI_AT(via_vfio_info_cap_header, next, 4);

/* Group ------------------------------------------------------------------ */

#define VIA_VFIO_GROUP_FLAGS_VIABLE (1u << 0)
#define VIA_VFIO_GROUP_FLAGS_CONTAINER_SET (1u << 1)

struct via_vfio_group_status {
	uint32_t argsz;
	uint32_t flags;
};
VIA_ABI_SIZE(via_vfio_group_status, 8);
VIA_ABI_AT(via_vfio_group_status, flags, 4);

/* Device ----------------------------------------------------------------- */

#define VIA_VFIO_DEVICE_FLAGS_RESET (1u << 0)
#define VIA_VFIO_DEVICE_FLAGS_PCI (1u << 1)
#define VIA_VFIO_DEVICE_FLAGS_PLATFORM (1u << 2)
#define VIA_VFIO_DEVICE_FLAGS_AMBA (1u << 3)
#define VIA_VFIO_DEVICE_FLAGS_CCW (1u << 4)
#define VIA_VFIO_DEVICE_FLAGS_AP (1u << 5)
#define VIA_VFIO_DEVICE_FLAGS_FSL_MC (1u << 6)
#define VIA_VFIO_DEVICE_FLAGS_CAPS (1u << 7)
#define VIA_VFIO_DEVICE_FLAGS_CDX (1u << 8)

/* Capabilities of a device. */
#define VIA_VFIO_DEVICE_INFO_CAP_ZPCI_BASE 1
#define VIA_VFIO_DEVICE_INFO_CAP_ZPCI_GROUP 2
#define VIA_VFIO_DEVICE_INFO_CAP_ZPCI_UTIL 3
#define VIA_VFIO_DEVICE_INFO_CAP_ZPCI_PFIP 4
#define VIA_VFIO_DEVICE_INFO_CAP_PCI_ATOMIC_COMP 5

struct via_vfio_device_info {
	uint32_t argsz;
	uint32_t flags;
	uint32_t num_regions;
	uint32_t num_irqs;
	uint32_t cap_offset;
	uint32_t pad;
};
VIA_ABI_SIZE(via_vfio_device_info, 24);
VIA_ABI_AT(via_vfio_device_info, flags, 4);
VIA_ABI_AT(via_vfio_device_info, num_regions, 8);
VIA_ABI_AT(via_vfio_device_info, num_irqs, 12);
VIA_ABI_AT(via_vfio_device_info, cap_offset, 16);

/* Region indexes of a PCI function. */
#define VIA_VFIO_PCI_BAR0_REGION_INDEX 0
#define VIA_VFIO_PCI_BAR1_REGION_INDEX 1
#define VIA_VFIO_PCI_BAR2_REGION_INDEX 2
#define VIA_VFIO_PCI_BAR3_REGION_INDEX 3
#define VIA_VFIO_PCI_BAR4_REGION_INDEX 4
#define VIA_VFIO_PCI_BAR5_REGION_INDEX 5
#define VIA_VFIO_PCI_ROM_REGION_INDEX 6
#define VIA_VFIO_PCI_CONFIG_REGION_INDEX 7
#define VIA_VFIO_PCI_VGA_REGION_INDEX 8
#define VIA_VFIO_PCI_NUM_REGIONS 9

/* A PCI region starts at index << VIA_VFIO_PCI_OFFSET_SHIFT of the device descriptor. */
#define VIA_VFIO_PCI_OFFSET_SHIFT 40

#define VIA_VFIO_REGION_INFO_FLAG_READ (1u << 0)
#define VIA_VFIO_REGION_INFO_FLAG_WRITE (1u << 1)
#define VIA_VFIO_REGION_INFO_FLAG_MMAP (1u << 2)
#define VIA_VFIO_REGION_INFO_FLAG_CAPS (1u << 3)

struct via_vfio_region_info {
	uint32_t argsz;
	uint32_t flags;
	uint32_t index;
	uint32_t cap_offset;
	uint64_t size;
	uint64_t offset;
};
VIA_ABI_SIZE(via_vfio_region_info, 32);
VIA_ABI_AT(via_vfio_region_info, flags, 4);
VIA_ABI_AT(via_vfio_region_info, index, 8);
VIA_ABI_AT(via_vfio_region_info, cap_offset, 12);
VIA_ABI_AT(via_vfio_region_info, size, 16);
VIA_ABI_AT(via_vfio_region_info, offset, 24);

/* Capabilities of a region. */
#define VIA_VFIO_REGION_INFO_CAP_SPARSE_MMAP 1
#define VIA_VFIO_REGION_INFO_CAP_TYPE 2
#define VIA_VFIO_REGION_INFO_CAP_MSIX_MAPPABLE 3

struct via_vfio_region_sparse_mmap_area {
	uint64_t offset;
	uint64_t size;
};
VIA_ABI_SIZE(via_vfio_region_sparse_mmap_area, 16);
VIA_ABI_AT(via_vfio_region_sparse_mmap_area, size, 8);

/* Followed by nr_areas times struct via_vfio_region_sparse_mmap_area. */
struct via_vfio_region_info_cap_sparse_mmap {
	struct via_vfio_info_cap_header header;
	uint32_t nr_areas;
	uint32_t reserved;
};
VIA_ABI_SIZE(via_vfio_region_info_cap_sparse_mmap, 16);
VIA_ABI_AT(via_vfio_region_info_cap_sparse_mmap, nr_areas, 8);

struct via_vfio_region_info_cap_type {
	struct via_vfio_info_cap_header header;
	uint32_t type;
	uint32_t subtype;
};
VIA_ABI_SIZE(via_vfio_region_info_cap_type, 16);
VIA_ABI_AT(via_vfio_region_info_cap_type, type, 8);
VIA_ABI_AT(via_vfio_region_info_cap_type, subtype, 12);

/* Interrupt indexes of a PCI function. */
#define VIA_VFIO_PCI_INTX_IRQ_INDEX 0
#define VIA_VFIO_PCI_MSI_IRQ_INDEX 1
#define VIA_VFIO_PCI_MSIX_IRQ_INDEX 2
#define VIA_VFIO_PCI_ERR_IRQ_INDEX 3
#define VIA_VFIO_PCI_REQ_IRQ_INDEX 4
#define VIA_VFIO_PCI_NUM_IRQS 5

#define VIA_VFIO_IRQ_INFO_EVENTFD (1u << 0)
#define VIA_VFIO_IRQ_INFO_MASKABLE (1u << 1)
#define VIA_VFIO_IRQ_INFO_AUTOMASKED (1u << 2)
#define VIA_VFIO_IRQ_INFO_NORESIZE (1u << 3)

struct via_vfio_irq_info {
	uint32_t argsz;
	uint32_t flags;
	uint32_t index;
	uint32_t count;
};
VIA_ABI_SIZE(via_vfio_irq_info, 16);
VIA_ABI_AT(via_vfio_irq_info, flags, 4);
VIA_ABI_AT(via_vfio_irq_info, index, 8);
VIA_ABI_AT(via_vfio_irq_info, count, 12);

#define VIA_VFIO_IRQ_SET_DATA_NONE (1u << 0)
#define VIA_VFIO_IRQ_SET_DATA_BOOL (1u << 1)
#define VIA_VFIO_IRQ_SET_DATA_EVENTFD (1u << 2)
#define VIA_VFIO_IRQ_SET_ACTION_MASK (1u << 3)
#define VIA_VFIO_IRQ_SET_ACTION_UNMASK (1u << 4)
#define VIA_VFIO_IRQ_SET_ACTION_TRIGGER (1u << 5)
#define VIA_VFIO_IRQ_SET_DATA_TYPE_MASK 0x07u
#define VIA_VFIO_IRQ_SET_ACTION_TYPE_MASK 0x38u

/* Followed by count bytes (BOOL) or count times int32_t (EVENTFD). */
struct via_vfio_irq_set {
	uint32_t argsz;
	uint32_t flags;
	uint32_t index;
	uint32_t start;
	uint32_t count;
};
VIA_ABI_SIZE(via_vfio_irq_set, 20);
VIA_ABI_AT(via_vfio_irq_set, flags, 4);
VIA_ABI_AT(via_vfio_irq_set, index, 8);
VIA_ABI_AT(via_vfio_irq_set, start, 12);
VIA_ABI_AT(via_vfio_irq_set, count, 16);

#define VIA_VFIO_PCI_HOT_RESET_FLAG_DEV_ID (1u << 0)
#define VIA_VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED (1u << 1)

struct via_vfio_pci_dependent_device {
	uint32_t group_id; /* or the iommufd device id */
	uint16_t segment;
	uint8_t bus;
	uint8_t devfn;
};
VIA_ABI_SIZE(via_vfio_pci_dependent_device, 8);
VIA_ABI_AT(via_vfio_pci_dependent_device, segment, 4);
VIA_ABI_AT(via_vfio_pci_dependent_device, bus, 6);
VIA_ABI_AT(via_vfio_pci_dependent_device, devfn, 7);

/* Followed by count times struct via_vfio_pci_dependent_device. */
struct via_vfio_pci_hot_reset_info {
	uint32_t argsz;
	uint32_t flags;
	uint32_t count;
};
VIA_ABI_SIZE(via_vfio_pci_hot_reset_info, 12);
VIA_ABI_AT(via_vfio_pci_hot_reset_info, flags, 4);
VIA_ABI_AT(via_vfio_pci_hot_reset_info, count, 8);

/* Followed by count times int32_t: group descriptors. */
struct via_vfio_pci_hot_reset {
	uint32_t argsz;
	uint32_t flags;
	uint32_t count;
};
VIA_ABI_SIZE(via_vfio_pci_hot_reset, 12);
VIA_ABI_AT(via_vfio_pci_hot_reset, flags, 4);
VIA_ABI_AT(via_vfio_pci_hot_reset, count, 8);

/* The low four bits of flags: width in bytes, one bit set. */
#define VIA_VFIO_DEVICE_IOEVENTFD_8 (1u << 0)
#define VIA_VFIO_DEVICE_IOEVENTFD_16 (1u << 1)
#define VIA_VFIO_DEVICE_IOEVENTFD_32 (1u << 2)
#define VIA_VFIO_DEVICE_IOEVENTFD_64 (1u << 3)
#define VIA_VFIO_DEVICE_IOEVENTFD_SIZE_MASK 0xfu

/* The ABI ends after fd (28); sizeof is 32. */
struct via_vfio_device_ioeventfd {
	uint32_t argsz;
	uint32_t flags;
	uint64_t offset;
	uint64_t data;
	int32_t fd;
	uint32_t reserved;
};
VIA_ABI_SIZE(via_vfio_device_ioeventfd, 32);
VIA_ABI_AT(via_vfio_device_ioeventfd, flags, 4);
VIA_ABI_AT(via_vfio_device_ioeventfd, offset, 8);
VIA_ABI_AT(via_vfio_device_ioeventfd, data, 16);
VIA_ABI_AT(via_vfio_device_ioeventfd, fd, 24);

#define VIA_VFIO_DEVICE_FEATURE_MASK 0xffffu
#define VIA_VFIO_DEVICE_FEATURE_GET (1u << 16)
#define VIA_VFIO_DEVICE_FEATURE_SET (1u << 17)
#define VIA_VFIO_DEVICE_FEATURE_PROBE (1u << 18)

/* Followed by the feature's data. */
struct via_vfio_device_feature {
	uint32_t argsz;
	uint32_t flags;
};
VIA_ABI_SIZE(via_vfio_device_feature, 8);
VIA_ABI_AT(via_vfio_device_feature, flags, 4);

#define VIA_VFIO_DEVICE_FEATURE_PCI_VF_TOKEN 0
#define VIA_VFIO_DEVICE_FEATURE_MIGRATION 1
#define VIA_VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE 2
#define VIA_VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY 3
#define VIA_VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP 4
#define VIA_VFIO_DEVICE_FEATURE_LOW_POWER_EXIT 5
#define VIA_VFIO_DEVICE_FEATURE_DMA_LOGGING_START 6
#define VIA_VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP 7
#define VIA_VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT 8
#define VIA_VFIO_DEVICE_FEATURE_MIG_DATA_SIZE 9
#define VIA_VFIO_DEVICE_FEATURE_BUS_MASTER 10
#define VIA_VFIO_DEVICE_FEATURE_DMA_BUF 11
#define VIA_VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2 12

#define VIA_VFIO_MIGRATION_STOP_COPY (1u << 0)
#define VIA_VFIO_MIGRATION_P2P (1u << 1)
#define VIA_VFIO_MIGRATION_PRE_COPY (1u << 2)

struct via_vfio_device_feature_migration {
	uint64_t flags;
};
VIA_ABI_SIZE(via_vfio_device_feature_migration, 8);

#define VIA_VFIO_DEVICE_STATE_ERROR 0
#define VIA_VFIO_DEVICE_STATE_STOP 1
#define VIA_VFIO_DEVICE_STATE_RUNNING 2
#define VIA_VFIO_DEVICE_STATE_STOP_COPY 3
#define VIA_VFIO_DEVICE_STATE_RESUMING 4
#define VIA_VFIO_DEVICE_STATE_RUNNING_P2P 5
#define VIA_VFIO_DEVICE_STATE_PRE_COPY 6
#define VIA_VFIO_DEVICE_STATE_PRE_COPY_P2P 7

struct via_vfio_device_feature_mig_state {
	uint32_t device_state;
	int32_t data_fd;
};
VIA_ABI_SIZE(via_vfio_device_feature_mig_state, 8);
VIA_ABI_AT(via_vfio_device_feature_mig_state, data_fd, 4);

struct via_vfio_device_feature_mig_data_size {
	uint64_t stop_copy_length;
};
VIA_ABI_SIZE(via_vfio_device_feature_mig_data_size, 8);

#define VIA_VFIO_PRECOPY_INFO_REINIT (1u << 0)

/* Of MIG_GET_PRECOPY_INFO, on the descriptor of the data. */
struct via_vfio_precopy_info {
	uint32_t argsz;
	uint32_t flags;
	uint64_t initial_bytes;
	uint64_t dirty_bytes;
};
VIA_ABI_SIZE(via_vfio_precopy_info, 24);
VIA_ABI_AT(via_vfio_precopy_info, flags, 4);
VIA_ABI_AT(via_vfio_precopy_info, initial_bytes, 8);
VIA_ABI_AT(via_vfio_precopy_info, dirty_bytes, 16);

struct via_vfio_device_feature_dma_logging_control {
	uint64_t page_size;
	uint32_t num_ranges;
	uint32_t reserved;
	uint64_t ranges; /* address of num_ranges of the following */
};
VIA_ABI_SIZE(via_vfio_device_feature_dma_logging_control, 24);
VIA_ABI_AT(via_vfio_device_feature_dma_logging_control, num_ranges, 8);
VIA_ABI_AT(via_vfio_device_feature_dma_logging_control, ranges, 16);

struct via_vfio_device_feature_dma_logging_range {
	uint64_t iova;
	uint64_t length;
};
VIA_ABI_SIZE(via_vfio_device_feature_dma_logging_range, 16);

struct via_vfio_device_feature_dma_logging_report {
	uint64_t iova;
	uint64_t length;
	uint64_t page_size;
	uint64_t bitmap; /* address */
};
VIA_ABI_SIZE(via_vfio_device_feature_dma_logging_report, 32);
VIA_ABI_AT(via_vfio_device_feature_dma_logging_report, bitmap, 24);

struct via_vfio_device_low_power_entry_with_wakeup {
	int32_t wakeup_eventfd;
	uint32_t reserved;
};
VIA_ABI_SIZE(via_vfio_device_low_power_entry_with_wakeup, 8);

struct via_vfio_region_dma_range {
	uint64_t offset; /* in the region */
	uint64_t length;
};
VIA_ABI_SIZE(via_vfio_region_dma_range, 16);
VIA_ABI_AT(via_vfio_region_dma_range, length, 8);

/* Followed by nr_ranges times struct via_vfio_region_dma_range. */
struct via_vfio_device_feature_dma_buf {
	uint32_t region_index;
	uint32_t open_flags; /* open(2)'s, of the new descriptor */
	uint32_t flags;
	uint32_t nr_ranges;
};
VIA_ABI_SIZE(via_vfio_device_feature_dma_buf, 16);
VIA_ABI_AT(via_vfio_device_feature_dma_buf, open_flags, 4);
VIA_ABI_AT(via_vfio_device_feature_dma_buf, flags, 8);
VIA_ABI_AT(via_vfio_device_feature_dma_buf, nr_ranges, 12);

/* Type1 container -------------------------------------------------------- */

#define VIA_VFIO_IOMMU_INFO_PGSIZES (1u << 0)
#define VIA_VFIO_IOMMU_INFO_CAPS (1u << 1)

struct via_vfio_iommu_type1_info {
	uint32_t argsz;
	uint32_t flags;
	uint64_t iova_pgsizes;
	uint32_t cap_offset;
	uint32_t pad;
};
VIA_ABI_SIZE(via_vfio_iommu_type1_info, 24);
VIA_ABI_AT(via_vfio_iommu_type1_info, flags, 4);
VIA_ABI_AT(via_vfio_iommu_type1_info, iova_pgsizes, 8);
VIA_ABI_AT(via_vfio_iommu_type1_info, cap_offset, 16);

#define VIA_VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE 1
#define VIA_VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION 2
#define VIA_VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL 3

struct via_vfio_iova_range {
	uint64_t start;
	uint64_t end; /* inclusive */
};
VIA_ABI_SIZE(via_vfio_iova_range, 16);
VIA_ABI_AT(via_vfio_iova_range, end, 8);

/* Followed by nr_iovas times struct via_vfio_iova_range. */
struct via_vfio_iommu_type1_info_cap_iova_range {
	struct via_vfio_info_cap_header header;
	uint32_t nr_iovas;
	uint32_t reserved;
};
VIA_ABI_SIZE(via_vfio_iommu_type1_info_cap_iova_range, 16);
VIA_ABI_AT(via_vfio_iommu_type1_info_cap_iova_range, nr_iovas, 8);

struct via_vfio_iommu_type1_info_cap_migration {
	struct via_vfio_info_cap_header header;
	uint32_t flags;
	uint32_t reserved;
	uint64_t pgsize_bitmap;
	uint64_t max_dirty_bitmap_size; /* bytes */
};
VIA_ABI_SIZE(via_vfio_iommu_type1_info_cap_migration, 32);
VIA_ABI_AT(via_vfio_iommu_type1_info_cap_migration, flags, 8);
VIA_ABI_AT(via_vfio_iommu_type1_info_cap_migration, pgsize_bitmap, 16);
VIA_ABI_AT(via_vfio_iommu_type1_info_cap_migration, max_dirty_bitmap_size, 24);

struct via_vfio_iommu_type1_info_dma_avail {
	struct via_vfio_info_cap_header header;
	uint32_t avail;
};
VIA_ABI_SIZE(via_vfio_iommu_type1_info_dma_avail, 12);
VIA_ABI_AT(via_vfio_iommu_type1_info_dma_avail, avail, 8);

#define VIA_VFIO_DMA_MAP_FLAG_READ (1u << 0)
#define VIA_VFIO_DMA_MAP_FLAG_WRITE (1u << 1)
#define VIA_VFIO_DMA_MAP_FLAG_VADDR (1u << 2)

struct via_vfio_iommu_type1_dma_map {
	uint32_t argsz;
	uint32_t flags;
	uint64_t vaddr;
	uint64_t iova;
	uint64_t size;
};
VIA_ABI_SIZE(via_vfio_iommu_type1_dma_map, 32);
VIA_ABI_AT(via_vfio_iommu_type1_dma_map, flags, 4);
VIA_ABI_AT(via_vfio_iommu_type1_dma_map, vaddr, 8);
VIA_ABI_AT(via_vfio_iommu_type1_dma_map, iova, 16);
VIA_ABI_AT(via_vfio_iommu_type1_dma_map, size, 24);

struct via_vfio_bitmap {
	uint64_t pgsize;
	uint64_t size; /* bytes at data */
	uint64_t data; /* address */
};
VIA_ABI_SIZE(via_vfio_bitmap, 24);
VIA_ABI_AT(via_vfio_bitmap, size, 8);
VIA_ABI_AT(via_vfio_bitmap, data, 16);

#define VIA_VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP (1u << 0)
#define VIA_VFIO_DMA_UNMAP_FLAG_ALL (1u << 1)
#define VIA_VFIO_DMA_UNMAP_FLAG_VADDR (1u << 2)

/* With GET_DIRTY_BITMAP followed by a struct via_vfio_bitmap. */
struct via_vfio_iommu_type1_dma_unmap {
	uint32_t argsz;
	uint32_t flags;
	uint64_t iova;
	uint64_t size;
};
VIA_ABI_SIZE(via_vfio_iommu_type1_dma_unmap, 24);
VIA_ABI_AT(via_vfio_iommu_type1_dma_unmap, flags, 4);
VIA_ABI_AT(via_vfio_iommu_type1_dma_unmap, iova, 8);
VIA_ABI_AT(via_vfio_iommu_type1_dma_unmap, size, 16);

#define VIA_VFIO_IOMMU_DIRTY_PAGES_FLAG_START (1u << 0)
#define VIA_VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP (1u << 1)
#define VIA_VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP (1u << 2)

/* With GET_BITMAP followed by a struct via_vfio_iommu_type1_dirty_bitmap_get. */
struct via_vfio_iommu_type1_dirty_bitmap {
	uint32_t argsz;
	uint32_t flags;
};
VIA_ABI_SIZE(via_vfio_iommu_type1_dirty_bitmap, 8);

struct via_vfio_iommu_type1_dirty_bitmap_get {
	uint64_t iova;
	uint64_t size;
	struct via_vfio_bitmap bitmap;
};
VIA_ABI_SIZE(via_vfio_iommu_type1_dirty_bitmap_get, 40);
VIA_ABI_AT(via_vfio_iommu_type1_dirty_bitmap_get, size, 8);
VIA_ABI_AT(via_vfio_iommu_type1_dirty_bitmap_get, bitmap, 16);

/* Device character devices ------------------------------------------------ */

#define VIA_VFIO_DEVICE_BIND_FLAG_TOKEN (1u << 0)

struct via_vfio_device_bind_iommufd {
	uint32_t argsz;
	uint32_t flags;
	int32_t iommufd;
	uint32_t out_devid;
	uint64_t token_uuid_ptr;
};
VIA_ABI_SIZE(via_vfio_device_bind_iommufd, 24);
VIA_ABI_AT(via_vfio_device_bind_iommufd, iommufd, 8);
VIA_ABI_AT(via_vfio_device_bind_iommufd, out_devid, 12);
VIA_ABI_AT(via_vfio_device_bind_iommufd, token_uuid_ptr, 16);

#define VIA_VFIO_DEVICE_ATTACH_PASID (1u << 0)

struct via_vfio_device_attach_iommufd_pt {
	uint32_t argsz;
	uint32_t flags;
	uint32_t pt_id;
	uint32_t pasid;
};
VIA_ABI_SIZE(via_vfio_device_attach_iommufd_pt, 16);
VIA_ABI_AT(via_vfio_device_attach_iommufd_pt, pt_id, 8);
VIA_ABI_AT(via_vfio_device_attach_iommufd_pt, pasid, 12);

#define VIA_VFIO_DEVICE_DETACH_PASID (1u << 0)

struct via_vfio_device_detach_iommufd_pt {
	uint32_t argsz;
	uint32_t flags;
	uint32_t pasid;
};
VIA_ABI_SIZE(via_vfio_device_detach_iommufd_pt, 12);
VIA_ABI_AT(via_vfio_device_detach_iommufd_pt, pasid, 8);

/* sPAPR TCE container ------------------------------------------------------ */

struct via_vfio_iommu_spapr_tce_ddw_info {
	uint64_t pgsizes; /* bit n: pages of 2^n bytes */
	uint32_t max_dynamic_windows_supported;
	uint32_t levels;
};
VIA_ABI_SIZE(via_vfio_iommu_spapr_tce_ddw_info, 16);

#define VIA_VFIO_IOMMU_SPAPR_INFO_DDW (1u << 0)

struct via_vfio_iommu_spapr_tce_info {
	uint32_t argsz;
	uint32_t flags;
	uint32_t dma32_window_start;
	uint32_t dma32_window_size;
	struct via_vfio_iommu_spapr_tce_ddw_info ddw; /* with the flag only */
};
VIA_ABI_SIZE(via_vfio_iommu_spapr_tce_info, 32);
VIA_ABI_AT(via_vfio_iommu_spapr_tce_info, ddw, 16);

struct via_vfio_iommu_spapr_register_memory {
	uint32_t argsz;
	uint32_t flags;
	uint64_t vaddr;
	uint64_t size;
};
VIA_ABI_SIZE(via_vfio_iommu_spapr_register_memory, 24);

struct via_vfio_iommu_spapr_tce_create {
	uint32_t argsz;
	uint32_t flags;
	uint32_t page_shift;
	uint32_t reserved1;
	uint64_t window_size;
	uint32_t levels;
	uint32_t reserved2;
	uint64_t start_addr; /* out */
};
VIA_ABI_SIZE(via_vfio_iommu_spapr_tce_create, 40);
VIA_ABI_AT(via_vfio_iommu_spapr_tce_create, start_addr, 32);

struct via_vfio_iommu_spapr_tce_remove {
	uint32_t argsz;
	uint32_t flags;
	uint64_t start_addr;
};
VIA_ABI_SIZE(via_vfio_iommu_spapr_tce_remove, 16);

#ifdef __cplusplus
}
#endif

#endif
