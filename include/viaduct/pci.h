/* SPDX-License-Identifier: MIT */
/**
 * DOC: viaduct/pci.h - what a PCI function is, in the words of the PCI specification
 *
 * Descriptions that a model gives; the config space, its masks and the
 * interrupt machinery are built from them (spec: PCI Local Bus 3.0 chapter 6,
 * PCI Express Base chapter 7).
 */
#ifndef VIADUCT_PCI_H
#define VIADUCT_PCI_H

#include <viaduct/base.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VIA_PCI_BARS 6

/**
 * struct via_pci_addr - segment:bus:device.function
 */
struct via_pci_addr {
	uint16_t segment;
	uint8_t bus;
	uint8_t device;	  /* 0-31 */
	uint8_t function; /* 0-7 */
};

/** VIA_PCI_ADDR_LEN - room for "0000:00:00.0" and its NUL */
#define VIA_PCI_ADDR_LEN 13

/** via_pci_addr_parse() - "DDDD:BB:DD.F" or "BB:DD.F"; 0 or -EINVAL */
VIA_PUBLIC int via_pci_addr_parse(const char *text, struct via_pci_addr *ret_addr);
VIA_PUBLIC void via_pci_addr_format(const struct via_pci_addr *addr, char text[VIA_PCI_ADDR_LEN]);

/** enum via_bar_flags - kind of a Base Address Register */
enum via_bar_flags {
	VIA_BAR_MEM32 = 0,
	VIA_BAR_IO = 1u << 0,
	VIA_BAR_MEM64 = 1u << 1,	/* takes the next index too */
	VIA_BAR_PREFETCH = 1u << 2,
};

/** enum via_area_kind - what a mapping of a part of a BAR means */
enum via_area_kind {
	VIA_AREA_REGISTER, /* each access must be seen: trapped */
	VIA_AREA_DOORBELL, /* shared pages; the device watches what is written */
	VIA_AREA_MEMORY,   /* plain shared pages */
};

/** struct via_area - part of a BAR; offset and size are multiples of 4096 */
struct via_area {
	uint64_t offset;
	uint64_t size;
	enum via_area_kind kind;
};

/**
 * struct via_pci_ident - the fixed part of the type 0 header
 * @class_code: 24 bits: base class << 16 | sub-class << 8 | interface
 * @interrupt_pin: 1-4 for INTA-INTD, 0 for none
 */
struct via_pci_ident {
	uint16_t vendor, device;
	uint16_t subsystem_vendor, subsystem_device;
	uint32_t class_code;
	uint8_t revision;
	uint8_t interrupt_pin;
};

/**
 * struct via_pci_msi - MSI capability
 * @vectors: 0 (absent), 1, 2, 4, 8, 16 or 32
 * @addr64: 64-bit message address
 * @maskable: per-vector masking
 */
struct via_pci_msi {
	uint8_t vectors;
	bool addr64;
	bool maskable;
};

/**
 * struct via_pci_msix - MSI-X capability; table and PBA are the library's
 * @vectors: 0 (absent) to 2048
 * @table_bar, @pba_bar: BAR indexes
 * @table_offset, @pba_offset: bytes, multiples of 8; best on a page of their own
 */
struct via_pci_msix {
	uint16_t vectors;
	uint8_t table_bar, pba_bar;
	uint32_t table_offset, pba_offset;
};

/**
 * struct via_pci_express - PCI Express capability, version 2 endpoint
 * @present: the function is PCI Express: 4096 bytes of config space, FLR
 * @integrated: root complex integrated endpoint (type 9) rather than type 0
 * @max_payload: Device Capabilities Max_Payload_Size field, 0-5
 */
struct via_pci_express {
	bool present;
	bool integrated;
	uint8_t max_payload;
};

/** enum via_reset - why a function is reset; registers go to their initial state in all */
enum via_reset {
	VIA_RESET_OPEN,	 /* first open */
	VIA_RESET_IOCTL, /* VFIO_DEVICE_RESET */
	VIA_RESET_FLR,	 /* PCI Express or AF function level reset */
	VIA_RESET_PM,	 /* D3hot to D0 without No_Soft_Reset */
	VIA_RESET_HOT,	 /* secondary bus reset */
	VIA_RESET_CLOSE, /* last close */
};

#ifdef __cplusplus
}
#endif

#endif
