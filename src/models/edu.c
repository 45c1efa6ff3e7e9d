/* SPDX-License-Identifier: MIT */
/*
 * The educational device that QEMU documents in docs/specs/edu: a liveness
 * register, a factorial engine, interrupts on demand, and a DMA engine with
 * a 4 KiB buffer of its own.
 */
#include "models/catalogue.h"

#include <errno.h>
#include <stdlib.h>

#define EDU_ID 0x010000edu

enum {
	REG_ID = 0x00,
	REG_LIVENESS = 0x04,
	REG_FACTORIAL = 0x08,
	REG_STATUS = 0x20,
	REG_IRQ_STATUS = 0x24,
	REG_IRQ_RAISE = 0x60,
	REG_IRQ_ACK = 0x64,
	REG_DMA_SRC = 0x80,
	REG_DMA_DST = 0x88,
	REG_DMA_COUNT = 0x90,
	REG_DMA_CMD = 0x98,
};

#define STATUS_COMPUTING 0x01u
#define STATUS_IRQ 0x80u

#define DMA_RUN 0x1u
#define DMA_TO_RAM 0x2u
#define DMA_IRQ 0x4u

#define IRQ_FACTORIAL 0x001u
#define IRQ_DMA 0x100u

#define DMA_BUFFER 0x40000u
#define DMA_BUFFER_SIZE 4096u

/* Events for the device's thread. */
#define WORK_FACTORIAL 1u
#define WORK_DMA 2u

struct edu {
	uint64_t dma_mask; /* constant */
	/* All below: the device's lock. */
	uint32_t liveness, factorial, status, irq_status;
	uint32_t resets;
	uint64_t dma_src, dma_dst, dma_count, dma_cmd;
	uint8_t buffer[DMA_BUFFER_SIZE];
};

static const struct via_device_desc edu_desc = {
	.name = "edu",
	.ident = {
		.vendor = 0x1234,
		.device = 0x11e8,
		.subsystem_vendor = 0x1af4,
		.subsystem_device = 0x1100,
		.class_code = 0x00ff00,
		.revision = 0x10,
		.interrupt_pin = 1,
	},
	.bars[0] = {.size = 1 << 20},
	.msi = {.vectors = 1, .addr64 = true},
};

static void raise_irq(struct via_device *dev, struct edu *edu, uint32_t bits)
{
	edu->irq_status |= bits;
	if (!edu->irq_status)
		return;
	if (via_irq_message_mode(dev))
		via_irq_trigger(dev, 0);
	else
		via_irq_set_level(dev, true);
}

static void ack_irq(struct via_device *dev, struct edu *edu, uint32_t bits)
{
	edu->irq_status &= ~bits;
	if (!edu->irq_status)
		via_irq_set_level(dev, false);
}

static uint64_t edu_read(struct via_device *dev, void *model, unsigned int bar, uint64_t offset,
			 unsigned int size)
{
	const struct edu *edu = model;

	/* The document forbids these; QEMU's card answers so. */
	if (size < 4)
		return 0;
	if (offset < REG_DMA_SRC && size != 4)
		return UINT64_MAX;
	switch (offset) {
	case REG_ID:
		return EDU_ID;
	case REG_LIVENESS:
		return edu->liveness;
	case REG_FACTORIAL:
		return edu->factorial;
	case REG_STATUS:
		return edu->status;
	case REG_IRQ_STATUS:
		return edu->irq_status;
	case REG_DMA_SRC:
		return edu->dma_src;
	case REG_DMA_DST:
		return edu->dma_dst;
	case REG_DMA_COUNT:
		return edu->dma_count;
	case REG_DMA_CMD:
		return edu->dma_cmd;
	default:
		return UINT64_MAX;
	}
}

/* The registers of the DMA engine hold still while it runs. */
static void dma_write(struct via_device *dev, struct edu *edu, uint64_t *reg, uint64_t value)
{
	if (edu->dma_cmd & DMA_RUN)
		return;
	if (reg == &edu->dma_cmd && !(value & DMA_RUN))
		return;
	*reg = value;
	if (reg == &edu->dma_cmd)
		via_device_kick(dev, WORK_DMA);
}

static void edu_write(struct via_device *dev, void *model, unsigned int bar, uint64_t offset,
		      unsigned int size, uint64_t value)
{
	struct edu *edu = model;

	if (size < 4 || (offset < REG_DMA_SRC && size != 4))
		return;
	switch (offset) {
	case REG_LIVENESS:
		edu->liveness = ~(uint32_t)value;
		break;
	case REG_FACTORIAL:
		if (edu->status & STATUS_COMPUTING)
			break;
		edu->factorial = (uint32_t)value;
		edu->status |= STATUS_COMPUTING;
		via_device_kick(dev, WORK_FACTORIAL);
		break;
	case REG_STATUS:
		edu->status = (edu->status & ~STATUS_IRQ) | ((uint32_t)value & STATUS_IRQ);
		break;
	case REG_IRQ_RAISE:
		raise_irq(dev, edu, (uint32_t)value);
		break;
	case REG_IRQ_ACK:
		ack_irq(dev, edu, (uint32_t)value);
		break;
	case REG_DMA_SRC:
		dma_write(dev, edu, &edu->dma_src, value);
		break;
	case REG_DMA_DST:
		dma_write(dev, edu, &edu->dma_dst, value);
		break;
	case REG_DMA_COUNT:
		dma_write(dev, edu, &edu->dma_count, value);
		break;
	case REG_DMA_CMD:
		dma_write(dev, edu, &edu->dma_cmd, value);
		break;
	default:
		break;
	}
}

static void run_factorial(struct via_device *dev, struct edu *edu)
{
	uint32_t result = 1;

	/* Modulo 2^32 the product is 0 from 34! on, and stays so. */
	for (uint32_t n = edu->factorial; n && result; n--)
		result *= n;
	edu->factorial = result;
	edu->status &= ~STATUS_COMPUTING;
	if (edu->status & STATUS_IRQ)
		raise_irq(dev, edu, IRQ_FACTORIAL);
}

/* count bytes at addr of the card are inside its buffer. */
static bool in_buffer(uint64_t addr, uint64_t count)
{
	return addr >= DMA_BUFFER && count <= DMA_BUFFER_SIZE &&
	       addr - DMA_BUFFER <= DMA_BUFFER_SIZE - count;
}

/*
 * The bytes go without the device's lock: memory may keep the card waiting, and its
 * registers answer meanwhile. False: there has been a reset.
 */
static bool transfer(struct via_device *dev, struct edu *edu, bool to_ram, uint8_t *card,
		     uint64_t host, uint64_t count)
{
	struct via_dma *dma = via_device_dma(dev);
	const uint32_t resets = edu->resets;
	uint8_t bytes[DMA_BUFFER_SIZE];

	if (to_ram)
		memcpy(bytes, card, count);
	via_device_unlock(dev);
	/* A fault is the IOMMU's to report; the card only finishes. */
	if (to_ram)
		(void)via_dma_write(dma, host, bytes, count);
	else
		(void)via_dma_read(dma, host, bytes, count);
	via_device_lock(dev);
	if (edu->resets != resets)
		return false;
	if (!to_ram)
		memcpy(card, bytes, count);
	return true;
}

static void run_dma(struct via_device *dev, struct edu *edu)
{
	bool to_ram = edu->dma_cmd & DMA_TO_RAM;
	uint64_t card = to_ram ? edu->dma_src : edu->dma_dst;
	uint64_t host = (to_ram ? edu->dma_dst : edu->dma_src) & edu->dma_mask;

	if (in_buffer(card, edu->dma_count) &&
	    !transfer(dev, edu, to_ram, edu->buffer + (card - DMA_BUFFER), host, edu->dma_count))
		return;
	edu->dma_cmd &= ~(uint64_t)DMA_RUN;
	if (edu->dma_cmd & DMA_IRQ)
		raise_irq(dev, edu, IRQ_DMA);
}

static void edu_work(struct via_device *dev, void *model, uint64_t events)
{
	if (events & WORK_FACTORIAL)
		run_factorial(dev, model);
	if (events & WORK_DMA)
		run_dma(dev, model);
}

static void edu_reset(struct via_device *dev, void *model, enum via_reset kind)
{
	struct edu *edu = model;

	*edu = (struct edu){.dma_mask = edu->dma_mask, .resets = edu->resets + 1};
	via_irq_set_level(dev, false);
}

/* --- Migration: all registers, then the buffer ------------------------------ */

#define STATE_SIZE (56u + DMA_BUFFER_SIZE)
#define STATE_VERSION 1u

static ssize_t edu_save(struct via_device *dev, void *model, uint8_t *buf)
{
	const struct edu *edu = model;

	via_put_le64(buf, edu->dma_mask);
	via_put_le32(buf + 8, edu->liveness);
	via_put_le32(buf + 12, edu->factorial);
	via_put_le32(buf + 16, edu->status);
	via_put_le32(buf + 20, edu->irq_status);
	via_put_le64(buf + 24, edu->dma_src);
	via_put_le64(buf + 32, edu->dma_dst);
	via_put_le64(buf + 40, edu->dma_count);
	via_put_le64(buf + 48, edu->dma_cmd);
	memcpy(buf + 56, edu->buffer, DMA_BUFFER_SIZE);
	return STATE_SIZE;
}

static int edu_load(struct via_device *dev, void *model, uint32_t version, const uint8_t *buf,
		    size_t len, struct via_error *err)
{
	struct edu *edu = model;

	if (version != STATE_VERSION || len != STATE_SIZE)
		return via_error_set(err, -EINVAL, "edu: state of version %u, %zu bytes", version,
				     len);
	if (via_get_le64(buf) != edu->dma_mask)
		return via_error_set(err, -EINVAL,
				     "edu: dma_mask is 0x%llx there and 0x%llx here",
				     (unsigned long long)via_get_le64(buf),
				     (unsigned long long)edu->dma_mask);
	/* Any value of any register is one that a driver could have brought about. */
	edu->liveness = via_get_le32(buf + 8);
	edu->factorial = via_get_le32(buf + 12);
	edu->status = via_get_le32(buf + 16) & (STATUS_COMPUTING | STATUS_IRQ);
	edu->irq_status = via_get_le32(buf + 20);
	edu->dma_src = via_get_le64(buf + 24);
	edu->dma_dst = via_get_le64(buf + 32);
	edu->dma_count = via_get_le64(buf + 40);
	edu->dma_cmd = via_get_le64(buf + 48);
	memcpy(edu->buffer, buf + 56, DMA_BUFFER_SIZE);
	if (edu->status & STATUS_COMPUTING)
		via_device_kick(dev, WORK_FACTORIAL);
	if (edu->dma_cmd & DMA_RUN)
		via_device_kick(dev, WORK_DMA);
	return 0;
}

static const struct via_migration_ops edu_migration = {
	.flags = VIA_MIGRATION_P2P | VIA_MIGRATION_PRE_COPY,
	.version = STATE_VERSION,
	.max_size = STATE_SIZE,
	.save = edu_save,
	.load = edu_load,
};

static const struct via_device_ops edu_ops = {
	.read = edu_read,
	.write = edu_write,
	.work = edu_work,
	.reset = edu_reset,
	.free = free,
	.migration = &edu_migration,
};

static int edu_create(const struct via_options *opts, struct via_error *err,
		      struct via_device **ret_device)
{
	struct edu *edu = calloc(1, sizeof(*edu));

	if (!edu)
		return via_error_set(err, -ENOMEM, "edu: out of memory");
	edu->dma_mask = via_options_number(opts, "dma_mask");
	return via_device_new(&edu_desc, &edu_ops, edu, err, ret_device);
}

static const struct via_option_desc edu_options[] = {
	{
		.name = "dma_mask",
		.type = VIA_OPTION_NUMBER,
		.fallback = "0xfffffff",
		.help = "bits of a DMA address that the device can drive",
	},
	{0},
};

const struct via_model via_model_edu = {
	.name = "edu",
	.summary = "the educational PCI device that QEMU documents",
	.options = edu_options,
	.create = edu_create,
};
