/* SPDX-License-Identifier: MIT */
#ifndef VIA_IOMMU_DMA_H
#define VIA_IOMMU_DMA_H

#include <viaduct/iommu.h>

/*
 * cancel(cookie) is called when an unmap has waited long for leases of this
 * device: it should cancel its I/O, so that they are put. It must not block
 * nor attach, and may run on any thread. Before the device attaches.
 */
void via_dma_set_cancel(struct via_dma *dma, void (*cancel)(void *cookie), void *cookie);

#endif
