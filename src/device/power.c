/* SPDX-License-Identifier: MIT */
/*
 * Low power (pci-config.md 6.11): a program that does not use the function for
 * a while says so, and the host lets it sleep.
 *
 * Between entry and exit low power is *engaged*: mappings stay revoked. While
 * it is engaged and no call through a descriptor is under way, the function is
 * *suspended*: in D3hot, where it masters no bus, with INTx held back. A call
 * wakes it, and it is suspended again when the last one has ended, unless the
 * program left an eventfd at entry: then waking signals that and ends low
 * power.
 *
 * An interrupt of a function in D3hot is its power management event: the
 * worker wakes the function, as a call would. A function without power
 * management stays in D0 and has none; its INTx comes through with the next call.
 *
 * A call counts itself and then looks whether low power is engaged; suspending
 * looks for calls after it was engaged. So one of the two sees the other.
 */
#include "device/internal.h"

#include "base/eventfd.h"
#include "pci/masks.h"

#include <errno.h>
#include <unistd.h>

void via_power_init(struct via_device *dev)
{
	pthread_mutex_init(&dev->power.lock, NULL);
	dev->power.wake_fd = -1;
}

void via_power_deinit(struct via_device *dev)
{
	pthread_mutex_destroy(&dev->power.lock);
}

/* The following with lock held. */

static void disengage(struct via_device *dev)
{
	struct via_power *p = &dev->power;

	via_mappings_switch(dev, &p->engaged, false);
	if (p->wake_fd >= 0)
		close(p->wake_fd);
	p->wake_fd = -1;
}

static void suspend_if_idle(struct via_device *dev)
{
	struct via_power *p = &dev->power;

	if (!p->engaged || p->suspended || __atomic_load_n(&p->users, __ATOMIC_SEQ_CST))
		return;
	/* First of all, so that no interrupt comes too late to be delivered and too early to wake. */
	__atomic_store_n(&p->sleeps, via_config_masks_of(dev->config)->pm, __ATOMIC_SEQ_CST);
	__atomic_store_n(&p->suspended, true, __ATOMIC_SEQ_CST);
	via_config_suspend(dev->config);
	p->intx_masked = via_irqs_suspend(dev->irqs);
}

static void resume(struct via_device *dev)
{
	struct via_power *p = &dev->power;

	if (!p->suspended)
		return;
	via_config_resume(dev->config);
	__atomic_store_n(&p->suspended, false, __ATOMIC_SEQ_CST);
	if (p->wake_fd >= 0) {
		via_irqs_signal_other(dev->irqs, p->wake_fd);
		disengage(dev);
	}
	if (p->intx_masked)
		via_irqs_resume(dev->irqs);
}

/* --- Calls --- */

void via_device_begin(struct via_device *dev)
{
	struct via_power *p = &dev->power;

	via_ioeventfds_run(dev);
	via_peers_settle(dev);
	__atomic_fetch_add(&p->users, 1, __ATOMIC_SEQ_CST);
	if (!__atomic_load_n(&p->engaged, __ATOMIC_SEQ_CST))
		return;
	pthread_mutex_lock(&p->lock);
	resume(dev);
	pthread_mutex_unlock(&p->lock);
}

void via_device_end(struct via_device *dev)
{
	struct via_power *p = &dev->power;

	if (__atomic_sub_fetch(&p->users, 1, __ATOMIC_SEQ_CST) ||
	    !__atomic_load_n(&p->engaged, __ATOMIC_SEQ_CST))
		return;
	pthread_mutex_lock(&p->lock);
	suspend_if_idle(dev);
	pthread_mutex_unlock(&p->lock);
}

int via_device_low_power_entry(struct via_device *dev, int wake_fd)
{
	struct via_power *p = &dev->power;
	int ret = 0;

	if (wake_fd >= 0 && !via_eventfd_is(wake_fd))
		return -EINVAL;
	pthread_mutex_lock(&p->lock);
	if (p->engaged) {
		ret = -EINVAL;
	} else {
		p->wake_fd = wake_fd;
		via_mappings_switch(dev, &p->engaged, true);
		suspend_if_idle(dev);
	}
	pthread_mutex_unlock(&p->lock);
	return ret;
}

void via_device_low_power_exit(struct via_device *dev)
{
	struct via_power *p = &dev->power;

	pthread_mutex_lock(&p->lock);
	resume(dev);
	if (p->engaged)
		disengage(dev);
	pthread_mutex_unlock(&p->lock);
}

void via_power_end(struct via_device *dev)
{
	struct via_power *p = &dev->power;

	pthread_mutex_lock(&p->lock);
	if (p->engaged)
		disengage(dev);
	resume(dev);
	__atomic_store_n(&p->event, false, __ATOMIC_SEQ_CST);
	pthread_mutex_unlock(&p->lock);
}

/* --- Events --- */

void via_power_event(struct via_device *dev)
{
	struct via_power *p = &dev->power;

	if (!__atomic_load_n(&p->suspended, __ATOMIC_SEQ_CST) ||
	    !__atomic_load_n(&p->sleeps, __ATOMIC_SEQ_CST))
		return;
	/* Not here: the model holds locks that waking takes. */
	__atomic_store_n(&p->event, true, __ATOMIC_SEQ_CST);
	via_worker_wake(dev);
}

void via_power_wake(struct via_device *dev)
{
	struct via_power *p = &dev->power;

	pthread_mutex_lock(&p->lock);
	resume(dev);
	suspend_if_idle(dev);
	pthread_mutex_unlock(&p->lock);
}
