/* SPDX-License-Identifier: MIT */
/* The capabilities of conventional config space that are shown (pci-config.md 3.2 to 3.8). */
#include "pci/capabilities.h"
#include "pci/regs.h"

/* 3.3: power events are the host's; the state changes through a hook, not through the mask. */
static void pm_masks(struct via_config_masks *m, uint8_t *image, unsigned int cap)
{
	uint32_t hidden = PCI_PM_CSR_PME_ENABLE | PCI_PM_CSR_PME_STATUS;
	uint16_t pmc = via_get_le16(image + cap + PCI_PM_PMC);
	uint32_t csr = via_get_le32(image + cap + PCI_PM_CSR);

	mask16(m, cap + PCI_PM_PMC, PCI_PM_PMC_PME, 0);
	mask32(m, cap + PCI_PM_CSR, hidden, ALL32 & ~(hidden | PCI_PM_CSR_STATE));
	via_put_le16(m->w1c + cap + PCI_PM_CSR, PCI_PM_CSR_PME_STATUS);
	via_put_le16(image + cap + PCI_PM_PMC, pmc & (uint16_t)~PCI_PM_PMC_PME);
	via_put_le32(image + cap + PCI_PM_CSR, csr & ~hidden);
	m->pm = m->pm ? m->pm : (uint16_t)cap;
}

/* 3.4: the protocol runs in a hook. */
static void vpd_masks(struct via_config_masks *m, uint8_t *image, unsigned int cap)
{
	mask16(m, cap + PCI_VPD_ADDRESS, ALL16, ALL16);
	mask32(m, cap + PCI_VPD_DATA, ALL32, ALL32);
	m->vpd = m->vpd ? m->vpd : (uint16_t)cap;
}

/* 3.5, with Mask and Pending virtual (R8, R9) and the read-only fields of Control so (Q1). */
static void msi_masks(struct via_config_masks *m, uint8_t *image, unsigned int cap)
{
	unsigned int control = via_get_le16(image + cap + PCI_MSI_CONTROL);
	unsigned int mmc = (control & PCI_MSI_CONTROL_MMC) >> PCI_MSI_CONTROL_MMC_SHIFT;
	uint32_t vectors = mmc >= 5 ? ALL32 : (1u << (1u << mmc)) - 1;
	bool high = control & PCI_MSI_CONTROL_64BIT;

	mask8(m, cap + PCI_MSI_CONTROL, ALL8, PCI_MSI_CONTROL_ENABLE | PCI_MSI_CONTROL_MME);
	mask32(m, cap + PCI_MSI_ADDRESS, ALL32, PCI_MSI_ADDRESS_BITS);
	if (high)
		mask32(m, cap + PCI_MSI_ADDRESS_HIGH, ALL32, ALL32);
	mask16(m, cap + (high ? PCI_MSI_DATA_64 : PCI_MSI_DATA_32), ALL16, ALL16);
	if (control & PCI_MSI_CONTROL_MASKABLE) {
		unsigned int mask = cap + (high ? PCI_MSI_MASK_64 : PCI_MSI_MASK_32);

		mask32(m, mask, ALL32, vectors);
		mask32(m, mask + 4, ALL32, 0);
	}
	image[cap + PCI_MSI_CONTROL] &= (uint8_t) ~(PCI_MSI_CONTROL_ENABLE | PCI_MSI_CONTROL_MME);
	m->msi = m->msi ? m->msi : (uint16_t)cap;
}

static unsigned int msi_len(const uint8_t *image, unsigned int cap)
{
	unsigned int control = via_get_le16(image + cap + PCI_MSI_CONTROL);

	return PCI_MSI_SIZE(control & PCI_MSI_CONTROL_64BIT, control & PCI_MSI_CONTROL_MASKABLE);
}

static void pcix_masks(struct via_config_masks *m, uint8_t *image, unsigned int cap)
{
	mask16(m, cap + PCI_PCIX_COMMAND, 0, ALL16);
	if (via_get_le16(image + cap + PCI_PCIX_COMMAND) & PCI_PCIX_COMMAND_VERSION) {
		mask32(m, cap + PCI_PCIX_ECC, 0, ALL32);
		m->pcix_2 = true;
	}
}

static unsigned int pcix_len(const uint8_t *image, unsigned int cap)
{
	return via_get_le16(image + cap + PCI_PCIX_COMMAND) & PCI_PCIX_COMMAND_VERSION
		       ? PCI_PCIX_SIZE_2
		       : PCI_PCIX_SIZE_0;
}

static unsigned int ht_len(const uint8_t *image, unsigned int cap)
{
	return image[cap + PCI_HT_TYPE] & PCI_HT_TYPE_3BIT ? PCI_HT_SIZE_SHORT : PCI_HT_SIZE_LONG;
}

/* A length that would leave out its own header hides it. */
static unsigned int vendor_len(const uint8_t *image, unsigned int cap)
{
	unsigned int len = image[cap + PCI_VENDOR_LEN];

	return len <= PCI_VENDOR_LEN ? 0 : len;
}

/* 3.6: sizes and the reset bit are virtual; link, slot and root registers are the host's. */
static void express_masks(struct via_config_masks *m, uint8_t *image, unsigned int cap)
{
	uint16_t control = via_get_le16(image + cap + PCI_EXP_DEVCTL);

	/* The reset bit reads as zero whatever the device says: the hook acts on a one. */
	via_put_le16(image + cap + PCI_EXP_DEVCTL, control & (uint16_t)~PCI_EXP_DEVCTL_FLR);
	mask16(m, cap + PCI_EXP_DEVCTL,
	       PCI_EXP_DEVCTL_FLR | PCI_EXP_DEVCTL_MRRS | PCI_EXP_DEVCTL_MPS,
	       ALL16 & ~PCI_EXP_DEVCTL_PHANTOM);
	via_put_le16(m->w1c + cap + PCI_EXP_DEVSTA, PCI_EXP_DEVSTA_RW1C);
	if (m->owner[cap + PCI_EXP_DEVCTL2].start == cap)
		mask16(m, cap + PCI_EXP_DEVCTL2, 0, ALL16 & ~PCI_EXP_DEVCTL2_ARI);
	m->express = m->express ? m->express : (uint16_t)cap;
}

static unsigned int express_len(const uint8_t *image, unsigned int cap)
{
	unsigned int flags = via_get_le16(image + cap + PCI_EXP_FLAGS);
	bool integrated = (flags & PCI_EXP_FLAGS_TYPE) >> PCI_EXP_FLAGS_TYPE_SHIFT ==
			  PCI_EXP_TYPE_RC_ENDPOINT;

	if ((flags & PCI_EXP_FLAGS_VERSION) == 1)
		return integrated ? PCI_EXP_SHOWN_1_INTEGRATED : PCI_EXP_SHOWN_1;
	return integrated ? PCI_EXP_SHOWN_2_INTEGRATED : PCI_EXP_SHOWN_2;
}

/* 3.7: all read-only. Arming is by SET_IRQS. */
static void msix_masks(struct via_config_masks *m, uint8_t *image, unsigned int cap)
{
	m->msix = m->msix ? m->msix : (uint16_t)cap;
}

static unsigned int sata_len(const uint8_t *image, unsigned int cap)
{
	return (image[cap + PCI_SATA_LOCATION] & PCI_SATA_LOCATION_BITS) == PCI_SATA_LOCATION_INLINE
		       ? PCI_SATA_SIZE_LONG
		       : PCI_SATA_SIZE_SHORT;
}

/* 3.8: the reset bit, by a hook. */
static void af_masks(struct via_config_masks *m, uint8_t *image, unsigned int cap)
{
	image[cap + PCI_AF_CONTROL] &= (uint8_t)~PCI_AF_CONTROL_FLR;
	mask8(m, cap + PCI_AF_CONTROL, PCI_AF_CONTROL_FLR, PCI_AF_CONTROL_FLR);
	m->af = m->af ? m->af : (uint16_t)cap;
}

static const struct via_cap_kind kinds[] = {
	{PCI_CAP_ID_PM, PCI_PM_SIZE, false, NULL, pm_masks},
	{PCI_CAP_ID_AGP, PCI_AGP_SIZE, false, NULL, NULL},
	{PCI_CAP_ID_VPD, PCI_VPD_SIZE, false, NULL, vpd_masks},
	{PCI_CAP_ID_MSI, PCI_MSI_CONTROL + 2, false, msi_len, msi_masks},
	{PCI_CAP_ID_PCIX, PCI_PCIX_COMMAND + 2, false, pcix_len, pcix_masks},
	{PCI_CAP_ID_HT, PCI_HT_TYPE + 1, false, ht_len, NULL},
	{PCI_CAP_ID_VENDOR, PCI_VENDOR_LEN + 1, true, vendor_len, NULL},
	{PCI_CAP_ID_EXP, PCI_EXP_FLAGS + 2, false, express_len, express_masks},
	{PCI_CAP_ID_MSIX, PCI_MSIX_SIZE, false, NULL, msix_masks},
	{PCI_CAP_ID_SATA, PCI_SATA_LOCATION + 1, false, sata_len, NULL},
	{PCI_CAP_ID_AF, PCI_AF_SIZE, false, NULL, af_masks},
};

const struct via_cap_kind *via_cap_kind(uint8_t id)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (kinds[i].id == id)
			return &kinds[i];
	return NULL;
}
