/* SPDX-License-Identifier: MIT */
/*
 * Claims: a translation that a device has used before costs no more than 3 ns;
 * one among 10^6 areas costs about one miss of the cache, and a fifth of what a
 * red-black tree takes; mapping stays as cheap with 10^6 areas as with 10^3, also
 * when the IOVA is chosen; a harvest of a clean TiB costs next to nothing; readers
 * do not slow each other down. Each claim is printed with its bar.
 */
#include "bench.h"
#include "rbtree.h"

/* For translate(), which is what every access of a device begins with. */
#include "iommu/dma.c"

#include "base/slab.h"
#include "base/util.h"
#include "iommu/area.h"
#include "iommu/dirty_store.h"
#include "iommu/index.h"

#include <math.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE ((uint64_t)4096)
#define ROUNDS 9
#define MANY 1000000u
#define TIB ((uint64_t)1 << 40)

/* Behind the range of interrupts. */
#define BASE ((uint64_t)1 << 32)

static unsigned int n_missed;

static void check(int rc)
{
	if (rc) {
		fprintf(stderr, "bench-iommu: %s\n", strerror(-rc));
		exit(1);
	}
}

/* Is value on the right side of its bar? */
static void bar(const char *what, double value, const char *unit, bool at_most, double limit)
{
	bool met = at_most ? value <= limit : value >= limit;

	n_missed += !met;
	printf("  bar: %-52s %9.2f %-6s %s %g: %s\n", what, value, unit, at_most ? "<=" : ">=",
	       limit, met ? "met" : "NOT MET");
}

static double median_of(const struct bench_case *c)
{
	double sorted[BENCH_ROUNDS_MAX];

	memcpy(sorted, c->sample, ROUNDS * sizeof(double));
	return bench_median(sorted, ROUNDS);
}

/* How many times b what a costs, round by round. */
static double ratio_of(const struct bench_case *a, const struct bench_case *b)
{
	double ratio[BENCH_ROUNDS_MAX];

	for (unsigned int i = 0; i < ROUNDS; i++)
		ratio[i] = a->sample[i] / b->sample[i];
	return bench_median(ratio, ROUNDS);
}

/* Hot --------------------------------------------------------------------- */

static struct via_ioas *hot_ioas;
static struct via_dma *hot_dma;

static struct via_index small;
static struct via_ioas_area small_area[16];

/* What it finds goes nowhere, but must be found. */
#define USE(p) __asm__ volatile("" : : "r"(p))

/* All of it: the host's address, how far it goes, what is allowed. */
static inline void use(struct via_translation t, via_iova_t iova)
{
	USE(t.host + (iova - t.first));
	USE(t.last - iova);
	USE(t.prot);
}

static double run_translate(void *arg)
{
	const unsigned int n = 2000000;
	double start = bench_cpu_ns();

	via_epoch_enter();
	for (unsigned int i = 0; i < n; i++)
		use(translate(hot_dma, hot_ioas, (uint64_t)(i % 16) * PAGE + 64), (uint64_t)(i % 16) * PAGE + 64);
	via_epoch_exit();
	return (bench_cpu_ns() - start) / n;
}

static double run_translate_section(void *arg)
{
	const unsigned int n = 2000000;
	double start = bench_cpu_ns();

	for (unsigned int i = 0; i < n; i++) {
		via_epoch_enter();
		use(translate(hot_dma, hot_ioas, (uint64_t)(i % 16) * PAGE + 64), (uint64_t)(i % 16) * PAGE + 64);
		via_epoch_exit();
	}
	return (bench_cpu_ns() - start) / n;
}

static double run_small(void *arg)
{
	const unsigned int n = 2000000, areas = *(unsigned int *)arg;
	double start = bench_cpu_ns();

	for (unsigned int i = 0; i < n; i++)
		use(via_index_translate(&small, (uint64_t)(i % areas) * PAGE + 64), (uint64_t)(i % areas) * PAGE + 64);
	return (bench_cpu_ns() - start) / n;
}

static void bench_hot(struct via_space *space)
{
	unsigned int one = 1, ten = 10, sixteen = 16;
	struct bench_case cases[] = {
		{ .name = "translate(), in a section", .run = run_translate },
		{ .name = "section and translate()", .run = run_translate_section },
		{ .name = "via_index_translate(), the first of 16", .run = run_small, .arg = &one },
		{ .name = "via_index_translate(), 10 of 16 in turn", .run = run_small, .arg = &ten },
		{ .name = "via_index_translate(), 16 of 16 in turn", .run = run_small, .arg = &sixteen },
	};

	check(via_ioas_new(via_iommu_props_intel(), &hot_ioas));
	check(via_dma_new("bench", &hot_dma));
	check(via_dma_attach(hot_dma, hot_ioas));
	via_dma_enable(hot_dma, true);
	for (unsigned int i = 0; i < 16; i++) {
		check(via_ioas_map(hot_ioas, i * PAGE, space, i * PAGE, PAGE, VIA_PROT_READ));
		small_area[i] = (struct via_ioas_area){ .first = i * PAGE, .last = (i + 1) * PAGE - 1 };
		check(via_index_insert(&small, &small_area[i]));
	}
	bench_compare("hot lookups, 16 areas", "ns", cases, VIA_ARRAY_SIZE(cases), ROUNDS);
	bar("lookup hot", median_of(&cases[0]), "ns", true, 3);
	via_dma_free(hot_dma);
	via_ioas_put(hot_ioas);
}

/* Random ------------------------------------------------------------------ */

static struct via_index many;
static struct via_ioas_area **many_area;

/* The peer's record has the area's bytes too. */
struct peer_area {
	struct rb_node node;
	uint8_t rest[sizeof(struct via_ioas_area) - 2 * sizeof(uint64_t)];
};
static struct rb_node *peer_root, *huge_peer_root;

static size_t n_flat_lines;

#define RANDOM_OPS 200000u

/* The next of a chain: it depends on what the last one found. */
static inline uint64_t next_random(uint64_t x, uint64_t found)
{
	return (x + found) * 6364136223846793005u + 1442695040888963407u;
}

static inline uint64_t scale(uint64_t x, uint64_t n)
{
	return ((x >> 32) * n) >> 32;
}

static inline uint64_t random_iova(uint64_t x)
{
	return scale(x, MANY) * PAGE + (x & 0xfff);
}

static uint64_t seed;

typedef struct via_translation lookup_fn(const struct via_index *index, via_iova_t iova);

/* The record of an area as well: who pins it, whose it is. */
static double run_area(void *arg)
{
	uint64_t x = ++seed;
	double start = bench_cpu_ns();

	for (unsigned int i = 0; i < RANDOM_OPS; i++)
		x = next_random(x, via_index_lookup(&many, random_iova(x))->offset & 1);
	USE(x);
	return (bench_cpu_ns() - start) / RANDOM_OPS;
}

/* All that a translation needs: where, how far, and what is allowed. */
static double run_lookup(void *arg)
{
	lookup_fn *lookup = *(lookup_fn **)arg;
	uint64_t x = ++seed;
	double start = bench_cpu_ns();

	for (unsigned int i = 0; i < RANDOM_OPS; i++) {
		uint64_t iova = random_iova(x);
		struct via_translation t = lookup(&many, iova);

		x = next_random(x, ((uintptr_t)t.host + (iova - t.first) + (t.last - iova) + t.prot) & 4096);
	}
	USE(x);
	return (bench_cpu_ns() - start) / RANDOM_OPS;
}

static double run_load(void *arg)
{
	const uint8_t *bytes = arg;
	uint64_t x = ++seed;
	double start = bench_cpu_ns();

	for (unsigned int i = 0; i < RANDOM_OPS; i++)
		x = next_random(x, *(volatile const uint64_t *)(bytes + 64 * scale(x, n_flat_lines)));
	USE(x);
	return (bench_cpu_ns() - start) / RANDOM_OPS;
}

static double run_rbtree(void *arg)
{
	struct rb_node *root = *(struct rb_node **)arg;
	uint64_t x = ++seed;
	double start = bench_cpu_ns();

	for (unsigned int i = 0; i < RANDOM_OPS; i++) {
		uint64_t iova = random_iova(x);
		const struct rb_node *node = rb_lookup(root, iova);

		x = next_random(x, ((iova - node->first) + (node->last - iova) + node->red * 2) & 1);
	}
	USE(x);
	return (bench_cpu_ns() - start) / RANDOM_OPS;
}

static void shuffle(uint32_t *order, uint32_t n)
{
	uint64_t x = 12345;

	for (uint32_t i = 0; i < n; i++)
		order[i] = i;
	for (uint32_t i = n - 1; i; i--) {
		uint32_t k, t = order[i];

		x = next_random(x, 0);
		k = (uint32_t)scale(x, i + 1);
		order[i] = order[k];
		order[k] = t;
	}
}

/* Fill both trees in this order; ns for each insertion into ours. */
static double fill(const uint32_t *order, int how)
{
	double start;

	many_area = calloc(MANY, sizeof(*many_area));
	check(many_area ? 0 : -ENOMEM);
	for (uint32_t i = 0; i < MANY; i++) {
		many_area[i] = via_area_new();
		check(many_area[i] ? 0 : -ENOMEM);
		many_area[i]->first = i * PAGE;
		many_area[i]->last = i * PAGE + PAGE - 1;
		many_area[i]->host = (uint8_t *)(BASE + i * PAGE);
		many_area[i]->prot = VIA_PROT_READ;
		many_area[i]->shown = true;
	}
	start = bench_cpu_ns();
	for (uint32_t i = 0; i < MANY; i++)
		check(via_index_insert(&many, many_area[how == 0 ? i : how == 1 ? MANY - 1 - i : order[i]]));
	return (bench_cpu_ns() - start) / MANY;
}

static double empty(const uint32_t *order, int how)
{
	double start = bench_cpu_ns();

	for (uint32_t i = 0; i < MANY; i++) {
		via_index_remove(&many, many_area[how == 0 ? i : how == 1 ? MANY - 1 - i : order[i]]);
		via_index_trim(&many);
	}
	start = (bench_cpu_ns() - start) / MANY;
	for (uint32_t i = 0; i < MANY; i++)
		via_area_free(many_area[i]);
	free(many_area);
	return start;
}

static struct {
	pthread_barrier_t barrier;
	double began[2], ended[2], cpu[2];
} readers;

static void *read_many(void *arg)
{
	unsigned int me = (unsigned int)(uintptr_t)arg;
	uint64_t x = (me + 1) * 0x9e3779b97f4a7c15u;

	(void)bench_pin((int)me);
	(void)pthread_barrier_wait(&readers.barrier);
	readers.began[me] = bench_wall_ns();
	readers.cpu[me] = -bench_cpu_ns();
	for (unsigned int i = 0; i < RANDOM_OPS; i++) {
		via_epoch_enter();
		x = next_random(x, via_index_translate(&many, random_iova(x)).prot & 2);
		via_epoch_exit();
	}
	readers.cpu[me] += bench_cpu_ns();
	readers.ended[me] = bench_wall_ns();
	USE(x);
	return NULL;
}

/* Lookups in a ns, from when the first of so many threads began until the last was done. */
static double read_with(unsigned int threads)
{
	pthread_t thread[2];
	double began, ended;

	(void)pthread_barrier_init(&readers.barrier, NULL, threads);
	for (unsigned int i = 0; i < threads; i++)
		check(-pthread_create(&thread[i], NULL, read_many, (void *)(uintptr_t)i));
	for (unsigned int i = 0; i < threads; i++)
		(void)pthread_join(thread[i], NULL);
	(void)pthread_barrier_destroy(&readers.barrier);
	began = readers.began[0];
	ended = readers.ended[0];
	if (threads > 1) {
		began = readers.began[1] < began ? readers.began[1] : began;
		ended = readers.ended[1] > ended ? readers.ended[1] : ended;
	}
	return threads * RANDOM_OPS / (ended - began);
}

static void bench_readers(void)
{
	double ratio[ROUNDS], one[ROUNDS], cpu[ROUNDS];

	(void)read_with(2);
	for (unsigned int i = 0; i < ROUNDS; i++) {
		ratio[i] = read_with(2);
		cpu[i] = 1 / readers.cpu[0] + 1 / readers.cpu[1];
		one[i] = read_with(1);
		ratio[i] /= one[i];
		cpu[i] *= readers.cpu[0];
	}
	printf("\nreaders, each on a CPU, wall clock: one makes %.1f lookups a us, random in %u areas\n",
	       bench_median(one, ROUNDS) * 1000, MANY);
	bar("2 reader threads against one", bench_median(ratio, ROUNDS), "x", false, 1.8);
	/* What others do on the two CPUs is not in this. */
	printf("  (in CPU time: %.2f x)\n", bench_median(cpu, ROUNDS));
}

/* Of the process, in memory. */
static size_t resident(void)
{
	unsigned long total = 0, pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	check(!f || fscanf(f, "%lu %lu", &total, &pages) != 2 ? -EIO : 0);
	(void)fclose(f);
	return pages * PAGE;
}

/* In huge pages, which are the faster ones, as the index is. */
static uint8_t *flat_new(void)
{
	const size_t align = (size_t)2 << 20, size = (64 * n_flat_lines + align - 1) & ~(align - 1);
	uint8_t *bytes = aligned_alloc(align, size);

	check(bytes ? 0 : -ENOMEM);
	(void)madvise(bytes, size, MADV_HUGEPAGE);
	memset(bytes, 0, size);
	return bytes;
}

static struct via_slab peer_slab = VIA_SLAB(struct peer_area);

/* Areas of a million malloc()s; and side by side in huge pages, as ours are. */
static void fill_peers(const uint32_t *order)
{
	for (uint32_t i = 0; i < MANY; i++) {
		struct peer_area *peer = aligned_alloc(64, (sizeof(*peer) + 63) / 64 * 64);
		struct peer_area *huge = via_slab_alloc(&peer_slab);

		check(peer && huge ? 0 : -ENOMEM);
		peer->node.first = huge->node.first = order[i] * PAGE;
		peer->node.last = huge->node.last = order[i] * PAGE + PAGE - 1;
		rb_insert(&peer_root, &peer->node);
		rb_insert(&huge_peer_root, &huge->node);
	}
}

static void bench_orders(const uint32_t *order)
{
	static const char *const order_name[] = { "ascending", "descending", "random" };

	printf("\nindex of %u areas, ns of CPU for each\n", MANY);
	for (int how = 0; how < 3; how++) {
		double in = fill(order, how), out;
		size_t leaves = many.n_leaves;

		out = empty(order, how);
		printf("  %-12s insert %6.0f, remove %6.0f; %zu leaves, %zu after all\n",
		       order_name[how], in, out, leaves, many.n_leaves);
	}
}

static void bench_random(void)
{
	lookup_fn *lookup = via_index_translate, *plain = via_index_translate_plain;
	struct bench_case cases[] = {
		{ .name = "via_index_translate()", .run = run_lookup, .arg = &lookup },
		{ .name = "the same without AVX-512", .run = run_lookup, .arg = &plain },
		{ .name = "via_index_lookup(), and load from the area", .run = run_area },
		{ .name = "a load that depends on the last", .run = run_load },
		{ .name = "red-black tree", .run = run_rbtree, .arg = &peer_root },
		{ .name = "red-black tree in huge pages", .run = run_rbtree, .arg = &huge_peer_root },
	};
	uint32_t *order = malloc(MANY * sizeof(*order));
	size_t bytes;

	check(order ? 0 : -ENOMEM);
	shuffle(order, MANY);
	bench_orders(order);
	bytes = resident();
	(void)fill(order, 2);
	bytes = resident() - bytes - MANY * sizeof(*many_area);
	n_flat_lines = bytes / 64;
	cases[3].arg = flat_new();
	fill_peers(order);
	printf("  %zu MiB of areas and index\n", bytes >> 20);
	bench_compare("random lookups, 10^6 areas, each depends on the last", "ns", cases,
		      VIA_ARRAY_SIZE(cases), ROUNDS);
	bar("random lookup against one load", ratio_of(&cases[0], &cases[3]), "x", true, 2.5);
	bar("without AVX-512", ratio_of(&cases[1], &cases[3]), "x", true, 2.5);
	bar("red-black tree against random lookup", ratio_of(&cases[4], &cases[0]), "x", false, 5);
	bar("without AVX-512", ratio_of(&cases[4], &cases[1]), "x", false, 5);
	printf("  (red-black tree whose records are in huge pages too: %.2f x)\n", ratio_of(&cases[5], &cases[0]));
	bench_readers();
	(void)empty(order, 2);
	free(order);
	free(cases[3].arg);
}

/* Map and unmap ----------------------------------------------------------- */

static struct via_pages *pages; /* every area is the first page of them */

static int map_at(struct via_ioas *ioas, unsigned int flags, via_iova_t iova)
{
	return via_ioas_map_pages(ioas, pages, 0, PAGE, VIA_PROT_READ, flags, &iova, NULL);
}

static double run_pair(void *arg)
{
	struct via_ioas *ioas = arg;
	const unsigned int n = 20000;
	double start = bench_cpu_ns();
	uint64_t bytes;

	for (unsigned int i = 0; i < n; i++) {
		/* All over the space, where it is free. */
		via_iova_t iova = BASE + (scale(next_random(i, 0), 1000) * 2 + 1) * PAGE;

		check(map_at(ioas, VIA_IOAS_FIXED, iova));
		check(via_ioas_unmap_range(ioas, iova, iova + PAGE - 1, &bytes));
	}
	return (bench_cpu_ns() - start) / n;
}

static double run_pair_many(void *arg)
{
	struct via_ioas *ioas = arg;
	const unsigned int n = 20000;
	double start = bench_cpu_ns();
	uint64_t bytes;

	for (unsigned int i = 0; i < n; i++) {
		via_iova_t iova = BASE + (scale(next_random(i, 0), MANY) * 2 + 1) * PAGE;

		check(map_at(ioas, VIA_IOAS_FIXED, iova));
		check(via_ioas_unmap_range(ioas, iova, iova + PAGE - 1, &bytes));
	}
	return (bench_cpu_ns() - start) / n;
}

static struct via_ioas *ioas_with(unsigned int n, bool domain)
{
	struct via_ioas *ioas;

	check(domain ? via_ioas_new(via_iommu_props_intel(), &ioas) : via_ioas_new_bare(&ioas));
	for (uint64_t i = 0; i < n; i++)
		check(map_at(ioas, VIA_IOAS_FIXED, BASE + i * 2 * PAGE));
	return ioas;
}

static void bench_pairs(bool domain)
{
	struct bench_case cases[] = {
		{ .name = "10^6 areas there", .run = run_pair_many, .arg = ioas_with(MANY, domain) },
		{ .name = "10^3 areas there", .run = run_pair, .arg = ioas_with(1000, domain) },
	};
	double start;
	uint64_t bytes;

	bench_compare(domain ? "map and unmap of 4 KiB, pinned for a domain" :
			       "map and unmap of 4 KiB, no domain", "ns per pair", cases, 2, ROUNDS);
	bar("pair at 10^6 areas against 10^3", ratio_of(&cases[0], &cases[1]), "x", true, 3);
	start = bench_cpu_ns();
	check(via_ioas_unmap_range(cases[0].arg, 0, UINT64_MAX, &bytes));
	start = bench_cpu_ns() - start;
	printf("  unmap of all 10^6: %.0f ms, %.0f ns for each area\n", start / 1e6, start / MANY);
	via_ioas_put(cases[0].arg);
	via_ioas_put(cases[1].arg);
}

static void bench_auto(void)
{
	double ns[3];
	unsigned int n = 10000;

	printf("\nautomatic IOVAs, 4 KiB each\n");
	for (unsigned int k = 0; k < 3; k++, n *= 10) {
		double round[3];

		for (unsigned int r = 0; r < 3; r++) {
			struct via_ioas *ioas = ioas_with(0, false);

			round[r] = bench_cpu_ns();
			for (unsigned int i = 0; i < n; i++)
				check(map_at(ioas, 0, 0));
			round[r] = bench_cpu_ns() - round[r];
			via_ioas_put(ioas);
		}
		ns[k] = bench_median(round, 3);
		printf("  %7u: %8.1f ms, %6.0f ns for each\n", n, ns[k] / 1e6, ns[k] / n);
	}
	bar("exponent of n from 10^4 to 10^6", log(ns[2] / ns[0]) / log(100), "", true, 1.2);
}

/* Dirty ------------------------------------------------------------------- */

static uint64_t *flat_bitmap;

static int count_run(void *cookie, via_iova_t first, via_iova_t last)
{
	*(uint64_t *)cookie += last - first + 1;
	return 0;
}

static double run_harvest(void *arg)
{
	double start = bench_cpu_ns();
	uint64_t dirty = 0;

	for (unsigned int i = 0; i < 1000; i++)
		check(via_dirty_store_harvest(arg, 0, TIB - 1, true, count_run, &dirty));
	check(dirty ? -EIO : 0);
	return (bench_cpu_ns() - start) / 1000 / 1000;
}

static double run_scan(void *arg)
{
	double start = bench_cpu_ns();
	const uint64_t *word = flat_bitmap, *end = word + TIB / PAGE / 64;
	uint64_t dirty = 0;

	for (; word < end; word += 8)
		if (word[0] | word[1] | word[2] | word[3] | word[4] | word[5] | word[6] | word[7])
			dirty++;
	check(dirty ? -EIO : 0);
	return (bench_cpu_ns() - start) / 1000;
}

static void bench_dirty(void)
{
	struct via_dirty_store *store;
	struct bench_case cases[] = {
		{ .name = "via_dirty_store_harvest(), clean", .run = run_harvest },
		{ .name = "a flat bitmap of 32 MiB", .run = run_scan },
	};
	uint64_t bytes = 0, x = 1;
	double start;

	check(via_dirty_store_new(PAGE, &store));
	flat_bitmap = malloc(TIB / PAGE / 8);
	check(flat_bitmap ? 0 : -ENOMEM);
	memset(flat_bitmap, 0, TIB / PAGE / 8);
	start = bench_cpu_ns();
	via_dirty_store_mark(store, 0, TIB);
	printf("\ndirty granules of 1 TiB\n  mark all: %.1f ms\n", (bench_cpu_ns() - start) / 1e6);
	start = bench_cpu_ns();
	for (unsigned int i = 0; i < 10000000; i++)
		via_dirty_store_mark(store, (uint64_t)(i % 64) * PAGE, 64);
	printf("  mark what is dirty: %.1f ns\n", (bench_cpu_ns() - start) / 1e7);
	start = bench_cpu_ns();
	check(via_dirty_store_harvest(store, 0, TIB - 1, true, count_run, &bytes));
	printf("  harvest of all: %.1f ms\n", (bench_cpu_ns() - start) / 1e6);
	check(bytes == TIB ? 0 : -EIO);
	start = bench_cpu_ns();
	for (uint64_t i = 0; i < TIB / PAGE / 100; i++) {
		x = next_random(x, 0);
		via_dirty_store_mark(store, scale(x, TIB / PAGE) * PAGE, 1);
	}
	printf("  mark 1 %% at random: %.0f ns each\n",
	       (bench_cpu_ns() - start) / (double)(TIB / PAGE / 100));
	start = bench_cpu_ns();
	check(via_dirty_store_harvest(store, 0, TIB - 1, true, count_run, &bytes));
	printf("  harvest of these: %.1f ms\n", (bench_cpu_ns() - start) / 1e6);
	cases[0].arg = store;
	bench_compare("harvest of a clean TiB", "us", cases, 2, ROUNDS);
	bar("flat bitmap against harvest", ratio_of(&cases[1], &cases[0]), "x", false, 100);
	via_dirty_store_free(store);
	free(flat_bitmap);
}

int main(int argc, char **argv)
{
	const struct via_ledger_owner nobody = { 0 };
	const char *only = argc > 1 ? argv[1] : NULL;
	struct via_space *space;
	int fd = memfd_create("bench-iommu", MFD_CLOEXEC);

	(void)bench_pin(0);
	check(via_guard_install());
	check(fd < 0 || ftruncate(fd, 16 * (off_t)PAGE) ? -EIO : 0);
	check(via_space_new_fd(fd, VIA_PROT_READ | VIA_PROT_WRITE, &space));
	check(via_pages_new_file(fd, 0, 16 * PAGE, false, &nobody, &pages));
	if (!only || !strcmp(only, "hot"))
		bench_hot(space);
	if (!only || !strcmp(only, "random"))
		bench_random();
	if (!only || !strcmp(only, "dirty"))
		bench_dirty();
	if (!only || !strcmp(only, "auto"))
		bench_auto();
	if (!only || !strcmp(only, "pair")) {
		bench_pairs(false);
		bench_pairs(true);
	}
	via_pages_put(pages);
	via_space_put(space);
	printf("\n%u bars not met\n", n_missed);
	return 0;
}
