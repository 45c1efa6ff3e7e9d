/* SPDX-License-Identifier: MIT */
/* The program that is to be run: found, and fit to be served through the shim? */
#ifndef VIA_CLI_PROGRAM_H
#define VIA_CLI_PROGRAM_H

#include <viaduct/base.h>

/*
 * Find name as execvp(3) would and check that the shim can be loaded into it.
 * ret_path: at least PATH_MAX bytes. Return 0, or an exit status (CLI_NOT_FOUND,
 * CLI_CANNOT_INVOKE) with text in err.
 */
int program_find(const char *name, char *ret_path, struct via_error *err);

#endif
