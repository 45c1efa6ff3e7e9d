/* SPDX-License-Identifier: MIT */
/* VFIO ioctls with arguments that an input chooses, for whoever carries them out. */
#ifndef VIA_TESTS_FUZZ_CALLS_H
#define VIA_TESTS_FUZZ_CALLS_H

#include "arena.h"

#include <viaduct/abi/vfio.h>
#include <viaduct/base.h>

struct call {
	unsigned long cmd;
	uint64_t arg;
};

static inline void calls_text(uint8_t *at, const char *text)
{
	memcpy(at, text, strlen(text) + 1);
}

/*
 * The bytes of an argument: from the input, then up to three of its words
 * replaced by what belongs there: its size, a descriptor, a pointer.
 */
static inline void calls_argument(struct fuzz_input *in, uint8_t *at, const int *fds, size_t n_fds)
{
	static const char *const names[] = {"0000:00:04.0", "0000:00:05.0", "0000:00:06.0",
					    "0000:00:04.0 x=1"};
	uint8_t len = fuzz_u8(in) % 96, fixes = fuzz_u8(in);

	if (fixes & 0x80) {
		calls_text(at, names[fixes & 3]);
		return;
	}
	fuzz_bytes(in, at, len);
	if (!(fixes & 0x40))
		via_put_le32(at, len);
	for (unsigned int i = 0; i < (fixes & 3u); i++) {
		uint8_t where = fuzz_u8(in);
		uint8_t *word = at + (where & 0x3f);

		switch (where >> 6) {
		case 0:
			via_put_le32(word, (uint32_t)fds[fuzz_u8(in) % n_fds]);
			break;
		case 1:
			via_put_le64(word, arena_pointer(in));
			break;
		default:
			via_put_le64(word, fuzz_number(in));
		}
	}
}

static inline struct call calls_take(struct fuzz_input *in, const int *fds, size_t n_fds)
{
	uint8_t kind = fuzz_u8(in), where = fuzz_u8(in);
	struct call call = {.cmd = VIA_VFIO_GET_API_VERSION + (kind & 0x1fu)};

	if (kind & 0x20) {
		call.arg = kind & 0x40 ? fuzz_u8(in) : fuzz_number(in);
		if (call.arg > UINT16_MAX)
			call.arg |= 1ull << 47;
	} else if (kind & 0x40) {
		call.arg = arena_pointer(in);
	} else {
		/* At the end of a good page, or inside one. */
		uint64_t offset = where & 0x80 ? ARENA_READ_ONLY * ARENA_PAGE - (where & 0x7f)
					       : where & 0x7fu;

		if (where & 0x80)
			calls_argument(in, arena_page(ARENA_READ_ONLY - 1) + ARENA_PAGE - 0x100,
				       fds, n_fds);
		else
			calls_argument(in, arena_page(0) + offset, fds, n_fds);
		call.arg = ARENA_BASE + offset;
	}
	if (kind & 0x80)
		call.cmd = call.cmd == VIA_VFIO_GET_API_VERSION ? fuzz_u64(in) : call.cmd;
	return call;
}

#endif
