/* SPDX-License-Identifier: MIT */
/* A device's way into an IOAS: translation cache, protection, copies, faults. */
#include "iommu/dma.h"

#include "base/epoch.h"
#include "base/log.h"
#include "iommu/check.h"
#include "iommu/dma_log.h"
#include "iommu/ioas-private.h"
#include "iommu/suspend.h"
#include "memory/guard.h"
#include "memory/store.h"
#include "memory/uses.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CACHE_BITS 6

/* A section takes about these many bytes: of mapped memory, or of memory reached by a system call. */
#define SECTION_BYTES ((uint64_t)64 << 10)
#define SECTION_BATCH ((uint64_t)256 << 10)
#define SECTION_RUNS 128

/* So many faults are logged in a window of so many seconds. */
#define FAULT_LOG_MAX 8
#define FAULT_LOG_SECONDS 5

/*
 * One cached translation, for one cache line. Threads of one device share it: a
 * sequence number, odd while somebody writes, tells a torn read. It is good
 * as long as the generation is current, that is: while it is mapped.
 */
struct cached {
	_Alignas(64) uint64_t seq;  /* atomic, like all that follows */
	uint64_t generation;
	via_iova_t first, last;
	uint8_t *host;
	uintptr_t area; /* its lowest bits are prot */
};
#define CACHED_PROT ((uintptr_t)(VIA_PROT_READ | VIA_PROT_WRITE))

struct via_dma {
	struct via_domain *target; /* atomic: read in a section; there is a reference to its IOAS */
	bool enabled;	       /* atomic */
	struct via_dma_log *log; /* atomic: read in a section; a reference. NULL: not logged */
	struct cached cache[1 << CACHE_BITS];
	struct via_dma_stats stats; /* atomic, each */
	uint64_t log_window;	    /* atomic: second in which it began */
	uint32_t log_count;	    /* atomic: faults in it */
	pthread_mutex_t attach_lock;
	struct via_ioas_user user; /* of the attached IOAS */
	struct via_bell bell;	   /* where accesses to what is parked wait */
	uint32_t stops;		   /* atomic: how often accesses that wait have been told not to */
	void (*cancel)(void *cookie); /* constant while attached, like cookie */
	void *cookie;
	struct via_check *check; /* constant while attached; NULL: nobody listens */
	char *name;
};

int via_dma_new(const char *name, struct via_dma **ret_dma)
{
	struct via_dma *dma = aligned_alloc(_Alignof(struct via_dma), sizeof(*dma));

	if (!dma)
		return -ENOMEM;
	memset(dma, 0, sizeof(*dma));
	dma->name = strdup(name);
	if (!dma->name) {
		free(dma);
		return -ENOMEM;
	}
	pthread_mutex_init(&dma->attach_lock, NULL);
	*ret_dma = dma;
	return 0;
}

void via_dma_free(struct via_dma *dma)
{
	if (!dma)
		return;
	(void)via_dma_attach(dma, NULL);
	via_dma_log_put(dma->log);
	pthread_mutex_destroy(&dma->attach_lock);
	free(dma->name);
	free(dma);
}

/* Accesses that wait now fail. */
static void stop_waiting(struct via_dma *dma)
{
	__atomic_add_fetch(&dma->stops, 1, __ATOMIC_RELEASE);
	via_bell_ring(&dma->bell);
}

static void user_unparked(struct via_ioas_user *user)
{
	struct via_dma *dma = (void *)((char *)user - offsetof(struct via_dma, user));

	via_bell_ring(&dma->bell);
}

static void user_cancel(struct via_ioas_user *user)
{
	struct via_dma *dma = (void *)((char *)user - offsetof(struct via_dma, user));

	/* Who waits may have the leases. */
	stop_waiting(dma);
	if (dma->cancel)
		dma->cancel(dma->cookie);
}

void via_dma_set_cancel(struct via_dma *dma, void (*cancel)(void *cookie), void *cookie)
{
	dma->cancel = cancel;
	dma->cookie = cookie;
}

/* Of the device in memory that it has found by a domain which it finds no more. */
static void wait_for_uses(struct via_dma *dma, struct via_domain *domain)
{
	const struct via_use_filter ours = {
		.range = VIA_USES_EVERYWHERE,
		.kinds = VIA_USES_ANY,
		.user = dma,
		.domain = domain,
	};

	via_ioas_wait_for_uses(domain->ioas, &ours, &dma->user, "detaching a device");
}

int via_dma_attach_domain(struct via_dma *dma, struct via_domain *domain)
{
	struct via_domain *old;
	struct via_ioas *left = NULL;

	if (via_epoch_inside())
		return -EDEADLK;
	pthread_mutex_lock(&dma->attach_lock);
	old = __atomic_load_n(&dma->target, __ATOMIC_RELAXED);
	if (old == domain) {
		pthread_mutex_unlock(&dma->attach_lock);
		return 0;
	}
	if (domain)
		(void)via_ioas_get(domain->ioas);
	__atomic_store_n(&dma->target, domain, __ATOMIC_RELEASE);
	/* Who waits finds the new one, before the grace period that may depend on it. */
	via_bell_ring(&dma->bell);
	if (old) {
		left = old->ioas;
		/* Nobody looks at the old one any more nor is in its memory: both may be freed then. */
		(void)via_epoch_synchronize();
		wait_for_uses(dma, old);
		via_ioas_user_remove(left, &dma->user);
	}
	if (domain) {
		dma->user.cancel = user_cancel;
		dma->user.unparked = user_unparked;
		via_ioas_user_add(domain->ioas, &dma->user);
		/* What was parked when an access found it there may be back by now. */
		via_bell_ring(&dma->bell);
	}
	pthread_mutex_unlock(&dma->attach_lock);
	via_ioas_put(left);
	return 0;
}

int via_dma_attach(struct via_dma *dma, struct via_ioas *ioas)
{
	return via_dma_attach_domain(dma, ioas ? &ioas->own : NULL);
}

void via_dma_enable(struct via_dma *dma, bool on)
{
	__atomic_store_n(&dma->enabled, on, __ATOMIC_RELEASE);
	/* It may be switched on again before they look. */
	if (!on)
		stop_waiting(dma);
}

int via_dma_log_start(struct via_dma *dma, struct via_dma_log *log)
{
	int ret = 0;

	pthread_mutex_lock(&dma->attach_lock);
	if (__atomic_load_n(&dma->log, __ATOMIC_RELAXED))
		ret = -EINVAL;
	else
		__atomic_store_n(&dma->log, via_dma_log_get(log), __ATOMIC_RELEASE);
	/* A write that has not seen the log is over then. */
	if (!ret)
		(void)via_epoch_synchronize();
	pthread_mutex_unlock(&dma->attach_lock);
	return ret;
}

void via_dma_log_stop(struct via_dma *dma)
{
	struct via_dma_log *log;

	pthread_mutex_lock(&dma->attach_lock);
	log = __atomic_exchange_n(&dma->log, NULL, __ATOMIC_ACQ_REL);
	if (log)
		(void)via_epoch_synchronize();
	pthread_mutex_unlock(&dma->attach_lock);
	via_dma_log_put(log);
}

struct via_dma_log *via_dma_log_of(struct via_dma *dma)
{
	struct via_dma_log *log;

	pthread_mutex_lock(&dma->attach_lock);
	log = __atomic_load_n(&dma->log, __ATOMIC_RELAXED);
	if (log)
		via_dma_log_get(log);
	pthread_mutex_unlock(&dma->attach_lock);
	return log;
}

/* The device has written, or may have. In the section of the write. */
static inline void mark_written(struct via_dma *dma, struct via_domain *target, via_iova_t iova,
				uint64_t len)
{
	struct via_dma_log *log = __atomic_load_n(&dma->log, __ATOMIC_ACQUIRE);

	if (__builtin_expect(log != NULL, 0))
		via_dma_log_mark(log, iova, len);
	if (__builtin_expect(__atomic_load_n(&target->tracks, __ATOMIC_ACQUIRE), 0))
		via_domain_written(target, iova, len);
}

static struct cached *cache_slot(struct via_dma *dma, via_iova_t iova)
{
	return &dma->cache[((iova >> 12) * 0x9e3779b97f4a7c15u) >> (64 - CACHE_BITS)];
}

static void cache_fill(struct cached *slot, uint64_t generation, const struct via_translation *t)
{
	uint64_t seq = __atomic_load_n(&slot->seq, __ATOMIC_RELAXED);

	if ((seq & 1) || !__atomic_compare_exchange_n(&slot->seq, &seq, seq + 1, false,
						      __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
		return;
	__atomic_store_n(&slot->generation, generation, __ATOMIC_RELEASE);
	__atomic_store_n(&slot->first, t->first, __ATOMIC_RELEASE);
	__atomic_store_n(&slot->last, t->last, __ATOMIC_RELEASE);
	__atomic_store_n(&slot->host, t->host, __ATOMIC_RELEASE);
	__atomic_store_n(&slot->area, (uintptr_t)t->area | t->prot, __ATOMIC_RELEASE);
	__atomic_store_n(&slot->seq, seq + 2, __ATOMIC_RELEASE);
}

static __attribute__((noinline)) struct via_translation
translate_slowly(struct via_ioas *ioas, via_iova_t iova, struct cached *slot, uint64_t generation)
{
	struct via_translation t = via_index_translate(&ioas->index, iova);

	if (t.area)
		cache_fill(slot, generation, &t);
	return t;
}

/* What holds iova. Inside a section. */
static inline struct via_translation translate(struct via_dma *dma, struct via_ioas *ioas,
					       via_iova_t iova)
{
	struct cached *slot = cache_slot(dma, iova);
	uint64_t current = __atomic_load_n(&ioas->generation, __ATOMIC_ACQUIRE);
	uint64_t seq = __atomic_load_n(&slot->seq, __ATOMIC_ACQUIRE);
	uint64_t generation = __atomic_load_n(&slot->generation, __ATOMIC_ACQUIRE);
	uintptr_t area = __atomic_load_n(&slot->area, __ATOMIC_ACQUIRE);
	struct via_translation t = {
		.area = (struct via_ioas_area *)(area & ~CACHED_PROT),
		.first = __atomic_load_n(&slot->first, __ATOMIC_ACQUIRE),
		.last = __atomic_load_n(&slot->last, __ATOMIC_ACQUIRE),
		.prot = (unsigned int)(area & CACHED_PROT),
		.host = __atomic_load_n(&slot->host, __ATOMIC_ACQUIRE),
	};

	if (__builtin_expect(generation == current && !(seq & 1) &&
			     __atomic_load_n(&slot->seq, __ATOMIC_RELAXED) == seq &&
			     iova >= t.first && iova <= t.last, 1))
		return t;
	return translate_slowly(ioas, iova, slot, current);
}

/* Where its memory is, if it is one piece; what the index does not tell the area may know. */
static inline uint8_t *host_of(const struct via_translation *t)
{
	if (__builtin_expect(t->host != NULL, 1))
		return t->host;
	return t->area ? __atomic_load_n(&t->area->host, __ATOMIC_ACQUIRE) : NULL;
}

static const char *const fault_text[] = {
	[VIA_DMA_NOT_ATTACHED] = "the device is attached to no address space",
	[VIA_DMA_UNMAPPED] = "nothing is mapped there",
	[VIA_DMA_PROTECTION] = "the mapping does not allow it",
	[VIA_DMA_MEMORY] = "the memory behind the mapping is gone",
	[VIA_DMA_SUSPENDED] = "the memory's address is suspended",
	[VIA_DMA_BUS_MASTER] = "Bus Master Enable is off",
};

void via_dma_set_check(struct via_dma *dma, struct via_check *check)
{
	dma->check = check;
}

/* The checker hears of it: where in the access it was, and what the device is attached to now. */
static void tell_check(struct via_dma *dma, enum via_dma_fault why, const struct via_dma_seg *seg,
		       uint64_t done, bool write)
{
	const struct via_domain *target;
	struct via_ioas *ioas = NULL;

	/* In somebody's section no lock may be taken that changers hold: then without what is mapped. */
	if (!via_epoch_inside()) {
		via_epoch_enter();
		target = __atomic_load_n(&dma->target, __ATOMIC_ACQUIRE);
		ioas = target ? via_ioas_get(via_domain_ioas(target)) : NULL;
		via_epoch_exit();
	}
	via_check_fault(dma->check, ioas, dma->name, why, seg->iova, seg->len, write,
			seg->iova + done);
	via_ioas_put(ioas);
}

/*
 * The piece of seg behind its first done bytes was refused: count, and log unless
 * there have been many of late. Outside of sections.
 */
static int fault(struct via_dma *dma, enum via_dma_fault why, const struct via_dma_seg *seg,
		 uint64_t done, bool write)
{
	struct timespec ts;
	uint64_t now, window;

	__atomic_add_fetch(&dma->stats.faults, 1, __ATOMIC_RELAXED);
	(void)clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	now = (uint64_t)ts.tv_sec;
	window = __atomic_load_n(&dma->log_window, __ATOMIC_RELAXED);
	if (now - window >= FAULT_LOG_SECONDS) {
		__atomic_store_n(&dma->log_window, now, __ATOMIC_RELAXED);
		__atomic_store_n(&dma->log_count, 0, __ATOMIC_RELAXED);
	}
	if (__atomic_fetch_add(&dma->log_count, 1, __ATOMIC_RELAXED) < FAULT_LOG_MAX)
		via_log(VIA_LOG_WARNING, "%s: DMA %s of 0x%" PRIx64 " bytes at iova 0x%" PRIx64
			" refused: %s", dma->name, write ? "write" : "read", seg->len - done,
			seg->iova + done, fault_text[why]);
	if (dma->check)
		tell_check(dma, why, seg, done, write);
	return why == VIA_DMA_BUS_MASTER ? -EPERM : -EFAULT;
}

static void account(struct via_dma *dma, uint64_t bytes, bool write)
{
	__atomic_add_fetch(&dma->stats.accesses, 1, __ATOMIC_RELAXED);
	__atomic_add_fetch(write ? &dma->stats.write_bytes : &dma->stats.read_bytes, bytes,
			   __ATOMIC_RELAXED);
}

/* Where an access over a scatter list is. */
struct walk {
	const struct via_dma_seg *segs;
	size_t n_segs;
	uint64_t done;	/* bytes of segs[0] that are behind us */
	uint64_t until; /* when VIA_DMA_SUSPENDED is final */
};

static void walk_skip(struct walk *walk)
{
	while (walk->n_segs && walk->done == walk->segs->len) {
		walk->segs++;
		walk->n_segs--;
		walk->done = 0;
	}
}

/* What it is attached to, if the device may access memory now. Inside a section. */
static struct via_domain *attached(struct via_dma *dma, enum via_dma_fault *why)
{
	struct via_domain *target = __atomic_load_n(&dma->target, __ATOMIC_ACQUIRE);

	*why = VIA_DMA_NOT_ATTACHED;
	if (!__atomic_load_n(&dma->enabled, __ATOMIC_ACQUIRE)) {
		*why = VIA_DMA_BUS_MASTER;
		return NULL;
	}
	return target;
}

static uint32_t stops_of(const struct via_dma *dma)
{
	return __atomic_load_n(&dma->stops, __ATOMIC_ACQUIRE);
}

/*
 * An access has come to parked memory: should it try again? stops and rings are from
 * before it looked. Outside of sections, unless the caller of the device is in one.
 */
static bool wait_unparked(struct via_dma *dma, uint32_t stops, uint32_t rings, uint64_t until)
{
	return !via_epoch_inside() && stops_of(dma) == stops &&
	       via_bell_wait(&dma->bell, rings, until) && stops_of(dma) == stops;
}

/* What lies behind a piece of a walk. Valid inside the section. */
struct reach {
	const struct via_ioas_area *area;
	uint64_t at;		   /* of its first byte in the area */
	struct via_store_run run; /* store NULL: registers of a region */
};

/*
 * The next piece of the walk that lies in one store, at most max bytes. False
 * with a reason when it may not be accessed. Inside a section.
 */
static bool walk_next(struct via_dma *dma, struct via_ioas *ioas, struct walk *walk,
		      unsigned int prot, uint64_t max, struct reach *ret_reach,
		      enum via_dma_fault *why)
{
	uint64_t left = walk->segs->len - walk->done;
	const struct via_ioas_area *area;
	const struct via_area_fill *fill;
	const struct via_piece *piece;
	uint64_t at;
	via_iova_t iova;

	*why = VIA_DMA_UNMAPPED;
	if (__builtin_add_overflow(walk->segs->iova, walk->done, &iova))
		return false;
	area = translate(dma, ioas, iova).area;
	fill = area ? __atomic_load_n(&area->fill, __ATOMIC_ACQUIRE) : NULL;
	if (area && !fill && __atomic_load_n(&area->parked, __ATOMIC_ACQUIRE)) {
		walk->until = area->parked_until;
		*why = VIA_DMA_SUSPENDED;
	}
	if (!fill)
		return false;
	*why = VIA_DMA_PROTECTION;
	if (prot & ~area->prot)
		return false;
	at = iova - area->first;
	piece = via_area_piece(fill, at);
	if (left > max)
		left = max;
	if (left > piece->len - (at - piece->offset))
		left = piece->len - (at - piece->offset);
	*ret_reach = (struct reach){
		.area = area,
		.at = at,
		.run = { piece->store, piece->store_offset + (at - piece->offset), left },
	};
	walk->done += left;
	walk_skip(walk);
	return true;
}

/* Registers that an access has come to: it goes on outside of the section. */
struct registers {
	struct via_pages *pages; /* an access to them has begun; NULL: there are none */
	uint64_t offset, len;
};

/* The pieces of one section, of one kind. */
struct batch {
	size_t n;
	uint64_t bytes;
	struct via_store_run runs[SECTION_RUNS];
	struct via_use_range ranges[SECTION_RUNS]; /* their IOVAs */
	const struct via_ioas_area *areas[SECTION_RUNS];
	/*
	 * A program can hold up copies of these: they are made outside of the section. Who takes
	 * the memory away, or the device from the domain, waits for the use.
	 */
	bool slow;
	struct via_domain *target;
	struct via_use use;
};

/* Is what has been reached of another kind than the batch? */
static bool is_other(const struct batch *batch, const struct via_store *store)
{
	return batch->n && (!store || store->prompt == batch->slow);
}

/* As much as one section may do. False with a reason. */
static bool collect(struct via_dma *dma, struct via_domain *target, struct walk *walk, bool write,
		    struct batch *batch, struct registers *registers, enum via_dma_fault *why)
{
	uint64_t limit = SECTION_BATCH;

	while (walk->n_segs && batch->n < SECTION_RUNS && batch->bytes < limit) {
		via_iova_t iova = walk->segs->iova + walk->done;
		struct walk before = *walk;
		struct reach reach;

		if (!walk_next(dma, target->ioas, walk, write ? VIA_PROT_WRITE : VIA_PROT_READ,
			       SECTION_BYTES, &reach, why))
			return false;
		if (is_other(batch, reach.run.store)) {
			*walk = before;
			return true;
		}
		if (!reach.run.store) {
			registers->pages = reach.area->pages;
			via_pages_access_begin(registers->pages);
			registers->offset = reach.area->offset + reach.at;
			registers->len = reach.run.len;
			if (write)
				mark_written(dma, target, iova, reach.run.len);
			return true;
		}
		batch->slow = !reach.run.store->prompt;
		/* Copies of our own gain nothing by batching. */
		if (!batch->slow)
			limit = SECTION_BYTES;
		batch->ranges[batch->n] =
			(struct via_use_range){ iova, iova + (reach.run.len - 1) };
		batch->areas[batch->n] = reach.area;
		batch->bytes += reach.run.len;
		batch->runs[batch->n++] = reach.run;
	}
	return true;
}

/* In a section, or with the use. */
static int copy_batch(const struct batch *batch, uint8_t *buf, bool write)
{
	const struct iovec iov = { buf, batch->bytes };

	if (write)
		return via_store_writev(batch->runs, batch->n, &iov, 1);
	return via_store_readv(batch->runs, batch->n, &iov, 1);
}

/* Inside a section. Of a write that fails the beginning may be there. */
static void mark_batch(struct via_dma *dma, const struct batch *batch)
{
	for (size_t i = 0; i < batch->n; i++)
		mark_written(dma, batch->target, batch->ranges[i].first, batch->runs[i].len);
}

/* *buf moves on. 0 or -1 with a reason; what comes next may be registers, or a slow batch. */
static int copy_section(struct via_dma *dma, struct walk *walk, uint8_t **buf, bool write,
			struct batch *batch, struct registers *registers, enum via_dma_fault *why)
{
	int failed;

	batch->n = 0;
	batch->bytes = 0;
	batch->slow = false;
	batch->target = attached(dma, why);
	if (!batch->target || !collect(dma, batch->target, walk, write, batch, registers, why))
		return -1;
	if (batch->slow) {
		batch->use = (struct via_use){
			.ranges = batch->ranges,
			.n_ranges = batch->n,
			.kind = VIA_USE_COPY,
			.user = dma,
			.domain = batch->target,
		};
		via_use_begin(&batch->target->ioas->uses, &batch->use);
	}
	if (batch->slow || !batch->n)
		return 0;
	*why = VIA_DMA_MEMORY;
	failed = copy_batch(batch, *buf, write);
	if (write) {
		mark_batch(dma, batch);
		for (size_t i = 0; i < batch->n; i++)
			via_pages_written(batch->areas[i]->pages);
	}
	if (failed)
		return -1;
	*buf += batch->bytes;
	return 0;
}

/*
 * Outside of sections: the program may take its time. The marks come before the end of the use,
 * so that who unmaps and then asks for them has them all; tracking that has been
 * switched on meanwhile is found.
 */
static int copy_slowly(struct via_dma *dma, struct batch *batch, uint8_t **buf, bool write,
		       enum via_dma_fault *why)
{
	int failed = copy_batch(batch, *buf, write);

	if (write) {
		via_epoch_enter();
		mark_batch(dma, batch);
		via_epoch_exit();
	}
	via_use_end(&batch->use);
	*why = VIA_DMA_MEMORY;
	*buf += batch->bytes;
	return failed ? -1 : 0;
}

/* Outside of sections: the region may do whatever it wants. */
static int copy_registers(const struct registers *registers, uint8_t **buf, bool write,
			  enum via_dma_fault *why)
{
	int rc = via_pages_access(registers->pages, registers->offset, *buf, registers->len, write);

	via_pages_access_end(registers->pages);
	*why = VIA_DMA_MEMORY;
	*buf += registers->len;
	return rc ? -1 : 0;
}

static int copy_list(struct via_dma *dma, const struct via_dma_seg *segs, size_t n_segs,
		     uint8_t *buf, bool write)
{
	struct walk walk = { .segs = segs, .n_segs = n_segs };
	uint32_t stops = stops_of(dma);
	struct batch batch;
	uint8_t *at = buf;
	uint64_t total = 0;
	int rc = 0;

	for (size_t i = 0; i < n_segs; i++)
		total += segs[i].len;
	walk_skip(&walk);
	while (!rc && walk.n_segs) {
		struct registers registers = { 0 };
		uint32_t rings = via_bell_rings(&dma->bell);
		struct walk before = walk;
		enum via_dma_fault why;

		via_epoch_enter();
		rc = copy_section(dma, &walk, &at, write, &batch, &registers, &why);
		via_epoch_exit();
		if (!rc && batch.slow)
			rc = copy_slowly(dma, &batch, &at, write, &why);
		if (registers.pages)
			rc = copy_registers(&registers, &at, write, &why);
		if (rc && why == VIA_DMA_SUSPENDED && wait_unparked(dma, stops, rings, walk.until)) {
			walk = before;
			rc = 0;
		}
		if (rc) {
			/* The piece that failed, or the section's first if memory did. */
			const struct walk *bad = why == VIA_DMA_MEMORY ? &before : &walk;

			rc = fault(dma, why, bad->segs, bad->done, write);
		}
	}
	if (!rc)
		account(dma, total, write);
	else if (!write)
		memset(buf, 0, total);
	return rc;
}

/* The usual case: one mapped area, not long. False: take the long way. */
static inline bool copy_fast(struct via_dma *dma, via_iova_t iova, void *buf, size_t len,
			     bool write)
{
	struct via_translation t = { 0 };
	struct via_domain *target;
	enum via_dma_fault why;
	uint8_t *host;
	bool done = false;

	if (len - 1 >= SECTION_BYTES)
		return false;
	via_epoch_enter();
	target = attached(dma, &why);
	if (target)
		t = translate(dma, target->ioas, iova);
	host = host_of(&t);
	if (host && (t.prot & (write ? VIA_PROT_WRITE : VIA_PROT_READ)) && len - 1 <= t.last - iova) {
		host += iova - t.first;
		done = write ? !via_guard_write(host, buf, len) : !via_guard_read(buf, host, len);
		if (write)
			mark_written(dma, target, iova, len);
	}
	via_epoch_exit();
	if (done)
		account(dma, len, write);
	return done;
}

int via_dma_read(struct via_dma *dma, via_iova_t iova, void *buf, size_t len)
{
	struct via_dma_seg seg = { iova, len };

	if (copy_fast(dma, iova, buf, len, false))
		return 0;
	return copy_list(dma, &seg, 1, buf, false);
}

int via_dma_write(struct via_dma *dma, via_iova_t iova, const void *buf, size_t len)
{
	struct via_dma_seg seg = { iova, len };

	if (copy_fast(dma, iova, (void *)(uintptr_t)buf, len, true))
		return 0;
	return copy_list(dma, &seg, 1, (void *)(uintptr_t)buf, true);
}

int via_dma_readv(struct via_dma *dma, const struct via_dma_seg *segs, size_t n_segs, void *buf)
{
	return copy_list(dma, segs, n_segs, buf, false);
}

int via_dma_writev(struct via_dma *dma, const struct via_dma_seg *segs, size_t n_segs,
		   const void *buf)
{
	return copy_list(dma, segs, n_segs, (void *)(uintptr_t)buf, true);
}

/* May bytes there be leased? Not if the device's every access has to be seen. */
static bool leasable(const struct reach *reach, unsigned int prot)
{
	return reach->run.store && !((prot & VIA_PROT_WRITE) &&
				     via_pages_kind(reach->area->pages) == VIA_PAGES_REGION);
}

/* All leases of the list. Inside a section. 0, or an errno; -EFAULT with a reason. */
static int lease_section(struct via_dma *dma, struct walk *walk, unsigned int prot,
			 struct via_lease *leases, size_t max, size_t *n, uint64_t *bytes,
			 enum via_dma_fault *why)
{
	struct via_domain *target = attached(dma, why);
	struct reach reach;
	struct via_use use;

	/* When it is written would not be known: the caller writes by via_dma_writev(). */
	if ((prot & VIA_PROT_WRITE) && (__atomic_load_n(&dma->log, __ATOMIC_ACQUIRE) ||
					(target && via_domain_tracks(target))))
		return -EOPNOTSUPP;
	if (!target)
		return -EFAULT;
	use = (struct via_use){
		.kind = prot & VIA_PROT_WRITE ? VIA_USE_WRITE : VIA_USE_READ,
		.user = dma,
		.domain = target,
	};
	while (walk->n_segs) {
		via_iova_t iova = walk->segs->iova + walk->done;
		struct via_store_run *run = &reach.run;

		if (!walk_next(dma, target->ioas, walk, prot, UINT64_MAX, &reach, why))
			return -EFAULT;
		if (!leasable(&reach, prot))
			return -EOPNOTSUPP;
		while (run->len) {
			uint64_t len;
			int rc;

			if (*n == max)
				return -E2BIG;
			*why = VIA_DMA_MEMORY;
			rc = via_store_lease(run->store, run->offset, run->len, prot, &leases[*n]);
			if (rc)
				return rc;
			len = leases[(*n)++].len;
			rc = via_use_lease(&target->ioas->uses, &leases[*n - 1],
					   (struct via_use_range){ iova, iova + (len - 1) }, &use);
			if (rc)
				return rc;
			run->offset += len;
			run->len -= len;
			iova += len;
			*bytes += len;
		}
	}
	return 0;
}

int via_dma_lease(struct via_dma *dma, const struct via_dma_seg *segs, size_t n_segs,
		  unsigned int prot, struct via_lease *leases, size_t max_leases, size_t *ret_n)
{
	bool write = prot & VIA_PROT_WRITE;
	uint32_t stops = stops_of(dma), rings;
	enum via_dma_fault why;
	struct walk walk;
	uint64_t bytes;
	size_t n = 0;
	int rc;

	do {
		walk = (struct walk){ .segs = segs, .n_segs = n_segs };
		walk_skip(&walk);
		/* As a copy of nothing: it may be done always. */
		if (!walk.n_segs) {
			*ret_n = 0;
			return 0;
		}
		bytes = 0;
		rings = via_bell_rings(&dma->bell);
		via_epoch_enter();
		rc = lease_section(dma, &walk, prot, leases, max_leases, &n, &bytes, &why);
		via_epoch_exit();
		if (!rc) {
			account(dma, bytes, write);
			*ret_n = n;
			return 0;
		}
		/* Also while we wait: who unmaps may wait for them. */
		while (n)
			via_lease_put(&leases[--n]);
	} while (rc == -EFAULT && why == VIA_DMA_SUSPENDED &&
		 wait_unparked(dma, stops, rings, walk.until));
	if (rc == -EFAULT)
		rc = fault(dma, why, walk.segs, walk.done, write);
	return rc;
}

void via_dma_get_stats(const struct via_dma *dma, struct via_dma_stats *ret_stats)
{
	*ret_stats = (struct via_dma_stats){
		.read_bytes = __atomic_load_n(&dma->stats.read_bytes, __ATOMIC_RELAXED),
		.write_bytes = __atomic_load_n(&dma->stats.write_bytes, __ATOMIC_RELAXED),
		.accesses = __atomic_load_n(&dma->stats.accesses, __ATOMIC_RELAXED),
		.faults = __atomic_load_n(&dma->stats.faults, __ATOMIC_RELAXED),
	};
}
