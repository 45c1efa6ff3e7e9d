/* SPDX-License-Identifier: MIT */
/* Files of sysfs that do something when they are written: the host serves them. */
#ifndef VIA_PRELOAD_ATTRIBUTE_H
#define VIA_PRELOAD_ATTRIBUTE_H

#include <sys/types.h>

/*
 * Open text, a path as the view has it (NULL: none), for writing: a descriptor
 * of ours, or a negative errno. -ENOENT: it is no such file, and nothing has
 * been done.
 */
int via_open_attribute(int dir, const char *text, int flags);

#endif
