/* SPDX-License-Identifier: MIT */
/* Sequences on /dev/iommu with devices of the test driver. */
#include "iommu.h"

#include <stdio.h>
#include <string.h>

#define F FD_IOMMUFD
#define APERTURE 0x1000000ull
#define DATA PAGE_AT(24)
#define N 6 /* remembered of each kind */

enum kind { IOAS, HWPT, NESTED, STDEV, DEV, FAULT, VIOMMU, VDEVICE, VEVENTQ, QUEUE, KINDS };

static const struct shown bits_out = {OUT, 8, 0};
static const struct shown ranges_out = {OUT, 32, 0xa5a5a5a5};

/* Identifiers of each kind that a sequence has seen; they may be gone. */
struct world {
	uint32_t ids[KINDS][N];
	uint64_t iova[16], length[16], va[16];
	uint32_t ioas[16];
	uint32_t items[4];
	/* Either PASIDs are attached, or devices go: a kernel warns where both happens. */
	bool pasids;
	uint64_t stdevs; /* a bit for each identifier that was one's */
};

static uint32_t pick(const struct world *w, enum kind kind)
{
	if (rarely(24))
		return below(24);
	if (rarely(12))
		kind = below(KINDS);
	return w->ids[kind][below(N)];
}

/* An IOAS, or one time in three a HWPT. */
static uint32_t pick_pt(const struct world *w)
{
	return pick(w, below(3) ? IOAS : below(4) ? HWPT : NESTED);
}

static void remember(struct world *w, enum kind kind, unsigned int at, uint32_t id)
{
	w->ids[kind][at] = id;
	for (unsigned int i = 0; i < N; i++) {
		if (!w->ids[kind][i])
			w->ids[kind][i] = id;
	}
}

static void seen(struct world *w, enum kind kind, long ret, unsigned int word)
{
	if (!ret)
		remember(w, kind, below(N), word_after(word));
}

static void seen_device(struct world *w, long ret)
{
	unsigned int at = below(N);

	if (ret)
		return;
	remember(w, STDEV, at, word_after(4));
	w->stdevs |= word_after(4) < 64 ? 1ull << word_after(4) : 0;
	remember(w, HWPT, below(N), word_after(5));
	remember(w, DEV, at, word_after(6));
}

static void data(unsigned int n, const uint32_t *words)
{
	memset((void *)DATA, 0, PAGE);
	memcpy((void *)DATA, words, n * 4);
	printf("  data");
	for (unsigned int i = 0; i < n; i++)
		printf(" %x", words[i]);
	printf("\n");
}

static uint64_t pick_iova(const struct world *w)
{
	uint64_t iova = APERTURE + below(64) * PAGE;

	if (below(2))
		iova = w->iova[below(16)] + (rarely(4) ? below(4) * PAGE : 0);
	if (rarely(20))
		iova += 512u << below(3);
	return rarely(50) ? iova ^ 1ull << below(64) : iova;
}

static uint64_t pick_length(void)
{
	uint64_t length = (1 + below(6)) * PAGE;

	if (rarely(16))
		length -= 512u << below(3);
	return rarely(50) ? random64() >> below(64) : length;
}

static uint64_t pick_va(void)
{
	switch (below(40)) {
	case 0:
		return UNMAPPED;
	case 1:
		return READ_ONLY;
	case 2:
		return EDGE - PAGE;
	case 3:
		return LAND + (512u << below(3));
	default:
		return LAND + below(32) * PAGE;
	}
}

/* Memory ------------------------------------------------------------------------- */

static void believe(struct world *w, long ret, uint32_t ioas, uint64_t va, uint64_t length,
		    unsigned int word)
{
	unsigned int i = below(16);

	if (ret)
		return;
	w->ioas[i] = ioas;
	w->va[i] = va;
	w->length[i] = length;
	w->iova[i] = u64_after(word);
}

static void step_memory(const struct door *door, struct world *w)
{
	uint32_t ioas = pick(w, IOAS), flags = rarely(12) ? below(16) : 6 | below(2);
	uint64_t iova = pick_iova(w), length = pick_length(), va = pick_va();
	uint64_t start = below(MEMORY_PAGES) * PAGE;
	unsigned int i = below(16);
	long ret;

	switch (below(12)) {
	case 0:
	case 1:
		ret = IO(door, F, IOAS_COPY, 40, flags, ioas, w->ioas[i], U64(w->length[i]),
			 U64(iova), U64(w->iova[i]));
		believe(w, ret, ioas, w->va[i], w->length[i], 6);
		break;
	case 2:
	case 3:
		ret = IO(door, F, IOAS_MAP_FILE, 40, flags, ioas, FD_MEMORY, U64(start),
			 U64(length), U64(iova));
		believe(w, ret, ioas, MEMORY + start, length, 8);
		break;
	case 4:
	case 5:
	case 6:
		IO(door, F, IOAS_UNMAP, 24, w->ioas[i], U64(w->iova[i]), U64(w->length[i]));
		break;
	case 7:
		IO(door, F, IOAS_UNMAP, 24, ioas, U64(iova), U64(length));
		break;
	default:
		ret = IO(door, F, IOAS_MAP, 40, flags, ioas, 0, U64(va), U64(length), U64(iova));
		believe(w, ret, ioas, va, length, 8);
	}
}

/* Devices and HWPTs ------------------------------------------------------------------ */

static void step_hwpt(const struct door *door, struct world *w)
{
	uint32_t flags = rarely(3) ? below(16) : 1u << below(5) & 11, dev = pick(w, DEV);
	bool nested = rarely(2);
	uint32_t pt = nested ? pick(w, below(3) ? HWPT : VIOMMU) : pick(w, IOAS);
	long ret;

	if (nested) {
		data(WORDS(0xbadbeef, 0));
		ret = IO(door, F, HWPT_ALLOC, 48, below(3) ? 0 : below(3) * 4, dev, pt, 0, 0,
			 0xdead, 8, U64(DATA), pick(w, FAULT), 0);
	} else {
		ret = IO(door, F, HWPT_ALLOC, 48, flags, dev, pt, 0, 0, 0, 0, U64(0),
			 pick(w, FAULT), 0);
	}
	seen(w, nested ? NESTED : HWPT, ret, 4);
}

static void step_device(const struct door *door, struct world *w)
{
	static const uint32_t pasids[] = {1, 2, 100, 1024, 1u << 20};
	uint32_t stdev = pick(w, STDEV), pasid = pasids[below(5)];

	switch (below(w->pasids ? 10 : 5)) {
	case 0:
		seen_device(w, TEST(door, MOCK_DOMAIN, pick_pt(w), 0, 0, 0));
		break;
	case 1:
		seen_device(w, TEST(door, MOCK_DOMAIN_FLAGS, pick_pt(w), 0, 0, 0,
				    below(2) ? 4 : below(6)));
		break;
	case 2:
	case 3:
	case 4:
		TEST(door, REPLACE, stdev, pick_pt(w));
		break;
	case 5:
	case 6:
		TEST(door, PASID_ATTACH, stdev, pasid, pick_pt(w));
		break;
	case 7:
		TEST(door, PASID_REPLACE, stdev, pasid, pick_pt(w));
		break;
	case 8:
		TEST(door, PASID_DETACH, stdev, pasid);
		break;
	default:
		TEST(door, PASID_CHECK, stdev, pasid, below(2) ? 0 : pick(w, HWPT));
	}
}

static void step_check(const struct door *door, struct world *w)
{
	unsigned int i = below(16);

	switch (below(6)) {
	case 0:
	case 1:
		TEST(door, CHECK_MAP, pick(w, HWPT), U64(w->iova[i]), U64(w->length[i]),
		     U64(rarely(6) ? LAND : w->va[i]));
		break;
	case 2:
		TEST(door, CHECK_REFS, 0, U64((1 + below(4)) * PAGE), U64(LAND + below(32) * PAGE),
		     below(3));
		break;
	case 3:
		TEST(door, CHECK_IOTLB, pick(w, NESTED), below(5), below(2) ? 0xbadbeef : 0);
		break;
	case 4:
		TEST(door, CHECK_CACHE, pick(w, DEV), below(5), below(2) ? 0xbaddad : 0);
		break;
	default:
		IO_SHOWN(door, F, IOAS_IOVA_RANGES, &ranges_out, 32, pick(w, IOAS), 8, 0, U64(OUT),
			 U64(0));
	}
}

static void step_dirty(const struct door *door, struct world *w)
{
	uint32_t pt = pick(w, HWPT);
	unsigned int i = below(16);

	switch (below(4)) {
	case 0:
		IO(door, F, HWPT_SET_DIRTY_TRACKING, 16, below(4) ? 1 : 0, pt, 0);
		break;
	case 1:
		data(WORDS((uint32_t)random64()));
		TEST(door, DIRTY, pt, 0, 0, U64(w->iova[i]), U64(8 * PAGE), U64(2048), U64(DATA));
		break;
	default:
		IO_SHOWN(door, F, HWPT_GET_DIRTY_BITMAP, &bits_out, 48, pt, below(2), 0,
			 U64(w->iova[i]), U64(w->length[i]), U64(below(3) ? PAGE : 2048), U64(OUT));
	}
}

/* Nesting, faults and events ----------------------------------------------------------- */

static void step_invalidate(const struct door *door, struct world *w)
{
	if (below(2)) {
		data(WORDS(rarely(3), below(5), 0, below(5)));
		IO(door, F, HWPT_INVALIDATE, 32, pick(w, NESTED), U64(DATA), 0xdeadbeef, 8,
		   below(3), 0);
	} else {
		data(WORDS(rarely(3), below(4), below(5), 0, below(4), below(5)));
		IO(door, F, HWPT_INVALIDATE, 32, pick(w, VIOMMU), U64(DATA), 0xdeadbeef, 12,
		   below(3), 0);
	}
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
		printf(" %x", words[i]);
	printf("\n");
}

static void step_fault(const struct door *door, struct world *w)
{
	uint32_t answer[2] = {1 + below(4), below(2)};

	switch (below(5)) {
	case 0:
	case 1:
		TEST(door, TRIGGER_IOPF, 0, pick(w, DEV), below(3), below(8), 1, 0,
		     U64(below(16) * PAGE));
		break;
	case 2:
		read_records(door, FD_FAULTS, 40 * below(4));
		break;
	case 3:
		memcpy((void *)BUFFER, answer, 8);
		printf("faults write %x %x", answer[0], answer[1]);
		print_result(door->write(FD_FAULTS, BUFFER, 8));
		printf("\n");
		break;
	default:
		io_fd(door, F, "FAULT_QUEUE_ALLOC", VIA_IOMMU_FAULT_QUEUE_ALLOC, WORDS(16, 0, 0, 0),
		      3, FD_FAULTS);
		remember(w, FAULT, below(N), word_after(2));
	}
}

static void step_viommu(const struct door *door, struct world *w)
{
	uint32_t viommu = pick(w, VIOMMU), dev = pick(w, DEV);
	unsigned int i = below(16);
	long ret;

	switch (below(8)) {
	case 0:
	case 1:
		ret = IO(door, F, VIOMMU_ALLOC, 40, 0, 0xdeadbeef, dev, pick(w, HWPT), 0, 0, 0,
			 U64(0));
		seen(w, VIOMMU, ret, 5);
		break;
	case 2:
	case 3:
		ret = IO(door, F, VDEVICE_ALLOC, 24, viommu, dev, 0, U64(below(4)));
		seen(w, VDEVICE, ret, 3);
		break;
	case 4:
		ret = io_fd(door, F, "VEVENTQ_ALLOC", VIA_IOMMU_VEVENTQ_ALLOC,
			    WORDS(32, 0, viommu, 0xbeefbeef, 1 + below(3), 0, 0, 0), 6, FD_VEVENTS);
		seen(w, VEVENTQ, ret, 5);
		break;
	case 5:
		TEST(door, TRIGGER_VEVENT, 0, dev);
		break;
	case 6:
		read_records(door, FD_VEVENTS, 12 * below(4));
		break;
	default:
		ret = IO(door, F, HW_QUEUE_ALLOC, 40, 0, viommu, 0xdeadbeef, below(3), 0,
			 U64(w->iova[i]), U64(PAGE));
		seen(w, QUEUE, ret, 5);
	}
}

/* Accesses ------------------------------------------------------------------------------- */

static void step_access(const struct door *door, struct world *w)
{
	unsigned int i = below(16);
	uint32_t fd = FD_ACCESS + below(2);
	uint64_t skip = rarely(3) ? PAGE : 0, len = w->length[i] - (rarely(3) ? PAGE : 0);

	switch (below(8)) {
	case 0:
		test_access(door, pick(w, IOAS), fd == FD_ACCESS, (int)fd);
		break;
	case 1:
	case 2:
	case 3:
		if (!TEST(door, ACCESS_PAGES, fd, below(2), 0, U64(w->iova[i] + skip), U64(len),
			  U64(w->va[i] + (rarely(12) ? 0 : skip))))
			w->items[below(4)] = word_after(5);
		break;
	case 4:
		TEST(door, DESTROY_ACCESS_PAGES, fd, w->items[below(4)]);
		break;
	case 5:
		TEST(door, ACCESS_REPLACE_IOAS, fd, pick(w, IOAS));
		break;
	default:
		TEST(door, ACCESS_RW, fd, U64(w->iova[i] + below(PAGE)), U64(1 + below(64)),
		     U64(BUFFER), below(2) | below(2) * 4);
	}
}

static void step_destroy(const struct door *door, const struct world *w, enum kind kind)
{
	uint32_t id = pick(w, kind);

	if (!w->pasids || (id < 64 && !(w->stdevs >> id & 1)))
		IO(door, F, DESTROY, 8, id);
}

static void step(const struct door *door, struct world *w)
{
	uint32_t ioas;

	switch (below(32)) {
	case 0:
		ioas = IO(door, F, IOAS_ALLOC, 12, 0, 0) ? 0 : word_after(2);
		if (ioas) {
			/* Leaves of one size: what is dirty depends on no placement of pages. */
			w->ids[IOAS][below(N)] = ioas;
			IO(door, F, OPTION, 24, 1, 0, ioas, U64(0));
		}
		break;
	case 1:
		step_destroy(door, w, below(KINDS));
		break;
	case 2:
		step_destroy(door, w, VDEVICE + below(3));
		break;
	case 3:
		if (rarely(3))
			IO(door, F, IOAS_UNMAP, 24, pick(w, IOAS), U64(0), U64(~0ull));
		break;
	case 4:
	case 5:
	case 6:
		step_hwpt(door, w);
		break;
	case 7:
	case 8:
	case 9:
	case 10:
		step_device(door, w);
		break;
	case 11:
	case 12:
		step_check(door, w);
		break;
	case 13:
	case 14:
	case 15:
		step_dirty(door, w);
		break;
	case 16:
		step_invalidate(door, w);
		break;
	case 17:
	case 18:
		step_fault(door, w);
		break;
	case 19:
	case 20:
	case 21:
		step_viommu(door, w);
		break;
	case 22:
	case 23:
	case 24:
		step_access(door, w);
		break;
	default:
		step_memory(door, w);
	}
}

static void start(const struct door *door, struct world *w)
{
	long ret;

	iommufd_open(door);
	for (unsigned int i = 0; i < 3; i++) {
		ret = IO(door, F, IOAS_ALLOC, 12, 0, 0);
		for (unsigned int j = i; !ret && j < N; j += 3)
			w->ids[IOAS][j] = word_after(2);
		IO(door, F, OPTION, 24, 1, 0, w->ids[IOAS][i], U64(0));
	}
	seen_device(w, TEST(door, MOCK_DOMAIN, w->ids[IOAS][0], 0, 0, 0));
	seen_device(w, TEST(door, MOCK_DOMAIN_FLAGS, w->ids[IOAS][1], 0, 0, 0, 4));
	seen_device(w, TEST(door, MOCK_DOMAIN, w->ids[IOAS][0], 0, 0, 0));
	for (unsigned int i = 0; i < N; i++) {
		ret = IO(door, F, HWPT_ALLOC, 48,
			 i < 3	 ? 1
			 : i < 5 ? 2
				 : 8,
			 w->ids[DEV][below(N)], w->ids[IOAS][i % 3], 0, 0, 0, 0, U64(0), 0, 0);
		if (!ret)
			w->ids[HWPT][i] = word_after(4);
	}
	ret = IO(door, F, VIOMMU_ALLOC, 40, 0, 0xdeadbeef, w->ids[DEV][0], w->ids[HWPT][0], 0, 0, 0,
		 U64(0));
	seen(w, VIOMMU, ret, 5);
	test_access(door, w->ids[IOAS][0], 1, FD_ACCESS);
	test_access(door, w->ids[IOAS][2], 0, FD_ACCESS + 1);
	for (unsigned int i = 0; i < 16; i++) {
		w->ioas[i] = w->ids[IOAS][i % 3];
		w->iova[i] = APERTURE + i * PAGE;
		w->length[i] = PAGE;
	}
}

void mock_random(const struct door *door, const struct machine *machine)
{
	for (unsigned int n = 0; n < 12; n++) {
		struct world w = {.pasids = n % 3 == 0};
		char title[64];

		snprintf(title, sizeof(title), "mock: random sequence %u", n);
		section(title);
		seed_with(machine->seed, 2000 + n);
		start(door, &w);
		for (unsigned int i = 0; i < 200; i++)
			step(door, &w);
		call_close(door, FD_FAULTS);
		call_close(door, FD_VEVENTS);
		call_close(door, FD_ACCESS);
		call_close(door, FD_ACCESS + 1);
		call_close(door, F);
		TEST(door, CHECK_REFS, 0, U64(32 * PAGE), U64(LAND), 0);
		iommufd_open(door);
		TEST(door, CHECK_REFS, 0, U64(32 * PAGE), U64(LAND), 0);
		call_close(door, F);
	}
}
