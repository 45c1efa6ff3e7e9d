/* SPDX-License-Identifier: MIT */
#ifndef VIA_PRELOAD_DOORBELL_H
#define VIA_PRELOAD_DOORBELL_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Have the host see the next write to the doorbell pages [addr, addr + len) of
 * mapping id, at offset of the mapping. False: userfaultfd cannot do it here,
 * writes have to be trapped.
 */
bool via_doorbell_watch(uint64_t id, uint64_t offset, uint64_t addr, uint64_t len);

#endif
