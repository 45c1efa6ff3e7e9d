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

/* The first span that ends at or after @addr: n if none does. */
static size_t first_at(const struct via_bus_span *spans, size_t n, uint64_t addr)
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

bool via_kvm_spans_touch(const struct via_bus_span *spans, size_t n, struct via_bus_span span)
{
	size_t i = first_at(spans, n, span.first);

	return i < n && spans[i].first <= span.last;
}

size_t via_kvm_zone_cut(struct via_bus_span zone, const struct via_bus_span *holes, size_t n,
			struct via_bus_span *out)
{
	uint64_t at = zone.first;
	size_t n_out = 0;

	for (size_t i = first_at(holes, n, zone.first); i < n && holes[i].first <= zone.last; i++) {
		if (holes[i].first > at)
			out[n_out++] = (struct via_bus_span){at, holes[i].first - 1};
		if (holes[i].last >= zone.last)
			return n_out;
		at = holes[i].last + 1;
	}
	out[n_out++] = (struct via_bus_span){at, zone.last};
	return n_out;
}

/* One of any length takes writes of up to 8 bytes. */
struct via_bus_span via_kvm_item_span(const struct via_kvm_item *item)
{
	uint64_t len = item->len ? item->len : 8;

	return (struct via_bus_span){item->addr,
				     item->addr + via_min_u64(len - 1, UINT64_MAX - item->addr)};
}
