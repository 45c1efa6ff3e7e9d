/* SPDX-License-Identifier: MIT */
/*
 * Epochs: readers of immutable snapshots announce themselves with one store to
 * a slot of their own; a writer that has unpublished something waits until
 * every reader that might still see it has left (spec bus.md c.3).
 *
 * Sections nest. A forked child clears the slots it inherited; a thread that
 * exits frees its own. One domain per process.
 */
#ifndef VIA_BASE_EPOCH_H
#define VIA_BASE_EPOCH_H

#include <stdbool.h>

/* Any thread, also in a signal handler of a thread that has entered before. */
void via_epoch_enter(void);
void via_epoch_exit(void);
/* True inside a section of this thread. */
bool via_epoch_inside(void);

/*
 * Returns when every section that was open at the call has ended. -EDEADLK
 * from inside a section (nothing waited for).
 */
int via_epoch_synchronize(void);

/* Run free_fn(object) after a grace period, on some later synchronising thread or this one. */
struct via_epoch_head {
	struct via_epoch_head *next;
	void (*free_fn)(struct via_epoch_head *head);
};
void via_epoch_defer(struct via_epoch_head *head, void (*free_fn)(struct via_epoch_head *head));

#endif
