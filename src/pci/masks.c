/* SPDX-License-Identifier: MIT */
#include "pci/masks.h"
#include "pci/regs.h"

#include "base/log.h"

#define ALL8 0xffu
#define ALL16 0xffffu
#define ALL32 0xffffffffu

static void mask8(struct via_config_masks *m, unsigned int pos, unsigned int virt,
		  unsigned int write)
{
	m->virt[pos] = (uint8_t)virt;
	m->write[pos] = (uint8_t)write;
}

static void mask16(struct via_config_masks *m, unsigned int pos, unsigned int virt,
		   unsigned int write)
{
	via_put_le16(m->virt + pos, (uint16_t)virt);
	via_put_le16(m->write + pos, (uint16_t)write);
}

static void mask32(struct via_config_masks *m, unsigned int pos, uint32_t virt, uint32_t write)
{
	via_put_le32(m->virt + pos, virt);
	via_put_le32(m->write + pos, write);
}

static void own(struct via_config_masks *m, unsigned int start, unsigned int len, uint16_t tag)
{
	for (unsigned int i = start; i < start + len; i++)
		m->owner[i] = (struct via_config_owner){.tag = tag, .start = (uint16_t)start};
	memset(m->virt + start, 0, len);
	memset(m->write + start, 0, len);
}

/* pci-config.md 2.2 */
static void header_masks(struct via_config_masks *m)
{
	own(m, 0, PCI_HEADER_SIZE, VIA_OWNER_HEADER);
	mask16(m, PCI_VENDOR_ID, ALL16, 0);
	mask16(m, PCI_DEVICE_ID, ALL16, 0);
	/* The device's own INTx Disable is the interrupt engine's: nobody sees it move. */
	mask16(m, PCI_COMMAND, PCI_COMMAND_INTX_DISABLE, ALL16);
	mask16(m, PCI_STATUS, PCI_STATUS_CAP_LIST, 0);
	via_put_le16(m->w1c + PCI_STATUS, PCI_STATUS_RW1C);
	mask8(m, PCI_CACHE_LINE_SIZE, 0, ALL8);
	mask8(m, PCI_LATENCY_TIMER, 0, ALL8);
	mask8(m, PCI_BIST, 0, ALL8);
	for (unsigned int i = 0; i < VIA_PCI_BARS; i++)
		mask32(m, PCI_BAR(i), ALL32, ALL32);
	mask32(m, PCI_ROM_BAR, ALL32, ALL32);
	mask8(m, PCI_CAPABILITY_LIST, ALL8, 0);
	mask8(m, PCI_INTERRUPT_LINE, ALL8, ALL8);
	mask8(m, PCI_INTERRUPT_PIN, ALL8, 0);
}

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

static unsigned int pm_len(const uint8_t *image, unsigned int cap)
{
	return PCI_PM_SIZE;
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
	image[cap + PCI_MSI_CONTROL] &= (uint8_t)~(PCI_MSI_CONTROL_ENABLE | PCI_MSI_CONTROL_MME);
	m->msi = m->msi ? m->msi : (uint16_t)cap;
}

static unsigned int msi_len(const uint8_t *image, unsigned int cap)
{
	unsigned int control = via_get_le16(image + cap + PCI_MSI_CONTROL);

	return PCI_MSI_SIZE(control & PCI_MSI_CONTROL_64BIT, control & PCI_MSI_CONTROL_MASKABLE);
}

/* 3.6: sizes and the reset bit are virtual; link, slot and root registers are the host's. */
static void express_masks(struct via_config_masks *m, uint8_t *image, unsigned int cap)
{
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
		return integrated ? 0x0c : 0x14;
	return integrated ? 0x2c : 0x34;
}

/* 3.7: all read-only. Arming is by SET_IRQS. */
static void msix_masks(struct via_config_masks *m, uint8_t *image, unsigned int cap)
{
	m->msix = m->msix ? m->msix : (uint16_t)cap;
}

static unsigned int msix_len(const uint8_t *image, unsigned int cap)
{
	return PCI_MSIX_SIZE;
}

/* Ids that are not here are hidden. */
static const struct cap_kind {
	uint8_t id;
	uint8_t min_len; /* bytes that len() looks at, so that it stays inside the space */
	unsigned int (*len)(const uint8_t *image, unsigned int cap);
	void (*masks)(struct via_config_masks *m, uint8_t *image, unsigned int cap);
} cap_kinds[] = {
	{PCI_CAP_ID_PM, 2, pm_len, pm_masks},
	{PCI_CAP_ID_MSI, 4, msi_len, msi_masks},
	{PCI_CAP_ID_EXP, 4, express_len, express_masks},
	{PCI_CAP_ID_MSIX, 2, msix_len, msix_masks},
};

static const struct cap_kind *find_kind(uint8_t id)
{
	for (size_t i = 0; i < sizeof(cap_kinds) / sizeof(cap_kinds[0]); i++) {
		if (cap_kinds[i].id == id)
			return &cap_kinds[i];
	}
	return NULL;
}

/* All of [start, start + len) inside conventional space and not owned yet. */
static bool is_free(const struct via_config_masks *m, unsigned int start, unsigned int len)
{
	if (len > VIA_CONFIG_SIZE_PCI - start)
		return false;
	for (unsigned int i = start; i < start + len; i++) {
		if (m->owner[i].tag != VIA_OWNER_NONE)
			return false;
	}
	return true;
}

/* Take the capability at cap into the masks; false: it stays hidden. */
static bool show_capability(struct via_config_masks *m, uint8_t *image, unsigned int cap)
{
	const struct cap_kind *kind = find_kind(image[cap + PCI_CAP_ID]);
	unsigned int len;

	if (!kind || !is_free(m, cap, kind->min_len))
		return false;
	len = kind->len(image, cap);
	if (!is_free(m, cap, len)) {
		via_log(VIA_LOG_WARNING, "pci: capability %#x at %#x does not fit: hidden",
			kind->id, cap);
		return false;
	}
	own(m, cap, len, kind->id);
	mask8(m, cap + PCI_CAP_NEXT, ALL8, 0);
	kind->masks(m, image, cap);
	return true;
}

static void walk_capabilities(struct via_config_masks *m, uint8_t *image)
{
	unsigned int link = PCI_CAPABILITY_LIST;
	unsigned int cap = image[link] & PCI_CAP_POINTER;
	uint64_t visited = 0;

	while (cap >= PCI_HEADER_SIZE && !(visited >> cap / 4 & 1)) {
		unsigned int next = image[cap + PCI_CAP_NEXT] & PCI_CAP_POINTER;

		visited |= 1ull << cap / 4;
		if (show_capability(m, image, cap)) {
			image[link] = (uint8_t)cap;
			link = cap + PCI_CAP_NEXT;
		}
		cap = next;
	}
	image[link] = 0;
}

void via_config_masks_build(struct via_config_masks *masks, uint8_t *image, unsigned int size)
{
	memset(masks, 0, sizeof(*masks));
	/* Nobody's bytes read zero and take nothing: the emulated default of 3.9. */
	memset(masks->virt, ALL8, sizeof(masks->virt));
	for (unsigned int i = 0; i < VIA_CONFIG_SIZE_EXPRESS; i++)
		masks->owner[i].tag = VIA_OWNER_NONE;
	header_masks(masks);
	if (via_get_le16(image + PCI_STATUS) & PCI_STATUS_CAP_LIST)
		walk_capabilities(masks, image);
	else
		image[PCI_CAPABILITY_LIST] = 0;
	if (!image[PCI_CAPABILITY_LIST])
		image[PCI_STATUS] &= (uint8_t)~PCI_STATUS_CAP_LIST;
	for (unsigned int i = 0; i < size; i++) {
		if (masks->owner[i].tag == VIA_OWNER_NONE)
			image[i] = 0;
	}
}
