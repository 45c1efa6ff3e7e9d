/* SPDX-License-Identifier: MIT */
/**
 * DOC: viaduct/vmm.h - our devices in a virtual machine of yours
 *
 * A PCI host bridge for a VMM that dispatches its guest's accesses on struct
 * via_bus: config space by the window of PCI Express (ECAM), by I/O ports, or
 * both; BARs appear on the machine's buses where the guest puts them; interrupts
 * come out of three callbacks; DMA goes to an I/O address space. The guest is
 * not trusted, and nothing it writes is an error of the VMM's.
 */
#ifndef VIADUCT_VMM_H
#define VIADUCT_VMM_H

#include <viaduct/bus.h>
#include <viaduct/device.h>
#include <viaduct/iommu.h>
#include <viaduct/pci.h>

#ifdef __cplusplus
extern "C" {
#endif

struct via_pci_root;

/**
 * struct via_pci_message - an MSI or MSI-X interrupt, as the guest has programmed it
 * @address, @data: the write to memory that it is; on x86 what KVM_SIGNAL_MSI takes
 * @requester: bus << 8 | device << 3 | function, for whoever remaps interrupts
 * @vector: which of the function's
 */
struct via_pci_message {
	uint64_t address;
	uint32_t data;
	uint16_t requester;
	uint16_t vector;
};

/**
 * struct via_pci_root_ops - where interrupts go; both optional
 *
 * Called on any thread, with locks of the function's held: they must not call the
 * library, but for eventfds and for struct via_kvm. Masked, pending and disabled
 * interrupts are the library's: what is told is to be delivered.
 */
struct via_pci_root_ops {
	/** @message: deliver it; after a function's removal or reset no more of it comes */
	void (*message)(void *opaque, const struct via_pci_message *message);
	/**
	 * @intx: the wire @line is now @level. Told when it changes only, in order: wires are
	 * low at first, and shared by all pins that are routed to them. It falls when the
	 * guest has made the device content, so there is nothing to resample.
	 */
	void (*intx)(void *opaque, unsigned int line, bool level);
};

/** VIA_PCI_SLOTS - devices of a bus; each has four interrupt pins and eight functions */
#define VIA_PCI_SLOTS 32u

/**
 * struct via_pci_root_desc - a host bridge with bus 0 of a segment
 * @mmio: the machine's memory: BARs, and the ECAM. Its callers find RAM first
 * @pio: the machine's I/O ports: BARs, and the config ports; NULL: it has none
 * @ioas: what functions reach by DMA at guest physical addresses; may be NULL
 * @ecam: address of the ECAM on @mmio, a multiple of 1 MiB, which it takes; 0: none
 * @config_ports: 0xcf8 to 0xcff on @pio are config mechanism 1. Accesses of them that are
 *	none of its decline, so that 0xcf9 may be something beneath
 * @priority: of the config claims. BARs have those below it, each its own: of two at the same
 *	address that of the lower function answers, of one function the lower index. With 0,
 *	what the VMM claims at priority 0 (or above) wins over every BAR
 * @n_lines: interrupt wires, to which pins go as on every PC: line is (device + pin) %
 *	@n_lines, with INTA as pin 0; 0: each pin has a wire of its own, device * 4 + pin
 * @segment: of the addresses
 * @vendor, @device: of the host bridge function at 00.0; 0: 1b36:0008
 * @no_bridge: there is no such function: 00.0 is free
 * @ops, @opaque: interrupts; @ops is kept by reference
 */
struct via_pci_root_desc {
	struct via_bus *mmio;
	struct via_bus *pio;
	struct via_ioas *ioas;
	uint64_t ecam;
	bool config_ports;
	int priority;
	unsigned int n_lines;
	uint16_t segment;
	uint16_t vendor, device;
	bool no_bridge;
	const struct via_pci_root_ops *ops;
	void *opaque;
};

/**
 * via_pci_root_new() - make a host bridge and claim what is its own on the buses
 * @desc: copied; the buses and @ioas outlive the root
 * @err: text for a person
 * @ret_root: owned by the caller, via_pci_root_free()
 *
 * Return: 0; -EINVAL with text; -EEXIST something of the same priority is there; -ENOMEM.
 */
VIA_PUBLIC int via_pci_root_new(const struct via_pci_root_desc *desc, struct via_error *err,
				struct via_pci_root **ret_root);
/**
 * via_pci_root_free() - take all functions out, and the claims; NULL is allowed
 *
 * Not in a callback. Removals under way are complete on return. Functions are the
 * caller's again.
 */
VIA_PUBLIC void via_pci_root_free(struct via_pci_root *root);

/**
 * via_pci_root_add() - plug a function in
 * @dev: in use by nobody; stays the caller's, who must not use it for anything that
 *	device.h reserves for transports, until it is removed
 * @addr: segment and bus are the root's; NULL: function 0 of the lowest device that is empty
 * @err: text for a person
 *
 * It is reset and can be found at once. Also while the guest runs. Not in a callback.
 * Return: 0; -EINVAL no such place; -EEXIST it is taken; -ENOSPC all are; -EBUSY @dev is open;
 * -EDEADLK in a callback; -ENOMEM, and what its threads and files may fail with.
 */
VIA_PUBLIC int via_pci_root_add(struct via_pci_root *root, struct via_device *dev,
				const struct via_pci_addr *addr, struct via_error *err);
/**
 * via_pci_root_remove() - pull a function out, and wait
 *
 * On return no access, DMA or interrupt of it is under way, and none will come. The device
 * is the caller's. Return: 0; -ENOENT it is not in this root; -EDEADLK in a callback.
 */
VIA_PUBLIC int via_pci_root_remove(struct via_pci_root *root, struct via_device *dev);
/**
 * via_pci_root_remove_async() - the same, allowed everywhere, as for an eject register
 * @done: called once when via_pci_root_remove() would return, on a thread of the root's; may
 *	free the device, and plug in another, not free the root; may be NULL
 *
 * The guest finds nothing there from now on. Return: 0 or -ENOENT.
 */
VIA_PUBLIC int via_pci_root_remove_async(struct via_pci_root *root, struct via_device *dev,
					 void (*done)(void *opaque, struct via_device *dev),
					 void *opaque);

/**
 * via_pci_root_reset() - power-on state: every function as after via_pci_root_add()
 *
 * BARs vanish, wires fall. vCPUs may run: accesses at the same time find no BARs, and config space
 * as before or after. Return: 0; -EDEADLK in a callback.
 */
VIA_PUBLIC int via_pci_root_reset(struct via_pci_root *root);

/**
 * via_pci_root_config_read() - what the guest would read; for firmware that is part of the VMM
 * @addr: segment and bus are the root's
 * @pos: 0 to 4095, @size 1, 2 or 4
 *
 * Nothing there is all ones. Any thread, also in callbacks.
 */
VIA_PUBLIC uint32_t via_pci_root_config_read(struct via_pci_root *root,
					     const struct via_pci_addr *addr, unsigned int pos,
					     unsigned int size);
/** via_pci_root_config_write() - the same for a write: BARs move before it returns */
VIA_PUBLIC void via_pci_root_config_write(struct via_pci_root *root,
					  const struct via_pci_addr *addr, unsigned int pos,
					  unsigned int size, uint32_t value);

#ifdef __cplusplus
}
#endif

#endif
