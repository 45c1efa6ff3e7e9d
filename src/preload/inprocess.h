/* SPDX-License-Identifier: MIT */
/* --in-process: the host's keeper of state in the program itself, behind the same calls. */
#ifndef VIA_PRELOAD_INPROCESS_H
#define VIA_PRELOAD_INPROCESS_H

#include "preload/client.h"

/* VIADUCT_INPROCESS is set. */
bool via_inprocess_present(void);

/* This thread is running the host's code: the shim stands aside. */
bool via_inprocess_inside(void);

/* via_call() answered here. Not in signal handlers that interrupt malloc. */
int64_t via_inprocess_call(struct via_call *call);

#endif
