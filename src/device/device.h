/* SPDX-License-Identifier: MIT */
/*
 * The side of a device that transports use (vfio/, wire/, host/): open and
 * close, regions, interrupts, reset, attachment, mappings. A device's
 * semantics live here once; transports encode and decode.
 *
 * Region indexes, irq indexes and flags are the numbers of the VFIO ABI
 * (viaduct/abi/vfio.h): VIA_PCI_REGION_* below equal VFIO_PCI_*_REGION_INDEX.
 */
#ifndef VIA_DEVICE_DEVICE_H
#define VIA_DEVICE_DEVICE_H

#include <viaduct/device.h>

#include "pci/dev.h"

#include <sys/types.h>

enum {
	VIA_REGION_BAR0 = 0,
	VIA_REGION_ROM = 6,
	VIA_REGION_CONFIG = 7,
	VIA_REGION_VGA = 8,
	VIA_N_REGIONS = 9,
};

/* What of a function is kept by somebody else, or known from elsewhere. */
struct via_device_backing {
	/* Its config registers; ops NULL: the library's own, from the description. */
	struct via_config_dev config;
	unsigned int config_flags; /* enum via_config_flags, beside what the description says */
	bool told_reset;	   /* no_reset says whether it can be reset, else the description does */
	bool no_reset;
	uint32_t rom_bar; /* size of an expansion ROM whose image cannot be read; 0: none */
};

/* via_device_new() with a backing, which is copied; config.cookie must outlive the device. */
int via_device_new_on(const struct via_device_desc *desc, const struct via_device_backing *backing,
		      const struct via_device_ops *ops, void *model, struct via_error *err,
		      struct via_device **ret_device);

/*
 * For transports whose clients do not emulate MSI-X themselves: the capability's Enable
 * and Function Mask can be written, the table is read and written through the region
 * too, and masks and Enable decide on what is sent (pci-config.md 3.7). Eventfds come
 * by SET_IRQS as ever. Off by default. 0, or -EBUSY while it is open.
 */
int via_device_emulate_msix(struct via_device *dev, bool on);

/*
 * For a transport whose program is a guest: beside via_device_emulate_msix() what the guest
 * writes to MSI counts, and interrupts are messages and a line of the sink's (pci/irqs.h), not
 * eventfds. 0, or -EBUSY while it is open. NULL: no guest.
 */
int via_device_set_sink(struct via_device *dev, const struct via_irqs_sink *sink, void *cookie);

/* Does the function have a reset of its own, or one by a bridge above it? */
bool via_device_can_reset(const struct via_device *dev, bool below_bridge);

/* First open resets and builds config space; last close tears down (pci-config.md 6.1, 6.14). */
int via_device_open(struct via_device *dev);
void via_device_close(struct via_device *dev);

/* The name given at creation, and its address once it has been placed. */
const char *via_device_name(const struct via_device *dev);
const struct via_device_desc *via_device_desc(const struct via_device *dev);
void via_device_set_addr(struct via_device *dev, const struct via_pci_addr *addr);
const struct via_pci_addr *via_device_addr(const struct via_device *dev);

struct via_region_info {
	uint64_t size;	   /* 0: absent, which is no error */
	bool readable, writable;
	bool mappable;	   /* some part of it can be mapped */
	bool msix_table;   /* mappable and holds the MSI-X table */
	bool io;	   /* I/O ports */
};

/* 0, or -EINVAL for an index that does not exist (VGA on a non-VGA function included). */
int via_device_region_info(struct via_device *dev, unsigned int region,
			   struct via_region_info *ret_info);

/* 0, or -EINVAL (index, or ERR on a conventional function). */
int via_device_irq_info(struct via_device *dev, unsigned int index, struct via_irq_info *ret_info);

/*
 * Region access with the rules of pci-config.md 5 and 6.6: splitting, short
 * transfers at the end, EIO while memory is disabled, EFAULT past config
 * space. Return bytes done or negative errno.
 */
ssize_t via_device_region_read(struct via_device *dev, unsigned int region, uint64_t offset,
			       void *buf, size_t len);
ssize_t via_device_region_write(struct via_device *dev, unsigned int region, uint64_t offset,
				const void *buf, size_t len);

/*
 * One trapped CPU access through a mapping: like region_read/write, but not
 * filtered at the MSI-X table, and size is 1, 2, 4 or 8. -EIO means SIGBUS.
 */
int via_device_mapped_read(struct via_device *dev, unsigned int region, uint64_t offset,
			   unsigned int size, uint64_t *ret_value);
int via_device_mapped_write(struct via_device *dev, unsigned int region, uint64_t offset,
			    unsigned int size, uint64_t value);

/* Legacy VGA as it lies on the machine's buses; offsets of region VGA are addresses. */
struct via_vga_range {
	uint32_t start, last;
	bool io;
};
#define VIA_N_VGA_RANGES 3u
extern const struct via_vga_range via_vga_ranges[VIA_N_VGA_RANGES];

/*
 * One access by a bus that has the BAR, the ROM, or VGA in it: 1, 2, 4 or 8 bytes at any alignment
 * inside. -EIO: it does not decode memory. Whether it decodes ports is the caller's to know.
 */
int via_device_bar_read(struct via_device *dev, unsigned int region, uint64_t offset,
			unsigned int size, uint64_t *ret_value);
int via_device_bar_write(struct via_device *dev, unsigned int region, uint64_t offset,
			 unsigned int size, uint64_t value);

/* Is INTx, MSI or MSI-X armed? Lock-free, any thread. */
bool via_device_irq_armed(const struct via_device *dev, unsigned int index);

/*
 * Size of the data that flags and count ask for, after the checks of
 * pci-config.md 6.8 up to "argsz - 20 < count * size"; -EINVAL else.
 */
int via_device_irqs_check(struct via_device *dev, uint32_t argsz, const struct via_set_irqs *set,
			  size_t *ret_data_len);
/* The action itself; set already checked. 0, a positive count (too few vectors), or errno. */
int via_device_set_irqs(struct via_device *dev, const struct via_set_irqs *set);

/* Ask who has the device open to give it back: signals REQ. */
void via_device_request(struct via_device *dev);

/* --- SR-IOV --- */

/* NULL: not a physical function. */
const struct via_pci_sriov *via_device_sriov(const struct via_device *dev);
/* The physical function of a virtual one, else NULL. */
struct via_device *via_device_pf(const struct via_device *dev);
/* The address of virtual function index, once the physical one has been placed; false: there is none. */
bool via_device_vf_addr(const struct via_device *pf, unsigned int index,
			struct via_pci_addr *ret_addr);
/*
 * Make virtual function index, below total and not there now. The result is the
 * caller's and goes, by via_device_free(), before pf does.
 */
int via_device_vf_new(struct via_device *pf, unsigned int index, struct via_error *err,
		      struct via_device **ret_vf);
/* What the host writes to the physical function when it enables n, or disables all. */
int via_device_set_vfs(struct via_device *pf, unsigned int n);

/*
 * Around each call of a program through a descriptor, mmap(2) apart: what it
 * signalled before on ioeventfds is done, and the function is awake. Not
 * around accesses through a mapping. They nest.
 */
void via_device_begin(struct via_device *dev);
void via_device_end(struct via_device *dev);

/*
 * LOW_POWER_ENTRY and EXIT, in a call. wake_fd: an eventfd of ours, consumed on
 * success, or -1. -EINVAL: engaged already, or no eventfd.
 */
int via_device_low_power_entry(struct via_device *dev, int wake_fd);
void via_device_low_power_exit(struct via_device *dev);

/* What an ioeventfd writes, and where: its identity. */
struct via_ioeventfd_write {
	unsigned int region;
	unsigned int width; /* bytes: 1, 2, 4 or 8 */
	uint64_t offset;    /* in the region; need not be aligned */
	uint64_t data;
};

/*
 * VFIO_DEVICE_IOEVENTFD (pci-config.md 6.10) after the checks of flags. fd is
 * the caller's number, -1 removes, fd_get as in struct via_set_irqs. 0, -EINVAL,
 * -EEXIST, -ENODEV (none to remove), -ENOSPC, -EBADF, -ENOMEM.
 */
int via_device_ioeventfd(struct via_device *dev, const struct via_ioeventfd_write *what, int fd,
			 int (*fd_get)(void *cookie, int fd, int *ret_fd), void *cookie);

/* VFIO_DEVICE_RESET. */
int via_device_reset(struct via_device *dev);
/* Functions that a slot can have. */
#define VIA_SLOT_FUNCTIONS 8u
/*
 * VFIO_DEVICE_PCI_HOT_RESET: the functions of a slot, each once, by address. No BAR
 * of any can be reached before all have been reset.
 */
void via_devices_bus_reset(struct via_device *const *devs, unsigned int n);

struct via_domain;

/* Where DMA goes; NULL detaches. */
int via_device_attach(struct via_device *dev, struct via_ioas *ioas);
/* To a domain, which must outlive that; NULL detaches. The device's writes are recorded there. */
int via_device_attach_domain(struct via_device *dev, struct via_domain *domain);

/*
 * Mappings of a BAR. Each mappable BAR is one memfd of the BAR's size; areas
 * that are registers hold nothing in it. The device truncates it while memory
 * is disabled or during reset (SIGBUS in every mapper) and restores it after.
 */
struct via_region_map {
	int fd;			   /* borrowed: the region's memfd */
	uint64_t size;
	const struct via_area *areas; /* whole BAR, ascending, no gaps; borrowed, constant */
	size_t n_areas;
};

/* 0, -EINVAL (not mappable). */
int via_device_region_map(struct via_device *dev, unsigned int region,
			  struct via_region_map *ret_map);

/*
 * A mapper of a doorbell area that can report the next write: the host makes
 * one per mapping in a program (userfaultfd write protection), the device
 * arms it before its thread sleeps.
 */
struct via_doorbell_guard {
	struct via_doorbell_guard *next; /* the device's, under its guard lock */
	/* After 0 the next write through the mapping calls via_device_doorbell_ring(). */
	int (*arm)(struct via_doorbell_guard *guard);
	/* Writes need not be reported from now on; may be called when not armed. */
	void (*disarm)(struct via_doorbell_guard *guard);
};

void via_device_guard_add(struct via_device *dev, unsigned int region,
			  struct via_doorbell_guard *guard);
/* Returns when neither callback of guard runs any more. */
void via_device_guard_remove(struct via_device *dev, unsigned int region,
			     struct via_doorbell_guard *guard);
/* Something may have been written to a doorbell area. Any thread. */
void via_device_doorbell_ring(struct via_device *dev, unsigned int region);

/* Config space as the program sees it, for sysfs and `viaduct inspect`. */
size_t via_device_config_size(const struct via_device *dev);
/* Masks and device registers behind it; lives as long as the device. */
struct via_config *via_device_config(struct via_device *dev);

/*
 * Call fn when the last program gives the device up: before anything of it is
 * undone, and again (done) when the device is as the next one will find it. It
 * may read config space. Set before the first open; NULL: nothing.
 */
void via_device_on_close(struct via_device *dev,
			 void (*fn)(void *cookie, struct via_device *dev, bool done), void *cookie);

/* Counters for the report, all monotonic. */
struct via_device_stats {
	uint64_t config_reads, config_writes;
	uint64_t bar_reads, bar_writes; /* dispatched on the bus */
	uint64_t doorbells;		/* polls of a doorbell area that found work */
	uint64_t interrupts;		/* eventfds signalled */
	uint64_t resets;
};

void via_device_get_stats(struct via_device *dev, struct via_device_stats *ret_stats);

#endif
