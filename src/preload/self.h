/* SPDX-License-Identifier: MIT */
/* Touching memory that the program named: a bad pointer is -EFAULT, not a crash. */
#ifndef VIA_PRELOAD_SELF_H
#define VIA_PRELOAD_SELF_H

#include <stddef.h>
#include <stdint.h>

/* 0 or -EFAULT. Async-signal-safe. */
int via_self_read(void *to, uint64_t from, size_t len);
int via_self_write(uint64_t to, const void *from, size_t len);

/*
 * A string of the program's that may be no string: its length without the NUL, -EFAULT, or
 * -ENAMETOOLONG when it does not end within room bytes. Usually one system call.
 */
int via_self_string(char *to, uint64_t from, size_t room);

#endif
