/* SPDX-License-Identifier: MIT */
/* A device's way in at its limits: sections, the log of faults, refusals before any memory. */
#include "base/epoch.h"
#include "iommu/dma.h"
#include "iommu/suspend.h"
#include "iommu/test-pages.h"

#include <time.h>

#define IOVA 0x100000u

/* The clock of the log of faults is ours, and that of waits while it stands still. */
static time_t seconds = 1000;
static bool stopped;

int __real_clock_gettime(clockid_t clock, struct timespec *ts);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ts);

int __wrap_clock_gettime(clockid_t clock, struct timespec *ts)
{
	if (clock != CLOCK_MONOTONIC_COARSE && !stopped)
		return __real_clock_gettime(clock, ts);
	*ts = (struct timespec){.tv_sec = seconds};
	return 0;
}

struct card {
	struct fixture *f;
	struct via_domain *domain;
	struct via_dma *dma;
	struct via_mm_ops ops; /* of a program that is not us: its memory is copied */
};

static size_t longest, n_reads;

static int measured_readv(struct via_mm *mm, const struct iovec *local, size_t n_local,
			  const struct iovec *remote, size_t n_remote)
{
	size_t len = 0;

	for (size_t i = 0; i < n_remote; i++)
		len += remote[i].iov_len;
	longest = len > longest ? len : longest;
	n_reads++;
	for (size_t i = 0; i < n_local; i++)
		memset(local[i].iov_base, 0, local[i].iov_len);
	return 0;
}

static void card_new(struct card *card, struct fixture *f)
{
	card->f = f;
	f->mm.memlock_limit = UINT64_MAX;
	card->ops = *f->mm.ops;
	card->ops.readv = measured_readv;
	longest = n_reads = 0;
	card->domain = domain_of(f->ioas);
	assert_int_equal(via_dma_new("card", &card->dma), 0);
	via_dma_enable(card->dma, true);
	assert_int_equal(via_dma_attach_domain(card->dma, card->domain), 0);
}

static void card_free(struct card *card)
{
	uint64_t bytes;

	via_dma_free(card->dma);
	assert_int_equal(via_ioas_unmap_range(card->f->ioas, 0, UINT64_MAX, &bytes), 0);
	via_domain_free(card->domain);
}

/* Who is in a section would wait for itself. */
static void test_attach_in_a_section(void **state)
{
	struct card card;

	card_new(&card, *state);
	via_epoch_enter();
	assert_int_equal(via_dma_attach(card.dma, NULL), -EDEADLK);
	via_epoch_exit();
	card_free(&card);
}

/* A lease without an address space, or without leave, is a fault of the device. */
static void test_refused_leases(void **state)
{
	const struct via_dma_seg seg = {IOVA, 8};
	struct via_dma_stats stats;
	struct via_lease lease;
	struct card card;
	size_t n;

	card_new(&card, *state);
	assert_int_equal(map_at(card.f, card.f->ioas, IOVA, 0, PAGE, RW), 0);
	via_dma_enable(card.dma, false);
	assert_int_equal(via_dma_lease(card.dma, &seg, 1, VIA_PROT_READ, &lease, 1, &n), -EPERM);
	via_dma_enable(card.dma, true);
	assert_int_equal(via_dma_attach(card.dma, NULL), 0);
	assert_int_equal(via_dma_lease(card.dma, &seg, 1, VIA_PROT_READ, &lease, 1, &n), -EFAULT);
	via_dma_get_stats(card.dma, &stats);
	assert_int_equal(stats.faults, 2);
	assert_int_equal(stats.accesses, 0);
	card_free(&card);
}

/* More pieces than a section takes. */
static void test_many_pieces(void **state)
{
	struct via_dma_seg segs[1000];
	uint8_t buf[8000], back[8000];
	struct card card;

	card_new(&card, *state);
	assert_int_equal(map_at(card.f, card.f->ioas, IOVA, 0, 8 * PAGE, RW), 0);
	for (size_t i = 0; i < 1000; i++)
		segs[i] = (struct via_dma_seg){IOVA + 16 * (999 - i), 8};
	for (size_t i = 0; i < sizeof(buf); i++)
		buf[i] = (uint8_t)(i * 31 + i / 256);
	assert_int_equal(via_dma_writev(card.dma, segs, 1000, buf), 0);
	assert_int_equal(via_dma_readv(card.dma, segs, 1000, back), 0);
	assert_memory_equal(buf, back, sizeof(buf));
	for (size_t i = 0; i < 1000; i++)
		assert_memory_equal(card.f->mem + 16 * (999 - i), buf + 8 * i, 8);
	card_free(&card);
}

/* Memory that is copied by system calls: 256 KiB at a time, and not a byte more. */
static void test_sections(void **state)
{
	struct via_dma_seg segs[8];
	static uint8_t buf[8 * 65536];
	struct card card;

	card_new(&card, *state);
	card.f->mm.ops = &card.ops;
	card.f->mm.pid = getpid();
	for (uint64_t i = 0; i < 8; i++) {
		assert_int_equal(map_at(card.f, card.f->ioas, IOVA + (i << 20), 0, 65536, RW), 0);
		segs[i] = (struct via_dma_seg){IOVA + (i << 20), 65536};
	}
	assert_int_equal(via_dma_readv(card.dma, segs, 8, buf), 0);
	assert_int_equal(longest, 4 * 65536);
	assert_int_equal(n_reads, 2);
	card_free(&card);
}

/* The log of faults: so many in so many seconds. */
static unsigned int n_lines;

static void on_line(void *cookie, enum via_log_level level, const char *text)
{
	n_lines++;
}

static void test_log_of_faults(void **state)
{
	struct card card;
	uint8_t byte;

	card_new(&card, *state);
	via_log_set(on_line, NULL, VIA_LOG_WARNING);
	n_lines = 0;
	for (unsigned int i = 0; i < 20; i++)
		assert_int_equal(via_dma_read(card.dma, 0x5000, &byte, 1), -EFAULT);
	assert_int_equal(n_lines, 8);
	seconds += 4;
	assert_int_equal(via_dma_read(card.dma, 0x5000, &byte, 1), -EFAULT);
	assert_int_equal(n_lines, 8);
	seconds += 1;
	assert_int_equal(via_dma_read(card.dma, 0x5000, &byte, 1), -EFAULT);
	assert_int_equal(n_lines, 9);
	via_log_set(NULL, NULL, VIA_LOG_WARNING);
	card_free(&card);
}

/* A wait ends at the time that it is given, not after it. */
static void test_end_of_a_wait(void **state)
{
	struct via_bell bell = {0};
	bool rung;

	(void)alarm(20);
	stopped = true;
	rung = via_bell_wait(&bell, 0, (uint64_t)seconds * 1000000000);
	stopped = false;
	assert_false(rung);
	(void)alarm(0);
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(test_attach_in_a_section), test(test_refused_leases),
		test(test_many_pieces),		test(test_sections),
		test(test_log_of_faults),	test(test_end_of_a_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
