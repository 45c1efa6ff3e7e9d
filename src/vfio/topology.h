/* SPDX-License-Identifier: MIT */
/*
 * What vfio/ keeps: groups, the devices placed in them, containers, and who
 * has what open.
 *
 * Locks. via_vfio.lock orders everything that changes who is open and who is
 * attached: it is held while a device is opened, reset for opening, attached
 * or closed. MAP, UNMAP and the other work of a container's IOMMU and all
 * region and interrupt work of a device run without it. Order:
 * via_vfio.lock, via_container.lock; a device's and the IOMMU's own locks come
 * below both.
 *
 * Nothing that touches a caller's memory or descriptors runs under a lock, so
 * a program that stops in the middle of a call delays nobody else.
 */
#ifndef VIA_VFIO_TOPOLOGY_H
#define VIA_VFIO_TOPOLOGY_H

#include "device/device.h"
#include "iommu/type1.h"
#include "vfio/vfio.h"

#include <pthread.h>

#define VIA_CONTAINER_OF(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))

/*
 * A container's IOMMU. Calls in flight hold a reference: when the last group
 * leaves meanwhile they finish on an address space that nobody uses any more.
 */
struct via_backend {
	int refs; /* atomic */
	struct via_type1 *type1;
};

struct via_container {
	struct via_file file;
	struct via_vfio *vfio;
	unsigned int refs;	     /* vfio->lock: its file, and each group in it */
	unsigned int n_groups;	     /* vfio->lock */
	pthread_mutex_t lock;	     /* protects backend; held for no work */
	struct via_backend *backend; /* written under vfio->lock and lock; NULL: no type set */
};

struct via_group {
	struct via_vfio *vfio;
	struct via_group *next; /* constant once published under vfio->lock */
	unsigned int number;
	unsigned int n_devices;		 /* vfio->lock; a group goes with its last device */
	bool gone;			 /* vfio->lock: it has, and only its users keep it */
	unsigned int users;		 /* vfio->lock: the open file, and each open device file */
	unsigned int n_open;		 /* vfio->lock: open device files */
	struct via_container *container; /* vfio->lock; a reference */
};

struct via_group_file {
	struct via_file file;
	struct via_group *group;
};

/* A device at its place. */
struct via_placed {
	struct via_device *dev;
	struct via_pci_addr addr;
	char name[VIA_PCI_ADDR_LEN];
	struct via_group *group;
	struct via_sriov *sriov; /* constant; of a physical function, owned */
	struct via_placed *pf;	 /* constant; of a virtual function */
	bool going;	     /* vfio->lock: nobody can open it any more */
	unsigned int n_open; /* vfio->lock: device files */
};

struct via_device_file {
	struct via_file file;
	struct via_vfio *vfio;
	struct via_placed *placed;
};

struct via_vfio {
	struct via_vfio_config config; /* constant */
	const struct via_iommu_props *iommu;
	pthread_mutex_t lock;
	struct via_group *groups;    /* lock */
	struct via_placed **devices; /* lock; by address */
	size_t n_devices;	     /* lock */
	const struct via_vfio_vf_ops *vf_ops; /* lock, as vf_cookie; NULL: nobody listens */
	void *vf_cookie;
	pthread_cond_t vfs_changed; /* a removal is over */
};

extern const struct via_file_ops via_container_file_ops;
extern const struct via_file_ops via_group_file_ops;
extern const struct via_file_ops via_device_file_ops;

/* vfio.c: a device and its place. dev is consumed, also on failure. */
int via_placed_new(struct via_device *dev, const struct via_pci_addr *addr,
		   struct via_placed **ret_placed, struct via_error *err);
void via_placed_free(struct via_placed *placed);
/* Both with vfio->lock held. */
int via_placed_add(struct via_vfio *vfio, struct via_placed *placed, int group,
		   struct via_error *err);
void via_placed_remove(struct via_vfio *vfio, struct via_placed *placed);

/* container.c */
int via_container_open(struct via_vfio *vfio, struct via_file **ret_file);
/* A group joins or leaves; vfio->lock held. */
int via_container_join(struct via_container *container, struct via_group *group);
void via_container_leave(struct via_container *container, struct via_group *group);

/* group.c */
int via_group_open(struct via_vfio *vfio, unsigned int number, struct via_file **ret_file);
/* vfio->lock held; NULL: there is none. */
struct via_group *via_group_find(const struct via_vfio *vfio, unsigned int number);
/* One user of an open group less; vfio->lock held. The group may be freed. */
void via_group_release(struct via_group *group);

/* device_file.c: the first steps of GET_DEVICE_FD and after are group.c's. */
int via_device_file_new(struct via_placed *placed, struct via_file **ret_file);

/* device_info.c */
long via_device_get_info(struct via_device_file *df, struct via_caller *caller, uint64_t arg);
long via_device_get_region_info(struct via_device_file *df, struct via_caller *caller,
				uint64_t arg);
long via_device_get_irq_info(struct via_device_file *df, struct via_caller *caller, uint64_t arg);
/* Does this caller see an area of this kind as mappable? */
bool via_area_offered(const struct via_vfio *vfio, const struct via_caller *caller,
		      enum via_area_kind kind);
/* ioeventfd.c */
long via_device_set_ioeventfd(struct via_device_file *df, struct via_caller *caller, uint64_t arg);
/* fd_get of struct via_set_irqs; the cookie is a struct via_caller. */
int via_caller_eventfd_get(void *cookie, int fd, int *ret_fd);

/* device_info.c: can the function be reset alone? */
bool via_reset_works(const struct via_device_file *df);

/* hot_reset.c */
long via_device_get_hot_reset_info(struct via_device_file *df, struct via_caller *caller,
				   uint64_t arg);
long via_device_hot_reset(struct via_device_file *df, struct via_caller *caller, uint64_t arg);

#endif
