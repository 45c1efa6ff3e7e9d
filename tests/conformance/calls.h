/* SPDX-License-Identifier: MIT */
/*
 * One list of calls, two ways to make them: system calls on a kernel, and file
 * objects in process. Each call prints one line, so that a recording of the
 * one can be compared with a run of the other.
 */
#ifndef VIA_CONFORMANCE_CALLS_H
#define VIA_CONFORMANCE_CALLS_H

#include <viaduct/abi/vfio.h>

#include <stdbool.h>
#include <sys/types.h>

/* All return a result or a negative errno. Descriptor numbers are the list's own choice. */
struct door {
	/* node is below /dev; the descriptor gets the number fd. */
	int (*open)(const char *node, int fd);
	int (*close)(int fd);
	long (*ioctl)(int fd, unsigned long cmd, uintptr_t arg);
	/* As ioctl for calls that return a descriptor: it gets the number new_fd, which is
	 * returned. */
	long (*ioctl_fd)(int fd, unsigned long cmd, uintptr_t arg, int new_fd);
	ssize_t (*pread)(int fd, uintptr_t buf, size_t len, uint64_t offset);
	ssize_t (*pwrite)(int fd, uintptr_t buf, size_t len, uint64_t offset);
	/* Maps and unmaps again. */
	long (*mmap)(int fd, uint64_t offset, size_t len, int prot, int flags);
	/* Wait until what a call has left for later is done. */
	void (*settle)(void);
	/* read(2) and write(2), for files that have no position. */
	ssize_t (*read)(int fd, uintptr_t buf, size_t len);
	ssize_t (*write)(int fd, uintptr_t buf, size_t len);
	/* A descriptor that a call has put into its structure gets the number new_fd. */
	int (*renumber)(int fd, int new_fd);
};

struct subject {
	const char *name; /* "0000:00:03.0" */
	const char *node; /* "vfio/1" */
};

/* Two groups, and the second one's other function, which may be of any kind. */
struct pair {
	struct subject one, two;
	const char *neighbour;
};

/* The descriptors of the list. */
enum {
	FD_CONTAINER = 500,
	FD_CONTAINER2,
	FD_GROUP,
	FD_GROUP2,
	FD_DEVICE,
	FD_DEVICE2,
	FD_DEVICE3,
	FD_PIPE,   /* a descriptor that is nothing of VFIO's */
	FD_CLOSED, /* never open */
	FD_EVENT,  /* four eventfds */
	FD_EVENT_LAST = FD_EVENT + 3,
	FD_DMA_BUF,
	FD_IOMMUFD,
	FD_IOMMUFD2,
	FD_MEMORY,	 /* a memfd of MEMORY_PAGES pages */
	FD_MEMORY_RO,	 /* the same file, opened for reading */
	FD_FAULTS,	 /* of fault queues */
	FD_FAULTS2,
	FD_VEVENTS,	 /* of an event queue of a vIOMMU */
	FD_ACCESS,	 /* four accesses of the test driver */
	FD_ACCESS_LAST = FD_ACCESS + 3,
};

/* Memory at a fixed place: addresses are part of the recording. */
#define ARENA ((uintptr_t)0x20000000)
#define ARENA_PAGES 64u
#define PAGE ((size_t)4096)
#define PAGE_AT(n) (ARENA + (n)*PAGE)
#define ARGS PAGE_AT(0) /* arguments are put here, followed by 0xa5 */
#define EDGE PAGE_AT(9) /* page 8 can be written, page 9 has no access */
#define READ_ONLY PAGE_AT(10)
#define UNMAPPED PAGE_AT(12)
#define BUFFER PAGE_AT(16) /* for reads, writes and DMA mappings, up to the arena's end */
#define ARGS_WORDS 256u

void arena_make(void);
void events_make(void);

/* "container"; " -> EINVAL". */
const char *fd_name(int fd);
void print_result(long ret);
/* Fills ARGS with n words and 0xa5; prints what differs from that, from " |" on. */
void args_fill(unsigned int n, const uint32_t *words);
void print_changed(unsigned int n, const uint32_t *words);

/* Names what follows. */
void section(const char *name);

/* ioctl(fd, cmd) on a copy of n words at ARGS; prints what the call changed there. */
long call(const struct door *door, int fd, const char *name, unsigned long cmd, unsigned int n,
	  const uint32_t *words);
#define CALL(door, fd, name, ...)              \
	call(door, fd, #name, VIA_VFIO_##name, \
	     sizeof((uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t), (uint32_t[]){__VA_ARGS__})
/* As call() for one that returns a descriptor, which becomes new_fd. */
long call_fd(const struct door *door, int fd, const char *name, unsigned long cmd, unsigned int n,
	     const uint32_t *words, int new_fd);
/* The low and the high half of a 64-bit field. */
#define U64(v) (uint32_t)(uint64_t)(v), (uint32_t)((uint64_t)(v) >> 32)

/* ioctl(fd, cmd, arg) with a plain value or an address of its own. */
long call_value(const struct door *door, int fd, const char *name, unsigned long cmd,
		uintptr_t arg);
/* The same words as call(), ending at EDGE, then one word beyond it, then read-only, then nowhere.
 */
void call_faults(const struct door *door, int fd, const char *name, unsigned long cmd,
		 unsigned int n, const uint32_t *words);

/* GET_DEVICE_FD with a text; the descriptor becomes new_fd. */
long call_device_fd(const struct door *door, int group, const char *text, int new_fd);

int call_open(const struct door *door, const char *node, int fd);
void call_close(const struct door *door, int fd);
void call_read(const struct door *door, int fd, unsigned int region, uint64_t offset, size_t len,
	       uintptr_t buf);
void call_write(const struct door *door, int fd, unsigned int region, uint64_t offset, size_t len,
		uint64_t value, uintptr_t buf);
void call_mmap(const struct door *door, int fd, unsigned int region, uint64_t offset, size_t len,
	       int prot, int flags);
/* Reads an eventfd of the list without waiting; adds to it. */
void call_event(int fd);
void signal_event(int fd, uint64_t count);

/* Every number of the type, and some of others. */
void call_unknown(const struct door *door, int fd, const unsigned int *known);

/* The lists. */
void container_calls(const struct door *door, const struct subject *subject);
void group_calls(const struct door *door, const struct subject *subject);
void type1_calls(const struct door *door, const struct subject *subject);
void device_calls(const struct door *door, const struct subject *subject);
void region_calls(const struct door *door, const struct subject *subject);
void irq_calls(const struct door *door, const struct subject *subject);
void close_calls(const struct door *door, const struct subject *subject);
void all_calls(const struct door *door, const struct subject *subject);
/* In place of these: several groups and devices together. */
void pair_calls(const struct door *door, const struct pair *pair);

/* Container, group and device open; a type1v2 IOMMU set. Quiet unless it fails. */
void set_up(const struct door *door, const struct subject *subject);
void tear_down(const struct door *door);

#endif
