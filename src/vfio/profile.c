/* SPDX-License-Identifier: MIT */
#include "vfio/profile.h"
#include "vfio/topology.h"

#include <assert.h>

/* Each has a line in docs/differences.md that says "profile full" and names the test. */
static const struct via_difference differences[] = {
	[VIA_DIFFERS_RESET] = {
		.name = "reset of a function without a reset method",
		.spec = NULL,
		.exact = "GET_INFO without the RESET flag, RESET EINVAL",
		.full = "every function can be reset",
		.test = "profile_decides_on_reset",
	},
	[VIA_DIFFERS_HOT_RESET] = {
		.name = "hot reset on a root bus",
		.spec = NULL,
		.exact = "ENODEV",
		.full = "works for the functions of the slot",
		.test = "profile_decides_on_reset",
	},
	[VIA_DIFFERS_MIGRATION] = {
		.name = "migration and DMA logging",
		.spec = NULL,
		.exact = "ENOTTY, as from vfio-pci",
		.full = "features 1, 2, 6 to 9 and 12, where the model has them",
		.test = "test_t87_migration_features",
	},
	[VIA_DIFFERS_VMM_REGISTERS] = {
		.name = "registers shown to a VMM",
		.spec = NULL,
		.exact = "with MMAP, as the kernel shows them",
		.full = "without MMAP where --bars=auto",
		.test = "areas_that_are_offered",
	},
	[VIA_DIFFERS_HARDWARE] = {
		.name = "IOMMU of our devices",
		.spec = NULL,
		.exact = "VT-d as QEMU has it: no dirty tracking, no nesting, no PASID",
		.full = "tracks what devices write",
		.test = "test_hardware_tracks",
	},
	[VIA_DIFFERS_DIRTY_HOLES] = {
		.name = "HWPT dirty bitmap over a hole",
		.spec = "quirk 4",
		.exact = "0, bits behind the hole are lost; a bad buffer loses bits",
		.full = "EINVAL and EFAULT before anything is taken",
		.test = "test_case_138_full",
	},
	[VIA_DIFFERS_PASID_LIMIT] = {
		.name = "PASID of a device that has none",
		.spec = "quirk 35",
		.exact = "any number is taken",
		.full = "EINVAL",
		.test = "test_case_77_92_pasid",
	},
	[VIA_DIFFERS_FILE_RIGHTS] = {
		.name = "MAP_FILE WRITEABLE of a file that cannot be written",
		.spec = "quirk 31",
		.exact = "works",
		.full = "EACCES read-only descriptor, EPERM write seal",
		.test = "test_file_rights",
	},
	[VIA_DIFFERS_DMA_BUF_RESTORE] = {
		.name = "mapped dma-buf that is no longer revoked",
		.spec = "quirk 24",
		.exact = "stays empty for ever",
		.full = "works again",
		.test = "test_case_53_restore",
	},
	[VIA_DIFFERS_BAR_MEMORY] = {
		.name = "a BAR that the program has mapped, as memory for DMA by /dev/iommu",
		.spec = "gap 3",
		.exact = "EFAULT when it is pinned",
		.full = "works, follows the device that owns it, is charged to nobody",
		.test = "test_gap_3_bar_memory",
	},
	[VIA_DIFFERS_COMPAT_ERRNO] = {
		.name = "iommufd as a container: checks, their order, errnos, GET_INFO",
		.spec = "gap 7",
		.exact = "iommufd's own",
		.full = "type1's; memory is looked at when it is mapped",
		.test = "test_gap_7_errnos",
	},
	[VIA_DIFFERS_COMPAT_CUT] = {
		.name = "iommufd as a container, type 1: unmapping a part of a mapping",
		.spec = "gap 1",
		.exact = "EINVAL while a page of the mapping is pinned; refused cuts leave others behind",
		.full = "works; what refuses a cut is looked for before the first",
		.test = "test_gap_1_hole_punching",
	},
	[VIA_DIFFERS_COMPAT_ENTRY_LIMIT] = {
		.name = "iommufd as a container: number of mappings",
		.spec = "gap 2",
		.exact = "any",
		.full = "a limit can be set: ENOSPC, told by GET_INFO",
		.test = "test_gap_2_entry_limit",
	},
	[VIA_DIFFERS_COMPAT_VADDR] = {
		.name = "iommufd as a container: VADDR flags",
		.spec = "gap 5",
		.exact = "EINVAL",
		.full = "as in a type1 container",
		.test = "test_gap_5_suspend",
	},
	[VIA_DIFFERS_VADDR_WAIT] = {
		.name = "DMA to private memory whose address is suspended (type1 and iommufd)",
		.spec = "gap 5",
		.exact = "goes to the old address; EBUSY for mediated devices, which are excluded",
		.full = "waits until the address is back, the mapping goes, or for too long",
		.test = "test_gap_5_dma_waits",
	},
	[VIA_DIFFERS_COMPAT_DIRTY] = {
		.name = "iommufd as a container: DIRTY_PAGES, GET_DIRTY_BITMAP",
		.spec = "gap 6",
		.exact = "ENOTTY, EINVAL",
		.full = "exactly what devices have written, the last of it by the call that unmaps",
		.test = "test_gap_6_dirty",
	},
	[VIA_DIFFERS_COMPAT_ACCOUNTING] = {
		.name = "iommufd as a container: locked memory",
		.spec = "gap 9",
		.exact = "charged as the mode of the context says",
		.full = "charged to the process",
		.test = "test_gap_9_accounting",
	},
	[VIA_DIFFERS_COMPAT_DMA_CC] = {
		.name = "iommufd as a container: DMA_CC before a group has joined",
		.spec = "gap 10",
		.exact = "ENODEV",
		.full = "0",
		.test = "test_gap_7_errnos",
	},
	[VIA_DIFFERS_SPAPR_RANGE] = {
		.name = "sPAPR MAP and UNMAP of a range that is not the window's",
		.spec = "quirk 1",
		.exact = "the ioctl succeeds with value 1",
		.full = "EINVAL",
		.test = "test_spapr_range_outside",
	},
	[VIA_DIFFERS_NOIOMMU_CAPABILITY] = {
		.name = "groups without an IOMMU: who may open them",
		.spec = NULL,
		.exact = "who has CAP_SYS_RAWIO, else EPERM",
		.full = "everybody",
		.test = "test_noiommu_capability",
	},
};

_Static_assert(sizeof(differences) / sizeof(differences[0]) == VIA_DIFFERS_COUNT, "one for each");

const struct via_difference *via_profile_difference(enum via_differs id)
{
	assert(id < VIA_DIFFERS_COUNT);
	return &differences[id];
}

bool via_profile_full(const struct via_vfio *vfio, enum via_differs id)
{
	assert(id < VIA_DIFFERS_COUNT);
	return vfio->config.profile == VIA_PROFILE_FULL;
}
