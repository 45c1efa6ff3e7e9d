/* SPDX-License-Identifier: MIT */
/* Inside the KVM glue. */
#ifndef VIA_BUS_KVM_H
#define VIA_BUS_KVM_H

#include <pthread.h>
#include <stdatomic.h>

#include <linux/kvm.h>

#include <viaduct/kvm.h>

#include "bus/internal.h"
#include "bus/kvm-diff.h"

/* What KVM_SET_GSI_ROUTING was given last, or will be. */
struct via_kvm_routes {
	struct kvm_irq_routing *table; /* NULL: never changed, as KVM has made it */
	uint32_t max;		       /* routes, and GSIs below it: constant; 0: KVM cannot */
};

/* What KVM does for the buses by itself. All but what is said: offload_lock. */
struct via_kvm_offload {
	bool on;
	struct via_kvm_want *have; /* sorted; with error 0: KVM has it */
	size_t n_have;
	struct via_coalescer **coalescers; /* sorted: those whose source we are */
	size_t n_coalescers;
	bool full[2]; /* memory, ports: KVM has had no room for a zone since one was removed */
	struct via_bus_listener mmio, pio;  /* the buses' */
	struct via_coalescer_source source; /* constant */
};

/* The queue in which KVM puts writes, one for a virtual machine. */
struct via_kvm_ring {
	struct kvm_coalesced_mmio_ring *_Atomic shared; /* NULL until there is a vCPU; then kept */
	uint32_t n_slots;				/* constant once shared is */
	int page;		   /* constant: its number in what a vCPU shares; 0: KVM has none */
	pthread_mutex_t lock;	   /* who empties it */
	const void *_Atomic owner; /* the thread that does, by an address of its own */
};

struct via_kvm {
	int fd; /* constant, as the two buses */
	struct via_bus *mmio, *pio;
	pthread_mutex_t lock;	      /* routes, and the order in which KVM hears of them */
	struct via_kvm_routes routes; /* lock */
	pthread_mutex_t offload_lock; /* taken under a bus's listen_lock; under it, bus->lock */
	struct via_kvm_offload offload;
	struct via_kvm_vcpu *vcpus; /* offload_lock */
	struct via_kvm_ring ring;
};

struct via_kvm_vcpu {
	struct via_kvm *kvm; /* constant, as the next ones */
	int fd;
	struct via_bus *mmio;
	struct kvm_run *run; /* KVM and whoever has the descriptor write it: fields are read once */
	size_t run_size;
	struct via_kvm_vcpu *next;	  /* kvm->offload_lock */
	struct via_bus_listener listener; /* mmio's */
};

/* ioctl(2) as this library returns things: a result or -errno. */
int via_kvm_ioctl(int fd, unsigned long request, void *arg);

/* The access that @run asks for, see via_kvm_handle_exit(). @run is all @size bytes. */
int via_kvm_dispatch(struct kvm_run *run, size_t size, struct via_bus *mmio, struct via_bus *pio);

void via_kvm_routes_init(struct via_kvm *kvm);
void via_kvm_routes_deinit(struct via_kvm *kvm);

void via_kvm_ring_init(struct via_kvm *kvm);
void via_kvm_ring_deinit(struct via_kvm *kvm);
/* The first vCPU brings it. 0 or -errno. */
int via_kvm_ring_map(struct via_kvm *kvm, int vcpu_fd, size_t shared_size);
/* Make what KVM has queued, on the buses. Any thread, also in callbacks. */
void via_kvm_ring_drain(struct via_kvm *kvm);

void via_kvm_offload_init(struct via_kvm *kvm);
void via_kvm_offload_deinit(struct via_kvm *kvm);
/* A vCPU comes or goes. */
void via_kvm_offload_vcpu(struct via_kvm_vcpu *vcpu, bool there);

#endif
