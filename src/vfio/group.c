/* SPDX-License-Identifier: MIT */
/*
 * /dev/vfio/N: one open file at a time. A group stays open, and in its
 * container, until its file and the files of its devices are all closed.
 */
#include "vfio/sriov.h"

#include <errno.h>
#include <stdlib.h>

/* The name in GET_DEVICE_FD may fill a page. */
#define NAME_SIZE 4096

static struct via_group *group_of(struct via_file *file)
{
	return VIA_CONTAINER_OF(file, struct via_group_file, file)->group;
}

static int get_status(struct via_group *group, struct via_caller *caller, uint64_t arg)
{
	struct via_vfio_group_status status;
	bool gone;
	int ret;

	ret = via_copy_in_argsz(caller, &status, arg, sizeof(status), sizeof(status));
	if (ret < 0)
		return ret;

	status.flags = VIA_VFIO_GROUP_FLAGS_VIABLE;
	pthread_mutex_lock(&group->vfio->lock);
	if (group->container)
		status.flags |= VIA_VFIO_GROUP_FLAGS_CONTAINER_SET;
	gone = group->gone;
	pthread_mutex_unlock(&group->vfio->lock);
	return gone ? -ENODEV : via_copy_out(caller, arg, &status, sizeof(status));
}

static int join(struct via_group *group, struct via_file *file)
{
	struct via_container *container;
	int ret;

	pthread_mutex_lock(&group->vfio->lock);
	if (group->container) {
		ret = -EINVAL;
	} else if (group->gone) {
		ret = -ENODEV;
	} else if (file->ops != &via_container_file_ops) {
		ret = -EBADFD;
	} else {
		container = VIA_CONTAINER_OF(file, struct via_container, file);
		ret = container->vfio == group->vfio ? via_container_join(container, group)
						     : -EBADFD;
	}
	pthread_mutex_unlock(&group->vfio->lock);
	return ret;
}

static bool has_container(struct via_group *group)
{
	bool has;

	pthread_mutex_lock(&group->vfio->lock);
	has = group->container;
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
	if (ret == -EBADFD && has_container(group))
		return -EINVAL;
	if (ret < 0)
		return ret;
	ret = join(group, file);
	via_file_put(file);
	return ret;
}

static int unset_container(struct via_group *group)
{
	int ret = 0;

	pthread_mutex_lock(&group->vfio->lock);
	if (!group->container)
		ret = -EINVAL;
	else if (group->n_open)
		ret = -EBUSY;
	else
		via_container_leave(group->container, group);
	pthread_mutex_unlock(&group->vfio->lock);
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

static int open_device(struct via_group *group, const char *text, struct via_file **ret_file)
{
	struct via_placed *placed;
	int ret;

	ret = find_device(group, text, &placed);
	if (ret < 0)
		return ret;
	if (!group->container || !group->container->backend)
		return -EINVAL;
	ret = via_device_file_new(placed, ret_file);
	if (ret < 0)
		return ret;
	group->users++;
	group->n_open++;
	return 0;
}

static int get_device_fd(struct via_group *group, struct via_caller *caller, uint64_t arg)
{
	struct via_file *file = NULL;
	char *text;
	int ret;

	text = malloc(NAME_SIZE);
	if (!text)
		return -ENOMEM;
	ret = via_copy_in_string(caller, text, arg, NAME_SIZE);
	if (!ret) {
		pthread_mutex_lock(&group->vfio->lock);
		ret = open_device(group, text, &file);
		pthread_mutex_unlock(&group->vfio->lock);
	}
	free(text);
	if (ret < 0)
		return ret;

	ret = caller->ops->file_put(caller, file, true);
	if (ret < 0)
		via_file_put(file);
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
		return unset_container(group);
	case VIA_VFIO_GROUP_GET_DEVICE_FD:
		return get_device_fd(group, caller, arg);
	default:
		return -ENOTTY;
	}
}

void via_group_release(struct via_group *group)
{
	if (--group->users)
		return;
	if (group->container)
		via_container_leave(group->container, group);
	if (group->gone)
		free(group);
}

static void group_release(struct via_file *file)
{
	struct via_group_file *gf = VIA_CONTAINER_OF(file, struct via_group_file, file);
	struct via_vfio *vfio = gf->group->vfio;

	pthread_mutex_lock(&vfio->lock);
	via_group_release(gf->group);
	pthread_mutex_unlock(&vfio->lock);
	free(gf);
}

const struct via_file_ops via_group_file_ops = {
	.kind = "group",
	.ioctl = group_ioctl,
	.release = group_release,
};

int via_group_open(struct via_vfio *vfio, unsigned int number, struct via_file **ret_file)
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
	else if (group->users)
		ret = -EBUSY;
	else
		group->users = 1;
	pthread_mutex_unlock(&vfio->lock);
	gf->group = group;
	if (ret < 0)
		free(gf);
	else
		*ret_file = &gf->file;
	return ret;
}
