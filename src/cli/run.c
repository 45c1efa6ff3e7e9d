/* SPDX-License-Identifier: MIT */
/* viaduct run: start a program that finds the given devices. */
#include "cli/cli.h"
#include "cli/launch.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

static void help(void)
{
	puts("Usage: viaduct run [OPTION...] --device MODEL[,addr=DDDD:BB:DD.F][,group=N][,KEY=VALUE...] [--device ...] -- PROGRAM [ARG...]\n"
	     "Run PROGRAM so that it finds the devices behind /dev/vfio and /sys. No privilege is needed.\n"
	     "\n"
	     "  --device SPEC          add a device; 'viaduct list' shows the models and their keys\n"
	     "  --profile full|linux   full (default) closes gaps of Linux 7.2; linux behaves exactly as it\n"
	     "  --bars auto|trap|io    how registers are offered: mapped and trapped, or by pread and pwrite;\n"
	     "                         auto (default) traps, but uses io for a VMM\n"
	     "  --memlock warn|enforce what happens beyond RLIMIT_MEMLOCK (default warn)\n"
	     "  --dma share|copy       share (default): memory that PROGRAM keeps from its children (MADV_DONTFORK), as\n"
	     "                         a VMM its guest's, is shared with the host process; copy: it stays private\n"
	     "  --in-process           keep the devices in PROGRAM itself: fastest, one process only\n"
	     "  --report[=FILE]        say at the end what was used (default: standard error)\n"
	     "  --snapshot DIR         write what PROGRAM leaves in each device's config space to DIR/ADDRESS,\n"
	     "                         for 'viaduct inspect --recording'\n"
	     "  --explain              say what was chosen and why before PROGRAM starts\n"
	     "\n"
	     "The exit status is PROGRAM's, 128+N if signal N ended it; 125, 126, 127: it could not be run.");
}

static bool choose(const char *text, const char *const names[], const int values[], int *ret_value)
{
	for (size_t i = 0; names[i]; i++) {
		/* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): getopt gave an argument */
		if (!strcmp(text, names[i])) {
			*ret_value = values[i];
			return true;
		}
	}
	return false;
}

enum { OPT_PROFILE = 256, OPT_BARS, OPT_MEMLOCK, OPT_DMA, OPT_IN_PROCESS, OPT_REPORT, OPT_SNAPSHOT, OPT_EXPLAIN, OPT_DEVICE };

static const struct option options[] = {
	{"device", required_argument, NULL, OPT_DEVICE},
	{"profile", required_argument, NULL, OPT_PROFILE},
	{"bars", required_argument, NULL, OPT_BARS},
	{"memlock", required_argument, NULL, OPT_MEMLOCK},
	{"dma", required_argument, NULL, OPT_DMA},
	{"in-process", no_argument, NULL, OPT_IN_PROCESS},
	{"report", optional_argument, NULL, OPT_REPORT},
	{"snapshot", required_argument, NULL, OPT_SNAPSHOT},
	{"explain", no_argument, NULL, OPT_EXPLAIN},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

/* 0, or an exit status + 1 with everything said. */
static int parse(int argc, char **argv, struct launch *l)
{
	static const char *const profiles[] = {"full", "linux", NULL};
	static const char *const bars[] = {"auto", "trap", "io", NULL};
	static const char *const memlocks[] = {"warn", "enforce", NULL};
	static const char *const dmas[] = {"share", "copy", NULL};
	static const int profile_values[] = {VIA_PROFILE_FULL, VIA_PROFILE_LINUX};
	static const int bars_values[] = {VIA_BARS_AUTO, VIA_BARS_TRAP, VIA_BARS_IO};
	static const int memlock_values[] = {VIA_MEMLOCK_WARN, VIA_MEMLOCK_ENFORCE};
	static const int dma_values[] = {false, true};
	int c, v = 0;

	opterr = 0;
	while ((c = getopt_long(argc, argv, "+:h", options, NULL)) != -1) {
		switch (c) {
		case OPT_DEVICE:
			l->devices[l->n_devices++] = optarg;
			break;
		case OPT_PROFILE:
			if (!choose(optarg, profiles, profile_values, &v))
				return 1 + cli_usage_error("run", "--profile=%s: must be full or linux", optarg);
			l->config.profile = (enum via_profile)v;
			break;
		case OPT_BARS:
			if (!choose(optarg, bars, bars_values, &v))
				return 1 + cli_usage_error("run", "--bars=%s: must be auto, trap or io", optarg);
			l->config.bars = (enum via_bars)v;
			break;
		case OPT_MEMLOCK:
			if (!choose(optarg, memlocks, memlock_values, &v))
				return 1 + cli_usage_error("run", "--memlock=%s: must be warn or enforce", optarg);
			l->config.memlock = (enum via_memlock)v;
			break;
		case OPT_DMA:
			if (!choose(optarg, dmas, dma_values, &v))
				return 1 + cli_usage_error("run", "--dma=%s: must be share or copy", optarg);
			l->copy_dma = v;
			break;
		case OPT_IN_PROCESS:
			l->in_process = true;
			break;
		case OPT_REPORT:
			l->report = optarg ? optarg : "";
			break;
		case OPT_SNAPSHOT:
			l->snapshot = optarg;
			break;
		case OPT_EXPLAIN:
			l->explain = true;
			break;
		case 'h':
			help();
			return 1 + CLI_OK;
		case ':':
			return 1 + cli_usage_error("run", "%s needs a value", argv[optind - 1]);
		default:
			return 1 + cli_usage_error("run", "unknown option '%s'", argv[optind - 1]);
		}
	}
	if (optind >= argc)
		return 1 + cli_usage_error("run", "no program given; write it after '--'");
	if (!l->n_devices)
		return 1 + cli_usage_error("run", "no --device given; 'viaduct list' shows what there is");
	if (l->in_process && (l->report || l->snapshot))
		return 1 + cli_usage_error("run", "--%s needs the host process; leave out --in-process",
					   l->report ? "report" : "snapshot");
	l->argv = argv + optind;
	return 0;
}

int cli_run(int argc, char **argv)
{
	struct launch l = {.devices = calloc((size_t)argc, sizeof(char *))};
	int r;

	if (!l.devices) {
		cli_error("out of memory");
		return CLI_OURS;
	}
	r = parse(argc, argv, &l);
	r = r ? r - 1 : launch_program(&l);
	free(l.devices);
	return r;
}
