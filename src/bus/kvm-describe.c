/* SPDX-License-Identifier: MIT */
/* The exit of a vCPU in words. */
#include "bus/kvm.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/util.h"

#define NAME(reason) [KVM_EXIT_##reason] = "KVM_EXIT_" #reason

static const char *const names[] = {
	NAME(UNKNOWN),
	NAME(EXCEPTION),
	NAME(IO),
	NAME(HYPERCALL),
	NAME(DEBUG),
	NAME(HLT),
	NAME(MMIO),
	NAME(IRQ_WINDOW_OPEN),
	NAME(SHUTDOWN),
	NAME(FAIL_ENTRY),
	NAME(INTR),
	NAME(SET_TPR),
	NAME(TPR_ACCESS),
	NAME(NMI),
	NAME(INTERNAL_ERROR),
	NAME(WATCHDOG),
	NAME(SYSTEM_EVENT),
	NAME(IOAPIC_EOI),
	NAME(HYPERV),
	NAME(ARM_NISV),
	NAME(X86_RDMSR),
	NAME(X86_WRMSR),
	NAME(DIRTY_RING_FULL),
	NAME(AP_RESET_HOLD),
	NAME(X86_BUS_LOCK),
	NAME(XEN),
	NAME(NOTIFY),
	[39] = "KVM_EXIT_MEMORY_FAULT", /* newer than some <linux/kvm.h> */
};

static const char *internal_error(uint32_t suberror)
{
	switch (suberror) {
	case KVM_INTERNAL_ERROR_EMULATION:
		return "an instruction that it cannot emulate";
	case KVM_INTERNAL_ERROR_SIMUL_EX:
		return "an exception while another was delivered";
	case KVM_INTERNAL_ERROR_DELIVERY_EV:
		return "an exit while an event was delivered";
	case KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON:
		return "an exit of the processor that it does not know";
	default:
		return "an error of its own";
	}
}

static int print_access(const struct kvm_run *run, const char *name, char *buf, size_t len)
{
	if (run->exit_reason == KVM_EXIT_MMIO)
		return snprintf(buf, len, "%s: %s of %u bytes at 0x%" PRIx64, name,
				run->mmio.is_write ? "write" : "read", run->mmio.len,
				(uint64_t)run->mmio.phys_addr);
	return snprintf(buf, len, "%s: %u times %u bytes %s port 0x%x", name, run->io.count,
			run->io.size, run->io.direction == KVM_EXIT_IO_OUT ? "to" : "from",
			run->io.port);
}

static int print(const struct kvm_run *run, char *buf, size_t len)
{
	uint32_t reason = run->exit_reason;
	const char *name = reason < VIA_ARRAY_SIZE(names) ? names[reason] : NULL;

	switch (reason) {
	case KVM_EXIT_MMIO:
	case KVM_EXIT_IO:
		return print_access(run, name, buf, len);
	case KVM_EXIT_UNKNOWN:
		return snprintf(buf, len, "%s: hardware reason 0x%" PRIx64, name,
				(uint64_t)run->hw.hardware_exit_reason);
	case KVM_EXIT_FAIL_ENTRY:
		return snprintf(buf, len,
				"%s: the processor does not take the state, reason 0x%" PRIx64,
				name, (uint64_t)run->fail_entry.hardware_entry_failure_reason);
	case KVM_EXIT_INTERNAL_ERROR:
		return snprintf(buf, len, "%s: %s (%u)", name,
				internal_error(run->internal.suberror), run->internal.suberror);
	case KVM_EXIT_SYSTEM_EVENT:
		return snprintf(buf, len, "%s: type %u", name, run->system_event.type);
	case KVM_EXIT_SHUTDOWN:
		return snprintf(buf, len, "%s: a triple fault, or as told", name);
	default:
		if (name)
			return snprintf(buf, len, "%s", name);
		return snprintf(buf, len, "exit %u of KVM", reason);
	}
}

size_t via_kvm_vcpu_describe(struct via_kvm_vcpu *vcpu, char *buf, size_t len)
{
	struct kvm_run run;
	int n;

	memcpy(&run, vcpu->run, sizeof(run));
	n = print(&run, buf, len);
	return n > 0 ? (size_t)n : 0;
}
