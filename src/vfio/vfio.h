/* SPDX-License-Identifier: MIT */
/*
 * The VFIO subsystem: what `modprobe vfio-pci` would give. It owns groups and
 * their devices and opens nodes below /dev.
 */
#ifndef VIA_VFIO_VFIO_H
#define VIA_VFIO_VFIO_H

#include "vfio/file.h"

#include <viaduct/device.h>

struct via_vfio;

enum via_profile {
	VIA_PROFILE_FULL,  /* gaps of Linux closed; default */
	VIA_PROFILE_LINUX, /* exactly as Linux 7.2 */
};

enum via_bars {
	VIA_BARS_AUTO, /* trap, but io for a VMM */
	VIA_BARS_TRAP, /* registers are mapped and trapped */
	VIA_BARS_IO,   /* registers are offered without MMAP (sparse mmap around them) */
};

enum via_memlock {
	VIA_MEMLOCK_WARN,    /* count, and say once what a kernel would refuse */
	VIA_MEMLOCK_ENFORCE, /* RLIMIT_MEMLOCK as the kernel */
};

/* What stands between the devices and memory. */
enum via_iommu_kind {
	VIA_IOMMU_INTEL, /* containers are type1; iommufd */
	VIA_IOMMU_SPAPR, /* a POWER machine: containers are sPAPR TCE v1 or v2 */
	VIA_IOMMU_NONE,	 /* groups are noiommu-N: IOVAs are addresses of the program */
};

struct via_vfio_config {
	enum via_profile profile;
	enum via_bars bars;
	enum via_memlock memlock;
	const struct via_iommu_props *iommu; /* NULL: via_iommu_props_intel() */
	bool iommu_test;       /* /dev/iommu offers the kernel's IOMMU_TEST commands */
	bool compat_container; /* iommufd serves /dev/vfio/vfio */
	/*
	 * Mappings in one container; 0: those of iommu for type1, any number for an iommufd that is
	 * used as one (and there in profile full only).
	 */
	uint32_t dma_entry_limit;
	/*
	 * Profile full: how long devices wait for private memory whose address is suspended;
	 * 0: the default, < 0: not at all.
	 */
	int32_t vaddr_wait_ms;
	enum via_iommu_kind iommu_kind;
	struct via_check *check; /* iommu/check.h: hears of maps, unmaps and refused DMA; borrowed, may be NULL */
};

int via_vfio_new(const struct via_vfio_config *config, struct via_vfio **ret_vfio);
/* How long its devices wait for memory whose address is suspended, in ms; 0: not at all. */
unsigned int via_vfio_vaddr_wait(const struct via_vfio *vfio);
/* No file may be open. Frees the devices. */
void via_vfio_free(struct via_vfio *vfio);

/*
 * Place a device; vfio owns it afterwards (also on failure).
 * group: number, or -1 for the first free one. -EEXIST address taken.
 */
int via_vfio_add(struct via_vfio *vfio, struct via_device *dev, const struct via_pci_addr *addr,
		 int group, struct via_error *err);

/*
 * Iterate over placed devices, by address: NULL at the end. Virtual functions
 * may be removed at any time that a program can ask for it.
 */
struct via_device *via_vfio_device(struct via_vfio *vfio, size_t i);
int via_vfio_device_group(struct via_vfio *vfio, size_t i);
/* N of its node vfio/devices/vfioN, or -1. */
int via_vfio_device_number(struct via_vfio *vfio, const struct via_device *dev);
/* All of them, with a lock held: fn calls nothing of this file. */
void via_vfio_each(struct via_vfio *vfio,
		   void (*fn)(void *cookie, struct via_device *dev, unsigned int group),
		   void *cookie);

/*
 * Is there a place for dev, which has none yet, at addr, and for the virtual
 * functions that it can have?
 */
bool via_vfio_fits(struct via_vfio *vfio, struct via_device *dev, const struct via_pci_addr *addr);

/*
 * SR-IOV. Virtual functions come and go as devices in groups of their own. Who
 * shows them to programs hears of it; called with a lock held, so that none of
 * this file's functions may be called back. All optional.
 */
struct via_vfio_vf_ops {
	/*
	 * vf is there, number is N of its node vfio/devices/vfioN. A negative errno takes it
	 * away again, with all others.
	 */
	int (*added)(void *cookie, struct via_device *vf, unsigned int index, unsigned int group,
		     unsigned int number);
	/* It will go as soon as nobody has it open. */
	void (*leaving)(void *cookie, struct via_device *vf, unsigned int index);
	/* It is in no group any more, and will be freed. */
	void (*removed)(void *cookie, struct via_device *vf, unsigned int group,
			unsigned int number);
	/* pf now has n, and its registers say so. */
	void (*changed)(void *cookie, struct via_device *pf, unsigned int n);
};

/* cookie must outlive vfio. */
void via_vfio_on_vfs(struct via_vfio *vfio, const struct via_vfio_vf_ops *ops, void *cookie);

/* How many virtual functions pf has, or -ENOENT: it is no physical function. */
int via_vfio_numvfs(struct via_vfio *vfio, const struct via_device *pf);

/*
 * Have n, with the errnos of sriov_numvfs: -ERANGE too many, -EBUSY another
 * number has been enabled. Removal waits until nobody has one of them open; with
 * caller NULL, or when caller is gone, it goes on by itself.
 */
int via_vfio_set_numvfs(struct via_vfio *vfio, const struct via_device *pf, unsigned int n,
			struct via_caller *caller);
/* Wait for a removal that is under way. */
void via_vfio_wait_vfs(struct via_vfio *vfio, const struct via_device *pf,
		       struct via_caller *caller);

/* The node of a group, below /dev: "vfio/7", or without an IOMMU "vfio/noiommu-7". */
#define VIA_GROUP_NODE_LEN 32
void via_vfio_group_node(const struct via_vfio *vfio, unsigned int group,
			 char ret_node[VIA_GROUP_NODE_LEN]);
/* Do devices have nodes of their own? Without an IOMMU they have none. */
bool via_vfio_device_nodes(const struct via_vfio *vfio);

/*
 * Open a node: "iommu", "vfio/vfio", "vfio/7" (see above), "vfio/devices/vfio3". -ENOENT
 * when there is none. flags are open(2)'s. On 0 *ret_file has one reference.
 */
int via_vfio_open(struct via_vfio *vfio, struct via_caller *caller, const char *node, int flags,
		  struct via_file **ret_file);

#endif
