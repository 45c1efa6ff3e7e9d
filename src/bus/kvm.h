/* SPDX-License-Identifier: MIT */
/* Inside the KVM glue. */
#ifndef VIA_BUS_KVM_H
#define VIA_BUS_KVM_H

#include <pthread.h>

#include <linux/kvm.h>

#include <viaduct/kvm.h>

/* What KVM_SET_GSI_ROUTING was given last, or will be. */
struct via_kvm_routes {
	struct kvm_irq_routing *table; /* NULL: never changed, as KVM has made it */
	uint32_t max;		       /* routes, and GSIs below it: constant; 0: KVM cannot */
};

struct via_kvm {
	int fd; /* constant, as the two buses */
	struct via_bus *mmio, *pio;
	pthread_mutex_t lock;	      /* routes, and the order in which KVM hears of them */
	struct via_kvm_routes routes; /* lock */
};

struct via_kvm_vcpu {
	struct via_kvm *kvm; /* constant, all of it */
	int fd;
	struct via_bus *mmio;
	struct kvm_run *run; /* KVM and whoever has the descriptor write it: fields are read once */
	size_t run_size;
};

/* ioctl(2) as this library returns things: a result or -errno. */
int via_kvm_ioctl(int fd, unsigned long request, void *arg);

/* The access that @run asks for, see via_kvm_handle_exit(). @run is all @size bytes. */
int via_kvm_dispatch(struct kvm_run *run, size_t size, struct via_bus *mmio, struct via_bus *pio);

void via_kvm_routes_init(struct via_kvm *kvm);
void via_kvm_routes_deinit(struct via_kvm *kvm);

#endif
