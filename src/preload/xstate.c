/* SPDX-License-Identifier: MIT */
#include "preload/xstate.h"

#include <cpuid.h>
#include <stddef.h>
#include <string.h>

/* Offsets in the frame: the 512 bytes of fxsave, of which the end is the kernel's, then the header.
 */
enum {
	XMM_OFFSET = 160,
	SW_OFFSET = 464, /* u32 magic, u32 extended size, u64 features, u32 xstate size */
	HEADER_OFFSET = 512,
	SW_MAGIC = 0x46505853,
};

enum { SSE = 1, YMM_HIGH = 2, ZMM_HIGH = 6, ZMM_16_31 = 7 };

/* The pieces of which a register is made: component, bytes of the register. */
struct piece {
	unsigned int component, first, len;
	size_t offset; /* in the frame */
};

static bool component_offset(const uint8_t *fp, unsigned int component, size_t *ret_offset)
{
	uint32_t magic, size, eax, ebx, ecx, edx;
	uint64_t features;

	memcpy(&magic, fp + SW_OFFSET, sizeof(magic));
	if (magic != SW_MAGIC)
		return false;
	memcpy(&features, fp + SW_OFFSET + 8, sizeof(features));
	memcpy(&size, fp + SW_OFFSET + 16, sizeof(size));
	if (!(features >> component & 1))
		return false;
	if (!__get_cpuid_count(0xd, component, &eax, &ebx, &ecx, &edx) || ebx + eax > size)
		return false;
	*ret_offset = ebx;
	return true;
}

static unsigned int pieces(const uint8_t *fp, unsigned int n, struct piece out[3])
{
	unsigned int count = 0;
	size_t at;

	if (n >= 16) {
		if (n >= 32 || !component_offset(fp, ZMM_16_31, &at))
			return 0;
		out[0] = (struct piece){ZMM_16_31, 0, 64, at + (size_t)(n - 16) * 64};
		return 1;
	}
	out[count++] = (struct piece){SSE, 0, 16, XMM_OFFSET + (size_t)n * 16};
	if (component_offset(fp, YMM_HIGH, &at))
		out[count++] = (struct piece){YMM_HIGH, 16, 16, at + (size_t)n * 16};
	if (component_offset(fp, ZMM_HIGH, &at))
		out[count++] = (struct piece){ZMM_HIGH, 32, 32, at + (size_t)n * 32};
	return count;
}

/* The header's bitmap of components that are not in their initial state; NULL: an fxsave frame. */
static uint8_t *live_map(const uint8_t *fp)
{
	uint32_t magic;

	memcpy(&magic, fp + SW_OFFSET, sizeof(magic));
	return magic == SW_MAGIC ? (uint8_t *)(uintptr_t)fp + HEADER_OFFSET : NULL;
}

bool via_xstate_get(const void *fpstate, unsigned int n, unsigned int len, void *bytes)
{
	const uint8_t *fp = fpstate;
	struct piece p[3];
	unsigned int count, have = 0;

	if (!fp)
		return false;
	count = pieces(fp, n, p);
	const uint8_t *live = live_map(fp);

	memset(bytes, 0, len);
	for (unsigned int i = 0; i < count && p[i].first < len; i++) {
		unsigned int part = len - p[i].first < p[i].len ? len - p[i].first : p[i].len;

		if (!live || (*live >> p[i].component & 1))
			memcpy((uint8_t *)bytes + p[i].first, fp + p[i].offset, part);
		have = p[i].first + p[i].len;
	}
	return have >= len;
}

/* Bytes of a component that is in its initial state are undefined: make them zero, then live. */
static void make_live(uint8_t *fp, uint8_t *live, unsigned int component)
{
	size_t at;

	if (!live || (*live >> component & 1))
		return;
	if (component == SSE)
		memset(fp + XMM_OFFSET, 0, 256);
	else if (component_offset(fp, component, &at))
		memset(fp + at, 0,
		       component == YMM_HIGH   ? 256
		       : component == ZMM_HIGH ? 512
					       : 1024);
	*live = (uint8_t)(*live | 1u << component);
}

bool via_xstate_set(void *fpstate, unsigned int n, unsigned int len, const void *bytes,
		    bool zero_above)
{
	uint8_t *fp = fpstate;
	uint8_t full[64] = {0};
	struct piece p[3];
	unsigned int count, have = 0;

	if (!fp)
		return false;
	count = pieces(fp, n, p);
	for (unsigned int i = 0; i < count; i++)
		have = p[i].first + p[i].len;
	if (have < len)
		return false;
	if (!zero_above && !via_xstate_get(fp, n, have, full))
		return false;
	memcpy(full, bytes, len);
	for (unsigned int i = 0; i < count; i++) {
		make_live(fp, live_map(fp), p[i].component);
		memcpy(fp + p[i].offset, full + p[i].first, p[i].len);
	}
	return true;
}
