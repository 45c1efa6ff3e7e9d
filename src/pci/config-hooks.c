/* SPDX-License-Identifier: MIT */
/* What a write to config space means beyond its bits, register block by register block. */
#include "pci/config-private.h"
#include "pci/regs.h"

/* 2.3; the high half of a 64-bit BAR is the slot after its low half. */
uint32_t via_config_bar_image(const struct via_config *config, unsigned int slot, uint32_t value)
{
	const struct via_config_bar *bar = &config->bars[slot];
	uint64_t mask = ~(bar->size - 1);

	if (!bar->size) {
		const struct via_config_bar *low = slot ? &config->bars[slot - 1] : NULL;

		if (!low || !low->size || !(low->flags & VIA_BAR_MEM64))
			return 0;
		return value & (uint32_t)(~(low->size - 1) >> 32);
	}
	value &= (uint32_t)mask;
	if (bar->flags & VIA_BAR_IO)
		return value | PCI_BAR_IO;
	return value | (bar->flags & VIA_BAR_MEM64 ? PCI_BAR_MEM_64 : 0) |
	       (bar->flags & VIA_BAR_PREFETCH ? PCI_BAR_PREFETCH : 0);
}

void via_config_mask_rom_bar(struct via_config *config)
{
	uint8_t *bar = config->virt + PCI_ROM_BAR;
	uint32_t bits = config->rom_size ? ~(config->rom_size - 1) | PCI_ROM_BAR_ENABLE : 0;

	via_put_le32(bar, via_get_le32(bar) & bits);
}

static void header_written(struct via_config *config, unsigned int pos, unsigned int width)
{
	unsigned int end = pos + width;

	if (pos < PCI_STATUS && end > PCI_COMMAND) {
		via_config_set_command(config, via_config_current_command(config));
		via_config_tell_memory(config, via_config_memory_accessible(config));
	}
	for (unsigned int i = 0; i < VIA_PCI_BARS; i++) {
		uint8_t *bar = config->virt + PCI_BAR(i);

		if (pos < PCI_BAR(i + 1) && end > PCI_BAR(i))
			via_put_le32(bar, via_config_bar_image(config, i, via_get_le32(bar)));
	}
	if (pos < PCI_ROM_BAR + 4 && end > PCI_ROM_BAR)
		via_config_mask_rom_bar(config);
}

/* 3.5: Enable only while armed, Multiple Message Enable within what was armed. */
static void msi_control_written(struct via_config *config, unsigned int cap)
{
	uint8_t *control = config->virt + cap + PCI_MSI_CONTROL;
	unsigned int mme = (*control & PCI_MSI_CONTROL_MME) >> PCI_MSI_CONTROL_MME_SHIFT;
	unsigned int qmax = via_irqs_msi_qmax(config->irqs);

	if (!via_irqs_has_sink(config->irqs) && !via_irqs_armed(config->irqs, VIA_IRQ_MSI))
		*control &= (uint8_t)~PCI_MSI_CONTROL_ENABLE;
	if (mme > qmax) {
		mme = qmax;
		*control &= (uint8_t)~PCI_MSI_CONTROL_MME;
		*control |= (uint8_t)(mme << PCI_MSI_CONTROL_MME_SHIFT);
	}
	via_irqs_msi_control(config->irqs, *control & PCI_MSI_CONTROL_ENABLE, mme);
}

unsigned int via_config_msi_mask_offset(const struct via_config *config, unsigned int cap)
{
	unsigned int control = via_get_le16(config->virt + cap + PCI_MSI_CONTROL);

	if (!(control & PCI_MSI_CONTROL_MASKABLE))
		return 0;
	return control & PCI_MSI_CONTROL_64BIT ? PCI_MSI_MASK_64 : PCI_MSI_MASK_32;
}

static void msi_message_written(struct via_config *config, unsigned int cap)
{
	const uint8_t *msi = config->virt + cap;
	bool wide = via_get_le16(msi + PCI_MSI_CONTROL) & PCI_MSI_CONTROL_64BIT;
	uint64_t address = via_get_le32(msi + PCI_MSI_ADDRESS);

	if (wide)
		address |= (uint64_t)via_get_le32(msi + PCI_MSI_ADDRESS_HIGH) << 32;
	via_irqs_msi_message(config->irqs, address,
			     via_get_le16(msi + (wide ? PCI_MSI_DATA_64 : PCI_MSI_DATA_32)));
}

static void msi_written(struct via_config *config, unsigned int cap, unsigned int offset,
			unsigned int width)
{
	unsigned int mask = via_config_msi_mask_offset(config, cap);

	/* Before anything is sent by it. */
	msi_message_written(config, cap);
	/* Not when only the dropped id and next were written (Q18). */
	if (offset < PCI_MSI_CONTROL + 2 && offset + width > PCI_MSI_CONTROL)
		msi_control_written(config, cap);
	if (mask && offset >= mask && offset < mask + 4)
		via_irqs_set_msi_mask(config->irqs, via_get_le32(config->virt + cap + mask));
}

static void msix_written(struct via_config *config, unsigned int cap)
{
	unsigned int control = via_get_le16(config->virt + cap + PCI_MSIX_CONTROL);

	if (config->flags & VIA_CONFIG_MSIX_EMULATED)
		via_irqs_msix_control(config->irqs, control & PCI_MSIX_CONTROL_ENABLE,
				      control & PCI_MSIX_CONTROL_FUNCTION_MASK);
}

/*
 * 3.6: payload size stays virtual; the read request size reaches the device,
 * never below its payload size, unless the field means more than 4096 bytes.
 */
static void update_read_request(struct via_config *config, unsigned int cap, unsigned int field)
{
	unsigned int dev = via_config_dev_get(config, cap + PCI_EXP_DEVCTL, 2);
	unsigned int payload = (dev & PCI_EXP_DEVCTL_MPS) >> PCI_EXP_DEVCTL_MPS_SHIFT;

	if (field < payload)
		field = payload;
	if (field > 5)
		return;
	(void)via_config_dev_update(config, cap + PCI_EXP_DEVCTL, 2, PCI_EXP_DEVCTL_MRRS,
				    field << PCI_EXP_DEVCTL_MRRS_SHIFT);
}

static void express_written(struct via_config *config, unsigned int cap, unsigned int old_control)
{
	uint8_t *p = config->virt + cap + PCI_EXP_DEVCTL;
	unsigned int control = via_get_le16(p);

	if ((control ^ old_control) & PCI_EXP_DEVCTL_MRRS)
		update_read_request(config, cap,
				    (control & PCI_EXP_DEVCTL_MRRS) >> PCI_EXP_DEVCTL_MRRS_SHIFT);
	if (!(control & PCI_EXP_DEVCTL_FLR))
		return;
	via_put_le16(p, (uint16_t)(control & ~PCI_EXP_DEVCTL_FLR));
	if (via_config_dev_get(config, cap + PCI_EXP_DEVCAP, 4) & PCI_EXP_DEVCAP_FLR)
		via_config_reset_function(config, VIA_RESET_FLR);
}

/* 3.8 */
static void af_written(struct via_config *config, unsigned int cap)
{
	const uint32_t able = PCI_AF_CAP_TRANSACTIONS | PCI_AF_CAP_FLR;
	uint8_t *control = config->virt + cap + PCI_AF_CONTROL;

	if (!(*control & PCI_AF_CONTROL_FLR))
		return;
	*control &= (uint8_t)~PCI_AF_CONTROL_FLR;
	if ((via_config_dev_get(config, cap + PCI_AF_CAP, 1) & able) == able)
		via_config_reset_function(config, VIA_RESET_FLR);
}

/* 3.4: the flag flips when the transfer is done, and stays when the device does not answer. */
static void vpd_written(struct via_config *config, unsigned int cap, unsigned int offset,
			unsigned int width)
{
	uint8_t *p = config->virt + cap + PCI_VPD_ADDRESS;
	unsigned int value = via_get_le16(p);
	const struct via_config_dev *dev = &config->dev;

	/* The upper byte of the address, with the flag, starts it. */
	if (offset > PCI_VPD_ADDRESS + 1 || offset + width <= PCI_VPD_ADDRESS + 1)
		return;
	if (dev->ops->vpd &&
	    !dev->ops->vpd(dev->cookie, value & PCI_VPD_FLAG, value & PCI_VPD_ADDRESS_BITS,
			   config->virt + cap + PCI_VPD_DATA))
		via_put_le16(p, (uint16_t)(value ^ PCI_VPD_FLAG));
}

/* --- A device that was reset behind our back (R22) ------------------------- */

static unsigned int bar_register(unsigned int i)
{
	return i < VIA_PCI_BARS ? PCI_BAR(i) : PCI_ROM_BAR;
}

void via_config_save_bars(struct via_config *config)
{
	for (unsigned int i = 0; i <= VIA_PCI_BARS; i++)
		config->saved_bars[i] = via_config_dev_get(config, bar_register(i), 4);
}

/* The program writes COMMAND: does the device still have what it had? */
static bool was_reset(struct via_config *config, uint16_t wanted)
{
	uint16_t was = (uint16_t)atomic_load(&config->command);
	uint16_t dev = (uint16_t)via_config_dev_get(config, PCI_COMMAND, 2);
	uint16_t lost = wanted & was & (uint16_t)~dev & (PCI_COMMAND_MEMORY | PCI_COMMAND_IO);

	for (unsigned int i = 0; !lost && i <= VIA_PCI_BARS; i++)
		lost = config->saved_bars[i] &&
		       via_config_dev_get(config, bar_register(i), 4) != config->saved_bars[i];
	return lost;
}

static void restore_bars(struct via_config *config)
{
	for (unsigned int i = 0; i <= VIA_PCI_BARS; i++)
		(void)config->dev.ops->write(config->dev.cookie, bar_register(i), 4,
					     config->saved_bars[i]);
}

/* --- Around each write ------------------------------------------------------ */

void via_config_before_write(struct via_config *config, const struct via_config_owner *owner,
			     unsigned int pos, uint32_t value)
{
	if (owner->tag != VIA_OWNER_HEADER || pos != PCI_COMMAND)
		return;
	/* Mappings go before the bit does. */
	if (!(value & PCI_COMMAND_MEMORY) && !(config->flags & VIA_CONFIG_VF))
		via_config_tell_memory(config, false);
	if ((config->flags & (VIA_CONFIG_RESTORE_BARS | VIA_CONFIG_VF)) ==
		    VIA_CONFIG_RESTORE_BARS &&
	    was_reset(config, (uint16_t)value))
		restore_bars(config);
}

void via_config_after_write(struct via_config *config, const struct via_config_owner *owner,
			    unsigned int pos, unsigned int width, uint32_t value,
			    unsigned int old_express_control)
{
	unsigned int cap = owner->start;

	/* Hooks know one instance of each capability; a second one is plain registers. */
	if (owner->tag == VIA_OWNER_HEADER)
		header_written(config, pos, width);
	else if (cap == config->masks.pm && pos == cap + PCI_PM_CSR)
		via_config_request_power(config, value & PCI_PM_CSR_STATE);
	else if (cap == config->masks.msi)
		msi_written(config, cap, pos - cap, width);
	else if (cap == config->masks.msix)
		msix_written(config, cap);
	else if (cap == config->masks.express)
		express_written(config, cap, old_express_control);
	else if (cap == config->masks.af)
		af_written(config, cap);
	else if (cap == config->masks.vpd)
		vpd_written(config, cap, pos - cap, width);
}
