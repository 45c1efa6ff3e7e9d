/* SPDX-License-Identifier: MIT */
#include "pci/regfile.h"
#include "pci/regs.h"

#include <errno.h>
#include <stdlib.h>

/* --- Transactions --------------------------------------------------------- */

static uint8_t live_byte(const struct via_regfile *regs, unsigned int pos)
{
	uint8_t value = regs->value[pos];

	if (pos == PCI_STATUS && via_irqs_level(regs->irqs))
		value |= PCI_STATUS_INTERRUPT;
	if (regs->msix && pos == regs->msix + PCI_MSIX_CONTROL + 1 &&
	    via_irqs_armed(regs->irqs, VIA_IRQ_MSIX))
		value |= PCI_MSIX_CONTROL_ENABLE >> 8;
	/* 7.8.1.3: what the selector asks for; beyond the last entry zero. */
	if (regs->power_budget && pos - regs->power_budget - PCI_POWER_DATA < 4) {
		unsigned int n = regs->value[regs->power_budget + PCI_POWER_SELECT];
		uint32_t data = n < regs->n_power_data ? regs->power_data[n] : 0;

		value = (uint8_t)(data >> 8 * (pos - regs->power_budget - PCI_POWER_DATA));
	}
	return value;
}

static int regfile_read(void *cookie, unsigned int pos, unsigned int width, uint32_t *ret_value)
{
	const struct via_regfile *regs = cookie;
	uint32_t value = 0, theirs = 0;

	for (unsigned int i = 0; i < width; i++) {
		value |= (uint32_t)live_byte(regs, pos + i) << 8 * i;
		theirs |= regs->listens[pos + i] ? 0xffu << 8 * i : 0;
	}
	if (theirs && regs->look)
		value = (value & ~theirs) |
			(regs->look(regs->cookie, pos, width, value) & theirs);
	*ret_value = value;
	return 0;
}

static int regfile_write(void *cookie, unsigned int pos, unsigned int width, uint32_t value)
{
	struct via_regfile *regs = cookie;
	bool listens = false;

	for (unsigned int i = 0; i < width; i++) {
		unsigned int p = pos + i;
		uint8_t byte = (uint8_t)(value >> 8 * i);

		regs->value[p] = (uint8_t)((regs->value[p] & ~regs->writable[p]) |
					   (byte & regs->writable[p]));
		regs->value[p] &= (uint8_t) ~(byte & regs->w1c[p]);
		if (regs->msix && p == regs->msix + PCI_MSIX_CONTROL + 1)
			via_irqs_msix_function_mask(regs->irqs,
						    byte & PCI_MSIX_CONTROL_FUNCTION_MASK >> 8);
		listens |= regs->listens[p];
	}
	if (listens && regs->written)
		regs->written(regs->cookie, pos, width, value);
	return 0;
}

/* pci-config.md 3.4: reads past the end are zeros, writes have to fit. */
static int regfile_vpd(void *cookie, bool write, unsigned int address, uint8_t data[4])
{
	struct via_regfile *regs = cookie;
	unsigned int len = regs->vpd_len;

	if (!len)
		return -ENODEV;
	if (write) {
		if (!regs->vpd_writable || address % 4 || address + 4 > len)
			return -EINVAL;
		memcpy(regs->vpd + address, data, 4);
		return 0;
	}
	for (unsigned int i = 0; i < 4; i++)
		data[i] = address + i < len ? regs->vpd[address + i] : 0;
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
		regs->value[i] &= (uint8_t) ~(regs->w1c[i] & ~regs->sticky[i]);
}

static const struct via_config_dev_ops regfile_ops = {
	.read = regfile_read,
	.write = regfile_write,
	.init = regfile_init,
	.reset = regfile_reset,
	.vpd = regfile_vpd,
};

int via_regfile_new(const struct via_config_desc *desc, struct via_irqs *irqs,
		    struct via_error *err, struct via_regfile **ret_regs)
{
	struct via_regfile *regs = calloc(1, sizeof(*regs));
	int r;

	if (!regs)
		return -ENOMEM;
	regs->irqs = irqs;
	regs->size = desc->express.present ? VIA_CONFIG_SIZE_EXPRESS : VIA_CONFIG_SIZE_PCI;
	regs->show_all = desc->flags & VIA_CONFIG_SHOW_ALL;
	r = via_regfile_layout(regs, desc, err);
	if (r) {
		via_regfile_free(regs);
		return r;
	}
	regfile_init(regs);
	*ret_regs = regs;
	return 0;
}

void via_regfile_free(struct via_regfile *regs)
{
	if (!regs)
		return;
	free(regs->power_data);
	free(regs->vpd);
	free(regs);
}

void via_regfile_listen(struct via_regfile *regs,
			uint32_t (*look)(void *cookie, unsigned int pos, unsigned int width,
					 uint32_t value),
			void (*written)(void *cookie, unsigned int pos, unsigned int width,
					uint32_t value),
			void *cookie)
{
	regs->look = look;
	regs->written = written;
	regs->cookie = cookie;
}

void via_regfile_dev(struct via_regfile *regs, struct via_config_dev *ret_dev)
{
	*ret_dev = (struct via_config_dev){
		.ops = &regfile_ops,
		.cookie = regs,
		.size = regs->size,
		.shown = regs->show_all ? regs->shown : NULL,
	};
}

/* --- State ----------------------------------------------------------------- */

size_t via_regfile_state_size(const struct via_regfile *regs)
{
	return regs->size + (regs->vpd_writable ? regs->vpd_len : 0);
}

void via_regfile_save(const struct via_regfile *regs, uint8_t *state)
{
	memcpy(state, regs->value, regs->size);
	if (regs->vpd_writable && regs->vpd_len)
		memcpy(state + regs->size, regs->vpd, regs->vpd_len);
}

void via_regfile_load(struct via_regfile *regs, const uint8_t *state)
{
	for (unsigned int i = 0; i < regs->size; i++) {
		uint8_t bits = regs->writable[i] | regs->w1c[i];

		regs->value[i] = (uint8_t)((regs->value[i] & ~bits) | (state[i] & bits));
	}
	if (regs->vpd_writable && regs->vpd_len)
		memcpy(regs->vpd, state + regs->size, regs->vpd_len);
	if (regs->msix)
		via_irqs_msix_function_mask(regs->irqs, regs->value[regs->msix + PCI_MSIX_CONTROL + 1] &
							PCI_MSIX_CONTROL_FUNCTION_MASK >> 8);
}

/* FNV-1a. */
static uint64_t hash_bytes(uint64_t hash, const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		hash = (hash ^ bytes[i]) * 0x100000001b3u;
	return hash;
}

uint64_t via_regfile_layout_hash(const struct via_regfile *regs)
{
	uint64_t hash = hash_bytes(0xcbf29ce484222325u, regs->writable, regs->size);
	uint8_t vpd[4];

	hash = hash_bytes(hash, regs->w1c, regs->size);
	via_put_le32(vpd, regs->vpd_writable ? regs->vpd_len : 0);
	return hash_bytes(hash, vpd, sizeof(vpd));
}
