/* SPDX-License-Identifier: MIT */
#include "bus/span.h"

#include <stdlib.h>

static int compare(const void *a, const void *b)
{
	const struct via_bus_span *x = a, *y = b;

	return (x->first > y->first) - (x->first < y->first);
}

size_t via_bus_spans_join(struct via_bus_span *spans, size_t n)
{
	size_t i, kept = 0;

	if (n)
		qsort(spans, n, sizeof(*spans), compare);
	for (i = 0; i < n; i++) {
		if (kept && (spans[i].first <= spans[kept - 1].last ||
			     spans[i].first - 1 == spans[kept - 1].last)) {
			if (spans[i].last > spans[kept - 1].last)
				spans[kept - 1].last = spans[i].last;
		} else {
			spans[kept++] = spans[i];
		}
	}
	return kept;
}
