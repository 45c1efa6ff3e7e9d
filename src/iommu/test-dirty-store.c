/* SPDX-License-Identifier: MIT */
/*
 * The store of written granules against a flat bitmap, without memory, and with
 * devices that write during the harvest. The code is built here once more with
 * an allocator that fails.
 */
#include <stdbool.h>
#include <stdlib.h>

static long fail_from = -1, n_allocations; /* fail_from: that allocation and all later ones */

static bool may_allocate(void)
{
	return fail_from < 0 || __atomic_fetch_add(&n_allocations, 1, __ATOMIC_RELAXED) < fail_from;
}

static void *test_calloc(size_t n, size_t size)
{
	return may_allocate() ? calloc(n, size) : NULL;
}

static void *test_aligned_alloc(size_t align, size_t size)
{
	return may_allocate() ? aligned_alloc(align, size) : NULL;
}

#define calloc test_calloc
#define aligned_alloc test_aligned_alloc
#include "iommu/dirty_store.c"
#undef calloc
#undef aligned_alloc

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

static struct via_dirty_store *store_new(uint64_t granule)
{
	struct via_dirty_store *store = NULL;

	assert_int_equal(via_dirty_store_new(granule, &store), 0);
	assert_int_equal(via_dirty_store_granule(store), granule);
	return store;
}

static uint64_t prng_state;

static uint64_t prng(void)
{
	prng_state ^= prng_state << 13;
	prng_state ^= prng_state >> 7;
	prng_state ^= prng_state << 17;
	return prng_state;
}

/* Runs, as they come. */
struct runs {
	size_t n;
	struct via_iova_range run[64];
};

static int collect(void *cookie, via_iova_t first, via_iova_t last)
{
	struct runs *runs = cookie;

	assert_true(runs->n < 64);
	runs->run[runs->n++] = (struct via_iova_range){ first, last };
	return 0;
}

static void expect(struct via_dirty_store *store, via_iova_t first, via_iova_t last, bool clear,
		   size_t n, const struct via_iova_range *run)
{
	struct runs runs = { 0 };

	assert_int_equal(via_dirty_store_harvest(store, first, last, clear, collect, &runs), 0);
	assert_int_equal(runs.n, n);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(runs.run[i].first, run[i].first);
		assert_int_equal(runs.run[i].last, run[i].last);
	}
}

static void test_bounds(void **state)
{
	for (uint64_t granule = 512; granule <= 4096; granule *= 2) {
		struct via_dirty_store *store = store_new(granule);
		const struct via_iova_range both[] = {
			{ 0, granule - 1 }, { UINT64_MAX - granule + 1, UINT64_MAX }
		};
		uint64_t leaf = granule << LEAF_BITS, node = leaf << NODE_BITS;
		/* Across a leaf, a top, and up to the end of a node. */
		const struct via_iova_range wide[] = {
			{ leaf - granule, leaf + granule - 1 },
			{ node - leaf - granule, node + 3 * leaf - 1 },
		};

		expect(store, 0, UINT64_MAX, true, 0, NULL);
		via_dirty_store_mark(store, 0, 1);
		via_dirty_store_mark(store, UINT64_MAX, 1);
		expect(store, 0, UINT64_MAX, false, 2, both);
		expect(store, granule, UINT64_MAX - granule, false, 0, NULL);
		expect(store, 5, 7, false, 1, &(struct via_iova_range){ 5, 7 });
		expect(store, 0, UINT64_MAX, true, 2, both);
		expect(store, 0, UINT64_MAX, true, 0, NULL);
		via_dirty_store_mark(store, leaf - 1, 2);
		via_dirty_store_mark(store, wide[1].first + 5, wide[1].last - wide[1].first - 5);
		expect(store, 0, UINT64_MAX, true, 2, wide);
		expect(store, 0, UINT64_MAX, true, 0, NULL);
		via_dirty_store_free(store);
	}
}

/* Three windows of the space with a flat bitmap each: low, across a top, at the end. */
#define WINDOW 100000u
#define GRANULE 2048u

static const uint64_t window_base[] = { 0, ((uint64_t)1 << 23) - 50000, ((uint64_t)1 << 53) - WINDOW };
static bool model[3][WINDOW];

struct walk_check {
	uint64_t first, last; /* bytes */
	unsigned int w;
	bool clear;
	uint64_t next;	  /* granule of the window from which on nothing has been reported */
	uint64_t stop_at; /* fail once so many runs have been reported */
};

static int check_run(void *cookie, via_iova_t first, via_iova_t last)
{
	struct walk_check *check = cookie;
	uint64_t base = window_base[check->w];
	uint64_t from = first / GRANULE - base, to = last / GRANULE - base;

	assert_true(first >= check->first && last <= check->last && first <= last);
	assert_true(from >= check->next && to < WINDOW);
	for (uint64_t g = check->next; g < from; g++)
		assert_true(!model[check->w][g] || (base + g + 1) * GRANULE <= check->first);
	if (!check->stop_at--)
		return -5;
	for (uint64_t g = from; g <= to; g++) {
		assert_true(model[check->w][g]);
		if (check->clear)
			model[check->w][g] = false;
	}
	assert_true(first == check->first || first % GRANULE == 0);
	assert_true(last == check->last || last % GRANULE == GRANULE - 1);
	check->next = to + 1;
	return 0;
}

static void harvest_window(struct via_dirty_store *store, unsigned int w)
{
	uint64_t n = 1 + prng() % (prng() % 4 ? 200 : WINDOW), at = prng() % (WINDOW - n + 1);
	uint64_t base = window_base[w];
	struct walk_check check = {
		.first = (base + at) * GRANULE + prng() % 3,
		.last = (base + at + n) * GRANULE - 1 - prng() % 3,
		.w = w, .clear = prng() % 2, .next = at,
		.stop_at = prng() % 4 ? UINT64_MAX : prng() % 3,
	};
	int rc = via_dirty_store_harvest(store, check.first, check.last, check.clear, check_run,
					 &check);

	if (rc) {
		assert_int_equal(rc, -5);
		return;
	}
	for (uint64_t g = check.next; g < at + n; g++)
		assert_false(model[w][g]);
}

static void test_model(void **state)
{
	struct via_dirty_store *store = store_new(GRANULE);

	prng_state = 0x9e3779b97f4a7c15;
	for (unsigned int i = 0; i < 200000; i++) {
		unsigned int w = (unsigned int)(prng() % 3);
		uint64_t n = 1 + prng() % (prng() % 16 ? 8 : 5000), at = prng() % (WINDOW - n + 1);
		uint64_t base = window_base[w], skew = prng() % GRANULE;

		switch (prng() % 8) {
		default:
			via_dirty_store_mark(store, (base + at + 1) * GRANULE - 1 - skew,
					     (n - 1) * GRANULE + 1 + prng() % (skew + 1));
			for (uint64_t g = 0; g < n; g++)
				model[w][at + g] = true;
			break;
		case 0:
			via_dirty_store_clear(store, (base + at) * GRANULE, (base + at + n) * GRANULE - 1);
			for (uint64_t g = 0; g < n; g++)
				model[w][at + g] = false;
			break;
		case 1:
			harvest_window(store, w);
			break;
		}
		if (i % 64 == 0)
			store->trim_at = 1;
	}
	for (unsigned int w = 0; w < 3; w++)
		harvest_window(store, w);
	via_dirty_store_free(store);
}

/* A device that writes everywhere, a little at a time, and is unmapped there: nothing remains. */
static void test_memory_is_bounded(void **state)
{
	struct via_dirty_store *store = store_new(4096);
	size_t most = 0;

	prng_state = 88172645463325252;
	via_dirty_store_mark(store, 0x123456789000, 1);
	for (unsigned int i = 0; i < 20000; i++) {
		uint64_t iova = prng();

		if (iova >> 30 == 0x123456789000 >> 30)
			continue;
		via_dirty_store_mark(store, iova, 1);
		via_dirty_store_clear(store, iova & ~4095ull, iova | 4095);
		if (store->n_blocks > most)
			most = store->n_blocks;
	}
	assert_in_range(most, 1, TRIM_MIN + HEIGHT);
	expect(store, 0, UINT64_MAX, true, 1,
	       &(struct via_iova_range){ 0x123456789000, 0x123456789fff });
	via_dirty_store_free(store);
}

struct covered {
	const uint64_t *iovas;
	unsigned int n;
	bool seen[16];
};

static int cover(void *cookie, via_iova_t first, via_iova_t last)
{
	struct covered *covered = cookie;

	for (unsigned int i = 0; i < covered->n; i++)
		covered->seen[i] |= covered->iovas[i] >= first && covered->iovas[i] <= last;
	return 0;
}

static int refuse(void *cookie, via_iova_t first, via_iova_t last)
{
	return 1;
}

static void test_no_memory_is_coarse(void **state)
{
	const uint64_t iovas[] = { 0, 4096 * 70000ull, 1ull << 40, (1ull << 40) + 4096 * 40000,
				   1ull << 60, UINT64_MAX };
	bool failed = true;

	for (long n = 0; failed; n++) {
		struct via_dirty_store *store = store_new(4096);
		struct covered covered = { .iovas = iovas, .n = VIA_ARRAY_SIZE(iovas) };
		struct covered again = covered;

		assert_true(n < 100);
		fail_from = n;
		n_allocations = 0;
		for (size_t i = 0; i < VIA_ARRAY_SIZE(iovas); i++)
			via_dirty_store_mark(store, iovas[i], 1);
		failed = n_allocations > n;
		/* Part of what is coarse cannot be taken out alone. */
		via_dirty_store_clear(store, 4096, 4096 * 5);
		assert_int_equal(via_dirty_store_harvest(store, 0, UINT64_MAX, true, refuse, NULL), 1);
		fail_from = -1;
		assert_int_equal(via_dirty_store_harvest(store, 0, UINT64_MAX, true, cover, &covered), 0);
		for (size_t i = 0; i < VIA_ARRAY_SIZE(iovas); i++)
			assert_true(covered.seen[i]);
		expect(store, 0, UINT64_MAX, true, 0, NULL);
		/* With memory again it is as fine as ever. */
		via_dirty_store_mark(store, 1ull << 60, 1);
		expect(store, 0, UINT64_MAX, false, 1,
		       &(struct via_iova_range){ 1ull << 60, (1ull << 60) + 4095 });
		assert_int_equal(via_dirty_store_harvest(store, 0, UINT64_MAX, true, cover, &again), 0);
		assert_false(again.seen[0]);
		via_dirty_store_free(store);
	}
}

/* What is coarse is not reported for granules that follow it. */
static void test_behind_what_is_coarse(void **state)
{
	struct via_dirty_store *store = store_new(4096);
	const uint64_t leaf = 4096ull << LEAF_BITS;

	fail_from = 0;
	n_allocations = 0;
	via_dirty_store_mark(store, 0, 1);
	fail_from = -1;
	expect(store, leaf, UINT64_MAX, true, 0, NULL);
	expect(store, leaf + 4096, leaf + 8191, false, 0, NULL);
	expect(store, 0, UINT64_MAX, true, 1, &(struct via_iova_range){ 0, leaf - 1 });
	expect(store, 0, UINT64_MAX, true, 0, NULL);
	via_dirty_store_free(store);
}

static struct node *node_for(struct via_dirty_store *store, unsigned int top, unsigned int level)
{
	struct node *node = &store->tops[top];

	while (node->block.level > level) {
		size_t i = 0;

		while (!node->children[i])
			i++;
		node = via_container_of(node->children[i], struct node, block);
	}
	return node;
}

/* A marker that is between its bit and the summaries above while what it marks is taken out as clean. */
static void test_late_mark_survives_trim(void **state)
{
	struct via_dirty_store *store = store_new(4096);
	struct leaf *leaf;
	struct node *node;
	uint64_t base;

	via_dirty_store_mark(store, 1ull << 60, 1);
	via_dirty_store_clear(store, 0, UINT64_MAX);
	node = node_for(store, 5, 1);
	leaf = via_container_of(node->children[0], struct leaf, block);
	base = leaf->block.base;
	leaf->words[9] = 6;
	leaf->lines = 2;
	store->trim_at = 1;
	via_dirty_store_clear(store, 0, 4095);
	expect(store, 0, UINT64_MAX, true, 1,
	       &(struct via_iova_range){ (base + 9 * 64 + 1) * 4096, (base + 9 * 64 + 3) * 4096 - 1 });

	/* The same without memory for what it marks. */
	node = node_for(store, 5, 2);
	base = node->block.base;
	node->children[7] = COARSE;
	store->trim_at = 1;
	via_dirty_store_clear(store, 0, 4095);
	expect(store, 0, UINT64_MAX, true, 1,
	       &(struct via_iova_range){ (base + 7 * span_of(1)) * 4096,
					 (base + 8 * span_of(1)) * 4096 - 1 });
	assert_int_equal(store->n_blocks, 3);
	via_dirty_store_free(store);
}

/*
 * Devices write while one harvests: what was written before a harvest began has
 * been read when it is over.
 */
#define MARKERS 3
#define CELLS 512u

/* Cells share words, and are in several leaves. */
static uint64_t granule_of(uint64_t cell)
{
	return cell % 64 * 5 + cell / 64 * 40000;
}

static struct race {
	struct via_dirty_store *store;
	uint64_t data[CELLS]; /* atomic; one marker's each */
	uint64_t written[CELLS]; /* atomic: that data was written, and marked */
	uint64_t seen[CELLS];
	bool dirty[CELLS]; /* the harvester's */
	unsigned int done; /* atomic: markers */
} race;

static void *marker(void *arg)
{
	uintptr_t me = (uintptr_t)arg;
	uint64_t x = 0x2545f4914f6cdd1d + me * 77777;

	for (unsigned int i = 0; i < 200000; i++) {
		unsigned int cell;

		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		cell = (unsigned int)(x % (i % 1024 < 900 ? 2 : CELLS / MARKERS) * MARKERS + me);
		via_epoch_enter();
		/* Not a locked operation, which would order more than a device's write does. */
		__atomic_store_n(&race.data[cell], race.data[cell] + 1, __ATOMIC_RELAXED);
		via_dirty_store_mark(race.store, granule_of(cell) * 4096, 1);
		via_epoch_exit();
		__atomic_store_n(&race.written[cell], race.data[cell], __ATOMIC_RELEASE);
	}
	(void)__atomic_fetch_add(&race.done, 1, __ATOMIC_RELEASE);
	return NULL;
}

static int race_run(void *cookie, via_iova_t first, via_iova_t last)
{
	uint64_t granule = first / 4096;

	uint64_t cell = granule % 40000 / 5 + granule / 40000 * 64;

	assert_int_equal(granule_of(cell), granule);
	assert_int_equal(last, first + 4095);
	race.dirty[cell] = true;
	return 0;
}

static void race_harvest(void)
{
	static uint64_t before[CELLS];

	for (unsigned int i = 0; i < CELLS; i++)
		before[i] = __atomic_load_n(&race.written[i], __ATOMIC_ACQUIRE);
	assert_int_equal(via_dirty_store_harvest(race.store, 0, UINT64_MAX, true, race_run, NULL), 0);
	for (unsigned int i = 0; i < CELLS; i++) {
		if (race.dirty[i])
			race.seen[i] = __atomic_load_n(&race.data[i], __ATOMIC_RELAXED);
		race.dirty[i] = false;
		assert_true(race.seen[i] >= before[i]);
	}
}

static void test_race_loses_nothing(void **state)
{
	pthread_t thread[MARKERS];

	race.store = store_new(4096);
	for (uintptr_t i = 0; i < MARKERS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, marker, (void *)i), 0);
	while (__atomic_load_n(&race.done, __ATOMIC_ACQUIRE) < MARKERS) {
		race_harvest();
		race.store->trim_at = 1; /* what is clean goes at once */
	}
	for (unsigned int i = 0; i < MARKERS; i++)
		(void)pthread_join(thread[i], NULL);
	race_harvest();
	expect(race.store, 0, UINT64_MAX, true, 0, NULL);
	via_dirty_store_free(race.store);
}

/*
 * Somebody who has come to a block, or has found a granule set, before it was taken out:
 * who takes it out is not done before this one has left.
 */
static struct late {
	struct via_dirty_store *store;
	struct leaf *leaf; /* where it marks late; NULL: nothing */
	bool inside, left; /* atomic */
} late;

static void *late_marker(void *arg)
{
	via_epoch_enter();
	__atomic_store_n(&late.inside, true, __ATOMIC_RELEASE);
	(void)usleep(50000);
	if (late.leaf)
		leaf_mark(late.leaf, late.leaf->block.base + 7, late.leaf->block.base + 8);
	__atomic_store_n(&late.left, true, __ATOMIC_RELEASE);
	via_epoch_exit();
	return NULL;
}

static pthread_t late_start(struct via_dirty_store *store, struct leaf *leaf)
{
	pthread_t thread;

	late = (struct late){ .store = store, .leaf = leaf };
	assert_int_equal(pthread_create(&thread, NULL, late_marker, NULL), 0);
	while (!__atomic_load_n(&late.inside, __ATOMIC_ACQUIRE))
		(void)usleep(100);
	return thread;
}

static void test_harvest_waits_for_writers(void **state)
{
	struct via_dirty_store *store = store_new(4096);
	struct runs runs = { 0 };
	pthread_t thread;

	via_dirty_store_mark(store, 4096, 1);
	/* It has found the granule set, and writes the data now. */
	thread = late_start(store, NULL);
	assert_int_equal(via_dirty_store_harvest(store, 0, UINT64_MAX, true, collect, &runs), 0);
	assert_true(__atomic_load_n(&late.left, __ATOMIC_ACQUIRE));
	assert_int_equal(runs.n, 1);
	(void)pthread_join(thread, NULL);
	via_dirty_store_free(store);
}

static void test_trim_waits_for_markers(void **state)
{
	struct via_dirty_store *store = store_new(4096);
	struct leaf *leaf;
	pthread_t thread;
	uint64_t base;

	via_dirty_store_mark(store, 0, 1);
	via_dirty_store_clear(store, 0, UINT64_MAX);
	leaf = via_container_of(store->tops[1].children[0], struct leaf, block);
	base = leaf->block.base;
	thread = late_start(store, leaf);
	store->trim_at = 1;
	/* Nothing is dirty: only the trim can wait. */
	via_dirty_store_clear(store, 0, UINT64_MAX);
	assert_true(__atomic_load_n(&late.left, __ATOMIC_ACQUIRE));
	(void)pthread_join(thread, NULL);
	expect(store, 0, UINT64_MAX, true, 1,
	       &(struct via_iova_range){ (base + 7) * 4096, (base + 9) * 4096 - 1 });
	via_dirty_store_free(store);
}

/*
 * Each granule is marked once, right before or behind the one that harvests, so that
 * both are in the same word, or, with wide strides, in the same summary: each is found once.
 */
#define SWEEP_MARKS (VIA_EPOCH_TSAN ? 20000u : 1000000u)

static struct {
	struct via_dirty_store *store;
	uint64_t stride;
	uint64_t at; /* atomic: so many have been marked */
} sweep;

static void *sweep_marker(void *arg)
{
	for (uint64_t i = 0; i < SWEEP_MARKS; i++) {
		via_dirty_store_mark(sweep.store, i * sweep.stride * 4096, 1);
		__atomic_store_n(&sweep.at, i + 1, __ATOMIC_RELEASE);
	}
	return NULL;
}

static int sweep_count(void *cookie, via_iova_t first, via_iova_t last)
{
	*(uint64_t *)cookie += (last - first + 1) / 4096;
	return 0;
}

static void test_each_mark_is_found_once(void **state)
{
	static const uint64_t stride[] = { 1, 1, 1, 3, 513, 513 };

	for (size_t k = 0; k < VIA_ARRAY_SIZE(stride); k++) {
		uint64_t found = 0, at;
		pthread_t thread;

		sweep.store = store_new(4096);
		sweep.store->trim_at = SIZE_MAX;
		sweep.stride = stride[k];
		sweep.at = 0;
		assert_int_equal(pthread_create(&thread, NULL, sweep_marker, NULL), 0);
		do {
			uint64_t from, to;
			struct harvest h;

			at = __atomic_load_n(&sweep.at, __ATOMIC_ACQUIRE);
			/* Around where it is; without a grace period, which would let it get away. */
			from = at > 64 ? (at - 64) * sweep.stride : 0;
			to = (at + 64) * sweep.stride;
			h = (struct harvest){ .store = sweep.store, .first_byte = from * 4096,
					      .last_byte = to * 4096 + 4095, .first = from, .last = to,
					      .clear = true, .fn = sweep_count, .cookie = &found };
			walk(&h);
		} while (at < SWEEP_MARKS);
		(void)pthread_join(thread, NULL);
		assert_int_equal(via_dirty_store_harvest(sweep.store, 0, UINT64_MAX, true, sweep_count,
							 &found), 0);
		assert_int_equal(found, SWEEP_MARKS);
		via_dirty_store_free(sweep.store);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_model),
		cmocka_unit_test(test_memory_is_bounded),
		cmocka_unit_test(test_no_memory_is_coarse),
		cmocka_unit_test(test_behind_what_is_coarse),
		cmocka_unit_test(test_late_mark_survives_trim),
		cmocka_unit_test(test_race_loses_nothing),
		cmocka_unit_test(test_harvest_waits_for_writers),
		cmocka_unit_test(test_trim_waits_for_markers),
		cmocka_unit_test(test_each_mark_is_found_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
