/* SPDX-License-Identifier: MIT */
/*
 * A BAR is a small bus. The model's registers lie at the bottom; doorbell and
 * memory areas above them, and the MSI-X table and Pending Bit Array on top.
 */
#include "device/internal.h"

#include "pci/msix.h"

#include <errno.h>
#include <stdlib.h>

enum { PRIORITY_REGISTERS, PRIORITY_AREA, PRIORITY_MSIX };

static void enter_model(struct via_device *dev)
{
	if (!(dev->desc->flags & VIA_DEVICE_CONCURRENT))
		via_peers_lock_model(dev);
}

static void leave_model(struct via_device *dev)
{
	if (!(dev->desc->flags & VIA_DEVICE_CONCURRENT))
		via_peers_unlock_model(dev);
}

static int register_read(void *opaque, uint64_t offset, unsigned int size, uint64_t *ret_value)
{
	struct via_bar *bar = opaque;
	struct via_device *dev = bar->dev;

	/* A stopped device does not even count that it was looked at. */
	if (dev->migration.frozen) {
		*ret_value = UINT64_MAX;
		return VIA_BUS_OK;
	}
	enter_model(dev);
	*ret_value = dev->ops->read(dev, dev->model, bar->index, offset, size);
	leave_model(dev);
	return VIA_BUS_OK;
}

static int register_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	struct via_bar *bar = opaque;
	struct via_device *dev = bar->dev;

	if (dev->migration.frozen)
		return VIA_BUS_OK;
	enter_model(dev);
	dev->ops->write(dev, dev->model, bar->index, offset, size, value);
	leave_model(dev);
	return VIA_BUS_OK;
}

/* Shared with programs that access it at the same time: one access of the same width. */
static int memory_read(void *opaque, uint64_t offset, unsigned int size, uint64_t *ret_value)
{
	const struct via_bar *bar = opaque;
	const uint8_t *p = bar->memory + offset;

	switch (size) {
	case 1:
		*ret_value = __atomic_load_n(p, __ATOMIC_ACQUIRE);
		break;
	case 2:
		*ret_value = VIA_SWAP_LE(16, __atomic_load_n((const uint16_t *)(const void *)p,
							     __ATOMIC_ACQUIRE));
		break;
	case 4:
		*ret_value = VIA_SWAP_LE(32, __atomic_load_n((const uint32_t *)(const void *)p,
							     __ATOMIC_ACQUIRE));
		break;
	default:
		*ret_value = VIA_SWAP_LE(64, __atomic_load_n((const uint64_t *)(const void *)p,
							     __ATOMIC_ACQUIRE));
		break;
	}
	return VIA_BUS_OK;
}

static int memory_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	const struct via_bar *bar = opaque;
	uint8_t *p = bar->memory + offset;

	switch (size) {
	case 1:
		__atomic_store_n(p, (uint8_t)value, __ATOMIC_RELEASE);
		break;
	case 2:
		__atomic_store_n((uint16_t *)(void *)p, VIA_SWAP_LE(16, (uint16_t)value),
				 __ATOMIC_RELEASE);
		break;
	case 4:
		__atomic_store_n((uint32_t *)(void *)p, VIA_SWAP_LE(32, (uint32_t)value),
				 __ATOMIC_RELEASE);
		break;
	default:
		__atomic_store_n((uint64_t *)(void *)p, VIA_SWAP_LE(64, value), __ATOMIC_RELEASE);
		break;
	}
	return VIA_BUS_OK;
}

static int doorbell_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	struct via_bar *bar = opaque;
	struct via_device *dev = bar->dev;

	memory_write(bar, offset, size, value);
	/* Found when the device runs again. */
	if (dev->migration.quiet)
		return VIA_BUS_OK;
	/* On this thread, which saves a wake-up: a posted write done early. */
	via_peers_lock_model(dev);
	if (dev->ops->doorbell(dev, dev->model, bar->index))
		via_count(&dev->counters.doorbells);
	via_peers_unlock_model(dev);
	return VIA_BUS_OK;
}

static int table_read(void *opaque, uint64_t offset, unsigned int size, uint64_t *ret_value)
{
	struct via_bar *bar = opaque;

	*ret_value = via_msix_table_read(bar->dev->irqs, offset, size);
	return VIA_BUS_OK;
}

static int table_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	struct via_bar *bar = opaque;

	via_msix_table_write(bar->dev->irqs, offset, size, value);
	return VIA_BUS_OK;
}

static int pba_read(void *opaque, uint64_t offset, unsigned int size, uint64_t *ret_value)
{
	struct via_bar *bar = opaque;

	*ret_value = via_msix_pba_read(bar->dev->irqs, offset, size);
	return VIA_BUS_OK;
}

static const struct via_bus_ops register_ops = {.read = register_read, .write = register_write};
static const struct via_bus_ops read_only_ops = {.read = register_read};
static const struct via_bus_ops write_only_ops = {.write = register_write};
static const struct via_bus_ops no_ops = {0};
static const struct via_bus_ops memory_ops = {.read = memory_read, .write = memory_write};
static const struct via_bus_ops doorbell_ops = {.read = memory_read, .write = doorbell_write};
static const struct via_bus_ops table_ops = {.read = table_read, .write = table_write};
static const struct via_bus_ops pba_ops = {.read = pba_read};

static const struct via_bus_ops *model_ops(const struct via_device_ops *ops)
{
	if (ops->read)
		return ops->write ? &register_ops : &read_only_ops;
	return ops->write ? &write_only_ops : &no_ops;
}

static int claim(struct via_bar *bar, const struct via_claim_desc *desc)
{
	struct via_claim *unused;

	return via_bus_add(bar->bus, desc, &unused);
}

static int claim_registers(struct via_bar *bar)
{
	const struct via_bar_desc *d = &bar->dev->desc->bars[bar->index];

	return claim(bar, &(struct via_claim_desc){
		.start = 0,
		.last = bar->size - 1,
		.priority = PRIORITY_REGISTERS,
		.ops = model_ops(bar->dev->ops),
		.opaque = bar,
		.name = "registers",
		.valid_min = d->valid_min,
		.valid_max = d->valid_max,
		.impl_min = d->impl_min,
		.impl_max = d->impl_max,
	});
}

static int claim_area(struct via_bar *bar, const struct via_area *area)
{
	bool doorbell = area->kind == VIA_AREA_DOORBELL;

	if (area->kind == VIA_AREA_REGISTER)
		return 0;
	bar->has_doorbells |= doorbell;
	return claim(bar, &(struct via_claim_desc){
		.start = area->offset,
		.last = area->offset + area->size - 1,
		.priority = PRIORITY_AREA,
		.offset = area->offset,
		.ops = doorbell ? &doorbell_ops : &memory_ops,
		.opaque = bar,
		.name = doorbell ? "doorbells" : "memory",
		.valid_unaligned = true,
	});
}

static int claim_msix(struct via_bar *bar)
{
	const struct via_pci_msix *msix = &bar->dev->desc->msix;
	int ret = 0;

	if (!msix->vectors)
		return 0;
	if (msix->table_bar == bar->index)
		ret = claim(bar, &(struct via_claim_desc){
			.start = msix->table_offset,
			.last = msix->table_offset + via_msix_table_size(msix->vectors) - 1,
			.priority = PRIORITY_MSIX,
			.ops = &table_ops,
			.opaque = bar,
			.name = "MSI-X table",
			.valid_unaligned = true,
			.impl_unaligned = true,
		});
	if (!ret && msix->pba_bar == bar->index)
		ret = claim(bar, &(struct via_claim_desc){
			.start = msix->pba_offset,
			.last = msix->pba_offset + via_msix_pba_size(msix->vectors) - 1,
			.priority = PRIORITY_MSIX,
			.ops = &pba_ops,
			.opaque = bar,
			.name = "MSI-X pending bits",
			.valid_unaligned = true,
			.impl_unaligned = true,
		});
	return ret;
}

static int compare_areas(const void *a, const void *b)
{
	const struct via_area *x = a, *y = b;

	return (x->offset > y->offset) - (x->offset < y->offset);
}

/* The model's areas in order, with what it did not name as registers. */
static int complete_areas(struct via_bar *bar)
{
	const struct via_bar_desc *d = &bar->dev->desc->bars[bar->index];
	uint64_t end = (bar->size + VIA_DEVICE_PAGE - 1) & ~(uint64_t)(VIA_DEVICE_PAGE - 1);
	struct via_area *named = NULL, *areas;
	uint64_t at = 0;
	size_t n = 0;

	areas = calloc(2 * d->n_areas + 1, sizeof(*areas));
	if (!areas)
		return -ENOMEM;
	if (d->n_areas) {
		named = calloc(d->n_areas, sizeof(*named));
		if (!named) {
			free(areas);
			return -ENOMEM;
		}
		memcpy(named, d->areas, d->n_areas * sizeof(*named));
		qsort(named, d->n_areas, sizeof(*named), compare_areas);
	}
	for (size_t i = 0; i < d->n_areas; i++) {
		if (named[i].offset > at)
			areas[n++] = (struct via_area){at, named[i].offset - at, VIA_AREA_REGISTER};
		areas[n++] = named[i];
		at = named[i].offset + named[i].size;
	}
	if (at < end)
		areas[n++] = (struct via_area){at, end - at, VIA_AREA_REGISTER};
	free(named);
	bar->areas = areas;
	bar->n_areas = n;
	return 0;
}

static int bar_init(struct via_bar *bar)
{
	const struct via_bar_desc *d = &bar->dev->desc->bars[bar->index];
	int ret;

	bar->size = d->size;
	bar->io = d->flags & VIA_BAR_IO;
	bar->unmappable = d->flags & VIA_BAR_UNMAPPABLE;
	if (!bar->size)
		return 0;
	ret = complete_areas(bar);
	if (!ret)
		ret = via_bar_mapping_init(bar);
	if (!ret)
		ret = via_bus_new(bar->dev->desc->name, &bar->bus);
	if (!ret)
		ret = claim_registers(bar);
	for (size_t i = 0; !ret && i < bar->n_areas; i++)
		ret = claim_area(bar, &bar->areas[i]);
	return ret ? ret : claim_msix(bar);
}

/* --- legacy VGA (pci-config.md 6.4, 6.6) ------------------------------------ */

#define VGA_SIZE 0xc0000u
#define CLASS_VGA 0x0300u

const struct via_vga_range via_vga_ranges[VIA_N_VGA_RANGES] = {
	{0xa0000, 0xbffff, false},
	{0x3b0, 0x3bb, true},
	{0x3c0, 0x3df, true},
};

const struct via_vga_range *via_vga_range_at(const struct via_device *dev, uint64_t addr)
{
	for (unsigned int i = 0; dev->vga.size && i < VIA_N_VGA_RANGES; i++)
		if (addr >= via_vga_ranges[i].start && addr <= via_vga_ranges[i].last)
			return &via_vga_ranges[i];
	return NULL;
}

/* A BAR of which three pieces are there, and whose offsets are addresses. */
static int vga_init(struct via_device *dev)
{
	struct via_bar *vga = &dev->vga;
	int ret;

	if (dev->desc->ident.class_code >> 8 != CLASS_VGA)
		return 0;
	vga->size = VGA_SIZE;
	vga->io = vga->unmappable = true;
	ret = via_bus_new(dev->desc->name, &vga->bus);
	for (unsigned int i = 0; !ret && i < VIA_N_VGA_RANGES; i++)
		ret = claim(vga, &(struct via_claim_desc){
			.start = via_vga_ranges[i].start,
			.last = via_vga_ranges[i].last,
			.offset = via_vga_ranges[i].start,
			.ops = model_ops(dev->ops),
			.opaque = vga,
			.name = "VGA",
			.impl_max = 4,
			.valid_unaligned = true,
		});
	return ret;
}

int via_bars_init(struct via_device *dev)
{
	int ret = vga_init(dev);

	for (unsigned int i = 0; !ret && i < VIA_PCI_BARS; i++)
		ret = bar_init(&dev->bars[i]);
	return ret;
}

void via_bars_deinit(struct via_device *dev)
{
	via_bus_free(dev->vga.bus);
	for (unsigned int i = 0; i < VIA_PCI_BARS; i++) {
		struct via_bar *bar = &dev->bars[i];

		via_bus_free(bar->bus);
		via_bar_mapping_deinit(bar);
		free(bar->areas);
	}
}
