/* SPDX-License-Identifier: MIT */
/*
 * A space and the windows on files behind it. A window maps a large aligned
 * part of a file, so that thousands of small stores of one memfd cost one
 * VMA (vm.max_map_count is 65530). It lives as long as a store uses it.
 */
#ifndef VIA_MEMORY_SPACE_H
#define VIA_MEMORY_SPACE_H

#include <viaduct/memory.h>

#include <pthread.h>

struct via_window {
	struct via_window *next;  /* of its bucket; under the space's lock */
	uint64_t refs;		  /* stores' runs that use it; under the space's lock */
	uint64_t dev, ino;	  /* constant, like the rest */
	uint64_t offset, len;	  /* part of the file, bytes */
	bool writable;
	bool prompt;	  /* memory alone: no file system is asked for its pages */
	uint8_t *base;
};

#define VIA_WINDOW_BUCKETS 64

struct via_space {
	int refs;	    /* atomic */
	struct via_mm *mm;  /* constant; NULL: a file */
	int fd;		    /* constant; -1 for an mm */
	unsigned int prot;  /* constant; of the file */
	pthread_mutex_t lock;
	struct via_window *buckets[VIA_WINDOW_BUCKETS]; /* under lock */
	unsigned int n_windows;				/* under lock */
};

/*
 * A window on [offset, offset + len) of fd, shared with others where
 * possible. fd is not kept. *ret_ptr: where offset is mapped. -EOVERFLOW, mmap's
 * errno, -ENFILE when the space has too many windows.
 */
int via_window_get(struct via_space *space, int fd, uint64_t offset, uint64_t len, bool writable,
		   struct via_window **ret_window, uint8_t **ret_ptr);
void via_window_put(struct via_space *space, struct via_window *window);

#endif
