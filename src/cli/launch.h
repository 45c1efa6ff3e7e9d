/* SPDX-License-Identifier: MIT */
/* Putting host process, view and program together. */
#ifndef VIA_CLI_LAUNCH_H
#define VIA_CLI_LAUNCH_H

#include "host/host.h"

struct launch {
	struct via_vfio_config config;
	const char **devices; /* --device texts */
	size_t n_devices;
	bool in_process;
	bool explain;
	bool copy_dma; /* the program's private memory stays private */
	const char *snapshot; /* directory, or NULL */
	const char *report; /* NULL: none; "": standard error; else a file */
	char **argv;	    /* the program and its arguments */
};

/* Run it; an exit status. */
int launch_program(const struct launch *l);

#endif
