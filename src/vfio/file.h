/* SPDX-License-Identifier: MIT */
/*
 * File objects: what the kernel offers behind a descriptor. Doors bind them
 * to calls; tests drive them in process.
 *
 * A reference is an open file description. release() runs once, when the last
 * reference goes; a file that keeps another alive (a device its group, a group
 * its container) holds a reference to the object behind it, not to the file.
 */
#ifndef VIA_VFIO_FILE_H
#define VIA_VFIO_FILE_H

#include "vfio/caller.h"

struct via_area;
struct via_pages;

/* A mapping that the door should make in the caller. */
struct via_mmap {
	int fd;				/* borrowed while the file lives */
	uint64_t offset;		/* in fd, of the first byte */
	uint64_t len;			/* page multiple */
	struct via_device *dev;		/* for trapped accesses and doorbell guards; may be NULL */
	unsigned int region;
	const struct via_area *areas;	/* of the whole region; borrowed while the file lives. NULL: all is memory */
	size_t n_areas;
	/* Optional: called with owner once no part of it is mapped any more, or could not be. */
	void (*unmapped)(void *owner);
	void *owner;
};

struct via_file_ops {
	const char *kind; /* "container", "group", "device" */
	/*
	 * Has no position: pread(2) and pwrite(2) are ESPIPE, and who lacks one of
	 * the operations below was opened for the other direction (EBADF).
	 */
	bool stream;
	/*
	 * Gives and takes whole records: read(2) and write(2) leave the position at 0,
	 * and are asked for no bytes too; an offset other than 0 is the file's to refuse.
	 * EBADF as for a stream.
	 */
	bool records;
	/* Result of ioctl(2): >= 0 or negative errno. */
	long (*ioctl)(struct via_file *file, struct via_caller *caller, unsigned long cmd,
		      uint64_t arg);
	/* addr is in the caller. Bytes done or negative errno. */
	ssize_t (*pread)(struct via_file *file, struct via_caller *caller, uint64_t addr,
			 size_t len, uint64_t offset);
	ssize_t (*pwrite)(struct via_file *file, struct via_caller *caller, uint64_t addr,
			  size_t len, uint64_t offset);
	/* Checks what mmap(2) would, fills ret_map; 0 or negative errno. */
	int (*mmap)(struct via_file *file, struct via_caller *caller, uint64_t offset,
		    uint64_t len, int prot, int flags, struct via_mmap *ret_map);
	/*
	 * Optional, for files of text: a program also reads and writes by ways that
	 * no shim sees, stdio above all. give() is what it reads: bytes, below size.
	 * take() gets what it has written at once, ended by a NUL, after the fact and
	 * without waiting for anybody: 0 or negative errno. sync() waits for what
	 * that has begun.
	 */
	ssize_t (*give)(struct via_file *file, char *buf, size_t size);
	int (*take)(struct via_file *file, const char *text);
	void (*sync)(struct via_file *file, struct via_caller *caller);
	/*
	 * Optional: an eventfd, borrowed while the file lives, that is readable as long as
	 * poll(2) shall find the file readable; pread(), without waiting, is what changes
	 * that. Such a file is writable if it has pwrite(); without it a file is always both.
	 */
	int (*poll_fd)(struct via_file *file);
	/*
	 * Optional, of a dma-buf: its bytes from start on as DMA memory. -EINVAL beyond its
	 * end or len 0; -ENODEV it answers no longer; -ENOMEM.
	 */
	int (*dma_pages)(struct via_file *file, uint64_t start, uint64_t len, bool writable,
			 struct via_pages **ret_pages);
	void (*release)(struct via_file *file);
};

struct via_file {
	const struct via_file_ops *ops;
	int refs;	   /* atomic */
	uint64_t position; /* of read(2) and write(2); atomic */
};

struct via_file *via_file_get(struct via_file *file);
void via_file_put(struct via_file *file);

/* Dispatch with the defaults for operations that a file lacks (EINVAL, ENOTTY, ENODEV). */
long via_file_ioctl(struct via_file *file, struct via_caller *caller, unsigned long cmd,
		    uint64_t arg);
ssize_t via_file_pread(struct via_file *file, struct via_caller *caller, uint64_t addr,
		       size_t len, uint64_t offset);
ssize_t via_file_pwrite(struct via_file *file, struct via_caller *caller, uint64_t addr,
			size_t len, uint64_t offset);
int via_file_mmap(struct via_file *file, struct via_caller *caller, uint64_t offset, uint64_t len,
		  int prot, int flags, struct via_mmap *ret_map);

#endif
