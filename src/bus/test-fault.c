/* SPDX-License-Identifier: MIT */
/*
 * Memory runs out: the writer's side is built here once more with an allocator
 * that fails at a chosen call.
 */
#include <stdbool.h>
#include <stdlib.h>

static long fail_at = -1; /* this allocation and all later ones fail; -1: none */
static bool fail_one;	  /* only that one */
static long n_allocations;

static bool may_allocate(void)
{
	long n = n_allocations++;

	return fail_at < 0 || n < fail_at || (fail_one && n > fail_at);
}

static void *test_malloc(size_t size)
{
	return may_allocate() ? malloc(size) : NULL;
}

static void *test_calloc(size_t n, size_t size)
{
	return may_allocate() ? calloc(n, size) : NULL;
}

static void *test_aligned_alloc(size_t align, size_t size)
{
	return may_allocate() ? aligned_alloc(align, size) : NULL;
}

static void *test_realloc(void *p, size_t size)
{
	return may_allocate() ? realloc(p, size) : NULL;
}

#define malloc test_malloc
#define realloc test_realloc
#define calloc test_calloc
#define aligned_alloc test_aligned_alloc
#include "bus/bus.c"
#include "bus/claims.c"
#include "bus/coalescer.c"
#include "bus/commit.c"
#include "bus/counters.c"
#include "bus/entry.c"
#include "bus/events.c"
#include "bus/layers.c"
#include "bus/map.c"
#include "bus/remove.c"
#include "bus/render.c"
#include "bus/view.c"
#undef malloc
#undef realloc
#undef calloc
#undef aligned_alloc

#include "bus/test-support.h"

#include <malloc.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void fail_from(long at, bool one)
{
	n_allocations = 0;
	fail_at = at;
	fail_one = one;
}

static void check_all(struct via_bus *bus, struct dev *d, const int *want)
{
	int i;

	for (i = 0; i < 8; i++)
		assert_int_equal(owner(bus, d, 4, 0x100u + 0x10u * (unsigned int)i), want[i]);
}

static int n_done;

static void count_done(void *opaque)
{
	n_done++;
}

/*
 * Zone, a nested claim, and two fused claims of one device side by side:
 *   0x100..0x17f zone (0), 0x110..0x11f (1) above it, 0x140..0x14f and 0x150..0x15f both (2)
 */
static void case_30_remove_without_memory(void **state)
{
	static const int all[8] = {0, 1, 0, 0, 2, 2, 0, 0};
	static const int no_1[8] = {0, 0, 0, 0, 2, 2, 0, 0};
	static const int half[8] = {0, 0, 0, 0, 0, 2, 0, 0};
	static const int no_0[8] = {-1, -1, -1, -1, -1, 2, -1, -1};
	static const int last[8] = {-1, -1, -1, -1, -1, 3, -1, -1};
	long at;

	for (at = 0; at < 48; at++) {
		struct via_bus *bus = new_bus();
		struct dev d[4] = {0};
		struct via_claim *c[4];
		struct via_claim_desc desc;
		uint64_t v;

		c[0] = add(bus, &d[0], 0x100, 0x17f, 0);
		c[1] = add(bus, &d[1], 0x110, 0x11f, 1);
		c[2] = add(bus, &d[2], 0x140, 0x14f, 1);
		desc = claim_of(&d[2], 0x150, 0x15f, 1);
		desc.offset = 0x10;
		c[3] = add_desc(bus, &desc);
		check_all(bus, d, all);

		fail_from(at, false);
		assert_int_equal(via_bus_remove(c[1]), 0);
		check_all(bus, d, no_1);
		via_bus_remove_async(c[2], count_done, NULL);
		assert_int_equal(n_done, at + 1);
		check_all(bus, d, half);
		/* An access over the seam of what was fused goes to the zone and to the survivor.
		 */
		dev_reset(&d[0]);
		dev_reset(&d[2]);
		assert_int_equal(via_bus_read(bus, 0x14f, (uint8_t[2]){0}, 2, NULL), 0);
		assert_int_equal(d[0].n_reads, 1);
		assert_int_equal(d[2].n_reads, 1);
		assert_int_equal(via_bus_remove(c[0]), 0);
		check_all(bus, d, no_0);
		assert_int_equal(via_bus_read_value(bus, 0x104, 4, &v), -ENXIO);

		/* With memory again the next change leaves no trace of the dead. */
		fail_from(-1, false);
		assert_int_equal(via_bus_remove(c[3]), 0);
		add(bus, &d[3], 0x150, 0x15f, 0);
		check_all(bus, d, last);
		via_bus_free(bus);
	}
}

static void failed_change_leaves_no_trace(void **state)
{
	char before[512], after[512];
	struct dev d[4] = {0};
	long at;

	for (at = 0;; at++) {
		struct via_bus *bus = new_bus();
		struct via_claim *a = add(bus, &d[0], 0x100, 0x1ff, 0);
		struct via_claim *b = add(bus, &d[1], 0x180, 0x18f, 1);
		struct via_bus_change ch[] = {
			{.kind = VIA_BUS_MOVE, .claim = a, .start = 0x500},
			{.kind = VIA_BUS_ADD, .desc = claim_of(&d[2], 0x100, 0x1ff, 0)},
			{.kind = VIA_BUS_REMOVE, .claim = b},
			{.kind = VIA_BUS_ADD, .desc = claim_of(&d[3], 0x600, 0x6ff, 0)},
		};
		int ret;

		via_bus_dump(bus, before, sizeof(before));
		fail_from(at, true);
		ret = via_bus_commit(bus, ch, 4);
		fail_from(-1, false);
		via_bus_dump(bus, after, sizeof(after));
		if (!ret)
			assert_string_not_equal(before, after);
		else
			assert_string_equal(before, after);
		if (ret) {
			assert_int_equal(ret, -ENOMEM);
			assert_int_equal(via_bus_commit(bus, ch, 4), 0);
		}
		via_bus_free(bus);
		if (!ret)
			break;
	}
	assert_true(at > 5);
}

static void new_fails(void **state)
{
	struct via_bus *bus;
	long at;
	int ret = -ENOMEM;

	for (at = 0; ret; at++) {
		fail_from(at, true);
		ret = via_bus_new("test", &bus);
		assert_true(ret == 0 || ret == -ENOMEM);
	}
	fail_from(-1, false);
	assert_true(at > 2);
	via_bus_free(bus);
}

static void new_coalescer_fails(void **state)
{
	struct via_coalescer *coalescer;
	long at;
	int ret = -ENOMEM;

	for (at = 0; ret; at++) {
		fail_from(at, true);
		ret = via_coalescer_new(4, -1, &coalescer);
		assert_true(ret == 0 || ret == -ENOMEM);
	}
	fail_from(-1, false);
	assert_int_equal(at, 3);
	via_coalescer_free(coalescer);
}

/* --- Every kind of change --- */

/*
 * One of everything: claims of several priorities, fused ones, one that is not seen, one that is
 * indivisible, ioeventfds, one of which is not seen, and a bus below.
 */
struct world {
	struct via_bus *vm, *bus;
	struct dev d[6];
	struct via_claim *plain, *above, *low, *high, *hidden, *whole, *bell, *hidden_bell;
	int fd;
};

static struct via_claim *add_event(struct world *w, uint64_t addr, uint64_t data,
				   unsigned int flags)
{
	struct via_bus_ioeventfd e = {.fd = w->fd, .len = 4, .match = true, .data = data};
	struct via_claim_desc desc = {.start = addr, .ioeventfd = &e, .flags = flags};

	return add_desc(w->bus, &desc);
}

/* One that takes accesses as they are cut: what is dead still cuts them at its edges. */
static struct via_claim *world_add(struct world *w, struct via_bus *bus, int i, uint64_t start,
				   uint64_t last, int priority)
{
	struct via_claim_desc desc = claim_of(&w->d[i], start, last, priority);

	desc.valid_unaligned = true;
	return add_desc(bus, &desc);
}

static void world_new(struct world *w, bool counting, bool many)
{
	struct via_claim_desc desc;
	unsigned int i;

	memset(w, 0, sizeof(*w));
	w->fd = eventfd(0, EFD_NONBLOCK);
	w->vm = new_bus();
	assert_int_equal(via_bus_new_as(&(struct via_bus_desc){.below = w->vm}, &w->bus), 0);
	world_add(w, w->vm, 5, 0, 0xfff, 0);
	w->plain = world_add(w, w->bus, 0, 0x100, 0x1ff, 0);
	w->above = world_add(w, w->bus, 1, 0x180, 0x18f, 1);
	w->low = world_add(w, w->bus, 2, 0x140, 0x14f, 1);
	desc = claim_of(&w->d[2], 0x150, 0x15f, 1);
	desc.offset = 0x10;
	desc.valid_unaligned = true;
	w->high = add_desc(w->bus, &desc);
	desc = claim_of(&w->d[3], 0x200, 0x2ff, 2);
	desc.flags = VIA_BUS_DISABLED;
	desc.valid_unaligned = true;
	w->hidden = add_desc(w->bus, &desc);
	desc = claim_of(&w->d[4], 0x300, 0x303, 0);
	desc.flags = VIA_BUS_INDIVISIBLE;
	desc.valid_unaligned = true;
	w->whole = add_desc(w->bus, &desc);
	w->bell = add_event(w, 0x120, 1, 0);
	w->hidden_bell = add_event(w, 0x124, 1, VIA_BUS_DISABLED);
	/* Elsewhere, for maps of several chunks. */
	for (i = 0; many && i < 70; i++)
		world_add(w, w->bus, 0, 0x10000u + 0x10u * i, 0x10000u + 0x10u * i + 7,
			  (int)(i & 1));
	if (counting)
		assert_int_equal(via_bus_set_counting(w->bus, true), 0);
}

static void world_free(struct world *w)
{
	fail_from(-1, false);
	via_bus_free(w->bus);
	via_bus_free(w->vm);
	close(w->fd);
}

/* What all addresses do, by a byte read, a write, and the ioeventfds. */
static void world_look(struct world *w, char *ret_what, size_t len)
{
	uint64_t addr, n;
	size_t at = 0;
	int ret;

	for (addr = 0xf8; addr < 0x400 && at + 8 < len; addr += 8) {
		ret_what[at++] = (char)('a' + owner(w->bus, w->d, 6, addr));
		ret = via_bus_write_value(w->bus, addr, 4, 1);
		ret_what[at++] = ret ? '-' : '+';
		ret_what[at++] = read(w->fd, &n, sizeof(n)) == sizeof(n) ? '!' : '.';
		/* Over the edges, for what is indivisible. */
		ret_what[at++] = via_bus_write_value(w->bus, addr + 4, 8, 1) ? '-' : '+';
	}
	ret_what[at] = '\0';
}

enum kind {
	K_ADD,
	K_ADD_ABOVE,
	K_ADD_INDIVISIBLE,
	K_REMOVE,
	K_REMOVE_FUSED,
	K_REMOVE_HIDDEN,
	K_REMOVE_WHOLE,
	K_MOVE,
	K_MOVE_HIDDEN,
	K_RESIZE,
	K_RESIZE_FUSED,
	K_ENABLE,
	K_DISABLE,
	K_ASSIGN,
	K_DEASSIGN,
	K_MOVE_EVENT,
	K_ENABLE_EVENT,
	K_DISABLE_EVENT,
	K_REMOVE_EVENT,
	K_MANY,
	K_COUNT,
	N_KINDS
};

static int change_of(struct world *w, enum kind kind)
{
	struct via_bus_ioeventfd bell = {.fd = w->fd, .len = 4, .match = true, .data = 1};
	struct via_bus_ioeventfd any = {.fd = w->fd};
	struct via_bus_change c[4] = {{0}};
	size_t n = 1;

	switch (kind) {
	case K_ADD:
		c[0].desc = claim_of(&w->d[3], 0x380, 0x38f, 0);
		break;
	case K_ADD_ABOVE:
		c[0].desc = claim_of(&w->d[3], 0x130, 0x19f, 7);
		break;
	case K_ADD_INDIVISIBLE:
		c[0].desc = claim_of(&w->d[3], 0x304, 0x307, 0);
		c[0].desc.flags = VIA_BUS_INDIVISIBLE;
		break;
	case K_REMOVE:
		c[0] = (struct via_bus_change){VIA_BUS_REMOVE, w->plain};
		break;
	case K_REMOVE_FUSED:
		c[0] = (struct via_bus_change){VIA_BUS_REMOVE, w->low};
		break;
	case K_REMOVE_HIDDEN:
		c[0] = (struct via_bus_change){VIA_BUS_REMOVE, w->hidden};
		break;
	case K_REMOVE_WHOLE:
		c[0] = (struct via_bus_change){VIA_BUS_REMOVE, w->whole};
		break;
	case K_MOVE:
		c[0] = (struct via_bus_change){VIA_BUS_MOVE, w->above, .start = 0x1a0};
		break;
	case K_MOVE_HIDDEN:
		c[0] = (struct via_bus_change){VIA_BUS_MOVE, w->hidden, .start = 0x100};
		break;
	case K_RESIZE:
		c[0] = (struct via_bus_change){VIA_BUS_RESIZE, w->plain, .start = 0x110,
					       .last = 0x2ff};
		break;
	case K_RESIZE_FUSED:
		c[0] = (struct via_bus_change){VIA_BUS_RESIZE, w->high, .start = 0x150,
					       .last = 0x16f};
		break;
	case K_ENABLE:
		c[0] = (struct via_bus_change){VIA_BUS_ENABLE, w->hidden};
		break;
	case K_DISABLE:
		c[0] = (struct via_bus_change){VIA_BUS_DISABLE, w->high};
		break;
	case K_ASSIGN:
		return via_bus_ioeventfd_assign(w->bus, 0x308, &any);
	case K_DEASSIGN:
		return via_bus_ioeventfd_deassign(w->bus, 0x120, &bell);
	case K_MOVE_EVENT:
		c[0] = (struct via_bus_change){VIA_BUS_MOVE, w->bell, .start = 0x180};
		break;
	case K_ENABLE_EVENT:
		c[0] = (struct via_bus_change){VIA_BUS_ENABLE, w->hidden_bell};
		break;
	case K_DISABLE_EVENT:
		c[0] = (struct via_bus_change){VIA_BUS_DISABLE, w->bell};
		break;
	case K_REMOVE_EVENT:
		return via_bus_remove(w->bell);
	case K_MANY:
		c[0] = (struct via_bus_change){VIA_BUS_MOVE, w->plain, .start = 0x300};
		c[1] = (struct via_bus_change){VIA_BUS_DISABLE, w->whole};
		c[2] = (struct via_bus_change){VIA_BUS_MOVE, w->bell, .start = 0x328};
		c[3].desc = claim_of(&w->d[3], 0x100, 0x13f, 0);
		n = 4;
		break;
	default:
		return via_bus_set_counting(w->bus, true) ?: via_bus_set_counting(w->bus, false);
	}
	return via_bus_commit(w->bus, c, n);
}

/* Of which it is promised that they cannot fail. */
static bool is_infallible(enum kind kind)
{
	return kind == K_DEASSIGN || kind == K_REMOVE_EVENT;
}

/* One allocation fails, or one and all after it: all of the change is there, or nothing. */
static void every_change_at_every_allocation(void **state)
{
	char before[1024], after[1024], now[1024];
	unsigned int kind, variant;
	long at;

	for (kind = 0; kind < N_KINDS; kind++) {
		for (variant = 0; variant < 8; variant++) {
			bool one = variant & 1, counting = variant & 2, many = variant & 4;
			struct world w;
			int ret = -1;

			world_new(&w, counting, many);
			world_look(&w, before, sizeof(before));
			assert_int_equal(change_of(&w, kind), 0);
			world_look(&w, after, sizeof(after));
			world_free(&w);
			for (at = 0; at < 200; at++) {
				world_new(&w, counting, many);
				fail_from(at, one);
				ret = change_of(&w, kind);
				if (n_allocations <= at) {
					world_free(&w);
					break;
				}
				world_look(&w, now, sizeof(now));
				assert_true(ret == 0 || ret == -ENOMEM);
				assert_true(!ret || !is_infallible(kind));
				assert_string_equal(now, ret ? before : after);
				/* With memory again nothing of it is left. */
				fail_from(-1, false);
				if (ret)
					assert_int_equal(change_of(&w, kind), 0);
				else
					(void)via_bus_remove(
						add(w.bus, &w.d[0], 0x1000, 0x1001, 9));
				world_look(&w, now, sizeof(now));
				assert_string_equal(now, after);
				world_free(&w);
			}
			assert_int_equal(ret, 0);
			assert_in_range(at, kind == K_COUNT && counting ? 0 : 2, 199);
		}
	}
}

/* Removals by any name, in any order, with no memory at all, and then some. */
static void case_30_everything_goes_without_memory(void **state)
{
	char with[1024], without[1024];
	uint32_t order, round;
	int how;

	for (round = 0; round < 64; round++) {
		for (how = 0; how < 2; how++) {
			struct world w, same;
			struct via_claim **of[2][8];
			int i;

			for (i = 0; i < 2; i++) {
				struct world *x = i ? &same : &w;
				struct via_claim **all[8] = {&x->plain, &x->above,	&x->low,
							     &x->high,	&x->hidden,	&x->whole,
							     &x->bell,	&x->hidden_bell};

				world_new(x, round & 32, round & 16);
				memcpy(of[i], all, sizeof(all));
			}
			order = round * 5 + 1;
			fail_from(0, false);
			for (i = 0; i < 8; i++, order += 3 + 2 * (round & 1) * 4) {
				int k = (int)(order & 7);

				while (!*of[0][k])
					k = (k + 1) & 7;
				if (how && round % 3)
					via_bus_remove_async(*of[0][k], count_done, NULL);
				else
					assert_int_equal(via_bus_remove(*of[0][k]), 0);
				*of[0][k] = NULL;
				/* The other one has memory. */
				fail_from(-1, false);
				assert_int_equal(via_bus_remove(*of[1][k]), 0);
				*of[1][k] = NULL;
				fail_from(0, false);
				world_look(&w, with, sizeof(with));
				world_look(&same, without, sizeof(without));
				assert_string_equal(with, without);
			}
			world_free(&w);
			world_free(&same);
		}
	}
}

/* What has failed counts nothing, misses neither. */
static void counting_that_fails_is_off(void **state)
{
	struct world w;
	long at;
	int ret = -ENOMEM;
	uint64_t v;

	for (at = 0; ret; at++) {
		struct via_claim_stats stats;

		world_new(&w, false, true);
		fail_from(at, true);
		ret = via_bus_set_counting(w.bus, true);
		fail_from(-1, false);
		(void)via_bus_read_value(w.bus, 0x100, 4, &v);
		(void)via_bus_read_value(w.bus, 0x5000, 4, &v);
		via_claim_get_stats(w.plain, &stats);
		assert_int_equal(stats.reads, ret == 0);
		assert_int_equal(via_bus_get_misses(w.bus, NULL, 0, NULL), ret == 0);
		/* And off again the same way. */
		if (!ret) {
			long off;

			for (off = 0;; off++) {
				fail_from(off, true);
				ret = via_bus_set_counting(w.bus, false);
				fail_from(-1, false);
				(void)via_bus_read_value(w.bus, 0x6000u + (unsigned int)off, 4, &v);
				assert_int_equal(via_bus_get_misses(w.bus, NULL, 0, NULL),
						 ret ? off + 2 : off + 1);
				if (!ret)
					break;
				assert_int_equal(ret, -ENOMEM);
			}
			assert_true(off > 3);
		}
		world_free(&w);
	}
	assert_true(at > 8);
}

/* 34: whatever has come and gone, memory is what it was. */
static void case_34_memory_is_what_it_was(void **state)
{
	struct world w;
	size_t before = 0, most = 0, now;
	unsigned int i;

	world_new(&w, false, true);
	for (i = 0; i < 3000; i++) {
		struct via_bus_ioeventfd e = {.fd = w.fd, .len = 8};
		struct via_bus_change c[2] = {
			{VIA_BUS_RESIZE, w.plain, .start = 0x100, .last = 0x1ff - i % 2 * 0x40},
			{i % 2 ? VIA_BUS_ENABLE : VIA_BUS_DISABLE, w.hidden}};
		struct via_claim *claim =
			add(w.bus, &w.d[0], 0x1000 + i % 8, 0x2000, (int)(i % 5) + 3);

		if (i == 1000)
			before = mallinfo2().uordblks;
		assert_int_equal(via_bus_ioeventfd_assign(w.bus, 0x1000, &e), 0);
		assert_int_equal(via_bus_commit(w.bus, c, 2), 0);
		/* Now and then without memory: what is left over goes with the next change. */
		if (i % 16 == 0)
			fail_from(0, false);
		if (i % 3)
			assert_int_equal(via_bus_remove(claim), 0);
		else
			via_bus_remove_async(claim, NULL, NULL);
		assert_int_equal(via_bus_ioeventfd_deassign(w.bus, 0x1000, &e), 0);
		fail_from(-1, false);
		now = mallinfo2().uordblks;
		if (i > 1000 && now > most)
			most = now;
	}
	assert_true(most < before + 65536);
	world_free(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(case_30_remove_without_memory),
		cmocka_unit_test(failed_change_leaves_no_trace),
		cmocka_unit_test(new_fails),
		cmocka_unit_test(new_coalescer_fails),
		cmocka_unit_test(every_change_at_every_allocation),
		cmocka_unit_test(case_30_everything_goes_without_memory),
		cmocka_unit_test(counting_that_fails_is_off),
		cmocka_unit_test(case_34_memory_is_what_it_was),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
