/* SPDX-License-Identifier: MIT */
#include <viaduct/base.h>

#include <stdio.h>

int via_error_set(struct via_error *err, int code, const char *fmt, ...)
{
	va_list args;

	if (!err || err->text[0])
		return code;
	err->code = code;
	va_start(args, fmt);
	(void)vsnprintf(err->text, sizeof(err->text), fmt, args);
	va_end(args);
	return code;
}

const char *via_version(void)
{
	return VIA_VERSION;
}
