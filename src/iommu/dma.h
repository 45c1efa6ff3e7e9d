/* SPDX-License-Identifier: MIT */
#ifndef VIA_IOMMU_DMA_H
#define VIA_IOMMU_DMA_H

#include "iommu/dma_log.h"
#include "iommu/domain.h"

/*
 * cancel(cookie) is called when an unmap has waited long for leases of this
 * device: it should cancel its I/O, so that they are put. It must not block
 * nor attach, and may run on any thread. Before the device attaches.
 */
void via_dma_set_cancel(struct via_dma *dma, void (*cancel)(void *cookie), void *cookie);

/* Refused accesses are told to check, which outlives the handle. Before the device attaches. */
struct via_check;
void via_dma_set_check(struct via_dma *dma, struct via_check *check);

/*
 * Have log (a reference of the DMA handle's own from then on) know of every
 * write that begins after the call. While there is a log no lease for writing
 * is given (-EOPNOTSUPP), and none may be out when it starts. -EINVAL: there is
 * one already.
 */
int via_dma_log_start(struct via_dma *dma, struct via_dma_log *log);
/* After the call no write is logged any more. Also when there is no log. */
void via_dma_log_stop(struct via_dma *dma);
/* The log with a reference for the caller, or NULL. */
struct via_dma_log *via_dma_log_of(struct via_dma *dma);

/*
 * As via_dma_attach(), to a domain (NULL: to nothing), which must outlive the
 * attachment: its writes are recorded there. Atomic for the device: it reaches the
 * old memory or the new.
 */
int via_dma_attach_domain(struct via_dma *dma, struct via_domain *domain);

#endif
