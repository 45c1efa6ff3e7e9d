/* SPDX-License-Identifier: MIT */
/* Two groups in one container and in two; a group of two devices. */
#include "calls.h"

static void map(const struct door *door, int container, uint64_t iova)
{
	CALL(door, container, IOMMU_MAP_DMA, 32, 3, U64(BUFFER), U64(iova), U64(PAGE));
}

static void unmap(const struct door *door, int container, uint32_t flags, uint64_t iova)
{
	CALL(door, container, IOMMU_UNMAP_DMA, 24, flags, U64(iova), U64(PAGE));
}

static void set_type(const struct door *door, int container)
{
	call_value(door, container, "SET_IOMMU", VIA_VFIO_SET_IOMMU, 3);
}

static void open_all(const struct door *door, const struct pair *pair)
{
	call_open(door, "vfio/vfio", FD_CONTAINER);
	call_open(door, "vfio/vfio", FD_CONTAINER2);
	call_open(door, pair->one.node, FD_GROUP);
	call_open(door, pair->two.node, FD_GROUP2);
}

static void one_container(const struct door *door, const struct pair *pair)
{
	section("two groups, one container");
	open_all(door, pair);
	CALL(door, FD_GROUP, GROUP_SET_CONTAINER, FD_CONTAINER);
	CALL(door, FD_GROUP2, GROUP_SET_CONTAINER, FD_CONTAINER);
	set_type(door, FD_CONTAINER);
	map(door, FD_CONTAINER, 0);
	call_device_fd(door, FD_GROUP, pair->two.name, FD_DEVICE);
	call_device_fd(door, FD_GROUP2, pair->one.name, FD_DEVICE);
	call_device_fd(door, FD_GROUP, pair->one.name, FD_DEVICE);
	call_device_fd(door, FD_GROUP2, pair->two.name, FD_DEVICE2);
	call_device_fd(door, FD_GROUP2, pair->neighbour, FD_DEVICE3);
	CALL(door, FD_GROUP, GROUP_UNSET_CONTAINER, 0);
	call_close(door, FD_DEVICE);
	CALL(door, FD_GROUP, GROUP_UNSET_CONTAINER, 0);
	/* What one group leaves behind, the other still has. */
	map(door, FD_CONTAINER, 0);
	set_type(door, FD_CONTAINER);
	CALL(door, FD_GROUP, GROUP_SET_CONTAINER, FD_CONTAINER2);
	map(door, FD_CONTAINER2, 0);
	set_type(door, FD_CONTAINER2);
	map(door, FD_CONTAINER2, 0);
	call_close(door, FD_DEVICE2);
	CALL(door, FD_GROUP2, GROUP_UNSET_CONTAINER, 0);
	call_close(door, FD_DEVICE3);
	CALL(door, FD_GROUP2, GROUP_UNSET_CONTAINER, 0);
	map(door, FD_CONTAINER, 0);
	/* Into the other's container, which has a type and mappings. */
	CALL(door, FD_GROUP2, GROUP_SET_CONTAINER, FD_CONTAINER2);
	map(door, FD_CONTAINER2, 0);
	call_device_fd(door, FD_GROUP2, pair->two.name, FD_DEVICE2);
	unmap(door, FD_CONTAINER2, 0, 0);
	call_close(door, FD_CONTAINER2);
	call_close(door, FD_GROUP2);
	call_open(door, pair->two.node, FD_GROUP2);
	call_close(door, FD_DEVICE2);
	call_open(door, pair->two.node, FD_GROUP2);
	CALL(door, FD_GROUP2, GROUP_GET_STATUS, 8, 0);
	CALL(door, FD_GROUP, GROUP_GET_STATUS, 8, 0);
	call_close(door, FD_GROUP2);
	call_close(door, FD_GROUP);
	call_close(door, FD_CONTAINER);
}

static void suspended(const struct door *door, const struct pair *pair)
{
	section("joining while an address is suspended");
	open_all(door, pair);
	CALL(door, FD_GROUP, GROUP_SET_CONTAINER, FD_CONTAINER);
	set_type(door, FD_CONTAINER);
	map(door, FD_CONTAINER, 0);
	unmap(door, FD_CONTAINER, VIA_VFIO_DMA_UNMAP_FLAG_VADDR, 0);
	CALL(door, FD_GROUP2, GROUP_SET_CONTAINER, FD_CONTAINER);
	CALL(door, FD_GROUP2, GROUP_UNSET_CONTAINER, 0);
	CALL(door, FD_GROUP2, GROUP_SET_CONTAINER, FD_CONTAINER2);
	CALL(door, FD_GROUP2, GROUP_UNSET_CONTAINER, 0);
	unmap(door, FD_CONTAINER, 0, 0);
	CALL(door, FD_GROUP2, GROUP_SET_CONTAINER, FD_CONTAINER);
	/* Leaving in the other order, by closing. */
	map(door, FD_CONTAINER, 0);
	call_close(door, FD_GROUP);
	map(door, FD_CONTAINER, 0);
	call_close(door, FD_GROUP2);
	map(door, FD_CONTAINER, 0);
	call_close(door, FD_CONTAINER2);
	call_close(door, FD_CONTAINER);
}

static void group_of_two(const struct door *door, const struct pair *pair)
{
	section("a group of two devices");
	open_all(door, pair);
	CALL(door, FD_GROUP2, GROUP_SET_CONTAINER, FD_CONTAINER);
	set_type(door, FD_CONTAINER);
	call_device_fd(door, FD_GROUP2, pair->two.name, FD_DEVICE2);
	call_device_fd(door, FD_GROUP2, pair->neighbour, FD_DEVICE3);
	CALL(door, FD_DEVICE2, DEVICE_GET_PCI_HOT_RESET_INFO, 12, 0, 0);
	CALL(door, FD_DEVICE2, DEVICE_PCI_HOT_RESET, 16, 0, 1, FD_GROUP2);
	call_close(door, FD_GROUP2);
	call_open(door, pair->two.node, FD_GROUP2);
	call_close(door, FD_DEVICE2);
	call_open(door, pair->two.node, FD_GROUP2);
	map(door, FD_CONTAINER, 0);
	call_close(door, FD_DEVICE3);
	map(door, FD_CONTAINER, 0);
	call_open(door, pair->two.node, FD_GROUP2);
	call_close(door, FD_GROUP2);
	call_close(door, FD_GROUP);
	call_close(door, FD_CONTAINER2);
	call_close(door, FD_CONTAINER);
}

void pair_calls(const struct door *door, const struct pair *pair)
{
	arena_make();
	events_make();
	one_container(door, pair);
	suspended(door, pair);
	group_of_two(door, pair);
}
