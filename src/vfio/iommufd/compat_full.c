/* SPDX-License-Identifier: MIT */
/*
 * The ioctls of a container on an iommufd with the gaps of Linux closed: checks,
 * their order and errnos are type1's (spec iommu.md 3.7), the address space is an
 * IOAS. Of type 1, any page may be unmapped; of type 1 v2, whole mappings.
 */
#include "iommu/dirty.h"
#include "iommu/type1.h"
#include "vfio/iommufd/compat.h"
#include "vfio/profile.h"

#include <errno.h>
#include <stdlib.h>

/* Granule of mappings and dirty bits. */
#define P VIA_PAGES_SIZE

#define MAP_FLAGS                                                                                  \
	(VIA_VFIO_DMA_MAP_FLAG_READ | VIA_VFIO_DMA_MAP_FLAG_WRITE | VIA_VFIO_DMA_MAP_FLAG_VADDR)

/* Look ----------------------------------------------------------------------- */

/* The range of the first area that ends at or after iova. */
static bool area_at(struct via_ioas *ioas, via_iova_t iova, struct via_iova_range *ret_range)
{
	const struct via_ioas_area *area;

	via_ioas_lock(ioas);
	area = via_ioas_find(ioas, iova);
	if (area)
		*ret_range = (struct via_iova_range){area->first, area->last};
	via_ioas_unlock(ioas);
	return area;
}

static bool overlaps(struct via_ioas *ioas, via_iova_t first, via_iova_t last)
{
	struct via_iova_range range;

	return area_at(ioas, first, &range) && range.first <= last;
}

/* Would the removal of [first, last] cut a mapping at either end? */
static bool cuts(struct via_ioas *ioas, via_iova_t first, via_iova_t last)
{
	struct via_iova_range range;

	if (area_at(ioas, first, &range) && range.first < first)
		return true;
	return area_at(ioas, last, &range) && range.first <= last && range.last != last;
}

/* The areas that start in [first, last], ascending; the caller's to free. 0 or -ENOMEM. */
static int areas_in(struct via_ioas *ioas, via_iova_t first, via_iova_t last,
		    struct via_iova_range **ret_ranges, size_t *ret_n)
{
	struct via_iova_range *ranges = NULL, range;
	size_t n = 0, room = 0;

	while (area_at(ioas, first, &range) && range.first <= last) {
		if (n == room) {
			void *more = reallocarray(ranges, room ? 2 * room : 16, sizeof(*ranges));

			if (!more) {
				free(ranges);
				return -ENOMEM;
			}
			ranges = more;
			room = room ? 2 * room : 16;
		}
		if (range.first >= first)
			ranges[n++] = range;
		if (range.last >= last)
			break;
		first = range.last + 1;
	}
	*ret_ranges = ranges;
	*ret_n = n;
	return 0;
}

static int count_one(void *cookie, const struct via_ioas_area *area)
{
	(*(uint64_t *)cookie)++;
	return 0;
}

/* Only where mappings are limited, and so few. */
static uint64_t count(struct via_ioas *ioas)
{
	uint64_t n = 0;

	(void)via_ioas_each_area(ioas, count_one, &n);
	return n;
}

static uint32_t type_of(struct via_iommufd_ioas *ioas)
{
	uint32_t type;

	pthread_mutex_lock(&ioas->container.lock);
	type = ioas->container.type;
	pthread_mutex_unlock(&ioas->container.lock);
	return type;
}

static uint32_t limit_of(const struct via_compat_call *call)
{
	const struct via_vfio *vfio = call->iommufd->vfio;

	return via_profile_full(vfio, VIA_DIFFERS_COMPAT_ENTRY_LIMIT) ? vfio->config.dma_entry_limit
								      : 0;
}

/* GET_INFO --------------------------------------------------------------------- */

static uint32_t available(const struct via_compat_call *call)
{
	const uint32_t limit = limit_of(call);
	uint64_t n;

	if (!limit)
		return UINT32_MAX;
	n = count(call->ioas->ioas);
	return n < limit ? (uint32_t)(limit - n) : 0;
}

/* The whole chain as it follows the structure; the caller's to free. */
static int info_chain(const struct via_compat_call *call, uint8_t **ret_chain, size_t *ret_len)
{
	const size_t base = sizeof(struct via_vfio_iommu_type1_info);
	struct via_vfio_iommu_type1_info_cap_migration migration = {
		.header = {VIA_VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION, 1, 0},
		.pgsize_bitmap = P,
		.max_dirty_bitmap_size = VIA_DIRTY_BITMAP_MAX,
	};
	struct via_vfio_iommu_type1_info_dma_avail avail = {
		.header = {VIA_VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, 1, 0},
		.avail = available(call),
	};
	const size_t at_avail = sizeof(migration), at_ranges = at_avail + 16;
	struct via_vfio_iommu_type1_info_cap_iova_range *ranges;
	uint8_t *chain;
	size_t len;
	int ret;

	_Static_assert(sizeof(avail) <= 16, "room of the second capability");
	ret = via_compat_ranges(call->ioas, &ranges, &len);
	if (ret < 0)
		return ret;
	chain = calloc(1, at_ranges + len);
	if (!chain) {
		free(ranges);
		return -ENOMEM;
	}
	migration.header.next = (uint32_t)(base + at_avail);
	avail.header.next = (uint32_t)(base + at_ranges);
	memcpy(chain, &migration, sizeof(migration));
	memcpy(chain + at_avail, &avail, sizeof(avail));
	memcpy(chain + at_ranges, ranges, len);
	free(ranges);
	*ret_chain = chain;
	*ret_len = at_ranges + len;
	return 0;
}

long via_compat_full_info(const struct via_compat_call *call)
{
	const size_t min = offsetof(struct via_vfio_iommu_type1_info, cap_offset);
	struct via_vfio_iommu_type1_info info = {0};
	size_t write_back, len;
	uint8_t *chain;
	int ret;

	ret = via_copy_in_argsz(call->caller, &info, call->arg, min, min);
	if (ret < 0)
		return ret;
	write_back = info.argsz < sizeof(info) ? info.argsz : sizeof(info);
	ret = info_chain(call, &chain, &len);
	if (ret < 0)
		return ret;
	info.flags = VIA_VFIO_IOMMU_INFO_PGSIZES | VIA_VFIO_IOMMU_INFO_CAPS;
	info.iova_pgsizes = via_compat_pgsizes(call->ioas);
	if (info.argsz < sizeof(info) + len) {
		info.argsz = (uint32_t)(sizeof(info) + len);
	} else {
		ret = via_copy_out(call->caller, call->arg + sizeof(info), chain, len);
		info.cap_offset = sizeof(info);
	}
	free(chain);
	return ret < 0 ? ret : via_copy_out(call->caller, call->arg, &info, write_back);
}

/* MAP_DMA ----------------------------------------------------------------------- */

/* A place for one mapping more; gives it back with leave(). */
static bool enter(const struct via_compat_call *call)
{
	const uint32_t limit = limit_of(call);
	struct via_compat *container = &call->ioas->container;
	bool ok;

	if (!limit)
		return true;
	pthread_mutex_lock(&container->lock);
	ok = count(call->ioas->ioas) + container->n_mapping < limit;
	container->n_mapping += ok;
	pthread_mutex_unlock(&container->lock);
	return ok;
}

static void leave(const struct via_compat_call *call)
{
	struct via_compat *container = &call->ioas->container;

	if (!limit_of(call))
		return;
	pthread_mutex_lock(&container->lock);
	container->n_mapping--;
	pthread_mutex_unlock(&container->lock);
}

static int map_memory(const struct via_compat_call *call,
		      const struct via_vfio_iommu_type1_dma_map *map, unsigned int prot)
{
	struct via_mm *mm = call->caller->mm;
	uint64_t iova = map->iova, end, bytes;
	int ret;

	/* The kernel's half; type1 finds that out by trying. */
	if (__builtin_add_overflow(map->vaddr, map->size, &end))
		return -EFAULT;
	ret = via_iommufd_map_memory(call->iommufd, call->caller, call->ioas, map->vaddr, map->size,
				     prot, VIA_IOAS_FIXED, via_compat_mm_accounting(call), &iova);
	if (ret < 0 || via_ioas_has_domain(call->ioas->ioas))
		return ret;
	/* Nobody has touched the memory, and a program expects to be told now. */
	ret = mm->ops->probe(mm, map->vaddr, map->size, prot);
	if (ret < 0)
		(void)via_ioas_unmap_range(call->ioas->ioas, iova, iova + (map->size - 1), &bytes);
	return ret < 0 ? -EFAULT : 0;
}

static int map_new(const struct via_compat_call *call,
		   const struct via_vfio_iommu_type1_dma_map *map, unsigned int prot)
{
	const via_iova_t last = map->iova + (map->size - 1);
	int ret;

	if (!enter(call))
		return overlaps(call->ioas->ioas, map->iova, last) ? -EEXIST : -ENOSPC;
	ret = map_memory(call, map, prot);
	leave(call);
	/* Type1 looks for what is in the way before it looks for what is reserved. */
	if (ret == -EINVAL && overlaps(call->ioas->ioas, map->iova, last))
		ret = -EEXIST;
	return ret;
}

static int check_map(const struct via_vfio_iommu_type1_dma_map *map, unsigned int prot)
{
	const bool vaddr = map->flags & VIA_VFIO_DMA_MAP_FLAG_VADDR;
	uint64_t last;

	if (map->flags & ~MAP_FLAGS || !map->size)
		return -EINVAL;
	if (__builtin_add_overflow(map->iova, map->size - 1, &last) ||
	    __builtin_add_overflow(map->vaddr, map->size - 1, &last))
		return -EOVERFLOW;
	if (vaddr ? prot != 0 : !prot)
		return -EINVAL;
	return (map->size | map->iova | map->vaddr) & (P - 1) ? -EINVAL : 0;
}

long via_compat_full_map(const struct via_compat_call *call)
{
	struct via_vfio_iommu_type1_dma_map map;
	unsigned int prot = 0;
	int ret;

	ret = via_copy_in_argsz(call->caller, &map, call->arg, sizeof(map), sizeof(map));
	if (ret < 0)
		return ret;
	if (map.flags & VIA_VFIO_DMA_MAP_FLAG_READ)
		prot |= VIA_PROT_READ;
	if (map.flags & VIA_VFIO_DMA_MAP_FLAG_WRITE)
		prot |= VIA_PROT_WRITE;
	ret = check_map(&map, prot);
	if (ret < 0)
		return ret;
	return map.flags & VIA_VFIO_DMA_MAP_FLAG_VADDR ? via_compat_resume(call, &map)
						       : map_new(call, &map, prot);
}

/* UNMAP_DMA ---------------------------------------------------------------------- */

struct unmap {
	struct via_vfio_iommu_type1_dma_unmap args;
	struct via_vfio_bitmap bitmap;
	bool all, dirty, vaddr;
	via_iova_t last;
};

static int unmap_fetch(const struct via_compat_call *call, struct unmap *u)
{
	int ret = via_copy_in_argsz(call->caller, &u->args, call->arg, sizeof(u->args),
				    sizeof(u->args));

	if (!ret)
		ret = via_type1_unmap_flags(u->args.flags);
	if (ret < 0)
		return ret;
	u->all = u->args.flags & VIA_VFIO_DMA_UNMAP_FLAG_ALL;
	u->dirty = u->args.flags & VIA_VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP;
	u->vaddr = u->args.flags & VIA_VFIO_DMA_UNMAP_FLAG_VADDR;
	if (!u->dirty)
		return 0;
	if (u->args.argsz < sizeof(u->args) + sizeof(u->bitmap))
		return -EINVAL;
	ret = via_copy_in(call->caller, &u->bitmap, call->arg + sizeof(u->args), sizeof(u->bitmap));
	return ret < 0 ? ret : via_dirty_bitmap_check(&u->bitmap, u->args.size);
}

static int unmap_check(const struct via_compat_call *call, struct unmap *u)
{
	u->last = UINT64_MAX;
	if (u->args.iova & (P - 1))
		return -EINVAL;
	if (u->all && (u->args.iova || u->args.size))
		return -EINVAL;
	if (!u->all && (!u->args.size || u->args.size & (P - 1)))
		return -EINVAL;
	if (!u->all && __builtin_add_overflow(u->args.iova, u->args.size - 1, &u->last))
		return -EOVERFLOW;
	if (u->dirty && (u->bitmap.pgsize != P || !via_compat_dirty_on(call->ioas)))
		return -EINVAL;
	return 0;
}

/* Nothing, or something that can be made two of, holds both iova and the next. */
static bool can_cut(struct via_ioas *ioas, via_iova_t iova)
{
	const struct via_ioas_area *area;
	bool ret = true;

	via_ioas_lock(ioas);
	area = via_ioas_find(ioas, iova);
	if (area && area->first <= iova && area->last > iova)
		ret = area->pages && via_pages_kind(area->pages) != VIA_PAGES_REGION;
	via_ioas_unlock(ioas);
	return ret;
}

/*
 * Whole mappings lie between the ends afterwards. What can refuse a cut is looked
 * for at both ends before the first, so that none is left half done; a cut that
 * remains because memory has run out is seen by nobody but IOMMU_IOAS_UNMAP.
 */
static int unmap_cut(const struct via_compat_call *call, const struct unmap *u)
{
	const bool pinned = via_profile_full(call->iommufd->vfio, VIA_DIFFERS_COMPAT_CUT);
	struct via_ioas *ioas = call->ioas->ioas;
	int ret;

	if (!cuts(ioas, u->args.iova, u->last))
		return 0;
	if (u->vaddr || type_of(call->ioas) != VIA_VFIO_TYPE1_IOMMU ||
	    !can_cut(ioas, u->last) ||
	    (u->args.iova && !can_cut(ioas, u->args.iova - 1)))
		return -EINVAL;
	ret = via_ioas_cut(ioas, u->last, pinned);
	if (!ret && u->args.iova)
		ret = via_ioas_cut(ioas, u->args.iova - 1, pinned);
	return ret;
}

static int unmap_plain(const struct via_compat_call *call, const struct unmap *u,
		       uint64_t *ret_size)
{
	int ret = via_ioas_unmap_range(call->ioas->ioas, u->args.iova, u->last, ret_size);

	/* Somebody has mapped there meanwhile by a call of iommufd. */
	return ret == -ENOENT ? -EINVAL : ret;
}

/* The buffer is tried before anything is unmapped. */
static int unmap_dirty(const struct via_compat_call *call, const struct unmap *u,
		       uint64_t *ret_size)
{
	struct via_mm *mm = call->caller->mm;
	struct via_iova_range *ranges;
	uint64_t expected = 0;
	size_t n;
	int ret;

	if (mm->ops->probe(mm, u->bitmap.data, u->bitmap.size, VIA_PROT_WRITE) < 0)
		return -EFAULT;
	ret = areas_in(call->ioas->ioas, u->args.iova, u->last, &ranges, &n);
	if (ret < 0)
		return ret;
	for (size_t i = 0; i < n; i++)
		expected += ranges[i].last - ranges[i].first + 1;
	*ret_size = via_compat_dirty_unmap(call->ioas, u->args.iova, u->last);
	if (*ret_size != expected)
		ret = -EBUSY;
	else
		ret = via_compat_dirty_report(call, u->args.iova, u->last, ranges, n, &u->bitmap);
	free(ranges);
	return ret;
}

static int unmap_now(const struct via_compat_call *call, const struct unmap *u, uint64_t *ret_size)
{
	int ret = u->dirty ? unmap_dirty(call, u, ret_size) : unmap_plain(call, u, ret_size);

	if (!ret)
		via_compat_dirty_forget(call->ioas, u->args.iova, u->last);
	return ret;
}

long via_compat_full_unmap(const struct via_compat_call *call)
{
	struct unmap u = {0};
	int ret = unmap_fetch(call, &u);

	if (!ret)
		ret = unmap_check(call, &u);
	if (!ret)
		ret = unmap_cut(call, &u);
	if (ret < 0)
		return ret;
	if (u.vaddr)
		ret = via_compat_suspend(call->ioas, u.args.iova, u.last, &u.args.size);
	else
		ret = unmap_now(call, &u, &u.args.size);
	return ret < 0 ? ret : via_copy_out(call->caller, call->arg, &u.args, sizeof(u.args));
}

/* DIRTY_PAGES --------------------------------------------------------------------- */

static int dirty_get(const struct via_compat_call *call, uint32_t argsz)
{
	const uint64_t at = call->arg + sizeof(struct via_vfio_iommu_type1_dirty_bitmap);
	struct via_vfio_iommu_type1_dirty_bitmap_get get;
	struct via_iova_range *ranges;
	via_iova_t last;
	size_t n;
	int ret;

	if (argsz < sizeof(struct via_vfio_iommu_type1_dirty_bitmap) + sizeof(get))
		return -EINVAL;
	ret = via_copy_in(call->caller, &get, at, sizeof(get));
	if (ret < 0)
		return ret;
	if (!get.size)
		return -EINVAL;
	if (__builtin_add_overflow(get.iova, get.size - 1, &last))
		return -EOVERFLOW;
	ret = via_dirty_bitmap_check(&get.bitmap, get.size);
	if (ret < 0)
		return ret;
	if (get.bitmap.pgsize != P || (get.iova | get.size) & (P - 1) ||
	    !via_compat_dirty_on(call->ioas) || cuts(call->ioas->ioas, get.iova, last))
		return -EINVAL;
	ret = areas_in(call->ioas->ioas, get.iova, last, &ranges, &n);
	if (ret < 0)
		return ret;
	ret = via_compat_dirty_report(call, get.iova, last, ranges, n, &get.bitmap);
	free(ranges);
	return ret;
}

long via_compat_full_dirty(const struct via_compat_call *call)
{
	struct via_vfio_iommu_type1_dirty_bitmap dirty;
	int ret;

	if (type_of(call->ioas) == VIA_VFIO_TYPE1_IOMMU)
		return -EACCES;
	ret = via_copy_in_argsz(call->caller, &dirty, call->arg, sizeof(dirty), sizeof(dirty));
	if (!ret)
		ret = via_type1_dirty_flags(dirty.flags);
	if (ret < 0)
		return ret;
	if (dirty.flags == VIA_VFIO_IOMMU_DIRTY_PAGES_FLAG_START)
		return via_compat_dirty_start(call->ioas);
	if (dirty.flags == VIA_VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP)
		return dirty_get(call, dirty.argsz);
	via_compat_dirty_stop(call->ioas);
	return 0;
}
