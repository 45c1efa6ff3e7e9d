/* SPDX-License-Identifier: MIT */
/* viaduct inspect: what a program finds in a device. */
#include "cli/inspect.h"
#include "cli/cli.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <unistd.h>

static void help(void)
{
	puts("Usage: viaduct inspect --device MODEL[,KEY=VALUE...] [--diff | --json]\n"
	     "       viaduct inspect --recording FILE [--check | --changes | --diff | --json | "
	     "--registers]\n"
	     "       viaduct inspect --host ADDRESS [--diff | --json]\n"
	     "Show config space as a VFIO program finds it, register by register, with whose each "
	     "bit is.\n"
	     "\n"
	     "  --device SPEC     the device, as in 'viaduct run'\n"
	     "  --recording FILE  a recorded function seen through this library, in the "
	     "recording's format;\n"
	     "                    'viaduct run --snapshot' writes such files\n"
	     "  --host ADDRESS    a function of this machine, like 0000:00:02.0; nothing of it "
	     "changes.\n"
	     "                    Only root is shown more than the header\n"
	     "  --sysfs DIR       where the kernel tells of it (default /sys), or a copy of that\n"
	     "  --registers       in words, as for a device\n"
	     "  --check           compare with what was recorded: say each difference, exit 1 if "
	     "there is one\n"
	     "  --changes         registers that the recorded program changed\n"
	     "  --diff            registers in which the program reads something else than the "
	     "device has\n"
	     "  --json            for programs: {address, model, config_size, known, blocks}\n"
	     "  --profile linux|full\n"
	     "                    linux (default for a recording): as Linux 7.2 would show it");
}

enum how { BY_KIND, RECORDING, REGISTERS, CHECK, CHANGES, DIFF, JSON };

struct request {
	const char *device, *recording, *host, *sysfs;
	enum how how;
	bool full;
};

/* A comma in a value is written twice. */
static char *recording_spec(const char *path)
{
	static const char head[] = "image,recording=";
	char *spec = malloc(sizeof(head) + 2 * strlen(path)), *to;

	if (!spec)
		return NULL;
	to = stpcpy(spec, head);
	for (const char *from = path; *from; from++) {
		*to++ = *from;
		if (*from == ',')
			*to++ = ',';
	}
	*to = '\0';
	return spec;
}

static int read_recording(const char *path, struct via_recording **ret_recording)
{
	FILE *file = fopen(path, "re");
	struct via_error err = {0};
	int r;

	if (!file) {
		cli_error("--recording=%s: %s", path, strerror(errno));
		return -errno;
	}
	r = via_recording_read(file, &err, ret_recording);
	(void)fclose(file);
	if (r)
		cli_error("--recording=%s: %s", path, err.text[0] ? err.text : strerror(-r));
	return r;
}

/* An exit status. */
static int show(const struct request *req, const struct inspect_view *view,
		const struct via_recording *recording)
{
	unsigned int n;

	switch (req->how) {
	case CHECK:
		n = inspect_check(view, recording, stdout);
		printf("%s: %u %s\n", req->recording, n, n == 1 ? "difference" : "differences");
		return n ? CLI_FAILED : CLI_OK;
	case CHANGES:
		if (!recording->vfio.size) {
			cli_error("--recording=%s: it does not say what a program found "
				  "(config_vfio)",
				  req->recording);
			return CLI_FAILED;
		}
		if (!inspect_print_changes(view, &recording->vfio, stdout))
			puts("nothing was changed");
		return CLI_OK;
	case DIFF:
		inspect_print_diff(view, stdout);
		return CLI_OK;
	case JSON:
		return inspect_print_json(view, stdout) ? CLI_FAILED : CLI_OK;
	case RECORDING:
		inspect_print_recording(view, stdout);
		return CLI_OK;
	case BY_KIND:
	case REGISTERS:
		break;
	}
	inspect_print_people(view, stdout);
	return CLI_OK;
}

/* What cannot be seen, and what to do about it. */
static void warn_unknown(const struct inspect_host *host)
{
	if (host->known >= host->size)
		return;
	cli_error("%s: bytes %#x to %#x, its capabilities, cannot be read and are not shown: %s",
		  host->address, host->known, host->size - 1,
		  geteuid()
			  ? "the kernel shows them to root only, so run this with sudo"
			  : "that is all the kernel gives; a container's root needs CAP_SYS_ADMIN");
}

static int inspect_host(const struct request *req)
{
	struct via_vfio_config config = {
		.profile = req->full ? VIA_PROFILE_FULL : VIA_PROFILE_LINUX, .bars = VIA_BARS_TRAP};
	struct inspect_view *view = calloc(1, sizeof(*view));
	struct inspect_host host;
	struct via_error err = {0};
	int status = CLI_FAILED, r;

	if (!view) {
		cli_error("out of memory");
		return CLI_FAILED;
	}
	r = inspect_host_open(req->sysfs, req->host, &err, &host);
	if (r) {
		cli_error("--host=%s", err.text);
		if (r == -EINVAL || r == -ENODEV)
			inspect_host_list(req->sysfs, stderr);
		free(view);
		return CLI_FAILED;
	}
	if (inspect_look(host.spec, &config, &err, view)) {
		cli_error("--host=%s: %s", host.address, err.text);
	} else {
		inspect_host_finish(&host, view);
		warn_unknown(&host);
		status = show(req, view, NULL);
	}
	inspect_host_close(&host);
	free(view);
	return status;
}

static int inspect(const struct request *req)
{
	struct via_vfio_config config = {
		.profile = req->full ? VIA_PROFILE_FULL : VIA_PROFILE_LINUX, .bars = VIA_BARS_TRAP};
	struct inspect_view *view = calloc(1, sizeof(*view));
	struct via_recording *recording = NULL;
	char *spec = req->device ? strdup(req->device) : recording_spec(req->recording);
	struct via_error err = {0};
	int status = CLI_FAILED;

	if (!view || !spec)
		cli_error("out of memory");
	else if (req->recording && read_recording(req->recording, &recording))
		status = CLI_FAILED; /* the reason has been said */
	else if (inspect_look(spec, &config, &err, view))
		cli_error("%s", err.text);
	else
		status = show(req, view, recording);
	via_recording_free(recording);
	free(spec);
	free(view);
	return status;
}

int cli_inspect(int argc, char **argv)
{
	static const struct option options[] = {
		{"device", required_argument, NULL, 'd'},
		{"recording", required_argument, NULL, 'r'},
		{"host", required_argument, NULL, 'H'},
		{"sysfs", required_argument, NULL, 's'},
		{"check", no_argument, NULL, 'c'},
		{"changes", no_argument, NULL, 'C'},
		{"registers", no_argument, NULL, 'R'},
		{"diff", no_argument, NULL, 'D'},
		{"json", no_argument, NULL, 'j'},
		{"profile", required_argument, NULL, 'p'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	struct request req = {.sysfs = "/sys", .how = BY_KIND};
	const char *profile = NULL;
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, "+:h", options, NULL)) != -1) {
		switch (c) {
		case 'd':
			req.device = optarg;
			break;
		case 'r':
			req.recording = optarg;
			break;
		case 'H':
			req.host = optarg;
			break;
		case 's':
			req.sysfs = optarg;
			break;
		case 'c':
		case 'C':
		case 'R':
		case 'D':
		case 'j':
			if (req.how)
				return cli_usage_error("inspect", "one way of showing at a time");
			req.how = c == 'c'   ? CHECK
				  : c == 'C' ? CHANGES
				  : c == 'R' ? REGISTERS
				  : c == 'D' ? DIFF
					     : JSON;
			break;
		case 'p':
			profile = optarg;
			break;
		case 'h':
			help();
			return CLI_OK;
		case ':':
			return cli_usage_error("inspect", "%s needs a value", argv[optind - 1]);
		default:
			return cli_usage_error("inspect", "unknown option '%s'", argv[optind - 1]);
		}
	}
	if (optind < argc)
		return cli_usage_error("inspect", "unexpected argument '%s'", argv[optind]);
	if (!!req.device + !!req.recording + !!req.host != 1) {
		int status = cli_usage_error("inspect",
					     "one of --device, --recording and --host is needed");

		if (!req.device && !req.recording && !req.host)
			inspect_host_list(req.sysfs, stderr);
		return status;
	}
	if ((req.how == CHECK || req.how == CHANGES) && !req.recording)
		return cli_usage_error("inspect", "--check and --changes need a --recording");
	if (!req.how)
		req.how = req.recording ? RECORDING : REGISTERS;
	if (profile && strcmp(profile, "linux") != 0 && strcmp(profile, "full") != 0)
		return cli_usage_error("inspect", "--profile=%s: must be full or linux", profile);
	req.full = profile ? !strcmp(profile, "full") : req.device != NULL;
	return req.host ? inspect_host(&req) : inspect(&req);
}
