/* SPDX-License-Identifier: MIT */
/* A device's life, and what config space makes of it: decoding, bus mastering, resets. */
#include "device/internal.h"

#include "iommu/dma.h"

#include <errno.h>
#include <stdlib.h>

#define COMMAND_BUS_MASTER 0x4u

/* --- what config space tells us; the config lock is held --- */

static void set_memory(void *cookie, bool on)
{
	struct via_device *dev = cookie;

	via_mappings_switch(dev, &dev->memory_on, on);
}

/* A function masters the bus in D0 only, and while it is not stopped. */
static void update_dma(struct via_device *dev, const bool *master, const bool *low_power)
{
	pthread_mutex_lock(&dev->dma_lock);
	if (master)
		dev->bus_master = *master;
	if (low_power)
		dev->low_power = *low_power;
	via_dma_enable(dev->dma, dev->bus_master && !dev->low_power && !dev->migration.halted);
	pthread_mutex_unlock(&dev->dma_lock);
}

void via_device_update_dma(struct via_device *dev)
{
	update_dma(dev, NULL, NULL);
}

void via_device_set_halted(struct via_device *dev, bool halted)
{
	pthread_mutex_lock(&dev->dma_lock);
	dev->migration.halted = halted;
	pthread_mutex_unlock(&dev->dma_lock);
	via_device_update_dma(dev);
}

static void command_changed(void *cookie, uint16_t old, uint16_t now)
{
	struct via_device *dev = cookie;
	bool master = now & COMMAND_BUS_MASTER;

	update_dma(dev, &master, NULL);
}

static void power_changed(void *cookie, unsigned int old, unsigned int now)
{
	struct via_device *dev = cookie;
	bool low_power = now;

	update_dma(dev, NULL, &low_power);
}

static void reset_model(void *cookie, enum via_reset kind)
{
	struct via_device *dev = cookie;

	via_dma_enable(dev->dma, false);
	pthread_rwlock_wrlock(&dev->memory_lock);
	via_peers_lock_model(dev);
	/* What was asked for before the reset must not happen after it. */
	__atomic_store_n(&dev->worker.events, 0, __ATOMIC_RELAXED);
	if (dev->ops->reset)
		dev->ops->reset(dev, dev->model, kind);
	via_peers_unlock_model(dev);
	pthread_rwlock_unlock(&dev->memory_lock);
	/* A program finds the command register as it was (6.5). */
	via_device_update_dma(dev);
	via_count(&dev->counters.resets);
	if (kind != VIA_RESET_OPEN && kind != VIA_RESET_CLOSE && kind != VIA_RESET_PM)
		__atomic_store_n(&dev->migration.was_reset, true, __ATOMIC_RELEASE);
	via_vfs_lose(dev);
}

static void vendor_written(void *cookie, unsigned int pos, unsigned int width, uint32_t value)
{
	struct via_device *dev = cookie;

	if (!dev->ops->config_write)
		return;
	via_peers_lock_model(dev);
	dev->ops->config_write(dev, dev->model, pos, width, value);
	via_peers_unlock_model(dev);
}

static uint32_t vendor_read(void *cookie, unsigned int pos, unsigned int width, uint32_t value)
{
	struct via_device *dev = cookie;

	if (!dev->ops->config_read)
		return value;
	via_peers_lock_model(dev);
	value = dev->ops->config_read(dev, dev->model, pos, width, value);
	via_peers_unlock_model(dev);
	return value;
}

static const struct via_config_ops config_ops = {
	.memory = set_memory,
	.command = command_changed,
	.power = power_changed,
	.vendor = vendor_written,
	.vendor_read = vendor_read,
	.reset = reset_model,
};

/* --- what the irq engine asks --- */

static int watch_resample(void *cookie, int fd)
{
	return via_worker_watch_resample(cookie, fd);
}

static void unwatch_resample(void *cookie, int fd)
{
	via_worker_unwatch(cookie, fd);
}

static const struct via_irqs_ops irqs_ops = {
	.watch = watch_resample,
	.unwatch = unwatch_resample,
};

/* --- life --- */

static int init_locks(struct via_device *dev)
{
	pthread_rwlockattr_t attr;

	/* A reset must not starve behind a program that polls registers. */
	if (pthread_rwlockattr_init(&attr))
		return -ENOMEM;
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&dev->memory_lock, &attr);
	pthread_rwlockattr_destroy(&attr);
	pthread_mutex_init(&dev->open_lock, NULL);
	pthread_mutex_init(&dev->model_lock, NULL);
	pthread_mutex_init(&dev->dma_lock, NULL);
	via_migration_init(dev);
	pthread_rwlock_init(&dev->vf_lock, NULL);
	via_power_init(dev);
	return via_peers_init(dev);
}

static int init_pci(struct via_device *dev, struct via_error *err)
{
	const struct via_device_desc *desc = dev->desc;
	struct via_config_desc config = {
		.ident = desc->ident,
		.msi = desc->msi,
		.msix = desc->msix,
		.express = desc->express,
		.power_management = desc->power_management,
		.caps = desc->caps,
		.n_caps = desc->n_caps,
		.flags = dev->backing.config_flags |
			 (desc->flags & VIA_DEVICE_ALL_CAPABILITIES ? VIA_CONFIG_SHOW_ALL : 0) |
			 (desc->flags & VIA_DEVICE_VF ? VIA_CONFIG_VF : 0),
		.rom_size = dev->rom_size ? dev->rom_size : dev->backing.rom_bar,
	};
	struct via_irqs_desc irqs;
	struct via_error why = {0};
	int ret;

	for (unsigned int i = 0; i < VIA_PCI_BARS; i++)
		config.bars[i] = (struct via_config_bar){
			desc->bars[i].size,
			desc->bars[i].flags & ~(unsigned int)VIA_BAR_UNMAPPABLE};
	via_config_irqs_desc(&config, &irqs);
	ret = via_irqs_new(&irqs, &irqs_ops, dev, &dev->irqs);
	if (!ret && dev->backing.config.ops)
		ret = via_config_new_on(&dev->backing.config, &config, &config_ops, dev, dev->irqs,
					&dev->config);
	else if (!ret)
		ret = via_config_new(&config, &config_ops, dev, dev->irqs, &why, &dev->config);
	return why.text[0] ? via_error_set(err, ret, "device %s: %s", desc->name, why.text) : ret;
}

static int init(struct via_device *dev, struct via_error *err)
{
	int ret = init_locks(dev);

	if (!ret)
		ret = via_worker_init(dev);
	if (!ret)
		ret = via_ioeventfds_init(dev);
	if (!ret)
		ret = via_dma_new(dev->desc->name, &dev->dma);
	if (!ret)
		ret = via_bars_init(dev);
	if (!ret)
		ret = via_vfs_init(dev);
	if (!ret)
		ret = init_pci(dev, err);
	/* Not open, hence memory is off. */
	for (unsigned int i = 0; !ret && i < VIA_PCI_BARS; i++)
		via_bar_revoke(&dev->bars[i]);
	return ret ? via_error_set(err, ret, "device %s: cannot be made: %s", dev->desc->name,
				   strerror(-ret))
		   : 0;
}

/* A ROM is as large as a power of two, and 2 KiB at least (PCI 6.2.5.2). */
static uint32_t rom_size(const struct via_pci_rom *rom)
{
	uint32_t size = 2048;

	while (size < rom->len)
		size *= 2;
	return rom->len ? size : 0;
}

int via_device_new(const struct via_device_desc *desc, const struct via_device_ops *ops,
		   void *model, struct via_error *err, struct via_device **ret_device)
{
	const struct via_device_backing backing = {.config = {.ops = NULL}};

	return via_device_new_on(desc, &backing, ops, model, err, ret_device);
}

int via_device_new_on(const struct via_device_desc *desc, const struct via_device_backing *backing,
		      const struct via_device_ops *ops, void *model, struct via_error *err,
		      struct via_device **ret_device)
{
	struct via_device *dev;
	int ret = via_device_validate(desc, ops, err);

	if (ret)
		goto fail;
	dev = calloc(1, sizeof(*dev));
	if (!dev) {
		ret = via_error_set(err, -ENOMEM, "device %s: out of memory", desc->name);
		goto fail;
	}
	dev->refs = 1;
	dev->desc = desc;
	dev->ops = ops;
	dev->model = model;
	dev->backing = *backing;
	dev->rom_size = rom_size(&desc->rom);
	dev->vga = (struct via_bar){.dev = dev, .index = VIA_DEVICE_VGA, .memfd = -1};
	dev->worker.epoll_fd = dev->worker.wake_fd = dev->ioeventfds.epoll_fd = -1;
	for (unsigned int i = 0; i < VIA_PCI_BARS; i++) {
		dev->bars[i].dev = dev;
		dev->bars[i].index = i;
		dev->bars[i].memfd = -1;
	}
	ret = init(dev, err);
	if (ret) {
		via_device_free(dev);
		return ret;
	}
	*ret_device = dev;
	return 0;
fail:
	if (ops->free)
		ops->free(model);
	return ret;
}

void via_device_free(struct via_device *dev)
{
	if (!dev)
		return;
	via_vfs_unlink(dev);
	via_exports_close(dev);
	via_peers_close(dev);
	if (dev->worker.running)
		via_worker_stop(dev);
	via_config_free(dev->config);
	via_irqs_free(dev->irqs);
	/* Before the DMA handle: a model puts its leases here at the latest. */
	if (dev->ops->free)
		dev->ops->free(dev->model);
	via_dma_free(dev->dma);
	via_bars_deinit(dev);
	via_ioeventfds_deinit(dev);
	via_worker_deinit(dev);
	via_migration_end(dev);
	pthread_mutex_destroy(&dev->dma_lock);
	free(dev->vfs);
	pthread_rwlock_destroy(&dev->vf_lock);
	via_power_deinit(dev);
	pthread_mutex_destroy(&dev->model_lock);
	pthread_mutex_destroy(&dev->open_lock);
	via_device_let_go(dev);
}

void via_device_hold(struct via_device *dev)
{
	__atomic_fetch_add(&dev->refs, 1, __ATOMIC_RELAXED);
}

void via_device_let_go(struct via_device *dev)
{
	if (__atomic_sub_fetch(&dev->refs, 1, __ATOMIC_ACQ_REL))
		return;
	via_migration_deinit(dev);
	via_peers_deinit(dev);
	pthread_rwlock_destroy(&dev->memory_lock);
	free(dev);
}

int via_device_open(struct via_device *dev)
{
	int ret = 0;

	pthread_mutex_lock(&dev->open_lock);
	if (!dev->opens) {
		/* The thread comes last: it must see nothing from before the reset. */
		via_config_open(dev->config);
		ret = via_worker_start(dev);
		if (ret)
			via_config_close(dev->config);
		else
			via_peers_open(dev);
	}
	if (!ret)
		dev->opens++;
	pthread_mutex_unlock(&dev->open_lock);
	return ret;
}

void via_device_close(struct via_device *dev)
{
	pthread_mutex_lock(&dev->open_lock);
	if (!--dev->opens) {
		via_ioeventfds_run(dev);
		/* As for a reset: what follows waits for accesses to registers. */
		via_dma_enable(dev->dma, false);
		via_power_end(dev);
		if (dev->closing)
			dev->closing(dev->closing_cookie, dev, false);
		via_ioeventfds_close(dev);
		via_exports_close(dev);
		via_peers_close(dev);
		via_config_close(dev->config);
		via_migration_close(dev);
		if (dev->worker.running)
			via_worker_stop(dev);
		if (dev->closing)
			dev->closing(dev->closing_cookie, dev, true);
	}
	pthread_mutex_unlock(&dev->open_lock);
}

int via_device_emulate_msix(struct via_device *dev, bool on)
{
	int ret = 0;

	pthread_mutex_lock(&dev->open_lock);
	if (dev->opens) {
		ret = -EBUSY;
	} else {
		dev->msix_emulated = on;
		via_config_emulate_msix(dev->config, on);
	}
	pthread_mutex_unlock(&dev->open_lock);
	return ret;
}

int via_device_set_sink(struct via_device *dev, const struct via_irqs_sink *sink, void *cookie)
{
	int ret = 0;

	pthread_mutex_lock(&dev->open_lock);
	if (dev->opens) {
		ret = -EBUSY;
	} else {
		dev->msix_emulated = sink;
		via_config_set_sink(dev->config, sink, cookie);
	}
	pthread_mutex_unlock(&dev->open_lock);
	return ret;
}

void via_device_on_close(struct via_device *dev,
			 void (*fn)(void *cookie, struct via_device *dev, bool done), void *cookie)
{
	dev->closing = fn;
	dev->closing_cookie = cookie;
}

struct via_config *via_device_config(struct via_device *dev)
{
	return dev->config;
}

/*
 * A reset switches bus mastering off, but first memory, and for that it waits for accesses to
 * registers, which may wait for the model, which may wait for memory that is away.
 */
int via_device_reset(struct via_device *dev)
{
	via_dma_enable(dev->dma, false);
	via_peers_settle(dev);
	via_config_reset(dev->config, VIA_RESET_IOCTL);
	via_device_update_dma(dev);
	via_migration_settle(dev);
	return 0;
}

void via_devices_bus_reset(struct via_device *const *devs, unsigned int n)
{
	struct via_config *configs[VIA_SLOT_FUNCTIONS] = {NULL};

	for (unsigned int i = 0; i < n; i++) {
		via_dma_enable(devs[i]->dma, false);
		via_peers_settle(devs[i]);
		configs[i] = devs[i]->config;
	}
	via_config_reset_together(configs, n, VIA_RESET_HOT);
	for (unsigned int i = 0; i < n; i++) {
		via_device_update_dma(devs[i]);
		via_migration_settle(devs[i]);
	}
}

bool via_device_can_reset(const struct via_device *dev, bool below_bridge)
{
	if (dev->backing.told_reset)
		return !dev->backing.no_reset;
	/* FLR, the power state, or a bridge above it that resets its bus. */
	return dev->desc->express.present || dev->desc->power_management || below_bridge;
}

int via_device_attach(struct via_device *dev, struct via_ioas *ioas)
{
	return via_dma_attach(dev->dma, ioas);
}

int via_device_attach_domain(struct via_device *dev, struct via_domain *domain)
{
	return via_dma_attach_domain(dev->dma, domain);
}

/* --- plain answers --- */

const char *via_device_name(const struct via_device *dev)
{
	return dev->desc->name;
}

const struct via_device_desc *via_device_desc(const struct via_device *dev)
{
	return dev->desc;
}

void via_device_set_addr(struct via_device *dev, const struct via_pci_addr *addr)
{
	dev->addr = *addr;
}

const struct via_pci_addr *via_device_addr(const struct via_device *dev)
{
	return &dev->addr;
}

struct via_dma *via_device_dma(struct via_device *dev)
{
	return dev->dma;
}

void via_device_lock(struct via_device *dev)
{
	via_peers_lock_model(dev);
}

void via_device_unlock(struct via_device *dev)
{
	via_peers_unlock_model(dev);
}

/* --- interrupts --- */

void via_irq_trigger(struct via_device *dev, unsigned int vector)
{
	via_irqs_trigger(dev->irqs, vector);
	via_power_event(dev);
}

void via_irq_set_level(struct via_device *dev, bool asserted)
{
	via_irqs_set_level(dev->irqs, asserted);
	if (asserted)
		via_power_event(dev);
}

bool via_irq_message_mode(struct via_device *dev)
{
	return via_irqs_message_mode(dev->irqs);
}

int via_device_irq_info(struct via_device *dev, unsigned int index, struct via_irq_info *ret_info)
{
	return via_irqs_info(dev->irqs, index, ret_info);
}

bool via_device_irq_armed(const struct via_device *dev, unsigned int index)
{
	return via_irqs_armed(dev->irqs, index);
}

int via_device_irqs_check(struct via_device *dev, uint32_t argsz, const struct via_set_irqs *set,
			  size_t *ret_data_len)
{
	return via_irqs_check(dev->irqs, argsz, set, ret_data_len);
}

int via_device_set_irqs(struct via_device *dev, const struct via_set_irqs *set)
{
	return via_irqs_set(dev->irqs, set);
}

/* --- counters --- */

static uint64_t counter(const uint64_t *c)
{
	return __atomic_load_n(c, __ATOMIC_RELAXED);
}

void via_device_get_stats(struct via_device *dev, struct via_device_stats *ret_stats)
{
	const struct via_device_counters *c = &dev->counters;

	*ret_stats = (struct via_device_stats){
		.config_reads = counter(&c->config_reads),
		.config_writes = counter(&c->config_writes),
		.bar_reads = counter(&c->bar_reads),
		.bar_writes = counter(&c->bar_writes),
		.doorbells = counter(&c->doorbells),
		.interrupts = via_irqs_delivered(dev->irqs),
		.resets = counter(&c->resets),
	};
}
