/* SPDX-License-Identifier: MIT */
/* Containers and groups: state machines, names, descriptors of other kinds. */
#include "calls.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static const unsigned int container_known[] = {VIA_VFIO_GET_API_VERSION, VIA_VFIO_CHECK_EXTENSION,
					       VIA_VFIO_SET_IOMMU, 0};
static const unsigned int group_known[] = {VIA_VFIO_GROUP_GET_STATUS, VIA_VFIO_GROUP_SET_CONTAINER,
					   VIA_VFIO_GROUP_UNSET_CONTAINER,
					   VIA_VFIO_GROUP_GET_DEVICE_FD, 0};

/* What every state of a container answers in its own way. */
static void container_probe(const struct door *door, int fd)
{
	static const uintptr_t extensions[] = {
		0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 64, 99, 0x100000001ul, ~(uintptr_t)0};

	call_value(door, fd, "GET_API_VERSION", VIA_VFIO_GET_API_VERSION, 0);
	call_value(door, fd, "GET_API_VERSION", VIA_VFIO_GET_API_VERSION, ~(uintptr_t)0);
	for (size_t i = 0; i < sizeof(extensions) / sizeof(extensions[0]); i++)
		call_value(door, fd, "CHECK_EXTENSION", VIA_VFIO_CHECK_EXTENSION, extensions[i]);
	call_unknown(door, fd, container_known);
	call_read(door, fd, 0, 0, 4, BUFFER);
	call_read(door, fd, 0, 0, 0, BUFFER);
	call_write(door, fd, 0, 0, 4, 0, BUFFER);
	call_mmap(door, fd, 0, 0, PAGE, PROT_READ, MAP_SHARED);
}

static void set_iommu(const struct door *door, int fd, uintptr_t type)
{
	call_value(door, fd, "SET_IOMMU", VIA_VFIO_SET_IOMMU, type);
}

void container_calls(const struct door *door, const struct subject *subject)
{
	static const uintptr_t bad[] = {0, 2, 4, 5, 6, 7, 8, 9, 10, 11, 99, ~(uintptr_t)0};

	section("container without a group");
	call_open(door, "vfio/vfio", FD_CONTAINER);
	container_probe(door, FD_CONTAINER);
	set_iommu(door, FD_CONTAINER, 1);
	set_iommu(door, FD_CONTAINER, 3);
	set_iommu(door, FD_CONTAINER, 99);

	section("container with a group");
	call_open(door, subject->node, FD_GROUP);
	CALL(door, FD_GROUP, GROUP_SET_CONTAINER, FD_CONTAINER);
	container_probe(door, FD_CONTAINER);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		set_iommu(door, FD_CONTAINER, bad[i]);

	section("container with a type");
	set_iommu(door, FD_CONTAINER, 3);
	set_iommu(door, FD_CONTAINER, 3);
	set_iommu(door, FD_CONTAINER, 1);
	set_iommu(door, FD_CONTAINER, 99);
	container_probe(door, FD_CONTAINER);

	section("container back at its start");
	CALL(door, FD_GROUP, GROUP_UNSET_CONTAINER, 0);
	set_iommu(door, FD_CONTAINER, 3);
	call_value(door, FD_CONTAINER, "CHECK_EXTENSION", VIA_VFIO_CHECK_EXTENSION, 10);
	call_value(door, FD_CONTAINER, "IOMMU_GET_INFO", VIA_VFIO_IOMMU_GET_INFO, 0);
	CALL(door, FD_GROUP, GROUP_SET_CONTAINER, FD_CONTAINER);
	set_iommu(door, FD_CONTAINER, 1);
	container_probe(door, FD_CONTAINER);
	call_close(door, FD_GROUP);
	set_iommu(door, FD_CONTAINER, 3);
	call_close(door, FD_CONTAINER);
}

static void set_container(const struct door *door)
{
	call_faults(door, FD_GROUP, "GROUP_SET_CONTAINER", VIA_VFIO_GROUP_SET_CONTAINER, 1,
		    (uint32_t[]){(uint32_t)-1});
	CALL(door, FD_GROUP, GROUP_SET_CONTAINER, (uint32_t)-1);
	CALL(door, FD_GROUP, GROUP_SET_CONTAINER, (uint32_t)-2);
	CALL(door, FD_GROUP, GROUP_SET_CONTAINER, FD_CLOSED);
	CALL(door, FD_GROUP, GROUP_SET_CONTAINER, 0x7fffffff);
	CALL(door, FD_GROUP, GROUP_SET_CONTAINER, FD_PIPE);
	CALL(door, FD_GROUP, GROUP_SET_CONTAINER, FD_EVENT);
	CALL(door, FD_GROUP, GROUP_SET_CONTAINER, FD_GROUP);
}

static void names(const struct door *door, const struct subject *subject)
{
	static const char *const tails[] = {"",
					    "x",
					    "0",
					    "\n",
					    ".",
					    " x",
					    " vf_token",
					    " vf_token=",
					    " vf_token=1",
					    " vf_token=12345678-1234-1234-1234-123456789abc",
					    " vf_token=12345678-1234-1234-1234-123456789abz",
					    " unknown=1"};
	static const char *const others[] = {"",
					     " ",
					     "0",
					     "0000",
					     "0000:00",
					     "00:03.0",
					     "0000:00:1f.7",
					     "0001:00:03.0",
					     "vfio-pci",
					     "noiommu"};
	char *text = malloc(2 * PAGE);

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		call_device_fd(door, FD_GROUP, others[i], FD_DEVICE);
	snprintf(text, PAGE, " %s", subject->name);
	call_device_fd(door, FD_GROUP, text, FD_DEVICE);
	for (size_t i = 1; i < sizeof(tails) / sizeof(tails[0]); i++) {
		snprintf(text, PAGE, "%s%s", subject->name, tails[i]);
		call_device_fd(door, FD_GROUP, text, FD_DEVICE);
	}
	strcpy(text, subject->name);
	text[strlen(text) - 1] = '\0';
	call_device_fd(door, FD_GROUP, text, FD_DEVICE);

	/* A page holds 4095 characters and the end. */
	memset(text, ' ', 2 * PAGE);
	memcpy(text, subject->name, strlen(subject->name));
	text[PAGE - 1] = '\0';
	if (call_device_fd(door, FD_GROUP, text, FD_DEVICE) >= 0)
		call_close(door, FD_DEVICE);
	text[PAGE - 1] = ' ';
	text[PAGE] = '\0';
	call_device_fd(door, FD_GROUP, text, FD_DEVICE);
	free(text);

	call_value(door, FD_GROUP, "GROUP_GET_DEVICE_FD null", VIA_VFIO_GROUP_GET_DEVICE_FD, 0);
	call_value(door, FD_GROUP, "GROUP_GET_DEVICE_FD unmapped", VIA_VFIO_GROUP_GET_DEVICE_FD,
		   UNMAPPED);
	/* The name may end with the last byte that can be read; without an end it is a fault. */
	strcpy((char *)EDGE - 8, "0000:00");
	call_value(door, FD_GROUP, "GROUP_GET_DEVICE_FD fits", VIA_VFIO_GROUP_GET_DEVICE_FD,
		   EDGE - 8);
	memset((char *)EDGE - 8, '0', 8);
	call_value(door, FD_GROUP, "GROUP_GET_DEVICE_FD edge", VIA_VFIO_GROUP_GET_DEVICE_FD,
		   EDGE - 8);
}

static void status(const struct door *door)
{
	static const uint32_t sizes[] = {0, 1, 7, 8, 9, 4096, ~0u};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		CALL(door, FD_GROUP, GROUP_GET_STATUS, sizes[i], ~0u);
}

void group_calls(const struct door *door, const struct subject *subject)
{
	section("group without a container");
	call_open(door, "vfio/vfio", FD_CONTAINER);
	call_open(door, "vfio/vfio", FD_CONTAINER2);
	call_open(door, subject->node, FD_GROUP);
	call_open(door, subject->node, FD_GROUP2);
	status(door);
	call_faults(door, FD_GROUP, "GROUP_GET_STATUS", VIA_VFIO_GROUP_GET_STATUS, 2,
		    (uint32_t[]){8, 0});
	call_unknown(door, FD_GROUP, group_known);
	call_read(door, FD_GROUP, 0, 0, 4, BUFFER);
	call_read(door, FD_GROUP, 0, 0, 0, BUFFER);
	call_write(door, FD_GROUP, 0, 0, 4, 0, BUFFER);
	call_mmap(door, FD_GROUP, 0, 0, PAGE, PROT_READ, MAP_SHARED);
	CALL(door, FD_GROUP, GROUP_UNSET_CONTAINER, 0);
	call_device_fd(door, FD_GROUP, subject->name, FD_DEVICE);
	names(door, subject);
	set_container(door);

	section("group with a container");
	CALL(door, FD_GROUP, GROUP_SET_CONTAINER, FD_CONTAINER);
	status(door);
	set_container(door);
	CALL(door, FD_GROUP, GROUP_SET_CONTAINER, FD_CONTAINER);
	CALL(door, FD_GROUP, GROUP_SET_CONTAINER, FD_CONTAINER2);
	call_device_fd(door, FD_GROUP, subject->name, FD_DEVICE);
	names(door, subject);
	CALL(door, FD_GROUP, GROUP_UNSET_CONTAINER, 0);
	CALL(door, FD_GROUP, GROUP_UNSET_CONTAINER, 0);
	status(door);

	section("group with a container and a type");
	CALL(door, FD_GROUP, GROUP_SET_CONTAINER, FD_CONTAINER2);
	call_value(door, FD_CONTAINER2, "SET_IOMMU", VIA_VFIO_SET_IOMMU, 3);
	names(door, subject);
	call_device_fd(door, FD_GROUP, subject->name, FD_DEVICE);
	call_device_fd(door, FD_GROUP, subject->name, FD_DEVICE2);
	CALL(door, FD_GROUP, GROUP_UNSET_CONTAINER, 0);
	CALL(door, FD_GROUP, GROUP_SET_CONTAINER, FD_CONTAINER);
	CALL(door, FD_GROUP, GROUP_SET_CONTAINER, FD_DEVICE);
	CALL(door, FD_GROUP, GROUP_SET_CONTAINER, FD_CLOSED);
	status(door);
	call_close(door, FD_DEVICE);
	CALL(door, FD_GROUP, GROUP_UNSET_CONTAINER, 0);
	call_close(door, FD_DEVICE2);
	CALL(door, FD_GROUP, GROUP_UNSET_CONTAINER, 0);
	CALL(door, FD_GROUP, GROUP_SET_CONTAINER, FD_CONTAINER);
	call_close(door, FD_GROUP);
	call_close(door, FD_CONTAINER);
	call_close(door, FD_CONTAINER2);
}

/* Closing in every order: what is left alive. */
void close_calls(const struct door *door, const struct subject *subject)
{
	section("closing the group file before the device");
	set_up(door, subject);
	call_close(door, FD_GROUP);
	call_open(door, subject->node, FD_GROUP);
	CALL(door, FD_CONTAINER, IOMMU_MAP_DMA, 32, 3, U64(BUFFER), U64(0), U64(PAGE));
	call_read(door, FD_DEVICE, 7, 0, 4, BUFFER);
	call_close(door, FD_DEVICE);
	CALL(door, FD_CONTAINER, IOMMU_MAP_DMA, 32, 3, U64(BUFFER), U64(PAGE), U64(PAGE));
	call_open(door, subject->node, FD_GROUP);
	status(door);
	CALL(door, FD_GROUP, GROUP_SET_CONTAINER, FD_CONTAINER);
	call_value(door, FD_CONTAINER, "SET_IOMMU", VIA_VFIO_SET_IOMMU, 3);
	/* The mapping of before is gone. */
	CALL(door, FD_CONTAINER, IOMMU_UNMAP_DMA, 24, 0, U64(0), U64(PAGE));
	call_close(door, FD_GROUP);
	call_close(door, FD_CONTAINER);

	section("closing the container file first");
	set_up(door, subject);
	call_close(door, FD_CONTAINER);
	status(door);
	call_read(door, FD_DEVICE, 7, 0, 4, BUFFER);
	call_device_fd(door, FD_GROUP, subject->name, FD_DEVICE2);
	call_close(door, FD_DEVICE2);
	call_open(door, "vfio/vfio", FD_CONTAINER);
	CALL(door, FD_GROUP, GROUP_SET_CONTAINER, FD_CONTAINER);
	call_close(door, FD_DEVICE);
	CALL(door, FD_GROUP, GROUP_UNSET_CONTAINER, 0);
	CALL(door, FD_GROUP, GROUP_SET_CONTAINER, FD_CONTAINER);
	call_value(door, FD_CONTAINER, "CHECK_EXTENSION", VIA_VFIO_CHECK_EXTENSION, 10);
	call_close(door, FD_CONTAINER);
	call_close(door, FD_GROUP);

	section("closing the container, the group, then the device");
	set_up(door, subject);
	call_close(door, FD_CONTAINER);
	call_close(door, FD_GROUP);
	call_read(door, FD_DEVICE, 7, 0, 4, BUFFER);
	call_open(door, subject->node, FD_GROUP);
	call_close(door, FD_DEVICE);
	call_open(door, subject->node, FD_GROUP);
	status(door);
	call_close(door, FD_GROUP);
	call_close(door, FD_GROUP);
}

void set_up(const struct door *door, const struct subject *subject)
{
	call_open(door, "vfio/vfio", FD_CONTAINER);
	call_open(door, subject->node, FD_GROUP);
	CALL(door, FD_GROUP, GROUP_SET_CONTAINER, FD_CONTAINER);
	call_value(door, FD_CONTAINER, "SET_IOMMU", VIA_VFIO_SET_IOMMU, 3);
	call_device_fd(door, FD_GROUP, subject->name, FD_DEVICE);
}

void tear_down(const struct door *door)
{
	call_close(door, FD_DEVICE);
	call_close(door, FD_GROUP);
	call_close(door, FD_CONTAINER);
}
