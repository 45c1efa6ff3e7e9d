/* SPDX-License-Identifier: MIT */
/*
 * syscall(2): the numbers that can concern a descriptor, a path or a mapping of
 * ours go the way of libc's functions of that name; all others to the kernel.
 */
#include "preload/real.h"
#include "preload/sys.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/statfs.h>

VIA_INTERPOSE long syscall(long number, ...)
{
	long a[6];
	va_list ap;

	/* Which of them were passed only the kernel knows; the others are garbage for both. */
	va_start(ap, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	switch (number) {
	case SYS_open:
		return open((const char *)a[0], (int)a[1], (mode_t)a[2]);
	case SYS_openat:
		return openat((int)a[0], (const char *)a[1], (int)a[2], (mode_t)a[3]);
	case SYS_close:
		return close((int)a[0]);
	case SYS_close_range:
		return close_range((unsigned int)a[0], (unsigned int)a[1], (int)a[2]);
	case SYS_dup:
		return dup((int)a[0]);
	case SYS_dup2:
		return dup2((int)a[0], (int)a[1]);
	case SYS_dup3:
		return dup3((int)a[0], (int)a[1], (int)a[2]);
	case SYS_ioctl:
		return ioctl((int)a[0], (unsigned long)a[1], a[2]);
	case SYS_read:
		return read((int)a[0], (void *)a[1], (size_t)a[2]);
	case SYS_write:
		return write((int)a[0], (const void *)a[1], (size_t)a[2]);
	case SYS_pread64:
		return pread64((int)a[0], (void *)a[1], (size_t)a[2], a[3]);
	case SYS_pwrite64:
		return pwrite64((int)a[0], (const void *)a[1], (size_t)a[2], a[3]);
	case SYS_mmap:
		return (long)mmap64((void *)a[0], (size_t)a[1], (int)a[2], (int)a[3], (int)a[4],
				    a[5]);
	case SYS_munmap:
		return munmap((void *)a[0], (size_t)a[1]);
	case SYS_mprotect:
		return mprotect((void *)a[0], (size_t)a[1], (int)a[2]);
	case SYS_mremap:
		return (long)mremap((void *)a[0], (size_t)a[1], (size_t)a[2], (int)a[3],
				    (void *)a[4]);
	case SYS_memfd_create:
		return memfd_create((const char *)a[0], (unsigned int)a[1]);
	case SYS_fstatfs:
		return fstatfs((int)a[0], (struct statfs *)a[1]);
	case SYS_madvise:
		return madvise((void *)a[0], (size_t)a[1], (int)a[2]);
	default:
		return via_ret(via_sys(number, a[0], a[1], a[2], a[3], a[4], a[5]));
	}
}
