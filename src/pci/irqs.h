/* SPDX-License-Identifier: MIT */
/*
 * The interrupt engine of one function: INTx with automask and resample, MSI,
 * MSI-X, ERR and REQ, each an "irq index" of the VFIO ABI, delivered on
 * eventfds (spec pci-config.md 6.7, 6.8, 7).
 *
 * Locks. Two mutexes inside, in this order:
 *   arrange  serialises SET_IRQS and release; held while a caller's descriptor
 *            is fetched and while ops->watch/unwatch run;
 *   lock     short: all state below, and signalling, so that a trigger that was
 *            replaced or dropped is no longer signalled when the call returns.
 * Only via_irqs_set(), via_irqs_release() and via_irqs_free() take arrange;
 * everything else takes lock alone and may be called with any lock of config
 * space, the device or the model held. ops->watch and unwatch must not take the
 * config lock or call back in here.
 */
#ifndef VIA_PCI_IRQS_H
#define VIA_PCI_IRQS_H

#include <viaduct/pci.h>

/* Indexes of the VFIO ABI. */
enum {
	VIA_IRQ_INTX = 0,
	VIA_IRQ_MSI = 1,
	VIA_IRQ_MSIX = 2,
	VIA_IRQ_ERR = 3,
	VIA_IRQ_REQ = 4,
	VIA_N_IRQS = 5,
};

struct via_irq_info {
	uint32_t count;
	uint32_t flags; /* VFIO_IRQ_INFO_* */
};

/* SET_IRQS, decoded. */
struct via_set_irqs {
	uint32_t index, start, count;
	uint32_t flags;		/* VFIO_IRQ_SET_DATA_* | VFIO_IRQ_SET_ACTION_* */
	const uint8_t *bools;	/* DATA_BOOL: count bytes */
	const int32_t *fds;	/* DATA_EVENTFD: count of the caller's descriptor numbers, or negative */
	/*
	 * Turns the caller's descriptor number into one of ours, owned by the
	 * callee on success. -EBADF when not open.
	 */
	int (*fd_get)(void *cookie, int fd, int *ret_fd);
	void *cookie;
};

struct via_irqs_ops {
	/*
	 * The resample eventfd fd (ours, INTx UNMASK with EVENTFD): from now on
	 * call via_irqs_resample() on a thread of the owner, outside these
	 * callbacks, whenever fd is readable. 0 or negative errno.
	 */
	int (*watch)(void *cookie, int fd);
	/*
	 * Stop watching fd; it is closed afterwards. A via_irqs_resample() that
	 * is still on its way is harmless and need not be waited for.
	 */
	void (*unwatch)(void *cookie, int fd);
};

struct via_irqs_desc {
	bool intx;	 /* has an interrupt pin */
	bool express;	 /* ERR exists */
	uint8_t msi;	 /* vectors, 0 absent */
	bool msi_maskable;
	uint16_t msix;	 /* vectors, 0 absent */
};

struct via_irqs;

/* ops is kept by reference; without ops->watch a resample eventfd is refused with -EINVAL. */
int via_irqs_new(const struct via_irqs_desc *desc, const struct via_irqs_ops *ops, void *cookie,
		 struct via_irqs **ret_irqs);
/* NULL allowed. Releases everything first. */
void via_irqs_free(struct via_irqs *irqs);

/* 0, or -EINVAL (index, or ERR on a conventional function). */
int via_irqs_info(const struct via_irqs *irqs, unsigned int index, struct via_irq_info *ret_info);

/* Checks of 6.8 up to "argsz - 20 < count * size"; length of the data that follows the header. */
int via_irqs_check(const struct via_irqs *irqs, uint32_t argsz, const struct via_set_irqs *set,
		   size_t *ret_data_len);
/*
 * The action. Checks again whatever protects memory, not argsz. 0, a positive
 * count (so many vectors could be had), or negative errno. Any thread.
 */
int via_irqs_set(struct via_irqs *irqs, const struct via_set_irqs *set);

/* Disarm INTx, MSI and MSI-X (last close); with all, ERR and REQ too. */
void via_irqs_release(struct via_irqs *irqs, bool all);
/* Function reset: what hardware had latched is gone, the arrangement stays (6.5). */
void via_irqs_reset(struct via_irqs *irqs);

/* --- The model's side: any thread, never blocks on a client --- */

void via_irqs_trigger(struct via_irqs *irqs, unsigned int vector);
void via_irqs_set_level(struct via_irqs *irqs, bool asserted);
/* True while MSI or MSI-X is armed; lock-free. */
bool via_irqs_message_mode(const struct via_irqs *irqs);

/* --- The owner's side --- */

/* The resample eventfd became readable. */
void via_irqs_resample(struct via_irqs *irqs);
/* Report an error of the function, or ask for the device back: index ERR or REQ. */
void via_irqs_notify(struct via_irqs *irqs, unsigned int index);
/* The host suspends the function: mask an armed, unmasked INTx. True if there was one. */
bool via_irqs_suspend(struct via_irqs *irqs);
/* Undo that. */
void via_irqs_resume(struct via_irqs *irqs);
/* Add one to an eventfd that is no interrupt's. */
void via_irqs_signal_other(struct via_irqs *irqs, int fd);
uint64_t via_irqs_delivered(const struct via_irqs *irqs); /* eventfds signalled; lock-free */
uint64_t via_irqs_dropped(const struct via_irqs *irqs);	  /* messages lost: master off, no such vector */

/*
 * A function that is stopped for migration signals nothing: what it has to tell
 * meanwhile, and what becomes unmasked, is told when on is false again. A reset
 * forgets it.
 */
void via_irqs_hold(struct via_irqs *irqs, bool on);
/*
 * What the function has to tell and has not: the line, messages that are pending
 * or held; and the MSI-X table. Always via_irqs_state_size() bytes. Not how the
 * program has arranged for delivery. Loaded while holding; messages are then
 * sent, or become pending, when it ends. -EINVAL: no such state.
 */
size_t via_irqs_state_size(const struct via_irqs *irqs);
void via_irqs_save(struct via_irqs *irqs, uint8_t *state);
int via_irqs_load(struct via_irqs *irqs, const uint8_t *state);

/* --- Config space's side --- */

bool via_irqs_level(const struct via_irqs *irqs);	    /* the line, for STATUS; lock-free */
bool via_irqs_armed(const struct via_irqs *irqs, unsigned int index); /* lock-free */
unsigned int via_irqs_msi_qmax(const struct via_irqs *irqs); /* log2 of vectors, 3.5; lock-free */
void via_irqs_set_intx_disable(struct via_irqs *irqs, bool disable);
void via_irqs_set_bus_master(struct via_irqs *irqs, bool on);
/* Arming MSI or MSI-X needs D0. */
void via_irqs_set_power(struct via_irqs *irqs, unsigned int state);
/* The device's own MSI enable bit and Multiple Message Enable field as the user changed them. */
void via_irqs_msi_control(struct via_irqs *irqs, bool enable, unsigned int mme);
/* The device's own Function Mask. */
void via_irqs_msix_function_mask(struct via_irqs *irqs, bool masked);
/*
 * The program leaves MSI-X to the function: messages want its Enable, and its
 * masks in the table are its own. While nothing is armed.
 */
void via_irqs_emulate_msix(struct via_irqs *irqs, bool on);
/* The program's Enable and Function Mask then. */
void via_irqs_msix_control(struct via_irqs *irqs, bool enable, bool function_mask);
/* The program's Message Address and Data. */
void via_irqs_msi_message(struct via_irqs *irqs, uint64_t address, uint32_t data);

/* --- A guest's side: sink.c --- */

/*
 * Instead of eventfds: messages as the guest has programmed them, and the pin as a line.
 * Called with the engine's lock held, so they must not call back in here.
 */
struct via_irqs_sink {
	void (*message)(void *cookie, unsigned int vector, uint64_t address, uint32_t data);
	/* Changes only. Low at first. */
	void (*line)(void *cookie, bool level);
};

/*
 * The registers decide alone: MSI-X when it is enabled, else MSI when it is, else the
 * pin. SET_IRQS knows ERR and REQ only. While nothing is armed; NULL: eventfds, as ever, and
 * on return the old one is not called any more.
 */
void via_irqs_set_sink(struct via_irqs *irqs, const struct via_irqs_sink *sink, void *cookie);
bool via_irqs_has_sink(const struct via_irqs *irqs);
/* MSI Mask and Pending registers. */
void via_irqs_set_msi_mask(struct via_irqs *irqs, uint32_t mask);
uint32_t via_irqs_msi_pending(struct via_irqs *irqs);

#endif
