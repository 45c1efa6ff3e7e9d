/* SPDX-License-Identifier: MIT */
#ifndef VIA_PRELOAD_EXEC_H
#define VIA_PRELOAD_EXEC_H

/* Remember the environment that programs started from here will need. In the constructor. */
void via_exec_init(void);

#endif
