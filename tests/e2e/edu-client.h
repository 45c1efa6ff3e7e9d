/* SPDX-License-Identifier: MIT */
/*
 * The edu device as the programs of this directory use it, by plain VFIO: a
 * container, a group, a device, its first BAR mapped. A failed check ends the program.
 */
#ifndef EDU_CLIENT_H
#define EDU_CLIENT_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

enum { ID = 0x0, LIVENESS = 0x4, EDU_ID = 0x010000ed, PAGE = 4096 };
/* Registers of its DMA engine, its own memory, and the two directions. */
enum { DMA_SRC = 0x80, DMA_DST = 0x88, DMA_COUNT = 0x90, DMA_CMD = 0x98, CARD = 0x40000 };
enum { TO_CARD = 0x1, FROM_CARD = 0x3 };

#define CHECK(what)                                                                            \
	do {                                                                                   \
		if (!(what)) {                                                                 \
			fprintf(stderr, "%s:%d: not so: %s (%s)\n", __FILE__, __LINE__, #what, \
				strerror(errno));                                              \
			exit(1);                                                               \
		}                                                                              \
	} while (0)

extern const char *group_path, *bdf;
extern int container, group, device;
extern uint64_t bar_offset, config_offset;
extern volatile uint8_t *bar;

static inline volatile uint32_t *reg(uint32_t offset)
{
	return (volatile uint32_t *)(bar + offset);
}

/* group: its number; address: of the function. */
void edu_client_init(const char *group_number, const char *address);
void open_fds(void);
void find_regions(void);
void *map_bar(void);
void memory_enable(bool on);
/* open_fds() and all that follows; and the end of it. */
void open_all(void);
void close_all(void);
/* The device answers: by the mapping, and by its registers' values. */
void alive(void);

/* One page between the device's memory and an IOVA. */
void edu_dma(uint32_t from, uint32_t to, uint32_t command);
/* Memory for DMA: private, anonymous, readable and writable; or what is there already. */
uint8_t *dma_memory(uint64_t iova, size_t len);
void dma_map(uint64_t iova, void *memory, size_t len);
void dma_unmap(uint64_t iova, size_t len);

int child_status(pid_t pid);

/*
 * The main program of a file of cases: "GROUP BDF [CASE]" runs one or all and
 * prints TAP lines. "GROUP BDF child_arg FDS" is a program that a case has
 * executed: child(FDS) is its status.
 */
struct edu_case {
	const char *name;
	void (*run)(void);
};
int edu_cases_main(int argc, char **argv, const struct edu_case *cases, size_t n_cases,
		   const char *child_arg, int (*child)(const char *fds));

#endif
