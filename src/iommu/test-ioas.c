/* SPDX-License-Identifier: MIT */
/* IOAS and DMA: areas, protection, the index against a naive model, unmap against readers. */
#include <viaduct/iommu.h>

#include "iommu/dma.h"
#include "iommu/ioas.h"
#include "memory/guard.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define PAGE 4096u

struct fixture {
	struct via_ioas *ioas;
	struct via_dma *dma;
	struct via_space *space; /* our own memory */
	uint8_t *mem;
	size_t len;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct via_mm *self = via_mm_self();

	assert_non_null(f);
	assert_int_equal(via_ioas_new(via_iommu_props_intel(), &f->ioas), 0);
	assert_int_equal(via_dma_new("test", &f->dma), 0);
	assert_int_equal(via_space_new_mm(self, &f->space), 0);
	assert_int_equal(via_dma_attach(f->dma, f->ioas), 0);
	via_dma_enable(f->dma, true);
	f->len = 64 * PAGE;
	f->mem = mmap(NULL, f->len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(f->mem, MAP_FAILED);
	via_mm_put(self);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	via_dma_free(f->dma);
	via_ioas_put(f->ioas);
	via_space_put(f->space);
	(void)munmap(f->mem, f->len);
	free(f);
	return 0;
}

#define RW (VIA_PROT_READ | VIA_PROT_WRITE)

static int map(struct fixture *f, via_iova_t iova, size_t page, uint64_t len, unsigned int prot)
{
	return via_ioas_map(f->ioas, iova, f->space, (uintptr_t)f->mem + page * PAGE, len, prot);
}

static void test_map_errors(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(map(f, 0x10000, 0, 4 * PAGE, RW), 0);
	assert_int_equal(map(f, 0x10000, 0, PAGE, RW), -EEXIST);
	assert_int_equal(map(f, 0x13000, 0, PAGE, RW), -EEXIST);
	assert_int_equal(map(f, 0xf000, 0, 2 * PAGE, RW), -EEXIST);
	assert_int_equal(map(f, 0xf000, 0, 8 * PAGE, RW), -EEXIST);
	assert_int_equal(map(f, 0x14000, 4, PAGE, RW), 0);
	assert_int_equal(map(f, 0xf000, 5, PAGE, RW), 0);
	assert_int_equal(map(f, 0x20800, 0, PAGE, RW), -EINVAL);
	assert_int_equal(map(f, 0x20000, 0, 100, RW), -EINVAL);
	assert_int_equal(map(f, 0x20000, 0, 0, RW), -EINVAL);
	assert_int_equal(map(f, UINT64_MAX - PAGE + 1, 0, 2 * PAGE, RW), -EOVERFLOW);
	assert_int_equal(map(f, 0xfee00000, 0, PAGE, RW), -EINVAL);
	assert_int_equal(map(f, 0xfedff000, 0, 2 * PAGE, RW), -EINVAL);
	assert_int_equal(map(f, 0xfedff000, 0, PAGE, RW), 0);
	assert_int_equal(map(f, (uint64_t)1 << 48, 0, PAGE, RW), -EINVAL);
	assert_int_equal(map(f, 0xfffffffff000, 0, PAGE, RW), 0);
	assert_int_equal(via_ioas_map(f->ioas, 0x20000, f->space, 0, PAGE, RW), -EFAULT);
	assert_int_equal(mprotect(f->mem + 9 * PAGE, PAGE, PROT_READ), 0);
	assert_int_equal(map(f, 0x20000, 8, 2 * PAGE, VIA_PROT_WRITE), -EFAULT);
	assert_int_equal(map(f, 0x20000, 8, 2 * PAGE, VIA_PROT_READ), 0);
}

static void test_unmap(void **state)
{
	struct fixture *f = *state;
	uint64_t bytes = 1;

	assert_int_equal(map(f, 0x1000, 0, 2 * PAGE, RW), 0);
	assert_int_equal(map(f, 0x5000, 2, PAGE, RW), 0);
	assert_int_equal(via_ioas_unmap(f->ioas, 0x1000, 0x1fff, &bytes), -ENOENT);
	assert_int_equal(via_ioas_unmap(f->ioas, 0x2000, 0x2fff, &bytes), -ENOENT);
	assert_int_equal(via_ioas_unmap(f->ioas, 0x2000, 0x9fff, &bytes), -ENOENT);
	assert_int_equal(bytes, 1);
	assert_int_equal(via_ioas_unmap(f->ioas, 0x3000, 0x4fff, &bytes), 0);
	assert_int_equal(bytes, 0);
	assert_int_equal(via_ioas_unmap(f->ioas, 0, 0xffff, &bytes), 0);
	assert_int_equal(bytes, 3 * PAGE);
	assert_int_equal(map(f, 0, 0, 16 * PAGE, RW), 0);
	assert_int_equal(via_ioas_unmap(f->ioas, 0, UINT64_MAX, &bytes), 0);
	assert_int_equal(bytes, 16 * PAGE);
}

static void test_dma_spanning(void **state)
{
	struct fixture *f = *state;
	struct via_dma_seg segs[] = { { 0x1ffe, 4 }, { 0x3000, 0 }, { 0x1000, 2 } };
	uint8_t buf[3 * PAGE], out[6];
	struct via_dma_stats stats;

	/* Neighbours in IOVA that are apart in memory. */
	assert_int_equal(map(f, 0x1000, 7, PAGE, RW), 0);
	assert_int_equal(map(f, 0x2000, 3, 2 * PAGE, RW), 0);
	for (size_t i = 0; i < sizeof(buf); i++)
		buf[i] = (uint8_t)(i * 7 + i / 256);
	assert_int_equal(via_dma_write(f->dma, 0x1000, buf, sizeof(buf)), 0);
	assert_memory_equal(f->mem + 7 * PAGE, buf, PAGE);
	assert_memory_equal(f->mem + 3 * PAGE, buf + PAGE, 2 * PAGE);
	assert_int_equal(via_dma_readv(f->dma, segs, 3, out), 0);
	assert_memory_equal(out, buf + 0xffe, 4);
	assert_memory_equal(out + 4, buf, 2);
	memset(out, 0, sizeof(out));
	assert_int_equal(via_dma_writev(f->dma, segs, 3, "abcdef"), 0);
	assert_memory_equal(f->mem + 7 * PAGE + 0xffe, "ab", 2);
	assert_memory_equal(f->mem + 3 * PAGE, "cd", 2);
	assert_memory_equal(f->mem + 7 * PAGE, "ef", 2);
	via_dma_get_stats(f->dma, &stats);
	assert_int_equal(stats.write_bytes, sizeof(buf) + 6);
	assert_int_equal(stats.read_bytes, 6);
	assert_int_equal(stats.accesses, 3);
	assert_int_equal(stats.faults, 0);
}

static unsigned int n_logged;
static char last_log[256];

static void on_log(void *cookie, enum via_log_level level, const char *text)
{
	n_logged++;
	(void)strncpy(last_log, text, sizeof(last_log) - 1);
}

static void test_dma_faults(void **state)
{
	struct fixture *f = *state;
	uint8_t buf[64];
	struct via_dma_stats stats;
	const uint8_t zeros[64] = { 0 };

	via_log_set(on_log, NULL, VIA_LOG_WARNING);
	n_logged = 0;
	assert_int_equal(map(f, 0x1000, 0, PAGE, VIA_PROT_READ), 0);
	assert_int_equal(map(f, 0x2000, 1, PAGE, VIA_PROT_WRITE), 0);
	memset(f->mem, 0x55, f->len);

	memset(buf, 0xaa, sizeof(buf));
	assert_int_equal(via_dma_read(f->dma, 0x9000, buf, sizeof(buf)), -EFAULT);
	assert_memory_equal(buf, zeros, sizeof(buf));
	assert_non_null(strstr(last_log, "test: DMA read of 0x40 bytes at iova 0x9000"));
	/* The first half is readable, the second is not: nothing is returned. */
	memset(buf, 0xaa, sizeof(buf));
	assert_int_equal(via_dma_read(f->dma, 0x1fe0, buf, sizeof(buf)), -EFAULT);
	assert_memory_equal(buf, zeros, sizeof(buf));
	assert_int_equal(via_dma_write(f->dma, 0x1000, buf, 1), -EFAULT);
	assert_int_equal(f->mem[0], 0x55);
	assert_int_equal(via_dma_write(f->dma, 0x2000, buf, 1), 0);
	assert_int_equal(via_dma_read(f->dma, 0x2000, buf, 1), -EFAULT);
	assert_int_equal(via_dma_read(f->dma, UINT64_MAX - 1, buf, 4), -EFAULT);

	via_dma_enable(f->dma, false);
	assert_int_equal(via_dma_read(f->dma, 0x1000, buf, 1), -EPERM);
	assert_non_null(strstr(last_log, "Bus Master"));
	via_dma_enable(f->dma, true);
	assert_int_equal(via_dma_attach(f->dma, NULL), 0);
	assert_int_equal(via_dma_read(f->dma, 0x1000, buf, 1), -EFAULT);
	via_dma_get_stats(f->dma, &stats);
	assert_int_equal(stats.faults, 7);
	assert_int_equal(n_logged, 7);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(via_dma_read(f->dma, 0x1000, buf, 1), -EFAULT);
	assert_true(n_logged <= 24);
	via_log_set(NULL, NULL, VIA_LOG_WARNING);
}

/* The program unmaps memory that the device still has mapped. */
static void test_dma_vanished_memory(void **state)
{
	struct fixture *f = *state;
	uint8_t buf[3 * PAGE] = { 0 };

	/* Here, as cmocka puts its own handlers in place before each test. */
	assert_int_equal(via_guard_install(), 0);
	assert_int_equal(map(f, 0, 0, 4 * PAGE, RW), 0);
	assert_int_equal(via_dma_write(f->dma, 0, buf, sizeof(buf)), 0);
	assert_int_equal(munmap(f->mem + PAGE, PAGE), 0);
	assert_int_equal(via_dma_write(f->dma, 0, buf, sizeof(buf)), -EFAULT);
	assert_int_equal(via_dma_read(f->dma, PAGE, buf, 8), -EFAULT);
	assert_int_equal(via_dma_read(f->dma, 2 * PAGE, buf, 8), 0);
}

static void test_lease(void **state)
{
	struct fixture *f = *state;
	struct via_dma_seg segs[] = { { 0x1800, 0x1000 }, { 0x5000, 8 } };
	struct via_lease leases[4];
	size_t n = 0;

	assert_int_equal(map(f, 0x1000, 0, PAGE, RW), 0);
	assert_int_equal(map(f, 0x2000, 5, PAGE, RW), 0);
	assert_int_equal(map(f, 0x5000, 9, PAGE, VIA_PROT_READ), 0);
	assert_int_equal(via_dma_lease(f->dma, segs, 2, VIA_PROT_READ, leases, 4, &n), 0);
	assert_int_equal(n, 3);
	assert_ptr_equal(leases[0].ptr, f->mem + 0x800);
	assert_int_equal(leases[0].len, 0x800);
	assert_ptr_equal(leases[1].ptr, f->mem + 5 * PAGE);
	assert_int_equal(leases[1].len, 0x800);
	assert_ptr_equal(leases[2].ptr, f->mem + 9 * PAGE);
	while (n)
		via_lease_put(&leases[--n]);
	assert_int_equal(via_dma_lease(f->dma, segs, 2, VIA_PROT_READ, leases, 2, &n), -E2BIG);
	assert_int_equal(via_dma_lease(f->dma, segs, 2, VIA_PROT_WRITE, leases, 4, &n), -EFAULT);
	segs[1].iova = 0x7000;
	assert_int_equal(via_dma_lease(f->dma, segs, 2, VIA_PROT_READ, leases, 4, &n), -EFAULT);
	/* Nothing was left behind: this does not block. */
	assert_int_equal(via_ioas_unmap(f->ioas, 0, 0xffff, &(uint64_t){ 0 }), 0);
}

struct unmapper {
	struct fixture *f;
	bool done; /* atomic */
};

static void *unmap_thread(void *arg)
{
	struct unmapper *u = arg;
	uint64_t bytes = 0;

	assert_int_equal(via_ioas_unmap(u->f->ioas, 0x1000, 0x1fff, &bytes), 0);
	__atomic_store_n(&u->done, true, __ATOMIC_RELEASE);
	return NULL;
}

static void count_cancel(void *cookie)
{
	__atomic_add_fetch((int *)cookie, 1, __ATOMIC_RELAXED);
}

static void test_unmap_waits_for_lease(void **state)
{
	struct fixture *f = *state;
	struct unmapper u = { .f = f };
	struct via_dma_seg seg = { 0x1000, 16 };
	struct via_lease lease;
	int cancels = 0;
	pthread_t t;
	size_t n;

	assert_int_equal(via_dma_attach(f->dma, NULL), 0);
	via_dma_set_cancel(f->dma, count_cancel, &cancels);
	assert_int_equal(via_dma_attach(f->dma, f->ioas), 0);
	assert_int_equal(map(f, 0x1000, 0, PAGE, RW), 0);
	assert_int_equal(via_dma_lease(f->dma, &seg, 1, VIA_PROT_WRITE, &lease, 1, &n), 0);
	assert_int_equal(pthread_create(&t, NULL, unmap_thread, &u), 0);
	/* It waits, and after a second asks for its lease back. */
	for (int i = 0; i < 2500 && !__atomic_load_n(&cancels, __ATOMIC_RELAXED); i++) {
		usleep(1000);
		assert_false(__atomic_load_n(&u.done, __ATOMIC_ACQUIRE));
	}
	assert_int_equal(__atomic_load_n(&cancels, __ATOMIC_RELAXED), 1);
	via_lease_put(&lease);
	assert_int_equal(pthread_join(t, NULL), 0);
	assert_true(u.done);
}

/* Model: for each page of a small space the number of the map it belongs to, 0 for none. */
#define MODEL_PAGES 2048

static uint32_t rnd(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*seed >> 33);
}

/* Between the grace period and the removal from the index: it is found there, but not its memory. */
static void read_while_removed(void *cookie, void *owner)
{
	struct fixture *f = cookie;
	uint8_t byte = 1;

	assert_ptr_equal(owner, f);
	assert_non_null(via_ioas_find(f->ioas, 0x5000));
	assert_int_equal(via_dma_read(f->dma, 0x5000, &byte, 1), -EFAULT);
	assert_int_equal(via_dma_read(f->dma, 0x5000, &byte, 1), -EFAULT);
}

static void test_nothing_is_reached_before_it_is_removed(void **state)
{
	struct fixture *f = *state;
	uint8_t byte;

	/* In a tree of one leaf, and in a large one. */
	for (unsigned int n = 0; n < 2; n++) {
		assert_int_equal(via_ioas_map_area(f->ioas, 0x5000, f->space, (uintptr_t)f->mem, PAGE,
						   RW, f), 0);
		for (unsigned int i = 0; n && i < 200; i++)
			assert_int_equal(map(f, 0x10000 + i * PAGE, i % 64, PAGE, RW), 0);
		assert_int_equal(via_dma_read(f->dma, 0x5000, &byte, 1), 0);
		assert_int_equal(via_ioas_remove(f->ioas, 0x5000, 0x5fff, read_while_removed, f), PAGE);
		assert_int_equal(via_dma_read(f->dma, 0x5000, &byte, 1), -EFAULT);
	}
}

static void test_model(void **state)
{
	struct fixture *f = *state;
	static uint32_t owner[MODEL_PAGES], page_of[MODEL_PAGES];
	uint64_t seed = 42;
	uint32_t maps = 0;

	memset(owner, 0, sizeof(owner));
	for (uint32_t i = 0; i < 64; i++)
		memcpy(f->mem + i * PAGE, &i, sizeof(i));
	for (int step = 0; step < 100000; step++) {
		uint32_t op = rnd(&seed) % 8, at = rnd(&seed) % MODEL_PAGES, value;
		/* Phases of filling and of emptying, of small and of large ranges. */
		uint32_t n = 1 + rnd(&seed) % (step / 8192 % 2 ? 4 : 48);

		if (at + n > MODEL_PAGES)
			n = MODEL_PAGES - at;
		if (op < (step / 4096 % 3 ? 4 : 2)) {
			uint32_t page = rnd(&seed) % (64 - n);
			bool free_range = true;

			for (uint32_t i = at; i < at + n; i++)
				free_range = free_range && !owner[i];
			assert_int_equal(map(f, (uint64_t)at * PAGE, page, n * PAGE, RW),
					 free_range ? 0 : -EEXIST);
			maps += free_range;
			for (uint32_t i = at; free_range && i < at + n; i++) {
				owner[i] = maps;
				page_of[i] = page + i - at;
			}
		} else if (op < 6) {
			uint32_t last = at + n - 1;
			bool cut = (at && owner[at] && owner[at - 1] == owner[at]) ||
				   (last + 1 < MODEL_PAGES && owner[last] &&
				    owner[last + 1] == owner[last]);
			uint64_t bytes = 0, want = 0;

			assert_int_equal(via_ioas_unmap(f->ioas, (uint64_t)at * PAGE,
							(uint64_t)(last + 1) * PAGE - 1, &bytes),
					 cut ? -ENOENT : 0);
			for (uint32_t i = at; !cut && i <= last; i++) {
				want += owner[i] ? PAGE : 0;
				owner[i] = 0;
			}
			assert_int_equal(bytes, want);
		} else {
			assert_int_equal(via_dma_read(f->dma, (uint64_t)at * PAGE, &value, 4),
					 owner[at] ? 0 : -EFAULT);
			assert_int_equal(value, owner[at] ? page_of[at] : 0);
		}
	}
}

/* Many areas in descending order, then every other removed and found missing. */
static void test_many(void **state)
{
	struct fixture *f = *state;
	const uint32_t n = 20000;
	uint32_t value;
	uint64_t bytes;

	for (uint32_t i = n; i--;)
		assert_int_equal(map(f, (uint64_t)i * PAGE, i % 64, PAGE, RW), 0);
	for (uint32_t i = 0; i < 64; i++)
		memcpy(f->mem + i * PAGE, &i, sizeof(i));
	for (uint32_t i = 0; i < n; i += 2)
		assert_int_equal(via_ioas_unmap(f->ioas, (uint64_t)i * PAGE,
						(uint64_t)i * PAGE + PAGE - 1, &bytes), 0);
	for (uint32_t i = 0; i < n; i++) {
		assert_int_equal(via_dma_read(f->dma, (uint64_t)i * PAGE, &value, 4),
				 i % 2 ? 0 : -EFAULT);
		assert_int_equal(value, i % 2 ? i % 64 : 0);
	}
	assert_int_equal(via_ioas_unmap(f->ioas, 0, (uint64_t)n * PAGE - 1, &bytes), 0);
	assert_int_equal(bytes, n / 2 * PAGE);
}

struct racer {
	struct fixture *f;
	bool stop;	/* atomic */
	uint64_t hits;	/* atomic */
};

static void *race_thread(void *arg)
{
	struct racer *r = arg;
	uint64_t value = 0x1111111111111111, hits = 0;

	while (!__atomic_load_n(&r->stop, __ATOMIC_RELAXED)) {
		struct via_dma_seg seg = { 0x1000, 64 };
		struct via_lease lease;
		size_t n;

		hits += !via_dma_write(r->f->dma, 0x1000 + 8 * (hits % 8), &value, 8);
		if (!via_dma_lease(r->f->dma, &seg, 1, VIA_PROT_WRITE, &lease, 1, &n)) {
			__atomic_store_n((uint64_t *)lease.ptr, value, __ATOMIC_RELAXED);
			via_lease_put(&lease);
		}
	}
	__atomic_add_fetch(&r->hits, hits, __ATOMIC_RELAXED);
	return NULL;
}

/* 155: once UNMAP has returned the memory is the program's alone. */
static void test_unmap_races_with_dma(void **state)
{
	struct fixture *f = *state;
	struct racer r = { .f = f };
	pthread_t threads[3];
	uint64_t bytes;

	for (size_t i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, race_thread, &r), 0);
	for (int round = 0; round < 300; round++) {
		size_t page = (size_t)round % 2;
		uint64_t *mem = (uint64_t *)(f->mem + page * PAGE);

		assert_int_equal(map(f, 0x1000, page, PAGE, RW), 0);
		if (round % 4 == 0)
			usleep(100);
		assert_int_equal(via_ioas_unmap(f->ioas, 0x1000, 0x1fff, &bytes), 0);
		for (size_t i = 0; i < 8; i++)
			__atomic_store_n(&mem[i], 0x2222222222222222, __ATOMIC_RELAXED);
		if (round % 4 == 0)
			usleep(20);
		for (size_t i = 0; i < 8; i++)
			assert_int_equal(__atomic_load_n(&mem[i], __ATOMIC_RELAXED),
					 0x2222222222222222);
	}
	__atomic_store_n(&r.stop, true, __ATOMIC_RELAXED);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_true(r.hits > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_map_errors, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unmap, setup, teardown),
		cmocka_unit_test_setup_teardown(test_dma_spanning, setup, teardown),
		cmocka_unit_test_setup_teardown(test_dma_faults, setup, teardown),
		cmocka_unit_test_setup_teardown(test_dma_vanished_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lease, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unmap_waits_for_lease, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nothing_is_reached_before_it_is_removed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_model, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unmap_races_with_dma, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
