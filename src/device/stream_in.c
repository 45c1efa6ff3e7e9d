/* SPDX-License-Identifier: MIT */
/*
 * A device's state on its way in. The bytes may be anything. A record is put
 * together, judged and taken before the next one begins; no more memory is used
 * than one record, the model's max_size and the two fixed parts need, however
 * long the stream is.
 */
#include "device/stream.h"

#include "base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

struct via_stream_in {
	struct via_device *dev;
	bool refused, ended;
	uint32_t crc;	  /* of the last record */
	uint32_t version; /* of the model's bytes */
	bool has_ident, has_config, has_irqs;
	uint8_t *config, *irqs, *model;
	size_t model_len; /* by the END */
	size_t have;	  /* of record */
	uint8_t record[VIA_STREAM_HEAD + VIA_STREAM_BODY];
};

#define REFUSE(in, fmt, ...)                                                                 \
	(via_log(VIA_LOG_ERROR, "%s: migration stream refused: " fmt, (in)->dev->desc->name, \
		 ##__VA_ARGS__),                                                             \
	 (in)->refused = true, -EINVAL)

static void clear_memory(struct via_device *dev)
{
	pthread_rwlock_wrlock(&dev->memory_lock);
	for (unsigned int i = 0; i < VIA_PCI_BARS; i++)
		for (uint64_t at = 0; via_stream_next_memory(&dev->bars[i], &at);
		     at += VIA_DEVICE_PAGE)
			memset(dev->bars[i].memory + at, 0, VIA_DEVICE_PAGE);
	pthread_rwlock_unlock(&dev->memory_lock);
}

int via_stream_in_new(struct via_device *dev, struct via_stream_in **ret_in)
{
	struct via_stream_in *in = calloc(1, sizeof(*in));

	if (!in)
		return -ENOMEM;
	in->dev = dev;
	in->config = malloc(via_config_state_size(dev->config));
	in->irqs = malloc(via_irqs_state_size(dev->irqs));
	in->model = calloc(1, dev->ops->migration->max_size + 1);
	if (!in->config || !in->irqs || !in->model) {
		via_stream_in_free(in);
		return -ENOMEM;
	}
	clear_memory(dev);
	*ret_in = in;
	return 0;
}

void via_stream_in_free(struct via_stream_in *in)
{
	if (!in)
		return;
	free(in->config);
	free(in->irqs);
	free(in->model);
	free(in);
}

/* --- Records --------------------------------------------------------------- */

/* Who sent the name may have put anything into it. */
static int refuse_model(struct via_stream_in *in, const uint8_t *name)
{
	char text[VIA_STREAM_NAME_SIZE] = "";

	for (size_t i = 0; i < sizeof(text) - 1 && name[i]; i++)
		text[i] = name[i] >= 0x20 && name[i] < 0x7f ? (char)name[i] : '?';
	return REFUSE(in, "it is of model '%s'", text);
}

static int take_ident(struct via_stream_in *in, const uint8_t *body)
{
	uint8_t ours[VIA_STREAM_IDENT_SIZE];
	const size_t bars = 48, name = VIA_STREAM_IDENT_SIZE - VIA_STREAM_NAME_SIZE;

	via_stream_ident(in->dev, ours);
	if (via_get_le64(body) != VIA_STREAM_MAGIC)
		return REFUSE(in, "it is none");
	if (via_get_le32(body + 8) != VIA_STREAM_VERSION)
		return REFUSE(in, "version %u, this is version %u", via_get_le32(body + 8),
			      VIA_STREAM_VERSION);
	if (memcmp(body + name, ours + name, VIA_STREAM_NAME_SIZE) != 0)
		return refuse_model(in, body + name);
	if (memcmp(body + 16, ours + 16, 12) != 0)
		return REFUSE(in, "it is of function %04x:%04x (%04x:%04x, class %06x)",
			      via_get_le16(body + 16), via_get_le16(body + 18),
			      via_get_le16(body + 20), via_get_le16(body + 22),
			      via_get_le32(body + 24));
	for (unsigned int i = 0; i < VIA_PCI_BARS; i++)
		if (memcmp(body + bars + 16 * i, ours + bars + 16 * i, 16) != 0)
			return REFUSE(in,
				      "its BAR %u (0x%" PRIx64 " bytes) is not laid out as here "
				      "(0x%" PRIx64 " bytes)",
				      i, via_get_le64(body + bars + 16 * i),
				      via_get_le64(ours + bars + 16 * i));
	if (memcmp(body + 32, ours + 32, 16) != 0)
		return REFUSE(in, "its config space is not laid out as here");
	in->version = via_get_le32(body + 12);
	in->has_ident = true;
	return 0;
}

static int take_model(struct via_stream_in *in, uint64_t where, const uint8_t *body, size_t len)
{
	size_t max = in->dev->ops->migration->max_size;

	if (where > max || len > max - where)
		return REFUSE(in, "the model's state is too long");
	memcpy(in->model + where, body, len);
	return 0;
}

static int take_memory(struct via_stream_in *in, unsigned int n, uint64_t where,
		       const uint8_t *body, size_t len)
{
	struct via_device *dev = in->dev;
	const struct via_bar *bar = &dev->bars[n];

	for (size_t i = 0; i < bar->n_areas; i++) {
		const struct via_area *area = &bar->areas[i];

		if (area->kind == VIA_AREA_REGISTER || where < area->offset ||
		    where - area->offset >= area->size || len > area->size - (where - area->offset))
			continue;
		pthread_rwlock_wrlock(&dev->memory_lock);
		memcpy(bar->memory + where, body, len);
		pthread_rwlock_unlock(&dev->memory_lock);
		return 0;
	}
	return REFUSE(in, "BAR %u has no memory at 0x%" PRIx64, n, where);
}

static int take_fixed(struct via_stream_in *in, uint8_t *part, size_t size, bool *has,
		      const uint8_t *body, size_t len)
{
	if (*has || len != size)
		return REFUSE(in, "a part of it comes twice, or has a wrong size");
	memcpy(part, body, len);
	*has = true;
	return 0;
}

static int take_end(struct via_stream_in *in, uint64_t where, size_t len)
{
	if (len || where > in->dev->ops->migration->max_size)
		return REFUSE(in, "its end says what cannot be");
	if (!in->has_config || !in->has_irqs)
		return REFUSE(in, "it ends too early");
	in->model_len = (size_t)where;
	in->ended = true;
	return 0;
}

/* The record is there as a whole. */
static int take(struct via_stream_in *in, size_t len)
{
	struct via_device *dev = in->dev;
	const uint8_t *body = in->record + VIA_STREAM_HEAD;
	uint32_t type = via_get_le32(in->record);
	uint64_t where = via_get_le64(in->record + 8);

	in->crc = via_stream_crc(in->crc, in->record, len);
	if (via_get_le32(in->record + 16) != in->crc || via_get_le32(in->record + 20))
		return REFUSE(in, "a checksum is wrong");
	if (!in->has_ident && (type != VIA_STREAM_IDENT || len != VIA_STREAM_IDENT_SIZE))
		return REFUSE(in, "it does not begin as one");
	switch (type) {
	case VIA_STREAM_IDENT:
		return in->has_ident ? REFUSE(in, "it begins twice") : take_ident(in, body);
	case VIA_STREAM_MODEL:
		return take_model(in, where, body, len);
	case VIA_STREAM_CONFIG:
		return take_fixed(in, in->config, via_config_state_size(dev->config),
				  &in->has_config, body, len);
	case VIA_STREAM_IRQS:
		return take_fixed(in, in->irqs, via_irqs_state_size(dev->irqs), &in->has_irqs, body,
				  len);
	case VIA_STREAM_END:
		return take_end(in, where, len);
	default:
		if (type >= VIA_STREAM_MEMORY && type < VIA_STREAM_MEMORY + VIA_PCI_BARS)
			return take_memory(in, type - VIA_STREAM_MEMORY, where, body, len);
		return REFUSE(in, "record of unknown type %u", type);
	}
}

/* Bytes that the record at hand needs before it can be looked at. */
static size_t wanted(const struct via_stream_in *in)
{
	if (in->have < VIA_STREAM_HEAD)
		return VIA_STREAM_HEAD;
	return VIA_STREAM_HEAD + via_get_le32(in->record + 4);
}

ssize_t via_stream_in_write(struct via_stream_in *in, const uint8_t *buf, size_t len)
{
	size_t done = 0;

	if (in->refused)
		return -EINVAL;
	while (done < len) {
		size_t want = wanted(in), n = want - in->have;

		if (in->ended)
			return REFUSE(in, "it goes on after its end");
		if (n > len - done)
			n = len - done;
		memcpy(in->record + in->have, buf + done, n);
		in->have += n;
		done += n;
		if (in->have == VIA_STREAM_HEAD && via_get_le32(in->record + 4) > VIA_STREAM_BODY)
			return REFUSE(in, "a record is too long");
		want = wanted(in);
		if (in->have == want) {
			int ret = take(in, want - VIA_STREAM_HEAD);

			if (ret)
				return ret;
			in->have = 0;
		}
	}
	return (ssize_t)len;
}

int via_stream_in_complete(struct via_stream_in *in)
{
	if (in->refused)
		return -EINVAL;
	if (in->ended)
		return 0;
	via_log(VIA_LOG_ERROR, "%s: migration stream is not complete", in->dev->desc->name);
	return -EINVAL;
}

int via_stream_in_apply(struct via_stream_in *in)
{
	struct via_device *dev = in->dev;
	struct via_error err = {0};
	int ret;

	if (via_config_load(dev->config, in->config))
		return REFUSE(in, "its power state cannot be");
	via_peers_lock_model(dev);
	/* What is to be done is what the model says of its new state. */
	__atomic_store_n(&dev->worker.events, 0, __ATOMIC_RELAXED);
	ret = dev->ops->migration->load(dev, dev->model, in->version, in->model, in->model_len,
					&err);
	via_peers_unlock_model(dev);
	if (ret) {
		(void)REFUSE(in, "%s", err.text[0] ? err.text : strerror(-ret));
		return ret;
	}
	/* Last: the model may have driven its pin. */
	if (via_irqs_load(dev->irqs, in->irqs))
		return REFUSE(in, "its interrupts cannot be");
	return 0;
}
