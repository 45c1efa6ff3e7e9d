/* SPDX-License-Identifier: MIT */
/*
 * A device's own node, vfio/devices/vfioN: a file of it is a device file once
 * it has been bound to an iommufd, and has three calls more (spec iommu.md 3.6).
 */
#include "vfio/iommufd/iommufd.h"
#include "vfio/sriov.h"

#include <errno.h>

static bool is_ready(const struct via_device_file *df)
{
	return __atomic_load_n(&df->ready, __ATOMIC_ACQUIRE);
}

/* BIND ----------------------------------------------------------------------- */

static int get_bind(struct via_caller *caller, uint64_t arg,
		    struct via_vfio_device_bind_iommufd *ret_bind)
{
	const size_t min = offsetof(struct via_vfio_device_bind_iommufd, token_uuid_ptr);
	int ret = via_copy_in_argsz(caller, ret_bind, arg, min, sizeof(*ret_bind));

	if (ret < 0)
		return ret;
	if (ret_bind->argsz > sizeof(*ret_bind)) {
		ret = via_check_zeros(caller, arg + sizeof(*ret_bind),
				      ret_bind->argsz - sizeof(*ret_bind));
		if (ret < 0)
			return ret;
	}
	if (ret_bind->iommufd < 0 || (ret_bind->flags & ~VIA_VFIO_DEVICE_BIND_FLAG_TOKEN))
		return -EINVAL;
	return 0;
}

/* vfio->lock held. */
static int may_bind(const struct via_device_file *df)
{
	if (df->placed->group->n_keeping)
		return -EBUSY;
	return is_ready(df) ? -EINVAL : 0;
}

static int check_token(struct via_device_file *df, struct via_caller *caller,
		       const struct via_vfio_device_bind_iommufd *bind)
{
	bool given = bind->flags & VIA_VFIO_DEVICE_BIND_FLAG_TOKEN;
	uint8_t token[VIA_UUID_SIZE];
	int ret;

	pthread_mutex_lock(&df->vfio->lock);
	ret = may_bind(df);
	pthread_mutex_unlock(&df->vfio->lock);
	if (!ret && given)
		ret = via_copy_in(caller, token, bind->token_uuid_ptr, sizeof(token));
	if (ret < 0)
		return ret;
	pthread_mutex_lock(&df->vfio->lock);
	ret = via_sriov_check_token(df->placed, given ? token : NULL);
	pthread_mutex_unlock(&df->vfio->lock);
	return ret;
}

static int open_node(struct via_device_file *df, struct via_caller *caller,
		     struct via_iommufd *iommufd, uint32_t *ret_id)
{
	struct via_placed *placed = df->placed;
	int ret;

	pthread_mutex_lock(&df->vfio->lock);
	/* The group may be on its way out of a container. */
	ret = via_turn_wait(df->vfio, &placed->group->turn, caller);
	if (!ret)
		ret = may_bind(df);
	if (!ret) {
		/* Before, so that nobody opens the group meanwhile. */
		placed->group->n_bound++;
		ret = via_placed_open(placed, df->way, iommufd, false, caller);
		if (ret < 0)
			placed->group->n_bound--;
		else
			*ret_id = placed->idev->object.id;
	}
	pthread_mutex_unlock(&df->vfio->lock);
	return ret;
}

static void close_node(struct via_device_file *df)
{
	pthread_mutex_lock(&df->vfio->lock);
	via_placed_close(df->placed);
	df->placed->group->n_bound--;
	pthread_mutex_unlock(&df->vfio->lock);
}

long via_cdev_bind(struct via_device_file *df, struct via_caller *caller, uint64_t arg)
{
	struct via_vfio_device_bind_iommufd bind;
	struct via_iommufd *iommufd;
	struct via_file *file = NULL;
	uint32_t id;
	int ret = get_bind(caller, arg, &bind);

	if (ret < 0)
		return ret;
	if (df->way != VIA_WAY_NODE)
		return -EINVAL;
	ret = check_token(df, caller, &bind);
	if (!ret)
		ret = caller->ops->file_get(caller, bind.iommufd, &file);
	if (ret < 0)
		return ret;
	iommufd = via_iommufd_of(file);
	ret = iommufd && iommufd->vfio == df->vfio ? open_node(df, caller, iommufd, &id) : -EBADFD;
	via_file_put(file);
	if (ret < 0)
		return ret;
	ret = via_copy_out(caller, arg + offsetof(struct via_vfio_device_bind_iommufd, out_devid),
			   &id, sizeof(id));
	if (ret < 0) {
		close_node(df);
		return ret;
	}
	__atomic_store_n(&df->ready, true, __ATOMIC_RELEASE);
	return 0;
}

/* ATTACH, DETACH --------------------------------------------------------------- */

long via_cdev_attach(struct via_device_file *df, struct via_caller *caller, uint64_t arg)
{
	const size_t min = offsetof(struct via_vfio_device_attach_iommufd_pt, pasid);
	struct via_vfio_device_attach_iommufd_pt attach;
	struct via_idev *idev = df->placed->idev;
	int ret = via_copy_in_argsz(caller, &attach, arg, min, sizeof(attach));

	if (ret < 0)
		return ret;
	if (attach.flags & ~VIA_VFIO_DEVICE_ATTACH_PASID)
		return -EINVAL;
	if (!attach.flags)
		attach.pasid = 0;
	else if (attach.argsz < sizeof(attach))
		return -EINVAL;
	ret = via_idev_move(idev, attach.pasid, attach.flags, &attach.pt_id);
	if (ret < 0)
		return ret;
	ret = via_copy_out(caller, arg + offsetof(struct via_vfio_device_attach_iommufd_pt, pt_id),
			   &attach.pt_id, sizeof(attach.pt_id));
	/* Also when it was a replace: what was there before is lost. */
	if (ret < 0)
		via_idev_leave(idev, attach.pasid, attach.flags);
	return ret;
}

long via_cdev_detach(struct via_device_file *df, struct via_caller *caller, uint64_t arg)
{
	const size_t min = offsetof(struct via_vfio_device_detach_iommufd_pt, pasid);
	struct via_vfio_device_detach_iommufd_pt detach;
	int ret = via_copy_in_argsz(caller, &detach, arg, min, sizeof(detach));

	if (ret < 0)
		return ret;
	if (detach.flags & ~VIA_VFIO_DEVICE_DETACH_PASID)
		return -EINVAL;
	if (!detach.flags)
		detach.pasid = 0;
	else if (detach.argsz < sizeof(detach))
		return -EINVAL;
	via_idev_leave(df->placed->idev, detach.pasid, detach.flags);
	return 0;
}

/* Open ------------------------------------------------------------------------- */

static struct via_placed *find(const struct via_vfio *vfio, unsigned int number)
{
	for (size_t i = 0; i < vfio->n_devices; i++) {
		if (vfio->devices[i]->number == number)
			return vfio->devices[i];
	}
	return NULL;
}

int via_cdev_open(struct via_vfio *vfio, unsigned int number, struct via_file **ret_file)
{
	struct via_placed *placed;
	int ret = -ENOENT;

	pthread_mutex_lock(&vfio->lock);
	placed = find(vfio, number);
	if (placed)
		ret = placed->going ? -ENODEV : via_device_file_new(placed, VIA_WAY_NODE, ret_file);
	pthread_mutex_unlock(&vfio->lock);
	return ret;
}
