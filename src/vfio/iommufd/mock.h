/* SPDX-License-Identifier: MIT */
/*
 * The emulated vendor that the kernel's own tests are made for (spec iommu.md
 * 9.4): its hardware, and what TEST_CMD does with it.
 */
#ifndef VIA_VFIO_IOMMUFD_MOCK_H
#define VIA_VFIO_IOMMUFD_MOCK_H

#include "vfio/iommufd/iommufd.h"

/* The smallest page of a mock table, and the largest leaf of one of type 1. */
#define VIA_MOCK_PAGE ((uint64_t)2048)
#define VIA_MOCK_LEAF ((uint64_t)1 << 20)

#define VIA_MOCK_WORDS 4u /* of a nested domain's TLB, and of a device's cache */

#define VIA_MOCK_VEVENTQ 0xbeefbeefu /* type of its event queues */

/* Flags of a device. */
#define VIA_MOCK_NO_DIRTY 1u
#define VIA_MOCK_PASID 4u

extern const struct via_iommu_hw_ops via_mock_hw_ops;

/* A device and, as the test object, what a program destroys to be rid of it. */
struct via_mock {
	struct via_object object;
	struct via_iommu_hw hw;
	struct via_idev *idev;		  /* constant once the object is ready */
	uint32_t flags;			  /* constant */
	uint32_t cache[VIA_MOCK_WORDS];	  /* atomic */
	struct via_viommu *viommu;	  /* devices_lock: of the domain that it is attached to */
	uint64_t virt_id;		  /* devices_lock: its id there */
	bool refuses;			  /* devices_lock: the next domain of PASID 1024 */
};

/* -EINVAL unknown flags; errnos of binding and attaching. *pt_id as via_idev_attach(). */
int via_mock_new(struct via_iommufd *iommufd, uint32_t flags, uint32_t *pt_id,
		 struct via_mock **ret_mock);
/* Of a DEVICE object; NULL: other hardware. */
struct via_mock *via_mock_of(struct via_idev *idev);

/* Word i of a nested domain's TLB. */
uint32_t via_mock_tlb(const struct via_hwpt *hwpt, unsigned int i);
/* Is a paging domain's table one with leaves of 1 MiB? */
bool via_mock_huge(const struct via_hwpt *hwpt);

/* mock-domain.c */
/* Does iova lead to what lies at addr in mm? 0; -EINVAL; -EFAULT. */
int via_mock_check_page(struct via_hwpt *hwpt, via_iova_t iova, struct via_mm *mm, uint64_t addr);
/* The device writes to iova: the leaf, or the part of one, that it would mark. */
void via_mock_mark_dirty(struct via_hwpt *hwpt, via_iova_t iova);

/* mock-dmabuf.c */
long via_mock_dmabuf_get(struct via_caller *caller, uint32_t length, uint32_t open_flags);
int via_mock_dmabuf_revoke(struct via_caller *caller, int fd, bool revoked);

#endif
