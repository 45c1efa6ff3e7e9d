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
	VIA_BAR_UNMAPPABLE = 1u << 3,	/* programs cannot map it, only read and write */
};

/**
 * struct via_pci_rom - expansion ROM
 * @image: what it holds, kept by reference
 * @len: bytes, to 16 MiB; 0: none. The ROM is as large as the next power of
 *	two from 2048, what is beyond @len reads as ones
 */
struct via_pci_rom {
	const uint8_t *image;
	uint32_t len;
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

/** enum via_pci_cap_kind - what struct via_pci_cap describes */
enum via_pci_cap_kind {
	VIA_CAP_AF = 1,	      /* Advanced Features: function level reset of a conventional function */
	VIA_CAP_VPD,	      /* vital product data */
	VIA_CAP_VENDOR,	      /* vendor specific, in the first 256 bytes */
	VIA_CAP_AER,	      /* advanced error reporting */
	VIA_CAP_DSN,	      /* device serial number */
	VIA_CAP_ACS,	      /* access control services */
	VIA_CAP_ARI,	      /* alternative routing-id interpretation */
	VIA_CAP_ATS,	      /* address translation services */
	VIA_CAP_PRI,	      /* page requests */
	VIA_CAP_PASID,	      /* process address space ids */
	VIA_CAP_REBAR,	      /* resizable BARs */
	VIA_CAP_LTR,	      /* latency tolerance reporting */
	VIA_CAP_TPH,	      /* TLP processing hints */
	VIA_CAP_POWER_BUDGET, /* power budgeting */
	VIA_CAP_VENDOR_EXT,   /* vendor specific, extended */
	VIA_CAP_DVSEC,	      /* designated vendor-specific */
	VIA_CAP_OTHER,	      /* any other, byte by byte */
	VIA_CAP_OTHER_EXT,    /* any other extended one */
	VIA_CAP_SRIOV,	      /* single root I/O virtualization: a physical function */
};

/**
 * struct via_pci_bytes - the body of a capability that the library does not know
 * @value: initial bytes, kept by reference only while the device is made
 * @writable: of each byte the bits that a program may change, as long as @value; NULL: none
 * @len: bytes
 */
struct via_pci_bytes {
	const uint8_t *value;
	const uint8_t *writable;
	uint16_t len;
};

/**
 * struct via_pci_sriov - what virtual functions a physical function can have
 * @total: how many at most, from 1; InitialVFs is the same
 * @offset, @stride: the routing id of virtual function n is that of the physical
 *	function plus @offset + n * @stride; both from 1, all within 16 bits
 * @vf_device: their device id; the vendor is the physical function's
 * @page_sizes: bit n for pages of 4096 << n; 0: those that every function must
 *	support, which are 4, 8, 64 and 256 KiB, 1 and 4 MiB
 * @bars: of each virtual function: memory, a power of two from 4096 bytes; flags
 *	are VIA_BAR_MEM64, which takes the next index too, and VIA_BAR_PREFETCH
 */
struct via_pci_sriov {
	uint16_t total, offset, stride, vf_device;
	uint32_t page_sizes;
	struct {
		uint64_t size;
		unsigned int flags;
	} bars[VIA_PCI_BARS];
};

/**
 * struct via_pci_cap - a capability beyond those that struct via_device_desc names
 * @kind: which member of the union counts; kinds without a member need nothing
 * @offset: in config space, a multiple of 4; 0: the next free place. Extended
 *	capabilities need @express in the description
 *
 * Sizes, register formats and what of it a program may see and change are the
 * library's. What cannot be is an error of via_device_new() that names the
 * capability and the offset. Whether a program sees it follows what vfio-pci
 * shows, unless the device has VIA_DEVICE_ALL_CAPABILITIES.
 */
struct via_pci_cap {
	enum via_pci_cap_kind kind;
	uint16_t offset;
	union {
		/** @vpd: @data: @len bytes, at most 32768, copied; @writable: a program may write them */
		struct {
			const uint8_t *data;
			uint32_t len;
			bool writable;
		} vpd;
		/** @vendor: what follows the length byte; writes also reach @ops->config_write */
		struct via_pci_bytes vendor;
		/** @dsn: EUI-64 */
		uint64_t dsn;
		/** @acs: Capability register; @egress_bits: size of the egress control vector, 0-256 */
		struct {
			uint8_t capability;
			uint16_t egress_bits;
		} acs;
		/** @ari: number of the next function, 0: none */
		uint8_t ari;
		/** @ats: @queue_depth: invalidate queue depth, 0 for 32; @page_aligned: as the bit */
		struct {
			uint8_t queue_depth;
			bool page_aligned;
		} ats;
		/** @pri: outstanding page requests that the function can have */
		uint32_t pri;
		/** @pasid: @width: bits of a PASID, 1-20; permissions that can be asked for */
		struct {
			uint8_t width;
			bool execute, privileged;
		} pasid;
		/**
		 * @rebar: for each BAR index the sizes that it can have, bit n
		 * for 1 MiB << n; 0: not resizable. The size it has is the BAR's
		 */
		uint32_t rebar[VIA_PCI_BARS];
		/** @tph: entries of the steering tag table in the capability, 0: no table, at most 64 */
		uint8_t tph;
		/** @power_budget: the data register for each value of the selector, then 0 */
		struct {
			const uint32_t *data;
			uint8_t n;
		} power_budget;
		/** @vendor_ext: VSEC id and revision; the body follows its 8 bytes of headers */
		struct {
			uint16_t id;
			uint8_t revision;
			struct via_pci_bytes body;
		} vendor_ext;
		/** @dvsec: vendor, id and revision; the body follows its 10 bytes of headers */
		struct {
			uint16_t vendor, id;
			uint8_t revision;
			struct via_pci_bytes body;
		} dvsec;
		/** @sriov: virtual functions; their devices are made by @ops->vf_new */
		struct via_pci_sriov sriov;
		/** @other: @id, of an extended one the @version; the body follows the header */
		struct {
			uint16_t id;
			uint8_t version;
			struct via_pci_bytes body;
		} other;
	};
};

/** enum via_reset - why a function is reset; registers go to their initial state in all */
enum via_reset {
	VIA_RESET_OPEN,	 /* first open */
	VIA_RESET_IOCTL, /* VFIO_DEVICE_RESET */
	VIA_RESET_FLR,	 /* PCI Express or AF function level reset */
	VIA_RESET_PM,	 /* D3hot to D0 without No_Soft_Reset */
	VIA_RESET_HOT,	 /* secondary bus reset */
	VIA_RESET_CLOSE, /* last close */
	VIA_RESET_PF,	 /* of a virtual function: its physical function was reset */
};

#ifdef __cplusplus
}
#endif

#endif
