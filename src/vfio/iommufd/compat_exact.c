/* SPDX-License-Identifier: MIT */
/* The ioctls of a container as Linux 7.2's iommufd answers them (spec iommu.md 3.8). */
#include "vfio/iommufd/compat.h"

#include <errno.h>
#include <stdlib.h>

/* GET_INFO ----------------------------------------------------------------- */

/*
 * The chain as it is written: each capability on its own, if it fits, and the
 * offset of the next one if this was so for the one before.
 */
struct chain {
	const struct via_compat_call *call;
	uint32_t argsz;
	size_t end;  /* offset of the next capability */
	size_t last; /* of the one before; 0: none, or it did not fit */
};

static int add(struct chain *chain, const void *cap, size_t len)
{
	const uint64_t arg = chain->call->arg;
	const size_t at = chain->end;
	int ret = 0;

	if (chain->argsz > at && chain->argsz - at >= len)
		ret = via_copy_out(chain->call->caller, arg + at, cap, len);
	if (!ret && chain->last && chain->argsz >= at) {
		const uint32_t next = (uint32_t)at;

		ret = via_copy_out(chain->call->caller,
				   arg + chain->last +
					   offsetof(struct via_vfio_info_cap_header, next),
				   &next, sizeof(next));
	}
	chain->last = at;
	chain->end = at + ((len + 7) & ~(size_t)7);
	return ret;
}

static int add_all(struct chain *chain)
{
	const struct via_vfio_iommu_type1_info_dma_avail avail = {
		.header = {VIA_VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, 1, 0},
		.avail = UINT32_MAX,
	};
	struct via_vfio_iommu_type1_info_cap_iova_range *ranges;
	size_t len;
	int ret;

	ret = add(chain, &avail, sizeof(avail));
	if (ret < 0)
		return ret;
	ret = via_compat_ranges(chain->call->ioas, &ranges, &len);
	if (ret < 0)
		return ret;
	/* Ranges that fit are written even where their header is not. */
	if (chain->argsz >= chain->end + sizeof(*ranges) && chain->argsz < chain->end + len)
		ret = via_copy_out(chain->call->caller,
				   chain->call->arg + chain->end + sizeof(*ranges), ranges + 1,
				   (chain->argsz - chain->end - sizeof(*ranges)) /
					   sizeof(struct via_vfio_iova_range) *
					   sizeof(struct via_vfio_iova_range));
	if (!ret)
		ret = add(chain, ranges, len);
	free(ranges);
	return ret;
}

long via_compat_exact_info(const struct via_compat_call *call)
{
	const size_t min = offsetof(struct via_vfio_iommu_type1_info, cap_offset);
	struct via_vfio_iommu_type1_info info = {0};
	struct chain chain = {.call = call, .end = sizeof(info)};
	size_t write_back;
	int ret;

	ret = via_copy_in_argsz(call->caller, &info, call->arg, min, min);
	if (ret < 0)
		return ret;
	if (!call->ioas)
		return -ENODEV;
	write_back = info.argsz < sizeof(info) ? info.argsz : sizeof(info);
	chain.argsz = info.argsz;
	ret = add_all(&chain);
	if (ret < 0)
		return ret;
	info.flags = VIA_VFIO_IOMMU_INFO_PGSIZES | VIA_VFIO_IOMMU_INFO_CAPS;
	info.iova_pgsizes = via_compat_pgsizes(call->ioas);
	info.cap_offset = info.argsz >= chain.end ? sizeof(info) : 0;
	info.argsz = (uint32_t)chain.end;
	return via_copy_out(call->caller, call->arg, &info, write_back);
}

/* MAP_DMA ------------------------------------------------------------------ */

long via_compat_exact_map(const struct via_compat_call *call)
{
	struct via_vfio_iommu_type1_dma_map map;
	unsigned int prot = 0;
	int ret;

	ret = via_copy_in_argsz(call->caller, &map, call->arg, sizeof(map), sizeof(map));
	if (ret < 0)
		return ret;
	if (map.flags & ~(VIA_VFIO_DMA_MAP_FLAG_READ | VIA_VFIO_DMA_MAP_FLAG_WRITE))
		return -EINVAL;
	if (!call->ioas)
		return -ENODEV;
	if (map.flags & VIA_VFIO_DMA_MAP_FLAG_READ)
		prot |= VIA_PROT_READ;
	if (map.flags & VIA_VFIO_DMA_MAP_FLAG_WRITE)
		prot |= VIA_PROT_WRITE;
	return via_iommufd_map_memory(call->iommufd, call->caller, call->ioas, map.vaddr, map.size,
				      prot, VIA_IOAS_FIXED, false, &map.iova);
}

/* UNMAP_DMA ---------------------------------------------------------------- */

/* Before any check of the range, as the kernel; the end first, then the start. */
static int cut_ends(struct via_ioas *ioas, via_iova_t iova, uint64_t size)
{
	int ret = via_ioas_cut(ioas, iova + size - 1, false);

	if (!ret && iova)
		ret = via_ioas_cut(ioas, iova - 1, false);
	return ret;
}

static int unmap_range(const struct via_compat_call *call,
		       struct via_vfio_iommu_type1_dma_unmap *unmap)
{
	struct via_iommufd_ioas *ioas = call->ioas;
	const uint64_t iova = unmap->iova, size = unmap->size;
	int ret;

	if (unmap->flags & VIA_VFIO_DMA_UNMAP_FLAG_ALL) {
		if (iova || size)
			return -EINVAL;
		ret = via_ioas_unmap_range(ioas->ioas, 0, UINT64_MAX, &unmap->size);
	} else {
		if (!via_ioas_large_pages(ioas->ioas)) {
			ret = cut_ends(ioas->ioas, iova, size);
			if (ret < 0)
				return ret;
		}
		ret = via_iommufd_unmap(ioas, iova, size, &unmap->size);
	}
	/* The program hears how far it has got, also when it has not got to the end. */
	if (via_copy_out(call->caller, call->arg, unmap, sizeof(*unmap)) < 0)
		return -EFAULT;
	return ret;
}

long via_compat_exact_unmap(const struct via_compat_call *call)
{
	struct via_vfio_iommu_type1_dma_unmap unmap;
	int ret;

	ret = via_copy_in_argsz(call->caller, &unmap, call->arg, sizeof(unmap), sizeof(unmap));
	if (ret < 0)
		return ret;
	if (unmap.flags & ~VIA_VFIO_DMA_UNMAP_FLAG_ALL)
		return -EINVAL;
	if (!call->ioas)
		return -ENODEV;
	return unmap_range(call, &unmap);
}
