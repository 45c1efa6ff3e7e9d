/* SPDX-License-Identifier: MIT */
/*
 * Who has a device open, and who does the DMA of its group. A device that is
 * used by way of an iommufd is bound to it by its first open file and unbound
 * with the last one. Both may wait for programs: for memory that is pinned,
 * for calls of others. So they run without vfio->lock, the device being busy
 * meanwhile; whoever wants to open or close it waits, and nobody else does.
 */
#include "vfio/iommufd/iommufd.h"
#include "vfio/sriov.h"

#include <errno.h>

int via_group_claim(struct via_group *group, const void *owner)
{
	if (group->n_owned && group->owner != owner)
		return -EPERM;
	group->owner = owner;
	group->n_owned++;
	return 0;
}

void via_group_disclaim(struct via_group *group)
{
	if (!--group->n_owned)
		group->owner = NULL;
}

void via_placed_file_added(struct via_placed *placed)
{
	placed->n_files++;
}

void via_placed_file_gone(struct via_placed *placed)
{
	if (!--placed->n_files && placed->going)
		via_sriov_continue(placed->pf->sriov);
}

static void wait_idle(struct via_placed *placed)
{
	struct via_vfio *vfio = placed->group->vfio;

	while (placed->busy)
		pthread_cond_wait(&vfio->placed_idle, &vfio->lock);
}

static void begin(struct via_placed *placed)
{
	placed->busy = true;
	pthread_mutex_unlock(&placed->group->vfio->lock);
}

static void end(struct via_placed *placed)
{
	struct via_vfio *vfio = placed->group->vfio;

	pthread_mutex_lock(&vfio->lock);
	placed->busy = false;
	pthread_cond_broadcast(&vfio->placed_idle);
}

static int attach_compat(struct via_iommufd *iommufd, struct via_idev *idev)
{
	uint32_t id;
	int ret = via_iommufd_compat_id(iommufd, &id);

	return ret < 0 ? ret : via_idev_attach(idev, 0, false, &id);
}

static int bind(struct via_placed *placed, struct via_iommufd *iommufd, bool compat)
{
	struct via_idev *idev = NULL;
	int ret = via_group_claim(placed->group, iommufd);

	if (ret < 0)
		return ret;
	placed->hw->group = placed->group;
	begin(placed);
	ret = via_idev_bind(iommufd, placed->hw, &idev);
	if (!ret && compat) {
		ret = attach_compat(iommufd, idev);
		if (ret < 0)
			via_idev_unbind(idev);
	}
	end(placed);
	if (ret < 0)
		via_group_disclaim(placed->group);
	else
		placed->idev = idev;
	return ret;
}

static void unbind(struct via_placed *placed)
{
	struct via_idev *idev = placed->idev;

	placed->idev = NULL;
	begin(placed);
	via_idev_unbind(idev);
	end(placed);
	via_group_disclaim(placed->group);
}

int via_placed_open(struct via_placed *placed, enum via_way way, struct via_iommufd *iommufd,
		    bool compat)
{
	int ret = 0;

	wait_idle(placed);
	if (placed->going)
		return -ENODEV;
	/* Who comes by the node has the device alone. */
	if (way == VIA_WAY_NODE && placed->n_open)
		return -EINVAL;
	if (way != VIA_WAY_CONTAINER && !placed->n_open)
		ret = bind(placed, iommufd, compat);
	if (ret < 0)
		return ret;
	/* Its removal may have begun while the lock was given up. */
	ret = placed->going ? -ENODEV : via_device_open(placed->dev);
	if (ret < 0) {
		if (placed->idev && !placed->n_open)
			unbind(placed);
		return ret;
	}
	if (placed->pf && !placed->n_open)
		placed->pf->sriov->users++;
	placed->n_open++;
	return 0;
}

void via_placed_close(struct via_placed *placed)
{
	wait_idle(placed);
	via_device_close(placed->dev);
	if (--placed->n_open)
		return;
	if (placed->pf)
		placed->pf->sriov->users--;
	if (placed->idev)
		unbind(placed);
}
