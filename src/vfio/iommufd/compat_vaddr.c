/* SPDX-License-Identifier: MIT */
/* Suspend and resume in an iommufd that is used as a container (spec iommu.md 6), as type1 has them. */
#include "iommu/suspend.h"
#include "vfio/iommufd/compat.h"
#include "vfio/profile.h"

#include <errno.h>

bool via_compat_mm_accounting(const struct via_compat_call *call)
{
	return via_profile_full(call->iommufd->vfio, VIA_DIFFERS_COMPAT_ACCOUNTING);
}

int via_compat_suspend(struct via_iommufd_ioas *ioas, via_iova_t first, via_iova_t last,
		       uint64_t *ret_size)
{
	int ret = via_ioas_suspend(ioas->ioas, first, last, ret_size);

	/* It is being mapped, by a call of iommufd: not yet there, or not any more. */
	return ret == -EBUSY ? -EINVAL : ret;
}

/*
 * The memory is what it was, but another process may resume it, and pays from now on.
 * It pays if it can before the other one is let off.
 */
static int take_over(const struct via_compat_call *call, struct via_pages *pages)
{
	struct via_ledger_owner owner, old;
	int ret = via_iommufd_container_owner(call->iommufd, call->caller,
					      via_compat_mm_accounting(call), &owner);

	if (ret < 0)
		return ret;
	via_pages_take_owner(pages, &old);
	if (!old.mm || old.mm == owner.mm) {
		(void)via_pages_give_owner(pages, &old, true);
	} else {
		ret = via_pages_give_owner(pages, &owner, false);
		if (ret < 0)
			(void)via_pages_give_owner(pages, &old, true);
	}
	via_iommufd_owner_put(&old);
	via_iommufd_owner_put(&owner);
	return ret;
}

/* The old address counts no more when the new one is charged: it is not twice the memory. */
static int move(const struct via_compat_call *call, struct via_pages *old_pages,
		const struct via_vfio_iommu_type1_dma_map *map)
{
	struct via_ledger_owner old;
	struct via_pages *pages;
	int ret = via_iommufd_memory_pages(call->iommufd, call->caller, map->vaddr, map->size, true,
					   via_compat_mm_accounting(call), &pages);

	if (ret < 0)
		return ret;
	/* As a kernel, which has them pinned, we do not look whether they are there. */
	via_pages_set_unprobed(pages);
	via_pages_take_owner(old_pages, &old);
	ret = via_ioas_replace(call->ioas->ioas, map->iova, pages);
	if (ret < 0)
		via_pages_put(pages);
	/* For other mappings of them, or if they stay. */
	(void)via_pages_give_owner(old_pages, &old, true);
	via_iommufd_owner_put(&old);
	return ret;
}

static bool same_page(struct via_pages *pages, uint64_t offset, struct via_mm *mm, uint64_t addr)
{
	struct via_page_identity ours, theirs;

	return !via_pages_identity(pages, offset, &ours) && !via_mm_identity(mm, addr, &theirs) &&
	       ours.space == theirs.space && ours.object == theirs.object &&
	       ours.page == theirs.page;
}

/*
 * Memory that we hold needs no address, until the last device is closed: what is mapped
 * is pinned anew for the next one, by its address. So the new one is taken if the memory
 * is found there.
 */
static bool found_again(const struct via_compat_call *call, const struct via_resume *resume,
			const struct via_vfio_iommu_type1_dma_map *map)
{
	const uint64_t last = map->size - VIA_PAGES_SIZE;
	struct via_mm *mm = call->caller->mm;

	return via_pages_kind(resume->pages) == VIA_PAGES_MEMORY &&
	       same_page(resume->pages, resume->offset, mm, map->vaddr) &&
	       same_page(resume->pages, resume->offset + last, mm, map->vaddr + last);
}

int via_compat_resume(const struct via_compat_call *call,
		      const struct via_vfio_iommu_type1_dma_map *map)
{
	struct via_ioas *ioas = call->ioas->ioas;
	const via_iova_t last = map->iova + (map->size - 1);
	struct via_resume resume;
	int ret = via_ioas_resume(ioas, map->iova, last, &resume);

	if (ret < 0)
		return ret;
	if (resume.held && !found_again(call, &resume, map))
		ret = take_over(call, resume.pages);
	else
		ret = move(call, resume.pages, map);
	if (ret < 0)
		via_ioas_resume_undo(ioas, map->iova, last);
	via_pages_put(resume.pages);
	return ret;
}
