/* SPDX-License-Identifier: MIT */
/*
 * Dirty pages of a container that is an iommufd: each domain of its IOAS records
 * what its devices write. Domains that a program tracks by IOMMU_HWPT_* keep
 * their bits for that; here they are only looked at.
 */
#include "vfio/iommufd/compat.h"

#include <errno.h>
#include <stdlib.h>

/* Of the bitmap, in one go. */
#define WORDS 512u
#define PAGES (64u * WORDS)

/* Is hwpt the program's own to track? */
static bool is_native(const struct via_hwpt *hwpt)
{
	return hwpt->flags & VIA_IOMMU_HWPT_ALLOC_DIRTY_TRACKING;
}

static int track(struct via_hwpt *hwpt, bool on)
{
	int ret;

	if (is_native(hwpt))
		return 0;
	pthread_mutex_lock(&hwpt->dirty_lock);
	ret = via_domain_track(hwpt->domain, on);
	pthread_mutex_unlock(&hwpt->dirty_lock);
	return ret;
}

/* devices_lock held. */
static void stop(struct via_iommufd_ioas *ioas)
{
	for (struct via_hwpt *hwpt = ioas->hwpts; hwpt; hwpt = hwpt->next)
		(void)track(hwpt, false);
	via_dirty_store_free(ioas->container.left);
	ioas->container.left = NULL;
	ioas->container.blind = false;
	ioas->container.tracking = false;
}

/* devices_lock held. */
static int start(struct via_iommufd_ioas *ioas)
{
	int ret;

	if (ioas->container.tracking)
		return 0;
	ret = via_dirty_store_new(VIA_PAGES_SIZE, &ioas->container.left);
	for (struct via_hwpt *hwpt = ioas->hwpts; hwpt && !ret; hwpt = hwpt->next)
		ret = track(hwpt, true);
	if (ret < 0)
		stop(ioas);
	else
		ioas->container.tracking = true;
	return ret;
}

int via_compat_dirty_start(struct via_iommufd_ioas *ioas)
{
	struct via_iommufd *iommufd = ioas->object.iommufd;
	int ret;

	pthread_mutex_lock(&iommufd->devices_lock);
	ret = start(ioas);
	pthread_mutex_unlock(&iommufd->devices_lock);
	return ret;
}

void via_compat_dirty_stop(struct via_iommufd_ioas *ioas)
{
	struct via_iommufd *iommufd = ioas->object.iommufd;

	pthread_mutex_lock(&iommufd->devices_lock);
	if (ioas->container.tracking)
		stop(ioas);
	pthread_mutex_unlock(&iommufd->devices_lock);
}

bool via_compat_dirty_on(struct via_iommufd_ioas *ioas)
{
	struct via_iommufd *iommufd = ioas->object.iommufd;
	bool on;

	pthread_mutex_lock(&iommufd->devices_lock);
	on = ioas->container.tracking;
	pthread_mutex_unlock(&iommufd->devices_lock);
	return on;
}

/* Domains that come and go ---------------------------------------------------- */

static int keep(void *cookie, via_iova_t first, via_iova_t last)
{
	via_dirty_store_mark(cookie, first, last - first + 1);
	return 0;
}

/* Keep what devices have written to [first, last] through hwpt; devices_lock held. */
static void take(struct via_hwpt *hwpt, via_iova_t first, via_iova_t last)
{
	struct via_dirty_store *store = via_domain_dirty(hwpt->domain);

	if (!store)
		return;
	pthread_mutex_lock(&hwpt->dirty_lock);
	(void)via_dirty_store_harvest(store, first, last, true, keep, hwpt->ioas->container.left);
	pthread_mutex_unlock(&hwpt->dirty_lock);
}

void via_iommufd_container_hwpt(struct via_hwpt *hwpt, bool added)
{
	struct via_compat *container = &hwpt->ioas->container;

	if (!container->tracking)
		return;
	if (!added)
		take(hwpt, 0, UINT64_MAX);
	else if (track(hwpt, true) < 0)
		/* Then everything is dirty, for as long as it is asked for. */
		container->blind = true;
}

/* Reports --------------------------------------------------------------------- */

struct part {
	via_iova_t first, last; /* of PAGES pages, or fewer at the end */
	uint64_t dirty[WORDS];
	uint64_t mapped[WORDS];
};

static void set_pages(uint64_t *words, uint64_t first, uint64_t last)
{
	for (uint64_t i = first / 64; i <= last / 64; i++) {
		uint64_t mask = UINT64_MAX;

		if (i == first / 64)
			mask &= UINT64_MAX << first % 64;
		if (i == last / 64)
			mask &= UINT64_MAX >> (63 - last % 64);
		words[i] |= mask;
	}
}

/* Clipped to the part by who calls. */
static int set_dirty(void *cookie, via_iova_t first, via_iova_t last)
{
	struct part *part = cookie;

	set_pages(part->dirty, (first - part->first) / VIA_PAGES_SIZE,
		  (last - part->first) / VIA_PAGES_SIZE);
	return 0;
}

/* False: no page of the part is mapped. */
static bool set_mapped(struct part *part, const struct via_iova_range *ranges, size_t n,
		       size_t *next)
{
	bool any = false;

	while (*next < n && ranges[*next].last < part->first)
		++*next;
	for (size_t i = *next; i < n && ranges[i].first <= part->last; i++) {
		const via_iova_t first =
			ranges[i].first > part->first ? ranges[i].first : part->first;
		const via_iova_t last = ranges[i].last < part->last ? ranges[i].last : part->last;

		set_pages(part->mapped, (first - part->first) / VIA_PAGES_SIZE,
			  (last - part->first) / VIA_PAGES_SIZE);
		any = true;
	}
	return any;
}

static void collect(struct via_iommufd_ioas *ioas, struct part *part)
{
	struct via_iommufd *iommufd = ioas->object.iommufd;

	pthread_mutex_lock(&iommufd->devices_lock);
	for (struct via_hwpt *hwpt = ioas->hwpts; hwpt; hwpt = hwpt->next) {
		struct via_dirty_store *store = via_domain_dirty(hwpt->domain);

		if (!store)
			continue;
		pthread_mutex_lock(&hwpt->dirty_lock);
		(void)via_dirty_store_harvest(store, part->first, part->last, !is_native(hwpt),
					      set_dirty, part);
		pthread_mutex_unlock(&hwpt->dirty_lock);
	}
	if (ioas->container.left)
		(void)via_dirty_store_harvest(ioas->container.left, part->first, part->last, true,
					      set_dirty, part);
	if (ioas->container.blind)
		memset(part->dirty, 0xff, sizeof(part->dirty));
	pthread_mutex_unlock(&iommufd->devices_lock);
}

/* The words that say something, in as few copies as there are gaps. */
static int deliver(struct via_caller *caller, struct part *part, uint64_t addr)
{
	size_t n = 0;

	for (size_t i = 0; i <= WORDS; i++) {
		int ret;

		if (i < WORDS && part->mapped[i]) {
			part->dirty[i] &= part->mapped[i];
			n++;
			continue;
		}
		ret = n ? via_copy_out(caller, addr + (i - n) * 8, &part->dirty[i - n], n * 8) : 0;
		if (ret < 0)
			return ret;
		n = 0;
	}
	return 0;
}

int via_compat_dirty_report(const struct via_compat_call *call, via_iova_t first, via_iova_t last,
			    const struct via_iova_range *ranges, size_t n_ranges,
			    const struct via_vfio_bitmap *bitmap)
{
	struct via_mm *mm = call->caller->mm;
	uint64_t addr = bitmap->data;
	struct part *part;
	size_t next = 0;
	int ret;

	if (mm->ops->probe(mm, bitmap->data, bitmap->size, VIA_PROT_WRITE) < 0)
		return -EFAULT;
	part = malloc(sizeof(*part));
	if (!part)
		return -ENOMEM;
	ret = 0;
	while (!ret && next < n_ranges) {
		const uint64_t step = (uint64_t)PAGES * VIA_PAGES_SIZE;

		memset(part, 0, sizeof(*part));
		part->first = first;
		part->last = last - first < step ? last : first + (step - 1);
		if (set_mapped(part, ranges, n_ranges, &next)) {
			collect(call->ioas, part);
			ret = deliver(call->caller, part, addr);
		}
		if (part->last == last)
			break;
		first = part->last + 1;
		addr += sizeof(part->dirty);
	}
	free(part);
	return ret;
}

/* UNMAP_DMA -------------------------------------------------------------------- */

struct removal {
	struct via_iommufd_ioas *ioas;
	via_iova_t first, last;
};

/* Nothing is written there any more, and what was written is forgotten next. */
static void removed(void *cookie, void *owner)
{
	const struct removal *r = cookie;

	for (struct via_hwpt *hwpt = r->ioas->hwpts; hwpt; hwpt = hwpt->next)
		take(hwpt, r->first, r->last);
}

uint64_t via_compat_dirty_unmap(struct via_iommufd_ioas *ioas, via_iova_t first, via_iova_t last)
{
	struct via_iommufd *iommufd = ioas->object.iommufd;
	struct removal r = {ioas, first, last};
	uint64_t bytes = 0;

	/* No domain may come or go. */
	pthread_mutex_lock(&iommufd->devices_lock);
	if (ioas->container.tracking)
		bytes = via_ioas_remove(ioas->ioas, first, last, removed, &r);
	pthread_mutex_unlock(&iommufd->devices_lock);
	return bytes;
}

void via_compat_dirty_forget(struct via_iommufd_ioas *ioas, via_iova_t first, via_iova_t last)
{
	struct via_iommufd *iommufd = ioas->object.iommufd;

	pthread_mutex_lock(&iommufd->devices_lock);
	if (ioas->container.left)
		via_dirty_store_clear(ioas->container.left, first, last);
	pthread_mutex_unlock(&iommufd->devices_lock);
}
