/* SPDX-License-Identifier: MIT */
/*
 * /dev/vfio/N: one open file at a time. A group stays open, and in its
 * container, until its file and the files of its devices are all closed. An
 * iommufd is only remembered: it is a device's own, from its first open file on,
 * and neither keeps the group open nor is taken away with the group's.
 */
#include "vfio/backend.h"
#include "vfio/iommufd/iommufd.h"
#include "vfio/sriov.h"

#include <errno.h>
#include <stdlib.h>

/* The name in GET_DEVICE_FD may fill a page. */
#define NAME_SIZE 4096

static struct via_group *group_of(struct via_file *file)
{
	return VIA_CONTAINER_OF(file, struct via_group_file, file)->group;
}

/* -EPERM: without an IOMMU its devices are not for everybody. */
static int group_allowed(const struct via_group *group, const struct via_caller *caller)
{
	const struct via_vfio *vfio = group->vfio;

	return vfio->config.iommu_kind == VIA_IOMMU_NONE ? via_noiommu_allowed(vfio, caller) : 0;
}

static int get_status(struct via_group *group, struct via_caller *caller, uint64_t arg)
{
	struct via_vfio_group_status status;
	bool gone;
	int ret;

	ret = via_copy_in_argsz(caller, &status, arg, sizeof(status), sizeof(status));
	if (ret < 0)
		return ret;

	status.flags = 0;
	pthread_mutex_lock(&group->vfio->lock);
	ret = via_turn_wait(group->vfio, &group->turn, caller);
	if (group->container || group->iommufd)
		status.flags = VIA_VFIO_GROUP_FLAGS_CONTAINER_SET | VIA_VFIO_GROUP_FLAGS_VIABLE;
	else if (!group->n_owned)
		status.flags = VIA_VFIO_GROUP_FLAGS_VIABLE;
	gone = group->gone;
	pthread_mutex_unlock(&group->vfio->lock);
	if (ret < 0)
		return ret;
	return gone ? -ENODEV : via_copy_out(caller, arg, &status, sizeof(status));
}

/* The turn is ours, vfio->lock held; likewise for the next two. */
static int join_container(struct via_group *group, struct via_caller *caller,
			  struct via_container *container)
{
	struct via_vfio *vfio = group->vfio;
	int ret = container->vfio == vfio ? via_group_claim(group, group) : -EBADFD;

	if (ret < 0)
		return ret;
	ret = via_turn_take(vfio, &container->turn, caller);
	if (!ret) {
		ret = via_container_join(container, group);
		via_turn_end(vfio, &container->turn);
	}
	if (ret < 0)
		via_group_disclaim(group);
	return ret;
}

void via_group_leave(struct via_group *group)
{
	if (!group->container)
		return;
	via_container_leave(group->container, group);
	via_group_disclaim(group);
}

/* Nobody's DMA goes there yet. */
static int join_iommufd(struct via_group *group, struct via_iommufd *iommufd)
{
	struct via_vfio *vfio = group->vfio;
	int ret = -EBADFD;

	pthread_mutex_unlock(&vfio->lock);
	if (iommufd->vfio == vfio)
		ret = via_iommufd_container_join(iommufd,
						 vfio->config.iommu_kind == VIA_IOMMU_NONE);
	pthread_mutex_lock(&vfio->lock);
	if (!ret)
		group->iommufd = via_iommufd_get(iommufd);
	return ret;
}

static int join_file(struct via_group *group, struct via_caller *caller, struct via_file *file)
{
	struct via_iommufd *iommufd = via_iommufd_of(file);

	if (group->container || group->iommufd)
		return -EINVAL;
	if (group->gone)
		return -ENODEV;
	if (group_allowed(group, caller))
		return -EPERM;
	if (file->ops == &via_container_file_ops)
		return join_container(group, caller,
				      VIA_CONTAINER_OF(file, struct via_container, file));
	return iommufd ? join_iommufd(group, iommufd) : -EBADFD;
}

static int join(struct via_group *group, struct via_caller *caller, struct via_file *file)
{
	struct via_vfio *vfio = group->vfio;
	int ret;

	pthread_mutex_lock(&vfio->lock);
	ret = via_turn_take(vfio, &group->turn, caller);
	if (!ret) {
		ret = join_file(group, caller, file);
		via_turn_end(vfio, &group->turn);
	}
	pthread_mutex_unlock(&vfio->lock);
	return ret;
}

static bool has_container(struct via_group *group, struct via_caller *caller)
{
	bool has;

	pthread_mutex_lock(&group->vfio->lock);
	(void)via_turn_wait(group->vfio, &group->turn, caller);
	has = group->container || group->iommufd;
	pthread_mutex_unlock(&group->vfio->lock);
	return has;
}

static int set_container(struct via_group *group, struct via_caller *caller, uint64_t arg)
{
	struct via_file *file;
	int32_t fd;
	int ret;

	ret = via_copy_in(caller, &fd, arg, sizeof(fd));
	if (ret < 0)
		return ret;
	if (fd < 0)
		return -EBADF;
	ret = caller->ops->file_get(caller, fd, &file);
	/* A group that has a container says so before the kind of the file matters. */
	if (ret == -EBADFD && has_container(group, caller))
		return -EINVAL;
	if (ret < 0)
		return ret;
	ret = join(group, caller, file);
	via_file_put(file);
	return ret;
}

static int unset_container(struct via_group *group, struct via_caller *caller)
{
	struct via_vfio *vfio = group->vfio;
	struct via_iommufd *iommufd;
	int ret;

	pthread_mutex_lock(&vfio->lock);
	ret = via_turn_take(vfio, &group->turn, caller);
	if (ret < 0) {
		pthread_mutex_unlock(&vfio->lock);
		return ret;
	}
	iommufd = group->iommufd;
	group->iommufd = NULL;
	if (!group->container)
		ret = iommufd ? 0 : -EINVAL;
	else if (group->n_keeping > 1)
		ret = -EBUSY; /* beside its own file: its devices' */
	else
		via_group_leave(group);
	via_turn_end(vfio, &group->turn);
	pthread_mutex_unlock(&vfio->lock);
	via_iommufd_put(iommufd);
	return ret;
}

/*
 * Is text this device's name, and may who says so have it? 1, 0 no, or the
 * errno of an option that is wrong. The only one there is, vf_token, takes
 * effect here, whatever comes of the call.
 */
static int match(struct via_placed *placed, const char *text)
{
	static const char option[] = "vf_token=";
	const size_t option_len = sizeof(option) - 1, len = strlen(placed->name);
	uint8_t token[VIA_UUID_SIZE];
	bool given = false;
	int ret;

	if (placed->going || strncmp(text, placed->name, len) != 0)
		return 0;
	text += len;
	if (*text && *text != ' ')
		return 0;
	while (*(text += strspn(text, " "))) {
		if (given || strncmp(text, option, option_len) != 0 ||
		    !via_uuid_parse(text + option_len, token))
			return -EINVAL;
		given = true;
		text += option_len + VIA_UUID_TEXT;
	}
	ret = via_sriov_check_token(placed, given ? token : NULL);
	return ret < 0 ? ret : 1;
}

static int find_device(struct via_group *group, const char *text, struct via_placed **ret_placed)
{
	struct via_vfio *vfio = group->vfio;

	for (size_t i = 0; i < vfio->n_devices; i++) {
		struct via_placed *placed = vfio->devices[i];
		int ret = placed->group == group ? match(placed, text) : 0;

		if (ret < 0)
			return ret;
		if (ret) {
			*ret_placed = placed;
			return 0;
		}
	}
	return -ENODEV;
}

/*
 * On failure too there may be a file, to be put without the lock, and so is
 * *ret_iommufd always. vfio->lock held, but not all the time.
 */
static int open_device(struct via_group *group, struct via_caller *caller, const char *text,
		       struct via_file **ret_file, struct via_iommufd **ret_iommufd)
{
	struct via_iommufd *iommufd;
	struct via_placed *placed = NULL;
	enum via_way way;
	int ret = via_turn_wait(group->vfio, &group->turn, caller);

	if (!ret)
		ret = find_device(group, text, &placed);
	if (ret < 0)
		return ret;
	iommufd = group->iommufd;
	way = iommufd ? VIA_WAY_IOMMUFD : VIA_WAY_CONTAINER;
	if (!iommufd && (!group->container || !group->container->backend))
		return -EINVAL;
	ret = group_allowed(group, caller);
	/* Without an IOMMU there is nothing to bind; iommufd cannot lend its addresses. */
	if (ret || (iommufd && group->vfio->config.iommu_kind == VIA_IOMMU_NONE))
		return -EPERM;
	if (iommufd)
		*ret_iommufd = via_iommufd_get(iommufd);
	/* From now on the group stays in its container. */
	ret = via_device_file_new(placed, way, ret_file);
	if (!ret)
		ret = via_placed_open(placed, way, iommufd, true, caller);
	if (!ret)
		VIA_CONTAINER_OF(*ret_file, struct via_device_file, file)->ready = true;
	return ret;
}

static int get_device_fd(struct via_group *group, struct via_caller *caller, uint64_t arg)
{
	struct via_iommufd *iommufd = NULL;
	struct via_file *file = NULL;
	char *text;
	int ret;

	text = malloc(NAME_SIZE);
	if (!text)
		return -ENOMEM;
	ret = via_copy_in_string(caller, text, arg, NAME_SIZE);
	if (!ret) {
		pthread_mutex_lock(&group->vfio->lock);
		ret = open_device(group, caller, text, &file, &iommufd);
		pthread_mutex_unlock(&group->vfio->lock);
	}
	free(text);
	if (!ret)
		ret = caller->ops->file_put(caller, file, true);
	if (ret < 0)
		via_file_put(file);
	via_iommufd_put(iommufd);
	return ret;
}

static long group_ioctl(struct via_file *file, struct via_caller *caller, unsigned long cmd,
			uint64_t arg)
{
	struct via_group *group = group_of(file);

	switch (cmd) {
	case VIA_VFIO_GROUP_GET_STATUS:
		return get_status(group, caller, arg);
	case VIA_VFIO_GROUP_SET_CONTAINER:
		return set_container(group, caller, arg);
	case VIA_VFIO_GROUP_UNSET_CONTAINER:
		return unset_container(group, caller);
	case VIA_VFIO_GROUP_GET_DEVICE_FD:
		return get_device_fd(group, caller, arg);
	default:
		return -ENOTTY;
	}
}

void via_group_release(struct via_group *group, bool keeping, struct via_iommufd **ret_iommufd)
{
	/* Who waits for the turn has the group's file, and keeps it; but for a removal. */
	if (keeping && !--group->n_keeping) {
		(void)via_turn_take(group->vfio, &group->turn, NULL);
		via_group_leave(group);
		*ret_iommufd = group->iommufd;
		group->iommufd = NULL;
		via_turn_end(group->vfio, &group->turn);
	}
	if (!--group->users && group->gone)
		free(group);
}

static void group_release(struct via_file *file)
{
	struct via_group_file *gf = VIA_CONTAINER_OF(file, struct via_group_file, file);
	struct via_vfio *vfio = gf->group->vfio;
	struct via_iommufd *iommufd = NULL;

	pthread_mutex_lock(&vfio->lock);
	via_group_release(gf->group, true, &iommufd);
	pthread_mutex_unlock(&vfio->lock);
	via_iommufd_put(iommufd);
	free(gf);
}

const struct via_file_ops via_group_file_ops = {
	.kind = "group",
	.ioctl = group_ioctl,
	.release = group_release,
};

/* vfio->lock held, but not all the time. A user of the group more. */
static int open_group(struct via_group *group, struct via_caller *caller)
{
	int ret = group_allowed(group, caller);

	if (ret < 0)
		return ret;
	/* While its last user leaves its container it is not to be had, but soon. */
	group->users++;
	ret = via_turn_wait(group->vfio, &group->turn, caller);
	if (!ret && group->gone)
		ret = -ENODEV;
	if (!ret && (group->n_keeping || group->n_bound))
		ret = -EBUSY;
	if (!ret)
		group->n_keeping = 1;
	else if (!--group->users && group->gone)
		free(group);
	return ret;
}

int via_group_open(struct via_vfio *vfio, struct via_caller *caller, unsigned int number,
		   struct via_file **ret_file)
{
	struct via_group_file *gf = calloc(1, sizeof(*gf));
	struct via_group *group;
	int ret = 0;

	if (!gf)
		return -ENOMEM;
	gf->file.ops = &via_group_file_ops;
	gf->file.refs = 1;

	pthread_mutex_lock(&vfio->lock);
	group = via_group_find(vfio, number);
	if (!group)
		ret = -ENOENT;
	else
		ret = open_group(group, caller);
	pthread_mutex_unlock(&vfio->lock);
	gf->group = group;
	if (ret < 0)
		free(gf);
	else
		*ret_file = &gf->file;
	return ret;
}
