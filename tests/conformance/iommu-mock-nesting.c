/* SPDX-License-Identifier: MIT */
/* Dirty tracking, nesting, faults and vIOMMUs of the test driver's devices. */
#include "iommu-mock.h"

#include <sys/mman.h>

static const struct shown bits_out = {OUT, 32, 0};

/* Dirty tracking ------------------------------------------------------------------ */

static void harvest(const struct door *door, uint32_t pt, uint32_t flags, uint64_t iova,
		    uint64_t len, uint64_t page)
{
	IO_SHOWN(door, F, HWPT_GET_DIRTY_BITMAP, &bits_out, 48, pt, flags, 0, U64(iova), U64(len),
		 U64(page), U64(OUT));
}

/* Marks units of 2048 bytes, one for each bit. */
static void make_dirty(const struct door *door, uint32_t pt, uint64_t iova, uint64_t len,
		       uint32_t marks)
{
	data(WORDS(marks));
	TEST(door, DIRTY, pt, 0, 0, U64(iova), U64(len), U64(2048), U64(DATA));
}

void mock_dirty(const struct door *door)
{
	uint32_t ioas = ioas_new(door), tracked;
	struct mock m = mock_new(door, ioas), quiet = mock_new_flags(door, ioas, 1);
	uint32_t args[12];

	IO(door, F, OPTION, 24, 1, 0, ioas, U64(0));
	tracked = hwpt(door, 2, m.dev, ioas, 0, 0, 0);
	TEST(door, REPLACE, m.stdev, tracked);
	TEST(door, REPLACE, quiet.stdev, tracked);
	map_at(door, ioas, LAND, 8 * PAGE, APERTURE);
	map_at(door, ioas, LAND, 4 * PAGE, APERTURE + 16 * PAGE);
	make_dirty(door, tracked, APERTURE, 16 * PAGE, 0xffff);
	memcpy(args, (uint32_t[4]){16, 1, tracked, 0}, 16);
	sizes(door, F, "HWPT_SET_DIRTY_TRACKING", VIA_IOMMU_HWPT_SET_DIRTY_TRACKING, 16, 4, args);
	bits(door, F, "HWPT_SET_DIRTY_TRACKING", VIA_IOMMU_HWPT_SET_DIRTY_TRACKING, 4, args, 1, 32);
	bits(door, F, "HWPT_SET_DIRTY_TRACKING", VIA_IOMMU_HWPT_SET_DIRTY_TRACKING, 4, args, 3, 32);
	IO(door, F, HWPT_SET_DIRTY_TRACKING, 16, 1, m.hwpt, 0);
	IO(door, F, HWPT_SET_DIRTY_TRACKING, 16, 1, quiet.hwpt, 0);
	IO(door, F, HWPT_SET_DIRTY_TRACKING, 16, 0, quiet.hwpt, 0);
	IO(door, F, HWPT_SET_DIRTY_TRACKING, 16, 1, ioas, 0);
	IO(door, F, HWPT_SET_DIRTY_TRACKING, 16, 1, tracked, 0);
	memcpy(args,
	       (uint32_t[12]){48, tracked, 0, 0, U64(APERTURE), U64(PAGE), U64(PAGE), U64(OUT)},
	       48);
	sizes(door, F, "HWPT_GET_DIRTY_BITMAP", VIA_IOMMU_HWPT_GET_DIRTY_BITMAP, 48, 12, args);
	bits(door, F, "HWPT_GET_DIRTY_BITMAP", VIA_IOMMU_HWPT_GET_DIRTY_BITMAP, 12, args, 2, 32);
	bits(door, F, "HWPT_GET_DIRTY_BITMAP", VIA_IOMMU_HWPT_GET_DIRTY_BITMAP, 12, args, 3, 32);
	for (unsigned int word = 4; word < 10; word++)
		bits(door, F, "HWPT_GET_DIRTY_BITMAP", VIA_IOMMU_HWPT_GET_DIRTY_BITMAP, 12, args,
		     word, 32);
	for (uint32_t marks = 1; marks; marks <<= 3) {
		make_dirty(door, tracked, APERTURE, 8 * PAGE, marks);
		harvest(door, tracked, 1, APERTURE, 8 * PAGE, 2048);
		harvest(door, tracked, 1, APERTURE, 8 * PAGE, PAGE);
		harvest(door, tracked, 1, APERTURE, 8 * PAGE, 2 * PAGE);
		harvest(door, tracked, 0, APERTURE, 8 * PAGE, PAGE);
		harvest(door, tracked, 0, APERTURE, 8 * PAGE, PAGE);
	}
	make_dirty(door, tracked, APERTURE, 8 * PAGE, 0xffff);
	harvest(door, tracked, 0, APERTURE + PAGE, 2 * PAGE, PAGE);
	harvest(door, tracked, 0, APERTURE, 8 * PAGE, PAGE);
	make_dirty(door, tracked, APERTURE, 8 * PAGE, 0x5555);
	make_dirty(door, tracked, APERTURE + 16 * PAGE, 4 * PAGE, 0xff);
	harvest(door, tracked, 1, APERTURE, 20 * PAGE, PAGE);
	harvest(door, tracked, 0, APERTURE + 16 * PAGE, 4 * PAGE, PAGE);
	IO(door, F, HWPT_SET_DIRTY_TRACKING, 16, 0, tracked, 0);
	harvest(door, tracked, 1, APERTURE, 8 * PAGE, PAGE);
	make_dirty(door, tracked, APERTURE, 8 * PAGE, 0xffff);
	IO(door, F, HWPT_SET_DIRTY_TRACKING, 16, 1, tracked, 0);
	harvest(door, tracked, 1, APERTURE, 8 * PAGE, PAGE);
	make_dirty(door, tracked, APERTURE, 8 * PAGE, 0xffff);
	IO(door, F, HWPT_GET_DIRTY_BITMAP, 48, tracked, 0, 0, U64(APERTURE), U64(8 * PAGE),
	   U64(PAGE), U64(UNMAPPED));
	harvest(door, tracked, 0, APERTURE, 8 * PAGE, PAGE);
	harvest(door, m.hwpt, 0, APERTURE, 8 * PAGE, PAGE);
	harvest(door, quiet.hwpt, 0, APERTURE, 8 * PAGE, PAGE);
	harvest(door, ioas, 0, APERTURE, 8 * PAGE, PAGE);
	for (unsigned int i = 0; i < 6; i++) {
		static const uint64_t values[][3] = {
			{APERTURE, 0, 2048},	    {APERTURE, PAGE, 0},
			{APERTURE, PAGE, 1000},	    {APERTURE + 1, PAGE, 2048},
			{APERTURE, PAGE + 1, 2048}, {TOP, PAGE, PAGE},
		};

		data(WORDS(0xff));
		TEST(door, DIRTY, tracked, 0, 0, U64(values[i][0]), U64(values[i][1]),
		     U64(values[i][2]), U64(DATA));
	}
	TEST(door, DIRTY, tracked, 0, 0, U64(APERTURE), U64(PAGE), U64(2048), U64(0));
	TEST(door, DIRTY, tracked, 0, 0, U64(APERTURE), U64(PAGE), U64(2048), U64(UNMAPPED));
	TEST(door, DIRTY, tracked, 0, 0, U64(APERTURE), U64(1ull << 40), U64(2048), U64(DATA));
	TEST(door, DIRTY, m.dev, 0, 0, U64(APERTURE), U64(PAGE), U64(2048), U64(DATA));
	unmap(door, ioas, 0, TOP);
}

static void read_records(const struct door *door, int fd, size_t len)
{
	const uint32_t *words = (const uint32_t *)BUFFER;
	ssize_t ret;

	memset((void *)BUFFER, 0xa5, PAGE);
	ret = door->read(fd, BUFFER, len);
	printf("%s read %zx", fd_name(fd), len);
	print_result(ret);
	for (ssize_t i = 0; i < ret / 4; i++)
		printf("%s %x", i ? "" : " |", words[i]);
	printf("\n");
}

static void write_words(const struct door *door, int fd, size_t len, unsigned int n,
			const uint32_t *words)
{
	memcpy((void *)BUFFER, words, n * 4);
	printf("%s write %zx:", fd_name(fd), len);
	for (unsigned int i = 0; i < n; i++)
		printf(" %x", words[i]);
	print_result(door->write(fd, BUFFER, len));
	printf("\n");
}

/* Nesting --------------------------------------------------------------------------- */

static void invalidate(const struct door *door, uint32_t id, uint32_t type, uint32_t len,
		       uint32_t n)
{
	IO(door, F, HWPT_INVALIDATE, 32, id, U64(DATA), type, len, n, 0);
}

static void iotlb(const struct door *door, uint32_t id)
{
	for (uint32_t i = 0; i < 5; i++) {
		TEST(door, CHECK_IOTLB, id, i, 0xbadbeef);
		TEST(door, CHECK_IOTLB, id, i, 0);
	}
}

void mock_nesting(const struct door *door)
{
	uint32_t ioas = ioas_new(door), parent, child;
	struct mock m = mock_new(door, ioas);
	uint32_t args[8] = {32, 0, U64(DATA), INVALIDATE_DATA, 8, 1, 0};

	parent = hwpt(door, 1, m.dev, ioas, 0, 0, 0);
	child = nested(door, 0, m.dev, parent, 0);
	iotlb(door, child);
	iotlb(door, parent);
	data(WORDS(0, 0));
	args[1] = child;
	sizes(door, F, "HWPT_INVALIDATE", VIA_IOMMU_HWPT_INVALIDATE, 32, 8, args);
	for (unsigned int word = 4; word < 8; word++)
		bits(door, F, "HWPT_INVALIDATE", VIA_IOMMU_HWPT_INVALIDATE, 8, args, word, 32);
	iotlb(door, child);
	child = nested(door, 0, m.dev, parent, 0);
	data(WORDS(0, 1, 0, 2, 0, 3, 0, 4, 0, 0));
	invalidate(door, child, INVALIDATE_DATA, 8, 2);
	iotlb(door, child);
	invalidate(door, child, INVALIDATE_DATA, 8, 5);
	iotlb(door, child);
	for (uint32_t len = 0; len < 20; len++)
		invalidate(door, child, INVALIDATE_DATA, len, 1);
	data(WORDS(2, 0));
	invalidate(door, child, INVALIDATE_DATA, 8, 1);
	data(WORDS(1, 99));
	invalidate(door, child, INVALIDATE_DATA, 8, 1);
	iotlb(door, child);
	invalidate(door, child, INVALIDATE_DATA, 4096, 0);
	invalidate(door, child, INVALIDATE_DATA, 4097, 1);
	invalidate(door, child, INVALIDATE_DATA, 8, 1u << 19);
	invalidate(door, child, INVALIDATE_DATA, 8, (1u << 19) + 1);
	invalidate(door, child, 0, 8, 0);
	invalidate(door, parent, INVALIDATE_DATA, 8, 1);
	invalidate(door, m.hwpt, INVALIDATE_DATA, 8, 1);
	invalidate(door, ioas, INVALIDATE_DATA, 8, 1);
	IO(door, F, HWPT_INVALIDATE, 32, child, U64(0), INVALIDATE_DATA, 8, 1, 0);
	IO(door, F, HWPT_INVALIDATE, 32, child, U64(0), INVALIDATE_DATA, 8, 0, 0);
	IO(door, F, HWPT_INVALIDATE, 32, child, U64(UNMAPPED), INVALIDATE_DATA, 8, 1, 0);
	IO(door, F, HWPT_INVALIDATE, 32, child, U64(EDGE - 8), INVALIDATE_DATA, 8, 2, 0);
}

void mock_faults(const struct door *door)
{
	uint32_t ioas = ioas_new(door), parent, child, queue;
	struct mock m = mock_new(door, ioas);

	io_fd(door, F, "FAULT_QUEUE_ALLOC", VIA_IOMMU_FAULT_QUEUE_ALLOC, WORDS(16, 0, 0, 0), 3,
	      FD_FAULTS);
	queue = word_after(2);
	parent = hwpt(door, 1, m.dev, ioas, 0, 0, 0);
	nested(door, 4, m.dev, parent, 999);
	nested(door, 4, m.dev, parent, ioas);
	child = nested(door, 4, m.dev, parent, queue);
	TEST(door, TRIGGER_IOPF, 0, m.dev, 1, 2, 3, 0, U64(0x12345000));
	read_records(door, FD_FAULTS, 40);
	TEST(door, REPLACE, m.stdev, child);
	destroy(door, queue);
	for (uint32_t i = 0; i < 3; i++)
		TEST(door, TRIGGER_IOPF, 0, m.dev, i, 10 + i, 1u << i, 0, U64(0x1000 * i));
	TEST(door, TRIGGER_IOPF, 0, m.stdev, 1, 2, 3, 0, U64(0x12345000));
	for (size_t len = 0; len < 40; len += 13)
		read_records(door, FD_FAULTS, len);
	read_records(door, FD_FAULTS, 41);
	read_records(door, FD_FAULTS, 80);
	read_records(door, FD_FAULTS, 40);
	read_records(door, FD_FAULTS, 400);
	call_read(door, FD_FAULTS, 0, 40, 40, BUFFER);
	write_words(door, FD_FAULTS, 7, WORDS(1, 0));
	write_words(door, FD_FAULTS, 0, WORDS(1, 0));
	write_words(door, FD_FAULTS, 8, WORDS(1, 2));
	write_words(door, FD_FAULTS, 8, WORDS(9, 0));
	write_words(door, FD_FAULTS, 16, WORDS(1, 0, 9, 0));
	write_words(door, FD_FAULTS, 8, WORDS(1, 0));
	TEST(door, TRIGGER_IOPF, 0, m.dev, 1, 7, 3, 0, U64(0x777000));
	read_records(door, FD_FAULTS, 40);
	write_words(door, FD_FAULTS, 16, WORDS(2, 1, 1, 0));
	write_words(door, FD_FAULTS, 8, WORDS(3, 0));
	TEST(door, TRIGGER_IOPF, 0, m.dev, 1, 8, 3, 0, U64(0x888000));
	read_records(door, FD_FAULTS, 40);
	TEST(door, TRIGGER_IOPF, 0, m.dev, 1, 9, 3, 0, U64(0x999000));
	TEST(door, REPLACE, m.stdev, ioas);
	read_records(door, FD_FAULTS, 40);
	write_words(door, FD_FAULTS, 8, WORDS(1, 0));
	destroy(door, child);
	destroy(door, queue);
	call_close(door, FD_FAULTS);
	destroy(door, queue);
}

/* vIOMMUs ------------------------------------------------------------------------------ */

static uint32_t viommu_new(const struct door *door, uint32_t type, uint32_t dev, uint32_t pt)
{
	long ret = IO(door, F, VIOMMU_ALLOC, 40, 0, type, dev, pt, 0, 0, 0, U64(0));

	return ret ? 0 : word_after(5);
}

void mock_viommus(const struct door *door)
{
	static const struct shown told = {DATA, 8, 0x11111111};
	uint32_t ioas = ioas_new(door), parent, plain, viommu, vdevice, queue, child;
	struct mock m = mock_new(door, ioas), other = mock_new(door, ioas);
	uint32_t args[10];

	parent = hwpt(door, 1, m.dev, ioas, 0, 0, 0);
	plain = hwpt(door, 0, m.dev, ioas, 0, 0, 0);
	viommu_new(door, VIOMMU_TYPE, m.dev, plain);
	viommu_new(door, VIOMMU_TYPE, m.dev, m.hwpt);
	viommu_new(door, VIOMMU_TYPE, m.dev, ioas);
	viommu_new(door, VIOMMU_TYPE, ioas, parent);
	for (uint32_t type = 0; type < 4; type++)
		viommu_new(door, type, m.dev, parent);
	memcpy(args, (uint32_t[10]){40, 0, VIOMMU_TYPE, m.dev, parent}, 40);
	sizes(door, F, "VIOMMU_ALLOC", VIA_IOMMU_VIOMMU_ALLOC, 24, 10, args);
	bits(door, F, "VIOMMU_ALLOC", VIA_IOMMU_VIOMMU_ALLOC, 10, args, 1, 32);
	bits(door, F, "VIOMMU_ALLOC", VIA_IOMMU_VIOMMU_ALLOC, 10, args, 7, 32);
	for (uint32_t len = 0; len < 32; len += len < 7 || len > 8 ? 4 : 1)
		io(door, F, "VIOMMU_ALLOC", VIA_IOMMU_VIOMMU_ALLOC,
		   WORDS(40, 0, VIOMMU_TYPE, m.dev, parent, 0, len, 0, U64(DATA)), &told);
	io(door, F, "VIOMMU_ALLOC", VIA_IOMMU_VIOMMU_ALLOC,
	   WORDS(40, 0, VIOMMU_TYPE, m.dev, parent, 0, 24, 0, U64(UNMAPPED)), &told);
	call_mmap(door, F, 0, 0, PAGE, PROT_READ, MAP_SHARED);
	for (uint64_t page = 1; page < 6; page++) {
		for (uint64_t pages = 1; pages < 4; pages++)
			call_mmap(door, F, 0, page * PAGE, pages * PAGE, PROT_READ, MAP_SHARED);
	}
	viommu = viommu_new(door, VIOMMU_TYPE, m.dev, parent);
	destroy(door, parent);
	/* Devices as a guest numbers them. */
	child = nested(door, 0, m.dev, viommu, 0);
	TEST(door, REPLACE, m.stdev, child);
	IO(door, F, VDEVICE_ALLOC, 24, parent, m.dev, 0, U64(1));
	IO(door, F, VDEVICE_ALLOC, 24, viommu, ioas, 0, U64(1));
	IO(door, F, VDEVICE_ALLOC, 24, viommu, m.dev, 0, U64(0x99));
	vdevice = word_after(3);
	IO(door, F, VDEVICE_ALLOC, 24, viommu, m.dev, 0, U64(0x98));
	IO(door, F, VDEVICE_ALLOC, 24, viommu, other.dev, 0, U64(0x99));
	IO(door, F, VDEVICE_ALLOC, 24, viommu, other.dev, 0, U64(1ull << 33));
	IO(door, F, VDEVICE_ALLOC, 24, viommu, other.dev, 0, U64(0x100));
	sizes(door, F, "VDEVICE_ALLOC", VIA_IOMMU_VDEVICE_ALLOC, 24, 6,
	      (uint32_t[]){24, viommu, m.dev, 0, U64(0x99)});
	TEST(door, REPLACE, m.stdev, child);
	TEST(door, REPLACE, other.stdev, child);
	destroy(door, vdevice);
	destroy(door, viommu);
	/* The device cache through it. */
	for (uint32_t i = 0; i < 5; i++) {
		TEST(door, CHECK_CACHE, m.dev, i, 0xbaddad);
		TEST(door, CHECK_CACHE, m.dev, i, 0);
	}
	TEST(door, CHECK_CACHE, ioas, 0, 0);
	data(WORDS(0, 0x99, 1, 0, 0x99, 9, 0, 0x77, 1));
	invalidate(door, viommu, INVALIDATE_DATA, 12, 3);
	invalidate(door, viommu, INVALIDATE_DATA, 8, 1);
	invalidate(door, viommu, INVALIDATE_DATA, 13, 1);
	invalidate(door, viommu, INVALIDATE_DATA, 16, 1);
	invalidate(door, viommu, 0, 12, 1);
	invalidate(door, viommu, INVALIDATE_DATA, 12, 0);
	data(WORDS(2, 0x99, 1));
	invalidate(door, viommu, INVALIDATE_DATA, 12, 1);
	data(WORDS(1, 0x99, 9));
	invalidate(door, viommu, INVALIDATE_DATA, 12, 1);
	for (uint32_t i = 0; i < 4; i++)
		TEST(door, CHECK_CACHE, m.dev, i, 0);
	/* Events. */
	TEST(door, TRIGGER_VEVENT, 0, m.dev);
	IO(door, F, VEVENTQ_ALLOC, 32, 0, viommu, 0, 2, 0, 0, 0);
	IO(door, F, VEVENTQ_ALLOC, 32, 0, viommu, VEVENT_TYPE, 0, 0, 0, 0);
	IO(door, F, VEVENTQ_ALLOC, 32, 0, viommu, VEVENT_TYPE, (1 << 19) + 1, 0, 0, 0);
	IO(door, F, VEVENTQ_ALLOC, 32, 0, parent, VEVENT_TYPE, 2, 0, 0, 0);
	IO(door, F, VEVENTQ_ALLOC, 32, 1, viommu, VEVENT_TYPE, 2, 0, 0, 0);
	io_fd(door, F, "VEVENTQ_ALLOC", VIA_IOMMU_VEVENTQ_ALLOC,
	      WORDS(32, 0, viommu, VEVENT_TYPE, 2, 0, 0, 0), 6, FD_VEVENTS);
	queue = word_after(5);
	memcpy(args, (uint32_t[8]){32, 0, viommu, VEVENT_TYPE, 2}, 32);
	sizes(door, F, "VEVENTQ_ALLOC", VIA_IOMMU_VEVENTQ_ALLOC, 28, 8, args);
	bits(door, F, "VEVENTQ_ALLOC", VIA_IOMMU_VEVENTQ_ALLOC, 8, args, 1, 32);
	bits(door, F, "VEVENTQ_ALLOC", VIA_IOMMU_VEVENTQ_ALLOC, 8, args, 7, 32);
	read_records(door, FD_VEVENTS, 0);
	read_records(door, FD_VEVENTS, 7);
	read_records(door, FD_VEVENTS, 8);
	read_records(door, FD_VEVENTS, 400);
	TEST(door, TRIGGER_VEVENT, 0, m.dev);
	read_records(door, FD_VEVENTS, 8);
	read_records(door, FD_VEVENTS, 11);
	read_records(door, FD_VEVENTS, 12);
	for (unsigned int n = 1; n < 5; n++) {
		for (unsigned int i = 0; i < n; i++)
			TEST(door, TRIGGER_VEVENT, 0, m.dev);
		read_records(door, FD_VEVENTS, n % 2 ? 400 : 12);
		TEST(door, TRIGGER_VEVENT, 0, m.dev);
		read_records(door, FD_VEVENTS, 32);
		read_records(door, FD_VEVENTS, 400);
	}
	call_read(door, FD_VEVENTS, 0, 8, 40, BUFFER);
	write_words(door, FD_VEVENTS, 8, WORDS(1, 0));
	TEST(door, TRIGGER_VEVENT, 0, other.dev);
	TEST(door, TRIGGER_VEVENT, 0, m.stdev);
	destroy(door, queue);
	call_close(door, FD_VEVENTS);
	destroy(door, queue);
	/* What dies with its device. */
	TEST(door, REPLACE, m.stdev, ioas);
	destroy(door, m.stdev);
	destroy(door, vdevice);
	for (unsigned int i = 0; i < 6; i++)
		ioas_new(door);
}

void mock_hw_queues(const struct door *door)
{
	uint32_t ioas = ioas_new(door), parent, viommu, first;
	struct mock m = mock_new(door, ioas);
	uint32_t args[10];

	parent = hwpt(door, 1, m.dev, ioas, 0, 0, 0);
	viommu = viommu_new(door, VIOMMU_TYPE, m.dev, parent);
	memcpy(args, (uint32_t[10]){40, 0, viommu, HW_QUEUE_TYPE, 0, 0, U64(APERTURE), U64(PAGE)},
	       40);
	sizes(door, F, "HW_QUEUE_ALLOC", VIA_IOMMU_HW_QUEUE_ALLOC, 40, 10, args);
	map_at(door, ioas, LAND, PAGE, APERTURE);
	map_at(door, ioas, LAND + PAGE, PAGE, APERTURE + PAGE);
	IO(door, F, IOAS_MAP, 40, 3, ioas, 0, U64(LAND), U64(PAGE), U64(APERTURE + 2 * PAGE));
	bits(door, F, "HW_QUEUE_ALLOC", VIA_IOMMU_HW_QUEUE_ALLOC, 10, args, 1, 32);
	for (uint32_t type = 0; type < 3; type++)
		IO(door, F, HW_QUEUE_ALLOC, 40, 0, viommu, type, 0, 0, U64(APERTURE), U64(PAGE));
	IO(door, F, HW_QUEUE_ALLOC, 40, 0, parent, HW_QUEUE_TYPE, 0, 0, U64(APERTURE), U64(PAGE));
	IO(door, F, HW_QUEUE_ALLOC, 40, 0, viommu, HW_QUEUE_TYPE, 0, 0, U64(APERTURE), U64(0));
	IO(door, F, HW_QUEUE_ALLOC, 40, 0, viommu, HW_QUEUE_TYPE, 0, 0, U64(TOP), U64(PAGE));
	IO(door, F, HW_QUEUE_ALLOC, 40, 0, viommu, HW_QUEUE_TYPE, 0, 0, U64(0), U64(TOP));
	IO(door, F, HW_QUEUE_ALLOC, 40, 0, viommu, HW_QUEUE_TYPE, 0, 0, U64(APERTURE + 2 * PAGE),
	   U64(PAGE));
	IO(door, F, HW_QUEUE_ALLOC, 40, 0, viommu, HW_QUEUE_TYPE, 1, 0, U64(APERTURE), U64(PAGE));
	IO(door, F, HW_QUEUE_ALLOC, 40, 0, viommu, HW_QUEUE_TYPE, 2, 0, U64(APERTURE), U64(PAGE));
	IO(door, F, HW_QUEUE_ALLOC, 40, 0, viommu, HW_QUEUE_TYPE, 0, 0, U64(APERTURE), U64(PAGE));
	first = word_after(5);
	IO(door, F, HW_QUEUE_ALLOC, 40, 0, viommu, HW_QUEUE_TYPE, 0, 0, U64(APERTURE), U64(PAGE));
	unmap(door, ioas, APERTURE, PAGE);
	unmap(door, ioas, 0, TOP);
	unmap(door, ioas, APERTURE + 2 * PAGE, PAGE);
	IO(door, F, HW_QUEUE_ALLOC, 40, 0, viommu, HW_QUEUE_TYPE, 1, 0, U64(APERTURE + PAGE + 16),
	   U64(100));
	/* Each queue's access has an identifier of its own. */
	destroy(door, first);
	destroy(door, first + 1);
	destroy(door, first + 2);
	destroy(door, first + 3);
	destroy(door, first);
	destroy(door, viommu);
	unmap(door, ioas, APERTURE, PAGE);
	ioas_new(door);
	ioas_new(door);
}
