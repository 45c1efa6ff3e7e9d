/* SPDX-License-Identifier: MIT */
/*
 * From the description of a function to its registers: the header, a place for
 * each capability, and one function per kind that fills it.
 */
#include "pci/capabilities.h"
#include "pci/regfile.h"
#include "pci/regs.h"

#include <errno.h>
#include <stdlib.h>

/* Capabilities start on 16 bytes where they may: addresses that are easy to read. */
#define CAP_ALIGN 16u

static void reg8(struct via_regfile *regs, unsigned int pos, uint8_t value, uint8_t writable)
{
	regs->initial[pos] = value;
	regs->writable[pos] = writable;
}

static void reg16(struct via_regfile *regs, unsigned int pos, uint16_t value, uint16_t writable)
{
	via_put_le16(regs->initial + pos, value);
	via_put_le16(regs->writable + pos, writable);
}

static void reg32(struct via_regfile *regs, unsigned int pos, uint32_t value, uint32_t writable)
{
	via_put_le32(regs->initial + pos, value);
	via_put_le32(regs->writable + pos, writable);
}

static void status32(struct via_regfile *regs, unsigned int pos, uint32_t w1c, bool sticky)
{
	via_put_le32(regs->w1c + pos, w1c);
	if (sticky)
		via_put_le32(regs->sticky + pos, w1c);
}

/* --- The header ----------------------------------------------------------- */

static uint32_t bar_type(const struct via_config_bar *bar)
{
	return (bar->flags & VIA_BAR_IO ? PCI_BAR_IO : 0) |
	       (bar->flags & VIA_BAR_MEM64 ? PCI_BAR_MEM_64 : 0) |
	       (bar->flags & VIA_BAR_PREFETCH ? PCI_BAR_PREFETCH : 0);
}

static void add_header(struct via_regfile *regs, const struct via_config_desc *desc)
{
	const struct via_pci_ident *ident = &desc->ident;
	bool virtual = desc->flags & VIA_CONFIG_VF;

	/* 9.3.4.1: a virtual function has its ids, its BARs and Memory Enable in the physical one. */
	reg16(regs, PCI_VENDOR_ID, virtual ? 0xffff : ident->vendor, 0);
	reg16(regs, PCI_DEVICE_ID, virtual ? 0xffff : ident->device, 0);
	/* What PC firmware leaves behind, whatever BARs there are: pci-config.md 2.4. */
	if (virtual)
		reg16(regs, PCI_COMMAND, 0, PCI_COMMAND_MASTER);
	else
		reg16(regs, PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_SERR,
		      PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER |
			      PCI_COMMAND_SERR);
	via_put_le16(regs->w1c + PCI_STATUS, PCI_STATUS_RW1C);
	reg8(regs, PCI_REVISION_ID, ident->revision, 0);
	reg8(regs, PCI_CLASS_PROG, (uint8_t)ident->class_code, 0);
	reg16(regs, PCI_CLASS_DEVICE, (uint16_t)(ident->class_code >> 8), 0);
	reg8(regs, PCI_CACHE_LINE_SIZE, 0, virtual ? 0 : 0xff);
	/* PCI Express 7.5.1.1.7 wires the latency timer to 0. */
	reg8(regs, PCI_LATENCY_TIMER, 0, desc->express.present ? 0 : 0xff);
	for (unsigned int i = 0; i < VIA_PCI_BARS; i++)
		if (desc->bars[i].size && !virtual)
			reg32(regs, PCI_BAR(i), bar_type(&desc->bars[i]), 0);
	reg16(regs, PCI_SUBSYSTEM_VENDOR_ID, ident->subsystem_vendor, 0);
	reg16(regs, PCI_SUBSYSTEM_ID, ident->subsystem_device, 0);
	reg8(regs, PCI_INTERRUPT_PIN, ident->interrupt_pin, 0);
}

/* --- What struct via_config_desc names ------------------------------------ */

static void fill_pm(struct via_regfile *regs, unsigned int cap)
{
	reg16(regs, cap + PCI_PM_PMC, PCI_PM_PMC_VERSION_3, 0);
	reg16(regs, cap + PCI_PM_CSR, PCI_PM_CSR_NO_SOFT_RESET, PCI_PM_CSR_STATE);
	via_put_le16(regs->w1c + cap + PCI_PM_CSR, PCI_PM_CSR_PME_STATUS);
	via_put_le16(regs->sticky + cap + PCI_PM_CSR, PCI_PM_CSR_PME_STATUS);
}

static void fill_msi(struct via_regfile *regs, unsigned int cap, const struct via_pci_msi *msi)
{
	unsigned int mmc = (unsigned int)__builtin_ctz(msi->vectors);
	unsigned int control = mmc << PCI_MSI_CONTROL_MMC_SHIFT;

	if (msi->addr64)
		control |= PCI_MSI_CONTROL_64BIT;
	if (msi->maskable)
		control |= PCI_MSI_CONTROL_MASKABLE;
	/* Enable, message and mask are config space's and the interrupt engine's. */
	reg16(regs, cap + PCI_MSI_CONTROL, (uint16_t)control, 0);
}

static void fill_express(struct via_regfile *regs, unsigned int cap,
			 const struct via_pci_express *express)
{
	unsigned int type = express->integrated ? PCI_EXP_TYPE_RC_ENDPOINT : PCI_EXP_TYPE_ENDPOINT;

	reg16(regs, cap + PCI_EXP_FLAGS, (uint16_t)(type << PCI_EXP_FLAGS_TYPE_SHIFT | 2u), 0);
	reg32(regs, cap + PCI_EXP_DEVCAP,
	      PCI_EXP_DEVCAP_FLR | PCI_EXP_DEVCAP_ROLE_BASED_ERRORS | PCI_EXP_DEVCAP_EXT_TAG |
		      express->max_payload,
	      0);
	reg16(regs, cap + PCI_EXP_DEVCTL,
	      PCI_EXP_DEVCTL_RELAXED_ORDERING | PCI_EXP_DEVCTL_NO_SNOOP | PCI_EXP_DEVCTL_MRRS_512,
	      (uint16_t) ~(PCI_EXP_DEVCTL_FLR | PCI_EXP_DEVCTL_PHANTOM));
	via_put_le16(regs->w1c + cap + PCI_EXP_DEVSTA, PCI_EXP_DEVSTA_RW1C);
	/* An integrated endpoint has no link. */
	if (express->integrated)
		return;
	reg32(regs, cap + PCI_EXP_LNKCAP, PCI_EXP_LNKCAP_2_5GT_X1, 0);
	reg16(regs, cap + PCI_EXP_LNKSTA, PCI_EXP_LNKSTA_2_5GT_X1, 0);
	reg32(regs, cap + PCI_EXP_LNKCAP2, PCI_EXP_LNKCAP2_2_5GT, 0);
}

static void fill_msix(struct via_regfile *regs, unsigned int cap, const struct via_pci_msix *msix)
{
	reg16(regs, cap + PCI_MSIX_CONTROL, (uint16_t)(msix->vectors - 1u),
	      PCI_MSIX_CONTROL_FUNCTION_MASK);
	reg32(regs, cap + PCI_MSIX_TABLE, msix->table_offset | msix->table_bar, 0);
	reg32(regs, cap + PCI_MSIX_PBA, msix->pba_offset | msix->pba_bar, 0);
	regs->msix = cap;
}

/* --- struct via_pci_cap: one function per kind that has a body ------------- */

struct filler {
	struct via_regfile *regs;
	const struct via_config_desc *desc;
	const struct via_pci_cap *cap;
	unsigned int at;
	unsigned int len;
};

static void fill_bytes(const struct filler *f, unsigned int header,
		       const struct via_pci_bytes *body)
{
	uint8_t *listens = f->regs->listens + f->at;

	if (body->value)
		memcpy(f->regs->initial + f->at + header, body->value, body->len);
	if (body->writable)
		memcpy(f->regs->writable + f->at + header, body->writable, body->len);
	memset(listens + header, 1, body->len);
}

static void fill_af(const struct filler *f)
{
	reg8(f->regs, f->at + 2, PCI_AF_SIZE, 0);
	reg8(f->regs, f->at + PCI_AF_CAP, PCI_AF_CAP_TRANSACTIONS | PCI_AF_CAP_FLR, 0);
}

static void fill_vendor(const struct filler *f)
{
	reg8(f->regs, f->at + PCI_VENDOR_LEN, (uint8_t)f->len, 0);
	fill_bytes(f, PCI_VENDOR_LEN + 1, &f->cap->vendor);
}

static void fill_aer(const struct filler *f)
{
	struct via_regfile *regs = f->regs;
	unsigned int at = f->at;

	/* 7.8.4.4: what is fatal from the start. */
	const uint32_t severity = PCI_AER_UNCOR_DLP | PCI_AER_UNCOR_SURPRISE_DOWN |
				  PCI_AER_UNCOR_FCP | PCI_AER_UNCOR_OVERFLOW |
				  PCI_AER_UNCOR_MALFORMED | PCI_AER_UNCOR_INTERNAL;
	const uint32_t fatal_and_not = PCI_AER_UNCOR_BITS & ~PCI_AER_UNCOR_UNDEFINED;

	/* Status and masks are sticky: "RW1CS" and "RWS". */
	status32(regs, at + PCI_AER_UNCOR_STATUS, fatal_and_not, true);
	reg32(regs, at + PCI_AER_UNCOR_MASK, PCI_AER_UNCOR_INTERNAL, fatal_and_not);
	reg32(regs, at + PCI_AER_UNCOR_SEVERITY, severity, fatal_and_not);
	status32(regs, at + PCI_AER_COR_STATUS, PCI_AER_COR_BITS, true);
	reg32(regs, at + PCI_AER_COR_MASK, PCI_AER_COR_ADVISORY | PCI_AER_COR_INTERNAL,
	      PCI_AER_COR_BITS);
}

static void fill_dsn(const struct filler *f)
{
	reg32(f->regs, f->at + 4, (uint32_t)f->cap->dsn, 0);
	reg32(f->regs, f->at + 8, (uint32_t)(f->cap->dsn >> 32), 0);
}

static void fill_acs(const struct filler *f)
{
	unsigned int bits = f->cap->acs.egress_bits;

	reg8(f->regs, f->at + PCI_ACS_CAP, f->cap->acs.capability, 0);
	/* 256 is written as 0 */
	reg8(f->regs, f->at + PCI_ACS_VECTOR_SIZE, (uint8_t)bits, 0);
	reg16(f->regs, f->at + PCI_ACS_CONTROL, 0, f->cap->acs.capability);
	for (unsigned int i = PCI_ACS_SIZE; i < f->len; i++)
		f->regs->writable[f->at + i] = 0xff;
}

static void fill_ari(const struct filler *f)
{
	reg16(f->regs, f->at + 4, (uint16_t)(f->cap->ari << 8), 0);
}

static void fill_ats(const struct filler *f)
{
	unsigned int cap = f->cap->ats.queue_depth & PCI_ATS_CAP_QUEUE_DEPTH;

	reg16(f->regs, f->at + PCI_ATS_CAP,
	      (uint16_t)(cap | (f->cap->ats.page_aligned ? PCI_ATS_CAP_PAGE_ALIGNED : 0)), 0);
	reg16(f->regs, f->at + PCI_ATS_CONTROL, 0, PCI_ATS_CONTROL_ENABLE | PCI_ATS_CONTROL_STU);
}

static void fill_pri(const struct filler *f)
{
	reg16(f->regs, f->at + PCI_PRI_CONTROL, 0, PCI_PRI_CONTROL_ENABLE);
	reg16(f->regs, f->at + PCI_PRI_STATUS, PCI_PRI_STATUS_STOPPED, 0);
	reg32(f->regs, f->at + PCI_PRI_CAPACITY, f->cap->pri, 0);
	reg32(f->regs, f->at + PCI_PRI_ALLOCATION, 0, 0xffffffff);
}

static void fill_pasid(const struct filler *f)
{
	unsigned int able = (f->cap->pasid.execute ? PCI_PASID_EXECUTE : 0) |
			    (f->cap->pasid.privileged ? PCI_PASID_PRIVILEGED : 0);

	reg16(f->regs, f->at + PCI_PASID_CAP,
	      (uint16_t)(able | (unsigned int)f->cap->pasid.width << PCI_PASID_WIDTH_SHIFT), 0);
	reg16(f->regs, f->at + PCI_PASID_CONTROL, 0, (uint16_t)(able | PCI_PASID_ENABLE));
}

/* 7.8.6: an entry for each resizable BAR; Control has its index, its size, and how many there are.
 */
static void fill_rebar(const struct filler *f)
{
	unsigned int n = (f->len - PCI_REBAR_BASE_SIZE) / PCI_REBAR_PER_BAR;
	unsigned int at = f->at + PCI_REBAR_BASE_SIZE;

	for (unsigned int i = 0; i < VIA_PCI_BARS; i++) {
		uint32_t sizes = f->cap->rebar[i];
		unsigned int now;

		if (!sizes)
			continue;
		now = (unsigned int)__builtin_ctzll(f->desc->bars[i].size) - 20;
		reg32(f->regs, at, sizes << PCI_REBAR_CAP_SIZES_SHIFT, 0);
		reg32(f->regs, at + 4,
		      i | n << PCI_REBAR_CONTROL_COUNT_SHIFT | now << PCI_REBAR_CONTROL_SIZE_SHIFT,
		      0);
		at += PCI_REBAR_PER_BAR;
	}
}

static void fill_ltr(const struct filler *f)
{
	reg32(f->regs, f->at + 4, 0, PCI_LTR_BITS | PCI_LTR_BITS << 16);
}

static void fill_tph(const struct filler *f)
{
	uint32_t cap = PCI_TPH_CAP_NO_ST;

	if (f->cap->tph)
		cap |= PCI_TPH_CAP_VECTOR | PCI_TPH_CAP_LOCATION_HERE |
		       (uint32_t)(f->cap->tph - 1u) << PCI_TPH_CAP_ST_SIZE_SHIFT;
	reg32(f->regs, f->at + PCI_TPH_CAP, cap, 0);
	reg32(f->regs, f->at + PCI_TPH_CONTROL, 0, PCI_TPH_CONTROL_BITS);
	for (unsigned int i = 0; i < f->cap->tph; i++)
		reg16(f->regs, f->at + PCI_TPH_BASE_SIZE + 2 * i, 0, 0xffff);
}

static void fill_power_budget(const struct filler *f)
{
	reg8(f->regs, f->at + PCI_POWER_SELECT, 0, 0xff);
	f->regs->power_budget = f->at;
}

static void fill_vendor_ext(const struct filler *f)
{
	reg32(f->regs, f->at + PCI_VENDOR_EXT_HEADER,
	      f->cap->vendor_ext.id | (uint32_t)(f->cap->vendor_ext.revision & 0xf) << 16 |
		      f->len << PCI_VENDOR_EXT_LEN_SHIFT,
	      0);
	fill_bytes(f, 8, &f->cap->vendor_ext.body);
}

static void fill_dvsec(const struct filler *f)
{
	reg32(f->regs, f->at + PCI_VENDOR_EXT_HEADER,
	      f->cap->dvsec.vendor | (uint32_t)(f->cap->dvsec.revision & 0xf) << 16 |
		      f->len << PCI_VENDOR_EXT_LEN_SHIFT,
	      0);
	reg16(f->regs, f->at + 8, f->cap->dvsec.id, 0);
	fill_bytes(f, 10, &f->cap->dvsec.body);
}

static void fill_sriov(const struct filler *f)
{
	bool ari = false;

	for (size_t i = 0; i < f->desc->n_caps; i++)
		ari |= f->desc->caps[i].kind == VIA_CAP_ARI;
	via_sriov_fill(f->regs, f->at, &f->cap->sriov, ari);
}

static void fill_other(const struct filler *f)
{
	fill_bytes(f, f->cap->kind == VIA_CAP_OTHER ? 2 : PCI_EXT_HEADER_SIZE, &f->cap->other.body);
}

/* How long; 0: what it says cannot be. */
static unsigned int vendor_size(const struct filler *f)
{
	unsigned int len = PCI_VENDOR_LEN + 1 + f->cap->vendor.len;

	return len > 0xff ? 0 : len;
}

static unsigned int vpd_size(const struct filler *f)
{
	return f->cap->vpd.len > PCI_VPD_ADDRESS_BITS + 1 ? 0 : PCI_VPD_SIZE;
}

static unsigned int acs_size(const struct filler *f)
{
	unsigned int bits = f->cap->acs.egress_bits;
	bool egress = f->cap->acs.capability & PCI_ACS_CAP_EGRESS;

	if (bits > 256 || egress != (bits != 0))
		return 0;
	return PCI_ACS_SIZE + (bits + 31) / 32 * 4;
}

static unsigned int pasid_size(const struct filler *f)
{
	return f->cap->pasid.width >= 1 && f->cap->pasid.width <= 20 ? PCI_PASID_SIZE : 0;
}

static unsigned int rebar_size(const struct filler *f)
{
	unsigned int len = PCI_REBAR_BASE_SIZE;

	for (unsigned int i = 0; i < VIA_PCI_BARS; i++) {
		uint64_t size = f->desc->bars[i].size;
		uint32_t sizes = f->cap->rebar[i];

		/* A size from 1 MiB on, the one that it has among them. */
		if (sizes &&
		    (size < 1 << 20 || !(sizes >> (__builtin_ctzll(size) - 20) & 1) || sizes >> 28))
			return 0;
		len += sizes ? PCI_REBAR_PER_BAR : 0;
	}
	return len == PCI_REBAR_BASE_SIZE ? 0 : len;
}

static unsigned int tph_size(const struct filler *f)
{
	return f->cap->tph > 64 ? 0 : PCI_TPH_BASE_SIZE + (2u * f->cap->tph + 3) / 4 * 4;
}

static unsigned int vendor_ext_size(const struct filler *f)
{
	unsigned int len = 8u + f->cap->vendor_ext.body.len;

	return len > 0xfff ? 0 : len;
}

static unsigned int dvsec_size(const struct filler *f)
{
	unsigned int len = 10u + f->cap->dvsec.body.len;

	return len > 0xfff ? 0 : len;
}

static unsigned int sriov_size(const struct filler *f)
{
	return via_sriov_size(&f->cap->sriov);
}

static unsigned int other_size(const struct filler *f)
{
	unsigned int header = f->cap->kind == VIA_CAP_OTHER ? 2 : PCI_EXT_HEADER_SIZE;
	unsigned int most = f->cap->kind == VIA_CAP_OTHER ? 0xff : 0xffff;

	/* What does not fit into its field would become a pointer. */
	if (!f->cap->other.id || f->cap->other.id > most || f->cap->other.version > 15)
		return 0;
	return header + f->cap->other.body.len;
}

static const struct kind {
	const char *name;
	const char *rule; /* why its size may come out as 0 */
	uint16_t id;	  /* 0: says itself */
	uint8_t version;  /* of an extended one; 0: not extended */
	unsigned int size;
	unsigned int (*sized)(const struct filler *f);
	void (*fill)(const struct filler *f);
} kinds[] = {
	[VIA_CAP_AF] = {"AF", NULL, PCI_CAP_ID_AF, 0, PCI_AF_SIZE, NULL, fill_af},
	[VIA_CAP_VPD] = {"VPD", "it has at most 32768 bytes", PCI_CAP_ID_VPD, 0, 0, vpd_size, NULL},
	[VIA_CAP_VENDOR] = {"vendor-specific", "its body has at most 252 bytes", PCI_CAP_ID_VENDOR,
			    0, 0, vendor_size, fill_vendor},
	[VIA_CAP_AER] = {"AER", NULL, PCI_EXT_CAP_ID_AER, 2, PCI_AER_SIZE, NULL, fill_aer},
	[VIA_CAP_DSN] = {"DSN", NULL, PCI_EXT_CAP_ID_DSN, 1, PCI_DSN_SIZE, NULL, fill_dsn},
	[VIA_CAP_ACS] = {"ACS", "egress control needs a vector of 1 to 256 bits, and only it",
			 PCI_EXT_CAP_ID_ACS, 1, 0, acs_size, fill_acs},
	[VIA_CAP_ARI] = {"ARI", NULL, PCI_EXT_CAP_ID_ARI, 1, PCI_ARI_SIZE, NULL, fill_ari},
	[VIA_CAP_ATS] = {"ATS", NULL, PCI_EXT_CAP_ID_ATS, 1, PCI_ATS_SIZE, NULL, fill_ats},
	[VIA_CAP_PRI] = {"PRI", NULL, PCI_EXT_CAP_ID_PRI, 1, PCI_PRI_SIZE, NULL, fill_pri},
	[VIA_CAP_PASID] = {"PASID", "a PASID has 1 to 20 bits", PCI_EXT_CAP_ID_PASID, 1, 0,
			   pasid_size, fill_pasid},
	[VIA_CAP_REBAR] = {"Resizable BAR",
			   "some BAR has sizes from 1 MiB to 128 TiB, its own among them",
			   PCI_EXT_CAP_ID_REBAR, 1, 0, rebar_size, fill_rebar},
	[VIA_CAP_LTR] = {"LTR", NULL, PCI_EXT_CAP_ID_LTR, 1, PCI_LTR_SIZE, NULL, fill_ltr},
	[VIA_CAP_TPH] = {"TPH", "a table has at most 64 entries", PCI_EXT_CAP_ID_TPH, 1, 0,
			 tph_size, fill_tph},
	[VIA_CAP_POWER_BUDGET] = {"power budgeting", NULL, PCI_EXT_CAP_ID_POWER_BUDGET, 1,
				  PCI_POWER_SIZE, NULL, fill_power_budget},
	[VIA_CAP_VENDOR_EXT] = {"VSEC", "with its headers it has at most 4095 bytes",
				PCI_EXT_CAP_ID_VENDOR, 1, 0, vendor_ext_size, fill_vendor_ext},
	[VIA_CAP_DVSEC] = {"DVSEC", "with its headers it has at most 4095 bytes",
			   PCI_EXT_CAP_ID_DVSEC, 1, 0, dvsec_size, fill_dvsec},
	[VIA_CAP_OTHER] = {"other", "its id is 1 to 255", 0, 0, 0, other_size, fill_other},
	[VIA_CAP_OTHER_EXT] = {"other extended", "its id is 1 to 65535, its version at most 15", 0,
			       1, 0, other_size, fill_other},
	[VIA_CAP_SRIOV] = {"SR-IOV",
			   "virtual functions from 1, in reach of 16 bits of routing id, memory BARs "
			   "of a power of two from 4096 bytes, page sizes from 0x553",
			   PCI_EXT_CAP_ID_SRIOV, 1, 0, sriov_size, fill_sriov},
};

/* --- Places ---------------------------------------------------------------- */

/* One of the two lists. */
struct list {
	unsigned int first, end; /* of the part of config space */
	unsigned int link;	 /* of the last capability so far, 0: none */
};

struct layout {
	struct via_regfile *regs;
	struct via_error *err;
	struct list conventional, extended;
	uint8_t used[VIA_CONFIG_DWORDS];
};

static bool is_free(const struct layout *l, unsigned int at, unsigned int len)
{
	for (unsigned int i = at / 4; i < (at + len + 3) / 4; i++)
		if (l->used[i])
			return false;
	return true;
}

/* offset, or the first free place if it is 0. The place, or -EINVAL with text. */
static int find_place(struct layout *l, const struct list *list, const char *name,
		      unsigned int offset, unsigned int len)
{
	unsigned int at = offset ? offset : list->first;

	if (!list->end)
		return via_error_set(l->err, -EINVAL,
				     "%s: only PCI Express functions have extended capabilities",
				     name);
	if (offset % 4 || (offset && offset < list->first))
		return via_error_set(l->err, -EINVAL,
				     "%s at %#x: a multiple of 4 from %#x on is needed", name,
				     offset, list->first);
	while (at < list->end && len <= list->end - at && !is_free(l, at, len)) {
		if (offset)
			return via_error_set(l->err, -EINVAL,
					     "%s at %#x: its %u bytes overlap another capability",
					     name, at, len);
		at += CAP_ALIGN;
	}
	if (at < list->end && len <= list->end - at)
		return (int)at;
	if (offset)
		return via_error_set(l->err, -EINVAL,
				     "%s at %#x: its %u bytes do not fit below %#x", name, at, len,
				     list->end);
	return via_error_set(l->err, -EINVAL, "%s: no room for its %u bytes below %#x", name, len,
			     list->end);
}

/* find_place(), and nothing else goes there. */
static int take_place(struct layout *l, const struct list *list, const char *name,
		      unsigned int offset, unsigned int len)
{
	int at = find_place(l, list, name, offset, len);

	if (at < 0)
		return at;
	memset(l->used + at / 4, 1, ((unsigned int)at + len + 3) / 4 - (unsigned int)at / 4);
	l->regs->shown[at / 4] = (uint16_t)len;
	return at;
}

static void link_in(struct layout *l, uint8_t id, unsigned int at)
{
	unsigned int *last = &l->conventional.link;
	uint8_t *initial = l->regs->initial;

	initial[*last ? *last + PCI_CAP_NEXT : PCI_CAPABILITY_LIST] = (uint8_t)at;
	initial[at + PCI_CAP_ID] = id;
	*last = at;
}

static void link_in_extended(struct layout *l, uint16_t id, uint8_t version, unsigned int at)
{
	uint8_t *first = l->regs->initial + PCI_EXT_START, *before = first;
	uint32_t header = id | (uint32_t)version << PCI_EXT_VERSION_SHIFT;
	unsigned int *last = &l->extended.link;

	if (at == PCI_EXT_START) {
		/* The head of the list, whatever is in it already. */
		via_put_le32(first, via_get_le32(first) | header);
		*last = *last ? *last : at;
		return;
	}
	/* Until something is there, an empty header stands at the start. */
	if (*last)
		before = l->regs->initial + *last;
	via_put_le32(before, via_get_le32(before) | (uint32_t)at << PCI_EXT_NEXT_SHIFT);
	via_put_le32(l->regs->initial + at, header);
	*last = at;
}

/* A capability that struct via_config_desc names, in a place of ours. */
static int place(struct layout *l, const char *name, uint8_t id, unsigned int len)
{
	int at = take_place(l, &l->conventional, name, 0, len);

	if (at >= 0)
		link_in(l, id, (unsigned int)at);
	return at;
}

static int add_named(struct layout *l, const struct via_config_desc *desc)
{
	struct via_regfile *regs = l->regs;
	const struct via_pci_msi *msi = &desc->msi;
	int at = 0;

	if (desc->power_management) {
		at = place(l, "PM", PCI_CAP_ID_PM, PCI_PM_SIZE);
		if (at < 0)
			return at;
		fill_pm(regs, (unsigned int)at);
	}
	if (msi->vectors) {
		at = place(l, "MSI", PCI_CAP_ID_MSI, PCI_MSI_SIZE(msi->addr64, msi->maskable));
		if (at < 0)
			return at;
		fill_msi(regs, (unsigned int)at, msi);
	}
	if (desc->express.present) {
		at = place(l, "PCI Express", PCI_CAP_ID_EXP, PCI_EXP_SIZE);
		if (at < 0)
			return at;
		fill_express(regs, (unsigned int)at, &desc->express);
	}
	if (desc->msix.vectors) {
		at = place(l, "MSI-X", PCI_CAP_ID_MSIX, PCI_MSIX_SIZE);
		if (at < 0)
			return at;
		fill_msix(regs, (unsigned int)at, &desc->msix);
	}
	return at;
}

static int copy_contents(struct via_regfile *regs, const struct via_pci_cap *cap)
{
	if (cap->kind == VIA_CAP_VPD && !regs->vpd && cap->vpd.len) {
		regs->vpd = malloc(cap->vpd.len);
		if (!regs->vpd)
			return -ENOMEM;
		memcpy(regs->vpd, cap->vpd.data, cap->vpd.len);
		regs->vpd_len = cap->vpd.len;
		regs->vpd_writable = cap->vpd.writable;
	}
	if (cap->kind == VIA_CAP_POWER_BUDGET && !regs->power_data && cap->power_budget.n) {
		regs->power_data = calloc(cap->power_budget.n, sizeof(uint32_t));
		if (!regs->power_data)
			return -ENOMEM;
		memcpy(regs->power_data, cap->power_budget.data,
		       cap->power_budget.n * sizeof(uint32_t));
		regs->n_power_data = cap->power_budget.n;
	}
	return 0;
}

/* How many bytes the capability has, with a place for them; -EINVAL with text. */
static int place_cap(struct layout *l, const struct via_config_desc *desc,
		     const struct via_pci_cap *cap, struct filler *f)
{
	const struct kind *kind;
	int at;

	*f = (struct filler){.regs = l->regs, .desc = desc, .cap = cap};
	if (cap->kind < VIA_CAP_AF || cap->kind > VIA_CAP_SRIOV)
		return via_error_set(l->err, -EINVAL, "capability %zu at %#x: unknown kind %d",
				     (size_t)(cap - desc->caps), cap->offset, (int)cap->kind);
	kind = &kinds[cap->kind];
	f->len = kind->sized ? kind->sized(f) : kind->size;
	if (!f->len)
		return via_error_set(l->err, -EINVAL, "%s at %#x: %s", kind->name, cap->offset,
				     kind->rule);
	at = take_place(l, kind->version ? &l->extended : &l->conventional, kind->name, cap->offset,
			f->len);
	f->at = at < 0 ? 0 : (unsigned int)at;
	return at < 0 ? at : 0;
}

/* An id that config space knows has a length of its own, which the body must make up. */
static int check_other(struct layout *l, const struct filler *f)
{
	bool extended = f->cap->kind == VIA_CAP_OTHER_EXT;
	uint16_t id = f->cap->other.id;
	const struct via_cap_kind *known =
		extended ? via_ext_cap_kind(id) : via_cap_kind((uint8_t)id);
	unsigned int needed = known ? known->min_len : 0;

	if (known && known->len && f->len >= needed)
		needed = known->len(l->regs->initial, f->at);
	if (f->len >= needed)
		return 0;
	return via_error_set(l->err, -EINVAL, "%s at %#x: id %#x needs %u bytes, and it has %u",
			     kinds[f->cap->kind].name, f->at, id, needed, f->len);
}

static int add_cap(struct layout *l, const struct filler *f)
{
	const struct via_pci_cap *cap = f->cap;
	const struct kind *kind = &kinds[cap->kind];
	unsigned int id = kind->id ? kind->id : cap->other.id;
	bool versioned = cap->kind == VIA_CAP_OTHER_EXT && cap->other.version;

	if (kind->version)
		link_in_extended(l, (uint16_t)id, versioned ? cap->other.version : kind->version,
				 f->at);
	else
		link_in(l, (uint8_t)id, f->at);
	if (kind->fill)
		kind->fill(f);
	if (cap->kind == VIA_CAP_OTHER || cap->kind == VIA_CAP_OTHER_EXT)
		return check_other(l, f);
	return copy_contents(l->regs, cap);
}

/* Who must be in one place goes there first; the lists have the order of the description. */
static int add_capabilities(struct layout *l, const struct via_config_desc *desc)
{
	struct filler *fillers = calloc(desc->n_caps + 1, sizeof(*fillers));
	int r = fillers ? 0 : -ENOMEM;

	for (size_t i = 0; !r && i < desc->n_caps; i++)
		if (desc->caps[i].offset)
			r = place_cap(l, desc, &desc->caps[i], &fillers[i]);
	if (!r && add_named(l, desc) < 0)
		r = -EINVAL;
	for (size_t i = 0; !r && i < desc->n_caps; i++) {
		if (!desc->caps[i].offset)
			r = place_cap(l, desc, &desc->caps[i], &fillers[i]);
		if (!r)
			r = add_cap(l, &fillers[i]);
	}
	free(fillers);
	return r;
}

int via_regfile_layout(struct via_regfile *regs, const struct via_config_desc *desc,
		       struct via_error *err)
{
	struct layout l = {
		.regs = regs,
		.err = err,
		.conventional = {.first = PCI_HEADER_SIZE, .end = VIA_CONFIG_SIZE_PCI},
		.extended = {.first = PCI_EXT_START,
			     .end = desc->express.present ? VIA_CONFIG_SIZE_EXPRESS : 0},
	};
	int r;

	add_header(regs, desc);
	r = add_capabilities(&l, desc);
	if (l.conventional.link)
		reg16(regs, PCI_STATUS, PCI_STATUS_CAP_LIST, 0);
	return r;
}
