/* SPDX-License-Identifier: MIT */
/*
 * Transactions on a bus beside a model of it: a list of claims that is asked
 * byte by byte. Claims nest, decline, end at the end of the space and move.
 */
#include "fuzz.h"

#include <viaduct/bus.h>

#include <errno.h>

#define CLAIMS 12u
#define BYTES 256u

struct dev {
	unsigned int id;
	bool declines;
};

struct modelled {
	struct via_claim *claim; /* NULL: free */
	unsigned int start, end; /* offsets from base */
	int priority;
	uint64_t offset;
	struct dev dev;
};

struct state {
	struct via_bus *bus;
	uint64_t base; /* of the bytes that are used */
	struct modelled claims[CLAIMS];
};

static uint8_t content(unsigned int id, uint64_t offset)
{
	return (uint8_t)(id * 37 + offset * 11 + (offset >> 8));
}

static int dev_read(void *opaque, uint64_t offset, unsigned int size, uint64_t *ret_value)
{
	const struct dev *dev = opaque;

	if (dev->declines)
		return VIA_BUS_DECLINE;
	*ret_value = 0;
	for (unsigned int i = 0; i < size; i++)
		*ret_value |= (uint64_t)content(dev->id, offset + i) << 8 * i;
	return VIA_BUS_OK;
}

/* What is written must be what would be read there. */
static int dev_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	const struct dev *dev = opaque;

	if (dev->declines)
		return VIA_BUS_DECLINE;
	for (unsigned int i = 0; i < size; i++)
		FUZZ_CHECK((uint8_t)(value >> 8 * i) == content(dev->id, offset + i));
	return VIA_BUS_OK;
}

static const struct via_bus_ops ops = {dev_read, dev_write};

/* What a byte reads as; false when nobody answers. */
static bool byte_at(const struct state *s, unsigned int at, uint8_t *ret_byte)
{
	const struct modelled *top = NULL;

	for (unsigned int i = 0; i < CLAIMS; i++) {
		const struct modelled *m = &s->claims[i];

		if (m->claim && !m->dev.declines && at >= m->start && at < m->end &&
		    (!top || m->priority > top->priority))
			top = m;
	}
	*ret_byte = top ? content(top->dev.id, top->offset + (at - top->start)) : 0xff;
	return top;
}

static bool overlaps(const struct modelled *claims)
{
	for (unsigned int i = 0; i < CLAIMS; i++)
		for (unsigned int j = 0; j < i; j++)
			if (claims[i].claim && claims[j].claim &&
			    claims[i].priority == claims[j].priority &&
			    claims[i].start < claims[j].end && claims[j].start < claims[i].end)
				return true;
	return false;
}

/* Up to four changes at once. */
static void commit(struct state *s, struct fuzz_input *in)
{
	/* A claim that is not made yet, but is no free place either. */
	static char fresh_mark;
	struct via_claim *const fresh = (struct via_claim *)&fresh_mark;
	struct via_bus_change changes[4] = {0};
	struct modelled after[CLAIMS];
	unsigned int which[4], n = 1 + fuzz_u8(in) % 4, used = 0;
	int expect = 0, r;

	memcpy(after, s->claims, sizeof(after));
	for (unsigned int i = 0; i < n; i++) {
		uint8_t how = fuzz_u8(in), start = fuzz_u8(in), len = fuzz_u8(in);
		unsigned int c = (how & 15) % CLAIMS;
		struct modelled *m = &after[c];

		which[i] = c;
		if (s->claims[c].claim && used & 1u << c) {
			/* Two changes of one claim. */
			changes[i] = (struct via_bus_change){.kind = VIA_BUS_REMOVE,
							     .claim = s->claims[c].claim};
			expect = -EINVAL;
		} else if (s->claims[c].claim && how & 0x80) {
			changes[i] = (struct via_bus_change){.kind = VIA_BUS_REMOVE,
							     .claim = s->claims[c].claim};
			m->claim = NULL;
		} else if (s->claims[c].claim) {
			changes[i] = (struct via_bus_change){.kind = VIA_BUS_MOVE,
							     .claim = s->claims[c].claim,
							     .start = s->base + start};
			if (start + (m->end - m->start) > BYTES) {
				/* Past what the model knows, or past the end of the space. */
				n = i;
				break;
			}
			m->end = start + (m->end - m->start);
			m->start = start;
		} else {
			if (used & 1u << c || start + 1u + len % 64u > BYTES) {
				n = i;
				break;
			}
			*m = (struct modelled){
				.claim = fresh,
				.start = start,
				.end = start + 1u + len % 64u,
				.priority = (how >> 4 & 3) - 1,
				.offset = how & 0x40 ? UINT64_MAX - len : len,
				.dev = {.id = c, .declines = len >= 0xc0},
			};
			s->claims[c].dev = m->dev;
			changes[i] = (struct via_bus_change){
				.kind = VIA_BUS_ADD,
				.desc = {.start = s->base + m->start,
					 .last = s->base + m->end - 1,
					 .priority = m->priority,
					 .offset = m->offset,
					 .ops = &ops,
					 .opaque = &s->claims[c].dev,
					 .valid_unaligned = true,
					 .impl_unaligned = len & 1}};
		}
		used |= 1u << c;
	}
	if (!expect && overlaps(after))
		expect = -EEXIST;
	r = via_bus_commit(s->bus, changes, n);
	FUZZ_CHECK(r == expect);
	if (r)
		return;
	for (unsigned int i = 0; i < n; i++)
		if (changes[i].kind == VIA_BUS_ADD)
			after[which[i]].claim = changes[i].claim;
	memcpy(s->claims, after, sizeof(after));
}

static void remove_one(struct state *s, struct fuzz_input *in)
{
	uint8_t how = fuzz_u8(in);
	struct modelled *m = &s->claims[(how & 15) % CLAIMS];

	if (!m->claim)
		return;
	if (how & 0x80)
		via_bus_remove_async(m->claim, NULL, NULL);
	else
		FUZZ_CHECK(via_bus_remove(m->claim) == 0);
	m->claim = NULL;
}

static void check_bytes(const struct state *s, unsigned int at, unsigned int len, int r,
			const uint8_t *bytes, size_t done)
{
	bool missing = false;
	uint8_t byte;

	for (unsigned int i = 0; i < len; i++) {
		bool answered = byte_at(s, at + i, &byte);

		if (!missing && !answered)
			FUZZ_CHECK(done == i);
		missing |= !answered;
		FUZZ_CHECK(bytes[i] == byte);
	}
	FUZZ_CHECK(r == (missing ? -ENXIO : 0) && (missing || done == len));
}

static void access_bytes(struct state *s, struct fuzz_input *in)
{
	uint8_t at = fuzz_u8(in), how = fuzz_u8(in);
	unsigned int len = 1 + how % 32u;
	uint8_t bytes[32], byte;
	uint64_t value = 0;
	size_t done = 0;
	int r;

	if (at + len > BYTES)
		return;
	if (how & 0x80) {
		for (unsigned int i = 0; i < len; i++) {
			(void)byte_at(s, at + i, &byte);
			bytes[i] = byte;
		}
		r = via_bus_write(s->bus, s->base + at, bytes, len, &done);
		check_bytes(s, at, len, r, bytes, done);
	} else if (how & 0x40) {
		memset(bytes, 0x77, sizeof(bytes));
		r = via_bus_read(s->bus, s->base + at, bytes, len, &done);
		check_bytes(s, at, len, r, bytes, done);
	} else {
		unsigned int size = 1u << (how & 3);
		bool missing = false;

		if (at + size > BYTES)
			return;
		r = via_bus_read_value(s->bus, s->base + at, size, &value);
		for (unsigned int i = 0; i < size; i++) {
			missing |= !byte_at(s, at + i, &byte);
			FUZZ_CHECK((uint8_t)(value >> 8 * i) == byte);
		}
		FUZZ_CHECK(r == (missing ? -ENXIO : 0));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	struct state s = {0};
	char text[256];

	FUZZ_CHECK(via_bus_new("fuzz", &s.bus) == 0);
	switch (fuzz_u8(&in) & 3) {
	case 0:
		break;
	case 1:
		s.base = UINT64_MAX - (BYTES - 1);
		break;
	default:
		s.base = 0xfffff80;
	}
	for (int i = 0; i < FUZZ_STEPS && in.left; i++) {
		uint8_t kind = fuzz_u8(&in);

		if (kind & 1)
			commit(&s, &in);
		else if (kind & 0xf0)
			access_bytes(&s, &in);
		else
			remove_one(&s, &in);
	}
	for (unsigned int at = 0; at < BYTES; at++) {
		uint8_t byte, read;
		size_t done = 0;
		bool answered = byte_at(&s, at, &byte);

		FUZZ_CHECK(via_bus_read(s.bus, s.base + at, &read, 1, &done) ==
			   (answered ? 0 : -ENXIO));
		FUZZ_CHECK(read == byte && done == answered);
	}
	(void)via_bus_dump(s.bus, text, sizeof(text));
	via_bus_free(s.bus);
	return 0;
}
