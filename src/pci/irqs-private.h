/* SPDX-License-Identifier: MIT */
/*
 * The interrupt engine's state, shared by delivery (irqs.c), arrangement
 * (set-irqs.c) and the MSI-X registers (msix.c).
 */
#ifndef VIA_PCI_IRQS_PRIVATE_H
#define VIA_PCI_IRQS_PRIVATE_H

#include "pci/irqs.h"
#include "pci/signal.h"

#include <pthread.h>
#include <stdatomic.h>

#define VIA_IRQ_NONE VIA_N_IRQS /* in .armed: none of INTx, MSI, MSI-X */
#define VIA_MSI_MAX 32u

struct via_msix_entry {
	uint32_t address_low, address_high, data;
	bool masked; /* Vector Control bit 0 */
};

struct via_irqs {
	/* Constant after via_irqs_new(). */
	struct via_irqs_desc desc;
	const struct via_irqs_ops *ops;
	void *cookie;

	pthread_mutex_t arrange;
	pthread_mutex_t lock; /* all that follows; what is atomic is read without it */

	atomic_uint armed; /* INTX, MSI, MSIX or NONE; changed with arrange held too */
	atomic_bool level; /* INTx pin */
	atomic_uint msi_qmax;
	atomic_ullong delivered, dropped;

	struct via_signaller signaller;

	bool bus_master;
	unsigned int power; /* D-state */

	int intx;	/* eventfd or -1 */
	int resample;	/* eventfd or -1; changed with arrange held too */
	bool masked;	/* INTx: automatically or by MASK */
	bool disabled;	/* COMMAND bit 10 */

	/* Message vectors: fds of desc.msi or desc.msix, whichever is armed. */
	int *vectors;		  /* max of both; -1: not connected */
	unsigned int n_allocated; /* MSI: vectors beyond are not there */
	uint64_t *pending;	  /* bitmap over vectors, the Pending Bit Array */
	/*
	 * While the function is stopped nothing is signalled: messages wait in held,
	 * a bitmap over vectors, the line in level.
	 */
	bool holding;
	uint64_t *held;

	bool msi_enable;
	unsigned int msi_granted; /* 1 << Multiple Message Enable */
	uint32_t msi_mask;

	struct via_msix_entry *table; /* desc.msix entries */
	bool function_mask;
	bool msix_emulated, msix_enable; /* the latter counts with the former */

	int err, req; /* eventfds or -1 */

	const struct via_irqs_sink *sink; /* NULL: eventfds. Constant while the function is in use */
	void *sink_cookie;
	bool line; /* as the sink was last told */
	uint64_t msi_address;
	uint32_t msi_data;
};

static inline unsigned int via_irqs_max_vectors(const struct via_irqs *irqs)
{
	return irqs->desc.msix > irqs->desc.msi ? irqs->desc.msix : irqs->desc.msi;
}

static inline size_t via_irqs_bitmap_words(const struct via_irqs *irqs)
{
	return (via_irqs_max_vectors(irqs) + 63) / 64;
}

static inline bool via_irqs_is_message(unsigned int index)
{
	return index == VIA_IRQ_MSI || index == VIA_IRQ_MSIX;
}

/* The following are called with lock held. */

/* sink.c: which of MSI-X, MSI and the pin counts now; the line follows. */
void via_irqs_sink_rearm(struct via_irqs *irqs);
void via_irqs_sink_line(struct via_irqs *irqs);
void via_irqs_sink_message(struct via_irqs *irqs, unsigned int vector);
/* Add one to an eventfd (or -1: nothing). */
void via_irqs_signal(struct via_irqs *irqs, int fd);
/* What a message of the function comes to: a signal, a pending bit, nothing. */
void via_irqs_deliver(struct via_irqs *irqs, unsigned int vector);
/* Send vector if it is pending and may be sent now. */
void via_irqs_replay(struct via_irqs *irqs, unsigned int vector);
void via_irqs_replay_all(struct via_irqs *irqs);
/* INTx: signal if the line is up and unmasked; mask then. */
void via_irqs_intx_fire(struct via_irqs *irqs);
/* What UNMASK does. */
void via_irqs_intx_unmask(struct via_irqs *irqs);

#endif
