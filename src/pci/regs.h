/* SPDX-License-Identifier: MIT */
/*
 * Names of config space registers and their bits, as the PCI-SIG documents
 * name them. Offsets of a capability's registers count from its start.
 */
#ifndef VIA_PCI_REGS_H
#define VIA_PCI_REGS_H

/* PCI Local Bus 3.0, 6.1: type 0 header */
#define PCI_VENDOR_ID 0x00u
#define PCI_DEVICE_ID 0x02u
#define PCI_COMMAND 0x04u /* 6.2.2 */
#define PCI_COMMAND_IO 0x0001u
#define PCI_COMMAND_MEMORY 0x0002u
#define PCI_COMMAND_MASTER 0x0004u
#define PCI_COMMAND_SERR 0x0100u
#define PCI_COMMAND_INTX_DISABLE 0x0400u
#define PCI_STATUS 0x06u /* 6.2.3 */
#define PCI_STATUS_INTERRUPT 0x0008u
#define PCI_STATUS_CAP_LIST 0x0010u
#define PCI_STATUS_MASTER_PARITY 0x0100u
#define PCI_STATUS_SIG_TARGET_ABORT 0x0800u
#define PCI_STATUS_REC_TARGET_ABORT 0x1000u
#define PCI_STATUS_REC_MASTER_ABORT 0x2000u
#define PCI_STATUS_SIG_SYSTEM_ERROR 0x4000u
#define PCI_STATUS_DETECTED_PARITY 0x8000u
#define PCI_STATUS_RW1C                                                                            \
	(PCI_STATUS_MASTER_PARITY | PCI_STATUS_SIG_TARGET_ABORT | PCI_STATUS_REC_TARGET_ABORT |    \
	 PCI_STATUS_REC_MASTER_ABORT | PCI_STATUS_SIG_SYSTEM_ERROR | PCI_STATUS_DETECTED_PARITY)
#define PCI_REVISION_ID 0x08u
#define PCI_CLASS_PROG 0x09u
#define PCI_CLASS_DEVICE 0x0au
#define PCI_CACHE_LINE_SIZE 0x0cu
#define PCI_LATENCY_TIMER 0x0du
#define PCI_HEADER_TYPE 0x0eu
#define PCI_HEADER_TYPE_BITS 0x7fu /* without the multi-function bit */
#define PCI_BIST 0x0fu
#define PCI_BAR(n) (0x10u + 4u * (n)) /* 6.2.5.1 */
#define PCI_BAR_IO 0x1u
#define PCI_BAR_MEM_64 0x4u
#define PCI_BAR_PREFETCH 0x8u
#define PCI_CARDBUS_CIS 0x28u
#define PCI_SUBSYSTEM_VENDOR_ID 0x2cu
#define PCI_SUBSYSTEM_ID 0x2eu
#define PCI_ROM_BAR 0x30u /* 6.2.5.2 */
#define PCI_ROM_BAR_ENABLE 0x1u
#define PCI_CAPABILITY_LIST 0x34u
#define PCI_INTERRUPT_LINE 0x3cu
#define PCI_INTERRUPT_PIN 0x3du
#define PCI_HEADER_SIZE 0x40u

/* 6.7: capabilities list */
#define PCI_CAP_ID 0u
#define PCI_CAP_NEXT 1u
#define PCI_CAP_POINTER 0xfcu /* the bits of a pointer that count */
/* PCI Code and ID Assignment 1.11, 2 */
#define PCI_CAP_ID_PM 0x01u
#define PCI_CAP_ID_AGP 0x02u
#define PCI_CAP_ID_VPD 0x03u
#define PCI_CAP_ID_SLOT 0x04u
#define PCI_CAP_ID_MSI 0x05u
#define PCI_CAP_ID_HOT_SWAP 0x06u
#define PCI_CAP_ID_PCIX 0x07u
#define PCI_CAP_ID_HT 0x08u
#define PCI_CAP_ID_VENDOR 0x09u
#define PCI_CAP_ID_DEBUG 0x0au
#define PCI_CAP_ID_CRC 0x0bu
#define PCI_CAP_ID_SHPC 0x0cu
#define PCI_CAP_ID_SUBSYSTEM 0x0du
#define PCI_CAP_ID_AGP3 0x0eu
#define PCI_CAP_ID_SECURE 0x0fu
#define PCI_CAP_ID_EXP 0x10u
#define PCI_CAP_ID_MSIX 0x11u
#define PCI_CAP_ID_SATA 0x12u
#define PCI_CAP_ID_AF 0x13u
#define PCI_CAP_ID_EA 0x14u

/* PCI Power Management 1.2, 3.2 */
#define PCI_PM_PMC 2u
#define PCI_PM_PMC_VERSION_3 0x0003u
#define PCI_PM_PMC_D1 0x0200u
#define PCI_PM_PMC_D2 0x0400u
#define PCI_PM_PMC_PME 0xf800u
#define PCI_PM_CSR 4u
#define PCI_PM_CSR_STATE 0x0003u
#define PCI_PM_CSR_NO_SOFT_RESET 0x0008u
#define PCI_PM_CSR_PME_ENABLE 0x0100u
#define PCI_PM_CSR_PME_STATUS 0x8000u
#define PCI_PM_CSR_ALL 0xffffu
#define PCI_PM_SIZE 8u
#define PCI_D0 0u
#define PCI_D1 1u
#define PCI_D2 2u
#define PCI_D3HOT 3u

/* AGP 3.0, 6.1 */
#define PCI_AGP_SIZE 12u

/* PCI Local Bus 3.0, appendix I: vital product data */
#define PCI_VPD_ADDRESS 2u
#define PCI_VPD_ADDRESS_BITS 0x7fffu
#define PCI_VPD_FLAG 0x8000u /* 1: data was read, or shall be written */
#define PCI_VPD_DATA 4u
#define PCI_VPD_SIZE 8u

/* PCI-X 2.0, 7.2 */
#define PCI_PCIX_COMMAND 2u
#define PCI_PCIX_COMMAND_VERSION 0x3000u
#define PCI_PCIX_ECC 8u
#define PCI_PCIX_SIZE_0 8u
#define PCI_PCIX_SIZE_2 24u

/* HyperTransport 3.1, 7: the type of block is in the top bits of the command */
#define PCI_HT_TYPE 3u
#define PCI_HT_TYPE_3BIT 0xe0u
#define PCI_HT_SIZE_SHORT 24u
#define PCI_HT_SIZE_LONG 28u

/* PCI Local Bus 3.0, appendix H: vendor specific */
#define PCI_VENDOR_LEN 2u

/* Serial ATA AHCI 1.3.1, 2.4 */
#define PCI_SATA_LOCATION 4u
#define PCI_SATA_LOCATION_BITS 0x0fu
#define PCI_SATA_LOCATION_INLINE 0x0fu
#define PCI_SATA_SIZE_SHORT 8u
#define PCI_SATA_SIZE_LONG 16u

/* Advanced Capabilities for Conventional PCI, 3 */
#define PCI_AF_CAP 3u
#define PCI_AF_CAP_TRANSACTIONS 0x01u
#define PCI_AF_CAP_FLR 0x02u
#define PCI_AF_CONTROL 4u
#define PCI_AF_CONTROL_FLR 0x01u
#define PCI_AF_STATUS 5u
#define PCI_AF_SIZE 6u

/* PCI Local Bus 3.0, 6.8.1 */
#define PCI_MSI_CONTROL 2u
#define PCI_MSI_CONTROL_ENABLE 0x0001u
#define PCI_MSI_CONTROL_MMC_SHIFT 1u
#define PCI_MSI_CONTROL_MMC 0x000eu
#define PCI_MSI_CONTROL_MME_SHIFT 4u
#define PCI_MSI_CONTROL_MME 0x0070u
#define PCI_MSI_CONTROL_64BIT 0x0080u
#define PCI_MSI_CONTROL_MASKABLE 0x0100u
#define PCI_MSI_ADDRESS 4u
#define PCI_MSI_ADDRESS_BITS 0xfffffffcu
#define PCI_MSI_ADDRESS_HIGH 8u
#define PCI_MSI_DATA_32 8u
#define PCI_MSI_DATA_64 12u
#define PCI_MSI_MASK_32 12u
#define PCI_MSI_MASK_64 16u
#define PCI_MSI_SIZE(addr64, maskable) (10u + ((addr64) ? 4u : 0u) + ((maskable) ? 10u : 0u))

/* 6.8.2 */
#define PCI_MSIX_CONTROL 2u
#define PCI_MSIX_CONTROL_SIZE 0x07ffu
#define PCI_MSIX_CONTROL_FUNCTION_MASK 0x4000u
#define PCI_MSIX_CONTROL_ENABLE 0x8000u
#define PCI_MSIX_TABLE 4u
#define PCI_MSIX_PBA 8u
#define PCI_MSIX_SIZE 12u
#define PCI_MSIX_ENTRY_ADDRESS 0u
#define PCI_MSIX_ENTRY_CONTROL 12u
#define PCI_MSIX_ENTRY_CONTROL_MASK 0x1u

/* PCI Express Base 3.0, 7.8 */
#define PCI_EXP_FLAGS 2u
#define PCI_EXP_FLAGS_VERSION 0x000fu
#define PCI_EXP_FLAGS_TYPE_SHIFT 4u
#define PCI_EXP_FLAGS_TYPE 0x00f0u
#define PCI_EXP_TYPE_ENDPOINT 0u
#define PCI_EXP_TYPE_RC_ENDPOINT 9u
#define PCI_EXP_DEVCAP 4u
#define PCI_EXP_DEVCAP_EXT_TAG 0x00000020u
#define PCI_EXP_DEVCAP_ROLE_BASED_ERRORS 0x00008000u
#define PCI_EXP_DEVCAP_FLR 0x10000000u
#define PCI_EXP_DEVCTL 8u
#define PCI_EXP_DEVCTL_ERROR_REPORTING 0x000fu
#define PCI_EXP_DEVCTL_RELAXED_ORDERING 0x0010u
#define PCI_EXP_DEVCTL_MPS_SHIFT 5u
#define PCI_EXP_DEVCTL_MPS 0x00e0u
#define PCI_EXP_DEVCTL_EXT_TAG 0x0100u
#define PCI_EXP_DEVCTL_PHANTOM 0x0200u
#define PCI_EXP_DEVCTL_AUX_POWER 0x0400u
#define PCI_EXP_DEVCTL_NO_SNOOP 0x0800u
#define PCI_EXP_DEVCTL_MRRS_SHIFT 12u
#define PCI_EXP_DEVCTL_MRRS 0x7000u
#define PCI_EXP_DEVCTL_MRRS_512 0x2000u
#define PCI_EXP_DEVCTL_FLR 0x8000u
#define PCI_EXP_DEVSTA 10u
#define PCI_EXP_DEVSTA_RW1C 0x000fu
#define PCI_EXP_LNKCAP 12u
#define PCI_EXP_LNKCAP_2_5GT_X1 0x00000011u
#define PCI_EXP_LNKSTA 18u
#define PCI_EXP_LNKSTA_2_5GT_X1 0x0011u
#define PCI_EXP_DEVCTL2 40u
#define PCI_EXP_DEVCTL2_ARI 0x0020u
#define PCI_EXP_LNKCAP2 44u
#define PCI_EXP_LNKCAP2_2_5GT 0x00000002u
#define PCI_EXP_SIZE 60u /* version 2, slot and root registers included */
/* How much of it is shown: without and with a link, version 1 and later. */
#define PCI_EXP_SHOWN_1_INTEGRATED 0x0cu
#define PCI_EXP_SHOWN_1 0x14u
#define PCI_EXP_SHOWN_2_INTEGRATED 0x2cu
#define PCI_EXP_SHOWN_2 0x34u

/* PCI Express Base 6.0, 7.6.3: extended capability header */
#define PCI_EXT_START 0x100u
#define PCI_EXT_ID 0x0000ffffu
#define PCI_EXT_VERSION_SHIFT 16u
#define PCI_EXT_NEXT_SHIFT 20u
#define PCI_EXT_NEXT 0xffc00000u /* the bits that count */
#define PCI_EXT_HEADER_SIZE 4u
#define PCI_EXT_CAP_ID_AER 0x0001u
#define PCI_EXT_CAP_ID_VC 0x0002u
#define PCI_EXT_CAP_ID_DSN 0x0003u
#define PCI_EXT_CAP_ID_POWER_BUDGET 0x0004u
#define PCI_EXT_CAP_ID_MFVC 0x0008u
#define PCI_EXT_CAP_ID_VC_MFVC 0x0009u
#define PCI_EXT_CAP_ID_VENDOR 0x000bu
#define PCI_EXT_CAP_ID_ACS 0x000du
#define PCI_EXT_CAP_ID_ARI 0x000eu
#define PCI_EXT_CAP_ID_ATS 0x000fu
#define PCI_EXT_CAP_ID_SRIOV 0x0010u
#define PCI_EXT_CAP_ID_MULTICAST 0x0012u
#define PCI_EXT_CAP_ID_PRI 0x0013u
#define PCI_EXT_CAP_ID_REBAR 0x0015u
#define PCI_EXT_CAP_ID_DPA 0x0016u
#define PCI_EXT_CAP_ID_TPH 0x0017u
#define PCI_EXT_CAP_ID_LTR 0x0018u
#define PCI_EXT_CAP_ID_PASID 0x001bu
#define PCI_EXT_CAP_ID_DVSEC 0x0023u
#define PCI_EXT_CAP_ID_DOE 0x002eu

/* 7.8.4: advanced error reporting */
#define PCI_AER_UNCOR_STATUS 0x04u
#define PCI_AER_UNCOR_MASK 0x08u
#define PCI_AER_UNCOR_SEVERITY 0x0cu
#define PCI_AER_UNCOR_UNDEFINED 0x00000001u /* was "training error" in 1.0 */
#define PCI_AER_UNCOR_DLP 0x00000010u
#define PCI_AER_UNCOR_SURPRISE_DOWN 0x00000020u
#define PCI_AER_UNCOR_POISONED 0x00001000u
#define PCI_AER_UNCOR_FCP 0x00002000u
#define PCI_AER_UNCOR_TIMEOUT 0x00004000u
#define PCI_AER_UNCOR_ABORT 0x00008000u
#define PCI_AER_UNCOR_UNEXPECTED 0x00010000u
#define PCI_AER_UNCOR_OVERFLOW 0x00020000u
#define PCI_AER_UNCOR_MALFORMED 0x00040000u
#define PCI_AER_UNCOR_ECRC 0x00080000u
#define PCI_AER_UNCOR_UNSUPPORTED 0x00100000u
#define PCI_AER_UNCOR_ACS 0x00200000u
#define PCI_AER_UNCOR_INTERNAL 0x00400000u
#define PCI_AER_UNCOR_MC_BLOCKED 0x00800000u
#define PCI_AER_UNCOR_ATOMIC_EGRESS 0x01000000u
#define PCI_AER_UNCOR_PREFIX 0x02000000u
/* All of the above: what came with later revisions stays the host's. */
#define PCI_AER_UNCOR_BITS                                                                         \
	(PCI_AER_UNCOR_UNDEFINED | PCI_AER_UNCOR_DLP | PCI_AER_UNCOR_SURPRISE_DOWN |               \
	 PCI_AER_UNCOR_POISONED | PCI_AER_UNCOR_FCP | PCI_AER_UNCOR_TIMEOUT |                      \
	 PCI_AER_UNCOR_ABORT | PCI_AER_UNCOR_UNEXPECTED | PCI_AER_UNCOR_OVERFLOW |                 \
	 PCI_AER_UNCOR_MALFORMED | PCI_AER_UNCOR_ECRC | PCI_AER_UNCOR_UNSUPPORTED |                \
	 PCI_AER_UNCOR_ACS | PCI_AER_UNCOR_INTERNAL | PCI_AER_UNCOR_MC_BLOCKED |                   \
	 PCI_AER_UNCOR_ATOMIC_EGRESS | PCI_AER_UNCOR_PREFIX)
#define PCI_AER_COR_STATUS 0x10u
#define PCI_AER_COR_MASK 0x14u
#define PCI_AER_COR_RECEIVER 0x00000001u
#define PCI_AER_COR_BAD_TLP 0x00000040u
#define PCI_AER_COR_BAD_DLLP 0x00000080u
#define PCI_AER_COR_ROLLOVER 0x00000100u
#define PCI_AER_COR_REPLAY_TIMEOUT 0x00001000u
#define PCI_AER_COR_ADVISORY 0x00002000u
#define PCI_AER_COR_INTERNAL 0x00004000u
#define PCI_AER_COR_LOG_OVERFLOW 0x00008000u
#define PCI_AER_COR_BITS                                                                           \
	(PCI_AER_COR_RECEIVER | PCI_AER_COR_BAD_TLP | PCI_AER_COR_BAD_DLLP |                       \
	 PCI_AER_COR_ROLLOVER | PCI_AER_COR_REPLAY_TIMEOUT | PCI_AER_COR_ADVISORY |                \
	 PCI_AER_COR_INTERNAL | PCI_AER_COR_LOG_OVERFLOW)
#define PCI_AER_CONTROL 0x18u
#define PCI_AER_CONTROL_ECRC_GENERATE 0x00000040u
#define PCI_AER_CONTROL_ECRC_CHECK 0x00000100u
#define PCI_AER_SIZE 0x2cu

/* 7.9.1: virtual channels */
#define PCI_VC_CAP1 0x04u
#define PCI_VC_CAP1_COUNT 0x7u
#define PCI_VC_CAP2 0x08u
#define PCI_VC_CAP2_32_PHASES 0x2u
#define PCI_VC_CAP2_64_PHASES 0x4u
#define PCI_VC_CAP2_128_PHASES 0x8u
#define PCI_VC_BASE_SIZE 0x10u
#define PCI_VC_PER_CHANNEL 12u

#define PCI_DSN_SIZE 12u /* 7.9.3 */

/* 7.8.1: power budgeting */
#define PCI_POWER_SELECT 4u
#define PCI_POWER_DATA 8u
#define PCI_POWER_SIZE 16u

/* 7.9.5 and 7.9.6: length of vendor-specific blocks, from their second dword */
#define PCI_VENDOR_EXT_HEADER 4u
#define PCI_VENDOR_EXT_LEN_SHIFT 20u

/* 7.7.11: access control services */
#define PCI_ACS_CAP 4u
#define PCI_ACS_CAP_EGRESS 0x20u
#define PCI_ACS_VECTOR_SIZE 5u
#define PCI_ACS_CONTROL 6u
#define PCI_ACS_SIZE 8u

#define PCI_ARI_SIZE 8u	       /* 7.8.8 */
#define PCI_ATS_CAP 4u	       /* 10.5.1: address translation services */
#define PCI_ATS_CAP_QUEUE_DEPTH 0x001fu
#define PCI_ATS_CAP_PAGE_ALIGNED 0x0020u
#define PCI_ATS_CONTROL 6u
#define PCI_ATS_CONTROL_STU 0x001fu
#define PCI_ATS_CONTROL_ENABLE 0x8000u
#define PCI_ATS_SIZE 8u
#define PCI_SRIOV_CONTROL 0x08u /* 9.3.3: single root I/O virtualization */
#define PCI_SRIOV_CONTROL_VF_ENABLE 0x0001u
#define PCI_SRIOV_CONTROL_MSE 0x0008u /* VF Memory Space Enable */
#define PCI_SRIOV_CONTROL_ARI 0x0010u /* ARI Capable Hierarchy */
#define PCI_SRIOV_INITIAL_VFS 0x0cu
#define PCI_SRIOV_TOTAL_VFS 0x0eu
#define PCI_SRIOV_NUM_VFS 0x10u
#define PCI_SRIOV_OFFSET 0x14u
#define PCI_SRIOV_STRIDE 0x16u
#define PCI_SRIOV_VF_DEVICE 0x1au
#define PCI_SRIOV_PAGE_SIZES 0x1cu
#define PCI_SRIOV_PAGE_SIZE 0x20u
#define PCI_SRIOV_BAR(n) (0x24u + 4u * (n))
/* 9.3.3.12: the page sizes that every function supports */
#define PCI_SRIOV_PAGE_SIZES_REQUIRED 0x00000553u
#define PCI_SRIOV_SIZE 0x40u
#define PCI_MULTICAST_SIZE 40u /* 7.9.11, of an endpoint */
#define PCI_PRI_CONTROL 4u     /* 10.5.2: page requests */
#define PCI_PRI_CONTROL_ENABLE 0x0001u
#define PCI_PRI_STATUS 6u
#define PCI_PRI_STATUS_STOPPED 0x0100u
#define PCI_PRI_CAPACITY 8u
#define PCI_PRI_ALLOCATION 12u
#define PCI_PRI_SIZE 16u
#define PCI_LTR_BITS 0x1fffu   /* 7.8.2: value and scale, snoop and no-snoop */
#define PCI_LTR_SIZE 8u

/* 7.8.9: process address space ids */
#define PCI_PASID_CAP 4u
#define PCI_PASID_EXECUTE 0x0002u    /* in Capability and in Control */
#define PCI_PASID_PRIVILEGED 0x0004u /* likewise */
#define PCI_PASID_WIDTH_SHIFT 8u
#define PCI_PASID_CONTROL 6u
#define PCI_PASID_ENABLE 0x0001u
#define PCI_PASID_SIZE 8u

/* 7.8.6: resizable BAR */
#define PCI_REBAR_CAP_SIZES_SHIFT 4u /* bit 4: 1 MiB */
#define PCI_REBAR_CONTROL 8u
#define PCI_REBAR_CONTROL_COUNT 0xe0u
#define PCI_REBAR_CONTROL_COUNT_SHIFT 5u
#define PCI_REBAR_CONTROL_SIZE_SHIFT 8u
#define PCI_REBAR_BASE_SIZE 4u
#define PCI_REBAR_PER_BAR 8u

/* 7.9.12: dynamic power allocation */
#define PCI_DPA_CAP 4u
#define PCI_DPA_CAP_SUBSTATES 0x1fu
#define PCI_DPA_BASE_SIZE 16u

/* 7.9.13: TLP processing hints */
#define PCI_TPH_CAP 4u
#define PCI_TPH_CAP_NO_ST 0x00000001u
#define PCI_TPH_CAP_VECTOR 0x00000002u
#define PCI_TPH_CAP_LOCATION 0x00000600u
#define PCI_TPH_CAP_LOCATION_HERE 0x00000200u
#define PCI_TPH_CAP_ST_SIZE 0x07ff0000u
#define PCI_TPH_CAP_ST_SIZE_SHIFT 16u
#define PCI_TPH_CONTROL 8u
#define PCI_TPH_CONTROL_BITS 0x00000307u /* mode select and requester enable */
#define PCI_TPH_BASE_SIZE 12u

#endif
