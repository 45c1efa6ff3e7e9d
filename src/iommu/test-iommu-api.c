/* SPDX-License-Identifier: MIT */
/* viaduct/iommu.h keeps its word: each errno with its cause, what has changed then, counters, who
 * owns what. */
#include "base/epoch.h"
#include "iommu/access.h"
#include "iommu/dma.h"
#include "iommu/ioas.h"
#include "iommu/suspend.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define PAGE 4096u
#define PAGES 8u
#define RW (VIA_PROT_READ | VIA_PROT_WRITE)

static struct via_ioas *ioas;
static struct via_dma *dma;
static struct via_space *space; /* our own memory */
static uint8_t *mem;		/* PAGES */

static int setup(void **state)
{
	struct via_mm *self = via_mm_self();

	assert_int_equal(via_ioas_new(via_iommu_props_intel(), &ioas), 0);
	assert_int_equal(via_dma_new("test", &dma), 0);
	assert_int_equal(via_space_new_mm(self, &space), 0);
	via_mm_put(self);
	mem = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(mem, MAP_FAILED);
	return 0;
}

static int teardown(void **state)
{
	via_dma_free(dma);
	via_ioas_put(ioas);
	via_space_put(space);
	(void)munmap(mem, PAGES * PAGE);
	return 0;
}

static void attach(void)
{
	assert_int_equal(via_dma_attach(dma, ioas), 0);
	via_dma_enable(dma, true);
}

static int map(via_iova_t iova, size_t page, uint64_t len, unsigned int prot)
{
	return via_ioas_map(ioas, iova, space, (uintptr_t)mem + page * PAGE, len, prot);
}

static int unmap(via_iova_t iova, uint64_t len)
{
	return via_ioas_unmap(ioas, iova, iova + (len - 1), &(uint64_t){0});
}

static int memfd(unsigned int pages)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)pages * PAGE), 0);
	return fd;
}

/* Maps ---------------------------------------------------------------------- */

static void test_map_refused(void **state)
{
	static const unsigned int read_only = VIA_PROT_READ;
	struct via_space *file;
	int fd = memfd(2);

	assert_int_equal(map(0, 0, PAGE, 0), -EINVAL);
	assert_int_equal(map(0, 0, PAGE, RW | 4), -EINVAL);
	assert_int_equal(via_ioas_map(ioas, 0, space, UINT64_MAX - 2 * PAGE + 2, 2 * PAGE, RW),
			 -EOVERFLOW);
	assert_int_equal(via_ioas_map(ioas, 0, space, UINT64_MAX - 2 * PAGE + 1, 2 * PAGE, RW),
			 -EFAULT);
	assert_int_equal(
		via_ioas_map(ioas, UINT64_MAX - PAGE + 1, space, (uintptr_t)mem, 2 * PAGE, RW),
		-EOVERFLOW);
	/* Behind the end of the file; and against the space's rights. */
	assert_int_equal(via_space_new_fd(fd, read_only, &file), 0);
	assert_int_equal(via_ioas_map(ioas, 0, file, PAGE, 2 * PAGE, VIA_PROT_READ), -EFAULT);
	assert_int_equal(via_ioas_map(ioas, 0, file, 0, PAGE, VIA_PROT_WRITE), -EFAULT);
	assert_int_equal(via_ioas_map(ioas, 0, file, 0, 2 * PAGE, VIA_PROT_READ), 0);
	/* The IOAS keeps what it needs. */
	via_space_put(file);
	(void)close(fd);
	attach();
	assert_int_equal(via_dma_read(dma, PAGE, &(uint8_t){0}, 1), 0);
	assert_int_equal(unmap(0, 2 * PAGE), 0);
}

static void test_ranges_without_bounds(void **state)
{
	const struct via_iommu_props props = {.pgsize_bitmap = 0x3000};
	struct via_ioas *any;
	uint64_t bytes;

	assert_int_equal(via_ioas_new(&props, &any), 0);
	assert_int_equal(via_ioas_map(any, UINT64_MAX - PAGE + 1, space, (uintptr_t)mem, PAGE, RW),
			 0);
	assert_int_equal(via_ioas_map(any, 0, space, (uintptr_t)mem + 1, PAGE, RW), 0);
	assert_int_equal(via_ioas_map(any, PAGE, space, (uintptr_t)mem, PAGE / 2, RW), -EINVAL);
	assert_int_equal(via_ioas_unmap(any, 0, UINT64_MAX, &bytes), 0);
	assert_int_equal(bytes, 2 * PAGE);
	via_ioas_put(any);
	via_ioas_put(NULL);
}

/* Unmap --------------------------------------------------------------------- */

static void test_unmap_refused(void **state)
{
	uint64_t bytes = 77;

	assert_int_equal(map(0, 0, 2 * PAGE, RW), 0);
	assert_int_equal(via_ioas_unmap(ioas, PAGE, PAGE - 1, &bytes), -EINVAL);
	assert_int_equal(via_ioas_unmap(ioas, PAGE, 4 * PAGE, &bytes), -ENOENT);
	via_epoch_enter();
	assert_int_equal(via_ioas_unmap(ioas, 0, UINT64_MAX, &bytes), -EDEADLK);
	via_epoch_exit();
	assert_int_equal(bytes, 77);
	/* Of any alignment, as long as nothing is cut. */
	assert_int_equal(via_ioas_unmap(ioas, 0, 2 * PAGE + 5, &bytes), 0);
	assert_int_equal(bytes, 2 * PAGE);
	assert_int_equal(via_ioas_unmap(ioas, 3, 3, &bytes), 0);
	assert_int_equal(bytes, 0);
}

static const struct via_mm_ops *self_ops;
static sem_t probing, go_on;

static int slow_probe(struct via_mm *mm, uint64_t addr, uint64_t len, unsigned int prot)
{
	(void)sem_post(&probing);
	while (sem_wait(&go_on))
		;
	return self_ops->probe(mm, addr, len, prot);
}

static void *map_slowly(void *arg)
{
	return (void *)(intptr_t)via_ioas_map(ioas, 2 * PAGE, arg, (uintptr_t)mem, PAGE, RW);
}

/* What lies below a map that is under way goes, and nobody says how much. */
static void test_unmap_of_what_is_being_mapped(void **state)
{
	struct via_mm *self = via_mm_self();
	struct via_mm_ops ops = *(self_ops = self->ops);
	struct via_mm mm = {.ops = &ops, .refs = 1, .memlock_limit = UINT64_MAX};
	uint64_t bytes = 77;
	struct via_space *slow;
	pthread_t thread;
	void *ret;

	ops.probe = slow_probe;
	ops.free = NULL;
	assert_int_equal(sem_init(&probing, 0, 0), 0);
	assert_int_equal(sem_init(&go_on, 0, 0), 0);
	assert_int_equal(via_space_new_mm(&mm, &slow), 0);
	assert_int_equal(map(PAGE, 0, PAGE, RW), 0);
	assert_int_equal(map(3 * PAGE, 0, PAGE, RW), 0);
	assert_int_equal(pthread_create(&thread, NULL, map_slowly, slow), 0);
	while (sem_wait(&probing))
		;
	assert_int_equal(map(2 * PAGE, 1, PAGE, RW), -EEXIST);
	assert_int_equal(via_ioas_unmap(ioas, 0, UINT64_MAX, &bytes), -EBUSY);
	assert_int_equal(bytes, 77);
	assert_int_equal(via_ioas_find(ioas, 0)->first, 2 * PAGE);
	(void)sem_post(&go_on);
	assert_int_equal(pthread_join(thread, &ret), 0);
	assert_int_equal((intptr_t)ret, 0);
	assert_int_equal(via_ioas_unmap(ioas, 0, UINT64_MAX, &bytes), 0);
	assert_int_equal(bytes, 2 * PAGE);
	via_space_put(slow);
	via_mm_put(self);
	(void)sem_destroy(&probing);
	(void)sem_destroy(&go_on);
}

static void keep(void *cookie, via_iova_t iova, uint64_t len)
{
	(*(unsigned int *)cookie)++;
}

static void test_unmap_of_what_is_pinned(void **state)
{
	static const struct via_access_ops ops = {keep};
	struct via_access *access;
	struct via_piece *pieces;
	unsigned int asked = 0;
	uint64_t bytes = 77;
	size_t n;

	assert_int_equal(via_access_new(&ops, &asked, &access), 0);
	assert_int_equal(via_access_attach(access, ioas), 0);
	for (via_iova_t iova = 0; iova < 3 * PAGE; iova += PAGE)
		assert_int_equal(map(iova, 0, PAGE, RW), 0);
	assert_int_equal(via_access_pin(access, PAGE, PAGE, 0, &pieces, &n), 0);
	via_pieces_free(pieces, n);
	assert_int_equal(via_ioas_unmap(ioas, 0, UINT64_MAX, &bytes), -EDEADLK);
	assert_int_equal(bytes, 77);
	assert_int_equal(asked, 100);
	assert_int_equal(via_ioas_find(ioas, 0)->first, PAGE);
	assert_int_equal(via_access_unpin(access, PAGE, PAGE, 0), 0);
	/* Locked, it is not even asked. */
	assert_int_equal(via_access_pin(access, 2 * PAGE, PAGE, VIA_ACCESS_LOCK, &pieces, &n), 0);
	via_pieces_free(pieces, n);
	assert_int_equal(via_ioas_unmap(ioas, 0, UINT64_MAX, &bytes), -EBUSY);
	assert_int_equal(asked, 100);
	assert_int_equal(via_ioas_find(ioas, 0)->first, 2 * PAGE);
	assert_int_equal(via_access_unpin(access, 2 * PAGE, PAGE, VIA_ACCESS_LOCK), 0);
	assert_int_equal(via_ioas_unmap(ioas, 0, UINT64_MAX, &bytes), 0);
	assert_int_equal(bytes, PAGE);
	via_access_free(access);
}

/* The device's handle --------------------------------------------------------- */

static void test_a_new_handle_is_off(void **state)
{
	uint8_t byte = 1;

	assert_int_equal(map(0, 0, PAGE, RW), 0);
	assert_int_equal(via_dma_attach(dma, ioas), 0);
	assert_int_equal(via_dma_read(dma, 0, &byte, 1), -EPERM);
	assert_int_equal(byte, 0);
	assert_int_equal(via_dma_write(dma, 0, &byte, 1), -EPERM);
	/* Nothing is always allowed. */
	assert_int_equal(via_dma_read(dma, 0, &byte, 0), 0);
	assert_int_equal(via_dma_write(dma, 0x9000, &byte, 0), 0);
	via_dma_enable(dma, true);
	assert_int_equal(via_dma_read(dma, 0, &byte, 1), 0);
	via_dma_free(NULL);
}

static void test_attach(void **state)
{
	struct via_ioas *other;
	uint8_t byte = 'o';

	assert_int_equal(via_ioas_new(via_iommu_props_intel(), &other), 0);
	assert_int_equal(map(0, 0, PAGE, RW), 0);
	assert_int_equal(via_ioas_map(other, 0, space, (uintptr_t)mem + PAGE, PAGE, RW), 0);
	mem[0] = 'a';
	mem[PAGE] = 'b';
	attach();
	via_epoch_enter();
	assert_int_equal(via_dma_attach(dma, other), -EDEADLK);
	assert_int_equal(via_dma_attach(dma, NULL), -EDEADLK);
	assert_int_equal(via_dma_attach(dma, ioas), -EDEADLK);
	/* The device may do what it does. */
	assert_int_equal(via_dma_read(dma, 0, &byte, 1), 0);
	via_epoch_exit();
	assert_int_equal(byte, 'a');
	assert_int_equal(via_dma_attach(dma, ioas), 0);
	assert_int_equal(via_dma_attach(dma, other), 0);
	/* It has a reference. */
	via_ioas_put(other);
	assert_int_equal(via_dma_read(dma, 0, &byte, 1), 0);
	assert_int_equal(byte, 'b');
}

static void test_counters(void **state)
{
	struct via_dma_seg segs[] = {{0, 3}, {PAGE - 1, 2}};
	struct via_dma_stats stats;
	struct via_lease lease;
	uint8_t buf[8] = "12345678", zeros[8] = {0};
	size_t n;

	attach();
	assert_int_equal(map(0, 0, PAGE, RW), 0);
	assert_int_equal(via_dma_write(dma, 0, buf, 8), 0);
	assert_int_equal(via_dma_readv(dma, segs, 1, buf), 0);
	assert_int_equal(via_dma_lease(dma, segs, 1, VIA_PROT_READ, &lease, 1, &n), 0);
	via_lease_put(&lease);
	/* Half of it is there: nothing of it counts, nothing is read, the first byte may be
	 * written. */
	assert_int_equal(via_dma_readv(dma, segs, 2, buf), -EFAULT);
	assert_memory_equal(buf, zeros, 5);
	assert_int_equal(via_dma_writev(dma, segs, 2, "abcde"), -EFAULT);
	assert_int_equal(via_dma_lease(dma, segs, 2, VIA_PROT_READ, &lease, 1, &n), -E2BIG);
	assert_int_equal(via_dma_lease(dma, segs + 1, 1, VIA_PROT_READ, &lease, 1, &n), -EFAULT);
	via_dma_get_stats(dma, &stats);
	assert_int_equal(stats.accesses, 3);
	assert_int_equal(stats.write_bytes, 8);
	assert_int_equal(stats.read_bytes, 6);
	assert_int_equal(stats.faults, 3);
}

/* Leases -------------------------------------------------------------------- */

static int private_backing(struct via_mm *mm, uint64_t addr, uint64_t len, unsigned int prot,
			   struct via_backing *ret_backing)
{
	*ret_backing = (struct via_backing){.fd = -1, .len = len};
	return 0;
}

static void test_lease_refused(void **state)
{
	struct via_mm *self = via_mm_self();
	struct via_mm_ops ops = *self->ops;
	struct via_mm program = {
		.ops = &ops, .refs = 1, .pid = getpid(), .memlock_limit = UINT64_MAX};
	const struct via_ledger_owner nobody = {0};
	struct via_dma_seg segs[] = {{0, 8}, {PAGE, 8}};
	struct via_pages *pages;
	struct via_space *foreign;
	const struct via_dma_seg nothing = {0x7000, 0};
	struct via_dma_stats before, after;
	struct via_lease leases[2];
	via_iova_t iova = 0x100000;
	int fd = memfd(1);
	size_t n = 77;

	ops.backing = private_backing;
	ops.free = NULL;
	attach();
	assert_int_equal(map(0, 0, PAGE, RW), 0);
	assert_int_equal(map(PAGE, 4, PAGE, VIA_PROT_READ), 0);
	assert_int_equal(via_dma_lease(dma, segs, 2, VIA_PROT_READ, leases, 1, &n), -E2BIG);
	assert_int_equal(via_dma_lease(dma, segs, 2, VIA_PROT_WRITE, leases, 2, &n), -EFAULT);
	assert_int_equal(via_dma_lease(dma, segs, 2, RW, leases, 2, &n), -EFAULT);
	via_dma_enable(dma, false);
	assert_int_equal(via_dma_lease(dma, segs, 2, VIA_PROT_READ, leases, 2, &n), -EPERM);
	/* A lease of nothing is none, and no fault, as a copy of nothing. */
	via_dma_get_stats(dma, &before);
	n = 77;
	assert_int_equal(via_dma_lease(dma, &nothing, 1, VIA_PROT_READ, leases, 2, &n), 0);
	assert_int_equal(n, 0);
	n = 77;
	assert_int_equal(via_dma_read(dma, 0, leases, 0), 0);
	via_dma_get_stats(dma, &after);
	assert_int_equal(after.faults, before.faults);
	via_dma_enable(dma, true);
	/* Another process's own memory. */
	assert_int_equal(via_space_new_mm(&program, &foreign), 0);
	assert_int_equal(via_ioas_map(ioas, 2 * PAGE, foreign, (uintptr_t)mem, PAGE, RW), 0);
	segs[1].iova = 2 * PAGE;
	assert_int_equal(via_dma_lease(dma, segs, 2, VIA_PROT_READ, leases, 2, &n), -EOPNOTSUPP);
	via_space_put(foreign);
	/* A file that nobody can write. */
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
	assert_int_equal(via_pages_new_file(fd, 0, PAGE, true, &nobody, &pages), 0);
	assert_int_equal(via_ioas_map_pages(ioas, pages, 0, PAGE, RW, VIA_IOAS_FIXED, &iova, NULL),
			 0);
	via_pages_put(pages);
	segs[1].iova = iova;
	assert_int_equal(via_dma_lease(dma, segs, 2, VIA_PROT_WRITE, leases, 2, &n), -EACCES);
	assert_int_equal(via_dma_write(dma, iova, mem, 1), -EFAULT);
	/* While writes are recorded. */
	assert_int_equal(via_ioas_track_dirty(ioas, true), 0);
	assert_int_equal(via_dma_lease(dma, segs, 1, VIA_PROT_WRITE, leases, 2, &n), -EOPNOTSUPP);
	assert_int_equal(n, 77);
	assert_int_equal(via_dma_lease(dma, segs, 2, VIA_PROT_READ, leases, 2, &n), 0);
	assert_int_equal(n, 2);
	via_lease_put(&leases[0]);
	via_lease_put(&leases[1]);
	/* None is left that this would wait for. */
	assert_int_equal(via_ioas_unmap(ioas, 0, UINT64_MAX, &(uint64_t){0}), 0);
	via_mm_put(self);
	(void)close(fd);
}

/* Who leaves waits for what it has leased; the memory stays good until then. */
struct leaver {
	struct via_dma *device;
	bool gone; /* atomic */
};

static void *leave(void *arg)
{
	struct leaver *leaver = arg;

	via_dma_free(leaver->device);
	__atomic_store_n(&leaver->gone, true, __ATOMIC_RELEASE);
	return NULL;
}

static void test_leaving_waits_for_a_lease(void **state)
{
	struct via_dma_seg seg = {0, 8};
	struct leaver leaver = {0};
	struct via_space *file;
	struct via_ioas *own;
	struct via_lease lease;
	pthread_t thread;
	int fd = memfd(1);
	size_t n;

	assert_int_equal(via_space_new_fd(fd, RW, &file), 0);
	assert_int_equal(via_ioas_new(via_iommu_props_intel(), &own), 0);
	assert_int_equal(via_dma_new("leaver", &leaver.device), 0);
	assert_int_equal(via_dma_attach(leaver.device, own), 0);
	via_dma_enable(leaver.device, true);
	assert_int_equal(via_ioas_map(own, 0, file, 0, PAGE, RW), 0);
	via_space_put(file);
	assert_int_equal(via_dma_lease(leaver.device, &seg, 1, RW, &lease, 1, &n), 0);
	via_dma_enable(leaver.device, false);
	assert_int_equal(pthread_create(&thread, NULL, leave, &leaver), 0);
	usleep(20000);
	assert_false(__atomic_load_n(&leaver.gone, __ATOMIC_ACQUIRE));
	memcpy(lease.ptr, "leased", 7);
	via_lease_put(&lease);
	assert_int_equal(pthread_join(thread, NULL), 0);
	via_ioas_put(own);
	assert_int_equal(pread(fd, mem, 7, 0), 7);
	assert_string_equal(mem, "leased");
	(void)close(fd);
}

/* Suspended addresses, written memory ------------------------------------------- */

static void test_no_wait_in_a_callback(void **state)
{
	struct via_dma_seg seg = {0, 8};
	struct via_lease lease;
	uint64_t size, value;
	size_t n;

	via_ioas_set_vaddr_wait(ioas, 600000);
	attach();
	assert_int_equal(map(0, 0, PAGE, RW), 0);
	assert_int_equal(via_ioas_suspend(ioas, 0, UINT64_MAX, &size), 0);
	via_epoch_enter();
	assert_int_equal(via_dma_read(dma, 0, &value, 8), -EFAULT);
	assert_int_equal(via_dma_write(dma, 0, &value, 8), -EFAULT);
	assert_int_equal(via_dma_lease(dma, &seg, 1, VIA_PROT_READ, &lease, 1, &n), -EFAULT);
	via_epoch_exit();
}

static void test_dirty_arguments(void **state)
{
	uint64_t bits[2] = {0, 0};

	attach();
	assert_int_equal(map(0, 0, 4 * PAGE, RW), 0);
	/* Never recorded. */
	assert_int_equal(via_ioas_get_dirty(ioas, 0, PAGE - 1, PAGE, bits), -EINVAL);
	assert_int_equal(via_ioas_track_dirty(ioas, true), 0);
	assert_int_equal(via_dma_write(dma, PAGE, "x", 1), 0);
	assert_int_equal(via_ioas_get_dirty(ioas, 0, 2 * PAGE - 1, PAGE / 2, bits), -EINVAL);
	assert_int_equal(via_ioas_get_dirty(ioas, 0, 3 * PAGE - 1, 3 * PAGE, bits), -EINVAL);
	assert_int_equal(via_ioas_get_dirty(ioas, 0, 2 * PAGE - 1, 0, bits), -EINVAL);
	assert_int_equal(via_ioas_get_dirty(ioas, 1, 2 * PAGE - 1, PAGE, bits), -EINVAL);
	assert_int_equal(via_ioas_get_dirty(ioas, 0, 2 * PAGE - 2, PAGE, bits), -EINVAL);
	assert_int_equal(via_ioas_get_dirty(ioas, 2 * PAGE, PAGE - 1, PAGE, bits), -EINVAL);
	assert_int_equal(bits[0], 0);
	/* Also when it has ended; no bit is cleared. */
	assert_int_equal(via_ioas_track_dirty(ioas, false), 0);
	assert_int_equal(via_dma_write(dma, 0, "x", 1), 0);
	bits[0] = 8;
	assert_int_equal(via_ioas_get_dirty(ioas, 0, 4 * PAGE - 1, PAGE, bits), 0);
	assert_int_equal(bits[0], 8 | 2);
	bits[0] = 0;
	assert_int_equal(via_ioas_get_dirty(ioas, 0, 4 * PAGE - 1, PAGE, bits), 0);
	assert_int_equal(bits[0], 0);
	assert_int_equal(bits[1], 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_map_refused),
		TEST(test_ranges_without_bounds),
		TEST(test_unmap_refused),
		TEST(test_unmap_of_what_is_being_mapped),
		TEST(test_unmap_of_what_is_pinned),
		TEST(test_a_new_handle_is_off),
		TEST(test_attach),
		TEST(test_counters),
		TEST(test_lease_refused),
		TEST(test_leaving_waits_for_a_lease),
		TEST(test_no_wait_in_a_callback),
		TEST(test_dirty_arguments),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
