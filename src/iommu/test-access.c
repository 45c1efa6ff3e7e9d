/* SPDX-License-Identifier: MIT */
/* Accesses: emulated devices that pin ranges of an IOAS and copy from and to it. */
#include "iommu/test-pages.h"

#include <pthread.h>
#include <time.h>
#include <sched.h>

/* An emulated device: remembers what it is told, and unpins one range if it is willing. */
struct driver {
	struct via_access *access;
	bool ignores;
	via_iova_t iova; /* what it has pinned; len 0: nothing */
	uint64_t len;
	unsigned int n_pins;
	unsigned int calls;
	via_iova_t called_iova;
	uint64_t called_len;
};

static void on_unmap(void *cookie, via_iova_t iova, uint64_t len)
{
	struct driver *d = cookie;

	d->calls++;
	d->called_iova = iova;
	d->called_len = len;
	if (d->ignores)
		return;
	for (; d->n_pins; d->n_pins--)
		assert_int_equal(via_access_unpin(d->access, d->iova, d->len, 0), 0);
}

static const struct via_access_ops pinning = { on_unmap };

static void driver_init(struct driver *d, struct via_ioas *ioas)
{
	*d = (struct driver){ 0 };
	assert_int_equal(via_access_new(&pinning, d, &d->access), 0);
	if (ioas)
		assert_int_equal(via_access_attach(d->access, ioas), 0);
}

static int pin(struct driver *d, via_iova_t iova, uint64_t len, unsigned int flags)
{
	struct via_piece *pieces;
	uint64_t sum = 0;
	size_t n;
	int rc = via_access_pin(d->access, iova, len, flags, &pieces, &n);

	if (rc)
		return rc;
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(pieces[i].offset, sum);
		sum += pieces[i].len;
	}
	assert_int_equal(sum, len);
	via_pieces_free(pieces, n);
	return 0;
}

static int unpin(struct driver *d, via_iova_t iova, uint64_t len)
{
	return via_access_unpin(d->access, iova, len, 0);
}

static int unmap_all(struct fixture *f)
{
	uint64_t bytes;

	return via_ioas_unmap_range(f->ioas, 0, UINT64_MAX, &bytes);
}

static void test_case_64_arguments(void **state)
{
	struct fixture *f = *state;
	struct driver d;

	driver_init(&d, NULL);
	assert_int_equal(pin(&d, 0x10000, PAGE, 0), -ENOENT);
	assert_int_equal(via_access_rw(d.access, 0x10000, d.access, 8, false), -ENOENT);
	assert_int_equal(via_access_replace(d.access, f->ioas), -ENOENT);
	assert_null(via_access_ioas(d.access));
	assert_int_equal(via_access_attach(d.access, f->ioas), 0);
	assert_ptr_equal(via_access_ioas(d.access), f->ioas);
	assert_int_equal(via_access_attach(d.access, f->ioas), -EINVAL);
	assert_int_equal(pin(&d, 0x10000, 0, 0), -EINVAL);
	assert_int_equal(pin(&d, UINT64_MAX, 2, 0), -EOVERFLOW);
	assert_int_equal(via_access_rw(d.access, 0x10000, d.access, 0, false), -EINVAL);
	assert_int_equal(via_access_rw(d.access, UINT64_MAX, d.access, 2, false), -EOVERFLOW);
	via_access_free(d.access);
}

/* The last page that there is: no area follows, and that at 0 is none of its. */
static void test_last_page(void **state)
{
	const via_iova_t last_page = -(via_iova_t)PAGE;
	struct fixture *f = *state;
	struct driver d;
	uint64_t bytes;

	assert_int_equal(map_at(f, f->ioas, 0, 0, PAGE, RW), 0);
	assert_int_equal(map_at(f, f->ioas, last_page, PAGE, PAGE, RW), 0);
	driver_init(&d, f->ioas);
	assert_int_equal(pin(&d, last_page, PAGE, 0), 0);
	assert_int_equal(via_ioas_find(f->ioas, last_page)->n_accesses, 1);
	assert_int_equal(via_ioas_find(f->ioas, 0)->n_accesses, 0);
	assert_int_equal(via_ioas_unmap_range(f->ioas, 0, PAGE - 1, &bytes), 0);
	assert_int_equal(d.calls, 0);
	assert_int_equal(unpin(&d, last_page, PAGE), 0);
	via_access_free(d.access);
	assert_int_equal(unmap_all(f), 0);
}

/* What another device finds while this one is told of an unmap. */
struct onlooker {
	struct driver d; /* what is told; first */
	struct via_access *other;
	int rc;
};

static void on_unmap_look(void *cookie, via_iova_t iova, uint64_t len)
{
	struct onlooker *o = cookie;
	uint8_t byte;

	if (o->d.n_pins)
		o->rc = via_access_rw(o->other, iova, &byte, 1, false);
	on_unmap(&o->d, iova, len);
}

static void test_area_that_goes(void **state)
{
	static const struct via_access_ops looking = { on_unmap_look };
	struct fixture *f = *state;
	struct onlooker o = { .d = { .iova = 0x10000, .len = PAGE, .n_pins = 1 } };

	assert_int_equal(map_at(f, f->ioas, 0x10000, 0, PAGE, RW), 0);
	assert_int_equal(via_access_new(&looking, &o, &o.d.access), 0);
	assert_int_equal(via_access_new(NULL, NULL, &o.other), 0);
	assert_int_equal(via_access_attach(o.d.access, f->ioas), 0);
	assert_int_equal(via_access_attach(o.other, f->ioas), 0);
	assert_int_equal(pin(&o.d, 0x10000, PAGE, 0), 0);
	assert_int_equal(unmap_all(f), 0);
	assert_int_equal(o.d.calls, 1);
	assert_int_equal(o.rc, -EINVAL);
	via_access_free(o.d.access);
	via_access_free(o.other);
}

/* In the order in which a kernel finds them. */
static void test_case_65_refused_pins(void **state)
{
	struct fixture *f = *state;
	struct driver d;

	assert_int_equal(map_at(f, f->ioas, 0x10000, 0, 3 * PAGE, RW), 0);
	assert_int_equal(map_at(f, f->ioas, 0x30000, 8 * PAGE, PAGE, VIA_PROT_READ), 0);
	assert_int_equal(map_at(f, f->ioas, 0x31000, 9 * PAGE, PAGE, RW), 0);
	assert_int_equal(map_at(f, f->ioas, 0x32000, 10 * PAGE, PAGE, VIA_PROT_WRITE), 0);
	driver_init(&d, f->ioas);
	assert_int_equal(pin(&d, 0x10000, 100, 0), 0);
	assert_int_equal(pin(&d, 0x10100, 100, 0), -EINVAL);
	assert_int_equal(pin(&d, 0x10800, PAGE, 0), -EINVAL);
	assert_int_equal(pin(&d, 0x30000, PAGE, VIA_ACCESS_WRITE), -EPERM);
	assert_int_equal(pin(&d, 0x32000, PAGE, 0), -EPERM);
	assert_int_equal(pin(&d, 0x31000, 2 * PAGE, 0), -EPERM);
	assert_int_equal(pin(&d, 0x11000, 2 * PAGE + 1, 0), -ENOENT);
	assert_int_equal(pin(&d, 0x13000, 1, 0), -ENOENT);
	/* Only the first pin is still there. */
	assert_int_equal(via_user_pages(f->user), 1);
	assert_int_equal(unpin(&d, 0x10000, PAGE), -ENOENT);
	assert_int_equal(unpin(&d, 0x10000, 100), 0);
	assert_int_equal(unpin(&d, 0x10000, 100), -ENOENT);
	/* Bad memory before the hole, or before what is not allowed, is what is told. */
	assert_int_equal(munmap(f->mem + 9 * PAGE, PAGE), 0);
	assert_int_equal(pin(&d, 0x31000, 2 * PAGE, 0), -EFAULT);
	assert_int_equal(pin(&d, 0x12000, 2 * PAGE, 0), -ENOENT);
	assert_int_equal(via_user_pages(f->user), 0);
	assert_int_equal(pin(&d, 0x30000, 2 * PAGE, 0), -EFAULT);
	assert_int_equal(unmap_all(f), 0);
	assert_int_equal(d.calls, 0);
	via_access_free(d.access);
}

static void test_case_66_alignment(void **state)
{
	struct fixture *f = *state;
	struct via_access *copies;
	struct driver d;

	assert_int_equal(map_at(f, f->ioas, 0x800, 0, PAGE, RW), 0);
	driver_init(&d, NULL);
	assert_int_equal(via_access_attach(d.access, f->ioas), -EADDRINUSE);
	assert_null(via_access_ioas(d.access));
	assert_int_equal(via_access_new(NULL, NULL, &copies), 0);
	assert_int_equal(via_access_attach(copies, f->ioas), 0);
	assert_int_equal(via_ioas_alignment(f->ioas), 1);
	assert_int_equal(unmap_all(f), 0);
	assert_int_equal(via_access_attach(d.access, f->ioas), 0);
	assert_int_equal(via_ioas_alignment(f->ioas), PAGE);
	assert_int_equal(map_at(f, f->ioas, 0x800, 0, PAGE, RW), -EINVAL);
	via_access_free(d.access);
	assert_int_equal(via_ioas_alignment(f->ioas), 1);
	via_access_free(copies);
}

static void test_case_67_copies(void **state)
{
	struct fixture *f = *state;
	struct via_access *access;
	uint8_t buf[3 * PAGE];

	assert_int_equal(via_guard_install(), 0);
	assert_int_equal(via_access_new(NULL, NULL, &access), 0);
	assert_int_equal(via_access_attach(access, f->ioas), 0);
	assert_int_equal(map_at(f, f->ioas, 0x10000, 100, PAGE, RW), 0);
	assert_int_equal(map_at(f, f->ioas, 0x11000, 5 * PAGE, PAGE, VIA_PROT_READ), 0);
	assert_int_equal(map_at(f, f->ioas, 0x20000, 6 * PAGE, PAGE, VIA_PROT_WRITE), 0);
	assert_int_equal(via_access_rw(access, 0x10010, buf, 2 * PAGE - 0x10, false), 0);
	assert_memory_equal(buf, f->mem + 100 + 0x10, PAGE - 0x10);
	assert_memory_equal(buf + PAGE - 0x10, f->mem + 5 * PAGE, PAGE);
	/* Up to the hole, or to where it may not write. */
	memset(buf, 0xaa, sizeof(buf));
	assert_int_equal(via_access_rw(access, 0x20000 + PAGE - 50, buf, 100, true), -ENOENT);
	assert_memory_equal(f->mem + 7 * PAGE - 50, buf, 50);
	assert_int_equal(f->mem[7 * PAGE - 51], 7);
	assert_int_equal(via_access_rw(access, 0x11000 - 50, buf, 100, true), -EPERM);
	assert_memory_equal(f->mem + 100 + PAGE - 50, buf, 50);
	assert_int_equal(f->mem[5 * PAGE], 6);
	assert_int_equal(via_access_rw(access, 0x20000, buf, 1, false), -EPERM);
	/* It does not pin, so that it charges nothing. */
	assert_int_equal(via_user_pages(f->user), 0);
	assert_int_equal(munmap(f->mem + 5 * PAGE, PAGE), 0);
	assert_int_equal(via_access_rw(access, 0x11000, buf, 1, false), -EFAULT);
	assert_int_equal(via_access_pin(access, 0x10000, PAGE, 0, NULL, NULL), -EINVAL);
	via_access_free(access);
	assert_int_equal(unmap_all(f), 0);
}

static void test_case_68_unmap_tells(void **state)
{
	struct fixture *f = *state;
	struct driver d, other;
	uint64_t bytes;

	driver_init(&d, f->ioas);
	driver_init(&other, f->ioas);
	assert_int_equal(map_at(f, f->ioas, 0x10000, 0, 4 * PAGE, RW), 0);
	assert_int_equal(map_at(f, f->ioas, 0x14000, 4 * PAGE, 4 * PAGE, RW), 0);
	/* Nothing pinned there: nobody is told. */
	d = (struct driver){ .access = d.access, .iova = 0x12000, .len = PAGE, .n_pins = 1 };
	assert_int_equal(pin(&d, d.iova, d.len, VIA_ACCESS_WRITE), 0);
	assert_int_equal(via_ioas_unmap_range(f->ioas, 0x14000, 0x17fff, &bytes), 0);
	assert_int_equal(d.calls, 0);
	/* The area, not what is pinned of it. */
	assert_int_equal(via_ioas_unmap_range(f->ioas, 0x10000, 0x13fff, &bytes), 0);
	assert_int_equal(bytes, 4 * PAGE);
	assert_int_equal(d.calls, 1);
	assert_int_equal(d.called_iova, 0x10000);
	assert_int_equal(d.called_len, 4 * PAGE);
	assert_int_equal(other.calls, 1);
	via_access_free(d.access);
	via_access_free(other.access);
}

static void test_case_69_unmap_is_ignored(void **state)
{
	struct fixture *f = *state;
	struct driver d;
	uint64_t bytes;

	driver_init(&d, f->ioas);
	d.ignores = true;
	assert_int_equal(map_at(f, f->ioas, 0x10000, 0, 4 * PAGE, RW), 0);
	assert_int_equal(pin(&d, 0x11000, PAGE, 0), 0);
	assert_int_equal(via_ioas_unmap_range(f->ioas, 0x10000, 0x13fff, &bytes), -EDEADLK);
	assert_in_range(d.calls, 100, 102);
	assert_int_equal(via_user_pages(f->user), 1);
	assert_int_equal(unpin(&d, 0x11000, PAGE), 0);
	assert_int_equal(via_ioas_unmap_range(f->ioas, 0x10000, 0x13fff, &bytes), 0);
	via_access_free(d.access);
}

static void test_case_70_same_range_twice(void **state)
{
	struct fixture *f = *state;
	struct driver d;

	driver_init(&d, f->ioas);
	assert_int_equal(map_at(f, f->ioas, 0x10000, 0, 4 * PAGE, RW), 0);
	d.iova = 0x10000;
	d.len = 2 * PAGE;
	assert_int_equal(pin(&d, d.iova, d.len, 0), 0);
	assert_int_equal(pin(&d, d.iova, d.len, VIA_ACCESS_WRITE), 0);
	assert_int_equal(via_user_pages(f->user), 2);
	assert_int_equal(unpin(&d, d.iova, d.len), 0);
	d.n_pins = 1;
	assert_int_equal(via_user_pages(f->user), 2);
	assert_int_equal(unmap_all(f), 0);
	assert_int_equal(d.calls, 1);
	via_access_free(d.access);
}

static void test_case_71_replace(void **state)
{
	struct fixture *f = *state;
	struct via_ioas *other;
	struct driver d;
	uint64_t bytes;

	assert_int_equal(via_ioas_new_bare(&other), 0);
	driver_init(&d, f->ioas);
	assert_int_equal(map_at(f, f->ioas, 0x10000, 0, PAGE, RW), 0);
	assert_int_equal(map_at(f, other, 0x10800, 8 * PAGE, PAGE, RW), 0);
	d.iova = 0x10000;
	d.len = PAGE;
	d.n_pins = 1;
	assert_int_equal(pin(&d, d.iova, d.len, 0), 0);
	assert_int_equal(via_access_replace(d.access, f->ioas), 0);
	assert_int_equal(d.calls, 0);
	/* One that does not suit changes nothing. */
	assert_int_equal(via_access_replace(d.access, other), -EADDRINUSE);
	assert_int_equal(d.calls, 0);
	assert_ptr_equal(via_access_ioas(d.access), f->ioas);
	assert_int_equal(via_ioas_unmap_range(other, 0, UINT64_MAX, &bytes), 0);
	assert_int_equal(map_at(f, other, 0x10000, 8 * PAGE, PAGE, RW), 0);
	assert_int_equal(via_access_replace(d.access, other), 0);
	assert_int_equal(d.calls, 1);
	assert_int_equal(d.called_iova, 0);
	assert_int_equal(d.called_len, UINT64_MAX);
	assert_int_equal(via_user_pages(f->user), 0);
	assert_int_equal(via_ioas_alignment(f->ioas), 1);
	assert_ptr_equal(via_access_ioas(d.access), other);
	/* What it does not unpin itself when it leaves is unpinned. */
	d.ignores = true;
	assert_int_equal(pin(&d, d.iova, d.len, 0), 0);
	assert_int_equal(pin(&d, d.iova, d.len, VIA_ACCESS_LOCK), 0);
	assert_int_equal(via_user_pages(f->user), 1);
	via_access_detach(d.access);
	assert_int_equal(d.calls, 2);
	assert_int_equal(via_user_pages(f->user), 0);
	assert_int_equal(via_ioas_unmap_range(other, 0, UINT64_MAX, &bytes), 0);
	assert_int_equal(d.calls, 2);
	via_access_free(d.access);
	via_ioas_put(other);
	assert_int_equal(unmap_all(f), 0);
}

/* Of a range that is locked an unmap is EBUSY, and the driver is not asked. */
static void test_locked_range(void **state)
{
	struct fixture *f = *state;
	struct driver d;
	uint64_t bytes;

	driver_init(&d, f->ioas);
	assert_int_equal(map_at(f, f->ioas, 0x10000, 0, 4 * PAGE, RW), 0);
	assert_int_equal(pin(&d, 0x11000, PAGE, VIA_ACCESS_LOCK), 0);
	assert_int_equal(via_ioas_unmap_range(f->ioas, 0x10000, 0x13fff, &bytes), -EBUSY);
	assert_int_equal(unpin(&d, 0x11000, PAGE), -ENOENT);
	assert_int_equal(pin(&d, 0x11000, PAGE, 0), 0);
	assert_int_equal(via_access_unpin(d.access, 0x11000, PAGE, VIA_ACCESS_LOCK), 0);
	assert_int_equal(via_access_unpin(d.access, 0x11000, PAGE, VIA_ACCESS_LOCK), -ENOENT);
	assert_int_equal(d.calls, 0);
	d.iova = 0x11000;
	d.len = PAGE;
	d.n_pins = 1;
	assert_int_equal(unmap_all(f), 0);
	assert_int_equal(d.calls, 1);
	via_access_free(d.access);
}

/* The same pages, whether a domain or an access has them first. */
static void test_access_and_domain(void **state)
{
	struct fixture *f = *state;
	struct via_page_identity pages[4], page;
	struct via_domain *domain;
	struct driver d;

	driver_init(&d, f->ioas);
	assert_int_equal(map_at(f, f->ioas, 0x10000, 0, 2 * PAGE, RW), 0);
	assert_int_equal(map_at(f, f->ioas, 0x12000, 8 * PAGE, 2 * PAGE, RW), 0);
	d.iova = 0x10000;
	d.len = 4 * PAGE;
	d.n_pins = 1;
	assert_int_equal(via_access_identities(d.access, d.iova, d.len, pages), -ENOENT);
	assert_int_equal(pin(&d, d.iova, d.len, 0), 0);
	assert_int_equal(via_access_identities(d.access, d.iova, d.len, pages), 0);
	for (unsigned int i = 0; i < 4; i++) {
		uint8_t *at = f->mem + (i < 2 ? i : i + 6) * PAGE;

		assert_int_equal(via_mm_identity(&f->mm, (uintptr_t)at, &page), 0);
		assert_memory_equal(&page, &pages[i], sizeof(page));
		assert_int_equal(via_pages_count_pins(&page), 1);
	}
	domain = domain_of(f->ioas);
	assert_int_equal(via_user_pages(f->user), 4);
	assert_int_equal(unpin(&d, d.iova, d.len), 0);
	d.n_pins = 0;
	assert_int_equal(via_user_pages(f->user), 4);
	assert_int_equal(pin(&d, 0x11000, 2 * PAGE, 0), 0);
	via_domain_free(domain);
	assert_int_equal(via_user_pages(f->user), 2);
	d = (struct driver){ .access = d.access, .iova = 0x11000, .len = 2 * PAGE, .n_pins = 1 };
	assert_int_equal(unmap_all(f), 0);
	assert_int_equal(d.calls, 1); /* it had both areas pinned with one range */
	via_access_free(d.access);
}

/* An area with pins is cut: each half has the pins that touch it. */
static void test_gap_4_cut_with_pins(void **state)
{
	struct fixture *f = *state;
	struct driver d;
	uint64_t bytes;

	driver_init(&d, f->ioas);
	assert_int_equal(map_at(f, f->ioas, 0x10000, 0, 8 * PAGE, RW), 0);
	d.iova = 0x11000;
	d.len = 4 * PAGE;
	d.n_pins = 1;
	assert_int_equal(pin(&d, d.iova, d.len, 0), 0);
	assert_int_equal(via_ioas_cut(f->ioas, 0x12fff, false), -EINVAL);
	assert_int_equal(via_ioas_cut(f->ioas, 0x12fff, true), 0);
	assert_int_equal(via_ioas_cut(f->ioas, 0x15fff, true), 0);
	/* The last part has none. */
	assert_int_equal(via_ioas_unmap_range(f->ioas, 0x16000, 0x17fff, &bytes), 0);
	assert_int_equal(d.calls, 0);
	assert_int_equal(via_user_pages(f->user), 4);
	assert_int_equal(via_ioas_unmap_range(f->ioas, 0x13000, 0x15fff, &bytes), 0);
	assert_int_equal(d.calls, 1);
	assert_int_equal(d.called_iova, 0x13000);
	assert_int_equal(d.called_len, 3 * PAGE);
	assert_int_equal(via_user_pages(f->user), 0);
	assert_int_equal(via_ioas_unmap_range(f->ioas, 0x10000, 0x12fff, &bytes), 0);
	assert_int_equal(d.calls, 1);
	via_access_free(d.access);
}

static void test_many_ranges(void **state)
{
	struct fixture *f = *state;
	struct driver d;

	driver_init(&d, f->ioas);
	f->mm.memlock_limit = UINT64_MAX;
	assert_int_equal(map_at(f, f->ioas, 0, 0, N_PAGES * PAGE, RW), 0);
	for (unsigned int i = 0; i < N_PAGES; i++)
		for (unsigned int k = i + 1; k <= N_PAGES; k++)
			assert_int_equal(pin(&d, i * PAGE, (k - i) * PAGE, 0), 0);
	assert_int_equal(via_user_pages(f->user), N_PAGES);
	for (unsigned int k = 1; k <= N_PAGES; k++)
		for (unsigned int i = 0; i < k; i++)
			assert_int_equal(unpin(&d, i * PAGE, (k - i) * PAGE), 0);
	assert_int_equal(via_user_pages(f->user), 0);
	assert_int_equal(unmap_all(f), 0);
	assert_int_equal(d.calls, 0);
	via_access_free(d.access);
}

struct copier {
	struct via_access *access;
	via_iova_t iova;
	bool stop; /* atomic */
};

static void *copy_on(void *arg)
{
	struct copier *c = arg;
	uint8_t buf[64];

	while (!__atomic_load_n(&c->stop, __ATOMIC_RELAXED))
		assert_int_equal(via_access_rw(c->access, c->iova, buf, sizeof(buf), false), 0);
	return NULL;
}

/*
 * Whoever changes the index may wait for sections, with the lock of the IOAS held:
 * a copy takes that lock, and must not be in a section when it waits for it.
 */
static void test_copies_beside_changes(void **state)
{
	enum { AREAS = 2000, FROM = 0x10000000, TO = 0x20000000, ROUNDS = 4 };
	struct fixture *f = *state;
	struct copier c = { .iova = 0x100000000000 };
	struct via_ioas *source;
	pthread_t threads[2];
	uint64_t bytes;

	/* A copy that does not come to an end ends the test. */
	(void)alarm(60);
	assert_int_equal(via_ioas_new_bare(&source), 0);
	for (uint64_t i = 0; i < AREAS; i++)
		assert_int_equal(map_at(f, source, FROM + i * PAGE, (i & 1) * 2 * PAGE, PAGE, RW), 0);
	assert_int_equal(map_at(f, f->ioas, c.iova, 0, PAGE, RW), 0);
	assert_int_equal(via_access_new(NULL, NULL, &c.access), 0);
	assert_int_equal(via_access_attach(c.access, f->ioas), 0);
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, copy_on, &c), 0);
	for (unsigned int i = 0; i < ROUNDS; i++) {
		via_iova_t to = TO;

		assert_int_equal(via_ioas_copy(f->ioas, source, FROM, AREAS * PAGE, RW, VIA_IOAS_FIXED,
					       &to), 0);
		assert_int_equal(via_ioas_unmap_range(f->ioas, TO, TO + AREAS * PAGE - 1, &bytes), 0);
	}
	__atomic_store_n(&c.stop, true, __ATOMIC_RELAXED);
	for (size_t i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	(void)alarm(0);
	via_access_free(c.access);
	via_ioas_put(source);
	assert_int_equal(unmap_all(f), 0);
}

/* UNMAP does not return while a copy is under way, although nothing is loaded. */
static bool copying, go_on, unmapped; /* atomic */

static int slow_readv(struct via_mm *mm, const struct iovec *local, size_t n_local,
		      const struct iovec *remote, size_t n_remote)
{
	__atomic_store_n(&copying, true, __ATOMIC_SEQ_CST);
	while (!__atomic_load_n(&go_on, __ATOMIC_SEQ_CST))
		(void)sched_yield();
	return 0;
}

static void *copy_slowly(void *cookie)
{
	uint8_t byte;

	(void)via_access_rw(cookie, 0x10000, &byte, 1, false);
	return NULL;
}

static void *unmap_it(void *cookie)
{
	struct fixture *f = cookie;

	(void)unmap_all(f);
	__atomic_store_n(&unmapped, true, __ATOMIC_SEQ_CST);
	return NULL;
}

static void test_unmap_waits_for_copies(void **state)
{
	const struct timespec pause = { .tv_nsec = 50000000 };
	struct fixture *f = *state;
	struct via_mm_ops ops = *f->mm.ops;
	struct via_access *access;
	pthread_t threads[2];

	ops.readv = slow_readv;
	f->mm.ops = &ops;
	copying = go_on = unmapped = false;
	assert_int_equal(via_access_new(NULL, NULL, &access), 0);
	assert_int_equal(via_access_attach(access, f->ioas), 0);
	assert_int_equal(map_at(f, f->ioas, 0x10000, 0, PAGE, RW), 0);
	assert_int_equal(pthread_create(&threads[0], NULL, copy_slowly, access), 0);
	while (!__atomic_load_n(&copying, __ATOMIC_SEQ_CST))
		(void)sched_yield();
	assert_int_equal(pthread_create(&threads[1], NULL, unmap_it, f), 0);
	(void)nanosleep(&pause, NULL);
	assert_false(__atomic_load_n(&unmapped, __ATOMIC_SEQ_CST));
	__atomic_store_n(&go_on, true, __ATOMIC_SEQ_CST);
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_true(unmapped);
	via_access_free(access);
}

/* Pins, copies, maps, unmaps and replacements at once --------------------------- */

struct race {
	struct fixture *f;
	struct via_ioas *other;
	struct via_access *access;
	pthread_mutex_t lock;
	bool pinned; /* lock */
	bool stop;   /* atomic */
};

static void race_unmap(void *cookie, via_iova_t iova, uint64_t len)
{
	struct race *race = cookie;

	pthread_mutex_lock(&race->lock);
	if (race->pinned)
		(void)via_access_unpin(race->access, 0x10000, 2 * PAGE, 0);
	race->pinned = false;
	pthread_mutex_unlock(&race->lock);
}

static void *race_pin(void *cookie)
{
	struct race *race = cookie;
	uint8_t buf[64];

	while (!__atomic_load_n(&race->stop, __ATOMIC_RELAXED)) {
		struct via_piece *pieces;
		size_t n;

		pthread_mutex_lock(&race->lock);
		if (race->pinned) {
			(void)via_access_unpin(race->access, 0x10000, 2 * PAGE, 0);
			race->pinned = false;
		}
		if (!via_access_pin(race->access, 0x10000, 2 * PAGE, 0, &pieces, &n)) {
			race->pinned = true;
			via_pieces_free(pieces, n);
		}
		pthread_mutex_unlock(&race->lock);
		(void)via_access_rw(race->access, 0x10000, buf, sizeof(buf), false);
	}
	return NULL;
}

static void *race_replace(void *cookie)
{
	struct race *race = cookie;

	while (!__atomic_load_n(&race->stop, __ATOMIC_RELAXED)) {
		(void)via_access_replace(race->access, race->other);
		(void)via_access_replace(race->access, race->f->ioas);
	}
	return NULL;
}

static void test_concurrently(void **state)
{
	static const struct via_access_ops ops = { race_unmap };
	struct fixture *f = *state;
	struct race race = { .f = f };
	pthread_t threads[2];
	uint64_t bytes;

	pthread_mutex_init(&race.lock, NULL);
	assert_int_equal(via_ioas_new_bare(&race.other), 0);
	assert_int_equal(map_at(f, race.other, 0x10000, 0, 4 * PAGE, RW), 0);
	assert_int_equal(via_access_new(&ops, &race, &race.access), 0);
	assert_int_equal(via_access_attach(race.access, f->ioas), 0);
	assert_int_equal(pthread_create(&threads[0], NULL, race_pin, &race), 0);
	assert_int_equal(pthread_create(&threads[1], NULL, race_replace, &race), 0);
	for (unsigned int i = 0; i < 1000; i++) {
		assert_int_equal(map_at(f, f->ioas, 0x10000, 0, 4 * PAGE, RW), 0);
		(void)via_ioas_cut(f->ioas, 0x11fff, true);
		assert_int_equal(via_ioas_unmap_range(f->ioas, 0, UINT64_MAX, &bytes), 0);
		assert_int_equal(bytes, 4 * PAGE);
	}
	__atomic_store_n(&race.stop, true, __ATOMIC_RELAXED);
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	via_access_free(race.access);
	assert_int_equal(via_ioas_unmap_range(race.other, 0, UINT64_MAX, &bytes), 0);
	via_ioas_put(race.other);
	pthread_mutex_destroy(&race.lock);
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(test_case_64_arguments),
		test(test_last_page),
		test(test_area_that_goes),
		test(test_case_65_refused_pins),
		test(test_case_66_alignment),
		test(test_case_67_copies),
		test(test_case_68_unmap_tells),
		test(test_case_69_unmap_is_ignored),
		test(test_case_70_same_range_twice),
		test(test_case_71_replace),
		test(test_locked_range),
		test(test_access_and_domain),
		test(test_gap_4_cut_with_pins),
		test(test_many_ranges),
		test(test_copies_beside_changes),
		test(test_unmap_waits_for_copies),
		test(test_concurrently),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
