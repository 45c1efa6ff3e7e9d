/* SPDX-License-Identifier: MIT */
/*
 * What a program has mapped of a device, as far as we must know it: where a
 * trapped access goes, and that the file stays open while the mapping exists.
 */
#include "host/internal.h"

#include "device/device.h"

#include <errno.h>
#include <stdlib.h>

#define PAGE_SIZE 4096u

static void mapping_put(struct via_mapping *mapping)
{
	if (__atomic_sub_fetch(&mapping->refs, 1, __ATOMIC_ACQ_REL))
		return;
	if (mapping->unmapped)
		mapping->unmapped(mapping->owner);
	via_file_put(mapping->file);
	free(mapping);
}

/* The last part is unmapped; accesses that run may finish. */
static void mapping_end(struct via_mapping *mapping)
{
	via_guard_remove_all(mapping);
	mapping_put(mapping);
}

/* Areas of the region, cut to [offset, offset+len) and counted from there. */
static int cut_areas(const struct via_mmap *map, struct via_door_area *areas, size_t max_areas,
		     size_t *ret_n_areas)
{
	uint64_t end = map->offset + map->len;
	size_t n = 0;

	if (!map->areas) {
		areas[n++] = (struct via_door_area){.size = map->len, .kind = VIA_AREA_MEMORY};
		*ret_n_areas = n;
		return 0;
	}
	for (size_t i = 0; i < map->n_areas; i++) {
		const struct via_area *area = &map->areas[i];
		uint64_t from = area->offset > map->offset ? area->offset : map->offset;
		uint64_t to = area->offset + area->size < end ? area->offset + area->size : end;

		if (from >= to)
			continue;
		if (n == max_areas)
			return -ENOMEM;
		areas[n++] = (struct via_door_area){.offset = from - map->offset,
						    .size = to - from,
						    .kind = (uint32_t)area->kind};
	}
	*ret_n_areas = n;
	return 0;
}

static int64_t publish(struct via_peer *peer, struct via_mapping *mapping)
{
	uint64_t id = 0;

	pthread_mutex_lock(&peer->lock);
	if (!peer->gone && peer->mappings.n_used < VIA_DOOR_MAX_MAPPINGS)
		id = via_id_add(&peer->mappings, mapping);
	pthread_mutex_unlock(&peer->lock);
	return id ? (int64_t)id : -ENOMEM;
}

int64_t via_mapping_new(struct via_peer *peer, struct via_file *file, struct via_caller *caller,
			const uint64_t arg[4], struct via_mmap *ret_map,
			struct via_door_area *areas, size_t max_areas, size_t *ret_n_areas)
{
	struct via_mapping *mapping;
	struct via_mmap map = {0};
	int64_t id;
	int r;

	/* As the system call does, whatever the file. */
	if (!arg[1] || arg[0] % PAGE_SIZE)
		return -EINVAL;
	if (arg[1] > INT64_MAX - PAGE_SIZE)
		return -ENOMEM;
	r = via_file_mmap(file, caller, arg[0],
			  (arg[1] + PAGE_SIZE - 1) & ~(uint64_t)(PAGE_SIZE - 1), (int)arg[2],
			  (int)arg[3], &map);
	if (r)
		return r;
	r = cut_areas(&map, areas, max_areas, ret_n_areas);
	mapping = r ? NULL : calloc(1, sizeof(*mapping));
	if (!mapping) {
		if (map.unmapped)
			map.unmapped(map.owner);
		return r ? r : -ENOMEM;
	}
	mapping->refs = 1;
	mapping->host = peer->host;
	mapping->file = via_file_get(file);
	mapping->dev = map.dev;
	mapping->region = map.region;
	mapping->offset = map.offset;
	mapping->len = map.len;
	mapping->unmapped = map.unmapped;
	mapping->owner = map.owner;
	id = publish(peer, mapping);
	if (id < 0)
		mapping_put(mapping);
	else
		*ret_map = map;
	return id;
}

static struct via_mapping *find(struct via_peer *peer, uint64_t id)
{
	struct via_mapping *mapping;

	pthread_mutex_lock(&peer->lock);
	mapping = via_id_find(&peer->mappings, id);
	if (mapping)
		__atomic_add_fetch(&mapping->refs, 1, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&peer->lock);
	return mapping;
}

int via_mapping_unmap(struct via_peer *peer, uint64_t id)
{
	struct via_mapping *mapping;

	pthread_mutex_lock(&peer->lock);
	mapping = via_id_find(&peer->mappings, id);
	via_id_remove(&peer->mappings, id);
	pthread_mutex_unlock(&peer->lock);
	if (!mapping)
		return -ESTALE;
	mapping_end(mapping);
	return 0;
}

void via_mapping_drop_all(struct via_peer *peer)
{
	for (uint32_t i = 0;; i++) {
		struct via_mapping *mapping;

		/* gone is set: nothing is added any more. */
		pthread_mutex_lock(&peer->lock);
		if (i >= peer->mappings.n_slots) {
			pthread_mutex_unlock(&peer->lock);
			return;
		}
		mapping = peer->mappings.slots[i].ptr;
		if (mapping)
			via_id_remove(&peer->mappings,
				      (uint64_t)peer->mappings.slots[i].generation << 32 | (i + 1));
		pthread_mutex_unlock(&peer->lock);
		if (mapping)
			mapping_end(mapping);
	}
}

static int check_access(const struct via_mapping *mapping, uint64_t offset, uint64_t size)
{
	if (size != 1 && size != 2 && size != 4 && size != 8)
		return -EINVAL;
	if (!mapping->dev || offset > mapping->len || size > mapping->len - offset)
		return -EINVAL;
	return 0;
}

int via_mapping_read(struct via_peer *peer, uint64_t id, uint64_t offset, uint64_t size,
		     uint64_t *ret_value)
{
	struct via_mapping *mapping = find(peer, id);
	int r;

	if (!mapping)
		return -ESTALE;
	r = check_access(mapping, offset, size);
	if (!r)
		r = via_device_mapped_read(mapping->dev, mapping->region, mapping->offset + offset,
					   (unsigned int)size, ret_value);
	mapping_put(mapping);
	return r;
}

int via_mapping_write(struct via_peer *peer, uint64_t id, uint64_t offset, uint64_t size,
		      uint64_t value)
{
	struct via_mapping *mapping = find(peer, id);
	int r;

	if (!mapping)
		return -ESTALE;
	r = check_access(mapping, offset, size);
	if (!r)
		r = via_device_mapped_write(mapping->dev, mapping->region, mapping->offset + offset,
					    (unsigned int)size, value);
	mapping_put(mapping);
	return r;
}

int via_mapping_guard(struct via_peer *peer, uint64_t id, uint64_t offset, uint64_t addr,
		      uint64_t len, int fd)
{
	struct via_mapping *mapping = find(peer, id);
	uint64_t end;
	int r = -EINVAL;

	if (!mapping)
		return -ESTALE;
	if (mapping->dev && len && !((offset | addr | len) & (PAGE_SIZE - 1)) &&
	    offset <= mapping->len && len <= mapping->len - offset &&
	    !__builtin_add_overflow(addr, len, &end))
		r = via_guard_add(mapping, addr, len, fd);
	mapping_put(mapping);
	return r;
}
