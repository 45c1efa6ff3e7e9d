/* SPDX-License-Identifier: MIT */
/* The features of DMA logging (pci-config.md 6.11, rows 6 to 8). */
#include "base/util.h"
#include "device/migration.h"
#include "iommu/dma.h"
#include "vfio/feature.h"

#include <errno.h>
#include <stdlib.h>

/* A kernel's page of ranges. */
#define MAX_RANGES VIA_DMA_LOG_RANGES
/* Words of the caller's bitmap that are changed at once. */
#define WORDS 512u

typedef struct via_vfio_device_feature_dma_logging_control control_t;
typedef struct via_vfio_device_feature_dma_logging_range range_t;
typedef struct via_vfio_device_feature_dma_logging_report report_t;

/* Judged in the kernel's order, one range after the other. */
static int check_range(const range_t *range, uint64_t page_size,
		       const struct via_iova_range *before, uint32_t n_before,
		       struct via_iova_range *ret_range)
{
	uint64_t end;

	/* Meant for powers of two, and as loose as the kernel for others. */
	if ((range->iova | range->length) & (page_size - 1))
		return -EINVAL;
	if (__builtin_add_overflow(range->iova, range->length, &end))
		return -EOVERFLOW;
	*ret_range = (struct via_iova_range){range->iova, end - 1};
	for (uint32_t i = 0; i < n_before; i++)
		if (before[i].first <= ret_range->last && before[i].last >= ret_range->first)
			return -EINVAL;
	return 0;
}

static int get_ranges(struct via_caller *caller, const control_t *control,
		      struct via_iova_range *ranges)
{
	for (uint32_t i = 0; i < control->num_ranges; i++) {
		range_t range;
		int ret = via_copy_in(caller, &range, control->ranges + i * sizeof(range),
				      sizeof(range));

		if (!ret)
			ret = check_range(&range, control->page_size, ranges, i, &ranges[i]);
		if (ret)
			return ret;
	}
	return 0;
}

/* The page size that is asked for is a wish. */
static unsigned int wished_shift(uint64_t page_size)
{
	unsigned int shift = VIA_DMA_LOG_SHIFT_MIN;

	while (shift < 63 && (uint64_t)1 << shift < page_size)
		shift++;
	return shift;
}

static int start(struct via_device *dev, const struct via_iova_range *ranges, control_t *control)
{
	struct via_dma_log *log;
	int ret = via_dma_log_new(ranges, control->num_ranges, wished_shift(control->page_size),
				  &log);

	if (ret)
		return ret;
	ret = via_device_log_start(dev, log);
	control->page_size = (uint64_t)1 << via_dma_log_shift(log);
	via_dma_log_put(log);
	return ret;
}

long via_run_logging_start(struct via_device_file *df, struct via_caller *caller, uint32_t op,
			   uint64_t data, uint32_t len)
{
	struct via_device *dev = df->placed->dev;
	struct via_iova_range *ranges;
	control_t control;
	int ret;

	ret = via_copy_in(caller, &control, data, sizeof(control));
	if (ret < 0)
		return ret;
	if (!control.num_ranges)
		return -EINVAL;
	if (control.num_ranges > MAX_RANGES)
		return -E2BIG;
	ranges = calloc(control.num_ranges, sizeof(*ranges));
	if (!ranges)
		return -ENOMEM;
	ret = get_ranges(caller, &control, ranges);
	if (!ret)
		ret = start(dev, ranges, &control);
	free(ranges);
	if (ret)
		return ret;
	ret = via_copy_out(caller, data, &control, sizeof(control));
	if (ret < 0)
		via_device_log_stop(dev);
	return ret;
}

long via_run_logging_stop(struct via_device_file *df, struct via_caller *caller, uint32_t op,
			  uint64_t data, uint32_t len)
{
	via_device_log_stop(df->placed->dev);
	return 0;
}

/*
 * Add what is marked in [iova, last], whose bits are the first of n words at addr
 * in the caller. What does not arrive is marked again.
 */
static int report_words(struct via_dma_log *log, struct via_caller *caller, uint64_t begin,
			uint64_t iova, uint64_t last, unsigned int shift, uint64_t addr, size_t n)
{
	uint64_t marked[WORDS] = {0}, words[WORDS];
	int ret = via_copy_in(caller, words, addr, n * sizeof(words[0]));

	if (ret < 0)
		return ret;
	via_dma_log_take(log, begin, iova, last, shift, marked, n * 64);
	for (size_t i = 0; i < n; i++)
		words[i] |= marked[i];
	ret = via_copy_out(caller, addr, words, n * sizeof(words[0]));
	for (size_t i = 0; ret < 0 && i < n * 64; i++)
		if (marked[i / 64] >> i % 64 & 1)
			via_dma_log_mark(log, iova + ((uint64_t)i << shift), (uint64_t)1 << shift);
	return ret;
}

static int report(struct via_dma_log *log, struct via_caller *caller, const report_t *r)
{
	unsigned int shift = (unsigned int)__builtin_ctzll(r->page_size);
	uint64_t at = r->iova, last;

	if (!via_range_last(r->iova, r->length, &last))
		return 0;
	while (via_dma_log_next(log, at, last, &at)) {
		/* The words from that of at on, but not beyond the one of last. */
		uint64_t word = (at - r->iova) >> shift >> 6;
		uint64_t n = ((last - r->iova) >> shift >> 6) - word + 1;
		uint64_t first = r->iova + (word << shift << 6), end;
		int ret;

		n = via_min_u64(n, WORDS);
		/* Where the window ends, or wraps: at last at the latest. */
		end = n << 6 > UINT64_MAX >> shift ? last : first + ((n << 6 << shift) - 1);
		if (end < first || end > last)
			end = last;
		ret = report_words(log, caller, r->iova, first, end, shift, r->bitmap + word * 8,
				   (size_t)n);
		if (ret < 0)
			return ret;
		if (end == last)
			return 0;
		at = end + 1;
	}
	return 0;
}

long via_run_logging_report(struct via_device_file *df, struct via_caller *caller, uint32_t op,
			    uint64_t data, uint32_t len)
{
	struct via_dma_log *log;
	uint64_t end;
	report_t r;
	int ret;

	ret = via_copy_in(caller, &r, data, sizeof(r));
	if (ret < 0)
		return ret;
	if (r.page_size < 4096 || !via_is_pow2(r.page_size))
		return -EINVAL;
	if (__builtin_add_overflow(r.iova, r.length, &end))
		return -EOVERFLOW;
	log = via_dma_log_of(via_device_dma(df->placed->dev));
	if (!log)
		return -EINVAL;
	ret = report(log, caller, &r);
	via_dma_log_put(log);
	return ret;
}
