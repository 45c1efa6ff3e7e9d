/* SPDX-License-Identifier: MIT */
/*
 * replay NAME PATH...: give every file (of every directory) to the target that
 * is linked in, in order of name, as one TAP case. The inputs run in a child,
 * so that a crash, a failed check, a leak or a hang is a failed case that names
 * the input; `replay NAME FILE` under a debugger shows one of them.
 */
#include "fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* More than any input takes, under a sanitizer on a loaded machine. */
#define SECONDS_PER_INPUT 60

static struct progress {
	unsigned int inputs;
	char path[PATH_MAX];
} *progress; /* shared with the child */

static void run_file(const char *path)
{
	FILE *file = fopen(path, "rbe");
	struct stat st;
	uint8_t *data;

	if (!file || fstat(fileno(file), &st) < 0) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		exit(1);
	}
	/* Exactly its size: what reads further is seen by the address sanitizer. */
	data = malloc((size_t)st.st_size);
	if ((st.st_size && !data) || fread(data, 1, (size_t)st.st_size, file) != (size_t)st.st_size)
		exit(1);
	(void)fclose(file);
	snprintf(progress->path, sizeof(progress->path), "%s", path);
	alarm(SECONDS_PER_INPUT);
	(void)LLVMFuzzerTestOneInput(data, (size_t)st.st_size);
	alarm(0);
	progress->inputs++;
	free(data);
}

static void run_path(const char *path)
{
	struct dirent **names;
	int n = scandir(path, &names, NULL, alphasort);

	if (n < 0) {
		run_file(path);
		return;
	}
	for (int i = 0; i < n; i++) {
		char file[PATH_MAX];

		if (names[i]->d_name[0] != '.' &&
		    snprintf(file, sizeof(file), "%s/%s", path, names[i]->d_name) < PATH_MAX)
			run_file(file);
		free(names[i]);
	}
	free(names);
}

int main(int argc, char **argv)
{
	pid_t child;
	int status;

	if (argc < 3) {
		fprintf(stderr, "usage: %s NAME FILE-OR-DIRECTORY...\n", argv[0]);
		return 2;
	}
	progress = mmap(NULL, sizeof(*progress), PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (progress == MAP_FAILED)
		return 1;
	printf("1..1\n");
	(void)fflush(stdout);
	child = fork();
	if (!child) {
		for (int i = 2; i < argc; i++)
			run_path(argv[i]);
		progress->path[0] = '\0';
		exit(0); /* a leak is reported now */
	}
	if (child < 0 || waitpid(child, &status, 0) != child)
		return 1;
	if (!status && progress->inputs) {
		printf("ok 1 - %s, %u inputs\n", argv[1], progress->inputs);
		return 0;
	}
	printf("not ok 1 - %s\n# ended by %s %d at %s\n", argv[1],
	       WIFSIGNALED(status) ? "signal" : "status",
	       WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
	       progress->path[0] ? progress->path : "the end");
	return 1;
}
