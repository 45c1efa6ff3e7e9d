/* SPDX-License-Identifier: MIT */
#include "iommu/dma_log.h"

#include "base/util.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

struct range {
	via_iova_t first, last;
	uint64_t bit; /* of its first page */
};

struct via_dma_log {
	int refs; /* atomic */
	/* Constant after via_dma_log_new(). */
	unsigned int shift;
	uint64_t *words; /* atomic, each */
	size_t size;	 /* bytes of words, mapped */
	size_t n_ranges;
	struct range ranges[]; /* ascending */
};

/* Pages of a range; the last one may be cut by its end. */
static uint64_t n_pages(const struct range *range, unsigned int shift)
{
	return ((range->last - range->first) >> shift) + 1;
}

static int compare(const void *a, const void *b)
{
	const struct range *x = a, *y = b;

	return (x->first > y->first) - (x->first < y->first);
}

static uint64_t lay_out(struct via_dma_log *log)
{
	uint64_t bits = 0;

	for (size_t i = 0; i < log->n_ranges; i++) {
		log->ranges[i].bit = bits;
		if (__builtin_add_overflow(bits, n_pages(&log->ranges[i], log->shift), &bits))
			return UINT64_MAX;
	}
	return bits;
}

int via_dma_log_new(const struct via_iova_range *ranges, size_t n_ranges, unsigned int shift,
		    struct via_dma_log **ret_log)
{
	struct via_dma_log *log;
	uint64_t bits;

	if (n_ranges > VIA_DMA_LOG_RANGES)
		return -E2BIG;
	log = calloc(1, sizeof(*log) + n_ranges * sizeof(log->ranges[0]));
	if (!log)
		return -ENOMEM;
	log->refs = 1;
	for (size_t i = 0; i < n_ranges; i++)
		if (ranges[i].last >= ranges[i].first)
			log->ranges[log->n_ranges++] =
				(struct range){ranges[i].first, ranges[i].last, 0};
	qsort(log->ranges, log->n_ranges, sizeof(log->ranges[0]), compare);
	log->shift = shift;
	while ((bits = lay_out(log)) > VIA_DMA_LOG_BITS)
		log->shift++;
	log->size = bits / 64 * 8 + 8;
	log->words = mmap(NULL, log->size, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (log->words == MAP_FAILED) {
		free(log);
		return -ENOMEM;
	}
	*ret_log = log;
	return 0;
}

struct via_dma_log *via_dma_log_get(struct via_dma_log *log)
{
	__atomic_fetch_add(&log->refs, 1, __ATOMIC_RELAXED);
	return log;
}

void via_dma_log_put(struct via_dma_log *log)
{
	if (!log || __atomic_sub_fetch(&log->refs, 1, __ATOMIC_ACQ_REL))
		return;
	munmap(log->words, log->size);
	free(log);
}

unsigned int via_dma_log_shift(const struct via_dma_log *log)
{
	return log->shift;
}

/* The first range that ends at or after iova; n_ranges if there is none. */
static size_t find(const struct via_dma_log *log, via_iova_t iova)
{
	size_t low = 0, high = log->n_ranges;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (log->ranges[mid].last < iova)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static void set_bits(uint64_t *words, uint64_t bit, uint64_t n)
{
	while (n) {
		unsigned int shift = bit % 64;
		uint64_t count = via_min_u64(n, 64 - shift);
		uint64_t mask = count == 64 ? UINT64_MAX : (((uint64_t)1 << count) - 1) << shift;
		uint64_t *word = &words[bit / 64];

		/* Most writes hit a page that is marked already. */
		if (mask & ~__atomic_load_n(word, __ATOMIC_RELAXED))
			__atomic_fetch_or(word, mask, __ATOMIC_RELEASE);
		bit += count;
		n -= count;
	}
}

void via_dma_log_mark(struct via_dma_log *log, via_iova_t iova, uint64_t len)
{
	via_iova_t last;

	if (!via_range_last(iova, len, &last))
		return;
	/*
	 * The bytes are seen by whoever takes the mark that we find set: without
	 * this they could still be on their way while we look.
	 */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	for (size_t i = find(log, iova); i < log->n_ranges && log->ranges[i].first <= last; i++) {
		const struct range *r = &log->ranges[i];
		uint64_t from = (via_max_u64(iova, r->first) - r->first) >> log->shift;
		uint64_t to = (via_min_u64(last, r->last) - r->first) >> log->shift;

		set_bits(log->words, r->bit + from, to - from + 1);
	}
}

/* The first set bit in [bit, end), or end. */
static uint64_t next_bit(const struct via_dma_log *log, uint64_t bit, uint64_t end)
{
	while (bit < end) {
		uint64_t word =
			__atomic_load_n(&log->words[bit / 64], __ATOMIC_ACQUIRE) >> bit % 64;

		if (word)
			return via_min_u64(bit + (unsigned int)__builtin_ctzll(word), end);
		bit = (bit / 64 + 1) * 64;
	}
	return end;
}

bool via_dma_log_next(const struct via_dma_log *log, via_iova_t iova, via_iova_t last,
		      via_iova_t *ret_iova)
{
	for (size_t i = find(log, iova); i < log->n_ranges && log->ranges[i].first <= last; i++) {
		const struct range *r = &log->ranges[i];
		uint64_t from = (via_max_u64(iova, r->first) - r->first) >> log->shift;
		uint64_t to = (via_min_u64(last, r->last) - r->first) >> log->shift;
		uint64_t bit = next_bit(log, r->bit + from, r->bit + to + 1);

		if (bit <= r->bit + to) {
			*ret_iova = via_max_u64(iova, r->first + ((bit - r->bit) << log->shift));
			return true;
		}
	}
	return false;
}

/* The page at bit of r, as far as it is in [iova, last], in the caller's words. */
static void report(const struct via_dma_log *log, const struct range *r, uint64_t page,
		   via_iova_t begin, via_iova_t iova, via_iova_t last, unsigned int shift,
		   uint64_t *words, size_t n_bits, bool *ret_done)
{
	via_iova_t first = r->first + (page << log->shift), end;

	if (__builtin_add_overflow(first, ((uint64_t)1 << log->shift) - 1, &end) || end > r->last)
		end = r->last;
	*ret_done = first >= begin && end <= last;
	first = (via_max_u64(first, iova) - iova) >> shift;
	end = (via_min_u64(end, last) - iova) >> shift;
	end = via_min_u64(end, n_bits - 1);
	for (uint64_t i = first; i <= end; i++)
		words[i / 64] |= (uint64_t)1 << i % 64;
}

void via_dma_log_take(struct via_dma_log *log, via_iova_t begin, via_iova_t iova, via_iova_t last,
		      unsigned int shift, uint64_t *words, size_t n_bits)
{
	for (size_t i = find(log, iova); i < log->n_ranges && log->ranges[i].first <= last; i++) {
		const struct range *r = &log->ranges[i];
		uint64_t bit = r->bit + ((via_max_u64(iova, r->first) - r->first) >> log->shift);
		uint64_t end = r->bit + ((via_min_u64(last, r->last) - r->first) >> log->shift) + 1;

		for (; (bit = next_bit(log, bit, end)) < end; bit++) {
			bool done;

			report(log, r, bit - r->bit, begin, iova, last, shift, words, n_bits,
			       &done);
			/* The mark goes before the memory is copied: a write after it marks anew.
			 */
			if (done)
				__atomic_fetch_and(&log->words[bit / 64],
						   ~((uint64_t)1 << bit % 64), __ATOMIC_SEQ_CST);
		}
	}
}
