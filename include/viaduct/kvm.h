/* SPDX-License-Identifier: MIT */
/**
 * DOC: viaduct/kvm.h - a KVM virtual machine whose accesses go to a bus
 *
 * A VMM makes its virtual machine and vCPUs with KVM's own calls and keeps the
 * descriptors. The glue runs a vCPU and sends what the guest does outside its
 * memory to the buses, keeps the table that KVM routes interrupts by, and
 * binds eventfds to interrupts. The smallest VMM is examples/tiny-vmm.c.
 *
 * struct kvm_run and the numbers KVM_* are those of <linux/kvm.h>, which this
 * header does not need.
 */
#ifndef VIADUCT_KVM_H
#define VIADUCT_KVM_H

#include <viaduct/bus.h>

#ifdef __cplusplus
extern "C" {
#endif

struct kvm_run;
struct via_kvm;
struct via_kvm_vcpu;

/**
 * via_kvm_new() - the glue of one virtual machine
 * @vm_fd: from KVM_CREATE_VM; the caller's, open until via_kvm_free()
 * @mmio: who answers guest-physical addresses that are no memory; the caller's
 * @pio: who answers I/O ports; NULL: nobody
 * @err: may be NULL
 * @ret_kvm: the caller's, released by via_kvm_free()
 *
 * One for a virtual machine: it takes its interrupt routes to be as KVM made them.
 * Return: 0; -EBADF or -ENOTTY @vm_fd is no virtual machine of KVM's; -ENOMEM.
 */
VIA_PUBLIC int via_kvm_new(int vm_fd, struct via_bus *mmio, struct via_bus *pio,
			   struct via_error *err, struct via_kvm **ret_kvm);
/**
 * via_kvm_free() - after its vCPUs, before the buses; not in a callback of one. NULL is allowed
 * The virtual machine keeps its routes and irqfds, and nothing that was offloaded.
 */
VIA_PUBLIC void via_kvm_free(struct via_kvm *kvm);

/**
 * via_kvm_vcpu_new() - the glue of one vCPU
 * @vcpu_fd: from KVM_CREATE_VCPU; the caller's, open until via_kvm_vcpu_free()
 * @shared_size: what KVM_GET_VCPU_MMAP_SIZE says
 * @mmio: this vCPU's own bus, with the virtual machine's below it: its claims eclipse
 *	those for this vCPU alone. NULL: the virtual machine's
 * @ret_vcpu: the caller's, released by via_kvm_vcpu_free()
 *
 * Return: 0; -EINVAL @shared_size has no room for struct kvm_run; -errno of mmap(2); -ENOMEM.
 */
VIA_PUBLIC int via_kvm_vcpu_new(struct via_kvm *kvm, int vcpu_fd, size_t shared_size,
				struct via_bus *mmio, struct via_error *err,
				struct via_kvm_vcpu **ret_vcpu);
/** via_kvm_vcpu_free() - when it runs no more; not in a callback of a bus. NULL is allowed */
VIA_PUBLIC void via_kvm_vcpu_free(struct via_kvm_vcpu *vcpu);

/** via_kvm_vcpu_shared() - what the vCPU shares with KVM; until via_kvm_vcpu_free() */
VIA_PUBLIC struct kvm_run *via_kvm_vcpu_shared(struct via_kvm_vcpu *vcpu);

/**
 * via_kvm_vcpu_run() - run the guest until something happens that is not the buses' business
 * @ret_reason: KVM_EXIT_*, with its details in struct kvm_run
 *
 * Accesses go to the buses. What nobody answers, or a device answers with an errno, reads
 * as ones and is dropped: a guest cannot end its VMM by it. The bus's @miss tells
 * who wants to know. On the thread that KVM has seen this vCPU on, one at a time.
 *
 * Return: 0;
 * -EINTR a signal came, or via_kvm_vcpu_stop(); the guest stands between two instructions,
 * and the last access is complete;
 * -errno of KVM_RUN, see via_kvm_vcpu_describe().
 */
VIA_PUBLIC int via_kvm_vcpu_run(struct via_kvm_vcpu *vcpu, uint32_t *ret_reason);

/**
 * via_kvm_vcpu_stop() - have via_kvm_vcpu_run() return -EINTR, once
 *
 * In a callback of a device: after this access. In a handler of a signal to the vCPU's
 * thread: at once, however close to the guest it was. On another thread: soon only together
 * with such a signal. Without one that runs the next one returns. Async-signal-safe.
 */
VIA_PUBLIC void via_kvm_vcpu_stop(struct via_kvm_vcpu *vcpu);

/** VIA_KVM_EXIT_OTHER - the exit is not an access */
#define VIA_KVM_EXIT_OTHER 1

/**
 * via_kvm_handle_exit() - for a loop of one's own: make the access that KVM_RUN returned for
 *
 * A read's bytes are put where KVM wants them; those that nobody answers are ones, and the
 * caller may put others there. The next KVM_RUN completes the instruction. On the thread
 * that runs this vCPU.
 *
 * Return: 0; %VIA_KVM_EXIT_OTHER neither MMIO nor an I/O port, nothing has been done;
 * -ENXIO some byte was answered by nobody; -EINVAL what is shared with KVM makes no sense;
 * a callback's errno.
 */
VIA_PUBLIC int via_kvm_handle_exit(struct via_kvm_vcpu *vcpu);

/**
 * via_kvm_vcpu_describe() - the last exit as a line of text for a person, without a newline
 * @buf: may be NULL when @len is 0
 * Return: length that the whole text needs, without the NUL.
 */
VIA_PUBLIC size_t via_kvm_vcpu_describe(struct via_kvm_vcpu *vcpu, char *buf, size_t len);

/*
 * Interrupts. A GSI is a number that an irqfd or via_kvm_irq_line() raises; the routes of
 * the virtual machine say what that means: pins of interrupt controllers in the
 * kernel, or a message. On x86 the table begins as KVM_CREATE_IRQCHIP leaves it, which
 * must have come before the first change: GSI 0 to 15 are pins of the PICs and
 * of the I/O APIC, 16 to 23 of the I/O APIC alone. All functions: any thread.
 */

/**
 * struct via_kvm_msi - a message signalled interrupt
 * @address, @data: as the guest wrote them into the capability or table
 * @devid: requester id, where @has_devid and KVM has KVM_CAP_MSI_DEVID (Arm's ITS)
 */
struct via_kvm_msi {
	uint64_t address;
	uint32_t data;
	uint32_t devid;
	bool has_devid;
};

/** enum via_kvm_route_kind - one step of a change of routes */
enum via_kvm_route_kind {
	VIA_KVM_ROUTE_MSI,    /* @gsi is filled: one without a route sends @msi */
	VIA_KVM_ROUTE_UPDATE, /* @gsi, which sends a message, sends @msi */
	VIA_KVM_ROUTE_PIN,    /* @gsi raises @pin of @irqchip too, which are KVM's numbers */
	VIA_KVM_ROUTE_REMOVE, /* @gsi raises nothing, and may be used anew */
};

/** struct via_kvm_route_change - see enum via_kvm_route_kind */
struct via_kvm_route_change {
	enum via_kvm_route_kind kind;
	uint32_t gsi;
	struct via_kvm_msi msi;
	uint32_t irqchip, pin;
};

/**
 * via_kvm_routes_commit() - make all changes by one KVM_SET_GSI_ROUTING, or none
 *
 * They are made in order, and KVM is not asked when nothing is different afterwards: so
 * all vectors of a device can be given whenever the guest may have written one. When it returns, an
 * interrupt that is raised goes the new way.
 * Return: 0; -ENOENT UPDATE or REMOVE of a GSI without a route, UPDATE of pins; -EEXIST PIN of
 * a GSI that sends a message, or twice in one controller; -ENOSPC no GSI or route is
 * left (KVM_CAP_IRQ_ROUTING); -EOPNOTSUPP KVM cannot; -ENOMEM; -errno of KVM, e.g. -EINVAL for
 * an address that it does not take or a controller that is not there.
 */
VIA_PUBLIC int via_kvm_routes_commit(struct via_kvm *kvm, struct via_kvm_route_change *changes,
				     size_t n);

/** via_kvm_msi_alloc() - VIA_KVM_ROUTE_MSI alone */
VIA_PUBLIC int via_kvm_msi_alloc(struct via_kvm *kvm, const struct via_kvm_msi *msi,
				 uint32_t *ret_gsi);
/** via_kvm_msi_update() - VIA_KVM_ROUTE_UPDATE alone */
VIA_PUBLIC int via_kvm_msi_update(struct via_kvm *kvm, uint32_t gsi, const struct via_kvm_msi *msi);
/**
 * via_kvm_msi_free() - give a GSI back, whose irqfds are gone; one without a message is ignored
 * Cannot fail: if KVM has no memory for a smaller table, the next change takes the route away.
 */
VIA_PUBLIC void via_kvm_msi_free(struct via_kvm *kvm, uint32_t gsi);

/**
 * via_kvm_msi_signal() - send a message now, without a route
 * Return: how many local APICs took it, 0 none wanted it (masked); -errno of KVM_SIGNAL_MSI.
 */
VIA_PUBLIC int via_kvm_msi_signal(struct via_kvm *kvm, const struct via_kvm_msi *msi);

/** via_kvm_irq_line() - set the level of @gsi's pins; a GSI that is a message is sent by true. 0 or
 * -errno */
VIA_PUBLIC int via_kvm_irq_line(struct via_kvm *kvm, uint32_t gsi, bool level);

/**
 * via_kvm_irqfd_assign() - have an eventfd raise @gsi, without a thread of the VMM's
 * @fd: an eventfd; the caller's
 * @resample_fd: for a line that is a level: the signal of @fd asserts it, and when the guest has
 *	served it KVM deasserts it and signals @resample_fd; who still wants service
 *	signals @fd again. The caller's; -1: an edge
 *
 * Routes of @gsi may change afterwards. Return: 0; -EBUSY @fd raises something already;
 * -errno of KVM_IRQFD.
 */
VIA_PUBLIC int via_kvm_irqfd_assign(struct via_kvm *kvm, uint32_t gsi, int fd, int resample_fd);
/** via_kvm_irqfd_deassign() - when it returns @fd raises @gsi no more. 0 also if it did not; -errno
 */
VIA_PUBLIC int via_kvm_irqfd_deassign(struct via_kvm *kvm, uint32_t gsi, int fd);

/*
 * Offload. KVM can signal eventfds and queue writes by itself, without leaving the guest.
 */

/** enum via_kvm_kind - what KVM can do by itself */
enum via_kvm_kind {
	VIA_KVM_IOEVENTFD, /* signal an eventfd */
	VIA_KVM_ZONE,	   /* queue writes */
};

/**
 * struct via_kvm_item - something of a bus that KVM does by itself, or would
 * @kind: what
 * @pio: I/O ports
 * @addr, @len: where; @len of an ioeventfd is that of the write, 0: any
 * @match, @data, @fd: of an ioeventfd
 * @error: 0: KVM does it; else the negative errno why it stays with the bus
 */
struct via_kvm_item {
	enum via_kvm_kind kind;
	bool pio;
	uint64_t addr;
	uint64_t len;
	bool match;
	uint64_t data;
	int fd;
	int error;
};

/**
 * via_kvm_offload() - have KVM do what it can by itself, from now on or no more
 *
 * KVM signals the ioeventfds of both buses, and queues writes to claims with
 * %VIA_BUS_COALESCE, without an exit; each change of a bus is told to it before that
 * returns. What a guest can tell stays the same: what KVM refuses is done by the bus after an exit,
 * what a vCPU's own bus has claims above is not given to KVM, and its queue is
 * emptied before anything that comes after it. Off at first. Not in a callback of a bus.
 *
 * Two differences. A read where an ioeventfd of any length lies signals it and returns
 * nothing, where KVM does not look at the instruction. A loop of one's own calls
 * via_kvm_handle_exit() for every exit, also others than accesses.
 */
VIA_PUBLIC void via_kvm_offload(struct via_kvm *kvm, bool on);

/**
 * via_kvm_list() - what KVM does, and what it does not and why
 * @items: room for @n; may be NULL when that is 0
 *
 * By space and address; zones are cut around ioeventfds. Any thread. Return: how many there are,
 * of which min(@n, that) are filled in.
 */
VIA_PUBLIC size_t via_kvm_list(struct via_kvm *kvm, struct via_kvm_item *items, size_t n);

/** via_kvm_item_reason() - @item->error in words: "KVM has no room for more" */
VIA_PUBLIC const char *via_kvm_item_reason(const struct via_kvm_item *item);

#ifdef __cplusplus
}
#endif

#endif
