/* SPDX-License-Identifier: MIT */
/*
 * Every kind of change while two threads dispatch, one of them on a bus above.
 * What a callback needs is not there any more when its claim has been removed;
 * and what a change of place leaves claimed is never missed. An argument is
 * the number of changes: 10^6 in the long way, under ThreadSanitizer too.
 */
#include "bus/test-support.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/epoch.h"

static unsigned long n_changes = 6000;
static _Atomic unsigned int n_bad;

static void bad(const char *what)
{
	if (atomic_fetch_add(&n_bad, 1) < 10)
		printf("# %s\n", what);
}

static uint32_t rnd(uint32_t *seed, uint32_t n)
{
	*seed = *seed * 1664525u + 1013904223u;
	return (uint32_t)((uint64_t)*seed * n >> 32);
}

/* --- The places --- */

#define ROUNDS 64 /* of a reader to one change, at most; at least one of both */
#define MORTALS 24
#define MORTAL_AREA 0x10000u
#define MORTAL_SPAN 0x4000u
#define PAIR 0x1000u   /* two claims that change places in one transaction */
#define BORDER 0x2000u /* two that share a border that shifts */
#define TOGGLE 0x3000u /* two at one place, of which one is enabled */
#define BELL 0x4000u   /* an ioeventfd that comes and goes over a device */
#define BELLS 0x5000u  /* two that change places, of which one is always at the first */

/* A page of its own, which nobody may touch when its claim is gone. */
struct mortal {
	uint64_t magic, id;
};
#define MAGIC 0x6d6f7274616c2121u

struct torture {
	struct via_bus *bus, *vcpu;
	size_t page;
	char *pages;
	struct via_claim *mortal[MORTALS];
	_Atomic bool dying[MORTALS]; /* removed, and not done yet */
	struct via_claim *pair[2], *border[2], *toggle[2], *bells[2];
	struct via_coalescer *coalescer;
	int pair_at, toggle_on, bells_at;
	bool bell;
	int bell_fd, bells_fd[2];
	_Atomic bool stop;
	_Atomic uint64_t n_reads, n_made;
	_Atomic uint64_t n_bell, n_bells, n_device; /* writes, and what reached the device */
};

static struct torture t;

static struct mortal *mortal(int i)
{
	return (struct mortal *)(void *)(t.pages + (size_t)i * t.page);
}

static int mortal_read(void *opaque, uint64_t offset, unsigned int size, uint64_t *ret_value)
{
	const struct mortal *m = opaque;

	if (m->magic != MAGIC)
		bad("a callback of what is gone");
	*ret_value = m->id;
	return m->id & 1 ? VIA_BUS_DECLINE : VIA_BUS_OK;
}

static int mortal_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	const struct mortal *m = opaque;

	if (m->magic != MAGIC)
		bad("a write of what is gone");
	return VIA_BUS_OK;
}

static const struct via_bus_ops mortal_ops = {mortal_read, mortal_write};

/* Answers its opaque, in the byte that every part of an access has. */
static int name_read(void *opaque, uint64_t offset, unsigned int size, uint64_t *ret_value)
{
	*ret_value = (uintptr_t)opaque * 0x0101010101010101u;
	return VIA_BUS_OK;
}

static int name_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	atomic_fetch_add(&t.n_device, 1);
	return VIA_BUS_OK;
}

static const struct via_bus_ops name_ops = {name_read, name_write};

static struct via_claim *named(uintptr_t name, uint64_t start, uint64_t last, unsigned int flags)
{
	struct via_claim_desc desc = {.start = start,
				      .last = last,
				      .ops = &name_ops,
				      .opaque = (void *)name,
				      .valid_unaligned = true,
				      .flags = flags};

	return add_desc(t.bus, &desc);
}

/* --- Readers --- */

static uint64_t answered(struct via_bus *bus, uint64_t addr, unsigned int size)
{
	uint64_t value = 0;

	if (via_bus_read_value(bus, addr, size, &value))
		bad("a miss where there is always a claim");
	return value;
}

static void look_at_fixed_places(struct via_bus *bus, uint32_t *seed)
{
	uint64_t v = answered(bus, PAIR, 8), k;

	if (v != 0x0101010101010101u && v != 0x0202020202020202u)
		bad("neither of the pair");
	/* Each byte is one's or the other's, and the border is not crossed twice. */
	v = answered(bus, BORDER + rnd(seed, 0x38), 8);
	for (k = 0; k < 8; k++, v >>= 8) {
		if ((v & 0xff) != 3 && (v & 0xff) != 4)
			bad("neither side of a border");
	}
	v = answered(bus, TOGGLE + 8 * rnd(seed, 8), 4);
	if (v != 0x05050505 && v != 0x06060606)
		bad("neither of the two that are enabled in turn");
}

static void *reader_main(void *arg)
{
	struct via_bus *bus = arg;
	uint32_t seed = bus == t.vcpu ? 7 : 9, i, next = ROUNDS;
	uint64_t v, made, last_made = 0;

	for (i = 0; !atomic_load_explicit(&t.stop, memory_order_relaxed); i++) {
		uint64_t addr = MORTAL_AREA + rnd(&seed, MORTAL_SPAN + 0x800);

		(void)via_bus_read_value(bus, addr, 1u << rnd(&seed, 4), &v);
		if (i % 4 == 0)
			(void)via_bus_write_value(bus, addr, 1u << rnd(&seed, 4), i);
		if (i % 64 == 0)
			(void)via_bus_read(bus, addr, (uint8_t[64]){0}, 64, NULL);
		if (i % 64 == 1)
			via_coalescer_drain(t.coalescer);
		look_at_fixed_places(bus, &seed);
		if (i % 16 == 0) {
			if (via_bus_write_value(bus, BELL, 4, 1))
				bad("nobody heard the bell");
			atomic_fetch_add(&t.n_bell, 1);
			if (via_bus_write_value(bus, BELLS, 4, 1))
				bad("no bell where there is always one");
			atomic_fetch_add(&t.n_bells, 1);
		}
		atomic_fetch_add_explicit(&t.n_reads, 1, memory_order_relaxed);
		/* Where processors are few, readers that only run would starve the writer. */
		while (i >= next && !atomic_load_explicit(&t.stop, memory_order_relaxed)) {
			made = atomic_load_explicit(&t.n_made, memory_order_relaxed);
			if (made != last_made)
				next = i + ROUNDS;
			else
				sched_yield();
			last_made = made;
		}
	}
	return NULL;
}

/* --- Changes --- */

static void poison(int i)
{
	mortal(i)->magic = 0;
	assert_int_equal(mprotect(mortal(i), t.page, PROT_NONE), 0);
}

static void mortal_done(void *opaque)
{
	int i = (int)(uintptr_t)opaque;

	poison(i);
	atomic_store(&t.dying[i], false);
}

static void add_mortal(int i, uint32_t *seed)
{
	uint64_t start = MORTAL_AREA + rnd(seed, MORTAL_SPAN);
	struct via_claim_desc desc = {.start = start,
				      .last = start + rnd(seed, 0x400),
				      .priority = (int)rnd(seed, 6),
				      .ops = &mortal_ops,
				      .opaque = mortal(i),
				      .valid_unaligned = true};

	if (atomic_load(&t.dying[i]))
		return;
	if (!rnd(seed, 4)) {
		desc.coalescer = t.coalescer;
		desc.flags = VIA_BUS_COALESCE | (rnd(seed, 2) ? VIA_BUS_DISCARD : 0u);
	}
	if (!rnd(seed, 8))
		desc.flags |= VIA_BUS_DISABLED;
	assert_int_equal(mprotect(mortal(i), t.page, PROT_READ | PROT_WRITE), 0);
	*mortal(i) = (struct mortal){MAGIC, rnd(seed, 4)};
	if (via_bus_add(t.bus, &desc, &t.mortal[i])) {
		t.mortal[i] = NULL;
		poison(i);
	}
}

static void remove_mortal(int i, uint32_t how)
{
	struct via_bus_change change = {VIA_BUS_REMOVE, t.mortal[i]};

	if (how == 0) {
		atomic_store(&t.dying[i], true);
		via_bus_remove_async(t.mortal[i], mortal_done, (void *)(uintptr_t)i);
	} else {
		if (how == 1)
			assert_int_equal(via_bus_remove(t.mortal[i]), 0);
		else
			assert_int_equal(via_bus_commit(t.bus, &change, 1), 0);
		poison(i);
	}
	t.mortal[i] = NULL;
}

static void change_mortal(uint32_t *seed)
{
	int i = (int)rnd(seed, MORTALS);
	struct via_bus_change change = {.claim = t.mortal[i],
					.start = MORTAL_AREA + rnd(seed, MORTAL_SPAN)};
	int ret;

	if (!t.mortal[i]) {
		add_mortal(i, seed);
		return;
	}
	switch (rnd(seed, 8)) {
	case 0:
		change.kind = VIA_BUS_ENABLE;
		break;
	case 1:
		change.kind = VIA_BUS_DISABLE;
		break;
	case 2:
	case 3:
		change.kind = VIA_BUS_RESIZE;
		change.last = change.start + rnd(seed, 0x400);
		break;
	case 4:
	case 5:
		change.kind = VIA_BUS_MOVE;
		break;
	default:
		remove_mortal(i, rnd(seed, 3));
		return;
	}
	ret = via_bus_commit(t.bus, &change, 1);
	assert_true(!ret || ret == -EEXIST);
}

static void commit2(const struct via_bus_change *changes)
{
	struct via_bus_change both[2] = {changes[0], changes[1]};

	assert_int_equal(via_bus_commit(t.bus, both, 2), 0);
}

static void change_fixed(uint32_t *seed)
{
	const uint64_t border = BORDER + 1 + rnd(seed, 0x3e);
	struct via_bus_ioeventfd bell = {.fd = t.bell_fd, .len = 4};

	switch (rnd(seed, 5)) {
	case 0:
		t.pair_at ^= 1;
		commit2((struct via_bus_change[]){
			{VIA_BUS_MOVE, t.pair[0], .start = t.pair_at ? PAIR + 0x100 : PAIR},
			{VIA_BUS_MOVE, t.pair[1], .start = t.pair_at ? PAIR : PAIR + 0x100}});
		break;
	case 1:
		commit2((struct via_bus_change[]){
			{VIA_BUS_RESIZE, t.border[0], .start = BORDER, .last = border - 1},
			{VIA_BUS_RESIZE, t.border[1], .start = border, .last = BORDER + 0x3f}});
		break;
	case 2:
		t.toggle_on ^= 1;
		commit2((struct via_bus_change[]){{VIA_BUS_DISABLE, t.toggle[!t.toggle_on]},
						  {VIA_BUS_ENABLE, t.toggle[t.toggle_on]}});
		break;
	case 3:
		assert_int_equal(t.bell ? via_bus_ioeventfd_deassign(t.bus, BELL, &bell)
					: via_bus_ioeventfd_assign(t.bus, BELL, &bell),
				 0);
		t.bell = !t.bell;
		break;
	default:
		t.bells_at ^= 1;
		commit2((struct via_bus_change[]){
			{VIA_BUS_MOVE, t.bells[0], .start = t.bells_at ? BELLS + 8 : BELLS},
			{VIA_BUS_MOVE, t.bells[1], .start = t.bells_at ? BELLS : BELLS + 8}});
	}
}

static void prepare(void)
{
	struct via_bus_desc above = {.name = "vcpu"};
	struct via_bus_ioeventfd bell = {.len = 4};
	struct via_claim_desc desc = {.start = BELLS, .ioeventfd = &bell};
	int i;

	t.bus = new_bus();
	above.below = t.bus;
	assert_int_equal(via_bus_new_as(&above, &t.vcpu), 0);
	t.page = (size_t)sysconf(_SC_PAGESIZE);
	t.pages = mmap(NULL, MORTALS * t.page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(t.pages, MAP_FAILED);
	assert_int_equal(via_coalescer_new(5, -1, &t.coalescer), 0);
	t.pair[0] = named(1, PAIR, PAIR + 0xff, 0);
	t.pair[1] = named(2, PAIR + 0x100, PAIR + 0x1ff, 0);
	t.border[0] = named(3, BORDER, BORDER + 0x1f, 0);
	t.border[1] = named(4, BORDER + 0x20, BORDER + 0x3f, 0);
	t.toggle[0] = named(5, TOGGLE, TOGGLE + 0x3f, 0);
	t.toggle[1] = named(6, TOGGLE, TOGGLE + 0x3f, VIA_BUS_DISABLED);
	(void)named(7, BELL, BELL + 0xff, 0);
	t.bell_fd = eventfd(0, EFD_NONBLOCK);
	for (i = 0; i < 2; i++) {
		t.bells_fd[i] = bell.fd = eventfd(0, EFD_NONBLOCK);
		desc.start = BELLS + 8u * (unsigned int)i;
		t.bells[i] = add_desc(t.bus, &desc);
	}
	/* The vCPU's own claim, and one that eclipses some of the mortals. */
	desc = (struct via_claim_desc){.start = 0xfee00000, .last = 0xfee00fff};
	add_desc(t.vcpu, &desc);
}

static uint64_t count_of(int fd)
{
	uint64_t n;

	return read(fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

static void finish(void)
{
	int i;

	for (i = 0; i < MORTALS; i++) {
		if (t.mortal[i])
			remove_mortal(i, 1);
	}
	assert_int_equal(via_epoch_synchronize(), 0);
	for (i = 0; i < MORTALS; i++)
		assert_false(t.dying[i]);
	assert_int_equal(via_epoch_n_pending(), 0);
	/* Every write of a bell was heard, by the one or the other. */
	assert_int_equal(count_of(t.bell_fd) + t.n_device, t.n_bell);
	assert_int_equal(count_of(t.bells_fd[0]) + count_of(t.bells_fd[1]), t.n_bells);
	via_bus_free(t.vcpu);
	via_bus_free(t.bus);
	via_coalescer_free(t.coalescer);
	munmap(t.pages, MORTALS * t.page);
	for (i = 0; i < 2; i++)
		close(t.bells_fd[i]);
	close(t.bell_fd);
}

static void case_23_24_25_every_change_under_two_readers(void **state)
{
	pthread_t thread[2];
	uint32_t seed = 1;
	unsigned long i;

	prepare();
	assert_int_equal(pthread_create(&thread[0], NULL, reader_main, t.bus), 0);
	assert_int_equal(pthread_create(&thread[1], NULL, reader_main, t.vcpu), 0);
	while (!atomic_load(&t.n_reads))
		sched_yield();
	for (i = 0; i < n_changes; i++) {
		if (rnd(&seed, 3))
			change_mortal(&seed);
		else
			change_fixed(&seed);
		atomic_fetch_add(&t.n_made, 1);
		while (i % 64 == 63 && atomic_load(&t.n_reads) < i)
			sched_yield();
		if (i % 1000 == 999)
			assert_int_equal(via_bus_set_counting(t.bus, rnd(&seed, 2)), 0);
		/* What waits for a grace period stays bounded. */
		assert_true(via_epoch_n_pending() <= 80);
	}
	atomic_store(&t.stop, true);
	assert_int_equal(pthread_join(thread[0], NULL), 0);
	assert_int_equal(pthread_join(thread[1], NULL), 0);
	assert_int_equal(n_bad, 0);
	printf("# %lu changes, %llu rounds of the readers\n", n_changes,
	       (unsigned long long)t.n_reads);
	finish();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(case_23_24_25_every_change_under_two_readers),
	};

	if (argc > 1)
		n_changes = strtoul(argv[1], NULL, 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
