/* SPDX-License-Identifier: MIT */
/* CHANGE_PROCESS: another one pays for all that several IOASes have pinned (spec iommu.md 2.6.9). */
#include "iommu/ioas-private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The page stores of all areas. */
struct stores {
	struct via_pages **pages;
	size_t n, room;
};

static int compare(const void *a, const void *b)
{
	uintptr_t x, y;

	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return (x > y) - (x < y);
}

/* Sort pointers, and let one of each stay. */
static size_t sort(void *pointers, size_t n)
{
	void **p = pointers;
	size_t kept = 0;

	if (n)
		qsort(p, n, sizeof(*p), compare);
	for (size_t i = 0; i < n; i++)
		if (!kept || p[kept - 1] != p[i])
			p[kept++] = p[i];
	return kept;
}

static int add(struct stores *stores, struct via_pages *pages)
{
	/* Neighbours often have the same one. */
	if (stores->n && stores->pages[stores->n - 1] == pages)
		return 0;
	if (stores->n == stores->room) {
		size_t room = stores->room ? 2 * stores->room : 64;
		struct via_pages **more = reallocarray(stores->pages, room, sizeof(more[0]));

		if (!more)
			return -ENOMEM;
		stores->pages = more;
		stores->room = room;
	}
	stores->pages[stores->n++] = pages;
	return 0;
}

/* For via_ioas_each_area(); cookie NULL: only check. */
static int visit(void *cookie, const struct via_ioas_area *area)
{
	if (!area->complete)
		return -EBUSY;
	if (via_pages_kind(area->pages) != VIA_PAGES_FILE)
		return -EINVAL;
	return cookie ? add(cookie, area->pages) : 0;
}

static int each(struct via_ioas *const *ioases, size_t n, struct stores *stores)
{
	int rc = 0;

	for (size_t i = 0; i < n && !rc; i++)
		rc = via_ioas_each_area(ioases[i], visit, stores);
	return rc;
}

int via_ioas_change_owner(struct via_ioas *const *ioases, size_t n,
			  const struct via_ledger_owner *owner)
{
	struct stores stores = { 0 };
	struct via_ioas **sorted;
	int rc;

	/* What is being mapped is busy, not waited for. */
	rc = each(ioases, n, NULL);
	if (rc || !n)
		return rc;
	sorted = calloc(n, sizeof(sorted[0]));
	if (!sorted)
		return -ENOMEM;
	memcpy(sorted, ioases, n * sizeof(sorted[0]));
	(void)sort(sorted, n);
	/* Nothing is pinned meanwhile, nor unmapped. */
	for (size_t i = 0; i < n; i++)
		pthread_rwlock_wrlock(&sorted[i]->domains_lock);
	rc = each(ioases, n, &stores);
	if (!rc)
		rc = via_pages_change_owner(stores.pages, sort(stores.pages, stores.n), owner->mm,
					    owner);
	for (size_t i = 0; i < n; i++)
		pthread_rwlock_unlock(&sorted[i]->domains_lock);
	free(stores.pages);
	free(sorted);
	return rc;
}
