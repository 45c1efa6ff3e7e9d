/* SPDX-License-Identifier: MIT */
/* Transactions of programs on config space, and its life from open to close. */
#include "pci/config-private.h"
#include "pci/regs.h"

#include <errno.h>
#include <stdlib.h>

#define VIEW_WHOLE (1ull << 32)

/* --- Device registers ----------------------------------------------------- */

int via_config_dev_read(struct via_config *config, unsigned int pos, unsigned int width,
			uint32_t *ret_value)
{
	return config->dev.ops->read(config->dev.cookie, pos, width, ret_value);
}

uint32_t via_config_dev_get(struct via_config *config, unsigned int pos, unsigned int width)
{
	uint32_t value;

	if (via_config_dev_read(config, pos, width, &value))
		return width == 4 ? 0xffffffffu : (1u << 8 * width) - 1;
	return value;
}

int via_config_dev_update(struct via_config *config, unsigned int pos, unsigned int width,
			  uint32_t bits, uint32_t value)
{
	uint32_t w1c = via_get_le(config->masks.w1c + pos, width);
	uint32_t old;
	int r = via_config_dev_read(config, pos, width, &old);

	if (r)
		return r;
	return config->dev.ops->write(config->dev.cookie, pos, width,
				      (old & ~bits & ~w1c) | (value & bits));
}

/* --- Transactions --------------------------------------------------------- */

static int write_one(struct via_config *config, unsigned int pos, unsigned int width,
		     uint32_t value)
{
	struct via_config_owner owner = config->masks.owner[pos];
	uint32_t virt = via_get_le(config->masks.virt + pos, width);
	uint32_t write = via_get_le(config->masks.write + pos, width);
	unsigned int express = config->masks.express;
	unsigned int old_express_control =
		express ? via_get_le16(config->virt + express + PCI_EXP_DEVCTL) : 0;
	int r;

	if (config->masks.raw[pos])
		return config->dev.ops->write(config->dev.cookie, pos, width, value);
	if (owner.tag == VIA_OWNER_NONE)
		return 0;
	via_config_before_write(config, &owner, pos, value);
	if (write & virt) {
		uint32_t old = via_get_le(config->virt + pos, width);

		via_put_le(config->virt + pos, width,
			   (old & ~(write & virt)) | (value & write & virt));
	}
	if (write & ~virt) {
		r = via_config_dev_update(config, pos, width, write & ~virt, value);
		if (r) {
			via_config_tell_memory(config, via_config_memory_accessible(config));
			return r;
		}
	}
	via_config_after_write(config, &owner, pos, width, value, old_express_control);
	return 0;
}

static int read_one(struct via_config *config, unsigned int pos, unsigned int width,
		    uint32_t *ret_value)
{
	struct via_config_owner owner = config->masks.owner[pos];
	uint32_t virt = via_get_le(config->masks.virt + pos, width);
	uint32_t all = width == 4 ? 0xffffffffu : (1u << 8 * width) - 1;
	uint32_t dev = 0;

	/* Pending is the interrupt engine's, fetched when somebody looks. */
	if (config->masks.msi && owner.start == config->masks.msi) {
		unsigned int mask = via_config_msi_mask_offset(config, owner.start);

		if (mask)
			via_put_le32(config->virt + owner.start + mask + 4,
				     via_irqs_msi_pending(config->irqs));
	}
	if (virt != all) {
		int r = via_config_dev_read(config, pos, width, &dev);

		if (r)
			return r;
	}
	*ret_value = (dev & ~virt) | (via_get_le(config->virt + pos, width) & virt);
	return 0;
}

/* --- Reads without the lock ------------------------------------------------ */

/*
 * All of the dword is virtual, and nothing changes it but a write to itself:
 * neither what is fetched when somebody reads (MSI) nor what a hook fills in (VPD).
 */
static bool has_view(const struct via_config *config, unsigned int pos)
{
	const struct via_config_masks *m = &config->masks;

	for (unsigned int i = pos; i < pos + 4; i++) {
		unsigned int start = m->owner[i].start;

		if (m->virt[i] != 0xff || (start && (start == m->msi || start == m->vpd)))
			return false;
	}
	return true;
}

static void publish(struct via_config *config, unsigned int pos)
{
	uint64_t view = 0;

	pos &= ~3u;
	if (has_view(config, pos))
		view = via_get_le(config->virt + pos, 4) | VIEW_WHOLE;
	__atomic_store_n(&config->view[pos / 4], view, __ATOMIC_RELEASE);
}

void via_config_publish_all(struct via_config *config)
{
	for (unsigned int pos = 0; pos < config->dev.size; pos += 4)
		publish(config, pos);
}

/* As many of the bytes from pos to the end of its dword as there are to be had; 0: take the lock.
 */
static unsigned int read_view(struct via_config *config, unsigned int pos, uint8_t *out, size_t len)
{
	uint64_t view = __atomic_load_n(&config->view[pos / 4], __ATOMIC_ACQUIRE);
	unsigned int n = 4 - pos % 4;

	if (!(view & VIEW_WHOLE))
		return 0;
	if (n == 4 && len >= 4) {
		via_put_le32(out, (uint32_t)view);
		return 4;
	}
	n = len < n ? (unsigned int)len : n;
	via_put_le(out, n, (uint32_t)view >> 8 * (pos % 4));
	return n;
}

/* --- What programs call ---------------------------------------------------- */

/* 5.1: naturally aligned, never across a dword or the edge of a register block. */
static unsigned int transaction_width(const struct via_config *config, unsigned int pos, size_t len)
{
	const struct via_config_owner *owner = &config->masks.owner[pos];
	unsigned int room = 1;

	while (room < 4 - pos % 4 && room < len && owner[room].tag == owner->tag &&
	       owner[room].start == owner->start)
		room++;
	if (room == 4)
		return 4;
	return room >= 2 && pos % 2 == 0 ? 2 : 1;
}

static bool in_space(const struct via_config *config, uint64_t pos, size_t len)
{
	return pos < config->dev.size && len <= config->dev.size - pos;
}

ssize_t via_config_read(struct via_config *config, uint64_t pos, void *buf, size_t len)
{
	uint8_t *out = buf;
	size_t done = 0;

	if (!len)
		return 0;
	if (!in_space(config, pos, len))
		return -EFAULT;
	while (done < len) {
		unsigned int at = (unsigned int)(pos + done);
		unsigned int width = read_view(config, at, out + done, len - done);
		uint32_t value;
		int r;

		done += width;
		if (width)
			continue;
		pthread_mutex_lock(&config->lock);
		width = transaction_width(config, at, len - done);
		r = read_one(config, at, width, &value);
		pthread_mutex_unlock(&config->lock);
		if (r)
			return r;
		via_put_le(out + done, width, value);
		done += width;
	}
	return (ssize_t)len;
}

ssize_t via_config_write(struct via_config *config, uint64_t pos, const void *buf, size_t len)
{
	const uint8_t *in = buf;
	size_t done = 0;

	if (!len)
		return 0;
	if (!in_space(config, pos, len))
		return -EFAULT;
	while (done < len) {
		unsigned int at = (unsigned int)(pos + done), width;
		int r;

		pthread_mutex_lock(&config->lock);
		width = transaction_width(config, at, len - done);
		r = write_one(config, at, width, via_get_le(in + done, width));
		publish(config, at);
		pthread_mutex_unlock(&config->lock);
		if (r)
			return r;
		done += width;
	}
	return (ssize_t)len;
}

/* --- Life ----------------------------------------------------------------- */

/* R23, R6: what a virtual function has only by its physical one. */
static void build_vf(struct via_config *config)
{
	uint8_t *command = config->virt + PCI_COMMAND;

	via_put_le16(config->virt + PCI_VENDOR_ID, config->vendor);
	via_put_le16(config->virt + PCI_DEVICE_ID, config->device);
	config->virt[PCI_INTERRUPT_PIN] = 0;
	config->masks.virt[PCI_COMMAND] |= PCI_COMMAND_MEMORY;
	via_put_le16(command, via_get_le16(command) | PCI_COMMAND_MEMORY);
}

/* 3.7, the optional mode. */
static void build_msix(struct via_config *config)
{
	const uint8_t bits = (PCI_MSIX_CONTROL_ENABLE | PCI_MSIX_CONTROL_FUNCTION_MASK) >> 8;
	unsigned int pos = config->masks.msix + PCI_MSIX_CONTROL + 1;

	if (!config->masks.msix)
		return;
	config->masks.virt[pos] |= bits;
	config->masks.write[pos] |= bits;
	config->virt[pos] &= (uint8_t)~bits;
}

/* Fresh device registers, virtual store and masks. Nobody is told. */
static void build(struct via_config *config)
{
	struct via_config_policy policy = {
		.raw_gaps = config->flags & VIA_CONFIG_RAW_GAPS,
		.shown = config->dev.shown,
	};

	config->dev.ops->init(config->dev.cookie);
	for (unsigned int pos = 0; pos < config->dev.size; pos += 4)
		via_put_le(config->virt + pos, 4, via_config_dev_get(config, pos, 4));
	via_config_masks_build(&config->masks, config->virt, config->dev.size, &policy);
	/* Whatever the host left there. */
	if (via_config_dev_get(config, PCI_COMMAND, 2) & PCI_COMMAND_MASTER)
		(void)via_config_dev_update(config, PCI_COMMAND, 2, PCI_COMMAND_MASTER, 0);
	if (config->flags & VIA_CONFIG_VF)
		build_vf(config);
	if (config->flags & VIA_CONFIG_MSIX_EMULATED)
		build_msix(config);
	if (config->flags & VIA_CONFIG_RESTORE_BARS)
		via_config_save_bars(config);
	for (unsigned int i = 0; i < VIA_PCI_BARS; i++) {
		uint8_t *bar = config->virt + PCI_BAR(i);

		via_put_le32(bar, via_config_bar_image(config, i, via_get_le32(bar)));
	}
	via_config_mask_rom_bar(config);
	via_config_publish_all(config);
}

void via_config_emulate_msix(struct via_config *config, bool on)
{
	pthread_mutex_lock(&config->lock);
	config->flags &= ~(unsigned int)VIA_CONFIG_MSIX_EMULATED;
	config->flags |= on ? VIA_CONFIG_MSIX_EMULATED : 0;
	via_irqs_emulate_msix(config->irqs, on);
	build(config);
	pthread_mutex_unlock(&config->lock);
}

void via_config_open(struct via_config *config)
{
	pthread_mutex_lock(&config->lock);
	if (config->ops->reset)
		config->ops->reset(config->cookie, VIA_RESET_OPEN);
	via_irqs_reset(config->irqs);
	build(config);
	config->open = true;
	via_config_set_command(config, via_config_current_command(config));
	via_irqs_set_intx_disable(config->irqs,
				  atomic_load(&config->command) & PCI_COMMAND_INTX_DISABLE);
	via_config_tell_memory(config, via_config_memory_accessible(config));
	pthread_mutex_unlock(&config->lock);
}

void via_config_close(struct via_config *config)
{
	pthread_mutex_lock(&config->lock);
	via_config_write_power(config, PCI_D0);
	(void)via_config_dev_update(config, PCI_COMMAND, 2, PCI_COMMAND_MASTER, 0);
	via_config_set_command(config, via_config_current_command(config));
	via_config_tell_memory(config, false);
	via_irqs_release(config->irqs, false);
	if (config->ops->reset)
		config->ops->reset(config->cookie, VIA_RESET_CLOSE);
	via_irqs_reset(config->irqs);
	build(config);
	config->open = false;
	via_config_set_command(config, via_config_current_command(config));
	via_irqs_release(config->irqs, true);
	pthread_mutex_unlock(&config->lock);
}

void via_config_set_sink(struct via_config *config, const struct via_irqs_sink *sink, void *cookie)
{
	via_irqs_set_sink(config->irqs, sink, cookie);
	via_config_emulate_msix(config, sink);
}

const struct via_config_masks *via_config_masks_of(const struct via_config *config)
{
	return &config->masks;
}

void via_config_device_bytes(struct via_config *config, uint8_t *bytes)
{
	pthread_mutex_lock(&config->lock);
	for (unsigned int pos = 0; pos < config->dev.size; pos += 4)
		via_put_le(bytes + pos, 4, via_config_dev_get(config, pos, 4));
	pthread_mutex_unlock(&config->lock);
}

size_t via_config_size(const struct via_config *config)
{
	return config->dev.size;
}

bool via_config_bus_master(const struct via_config *config)
{
	return atomic_load(&config->command) & PCI_COMMAND_MASTER;
}

int via_config_new_on(const struct via_config_dev *dev, const struct via_config_desc *desc,
		      const struct via_config_ops *ops, void *cookie, struct via_irqs *irqs,
		      struct via_config **ret_config)
{
	struct via_config *config = calloc(1, sizeof(*config));

	if (!config)
		return -ENOMEM;
	config->dev = *dev;
	config->flags = desc->flags;
	config->vendor = desc->ident.vendor;
	config->device = desc->ident.device;
	memcpy(config->bars, desc->bars, sizeof(config->bars));
	config->rom_size = desc->rom_size;
	config->ops = ops;
	config->cookie = cookie;
	config->irqs = irqs;
	pthread_mutex_init(&config->lock, NULL);
	build(config);
	atomic_init(&config->command, via_config_current_command(config));
	*ret_config = config;
	return 0;
}

int via_config_new(const struct via_config_desc *desc, const struct via_config_ops *ops,
		   void *cookie, struct via_irqs *irqs, struct via_error *err,
		   struct via_config **ret_config)
{
	struct via_config_dev dev;
	struct via_regfile *regs;
	int r = via_config_desc_check(desc, err);

	if (r)
		return r;
	r = via_regfile_new(desc, irqs, err, &regs);
	if (r)
		return r;
	via_regfile_listen(regs, ops->vendor_read, ops->vendor, cookie);
	via_regfile_dev(regs, &dev);
	r = via_config_new_on(&dev, desc, ops, cookie, irqs, ret_config);
	if (r) {
		via_regfile_free(regs);
		return r;
	}
	(*ret_config)->regs = regs;
	return 0;
}

void via_config_free(struct via_config *config)
{
	if (!config)
		return;
	pthread_mutex_destroy(&config->lock);
	via_regfile_free(config->regs);
	free(config);
}
