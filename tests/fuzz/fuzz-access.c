/* SPDX-License-Identifier: MIT */
/*
 * Software that pins ranges of an I/O address space and copies to and from them, while
 * areas come, are cut and go, while their addresses are suspended and come back, and
 * beside a device whose writes are tracked. A model says which page a copy finds; in
 * the end nothing is pinned or charged.
 */
#include "arena.h"
#include "no-memory.h"

#include "base/epoch.h"
#include "iommu/access.h"
#include "iommu/domain.h"
#include "iommu/ioas-private.h"
#include "iommu/ledger.h"
#include "iommu/suspend.h"
#include "memory/guard.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

#define PAGES 32u /* of the IOVA space */
#define IOVA 0x100000ull
#define PINS 16u
#define WAIT_MS 10u

struct pin {
	via_iova_t iova;
	uint64_t len;
	unsigned int flags;
};

struct user {
	struct via_access *access;
	struct pin pins[PINS];
	unsigned int n_pins;
	bool obeys; /* unpins when it is told to */
};

/* A copy on a thread of its own. */
struct late {
	pthread_t thread;
	bool runs;
	struct via_access *access;
	via_iova_t iova;
};

struct state {
	struct via_mm mm;
	struct via_space *space;
	struct via_ioas *ioas[2]; /* what the model knows is [0] */
	struct via_dma *dma;
	struct user users[2]; /* [1] only copies */
	struct late late;
	bool exact;	 /* the model still is */
	int page[PAGES]; /* of the arena, -1: none */
	unsigned int prot[PAGES];
};

static const struct via_ledger_owner nobody;

/* Ranges --------------------------------------------------------------------- */

struct span {
	unsigned int first, n; /* pages */
};

static struct span take_span(struct fuzz_input *in)
{
	uint8_t at = fuzz_u8(in);
	struct span span = {at % PAGES, 1 + (at >> 5)};

	if (span.first + span.n > PAGES)
		span.n = PAGES - span.first;
	return span;
}

static via_iova_t first_of(struct span span)
{
	return IOVA + (uint64_t)span.first * ARENA_PAGE;
}

static via_iova_t last_of(struct span span)
{
	return first_of(span) + (uint64_t)span.n * ARENA_PAGE - 1;
}

/* Areas ---------------------------------------------------------------------- */

static void map(struct state *s, struct fuzz_input *in)
{
	struct span span = take_span(in);
	uint8_t how = fuzz_u8(in);
	unsigned int page = how % ARENA_END, prot = 1 + how / ARENA_END % 3;
	int r = via_ioas_map(s->ioas[how >= 0xc0], first_of(span), s->space,
			     ARENA_BASE + (uint64_t)page * ARENA_PAGE,
			     (uint64_t)span.n * ARENA_PAGE, prot);

	FUZZ_CHECK(r <= 0);
	for (unsigned int i = 0; i < span.n && how < 0xc0; i++) {
		FUZZ_CHECK(r || !s->exact || s->page[span.first + i] < 0);
		if (!r) {
			s->page[span.first + i] = (int)(page + i);
			s->prot[span.first + i] = prot;
		}
	}
}

static void unmap(struct state *s, struct fuzz_input *in)
{
	struct span span = take_span(in);
	uint64_t bytes = 0, expect = 0;
	int r = via_ioas_unmap(s->ioas[0], first_of(span), last_of(span), &bytes);

	FUZZ_CHECK(r <= 0);
	if (r) {
		/* What was before the pinned area may be gone. */
		s->exact &= r != -EDEADLK && r != -EBUSY;
		return;
	}
	for (unsigned int i = span.first; i < span.first + span.n; i++) {
		expect += s->page[i] >= 0 ? ARENA_PAGE : 0;
		s->page[i] = -1;
	}
	FUZZ_CHECK(!s->exact || bytes == expect);
}

static void suspend(struct state *s, struct fuzz_input *in)
{
	struct span span = take_span(in);
	uint64_t bytes;
	int r = via_ioas_suspend(s->ioas[0], first_of(span), last_of(span), &bytes);

	FUZZ_CHECK(r == 0 || r == -EINVAL || r == -EBUSY);
	FUZZ_CHECK(r || !bytes || via_ioas_suspended(s->ioas[0]));
}

/* At the same address, or another one of the same pages, or not after all. */
static void resume(struct state *s, struct fuzz_input *in)
{
	struct span span = take_span(in);
	uint8_t how = fuzz_u8(in);
	struct via_ioas_area *area = via_ioas_find(s->ioas[0], first_of(span));
	struct via_pages *pages = NULL;
	struct via_resume resume;
	via_iova_t last;
	int r;

	last = area && area->first == first_of(span) && how & 1 ? area->last : last_of(span);
	r = via_ioas_resume(s->ioas[0], first_of(span), last, &resume);
	FUZZ_CHECK(r == 0 || r == -ENOENT || r == -EINVAL);
	if (r)
		return;
	if (!resume.held && !(how & 2)) {
		r = via_pages_new_memory(s->space, via_pages_start(resume.pages) + resume.offset,
					 last - first_of(span) + 1, resume.prot & VIA_PROT_WRITE,
					 &nobody, &pages);
		if (!r && how & 4)
			via_pages_set_unprobed(pages);
		if (!r)
			r = via_ioas_replace(s->ioas[0], first_of(span), pages);
		if (r)
			via_pages_put(pages);
	}
	if (r || (!resume.held && how & 2))
		via_ioas_resume_undo(s->ioas[0], first_of(span), last);
	via_pages_put(resume.pages);
}

/* Accesses ------------------------------------------------------------------- */

static void told(void *cookie, via_iova_t iova, uint64_t len)
{
	struct user *user = cookie;
	unsigned int kept = 0;

	for (unsigned int i = 0; i < user->n_pins; i++) {
		const struct pin pin = user->pins[i];
		bool meant = pin.iova - iova < len || iova - pin.iova < pin.len;

		if (user->obeys && meant)
			(void)via_access_unpin(user->access, pin.iova, pin.len, pin.flags);
		else
			user->pins[kept++] = pin;
	}
	user->n_pins = kept;
}

static void pin(struct state *s, struct fuzz_input *in)
{
	struct span span = take_span(in);
	uint8_t how = fuzz_u8(in);
	struct user *user = &s->users[how >> 7];
	struct pin pin = {first_of(span), (uint64_t)span.n * ARENA_PAGE, how & 3};
	struct via_page_identity identities[8];
	struct via_piece *pieces;
	size_t n;
	int r;

	if (how & 0x40)
		pin.len = fuzz_number(in);
	if (user->n_pins == PINS)
		return;
	r = via_access_pin(user->access, pin.iova, pin.len, pin.flags, &pieces, &n);
	FUZZ_CHECK(r <= 0);
	if (r)
		return;
	via_pieces_free(pieces, n);
	user->pins[user->n_pins++] = pin;
	if (pin.len <= sizeof(identities) / sizeof(identities[0]) * ARENA_PAGE)
		FUZZ_CHECK(via_access_identities(user->access, pin.iova, pin.len, identities) <= 0);
}

static void unpin(struct state *s, struct fuzz_input *in)
{
	uint8_t how = fuzz_u8(in);
	struct user *user = &s->users[0];
	unsigned int i;
	struct pin pin;

	if (!user->n_pins || how & 0x80) {
		(void)via_access_unpin(user->access, IOVA + how * 0x800ull,
				       how & 0x40 ? 0 : ARENA_PAGE, how & 3);
		user->n_pins = how & 0x20 ? user->n_pins : 0;
		return;
	}
	i = how % user->n_pins--;
	pin = user->pins[i];
	user->pins[i] = user->pins[user->n_pins];
	(void)via_access_unpin(user->access, pin.iova, pin.len, pin.flags);
}

static void copy(struct state *s, struct fuzz_input *in)
{
	static uint8_t buf[8 * ARENA_PAGE];
	struct span span = take_span(in);
	uint8_t how = fuzz_u8(in);
	struct via_access *access = s->users[how & 1].access;
	bool write = how & 2;
	uint64_t len = how & 4 ? (uint64_t)span.n * ARENA_PAGE : how >> 3;
	int page = s->page[span.first], r;

	if (write)
		memset(buf, page, sizeof(buf)); /* what is there already, in the first page */
	r = via_access_rw(access, first_of(span), buf, len, write);
	FUZZ_CHECK(r <= 0);
	if (!r && !write && s->exact && page >= 0 && page < ARENA_READ_ONLY && !(how & 4) &&
	    via_access_ioas(access) == s->ioas[0])
		FUZZ_CHECK(buf[0] == page);
}

static void *copy_late(void *arg)
{
	struct late *late = arg;
	uint8_t byte;

	(void)via_access_rw(late->access, late->iova, &byte, 1, false);
	return NULL;
}

static void settle(struct state *s)
{
	if (s->late.runs)
		FUZZ_CHECK(!pthread_join(s->late.thread, NULL));
	s->late.runs = false;
}

static void start_late(struct state *s, struct fuzz_input *in)
{
	static const struct timespec moment = {.tv_nsec = 1000000};
	uint8_t how = fuzz_u8(in);

	settle(s);
	s->late.access = s->users[1].access;
	s->late.iova = IOVA + how % PAGES * (uint64_t)ARENA_PAGE;
	FUZZ_CHECK(!pthread_create(&s->late.thread, NULL, copy_late, &s->late));
	s->late.runs = true;
	/* Let it come to where it waits. */
	(void)nanosleep(&moment, NULL);
}

static void attach(struct state *s, struct fuzz_input *in)
{
	uint8_t how = fuzz_u8(in);
	struct user *user = &s->users[how & 1];
	struct via_ioas *ioas = s->ioas[how >> 1 & 1], *now = via_access_ioas(user->access);
	int r;

	switch (how >> 2 & 3) {
	case 0:
		r = via_access_attach(user->access, ioas);
		FUZZ_CHECK(r < 0 || !now);
		break;
	case 1:
		r = via_access_replace(user->access, ioas);
		FUZZ_CHECK(r < 0 || now);
		break;
	case 2:
		r = -EAGAIN;
		via_access_detach(user->access);
		FUZZ_CHECK(!via_access_ioas(user->access));
		break;
	default:
		r = -EAGAIN;
		user->obeys = how & 0x10;
	}
	FUZZ_CHECK(r || via_access_ioas(user->access) == ioas);
	/* What it has not unpinned has been. */
	if (via_access_ioas(user->access) != now)
		user->n_pins = 0;
}

/* The device ------------------------------------------------------------------- */

static void device(struct state *s, struct fuzz_input *in)
{
	static uint8_t buf[3 * ARENA_PAGE];
	struct span span = take_span(in);
	uint8_t how = fuzz_u8(in);
	size_t len = 1u + (how >> 4);
	bool write = how & 1;

	if (write && s->page[span.first] >= 0)
		memset(buf, s->page[span.first], len); /* what is there already */
	else if (!write && how & 2)
		len = sizeof(buf);
	(void)(write ? via_dma_write(s->dma, first_of(span), buf, len)
		     : via_dma_read(s->dma, first_of(span), buf, len));
}

static void track(struct state *s, struct fuzz_input *in)
{
	uint8_t how = fuzz_u8(in);
	uint64_t bitmap[8] = {0};
	uint64_t granule = 512ull << (how >> 2 & 3);
	uint64_t n = sizeof(bitmap) * 8 * granule;
	int r;

	switch (how & 3) {
	case 0:
	case 1:
		(void)via_ioas_track_dirty(s->ioas[0], how & 1);
		break;
	default:
		r = via_ioas_get_dirty(s->ioas[0], IOVA, IOVA + n - 1 + (how >> 7), granule,
				       bitmap);
		FUZZ_CHECK(r <= 0);
	}
}

/* ------------------------------------------------------------------------------ */

/* A processor without vectors looks up the same. */
static void look_up(struct state *s, struct fuzz_input *in)
{
	const struct via_index *index = &s->ioas[0]->index;
	via_iova_t iova = IOVA + fuzz_u8(in) * 0x400ull;
	struct via_translation fast, plain;

	via_epoch_enter();
	fast = via_index_translate(index, iova);
	plain = via_index_translate_plain(index, iova);
	FUZZ_CHECK(fast.area == plain.area && fast.first == plain.first &&
		   fast.last == plain.last && fast.host == plain.host && fast.prot == plain.prot);
	via_epoch_exit();
}

static void step(struct state *s, struct fuzz_input *in)
{
	uint8_t op = fuzz_u8(in);

	allocations_left = op & 0x80 ? 1u + fuzz_u8(in) % 16 : 0;
	switch (op & 15) {
	case 0:
	case 1:
		map(s, in);
		break;
	case 2:
		look_up(s, in);
		break;
	case 3:
		unmap(s, in);
		break;
	case 4:
		FUZZ_CHECK(via_ioas_cut(s->ioas[0], IOVA - 1 + fuzz_u8(in) % PAGES * 0x1000ull,
					op & 0x40) <= 0);
		break;
	case 5:
		suspend(s, in);
		break;
	case 6:
		resume(s, in);
		break;
	case 7:
	case 8:
		pin(s, in);
		break;
	case 9:
		unpin(s, in);
		break;
	case 10:
	case 11:
		copy(s, in);
		break;
	case 12:
		attach(s, in);
		break;
	case 13:
		device(s, in);
		break;
	case 14:
		track(s, in);
		break;
	default:
		allocations_left = 0;
		start_late(s, in);
	}
	allocations_left = 0;
}

static void no_free(struct via_mm *mm)
{
}

static void begin(struct state *s, uint8_t kind)
{
	static const struct via_access_ops ops = {told};
	static struct via_mm_ops mm_ops;
	struct via_mm *self = via_mm_self();

	mm_ops = *self->ops;
	mm_ops.free = no_free;
	if (kind & 8)
		mm_ops.identity = NULL;
	/* Of another process: reached by copies. */
	s->mm = (struct via_mm){
		.ops = &mm_ops, .refs = 1, .pid = kind & 2 ? 1 : 0, .memlock_limit = UINT64_MAX};
	via_mm_put(self);
	FUZZ_CHECK(via_space_new_mm(&s->mm, &s->space) == 0);
	for (unsigned int i = 0; i < 2; i++) {
		FUZZ_CHECK(via_ioas_new(via_iommu_props_intel(), &s->ioas[i]) == 0);
		via_ioas_set_vaddr_wait(s->ioas[i], kind & 1 ? WAIT_MS : 0);
		FUZZ_CHECK(via_access_new(i ? NULL : &ops, &s->users[i], &s->users[i].access) == 0);
		if (kind & 4)
			FUZZ_CHECK(via_access_attach(s->users[i].access, s->ioas[0]) == 0);
		s->users[i].obeys = true;
	}
	FUZZ_CHECK(via_dma_new("fuzz", &s->dma) == 0);
	via_dma_enable(s->dma, true);
	FUZZ_CHECK(via_dma_attach(s->dma, s->ioas[0]) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	static struct state s;

	s = (struct state){.exact = true};
	for (unsigned int i = 0; i < PAGES; i++)
		s.page[i] = -1;
	arena_init();
	FUZZ_CHECK(via_guard_install() == 0);
	begin(&s, fuzz_u8(&in));
	for (int i = 0; i < FUZZ_STEPS && in.left; i++)
		step(&s, &in);
	settle(&s);
	for (unsigned int i = 0; i < 2; i++)
		via_access_free(s.users[i].access);
	via_dma_free(s.dma);
	for (unsigned int i = 0; i < 2; i++)
		via_ioas_put(s.ioas[i]);
	via_space_put(s.space);
	FUZZ_CHECK(s.mm.refs == 1 && s.mm.locked_pages == 0 && via_ledger_pinned(&s.mm) == 0);
	return 0;
}
