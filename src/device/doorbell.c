/* SPDX-License-Identifier: MIT */
/* Doorbell areas: looking at them, and the guards that report a write while nobody looks. */
#include "device/internal.h"

#include <errno.h>

bool via_doorbells_poll(struct via_device *dev)
{
	bool found = false;

	pthread_rwlock_rdlock(&dev->memory_lock);
	for (unsigned int i = 0; dev->memory_on && i < VIA_PCI_BARS; i++) {
		if (!dev->bars[i].has_doorbells)
			continue;
		via_peers_lock_model(dev);
		if (dev->ops->doorbell(dev, dev->model, i)) {
			via_count(&dev->counters.doorbells);
			found = true;
		}
		via_peers_unlock_model(dev);
	}
	pthread_rwlock_unlock(&dev->memory_lock);
	return found;
}

static bool mapped(struct via_device *dev)
{
	bool on;

	pthread_rwlock_rdlock(&dev->memory_lock);
	on = dev->mapped;
	pthread_rwlock_unlock(&dev->memory_lock);
	return on;
}

int via_guards_arm(struct via_device *dev)
{
	struct via_worker *w = &dev->worker;
	int ret = 0;

	/* Revoked pages cannot be written, nor protected. Their return rings. */
	if (!mapped(dev))
		return 0;
	pthread_mutex_lock(&w->guard_lock);
	for (struct via_doorbell_guard *g = w->guards; g; g = g->next) {
		int one = g->arm(g);

		ret = ret ? ret : one;
	}
	w->guards_armed = w->guards;
	pthread_mutex_unlock(&w->guard_lock);
	return ret;
}

void via_guards_disarm(struct via_device *dev)
{
	struct via_worker *w = &dev->worker;

	pthread_mutex_lock(&w->guard_lock);
	if (w->guards_armed)
		for (struct via_doorbell_guard *g = w->guards; g; g = g->next)
			g->disarm(g);
	w->guards_armed = false;
	pthread_mutex_unlock(&w->guard_lock);
}

bool via_guards_present(struct via_device *dev)
{
	struct via_worker *w = &dev->worker;
	bool present;

	pthread_mutex_lock(&w->guard_lock);
	present = w->guards;
	pthread_mutex_unlock(&w->guard_lock);
	return present;
}

void via_device_guard_add(struct via_device *dev, unsigned int region,
			  struct via_doorbell_guard *guard)
{
	struct via_worker *w = &dev->worker;

	pthread_mutex_lock(&w->guard_lock);
	guard->next = w->guards;
	w->guards = guard;
	pthread_mutex_unlock(&w->guard_lock);
	/* The new mapping may have been written already, and is not armed. */
	via_device_doorbell_ring(dev, region);
}

void via_device_guard_remove(struct via_device *dev, unsigned int region,
			     struct via_doorbell_guard *guard)
{
	struct via_worker *w = &dev->worker;

	pthread_mutex_lock(&w->guard_lock);
	for (struct via_doorbell_guard **g = &w->guards; *g; g = &(*g)->next) {
		if (*g == guard) {
			*g = guard->next;
			break;
		}
	}
	pthread_mutex_unlock(&w->guard_lock);
	/* The last write of a mapping that goes away counts. */
	via_device_doorbell_ring(dev, region);
}

void via_device_doorbell_ring(struct via_device *dev, unsigned int region)
{
	__atomic_store_n(&dev->worker.rung, true, __ATOMIC_SEQ_CST);
	via_worker_wake(dev);
}
