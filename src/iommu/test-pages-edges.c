/* SPDX-License-Identifier: MIT */
/* Page stores: copies when the program is gone or a page of it, identities, and calls for another
 * kind. */
#include "iommu/pages_internal.h"
#include "iommu/test-pages.h"

#include <string.h>

static struct via_mm_ops ops;
static const struct via_mm_ops *real;
static size_t longest; /* longer copies fail */
static int rc_longer;

static int short_readv(struct via_mm *mm, const struct iovec *local, size_t n_local,
		       const struct iovec *remote, size_t n_remote)
{
	return remote[0].iov_len > longest ? rc_longer
					   : real->readv(mm, local, n_local, remote, n_remote);
}

static void fail_longer(struct fixture *f, size_t than, int rc)
{
	real = f->mm.ops;
	ops = *real;
	ops.readv = short_readv;
	longest = than;
	rc_longer = rc;
	f->mm.ops = &ops;
}

/* Pages that the program does not give at once are asked for one by one. */
static void test_page_by_page(void **state)
{
	struct fixture *f = *state;
	struct via_pages *pages = pages_of(f, 0, 4 * PAGE);
	static uint8_t buf[4 * PAGE];
	uint64_t done;

	(void)alarm(20);
	fail_longer(f, PAGE, -EFAULT);
	assert_int_equal(via_pages_copy(pages, 100, buf, 3 * PAGE, false, &done), 0);
	assert_int_equal(done, 3 * PAGE);
	assert_memory_equal(buf, f->mem + 100, 3 * PAGE);
	(void)alarm(0);
	f->mm.ops = real;
	via_pages_put(pages);
}

/* The program is gone: what is pinned is there still. */
static void test_program_that_is_gone(void **state)
{
	struct fixture *f = *state;
	struct via_pages *pages = pages_of(f, 0, 4 * PAGE);
	uint8_t buf[PAGE] = {0};
	uint64_t done;

	assert_int_equal(via_pages_pin(pages, PAGE, PAGE), 0);
	fail_longer(f, 0, -ESRCH);
	assert_int_equal(via_pages_copy(pages, PAGE, buf, PAGE, false, &done), 0);
	assert_memory_equal(buf, f->mem + PAGE, PAGE);
	assert_int_equal(via_pages_copy(pages, 0, buf, 1, false, &done), -EFAULT);
	assert_int_equal(done, 0);
	f->mm.ops = real;
	via_pages_unpin(pages, PAGE, PAGE);
	via_pages_put(pages);
}

/* Files are read where they are pinned, or where they are. */
static void test_files(void **state)
{
	struct fixture *f = *state;
	int fd = memfd_of(2 * PAGE);
	struct via_pages *pages;
	uint8_t buf[4] = {0};
	uint64_t done;

	assert_int_equal(pwrite(fd, "abcd", 4, PAGE - 2), 4);
	assert_int_equal(via_pages_new_file(fd, 0, 3 * PAGE, true, &f->owner, &pages), 0);
	assert_int_equal(via_pages_pin(pages, 0, PAGE), 0);
	assert_int_equal(via_pages_copy(pages, PAGE - 2, buf, 2, false, &done), 0);
	assert_memory_equal(buf, "ab", 2);
	assert_int_equal(via_pages_copy(pages, PAGE - 2, buf, 4, false, &done), 0);
	assert_memory_equal(buf, "abcd", 4);
	assert_int_equal(via_pages_copy(pages, 2 * PAGE, buf, 4, false, &done), -EINVAL);
	via_pages_unpin(pages, 0, PAGE);
	via_pages_put(pages);
	(void)close(fd);
}

/* Memory that is a file's stays where it is, whatever the program does: while it is pinned. */
static int backing_fd;

static int file_backing(struct via_mm *mm, uint64_t addr, uint64_t len, unsigned int prot,
			struct via_backing *ret_backing)
{
	*ret_backing = (struct via_backing){.fd = dup(backing_fd), .offset = 0, .len = len};
	return 0;
}

static void test_fixed(void **state)
{
	struct fixture *f = *state;
	struct via_pages *pages = pages_of(f, 0, 4 * PAGE);
	struct via_piece *pieces;
	size_t n;

	real = f->mm.ops;
	ops = *real;
	ops.backing = file_backing;
	f->mm.ops = &ops;
	backing_fd = memfd_of(4 * PAGE);
	assert_false(via_pages_fixed(pages, PAGE, PAGE));
	assert_int_equal(via_pages_pin(pages, PAGE, 2 * PAGE), 0);
	assert_true(via_pages_fixed(pages, PAGE, PAGE));
	assert_true(via_pages_fixed(pages, PAGE, 2 * PAGE));
	assert_true(via_pages_fixed(pages, 2 * PAGE, 1));
	assert_false(via_pages_fixed(pages, PAGE - 1, PAGE));
	assert_false(via_pages_fixed(pages, PAGE, 2 * PAGE + 1));
	assert_int_equal(via_pages_pieces(pages, PAGE, PAGE, &pieces, &n), 0);
	via_pages_unpin(pages, PAGE, 2 * PAGE);
	/* That somebody has the store does not make it so. */
	assert_false(via_pages_fixed(pages, PAGE, PAGE));
	via_pieces_free(pieces, n);
	f->mm.ops = real;
	(void)close(backing_fd);
	via_pages_put(pages);
}

static void test_identities(void **state)
{
	struct fixture *f = *state;
	struct via_pages *pages = pages_of(f, 0, 4 * PAGE);
	struct via_page_identity page;

	assert_int_equal(via_pages_identity(pages, 0, &page), -EFAULT);
	assert_int_equal(via_pages_pin(pages, 0, PAGE), 0);
	assert_int_equal(via_pages_pin(pages, 2 * PAGE, PAGE), 0);
	assert_int_equal(via_pages_identity(pages, PAGE - 1, &page), 0);
	assert_int_equal(via_pages_identity(pages, PAGE, &page), -EFAULT);
	assert_int_equal(via_pages_identity(pages, 2 * PAGE, &page), 0);
	assert_int_equal(via_pages_identity(pages, 3 * PAGE, &page), -EFAULT);
	via_pages_unpin(pages, 0, PAGE);
	via_pages_unpin(pages, 2 * PAGE, PAGE);
	/* What was pinned once is nobody's. */
	assert_int_equal(via_pages_identity(pages, 0, &page), -EFAULT);
	via_pages_put(pages);
	assert_int_equal(munmap(f->mem + 5 * PAGE, PAGE), 0);
	assert_int_equal(via_mm_identity(&f->mm, (uintptr_t)f->mem + 5 * PAGE, &page), -EFAULT);
	assert_int_equal(via_mm_identity(&f->mm, (uintptr_t)f->mem + 6 * PAGE, &page), 0);
}

/* A region is not copied, and memory has no registers; only files have another payer. */
static void released(void *cookie)
{
}

static int no_registers(void *cookie, uint64_t offset, void *buf, size_t len, bool write)
{
	return 0;
}

static void test_other_kinds(void **state)
{
	static const struct via_pages_region_ops region_ops = {.access = no_registers,
							       .release = released};
	struct fixture *f = *state;
	struct via_pages *memory = pages_of(f, 0, PAGE), *region;
	uint8_t buf[4];
	uint64_t done;

	assert_int_equal(via_pages_new_region(&region_ops, NULL, 0, PAGE, false, &region), 0);
	assert_int_equal(via_pages_copy(region, 0, buf, 4, false, &done), -EINVAL);
	assert_int_equal(via_pages_access(region, 0, buf, 4, false), 0);
	assert_int_equal(via_pages_access(memory, 0, buf, 4, false), -EFAULT);
	via_pages_revoke(region);
	assert_int_equal(via_pages_access(region, 0, buf, 4, false), -EFAULT);
	assert_int_equal(via_pages_change_owner(&memory, 1, &f->mm, &f->owner), -EINVAL);
	via_pages_put(region);
	via_pages_put(memory);
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(test_page_by_page), test(test_program_that_is_gone), test(test_files),
		test(test_fixed),	 test(test_identities),		  test(test_other_kinds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
