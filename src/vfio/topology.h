/* SPDX-License-Identifier: MIT */
/*
 * What vfio/ keeps: groups, the devices placed in them, containers, and who
 * has what open.
 *
 * Locks. via_vfio.lock protects the record of who is open and who is attached,
 * and is held for no work: a device is opened, reset for opening, attached, closed
 * and removed without it, by who has the turn of the device, group or container
 * (turn.h). MAP, UNMAP and the other work of a container's IOMMU and all
 * region and interrupt work of a device have no turns. Order:
 * via_vfio.lock, via_container.lock; below them only the locks of eventfds and notices of
 * virtual functions, which are held for no work either.
 *
 * Nothing that touches a caller's memory or descriptors runs under a lock, so
 * a program that stops in the middle of a call delays nobody else.
 */
#ifndef VIA_VFIO_TOPOLOGY_H
#define VIA_VFIO_TOPOLOGY_H

#include "device/device.h"
#include "vfio/turn.h"
#include "vfio/vfio.h"

#include <viaduct/abi/vfio.h>

#include <pthread.h>

#define VIA_CONTAINER_OF(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))

struct via_backend; /* backend.h */

struct via_container {
	struct via_file file;
	struct via_vfio *vfio;
	unsigned int refs;	     /* vfio->lock: its file, and each group in it */
	struct via_turn turn;	     /* of who joins, leaves, sets the type */
	unsigned int n_groups;	     /* vfio->lock; written by who has the turn, as what follows */
	struct via_group *groups;    /* vfio->lock, or the turn to look */
	pthread_mutex_t lock;	     /* protects backend; held for no work */
	struct via_backend *backend; /* written under lock too; NULL: no type set */
};

struct via_iommufd;
struct via_iommu_hw;
struct via_idev;

struct via_group {
	struct via_vfio *vfio;
	struct via_group *next; /* constant once published under vfio->lock */
	unsigned int number;
	/* vfio->lock: all below */
	struct via_turn turn; /* of who lets it join or leave, or takes devices out */
	/* Written by who has the turn, or while nobody knows the group. */
	struct via_placed *devices;
	unsigned int n_devices; /* a group goes with its last device */
	bool gone;		/* it has, and only its users keep it */
	unsigned int users;	/* files that know it: its own, and those of its devices */
	unsigned int n_keeping; /* of these, what keeps it open: its own, and devices in a container */
	unsigned int n_bound;	/* device nodes that are bound: it cannot be opened meanwhile */
	/* One of the two, or none; a reference. Written by who has the turn. */
	struct via_container *container;
	struct via_iommufd *iommufd;
	struct via_group *next_joined; /* of container->groups */
	/* Whose DMA its devices do, and how often that has been claimed (placed.c). */
	const void *owner;
	unsigned int n_owned;
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
	unsigned int number;	 /* constant once placed: N of its node vfio/devices/vfioN */
	struct via_sriov *sriov; /* constant; of a physical function, owned */
	struct via_placed *pf;	 /* constant; of a virtual function */
	struct via_iommu_hw *hw; /* owned */
	/* vfio->lock: all below */
	struct via_placed *next; /* of group->devices */
	bool going;	      /* nobody can open it any more */
	struct via_turn turn; /* of who opens, binds, closes, unbinds or hot-resets it */
	unsigned int n_files; /* files, also of its node and not bound, and who looks at it */
	unsigned int n_open;  /* of these, who can use it; written by who has the turn, as idev */
	struct via_idev *idev; /* while it is open and bound to an iommufd */
};

/* How a device file has come to its device. */
enum via_way {
	VIA_WAY_CONTAINER, /* a group in a container */
	VIA_WAY_IOMMUFD,   /* a group with an iommufd */
	VIA_WAY_NODE,	   /* the device's own node */
};

struct via_device_file {
	struct via_file file;
	struct via_vfio *vfio;
	struct via_placed *placed;
	enum via_way way; /* constant */
	bool ready;	  /* atomic: the device is open; of a node, from BIND on */
};

struct via_vfio {
	struct via_vfio_config config; /* constant */
	const struct via_iommu_props *iommu;
	bool bars_mapped; /* atomic: a program has mapped a BAR, ever */
	pthread_mutex_t lock;
	struct via_group *groups;    /* lock */
	struct via_placed **devices; /* lock; by address */
	size_t n_devices;	     /* lock */
	const struct via_vfio_vf_ops *vf_ops; /* lock, as vf_cookie; NULL: nobody listens */
	void *vf_cookie;
	pthread_cond_t vfs_changed; /* a removal is over */
	pthread_cond_t turn_ended;
};

extern const struct via_file_ops via_container_file_ops;
extern const struct via_file_ops via_group_file_ops;
extern const struct via_file_ops via_device_file_ops;

/* vfio.c: a device and its place. dev is consumed, also on failure. */
int via_placed_new(struct via_device *dev, const struct via_pci_addr *addr,
		   struct via_placed **ret_placed, struct via_error *err);
void via_placed_free(struct via_placed *placed);
/* Both with vfio->lock held; the second gives it up meanwhile, and waits for the group's turn. */
int via_placed_add(struct via_vfio *vfio, struct via_placed *placed, int group,
		   struct via_error *err);
void via_placed_remove(struct via_vfio *vfio, struct via_placed *placed);

/* container.c */
int via_container_open(struct via_vfio *vfio, struct via_file **ret_file);
/*
 * A group, whose turn the caller has, joins or leaves. vfio->lock held, but not all the time;
 * for joining the caller has the turn of the container, too, and for leaving it is waited for.
 */
int via_container_join(struct via_container *container, struct via_group *group);
void via_container_leave(struct via_container *container, struct via_group *group);

/* group.c */
int via_group_open(struct via_vfio *vfio, struct via_caller *caller, unsigned int number,
		   struct via_file **ret_file);
/* Out of its container, if it has one. The turn is the caller's; vfio->lock is given up meanwhile. */
void via_group_leave(struct via_group *group);
/* vfio->lock held; NULL: there is none. */
struct via_group *via_group_find(const struct via_vfio *vfio, unsigned int number);
/*
 * One user of an open group less (keeping: of those who keep it open); vfio->lock
 * held, but not all the time. The group may be freed. What it had as its iommufd is the
 * caller's to put, once without the lock.
 */
void via_group_release(struct via_group *group, bool keeping, struct via_iommufd **ret_iommufd);

/*
 * placed.c: who has a device open. All with vfio->lock held, which open and close
 * drop meanwhile, and file_gone() while a device is removed.
 */
/* DMA of the group is owner's, as often as it is claimed. -EPERM: somebody else's. */
int via_group_claim(struct via_group *group, const void *owner);
void via_group_disclaim(struct via_group *group);
/*
 * The device was opened once more: -EPERM, -EBUSY, errnos of binding and (compat) attaching;
 * -EINTR the caller has gone while somebody else had the turn.
 */
int via_placed_open(struct via_placed *placed, enum via_way way, struct via_iommufd *iommufd,
		    bool compat, struct via_caller *caller);
void via_placed_close(struct via_placed *placed);
/* A file comes, or goes. */
void via_placed_file_added(struct via_placed *placed);
void via_placed_file_gone(struct via_placed *placed);

/* device_file.c: of a device that is placed; a user of its group from then on. vfio->lock held. */
int via_device_file_new(struct via_placed *placed, enum via_way way, struct via_file **ret_file);

/* cdev.c: the device's own node. */
int via_cdev_open(struct via_vfio *vfio, unsigned int number, struct via_file **ret_file);
long via_cdev_bind(struct via_device_file *df, struct via_caller *caller, uint64_t arg);
long via_cdev_attach(struct via_device_file *df, struct via_caller *caller, uint64_t arg);
long via_cdev_detach(struct via_device_file *df, struct via_caller *caller, uint64_t arg);

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
