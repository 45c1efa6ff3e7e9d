/* SPDX-License-Identifier: MIT */
/* Reads, writes and maps of the files that calls have given. */
#include "function.h"
#include "iommu-steps.h"
#include "no-memory.h"

void step_open(struct world *s, struct fuzz_input *in)
{
	static const struct {
		const char *node;
		unsigned int fd;
	} nodes[] = {
		{"iommu", FD_IOMMUFD},
		{"iommu", FD_IOMMUFD_2},
		{"vfio/vfio", FD_CONTAINER},
		{"vfio/1", FD_GROUP},
		{"vfio/2", FD_GROUP_2},
		{"vfio/devices/vfio0", FD_DEVICE},
		{"vfio/devices/vfio1", FD_DEVICE},
		{"vfio/devices/vfio2", FD_DEVICE_2},
		{"vfio/noiommu-1", FD_GROUP},
		{"vfio/noiommu-2", FD_GROUP_2},
	};
	unsigned int i = fuzz_u8(in) % (sizeof(nodes) / sizeof(nodes[0]));

	(void)world_open(s, nodes[i].node, nodes[i].fd);
}
void step_transfer(struct world *s, struct fuzz_input *in)
{
	uint8_t how = fuzz_u8(in), len = fuzz_u8(in);
	unsigned int i = FD_RESULT + how % FD_RESULTS;
	uint64_t addr = how & 0x40 ? arena_pointer(in) : BUFFER, offset = len == 0xff ? 8 : 0;
	struct via_file *file;
	ssize_t r;

	if (world_file(s, i, &file))
		return;
	/* Answers to faults: a cookie, a code. */
	if (how & 0x80 && addr == BUFFER) {
		via_put_le32(arena_page(1), how >> 3 & 3);
		via_put_le32(arena_page(1) + 4, how >> 5 & 1);
		via_put_le64(arena_page(1) + 8, fuzz_u8(in) & 3);
		r = via_file_pwrite(file, &s->tc.caller, addr, len & 31, offset);
	} else {
		r = via_file_pread(file, &s->tc.caller, addr, how & 0x20 ? len : (len & 3) * 40u,
				   offset);
	}
	FUZZ_CHECK(r >= -4095 && r <= 255);
	if (file->ops->poll_fd)
		FUZZ_CHECK(file->ops->poll_fd(file) >= 0);
	via_file_put(file);
}

/* A device's state goes from one descriptor to another. */
void step_stream(struct world *s, struct fuzz_input *in)
{
	uint8_t how = fuzz_u8(in);
	struct via_file *file;
	ssize_t r;

	if (world_file(s, FD_RESULT + how % FD_RESULTS, &file))
		return;
	if (how & 0x80) {
		if (how & 0x40)
			arena_page(8)[fuzz_u16(in) % ARENA_PAGE] ^= fuzz_u8(in);
		r = via_file_pwrite(file, &s->tc.caller, ARENA_BASE + 8 * ARENA_PAGE, s->saved, 0);
	} else {
		r = via_file_pread(file, &s->tc.caller, ARENA_BASE + 8 * ARENA_PAGE, ARENA_PAGE, 0);
		s->saved = r > 0 ? (size_t)r : 0;
	}
	FUZZ_CHECK(r >= -4095 && r <= (ssize_t)ARENA_PAGE);
	via_file_put(file);
}

/* Have a device read or write memory. */
void step_device_dma(struct world *s, struct fuzz_input *in)
{
	uint8_t how = fuzz_u8(in);
	uint64_t reg = how & 1 ? FUNCTION_REG_WRITE : FUNCTION_REG_READ;
	struct via_file *file;

	if (world_file(s, how & 2 ? FD_DEVICE_2 : FD_DEVICE, &file))
		return;
	if (!(how & 0x10)) {
		*arena_page(1) = how & 0x20 ? fuzz_u8(in) : 6;
		(void)via_file_pwrite(
			file, &s->tc.caller, BUFFER, 1,
			(VIA_VFIO_PCI_CONFIG_REGION_INDEX + 0ull) << VIA_VFIO_PCI_OFFSET_SHIFT | 4);
	}
	via_put_le64(arena_page(1), how & 0x40 ? take_address(in) : take_iova(in));
	allocations_left = how & 0x80 ? 1u + fuzz_u8(in) % 8 : 0;
	(void)via_file_pwrite(file, &s->tc.caller, BUFFER, 8, reg);
	allocations_left = 0;
	via_file_put(file);
}

void step_mmap(struct world *s, struct fuzz_input *in)
{
	uint8_t how = fuzz_u8(in), where = fuzz_u8(in);
	static const uint8_t files[] = {FD_IOMMUFD, FD_RESULT, FD_DEVICE, FD_DEVICE_2};
	unsigned int i = files[how & 3];
	uint64_t offset = i == FD_IOMMUFD ? (where & 7) * 2ull * ARENA_PAGE
					  : (uint64_t)(where & 7) << VIA_VFIO_PCI_OFFSET_SHIFT;
	uint64_t len = (1 + (where >> 3 & 3u)) * ARENA_PAGE;
	int prot = how & 0x10 ? PROT_READ : PROT_READ | PROT_WRITE;
	int flags = how & 0x20 ? MAP_PRIVATE : MAP_SHARED;
	struct via_file *file;
	struct via_mmap map;
	int r;

	if (how & 0x40)
		offset += (how >> 2 & 3u) * ARENA_PAGE;
	if (how & 0x80)
		len = fuzz_number(in);
	if (world_file(s, i, &file))
		return;
	memset(&map, 0, sizeof(map));
	r = via_file_mmap(file, &s->tc.caller, offset, len, prot, flags, &map);
	FUZZ_CHECK(r <= 0 && r >= -4095);
	if (!r) {
		FUZZ_CHECK(map.fd >= 0 && map.len && map.len <= BAR_PAGES * ARENA_PAGE);
		FUZZ_CHECK(mmap((void *)(uintptr_t)BAR_BASE, map.len, prot, MAP_SHARED | MAP_FIXED,
				map.fd, (off_t)map.offset) != MAP_FAILED);
		if (map.unmapped)
			map.unmapped(map.owner);
		if (map.dev) {
			via_file_put(s->mapped_file);
			s->mapped_file = via_file_get(file);
		}
	}
	via_file_put(file);
}
