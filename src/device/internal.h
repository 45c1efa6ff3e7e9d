/* SPDX-License-Identifier: MIT */
/*
 * What the files of this room share: one struct via_device.
 *
 * Locks of a device, outermost first:
 *   open_lock     first open and last close
 *   migration     states of migration, sessions; while the device is open its
 *                 holder may stop and start the worker
 *   power.lock    low power: entry, suspend, resume, exit (power.c)
 *   ioeventfds.lock  their list, and the writes that they make (ioeventfd.c)
 *   config lock   inside via_config: one transaction with its hooks, or a reset
 *   memory_lock   readers: each access to a BAR, each poll of its doorbells;
 *                 writer: whatever switches memory decoding, and reset
 *   model_lock    callbacks of the model (register accesses only when the model
 *                 is not VIA_DEVICE_CONCURRENT; reset has memory_lock for those)
 *   irq engine    its own; called with any of the above held
 * The reset of a physical function takes, inside its config lock, its vf_lock
 * for reading and then the locks of each of its virtual functions. These may take the
 * model_lock of the physical one.
 *
 * The worker's, the peers' and the guards' locks are leaves: nothing else is taken inside
 * them, except that a guard's callbacks run with guard_lock held.
 *
 * DMA may be done with the model_lock held, or memory_lock for reading; it waits for no lock
 * of another device (peers.h).
 *
 * A bus callback runs in an epoch section and may wait for model_lock, so
 * nothing that waits for a grace period may be called with model_lock held.
 */
#ifndef VIA_DEVICE_INTERNAL_H
#define VIA_DEVICE_INTERNAL_H

#include "device/device.h"
#include "device/migration.h"
#include "device/peers.h"
#include "pci/config.h"

#include <viaduct/bus.h>

#include <pthread.h>

#define VIA_DEVICE_PAGE 4096u

/* One Base Address Register. Constant after via_device_new() unless said otherwise. */
struct via_bar {
	struct via_device *dev;
	unsigned int index;
	uint64_t size;		 /* 0: not implemented, or the upper half of the one before */
	bool io, unmappable;
	struct via_bus *bus;	 /* who answers an access */
	struct via_area *areas;	 /* the whole mapping, ascending, no gaps */
	size_t n_areas;
	bool has_doorbells;
	uint64_t map_size;	 /* size rounded to pages; 0: not mappable */
	int memfd;		 /* -1: not mappable */
	/*
	 * The bytes of doorbell and memory areas, map_size long, NULL when there
	 * are none. Backed by memfd, or by private memory while mappings are
	 * revoked; the address stays.
	 */
	uint8_t *memory;
	bool revoked;		 /* memory_lock */
};

/* A descriptor that the worker polls. */
struct via_watch {
	int fd;
	uint64_t events; /* for the model; 0: the resample eventfd of INTx */
};

struct via_worker {
	pthread_t thread;	/* as running; valid then */
	bool running;		/* open_lock, or migration lock while open */
	int epoll_fd;		/* constant */
	int wake_fd;		/* constant; eventfd in epoll_fd */
	bool stop;		/* atomic */
	bool asleep;		/* atomic: about to wait, so a wake-up is needed */
	bool rung;		/* atomic: a doorbell may have been written */
	uint64_t events;	/* atomic: given to via_device_kick() */
	pthread_mutex_t lock;	/* watches */
	struct via_watch *watches;
	size_t n_watches;
	pthread_mutex_t guard_lock; /* guards, guards_armed */
	struct via_doorbell_guard *guards;
	bool guards_armed;
	bool arm_failed;	/* worker thread: said once */
};

struct via_migration {
	pthread_mutex_t lock;	/* all below, unless said otherwise */
	enum via_migration_state state;
	struct via_migration_session *session; /* a reference; NULL: none is open */
	bool precopy_v2;
	bool was_reset;		/* atomic: since the state was looked at */
	bool quiet, frozen;	/* memory_lock: see migration.c */
	bool halted;		/* dma_lock too: it may not master the bus */
};

/* Low power, as a kernel's runtime power management has it: power.c. */
struct via_power {
	pthread_mutex_t lock;
	unsigned int users; /* atomic: calls under way that need the function awake */
	bool engaged;	    /* atomic; written with lock and memory_lock held */
	bool suspended;	    /* atomic; written with lock held */
	bool sleeps;	    /* atomic; of suspended: an interrupt is a power management event */
	bool event;	    /* atomic: there was one, for the worker */
	bool intx_masked;   /* lock: INTx is to be unmasked on resume */
	int wake_fd;	    /* lock; -1: none */
	bool has_vfs;	    /* the host's, who changes that one at a time */
};

struct via_ioeventfd;

struct via_ioeventfds {
	int epoll_fd; /* constant; in the worker's: readable when one of them is signalled */
	unsigned int n; /* atomic; written with lock held */
	pthread_mutex_t lock;
	struct via_ioeventfd *first; /* lock; youngest first */
};

struct via_device_counters {
	uint64_t config_reads, config_writes;
	uint64_t bar_reads, bar_writes;
	uint64_t doorbells;
	uint64_t resets;
};

struct via_device {
	const struct via_device_desc *desc;
	const struct via_device_ops *ops;
	void *model;
	struct via_device_backing backing; /* constant */
	struct via_pci_addr addr; /* set once, before the device is used */
	struct via_irqs *irqs;
	struct via_config *config;
	struct via_dma *dma;
	pthread_mutex_t dma_lock; /* a leaf: whether the function may master the bus */
	bool bus_master; /* dma_lock: Bus Master Enable as last told */
	bool low_power;	 /* dma_lock: D1 to D3hot */
	bool msix_emulated; /* constant while open */
	struct via_migration migration;
	struct via_bar bars[VIA_PCI_BARS];
	struct via_bar vga; /* legacy VGA, by address; size 0: it has none. COMMAND does not gate it */
	uint32_t rom_size; /* constant; 0: none */

	/* SR-IOV. Constant, but for vfs; pf and vf_index are set before anybody else sees the device. */
	const struct via_pci_sriov *sriov; /* NULL: no physical function */
	struct via_device *pf;		   /* NULL: no virtual function */
	unsigned int vf_index;
	/* Readers never wait for a writer that waits: one may hold a lock that another wants. */
	pthread_rwlock_t vf_lock;
	struct via_device **vfs; /* vf_lock: sriov->total of them, NULL where there is none */

	pthread_mutex_t open_lock;
	unsigned int opens; /* open_lock */
	/* Constant once the device is open; called with open_lock held. */
	void (*closing)(void *cookie, struct via_device *dev, bool done);
	void *closing_cookie;

	pthread_rwlock_t memory_lock;
	bool memory_on; /* memory_lock: the function answers memory accesses */
	bool mapped;	/* memory_lock: so do mappings; memory_on and low power not engaged */
	unsigned int refs; /* atomic: the owner, and each export and session, which may outlive it */
	struct via_region_export *exports; /* memory_lock */
	unsigned int n_exports, n_export_ranges; /* memory_lock */

	struct via_power power;
	struct via_ioeventfds ioeventfds;
	pthread_mutex_t model_lock;	  /* taken by via_peers_lock_model() */
	struct via_device *model_outer;	  /* model_lock: see peers.c */
	struct via_peers peers;
	struct via_worker worker;
	struct via_device_counters counters; /* atomic, relaxed */
};

static inline void via_count(uint64_t *counter)
{
	__atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
}

/* device.c: let it master the bus, or not, as things stand. */
void via_device_update_dma(struct via_device *dev);
void via_device_set_halted(struct via_device *dev, bool halted);

/* migration.c */
void via_migration_init(struct via_device *dev);
/* The device goes away: what is left of a session knows that it is over. */
void via_migration_end(struct via_device *dev);
void via_migration_deinit(struct via_device *dev);
/* Last close; the model has been reset. */
void via_migration_close(struct via_device *dev);
/* What follows from a reset; none of the locks may be held. */
void via_migration_settle(struct via_device *dev);

/* validate.c: 0, or -EINVAL with text. */
int via_device_validate(const struct via_device_desc *desc, const struct via_device_ops *ops,
			struct via_error *err);

/* sriov.c */
int via_vfs_init(struct via_device *dev);
/* A physical function was reset, a virtual one goes away. */
void via_vfs_lose(struct via_device *pf);
void via_vfs_unlink(struct via_device *vf);

/* bars.c */
/* The range of legacy VGA that addr is in; NULL: none, or no VGA. */
const struct via_vga_range *via_vga_range_at(const struct via_device *dev, uint64_t addr);
int via_bars_init(struct via_device *dev);
void via_bars_deinit(struct via_device *dev);

/*
 * region.c: of another device's DMA to registers, on the peers' thread. -EIO it does not answer; it
 * does not wait for a reset that is under way.
 */
int via_device_peer_access(struct via_device *dev, unsigned int region, uint64_t offset,
			   uint8_t *buf, size_t len, bool write);

/* mapping.c */
int via_bar_mapping_init(struct via_bar *bar);
void via_bar_mapping_deinit(struct via_bar *bar);
bool via_bar_page_is_zero(const uint8_t *page);
/* Both with memory_lock held for writing. */
void via_bar_revoke(struct via_bar *bar);
void via_bar_restore(struct via_bar *bar);
/*
 * Switch one of the two things that mappings depend on: dev->memory_on or
 * dev->power.engaged. Takes memory_lock.
 */
void via_mappings_switch(struct via_device *dev, bool *what, bool on);

/* power.c */
void via_power_init(struct via_device *dev);
void via_power_deinit(struct via_device *dev);
/* The last program has closed it: awake, and nobody is told. */
void via_power_end(struct via_device *dev);
/* The model wants an interrupt; any thread, any lock of the model's held. */
void via_power_event(struct via_device *dev);
/* The worker, after an event. */
void via_power_wake(struct via_device *dev);

/* ioeventfd.c */
int via_ioeventfds_init(struct via_device *dev);
void via_ioeventfds_deinit(struct via_device *dev);
/* Make the writes of those that have been signalled. No lock held. */
void via_ioeventfds_run(struct via_device *dev);
void via_ioeventfds_close(struct via_device *dev);

/* export.c; memory_lock held for writing */
/*
 * For what may be left of a device that has been freed: it keeps the structure
 * and its locks, nothing else.
 */
void via_device_hold(struct via_device *dev);
void via_device_let_go(struct via_device *dev);
void via_exports_revoke(struct via_device *dev);
void via_exports_restore(struct via_device *dev);
/* At last close, for ever. Takes memory_lock. */
void via_exports_close(struct via_device *dev);

/* doorbell.c: look at every doorbell area once. True if anything was new. */
bool via_doorbells_poll(struct via_device *dev);
/* 0 when every mapping reports its next write; else polling must go on. */
int via_guards_arm(struct via_device *dev);
void via_guards_disarm(struct via_device *dev);
bool via_guards_present(struct via_device *dev);

/* worker.c */
int via_worker_init(struct via_device *dev);
void via_worker_deinit(struct via_device *dev);
int via_worker_start(struct via_device *dev);
void via_worker_stop(struct via_device *dev);
void via_worker_wake(struct via_device *dev);
/* The irq engine's resample eventfd. */
int via_worker_watch_resample(struct via_device *dev, int fd);
void via_worker_unwatch(struct via_device *dev, int fd);

#endif
