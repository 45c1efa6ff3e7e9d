/* SPDX-License-Identifier: MIT */
/*
 * Which pages devices have written through an HWPT (spec iommu.md 5.2). A
 * program's bitmap is an array of bytes in which bits are only ever set; bit n
 * is a unit, the lowest set bit of page_size, counted from iova.
 *
 * What was found is taken to the program a window at a time: found first,
 * under the lock of harvests, then copied without one.
 */
#include "vfio/iommufd/iommufd.h"

#include "base/epoch.h"
#include "base/util.h"
#include "vfio/profile.h"

#include <errno.h>
#include <stdlib.h>

#define WINDOW_BYTES 4096u
#define WINDOW_BITS (8u * WINDOW_BYTES)
/* Areas that are looked at in one read section. */
#define AREAS_AT_ONCE 256u

static struct via_hwpt *paging_get(const struct via_iommufd_call *call, uint32_t id)
{
	return (struct via_hwpt *)via_object_get(call->iommufd, id, VIA_OBJECT_HWPT_PAGING);
}

long via_iommufd_set_dirty_tracking(const struct via_iommufd_call *call, void *args)
{
	const struct via_iommu_hwpt_set_dirty_tracking *cmd = args;
	struct via_hwpt *hwpt;
	int ret = -EOPNOTSUPP;

	if (cmd->flags & ~VIA_IOMMU_HWPT_DIRTY_TRACKING_ENABLE)
		return -EOPNOTSUPP;
	hwpt = paging_get(call, cmd->hwpt_id);
	if (!hwpt)
		return -ENOENT;
	if (via_domain_config(hwpt->domain)->dirty) {
		pthread_mutex_lock(&hwpt->dirty_lock);
		ret = via_domain_track(hwpt->domain, cmd->flags);
		pthread_mutex_unlock(&hwpt->dirty_lock);
	}
	via_object_put(&hwpt->object);
	return ret;
}

/* The bitmap --------------------------------------------------------------- */

struct report {
	struct via_dirty_store *store;
	pthread_mutex_t *lock;
	struct via_caller *caller;
	uint64_t data; /* address of the bitmap */
	via_iova_t iova, last;
	unsigned int shift; /* of a unit */
	bool clear;
	/* The window: bits from first_bit on, of which [low, high] may be set. */
	uint64_t first_bit;
	size_t low, high; /* bytes; low > high: none */
	uint8_t bits[WINDOW_BYTES];
};

static void set_bits(uint8_t *bits, size_t first, size_t last)
{
	for (; first <= last && first % 8; first++)
		bits[first / 8] |= (uint8_t)(1u << first % 8);
	for (; first + 7 <= last; first += 8)
		bits[first / 8] = 0xff;
	for (; first <= last; first++)
		bits[first / 8] |= (uint8_t)(1u << first % 8);
}

static int note_run(void *cookie, via_iova_t first, via_iova_t last)
{
	struct report *r = cookie;
	size_t from = (size_t)(((first - r->iova) >> r->shift) - r->first_bit);
	size_t to = (size_t)(((last - r->iova) >> r->shift) - r->first_bit);

	set_bits(r->bits, from, to);
	if (from / 8 < r->low)
		r->low = from / 8;
	r->high = to / 8;
	return 0;
}

static int note_first(void *cookie, via_iova_t first, via_iova_t last)
{
	(void)last;
	*(via_iova_t *)cookie = first;
	return 1;
}

/* The first dirty byte at or after from, and all that is dirty in the window it is in. */
static bool find_window(struct report *r, via_iova_t from, via_iova_t *ret_first,
			via_iova_t *ret_last)
{
	via_iova_t first, last;
	bool found;

	pthread_mutex_lock(r->lock);
	found = via_dirty_store_harvest(r->store, from, r->last, false, note_first, &first) == 1;
	if (found) {
		uint64_t span = (uint64_t)WINDOW_BITS << r->shift;

		/* A window begins with a byte of the program's. */
		r->first_bit = (first - r->iova) >> r->shift & ~(uint64_t)7;
		last = r->iova + (r->first_bit << r->shift);
		last = span - 1 < r->last - last && span >> r->shift == WINDOW_BITS
			       ? last + span - 1
			       : r->last;
		memset(r->bits, 0, sizeof(r->bits));
		r->low = WINDOW_BYTES;
		r->high = 0;
		(void)via_dirty_store_harvest(r->store, first, last, r->clear, note_run, r);
		*ret_first = first;
		*ret_last = last;
	}
	pthread_mutex_unlock(r->lock);
	return found;
}

/* Add the window's bits to the program's. */
static int put_window(const struct report *r)
{
	uint64_t addr = r->data + r->first_bit / 8 + r->low;
	size_t n = r->high - r->low + 1;
	uint8_t theirs[WINDOW_BYTES];
	int ret = via_copy_in(r->caller, theirs, addr, n);

	if (ret < 0)
		return ret;
	for (size_t i = 0; i < n; i++)
		theirs[i] |= r->bits[r->low + i];
	return via_copy_out(r->caller, addr, theirs, n);
}

/* The program did not get them: what was taken is dirty still. */
static void put_back(const struct report *r, via_iova_t first, via_iova_t last)
{
	uint64_t unit = (uint64_t)1 << r->shift;

	for (size_t bit = 8 * r->low; bit < 8 * (r->high + 1); bit++) {
		via_iova_t from = r->iova + ((r->first_bit + bit) << r->shift);
		via_iova_t to = from + (unit - 1);

		if (!(r->bits[bit / 8] & 1u << bit % 8))
			continue;
		from = from < first ? first : from;
		to = to > last ? last : to;
		via_dirty_store_mark(r->store, from, to - from + 1);
	}
}

static int report_all(struct report *r, bool exact)
{
	via_iova_t from = r->iova, first, last;

	while (find_window(r, from, &first, &last)) {
		int ret = r->low <= r->high ? put_window(r) : 0;

		/* Linux loses them without a word. */
		if (ret < 0 && !exact) {
			if (r->clear)
				put_back(r, first, last);
			return ret;
		}
		if (last == r->last)
			break;
		from = last + 1;
	}
	return 0;
}

/* GET_DIRTY_BITMAP --------------------------------------------------------- */

/*
 * How far [iova, last] is mapped without a hole: *ret_last; false: not even its
 * first byte.
 */
static bool mapped_until(struct via_ioas *ioas, via_iova_t iova, via_iova_t last,
			 via_iova_t *ret_last)
{
	bool found = false, more = true;

	while (more) {
		via_ioas_lock(ioas);
		via_epoch_enter();
		/* Not for too long at once: others wait for both. */
		for (unsigned int i = 0; more && i < AREAS_AT_ONCE; i++) {
			const struct via_ioas_area *area = via_ioas_lookup(ioas, iova);

			more = area && area->complete;
			if (more) {
				found = true;
				*ret_last = via_min_u64(area->last, last);
				iova = area->last + 1;
				more = area->last < last;
			}
		}
		via_epoch_exit();
		via_ioas_unlock(ioas);
	}
	return found;
}

static int check_range(const struct via_iommu_hwpt_get_dirty_bitmap *cmd, struct via_ioas *ioas,
		       via_iova_t *ret_last)
{
	uint64_t alignment = via_ioas_alignment(ioas);
	uint64_t end = cmd->iova + cmd->length;

	/* So that length 0 is all there is, if it begins at 0. */
	if (cmd->length - 1 > UINT64_MAX - cmd->iova)
		return -EOVERFLOW;
	*ret_last = cmd->iova + (cmd->length - 1);
	if ((cmd->iova | end) & (alignment - 1))
		return -EINVAL;
	if (!cmd->page_size || ((cmd->iova | end) & (cmd->page_size - 1)))
		return -EINVAL;
	return 0;
}

/* Is there a bitmap for all of the range? */
static int check_bitmap(const struct report *r)
{
	struct via_mm *mm = r->caller->mm;
	uint64_t len = ((r->last - r->iova) >> r->shift) / 8 + 1;

	if (r->data + len < r->data || (r->data + len) >> 47)
		return -EFAULT;
	return mm->ops->probe(mm, r->data, len, VIA_PROT_READ | VIA_PROT_WRITE) < 0 ? -EFAULT : 0;
}

static int get_bitmap(const struct via_iommufd_call *call, struct via_hwpt *hwpt,
		      const struct via_iommu_hwpt_get_dirty_bitmap *cmd)
{
	struct via_ioas *ioas = via_domain_ioas(hwpt->domain);
	bool exact = !via_profile_full(call->iommufd->vfio, VIA_DIFFERS_DIRTY_HOLES), mapped;
	struct report *r;
	via_iova_t last, end;
	int ret = check_range(cmd, ioas, &last);

	if (ret < 0)
		return ret;
	if (!via_domain_config(hwpt->domain)->dirty)
		return -EOPNOTSUPP;
	r = malloc(sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->store = via_domain_dirty(hwpt->domain);
	r->lock = &hwpt->dirty_lock;
	r->caller = call->caller;
	r->data = cmd->data;
	r->iova = cmd->iova;
	r->last = last;
	r->shift = (unsigned int)__builtin_ctzll(cmd->page_size);
	r->clear = !(cmd->flags & VIA_IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR);

	mapped = mapped_until(ioas, cmd->iova, last, &end);
	if (!exact) {
		ret = mapped && end == last ? check_bitmap(r) : -EINVAL;
		mapped = !ret;
	}
	if (mapped && r->store) {
		/* What lies behind a hole is passed over. */
		r->last = end;
		ret = report_all(r, exact);
	}
	free(r);
	return ret;
}

long via_iommufd_get_dirty_bitmap(const struct via_iommufd_call *call, void *args)
{
	const struct via_iommu_hwpt_get_dirty_bitmap *cmd = args;
	struct via_hwpt *hwpt;
	int ret;

	if ((cmd->flags & ~VIA_IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR) || cmd->reserved)
		return -EOPNOTSUPP;
	hwpt = paging_get(call, cmd->hwpt_id);
	if (!hwpt)
		return -ENOENT;
	ret = get_bitmap(call, hwpt, cmd);
	via_object_put(&hwpt->object);
	return ret;
}
