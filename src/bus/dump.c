/* SPDX-License-Identifier: MIT */
#include "bus/internal.h"

#include <inttypes.h>
#include <stdio.h>

static void dump_line(const struct via_bus_entry *entry, char *buf, size_t len, size_t *used)
{
	const struct via_claim_desc *desc = &entry->claim->desc;
	size_t room = *used < len ? len - *used : 0;
	int n = snprintf(room ? buf + *used : NULL, room,
			 "%016" PRIx64 "-%016" PRIx64 " %s +0x%" PRIx64 " priority %d\n",
			 entry->start, entry->last, desc->name ? desc->name : "?",
			 entry->start + entry->delta, desc->priority);

	*used += n > 0 ? (size_t)n : 0;
}

size_t via_bus_dump(struct via_bus *bus, char *buf, size_t len)
{
	const struct via_bus_view *view;
	size_t used = 0, i;

	if (len)
		buf[0] = '\0';
	via_epoch_enter();
	view = via_bus_view_get(bus);
	for (i = 0; i < view->n_entries; i++) {
		if (!via_bus_entry_is_dead(&view->entries[i]))
			dump_line(&view->entries[i], buf, len, &used);
	}
	via_epoch_exit();
	return used;
}
