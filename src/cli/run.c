/* SPDX-License-Identifier: MIT */
/* viaduct run: start a program that finds the given devices. */
#include "cli/cli.h"
#include "cli/launch.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

/* An hour. */
#define VADDR_WAIT_MAX 3600000u

static void help(void)
{
	puts("Usage: viaduct run [OPTION...] --device MODEL[,addr=DDDD:BB:DD.F][,group=N][,KEY=VALUE...] [--device ...] -- PROGRAM [ARG...]\n"
	     "Run PROGRAM so that it finds the devices behind /dev/vfio, /dev/iommu and /sys. No privilege is needed.\n"
	     "\n"
	     "  --device SPEC          add a device; 'viaduct list' shows the models and their keys\n"
	     "  --profile full|linux   full (default) closes gaps of Linux 7.2; linux behaves exactly as it\n"
	     "  --bars auto|trap|io    how registers are offered: mapped and trapped, or by pread and pwrite;\n"
	     "                         auto (default) traps, but uses io for a VMM\n"
	     "  --memlock warn|enforce what happens beyond RLIMIT_MEMLOCK (default warn)\n"
	     "  --dma-entry-limit N    mappings that a container may have (default 65535 for type1, any number for iommufd)\n"
	     "  --vaddr-wait MS        how long devices wait for private memory whose address is suspended, for exec\n"
	     "                         (default 10000; 0: they do not); profile full only\n"
	     "  --dma share|copy       share (default): memory that PROGRAM keeps from its children (MADV_DONTFORK), as\n"
	     "                         a VMM its guest's, is shared with the host process; copy: it stays private\n"
	     "  --hugepages system|emulate\n"
	     "                         emulate: huge pages that PROGRAM asks for (MAP_HUGETLB, MFD_HUGETLB) are ordinary\n"
	     "                         memory, aligned as they are; system (default): the system's own\n"
	     "  --iommu intel|spapr|none\n"
	     "                         what the devices are behind: intel (default): type1 containers and iommufd; spapr: a\n"
	     "                         POWER machine's windows; none: /dev/vfio/noiommu-N, IOVAs are PROGRAM's addresses\n"
	     "  --container type1|iommufd\n"
	     "                         who serves /dev/vfio/vfio: type1 (default), or iommufd in its place\n"
	     "  --iommu-test           /dev/iommu also takes the kernel's test commands, for its selftest; needs no --device\n"
	     "  --check dma            tell of each access of a device that is refused: where, what is mapped near it, and\n"
	     "                         where PROGRAM mapped and unmapped it; count them at the end\n"
	     "  --check-exit N         with --check: end with status N if there was one\n"
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

enum { OPT_PROFILE = 256, OPT_BARS, OPT_MEMLOCK, OPT_DMA, OPT_DMA_ENTRY_LIMIT, OPT_VADDR_WAIT, OPT_HUGEPAGES, OPT_CONTAINER, OPT_IOMMU, OPT_CHECK, OPT_CHECK_EXIT, OPT_IOMMU_TEST, OPT_IN_PROCESS, OPT_REPORT, OPT_SNAPSHOT, OPT_EXPLAIN, OPT_DEVICE };

static const struct option options[] = {
	{"device", required_argument, NULL, OPT_DEVICE},
	{"profile", required_argument, NULL, OPT_PROFILE},
	{"bars", required_argument, NULL, OPT_BARS},
	{"memlock", required_argument, NULL, OPT_MEMLOCK},
	{"dma", required_argument, NULL, OPT_DMA},
	{"dma-entry-limit", required_argument, NULL, OPT_DMA_ENTRY_LIMIT},
	{"vaddr-wait", required_argument, NULL, OPT_VADDR_WAIT},
	{"hugepages", required_argument, NULL, OPT_HUGEPAGES},
	{"container", required_argument, NULL, OPT_CONTAINER},
	{"iommu", required_argument, NULL, OPT_IOMMU},
	{"check", required_argument, NULL, OPT_CHECK},
	{"check-exit", required_argument, NULL, OPT_CHECK_EXIT},
	{"iommu-test", no_argument, NULL, OPT_IOMMU_TEST},
	{"in-process", no_argument, NULL, OPT_IN_PROCESS},
	{"report", optional_argument, NULL, OPT_REPORT},
	{"snapshot", required_argument, NULL, OPT_SNAPSHOT},
	{"explain", no_argument, NULL, OPT_EXPLAIN},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

/* Decimal digits and no more. */
static bool number(const char *text, uint32_t min, uint32_t max, uint32_t *ret_value)
{
	uint64_t value = 0;

	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): getopt gave an argument */
	for (const char *p = text; *p; p++) {
		if (*p < '0' || *p > '9')
			return false;
		value = 10 * value + (uint64_t)(*p - '0');
		if (value > max)
			return false;
	}
	*ret_value = (uint32_t)value;
	return *text && value >= min;
}

static bool exit_status(const char *text, int *ret_status)
{
	char *end;
	/* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): getopt gave an argument */
	long value = strtol(text, &end, 10);

	*ret_status = (int)value;
	return *text && !*end && value >= 1 && value <= 255;
}

/* 0, or an exit status + 1 with everything said. */
static int parse(int argc, char **argv, struct launch *l)
{
	static const char *const profiles[] = {"full", "linux", NULL};
	static const char *const bars[] = {"auto", "trap", "io", NULL};
	static const char *const memlocks[] = {"warn", "enforce", NULL};
	static const char *const dmas[] = {"share", "copy", NULL};
	static const char *const hugepages[] = {"system", "emulate", NULL};
	static const char *const iommus[] = {"intel", "spapr", "none", NULL};
	static const int iommu_values[] = {VIA_IOMMU_INTEL, VIA_IOMMU_SPAPR, VIA_IOMMU_NONE};
	static const char *const containers[] = {"type1", "iommufd", NULL};
	static const int profile_values[] = {VIA_PROFILE_FULL, VIA_PROFILE_LINUX};
	static const int bars_values[] = {VIA_BARS_AUTO, VIA_BARS_TRAP, VIA_BARS_IO};
	static const int memlock_values[] = {VIA_MEMLOCK_WARN, VIA_MEMLOCK_ENFORCE};
	static const int dma_values[] = {false, true};
	static const int hugepages_values[] = {false, true};
	static const int container_values[] = {false, true};
	uint32_t n;
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
		case OPT_DMA_ENTRY_LIMIT:
			if (!number(optarg, 1, UINT32_MAX, &l->config.dma_entry_limit))
				return 1 + cli_usage_error("run", "--dma-entry-limit=%s: must be a number from 1 to 4294967295", optarg);
			break;
		case OPT_VADDR_WAIT:
			if (!number(optarg, 0, VADDR_WAIT_MAX, &n))
				return 1 + cli_usage_error("run", "--vaddr-wait=%s: must be a number of milliseconds from 0 to 3600000", optarg);
			l->config.vaddr_wait_ms = n ? (int32_t)n : -1;
			break;
		case OPT_HUGEPAGES:
			if (!choose(optarg, hugepages, hugepages_values, &v))
				return 1 + cli_usage_error("run", "--hugepages=%s: must be system or emulate", optarg);
			l->emulate_huge = v;
			break;
		case OPT_CONTAINER:
			if (!choose(optarg, containers, container_values, &v))
				return 1 + cli_usage_error("run", "--container=%s: must be type1 or iommufd", optarg);
			l->config.compat_container = v;
			break;
		case OPT_IOMMU:
			if (!choose(optarg, iommus, iommu_values, &v))
				return 1 + cli_usage_error("run", "--iommu=%s: must be intel, spapr or none", optarg);
			l->config.iommu_kind = (enum via_iommu_kind)v;
			break;
		case OPT_CHECK:
			/* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): as above */
			if (strcmp(optarg, "dma") != 0)
				return 1 + cli_usage_error("run", "--check=%s: must be dma", optarg);
			l->check_dma = true;
			break;
		case OPT_CHECK_EXIT:
			if (!exit_status(optarg, &l->check_exit))
				return 1 + cli_usage_error("run", "--check-exit=%s: must be a number from 1 to 255", optarg);
			break;
		case OPT_IOMMU_TEST:
			l->config.iommu_test = true;
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
	if (!l->n_devices && !l->config.iommu_test)
		return 1 + cli_usage_error("run", "no --device given; 'viaduct list' shows what there is");
	if (l->in_process && (l->report || l->snapshot || l->check_dma))
		return 1 + cli_usage_error("run", "--%s needs the host process; leave out --in-process",
					   l->report ? "report" : l->snapshot ? "snapshot" : "check");
	if (l->check_exit && !l->check_dma)
		return 1 + cli_usage_error("run", "--check-exit is for --check dma");
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
