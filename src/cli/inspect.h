/* SPDX-License-Identifier: MIT */
/* What viaduct inspect knows of a device: what a VFIO program is told, and what is behind it. */
#ifndef VIA_CLI_INSPECT_H
#define VIA_CLI_INSPECT_H

#include "models/image/recording.h"
#include "pci/masks.h"
#include "vfio/vfio.h"

#include <stdio.h>

enum { INSPECT_REGIONS = 9, INSPECT_IRQS = 6, INSPECT_BARS = 6 };

struct inspect_region {
	int error; /* 0 or negative errno: then nothing else counts */
	uint64_t size, offset;
	uint32_t flags;
	/* First capability of the chain; id 0: none. */
	uint16_t cap_id;
	uint32_t cap_offset;
};

struct inspect_irq {
	int error;
	uint32_t count, flags;
};

struct inspect_view {
	char address[16], name[32];
	uint32_t flags, n_regions, n_irqs;
	struct inspect_region regions[INSPECT_REGIONS];
	struct inspect_irq irqs[INSPECT_IRQS];
	unsigned int config_size;
	unsigned int known; /* bytes from the start that could be found out; of the rest nothing
			       counts */
	uint8_t config[VIA_RECORDING_SIZE];
	uint32_t sizing[INSPECT_BARS], rom_sizing; /* BARs after ones were written */
	/* Behind what a program sees, while it is open. */
	uint8_t device[VIA_RECORDING_SIZE];
	struct via_config_masks masks;
};

/* Open the device that spec describes as a program would, and ask. 0 or negative errno with text.
 */
int inspect_look(const char *spec, const struct via_vfio_config *config, struct via_error *err,
		 struct inspect_view *ret_view);

/* A function of this machine, read through sysfs (mounted at sysfs, or a copy of it). */
struct inspect_host {
	char address[VIA_PCI_ADDR_LEN];
	unsigned int size,
		known; /* of its config space: bytes, and how many of them could be read */
	int fd;	       /* a recording of it, that spec names */
	char spec[96]; /* for inspect_look(), while fd is open */
	uint8_t bytes[VIA_RECORDING_SIZE]; /* its registers */
};

/* 0, -EINVAL, -ENODEV or the file's errno, with text. */
int inspect_host_open(const char *sysfs, const char *address, struct via_error *err,
		      struct inspect_host *ret_host);
void inspect_host_close(struct inspect_host *host);
/* What inspect_look() cannot know of it. */
void inspect_host_finish(const struct inspect_host *host, struct inspect_view *view);
/* Which functions there are, a line each. */
void inspect_host_list(const char *sysfs, FILE *out);

/* In the format of a recording. */
void inspect_print_recording(const struct inspect_view *view, FILE *out);

/*
 * Compare with what was told when the recording was made. Each difference is a
 * line on out; their number.
 */
unsigned int inspect_check(const struct inspect_view *view, const struct via_recording *recording,
			   FILE *out);

/*
 * For people: every register with its name, where its bits come from and which
 * a program may change.
 */
void inspect_print_people(const struct inspect_view *view, FILE *out);
/* For programs: the same as one JSON object. 0 or -ENOMEM. */
int inspect_print_json(const struct inspect_view *view, FILE *out);
/* Registers in which what a program reads differs from the device's own. */
void inspect_print_diff(const struct inspect_view *view, FILE *out);
/*
 * Registers in which config, what a program found in the end, differs from
 * what it would find when it opens the device. Their number.
 */
unsigned int inspect_print_changes(const struct inspect_view *view,
				   const struct via_recording_image *config, FILE *out);

#endif
