/* SPDX-License-Identifier: MIT */
/*
 * The state of a channel as bytes. When it is taken for good the device's thread
 * stands still, so nothing is in DMA; a chain in the middle of a descriptor goes
 * on from there.
 */
#include "models/ioat/ioat.h"

#include <errno.h>

#define VERSION 1u
#define SIZE 136u

/* Flags. */
enum {
	MASTER_INT_EN = 1u << 0,
	VECTOR_CONTROL = 1u << 1,
	INT_ASSERTED = 1u << 2,
	INT_MISSED = 1u << 3,
	CHAINED = 1u << 4,
	FIRST = 1u << 5,
	NEXT_STALE = 1u << 6,
	SUSPENDING = 1u << 7,
	TRANSFER = 1u << 8,
	ALL_FLAGS = (1u << 9) - 1,
};

static uint32_t flags_of(const struct via_ioat *ioat)
{
	return (ioat->master_int_en ? MASTER_INT_EN : 0u) |
	       (ioat->msix_vector_control ? VECTOR_CONTROL : 0u) |
	       (ioat->int_asserted ? INT_ASSERTED : 0u) | (ioat->int_missed ? INT_MISSED : 0u) |
	       (ioat->chained ? CHAINED : 0u) | (ioat->first ? FIRST : 0u) |
	       (ioat->next_stale ? NEXT_STALE : 0u) | (ioat->suspending ? SUSPENDING : 0u) |
	       (ioat->transfer.valid ? TRANSFER : 0u);
}

static ssize_t save(struct via_device *dev, void *model, uint8_t *buf)
{
	struct via_ioat *ioat = model;

	pthread_mutex_lock(&ioat->lock);
	via_put_le32(buf, ioat->xfercap);
	via_put_le32(buf + 4, flags_of(ioat));
	via_put_le32(buf + 8, ioat->genctrl);
	via_put_le32(buf + 12, ioat->attnstatus);
	via_put_le32(buf + 16, ioat->chanctrl);
	via_put_le32(buf + 20, (uint32_t)ioat->state);
	via_put_le64(buf + 24, ioat->completed);
	via_put_le64(buf + 32, ioat->chainaddr);
	via_put_le64(buf + 40, ioat->chancmp);
	via_put_le64(buf + 48, ioat->cdar);
	via_put_le64(buf + 56, ioat->next);
	via_put_le32(buf + 64, ioat->chanerr);
	via_put_le32(buf + 68, ioat->chanerrmsk);
	via_put_le32(buf + 72, ioat->dmacount);
	via_put_le32(buf + 76, ioat->processed);
	via_put_le32(buf + 80, ioat->report);
	via_put_le32(buf + 84, ioat->transfer.control);
	via_put_le64(buf + 88, ioat->transfer.src);
	via_put_le64(buf + 96, ioat->transfer.dst);
	via_put_le64(buf + 104, ioat->transfer.left);
	via_put_le32(buf + 112, ioat->chanerr_int);
	memset(buf + 116, 0, SIZE - 116);
	pthread_mutex_unlock(&ioat->lock);
	return SIZE;
}

/* What the engine takes for granted. */
static bool possible(const struct via_ioat *ioat, const uint8_t *buf)
{
	uint32_t flags = via_get_le32(buf + 4);
	uint64_t left = via_get_le64(buf + 104);

	return !(flags & ~(uint32_t)ALL_FLAGS) && via_get_le32(buf + 20) <= IOAT_HALTED &&
	       via_get_le32(buf + 8) <= UINT8_MAX && via_get_le32(buf + 16) <= UINT16_MAX &&
	       via_get_le32(buf + 72) <= UINT16_MAX && via_get_le32(buf + 76) <= UINT16_MAX &&
	       left <= (uint64_t)1 << ioat->xfercap;
}

static void take(struct via_ioat *ioat, const uint8_t *buf)
{
	uint32_t flags = via_get_le32(buf + 4);

	ioat->generation++;
	ioat->stop = IOAT_STOP_NONE;
	ioat->master_int_en = flags & MASTER_INT_EN;
	ioat->msix_vector_control = flags & VECTOR_CONTROL;
	ioat->int_asserted = flags & INT_ASSERTED;
	ioat->int_missed = flags & INT_MISSED;
	ioat->chained = flags & CHAINED;
	ioat->first = flags & FIRST;
	ioat->next_stale = flags & NEXT_STALE;
	ioat->suspending = flags & SUSPENDING;
	ioat->genctrl = (uint8_t)via_get_le32(buf + 8) & IOAT_GENCTRL_DEBUG_EN;
	ioat->attnstatus = via_get_le32(buf + 12);
	ioat->chanctrl = (uint16_t)via_get_le32(buf + 16);
	ioat->state = (enum ioat_state)via_get_le32(buf + 20);
	ioat->completed = via_get_le64(buf + 24) & IOAT_CHANSTS_ADDR;
	ioat->chainaddr = via_get_le64(buf + 32);
	ioat->chancmp = via_get_le64(buf + 40) & IOAT_CHANCMP_ADDR;
	ioat->cdar = via_get_le64(buf + 48);
	ioat->next = via_get_le64(buf + 56);
	ioat->chanerr = via_get_le32(buf + 64);
	ioat->chanerrmsk = via_get_le32(buf + 68);
	ioat->chanerr_int = via_get_le32(buf + 112);
	ioat->dmacount = (uint16_t)via_get_le32(buf + 72);
	ioat->processed = (uint16_t)via_get_le32(buf + 76);
	ioat->report = via_get_le32(buf + 80);
	ioat->transfer = (struct via_ioat_transfer){
		.valid = flags & TRANSFER,
		.control = via_get_le32(buf + 84),
		.src = via_get_le64(buf + 88),
		.dst = via_get_le64(buf + 96),
		.left = via_get_le64(buf + 104),
	};
}

static int load(struct via_device *dev, void *model, uint32_t version, const uint8_t *buf,
		size_t len, struct via_error *err)
{
	struct via_ioat *ioat = model;

	if (version != VERSION || len != SIZE)
		return via_error_set(err, -EINVAL, "ioat: state of version %u, %zu bytes", version,
				     len);
	if (via_get_le32(buf) != ioat->xfercap)
		return via_error_set(err, -EINVAL, "ioat: xfercap is 2^%u there and 2^%u here",
				     via_get_le32(buf), ioat->xfercap);
	if (!possible(ioat, buf))
		return via_error_set(err, -EINVAL, "ioat: no channel can be in this state");
	pthread_mutex_lock(&ioat->lock);
	take(ioat, buf);
	pthread_mutex_unlock(&ioat->lock);
	via_device_kick(dev, IOAT_WORK_RUN);
	return 0;
}

const struct via_migration_ops via_ioat_migration = {
	.flags = VIA_MIGRATION_P2P | VIA_MIGRATION_PRE_COPY,
	.version = VERSION,
	.max_size = SIZE,
	.save = save,
	.load = load,
};
