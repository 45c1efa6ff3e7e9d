/* SPDX-License-Identifier: MIT */
#include "iommu/check.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

/* How far back it remembers. */
#define N_EVENTS 16384u

struct via_check {
	void (*report)(void *cookie, const struct via_check_report *report); /* constant */
	void *cookie;			   /* constant */
	pthread_mutex_t lock;		   /* what follows */
	unsigned int reports_left;
	uint64_t counts[VIA_CHECK_KINDS];
	uint64_t n_events;		   /* ever; the last N_EVENTS are kept */
	struct via_check_event events[N_EVENTS]; /* number % N_EVENTS */
};

const char *via_check_kind_name(enum via_check_kind kind)
{
	static const char *const names[VIA_CHECK_KINDS] = {
		[VIA_CHECK_NEVER_MAPPED] = "never mapped",
		[VIA_CHECK_AFTER_UNMAP] = "after unmap",
		[VIA_CHECK_PROTECTION] = "against protection",
		[VIA_CHECK_STRADDLE] = "beyond the end of a mapping",
		[VIA_CHECK_MEMORY_GONE] = "memory is gone",
		[VIA_CHECK_NOT_ATTACHED] = "not attached",
		[VIA_CHECK_BUS_MASTER] = "bus mastering off",
	};

	return kind < VIA_CHECK_KINDS ? names[kind] : "?";
}

int via_check_new(void (*report)(void *cookie, const struct via_check_report *report), void *cookie,
		  unsigned int max_reports, struct via_check **ret_check)
{
	struct via_check *check = calloc(1, sizeof(*check));

	if (!check)
		return -ENOMEM;
	check->report = report;
	check->cookie = cookie;
	check->reports_left = max_reports;
	pthread_mutex_init(&check->lock, NULL);
	*ret_check = check;
	return 0;
}

void via_check_free(struct via_check *check)
{
	if (!check)
		return;
	pthread_mutex_destroy(&check->lock);
	free(check);
}

static _Thread_local const struct via_check_caller *current;

void via_check_set_caller(const struct via_check_caller *caller)
{
	current = caller;
}

void via_check_note(struct via_check *check, const struct via_ioas *ioas, via_iova_t first,
		    via_iova_t last, unsigned int prot)
{
	size_t n_frames = current ? current->n_frames : 0;
	struct via_check_event *event;

	if (n_frames > VIA_CHECK_FRAMES)
		n_frames = VIA_CHECK_FRAMES;
	pthread_mutex_lock(&check->lock);
	event = &check->events[check->n_events % N_EVENTS];
	*event = (struct via_check_event){
		.ioas = ioas,
		.first = first,
		.last = last,
		.prot = prot,
		.pid = current ? current->pid : 0,
		.number = check->n_events++,
		.n_frames = (unsigned int)n_frames,
	};
	if (n_frames)
		memcpy(event->frames, current->frames, n_frames * sizeof(event->frames[0]));
	pthread_mutex_unlock(&check->lock);
}

static uint64_t remembered(const struct via_check *check)
{
	return check->n_events < N_EVENTS ? check->n_events : N_EVENTS;
}

void via_check_forget(struct via_check *check, const struct via_ioas *ioas)
{
	pthread_mutex_lock(&check->lock);
	for (uint64_t i = 0; i < remembered(check); i++)
		if (check->events[i].ioas == ioas)
			check->events[i].ioas = NULL;
	pthread_mutex_unlock(&check->lock);
}

/* The last event of a kind that touched iova. */
static const struct via_check_event *last_event(const struct via_check *check,
						const struct via_ioas *ioas, via_iova_t iova,
						bool map)
{
	for (uint64_t i = 1; i <= remembered(check); i++) {
		const struct via_check_event *e = &check->events[(check->n_events - i) % N_EVENTS];

		if (e->ioas == ioas && !!e->prot == map && iova >= e->first && iova <= e->last)
			return e;
	}
	return NULL;
}

struct nearest {
	via_iova_t bad;
	uint64_t distance;
	struct via_check_report *report;
};

static int look_at(void *cookie, const struct via_ioas_area *area)
{
	struct nearest *n = cookie;
	uint64_t distance = 0;

	if (area->last < n->bad)
		distance = n->bad - area->last;
	else if (area->first > n->bad)
		distance = area->first - n->bad;
	if (!n->report->has_nearest || distance < n->distance) {
		n->report->has_nearest = true;
		n->report->nearest = (struct via_iova_range){ area->first, area->last };
		n->report->nearest_prot = area->prot;
		n->distance = distance;
	}
	return area->first > n->bad;
}

static enum via_check_kind kind_of(enum via_dma_fault why, const struct via_check_report *report)
{
	switch (why) {
	case VIA_DMA_NOT_ATTACHED:
		return VIA_CHECK_NOT_ATTACHED;
	case VIA_DMA_PROTECTION:
		return VIA_CHECK_PROTECTION;
	case VIA_DMA_MEMORY:
	case VIA_DMA_SUSPENDED:
		return VIA_CHECK_MEMORY_GONE;
	case VIA_DMA_BUS_MASTER:
		return VIA_CHECK_BUS_MASTER;
	case VIA_DMA_UNMAPPED:
		break;
	}
	/* What was there before it went is the more useful thing to know. */
	if (report->unmap)
		return VIA_CHECK_AFTER_UNMAP;
	return report->bad != report->iova ? VIA_CHECK_STRADDLE : VIA_CHECK_NEVER_MAPPED;
}

void via_check_fault(struct via_check *check, struct via_ioas *ioas, const char *device,
		     enum via_dma_fault why, via_iova_t iova, uint64_t len, bool write,
		     via_iova_t bad)
{
	struct via_check_report report = {
		.device = device,
		.iova = iova,
		.len = len,
		.write = write,
		.bad = bad,
	};
	struct nearest nearest = { .bad = bad, .report = &report };
	struct via_check_event map, unmap;
	bool told;

	pthread_mutex_lock(&check->lock);
	if (ioas) {
		report.map = last_event(check, ioas, bad, true);
		report.unmap = last_event(check, ioas, bad, false);
	}
	report.kind = kind_of(why, &report);
	report.n_events = check->n_events;
	check->counts[report.kind]++;
	told = check->reports_left;
	check->reports_left -= told;
	if (report.map)
		map = *report.map;
	if (report.unmap)
		unmap = *report.unmap;
	pthread_mutex_unlock(&check->lock);
	if (!told)
		return;
	/* Whoever is told may take his time: programs map and unmap meanwhile. */
	report.map = report.map ? &map : NULL;
	report.unmap = report.unmap ? &unmap : NULL;
	if (ioas)
		(void)via_ioas_each_area(ioas, look_at, &nearest);
	check->report(check->cookie, &report);
}

void via_check_counts(struct via_check *check, uint64_t counts[VIA_CHECK_KINDS])
{
	pthread_mutex_lock(&check->lock);
	memcpy(counts, check->counts, sizeof(check->counts));
	pthread_mutex_unlock(&check->lock);
}
