/* SPDX-License-Identifier: MIT */
/*
 * /dev/iommu: a context, its objects, and what the files of this folder offer
 * to each other (spec iommu.md 2).
 *
 * A context lives while its file, a bound device, an access or an event file
 * does. Locks, in this order, none of them with via_vfio.lock (topology.h): iommufd->devices_lock
 * (who is bound and attached to what, HWPTs), iommufd->lock (the table of
 * objects and every count of users; held for no work). What is called on an IOAS
 * takes the locks of iommu/ below these. Nothing that touches a caller's memory or
 * descriptors runs under a lock, with one exception: a HWPT that is the first of its IOAS to be
 * attached pins what is mapped there, and dirty tracking of a container waits for its
 * devices, with devices_lock held. That waits for memory of programs that use this
 * context; others have nothing to do with its lock. vfio->lock is not held meanwhile.
 */
#ifndef VIA_VFIO_IOMMUFD_H
#define VIA_VFIO_IOMMUFD_H

#include "iommu/access.h"
#include "iommu/domain.h"
#include "vfio/topology.h"

#include <viaduct/abi/iommufd.h>

/* Objects (object.c) ------------------------------------------------------ */

enum via_object_kind {
	VIA_OBJECT_ANY, /* of a lookup */
	VIA_OBJECT_IOAS,
	VIA_OBJECT_HWPT_PAGING,
	VIA_OBJECT_HWPT_NESTED,
	VIA_OBJECT_DEVICE,
	VIA_OBJECT_ACCESS,
	VIA_OBJECT_FAULT,
	VIA_OBJECT_VIOMMU,
	VIA_OBJECT_VDEVICE,
	VIA_OBJECT_VEVENTQ,
	VIA_OBJECT_HW_QUEUE,
	VIA_OBJECT_TEST, /* the selftest's stdev */
};

struct via_iommufd;
struct via_object;

struct via_object_ops {
	enum via_object_kind kind;
	/*
	 * Out of the table, no user left: let go of everything and free. No lock held.
	 */
	void (*destroy)(struct via_object *object);
};

/* Embedded first in each object. */
struct via_object {
	const struct via_object_ops *ops; /* constant, as iommufd */
	struct via_iommufd *iommufd;	  /* borrowed */
	uint32_t id;			  /* constant once reserved */
	unsigned int users;		  /* iommufd->lock: who uses it but the table */
	bool ready;			  /* iommufd->lock: lookups find it */
	bool orphan;			  /* iommufd->lock: out of the table, goes with its last user */
};

/* Give object the lowest free id; lookups do not find it yet. -ENOMEM; -ENOSPC. */
int via_object_reserve(struct via_iommufd *iommufd, struct via_object *object,
		       const struct via_object_ops *ops);
/* Lookups find it from now on. */
void via_object_finish(struct via_object *object);
/*
 * Of an object that the caller uses and nobody can look up yet, though whom it is part of may have
 * buried it: let lookups find it, or free the id and destroy it with its last user, or
 * now. The use ends.
 */
void via_object_show(struct via_object *object);
void via_object_drop(struct via_object *object);
/* The id is free again; the object itself is the caller's to free. Nobody else uses it. */
void via_object_abort(struct via_object *object);
/* The id is free again; the object is destroyed with its last user, or now. */
void via_object_orphan(struct via_object *object);

/* With one user more, or NULL: no such id of this kind. */
struct via_object *via_object_get(struct via_iommufd *iommufd, uint32_t id,
				  enum via_object_kind kind);
void via_object_use(struct via_object *object);
void via_object_put(struct via_object *object);

/* IOMMU_DESTROY: 0, -ENOENT, -EBUSY. */
int via_object_destroy(struct via_iommufd *iommufd, uint32_t id);
/*
 * The owner's own way out, for kinds that have users other than programs: takes
 * it out of the table once it has no more than `users` users. -EBUSY.
 */
int via_object_remove(struct via_object *object, unsigned int users);
/*
 * Out of the table, but its id is never given again. False: somebody else has taken
 * it out before, and it is his. Who has looked it up before may still have to put it.
 */
bool via_object_bury(struct via_object *object);
/* Wait for them. No lock held: they may be about to take one. */
void via_object_drain(struct via_object *object);

/* Context (iommufd.c) ----------------------------------------------------- */

struct via_iommufd_ioas;

struct via_iommufd {
	struct via_file file;
	int refs; /* atomic */
	struct via_vfio *vfio;
	pthread_mutex_t devices_lock;
	pthread_mutex_t lock;
	pthread_cond_t unused; /* an object has lost its last user */
	struct via_object **objects; /* lock, as what follows; by id */
	uint32_t n_objects;	     /* slots of objects */
	uint32_t n_live;	     /* ids that are taken */
	uint32_t n_allowed;	     /* entries of ALLOW_IOVAS, of all IOASes and of calls under way */
	uint32_t first_free;	     /* no id below is free */
	bool mm_accounting;	     /* RLIMIT_MODE 1 */
	bool no_iommu;		     /* a no-IOMMU group has joined as a container */
	struct via_iommufd_ioas *compat;
	struct via_space *space;     /* of the program that has mapped last */
	struct via_iommufd_group *groups; /* devices_lock */
	struct via_viommu *mappable;	  /* devices_lock: those with pages for programs, by mmap_offset */
};

/* of the node /dev/iommu, or (as_container) of /dev/vfio/vfio that iommufd serves. */
int via_iommufd_open(struct via_vfio *vfio, bool as_container, struct via_file **ret_file);
struct via_iommufd *via_iommufd_get(struct via_iommufd *iommufd);
void via_iommufd_put(struct via_iommufd *iommufd);
/* NULL: another kind of file. Borrowed. */
struct via_iommufd *via_iommufd_of(struct via_file *file);

/* Who pays for what the caller maps now. References as via_ledger_owner's; put by owner_put. */
int via_iommufd_owner(struct via_iommufd *iommufd, struct via_caller *caller,
		      struct via_ledger_owner *ret_owner);
void via_iommufd_owner_put(struct via_ledger_owner *owner);

/*
 * A command: its structure has been copied in by the rules of 2.3 (missing
 * fields are 0). On 0 the structure is copied back, as far as the caller's
 * size goes; the table (dispatch.c, commands.h) says when else, and when not.
 */
struct via_iommufd_call {
	struct via_iommufd *iommufd;
	struct via_caller *caller;
	uint64_t arg;  /* where the structure lies in the caller */
	uint32_t size;	/* of it there, as the caller has said */
	uint32_t known; /* of it as we know it */
	struct via_object **made; /* written by via_iommufd_made() */
};

/* What an entry of the table in dispatch.c calls: >= 0 or negative errno. */
typedef long (*via_iommufd_handler)(const struct via_iommufd_call *call, void *args);

/*
 * For a handler that has to know whether the program has got its answer, and whose row
 * in the table says VIA_REPLY_NEVER. 0 or -EFAULT.
 */
int via_iommufd_reply(const struct via_iommufd_call *call, const void *args);

/*
 * The handler has made object, whose id is reserved, and will succeed. When the program has its id,
 * lookups find it; when it cannot be told, the object is destroyed again.
 */
void via_iommufd_made(const struct via_iommufd_call *call, struct via_object *object);

/*
 * Of a loop as long as a program wants it, which has come to its step i: now and then -EINTR, when
 * the program has gone.
 */
int via_iommufd_heard(const struct via_iommufd_call *call, uint64_t i);

/* A blob that a program passes to a driver: min(len, size) bytes are copied, the rest zeroed. */
int via_iommufd_blob(const struct via_iommufd_call *call, uint64_t uptr, uint32_t len,
		     size_t min, void *buf, size_t size);

/* IOAS (ioas.c) ----------------------------------------------------------- */

/* What an IOAS has as the address space of a container (compat.c). */
struct via_compat {
	pthread_mutex_t lock; /* below devices_lock; held for no copy */
	uint32_t type;	      /* lock: of SET_IOMMU; 0: none */
	uint32_t n_mapping;   /* lock: MAP_DMA calls under way, where mappings are counted */
	bool tracking;	      /* devices_lock: DIRTY_PAGES is on */
	bool blind;	      /* devices_lock: a domain cannot track; all is dirty */
	struct via_dirty_store *left; /* devices_lock: of domains that have gone meanwhile */
};

struct via_iommufd_ioas {
	struct via_object object;
	struct via_ioas *ioas;
	struct via_hwpt *hwpts; /* devices_lock: paging ones, in the order they were made */
	struct via_compat container;
	uint32_t n_allowed; /* iommufd->lock: entries of its ALLOW_IOVAS */
};

/* Its id is reserved: via_object_finish() it. -ENOMEM. */
int via_iommufd_ioas_new(struct via_iommufd *iommufd, struct via_iommufd_ioas **ret_ioas);

/* Devices (device.c) ------------------------------------------------------ */

/*
 * The hardware side of a device: a vendor's IOMMU driver and the device behind
 * it. Embedded in the owner's object. Callbacks run under devices_lock unless
 * said otherwise; NULL is "cannot" (-EOPNOTSUPP).
 */
struct via_iommu_hw;
struct via_hwpt;
struct via_viommu;
struct via_idev;

struct via_iommu_hw_ops {
	/* Hardware that answers alike, and may share domains, has the same ops. */
	const char *name;

	/* The range that is reserved for this device i, ascending from 0; false: no more. */
	bool (*reserved)(struct via_iommu_hw *hw, unsigned int i, struct via_iova_range *ret_range);

	/* GET_HW_INFO: its bytes (up to 64) to buf. *type: in (0: any), out. Length, or -EOPNOTSUPP. */
	long (*info)(struct via_iommu_hw *hw, uint32_t *type, void *buf);

	/*
	 * What a paging domain for this device is like. flags: VIA_IOMMU_HWPT_ALLOC_*
	 * without FAULT_ID_VALID; data: the program's blob, through
	 * via_iommufd_blob(), type 0 for none. Sets *ret_config, and *ret_private for hwpt->private.
	 * Of an automatic one: call NULL, flags and type 0, under devices_lock; else without.
	 * -EOPNOTSUPP unknown flag; errors of the blob.
	 */
	int (*paging)(struct via_iommu_hw *hw, const struct via_iommufd_call *call, uint32_t flags,
		      uint32_t data_type, uint32_t data_len, uint64_t data_uptr,
		      struct via_domain_config *ret_config, void **ret_private);
	/* A nested domain on parent or (viommu not NULL) on a vIOMMU; ret_private not NULL on success. */
	int (*nested)(struct via_iommu_hw *hw, const struct via_iommufd_call *call,
		      struct via_hwpt *parent, struct via_viommu *viommu, uint32_t flags,
		      uint32_t data_type, uint32_t data_len, uint64_t data_uptr,
		      void **ret_private);
	void (*free_private)(void *private, bool nested);

	/* Does the hardware take it? (-EINVAL: a domain that it cannot walk.) */
	int (*fits)(struct via_iommu_hw *hw, const struct via_hwpt *hwpt);
	/*
	 * Let the device reach memory through hwpt (NULL: nothing) as pasid (0: its
	 * own requests). -EINVAL, -ENOENT, -ENOMEM; then what was stays.
	 */
	int (*attach)(struct via_iommu_hw *hw, uint32_t pasid, struct via_hwpt *hwpt);

	/* INVALIDATE of a nested domain: entry i at uptr + i * entry_len. Without locks. *done: entries. */
	int (*invalidate)(struct via_hwpt *hwpt, const struct via_iommufd_call *call, uint32_t type,
			  uint64_t uptr, uint32_t entry_len, uint32_t n, uint32_t *done);

	/*
	 * A vIOMMU of type: -EOPNOTSUPP unknown; its operations are set in viommu->ops, at last.
	 * Without locks. viommu NULL (and call): only asks whether the type is known.
	 */
	int (*viommu)(struct via_iommu_hw *hw, const struct via_iommufd_call *call, uint32_t type,
		      uint32_t data_len, uint64_t data_uptr, struct via_viommu *viommu);
};

struct via_iommu_hw {
	const struct via_iommu_hw_ops *ops; /* constant, all but idev */
	const void *group;		    /* devices of one IOMMU group have the same; never NULL */
	uint64_t capabilities;		    /* IOMMU_HW_CAP_* of GET_HW_INFO */
	unsigned int max_pasid_log2;	    /* 0: no PASIDs */
	bool isolated_msi;
	bool inside; /* part of the context that binds it: binding takes no reference to that */
	/* Atomic; not 0: nothing can be attached, -EBUSY. Changed by via_iommu_hw_reset(). */
	unsigned int resetting;
	struct via_idev *idev;	/* devices_lock; bound */
};

/* A DEVICE object: hardware that a context has bound. */
struct via_idev {
	struct via_object object;
	struct via_iommu_hw *hw;	 /* constant */
	struct via_iommufd_group *group; /* constant */
	struct via_vdevice *vdevice;	 /* devices_lock */
	struct via_idev *next;		 /* of its group; devices_lock */
	bool own_by_pasid; /* its own attachment was asked for as PASID 0; devices_lock */
};

/*
 * Bind hw: takes a reference to iommufd; 2.10.1. -EPERM, -ENOMEM. That all
 * devices of a group have the same context is for the owner of hw to see to.
 */
int via_idev_bind(struct via_iommufd *iommufd, struct via_iommu_hw *hw, struct via_idev **ret_idev);
/*
 * Detaches it from everything. Its vDEVICE dies with it. Waits for calls of
 * other threads that are looking at the device.
 */
void via_idev_unbind(struct via_idev *idev);

/* 2.10.2. *pt_id: in the program's, out the HWPT's. replace: what must be attached already. */
int via_idev_attach(struct via_idev *idev, uint32_t pasid, bool replace, uint32_t *pt_id);
/*
 * Attach what is not attached, else replace. PASID 0 is the device's own, but
 * by_pasid replaces and detaches only what came by_pasid, and so does !by_pasid.
 */
int via_idev_move(struct via_idev *idev, uint32_t pasid, bool by_pasid, uint32_t *pt_id);
void via_idev_leave(struct via_idev *idev, uint32_t pasid, bool by_pasid);
void via_idev_detach(struct via_idev *idev, uint32_t pasid);
/*
 * hw's device begins to be reset (or has been): nothing can be attached to it meanwhile. An
 * attachment that has begun is over when this returns. idev: hw's while it is bound, or NULL; the
 * caller keeps it bound.
 */
void via_iommu_hw_reset(struct via_iommu_hw *hw, struct via_idev *idev, bool begins);
/* What the device's group is attached to, or NULL. devices_lock held. */
struct via_hwpt *via_idev_hwpt(struct via_idev *idev, uint32_t pasid);

/* HWPTs (hwpt.c) ---------------------------------------------------------- */

struct via_hwpt {
	struct via_object object; /* HWPT_PAGING or HWPT_NESTED */
	const struct via_iommu_hw_ops *ops;
	uint32_t flags;		       /* of HWPT_ALLOC; constant, as what follows */
	bool automatic;		       /* goes with its last device */
	struct via_iommufd_ioas *ioas; /* of a paging one */
	struct via_domain *domain;     /* of a paging one */
	struct via_hwpt *parent;       /* of a nested one; a user of it, unless it has a vIOMMU */
	struct via_viommu *viommu;     /* of a nested one; a user of it */
	struct via_fault_queue *fault; /* a user of it, or NULL */
	void *private;		       /* the vendor's */
	unsigned int n_attached;       /* devices_lock: (device, pasid) pairs, a user each */
	struct via_hwpt *next;	       /* of ioas->hwpts; devices_lock */
	pthread_mutex_t dirty_lock;    /* one harvest at a time; held for no copy */
};

/* The domain that memory is reached through: its own, or its parent's. */
struct via_domain *via_hwpt_domain(const struct via_hwpt *hwpt);

/* Commands; those marked so copy their structure back on an error too. */
long via_iommufd_hwpt_alloc(const struct via_iommufd_call *call, void *args);
long via_iommufd_get_hw_info(const struct via_iommufd_call *call, void *args);
long via_iommufd_hwpt_invalidate(const struct via_iommufd_call *call, void *args); /* always */
/* hwpt_dirty.c */
long via_iommufd_set_dirty_tracking(const struct via_iommufd_call *call, void *args);
long via_iommufd_get_dirty_bitmap(const struct via_iommufd_call *call, void *args);

/* Fault queues (fault.c) -------------------------------------------------- */

/* A FAULT object; HWPT_ALLOC finds it by via_object_get(..., VIA_OBJECT_FAULT). */
struct via_fault_queue;

long via_iommufd_fault_queue_alloc(const struct via_iommufd_call *call, void *args);

/*
 * Page requests of one group, ending with its last page, as a program reads
 * them but for dev_id and cookie. answered() (may be NULL) is told the code that
 * the program gave, or INVALID when it gave none, once, with devices_lock possibly
 * held. devices_lock held. -ENODEV hwpt has no queue; -ENOMEM: the caller answers.
 */
int via_fault_report(struct via_hwpt *hwpt, struct via_idev *idev,
		     const struct via_iommu_hwpt_pgfault *faults, size_t n,
		     void (*answered)(void *cookie, uint32_t code), void *cookie);
/*
 * Answer INVALID to what waits of this device and domain: it is detached from
 * it. devices_lock held. hwpt without a queue allowed.
 */
void via_fault_flush(struct via_hwpt *hwpt, struct via_idev *idev);

/* vIOMMUs (viommu.c) ------------------------------------------------------ */

struct via_hw_queue;

/* Locks: none held, but where said. */
struct via_viommu_ops {
	/* Of private; optional. */
	void (*destroy)(struct via_viommu *viommu);
	/* May be NULL: -EOPNOTSUPP. As via_iommu_hw_ops.invalidate. */
	int (*invalidate)(struct via_viommu *viommu, const struct via_iommufd_call *call,
			  uint32_t type, uint64_t uptr, uint32_t entry_len, uint32_t n,
			  uint32_t *done);
	/* NULL: it has none. */
	bool (*has_veventq)(struct via_viommu *viommu, uint32_t type);
	bool (*has_hw_queue)(struct via_viommu *viommu, uint32_t type);
	/* Its memory is pinned. devices_lock held: -EINVAL, -EEXIST, -EIO by its index. */
	int (*hw_queue_add)(struct via_viommu *viommu, struct via_hw_queue *queue);
	/* devices_lock held. */
	void (*hw_queue_remove)(struct via_viommu *viommu, struct via_hw_queue *queue);
};

struct via_viommu {
	struct via_object object;
	const struct via_viommu_ops *ops; /* the vendor's; set by its viommu() */
	const struct via_iommu_hw_ops *hw_ops;
	uint32_t type;
	struct via_hwpt *hwpt;		/* the nesting parent; a user of it */
	struct via_vdevice *vdevices;	/* devices_lock */
	struct via_veventq *veventqs;	/* devices_lock */
	void *private;
	int mmap_fd; /* a file that a program may map whole at mmap_offset, or -1; the vIOMMU's */
	uint64_t mmap_offset, mmap_length;
	struct via_viommu *next_mappable; /* of iommufd->mappable; devices_lock */
};

struct via_vdevice {
	struct via_object object;
	struct via_viommu *viommu; /* a user of it */
	struct via_idev *idev;	   /* devices_lock; NULL: it is gone */
	uint64_t virt_id;
	struct via_vdevice *next; /* of viommu->vdevices */
};

struct via_hw_queue {
	struct via_object object;
	struct via_viommu *viommu;	   /* a user of it */
	struct via_object *access_object; /* its place among the ids, as the kernel's has one */
	struct via_access *access;	   /* pins the queue's memory */
	uint32_t type, index;
	via_iova_t iova;
	uint64_t length;
};

long via_iommufd_viommu_alloc(const struct via_iommufd_call *call, void *args);
long via_iommufd_vdevice_alloc(const struct via_iommufd_call *call, void *args);
long via_iommufd_veventq_alloc(const struct via_iommufd_call *call, void *args); /* veventq.c */
long via_iommufd_hw_queue_alloc(const struct via_iommufd_call *call, void *args); /* hw_queue.c */

/*
 * For a vendor's viommu(): give programs the pages of fd (consumed on success), of
 * length bytes, at an offset of the iommufd that is chosen now. -ENOMEM.
 */
int via_viommu_offer(struct via_viommu *viommu, int fd, uint64_t length);

/* mmap(2) on a file of /dev/iommu (2.10.11). */
int via_viommu_mmap(struct via_iommufd *iommufd, uint64_t offset, uint64_t len, int prot,
		    int flags, struct via_mmap *ret_map);

/* An event of a device behind the vIOMMU: -EOPNOTSUPP no queue of this type. devices_lock held. */
int via_viommu_event(struct via_viommu *viommu, uint32_t type, const void *data, size_t len);
/* idev->vdevice's device goes away: it is destroyed and its id is buried. devices_lock not held. */
void via_vdevice_orphan(struct via_idev *idev);
struct via_vdevice *via_viommu_vdevice(struct via_viommu *viommu, uint64_t virt_id); /* devices_lock held */

/* Container (compat.c) ---------------------------------------------------- */

/* The ioctls of a VFIO container on this file (3.8); -ENOTTY unknown. */
long via_iommufd_container_ioctl(struct via_iommufd *iommufd, struct via_caller *caller,
				 unsigned long cmd, uint64_t arg);
/*
 * A paging HWPT is there, or will be freed at once: programs that use the IOAS
 * as a container may be asking for dirty pages. devices_lock held.
 */
void via_iommufd_container_hwpt(struct via_hwpt *hwpt, bool added);
/*
 * GROUP_SET_CONTAINER (2.12): makes sure there is a compat IOAS. -EINVAL mixed with no-IOMMU;
 * -EBUSY a mapping has no valid address (profile full).
 */
int via_iommufd_container_join(struct via_iommufd *iommufd, bool no_iommu);
/* The compat IOAS's id, with no reference: -ENODEV none. */
int via_iommufd_compat_id(struct via_iommufd *iommufd, uint32_t *ret_id);

/* The kernel's IOMMU_TEST command set (test_cmd.c): part of every build, offered when vfio->config.iommu_test is set. */
long via_iommufd_test_cmd(const struct via_iommufd_call *call, void *args);

#endif
