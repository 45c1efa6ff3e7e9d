/* SPDX-License-Identifier: MIT */
/* Regions of devices as DMA memory: memory and registers, taken away and given back. */
#include "base/epoch.h"
#include "iommu/dma.h"
#include "iommu/test-pages.h"

#include <pthread.h>
#include <sched.h>
#include <time.h>

/* Four pages of memory, in which the third is registers. */
struct region {
	uint8_t *mem;
	uint8_t registers[PAGE];
	unsigned int n_accesses, n_written; /* atomic */
	unsigned int released;
};

static uint8_t *region_memory(void *cookie, uint64_t offset, uint64_t *ret_len)
{
	struct region *r = cookie;

	if (offset / PAGE == 2) {
		*ret_len = 3 * PAGE - offset;
		return NULL;
	}
	*ret_len = (offset < 2 * PAGE ? 2 * PAGE : 4 * PAGE) - offset;
	return r->mem + offset;
}

static int region_access(void *cookie, uint64_t offset, void *buf, size_t len, bool write)
{
	struct region *r = cookie;

	assert_true(offset >= 2 * PAGE && offset + len <= 3 * PAGE);
	__atomic_add_fetch(&r->n_accesses, 1, __ATOMIC_RELAXED);
	if (write)
		memcpy(r->registers + offset - 2 * PAGE, buf, len);
	else
		memcpy(buf, r->registers + offset - 2 * PAGE, len);
	return 0;
}

static void region_written(void *cookie)
{
	__atomic_add_fetch(&((struct region *)cookie)->n_written, 1, __ATOMIC_RELAXED);
}

static void region_release(void *cookie)
{
	((struct region *)cookie)->released++;
}

static const struct via_pages_region_ops region_ops = {
	region_memory, region_access, region_written, region_release,
};
/* One that need not know. */
static const struct via_pages_region_ops plain_ops = {
	region_memory, region_access, NULL, region_release,
};

struct setting {
	struct fixture *f;
	struct region r;
	struct via_domain *domain;
	struct via_dma *dma;
	struct via_pages *pages;
};

static void begin(struct setting *s, struct fixture *f, const struct via_pages_region_ops *ops,
		  bool restores)
{
	*s = (struct setting){ .f = f };
	s->r.mem = f->mem;
	s->domain = domain_of(f->ioas);
	assert_int_equal(via_dma_new("test", &s->dma), 0);
	assert_int_equal(via_dma_attach(s->dma, f->ioas), 0);
	via_dma_enable(s->dma, true);
	assert_int_equal(via_pages_new_region(ops, &s->r, 0, 4 * PAGE, restores, &s->pages), 0);
}

static void end(struct setting *s)
{
	uint64_t bytes;

	assert_int_equal(via_ioas_unmap_range(s->f->ioas, 0, UINT64_MAX, &bytes), 0);
	via_dma_free(s->dma);
	via_domain_free(s->domain);
	assert_int_equal(s->r.released, 0);
	via_pages_put(s->pages);
	assert_int_equal(s->r.released, 1);
}

static int map(struct setting *s, via_iova_t iova, uint64_t offset, uint64_t len)
{
	return via_ioas_map_pages(s->f->ioas, s->pages, offset, len, RW, VIA_IOAS_FIXED, &iova, NULL);
}

static void test_memory_and_registers(void **state)
{
	struct setting s;
	uint8_t buf[3 * PAGE];

	begin(&s, *state, &region_ops, true);
	assert_int_equal(map(&s, 0x10000, 0, 4 * PAGE), 0);
	assert_int_equal(via_user_pages(s.f->user), 0); /* never charged */
	memset(s.r.registers, 0x77, PAGE);
	assert_int_equal(via_dma_read(s.dma, 0x10800, buf, 3 * PAGE), 0);
	assert_int_equal(buf[0], 1);
	assert_int_equal(buf[PAGE / 2], 2);
	assert_int_equal(buf[PAGE + PAGE / 2], 0x77);
	assert_int_equal(buf[2 * PAGE + PAGE / 2], 4);
	assert_true(s.r.n_accesses > 0);
	assert_int_equal(s.r.n_written, 0);
	assert_int_equal(via_dma_write(s.dma, 0x10010, "abcd", 4), 0);
	assert_memory_equal(s.f->mem + 0x10, "abcd", 4);
	assert_int_equal(s.r.n_written, 1);
	assert_int_equal(via_dma_write(s.dma, 0x12000, "efgh", 4), 0);
	assert_memory_equal(s.r.registers, "efgh", 4);
	assert_int_equal(via_ioas_cut(s.f->ioas, 0x10fff, false), -EOPNOTSUPP);
	end(&s);
}

static void not_told(void *cookie, via_iova_t iova, uint64_t len)
{
	assert_int_equal(len, UINT64_MAX); /* of its own leaving alone */
}

static void test_case_72_no_access(void **state)
{
	struct via_piece *pieces;
	struct via_access *access;
	const struct via_access_ops ops = { not_told };
	struct setting s;
	size_t n;

	begin(&s, *state, &region_ops, true);
	assert_int_equal(map(&s, 0x10000, 0, 4 * PAGE), 0);
	assert_int_equal(via_access_new(&ops, NULL, &access), 0);
	assert_int_equal(via_access_attach(access, s.f->ioas), 0);
	assert_int_equal(via_access_pin(access, 0x10000, PAGE, 0, &pieces, &n), -EINVAL);
	assert_int_equal(via_access_rw(access, 0x10000, &n, 8, false), -EINVAL);
	assert_int_equal(via_ioas_change_owner(&s.f->ioas, 1, &s.f->owner), -EINVAL);
	via_pages_revoke(s.pages);
	assert_int_equal(via_pages_pieces(s.pages, 0, PAGE, &pieces, &n), -ENODEV);
	via_pages_restore(s.pages);
	assert_int_equal(via_pages_pieces(s.pages, 0, 4 * PAGE, &pieces, &n), 0);
	assert_int_equal(n, 3);
	assert_null(pieces[1].store);
	via_pieces_free(pieces, n);
	via_access_free(access);
	end(&s);
}

static void test_revoke_and_restore(void **state)
{
	struct setting s;
	via_iova_t copy = 0x20000;
	uint8_t byte;

	for (unsigned int restores = 0; restores < 2; restores++) {
		int after = restores ? 0 : -EFAULT;

		begin(&s, *state, restores ? &region_ops : &plain_ops, restores);
		assert_int_equal(map(&s, 0x10000, 0, 4 * PAGE), 0);
		assert_int_equal(map(&s, 0x18000, 0, PAGE), 0);
		assert_int_equal(via_dma_read(s.dma, 0x18000, &byte, 1), 0);
		via_pages_revoke(s.pages);
		via_pages_revoke(s.pages);
		for (via_iova_t iova = 0x10000; iova < 0x14000; iova += PAGE)
			assert_int_equal(via_dma_read(s.dma, iova, &byte, 1), -EFAULT);
		assert_int_equal(via_dma_read(s.dma, 0x18000, &byte, 1), -EFAULT);
		/* A copy works, and maps nothing. */
		assert_int_equal(via_ioas_copy(s.f->ioas, s.f->ioas, 0x10000, 4 * PAGE, RW, VIA_IOAS_FIXED,
					       &copy), 0);
		assert_int_equal(via_dma_read(s.dma, 0x20000, &byte, 1), -EFAULT);
		via_pages_restore(s.pages);
		for (via_iova_t iova = 0x10000; iova < 0x14000; iova += PAGE) {
			assert_int_equal(via_dma_read(s.dma, iova, &byte, 1), after);
			assert_int_equal(via_dma_read(s.dma, iova + 0x10000, &byte, 1), after);
		}
		assert_int_equal(via_dma_read(s.dma, 0x18000, &byte, 1), after);
		if (restores) {
			assert_int_equal(via_dma_write(s.dma, 0x18000, "z", 1), 0);
			assert_int_equal(s.f->mem[0], 'z');
		}
		end(&s);
	}
}

/* What is unmapped, or loses its domain, while it is revoked does not come back. */
static void test_unmap_while_revoked(void **state)
{
	struct setting s;
	uint64_t bytes;
	uint8_t byte;

	begin(&s, *state, &plain_ops, true);
	assert_int_equal(map(&s, 0x10000, 0, 4 * PAGE), 0);
	assert_int_equal(map(&s, 0x20000, 0, 4 * PAGE), 0);
	via_pages_revoke(s.pages);
	assert_int_equal(via_ioas_unmap_range(s.f->ioas, 0x10000, 0x13fff, &bytes), 0);
	via_domain_free(s.domain);
	via_pages_restore(s.pages);
	assert_int_equal(via_dma_read(s.dma, 0x20000, &byte, 1), -EFAULT);
	s.domain = domain_of(s.f->ioas);
	assert_int_equal(via_dma_read(s.dma, 0x20000, &byte, 1), 0);
	assert_int_equal(via_dma_read(s.dma, 0x10000, &byte, 1), -EFAULT);
	end(&s);
}

struct lease_race {
	struct setting *s;
	bool revoked; /* atomic */
};

static void *take_away(void *cookie)
{
	struct lease_race *race = cookie;

	via_pages_revoke(race->s->pages);
	__atomic_store_n(&race->revoked, true, __ATOMIC_SEQ_CST);
	return NULL;
}

static void test_revoke_waits_for_readers(void **state)
{
	const struct timespec pause = { .tv_nsec = 50000000 };
	struct lease_race race;
	struct setting s;
	pthread_t thread;

	begin(&s, *state, &plain_ops, true);
	race = (struct lease_race){ .s = &s };
	assert_int_equal(map(&s, 0x10000, 0, 2 * PAGE), 0);
	via_epoch_enter();
	assert_ptr_equal(via_ioas_lookup(s.f->ioas, 0x10000)->host, s.f->mem);
	assert_int_equal(pthread_create(&thread, NULL, take_away, &race), 0);
	(void)nanosleep(&pause, NULL);
	assert_false(__atomic_load_n(&race.revoked, __ATOMIC_SEQ_CST));
	assert_null(__atomic_load_n(&via_ioas_lookup(s.f->ioas, 0x10000)->host, __ATOMIC_ACQUIRE));
	via_epoch_exit();
	assert_int_equal(pthread_join(thread, NULL), 0);
	end(&s);
}

/* What has been hidden to be unloaded is not shown again by a region that comes back. */
static void test_restore_before_unload(void **state)
{
	struct via_ioas_area area = { .first = 0x1000, .last = 0x1fff, .prot = RW };
	struct setting s;

	begin(&s, *state, &plain_ops, true);
	area.pages = s.pages;
	area.ioas = s.f->ioas;
	assert_int_equal(via_area_load(&area), 0);
	via_area_hide(&area);
	via_pages_revoke(s.pages);
	via_pages_restore(s.pages);
	assert_null(area.fill);
	assert_null(area.host);
	via_area_unload(&area);
	assert_int_equal(via_area_load(&area), 0);
	assert_ptr_equal(area.host, s.f->mem);
	via_area_unload(&area);
	end(&s);
}

static void test_revoke_waits_for_leases(void **state)
{
	const struct timespec pause = { .tv_nsec = 50000000 };
	struct via_dma_seg seg = { 0x10000, PAGE };
	struct via_lease lease;
	struct lease_race race;
	struct setting s;
	pthread_t thread;
	size_t n;

	begin(&s, *state, &plain_ops, true);
	race = (struct lease_race){ .s = &s };
	assert_int_equal(map(&s, 0x10000, 0, 2 * PAGE), 0);
	assert_int_equal(via_dma_lease(s.dma, &seg, 1, VIA_PROT_READ, &lease, 1, &n), 0);
	assert_int_equal(pthread_create(&thread, NULL, take_away, &race), 0);
	(void)nanosleep(&pause, NULL);
	assert_false(__atomic_load_n(&race.revoked, __ATOMIC_SEQ_CST));
	assert_ptr_equal(lease.ptr, s.f->mem);
	via_lease_put(&lease);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_true(race.revoked);
	assert_int_equal(via_dma_lease(s.dma, &seg, 1, VIA_PROT_READ, &lease, 1, &n), -EFAULT);
	end(&s);
}

/* After revoke() nobody sees what is put there. */
struct reader {
	struct setting *s;
	bool stop;	    /* atomic */
	unsigned int n_bad; /* atomic */
	unsigned int n_good;
};

static void *read_on(void *cookie)
{
	struct reader *reader = cookie;
	uint8_t buf[256];

	while (!__atomic_load_n(&reader->stop, __ATOMIC_RELAXED)) {
		if (via_dma_read(reader->s->dma, 0x10000, buf, sizeof(buf)))
			continue;
		__atomic_add_fetch(&reader->n_good, 1, __ATOMIC_RELAXED);
		for (size_t i = 0; i < sizeof(buf); i++)
			if (buf[i] == 0xee)
				__atomic_add_fetch(&reader->n_bad, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void no_log(void *cookie, enum via_log_level level, const char *text)
{
}

static void test_readers_against_revoke(void **state)
{
	pthread_t threads[2];
	struct reader reader;
	struct setting s;

	via_log_set(no_log, NULL, VIA_LOG_ERROR);
	begin(&s, *state, &plain_ops, true);
	reader = (struct reader){ .s = &s };
	assert_int_equal(map(&s, 0x10000, 0, 2 * PAGE), 0);
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, read_on, &reader), 0);
	for (unsigned int i = 0; i < 2000; i++) {
		via_pages_revoke(s.pages);
		memset(s.f->mem, 0xee, 256);
		memset(s.f->mem, 1, 256);
		via_pages_restore(s.pages);
		if (i % 16 == 0)
			(void)sched_yield();
	}
	while (!__atomic_load_n(&reader.n_good, __ATOMIC_RELAXED))
		(void)sched_yield();
	__atomic_store_n(&reader.stop, true, __ATOMIC_RELAXED);
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(reader.n_bad, 0);
	end(&s);
	via_log_set(NULL, NULL, VIA_LOG_WARNING);
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(test_memory_and_registers),
		test(test_case_72_no_access),
		test(test_revoke_and_restore),
		test(test_unmap_while_revoked),
		test(test_revoke_waits_for_leases),
		test(test_revoke_waits_for_readers),
		test(test_restore_before_unload),
		test(test_readers_against_revoke),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
