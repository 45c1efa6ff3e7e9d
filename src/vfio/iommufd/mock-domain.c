/* SPDX-License-Identifier: MIT */
/*
 * The mock vendor's page tables. Translation is the IOAS's own; what a real
 * table adds is the size of its leaves, which is what one write makes dirty.
 */
#include "vfio/iommufd/mock.h"

#include "base/epoch.h"

#include <errno.h>

/* What lies behind an IOVA: a byte of pages, with a reference. */
struct target {
	struct via_pages *pages;
	uint64_t offset;
	via_iova_t first, last; /* of its area */
};

static bool find(struct via_hwpt *hwpt, via_iova_t iova, struct target *ret_target)
{
	struct via_ioas *ioas = via_domain_ioas(hwpt->domain);
	const struct via_ioas_area *area;

	via_epoch_enter();
	area = via_ioas_lookup(ioas, iova);
	if (area && area->pages && __atomic_load_n(&area->fill, __ATOMIC_ACQUIRE)) {
		*ret_target = (struct target){
			.pages = via_pages_get(area->pages),
			.offset = area->offset + (iova - area->first),
			.first = area->first,
			.last = area->last,
		};
	} else {
		area = NULL;
	}
	via_epoch_exit();
	return area != NULL;
}

static bool same(const struct via_page_identity *a, const struct via_page_identity *b)
{
	return a->space == b->space && a->object == b->object && a->page == b->page;
}

int via_mock_check_page(struct via_hwpt *hwpt, via_iova_t iova, struct via_mm *mm, uint64_t addr)
{
	struct via_page_identity here, there;
	struct target target;
	uint64_t byte;
	int ret;

	ret = via_mm_identity(mm, addr, &there);
	if (ret < 0)
		return -EFAULT;
	if (!find(hwpt, iova, &target))
		return -EINVAL;
	byte = via_pages_start(target.pages) + target.offset;
	ret = via_pages_identity(target.pages, target.offset, &here);
	via_pages_put(target.pages);
	if (ret < 0 || !same(&here, &there) || byte % VIA_PAGES_SIZE != addr % VIA_PAGES_SIZE)
		return -EINVAL;
	return 0;
}

/*
 * A table of type 1 has a leaf of 1 MiB where an aligned one fits into the area,
 * and into memory that lies in one piece: as we cannot ask for that of frames, where the
 * source is as aligned as the IOVA.
 */
static bool is_large(struct via_hwpt *hwpt, const struct target *target, via_iova_t leaf)
{
	const uint64_t byte = via_pages_start(target->pages) + target->offset;
	const via_iova_t iova = target->first;

	return via_ioas_large_pages(via_domain_ioas(hwpt->domain)) && leaf >= target->first &&
	       leaf + (VIA_MOCK_LEAF - 1) <= target->last &&
	       (byte - iova) % VIA_MOCK_LEAF == 0;
}

void via_mock_mark_dirty(struct via_hwpt *hwpt, via_iova_t iova)
{
	struct via_dirty_store *store = via_domain_dirty(hwpt->domain);
	uint64_t size = VIA_MOCK_PAGE;
	struct target target;

	if (!store || !find(hwpt, iova, &target))
		return;
	if (via_mock_huge(hwpt)) {
		target.offset -= iova - target.first;
		size = is_large(hwpt, &target, iova & ~(VIA_MOCK_LEAF - 1)) ? VIA_MOCK_LEAF
									    : VIA_PAGES_SIZE;
	}
	via_pages_put(target.pages);
	/* With small leaves a page is two of them, of which one is marked. */
	via_dirty_store_mark(store, iova & ~(size - 1), size);
}
