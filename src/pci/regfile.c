/* SPDX-License-Identifier: MIT */
#include "pci/dev.h"
#include "pci/regs.h"

#include <errno.h>
#include <stdlib.h>

/* Capabilities start on 16 bytes: room for each kind, and addresses that are easy to read. */
#define CAP_ALIGN 16u

struct via_regfile {
	/* Constant after via_regfile_new(). */
	struct via_irqs *irqs;
	unsigned int size;
	unsigned int msix; /* capability, 0: none */
	uint8_t initial[VIA_CONFIG_SIZE_EXPRESS];
	uint8_t writable[VIA_CONFIG_SIZE_EXPRESS];
	uint8_t w1c[VIA_CONFIG_SIZE_EXPRESS];
	uint8_t sticky[VIA_CONFIG_SIZE_EXPRESS];
	/* Under the config lock. */
	uint8_t value[VIA_CONFIG_SIZE_EXPRESS];
};

/* --- Building ------------------------------------------------------------- */

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

static void add_header(struct via_regfile *regs, const struct via_config_desc *desc)
{
	const struct via_pci_ident *ident = &desc->ident;

	reg16(regs, PCI_VENDOR_ID, ident->vendor, 0);
	reg16(regs, PCI_DEVICE_ID, ident->device, 0);
	/* What PC firmware leaves behind, whatever BARs there are: pci-config.md 2.4. */
	reg16(regs, PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_SERR,
	      PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_SERR);
	via_put_le16(regs->w1c + PCI_STATUS, PCI_STATUS_RW1C);
	reg8(regs, PCI_REVISION_ID, ident->revision, 0);
	reg8(regs, PCI_CLASS_PROG, (uint8_t)ident->class_code, 0);
	reg16(regs, PCI_CLASS_DEVICE, (uint16_t)(ident->class_code >> 8), 0);
	reg8(regs, PCI_CACHE_LINE_SIZE, 0, 0xff);
	/* PCI Express 7.5.1.1.7 wires the latency timer to 0. */
	reg8(regs, PCI_LATENCY_TIMER, 0, desc->express.present ? 0 : 0xff);
	for (unsigned int i = 0; i < VIA_PCI_BARS; i++) {
		const struct via_config_bar *bar = &desc->bars[i];
		uint32_t type = 0;

		if (!bar->size)
			continue;
		if (bar->flags & VIA_BAR_IO)
			type |= PCI_BAR_IO;
		if (bar->flags & VIA_BAR_MEM64)
			type |= PCI_BAR_MEM_64;
		if (bar->flags & VIA_BAR_PREFETCH)
			type |= PCI_BAR_PREFETCH;
		reg32(regs, PCI_BAR(i), type, 0);
	}
	reg16(regs, PCI_SUBSYSTEM_VENDOR_ID, ident->subsystem_vendor, 0);
	reg16(regs, PCI_SUBSYSTEM_ID, ident->subsystem_device, 0);
	reg8(regs, PCI_INTERRUPT_PIN, ident->interrupt_pin, 0);
}

static void add_pm(struct via_regfile *regs, unsigned int cap)
{
	reg16(regs, cap + PCI_PM_PMC, PCI_PM_PMC_VERSION_3, 0);
	reg16(regs, cap + PCI_PM_CSR, PCI_PM_CSR_NO_SOFT_RESET, PCI_PM_CSR_STATE);
	via_put_le16(regs->w1c + cap + PCI_PM_CSR, PCI_PM_CSR_PME_STATUS);
	via_put_le16(regs->sticky + cap + PCI_PM_CSR, PCI_PM_CSR_PME_STATUS);
}

static void add_msi(struct via_regfile *regs, unsigned int cap, const struct via_pci_msi *msi)
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

static void add_express(struct via_regfile *regs, unsigned int cap,
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
	      (uint16_t)~(PCI_EXP_DEVCTL_FLR | PCI_EXP_DEVCTL_PHANTOM));
	via_put_le16(regs->w1c + cap + PCI_EXP_DEVSTA, PCI_EXP_DEVSTA_RW1C);
	/* An integrated endpoint has no link. */
	if (express->integrated)
		return;
	reg32(regs, cap + PCI_EXP_LNKCAP, PCI_EXP_LNKCAP_2_5GT_X1, 0);
	reg16(regs, cap + PCI_EXP_LNKSTA, PCI_EXP_LNKSTA_2_5GT_X1, 0);
	reg32(regs, cap + PCI_EXP_LNKCAP2, PCI_EXP_LNKCAP2_2_5GT, 0);
}

static void add_msix(struct via_regfile *regs, unsigned int cap, const struct via_pci_msix *msix)
{
	reg16(regs, cap + PCI_MSIX_CONTROL, (uint16_t)(msix->vectors - 1u),
	      PCI_MSIX_CONTROL_FUNCTION_MASK);
	reg32(regs, cap + PCI_MSIX_TABLE, msix->table_offset | msix->table_bar, 0);
	reg32(regs, cap + PCI_MSIX_PBA, msix->pba_offset | msix->pba_bar, 0);
	regs->msix = cap;
}

struct layout {
	unsigned int link; /* where the pointer to the next capability goes */
	unsigned int next; /* free from here */
};

static unsigned int place(struct via_regfile *regs, struct layout *layout, uint8_t id,
			  unsigned int size)
{
	unsigned int cap = layout->next;

	regs->initial[layout->link] = (uint8_t)cap;
	regs->initial[cap + PCI_CAP_ID] = id;
	layout->link = cap + PCI_CAP_NEXT;
	layout->next = (cap + size + CAP_ALIGN - 1) / CAP_ALIGN * CAP_ALIGN;
	return cap;
}

static void add_capabilities(struct via_regfile *regs, const struct via_config_desc *desc)
{
	struct layout layout = {.link = PCI_CAPABILITY_LIST, .next = PCI_HEADER_SIZE};
	const struct via_pci_msi *msi = &desc->msi;

	if (desc->power_management)
		add_pm(regs, place(regs, &layout, PCI_CAP_ID_PM, PCI_PM_SIZE));
	if (msi->vectors)
		add_msi(regs,
			place(regs, &layout, PCI_CAP_ID_MSI,
			      PCI_MSI_SIZE(msi->addr64, msi->maskable)),
			msi);
	if (desc->express.present)
		add_express(regs, place(regs, &layout, PCI_CAP_ID_EXP, PCI_EXP_SIZE),
			    &desc->express);
	if (desc->msix.vectors)
		add_msix(regs, place(regs, &layout, PCI_CAP_ID_MSIX, PCI_MSIX_SIZE), &desc->msix);
	if (layout.link != PCI_CAPABILITY_LIST)
		reg16(regs, PCI_STATUS, PCI_STATUS_CAP_LIST, 0);
}

/* --- Transactions --------------------------------------------------------- */

static uint8_t live_byte(const struct via_regfile *regs, unsigned int pos)
{
	uint8_t value = regs->value[pos];

	if (pos == PCI_STATUS && via_irqs_level(regs->irqs))
		value |= PCI_STATUS_INTERRUPT;
	if (regs->msix && pos == regs->msix + PCI_MSIX_CONTROL + 1 &&
	    via_irqs_armed(regs->irqs, VIA_IRQ_MSIX))
		value |= PCI_MSIX_CONTROL_ENABLE >> 8;
	return value;
}

static int regfile_read(void *cookie, unsigned int pos, unsigned int width, uint32_t *ret_value)
{
	const struct via_regfile *regs = cookie;
	uint32_t value = 0;

	for (unsigned int i = 0; i < width; i++)
		value |= (uint32_t)live_byte(regs, pos + i) << 8 * i;
	*ret_value = value;
	return 0;
}

static int regfile_write(void *cookie, unsigned int pos, unsigned int width, uint32_t value)
{
	struct via_regfile *regs = cookie;

	for (unsigned int i = 0; i < width; i++) {
		unsigned int p = pos + i;
		uint8_t byte = (uint8_t)(value >> 8 * i);

		regs->value[p] = (uint8_t)((regs->value[p] & ~regs->writable[p]) |
					   (byte & regs->writable[p]));
		regs->value[p] &= (uint8_t)~(byte & regs->w1c[p]);
		if (regs->msix && p == regs->msix + PCI_MSIX_CONTROL + 1)
			via_irqs_msix_function_mask(regs->irqs,
						    byte & PCI_MSIX_CONTROL_FUNCTION_MASK >> 8);
	}
	return 0;
}

static void regfile_init(void *cookie)
{
	struct via_regfile *regs = cookie;

	memcpy(regs->value, regs->initial, regs->size);
}

/*
 * The kernel saves config space before a reset and restores it afterwards, so
 * that only what it cannot write back is lost: latched status.
 */
static void regfile_reset(void *cookie)
{
	struct via_regfile *regs = cookie;

	for (unsigned int i = 0; i < regs->size; i++)
		regs->value[i] &= (uint8_t)~(regs->w1c[i] & ~regs->sticky[i]);
}

static const struct via_config_dev_ops regfile_ops = {
	.read = regfile_read,
	.write = regfile_write,
	.init = regfile_init,
	.reset = regfile_reset,
};

int via_regfile_new(const struct via_config_desc *desc, struct via_irqs *irqs,
		    struct via_regfile **ret_regs)
{
	struct via_regfile *regs = calloc(1, sizeof(*regs));

	if (!regs)
		return -ENOMEM;
	regs->irqs = irqs;
	regs->size = desc->express.present ? VIA_CONFIG_SIZE_EXPRESS : VIA_CONFIG_SIZE_PCI;
	add_header(regs, desc);
	add_capabilities(regs, desc);
	regfile_init(regs);
	*ret_regs = regs;
	return 0;
}

void via_regfile_free(struct via_regfile *regs)
{
	free(regs);
}

void via_regfile_dev(struct via_regfile *regs, struct via_config_dev *ret_dev)
{
	*ret_dev = (struct via_config_dev){
		.ops = &regfile_ops,
		.cookie = regs,
		.size = regs->size,
	};
}
