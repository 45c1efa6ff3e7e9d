/* SPDX-License-Identifier: MIT */
/* Interrupts of a function whose program is a guest: its registers alone decide. */
#include "pci/irqs-private.h"

void via_irqs_sink_line(struct via_irqs *irqs)
{
	bool level = atomic_load(&irqs->armed) == VIA_IRQ_INTX && !irqs->disabled &&
		     atomic_load(&irqs->level);

	/* A function that is stopped changes nothing. */
	if (irqs->holding || level == irqs->line)
		return;
	irqs->line = level;
	if (level)
		atomic_fetch_add_explicit(&irqs->delivered, 1, memory_order_relaxed);
	irqs->sink->line(irqs->sink_cookie, level);
}

void via_irqs_sink_message(struct via_irqs *irqs, unsigned int vector)
{
	uint64_t address = irqs->msi_address;
	/* A function with several messages modifies the low bits (PCI 6.8.1.6). */
	uint32_t data = (irqs->msi_data & ~(irqs->msi_granted - 1)) | vector;

	if (atomic_load(&irqs->armed) == VIA_IRQ_MSIX) {
		const struct via_msix_entry *entry = &irqs->table[vector];

		address = (uint64_t)entry->address_high << 32 | entry->address_low;
		data = entry->data;
	}
	atomic_fetch_add_explicit(&irqs->delivered, 1, memory_order_relaxed);
	irqs->sink->message(irqs->sink_cookie, vector, address, data);
}

void via_irqs_sink_rearm(struct via_irqs *irqs)
{
	unsigned int old = atomic_load(&irqs->armed), now = VIA_IRQ_NONE;

	if (irqs->msix_enable && irqs->desc.msix)
		now = VIA_IRQ_MSIX;
	else if (irqs->msi_enable && irqs->desc.msi)
		now = VIA_IRQ_MSI;
	else if (irqs->desc.intx)
		now = VIA_IRQ_INTX;
	if (now != old && via_irqs_is_message(old))
		memset(irqs->pending, 0, via_irqs_bitmap_words(irqs) * sizeof(*irqs->pending));
	atomic_store(&irqs->armed, now);
	via_irqs_sink_line(irqs);
}

void via_irqs_msi_message(struct via_irqs *irqs, uint64_t address, uint32_t data)
{
	pthread_mutex_lock(&irqs->lock);
	irqs->msi_address = address;
	irqs->msi_data = data;
	pthread_mutex_unlock(&irqs->lock);
}

void via_irqs_set_sink(struct via_irqs *irqs, const struct via_irqs_sink *sink, void *cookie)
{
	pthread_mutex_lock(&irqs->lock);
	irqs->sink = sink;
	irqs->sink_cookie = cookie;
	irqs->line = irqs->msi_enable = irqs->msix_enable = false;
	if (sink)
		via_irqs_sink_rearm(irqs);
	else
		atomic_store(&irqs->armed, VIA_IRQ_NONE);
	pthread_mutex_unlock(&irqs->lock);
}

bool via_irqs_has_sink(const struct via_irqs *irqs)
{
	return irqs->sink;
}
