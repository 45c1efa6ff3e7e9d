/* SPDX-License-Identifier: MIT */
/*
 * The DMA checker: what programs have mapped and unmapped of late, with the
 * place in the program that did it, and what to say of an access that was refused.
 *
 * Any thread. The report callback runs on the thread of the device, with no lock held;
 * several may run at once.
 */
#ifndef VIA_IOMMU_CHECK_H
#define VIA_IOMMU_CHECK_H

#include "iommu/ioas.h"

#define VIA_CHECK_FRAMES 16

enum via_check_kind {
	VIA_CHECK_NEVER_MAPPED,
	VIA_CHECK_AFTER_UNMAP, /* it was mapped once */
	VIA_CHECK_PROTECTION,
	VIA_CHECK_STRADDLE,    /* begins in a mapping and goes on where there is none */
	VIA_CHECK_MEMORY_GONE,
	VIA_CHECK_NOT_ATTACHED,
	VIA_CHECK_BUS_MASTER,
	VIA_CHECK_KINDS,
};

/* What it is called in reports: "after unmap". */
const char *via_check_kind_name(enum via_check_kind kind);

/* A MAP or UNMAP that has succeeded. */
struct via_check_event {
	const struct via_ioas *ioas; /* only compared */
	via_iova_t first, last;
	unsigned int prot; /* 0: unmapped */
	pid_t pid;
	uint64_t number;   /* how many there were before it */
	unsigned int n_frames;
	uint64_t frames[VIA_CHECK_FRAMES]; /* return addresses in the program, innermost first */
};

struct via_check_report {
	enum via_check_kind kind;
	const char *device;
	via_iova_t iova; /* of the access */
	uint64_t len;
	bool write;
	via_iova_t bad; /* the first byte that is refused */
	bool has_nearest;
	struct via_iova_range nearest; /* the mapping at bad, or closest to it */
	unsigned int nearest_prot;
	/* The last ones that touched what is refused, or NULL: none, or too long ago. */
	const struct via_check_event *map, *unmap;
	uint64_t n_events; /* that there were */
};

struct via_check;

/* At most max_reports are made; all are counted. 0 or -ENOMEM. */
int via_check_new(void (*report)(void *cookie, const struct via_check_report *report), void *cookie,
		  unsigned int max_reports, struct via_check **ret_check);
void via_check_free(struct via_check *check); /* NULL allowed */

/* Who does what this thread does from now on, until it is told NULL. Borrowed. */
struct via_check_caller {
	pid_t pid;
	const uint64_t *frames;
	size_t n_frames;
};
void via_check_set_caller(const struct via_check_caller *caller);

/* Tell check of the maps and unmaps of ioas, from the first one on; check outlives it. */
void via_ioas_set_check(struct via_ioas *ioas, struct via_check *check);

/* Somebody has mapped (prot) or unmapped (0). */
void via_check_note(struct via_check *check, const struct via_ioas *ioas, via_iova_t first,
		    via_iova_t last, unsigned int prot);
/* The address space is gone: its past is nobody's. */
void via_check_forget(struct via_check *check, const struct via_ioas *ioas);

/* An access of device was refused; ioas NULL: attached to none. Outside of sections. */
void via_check_fault(struct via_check *check, struct via_ioas *ioas, const char *device,
		     enum via_dma_fault why, via_iova_t iova, uint64_t len, bool write,
		     via_iova_t bad);

/* How many there were of each kind. */
void via_check_counts(struct via_check *check, uint64_t counts[VIA_CHECK_KINDS]);

#endif
