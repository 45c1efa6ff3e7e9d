/* SPDX-License-Identifier: MIT */
#include "vfio/topology.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

int via_vfio_new(const struct via_vfio_config *config, struct via_vfio **ret_vfio)
{
	struct via_vfio *vfio = calloc(1, sizeof(*vfio));

	if (!vfio)
		return -ENOMEM;
	if (config)
		vfio->config = *config;
	vfio->iommu = vfio->config.iommu ? vfio->config.iommu : via_iommu_props_intel();
	pthread_mutex_init(&vfio->lock, NULL);
	*ret_vfio = vfio;
	return 0;
}

static void placed_free(struct via_placed *placed)
{
	via_device_free(placed->dev);
	free(placed);
}

void via_vfio_free(struct via_vfio *vfio)
{
	if (!vfio)
		return;
	for (size_t i = 0; i < vfio->n_devices; i++)
		placed_free(vfio->devices[i]);
	free(vfio->devices);
	while (vfio->groups) {
		struct via_group *group = vfio->groups;

		vfio->groups = group->next;
		free(group);
	}
	pthread_mutex_destroy(&vfio->lock);
	free(vfio);
}

/* Placing devices ---------------------------------------------------------- */

static struct via_group *group_find(const struct via_vfio *vfio, unsigned int number)
{
	for (struct via_group *g = vfio->groups; g; g = g->next) {
		if (g->number == number)
			return g;
	}
	return NULL;
}

static struct via_group *group_make(struct via_vfio *vfio, int number)
{
	struct via_group *group;
	unsigned int n = 0;

	if (number >= 0) {
		n = (unsigned int)number;
		group = group_find(vfio, n);
		if (group)
			return group;
	} else {
		while (group_find(vfio, n))
			n++;
	}
	group = calloc(1, sizeof(*group));
	if (!group)
		return NULL;
	group->vfio = vfio;
	group->number = n;
	group->next = vfio->groups;
	vfio->groups = group;
	return group;
}

/* Order in which devices are listed. */
static uint64_t addr_key(const struct via_pci_addr *addr)
{
	return (uint64_t)addr->segment << 32 | (uint64_t)addr->bus << 16 |
	       (uint64_t)addr->device << 8 | addr->function;
}

static int place(struct via_vfio *vfio, struct via_placed *placed, int group, struct via_error *err)
{
	uint64_t key = addr_key(&placed->addr);
	struct via_placed **devices;
	size_t at = 0;

	while (at < vfio->n_devices && addr_key(&vfio->devices[at]->addr) < key)
		at++;
	if (at < vfio->n_devices && addr_key(&vfio->devices[at]->addr) == key)
		return via_error_set(err, -EEXIST, "%s: another device is at this address",
				     placed->name);
	devices = reallocarray(vfio->devices, vfio->n_devices + 1, sizeof(void *));
	if (!devices)
		return via_error_set(err, -ENOMEM, "%s: out of memory", placed->name);
	vfio->devices = devices;
	placed->group = group_make(vfio, group);
	if (!placed->group)
		return via_error_set(err, -ENOMEM, "%s: out of memory", placed->name);
	/* It could not be attached to what the group's other devices already use. */
	if (placed->group->users)
		return via_error_set(err, -EBUSY, "%s: group %u is in use", placed->name,
				     placed->group->number);

	for (size_t i = vfio->n_devices++; i > at; i--)
		devices[i] = devices[i - 1];
	devices[at] = placed;
	return 0;
}

int via_vfio_add(struct via_vfio *vfio, struct via_device *dev, const struct via_pci_addr *addr,
		 int group, struct via_error *err)
{
	struct via_placed *placed = calloc(1, sizeof(*placed));
	int ret;

	if (!placed) {
		via_device_free(dev);
		return via_error_set(err, -ENOMEM, "out of memory");
	}
	placed->dev = dev;
	placed->addr = *addr;
	via_pci_addr_format(addr, placed->name);
	via_device_set_addr(dev, addr);

	pthread_mutex_lock(&vfio->lock);
	ret = place(vfio, placed, group, err);
	pthread_mutex_unlock(&vfio->lock);
	if (ret < 0)
		placed_free(placed);
	return ret;
}

struct via_device *via_vfio_device(struct via_vfio *vfio, size_t i)
{
	struct via_device *dev;

	pthread_mutex_lock(&vfio->lock);
	dev = i < vfio->n_devices ? vfio->devices[i]->dev : NULL;
	pthread_mutex_unlock(&vfio->lock);
	return dev;
}

int via_vfio_device_group(struct via_vfio *vfio, size_t i)
{
	int group;

	pthread_mutex_lock(&vfio->lock);
	group = i < vfio->n_devices ? (int)vfio->devices[i]->group->number : -1;
	pthread_mutex_unlock(&vfio->lock);
	return group;
}

/* Nodes -------------------------------------------------------------------- */

int via_vfio_open(struct via_vfio *vfio, struct via_caller *caller, const char *node, int flags,
		  struct via_file **ret_file)
{
	static const char dir[] = "vfio/";
	struct via_group *group;
	char canonical[16];
	unsigned int number;

	if (strncmp(node, dir, sizeof(dir) - 1) != 0)
		return -ENOENT;
	node += sizeof(dir) - 1;
	if (strcmp(node, "vfio") == 0)
		return via_container_open(vfio, ret_file);

	if (sscanf(node, "%u", &number) != 1)
		return -ENOENT;
	/* One name each: not "07", "+7", "7 " or a number that wrapped. */
	snprintf(canonical, sizeof(canonical), "%u", number);
	if (strcmp(node, canonical) != 0)
		return -ENOENT;
	pthread_mutex_lock(&vfio->lock);
	group = group_find(vfio, number);
	pthread_mutex_unlock(&vfio->lock);
	return group ? via_group_open(group, ret_file) : -ENOENT;
}
