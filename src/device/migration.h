/* SPDX-License-Identifier: MIT */
/*
 * Migration of a device (pci-config.md 6.12), for transports: the states and
 * the way from one to another, and the sessions in which a device's state
 * leaves or enters. Numbers are those of the VFIO ABI.
 */
#ifndef VIA_DEVICE_MIGRATION_H
#define VIA_DEVICE_MIGRATION_H

#include "device/device.h"

enum via_migration_state {
	VIA_STATE_ERROR = 0,
	VIA_STATE_STOP = 1,
	VIA_STATE_RUNNING = 2,
	VIA_STATE_STOP_COPY = 3,
	VIA_STATE_RESUMING = 4,
	VIA_STATE_RUNNING_P2P = 5,
	VIA_STATE_PRE_COPY = 6,
	VIA_STATE_PRE_COPY_P2P = 7,
	VIA_N_MIGRATION_STATES = 8,
};

/* Beside enum via_migration_flags: what every device that migrates has. */
#define VIA_MIGRATION_HAS_STOP_COPY 1u

/*
 * fsm.c: where a device with these flags goes first from one state toward
 * another. -EINVAL when there is no way, or the device lacks one of the two.
 */
int via_migration_next(unsigned int flags, uint32_t from, uint32_t to,
		       enum via_migration_state *ret_next);

/* 0: the device cannot be migrated. */
unsigned int via_device_migration_flags(const struct via_device *dev);
enum via_migration_state via_device_migration_get(struct via_device *dev);

/*
 * Bring the device to a state, hop by hop. When the last hop opened a session,
 * *ret_session is it, with a reference for the caller; else NULL. On failure
 * the device is where the way ended. The device must be open. -EINVAL no way,
 * or a stream that is not complete or not for this device; -ENOMEM; a model's
 * errno. Waits for the device's work at hand.
 */
struct via_migration_session;
int via_device_migration_set(struct via_device *dev, uint32_t target,
			     struct via_migration_session **ret_session);

/* Bytes that a copy of the stopped device would take, at most. */
uint64_t via_device_migration_size(struct via_device *dev);

/* The program wants the flags of struct via_precopy_info; until the last close. */
void via_device_migration_set_precopy_v2(struct via_device *dev);

struct via_migration_session *via_migration_session_get(struct via_migration_session *session);
void via_migration_session_put(struct via_migration_session *session);
/* True: read from; false: written to. */
bool via_migration_session_saves(const struct via_migration_session *session);

/*
 * Look at up to len next bytes of a session that saves. They stay until
 * via_migration_consume() has said that n of those that came with *ret_mark
 * have arrived. Fewer than len may be given. 0: that was all; -ENOMSG: that is
 * all for now; -ENODEV: the session is over; -EINVAL: it restores.
 */
ssize_t via_migration_peek(struct via_migration_session *session, void *buf, size_t len,
			   uint64_t *ret_mark);
void via_migration_consume(struct via_migration_session *session, uint64_t mark, size_t n);

/* len, -EINVAL for bytes that this device cannot take, -ENODEV. */
ssize_t via_migration_write(struct via_migration_session *session, const void *buf, size_t len);

struct via_precopy_info {
	bool v2; /* flags mean something */
	uint32_t flags;
	uint64_t initial_bytes, dirty_bytes;
};

/* -EINVAL: not in a state before the copy; -ENODEV: over. */
int via_migration_precopy_info(struct via_migration_session *session,
			       struct via_precopy_info *ret_info);

/*
 * Log of DMA. -EINVAL: there is one already. The device is halted for a moment
 * if its I/O could hold leases. The log itself is via_dma_log_of()'s.
 */
struct via_dma_log;
int via_device_log_start(struct via_device *dev, struct via_dma_log *log);
void via_device_log_stop(struct via_device *dev);

#endif
