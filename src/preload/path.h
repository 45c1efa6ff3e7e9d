/* SPDX-License-Identifier: MIT */
/* Which paths are ours, and where the program's view of them lies. */
#ifndef VIA_PRELOAD_PATH_H
#define VIA_PRELOAD_PATH_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

struct via_path {
	const char *path; /* what to give to libc */
	const char *node; /* the device node it names ("vfio/7", "iommu"), or NULL */
	const char *text; /* what path says, in our own memory; NULL: it is no string */
	bool ours;	  /* path differs from what the program said */
	char absolute[PATH_MAX];
	char redirected[PATH_MAX];
};

/*
 * Look at path (any pointer, also one that is no string's) relative to directory dir
 * (AT_FDCWD for none). ret->path is the program's own pointer when it is not ours.
 * Async-signal-safe.
 */
void via_path_resolve(struct via_path *ret, int dir, const char *path);

/*
 * A path that came back (realpath, readlink) as the program should see it:
 * without the root of the view. In place.
 */
void via_path_restore(char *path);

/* len bytes without a NUL, as readlink gives. Return: the new length. */
size_t via_path_restore_bytes(char *path, size_t len);

/* Where the kernel finds what fd is open on, as the program should see it; path: PATH_MAX. */
bool via_path_of(int fd, char *path);

#endif
