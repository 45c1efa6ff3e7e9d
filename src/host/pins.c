/* SPDX-License-Identifier: MIT */
#include "host/pins.h"

#include <errno.h>
#include <stdlib.h>

#define PAGE 4096u
#define MARK_SHIFT 48
#define ADDR_MASK ((1ull << MARK_SHIFT) - 1)
/* Below what fits into the mark; a program that moves more loses the pin, not the host its memory.
 */
#define MAX_MOVES 4096u

int via_pins_init(struct via_pins *pins)
{
	*pins = (struct via_pins){0};
	return -pthread_rwlock_init(&pins->lock, NULL);
}

void via_pins_deinit(struct via_pins *pins)
{
	for (size_t i = 0; i < VIA_PINS_BUCKETS; i++) {
		struct via_pin *next;

		for (struct via_pin *pin = pins->buckets[i]; pin; pin = next) {
			next = pin->next;
			free(pin);
		}
	}
	free(pins->moves);
	pthread_rwlock_destroy(&pins->lock);
}

static struct via_pin **bucket(struct via_pins *pins, uint64_t addr)
{
	return &pins->buckets[(addr >> 12 ^ addr >> 20) % VIA_PINS_BUCKETS];
}

int via_pins_hold(struct via_pins *pins, uint64_t addr, uint64_t len, uint64_t *ret_addr)
{
	struct via_pin *pin;

	/* Not in user space: nothing is there, and must not be taken for a mark. */
	if (addr > ADDR_MASK || len > ADDR_MASK - addr) {
		*ret_addr = addr | 1ull << 63;
		return 0;
	}
	pin = malloc(sizeof(*pin));
	if (!pin)
		return -ENOMEM;
	pthread_rwlock_wrlock(&pins->lock);
	pin->addr = addr | (uint64_t)(pins->n_moves + 1) << MARK_SHIFT;
	pin->len = len;
	pin->next = *bucket(pins, pin->addr);
	*bucket(pins, pin->addr) = pin;
	pins->n_held++;
	*ret_addr = pin->addr;
	pthread_rwlock_unlock(&pins->lock);
	return 0;
}

void via_pins_release(struct via_pins *pins, uint64_t addr, uint64_t len)
{
	struct via_pin **at, *pin;

	if (addr <= ADDR_MASK)
		return;
	pthread_rwlock_wrlock(&pins->lock);
	for (at = bucket(pins, addr); (pin = *at); at = &pin->next)
		if (pin->addr == addr && pin->len == len) {
			*at = pin->next;
			pins->n_held--;
			break;
		}
	/* Nobody remembers the past: it can begin anew. */
	if (!pins->n_held)
		pins->n_moves = 0;
	pthread_rwlock_unlock(&pins->lock);
	free(pin);
}

/* With the lock. */
static uint64_t where(const struct via_pins *pins, uint64_t marked, uint64_t *len)
{
	uint64_t addr = marked & ADDR_MASK;

	for (uint64_t i = (marked >> MARK_SHIFT) - 1; i < pins->n_moves; i++) {
		const struct via_pin_move *m = &pins->moves[i];

		if (addr >= m->from && addr - m->from < m->len) {
			if (*len > m->from + m->len - addr)
				*len = m->from + m->len - addr;
			addr = m->to + (addr - m->from);
		} else if (addr < m->from && m->from - addr < *len) {
			*len = m->from - addr;
		}
	}
	return addr;
}

static bool is_marked(uint64_t addr)
{
	return addr > ADDR_MASK && addr >> MARK_SHIFT <= MAX_MOVES + 1;
}

uint64_t via_pins_where(struct via_pins *pins, uint64_t addr, uint64_t *len)
{
	if (!is_marked(addr))
		return addr;
	pthread_rwlock_rdlock(&pins->lock);
	addr = where(pins, addr, len);
	pthread_rwlock_unlock(&pins->lock);
	return addr;
}

static int by_addr(const void *a, const void *b)
{
	const struct via_door_range *x = a, *y = b;

	return (x->addr > y->addr) - (x->addr < y->addr);
}

static size_t merge(struct via_door_range *ranges, size_t n)
{
	size_t out = 0;

	qsort(ranges, n, sizeof(*ranges), by_addr);
	for (size_t i = 0; i < n; i++) {
		struct via_door_range *last = out ? &ranges[out - 1] : NULL;

		if (!last || ranges[i].addr > last->addr + last->len)
			ranges[out++] = ranges[i];
		else if (ranges[i].addr + ranges[i].len > last->addr + last->len)
			last->len = ranges[i].addr + ranges[i].len - last->addr;
	}
	return out;
}

/* With the lock: the pages of one pin that lie in [start, end) now. */
static size_t pages_of(const struct via_pins *pins, const struct via_pin *pin, uint64_t start,
		       uint64_t end, struct via_door_range *ranges, size_t n, size_t max)
{
	uint64_t done = 0;

	while (done < pin->len && n < max) {
		uint64_t len = pin->len - done, at = where(pins, pin->addr + done, &len);
		uint64_t first = at & ~(uint64_t)(PAGE - 1);
		uint64_t last = (at + len + PAGE - 1) & ~(uint64_t)(PAGE - 1);

		first = first < start ? start : first;
		last = last > end ? end : last;
		if (first < last)
			ranges[n++] = (struct via_door_range){first, last - first};
		done += len;
	}
	return n;
}

size_t via_pins_held(struct via_pins *pins, uint64_t addr, uint64_t len,
		     struct via_door_range *ret_ranges, size_t max)
{
	uint64_t start = addr & ~(uint64_t)(PAGE - 1), end;
	size_t n = 0;

	if (!max || addr > ADDR_MASK || len > ADDR_MASK - addr)
		return 0;
	end = (addr + len + PAGE - 1) & ~(uint64_t)(PAGE - 1);
	pthread_rwlock_rdlock(&pins->lock);
	for (size_t i = 0; i < VIA_PINS_BUCKETS; i++)
		for (const struct via_pin *pin = pins->buckets[i]; pin; pin = pin->next) {
			if (n == max)
				n = merge(ret_ranges, n);
			n = pages_of(pins, pin, start, end, ret_ranges, n, max);
		}
	pthread_rwlock_unlock(&pins->lock);
	return merge(ret_ranges, n);
}

/* With the lock. */
static int add_move(struct via_pins *pins, uint64_t from, uint64_t len, uint64_t to)
{
	struct via_pin_move *moves;

	if (pins->n_moves == MAX_MOVES)
		return -ENOSPC;
	if (pins->n_moves % 64 == 0) {
		moves = reallocarray(pins->moves, pins->n_moves + 64, sizeof(*moves));
		if (!moves)
			return -ENOMEM;
		pins->moves = moves;
	}
	pins->moves[pins->n_moves++] = (struct via_pin_move){from, len, to};
	return 0;
}

int via_pins_moved(struct via_pins *pins, uint64_t from, uint64_t len, uint64_t to, bool done)
{
	int settling, r = 0;

	if ((from | len | to) % PAGE || from > ADDR_MASK || to > ADDR_MASK ||
	    len > ADDR_MASK - from || len > ADDR_MASK - to)
		return -EINVAL;
	if (len) {
		pthread_rwlock_wrlock(&pins->lock);
		r = pins->n_held ? add_move(pins, from, len, to) : 0;
		pthread_rwlock_unlock(&pins->lock);
	}
	if (r)
		return r;
	if (!done) {
		__atomic_add_fetch(&pins->settling, 1, __ATOMIC_RELAXED);
		return 0;
	}
	settling = __atomic_load_n(&pins->settling, __ATOMIC_RELAXED);
	while (settling > 0 &&
	       !__atomic_compare_exchange_n(&pins->settling, &settling, settling - 1, false,
					    __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
	return 0;
}

bool via_pins_settling(struct via_pins *pins)
{
	return __atomic_load_n(&pins->settling, __ATOMIC_RELAXED) > 0;
}
