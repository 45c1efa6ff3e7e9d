/* SPDX-License-Identifier: MIT */
/*
 * A program's calls on containers, groups and devices, in any order, with
 * pointers to good and bad memory. Afterwards nothing is left of them.
 */
#include "calls.h"
#include "function.h"

#include "memory/guard.h"
#include "vfio/test-caller.h"
#include "vfio/vfio.h"

#include <sys/eventfd.h>

#define FDS 8

static struct via_vfio *vfio_get(bool profile_linux)
{
	static const struct {
		unsigned int kind;
		const char *addr;
		int group;
	} functions[] = {
		{FUNCTION_MSI | FUNCTION_MSIX, "0000:00:04.0", 1},
		{FUNCTION_EXPRESS | FUNCTION_MSIX | FUNCTION_BAR_64, "0000:01:00.0", 2},
		{FUNCTION_EXPRESS | FUNCTION_MSI | FUNCTION_MSI_LARGE, "0000:01:00.1", 2},
	};
	static struct via_vfio *made[2];
	struct via_vfio_config config = {
		.profile = profile_linux ? VIA_PROFILE_LINUX : VIA_PROFILE_FULL,
		.bars = profile_linux ? VIA_BARS_IO : VIA_BARS_TRAP,
		.memlock = profile_linux ? VIA_MEMLOCK_ENFORCE : VIA_MEMLOCK_WARN,
	};
	struct via_vfio *vfio;

	if (made[profile_linux])
		return made[profile_linux];
	FUZZ_CHECK(via_guard_install() == 0);
	FUZZ_CHECK(via_vfio_new(&config, &vfio) == 0);
	for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
		struct via_pci_addr addr;

		FUZZ_CHECK(via_pci_addr_parse(functions[i].addr, &addr) == 0);
		FUZZ_CHECK(via_vfio_add(vfio, function_new(functions[i].kind), &addr,
					functions[i].group, NULL) == 0);
	}
	return made[profile_linux] = vfio;
}

struct state {
	struct test_caller tc;
	struct via_vfio *vfio;
	int fds[FDS + 1]; /* of the program; -1: none; the last is an eventfd */
};

static void forget(struct state *s, unsigned int i)
{
	if (s->fds[i] >= 0)
		test_close(&s->tc, s->fds[i]);
	s->fds[i] = -1;
}

static void open_node(struct state *s, struct fuzz_input *in)
{
	static const char *const nodes[] = {"vfio/vfio", "vfio/1", "vfio/2", "vfio/3"};
	uint8_t how = fuzz_u8(in);
	unsigned int i = how % FDS;
	const char *node = nodes[how >> 3 & 3];
	struct via_file *file;
	char text[16];
	int r;

	if (how & 0x80) {
		fuzz_bytes(in, text, sizeof(text) - 1);
		text[sizeof(text) - 1] = '\0';
		node = text;
	}
	r = via_vfio_open(s->vfio, &s->tc.caller, node, how & 0x20 ? fuzz_u8(in) : O_RDWR, &file);
	FUZZ_CHECK(r <= 0 && r >= -4095);
	if (r)
		return;
	forget(s, i);
	s->fds[i] = test_file_put(&s->tc.caller, file, true);
	FUZZ_CHECK(s->fds[i] >= 0);
}

static void do_ioctl(struct state *s, struct via_file *file, struct fuzz_input *in, unsigned int i)
{
	struct call call = calls_take(in, s->fds, FDS + 1);
	long r = via_file_ioctl(file, &s->tc.caller, call.cmd, call.arg);

	FUZZ_CHECK(r >= -4095 && r <= INT32_MAX);
	if (r > 0 && call.cmd == VIA_VFIO_GROUP_GET_DEVICE_FD && !strcmp(file->ops->kind, "group")) {
		i = (i + 1) % FDS;
		forget(s, i);
		s->fds[i] = (int)r;
	}
}

static void do_transfer(struct state *s, struct via_file *file, struct fuzz_input *in, bool write)
{
	uint8_t how = fuzz_u8(in);
	uint64_t addr = arena_pointer(in), len = how & 0x80 ? fuzz_number(in) & INT32_MAX : how >> 4;
	uint64_t offset = (uint64_t)(how & 15) << VIA_VFIO_PCI_OFFSET_SHIFT;
	ssize_t r;

	offset += how & 0x40 ? fuzz_number(in) : fuzz_u8(in);
	offset &= INT64_MAX;
	/* A door never passes on more than a kernel would, nor a negative offset. */
	if (write)
		r = via_file_pwrite(file, &s->tc.caller, addr, len, offset);
	else
		r = via_file_pread(file, &s->tc.caller, addr, len, offset);
	FUZZ_CHECK(r >= -4095 && r <= (ssize_t)len);
}

/* Memory and bus master on, or whatever the input says. */
static void write_command(struct state *s, struct via_file *file, struct fuzz_input *in)
{
	*arena_page(1) = fuzz_u8(in) ^ 6;
	(void)via_file_pwrite(file, &s->tc.caller, ARENA_BASE + ARENA_PAGE, 1,
			      (VIA_VFIO_PCI_CONFIG_REGION_INDEX + 0ull)
					      << VIA_VFIO_PCI_OFFSET_SHIFT | 4);
}

static void do_mmap(struct state *s, struct via_file *file, struct fuzz_input *in)
{
	uint8_t how = fuzz_u8(in);
	uint64_t offset = (uint64_t)(how & 15) << VIA_VFIO_PCI_OFFSET_SHIFT;
	uint64_t len = (uint64_t)(how >> 4 & 7) * ARENA_PAGE;
	int prot = PROT_READ | PROT_WRITE, flags = MAP_SHARED;
	struct via_mmap map;
	int r;

	if (how & 0x80) {
		offset += fuzz_number(in);
		len = fuzz_number(in);
		prot = fuzz_u8(in);
		flags = fuzz_u8(in);
	}
	r = via_file_mmap(file, &s->tc.caller, offset, len, prot, flags, &map);
	FUZZ_CHECK(r <= 0 && r >= -4095);
	if (r)
		return;
	FUZZ_CHECK(map.fd >= 0 && map.len && !(map.len % ARENA_PAGE) && map.len < 1 << 20);
	FUZZ_CHECK(map.n_areas && map.offset + map.len <= map.areas[map.n_areas - 1].offset +
								  map.areas[map.n_areas - 1].size);
}

static void step(struct state *s, struct fuzz_input *in)
{
	uint8_t kind = fuzz_u8(in);
	unsigned int i = kind >> 3 & (FDS - 1);
	struct via_file *file = NULL;

	if ((kind & 7) == 0) {
		open_node(s, in);
		return;
	}
	if (s->fds[i] < 0 || test_file_get(&s->tc.caller, s->fds[i], &file))
		return;
	switch (kind & 7) {
	case 1:
	case 2:
		do_ioctl(s, file, in, i);
		break;
	case 3:
		do_transfer(s, file, in, kind & 0x80);
		break;
	case 4:
		do_mmap(s, file, in);
		break;
	case 5:
		write_command(s, file, in);
		break;
	case 6:
		forget(s, i);
		break;
	default:
		if (kind & 0x80)
			(void)!write(s->fds[FDS], &(uint64_t){1}, sizeof(uint64_t));
		do_transfer(s, file, in, false);
	}
	via_file_put(file);
}

/* What a driver does first: a container with an IOMMU, a group in it, its device. */
static void begin(struct state *s)
{
	struct via_file *files[3];

	FUZZ_CHECK(via_vfio_open(s->vfio, &s->tc.caller, "vfio/vfio", O_RDWR, &files[0]) == 0);
	FUZZ_CHECK(via_vfio_open(s->vfio, &s->tc.caller, "vfio/1", O_RDWR, &files[1]) == 0);
	for (unsigned int i = 0; i < 2; i++)
		s->fds[i] = test_file_put(&s->tc.caller, files[i], true);
	via_put_le32(arena_page(0), (uint32_t)s->fds[0]);
	FUZZ_CHECK(via_file_ioctl(files[1], &s->tc.caller, VIA_VFIO_GROUP_SET_CONTAINER,
				  ARENA_BASE) == 0);
	FUZZ_CHECK(via_file_ioctl(files[0], &s->tc.caller, VIA_VFIO_SET_IOMMU,
				  VIA_VFIO_TYPE1v2_IOMMU) == 0);
	calls_text(arena_page(0), "0000:00:04.0");
	s->fds[2] = (int)via_file_ioctl(files[1], &s->tc.caller, VIA_VFIO_GROUP_GET_DEVICE_FD,
					ARENA_BASE);
	FUZZ_CHECK(s->fds[2] >= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	uint8_t kind = fuzz_u8(&in);
	struct state s = {.vfio = vfio_get(kind & 1)};
	unsigned int fds;

	arena_init();
	fds = fuzz_count_fds();
	test_caller_init(&s.tc);
	s.tc.caller.is_vmm = kind & 2;
	for (unsigned int i = 0; i < FDS; i++)
		s.fds[i] = -1;
	s.fds[FDS] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	FUZZ_CHECK(s.fds[FDS] >= 0);
	if (kind & 4)
		begin(&s);
	for (int i = 0; i < FUZZ_STEPS && in.left; i++)
		step(&s, &in);
	test_caller_deinit(&s.tc);
	close(s.fds[FDS]);
	/* Everything has been given back. */
	test_caller_init(&s.tc);
	FUZZ_CHECK(__atomic_load_n(&s.tc.caller.mm->locked_pages, __ATOMIC_RELAXED) == 0);
	begin(&s);
	test_caller_deinit(&s.tc);
	FUZZ_CHECK(fuzz_count_fds() == fds);
	return 0;
}
