/* SPDX-License-Identifier: MIT */
/* A device: information, features, resets, regions, mappings. */
#include "calls.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const unsigned int device_known[] = {
	VIA_VFIO_DEVICE_GET_INFO,      VIA_VFIO_DEVICE_GET_REGION_INFO,
	VIA_VFIO_DEVICE_GET_IRQ_INFO,  VIA_VFIO_DEVICE_SET_IRQS,
	VIA_VFIO_DEVICE_RESET,	       VIA_VFIO_DEVICE_GET_PCI_HOT_RESET_INFO,
	VIA_VFIO_DEVICE_PCI_HOT_RESET, VIA_VFIO_DEVICE_IOEVENTFD,
	VIA_VFIO_DEVICE_FEATURE,       0};

static void infos(const struct door *door)
{
	static const uint32_t sizes[] = {0, 4, 15, 16, 17, 20, 23, 24, 25, 32, 4096, ~0u};
	static const uint32_t region_sizes[] = {0, 31, 32, 33, 39, 40, 41, 64, ~0u};
	static const uint32_t irq_sizes[] = {0, 15, 16, 17, ~0u};
	static const uint32_t odd[] = {10, 63, 0x7fffffff, 0x80000000, ~0u};

	section("device information");
	for (size_t i = 0; i < COUNT(sizes); i++)
		CALL(door, FD_DEVICE, DEVICE_GET_INFO, sizes[i], ~0u);
	call_faults(door, FD_DEVICE, "DEVICE_GET_INFO", VIA_VFIO_DEVICE_GET_INFO, 4,
		    (uint32_t[]){16, 0, 0, 0});
	call_faults(door, FD_DEVICE, "DEVICE_GET_INFO", VIA_VFIO_DEVICE_GET_INFO, 6,
		    (uint32_t[]){24, 0, 0, 0, 0, 0});

	section("region information");
	for (uint32_t index = 0; index < 10; index++) {
		for (size_t i = 0; i < COUNT(region_sizes); i++)
			CALL(door, FD_DEVICE, DEVICE_GET_REGION_INFO, region_sizes[i], ~0u, index);
	}
	for (size_t i = 0; i < COUNT(odd); i++)
		CALL(door, FD_DEVICE, DEVICE_GET_REGION_INFO, 32, 0, odd[i]);
	call_faults(door, FD_DEVICE, "DEVICE_GET_REGION_INFO", VIA_VFIO_DEVICE_GET_REGION_INFO, 8,
		    (uint32_t[]){32, 0, 7, 0, 0, 0, 0, 0});

	section("interrupt information");
	for (uint32_t index = 0; index < 6; index++) {
		for (size_t i = 0; i < COUNT(irq_sizes); i++)
			CALL(door, FD_DEVICE, DEVICE_GET_IRQ_INFO, irq_sizes[i], ~0u, index);
	}
	for (size_t i = 0; i < COUNT(odd); i++)
		CALL(door, FD_DEVICE, DEVICE_GET_IRQ_INFO, 16, 0, odd[i]);
	call_faults(door, FD_DEVICE, "DEVICE_GET_IRQ_INFO", VIA_VFIO_DEVICE_GET_IRQ_INFO, 4,
		    (uint32_t[]){16, 0, 1, 0});
}

static void features(const struct door *door)
{
	static const uint32_t ops[] = {0,	 1u << 16, 1u << 17, 3u << 16, 1u << 18,
				       5u << 16, 6u << 16, 7u << 16, 1u << 19, 1u << 31};

	section("features");
	for (uint32_t feature = 0; feature < 16; feature++) {
		for (size_t i = 0; i < COUNT(ops); i++)
			CALL(door, FD_DEVICE, DEVICE_FEATURE, 8, feature | ops[i]);
	}
	CALL(door, FD_DEVICE, DEVICE_FEATURE, 8, 0xffff);
	CALL(door, FD_DEVICE, DEVICE_FEATURE, 0, 99);
	CALL(door, FD_DEVICE, DEVICE_FEATURE, 7, 99);
	CALL(door, FD_DEVICE, DEVICE_FEATURE, ~0u, 99);
	call_faults(door, FD_DEVICE, "DEVICE_FEATURE", VIA_VFIO_DEVICE_FEATURE, 2,
		    (uint32_t[]){8, 99});
	/* Out of low power, if a feature above led there. */
	CALL(door, FD_DEVICE, DEVICE_FEATURE, 8, 5 | 1u << 17);
}

static void resets(const struct door *door)
{
	static const uint32_t sizes[] = {0, 11, 12, 19, 20, 28, ~0u};

	section("resets");
	call_value(door, FD_DEVICE, "DEVICE_RESET", VIA_VFIO_DEVICE_RESET, 0);
	call_value(door, FD_DEVICE, "DEVICE_RESET", VIA_VFIO_DEVICE_RESET, ~(uintptr_t)0);
	for (size_t i = 0; i < COUNT(sizes); i++)
		CALL(door, FD_DEVICE, DEVICE_GET_PCI_HOT_RESET_INFO, sizes[i], ~0u, ~0u);
	call_faults(door, FD_DEVICE, "DEVICE_GET_PCI_HOT_RESET_INFO",
		    VIA_VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, 3, (uint32_t[]){12, 0, 0});
	CALL(door, FD_DEVICE, DEVICE_PCI_HOT_RESET, 11, 0, 1, FD_GROUP);
	CALL(door, FD_DEVICE, DEVICE_PCI_HOT_RESET, 16, 1, 1, FD_GROUP);
	CALL(door, FD_DEVICE, DEVICE_PCI_HOT_RESET, 12, 0, 0);
	CALL(door, FD_DEVICE, DEVICE_PCI_HOT_RESET, 16, 0, 1, (uint32_t)-1);
	CALL(door, FD_DEVICE, DEVICE_PCI_HOT_RESET, 16, 0, 1, FD_CLOSED);
	CALL(door, FD_DEVICE, DEVICE_PCI_HOT_RESET, 16, 0, 1, FD_PIPE);
	CALL(door, FD_DEVICE, DEVICE_PCI_HOT_RESET, 16, 0, 1, FD_CONTAINER);
	CALL(door, FD_DEVICE, DEVICE_PCI_HOT_RESET, 16, 0, 1, FD_DEVICE);
	CALL(door, FD_DEVICE, DEVICE_PCI_HOT_RESET, 20, 0, 2, FD_GROUP, FD_GROUP);
	CALL(door, FD_DEVICE, DEVICE_PCI_HOT_RESET, 16, 0, ~0u, FD_GROUP);
	CALL(door, FD_DEVICE, DEVICE_PCI_HOT_RESET, 12, 0, 1, FD_GROUP);
	CALL(door, FD_DEVICE, DEVICE_PCI_HOT_RESET, 16, 0, 1, FD_GROUP);
	call_faults(door, FD_DEVICE, "DEVICE_PCI_HOT_RESET", VIA_VFIO_DEVICE_PCI_HOT_RESET, 4,
		    (uint32_t[]){16, 0, 1, FD_CLOSED});
	call_read(door, FD_DEVICE, 7, 4, 2, BUFFER);
}

static void ioeventfds(const struct door *door)
{
	static const uint32_t flags[] = {0, 1, 2, 4, 8, 3, 16, 20};

	section("ioeventfd");
	for (size_t i = 0; i < COUNT(flags); i++)
		CALL(door, FD_DEVICE, DEVICE_IOEVENTFD, 32, flags[i], U64(8), U64(1), (uint32_t)-1,
		     0);
	CALL(door, FD_DEVICE, DEVICE_IOEVENTFD, 27, 4, U64(8), U64(1), (uint32_t)-1, 0);
	CALL(door, FD_DEVICE, DEVICE_IOEVENTFD, 28, 4, U64(8), U64(1), FD_CLOSED, 0);
	CALL(door, FD_DEVICE, DEVICE_IOEVENTFD, 28, 4, U64(7ull << 40), U64(1), FD_EVENT, 0);
}

/* On a file that came from a group. */
static void iommufd_calls(const struct door *door)
{
	CALL(door, FD_DEVICE, DEVICE_BIND_IOMMUFD, 15, 0, FD_PIPE, 0);
	CALL(door, FD_DEVICE, DEVICE_BIND_IOMMUFD, 16, 0, FD_PIPE, 0);
	CALL(door, FD_DEVICE, DEVICE_BIND_IOMMUFD, 24, 0, FD_PIPE, 0, 0, 0);
	CALL(door, FD_DEVICE, DEVICE_BIND_IOMMUFD, 16, 2, (uint32_t)-1, 0);
	CALL(door, FD_DEVICE, DEVICE_ATTACH_IOMMUFD_PT, 12, 0, 1);
	CALL(door, FD_DEVICE, DEVICE_DETACH_IOMMUFD_PT, 8, 0);
}

void device_calls(const struct door *door, const struct subject *subject)
{
	section("device opens");
	set_up(door, subject);
	infos(door);
	features(door);
	resets(door);
	section("other calls of a device");
	call_unknown(door, FD_DEVICE, device_known);
	iommufd_calls(door);
	ioeventfds(door);
	tear_down(door);
}

/* Regions ------------------------------------------------------------------ */

static uint64_t region_size(const struct door *door, uint32_t index)
{
	struct via_vfio_region_info *info = (void *)ARGS;

	memset(info, 0, sizeof(*info));
	info->argsz = sizeof(*info);
	info->index = index;
	return door->ioctl(FD_DEVICE, VIA_VFIO_DEVICE_GET_REGION_INFO, ARGS) < 0 ? 0 : info->size;
}

static void config_dump(const struct door *door)
{
	for (uint64_t at = 0; at < region_size(door, 7); at += 16)
		call_read(door, FD_DEVICE, 7, at, 16, BUFFER);
}

/* Where a transfer starts and ends, for each region that there may be. */
static void edges(const struct door *door, uint32_t index, bool write)
{
	uint64_t size = region_size(door, index);
	const uint64_t at[] = {0,    1,	       size - 1,   size - 3,
			       size, size + 1, 1ull << 39, (1ull << 40) - 1};
	static const size_t lens[] = {0, 1, 2, 4, 8};

	for (size_t i = 0; i < COUNT(at); i++) {
		/* A region of size 0 makes offsets that belong to the one before. */
		if (at[i] >> 40)
			continue;
		for (size_t j = 0; j < COUNT(lens); j++) {
			if (!write)
				call_read(door, FD_DEVICE, index, at[i], lens[j], BUFFER);
			else if (at[i] + lens[j] > size || !lens[j])
				call_write(door, FD_DEVICE, index, at[i], lens[j], 0, BUFFER);
		}
	}
}

static void buffers(const struct door *door, uint32_t index)
{
	static const uintptr_t bad[] = {0, UNMAPPED, EDGE, EDGE - 2, 0xffffffff80000000ul};

	for (size_t i = 0; i < COUNT(bad); i++) {
		call_read(door, FD_DEVICE, index, 4, 4, bad[i]);
		call_read(door, FD_DEVICE, index, 4, 0, bad[i]);
		call_write(door, FD_DEVICE, index, 4, 4, 0, bad[i]);
	}
	call_read(door, FD_DEVICE, index, 4, 4, READ_ONLY);
	call_read(door, FD_DEVICE, index, 4, 4, EDGE - 4);
}

static void mappings(const struct door *door, uint32_t index)
{
	uint64_t size = region_size(door, index);
	uint64_t whole = size ? size : PAGE;

	call_mmap(door, FD_DEVICE, index, 0, PAGE, PROT_READ, MAP_SHARED);
	call_mmap(door, FD_DEVICE, index, 0, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	call_mmap(door, FD_DEVICE, index, 0, PAGE, PROT_NONE, MAP_SHARED);
	call_mmap(door, FD_DEVICE, index, 0, PAGE, PROT_READ, MAP_PRIVATE);
	call_mmap(door, FD_DEVICE, index, 0, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	call_mmap(door, FD_DEVICE, index, 0, PAGE, PROT_READ, MAP_SHARED_VALIDATE);
	call_mmap(door, FD_DEVICE, index, 0, 0, PROT_READ, MAP_SHARED);
	call_mmap(door, FD_DEVICE, index, 0, 1, PROT_READ, MAP_SHARED);
	call_mmap(door, FD_DEVICE, index, 0, whole, PROT_READ, MAP_SHARED);
	call_mmap(door, FD_DEVICE, index, 0, whole + 1, PROT_READ, MAP_SHARED);
	call_mmap(door, FD_DEVICE, index, 0, whole + PAGE, PROT_READ, MAP_SHARED);
	call_mmap(door, FD_DEVICE, index, 1, PAGE, PROT_READ, MAP_SHARED);
	call_mmap(door, FD_DEVICE, index, PAGE, PAGE, PROT_READ, MAP_SHARED);
	call_mmap(door, FD_DEVICE, index, whole / PAGE * PAGE, PAGE, PROT_READ, MAP_SHARED);
	call_mmap(door, FD_DEVICE, index, 1ull << 39, PAGE, PROT_READ, MAP_SHARED);
}

/* Writes a register in config space, shows what became of it, and puts it back. */
static void config_register(const struct door *door, uint64_t at, size_t len)
{
	uint64_t old = 0;

	if (door->pread(FD_DEVICE, BUFFER, len, (7ull << VIA_VFIO_PCI_OFFSET_SHIFT) + at) ==
	    (ssize_t)len)
		memcpy(&old, (void *)BUFFER, len);
	call_write(door, FD_DEVICE, 7, at, len, ~0ull, BUFFER);
	call_read(door, FD_DEVICE, 7, at, len, BUFFER);
	call_write(door, FD_DEVICE, 7, at, len, 0, BUFFER);
	call_read(door, FD_DEVICE, 7, at, len, BUFFER);
	call_write(door, FD_DEVICE, 7, at, len, old, BUFFER);
	call_read(door, FD_DEVICE, 7, at, len, BUFFER);
}

void region_calls(const struct door *door, const struct subject *subject)
{
	section("config space");
	set_up(door, subject);
	config_dump(door);
	for (uint64_t at = 0; at < 0x40; at += 4)
		config_register(door, at, 4);
	for (uint64_t at = 0; at < 0x40; at += 2)
		config_register(door, at, 2);
	for (uint64_t at = 0; at < 0x40; at++)
		config_register(door, at, 1);
	for (uint64_t at = 0x40; at < 0x60; at += 2)
		config_register(door, at, 2);
	config_dump(door);
	edges(door, 7, false);
	edges(door, 7, true);
	buffers(door, 7);
	call_read(door, FD_DEVICE, 7, 0, 256, BUFFER);
	call_read(door, FD_DEVICE, 7, 0, 4096, BUFFER);

	section("regions");
	for (uint32_t index = 0; index < 10; index++) {
		if (index == 7)
			continue;
		edges(door, index, false);
		edges(door, index, true);
		buffers(door, index);
	}
	call_read(door, FD_DEVICE, 0x7fffff, 0, 4, BUFFER);
	call_read(door, FD_DEVICE, 0xffffff, 0, 4, BUFFER);

	section("mappings");
	for (uint32_t index = 0; index < 10; index++)
		mappings(door, index);

	section("memory disabled");
	call_write(door, FD_DEVICE, 7, 4, 2, 0, BUFFER);
	call_read(door, FD_DEVICE, 0, 0, 4, BUFFER);
	call_read(door, FD_DEVICE, 0, 0, 0, BUFFER);
	call_write(door, FD_DEVICE, 0, 0x20, 4, 0, BUFFER);
	call_read(door, FD_DEVICE, 0, region_size(door, 0), 4, BUFFER);
	call_mmap(door, FD_DEVICE, 0, 0, PAGE, PROT_READ, MAP_SHARED);
	call_write(door, FD_DEVICE, 7, 4, 2, 2, BUFFER);
	call_read(door, FD_DEVICE, 0, 0, 4, BUFFER);
	tear_down(door);

	section("config space after closing");
	set_up(door, subject);
	config_dump(door);
	tear_down(door);
}
