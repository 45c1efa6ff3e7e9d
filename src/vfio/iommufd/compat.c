/* SPDX-License-Identifier: MIT */
/*
 * The ioctls of a VFIO container on a file of /dev/iommu (spec iommu.md 3.8): a
 * container's one address space is the context's compat IOAS.
 */
#include "base/util.h"
#include "iommu/suspend.h"
#include "vfio/iommufd/compat.h"
#include "vfio/profile.h"

#include <errno.h>
#include <stdlib.h>

int via_iommufd_compat_id(struct via_iommufd *iommufd, uint32_t *ret_id)
{
	int ret = -ENODEV;

	pthread_mutex_lock(&iommufd->lock);
	if (iommufd->compat) {
		*ret_id = iommufd->compat->object.id;
		ret = 0;
	}
	pthread_mutex_unlock(&iommufd->lock);
	return ret;
}

void via_iommufd_compat_set(struct via_iommufd *iommufd, struct via_iommufd_ioas *ioas)
{
	pthread_mutex_lock(&iommufd->lock);
	iommufd->compat = ioas;
	pthread_mutex_unlock(&iommufd->lock);
}

/* 0: there is one; 1: there is none; -EINVAL: the other kind of group has joined. lock held. */
static int join(struct via_iommufd *iommufd, bool no_iommu)
{
	if (no_iommu ? iommufd->compat != NULL : iommufd->no_iommu)
		return -EINVAL;
	iommufd->no_iommu = no_iommu;
	return !no_iommu && !iommufd->compat;
}

static struct via_iommufd_ioas *compat_get(struct via_iommufd *iommufd)
{
	struct via_iommufd_ioas *ioas;

	pthread_mutex_lock(&iommufd->lock);
	ioas = iommufd->compat;
	if (ioas)
		ioas->object.users++;
	pthread_mutex_unlock(&iommufd->lock);
	return ioas;
}

static int check_suspended(struct via_iommufd *iommufd)
{
	struct via_iommufd_ioas *ioas = compat_get(iommufd);
	int ret = ioas && via_ioas_suspended(ioas->ioas) ? -EBUSY : 0;

	via_iommufd_ioas_put(ioas);
	return ret;
}

int via_iommufd_container_join(struct via_iommufd *iommufd, bool no_iommu)
{
	struct via_iommufd_ioas *ioas;
	int ret;

	pthread_mutex_lock(&iommufd->lock);
	ret = join(iommufd, no_iommu);
	pthread_mutex_unlock(&iommufd->lock);
	if (ret <= 0)
		return ret < 0 ? ret : check_suspended(iommufd);
	ret = via_iommufd_ioas_new(iommufd, &ioas);
	if (ret < 0)
		return ret;
	/* The program may have set one meanwhile. */
	pthread_mutex_lock(&iommufd->lock);
	ret = join(iommufd, no_iommu);
	if (ret > 0) {
		iommufd->compat = ioas;
		ioas->object.ready = true;
	}
	pthread_mutex_unlock(&iommufd->lock);
	if (ret > 0)
		return 0;
	via_iommufd_ioas_drop(ioas);
	return ret;
}

/* Extensions ------------------------------------------------------------------ */

static bool is_no_iommu(struct via_iommufd *iommufd)
{
	bool ret;

	pthread_mutex_lock(&iommufd->lock);
	ret = iommufd->no_iommu;
	pthread_mutex_unlock(&iommufd->lock);
	return ret;
}

bool via_compat_coherent(struct via_iommufd_ioas *ioas)
{
	struct via_iommufd *iommufd = ioas->object.iommufd;
	bool coherent = true;

	pthread_mutex_lock(&iommufd->devices_lock);
	for (const struct via_hwpt *hwpt = ioas->hwpts; hwpt; hwpt = hwpt->next)
		if (!via_domain_config(hwpt->domain)->coherent)
			coherent = false;
	pthread_mutex_unlock(&iommufd->devices_lock);
	return coherent;
}

static long check_coherent(struct via_iommufd *iommufd)
{
	struct via_iommufd_ioas *ioas = compat_get(iommufd);
	long ret;

	if (!ioas)
		return via_profile_full(iommufd->vfio, VIA_DIFFERS_COMPAT_DMA_CC) ? 0 : -ENODEV;
	ret = via_compat_coherent(ioas);
	via_iommufd_ioas_put(ioas);
	return ret;
}

static long check_extension(struct via_iommufd *iommufd, uint64_t extension)
{
	switch (extension) {
	case VIA_VFIO_TYPE1_IOMMU:
	case VIA_VFIO_TYPE1v2_IOMMU:
	case VIA_VFIO_UNMAP_ALL:
		return !is_no_iommu(iommufd);
	case VIA_VFIO_DMA_CC_IOMMU:
		return check_coherent(iommufd);
	case VIA_VFIO_NOIOMMU_IOMMU:
		return 1;
	case VIA_VFIO_UPDATE_VADDR:
		return via_profile_full(iommufd->vfio, VIA_DIFFERS_COMPAT_VADDR) &&
		       !is_no_iommu(iommufd);
	default:
		return 0;
	}
}

/* SET_IOMMU -------------------------------------------------------------------- */

/* A kernel that has no type yet; ours has none before this IOAS was given one. */
static int set_type(struct via_iommufd *iommufd, struct via_iommufd_ioas *ioas, uint64_t type)
{
	const bool once = via_profile_full(iommufd->vfio, VIA_DIFFERS_COMPAT_ERRNO);
	int ret = 0;

	pthread_mutex_lock(&ioas->container.lock);
	if (once && ioas->container.type)
		ret = -EINVAL;
	/* Every page a mapping of its own, so that any may be unmapped. It stays so. */
	if (!ret && type == VIA_VFIO_TYPE1_IOMMU)
		ret = via_ioas_set_large_pages(ioas->ioas, false);
	if (!ret)
		ioas->container.type = (uint32_t)type;
	pthread_mutex_unlock(&ioas->container.lock);
	return ret;
}

static long set_iommu(struct via_iommufd *iommufd, const struct via_caller *caller, uint64_t type)
{
	const bool like_type1 = via_profile_full(iommufd->vfio, VIA_DIFFERS_COMPAT_ERRNO);
	const bool known = type == VIA_VFIO_TYPE1_IOMMU || type == VIA_VFIO_TYPE1v2_IOMMU;
	const bool no_iommu = is_no_iommu(iommufd);
	struct via_iommufd_ioas *ioas;
	int ret;

	if (no_iommu && type == VIA_VFIO_NOIOMMU_IOMMU)
		return caller->caps & VIA_CAP_SYS_RAWIO ? 0 : -EPERM;
	if (no_iommu || (!known && !like_type1))
		return -EINVAL;
	ioas = compat_get(iommufd);
	if (!ioas)
		return like_type1 ? -EINVAL : -ENODEV;
	if (known)
		ret = set_type(iommufd, ioas, type);
	else
		/* A number that CHECK_EXTENSION knows is claimed, and then refused. */
		ret = type == VIA_VFIO_UNMAP_ALL ? -EINVAL : -ENODEV;
	via_iommufd_ioas_put(ioas);
	return ret;
}

/* What the domains allow ------------------------------------------------------- */

uint64_t via_compat_pgsizes(struct via_iommufd_ioas *ioas)
{
	struct via_iommufd *iommufd = ioas->object.iommufd;
	const uint64_t small = VIA_PAGES_SIZE - 1;
	uint64_t sizes = UINT64_MAX;

	pthread_mutex_lock(&iommufd->devices_lock);
	for (const struct via_hwpt *hwpt = ioas->hwpts; hwpt; hwpt = hwpt->next)
		sizes &= via_domain_config(hwpt->domain)->pgsize_bitmap;
	pthread_mutex_unlock(&iommufd->devices_lock);
	/* A domain of smaller pages can do pages of 4 KiB as well. */
	if (sizes & small)
		sizes = (sizes & ~small) | VIA_PAGES_SIZE;
	return via_max_u64(sizes, via_ioas_alignment(ioas->ioas));
}

int via_compat_ranges(struct via_iommufd_ioas *ioas,
		      struct via_vfio_iommu_type1_info_cap_iova_range **ret_cap, size_t *ret_len)
{
	size_t n = via_ioas_ranges(ioas->ioas, NULL, 0);

	for (;;) {
		const size_t len = sizeof(**ret_cap) + n * sizeof(struct via_vfio_iova_range);
		struct via_vfio_iommu_type1_info_cap_iova_range *cap = calloc(1, len);
		size_t now;

		if (!cap)
			return -ENOMEM;
		_Static_assert(sizeof(struct via_vfio_iova_range) == sizeof(struct via_iova_range),
			       "same layout");
		now = via_ioas_ranges(ioas->ioas, (void *)(cap + 1), n);
		if (now <= n) {
			cap->header.id = VIA_VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE;
			cap->header.version = 1;
			cap->nr_iovas = (uint32_t)now;
			*ret_cap = cap;
			*ret_len = sizeof(*cap) + now * sizeof(struct via_vfio_iova_range);
			return 0;
		}
		/* A device has come meanwhile. */
		free(cap);
		n = now;
	}
}

/* Dispatch ---------------------------------------------------------------------- */

static bool has_type(struct via_iommufd *iommufd)
{
	struct via_iommufd_ioas *ioas = compat_get(iommufd);
	bool ret = false;

	if (ioas) {
		pthread_mutex_lock(&ioas->container.lock);
		ret = ioas->container.type != 0;
		pthread_mutex_unlock(&ioas->container.lock);
		via_iommufd_ioas_put(ioas);
	}
	return ret;
}

/* Who looks for newer commands of iommufd expects ENOTTY. */
static long unknown(struct via_iommufd *iommufd, unsigned long cmd)
{
	return (cmd & 0xff) < 0x80 && !has_type(iommufd) ? -EINVAL : -ENOTTY;
}

static long on_ioas(struct via_iommufd *iommufd, struct via_caller *caller, uint64_t arg,
		    long (*fn)(const struct via_compat_call *call))
{
	struct via_compat_call call = {
		.iommufd = iommufd, .caller = caller, .ioas = compat_get(iommufd), .arg = arg};
	long ret;

	if (!call.ioas)
		return -EINVAL;
	ret = fn(&call);
	via_iommufd_ioas_put(call.ioas);
	return ret;
}

/* What a kernel's iommufd answers about an argument comes before that it has no IOAS. */
static long exact_ioctl(struct via_iommufd *iommufd, struct via_caller *caller, unsigned long cmd,
			uint64_t arg)
{
	struct via_compat_call call = {
		.iommufd = iommufd, .caller = caller, .ioas = compat_get(iommufd), .arg = arg};
	long ret;

	if (cmd == VIA_VFIO_IOMMU_GET_INFO)
		ret = via_compat_exact_info(&call);
	else if (cmd == VIA_VFIO_IOMMU_MAP_DMA)
		ret = via_compat_exact_map(&call);
	else if (cmd == VIA_VFIO_IOMMU_UNMAP_DMA)
		ret = via_compat_exact_unmap(&call);
	else
		ret = -ENOTTY;
	via_iommufd_ioas_put(call.ioas);
	return ret;
}

static long full_ioctl(struct via_iommufd *iommufd, struct via_caller *caller, unsigned long cmd,
		       uint64_t arg)
{
	switch (cmd) {
	case VIA_VFIO_IOMMU_GET_INFO:
		return on_ioas(iommufd, caller, arg, via_compat_full_info);
	case VIA_VFIO_IOMMU_MAP_DMA:
		return on_ioas(iommufd, caller, arg, via_compat_full_map);
	case VIA_VFIO_IOMMU_UNMAP_DMA:
		return on_ioas(iommufd, caller, arg, via_compat_full_unmap);
	case VIA_VFIO_IOMMU_DIRTY_PAGES:
		if (!via_profile_full(iommufd->vfio, VIA_DIFFERS_COMPAT_DIRTY))
			return -ENOTTY;
		return on_ioas(iommufd, caller, arg, via_compat_full_dirty);
	default:
		return unknown(iommufd, cmd);
	}
}

long via_iommufd_container_ioctl(struct via_iommufd *iommufd, struct via_caller *caller,
				 unsigned long cmd, uint64_t arg)
{
	switch (cmd) {
	case VIA_VFIO_GET_API_VERSION:
		return VIA_VFIO_API_VERSION;
	case VIA_VFIO_CHECK_EXTENSION:
		return check_extension(iommufd, arg);
	case VIA_VFIO_SET_IOMMU:
		return set_iommu(iommufd, caller, arg);
	default:
		break;
	}
	if (via_profile_full(iommufd->vfio, VIA_DIFFERS_COMPAT_ERRNO))
		return full_ioctl(iommufd, caller, cmd, arg);
	return exact_ioctl(iommufd, caller, cmd, arg);
}
