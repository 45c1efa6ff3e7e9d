/* SPDX-License-Identifier: MIT */
/* TAP for programs that are alone in a guest: no library but libc. */
#ifndef VIA_TESTS_KVM_TAP_H
#define VIA_TESTS_KVM_TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

static unsigned int tap_cases, tap_failures;

/* One case; what is said of it should say what has been seen. */
__attribute__((format(printf, 2, 3))) static inline bool tap(bool good, const char *fmt, ...)
{
	va_list args;

	tap_failures += !good;
	printf("%sok %u - ", good ? "" : "not ", ++tap_cases);
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	printf("\n");
	fflush(stdout);
	return good;
}

__attribute__((format(printf, 1, 2), noreturn)) static inline void tap_skip_all(const char *fmt,
										...)
{
	va_list args;

	printf("1..0 # SKIP ");
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	printf("\n");
	exit(0);
}

/* What a test cannot go on without. */
__attribute__((format(printf, 2, 3))) static inline void tap_need(bool good, const char *fmt, ...)
{
	va_list args;

	if (good)
		return;
	printf("Bail out! ");
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	printf("\n");
	exit(1);
}

static inline int tap_end(void)
{
	printf("1..%u\n", tap_cases);
	return tap_failures ? 1 : 0;
}

#endif
