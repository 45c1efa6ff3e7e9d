/* SPDX-License-Identifier: MIT */
/*
 * BARs where the guest puts them. What config space says is compared with what is on the
 * buses, and the difference is one transaction for each bus.
 *
 * Each BAR has a priority of its own, so that wherever a guest puts it, on others too, it can be
 * put, and which one answers does not depend on the order of things.
 */
#include "vmm/internal.h"

#include "base/log.h"
#include "pci/regs.h"

#include <errno.h>

#define IO_LAST 0xffffu
#define ADDRESS_BITS 0xfull /* of a memory BAR, those that say what it is */

/* --- accesses ------------------------------------------------------------- */

static int bar_read(void *opaque, uint64_t offset, unsigned int size, uint64_t *ret_value)
{
	const struct via_root_bar *bar = opaque;
	int ret = via_device_bar_read(bar->function->dev, bar->region, offset, size, ret_value);

	/* It has just been switched off, or sleeps: as if it were not there. */
	return ret == -EIO ? VIA_BUS_DECLINE : ret;
}

static int bar_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	const struct via_root_bar *bar = opaque;
	int ret = via_device_bar_write(bar->function->dev, bar->region, offset, size, value);

	return ret == -EIO ? VIA_BUS_DECLINE : ret;
}

static const struct via_bus_ops bar_ops = {.read = bar_read, .write = bar_write};
static const struct via_bus_ops rom_ops = {.read = bar_read};

/* --- what config space says ------------------------------------------------ */

struct place {
	uint64_t start;
	bool on;
};

struct header {
	uint8_t bytes[PCI_HEADER_SIZE];
	bool memory, io;
};

static void read_header(struct via_device *dev, struct header *h)
{
	struct via_config *config = via_device_config(dev);

	if (via_config_read(config, 0, h->bytes, sizeof(h->bytes)) < 0)
		memset(h->bytes, 0, sizeof(h->bytes));
	h->memory = via_config_memory(config);
	h->io = via_config_io(config);
}

static struct place place_bar(const struct via_root_bar *bar, const struct header *h)
{
	const uint8_t *reg = h->bytes + PCI_BAR(bar->region);
	uint32_t low = via_get_le32(reg);
	struct place place;

	if (bar->io) {
		place.start = low & ~3u;
		/* What I/O instructions cannot reach is nowhere. */
		place.on =
			h->io && place.start <= IO_LAST && bar->size - 1 <= IO_LAST - place.start;
		return place;
	}
	place.start = low & ~ADDRESS_BITS;
	if (low & PCI_BAR_MEM_64 && bar->region + 1 < VIA_PCI_BARS)
		place.start |= (uint64_t)via_get_le32(reg + 4) << 32;
	place.on = h->memory;
	return place;
}

static struct place find_place(const struct via_root_bar *bar, const struct header *h)
{
	uint32_t rom = via_get_le32(h->bytes + PCI_ROM_BAR);

	switch (bar->region) {
	case VIA_REGION_ROM:
		return (struct place){rom & ~(uint32_t)(bar->size - 1),
				      h->memory && rom & PCI_ROM_BAR_ENABLE};
	case VIA_REGION_VGA: /* at addresses of its own, as long as it decodes */
		return (struct place){bar->start, bar->io ? h->io : h->memory};
	default:
		return place_bar(bar, h);
	}
}

/* --- what is on the buses --------------------------------------------------- */

static unsigned int index_of(const struct via_root_bar *bar)
{
	return (unsigned int)(bar - bar->function->bars);
}

static struct via_bus *bus_of(const struct via_root_bar *bar)
{
	const struct via_pci_root_desc *root = &bar->function->root->desc;

	return bar->io ? root->pio : root->mmio;
}

/* One commit on a bus, of at most one change for each BAR. */
struct batch {
	struct via_bus_change changes[VIA_ROOT_BARS];
	struct via_root_bar *bars[VIA_ROOT_BARS];
	unsigned int n;
};

static void put_change(struct batch *b, struct via_root_bar *bar, enum via_bus_change_kind kind,
		       uint64_t start)
{
	b->bars[b->n] = bar;
	b->changes[b->n++] =
		(struct via_bus_change){.kind = kind, .claim = bar->claim, .start = start};
}

static void note(struct via_root_bar *bar, const struct via_bus_change *change)
{
	if (change->kind == VIA_BUS_MOVE)
		bar->start = change->start;
	else
		bar->on = change->kind == VIA_BUS_ENABLE;
}

/* What cannot be had together is had one by one, and what cannot be had at all is nowhere. */
static void commit(struct via_bus *bus, struct batch *b)
{
	if (!b->n)
		return;
	if (!via_bus_commit(bus, b->changes, b->n)) {
		for (unsigned int i = 0; i < b->n; i++)
			note(b->bars[i], &b->changes[i]);
		return;
	}
	for (unsigned int i = 0; i < b->n; i++) {
		struct via_root_bar *bar = b->bars[i];
		int ret = via_bus_commit(bus, &b->changes[i], 1);

		if (!ret) {
			note(bar, &b->changes[i]);
			continue;
		}
		via_log(VIA_LOG_WARNING, "%s: BAR %u cannot be where the guest wants it: %s",
			via_device_name(bar->function->dev), index_of(bar), strerror(-ret));
		b->changes[i].kind = VIA_BUS_DISABLE;
		if (bar->on && !via_bus_commit(bus, &b->changes[i], 1))
			bar->on = false;
	}
}

static void update_bus(struct via_root_function *function, struct via_bus *bus,
		       const struct place *places)
{
	struct batch unseen = {.n = 0}, seen = {.n = 0};

	for (unsigned int i = 0; i < VIA_ROOT_BARS; i++) {
		struct via_root_bar *bar = &function->bars[i];

		if (bar->claim && bus_of(bar) == bus && !bar->on && places[i].on &&
		    bar->start != places[i].start)
			put_change(&unseen, bar, VIA_BUS_MOVE, places[i].start);
	}
	commit(bus, &unseen);
	/* All that a guest can notice happens at one instant. */
	for (unsigned int i = 0; i < VIA_ROOT_BARS; i++) {
		struct via_root_bar *bar = &function->bars[i];
		bool there = bar->start == places[i].start;

		if (!bar->claim || bus_of(bar) != bus)
			continue;
		if (!bar->on && places[i].on && there)
			put_change(&seen, bar, VIA_BUS_ENABLE, 0);
		else if (bar->on && !places[i].on)
			put_change(&seen, bar, VIA_BUS_DISABLE, 0);
		else if (bar->on && !there)
			put_change(&seen, bar, VIA_BUS_MOVE, places[i].start);
	}
	commit(bus, &seen);
}

static void update(struct via_root_function *function, const struct place *places)
{
	const struct via_pci_root_desc *root = &function->root->desc;

	update_bus(function, root->mmio, places);
	if (root->pio)
		update_bus(function, root->pio, places);
}

void via_root_bars_update(struct via_root_function *function)
{
	struct place places[VIA_ROOT_BARS] = {{.on = false}};
	struct header h;

	read_header(function->dev, &h);
	for (unsigned int i = 0; i < VIA_ROOT_BARS && !function->off; i++)
		places[i] = find_place(&function->bars[i], &h);
	update(function, places);
}

/* --- coming and going --------------------------------------------------------- */

static void describe(struct via_root_bar *bar, struct via_claim_desc *desc)
{
	const struct via_root_function *function = bar->function;
	int rank = (int)(function->devfn * VIA_ROOT_BARS + index_of(bar));

	*desc = (struct via_claim_desc){
		.start = bar->start,
		.last = bar->start + (bar->size - 1),
		.priority = function->root->desc.priority - 1 - rank,
		.offset = bar->region == VIA_REGION_VGA ? bar->start : 0,
		.ops = bar->region == VIA_REGION_ROM ? &rom_ops : &bar_ops,
		.opaque = bar,
		.name = via_device_name(function->dev),
		/* What its registers do with an access is the BAR's own bus's to say. */
		.valid_unaligned = true,
		.impl_unaligned = true,
		.flags = VIA_BUS_DISABLED,
	};
}

/* False: the function has no such thing. */
static bool init_bar(struct via_root_function *function, unsigned int i)
{
	struct via_root_bar *bar = &function->bars[i];
	struct via_region_info info;

	*bar = (struct via_root_bar){.function = function, .region = i};
	if (i >= VIA_ROOT_ROM)
		bar->region = i == VIA_ROOT_ROM ? VIA_REGION_ROM : VIA_REGION_VGA;
	if (via_device_region_info(function->dev, bar->region, &info) || !info.size)
		return false;
	bar->size = info.size;
	bar->io = info.io;
	if (i >= VIA_ROOT_VGA) {
		const struct via_vga_range *range = &via_vga_ranges[i - VIA_ROOT_VGA];

		bar->start = range->start;
		bar->size = range->last - range->start + 1;
		bar->io = range->io;
	}
	return bus_of(bar);
}

int via_root_bars_add(struct via_root_function *function)
{
	int ret = 0;

	for (unsigned int i = 0; !ret && i < VIA_ROOT_BARS; i++) {
		struct via_root_bar *bar = &function->bars[i];
		struct via_claim_desc desc;

		if (!init_bar(function, i))
			continue;
		describe(bar, &desc);
		ret = via_bus_add(bus_of(bar), &desc, &bar->claim);
	}
	if (ret)
		via_root_bars_remove(function);
	return ret;
}

void via_root_bars_remove(struct via_root_function *function)
{
	const struct place nowhere[VIA_ROOT_BARS] = {{.on = false}};

	update(function, nowhere);
	for (unsigned int i = 0; i < VIA_ROOT_BARS; i++) {
		if (function->bars[i].claim)
			via_bus_remove_async(function->bars[i].claim, NULL, NULL);
		function->bars[i].claim = NULL;
	}
}
