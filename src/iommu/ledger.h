/* SPDX-License-Identifier: MIT */
/*
 * The locked-memory ledger: what DMA mappings pin, in pages of 4 KiB, charged
 * as a kernel charges it: type1 to the address space (mm->locked_vm, a page
 * that is mapped twice counts twice), iommufd to the user or to the address
 * space, and to mm->pinned_vm besides (spec iommu.md 4).
 */
#ifndef VIA_IOMMU_LEDGER_H
#define VIA_IOMMU_LEDGER_H

#include <viaduct/memory.h>

struct via_user;

enum via_charge_mode {
	VIA_CHARGE_NONE, /* counts as pinned, has no limit: a holder of CAP_IPC_LOCK */
	VIA_CHARGE_USER, /* the user's processes have one limit together */
	VIA_CHARGE_MM,	 /* locked pages of the address space */
};

/* Who pays for pinned pages. */
struct via_ledger_owner {
	struct via_mm *mm;     /* NULL: nobody, nothing is counted at all */
	struct via_user *user; /* may be NULL unless mode is VIA_CHARGE_USER */
	enum via_charge_mode mode;
	bool enforce; /* refuse what exceeds the limit; else only tell */
};

/* The account of uid, with a reference. NULL: no memory. */
struct via_user *via_user_get(uid_t uid);
struct via_user *via_user_ref(struct via_user *user);
void via_user_put(struct via_user *user); /* NULL allowed */
uint64_t via_user_pages(const struct via_user *user);

/* -ENOMEM, nothing charged: the owner's limit. *ret_over as below. */
int via_ledger_pin(const struct via_ledger_owner *owner, uint64_t pages, bool *ret_over);
void via_ledger_unpin(const struct via_ledger_owner *owner, uint64_t pages);

/*
 * Type1: charge pages to mm. -ENOMEM, nothing charged, when enforce is set and the
 * limit would be exceeded by a program without CAP_IPC_LOCK. *ret_over, if
 * given, tells that a kernel would have refused.
 */
int via_ledger_charge(struct via_mm *mm, uint64_t pages, bool enforce, bool *ret_over);
void via_ledger_uncharge(struct via_mm *mm, uint64_t pages);

/* Pages charged now; pages that may still be charged (UINT64_MAX without a limit). */
uint64_t via_ledger_pages(struct via_mm *mm);
uint64_t via_ledger_room(struct via_mm *mm);

/*
 * Once for each mm: its mappings lock pages now, which a kernel would have
 * refused. Where limits are not enforced.
 */
void via_ledger_warn_over(struct via_mm *mm, uint64_t pages);

/* mm->pinned_vm: what VmPin of /proc/PID/status shows. */
uint64_t via_ledger_pinned(struct via_mm *mm);

#endif
