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
static int do_piece(const struct via_bus_entry *entry, uint64_t offset, unsigned int len, bool write,
		    uint8_t *bytes, unsigned int *ret_n)
{
	const struct via_claim_desc *desc = &entry->claim->desc;
	unsigned int n = 0, size, lane;
	int ret = 0;

	while (n < len && !ret) {
		size = natural_size(offset + n, len - n, desc->impl_max, desc->impl_unaligned);
		if (size >= desc->impl_min) {
			ret = write ? call_write(entry, offset + n, size, bytes + n) :
				      call_read(entry, offset + n, size, bytes + n);
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

static void miss(struct via_bus_access *access, unsigned int pos, unsigned int end)
{
	if (!access->write)
		memset(access->bytes + pos, 0xff, end - pos);
	access->missed = true;
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
static int do_entry(const struct via_bus_entry *entry, struct via_bus_access *access,
		    unsigned int *pos, unsigned int end)
{
	const struct via_claim_desc *desc = &entry->claim->desc;

	while (*pos < end) {
		uint64_t offset = access->addr + *pos + entry->delta;
		unsigned int len = end - *pos, n = 0;
		int ret = -ENXIO;

		if (!via_is_pow2(len))
			len = natural_size(offset, len, 8, false);
		if (via_bus_entry_is_dead(entry))
			return VIA_BUS_DECLINE;
		if (is_valid(desc, offset, len))
			ret = do_piece(entry, offset, len, access->write, access->bytes + *pos, &n);
		answer(access, *pos, n);
		if (ret == -ENXIO) {
			miss(access, *pos + n, *pos + len);
			ret = 0;
			n = len;
		}
		*pos += n;
		if (ret)
			return ret;
	}
	return 0;
}

/* The last entry of a layer that starts at or below @addr; NULL if there is none. */
static const struct via_bus_entry *layer_search(const struct via_bus_layer *layer, uint64_t addr)
{
	size_t low = 0, high = layer->n_entries;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (layer->entries[mid].start <= addr)
			low = mid + 1;
		else
			high = mid;
	}
	return low ? &layer->entries[low - 1] : NULL;
}

/*
 * The highest claim at @addr in layers @from and below; *last is lowered to
 * where its visible run ends, or the hole if there is none.
 */
static const struct via_bus_entry *find_beneath(const struct via_bus_view *view, size_t from,
						uint64_t addr, uint64_t *last)
{
	for (; from < view->n_layers; from++) {
		const struct via_bus_layer *layer = &view->layers[from];
		const struct via_bus_entry *entry = layer_search(layer, addr);
		const struct via_bus_entry *next = entry ? entry + 1 : layer->entries;

		if (entry && entry->last >= addr) {
			*last = via_min_u64(*last, entry->last);
			return entry;
		}
		if (next < layer->entries + layer->n_entries && next->start <= *last)
			*last = next->start - 1;
	}
	return NULL;
}

/*
 * Bytes [*pos, end) below layer @from. A claim that declines leaves its part to
 * those beneath it, and what follows the part to where the search had begun:
 * each level is shorter than the one around it, so there are at most eight.
 */
static int do_beneath(const struct via_bus_view *view, size_t from, struct via_bus_access *access,
		      unsigned int *pos, unsigned int end)
{
	struct {
		unsigned int end;
		size_t from;
	} level[8] = { { end, from } };
	unsigned int depth = 0;

	while (*pos < end) {
		uint64_t addr = access->addr + *pos, last;
		const struct via_bus_entry *entry;
		unsigned int stop;
		int ret;

		while (level[depth].end <= *pos)
			depth--;
		last = access->addr + level[depth].end - 1;
		entry = find_beneath(view, level[depth].from, addr, &last);
		stop = (unsigned int)(last - access->addr) + 1;
		if (!entry) {
			miss(access, *pos, stop);
			*pos = stop;
			continue;
		}
		ret = do_entry(entry, access, pos, stop);
		if (ret < 0)
			return ret;
		if (!ret)
			continue;
		if (stop < level[depth].end)
			level[++depth].end = stop;
		level[depth].from = entry->layer + 1u;
	}
	return 0;
}

/* Below a declining piece; a dead one may hide a living neighbour in its own layer. */
static size_t layer_beneath(const struct via_bus_entry *entry)
{
	return via_bus_entry_is_dead(entry) ? entry->layer : entry->layer + 1u;
}

/* No piece of the access lies in an indivisible claim that does not hold all of it. */
static bool may_divide(struct via_bus *bus, struct via_bus_view *view,
		       const struct via_bus_access *access)
{
	uint64_t last = access->addr + (access->len - 1);
	unsigned int pos;

	for (pos = 0; pos < access->len; pos++) {
		const struct via_bus_entry *entry = via_bus_lookup(bus, view, access->addr + pos);

		if (entry && (entry->flags & VIA_BUS_INDIVISIBLE) &&
		    (access->addr < entry->start || last > entry->last))
			return false;
	}
	return true;
}

static int finish(const struct via_bus_access *access)
{
	return access->missed ? -ENXIO : 0;
}

int via_bus_access(struct via_bus *bus, struct via_bus_access *access)
{
	struct via_bus_view *view = via_bus_view_get(bus);
	unsigned int pos = 0;

	if (view->has_indivisible && !may_divide(bus, view, access)) {
		miss(access, 0, access->len);
		return -ENXIO;
	}
	while (pos < access->len) {
		uint64_t addr = access->addr + pos;
		const struct via_bus_entry *entry;
		unsigned int end;
		int ret;

		view = via_bus_view_get(bus);
		entry = via_bus_lookup(bus, view, addr);
		if (!entry) {
			miss(access, pos, pos + 1);
			pos++;
			continue;
		}
		end = pos + 1 + (unsigned int)via_min_u64(access->len - pos - 1, entry->last - addr);
		ret = do_entry(entry, access, &pos, end);
		if (ret > 0)
			ret = do_beneath(view, layer_beneath(entry), access, &pos, end);
		if (ret < 0)
			return ret;
	}
	return finish(access);
}

int via_bus_access_beneath(const struct via_bus_view *view, const struct via_bus_entry *entry,
			   struct via_bus_access *access)
{
	unsigned int pos = 0;
	int ret = do_beneath(view, layer_beneath(entry), access, &pos, access->len);

	return ret ? ret : finish(access);
}
