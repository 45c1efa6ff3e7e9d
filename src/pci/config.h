/* SPDX-License-Identifier: MIT */
/*
 * Config space of one function as a VFIO program sees it (spec pci-config.md
 * 2, 3, 5): two stores, the device's registers and the virtual ones, and masks
 * that say which bit comes from where and which bit a program may change.
 *
 * Locking. One mutex per function (the config lock) is held around each
 * transaction, its hooks included, and around open, close and reset. It is the
 * outermost lock of a function: config lock, then the device's memory lock,
 * then the device (model) lock, then the irq engine's. Hence no hook and no
 * model callback may call via_config_read(), write(), open(), close() or
 * reset() of the same function. Reads of what is in the virtual store alone
 * take no lock.
 */
#ifndef VIA_PCI_CONFIG_H
#define VIA_PCI_CONFIG_H

#include "pci/irqs.h"

#include <sys/types.h>

#define VIA_CONFIG_SIZE_PCI 256u
#define VIA_CONFIG_SIZE_EXPRESS 4096u

struct via_config_bar {
	uint64_t size;	    /* as in struct via_bar_desc */
	unsigned int flags; /* enum via_bar_flags */
};

/* How a function differs from one whose registers are all the library's. */
enum via_config_flags {
	/* What no register block owns reaches the device, as vfio-pci has it (Q6). */
	VIA_CONFIG_RAW_GAPS = 1u << 0,
	/* The device may be reset behind our back: its BARs are looked after (R22). */
	VIA_CONFIG_RESTORE_BARS = 1u << 1,
	/*
	 * An SR-IOV virtual function: ident replaces the device's vendor and
	 * device id, no interrupt pin, no Memory Enable (R23, R6).
	 */
	VIA_CONFIG_VF = 1u << 2,
	/* Capabilities of the description that vfio-pci hides are shown. */
	VIA_CONFIG_SHOW_ALL = 1u << 3,
	/* MSI-X Enable and Function Mask are the program's (3.7): via_config_emulate_msix(). */
	VIA_CONFIG_MSIX_EMULATED = 1u << 4,
};

struct via_config_desc {
	unsigned int flags; /* enum via_config_flags */
	struct via_pci_ident ident;
	struct via_config_bar bars[VIA_PCI_BARS];
	uint32_t rom_size; /* bytes, a power of two from 2048; 0: no expansion ROM */
	struct via_pci_msi msi;
	struct via_pci_msix msix;
	struct via_pci_express express;
	bool power_management;
	const struct via_pci_cap *caps; /* n_caps; used during via_config_new() only */
	size_t n_caps;
};

/*
 * Called with the config lock held, on the thread that did the access. All
 * optional.
 */
struct via_config_ops {
	/*
	 * Whether the function answers memory accesses: Memory Enable and not in
	 * D3hot and not in reset. Off is told before the bit changes (revoke the
	 * mappings), on after it; only changes are told. Off until via_config_open().
	 */
	void (*memory)(void *cookie, bool on);
	/* COMMAND changed (bit 10 is the program's virtual one). */
	void (*command)(void *cookie, uint16_t old, uint16_t now);
	/* D-state changed, 0 to 3. */
	void (*power)(void *cookie, unsigned int old, unsigned int now);
	/* A write to a vendor-specific capability, after its registers have changed. */
	void (*vendor)(void *cookie, unsigned int pos, unsigned int width, uint32_t value);
	/*
	 * A read that touches a vendor-specific capability: value is what its
	 * registers hold, the result is what is read of its body. Looked at by
	 * others than the program too: it must not change anything.
	 */
	uint32_t (*vendor_read)(void *cookie, unsigned int pos, unsigned int width, uint32_t value);
	/* Reset the model. Memory is off and bus mastering is off; both come back afterwards. */
	void (*reset)(void *cookie, enum via_reset kind);
};

struct via_config;

/*
 * irqs must live as long as the result and belong to the same function; it is
 * told of all that config space decides about interrupts. desc is copied.
 * -EINVAL with text in err for a description that no PCI function can have.
 */
int via_config_new(const struct via_config_desc *desc, const struct via_config_ops *ops,
		   void *cookie, struct via_irqs *irqs, struct via_error *err,
		   struct via_config **ret_config);
void via_config_free(struct via_config *config);
/* What the irq engine of this function looks like. */
void via_config_irqs_desc(const struct via_config_desc *desc, struct via_irqs_desc *ret_desc);

/*
 * First open: reset(VIA_RESET_OPEN), fresh registers with bus mastering off,
 * then memory(true) as COMMAND says. Last close: bus mastering and memory off,
 * INTx, MSI and MSI-X disarmed, reset(VIA_RESET_CLOSE), fresh registers, ERR
 * and REQ dropped.
 */
void via_config_open(struct via_config *config);
void via_config_close(struct via_config *config);
/* Any other reset of the function: D0, registers as pci-config.md 6.5 says. */
void via_config_reset(struct via_config *config, enum via_reset kind);
/*
 * The same for functions that share what is reset: none of them answers memory
 * accesses before all have been. Their config locks are taken in this order, which
 * has to be the same whoever calls.
 */
void via_config_reset_together(struct via_config *const *configs, unsigned int n,
			       enum via_reset kind);

/*
 * For programs that leave MSI-X to the function, as they would to hardware: Enable and
 * Function Mask can be written and decide, with the masks in the table, on what
 * is sent. While it is not open.
 */
void via_config_emulate_msix(struct via_config *config, bool on);
/*
 * For guests: besides, MSI Enable can be written at any time, and interrupts go to the sink
 * (via_irqs_set_sink()). While it is not open; NULL: no guest.
 */
void via_config_set_sink(struct via_config *config, const struct via_irqs_sink *sink, void *cookie);

/*
 * The host lets an idle function sleep, and wakes it (6.11): D3hot, whatever
 * state the program had it in, then D0. One without power management stays in D0.
 */
void via_config_suspend(struct via_config *config);
void via_config_resume(struct via_config *config);

/*
 * The host enables n virtual functions of this physical one, or none: it is
 * woken, and stays in D0 as long as there are any. -EINVAL: it cannot have any.
 */
int via_config_set_vfs(struct via_config *config, unsigned int n);
/*
 * The physical function of this virtual one was reset: all that the registers
 * held is lost, and nobody puts it back.
 */
void via_config_lose(struct via_config *config);

size_t via_config_size(const struct via_config *config);

/*
 * A program's access, split as pci-config.md 5.1 says. The count, or -EFAULT
 * if any byte is past the end (then nothing was done), or the device's error.
 * Works also while not open (the registers are then those of the next open).
 */
ssize_t via_config_read(struct via_config *config, uint64_t pos, void *buf, size_t len);
ssize_t via_config_write(struct via_config *config, uint64_t pos, const void *buf, size_t len);

/*
 * What programs have made of config space, for another host: always
 * via_config_state_size() bytes, 0 when the registers are somebody else's, who
 * would have to be asked. Two functions whose layout hashes are the same can
 * take over each other's. Loading tells the owner as if a program had written:
 * decoding, bus mastering, the power state; but begins no reset and no transfer
 * of vital product data. -EINVAL: no such state.
 */
size_t via_config_state_size(const struct via_config *config);
uint64_t via_config_layout_hash(const struct via_config *config);
void via_config_save(struct via_config *config, uint8_t *state);
int via_config_load(struct via_config *config, const uint8_t *state);

/* --- For those who look, not for programs --- */

struct via_config_masks;
/* Of the function as it was opened: constant until the next first open or last close. */
const struct via_config_masks *via_config_masks_of(const struct via_config *config);
/* The device's own registers, via_config_size() bytes. */
void via_config_device_bytes(struct via_config *config, uint8_t *bytes);

/*
 * Does the function answer memory accesses, a reset apart? Waits for a transaction
 * or reset that runs, so not with the device's or model's locks held.
 */
bool via_config_memory(struct via_config *config);

/* Does it answer accesses to I/O ports? Waits as via_config_memory(). */
bool via_config_io(struct via_config *config);

/* Bus mastering is allowed right now: DMA and messages. Lock-free, any thread. */
bool via_config_bus_master(const struct via_config *config);

#endif
