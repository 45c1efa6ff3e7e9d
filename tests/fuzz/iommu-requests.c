/* SPDX-License-Identifier: MIT */
/* ioctls: those of the table, any others, and many maps at once. */
#include "calls.h"
#include "iommu-steps.h"
#include "no-memory.h"

/* Write past what the program may write. */
static void poke(uint64_t addr, const void *bytes, size_t len)
{
	for (unsigned int page = ARENA_READ_ONLY; page <= ARENA_FORBIDDEN; page++)
		FUZZ_CHECK(!mprotect(arena_page(page), ARENA_PAGE, PROT_READ | PROT_WRITE));
	memcpy((void *)(uintptr_t)addr, bytes, len);
	FUZZ_CHECK(!mprotect(arena_page(ARENA_READ_ONLY), ARENA_PAGE, PROT_READ));
	FUZZ_CHECK(!mprotect(arena_page(ARENA_FORBIDDEN), ARENA_PAGE, PROT_NONE));
}

/* Where the argument lies: mostly where all is well. */
static uint64_t place(struct fuzz_input *in, uint8_t how, uint8_t *bytes, size_t *len)
{
	uint64_t addr = ARGUMENT, end;
	uint8_t more;

	switch (how & 7) {
	case 3: /* another size */
		more = fuzz_u8(in);
		via_put_le32(bytes, more >= 0xf0 ? fuzz_u32(in) : more);
		if (more > *len)
			memset(arena_page(0), more & 1, 0x100);
		break;
	case 4: /* cannot be written, or in part */
	case 5: /* cannot be read, or in part */
		more = fuzz_u8(in);
		end = ARENA_BASE +
		      ((how & 7) == 4 ? ARENA_READ_ONLY : ARENA_FORBIDDEN) * (uint64_t)ARENA_PAGE;
		addr = end + ((how & 7) == 4 ? ARENA_PAGE / 2 : 0);
		if (more & 0x80)
			addr = end - (more & 0x7f) % (*len + 1);
		break;
	case 6: /* a word of any kind */
		more = fuzz_u8(in);
		via_put_le32(bytes + more % 24 * 4ull, (uint32_t)fuzz_number(in));
		break;
	default:
		break;
	}
	if (addr != ARGUMENT)
		poke(addr, bytes, *len);
	else
		memcpy(arena_page(0), bytes, *len);
	return addr;
}

static void done(struct world *s, const struct call_row *row, long r, uint64_t addr)
{
	if (row->how & CALL_RETURNS_FD && r > 0)
		world_got_fd(s, (int)r);
	if (r < 0 || addr != ARGUMENT)
		return;
	for (size_t i = 0; i < 3; i++)
		world_remember(s, row->made[i].kind, via_get_le32(arena_page(0) + row->made[i].at));
	if (row->fd_at)
		world_got_fd(s, (int)via_get_le32(arena_page(0) + row->fd_at));
}

static unsigned int call_on(const struct world *s, struct fuzz_input *in, uint8_t on, uint8_t how)
{
	bool other = how & 8;

	if ((how & 0x90) == 0x90)
		return fuzz_u8(in) % FD_FILES;
	switch (on) {
	case ON_IOMMUFD:
		return other ? FD_IOMMUFD_2 : FD_IOMMUFD;
	case ON_CONTAINER:
		return other ? FD_IOMMUFD : FD_CONTAINER;
	case ON_GROUP:
		return other ? FD_GROUP_2 : FD_GROUP;
	case ON_RESULT:
		return FD_RESULT + other;
	default:
		return other ? FD_DEVICE_2 : FD_DEVICE;
	}
}

void step_call(struct world *s, struct fuzz_input *in, const struct call_row *row)
{
	static const char *const names[] = {"0000:00:04.0", "0000:01:00.0", "0000:01:00.1",
					    "0000:00:04.0 vf_token=x"};
	uint8_t how = fuzz_u8(in), bytes[256] = {0};
	unsigned int i = call_on(s, in, row->on, how), fail = 0;
	size_t len = row->size;
	struct via_file *file;
	uint64_t arg;
	long r;

	if ((how & 0x60) == 0x60)
		fail = 1u + fuzz_u8(in) % 32;
	if (world_file(s, i, &file))
		return;
	if (row->how & CALL_NAME) {
		len = CALLS_ROOM;
		calls_text(bytes, names[fuzz_u8(in) & 3]);
	}
	if (len && !(row->how & (CALL_NO_SIZE | CALL_NAME)))
		via_put_le32(bytes, (uint32_t)len);
	for (const struct field *f = row->fields; f < row->fields + 8 && f->kind; f++) {
		uint64_t value = take_field(s, in, f);

		if (f->width == 8)
			via_put_le64(bytes + f->at, value);
		else if (f->width == 4)
			via_put_le32(bytes + f->at, (uint32_t)value);
		else
			via_put_le16(bytes + f->at, (uint16_t)value);
	}
	arg = row->how & CALL_VALUE ? via_get_le32(bytes) : place(in, how, bytes, &len);
	allocations_left = fail;
	r = via_file_ioctl(file, &s->tc.caller, row->cmd, arg);
	allocations_left = 0;
	FUZZ_CHECK(r >= -4095 && r <= INT32_MAX);
	done(s, row, r, arg);
	via_file_put(file);
}

void step_any_call(struct world *s, struct fuzz_input *in)
{
	unsigned int i = fuzz_u8(in) % FD_FILES;
	struct via_file *file;
	struct call call;
	long r;

	if (world_file(s, i, &file))
		return;
	call = calls_take(in, s->fds, FDS);
	/* Numbers of /dev/iommu, too. */
	if (i <= FD_IOMMUFD_2 && call.cmd < 0x3b84)
		call.cmd += 0x1c;
	r = via_file_ioctl(file, &s->tc.caller, call.cmd, call.arg);
	FUZZ_CHECK(r >= -4095 && r <= INT32_MAX);
	if (r > 0 && call.cmd != VIA_VFIO_CHECK_EXTENSION)
		world_got_fd(s, (int)r);
	via_file_put(file);
}

/* Many mappings of a page each in an IOAS or a container, in an order of their own. */
void step_many(struct world *s, struct fuzz_input *in)
{
	uint8_t how = fuzz_u8(in);
	unsigned int n = 1u + fuzz_u8(in), stride = 2u * fuzz_u8(in) + 1, i;
	bool native = !(how & 1);
	struct via_iommu_ioas_map map = {.size = sizeof(map),
					 .flags = how & 2 ? 6 : 7,
					 .ioas_id = (uint32_t)take_id(s, in, ID_IOAS),
					 .user_va = ARENA_BASE,
					 .length = ARENA_PAGE};
	struct via_vfio_iommu_type1_dma_map dma = {
		.argsz = sizeof(dma), .flags = 3, .vaddr = ARENA_BASE, .size = ARENA_PAGE};
	struct via_file *file;

	if (world_file(s, native ? FD_IOMMUFD : FD_CONTAINER, &file))
		return;
	/* An odd stride comes to every place of a power of two; every other page stays free. */
	for (i = 0; i < n; i++) {
		map.iova = IOVA + (how & 4 ? 2ull : 1ull) * (i * stride % 512) * ARENA_PAGE;
		if ((how & 0x18) == 0x10) /* far apart */
			map.iova <<= 15;
		dma.iova = map.iova;
		if (native)
			memcpy(arena_page(0), &map, sizeof(map));
		else
			memcpy(arena_page(0), &dma, sizeof(dma));
		if (i == n - 1 && how & 8)
			allocations_left = 1u + (how >> 4);
		if (via_file_ioctl(file, &s->tc.caller,
				   native ? VIA_IOMMU_IOAS_MAP : VIA_VFIO_IOMMU_MAP_DMA, ARGUMENT))
			break;
	}
	allocations_left = 0;
	via_file_put(file);
}
