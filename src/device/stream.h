/* SPDX-License-Identifier: MIT */
/*
 * The stream in which a device's state travels. Little-endian.
 *
 * A stream is a sequence of records: a head of 24 bytes (type 4, length of the
 * body 4, where 8, checksum 4, zero 4), and a body of at most VIA_STREAM_BODY
 * bytes. The checksum is CRC-32C over that of the record before (of the first:
 * 0), the first 16 bytes of the head, and the body: so a record that is damaged,
 * missing or in the wrong place is noticed.
 *
 *	IDENT	first. Says whose state it is: struct via_stream_ident's fields
 *	MODEL	bytes of the model's state, where: offset. A later record takes
 *		the place of what an earlier one gave
 *	CONFIG	config space, once
 *	IRQS	the interrupt engine, once
 *	MEMORY + n	bytes of a doorbell or memory area of BAR n, where: offset.
 *		What no record gives is zero
 *	END	last. where: length of the model's state
 *
 * Before the copy of a running device only IDENT and MODEL are given; what has
 * changed of the model's bytes since is given again.
 */
#ifndef VIA_DEVICE_STREAM_H
#define VIA_DEVICE_STREAM_H

#include "device/internal.h"

#define VIA_STREAM_HEAD 24u
#define VIA_STREAM_BODY 65536u

enum {
	VIA_STREAM_IDENT = 1,
	VIA_STREAM_MODEL = 2,
	VIA_STREAM_CONFIG = 3,
	VIA_STREAM_IRQS = 4,
	VIA_STREAM_END = 5,
	VIA_STREAM_MEMORY = 16, /* BAR 0 to 5 */
};

#define VIA_STREAM_MAGIC 0x31746375646169ull /* "iaduct1" */
#define VIA_STREAM_VERSION 1u

/*
 * Body of IDENT: magic 8, version 4, version of the model's bytes 4, vendor 2,
 * device 2, subsystem vendor 2, subsystem device 2, class code 4, hash of the
 * layout of config space 8, sizes of CONFIG 4 and IRQS 4, for each BAR its size 8
 * and areas hash 8, name of the model 32.
 */
#define VIA_STREAM_NAME_SIZE 32u
#define VIA_STREAM_IDENT_SIZE (48u + 16u * VIA_PCI_BARS + VIA_STREAM_NAME_SIZE)

/* What a record of IDENT says of this device. */
void via_stream_ident(const struct via_device *dev, uint8_t body[VIA_STREAM_IDENT_SIZE]);

uint32_t via_crc32c(uint32_t crc, const void *data, size_t len);
/* Checksum of the record that is in record, after one whose checksum was before. */
uint32_t via_stream_crc(uint32_t before, const uint8_t *record, size_t body_len);

/*
 * The next page of doorbell and memory areas at or after *offset that is not all
 * zero, whose offset is stored. With memory_lock held.
 */
bool via_stream_next_memory(const struct via_bar *bar, uint64_t *offset);

/* --- Out: under the migration lock --- */

struct via_stream_out;

int via_stream_out_new(struct via_device *dev, struct via_stream_out **ret_out);
void via_stream_out_free(struct via_stream_out *out);
/* The device has been stopped: give all that is missing, and the end. */
void via_stream_out_finish(struct via_stream_out *out);
/*
 * Bytes to be had at *ret_bytes, up to the end of a record. 0: the end;
 * -ENOMSG: nothing more before via_stream_out_finish(); a model's errno.
 */
ssize_t via_stream_out_peek(struct via_stream_out *out, const uint8_t **ret_bytes);
/* Which byte of the stream that is, counted from its start. */
uint64_t via_stream_out_position(const struct via_stream_out *out);
void via_stream_out_advance(struct via_stream_out *out, size_t n);
/* What is left before the copy: of what was there when the stream began, and of what changed since.
 */
int via_stream_out_left(struct via_stream_out *out, uint64_t *ret_initial, uint64_t *ret_dirty);
/* All of a stream, at most. */
uint64_t via_stream_size(struct via_device *dev);

/* --- In: under the migration lock --- */

struct via_stream_in;

/* Takes the memory areas as zero. */
int via_stream_in_new(struct via_device *dev, struct via_stream_in **ret_in);
void via_stream_in_free(struct via_stream_in *in);
/* len, or -EINVAL: logged why, and nothing is taken any more. */
ssize_t via_stream_in_write(struct via_stream_in *in, const uint8_t *buf, size_t len);
/* -EINVAL with a line in the log: cut off, or refused before. */
int via_stream_in_complete(struct via_stream_in *in);
/* Make it the device's state. After a failure the device is neither one thing nor the other. */
int via_stream_in_apply(struct via_stream_in *in);

#endif
