/* SPDX-License-Identifier: MIT */
/*
 * The locked-memory ledger: what DMA mappings pin, charged to the program's
 * address space in pages of 4 KiB as a kernel does in mm->locked_vm. A page
 * that is mapped twice counts twice.
 */
#ifndef VIA_IOMMU_LEDGER_H
#define VIA_IOMMU_LEDGER_H

#include <viaduct/memory.h>

/*
 * Charge pages to mm. -ENOMEM, nothing charged, when enforce is set and the
 * limit would be exceeded by a program without CAP_IPC_LOCK. *ret_over, if
 * given, tells that a kernel would have refused.
 */
int via_ledger_charge(struct via_mm *mm, uint64_t pages, bool enforce, bool *ret_over);
void via_ledger_uncharge(struct via_mm *mm, uint64_t pages);

/* Pages charged now; pages that may still be charged (UINT64_MAX without a limit). */
uint64_t via_ledger_pages(struct via_mm *mm);
uint64_t via_ledger_room(struct via_mm *mm);

#endif
