/* SPDX-License-Identifier: MIT */
/* /proc/PID/status of processes whose memory is mapped for DMA. */
#ifndef VIA_PRELOAD_STATUS_H
#define VIA_PRELOAD_STATUS_H

/*
 * Open text, a path as the program said it (NULL: none), for reading: a
 * descriptor of a file that has what DMA locks and pins added to VmLck and
 * VmPin. -ENOENT: it is no such file, or there is nothing to add.
 */
int via_open_status(int dir, const char *text, int flags);

#endif
