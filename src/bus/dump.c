/* SPDX-License-Identifier: MIT */
#include "bus/internal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

/* Text that is cut at the end of the buffer, but counted whole. */
struct text {
	char *buf;
	size_t len, used;
};

static __attribute__((format(printf, 2, 3))) void say(struct text *text, const char *format, ...)
{
	size_t room = text->used < text->len ? text->len - text->used : 0;
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(room ? text->buf + text->used : NULL, room, format, args);
	va_end(args);
	text->used += n > 0 ? (size_t)n : 0;
}

static void dump_piece(void *opaque, const struct via_bus_entry *entry)
{
	struct text *text = opaque;
	const struct via_claim_desc *desc = &entry->claim->desc;

	say(text, "%016" PRIx64 "-%016" PRIx64 " %s +0x%" PRIx64 " priority %d%s\n", entry->start,
	    entry->last, desc->name ? desc->name : "?", entry->start + entry->delta, desc->priority,
	    desc->flags & VIA_BUS_COALESCE ? " coalesced" : "");
}

static void dump_event(void *opaque, const struct via_bus_event *e)
{
	struct text *text = opaque;

	say(text, "%016" PRIx64 " ioeventfd length ", e->addr);
	if (e->len)
		say(text, "%u", e->len);
	else
		say(text, "any");
	if (e->match)
		say(text, " data 0x%" PRIx64, e->data);
	say(text, "\n");
}

size_t via_bus_dump(struct via_bus *bus, char *buf, size_t len)
{
	struct text text = {buf, len, 0};

	if (len)
		buf[0] = '\0';
	via_bus_each_piece(bus, dump_piece, &text);
	via_bus_each_event(bus, dump_event, &text);
	return text.used;
}
