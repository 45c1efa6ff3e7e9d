/* SPDX-License-Identifier: MIT */
/*
 * An I/OAT DMA engine with one channel.
 *
 * The guest builds a chain of descriptors, gives the address of the first to
 * CHAINADDR and says with DMACOUNT how many of them are valid; the channel
 * works until it has done as many. The thread of the device does the work, in
 * turns: a turn ends after so many bytes and descriptors, however long the chain
 * is or whether it has an end at all.
 *
 * Registers are read and written at any time. The lock is held for the state
 * only, never during DMA, so a guest that polls never waits for a copy. After each
 * DMA the worker looks at `generation`: when it has moved, a reset, an abort or a
 * new chain came in between and the descriptor in hand is forgotten.
 *
 * The guest is hostile: a descriptor is copied once and then checked. The
 * address of the next one is read anew only for a chain that had come to its
 * end, since that is how a driver appends to it.
 */
#ifndef VIA_MODELS_IOAT_IOAT_H
#define VIA_MODELS_IOAT_IOAT_H

#include "models/ioat/regs.h"

#include <viaduct/device.h>

#include <pthread.h>

#define IOAT_BAR_SIZE 0x4000u
#define IOAT_BAR_MSIX_TABLE 0x2000u
#define IOAT_BAR_MSIX_PBA 0x3000u

/* A copy is done in pieces, between which unmap, reset and suspend get through. */
#define IOAT_PIECE ((size_t)64 << 10)
/* A turn of the device's thread: so many bytes, where each step counts for some. */
#define IOAT_TURN ((size_t)2 << 20)
#define IOAT_STEP_COST ((size_t)4 << 10)

/* Event for the device's thread: the channel has something to do. */
#define IOAT_WORK_RUN 1u

/* What ends a chain before its time; the greater goes before the lesser. */
enum via_ioat_stop {
	IOAT_STOP_NONE,
	IOAT_STOP_BAD_COMMAND,
	IOAT_STOP_ABORT,
	IOAT_STOP_RESET,
};

/* The descriptor in hand. */
struct via_ioat_transfer {
	bool valid;
	uint32_t control;
	uint64_t src, dst;
	uint64_t left; /* bytes */
};

struct via_ioat {
	struct via_device *dev; /* constant once the device is made */
	uint8_t xfercap;	/* constant: log2 of the longest transfer */
	pthread_mutex_t lock;	/* all below but @piece */

	/* General registers. */
	uint8_t genctrl;
	bool master_int_en;
	bool msix_vector_control;
	uint32_t attnstatus;
	bool int_asserted; /* INTRCTRL.INT as last acted upon */

	/* Channel registers. */
	uint16_t chanctrl;
	bool int_missed; /* an interrupt came while disabled: sent when rearmed */
	enum ioat_state state;
	uint64_t completed; /* descriptor */
	uint64_t chainaddr, chancmp, cdar;
	uint32_t chanerr, chanerrmsk;
	uint32_t chanerr_int; /* in config space */
	uint16_t dmacount;
	uint16_t processed; /* of dmacount */

	/* What the worker does. */
	bool busy;		 /* it is in DMA, without the lock */
	bool chained;		 /* CHAINADDR was written since the last reset */
	bool first;		 /* nothing of the chain has been fetched */
	bool next_stale;	 /* the one in @cdar was the last when it was fetched: see above */
	uint64_t next;		 /* descriptor to fetch */
	uint32_t generation;	 /* of the chain; see above */
	bool suspending;	 /* when the descriptor in hand is done */
	enum via_ioat_stop stop; /* when the DMA in flight is done */
	uint32_t report;	 /* errors to be told by completion and interrupt */
	struct via_ioat_transfer transfer;

	uint8_t piece[IOAT_PIECE]; /* the device's thread */
};

/* registers.c */
uint64_t via_ioat_read(struct via_device *dev, void *model, unsigned int bar, uint64_t offset,
		       unsigned int size);
void via_ioat_write(struct via_device *dev, void *model, unsigned int bar, uint64_t offset,
		    unsigned int size, uint64_t value);

/* config.c */
#define IOAT_N_CAPS 1u
extern const struct via_pci_cap via_ioat_caps[IOAT_N_CAPS];
uint32_t via_ioat_config_read(struct via_device *dev, void *model, unsigned int pos,
			      unsigned int size, uint32_t value);
void via_ioat_config_write(struct via_device *dev, void *model, unsigned int pos,
			   unsigned int size, uint32_t value);

/* engine.c: the device's thread */
void via_ioat_work(struct via_device *dev, void *model, uint64_t events);

/* migration.c */
extern const struct via_migration_ops via_ioat_migration;

/* channel.c; with the lock held. */
/* As after power-on, apart from CHANERR: software asks what went wrong after a reset. */
void via_ioat_channel_reset(struct via_ioat *ioat);
void via_ioat_channel_command(struct via_ioat *ioat, uint8_t command);
/* What CHANCMD reads: commands that are not finished. */
uint8_t via_ioat_channel_pending(const struct via_ioat *ioat);
void via_ioat_channel_set_chain(struct via_ioat *ioat, uint64_t addr);
void via_ioat_channel_set_count(struct via_ioat *ioat, uint16_t count);
/* Halt with @errors in CHANERR; the worker tells of them when @tell. */
void via_ioat_channel_fail(struct via_ioat *ioat, uint32_t errors, bool tell);
/* Carry out @stop. */
void via_ioat_channel_stopped(struct via_ioat *ioat);
/* The state of a channel that is neither halted nor suspended. */
enum ioat_state via_ioat_channel_running(const struct via_ioat *ioat);

/* interrupt.c; with the lock held. */
void via_ioat_interrupt(struct via_ioat *ioat);
void via_ioat_interrupt_rearm(struct via_ioat *ioat);
/* After a change of ATTNSTATUS or INTRCTRL. */
void via_ioat_interrupt_update(struct via_ioat *ioat);
uint8_t via_ioat_intrctrl(const struct via_ioat *ioat);

#endif
