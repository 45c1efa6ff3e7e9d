/* SPDX-License-Identifier: MIT */
#include "kvm-vm.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "goals.h"

#define MEMORY 0x10000u
#define CODE 0x1000u

static const uint8_t code[] = {
	0x66, 0x89, 0x07, /* again: mov %eax, (%bx) */
	0x66, 0x49,	  /* dec %ecx */
	0x75, 0xf9,	  /* jnz again */
	0xf4,		  /* hlt */
};

static bool refuse(const char **ret_why, const char *what)
{
	*ret_why = goal_text("%s: %s", what, strerror(errno));
	return false;
}

static bool map_memory(struct vm *vm)
{
	struct kvm_userspace_memory_region region = { .memory_size = MEMORY };

	vm->memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (vm->memory == MAP_FAILED)
		return false;
	memcpy(vm->memory + CODE, code, sizeof(code));
	region.userspace_addr = (uintptr_t)vm->memory;
	return ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region) == 0;
}

static bool map_run(struct vm *vm)
{
	int size = ioctl(vm->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);

	if (size < 0)
		return false;
	vm->run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, vm->vcpu, 0);
	return vm->run != MAP_FAILED;
}

static bool set_segments(const struct vm *vm)
{
	struct kvm_sregs sregs;

	if (ioctl(vm->vcpu, KVM_GET_SREGS, &sregs))
		return false;
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	sregs.ds.base = VM_MMIO;
	sregs.ds.selector = VM_MMIO >> 4;
	return ioctl(vm->vcpu, KVM_SET_SREGS, &sregs) == 0;
}

bool vm_open(struct vm *vm, const char **ret_why)
{
	vm->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (vm->kvm < 0)
		return refuse(ret_why, "/dev/kvm");
	vm->fd = ioctl(vm->kvm, KVM_CREATE_VM, 0);
	if (vm->fd < 0)
		return refuse(ret_why, "KVM_CREATE_VM");
	if (!map_memory(vm))
		return refuse(ret_why, "the guest's memory");
	vm->vcpu = ioctl(vm->fd, KVM_CREATE_VCPU, 0);
	if (vm->vcpu < 0 || !map_run(vm) || !set_segments(vm))
		return refuse(ret_why, "a vCPU");
	return true;
}

void vm_close(struct vm *vm)
{
	(void)munmap(vm->run, (size_t)ioctl(vm->kvm, KVM_GET_VCPU_MMAP_SIZE, 0));
	(void)close(vm->vcpu);
	(void)close(vm->fd);
	(void)close(vm->kvm);
	(void)munmap(vm->memory, MEMORY);
}

static int ioeventfd(const struct vm *vm, uint64_t addr, int fd, const uint32_t *data,
		     uint32_t flags)
{
	struct kvm_ioeventfd arg = { .addr = addr, .len = 4, .fd = fd, .flags = flags };

	if (data) {
		arg.flags |= KVM_IOEVENTFD_FLAG_DATAMATCH;
		arg.datamatch = *data;
	}
	return ioctl(vm->fd, KVM_IOEVENTFD, &arg) ? -errno : 0;
}

int vm_assign(const struct vm *vm, uint64_t addr, int eventfd, const uint32_t *data)
{
	return ioeventfd(vm, addr, eventfd, data, 0);
}

int vm_deassign(const struct vm *vm, uint64_t addr, int eventfd, const uint32_t *data)
{
	return ioeventfd(vm, addr, eventfd, data, KVM_IOEVENTFD_FLAG_DEASSIGN);
}

int vm_coalesce(const struct vm *vm, uint64_t addr, uint32_t len)
{
	struct kvm_coalesced_mmio_zone zone = { .addr = addr, .size = len };

	return ioctl(vm->fd, KVM_REGISTER_COALESCED_MMIO, &zone) ? -errno : 0;
}

unsigned int vm_write(const struct vm *vm, uint64_t addr, uint32_t data, unsigned int n)
{
	struct kvm_regs regs = {
		.rip = CODE, .rflags = 2, .rax = data, .rbx = addr - VM_MMIO, .rcx = n
	};
	unsigned int exits = 0;

	if (ioctl(vm->vcpu, KVM_SET_REGS, &regs))
		bench_die("KVM_SET_REGS");
	for (;;) {
		if (ioctl(vm->vcpu, KVM_RUN, 0) && errno != EINTR)
			bench_die("KVM_RUN");
		switch (vm->run->exit_reason) {
		case KVM_EXIT_HLT:
			return exits;
		case KVM_EXIT_MMIO:
			exits++;
			break;
		case KVM_EXIT_INTR:
			break;
		default:
			bench_die(goal_text("exit %u of the guest", vm->run->exit_reason));
		}
	}
}

unsigned int vm_take_coalesced(const struct vm *vm)
{
	int page = ioctl(vm->kvm, KVM_CHECK_EXTENSION, KVM_CAP_COALESCED_MMIO);
	long page_size = sysconf(_SC_PAGESIZE);
	struct kvm_coalesced_mmio_ring *ring;
	unsigned int n, slots;

	if (page <= 0)
		return 0;
	ring = (void *)((uint8_t *)vm->run + page * page_size);
	slots = (unsigned int)((size_t)page_size - sizeof(*ring)) / sizeof(ring->coalesced_mmio[0]);
	n = (ring->last + slots - ring->first) % slots;
	ring->first = ring->last;
	return n;
}
