/* SPDX-License-Identifier: MIT */
/*
 * The emulated device of the kernel's own tests: an access behind a
 * descriptor of its own (spec iommu.md 2.9, 9.3).
 */
#ifndef VIA_VFIO_IOMMUFD_TEST_ACCESS_H
#define VIA_VFIO_IOMMUFD_TEST_ACCESS_H

#include "vfio/iommufd/iommufd.h"
#include "vfio/iommufd/test_cmd.h"

int via_test_access_create(const struct via_iommufd_call *call, struct via_iommu_test_cmd *cmd);
int via_test_access_replace(const struct via_iommufd_call *call,
			    const struct via_iommu_test_cmd *cmd);
int via_test_access_pages(const struct via_iommufd_call *call, struct via_iommu_test_cmd *cmd);
int via_test_access_unpin(const struct via_iommufd_call *call,
			  const struct via_iommu_test_cmd *cmd);
int via_test_access_rw(const struct via_iommufd_call *call, const struct via_iommu_test_cmd *cmd);

#endif
