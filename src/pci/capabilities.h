/* SPDX-License-Identifier: MIT */
/*
 * What a program may see and change of each capability: its length and its
 * masks, by its id. For masks.c, which walks the lists.
 */
#ifndef VIA_PCI_CAPABILITIES_H
#define VIA_PCI_CAPABILITIES_H

#include "pci/masks.h"

#define ALL8 0xffu
#define ALL16 0xffffu
#define ALL32 0xffffffffu

/* A capability that is shown; ids without one are hidden. */
struct via_cap_kind {
	uint16_t id;
	uint8_t min_len; /* bytes that len() looks at, so that it stays inside the space */
	bool raw;	 /* writes reach the device as they come */
	/* Bytes; 0: it stays hidden. NULL: min_len. */
	unsigned int (*len)(const uint8_t *image, unsigned int cap);
	/* What is beyond the header, which has been done. NULL: all read-only, from the device. */
	void (*masks)(struct via_config_masks *m, uint8_t *image, unsigned int cap);
};

const struct via_cap_kind *via_cap_kind(uint8_t id);
const struct via_cap_kind *via_ext_cap_kind(uint16_t id);

static inline void mask8(struct via_config_masks *m, unsigned int pos, unsigned int virt,
			 unsigned int write)
{
	m->virt[pos] = (uint8_t)virt;
	m->write[pos] = (uint8_t)write;
}

static inline void mask16(struct via_config_masks *m, unsigned int pos, unsigned int virt,
			  unsigned int write)
{
	via_put_le16(m->virt + pos, (uint16_t)virt);
	via_put_le16(m->write + pos, (uint16_t)write);
}

static inline void mask32(struct via_config_masks *m, unsigned int pos, uint32_t virt,
			  uint32_t write)
{
	via_put_le32(m->virt + pos, virt);
	via_put_le32(m->write + pos, write);
}

#endif
