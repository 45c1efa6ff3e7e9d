/* SPDX-License-Identifier: MIT */
/* A device's way into an IOAS: translation cache, protection, copies, faults. */
#include "iommu/dma.h"

#include "base/epoch.h"
#include "base/log.h"
#include "iommu/dma_log.h"
#include "iommu/ioas.h"
#include "memory/guard.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
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
 * One cached translation. Threads of one device share it: a sequence number,
 * odd while somebody writes, tells a torn read. The area is only looked into
 * when the generation is current, that is: while it is mapped.
 */
struct cached {
	uint64_t seq;		    /* atomic */
	uint64_t generation;	    /* atomic */
	struct via_ioas_area *area; /* atomic */
};

struct via_dma {
	struct via_ioas *ioas; /* atomic: read in a section; a reference */
	bool enabled;	       /* atomic */
	struct via_dma_log *log; /* atomic: read in a section; a reference. NULL: not logged */
	struct cached cache[1 << CACHE_BITS];
	struct via_dma_stats stats; /* atomic, each */
	uint64_t log_window;	    /* atomic: second in which it began */
	uint32_t log_count;	    /* atomic: faults in it */
	pthread_mutex_t attach_lock;
	struct via_ioas_user user; /* of the attached IOAS */
	void (*cancel)(void *cookie); /* constant while attached, like cookie */
	void *cookie;
	char *name;
};

int via_dma_new(const char *name, struct via_dma **ret_dma)
{
	struct via_dma *dma = calloc(1, sizeof(*dma));

	if (dma)
		dma->name = strdup(name);
	if (!dma || !dma->name) {
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

static void user_cancel(struct via_ioas_user *user)
{
	struct via_dma *dma = (void *)((char *)user - offsetof(struct via_dma, user));

	if (dma->cancel)
		dma->cancel(dma->cookie);
}

void via_dma_set_cancel(struct via_dma *dma, void (*cancel)(void *cookie), void *cookie)
{
	dma->cancel = cancel;
	dma->cookie = cookie;
}

int via_dma_attach(struct via_dma *dma, struct via_ioas *ioas)
{
	struct via_ioas *old;

	if (via_epoch_inside())
		return -EDEADLK;
	pthread_mutex_lock(&dma->attach_lock);
	old = __atomic_load_n(&dma->ioas, __ATOMIC_RELAXED);
	if (old == ioas) {
		pthread_mutex_unlock(&dma->attach_lock);
		return 0;
	}
	__atomic_store_n(&dma->ioas, ioas ? via_ioas_get(ioas) : NULL, __ATOMIC_RELEASE);
	if (old) {
		(void)via_epoch_synchronize();
		via_ioas_user_remove(old, &dma->user);
	}
	if (ioas) {
		dma->user.cancel = user_cancel;
		via_ioas_user_add(ioas, &dma->user);
	}
	pthread_mutex_unlock(&dma->attach_lock);
	via_ioas_put(old);
	return 0;
}

void via_dma_enable(struct via_dma *dma, bool on)
{
	__atomic_store_n(&dma->enabled, on, __ATOMIC_RELEASE);
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
static inline void mark_written(struct via_dma *dma, via_iova_t iova, uint64_t len)
{
	struct via_dma_log *log = __atomic_load_n(&dma->log, __ATOMIC_ACQUIRE);

	if (__builtin_expect(log != NULL, 0))
		via_dma_log_mark(log, iova, len);
}

static struct cached *cache_slot(struct via_dma *dma, via_iova_t iova)
{
	return &dma->cache[((iova >> 12) * 0x9e3779b97f4a7c15u) >> (64 - CACHE_BITS)];
}

static void cache_fill(struct cached *slot, uint64_t generation, struct via_ioas_area *area)
{
	uint64_t seq = __atomic_load_n(&slot->seq, __ATOMIC_RELAXED);

	if ((seq & 1) || !__atomic_compare_exchange_n(&slot->seq, &seq, seq + 1, false,
						      __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
		return;
	__atomic_store_n(&slot->generation, generation, __ATOMIC_RELEASE);
	__atomic_store_n(&slot->area, area, __ATOMIC_RELEASE);
	__atomic_store_n(&slot->seq, seq + 2, __ATOMIC_RELEASE);
}

/* The area that holds iova, or NULL. Inside a section. */
static const struct via_ioas_area *translate(struct via_dma *dma, struct via_ioas *ioas,
					     via_iova_t iova)
{
	struct cached *slot = cache_slot(dma, iova);
	uint64_t current = via_ioas_generation(ioas);
	uint64_t seq = __atomic_load_n(&slot->seq, __ATOMIC_ACQUIRE);
	uint64_t generation = __atomic_load_n(&slot->generation, __ATOMIC_ACQUIRE);
	struct via_ioas_area *area = __atomic_load_n(&slot->area, __ATOMIC_ACQUIRE);

	if (generation == current && !(seq & 1) &&
	    __atomic_load_n(&slot->seq, __ATOMIC_RELAXED) == seq && iova >= area->first &&
	    iova <= area->last)
		return area;
	area = via_ioas_lookup(ioas, iova);
	if (area)
		cache_fill(slot, current, area);
	return area;
}

static const char *const fault_text[] = {
	[VIA_DMA_NOT_ATTACHED] = "the device is attached to no address space",
	[VIA_DMA_UNMAPPED] = "nothing is mapped there",
	[VIA_DMA_PROTECTION] = "the mapping does not allow it",
	[VIA_DMA_MEMORY] = "the memory behind the mapping is gone",
	[VIA_DMA_BUS_MASTER] = "Bus Master Enable is off",
};

/* Count, and log unless there have been many of late. Outside of sections. */
static int fault(struct via_dma *dma, enum via_dma_fault why, via_iova_t iova, uint64_t len,
		 bool write)
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
			" refused: %s", dma->name, write ? "write" : "read", len, iova,
			fault_text[why]);
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
	uint64_t done; /* bytes of segs[0] that are behind us */
};

static void walk_skip(struct walk *walk)
{
	while (walk->n_segs && walk->done == walk->segs->len) {
		walk->segs++;
		walk->n_segs--;
		walk->done = 0;
	}
}

/* The IOAS, if the device may access memory now. Inside a section. */
static struct via_ioas *attached(struct via_dma *dma, enum via_dma_fault *why)
{
	struct via_ioas *ioas = __atomic_load_n(&dma->ioas, __ATOMIC_ACQUIRE);

	*why = VIA_DMA_NOT_ATTACHED;
	if (!__atomic_load_n(&dma->enabled, __ATOMIC_ACQUIRE)) {
		*why = VIA_DMA_BUS_MASTER;
		return NULL;
	}
	return ioas;
}

/*
 * The next piece of the walk that lies in one area, at most max bytes. NULL
 * with a reason when it may not be accessed. Inside a section.
 */
static const struct via_ioas_area *walk_next(struct via_dma *dma, struct via_ioas *ioas,
					     struct walk *walk, unsigned int prot, uint64_t max,
					     struct via_store_run *ret_run, enum via_dma_fault *why)
{
	uint64_t left = walk->segs->len - walk->done;
	const struct via_ioas_area *area;
	via_iova_t iova;

	*why = VIA_DMA_UNMAPPED;
	if (__builtin_add_overflow(walk->segs->iova, walk->done, &iova))
		return NULL;
	area = translate(dma, ioas, iova);
	if (!area)
		return NULL;
	*why = VIA_DMA_PROTECTION;
	if (prot & ~area->prot)
		return NULL;
	if (left > max)
		left = max;
	if (left - 1 > area->last - iova)
		left = area->last - iova + 1;
	*ret_run = (struct via_store_run){ area->store, iova - area->first, left };
	walk->done += left;
	walk_skip(walk);
	return area;
}

/* As much as one section may do; *buf moves on. 0 or -1 with a reason. */
static int copy_section(struct via_dma *dma, struct walk *walk, uint8_t **buf, bool write,
			enum via_dma_fault *why)
{
	struct via_store_run runs[SECTION_RUNS];
	via_iova_t iovas[SECTION_RUNS];
	struct via_ioas *ioas = attached(dma, why);
	uint64_t limit = SECTION_BATCH, bytes = 0;
	struct iovec iov;
	size_t n = 0;
	int failed;

	if (!ioas)
		return -1;
	while (walk->n_segs && n < SECTION_RUNS && bytes < limit) {
		const struct via_ioas_area *area;

		iovas[n] = walk->segs->iova + walk->done;
		area = walk_next(dma, ioas, walk, write ? VIA_PROT_WRITE : VIA_PROT_READ,
				  SECTION_BYTES, &runs[n], why);

		if (!area)
			return -1;
		/* Copies of our own gain nothing by batching. */
		if (area->host)
			limit = SECTION_BYTES;
		bytes += runs[n++].len;
	}
	if (!n)
		return 0;
	iov = (struct iovec){ *buf, bytes };
	*why = VIA_DMA_MEMORY;
	failed = write ? via_store_writev(runs, n, &iov, 1) : via_store_readv(runs, n, &iov, 1);
	/* Of a write that fails the beginning may be there. */
	for (size_t i = 0; write && i < n; i++)
		mark_written(dma, iovas[i], runs[i].len);
	if (failed)
		return -1;
	*buf += bytes;
	return 0;
}

static int copy_list(struct via_dma *dma, const struct via_dma_seg *segs, size_t n_segs,
		     uint8_t *buf, bool write)
{
	struct walk walk = { segs, n_segs, 0 };
	uint8_t *at = buf;
	uint64_t total = 0;
	int rc = 0;

	for (size_t i = 0; i < n_segs; i++)
		total += segs[i].len;
	walk_skip(&walk);
	while (!rc && walk.n_segs) {
		struct walk before = walk;
		enum via_dma_fault why;

		via_epoch_enter();
		rc = copy_section(dma, &walk, &at, write, &why);
		via_epoch_exit();
		if (rc) {
			/* The piece that failed, or the section's first if memory did. */
			const struct walk *bad = why == VIA_DMA_MEMORY ? &before : &walk;

			rc = fault(dma, why, bad->segs->iova + bad->done,
				   bad->segs->len - bad->done, write);
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
	const struct via_ioas_area *area;
	struct via_ioas *ioas;
	enum via_dma_fault why;
	bool done = false;

	if (len - 1 >= SECTION_BYTES)
		return false;
	via_epoch_enter();
	ioas = attached(dma, &why);
	area = ioas ? translate(dma, ioas, iova) : NULL;
	if (area && area->host && (area->prot & (write ? VIA_PROT_WRITE : VIA_PROT_READ)) &&
	    len - 1 <= area->last - iova) {
		uint8_t *host = area->host + (iova - area->first);

		done = write ? !via_guard_write(host, buf, len) : !via_guard_read(buf, host, len);
		if (write)
			mark_written(dma, iova, len);
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

/* All leases of the list. Inside a section. 0, or an errno; -EFAULT with a reason. */
static int lease_section(struct via_dma *dma, struct walk *walk, unsigned int prot,
			 struct via_lease *leases, size_t max, size_t *n, uint64_t *bytes,
			 enum via_dma_fault *why)
{
	struct via_ioas *ioas = attached(dma, why);
	struct via_store_run run;

	if (!ioas)
		return -EFAULT;
	while (walk->n_segs) {
		if (!walk_next(dma, ioas, walk, prot, UINT64_MAX, &run, why))
			return -EFAULT;
		while (run.len) {
			int rc;

			if (*n == max)
				return -E2BIG;
			*why = VIA_DMA_MEMORY;
			rc = via_store_lease(run.store, run.offset, run.len, prot, &leases[*n]);
			if (rc)
				return rc;
			run.offset += leases[*n].len;
			run.len -= leases[*n].len;
			*bytes += leases[*n].len;
			(*n)++;
		}
	}
	return 0;
}

int via_dma_lease(struct via_dma *dma, const struct via_dma_seg *segs, size_t n_segs,
		  unsigned int prot, struct via_lease *leases, size_t max_leases, size_t *ret_n)
{
	bool write = prot & VIA_PROT_WRITE;
	struct walk walk = { segs, n_segs, 0 };
	enum via_dma_fault why;
	uint64_t bytes = 0;
	size_t n = 0;
	int rc;

	walk_skip(&walk);
	via_epoch_enter();
	/* When it is written would not be known: the caller writes by via_dma_writev(). */
	if (write && __atomic_load_n(&dma->log, __ATOMIC_ACQUIRE))
		rc = -EOPNOTSUPP;
	else
		rc = lease_section(dma, &walk, prot, leases, max_leases, &n, &bytes, &why);
	via_epoch_exit();
	if (!rc) {
		account(dma, bytes, write);
		*ret_n = n;
		return 0;
	}
	while (n)
		via_lease_put(&leases[--n]);
	if (rc == -EFAULT)
		rc = fault(dma, why, walk.n_segs ? walk.segs->iova + walk.done : 0,
			   walk.n_segs ? walk.segs->len - walk.done : 0, write);
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
