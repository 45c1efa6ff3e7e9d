/* SPDX-License-Identifier: MIT */
/*
 * A bus and one above it beside a model of them: a list of claims that is asked
 * byte by byte. Claims nest, decline, end at the end of the space, move, are resized, come
 * and go from sight, queue writes, or are ioeventfds; accesses are single, buffers, strings and
 * batches.
 */
#include "fuzz.h"

#include <viaduct/bus.h>

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define EACH 8u /* claims of one level */
#define CLAIMS (2 * EACH)
#define BYTES 256u
#define FDS 3

enum { VM, VCPU };

struct dev {
	unsigned int id;
	bool declines_reads, declines_writes, big_endian;
	unsigned int written; /* bytes */
};

struct modelled {
	struct via_claim *claim; /* NULL: free */
	unsigned int start, end; /* offsets from base */
	int priority;
	uint64_t offset;
	bool enabled, indivisible, queues, discards;
	unsigned int expected; /* bytes that the device should see written, sooner or later */
	bool is_event;
	struct via_bus_ioeventfd event;
	struct dev dev;
};

struct state {
	struct via_bus *bus[2];
	struct via_coalescer *coalescer;
	uint64_t base; /* of the bytes that are used */
	uint8_t filler;
	struct modelled claims[CLAIMS]; /* the VM's, then the vCPU's */
	bool missed[2 * BYTES];
	uint8_t missed_value[2 * BYTES];
	int fd[FDS];
	unsigned int fired[FDS];
};

/* --- Devices --- */

static uint8_t content(unsigned int id, uint64_t offset)
{
	return (uint8_t)(id * 37 + offset * 11 + (offset >> 8));
}

static int dev_read(void *opaque, uint64_t offset, unsigned int size, uint64_t *ret_value)
{
	const struct dev *dev = opaque;

	if (dev->declines_reads)
		return VIA_BUS_DECLINE;
	*ret_value = 0;
	for (unsigned int i = 0; i < size; i++) {
		unsigned int lane = dev->big_endian ? size - 1 - i : i;

		*ret_value |= (uint64_t)content(dev->id, offset + i) << 8 * lane;
	}
	return VIA_BUS_OK;
}

/* What is written must be what would be read there. */
static int dev_lanes(void *opaque, uint64_t offset, unsigned int size, uint64_t value,
		     unsigned int lanes)
{
	struct dev *dev = opaque;

	if (dev->declines_writes)
		return VIA_BUS_DECLINE;
	for (unsigned int i = 0; i < size; i++) {
		unsigned int lane = dev->big_endian ? size - 1 - i : i;

		if (!(lanes >> i & 1))
			continue;
		FUZZ_CHECK((uint8_t)(value >> 8 * lane) == content(dev->id, offset + i));
		dev->written++;
	}
	return VIA_BUS_OK;
}

static int dev_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	return dev_lanes(opaque, offset, size, value, (1u << size) - 1);
}

static const struct via_bus_ops ops = {dev_read, dev_write, dev_lanes};

static void note_miss(void *opaque, const struct via_bus_miss *miss)
{
	struct state *s = opaque;

	for (unsigned int i = 0; i < miss->size; i++) {
		uint64_t at = miss->addr + i - s->base;

		FUZZ_CHECK(at < 2 * BYTES && miss->addr + i >= miss->addr);
		s->missed[at] = true;
		s->missed_value[at] = (uint8_t)(miss->value >> 8 * i);
	}
}

/* --- The model --- */

static int level_of(unsigned int claim)
{
	return claim < EACH ? VM : VCPU;
}

/* Who answers a byte of an access by a bus, or (top) who is seen there; CLAIMS: nobody. */
static unsigned int owner(const struct state *s, int level, unsigned int at, bool write, bool top)
{
	for (; level >= VM; level--) {
		unsigned int best = CLAIMS;

		for (unsigned int i = 0; i < CLAIMS; i++) {
			const struct modelled *m = &s->claims[i];

			if (!m->claim || m->is_event || !m->enabled || level_of(i) != level ||
			    at < m->start || at >= m->end)
				continue;
			if (!top && (write ? m->dev.declines_writes : m->dev.declines_reads))
				continue;
			if (best == CLAIMS || m->priority > s->claims[best].priority)
				best = i;
		}
		if (best != CLAIMS)
			return best;
	}
	return CLAIMS;
}

static uint64_t masked(uint64_t value, unsigned int len)
{
	return len && len < 8 ? value & ((UINT64_C(1) << 8 * len) - 1) : value;
}

static bool takes(const struct modelled *m, unsigned int at, unsigned int len, uint64_t value)
{
	if (!m->claim || !m->is_event || !m->enabled || m->start != at)
		return false;
	return (!m->event.len || m->event.len == len) &&
	       (!m->event.match || masked(m->event.data, len) == masked(value, len));
}

/* The claim of the ioeventfd that takes a write, or CLAIMS. */
static unsigned int event_for(const struct state *s, int level, unsigned int at, unsigned int len,
			      uint64_t value)
{
	if (at + len > BYTES && s->base + BYTES == 0)
		return CLAIMS; /* it goes on past the end of all spaces */
	for (; level >= VM; level--) {
		for (unsigned int i = 0; i < CLAIMS; i++)
			if (level_of(i) == level && takes(&s->claims[i], at, len, value))
				return i;
		/* Below, only where the level above has nothing, or declines all of it. */
		for (unsigned int i = EACH; i < CLAIMS; i++) {
			const struct modelled *m = &s->claims[i];

			if (!m->claim || m->is_event || !m->enabled || m->end <= at ||
			    m->start >= at + len)
				continue;
			if (m->start > at || m->end < at + len || !m->dev.declines_writes)
				return CLAIMS;
		}
	}
	return CLAIMS;
}

/* An access over an edge of an indivisible claim is nobody's. */
static bool is_refused(const struct state *s, int level, unsigned int at, unsigned int len)
{
	unsigned int first = owner(s, level, at, false, true);

	/* What would be past the end of all spaces is no part of it. */
	if (s->base + BYTES == 0 && at + len > BYTES)
		len = BYTES - at;
	for (unsigned int i = 0; i < len; i++) {
		unsigned int c = owner(s, level, at + i, false, true);

		if (c != first && ((c != CLAIMS && s->claims[c].indivisible) ||
				   (first != CLAIMS && s->claims[first].indivisible)))
			return true;
	}
	return false;
}

/* What one access of at most 8 bytes does. */
struct outcome {
	unsigned int event;    /* CLAIMS: none */
	unsigned int owner[8]; /* of each byte; CLAIMS: nobody */
	bool missed;
	bool drains; /* somebody who has a queue is asked for what is read */
};

static struct outcome outcome(const struct state *s, int level, unsigned int at, unsigned int len,
			      bool write, uint64_t value)
{
	struct outcome o = {.event = write ? event_for(s, level, at, len, value) : CLAIMS};
	bool refused;

	if (o.event != CLAIMS)
		return o;
	refused = is_refused(s, level, at, len);
	for (unsigned int i = 0; i < len; i++) {
		o.owner[i] = refused ? CLAIMS : owner(s, level, at + i, write, false);
		o.missed |= o.owner[i] == CLAIMS;
		o.drains |= !write && o.owner[i] != CLAIMS && s->claims[o.owner[i]].queues;
	}
	return o;
}

static uint8_t content_at(const struct state *s, unsigned int claim, unsigned int at)
{
	const struct modelled *m = &s->claims[claim];

	return content(m->dev.id, m->offset + (at - m->start));
}

/* A value that is right for all who are to get it; @other where nobody is. */
static uint64_t right_value(const struct state *s, int level, unsigned int at, unsigned int len,
			    uint64_t other)
{
	uint64_t value = 0;

	for (unsigned int i = 0; i < len; i++) {
		unsigned int c = owner(s, level, at + i, true, false);

		value |= (uint64_t)(c == CLAIMS ? (uint8_t)(other >> 8 * i)
						: content_at(s, c, at + i))
			 << 8 * i;
	}
	return value;
}

/* What is written, for an ioeventfd or else for devices. */
static uint64_t choose_value(const struct state *s, int level, unsigned int at, unsigned int len,
			     uint64_t wish)
{
	return event_for(s, level, at, len, wish) != CLAIMS ? masked(wish, len)
							    : right_value(s, level, at, len, wish);
}

/* --- What has come of it --- */

static void expect_write(struct state *s, const struct outcome *o, unsigned int len)
{
	if (o->event != CLAIMS) {
		for (int i = 0; i < FDS; i++)
			s->fired[i] += s->fd[i] == s->claims[o->event].event.fd;
		return;
	}
	for (unsigned int i = 0; i < len; i++)
		if (o->owner[i] != CLAIMS)
			s->claims[o->owner[i]].expected++;
}

/* Everybody has got what he should; where something is queued, perhaps not yet. */
static void check_written(const struct state *s, bool drained)
{
	for (unsigned int i = 0; i < CLAIMS; i++) {
		const struct modelled *m = &s->claims[i];

		if (!m->claim || m->is_event)
			continue;
		FUZZ_CHECK(m->dev.written <= m->expected);
		FUZZ_CHECK(m->dev.written == m->expected || (m->queues && !drained));
	}
}

static void check_fired(struct state *s)
{
	for (int i = 0; i < FDS; i++) {
		uint64_t n = 0;

		if (read(s->fd[i], &n, sizeof(n)) < 0)
			n = 0;
		FUZZ_CHECK(n == s->fired[i]);
		s->fired[i] = 0;
	}
}

static void forget_misses(struct state *s)
{
	memset(s->missed, 0, sizeof(s->missed));
}

/* --- Accesses --- */

static void access_value(struct state *s, struct fuzz_input *in, int level, unsigned int at)
{
	uint8_t how = fuzz_u8(in);
	unsigned int size = 1u << (how & 3);
	bool write = how & 4;
	uint64_t value = write ? choose_value(s, level, at, size, how >> 3) : 0;
	struct outcome o = outcome(s, level, at, size, write, value);
	uint64_t addr = s->base + at;
	int r;

	forget_misses(s);
	if (write) {
		expect_write(s, &o, size);
		r = via_bus_write_value(s->bus[level], addr, size, value);
		check_fired(s);
	} else {
		r = via_bus_read_value(s->bus[level], addr, size, &value);
	}
	FUZZ_CHECK(r == (o.missed ? -ENXIO : 0));
	for (unsigned int i = 0; i < size && o.event == CLAIMS; i++) {
		bool past = s->base + BYTES == 0 && at + i >= BYTES;

		FUZZ_CHECK(past || s->missed[at + i] == (o.owner[i] == CLAIMS));
		if (write && s->missed[at + i])
			FUZZ_CHECK(s->missed_value[at + i] == (uint8_t)(value >> 8 * i));
		if (!write)
			FUZZ_CHECK((uint8_t)(value >> 8 * i) ==
				   (o.owner[i] == CLAIMS ? s->filler
							 : content_at(s, o.owner[i], at + i)));
	}
	check_written(s, o.drains);
}

/* A buffer is cut into naturally aligned accesses. */
static void access_buffer(struct state *s, struct fuzz_input *in, int level, unsigned int at)
{
	uint8_t how = fuzz_u8(in), bytes[32];
	unsigned int len = how & 31, pos = 0, done_want = 0;
	bool write = how & 0x20, missed = false, drained = false;
	uint8_t want[32];
	size_t done = 77;
	int r;

	memset(bytes, 0x77, sizeof(bytes));
	while (pos < len) {
		unsigned int size = 8;
		struct outcome o;
		uint64_t value = 0;

		while (size > len - pos || (s->base + at + pos) % size)
			size /= 2;
		if (s->base + BYTES == 0 && at + pos >= BYTES) {
			memset(want + pos, s->filler, len - pos);
			missed = true;
			break;
		}
		if (write) {
			value = choose_value(s, level, at + pos, size, how >> 6);
			for (unsigned int i = 0; i < size; i++)
				bytes[pos + i] = (uint8_t)(value >> 8 * i);
		}
		o = outcome(s, level, at + pos, size, write, value);
		if (write)
			expect_write(s, &o, size);
		for (unsigned int i = 0; i < size; i++, pos++) {
			bool answered = o.event != CLAIMS || o.owner[i] != CLAIMS;

			if (answered && !missed)
				done_want = pos + 1;
			missed |= !answered;
			if (!write)
				want[pos] =
					answered ? content_at(s, o.owner[i], at + pos) : s->filler;
		}
		drained |= o.drains;
	}
	r = write ? via_bus_write(s->bus[level], s->base + at, bytes, len, &done)
		  : via_bus_read(s->bus[level], s->base + at, bytes, len, &done);
	FUZZ_CHECK(r == (missed ? -ENXIO : 0));
	FUZZ_CHECK(done == done_want);
	FUZZ_CHECK(write || !memcmp(bytes, want, len));
	check_fired(s);
	check_written(s, drained);
}

static void access_string(struct state *s, struct fuzz_input *in, int level, unsigned int at)
{
	uint8_t how = fuzz_u8(in), bytes[32];
	unsigned int size = 1u << (how & 3), count = how >> 2 & 3;
	bool write = how & 0x10;
	uint64_t value = write ? choose_value(s, level, at, size, how >> 5) : 0;
	struct outcome o = outcome(s, level, at, size, write, value);
	size_t done = 77;
	int r;

	for (unsigned int i = 0; i < count; i++)
		for (unsigned int k = 0; k < size; k++)
			bytes[i * size + k] = (uint8_t)(value >> 8 * k);
	/* Nobody is asked a second time when the first is missed. */
	for (unsigned int i = 0; write && i < count && (!i || !o.missed); i++)
		expect_write(s, &o, size);
	r = write ? via_bus_write_string(s->bus[level], s->base + at, size, bytes, count, &done)
		  : via_bus_read_string(s->bus[level], s->base + at, size, bytes, count, &done);
	FUZZ_CHECK(r == (o.missed && count ? -ENXIO : 0));
	FUZZ_CHECK(done == (o.missed ? 0 : count));
	for (unsigned int i = 0; !write && i < count * size; i++)
		FUZZ_CHECK(
			bytes[i] ==
			(o.missed ? s->filler : content_at(s, o.owner[i % size], at + i % size)));
	check_fired(s);
	check_written(s, o.drains && count);
}

static void access_batch(struct state *s, struct fuzz_input *in, int level)
{
	struct via_bus_op op[6];
	struct outcome o[6];
	uint8_t how = fuzz_u8(in);
	unsigned int n = how % 7, made = n;
	bool stop = how & 0x80, drained = false;
	unsigned int at[6];

	for (unsigned int i = 0; i < n; i++) {
		uint8_t what = fuzz_u8(in);

		at[i] = fuzz_u8(in);
		op[i] = (struct via_bus_op){.addr = s->base + at[i],
					    .size = (uint8_t)(1u << (what & 3)),
					    .write = what & 4,
					    .result = 77};
		if (op[i].write)
			op[i].value = choose_value(s, level, at[i], op[i].size, what >> 3);
		o[i] = outcome(s, level, at[i], op[i].size, op[i].write, op[i].value);
		if (made < n)
			continue;
		if (op[i].write)
			expect_write(s, &o[i], op[i].size);
		/* What is queued after it does not count. */
		drained = o[i].drains || (drained && !op[i].write);
		if (stop && o[i].missed)
			made = i + 1;
	}
	FUZZ_CHECK(via_bus_batch(s->bus[level], op, n, stop) == made);
	for (unsigned int i = 0; i < n; i++) {
		FUZZ_CHECK(op[i].result == (i >= made ? 77 : o[i].missed ? -ENXIO : 0));
		for (unsigned int k = 0; !op[i].write && i < made && k < op[i].size; k++)
			FUZZ_CHECK((uint8_t)(op[i].value >> 8 * k) ==
				   (o[i].owner[k] == CLAIMS
					    ? s->filler
					    : content_at(s, o[i].owner[k], at[i] + k)));
	}
	check_fired(s);
	check_written(s, drained);
}

/* --- Changes --- */

static bool exclude(const struct modelled *a, const struct modelled *b)
{
	if (a->is_event != b->is_event)
		return false;
	if (!a->is_event)
		return a->priority == b->priority && a->start < b->end && b->start < a->end;
	if (a->start != b->start)
		return false;
	return !a->event.len || !b->event.len ||
	       (a->event.len == b->event.len &&
		(!a->event.match || !b->event.match ||
		 masked(a->event.data, a->event.len) == masked(b->event.data, a->event.len)));
}

static bool conflicts(const struct modelled *claims)
{
	for (unsigned int i = 0; i < CLAIMS; i++)
		for (unsigned int j = 0; j < i; j++)
			if (level_of(i) == level_of(j) && claims[i].claim && claims[j].claim &&
			    claims[i].enabled && claims[j].enabled &&
			    exclude(&claims[i], &claims[j]))
				return true;
	return false;
}

/* A new one: false when it would be past what the model knows. */
static bool describe(struct state *s, struct modelled *m, struct via_bus_change *change,
		     unsigned int c, struct fuzz_input *in, uint8_t start, uint8_t len)
{
	uint8_t how = fuzz_u8(in), more = fuzz_u8(in);
	struct dev *dev = &s->claims[c].dev;

	if (start + 1u + len % 64u > BYTES)
		return false;
	*m = (struct modelled){
		.start = start,
		.end = start + 1u + len % 64u,
		.priority = (how & 3) - 1,
		.offset = how & 4 ? UINT64_MAX - len : len,
		.enabled = more & 7,
		.is_event = (how & 0x18) == 0x18,
		.dev = {.id = c,
			.declines_reads = len >= 0xc0,
			.declines_writes = len >= 0x80,
			.big_endian = how & 0x80},
	};
	if (m->is_event) {
		m->event = (struct via_bus_ioeventfd){
			.fd = s->fd[more % FDS], .match = how & 0x40, .data = len >> 3};
		m->event.len = len % 5 == 4 ? 0 : (uint8_t)(1u << len % 5);
		m->event.match &= m->event.len != 0;
		m->end = m->start + (m->event.len ? m->event.len : 1);
		change->desc = (struct via_claim_desc){.start = s->base + start,
						       .ioeventfd = &s->claims[c].event,
						       .flags = m->enabled ? 0 : VIA_BUS_DISABLED};
		s->claims[c].event = m->event;
		return m->end <= BYTES;
	}
	m->indivisible = (more & 0x18) == 0x18;
	m->queues = (more & 0x60) == 0x60 && !m->dev.declines_reads && !m->dev.declines_writes;
	m->discards = m->queues && more & 0x80;
	*dev = m->dev;
	change->desc = (struct via_claim_desc){
		.start = s->base + m->start,
		.last = s->base + m->end - 1,
		.priority = m->priority,
		.offset = m->offset,
		.ops = &ops,
		.opaque = dev,
		.valid_unaligned = true,
		.impl_unaligned = len & 1,
		.impl_min = (uint8_t)(1u << (more >> 3 & 3)),
		.coalescer = m->queues ? s->coalescer : NULL,
		.flags = (m->enabled ? 0u : VIA_BUS_DISABLED) |
			 (m->indivisible ? VIA_BUS_INDIVISIBLE : 0u) |
			 (m->queues ? VIA_BUS_COALESCE : 0u) |
			 (m->discards ? VIA_BUS_DISCARD : 0u) |
			 (m->dev.big_endian ? VIA_BUS_BIG_ENDIAN : 0u),
	};
	return true;
}

/* A change of one that is there; *expect may become -EINVAL. False: as describe(). */
static bool alter(const struct state *s, struct modelled *m, struct via_bus_change *change,
		  uint8_t how, uint8_t start, uint8_t len, int *expect)
{
	unsigned int end = start + (m->end - m->start);

	*change = (struct via_bus_change){.claim = m->claim, .start = s->base + start};
	switch (how >> 4 & 7) {
	case 0:
		change->kind = VIA_BUS_ENABLE;
		m->enabled = true;
		return true;
	case 1:
		change->kind = VIA_BUS_DISABLE;
		m->enabled = false;
		return true;
	case 2:
	case 3:
		change->kind = VIA_BUS_RESIZE;
		end = start + 1u + len % 64u;
		if (end > BYTES)
			return false;
		change->last = s->base + end - 1;
		if (m->is_event || end - start - 1 > UINT64_MAX - m->offset) {
			*expect = -EINVAL;
			return true;
		}
		break;
	case 4:
	case 5:
		change->kind = VIA_BUS_MOVE;
		if (end > BYTES)
			return false;
		break;
	default:
		change->kind = VIA_BUS_REMOVE;
		m->claim = NULL;
		return true;
	}
	m->start = start;
	m->end = end;
	return true;
}

/* One that has been removed got all that was queued for it, or the rest was dropped. */
static void check_removed(const struct modelled *m)
{
	FUZZ_CHECK(m->is_event || m->dev.written == m->expected ||
		   (m->discards && m->dev.written < m->expected));
}

/* After a commit: the devices are where they were, all else is new. */
static void take_over(struct state *s, const struct modelled *after)
{
	for (unsigned int i = 0; i < CLAIMS; i++) {
		struct dev dev = s->claims[i].dev;

		if (s->claims[i].claim && !after[i].claim)
			check_removed(&s->claims[i]);
		s->claims[i] = after[i];
		s->claims[i].dev = dev;
	}
}

/* Up to four changes at once. */
static void commit(struct state *s, struct fuzz_input *in, int level)
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
		unsigned int c = (unsigned int)level * EACH + how % EACH;
		struct modelled *m = &after[c];

		which[i] = c;
		if (s->claims[c].claim && used & 1u << c) {
			/* Two changes of one claim. */
			changes[i] = (struct via_bus_change){VIA_BUS_REMOVE, s->claims[c].claim};
			expect = -EINVAL;
		} else if (s->claims[c].claim) {
			if (!alter(s, m, &changes[i], how, start, len, &expect)) {
				*m = s->claims[c];
				n = i;
				break;
			}
		} else {
			if (used & 1u << c || !describe(s, m, &changes[i], c, in, start, len)) {
				if (!(used & 1u << c))
					*m = s->claims[c];
				n = i;
				break;
			}
			m->claim = fresh;
		}
		used |= 1u << c;
	}
	if (!expect && conflicts(after))
		expect = -EEXIST;
	r = via_bus_commit(s->bus[level], changes, n);
	FUZZ_CHECK(r == expect);
	if (r)
		return;
	for (unsigned int i = 0; i < n; i++)
		if (changes[i].kind == VIA_BUS_ADD)
			after[which[i]].claim = changes[i].claim;
	take_over(s, after);
	check_written(s, false);
}

static void remove_one(struct state *s, struct fuzz_input *in)
{
	uint8_t how = fuzz_u8(in);
	struct modelled *m = &s->claims[how % CLAIMS];
	struct via_claim_stats stats;

	if (!m->claim)
		return;
	via_claim_get_stats(m->claim, &stats);
	FUZZ_CHECK(!stats.refusals);
	if (how & 0x80)
		via_bus_remove_async(m->claim, NULL, NULL);
	else
		FUZZ_CHECK(via_bus_remove(m->claim) == 0);
	check_removed(m);
	m->claim = NULL;
	check_written(s, m->queues);
}

/* By what it is, not by its claim. */
static void deassign(struct state *s, struct fuzz_input *in, int level)
{
	uint8_t how = fuzz_u8(in), change = fuzz_u8(in);
	const struct modelled *like = &s->claims[how % CLAIMS];
	struct via_bus_ioeventfd e = like->event;
	unsigned int found = CLAIMS, start = like->start;

	if (!like->is_event)
		return;
	switch (change & 7) {
	case 0:
		e.fd = s->fd[change >> 3 & 1];
		break;
	case 1:
		e.data ^= 1;
		break;
	case 2:
		e.len = (uint8_t)(1u << (change >> 3 & 3));
		break;
	case 3:
		start ^= 1;
		break;
	case 4:
		e.match = e.len && !e.match;
		break;
	default:
		break;
	}
	for (unsigned int i = 0; i < CLAIMS; i++) {
		const struct modelled *m = &s->claims[i];

		if (m->claim && m->is_event && m->enabled && level_of(i) == level &&
		    m->start == start && m->event.fd == e.fd && m->event.len == e.len &&
		    m->event.match == e.match &&
		    (!e.match || masked(m->event.data, e.len) == masked(e.data, e.len)))
			found = i;
	}
	FUZZ_CHECK(via_bus_ioeventfd_deassign(s->bus[level], s->base + start, &e) ==
		   (found == CLAIMS ? -ENOENT : 0));
	if (found != CLAIMS)
		s->claims[found].claim = NULL;
}

/* --- One input --- */

static void step(struct state *s, struct fuzz_input *in)
{
	uint8_t kind = fuzz_u8(in);
	int level = kind & 2 ? VCPU : VM;

	if (kind & 1) {
		commit(s, in, level);
		return;
	}
	switch (kind >> 2 & 15) {
	case 0:
		remove_one(s, in);
		break;
	case 1:
		deassign(s, in, level);
		break;
	case 2:
		FUZZ_CHECK(via_bus_set_counting(s->bus[level], kind & 0x80) == 0);
		break;
	case 3:
		via_coalescer_drain(s->coalescer);
		check_written(s, true);
		break;
	case 4:
	case 5:
		access_string(s, in, level, fuzz_u8(in));
		break;
	case 6:
	case 7:
		access_batch(s, in, level);
		break;
	case 8:
	case 9:
	case 10:
		access_buffer(s, in, level, fuzz_u8(in));
		break;
	default:
		access_value(s, in, level, fuzz_u8(in));
	}
}

static void begin(struct state *s, uint8_t how)
{
	struct via_bus_desc desc = {.name = "vm", .zeros = how & 4, .miss = note_miss, .opaque = s};

	switch (how & 3) {
	case 0:
		break;
	case 1:
		s->base = UINT64_MAX - (BYTES - 1);
		break;
	default:
		s->base = 0xfffff80;
	}
	s->filler = desc.zeros ? 0 : 0xff;
	FUZZ_CHECK(via_bus_new_as(&desc, &s->bus[VM]) == 0);
	desc.name = "vcpu";
	desc.below = s->bus[VM];
	FUZZ_CHECK(via_bus_new_as(&desc, &s->bus[VCPU]) == 0);
	FUZZ_CHECK(via_coalescer_new(1 + (how >> 3 & 3), -1, &s->coalescer) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd[FDS];
	struct fuzz_input in = {data, size};
	struct state s = {0};
	char text[256];

	for (int i = 0; i < FDS; i++) {
		if (!fd[i])
			fd[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		FUZZ_CHECK(fd[i] > 0);
		s.fd[i] = fd[i];
	}
	begin(&s, fuzz_u8(&in));
	for (int i = 0; i < FUZZ_STEPS && in.left; i++)
		step(&s, &in);
	for (unsigned int at = 0; at < BYTES; at++) {
		for (int level = VM; level <= VCPU; level++) {
			struct outcome o = outcome(&s, level, at, 1, false, 0);
			uint8_t read;
			size_t done = 0;

			FUZZ_CHECK(via_bus_read(s.bus[level], s.base + at, &read, 1, &done) ==
				   (o.missed ? -ENXIO : 0));
			FUZZ_CHECK(read == (o.missed ? s.filler : content_at(&s, o.owner[0], at)));
			FUZZ_CHECK(done == !o.missed);
		}
	}
	(void)via_bus_dump(s.bus[VCPU], text, sizeof(text));
	(void)via_bus_dump(s.bus[VM], text, sizeof(text));
	via_bus_free(s.bus[VCPU]);
	via_bus_free(s.bus[VM]);
	via_coalescer_free(s.coalescer);
	return 0;
}
