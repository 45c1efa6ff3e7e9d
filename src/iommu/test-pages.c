/* SPDX-License-Identifier: MIT */
/* Page stores: what is pinned once however often it is used, files, identity. */
#include "base/epoch.h"
#include "iommu/pages_internal.h"
#include "iommu/test-pages.h"

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

/* Pins --------------------------------------------------------------------- */

static uint8_t byte_at(const struct via_piece *pieces, size_t n, uint64_t offset)
{
	uint8_t byte = 0;

	for (size_t i = 0; i < n; i++)
		if (offset >= pieces[i].offset && offset - pieces[i].offset < pieces[i].len) {
			struct via_store_run run = {
				pieces[i].store, pieces[i].store_offset + offset - pieces[i].offset, 1,
			};
			struct iovec iov = { &byte, 1 };

			assert_int_equal(via_store_readv(&run, 1, &iov, 1), 0);
			return byte;
		}
	fail();
	return 0;
}

static void check_pieces(struct via_pages *pages, uint64_t skew, uint64_t offset, uint64_t len)
{
	struct via_piece *pieces;
	uint64_t next = 0;
	size_t n;

	assert_int_equal(via_pages_pieces(pages, offset, len, &pieces, &n), 0);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(pieces[i].offset, next);
		next += pieces[i].len;
	}
	assert_int_equal(next, len);
	for (uint64_t at = 0; at < len; at += at + 1 < len ? 511 : 1) {
		uint64_t in_mem = skew + offset + at;

		assert_int_equal(byte_at(pieces, n, at), (uint8_t)(in_mem / PAGE + 1));
	}
	via_pieces_free(pieces, n);
}

static void test_pins_are_counted_once(void **state)
{
	struct fixture *f = *state;
	struct via_pages *pages = pages_of(f, 100, 8 * PAGE);

	/* 100 bytes into the page: nine slots. */
	assert_int_equal(via_pages_pin(pages, 0, 8 * PAGE), 0);
	assert_int_equal(via_pages_pinned(pages), 9);
	assert_int_equal(via_pages_pin(pages, PAGE, PAGE), 0);
	assert_int_equal(via_pages_pin(pages, 0, 8 * PAGE), 0);
	assert_int_equal(via_pages_pinned(pages), 9);
	assert_int_equal(via_user_pages(f->user), 9);
	check_pieces(pages, 100, 0, 8 * PAGE);
	via_pages_unpin(pages, 0, 8 * PAGE);
	via_pages_unpin(pages, 0, 8 * PAGE);
	/* Two slots are touched by the rest. */
	assert_int_equal(via_pages_pinned(pages), 2);
	assert_int_equal(via_user_pages(f->user), 2);
	assert_int_equal(f->mm.pinned_pages, 2);
	check_pieces(pages, 100, PAGE, PAGE);
	via_pages_unpin(pages, PAGE, PAGE);
	assert_int_equal(via_pages_pinned(pages), 0);
	via_pages_put(pages);
}

static void test_pin_is_all_or_nothing(void **state)
{
	struct fixture *f = *state;
	struct via_pages *pages = pages_of(f, 0, 32 * PAGE);

	assert_int_equal(via_pages_pin(pages, 0, 12 * PAGE), 0);
	/* The gap of 5 exceeds the limit of 16. */
	assert_int_equal(via_pages_pin(pages, 8 * PAGE, 9 * PAGE), -ENOMEM);
	assert_int_equal(via_user_pages(f->user), 12);
	assert_int_equal(via_pages_pin(pages, 8 * PAGE, 8 * PAGE), 0);
	via_pages_unpin(pages, 8 * PAGE, 8 * PAGE);
	/* Bad memory comes before the limit. */
	assert_int_equal(mprotect(f->mem + 20 * PAGE, PAGE, PROT_READ), 0);
	assert_int_equal(via_pages_pin(pages, 8 * PAGE, 13 * PAGE), -EFAULT);
	assert_int_equal(via_pages_pinned(pages), 12);
	via_pages_unpin(pages, 0, 12 * PAGE);
	via_pages_put(pages);
}

struct model_pin {
	uint64_t offset, len;
};

/* Random pins and unpins against counts of slots. */
static void test_pins_against_model(void **state)
{
	struct fixture *f = *state;
	unsigned int counts[N_PAGES] = { 0 }, seed = 1;
	struct model_pin pins[200];
	struct via_pages *pages;
	const uint64_t skew = 0x234, total = (N_PAGES - 1) * PAGE;
	size_t n = 0;

	f->mm.memlock_limit = UINT64_MAX;
	pages = pages_of(f, skew, total);
	for (unsigned int round = 0; round < 20000 || n; round++) {
		struct model_pin pin;
		uint64_t want = 0;
		int delta = -1;

		if (round < 20000 && n < 200 && (!n || rand_r(&seed) % 2)) {
			pin.offset = (uint64_t)rand_r(&seed) % total;
			pin.len = 1 + (uint64_t)rand_r(&seed) % (total - pin.offset);
			if (rand_r(&seed) % 2 && pin.len > 3 * PAGE)
				pin.len = 3 * PAGE;
			assert_int_equal(via_pages_pin(pages, pin.offset, pin.len), 0);
			pins[n++] = pin;
			delta = 1;
		} else {
			size_t i = (size_t)rand_r(&seed) % n;

			pin = pins[i];
			pins[i] = pins[--n];
			via_pages_unpin(pages, pin.offset, pin.len);
		}
		for (uint64_t s = (skew + pin.offset) / PAGE; s <= (skew + pin.offset + pin.len - 1) / PAGE;
		     s++)
			counts[s] += (unsigned int)delta;
		for (size_t s = 0; s < N_PAGES; s++)
			want += counts[s] > 0;
		assert_int_equal(via_pages_pinned(pages), want);
		assert_int_equal(via_user_pages(f->user), want);
		if (round % 64 == 0 && n)
			check_pieces(pages, skew, pins[0].offset, pins[0].len);
	}
	via_pages_put(pages);
}

/* Short pins within a long one leave nothing behind. */
static void test_borders_go(void **state)
{
	struct fixture *f = *state;
	struct via_pages *pages = pages_of(f, 0, 16 * PAGE);

	assert_int_equal(via_pages_pin(pages, 0, 16 * PAGE), 0);
	for (unsigned int i = 0; i < 16; i++)
		for (unsigned int n = 1; i + n <= 16; n++) {
			assert_int_equal(via_pages_pin(pages, i * PAGE, n * PAGE), 0);
			assert_int_equal(via_pages_pin(pages, 3 * PAGE, n * PAGE), 0);
			via_pages_unpin(pages, i * PAGE, n * PAGE);
			via_pages_unpin(pages, 3 * PAGE, n * PAGE);
			assert_int_equal(pages->n_spans, 1);
			if (n == 13)
				break;
		}
	via_pages_unpin(pages, 0, 16 * PAGE);
	via_pages_put(pages);
}

static void test_gone_memory_is_not_pinned_again(void **state)
{
	struct fixture *f = *state;
	struct via_pages *pages = pages_of(f, 0, 4 * PAGE);

	/* A part that is not in use any more is looked at afresh. */
	assert_int_equal(via_pages_pin(pages, 0, 4 * PAGE), 0);
	assert_int_equal(via_pages_pin(pages, 3 * PAGE, PAGE), 0);
	via_pages_unpin(pages, 0, 4 * PAGE);
	assert_int_equal(via_pages_pinned(pages), 1);
	assert_int_equal(munmap(f->mem + PAGE, PAGE), 0);
	assert_int_equal(via_pages_pin(pages, 0, PAGE), 0);
	assert_int_equal(via_pages_pin(pages, 0, 2 * PAGE), -EFAULT);
	assert_int_equal(via_pages_pinned(pages), 2);
	via_pages_unpin(pages, 0, PAGE);
	via_pages_unpin(pages, 3 * PAGE, PAGE);
	via_pages_put(pages);
}

/* Accounting ----------------------------------------------------------------- */

static void test_case_57_user_mode(void **state)
{
	struct fixture *f = *state;
	struct via_domain *a = domain_of(f->ioas), *b;
	via_iova_t copy = 0x1000000;
	uint64_t bytes;

	assert_int_equal(map_at(f, f->ioas, 0x10000, 0, 16 * PAGE, RW), 0);
	assert_int_equal(via_user_pages(f->user), 16);
	b = domain_of(f->ioas);
	assert_int_equal(via_ioas_copy(f->ioas, f->ioas, 0x10000, 16 * PAGE, RW, VIA_IOAS_FIXED,
				       &copy), 0);
	assert_int_equal(via_user_pages(f->user), 16);
	assert_int_equal(map_at(f, f->ioas, 0x100000, 20 * PAGE, PAGE, RW), -ENOMEM);
	assert_int_equal(via_ioas_unmap_range(f->ioas, 0x10000, 0x1ffff, &bytes), 0);
	assert_int_equal(via_user_pages(f->user), 16); /* the copy's */
	via_domain_free(a);
	assert_int_equal(via_user_pages(f->user), 16);
	via_domain_free(b);
	assert_int_equal(via_user_pages(f->user), 0);
	b = domain_of(f->ioas);
	assert_int_equal(via_user_pages(f->user), 16);
	assert_int_equal(via_ioas_unmap_range(f->ioas, 0, UINT64_MAX, &bytes), 0);
	assert_int_equal(bytes, 16 * PAGE);
	via_domain_free(b);
}

static void test_case_58_stores_are_separate(void **state)
{
	struct fixture *f = *state;
	struct via_domain *domain = domain_of(f->ioas);
	uint64_t bytes;

	assert_int_equal(map_at(f, f->ioas, 0x10000, 0, 8 * PAGE, RW), 0);
	assert_int_equal(map_at(f, f->ioas, 0x20000, 0, 8 * PAGE, RW), 0);
	assert_int_equal(map_at(f, f->ioas, 0x30000, 0, 8 * PAGE, RW), -ENOMEM);
	assert_int_equal(via_ioas_unmap_range(f->ioas, 0x10000, 0x17fff, &bytes), 0);
	assert_int_equal(map_at(f, f->ioas, 0x30000, 0, 8 * PAGE, RW), 0);
	assert_int_equal(via_ioas_unmap_range(f->ioas, 0, UINT64_MAX, &bytes), 0);
	via_domain_free(domain);
}

static void test_case_61_limit_is_met_when_attached(void **state)
{
	struct fixture *f = *state;
	const struct via_domain_config config = { .pgsize_bitmap = PAGE, .aperture_last = UINT64_MAX };
	struct via_domain *domain;
	uint64_t bytes;

	f->mm.memlock_limit = 0;
	assert_int_equal(map_at(f, f->ioas, 0x10000, 0, 16 * PAGE, RW), 0);
	assert_int_equal(via_domain_new(f->ioas, &config, &domain), -ENOMEM);
	assert_int_equal(via_user_pages(f->user), 0);
	f->mm.memlock_limit = 16 * PAGE;
	domain = domain_of(f->ioas);
	assert_int_equal(via_user_pages(f->user), 16);
	assert_int_equal(via_ioas_unmap_range(f->ioas, 0x10000, 0x1ffff, &bytes), 0);
	via_domain_free(domain);
}

static int map_file(struct fixture *f, struct via_ioas *ioas, via_iova_t iova, int fd, uint64_t start,
		    uint64_t len, unsigned int prot, const struct via_ledger_owner *owner)
{
	struct via_pages *pages;
	int rc = via_pages_new_file(fd, start, len, prot & VIA_PROT_WRITE, owner, &pages);

	assert_int_equal(rc, 0);
	rc = via_ioas_map_pages(ioas, pages, 0, len, prot, VIA_IOAS_FIXED, &iova, NULL);
	via_pages_put(pages);
	return rc;
}

static void test_case_62_change_process(void **state)
{
	struct fixture *f = *state;
	struct via_mm child = f->mm;
	struct via_ledger_owner owner = { &child, via_user_get(54321), VIA_CHARGE_USER, true };
	struct via_ledger_owner other;
	struct via_domain *domain = domain_of(f->ioas);
	int fd = memfd_of(16 * PAGE);
	uint64_t bytes;

	assert_int_equal(via_ioas_change_owner(&f->ioas, 1, &owner), 0);
	assert_int_equal(map_at(f, f->ioas, 0x10000, 0, PAGE, RW), 0);
	assert_int_equal(via_ioas_change_owner(&f->ioas, 1, &owner), -EINVAL);
	assert_int_equal(via_ioas_unmap_range(f->ioas, 0x10000, 0x10fff, &bytes), 0);
	/* In either mode, and in none. */
	assert_int_equal(map_file(f, f->ioas, 0x10000, fd, 0, 3 * PAGE, RW, &f->owner), 0);
	f->owner.mode = VIA_CHARGE_MM;
	assert_int_equal(map_file(f, f->ioas, 0x20000, fd, 0, 2 * PAGE, RW, &f->owner), 0);
	f->owner.mode = VIA_CHARGE_NONE;
	assert_int_equal(map_file(f, f->ioas, 0x30000, fd, 0, PAGE, RW, &f->owner), 0);
	assert_int_equal(f->mm.pinned_pages, 6);
	assert_int_equal(via_ioas_change_owner(&f->ioas, 1, &owner), 0);
	assert_int_equal(f->mm.pinned_pages, 0);
	assert_int_equal(f->mm.locked_pages, 0);
	assert_int_equal(via_user_pages(f->user), 0);
	assert_int_equal(child.pinned_pages, 6);
	assert_int_equal(child.locked_pages, 2);
	assert_int_equal(via_user_pages(owner.user), 3);
	/* Another user of the same process pays what users pay. */
	other = owner;
	other.user = via_user_get(666);
	assert_int_equal(via_ioas_change_owner(&f->ioas, 1, &other), 0);
	assert_int_equal(via_user_pages(owner.user), 0);
	assert_int_equal(via_user_pages(other.user), 3);
	assert_int_equal(child.pinned_pages, 6);
	assert_int_equal(via_ioas_change_owner(&f->ioas, 1, &owner), 0);
	via_user_put(other.user);
	/* To the same once more changes nothing. */
	assert_int_equal(via_ioas_change_owner(&f->ioas, 1, &owner), 0);
	assert_int_equal(child.pinned_pages, 6);
	assert_int_equal(via_ioas_unmap_range(f->ioas, 0, UINT64_MAX, &bytes), 0);
	assert_int_equal(child.pinned_pages + child.locked_pages + via_user_pages(owner.user), 0);
	via_domain_free(domain);
	via_user_put(owner.user);
	(void)close(fd);
	assert_int_equal(child.refs, f->mm.refs);
}

static void test_case_63_change_process_beyond_limit(void **state)
{
	struct fixture *f = *state;
	struct via_mm child = f->mm;
	struct via_ledger_owner owner = { &child, f->user, VIA_CHARGE_MM, true };
	struct via_domain *domain = domain_of(f->ioas);
	int fd = memfd_of(16 * PAGE);
	uint64_t bytes;

	assert_int_equal(map_file(f, f->ioas, 0x10000, fd, 0, PAGE, RW, &f->owner), 0);
	f->owner.mode = VIA_CHARGE_MM;
	assert_int_equal(map_file(f, f->ioas, 0x20000, fd, 0, 2 * PAGE, RW, &f->owner), 0);
	child.memlock_limit = 0;
	assert_int_equal(via_ioas_change_owner(&f->ioas, 1, &owner), -ENOMEM);
	assert_int_equal(f->mm.pinned_pages, 3);
	assert_int_equal(f->mm.locked_pages, 2);
	assert_int_equal(via_user_pages(f->user), 1);
	assert_int_equal(child.pinned_pages + child.locked_pages, 0);
	assert_int_equal(via_ioas_unmap_range(f->ioas, 0, UINT64_MAX, &bytes), 0);
	via_domain_free(domain);
	(void)close(fd);
}

/* Files ------------------------------------------------------------------------ */

static int pin_file(struct fixture *f, int fd, uint64_t start, uint64_t len)
{
	struct via_pages *pages;
	int rc;

	assert_int_equal(via_pages_new_file(fd, start, len, true, &f->owner, &pages), 0);
	rc = via_pages_pin(pages, 0, len);
	if (!rc)
		via_pages_unpin(pages, 0, len);
	via_pages_put(pages);
	return rc;
}

static void test_files_are_checked_when_pinned(void **state)
{
	struct fixture *f = *state;
	int memfd = memfd_of(0x1800), dir = open("/", O_RDONLY | O_DIRECTORY);
	int disk = open("/proc/self/exe", O_RDONLY), p[2];

	assert_int_equal(pipe(p), 0);
	/* As a kernel answers, also for the page in which the file ends. */
	assert_int_equal(pin_file(f, memfd, 0, 0x800), 0);
	assert_int_equal(pin_file(f, memfd, 0, 0x1000), 0);
	assert_int_equal(pin_file(f, memfd, 0, 0x1800), -EINVAL);
	assert_int_equal(pin_file(f, memfd, 0x1000, 0x800), -EINVAL);
	assert_int_equal(pin_file(f, memfd, 0x2000, 0x1000), -EINVAL);
	assert_int_equal(pin_file(f, memfd, UINT64_MAX - 0xfff, 0x1000), -EINVAL);
	assert_int_equal(pin_file(f, dir, 0, 0x1000), -EINVAL);
	assert_int_equal(pin_file(f, disk, 0, 0x1000), -EINVAL);
	assert_int_equal(pin_file(f, p[0], 0, 0x1000), -EINVAL);
	(void)close(memfd);
	(void)close(dir);
	(void)close(disk);
	(void)close(p[0]);
	(void)close(p[1]);
}

/* Write 'x' to the first byte as a device does. */
static int write_pinned(struct via_pages *pages)
{
	struct via_piece *pieces;
	struct via_store_run run;
	struct iovec iov = { (char[]){ 'x' }, 1 };
	size_t n;
	int rc;

	assert_int_equal(via_pages_pieces(pages, 0, PAGE, &pieces, &n), 0);
	run = (struct via_store_run){ pieces[0].store, pieces[0].store_offset, 1 };
	rc = via_store_writev(&run, 1, &iov, 1);
	via_pieces_free(pieces, n);
	return rc;
}

static void test_file_needs_no_write_permission(void **state)
{
	struct fixture *f = *state;
	int fd = memfd_of(4 * PAGE), ro, sealed = memfd_of(PAGE);
	struct via_pages *pages;
	char name[64], byte = 0;

	(void)snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	ro = open(name, O_RDONLY);
	assert_int_equal(via_pages_new_file(ro, 0, PAGE, true, &f->owner, &pages), 0);
	/* The pages keep the file. */
	(void)close(ro);
	assert_int_equal(via_pages_pin(pages, 0, PAGE), 0);
	assert_int_equal(write_pinned(pages), 0);
	assert_int_equal(pread(fd, &byte, 1, 0), 1);
	assert_int_equal(byte, 'x');
	via_pages_unpin(pages, 0, PAGE);
	via_pages_put(pages);
	/* Sealed: it can be mapped for DMA and read, but nobody in user space can write it. */
	assert_int_equal(fcntl(sealed, F_ADD_SEALS, F_SEAL_WRITE), 0);
	assert_int_equal(via_pages_new_file(sealed, 0, PAGE, true, &f->owner, &pages), 0);
	assert_int_equal(via_pages_pin(pages, 0, PAGE), 0);
	assert_int_equal(write_pinned(pages), -EACCES);
	via_pages_unpin(pages, 0, PAGE);
	via_pages_put(pages);
	(void)close(fd);
	(void)close(sealed);
}

/* Another user's file that we may only read, or only write. */
static void test_file_of_another_user(void **state)
{
	struct fixture *f = *state;
	const bool root = !geteuid();
	int fd = memfd_of(PAGE), ro, wo;
	struct via_pages *read_only, *write_only;
	char name[64], byte = 1;

	(void)snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	ro = open(name, O_RDONLY);
	wo = open(name, O_WRONLY);
	assert_true(ro >= 0 && wo >= 0);
	assert_int_equal(fchmod(fd, 0), 0);
	assert_int_equal(via_pages_new_file(ro, 0, PAGE, true, &f->owner, &read_only), 0);
	assert_int_equal(via_pages_new_file(wo, 0, PAGE, false, &f->owner, &write_only), 0);
	if (root)
		assert_int_equal(seteuid(65534), 0);
	assert_int_equal(via_pages_pin(read_only, 0, PAGE), 0);
	assert_int_equal(write_pinned(read_only), -EACCES);
	assert_int_equal(via_pages_pin(write_only, 0, PAGE), -EFAULT);
	if (root)
		assert_int_equal(seteuid(0), 0);
	assert_int_equal(pread(fd, &byte, 1, 0), 1);
	assert_int_equal(byte, 0);
	via_pages_unpin(read_only, 0, PAGE);
	via_pages_put(read_only);
	via_pages_put(write_only);
	(void)close(fd);
	(void)close(ro);
	(void)close(wo);
}

static int failing;

static int fail_backing(struct via_mm *mm, uint64_t addr, uint64_t len, unsigned int prot,
			struct via_backing *ret)
{
	return failing;
}

/* That we have too few descriptors is no fault of the memory's. */
static void test_no_descriptors(void **state)
{
	struct fixture *f = *state;
	const struct via_mm_ops *ops = f->mm.ops;
	struct via_mm_ops failing_ops = *ops;
	struct via_pages *pages = pages_of(f, 0, PAGE);

	failing_ops.backing = fail_backing;
	f->mm.ops = &failing_ops;
	failing = -EMFILE;
	assert_int_equal(via_pages_pin(pages, 0, PAGE), -ENOMEM);
	failing = -ENFILE;
	assert_int_equal(via_pages_pin(pages, 0, PAGE), -ENOMEM);
	failing = -ENOMEM;
	assert_int_equal(via_pages_pin(pages, 0, PAGE), -ENOMEM);
	failing = -EACCES;
	assert_int_equal(via_pages_pin(pages, 0, PAGE), -EFAULT);
	f->mm.ops = ops;
	assert_int_equal(via_pages_pin(pages, 0, PAGE), 0);
	/* As many pins as can be counted. */
	pages->spans[0].count = UINT_MAX;
	assert_int_equal(via_pages_pin(pages, 0, PAGE), -ENOMEM);
	pages->spans[0].count = 1;
	via_pages_unpin(pages, 0, PAGE);
	via_pages_put(pages);
}

static unsigned int n_lines(const char *path, const char *what)
{
	FILE *file = fopen(path, "re");
	unsigned int n = 0;
	char line[512];

	assert_non_null(file);
	while (fgets(line, sizeof(line), file))
		n += strstr(line, what) != NULL;
	(void)fclose(file);
	return n;
}

static void test_large_and_many_files(void **state)
{
	/* ThreadSanitizer leaves no room for more. */
	const uint64_t size = (uint64_t)1 << (VIA_EPOCH_TSAN ? 32 : 40);
	struct fixture *f = *state;
	int fd = memfd_of(size), next, last;
	struct via_pages *pages, *many[1000];
	struct timespec from, to;

	f->owner.mode = VIA_CHARGE_NONE;
	/* 1 TiB that holds nothing: no work per page. */
	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
	assert_int_equal(via_pages_new_file(fd, 0, size, true, &f->owner, &pages), 0);
	assert_int_equal(via_pages_pin(pages, 0, size), 0);
	assert_int_equal(via_pages_pinned(pages), size / PAGE);
	via_pages_unpin(pages, 0, size);
	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
	via_pages_put(pages);
	assert_true((to.tv_sec - from.tv_sec) * 1000000000 + to.tv_nsec - from.tv_nsec < 50000000);
	/* Many maps of one file cost neither descriptors nor mappings. */
	next = dup(fd);
	(void)close(next);
	for (size_t i = 0; i < 1000; i++) {
		assert_int_equal(via_pages_new_file(fd, i * PAGE, PAGE, true, &f->owner, &many[i]), 0);
		assert_int_equal(via_pages_pin(many[i], 0, PAGE), 0);
	}
	assert_true(n_lines("/proc/self/maps", "memfd:via-test") <= 2);
	last = dup(fd);
	assert_true(last <= next + 2);
	(void)close(last);
	for (size_t i = 0; i < 1000; i++) {
		via_pages_unpin(many[i], 0, PAGE);
		via_pages_put(many[i]);
	}
	assert_int_equal(n_lines("/proc/self/maps", "memfd:via-test"), 0);
	(void)close(fd);
}

/* Copies ----------------------------------------------------------------------- */

static void test_copies(void **state)
{
	struct fixture *f = *state;
	struct via_pages *pages = pages_of(f, 10, 8 * PAGE), *file;
	uint8_t buf[8 * PAGE];
	uint64_t done;
	int fd = memfd_of(4 * PAGE);

	/* cmocka has put its own handlers before this test. */
	assert_int_equal(via_guard_install(), 0);
	assert_int_equal(via_pages_pin(pages, 2 * PAGE, PAGE), 0);
	assert_int_equal(via_pages_copy(pages, 0, buf, 8 * PAGE, false, &done), 0);
	assert_int_equal(done, 8 * PAGE);
	assert_memory_equal(buf, f->mem + 10, 8 * PAGE);
	memset(buf, 0xee, sizeof(buf));
	assert_int_equal(via_pages_copy(pages, PAGE, buf, 3 * PAGE, true, &done), 0);
	assert_memory_equal(f->mem + 10 + PAGE, buf, 3 * PAGE);
	assert_int_equal(f->mem[10 + 4 * PAGE], 5);
	via_pages_unpin(pages, 2 * PAGE, PAGE);
	/* What comes before the bad page is done. */
	assert_int_equal(munmap(f->mem + 6 * PAGE, PAGE), 0);
	assert_int_equal(via_pages_copy(pages, 0, buf, 8 * PAGE, false, &done), -EFAULT);
	assert_int_equal(done, 6 * PAGE - 10);
	assert_memory_equal(buf, f->mem + 10, 6 * PAGE - 10);
	via_pages_put(pages);
	assert_int_equal(via_pages_new_file(fd, PAGE, 2 * PAGE, true, &f->owner, &file), 0);
	assert_int_equal(via_pages_copy(file, 100, (char[]){ "hello" }, 5, true, &done), 0);
	assert_int_equal(pread(fd, buf, 5, PAGE + 100), 5);
	assert_memory_equal(buf, "hello", 5);
	assert_int_equal(ftruncate(fd, 2 * PAGE), 0);
	assert_int_equal(via_pages_copy(file, 0, buf, 2 * PAGE, false, &done), -EINVAL);
	assert_int_equal(done, PAGE);
	via_pages_put(file);
	(void)close(fd);
}

/* Identity --------------------------------------------------------------------- */

static bool same(const struct via_page_identity *a, const struct via_page_identity *b)
{
	return a->space == b->space && a->object == b->object && a->page == b->page;
}

static void test_identity(void **state)
{
	struct fixture *f = *state;
	int fd = memfd_of(8 * PAGE);
	uint8_t *one = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	uint8_t *two = mmap(NULL, 4 * PAGE, PROT_READ, MAP_SHARED, fd, 4 * PAGE);
	uint8_t *anon = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct via_page_identity a, b, c;
	struct via_pages *pages;

	assert_int_equal(via_mm_identity(&f->mm, (uintptr_t)one + 5 * PAGE + 7, &a), 0);
	assert_int_equal(via_mm_identity(&f->mm, (uintptr_t)two + PAGE, &b), 0);
	assert_true(same(&a, &b));
	assert_int_equal(via_mm_identity(&f->mm, (uintptr_t)two, &b), 0);
	assert_false(same(&a, &b));
	/* A map of the file is the same page. */
	assert_int_equal(via_pages_new_file(fd, PAGE, 7 * PAGE, true, &f->owner, &pages), 0);
	assert_int_equal(via_pages_identity(pages, 4 * PAGE, &b), -EFAULT);
	assert_int_equal(via_pages_count_pins(&a), 0);
	assert_int_equal(via_pages_pin(pages, 0, 7 * PAGE), 0);
	assert_int_equal(via_pages_identity(pages, 4 * PAGE, &b), 0);
	assert_true(same(&a, &b));
	assert_int_equal(via_pages_count_pins(&a), 1);
	assert_int_equal(via_pages_pin(pages, 0, 7 * PAGE), 0);
	assert_int_equal(via_pages_count_pins(&a), 1);
	/* The file's first page is not in it. */
	assert_int_equal(via_mm_identity(&f->mm, (uintptr_t)one, &c), 0);
	assert_int_equal(via_pages_count_pins(&c), 0);
	via_pages_unpin(pages, 0, 7 * PAGE);
	via_pages_unpin(pages, 0, 7 * PAGE);
	assert_int_equal(via_pages_count_pins(&a), 0);
	via_pages_put(pages);

	/* Anonymous shared memory has an inode of its own, private memory has none. */
	assert_int_equal(via_mm_identity(&f->mm, (uintptr_t)anon + PAGE, &a), 0);
	assert_int_not_equal(a.object, 0);
	assert_int_equal(a.page, 1);
	assert_int_equal(via_mm_identity(&f->mm, (uintptr_t)f->mem + 3 * PAGE, &a), 0);
	assert_int_equal(a.object, 0);
	assert_int_equal(a.space, (uintptr_t)&f->mm);
	pages = pages_of(f, 2 * PAGE + 5, 4 * PAGE);
	assert_int_equal(via_pages_pin(pages, 0, 4 * PAGE), 0);
	assert_int_equal(via_pages_identity(pages, PAGE, &b), 0);
	assert_true(same(&a, &b));
	assert_int_equal(via_pages_count_pins(&a), 1);
	f->mem[3 * PAGE]++;
	assert_int_equal(via_mm_identity(&f->mm, (uintptr_t)f->mem + 3 * PAGE, &b), 0);
	assert_true(same(&a, &b));
	via_pages_unpin(pages, 0, 4 * PAGE);
	assert_int_equal(via_pages_count_pins(&a), 0);
	via_pages_put(pages);

	(void)munmap(two, 4 * PAGE);
	assert_int_equal(via_mm_identity(&f->mm, (uintptr_t)two, &a), -EFAULT);
	(void)munmap(one, 8 * PAGE);
	(void)munmap(anon, 2 * PAGE);
	(void)close(fd);
}

/* One page is pinned once however many domains and copies there are; MD_CHECK_REFS counts so. */
static void test_pins_of_a_page(void **state)
{
	struct fixture *f = *state;
	struct via_domain *a = domain_of(f->ioas), *b = domain_of(f->ioas);
	struct via_page_identity page;
	via_iova_t copy = 0x100000;
	uint64_t bytes;

	assert_int_equal(map_at(f, f->ioas, 0x10000, 0, 4 * PAGE, RW), 0);
	assert_int_equal(via_ioas_copy(f->ioas, f->ioas, 0x11000, PAGE, RW, VIA_IOAS_FIXED, &copy), 0);
	assert_int_equal(via_mm_identity(&f->mm, (uintptr_t)f->mem + PAGE, &page), 0);
	assert_int_equal(via_pages_count_pins(&page), 1);
	assert_int_equal(map_at(f, f->ioas, 0x20000, 0, 4 * PAGE, RW), 0);
	assert_int_equal(via_pages_count_pins(&page), 2);
	assert_int_equal(via_ioas_unmap_range(f->ioas, 0, UINT64_MAX, &bytes), 0);
	assert_int_equal(via_pages_count_pins(&page), 0);
	via_domain_free(a);
	via_domain_free(b);
}

/* Cuts ------------------------------------------------------------------------- */

static void test_cuts(void **state)
{
	struct fixture *f = *state;
	struct via_domain *domain = domain_of(f->ioas);
	struct via_dma *dma;
	uint64_t bytes;
	uint8_t buf[2 * PAGE];

	assert_int_equal(via_dma_new("test", &dma), 0);
	assert_int_equal(via_dma_attach(dma, f->ioas), 0);
	via_dma_enable(dma, true);
	assert_int_equal(map_at(f, f->ioas, 0x10000, 0, 12 * PAGE, RW), 0);
	for (via_iova_t iova = 0x10fff; iova < 0x1b000; iova += PAGE)
		assert_int_equal(via_ioas_cut(f->ioas, iova, false), 0);
	assert_int_equal(via_user_pages(f->user), 12);
	assert_int_equal(via_dma_read(dma, 0x10000 + 5 * PAGE / 2, buf, 2 * PAGE), 0);
	assert_memory_equal(buf, f->mem + 5 * PAGE / 2, 2 * PAGE);
	/* From the middle outwards. */
	for (unsigned int i = 0; i < 12; i++) {
		via_iova_t iova = 0x10000 + (i * 5 + 7) % 12 * PAGE;

		assert_int_equal(via_ioas_unmap_range(f->ioas, iova, iova + PAGE - 1, &bytes), 0);
		assert_int_equal(via_user_pages(f->user), 11 - i);
		assert_int_equal(via_dma_read(dma, iova, buf, 1), -EFAULT);
	}
	via_dma_free(dma);
	via_domain_free(domain);
}

/* Below the page size two halves share a slot: it is pinned until both are gone. */
static void test_cut_inside_a_slot(void **state)
{
	struct fixture *f = *state;
	struct via_pages *pages = pages_of(f, 0, 3 * PAGE);
	struct via_ioas_area *area = via_area_new(), low = { 0 }, high = { 0 };

	*area = (struct via_ioas_area){
		.first = 0x1000, .last = 0x3fff, .prot = RW, .pages = pages, .ioas = f->ioas,
	};
	assert_int_equal(via_area_load(area), 0);
	assert_ptr_equal(area->host, f->mem);
	/* And undone: as if nothing had been. */
	assert_int_equal(via_area_cut(area, PAGE + 512, &low, &high), 0);
	via_area_cut_undo(area, &low, &high);
	assert_int_equal(via_area_cut(area, PAGE + 512, &low, &high), 0);
	assert_ptr_equal(low.host, f->mem);
	assert_ptr_equal(high.host, f->mem + PAGE + 512);
	assert_int_equal(high.first, 0x2200);
	via_area_cut_done(area);
	assert_int_equal(via_pages_pinned(pages = low.pages), 3);
	via_area_unload(&low);
	assert_int_equal(via_pages_pinned(pages), 2);
	via_area_unload(&high);
	assert_int_equal(via_pages_pinned(pages), 0);
	via_pages_put(low.pages);
	via_pages_put(high.pages);
}

/* Concurrently ------------------------------------------------------------------- */

#define ROUNDS 3000

static void *pin_and_unpin(void *cookie)
{
	struct via_pages *pages = cookie;
	unsigned int seed = (unsigned int)(uintptr_t)&seed;

	for (unsigned int i = 0; i < ROUNDS; i++) {
		uint64_t offset = (uint64_t)rand_r(&seed) % (15 * PAGE);
		uint64_t len = 1 + (uint64_t)rand_r(&seed) % (15 * PAGE - offset);
		uint8_t buf[64];
		uint64_t done;

		if (via_pages_pin(pages, offset, len))
			return cookie;
		if (via_pages_copy(pages, offset, buf, len < 64 ? len : 64, false, &done))
			return cookie;
		via_pages_unpin(pages, offset, len);
	}
	return NULL;
}

static void test_concurrent_pins(void **state)
{
	struct fixture *f = *state;
	struct via_pages *pages = pages_of(f, 0, 16 * PAGE);
	pthread_t threads[3];
	void *failed;

	for (size_t i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, pin_and_unpin, pages), 0);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(pthread_join(threads[i], &failed), 0);
		assert_null(failed);
	}
	assert_int_equal(via_pages_pinned(pages), 0);
	via_pages_put(pages);
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(test_pins_are_counted_once),
		test(test_pin_is_all_or_nothing),
		test(test_pins_against_model),
		test(test_borders_go),
		test(test_gone_memory_is_not_pinned_again),
		test(test_case_57_user_mode),
		test(test_case_58_stores_are_separate),
		test(test_case_61_limit_is_met_when_attached),
		test(test_case_62_change_process),
		test(test_case_63_change_process_beyond_limit),
		test(test_files_are_checked_when_pinned),
		test(test_file_needs_no_write_permission),
		test(test_file_of_another_user),
		test(test_no_descriptors),
		test(test_large_and_many_files),
		test(test_copies),
		test(test_identity),
		test(test_pins_of_a_page),
		test(test_cuts),
		test(test_cut_inside_a_slot),
		test(test_concurrent_pins),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
