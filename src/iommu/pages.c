/* SPDX-License-Identifier: MIT */
#include "iommu/pages_internal.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>

/* Making, sharing -------------------------------------------------------- */

static struct via_pages *pages_new(enum via_pages_kind kind, uint64_t start, uint64_t len,
				   bool writable, const struct via_ledger_owner *owner)
{
	struct via_pages *pages = malloc(sizeof(*pages));

	if (!pages)
		return NULL;
	*pages = (struct via_pages){
		.refs = 1,
		.kind = kind,
		.start = start,
		.len = len,
		.writable = writable,
		.room = 1,
	};
	pages->spans = &pages->one;
	pthread_mutex_init(&pages->lock, NULL);
	if (owner && owner->mm) {
		pages->owner = *owner;
		(void)via_mm_get(owner->mm);
		if (owner->user)
			(void)via_user_ref(owner->user);
	}
	via_pages_enlist(pages);
	return pages;
}

int via_pages_new_memory(struct via_space *space, uint64_t addr, uint64_t len, bool writable,
			 const struct via_ledger_owner *owner, struct via_pages **ret_pages)
{
	struct via_pages *pages = pages_new(VIA_PAGES_MEMORY, addr, len, writable, owner);

	if (!pages)
		return -ENOMEM;
	pages->space = via_space_get(space);
	*ret_pages = pages;
	return 0;
}

int via_pages_new_file(int fd, uint64_t start, uint64_t len, bool writable,
		       const struct via_ledger_owner *owner, struct via_pages **ret_pages)
{
	struct via_pages_file *file;
	struct via_pages *pages;
	int rc = via_pages_file_get(fd, &file);

	if (rc)
		return rc;
	pages = pages_new(VIA_PAGES_FILE, start, len, writable, owner);
	if (!pages) {
		via_pages_file_put(file);
		return -ENOMEM;
	}
	pages->file = file;
	*ret_pages = pages;
	return 0;
}

int via_pages_new_region(const struct via_pages_region_ops *ops, void *cookie, uint64_t start,
			 uint64_t len, bool restores, struct via_pages **ret_pages)
{
	struct via_pages *pages = pages_new(VIA_PAGES_REGION, start, len, true, NULL);

	if (!pages) {
		ops->release(cookie);
		return -ENOMEM;
	}
	pages->ops = ops;
	pages->cookie = cookie;
	pages->restores = restores;
	*ret_pages = pages;
	return 0;
}

void via_pages_set_unprobed(struct via_pages *pages)
{
	pages->unprobed = true;
}

struct via_pages *via_pages_get(struct via_pages *pages)
{
	__atomic_add_fetch(&pages->refs, 1, __ATOMIC_RELAXED);
	return pages;
}

void via_pages_put(struct via_pages *pages)
{
	if (!pages || __atomic_sub_fetch(&pages->refs, 1, __ATOMIC_ACQ_REL))
		return;
	assert(!pages->n_spans && !pages->areas);
	via_pages_delist(pages);
	via_space_put(pages->space);
	via_pages_file_put(pages->file);
	if (pages->ops) {
		via_pages_region_settle(pages);
		pages->ops->release(pages->cookie);
	}
	if (pages->owner.mm) {
		via_mm_put(pages->owner.mm);
		via_user_put(pages->owner.user);
	}
	if (pages->spans != &pages->one)
		free(pages->spans);
	pthread_mutex_destroy(&pages->lock);
	free(pages);
}

enum via_pages_kind via_pages_kind(const struct via_pages *pages)
{
	return pages->kind;
}

bool via_pages_writable(const struct via_pages *pages)
{
	return pages->writable;
}

uint64_t via_pages_start(const struct via_pages *pages)
{
	return pages->start;
}

uint64_t via_pages_len(const struct via_pages *pages)
{
	return pages->len;
}

uint64_t via_pages_pinned(struct via_pages *pages)
{
	uint64_t n;

	pthread_mutex_lock(&pages->lock);
	n = pages->n_pinned;
	pthread_mutex_unlock(&pages->lock);
	return n;
}

bool via_pages_fixed(struct via_pages *pages, uint64_t offset, uint64_t len)
{
	uint64_t slot = via_pages_slot(pages, offset), last = via_pages_slot(pages, offset + len - 1);
	bool fixed = true;

	if (pages->kind != VIA_PAGES_MEMORY)
		return true;
	pthread_mutex_lock(&pages->lock);
	for (size_t i = via_pages_find_span(pages, slot); fixed && slot <= last; i++) {
		fixed = i < pages->n_spans && pages->spans[i].first <= slot &&
			via_store_pinned(pages->spans[i].store);
		if (fixed)
			slot = pages->spans[i].last + 1;
	}
	pthread_mutex_unlock(&pages->lock);
	return fixed;
}

void via_pages_forget_address(struct via_pages *pages)
{
	__atomic_store_n(&pages->no_address, true, __ATOMIC_RELAXED);
}

/* Spans ------------------------------------------------------------------ */

size_t via_pages_find_span(const struct via_pages *pages, uint64_t slot)
{
	size_t low = 0, high = pages->n_spans;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (pages->spans[mid].last < slot)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static int reserve(struct via_pages *pages, size_t more)
{
	size_t need = pages->n_spans + more, room = 2 * pages->room;
	struct via_span *spans;

	if (need <= pages->room)
		return 0;
	if (room < need)
		room = need;
	spans = reallocarray(pages->spans == &pages->one ? NULL : pages->spans, room,
			     sizeof(*spans));
	if (!spans)
		return -ENOMEM;
	if (pages->spans == &pages->one)
		spans[0] = pages->one;
	pages->spans = spans;
	pages->room = room;
	return 0;
}

static void remove_spans(struct via_pages *pages, size_t i, size_t n)
{
	memmove(&pages->spans[i], &pages->spans[i + n],
		(pages->n_spans - i - n) * sizeof(pages->spans[0]));
	pages->n_spans -= n;
}

/* Is there a span that a border before slot would divide? */
static bool divides(const struct via_pages *pages, size_t i, uint64_t slot)
{
	return i < pages->n_spans && pages->spans[i].first < slot && slot <= pages->spans[i].last;
}

/* Divide span i before slot; there is room. */
static void divide(struct via_pages *pages, size_t i, uint64_t slot)
{
	struct via_span *span = &pages->spans[i];

	memmove(span + 1, span, (pages->n_spans - i) * sizeof(*span));
	pages->n_spans++;
	(void)via_store_get(span->store);
	span[0].last = slot - 1;
	span[0].ends = 0;
	span[1].first = slot;
	span[1].starts = 0;
	span[1].offset += (slot - span[0].first) << VIA_PAGES_SHIFT;
}

/* Join spans i and i + 1 where nothing needs the border between them. */
static void join(struct via_pages *pages, size_t i)
{
	struct via_span *a = &pages->spans[i], *b = a + 1;

	if (i + 1 >= pages->n_spans || a->ends || b->starts || a->store != b->store ||
	    a->last + 1 != b->first ||
	    b->offset - a->offset != (b->first - a->first) << VIA_PAGES_SHIFT)
		return;
	assert(a->count == b->count);
	a->last = b->last;
	a->ends = b->ends;
	via_store_put(b->store);
	remove_spans(pages, i + 1, 1);
}

/* Pinning ---------------------------------------------------------------- */

static int memory_store(struct via_pages *pages, uint64_t addr, uint64_t len,
			struct via_store **ret_store)
{
	unsigned int prot = VIA_PROT_READ | (pages->writable ? VIA_PROT_WRITE : 0);
	int rc = (pages->unprobed ? via_store_new_unprobed : via_store_new)(pages->space, addr, len,
									   prot, ret_store);

	if (rc == -ENFILE || rc == -EMFILE)
		return -ENOMEM;
	return rc && rc != -ENOMEM ? -EFAULT : rc;
}

static int make_store(struct via_pages *pages, uint64_t first, uint64_t last,
		      struct via_store **ret_store)
{
	uint64_t addr = via_pages_slot_addr(pages, first);
	uint64_t len = (last - first + 1) << VIA_PAGES_SHIFT;

	if (pages->kind == VIA_PAGES_MEMORY)
		return memory_store(pages, addr, len, ret_store);
	return via_pages_file_store(pages->file, addr, len, pages->writable, ret_store);
}

/* What a pin adds: the slots that no other pin holds yet. */
struct gaps {
	size_t n;
	struct via_span *list; /* &one or allocated */
	struct via_span one;
	uint64_t slots;
};

static void drop_gaps(struct gaps *gaps)
{
	for (size_t i = 0; i < gaps->n; i++)
		via_store_put(gaps->list[i].store);
	if (gaps->list != &gaps->one)
		free(gaps->list);
}

static int add_gap(struct via_pages *pages, struct gaps *gaps, uint64_t first, uint64_t last)
{
	struct via_span *gap = &gaps->list[gaps->n];
	int rc;

	*gap = (struct via_span){ .first = first, .last = last };
	rc = make_store(pages, first, last, &gap->store);
	if (rc)
		return rc;
	gaps->slots += last - first + 1;
	gaps->n++;
	return 0;
}

/* The gaps between spans [i, i + n), which lie in or reach into [first, last]. */
static int make_gaps(struct via_pages *pages, size_t i, size_t n, uint64_t first, uint64_t last,
		     struct gaps *gaps)
{
	uint64_t next = first;
	bool at_end = false;
	int rc = 0;

	*gaps = (struct gaps){ .list = &gaps->one };
	if (n) {
		gaps->list = reallocarray(NULL, n + 1, sizeof(*gaps->list));
		if (!gaps->list) {
			gaps->list = &gaps->one;
			return -ENOMEM;
		}
	}
	for (; !rc && n; i++, n--) {
		const struct via_span *span = &pages->spans[i];

		if (next < span->first)
			rc = add_gap(pages, gaps, next, span->first - 1);
		at_end = span->last >= last;
		next = span->last + 1;
	}
	if (!rc && !at_end)
		rc = add_gap(pages, gaps, next, last);
	return rc;
}

/* Put the gaps between spans [i, i + n); there is room. */
static void fill_gaps(struct via_pages *pages, size_t i, size_t n, const struct gaps *gaps)
{
	struct via_span *spans = pages->spans;
	size_t g = gaps->n, at = i + n + g;

	if (!g)
		return;
	memmove(&spans[at], &spans[i + n], (pages->n_spans - i - n) * sizeof(*spans));
	pages->n_spans += g;
	while (g)
		if (n && spans[i + n - 1].first > gaps->list[g - 1].first)
			spans[--at] = spans[i + --n];
		else
			spans[--at] = gaps->list[--g];
}

static void warn_over(const struct via_ledger_owner *owner)
{
	via_ledger_warn_over(owner->mm, owner->mode == VIA_CHARGE_USER ?
						via_user_pages(owner->user) :
						via_ledger_pages(owner->mm));
}

static int pin_slots(struct via_pages *pages, uint64_t first, uint64_t last)
{
	size_t i = via_pages_find_span(pages, first), n = 0;
	bool over = false;
	struct gaps gaps;
	int rc;

	while (i + n < pages->n_spans && pages->spans[i + n].first <= last)
		if (pages->spans[i + n++].count == UINT_MAX)
			return -ENOMEM;
	rc = make_gaps(pages, i, n, first, last, &gaps);
	if (!rc) /* and at most two borders more */
		rc = reserve(pages, gaps.n + (n ? 2 : 0));
	if (!rc && gaps.slots)
		rc = via_ledger_pin(&pages->owner, gaps.slots, &over);
	if (rc) {
		drop_gaps(&gaps);
		return rc;
	}
	if (over)
		warn_over(&pages->owner);
	if (divides(pages, i, first))
		divide(pages, i++, first);
	if (n && divides(pages, i + n - 1, last + 1))
		divide(pages, i + n - 1, last + 1);
	fill_gaps(pages, i, n, &gaps);
	n += gaps.n;
	if (gaps.list != &gaps.one)
		free(gaps.list);
	for (size_t k = i; k < i + n; k++)
		pages->spans[k].count++;
	pages->spans[i].starts++;
	pages->spans[i + n - 1].ends++;
	pages->n_pinned += gaps.slots;
	return 0;
}

static void unpin_slots(struct via_pages *pages, uint64_t first, uint64_t last)
{
	size_t i = via_pages_find_span(pages, first), k, keep = i;
	uint64_t freed = 0;

	assert(i < pages->n_spans && pages->spans[i].first == first && pages->spans[i].starts);
	pages->spans[i].starts--;
	for (k = i;; k++) {
		struct via_span span = pages->spans[k];
		bool at_end = span.last == last;

		assert(span.last <= last && span.count);
		if (at_end)
			span.ends--;
		if (--span.count) {
			pages->spans[keep++] = span;
		} else {
			freed += span.last - span.first + 1;
			via_store_put(span.store);
		}
		if (at_end)
			break;
	}
	remove_spans(pages, keep, k + 1 - keep);
	/* The borders at the ends of this pin: the later one first, so that indices hold. */
	if (keep)
		join(pages, keep - 1);
	if (i && i != keep)
		join(pages, i - 1);
	pages->n_pinned -= freed;
	if (freed)
		via_ledger_unpin(&pages->owner, freed);
}

int via_pages_pin(struct via_pages *pages, uint64_t offset, uint64_t len)
{
	int rc;

	if (pages->kind == VIA_PAGES_REGION)
		return 0;
	assert(len && offset < pages->len && len <= pages->len - offset);
	pthread_mutex_lock(&pages->lock);
	rc = pin_slots(pages, via_pages_slot(pages, offset), via_pages_slot(pages, offset + len - 1));
	pthread_mutex_unlock(&pages->lock);
	return rc;
}

void via_pages_unpin(struct via_pages *pages, uint64_t offset, uint64_t len)
{
	if (pages->kind == VIA_PAGES_REGION)
		return;
	pthread_mutex_lock(&pages->lock);
	unpin_slots(pages, via_pages_slot(pages, offset), via_pages_slot(pages, offset + len - 1));
	pthread_mutex_unlock(&pages->lock);
}

int via_pages_cut_pin(struct via_pages *pages, uint64_t offset, uint64_t len, uint64_t at)
{
	uint64_t last = via_pages_slot(pages, offset + at - 1);
	uint64_t first = via_pages_slot(pages, offset + at);
	size_t i;
	int rc;

	assert(at && at < len);
	rc = reserve(pages, 2);
	if (rc)
		return rc;
	i = via_pages_find_span(pages, first);
	if (divides(pages, i, first))
		divide(pages, i++, first);
	if (divides(pages, i, last + 1))
		divide(pages, i, last + 1);
	/* Where the two share a slot, it has a pin more. */
	pages->spans[i].starts++;
	if (first == last)
		pages->spans[i].count++;
	else
		i--;
	assert(pages->spans[i].last == last);
	pages->spans[i].ends++;
	return 0;
}

void via_pages_uncut_pin(struct via_pages *pages, uint64_t offset, uint64_t at)
{
	uint64_t last = via_pages_slot(pages, offset + at - 1);
	uint64_t first = via_pages_slot(pages, offset + at);
	size_t i = via_pages_find_span(pages, first);
	struct via_span *span = &pages->spans[i];

	span->starts--;
	if (first == last)
		span->count--;
	else
		span--;
	span->ends--;
	/* The borders behind and before the shared slot, or the one of the cut twice. */
	join(pages, i);
	if (i)
		join(pages, i - 1);
}

/* Looking ---------------------------------------------------------------- */

void via_pieces_free(struct via_piece *pieces, size_t n)
{
	for (size_t i = 0; i < n; i++)
		via_store_put(pieces[i].store);
	free(pieces);
}

/* The part of [offset, offset + len) that lies in span, as a piece. */
static struct via_piece piece_of(const struct via_pages *pages, const struct via_span *span,
				 uint64_t offset, uint64_t len)
{
	uint64_t skew = pages->start & (VIA_PAGES_SIZE - 1);
	uint64_t from = span->first << VIA_PAGES_SHIFT, to = (span->last + 1) << VIA_PAGES_SHIFT;
	uint64_t first = offset + skew, end = offset + len + skew;

	if (first < from)
		first = from;
	if (end > to)
		end = to;
	return (struct via_piece){
		.offset = first - skew - offset,
		.len = end - first,
		.store = span->store,
		.store_offset = span->offset + (first - from),
	};
}

/* Does piece b go on where a ends, in the same store? */
static bool continues(const struct via_piece *a, const struct via_piece *b)
{
	return a->store == b->store && a->store_offset + a->len == b->store_offset;
}

int via_pages_list(struct via_pages *pages, uint64_t offset, uint64_t len, struct via_piece *one,
		   struct via_piece **ret_pieces, size_t *ret_n)
{
	uint64_t last = via_pages_slot(pages, offset + len - 1);
	size_t i = via_pages_find_span(pages, via_pages_slot(pages, offset)), k, n = 0;
	struct via_piece *pieces = one, previous = { 0 };

	if (pages->kind == VIA_PAGES_REGION)
		return via_pages_region_list(pages, offset, len, one, ret_pieces, ret_n);
	for (k = i; k < pages->n_spans && pages->spans[k].first <= last; k++) {
		struct via_piece piece = piece_of(pages, &pages->spans[k], offset, len);

		n += !n || !continues(&previous, &piece);
		previous = piece;
	}
	assert(n);
	if (n > 1 || !one) {
		pieces = reallocarray(NULL, n, sizeof(*pieces));
		if (!pieces)
			return -ENOMEM;
	}
	n = 0;
	for (k = i; k < pages->n_spans && pages->spans[k].first <= last; k++) {
		struct via_piece piece = piece_of(pages, &pages->spans[k], offset, len);

		if (n && continues(&pieces[n - 1], &piece)) {
			pieces[n - 1].len += piece.len;
			continue;
		}
		(void)via_store_get(piece.store);
		pieces[n++] = piece;
	}
	*ret_pieces = pieces;
	*ret_n = n;
	return 0;
}

int via_pages_pieces(struct via_pages *pages, uint64_t offset, uint64_t len,
		     struct via_piece **ret_pieces, size_t *ret_n)
{
	int rc;

	pthread_mutex_lock(&pages->lock);
	rc = pages->revoked ? -ENODEV : via_pages_list(pages, offset, len, NULL, ret_pieces, ret_n);
	pthread_mutex_unlock(&pages->lock);
	return rc;
}

/* Copying ---------------------------------------------------------------- */

static int store_copy(struct via_store *store, uint64_t offset, void *buf, uint64_t len, bool write)
{
	struct via_store_run run = { store, offset, len };
	struct iovec iov = { buf, len };

	return write ? via_store_writev(&run, 1, &iov, 1) : via_store_readv(&run, 1, &iov, 1);
}

/* Where it is now. -ESRCH: the program is gone. */
static int source_copy(struct via_pages *pages, uint64_t offset, void *buf, uint64_t len,
		       bool write)
{
	struct iovec local = { buf, len };
	struct iovec there = { (void *)(uintptr_t)(pages->start + offset), len };
	struct via_store *store;
	struct via_mm *mm;
	int rc;

	if (pages->kind == VIA_PAGES_MEMORY) {
		mm = pages->space->mm;
		return (write ? mm->ops->writev : mm->ops->readv)(mm, &local, 1, &there, 1);
	}
	rc = via_pages_file_store(pages->file, pages->start + offset, len, write, &store);
	if (rc)
		return rc;
	rc = store_copy(store, 0, buf, len, write);
	via_store_put(store);
	return rc;
}

/* From offset, what lies together: a store with a reference, or NULL and *len bytes that are not pinned. */
static struct via_store *stretch(struct via_pages *pages, uint64_t offset, uint64_t *len,
				 uint64_t *ret_offset)
{
	uint64_t slot = via_pages_slot(pages, offset), skew = pages->start & (VIA_PAGES_SIZE - 1);
	struct via_store *store = NULL;
	size_t i;

	pthread_mutex_lock(&pages->lock);
	i = via_pages_find_span(pages, slot);
	if (i < pages->n_spans && pages->spans[i].first <= slot) {
		struct via_piece piece = piece_of(pages, &pages->spans[i], offset, *len);

		store = via_store_get(piece.store);
		*len = piece.len;
		*ret_offset = piece.store_offset;
	} else if (i < pages->n_spans) {
		uint64_t gap = (pages->spans[i].first << VIA_PAGES_SHIFT) - skew - offset;

		if (*len > gap)
			*len = gap;
	}
	pthread_mutex_unlock(&pages->lock);
	return store;
}

static int copy_stretch(struct via_pages *pages, struct via_store *store, uint64_t store_offset,
			uint64_t offset, void *buf, uint64_t len, bool write)
{
	int rc = -ESRCH;

	/* A program is asked itself, as a kernel does: it may have remapped what is pinned. */
	if (!store || (pages->kind == VIA_PAGES_MEMORY &&
		       !__atomic_load_n(&pages->no_address, __ATOMIC_RELAXED)))
		rc = source_copy(pages, offset, buf, len, write);
	return rc == -ESRCH && store ? store_copy(store, store_offset, buf, len, write) : rc;
}

/* The same page by page: of *len bytes those before the first bad page. */
static int copy_pages(struct via_pages *pages, struct via_store *store, uint64_t store_offset,
		      uint64_t offset, uint8_t *buf, uint64_t *len, bool write)
{
	uint64_t done = 0;
	int rc = 0;

	while (done < *len) {
		uint64_t in_page = (pages->start + offset + done) & (VIA_PAGES_SIZE - 1);
		uint64_t part = VIA_PAGES_SIZE - in_page;

		if (part > *len - done)
			part = *len - done;
		rc = copy_stretch(pages, store, store_offset + done, offset + done, buf + done, part,
				  write);
		if (rc)
			break;
		done += part;
	}
	*len = done;
	return rc;
}

int via_pages_copy(struct via_pages *pages, uint64_t offset, void *buf, uint64_t len, bool write,
		   uint64_t *ret_done)
{
	uint8_t *at = buf;
	uint64_t done = 0;
	int rc = pages->kind == VIA_PAGES_REGION ? -EINVAL : 0;

	while (!rc && done < len) {
		uint64_t n = len - done, store_offset = 0;
		struct via_store *store = stretch(pages, offset + done, &n, &store_offset);

		rc = copy_stretch(pages, store, store_offset, offset + done, at + done, n, write);
		if (rc)
			rc = copy_pages(pages, store, store_offset, offset + done, at + done, &n, write);
		via_store_put(store);
		done += n;
	}
	*ret_done = done;
	return rc && rc != -EINVAL && rc != -ENOMEM ? -EFAULT : rc;
}

/* Payers ----------------------------------------------------------------- */

void via_pages_take_owner(struct via_pages *pages, struct via_ledger_owner *ret_owner)
{
	pthread_mutex_lock(&pages->lock);
	*ret_owner = pages->owner;
	pages->owner = (struct via_ledger_owner){ 0 };
	via_ledger_unpin(ret_owner, pages->n_pinned);
	pthread_mutex_unlock(&pages->lock);
}

int via_pages_give_owner(struct via_pages *pages, const struct via_ledger_owner *owner,
			 bool forced)
{
	struct via_ledger_owner payer = *owner;
	bool over = false;
	int rc = 0;

	payer.enforce = owner->enforce && !forced;
	pthread_mutex_lock(&pages->lock);
	/* Of two that take it at once, over areas that share the pages, one has nothing to give. */
	if (owner->mm && !pages->owner.mm)
		rc = via_ledger_pin(&payer, pages->n_pinned, &over);
	if (!rc && owner->mm && !pages->owner.mm) {
		pages->owner = *owner;
		(void)via_mm_get(owner->mm);
		if (owner->user)
			(void)via_user_ref(owner->user);
	}
	pthread_mutex_unlock(&pages->lock);
	if (over && !forced)
		warn_over(owner);
	return rc;
}

/* CHANGE_PROCESS --------------------------------------------------------- */

/* Does owner pay something else than it does now? */
static bool moves(const struct via_pages *pages, const struct via_ledger_owner *owner)
{
	return pages->owner.mm != owner->mm ||
	       (pages->owner.mode == VIA_CHARGE_USER && pages->owner.user != owner->user);
}

int via_pages_change_owner(struct via_pages *const *pages, size_t n, struct via_mm *mm,
			   const struct via_ledger_owner *owner)
{
	struct via_ledger_owner payer = { mm, owner->user, VIA_CHARGE_NONE, owner->enforce };
	uint64_t slots[3] = { 0 };
	unsigned int mode;
	int rc = 0;

	for (size_t i = 0; i < n; i++)
		if (pages[i]->kind != VIA_PAGES_FILE)
			return -EINVAL;
	for (size_t i = 0; i < n; i++) {
		pthread_mutex_lock(&pages[i]->lock);
		if (pages[i]->owner.mm && moves(pages[i], &payer))
			slots[pages[i]->owner.mode] += pages[i]->n_pinned;
		pthread_mutex_unlock(&pages[i]->lock);
	}
	for (mode = 0; mode < 3; mode++) {
		bool over;

		payer.mode = (enum via_charge_mode)mode;
		rc = slots[mode] ? via_ledger_pin(&payer, slots[mode], &over) : 0;
		if (rc)
			break;
	}
	while (rc && mode--) {
		payer.mode = (enum via_charge_mode)mode;
		if (slots[mode])
			via_ledger_unpin(&payer, slots[mode]);
	}
	for (size_t i = 0; !rc && i < n; i++) {
		struct via_ledger_owner old;
		uint64_t left;

		pthread_mutex_lock(&pages[i]->lock);
		old = pages[i]->owner;
		if (!old.mm || !moves(pages[i], &payer)) {
			pthread_mutex_unlock(&pages[i]->lock);
			continue;
		}
		pages[i]->owner.mm = via_mm_get(mm);
		pages[i]->owner.user = owner->user ? via_user_ref(owner->user) : NULL;
		pages[i]->owner.enforce = owner->enforce;
		via_ledger_unpin(&old, pages[i]->n_pinned);
		left = slots[old.mode];
		slots[old.mode] = left > pages[i]->n_pinned ? left - pages[i]->n_pinned : 0;
		pthread_mutex_unlock(&pages[i]->lock);
		via_mm_put(old.mm);
		via_user_put(old.user);
	}
	/* What an access has unpinned meanwhile is not the new one's to pay. */
	for (mode = 0; !rc && mode < 3; mode++) {
		payer.mode = (enum via_charge_mode)mode;
		if (slots[mode])
			via_ledger_unpin(&payer, slots[mode]);
	}
	return rc;
}
