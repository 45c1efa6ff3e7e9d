/* SPDX-License-Identifier: MIT */
/*
 * A BAR's mappings are known by the file that is mapped: whose process it is in,
 * and what the program may do with the pages, makes no difference.
 */
#include "vfio/bar_memory.h"
#include "vfio/dma_buf.h"
#include "vfio/mixed.h"

#include <errno.h>
#include <sys/stat.h>

#define PAGE VIA_PAGES_SIZE

/* Mappings that are looked at; what lies behind more of them is memory. */
#define RUNS_MAX 64u
/* Areas of them; what has more is refused. */
#define CHECKS_MAX 256u

struct place {
	struct via_placed *placed; /* NULL: memory */
	unsigned int region;
	uint64_t offset; /* of the first page */
};

/* vfio->lock held. */
static bool find_bar(const struct via_vfio *vfio, const struct via_page_identity *identity,
		     struct place *ret_place)
{
	for (size_t i = 0; i < vfio->n_devices; i++) {
		struct via_placed *placed = vfio->devices[i];

		for (unsigned int region = 0; region < VIA_REGION_ROM; region++) {
			struct via_region_map map;
			struct stat st;

			if (via_device_region_map(placed->dev, region, &map) < 0 ||
			    fstat(map.fd, &st) < 0)
				continue;
			if (st.st_dev != identity->space || st.st_ino != identity->object)
				continue;
			*ret_place = (struct place){placed, region, identity->page * PAGE};
			return true;
		}
	}
	return false;
}

/* Of an area of the BAR, as far as the program has mapped it. */
static bool area_allowed(struct via_mm *mm, enum via_area_kind kind, uint64_t addr, uint64_t len,
			 bool writable)
{
	const unsigned int prot = VIA_PROT_READ | (writable ? VIA_PROT_WRITE : 0);

	switch (kind) {
	case VIA_AREA_DOORBELL:
		/* Its watch comes and goes. */
		return true;
	case VIA_AREA_REGISTER:
		/* Trapped, no page of it has any right; what the program asked for is not known. */
		if (mm->ops->probe(mm, addr, PAGE, VIA_PROT_READ))
			return true;
		break;
	default:
		break;
	}
	return mm->ops->probe(mm, addr, len, prot) == 0;
}

/* A part of the program's mapping whose rights have to be looked at. */
struct check {
	enum via_area_kind kind;
	uint64_t addr, len;
};

/* What lies behind a range of pages. */
struct run {
	uint64_t len;
	struct via_page_identity identity;
};

struct look {
	size_t n_runs, n_parts, n_bars;
	bool all; /* they are all of the range */
	struct run runs[RUNS_MAX];
	struct via_mixed_part parts[RUNS_MAX];
	struct check checks[CHECKS_MAX];
	size_t n_checks;
};

static void find_runs(struct via_mm *mm, uint64_t addr, uint64_t len, struct look *look)
{
	uint64_t done = 0;

	while (done < len && look->n_runs < RUNS_MAX) {
		struct run *run = &look->runs[look->n_runs];

		if (mm->ops->identity(mm, addr + done, len - done, &run->identity, &run->len) < 0 ||
		    !run->len)
			break;
		done += run->len;
		look->n_runs++;
	}
	look->all = done == len;
}

static bool follows(const struct place *place, const struct place *last, uint64_t last_len)
{
	return place->placed == last->placed && place->region == last->region &&
	       (!place->placed || place->offset == last->offset + last_len);
}

/* The areas of a part, to be looked at without the lock. */
static int list_checks(struct look *look, const struct place *place, uint64_t addr, uint64_t len)
{
	struct via_region_map map;

	if (via_device_region_map(place->placed->dev, place->region, &map) < 0)
		return -EFAULT;
	for (size_t i = 0; i < map.n_areas; i++) {
		const struct via_area *area = &map.areas[i];
		uint64_t from = area->offset, to = from + area->size;

		from = from > place->offset ? from : place->offset;
		to = to < place->offset + len ? to : place->offset + len;
		if (from >= to)
			continue;
		if (look->n_checks == CHECKS_MAX)
			return -EFAULT;
		look->checks[look->n_checks++] = (struct check){
			.kind = area->kind,
			.addr = addr + (from - place->offset),
			.len = to - from,
		};
	}
	return 0;
}

static int export_part(struct look *look, const struct place *place, uint64_t addr,
		       struct via_mixed_part *part)
{
	const struct via_region_range range = {place->offset, part->len};
	int ret = list_checks(look, place, addr + part->start, part->len);

	if (ret < 0)
		return ret;
	ret = via_region_export_new(place->placed->dev, place->region, &range, 1, &part->export);
	return ret && ret != -ENOMEM ? -EFAULT : ret;
}

/* What the program's mapping allows. May wait for the program. */
static bool allowed(const struct look *look, struct via_mm *mm, bool writable)
{
	for (size_t i = 0; i < look->n_checks; i++) {
		const struct check *c = &look->checks[i];

		if (!area_allowed(mm, c->kind, c->addr, c->len, writable))
			return false;
	}
	return true;
}

/*
 * Runs to parts: of one BAR each, or of memory. vfio->lock held; the devices are looked at
 * without it, and stay meanwhile.
 */
static void find_parts(const struct via_vfio *vfio, struct look *look, struct place *places)
{
	uint64_t done = 0;
	size_t n = 0;

	for (size_t i = 0; i < look->n_runs; done += look->runs[i++].len) {
		struct place place = {0};

		if (!look->runs[i].identity.object ||
		    !find_bar(vfio, &look->runs[i].identity, &place))
			place = (struct place){0};
		look->n_bars += place.placed != NULL;
		if (n && follows(&place, &places[n - 1], look->parts[n - 1].len)) {
			look->parts[n - 1].len += look->runs[i].len;
			continue;
		}
		if (place.placed)
			via_placed_file_added(place.placed);
		places[n] = place;
		look->parts[n++] = (struct via_mixed_part){.start = done, .len = look->runs[i].len};
	}
	look->n_parts = n;
}

static void drop_places(struct via_vfio *vfio, const struct look *look, const struct place *places)
{
	if (!look->n_bars)
		return;
	pthread_mutex_lock(&vfio->lock);
	for (size_t i = 0; i < look->n_parts; i++)
		if (places[i].placed)
			via_placed_file_gone(places[i].placed);
	pthread_mutex_unlock(&vfio->lock);
}

/* An export may have to wait until nobody accesses the device. */
static int export_parts(struct via_vfio *vfio, uint64_t addr, struct look *look)
{
	struct place places[RUNS_MAX];
	int ret = 0;

	pthread_mutex_lock(&vfio->lock);
	find_parts(vfio, look, places);
	pthread_mutex_unlock(&vfio->lock);
	for (size_t i = 0; !ret && look->n_bars && i < look->n_parts; i++)
		if (places[i].placed)
			ret = export_part(look, &places[i], addr, &look->parts[i]);
	drop_places(vfio, look, places);
	return ret;
}

static void drop_parts(struct look *look)
{
	for (size_t i = 0; i < look->n_parts; i++)
		via_region_export_free(look->parts[i].export);
}

int via_bar_memory(struct via_vfio *vfio, struct via_caller *caller, uint64_t addr, uint64_t len,
		   const struct via_bar_use *use, struct via_pages **ret_pages)
{
	const uint64_t start = addr % PAGE, pages = (start + len + PAGE - 1) & ~(PAGE - 1);
	struct via_mm *mm = caller->mm;
	struct look look = {0};
	int ret;

	if (!__atomic_load_n(&vfio->bars_mapped, __ATOMIC_RELAXED) || !mm->ops->identity || !len ||
	    len > UINT64_MAX - 2 * PAGE)
		return 0;
	find_runs(mm, addr - start, pages, &look);
	ret = export_parts(vfio, addr - start, &look);
	if (!ret && !look.n_bars)
		return 0;
	if (!ret && (!look.all || use->refused || !allowed(&look, mm, use->writable)))
		ret = -EFAULT;
	if (ret < 0) {
		drop_parts(&look);
		return ret;
	}
	if (look.n_parts == 1)
		ret = via_export_pages(look.parts[0].export, start, len, true, ret_pages);
	else
		ret = via_mixed_pages(mm, addr, len, use->writable, use->owner, look.parts,
				      look.n_parts, ret_pages);
	if (!ret)
		return 1;
	return ret == -ENOMEM ? ret : -EFAULT;
}
