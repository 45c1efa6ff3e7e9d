/* SPDX-License-Identifier: MIT */
/* Is this a description of a PCI function? The answer names what is wrong. */
#include "device/internal.h"

#include "pci/msix.h"

#include <errno.h>
#include <inttypes.h>

#define BAD(err, desc, fmt, ...) \
	via_error_set(err, -EINVAL, "device %s: " fmt, (desc)->name, ##__VA_ARGS__)

static bool power_of_two(uint64_t v)
{
	return v && !(v & (v - 1));
}

static bool width_valid(unsigned int width)
{
	return width == 0 || (width <= 8 && power_of_two(width));
}

static bool overlap(uint64_t a, uint64_t a_len, uint64_t b, uint64_t b_len)
{
	return a < b + b_len && b < a + a_len;
}

static int check_areas(const struct via_device_desc *desc, const struct via_device_ops *ops,
		       unsigned int i, struct via_error *err)
{
	const struct via_bar_desc *bar = &desc->bars[i];

	for (size_t k = 0; k < bar->n_areas; k++) {
		const struct via_area *area = &bar->areas[k];

		if (bar->flags & VIA_BAR_IO)
			return BAD(err, desc, "BAR %u is I/O and cannot have areas", i);
		if (!area->size || area->offset % VIA_DEVICE_PAGE || area->size % VIA_DEVICE_PAGE)
			return BAD(err, desc,
				   "BAR %u area %zu (offset 0x%" PRIx64 ", size 0x%" PRIx64
				   "): offset and size must be multiples of 4096, size not 0",
				   i, k, area->offset, area->size);
		if (area->offset >= bar->size || area->size > bar->size - area->offset)
			return BAD(err, desc, "BAR %u area %zu ends past the BAR's 0x%" PRIx64 " bytes",
				   i, k, bar->size);
		if ((unsigned int)area->kind > VIA_AREA_MEMORY)
			return BAD(err, desc, "BAR %u area %zu has unknown kind %d", i, k,
				   (int)area->kind);
		if (area->kind == VIA_AREA_DOORBELL && !ops->doorbell)
			return BAD(err, desc,
				   "BAR %u has a doorbell area but the model no doorbell callback", i);
		for (size_t n = 0; n < k; n++)
			if (overlap(area->offset, area->size, bar->areas[n].offset,
				    bar->areas[n].size))
				return BAD(err, desc, "BAR %u areas %zu and %zu overlap", i, n, k);
	}
	return 0;
}

static int check_bar(const struct via_device_desc *desc, const struct via_device_ops *ops,
		     unsigned int i, struct via_error *err)
{
	const struct via_bar_desc *bar = &desc->bars[i];
	bool io = bar->flags & VIA_BAR_IO;

	if (!bar->size)
		return bar->n_areas ? BAD(err, desc, "BAR %u has areas but no size", i) : 0;
	if (!power_of_two(bar->size))
		return BAD(err, desc, "BAR %u size 0x%" PRIx64 " is not a power of two", i, bar->size);
	if (bar->size < (io ? 4 : 16))
		return BAD(err, desc, "BAR %u size %" PRIu64 " is below the least, %d", i, bar->size,
			   io ? 4 : 16);
	if (bar->flags & ~(unsigned int)(VIA_BAR_IO | VIA_BAR_MEM64 | VIA_BAR_PREFETCH |
					 VIA_BAR_UNMAPPABLE))
		return BAD(err, desc, "BAR %u has unknown flags 0x%x", i, bar->flags);
	if (bar->flags & VIA_BAR_UNMAPPABLE && bar->n_areas)
		return BAD(err, desc, "BAR %u cannot be mapped and cannot have areas", i);
	if (io && bar->flags & (VIA_BAR_MEM64 | VIA_BAR_PREFETCH))
		return BAD(err, desc, "BAR %u is I/O and can be neither 64-bit nor prefetchable", i);
	if (!(bar->flags & VIA_BAR_MEM64) && bar->size > UINT64_C(1) << 31)
		return BAD(err, desc, "BAR %u of 0x%" PRIx64 " bytes needs VIA_BAR_MEM64", i, bar->size);
	if (bar->size > UINT64_C(1) << 39)
		return BAD(err, desc, "BAR %u is larger than 512 GiB", i);
	if (bar->flags & VIA_BAR_MEM64 && (i + 1 == VIA_PCI_BARS || desc->bars[i + 1].size))
		return BAD(err, desc, "BAR %u is 64-bit: BAR %u must exist and be left empty", i, i + 1);
	if (!width_valid(bar->valid_min) || !width_valid(bar->valid_max) ||
	    !width_valid(bar->impl_min) || !width_valid(bar->impl_max) ||
	    (bar->valid_max && bar->valid_min > bar->valid_max) ||
	    (bar->impl_max && bar->impl_min > bar->impl_max))
		return BAD(err, desc, "BAR %u widths must be 1, 2, 4 or 8, least <= most", i);
	return check_areas(desc, ops, i, err);
}

/* The MSI-X table or array as a range of a BAR. */
static int check_msix_part(const struct via_device_desc *desc, const char *what, unsigned int i,
			   uint32_t offset, uint32_t len, struct via_error *err)
{
	const struct via_bar_desc *bar;

	if (i >= VIA_PCI_BARS || !desc->bars[i].size || desc->bars[i].flags & VIA_BAR_IO)
		return BAD(err, desc, "MSI-X %s is in BAR %u, which is not a memory BAR", what, i);
	bar = &desc->bars[i];
	if (offset % 8)
		return BAD(err, desc, "MSI-X %s offset 0x%x is not a multiple of 8", what, offset);
	if (offset >= bar->size || len > bar->size - offset)
		return BAD(err, desc, "MSI-X %s (0x%x bytes at 0x%x) ends past BAR %u", what, len,
			   offset, i);
	for (size_t k = 0; k < bar->n_areas; k++)
		if (bar->areas[k].kind != VIA_AREA_REGISTER &&
		    overlap(offset, len, bar->areas[k].offset, bar->areas[k].size))
			return BAD(err, desc, "MSI-X %s overlaps area %zu of BAR %u", what, k, i);
	return 0;
}

static int check_interrupts(const struct via_device_desc *desc, struct via_error *err)
{
	const struct via_pci_msix *msix = &desc->msix;
	uint32_t table, pba;
	int ret;

	if (desc->ident.interrupt_pin > 4)
		return BAD(err, desc, "interrupt pin %u is not 0 to 4", desc->ident.interrupt_pin);
	if (desc->msi.vectors > 32 || (desc->msi.vectors && !power_of_two(desc->msi.vectors)))
		return BAD(err, desc, "%u MSI vectors: must be 0, 1, 2, 4, 8, 16 or 32",
			   desc->msi.vectors);
	if (!msix->vectors)
		return 0;
	if (msix->vectors > 2048)
		return BAD(err, desc, "%u MSI-X vectors: the most is 2048", msix->vectors);
	table = via_msix_table_size(msix->vectors);
	pba = via_msix_pba_size(msix->vectors);
	ret = check_msix_part(desc, "table", msix->table_bar, msix->table_offset, table, err);
	if (!ret)
		ret = check_msix_part(desc, "pending bit array", msix->pba_bar, msix->pba_offset, pba,
				      err);
	if (ret)
		return ret;
	if (msix->table_bar == msix->pba_bar &&
	    overlap(msix->table_offset, table, msix->pba_offset, pba))
		return BAD(err, desc, "MSI-X table and pending bit array overlap in BAR %u",
			   msix->table_bar);
	return 0;
}

static int check_migration(const struct via_device_desc *desc,
			   const struct via_migration_ops *migration, struct via_error *err)
{
	if (!migration)
		return 0;
	if (!migration->save || !migration->load)
		return BAD(err, desc, "migration needs both save and load");
	if (migration->flags & ~(unsigned int)(VIA_MIGRATION_P2P | VIA_MIGRATION_PRE_COPY))
		return BAD(err, desc, "unknown flags 0x%x of migration", migration->flags);
	if (migration->max_size > VIA_MIGRATION_STATE_MAX)
		return BAD(err, desc, "a state of %zu bytes: the most is 16 MiB",
			   migration->max_size);
	return 0;
}

/* 9.3.4: what a virtual function cannot have, and what makes a physical one. */
static int check_sriov(const struct via_device_desc *desc, const struct via_device_ops *ops,
		       struct via_error *err)
{
	bool virtual = desc->flags & VIA_DEVICE_VF;

	for (size_t i = 0; i < desc->n_caps; i++) {
		if (desc->caps[i].kind != VIA_CAP_SRIOV)
			continue;
		if (virtual)
			return BAD(err, desc, "a virtual function cannot have SR-IOV");
		if (!ops->vf_new)
			return BAD(err, desc, "has SR-IOV but the model no vf_new callback");
	}
	if (!virtual)
		return 0;
	if (!desc->express.present)
		return BAD(err, desc, "a virtual function is PCI Express");
	if (desc->ident.interrupt_pin)
		return BAD(err, desc, "a virtual function has no interrupt pin");
	if (desc->rom.len)
		return BAD(err, desc, "a virtual function has no expansion ROM");
	for (unsigned int i = 0; i < VIA_PCI_BARS; i++)
		if (desc->bars[i].flags & VIA_BAR_IO)
			return BAD(err, desc, "BAR %u is I/O, which a virtual function cannot have",
				   i);
	return 0;
}

int via_device_validate(const struct via_device_desc *desc, const struct via_device_ops *ops,
			struct via_error *err)
{
	if (!desc->name || !*desc->name)
		return via_error_set(err, -EINVAL, "device: the description has no name");
	if (desc->flags & ~(unsigned int)(VIA_DEVICE_CONCURRENT | VIA_DEVICE_ALL_CAPABILITIES |
					  VIA_DEVICE_VF))
		return BAD(err, desc, "unknown flags 0x%x", desc->flags);
	if (desc->ident.class_code >> 24)
		return BAD(err, desc, "class code 0x%x has more than 24 bits", desc->ident.class_code);
	if (desc->rom.len > 16 << 20)
		return BAD(err, desc, "expansion ROM of %u bytes: the most is 16 MiB",
			   desc->rom.len);
	for (unsigned int i = 0; i < VIA_PCI_BARS; i++) {
		int ret = check_bar(desc, ops, i, err);

		if (ret)
			return ret;
	}
	if (check_migration(desc, ops->migration, err))
		return -EINVAL;
	return check_interrupts(desc, err) ? -EINVAL : check_sriov(desc, ops, err);
}
