/* SPDX-License-Identifier: MIT */
/*
 * What programs see of the IOMMU of our devices is what Linux 7.2 makes of
 * QEMU's intel-iommu: first-stage translation is not used, so there is nothing
 * to nest on, and nothing that a PASID could reach. It may
 * track what devices write, which that cannot.
 */
#include "vfio/iommufd/intel.h"

#include <errno.h>
#include <stdlib.h>

#define HW_INFO_FLAGS 1u
#define CAPABILITY 0x80d2008c222f0686ull
#define EXTENDED_CAPABILITY 0xf00f4aull

#define PAGE_SIZES 0x40201000ull /* 4 KiB, 2 MiB, 1 GiB */
#define APERTURE_LAST 0xffffffffffffull

struct intel_hw {
	struct via_iommu_hw hw;
	struct via_device *dev;
	bool tracks;
};

static struct intel_hw *intel_of(struct via_iommu_hw *hw)
{
	return VIA_CONTAINER_OF(hw, struct intel_hw, hw);
}

static bool intel_reserved(struct via_iommu_hw *hw, unsigned int i,
			   struct via_iova_range *ret_range)
{
	/* Writes to it are interrupts. */
	static const struct via_iova_range msi = {0xfee00000, 0xfeefffff};

	(void)hw;
	if (i)
		return false;
	*ret_range = msi;
	return true;
}

static long intel_info(struct via_iommu_hw *hw, uint32_t *type, void *buf)
{
	static const struct via_iommu_hw_info_vtd info = {
		.flags = HW_INFO_FLAGS,
		.cap_reg = CAPABILITY,
		.ecap_reg = EXTENDED_CAPABILITY,
	};

	(void)hw;
	if (*type != VIA_IOMMU_HW_INFO_TYPE_NONE && *type != VIA_IOMMU_HW_INFO_TYPE_INTEL_VTD)
		return -EOPNOTSUPP;
	*type = VIA_IOMMU_HW_INFO_TYPE_INTEL_VTD;
	memcpy(buf, &info, sizeof(info));
	return sizeof(info);
}

static int intel_paging(struct via_iommu_hw *hw, const struct via_iommufd_call *call,
			uint32_t flags, uint32_t data_type, uint32_t data_len, uint64_t data_uptr,
			struct via_domain_config *ret_config, void **ret_private)
{
	uint32_t known = VIA_IOMMU_HWPT_ALLOC_PASID;

	(void)call;
	(void)data_len;
	(void)data_uptr;
	if (intel_of(hw)->tracks)
		known |= VIA_IOMMU_HWPT_ALLOC_DIRTY_TRACKING;
	if ((flags & ~known) || data_type != VIA_IOMMU_HWPT_DATA_NONE)
		return -EOPNOTSUPP;
	*ret_config = (struct via_domain_config){
		.pgsize_bitmap = PAGE_SIZES,
		.aperture_last = APERTURE_LAST,
		.dirty = flags & VIA_IOMMU_HWPT_ALLOC_DIRTY_TRACKING,
	};
	*ret_private = NULL;
	return 0;
}

/* There is no parent that it could be on. */
static int intel_nested(struct via_iommu_hw *hw, const struct via_iommufd_call *call,
			struct via_hwpt *parent, struct via_viommu *viommu, uint32_t flags,
			uint32_t data_type, uint32_t data_len, uint64_t data_uptr,
			void **ret_private)
{
	(void)hw;
	(void)call;
	(void)parent;
	(void)viommu;
	(void)flags;
	(void)data_type;
	(void)data_len;
	(void)data_uptr;
	(void)ret_private;
	return -EOPNOTSUPP;
}

/* No device of ours can ask for a page. */
static int intel_fits(struct via_iommu_hw *hw, const struct via_hwpt *hwpt)
{
	(void)hw;
	return hwpt->fault ? -ENODEV : 0;
}

static int intel_attach(struct via_iommu_hw *hw, uint32_t pasid, struct via_hwpt *hwpt)
{
	/* Our devices make no requests with a PASID. */
	if (pasid)
		return 0;
	return via_device_attach_domain(intel_of(hw)->dev, hwpt ? via_hwpt_domain(hwpt) : NULL);
}

static const struct via_iommu_hw_ops intel_ops = {
	.name = "intel",
	.reserved = intel_reserved,
	.info = intel_info,
	.paging = intel_paging,
	.nested = intel_nested,
	.fits = intel_fits,
	.attach = intel_attach,
};

struct via_iommu_hw *via_intel_hw_new(struct via_device *dev, bool tracks)
{
	struct intel_hw *intel = calloc(1, sizeof(*intel));

	if (!intel)
		return NULL;
	intel->hw.ops = &intel_ops;
	intel->hw.capabilities = VIA_IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED;
	if (tracks)
		intel->hw.capabilities |= VIA_IOMMU_HW_CAP_DIRTY_TRACKING;
	intel->hw.isolated_msi = true;
	intel->dev = dev;
	intel->tracks = tracks;
	return &intel->hw;
}

void via_intel_hw_free(struct via_iommu_hw *hw)
{
	free(hw ? intel_of(hw) : NULL);
}
