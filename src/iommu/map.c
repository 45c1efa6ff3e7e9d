/* SPDX-License-Identifier: MIT */
/* How areas come to be: maps, copies of maps, cuts, a change of what lies behind one. */
#include "iommu/check.h"
#include "iommu/ioas-private.h"

#include "base/epoch.h"

#include <errno.h>

#define PROT_ALL (VIA_PROT_READ | VIA_PROT_WRITE)

/* Maps ----------------------------------------------------------------------- */

/* One call that maps. */
struct request {
	struct via_ioas *ioas;
	struct via_ioas_area *list; /* ascending, without gaps; first and last count from its IOVA */
	uint64_t addr, len;	    /* of all: the first one's address in its source */
	unsigned int flags;
	bool any_address; /* the address need not be aligned */
};

static uint64_t address_of(const struct via_pages *pages, uint64_t offset)
{
	return via_pages_start(pages) + offset;
}

/* A record for len bytes at relative of the request. */
static struct via_ioas_area *area_new(struct via_ioas *ioas, struct via_pages *pages,
				      uint64_t offset, uint64_t relative, uint64_t len,
				      unsigned int prot, void *owner)
{
	struct via_ioas_area *area = via_area_new();

	if (!area)
		return NULL;
	*area = (struct via_ioas_area){
		.first = relative,
		.last = relative + (len - 1),
		.prot = prot,
		.pages = via_pages_get(pages),
		.offset = offset,
		.ioas = ioas,
		.owner = owner,
	};
	return area;
}

/* Areas that nobody has seen. */
static void drop_list(struct via_ioas_area *list)
{
	while (list) {
		struct via_ioas_area *area = list;

		list = area->next;
		via_pages_put(area->pages);
		area->pages = NULL;
		via_area_free(area);
	}
}

/* Where it goes. ioas->lock held, as for the next. */
static int find_iova(const struct request *r, via_iova_t *iova)
{
	struct via_ioas *ioas = r->ioas;
	via_iova_t last;

	if (r->len & (ioas->alignment - 1))
		return -EINVAL;
	if (!(r->flags & VIA_IOAS_FIXED))
		return via_ioas_choose(ioas, r->addr, r->len, iova);
	if (*iova & (ioas->alignment - 1))
		return -EINVAL;
	if (__builtin_add_overflow(*iova, r->len - 1, &last))
		return -EOVERFLOW;
	if (via_reserved_overlaps(&ioas->reserved, *iova, last))
		return -EINVAL;
	return via_ioas_overlaps(ioas, *iova, last) ? -EEXIST : 0;
}

static int check_sources(const struct request *r, via_iova_t iova)
{
	uint64_t mask = r->ioas->alignment - 1;

	for (const struct via_ioas_area *area = r->list; area; area = area->next) {
		if ((area->prot & VIA_PROT_WRITE) && !via_pages_writable(area->pages))
			return -EPERM;
		if (!r->any_address && (address_of(area->pages, area->offset) & mask))
			return -EINVAL;
		if (((iova + area->first) | (area->last + 1)) & mask)
			return -EINVAL;
	}
	return 0;
}

/* All of the list into the index, or nothing. *ret_seen: what readers may have seen of it. */
static int insert_list(const struct request *r, via_iova_t iova, struct via_ioas_area **ret_rest)
{
	struct via_ioas_area *area;
	int rc = 0;

	for (area = r->list; area && !rc; area = area->next) {
		area->first += iova;
		area->last += iova;
		rc = via_index_insert(&r->ioas->index, area);
		if (rc)
			break;
	}
	*ret_rest = area;
	return rc;
}

/* Take the list's IOVA, incomplete. On failure the list is gone. */
static int occupy(const struct request *r, via_iova_t *iova)
{
	struct via_ioas *ioas = r->ioas;
	struct via_ioas_area *rest = r->list, *seen = NULL, **tail = &seen;
	int rc;

	pthread_mutex_lock(&ioas->lock);
	rc = find_iova(r, iova);
	if (!rc) {
		rc = check_sources(r, *iova);
		if (!rc)
			rc = insert_list(r, *iova, &rest);
		if (rc)
			via_ioas_forget_hints(ioas, *iova);
	}
	pthread_mutex_unlock(&ioas->lock);
	if (!rc)
		return 0;
	for (struct via_ioas_area *area = r->list; area != rest; area = area->next) {
		*tail = area;
		tail = &area->next;
	}
	*tail = NULL;
	via_ioas_take_out(ioas, seen);
	via_ioas_let_go(ioas, seen);
	drop_list(rest);
	return rc;
}

static int load_list(struct via_ioas_area *list)
{
	int rc = 0;

	for (struct via_ioas_area *area = list; area && !rc; area = area->next)
		rc = via_area_load(area);
	return rc;
}

static int map_list(const struct request *r, via_iova_t *iova)
{
	struct via_ioas *ioas = r->ioas;
	int rc;

	pthread_rwlock_rdlock(&ioas->domains_lock);
	rc = occupy(r, iova);
	if (rc) {
		pthread_rwlock_unlock(&ioas->domains_lock);
		return rc;
	}
	if (ioas->domains)
		rc = load_list(r->list);
	if (rc) {
		via_ioas_quiesce(ioas, r->list);
		via_ioas_take_out(ioas, r->list);
	} else {
		pthread_mutex_lock(&ioas->lock);
		for (struct via_ioas_area *area = r->list, *next; area; area = next) {
			next = area->next;
			area->next = NULL;
			area->complete = true;
			via_ioas_show(ioas, area);
			if (ioas->check)
				via_check_note(ioas->check, ioas, area->first, area->last, area->prot);
		}
		pthread_mutex_unlock(&ioas->lock);
	}
	pthread_rwlock_unlock(&ioas->domains_lock);
	if (rc)
		via_ioas_let_go(ioas, r->list);
	return rc;
}

static int map_one(struct via_ioas *ioas, struct via_pages *pages, uint64_t offset, uint64_t len,
		   unsigned int prot, unsigned int flags, bool any_address, via_iova_t *iova,
		   void *owner)
{
	struct request r = {
		.ioas = ioas, .addr = address_of(pages, offset), .len = len, .flags = flags,
		.any_address = any_address,
	};

	if (!len)
		return -EINVAL;
	r.list = area_new(ioas, pages, offset, 0, len, prot, owner);
	return r.list ? map_list(&r, iova) : -ENOMEM;
}

int via_ioas_map_pages(struct via_ioas *ioas, struct via_pages *pages, uint64_t offset,
		       uint64_t len, unsigned int prot, unsigned int flags, via_iova_t *iova,
		       void *owner)
{
	return map_one(ioas, pages, offset, len, prot, flags, false, iova, owner);
}

int via_ioas_map_area(struct via_ioas *ioas, via_iova_t iova, struct via_space *space,
		      uint64_t addr, uint64_t len, unsigned int prot, void *owner)
{
	static const struct via_ledger_owner nobody = { 0 };
	struct via_pages *pages;
	uint64_t end;
	int rc;

	if (!len || !prot || (prot & ~PROT_ALL) ||
	    ((iova | len) & (via_ioas_alignment(ioas) - 1)))
		return -EINVAL;
	if (__builtin_add_overflow(iova, len - 1, &end) ||
	    __builtin_add_overflow(addr, len - 1, &end))
		return -EOVERFLOW;
	if (end == UINT64_MAX)
		return -EFAULT; /* it does not overflow, but no memory is there */
	rc = via_pages_new_memory(space, addr, len, prot & VIA_PROT_WRITE, &nobody, &pages);
	if (rc)
		return rc;
	rc = map_one(ioas, pages, 0, len, prot, VIA_IOAS_FIXED, true, &iova, owner);
	via_pages_put(pages);
	return rc;
}

int via_ioas_map(struct via_ioas *ioas, via_iova_t iova, struct via_space *space, uint64_t addr,
		 uint64_t len, unsigned int prot)
{
	return via_ioas_map_area(ioas, iova, space, addr, len, prot, NULL);
}

/* Copy ----------------------------------------------------------------------- */

/* A record for the same of each area of [first, last]; ioas->lock of the source held. */
static int list_sources(struct via_ioas *dst, struct via_ioas *src, via_iova_t first,
			via_iova_t last, unsigned int prot, struct via_ioas_area **ret_list)
{
	struct via_ioas_area **tail = ret_list;

	for (via_iova_t at = first;;) {
		const struct via_ioas_area *area = via_index_find(&src->index, at);
		via_iova_t end;

		if (!area || area->first > at || !area->complete)
			return -ENOENT;
		end = area->last < last ? area->last : last;
		*tail = area_new(dst, area->pages, area->offset + (at - area->first), at - first,
				 end - at + 1, prot, NULL);
		if (!*tail)
			return -ENOMEM;
		tail = &(*tail)->next;
		if (end == last)
			return 0;
		at = end + 1;
	}
}

int via_ioas_copy(struct via_ioas *dst, struct via_ioas *src, via_iova_t src_iova, uint64_t len,
		  unsigned int prot, unsigned int flags, via_iova_t *dst_iova)
{
	struct request r = { .ioas = dst, .len = len, .flags = flags };
	via_iova_t last;
	int rc;

	if (!len)
		return -EINVAL;
	if (__builtin_add_overflow(src_iova, len - 1, &last))
		return -EOVERFLOW;
	pthread_mutex_lock(&src->lock);
	rc = list_sources(dst, src, src_iova, last, prot, &r.list);
	pthread_mutex_unlock(&src->lock);
	if (rc) {
		drop_list(r.list);
		return rc;
	}
	r.addr = address_of(r.list->pages, r.list->offset);
	return map_list(&r, dst_iova);
}

/* Cut ------------------------------------------------------------------------ */

static int may_cut(const struct via_ioas *ioas, const struct via_ioas_area *area, via_iova_t iova,
		   bool pins_too)
{
	uint64_t in_source = address_of(area->pages, area->offset) + (iova + 1 - area->first);

	if (!area->complete || area->closing)
		return -EBUSY;
	if (((iova + 1) | (in_source & (VIA_PAGES_SIZE - 1))) & (ioas->alignment - 1))
		return -EINVAL;
	if (area->n_accesses && !pins_too)
		return -EINVAL;
	return 0;
}

int via_ioas_cut(struct via_ioas *ioas, via_iova_t iova, bool pins_too)
{
	struct via_ioas_area *low = via_area_new(), *high = via_area_new();
	struct via_ioas_area *area;
	int rc = low && high ? 0 : -ENOMEM;

	pthread_rwlock_rdlock(&ioas->domains_lock);
	pthread_mutex_lock(&ioas->lock);
	area = via_index_find(&ioas->index, iova);
	if (area && (area->first > iova || area->last == iova))
		area = NULL;
	if (area && !rc)
		rc = may_cut(ioas, area, iova, pins_too);
	if (area && !rc)
		rc = via_area_cut(area, iova + 1 - area->first, low, high);
	if (area && !rc) {
		low->complete = high->complete = true;
		low->shown = high->shown = area->shown;
		rc = via_index_cut(&ioas->index, low, high);
		if (rc)
			via_area_cut_undo(area, low, high);
		else
			via_ioas_changed(ioas);
		if (!rc)
			ioas->n_suspended += area->suspended;
	}
	pthread_mutex_unlock(&ioas->lock);
	pthread_rwlock_unlock(&ioas->domains_lock);
	if (!area || rc) {
		via_area_free(low);
		via_area_free(high);
		return area ? rc : 0;
	}
	(void)via_epoch_synchronize();
	via_area_cut_done(area);
	return 0;
}

/* Replace -------------------------------------------------------------------- */

int via_ioas_replace(struct via_ioas *ioas, via_iova_t first, struct via_pages *pages)
{
	struct via_ioas_area *area, *fresh = NULL;
	int rc = -ENOENT;

	pthread_rwlock_rdlock(&ioas->domains_lock);
	pthread_mutex_lock(&ioas->lock);
	area = via_index_find(&ioas->index, first);
	if (area && area->first == first)
		rc = area->complete && !area->closing ? 0 : -EBUSY;
	if (!rc) {
		fresh = area_new(ioas, pages, 0, first, area->last - first + 1, area->prot,
				 area->owner);
		rc = fresh ? 0 : -ENOMEM;
	}
	if (!rc)
		area->complete = false;
	pthread_mutex_unlock(&ioas->lock);
	if (!rc && ioas->domains)
		rc = via_area_load(fresh);
	if (fresh) {
		pthread_mutex_lock(&ioas->lock);
		if (rc) {
			area->complete = true;
		} else {
			fresh->complete = true;
			fresh->n_accesses = area->n_accesses;
			fresh->n_locks = area->n_locks;
			fresh->shown = fresh->loaded && via_pages_kind(pages) != VIA_PAGES_REGION;
			via_index_replace(&ioas->index, fresh);
			via_ioas_changed(ioas);
		}
		pthread_mutex_unlock(&ioas->lock);
		/* Who waits may hold what the grace period waits for. */
		if (!rc && area->parked)
			via_ioas_unparked(ioas);
		if (!rc)
			area->next = NULL;
		if (!rc)
			via_ioas_quiesce(ioas, area);
	}
	pthread_rwlock_unlock(&ioas->domains_lock);
	if (rc) {
		drop_list(fresh);
		return rc;
	}
	via_ioas_let_go(ioas, area);
	via_pages_put(pages);
	return 0;
}
