/* SPDX-License-Identifier: MIT */
/*
 * One function's config space, shared by transactions (config.c), what a write
 * means beyond its bits (config-hooks.c) and the state it is in (config-state.c).
 * All functions here want the config lock held.
 */
#ifndef VIA_PCI_CONFIG_PRIVATE_H
#define VIA_PCI_CONFIG_PRIVATE_H

#include "pci/config.h"
#include "pci/dev.h"
#include "pci/masks.h"

#include <pthread.h>
#include <stdatomic.h>

struct via_config {
	/* Constant after via_config_new_on(). */
	struct via_config_dev dev;
	struct via_regfile *regs; /* owned; NULL over somebody else's registers */
	unsigned int flags;	  /* enum via_config_flags; MSIX_EMULATED: constant while open */
	uint16_t vendor, device;  /* of a virtual function */
	struct via_config_bar bars[VIA_PCI_BARS];
	uint32_t rom_size;
	const struct via_config_ops *ops;
	void *cookie;
	struct via_irqs *irqs;

	pthread_mutex_t lock;		       /* the config lock: all that follows */
	uint8_t virt[VIA_CONFIG_SIZE_EXPRESS]; /* the virtual store */
	struct via_config_masks masks;	       /* changed by build() only */
	bool open;
	bool memory;				/* as last told by ops->memory */
	bool held;				/* no memory until all of a slot have been reset */
	unsigned int power;			/* D-state */
	unsigned int vfs;			/* virtual functions that are enabled */
	uint32_t saved_bars[VIA_PCI_BARS + 1];	/* the device's at open, the ROM's last */
	uint8_t saved[VIA_CONFIG_SIZE_EXPRESS]; /* the device's when it went to D3hot */
	atomic_uint command;			/* written under lock, read by anybody */
	/*
	 * Atomic. Of each dword what any read of it gives, | VIEW_WHOLE, if that is in
	 * the virtual store alone; else 0. Stored (release) under lock at the end
	 * of what changes virt or masks, loaded (acquire) by anybody: a reader
	 * has a dword of before or after a transaction, never of the middle.
	 */
	uint64_t view[VIA_CONFIG_DWORDS];
};

/* width little-endian bytes */
static inline uint32_t via_get_le(const uint8_t *p, unsigned int width)
{
	uint32_t value = 0;

	for (unsigned int i = 0; i < width; i++)
		value |= (uint32_t)p[i] << 8 * i;
	return value;
}

static inline void via_put_le(uint8_t *p, unsigned int width, uint32_t value)
{
	for (unsigned int i = 0; i < width; i++)
		p[i] = (uint8_t)(value >> 8 * i);
}

/* config.c: the device's registers */
int via_config_dev_read(struct via_config *config, unsigned int pos, unsigned int width,
			uint32_t *ret_value);
/* Where a failing device has nothing to say: what an absent one answers. */
uint32_t via_config_dev_get(struct via_config *config, unsigned int pos, unsigned int width);
/*
 * Change some bits and leave the rest alone: status bits that writing one
 * would clear are written as zero unless they are meant.
 */
int via_config_dev_update(struct via_config *config, unsigned int pos, unsigned int width,
			  uint32_t bits, uint32_t value);

/* Readers without the lock see what is in the stores now. */
void via_config_publish_all(struct via_config *config);

/* config-state.c */
void via_config_tell_memory(struct via_config *config, bool on);
bool via_config_memory_accessible(const struct via_config *config);
void via_config_set_command(struct via_config *config, uint16_t now);
/* COMMAND as the program sees it: the device's bits and the virtual ones. */
uint16_t via_config_current_command(struct via_config *config);
void via_config_write_power(struct via_config *config, unsigned int state);
/* A program asks for a D-state; refusals are silent. */
void via_config_request_power(struct via_config *config, unsigned int want);
void via_config_reset_function(struct via_config *config, enum via_reset kind);

/* config-hooks.c */
/* What a BAR register holds when value is written to it. */
uint32_t via_config_bar_image(const struct via_config *config, unsigned int slot, uint32_t value);
void via_config_mask_rom_bar(struct via_config *config);
void via_config_save_bars(struct via_config *config);
/* Offset of the Mask register from the start of an MSI capability, 0: it has none. */
unsigned int via_config_msi_mask_offset(const struct via_config *config, unsigned int cap);
void via_config_before_write(struct via_config *config, const struct via_config_owner *owner,
			     unsigned int pos, uint32_t value);
void via_config_after_write(struct via_config *config, const struct via_config_owner *owner,
			    unsigned int pos, unsigned int width, uint32_t value,
			    unsigned int old_express_control);

#endif
