/* SPDX-License-Identifier: MIT */
/*
 * Adding one to an eventfd whose other end is not trusted.
 *
 * The file description is the program's too. It may be blocking, making it
 * non-blocking would change the program's own reads, and the program can fill
 * the counter at any moment, also between a poll and a write: a plain write
 * could wait for ever. The kernel itself signals without waiting, and so does
 * the completion of an asynchronous read of nothing (IOCB_FLAG_RESFD). Where
 * asynchronous I/O is not to be had, poll and write has to do.
 */
#ifndef VIA_PCI_SIGNAL_H
#define VIA_PCI_SIGNAL_H

#include <linux/aio_abi.h>
#include <sys/types.h>

struct via_signaller {
	aio_context_t context; /* 0: not to be had */
	int source;	       /* what is read: an empty memfd */
	pid_t owner;	       /* the process that the context belongs to */
};

/* Cannot fail. */
void via_signaller_init(struct via_signaller *signaller);
void via_signaller_deinit(struct via_signaller *signaller);
/* fd is an eventfd. One call at a time per signaller. */
void via_signaller_signal(struct via_signaller *signaller, int fd);

#endif
