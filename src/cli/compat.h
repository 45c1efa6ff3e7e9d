/* SPDX-License-Identifier: MIT */
/* viaduct compat: what a VFIO program is answered, where the ways to ask differ. */
#ifndef VIA_CLI_COMPAT_H
#define VIA_CLI_COMPAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* How the program asks. */
enum compat_mode {
	COMPAT_TYPE1,  /* /dev/vfio/vfio */
	COMPAT_COMPAT, /* /dev/iommu as a container */
	COMPAT_NATIVE, /* /dev/iommu and device nodes */
	COMPAT_SPAPR,  /* /dev/vfio/vfio of a POWER machine */
	COMPAT_MODES,
};

/* Two functions that are edu devices. */
struct compat_place {
	const char *address[2];
	unsigned int group[2];
};

/* A question. ask() writes its answer, "-" where it cannot be asked. */
struct compat_session;
struct compat_question {
	const char *id;	  /* "gap-1", "row-3" */
	const char *text;
	void (*ask)(struct compat_session *s);
};

extern const struct compat_question compat_gaps[], compat_rows[]; /* ended by id NULL */

/* Ask all, on whatever kernel there is: a line "id TAB answer" each. */
void compat_ask_all(enum compat_mode mode, const struct compat_place *place, FILE *out);

/* compat-client.c: a program's session ------------------------------------- */

struct compat_session {
	enum compat_mode mode;
	const struct compat_place *place;
	int container; /* or the iommufd */
	int group, device, second_group, second_device;
	uint32_t devid, ioas;
	uint8_t *memory; /* 16 pages */
	char answer[160];
};

#define COMPAT_PAGE 4096u
#define COMPAT_IOVA 0x1000000ull

/* Says it once more, behind what has been said. */
void compat_say(struct compat_session *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* "0", a number, or an errno's name. */
void compat_say_result(struct compat_session *s, long result);

/* Each result is the call's, or -1 with errno turned into a negative return. */
long compat_ioctl(int fd, unsigned long command, void *arg);
/* Container and, with type 1 or 3, SET_IOMMU; the group is in. 0 or negative errno. */
int compat_open(struct compat_session *s, unsigned int type);
/* The device too (native: bound, attached to an IOAS). */
int compat_open_device(struct compat_session *s, unsigned int type);
int compat_open_second(struct compat_session *s);
void compat_close(struct compat_session *s);

long compat_map_at(struct compat_session *s, uint64_t iova, uint64_t va, uint64_t len, uint32_t flags);
long compat_map(struct compat_session *s, uint64_t iova, unsigned int page, unsigned int n);
long compat_unmap(struct compat_session *s, uint64_t iova, uint64_t len, uint32_t flags,
		  uint64_t *ret_size);

/* edu: registers through the device file. */
uint64_t compat_read(struct compat_session *s, int device, unsigned int offset, unsigned int size);
void compat_write(struct compat_session *s, int device, unsigned int offset, unsigned int size,
		  uint64_t value);
/* Let the first device write len bytes of its buffer, filled with byte, to iova. */
void compat_dma_write(struct compat_session *s, uint64_t iova, unsigned int len);
/* Command register: memory and bus mastering. */
void compat_command(struct compat_session *s, int device, uint16_t command);

#endif
