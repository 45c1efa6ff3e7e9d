/* SPDX-License-Identifier: MIT */
/*
 * refuse SYSCALL... -- PROGRAM ARG...: run PROGRAM where these system calls
 * fail with EPERM, as in a container whose seccomp profile refuses them.
 */
#include <errno.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
	int i;

	for (i = 1; filter && i < argc && strcmp(argv[i], "--"); i++) {
		int number = seccomp_syscall_resolve_name(argv[i]);

		if (number == __NR_SCMP_ERROR ||
		    seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), number, 0)) {
			fprintf(stderr, "refuse: unknown system call '%s'\n", argv[i]);
			return 125;
		}
	}
	if (!filter || i + 1 >= argc || seccomp_load(filter)) {
		fprintf(stderr, "refuse: cannot load the filter\n");
		return 125;
	}
	execvp(argv[i + 1], argv + i + 1);
	perror(argv[i + 1]);
	return 127;
}
