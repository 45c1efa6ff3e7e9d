/* SPDX-License-Identifier: MIT */
/*
 * The rules of ioeventfds as a table of steps, which a bus in software and KVM
 * both must follow. Whoever runs it has a device over all the addresses below
 * IOEVENTFD_DEVICE, nothing above it up to IOEVENTFD_SPACE, and IOEVENTFD_FDS eventfds.
 */
#ifndef VIA_BUS_TEST_IOEVENTFD_H
#define VIA_BUS_TEST_IOEVENTFD_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

#define IOEVENTFD_DEVICE 0x800u
#define IOEVENTFD_SPACE 0x1000u
#define IOEVENTFD_FDS 4

enum ioeventfd_kind {
	CASE,	  /* another case begins: there are none */
	ASSIGN,	  /* @ret is the answer */
	DEASSIGN, /* the same */
	WRITE,	  /* of @len bytes of @data: signals @fd, or (-1) does what @ret says */
	READ,	  /* of @len bytes */
};

/* What becomes of a WRITE or READ that no eventfd takes. */
#define TO_DEVICE 0
#define TO_NOBODY (-ENXIO)

struct ioeventfd_step {
	enum ioeventfd_kind kind;
	uint32_t addr; /* relative to where the runner has it */
	uint8_t len;
	bool match;
	uint64_t data;
	int fd;
	int ret;
	const char *what; /* of a CASE */
};

static const struct ioeventfd_step ioeventfd_steps[] = {
	{CASE, .what = "57: only a write of exactly its address and length"},
	{ASSIGN, 0x10, 1, .fd = 0},
	{ASSIGN, 0x20, 2, .fd = 1},
	{ASSIGN, 0x30, 4, .fd = 2},
	{ASSIGN, 0x40, 8, .fd = 3},
	{WRITE, 0x10, 1, .data = 0x5a, .fd = 0},
	{WRITE, 0x10, 2, .fd = -1},
	{WRITE, 0x10, 4, .fd = -1},
	{WRITE, 0x10, 8, .fd = -1},
	{WRITE, 0x11, 1, .fd = -1},
	{WRITE, 0x0f, 1, .fd = -1},
	{WRITE, 0x20, 1, .fd = -1},
	{WRITE, 0x20, 2, .data = 0xffff, .fd = 1},
	{WRITE, 0x20, 4, .fd = -1},
	{WRITE, 0x21, 1, .fd = -1},
	{WRITE, 0x22, 2, .fd = -1},
	{WRITE, 0x30, 1, .fd = -1},
	{WRITE, 0x30, 2, .fd = -1},
	{WRITE, 0x30, 4, .data = 0x12345678, .fd = 2},
	{WRITE, 0x30, 8, .fd = -1},
	{WRITE, 0x32, 2, .fd = -1},
	{WRITE, 0x40, 4, .fd = -1},
	{WRITE, 0x40, 8, .data = 1, .fd = 3},
	{WRITE, 0x44, 4, .fd = -1},
	{READ, 0x30, 4, .fd = -1},

	{CASE, .what = "57: the same where nobody else answers"},
	{ASSIGN, 0x900, 4, .fd = 0},
	{WRITE, 0x900, 4, .fd = 0},
	{WRITE, 0x900, 2, .fd = -1, .ret = TO_NOBODY},
	{WRITE, 0x904, 4, .fd = -1, .ret = TO_NOBODY},
	{READ, 0x900, 4, .fd = -1, .ret = TO_NOBODY},
	{DEASSIGN, 0x900, 4, .fd = 0},
	{WRITE, 0x900, 4, .fd = -1, .ret = TO_NOBODY},

	{CASE, .what = "58: length 0 takes every length, and no data"},
	{ASSIGN, 0x10, 0, .fd = 0},
	{WRITE, 0x10, 1, .fd = 0},
	{WRITE, 0x10, 2, .data = 7, .fd = 0},
	{WRITE, 0x10, 4, .fd = 0},
	{WRITE, 0x10, 8, .fd = 0},
	{WRITE, 0x11, 1, .fd = -1},
	{WRITE, 0x0c, 8, .fd = -1},
	{READ, 0x10, 4, .fd = -1},
	{ASSIGN, 0x20, 0, true, 0, .fd = 1, .ret = -EINVAL},
	{ASSIGN, 0x20, 0, true, 5, .fd = 1, .ret = -EINVAL},
	{WRITE, 0x20, 4, .data = 5, .fd = -1},

	{CASE, .what = "58: length 0 and any other exclude each other"},
	{ASSIGN, 0x10, 0, .fd = 0},
	{ASSIGN, 0x10, 4, .fd = 1, .ret = -EEXIST},
	{ASSIGN, 0x10, 2, true, 1, .fd = 1, .ret = -EEXIST},
	{ASSIGN, 0x10, 0, .fd = 1, .ret = -EEXIST},
	{ASSIGN, 0x14, 4, .fd = 1},
	{ASSIGN, 0x14, 0, .fd = 2, .ret = -EEXIST},
	{ASSIGN, 0x18, 2, true, 1, .fd = 1},
	{ASSIGN, 0x18, 0, .fd = 2, .ret = -EEXIST},
	{WRITE, 0x18, 2, .data = 1, .fd = 1},
	{WRITE, 0x18, 2, .data = 2, .fd = -1},

	{CASE, .what = "59: lengths that are none"},
	{ASSIGN, 0x10, 3, .fd = 0, .ret = -EINVAL},
	{ASSIGN, 0x10, 5, .fd = 0, .ret = -EINVAL},
	{ASSIGN, 0x10, 6, .fd = 0, .ret = -EINVAL},
	{ASSIGN, 0x10, 7, .fd = 0, .ret = -EINVAL},
	{ASSIGN, 0x10, 9, .fd = 0, .ret = -EINVAL},
	{ASSIGN, 0x10, 16, .fd = 0, .ret = -EINVAL},
	{WRITE, 0x10, 4, .fd = -1},

	{CASE, .what = "60: any data and some data exclude each other"},
	{ASSIGN, 0x10, 4, .fd = 0},
	{ASSIGN, 0x10, 4, true, 5, .fd = 1, .ret = -EEXIST},
	{ASSIGN, 0x10, 4, .fd = 1, .ret = -EEXIST},
	{ASSIGN, 0x10, 4, .fd = 0, .ret = -EEXIST},
	{WRITE, 0x10, 4, .data = 5, .fd = 0},
	{DEASSIGN, 0x10, 4, .fd = 0},
	{ASSIGN, 0x10, 4, true, 5, .fd = 1},
	{ASSIGN, 0x10, 4, .fd = 0, .ret = -EEXIST},
	{ASSIGN, 0x10, 4, true, 5, .fd = 0, .ret = -EEXIST},
	{ASSIGN, 0x10, 4, true, 5, .fd = 1, .ret = -EEXIST},

	{CASE, .what = "60: different data, lengths and addresses do not"},
	{ASSIGN, 0x10, 4, true, 5, .fd = 0},
	{ASSIGN, 0x10, 4, true, 6, .fd = 1},
	{ASSIGN, 0x10, 2, .fd = 2},
	{ASSIGN, 0x12, 2, true, 0, .fd = 3},
	{WRITE, 0x10, 4, .data = 5, .fd = 0},
	{WRITE, 0x10, 4, .data = 6, .fd = 1},
	{WRITE, 0x10, 4, .data = 7, .fd = -1},
	{WRITE, 0x10, 2, .data = 5, .fd = 2},
	{WRITE, 0x10, 8, .data = 5, .fd = -1},
	{WRITE, 0x12, 2, .data = 0, .fd = 3},
	{WRITE, 0x12, 2, .data = 1, .fd = -1},

	{CASE, .what = "60: data of all widths"},
	{ASSIGN, 0x10, 1, true, 0xff, .fd = 0},
	{ASSIGN, 0x10, 2, true, 0xffff, .fd = 1},
	{ASSIGN, 0x10, 4, true, 0xffffffff, .fd = 2},
	{ASSIGN, 0x10, 8, true, 0xfedcba9876543210, .fd = 3},
	{WRITE, 0x10, 1, .data = 0xff, .fd = 0},
	{WRITE, 0x10, 1, .data = 0x7f, .fd = -1},
	{WRITE, 0x10, 2, .data = 0xffff, .fd = 1},
	{WRITE, 0x10, 2, .data = 0x7fff, .fd = -1},
	{WRITE, 0x10, 4, .data = 0xffffffff, .fd = 2},
	{WRITE, 0x10, 4, .data = 0x7fffffff, .fd = -1},
	{WRITE, 0x10, 8, .data = 0xfedcba9876543210, .fd = 3},
	{WRITE, 0x10, 8, .data = 0x7edcba9876543210, .fd = -1},
	{WRITE, 0x10, 8, .data = 0x0000000076543210, .fd = -1},

	{CASE, .what = "61: it goes only by all its fields"},
	{ASSIGN, 0x10, 4, true, 5, .fd = 0},
	{DEASSIGN, 0x14, 4, true, 5, .fd = 0, .ret = -ENOENT},
	{DEASSIGN, 0x10, 2, true, 5, .fd = 0, .ret = -ENOENT},
	{DEASSIGN, 0x10, 0, false, 0, .fd = 0, .ret = -ENOENT},
	{DEASSIGN, 0x10, 4, false, 5, .fd = 0, .ret = -ENOENT},
	{DEASSIGN, 0x10, 4, true, 6, .fd = 0, .ret = -ENOENT},
	{DEASSIGN, 0x10, 4, true, 5, .fd = 1, .ret = -ENOENT},
	{WRITE, 0x10, 4, .data = 5, .fd = 0},
	{DEASSIGN, 0x10, 4, true, 5, .fd = 0},
	{WRITE, 0x10, 4, .data = 5, .fd = -1},
	{DEASSIGN, 0x10, 4, true, 5, .fd = 0, .ret = -ENOENT},

	{CASE, .what = "61: what is not matched is no field"},
	{ASSIGN, 0x10, 4, false, 5, .fd = 0},
	{WRITE, 0x10, 4, .data = 9, .fd = 0},
	{DEASSIGN, 0x10, 4, true, 5, .fd = 0, .ret = -ENOENT},
	{DEASSIGN, 0x10, 4, false, 6, .fd = 0},
	{ASSIGN, 0x10, 0, .fd = 1},
	{DEASSIGN, 0x10, 1, .fd = 1, .ret = -ENOENT},
	{DEASSIGN, 0x10, 0, .fd = 1},
	{WRITE, 0x10, 4, .data = 9, .fd = -1},

	{CASE, .what = "64: inside a device, all others and all reads are the device's"},
	{ASSIGN, 0x10, 4, true, 1, .fd = 0},
	{ASSIGN, 0x7fc, 4, .fd = 1},
	{READ, 0x10, 4, .fd = -1},
	{READ, 0x7fc, 4, .fd = -1},
	{WRITE, 0x10, 4, .data = 1, .fd = 0},
	{WRITE, 0x10, 4, .data = 0x101, .fd = -1},
	{WRITE, 0x0c, 4, .data = 1, .fd = -1},
	{WRITE, 0x14, 4, .data = 1, .fd = -1},
	{WRITE, 0x7fc, 4, .fd = 1},
	{WRITE, 0x7fc, 2, .fd = -1},
	{WRITE, 0x7fe, 2, .fd = -1},

	{CASE, .what = "64: at either end of a device"},
	{ASSIGN, 0x0, 4, .fd = 0},
	{WRITE, 0x0, 4, .fd = 0},
	{ASSIGN, 0x7ff, 1, .fd = 1},
	{WRITE, 0x0, 4, .fd = 0},
	{WRITE, 0x7ff, 1, .fd = 1},
	{WRITE, 0x0, 2, .fd = -1},
	{WRITE, 0x7fe, 1, .fd = -1},
	{DEASSIGN, 0x0, 4, .fd = 0},
	{WRITE, 0x0, 4, .fd = -1},
	{WRITE, 0x7ff, 1, .fd = 1},

	{CASE, .what = "one eventfd for several"},
	{ASSIGN, 0x10, 4, .fd = 0},
	{ASSIGN, 0x20, 4, .fd = 0},
	{WRITE, 0x20, 4, .fd = 0},
	{DEASSIGN, 0x20, 4, .fd = 0},
	{WRITE, 0x10, 4, .fd = 0},
	{WRITE, 0x20, 4, .fd = -1},
};

#endif
