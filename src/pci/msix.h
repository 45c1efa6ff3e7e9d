/* SPDX-License-Identifier: MIT */
/*
 * MSI-X table and Pending Bit Array as they lie in a BAR (PCI 3.0 6.8.2).
 *
 * Accesses through a mapping or a trapped register come here. Accesses through
 * the region's read and write never see the table (pci-config.md 6.6): the
 * device room answers those with ones and drops the writes; the Pending Bit
 * Array is not hidden.
 */
#ifndef VIA_PCI_MSIX_H
#define VIA_PCI_MSIX_H

#include "pci/irqs.h"

#define VIA_MSIX_ENTRY_SIZE 16u

/* Bytes that n vectors take. The Pending Bit Array is a whole number of quadwords. */
static inline uint32_t via_msix_table_size(unsigned int vectors)
{
	return vectors * VIA_MSIX_ENTRY_SIZE;
}

static inline uint32_t via_msix_pba_size(unsigned int vectors)
{
	return (vectors + 63) / 64 * 8;
}

/*
 * offset counts from the start of the table or array; size is 1, 2, 4 or 8.
 * Past the end reads give 0 and writes do nothing. Unaligned accesses and
 * bytes are allowed: more than the specification asks of hardware.
 */
uint64_t via_msix_table_read(struct via_irqs *irqs, uint64_t offset, unsigned int size);
void via_msix_table_write(struct via_irqs *irqs, uint64_t offset, unsigned int size, uint64_t value);
uint64_t via_msix_pba_read(struct via_irqs *irqs, uint64_t offset, unsigned int size);

#endif
