/* SPDX-License-Identifier: MIT */
/* Delivery: from the model's calls and the mask registers to eventfds. */
#include "pci/irqs-private.h"

#include "base/eventfd.h"

#include <viaduct/abi/vfio.h>

#include <errno.h>
#include <stdlib.h>

void via_irqs_signal(struct via_irqs *irqs, int fd)
{
	if (fd < 0)
		return;
	via_signaller_signal(&irqs->signaller, fd);
	atomic_fetch_add_explicit(&irqs->delivered, 1, memory_order_relaxed);
}

static void drop(struct via_irqs *irqs)
{
	atomic_fetch_add_explicit(&irqs->dropped, 1, memory_order_relaxed);
}

/* --- INTx: pci-config.md 7.1 ---------------------------------------------- */

void via_irqs_intx_fire(struct via_irqs *irqs)
{
	if (irqs->sink) {
		via_irqs_sink_line(irqs);
		return;
	}
	if (atomic_load(&irqs->armed) != VIA_IRQ_INTX || irqs->masked || irqs->holding ||
	    !atomic_load(&irqs->level))
		return;
	irqs->masked = true;
	via_irqs_signal(irqs, irqs->intx);
}

void via_irqs_intx_unmask(struct via_irqs *irqs)
{
	if (irqs->disabled)
		return;
	irqs->masked = false;
	via_irqs_intx_fire(irqs);
}

void via_irqs_set_level(struct via_irqs *irqs, bool asserted)
{
	pthread_mutex_lock(&irqs->lock);
	atomic_store(&irqs->level, asserted && irqs->desc.intx);
	via_irqs_intx_fire(irqs);
	pthread_mutex_unlock(&irqs->lock);
}

bool via_irqs_level(const struct via_irqs *irqs)
{
	return atomic_load(&irqs->level);
}

void via_irqs_set_intx_disable(struct via_irqs *irqs, bool disable)
{
	pthread_mutex_lock(&irqs->lock);
	irqs->disabled = disable;
	if (irqs->sink)
		via_irqs_sink_line(irqs);
	else if (atomic_load(&irqs->armed) == VIA_IRQ_INTX) {
		if (disable)
			irqs->masked = true;
		else
			via_irqs_intx_unmask(irqs);
	}
	pthread_mutex_unlock(&irqs->lock);
}

void via_irqs_resample(struct via_irqs *irqs)
{
	pthread_mutex_lock(&irqs->lock);
	if (irqs->resample >= 0 && via_eventfd_drain(irqs->resample))
		via_irqs_intx_unmask(irqs);
	pthread_mutex_unlock(&irqs->lock);
}

/* --- MSI and MSI-X: 7.3 --------------------------------------------------- */

static bool is_pending(const struct via_irqs *irqs, unsigned int vector)
{
	return irqs->pending[vector / 64] >> vector % 64 & 1;
}

static void set_pending(struct via_irqs *irqs, unsigned int vector, bool pending)
{
	uint64_t bit = 1ull << vector % 64;

	if (pending)
		irqs->pending[vector / 64] |= bit;
	else
		irqs->pending[vector / 64] &= ~bit;
}

/* The function's capability for messages is on and has this vector. */
static bool has_vector(const struct via_irqs *irqs, unsigned int vector)
{
	if (atomic_load(&irqs->armed) == VIA_IRQ_MSIX)
		return vector < irqs->desc.msix && (!irqs->msix_emulated || irqs->msix_enable);
	return atomic_load(&irqs->armed) == VIA_IRQ_MSI && irqs->msi_enable &&
	       vector < irqs->msi_granted;
}

/*
 * A vector that is not connected is masked by the host: apart from the
 * program's mask, and invisible to it.
 */
static bool is_masked(const struct via_irqs *irqs, unsigned int vector)
{
	if (irqs->vectors[vector] < 0 && !irqs->sink)
		return true;
	if (atomic_load(&irqs->armed) == VIA_IRQ_MSIX)
		return irqs->function_mask || irqs->table[vector].masked;
	return irqs->msi_mask >> vector & 1;
}

/* To where the vector is connected. */
static void send(struct via_irqs *irqs, unsigned int vector)
{
	if (irqs->sink)
		via_irqs_sink_message(irqs, vector);
	else
		via_irqs_signal(irqs, irqs->vectors[vector]);
}

static bool latches(const struct via_irqs *irqs)
{
	return atomic_load(&irqs->armed) == VIA_IRQ_MSIX || irqs->desc.msi_maskable;
}

void via_irqs_deliver(struct via_irqs *irqs, unsigned int vector)
{
	if (!has_vector(irqs, vector)) {
		drop(irqs);
	} else if (is_masked(irqs, vector)) {
		if (latches(irqs))
			set_pending(irqs, vector, true);
		else
			drop(irqs);
	} else if (!irqs->bus_master) {
		drop(irqs);
	} else {
		send(irqs, vector);
	}
}

void via_irqs_trigger(struct via_irqs *irqs, unsigned int vector)
{
	if (!via_irqs_message_mode(irqs))
		return;
	pthread_mutex_lock(&irqs->lock);
	if (!irqs->holding)
		via_irqs_deliver(irqs, vector);
	else if (vector < via_irqs_max_vectors(irqs))
		irqs->held[vector / 64] |= 1ull << vector % 64;
	pthread_mutex_unlock(&irqs->lock);
}

void via_irqs_replay(struct via_irqs *irqs, unsigned int vector)
{
	if (!has_vector(irqs, vector) || !is_pending(irqs, vector) || is_masked(irqs, vector) ||
	    !irqs->bus_master || irqs->holding)
		return;
	set_pending(irqs, vector, false);
	send(irqs, vector);
}

void via_irqs_replay_all(struct via_irqs *irqs)
{
	unsigned int n =
		atomic_load(&irqs->armed) == VIA_IRQ_MSIX ? irqs->desc.msix : irqs->desc.msi;

	for (unsigned int i = 0; i < n; i++)
		via_irqs_replay(irqs, i);
}

bool via_irqs_message_mode(const struct via_irqs *irqs)
{
	return via_irqs_is_message(atomic_load(&irqs->armed));
}

bool via_irqs_armed(const struct via_irqs *irqs, unsigned int index)
{
	return atomic_load(&irqs->armed) == index;
}

unsigned int via_irqs_msi_qmax(const struct via_irqs *irqs)
{
	if (irqs->sink)
		return irqs->desc.msi ? (unsigned int)__builtin_ctz(irqs->desc.msi) : 0;
	return atomic_load(&irqs->msi_qmax);
}

void via_irqs_set_bus_master(struct via_irqs *irqs, bool on)
{
	pthread_mutex_lock(&irqs->lock);
	irqs->bus_master = on;
	via_irqs_replay_all(irqs);
	pthread_mutex_unlock(&irqs->lock);
}

void via_irqs_set_power(struct via_irqs *irqs, unsigned int state)
{
	pthread_mutex_lock(&irqs->lock);
	irqs->power = state;
	pthread_mutex_unlock(&irqs->lock);
}

void via_irqs_msi_control(struct via_irqs *irqs, bool enable, unsigned int mme)
{
	pthread_mutex_lock(&irqs->lock);
	if (irqs->sink || atomic_load(&irqs->armed) == VIA_IRQ_MSI) {
		irqs->msi_enable = enable;
		irqs->msi_granted = 1u << mme;
		if (irqs->sink)
			via_irqs_sink_rearm(irqs);
		via_irqs_replay_all(irqs);
	}
	pthread_mutex_unlock(&irqs->lock);
}

uint32_t via_irqs_msi_pending(struct via_irqs *irqs)
{
	uint32_t pending = 0;

	pthread_mutex_lock(&irqs->lock);
	if (atomic_load(&irqs->armed) == VIA_IRQ_MSI)
		pending = (uint32_t)irqs->pending[0];
	pthread_mutex_unlock(&irqs->lock);
	return pending;
}

void via_irqs_set_msi_mask(struct via_irqs *irqs, uint32_t mask)
{
	pthread_mutex_lock(&irqs->lock);
	irqs->msi_mask = mask;
	via_irqs_replay_all(irqs);
	pthread_mutex_unlock(&irqs->lock);
}

void via_irqs_msix_function_mask(struct via_irqs *irqs, bool masked)
{
	pthread_mutex_lock(&irqs->lock);
	irqs->function_mask = masked;
	via_irqs_replay_all(irqs);
	pthread_mutex_unlock(&irqs->lock);
}

void via_irqs_emulate_msix(struct via_irqs *irqs, bool on)
{
	pthread_mutex_lock(&irqs->lock);
	irqs->msix_emulated = on;
	pthread_mutex_unlock(&irqs->lock);
}

void via_irqs_msix_control(struct via_irqs *irqs, bool enable, bool function_mask)
{
	pthread_mutex_lock(&irqs->lock);
	irqs->msix_enable = enable;
	irqs->function_mask = function_mask;
	if (irqs->sink)
		via_irqs_sink_rearm(irqs);
	via_irqs_replay_all(irqs);
	pthread_mutex_unlock(&irqs->lock);
}

/* --- The rest ------------------------------------------------------------- */

void via_irqs_notify(struct via_irqs *irqs, unsigned int index)
{
	pthread_mutex_lock(&irqs->lock);
	via_irqs_signal(irqs, index == VIA_IRQ_ERR ? irqs->err : irqs->req);
	pthread_mutex_unlock(&irqs->lock);
}

bool via_irqs_suspend(struct via_irqs *irqs)
{
	bool masks;

	pthread_mutex_lock(&irqs->lock);
	masks = atomic_load(&irqs->armed) == VIA_IRQ_INTX && !irqs->masked;
	irqs->masked |= masks;
	pthread_mutex_unlock(&irqs->lock);
	return masks;
}

void via_irqs_resume(struct via_irqs *irqs)
{
	pthread_mutex_lock(&irqs->lock);
	if (atomic_load(&irqs->armed) == VIA_IRQ_INTX)
		via_irqs_intx_unmask(irqs);
	pthread_mutex_unlock(&irqs->lock);
}

void via_irqs_signal_other(struct via_irqs *irqs, int fd)
{
	pthread_mutex_lock(&irqs->lock);
	via_signaller_signal(&irqs->signaller, fd);
	pthread_mutex_unlock(&irqs->lock);
}

void via_irqs_reset(struct via_irqs *irqs)
{
	pthread_mutex_lock(&irqs->lock);
	atomic_store(&irqs->level, false);
	if (irqs->pending) {
		memset(irqs->pending, 0, via_irqs_bitmap_words(irqs) * sizeof(uint64_t));
		memset(irqs->held, 0, via_irqs_bitmap_words(irqs) * sizeof(uint64_t));
	}
	if (irqs->sink)
		via_irqs_sink_line(irqs);
	pthread_mutex_unlock(&irqs->lock);
}

uint64_t via_irqs_delivered(const struct via_irqs *irqs)
{
	return atomic_load_explicit(&irqs->delivered, memory_order_relaxed);
}

uint64_t via_irqs_dropped(const struct via_irqs *irqs)
{
	return atomic_load_explicit(&irqs->dropped, memory_order_relaxed);
}

int via_irqs_info(const struct via_irqs *irqs, unsigned int index, struct via_irq_info *ret_info)
{
	struct via_irq_info info = {.flags = VIA_VFIO_IRQ_INFO_EVENTFD};

	switch (index) {
	case VIA_IRQ_INTX:
		info.count = irqs->desc.intx;
		info.flags |= VIA_VFIO_IRQ_INFO_MASKABLE | VIA_VFIO_IRQ_INFO_AUTOMASKED;
		break;
	case VIA_IRQ_MSI:
		info.count = irqs->desc.msi;
		info.flags |= VIA_VFIO_IRQ_INFO_NORESIZE;
		break;
	case VIA_IRQ_MSIX:
		info.count = irqs->desc.msix;
		/* Vectors can be added while armed; the kernel says so only where there are any. */
		info.flags |= irqs->desc.msix ? 0 : VIA_VFIO_IRQ_INFO_NORESIZE;
		break;
	case VIA_IRQ_ERR:
		if (!irqs->desc.express)
			return -EINVAL;
		info.count = 1;
		info.flags |= VIA_VFIO_IRQ_INFO_NORESIZE;
		break;
	case VIA_IRQ_REQ:
		info.count = 1;
		info.flags |= VIA_VFIO_IRQ_INFO_NORESIZE;
		break;
	default:
		return -EINVAL;
	}
	*ret_info = info;
	return 0;
}

int via_irqs_new(const struct via_irqs_desc *desc, const struct via_irqs_ops *ops, void *cookie,
		 struct via_irqs **ret_irqs)
{
	struct via_irqs *irqs = calloc(1, sizeof(*irqs));
	unsigned int n;

	if (!irqs)
		return -ENOMEM;
	irqs->desc = *desc;
	irqs->ops = ops;
	irqs->cookie = cookie;
	pthread_mutex_init(&irqs->arrange, NULL);
	pthread_mutex_init(&irqs->lock, NULL);
	atomic_init(&irqs->armed, VIA_IRQ_NONE);
	via_signaller_init(&irqs->signaller);
	irqs->intx = irqs->resample = irqs->err = irqs->req = -1;
	n = via_irqs_max_vectors(irqs);
	if (n) {
		irqs->vectors = malloc(n * sizeof(*irqs->vectors));
		irqs->pending = calloc((n + 63) / 64, sizeof(*irqs->pending));
		irqs->held = calloc((n + 63) / 64, sizeof(*irqs->held));
		irqs->table = calloc(n, sizeof(*irqs->table));
		if (!irqs->vectors || !irqs->pending || !irqs->held || !irqs->table) {
			via_irqs_free(irqs);
			return -ENOMEM;
		}
	}
	for (unsigned int i = 0; i < n; i++) {
		irqs->vectors[i] = -1;
		irqs->table[i].masked = true;
	}
	*ret_irqs = irqs;
	return 0;
}

void via_irqs_free(struct via_irqs *irqs)
{
	if (!irqs)
		return;
	/* Not what via_irqs_new() gives up half-made. */
	if (!via_irqs_max_vectors(irqs) ||
	    (irqs->vectors && irqs->pending && irqs->held && irqs->table))
		via_irqs_release(irqs, true);
	via_signaller_deinit(&irqs->signaller);
	free(irqs->vectors);
	free(irqs->pending);
	free(irqs->held);
	free(irqs->table);
	pthread_mutex_destroy(&irqs->arrange);
	pthread_mutex_destroy(&irqs->lock);
	free(irqs);
}
