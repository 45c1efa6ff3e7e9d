/* SPDX-License-Identifier: MIT */
#include "base/log.h"

#include <stdio.h>

/* Written before other threads use the library (via_log_set()), read-only afterwards. */
static struct {
	via_log_fn *fn;
	void *cookie;
	enum via_log_level max;
} sink;

void via_log_set(via_log_fn *fn, void *cookie, enum via_log_level max)
{
	sink.fn = fn;
	sink.cookie = cookie;
	sink.max = max;
}

void via_log(enum via_log_level level, const char *fmt, ...)
{
	char line[1024];
	va_list args;

	if (!sink.fn || level > sink.max)
		return;
	va_start(args, fmt);
	(void)vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	sink.fn(sink.cookie, level, line);
}
