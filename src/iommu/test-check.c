/* SPDX-License-Identifier: MIT */
/* The DMA checker: what is said of each kind of refused access, and what is remembered. */
#include "iommu/check.h"
#include "iommu/dma.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <cmocka.h>

#define PAGE 4096u

/* The last report, with copies of what it points to. */
static struct via_check_report last;
static struct via_check_event last_map, last_unmap;
static unsigned int reports;

static void report(void *cookie, const struct via_check_report *r)
{
	assert_ptr_equal(cookie, &last);
	last = *r;
	if (r->map)
		last_map = *r->map;
	if (r->unmap)
		last_unmap = *r->unmap;
	reports++;
}

struct fixture {
	struct via_check *check;
	struct via_ioas *ioas;
	struct via_space *space;
	struct via_dma *dma;
	uint8_t *memory;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct via_mm *self = via_mm_self();

	assert_non_null(f);
	reports = 0;
	assert_int_equal(via_check_new(report, &last, 3, &f->check), 0);
	assert_int_equal(via_ioas_new(via_iommu_props_intel(), &f->ioas), 0);
	via_ioas_set_check(f->ioas, f->check);
	assert_int_equal(via_space_new_mm(self, &f->space), 0);
	via_mm_put(self);
	assert_int_equal(via_dma_new("card", &f->dma), 0);
	via_dma_set_check(f->dma, f->check);
	assert_int_equal(via_dma_attach(f->dma, f->ioas), 0);
	via_dma_enable(f->dma, true);
	f->memory = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(f->memory, MAP_FAILED);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	via_dma_free(f->dma);
	via_space_put(f->space);
	via_ioas_put(f->ioas);
	via_check_free(f->check);
	munmap(f->memory, 4 * PAGE);
	free(f);
	return 0;
}

static void map(struct fixture *f, uint64_t iova, unsigned int prot)
{
	assert_int_equal(via_ioas_map(f->ioas, iova, f->space, (uintptr_t)f->memory, 4 * PAGE, prot), 0);
}

static void unmap(struct fixture *f, uint64_t iova)
{
	uint64_t bytes;

	assert_int_equal(via_ioas_unmap(f->ioas, iova, iova + 4 * PAGE - 1, &bytes), 0);
}

static enum via_check_kind access_at(struct fixture *f, uint64_t iova, size_t len, bool write)
{
	uint8_t buf[64] = { 0 };
	unsigned int before = reports;

	assert_true(len <= sizeof(buf));
	assert_true((write ? via_dma_write(f->dma, iova, buf, len)
			   : via_dma_read(f->dma, iova, buf, len)) < 0);
	assert_int_equal(reports, before + 1);
	assert_string_equal(last.device, "card");
	assert_int_equal(last.iova, iova);
	assert_int_equal(last.len, len);
	assert_int_equal(last.write, write);
	return last.kind;
}

static void test_never_mapped(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(access_at(f, 0x5000, 16, true), VIA_CHECK_NEVER_MAPPED);
	assert_false(last.has_nearest);
	assert_null(last.map);
	map(f, 0x100000, VIA_PROT_READ);
	map(f, 0x200000, VIA_PROT_WRITE);
	assert_int_equal(access_at(f, 0x1f0000, 16, false), VIA_CHECK_NEVER_MAPPED);
	assert_true(last.has_nearest);
	assert_int_equal(last.nearest.first, 0x200000);
	assert_int_equal(last.nearest.last, 0x203fff);
	assert_int_equal(last.nearest_prot, VIA_PROT_WRITE);
	assert_int_equal(access_at(f, 0x110000, 16, false), VIA_CHECK_NEVER_MAPPED);
	assert_int_equal(last.nearest.first, 0x100000);
}

static void test_straddle_and_protection(void **state)
{
	struct fixture *f = *state;

	map(f, 0x100000, VIA_PROT_READ);
	assert_int_equal(access_at(f, 0x103ff0, 32, false), VIA_CHECK_STRADDLE);
	assert_int_equal(last.bad, 0x104000);
	assert_int_equal(last.nearest.last, 0x103fff);
	assert_int_equal(access_at(f, 0x100010, 8, true), VIA_CHECK_PROTECTION);
	assert_int_equal(last.bad, 0x100010);
	assert_int_equal(last.nearest_prot, VIA_PROT_READ);
	assert_non_null(last.map);
}

static void test_after_unmap(void **state)
{
	struct fixture *f = *state;
	const uint64_t mapper[] = { 0x1111, 0x2222 }, unmapper[] = { 0x3333 };
	const struct via_check_caller maps = { 77, mapper, 2 }, unmaps = { 78, unmapper, 1 };

	via_check_set_caller(&maps);
	map(f, 0x100000, VIA_PROT_READ | VIA_PROT_WRITE);
	via_check_set_caller(&unmaps);
	unmap(f, 0x100000);
	via_check_set_caller(NULL);
	map(f, 0x300000, VIA_PROT_READ);
	assert_int_equal(access_at(f, 0x101000, 8, false), VIA_CHECK_AFTER_UNMAP);
	assert_non_null(last.map);
	assert_int_equal(last_map.pid, 77);
	assert_int_equal(last_map.n_frames, 2);
	assert_int_equal(last_map.frames[1], 0x2222);
	assert_non_null(last.unmap);
	assert_int_equal(last_unmap.pid, 78);
	assert_int_equal(last_unmap.frames[0], 0x3333);
	assert_int_equal(last_unmap.first, 0x100000);
	assert_int_equal(last_unmap.last, 0x103fff);
	assert_int_equal(last.n_events - 1 - last_unmap.number, 1);
	/* As of its last byte, but not of the next one. */
	assert_int_equal(access_at(f, 0x103fff, 1, false), VIA_CHECK_AFTER_UNMAP);
	/* Another address space of the same place knows nothing of it. */
	via_check_forget(f->check, f->ioas);
	assert_int_equal(access_at(f, 0x101000, 8, false), VIA_CHECK_NEVER_MAPPED);
}

static void test_not_attached_and_bus_master(void **state)
{
	struct fixture *f = *state;

	via_dma_enable(f->dma, false);
	assert_int_equal(access_at(f, 0, 8, false), VIA_CHECK_BUS_MASTER);
	via_dma_enable(f->dma, true);
	assert_int_equal(via_dma_attach(f->dma, NULL), 0);
	assert_int_equal(access_at(f, 0, 8, false), VIA_CHECK_NOT_ATTACHED);
}

/* More than are reported are counted all the same. */
static void test_counts(void **state)
{
	struct fixture *f = *state;
	uint64_t counts[VIA_CHECK_KINDS];
	uint8_t byte;

	map(f, 0x100000, VIA_PROT_READ);
	for (unsigned int i = 0; i < 10; i++)
		assert_int_equal(via_dma_read(f->dma, 0x200000, &byte, 1), -EFAULT);
	assert_int_equal(via_dma_write(f->dma, 0x100000, "x", 1), -EFAULT);
	assert_int_equal(reports, 3);
	via_check_counts(f->check, counts);
	assert_int_equal(counts[VIA_CHECK_NEVER_MAPPED], 10);
	assert_int_equal(counts[VIA_CHECK_PROTECTION], 1);
	for (size_t i = 0; i < VIA_CHECK_KINDS; i++)
		assert_string_not_equal(via_check_kind_name((enum via_check_kind)i), "?");
	assert_string_equal(via_check_kind_name(VIA_CHECK_KINDS), "?");
}

/* The oldest events give way, and are not taken for new ones. */
static void test_long_history(void **state)
{
	struct fixture *f = *state;

	map(f, 0x100000, VIA_PROT_READ);
	for (uint64_t i = 0; i < 20000; i++)
		via_check_note(f->check, f->ioas, 0x900000 + i * PAGE, 0x900fff + i * PAGE, i & 1);
	assert_int_equal(access_at(f, 0x100000, 1, true), VIA_CHECK_PROTECTION);
	assert_null(last.map);
	assert_int_equal(last.n_events, 20001);
	assert_int_equal(access_at(f, 0x900000 + 19998 * PAGE, 1, true), VIA_CHECK_AFTER_UNMAP);
	assert_int_equal(last_unmap.number, 19999);
}

/* An attempt to map that fails is no event. */
static void test_failed_map(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(via_ioas_map(f->ioas, 0x100000, f->space, PAGE, PAGE, VIA_PROT_READ), -EFAULT);
	assert_int_equal(access_at(f, 0x100000, 1, false), VIA_CHECK_NEVER_MAPPED);
	assert_null(last.map);
	assert_null(last.unmap);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_never_mapped, setup, teardown),
		cmocka_unit_test_setup_teardown(test_straddle_and_protection, setup, teardown),
		cmocka_unit_test_setup_teardown(test_after_unmap, setup, teardown),
		cmocka_unit_test_setup_teardown(test_not_attached_and_bus_master, setup, teardown),
		cmocka_unit_test_setup_teardown(test_counts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_long_history, setup, teardown),
		cmocka_unit_test_setup_teardown(test_failed_map, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
