/* SPDX-License-Identifier: MIT */
/* VFIO_DEVICE_IOEVENTFD: decoded here, device/ioeventfd.c knows what it means. */
#include "vfio/topology.h"

#include <viaduct/abi/vfio.h>

#include <errno.h>

long via_device_set_ioeventfd(struct via_device_file *df, struct via_caller *caller, uint64_t arg)
{
	const size_t min = offsetof(struct via_vfio_device_ioeventfd, reserved);
	struct via_vfio_device_ioeventfd set;
	struct via_ioeventfd_write what;
	uint64_t region;
	int ret;

	ret = via_copy_in_argsz(caller, &set, arg, min, min);
	if (ret < 0)
		return ret;
	/* One bit, which is also the width in bytes. */
	if (set.flags & ~VIA_VFIO_DEVICE_IOEVENTFD_SIZE_MASK ||
	    __builtin_popcount(set.flags) != 1 || set.fd < -1)
		return -EINVAL;
	region = set.offset >> VIA_VFIO_PCI_OFFSET_SHIFT;
	what = (struct via_ioeventfd_write){
		.region = (unsigned int)region,
		.offset = set.offset & ((1ull << VIA_VFIO_PCI_OFFSET_SHIFT) - 1),
		.data = set.data,
		.width = set.flags,
	};
	return via_device_ioeventfd(df->placed->dev, &what, set.fd, via_caller_eventfd_get, caller);
}
