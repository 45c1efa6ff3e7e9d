/* SPDX-License-Identifier: MIT */
/*
 * A program's calls on everything that has I/O address spaces: /dev/iommu with the
 * kernel's test commands, containers (type1, sPAPR, no-IOMMU, and those that iommufd
 * serves), groups, devices' own nodes, and the files that all of these give.
 * Memory runs out, and the program changes, where an input says so. Afterwards
 * nothing is left of it.
 */
#include "calls.h"
#include "function.h"
#include "iommu-calls.h"
#include "no-memory.h"

#include "iommu/check.h"
#include "iommu/dma.h"
#include "iommu/ledger.h"
#include "memory/guard.h"
#include "vfio/test-caller.h"
#include "vfio/vfio.h"

#include <sys/eventfd.h>

#define KINDS 8u
#define IDS 8u /* that are remembered of a kind */
#define IOVA 0x1000000ull
#define BIG_BASE (ARENA_BASE + 0x4000000ull) /* memory for large pages */
#define BIG_SIZE 0x400000ull
#define BAR_BASE (ARENA_BASE + 0x40000ull) /* where the program maps BARs */
#define BAR_PAGES 4u
#define ARGUMENT ARENA_BASE
#define BUFFER (ARENA_BASE + ARENA_PAGE)

/* Descriptors of the program. */
enum {
	FD_IOMMUFD,
	FD_IOMMUFD_2,
	FD_CONTAINER,
	FD_GROUP,
	FD_GROUP_2,
	FD_DEVICE,
	FD_DEVICE_2,
	FD_RESULT, /* what calls give, in turn */
	FD_RESULTS = 5,
	FD_FILES = FD_RESULT + FD_RESULTS,
	FD_EVENT = FD_FILES,
	FD_MEMORY,
	FD_MEMORY_READ_ONLY,
	FD_NONE,
	FDS,
};

struct ids {
	uint32_t id[IDS];
	unsigned int n;
};

struct state {
	struct test_caller tc;
	struct via_vfio *vfio;
	struct via_mm *mm; /* of the program; the other one is other_mm */
	unsigned int kind;
	int fds[FDS]; /* -1: none */
	unsigned int n_results;
	struct ids ids[ID_KINDS];
	size_t saved; /* bytes of a device's state that have been read, in page 8 */
	struct via_file *mapped_file; /* whose region that is; a reference */
};

static struct via_mm other_mm;

/* Machines ------------------------------------------------------------------ */

static void report(void *cookie, const struct via_check_report *what)
{
	FUZZ_CHECK(what->kind < VIA_CHECK_KINDS && *via_check_kind_name(what->kind));
	FUZZ_CHECK(what->len && what->device);
}

/* Made once, as that takes its time; they go when the program ends. */
static struct via_vfio *machines[KINDS];
static struct via_check *checks[KINDS];

static void free_machines(void)
{
	for (unsigned int kind = 0; kind < KINDS; kind++) {
		uint64_t counts[VIA_CHECK_KINDS];

		if (!machines[kind])
			continue;
		via_vfio_free(machines[kind]);
		if (checks[kind])
			via_check_counts(checks[kind], counts);
		via_check_free(checks[kind]);
	}
}

static struct via_vfio *machine(unsigned int kind)
{
	static const struct {
		unsigned int kind;
		const char *addr;
		int group;
	} functions[] = {
		{FUNCTION_MSI | FUNCTION_MSIX | FUNCTION_MIGRATES, "0000:00:04.0", 1},
		{FUNCTION_EXPRESS | FUNCTION_MSIX | FUNCTION_BAR_64, "0000:01:00.0", 2},
		{FUNCTION_EXPRESS | FUNCTION_MSI | FUNCTION_MSI_LARGE, "0000:01:00.1", 2},
	};
	static const enum via_iommu_kind iommus[KINDS / 2] = {VIA_IOMMU_INTEL, VIA_IOMMU_INTEL,
							      VIA_IOMMU_SPAPR, VIA_IOMMU_NONE};
	struct via_vfio **made = machines;
	struct via_vfio_config config = {
		.profile = kind & 1 ? VIA_PROFILE_LINUX : VIA_PROFILE_FULL,
		.memlock = kind & 1 ? VIA_MEMLOCK_ENFORCE : VIA_MEMLOCK_WARN,
		.iommu_kind = iommus[kind / 2],
		.iommu_test = true,
		.compat_container = kind / 2 == 1,
		.dma_entry_limit = kind == 2 ? 12 : 0,
	};

	if (made[kind])
		return made[kind];
	if (!(kind & 1))
		FUZZ_CHECK(via_check_new(report, NULL, UINT32_MAX, &checks[kind]) == 0);
	config.check = checks[kind];
	FUZZ_CHECK(via_vfio_new(&config, &made[kind]) == 0);
	for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
		struct via_pci_addr addr;

		FUZZ_CHECK(via_pci_addr_parse(functions[i].addr, &addr) == 0);
		FUZZ_CHECK(via_vfio_add(made[kind], function_new(functions[i].kind), &addr,
					functions[i].group, NULL) == 0);
	}
	return made[kind];
}

/* Descriptors --------------------------------------------------------------- */

static void forget(struct state *s, unsigned int i)
{
	if (s->fds[i] >= 0)
		test_close(&s->tc, s->fds[i]);
	s->fds[i] = -1;
}

static void put_fd(struct state *s, unsigned int i, int fd)
{
	forget(s, i);
	s->fds[i] = fd;
}

static void got_fd(struct state *s, int fd)
{
	struct via_file *file = NULL;

	/* A program's own descriptors are not for us to close. */
	if (test_file_get(&s->tc.caller, fd, &file))
		return;
	put_fd(s, !strcmp(file->ops->kind, "device") ? FD_DEVICE + (s->fds[FD_DEVICE] >= 0)
						     : FD_RESULT + s->n_results++ % FD_RESULTS,
	       fd);
	via_file_put(file);
}

static int open_node(struct state *s, const char *node, unsigned int i)
{
	struct via_file *file;
	int r = via_vfio_open(s->vfio, &s->tc.caller, node, O_RDWR, &file);

	FUZZ_CHECK(r <= 0 && r >= -4095);
	if (!r) {
		int fd = test_file_put(&s->tc.caller, file, true);

		if (fd < 0)
			via_file_put(file);
		else
			put_fd(s, i, fd);
	}
	return r;
}

static void open_any(struct state *s, struct fuzz_input *in)
{
	static const struct {
		const char *node;
		unsigned int fd;
	} nodes[] = {
		{"iommu", FD_IOMMUFD},		   {"iommu", FD_IOMMUFD_2},
		{"vfio/vfio", FD_CONTAINER},	   {"vfio/1", FD_GROUP},
		{"vfio/2", FD_GROUP_2},		   {"vfio/devices/vfio0", FD_DEVICE},
		{"vfio/devices/vfio1", FD_DEVICE}, {"vfio/devices/vfio2", FD_DEVICE_2},
		{"vfio/noiommu-1", FD_GROUP},	   {"vfio/noiommu-2", FD_GROUP_2},
	};
	unsigned int i = fuzz_u8(in) % (sizeof(nodes) / sizeof(nodes[0]));

	(void)open_node(s, nodes[i].node, nodes[i].fd);
}

/* Fields -------------------------------------------------------------------- */

static void remember(struct state *s, unsigned int kind, uint32_t id)
{
	struct ids *ids = &s->ids[kind];

	if (kind && id)
		ids->id[ids->n++ % IDS] = id;
}

static uint64_t take_id(struct state *s, struct fuzz_input *in, unsigned int kind)
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

static uint64_t take_iova(struct fuzz_input *in)
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

static uint64_t take_length(struct fuzz_input *in)
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

static uint64_t take_address(struct fuzz_input *in)
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
	static const uint32_t words[16] = {0,	 1,    2,	   3,	       4,	       5,
					   6,	 0x40, 0x80000000, 0xffffffff, 0xbadbeef,      7,
					   8,	 9,    0x12345678, ARENA_PAGE};
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

static uint64_t take_field(struct state *s, struct fuzz_input *in, const struct field *field)
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
		return how >= 0xf8 ? 1ull << fuzz_u8(in) % 32
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
	case FIELD_FD:
		return (uint32_t)s->fds[fuzz_u8(in) % FDS];
	default:
		return fuzz_number(in);
	}
}

/* Calls --------------------------------------------------------------------- */

static long call_file(struct state *s, unsigned int i, struct via_file **ret_file)
{
	*ret_file = NULL;
	return s->fds[i] < 0 ? -EBADF : test_file_get(&s->tc.caller, s->fds[i], ret_file);
}

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

static void done(struct state *s, const struct call_row *row, long r, uint64_t addr)
{
	if (row->how & CALL_RETURNS_FD && r > 0)
		got_fd(s, (int)r);
	if (r < 0 || addr != ARGUMENT)
		return;
	for (size_t i = 0; i < 3; i++)
		remember(s, row->made[i].kind, via_get_le32(arena_page(0) + row->made[i].at));
	if (row->fd_at)
		got_fd(s, (int)via_get_le32(arena_page(0) + row->fd_at));
}

static unsigned int call_on(const struct state *s, struct fuzz_input *in, uint8_t on, uint8_t how)
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

static void do_call(struct state *s, struct fuzz_input *in, const struct call_row *row)
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
	if (call_file(s, i, &file))
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

static void any_call(struct state *s, struct fuzz_input *in)
{
	unsigned int i = fuzz_u8(in) % FD_FILES;
	struct via_file *file;
	struct call call;
	long r;

	if (call_file(s, i, &file))
		return;
	call = calls_take(in, s->fds, FDS);
	/* Numbers of /dev/iommu, too. */
	if (i <= FD_IOMMUFD_2 && call.cmd < 0x3b84)
		call.cmd += 0x1c;
	r = via_file_ioctl(file, &s->tc.caller, call.cmd, call.arg);
	FUZZ_CHECK(r >= -4095 && r <= INT32_MAX);
	if (r > 0 && call.cmd != VIA_VFIO_CHECK_EXTENSION)
		got_fd(s, (int)r);
	via_file_put(file);
}

/* Many mappings of a page each in an IOAS or a container, in an order of their own. */
static void many(struct state *s, struct fuzz_input *in)
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

	if (call_file(s, native ? FD_IOMMUFD : FD_CONTAINER, &file))
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

/* Files --------------------------------------------------------------------- */

static void transfer(struct state *s, struct fuzz_input *in)
{
	uint8_t how = fuzz_u8(in), len = fuzz_u8(in);
	unsigned int i = FD_RESULT + how % FD_RESULTS;
	uint64_t addr = how & 0x40 ? arena_pointer(in) : BUFFER, offset = len == 0xff ? 8 : 0;
	struct via_file *file;
	ssize_t r;

	if (call_file(s, i, &file))
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
static void stream(struct state *s, struct fuzz_input *in)
{
	uint8_t how = fuzz_u8(in);
	struct via_file *file;
	ssize_t r;

	if (call_file(s, FD_RESULT + how % FD_RESULTS, &file))
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
static void device_dma(struct state *s, struct fuzz_input *in)
{
	uint8_t how = fuzz_u8(in);
	uint64_t reg = how & 1 ? FUNCTION_REG_WRITE : FUNCTION_REG_READ;
	struct via_file *file;

	if (call_file(s, how & 2 ? FD_DEVICE_2 : FD_DEVICE, &file))
		return;
	if (!(how & 0x10)) {
		*arena_page(1) = how & 0x20 ? fuzz_u8(in) : 6;
		(void)via_file_pwrite(file, &s->tc.caller, BUFFER, 1,
				      (VIA_VFIO_PCI_CONFIG_REGION_INDEX + 0ull)
						      << VIA_VFIO_PCI_OFFSET_SHIFT | 4);
	}
	via_put_le64(arena_page(1), how & 0x40 ? take_address(in) : take_iova(in));
	allocations_left = how & 0x80 ? 1u + fuzz_u8(in) % 8 : 0;
	(void)via_file_pwrite(file, &s->tc.caller, BUFFER, 8, reg);
	allocations_left = 0;
	via_file_put(file);
}

static void do_mmap(struct state *s, struct fuzz_input *in)
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
	if (call_file(s, i, &file))
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

/* The program ----------------------------------------------------------------- */

/* New pages where others were. */
static void new_memory(struct fuzz_input *in)
{
	uint8_t how = fuzz_u8(in);
	unsigned int page = how % ARENA_READ_ONLY;

	FUZZ_CHECK(mmap(arena_page(page), (1 + (how >> 6)) * ARENA_PAGE > ARENA_PAGE
						 && page + 2 < ARENA_READ_ONLY ? 2 * ARENA_PAGE
									       : ARENA_PAGE,
			PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
			0) != MAP_FAILED);
}

static void other_program(struct state *s, struct fuzz_input *in)
{
	static const uint64_t trace[20] = {1, 2, 3};
	uint8_t how = fuzz_u8(in);

	s->tc.caller.mm = how & 1 ? &other_mm : s->mm;
	s->tc.caller.pid = how & 1 ? 1 : getpid();
	s->tc.caller.caps = how >> 1 & 7;
	s->tc.caller.mm->cap_ipc_lock = how & 2;
	s->tc.caller.mm->memlock_limit = how & 0x10 ? 20 * ARENA_PAGE : UINT64_MAX;
	s->tc.caller.is_vmm = how & 0x20;
	/* Where in the program the calls come from. */
	s->tc.caller.trace = how & 0x40 ? trace : NULL;
	s->tc.caller.n_trace = how & 0x40 ? 20 : 0;
	s->tc.caller.uid = s->tc.caller.mm->uid;
}

static void change_file(struct state *s, struct fuzz_input *in)
{
	FUZZ_CHECK(!ftruncate(s->fds[FD_MEMORY], (fuzz_u8(in) & 7) * 4ll * ARENA_PAGE));
}

static void count_device(void *cookie, struct via_device *dev, unsigned int group)
{
	++*(size_t *)cookie;
}

/* What whoever shows a machine to people asks. */
static void look(struct via_vfio *vfio)
{
	size_t n = 0, i;

	via_vfio_each(vfio, count_device, &n);
	for (i = 0; via_vfio_device(vfio, i); i++) {
		struct via_device *dev = via_vfio_device(vfio, i);
		struct via_dma_stats stats;

		FUZZ_CHECK(via_vfio_device_group(vfio, i) >= 0);
		FUZZ_CHECK(via_vfio_device_number(vfio, dev) >= 0);
		via_dma_get_stats(via_device_dma(dev), &stats);
	}
	FUZZ_CHECK(i == n && via_vfio_device_group(vfio, i) < 0);
}

/* ------------------------------------------------------------------------------ */

static void step(struct state *s, struct fuzz_input *in)
{
	uint8_t op = fuzz_u8(in);

	/* Calls of the table at 0 and of the rest from the end, so that both can grow. */
	if (op < CALL_ROWS) {
		do_call(s, in, &call_rows[op]);
		return;
	}
	switch (0xff - op) {
	case 0:
	case 1:
		open_any(s, in);
		break;
	case 2:
		forget(s, fuzz_u8(in) % FD_FILES);
		break;
	case 3:
	case 4:
	case 5:
	case 6:
		transfer(s, in);
		break;
	case 7:
	case 8:
	case 9:
	case 10:
		device_dma(s, in);
		break;
	case 11:
	case 12:
		do_mmap(s, in);
		break;
	case 13:
		new_memory(in);
		break;
	case 14:
		other_program(s, in);
		break;
	case 15:
		change_file(s, in);
		break;
	case 16:
	case 17:
	case 18:
		any_call(s, in);
		break;
	case 19:
	case 20:
		stream(s, in);
		break;
	case 21:
		many(s, in);
		break;
	case 22:
		look(s->vfio);
		break;
	default: /* the usual ones more often */
		do_call(s, in, &call_rows[op % CALL_ROWS]);
	}
}

/* A simple call of the start. */
static long ask(struct state *s, unsigned int i, unsigned long cmd, const void *bytes, size_t len)
{
	struct via_file *file;
	long r = call_file(s, i, &file);

	if (r < 0)
		return r;
	memcpy(arena_page(0), bytes, len);
	r = via_file_ioctl(file, &s->tc.caller, cmd, ARGUMENT);
	via_file_put(file);
	return r;
}

static void begin_native(struct state *s)
{
	struct via_iommu_ioas_alloc alloc = {.size = sizeof(alloc)};
	struct via_iommu_test_cmd mock = {.size = sizeof(mock),
					  .op = VIA_IOMMU_TEST_MOCK_DOMAIN_FLAGS,
					  .domain.dev_flags = 4};

	for (unsigned int i = 0; i < 2; i++) {
		FUZZ_CHECK(open_node(s, "iommu", FD_IOMMUFD + i) == 0);
		FUZZ_CHECK(ask(s, FD_IOMMUFD + i, VIA_IOMMU_IOAS_ALLOC, &alloc, sizeof(alloc)) == 0);
		remember(s, ID_IOAS, via_get_le32(arena_page(0) + 8));
	}
	for (unsigned int i = 0; i < 2; i++) {
		mock.id = s->ids[ID_IOAS].id[0];
		FUZZ_CHECK(ask(s, FD_IOMMUFD, VIA_IOMMU_TEST_CMD, &mock, sizeof(mock)) == 0);
		remember(s, ID_STDEV, via_get_le32(arena_page(0) + 16));
		remember(s, ID_PAGING, via_get_le32(arena_page(0) + 20));
		remember(s, ID_DEVICE, via_get_le32(arena_page(0) + 24));
	}
}

/* Real devices by their own nodes, where there is an IOMMU that iommufd knows. */
static void begin_nodes(struct state *s)
{
	static const char *const nodes[] = {"vfio/devices/vfio0", "vfio/devices/vfio1"};
	struct via_vfio_device_attach_iommufd_pt attach = {.argsz = 12};
	struct via_vfio_device_bind_iommufd bind = {.argsz = 16};

	for (unsigned int i = 0; i < 2; i++) {
		bind.iommufd = s->fds[FD_IOMMUFD];
		attach.pt_id = s->ids[ID_IOAS].id[0];
		if (open_node(s, nodes[i], FD_DEVICE + i) ||
		    ask(s, FD_DEVICE + i, VIA_VFIO_DEVICE_BIND_IOMMUFD, &bind, 16))
			continue;
		remember(s, ID_DEVICE, via_get_le32(arena_page(0) + 12));
		if (!ask(s, FD_DEVICE + i, VIA_VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach, 12))
			remember(s, ID_PAGING, via_get_le32(arena_page(0) + 8));
	}
}

/* A container, or an iommufd for one, with a group in it. */
static void begin_container(struct state *s, bool iommufd)
{
	static const uint32_t types[KINDS] = {
		VIA_VFIO_TYPE1v2_IOMMU,	  VIA_VFIO_TYPE1_IOMMU,	    VIA_VFIO_TYPE1v2_IOMMU,
		VIA_VFIO_TYPE1_IOMMU,	  VIA_VFIO_SPAPR_TCE_IOMMU, VIA_VFIO_SPAPR_TCE_v2_IOMMU,
		VIA_VFIO_NOIOMMU_IOMMU,	  VIA_VFIO_NOIOMMU_IOMMU,
	};
	const char *group = s->kind >= 6 ? "vfio/noiommu-1" : "vfio/1";
	struct via_file *file;

	FUZZ_CHECK(open_node(s, iommufd ? "iommu" : "vfio/vfio", FD_CONTAINER) == 0);
	FUZZ_CHECK(open_node(s, group, FD_GROUP) == 0);
	FUZZ_CHECK(!ask(s, FD_GROUP, VIA_VFIO_GROUP_SET_CONTAINER, &s->fds[FD_CONTAINER], 4));
	FUZZ_CHECK(!call_file(s, FD_CONTAINER, &file));
	(void)via_file_ioctl(file, &s->tc.caller, VIA_VFIO_SET_IOMMU, types[s->kind]);
	via_file_put(file);
	s->fds[FD_DEVICE] = (int)ask(s, FD_GROUP, VIA_VFIO_GROUP_GET_DEVICE_FD, "0000:00:04.0", 13);
}

static void begin(struct state *s, uint8_t how)
{
	switch (how) {
	case 0:
		begin_native(s);
		begin_nodes(s);
		break;
	case 1:
		begin_container(s, false);
		break;
	case 2:
		begin_container(s, true);
		break;
	default:
		begin_native(s);
	}
}

static void state_init(struct state *s)
{
	static const char path[] = "/proc/self/fd/";
	char name[sizeof(path) + 12];

	test_caller_init(&s->tc);
	s->mm = s->tc.caller.mm;
	s->tc.caller.caps |= VIA_CAP_SYS_RESOURCE;
	for (unsigned int i = 0; i < FDS; i++)
		s->fds[i] = -1;
	s->fds[FD_EVENT] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	s->fds[FD_MEMORY] = memfd_create("program", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	FUZZ_CHECK(s->fds[FD_EVENT] >= 0 && s->fds[FD_MEMORY] >= 0);
	FUZZ_CHECK(!ftruncate(s->fds[FD_MEMORY], 16ll * ARENA_PAGE));
	snprintf(name, sizeof(name), "%s%d", path, s->fds[FD_MEMORY]);
	s->fds[FD_MEMORY_READ_ONLY] = open(name, O_RDONLY | O_CLOEXEC);
	FUZZ_CHECK(s->fds[FD_MEMORY_READ_ONLY] >= 0);
}

static void state_deinit(struct state *s)
{
	s->tc.caller.mm = s->mm;
	via_file_put(s->mapped_file);
	test_caller_deinit(&s->tc);
	for (unsigned int i = FD_EVENT; i <= FD_MEMORY_READ_ONLY; i++)
		close(s->fds[i]);
}

static void check_paid_back(struct via_mm *mm)
{
	FUZZ_CHECK(__atomic_load_n(&mm->locked_pages, __ATOMIC_RELAXED) == 0);
	FUZZ_CHECK(via_ledger_pinned(mm) == 0);
	mm->memlock_limit = UINT64_MAX;
	mm->cap_ipc_lock = false;
	mm->memlock_warned = false;
}

static void no_free(struct via_mm *mm)
{
}

static void init_once(void)
{
	static struct via_mm_ops ops;
	struct via_mm *self;

	if (other_mm.ops)
		return;
	FUZZ_CHECK(atexit(free_machines) == 0);
	FUZZ_CHECK(via_guard_install() == 0);
	FUZZ_CHECK(mmap((void *)(uintptr_t)BIG_BASE, BIG_SIZE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != MAP_FAILED);
	self = via_mm_self();
	ops = *self->ops;
	ops.free = no_free;
	other_mm = (struct via_mm){.ops = &ops, .refs = 1, .pid = 1, .memlock_limit = UINT64_MAX};
	via_mm_put(self);
}

/* A machine is put together, while memory lasts. */
static void build(struct fuzz_input *in)
{
	struct via_vfio_config config = {.iommu_test = true};
	struct via_file *file = NULL;
	struct test_caller tc;
	struct via_vfio *vfio;
	int r;

	allocations_left = fuzz_u8(in) % 4;
	r = via_vfio_new(&config, &vfio);
	allocations_left = 0;
	FUZZ_CHECK(r == 0 || r == -ENOMEM);
	if (r)
		return;
	test_caller_init(&tc);
	for (unsigned int i = 0; i < 6 && in->left; i++) {
		uint8_t at = fuzz_u8(in), how = fuzz_u8(in);
		struct via_pci_addr addr = {.bus = at & 1, .device = at >> 1 & 1, .function = at >> 2 & 1};
		struct via_device *dev = function_new(FUNCTION_MSI);
		bool fits = via_vfio_fits(vfio, dev, &addr);
		struct via_error err = {0};

		allocations_left = how % 16;
		r = via_vfio_add(vfio, dev, &addr, (at >> 4 & 3) - 1, &err);
		allocations_left = 0;
		FUZZ_CHECK(r <= 0 && (r || fits));
		if (how & 0x80 && !file &&
		    via_vfio_open(vfio, &tc.caller, at & 8 ? "vfio/1" : "vfio/0", O_RDWR, &file))
			file = NULL;
		look(vfio);
	}
	via_file_put(file);
	test_caller_deinit(&tc);
	via_vfio_free(vfio);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	uint8_t kind = fuzz_u8(&in);
	struct state s = {.kind = kind % KINDS};
	unsigned int fds;

	init_once();
	if (kind & 0x20) {
		build(&in);
		return 0;
	}
	arena_init();
	FUZZ_CHECK(mmap((void *)(uintptr_t)BAR_BASE, BAR_PAGES * ARENA_PAGE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED);
	s.vfio = machine(s.kind);
	fds = fuzz_count_fds();
	state_init(&s);
	begin(&s, kind >> 3 & 3);
	for (int i = 0; i < FUZZ_STEPS && in.left; i++)
		step(&s, &in);
	state_deinit(&s);
	/* Everything has been given back. */
	check_paid_back(s.mm);
	check_paid_back(&other_mm);
	FUZZ_CHECK(other_mm.refs == 1);
	FUZZ_CHECK(fuzz_count_fds() == fds);
	/* The next user is served; that takes its time. */
	if (size % 4 == 0) {
		s = (struct state){.kind = s.kind, .vfio = s.vfio};
		state_init(&s);
		begin(&s, kind >> 3 & 3);
		state_deinit(&s);
	}
	return 0;
}
