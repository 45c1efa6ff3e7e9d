/* SPDX-License-Identifier: MIT */
/* The SR-IOV capability of a physical function: PCI Express Base 9.3.3. */
#include "pci/regfile.h"
#include "pci/regs.h"

static bool bar_valid(const struct via_pci_sriov *sriov, unsigned int i)
{
	uint64_t size = sriov->bars[i].size;
	unsigned int flags = sriov->bars[i].flags;
	bool wide = flags & VIA_BAR_MEM64;

	if (!size)
		return true;
	return !(size & (size - 1)) && size >= 4096 && size <= 1ull << (wide ? 62 : 31) &&
	       !(flags & ~(unsigned int)(VIA_BAR_MEM64 | VIA_BAR_PREFETCH)) &&
	       (!wide || (i + 1 < VIA_PCI_BARS && !sriov->bars[i + 1].size));
}

unsigned int via_sriov_size(const struct via_pci_sriov *sriov)
{
	uint32_t last = sriov->offset + (uint32_t)sriov->stride * (sriov->total - 1u);

	if (!sriov->total || !sriov->offset || !sriov->stride || last > 0xffff)
		return 0;
	if (sriov->page_sizes &&
	    (sriov->page_sizes & PCI_SRIOV_PAGE_SIZES_REQUIRED) != PCI_SRIOV_PAGE_SIZES_REQUIRED)
		return 0;
	for (unsigned int i = 0; i < VIA_PCI_BARS; i++)
		if (!bar_valid(sriov, i))
			return 0;
	return PCI_SRIOV_SIZE;
}

void via_sriov_fill(struct via_regfile *regs, unsigned int at, const struct via_pci_sriov *sriov,
		    bool ari)
{
	uint8_t *cap = regs->initial + at;

	/* What the kernel writes before it enables anything: ARI, and pages of its own size. */
	via_put_le16(cap + PCI_SRIOV_CONTROL, ari ? PCI_SRIOV_CONTROL_ARI : 0);
	via_put_le32(cap + PCI_SRIOV_PAGE_SIZE, 1);
	via_put_le16(cap + PCI_SRIOV_INITIAL_VFS, sriov->total);
	via_put_le16(cap + PCI_SRIOV_TOTAL_VFS, sriov->total);
	via_put_le16(cap + PCI_SRIOV_OFFSET, sriov->offset);
	via_put_le16(cap + PCI_SRIOV_STRIDE, sriov->stride);
	via_put_le16(cap + PCI_SRIOV_VF_DEVICE, sriov->vf_device);
	via_put_le32(cap + PCI_SRIOV_PAGE_SIZES,
		     sriov->page_sizes ? sriov->page_sizes : PCI_SRIOV_PAGE_SIZES_REQUIRED);
	for (unsigned int i = 0; i < VIA_PCI_BARS; i++)
		if (sriov->bars[i].size)
			via_put_le32(cap + PCI_SRIOV_BAR(i),
				     (sriov->bars[i].flags & VIA_BAR_MEM64 ? PCI_BAR_MEM_64 : 0) |
					     (sriov->bars[i].flags & VIA_BAR_PREFETCH
						      ? PCI_BAR_PREFETCH
						      : 0));
	regs->sriov = at;
}

/* The host's choice, so it is there again after every reset and for everybody who opens it. */
bool via_regfile_set_vfs(struct via_regfile *regs, unsigned int n)
{
	const uint16_t on = PCI_SRIOV_CONTROL_VF_ENABLE | PCI_SRIOV_CONTROL_MSE;
	uint8_t *const stores[] = {regs->initial, regs->value};

	if (!regs->sriov)
		return false;
	for (unsigned int i = 0; i < 2; i++) {
		uint8_t *control = stores[i] + regs->sriov + PCI_SRIOV_CONTROL;
		uint16_t rest = via_get_le16(control) & (uint16_t)~on;

		via_put_le16(control, n ? rest | on : rest);
		via_put_le16(stores[i] + regs->sriov + PCI_SRIOV_NUM_VFS, (uint16_t)n);
	}
	return true;
}
