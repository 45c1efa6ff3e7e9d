/* SPDX-License-Identifier: MIT */
/*
 * GET_INFO, GET_REGION_INFO, GET_IRQ_INFO: what a device says about itself,
 * as the caller and the chosen profile are to see it.
 */
#include "vfio/profile.h"
#include "vfio/topology.h"

#include <errno.h>
#include <stdlib.h>

bool via_reset_works(const struct via_device_file *df)
{
	return via_profile_full(df->vfio, VIA_DIFFERS_RESET) ||
	       via_device_can_reset(df->placed->dev, df->placed->addr.bus);
}

bool via_area_offered(const struct via_vfio *vfio, const struct via_caller *caller,
		      enum via_area_kind kind)
{
	switch (vfio->config.bars) {
	case VIA_BARS_TRAP:
		return true;
	case VIA_BARS_IO:
		break;
	case VIA_BARS_AUTO:
		/* The linux profile shows what the kernel would, whatever follows from it. */
		if (!caller->is_vmm || !via_profile_full(vfio, VIA_DIFFERS_VMM_REGISTERS))
			return true;
		break;
	}
	/*
	 * Under KVM the guest writes through page tables of the kernel's, and a
	 * fault of the kernel on a watched doorbell cannot be served from user
	 * space. Under software emulation the store is the program's own.
	 */
	return kind == VIA_AREA_MEMORY || (kind == VIA_AREA_DOORBELL && !caller->has_kvm);
}

long via_device_get_info(struct via_device_file *df, struct via_caller *caller, uint64_t arg)
{
	const size_t min = offsetof(struct via_vfio_device_info, cap_offset);
	struct via_vfio_device_info info;
	uint32_t argsz;
	int ret;

	memset(&info, 0, sizeof(info));
	ret = via_copy_in_argsz(caller, &info, arg, min, min);
	if (ret < 0)
		return ret;
	argsz = info.argsz;
	info.flags = VIA_VFIO_DEVICE_FLAGS_PCI;
	if (via_reset_works(df))
		info.flags |= VIA_VFIO_DEVICE_FLAGS_RESET;
	info.num_regions = VIA_N_REGIONS;
	info.num_irqs = VIA_N_IRQS;
	return via_copy_out(caller, arg, &info, argsz < sizeof(info) ? argsz : sizeof(info));
}

/* Regions ------------------------------------------------------------------ */

struct region_caps {
	struct via_vfio_region_sparse_mmap_area *areas; /* owned */
	uint32_t n_areas;
	bool whole; /* the areas are the region */
};

/* Which parts of a mappable region does the caller see as mappable? */
static int offered_areas(struct via_device_file *df, struct via_caller *caller, unsigned int region,
			 struct region_caps *ret_caps)
{
	struct region_caps caps = {.whole = true};
	struct via_region_map map;
	int ret;

	ret = via_device_region_map(df->placed->dev, region, &map);
	if (ret < 0)
		return ret;
	caps.areas = calloc(map.n_areas ? map.n_areas : 1, sizeof(*caps.areas));
	if (!caps.areas)
		return -ENOMEM;
	for (size_t i = 0; i < map.n_areas; i++) {
		const struct via_area *a = &map.areas[i];
		struct via_vfio_region_sparse_mmap_area *last;

		if (!via_area_offered(df->vfio, caller, a->kind)) {
			caps.whole = false;
			continue;
		}
		last = caps.n_areas ? &caps.areas[caps.n_areas - 1] : NULL;
		if (last && last->offset + last->size == a->offset) {
			last->size += a->size;
		} else {
			caps.areas[caps.n_areas].offset = a->offset;
			caps.areas[caps.n_areas++].size = a->size;
		}
	}
	*ret_caps = caps;
	return 0;
}

/* Bytes of the chain that follows the structure; chain may be NULL to count. */
static size_t region_chain(const struct region_caps *caps, bool msix_table, char *chain)
{
	struct via_vfio_region_info_cap_sparse_mmap sparse;
	struct via_vfio_info_cap_header msix = {
		.id = VIA_VFIO_REGION_INFO_CAP_MSIX_MAPPABLE,
		.version = 1,
	};
	size_t areas_len = caps->n_areas * sizeof(*caps->areas);

	if (caps->whole) {
		if (!msix_table)
			return 0;
		if (chain)
			memcpy(chain, &msix, sizeof(msix));
		return sizeof(msix);
	}
	/* What is left out of the areas includes the MSI-X table. */
	if (chain) {
		memset(&sparse, 0, sizeof(sparse));
		sparse.header.id = VIA_VFIO_REGION_INFO_CAP_SPARSE_MMAP;
		sparse.header.version = 1;
		sparse.nr_areas = caps->n_areas;
		memcpy(chain, &sparse, sizeof(sparse));
		memcpy(chain + sizeof(sparse), caps->areas, areas_len);
	}
	return sizeof(sparse) + areas_len;
}

static int put_region_info(struct via_caller *caller, uint64_t arg,
			   struct via_vfio_region_info *info, const struct region_caps *caps,
			   bool msix_table)
{
	size_t len = region_chain(caps, msix_table, NULL);
	char *chain;
	int ret = 0;

	/* Without a chain cap_offset stays as the caller left it. */
	if (len) {
		info->flags |= VIA_VFIO_REGION_INFO_FLAG_CAPS;
		if (info->argsz < sizeof(*info) + len) {
			info->argsz = (uint32_t)(sizeof(*info) + len);
			info->cap_offset = 0;
		} else {
			chain = malloc(len);
			if (!chain)
				return -ENOMEM;
			region_chain(caps, msix_table, chain);
			ret = via_copy_out(caller, arg + sizeof(*info), chain, len);
			free(chain);
			info->cap_offset = sizeof(*info);
		}
	}
	return ret < 0 ? ret : via_copy_out(caller, arg, info, sizeof(*info));
}

long via_device_get_region_info(struct via_device_file *df, struct via_caller *caller, uint64_t arg)
{
	struct region_caps caps = {.whole = true};
	struct via_region_info region;
	struct via_vfio_region_info info;
	int ret;

	ret = via_copy_in_argsz(caller, &info, arg, sizeof(info), sizeof(info));
	if (ret < 0)
		return ret;
	ret = via_device_region_info(df->placed->dev, info.index, &region);
	if (ret < 0)
		return ret;

	info.flags = 0;
	info.size = region.size;
	info.offset = (uint64_t)info.index << VIA_VFIO_PCI_OFFSET_SHIFT;
	if (region.size && region.readable)
		info.flags |= VIA_VFIO_REGION_INFO_FLAG_READ;
	if (region.size && region.writable)
		info.flags |= VIA_VFIO_REGION_INFO_FLAG_WRITE;
	if (region.size && region.mappable) {
		ret = offered_areas(df, caller, info.index, &caps);
		if (ret < 0)
			return ret;
	}
	if (caps.n_areas)
		info.flags |= VIA_VFIO_REGION_INFO_FLAG_MMAP;
	else
		caps.whole = true;
	ret = put_region_info(caller, arg, &info, &caps, region.msix_table && caps.n_areas);
	free(caps.areas);
	return ret;
}

/* Interrupts --------------------------------------------------------------- */

long via_device_get_irq_info(struct via_device_file *df, struct via_caller *caller, uint64_t arg)
{
	struct via_vfio_irq_info info;
	struct via_irq_info irq;
	int ret;

	ret = via_copy_in_argsz(caller, &info, arg, sizeof(info), sizeof(info));
	if (ret < 0)
		return ret;
	ret = via_device_irq_info(df->placed->dev, info.index, &irq);
	if (ret < 0)
		return ret;
	info.flags = irq.flags;
	info.count = irq.count;
	return via_copy_out(caller, arg, &info, sizeof(info));
}
