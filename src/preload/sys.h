/* SPDX-License-Identifier: MIT */
/*
 * System calls without libc: the shim interposes libc's names, so what it does
 * itself must not come back through them, and a signal handler may not touch
 * errno. Each returns the kernel's answer: a result or a negative errno.
 */
#ifndef VIA_PRELOAD_SYS_H
#define VIA_PRELOAD_SYS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>

#ifdef __clang_analyzer__
/* It does not see what a kernel writes behind assembly, but expects anything of a function. */
long via_sys6(long nr, long a, long b, long c, long d, long e, long f);
#else
static inline long via_sys6(long nr, long a, long b, long c, long d, long e, long f)
{
	long ret;
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "0"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}
#endif

#define VIA_SYS_1(nr, a) via_sys6(nr, (long)(a), 0, 0, 0, 0, 0)
#define VIA_SYS_2(nr, a, b) via_sys6(nr, (long)(a), (long)(b), 0, 0, 0, 0)
#define VIA_SYS_3(nr, a, b, c) via_sys6(nr, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define VIA_SYS_4(nr, a, b, c, d) via_sys6(nr, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)
#define VIA_SYS_5(nr, a, b, c, d, e) \
	via_sys6(nr, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), 0)
#define VIA_SYS_6(nr, a, b, c, d, e, f) \
	via_sys6(nr, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
#define VIA_SYS_PICK(_1, _2, _3, _4, _5, _6, _7, name, ...) name
/* via_sys(name, arguments...): at least one argument */
#define via_sys(...)                                                                     \
	VIA_SYS_PICK(__VA_ARGS__, VIA_SYS_6, VIA_SYS_5, VIA_SYS_4, VIA_SYS_3, VIA_SYS_2, \
		     VIA_SYS_1, VIA_SYS_0)                                               \
	(__VA_ARGS__)

/* libc's convention from the kernel's. */
#define via_ret(value)                           \
	({                                       \
		long _ret = (value);             \
		if (_ret < 0 && _ret >= -4095) { \
			errno = (int)-_ret;      \
			_ret = -1;               \
		}                                \
		_ret;                            \
	})

#endif
