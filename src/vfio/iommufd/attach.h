/* SPDX-License-Identifier: MIT */
/* What device.c and attach.c share: groups, and what they are attached to. */
#ifndef VIA_VFIO_IOMMUFD_ATTACH_H
#define VIA_VFIO_IOMMUFD_ATTACH_H

#include "vfio/iommufd/hwpt.h"

/* All with devices_lock held. */

struct via_attachment {
	uint32_t pasid;
	struct via_hwpt *hwpt;
	struct via_idev **devices; /* who has asked for it, in any order */
	size_t n_devices;
};

/* Those devices of an IOMMU group that the context has. All under devices_lock. */
struct via_iommufd_group {
	struct via_iommufd_group *next;
	const void *id;
	unsigned int refs; /* devices, and binds under way */
	struct via_idev *devices;
	struct via_attachment *attachments; /* by PASID */
	size_t n_attachments, room;
};

/* NULL: the group is not attached as pasid. */
struct via_attachment *via_attachment_find(const struct via_iommufd_group *group, uint32_t pasid);
struct via_hwpt *via_attachment_hwpt(const struct via_iommufd_group *group, uint32_t pasid);
/* Has idev asked for it? attachment may be NULL. */
bool via_attachment_has(const struct via_attachment *attachment, const struct via_idev *idev);
/* One without devices; what was found before is no longer valid. NULL: no memory. */
struct via_attachment *via_attachment_add(struct via_iommufd_group *group, uint32_t pasid);
void via_attachment_drop(struct via_iommufd_group *group, struct via_attachment *attachment);

/* Let this one device reach memory through hwpt. */
int via_idev_set_hardware(struct via_idev *idev, uint32_t pasid, struct via_hwpt *hwpt);

/*
 * Leave one of those that idev has asked for: *ret_more, there was one. An HWPT
 * that is to be freed, once without the lock, or NULL.
 */
struct via_hwpt *via_idev_leave_any(struct via_idev *idev, bool *ret_more);

#endif
