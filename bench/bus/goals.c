/* SPDX-License-Identifier: MIT */
#include "goals.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum outcome { MET, MISSED, SKIPPED };

struct goal {
	enum outcome outcome;
	char line[160];
	char why[240];
};

#define N_GOALS 128u
static struct goal goals[N_GOALS];
static unsigned int n_goals;

void bench_die(const char *what)
{
	fprintf(stderr, "bench bus: %s\n", what);
	exit(1);
}

const char *goal_text(const char *format, ...)
{
	static char text[16][240];
	static unsigned int next;
	char *buf = text[next++ % 16];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(buf, sizeof(text[0]), format, args);
	va_end(args);
	return buf;
}

static void note(enum outcome outcome, const char *why, const char *line)
{
	struct goal *goal = &goals[n_goals];

	if (n_goals == N_GOALS)
		bench_die("more goals than there is room for");
	n_goals++;
	goal->outcome = outcome;
	(void)snprintf(goal->line, sizeof(goal->line), "%s", line);
	(void)snprintf(goal->why, sizeof(goal->why), "%s", outcome == MET ? "" : why);
	printf("  %s\n", goal->line);
}

static const char *word(bool met)
{
	return met ? "met" : "MISSED";
}

void goal_at_least(const char *id, const char *what, double value, double goal, const char *why)
{
	bool met = value >= goal;

	note(met ? MET : MISSED, why,
	     goal_text("%-4s %-66s %9.2fx  goal %gx: %s", id, what, value, goal, word(met)));
}

void goal_at_most(const char *id, const char *what, double value, const char *unit, double goal,
		  const char *why)
{
	bool met = value <= goal;

	note(met ? MET : MISSED, why,
	     goal_text("%-4s %-66s %9.2f %s  goal %g %s: %s", id, what, value, unit, goal, unit,
		       word(met)));
}

void goal_pass(const char *id, const char *what, bool passed, const char *why)
{
	note(passed ? MET : MISSED, why, goal_text("%-4s %-66s %s", id, what, word(passed)));
}

void goal_skip(const char *id, const char *what, const char *why)
{
	note(SKIPPED, why, goal_text("%-4s %-66s not measured", id, what));
}

void goals_summary(void)
{
	static const char *const title[] = { "met", "missed", "not measured" };
	unsigned int i, n;

	for (int outcome = MET; outcome <= SKIPPED; outcome++) {
		for (i = n = 0; i < n_goals; i++)
			n += goals[i].outcome == (enum outcome)outcome;
		printf("\n%u goals %s\n", n, title[outcome]);
		for (i = 0; i < n_goals; i++) {
			if (goals[i].outcome != (enum outcome)outcome)
				continue;
			printf("  %s\n", goals[i].line);
			if (goals[i].why[0])
				printf("       why: %s\n", goals[i].why);
		}
	}
}
