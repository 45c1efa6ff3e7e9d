/* SPDX-License-Identifier: MIT */
/*
 * Ioeventfds of a bus: a table that a write is looked up in by address,
 * length and data, however many there are at one address.
 */
#ifndef VIA_BUS_EVENTS_H
#define VIA_BUS_EVENTS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct via_bus;
struct via_claim;
struct via_bus_ioeventfd;

/* One of them at one address. Constant but for fd. */
struct via_bus_event {
	uint64_t addr;
	uint64_t data;	/* 0 without match */
	_Atomic int fd; /* -1: removed without memory, takes no write */
	uint8_t len;	/* 0: any */
	bool match;
	bool nonblock;		    /* O_NONBLOCK of fd, as it was */
	struct via_bus_event *next; /* writers: of garbage */
};

/* Immutable once published. Open addressing with linear probing. */
struct via_bus_events {
	size_t mask;
	/* What kinds there are: those that there are none of need not be looked for. */
	bool has_any, has_wild, has_match;
	struct via_bus_event *garbage; /* writers: those that the next table does not have */
	struct via_bus_event *slot[];
};

/* Does a write of the low @len bytes of @value signal one? If so it has been. In a section. */
bool via_bus_events_write(const struct via_bus_events *events, uint64_t addr, unsigned int len,
			  uint64_t value);

/* 0; -EINVAL; -EBADF. @last: of the space. */
int via_bus_event_check(const struct via_bus_ioeventfd *desc, uint64_t addr, uint64_t last);
/* Order of bus->events: by address; those that exclude each other are neighbours. */
int via_bus_event_compare(const struct via_bus_event *a, const struct via_bus_event *b);

/*
 * The table of @claims, n > 0, in order. 0; -EEXIST two of them would take the same
 * write; -ENOMEM.
 */
int via_bus_events_new(struct via_claim *const *claims, size_t n,
		       struct via_bus_events **ret_events);
/* With its garbage. */
void via_bus_events_free(struct via_bus_events *events);
/* Is one of them in [first, last]? */
bool via_bus_events_touch(struct via_claim *const *claims, size_t n, uint64_t first, uint64_t last);

#endif
