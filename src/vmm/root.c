/* SPDX-License-Identifier: MIT */
/*
 * A host bridge's life, and that of what is plugged into it.
 *
 * A function that is taken out leaves the table and the buses at once. After a grace
 * period nobody is in it, and it is given up by whoever lets go of it last: the
 * removal, or a reset that is at it. A removal in a callback is left to a thread of the root's.
 */
#include "vmm/internal.h"

#include "base/log.h"
#include "pci/regs.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

/* --- giving up a function --------------------------------------------------- */

/* Not in a section, and with no lock held. */
static void put(struct via_root_function *function)
{
	struct via_pci_root *root = function->root;

	if (atomic_fetch_sub(&function->refs, 1) != 1)
		return;
	if (function->open)
		via_device_close(function->dev);
	(void)via_device_attach(function->dev, NULL);
	(void)via_device_set_sink(function->dev, NULL, NULL);
	if (function->done)
		function->done(function->opaque, function->dev);
	free(function);
	pthread_mutex_lock(&root->lock);
	root->n_functions--;
	pthread_cond_broadcast(&root->gone);
	pthread_mutex_unlock(&root->lock);
}

static void *reap(void *opaque)
{
	struct via_pci_root *root = opaque;

	pthread_mutex_lock(&root->lock);
	while (root->leaving || !root->stop) {
		struct via_root_function *function = root->leaving;

		if (!function) {
			pthread_cond_wait(&root->work, &root->lock);
			continue;
		}
		root->leaving = function->next_leaving;
		pthread_mutex_unlock(&root->lock);
		(void)via_epoch_synchronize();
		put(function);
		pthread_mutex_lock(&root->lock);
	}
	pthread_mutex_unlock(&root->lock);
	return NULL;
}

/* In a section with lock held. Whoever does this sees to the rest of the removal. */
static void take_out(struct via_root_function *function,
		     void (*done)(void *opaque, struct via_device *dev), void *opaque)
{
	function->done = done;
	function->opaque = opaque;
	atomic_store_explicit(&function->root->functions[function->devfn], NULL,
			      memory_order_release);
	via_root_bars_remove(function);
}

static struct via_root_function *find(struct via_pci_root *root, const struct via_device *dev)
{
	for (unsigned int i = 0; i < VIA_ROOT_FUNCTIONS; i++) {
		struct via_root_function *function = via_root_function_at(root, i);

		if (function && function->dev == dev)
			return function;
	}
	return NULL;
}

int via_pci_root_remove_async(struct via_pci_root *root, struct via_device *dev,
			      void (*done)(void *opaque, struct via_device *dev), void *opaque)
{
	struct via_root_function *function;

	via_root_lock(root);
	function = find(root, dev);
	if (function) {
		take_out(function, done, opaque);
		function->next_leaving = root->leaving;
		root->leaving = function;
		pthread_cond_signal(&root->work);
	}
	via_root_unlock(root);
	return function ? 0 : -ENOENT;
}

struct waiter {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool done; /* lock */
};

static void wake(void *opaque, struct via_device *dev)
{
	struct waiter *w = opaque;

	pthread_mutex_lock(&w->lock);
	w->done = true;
	pthread_cond_signal(&w->cond);
	pthread_mutex_unlock(&w->lock);
}

int via_pci_root_remove(struct via_pci_root *root, struct via_device *dev)
{
	struct waiter w = {.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
	struct via_root_function *function;

	if (via_epoch_inside())
		return -EDEADLK;
	via_root_lock(root);
	function = find(root, dev);
	if (function)
		take_out(function, wake, &w);
	via_root_unlock(root);
	if (!function)
		return -ENOENT;
	(void)via_epoch_synchronize();
	put(function);
	pthread_mutex_lock(&w.lock);
	while (!w.done)
		pthread_cond_wait(&w.cond, &w.lock);
	pthread_mutex_unlock(&w.lock);
	return 0;
}

/* --- plugging one in ---------------------------------------------------------- */

static unsigned int interrupt_pin(struct via_device *dev)
{
	uint8_t pin = 0;

	(void)via_device_region_read(dev, VIA_REGION_CONFIG, PCI_INTERRUPT_PIN, &pin, 1);
	return pin;
}

/* Lock held: what is free of the place that is asked for. */
static int choose(struct via_pci_root *root, const struct via_pci_addr *addr,
		  unsigned int *ret_devfn)
{
	unsigned int devfn = root->desc.no_bridge ? 0 : 8, end = VIA_ROOT_FUNCTIONS;

	if (addr) {
		*ret_devfn = addr->device * 8u + addr->function;
		if (!*ret_devfn && !root->desc.no_bridge)
			return -EEXIST;
		return via_root_function_at(root, *ret_devfn) ? -EEXIST : 0;
	}
	for (; devfn < end; devfn += 8) {
		unsigned int n = 0;

		for (unsigned int i = 0; i < 8; i++)
			n += via_root_function_at(root, devfn + i) != NULL;
		if (!n) {
			*ret_devfn = devfn;
			return 0;
		}
	}
	return -ENOSPC;
}

/*
 * A program finds a function as the host's firmware has left it, which is decoding. A guest is
 * its own firmware.
 */
static int power_on(struct via_device *dev)
{
	static const uint8_t off[2];
	int ret = via_device_open(dev);

	if (!ret)
		(void)via_device_region_write(dev, VIA_REGION_CONFIG, PCI_COMMAND, off,
					      sizeof(off));
	return ret;
}

static int open_function(struct via_root_function *function)
{
	int ret = via_device_set_sink(function->dev, &via_root_sink, function);

	if (ret)
		return ret;
	ret = via_device_attach(function->dev, function->root->desc.ioas);
	if (!ret)
		ret = power_on(function->dev);
	if (ret) {
		(void)via_device_attach(function->dev, NULL);
		(void)via_device_set_sink(function->dev, NULL, NULL);
	}
	return ret;
}

/* plug held. */
static int plug_in(struct via_pci_root *root, struct via_root_function *function,
		   const struct via_pci_addr *addr)
{
	struct via_pci_addr at = {.segment = root->desc.segment};
	int ret;

	if (!root->reaper_runs) {
		ret = -pthread_create(&root->reaper, NULL, reap, root);
		if (ret)
			return ret;
		root->reaper_runs = true;
	}
	/* Only this gives places away, and plug is held. */
	pthread_mutex_lock(&root->lock);
	ret = choose(root, addr, &function->devfn);
	pthread_mutex_unlock(&root->lock);
	if (ret)
		return ret;
	via_epoch_enter();
	ret = via_root_bars_add(function);
	via_epoch_exit();
	if (ret)
		return ret;
	at.device = (uint8_t)(function->devfn / 8);
	at.function = (uint8_t)(function->devfn % 8);
	function->wire = via_root_wire(root, function->devfn, interrupt_pin(function->dev));
	ret = open_function(function);
	if (ret) {
		via_epoch_enter();
		via_root_bars_remove(function);
		via_epoch_exit();
		return ret;
	}
	function->open = true;
	via_device_set_addr(function->dev, &at);
	pthread_mutex_lock(&root->lock);
	root->n_functions++;
	atomic_store_explicit(&root->functions[function->devfn], function, memory_order_release);
	pthread_mutex_unlock(&root->lock);
	return 0;
}

int via_pci_root_add(struct via_pci_root *root, struct via_device *dev,
		     const struct via_pci_addr *addr, struct via_error *err)
{
	struct via_root_function *function;
	int ret;

	if (via_epoch_inside())
		return via_error_set(err, -EDEADLK, "devices cannot be added in a callback");
	if (addr && (addr->segment != root->desc.segment || addr->bus ||
		     addr->device >= VIA_PCI_SLOTS || addr->function >= 8))
		return via_error_set(
			err, -EINVAL, "%04x:%02x:%02x.%x is not on bus 0 of segment %04x",
			addr->segment, addr->bus, addr->device, addr->function, root->desc.segment);
	function = calloc(1, sizeof(*function));
	if (!function)
		return via_error_set(err, -ENOMEM, "out of memory");
	function->root = root;
	function->dev = dev;
	atomic_init(&function->refs, 1);
	pthread_mutex_lock(&root->plug);
	ret = plug_in(root, function, addr);
	pthread_mutex_unlock(&root->plug);
	if (!ret)
		return 0;
	free(function);
	return via_error_set(err, ret, "device %s cannot be plugged in: %s", via_device_name(dev),
			     ret == -EEXIST   ? "the place is taken"
			     : ret == -ENOSPC ? "the bus is full"
			     : ret == -EBUSY  ? "it is in use"
					      : strerror(-ret));
}

/* --- reset ----------------------------------------------------------------- */

/* In a section with lock held. */
static void switch_bars(struct via_root_function *function, bool on)
{
	function->off = !on;
	if (via_root_function_at(function->root, function->devfn) == function)
		via_root_bars_update(function);
}

/* Nobody is in its BARs, nor will be. */
static void reset_function(struct via_root_function *function)
{
	if (function->open)
		via_device_close(function->dev);
	/* One that cannot be opened again answers nothing until it can. */
	function->open = !power_on(function->dev);
	if (!function->open)
		via_log(VIA_LOG_ERROR, "%s: out of order after a reset of the machine",
			via_device_name(function->dev));
}

int via_pci_root_reset(struct via_pci_root *root)
{
	struct via_root_function *held = NULL, *next;

	if (via_epoch_inside())
		return -EDEADLK;
	pthread_mutex_lock(&root->plug);
	via_root_lock(root);
	for (unsigned int i = 0; i < VIA_ROOT_FUNCTIONS; i++) {
		struct via_root_function *function = via_root_function_at(root, i);

		if (!function)
			continue;
		atomic_fetch_add(&function->refs, 1);
		function->next_held = held;
		held = function;
		switch_bars(function, false);
	}
	via_root_unlock(root);
	(void)via_epoch_synchronize();
	for (struct via_root_function *f = held; f; f = f->next_held)
		reset_function(f);
	via_root_lock(root);
	for (struct via_root_function *f = held; f; f = f->next_held)
		switch_bars(f, true);
	via_root_unlock(root);
	atomic_store_explicit(&root->config_address, 0, memory_order_relaxed);
	pthread_mutex_unlock(&root->plug);
	for (; held; held = next) {
		next = held->next_held;
		put(held);
	}
	return 0;
}

/* --- the root itself --------------------------------------------------------- */

static int check(const struct via_pci_root_desc *desc, struct via_error *err)
{
	if (!desc->mmio)
		return via_error_set(err, -EINVAL, "a PCI root needs a memory bus");
	if (desc->config_ports && !desc->pio)
		return via_error_set(err, -EINVAL, "config ports need a bus of ports");
	if (!desc->ecam && !desc->config_ports)
		return via_error_set(err, -EINVAL,
				     "nothing leads to config space: neither an ECAM nor ports");
	if (desc->ecam % VIA_ROOT_ECAM_SIZE)
		return via_error_set(err, -EINVAL, "the ECAM is not at a multiple of 1 MiB");
	if (desc->n_lines > VIA_ROOT_PINS)
		return via_error_set(err, -EINVAL, "%u interrupt lines are more than %u pins",
				     desc->n_lines, VIA_ROOT_PINS);
	if (desc->priority < INT_MIN + (int)(VIA_ROOT_FUNCTIONS * VIA_ROOT_BARS) + 1)
		return via_error_set(err, -EINVAL, "the priority leaves no room below it");
	return 0;
}

int via_pci_root_new(const struct via_pci_root_desc *desc, struct via_error *err,
		     struct via_pci_root **ret_root)
{
	int ret = check(desc, err);
	struct via_pci_root *root;

	if (ret)
		return ret;
	root = calloc(1, sizeof(*root));
	if (!root)
		return via_error_set(err, -ENOMEM, "out of memory");
	root->desc = *desc;
	pthread_mutex_init(&root->plug, NULL);
	pthread_mutex_init(&root->lock, NULL);
	pthread_mutex_init(&root->wires.lock, NULL);
	pthread_cond_init(&root->gone, NULL);
	pthread_cond_init(&root->work, NULL);
	via_root_bridge_init(root);
	ret = via_root_config_claim(root);
	if (ret) {
		via_pci_root_free(root);
		return via_error_set(err, ret, "the PCI root cannot claim config space: %s",
				     ret == -EEXIST ? "something of its priority is there"
						    : strerror(-ret));
	}
	*ret_root = root;
	return 0;
}

void via_pci_root_free(struct via_pci_root *root)
{
	if (!root)
		return;
	via_root_config_unclaim(root);
	for (unsigned int i = 0; i < VIA_ROOT_FUNCTIONS; i++) {
		struct via_root_function *function;

		via_epoch_enter();
		function = via_root_function_at(root, i);
		via_epoch_exit();
		if (function)
			(void)via_pci_root_remove(root, function->dev);
	}
	pthread_mutex_lock(&root->lock);
	while (root->n_functions)
		pthread_cond_wait(&root->gone, &root->lock);
	root->stop = true;
	pthread_cond_signal(&root->work);
	pthread_mutex_unlock(&root->lock);
	if (root->reaper_runs)
		pthread_join(root->reaper, NULL);
	pthread_cond_destroy(&root->work);
	pthread_cond_destroy(&root->gone);
	pthread_mutex_destroy(&root->wires.lock);
	pthread_mutex_destroy(&root->lock);
	pthread_mutex_destroy(&root->plug);
	free(root);
}
