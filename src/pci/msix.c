/* SPDX-License-Identifier: MIT */
#include "pci/msix.h"
#include "pci/irqs-private.h"
#include "pci/regs.h"

static uint32_t *entry_dword(struct via_msix_entry *entry, unsigned int offset)
{
	switch (offset / 4) {
	case 0:
		return &entry->address_low;
	case 1:
		return &entry->address_high;
	default:
		return &entry->data;
	}
}

static uint32_t get_dword(struct via_irqs *irqs, uint64_t offset)
{
	struct via_msix_entry *entry = &irqs->table[offset / VIA_MSIX_ENTRY_SIZE];
	unsigned int in = offset % VIA_MSIX_ENTRY_SIZE;

	if (in == PCI_MSIX_ENTRY_CONTROL)
		return entry->masked ? PCI_MSIX_ENTRY_CONTROL_MASK : 0;
	return *entry_dword(entry, in);
}

static void put_dword(struct via_irqs *irqs, uint64_t offset, uint32_t value)
{
	unsigned int vector = (unsigned int)(offset / VIA_MSIX_ENTRY_SIZE);
	struct via_msix_entry *entry = &irqs->table[vector];
	unsigned int in = offset % VIA_MSIX_ENTRY_SIZE;

	if (in == PCI_MSIX_ENTRY_CONTROL) {
		entry->masked = value & PCI_MSIX_ENTRY_CONTROL_MASK;
		via_irqs_replay(irqs, vector);
		return;
	}
	/* Messages are dword writes: the low two bits of the address stay zero. */
	*entry_dword(entry, in) = in == PCI_MSIX_ENTRY_ADDRESS ? value & ~3u : value;
}

static bool in_table(const struct via_irqs *irqs, uint64_t offset)
{
	return offset < via_msix_table_size(irqs->desc.msix);
}

uint64_t via_msix_table_read(struct via_irqs *irqs, uint64_t offset, unsigned int size)
{
	uint64_t value = 0;

	pthread_mutex_lock(&irqs->lock);
	for (unsigned int i = 0; i < size && in_table(irqs, offset + i); i++) {
		uint64_t at = offset + i;

		value |= (uint64_t)(get_dword(irqs, at & ~3ull) >> 8 * (at & 3) & 0xff) << 8 * i;
	}
	pthread_mutex_unlock(&irqs->lock);
	return value;
}

void via_msix_table_write(struct via_irqs *irqs, uint64_t offset, unsigned int size, uint64_t value)
{
	unsigned int i = 0;

	pthread_mutex_lock(&irqs->lock);
	/* Dword by dword, so that an entry never changes half. */
	while (i < size && in_table(irqs, offset + i)) {
		uint64_t dword = (offset + i) & ~3ull;
		uint32_t now = get_dword(irqs, dword);

		for (; i < size && ((offset + i) & ~3ull) == dword; i++) {
			unsigned int shift = 8 * ((offset + i) & 3);

			now &= ~(0xffu << shift);
			now |= (uint32_t)(value >> 8 * i & 0xff) << shift;
		}
		put_dword(irqs, dword, now);
	}
	pthread_mutex_unlock(&irqs->lock);
}

uint64_t via_msix_pba_read(struct via_irqs *irqs, uint64_t offset, unsigned int size)
{
	uint32_t end = via_msix_pba_size(irqs->desc.msix);
	uint64_t value = 0;

	pthread_mutex_lock(&irqs->lock);
	if (atomic_load(&irqs->armed) == VIA_IRQ_MSIX) {
		for (unsigned int i = 0; i < size && offset + i < end; i++) {
			uint64_t at = offset + i;

			value |= (irqs->pending[at / 8] >> 8 * (at % 8) & 0xff) << 8 * i;
		}
	}
	pthread_mutex_unlock(&irqs->lock);
	return value;
}
