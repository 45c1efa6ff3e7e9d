/* SPDX-License-Identifier: MIT */
/*
 * /dev/iommu with the devices of the test driver: what is mapped, HWPTs,
 * accesses and PASIDs.
 */
#include "iommu-mock.h"

static const struct shown info_out = {OUT, 16, 0xa5a5a5a5};

/* Devices -------------------------------------------------------------------- */

static void devices(const struct door *door)
{
	struct mock a, b;
	uint32_t one, two;

	TEST(door, MOCK_DOMAIN, 0, 0);
	TEST(door, MOCK_DOMAIN, 99, 0);
	one = ioas_new(door);
	two = ioas_new(door);
	a = mock_new(door, one);
	ranges(door, one);
	b = mock_new(door, one);
	mock_new(door, a.stdev);
	mock_new(door, a.dev);
	mock_new(door, b.hwpt);
	for (unsigned int bit = 0; bit < 32; bit++)
		destroy(door, mock_new_flags(door, one, 1u << bit).stdev);
	destroy(door, mock_new_flags(door, one, 5).stdev);
	for (uint32_t id = 0; id < 12; id++)
		destroy(door, id);
	for (uint32_t id = 0; id < 12; id++)
		destroy(door, id);
	one = ioas_new(door);
	two = ioas_new(door);
	a = mock_new(door, one);
	map_at(door, two, LAND, PAGE, APERTURE - PAGE);
	TEST(door, REPLACE, a.stdev, two);
	TEST(door, REPLACE, a.stdev, a.hwpt);
	TEST(door, REPLACE, a.stdev, a.dev);
	TEST(door, REPLACE, a.stdev, 99);
	TEST(door, REPLACE, a.stdev, 0);
	TEST(door, REPLACE, a.dev, two);
	TEST(door, REPLACE, 99, two);
	unmap(door, two, 0, TOP);
	TEST(door, REPLACE, a.stdev, two);
	destroy(door, a.hwpt);
	TEST(door, REPLACE, a.stdev, one);
	/* An allowed range that no device can serve, and one that it can. */
	memcpy((void *)OUT, (uint64_t[]){0, 0xffff}, 16);
	IO(door, F, IOAS_ALLOW_IOVAS, 24, one, 1, 0, U64(OUT));
	memcpy((void *)OUT, (uint64_t[]){APERTURE + 0x10000, APERTURE + 0x1ffff}, 16);
	IO(door, F, IOAS_ALLOW_IOVAS, 24, one, 1, 0, U64(OUT));
	map_any(door, one, LAND, PAGE);
	TEST(door, ADD_RESERVED, one, U64(APERTURE), U64(PAGE));
	TEST(door, ADD_RESERVED, one, U64(APERTURE + 0x10000), U64(PAGE));
	TEST(door, ADD_RESERVED, one, U64(APERTURE), U64(0));
	TEST(door, ADD_RESERVED, one, U64(TOP), U64(2));
	TEST(door, ADD_RESERVED, a.dev, U64(0), U64(0));
	TEST(door, ADD_RESERVED, a.dev, U64(0), U64(2));
	TEST(door, ADD_RESERVED, 999, U64(TOP), U64(2));
	ranges(door, one);
	IO(door, F, OPTION, 24, 1, 0, one, U64(0));
	unmap(door, one, 0, TOP);
	IO(door, F, OPTION, 24, 1, 0, one, U64(0));
	IO(door, F, OPTION, 24, 1, 1, one, U64(0));
	ranges(door, one);
	destroy(door, a.stdev);
	ranges(door, one);
	sizes(door, F, "TEST_CMD", TEST_CMD, 68, 18,
	      (uint32_t[18]){72, TEST_CHECK_REFS, 0, 0, U64(PAGE), U64(LAND), 0});
	for (uint32_t op = 0; op < 40; op++)
		IO(door, F, OPTION, 24, 1, op, one, U64(1));
	test_cmd(door, 0, 0, 0, NULL);
	test_cmd(door, 24, 0, 0, NULL);
	test_cmd(door, ~0u, 0, 0, NULL);
	TEST(door, TEMP_MEMORY_LIMIT, 0, 11);
	TEST(door, TEMP_MEMORY_LIMIT, 0, 12);
	TEST(door, TEMP_MEMORY_LIMIT, 0, 65536);
}

/* What is mapped is pinned, once, and seen by the domain ------------------------- */

static void check(const struct door *door, uint32_t pt, uint64_t iova, uint64_t len, uint64_t va)
{
	TEST(door, CHECK_MAP, pt, U64(iova), U64(len), U64(va));
}

static void refs(const struct door *door, uint64_t va, uint64_t len, uint32_t n)
{
	TEST(door, CHECK_REFS, 0, U64(len), U64(va), n);
}

static void maps(const struct door *door)
{
	static const uint64_t at[] = {APERTURE - PAGE,	   APERTURE - 2048, APERTURE,
				      APERTURE + 1024,	   APERTURE + 2048, APERTURE_END - PAGE,
				      APERTURE_END - 2048, APERTURE_END};
	static const uint64_t lens[] = {1024, 2048, 3000, PAGE, PAGE + 2048, 2 * PAGE};
	static const uintptr_t addrs[] = {LAND,	       LAND + 1024, LAND + 2048, EDGE,
					  EDGE - PAGE, READ_ONLY,   UNMAPPED,	 MEMORY};
	uint32_t ioas = ioas_new(door);
	struct mock m = mock_new(door, ioas), n;

	for (size_t i = 0; i < 8; i++) {
		for (size_t j = 0; j < 6; j++) {
			if (!map_at(door, ioas, LAND, lens[j], at[i])) {
				check(door, m.hwpt, at[i], lens[j], LAND);
				unmap(door, ioas, at[i], lens[j]);
			}
		}
	}
	for (size_t i = 0; i < 8; i++) {
		for (size_t j = 0; j < 6; j++) {
			if (!map_any(door, ioas, addrs[i], lens[j])) {
				check(door, m.hwpt, u64_after(8), lens[j], addrs[i]);
				unmap(door, ioas, 0, TOP);
			}
		}
		for (uint32_t flags = 2; flags < 8; flags++) {
			IO(door, F, IOAS_MAP, 40, flags, ioas, 0, U64(addrs[i]), U64(PAGE),
			   U64(APERTURE));
			unmap(door, ioas, 0, TOP);
		}
	}
	refs(door, LAND, 4 * PAGE, 0);
	map_at(door, ioas, LAND, 4 * PAGE, APERTURE);
	refs(door, LAND, 4 * PAGE, 1);
	refs(door, LAND, 5 * PAGE, 1);
	refs(door, LAND, 4 * PAGE, 0);
	refs(door, LAND + 1, PAGE, 1);
	refs(door, LAND, PAGE / 2, 1);
	check(door, m.hwpt, APERTURE, 4 * PAGE, LAND);
	check(door, m.hwpt, APERTURE, 5 * PAGE, LAND);
	check(door, m.hwpt, APERTURE + 2048, 2048, LAND + 2048);
	check(door, m.hwpt, APERTURE + 1024, 2048, LAND + 1024);
	check(door, m.hwpt, APERTURE, PAGE, LAND + PAGE);
	check(door, m.hwpt, APERTURE, PAGE, UNMAPPED);
	check(door, m.dev, APERTURE, PAGE, LAND);
	check(door, 99, APERTURE, PAGE, LAND);
	n = mock_new(door, ioas);
	refs(door, LAND, 4 * PAGE, 1);
	map_at(door, ioas, LAND, 4 * PAGE, APERTURE + 0x10000);
	refs(door, LAND, 4 * PAGE, 2);
	IO(door, F, IOAS_COPY, 40, MAP_RW, ioas, ioas, U64(2 * PAGE), U64(0), U64(APERTURE));
	refs(door, LAND, 2 * PAGE, 2);
	IO(door, F, IOAS_COPY, 40, MAP_RW, ioas, ioas, U64(2048), U64(0), U64(APERTURE + 2048));
	IO(door, F, IOAS_COPY, 40, MAP_RW, ioas, ioas, U64(1024), U64(0), U64(APERTURE + 2048));
	IO(door, F, IOAS_COPY, 40, MAP_RW, ioas, ioas, U64(2048), U64(0), U64(APERTURE + 1024));
	destroy(door, n.stdev);
	destroy(door, m.stdev);
	refs(door, LAND, 4 * PAGE, 0);
	m = mock_new(door, ioas);
	refs(door, LAND, 4 * PAGE, 2);
	unmap(door, ioas, APERTURE, PAGE);
	unmap(door, ioas, APERTURE, 4 * PAGE);
	refs(door, LAND, 4 * PAGE, 1);
	unmap(door, ioas, 0, TOP);
	/* Files. */
	IO(door, F, IOAS_MAP_FILE, 40, MAP_RW, ioas, FD_MEMORY, U64(0), U64(4 * PAGE), U64(0));
	check(door, m.hwpt, u64_after(8), 4 * PAGE, MEMORY);
	check(door, m.hwpt, APERTURE, 4 * PAGE, LAND);
	for (uint64_t start = 0; start < 3 * PAGE; start += 1024)
		IO(door, F, IOAS_MAP_FILE, 40, MAP_RW, ioas, FD_MEMORY, U64(start), U64(PAGE),
		   U64(0));
	for (uint64_t last = MEMORY_PAGES - 2; last < MEMORY_PAGES + 2; last++)
		IO(door, F, IOAS_MAP_FILE, 40, MAP_RW, ioas, FD_MEMORY, U64(last * PAGE), U64(PAGE),
		   U64(0));
	IO(door, F, IOAS_MAP_FILE, 40, MAP_RW, ioas, FD_PIPE, U64(0), U64(PAGE), U64(0));
	IO(door, F, IOAS_MAP_FILE, 40, MAP_RW, ioas, FD_IOMMUFD, U64(0), U64(PAGE), U64(0));
	IO(door, F, IOAS_MAP_FILE, 40, MAP_RW, ioas, FD_MEMORY_RO, U64(0), U64(PAGE), U64(0));
	IO(door, F, IOAS_CHANGE_PROCESS, 8, 0);
	unmap(door, ioas, 0, TOP);
	/* Memory that is not there is missed when a device comes. */
	destroy(door, m.stdev);
	map_at(door, ioas, UNMAPPED, PAGE, APERTURE);
	mock_new(door, ioas);
	unmap(door, ioas, 0, TOP);
	IO(door, F, IOAS_MAP_FILE, 40, MAP_RW, ioas, FD_PIPE, U64(0), U64(PAGE), U64(0));
	mock_new(door, ioas);
	unmap(door, ioas, 0, TOP);
	map_at(door, ioas, LAND + 1, PAGE, APERTURE);
	mock_new(door, ioas);
	unmap(door, ioas, 0, TOP);
	map_at(door, ioas, LAND, PAGE, 0);
	mock_new(door, ioas);
	unmap(door, ioas, 0, TOP);
	mock_new(door, ioas);
}

/* HWPTs ------------------------------------------------------------------------ */

static void hwpts(const struct door *door)
{
	uint32_t ioas = ioas_new(door), parent, plain, child;
	struct mock m = mock_new(door, ioas), quiet = mock_new_flags(door, ioas, 1);
	uint32_t args[12] = {48, 0, m.dev, ioas};

	sizes(door, F, "HWPT_ALLOC", VIA_IOMMU_HWPT_ALLOC, 24, 12, args);
	bits(door, F, "HWPT_ALLOC", VIA_IOMMU_HWPT_ALLOC, 12, args, 1, 32);
	for (uint32_t flags = 0; flags < 16; flags++) {
		hwpt(door, flags, m.dev, ioas, 0, 0, 0);
		hwpt(door, flags, quiet.dev, ioas, 0, 0, 0);
	}
	hwpt(door, 0, ioas, ioas, 0, 0, 0);
	hwpt(door, 0, m.dev, m.dev, 0, 0, 0);
	hwpt(door, 0, m.dev, 999, 0, 0, 0);
	hwpt(door, 0, 999, ioas, 0, 0, 0);
	hwpt(door, 0, m.stdev, ioas, 0, 0, 0);
	data(WORDS(0xbadbeef, 0));
	for (uint32_t type = 0; type < 4; type++)
		hwpt(door, 0, m.dev, ioas, type, 8, 0);
	for (uint32_t len = 0; len < 12; len++)
		hwpt(door, 0, m.dev, ioas, HWPT_DATA, len, 0);
	for (uint32_t table = 0; table < 4; table++) {
		data(WORDS(0, table));
		hwpt(door, 0, m.dev, ioas, HWPT_DATA, 8, 0);
	}
	parent = hwpt(door, 1, m.dev, ioas, 0, 0, 0);
	plain = hwpt(door, 0, m.dev, ioas, 0, 0, 0);
	for (uint32_t flags = 0; flags < 32; flags++)
		nested(door, flags, m.dev, parent, 999);
	nested(door, 0, m.dev, plain, 0);
	nested(door, 0, m.dev, m.hwpt, 0);
	data(WORDS(0xbadbeef, 0, 0));
	for (uint32_t len = 0; len < 14; len++)
		hwpt(door, 0, m.dev, parent, HWPT_DATA, len, 0);
	for (uint32_t type = 0; type < 3; type++)
		hwpt(door, 0, m.dev, parent, type, 8, 0);
	IO(door, F, HWPT_ALLOC, 48, 0, m.dev, parent, 0, 0, HWPT_DATA, 8, U64(0), 0, 0);
	IO(door, F, HWPT_ALLOC, 48, 0, m.dev, parent, 0, 0, HWPT_DATA, 8, U64(UNMAPPED), 0, 0);
	IO(door, F, HWPT_ALLOC, 48, 0, m.dev, parent, 0, 0, HWPT_DATA, 8, U64(EDGE - 4), 0, 0);
	child = nested(door, 0, m.dev, parent, 0);
	nested(door, 0, m.dev, child, 0);
	destroy(door, parent);
	TEST(door, REPLACE, m.stdev, child);
	TEST(door, REPLACE, quiet.stdev, parent);
	destroy(door, child);
	TEST(door, REPLACE, m.stdev, plain);
	destroy(door, child);
	destroy(door, plain);
	destroy(door, ioas);
	mock_new(door, plain);
	mock_new(door, parent);
	TEST(door, REPLACE, m.stdev, ioas);
	/* What a HWPT does to its IOAS, and what it refuses. */
	unmap(door, ioas, 0, TOP);
	map_at(door, ioas, UNMAPPED, PAGE, APERTURE);
	map_at(door, ioas, LAND, PAGE, APERTURE);
	hwpt(door, 0, m.dev, ioas, 0, 0, 0);
	IO(door, F, OPTION, 24, 1, 0, ioas, U64(0));
}

static void information(const struct door *door)
{
	uint32_t ioas = ioas_new(door);
	struct mock m = mock_new(door, ioas), p = mock_new_flags(door, ioas, 4),
		    quiet = mock_new_flags(door, ioas, 1);
	static const uint32_t types[] = {0, 1, 2, 3, 4, HW_INFO_TYPE, ~0u};
	uint32_t args[10] = {40, 0, m.dev, 16, U64(OUT)};

	sizes(door, F, "GET_HW_INFO", VIA_IOMMU_GET_HW_INFO, 32, 10, args);
	bits(door, F, "GET_HW_INFO", VIA_IOMMU_GET_HW_INFO, 10, args, 1, 32);
	bits(door, F, "GET_HW_INFO", VIA_IOMMU_GET_HW_INFO, 10, args, 7, 32);
	for (uint32_t len = 0; len < 20; len++)
		IO_SHOWN(door, F, GET_HW_INFO, &info_out, 40, 0, m.dev, len, U64(OUT), 0, 0,
			 U64(0));
	for (size_t i = 0; i < 7; i++) {
		IO_SHOWN(door, F, GET_HW_INFO, &info_out, 40, 0, m.dev, 8, U64(OUT), types[i], 0,
			 U64(0));
		IO_SHOWN(door, F, GET_HW_INFO, &info_out, 40, 1, m.dev, 8, U64(OUT), types[i], 0,
			 U64(0));
	}
	IO_SHOWN(door, F, GET_HW_INFO, &info_out, 40, 0, p.dev, 8, U64(OUT), 0, 0, U64(0));
	IO_SHOWN(door, F, GET_HW_INFO, &info_out, 40, 0, quiet.dev, 8, U64(OUT), 0, 0, U64(0));
	IO(door, F, GET_HW_INFO, 40, 0, m.dev, 8, U64(UNMAPPED), 0, 0, U64(0));
	IO(door, F, GET_HW_INFO, 40, 0, m.dev, 8, U64(EDGE - 4), 0, 0, U64(0));
	IO(door, F, GET_HW_INFO, 40, 0, m.dev, 16, U64(EDGE - 8), 0, 0, U64(0));
	IO(door, F, GET_HW_INFO, 40, 0, m.dev, 0, U64(UNMAPPED), 0, 0, U64(0));
	IO(door, F, GET_HW_INFO, 40, 0, m.stdev, 8, U64(OUT), 0, 0, U64(0));
}

/* Accesses ----------------------------------------------------------------------------- */

static long pin(const struct door *door, int fd, uint32_t flags, uint64_t iova, uint64_t len,
		uint64_t va)
{
	return TEST(door, ACCESS_PAGES, (uint32_t)fd, flags, 0, U64(iova), U64(len), U64(va));
}

static void unpin(const struct door *door, int fd, uint32_t item)
{
	TEST(door, DESTROY_ACCESS_PAGES, (uint32_t)fd, item);
}

static void copy(const struct door *door, int fd, uint32_t flags, uint64_t iova, uint64_t len,
		 uint64_t va)
{
	TEST(door, ACCESS_RW, (uint32_t)fd, U64(iova), U64(len), U64(va), flags);
}

static void accesses(const struct door *door)
{
	uint32_t one = ioas_new(door), two = ioas_new(door), item;

	test_access(door, 99, 0, FD_ACCESS);
	for (unsigned int bit = 1; bit < 32; bit++)
		test_access(door, one, 1u << bit, FD_ACCESS);
	ranges(door, one);
	test_access(door, one, 0, FD_ACCESS);
	ranges(door, one);
	map_at(door, one, LAND + 100, 3 * PAGE, 0x10100);
	test_access(door, one, 1, FD_ACCESS + 1);
	unmap(door, one, 0, TOP);
	test_access(door, one, 1, FD_ACCESS + 1);
	ranges(door, one);
	map_at(door, one, LAND, 3 * PAGE, 0x10000);
	map_at(door, one, LAND + 8 * PAGE, PAGE, 0x13000);
	IO(door, F, IOAS_MAP, 40, 5, one, 0, U64(LAND), U64(PAGE), U64(0x20000));
	IO(door, F, IOAS_MAP, 40, 3, one, 0, U64(LAND), U64(PAGE), U64(0x30000));
	map_at(door, one, UNMAPPED, PAGE, 0x40000);
	IO(door, F, IOAS_MAP_FILE, 40, FIXED_RW, one, FD_MEMORY, U64(0), U64(2 * PAGE),
	   U64(0x50000));
	for (uint32_t flags = 0; flags < 4; flags++) {
		pin(door, FD_ACCESS, flags, 0x10000, PAGE, LAND);
		for (uint64_t iova = 0xf000; iova <= 0x51000; iova += 0x800)
			if (iova < 0x15000 || iova % 0x8000 == 0)
				pin(door, FD_ACCESS + 1, flags, iova, PAGE,
				    iova < 0x13000 ? LAND + (iova - 0x10000) / PAGE * PAGE : LAND);
		copy(door, FD_ACCESS, flags, 0x20000, 8, BUFFER);
		copy(door, FD_ACCESS, flags, 0x30000, 8, BUFFER);
		copy(door, FD_ACCESS, flags | 4, 0x20000, 8, BUFFER);
		copy(door, FD_ACCESS, flags | 4, 0x30000, 8, BUFFER);
		copy(door, FD_ACCESS + 1, flags, 0x50ffc, 8, BUFFER);
	}
	refs(door, LAND, PAGE, 1);
	for (uint32_t id = 0; id < 24; id++)
		unpin(door, FD_ACCESS + 1, id);
	refs(door, LAND, 3 * PAGE, 0);
	pin(door, FD_ACCESS + 1, 1, 0x10000, 3 * PAGE, LAND);
	item = word_after(5);
	pin(door, FD_ACCESS + 1, 0, 0x10000, 3 * PAGE, LAND);
	pin(door, FD_ACCESS + 1, 0, 0x12000, 2 * PAGE, LAND + 2 * PAGE);
	pin(door, FD_ACCESS + 1, 0, 0x10000, 0, LAND);
	pin(door, FD_ACCESS + 1, 0, TOP, 2, LAND);
	pin(door, FD_ACCESS + 1, 0, 0x10000, (16 << 20) + 1, LAND);
	pin(door, FD_ACCESS + 1, 0, 0x10000, PAGE, UNMAPPED);
	refs(door, LAND, 3 * PAGE, 1);
	pin(door, FD_IOMMUFD, 0, 0x10000, PAGE, LAND);
	pin(door, FD_CLOSED, 0, 0x10000, PAGE, LAND);
	pin(door, FD_PIPE, 0, 0x10000, PAGE, LAND);
	unpin(door, FD_CLOSED, 0);
	unpin(door, FD_ACCESS + 1, 999);
	unpin(door, FD_ACCESS, item);
	copy(door, FD_ACCESS, 0, 0x10000, 0, BUFFER);
	copy(door, FD_ACCESS, 0, TOP, 2, BUFFER);
	copy(door, FD_ACCESS, 0, 0x10000, (16 << 20) + 1, BUFFER);
	copy(door, FD_ACCESS, 0, 0x10ffe, 4, UNMAPPED);
	copy(door, FD_ACCESS, 8, 0x10ffe, 4, BUFFER);
	copy(door, FD_CLOSED, 0, 0x10ffe, 4, BUFFER);
	memset((void *)BUFFER, 0, PAGE);
	copy(door, FD_ACCESS, 0, 0x13ffc, 8, BUFFER);
	printf("  got %x %x\n", ((uint32_t *)BUFFER)[0], ((uint32_t *)BUFFER)[1]);
	/* Cut and unmapped under pins. */
	unmap(door, one, 0x10000, PAGE);
	unmap(door, one, 0x10000, 3 * PAGE);
	unpin(door, FD_ACCESS + 1, item);
	refs(door, LAND, 3 * PAGE, 0);
	TEST(door, ACCESS_REPLACE_IOAS, FD_ACCESS + 1, two);
	TEST(door, ACCESS_REPLACE_IOAS, FD_ACCESS + 1, two);
	TEST(door, ACCESS_REPLACE_IOAS, FD_ACCESS + 1, 99);
	TEST(door, ACCESS_REPLACE_IOAS, FD_CLOSED, one);
	ranges(door, one);
	ranges(door, two);
	pin(door, FD_ACCESS + 1, 0, 0x13000, PAGE, LAND + 8 * PAGE);
	destroy(door, two);
	call_close(door, FD_ACCESS + 1);
	destroy(door, two);
	destroy(door, one);
	call_close(door, FD_ACCESS);
	destroy(door, one);
}

/* PASIDs --------------------------------------------------------------------------------- */

static void pasids(const struct door *door)
{
	uint32_t ioas = ioas_new(door), with, without, parent, child;
	struct mock p = mock_new_flags(door, ioas, 4), m = mock_new(door, ioas);

	without = hwpt(door, 0, p.dev, ioas, 0, 0, 0);
	with = hwpt(door, 8, p.dev, ioas, 0, 0, 0);
	parent = hwpt(door, 9, p.dev, ioas, 0, 0, 0);
	child = nested(door, 8, p.dev, parent, 0);
	for (unsigned int pass = 0; pass < 2; pass++) {
		uint32_t pts[] = {ioas, without, with, parent, child, p.dev, 999, 0};

		for (unsigned int i = 0; i < 8; i++) {
			TEST(door, PASID_ATTACH, p.stdev, 100, pts[i]);
			TEST(door, PASID_CHECK, p.stdev, 100, pts[i]);
			TEST(door, PASID_ATTACH, p.stdev, 100, with);
			TEST(door, PASID_REPLACE, p.stdev, 100, pts[i]);
			TEST(door, PASID_REPLACE, p.stdev, 101, pts[i]);
			TEST(door, REPLACE, p.stdev, without);
			TEST(door, PASID_CHECK, p.stdev, 100, with);
			TEST(door, PASID_CHECK, p.stdev, 101, 0);
			TEST(door, PASID_DETACH, p.stdev, 100);
			TEST(door, PASID_DETACH, p.stdev, 100);
			TEST(door, PASID_ATTACH, m.stdev, 100, pts[i]);
			TEST(door, PASID_DETACH, m.stdev, 100);
			TEST(door, REPLACE, p.stdev, pass ? parent : with);
		}
	}
	for (uint64_t pasid = 1; pasid <= 1u << 21; pasid *= 2) {
		TEST(door, PASID_ATTACH, p.stdev, (uint32_t)pasid, with);
		TEST(door, PASID_REPLACE, p.stdev, (uint32_t)pasid, child);
		TEST(door, PASID_CHECK, p.stdev, (uint32_t)pasid, child);
		TEST(door, PASID_CHECK, p.stdev, (uint32_t)pasid, with);
		TEST(door, PASID_DETACH, p.stdev, (uint32_t)pasid);
	}
	TEST(door, PASID_ATTACH, p.stdev, 0, with);
	TEST(door, PASID_DETACH, p.stdev, 0);
	TEST(door, PASID_ATTACH, p.dev, 1, with);
	TEST(door, PASID_ATTACH, p.stdev, 1, with);
	destroy(door, with);
	/* With a PASID attached a kernel would warn, and keep the HWPT. */
	TEST(door, PASID_DETACH, p.stdev, 1);
	destroy(door, p.stdev);
	destroy(door, with);
}

void mock_lists(const struct door *door, const struct machine *machine)
{
	static const struct {
		const char *name;
		void (*fn)(const struct door *door);
	} lists[] = {
		{"mock: devices", devices},
		{"mock: maps", maps},
		{"mock: HWPTs", hwpts},
		{"mock: hardware information", information},
		{"mock: dirty tracking", mock_dirty},
		{"mock: nesting", mock_nesting},
		{"mock: faults", mock_faults},
		{"mock: vIOMMUs", mock_viommus},
		{"mock: queues", mock_hw_queues},
		{"mock: accesses", accesses},
		{"mock: PASIDs", pasids},
	};

	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		section(lists[i].name);
		iommufd_open(door);
		lists[i].fn(door);
		call_close(door, F);
	}
}
