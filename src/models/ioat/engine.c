/* SPDX-License-Identifier: MIT */
/* What the device's thread does with a chain: fetch, copy, complete, one step after the other. */
#include "models/ioat/ioat.h"

#include "base/util.h"

#include <errno.h>

/* Of one engine that works in order on coherent memory the others are hints. */
#define CONTROL_BITS                                                                     \
	(IOAT_DESC_INT_EN | IOAT_DESC_SRC_SNOOP_DIS | IOAT_DESC_DEST_SNOOP_DIS |         \
	 IOAT_DESC_COMPL_WRITE | IOAT_DESC_FENCE | IOAT_DESC_NULL | IOAT_DESC_DEST_DCA | \
	 IOAT_DESC_HINT)

/* The lock is not held between these two. */
static uint32_t dma_begin(struct via_ioat *ioat)
{
	uint32_t generation = ioat->generation;

	ioat->busy = true;
	pthread_mutex_unlock(&ioat->lock);
	return generation;
}

/* False: the chain of before is not the business any more. */
static bool dma_end(struct via_ioat *ioat, uint32_t generation)
{
	pthread_mutex_lock(&ioat->lock);
	ioat->busy = false;
	if (ioat->stop)
		via_ioat_channel_stopped(ioat);
	return ioat->generation == generation;
}

/*
 * A function that may not master the bus cannot write completions or messages
 * either. That is also how a reset of the function finds the engine.
 */
static void fail_dma(struct via_ioat *ioat, uint32_t errors, int ret)
{
	via_ioat_channel_fail(ioat, errors, ret != -EPERM);
}

/* CHANSTS into memory. False: nothing more to do for the caller. */
static bool write_completion(struct via_ioat *ioat, enum ioat_state state)
{
	struct via_dma *dma = via_device_dma(ioat->dev);
	via_le64 status = via_cpu_to_le64(ioat->completed | state);
	uint64_t chancmp = ioat->chancmp;
	uint32_t generation = dma_begin(ioat);
	int ret = via_dma_write(dma, chancmp, &status, sizeof(status));

	if (!dma_end(ioat, generation))
		return false;
	if (ret < 0)
		fail_dma(ioat, IOAT_CHANERR_COMPLETION, ret);
	return ret >= 0;
}

/* Tell of errors, unless software has started the channel again meanwhile. */
static void report_errors(struct via_ioat *ioat)
{
	uint32_t errors = ioat->report;

	ioat->report = 0;
	if (ioat->state != IOAT_HALTED)
		return;
	if ((ioat->chanctrl & IOAT_CHANCTRL_ERR_COMPLETION_EN) &&
	    !(errors & IOAT_CHANERR_COMPLETION) && !write_completion(ioat, IOAT_HALTED))
		return;
	if ((ioat->chanctrl & IOAT_CHANCTRL_ERR_INT_EN) && (errors & ~ioat->chanerrmsk))
		via_ioat_interrupt(ioat);
}

/* Errors of a descriptor that has been read. */
static uint32_t check(const struct via_ioat *ioat, uint32_t control, uint64_t src, uint64_t dst,
		      uint32_t size)
{
	uint32_t errors = 0;
	uint64_t last;

	if (IOAT_DESC_OP(control) != IOAT_OP_COPY || (control & ~CONTROL_BITS))
		return IOAT_CHANERR_CONTROL;
	if (control & IOAT_DESC_NULL)
		return 0;
	if (!size || size > 1u << ioat->xfercap)
		return IOAT_CHANERR_LENGTH;
	if (!via_range_last(src, size, &last))
		errors |= IOAT_CHANERR_SRC_ADDR;
	if (!via_range_last(dst, size, &last))
		errors |= IOAT_CHANERR_DEST_ADDR;
	return errors;
}

static void take(struct via_ioat *ioat, const struct ioat_desc *desc)
{
	uint32_t control = via_le32_to_cpu(desc->control);
	uint64_t src = via_le64_to_cpu(desc->src), dst = via_le64_to_cpu(desc->dst);
	uint32_t size = via_le32_to_cpu(desc->size);
	uint32_t errors = check(ioat, control, src, dst, size);

	if (errors) {
		via_ioat_channel_fail(ioat, errors, true);
		return;
	}
	ioat->transfer = (struct via_ioat_transfer){
		.valid = true,
		.control = control,
		.src = src,
		.dst = dst,
		.left = control & IOAT_DESC_NULL ? 0 : size,
	};
}

/* Where the next descriptor is and what it says. Without the lock. 0, or an errno of DMA. */
static int read_desc(struct via_ioat *ioat, uint64_t last, bool stale, uint64_t *addr,
		     struct ioat_desc *ret_desc)
{
	struct via_dma *dma = via_device_dma(ioat->dev);
	via_le64 next;
	int ret;

	if (stale) {
		ret = via_dma_read(dma, last + offsetof(struct ioat_desc, next), &next,
				   sizeof(next));
		if (ret < 0)
			return ret;
		*addr = via_le64_to_cpu(next);
	}
	/* One that is not aligned is not looked at. */
	if (*addr % IOAT_DESC_ALIGN)
		return 0;
	return via_dma_read(dma, *addr, ret_desc, sizeof(*ret_desc));
}

static void fetch(struct via_ioat *ioat)
{
	bool last_of_chain = (uint16_t)(ioat->processed + 1) == ioat->dmacount;
	bool stale = ioat->next_stale;
	uint64_t addr = ioat->next, before = ioat->cdar;
	struct ioat_desc desc;
	uint32_t generation = dma_begin(ioat);
	int ret = read_desc(ioat, before, stale, &addr, &desc);

	if (!dma_end(ioat, generation))
		return;
	if (ret < 0) {
		fail_dma(ioat, ioat->first ? IOAT_CHANERR_CHAIN_ADDR : IOAT_CHANERR_NEXT_ADDR, ret);
	} else if (addr % IOAT_DESC_ALIGN) {
		via_ioat_channel_fail(
			ioat, ioat->first ? IOAT_CHANERR_CHAIN_ADDR : IOAT_CHANERR_NEXT_ALIGN,
			true);
	} else {
		ioat->first = false;
		ioat->cdar = addr;
		ioat->next = via_le64_to_cpu(desc.next);
		ioat->next_stale = last_of_chain;
		take(ioat, &desc);
	}
}

/* A piece; how many bytes were moved. */
static size_t copy(struct via_ioat *ioat)
{
	struct via_dma *dma = via_device_dma(ioat->dev);
	struct via_ioat_transfer *t = &ioat->transfer;
	size_t n = via_min_u64(t->left, IOAT_PIECE);
	uint64_t src = t->src, dst = t->dst;
	uint32_t generation = dma_begin(ioat);
	uint32_t error = IOAT_CHANERR_READ_DATA;
	int ret = via_dma_read(dma, src, ioat->piece, n);

	if (ret >= 0) {
		error = IOAT_CHANERR_WRITE_DATA;
		ret = via_dma_write(dma, dst, ioat->piece, n);
	}
	if (!dma_end(ioat, generation))
		return n;
	if (ret < 0) {
		fail_dma(ioat, error, ret);
	} else {
		t->src += n;
		t->dst += n;
		t->left -= n;
	}
	return n;
}

static void complete(struct via_ioat *ioat)
{
	uint32_t control = ioat->transfer.control;

	ioat->processed++;
	ioat->completed = ioat->cdar & IOAT_CHANSTS_ADDR;
	ioat->transfer.valid = false;
	/* The state is told in memory before the register: who sees DONE sees it all. */
	if ((control & IOAT_DESC_COMPL_WRITE) &&
	    !write_completion(ioat, via_ioat_channel_running(ioat)))
		return;
	ioat->state = ioat->suspending ? IOAT_SUSPENDED : via_ioat_channel_running(ioat);
	ioat->suspending = false;
	if (control & IOAT_DESC_INT_EN)
		via_ioat_interrupt(ioat);
}

/* What the step counts for in the turn. */
static size_t step(struct via_ioat *ioat)
{
	if (ioat->report) {
		report_errors(ioat);
	} else if (ioat->transfer.valid) {
		if (ioat->transfer.left)
			return IOAT_STEP_COST + copy(ioat);
		complete(ioat);
	} else if (via_ioat_channel_running(ioat) == IOAT_ACTIVE) {
		fetch(ioat);
	} else {
		ioat->state = IOAT_DONE; /* the count was taken back */
	}
	return IOAT_STEP_COST;
}

void via_ioat_work(struct via_device *dev, void *model, uint64_t events)
{
	struct via_ioat *ioat = model;
	size_t used = 0;

	pthread_mutex_lock(&ioat->lock);
	while (ioat->report || ioat->state == IOAT_ACTIVE) {
		if (used >= IOAT_TURN) {
			via_device_kick(dev, IOAT_WORK_RUN);
			break;
		}
		used += step(ioat);
	}
	pthread_mutex_unlock(&ioat->lock);
}
