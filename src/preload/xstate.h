/* SPDX-License-Identifier: MIT */
/* Vector registers of an interrupted thread, in the xsave image of its signal frame. */
#ifndef VIA_PRELOAD_XSTATE_H
#define VIA_PRELOAD_XSTATE_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Copy the low len bytes (at most 64) of vector register n out of the frame.
 * False when the frame has no such register.
 */
bool via_xstate_get(const void *fpstate, unsigned int n, unsigned int len, void *bytes);

/*
 * Set the low len bytes of vector register n. zero_above: clear the rest of
 * the register, as a VEX or EVEX encoded instruction does.
 */
bool via_xstate_set(void *fpstate, unsigned int n, unsigned int len, const void *bytes,
		    bool zero_above);

#endif
