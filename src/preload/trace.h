/* SPDX-License-Identifier: MIT */
/* Where in the program a map or unmap comes from, for the DMA checker. */
#ifndef VIA_PRELOAD_TRACE_H
#define VIA_PRELOAD_TRACE_H

#include "host/door.h"

/*
 * Return addresses of the caller of ioctl(2), innermost first: how many. 0 for
 * other commands, without --check, and in a signal handler that has interrupted this function.
 */
unsigned int via_trace(unsigned long command, uint64_t frames[VIA_DOOR_FRAMES]);

/*
 * At the start: the first look at a stack loads a library, which must not happen in a
 * signal handler or in a child of many threads.
 */
void via_trace_init(void);

#endif
