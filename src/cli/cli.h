/* SPDX-License-Identifier: MIT */
/* What the subcommands share. */
#ifndef VIA_CLI_CLI_H
#define VIA_CLI_CLI_H

#include <viaduct/base.h>

/* Exit statuses: those of env(1) and timeout(1), which scripts already know. */
enum {
	CLI_OK = 0,
	CLI_FAILED = 1,
	CLI_USAGE = 2,
	CLI_OURS = 125,		 /* viaduct itself failed before the program ran */
	CLI_CANNOT_INVOKE = 126, /* found, but cannot be run */
	CLI_NOT_FOUND = 127,
};

struct cli_command {
	const char *name;
	const char *summary;
	int (*run)(int argc, char **argv); /* argv[0] is the command's name */
};

extern const struct cli_command cli_commands[]; /* ended by name NULL */

/* "viaduct: text" on stderr. */
void cli_error(const char *fmt, ...) VIA_PRINTF(1, 2);
/* The same, and where to read on; returns CLI_USAGE. */
int cli_usage_error(const char *command, const char *fmt, ...) VIA_PRINTF(2, 3);

int cli_compat(int argc, char **argv);
int cli_run(int argc, char **argv);
int cli_inspect(int argc, char **argv);
int cli_list(int argc, char **argv);

#endif
