/* SPDX-License-Identifier: MIT */
/*
 * The register file in words of 8 bytes: an access of any width is a mask of one
 * word, so that a register is read, written or has its side effect exactly when
 * a byte of it is touched.
 */
#include "models/ioat/ioat.h"

#define CHANNELS 1u
/* DMACAPABILITY: copying is not a capability, and nothing else is offered. */
#define CAPABILITIES 0u

/* The bits of a word that an access touches. */
struct access {
	uint64_t word; /* offset */
	uint64_t mask;
	uint64_t value; /* of a write, in place */
};

static struct access access_of(uint64_t offset, unsigned int size, uint64_t value)
{
	unsigned int shift = 8 * (unsigned int)(offset & 7);
	uint64_t mask = size == 8 ? UINT64_MAX : (1ull << 8 * size) - 1;

	return (struct access){offset & ~7ull, mask << shift, (value & mask) << shift};
}

/* A register of @bits bits at @reg of the device. */
static uint64_t reg_mask(unsigned int reg, unsigned int bits)
{
	return (bits == 64 ? UINT64_MAX : (1ull << bits) - 1) << 8 * (reg & 7);
}

static bool touches(const struct access *a, unsigned int reg, unsigned int bits)
{
	return a->word == (reg & ~7u) && (a->mask & reg_mask(reg, bits));
}

/* What the register becomes: the bytes that the access writes, the rest as it was. */
static uint64_t merge(const struct access *a, unsigned int reg, unsigned int bits, uint64_t old)
{
	uint64_t mask = a->mask & reg_mask(reg, bits);
	unsigned int shift = 8 * (reg & 7);

	return (old & ~(mask >> shift)) | (a->value & mask) >> shift;
}

/* The bits that the access writes as 1. */
static uint64_t ones(const struct access *a, unsigned int reg, unsigned int bits)
{
	return (a->value & a->mask & reg_mask(reg, bits)) >> 8 * (reg & 7);
}

static uint64_t in_place(unsigned int reg, uint64_t value)
{
	return value << 8 * (reg & 7);
}

static uint64_t read_word(const struct via_ioat *ioat, uint64_t word)
{
	switch (word) {
	case IOAT_CHANCNT:
		return in_place(IOAT_CHANCNT, CHANNELS) |
		       in_place(IOAT_XFERCAP, ioat->xfercap) |
		       in_place(IOAT_GENCTRL, ioat->genctrl) |
		       in_place(IOAT_INTRCTRL, via_ioat_intrctrl(ioat)) |
		       in_place(IOAT_ATTNSTATUS, ioat->attnstatus);
	case IOAT_CBVER:
		return in_place(IOAT_CBVER, IOAT_CBVER_3_2);
	case IOAT_DMACAPABILITY:
		return in_place(IOAT_DMACAPABILITY, CAPABILITIES);
	case IOAT_CHANNELS + IOAT_CHANCTRL:
		return in_place(IOAT_CHANCTRL, ioat->chanctrl) |
		       in_place(IOAT_DMA_COMP, IOAT_DMA_COMP_V2 | IOAT_DMA_COMP_V3) |
		       in_place(IOAT_CHANCMD, via_ioat_channel_pending(ioat)) |
		       in_place(IOAT_DMACOUNT, ioat->dmacount);
	case IOAT_CHANNELS + IOAT_CHANSTS:
		return ioat->completed | ioat->state;
	case IOAT_CHANNELS + IOAT_CHAINADDR:
		return ioat->chainaddr;
	case IOAT_CHANNELS + IOAT_CHANCMP:
		return ioat->chancmp;
	case IOAT_CHANNELS + IOAT_CDAR:
		return ioat->cdar;
	case IOAT_CHANNELS + IOAT_CHANERR:
		return in_place(IOAT_CHANERR, ioat->chanerr) |
		       in_place(IOAT_CHANERRMSK, ioat->chanerrmsk);
	default:
		return 0;
	}
}

static void read_side_effects(struct via_ioat *ioat, const struct access *a)
{
	bool line = false;

	if (touches(a, IOAT_INTRCTRL, 8)) {
		ioat->master_int_en = false;
		line = true;
	}
	if (touches(a, IOAT_ATTNSTATUS, 32)) {
		ioat->attnstatus &= ~(uint32_t)((a->mask & reg_mask(IOAT_ATTNSTATUS, 32)) >> 32);
		line = true;
	}
	if (line)
		via_ioat_interrupt_update(ioat);
	/* The bit is in the register's upper byte. */
	if (touches(a, IOAT_CHANNELS + IOAT_CHANCTRL + 1, 8))
		ioat->chanctrl |= IOAT_CHANCTRL_IN_USE;
}

uint64_t via_ioat_read(struct via_device *dev, void *model, unsigned int bar, uint64_t offset,
		       unsigned int size)
{
	struct via_ioat *ioat = model;
	struct access a = access_of(offset, size, 0);
	uint64_t value;

	pthread_mutex_lock(&ioat->lock);
	value = (read_word(ioat, a.word) & a.mask) >> 8 * (offset & 7);
	read_side_effects(ioat, &a);
	pthread_mutex_unlock(&ioat->lock);
	return value;
}

static void write_general(struct via_ioat *ioat, const struct access *a)
{
	if (touches(a, IOAT_GENCTRL, 8))
		ioat->genctrl =
			(uint8_t)merge(a, IOAT_GENCTRL, 8, ioat->genctrl) & IOAT_GENCTRL_DEBUG_EN;
	if (touches(a, IOAT_INTRCTRL, 8)) {
		uint64_t value = merge(a, IOAT_INTRCTRL, 8, 0);

		ioat->master_int_en = value & IOAT_INTRCTRL_MASTER_INT_EN;
		ioat->msix_vector_control = value & IOAT_INTRCTRL_MSIX_VECTOR_CONTROL;
		via_ioat_interrupt_update(ioat);
	}
}

static void write_chanctrl(struct via_ioat *ioat, const struct access *a)
{
	unsigned int reg = IOAT_CHANNELS + IOAT_CHANCTRL;
	uint16_t value = (uint16_t)merge(a, reg, 16, ioat->chanctrl);
	uint16_t kept = ioat->chanctrl & IOAT_CHANCTRL_INT_DISABLE;

	/* In Use is given back by writing 0, and taken by a read only. */
	kept |= ioat->chanctrl & value & IOAT_CHANCTRL_IN_USE;
	ioat->chanctrl = (uint16_t)((value & IOAT_CHANCTRL_WRITABLE) | kept);
	if (ones(a, reg, 16) & IOAT_CHANCTRL_INT_DISABLE)
		via_ioat_interrupt_rearm(ioat);
}

static void write_channel(struct via_ioat *ioat, const struct access *a)
{
	const unsigned int base = IOAT_CHANNELS;

	if (touches(a, base + IOAT_CHANERR, 32))
		ioat->chanerr &= ~(uint32_t)ones(a, base + IOAT_CHANERR, 32);
	if (touches(a, base + IOAT_CHANERRMSK, 32))
		ioat->chanerrmsk = (uint32_t)merge(a, base + IOAT_CHANERRMSK, 32, ioat->chanerrmsk);
	if (touches(a, base + IOAT_CHANCMP, 64))
		ioat->chancmp =
			merge(a, base + IOAT_CHANCMP, 64, ioat->chancmp) & IOAT_CHANCMP_ADDR;
	if (touches(a, base + IOAT_CHAINADDR, 64))
		via_ioat_channel_set_chain(ioat,
					   merge(a, base + IOAT_CHAINADDR, 64, ioat->chainaddr));
	if (touches(a, base + IOAT_CHANCTRL, 16))
		write_chanctrl(ioat, a);
	if (touches(a, base + IOAT_CHANCMD, 8))
		via_ioat_channel_command(ioat, (uint8_t)merge(a, base + IOAT_CHANCMD, 8, 0));
	if (touches(a, base + IOAT_DMACOUNT, 16))
		via_ioat_channel_set_count(
			ioat, (uint16_t)merge(a, base + IOAT_DMACOUNT, 16, ioat->dmacount));
}

void via_ioat_write(struct via_device *dev, void *model, unsigned int bar, uint64_t offset,
		    unsigned int size, uint64_t value)
{
	struct via_ioat *ioat = model;
	struct access a = access_of(offset, size, value);

	pthread_mutex_lock(&ioat->lock);
	if (a.word < IOAT_CHANNELS)
		write_general(ioat, &a);
	else
		write_channel(ioat, &a);
	pthread_mutex_unlock(&ioat->lock);
}
