/* SPDX-License-Identifier: MIT */
/* What registers and capabilities are called, for people. */
#ifndef VIA_PCI_NAMES_H
#define VIA_PCI_NAMES_H

#include <viaduct/base.h>

/* A bit or field of a register. */
struct via_reg_field {
	const char *name;
	uint32_t mask;
};

struct via_reg_name {
	uint16_t offset; /* from the start of the block */
	uint8_t width;	 /* bytes: 1, 2, 4 */
	const char *name;
	const struct via_reg_field *fields; /* ended by name NULL; or NULL */
};

/* "PM", "MSI-X", "AER"; NULL for an id without a name. */
const char *via_cap_name(uint8_t id);
const char *via_ext_cap_name(uint16_t id);

/* Registers of the header, and of a capability; ascending, ended by name NULL. Never NULL. */
const struct via_reg_name *via_header_regs(void);
const struct via_reg_name *via_cap_regs(uint8_t id);
const struct via_reg_name *via_ext_cap_regs(uint16_t id);

/* The register of the list that holds offset, or NULL. */
const struct via_reg_name *via_reg_at(const struct via_reg_name *regs, unsigned int offset);

#endif
