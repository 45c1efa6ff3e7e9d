/* SPDX-License-Identifier: MIT */
/* What an input's bytes mean where an argument has an id, an IOVA, an address, a size. */
#include "iommu-steps.h"

uint64_t take_id(struct world *s, struct fuzz_input *in, unsigned int kind)
{
	static const uint8_t pts[] = {ID_IOAS, ID_PAGING, ID_NESTED, ID_VIOMMU};
	uint8_t how = fuzz_u8(in);
	unsigned int n;

	if (how >= 0xe0)
		return how == 0xff ? fuzz_u32(in) : how & 0x1f;
	if (kind == ID_PT || kind == ID_ANY)
		kind = kind == ID_PT ? pts[how >> 4 & 3] : 1 + (how >> 3) % (ID_KINDS - 1);
	n = s->ids[kind].n < IDS ? s->ids[kind].n : IDS;
	return n ? s->ids[kind].id[how % n] : how & 7;
}

uint64_t take_iova(struct fuzz_input *in)
{
	uint8_t how = fuzz_u8(in);

	if (how < 0xc0)
		return IOVA + (how & 31ull) * ARENA_PAGE + (how & 0x80 ? how & 0x60 : 0) * 32ull;
	switch (how & 7) {
	case 0:
		return IOVA + (how >> 3 & 7ull) * 0x200000;
	case 1: /* from where sPAPR's second window, or the interrupts, are */
		return how & 8 ? 1ull << 59 : 0xfee00000;
	case 2:
		return (how >> 3 & 7ull) * ARENA_PAGE;
	case 3:
		return (uint64_t)(how >> 3 & 7) << 32 | fuzz_u8(in);
	case 4:
		return 0 - ARENA_PAGE * (how >> 3 & 7ull);
	case 5:
		return IOVA + fuzz_u16(in);
	default:
		return fuzz_number(in);
	}
}

uint64_t take_length(struct fuzz_input *in)
{
	uint8_t how = fuzz_u8(in);

	if (how < 0xc0)
		return (1 + (how & 15ull)) * ARENA_PAGE - (how >= 0xa0 ? (how & 16) * 128ull : 0);
	switch (how & 7) {
	case 0:
		return 0x200000ull << (how >> 3 & 1);
	case 1:
		return UINT64_MAX;
	case 2:
		return how >> 3 & 7;
	case 3:
		return fuzz_u16(in);
	default:
		return fuzz_number(in);
	}
}

uint64_t take_address(struct fuzz_input *in)
{
	uint8_t how = fuzz_u8(in);

	if (how < 0xc0)
		return ARENA_BASE + (uint64_t)(how % ARENA_END) * ARENA_PAGE;
	switch (how & 3) {
	case 0:
		return BIG_BASE + (how >> 2 & 3ull) * 0x100000;
	case 1:
		return BAR_BASE + (how >> 2 & 3ull) * ARENA_PAGE;
	case 2:
		return BIG_BASE + fuzz_u16(in);
	default:
		return arena_pointer(in);
	}
}

/* What a call finds behind a pointer: words of the input, repeated. */
static uint64_t take_buffer(struct fuzz_input *in)
{
	static const uint32_t words[16] = {0, 1,    2,		3,	    4,	       5,
					   6, 0x40, 0x80000000, 0xffffffff, 0xbadbeef, 7,
					   8, 9,    0x12345678, ARENA_PAGE};
	uint8_t how = fuzz_u8(in), second = fuzz_u8(in);
	uint8_t picks[4] = {how & 15, how >> 4, second & 15, second >> 4};

	if (how == 0xee)
		return arena_pointer(in);
	for (unsigned int i = 0; i < 32; i++)
		via_put_le32(arena_page(1) + 4ull * i, words[picks[(i + i / 12) % 4]]);
	return BUFFER;
}

static uint64_t take_ranges(struct fuzz_input *in, bool lengths)
{
	for (unsigned int i = 0; i < 4; i++) {
		uint8_t how = fuzz_u8(in);
		uint64_t first = how == 0xff ? fuzz_number(in) : IOVA + (how & 31ull) * ARENA_PAGE;
		uint64_t last = how == 0xff ? fuzz_number(in)
					    : first + (1 + (how >> 5)) * 4ull * ARENA_PAGE - 1;

		via_put_le64(arena_page(1) + 16ull * i, first);
		via_put_le64(arena_page(1) + 16ull * i + 8, lengths ? last - first + 1 : last);
	}
	return BUFFER;
}

uint64_t take_field(struct world *s, struct fuzz_input *in, const struct field *field)
{
	static const uint64_t sizes[] = {4096, 2048, 4096, 1 << 21, 4096, 1 << 20, 8192, 3};
	uint8_t how;

	switch (field->kind) {
	case FIELD_ID:
		return take_id(s, in, field->of);
	case FIELD_CONST:
		return field->of;
	case FIELD_BITS:
		how = fuzz_u8(in);
		return how >= 0xf8
			       ? 1ull << fuzz_u8(in) % 32
			       : ((how & 0x1f) | (how & 0x40 ? field->of & ~0x1fu : 0)) & field->of;
	case FIELD_SMALL:
		how = fuzz_u8(in);
		return how == 0xff ? fuzz_number(in) : how % field->of;
	case FIELD_IOVA:
		return take_iova(in);
	case FIELD_LENGTH:
		return take_length(in);
	case FIELD_ADDRESS:
		return take_address(in);
	case FIELD_PAGE_SIZE:
		how = fuzz_u8(in);
		return how == 0xff ? fuzz_number(in) : sizes[how % 8];
	case FIELD_BUFFER:
		return take_buffer(in);
	case FIELD_RANGES:
		return take_ranges(in, field->of);
	case FIELD_MEMORY:
		return (uint32_t)program_memory(fuzz_u8(in));
	case FIELD_FD:
		return (uint32_t)s->fds[fuzz_u8(in) % FDS];
	default:
		return fuzz_number(in);
	}
}
