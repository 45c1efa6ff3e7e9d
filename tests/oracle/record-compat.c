/* SPDX-License-Identifier: MIT */
/*
 * What a kernel answers to the questions of `viaduct compat`. Built statically with
 * the command's own sources:
 *   record-compat type1|compat|native ADDRESS GROUP ADDRESS GROUP
 */
#include "cli/compat.h"

#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
	static const char *const modes[] = {"type1", "compat", "native", "spapr"};
	struct compat_place place;

	if (argc != 6)
		return 2;
	place = (struct compat_place){{argv[2], argv[4]},
				      {(unsigned int)atoi(argv[3]), (unsigned int)atoi(argv[5])}};
	for (unsigned int i = 0; i < COMPAT_MODES; i++)
		if (!strcmp(argv[1], modes[i]))
			compat_ask_all((enum compat_mode)i, &place, stdout);
	return 0;
}
