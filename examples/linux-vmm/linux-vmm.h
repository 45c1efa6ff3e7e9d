/* SPDX-License-Identifier: MIT */
/*
 * A VMM that boots Linux under KVM, made of libviaduct: its memory is what DMA reaches, its two
 * buses answer all MMIO and I/O ports that KVM's own interrupt controllers and timer do
 * not, and a PCI host bridge puts devices of Viaduct's models on them.
 *
 *   main.c     what the machine is made of, and in which order
 *   boot.c     a bzImage in memory, and the state its 64-bit entry wants
 *   mptable.c  the table that tells a kernel without ACPI of CPUs and interrupts
 *   serial.c   a 16550, the console
 *   ports.c    clock, reset control
 *   vcpu.c     threads that run the guest
 */
#ifndef LINUX_VMM_H
#define LINUX_VMM_H

#include <viaduct/viaduct.h>

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MAX_CPUS 8u
/* PCI and the interrupt controllers are between here and 4 GiB. */
#define MAX_RAM (3ull << 30)

/* Interrupts: ISA ones have their numbers, PCI's four wires follow. */
#define SERIAL_IRQ 4u
#define PCI_IRQ 16u
#define PCI_WIRES 4u

struct serial {
	struct machine *machine;
	pthread_mutex_t lock; /* all below */
	uint8_t ier, lcr, mcr, scratch, dll, dlm;
	bool fifo, thr_empty_pending, line;
	uint8_t input[256];
	unsigned int head, tail; /* of input; modulo its size */
};

struct vcpu {
	struct machine *machine;
	struct via_kvm_vcpu *glue;
	pthread_t thread;
	int fd;
};

struct machine {
	/* What was asked for. */
	const char *kernel, *initrd, *cmdline;
	uint64_t ram_size;
	unsigned int n_cpus;
	bool empty_bus;

	int kvm_fd, vm_fd, ram_fd;
	uint8_t *ram;
	struct via_space *ram_space;
	struct via_ioas *ioas; /* guest-physical addresses, for DMA */
	struct via_bus *mmio, *pio;
	struct via_bus *mmio_above, *pio_above; /* empty ones, with empty_bus */
	struct via_kvm *kvm;
	struct via_pci_root *pci;
	struct via_device *devices[8];
	unsigned int n_devices;
	struct serial serial;
	uint8_t cmos_index;
	struct vcpu vcpus[MAX_CPUS];

	pthread_mutex_t lock;
	pthread_cond_t cond;
	const char *ended; /* lock: why the guest does not run any more */
	bool stop;	   /* atomic: vCPUs return */
};

/* Print and leave: for what cannot be set up. */
void die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
/* The guest is over. Any thread, the first reason counts. */
void machine_end(struct machine *m, const char *why);

/* Put kernel, initrd and command line into memory; the guest begins at ret_entry. */
void boot_load(struct machine *m, uint64_t *ret_entry);
/* Registers of the first vCPU. */
void boot_registers(int vcpu_fd, uint64_t entry);

void mptable_write(struct machine *m);
void serial_init(struct machine *m);
void ports_init(struct machine *m);

void vcpus_create(struct machine *m, uint64_t entry);
void vcpus_start(struct machine *m);
/* When it returns none of them runs. */
void vcpus_stop(struct machine *m);

#endif
