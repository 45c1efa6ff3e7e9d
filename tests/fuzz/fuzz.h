/* SPDX-License-Identifier: MIT */
/*
 * What the fuzz targets share. An input is a byte string that a target reads
 * as a program: a few bytes choose each step and its numbers, and where the
 * string ends, zeros follow. Reading never fails, so that every mutation of an
 * input means something.
 */
#ifndef VIA_TESTS_FUZZ_H
#define VIA_TESTS_FUZZ_H

#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What must hold whatever the input is. */
#define FUZZ_CHECK(what)                                                                           \
	do {                                                                                       \
		if (!(what)) {                                                                     \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #what);         \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

/* Steps of one input; more would only make it slow. */
#define FUZZ_STEPS 128

struct fuzz_input {
	const uint8_t *at;
	size_t left;
};

/* The next n <= 8 bytes as a little-endian number. */
static inline uint64_t fuzz_take(struct fuzz_input *in, unsigned int n)
{
	uint64_t value = 0;

	for (unsigned int i = 0; i < n && in->left; i++, in->left--)
		value |= (uint64_t)*in->at++ << 8 * i;
	return value;
}

static inline uint8_t fuzz_u8(struct fuzz_input *in)
{
	return (uint8_t)fuzz_take(in, 1);
}

static inline uint16_t fuzz_u16(struct fuzz_input *in)
{
	return (uint16_t)fuzz_take(in, 2);
}

static inline uint32_t fuzz_u32(struct fuzz_input *in)
{
	return (uint32_t)fuzz_take(in, 4);
}

static inline uint64_t fuzz_u64(struct fuzz_input *in)
{
	return fuzz_take(in, 8);
}

static inline void fuzz_bytes(struct fuzz_input *in, void *buf, size_t len)
{
	size_t n = len < in->left ? len : in->left;

	if (n)
		memcpy(buf, in->at, n);
	memset((uint8_t *)buf + n, 0, len - n);
	in->at += n;
	in->left -= n;
}

/* A number of any size, likely one near which limits lie. */
static inline uint64_t fuzz_number(struct fuzz_input *in)
{
	uint8_t kind = fuzz_u8(in);

	switch (kind & 3) {
	case 0:
		return kind >> 2;
	case 1:
		return (uint64_t)fuzz_u16(in) << 12 | (kind >> 2);
	case 2:
		return (1ull << (kind >> 2)) + (uint64_t)(int64_t)(int8_t)fuzz_u8(in);
	default:
		return fuzz_u64(in);
	}
}

/* The rest of the input as text, owned by the caller; it ends at the first NUL. */
static inline char *fuzz_text(struct fuzz_input *in)
{
	size_t n = in->left;
	char *text = malloc(n + 1);

	FUZZ_CHECK(text);
	fuzz_bytes(in, text, n);
	text[n] = '\0';
	return text;
}

#define FUZZ_FDS 640

/* Open descriptors below FUZZ_FDS: a target has as many afterwards as before. */
static inline unsigned int fuzz_count_fds(void)
{
	struct pollfd fds[FUZZ_FDS];
	unsigned int n = 0;

	/* One call for all of them. */
	for (int fd = 0; fd < FUZZ_FDS; fd++)
		fds[fd] = (struct pollfd){.fd = fd};
	FUZZ_CHECK(poll(fds, FUZZ_FDS, 0) >= 0);
	for (int fd = 0; fd < FUZZ_FDS; fd++)
		n += !(fds[fd].revents & POLLNVAL);
	return n;
}

#endif
