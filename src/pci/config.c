/* SPDX-License-Identifier: MIT */
#include "pci/config.h"
#include "pci/dev.h"
#include "pci/masks.h"
#include "pci/regs.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct via_config {
	/* Constant after via_config_new_on(). */
	struct via_config_dev dev;
	struct via_regfile *regs; /* owned; NULL over somebody else's registers */
	unsigned int flags;   /* enum via_config_flags */
	uint16_t vendor, device; /* of a virtual function */
	struct via_config_bar bars[VIA_PCI_BARS];
	uint32_t rom_size;
	const struct via_config_ops *ops;
	void *cookie;
	struct via_irqs *irqs;

	pthread_mutex_t lock;		       /* the config lock: all that follows */
	uint8_t virt[VIA_CONFIG_SIZE_EXPRESS]; /* the virtual store */
	struct via_config_masks masks;	       /* changed by build() only */
	bool open;
	bool memory;	     /* as last told by ops->memory */
	unsigned int power;  /* D-state */
	uint32_t saved_bars[VIA_PCI_BARS + 1]; /* the device's at open, the ROM's last */
	uint8_t saved[VIA_CONFIG_SIZE_EXPRESS]; /* the device's when it went to D3hot */
	atomic_uint command; /* written under lock, read by anybody */
	/*
	 * Atomic. Of each dword what any read of it gives, | VIEW_WHOLE, if that is in
	 * the virtual store alone; else 0. Stored (release) under lock at the end
	 * of what changes virt or masks, loaded (acquire) by anybody: a reader
	 * has a dword of before or after a transaction, never of the middle.
	 */
	uint64_t view[VIA_CONFIG_DWORDS];
};

#define VIEW_WHOLE (1ull << 32)

/* --- Device registers ----------------------------------------------------- */

static int dev_read(struct via_config *config, unsigned int pos, unsigned int width,
		    uint32_t *ret_value)
{
	return config->dev.ops->read(config->dev.cookie, pos, width, ret_value);
}

/* Where a failing device has nothing to say: what an absent one answers. */
static uint32_t dev_get(struct via_config *config, unsigned int pos, unsigned int width)
{
	uint32_t value;

	if (dev_read(config, pos, width, &value))
		return width == 4 ? 0xffffffffu : (1u << 8 * width) - 1;
	return value;
}

static uint32_t get_bytes(const uint8_t *p, unsigned int width)
{
	uint32_t value = 0;

	for (unsigned int i = 0; i < width; i++)
		value |= (uint32_t)p[i] << 8 * i;
	return value;
}

static void put_bytes(uint8_t *p, unsigned int width, uint32_t value)
{
	for (unsigned int i = 0; i < width; i++)
		p[i] = (uint8_t)(value >> 8 * i);
}

/*
 * Change some bits of a device register and leave the rest alone: status bits
 * that writing one would clear are written as zero unless they are meant.
 */
static int dev_update(struct via_config *config, unsigned int pos, unsigned int width,
		      uint32_t bits, uint32_t value)
{
	uint32_t w1c = get_bytes(config->masks.w1c + pos, width);
	uint32_t old;
	int r = dev_read(config, pos, width, &old);

	if (r)
		return r;
	return config->dev.ops->write(config->dev.cookie, pos, width,
				      (old & ~bits & ~w1c) | (value & bits));
}

/* --- Memory, power, reset ------------------------------------------------- */

static void tell_memory(struct via_config *config, bool on)
{
	if (config->memory == on)
		return;
	config->memory = on;
	if (config->ops->memory)
		config->ops->memory(config->cookie, on);
}

/* pci-config.md 6.6 */
static bool memory_accessible(const struct via_config *config)
{
	return config->open && config->power < PCI_D3HOT &&
	       (config->flags & VIA_CONFIG_VF ||
		(atomic_load(&config->command) & PCI_COMMAND_MEMORY));
}

static void set_command(struct via_config *config, uint16_t now)
{
	uint16_t old = (uint16_t)atomic_exchange(&config->command, now);

	if (old == now)
		return;
	via_irqs_set_bus_master(config->irqs, now & PCI_COMMAND_MASTER);
	if ((old ^ now) & PCI_COMMAND_INTX_DISABLE)
		via_irqs_set_intx_disable(config->irqs, now & PCI_COMMAND_INTX_DISABLE);
	if (config->ops->command)
		config->ops->command(config->cookie, old, now);
}

/* COMMAND as the program sees it: the device's bits and the virtual ones. */
static uint16_t current_command(struct via_config *config)
{
	uint16_t virt = via_get_le16(config->masks.virt + PCI_COMMAND);

	return (uint16_t)((dev_get(config, PCI_COMMAND, 2) & ~(uint32_t)virt) |
			  (via_get_le16(config->virt + PCI_COMMAND) & virt));
}

static void set_power(struct via_config *config, unsigned int state)
{
	unsigned int old = config->power;

	if (old == state)
		return;
	config->power = state;
	via_irqs_set_power(config->irqs, state);
	if (config->ops->power)
		config->ops->power(config->cookie, old, state);
}

/*
 * The kernel wakes a function by writing zeros to all of the register. The
 * state is the one that the device then says it is in: it may refuse.
 */
static void write_power(struct via_config *config, unsigned int state)
{
	bool wakes = state == PCI_D0 && config->power != PCI_D0;
	uint32_t bits = wakes ? PCI_PM_CSR_ALL : PCI_PM_CSR_STATE;
	unsigned int csr = config->masks.pm + PCI_PM_CSR;

	if (config->masks.pm) {
		(void)dev_update(config, csr, 2, bits, state);
		state = dev_get(config, csr, 2) & PCI_PM_CSR_STATE;
	}
	set_power(config, state);
}

static void save_registers(struct via_config *config)
{
	for (unsigned int pos = 0; pos < config->dev.size; pos += 4)
		put_bytes(config->saved + pos, 4, dev_get(config, pos, 4));
}

/*
 * 3.3: on return from D3hot the host puts back the registers that it knows:
 * those that a program can change, but of power management, which the state
 * belongs to. So what a program wrote meanwhile is lost.
 */
static void restore_registers(struct via_config *config)
{
	const struct via_config_masks *m = &config->masks;

	for (unsigned int pos = 0; pos < config->dev.size; pos += 2) {
		uint32_t bits = get_bytes(m->write + pos, 2) &
				~(get_bytes(m->virt + pos, 2) | get_bytes(m->w1c + pos, 2));

		if (bits && m->owner[pos].tag != VIA_OWNER_NONE &&
		    !(m->pm && m->owner[pos].start == m->pm))
			(void)dev_update(config, pos, 2, bits, get_bytes(config->saved + pos, 2));
	}
	set_command(config, current_command(config));
}

/*
 * 6.5: the program sees its registers as before, without latched status. While
 * the model is reset it can neither be accessed nor master the bus.
 */
static void reset_function(struct via_config *config, enum via_reset kind)
{
	uint16_t command = (uint16_t)atomic_load(&config->command);

	tell_memory(config, false);
	set_command(config, command & (uint16_t)~PCI_COMMAND_MASTER);
	write_power(config, PCI_D0);
	if (config->ops->reset)
		config->ops->reset(config->cookie, kind);
	config->dev.ops->reset(config->dev.cookie);
	via_irqs_reset(config->irqs);
	set_command(config, command);
	tell_memory(config, memory_accessible(config));
}

/* 3.3: which state a request ends in; refusals are silent. */
static unsigned int next_power(struct via_config *config, unsigned int want)
{
	uint32_t pmc = dev_get(config, config->masks.pm + PCI_PM_PMC, 2);

	if ((want == PCI_D1 && !(pmc & PCI_PM_PMC_D1)) ||
	    (want == PCI_D2 && !(pmc & PCI_PM_PMC_D2)) || (want != PCI_D0 && want < config->power))
		return config->power;
	return want;
}

/* Does what it holds not survive D3hot? */
static bool loses_state(struct via_config *config)
{
	return config->masks.pm &&
	       !(dev_get(config, config->masks.pm + PCI_PM_CSR, 2) & PCI_PM_CSR_NO_SOFT_RESET);
}

/* A reset that also ends D3hot as a program's own request would. */
static void wake_and_reset(struct via_config *config, enum via_reset kind)
{
	bool lost = config->power == PCI_D3HOT && loses_state(config);

	reset_function(config, kind);
	if (lost)
		restore_registers(config);
	tell_memory(config, memory_accessible(config));
}

static void request_power(struct via_config *config, unsigned int want)
{
	unsigned int old = config->power;
	unsigned int state = next_power(config, want);

	if (old == PCI_D3HOT && state == PCI_D0 && loses_state(config)) {
		wake_and_reset(config, VIA_RESET_PM);
		return;
	}
	if (old != PCI_D3HOT && state == PCI_D3HOT) {
		tell_memory(config, false);
		save_registers(config);
	}
	write_power(config, state);
	tell_memory(config, memory_accessible(config));
}

/* --- What a write means beyond its bits ----------------------------------- */

/* 2.3; the high half of a 64-bit BAR is the slot after its low half. */
static uint32_t bar_image(const struct via_config *config, unsigned int slot, uint32_t value)
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

static void mask_rom_bar(struct via_config *config)
{
	uint8_t *bar = config->virt + PCI_ROM_BAR;
	uint32_t bits = config->rom_size ? ~(config->rom_size - 1) | PCI_ROM_BAR_ENABLE : 0;

	via_put_le32(bar, via_get_le32(bar) & bits);
}

static void header_written(struct via_config *config, unsigned int pos, unsigned int width)
{
	unsigned int end = pos + width;

	if (pos < PCI_STATUS && end > PCI_COMMAND) {
		set_command(config, current_command(config));
		tell_memory(config, memory_accessible(config));
	}
	for (unsigned int i = 0; i < VIA_PCI_BARS; i++) {
		uint8_t *bar = config->virt + PCI_BAR(i);

		if (pos < PCI_BAR(i + 1) && end > PCI_BAR(i))
			via_put_le32(bar, bar_image(config, i, via_get_le32(bar)));
	}
	if (pos < PCI_ROM_BAR + 4 && end > PCI_ROM_BAR)
		mask_rom_bar(config);
}

/* 3.5: Enable only while armed, Multiple Message Enable within what was armed. */
static void msi_control_written(struct via_config *config, unsigned int cap)
{
	uint8_t *control = config->virt + cap + PCI_MSI_CONTROL;
	unsigned int mme = (*control & PCI_MSI_CONTROL_MME) >> PCI_MSI_CONTROL_MME_SHIFT;
	unsigned int qmax = via_irqs_msi_qmax(config->irqs);

	if (!via_irqs_armed(config->irqs, VIA_IRQ_MSI))
		*control &= (uint8_t)~PCI_MSI_CONTROL_ENABLE;
	if (mme > qmax) {
		mme = qmax;
		*control &= (uint8_t)~PCI_MSI_CONTROL_MME;
		*control |= (uint8_t)(mme << PCI_MSI_CONTROL_MME_SHIFT);
	}
	via_irqs_msi_control(config->irqs, *control & PCI_MSI_CONTROL_ENABLE, mme);
}

/* Offset of the Mask register from the start of an MSI capability, 0: it has none. */
static unsigned int msi_mask_offset(const struct via_config *config, unsigned int cap)
{
	unsigned int control = via_get_le16(config->virt + cap + PCI_MSI_CONTROL);

	if (!(control & PCI_MSI_CONTROL_MASKABLE))
		return 0;
	return control & PCI_MSI_CONTROL_64BIT ? PCI_MSI_MASK_64 : PCI_MSI_MASK_32;
}

static void msi_written(struct via_config *config, unsigned int cap, unsigned int offset,
			unsigned int width)
{
	unsigned int mask = msi_mask_offset(config, cap);

	/* Not when only the dropped id and next were written (Q18). */
	if (offset < PCI_MSI_CONTROL + 2 && offset + width > PCI_MSI_CONTROL)
		msi_control_written(config, cap);
	if (mask && offset >= mask && offset < mask + 4)
		via_irqs_set_msi_mask(config->irqs, via_get_le32(config->virt + cap + mask));
}

/*
 * 3.6: payload size stays virtual; the read request size reaches the device,
 * never below its payload size, unless the field means more than 4096 bytes.
 */
static void update_read_request(struct via_config *config, unsigned int cap, unsigned int field)
{
	unsigned int dev = dev_get(config, cap + PCI_EXP_DEVCTL, 2);
	unsigned int payload = (dev & PCI_EXP_DEVCTL_MPS) >> PCI_EXP_DEVCTL_MPS_SHIFT;

	if (field < payload)
		field = payload;
	if (field > 5)
		return;
	(void)dev_update(config, cap + PCI_EXP_DEVCTL, 2, PCI_EXP_DEVCTL_MRRS,
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
	if (dev_get(config, cap + PCI_EXP_DEVCAP, 4) & PCI_EXP_DEVCAP_FLR)
		reset_function(config, VIA_RESET_FLR);
}

/* 3.8 */
static void af_written(struct via_config *config, unsigned int cap)
{
	const uint32_t able = PCI_AF_CAP_TRANSACTIONS | PCI_AF_CAP_FLR;
	uint8_t *control = config->virt + cap + PCI_AF_CONTROL;

	if (!(*control & PCI_AF_CONTROL_FLR))
		return;
	*control &= (uint8_t)~PCI_AF_CONTROL_FLR;
	if ((dev_get(config, cap + PCI_AF_CAP, 1) & able) == able)
		reset_function(config, VIA_RESET_FLR);
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
	if (dev->ops->vpd && !dev->ops->vpd(dev->cookie, value & PCI_VPD_FLAG,
					    value & PCI_VPD_ADDRESS_BITS,
					    config->virt + cap + PCI_VPD_DATA))
		via_put_le16(p, (uint16_t)(value ^ PCI_VPD_FLAG));
}

/* --- A device that was reset behind our back (R22) ------------------------- */

static unsigned int bar_register(unsigned int i)
{
	return i < VIA_PCI_BARS ? PCI_BAR(i) : PCI_ROM_BAR;
}

static void save_bars(struct via_config *config)
{
	for (unsigned int i = 0; i <= VIA_PCI_BARS; i++)
		config->saved_bars[i] = dev_get(config, bar_register(i), 4);
}

/* The program writes COMMAND: does the device still have what it had? */
static bool was_reset(struct via_config *config, uint16_t wanted)
{
	uint16_t was = (uint16_t)atomic_load(&config->command);
	uint16_t dev = (uint16_t)dev_get(config, PCI_COMMAND, 2);
	uint16_t lost = wanted & was & (uint16_t)~dev & (PCI_COMMAND_MEMORY | PCI_COMMAND_IO);

	for (unsigned int i = 0; !lost && i <= VIA_PCI_BARS; i++)
		lost = config->saved_bars[i] &&
		       dev_get(config, bar_register(i), 4) != config->saved_bars[i];
	return lost;
}

static void restore_bars(struct via_config *config)
{
	for (unsigned int i = 0; i <= VIA_PCI_BARS; i++)
		(void)config->dev.ops->write(config->dev.cookie, bar_register(i), 4,
					     config->saved_bars[i]);
}

/* --- Transactions --------------------------------------------------------- */

static void before_write(struct via_config *config, const struct via_config_owner *owner,
			 unsigned int pos, uint32_t value)
{
	if (owner->tag != VIA_OWNER_HEADER || pos != PCI_COMMAND)
		return;
	/* Mappings go before the bit does. */
	if (!(value & PCI_COMMAND_MEMORY) && !(config->flags & VIA_CONFIG_VF))
		tell_memory(config, false);
	if ((config->flags & (VIA_CONFIG_RESTORE_BARS | VIA_CONFIG_VF)) == VIA_CONFIG_RESTORE_BARS &&
	    was_reset(config, (uint16_t)value))
		restore_bars(config);
}

static void after_write(struct via_config *config, const struct via_config_owner *owner,
			unsigned int pos, unsigned int width, uint32_t value,
			unsigned int old_express_control)
{
	unsigned int cap = owner->start;

	/* Hooks know one instance of each capability; a second one is plain registers. */
	if (owner->tag == VIA_OWNER_HEADER)
		header_written(config, pos, width);
	else if (cap == config->masks.pm && pos == cap + PCI_PM_CSR)
		request_power(config, value & PCI_PM_CSR_STATE);
	else if (cap == config->masks.msi)
		msi_written(config, cap, pos - cap, width);
	else if (cap == config->masks.express)
		express_written(config, cap, old_express_control);
	else if (cap == config->masks.af)
		af_written(config, cap);
	else if (cap == config->masks.vpd)
		vpd_written(config, cap, pos - cap, width);
}

static int write_one(struct via_config *config, unsigned int pos, unsigned int width,
		     uint32_t value)
{
	struct via_config_owner owner = config->masks.owner[pos];
	uint32_t virt = get_bytes(config->masks.virt + pos, width);
	uint32_t write = get_bytes(config->masks.write + pos, width);
	unsigned int express = config->masks.express;
	unsigned int old_express_control =
		express ? via_get_le16(config->virt + express + PCI_EXP_DEVCTL) : 0;
	int r;

	if (config->masks.raw[pos])
		return config->dev.ops->write(config->dev.cookie, pos, width, value);
	if (owner.tag == VIA_OWNER_NONE)
		return 0;
	before_write(config, &owner, pos, value);
	if (write & virt) {
		uint32_t old = get_bytes(config->virt + pos, width);

		put_bytes(config->virt + pos, width,
			  (old & ~(write & virt)) | (value & write & virt));
	}
	if (write & ~virt) {
		r = dev_update(config, pos, width, write & ~virt, value);
		if (r) {
			tell_memory(config, memory_accessible(config));
			return r;
		}
	}
	after_write(config, &owner, pos, width, value, old_express_control);
	return 0;
}

static int read_one(struct via_config *config, unsigned int pos, unsigned int width,
		    uint32_t *ret_value)
{
	struct via_config_owner owner = config->masks.owner[pos];
	uint32_t virt = get_bytes(config->masks.virt + pos, width);
	uint32_t all = width == 4 ? 0xffffffffu : (1u << 8 * width) - 1;
	uint32_t dev = 0;

	/* Pending is the interrupt engine's, fetched when somebody looks. */
	if (config->masks.msi && owner.start == config->masks.msi) {
		unsigned int mask = msi_mask_offset(config, owner.start);

		if (mask)
			via_put_le32(config->virt + owner.start + mask + 4,
				     via_irqs_msi_pending(config->irqs));
	}
	if (virt != all) {
		int r = dev_read(config, pos, width, &dev);

		if (r)
			return r;
	}
	*ret_value = (dev & ~virt) | (get_bytes(config->virt + pos, width) & virt);
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
		view = get_bytes(config->virt + pos, 4) | VIEW_WHOLE;
	__atomic_store_n(&config->view[pos / 4], view, __ATOMIC_RELEASE);
}

static void publish_all(struct via_config *config)
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
	put_bytes(out, n, (uint32_t)view >> 8 * (pos % 4));
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
		put_bytes(out + done, width, value);
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
		r = write_one(config, at, width, get_bytes(in + done, width));
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

/* Fresh device registers, virtual store and masks. Nobody is told. */
static void build(struct via_config *config)
{
	struct via_config_policy policy = {
		.raw_gaps = config->flags & VIA_CONFIG_RAW_GAPS,
		.shown = config->dev.shown,
	};

	config->dev.ops->init(config->dev.cookie);
	for (unsigned int pos = 0; pos < config->dev.size; pos += 4)
		put_bytes(config->virt + pos, 4, dev_get(config, pos, 4));
	via_config_masks_build(&config->masks, config->virt, config->dev.size, &policy);
	/* Whatever the host left there. */
	if (dev_get(config, PCI_COMMAND, 2) & PCI_COMMAND_MASTER)
		(void)dev_update(config, PCI_COMMAND, 2, PCI_COMMAND_MASTER, 0);
	if (config->flags & VIA_CONFIG_VF)
		build_vf(config);
	if (config->flags & VIA_CONFIG_RESTORE_BARS)
		save_bars(config);
	for (unsigned int i = 0; i < VIA_PCI_BARS; i++) {
		uint8_t *bar = config->virt + PCI_BAR(i);

		via_put_le32(bar, bar_image(config, i, via_get_le32(bar)));
	}
	mask_rom_bar(config);
	publish_all(config);
}

void via_config_open(struct via_config *config)
{
	pthread_mutex_lock(&config->lock);
	if (config->ops->reset)
		config->ops->reset(config->cookie, VIA_RESET_OPEN);
	via_irqs_reset(config->irqs);
	build(config);
	config->open = true;
	set_command(config, current_command(config));
	via_irqs_set_intx_disable(config->irqs,
				  atomic_load(&config->command) & PCI_COMMAND_INTX_DISABLE);
	tell_memory(config, memory_accessible(config));
	pthread_mutex_unlock(&config->lock);
}

void via_config_close(struct via_config *config)
{
	pthread_mutex_lock(&config->lock);
	write_power(config, PCI_D0);
	(void)dev_update(config, PCI_COMMAND, 2, PCI_COMMAND_MASTER, 0);
	set_command(config, current_command(config));
	tell_memory(config, false);
	via_irqs_release(config->irqs, false);
	if (config->ops->reset)
		config->ops->reset(config->cookie, VIA_RESET_CLOSE);
	via_irqs_reset(config->irqs);
	build(config);
	config->open = false;
	set_command(config, current_command(config));
	via_irqs_release(config->irqs, true);
	pthread_mutex_unlock(&config->lock);
}

void via_config_reset(struct via_config *config, enum via_reset kind)
{
	pthread_mutex_lock(&config->lock);
	wake_and_reset(config, kind);
	pthread_mutex_unlock(&config->lock);
}

const struct via_config_masks *via_config_masks_of(const struct via_config *config)
{
	return &config->masks;
}

void via_config_device_bytes(struct via_config *config, uint8_t *bytes)
{
	pthread_mutex_lock(&config->lock);
	for (unsigned int pos = 0; pos < config->dev.size; pos += 4)
		put_bytes(bytes + pos, 4, dev_get(config, pos, 4));
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
	atomic_init(&config->command, current_command(config));
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
	if (ops->vendor)
		via_regfile_listen(regs, ops->vendor, cookie);
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
