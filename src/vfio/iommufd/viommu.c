/* SPDX-License-Identifier: MIT */
/*
 * vIOMMUs: the part of an IOMMU that a virtual machine has for itself (spec
 * iommu.md 2.10.7), the devices behind it by the ids that the machine gives them (2.10.8), and
 * pages of it that a program may map (2.10.11).
 */
#include "base/util.h"
#include "vfio/iommufd/iommufd.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096u

/* vIOMMUs ---------------------------------------------------------------------- */

static void withdraw(struct via_viommu *viommu)
{
	struct via_iommufd *iommufd = viommu->object.iommufd;
	struct via_viommu **link;

	pthread_mutex_lock(&iommufd->devices_lock);
	for (link = &iommufd->mappable; *link && *link != viommu;)
		link = &(*link)->next_mappable;
	if (*link)
		*link = viommu->next_mappable;
	pthread_mutex_unlock(&iommufd->devices_lock);
}

static void viommu_free(struct via_viommu *viommu)
{
	withdraw(viommu);
	if (viommu->ops && viommu->ops->destroy)
		viommu->ops->destroy(viommu);
	if (viommu->mmap_fd >= 0)
		(void)close(viommu->mmap_fd);
	via_object_put(&viommu->hwpt->object);
	free(viommu);
}

static void viommu_destroy(struct via_object *object)
{
	viommu_free(VIA_CONTAINER_OF(object, struct via_viommu, object));
}

static const struct via_object_ops viommu_ops = {
	.kind = VIA_OBJECT_VIOMMU,
	.destroy = viommu_destroy,
};

/* hwpt: a user of it, consumed on success. */
static int viommu_new(const struct via_iommufd_call *call, struct via_iommu_hw *hw,
		      struct via_hwpt *hwpt, const struct via_iommu_viommu_alloc *cmd,
		      uint32_t *ret_id)
{
	struct via_viommu *viommu = calloc(1, sizeof(*viommu));
	int ret;

	if (!viommu)
		return -ENOMEM;
	viommu->hw_ops = hw->ops;
	viommu->type = cmd->type;
	viommu->hwpt = hwpt;
	viommu->mmap_fd = -1;
	ret = via_object_reserve(call->iommufd, &viommu->object, &viommu_ops);
	if (ret < 0) {
		free(viommu);
		return ret;
	}
	ret = hw->ops->viommu(hw, call, cmd->type, cmd->data_len, cmd->data_uptr, viommu);
	if (ret < 0) {
		via_object_abort(&viommu->object);
		withdraw(viommu);
		if (viommu->mmap_fd >= 0)
			(void)close(viommu->mmap_fd);
		free(viommu);
		return ret;
	}
	*ret_id = viommu->object.id;
	via_iommufd_made(call, &viommu->object);
	return 0;
}

long via_iommufd_viommu_alloc(const struct via_iommufd_call *call, void *args)
{
	struct via_iommu_viommu_alloc *cmd = args;
	struct via_object *object, *pt;
	struct via_iommu_hw *hw;
	struct via_hwpt *hwpt;
	int ret;

	if (cmd->flags || cmd->type == VIA_IOMMU_VIOMMU_TYPE_DEFAULT)
		return -EOPNOTSUPP;
	object = via_object_get(call->iommufd, cmd->dev_id, VIA_OBJECT_DEVICE);
	if (!object)
		return -ENOENT;
	hw = VIA_CONTAINER_OF(object, struct via_idev, object)->hw;
	ret = -EOPNOTSUPP;
	if (!hw->ops->viommu || hw->ops->viommu(hw, NULL, cmd->type, 0, 0, NULL) < 0)
		goto out;
	ret = -ENOENT;
	pt = via_object_get(call->iommufd, cmd->hwpt_id, VIA_OBJECT_HWPT_PAGING);
	if (!pt)
		goto out;
	hwpt = VIA_CONTAINER_OF(pt, struct via_hwpt, object);
	if (!(hwpt->flags & VIA_IOMMU_HWPT_ALLOC_NEST_PARENT) || hwpt->ops != hw->ops)
		ret = -EINVAL;
	else
		ret = viommu_new(call, hw, hwpt, cmd, &cmd->out_viommu_id);
	if (ret < 0)
		via_object_put(pt);
out:
	via_object_put(object);
	return ret;
}

/* Pages for programs ----------------------------------------------------------- */

int via_viommu_offer(struct via_viommu *viommu, int fd, uint64_t length)
{
	struct via_iommufd *iommufd = viommu->object.iommufd;
	struct via_viommu **link;
	uint64_t offset = PAGE;

	/* The lowest gap that is large enough; never the first page. */
	pthread_mutex_lock(&iommufd->devices_lock);
	for (link = &iommufd->mappable; *link; link = &(*link)->next_mappable) {
		if ((*link)->mmap_offset - offset >= length)
			break;
		offset = (*link)->mmap_offset + (*link)->mmap_length;
	}
	viommu->mmap_fd = fd;
	viommu->mmap_offset = offset;
	viommu->mmap_length = length;
	viommu->next_mappable = *link;
	*link = viommu;
	pthread_mutex_unlock(&iommufd->devices_lock);
	return 0;
}

static void unmapped(void *owner)
{
	struct via_viommu *viommu = owner;
	struct via_iommufd *iommufd = viommu->object.iommufd;

	via_object_put(&viommu->object);
	via_iommufd_put(iommufd);
}

int via_viommu_mmap(struct via_iommufd *iommufd, uint64_t offset, uint64_t len, int prot,
		    int flags, struct via_mmap *ret_map)
{
	struct via_object *object = NULL;
	struct via_viommu *viommu;

	if (len % PAGE || !(flags & MAP_SHARED))
		return -EINVAL;
	if (prot & PROT_EXEC)
		return -EPERM;
	pthread_mutex_lock(&iommufd->devices_lock);
	for (viommu = iommufd->mappable; viommu; viommu = viommu->next_mappable) {
		if (viommu->mmap_offset != offset || viommu->mmap_length != len)
			continue;
		/* By its id: not while it is being made, nor any more when it is being destroyed. */
		object = via_object_get(iommufd, viommu->object.id, VIA_OBJECT_VIOMMU);
		if (object && object != &viommu->object) {
			via_object_put(object);
			object = NULL;
		}
		break;
	}
	pthread_mutex_unlock(&iommufd->devices_lock);
	if (!object)
		return -ENXIO;
	via_iommufd_get(iommufd);
	*ret_map = (struct via_mmap){
		.fd = viommu->mmap_fd,
		.len = len,
		.unmapped = unmapped,
		.owner = viommu,
	};
	return 0;
}

/* vDEVICEs ---------------------------------------------------------------------- */

struct via_vdevice *via_viommu_vdevice(struct via_viommu *viommu, uint64_t virt_id)
{
	struct via_vdevice *vdev = viommu->vdevices;

	while (vdev && vdev->virt_id != virt_id)
		vdev = vdev->next;
	return vdev;
}

/* devices_lock held. */
static void vdevice_unlink(struct via_vdevice *vdev)
{
	struct via_vdevice **link = &vdev->viommu->vdevices;

	while (*link && *link != vdev)
		link = &(*link)->next;
	if (*link)
		*link = vdev->next;
	if (vdev->idev)
		vdev->idev->vdevice = NULL;
	vdev->idev = NULL;
}

static void vdevice_free(struct via_vdevice *vdev)
{
	via_object_put(&vdev->viommu->object);
	free(vdev);
}

static void vdevice_destroy(struct via_object *object)
{
	struct via_vdevice *vdev = VIA_CONTAINER_OF(object, struct via_vdevice, object);
	struct via_iommufd *iommufd = object->iommufd;

	pthread_mutex_lock(&iommufd->devices_lock);
	vdevice_unlink(vdev);
	pthread_mutex_unlock(&iommufd->devices_lock);
	vdevice_free(vdev);
}

static const struct via_object_ops vdevice_ops = {
	.kind = VIA_OBJECT_VDEVICE,
	.destroy = vdevice_destroy,
};

void via_vdevice_orphan(struct via_idev *idev)
{
	struct via_iommufd *iommufd = idev->object.iommufd;
	struct via_vdevice *vdev;
	bool ours = false;

	pthread_mutex_lock(&iommufd->devices_lock);
	vdev = idev->vdevice;
	if (vdev) {
		/* Not ours: DESTROY has it, and will find it without a device. */
		ours = via_object_bury(&vdev->object);
		vdevice_unlink(vdev);
	}
	pthread_mutex_unlock(&iommufd->devices_lock);
	if (!ours)
		return;
	via_object_drain(&vdev->object);
	vdevice_free(vdev);
}

/* devices_lock held. */
static int vdevice_new(const struct via_iommufd_call *call, struct via_viommu *viommu,
		       struct via_idev *idev, uint64_t virt_id, uint32_t *ret_id)
{
	struct via_vdevice *vdev;
	int ret;

	if (viommu->hw_ops != idev->hw->ops)
		return -EINVAL;
	if (idev->vdevice || via_viommu_vdevice(viommu, virt_id))
		return -EEXIST;
	vdev = calloc(1, sizeof(*vdev));
	if (!vdev)
		return -ENOMEM;
	ret = via_object_reserve(viommu->object.iommufd, &vdev->object, &vdevice_ops);
	if (ret < 0) {
		free(vdev);
		return ret;
	}
	via_object_use(&viommu->object);
	vdev->viommu = viommu;
	vdev->idev = idev;
	vdev->virt_id = virt_id;
	vdev->next = viommu->vdevices;
	viommu->vdevices = vdev;
	idev->vdevice = vdev;
	*ret_id = vdev->object.id;
	via_iommufd_made(call, &vdev->object);
	return 0;
}

long via_iommufd_vdevice_alloc(const struct via_iommufd_call *call, void *args)
{
	struct via_iommu_vdevice_alloc *cmd = args;
	struct via_object *viommu, *idev;
	int ret = -ENOENT;

	viommu = via_object_get(call->iommufd, cmd->viommu_id, VIA_OBJECT_VIOMMU);
	if (!viommu)
		return -ENOENT;
	idev = via_object_get(call->iommufd, cmd->dev_id, VIA_OBJECT_DEVICE);
	if (idev) {
		pthread_mutex_lock(&call->iommufd->devices_lock);
		ret = vdevice_new(call, VIA_CONTAINER_OF(viommu, struct via_viommu, object),
				  VIA_CONTAINER_OF(idev, struct via_idev, object), cmd->virt_id,
				  &cmd->out_vdevice_id);
		pthread_mutex_unlock(&call->iommufd->devices_lock);
		via_object_put(idev);
	}
	via_object_put(viommu);
	return ret;
}
