/* SPDX-License-Identifier: MIT */
/*
 * Two IOASes against a naive reference, by random operations: the errnos, the
 * IOVAs chosen, the areas, and what devices reach. Case 158 of the
 * specification, the part below the ioctls. VIA_MODEL_OPS=N does N operations.
 */
#include "iommu/dma.h"
#include "iommu/ioas.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#define PAGE 4096u
#define RW (VIA_PROT_READ | VIA_PROT_WRITE)

#define OPS 60000u
#define CHOICES 300000u
#define AREAS_MAX 1500

static uint64_t seed = 88172645463325252u;

static uint64_t next_random(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed * 0x2545f4914f6cdd1du;
}

static uint64_t below(uint64_t n)
{
	return (next_random() >> 32) % n;
}

/* The reference ------------------------------------------------------------------- */

struct range {
	uint64_t first, last;
	uint64_t addr; /* of areas: of the first byte */
	unsigned int prot;
	bool read_only; /* of areas: so is the store */
	int owner;	/* of reserved ranges */
};

struct list {
	size_t n;
	struct range r[AREAS_MAX]; /* areas: ascending */
};

struct domain {
	struct via_domain *domain;
	uint64_t granule;
};

#define DOMAINS 3

struct model {
	struct list areas, reserved, allowed;
	bool large;
	struct domain domains[DOMAINS];
	/* The real thing. */
	struct via_ioas *ioas;
	struct via_dma *dma;
};

static bool has_domain(const struct model *m)
{
	for (size_t i = 0; i < DOMAINS; i++)
		if (m->domains[i].domain)
			return true;
	return false;
}

static uint64_t alignment(const struct model *m)
{
	uint64_t a = m->large ? 1 : PAGE;

	for (size_t i = 0; i < DOMAINS; i++)
		if (m->domains[i].domain && m->domains[i].granule > a)
			a = m->domains[i].granule;
	return a;
}

static bool hits(const struct list *list, uint64_t first, uint64_t last)
{
	for (size_t i = 0; i < list->n; i++)
		if (list->r[i].first <= last && list->r[i].last >= first)
			return true;
	return false;
}

static void put(struct list *list, struct range range)
{
	size_t i = list->n++;

	assert_true(list->n <= AREAS_MAX);
	for (; i && list->r[i - 1].first > range.first; i--)
		list->r[i] = list->r[i - 1];
	list->r[i] = range;
}

static void take(struct list *list, size_t i)
{
	memmove(&list->r[i], &list->r[i + 1], (--list->n - i) * sizeof(list->r[0]));
}

struct ask {
	uint64_t len, align, offset;
};

static bool fits(const struct ask *ask, uint64_t s, uint64_t l, uint64_t *ret_t)
{
	uint64_t t = s + ask->align - 1;

	if (t < s)
		return false;
	t -= t % ask->align;
	t |= ask->offset;
	if (t < l && l - t >= ask->len - 1) {
		*ret_t = t;
		return true;
	}
	return false;
}

/* The first byte at or after at which is free (or not), up to last; false: none. */
static bool seek(const struct model *m, uint64_t at, uint64_t last, bool want_free, uint64_t *ret_at)
{
	const struct list *lists[] = { &m->areas, &m->reserved };

	for (;;) {
		uint64_t to = UINT64_MAX; /* the next beginning of something */
		bool used = false, moved = false;

		for (int l = 0; l < 2; l++)
			for (size_t i = 0; i < lists[l]->n; i++) {
				const struct range *r = &lists[l]->r[i];

				if (r->first <= at && r->last >= at) {
					used = true;
					if (want_free) {
						if (r->last >= last)
							return false;
						at = r->last + 1;
						moved = true;
					}
				} else if (r->first > at && r->first < to) {
					to = r->first;
				}
			}
		if (moved)
			continue;
		if (used != want_free) {
			*ret_at = at;
			return true;
		}
		if (to > last)
			return false;
		at = to; /* only when looking for something that is used */
	}
}

static bool choose_in(const struct model *m, const struct ask *ask, uint64_t s, uint64_t l,
		      uint64_t *ret_iova)
{
	uint64_t at;

	if (!fits(ask, s, l, &at))
		return false;
	for (;;) {
		uint64_t end;

		if (!seek(m, at, l, true, &at))
			return false;
		end = seek(m, at, l, false, &end) ? end - 1 : l;
		if (fits(ask, at, end, ret_iova))
			return true;
		if (end == l)
			return false;
		at = end + 1;
	}
}

static int choose(const struct model *m, uint64_t addr, uint64_t len, uint64_t *ret_iova)
{
	struct ask ask = { len, 1, addr % PAGE };
	const uint64_t lowest = PAGE, highest = UINT64_MAX - PAGE;

	if (!len || len >= UINT64_MAX / 2)
		return -EOVERFLOW;
	while (ask.align < len)
		ask.align *= 2;
	while (addr && addr % ask.align)
		ask.align /= 2;
	if (ask.align > 2 << 20)
		ask.align = 2 << 20;
	if (ask.align < alignment(m))
		return -EINVAL;
	if (!m->allowed.n)
		return choose_in(m, &ask, lowest, highest, ret_iova) ? 0 : -ENOSPC;
	for (size_t i = 0; i < m->allowed.n; i++) {
		uint64_t s = m->allowed.r[i].first, l = m->allowed.r[i].last;

		while (i + 1 < m->allowed.n && m->allowed.r[i + 1].first == l + 1)
			l = m->allowed.r[++i].last;
		s = s < lowest ? lowest : s;
		l = l > highest ? highest : l;
		if (s <= l && choose_in(m, &ask, s, l, ret_iova))
			return 0;
	}
	return -ENOSPC;
}

/* Memory -------------------------------------------------------------------------- */

#define MEM_PAGES 256u
#define BAD_PAGE 200u /* there is no memory */

static uint8_t *mem;
static struct via_space *space;

/* Stores over all addresses: it is only looked at when it is pinned. */
static struct via_pages *all, *all_read_only;

static bool is_bad(uint64_t addr, uint64_t len)
{
	uint64_t bad = (uintptr_t)mem + BAD_PAGE * PAGE;

	return addr < bad + PAGE && addr + len > bad;
}

static const uint64_t all_len = (uint64_t)1 << 47;

static int setup_memory(void **state)
{
	static const struct via_ledger_owner nobody = { 0 };
	struct via_mm *self = via_mm_self();

	mem = mmap(NULL, MEM_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		   0);
	assert_ptr_not_equal(mem, MAP_FAILED);
	for (uint32_t i = 0; i < MEM_PAGES * PAGE / 8; i++)
		((uint64_t *)(void *)mem)[i] = next_random();
	assert_int_equal(mprotect(mem + BAD_PAGE * PAGE, PAGE, PROT_NONE), 0);
	assert_int_equal(via_space_new_mm(self, &space), 0);
	assert_int_equal(via_pages_new_memory(space, 0, all_len, true, &nobody, &all), 0);
	assert_int_equal(via_pages_new_memory(space, 0, all_len, false, &nobody, &all_read_only),
			 0);
	via_mm_put(self);
	return 0;
}

static int teardown_memory(void **state)
{
	assert_int_equal(via_pages_pinned(all), 0);
	assert_int_equal(via_pages_pinned(all_read_only), 0);
	via_pages_put(all);
	via_pages_put(all_read_only);
	via_space_put(space);
	(void)munmap(mem, MEM_PAGES * PAGE);
	return 0;
}

/* Operations: on both, and compared --------------------------------------------------- */

/* Where the real IOAS has reserved for us: addresses in here are owners. */
static char owners[64];

static int naive_place(const struct model *m, const struct range *part, unsigned int flags,
		       uint64_t len, uint64_t addr, uint64_t *iova)
{
	uint64_t a = alignment(m);
	int rc = 0;

	if (len % a)
		return -EINVAL;
	if (!(flags & VIA_IOAS_FIXED)) {
		rc = choose(m, addr, len, iova);
		if (rc)
			return rc;
	} else if (*iova % a) {
		return -EINVAL;
	} else if (*iova + (len - 1) < *iova) {
		return -EOVERFLOW;
	} else if (hits(&m->reserved, *iova, *iova + (len - 1))) {
		return -EINVAL;
	} else if (hits(&m->areas, *iova, *iova + (len - 1))) {
		return -EEXIST;
	}
	return 0;
}

static void op_map(struct model *m, uint64_t iova, uint64_t addr, uint64_t len, unsigned int prot,
		   unsigned int flags, bool read_only)
{
	struct range area = { 0, 0, addr, prot, read_only, 0 };
	via_iova_t at = iova;
	int rc = len ? naive_place(m, &area, flags, len, addr, &iova) : -EINVAL;

	if (!rc && (prot & VIA_PROT_WRITE) && read_only)
		rc = -EPERM;
	if (!rc && addr % PAGE % alignment(m))
		rc = -EINVAL;
	if (!rc && has_domain(m) && is_bad(addr, len))
		rc = -EFAULT;
	assert_int_equal(via_ioas_map_pages(m->ioas, read_only ? all_read_only : all, addr, len,
					    prot, flags, &at, NULL), rc);
	if (rc)
		return;
	assert_int_equal(at, iova);
	area.first = iova;
	area.last = iova + (len - 1);
	put(&m->areas, area);
}

static void op_copy(struct model *dst, struct model *src, uint64_t from, uint64_t len,
		    unsigned int prot, unsigned int flags, uint64_t iova)
{
	static struct range parts[AREAS_MAX];
	uint64_t at = from, done = 0;
	via_iova_t real = iova;
	size_t n = 0;
	int rc = len ? 0 : -EINVAL;

	if (!rc && from + (len - 1) < from)
		rc = -EOVERFLOW;
	for (size_t i = 0; i < src->areas.n && !rc && done < len; i++) {
		const struct range *r = &src->areas.r[i];
		uint64_t part = r->last - at + 1;

		if (r->first > at || r->last < at)
			continue;
		part = part < len - done ? part : len - done;
		parts[n] = *r;
		parts[n].addr += at - r->first;
		parts[n].first = done;
		parts[n].last = done + part - 1;
		parts[n++].prot = prot;
		done += part;
		at += part;
	}
	if (!rc && done < len)
		rc = -ENOENT;
	if (!rc)
		rc = naive_place(dst, parts, flags, len, parts[0].addr, &iova);
	for (size_t i = 0; i < n && !rc; i++) {
		uint64_t a = alignment(dst);

		if ((prot & VIA_PROT_WRITE) && parts[i].read_only)
			rc = -EPERM;
		else if (parts[i].addr % PAGE % a || (iova + parts[i].first) % a ||
			 (parts[i].last + 1) % a)
			rc = -EINVAL;
	}
	for (size_t i = 0; i < n && !rc; i++)
		if (has_domain(dst) &&
		    is_bad(parts[i].addr, parts[i].last - parts[i].first + 1))
			rc = -EFAULT;
	assert_int_equal(via_ioas_copy(dst->ioas, src->ioas, from, len, prot, flags, &real), rc);
	if (rc)
		return;
	assert_int_equal(real, iova);
	for (size_t i = 0; i < n; i++) {
		parts[i].first += iova;
		parts[i].last += iova;
		put(&dst->areas, parts[i]);
	}
}

static void op_unmap(struct model *m, uint64_t first, uint64_t last)
{
	uint64_t bytes = 0, real = 0;
	int rc = 0;

	for (size_t i = 0; i < m->areas.n && !rc;) {
		const struct range *r = &m->areas.r[i];

		if (r->last < first || r->first > last) {
			i++;
			continue;
		}
		if (r->first < first || r->last > last) {
			rc = -ENOENT;
			break;
		}
		bytes += r->last - r->first + 1;
		take(&m->areas, i);
	}
	assert_int_equal(via_ioas_unmap_range(m->ioas, first, last, &real), rc);
	assert_int_equal(real, bytes);
}

static void op_cut(struct model *m, uint64_t iova)
{
	uint64_t a = alignment(m);
	int rc = 0;

	for (size_t i = 0; i < m->areas.n; i++) {
		struct range *r = &m->areas.r[i], high = *r;

		if (r->first > iova || r->last <= iova)
			continue;
		high.first = iova + 1;
		high.addr += high.first - r->first;
		if (high.first % a || high.addr % PAGE % a) {
			rc = -EINVAL;
			break;
		}
		r->last = iova;
		put(&m->areas, high);
		break;
	}
	assert_int_equal(via_ioas_cut(m->ioas, iova, false), rc);
}

static void op_reserve(struct model *m, uint64_t first, uint64_t last, int owner)
{
	int rc = hits(&m->areas, first, last) || hits(&m->allowed, first, last) ? -EADDRINUSE : 0;

	assert_int_equal(via_ioas_reserve(m->ioas, first, last, &owners[owner]), rc);
	if (!rc)
		put(&m->reserved, (struct range){ first, last, 0, 0, false, owner });
}

static void forget(struct model *m, int owner)
{
	for (size_t i = 0; i < m->reserved.n;)
		if (m->reserved.r[i].owner == owner)
			take(&m->reserved, i);
		else
			i++;
}

static void op_unreserve(struct model *m, int owner)
{
	via_ioas_unreserve(m->ioas, &owners[owner]);
	forget(m, owner);
}

static void op_allow(struct model *m, const struct via_iova_range *ranges, size_t n)
{
	static struct list list;
	int rc = 0;

	list.n = 0;
	for (size_t i = 0; i < n && !rc; i++) {
		if (ranges[i].first >= ranges[i].last ||
		    hits(&list, ranges[i].first, ranges[i].last))
			rc = -EINVAL;
		else
			put(&list, (struct range){ .first = ranges[i].first, .last = ranges[i].last });
	}
	for (size_t i = 0; i < n && !rc; i++)
		if (hits(&m->reserved, ranges[i].first, ranges[i].last))
			rc = -EADDRINUSE;
	assert_int_equal(via_ioas_allow(m->ioas, ranges, n), rc);
	if (!rc)
		m->allowed = list;
}

static bool all_aligned(const struct model *m, uint64_t a)
{
	for (size_t i = 0; i < m->areas.n; i++) {
		const struct range *r = &m->areas.r[i];

		if (r->first % a || (r->last + 1) % a || r->addr % PAGE % a)
			return false;
	}
	return true;
}

static void op_large_pages(struct model *m, bool on)
{
	int rc = 0;

	if (!on && m->large) {
		if (has_domain(m) && m->areas.n)
			rc = -EINVAL;
		else if (!all_aligned(m, PAGE))
			rc = -EADDRINUSE;
	}
	assert_int_equal(via_ioas_set_large_pages(m->ioas, on), rc);
	if (!rc)
		m->large = on;
}

static void op_domain(struct model *m, size_t slot, uint64_t granule, uint64_t first,
		      uint64_t last)
{
	const struct via_domain_config config = { granule | 1u << 21, first, last, true, true };
	int owner = 32 + (int)slot, rc = 0;
	struct via_domain *domain;

	if (m->domains[slot].domain) {
		assert_int_equal(via_dma_attach(m->dma, NULL), 0);
		via_domain_free(m->domains[slot].domain);
		m->domains[slot].domain = NULL;
		forget(m, owner);
		for (size_t i = 0; i < DOMAINS; i++)
			if (m->domains[i].domain)
				assert_int_equal(via_dma_attach_domain(m->dma,
								       m->domains[i].domain), 0);
		return;
	}
	if (granule > PAGE)
		rc = -EINVAL;
	else if (!all_aligned(m, granule))
		rc = -EADDRINUSE;
	else if (first && (hits(&m->areas, 0, first - 1) || hits(&m->allowed, 0, first - 1)))
		rc = -EADDRINUSE;
	else if (last != UINT64_MAX && (hits(&m->areas, last + 1, UINT64_MAX) ||
					hits(&m->allowed, last + 1, UINT64_MAX)))
		rc = -EADDRINUSE;
	for (size_t i = 0; i < m->areas.n && !rc; i++)
		if (is_bad(m->areas.r[i].addr, m->areas.r[i].last - m->areas.r[i].first + 1))
			rc = -EFAULT;
	assert_int_equal(via_domain_new(m->ioas, &config, &domain), rc);
	if (rc)
		return;
	m->domains[slot] = (struct domain){ domain, granule };
	if (first)
		put(&m->reserved, (struct range){ 0, first - 1, 0, 0, false, owner });
	if (last != UINT64_MAX)
		put(&m->reserved, (struct range){ last + 1, UINT64_MAX, 0, 0, false, owner });
	assert_int_equal(via_dma_attach_domain(m->dma, domain), 0);
}

/* The whole state. */
static void compare(const struct model *m)
{
	static struct via_iova_range ranges[AREAS_MAX];
	size_t n = via_ioas_ranges(m->ioas, ranges, AREAS_MAX);
	uint64_t at = 0;

	assert_int_equal(via_ioas_alignment(m->ioas), alignment(m));
	assert_int_equal(via_ioas_has_domain(m->ioas), has_domain(m));
	assert_int_equal(via_ioas_empty(m->ioas), !m->areas.n);
	for (size_t i = 0; i < m->areas.n; i++) {
		const struct range *r = &m->areas.r[i];
		const struct via_ioas_area *area = via_ioas_find(m->ioas, at);

		assert_non_null(area);
		assert_true(area->first == r->first && area->last == r->last);
		assert_int_equal(area->prot, r->prot);
		assert_int_equal(via_pages_start(area->pages) + area->offset, r->addr);
		assert_true(area->complete && !area->closing);
		assert_int_equal(area->loaded, has_domain(m));
		at = r->last + 1;
	}
	assert_true((m->areas.n && !at) || !via_ioas_find(m->ioas, at));
	/* The ranges' ends are where it begins and ends to be reserved. */
	for (size_t i = 0; i < n; i++) {
		assert_false(hits(&m->reserved, ranges[i].first, ranges[i].last));
		assert_true(!ranges[i].first ||
			    hits(&m->reserved, ranges[i].first - 1, ranges[i].first - 1));
		assert_true(ranges[i].last == UINT64_MAX ||
			    hits(&m->reserved, ranges[i].last + 1, ranges[i].last + 1));
		assert_true(!i || ranges[i].first > ranges[i - 1].last + 1);
	}
}

/* What a device finds at iova. */
static void probe(struct model *m, uint64_t iova)
{
	uint64_t value = ~(uint64_t)0, *at = NULL;
	const struct range *area = NULL;
	int rc;

	for (size_t i = 0; i < m->areas.n; i++)
		if (m->areas.r[i].first <= iova && m->areas.r[i].last >= iova + 7)
			area = &m->areas.r[i];
	if (!area && hits(&m->areas, iova, iova + 7))
		return; /* it may or may not */
	if (area)
		at = (void *)(uintptr_t)(area->addr + (iova - area->first));
	rc = via_dma_read(m->dma, iova, &value, 8);
	if (!area || !has_domain(m) || !(area->prot & VIA_PROT_READ)) {
		assert_int_equal(rc, -EFAULT);
	} else {
		assert_int_equal(rc, 0);
		assert_memory_equal(&value, at, 8);
	}
	value = next_random();
	rc = via_dma_write(m->dma, iova, &value, 8);
	if (!area || !has_domain(m) || !(area->prot & VIA_PROT_WRITE)) {
		assert_int_equal(rc, -EFAULT);
	} else {
		assert_int_equal(rc, 0);
		assert_memory_equal(&value, at, 8);
	}
}

static void model_init(struct model *m)
{
	memset(m, 0, sizeof(*m));
	m->large = true;
	assert_int_equal(via_ioas_new_bare(&m->ioas), 0);
	assert_int_equal(via_dma_new("model", &m->dma), 0);
	via_dma_enable(m->dma, true);
}

static void model_deinit(struct model *m)
{
	via_dma_free(m->dma);
	for (size_t i = 0; i < DOMAINS; i++)
		via_domain_free(m->domains[i].domain);
	via_ioas_put(m->ioas);
}

/* Random operations ----------------------------------------------------------------- */

#define IOVA_END ((uint64_t)1 << 20)

/* Mostly multiples of pages, sometimes of half pages, seldom anything. */
static uint64_t rough(uint64_t max)
{
	uint64_t v = below(max + 1);

	switch (below(16)) {
	case 0:
		return v;
	case 1:
		return v & ~(uint64_t)0x7ff;
	default:
		return v & ~(uint64_t)0xfff;
	}
}

static uint64_t some_len(void)
{
	return rough(below(8) ? 8 * PAGE : 64 * PAGE) + (below(16) ? PAGE : 0);
}

static unsigned int some_prot(void)
{
	static const unsigned int prots[] = { RW, RW, VIA_PROT_READ, VIA_PROT_WRITE };

	return prots[below(4)];
}

/* The boundary of some area, or just anything. */
static uint64_t some_iova(const struct model *m, bool end)
{
	if (m->areas.n && below(4)) {
		const struct range *r = &m->areas.r[below(m->areas.n)];

		return end ? r->last : r->first;
	}
	return end ? rough(IOVA_END - 1) - 1 : rough(IOVA_END - 1);
}

static void random_map(struct model *m)
{
	uint64_t len = some_len();
	uint64_t offset = rough(MEM_PAGES * PAGE - 1);
	bool read_only = !below(4);
	unsigned int prot = some_prot();

	if (offset + len > MEM_PAGES * PAGE)
		len = MEM_PAGES * PAGE - offset;
	if (read_only && below(4))
		prot = VIA_PROT_READ;
	op_map(m, rough(IOVA_END - 1), (uintptr_t)mem + offset, len, prot,
	       below(2) ? VIA_IOAS_FIXED : 0, read_only);
}

static void random_copy(struct model *dst, struct model *src)
{
	uint64_t first = some_iova(src, false), last = some_iova(src, true);

	if (last < first || !below(4))
		last = first + some_len() - 1;
	op_copy(dst, src, first, last - first + 1, some_prot(), below(2) ? VIA_IOAS_FIXED : 0,
		rough(IOVA_END - 1));
}

static void random_unmap(struct model *m)
{
	uint64_t first = some_iova(m, false), last = some_iova(m, true);

	if (!below(200)) {
		first = 0;
		last = UINT64_MAX;
	}
	if (last < first || (below(8) && last - first > IOVA_END / 16))
		last = first + some_len() - 1;
	if (last >= first)
		op_unmap(m, first, last);
}

static void random_allow(struct model *m)
{
	struct via_iova_range ranges[4];
	size_t n = below(2) ? below(5) : 0;

	for (size_t i = 0; i < n; i++) {
		ranges[i].first = rough(IOVA_END - 1);
		ranges[i].last = ranges[i].first + rough(IOVA_END / 4) - 1;
		if (i && !below(3))
			ranges[i].first = ranges[i - 1].last + 1;
	}
	op_allow(m, ranges, n);
}

static void random_domain(struct model *m)
{
	static const uint64_t granules[] = { PAGE, PAGE, 2048, 512, 2 * PAGE };
	uint64_t first = below(2) ? 0 : rough(IOVA_END / 32);
	uint64_t last = below(2) ? UINT64_MAX : IOVA_END - rough(IOVA_END / 32) - 1;

	op_domain(m, below(DOMAINS), granules[below(5)], first, last);
}

static void random_operation(struct model *m, struct model *other)
{
	uint64_t first = rough(IOVA_END - 1);

	switch (below(32)) {
	default:
		random_map(m);
		break;
	case 10 ... 14:
		random_copy(m, below(2) ? m : other);
		break;
	case 15 ... 23:
		random_unmap(m);
		break;
	case 24 ... 26:
		op_cut(m, below(2) ? rough(IOVA_END - 1) - 1 : some_iova(m, false) + PAGE - 1);
		break;
	case 27:
		op_reserve(m, first, first + some_len(), (int)below(4));
		break;
	case 28:
		op_unreserve(m, (int)below(4));
		break;
	case 29:
		random_allow(m);
		break;
	case 30:
		random_domain(m);
		break;
	case 31:
		op_large_pages(m, below(4));
		break;
	}
}

static void no_log(void *cookie, enum via_log_level level, const char *text)
{
}

static void test_case_158_random_operations(void **state)
{
	static struct model models[2];
	const char *asked = getenv("VIA_MODEL_OPS");
	uint64_t n = asked ? strtoull(asked, NULL, 0) : OPS;

	via_log_set(no_log, NULL, VIA_LOG_WARNING);
	for (int i = 0; i < 2; i++) {
		model_init(&models[i]);
		op_reserve(&models[i], IOVA_END, UINT64_MAX, 10);
	}
	for (uint64_t i = 0; i < n; i++) {
		uint64_t which = below(2);
		struct model *m = &models[which];

		random_operation(m, &models[!which]);
		for (int k = 0; k < 2; k++)
			probe(m, m->areas.n && below(4) ?
				       m->areas.r[below(m->areas.n)].first + below(PAGE) :
				       below(IOVA_END));
		if (!(i % 8))
			compare(m);
	}
	for (int i = 0; i < 2; i++) {
		compare(&models[i]);
		model_deinit(&models[i]);
	}
	via_log_set(NULL, NULL, VIA_LOG_WARNING);
}

/* Choices of an IOVA ------------------------------------------------------------------ */

/* A length and an address that go together in ways that matter. */
static uint64_t choice_len(void)
{
	switch (below(8)) {
	case 0:
		return 1 + below(64);
	case 1:
		return 1 + below(PAGE);
	case 2:
		return (uint64_t)2 << 20;
	case 3:
		return (1 + below(1024)) * PAGE;
	default:
		return (1 + below(8)) * PAGE;
	}
}

static uint64_t choice_addr(void)
{
	uint64_t addr = (uint64_t)0x10000000 * (1 + below(1000));

	switch (below(8)) {
	case 0:
		return below(2) ? 0 : addr; /* as an offset of a file may be */
	case 1:
		return addr + below(PAGE);
	case 2:
		return addr + below(256) * 16;
	default:
		return addr + below(4096) * PAGE;
	}
}

static void random_choice(struct model *m, uint64_t end)
{
	uint64_t first = below(end) & (below(2) ? ~(uint64_t)0xfff : UINT64_MAX);
	struct via_iova_range ranges[3];
	size_t n;

	switch (below(64)) {
	default:
		op_map(m, 0, choice_addr(), choice_len(), VIA_PROT_READ, 0, false);
		break;
	case 44 ... 49:
		op_map(m, first, choice_addr(), choice_len(), VIA_PROT_READ, VIA_IOAS_FIXED, false);
		break;
	case 50 ... 60:
		if (m->areas.n) {
			const struct range *r = &m->areas.r[below(m->areas.n)];

			op_unmap(m, r->first, r->last);
		}
		break;
	case 61:
		op_reserve(m, first, first + below(16 * PAGE), (int)below(4));
		break;
	case 62:
		op_unreserve(m, (int)below(4));
		break;
	case 63:
		n = below(4);
		for (size_t i = 0; i < n; i++) {
			ranges[i].first = i && below(2) ? ranges[i - 1].last + 1 : below(end);
			ranges[i].last = ranges[i].first + below(end / 4);
		}
		op_allow(m, ranges, n);
		break;
	}
}

static void test_choices_of_an_iova(void **state)
{
	static const uint64_t ends[] = { 0x20000, 0x800000, 0x4000000, 0x40000000 };
	static struct model m;
	const char *asked = getenv("VIA_MODEL_OPS");
	uint64_t n = asked ? strtoull(asked, NULL, 0) : CHOICES;

	for (uint64_t round = 0; round < 24; round++) {
		uint64_t end = ends[round % 4];

		model_init(&m);
		if (round % 3 == 1)
			op_large_pages(&m, false);
		/* What is not reserved fills up. */
		op_reserve(&m, end, UINT64_MAX - (round % 5 ? 0 : 0x20000), 10);
		for (uint64_t i = 0; i < n / 24; i++) {
			random_choice(&m, end);
			if (m.areas.n > 300)
				op_unmap(&m, 0, UINT64_MAX);
		}
		compare(&m);
		model_deinit(&m);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_choices_of_an_iova),
		cmocka_unit_test(test_case_158_random_operations),
	};

	return cmocka_run_group_tests(tests, setup_memory, teardown_memory);
}
