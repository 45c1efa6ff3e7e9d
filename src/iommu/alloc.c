/* SPDX-License-Identifier: MIT */
/*
 * The choice of an IOVA: the first that a scan from the bottom finds, exactly
 * as programs know it from Linux (spec iommu.md 2.5).
 */
#include "iommu/ioas-private.h"

#include "base/util.h"

#include <errno.h>

/* Where alignment ends to matter: the size of a large page. */
#define ALIGN_MAX ((uint64_t)2 << 20)

struct wish {
	uint64_t len, align;
	uint64_t in_page; /* the address's offset in its page */
};

/* Can the request be placed in [first, last], and where? */
static bool place(const struct wish *r, via_iova_t first, via_iova_t last, via_iova_t *ret_at)
{
	via_iova_t at;

	if (__builtin_add_overflow(first, r->align - 1, &at))
		return false;
	at = (at & -r->align) | r->in_page;
	if (at >= last || last - at < r->len - 1)
		return false;
	*ret_at = at;
	return true;
}

/* As place(), in what is not reserved of a hole between areas. */
static bool place_in_hole(const struct via_ioas *ioas, const struct wish *r, via_iova_t first,
			  via_iova_t last, via_iova_t *ret_at)
{
	const struct via_reserved_set *set = &ioas->reserved;
	size_t low = 0, high = set->n_merged;

	/* The first reserved range that ends at or after the beginning. */
	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (set->merged[mid].last < first)
			low = mid + 1;
		else
			high = mid;
	}
	for (; low < set->n_merged && set->merged[low].first <= last; low++) {
		const struct via_iova_range *reserved = &set->merged[low];

		if (reserved->first > first && place(r, first, reserved->first - 1, ret_at))
			return true;
		if (reserved->last >= last)
			return false;
		first = reserved->last + 1;
	}
	return place(r, first, last, ret_at);
}

/* In one of the windows; nothing below bound can be it. */
static bool place_in_window(const struct via_ioas *ioas, const struct wish *r,
			    via_iova_t first, via_iova_t last, via_iova_t bound, via_iova_t *ret_at)
{
	struct via_iova_range hole;

	if (!place(r, first, last, &first))
		return false;
	first = via_max_u64(first, bound);
	while (first <= last && via_index_next_hole(&ioas->index, first, r->len, &hole) &&
	       hole.first <= last) {
		if (place_in_hole(ioas, r, hole.first, via_min_u64(hole.last, last), ret_at))
			return true;
		if (hole.last >= last)
			break;
		first = hole.last + 1;
	}
	return false;
}

/* Hints ---------------------------------------------------------------------- */

/*
 * A hint for less of everything holds for this too. Its bound is not inside a
 * hole: the byte before it is part of an area, as it has grown by maps and
 * removals below it take it away.
 */
static via_iova_t bound_for(const struct via_ioas *ioas, const struct wish *r)
{
	via_iova_t bound = 0;

	for (size_t i = 0; i < VIA_HINTS && !r->in_page; i++) {
		const struct via_hint *hint = &ioas->hints[i];

		if (hint->len && hint->len <= r->len && hint->align <= r->align)
			bound = via_max_u64(bound, hint->bound);
	}
	return bound;
}

/* Nothing of this kind fits below bound. */
static void remember(struct via_ioas *ioas, const struct wish *r, via_iova_t bound)
{
	struct via_hint *hint = NULL;

	/* An address's offset is OR-ed in: then less room may be where more is not. */
	if (r->in_page)
		return;
	for (size_t i = 0; i < VIA_HINTS; i++)
		if (ioas->hints[i].len == r->len && ioas->hints[i].align == r->align)
			hint = &ioas->hints[i];
	if (!hint) {
		hint = &ioas->hints[ioas->next_hint];
		ioas->next_hint = (ioas->next_hint + 1) % VIA_HINTS;
	}
	*hint = (struct via_hint){ r->len, r->align, bound };
}

void via_ioas_forget_hints(struct via_ioas *ioas, via_iova_t first)
{
	for (size_t i = 0; i < VIA_HINTS; i++)
		if (ioas->hints[i].bound > first)
			ioas->hints[i] = (struct via_hint){ 0 };
}

/* The choice ------------------------------------------------------------------ */

static uint64_t round_up_pow2(uint64_t v)
{
	return v <= 1 ? 1 : (uint64_t)1 << (64 - __builtin_clzll(v - 1));
}

int via_ioas_choose(struct via_ioas *ioas, uint64_t addr, uint64_t len, via_iova_t *ret_iova)
{
	static const struct via_iova_range everything = { 0, UINT64_MAX };
	const struct via_iova_range *windows = ioas->allowed.merged;
	size_t n_windows = ioas->allowed.n_merged;
	struct wish r = { len, 0, addr & (VIA_PAGES_SIZE - 1) };
	via_iova_t bound;

	if (!len || len >= UINT64_MAX / 2)
		return -EOVERFLOW;
	r.align = round_up_pow2(len);
	if (addr)
		r.align = via_min_u64(r.align, addr & -addr);
	r.align = via_min_u64(r.align, ALIGN_MAX);
	if (r.align < ioas->alignment)
		return -EINVAL;
	if (!n_windows) {
		windows = &everything;
		n_windows = 1;
	}
	bound = bound_for(ioas, &r);
	for (size_t i = 0; i < n_windows; i++) {
		via_iova_t first = via_max_u64(windows[i].first, VIA_PAGES_SIZE);
		via_iova_t last = via_min_u64(windows[i].last, UINT64_MAX - VIA_PAGES_SIZE);

		if (first <= last && last >= bound &&
		    place_in_window(ioas, &r, first, last, bound, ret_iova)) {
			remember(ioas, &r, *ret_iova + len);
			return 0;
		}
	}
	remember(ioas, &r, UINT64_MAX);
	return -ENOSPC;
}
