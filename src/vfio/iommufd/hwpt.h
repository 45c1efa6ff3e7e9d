/* SPDX-License-Identifier: MIT */
/* What device.c and hwpt.c share: how an HWPT begins and ends. */
#ifndef VIA_VFIO_IOMMUFD_HWPT_H
#define VIA_VFIO_IOMMUFD_HWPT_H

#include "vfio/iommufd/iommufd.h"

/*
 * A paging HWPT of ioas for devices with ops, not yet in its list nor found by
 * lookups; a user of ioas. config and private as ops->paging() has set them; the
 * new HWPT owns private, also on failure.
 */
int via_hwpt_new_paging(struct via_iommufd_ioas *ioas, const struct via_iommu_hw_ops *ops,
			uint32_t flags, const struct via_domain_config *config, void *private,
			struct via_hwpt **ret_hwpt);
/* Others find it from now on. devices_lock held. */
void via_hwpt_publish(struct via_hwpt *hwpt);
/* Out of its IOAS's list. devices_lock held. */
void via_hwpt_unlink(struct via_hwpt *hwpt);
/* Nobody finds it or is attached to it. Lets go of everything; no lock held. */
void via_hwpt_free(struct via_hwpt *hwpt);

/* The IOAS that a device reaches through hwpt. */
struct via_ioas *via_hwpt_ioas(const struct via_hwpt *hwpt);

#endif
