/* SPDX-License-Identifier: MIT */
/*
 * Maps, copies and unmaps of an IOAS: cases of the specification of I/O address
 * spaces (11.2, 11.3), as far as they are below the ioctls, and calls that meet one
 * that is under way.
 */
#include "iommu/test-ioas.h"

#include "iommu/access.h"

#include <pthread.h>
#include <semaphore.h>

static int file(uint64_t start, uint64_t len, unsigned int flags, via_iova_t *iova, int fd)
{
	struct via_pages *pages;
	int rc = via_pages_new_file(fd, start, len, true, &nobody, &pages);

	if (rc)
		return rc;
	rc = via_ioas_map_pages(ioas, pages, 0, len, RW, flags, iova, NULL);
	via_pages_put(pages);
	return rc;
}

static void test_cases_16_49_50_51_files(void **state)
{
	int fd = memfd(8), small = memfd(4), pipes[2];
	via_iova_t iova;

	assert_int_equal(file(0, 0x5000, 0, &iova, fd), 0);
	assert_int_equal(iova, 0x8000);
	assert_int_equal(unmap(0, UINT64_MAX), 0x5000);

	/* 49, 50: looked at when it is pinned. */
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(file(0x1000, 0x4000, FIXED, &(via_iova_t){ 0x1000000 }, small), 0);
	assert_int_equal(attach(), -EINVAL);
	assert_int_equal(unmap(0x1000000, 0x4000), 0x4000);
	assert_int_equal(file(0, 0x1000, FIXED, &(via_iova_t){ 0x1000000 }, pipes[0]), 0);
	assert_int_equal(attach(), -EINVAL);
	assert_int_equal(unmap(0x1000000, 0x1000), 0x1000);
	assert_int_equal(attach(), 0);
	assert_int_equal(file(0x1000, 0x4000, FIXED, &(via_iova_t){ 0x1000000 }, small), -EINVAL);
	assert_int_equal(file(0, 0x1000, FIXED, &(via_iova_t){ 0x1000000 }, pipes[0]), -EINVAL);
	assert_true(via_ioas_empty(ioas));

	/* 51 */
	assert_int_equal(file(0x800, 0x800, FIXED, &(via_iova_t){ 0x1000000 }, fd), 0);
	assert_int_equal(unmap(0x1000000, 0x800), 0x800);
	assert_int_equal(via_ioas_set_large_pages(ioas, false), 0);
	assert_int_equal(file(0x800, 0x800, FIXED, &(via_iova_t){ 0x1000000 }, fd), -EINVAL);
	(void)close(pipes[0]);
	(void)close(pipes[1]);
	(void)close(small);
	(void)close(fd);
}

static void test_cases_32_33_34_attach_refused(void **state)
{
	assert_int_equal(map_mem(0x1000000, 0, 0x801, RW), 0);
	assert_int_equal(attach(), -EADDRINUSE);
	assert_int_equal(unmap(0x1000000, 0x801), 0x801);
	assert_int_equal(map_mem(0x1000, 0, 0x1000, RW), 0);
	assert_int_equal(attach(), -EADDRINUSE);
	assert_int_equal(unmap(0x1000, 0x1000), 0x1000);
	assert_int_equal(munmap(mem + 3 * PAGE, PAGE), 0);
	assert_int_equal(map_mem(0x1000000, 0, 2 * PAGE, RW), 0);
	assert_int_equal(map_mem(0x2000000, 3, PAGE, RW), 0);
	assert_int_equal(attach(), -EFAULT);
	/* Nothing is left of it: no pin, no reservation, no alignment. */
	assert_int_equal(via_pages_pinned(all), 0);
	assert_int_equal(via_ioas_alignment(ioas), 1);
	assert_int_equal(map_mem(0x801, 0, 1, RW), 0);
	assert_int_equal(unmap(0x801, 1), 1);
	assert_int_equal(unmap(0x2000000, PAGE), PAGE);
	assert_int_equal(attach(), 0);
	assert_int_equal(via_pages_pinned(all), 2);
}

static void test_case_35_protection(void **state)
{
	assert_int_equal(attach(), 0);
	assert_int_equal(mprotect(mem, PAGE, PROT_READ), 0);
	assert_int_equal(map_mem(0x1000000, 0, PAGE, RW), -EFAULT);
	assert_true(via_ioas_empty(ioas));
	/* A map that only reads has a store of its own, which is not writable. */
	assert_int_equal(via_ioas_map_area(ioas, 0x1000000, space, (uintptr_t)mem, PAGE,
					   VIA_PROT_READ, NULL), 0);
}

static void test_cases_38_40_41_42_unmap(void **state)
{
	uint64_t bytes;

	assert_int_equal(unmap(0, 0), 0);
	assert_int_equal(via_ioas_unmap_range(ioas, 0, UINT64_MAX, &bytes), 0);
	assert_int_equal(map(0x1000, VA, 0x1000, RW), 0);
	assert_int_equal(map(0x3000, VA, 0x1000, RW), 0);
	assert_int_equal(unmap(0, 0x10000), 0x2000);

	assert_int_equal(map(0x1000, VA, 0x1000, RW), 0);
	assert_int_equal(map(0x3000, VA, 0x2000, RW), 0);
	assert_int_equal(via_ioas_unmap_range(ioas, 0x1000, 0x3fff, &bytes), -ENOENT);
	assert_int_equal(bytes, 0x1000);
	assert_int_equal(via_ioas_find(ioas, 0)->first, 0x3000);
	assert_int_equal(unmap(0x4000, 0x1000), -ENOENT);
	assert_int_equal(unmap(0x3000, 0x2000), 0x2000);
}

static void test_cases_45_46_copy(void **state)
{
	uint64_t bytes;

	assert_int_equal(map(0x1000, VA, 0x1000, RW), 0);
	assert_int_equal(map(0x2000, VA + 0x8000, 0x1000, RW), 0);
	assert_int_equal(copy(0x1800, 0x1000, 0, RW), 0);
	assert_int_equal(via_ioas_unmap_range(other, 0, 0x7ff, &bytes), 0);
	assert_int_equal(bytes, 0x800);
	assert_int_equal(copy(0x2800, 0x1000, 0x10000, RW), -ENOENT);
	assert_int_equal(copy(0x1000, 0x1000, 0x800, RW), -EEXIST);
	assert_int_equal(copy(0x1000, 0, 0, RW), -EINVAL);
	assert_int_equal(copy(UINT64_MAX - 1, 4, 0, RW), -EOVERFLOW);
	/* To where it comes from. */
	assert_int_equal(via_ioas_copy(ioas, ioas, 0x1000, 0x2000, RW, 0, &bytes), 0);
	assert_int_equal(bytes, 0x4000);
	assert_int_equal(unmap(0x5000, 0x1000), 0x1000);
}

static void test_cases_47_48_copy_of_protected(void **state)
{
	struct via_pages *pages;
	via_iova_t iova = 0x1000;

	assert_int_equal(via_pages_new_memory(space, VA, PAGE, false, &nobody, &pages), 0);
	assert_int_equal(via_ioas_map_pages(ioas, pages, 0, PAGE, VIA_PROT_READ, FIXED, &iova,
					    NULL), 0);
	via_pages_put(pages);
	assert_int_equal(copy(0x1000, PAGE, 0, RW), -EPERM);
	assert_int_equal(copy(0x1000, PAGE, 0, VIA_PROT_READ), 0);
	assert_int_equal(map(0x2000, VA, PAGE, VIA_PROT_WRITE), 0);
	assert_int_equal(copy(0x2000, PAGE, 0x2000, VIA_PROT_READ), 0);
	assert_true(via_ioas_find(other, 0)->pages == pages);
}

/* An owner with a limit of its own. */
static struct via_mm limited;
static const struct via_mm_ops *self_ops;

static void never_free(struct via_mm *mm)
{
}

static void limit(uint64_t pages)
{
	static struct via_mm_ops ops;

	self_ops = self->ops;
	ops = *self_ops;
	ops.free = never_free;
	limited = (struct via_mm){ .ops = &ops, .refs = 1, .memlock_limit = pages * PAGE };
}

static int map_charged(via_iova_t iova, uint32_t page, uint32_t n)
{
	const struct via_ledger_owner owner = { .mm = &limited, .mode = VIA_CHARGE_MM,
						.enforce = true };
	struct via_pages *pages;
	int rc = via_pages_new_memory(space, (uintptr_t)mem + (uint64_t)page * PAGE,
				      (uint64_t)n * PAGE, true, &owner, &pages);

	assert_int_equal(rc, 0);
	rc = via_ioas_map_pages(ioas, pages, 0, (uint64_t)n * PAGE, RW, FIXED, &iova, NULL);
	via_pages_put(pages);
	return rc;
}

static void test_cases_57_58_61_limits(void **state)
{
	static const struct via_domain_config config = { 0x1000, 0, UINT64_MAX, true, true };
	struct via_domain *second;
	via_iova_t iova;

	limit(16);
	/* 61: nothing is charged before it is pinned. */
	assert_int_equal(map_charged(0x1000000, 0, 17), 0);
	assert_int_equal(attach(), -ENOMEM);
	assert_int_equal(unmap(0x1000000, 17 * PAGE), 17 * PAGE);
	assert_int_equal(attach(), 0);
	/* 57 */
	assert_int_equal(map_charged(0x1000000, 0, 16), 0);
	assert_int_equal(via_domain_new(ioas, &config, &second), 0);
	assert_int_equal(via_ioas_copy(ioas, ioas, 0x1000000, 16 * PAGE, RW, 0, &iova), 0);
	assert_int_equal(map_charged(0x2000000, 16, 1), -ENOMEM);
	assert_int_equal(unmap(0x1000000, 16 * PAGE), 16 * PAGE);
	assert_int_equal(map_charged(0x2000000, 16, 1), -ENOMEM); /* the copy pins them */
	assert_int_equal(unmap(iova, 16 * PAGE), 16 * PAGE);
	/* 58: stores of their own. */
	assert_int_equal(map_charged(0x2000000, 0, 8), 0);
	assert_int_equal(map_charged(0x3000000, 0, 8), 0);
	assert_int_equal(map_charged(0x4000000, 0, 8), -ENOMEM);
	via_domain_free(dom);
	dom = NULL;
	assert_int_equal(via_ledger_pages(&limited), 16);
	via_domain_free(second);
	assert_int_equal(via_ledger_pages(&limited), 0);
}

static void test_cases_62_63_change_of_owner(void **state)
{
	struct via_ioas *const both[] = { other, ioas };
	struct via_ledger_owner owner = { .mm = &limited, .mode = VIA_CHARGE_MM, .enforce = true };
	struct via_ledger_owner old = { .mm = self, .mode = VIA_CHARGE_MM, .enforce = true };
	uint64_t before = via_ledger_pages(self);
	struct via_pages *pages;
	via_iova_t iova = 0x1000000;
	int fd = memfd(4);

	limit(3);
	self->memlock_limit = before * PAGE + ((uint64_t)1 << 20);
	assert_int_equal(via_ioas_change_owner(both, 2, &owner), 0);
	assert_int_equal(map(0x1000000, VA, PAGE, RW), 0);
	assert_int_equal(via_ioas_change_owner(both, 2, &owner), -EINVAL);
	assert_int_equal(unmap(0x1000000, PAGE), PAGE);
	assert_int_equal(attach(), 0);
	assert_int_equal(via_pages_new_file(fd, 0, 4 * PAGE, true, &old, &pages), 0);
	assert_int_equal(via_ioas_map_pages(ioas, pages, 0, 4 * PAGE, RW, FIXED, &iova, NULL), 0);
	via_pages_put(pages);
	assert_int_equal(copy(0x1000000, 4 * PAGE, 0, RW), 0);
	assert_int_equal(via_ledger_pages(self), before + 4);
	assert_int_equal(via_ioas_change_owner(both, 2, &owner), -ENOMEM);
	assert_int_equal(via_ledger_pages(self), before + 4);
	limited.memlock_limit = 4 * PAGE;
	/* Of two areas, once. */
	assert_int_equal(via_ioas_change_owner(both, 2, &owner), 0);
	assert_int_equal(via_ledger_pages(self), before);
	assert_int_equal(via_ledger_pages(&limited), 4);
	assert_int_equal(unmap(0, 0), 4 * PAGE);
	assert_int_equal(via_ledger_pages(&limited), 0);
	(void)close(fd);
}

/* Calls that meet a map that is under way ---------------------------------------------- */

static sem_t probing, go_on;
static bool stop_probes;

static int slow_probe(struct via_mm *mm, uint64_t addr, uint64_t len, unsigned int prot)
{
	if (stop_probes) {
		(void)sem_post(&probing);
		while (sem_wait(&go_on))
			;
	}
	return self_ops->probe(mm, addr, len, prot);
}

static void *map_slowly(void *arg)
{
	struct via_pages *pages = arg;
	via_iova_t iova = 0x1000000;

	return (void *)(intptr_t)via_ioas_map_pages(ioas, pages, 0, PAGE, RW, FIXED, &iova, NULL);
}

static void test_map_under_way(void **state)
{
	static struct via_mm_ops ops;
	struct via_ioas *const one[] = { ioas };
	struct via_space *slow;
	struct via_pages *pages;
	struct via_mm mm;
	uint64_t bytes;
	pthread_t thread;
	void *ret;

	self_ops = self->ops;
	ops = *self_ops;
	ops.probe = slow_probe;
	ops.free = never_free;
	mm = (struct via_mm){ .ops = &ops, .refs = 1, .memlock_limit = UINT64_MAX };
	stop_probes = true;
	assert_int_equal(sem_init(&probing, 0, 0), 0);
	assert_int_equal(sem_init(&go_on, 0, 0), 0);
	assert_int_equal(via_space_new_mm(&mm, &slow), 0);
	assert_int_equal(via_pages_new_memory(slow, (uintptr_t)mem, PAGE, true, &nobody, &pages), 0);
	assert_int_equal(attach(), 0);
	assert_int_equal(map_mem(0x1002000, 4, PAGE, RW), 0);
	assert_int_equal(pthread_create(&thread, NULL, map_slowly, pages), 0);
	while (sem_wait(&probing))
		;
	assert_int_equal(map_mem(0x1000000, 5, PAGE, RW), -EEXIST);
	assert_int_equal(choose((uintptr_t)mem, PAGE), 0x1001000);
	assert_int_equal(unmap(0x1000000, PAGE), -EBUSY);
	assert_int_equal(copy(0x1000000, PAGE, 0, RW), -ENOENT);
	assert_int_equal(via_ioas_change_owner(one, 1, &nobody), -EBUSY);
	assert_int_equal(via_ioas_reserve(ioas, 0x1000000, 0x1000fff, NULL), -EADDRINUSE);
	assert_int_equal(via_ioas_cut(ioas, 0x1000000 + 2047, false), -EBUSY);
	/* Everything: what is before it goes. */
	assert_int_equal(unmap(0x1001000, PAGE), PAGE);
	assert_int_equal(via_ioas_unmap_range(ioas, 0, UINT64_MAX, &bytes), -EBUSY);
	assert_int_equal(bytes, 0);
	(void)sem_post(&go_on);
	assert_int_equal(pthread_join(thread, &ret), 0);
	assert_int_equal((intptr_t)ret, 0);
	assert_int_equal(copy(0x1000000, PAGE, 0, RW), 0);
	assert_int_equal(unmap(0, 0), 2 * PAGE);
	stop_probes = false;
	via_pages_put(pages);
	assert_int_equal(via_ioas_unmap_range(other, 0, UINT64_MAX, &bytes), 0);
	via_space_put(slow);
}

/* Accesses ------------------------------------------------------------------------------- */

struct pinner {
	struct via_access *access;
	via_iova_t iova;
	uint64_t len;
	unsigned int calls, ignore; /* so many calls do nothing */
};

static void give_up(void *cookie, via_iova_t iova, uint64_t len)
{
	struct pinner *p = cookie;

	if (p->calls++ >= p->ignore)
		(void)via_access_unpin(p->access, p->iova, p->len, 0);
}

static void pin(struct pinner *p, via_iova_t iova, uint64_t len)
{
	struct via_piece *pieces;
	size_t n;

	p->iova = iova;
	p->len = len;
	p->calls = 0;
	assert_int_equal(via_access_pin(p->access, iova, len, 0, &pieces, &n), 0);
	via_pieces_free(pieces, n);
}

static void test_cases_66_68_unmap_of_pinned(void **state)
{
	static const struct via_access_ops ops = { give_up };
	struct pinner p = { 0 };
	uint64_t bytes;

	assert_int_equal(via_access_new(&ops, &p, &p.access), 0);
	assert_int_equal(map_mem(0x800, 0, 0x800, RW), 0);
	assert_int_equal(via_access_attach(p.access, ioas), -EADDRINUSE);
	assert_int_equal(via_ioas_alignment(ioas), 1);
	assert_int_equal(unmap(0x800, 0x800), 0x800);
	assert_int_equal(via_access_attach(p.access, ioas), 0);
	assert_int_equal(via_ioas_alignment(ioas), PAGE);

	for (via_iova_t iova = 0; iova < 3 * PAGE; iova += PAGE)
		assert_int_equal(map_mem(iova, 0, PAGE, RW), 0);
	/* Asked three times, then all goes. */
	p.ignore = 2;
	pin(&p, PAGE, PAGE);
	assert_int_equal(via_ioas_cut(ioas, PAGE + 2047, false), -EINVAL);
	assert_int_equal(unmap(0, 3 * PAGE), 3 * PAGE);
	assert_int_equal(p.calls, 3);

	/* One that does not: what lies before has gone. */
	for (via_iova_t iova = 0; iova < 3 * PAGE; iova += PAGE)
		assert_int_equal(map_mem(iova, 0, PAGE, RW), 0);
	p.ignore = 1000;
	pin(&p, PAGE, PAGE);
	assert_int_equal(via_ioas_unmap_range(ioas, 0, 3 * PAGE - 1, &bytes), -EDEADLK);
	assert_int_equal(bytes, PAGE);
	assert_int_equal(p.calls, 100);
	assert_int_equal(via_access_unpin(p.access, PAGE, PAGE, 0), 0);
	assert_int_equal(unmap(PAGE, 2 * PAGE), 2 * PAGE);
	via_access_free(p.access);
	assert_int_equal(via_ioas_alignment(ioas), 1);
}

/* Other pages for an area: by its first byte, and no other. */
static void test_replace_what_is_not_there(void **state)
{
	assert_int_equal(via_ioas_replace(ioas, PAGE, all), -ENOENT);
	assert_int_equal(map_mem(PAGE, 0, 2 * PAGE, RW), 0);
	assert_int_equal(via_ioas_replace(ioas, 0, all), -ENOENT);
	assert_int_equal(via_ioas_replace(ioas, 2 * PAGE, all), -ENOENT);
	assert_int_equal(via_ioas_replace(ioas, 3 * PAGE, all), -ENOENT);
	assert_int_equal(unmap(0, 4 * PAGE), 2 * PAGE);
}

static void test_cut_with_pins(void **state)
{
	static const struct via_access_ops ops = { give_up };
	struct pinner p = { 0 };

	assert_int_equal(via_access_new(&ops, &p, &p.access), 0);
	assert_int_equal(via_access_attach(p.access, ioas), 0);
	assert_int_equal(map_mem(0, 0, 4 * PAGE, RW), 0);
	pin(&p, 2 * PAGE, PAGE);
	assert_int_equal(via_ioas_cut(ioas, PAGE - 1, false), -EINVAL);
	assert_int_equal(via_ioas_cut(ioas, PAGE - 1, true), 0);
	assert_int_equal(via_ioas_cut(ioas, 2 * PAGE - 1, true), 0);
	/* What is not pinned can go without anybody being asked. */
	assert_int_equal(unmap(0, 2 * PAGE), 2 * PAGE);
	assert_int_equal(p.calls, 0);
	assert_int_equal(unmap(0, 0), 2 * PAGE);
	assert_int_equal(p.calls, 1);
	via_access_free(p.access);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_cases_16_49_50_51_files),
		TEST(test_cases_32_33_34_attach_refused),
		TEST(test_case_35_protection),
		TEST(test_cases_38_40_41_42_unmap),
		TEST(test_cases_45_46_copy),
		TEST(test_cases_47_48_copy_of_protected),
		TEST(test_cases_57_58_61_limits),
		TEST(test_cases_62_63_change_of_owner),
		TEST(test_map_under_way),
		TEST(test_cases_66_68_unmap_of_pinned),
		TEST(test_replace_what_is_not_there),
		TEST(test_cut_with_pins),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
