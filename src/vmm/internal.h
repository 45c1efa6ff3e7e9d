/* SPDX-License-Identifier: MIT */
/*
 * A PCI host bridge for the VMM that links the library: what its files share.
 *
 * A guest's access is a bus callback, hence in a read section, and may wait for a lock. So
 * nothing here waits for a grace period with a lock held: who changes the buses is in a
 * section himself, where a commit does not wait, and waits afterwards, if at all. He leaves it
 * without a lock, as it may be there that others' deferred work is done.
 *
 * Locks, outermost first:
 *   plug        what may wait: add, reset. Not taken by callbacks or removals
 *   lock        the table of functions, what their BARs are on the buses
 *   wires.lock  a leaf, taken with a function's interrupt lock held; ops->intx runs in it
 */
#ifndef VIA_VMM_INTERNAL_H
#define VIA_VMM_INTERNAL_H

#include <viaduct/vmm.h>

#include "base/epoch.h"
#include "device/device.h"

#include <pthread.h>
#include <stdatomic.h>

#define VIA_ROOT_FUNCTIONS 256u
#define VIA_ROOT_ECAM_SIZE (VIA_ROOT_FUNCTIONS << 12)
#define VIA_ROOT_PINS (VIA_PCI_SLOTS * 4u)
/* BARs 0 to 5, the expansion ROM, and the ranges of legacy VGA. */
#define VIA_ROOT_ROM VIA_PCI_BARS
#define VIA_ROOT_VGA (VIA_ROOT_ROM + 1u)
#define VIA_ROOT_BARS (VIA_ROOT_VGA + VIA_N_VGA_RANGES)

struct via_root_function;

/* One BAR, or what is like one, on a bus of the machine's. */
struct via_root_bar {
	struct via_root_function *function; /* constant */
	/* Constant while the function is plugged in. */
	unsigned int region; /* of the device */
	bool io;
	uint64_t size;
	struct via_claim *claim; /* NULL: there is no such BAR, or no bus for it */

	uint64_t start; /* root->lock: of the claim, whether it is seen or not */
	bool on;	/* root->lock: it is seen */
};

/* A function that is plugged in. */
struct via_root_function {
	/* Constant. */
	struct via_pci_root *root;
	struct via_device *dev;
	unsigned int devfn;
	unsigned int wire; /* of its interrupt pin; VIA_ROOT_PINS: it has none */

	atomic_uint refs; /* the table and removal are one, others pass */
	bool open;	  /* root->plug, or of the last reference: the device is */
	bool off;	  /* root->lock: no BAR is to be seen, whatever config space says */
	struct via_root_bar bars[VIA_ROOT_BARS];
	struct via_root_function *next_held;	/* of a reset: root->plug */
	struct via_root_function *next_leaving; /* root->lock */

	/* Set before the removal is under way, by whoever has taken it out of the table. */
	void (*done)(void *opaque, struct via_device *dev);
	void *opaque;
};

struct via_root_wires {
	pthread_mutex_t lock;
	uint16_t raised[VIA_ROOT_PINS]; /* lock: functions that pull it */
};

struct via_pci_root {
	struct via_pci_root_desc desc; /* constant */
	uint8_t bridge[64];	       /* constant: config space of 00.0 */

	/*
	 * Gives up what callbacks have taken out. They cannot wait, and what runs after a grace
	 * period by itself may run on a thread that is in the middle of anything, of the device's
	 * too.
	 */
	pthread_t reaper;		   /* while reaper_runs */
	bool reaper_runs;		   /* plug */
	bool stop;			   /* lock: it ends when nothing is leaving */
	struct via_root_function *leaving; /* lock */
	pthread_cond_t work;		   /* for it: either has changed */

	pthread_mutex_t plug;
	pthread_mutex_t lock;
	pthread_cond_t gone;	  /* a function is, n_functions has changed */
	unsigned int n_functions; /* lock: that are not free yet, in the table or not */
	struct via_root_function *_Atomic functions[VIA_ROOT_FUNCTIONS]; /* by device and function;
									    stored with lock held,
									    read in a section */
	_Atomic uint32_t config_address;				 /* 0xcf8 */
	struct via_claim *ecam, *address_port, *data_port;		 /* constant */
	struct via_root_wires wires;
};

static inline void via_root_lock(struct via_pci_root *root)
{
	via_epoch_enter();
	pthread_mutex_lock(&root->lock);
}

static inline void via_root_unlock(struct via_pci_root *root)
{
	pthread_mutex_unlock(&root->lock);
	via_epoch_exit();
}

/* In a section, or with lock held. */
static inline struct via_root_function *via_root_function_at(struct via_pci_root *root,
							     unsigned int devfn)
{
	return atomic_load_explicit(&root->functions[devfn], memory_order_acquire);
}

/* bars.c. Unseen at first; as via_bus_add(). */
int via_root_bars_add(struct via_root_function *function);
/* What config space says, on the buses. Lock held, in a section. */
void via_root_bars_update(struct via_root_function *function);
/* In a section. None of them is there any more: callbacks may still run for a grace period. */
void via_root_bars_remove(struct via_root_function *function);

/* config.c */
void via_root_bridge_init(struct via_pci_root *root);
/* 0, or as via_bus_add(). */
int via_root_config_claim(struct via_pci_root *root);
void via_root_config_unclaim(struct via_pci_root *root);

/* interrupts.c: the sink of a function, which is the cookie. */
extern const struct via_irqs_sink via_root_sink;
unsigned int via_root_wire(const struct via_pci_root *root, unsigned int devfn, unsigned int pin);

#endif
