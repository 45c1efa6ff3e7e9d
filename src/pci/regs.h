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
#define PCI_BIST 0x0fu
#define PCI_BAR(n) (0x10u + 4u * (n)) /* 6.2.5.1 */
#define PCI_BAR_IO 0x1u
#define PCI_BAR_MEM_64 0x4u
#define PCI_BAR_PREFETCH 0x8u
#define PCI_CARDBUS_CIS 0x28u
#define PCI_SUBSYSTEM_VENDOR_ID 0x2cu
#define PCI_SUBSYSTEM_ID 0x2eu
#define PCI_ROM_BAR 0x30u /* 6.2.5.2 */
#define PCI_CAPABILITY_LIST 0x34u
#define PCI_INTERRUPT_LINE 0x3cu
#define PCI_INTERRUPT_PIN 0x3du
#define PCI_HEADER_SIZE 0x40u

/* 6.7: capabilities list */
#define PCI_CAP_ID 0u
#define PCI_CAP_NEXT 1u
#define PCI_CAP_POINTER 0xfcu /* the bits of a pointer that count */
#define PCI_CAP_ID_PM 0x01u
#define PCI_CAP_ID_MSI 0x05u
#define PCI_CAP_ID_EXP 0x10u
#define PCI_CAP_ID_MSIX 0x11u

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
#define PCI_PM_SIZE 8u
#define PCI_D0 0u
#define PCI_D1 1u
#define PCI_D2 2u
#define PCI_D3HOT 3u

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

#endif
