/* SPDX-License-Identifier: MIT */
/* What an entry of a map is made of: which callbacks, and which accesses need no thought. */
#include "bus/view.h"

static int read_ones(void *opaque, uint64_t offset, unsigned int size, uint64_t *ret_value)
{
	*ret_value = UINT64_MAX;
	return VIA_BUS_OK;
}

static int write_drop(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	return VIA_BUS_OK;
}

static int read_dead(void *opaque, uint64_t offset, unsigned int size, uint64_t *ret_value)
{
	return VIA_BUS_DEAD;
}

static int write_dead(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	return VIA_BUS_DEAD;
}

static const struct via_bus_ops nobody = {.read = read_ones, .write = write_drop};

#define WIDTHS (1u << 1 | 1u << 2 | 1u << 4 | 1u << 8)

/*
 * Widths of which every aligned access that begins in the piece also ends in it
 * and reaches the callback as it is.
 */
static uint16_t direct_widths(const struct via_claim_desc *desc, uint64_t end)
{
	unsigned int least = desc->valid_min > desc->impl_min ? desc->valid_min : desc->impl_min;
	unsigned int most = desc->valid_max < desc->impl_max ? desc->valid_max : desc->impl_max;
	unsigned int aligned = end & 7 ? (unsigned int)(end & -end) : 8;

	most = most < aligned ? most : aligned;
	/* Bytes have no order; wider values of a big-endian device are swapped. */
	if (desc->flags & VIA_BUS_BIG_ENDIAN)
		most = 1;
	if (most < least)
		return 0;
	return (uint16_t)(WIDTHS & ((2u << most) - (1u << least)));
}

/* Whether writes to it have to look at ioeventfds, as they are in @draft. */
static void mark_events(struct via_bus_entry *entry, const struct via_bus_draft *draft)
{
	bool events = draft->n_events && via_bus_events_touch(draft->events, draft->n_events,
							      entry->start, entry->last);

	entry->direct_write = events ? 0 : entry->direct_read;
	entry->flags = (uint16_t)((entry->flags & ~VIA_BUS_HAS_EVENTS) |
				  (events ? VIA_BUS_HAS_EVENTS : 0));
}

void via_bus_entry_copy(struct via_bus_entry *entry, const struct via_bus_draft *draft,
			const struct via_bus_entry *whole)
{
	memcpy(entry, whole, sizeof(*entry));
	mark_events(entry, draft);
}

void via_bus_entry_init(struct via_bus_entry *entry, const struct via_bus_draft *draft,
			struct via_claim *claim, uint64_t start, uint64_t last, uint64_t delta)
{
	const struct via_claim_desc *desc = &claim->desc;
	via_bus_write_fn *write = desc->ops && desc->ops->write ? desc->ops->write : nobody.write;
	via_bus_read_fn *read = desc->ops && desc->ops->read ? desc->ops->read : nobody.read;
	void *opaque = desc->opaque;

	if (draft->bus->counting || desc->coalescer) {
		read = draft->bus->counting ? via_bus_counted_read : via_bus_coalesced_read;
		write = draft->bus->counting ? via_bus_counted_write : via_bus_coalesced_write;
		opaque = claim;
	}
	*entry = (struct via_bus_entry){
		.start = start,
		.last = last,
		.delta = delta,
		.opaque = opaque,
		.claim = claim,
		.direct_read = direct_widths(desc, last + 1 + delta),
		.flags = (uint16_t)desc->flags,
	};
	atomic_init(&entry->read, read);
	atomic_init(&entry->write, write);
	mark_events(entry, draft);
}

void via_bus_entry_kill(struct via_bus_entry *entry)
{
	atomic_store_explicit(&entry->read, read_dead, memory_order_release);
	atomic_store_explicit(&entry->write, write_dead, memory_order_release);
}

bool via_bus_entry_is_dead(const struct via_bus_entry *entry)
{
	return atomic_load_explicit(&entry->write, memory_order_acquire) == write_dead;
}
