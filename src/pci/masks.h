/* SPDX-License-Identifier: MIT */
/*
 * What a program may see and change of a function's config space: per byte its
 * owner, per bit whether it is virtual, writable, or cleared by writing one
 * (pci-config.md 0, 2.2, 3.2). Built from the capability list that the device
 * shows, one function per capability.
 */
#ifndef VIA_PCI_MASKS_H
#define VIA_PCI_MASKS_H

#include "pci/config.h"

/*
 * Register blocks. A capability's owner is its id; beyond 0x100 ids are the
 * extended ones.
 */
#define VIA_OWNER_NONE 0xffffu
#define VIA_OWNER_HEADER 0xfffeu
/* The header of a hidden first extended capability: only its next pointer is left. */
#define VIA_OWNER_PLACEHOLDER 0xfffdu

struct via_config_owner {
	uint16_t tag;
	uint16_t start; /* of this instance: two neighbours may have one id */
};

struct via_config_masks {
	uint8_t virt[VIA_CONFIG_SIZE_EXPRESS];	/* 1: the bit lives in the virtual store */
	uint8_t write[VIA_CONFIG_SIZE_EXPRESS]; /* 1: a program may change the bit */
	uint8_t w1c[VIA_CONFIG_SIZE_EXPRESS];	/* 1: writing one to the device clears the bit */
	uint8_t raw[VIA_CONFIG_SIZE_EXPRESS];	/* 1: the byte is written to the device as it comes */
	struct via_config_owner owner[VIA_CONFIG_SIZE_EXPRESS];
	/* First instance of the capabilities with hooks, 0: none. */
	uint16_t pm, vpd, msi, express, msix, af;
	bool pcix_2; /* there is a PCI-X capability with extended config space */
};

/* What is not in the tables. */
struct via_config_policy {
	/*
	 * What nobody owns, bodies of hidden capabilities among it, is read
	 * from and written to the device, as vfio-pci does; else it reads 0 and
	 * takes nothing (Q6).
	 */
	bool raw_gaps;
	/*
	 * Lengths in bytes of capabilities that are shown although vfio-pci
	 * hides them, by the dword that they start at: VIA_CONFIG_DWORDS of
	 * them. What is written to their bodies reaches the device. NULL: none is.
	 */
	const uint16_t *shown;
};

#define VIA_CONFIG_DWORDS (VIA_CONFIG_SIZE_EXPRESS / 4)

/*
 * Fill masks, walking the lists in image: the device's registers as read at
 * open, size bytes. image becomes the virtual store: hidden capabilities are
 * unlinked in it, what nobody owns is zero unless it is raw. Any image is
 * survived: loops, overlaps and capabilities that leave the space are cut off.
 */
void via_config_masks_build(struct via_config_masks *masks, uint8_t *image, unsigned int size,
			    const struct via_config_policy *policy);

#endif
