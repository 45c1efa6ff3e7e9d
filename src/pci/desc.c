/* SPDX-License-Identifier: MIT */
/* What a description of a function may say. */
#include "pci/dev.h"
#include "pci/msix.h"

#include <errno.h>
#include <inttypes.h>

static int check_bar(const struct via_config_desc *desc, unsigned int i, struct via_error *err)
{
	const struct via_config_bar *bar = &desc->bars[i];
	bool io = bar->flags & VIA_BAR_IO, wide = bar->flags & VIA_BAR_MEM64;
	uint64_t max = wide ? 1ull << 62 : io ? 1ull << 16 : 1ull << 31;

	if (!bar->size)
		return 0;
	if (bar->flags & ~(unsigned int)(VIA_BAR_IO | VIA_BAR_MEM64 | VIA_BAR_PREFETCH) ||
	    (io && bar->flags & (VIA_BAR_MEM64 | VIA_BAR_PREFETCH)))
		return via_error_set(err, -EINVAL, "BAR %u: flags %#x do not go together", i,
				     bar->flags);
	if (bar->size & (bar->size - 1) || bar->size < (io ? 4 : 16) || bar->size > max)
		return via_error_set(err, -EINVAL,
				     "BAR %u: size %#" PRIx64 " is not a power of two from %d to "
				     "%#" PRIx64,
				     i, bar->size, io ? 4 : 16, max);
	if (wide && (i + 1 == VIA_PCI_BARS || desc->bars[i + 1].size))
		return via_error_set(err, -EINVAL,
				     "BAR %u is 64 bits wide and needs the next index too", i);
	return 0;
}

static int check_table(const struct via_config_desc *desc, const char *what, unsigned int index,
		       uint32_t offset, uint32_t size, struct via_error *err)
{
	const struct via_config_bar *bar;

	if (index >= VIA_PCI_BARS || !desc->bars[index].size ||
	    desc->bars[index].flags & VIA_BAR_IO)
		return via_error_set(err, -EINVAL, "%s: BAR %u is not a memory BAR", what, index);
	bar = &desc->bars[index];
	if (offset % 8)
		return via_error_set(err, -EINVAL, "%s: offset %#x is not a multiple of 8", what,
				     offset);
	if (offset > bar->size || size > bar->size - offset)
		return via_error_set(err, -EINVAL, "%s: %u bytes at %#x do not fit into BAR %u",
				     what, size, offset, index);
	return 0;
}

static int check_msix(const struct via_config_desc *desc, struct via_error *err)
{
	const struct via_pci_msix *msix = &desc->msix;
	uint32_t table = via_msix_table_size(msix->vectors);
	uint32_t pba = via_msix_pba_size(msix->vectors);
	int r;

	if (!msix->vectors)
		return 0;
	if (msix->vectors > 2048)
		return via_error_set(err, -EINVAL, "MSI-X: %u vectors are more than 2048",
				     msix->vectors);
	r = check_table(desc, "MSI-X table", msix->table_bar, msix->table_offset, table, err);
	if (!r)
		r = check_table(desc, "MSI-X pending bits", msix->pba_bar, msix->pba_offset, pba,
				err);
	if (r)
		return r;
	if (msix->table_bar == msix->pba_bar &&
	    msix->table_offset < (uint64_t)msix->pba_offset + pba &&
	    msix->pba_offset < (uint64_t)msix->table_offset + table)
		return via_error_set(err, -EINVAL, "MSI-X table and pending bits overlap");
	return 0;
}

int via_config_desc_check(const struct via_config_desc *desc, struct via_error *err)
{
	unsigned int msi = desc->msi.vectors;

	for (unsigned int i = 0; i < VIA_PCI_BARS; i++) {
		int r = check_bar(desc, i, err);

		if (r)
			return r;
	}
	if (desc->rom_size & (desc->rom_size - 1))
		return via_error_set(err, -EINVAL, "expansion ROM: size %#x is no power of two",
				     desc->rom_size);
	if (desc->ident.class_code > 0xffffff)
		return via_error_set(err, -EINVAL, "class code %#x has more than 24 bits",
				     desc->ident.class_code);
	if (desc->ident.interrupt_pin > 4)
		return via_error_set(err, -EINVAL, "interrupt pin %u is not 0 to 4",
				     desc->ident.interrupt_pin);
	if (msi > 32 || msi & (msi - 1))
		return via_error_set(err, -EINVAL, "MSI: %u vectors are not a power of two to 32",
				     msi);
	if (desc->express.max_payload > 5)
		return via_error_set(err, -EINVAL, "max_payload %u is not 0 to 5",
				     desc->express.max_payload);
	return check_msix(desc, err);
}

void via_config_irqs_desc(const struct via_config_desc *desc, struct via_irqs_desc *ret_desc)
{
	*ret_desc = (struct via_irqs_desc){
		.intx = desc->ident.interrupt_pin != 0,
		.express = desc->express.present,
		.msi = desc->msi.vectors,
		.msi_maskable = desc->msi.maskable,
		.msix = desc->msix.vectors,
	};
}
