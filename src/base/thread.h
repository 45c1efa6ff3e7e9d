/* SPDX-License-Identifier: MIT */
#ifndef VIA_BASE_THREAD_H
#define VIA_BASE_THREAD_H

/*
 * The calling thread does short pieces of work for which somebody waits: ask
 * the scheduler for short turns, which come soon after a wake-up even where
 * others keep every CPU busy. Linux before 6.12 and sandboxes ignore it.
 */
void via_thread_prompt(void);

#endif
