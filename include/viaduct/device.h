/* SPDX-License-Identifier: MIT */
/**
 * DOC: viaduct/device.h - the device model interface
 *
 * A model says what it is (struct via_device_desc) and what its registers do
 * (struct via_device_ops). Config space, BAR sizing, MSI and MSI-X tables,
 * masks, pending bits, resets, mappings and DMA protection are the library's.
 * Every callback of one device is serialised by the library's per-device lock
 * unless the model sets VIA_DEVICE_CONCURRENT, so a simple model needs no
 * lock of its own.
 */
#ifndef VIADUCT_DEVICE_H
#define VIADUCT_DEVICE_H

#include <viaduct/iommu.h>
#include <viaduct/pci.h>

#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct via_device;

/**
 * struct via_bar_desc - one Base Address Register
 * @size: bytes, power of two (memory >= 16, I/O >= 4); 0: not implemented
 * @flags: enum via_bar_flags
 * @areas: what parts mean when mapped; parts not named are VIA_AREA_REGISTER.
 *	MSI-X table and PBA pages are always registers
 * @valid_min, @valid_max, @impl_min, @impl_max: width rules for @ops->read and
 *	write, as in struct via_claim_desc; 0 means 1 and 8
 */
struct via_bar_desc {
	uint64_t size;
	unsigned int flags;
	const struct via_area *areas;
	size_t n_areas;
	uint8_t valid_min, valid_max, impl_min, impl_max;
};

enum via_device_flags {
	VIA_DEVICE_CONCURRENT = 1u << 0, /* callbacks may run at the same time */
	/* Programs see every capability, also those that vfio-pci hides. */
	VIA_DEVICE_ALL_CAPABILITIES = 1u << 1,
	/*
	 * An SR-IOV virtual function, from @ops->vf_new: PCI Express, without
	 * interrupt pin, ROM and I/O BARs. Its ids and BARs are those that the
	 * physical function's capability says.
	 */
	VIA_DEVICE_VF = 1u << 2,
};

/** VIA_DEVICE_VGA - instead of a BAR: legacy VGA, 0xa0000-0xbffff, 0x3b0-0x3bb, 0x3c0-0x3df */
#define VIA_DEVICE_VGA 8u

/** struct via_device_desc - what a function is; kept by reference, constant */
struct via_device_desc {
	const char *name; /* for messages, e.g. "edu" */
	struct via_pci_ident ident;
	struct via_bar_desc bars[VIA_PCI_BARS];
	struct via_pci_rom rom;
	struct via_pci_msi msi;
	struct via_pci_msix msix;
	struct via_pci_express express;
	bool power_management; /* PM capability with D0 and D3hot */
	const struct via_pci_cap *caps; /* n_caps further capabilities */
	size_t n_caps;
	unsigned int flags;
};

/** enum via_migration_flags - what a model's migration offers beside stop and copy */
enum via_migration_flags {
	/* Accesses may come while it must not master the bus: RUNNING_P2P. */
	VIA_MIGRATION_P2P = 1u << 1,
	/* @save may be called while the device runs: PRE_COPY. */
	VIA_MIGRATION_PRE_COPY = 1u << 2,
};

/**
 * struct via_migration_ops - how a model is moved to another host
 * @flags: enum via_migration_flags
 * @version: of the bytes that @save gives, for a @load that knows older ones
 * @max_size: most bytes that @save gives; at most %VIA_MIGRATION_STATE_MAX
 *
 * Config space, the MSI-X table, messages that are pending, the INTx pin and
 * what is in doorbell and memory areas are the library's to save and load; the
 * model gives the rest as bytes. While a device is stopped the library runs
 * neither @work nor @doorbell, holds interrupts back and lets no access to a
 * register through (%VIA_MIGRATION_P2P: lets it through). So a model that does
 * its DMA in @work and @doorbell needs @save and @load only. What it has learned
 * by @config_write it is not told again, so that is part of its state. With
 * %VIA_MIGRATION_P2P an access to a register must not do DMA by itself.
 */
struct via_migration_ops {
	unsigned int flags;
	uint32_t version;
	size_t max_size;
	/**
	 * @stop: no DMA, no lease and no change of state from the model's own
	 * threads and I/O after this, until @resume. Not called with the
	 * device's lock held. Negative errno: it cannot; the device is then in
	 * the error state until it is reset. Optional
	 */
	int (*stop)(struct via_device *dev, void *model);
	/** @resume: the opposite; also after a reset while stopped. Optional */
	void (*resume)(struct via_device *dev, void *model);
	/**
	 * @save: the state in @buf, which has room for @max_size bytes. With the
	 * device's lock held. Return: length or negative errno
	 */
	ssize_t (*save)(struct via_device *dev, void *model, uint8_t *buf);
	/**
	 * @load: take over a state. The bytes come from another program and may
	 * be anything: check them all before the first is used. Kick what has to
	 * go on when the device runs again. With the device's lock held, stopped.
	 * Return: 0 or -EINVAL with text in @err
	 */
	int (*load)(struct via_device *dev, void *model, uint32_t version, const uint8_t *buf,
		    size_t len, struct via_error *err);
};

/** VIA_MIGRATION_STATE_MAX - bound of via_migration_ops.max_size */
#define VIA_MIGRATION_STATE_MAX ((size_t)16 << 20)

/**
 * struct via_device_ops - a model's callbacks; all optional but @free may matter
 *
 * @offset is from the start of the BAR. @size is 1, 2, 4 or 8 within the
 * BAR's width rules. A function of class 0x0300 (VGA) also hears of accesses
 * to legacy VGA memory and ports, as BAR VIA_DEVICE_VGA and by their address.
 * Doorbell and memory areas are not passed to read/write: they are bytes in
 * shared memory, see via_device_region_memory().
 */
struct via_device_ops {
	/** @read: a register read by the CPU side */
	uint64_t (*read)(struct via_device *dev, void *model, unsigned int bar, uint64_t offset,
			 unsigned int size);
	void (*write)(struct via_device *dev, void *model, unsigned int bar, uint64_t offset,
		      unsigned int size, uint64_t value);
	/**
	 * @doorbell: look at the doorbell memory and act on what is new. Called
	 * by the device's thread while doorbells are busy, once more before it
	 * sleeps, and after a write by pwrite or trap on the thread of that
	 * write. Never at the same time as itself, @work or @reset. Return:
	 * true if anything was new.
	 */
	bool (*doorbell)(struct via_device *dev, void *model, unsigned int bar);
	/** @work: events given to via_device_kick() since the last call, on the device's thread */
	void (*work)(struct via_device *dev, void *model, uint64_t events);
	/**
	 * @config_write: a program wrote to a vendor-specific capability, at
	 * @pos of config space. The registers themselves change as their
	 * description says, before this is called
	 */
	void (*config_write)(struct via_device *dev, void *model, unsigned int pos,
			     unsigned int size, uint32_t value);
	/**
	 * @config_read: what is read of a vendor-specific capability at @pos
	 * of config space; @value is what its description and writes left
	 * there. For registers that change by themselves. Tools look too, so
	 * it must have no side effect. Bytes that are not of the capability's
	 * body stay as they are
	 */
	uint32_t (*config_read)(struct via_device *dev, void *model, unsigned int pos,
				unsigned int size, uint32_t value);
	/**
	 * @vf_new: make virtual function @index of this physical one (which has
	 * VIA_CAP_SRIOV) with via_device_new(), its description flagged
	 * VIA_DEVICE_VF. Called without the device's lock, never twice at the
	 * same time. Virtual functions are freed before their physical one. A
	 * callback of theirs may take its lock, one of its may not take theirs;
	 * when it is reset, they are (VIA_RESET_PF). 0 or a negative errno.
	 */
	int (*vf_new)(struct via_device *dev, void *model, unsigned int index,
		      struct via_error *err, struct via_device **ret_vf);
	/** @reset: initial register state; stop DMA, cancel I/O in flight, put all leases */
	void (*reset)(struct via_device *dev, void *model, enum via_reset kind);
	/** @free: the device goes away; no callback runs afterwards */
	void (*free)(void *model);
	/** @migration: how its state moves to another host; NULL: it cannot */
	const struct via_migration_ops *migration;
};

/**
 * via_device_new() - make a function of a model
 * @desc: kept by reference
 * @ops: kept by reference
 * @model: passed to the callbacks; @ops->free(@model) when the device is freed,
 *	also when this call fails
 * @err: text naming what is wrong in @desc
 * @ret_device: owned by the caller, via_device_free()
 *
 * Return: 0; -EINVAL with text; -ENOMEM.
 */
VIA_PUBLIC int via_device_new(const struct via_device_desc *desc, const struct via_device_ops *ops,
			      void *model, struct via_error *err, struct via_device **ret_device);
/**
 * via_device_free() - end a function that nothing has open; NULL is allowed
 *
 * Its thread is stopped first; then @ops->free puts the last leases. Waits for callbacks
 * that run, so not in one.
 */
VIA_PUBLIC void via_device_free(struct via_device *dev);

/**
 * via_device_dma() - the handle for via_dma_*(); lives as long as the device
 *
 * For accesses, leases and counters. via_dma_attach(), enable and free are the library's
 * for it, unless the device is used without a program.
 */
VIA_PUBLIC struct via_dma *via_device_dma(struct via_device *dev);

/**
 * via_device_region_memory() - shared bytes of a doorbell or memory area
 * @offset: inside such an area
 *
 * The pointer is stable for the life of the device, also while the program's
 * mappings are revoked. Return: NULL when @offset is in no such area.
 */
VIA_PUBLIC void *via_device_region_memory(struct via_device *dev, unsigned int bar, uint64_t offset);

/**
 * via_irq_trigger() - send interrupt message @vector (MSI or MSI-X)
 *
 * Masked vectors become pending and are sent on unmask. Never blocks. With
 * neither MSI nor MSI-X armed nothing happens. Any thread.
 */
VIA_PUBLIC void via_irq_trigger(struct via_device *dev, unsigned int vector);

/**
 * via_vf_irq_trigger() - via_irq_trigger() on virtual function @index of @pf
 *
 * Nothing happens when there is none. Any thread, also from callbacks of either,
 * but not with a lock of the model's held that @ops->reset of a virtual function takes.
 */
VIA_PUBLIC void via_vf_irq_trigger(struct via_device *pf, unsigned int index, unsigned int vector);

/** via_irq_set_level() - drive the INTx pin; level-triggered. Any thread */
VIA_PUBLIC void via_irq_set_level(struct via_device *dev, bool asserted);

/** via_irq_message_mode() - true while MSI or MSI-X is armed. Any thread */
VIA_PUBLIC bool via_irq_message_mode(struct via_device *dev);

/** via_device_kick() - have @ops->work run on the device's thread; events are or-ed. Any thread */
VIA_PUBLIC void via_device_kick(struct via_device *dev, uint64_t events);

/**
 * via_device_watch() - have @ops->work see @events when @fd becomes readable
 * @fd: e.g. an io_uring or eventfd descriptor; the model reads it; not closed by the library
 * @events: for @ops->work; another call for the same @fd changes them; 0: watch it no more
 *
 * Any thread. Unwatched when the device is freed; before @fd is closed.
 * Return: 0; -ENOMEM; an errno of epoll_ctl(2), as -EPERM for a regular file, -EBADF.
 */
VIA_PUBLIC int via_device_watch(struct via_device *dev, int fd, uint64_t events);

/**
 * via_device_lock() - the per-device lock, for a model's own threads
 *
 * Held around each callback that does not say otherwise, unless the model sets
 * VIA_DEVICE_CONCURRENT; so not taken in such a one. Not recursive.
 */
VIA_PUBLIC void via_device_lock(struct via_device *dev);
/** via_device_unlock() - give it back, on the thread that has it */
VIA_PUBLIC void via_device_unlock(struct via_device *dev);

#ifdef __cplusplus
}
#endif

#endif
