/* SPDX-License-Identifier: MIT */
/* A container whose IOMMU is type1: arguments in and out, the rest is iommu/type1.h. */
#include "iommu/check.h"
#include "iommu/suspend.h"
#include "iommu/type1.h"
#include "vfio/backend.h"
#include "vfio/bar_memory.h"

#include <errno.h>
#include <stdlib.h>

struct backend {
	struct via_backend base;
	struct via_type1 *type1;
	struct via_vfio *vfio;
};

static struct via_type1 *type1_of(const struct via_backend *backend)
{
	return VIA_CONTAINER_OF(backend, struct backend, base)->type1;
}

/* The chain can grow while a group joins: ask until the answer fits. */
static int info_chain(struct via_type1 *type1, void **ret_buf, size_t *ret_len)
{
	size_t len = via_type1_info_caps(type1, NULL, 0);

	for (;;) {
		void *buf = malloc(len ? len : 1);
		size_t need;

		if (!buf)
			return -ENOMEM;
		need = via_type1_info_caps(type1, buf, len);
		if (need <= len) {
			*ret_buf = buf;
			*ret_len = need;
			return 0;
		}
		free(buf);
		len = need;
	}
}

static int get_info(struct via_type1 *type1, struct via_caller *caller, uint64_t arg)
{
	const size_t min = offsetof(struct via_vfio_iommu_type1_info, cap_offset);
	struct via_vfio_iommu_type1_info info;
	size_t write_back, chain_len;
	void *chain;
	int ret;

	memset(&info, 0, sizeof(info));
	ret = via_copy_in_argsz(caller, &info, arg, min, min);
	if (ret < 0)
		return ret;
	write_back = info.argsz < sizeof(info) ? info.argsz : sizeof(info);

	ret = info_chain(type1, &chain, &chain_len);
	if (ret < 0)
		return ret;
	info.flags = VIA_VFIO_IOMMU_INFO_PGSIZES;
	info.iova_pgsizes = via_type1_pgsizes(type1);
	if (chain_len) {
		info.flags |= VIA_VFIO_IOMMU_INFO_CAPS;
		if (info.argsz < sizeof(info) + chain_len) {
			info.argsz = (uint32_t)(sizeof(info) + chain_len);
		} else {
			ret = via_copy_out(caller, arg + sizeof(info), chain, chain_len);
			info.cap_offset = sizeof(info);
		}
	}
	free(chain);
	return ret < 0 ? ret : via_copy_out(caller, arg, &info, write_back);
}

static int map_dma(struct via_vfio *vfio, struct via_type1 *type1, struct via_caller *caller, uint64_t arg)
{
	const struct via_ledger_owner owner = {
		.mm = caller->mm,
		.mode = VIA_CHARGE_MM,
		.enforce = vfio->config.memlock == VIA_MEMLOCK_ENFORCE,
	};
	struct via_bar_use use = {.owner = &owner};
	struct via_vfio_iommu_type1_dma_map map;
	struct via_pages *region = NULL;
	unsigned int prot = 0;
	int ret;

	ret = via_copy_in_argsz(caller, &map, arg, sizeof(map), sizeof(map));
	if (ret < 0)
		return ret;
	if (map.flags & VIA_VFIO_DMA_MAP_FLAG_READ)
		prot |= VIA_PROT_READ;
	if (map.flags & VIA_VFIO_DMA_MAP_FLAG_WRITE)
		prot |= VIA_PROT_WRITE;
	/* Without rights there is nothing to be found: what is wrong with the call comes first. */
	use.writable = prot & VIA_PROT_WRITE;
	ret = prot ? via_bar_memory(vfio, caller, map.vaddr, map.size, &use, &region) : 0;
	if (ret == -ENOMEM)
		return ret;
	if (ret < 0)
		map.vaddr = via_bar_memory_nowhere(map.vaddr);
	ret = via_type1_map_region(type1, caller->mm, &map, region);
	via_pages_put(region);
	return ret;
}

static int unmap_dma(struct via_type1 *type1, struct via_caller *caller, uint64_t arg)
{
	struct via_vfio_iommu_type1_dma_unmap unmap;
	struct via_vfio_bitmap bitmap;
	bool with_bitmap;
	int ret;

	ret = via_copy_in_argsz(caller, &unmap, arg, sizeof(unmap), sizeof(unmap));
	if (ret < 0)
		return ret;
	ret = via_type1_unmap_flags(unmap.flags);
	if (ret < 0)
		return ret;

	with_bitmap = unmap.flags & VIA_VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP;
	if (with_bitmap) {
		if (unmap.argsz < sizeof(unmap) + sizeof(bitmap))
			return -EINVAL;
		ret = via_copy_in(caller, &bitmap, arg + sizeof(unmap), sizeof(bitmap));
		if (ret < 0)
			return ret;
	}
	ret = via_type1_unmap(type1, caller->mm, &unmap, with_bitmap ? &bitmap : NULL, &unmap.size);
	return ret < 0 ? ret : via_copy_out(caller, arg, &unmap, sizeof(unmap));
}

static int dirty_pages(struct via_type1 *type1, struct via_caller *caller, uint64_t arg)
{
	struct via_vfio_iommu_type1_dirty_bitmap_get get;
	struct via_vfio_iommu_type1_dirty_bitmap dirty;
	bool with_get;
	int ret;

	ret = via_type1_dirty_allowed(type1);
	if (ret < 0)
		return ret;
	ret = via_copy_in_argsz(caller, &dirty, arg, sizeof(dirty), sizeof(dirty));
	if (ret < 0)
		return ret;
	ret = via_type1_dirty_flags(dirty.flags);
	if (ret < 0)
		return ret;

	with_get = dirty.flags & VIA_VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP;
	if (with_get) {
		if (dirty.argsz < sizeof(dirty) + sizeof(get))
			return -EINVAL;
		ret = via_copy_in(caller, &get, arg + sizeof(dirty), sizeof(get));
		if (ret < 0)
			return ret;
	}
	return via_type1_dirty(type1, caller->mm, dirty.flags, with_get ? &get : NULL);
}

static long type1_ioctl(struct via_backend *backend, struct via_caller *caller, unsigned long cmd,
			uint64_t arg)
{
	struct via_type1 *type1 = type1_of(backend);

	switch (cmd) {
	case VIA_VFIO_IOMMU_GET_INFO:
		return get_info(type1, caller, arg);
	case VIA_VFIO_IOMMU_MAP_DMA:
		return map_dma(VIA_CONTAINER_OF(backend, struct backend, base)->vfio, type1, caller,
			       arg);
	case VIA_VFIO_IOMMU_UNMAP_DMA:
		return unmap_dma(type1, caller, arg);
	case VIA_VFIO_IOMMU_DIRTY_PAGES:
		return dirty_pages(type1, caller, arg);
	default:
		return -ENOTTY;
	}
}

static int type1_check_extension(const struct via_vfio *vfio, const struct via_backend *backend,
				 uint64_t extension)
{
	return via_type1_check_extension(backend ? type1_of(backend) : NULL, extension);
}

static int type1_open(struct via_vfio *vfio, struct via_caller *caller, uint64_t type,
		      struct via_backend **ret_backend)
{
	struct backend *backend = calloc(1, sizeof(*backend));
	int ret;

	if (!backend)
		return -ENOMEM;
	ret = via_type1_new(vfio->iommu, (unsigned int)type,
			    vfio->config.memlock == VIA_MEMLOCK_ENFORCE, &backend->type1);
	if (ret < 0) {
		free(backend);
		return ret;
	}
	backend->vfio = vfio;
	if (vfio->config.dma_entry_limit)
		via_type1_set_entry_limit(backend->type1, vfio->config.dma_entry_limit);
	via_ioas_set_check(via_type1_ioas(backend->type1), vfio->config.check);
	via_ioas_set_vaddr_wait(via_type1_ioas(backend->type1), via_vfio_vaddr_wait(vfio));
	*ret_backend = &backend->base;
	return 0;
}

static void type1_close(struct via_backend *backend)
{
	via_type1_free(type1_of(backend));
	free(VIA_CONTAINER_OF(backend, struct backend, base));
}

static struct via_ioas *type1_ioas(struct via_backend *backend)
{
	return via_type1_ioas(type1_of(backend));
}

static int type1_join(struct via_backend *backend, unsigned int n_groups)
{
	return via_type1_attach_allowed(type1_of(backend));
}

const struct via_backend_ops via_backend_type1 = {
	.check_extension = type1_check_extension,
	.open = type1_open,
	.close = type1_close,
	.ioas = type1_ioas,
	.join = type1_join,
	.ioctl = type1_ioctl,
};
