/* SPDX-License-Identifier: MIT */
/* Which bits of a device's registers can be changed: tried one byte at a time, by sysfs. */
#include "record.h"

#include "pci/regs.h"

#include <string.h>
#include <unistd.h>

/* Bytes [start, start + len) that the probe leaves alone. */
static void leave(uint8_t *keep, unsigned int start, unsigned int len)
{
	for (unsigned int i = start; i < start + len && i < SPACE; i++)
		keep[i] = 0xff;
}

/* Of the header only what VFIO lets through: Command, cache line, latency, BIST but its start. */
static void keep_header(uint8_t *keep)
{
	leave(keep, 0, PCI_HEADER_SIZE);
	memset(keep + PCI_COMMAND, 0, 4);
	memset(keep + PCI_CACHE_LINE_SIZE, 0, 2);
	keep[PCI_BIST] = 0x40;
}

static void keep_capability(uint8_t *keep, const struct block *b)
{
	switch (b->id) {
	case PCI_CAP_ID_PM:
		keep[b->start + PCI_PM_CSR] |= PCI_PM_CSR_STATE;
		break;
	case PCI_CAP_ID_MSI:
		leave(keep, b->start + PCI_MSI_CONTROL, 2);
		break;
	case PCI_CAP_ID_EXP:
		leave(keep, b->start, b->len);
		memset(keep + b->start + PCI_EXP_DEVCTL, 0, 4);
		keep[b->start + PCI_EXP_DEVCTL + 1] = PCI_EXP_DEVCTL_FLR >> 8;
		if (b->len > PCI_EXP_DEVCTL2)
			memset(keep + b->start + PCI_EXP_DEVCTL2, 0, 2);
		break;
	case PCI_CAP_ID_AF:
	case PCI_CAP_ID_MSIX:
	case PCI_CAP_ID_VPD:
		leave(keep, b->start, b->len);
		break;
	default:
		break;
	}
}

static void keep_extended(uint8_t *keep, const struct block *b)
{
	switch (b->id) {
	case PCI_EXT_CAP_ID_SRIOV:
	case PCI_EXT_CAP_ID_REBAR:
	case PCI_EXT_CAP_ID_ATS:
	case PCI_EXT_CAP_ID_PRI:
	case PCI_EXT_CAP_ID_ACS:
		leave(keep, b->start, b->len);
		break;
	default:
		break;
	}
}

static uint8_t get(const struct function *f, unsigned int pos)
{
	uint8_t byte;

	if (pread(f->sysfs, &byte, 1, pos) != 1)
		die("config byte %#x cannot be read", pos);
	return byte;
}

static void put(const struct function *f, unsigned int pos, uint8_t byte)
{
	if (pwrite(f->sysfs, &byte, 1, pos) != 1)
		die("config byte %#x cannot be written", pos);
}

static void probe_byte(struct function *f, unsigned int pos, uint8_t keep, uint8_t *ret_writable,
		       uint8_t *ret_w1c)
{
	uint8_t old = get(f, pos), now, stuck;

	put(f, pos, (uint8_t)((old & keep) | (~old & ~keep)));
	now = get(f, pos);
	*ret_writable = (now ^ old) & (uint8_t)~keep;
	/* Ones that stay when zero is written: perhaps writing one clears them. */
	stuck = old & now & (uint8_t)~keep;
	put(f, pos, (uint8_t)((old & *ret_writable) | (old & keep) | stuck));
	*ret_w1c = stuck & (uint8_t)~get(f, pos);
	put(f, pos, (uint8_t)((old & *ret_writable) | (old & keep)));
}

/* Power states by the view, so that the kernel knows where the function is. */
static uint8_t probe_power(struct function *f, unsigned int csr)
{
	uint8_t old, down = PCI_PM_CSR_STATE, up = 0, now = 0;

	view_read(f, csr, &old, 1);
	view_write(f, csr, &down, 1);
	view_read(f, csr, &now, 1);
	view_write(f, csr, &up, 1);
	return (old ^ now) & PCI_PM_CSR_STATE;
}

static void find_keep(const struct function *f, uint8_t *keep)
{
	memcpy(keep, f->dangerous, SPACE);
	keep_header(keep);
	for (unsigned int i = 0; i < f->n_blocks; i++) {
		if (f->blocks[i].start < PCI_EXT_START)
			keep_capability(keep, &f->blocks[i]);
		else
			keep_extended(keep, &f->blocks[i]);
	}
}

void probe(struct function *f, uint8_t *writable, uint8_t *w1c)
{
	uint8_t keep[SPACE], raise = 0;
	const struct block *pm = find_block(f, 0, PCI_CAP_ID_PM);

	find_keep(f, keep);
	memset(writable, 0, SPACE);
	memset(w1c, 0, SPACE);
	if (f->raise) {
		raise = get(f, f->raise);
		put(f, f->raise, 0xff);
	}
	for (unsigned int pos = 0; pos < f->size; pos++)
		if (keep[pos] != 0xff)
			probe_byte(f, pos, keep[pos], &writable[pos], &w1c[pos]);
	if (f->raise)
		put(f, f->raise, raise);
	if (pm)
		writable[pm->start + PCI_PM_CSR] |= probe_power(f, pm->start + PCI_PM_CSR);
}

void probe_reset(struct function *f, const uint8_t *writable, uint8_t *lost)
{
	uint8_t keep[SPACE], old[SPACE];
	bool reset;

	find_keep(f, keep);
	for (unsigned int pos = PCI_HEADER_SIZE; pos < f->size; pos++) {
		old[pos] = get(f, pos);
		keep[pos] |= (uint8_t)~writable[pos];
		if (keep[pos] != 0xff)
			put(f, pos, (uint8_t)((old[pos] & keep[pos]) | (~old[pos] & ~keep[pos])));
	}
	reset = !reset_function(f);
	memset(lost, 0, SPACE);
	for (unsigned int pos = PCI_HEADER_SIZE; pos < f->size; pos++) {
		if (keep[pos] == 0xff)
			continue;
		if (reset)
			lost[pos] = (uint8_t)~(get(f, pos) ^ old[pos]) & (uint8_t)~keep[pos];
		put(f, pos, old[pos]);
	}
}
