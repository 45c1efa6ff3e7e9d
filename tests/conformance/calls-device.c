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

static uint64_t region_size(const struct door *door, uint32_t index)
{
	struct via_vfio_region_info *info = (void *)ARGS;

	memset(info, 0, sizeof(*info));
	info->argsz = sizeof(*info);
	info->index = index;
	return door->ioctl(FD_DEVICE, VIA_VFIO_DEVICE_GET_REGION_INFO, ARGS) < 0 ? 0 : info->size;
}

static void ioeventfd(const struct door *door, uint32_t flags, uint64_t offset, uint64_t data,
		      int fd)
{
	CALL(door, FD_DEVICE, DEVICE_IOEVENTFD, 28, flags, U64(offset), U64(data), (uint32_t)fd);
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
	call_faults(door, FD_DEVICE, "DEVICE_IOEVENTFD", VIA_VFIO_DEVICE_IOEVENTFD, 7,
		    (uint32_t[]){28, 4, U64(8), U64(1), (uint32_t)-1});
	for (uint64_t region = 0; region < 10; region++) {
		uint64_t size = region_size(door, (uint32_t)region);
		const uint64_t at[] = {0,	 1,	   size - 4, size - 3, size,
				       0x1ffc,	 0x1ffd,   0x2000,   0x240f, 0x2410,
				       1ull << 39, (1ull << 40) - 4};

		for (size_t i = 0; i < COUNT(at); i++)
			if (!(at[i] >> 40))
				ioeventfd(door, 4, (region << 40) + at[i], 1, -1);
	}
	/* What makes two of them the same. */
	ioeventfd(door, 4, 0x40, 0x1234, FD_EVENT);
	ioeventfd(door, 4, 0x40, 0x1234, FD_EVENT);
	ioeventfd(door, 4, 0x40, 0x1234, FD_EVENT + 1);
	ioeventfd(door, 4, 0x40, 0x1234, FD_CLOSED);
	ioeventfd(door, 4, 0x40, 0x1234, -2);
	ioeventfd(door, 4, 0x40, 0x100001234, FD_EVENT);
	ioeventfd(door, 2, 0x40, 0x1234, -1);
	ioeventfd(door, 2, 0x40, 0x1234, FD_EVENT);
	ioeventfd(door, 4, 0x41, 0x1234, FD_EVENT);
	ioeventfd(door, 4, 0x44, 0x1234, FD_PIPE);
	ioeventfd(door, 4, 0x44, 0x1234, FD_CLOSED);
	signal_event(FD_EVENT, 3);
	/* The next call comes after the write that this made. */
	call_read(door, FD_DEVICE, 7, 4, 2, BUFFER);
	call_event(FD_EVENT);
	ioeventfd(door, 4, 0x40, 0x100001234, -1);
	ioeventfd(door, 4, 0x40, 0x100001234, -1);
	ioeventfd(door, 4, 0x40, 0x1234, -1);
	call_value(door, FD_DEVICE, "DEVICE_RESET", VIA_VFIO_DEVICE_RESET, 0);
	ioeventfd(door, 2, 0x40, 0x1234, -1);
	for (uint32_t i = 0; i < 1000; i++)
		ioeventfd(door, 4, 0x40, i, FD_EVENT + (int)i % 2);
	ioeventfd(door, 4, 0x40, 0, FD_EVENT);
	ioeventfd(door, 4, 0x40, 1000, FD_CLOSED);
	ioeventfd(door, 4, 0x40, 1000, -1);
	ioeventfd(door, 4, 0x40, 500, -1);
	ioeventfd(door, 4, 0x40, 1000, FD_EVENT);
}

/* Low power ---------------------------------------------------------------- */

#define SET (1u << 17)
#define GET (1u << 16)
#define PROBE (1u << 18)

static void entry(const struct door *door, int wakeup)
{
	if (wakeup < 0)
		CALL(door, FD_DEVICE, DEVICE_FEATURE, 8, 3 | SET);
	else
		CALL(door, FD_DEVICE, DEVICE_FEATURE, 16, 4 | SET, (uint32_t)wakeup, 0);
	door->settle();
}

static void leave(const struct door *door)
{
	CALL(door, FD_DEVICE, DEVICE_FEATURE, 8, 5 | SET);
	call_event(FD_EVENT);
}

/* The last word: where an eventfd is to be. */
static void wakeup(const struct door *door, uint32_t argsz, int fd)
{
	CALL(door, FD_DEVICE, DEVICE_FEATURE, argsz, 4 | SET, (uint32_t)fd, 0);
}

static void low_power(const struct door *door)
{
	section("low power");
	entry(door, -1);
	entry(door, -1);
	wakeup(door, 16, FD_EVENT);
	call_read(door, FD_DEVICE, 7, 0, 2, BUFFER);
	entry(door, -1);
	call_mmap(door, FD_DEVICE, 0, 0, PAGE, PROT_READ, MAP_SHARED);
	leave(door);
	leave(door);
	entry(door, -1);
	leave(door);
	call_faults(door, FD_DEVICE, "DEVICE_FEATURE 3", VIA_VFIO_DEVICE_FEATURE, 2,
		    (uint32_t[]){8, 5 | SET});

	section("low power with wakeup");
	wakeup(door, 15, FD_EVENT);
	wakeup(door, 12, FD_EVENT);
	wakeup(door, 16, -1);
	wakeup(door, 16, -2);
	wakeup(door, 16, FD_CLOSED);
	wakeup(door, 16, FD_PIPE);
	wakeup(door, 16, FD_DEVICE);
	wakeup(door, 16, FD_CONTAINER);
	call_faults(door, FD_DEVICE, "DEVICE_FEATURE 4", VIA_VFIO_DEVICE_FEATURE, 4,
		    (uint32_t[]){16, 4 | SET, FD_CLOSED, 0});
	leave(door);
	entry(door, FD_EVENT);
	call_event(FD_EVENT);
	leave(door);
	/* Woken by each kind of call, once. */
	entry(door, FD_EVENT);
	call_read(door, FD_DEVICE, 7, 0, 2, BUFFER);
	call_event(FD_EVENT);
	call_read(door, FD_DEVICE, 7, 0, 2, BUFFER);
	call_event(FD_EVENT);
	entry(door, FD_EVENT);
	call_write(door, FD_DEVICE, 7, 0, 2, 0, BUFFER);
	call_event(FD_EVENT);
	entry(door, FD_EVENT);
	call_read(door, FD_DEVICE, 8, 0, 2, BUFFER);
	call_event(FD_EVENT);
	entry(door, FD_EVENT);
	call_read(door, FD_DEVICE, 9, 0, 2, BUFFER);
	call_read(door, FD_DEVICE, 0, 0, 0, BUFFER);
	call_mmap(door, FD_DEVICE, 0, 0, PAGE, PROT_READ, MAP_SHARED);
	CALL(door, FD_DEVICE, DEVICE_BIND_IOMMUFD, 16, 0, FD_PIPE, 0);
	call_event(FD_EVENT);
	call_value(door, FD_DEVICE, "3b9f", 0x3b9f, 0);
	call_event(FD_EVENT);
	entry(door, FD_EVENT);
	CALL(door, FD_DEVICE, DEVICE_FEATURE, 8, 5 | SET | PROBE);
	call_event(FD_EVENT);
	/* What woke it is another entry. */
	entry(door, FD_EVENT);
	entry(door, FD_EVENT + 1);
	call_event(FD_EVENT);
	call_event(FD_EVENT + 1);
	entry(door, -1);
	call_event(FD_EVENT + 1);
	leave(door);
	entry(door, FD_EVENT);
	call_value(door, FD_DEVICE, "DEVICE_RESET", VIA_VFIO_DEVICE_RESET, 0);
	leave(door);
	entry(door, FD_EVENT);
	wakeup(door, 16, -1);
	leave(door);
}

/* Dma-bufs ------------------------------------------------------------------ */

static void dma_buf_get(const struct door *door, uint32_t region, uint32_t open_flags,
			uint32_t flags, uint32_t n, uint64_t offset, uint64_t len)
{
	const uint32_t words[] = {40,	 11 | GET, region, open_flags, flags,
				  n,	 U64(offset), U64(len)};

	if (call_fd(door, FD_DEVICE, "DEVICE_FEATURE", VIA_VFIO_DEVICE_FEATURE, COUNT(words), words,
		    FD_DMA_BUF) >= 0)
		call_close(door, FD_DMA_BUF);
}

static void dma_buf_file(const struct door *door, uint32_t open_flags)
{
	const uint32_t words[] = {40, 11 | GET, 0, open_flags, 0, 1, U64(0), U64(PAGE)};

	if (call_fd(door, FD_DEVICE, "DEVICE_FEATURE", VIA_VFIO_DEVICE_FEATURE, COUNT(words), words,
		    FD_DMA_BUF) < 0)
		return;
	call_read(door, FD_DMA_BUF, 0, 0, 4, BUFFER);
	call_write(door, FD_DMA_BUF, 0, 0, 4, 0, BUFFER);
	call_mmap(door, FD_DMA_BUF, 0, 0, PAGE, PROT_READ, MAP_SHARED);
	call_mmap(door, FD_DMA_BUF, 0, 0, PAGE, PROT_READ, MAP_PRIVATE);
	for (uint32_t flags = 0; flags < 10; flags++)
		call(door, FD_DMA_BUF, "SYNC", 0x40086200, 2, (uint32_t[]){flags, 0});
	call(door, FD_DMA_BUF, "SYNC", 0x40086200, 2, (uint32_t[]){1, 1});
	call_faults(door, FD_DMA_BUF, "SYNC", 0x40086200, 2, (uint32_t[]){1, 0});
	call(door, FD_DMA_BUF, "SET_NAME_A", 0x40046201, 1, (uint32_t[]){0x6261});
	call(door, FD_DMA_BUF, "SET_NAME_B", 0x40086201, 1, (uint32_t[]){0x6261});
	call(door, FD_DMA_BUF, "SET_NAME_A", 0x40046201, 8,
	     (uint32_t[]){0x61616161, 0x61616161, 0x61616161, 0x61616161, 0x61616161, 0x61616161,
			  0x61616161, 0x616161});
	call(door, FD_DMA_BUF, "SET_NAME_A", 0x40046201, 8,
	     (uint32_t[]){0x61616161, 0x61616161, 0x61616161, 0x61616161, 0x61616161, 0x61616161,
			  0x61616161, 0x61616161});
	call_value(door, FD_DMA_BUF, "SET_NAME_A", 0x40046201, 0);
	CALL(door, FD_DMA_BUF, DEVICE_GET_INFO, 24, 0);
	call_value(door, FD_DMA_BUF, "0", 0, 0);
	call_close(door, FD_DMA_BUF);
}

static void dma_bufs(const struct door *door)
{
	const uint64_t size = region_size(door, 0);
	const uint64_t ranges[][2] = {{0, 0},	       {1, PAGE},	   {0, PAGE - 1},
				      {0, size},       {0, size + PAGE},   {size, PAGE},
				      {size - PAGE, PAGE}, {~0ull - 4095, PAGE}, {PAGE, ~0ull - 4095},
				      {0, 1ull << 62}, {0, 1ull << 63}};

	section("dma-buf");
	for (uint32_t region = 0; region < 10; region++)
		dma_buf_get(door, region, 0, 0, 1, 0, PAGE);
	dma_buf_get(door, ~0u, 0, 0, 1, 0, PAGE);
	dma_buf_get(door, 0, 0, 1, 1, 0, PAGE);
	dma_buf_get(door, 0, 0, 0, 0, 0, PAGE);
	dma_buf_get(door, 0, 0, 0, ~0u, 0, PAGE);
	dma_buf_get(door, 0, 0, 0, 262144, 0, PAGE);
	dma_buf_get(door, 0, 0, 0, 262145, 0, PAGE);
	dma_buf_get(door, 7, 0, 0, ~0u, 0, 0);
	dma_buf_get(door, 0, ~0u, 0, 1, 0, PAGE);
	for (size_t i = 0; i < COUNT(ranges); i++)
		dma_buf_get(door, 0, 0, 0, 1, ranges[i][0], ranges[i][1]);
	/* Ranges one after the other: which error comes first? */
	call_fd(door, FD_DEVICE, "DEVICE_FEATURE", VIA_VFIO_DEVICE_FEATURE, 14,
		(uint32_t[]){56, 11 | GET, 0, 0, 0, 2, U64(size), U64(PAGE), U64(0), U64(1)},
		FD_DMA_BUF);
	call_fd(door, FD_DEVICE, "DEVICE_FEATURE", VIA_VFIO_DEVICE_FEATURE, 14,
		(uint32_t[]){56, 11 | GET, 0, 0, 0, 2, U64(size), U64(PAGE), U64(~0ull - 4095),
			     U64(PAGE)},
		FD_DMA_BUF);
	call_fd(door, FD_DEVICE, "DEVICE_FEATURE", VIA_VFIO_DEVICE_FEATURE, 14,
		(uint32_t[]){56, 11 | GET, 0, 0, 0, 2, U64(0), U64(3ull << 62), U64(0),
			     U64(1ull << 62)},
		FD_DMA_BUF);
	call_faults(door, FD_DEVICE, "DEVICE_FEATURE 11", VIA_VFIO_DEVICE_FEATURE, 10,
		    (uint32_t[]){40, 11 | GET, 0, 0, 0, 1, U64(1), U64(PAGE)});
	CALL(door, FD_DEVICE, DEVICE_FEATURE, 23, 11 | GET, 0, 0, 0, 1);

	section("dma-buf file");
	dma_buf_file(door, 0);
	dma_buf_file(door, 1);
	dma_buf_file(door, 2);
	dma_buf_file(door, 3);
	call_write(door, FD_DEVICE, 7, 4, 2, 0, BUFFER);
	dma_buf_get(door, 0, 0, 0, 1, 0, PAGE);
	call_write(door, FD_DEVICE, 7, 4, 2, 2, BUFFER);
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
	/* First: something below keeps a kernel from suspending edu again. */
	set_up(door, subject);
	low_power(door);
	tear_down(door);
	section("device opens");
	set_up(door, subject);
	infos(door);
	features(door);
	resets(door);
	section("other calls of a device");
	call_unknown(door, FD_DEVICE, device_known);
	iommufd_calls(door);
	ioeventfds(door);
	dma_bufs(door);
	tear_down(door);
}

/* Regions ------------------------------------------------------------------ */

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
