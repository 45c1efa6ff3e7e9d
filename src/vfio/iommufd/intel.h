/* SPDX-License-Identifier: MIT */
/* The IOMMU that our own devices are behind: VT-d as QEMU has it. */
#ifndef VIA_VFIO_IOMMUFD_INTEL_H
#define VIA_VFIO_IOMMUFD_INTEL_H

#include "vfio/iommufd/iommufd.h"

/*
 * The hardware side of dev, which must outlive it. tracks: it can say what dev
 * has written, which the original cannot. group is the owner's to set before it binds. NULL: no
 * memory.
 */
struct via_iommu_hw *via_intel_hw_new(struct via_device *dev, bool tracks);
void via_intel_hw_free(struct via_iommu_hw *hw); /* NULL allowed */

#endif
