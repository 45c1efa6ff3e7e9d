/* SPDX-License-Identifier: MIT */
#include "vfio/mixed.h"

#include <errno.h>
#include <stdlib.h>

struct piece {
	uint64_t start, len;
	struct via_region_export *export; /* NULL: memory */
	struct via_region_importer importer;
	bool attached;
	struct via_pages *memory; /* a reference, pinned as long as we live */
};

struct mixed {
	size_t n;
	struct piece pieces[];
};

/* The device's queue refuses what comes while it does not answer. */
static void ignore(struct via_region_importer *importer)
{
}

static uint8_t *mixed_memory(void *cookie, uint64_t offset, uint64_t *ret_len)
{
	*ret_len = UINT64_MAX - offset;
	return NULL;
}

static int piece_access(const struct piece *piece, uint64_t at, void *buf, size_t len, bool write)
{
	uint64_t done;

	if (piece->export)
		return via_region_export_access(piece->export, 0, at, buf, len, write);
	return via_pages_copy(piece->memory, at, buf, len, write, &done) ? -EFAULT : 0;
}

static int mixed_access(void *cookie, uint64_t offset, void *buf, size_t len, bool write)
{
	const struct mixed *mixed = cookie;
	uint8_t *at = buf;

	for (size_t i = 0; len && i < mixed->n; i++) {
		const struct piece *piece = &mixed->pieces[i];
		size_t n = len;
		int ret;

		if (offset - piece->start >= piece->len)
			continue;
		if (n > piece->len - (offset - piece->start))
			n = piece->len - (offset - piece->start);
		ret = piece_access(piece, offset - piece->start, at, n, write);
		if (ret)
			return ret;
		offset += n;
		at += n;
		len -= n;
	}
	return len ? -EFAULT : 0;
}

static void mixed_release(void *cookie)
{
	struct mixed *mixed = cookie;

	for (size_t i = 0; i < mixed->n; i++) {
		struct piece *piece = &mixed->pieces[i];

		if (piece->attached)
			via_region_export_detach(piece->export, &piece->importer);
		via_region_export_free(piece->export);
		if (piece->memory)
			via_pages_unpin(piece->memory, 0, piece->len);
		via_pages_put(piece->memory);
	}
	free(mixed);
}

static const struct via_pages_region_ops mixed_ops = {
	.memory = mixed_memory,
	.access = mixed_access,
	.release = mixed_release,
};

static int hold_memory(struct piece *piece, struct via_space *space, uint64_t first, bool writable,
		       const struct via_ledger_owner *owner)
{
	struct via_pages *memory;
	int ret = via_pages_new_memory(space, first + piece->start, piece->len, writable, owner,
				       &memory);

	if (ret < 0)
		return ret;
	ret = via_pages_pin(memory, 0, piece->len);
	if (ret < 0)
		via_pages_put(memory);
	else
		piece->memory = memory;
	return ret;
}

static int hold_region(struct piece *piece)
{
	int ret;

	piece->importer = (struct via_region_importer){
		.revoke = ignore, .restore = ignore, .by_calls = true};
	ret = via_region_export_attach(piece->export, &piece->importer);
	piece->attached = !ret;
	return ret && ret != -ENOMEM ? -EFAULT : ret;
}

int via_mixed_pages(struct via_mm *mm, uint64_t addr, uint64_t len, bool writable,
		    const struct via_ledger_owner *owner, const struct via_mixed_part *parts,
		    size_t n, struct via_pages **ret_pages)
{
	const uint64_t start = addr & (VIA_PAGES_SIZE - 1);
	struct mixed *mixed = calloc(1, sizeof(*mixed) + n * sizeof(mixed->pieces[0]));
	struct via_space *space = NULL;
	int ret;

	if (!mixed) {
		for (size_t i = 0; i < n; i++)
			via_region_export_free(parts[i].export);
		return -ENOMEM;
	}
	mixed->n = n;
	for (size_t i = 0; i < n; i++)
		mixed->pieces[i] = (struct piece){
			.start = parts[i].start, .len = parts[i].len, .export = parts[i].export};
	ret = via_space_new_mm(mm, &space);
	for (size_t i = 0; !ret && i < n; i++)
		ret = mixed->pieces[i].export ? hold_region(&mixed->pieces[i]) :
						hold_memory(&mixed->pieces[i], space, addr - start,
							    writable, owner);
	via_space_put(space);
	if (ret) {
		mixed_release(mixed);
		return ret;
	}
	return via_pages_new_region(&mixed_ops, mixed, start, len, true, ret_pages);
}
