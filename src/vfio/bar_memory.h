/* SPDX-License-Identifier: MIT */
/* Addresses of a program at which it has mapped a BAR: memory for DMA of other devices. */
#ifndef VIA_VFIO_BAR_MEMORY_H
#define VIA_VFIO_BAR_MEMORY_H

#include "iommu/pages.h"
#include "vfio/topology.h"

struct via_bar_use {
	bool writable;
	bool refused; /* it is only found out whether there is a BAR */
	const struct via_ledger_owner *owner; /* pays for the program's own memory beside BARs */
};

/*
 * 1: some of [addr, addr + len) is a BAR's, and *ret_pages follow that when it is
 * revoked and restored; 0: none of it is; -EFAULT: some of it is, and it
 * cannot be had (refused, a device that does not answer, nothing beside it, the program
 * has not mapped it so); -ENOMEM.
 */
int via_bar_memory(struct via_vfio *vfio, struct via_caller *caller, uint64_t addr, uint64_t len,
		   const struct via_bar_use *use, struct via_pages **ret_pages);

/*
 * Above all programs' memory, as likely aligned as addr: what names a BAR, and cannot be had, is
 * found out like any bad address, by pinning it.
 */
static inline uint64_t via_bar_memory_nowhere(uint64_t addr)
{
	return (uint64_t)1 << 47 | (addr & ((2u << 20) - 1));
}

#endif
