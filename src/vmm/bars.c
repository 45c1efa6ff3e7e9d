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
	struct via_bus *bus; /* NULL: nowhere */
	uint64_t start, last;
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

static void place_at(struct place *place, struct via_bus *bus, uint64_t start, uint64_t size)
{
	*place = (struct place){bus, start, start + (size - 1)};
}

static void place_bar(const struct via_root_bar *bar, const struct header *h, struct place *place)
{
	const struct via_pci_root_desc *root = &bar->function->root->desc;
	const uint8_t *reg = h->bytes + PCI_BAR(bar->region);
	uint32_t low = via_get_le32(reg);
	struct via_region_info info;

	if (via_device_region_info(bar->function->dev, bar->region, &info) || !info.size)
		return;
	if (info.io) {
		uint64_t start = low & ~3u;

		/* What I/O instructions cannot reach is nowhere. */
		if (h->io && root->pio && start <= IO_LAST && info.size - 1 <= IO_LAST - start)
			place_at(place, root->pio, start, info.size);
	} else if (h->memory) {
		uint64_t start = low & ~ADDRESS_BITS;

		if (low & PCI_BAR_MEM_64 && bar->region + 1 < VIA_PCI_BARS)
			start |= (uint64_t)via_get_le32(reg + 4) << 32;
		place_at(place, root->mmio, start, info.size);
	}
}

static void place_rom(const struct via_root_bar *bar, const struct header *h, struct place *place)
{
	uint32_t reg = via_get_le32(h->bytes + PCI_ROM_BAR);
	struct via_region_info info;

	if (!via_device_region_info(bar->function->dev, VIA_REGION_ROM, &info) && info.size &&
	    h->memory && reg & PCI_ROM_BAR_ENABLE)
		place_at(place, bar->function->root->desc.mmio, reg & ~(uint32_t)(info.size - 1),
			 info.size);
}

/* At addresses of its own, as long as it decodes. */
static void place_vga(const struct via_root_function *function, const struct header *h,
		      struct place *places)
{
	const struct via_pci_root_desc *root = &function->root->desc;
	struct via_region_info info;

	if (via_device_region_info(function->dev, VIA_REGION_VGA, &info))
		return;
	for (unsigned int i = 0; i < VIA_N_VGA_RANGES; i++) {
		const struct via_vga_range *range = &via_vga_ranges[i];
		struct via_bus *bus = range->io ? root->pio : root->mmio;

		if (bus && (range->io ? h->io : h->memory))
			place_at(&places[i], bus, range->start, range->last - range->start + 1);
	}
}

static void find_places(struct via_root_function *function, struct place *places)
{
	struct header h;

	read_header(function->dev, &h);
	memset(places, 0, VIA_ROOT_BARS * sizeof(*places));
	for (unsigned int i = 0; i < VIA_PCI_BARS; i++)
		place_bar(&function->bars[i], &h, &places[i]);
	place_rom(&function->bars[VIA_ROOT_ROM], &h, &places[VIA_ROOT_ROM]);
	place_vga(function, &h, &places[VIA_ROOT_VGA]);
}

/* --- what is on the buses --------------------------------------------------- */

static unsigned int index_of(const struct via_root_bar *bar)
{
	return (unsigned int)(bar - bar->function->bars);
}

static void describe(const struct via_root_bar *bar, const struct place *place,
		     struct via_claim_desc *desc)
{
	const struct via_root_function *function = bar->function;
	int rank = (int)(function->devfn * VIA_ROOT_BARS + index_of(bar));

	*desc = (struct via_claim_desc){
		.start = place->start,
		.last = place->last,
		.priority = function->root->desc.priority - 1 - rank,
		.offset = bar->region == VIA_REGION_VGA ? place->start : 0,
		.ops = bar->region == VIA_REGION_ROM ? &rom_ops : &bar_ops,
		.opaque = (void *)bar,
		.name = via_device_name(function->dev),
		/* What its registers do with an access is the BAR's own bus's to say. */
		.valid_unaligned = true,
		.impl_unaligned = true,
	};
}

/* The change that brings bar to place; false: it is none, or a removal. */
static bool plan(const struct via_root_bar *bar, const struct place *place,
		 struct via_bus_change *change)
{
	if (!place->bus || (bar->claim && bar->start == place->start))
		return false;
	*change = (struct via_bus_change){
		.kind = bar->claim ? VIA_BUS_MOVE : VIA_BUS_ADD,
		.claim = bar->claim,
		.start = place->start,
	};
	if (!bar->claim)
		describe(bar, place, &change->desc);
	return true;
}

static void take_away(struct via_root_bar *bar)
{
	if (bar->claim)
		via_bus_remove_async(bar->claim, NULL, NULL);
	bar->claim = NULL;
}

static void settle(struct via_root_bar *bar, const struct place *place, struct via_claim *claim)
{
	bar->claim = claim;
	bar->bus = place->bus;
	bar->start = place->start;
}

/* One that cannot be where it should be is nowhere. */
static void move_alone(struct via_root_bar *bar, const struct place *place,
		       struct via_bus_change *change)
{
	int ret = via_bus_commit(place->bus, change, 1);

	if (!ret) {
		settle(bar, place, change->claim);
		return;
	}
	via_log(VIA_LOG_WARNING, "%s: BAR %u cannot be at %#llx of bus %s: %s",
		via_device_name(bar->function->dev), index_of(bar),
		(unsigned long long)place->start,
		place->bus == bar->function->root->desc.pio ? "pio" : "mmio", strerror(-ret));
	take_away(bar);
}

static void move_together(struct via_root_function *function, struct via_bus *bus,
			  const struct place *places)
{
	struct via_bus_change changes[VIA_ROOT_BARS];
	struct via_root_bar *bars[VIA_ROOT_BARS];
	unsigned int n = 0;

	for (unsigned int i = 0; i < VIA_ROOT_BARS; i++) {
		if (places[i].bus != bus || !plan(&function->bars[i], &places[i], &changes[n]))
			continue;
		bars[n++] = &function->bars[i];
	}
	if (!n)
		return;
	if (!via_bus_commit(bus, changes, n)) {
		for (unsigned int i = 0; i < n; i++)
			settle(bars[i], &places[index_of(bars[i])], changes[i].claim);
		return;
	}
	for (unsigned int i = 0; i < n; i++) {
		(void)plan(bars[i], &places[index_of(bars[i])], &changes[i]);
		move_alone(bars[i], &places[index_of(bars[i])], &changes[i]);
	}
}

void via_root_bars_init(struct via_root_function *function)
{
	for (unsigned int i = 0; i < VIA_ROOT_BARS; i++)
		function->bars[i] = (struct via_root_bar){
			.function = function,
			.region = i < VIA_ROOT_ROM    ? i
				  : i == VIA_ROOT_ROM ? VIA_REGION_ROM
						      : VIA_REGION_VGA,
		};
}

void via_root_bars_update(struct via_root_function *function)
{
	struct place places[VIA_ROOT_BARS];

	find_places(function, places);
	move_together(function, function->root->desc.mmio, places);
	if (function->root->desc.pio)
		move_together(function, function->root->desc.pio, places);
	/* These decline already, all at once. */
	for (unsigned int i = 0; i < VIA_ROOT_BARS; i++)
		if (!places[i].bus)
			take_away(&function->bars[i]);
}

void via_root_bars_remove(struct via_root_function *function)
{
	for (unsigned int i = 0; i < VIA_ROOT_BARS; i++)
		take_away(&function->bars[i]);
}
