/* SPDX-License-Identifier: MIT */
/* The viaduct command: picks the subcommand. */
#include "cli/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

const struct cli_command cli_commands[] = {
	{"run", "run a program that finds the given devices", cli_run},
	{"list", "list device models and their options", cli_list},
	{"compat", "show how a VFIO program is answered, on Linux and here", cli_compat},
	{"inspect", "show what a program is told of a device", cli_inspect},
	{NULL, NULL, NULL},
};

static void verror(const char *fmt, va_list args)
{
	fputs("viaduct: ", stderr);
	(void)vfprintf(stderr, fmt, args);
	fputc('\n', stderr);
}

void cli_error(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	verror(fmt, args);
	va_end(args);
}

int cli_usage_error(const char *command, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	verror(fmt, args);
	va_end(args);
	fprintf(stderr, "Try 'viaduct %s%s--help'.\n", command, *command ? " " : "");
	return CLI_USAGE;
}

static void log_line(void *cookie, enum via_log_level level, const char *text)
{
	static const char *const names[] = {"error: ", "warning: ", "", "debug: "};

	(void)cookie;
	/* One write, so that lines of several processes do not mix. */
	char line[1200];
	int n = snprintf(line, sizeof(line), "viaduct: %s%s\n", names[level], text);

	if (n > 0)
		(void)!write(STDERR_FILENO, line, (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1);
}

static void log_init(void)
{
	static const char *const names[] = {"error", "warning", "info", "debug"};
	const char *want = getenv("VIADUCT_LOG");
	enum via_log_level max = VIA_LOG_WARNING;

	for (size_t i = 0; want && i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(want, names[i]))
			max = (enum via_log_level)i;
	via_log_set(log_line, NULL, max);
}

static void help(FILE *out)
{
	fputs("Usage: viaduct COMMAND [OPTION...]\n"
	      "PCI devices for programs and virtual machines, in user space.\n"
	      "\n"
	      "Commands:\n",
	      out);
	for (const struct cli_command *c = cli_commands; c->name; c++)
		fprintf(out, "  %-10s %s\n", c->name, c->summary);
	fputs("\n"
	      "Options:\n"
	      "  --help     show this help; after a command, the command's\n"
	      "  --version  show the version\n"
	      "\n"
	      "Environment:\n"
	      "  VIADUCT_LOG  error, warning (default), info or debug: how much to say on stderr\n",
	      out);
}

int main(int argc, char **argv)
{
	log_init();
	if (argc < 2) {
		help(stderr);
		return CLI_USAGE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
		help(stdout);
		return CLI_OK;
	}
	if (!strcmp(argv[1], "--version")) {
		printf("viaduct %s\n", via_version());
		return CLI_OK;
	}
	for (const struct cli_command *c = cli_commands; c->name; c++)
		if (!strcmp(argv[1], c->name))
			return c->run(argc - 1, argv + 1);
	return cli_usage_error("", "unknown command '%s'", argv[1]);
}
