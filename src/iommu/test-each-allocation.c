/* SPDX-License-Identifier: MIT */
/*
 * 157 for what an IOAS has beside its areas: memory runs out at the n-th
 * allocation, for n = 1, 2, ...: -ENOMEM, and nothing has changed. The linker puts our
 * allocator before the real one.
 */
#include "base/slab.h"
#include "base/test-allocations.h"
#include "iommu/check.h"
#include "iommu/dirty_store.h"
#include "iommu/dma.h"
#include "iommu/spapr.h"
#include "iommu/test-pages.h"
#include "iommu/type1.h"

#include <string.h>

void *__real_aligned_alloc(size_t alignment, size_t size);
char *__real_strdup(const char *s);
void *__real_via_slab_alloc(struct via_slab *slab);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
char *__wrap_strdup(const char *s);
void *__wrap_via_slab_alloc(struct via_slab *slab);

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
	return may_allocate() ? __real_aligned_alloc(alignment, size) : NULL;
}

char *__wrap_strdup(const char *s)
{
	return may_allocate() ? __real_strdup(s) : NULL;
}

void *__wrap_via_slab_alloc(struct via_slab *slab)
{
	return may_allocate() ? __real_via_slab_alloc(slab) : NULL;
}

/* call() fails with each of its allocations in turn, and works at last: after that many. */
static long in_spite(int (*call)(void *cookie), void (*same)(void *cookie), void *cookie)
{
	for (long n = 0;; n++) {
		int rc;

		assert_true(n < 64);
		fail_allocation(n);
		rc = call(cookie);
		fail_allocation(-1);
		if (!rc)
			return n;
		assert_int_equal(rc, -ENOMEM);
		if (same)
			same(cookie);
	}
}

/* Objects ------------------------------------------------------------------ */

static void nobody_told(void *cookie, const struct via_check_report *report)
{
}

static int new_check(void *ret)
{
	return via_check_new(nobody_told, NULL, 1, ret);
}

static int new_store(void *ret)
{
	return via_dirty_store_new(PAGE, ret);
}

static int new_dma(void *ret)
{
	return via_dma_new("device", ret);
}

static int new_log(void *ret)
{
	const struct via_iova_range range = {0, 16 * PAGE - 1};

	return via_dma_log_new(&range, 1, 12, ret);
}

static int new_access(void *ret)
{
	return via_access_new(NULL, NULL, ret);
}

static int new_spapr(void *ret)
{
	return via_spapr_new(via_spapr_props_powernv(), VIA_VFIO_SPAPR_TCE_v2_IOMMU, true, false,
			     ret);
}

static int new_user(void *ret)
{
	*(struct via_user **)ret = via_user_get(777);
	return *(struct via_user **)ret ? 0 : -ENOMEM;
}

static void test_objects(void **state)
{
	struct via_check *check;
	struct via_dirty_store *store;
	struct via_dma *dma;
	struct via_dma_log *log;
	struct via_access *access;
	struct via_spapr *spapr;
	struct via_user *user;

	assert_int_equal(in_spite(new_check, NULL, &check), 1);
	via_check_free(check);
	assert_true(in_spite(new_store, NULL, &store) >= 1);
	via_dirty_store_free(store);
	assert_int_equal(in_spite(new_dma, NULL, &dma), 2);
	via_dma_free(dma);
	assert_int_equal(in_spite(new_log, NULL, &log), 1);
	via_dma_log_put(log);
	assert_int_equal(in_spite(new_access, NULL, &access), 1);
	via_access_free(access);
	assert_true(in_spite(new_spapr, NULL, &spapr) >= 2);
	via_spapr_free(spapr);
	assert_int_equal(in_spite(new_user, NULL, &user), 1);
	via_user_put(user);
}

/* Accesses ----------------------------------------------------------------- */

#define IOVA 0x10000u

struct pinning {
	struct fixture *f;
	struct via_access *access;
	struct via_piece *pieces;
	size_t n;
	struct via_page_identity identities[4];
};

static void nothing_to_unpin(void *cookie, via_iova_t iova, uint64_t len)
{
}

static const struct via_access_ops pins = {nothing_to_unpin};

static int pin(void *cookie)
{
	struct pinning *p = cookie;

	return via_access_pin(p->access, IOVA, 4 * PAGE, 0, &p->pieces, &p->n);
}

static void nothing_pinned(void *cookie)
{
	struct pinning *p = cookie;

	assert_int_equal(p->f->mm.pinned_pages, 0);
	assert_int_equal(via_user_pages(p->f->user), 0);
	assert_int_equal(via_access_unpin(p->access, IOVA, 4 * PAGE, 0), -ENOENT);
}

/* Of a range that is pinned: not a pin less, nor more. */
static void pinned_once(void *cookie)
{
	struct pinning *p = cookie;

	assert_int_equal(p->f->mm.pinned_pages, 4);
	assert_int_equal(via_ioas_find(p->f->ioas, IOVA)->n_accesses, 1);
}

static int identities(void *cookie)
{
	struct pinning *p = cookie;

	return via_access_identities(p->access, IOVA, 4 * PAGE, p->identities);
}

static void test_access(void **state)
{
	struct pinning p = {.f = *state};
	uint64_t bytes;

	/* Pages of two areas, so that lists are joined. */
	assert_int_equal(map_at(p.f, p.f->ioas, IOVA, 0, 2 * PAGE, RW), 0);
	assert_int_equal(map_at(p.f, p.f->ioas, IOVA + 2 * PAGE, 4 * PAGE, 2 * PAGE, RW), 0);
	assert_int_equal(via_access_new(&pins, &p, &p.access), 0);
	assert_int_equal(via_access_attach(p.access, p.f->ioas), 0);
	assert_true(in_spite(pin, nothing_pinned, &p) >= 6);
	via_pieces_free(p.pieces, p.n);
	assert_true(in_spite(identities, pinned_once, &p) >= 1);
	assert_true(in_spite(pin, pinned_once, &p) >= 4);
	via_pieces_free(p.pieces, p.n);
	assert_int_equal(via_access_unpin(p.access, IOVA, 4 * PAGE, 0), 0);
	pinned_once(&p);
	assert_int_equal(via_access_unpin(p.access, IOVA, 4 * PAGE, 0), 0);
	nothing_pinned(&p);
	via_access_free(p.access);
	assert_int_equal(via_ioas_unmap_range(p.f->ioas, 0, UINT64_MAX, &bytes), 0);
}

/* Areas and ranges ------------------------------------------------------------- */

struct mapper {
	struct fixture *f;
	struct via_ioas *copy;
	struct via_pages *pages;
	struct via_type1 *type1;
	unsigned int released;
};

static int map(void *cookie)
{
	struct mapper *m = cookie;
	via_iova_t iova = IOVA;

	return via_ioas_map_pages(m->f->ioas, m->pages, 0, 4 * PAGE, RW, VIA_IOAS_FIXED, &iova,
				  NULL);
}

static void nothing_mapped(void *cookie)
{
	struct mapper *m = cookie;

	assert_null(via_ioas_find(m->f->ioas, 0));
	assert_int_equal(m->f->mm.pinned_pages, 0);
}

static int copy(void *cookie)
{
	struct mapper *m = cookie;
	via_iova_t iova = IOVA;

	return via_ioas_copy(m->copy, m->f->ioas, IOVA, 4 * PAGE, RW, VIA_IOAS_FIXED, &iova);
}

static void nothing_copied(void *cookie)
{
	struct mapper *m = cookie;

	assert_null(via_ioas_find(m->copy, 0));
}

static int cut(void *cookie)
{
	struct mapper *m = cookie;

	return via_ioas_cut(m->f->ioas, IOVA + PAGE - 1, false);
}

static int replace(void *cookie)
{
	struct mapper *m = cookie;

	return via_ioas_replace(m->f->ioas, IOVA, m->pages);
}

/* One area, of the first pages. */
static void as_mapped(void *cookie)
{
	struct mapper *m = cookie;
	const struct via_ioas_area *area = via_ioas_find(m->f->ioas, 0);

	assert_true(area->complete && area->loaded);
	assert_int_equal(area->last, IOVA + 4 * PAGE - 1);
	assert_int_equal(via_pages_start(area->pages), (uintptr_t)m->f->mem);
	assert_int_equal(m->f->mm.pinned_pages, 4);
}

static void test_areas(void **state)
{
	struct mapper m = {.f = *state};
	struct via_domain *domain = domain_of(m.f->ioas);
	uint64_t bytes;

	assert_int_equal(via_ioas_new_bare(&m.copy), 0);
	m.pages = pages_of(m.f, 0, 4 * PAGE);
	assert_true(in_spite(map, nothing_mapped, &m) >= 3);
	via_pages_put(m.pages);
	assert_true(in_spite(copy, nothing_copied, &m) >= 2);
	m.pages = pages_of(m.f, 8 * PAGE, 4 * PAGE);
	assert_true(in_spite(replace, as_mapped, &m) >= 2);
	assert_int_equal(via_pages_start(via_ioas_find(m.f->ioas, 0)->pages),
			 (uintptr_t)m.f->mem + 8 * PAGE);
	m.pages = pages_of(m.f, 0, 4 * PAGE);
	assert_int_equal(via_ioas_replace(m.f->ioas, IOVA, m.pages), 0);
	assert_true(in_spite(cut, as_mapped, &m) >= 2);
	assert_int_equal(via_ioas_find(m.f->ioas, 0)->last, IOVA + PAGE - 1);
	via_ioas_put(m.copy);
	assert_int_equal(via_ioas_unmap_range(m.f->ioas, 0, UINT64_MAX, &bytes), 0);
	via_domain_free(domain);
}

static int reserve(void *cookie)
{
	struct mapper *m = cookie;

	return via_ioas_reserve(m->f->ioas, IOVA, IOVA + PAGE - 1, m);
}

static int allow(void *cookie)
{
	const struct via_iova_range range = {IOVA + PAGE, IOVA + 2 * PAGE - 1};
	struct mapper *m = cookie;

	return via_ioas_allow(m->f->ioas, &range, 1);
}

static void no_range(void *cookie)
{
	struct mapper *m = cookie;
	struct via_iova_range range;

	assert_int_equal(via_ioas_ranges(m->f->ioas, &range, 1), 1);
	assert_int_equal(range.last, UINT64_MAX);
}

static void test_ranges(void **state)
{
	struct mapper m = {.f = *state};

	assert_int_equal(in_spite(reserve, no_range, &m), 2);
	assert_int_equal(in_spite(allow, NULL, &m), 2);
}

/* Pages ------------------------------------------------------------------------ */

static void released(void *cookie)
{
	struct mapper *m = cookie;

	m->released++;
}

static uint8_t *memory_of(void *cookie, uint64_t offset, uint64_t *ret_len)
{
	struct mapper *m = cookie;

	*ret_len = PAGE - offset;
	return m->f->mem + offset;
}

static const struct via_pages_region_ops region_ops = {.memory = memory_of, .release = released};

static int new_region(void *cookie)
{
	struct mapper *m = cookie;

	return via_pages_new_region(&region_ops, m, 0, PAGE, false, &m->pages);
}

static int new_file(void *cookie)
{
	struct mapper *m = cookie;
	int fd = memfd_of(PAGE);
	int rc = via_pages_new_file(fd, 0, PAGE, true, &m->f->owner, &m->pages);

	(void)close(fd);
	return rc;
}

static int new_type1(void *cookie)
{
	struct mapper *m = cookie;

	return via_type1_new(via_iommu_props_intel(), VIA_VFIO_TYPE1v2_IOMMU, true, &m->type1);
}

static int map_region(void *cookie)
{
	struct mapper *m = cookie;
	const struct via_vfio_iommu_type1_dma_map map = {sizeof(map), VIA_VFIO_DMA_MAP_FLAG_READ,
							 PAGE, IOVA, PAGE};

	return via_type1_map_region(m->type1, &m->f->mm, &map, m->pages);
}

static void no_region(void *cookie)
{
	struct mapper *m = cookie;

	assert_null(via_ioas_find(via_type1_ioas(m->type1), 0));
}

static void test_pages(void **state)
{
	struct mapper m = {.f = *state};

	assert_true(in_spite(new_file, NULL, &m) >= 2);
	via_pages_put(m.pages);
	/* What stands for the region is given back each time. */
	assert_int_equal(in_spite(new_region, NULL, &m), 1);
	assert_int_equal(m.released, 1);
	assert_true(in_spite(new_type1, NULL, &m) >= 2);
	/* The mapping, the area, a space for our own memory, and a store over it. */
	assert_true(in_spite(map_region, no_region, &m) >= 4);
	via_type1_free(m.type1);
	via_pages_put(m.pages);
	assert_int_equal(m.released, 2);
}

/* CHANGE_PROCESS ------------------------------------------------------------- */

struct change {
	struct fixture *f;
	struct via_ledger_owner to;
};

static int change(void *cookie)
{
	struct change *c = cookie;

	return via_ioas_change_owner(&c->f->ioas, 1, &c->to);
}

static void not_changed(void *cookie)
{
	struct change *c = cookie;

	assert_int_equal(c->f->mm.pinned_pages, 2);
	assert_int_equal(c->to.mm->pinned_pages, 0);
}

static void test_change_owner(void **state)
{
	struct fixture *f = *state;
	struct via_mm child = f->mm;
	struct change c = {f, {&child, f->user, VIA_CHARGE_USER, true}};
	struct via_domain *domain = domain_of(f->ioas);
	int fd = memfd_of(2 * PAGE);
	uint64_t bytes;

	for (unsigned int i = 0; i < 2; i++) {
		via_iova_t iova = IOVA + i * PAGE;
		struct via_pages *pages;

		assert_int_equal(via_pages_new_file(fd, i * PAGE, PAGE, true, &f->owner, &pages),
				 0);
		assert_int_equal(via_ioas_map_pages(f->ioas, pages, 0, PAGE, RW, VIA_IOAS_FIXED,
						    &iova, NULL),
				 0);
		via_pages_put(pages);
	}
	assert_true(in_spite(change, not_changed, &c) >= 2);
	assert_int_equal(f->mm.pinned_pages, 0);
	assert_int_equal(child.pinned_pages, 2);
	assert_int_equal(via_ioas_unmap_range(f->ioas, 0, UINT64_MAX, &bytes), 0);
	via_domain_free(domain);
	(void)close(fd);
}

/* sPAPR ---------------------------------------------------------------------- */

struct tces {
	struct fixture *f;
	struct via_spapr *spapr;
};

static int enroll(void *cookie)
{
	struct tces *t = cookie;
	const struct via_vfio_iommu_spapr_register_memory reg = {sizeof(reg), 0,
								 (uintptr_t)t->f->mem, 4 * PAGE};

	return via_spapr_register(t->spapr, &t->f->mm, &reg);
}

static void nothing_charged(void *cookie)
{
	struct tces *t = cookie;

	assert_int_equal(t->f->mm.locked_pages, 0);
	assert_int_equal(t->f->mm.pinned_pages, 0);
}

static int set_tces(void *cookie)
{
	struct tces *t = cookie;
	const struct via_vfio_iommu_type1_dma_map map = {sizeof(map), VIA_VFIO_DMA_MAP_FLAG_READ,
							 (uintptr_t)t->f->mem, 0, 4 * PAGE};

	return via_spapr_map(t->spapr, &t->f->mm, &map);
}

static void none_set(void *cookie)
{
	struct tces *t = cookie;

	assert_null(via_ioas_find(via_spapr_ioas(t->spapr), 0));
}

static void test_spapr(void **state)
{
	struct tces t = {.f = *state};

	t.f->mm.memlock_limit = UINT64_MAX;
	assert_int_equal(new_spapr(&t.spapr), 0);
	assert_int_equal(via_spapr_mine(t.spapr, &t.f->mm), 0);
	assert_true(in_spite(enroll, nothing_charged, &t) >= 2);
	assert_true(in_spite(set_tces, none_set, &t) >= 1);
	via_spapr_free(t.spapr);
	nothing_charged(&t);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_objects),
		TEST(test_access),
		TEST(test_areas),
		TEST(test_ranges),
		TEST(test_pages),
		TEST(test_change_owner),
		TEST(test_spapr),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
