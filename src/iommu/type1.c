/* SPDX-License-Identifier: MIT */
#include "iommu/type1.h"

#include "iommu/dirty.h"
#include "iommu/ioas.h"
#include "iommu/ledger.h"
#include "iommu/suspend.h"
#include "memory/space.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#define PAGE_SHIFT 12

/* A mapping has at most this many pages while dirty pages are tracked. */
#define DIRTY_PAGES_MAX INT32_MAX

#define MAP_FLAGS                                                                                  \
	(VIA_VFIO_DMA_MAP_FLAG_READ | VIA_VFIO_DMA_MAP_FLAG_WRITE | VIA_VFIO_DMA_MAP_FLAG_VADDR)
#define UNMAP_FLAGS                                                                                \
	(VIA_VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP | VIA_VFIO_DMA_UNMAP_FLAG_ALL |                  \
	 VIA_VFIO_DMA_UNMAP_FLAG_VADDR)

/* The container's record of an area; under the container's lock. */
struct mapping {
	struct via_mm *mm; /* charged; a reference */
	uint64_t pages;
};

struct via_type1 {
	const struct via_iommu_props *props; /* constant, like v2 and enforce */
	struct via_ioas *ioas;
	uint64_t granule;
	bool v2;
	bool enforce;
	pthread_mutex_t lock;	 /* everything below, and changes of the IOAS */
	struct via_space *space; /* of the program that mapped last */
	uint32_t available;	 /* mappings that may still be made */
	bool tracking;
};

int via_type1_new(const struct via_iommu_props *props, unsigned int version, bool enforce_memlock,
		  struct via_type1 **ret_type1)
{
	struct via_type1 *type1;
	int rc;

	if (version != VIA_VFIO_TYPE1_IOMMU && version != VIA_VFIO_TYPE1v2_IOMMU)
		return -EINVAL;
	type1 = calloc(1, sizeof(*type1));
	if (!type1)
		return -ENOMEM;
	rc = via_ioas_new(props, &type1->ioas);
	if (rc) {
		free(type1);
		return rc;
	}
	type1->props = props;
	type1->granule = props->pgsize_bitmap & -props->pgsize_bitmap;
	type1->v2 = version == VIA_VFIO_TYPE1v2_IOMMU;
	type1->enforce = enforce_memlock;
	type1->available = props->entry_limit;
	pthread_mutex_init(&type1->lock, NULL);
	*ret_type1 = type1;
	return 0;
}

static void mapping_free(struct via_type1 *type1, struct mapping *m)
{
	if (m->mm) {
		via_ledger_uncharge(m->mm, m->pages);
		via_mm_put(m->mm);
	}
	free(m);
}

static void mapping_removed(void *cookie, void *owner)
{
	struct via_type1 *type1 = cookie;

	mapping_free(type1, owner);
	type1->available++;
}

void via_type1_free(struct via_type1 *type1)
{
	if (!type1)
		return;
	pthread_mutex_lock(&type1->lock);
	(void)via_ioas_remove(type1->ioas, 0, UINT64_MAX, mapping_removed, type1);
	pthread_mutex_unlock(&type1->lock);
	via_ioas_put(type1->ioas);
	via_space_put(type1->space);
	pthread_mutex_destroy(&type1->lock);
	free(type1);
}

void via_type1_set_entry_limit(struct via_type1 *type1, uint32_t limit)
{
	type1->available = limit;
}

struct via_ioas *via_type1_ioas(struct via_type1 *type1)
{
	return type1->ioas;
}

int via_type1_check_extension(const struct via_type1 *type1, uint64_t extension)
{
	switch (extension) {
	case VIA_VFIO_TYPE1_IOMMU:
	case VIA_VFIO_TYPE1v2_IOMMU:
	case VIA_VFIO_UNMAP_ALL:
		return 1;
	case VIA_VFIO_UPDATE_VADDR:
		return type1 != NULL;
	case VIA_VFIO_DMA_CC_IOMMU:
		return type1 && type1->props->coherent;
	default:
		return 0;
	}
}

int via_type1_attach_allowed(struct via_type1 *type1)
{
	return via_ioas_suspended(type1->ioas) ? -EBUSY : 0;
}

/* GET_INFO --------------------------------------------------------------- */

uint64_t via_type1_pgsizes(const struct via_type1 *type1)
{
	return type1->props->pgsize_bitmap;
}

size_t via_type1_info_caps(struct via_type1 *type1, void *buf, size_t len)
{
	const size_t base = sizeof(struct via_vfio_iommu_type1_info);
	size_t n = type1->props->n_ranges;
	struct via_vfio_iommu_type1_info_cap_migration migration = {
		.header = { VIA_VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION, 1, 0 },
		.pgsize_bitmap = type1->granule,
		.max_dirty_bitmap_size = VIA_DIRTY_BITMAP_MAX,
	};
	struct via_vfio_iommu_type1_info_dma_avail avail = {
		.header = { VIA_VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, 1, 0 },
	};
	struct via_vfio_iommu_type1_info_cap_iova_range ranges = {
		.header = { VIA_VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, 1, 0 },
		.nr_iovas = (uint32_t)n,
	};
	size_t at_avail = sizeof(migration);
	size_t at_ranges = at_avail + ((sizeof(avail) + 7) & ~(size_t)7);
	size_t need = at_ranges + (n ? sizeof(ranges) + n * sizeof(struct via_vfio_iova_range) : 0);
	uint8_t *out = buf;

	if (len < need)
		return need;
	memset(out, 0, need);
	migration.header.next = (uint32_t)(base + at_avail);
	memcpy(out, &migration, sizeof(migration));
	avail.header.next = n ? (uint32_t)(base + at_ranges) : 0;
	pthread_mutex_lock(&type1->lock);
	avail.avail = type1->available;
	pthread_mutex_unlock(&type1->lock);
	memcpy(out + at_avail, &avail, sizeof(avail));
	if (!n)
		return need;
	memcpy(out + at_ranges, &ranges, sizeof(ranges));
	for (size_t i = 0; i < n; i++) {
		struct via_vfio_iova_range range = { type1->props->ranges[i].first,
						     type1->props->ranges[i].last };

		memcpy(out + at_ranges + sizeof(ranges) + i * sizeof(range), &range, sizeof(range));
	}
	return need;
}

/* MAP_DMA ---------------------------------------------------------------- */

/* A space of mm; borrowed. */
static int space_for(struct via_type1 *type1, struct via_mm *mm, struct via_space **ret_space)
{
	struct via_space *space;
	int rc;

	if (!type1->space || type1->space->mm != mm) {
		rc = via_space_new_mm(mm, &space);
		if (rc)
			return rc;
		via_space_put(type1->space);
		type1->space = space;
	}
	*ret_space = type1->space;
	return 0;
}

/*
 * Charge a mapping. Pages are pinned in order and each is charged as it is, so
 * a bad page before the limit is EFAULT, and one behind it is not seen.
 */
static int charge(struct via_type1 *type1, struct via_mm *mm, uint64_t vaddr, uint64_t pages,
		  unsigned int prot)
{
	uint64_t room = via_ledger_room(mm);
	bool over = false;
	int rc;

	if (type1->enforce && pages > room) {
		rc = mm->ops->probe(mm, vaddr, (room + 1) << PAGE_SHIFT, prot);
		return rc ? rc : -ENOMEM;
	}
	rc = via_ledger_charge(mm, pages, type1->enforce, &over);
	if (!rc && over)
		via_ledger_warn_over(mm, via_ledger_pages(mm));
	return rc;
}

static int map_new(struct via_type1 *type1, struct via_mm *mm,
		   const struct via_vfio_iommu_type1_dma_map *map, unsigned int prot)
{
	struct mapping *m = malloc(sizeof(*m));
	struct via_space *space;
	int rc;

	if (!m)
		return -ENOMEM;
	*m = (struct mapping){ .pages = map->size >> PAGE_SHIFT };
	rc = space_for(type1, mm, &space);
	if (!rc)
		rc = charge(type1, mm, map->vaddr, m->pages, prot);
	if (rc) {
		free(m);
		return rc;
	}
	m->mm = via_mm_get(mm);
	rc = via_ioas_map_area(type1->ioas, map->iova, space, map->vaddr, map->size, prot, m);
	if (rc) {
		mapping_free(type1, m);
		return rc;
	}
	type1->available--;
	if (type1->tracking && map->size / type1->granule > DIRTY_PAGES_MAX) {
		(void)via_ioas_remove(type1->ioas, map->iova, map->iova, mapping_removed, type1);
		return -EINVAL;
	}
	return 0;
}

/* Another device's region: nobody is charged. */
static int map_region(struct via_type1 *type1, const struct via_vfio_iommu_type1_dma_map *map,
		      struct via_pages *region, unsigned int prot)
{
	struct mapping *m = calloc(1, sizeof(*m));
	via_iova_t iova = map->iova;
	int rc;

	if (!m)
		return -ENOMEM;
	rc = via_ioas_map_pages(type1->ioas, region, 0, map->size, prot, VIA_IOAS_FIXED, &iova, m);
	if (rc) {
		free(m);
		return rc;
	}
	type1->available--;
	return 0;
}

/*
 * What is at [first, last] has the address vaddr of mm now: look for it there, unless it
 * works on as it is.
 */
static int move(struct via_type1 *type1, struct via_mm *mm, const struct via_resume *resume,
		via_iova_t first, uint64_t size, uint64_t vaddr)
{
	static const struct via_ledger_owner nobody = { 0 };
	struct via_pages *pages;
	struct via_space *space;
	int rc;

	if (resume->held)
		return 0;
	rc = space_for(type1, mm, &space);
	if (!rc)
		rc = via_pages_new_memory(space, vaddr, size, resume->prot & VIA_PROT_WRITE,
					  &nobody, &pages);
	if (rc)
		return rc;
	/* As a kernel, which has them pinned, we do not look whether they are there. */
	via_pages_set_unprobed(pages);
	rc = via_ioas_replace(type1->ioas, first, pages);
	if (rc)
		via_pages_put(pages);
	return rc;
}

/* mm pays for what it resumes. */
static int take_over(struct via_type1 *type1, struct via_mm *mm, const struct mapping *m)
{
	bool over = false;
	int rc;

	if (mm == m->mm || !m->mm)
		return 0;
	rc = via_ledger_charge(mm, m->pages, type1->enforce, &over);
	if (over)
		via_ledger_warn_over(mm, via_ledger_pages(mm));
	return rc;
}

static int resume(struct via_type1 *type1, struct via_mm *mm,
		  const struct via_vfio_iommu_type1_dma_map *map)
{
	const via_iova_t last = map->iova + (map->size - 1);
	struct via_resume resume;
	struct mapping *m;
	int rc = via_ioas_resume(type1->ioas, map->iova, last, &resume);

	if (rc)
		return rc;
	m = via_ioas_find(type1->ioas, map->iova)->owner;
	rc = take_over(type1, mm, m);
	if (!rc) {
		rc = move(type1, mm, &resume, map->iova, map->size, map->vaddr);
		if (rc && mm != m->mm && m->mm)
			via_ledger_uncharge(mm, m->pages);
	}
	via_pages_put(resume.pages);
	if (rc) {
		via_ioas_resume_undo(type1->ioas, map->iova, last);
	} else if (mm != m->mm && m->mm) {
		via_ledger_uncharge(m->mm, m->pages);
		via_mm_put(m->mm);
		m->mm = via_mm_get(mm);
	}
	return rc;
}

int via_type1_map(struct via_type1 *type1, struct via_mm *mm,
		  const struct via_vfio_iommu_type1_dma_map *map)
{
	return via_type1_map_region(type1, mm, map, NULL);
}

int via_type1_map_region(struct via_type1 *type1, struct via_mm *mm,
			 const struct via_vfio_iommu_type1_dma_map *map, struct via_pages *region)
{
	bool set_vaddr = map->flags & VIA_VFIO_DMA_MAP_FLAG_VADDR;
	const struct via_ioas_area *area;
	unsigned int prot = 0;
	uint64_t last, end;
	int rc;

	if (map->flags & VIA_VFIO_DMA_MAP_FLAG_READ)
		prot |= VIA_PROT_READ;
	if (map->flags & VIA_VFIO_DMA_MAP_FLAG_WRITE)
		prot |= VIA_PROT_WRITE;
	if ((map->flags & ~MAP_FLAGS) || !map->size)
		return -EINVAL;
	if (__builtin_add_overflow(map->iova, map->size - 1, &last) ||
	    __builtin_add_overflow(map->vaddr, map->size - 1, &end))
		return -EOVERFLOW;
	if (set_vaddr ? prot != 0 : !prot)
		return -EINVAL;
	if ((map->size | map->iova | map->vaddr) & (type1->granule - 1))
		return -EINVAL;

	pthread_mutex_lock(&type1->lock);
	area = via_ioas_find(type1->ioas, map->iova);
	if (set_vaddr)
		rc = resume(type1, mm, map);
	else if (area && area->first <= last)
		rc = -EEXIST;
	else if (!type1->available)
		rc = -ENOSPC;
	else if (!via_ioas_usable(type1->props, map->iova, last))
		rc = -EINVAL;
	else
		rc = region ? map_region(type1, map, region, prot)
			    : map_new(type1, mm, map, prot);
	pthread_mutex_unlock(&type1->lock);
	return rc;
}

/* UNMAP_DMA -------------------------------------------------------------- */

int via_type1_unmap_flags(uint32_t flags)
{
	if (flags & ~UNMAP_FLAGS)
		return -EINVAL;
	if ((flags & VIA_VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP) &&
	    (flags & (VIA_VFIO_DMA_UNMAP_FLAG_ALL | VIA_VFIO_DMA_UNMAP_FLAG_VADDR)))
		return -EINVAL;
	return 0;
}

/* Would removing [first, last] cut a mapping at either end? */
static bool cuts(struct via_type1 *type1, via_iova_t first, via_iova_t last)
{
	const struct via_ioas_area *head = via_ioas_find(type1->ioas, first);
	const struct via_ioas_area *tail = via_ioas_find(type1->ioas, last);

	return (head && head->first < first) ||
	       (tail && tail->first <= last && tail->last != last);
}

/*
 * Report the mappings that start in [first, last] as dirty. *ret_last: the
 * last byte up to which that succeeded; first - 1 if not even once.
 */
static int report(struct via_type1 *type1, struct via_mm *mm, via_iova_t first, via_iova_t last,
		  const struct via_vfio_bitmap *bitmap, via_iova_t *ret_last)
{
	const struct via_ioas_area *area = via_ioas_find(type1->ioas, first);

	*ret_last = first - 1;
	for (; area && area->first <= last; area = via_ioas_find(type1->ioas, area->last + 1)) {
		int rc = via_dirty_report_all(mm, bitmap->data,
					      (area->first - first) / type1->granule,
					      (area->last - area->first + 1) / type1->granule);

		if (rc)
			return rc;
		*ret_last = area->last;
		if (area->last == UINT64_MAX)
			break;
	}
	return 0;
}

/* The walk, all checks done. */
static int unmap_range(struct via_type1 *type1, struct via_mm *mm, uint32_t flags,
		       via_iova_t first, via_iova_t last, const struct via_vfio_bitmap *bitmap,
		       uint64_t *ret_size)
{
	const struct via_ioas_area *area = via_ioas_find(type1->ioas, first);
	via_iova_t unmap_last = last;
	int rc = 0;

	*ret_size = 0;
	/* v1: a hole cannot be punched, and asking for it is no error. */
	if (area && area->first < first)
		return 0;
	if (flags & VIA_VFIO_DMA_UNMAP_FLAG_VADDR)
		return via_ioas_suspend(type1->ioas, first, last, ret_size);
	if (bitmap)
		rc = report(type1, mm, first, last, bitmap, &unmap_last);
	if (!bitmap || unmap_last != first - 1)
		*ret_size = via_ioas_remove(type1->ioas, first, unmap_last, mapping_removed, type1);
	return rc;
}

int via_type1_unmap(struct via_type1 *type1, struct via_mm *mm,
		    const struct via_vfio_iommu_type1_dma_unmap *unmap,
		    const struct via_vfio_bitmap *bitmap, uint64_t *ret_size)
{
	bool all = unmap->flags & VIA_VFIO_DMA_UNMAP_FLAG_ALL;
	bool dirty = unmap->flags & VIA_VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP;
	via_iova_t last = UINT64_MAX;
	uint64_t size = 0;
	int rc;

	rc = via_type1_unmap_flags(unmap->flags);
	if (!rc && dirty)
		rc = via_dirty_bitmap_check(bitmap, unmap->size);
	if (rc)
		return rc;
	if (unmap->iova & (type1->granule - 1))
		return -EINVAL;
	if (all && (unmap->iova || unmap->size))
		return -EINVAL;
	if (!all && (!unmap->size || (unmap->size & (type1->granule - 1))))
		return -EINVAL;
	if (!all && __builtin_add_overflow(unmap->iova, unmap->size - 1, &last))
		return -EOVERFLOW;

	pthread_mutex_lock(&type1->lock);
	if (dirty && (!type1->tracking || bitmap->pgsize != type1->granule))
		rc = -EINVAL;
	else if (type1->v2 && !all && cuts(type1, unmap->iova, last))
		rc = -EINVAL;
	else
		rc = unmap_range(type1, mm, unmap->flags, unmap->iova, last,
				 dirty ? bitmap : NULL, &size);
	pthread_mutex_unlock(&type1->lock);
	if (!rc)
		*ret_size = size;
	return rc;
}

/* DIRTY_PAGES ------------------------------------------------------------ */

int via_type1_dirty_allowed(const struct via_type1 *type1)
{
	return type1->v2 ? 0 : -EACCES;
}

int via_type1_dirty_flags(uint32_t flags)
{
	switch (flags) {
	case VIA_VFIO_IOMMU_DIRTY_PAGES_FLAG_START:
	case VIA_VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP:
	case VIA_VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP:
		return 0;
	default:
		return -EINVAL;
	}
}

static int dirty_start(struct via_type1 *type1)
{
	const struct via_ioas_area *area = via_ioas_find(type1->ioas, 0);

	if (type1->tracking)
		return 0;
	for (; area; area = via_ioas_find(type1->ioas, area->last + 1)) {
		if ((area->last - area->first) / type1->granule >= DIRTY_PAGES_MAX)
			return -EINVAL;
		if (area->last == UINT64_MAX)
			break;
	}
	type1->tracking = true;
	return 0;
}

static int dirty_get(struct via_type1 *type1, struct via_mm *mm,
		     const struct via_vfio_iommu_type1_dirty_bitmap_get *get)
{
	via_iova_t last, done;
	int rc;

	if (!get->size)
		return -EINVAL;
	if (__builtin_add_overflow(get->iova, get->size - 1, &last))
		return -EOVERFLOW;
	rc = via_dirty_bitmap_check(&get->bitmap, get->size);
	if (rc)
		return rc;
	if (get->bitmap.pgsize != type1->granule || ((get->iova | get->size) & (type1->granule - 1)))
		return -EINVAL;
	if (!type1->tracking || cuts(type1, get->iova, last))
		return -EINVAL;
	return report(type1, mm, get->iova, last, &get->bitmap, &done);
}

int via_type1_dirty(struct via_type1 *type1, struct via_mm *mm, uint32_t flags,
		    const struct via_vfio_iommu_type1_dirty_bitmap_get *get)
{
	int rc = via_type1_dirty_allowed(type1);

	if (!rc)
		rc = via_type1_dirty_flags(flags);
	if (rc)
		return rc;
	pthread_mutex_lock(&type1->lock);
	if (flags == VIA_VFIO_IOMMU_DIRTY_PAGES_FLAG_START)
		rc = dirty_start(type1);
	else if (flags == VIA_VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP)
		type1->tracking = false;
	else
		rc = dirty_get(type1, mm, get);
	pthread_mutex_unlock(&type1->lock);
	return rc;
}
