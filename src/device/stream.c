/* SPDX-License-Identifier: MIT */
/* A device's state on its way out, and what both ways have in common. */
#include "device/stream.h"

#include "base/util.h"
#include "device/migration.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

uint32_t via_crc32c(uint32_t crc, const void *data, size_t len)
{
	/* Four bits at a time; polynomial 0x1edc6f41, reflected. */
	static const uint32_t table[16] = {
		0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
		0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
		0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
	};
	const uint8_t *bytes = data;

	crc = ~crc;
	for (size_t i = 0; i < len; i++) {
		crc ^= bytes[i];
		crc = crc >> 4 ^ table[crc & 15];
		crc = crc >> 4 ^ table[crc & 15];
	}
	return ~crc;
}

uint32_t via_stream_crc(uint32_t before, const uint8_t *record, size_t body_len)
{
	uint32_t crc = via_crc32c(before, record, 16);

	return via_crc32c(crc, record + VIA_STREAM_HEAD, body_len);
}

static uint64_t areas_hash(const struct via_bar *bar)
{
	uint64_t hash = bar->io;

	for (size_t i = 0; i < bar->n_areas; i++) {
		hash = (hash ^ bar->areas[i].offset) * 0x100000001b3u;
		hash = (hash ^ bar->areas[i].size) * 0x100000001b3u;
		hash = (hash ^ (uint64_t)bar->areas[i].kind) * 0x100000001b3u;
	}
	return hash;
}

void via_stream_ident(const struct via_device *dev, uint8_t body[VIA_STREAM_IDENT_SIZE])
{
	const struct via_pci_ident *ident = &dev->desc->ident;
	uint8_t *p = body + 48;

	memset(body, 0, VIA_STREAM_IDENT_SIZE);
	via_put_le64(body, VIA_STREAM_MAGIC);
	via_put_le32(body + 8, VIA_STREAM_VERSION);
	via_put_le32(body + 12, dev->ops->migration->version);
	via_put_le16(body + 16, ident->vendor);
	via_put_le16(body + 18, ident->device);
	via_put_le16(body + 20, ident->subsystem_vendor);
	via_put_le16(body + 22, ident->subsystem_device);
	via_put_le32(body + 24, ident->class_code);
	via_put_le64(body + 32, via_config_layout_hash(dev->config));
	via_put_le32(body + 40, (uint32_t)via_config_state_size(dev->config));
	via_put_le32(body + 44, (uint32_t)via_irqs_state_size(dev->irqs));
	for (unsigned int i = 0; i < VIA_PCI_BARS; i++, p += 16) {
		via_put_le64(p, dev->bars[i].size);
		via_put_le64(p + 8, areas_hash(&dev->bars[i]));
	}
	for (size_t i = 0; i < VIA_STREAM_NAME_SIZE - 1 && dev->desc->name[i]; i++)
		p[i] = (uint8_t)dev->desc->name[i];
}

/* --- Out ------------------------------------------------------------------- */

/* What of the model's bytes has changed is found block by block. */
#define BLOCK 64u

enum stage { AT_IDENT, AT_PRECOPY, AT_CONFIG, AT_IRQS, AT_MEMORY, AT_MODEL, AT_END, AT_EOF };

struct via_stream_out {
	struct via_device *dev;
	enum stage stage;
	bool stopped;	   /* via_stream_out_finish() */
	bool initial;	   /* not all has been given once */
	uint32_t crc;	   /* of the last record */
	uint64_t position; /* of record[taken] in the stream */
	size_t len, taken; /* of record */
	unsigned int bar;  /* AT_MEMORY: next one to give */
	uint64_t offset;
	/* The model's state: as it was looked at last, as the other side has it. */
	uint8_t *now, *sent;
	size_t now_len, sent_len, at; /* at: what lies before has been compared */
	uint8_t record[VIA_STREAM_HEAD + VIA_STREAM_BODY];
};

static int look(struct via_stream_out *out)
{
	struct via_device *dev = out->dev;
	ssize_t len;

	via_peers_lock_model(dev);
	len = dev->ops->migration->save(dev, dev->model, out->now);
	via_peers_unlock_model(dev);
	if (len < 0)
		return (int)len;
	out->now_len = (size_t)len;
	out->at = 0;
	return 0;
}

int via_stream_out_new(struct via_device *dev, struct via_stream_out **ret_out)
{
	struct via_stream_out *out = calloc(1, sizeof(*out));
	size_t max = dev->ops->migration->max_size;
	int ret = -ENOMEM;

	if (!out)
		return -ENOMEM;
	out->dev = dev;
	out->initial = true;
	out->now = calloc(1, max + 1);
	out->sent = calloc(1, max + 1);
	if (out->now && out->sent)
		ret = look(out);
	if (ret) {
		via_stream_out_free(out);
		return ret;
	}
	*ret_out = out;
	return 0;
}

void via_stream_out_free(struct via_stream_out *out)
{
	if (!out)
		return;
	free(out->now);
	free(out->sent);
	free(out);
}

void via_stream_out_finish(struct via_stream_out *out)
{
	out->stopped = true;
}

static bool differs(const struct via_stream_out *out, size_t at)
{
	size_t n = via_min_u64(BLOCK, out->now_len - at);

	return at + n > out->sent_len || memcmp(out->now + at, out->sent + at, n) != 0;
}

/* The next run of blocks that the other side does not have. False: it has all. */
static bool next_run(struct via_stream_out *out, size_t *ret_len)
{
	size_t end;

	while (out->at < out->now_len && !differs(out, out->at))
		out->at += BLOCK;
	if (out->at >= out->now_len)
		return false;
	for (end = out->at;
	     end < out->now_len && end - out->at < VIA_STREAM_BODY && differs(out, end);)
		end += BLOCK;
	*ret_len = via_min_u64(end, out->now_len) - out->at;
	return true;
}

static void seal(struct via_stream_out *out, uint32_t type, uint64_t where, size_t len)
{
	uint8_t *r = out->record;

	via_put_le32(r, type);
	via_put_le32(r + 4, (uint32_t)len);
	via_put_le64(r + 8, where);
	out->crc = via_stream_crc(out->crc, r, len);
	via_put_le32(r + 16, out->crc);
	via_put_le32(r + 20, 0);
	out->len = VIA_STREAM_HEAD + len;
	out->taken = 0;
}

static bool give_model(struct via_stream_out *out)
{
	size_t len, at;

	if (!next_run(out, &len)) {
		out->initial = false;
		return false;
	}
	at = out->at;
	memcpy(out->record + VIA_STREAM_HEAD, out->now + at, len);
	memcpy(out->sent + at, out->now + at, len);
	if (out->sent_len < at + len)
		out->sent_len = at + len;
	out->at += len;
	seal(out, VIA_STREAM_MODEL, at, len);
	return true;
}

bool via_stream_next_memory(const struct via_bar *bar, uint64_t *offset)
{
	for (size_t i = 0; bar->memory && i < bar->n_areas; i++) {
		const struct via_area *area = &bar->areas[i];
		uint64_t end = area->offset + area->size;

		if (area->kind == VIA_AREA_REGISTER || end <= *offset)
			continue;
		if (*offset < area->offset)
			*offset = area->offset;
		while (*offset < end) {
			/* A hole of the file would be filled by looking at it. */
			off_t data = bar->revoked ? (off_t)*offset
						  : lseek(bar->memfd, (off_t)*offset, SEEK_DATA);

			if (data < 0 || (uint64_t)data >= end)
				break;
			*offset = (uint64_t)data & ~(uint64_t)(VIA_DEVICE_PAGE - 1);
			if (*offset < area->offset)
				*offset = area->offset;
			if (!via_bar_page_is_zero(bar->memory + *offset))
				return true;
			*offset += VIA_DEVICE_PAGE;
		}
		*offset = end;
	}
	return false;
}

static bool give_memory(struct via_stream_out *out)
{
	struct via_device *dev = out->dev;
	bool found = false;

	/* For writing: nobody changes it through us meanwhile. */
	pthread_rwlock_wrlock(&dev->memory_lock);
	while (!found && out->bar < VIA_PCI_BARS) {
		const struct via_bar *bar = &dev->bars[out->bar];

		found = via_stream_next_memory(bar, &out->offset);
		if (found) {
			memcpy(out->record + VIA_STREAM_HEAD, bar->memory + out->offset,
			       VIA_DEVICE_PAGE);
		} else {
			out->bar++;
			out->offset = 0;
		}
	}
	pthread_rwlock_unlock(&dev->memory_lock);
	if (!found)
		return false;
	seal(out, VIA_STREAM_MEMORY + out->bar, out->offset, VIA_DEVICE_PAGE);
	out->offset += VIA_DEVICE_PAGE;
	return true;
}

/* Make the next record. 0 and len 0: the end. */
static int make(struct via_stream_out *out)
{
	struct via_device *dev = out->dev;
	uint8_t *body = out->record + VIA_STREAM_HEAD;
	int ret;

	out->len = out->taken = 0;
	switch (out->stage) {
	case AT_IDENT:
		via_stream_ident(dev, body);
		seal(out, VIA_STREAM_IDENT, 0, VIA_STREAM_IDENT_SIZE);
		out->stage = AT_PRECOPY;
		return 0;
	case AT_PRECOPY:
		if (!out->stopped) {
			if (give_model(out))
				return 0;
			ret = look(out);
			if (ret)
				return ret;
			return give_model(out) ? 0 : -ENOMSG;
		}
		out->stage = AT_CONFIG;
		/* fall through */
	case AT_CONFIG:
		/* From now on nothing changes any more. */
		ret = look(out);
		if (ret)
			return ret;
		via_config_save(dev->config, body);
		seal(out, VIA_STREAM_CONFIG, 0, via_config_state_size(dev->config));
		out->stage = AT_IRQS;
		return 0;
	case AT_IRQS:
		via_irqs_save(dev->irqs, body);
		seal(out, VIA_STREAM_IRQS, 0, via_irqs_state_size(dev->irqs));
		out->stage = AT_MEMORY;
		return 0;
	case AT_MEMORY:
		if (give_memory(out))
			return 0;
		out->stage = AT_MODEL;
		/* fall through */
	case AT_MODEL:
		if (give_model(out))
			return 0;
		out->stage = AT_END;
		/* fall through */
	case AT_END:
		seal(out, VIA_STREAM_END, out->now_len, 0);
		out->stage = AT_EOF;
		return 0;
	case AT_EOF:
		break;
	}
	return 0;
}

ssize_t via_stream_out_peek(struct via_stream_out *out, const uint8_t **ret_bytes)
{
	if (out->taken == out->len) {
		int ret = make(out);

		if (ret)
			return ret;
	}
	*ret_bytes = out->record + out->taken;
	return (ssize_t)(out->len - out->taken);
}

uint64_t via_stream_out_position(const struct via_stream_out *out)
{
	return out->position;
}

void via_stream_out_advance(struct via_stream_out *out, size_t n)
{
	out->taken += n;
	out->position += n;
}

static uint64_t unsent(struct via_stream_out *out)
{
	uint64_t bytes = 0;
	size_t at = out->at, len;

	while (next_run(out, &len)) {
		bytes += VIA_STREAM_HEAD + len;
		out->at += len;
	}
	out->at = at;
	return bytes;
}

int via_stream_out_left(struct via_stream_out *out, uint64_t *ret_initial, uint64_t *ret_dirty)
{
	uint64_t ready = out->len - out->taken, more = 0;

	if (out->stage == AT_IDENT)
		ready += VIA_STREAM_HEAD + VIA_STREAM_IDENT_SIZE;
	more = unsent(out);
	if (out->initial && more) {
		*ret_initial = ready + more;
		*ret_dirty = 0;
		return 0;
	}
	/* What was there at the beginning has been made into records: what is new? */
	if (!more) {
		int ret = look(out);

		if (ret)
			return ret;
		more = unsent(out);
	}
	*ret_initial = out->initial ? ready : 0;
	*ret_dirty = out->initial ? more : ready + more;
	return 0;
}

uint64_t via_stream_size(struct via_device *dev)
{
	size_t model = dev->ops->migration->max_size;
	uint64_t size = 4 * VIA_STREAM_HEAD + VIA_STREAM_IDENT_SIZE;

	size += via_config_state_size(dev->config) + via_irqs_state_size(dev->irqs);
	/* In the worst case every second block has changed. */
	size += model + (model / (2 * BLOCK) + 1) * VIA_STREAM_HEAD;
	for (unsigned int i = 0; i < VIA_PCI_BARS; i++)
		for (size_t k = 0; k < dev->bars[i].n_areas; k++)
			if (dev->bars[i].areas[k].kind != VIA_AREA_REGISTER)
				size += dev->bars[i].areas[k].size / VIA_DEVICE_PAGE *
					(VIA_DEVICE_PAGE + VIA_STREAM_HEAD);
	return size;
}
