/* SPDX-License-Identifier: MIT */
/*
 * A driver for the tests of the I/OAT engine: its registers, and descriptors
 * and data in an IOAS over our own memory.
 */
#ifndef VIA_MODELS_IOAT_TESTING_H
#define VIA_MODELS_IOAT_TESTING_H

#include "device/device.h"
#include "models/ioat/regs.h"

#include <viaduct/abi/vfio.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

#define IOVA 0x100000u
#define MIB ((size_t)1 << 20)
#define MEMORY (4 * MIB)
#define UNMAPPED 0x40000000u
/* In memory: descriptors, a completion, data. */
#define DESCS 0u
#define COMPLETION 0x8000u
#define SRC (1 * MIB)
#define DST (2 * MIB)

#define CHAN(reg) (IOAT_CHANNELS + (reg))

struct fixture {
	struct via_device *dev;
	struct via_ioas *ioas;
	struct via_space *space;
	uint8_t *memory;
	int irq;
};

uint64_t get(struct fixture *f, uint64_t reg, unsigned int size);
void put(struct fixture *f, uint64_t reg, unsigned int size, uint64_t value);
uint64_t desc_iova(unsigned int i);
void set_desc(struct fixture *f, unsigned int i, uint64_t src, uint64_t dst, uint32_t size,
	      uint32_t control);
void set_next(struct fixture *f, unsigned int i, uint64_t next);
enum ioat_state state(struct fixture *f);
void wait_state(struct fixture *f, enum ioat_state wanted);
void start(struct fixture *f, uint64_t chain, uint16_t count);
void command(struct fixture *f, uint8_t cmd);
void reset_channel(struct fixture *f);
void clear_errors(struct fixture *f);
uint64_t completion(struct fixture *f);
void set_command(struct via_device *dev, uint16_t value);
void arm(struct fixture *f, uint32_t index);
uint64_t events(struct fixture *f, int timeout_ms);
void fill(struct fixture *f);
uint64_t now_ms(void);
int make(const char *text, struct via_device **ret_dev);
int set_up(void **ret_state);
int tear_down(void **test_state);

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
