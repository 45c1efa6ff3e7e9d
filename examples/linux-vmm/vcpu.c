/* SPDX-License-Identifier: MIT */
/* vCPUs: each a thread that lets the library run the guest, until it is over. */
#include "linux-vmm.h"

#include <errno.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#define MAX_CPUID 256u
#define UNDER_A_HYPERVISOR (1u << 31) /* leaf 1, ECX */
#define KICK SIGUSR1

static _Thread_local struct vcpu *self;

/* However close to the guest the thread is, it comes back. */
static void kicked(int signal)
{
	if (self)
		via_kvm_vcpu_stop(self->glue);
}

/* What KVM can do here, and which CPU this is. */
static void set_cpuid(struct machine *m, const struct vcpu *vcpu, unsigned int id)
{
	struct kvm_cpuid2 *cpuid;

	cpuid = calloc(1, sizeof(*cpuid) + MAX_CPUID * sizeof(cpuid->entries[0]));
	if (!cpuid)
		die("out of memory");
	cpuid->nent = MAX_CPUID;
	if (ioctl(m->kvm_fd, KVM_GET_SUPPORTED_CPUID, cpuid))
		die("KVM_GET_SUPPORTED_CPUID: %m");
	for (unsigned int i = 0; i < cpuid->nent; i++) {
		struct kvm_cpuid_entry2 *e = &cpuid->entries[i];

		if (e->function == 1) {
			e->ebx = (e->ebx & 0xffff) | m->n_cpus << 16 | id << 24;
			e->ecx |= UNDER_A_HYPERVISOR;
		} else if (e->function == 0xb || e->function == 0x1f) {
			e->edx = id;
		}
	}
	if (ioctl(vcpu->fd, KVM_SET_CPUID2, cpuid))
		die("KVM_SET_CPUID2: %m");
	free(cpuid);
}

void vcpus_create(struct machine *m, uint64_t entry)
{
	int shared_size = ioctl(m->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	struct via_error err = {0};

	for (unsigned int i = 0; i < m->n_cpus; i++) {
		struct vcpu *vcpu = &m->vcpus[i];

		vcpu->machine = m;
		vcpu->fd = ioctl(m->vm_fd, KVM_CREATE_VCPU, i);
		if (vcpu->fd < 0 || shared_size < 0)
			die("no vCPU: %m");
		if (via_kvm_vcpu_new(m->kvm, vcpu->fd, (size_t)shared_size, m->mmio_above, &err,
				     &vcpu->glue))
			die("%s", err.text);
		set_cpuid(m, vcpu, i);
	}
	/* The others wait for the first one to start them. */
	boot_registers(m->vcpus[0].fd, entry);
}

static void *run(void *opaque)
{
	struct vcpu *vcpu = opaque;
	struct machine *m = vcpu->machine;
	char text[256];

	self = vcpu;
	while (!__atomic_load_n(&m->stop, __ATOMIC_ACQUIRE)) {
		uint32_t reason = 0;
		int ret = via_kvm_vcpu_run(vcpu->glue, &reason);

		if (ret == -EINTR)
			continue;
		/* A triple fault is how a PC without anything else resets. */
		if (!ret && reason == KVM_EXIT_SHUTDOWN) {
			machine_end(m, "the guest has shut down");
			break;
		}
		(void)via_kvm_vcpu_describe(vcpu->glue, text, sizeof(text));
		fprintf(stderr, "linux-vmm: vCPU %td: %s\n", vcpu - m->vcpus, text);
		machine_end(m, "a vCPU cannot run");
		break;
	}
	return NULL;
}

void vcpus_start(struct machine *m)
{
	struct sigaction action = {.sa_handler = kicked};

	sigaction(KICK, &action, NULL);
	for (unsigned int i = 0; i < m->n_cpus; i++)
		if (pthread_create(&m->vcpus[i].thread, NULL, run, &m->vcpus[i]))
			die("no thread for a vCPU");
}

void vcpus_stop(struct machine *m)
{
	__atomic_store_n(&m->stop, true, __ATOMIC_RELEASE);
	for (unsigned int i = 0; i < m->n_cpus; i++) {
		(void)pthread_kill(m->vcpus[i].thread, KICK);
		pthread_join(m->vcpus[i].thread, NULL);
	}
}
