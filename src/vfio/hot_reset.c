/* SPDX-License-Identifier: MIT */
/*
 * Hot reset: the functions of a slot are reset together, by someone who holds
 * the groups of all of them.
 */
#include "vfio/topology.h"

#include <errno.h>
#include <stdlib.h>

struct slot {
	struct via_placed *functions[VIA_SLOT_FUNCTIONS];
	unsigned int n;
};

/* vfio->lock held. -ENODEV where a kernel has no bridge whose bus it could reset. */
static int find_slot(const struct via_device_file *df, struct slot *ret_slot)
{
	const struct via_vfio *vfio = df->vfio;
	const struct via_pci_addr *addr = &df->placed->addr;

	ret_slot->n = 0;
	if (vfio->config.profile == VIA_PROFILE_LINUX && !addr->bus)
		return -ENODEV;
	for (size_t i = 0; i < vfio->n_devices; i++) {
		const struct via_pci_addr *a = &vfio->devices[i]->addr;

		if (a->segment == addr->segment && a->bus == addr->bus &&
		    a->device == addr->device && ret_slot->n < VIA_SLOT_FUNCTIONS)
			ret_slot->functions[ret_slot->n++] = vfio->devices[i];
	}
	return 0;
}

long via_device_get_hot_reset_info(struct via_device_file *df, struct via_caller *caller,
				   uint64_t arg)
{
	struct via_vfio_pci_dependent_device entries[VIA_SLOT_FUNCTIONS];
	struct via_vfio_pci_hot_reset_info info;
	struct slot slot;
	size_t room;
	int ret;

	ret = via_copy_in_argsz(caller, &info, arg, sizeof(info), sizeof(info));
	if (ret < 0)
		return ret;
	room = (info.argsz - sizeof(info)) / sizeof(entries[0]);

	memset(entries, 0, sizeof(entries));
	pthread_mutex_lock(&df->vfio->lock);
	ret = find_slot(df, &slot);
	for (unsigned int i = 0; i < slot.n; i++) {
		const struct via_placed *p = slot.functions[i];

		entries[i].group_id = p->group->number;
		entries[i].segment = p->addr.segment;
		entries[i].bus = p->addr.bus;
		entries[i].devfn = (uint8_t)(p->addr.device << 3 | p->addr.function);
	}
	pthread_mutex_unlock(&df->vfio->lock);
	if (ret < 0)
		return ret;

	info.flags = 0;
	info.count = slot.n;
	if (room >= slot.n)
		ret = via_copy_out(caller, arg + sizeof(info), entries,
				   slot.n * sizeof(entries[0]));
	if (!ret)
		ret = via_copy_out(caller, arg, &info, sizeof(info));
	return ret < 0 || room >= slot.n ? ret : -ENOSPC;
}

/* The group files behind the caller's descriptors; the references are the caller's. */
static int get_groups(struct via_caller *caller, const int32_t *fds, unsigned int n,
		      struct via_file **files)
{
	unsigned int i;
	int ret = 0;

	for (i = 0; i < n && !ret; i++) {
		ret = fds[i] < 0 ? -EBADF : caller->ops->file_get(caller, fds[i], &files[i]);
		if (ret == -EBADFD)
			ret = -EINVAL;
		if (ret < 0)
			break;
		if (files[i]->ops != &via_group_file_ops)
			ret = -EINVAL;
	}
	if (ret < 0) {
		while (i-- > 0)
			via_file_put(files[i]);
	}
	return ret;
}

static bool covered(const struct via_placed *placed, struct via_file *const *files, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		if (VIA_CONTAINER_OF(files[i], struct via_group_file, file)->group == placed->group)
			return true;
	}
	return false;
}

/*
 * Every function that is open is reset. One that is not gets a reset when it
 * is opened, before anybody can look at it.
 */
static int reset_slot(struct via_device_file *df, struct via_file *const *files, unsigned int n)
{
	struct via_device *open[VIA_SLOT_FUNCTIONS];
	unsigned int n_open = 0;
	struct slot slot;
	int ret;

	pthread_mutex_lock(&df->vfio->lock);
	ret = find_slot(df, &slot);
	for (unsigned int i = 0; i < slot.n && !ret; i++) {
		if (!covered(slot.functions[i], files, n))
			ret = -EINVAL;
	}
	for (unsigned int i = 0; i < slot.n; i++) {
		if (slot.functions[i]->n_open)
			open[n_open++] = slot.functions[i]->dev;
	}
	if (!ret)
		via_devices_bus_reset(open, n_open);
	pthread_mutex_unlock(&df->vfio->lock);
	return ret;
}

long via_device_hot_reset(struct via_device_file *df, struct via_caller *caller, uint64_t arg)
{
	struct via_vfio_pci_hot_reset reset;
	struct via_file *files[VIA_SLOT_FUNCTIONS];
	int32_t fds[VIA_SLOT_FUNCTIONS];
	struct slot slot;
	int ret;

	ret = via_copy_in_argsz(caller, &reset, arg, sizeof(reset), sizeof(reset));
	if (ret < 0)
		return ret;
	if (reset.flags || !reset.count)
		return -EINVAL;
	pthread_mutex_lock(&df->vfio->lock);
	ret = find_slot(df, &slot);
	pthread_mutex_unlock(&df->vfio->lock);
	if (ret < 0)
		return ret;
	if (reset.count > slot.n)
		return -EINVAL;
	ret = via_copy_in(caller, fds, arg + sizeof(reset), reset.count * sizeof(fds[0]));
	if (ret < 0)
		return ret;
	ret = get_groups(caller, fds, reset.count, files);
	if (ret < 0)
		return ret;

	ret = reset_slot(df, files, reset.count);
	for (unsigned int i = 0; i < reset.count; i++)
		via_file_put(files[i]);
	return ret;
}
