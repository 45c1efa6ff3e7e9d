/* SPDX-License-Identifier: MIT */
/*
 * The channel as its registers drive it.
 *
 *	HALTED -- CHAINADDR, DMACOUNT --> ACTIVE <-- DMACOUNT --> DONE
 *	ACTIVE, DONE -- suspend --> SUSPENDED -- resume, DMACOUNT --> ACTIVE
 *	any -- error, abort, reset --> HALTED
 *
 * CHAINADDR begins a chain: DMACOUNT and the count of what has been done start
 * from 0. With errors in CHANERR the channel stays halted until they are cleared.
 */
#include "models/ioat/ioat.h"

static void kick(struct via_ioat *ioat)
{
	via_device_kick(ioat->dev, IOAT_WORK_RUN);
}

enum ioat_state via_ioat_channel_running(const struct via_ioat *ioat)
{
	return ioat->processed == ioat->dmacount ? IOAT_DONE : IOAT_ACTIVE;
}

static void forget_transfer(struct via_ioat *ioat)
{
	ioat->generation++;
	ioat->transfer.valid = false;
	ioat->suspending = false;
}

/* A chain that was stopped does not go on: a new one must be given. */
static void halt(struct via_ioat *ioat)
{
	forget_transfer(ioat);
	ioat->chained = false;
	ioat->state = IOAT_HALTED;
}

void via_ioat_channel_fail(struct via_ioat *ioat, uint32_t errors, bool tell)
{
	halt(ioat);
	ioat->chanerr |= errors;
	ioat->chanerr_int |= errors;
	if (tell) {
		ioat->report |= errors;
		kick(ioat);
	}
}

void via_ioat_channel_reset(struct via_ioat *ioat)
{
	halt(ioat);
	ioat->stop = IOAT_STOP_NONE;
	ioat->report = 0;
	ioat->chanctrl = 0;
	ioat->int_missed = false;
	ioat->completed = ioat->chainaddr = ioat->chancmp = ioat->cdar = 0;
	ioat->dmacount = ioat->processed = 0;
	ioat->chanerrmsk = 0;
}

void via_ioat_channel_stopped(struct via_ioat *ioat)
{
	enum via_ioat_stop stop = ioat->stop;

	ioat->stop = IOAT_STOP_NONE;
	switch (stop) {
	case IOAT_STOP_NONE:
		break;
	case IOAT_STOP_BAD_COMMAND:
		via_ioat_channel_fail(ioat, IOAT_CHANERR_CHANCMD, true);
		break;
	case IOAT_STOP_ABORT:
		halt(ioat);
		break;
	case IOAT_STOP_RESET:
		via_ioat_channel_reset(ioat);
		break;
	}
}

/* A guest that sees the end of it may take its memory back: DMA in flight comes first. */
static void stop(struct via_ioat *ioat, enum via_ioat_stop why)
{
	if (why > ioat->stop)
		ioat->stop = why;
	if (!ioat->busy)
		via_ioat_channel_stopped(ioat);
}

static void suspend(struct via_ioat *ioat)
{
	if (ioat->state == IOAT_ACTIVE && (ioat->transfer.valid || ioat->busy))
		ioat->suspending = true;
	else if (ioat->state == IOAT_ACTIVE || ioat->state == IOAT_DONE)
		ioat->state = IOAT_SUSPENDED;
}

static void resume(struct via_ioat *ioat)
{
	ioat->suspending = false;
	if (ioat->state != IOAT_SUSPENDED)
		return;
	ioat->state = via_ioat_channel_running(ioat);
	if (ioat->state == IOAT_ACTIVE)
		kick(ioat);
}

/* One bit at a time; starting and appending are DMACOUNT's since version 2. */
void via_ioat_channel_command(struct via_ioat *ioat, uint8_t command)
{
	switch (command) {
	case 0:
		break;
	case IOAT_CHANCMD_SUSPEND:
		suspend(ioat);
		break;
	case IOAT_CHANCMD_RESUME:
		resume(ioat);
		break;
	case IOAT_CHANCMD_ABORT:
		stop(ioat, IOAT_STOP_ABORT);
		break;
	case IOAT_CHANCMD_RESET:
		stop(ioat, IOAT_STOP_RESET);
		break;
	default:
		stop(ioat, IOAT_STOP_BAD_COMMAND);
		break;
	}
}

uint8_t via_ioat_channel_pending(const struct via_ioat *ioat)
{
	uint8_t pending = 0;

	if (ioat->suspending)
		pending |= IOAT_CHANCMD_SUSPEND;
	if (ioat->stop == IOAT_STOP_ABORT)
		pending |= IOAT_CHANCMD_ABORT;
	if (ioat->stop == IOAT_STOP_RESET)
		pending |= IOAT_CHANCMD_RESET;
	return pending;
}

void via_ioat_channel_set_chain(struct via_ioat *ioat, uint64_t addr)
{
	forget_transfer(ioat);
	ioat->chainaddr = ioat->next = addr;
	ioat->chained = ioat->first = true;
	ioat->next_stale = false;
	ioat->dmacount = ioat->processed = 0;
	ioat->completed = 0;
	if (ioat->state == IOAT_ACTIVE)
		ioat->state = IOAT_DONE;
}

void via_ioat_channel_set_count(struct via_ioat *ioat, uint16_t count)
{
	ioat->dmacount = count;
	if (via_ioat_channel_running(ioat) == IOAT_DONE)
		return;
	if (ioat->state == IOAT_HALTED && ioat->chanerr)
		return;
	if (!ioat->chained) {
		via_ioat_channel_fail(ioat, IOAT_CHANERR_CHAIN_ADDR, true);
		return;
	}
	ioat->state = IOAT_ACTIVE;
	kick(ioat);
}
