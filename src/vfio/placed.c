/* SPDX-License-Identifier: MIT */
/*
 * Who has a device open, and who does the DMA of its group. A device that is
 * used by way of an iommufd is bound to it by its first open file and unbound
 * with the last one. Opening, closing and both of these may wait for programs: for memory
 * that is pinned or copied, for calls of others, for the model. So they run without
 * vfio->lock, in the device's turn (turn.h).
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

static int attach_compat(struct via_iommufd *iommufd, struct via_idev *idev)
{
	uint32_t id;
	int ret = via_iommufd_compat_id(iommufd, &id);

	return ret < 0 ? ret : via_idev_attach(idev, 0, false, &id);
}

/* What takes long of opening and closing; the turn is ours, vfio->lock not held. */

static int start(struct via_placed *placed, struct via_iommufd *iommufd, bool compat,
		 struct via_idev **ret_idev)
{
	struct via_idev *idev = NULL;
	int ret = iommufd ? via_idev_bind(iommufd, placed->hw, &idev) : 0;

	if (ret < 0)
		return ret;
	if (idev && compat)
		ret = attach_compat(iommufd, idev);
	if (!ret)
		ret = via_device_open(placed->dev);
	if (ret < 0) {
		if (idev)
			via_idev_unbind(idev);
		return ret;
	}
	*ret_idev = idev;
	return 0;
}

static void stop(struct via_placed *placed, struct via_idev *idev)
{
	via_device_close(placed->dev);
	if (idev)
		via_idev_unbind(idev);
}

/* Of a virtual function: it begins, or ends, to be open. */
static void count_user(struct via_placed *placed, int change)
{
	if (placed->pf)
		placed->pf->sriov->users += (unsigned int)change;
}

/* The turn is ours. iommufd: where the first one binds the device, or NULL. */
static int open_device(struct via_placed *placed, struct via_iommufd *iommufd, bool compat)
{
	struct via_vfio *vfio = placed->group->vfio;
	const bool first = !placed->n_open;
	struct via_idev *idev = NULL;
	int ret;

	ret = first && iommufd ? via_group_claim(placed->group, iommufd) : 0;
	if (ret < 0)
		return ret;
	if (first) {
		count_user(placed, 1);
		placed->hw->group = placed->group;
	}
	pthread_mutex_unlock(&vfio->lock);
	ret = start(placed, first ? iommufd : NULL, compat, &idev);
	pthread_mutex_lock(&vfio->lock);
	/* Its removal may have begun meanwhile. */
	if (!ret && placed->going) {
		pthread_mutex_unlock(&vfio->lock);
		stop(placed, idev);
		pthread_mutex_lock(&vfio->lock);
		ret = -ENODEV;
	}
	if (!ret) {
		placed->n_open++;
		if (first)
			placed->idev = idev;
		return 0;
	}
	if (first)
		count_user(placed, -1);
	if (first && iommufd)
		via_group_disclaim(placed->group);
	return ret;
}

int via_placed_open(struct via_placed *placed, enum via_way way, struct via_iommufd *iommufd,
		    bool compat, struct via_caller *caller)
{
	struct via_vfio *vfio = placed->group->vfio;
	int ret = via_turn_take(vfio, &placed->turn, caller);

	if (ret < 0)
		return ret;
	if (placed->going)
		ret = -ENODEV;
	else if (way == VIA_WAY_NODE && placed->n_open)
		ret = -EINVAL; /* who comes by the node has the device alone */
	else
		ret = open_device(placed, iommufd, compat);
	via_turn_end(vfio, &placed->turn);
	return ret;
}

void via_placed_close(struct via_placed *placed)
{
	struct via_vfio *vfio = placed->group->vfio;
	struct via_idev *idev = NULL;
	bool last;

	(void)via_turn_take(vfio, &placed->turn, NULL);
	last = placed->n_open == 1;
	if (last) {
		idev = placed->idev;
		placed->idev = NULL;
	}
	pthread_mutex_unlock(&vfio->lock);
	stop(placed, idev);
	pthread_mutex_lock(&vfio->lock);
	placed->n_open--;
	if (last)
		count_user(placed, -1);
	if (idev)
		via_group_disclaim(placed->group);
	via_turn_end(vfio, &placed->turn);
}
