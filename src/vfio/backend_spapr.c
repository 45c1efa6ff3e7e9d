/* SPDX-License-Identifier: MIT */
/* A container whose IOMMU is sPAPR TCE: arguments in and out, the rest is iommu/spapr.h. */
#include "iommu/check.h"
#include "iommu/spapr.h"
#include "vfio/backend.h"
#include "vfio/profile.h"

#include <errno.h>
#include <stdlib.h>

struct backend {
	struct via_backend base;
	struct via_spapr *spapr;
};

static struct via_spapr *spapr_of(const struct via_backend *backend)
{
	return VIA_CONTAINER_OF(backend, struct backend, base)->spapr;
}

static long get_info(struct via_spapr *spapr, struct via_caller *caller, uint64_t arg)
{
	const size_t min = offsetof(struct via_vfio_iommu_spapr_tce_info, ddw);
	struct via_vfio_iommu_spapr_tce_info info = {0};
	int ret = via_copy_in_argsz(caller, &info, arg, min, min);

	if (ret < 0)
		return ret;
	via_spapr_info(spapr, &info);
	return via_copy_out(caller, arg, &info, info.argsz >= sizeof(info) ? sizeof(info) : min);
}

static long map_dma(struct via_spapr *spapr, struct via_caller *caller, uint64_t arg)
{
	struct via_vfio_iommu_type1_dma_map map;
	int ret = via_spapr_enabled(spapr);

	if (!ret)
		ret = via_copy_in_argsz(caller, &map, arg, sizeof(map), sizeof(map));
	return ret < 0 ? ret : via_spapr_map(spapr, caller->mm, &map);
}

static long unmap_dma(struct via_spapr *spapr, struct via_caller *caller, uint64_t arg)
{
	struct via_vfio_iommu_type1_dma_unmap unmap;
	int ret = via_spapr_enabled(spapr);

	if (!ret)
		ret = via_copy_in_argsz(caller, &unmap, arg, sizeof(unmap), sizeof(unmap));
	return ret < 0 ? ret : via_spapr_unmap(spapr, &unmap);
}

static long memory(struct via_spapr *spapr, struct via_caller *caller, uint64_t arg, bool enter)
{
	struct via_vfio_iommu_spapr_register_memory reg;
	int ret;

	if (!via_spapr_is_v2(spapr))
		return -ENOTTY;
	ret = via_copy_in_argsz(caller, &reg, arg, sizeof(reg), sizeof(reg));
	if (ret < 0)
		return ret;
	return enter ? via_spapr_register(spapr, caller->mm, &reg) : via_spapr_unregister(spapr, &reg);
}

static long create(struct via_spapr *spapr, struct via_caller *caller, uint64_t arg)
{
	struct via_vfio_iommu_spapr_tce_create create;
	int ret;

	if (!via_spapr_is_v2(spapr))
		return -ENOTTY;
	ret = via_copy_in_argsz(caller, &create, arg, sizeof(create), sizeof(create));
	if (!ret)
		ret = via_spapr_create(spapr, caller->mm, &create);
	return ret < 0 ? ret : via_copy_out(caller, arg, &create, sizeof(create));
}

static long remove_window(struct via_spapr *spapr, struct via_caller *caller, uint64_t arg)
{
	struct via_vfio_iommu_spapr_tce_remove remove;
	int ret;

	if (!via_spapr_is_v2(spapr))
		return -ENOTTY;
	ret = via_copy_in_argsz(caller, &remove, arg, sizeof(remove), sizeof(remove));
	return ret < 0 ? ret : via_spapr_remove(spapr, caller->mm, &remove);
}

static long spapr_ioctl(struct via_backend *backend, struct via_caller *caller, unsigned long cmd,
			uint64_t arg)
{
	struct via_spapr *spapr = spapr_of(backend);
	int ret = via_spapr_mine(spapr, caller->mm);

	if (ret < 0)
		return ret;
	switch (cmd) {
	case VIA_VFIO_IOMMU_SPAPR_TCE_GET_INFO:
		return get_info(spapr, caller, arg);
	case VIA_VFIO_IOMMU_MAP_DMA:
		return map_dma(spapr, caller, arg);
	case VIA_VFIO_IOMMU_UNMAP_DMA:
		return unmap_dma(spapr, caller, arg);
	case VIA_VFIO_IOMMU_ENABLE:
		return via_spapr_enable(spapr, caller->mm);
	case VIA_VFIO_IOMMU_DISABLE:
		return via_spapr_disable(spapr);
	case VIA_VFIO_IOMMU_SPAPR_REGISTER_MEMORY:
		return memory(spapr, caller, arg, true);
	case VIA_VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY:
		return memory(spapr, caller, arg, false);
	case VIA_VFIO_IOMMU_SPAPR_TCE_CREATE:
		return create(spapr, caller, arg);
	case VIA_VFIO_IOMMU_SPAPR_TCE_REMOVE:
		return remove_window(spapr, caller, arg);
	case VIA_VFIO_EEH_PE_OP:
		return -ENODEV; /* no function has a partitionable endpoint */
	default:
		return -ENOTTY;
	}
}

static int spapr_check_extension(const struct via_vfio *vfio, const struct via_backend *backend,
				 uint64_t extension)
{
	return via_spapr_check_extension(backend ? spapr_of(backend) : NULL, extension);
}

static int spapr_open(struct via_vfio *vfio, struct via_caller *caller, uint64_t type,
		      struct via_backend **ret_backend)
{
	struct backend *backend = calloc(1, sizeof(*backend));
	int ret;

	if (!backend)
		return -ENOMEM;
	ret = via_spapr_new(via_spapr_props_powernv(), (unsigned int)type,
			    vfio->config.memlock == VIA_MEMLOCK_ENFORCE,
			    !via_profile_full(vfio, VIA_DIFFERS_SPAPR_RANGE), &backend->spapr);
	if (ret < 0) {
		free(backend);
		return ret;
	}
	via_ioas_set_check(via_spapr_ioas(backend->spapr), vfio->config.check);
	*ret_backend = &backend->base;
	return 0;
}

static void spapr_close(struct via_backend *backend)
{
	via_spapr_free(spapr_of(backend));
	free(VIA_CONTAINER_OF(backend, struct backend, base));
}

static struct via_ioas *spapr_ioas(struct via_backend *backend)
{
	return via_spapr_ioas(spapr_of(backend));
}

static int spapr_join(struct via_backend *backend, unsigned int n_groups)
{
	return n_groups && !via_spapr_is_v2(spapr_of(backend)) ? -EBUSY : 0;
}

const struct via_backend_ops via_backend_spapr = {
	.check_extension = spapr_check_extension,
	.open = spapr_open,
	.close = spapr_close,
	.ioas = spapr_ioas,
	.join = spapr_join,
	.ioctl = spapr_ioctl,
};
