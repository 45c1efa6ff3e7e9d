/* SPDX-License-Identifier: MIT */
/*
 * Hot reset: the functions of a slot are reset together, by someone who holds
 * the groups of all of them, or whose iommufd does. Virtual functions belong to
 * the slot of their physical one, and a slot that has any is reset by nobody.
 */
#include "vfio/iommufd/iommufd.h"
#include "vfio/profile.h"

#include <errno.h>
#include <stdlib.h>

static const struct via_placed *physical(const struct via_placed *placed)
{
	return placed->pf ? placed->pf : placed;
}

static bool same_slot(const struct via_placed *a, const struct via_placed *b)
{
	const struct via_pci_addr *x = &physical(a)->addr, *y = &physical(b)->addr;

	return x->segment == y->segment && x->bus == y->bus && x->device == y->device;
}

/* vfio->lock held. -ENODEV where a kernel has no bridge whose bus it could reset. */
static int has_bus(const struct via_device_file *df)
{
	bool root = !via_profile_full(df->vfio, VIA_DIFFERS_HOT_RESET) &&
		    !physical(df->placed)->addr.bus;

	return root ? -ENODEV : 0;
}

/* vfio->lock held. How many there are; the first of them, as many as there is room for. */
static unsigned int find_slot(const struct via_device_file *df, struct via_placed **functions,
			      size_t room, bool *ret_virtual)
{
	const struct via_vfio *vfio = df->vfio;
	unsigned int n = 0;

	*ret_virtual = false;
	for (size_t i = 0; i < vfio->n_devices; i++) {
		if (!same_slot(vfio->devices[i], df->placed))
			continue;
		*ret_virtual |= vfio->devices[i]->pf != NULL;
		if (n < room)
			functions[n] = vfio->devices[i];
		n++;
	}
	return n;
}

/* What an entry says to who came by a node: an id of his iommufd, or one of these. */
#define OWNED 0 /* not open, but it could be by nobody else */
#define NOT_OWNED -1

/* vfio->lock held. */
static int devid(const struct via_placed *placed, const struct via_iommufd *iommufd)
{
	if (placed->idev && placed->idev->object.iommufd == iommufd)
		return (int)placed->idev->object.id;
	return placed->group->n_owned && placed->group->owner == iommufd ? OWNED : NOT_OWNED;
}

static struct via_iommufd *iommufd_of(const struct via_device_file *df)
{
	return df->way == VIA_WAY_NODE ? df->placed->idev->object.iommufd : NULL;
}

/* The entries of all functions of the slot; they are the caller's to free. */
static int list_slot(const struct via_device_file *df, uint32_t *ret_flags,
		     struct via_vfio_pci_dependent_device **ret_entries, unsigned int *ret_n)
{
	struct via_vfio *vfio = df->vfio;
	struct via_vfio_pci_dependent_device *entries;
	const struct via_iommufd *iommufd;
	struct via_placed **functions;
	uint32_t flags = 0;
	unsigned int n = 0;
	bool virtual;
	int ret;

	pthread_mutex_lock(&vfio->lock);
	ret = has_bus(df);
	iommufd = iommufd_of(df);
	if (iommufd)
		flags = VIA_VFIO_PCI_HOT_RESET_FLAG_DEV_ID |
			VIA_VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED;
	functions = calloc(vfio->n_devices, sizeof(functions[0]));
	entries = calloc(vfio->n_devices, sizeof(*entries));
	if (!ret && (!functions || !entries))
		ret = -ENOMEM;
	if (!ret)
		n = find_slot(df, functions, vfio->n_devices, &virtual);
	for (unsigned int i = 0; i < n; i++) {
		const struct via_placed *p = functions[i];

		entries[i].group_id = iommufd ? (uint32_t)devid(p, iommufd) : p->group->number;
		if (iommufd && devid(p, iommufd) == NOT_OWNED)
			flags &= ~VIA_VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED;
		entries[i].segment = p->addr.segment;
		entries[i].bus = p->addr.bus;
		entries[i].devfn = (uint8_t)(p->addr.device << 3 | p->addr.function);
	}
	pthread_mutex_unlock(&vfio->lock);
	free(functions);
	if (ret < 0) {
		free(entries);
		return ret;
	}
	*ret_flags = flags;
	*ret_entries = entries;
	*ret_n = n;
	return 0;
}

long via_device_get_hot_reset_info(struct via_device_file *df, struct via_caller *caller,
				   uint64_t arg)
{
	struct via_vfio_pci_dependent_device *entries;
	struct via_vfio_pci_hot_reset_info info;
	unsigned int n;
	size_t room;
	int ret;

	ret = via_copy_in_argsz(caller, &info, arg, sizeof(info), sizeof(info));
	if (ret < 0)
		return ret;
	room = (info.argsz - sizeof(info)) / sizeof(entries[0]);
	ret = list_slot(df, &info.flags, &entries, &n);
	if (ret < 0)
		return ret;

	info.count = n;
	if (room >= n)
		ret = via_copy_out(caller, arg + sizeof(info), entries, n * sizeof(entries[0]));
	free(entries);
	if (!ret)
		ret = via_copy_out(caller, arg, &info, sizeof(info));
	return ret < 0 || room >= n ? ret : -ENOSPC;
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

static void resetting(struct via_placed *const *functions, unsigned int n, bool begins)
{
	for (unsigned int i = 0; i < n; i++)
		via_iommu_hw_reset(functions[i]->hw, functions[i]->idev, begins);
}

struct slot {
	unsigned int n;
	struct via_placed *functions[VIA_SLOT_FUNCTIONS];
};

/* vfio->lock held. -EINVAL: the slot cannot be reset by who has these files. */
static int check_slot(const struct via_device_file *df, struct via_file *const *files,
		      unsigned int n, struct slot *slot)
{
	bool virtual;

	slot->n = find_slot(df, slot->functions, VIA_SLOT_FUNCTIONS, &virtual);
	if (virtual || slot->n > VIA_SLOT_FUNCTIONS)
		return -EINVAL;
	for (unsigned int i = 0; i < slot->n; i++) {
		const struct via_placed *p = slot->functions[i];
		bool mine = iommufd_of(df) ? devid(p, iommufd_of(df)) != NOT_OWNED
					   : covered(p, files, n);

		if (!mine)
			return -EINVAL;
	}
	return 0;
}

/* All of their turns, or none of them: nobody waits with one for another. vfio->lock held. */
static int take_turns(struct via_device_file *df, struct via_caller *caller,
		      struct via_file *const *files, unsigned int n, struct slot *slot)
{
	struct via_turn *taken;

	do {
		int ret = check_slot(df, files, n, slot);

		taken = NULL;
		for (unsigned int i = 0; i < slot->n && !ret && !taken; i++)
			if (slot->functions[i]->turn.taken)
				taken = &slot->functions[i]->turn;
		/* Functions that are there before virtual ones are made, always are. */
		if (taken)
			ret = via_turn_wait(df->vfio, taken, caller);
		if (ret < 0)
			return ret;
	} while (taken);
	for (unsigned int i = 0; i < slot->n; i++)
		(void)via_turn_take(df->vfio, &slot->functions[i]->turn, caller);
	return 0;
}

/*
 * Every function that is open is reset. One that is not gets a reset when it
 * is opened, before anybody can look at it. The turns are ours: nothing is opened or closed.
 */
static void reset_functions(const struct slot *slot)
{
	struct via_device *open[VIA_SLOT_FUNCTIONS];
	unsigned int n_open = 0;

	for (unsigned int i = 0; i < slot->n; i++) {
		if (slot->functions[i]->n_open)
			open[n_open++] = slot->functions[i]->dev;
	}
	resetting(slot->functions, slot->n, true);
	for (unsigned int i = 0; i < n_open; i++)
		via_device_begin(open[i]);
	via_devices_bus_reset(open, n_open);
	for (unsigned int i = 0; i < n_open; i++)
		via_device_end(open[i]);
	resetting(slot->functions, slot->n, false);
}

static int reset_slot(struct via_device_file *df, struct via_caller *caller,
		      struct via_file *const *files, unsigned int n)
{
	struct via_vfio *vfio = df->vfio;
	struct slot slot;
	int ret;

	pthread_mutex_lock(&vfio->lock);
	ret = take_turns(df, caller, files, n, &slot);
	if (!ret) {
		pthread_mutex_unlock(&vfio->lock);
		reset_functions(&slot);
		pthread_mutex_lock(&vfio->lock);
		for (unsigned int i = 0; i < slot.n; i++)
			via_turn_end(vfio, &slot.functions[i]->turn);
	}
	pthread_mutex_unlock(&vfio->lock);
	return ret;
}

long via_device_hot_reset(struct via_device_file *df, struct via_caller *caller, uint64_t arg)
{
	struct via_vfio_pci_hot_reset reset;
	struct via_file *files[VIA_SLOT_FUNCTIONS];
	unsigned int n_functions;
	int32_t fds[VIA_SLOT_FUNCTIONS];
	bool virtual;
	int ret;

	ret = via_copy_in_argsz(caller, &reset, arg, sizeof(reset), sizeof(reset));
	if (ret < 0)
		return ret;
	/* Who came by a node owns by his iommufd, and has no groups to show. */
	if (reset.flags || !reset.count != (df->way == VIA_WAY_NODE))
		return -EINVAL;
	pthread_mutex_lock(&df->vfio->lock);
	ret = has_bus(df);
	n_functions = find_slot(df, NULL, 0, &virtual);
	pthread_mutex_unlock(&df->vfio->lock);
	if (ret < 0)
		return ret;
	if (reset.count > n_functions || reset.count > VIA_SLOT_FUNCTIONS)
		return -EINVAL;
	ret = via_copy_in(caller, fds, arg + sizeof(reset), reset.count * sizeof(fds[0]));
	if (ret < 0)
		return ret;
	ret = get_groups(caller, fds, reset.count, files);
	if (ret < 0)
		return ret;

	ret = reset_slot(df, caller, files, reset.count);
	for (unsigned int i = 0; i < reset.count; i++)
		via_file_put(files[i]);
	return ret;
}
