/* SPDX-License-Identifier: MIT */
#include "iommu/ledger.h"

#include <errno.h>

#define PAGE_SHIFT 12

static uint64_t limit_of(struct via_mm *mm)
{
	if (__atomic_load_n(&mm->cap_ipc_lock, __ATOMIC_RELAXED))
		return UINT64_MAX;
	return __atomic_load_n(&mm->memlock_limit, __ATOMIC_RELAXED) >> PAGE_SHIFT;
}

uint64_t via_ledger_pages(struct via_mm *mm)
{
	return __atomic_load_n(&mm->locked_pages, __ATOMIC_RELAXED);
}

uint64_t via_ledger_room(struct via_mm *mm)
{
	uint64_t limit = limit_of(mm), pages = via_ledger_pages(mm);

	if (limit == UINT64_MAX)
		return UINT64_MAX;
	return limit > pages ? limit - pages : 0;
}

int via_ledger_charge(struct via_mm *mm, uint64_t pages, bool enforce, bool *ret_over)
{
	uint64_t limit = limit_of(mm), old = via_ledger_pages(mm);
	bool over;

	do {
		over = pages > limit || old > limit - pages;
		if (over && enforce)
			return -ENOMEM;
	} while (!__atomic_compare_exchange_n(&mm->locked_pages, &old, old + pages, true,
					      __ATOMIC_RELAXED, __ATOMIC_RELAXED));
	if (ret_over)
		*ret_over = over;
	return 0;
}

void via_ledger_uncharge(struct via_mm *mm, uint64_t pages)
{
	__atomic_sub_fetch(&mm->locked_pages, pages, __ATOMIC_RELAXED);
}
