/* SPDX-License-Identifier: MIT */
/*
 * The rules for everything that is not one plain callback: pieces of several
 * claims, claims beneath one that declines, widths, alignment, byte order.
 * Pieces are done in ascending order, each looked up when its turn comes.
 */
#include "bus/internal.h"

#include <errno.h>

#include "base/util.h"

static bool is_aligned(uint64_t offset, unsigned int size)
{
	return !(offset & (size - 1));
}

/* The largest power of two that is at most @len, and aligned at @offset if that matters. */
static unsigned int natural_size(uint64_t offset, unsigned int len, unsigned int max,
				 bool unaligned_ok)
{
	unsigned int size = max;

	while (size > len || (!unaligned_ok && !is_aligned(offset, size)))
		size /= 2;
	return size;
}

/* A device's number of @size bytes, to and from the bytes that it stands for. */
static void value_to_bytes(const struct via_bus_entry *entry, uint64_t value, unsigned int size,
			   uint8_t *bytes)
{
	unsigned int i;

	for (i = 0; i < size; i++) {
		unsigned int lane = entry->flags & VIA_BUS_BIG_ENDIAN ? size - 1 - i : i;

		bytes[i] = (uint8_t)(value >> (8 * lane));
	}
}

static uint64_t bytes_to_value(const struct via_bus_entry *entry, const uint8_t *bytes,
			       unsigned int size)
{
	uint64_t value = 0;
	unsigned int i;

	for (i = 0; i < size; i++) {
		unsigned int lane = entry->flags & VIA_BUS_BIG_ENDIAN ? size - 1 - i : i;

		value |= (uint64_t)bytes[i] << (8 * lane);
	}
	return value;
}

static int call_read(const struct via_bus_entry *entry, uint64_t offset, unsigned int size,
		     uint8_t *bytes)
{
	uint64_t value = 0;
	int ret = via_bus_call_read(entry, offset, size, &value);

	if (!ret)
		value_to_bytes(entry, value, size, bytes);
	return ret;
}

static int call_write(const struct via_bus_entry *entry, uint64_t offset, unsigned int size,
		      const uint8_t *bytes)
{
	return via_bus_call_write(entry, offset, size, bytes_to_value(entry, bytes, size));
}

/*
 * Part of one word of the narrowest width that the device knows. A write needs
 * the device's consent to be turned into a read and a write of the word.
 * Return: as a callback; -ENXIO where the device cannot do it.
 */
static int narrow(const struct via_bus_entry *entry, uint64_t offset, unsigned int len, bool write,
		  uint8_t *bytes)
{
	unsigned int word = entry->claim->desc.impl_min;
	unsigned int lane = (unsigned int)(offset & (word - 1));
	uint8_t whole[8];
	int ret;

	if (write && entry->claim->desc.ops && entry->claim->desc.ops->write_lanes) {
		memset(whole, 0, sizeof(whole));
		memcpy(whole + lane, bytes, len);
		return via_bus_call_lanes(entry, offset - lane, word,
					  bytes_to_value(entry, whole, word),
					  ((1u << len) - 1) << lane);
	}
	if (write && !(entry->flags & VIA_BUS_NARROW_RMW))
		return -ENXIO;
	ret = call_read(entry, offset - lane, word, whole);
	if (ret)
		return ret;
	if (!write) {
		memcpy(bytes, whole + lane, len);
		return 0;
	}
	memcpy(whole + lane, bytes, len);
	return call_write(entry, offset - lane, word, whole);
}

/*
 * One guest access inside one claim, by callbacks that the device can do.
 * @ret_n: bytes finished, also on failure. Return: as a callback.
 */
static int do_piece(const struct via_bus_entry *entry, uint64_t offset, unsigned int len,
		    bool write, uint8_t *bytes, unsigned int *ret_n)
{
	const struct via_claim_desc *desc = &entry->claim->desc;
	unsigned int n = 0, size, lane;
	int ret = 0;

	while (n < len && !ret) {
		size = natural_size(offset + n, len - n, desc->impl_max, desc->impl_unaligned);
		if (size >= desc->impl_min) {
			ret = write ? call_write(entry, offset + n, size, bytes + n)
				    : call_read(entry, offset + n, size, bytes + n);
		} else {
			lane = (unsigned int)((offset + n) & (desc->impl_min - 1u));
			size = (unsigned int)via_min_u64(len - n, desc->impl_min - lane);
			ret = narrow(entry, offset + n, size, write, bytes + n);
		}
		if (!ret)
			n += size;
	}
	*ret_n = n;
	return ret;
}

static bool is_valid(const struct via_claim_desc *desc, uint64_t offset, unsigned int size)
{
	return size >= desc->valid_min && size <= desc->valid_max &&
	       (desc->valid_unaligned || is_aligned(offset, size));
}

void via_bus_note_miss(struct via_bus *bus, uint64_t addr, unsigned int size, bool write,
		       uint64_t value)
{
	struct via_bus_miss miss = {.addr = addr, .size = size, .write = write, .value = value};

	if (!atomic_load_explicit(&bus->notes_misses, memory_order_relaxed))
		return;
	if (bus->miss)
		bus->miss(bus->opaque, &miss);
	via_bus_count_miss(bus, &miss);
}

/* Bytes [pos, end) keep the filler. */
static void miss(struct via_bus *bus, struct via_bus_access *access, unsigned int pos,
		 unsigned int end)
{
	uint64_t value = 0;
	unsigned int i;

	access->missed = true;
	for (i = pos; i < end; i++) {
		if (!access->write)
			access->bytes[i] = bus->zeros ? 0 : 0xff;
		else
			value |= (uint64_t)access->bytes[i] << 8 * (i - pos);
	}
	via_bus_note_miss(bus, access->addr + pos, end - pos, access->write, value);
}

static void answer(struct via_bus_access *access, unsigned int pos, unsigned int n)
{
	if (access->done == pos)
		access->done += n;
}

/*
 * Bytes [*pos, end) by @entry, which covers them. A part of an access that is
 * no power of two is cut as the CPU would have cut it. What the device does not
 * accept nobody answers. Return: as a callback; *pos is where it stopped.
 */
static int do_entry(struct via_bus *bus, const struct via_bus_entry *entry,
		    struct via_bus_access *access, unsigned int *pos, unsigned int end)
{
	const struct via_claim_desc *desc = &entry->claim->desc;

	while (*pos < end) {
		uint64_t offset = access->addr + *pos + entry->delta;
		unsigned int len = end - *pos, n = 0;
		int ret = -ENXIO;

		if (!via_is_pow2(len))
			len = natural_size(offset, len, 8, false);
		if (via_bus_entry_is_dead(entry))
			return VIA_BUS_DEAD;
		if (is_valid(desc, offset, len))
			ret = do_piece(entry, offset, len, access->write, access->bytes + *pos, &n);
		answer(access, *pos, n);
		if (ret == -ENXIO) {
			miss(bus, access, *pos + n, *pos + len);
			ret = 0;
			n = len;
		}
		*pos += n;
		if (ret)
			return ret;
	}
	return 0;
}

/* Where in a bus, or in what is below it, an access is to look. */
struct place {
	struct via_bus *level;
	const struct via_bus_view *view;
	size_t layer; /* this one and those beneath it */
};

/* The whole access is a write that an ioeventfd of @level takes; then it is done. */
static bool take_event(const struct via_bus_view *view, struct via_bus_access *access)
{
	uint64_t value = 0;
	unsigned int i;

	if (!access->write || access->cut || !view->events)
		return false;
	for (i = 0; i < access->len; i++)
		value |= (uint64_t)access->bytes[i] << 8 * i;
	if (!via_bus_events_write(view->events, access->addr, access->len, value))
		return false;
	access->done = access->len;
	return true;
}

/* The entry at @addr; else *last is lowered to before the next one. */
static const struct via_bus_entry *look(const struct via_bus_map *map, uint64_t addr,
					uint64_t *last)
{
	const struct via_bus_entry *entry = via_bus_map_guess(map, addr);
	struct via_bus_cursor at;

	if (!entry) {
		at = via_bus_map_seek(map, addr);
		entry = via_bus_cursor_entry(&at);
		if (!entry || entry->start > *last)
			return NULL;
		if (entry->start > addr) {
			*last = entry->start - 1;
			return NULL;
		}
	}
	*last = via_min_u64(*last, entry->last);
	return entry;
}

/*
 * The highest claim at byte @pos from @place on and below; *last is lowered to
 * where its visible run ends, or the hole if there is none. @place: where it was
 * found. *ret_taken: an ioeventfd took it all.
 */
static const struct via_bus_entry *find_beneath(struct via_bus *bus, struct place *place,
						struct via_bus_access *access, unsigned int pos,
						uint64_t *last, bool *ret_taken)
{
	const struct via_bus_entry *entry;
	uint64_t addr = access->addr + pos;

	for (;;) {
		for (; place->layer < place->view->n_layers; place->layer++) {
			entry = look(&place->view->layers[place->layer].map, addr, last);
			if (entry)
				return entry;
		}
		if (place->level != bus || !bus->below)
			return NULL;
		*place = (struct place){bus->below, via_bus_view_get(bus->below), 0};
		*ret_taken = !pos && *last == access->addr + (access->len - 1) &&
			     take_event(place->view, access);
		if (*ret_taken)
			return NULL;
	}
}

/*
 * Bytes [*pos, end) from @place on. A claim that declines leaves its part to
 * those beneath it, and what follows the part to where the search had begun:
 * each level is shorter than the one around it, so there are at most eight.
 */
static int do_beneath(struct via_bus *bus, const struct place *place, struct via_bus_access *access,
		      unsigned int *pos, unsigned int end)
{
	struct {
		unsigned int end;
		struct place from;
	} level[8] = {{end, *place}};
	unsigned int depth = 0;

	while (*pos < end) {
		const struct via_bus_entry *entry;
		bool taken = false;
		struct place at;
		unsigned int stop;
		uint64_t last;
		int ret;

		while (level[depth].end <= *pos)
			depth--;
		at = level[depth].from;
		last = access->addr + level[depth].end - 1;
		entry = find_beneath(bus, &at, access, *pos, &last, &taken);
		stop = (unsigned int)(last - access->addr) + 1;
		if (taken) {
			*pos = end;
			return 0;
		}
		if (!entry) {
			miss(bus, access, *pos, stop);
			*pos = stop;
			continue;
		}
		ret = do_entry(bus, entry, access, pos, stop);
		if (ret < 0)
			return ret;
		if (!ret)
			continue;
		if (stop < level[depth].end)
			level[++depth].end = stop;
		at.layer++;
		level[depth].from = at;
	}
	return 0;
}

/* Where to look after @claim has given @answer; a dead one may hide a living neighbour. */
static size_t layer_beneath(const struct via_bus_view *view, const struct via_claim *claim,
			    int answer)
{
	int priority = claim->desc.priority;
	size_t low = 0, high = view->n_layers;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (view->layers[mid].priority > priority ||
		    (answer != VIA_BUS_DEAD && view->layers[mid].priority == priority))
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* Nothing of a bus with one below eclipses a byte of the access. */
static bool shows_whole(struct via_bus *bus, const struct via_bus_access *access)
{
	uint64_t last = access->addr + (access->len - 1), end = last;

	return !look(&via_bus_view_get(bus)->map, access->addr, &last) && last == end;
}

/* The visible piece at byte @pos; *last as for look(). @place: where it is, or what is lowest. */
static const struct via_bus_entry *find_visible(struct via_bus *bus, struct place *place,
						uint64_t addr, uint64_t *last)
{
	const struct via_bus_entry *entry;

	*place = (struct place){bus, via_bus_view_get(bus), 0};
	entry = look(&place->view->map, addr, last);
	if (entry || !bus->below)
		return entry;
	*place = (struct place){bus->below, via_bus_view_get(bus->below), 0};
	return look(&place->view->map, addr, last);
}

/* No piece of the access lies in an indivisible claim that does not hold all of it. */
static bool may_divide(struct via_bus *bus, const struct via_bus_access *access)
{
	uint64_t end = access->addr + (access->len - 1);
	unsigned int pos = 0;

	while (pos < access->len) {
		uint64_t last = end;
		struct place place;
		const struct via_bus_entry *entry =
			find_visible(bus, &place, access->addr + pos, &last);

		if (entry && (entry->flags & VIA_BUS_INDIVISIBLE) && (pos || last < end) &&
		    !via_bus_entry_is_dead(entry))
			return false;
		pos = (unsigned int)(last - access->addr) + 1;
	}
	return true;
}

static bool has_indivisible(struct via_bus *bus)
{
	return via_bus_view_get(bus)->has_indivisible ||
	       (bus->below && via_bus_view_get(bus->below)->has_indivisible);
}

static int finish(const struct via_bus_access *access)
{
	return access->missed ? -ENXIO : 0;
}

int via_bus_access(struct via_bus *bus, struct via_bus_access *access)
{
	uint64_t end_last = access->addr + (access->len - 1);
	unsigned int pos = 0;

	if (take_event(via_bus_view_get(bus), access))
		return 0;
	if (bus->below && access->write && shows_whole(bus, access) &&
	    take_event(via_bus_view_get(bus->below), access))
		return 0;
	if (has_indivisible(bus) && !may_divide(bus, access)) {
		miss(bus, access, 0, access->len);
		return -ENXIO;
	}
	while (pos < access->len) {
		const struct via_bus_entry *entry;
		uint64_t last = end_last;
		struct place place;
		unsigned int end;
		int ret;

		entry = find_visible(bus, &place, access->addr + pos, &last);
		end = (unsigned int)(last - access->addr) + 1;
		if (!entry) {
			miss(bus, access, pos, end);
			pos = end;
			continue;
		}
		ret = do_entry(bus, entry, access, &pos, end);
		if (ret > 0) {
			place.layer = layer_beneath(place.view, entry->claim, ret);
			ret = do_beneath(bus, &place, access, &pos, end);
		}
		if (ret < 0)
			return ret;
	}
	return finish(access);
}

int via_bus_access_beneath(struct via_bus *bus, const struct via_claim *asked, int answer,
			   struct via_bus_access *access)
{
	struct place place = {asked->bus, via_bus_view_get(asked->bus), 0};
	unsigned int pos = 0;
	int ret;

	place.layer = layer_beneath(place.view, asked, answer);
	ret = do_beneath(bus, &place, access, &pos, access->len);
	return ret ? ret : finish(access);
}
