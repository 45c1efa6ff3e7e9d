/* SPDX-License-Identifier: MIT */
/* Copies by accesses, from and to an IOAS. */
#include "iommu/access-private.h"

/* Who unmaps waits for the copy of so many bytes at most. */
#define PART_BYTES 65536u

/*
 * At most a part, of one area, from iova on; *ret_done bytes were done. No lock is held nor section
 * open while the program is asked: who unmaps waits for the use.
 */
static int copy_part(struct via_access *access, struct via_ioas *ioas, via_iova_t iova,
		     via_iova_t last, void *buf, bool write, uint64_t *ret_done)
{
	struct via_use_range range;
	struct via_use use = {
		.ranges = &range,
		.n_ranges = 1,
		.kind = VIA_USE_COPY,
		.user = access,
	};
	struct via_pages *pages = NULL;
	struct via_ioas_area *area;
	uint64_t offset = 0, len = last - iova;
	int rc;

	*ret_done = 0;
	via_ioas_lock(ioas);
	rc = via_access_area_at(ioas, iova, &area);
	if (!rc)
		rc = via_access_check_rights(area, write);
	if (!rc) {
		if (len > area->last - iova)
			len = area->last - iova;
		len = len < PART_BYTES ? len + 1 : PART_BYTES;
		pages = via_pages_get(area->pages);
		offset = area->offset + (iova - area->first);
		range = (struct via_use_range){iova, iova + (len - 1)};
		via_use_begin(&ioas->uses, &use);
	}
	via_ioas_unlock(ioas);
	if (rc)
		return rc;
	rc = via_pages_copy(pages, offset, buf, len, write, ret_done);
	via_use_end(&use);
	via_pages_put(pages);
	return rc;
}

/* A copy begins: who leaves the IOAS waits for it. With a reference, or NULL. */
static struct via_ioas *begin_copy(struct via_access *access)
{
	struct via_ioas *ioas;

	pthread_mutex_lock(&access->lock);
	ioas = access->leaving ? NULL : access->ioas;
	if (ioas) {
		(void)via_ioas_get(ioas);
		access->n_copies++;
	}
	pthread_mutex_unlock(&access->lock);
	return ioas;
}

static void end_copy(struct via_access *access, struct via_ioas *ioas)
{
	pthread_mutex_lock(&access->lock);
	if (!--access->n_copies)
		pthread_cond_broadcast(&access->copied);
	pthread_mutex_unlock(&access->lock);
	via_ioas_put(ioas);
}

int via_access_rw(struct via_access *access, via_iova_t iova, void *buf, uint64_t len, bool write)
{
	struct via_ioas *ioas;
	uint8_t *at = buf;
	via_iova_t last;
	int rc = via_access_range(iova, len, &last);

	if (rc)
		return rc;
	ioas = begin_copy(access);
	if (!ioas)
		return -ENOENT;
	while (!rc && len) {
		uint64_t done;

		rc = copy_part(access, ioas, iova, last, at, write, &done);
		if (rc == -EAGAIN)
			rc = via_access_wait_unparked(access, ioas, iova, iova);
		at += done;
		iova += done;
		len -= done;
	}
	end_copy(access, ioas);
	return rc;
}
