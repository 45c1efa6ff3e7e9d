/* SPDX-License-Identifier: MIT */
/* Memory whose address is suspended: who waits for it, and what ends the wait (spec iommu.md 6.4). */
#include "iommu/access.h"
#include "iommu/dma.h"
#include "iommu/suspend.h"
#include "iommu/type1.h"
#include "memory/guard.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define PAGE 0x1000u
#define IOVA 0x100000u
#define LONG 60000u /* ms: never in a test */
#define SHORT 60u

static uint8_t *mem; /* private, 16 pages */
static struct via_mm *mm;

/* Ourselves as another process: memory of a file can be mapped by way of it. */
static int shared_fd = -1;
static uint8_t *shared;

static int backing(struct via_mm *m, uint64_t addr, uint64_t len, unsigned int prot,
		   struct via_backing *ret_backing)
{
	*ret_backing = (struct via_backing){ .fd = -1, .len = len };
	if (addr == (uintptr_t)shared)
		ret_backing->fd = dup(shared_fd);
	return 0;
}

static struct via_mm *mm_new(void)
{
	static struct via_mm_ops ops;
	static struct via_mm program;
	struct via_mm *self = via_mm_self();

	ops = *self->ops;
	ops.backing = backing;
	ops.free = NULL;
	program = (struct via_mm){ .ops = &ops, .refs = 1, .memlock_limit = UINT64_MAX };
	via_mm_put(self);
	return &program;
}

struct bench {
	struct via_type1 *type1;
	struct via_ioas *ioas;
	struct via_dma *dma;
};

static int map(struct bench *b, uint32_t flags, void *at, uint64_t iova, uint64_t size)
{
	struct via_vfio_iommu_type1_dma_map map = {
		.flags = flags, .vaddr = (uintptr_t)at, .iova = iova, .size = size
	};

	return via_type1_map(b->type1, mm, &map);
}

static int unmap(struct bench *b, uint32_t flags, uint64_t iova, uint64_t size)
{
	struct via_vfio_iommu_type1_dma_unmap unmap = { .flags = flags, .iova = iova, .size = size };
	uint64_t done;

	return via_type1_unmap(b->type1, mm, &unmap, NULL, &done);
}

#define RW (VIA_VFIO_DMA_MAP_FLAG_READ | VIA_VFIO_DMA_MAP_FLAG_WRITE)

static int resume(struct bench *b, void *at, uint64_t iova, uint64_t size)
{
	return map(b, VIA_VFIO_DMA_MAP_FLAG_VADDR, at, iova, size);
}

static int suspend(struct bench *b, uint64_t iova, uint64_t size)
{
	return unmap(b, VIA_VFIO_DMA_UNMAP_FLAG_VADDR, iova, size);
}

/* A container with two mappings of private memory, the first of which is suspended. */
static void start(struct bench *b, unsigned int wait_ms)
{
	mm = mm_new();
	assert_int_equal(via_type1_new(via_iommu_props_intel(), VIA_VFIO_TYPE1v2_IOMMU, false,
				       &b->type1), 0);
	b->ioas = via_type1_ioas(b->type1);
	via_ioas_set_vaddr_wait(b->ioas, wait_ms);
	assert_int_equal(via_dma_new("device", &b->dma), 0);
	via_dma_enable(b->dma, true);
	assert_int_equal(via_dma_attach(b->dma, b->ioas), 0);
	memset(mem, 'o', 4 * PAGE);
	memset(mem + 4 * PAGE, 'n', 4 * PAGE);
	assert_int_equal(map(b, RW, mem, IOVA, 2 * PAGE), 0);
	assert_int_equal(map(b, RW, mem + 2 * PAGE, IOVA + 2 * PAGE, 2 * PAGE), 0);
	assert_int_equal(suspend(b, IOVA, 2 * PAGE), 0);
}

static void finish(struct bench *b)
{
	via_dma_free(b->dma);
	via_type1_free(b->type1);
	assert_int_equal(mm->refs, 1);
	assert_int_equal(mm->locked_pages, 0);
}

/* An access by a thread of its own. */
struct call {
	int (*fn)(struct call *call);
	struct via_dma *dma;
	struct via_access *access;
	uint64_t iova;
	size_t len;
	uint8_t buf[4 * PAGE];
	int ret;
	pid_t tid; /* atomic; 0: it has not begun */
	bool done; /* atomic */
	pthread_t thread;
};

static void *call_main(void *arg)
{
	struct call *call = arg;

	__atomic_store_n(&call->tid, gettid(), __ATOMIC_RELEASE);
	call->ret = call->fn(call);
	__atomic_store_n(&call->done, true, __ATOMIC_RELEASE);
	return NULL;
}

static void nap(long ms)
{
	const struct timespec ts = { ms / 1000, ms % 1000 * 1000000 };

	(void)nanosleep(&ts, NULL);
}

static bool sleeps(pid_t tid)
{
	char path[64], state = 0;
	FILE *f;

	if (!tid)
		return false;
	(void)snprintf(path, sizeof(path), "/proc/self/task/%d/stat", (int)tid);
	f = fopen(path, "re");
	if (!f)
		return false;
	(void)fscanf(f, "%*d (%*[^)]) %c", &state);
	(void)fclose(f);
	return state == 'S';
}

/* It has to wait, and does so when this returns. */
static void begin(struct call *call)
{
	assert_int_equal(pthread_create(&call->thread, NULL, call_main, call), 0);
	for (unsigned int i = 0; i < 10000; i++) {
		if (__atomic_load_n(&call->done, __ATOMIC_ACQUIRE) ||
		    sleeps(__atomic_load_n(&call->tid, __ATOMIC_ACQUIRE)))
			break;
		nap(1);
	}
	nap(5);
	assert_false(__atomic_load_n(&call->done, __ATOMIC_ACQUIRE));
}

static int end(struct call *call)
{
	assert_int_equal(pthread_join(call->thread, NULL), 0);
	return call->ret;
}

static int call_read(struct call *call)
{
	return via_dma_read(call->dma, call->iova, call->buf, call->len);
}

static int call_write(struct call *call)
{
	memset(call->buf, 'w', call->len);
	return via_dma_write(call->dma, call->iova, call->buf, call->len);
}

static int call_lease(struct call *call)
{
	const struct via_dma_seg seg = { call->iova, call->len };
	struct via_lease leases[4];
	size_t n;
	int ret = via_dma_lease(call->dma, &seg, 1, VIA_PROT_READ, leases, 4, &n);

	for (size_t i = 0, at = 0; !ret && i < n; i++) {
		memcpy(call->buf + at, leases[i].ptr, leases[i].len);
		at += leases[i].len;
		via_lease_put(&leases[i]);
	}
	return ret;
}

static int call_access(struct call *call)
{
	return via_access_rw(call->access, call->iova, call->buf, call->len, false);
}

static int call_pin(struct call *call)
{
	struct via_piece *pieces;
	size_t n;
	int ret = via_access_pin(call->access, call->iova, call->len, VIA_ACCESS_WRITE, &pieces, &n);

	if (ret)
		return ret;
	for (size_t i = 0; i < n; i++) {
		struct via_store_run run = { pieces[i].store, pieces[i].store_offset, pieces[i].len };
		struct iovec iov = { call->buf + pieces[i].offset, pieces[i].len };

		if (via_store_readv(&run, 1, &iov, 1))
			ret = -EIO;
	}
	via_pieces_free(pieces, n);
	(void)via_access_unpin(call->access, call->iova, call->len, VIA_ACCESS_WRITE);
	return ret;
}

static void test_gap_5_device_waits(void **state)
{
	struct call reads = { .fn = call_read, .iova = IOVA + PAGE - 2, .len = 4 };
	struct call writes = { .fn = call_write, .iova = IOVA + 8, .len = PAGE };
	struct call leases = { .fn = call_lease, .iova = IOVA, .len = 16 };
	/* The first piece of it works on. */
	struct call list = { .fn = call_read, .iova = IOVA + 2 * PAGE - 16, .len = 32 };
	struct via_dma_stats stats;
	struct bench b;

	start(&b, LONG);
	reads.dma = writes.dma = leases.dma = list.dma = b.dma;
	begin(&reads);
	begin(&writes);
	begin(&leases);
	begin(&list);
	/* The other mapping works on, and can be unmapped meanwhile. */
	assert_int_equal(via_dma_write(b.dma, IOVA + 3 * PAGE, "x", 1), 0);
	assert_int_equal(mem[3 * PAGE], 'x');
	assert_int_equal(map(&b, RW, mem, IOVA + 0x10000, PAGE), 0);
	assert_int_equal(unmap(&b, 0, IOVA + 0x10000, PAGE), 0);
	nap(30);
	assert_false(__atomic_load_n(&reads.done, __ATOMIC_ACQUIRE));
	/* Nobody has touched the old place since. */
	assert_int_equal(mem[8], 'o');

	assert_int_equal(resume(&b, mem + 4 * PAGE, IOVA, 2 * PAGE), 0);
	assert_int_equal(end(&reads), 0);
	assert_int_equal(end(&writes), 0);
	assert_int_equal(end(&leases), 0);
	assert_int_equal(end(&list), 0);
	assert_int_equal(reads.buf[3] == 'n' || reads.buf[3] == 'w', true);
	assert_int_equal(mem[8], 'o');
	assert_int_equal(mem[4 * PAGE + 8], 'w');
	assert_int_equal(leases.buf[0], 'n');
	assert_int_equal(list.buf[15], 'n');
	assert_int_equal(list.buf[16], 'o');
	via_dma_get_stats(b.dma, &stats);
	assert_int_equal(stats.faults, 0);
	finish(&b);
}

static void test_gap_5_wait_ended_by_unmap(void **state)
{
	struct call call = { .fn = call_read, .iova = IOVA, .len = 4 };
	struct bench b;

	start(&b, LONG);
	call.dma = b.dma;
	begin(&call);
	assert_int_equal(unmap(&b, 0, IOVA, 2 * PAGE), 0);
	assert_int_equal(end(&call), -EFAULT);
	assert_int_equal(via_type1_attach_allowed(b.type1), 0);
	finish(&b);
}

static void test_gap_5_wait_ended_by_reset(void **state)
{
	struct call call = { .fn = call_write, .iova = IOVA, .len = 4 };
	struct bench b;

	start(&b, LONG);
	call.dma = b.dma;
	begin(&call);
	/* Bus mastering is on again before the device looks. */
	via_dma_enable(b.dma, false);
	via_dma_enable(b.dma, true);
	assert_true(end(&call) < 0);
	assert_int_equal(resume(&b, mem + 4 * PAGE, IOVA, 2 * PAGE), 0);
	assert_int_equal(mem[4 * PAGE], 'n');
	finish(&b);
}

static void test_gap_5_wait_ended_by_detach(void **state)
{
	struct call call = { .fn = call_read, .iova = IOVA, .len = 4 };
	struct bench b;

	start(&b, LONG);
	call.dma = b.dma;
	begin(&call);
	assert_int_equal(via_dma_attach(b.dma, NULL), 0);
	assert_int_equal(end(&call), -EFAULT);
	finish(&b);
}

/* To another address space: the access goes on there. */
static void test_gap_5_wait_ended_by_replace(void **state)
{
	struct call call = { .fn = call_read, .iova = IOVA, .len = 4 };
	struct via_space *space;
	struct via_ioas *other;
	struct bench b;

	start(&b, LONG);
	assert_int_equal(via_ioas_new(via_iommu_props_intel(), &other), 0);
	assert_int_equal(via_space_new_mm(mm, &space), 0);
	assert_int_equal(via_ioas_map(other, IOVA, space, (uintptr_t)mem + 4 * PAGE, PAGE, VIA_PROT_READ), 0);
	call.dma = b.dma;
	begin(&call);
	assert_int_equal(via_dma_attach(b.dma, other), 0);
	assert_int_equal(end(&call), 0);
	assert_int_equal(call.buf[0], 'n');
	assert_int_equal(via_dma_attach(b.dma, NULL), 0);
	via_space_put(space);
	via_ioas_put(other);
	finish(&b);
}

static void test_gap_5_wait_ended_by_container(void **state)
{
	struct call call = { .fn = call_read, .iova = IOVA, .len = 4 };
	struct bench b;

	start(&b, LONG);
	call.dma = b.dma;
	begin(&call);
	via_type1_free(b.type1);
	b.type1 = NULL;
	assert_int_equal(end(&call), -EFAULT);
	finish(&b);
}

static void test_gap_5_wait_ended_by_limit(void **state)
{
	struct timespec before, after;
	struct bench b;
	char byte;
	long ms;

	start(&b, SHORT);
	(void)clock_gettime(CLOCK_MONOTONIC, &before);
	assert_int_equal(via_dma_read(b.dma, IOVA, &byte, 1), -EFAULT);
	(void)clock_gettime(CLOCK_MONOTONIC, &after);
	ms = (after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000;
	assert_true(ms >= SHORT / 2);
	/* It counts from the suspension: the next one does not wait again. */
	(void)clock_gettime(CLOCK_MONOTONIC, &before);
	for (unsigned int i = 0; i < 100; i++)
		assert_int_equal(via_dma_read(b.dma, IOVA, &byte, 1), -EFAULT);
	(void)clock_gettime(CLOCK_MONOTONIC, &after);
	ms = (after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000;
	assert_true(ms < 50 * (long)SHORT);
	assert_int_equal(resume(&b, mem + 4 * PAGE, IOVA, 2 * PAGE), 0);
	assert_int_equal(via_dma_read(b.dma, IOVA, &byte, 1), 0);
	assert_int_equal(byte, 'n');
	finish(&b);
}

/* As a kernel: what is mapped already is reached as before. */
static void test_gap_5_no_wait(void **state)
{
	struct bench b;
	char byte;

	start(&b, 0);
	assert_int_equal(via_dma_read(b.dma, IOVA, &byte, 1), 0);
	assert_int_equal(byte, 'o');
	assert_int_equal(resume(&b, mem + 4 * PAGE, IOVA, 2 * PAGE), 0);
	assert_int_equal(via_dma_read(b.dma, IOVA, &byte, 1), 0);
	assert_int_equal(byte, 'n');
	finish(&b);
}

/* Of shared memory we have a mapping of our own. */
static void test_gap_5_held_memory_works_on(void **state)
{
	int fd = memfd_create("held", MFD_CLOEXEC);
	struct via_access *access;
	uint8_t *again, byte;
	struct bench b;

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, PAGE), 0);
	shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	shared_fd = fd;
	assert_ptr_not_equal(shared, MAP_FAILED);
	start(&b, LONG);
	assert_int_equal(map(&b, RW, shared, IOVA + 0x10000, PAGE), 0);
	assert_int_equal(suspend(&b, IOVA + 0x10000, PAGE), 0);
	assert_int_equal(munmap(shared, PAGE), 0);
	assert_int_equal(via_dma_write(b.dma, IOVA + 0x10000, "h", 1), 0);
	assert_int_equal(via_access_new(NULL, NULL, &access), 0);
	assert_int_equal(via_access_attach(access, b.ioas), 0);
	assert_int_equal(via_access_rw(access, IOVA + 0x10000, &byte, 1, false), 0);
	assert_int_equal(byte, 'h');
	again = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(again, MAP_FAILED);
	assert_int_equal(resume(&b, again, IOVA + 0x10000, PAGE), 0);
	assert_int_equal(via_dma_write(b.dma, IOVA + 0x10001, "i", 1), 0);
	assert_int_equal(via_access_rw(access, IOVA + 0x10001, &byte, 1, false), 0);
	assert_int_equal(byte, 'i');
	assert_memory_equal(again, "hi", 2);
	via_access_detach(access);
	via_access_free(access);
	finish(&b);
	(void)munmap(again, PAGE);
	(void)close(fd);
}

static unsigned int n_told; /* atomic */

/* Of what is pinned where an address is not valid any more. */
static void told(void *cookie, via_iova_t iova, uint64_t len)
{
	__atomic_add_fetch(&n_told, 1, __ATOMIC_RELAXED);
	if (iova <= IOVA + 2 * PAGE && len)
		(void)via_access_unpin(*(struct via_access **)cookie, IOVA + 2 * PAGE, PAGE, 0);
}

static const struct via_access_ops access_ops = { told };

static void test_gap_5_access_waits(void **state)
{
	struct call rw = { .fn = call_access, .iova = IOVA + PAGE, .len = 8 };
	struct call pin = { .fn = call_pin, .iova = IOVA, .len = 2 * PAGE };
	struct via_access *access;
	struct via_piece *pieces;
	struct bench b;
	size_t n;

	start(&b, LONG);
	assert_int_equal(via_access_new(&access_ops, &access, &access), 0);
	assert_int_equal(via_access_attach(access, b.ioas), 0);
	rw.access = pin.access = access;
	begin(&rw);
	begin(&pin);
	/* What the access has pinned it unpins when it is told to. */
	assert_int_equal(via_access_pin(access, IOVA + 2 * PAGE, PAGE, 0, &pieces, &n), 0);
	via_pieces_free(pieces, n);
	__atomic_store_n(&n_told, 0, __ATOMIC_RELAXED);
	assert_int_equal(suspend(&b, IOVA + 2 * PAGE, 2 * PAGE), 0);
	assert_int_equal(__atomic_load_n(&n_told, __ATOMIC_RELAXED), 1);
	assert_int_equal(via_access_unpin(access, IOVA + 2 * PAGE, PAGE, 0), -ENOENT);
	assert_int_equal(resume(&b, mem + 6 * PAGE, IOVA + 2 * PAGE, 2 * PAGE), 0);
	assert_false(__atomic_load_n(&rw.done, __ATOMIC_ACQUIRE));
	assert_int_equal(resume(&b, mem + 4 * PAGE, IOVA, 2 * PAGE), 0);
	assert_int_equal(end(&rw), 0);
	assert_int_equal(rw.buf[0], 'n');
	assert_int_equal(end(&pin), 0);
	assert_int_equal(pin.buf[2 * PAGE - 1], 'n');
	via_access_detach(access);
	via_access_free(access);
	finish(&b);
}

static void test_gap_5_access_wait_ended(void **state)
{
	struct call by_unmap = { .fn = call_access, .iova = IOVA, .len = 8 };
	struct call by_detach = { .fn = call_pin, .iova = IOVA + 2 * PAGE, .len = PAGE };
	struct via_access *access;
	struct bench b;
	uint8_t byte;

	start(&b, LONG);
	assert_int_equal(via_access_new(&access_ops, &access, &access), 0);
	assert_int_equal(via_access_attach(access, b.ioas), 0);
	assert_int_equal(suspend(&b, IOVA + 2 * PAGE, 2 * PAGE), 0);
	by_unmap.access = by_detach.access = access;
	begin(&by_unmap);
	begin(&by_detach);
	assert_int_equal(unmap(&b, 0, IOVA, 2 * PAGE), 0);
	assert_int_equal(end(&by_unmap), -ENOENT);
	via_access_detach(access);
	assert_int_equal(end(&by_detach), -ENOENT);
	via_access_free(access);
	finish(&b);

	start(&b, SHORT);
	assert_int_equal(via_access_new(NULL, NULL, &access), 0);
	assert_int_equal(via_access_attach(access, b.ioas), 0);
	assert_int_equal(via_access_rw(access, IOVA, &byte, 1, false), -EBUSY);
	via_access_detach(access);
	via_access_free(access);
	finish(&b);
}

/* A cut of what is suspended leaves two that are. */
static void test_gap_5_cut_while_suspended(void **state)
{
	struct call call = { .fn = call_read, .iova = IOVA + PAGE, .len = 4 };
	struct via_resume res;
	struct bench b;
	uint64_t bytes;

	start(&b, LONG);
	call.dma = b.dma;
	begin(&call);
	assert_int_equal(via_ioas_cut(b.ioas, IOVA + PAGE - 1, false), 0);
	assert_int_equal(via_ioas_resume(b.ioas, IOVA, IOVA + 2 * PAGE - 1, &res), -EINVAL);
	assert_int_equal(via_ioas_unmap_range(b.ioas, IOVA, IOVA + PAGE - 1, &bytes), 0);
	assert_true(via_ioas_suspended(b.ioas));
	assert_false(__atomic_load_n(&call.done, __ATOMIC_ACQUIRE));
	assert_int_equal(resume(&b, mem + 4 * PAGE, IOVA + PAGE, PAGE), 0);
	assert_int_equal(end(&call), 0);
	assert_int_equal(call.buf[0], 'n');
	assert_false(via_ioas_suspended(b.ioas));
	finish(&b);
}

static bool stop; /* atomic */

static void *hammer(void *arg)
{
	struct bench *b = arg;
	uint32_t word = 0;

	for (unsigned int i = 0; !__atomic_load_n(&stop, __ATOMIC_RELAXED); i++) {
		uint64_t iova = IOVA + (i * 52) % (4 * PAGE - 4);

		if (i % 2)
			(void)via_dma_read(b->dma, iova, &word, sizeof(word));
		else
			(void)via_dma_write(b->dma, iova, &word, sizeof(word));
	}
	return NULL;
}

/*
 * The old place may be used for something else as soon as suspend returns: it is checked
 * that no device writes there.
 */
static void test_gap_5_race(void **state)
{
	pthread_t threads[3];
	struct bench b;

	start(&b, LONG);
	__atomic_store_n(&stop, false, __ATOMIC_RELAXED);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, hammer, &b), 0);
	for (unsigned int round = 1; round < 300; round++) {
		uint8_t *now = mem + (round % 2 ? 8 : 12) * PAGE;
		uint8_t *old = mem + (round % 2 ? 12 : 8) * PAGE;

		assert_int_equal(resume(&b, now, IOVA, 2 * PAGE), 0);
		memset(old, 0x5a, 2 * PAGE);
		sched_yield();
		if (round % 50 == 0) {
			assert_int_equal(unmap(&b, 0, IOVA, 2 * PAGE), 0);
			assert_int_equal(map(&b, RW, now, IOVA, 2 * PAGE), 0);
		}
		if (round % 70 == 0) {
			via_dma_enable(b.dma, false);
			via_dma_enable(b.dma, true);
		}
		for (size_t i = 0; i < 2 * PAGE; i++)
			assert_int_equal(old[i], 0x5a);
		assert_int_equal(suspend(&b, IOVA, 2 * PAGE), 0);
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	via_dma_enable(b.dma, false);
	for (size_t i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	finish(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gap_5_device_waits),
		cmocka_unit_test(test_gap_5_wait_ended_by_unmap),
		cmocka_unit_test(test_gap_5_wait_ended_by_reset),
		cmocka_unit_test(test_gap_5_wait_ended_by_detach),
		cmocka_unit_test(test_gap_5_wait_ended_by_replace),
		cmocka_unit_test(test_gap_5_wait_ended_by_container),
		cmocka_unit_test(test_gap_5_wait_ended_by_limit),
		cmocka_unit_test(test_gap_5_no_wait),
		cmocka_unit_test(test_gap_5_held_memory_works_on),
		cmocka_unit_test(test_gap_5_access_waits),
		cmocka_unit_test(test_gap_5_access_wait_ended),
		cmocka_unit_test(test_gap_5_cut_while_suspended),
		cmocka_unit_test(test_gap_5_race),
	};

	mem = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mem == MAP_FAILED || via_guard_install())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
