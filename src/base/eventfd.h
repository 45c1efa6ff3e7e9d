/* SPDX-License-Identifier: MIT */
/*
 * Eventfds that a program gave us. The file description is the program's too:
 * it may be blocking, and its counter may change at any moment.
 */
#ifndef VIA_BASE_EVENTFD_H
#define VIA_BASE_EVENTFD_H

#include <stdbool.h>

/* Is fd, open in this process, an eventfd? */
bool via_eventfd_is(int fd);
/* Takes what a read takes; true if there was anything. Never blocks. */
bool via_eventfd_drain(int fd);
/*
 * Add one, or leave a full counter as it is; of a file description that nobody else writes to
 * when @nonblock is false: a writer in between could fill it and make this wait.
 */
void via_eventfd_signal(int fd, bool nonblock);

#endif
