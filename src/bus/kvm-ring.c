/* SPDX-License-Identifier: MIT */
/*
 * Writes that KVM has queued: made on the buses, in order, before anything that
 * could tell that they have not been. The ring is memory that KVM writes, and all who
 * have a vCPU's descriptor: indices and lengths are read once and checked.
 */
#include "bus/kvm.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

/* An address that is each thread's own. */
static const void *self(void)
{
	return &via_bus_active_slotless;
}

void via_kvm_ring_init(struct via_kvm *kvm)
{
	int page = ioctl(kvm->fd, KVM_CHECK_EXTENSION, KVM_CAP_COALESCED_MMIO);

	kvm->ring.page = page > 0 ? page : 0;
	(void)pthread_mutex_init(&kvm->ring.lock, NULL);
}

void via_kvm_ring_deinit(struct via_kvm *kvm)
{
	struct kvm_coalesced_mmio_ring *ring = atomic_load(&kvm->ring.shared);

	if (ring)
		(void)munmap(ring, (size_t)sysconf(_SC_PAGESIZE));
	(void)pthread_mutex_destroy(&kvm->ring.lock);
}

/* A mapping of our own: it outlives the vCPU whose descriptor it came by. */
int via_kvm_ring_map(struct via_kvm *kvm, int vcpu_fd, size_t shared_size)
{
	size_t page_size = (size_t)sysconf(_SC_PAGESIZE);
	size_t offset = (size_t)kvm->ring.page * page_size;
	void *ring;

	if (!offset || offset > shared_size || shared_size - offset < page_size ||
	    atomic_load(&kvm->ring.shared))
		return 0;
	ring = mmap(NULL, page_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu_fd, (off_t)offset);
	if (ring == MAP_FAILED)
		return -errno;
	kvm->ring.n_slots = (uint32_t)((page_size - sizeof(struct kvm_coalesced_mmio_ring)) /
				       sizeof(struct kvm_coalesced_mmio));
	atomic_store_explicit(&kvm->ring.shared, ring, memory_order_release);
	return 0;
}

static void make(const struct via_kvm *kvm, const struct kvm_coalesced_mmio *slot)
{
	uint64_t addr = __atomic_load_n(&slot->phys_addr, __ATOMIC_RELAXED);
	uint32_t len = __atomic_load_n(&slot->len, __ATOMIC_RELAXED);
	bool pio = __atomic_load_n(&slot->pio, __ATOMIC_RELAXED);
	struct via_bus *bus = pio ? kvm->pio : kvm->mmio;
	uint8_t bytes[8] = {0};

	if (!len || len > sizeof(bytes) || !bus)
		return;
	memcpy(bytes, slot->data, len);
	/* Nobody can be told what becomes of a write that is posted. */
	if (len & (len - 1))
		(void)via_bus_write(bus, addr, bytes, len, NULL);
	else
		(void)via_bus_write_value(bus, addr, len, via_get_le64(bytes));
}

/* With ring.lock: up to what is there now. */
static void make_all(struct via_kvm *kvm, struct kvm_coalesced_mmio_ring *ring)
{
	/* KVM fills a slot before it moves the end, and takes one when we have moved the start. */
	uint32_t end = __atomic_load_n(&ring->last, __ATOMIC_ACQUIRE);
	uint32_t at = __atomic_load_n(&ring->first, __ATOMIC_RELAXED);

	if (end >= kvm->ring.n_slots || at >= kvm->ring.n_slots)
		return;
	while (at != end) {
		make(kvm, &ring->coalesced_mmio[at]);
		at = (at + 1) % kvm->ring.n_slots;
		__atomic_store_n(&ring->first, at, __ATOMIC_RELEASE);
	}
}

void via_kvm_ring_drain(struct via_kvm *kvm)
{
	struct kvm_coalesced_mmio_ring *ring =
		atomic_load_explicit(&kvm->ring.shared, memory_order_acquire);

	if (!ring || __atomic_load_n(&ring->first, __ATOMIC_RELAXED) ==
			     __atomic_load_n(&ring->last, __ATOMIC_RELAXED))
		return;
	/* A write that is being made may lead here again: this thread is at it. */
	if (atomic_load_explicit(&kvm->ring.owner, memory_order_relaxed) == self())
		return;
	/* A callback waits for no other one, see coalescer.c. */
	if (via_bus_active()) {
		if (pthread_mutex_trylock(&kvm->ring.lock))
			return;
	} else {
		(void)pthread_mutex_lock(&kvm->ring.lock);
	}
	atomic_store_explicit(&kvm->ring.owner, self(), memory_order_relaxed);
	make_all(kvm, ring);
	atomic_store_explicit(&kvm->ring.owner, NULL, memory_order_relaxed);
	(void)pthread_mutex_unlock(&kvm->ring.lock);
}
