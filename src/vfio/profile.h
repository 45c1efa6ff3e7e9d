/* SPDX-License-Identifier: MIT */
/*
 * Where profiles `linux` and `full` differ: one table of all the places, so that
 * they can be listed, documented and tested (tests/contract/profiles.py).
 */
#ifndef VIA_VFIO_PROFILE_H
#define VIA_VFIO_PROFILE_H

#include "vfio/vfio.h"

enum via_differs {
	VIA_DIFFERS_RESET,
	VIA_DIFFERS_HOT_RESET,
	VIA_DIFFERS_MIGRATION,
	VIA_DIFFERS_VMM_REGISTERS,
	VIA_DIFFERS_HARDWARE,
	VIA_DIFFERS_DIRTY_HOLES,
	VIA_DIFFERS_PASID_LIMIT,
	VIA_DIFFERS_FILE_RIGHTS,
	VIA_DIFFERS_DMA_BUF_RESTORE,
	VIA_DIFFERS_BAR_MEMORY,
	VIA_DIFFERS_COMPAT_ERRNO,
	VIA_DIFFERS_COMPAT_CUT,
	VIA_DIFFERS_COMPAT_ENTRY_LIMIT,
	VIA_DIFFERS_COMPAT_VADDR,
	VIA_DIFFERS_VADDR_WAIT,
	VIA_DIFFERS_COMPAT_DIRTY,
	VIA_DIFFERS_COMPAT_ACCOUNTING,
	VIA_DIFFERS_COMPAT_DMA_CC,
	VIA_DIFFERS_SPAPR_RANGE,
	VIA_DIFFERS_NOIOMMU_CAPABILITY,
	VIA_DIFFERS_COUNT,
};

/* One place. All strings are constant. */
struct via_difference {
	const char *name;  /* short, as docs/differences.md and people know it */
	const char *spec;  /* gap or quirk of spec iommu.md; NULL: older than it */
	const char *exact; /* what profile linux does */
	const char *full;
	const char *test; /* of unit tests, the name of the function */
};

const struct via_difference *via_profile_difference(enum via_differs id);

/* Does vfio do here what profile full does? */
bool via_profile_full(const struct via_vfio *vfio, enum via_differs id);

#endif
