/* SPDX-License-Identifier: MIT */
/* The extended capabilities that are shown (pci-config.md 4.3, 4.4). */
#include "pci/capabilities.h"
#include "pci/regs.h"

/* Status bits that later revisions added are cleared by writing one like the others. */
static void aer_masks(struct via_config_masks *m, uint8_t *image, unsigned int cap)
{
	mask32(m, cap + PCI_AER_UNCOR_STATUS, 0, PCI_AER_UNCOR_BITS);
	mask32(m, cap + PCI_AER_UNCOR_MASK, 0, PCI_AER_UNCOR_BITS);
	mask32(m, cap + PCI_AER_UNCOR_SEVERITY, 0, PCI_AER_UNCOR_BITS);
	mask32(m, cap + PCI_AER_COR_STATUS, 0, PCI_AER_COR_BITS);
	mask32(m, cap + PCI_AER_COR_MASK, 0, PCI_AER_COR_BITS);
	mask32(m, cap + PCI_AER_CONTROL, 0,
	       PCI_AER_CONTROL_ECRC_GENERATE | PCI_AER_CONTROL_ECRC_CHECK);
	via_put_le32(m->w1c + cap + PCI_AER_UNCOR_STATUS, ALL32);
	via_put_le32(m->w1c + cap + PCI_AER_COR_STATUS, ALL32);
}

/* The selector; the data register that Linux lets a program write is read-only (Q3). */
static void power_budget_masks(struct via_config_masks *m, uint8_t *image, unsigned int cap)
{
	mask8(m, cap + PCI_POWER_SELECT, 0, ALL8);
}

static unsigned int vc_len(const uint8_t *image, unsigned int cap)
{
	unsigned int channels = 1 + (via_get_le32(image + cap + PCI_VC_CAP1) & PCI_VC_CAP1_COUNT);
	uint32_t arbitration = via_get_le32(image + cap + PCI_VC_CAP2);
	unsigned int len = PCI_VC_BASE_SIZE + PCI_VC_PER_CHANNEL * channels;
	unsigned int phases = arbitration & PCI_VC_CAP2_128_PHASES  ? 128
			      : arbitration & PCI_VC_CAP2_64_PHASES ? 64
			      : arbitration & PCI_VC_CAP2_32_PHASES ? 32
								    : 0;

	/* The arbitration table: 4 bits a phase, on a 16-byte boundary. */
	return phases ? (len + 15) / 16 * 16 + phases / 2 : len;
}

/* Vendor-specific and designated vendor-specific blocks say their own length. */
static unsigned int vendor_len(const uint8_t *image, unsigned int cap)
{
	unsigned int len =
		via_get_le32(image + cap + PCI_VENDOR_EXT_HEADER) >> PCI_VENDOR_EXT_LEN_SHIFT;

	return len < PCI_EXT_HEADER_SIZE ? 0 : len;
}

static unsigned int acs_len(const uint8_t *image, unsigned int cap)
{
	unsigned int bits = image[cap + PCI_ACS_VECTOR_SIZE];

	if (!(image[cap + PCI_ACS_CAP] & PCI_ACS_CAP_EGRESS))
		return PCI_ACS_SIZE;
	bits = bits ? (bits + 31) / 32 * 32 : 256;
	return PCI_ACS_SIZE + bits / 8;
}

static unsigned int rebar_len(const uint8_t *image, unsigned int cap)
{
	unsigned int control = image[cap + PCI_REBAR_CONTROL];

	return PCI_REBAR_BASE_SIZE + PCI_REBAR_PER_BAR * ((control & PCI_REBAR_CONTROL_COUNT) >>
							  PCI_REBAR_CONTROL_COUNT_SHIFT);
}

static unsigned int dpa_len(const uint8_t *image, unsigned int cap)
{
	return PCI_DPA_BASE_SIZE + (image[cap + PCI_DPA_CAP] & PCI_DPA_CAP_SUBSTATES) + 1;
}

static unsigned int tph_len(const uint8_t *image, unsigned int cap)
{
	uint32_t value = via_get_le32(image + cap + PCI_TPH_CAP);

	if ((value & PCI_TPH_CAP_LOCATION) != PCI_TPH_CAP_LOCATION_HERE)
		return PCI_TPH_BASE_SIZE;
	return PCI_TPH_BASE_SIZE +
	       2 * (((value & PCI_TPH_CAP_ST_SIZE) >> PCI_TPH_CAP_ST_SIZE_SHIFT) + 1);
}

static const struct via_cap_kind kinds[] = {
	{PCI_EXT_CAP_ID_AER, PCI_AER_SIZE, false, NULL, aer_masks},
	{PCI_EXT_CAP_ID_VC, PCI_VC_CAP2 + 4, false, vc_len, NULL},
	{PCI_EXT_CAP_ID_DSN, PCI_DSN_SIZE, false, NULL, NULL},
	{PCI_EXT_CAP_ID_POWER_BUDGET, PCI_POWER_SIZE, false, NULL, power_budget_masks},
	{PCI_EXT_CAP_ID_MFVC, PCI_VC_CAP2 + 4, false, vc_len, NULL},
	{PCI_EXT_CAP_ID_VC_MFVC, PCI_VC_CAP2 + 4, false, vc_len, NULL},
	{PCI_EXT_CAP_ID_VENDOR, PCI_VENDOR_EXT_HEADER + 4, true, vendor_len, NULL},
	{PCI_EXT_CAP_ID_ACS, PCI_ACS_SIZE, false, acs_len, NULL},
	{PCI_EXT_CAP_ID_ARI, PCI_ARI_SIZE, false, NULL, NULL},
	{PCI_EXT_CAP_ID_ATS, PCI_ATS_SIZE, false, NULL, NULL},
	{PCI_EXT_CAP_ID_SRIOV, PCI_SRIOV_SIZE, false, NULL, NULL},
	{PCI_EXT_CAP_ID_MULTICAST, PCI_MULTICAST_SIZE, false, NULL, NULL},
	{PCI_EXT_CAP_ID_PRI, PCI_PRI_SIZE, false, NULL, NULL},
	{PCI_EXT_CAP_ID_REBAR, PCI_REBAR_CONTROL + 4, false, rebar_len, NULL},
	{PCI_EXT_CAP_ID_DPA, PCI_DPA_CAP + 4, false, dpa_len, NULL},
	{PCI_EXT_CAP_ID_TPH, PCI_TPH_CAP + 4, false, tph_len, NULL},
	{PCI_EXT_CAP_ID_LTR, PCI_LTR_SIZE, false, NULL, NULL},
	{PCI_EXT_CAP_ID_DVSEC, PCI_VENDOR_EXT_HEADER + 4, true, vendor_len, NULL},
};

const struct via_cap_kind *via_ext_cap_kind(uint16_t id)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (kinds[i].id == id)
			return &kinds[i];
	return NULL;
}
