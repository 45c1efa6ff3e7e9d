/* SPDX-License-Identifier: MIT */
/* Devices of a context and their groups (spec iommu.md 2.10.1). */
#include "vfio/iommufd/attach.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

/* Entries of a group's first array, and the most: a device may have a million PASIDs. */
#define FIRST_ROOM 4u
#define ROOM_MAX 4096u

/* Attachments -------------------------------------------------------------- */

/* Where the entry of pasid is, or would be. */
static size_t place_of(const struct via_iommufd_group *group, uint32_t pasid)
{
	size_t low = 0, high = group->n_attachments;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (group->attachments[middle].pasid < pasid)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct via_attachment *via_attachment_find(const struct via_iommufd_group *group, uint32_t pasid)
{
	size_t at = place_of(group, pasid);

	if (at == group->n_attachments || group->attachments[at].pasid != pasid)
		return NULL;
	return &group->attachments[at];
}

struct via_hwpt *via_attachment_hwpt(const struct via_iommufd_group *group, uint32_t pasid)
{
	const struct via_attachment *attachment = via_attachment_find(group, pasid);

	return attachment ? attachment->hwpt : NULL;
}

bool via_attachment_has(const struct via_attachment *attachment, const struct via_idev *idev)
{
	for (size_t i = 0; attachment && i < attachment->n_devices; i++) {
		if (attachment->devices[i] == idev)
			return true;
	}
	return false;
}

/* An entry without devices. What via_attachment_find() gave before is no longer valid. */
struct via_attachment *via_attachment_add(struct via_iommufd_group *group, uint32_t pasid)
{
	struct via_attachment *list = group->attachments;
	size_t at = place_of(group, pasid);

	if (group->n_attachments == ROOM_MAX)
		return NULL;
	if (group->n_attachments == group->room) {
		size_t room = group->room ? 2 * group->room : FIRST_ROOM;

		list = reallocarray(list, room, sizeof(*list));
		if (!list)
			return NULL;
		group->attachments = list;
		group->room = room;
	}
	memmove(list + at + 1, list + at, (group->n_attachments - at) * sizeof(*list));
	group->n_attachments++;
	list[at] = (struct via_attachment){.pasid = pasid};
	return &list[at];
}

void via_attachment_drop(struct via_iommufd_group *group, struct via_attachment *attachment)
{
	size_t at = (size_t)(attachment - group->attachments);

	free(attachment->devices);
	group->n_attachments--;
	memmove(attachment, attachment + 1, (group->n_attachments - at) * sizeof(*attachment));
}

int via_idev_set_hardware(struct via_idev *idev, uint32_t pasid, struct via_hwpt *hwpt)
{
	return idev->hw->ops->attach ? idev->hw->ops->attach(idev->hw, pasid, hwpt) : -EOPNOTSUPP;
}

/* Groups ------------------------------------------------------------------- */

static struct via_iommufd_group *group_get(struct via_iommufd *iommufd, const void *id)
{
	struct via_iommufd_group *group = iommufd->groups;

	while (group && group->id != id)
		group = group->next;
	if (!group) {
		group = calloc(1, sizeof(*group));
		if (!group)
			return NULL;
		group->id = id;
		group->next = iommufd->groups;
		iommufd->groups = group;
	}
	group->refs++;
	return group;
}

static void group_put(struct via_iommufd *iommufd, struct via_iommufd_group *group)
{
	struct via_iommufd_group **link = &iommufd->groups;

	if (--group->refs)
		return;
	while (*link != group)
		link = &(*link)->next;
	*link = group->next;
	free(group->attachments);
	free(group);
}

/* Bind --------------------------------------------------------------------- */

/* The owner of the hardware unbinds it; programs find it in use always. */
static const struct via_object_ops idev_ops = {.kind = VIA_OBJECT_DEVICE};

/* What the group reaches already, a new device of it reaches too. devices_lock held. */
static int enter_group(struct via_idev *idev)
{
	struct via_iommufd_group *group = idev->group;

	for (size_t i = 0; i < group->n_attachments; i++) {
		int ret = via_idev_set_hardware(idev, group->attachments[i].pasid,
						group->attachments[i].hwpt);

		if (ret < 0) {
			while (i-- > 0)
				(void)via_idev_set_hardware(idev, group->attachments[i].pasid,
							    NULL);
			return ret;
		}
	}
	idev->next = group->devices;
	group->devices = idev;
	return 0;
}

static void leave_group(struct via_idev *idev)
{
	struct via_iommufd_group *group = idev->group;
	struct via_idev **link = &group->devices;

	for (size_t i = 0; i < group->n_attachments; i++)
		(void)via_idev_set_hardware(idev, group->attachments[i].pasid, NULL);
	while (*link != idev)
		link = &(*link)->next;
	*link = idev->next;
}

int via_idev_bind(struct via_iommufd *iommufd, struct via_iommu_hw *hw, struct via_idev **ret_idev)
{
	struct via_idev *idev;
	int ret;

	if (!hw->isolated_msi)
		return -EPERM;
	idev = calloc(1, sizeof(*idev));
	if (!idev)
		return -ENOMEM;
	ret = via_object_reserve(iommufd, &idev->object, &idev_ops);
	if (ret < 0) {
		free(idev);
		return ret;
	}
	idev->hw = hw;
	pthread_mutex_lock(&iommufd->devices_lock);
	idev->group = group_get(iommufd, hw->group);
	ret = idev->group ? enter_group(idev) : -ENOMEM;
	if (ret < 0 && idev->group)
		group_put(iommufd, idev->group);
	if (!ret)
		hw->idev = idev;
	pthread_mutex_unlock(&iommufd->devices_lock);
	if (ret < 0) {
		via_object_abort(&idev->object);
		free(idev);
		return ret;
	}
	if (!hw->inside)
		(void)via_iommufd_get(iommufd);
	via_object_use(&idev->object);
	/* First: whoever finds the object may look there. */
	*ret_idev = idev;
	via_object_finish(&idev->object);
	return 0;
}

/* Out of the table, as soon as no call of another thread has it in hand. */
static void forget(struct via_idev *idev)
{
	static const struct timespec pause = {.tv_nsec = 100000};

	while (via_object_remove(&idev->object, 1) == -EBUSY)
		(void)nanosleep(&pause, NULL);
}

void via_idev_unbind(struct via_idev *idev)
{
	struct via_iommufd *iommufd = idev->object.iommufd;
	bool inside = idev->hw->inside, more;

	via_vdevice_orphan(idev);
	do {
		struct via_hwpt *dead;

		pthread_mutex_lock(&iommufd->devices_lock);
		dead = via_idev_leave_any(idev, &more);
		pthread_mutex_unlock(&iommufd->devices_lock);
		if (dead)
			via_hwpt_free(dead);
	} while (more);

	/* A vDEVICE that another thread was making meanwhile is there by now. */
	forget(idev);
	via_vdevice_orphan(idev);
	pthread_mutex_lock(&iommufd->devices_lock);
	leave_group(idev);
	group_put(iommufd, idev->group);
	idev->hw->idev = NULL;
	pthread_mutex_unlock(&iommufd->devices_lock);
	free(idev);
	if (!inside)
		via_iommufd_put(iommufd);
}
