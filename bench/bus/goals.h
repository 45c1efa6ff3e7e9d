/* SPDX-License-Identifier: MIT */
/* What was asked of the bus, and how far it came: said beside each figure, and again at the end. */
#ifndef VIA_BENCH_GOALS_H
#define VIA_BENCH_GOALS_H

#include <stdbool.h>

/*
 * One goal. @id: its number in the list of goals. @why: printed if it is missed; "" where the
 * reason is not known. Texts are copied.
 */
void goal_at_least(const char *id, const char *what, double value, double goal, const char *why);
void goal_at_most(const char *id, const char *what, double value, const char *unit, double goal,
		  const char *why);
void goal_pass(const char *id, const char *what, bool passed, const char *why);
/* Not measured in this run, and why. */
void goal_skip(const char *id, const char *what, const char *why);

void goals_summary(void);

/* Text for @what and @why; good for the next few calls. */
const char *goal_text(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The program cannot go on. */
_Noreturn void bench_die(const char *what);

#endif
