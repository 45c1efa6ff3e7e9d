/* SPDX-License-Identifier: MIT */
/*
 * What a bus has that KVM can do by itself, as sorted sets: what is to be taken
 * out of KVM and what is to be put in when one set follows another. Nothing here
 * knows of a bus or asks the kernel.
 */
#ifndef VIA_BUS_KVM_DIFF_H
#define VIA_BUS_KVM_DIFF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <viaduct/kvm.h>

#include "bus/span.h"

struct via_kvm_want {
	struct via_kvm_item item; /* with error 0: KVM has it, or is to have it */
	bool changes;		  /* of the former set: goes; of the next one: comes */
};

/* Order of a set: by space and address. What is the same to KVM compares equal. */
int via_kvm_want_compare(const void *a, const void *b);

/*
 * Mark what is to be done so that KVM has @next instead of @old, both sorted. What is in
 * both keeps its error, unless it is one that @next begins with.
 */
void via_kvm_diff(struct via_kvm_want *old, size_t n_old, struct via_kvm_want *next, size_t n_next);

/* Does a joined list have a byte of @span? */
bool via_kvm_spans_touch(const struct via_bus_span *spans, size_t n, struct via_bus_span span);

/*
 * What is left of @zone without joined @holes, ascending. @out has room for n + 1.
 * Return: how many.
 */
size_t via_kvm_zone_cut(struct via_bus_span zone, const struct via_bus_span *holes, size_t n,
			struct via_bus_span *out);

/* Where a write that an ioeventfd takes may have bytes. */
struct via_bus_span via_kvm_item_span(const struct via_kvm_item *item);

#endif
