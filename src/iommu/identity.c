/* SPDX-License-Identifier: MIT */
/* Which page is it? For tests of the ABI, which compare pages and count their pins. */
#include "iommu/pages_internal.h"

#include <errno.h>

static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER; /* before pages->lock */
static struct via_pages *all;				       /* under list_lock */

void via_pages_enlist(struct via_pages *pages)
{
	pthread_mutex_lock(&list_lock);
	pages->next = all;
	if (all)
		all->prev = pages;
	all = pages;
	pthread_mutex_unlock(&list_lock);
}

void via_pages_delist(struct via_pages *pages)
{
	pthread_mutex_lock(&list_lock);
	if (pages->prev)
		pages->prev->next = pages->next;
	else
		all = pages->next;
	if (pages->next)
		pages->next->prev = pages->prev;
	pthread_mutex_unlock(&list_lock);
}

/* Of the pages at addr (as for readv), as far as their numbers follow each other. */
static int identity_at(struct via_mm *mm, uint64_t addr, uint64_t len,
		       struct via_page_identity *ret_identity, uint64_t *ret_len)
{
	if (mm->ops->identity)
		return mm->ops->identity(mm, addr, len, ret_identity, ret_len);
	*ret_identity = (struct via_page_identity){ (uintptr_t)mm, 0, addr >> VIA_PAGES_SHIFT };
	*ret_len = len;
	return 0;
}

int via_mm_identity(struct via_mm *mm, uint64_t addr, struct via_page_identity *ret_identity)
{
	uint64_t len;

	return identity_at(mm, addr & ~(VIA_PAGES_SIZE - 1), VIA_PAGES_SIZE, ret_identity, &len) ?
		       -EFAULT :
		       0;
}

/* The same for the byte at offset of a pinned store; *ret_len <= what its segment holds from there. */
static int identity_in(const struct via_pages *pages, const struct via_store *store,
		       uint64_t offset, struct via_page_identity *ret_identity, uint64_t *ret_len)
{
	const struct via_store_seg *seg = via_store_seg(store, offset);
	uint64_t at = offset - seg->offset;
	const struct via_window *window = seg->window;

	*ret_len = seg->len - at;
	if (window) {
		uint64_t in_file = window->offset + (uint64_t)(seg->host + at - window->base);

		*ret_identity = (struct via_page_identity){ window->dev, window->ino,
							    in_file >> VIA_PAGES_SHIFT };
		return 0;
	}
	return identity_at(pages->space->mm, seg->remote + at, *ret_len, ret_identity, ret_len);
}

int via_pages_identity(struct via_pages *pages, uint64_t offset,
		       struct via_page_identity *ret_identity)
{
	uint64_t slot = via_pages_slot(pages, offset), len;
	const struct via_span *span;
	size_t i;
	int rc = -EFAULT;

	pthread_mutex_lock(&pages->lock);
	i = via_pages_find_span(pages, slot);
	span = i < pages->n_spans ? &pages->spans[i] : NULL;
	if (span && span->first <= slot)
		rc = identity_in(pages, span->store,
				 span->offset + ((slot - span->first) << VIA_PAGES_SHIFT),
				 ret_identity, &len);
	pthread_mutex_unlock(&pages->lock);
	return rc ? -EFAULT : 0;
}

/* How often is the page in this span? */
static uint64_t count_in(const struct via_pages *pages, const struct via_span *span,
			 const struct via_page_identity *want)
{
	uint64_t at = span->offset, n = 0, len;
	uint64_t end = at + ((span->last - span->first + 1) << VIA_PAGES_SHIFT);

	/* Private memory of one program is never that of another. */
	if (!want->object && (!pages->space || (uintptr_t)pages->space->mm != want->space))
		return 0;
	for (; at < end; at += len) {
		struct via_page_identity found;

		if (identity_in(pages, span->store, at, &found, &len)) {
			len = VIA_PAGES_SIZE; /* gone from the program: nobody's page */
			continue;
		}
		if (len > end - at)
			len = end - at;
		n += found.space == want->space && found.object == want->object &&
		     want->page - found.page < (len + VIA_PAGES_SIZE - 1) >> VIA_PAGES_SHIFT;
	}
	return n;
}

uint64_t via_pages_count_pins(const struct via_page_identity *identity)
{
	uint64_t n = 0;

	pthread_mutex_lock(&list_lock);
	for (struct via_pages *pages = all; pages; pages = pages->next) {
		pthread_mutex_lock(&pages->lock);
		for (size_t i = 0; i < pages->n_spans; i++)
			n += count_in(pages, &pages->spans[i], identity);
		pthread_mutex_unlock(&pages->lock);
	}
	pthread_mutex_unlock(&list_lock);
	return n;
}
