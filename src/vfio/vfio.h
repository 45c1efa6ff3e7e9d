/* SPDX-License-Identifier: MIT */
/*
 * The VFIO subsystem: what `modprobe vfio-pci` would give. It owns groups and
 * their devices and opens nodes below /dev.
 */
#ifndef VIA_VFIO_VFIO_H
#define VIA_VFIO_VFIO_H

#include "vfio/file.h"

#include <viaduct/device.h>

struct via_vfio;

enum via_profile {
	VIA_PROFILE_FULL,  /* gaps of Linux closed; default */
	VIA_PROFILE_LINUX, /* exactly as Linux 7.2 */
};

enum via_bars {
	VIA_BARS_AUTO, /* trap, but io for a VMM */
	VIA_BARS_TRAP, /* registers are mapped and trapped */
	VIA_BARS_IO,   /* registers are offered without MMAP (sparse mmap around them) */
};

enum via_memlock {
	VIA_MEMLOCK_WARN,    /* count, and say once what a kernel would refuse */
	VIA_MEMLOCK_ENFORCE, /* RLIMIT_MEMLOCK as the kernel */
};

struct via_vfio_config {
	enum via_profile profile;
	enum via_bars bars;
	enum via_memlock memlock;
	const struct via_iommu_props *iommu; /* NULL: via_iommu_props_intel() */
};

int via_vfio_new(const struct via_vfio_config *config, struct via_vfio **ret_vfio);
/* No file may be open. Frees the devices. */
void via_vfio_free(struct via_vfio *vfio);

/*
 * Place a device; vfio owns it afterwards (also on failure).
 * group: number, or -1 for the first free one. -EEXIST address taken.
 */
int via_vfio_add(struct via_vfio *vfio, struct via_device *dev, const struct via_pci_addr *addr,
		 int group, struct via_error *err);

/* Iterate over placed devices, by address: NULL at the end. */
struct via_device *via_vfio_device(struct via_vfio *vfio, size_t i);
int via_vfio_device_group(struct via_vfio *vfio, size_t i);

/*
 * Open a node: "vfio/vfio", "vfio/7". -ENOENT when there is none. flags are
 * open(2)'s. On 0 *ret_file has one reference.
 */
int via_vfio_open(struct via_vfio *vfio, struct via_caller *caller, const char *node, int flags,
		  struct via_file **ret_file);

#endif
