/* SPDX-License-Identifier: MIT */
/*
 * A virtual machine with one vCPU in real mode and 64 KiB of memory, on two buses. Its
 * program is put at 0x1000 and says by port 0xf4 that it wants to be looked at:
 * vm_run() then returns what it wrote there.
 */
#ifndef VIA_TESTS_KVM_VM_H
#define VIA_TESTS_KVM_VM_H

#include <fcntl.h>
#include <errno.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <viaduct/kvm.h>

#include "tap.h"

#define VM_RAM 0x10000u
#define VM_ENTRY 0x1000u
#define VM_STOP_PORT 0xf4u

/* A guest's program: 16-bit code between two labels. */
#define GUEST(name, code)                                                                \
	extern const uint8_t name[], name##_end[];                                       \
	__asm__(".pushsection .rodata\n.code16\n.globl " #name ", " #name "_end\n" #name \
		":\n" code "\n" #name "_end:\n.code64\n.popsection\n")
#define GUEST_SAY(n) "movb $" #n ", %al\n outb %al, $0xf4\n"

struct vm {
	int kvm, fd, vcpu_fd;
	int shared_size;
	uint8_t *ram;
	struct via_bus *mmio, *pio;
	struct via_kvm *glue;
	struct via_kvm_vcpu *vcpu;
	int said;	/* what the guest wrote to the port, -1: nothing */
	char last[160]; /* the last exit, where vm_run() fails */
};

static inline int vm_stop_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	struct vm *vm = opaque;

	vm->said = (int)value;
	via_kvm_vcpu_stop(vm->vcpu);
	return VIA_BUS_OK;
}

static const struct via_bus_ops vm_stop_ops = {.write = vm_stop_write};

/* Where KVM is not there for us the whole program is skipped. */
static inline int vm_open_kvm(void)
{
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		tap_skip_all("/dev/kvm: %s", strerror(errno));
	return fd;
}

static inline void vm_claim(struct via_bus *bus, uint64_t start, uint64_t last,
			    const struct via_bus_ops *ops, void *opaque,
			    struct via_claim **ret_claim)
{
	struct via_claim_desc desc = {
		.start = start, .last = last, .ops = ops, .opaque = opaque, .name = "test"};
	struct via_claim *claim;

	tap_need(!via_bus_add(bus, &desc, &claim), "a claim at 0x%llx", (unsigned long long)start);
	if (ret_claim)
		*ret_claim = claim;
}

static inline void vm_new(struct vm *vm, bool irqchip)
{
	struct kvm_userspace_memory_region slot = {.memory_size = VM_RAM};
	struct via_error err = {0};

	*vm = (struct vm){.kvm = vm_open_kvm()};
	vm->fd = ioctl(vm->kvm, KVM_CREATE_VM, 0);
	if (vm->fd < 0)
		tap_skip_all("KVM makes no virtual machine: %s", strerror(errno));
	(void)ioctl(vm->fd, KVM_SET_TSS_ADDR, 0xfffbd000); /* Intel wants three pages */
	tap_need(!irqchip || !ioctl(vm->fd, KVM_CREATE_IRQCHIP, 0), "KVM_CREATE_IRQCHIP: %m");
	vm->ram = mmap(NULL, VM_RAM, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	tap_need(vm->ram != MAP_FAILED, "no memory");
	slot.userspace_addr = (uintptr_t)vm->ram;
	tap_need(!ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &slot), "a memory slot: %m");
	vm->vcpu_fd = ioctl(vm->fd, KVM_CREATE_VCPU, 0);
	tap_need(vm->vcpu_fd >= 0, "KVM_CREATE_VCPU: %m");
	vm->shared_size = ioctl(vm->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	tap_need(!via_bus_new("mmio", &vm->mmio) && !via_bus_new("pio", &vm->pio), "two buses");
	tap_need(!via_kvm_new(vm->fd, vm->mmio, vm->pio, &err, &vm->glue), "%s", err.text);
	tap_need(!via_kvm_vcpu_new(vm->glue, vm->vcpu_fd, (size_t)vm->shared_size, NULL, &err,
				   &vm->vcpu),
		 "%s", err.text);
	vm_claim(vm->pio, VM_STOP_PORT, VM_STOP_PORT, &vm_stop_ops, vm, NULL);
}

static inline void vm_free(struct vm *vm)
{
	via_kvm_vcpu_free(vm->vcpu);
	via_kvm_free(vm->glue);
	(void)close(vm->vcpu_fd);
	(void)close(vm->fd);
	(void)close(vm->kvm);
	(void)munmap(vm->ram, VM_RAM);
	via_bus_free(vm->mmio);
	via_bus_free(vm->pio);
}

/* At the start of a program, all segments at 0 but FS, which shows the local APIC's page. */
static inline void vm_start(struct vm *vm, const uint8_t *code, const uint8_t *end)
{
	struct kvm_regs regs = {.rip = VM_ENTRY, .rsp = VM_ENTRY, .rflags = 2};
	struct kvm_sregs sregs;

	tap_need(end - code < (long)(VM_RAM - VM_ENTRY), "a program that is too long");
	memcpy(vm->ram + VM_ENTRY, code, (size_t)(end - code));
	tap_need(!ioctl(vm->vcpu_fd, KVM_GET_SREGS, &sregs), "KVM_GET_SREGS: %m");
	sregs.cs.base = sregs.cs.selector = 0;
	sregs.fs.base = 0xfee00000;
	tap_need(!ioctl(vm->vcpu_fd, KVM_SET_SREGS, &sregs), "KVM_SET_SREGS: %m");
	tap_need(!ioctl(vm->vcpu_fd, KVM_SET_REGS, &regs), "KVM_SET_REGS: %m");
}

/* Until the guest says something. Returns it; -1 another end, which vm->last tells of. */
static inline int vm_run(struct vm *vm)
{
	uint32_t reason;
	int ret;

	vm->said = -1;
	do {
		ret = via_kvm_vcpu_run(vm->vcpu, &reason);
	} while (ret == -EINTR && vm->said < 0);
	if (ret == -EINTR)
		return vm->said;
	(void)via_kvm_vcpu_describe(vm->vcpu, vm->last, sizeof(vm->last));
	printf("# %s (%d)\n", vm->last, ret);
	return -1;
}

static inline int vm_go(struct vm *vm, const uint8_t *code, const uint8_t *end)
{
	vm_start(vm, code, end);
	return vm_run(vm);
}

#endif
