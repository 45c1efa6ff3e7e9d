/* SPDX-License-Identifier: MIT */
/*
 * Turns. What takes long with a device, a group or a container is done without
 * vfio->lock, by one thread at a time: who has the turn of that object. What it
 * waits for may be a program that never answers (memory behind a userfaultfd), a
 * model at work, or a grace period. Meanwhile others see:
 *
 * - other devices, groups and containers: nothing of it;
 * - who wants to open, bind, close or hot-reset the same device, or to join, leave, ask or
 *   open the same group, or to set the type of the same container: it waits for its turn, as
 *   it would for the mutex of a kernel, and then finds what that has left. Who
 *   will never see the answer, because its program has gone, stops waiting: -EINTR;
 * - what is certain already is said at once: a group whose files are not all released is
 *   -EBUSY to open, also while the release of one of them waits.
 *
 * Who has the turn of an object keeps it alive by a reference, a file or a place in a list
 * that only who has the turn takes away. Order of those who want several: a group's, then its
 * container's. A device's is taken and waited for with neither of them, and no turn is
 * waited for by who has a device's.
 */
#ifndef VIA_VFIO_TURN_H
#define VIA_VFIO_TURN_H

#include "vfio/caller.h"

#include <pthread.h>

struct via_vfio;

struct via_turn {
	bool taken; /* vfio->lock */
};

/* All with vfio->lock held, which the first two give up while they wait. */

/* Until nobody has it. caller NULL: however long it takes. 0 or -EINTR. */
int via_turn_wait(struct via_vfio *vfio, const struct via_turn *turn, struct via_caller *caller);
/* Until it is ours. 0 or -EINTR. */
int via_turn_take(struct via_vfio *vfio, struct via_turn *turn, struct via_caller *caller);
void via_turn_end(struct via_vfio *vfio, struct via_turn *turn);

/* How often it is looked for whether a caller's program is still there. */
#define VIA_PAUSE_MS 100

/*
 * Wait for a condition of vfio's, but with a caller not longer than VIA_PAUSE_MS.
 * 0, or -EINTR: the caller is gone.
 */
int via_vfio_pause(struct via_vfio *vfio, pthread_cond_t *changed, struct via_caller *caller);

#endif
