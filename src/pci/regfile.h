/* SPDX-License-Identifier: MIT */
/* The registers of an emulated function: what layout.c fills and regfile.c serves. */
#ifndef VIA_PCI_REGFILE_H
#define VIA_PCI_REGFILE_H

#include "pci/dev.h"
#include "pci/masks.h"

struct via_regfile {
	/* Constant after via_regfile_new(). */
	struct via_irqs *irqs;
	unsigned int size;
	unsigned int msix, sriov; /* capabilities, 0: none */
	/* What is not the host's to set up is constant, the rest (SR-IOV) under the config lock. */
	uint8_t initial[VIA_CONFIG_SIZE_EXPRESS];
	uint8_t writable[VIA_CONFIG_SIZE_EXPRESS];
	uint8_t w1c[VIA_CONFIG_SIZE_EXPRESS];
	uint8_t sticky[VIA_CONFIG_SIZE_EXPRESS];
	uint8_t listens[VIA_CONFIG_SIZE_EXPRESS]; /* the model hears of writes to the byte */
	bool show_all;
	uint16_t shown[VIA_CONFIG_DWORDS]; /* length of the capability that starts here */
	uint32_t (*look)(void *cookie, unsigned int pos, unsigned int width, uint32_t value);
	void (*written)(void *cookie, unsigned int pos, unsigned int width, uint32_t value);
	void *cookie;
	uint32_t *power_data; /* owned; by the selector of the power budgeting capability */
	unsigned int n_power_data, power_budget;
	unsigned int vpd_len;
	bool vpd_writable;
	/* Under the config lock. */
	uint8_t value[VIA_CONFIG_SIZE_EXPRESS];
	uint8_t *vpd; /* owned, vpd_len bytes; survives resets, as an EEPROM does */
};

/* Fill regs, all zero, from a checked description. 0, -EINVAL with text, -ENOMEM. */
int via_regfile_layout(struct via_regfile *regs, const struct via_config_desc *desc,
		       struct via_error *err);

/* sriov.c: how long the capability is; 0: the description cannot be. */
unsigned int via_sriov_size(const struct via_pci_sriov *sriov);
/* Its registers at position at, before the host has enabled anything. */
void via_sriov_fill(struct via_regfile *regs, unsigned int at, const struct via_pci_sriov *sriov,
		    bool ari);

#endif
