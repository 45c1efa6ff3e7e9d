/* SPDX-License-Identifier: MIT */
/*
 * Recordings of real functions: what tests/conformance/record-config writes
 * and `viaduct inspect --recording` reads. Text, one fact a line:
 *
 *	device DDDD:BB:DD.F
 *	resource N START LAST FLAGS	BARs 0 to 5 and the ROM, as sysfs shows them, hex
 *	reset_method NAME...		nothing after it: the function cannot be reset
 *	vpd BYTES			vital product data from its start, hex without blanks;
 *				further lines go on where the one before ended
 *	lost OFFSET BYTES		bits that a reset of the function sets back to what they
 *				were when a program opened it, hex without blanks
 *	raise OFFSET			of the byte that raises status bits: in all registers those
 *				of dev_w1c at which what is written to it has ones
 *	NAME SIZE			of an image; then lines "OFFSET: BYTE..." of 32 bytes, hex;
 *					what is left out is zero
 *
 * Images: config_before_open and config_while_open (the device's registers),
 * config_vfio (what a VFIO program reads), dev_writable and dev_w1c (which of
 * the device's bits writes change, and which a one clears). Other lines are
 * what a VFIO program was told; they are kept as text.
 */
#ifndef VIA_MODELS_IMAGE_RECORDING_H
#define VIA_MODELS_IMAGE_RECORDING_H

#include <viaduct/base.h>

#include <stdio.h>

#define VIA_RECORDING_SIZE 4096u
#define VIA_RECORDING_RESOURCES 7u
#define VIA_RECORDING_VPD_SIZE 32768u

/* Of a resource line: the bits of Linux's IORESOURCE_* that say what it is. */
#define VIA_RESOURCE_ROM_SHADOW 0x00000002u /* a copy in memory that firmware made */
#define VIA_RESOURCE_IO 0x00000100u
#define VIA_RESOURCE_MEM 0x00000200u
#define VIA_RESOURCE_PREFETCH 0x00002000u
#define VIA_RESOURCE_MEM_64 0x00100000u

struct via_recording_resource {
	uint64_t start, size; /* size 0: none */
	uint64_t flags;
};

/* An image of config space; size 0: the recording has none. */
struct via_recording_image {
	unsigned int size; /* 256 or 4096 */
	uint8_t bytes[VIA_RECORDING_SIZE];
};

struct via_recording {
	char device[16]; /* address, "" if not told */
	struct via_recording_resource resources[VIA_RECORDING_RESOURCES];
	bool can_reset;
	struct via_recording_image before, open, vfio, writable, w1c;
	uint8_t lost[VIA_RECORDING_SIZE];
	unsigned int raise; /* 0: none */
	unsigned int vpd_len;
	uint8_t vpd[VIA_RECORDING_VPD_SIZE];
	/* What a VFIO program was told, line by line, as in the file. Owned. */
	char **told;
	size_t n_told;
};

/*
 * Read all of file. *ret_recording is released by via_recording_free(). 0;
 * -EINVAL with a text that names the line; -ENOMEM.
 */
int via_recording_read(FILE *file, struct via_error *err, struct via_recording **ret_recording);
void via_recording_free(struct via_recording *recording);

/* The device's registers while a program had it open, or the best that there is; NULL: none. */
const struct via_recording_image *via_recording_raw(const struct via_recording *recording);

/* The line of what was told that starts with these words, or NULL. */
const char *via_recording_told(const struct via_recording *recording, const char *words);

/* An image as recordings have it: its name, and lines of 32 bytes. */
void via_recording_write_image(FILE *file, const char *name, const uint8_t *bytes,
			       unsigned int size);

#endif
