/* SPDX-License-Identifier: MIT */
#include "iommu/spapr.h"

#include "iommu/domain.h"
#include "iommu/pages.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#define PAGE VIA_PAGES_SIZE
#define PAGE_SHIFT VIA_PAGES_SHIFT
#define ENTRY_SIZE 8u
#define N_WINDOWS 2

struct window {
	bool present;
	via_iova_t start, last;
	unsigned int shift;
	uint64_t table_pages; /* charged */
};

/* Memory that v2 has been told of. */
struct region {
	struct region *next;
	uint64_t vaddr, size;
	struct via_pages *pages; /* pinned as a whole */
	uint64_t n_mapped;	 /* areas made of it */
};

struct via_spapr {
	const struct via_spapr_props *props; /* constant, as the next four */
	bool v2, enforce, exact;
	struct via_ioas *ioas;
	struct via_domain *domain;
	pthread_mutex_t lock;  /* everything below */
	struct via_mm *mm;     /* the owner, a reference; NULL: nobody yet */
	struct via_space *space; /* of mm */
	bool enabled;
	bool default_pending; /* the default window is made when something needs one */
	uint64_t locked_pages; /* charged by ENABLE */
	struct window windows[N_WINDOWS];
	struct region *regions;
};

const struct via_spapr_props *via_spapr_props_powernv(void)
{
	static const struct via_spapr_props props = {
		.tce32_start = 0,
		.tce32_size = 0x80000000,
		.pgsizes = 1ull << 12 | 1ull << 16 | 1ull << 24,
		.max_windows = 2,
		.max_levels = 5,
		.tce64_start = 1ull << 59,
	};

	return &props;
}

int via_spapr_new(const struct via_spapr_props *props, unsigned int version, bool enforce_memlock,
		  bool exact, struct via_spapr **ret_spapr)
{
	static const struct via_domain_config config = {
		.pgsize_bitmap = 1ull << PAGE_SHIFT,
		.aperture_last = UINT64_MAX,
		.coherent = true,
		.dirty = true,
	};
	struct via_spapr *spapr;
	int rc;

	if (version != VIA_VFIO_SPAPR_TCE_IOMMU && version != VIA_VFIO_SPAPR_TCE_v2_IOMMU)
		return -EINVAL;
	if (version == VIA_VFIO_SPAPR_TCE_v2_IOMMU && !props->max_windows)
		return -EINVAL;
	spapr = calloc(1, sizeof(*spapr));
	if (!spapr)
		return -ENOMEM;
	spapr->props = props;
	spapr->v2 = version == VIA_VFIO_SPAPR_TCE_v2_IOMMU;
	spapr->enforce = enforce_memlock;
	spapr->exact = exact;
	spapr->default_pending = true;
	rc = via_ioas_new_bare(&spapr->ioas);
	if (!rc)
		rc = via_domain_new(spapr->ioas, &config, &spapr->domain);
	if (rc) {
		via_ioas_put(spapr->ioas);
		free(spapr);
		return rc;
	}
	pthread_mutex_init(&spapr->lock, NULL);
	*ret_spapr = spapr;
	return 0;
}

static void unmapped(void *cookie, void *owner)
{
	struct region *region = owner;

	if (region)
		region->n_mapped--;
}

static void region_free(struct via_spapr *spapr, struct region *region)
{
	via_pages_unpin(region->pages, 0, region->size);
	via_pages_put(region->pages);
	via_ledger_uncharge(spapr->mm, region->size >> PAGE_SHIFT);
	free(region);
}

void via_spapr_free(struct via_spapr *spapr)
{
	struct region *region;

	if (!spapr)
		return;
	(void)via_ioas_remove(spapr->ioas, 0, UINT64_MAX, unmapped, NULL);
	while ((region = spapr->regions)) {
		spapr->regions = region->next;
		region_free(spapr, region);
	}
	for (size_t i = 0; i < N_WINDOWS; i++)
		if (spapr->windows[i].table_pages)
			via_ledger_uncharge(spapr->mm, spapr->windows[i].table_pages);
	if (spapr->locked_pages)
		via_ledger_uncharge(spapr->mm, spapr->locked_pages);
	via_domain_free(spapr->domain);
	via_ioas_put(spapr->ioas);
	via_space_put(spapr->space);
	via_mm_put(spapr->mm);
	pthread_mutex_destroy(&spapr->lock);
	free(spapr);
}

struct via_ioas *via_spapr_ioas(struct via_spapr *spapr)
{
	return spapr->ioas;
}

bool via_spapr_is_v2(const struct via_spapr *spapr)
{
	return spapr->v2;
}

int via_spapr_check_extension(const struct via_spapr *spapr, uint64_t extension)
{
	/* No EEH: it is the firmware's, and there is none. */
	return extension == VIA_VFIO_SPAPR_TCE_IOMMU || extension == VIA_VFIO_SPAPR_TCE_v2_IOMMU;
}

/* Ownership ---------------------------------------------------------------- */

int via_spapr_mine(struct via_spapr *spapr, const struct via_mm *mm)
{
	int rc;

	pthread_mutex_lock(&spapr->lock);
	rc = spapr->mm && spapr->mm != mm ? -EPERM : 0;
	pthread_mutex_unlock(&spapr->lock);
	return rc;
}

int via_spapr_enabled(struct via_spapr *spapr)
{
	int rc;

	pthread_mutex_lock(&spapr->lock);
	rc = spapr->enabled ? 0 : -EPERM;
	pthread_mutex_unlock(&spapr->lock);
	return rc;
}

/* The lock is held, as in all that follows. */
static int own(struct via_spapr *spapr, struct via_mm *mm)
{
	int rc;

	if (spapr->mm)
		return spapr->mm == mm ? 0 : -EPERM;
	rc = via_space_new_mm(mm, &spapr->space);
	if (!rc)
		spapr->mm = via_mm_get(mm);
	return rc;
}

/* Windows ------------------------------------------------------------------ */

static uint64_t align_up(uint64_t n, uint64_t to)
{
	return (n + to - 1) & ~(to - 1);
}

static unsigned int log2_of(uint64_t n)
{
	return 63 - (unsigned int)__builtin_clzll(n);
}

/*
 * Bytes of the tables of a window on PowerNV: the entries are spread evenly
 * over the levels, no table is smaller than a page, and what the program sees is kept a second time.
 */
static uint64_t table_bytes(unsigned int shift, uint64_t size, uint32_t levels)
{
	unsigned int entries_shift = log2_of(size) > shift ? log2_of(size) - shift : 0;
	unsigned int level_shift = (entries_shift + levels - 1) / levels;
	uint64_t table = (uint64_t)ENTRY_SIZE << level_shift;
	uint64_t level = (uint64_t)ENTRY_SIZE << entries_shift, bytes = 0;

	if (table < PAGE)
		table = PAGE;
	for (; levels; levels--) {
		bytes += align_up(level, table);
		/* The level above has an entry for each table. */
		level = align_up(level, table) / table * ENTRY_SIZE;
	}
	return 2 * bytes;
}

static int window_new(struct via_spapr *spapr, unsigned int shift, uint64_t size, uint32_t levels,
		      via_iova_t *ret_start)
{
	const struct via_spapr_props *props = spapr->props;
	struct window *w;
	uint64_t pages;
	size_t i;
	int rc;

	for (i = 0; i < N_WINDOWS && spapr->windows[i].present; i++)
		;
	if (i == N_WINDOWS)
		return -ENOSPC;
	if (shift > 63 || !(props->pgsizes & 1ull << shift))
		return -EINVAL;
	if (i >= (props->max_windows ? props->max_windows : 1))
		return -EPERM;
	if (!size || (size & (size - 1)) || size < 1ull << shift || !levels ||
	    levels > (props->max_levels ? props->max_levels : 1))
		return -EINVAL;
	if (i && size - 1 > UINT64_MAX - props->tce64_start)
		return -EINVAL;
	/* A first window that reached the second one's place would hide it. */
	if (!i && props->tce64_start && size > props->tce64_start - props->tce32_start)
		return -EINVAL;
	pages = spapr->v2 ? table_bytes(shift, size, levels) >> PAGE_SHIFT : 0;
	rc = via_ledger_charge(spapr->mm, pages, spapr->enforce, NULL);
	if (rc)
		return rc;
	w = &spapr->windows[i];
	*w = (struct window){
		.present = true,
		.start = i ? props->tce64_start : props->tce32_start,
		.shift = shift,
		.table_pages = pages,
	};
	w->last = w->start + size - 1;
	*ret_start = w->start;
	return 0;
}

static int default_window(struct via_spapr *spapr)
{
	via_iova_t start;
	int rc;

	if (!spapr->default_pending)
		return 0;
	rc = window_new(spapr, PAGE_SHIFT, spapr->props->tce32_size, 1, &start);
	if (!rc)
		spapr->default_pending = false;
	return rc;
}

static struct window *window_at(struct via_spapr *spapr, via_iova_t iova)
{
	for (size_t i = 0; i < N_WINDOWS; i++) {
		struct window *w = &spapr->windows[i];

		if (w->present && iova >= w->start && iova <= w->last)
			return w;
	}
	return NULL;
}

int via_spapr_create(struct via_spapr *spapr, struct via_mm *mm,
		     struct via_vfio_iommu_spapr_tce_create *create)
{
	int rc;

	if (create->flags)
		return -EINVAL;
	pthread_mutex_lock(&spapr->lock);
	rc = own(spapr, mm);
	if (!rc)
		rc = default_window(spapr);
	if (!rc)
		rc = window_new(spapr, create->page_shift, create->window_size, create->levels,
				&create->start_addr);
	pthread_mutex_unlock(&spapr->lock);
	return rc;
}

int via_spapr_remove(struct via_spapr *spapr, struct via_mm *mm,
		     const struct via_vfio_iommu_spapr_tce_remove *remove)
{
	struct window *w;
	int rc;

	if (remove->flags)
		return -EINVAL;
	pthread_mutex_lock(&spapr->lock);
	rc = own(spapr, mm);
	if (!rc && spapr->default_pending && !remove->start_addr) {
		spapr->default_pending = false;
	} else if (!rc) {
		w = window_at(spapr, remove->start_addr);
		if (w) {
			(void)via_ioas_remove(spapr->ioas, w->start, w->last, unmapped, NULL);
			via_ledger_uncharge(spapr->mm, w->table_pages);
			*w = (struct window){ 0 };
		} else {
			rc = -EINVAL;
		}
	}
	pthread_mutex_unlock(&spapr->lock);
	return rc;
}

void via_spapr_info(const struct via_spapr *spapr, struct via_vfio_iommu_spapr_tce_info *info)
{
	const struct via_spapr_props *props = spapr->props;

	info->flags = 0;
	info->dma32_window_start = props->tce32_start;
	info->dma32_window_size = props->tce32_size;
	info->ddw = (struct via_vfio_iommu_spapr_tce_ddw_info){ 0 };
	if (!spapr->v2 || !props->max_windows)
		return;
	info->flags = VIA_VFIO_IOMMU_SPAPR_INFO_DDW;
	info->ddw.pgsizes = props->pgsizes;
	info->ddw.max_dynamic_windows_supported = props->max_windows;
	info->ddw.levels = props->max_levels;
}

/* v1: ENABLE, DISABLE ------------------------------------------------------- */

int via_spapr_enable(struct via_spapr *spapr, struct via_mm *mm)
{
	uint64_t pages = spapr->props->tce32_size >> PAGE_SHIFT;
	int rc = 0;

	if (spapr->v2)
		return -ENOTTY;
	pthread_mutex_lock(&spapr->lock);
	if (spapr->enabled)
		rc = -EBUSY;
	else if (!spapr->props->tce32_size)
		rc = -EPERM;
	if (!rc)
		rc = own(spapr, mm);
	if (!rc)
		rc = via_ledger_charge(spapr->mm, pages, spapr->enforce, NULL);
	if (!rc) {
		spapr->locked_pages = pages;
		spapr->enabled = true;
	}
	pthread_mutex_unlock(&spapr->lock);
	return rc;
}

int via_spapr_disable(struct via_spapr *spapr)
{
	if (spapr->v2)
		return -ENOTTY;
	pthread_mutex_lock(&spapr->lock);
	if (spapr->enabled) {
		via_ledger_uncharge(spapr->mm, spapr->locked_pages);
		spapr->locked_pages = 0;
		spapr->enabled = false;
	}
	pthread_mutex_unlock(&spapr->lock);
	return 0;
}

/* v2: REGISTER_MEMORY, UNREGISTER_MEMORY ------------------------------------ */

static int region_check(const struct via_vfio_iommu_spapr_register_memory *reg)
{
	uint64_t end;

	if (reg->flags || !reg->size || ((reg->vaddr | reg->size) & (PAGE - 1)) ||
	    __builtin_add_overflow(reg->vaddr, reg->size, &end))
		return -EINVAL;
	return 0;
}

static struct region **region_find(struct via_spapr *spapr, uint64_t vaddr, uint64_t size)
{
	struct region **p = &spapr->regions;

	while (*p && ((*p)->vaddr != vaddr || (*p)->size != size))
		p = &(*p)->next;
	return p;
}

static int region_new(struct via_spapr *spapr, uint64_t vaddr, uint64_t size)
{
	const struct via_ledger_owner nobody = { .mm = NULL };
	struct region *region = calloc(1, sizeof(*region));
	int rc;

	if (!region)
		return -ENOMEM;
	*region = (struct region){ .next = spapr->regions, .vaddr = vaddr, .size = size };
	rc = via_ledger_charge(spapr->mm, size >> PAGE_SHIFT, spapr->enforce, NULL);
	if (rc) {
		free(region);
		return rc;
	}
	rc = via_pages_new_memory(spapr->space, vaddr, size, true, &nobody, &region->pages);
	if (!rc) {
		rc = via_pages_pin(region->pages, 0, size);
		if (rc)
			via_pages_put(region->pages);
	}
	if (rc) {
		via_ledger_uncharge(spapr->mm, size >> PAGE_SHIFT);
		free(region);
		return rc;
	}
	spapr->regions = region;
	return 0;
}

static bool region_overlaps(const struct via_spapr *spapr, uint64_t vaddr, uint64_t size)
{
	for (const struct region *r = spapr->regions; r; r = r->next)
		if (vaddr < r->vaddr + r->size && r->vaddr < vaddr + size)
			return true;
	return false;
}

int via_spapr_register(struct via_spapr *spapr, struct via_mm *mm,
		       const struct via_vfio_iommu_spapr_register_memory *reg)
{
	int rc;

	if (!spapr->v2)
		return -ENOTTY;
	rc = region_check(reg);
	if (rc)
		return rc;
	pthread_mutex_lock(&spapr->lock);
	rc = own(spapr, mm);
	if (!rc && *region_find(spapr, reg->vaddr, reg->size))
		rc = -EBUSY;
	if (!rc && region_overlaps(spapr, reg->vaddr, reg->size))
		rc = -EINVAL;
	if (!rc)
		rc = region_new(spapr, reg->vaddr, reg->size);
	if (!rc)
		spapr->enabled = true;
	pthread_mutex_unlock(&spapr->lock);
	return rc;
}

int via_spapr_unregister(struct via_spapr *spapr,
			 const struct via_vfio_iommu_spapr_register_memory *reg)
{
	struct region **p, *region;
	int rc;

	if (!spapr->v2)
		return -ENOTTY;
	rc = region_check(reg);
	if (rc)
		return rc;
	pthread_mutex_lock(&spapr->lock);
	p = region_find(spapr, reg->vaddr, reg->size);
	region = *p;
	if (!spapr->mm) {
		rc = -EPERM;
	} else if (!region) {
		rc = -ENOENT;
	} else if (region->n_mapped) {
		rc = -EBUSY;
	} else {
		*p = region->next;
		region_free(spapr, region);
	}
	pthread_mutex_unlock(&spapr->lock);
	return rc;
}

/* Entries ------------------------------------------------------------------- */

static int cut(struct via_spapr *spapr, via_iova_t iova)
{
	const struct via_ioas_area *area = via_ioas_find(spapr->ioas, iova);
	struct region *region;
	int rc;

	if (!area || area->first > iova || area->last == iova)
		return 0;
	region = area->owner;
	rc = via_ioas_cut(spapr->ioas, iova, true);
	if (!rc && region)
		region->n_mapped++;
	return rc;
}

static int clear(struct via_spapr *spapr, via_iova_t first, via_iova_t last)
{
	int rc = last == UINT64_MAX ? 0 : cut(spapr, last);

	if (!rc && first)
		rc = cut(spapr, first - 1);
	if (!rc)
		(void)via_ioas_remove(spapr->ioas, first, last, unmapped, NULL);
	return rc;
}

/* A range that is not the window's. */
static int outside(const struct via_spapr *spapr)
{
	/* Linux hands on the answer of its check instead of an error (spec iommu.md 12: 1). */
	return spapr->exact ? 1 : -EINVAL;
}

static int map_registered(struct via_spapr *spapr, const struct via_vfio_iommu_type1_dma_map *map,
			  unsigned int prot, via_iova_t iova)
{
	struct region *r = spapr->regions;
	int rc;

	while (r && (map->vaddr < r->vaddr || map->vaddr - r->vaddr >= r->size ||
		     map->size > r->size - (map->vaddr - r->vaddr)))
		r = r->next;
	if (!r)
		return -EINVAL;
	rc = clear(spapr, iova, iova + (map->size - 1));
	if (!rc)
		rc = via_ioas_map_pages(spapr->ioas, r->pages, map->vaddr - r->vaddr, map->size,
					prot, VIA_IOAS_FIXED, &iova, r);
	if (!rc)
		r->n_mapped++;
	return rc;
}

static int map_memory(struct via_spapr *spapr, const struct via_vfio_iommu_type1_dma_map *map,
		      unsigned int prot, via_iova_t iova)
{
	const struct via_ledger_owner nobody = { .mm = NULL };
	struct via_pages *pages;
	int rc;

	rc = via_pages_new_memory(spapr->space, map->vaddr, map->size, prot & VIA_PROT_WRITE, &nobody,
				  &pages);
	if (rc)
		return rc;
	/* The memory is looked at first: a bad address leaves the entries as they are. */
	rc = via_pages_pin(pages, 0, map->size);
	if (!rc) {
		rc = clear(spapr, iova, iova + (map->size - 1));
		if (!rc)
			rc = via_ioas_map_pages(spapr->ioas, pages, 0, map->size, prot,
						VIA_IOAS_FIXED, &iova, NULL);
		via_pages_unpin(pages, 0, map->size);
	}
	via_pages_put(pages);
	return rc;
}

static int map_in(struct via_spapr *spapr, const struct window *w,
		  const struct via_vfio_iommu_type1_dma_map *map)
{
	uint64_t mask = (1ull << w->shift) - 1, end;
	unsigned int prot = 0;

	if (((map->size | map->vaddr) & mask) || !map->size)
		return -EINVAL;
	if (map->flags & VIA_VFIO_DMA_MAP_FLAG_READ)
		prot |= VIA_PROT_READ;
	if (map->flags & VIA_VFIO_DMA_MAP_FLAG_WRITE)
		prot |= VIA_PROT_WRITE;
	if (!prot)
		return -EINVAL;
	if (map->iova & mask)
		return outside(spapr);
	/* Linux looks at the first page only here. */
	if (map->size - 1 > w->last - map->iova)
		return -EINVAL;
	if (__builtin_add_overflow(map->vaddr, map->size - 1, &end))
		return spapr->v2 ? -EINVAL : -EFAULT;
	return spapr->v2 ? map_registered(spapr, map, prot, map->iova)
			 : map_memory(spapr, map, prot, map->iova);
}

int via_spapr_map(struct via_spapr *spapr, struct via_mm *mm,
		  const struct via_vfio_iommu_type1_dma_map *map)
{
	const struct window *w;
	int rc;

	if (map->flags & ~(VIA_VFIO_DMA_MAP_FLAG_READ | VIA_VFIO_DMA_MAP_FLAG_WRITE))
		return -EINVAL;
	pthread_mutex_lock(&spapr->lock);
	rc = spapr->enabled ? own(spapr, mm) : -EPERM;
	if (!rc)
		rc = default_window(spapr);
	if (!rc) {
		w = window_at(spapr, map->iova);
		rc = w ? map_in(spapr, w, map) : -ENXIO;
	}
	pthread_mutex_unlock(&spapr->lock);
	return rc;
}

static int unmap_in(struct via_spapr *spapr, const struct window *w, via_iova_t iova, uint64_t size)
{
	uint64_t mask = (1ull << w->shift) - 1;

	if (size & mask)
		return -EINVAL;
	if ((iova & mask) || (size && size - 1 > w->last - iova))
		return outside(spapr);
	return size ? clear(spapr, iova, iova + (size - 1)) : 0;
}

int via_spapr_unmap(struct via_spapr *spapr, const struct via_vfio_iommu_type1_dma_unmap *unmap)
{
	const struct window *w;
	int rc;

	if (unmap->flags)
		return -EINVAL;
	pthread_mutex_lock(&spapr->lock);
	rc = spapr->enabled ? default_window(spapr) : -EPERM;
	if (!rc) {
		w = window_at(spapr, unmap->iova);
		rc = w ? unmap_in(spapr, w, unmap->iova, unmap->size) : -ENXIO;
	}
	pthread_mutex_unlock(&spapr->lock);
	return rc;
}
