/* SPDX-License-Identifier: MIT */
/* Any file as the program that is to be run: judged, never trusted. */
#include "fuzz.h"

#include "cli/cli.h"
#include "cli/program.h"

#include <limits.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct via_error err = {0};
	char name[32], path[PATH_MAX];
	int fd, r;

	/* An interpreter is a path, which an input may not choose. */
	if (size >= 2 && !memcmp(data, "#!", 2) && memchr(data, '/', size))
		return 0;
	fd = memfd_create("program", MFD_CLOEXEC);
	FUZZ_CHECK(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	r = program_find(name, path, &err);
	FUZZ_CHECK(r == 0 || r == CLI_CANNOT_INVOKE);
	FUZZ_CHECK(!strcmp(path, name) && !r == !err.text[0]);
	close(fd);
	return 0;
}
