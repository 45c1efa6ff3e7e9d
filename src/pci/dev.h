/* SPDX-License-Identifier: MIT */
/*
 * The device's own config registers, the DEV store of pci-config.md 0: what
 * hardware would hold. Config space (config.c) works on top of any of these.
 */
#ifndef VIA_PCI_DEV_H
#define VIA_PCI_DEV_H

#include "pci/config.h"

/*
 * One call is one config transaction: width 1, 2 or 4, pos a multiple of it.
 * Called with the config lock held. Positions are below via_config_dev.size.
 */
struct via_config_dev_ops {
	int (*read)(void *cookie, unsigned int pos, unsigned int width, uint32_t *ret_value);
	int (*write)(void *cookie, unsigned int pos, unsigned int width, uint32_t value);
	/* First open and last close: everything as after power-on and the host's set-up. */
	void (*init)(void *cookie);
	/* Function reset, with the registers that the host saves and restores around it kept. */
	void (*reset)(void *cookie);
	/*
	 * Optional: four bytes of vital product data at address, below 2^15.
	 * Negative errno: the device does not answer.
	 */
	int (*vpd)(void *cookie, bool write, unsigned int address, uint8_t data[4]);
};

struct via_config_dev {
	const struct via_config_dev_ops *ops;
	void *cookie;
	unsigned int size; /* 256 or 4096 */
	const uint16_t *shown; /* as in struct via_config_policy */
};

/* 0, or -EINVAL with text: the checks of via_config_new(). */
int via_config_desc_check(const struct via_config_desc *desc, struct via_error *err);

/*
 * via_config_new() over registers that somebody else keeps; dev->cookie must
 * outlive the result. Of desc the flags, BARs and ROM are used, of a virtual
 * function the ids too.
 */
int via_config_new_on(const struct via_config_dev *dev, const struct via_config_desc *desc,
		      const struct via_config_ops *ops, void *cookie, struct via_irqs *irqs,
		      struct via_config **ret_config);

/*
 * The registers of an emulated function: each byte with a value, the bits that
 * the bus side can set and clear, the bits that writing one clears, and those
 * of the latter that a function reset keeps.
 */
struct via_regfile;

/*
 * desc has been checked but for the capabilities in desc->caps: -EINVAL with
 * text. irqs supplies what is live: pin state, MSI-X enable.
 */
int via_regfile_new(const struct via_config_desc *desc, struct via_irqs *irqs,
		    struct via_error *err, struct via_regfile **ret_regs);
/*
 * Reads and writes of vendor-specific registers, as struct via_config_ops has
 * them; either may be NULL. With the config lock held. Before the first access.
 */
void via_regfile_listen(struct via_regfile *regs,
			uint32_t (*look)(void *cookie, unsigned int pos, unsigned int width,
					 uint32_t value),
			void (*written)(void *cookie, unsigned int pos, unsigned int width,
					uint32_t value),
			void *cookie);
/* The host enables n virtual functions, or none; with the config lock held. False: cannot have any. */
bool via_regfile_set_vfs(struct via_regfile *regs, unsigned int n);
void via_regfile_free(struct via_regfile *regs);
void via_regfile_dev(struct via_regfile *regs, struct via_config_dev *ret_dev);
/*
 * What of the registers can change, and vital product data that can: always
 * via_regfile_state_size() bytes. Other bits of what is loaded are not looked at.
 */
size_t via_regfile_state_size(const struct via_regfile *regs);
void via_regfile_save(const struct via_regfile *regs, uint8_t *state);
void via_regfile_load(struct via_regfile *regs, const uint8_t *state);
/* A number that differs, but for chance, where other bits of other registers can change. */
uint64_t via_regfile_layout_hash(const struct via_regfile *regs);

#endif
