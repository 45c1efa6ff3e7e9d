/* SPDX-License-Identifier: MIT */
/* Loading and fork. Starts no thread and opens nothing. */
#include "preload/client.h"
#include "preload/exec.h"
#include "preload/huge.h"
#include "preload/maps.h"
#include "preload/pins.h"
#include "preload/real.h"
#include "preload/share.h"
#include "preload/signals.h"
#include "preload/trace.h"

#include <pthread.h>

static void after_fork(void)
{
	via_client_after_fork();
	via_signals_after_fork();
	via_maps_after_fork();
	via_pins_after_fork();
	via_share_after_fork();
	via_huge_after_fork();
}

__attribute__((constructor)) static void init(void)
{
	via_real_init();
	if (!via_client_present())
		return;
	via_exec_init();
	via_trace_init();
	pthread_atfork(NULL, NULL, after_fork);
}
