/* SPDX-License-Identifier: MIT */
/* The memory of the program, and the other program that may have its descriptors. */
#include "iommu-steps.h"
#include "no-memory.h"

#include "iommu/ledger.h"
#include "memory/guard.h"

/* Reached as the memory of another process is: by copies, or by the file that is mapped there. */
static struct via_mm other_mm;
static uint64_t n_held; /* bytes of it that are used for DMA */

/* New pages where others were. */
void step_memory(struct fuzz_input *in)
{
	uint8_t how = fuzz_u8(in);
	unsigned int page = how % ARENA_READ_ONLY;

	FUZZ_CHECK(mmap(arena_page(page),
			(1 + (how >> 6)) * ARENA_PAGE > ARENA_PAGE && page + 2 < ARENA_READ_ONLY
				? 2 * ARENA_PAGE
				: ARENA_PAGE,
			PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
			0) != MAP_FAILED);
}

void step_program(struct world *s, struct fuzz_input *in)
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

void step_file(struct world *s, struct fuzz_input *in)
{
	FUZZ_CHECK(!ftruncate(s->fds[FD_MEMORY], (fuzz_u8(in) & 7) * 4ll * ARENA_PAGE));
}

static void paid_back(struct via_mm *mm)
{
	FUZZ_CHECK(__atomic_load_n(&mm->locked_pages, __ATOMIC_RELAXED) == 0);
	FUZZ_CHECK(via_ledger_pinned(mm) == 0);
	mm->memlock_limit = UINT64_MAX;
	mm->cap_ipc_lock = false;
	mm->memlock_warned = false;
}

static void other_free(struct via_mm *mm)
{
}

static int other_backing(struct via_mm *mm, uint64_t addr, uint64_t len, unsigned int prot,
			 struct via_backing *ret_backing)
{
	const uint64_t shared = ARENA_BASE + (uint64_t)ARENA_SHARED * ARENA_PAGE;
	const uint64_t end = ARENA_BASE + (uint64_t)ARENA_END * ARENA_PAGE;
	uint64_t there = addr < shared ? shared - addr : addr < end ? end - addr : len;
	int fd = addr >= shared && addr < end ? dup(arena_shared_file()) : -1;

	*ret_backing =
		(struct via_backing){fd, fd < 0 ? 0 : addr - shared, there < len ? there : len};
	return 0;
}

static int other_hold(struct via_mm *mm, uint64_t addr, uint64_t len, uint64_t *ret_addr)
{
	if (no_memory())
		return -ENOMEM;
	(void)__atomic_add_fetch(&n_held, len, __ATOMIC_RELAXED);
	*ret_addr = addr;
	return 0;
}

static void other_release(struct via_mm *mm, uint64_t addr, uint64_t len)
{
	(void)__atomic_sub_fetch(&n_held, len, __ATOMIC_RELAXED);
}

/* Kinds of files that memory may be in. They stay. */
static int memories[6];

static void make_memories(void)
{
	const off_t size = 16ll * ARENA_PAGE;
	char name[32];

	memories[0] = memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	memories[1] = memfd_create("kept", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	memories[2] =
		memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB); /* perhaps without any page */
	memories[3] = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	memories[4] = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	FUZZ_CHECK(!ftruncate(memories[0], size) && !ftruncate(memories[1], size));
	FUZZ_CHECK(!fcntl(memories[0], F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK));
	if (memories[2] >= 0 && ftruncate(memories[2], 0x200000))
		FUZZ_CHECK(false);
	snprintf(name, sizeof(name), "/proc/self/fd/%d", memories[1]);
	memories[5] = open(name, O_WRONLY | O_CLOEXEC);
	FUZZ_CHECK(memories[5] >= 0);
}

int program_memory(unsigned int kind)
{
	return memories[kind % (sizeof(memories) / sizeof(memories[0]))];
}

static void init_once(void)
{
	static struct via_mm_ops ops;
	struct via_mm *self;

	if (other_mm.ops)
		return;
	make_memories();
	FUZZ_CHECK(via_guard_install() == 0);
	FUZZ_CHECK(mmap((void *)(uintptr_t)BIG_BASE, BIG_SIZE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != MAP_FAILED);
	self = via_mm_self();
	ops = *self->ops;
	ops.free = other_free;
	ops.backing = other_backing;
	ops.hold = other_hold;
	ops.release = other_release;
	other_mm = (struct via_mm){.ops = &ops, .refs = 1, .pid = 1, .memlock_limit = UINT64_MAX};
	via_mm_put(self);
}

void program_begin(void)
{
	init_once();
	arena_init();
	FUZZ_CHECK(mmap((void *)(uintptr_t)BAR_BASE, BAR_PAGES * ARENA_PAGE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED);
}

void program_check_paid_back(struct via_mm *mm)
{
	paid_back(mm);
	paid_back(&other_mm);
	FUZZ_CHECK(other_mm.refs == 1 && !n_held);
}
