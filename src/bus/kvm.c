/* SPDX-License-Identifier: MIT */
/* A virtual machine of KVM's, and its vCPUs' run loop. */
#include "bus/kvm.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

int via_kvm_ioctl(int fd, unsigned long request, void *arg)
{
	int ret = ioctl(fd, request, arg);

	return ret < 0 ? -errno : ret;
}

/* /dev/kvm answers both questions, a virtual machine the first, a vCPU none. */
static int check_vm(int fd)
{
	int ret = via_kvm_ioctl(fd, KVM_CHECK_EXTENSION, (void *)KVM_CAP_CHECK_EXTENSION_VM);

	if (ret == -EBADF)
		return ret;
	return ret < 0 || ioctl(fd, KVM_GET_API_VERSION, 0) >= 0 ? -ENOTTY : 0;
}

int via_kvm_new(int vm_fd, struct via_bus *mmio, struct via_bus *pio, struct via_error *err,
		struct via_kvm **ret_kvm)
{
	struct via_kvm *kvm;
	int ret;

	ret = check_vm(vm_fd);
	if (ret)
		return via_error_set(err, ret, "descriptor %d is no virtual machine of KVM's: %s",
				     vm_fd, strerror(-ret));
	kvm = calloc(1, sizeof(*kvm));
	if (!kvm)
		return via_error_set(err, -ENOMEM, "no memory for the glue of a virtual machine");
	kvm->fd = vm_fd;
	kvm->mmio = mmio;
	kvm->pio = pio;
	(void)pthread_mutex_init(&kvm->lock, NULL);
	via_kvm_routes_init(kvm);
	via_kvm_ring_init(kvm);
	via_kvm_offload_init(kvm);
	*ret_kvm = kvm;
	return 0;
}

void via_kvm_free(struct via_kvm *kvm)
{
	if (!kvm)
		return;
	via_kvm_offload_deinit(kvm);
	via_kvm_ring_deinit(kvm);
	via_kvm_routes_deinit(kvm);
	(void)pthread_mutex_destroy(&kvm->lock);
	free(kvm);
}

int via_kvm_vcpu_new(struct via_kvm *kvm, int vcpu_fd, size_t shared_size, struct via_bus *mmio,
		     struct via_error *err, struct via_kvm_vcpu **ret_vcpu)
{
	struct via_kvm_vcpu *vcpu;
	void *run;
	int ret;

	if (shared_size < sizeof(struct kvm_run))
		return via_error_set(err, -EINVAL,
				     "%zu bytes shared with a vCPU are too few: give what "
				     "KVM_GET_VCPU_MMAP_SIZE says",
				     shared_size);
	run = mmap(NULL, shared_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu_fd, 0);
	ret = run == MAP_FAILED ? -errno : via_kvm_ring_map(kvm, vcpu_fd, shared_size);
	if (ret) {
		if (run != MAP_FAILED)
			(void)munmap(run, shared_size);
		return via_error_set(err, ret, "vCPU %d cannot be mapped: %s", vcpu_fd,
				     strerror(-ret));
	}
	vcpu = calloc(1, sizeof(*vcpu));
	if (!vcpu) {
		(void)munmap(run, shared_size);
		return via_error_set(err, -ENOMEM, "no memory for the glue of a vCPU");
	}
	vcpu->kvm = kvm;
	vcpu->fd = vcpu_fd;
	vcpu->mmio = mmio ? mmio : kvm->mmio;
	vcpu->run = run;
	vcpu->run_size = shared_size;
	via_kvm_offload_vcpu(vcpu, true);
	*ret_vcpu = vcpu;
	return 0;
}

void via_kvm_vcpu_free(struct via_kvm_vcpu *vcpu)
{
	if (!vcpu)
		return;
	via_kvm_offload_vcpu(vcpu, false);
	(void)munmap(vcpu->run, vcpu->run_size);
	free(vcpu);
}

struct kvm_run *via_kvm_vcpu_shared(struct via_kvm_vcpu *vcpu)
{
	return vcpu->run;
}

int via_kvm_handle_exit(struct via_kvm_vcpu *vcpu)
{
	/* Writes that KVM has queued were made before. */
	via_kvm_ring_drain(vcpu->kvm);
	return via_kvm_dispatch(vcpu->run, vcpu->run_size, vcpu->mmio, vcpu->kvm->pio);
}

void via_kvm_vcpu_stop(struct via_kvm_vcpu *vcpu)
{
	__atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_RELAXED);
}

int via_kvm_vcpu_run(struct via_kvm_vcpu *vcpu, uint32_t *ret_reason)
{
	int ret;

	for (;;) {
		ret = via_kvm_ioctl(vcpu->fd, KVM_RUN, NULL);
		/* It has waited for another vCPU to start this one, which has now happened. */
		if (ret == -EAGAIN)
			continue;
		/* A stop that comes between KVM's return and this line is answered by it too. */
		if (ret == -EINTR)
			__atomic_store_n(&vcpu->run->immediate_exit, 0, __ATOMIC_RELAXED);
		if (ret < 0) {
			via_kvm_ring_drain(vcpu->kvm);
			return ret;
		}
		if (via_kvm_handle_exit(vcpu) == VIA_KVM_EXIT_OTHER) {
			*ret_reason = __atomic_load_n(&vcpu->run->exit_reason, __ATOMIC_RELAXED);
			return 0;
		}
	}
}
