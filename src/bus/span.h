/* SPDX-License-Identifier: MIT */
/* Stretches of addresses: what a change touches, where KVM must not be. */
#ifndef VIA_BUS_SPAN_H
#define VIA_BUS_SPAN_H

#include <stddef.h>
#include <stdint.h>

/* Inclusive. */
struct via_bus_span {
	uint64_t first, last;
};

/* Sort spans and join those that overlap or touch. Return: how many are left. */
size_t via_bus_spans_join(struct via_bus_span *spans, size_t n);

#endif
