/* SPDX-License-Identifier: MIT */
#ifndef VIA_BASE_LOG_H
#define VIA_BASE_LOG_H

#include <viaduct/base.h>

void via_log(enum via_log_level level, const char *fmt, ...) VIA_PRINTF(2, 3);

#endif
