/* SPDX-License-Identifier: MIT */
/*
 * An area's memory: how the slice of a page store that it names becomes what
 * devices reach (area->fill, area->host), and stops to be. area.c alone changes
 * these two, with the lock of the pages held.
 */
#ifndef VIA_IOMMU_AREA_H
#define VIA_IOMMU_AREA_H

#include "iommu/ioas.h"

/* A zeroed record, or NULL. */
struct via_ioas_area *via_area_new(void);

/*
 * Pin the slice and publish it. Of a region that is revoked: loaded, but empty. All
 * or nothing; errnos as via_pages_pin(), and -ENOMEM. Only for an area that is not loaded.
 */
int via_area_load(struct via_ioas_area *area);

/*
 * Let readers find nothing there. What they have found before is in use until the
 * caller has waited: via_epoch_synchronize(), then via_ioas_wait_for_uses().
 */
void via_area_hide(struct via_ioas_area *area);

/*
 * Unpin what is hidden (or unreachable, since the area is out of the index), after the
 * grace period and via_ioas_wait_for_uses(). Accepts what is not loaded.
 */
void via_area_unload(struct via_ioas_area *area);

/*
 * A cut: make of area two, which together have its pins, fill and accesses'
 * pins. at: bytes in low. low and high are the caller's zeroed records; it
 * publishes them and frees area after a grace period, with via_area_cut_done().
 * With ioas->lock (the counts of the accesses' pins). -EOPNOTSUPP a region; -ENOMEM,
 * then nothing has changed.
 */
int via_area_cut(struct via_ioas_area *area, uint64_t at, struct via_ioas_area *low,
		 struct via_ioas_area *high);
/* low and high could not be published after all: what area had is its own again. */
void via_area_cut_undo(struct via_ioas_area *area, struct via_ioas_area *low,
		       struct via_ioas_area *high);
/* Nobody sees area any more: free what it had for itself, and area. */
void via_area_cut_done(struct via_ioas_area *area);

/* Drop the references of an area that is unloaded and in nobody's sight, and free it. NULL allowed. */
void via_area_free(struct via_ioas_area *area);

#endif
