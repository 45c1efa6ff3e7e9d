/* SPDX-License-Identifier: MIT */
/*
 * Config space for another host: what programs have made of it, as bytes. What is
 * loaded may be anything.
 */
#include "pci/config-private.h"
#include "pci/regs.h"

#include <errno.h>

/* 8 bytes of power state, the virtual store, the device's as of D3hot, the device's now. */
#define STATE_HEAD 8u

size_t via_config_state_size(const struct via_config *config)
{
	if (!config->regs)
		return 0;
	return STATE_HEAD + 2 * (size_t)config->dev.size + via_regfile_state_size(config->regs);
}

uint64_t via_config_layout_hash(const struct via_config *config)
{
	const struct via_config_masks *m = &config->masks;
	uint64_t hash = via_regfile_layout_hash(config->regs);

	for (unsigned int i = 0; i < config->dev.size; i++) {
		hash = (hash ^ m->owner[i].tag) * 0x100000001b3u;
		hash = (hash ^ m->owner[i].start) * 0x100000001b3u;
		/* Whose MSI-X Control is differs from transport to transport. */
		if (!m->msix || i - m->msix - PCI_MSIX_CONTROL >= 2)
			hash = (hash ^ (m->virt[i] & m->write[i])) * 0x100000001b3u;
	}
	return hash;
}

void via_config_save(struct via_config *config, uint8_t *state)
{
	unsigned int size = config->dev.size;

	pthread_mutex_lock(&config->lock);
	via_put_le64(state, config->power);
	memcpy(state + STATE_HEAD, config->virt, size);
	memcpy(state + STATE_HEAD + size, config->saved, size);
	via_regfile_save(config->regs, state + STATE_HEAD + 2 * size);
	pthread_mutex_unlock(&config->lock);
}

/* What a bit does when a program sets it, it does not do when it is loaded. */
static void drop_requests(struct via_config *config)
{
	const struct via_config_masks *m = &config->masks;

	if (m->express)
		config->virt[m->express + PCI_EXP_DEVCTL + 1] &=
			(uint8_t) ~(PCI_EXP_DEVCTL_FLR >> 8);
	if (m->af)
		config->virt[m->af + PCI_AF_CONTROL] &= (uint8_t)~PCI_AF_CONTROL_FLR;
}

static void load_virtual(struct via_config *config, const uint8_t *virt)
{
	const struct via_config_masks *m = &config->masks;

	for (unsigned int i = 0; i < config->dev.size; i++) {
		uint8_t bits = m->virt[i] & m->write[i];

		config->virt[i] = (uint8_t)((config->virt[i] & ~bits) | (virt[i] & bits));
	}
	drop_requests(config);
	for (unsigned int i = 0; i < VIA_PCI_BARS; i++) {
		uint8_t *bar = config->virt + PCI_BAR(i);

		via_put_le32(bar, via_config_bar_image(config, i, via_get_le32(bar)));
	}
	via_config_mask_rom_bar(config);
}

/* Into the state that the power management registers are in now. -EINVAL: there is none such. */
static int load_power(struct via_config *config)
{
	unsigned int state = PCI_D0, pm = config->masks.pm;
	int r = 0;

	if (pm) {
		uint32_t pmc = via_config_dev_get(config, pm + PCI_PM_PMC, 2);

		state = via_config_dev_get(config, pm + PCI_PM_CSR, 2) & PCI_PM_CSR_STATE;
		if ((state == PCI_D1 && !(pmc & PCI_PM_PMC_D1)) ||
		    (state == PCI_D2 && !(pmc & PCI_PM_PMC_D2))) {
			state = PCI_D0;
			r = -EINVAL;
		}
	}
	via_config_write_power(config, state);
	return r;
}

/* What the interrupt engine is told by writes to its capabilities. */
static void load_messages(struct via_config *config)
{
	const struct via_config_masks *m = &config->masks;
	unsigned int mask = m->msi ? via_config_msi_mask_offset(config, m->msi) : 0;

	if (m->msi)
		via_config_after_write(config, &m->owner[m->msi], m->msi + PCI_MSI_CONTROL, 2, 0,
				       0);
	if (mask)
		via_config_after_write(config, &m->owner[m->msi], m->msi + mask, 4, 0, 0);
	if (m->msix)
		via_config_after_write(config, &m->owner[m->msix], m->msix + PCI_MSIX_CONTROL, 2, 0,
				       0);
}

int via_config_load(struct via_config *config, const uint8_t *state)
{
	unsigned int size = config->dev.size;
	int r;

	pthread_mutex_lock(&config->lock);
	via_config_tell_memory(config, false);
	via_config_write_power(config, PCI_D0);
	load_virtual(config, state + STATE_HEAD);
	memcpy(config->saved, state + STATE_HEAD + size, size);
	via_regfile_load(config->regs, state + STATE_HEAD + 2 * size);
	r = load_power(config);
	if (via_get_le64(state) != config->power)
		r = -EINVAL;
	via_config_set_command(config, via_config_current_command(config));
	load_messages(config);
	via_config_tell_memory(config, via_config_memory_accessible(config));
	via_config_publish_all(config);
	pthread_mutex_unlock(&config->lock);
	return r;
}
