/* SPDX-License-Identifier: MIT */
/*
 * Which pages a device has written: one bit for each page of some ranges of
 * IOVA, set by the device's way in (dma.c) after the bytes are there, taken by
 * whoever copies memory to another host.
 *
 * A write never waits and never needs memory: the bits are all there from the
 * beginning, as address space that takes a page when the first bit in it is
 * set. So that a program cannot ask for too much of it, pages are as large as
 * it takes for VIA_DMA_LOG_BITS to suffice.
 */
#ifndef VIA_IOMMU_DMA_LOG_H
#define VIA_IOMMU_DMA_LOG_H

#include <viaduct/iommu.h>

/* Ranges of a log, and bits in all of them: 2 TiB in pages of 4 KiB. */
#define VIA_DMA_LOG_RANGES 256u
#define VIA_DMA_LOG_BITS ((uint64_t)1 << 29)
#define VIA_DMA_LOG_SHIFT_MIN 12u

struct via_dma_log;

/*
 * Log what is written in the ranges, which must not overlap; one whose last
 * is before its first is empty. Pages are of 2^shift bytes (12 to 63) or
 * larger. -E2BIG for more than VIA_DMA_LOG_RANGES, -ENOMEM.
 */
int via_dma_log_new(const struct via_iova_range *ranges, size_t n_ranges, unsigned int shift,
		    struct via_dma_log **ret_log);
struct via_dma_log *via_dma_log_get(struct via_dma_log *log);
/* NULL allowed. */
void via_dma_log_put(struct via_dma_log *log);

/* log2 of the page size that was chosen. */
unsigned int via_dma_log_shift(const struct via_dma_log *log);

/* [iova, iova + len) has been written. Any thread, no lock. */
void via_dma_log_mark(struct via_dma_log *log, via_iova_t iova, uint64_t len);

/* The first byte of a marked page at or after iova and up to last. False: there is none. */
bool via_dma_log_next(const struct via_dma_log *log, via_iova_t iova, via_iova_t last,
		      via_iova_t *ret_iova);

/*
 * Set bit i of words (n_bits of them, zeroed by the caller) when
 * [iova + (i << shift), + 2^shift), clipped at last, touches a marked page. The
 * mark is cleared with the end of its page, if what lies before iova has been
 * taken from begin on: who takes a long stretch in pieces gives its beginning,
 * else iova. A page that is not taken as a whole is reported and stays marked.
 * Any thread.
 */
void via_dma_log_take(struct via_dma_log *log, via_iova_t begin, via_iova_t iova, via_iova_t last,
		      unsigned int shift, uint64_t *words, size_t n_bits);

#endif
