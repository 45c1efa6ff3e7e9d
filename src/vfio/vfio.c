/* SPDX-License-Identifier: MIT */
#include "iommu/dma.h"
#include "vfio/iommufd/intel.h"
#include "vfio/profile.h"
#include "vfio/sriov.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int via_vfio_new(const struct via_vfio_config *config, struct via_vfio **ret_vfio)
{
	struct via_vfio *vfio = calloc(1, sizeof(*vfio));
	pthread_condattr_t attr;

	if (!vfio)
		return -ENOMEM;
	if (config)
		vfio->config = *config;
	vfio->iommu = vfio->config.iommu ? vfio->config.iommu : via_iommu_props_intel();
	pthread_mutex_init(&vfio->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&vfio->vfs_changed, &attr);
	pthread_cond_init(&vfio->turn_ended, &attr);
	pthread_condattr_destroy(&attr);
	*ret_vfio = vfio;
	return 0;
}

void via_placed_free(struct via_placed *placed)
{
	if (!placed)
		return;
	via_device_free(placed->dev);
	via_intel_hw_free(placed->hw);
	free(placed->sriov);
	free(placed);
}

void via_vfio_free(struct via_vfio *vfio)
{
	if (!vfio)
		return;
	/* Virtual functions first. */
	for (int pass = 0; pass < 2; pass++)
		for (size_t i = 0; i < vfio->n_devices; i++)
			if (vfio->devices[i] && (pass || vfio->devices[i]->pf)) {
				via_placed_free(vfio->devices[i]);
				vfio->devices[i] = NULL;
			}
	free(vfio->devices);
	while (vfio->groups) {
		struct via_group *group = vfio->groups;

		vfio->groups = group->next;
		free(group);
	}
	pthread_cond_destroy(&vfio->turn_ended);
	pthread_cond_destroy(&vfio->vfs_changed);
	pthread_mutex_destroy(&vfio->lock);
	free(vfio);
}

/* Groups ------------------------------------------------------------------- */

struct via_group *via_group_find(const struct via_vfio *vfio, unsigned int number)
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
		group = via_group_find(vfio, n);
		if (group)
			return group;
	} else {
		while (via_group_find(vfio, n))
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

/* Its number is free again; who still has it open keeps an empty shell. Its turn is ours. */
static void group_remove(struct via_vfio *vfio, struct via_group *group)
{
	struct via_group **link = &vfio->groups;

	while (*link != group)
		link = &(*link)->next;
	*link = group->next;
	group->gone = true;
}

/* Placing devices ---------------------------------------------------------- */

/* Order in which devices are listed. */
static uint64_t addr_key(const struct via_pci_addr *addr)
{
	return (uint64_t)addr->segment << 32 | (uint64_t)addr->bus << 16 |
	       (uint64_t)addr->device << 8 | addr->function;
}

/* Is that the address of a virtual function that pf has or could have? */
static bool is_vf_addr(const struct via_placed *pf, const struct via_pci_addr *addr)
{
	struct via_pci_addr vf;

	for (unsigned int i = 0; pf->sriov && i < pf->sriov->total; i++)
		if (via_device_vf_addr(pf->dev, i, &vf) && addr_key(&vf) == addr_key(addr))
			return true;
	return false;
}

/* The device, other than a physical function of placed itself, that stands where addr is. */
static const struct via_placed *who_is_at(const struct via_vfio *vfio,
					  const struct via_placed *placed,
					  const struct via_pci_addr *addr)
{
	for (size_t i = 0; i < vfio->n_devices; i++) {
		const struct via_placed *other = vfio->devices[i];

		if (addr_key(&other->addr) == addr_key(addr) ||
		    (other != placed->pf && is_vf_addr(other, addr)))
			return other;
	}
	return NULL;
}

/* vfio->lock held. */
static int check_place(const struct via_vfio *vfio, const struct via_placed *placed,
		       struct via_error *err)
{
	const struct via_placed *other = who_is_at(vfio, placed, &placed->addr);
	const struct via_pci_sriov *sriov = via_device_sriov(placed->dev);

	if (other)
		return via_error_set(err, -EEXIST, "%s: %s is at this address", placed->name,
				     addr_key(&other->addr) == addr_key(&placed->addr)
					     ? "another device"
					     : "a virtual function of another device");
	for (unsigned int i = 0; sriov && i < sriov->total; i++) {
		struct via_pci_addr vf;

		if (!via_device_vf_addr(placed->dev, i, &vf))
			return via_error_set(err, -EINVAL,
					     "%s: virtual function %u would be behind the last bus",
					     placed->name, i);
		other = who_is_at(vfio, placed, &vf);
		if (other)
			return via_error_set(err, -EEXIST,
					     "%s: no place for virtual function %u beside %s",
					     placed->name, i, other->name);
	}
	return 0;
}

/* The lowest number that no node has. */
static unsigned int free_number(const struct via_vfio *vfio)
{
	unsigned int number = 0;

	for (size_t i = 0; i < vfio->n_devices; i++) {
		if (vfio->devices[i]->number == number) {
			number++;
			i = (size_t)-1;
		}
	}
	return number;
}

int via_placed_add(struct via_vfio *vfio, struct via_placed *placed, int group,
		   struct via_error *err)
{
	uint64_t key = addr_key(&placed->addr);
	struct via_placed **devices;
	size_t at = 0;
	int ret = check_place(vfio, placed, err);

	if (ret < 0)
		return ret;
	while (at < vfio->n_devices && addr_key(&vfio->devices[at]->addr) < key)
		at++;
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

	placed->hw = via_intel_hw_new(placed->dev,
				      via_profile_full(vfio, VIA_DIFFERS_HARDWARE));
	if (!placed->hw)
		return via_error_set(err, -ENOMEM, "%s: out of memory", placed->name);
	via_dma_set_check(via_device_dma(placed->dev), vfio->config.check);
	placed->number = free_number(vfio);
	placed->next = placed->group->devices;
	placed->group->devices = placed;
	placed->group->n_devices++;
	for (size_t i = vfio->n_devices++; i > at; i--)
		devices[i] = devices[i - 1];
	devices[at] = placed;
	return 0;
}

static void unlink_placed(struct via_vfio *vfio, struct via_placed *placed)
{
	struct via_placed **link = &placed->group->devices;
	size_t at = 0;

	while (vfio->devices[at] != placed)
		at++;
	for (vfio->n_devices--; at < vfio->n_devices; at++)
		vfio->devices[at] = vfio->devices[at + 1];
	while (*link != placed)
		link = &(*link)->next;
	*link = placed->next;
	placed->group->n_devices--;
}

void via_placed_remove(struct via_vfio *vfio, struct via_placed *placed)
{
	struct via_group *group = placed->group;

	/* Who joins or leaves with the group looks at its devices. */
	group->users++;
	(void)via_turn_take(vfio, &group->turn, NULL);
	if (group->n_devices == 1) {
		group_remove(vfio, group);
		via_group_leave(group);
	}
	/* So does who sets the container's type. */
	if (group->container)
		(void)via_turn_take(vfio, &group->container->turn, NULL);
	unlink_placed(vfio, placed);
	if (group->container)
		via_turn_end(vfio, &group->container->turn);
	placed->group = NULL;
	via_turn_end(vfio, &group->turn);
	if (!--group->users && group->gone)
		free(group);
}

int via_placed_new(struct via_device *dev, const struct via_pci_addr *addr,
		   struct via_placed **ret_placed, struct via_error *err)
{
	struct via_placed *placed = calloc(1, sizeof(*placed));
	int ret;

	if (!placed) {
		via_device_free(dev);
		(void)via_error_set(err, -ENOMEM, "out of memory");
		return -ENOMEM;
	}
	placed->dev = dev;
	placed->addr = *addr;
	via_pci_addr_format(addr, placed->name);
	via_device_set_addr(dev, addr);
	ret = via_sriov_new(placed, &placed->sriov);
	if (ret < 0) {
		via_placed_free(placed);
		(void)via_error_set(err, ret, "%s", strerror(-ret));
		return ret;
	}
	*ret_placed = placed;
	return 0;
}

int via_vfio_add(struct via_vfio *vfio, struct via_device *dev, const struct via_pci_addr *addr,
		 int group, struct via_error *err)
{
	struct via_placed *placed = NULL;
	int ret = via_placed_new(dev, addr, &placed, err);

	if (ret < 0)
		return ret;
	pthread_mutex_lock(&vfio->lock);
	ret = via_placed_add(vfio, placed, group, err);
	pthread_mutex_unlock(&vfio->lock);
	if (ret < 0)
		via_placed_free(placed);
	return ret;
}

bool via_vfio_fits(struct via_vfio *vfio, struct via_device *dev, const struct via_pci_addr *addr)
{
	struct via_placed placed = {.dev = dev, .addr = *addr};
	bool fits;

	/* Where its virtual functions would be depends on its own place. */
	via_device_set_addr(dev, addr);
	pthread_mutex_lock(&vfio->lock);
	fits = check_place(vfio, &placed, NULL) == 0;
	pthread_mutex_unlock(&vfio->lock);
	return fits;
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

int via_vfio_device_number(struct via_vfio *vfio, const struct via_device *dev)
{
	int number = -1;

	pthread_mutex_lock(&vfio->lock);
	for (size_t i = 0; i < vfio->n_devices; i++) {
		if (vfio->devices[i]->dev == dev)
			number = (int)vfio->devices[i]->number;
	}
	pthread_mutex_unlock(&vfio->lock);
	return number;
}

void via_vfio_each(struct via_vfio *vfio,
		   void (*fn)(void *cookie, struct via_device *dev, unsigned int group),
		   void *cookie)
{
	pthread_mutex_lock(&vfio->lock);
	for (size_t i = 0; i < vfio->n_devices; i++)
		fn(cookie, vfio->devices[i]->dev, vfio->devices[i]->group->number);
	pthread_mutex_unlock(&vfio->lock);
}

/* Nodes -------------------------------------------------------------------- */

/* One name each: not "07", "+7", "7 " or a number that wrapped. */
static bool node_number(const char *text, unsigned int *ret_number)
{
	char canonical[16];

	if (sscanf(text, "%u", ret_number) != 1)
		return false;
	(void)snprintf(canonical, sizeof(canonical), "%u", *ret_number);
	return strcmp(text, canonical) == 0;
}

void via_vfio_group_node(const struct via_vfio *vfio, unsigned int group,
			 char ret_node[VIA_GROUP_NODE_LEN])
{
	(void)snprintf(ret_node, VIA_GROUP_NODE_LEN, "vfio/%s%u",
		       vfio->config.iommu_kind == VIA_IOMMU_NONE ? "noiommu-" : "", group);
}

bool via_vfio_device_nodes(const struct via_vfio *vfio)
{
	return vfio->config.iommu_kind != VIA_IOMMU_NONE;
}

int via_vfio_open(struct via_vfio *vfio, struct via_caller *caller, const char *node, int flags,
		  struct via_file **ret_file)
{
	static const char dir[] = "vfio/", devices[] = "devices/vfio", noiommu[] = "noiommu-";
	unsigned int number;

	if (strcmp(node, "iommu") == 0)
		return via_iommufd_open(vfio, false, ret_file);
	if (strncmp(node, dir, sizeof(dir) - 1) != 0)
		return -ENOENT;
	node += sizeof(dir) - 1;
	if (strcmp(node, "vfio") == 0)
		return vfio->config.compat_container ? via_iommufd_open(vfio, true, ret_file)
						     : via_container_open(vfio, ret_file);
	if (via_vfio_device_nodes(vfio) && strncmp(node, devices, sizeof(devices) - 1) == 0)
		return node_number(node + sizeof(devices) - 1, &number)
			       ? via_cdev_open(vfio, number, ret_file)
			       : -ENOENT;
	/* Groups without an IOMMU say so. */
	if (vfio->config.iommu_kind == VIA_IOMMU_NONE) {
		if (strncmp(node, noiommu, sizeof(noiommu) - 1) != 0)
			return -ENOENT;
		node += sizeof(noiommu) - 1;
	}
	return node_number(node, &number) ? via_group_open(vfio, caller, number, ret_file)
					  : -ENOENT;
}

/* Enough for a program that starts anew on a slow machine, and soon over for one that is stuck. */
#define VADDR_WAIT_MS 10000u

unsigned int via_vfio_vaddr_wait(const struct via_vfio *vfio)
{
	const int32_t ms = vfio->config.vaddr_wait_ms;

	if (ms < 0 || !via_profile_full(vfio, VIA_DIFFERS_VADDR_WAIT))
		return 0;
	return ms ? (unsigned int)ms : VADDR_WAIT_MS;
}
