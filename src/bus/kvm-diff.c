/* SPDX-License-Identifier: MIT */
#include "bus/kvm-diff.h"

#include <stdlib.h>

#include "base/util.h"

static int compare(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

int via_kvm_want_compare(const void *pa, const void *pb)
{
	const struct via_kvm_item *a = &((const struct via_kvm_want *)pa)->item;
	const struct via_kvm_item *b = &((const struct via_kvm_want *)pb)->item;
	int c = compare(a->pio, b->pio);

	c = c ? c : compare(a->addr, b->addr);
	c = c ? c : compare(a->kind, b->kind);
	c = c ? c : compare(a->len, b->len);
	c = c ? c : compare(a->match, b->match);
	c = c ? c : compare(a->data, b->data);
	return c ? c : compare((uint64_t)a->fd, (uint64_t)b->fd);
}

/* KVM has the former one, or has refused it; the next one wants it, or cannot have it. */
static void same(struct via_kvm_want *old, struct via_kvm_want *next)
{
	bool had = !old->item.error, wanted = !next->item.error;

	old->changes = had && !wanted;
	next->changes = !had && wanted;
}

void via_kvm_diff(struct via_kvm_want *old, size_t n_old, struct via_kvm_want *next, size_t n_next)
{
	size_t i = 0, k = 0;

	while (i < n_old || k < n_next) {
		int c = i == n_old ? 1 : k == n_next ? -1 : via_kvm_want_compare(&old[i], &next[k]);

		if (c < 0) {
			old[i].changes = !old[i].item.error;
			i++;
		} else if (c > 0) {
			next[k].changes = !next[k].item.error;
			k++;
		} else {
			same(&old[i++], &next[k++]);
		}
	}
}

static int span_compare(const void *a, const void *b)
{
	return compare(((const struct via_kvm_span *)a)->start,
		       ((const struct via_kvm_span *)b)->start);
}

size_t via_kvm_spans_join(struct via_kvm_span *spans, size_t n)
{
	size_t kept = 0;

	if (!n)
		return 0;
	qsort(spans, n, sizeof(*spans), span_compare);
	for (size_t i = 1; i < n; i++) {
		/* Touching: where the former ends at 2^64 - 1 nothing comes behind it. */
		if (spans[kept].last == UINT64_MAX || spans[i].start <= spans[kept].last + 1)
			spans[kept].last = via_max_u64(spans[kept].last, spans[i].last);
		else
			spans[++kept] = spans[i];
	}
	return kept + 1;
}

/* The first span that ends at or after @addr: n if none does. */
static size_t first_at(const struct via_kvm_span *spans, size_t n, uint64_t addr)
{
	size_t low = 0, high = n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (spans[middle].last < addr)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

bool via_kvm_spans_touch(const struct via_kvm_span *spans, size_t n, struct via_kvm_span span)
{
	size_t i = first_at(spans, n, span.start);

	return i < n && spans[i].start <= span.last;
}

size_t via_kvm_zone_cut(struct via_kvm_span zone, const struct via_kvm_span *holes, size_t n,
			struct via_kvm_span *out)
{
	uint64_t at = zone.start;
	size_t n_out = 0;

	for (size_t i = first_at(holes, n, zone.start); i < n && holes[i].start <= zone.last; i++) {
		if (holes[i].start > at)
			out[n_out++] = (struct via_kvm_span){at, holes[i].start - 1};
		if (holes[i].last >= zone.last)
			return n_out;
		at = holes[i].last + 1;
	}
	out[n_out++] = (struct via_kvm_span){at, zone.last};
	return n_out;
}

/* One of any length takes writes of up to 8 bytes. */
struct via_kvm_span via_kvm_item_span(const struct via_kvm_item *item)
{
	uint64_t len = item->len ? item->len : 8;

	return (struct via_kvm_span){item->addr,
				     item->addr + via_min_u64(len - 1, UINT64_MAX - item->addr)};
}
