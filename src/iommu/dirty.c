/* SPDX-License-Identifier: MIT */
#include "iommu/dirty.h"

#include <errno.h>

/* Words written to the program at once. */
#define WORDS 512

int via_dirty_bitmap_check(const struct via_vfio_bitmap *bitmap, uint64_t size)
{
	/* The end of a program's addresses on x86-64 with five-level paging. */
	const uint64_t top = ((uint64_t)1 << 56) - 4096;
	uint64_t pages, end;

	if (__builtin_add_overflow(bitmap->data, bitmap->size, &end) || end > top)
		return -EINVAL;
	if (!bitmap->pgsize)
		return -EINVAL;
	pages = size >> __builtin_ctzll(bitmap->pgsize);
	if (!pages || !bitmap->size || bitmap->size > VIA_DIRTY_BITMAP_MAX ||
	    bitmap->size < (pages / 64 + (pages % 64 != 0)) * 8)
		return -EINVAL;
	return 0;
}

static int copy(struct via_mm *mm, uint64_t addr, void *buf, size_t len, bool write)
{
	struct iovec local = { buf, len }, remote = { (void *)(uintptr_t)addr, len };

	/* Not user space, where a via_mm may give addresses a meaning of its own. */
	if ((addr + len) >> 48)
		return -EFAULT;
	return (write ? mm->ops->writev : mm->ops->readv)(mm, &local, 1, &remote, 1);
}

int via_dirty_report_all(struct via_mm *mm, uint64_t data, uint64_t bit, uint64_t n)
{
	uint64_t words[WORDS], at = data + bit / 64 * 8;
	uint64_t shift = bit % 64, end = shift + n; /* bits, counted from at */
	int rc;

	for (uint64_t done = 0; done < end;) {
		size_t w = 0;

		for (; w < WORDS && done < end; w++, done += 64) {
			words[w] = UINT64_MAX;
			if (end - done < 64)
				words[w] = ((uint64_t)1 << (end - done)) - 1;
			if (!done && shift) {
				uint64_t before;

				rc = copy(mm, at, &before, sizeof(before), false);
				if (rc)
					return rc;
				words[w] = (words[w] & (UINT64_MAX << shift)) | before;
			}
		}
		rc = copy(mm, at, words, 8 * w, true);
		if (rc)
			return rc;
		at += 8 * w;
	}
	return 0;
}
