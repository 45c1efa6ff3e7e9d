/* SPDX-License-Identifier: MIT */
/* The smallest guest that writes to a device: real mode, a loop of four-byte writes to one address.
 */
#ifndef VIA_BENCH_KVM_VM_H
#define VIA_BENCH_KVM_VM_H

#include <stdbool.h>
#include <stdint.h>

/* Where the guest has no memory. */
#define VM_MMIO ((uint64_t)0xd0000)

struct kvm_run;

struct vm {
	int kvm, fd, vcpu;
	struct kvm_run *run;
	uint8_t *memory;
};

/* Return: false with the reason where KVM cannot be had. */
bool vm_open(struct vm *vm, const char **ret_why);
void vm_close(struct vm *vm);

/* One ioeventfd for writes of four bytes, of any value or only of @data. 0 or negative errno. */
int vm_assign(const struct vm *vm, uint64_t addr, int eventfd, const uint32_t *data);
int vm_deassign(const struct vm *vm, uint64_t addr, int eventfd, const uint32_t *data);
int vm_coalesce(const struct vm *vm, uint64_t addr, uint32_t len);

/* The guest writes @data to @addr, @n times. Return: how many came back as exits. */
unsigned int vm_write(const struct vm *vm, uint64_t addr, uint32_t data, unsigned int n);
/* Writes that are in the ring of coalesced ones; empties it. */
unsigned int vm_take_coalesced(const struct vm *vm);

#endif
