/* SPDX-License-Identifier: MIT */
/* Interrupts of a virtual machine: raised by eventfds, by hand, and as messages. */
#include "bus/kvm.h"

int via_kvm_irqfd_assign(struct via_kvm *kvm, uint32_t gsi, int fd, int resample_fd)
{
	struct kvm_irqfd irqfd = {.fd = (uint32_t)fd, .gsi = gsi};

	if (resample_fd >= 0) {
		irqfd.flags = KVM_IRQFD_FLAG_RESAMPLE;
		irqfd.resamplefd = (uint32_t)resample_fd;
	}
	return via_kvm_ioctl(kvm->fd, KVM_IRQFD, &irqfd);
}

int via_kvm_irqfd_deassign(struct via_kvm *kvm, uint32_t gsi, int fd)
{
	struct kvm_irqfd irqfd = {.fd = (uint32_t)fd, .gsi = gsi, .flags = KVM_IRQFD_FLAG_DEASSIGN};

	return via_kvm_ioctl(kvm->fd, KVM_IRQFD, &irqfd);
}

int via_kvm_irq_line(struct via_kvm *kvm, uint32_t gsi, bool level)
{
	struct kvm_irq_level line = {.irq = gsi, .level = level};

	return via_kvm_ioctl(kvm->fd, KVM_IRQ_LINE, &line);
}

int via_kvm_msi_signal(struct via_kvm *kvm, const struct via_kvm_msi *msi)
{
	struct kvm_msi message = {
		.address_lo = (uint32_t)msi->address,
		.address_hi = (uint32_t)(msi->address >> 32),
		.data = msi->data,
		.flags = msi->has_devid ? KVM_MSI_VALID_DEVID : 0,
		.devid = msi->has_devid ? msi->devid : 0,
	};

	return via_kvm_ioctl(kvm->fd, KVM_SIGNAL_MSI, &message);
}
