/* SPDX-License-Identifier: MIT */
/*
 * Accesses at the edges of areas, of IOVA and of their own lives: one byte of a further
 * area, the last address that there is, calls that meet a detachment.
 */
#include "base/epoch.h"
#include "iommu/ioas-private.h"
#include "iommu/suspend.h"
#include "iommu/test-pages.h"

#include <pthread.h>
#include <time.h>

#define IOVA 0x10000u
#define SHORT 30u   /* ms that something may be parked */
#define LONG 60000u /* never in a test */

/* A device that unpins one range if it is asked to. */
struct device {
	struct via_access *access;
	via_iova_t iova;
	uint64_t len; /* 0: nothing is pinned */
	unsigned int calls;
};

static void on_unmap(void *cookie, via_iova_t iova, uint64_t len)
{
	struct device *d = cookie;

	d->calls++;
	if (d->len)
		assert_int_equal(via_access_unpin(d->access, d->iova, d->len, 0), 0);
	d->len = 0;
}

static const struct via_access_ops pinning = {on_unmap};

static void attach(struct device *d, struct via_ioas *ioas)
{
	*d = (struct device){0};
	assert_int_equal(via_access_new(&pinning, d, &d->access), 0);
	assert_int_equal(via_access_attach(d->access, ioas), 0);
}

static int pin(struct device *d, via_iova_t iova, uint64_t len, unsigned int flags)
{
	struct via_piece *pieces;
	size_t n;
	int rc = via_access_pin(d->access, iova, len, flags, &pieces, &n);

	if (rc)
		return rc;
	via_pieces_free(pieces, n);
	d->iova = iova;
	d->len = len;
	return 0;
}

static void unmap_all(struct via_ioas *ioas)
{
	uint64_t bytes;

	assert_int_equal(via_ioas_unmap_range(ioas, 0, UINT64_MAX, &bytes), 0);
}

/* A range that has one byte of an area counts for it. */
static void test_one_byte_of_an_area(void **state)
{
	struct fixture *f = *state;
	struct device d;
	uint64_t bytes;

	attach(&d, f->ioas);
	assert_int_equal(map_at(f, f->ioas, IOVA, 0, PAGE, RW), 0);
	assert_int_equal(map_at(f, f->ioas, IOVA + PAGE, PAGE, 2 * PAGE, RW), 0);
	assert_int_equal(pin(&d, IOVA, PAGE + 1, 0), 0);
	assert_int_equal(via_ioas_find(f->ioas, IOVA + PAGE)->n_accesses, 1);
	assert_int_equal(via_ioas_unmap_range(f->ioas, IOVA + PAGE, IOVA + 3 * PAGE - 1, &bytes),
			 0);
	assert_int_equal(bytes, 2 * PAGE);
	assert_int_equal(d.calls, 1);
	assert_int_equal(via_user_pages(f->user), 0);
	unmap_all(f->ioas);
	/* And for a part of one that is cut. */
	assert_int_equal(map_at(f, f->ioas, IOVA, 0, 2 * PAGE, RW), 0);
	assert_int_equal(pin(&d, IOVA, PAGE + 1, 0), 0);
	assert_int_equal(via_ioas_cut(f->ioas, IOVA + PAGE - 1, true), 0);
	assert_int_equal(via_ioas_find(f->ioas, IOVA + PAGE)->n_accesses, 1);
	assert_int_equal(via_ioas_unmap_range(f->ioas, IOVA + PAGE, IOVA + 2 * PAGE - 1, &bytes),
			 0);
	assert_int_equal(d.calls, 2);
	unmap_all(f->ioas);
	via_access_free(d.access);
}

/* A part of the area that has the last address of all. */
static void test_part_of_the_last_area(void **state)
{
	const via_iova_t iova = -(via_iova_t)(2 * PAGE);
	struct fixture *f = *state;
	struct device d;

	attach(&d, f->ioas);
	assert_int_equal(map_at(f, f->ioas, iova, 0, 2 * PAGE, RW), 0);
	assert_int_equal(pin(&d, iova, PAGE, 0), 0);
	assert_int_equal(via_user_pages(f->user), 1);
	unmap_all(f->ioas);
	assert_int_equal(d.calls, 1);
	via_access_free(d.access);
}

/* A copy from the last byte of an area on: the next one's is the next area's. */
static void test_copy_across_a_last_byte(void **state)
{
	struct fixture *f = *state;
	struct via_pages *pages = pages_of(f, 0, 2 * PAGE);
	struct via_access *access;
	via_iova_t iova = IOVA;
	uint8_t bytes[2];

	assert_int_equal(
		via_ioas_map_pages(f->ioas, pages, 0, PAGE, RW, VIA_IOAS_FIXED, &iova, NULL), 0);
	via_pages_put(pages);
	assert_int_equal(map_at(f, f->ioas, IOVA + PAGE, 5 * PAGE, PAGE, RW), 0);
	assert_int_equal(via_access_new(NULL, NULL, &access), 0);
	assert_int_equal(via_access_attach(access, f->ioas), 0);
	assert_int_equal(via_access_rw(access, IOVA + PAGE - 1, bytes, 2, false), 0);
	assert_int_equal(bytes[0], 1);
	assert_int_equal(bytes[1], 6);
	via_access_free(access);
}

/* A long copy does not stay in one read section. */
static size_t longest;

static int measured_readv(struct via_mm *mm, const struct iovec *local, size_t n_local,
			  const struct iovec *remote, size_t n_remote)
{
	size_t len = 0;

	for (size_t i = 0; i < n_remote; i++)
		len += remote[i].iov_len;
	longest = len > longest ? len : longest;
	memset(local[0].iov_base, 0, local[0].iov_len);
	return 0;
}

static void test_sections_of_a_copy(void **state)
{
	struct fixture *f = *state;
	struct via_mm_ops ops = *f->mm.ops;
	struct via_access *access;
	static uint8_t buf[65537];

	ops.readv = measured_readv;
	f->mm.ops = &ops;
	longest = 0;
	assert_int_equal(map_at(f, f->ioas, IOVA, 0, 32 * PAGE, RW), 0);
	assert_int_equal(via_access_new(NULL, NULL, &access), 0);
	assert_int_equal(via_access_attach(access, f->ioas), 0);
	assert_int_equal(via_access_rw(access, IOVA, buf, sizeof(buf), false), 0);
	assert_int_equal(longest, 65536);
	via_access_free(access);
}

/* While an area is being mapped there is nothing at its place. */
static void test_incomplete_area(void **state)
{
	struct fixture *f = *state;
	struct device d;
	uint8_t byte;

	attach(&d, f->ioas);
	assert_int_equal(map_at(f, f->ioas, IOVA, 0, PAGE, RW), 0);
	via_ioas_find(f->ioas, IOVA)->complete = false;
	assert_int_equal(pin(&d, IOVA, PAGE, 0), -ENOENT);
	assert_int_equal(via_access_rw(d.access, IOVA, &byte, 1, false), -ENOENT);
	via_ioas_find(f->ioas, IOVA)->complete = true;
	assert_int_equal(pin(&d, IOVA, PAGE, 0), 0);
	unmap_all(f->ioas);
	via_access_free(d.access);
}

/* The area may be written, but what has been put behind it may not. */
static void test_pages_that_may_not_be_written(void **state)
{
	struct fixture *f = *state;
	struct via_pages *pages;
	struct device d;
	uint8_t byte = 9;

	attach(&d, f->ioas);
	assert_int_equal(map_at(f, f->ioas, IOVA, 0, PAGE, RW), 0);
	assert_int_equal(via_pages_new_memory(f->space, (uintptr_t)f->mem + PAGE, PAGE, false,
					      &f->owner, &pages),
			 0);
	assert_int_equal(via_ioas_replace(f->ioas, IOVA, pages), 0);
	assert_int_equal(pin(&d, IOVA, PAGE, VIA_ACCESS_WRITE), -EPERM);
	assert_int_equal(via_access_rw(d.access, IOVA, &byte, 1, true), -EPERM);
	assert_int_equal(f->mem[PAGE], 2);
	assert_int_equal(via_access_rw(d.access, IOVA, &byte, 1, false), 0);
	assert_int_equal(byte, 2);
	unmap_all(f->ioas);
	via_access_free(d.access);
}

/* What an access that is attached to nothing has: no pins. */
static void test_unattached(void **state)
{
	struct via_page_identity identity;
	struct device d = {0};

	assert_int_equal(via_access_new(&pinning, &d, &d.access), 0);
	assert_int_equal(via_access_unpin(d.access, IOVA, PAGE, 0), -ENOENT);
	assert_int_equal(via_access_identities(d.access, IOVA, PAGE, &identity), -ENOENT);
	via_access_free(d.access);
}

/* An access that leaves its IOAS cannot be sent to another one. */
static struct via_ioas *elsewhere;
static int rc_replace;

static void on_unmap_replace(void *cookie, via_iova_t iova, uint64_t len)
{
	struct device *d = cookie;

	if (!d->calls++)
		rc_replace = via_access_replace(d->access, elsewhere);
}

static void test_replace_while_it_leaves(void **state)
{
	static const struct via_access_ops ops = {on_unmap_replace};
	struct fixture *f = *state;
	struct device d = {0};

	elsewhere = f->ioas;
	rc_replace = 1;
	assert_int_equal(via_access_new(&ops, &d, &d.access), 0);
	assert_int_equal(via_access_attach(d.access, f->ioas), 0);
	via_access_detach(d.access);
	assert_int_equal(d.calls, 1);
	assert_int_equal(rc_replace, -EBUSY);
	assert_null(via_access_ioas(d.access));
	via_access_free(d.access);
}

/* Parked memory ---------------------------------------------------------------- */

/* Two areas, of which the second is parked, for so many ms. */
static void park_second(struct fixture *f, via_iova_t iova, unsigned int ms)
{
	uint64_t size;

	via_ioas_set_vaddr_wait(f->ioas, ms);
	assert_int_equal(map_at(f, f->ioas, iova, 0, PAGE, RW), 0);
	assert_int_equal(map_at(f, f->ioas, iova + PAGE, PAGE, PAGE, RW), 0);
	assert_int_equal(via_ioas_suspend(f->ioas, iova + PAGE, iova + 2 * PAGE - 1, &size), 0);
	assert_true(via_ioas_find(f->ioas, iova + PAGE)->parked);
}

/* It is waited for even if only one byte of it is wanted, or the last there is; not in a section.
 */
static void test_patience(void **state)
{
	const via_iova_t high = -(via_iova_t)(2 * PAGE);
	struct fixture *f = *state;
	struct device d;
	uint8_t byte;

	(void)alarm(20);
	attach(&d, f->ioas);
	park_second(f, IOVA, SHORT);
	assert_int_equal(pin(&d, IOVA, PAGE + 1, 0), -EBUSY);
	assert_int_equal(via_access_rw(d.access, IOVA + PAGE, &byte, 1, false), -EBUSY);
	via_epoch_enter();
	assert_int_equal(pin(&d, IOVA + PAGE, PAGE, 0), -EBUSY);
	via_epoch_exit();
	unmap_all(f->ioas);
	park_second(f, high, SHORT);
	assert_int_equal(pin(&d, high, 2 * PAGE, 0), -EBUSY);
	unmap_all(f->ioas);
	via_access_free(d.access);
	(void)alarm(0);
}

static void nap(long ms)
{
	const struct timespec ts = {.tv_nsec = ms * 1000000};

	(void)nanosleep(&ts, NULL);
}

static void *copy(void *cookie)
{
	uint8_t byte;

	return (void *)(intptr_t)via_access_rw(cookie, IOVA + PAGE, &byte, 1, false);
}

/* A copy that waits ends with the access's attachment, although the memory is parked still. */
static void test_detach_ends_a_copy(void **state)
{
	struct fixture *f = *state;
	struct device d;
	pthread_t thread;
	void *ret;

	(void)alarm(20);
	attach(&d, f->ioas);
	park_second(f, IOVA, LONG);
	assert_int_equal(pthread_create(&thread, NULL, copy, d.access), 0);
	nap(50);
	via_access_detach(d.access);
	assert_int_equal(pthread_join(thread, &ret), 0);
	assert_int_equal((intptr_t)ret, -ENOENT);
	unmap_all(f->ioas);
	via_access_free(d.access);
	(void)alarm(0);
}

/* A pin has found the IOAS, and waits for its lock while the access leaves. */
static void *pin_one(void *cookie)
{
	return (void *)(intptr_t)pin(cookie, IOVA, PAGE, 0);
}

static void *detach(void *cookie)
{
	struct device *d = cookie;

	via_access_detach(d->access);
	return NULL;
}

static void test_detach_meets_a_pin(void **state)
{
	struct fixture *f = *state;
	pthread_t threads[2];
	struct device d;
	void *ret;

	attach(&d, f->ioas);
	assert_int_equal(map_at(f, f->ioas, IOVA, 0, PAGE, RW), 0);
	pthread_rwlock_wrlock(&f->ioas->domains_lock);
	assert_int_equal(pthread_create(&threads[0], NULL, pin_one, &d), 0);
	nap(50);
	assert_int_equal(pthread_create(&threads[1], NULL, detach, &d), 0);
	while (via_access_ioas(d.access))
		nap(1);
	pthread_rwlock_unlock(&f->ioas->domains_lock);
	assert_int_equal(pthread_join(threads[0], &ret), 0);
	assert_int_equal((intptr_t)ret, -ENOENT);
	assert_int_equal(pthread_join(threads[1], NULL), 0);
	unmap_all(f->ioas);
	via_access_free(d.access);
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(test_one_byte_of_an_area),
		test(test_part_of_the_last_area),
		test(test_copy_across_a_last_byte),
		test(test_sections_of_a_copy),
		test(test_incomplete_area),
		test(test_pages_that_may_not_be_written),
		test(test_unattached),
		test(test_replace_while_it_leaves),
		test(test_patience),
		test(test_detach_ends_a_copy),
		test(test_detach_meets_a_pin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
