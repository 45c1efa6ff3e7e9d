/* SPDX-License-Identifier: MIT */
/* viaduct compat: ask a program's questions in each way, and print the answers side by side. */
#include "cli/cli.h"
#include "cli/compat.h"
#include "cli/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* The hidden argument that makes the command the program which asks. */
#define ASK "--ask"

static const char *const mode_names[COMPAT_MODES] = {"type1", "compat", "native", "spapr"};

static const struct column {
	const char *name, *text;
	enum compat_mode mode;
	enum via_profile profile;
	enum via_iommu_kind iommu;
} columns[] = {
	{"type1", "Linux, type1 container", COMPAT_TYPE1, VIA_PROFILE_LINUX, VIA_IOMMU_INTEL},
	{"compat", "Linux, iommufd as container", COMPAT_COMPAT, VIA_PROFILE_LINUX, VIA_IOMMU_INTEL},
	{"native", "Linux, iommufd", COMPAT_NATIVE, VIA_PROFILE_LINUX, VIA_IOMMU_INTEL},
	{"full", "profile full, iommufd as container", COMPAT_COMPAT, VIA_PROFILE_FULL, VIA_IOMMU_INTEL},
	/* Its one answer belongs to the column before it. */
	{"full", NULL, COMPAT_SPAPR, VIA_PROFILE_FULL, VIA_IOMMU_SPAPR},
};

#define N_COLUMNS (sizeof(columns) / sizeof(columns[0]))
#define MAX_QUESTIONS 64
#define ANSWER_SIZE 160

typedef char answers[MAX_QUESTIONS][ANSWER_SIZE];

static void help(void)
{
	puts("Usage: viaduct compat [--json]\n"
	     "Show how a VFIO program is answered by the three ways to an I/O address space of Linux 7.2, as\n"
	     "profile linux has them, and by profile full: the ten gaps of iommufd as a VFIO container, and\n"
	     "calls that the two containers may answer differently. A program asks, which is run with two edu\n"
	     "devices as 'viaduct run' would: nothing is told from a table.\n"
	     "\n"
	     "  --json   print an array of objects instead of a table\n"
	     "\n"
	     "-: cannot be asked in this way.");
}

static size_t n_gaps(void)
{
	size_t n = 0;

	while (compat_gaps[n].id)
		n++;
	return n;
}

/* Gaps and rows in one order. NULL at the end. */
static const struct compat_question *question(size_t i)
{
	const struct compat_question *q = i < n_gaps() ? &compat_gaps[i] : &compat_rows[i - n_gaps()];

	return q->id ? q : NULL;
}

/* We are the program. */
static int ask_as_program(const char *mode)
{
	static const struct compat_place place = {{"0000:00:03.0", "0000:00:04.0"}, {1, 2}};

	for (int i = 0; i < COMPAT_MODES; i++)
		if (!strcmp(mode, mode_names[i])) {
			compat_ask_all((enum compat_mode)i, &place, stdout);
			return CLI_OK;
		}
	return CLI_USAGE;
}

/* In a process of its own, whose standard output is the pipe. */
static int run_column(const struct column *c)
{
	const char *devices[] = {"edu,addr=0000:00:03.0,group=1", "edu,addr=0000:00:04.0,group=2"};
	char self[PATH_MAX], mode[16];
	char command[] = "compat", flag[] = ASK;
	char *argv[] = {self, command, flag, mode, NULL};
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	struct launch l = {
		.config = {.profile = c->profile, .iommu_kind = c->iommu, .bars = VIA_BARS_TRAP,
			   .memlock = VIA_MEMLOCK_ENFORCE, .iommu_test = true},
		.devices = devices,
		.n_devices = 2,
		.argv = argv,
	};

	if (n < 0)
		return CLI_OURS;
	self[n] = '\0';
	(void)snprintf(mode, sizeof(mode), "%s", mode_names[c->mode]);
	return launch_program(&l);
}

/* Lines of "id TAB answer" from the program. */
static unsigned int take_answers(FILE *in, answers ret)
{
	unsigned int got = 0;
	char *line = NULL;
	size_t size = 0;

	while (getline(&line, &size, in) > 0) {
		char *tab = strchr(line, '\t');

		if (!tab)
			continue;
		*tab++ = '\0';
		tab[strcspn(tab, "\n")] = '\0';
		for (size_t i = 0; i < MAX_QUESTIONS && question(i); i++)
			if (!strcmp(question(i)->id, line)) {
				got++;
				if (strcmp(tab, "-") != 0)
					(void)snprintf(ret[i], ANSWER_SIZE, "%s", tab);
			}
	}
	free(line);
	return got;
}

static int ask_column(const struct column *c, answers ret)
{
	int fds[2], status = -1;
	unsigned int got;
	FILE *in;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC)) {
		cli_error("pipe: %s", strerror(errno));
		return CLI_OURS;
	}
	pid = fork();
	if (pid < 0) {
		cli_error("fork: %s", strerror(errno));
		close(fds[0]);
		close(fds[1]);
		return CLI_OURS;
	}
	if (!pid) {
		if (dup2(fds[1], STDOUT_FILENO) < 0)
			_exit(CLI_OURS);
		exit(run_column(c));
	}
	close(fds[1]);
	in = fdopen(fds[0], "r");
	got = in ? take_answers(in, ret) : 0;
	if (in)
		(void)fclose(in);
	else
		close(fds[0]);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR) {
			status = -1;
			break;
		}
	if (status >= 0 && WIFEXITED(status) && !WEXITSTATUS(status) && got)
		return CLI_OK;
	cli_error("column %s: the program that asks has ended with status 0x%x after %u answers", c->name,
		  (unsigned int)status, got);
	return CLI_FAILED;
}

/* The column that a result belongs to. */
static size_t shown_at(size_t column)
{
	return columns[column].text ? column : column - 1;
}

static const char *shown(const answers a, size_t i)
{
	return *a[i] ? a[i] : "-";
}

static void print_table(answers *all)
{
	for (size_t c = 0; c < N_COLUMNS; c++)
		if (columns[c].text)
			printf("%-7s %s\n", columns[c].name, columns[c].text);
	for (size_t i = 0; i < MAX_QUESTIONS && question(i); i++) {
		printf("%s%s: %s\n", i == 0 || i == n_gaps() ? "\n" : "", question(i)->id,
		       question(i)->text);
		for (size_t c = 0; c < N_COLUMNS; c++)
			if (columns[c].text)
				printf("    %-7s %s\n", columns[c].name, shown(all[c], i));
	}
}

static void print_json(answers *all)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < MAX_QUESTIONS && question(i); i++) {
		struct json_object *j = json_object_new_object();

		json_object_object_add(j, "id", json_object_new_string(question(i)->id));
		json_object_object_add(j, "question", json_object_new_string(question(i)->text));
		for (size_t c = 0; c < N_COLUMNS; c++)
			if (columns[c].text)
				json_object_object_add(j, columns[c].name,
						       *all[c][i] ? json_object_new_string(all[c][i])
								  : NULL);
		json_object_array_add(list, j);
	}
	puts(json_object_to_json_string_ext(list, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(list);
}

int cli_compat(int argc, char **argv)
{
	static const struct option options[] = {
		{"json", no_argument, NULL, 'j'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
	bool json = false;
	answers *all;
	int c, r = CLI_OK;

	if (argc == 3 && !strcmp(argv[1], ASK))
		return ask_as_program(argv[2]);
	opterr = 0;
	while ((c = getopt_long(argc, argv, "+:h", options, NULL)) != -1) {
		if (c == 'j') {
			json = true;
		} else if (c == 'h') {
			help();
			return CLI_OK;
		} else {
			return cli_usage_error("compat", "%s: no such option", argv[optind - 1]);
		}
	}
	if (optind < argc)
		return cli_usage_error("compat", "%s: takes no arguments", argv[optind]);
	all = calloc(N_COLUMNS, sizeof(*all));
	if (!all) {
		cli_error("no memory");
		return CLI_OURS;
	}
	(void)fflush(stdout);
	for (size_t i = 0; i < N_COLUMNS && !r; i++) {
		if (isatty(STDERR_FILENO))
			fprintf(stderr, "\rasking %zu of %zu ", i + 1, N_COLUMNS);
		r = ask_column(&columns[i], all[shown_at(i)]);
	}
	if (isatty(STDERR_FILENO))
		fputs("\r                    \r", stderr);
	if (!r && json)
		print_json(all);
	else if (!r)
		print_table(all);
	free(all);
	return r;
}
