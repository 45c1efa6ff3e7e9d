/* SPDX-License-Identifier: MIT */
/*
 * A function for the fuzz targets, with the capabilities that an input
 * chooses. Its registers do to the library what models do: messages, the
 * interrupt line, DMA both ways, work for the device's thread. Making one is
 * slow, so each kind is made once and an input begins with its first open.
 */
#ifndef VIA_TESTS_FUZZ_FUNCTION_H
#define VIA_TESTS_FUZZ_FUNCTION_H

#include "fuzz.h"

#include "device/device.h"

#include <errno.h>

enum function_bits {
	FUNCTION_EXPRESS = 1 << 0, /* and power management */
	FUNCTION_MSI = 1 << 1,
	FUNCTION_MSI_LARGE = 1 << 2, /* 64-bit address, mask bits */
	FUNCTION_MSIX = 1 << 3,
	FUNCTION_BAR_64 = 1 << 4,
	FUNCTION_NO_PIN = 1 << 5,
	FUNCTION_KINDS = 1 << 6,
	FUNCTION_MIGRATES = 1 << 7, /* of function_new() only */
};

/* Registers of BAR 0. */
enum {
	FUNCTION_REG_TRIGGER = 0x00, /* write: send this message */
	FUNCTION_REG_LEVEL = 0x08,   /* bit 0: the line */
	FUNCTION_REG_KICK = 0x10,    /* write: work */
	FUNCTION_REG_READ = 0x18,    /* write: read 64 bytes of memory there */
	FUNCTION_REG_WRITE = 0x20,   /* write: write them back there */
};

struct function {
	struct via_device_desc desc;
	uint64_t level;
	uint8_t bytes[64];
};

static inline uint64_t function_read(struct via_device *dev, void *model, unsigned int bar,
				     uint64_t offset, unsigned int size)
{
	struct function *f = model;

	return bar == 0 && offset == FUNCTION_REG_LEVEL ? f->level : offset;
}

static inline void function_write(struct via_device *dev, void *model, unsigned int bar,
				  uint64_t offset, unsigned int size, uint64_t value)
{
	struct function *f = model;

	if (bar != 0)
		return;
	switch (offset) {
	case FUNCTION_REG_TRIGGER:
		via_irq_trigger(dev, (unsigned int)value);
		break;
	case FUNCTION_REG_LEVEL:
		f->level = value & 1;
		via_irq_set_level(dev, f->level);
		break;
	case FUNCTION_REG_KICK:
		via_device_kick(dev, value);
		break;
	case FUNCTION_REG_READ:
		(void)via_dma_read(via_device_dma(dev), value, f->bytes, sizeof(f->bytes));
		break;
	case FUNCTION_REG_WRITE:
		(void)via_dma_write(via_device_dma(dev), value, f->bytes, sizeof(f->bytes));
		break;
	default:
		break;
	}
}

static inline bool function_doorbell(struct via_device *dev, void *model, unsigned int bar)
{
	return false;
}

static inline void function_work(struct via_device *dev, void *model, uint64_t events)
{
	via_irq_trigger(dev, (unsigned int)(events & 3));
}

static inline void function_reset(struct via_device *dev, void *model, enum via_reset kind)
{
	struct function *f = model;

	f->level = 0;
	via_irq_set_level(dev, false);
}

static inline ssize_t function_save(struct via_device *dev, void *model, uint8_t *buf)
{
	const struct function *f = model;

	memcpy(buf, f->bytes, sizeof(f->bytes));
	return sizeof(f->bytes);
}

static inline int function_load(struct via_device *dev, void *model, uint32_t version,
				const uint8_t *buf, size_t len, struct via_error *err)
{
	struct function *f = model;

	if (len != sizeof(f->bytes))
		return -EINVAL;
	memcpy(f->bytes, buf, len);
	return 0;
}

static inline struct via_device *function_new(unsigned int bits)
{
	static const struct via_area areas[] = {
		{0x0000, 0x1000, VIA_AREA_REGISTER},
		{0x1000, 0x1000, VIA_AREA_DOORBELL},
		{0x2000, 0x2000, VIA_AREA_MEMORY},
	};
	static const struct via_device_ops ops = {
		.read = function_read,
		.write = function_write,
		.doorbell = function_doorbell,
		.work = function_work,
		.reset = function_reset,
		.free = free,
	};
	static const struct via_migration_ops migration = {
		.flags = VIA_MIGRATION_P2P | VIA_MIGRATION_PRE_COPY,
		.version = 1,
		.max_size = sizeof(((struct function *)NULL)->bytes),
		.save = function_save,
		.load = function_load,
	};
	static const struct via_device_ops migrating = {
		.read = function_read,
		.write = function_write,
		.doorbell = function_doorbell,
		.work = function_work,
		.reset = function_reset,
		.free = free,
		.migration = &migration,
	};
	struct function *f = calloc(1, sizeof(*f));
	struct via_error err = {0};
	struct via_device *dev;

	FUZZ_CHECK(f);
	f->desc = (struct via_device_desc){
		.name = "function",
		.ident = {.vendor = 0x1af4,
			  .device = 0x10f0,
			  .class_code = 0x010802,
			  .interrupt_pin = bits & FUNCTION_NO_PIN ? 0 : 1},
		.bars =
			{
				[0] = {.size = 0x4000,
				       .flags = bits & FUNCTION_BAR_64 ? VIA_BAR_MEM64 : 0,
				       .areas = areas,
				       .n_areas = 3},
				[2] = {.size = 0x2000},
				[4] = {.size = 0x40, .flags = VIA_BAR_IO},
			},
		.power_management = bits & FUNCTION_EXPRESS,
	};
	if (bits & FUNCTION_MSI)
		f->desc.msi = (struct via_pci_msi){.vectors = 4,
						   .addr64 = bits & FUNCTION_MSI_LARGE,
						   .maskable = bits & FUNCTION_MSI_LARGE};
	if (bits & FUNCTION_MSIX)
		f->desc.msix = (struct via_pci_msix){
			.vectors = 5, .table_bar = 2, .pba_bar = 2, .pba_offset = 0x1000};
	f->desc.express.present = bits & FUNCTION_EXPRESS;
	if (via_device_new(&f->desc, bits & FUNCTION_MIGRATES ? &migrating : &ops, f, &err, &dev) < 0) {
		fprintf(stderr, "%s\n", err.text);
		abort();
	}
	return dev;
}

static struct via_device *function_made[FUNCTION_KINDS];

static inline void function_free_all(void)
{
	for (unsigned int bits = 0; bits < FUNCTION_KINDS; bits++) {
		via_device_free(function_made[bits]);
		function_made[bits] = NULL;
	}
}

/* The one of this kind; closed. They go when the program ends. */
static inline struct via_device *function_get(unsigned int bits)
{
	static bool will_free;
	struct via_device **made = function_made;

	if (!will_free)
		will_free = !atexit(function_free_all);
	bits %= FUNCTION_KINDS;
	if (!made[bits])
		made[bits] = function_new(bits);
	return made[bits];
}

#endif
