/* SPDX-License-Identifier: MIT */
/* The log of what a device writes, against a model of it and under load. */
#include "iommu/dma.h"

#include "memory/guard.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <cmocka.h>

#define PAGE 4096u
#define IOVA 0x40000000ull
#define PAGES 4096u
#define SIZE ((uint64_t)PAGES * PAGE)

struct fixture {
	struct via_dma *dma;
	struct via_ioas *ioas;
	struct via_space *space;
	uint8_t *memory;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct via_mm *self = via_mm_self();

	assert_non_null(f);
	assert_int_equal(via_guard_install(), 0);
	f->memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(f->memory != MAP_FAILED);
	assert_int_equal(via_space_new_mm(self, &f->space), 0);
	via_mm_put(self);
	assert_int_equal(via_ioas_new(via_iommu_props_intel(), &f->ioas), 0);
	/* Two mappings, so that a write can span them. */
	assert_int_equal(via_ioas_map(f->ioas, IOVA, f->space, (uintptr_t)f->memory, SIZE / 2,
				      VIA_PROT_READ | VIA_PROT_WRITE),
			 0);
	assert_int_equal(via_ioas_map(f->ioas, IOVA + SIZE / 2, f->space,
				      (uintptr_t)f->memory + SIZE / 2, SIZE / 2,
				      VIA_PROT_READ | VIA_PROT_WRITE),
			 0);
	assert_int_equal(via_dma_new("test", &f->dma), 0);
	assert_int_equal(via_dma_attach(f->dma, f->ioas), 0);
	via_dma_enable(f->dma, true);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	via_dma_free(f->dma);
	via_ioas_put(f->ioas);
	via_space_put(f->space);
	munmap(f->memory, SIZE);
	free(f);
	return 0;
}

static struct via_dma_log *start(struct fixture *f, const struct via_iova_range *ranges, size_t n,
				 unsigned int shift)
{
	struct via_dma_log *log;

	assert_int_equal(via_dma_log_new(ranges, n, shift, &log), 0);
	assert_int_equal(via_dma_log_start(f->dma, log), 0);
	return log;
}

static void random_writes(void **state)
{
	static const unsigned int report_shifts[] = {12, 13, 15, 20};
	struct fixture *f = *state;
	uint8_t buf[3 * PAGE];
	unsigned int seed = 1;

	memset(buf, 0x5a, sizeof(buf));
	for (unsigned int round = 0; round < 64; round++) {
		unsigned int shift = 12 + round % 4;
		/* Holes between them, bounds that are multiples of the largest page only. */
		const struct via_iova_range ranges[] = {
			{IOVA + SIZE / 2, IOVA + SIZE - 0x100000 - 1},
			{IOVA + 0x100000, IOVA + 0x300000 - 1},
			{IOVA + 0x400000, IOVA + 0x400000 - 1}, /* empty */
		};
		struct via_dma_log *log = start(f, ranges, 3, shift);
		static uint8_t want[PAGES];

		assert_int_equal(via_dma_log_shift(log), shift);
		memset(want, 0, sizeof(want));
		for (unsigned int i = 0; i < 40; i++) {
			uint64_t at = (uint64_t)rand_r(&seed) * 7919 % (SIZE - sizeof(buf));
			size_t len = (size_t)rand_r(&seed) % sizeof(buf) + 1;

			if (i % 4 == 0)
				assert_int_equal(via_dma_read(f->dma, IOVA + at, buf, len), 0);
			else if (i % 4 == 1) {
				struct via_dma_seg segs[] = {{IOVA + at, len / 2},
							     {IOVA + at + len / 2, len - len / 2}};

				assert_int_equal(via_dma_writev(f->dma, segs, 2, buf), 0);
			} else {
				assert_int_equal(via_dma_write(f->dma, IOVA + at, buf, len), 0);
			}
			for (uint64_t p = at / PAGE; i % 4 && p <= (at + len - 1) / PAGE; p++)
				for (size_t r = 0; r < 2; r++)
					if (IOVA + p * PAGE >= ranges[r].first &&
					    IOVA + p * PAGE <= ranges[r].last)
						memset(want + (p >> (shift - 12) << (shift - 12)),
						       1, 1u << (shift - 12));
		}
		{
			unsigned int rs = report_shifts[round / 4 % 4];
			uint64_t words[PAGES / 64] = {0}, again[PAGES / 64] = {0};
			size_t n = PAGES >> (rs - 12);

			via_dma_log_take(log, IOVA, IOVA, IOVA + SIZE - 1, rs, words, n);
			for (size_t i = 0; i < n; i++) {
				bool any = false;

				for (size_t p = 0; p < 1u << (rs - 12); p++)
					any |= want[(i << (rs - 12)) + p];
				assert_int_equal(words[i / 64] >> i % 64 & 1, any);
			}
			/* Taken is gone. */
			via_dma_log_take(log, IOVA, IOVA, IOVA + SIZE - 1, rs, again, n);
			for (size_t i = 0; i < PAGES / 64; i++)
				assert_int_equal(again[i], 0);
		}
		via_dma_log_stop(f->dma);
		assert_int_equal(via_dma_write(f->dma, IOVA + 0x100000, buf, 1), 0);
		assert_false(via_dma_log_next(log, 0, UINT64_MAX, &(via_iova_t){0}));
		via_dma_log_put(log);
	}
}

static void parts_of_pages(void **state)
{
	struct fixture *f = *state;
	const struct via_iova_range range = {IOVA, IOVA + SIZE - 1};
	struct via_dma_log *log = start(f, &range, 1, 16);
	uint64_t word = 0;
	via_iova_t at;

	via_dma_log_mark(log, IOVA + 0x15000, 1);
	assert_true(via_dma_log_next(log, 0, UINT64_MAX, &at));
	assert_true(at == IOVA + 0x10000);
	assert_true(via_dma_log_next(log, IOVA + 0x18000, UINT64_MAX, &at));
	assert_true(at == IOVA + 0x18000);
	assert_false(via_dma_log_next(log, IOVA + 0x20000, UINT64_MAX, &at));
	assert_false(via_dma_log_next(log, 0, IOVA + 0xffff, &at));
	/* Half of the page: reported, and not forgotten for the other half. */
	via_dma_log_take(log, IOVA + 0x10000, IOVA + 0x10000, IOVA + 0x17fff, 12, &word, 8);
	assert_int_equal(word, 0xff);
	word = 0;
	via_dma_log_take(log, IOVA + 0x10000, IOVA + 0x10000, IOVA + 0x1ffff, 12, &word, 16);
	assert_int_equal(word, 0xffff);
	assert_false(via_dma_log_next(log, 0, UINT64_MAX, &at));
	/* In two pieces it is taken as a whole. */
	via_dma_log_mark(log, IOVA + 0x10000, 0x10000);
	via_dma_log_take(log, IOVA, IOVA + 0x10000, IOVA + 0x17fff, 12, &word, 8);
	assert_true(via_dma_log_next(log, 0, UINT64_MAX, &at));
	via_dma_log_take(log, IOVA, IOVA + 0x18000, IOVA + 0x1ffff, 12, &word, 8);
	assert_false(via_dma_log_next(log, 0, UINT64_MAX, &at));
	via_dma_log_put(log);
}

static void bounds(void **state)
{
	struct fixture *f = *state;
	const struct via_iova_range all = {0, UINT64_MAX};
	struct via_iova_range many[VIA_DMA_LOG_RANGES + 1] = {{0}};
	struct via_dma_log *log, *second;
	struct via_lease lease;
	struct via_dma_seg seg = {IOVA, PAGE};
	uint64_t word = 0;
	size_t n;

	assert_int_equal(via_dma_log_new(many, VIA_DMA_LOG_RANGES + 1, 12, &log), -E2BIG);
	for (uint64_t i = 0; i < VIA_DMA_LOG_RANGES; i++)
		many[i] = (struct via_iova_range){2 * i * PAGE, 2 * i * PAGE + PAGE - 1};
	assert_int_equal(via_dma_log_new(many, VIA_DMA_LOG_RANGES, 12, &log), 0);
	via_dma_log_put(log);
	/* All that there is, in pages of the size that fits. */
	log = start(f, &all, 1, 12);
	assert_int_equal(via_dma_log_shift(log), 64 - 29);
	assert_int_equal(via_dma_log_new(&all, 1, 63, &second), 0);
	assert_int_equal(via_dma_log_start(f->dma, second), -EINVAL);
	via_dma_log_mark(second, UINT64_MAX, 1);
	via_dma_log_take(second, 0, 0, UINT64_MAX, 63, &word, 2);
	assert_int_equal(word, 2);
	via_dma_log_mark(second, UINT64_MAX, 2); /* wraps: nothing */
	via_dma_log_put(second);
	/* Pages are written at a time that nobody knows. */
	assert_int_equal(via_dma_lease(f->dma, &seg, 1, VIA_PROT_WRITE, &lease, 1, &n),
			 -EOPNOTSUPP);
	assert_int_equal(via_dma_lease(f->dma, &seg, 1, VIA_PROT_READ, &lease, 1, &n), 0);
	via_lease_put(&lease);
	via_dma_log_stop(f->dma);
	via_dma_log_stop(f->dma);
	assert_null(via_dma_log_of(f->dma));
	assert_int_equal(via_dma_lease(f->dma, &seg, 1, VIA_PROT_WRITE, &lease, 1, &n), 0);
	via_lease_put(&lease);
	via_dma_log_put(log);
}

/* A range of one byte is a range. */
static void one_byte(void **state)
{
	const struct via_iova_range ranges[] = {{IOVA, IOVA}, {IOVA + 8 * PAGE, IOVA + 9 * PAGE}};
	struct via_dma_log *log;
	uint64_t word = 0;
	via_iova_t at;

	assert_int_equal(via_dma_log_new(ranges, 2, 12, &log), 0);
	via_dma_log_mark(log, IOVA - 1, 1);
	via_dma_log_mark(log, IOVA + 1, 1);
	assert_false(via_dma_log_next(log, 0, UINT64_MAX, &at));
	via_dma_log_mark(log, IOVA, 1);
	assert_true(via_dma_log_next(log, IOVA, IOVA, &at));
	assert_true(at == IOVA);
	via_dma_log_take(log, IOVA, IOVA, IOVA + 16 * PAGE - 1, 12, &word, 16);
	assert_int_equal(word, 1);
	assert_false(via_dma_log_next(log, 0, UINT64_MAX, &at));
	/* As is the last byte of another, which has a page for itself. */
	via_dma_log_mark(log, IOVA + 9 * PAGE, 1);
	assert_true(via_dma_log_next(log, 0, UINT64_MAX, &at));
	assert_true(at == IOVA + 9 * PAGE);
	via_dma_log_put(log);
}

/* There is no room for the bits. */
static void no_address_space(void **state)
{
	const struct via_iova_range all = {0, UINT64_MAX};
	struct rlimit old;
	struct via_dma_log *log;
	int rc;

	assert_int_equal(getrlimit(RLIMIT_AS, &old), 0);
	assert_int_equal(setrlimit(RLIMIT_AS, &(struct rlimit){0, old.rlim_max}), 0);
	rc = via_dma_log_new(&all, 1, 12, &log);
	assert_int_equal(setrlimit(RLIMIT_AS, &old), 0);
	assert_int_equal(rc, -ENOMEM);
}

/* A writer counts up in pages while the other side takes marks and copies, as migration does. */
struct race {
	struct fixture *f;
	bool stop; /* atomic */
};

static void *writer(void *arg)
{
	struct race *race = arg;
	unsigned int seed = 7;

	for (uint64_t n = 1; !__atomic_load_n(&race->stop, __ATOMIC_RELAXED); n++) {
		uint64_t at = (uint64_t)(rand_r(&seed) % 64) * PAGE;

		assert_int_equal(via_dma_write(race->f->dma, IOVA + at, &n, sizeof(n)), 0);
	}
	return NULL;
}

static void copies_under_load(void **state)
{
	struct fixture *f = *state;
	const struct via_iova_range range = {IOVA, IOVA + SIZE - 1};
	struct via_dma_log *log = start(f, &range, 1, 12);
	struct race race = {.f = f};
	uint8_t *copy = malloc(64 * PAGE);
	pthread_t thread;

	assert_non_null(copy);
	memcpy(copy, f->memory, (size_t)64 * PAGE);
	assert_int_equal(pthread_create(&thread, NULL, writer, &race), 0);
	for (unsigned int pass = 0; pass <= 2000; pass++) {
		uint64_t word = 0;

		if (pass == 2000) {
			__atomic_store_n(&race.stop, true, __ATOMIC_RELAXED);
			pthread_join(thread, NULL);
		}
		via_dma_log_take(log, IOVA, IOVA, IOVA + 64 * PAGE - 1, 12, &word, 64);
		for (unsigned int i = 0; i < 64; i++)
			if (word >> i & 1)
				__atomic_store_n(
					(uint64_t *)(void *)(copy + (size_t)i * PAGE),
					__atomic_load_n(
						(uint64_t *)(void *)(f->memory + (size_t)i * PAGE),
						__ATOMIC_RELAXED),
					__ATOMIC_RELAXED);
	}
	assert_memory_equal(copy, f->memory, (size_t)64 * PAGE);
	via_dma_log_put(log);
	free(copy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(random_writes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(parts_of_pages, set_up, tear_down),
		cmocka_unit_test_setup_teardown(bounds, set_up, tear_down),
		cmocka_unit_test(one_byte),
		cmocka_unit_test(no_address_space),
		cmocka_unit_test_setup_teardown(copies_under_load, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
