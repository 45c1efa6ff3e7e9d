/* SPDX-License-Identifier: MIT */
/* Devices at work in an IOAS while domains, regions and maps come and go, and what they have written. */
#include "iommu/test-ioas.h"

#include "memory/guard.h"

#include <pthread.h>

/* Domains and devices -------------------------------------------------------------------- */

static unsigned int n_gone; /* atomic: messages about memory that is not there */

static void on_log(void *cookie, enum via_log_level level, const char *text)
{
	if (strstr(text, "memory behind"))
		__atomic_add_fetch(&n_gone, 1, __ATOMIC_RELAXED);
}

static void test_domains_come_and_go(void **state)
{
	static const struct via_domain_config config = { 0x1000, 0, 0xffffffff, true, true };
	struct via_domain *second;
	struct via_dma *dma;
	uint32_t value = 0;

	via_log_set(on_log, NULL, VIA_LOG_WARNING);
	assert_int_equal(via_dma_new("test", &dma), 0);
	via_dma_enable(dma, true);
	memcpy(mem, "abc", 4);
	assert_int_equal(map_mem(0x1000000, 0, PAGE, RW), 0);
	/* Attached to an IOAS without a domain: nothing is loaded. */
	assert_int_equal(via_dma_attach(dma, ioas), 0);
	assert_int_equal(via_dma_read(dma, 0x1000000, &value, 4), -EFAULT);
	assert_int_equal(attach(), 0);
	assert_int_equal(via_domain_new(ioas, &config, &second), 0);
	assert_int_equal(via_ioas_alignment(ioas), PAGE);
	assert_int_equal(via_dma_attach_domain(dma, dom), 0);
	assert_int_equal(via_dma_read(dma, 0x1000000, &value, 4), 0);
	assert_memory_equal(&value, "abc", 4);
	assert_int_equal(via_dma_attach_domain(dma, second), 0);
	via_domain_free(dom);
	dom = NULL;
	/* What the first one reserved has gone with it, what the second one did has not. */
	assert_int_equal(map_mem(0, 0, PAGE, RW), 0);
	assert_int_equal(map_mem(0x100000000, 0, PAGE, RW), -EINVAL);
	assert_int_equal(via_dma_read(dma, 0x1000000, &value, 4), 0);
	assert_int_equal(via_dma_attach(dma, NULL), 0);
	via_domain_free(second);
	assert_int_equal(via_pages_pinned(all), 0);
	assert_int_equal(via_ioas_alignment(ioas), 1);
	assert_int_equal(map_mem(0x100000000, 0, PAGE, RW), 0);
	via_dma_free(dma);
	via_log_set(NULL, NULL, VIA_LOG_WARNING);
}

static int note(void *cookie, via_iova_t first, via_iova_t last)
{
	struct via_iova_range *range = cookie;

	assert_int_equal(range->first, 0); /* one run */
	*range = (struct via_iova_range){ first, last };
	return 0;
}

static void test_dirty_tracking(void **state)
{
	static const struct via_domain_config config = { 0x1000, 0, UINT64_MAX, true, true };
	struct via_iova_range range = { 0 };
	struct via_dma_seg seg = { 0x1000000, 8 };
	struct via_dirty_store *dirty;
	struct via_domain *second;
	struct via_lease lease;
	struct via_dma *dma;
	uint8_t buf[PAGE] = { 0 };
	size_t n;

	assert_int_equal(via_dma_new("test", &dma), 0);
	via_dma_enable(dma, true);
	assert_int_equal(attach(), 0);
	assert_int_equal(via_domain_new(ioas, &config, &second), 0);
	assert_int_equal(map_mem(0x1000000, 0, 4 * PAGE, RW), 0);
	assert_int_equal(via_dma_attach_domain(dma, dom), 0);
	assert_null(via_domain_dirty(dom));
	assert_int_equal(via_dma_write(dma, 0x1000000, buf, 1), 0);
	assert_int_equal(via_domain_track(dom, true), 0);
	assert_int_equal(via_domain_track(second, true), 0);
	dirty = via_domain_dirty(dom);
	assert_int_equal(via_dirty_store_harvest(dirty, 0, UINT64_MAX, true, note, &range), 0);
	assert_int_equal(range.first, 0);
	/* One byte, and a long one; reads and failed writes do not count. */
	assert_int_equal(via_dma_write(dma, 0x10007ff, buf, 1), 0);
	assert_int_equal(via_dma_write(dma, 0x1000800, buf, 4096), 0);
	assert_int_equal(via_dma_read(dma, 0x1002000, buf, 4096), 0);
	assert_int_equal(via_dma_write(dma, 0x2000000, buf, 1), -EFAULT);
	assert_int_equal(via_dirty_store_harvest(dirty, 0, UINT64_MAX, true, note, &range), 0);
	assert_true(range.first == 0x1000000 && range.last == 0x10017ff);
	/* Not the other domain's device. */
	range.first = 0;
	assert_int_equal(via_dirty_store_harvest(via_domain_dirty(second), 0, UINT64_MAX, true,
						 note, &range), 0);
	assert_int_equal(range.first, 0);
	assert_int_equal(via_dma_lease(dma, &seg, 1, VIA_PROT_WRITE, &lease, 1, &n), -EOPNOTSUPP);
	assert_int_equal(via_dma_lease(dma, &seg, 1, VIA_PROT_READ, &lease, 1, &n), 0);
	via_lease_put(&lease);
	/* What is unmapped is not dirty any more. */
	assert_int_equal(via_dma_write(dma, 0x1003000, buf, 1), 0);
	assert_int_equal(unmap(0x1000000, 4 * PAGE), 4 * PAGE);
	assert_int_equal(via_dirty_store_harvest(dirty, 0, UINT64_MAX, true, note, &range), 0);
	assert_int_equal(range.first, 0);
	/* On again begins anew. */
	assert_int_equal(map_mem(0x1000000, 0, 4 * PAGE, RW), 0);
	assert_int_equal(via_dma_write(dma, 0x1003000, buf, 1), 0);
	assert_int_equal(via_domain_track(dom, false), 0);
	assert_int_equal(via_dma_write(dma, 0x1000000, buf, 1), 0);
	assert_int_equal(via_domain_track(dom, true), 0);
	assert_int_equal(via_dirty_store_harvest(dirty, 0, UINT64_MAX, true, note, &range), 0);
	assert_int_equal(range.first, 0);
	via_dma_free(dma);
	via_domain_free(second);
}

static bool tracked; /* atomic */

static void *track_thread(void *arg)
{
	int rc = via_domain_track(dom, true);

	__atomic_store_n(&tracked, true, __ATOMIC_RELEASE);
	return (void *)(intptr_t)rc;
}

/* What is written through a pointer is not seen: it is over before tracking begins. */
static void test_tracking_waits_for_leases(void **state)
{
	struct via_dma_seg seg = { 0x1000000, 8 };
	struct via_lease lease, read;
	struct via_dma *dma;
	pthread_t thread;
	void *ret;
	size_t n;

	tracked = false;
	assert_int_equal(via_dma_new("test", &dma), 0);
	via_dma_enable(dma, true);
	assert_int_equal(attach(), 0);
	assert_int_equal(map_mem(0x1000000, 0, PAGE, RW), 0);
	assert_int_equal(via_dma_attach_domain(dma, dom), 0);
	assert_int_equal(via_dma_lease(dma, &seg, 1, VIA_PROT_WRITE, &lease, 1, &n), 0);
	assert_int_equal(via_dma_lease(dma, &seg, 1, VIA_PROT_READ, &read, 1, &n), 0);
	assert_int_equal(pthread_create(&thread, NULL, track_thread, NULL), 0);
	for (int i = 0; i < 50; i++) {
		usleep(1000);
		assert_false(__atomic_load_n(&tracked, __ATOMIC_ACQUIRE));
	}
	via_lease_put(&lease);
	assert_int_equal(pthread_join(thread, &ret), 0);
	assert_int_equal((intptr_t)ret, 0);
	via_lease_put(&read);
	via_dma_free(dma);
}

/* Regions -------------------------------------------------------------------------------- */

/* A page of memory, and a page of registers. */
struct region {
	uint8_t *memory;
	uint8_t registers[PAGE];
	unsigned int n_accesses, n_written;
	bool released;
};

static uint8_t *region_memory(void *cookie, uint64_t offset, uint64_t *ret_len)
{
	struct region *r = cookie;

	*ret_len = PAGE - offset % PAGE;
	return offset < PAGE ? r->memory + offset : NULL;
}

static int region_access(void *cookie, uint64_t offset, void *buf, size_t len, bool write)
{
	struct region *r = cookie;

	r->n_accesses++;
	memcpy(write ? (void *)(r->registers + offset - PAGE) : buf,
	       write ? buf : (void *)(r->registers + offset - PAGE), len);
	return 0;
}

static void region_written(void *cookie)
{
	((struct region *)cookie)->n_written++;
}

static void region_release(void *cookie)
{
	((struct region *)cookie)->released = true;
}

static void test_dma_to_a_region(void **state)
{
	static const struct via_pages_region_ops ops = { region_memory, region_access,
							 region_written, region_release };
	struct region r = { .memory = mem + 8 * PAGE };
	struct via_dma_seg seg = { 0x1000000, 8 };
	struct via_pages *pages;
	struct via_lease lease;
	struct via_dma *dma;
	uint8_t buf[3 * PAGE], back[3 * PAGE];
	via_iova_t iova = 0x1000000;
	uint64_t bytes;
	size_t n;

	for (size_t i = 0; i < sizeof(buf); i++)
		buf[i] = (uint8_t)(i * 5 + i / 251);
	assert_int_equal(via_dma_new("test", &dma), 0);
	via_dma_enable(dma, true);
	assert_int_equal(attach(), 0);
	assert_int_equal(via_dma_attach_domain(dma, dom), 0);
	assert_int_equal(via_pages_new_region(&ops, &r, 0, 2 * PAGE, true, &pages), 0);
	assert_int_equal(via_ioas_map_pages(ioas, pages, 0, 2 * PAGE, RW, FIXED, &iova, NULL), 0);
	assert_int_equal(map_mem(0x1002000, 0, PAGE, RW), 0);
	/* Memory of the region, its registers, and memory in one access. */
	assert_int_equal(via_dma_write(dma, 0x1000000, buf, sizeof(buf)), 0);
	assert_memory_equal(mem + 8 * PAGE, buf, PAGE);
	assert_memory_equal(r.registers, buf + PAGE, PAGE);
	assert_memory_equal(mem, buf + 2 * PAGE, PAGE);
	assert_int_equal(r.n_written, 1);
	assert_int_equal(r.n_accesses, 1);
	assert_int_equal(via_dma_read(dma, 0x1000000, back, sizeof(back)), 0);
	assert_memory_equal(back, buf, sizeof(buf));
	assert_int_equal(via_dma_write(dma, 0x1000010, buf, 4), 0);
	assert_int_equal(r.n_written, 2);
	assert_int_equal(via_dma_write(dma, 0x1001010, buf, 4), 0);
	assert_int_equal(r.n_accesses, 3);
	/* Written by a lease, nobody would be told. */
	assert_int_equal(via_dma_lease(dma, &seg, 1, VIA_PROT_WRITE, &lease, 1, &n), -EOPNOTSUPP);
	seg.iova = 0x1001000;
	assert_int_equal(via_dma_lease(dma, &seg, 1, VIA_PROT_READ, &lease, 1, &n), -EOPNOTSUPP);

	assert_int_equal(via_ioas_cut(ioas, 0x1000fff, false), -EOPNOTSUPP);
	via_pages_revoke(pages);
	assert_int_equal(via_dma_write(dma, 0x1000010, buf, 4), -EFAULT);
	assert_int_equal(via_dma_write(dma, 0x1001010, buf, 4), -EFAULT);
	assert_int_equal(copy(0x1000000, PAGE, 0, RW), 0);
	via_pages_restore(pages);
	assert_int_equal(via_dma_write(dma, 0x1000010, buf, 4), 0);
	assert_int_equal(via_dma_write(dma, 0x1001010, buf, 4), 0);
	via_pages_put(pages);
	assert_int_equal(unmap(0x1000000, 2 * PAGE), 2 * PAGE);
	assert_false(r.released);
	/* Released with the last area, before the call returns. */
	assert_int_equal(via_ioas_unmap_range(other, 0, UINT64_MAX, &bytes), 0);
	assert_true(r.released);
	via_dma_free(dma);
}

/* Unmap against devices --------------------------------------------------------------------- */

struct racer {
	struct via_dma *dma;
	bool stop;     /* atomic */
	uint64_t hits; /* atomic */
};

static void *race(void *arg)
{
	struct racer *r = arg;
	uint64_t buf[64] = { 0 }, hits = 0;

	while (!__atomic_load_n(&r->stop, __ATOMIC_RELAXED)) {
		struct via_dma_seg seg = { 0x1000000, 64 };
		struct via_lease lease;
		size_t n;

		hits += !via_dma_write(r->dma, 0x1000000, buf, 8);
		(void)via_dma_read(r->dma, 0x1000800, buf, sizeof(buf));
		/* Over the end of one area into the next. */
		(void)via_dma_read(r->dma, 0x1000fc0, buf, 128);
		if (!via_dma_lease(r->dma, &seg, 1, VIA_PROT_READ, &lease, 1, &n)) {
			(void)__atomic_load_n((uint64_t *)lease.ptr, __ATOMIC_RELAXED);
			via_lease_put(&lease);
		}
	}
	__atomic_add_fetch(&r->hits, hits, __ATOMIC_RELAXED);
	return NULL;
}

/* 155: the memory is taken away as soon as UNMAP has returned; nobody must notice. */
static void test_case_155_no_access_after_unmap(void **state)
{
	struct racer r = { 0 };
	pthread_t threads[3];

	assert_int_equal(via_guard_install(), 0);
	via_log_set(on_log, NULL, VIA_LOG_WARNING);
	n_gone = 0;
	assert_int_equal(attach(), 0);
	assert_int_equal(via_dma_new("test", &r.dma), 0);
	via_dma_enable(r.dma, true);
	assert_int_equal(via_dma_attach_domain(r.dma, dom), 0);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, race, &r), 0);
	for (uint32_t round = 0; round < 400; round++) {
		uint32_t page = round % 2 * 2;

		assert_int_equal(map_mem(0x1000000, page, PAGE, RW), 0);
		assert_int_equal(map_mem(0x1001000, page + 1, PAGE, RW), 0);
		if (round % 4 == 0)
			usleep(100);
		/* In one piece, after a cut, or by the last domain that goes. */
		if (round % 8 == 7)
			assert_int_equal(via_ioas_cut(ioas, 0x1000000 + 2047, false), 0);
		assert_int_equal(unmap(0x1000000, 2 * PAGE), 2 * PAGE);
		assert_int_equal(mprotect(mem + page * PAGE, 2 * PAGE, PROT_NONE), 0);
		if (round % 4 == 0)
			usleep(20);
		assert_int_equal(mprotect(mem + page * PAGE, 2 * PAGE, PROT_READ | PROT_WRITE), 0);
	}
	__atomic_store_n(&r.stop, true, __ATOMIC_RELAXED);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_true(r.hits > 0);
	assert_int_equal(n_gone, 0);
	via_dma_free(r.dma);
	via_log_set(NULL, NULL, VIA_LOG_WARNING);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_domains_come_and_go),
		TEST(test_dirty_tracking),
		TEST(test_tracking_waits_for_leases),
		TEST(test_dma_to_a_region),
		TEST(test_case_155_no_access_after_unmap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
