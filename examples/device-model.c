/* SPDX-License-Identifier: MIT */
/*
 * A whole device model: a mailbox that capitalises messages.
 *
 * The driver writes the address and length of a message in its own memory,
 * rings the doorbell with a tag of its choice, and gets an MSI-X interrupt when
 * the message has been rewritten in place. Registers (BAR 0):
 *
 *   0x0000  R   identification, "MBOX"
 *   0x0004  RW  scratch
 *   0x0008  RW  message address (8 bytes)
 *   0x0010  RW  message length, at most 4096
 *   0x0014  R   status of the last message: 0 done, 1 bad length, 2 DMA fault
 *   0x0018  R   tag of the last message
 *   0x001c  R   messages served since reset
 *   0x1000  W   doorbell: a tag other than 0; may be mapped
 *   0x2000      MSI-X table, 0x3000 pending bits
 *
 * Everything else that a PCI function has (config space, sizing, masks, resets,
 * mappings, DMA protection) is the library's.
 */
#include <viaduct/device.h>

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#define MESSAGE_MAX 4096u

struct mailbox {
	uint32_t scratch, length, status, tag, served;
	uint64_t address;
};

static uint64_t mailbox_read(struct via_device *dev, void *model, unsigned int bar,
			     uint64_t offset, unsigned int size)
{
	const struct mailbox *m = model;

	switch (offset) {
	case 0x00: return 0x584f424d;
	case 0x04: return m->scratch;
	case 0x08: return m->address;
	case 0x10: return m->length;
	case 0x14: return m->status;
	case 0x18: return m->tag;
	case 0x1c: return m->served;
	default: return 0;
	}
}

static void mailbox_write(struct via_device *dev, void *model, unsigned int bar, uint64_t offset,
			  unsigned int size, uint64_t value)
{
	struct mailbox *m = model;

	switch (offset) {
	case 0x04: m->scratch = (uint32_t)value; break;
	case 0x08: m->address = value; break;
	case 0x10: m->length = (uint32_t)value; break;
	default: break;
	}
}

static uint32_t capitalise(struct via_device *dev, const struct mailbox *m)
{
	uint8_t message[MESSAGE_MAX];

	if (!m->length || m->length > MESSAGE_MAX)
		return 1;
	if (via_dma_read(via_device_dma(dev), m->address, message, m->length))
		return 2;
	for (uint32_t i = 0; i < m->length; i++)
		message[i] = (uint8_t)toupper(message[i]);
	return via_dma_write(via_device_dma(dev), m->address, message, m->length) ? 2 : 0;
}

static bool mailbox_doorbell(struct via_device *dev, void *model, unsigned int bar)
{
	uint32_t *bell = via_device_region_memory(dev, 0, 0x1000); /* little-endian */
	uint32_t tag = VIA_SWAP_LE(32, __atomic_exchange_n(bell, 0, __ATOMIC_ACQ_REL));
	struct mailbox *m = model;

	if (!tag)
		return false;
	m->status = capitalise(dev, m);
	m->tag = tag;
	m->served++;
	via_irq_trigger(dev, 0);
	return true;
}

static void mailbox_reset(struct via_device *dev, void *model, enum via_reset kind)
{
	uint32_t *bell = via_device_region_memory(dev, 0, 0x1000);

	__atomic_store_n(bell, 0, __ATOMIC_RELAXED);
	*(struct mailbox *)model = (struct mailbox){0};
}

static const struct via_area mailbox_areas[] = {{0x1000, 0x1000, VIA_AREA_DOORBELL}};

static const struct via_device_desc mailbox_desc = {
	.name = "mailbox",
	.ident = {.vendor = 0x1b36, .device = 0x00ff, .class_code = 0x088000, .revision = 1},
	.bars[0] = {.size = 0x4000, .flags = VIA_BAR_MEM64, .areas = mailbox_areas, .n_areas = 1,
		    .valid_min = 4},
	.msix = {.vectors = 1, .table_offset = 0x2000, .pba_offset = 0x3000},
	.express = {.present = true},
	.power_management = true,
};

static const struct via_device_ops mailbox_ops = {
	.read = mailbox_read,
	.write = mailbox_write,
	.doorbell = mailbox_doorbell,
	.reset = mailbox_reset,
	.free = free,
};

/* What a program that links the library calls to get the device. */
int mailbox_new(struct via_error *err, struct via_device **ret_device);

int mailbox_new(struct via_error *err, struct via_device **ret_device)
{
	struct mailbox *m = calloc(1, sizeof(*m));

	if (!m)
		return via_error_set(err, -ENOMEM, "mailbox: out of memory");
	return via_device_new(&mailbox_desc, &mailbox_ops, m, err, ret_device);
}
