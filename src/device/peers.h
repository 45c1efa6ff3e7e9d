/* SPDX-License-Identifier: MIT */
/*
 * Accesses of other devices' DMA to registers of this one. They go through a queue
 * to a thread of the device's own, which makes them in order. A write is posted, as on
 * PCI: its author does not wait for it. A read waits for its completion, and a write for
 * room in the queue; what takes too long, or could only end after its author has let go
 * of a lock (two devices that read each other at once), is an error of the bus.
 *
 * The author may hold any lock of its own device and be inside a read section (base/epoch.h):
 * it never waits for a lock of this one, only for that thread, and not for ever.
 */
#ifndef VIA_DEVICE_PEERS_H
#define VIA_DEVICE_PEERS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct via_device;
struct via_peer_request;

struct via_peers {
	pthread_mutex_t lock; /* a leaf, all below unless said otherwise */
	pthread_cond_t news;  /* for the thread */
	pthread_cond_t done;  /* a request is complete */
	bool answers;	      /* the function answers memory accesses */
	bool open;	      /* the device is, so that there may be a thread */
	bool running, stop;
	pthread_t thread; /* while running */
	struct via_peer_request *first, **end;
	uint64_t bytes;		     /* in the queue */
	uint64_t n_queued, n_done;   /* requests ever; written with lock held, atomic */
	struct via_device *waits_for; /* under the lock of peers.c: who holds our model_lock does */
};

int via_peers_init(struct via_device *dev);
void via_peers_deinit(struct via_device *dev);

/* First open, last close. After the latter nothing that was asked for happens any more. */
void via_peers_open(struct via_device *dev);
void via_peers_close(struct via_device *dev);

/* There may be accesses from now on: 0, -ENODEV not open, -ENOMEM. */
int via_peers_expect(struct via_device *dev);

/*
 * memory_lock held for writing. Once it does not answer, what waits for it has failed, and posted
 * writes that have not arrived are lost.
 */
void via_peers_answer(struct via_device *dev, bool on);

/* 0; -EFAULT nobody answers, or not in time. */
int via_peers_access(struct via_device *dev, unsigned int region, uint64_t offset, void *buf,
		     size_t len, bool write);

/* Writes posted so far have arrived: before a program's access, which would see that they have not. */
void via_peers_settle(struct via_device *dev);

/* Around model_lock: who waits with it held makes others wait. */
void via_peers_lock_model(struct via_device *dev);
void via_peers_unlock_model(struct via_device *dev);

#endif
