/* SPDX-License-Identifier: MIT */
/*
 * What a container does once it has an IOMMU, by the kind of it. Calls in flight
 * hold a reference: when the last group leaves meanwhile they finish on an address
 * space that nobody uses any more.
 */
#ifndef VIA_VFIO_BACKEND_H
#define VIA_VFIO_BACKEND_H

#include "vfio/topology.h"

struct via_backend_ops {
	/* CHECK_EXTENSION, backend NULL: while no IOMMU is set. */
	int (*check_extension)(const struct via_vfio *vfio, const struct via_backend *backend,
			       uint64_t extension);
	/*
	 * SET_IOMMU of a type that check_extension() affirms. The caller has the container's turn,
	 * as for join(), and no lock.
	 */
	int (*open)(struct via_vfio *vfio, struct via_caller *caller, uint64_t type,
		    struct via_backend **ret_backend);
	void (*close)(struct via_backend *backend);
	/* Where devices attach. Borrowed. */
	struct via_ioas *(*ioas)(struct via_backend *backend);
	/* May a group join that has n_groups already? 0 or negative errno. */
	int (*join)(struct via_backend *backend, unsigned int n_groups);
	/* Everything that is not the container's own. */
	long (*ioctl)(struct via_backend *backend, struct via_caller *caller, unsigned long cmd,
		      uint64_t arg);
};

struct via_backend {
	int refs; /* atomic */
	const struct via_backend_ops *ops;
};

extern const struct via_backend_ops via_backend_type1;
extern const struct via_backend_ops via_backend_spapr;
extern const struct via_backend_ops via_backend_noiommu;

/* No-IOMMU devices can reach any memory: a kernel wants CAP_SYS_RAWIO. 0 or -EPERM. */
int via_noiommu_allowed(const struct via_vfio *vfio, const struct via_caller *caller);

#endif
