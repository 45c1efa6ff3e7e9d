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

static void dump_piece(struct text *text, const struct via_bus_entry *entry)
{
	const struct via_claim_desc *desc = &entry->claim->desc;

	say(text, "%016" PRIx64 "-%016" PRIx64 " %s +0x%" PRIx64 " priority %d%s\n", entry->start,
	    entry->last, desc->name ? desc->name : "?", entry->start + entry->delta, desc->priority,
	    desc->flags & VIA_BUS_COALESCE ? " coalesced" : "");
}

static void dump_event(struct text *text, const struct via_claim *claim)
{
	const struct via_bus_event *e = claim->event;

	say(text, "%016" PRIx64 " ioeventfd %s length ", e->addr,
	    claim->desc.name ? claim->desc.name : "?");
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
	const struct via_bus_view *view;
	struct via_bus_cursor at;
	struct via_bus_entry *entry;
	size_t i;

	if (len)
		buf[0] = '\0';
	via_epoch_enter();
	view = via_bus_view_get(bus);
	for (at = via_bus_map_seek(&view->map, 0); (entry = via_bus_cursor_entry(&at));
	     via_bus_cursor_next(&at)) {
		if (!via_bus_entry_is_dead(entry))
			dump_piece(&text, entry);
	}
	via_epoch_exit();
	(void)pthread_mutex_lock(&bus->lock);
	for (i = 0; i < bus->n_events; i++)
		dump_event(&text, bus->events[i]);
	(void)pthread_mutex_unlock(&bus->lock);
	return text.used;
}
