/* SPDX-License-Identifier: MIT */
/* What lists of calls on devices of the test driver share. */
#ifndef VIA_CONFORMANCE_IOMMU_MOCK_H
#define VIA_CONFORMANCE_IOMMU_MOCK_H

#include "iommu.h"

#include <stdio.h>
#include <string.h>

#define F FD_IOMMUFD
#define MAP_RW 6u
#define FIXED_RW 7u
#define TOP (~0ull)
#define APERTURE 0x1000000ull
#define APERTURE_END 0x80000000ull

/* What drivers are told by a program, and what calls give back besides. */
#define DATA PAGE_AT(24)

#define HWPT_DATA 0xdead
#define INVALIDATE_DATA 0xdeadbeef
#define VIOMMU_TYPE 0xdeadbeef
#define VEVENT_TYPE 0xbeefbeef
#define HW_QUEUE_TYPE 0xdeadbeef
#define HW_INFO_TYPE 0xfeedbeef

/* A device: its own object, the bound device, and the HWPT it got. */
struct mock {
	uint32_t stdev, hwpt, dev;
};

static inline void data(unsigned int n, const uint32_t *words)
{
	memset((void *)DATA, 0, PAGE);
	memcpy((void *)DATA, words, n * 4);
}

static inline struct mock mock_from(long ret)
{
	if (ret)
		return (struct mock){0};
	return (struct mock){word_after(4), word_after(5), word_after(6)};
}

static inline struct mock mock_new(const struct door *door, uint32_t pt)
{
	return mock_from(TEST(door, MOCK_DOMAIN, pt, 0, 0, 0));
}

static inline struct mock mock_new_flags(const struct door *door, uint32_t pt, uint32_t flags)
{
	return mock_from(TEST(door, MOCK_DOMAIN_FLAGS, pt, 0, 0, 0, flags));
}

static inline uint32_t ioas_new(const struct door *door)
{
	return IO(door, F, IOAS_ALLOC, 12, 0, 0) ? 0 : word_after(2);
}

static inline void destroy(const struct door *door, uint32_t id)
{
	IO(door, F, DESTROY, 8, id);
}

static inline long map_at(const struct door *door, uint32_t ioas, uint64_t va, uint64_t len,
			  uint64_t iova)
{
	return IO(door, F, IOAS_MAP, 40, FIXED_RW, ioas, 0, U64(va), U64(len), U64(iova));
}

static inline long map_any(const struct door *door, uint32_t ioas, uint64_t va, uint64_t len)
{
	return IO(door, F, IOAS_MAP, 40, MAP_RW, ioas, 0, U64(va), U64(len), U64(0));
}

static inline long unmap(const struct door *door, uint32_t ioas, uint64_t iova, uint64_t len)
{
	return IO(door, F, IOAS_UNMAP, 24, ioas, U64(iova), U64(len));
}

static inline void ranges(const struct door *door, uint32_t ioas)
{
	const struct shown out = {OUT, 64, 0xa5a5a5a5};

	IO_SHOWN(door, F, IOAS_IOVA_RANGES, &out, 32, ioas, 8, 0, U64(OUT), U64(0));
}

static inline uint32_t hwpt(const struct door *door, uint32_t flags, uint32_t dev, uint32_t pt,
			    uint32_t type, uint32_t len, uint32_t fault)
{
	long ret = IO(door, F, HWPT_ALLOC, 48, flags, dev, pt, 0, 0, type, len, U64(len ? DATA : 0),
		      fault, 0);

	return ret ? 0 : word_after(4);
}

static inline uint32_t nested(const struct door *door, uint32_t flags, uint32_t dev,
			      uint32_t parent, uint32_t fault)
{
	data(WORDS(0xbadbeef, 0));
	return hwpt(door, flags, dev, parent, HWPT_DATA, 8, fault);
}

/* Lists, each on an iommufd of its own. */
void mock_dirty(const struct door *door);
void mock_nesting(const struct door *door);
void mock_faults(const struct door *door);
void mock_viommus(const struct door *door);
void mock_hw_queues(const struct door *door);

#endif
