/* SPDX-License-Identifier: MIT */
/* One PCI function on a real kernel: by sysfs (the device's registers) and by VFIO (the view). */
#ifndef TESTS_CONFORMANCE_CONFIG_RECORD_H
#define TESTS_CONFORMANCE_CONFIG_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { SPACE = 4096, BLOCKS = 128, MAX_VECTORS = 8 };

/* A capability of the device's own lists; id is the extended one from 0x100 on. */
struct block {
	unsigned int start, id, len;
};

struct function {
	char address[16];
	char token[64]; /* " vf_token=..." to open it with, or "" */
	int sysfs;	/* config file: reaches the device's registers */
	int group, device;
	unsigned int size; /* of config space */
	uint8_t raw[SPACE];
	unsigned int raise; /* byte whose writes raise status bits, 0: none */
	struct block blocks[BLOCKS];
	unsigned int n_blocks;
	/* What must not be written, neither by the probe nor by the script. */
	uint8_t dangerous[SPACE];
};

_Noreturn void die(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* The lists of raw, as far as they make sense. */
void find_blocks(struct function *f);
const struct block *find_block(const struct function *f, unsigned int from, unsigned int id);

void print_image(const char *name, const uint8_t *bytes, unsigned int size);

/* Which bits of the device's registers change, and which a one clears. Puts things back. */
void probe(struct function *f, uint8_t *writable, uint8_t *w1c);
/* Of those from 0x40 on, what a reset of the open function sets back. Without a reset: none. */
void probe_reset(struct function *f, const uint8_t *writable, uint8_t *lost);

/* n reads and writes of the view that follow from the seed; each is a line of output. */
void script(struct function *f, uint64_t seed, unsigned int n);

ssize_t view_read(const struct function *f, uint64_t pos, void *buf, size_t len);
ssize_t view_write(const struct function *f, uint64_t pos, const void *buf, size_t len);
/* SET_IRQS: vectors 0 to n - 1 of index get eventfds; n 0: disarm. VFIO_DEVICE_RESET. */
int set_irqs(const struct function *f, unsigned int index, unsigned int n);
int reset_function(const struct function *f);

#endif
