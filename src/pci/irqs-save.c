/* SPDX-License-Identifier: MIT */
/*
 * An interrupt engine that is stopped, and what it takes to another host: 8 bytes
 * of flags, the bitmap of messages, the MSI-X table as it is in a BAR. All
 * quantities little-endian.
 */
#include "pci/irqs-private.h"
#include "pci/msix.h"
#include "pci/regs.h"

#include <errno.h>

#define HEAD_SIZE 8u
#define FLAG_LEVEL 0x1u

void via_irqs_hold(struct via_irqs *irqs, bool on)
{
	pthread_mutex_lock(&irqs->lock);
	irqs->holding = on;
	for (unsigned int i = 0; !on && i < via_irqs_max_vectors(irqs); i++) {
		uint64_t bit = 1ull << i % 64;

		if (irqs->held[i / 64] & bit) {
			irqs->held[i / 64] &= ~bit;
			via_irqs_deliver(irqs, i);
		}
	}
	if (!on) {
		via_irqs_replay_all(irqs);
		via_irqs_intx_fire(irqs);
	}
	pthread_mutex_unlock(&irqs->lock);
}

size_t via_irqs_state_size(const struct via_irqs *irqs)
{
	return HEAD_SIZE + 8 * via_irqs_bitmap_words(irqs) + via_msix_table_size(irqs->desc.msix);
}

void via_irqs_save(struct via_irqs *irqs, uint8_t *state)
{
	pthread_mutex_lock(&irqs->lock);
	via_put_le64(state, atomic_load(&irqs->level) ? FLAG_LEVEL : 0);
	state += HEAD_SIZE;
	for (size_t i = 0; i < via_irqs_bitmap_words(irqs); i++, state += 8)
		via_put_le64(state, irqs->pending[i] | irqs->held[i]);
	for (unsigned int i = 0; i < irqs->desc.msix; i++, state += VIA_MSIX_ENTRY_SIZE) {
		const struct via_msix_entry *entry = &irqs->table[i];

		via_put_le32(state, entry->address_low);
		via_put_le32(state + 4, entry->address_high);
		via_put_le32(state + 8, entry->data);
		via_put_le32(state + 12, entry->masked ? PCI_MSIX_ENTRY_CONTROL_MASK : 0);
	}
	pthread_mutex_unlock(&irqs->lock);
}

static bool valid(const struct via_irqs *irqs, const uint8_t *state)
{
	unsigned int n = via_irqs_max_vectors(irqs);
	const uint8_t *bits = state + HEAD_SIZE;

	if (via_get_le64(state) & ~(uint64_t)FLAG_LEVEL)
		return false;
	return !(n % 64) || !(via_get_le64(bits + n / 64 * 8) >> n % 64);
}

int via_irqs_load(struct via_irqs *irqs, const uint8_t *state)
{
	if (!valid(irqs, state))
		return -EINVAL;
	pthread_mutex_lock(&irqs->lock);
	atomic_store(&irqs->level, (via_get_le64(state) & FLAG_LEVEL) && irqs->desc.intx);
	state += HEAD_SIZE;
	for (size_t i = 0; i < via_irqs_bitmap_words(irqs); i++, state += 8) {
		irqs->pending[i] = 0;
		irqs->held[i] = via_get_le64(state);
	}
	for (unsigned int i = 0; i < irqs->desc.msix; i++, state += VIA_MSIX_ENTRY_SIZE) {
		bool masked = via_get_le32(state + 12) & PCI_MSIX_ENTRY_CONTROL_MASK;

		irqs->table[i] = (struct via_msix_entry){
			.address_low = via_get_le32(state) & ~3u,
			.address_high = via_get_le32(state + 4),
			.data = via_get_le32(state + 8),
			/* One that this host has connected already is its own (7.3). */
			.masked = masked && (irqs->msix_emulated || irqs->vectors[i] < 0 ||
					     atomic_load(&irqs->armed) != VIA_IRQ_MSIX),
		};
	}
	pthread_mutex_unlock(&irqs->lock);
	return 0;
}
