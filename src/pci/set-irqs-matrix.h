/* SPDX-License-Identifier: MIT */
/*
 * Every cell of SET_IRQS, as calls on whoever implements it: the engine in
 * test-set-irqs.c, a real kernel in tests/oracle/record-set-irqs.c, whose
 * answers are set-irqs-matrix.inc.
 *
 * A cell is: some index armed, then one call, then which indexes are armed.
 */
#ifndef VIA_PCI_SET_IRQS_MATRIX_H
#define VIA_PCI_SET_IRQS_MATRIX_H

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { MATRIX_NONE = 1, MATRIX_BOOL = 2, MATRIX_EVENTFD = 4 };
enum { MATRIX_MASK = 8, MATRIX_UNMASK = 0x10, MATRIX_TRIGGER = 0x20 };
/* Rows are what is asked, columns how much: start and count. */
enum { MATRIX_STATES = 6, MATRIX_INDEXES = 5, MATRIX_ROWS = 28, MATRIX_COLUMNS = 12 };
/* Vectors that the device must have: INTx, MSI, MSI-X. */
enum { MATRIX_MSI = 1, MATRIX_MSIX = 10 };

struct matrix {
	void *cookie;
	int eventfd, not_eventfd;
	/* 0, positive or negative errno. data is count bytes or count ints. */
	int (*set)(void *cookie, uint32_t flags, uint32_t index, uint32_t start, uint32_t count,
		   const void *data);
};

struct matrix_row {
	uint32_t flags;
	uint8_t value; /* of a BOOL */
	int fd;	       /* of an EVENTFD; 1: good, 2: no eventfd, 999: not open */
};

static const uint32_t matrix_starts[] = { 0, 1, 9, 10 };
static const uint32_t matrix_counts[] = { 0, 1, 2 };

static inline void matrix_rows(struct matrix_row *rows)
{
	static const uint32_t actions[] = { MATRIX_TRIGGER, MATRIX_MASK, MATRIX_UNMASK };
	static const int fds[] = { 1, 2, 999, -1, -2 };

	for (int a = 0; a < 3; a++) {
		*rows++ = (struct matrix_row){ actions[a] | MATRIX_NONE, 0, 0 };
		*rows++ = (struct matrix_row){ actions[a] | MATRIX_BOOL, 0, 0 };
		*rows++ = (struct matrix_row){ actions[a] | MATRIX_BOOL, 1, 0 };
		for (int i = 0; i < 5; i++)
			*rows++ = (struct matrix_row){ actions[a] | MATRIX_EVENTFD, 0, fds[i] };
	}
	*rows++ = (struct matrix_row){ MATRIX_NONE, 0, 0 };
	*rows++ = (struct matrix_row){ MATRIX_NONE | MATRIX_MASK | MATRIX_UNMASK, 0, 0 };
	*rows++ = (struct matrix_row){ MATRIX_TRIGGER, 0, 0 };
	*rows++ = (struct matrix_row){ MATRIX_TRIGGER | MATRIX_NONE | MATRIX_BOOL, 0, 0 };
}

/* Disarm everything; which indexes were armed, as a letter. */
static inline char matrix_clear(const struct matrix *m)
{
	unsigned int armed = 0;

	for (uint32_t i = 0; i < MATRIX_INDEXES; i++) {
		if (!m->set(m->cookie, MATRIX_TRIGGER | MATRIX_NONE, i, 0, 0, NULL))
			armed |= 1u << i;
	}
	return (char)('A' + armed);
}

static inline void matrix_arm(const struct matrix *m, unsigned int state)
{
	int32_t fds[4] = { m->eventfd, m->eventfd, m->eventfd, m->eventfd };

	if (state)
		(void)m->set(m->cookie, MATRIX_TRIGGER | MATRIX_EVENTFD, state - 1, 0,
			     state == 3 ? 4 : 1, fds);
}

static inline char matrix_letter(int r)
{
	switch (r) {
	case 0:
		return '.';
	case -EINVAL:
		return 'i';
	case -ENOTTY:
		return 't';
	case -EBADF:
		return 'b';
	case -ERANGE:
		return 'r';
	case -EBUSY:
		return 'y';
	default:
		return r > 0 ? 'p' : '?';
	}
}

/* One line: a letter for the answer and one for what is armed, per column. */
static inline void matrix_line(const struct matrix *m, unsigned int state, uint32_t index,
			       const struct matrix_row *row, char line[2 * MATRIX_COLUMNS + 1])
{
	int fd = row->fd == 1 ? m->eventfd : row->fd == 2 ? m->not_eventfd : row->fd;

	for (unsigned int column = 0; column < MATRIX_COLUMNS; column++) {
		int32_t fds[2] = { fd, m->eventfd };
		uint8_t bools[2] = { row->value, row->value };
		int r;

		matrix_arm(m, state);
		r = m->set(m->cookie, row->flags, index, matrix_starts[column / 3],
			   matrix_counts[column % 3],
			   row->flags & MATRIX_EVENTFD ? (void *)fds : (void *)bools);
		*line++ = matrix_letter(r);
		*line++ = matrix_clear(m);
	}
	*line = '\0';
}

#endif
