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
	bool check_dma;	   /* say where accesses of devices were refused */
	int check_exit;	   /* the exit status then; 0: the program's own */
	bool emulate_huge; /* huge pages are ordinary memory */
	const char *snapshot; /* directory, or NULL */
	const char *report; /* NULL: none; "": standard error; else a file */
	char **argv;	    /* the program and its arguments */
};

/* Run it; an exit status. */
int launch_program(const struct launch *l);

#endif
