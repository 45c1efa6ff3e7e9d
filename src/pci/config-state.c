/* SPDX-License-Identifier: MIT */
/* The state that a function is in: memory decoding, COMMAND, power, resets
 * (pci-config.md 2.4, 3.3, 6.5). */
#include "pci/config-private.h"
#include "pci/regs.h"

#include <errno.h>

void via_config_tell_memory(struct via_config *config, bool on)
{
	on = on && !config->held;
	if (config->memory == on)
		return;
	config->memory = on;
	if (config->ops->memory)
		config->ops->memory(config->cookie, on);
}

/* pci-config.md 6.6 */
bool via_config_memory_accessible(const struct via_config *config)
{
	return config->open && config->power < PCI_D3HOT &&
	       (config->flags & VIA_CONFIG_VF ||
		(atomic_load(&config->command) & PCI_COMMAND_MEMORY));
}

void via_config_set_command(struct via_config *config, uint16_t now)
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

uint16_t via_config_current_command(struct via_config *config)
{
	uint16_t virt = via_get_le16(config->masks.virt + PCI_COMMAND);

	return (uint16_t)((via_config_dev_get(config, PCI_COMMAND, 2) & ~(uint32_t)virt) |
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
void via_config_write_power(struct via_config *config, unsigned int state)
{
	bool wakes = state == PCI_D0 && config->power != PCI_D0;
	uint32_t bits = wakes ? PCI_PM_CSR_ALL : PCI_PM_CSR_STATE;
	unsigned int csr = config->masks.pm + PCI_PM_CSR;

	if (config->masks.pm) {
		(void)via_config_dev_update(config, csr, 2, bits, state);
		state = via_config_dev_get(config, csr, 2) & PCI_PM_CSR_STATE;
	}
	set_power(config, state);
}

static void save_registers(struct via_config *config)
{
	for (unsigned int pos = 0; pos < config->dev.size; pos += 4)
		via_put_le(config->saved + pos, 4, via_config_dev_get(config, pos, 4));
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
		uint32_t bits = via_get_le(m->write + pos, 2) &
				~(via_get_le(m->virt + pos, 2) | via_get_le(m->w1c + pos, 2));

		if (bits && m->owner[pos].tag != VIA_OWNER_NONE &&
		    !(m->pm && m->owner[pos].start == m->pm))
			(void)via_config_dev_update(config, pos, 2, bits,
						    via_get_le(config->saved + pos, 2));
	}
	via_config_set_command(config, via_config_current_command(config));
}

/*
 * 6.5: the program sees its registers as before, without latched status. While
 * the model is reset it can neither be accessed nor master the bus.
 */
void via_config_reset_function(struct via_config *config, enum via_reset kind)
{
	uint16_t command = (uint16_t)atomic_load(&config->command);

	via_config_tell_memory(config, false);
	via_config_set_command(config, command & (uint16_t)~PCI_COMMAND_MASTER);
	via_config_write_power(config, PCI_D0);
	if (config->ops->reset)
		config->ops->reset(config->cookie, kind);
	config->dev.ops->reset(config->dev.cookie);
	via_irqs_reset(config->irqs);
	via_config_set_command(config, command);
	via_config_tell_memory(config, via_config_memory_accessible(config));
}

/* 3.3: which state a request ends in; refusals are silent. */
static unsigned int next_power(struct via_config *config, unsigned int want)
{
	uint32_t pmc = via_config_dev_get(config, config->masks.pm + PCI_PM_PMC, 2);

	/* Virtual functions need the physical one. */
	if (config->vfs && want != PCI_D0)
		return config->power;
	if ((want == PCI_D1 && !(pmc & PCI_PM_PMC_D1)) ||
	    (want == PCI_D2 && !(pmc & PCI_PM_PMC_D2)) || (want != PCI_D0 && want < config->power))
		return config->power;
	return want;
}

/* Does what it holds not survive D3hot? */
static bool loses_state(struct via_config *config)
{
	return config->masks.pm && !(via_config_dev_get(config, config->masks.pm + PCI_PM_CSR, 2) &
				     PCI_PM_CSR_NO_SOFT_RESET);
}

/* A reset that also ends D3hot as a program's own request would. */
static void wake_and_reset(struct via_config *config, enum via_reset kind)
{
	bool lost = config->power == PCI_D3HOT && loses_state(config);

	via_config_reset_function(config, kind);
	if (lost)
		restore_registers(config);
	via_config_tell_memory(config, via_config_memory_accessible(config));
}

void via_config_request_power(struct via_config *config, unsigned int want)
{
	unsigned int old = config->power;
	unsigned int state = next_power(config, want);

	if (old == PCI_D3HOT && state == PCI_D0 && loses_state(config)) {
		wake_and_reset(config, VIA_RESET_PM);
		return;
	}
	if (old != PCI_D3HOT && state == PCI_D3HOT) {
		via_config_tell_memory(config, false);
		save_registers(config);
	}
	via_config_write_power(config, state);
	via_config_tell_memory(config, via_config_memory_accessible(config));
}

void via_config_reset(struct via_config *config, enum via_reset kind)
{
	pthread_mutex_lock(&config->lock);
	wake_and_reset(config, kind);
	pthread_mutex_unlock(&config->lock);
}

void via_config_reset_together(struct via_config *const *configs, unsigned int n,
			       enum via_reset kind)
{
	for (unsigned int i = 0; i < n; i++) {
		pthread_mutex_lock(&configs[i]->lock);
		configs[i]->held = true;
		via_config_tell_memory(configs[i], false);
	}
	for (unsigned int i = 0; i < n; i++)
		wake_and_reset(configs[i], kind);
	for (unsigned int i = 0; i < n; i++) {
		configs[i]->held = false;
		via_config_tell_memory(configs[i], via_config_memory_accessible(configs[i]));
		pthread_mutex_unlock(&configs[i]->lock);
	}
}

bool via_config_memory(struct via_config *config)
{
	bool memory;

	pthread_mutex_lock(&config->lock);
	memory = via_config_memory_accessible(config);
	pthread_mutex_unlock(&config->lock);
	return memory;
}

bool via_config_io(struct via_config *config)
{
	bool io;

	pthread_mutex_lock(&config->lock);
	io = config->open && config->power < PCI_D3HOT &&
	     (atomic_load(&config->command) & PCI_COMMAND_IO);
	pthread_mutex_unlock(&config->lock);
	return io;
}

void via_config_suspend(struct via_config *config)
{
	pthread_mutex_lock(&config->lock);
	if (config->masks.pm) {
		/* What the program left in D3hot returns as its own request would have it. */
		via_config_request_power(config, PCI_D0);
		via_config_request_power(config, PCI_D3HOT);
	}
	pthread_mutex_unlock(&config->lock);
}

void via_config_resume(struct via_config *config)
{
	pthread_mutex_lock(&config->lock);
	if (config->masks.pm)
		via_config_request_power(config, PCI_D0);
	pthread_mutex_unlock(&config->lock);
}

/* --- SR-IOV ---------------------------------------------------------------- */

int via_config_set_vfs(struct via_config *config, unsigned int n)
{
	int r = -EINVAL;

	pthread_mutex_lock(&config->lock);
	if (n && config->open)
		via_config_request_power(config, PCI_D0);
	if (config->regs && via_regfile_set_vfs(config->regs, n)) {
		config->vfs = n;
		r = 0;
	}
	pthread_mutex_unlock(&config->lock);
	return r;
}

void via_config_lose(struct via_config *config)
{
	pthread_mutex_lock(&config->lock);
	via_config_tell_memory(config, false);
	(void)via_config_dev_update(config, PCI_COMMAND, 2, PCI_COMMAND_MASTER, 0);
	via_config_set_command(config, via_config_current_command(config));
	via_config_write_power(config, PCI_D0);
	if (config->ops->reset)
		config->ops->reset(config->cookie, VIA_RESET_PF);
	config->dev.ops->init(config->dev.cookie);
	via_irqs_msix_function_mask(config->irqs, false);
	via_irqs_reset(config->irqs);
	via_config_set_command(config, via_config_current_command(config));
	via_config_tell_memory(config, via_config_memory_accessible(config));
	pthread_mutex_unlock(&config->lock);
}
