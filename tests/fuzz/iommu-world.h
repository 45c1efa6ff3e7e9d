/* SPDX-License-Identifier: MIT */
/*
 * A program and what it has of I/O address spaces: its machine, its descriptors, the
 * ids of its objects. Steps of an input change it.
 */
#ifndef VIA_TESTS_FUZZ_IOMMU_WORLD_H
#define VIA_TESTS_FUZZ_IOMMU_WORLD_H

#include "arena.h"
#include "iommu-calls.h"

#include "vfio/test-caller.h"
#include "vfio/vfio.h"

#define KINDS 8u /* of machines; odd ones are in profile linux */
#define IDS 8u	 /* that are remembered of a kind */
#define IOVA 0x1000000ull
#define BIG_BASE (ARENA_BASE + 0x4000000ull) /* memory for large pages */
#define BIG_SIZE 0x400000ull
#define BAR_BASE (ARENA_BASE + 0x40000ull) /* where the program maps BARs */
#define BAR_PAGES 4u
#define ARGUMENT ARENA_BASE
#define BUFFER (ARENA_BASE + ARENA_PAGE)

/* Descriptors of the program. */
enum {
	FD_IOMMUFD,
	FD_IOMMUFD_2,
	FD_CONTAINER,
	FD_GROUP,
	FD_GROUP_2,
	FD_DEVICE,
	FD_DEVICE_2,
	FD_RESULT, /* what calls give, in turn */
	FD_RESULTS = 5,
	FD_FILES = FD_RESULT + FD_RESULTS,
	FD_EVENT = FD_FILES,
	FD_MEMORY,
	FD_MEMORY_READ_ONLY,
	FD_NONE,
	FDS,
};

struct ids {
	uint32_t id[IDS];
	unsigned int n;
};

struct world {
	struct test_caller tc;
	struct via_vfio *vfio;
	struct via_mm *mm; /* of the program; calls may come from another one */
	unsigned int kind;
	int fds[FDS]; /* -1: none */
	unsigned int n_results;
	struct ids ids[ID_KINDS];
	size_t saved; /* bytes of a device's state that have been read, in page 8 */
	struct via_file *mapped_file; /* whose region that is; a reference */
};

/* Descriptors: one that there is already is closed first. */
void world_forget(struct world *s, unsigned int i);
void world_put_fd(struct world *s, unsigned int i, int fd);
/* Of whatever a call has given. */
void world_got_fd(struct world *s, int fd);
int world_open(struct world *s, const char *node, unsigned int i);
/* The file behind one, with a reference; < 0: there is none. */
long world_file(struct world *s, unsigned int i, struct via_file **ret_file);
void world_remember(struct world *s, unsigned int kind, uint32_t id);

/* From nothing to what a program has after its first calls (how: in which way). */
void world_init(struct world *s, unsigned int kind);
void world_begin(struct world *s, uint8_t how);
void world_deinit(struct world *s);

#endif
