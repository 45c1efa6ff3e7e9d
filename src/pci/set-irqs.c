/* SPDX-License-Identifier: MIT */
/* Arrangement: SET_IRQS (pci-config.md 6.8) and what takes it apart. */
#include "pci/irqs-private.h"

#include "base/eventfd.h"

#include <viaduct/abi/vfio.h>

#include <errno.h>
#include <unistd.h>

#define SET_IRQS_HEADER 20u
#define SET_IRQS_FLAGS (VIA_VFIO_IRQ_SET_DATA_TYPE_MASK | VIA_VFIO_IRQ_SET_ACTION_TYPE_MASK)

/* --- Descriptors ---------------------------------------------------------- */

/* The caller's descriptor as one of ours: -EBADF, or -EINVAL if no eventfd. */
static int get_eventfd(const struct via_set_irqs *set, int number, int *ret_fd)
{
	int fd;
	int r = set->fd_get(set->cookie, number, &fd);

	if (r)
		return r;
	if (!via_eventfd_is(fd)) {
		close(fd);
		return -EINVAL;
	}
	*ret_fd = fd;
	return 0;
}

static void put_eventfd(int fd)
{
	if (fd >= 0)
		close(fd);
}

/* Exchange under lock: afterwards nobody signals the old descriptor, which is closed. */
static void replace(struct via_irqs *irqs, int *slot, int fd)
{
	int old;

	pthread_mutex_lock(&irqs->lock);
	old = *slot;
	*slot = fd;
	pthread_mutex_unlock(&irqs->lock);
	put_eventfd(old);
}

/* --- INTx ----------------------------------------------------------------- */

static void detach_resample(struct via_irqs *irqs)
{
	int fd = irqs->resample;

	if (fd < 0)
		return;
	pthread_mutex_lock(&irqs->lock);
	irqs->resample = -1;
	pthread_mutex_unlock(&irqs->lock);
	irqs->ops->unwatch(irqs->cookie, fd);
	close(fd);
}

static int attach_resample(struct via_irqs *irqs, const struct via_set_irqs *set)
{
	int fd, r;

	if (set->fds[0] < 0) {
		detach_resample(irqs);
		return 0;
	}
	r = get_eventfd(set, set->fds[0], &fd);
	if (r)
		return r;
	if (irqs->resample >= 0)
		r = -EBUSY;
	else if (!irqs->ops || !irqs->ops->watch)
		r = -EINVAL;
	if (r) {
		close(fd);
		return r;
	}
	pthread_mutex_lock(&irqs->lock);
	irqs->resample = fd;
	pthread_mutex_unlock(&irqs->lock);
	r = irqs->ops->watch(irqs->cookie, fd);
	if (r)
		replace(irqs, &irqs->resample, -1);
	return r;
}

static void disarm_intx(struct via_irqs *irqs)
{
	detach_resample(irqs);
	pthread_mutex_lock(&irqs->lock);
	atomic_store(&irqs->armed, VIA_IRQ_NONE);
	pthread_mutex_unlock(&irqs->lock);
	replace(irqs, &irqs->intx, -1);
}

static void arm_intx(struct via_irqs *irqs, int fd)
{
	pthread_mutex_lock(&irqs->lock);
	irqs->intx = fd;
	irqs->masked = irqs->disabled;
	atomic_store(&irqs->armed, VIA_IRQ_INTX);
	via_irqs_intx_fire(irqs);
	pthread_mutex_unlock(&irqs->lock);
}

static bool wants_signal(const struct via_set_irqs *set, uint32_t i)
{
	return set->flags & VIA_VFIO_IRQ_SET_DATA_NONE || set->bools[i];
}

static int trigger_intx(struct via_irqs *irqs, const struct via_set_irqs *set)
{
	unsigned int armed = atomic_load(&irqs->armed);

	if (armed == VIA_IRQ_INTX && !set->count && set->flags & VIA_VFIO_IRQ_SET_DATA_NONE) {
		disarm_intx(irqs);
		return 0;
	}
	if ((armed != VIA_IRQ_INTX && armed != VIA_IRQ_NONE) || set->start || set->count != 1)
		return -EINVAL;
	if (set->flags & VIA_VFIO_IRQ_SET_DATA_EVENTFD) {
		int fd = -1;
		int r = set->fds[0] < 0 ? 0 : get_eventfd(set, set->fds[0], &fd);

		if (r)
			return r;
		if (armed == VIA_IRQ_INTX)
			replace(irqs, &irqs->intx, fd);
		else
			arm_intx(irqs, fd);
		return 0;
	}
	if (armed != VIA_IRQ_INTX)
		return -EINVAL;
	pthread_mutex_lock(&irqs->lock);
	if (wants_signal(set, 0) && !irqs->disabled)
		via_irqs_signal(irqs, irqs->intx);
	pthread_mutex_unlock(&irqs->lock);
	return 0;
}

static int mask_intx(struct via_irqs *irqs, const struct via_set_irqs *set)
{
	bool unmask = set->flags & VIA_VFIO_IRQ_SET_ACTION_UNMASK;

	if (atomic_load(&irqs->armed) != VIA_IRQ_INTX || set->start || set->count != 1)
		return -EINVAL;
	if (set->flags & VIA_VFIO_IRQ_SET_DATA_EVENTFD)
		return unmask ? attach_resample(irqs, set) : -ENOTTY;
	if (!wants_signal(set, 0))
		return 0;
	pthread_mutex_lock(&irqs->lock);
	if (unmask)
		via_irqs_intx_unmask(irqs);
	else
		irqs->masked = true;
	pthread_mutex_unlock(&irqs->lock);
	return 0;
}

/* --- MSI and MSI-X -------------------------------------------------------- */

static unsigned int message_count(const struct via_irqs *irqs, unsigned int index)
{
	return index == VIA_IRQ_MSIX ? irqs->desc.msix : irqs->desc.msi;
}

static void connect_vector(struct via_irqs *irqs, unsigned int vector, int fd)
{
	int old;

	pthread_mutex_lock(&irqs->lock);
	old = irqs->vectors[vector];
	irqs->vectors[vector] = fd;
	/* The host's handler owns the entry's mask bit, as a kernel's does, or the program. */
	if (atomic_load(&irqs->armed) == VIA_IRQ_MSIX && !irqs->msix_emulated)
		irqs->table[vector].masked = fd < 0;
	via_irqs_replay(irqs, vector);
	pthread_mutex_unlock(&irqs->lock);
	put_eventfd(old);
}

static int set_vector(struct via_irqs *irqs, const struct via_set_irqs *set, unsigned int vector,
		      int number)
{
	int fd = -1, r = 0;

	if (number >= 0)
		r = vector < irqs->n_allocated ? get_eventfd(set, number, &fd) : -EINVAL;
	/*
	 * In one step, so that each message goes to one of the two. Whatever was
	 * connected goes also when the new one is bad.
	 */
	connect_vector(irqs, vector, fd);
	return r;
}

/* A failure takes down every vector from start to the one that failed (Q13). */
static int set_vectors(struct via_irqs *irqs, const struct via_set_irqs *set)
{
	for (uint32_t i = 0; i < set->count; i++) {
		int r = set_vector(irqs, set, set->start + i, set->fds[i]);

		if (r) {
			for (uint32_t j = 0; j <= i; j++)
				connect_vector(irqs, set->start + j, -1);
			return r;
		}
	}
	return 0;
}

static void disarm_message(struct via_irqs *irqs)
{
	unsigned int n = message_count(irqs, atomic_load(&irqs->armed));

	for (unsigned int i = 0; i < n; i++)
		connect_vector(irqs, i, -1);
	pthread_mutex_lock(&irqs->lock);
	atomic_store(&irqs->armed, VIA_IRQ_NONE);
	irqs->n_allocated = 0;
	memset(irqs->pending, 0, (n + 63) / 64 * sizeof(*irqs->pending));
	pthread_mutex_unlock(&irqs->lock);
}

static unsigned int log2_ceil(unsigned int n)
{
	return n <= 1 ? 0 : 32u - (unsigned int)__builtin_clz(n - 1);
}

static int arm_message(struct via_irqs *irqs, unsigned int index, unsigned int n)
{
	int r = 0;

	pthread_mutex_lock(&irqs->lock);
	if (irqs->power) {
		r = -EINVAL;
	} else if (!n) {
		r = -ERANGE;
	} else {
		/* MSI-X vectors can be added later, MSI ones cannot. */
		irqs->n_allocated = index == VIA_IRQ_MSIX ? irqs->desc.msix : n;
		if (index == VIA_IRQ_MSI) {
			atomic_store(&irqs->msi_qmax, log2_ceil(n));
			irqs->msi_enable = true;
			irqs->msi_granted = 1u << log2_ceil(n);
		}
		atomic_store(&irqs->armed, index);
	}
	pthread_mutex_unlock(&irqs->lock);
	return r;
}

static int trigger_message(struct via_irqs *irqs, const struct via_set_irqs *set)
{
	unsigned int armed = atomic_load(&irqs->armed);
	int r;

	if (armed == set->index && !set->count && set->flags & VIA_VFIO_IRQ_SET_DATA_NONE) {
		disarm_message(irqs);
		return 0;
	}
	if (armed != set->index && armed != VIA_IRQ_NONE)
		return -EINVAL;
	if (set->flags & VIA_VFIO_IRQ_SET_DATA_EVENTFD) {
		if (armed == set->index)
			return set_vectors(irqs, set);
		r = arm_message(irqs, set->index, set->start + set->count);
		if (r)
			return r;
		r = set_vectors(irqs, set);
		if (r)
			disarm_message(irqs);
		return r;
	}
	if (armed != set->index)
		return -EINVAL;
	pthread_mutex_lock(&irqs->lock);
	for (uint32_t i = 0; i < set->count; i++) {
		if (wants_signal(set, i))
			via_irqs_signal(irqs, irqs->vectors[set->start + i]);
	}
	pthread_mutex_unlock(&irqs->lock);
	return 0;
}

/* --- ERR and REQ ---------------------------------------------------------- */

static int set_single(struct via_irqs *irqs, const struct via_set_irqs *set, int *slot)
{
	int fd = -1, r;

	if (set->start || set->count > 1)
		return -EINVAL;
	if (set->flags & VIA_VFIO_IRQ_SET_DATA_NONE) {
		if (*slot < 0)
			return -EINVAL;
		if (!set->count) {
			replace(irqs, slot, -1);
			return 0;
		}
	} else if (!set->count) {
		return -EINVAL;
	}
	if (!(set->flags & VIA_VFIO_IRQ_SET_DATA_EVENTFD)) {
		if (wants_signal(set, 0))
			via_irqs_notify(irqs, set->index);
		return 0;
	}
	if (set->fds[0] < -1)
		return -EINVAL;
	if (set->fds[0] >= 0) {
		r = get_eventfd(set, set->fds[0], &fd);
		if (r)
			return r;
	}
	replace(irqs, slot, fd);
	return 0;
}

/* --- Entry ---------------------------------------------------------------- */

static int check_range(const struct via_irqs *irqs, const struct via_set_irqs *set)
{
	struct via_irq_info info;

	if (set->index >= VIA_N_IRQS || set->count >= UINT32_MAX - set->start ||
	    set->flags & ~SET_IRQS_FLAGS)
		return -EINVAL;
	if (via_irqs_info(irqs, set->index, &info) || set->start >= info.count ||
	    set->start + set->count > info.count)
		return -EINVAL;
	return 0;
}

int via_irqs_check(const struct via_irqs *irqs, uint32_t argsz, const struct via_set_irqs *set,
		   size_t *ret_data_len)
{
	size_t size;
	int r;

	if (argsz < SET_IRQS_HEADER)
		return -EINVAL;
	r = check_range(irqs, set);
	if (r)
		return r;
	switch (set->flags & VIA_VFIO_IRQ_SET_DATA_TYPE_MASK) {
	case VIA_VFIO_IRQ_SET_DATA_NONE:
		size = 0;
		break;
	case VIA_VFIO_IRQ_SET_DATA_BOOL:
		size = sizeof(uint8_t);
		break;
	case VIA_VFIO_IRQ_SET_DATA_EVENTFD:
		size = sizeof(int32_t);
		break;
	default:
		return -EINVAL;
	}
	/* count is at most 2048 here. */
	if (argsz - SET_IRQS_HEADER < set->count * size)
		return -EINVAL;
	*ret_data_len = set->count * size;
	return 0;
}

static int dispatch(struct via_irqs *irqs, const struct via_set_irqs *set)
{
	unsigned int action = set->flags & VIA_VFIO_IRQ_SET_ACTION_TYPE_MASK;
	bool trigger = action == VIA_VFIO_IRQ_SET_ACTION_TRIGGER;

	if (set->index == VIA_IRQ_INTX &&
	    (action == VIA_VFIO_IRQ_SET_ACTION_MASK || action == VIA_VFIO_IRQ_SET_ACTION_UNMASK))
		return mask_intx(irqs, set);
	if (!trigger)
		return -ENOTTY;
	switch (set->index) {
	case VIA_IRQ_INTX:
		return trigger_intx(irqs, set);
	case VIA_IRQ_ERR:
		return set_single(irqs, set, &irqs->err);
	case VIA_IRQ_REQ:
		return set_single(irqs, set, &irqs->req);
	default:
		return trigger_message(irqs, set);
	}
}

int via_irqs_set(struct via_irqs *irqs, const struct via_set_irqs *set)
{
	size_t len;
	int r = via_irqs_check(irqs, UINT32_MAX, set, &len);

	if (r)
		return r;
	/* A guest's registers decide, and the index counts for nothing. */
	if (irqs->sink && set->index <= VIA_IRQ_MSIX)
		return -EINVAL;
	pthread_mutex_lock(&irqs->arrange);
	r = dispatch(irqs, set);
	pthread_mutex_unlock(&irqs->arrange);
	return r;
}

void via_irqs_release(struct via_irqs *irqs, bool all)
{
	unsigned int armed;

	pthread_mutex_lock(&irqs->arrange);
	armed = atomic_load(&irqs->armed);
	if (armed == VIA_IRQ_INTX)
		disarm_intx(irqs);
	else if (via_irqs_is_message(armed))
		disarm_message(irqs);
	/* What a program left in the registers does not reach the next one. */
	pthread_mutex_lock(&irqs->lock);
	atomic_store(&irqs->msi_qmax, 0);
	irqs->msi_mask = 0;
	irqs->function_mask = irqs->msix_enable = false;
	for (unsigned int i = 0; i < irqs->desc.msix; i++)
		irqs->table[i] = (struct via_msix_entry){.masked = true};
	if (irqs->sink) {
		irqs->msi_enable = false;
		via_irqs_sink_rearm(irqs);
	}
	pthread_mutex_unlock(&irqs->lock);
	if (all) {
		replace(irqs, &irqs->err, -1);
		replace(irqs, &irqs->req, -1);
	}
	pthread_mutex_unlock(&irqs->arrange);
}
