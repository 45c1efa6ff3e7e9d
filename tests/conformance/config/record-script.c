/* SPDX-License-Identifier: MIT */
/* The script: reads and writes all over the view, most of them where there is something. */
#include "record.h"

#include "pci/regs.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { MAX_LEN = 8, PLACES = BLOCKS + 8 };

struct place {
	unsigned int start, len, weight;
};

struct writer {
	struct function *f;
	uint64_t random;
	struct place places[PLACES];
	unsigned int n_places, weight;
	unsigned int n; /* operations so far */
};

/* splitmix64. One draw a statement, so that every compiler makes the same script of a seed. */
static uint64_t draw(struct writer *w)
{
	uint64_t z = w->random += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static unsigned int below(struct writer *w, unsigned int n)
{
	return (unsigned int)(draw(w) % n);
}

static bool one_in(struct writer *w, unsigned int n)
{
	return !below(w, n);
}

/* --- One operation --------------------------------------------------------- */

static void print_bytes(const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		printf("%02x", bytes[i]);
}

/* What it gave, unless that is what it should. */
static void end_line(struct writer *w, ssize_t result, ssize_t full)
{
	if (result < 0)
		printf(" = %s", strerrorname_np((int)-result));
	else if (result != full)
		printf(" = %zd", result);
	putchar('\n');
	w->n++;
}

static void do_read(struct writer *w, uint64_t pos, size_t len)
{
	uint8_t buf[MAX_LEN];
	ssize_t r = view_read(w->f, pos, buf, len);

	printf("op r%zu %llx", len, (unsigned long long)pos);
	if (r > 0) {
		printf(" = ");
		print_bytes(buf, (size_t)r);
	}
	end_line(w, r, r > 0 ? r : (ssize_t)len);
}

static void do_write(struct writer *w, uint64_t pos, size_t len, uint8_t *bytes)
{
	for (size_t i = 0; i < len; i++) {
		if (pos + i < w->f->size && w->f->dangerous[pos + i] == 0xff)
			return;
		if (pos + i < w->f->size)
			bytes[i] &= (uint8_t)~w->f->dangerous[pos + i];
	}
	printf("op w%zu %llx ", len, (unsigned long long)pos);
	print_bytes(bytes, len);
	end_line(w, view_write(w->f, pos, bytes, len), (ssize_t)len);
}

static void write_value(struct writer *w, uint64_t pos, size_t len, uint64_t value)
{
	uint8_t bytes[MAX_LEN];

	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(value >> 8 * i);
	do_write(w, pos, len, bytes);
}

/* --- Anywhere --------------------------------------------------------------- */

static size_t some_len(struct writer *w)
{
	static const uint8_t lens[] = {1, 1, 1, 1, 2, 2, 2, 2, 4, 4, 4, 4, 4, 4, 3, 7, 8, 5, 6, 0};

	return lens[below(w, sizeof(lens))];
}

static uint64_t some_place(struct writer *w, size_t len)
{
	unsigned int at = below(w, w->weight);
	const struct place *p = w->places;
	uint64_t pos;

	while (at >= p->weight)
		at -= p++->weight;
	pos = p->start + below(w, p->len);
	/* Mostly aligned, when there is such a thing. */
	if (len && !(len & (len - 1)) && !one_in(w, 6))
		pos &= ~(uint64_t)(len - 1);
	return pos;
}

static uint64_t some_value(struct writer *w, uint64_t pos, size_t len)
{
	uint64_t value = 0;

	switch (below(w, 6)) {
	case 0:
		return ~0ull;
	case 1:
		return 0;
	case 2:
		/* One bit of what the device has. */
		for (size_t i = 0; i < len && pos + i < w->f->size; i++)
			value |= (uint64_t)w->f->raw[pos + i] << 8 * i;
		return value ^ 1ull << below(w, 64) % (8 * len + !len);
	default:
		return draw(w);
	}
}

static void anywhere(struct writer *w)
{
	size_t len = some_len(w);
	uint64_t pos = some_place(w, len);

	if (one_in(w, 2)) {
		do_read(w, pos, len);
		return;
	}
	write_value(w, pos, len, some_value(w, pos, len));
	if (one_in(w, 3))
		return;
	if (one_in(w, 4))
		do_read(w, pos & ~3ull, 4);
	else
		do_read(w, pos, len);
}

/* --- Registers with a meaning ------------------------------------------------ */

static void command(struct writer *w)
{
	static const uint8_t lens[] = {1, 2, 2, 4};
	size_t len = lens[below(w, sizeof(lens))];

	write_value(w, PCI_COMMAND, len, draw(w));
	do_read(w, PCI_COMMAND, one_in(w, 2) ? 2 : 4);
}

static void bar(struct writer *w)
{
	unsigned int i = below(w, 7);
	uint64_t pos = i < 6 ? PCI_BAR(i) : PCI_ROM_BAR;
	unsigned int len = 1u << below(w, 3), part = below(w, 4 / len);

	write_value(w, pos + (uint64_t)part * len, len, one_in(w, 2) ? ~0ull : draw(w));
	do_read(w, pos, 4);
}

static void power(struct writer *w, const struct block *pm)
{
	static const uint8_t states[] = {0, 0, 0, 3, 3, 1, 2};
	uint8_t state = states[below(w, sizeof(states))];
	unsigned int len = 1u << below(w, 3);

	write_value(w, pm->start + PCI_PM_CSR, len, (draw(w) & ~3ull) | state);
	do_read(w, pm->start + PCI_PM_CSR, 2);
}

static void msi(struct writer *w, const struct block *cap)
{
	unsigned int len = 1 + below(w, 2);

	if (one_in(w, 3))
		write_value(w, cap->start, 4, draw(w));
	else
		write_value(w, cap->start + PCI_MSI_CONTROL, len, draw(w));
	do_read(w, cap->start + PCI_MSI_CONTROL, 2);
}

static void express(struct writer *w, const struct block *cap)
{
	uint64_t value = draw(w);

	/* A reset takes its time. */
	if (!one_in(w, 4))
		value &= ~(uint64_t)PCI_EXP_DEVCTL_FLR;
	write_value(w, cap->start + PCI_EXP_DEVCTL, one_in(w, 3) ? 4 : 2, value);
	do_read(w, cap->start + PCI_EXP_DEVCTL, one_in(w, 3) ? 4 : 2);
}

static void vpd(struct writer *w, const struct block *cap)
{
	write_value(w, cap->start + PCI_VPD_ADDRESS, 2, draw(w) & 0x800f);
	do_read(w, cap->start + PCI_VPD_ADDRESS, 2);
	do_read(w, cap->start + PCI_VPD_DATA, 4);
}

static void interrupts(struct writer *w)
{
	static const uint8_t counts[] = {0, 0, 1, 1, 2, 3, 4, MAX_VECTORS};
	const struct block *cap = find_block(w->f, 0, PCI_CAP_ID_MSI);
	unsigned int index = below(w, 3), n = counts[below(w, sizeof(counts))];

	printf("op i%u %u", index, n);
	end_line(w, set_irqs(w->f, index, n), 0);
	if (cap)
		do_read(w, cap->start, 4);
	cap = find_block(w->f, 0, PCI_CAP_ID_MSIX);
	if (cap)
		do_read(w, cap->start, 4);
	do_read(w, PCI_COMMAND, 4);
}

static void whole_reset(struct writer *w)
{
	printf("op x");
	end_line(w, reset_function(w->f), 0);
	do_read(w, PCI_COMMAND, 4);
}

static void meaningful(struct writer *w)
{
	const struct block *cap;

	switch (below(w, 9)) {
	case 0:
	case 1:
		command(w);
		break;
	case 2:
	case 3:
		bar(w);
		break;
	case 4:
		if ((cap = find_block(w->f, 0, PCI_CAP_ID_PM)))
			power(w, cap);
		break;
	case 5:
		if ((cap = find_block(w->f, 0, PCI_CAP_ID_MSI)))
			msi(w, cap);
		break;
	case 6:
		if ((cap = find_block(w->f, 0, PCI_CAP_ID_EXP)))
			express(w, cap);
		break;
	case 7:
		if ((cap = find_block(w->f, 0, PCI_CAP_ID_VPD)))
			vpd(w, cap);
		else if (one_in(w, 4))
			whole_reset(w);
		break;
	default:
		interrupts(w);
		break;
	}
}

/* --- All ----------------------------------------------------------------------- */

static void add_place(struct writer *w, unsigned int start, unsigned int len, unsigned int weight)
{
	w->places[w->n_places++] = (struct place){start, len, weight};
	w->weight += weight;
}

void script(struct function *f, uint64_t seed, unsigned int n)
{
	struct writer w = {.f = f, .random = seed};

	add_place(&w, 0, PCI_HEADER_SIZE, 20);
	for (unsigned int i = 0; i < f->n_blocks; i++)
		add_place(&w, f->blocks[i].start, f->blocks[i].len, 8);
	add_place(&w, PCI_HEADER_SIZE, 256 - PCI_HEADER_SIZE, 4);
	if (f->size > PCI_EXT_START)
		add_place(&w, PCI_EXT_START, f->size - PCI_EXT_START, 4);
	add_place(&w, f->size - 8, 16, 2);
	while (w.n < n) {
		if (one_in(&w, 5))
			meaningful(&w);
		else
			anywhere(&w);
	}
}
