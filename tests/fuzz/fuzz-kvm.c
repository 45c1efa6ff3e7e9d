/* SPDX-License-Identifier: MIT */
/*
 * Two machines with the same buses: one where the bus does everything, one where KVM
 * does what it can by itself, or refuses to. Guests with two vCPUs, one of which has
 * a bus of its own, access both, and must not be able to tell them apart: what they
 * read, which eventfds fire, and what each device has seen in which order. Then
 * what KVM shares with us is anything at all.
 */
#include "fuzz.h"

#include "bus/kvm.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define VM 100000 /* no descriptor */
#define PAGE 4096u
#define SHARED (3 * PAGE)
#define DEVICES 3u
#define CLAIMS 8u
#define EVENTS 8u
#define BYTES 128u

/* KVM: what it was told, by the rules that it has. */
static struct {
	struct kvm_ioeventfd events[64];
	size_t n_events;
	struct kvm_coalesced_mmio_zone zones[64];
	size_t n_zones, room;
	bool refuses;
} kernel;

int __wrap_ioctl(int fd, unsigned long request, void *arg);
int __real_ioctl(int fd, unsigned long request, void *arg);

static int fail(int error)
{
	errno = error;
	return -1;
}

static int zone_call(const struct kvm_coalesced_mmio_zone *zone, bool on)
{
	if (on && (kernel.refuses || kernel.n_zones >= kernel.room))
		return fail(ENOSPC);
	FUZZ_CHECK(zone->size);
	if (on)
		kernel.zones[kernel.n_zones++] = *zone;
	for (size_t i = 0; !on && i < kernel.n_zones;)
		if (kernel.zones[i].addr <= zone->addr &&
		    kernel.zones[i].addr + kernel.zones[i].size >= zone->addr + zone->size)
			kernel.zones[i] = kernel.zones[--kernel.n_zones];
		else
			i++;
	return 0;
}

static int event_call(const struct kvm_ioeventfd *event)
{
	for (size_t i = 0; i < kernel.n_events; i++) {
		const struct kvm_ioeventfd *e = &kernel.events[i];
		bool same = e->addr == event->addr && e->len == event->len && e->fd == event->fd &&
			    !((e->flags ^ event->flags) & KVM_IOEVENTFD_FLAG_DATAMATCH) &&
			    (!(e->flags & KVM_IOEVENTFD_FLAG_DATAMATCH) ||
			     e->datamatch == event->datamatch);

		if (event->flags & KVM_IOEVENTFD_FLAG_DEASSIGN && same) {
			kernel.events[i] = kernel.events[--kernel.n_events];
			return 0;
		}
		/* The buses see to it, and removals come first. */
		FUZZ_CHECK(!same);
	}
	if (event->flags & KVM_IOEVENTFD_FLAG_DEASSIGN)
		return fail(ENOENT);
	if (kernel.refuses)
		return fail(EINVAL);
	FUZZ_CHECK(kernel.n_events < 64);
	kernel.events[kernel.n_events++] = *event;
	return 0;
}

int __wrap_ioctl(int fd, unsigned long request, void *arg)
{
	if (fd != VM)
		return __real_ioctl(fd, request, arg);
	switch (request) {
	case KVM_GET_API_VERSION:
		return fail(ENOTTY);
	case KVM_CHECK_EXTENSION:
		return (uintptr_t)arg == KVM_CAP_COALESCED_MMIO ? 2 : 1;
	case KVM_REGISTER_COALESCED_MMIO:
		return zone_call(arg, true);
	case KVM_UNREGISTER_COALESCED_MMIO:
		return zone_call(arg, false);
	case KVM_IOEVENTFD:
		return event_call(arg);
	default:
		return fail(ENOTTY);
	}
}

struct device {
	uint64_t seen; /* all writes, and reads, in order */
	uint64_t n;
};

/* One of the two. */
struct side {
	struct via_bus *mmio, *above;
	struct device devices[DEVICES];
	struct via_coalescer *coalescers[DEVICES];
	struct via_claim *claims[CLAIMS], *own[2];
	int fds[EVENTS];
	uint64_t fired[EVENTS];
};

struct state {
	struct side sides[2]; /* the second one with KVM */
	struct via_kvm *kvm;
	struct via_kvm_vcpu *vcpus[2];
	struct kvm_coalesced_mmio_ring *ring;
	uint64_t base;
};

static int shared_fd = -1;
static uint8_t *shared;

static void device_note(struct device *d, uint64_t what)
{
	d->seen = (d->seen ^ what) * UINT64_C(0x9e3779b97f4a7c15) + 1;
	d->n++;
}

static int device_read(void *opaque, uint64_t offset, unsigned int size, uint64_t *ret_value)
{
	struct device *d = opaque;

	device_note(d, offset << 8 | size);
	*ret_value = d->seen;
	return VIA_BUS_OK;
}

static int device_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	device_note(opaque, value << 24 ^ offset << 8 ^ size ^ 0x80);
	return VIA_BUS_OK;
}

static const struct via_bus_ops ops = {.read = device_read, .write = device_write};

static void side_new(struct side *s)
{
	const struct via_bus_desc desc = {.name = "above", .below = NULL};
	struct via_bus_desc above = desc;

	FUZZ_CHECK(!via_bus_new("machine", &s->mmio));
	above.below = s->mmio;
	FUZZ_CHECK(!via_bus_new_as(&above, &s->above));
	for (unsigned int i = 0; i < DEVICES; i++)
		FUZZ_CHECK(!via_coalescer_new(i ? 64 : 4, -1, &s->coalescers[i]));
	for (unsigned int i = 0; i < EVENTS; i++) {
		s->fds[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		FUZZ_CHECK(s->fds[i] >= 0);
	}
}

static void side_free(struct side *s)
{
	for (unsigned int i = 0; i < 2; i++)
		if (s->own[i])
			FUZZ_CHECK(!via_bus_remove(s->own[i]));
	for (unsigned int i = 0; i < CLAIMS; i++)
		if (s->claims[i])
			FUZZ_CHECK(!via_bus_remove(s->claims[i]));
	via_bus_free(s->above);
	via_bus_free(s->mmio);
	for (unsigned int i = 0; i < DEVICES; i++)
		via_coalescer_free(s->coalescers[i]);
	for (unsigned int i = 0; i < EVENTS; i++)
		(void)close(s->fds[i]);
}

/* The same change on both, with the same result. */
static void change_claim(struct state *s, struct fuzz_input *in)
{
	uint8_t which = fuzz_u8(in) % CLAIMS, start = fuzz_u8(in) % BYTES, how = fuzz_u8(in);
	uint8_t len = fuzz_u8(in) % 48, device = which % DEVICES;
	int rets[2] = {0, 0};

	for (int i = 0; i < 2; i++) {
		struct side *side = &s->sides[i];
		struct via_claim **claim = &side->claims[which];
		struct via_bus_change move = {.claim = *claim, .start = s->base + start};
		struct via_claim_desc desc = {
			.start = s->base + start,
			.last = s->base + start + len,
			.priority = how >> 6,
			.ops = &ops,
			.opaque = &side->devices[device],
			.valid_unaligned = how & 8,
			.impl_unaligned = how & 8,
			.impl_max = how & 16 ? 2 : 8,
			.flags = how & 1 ? VIA_BUS_COALESCE : 0,
			.coalescer = side->coalescers[device],
		};

		if (!*claim) {
			rets[i] = via_bus_add(side->mmio, &desc, claim);
		} else if (how & 2) {
			move.kind = how & 4   ? VIA_BUS_MOVE
				    : how & 1 ? VIA_BUS_ENABLE
					      : VIA_BUS_DISABLE;
			rets[i] = via_bus_commit(side->mmio, &move, 1);
		} else {
			rets[i] = via_bus_remove(*claim);
			*claim = NULL;
		}
	}
	FUZZ_CHECK(rets[0] == rets[1]);
}

/* A claim, or an ioeventfd, on the second vCPU's own bus. */
static void change_own(struct state *s, struct fuzz_input *in)
{
	uint8_t start = fuzz_u8(in) % BYTES, len = fuzz_u8(in), which = len >> 7;

	for (int i = 0; i < 2; i++) {
		struct side *side = &s->sides[i];
		struct via_claim **claim = &side->own[which];
		struct via_bus_ioeventfd event = {.fd = side->fds[EVENTS - 1],
						  .len = (uint8_t)(1u << (len & 3))};
		struct via_claim_desc desc = {.start = s->base + start,
					      .last = s->base + start + len % 16,
					      .ops = &ops,
					      .opaque = &side->devices[0],
					      .ioeventfd = len & 64 ? &event : NULL};

		if (*claim) {
			FUZZ_CHECK(!via_bus_remove(*claim));
			*claim = NULL;
		} else if (via_bus_add(side->above, &desc, claim)) {
			*claim = NULL;
		}
	}
	FUZZ_CHECK(!s->sides[0].own[which] == !s->sides[1].own[which]);
}

static void change_event(struct state *s, struct fuzz_input *in)
{
	uint8_t which = fuzz_u8(in), at = fuzz_u8(in) % BYTES, how = fuzz_u8(in);
	int rets[2];

	for (int i = 0; i < 2; i++) {
		struct side *side = &s->sides[i];
		struct via_bus_ioeventfd event = {.fd = side->fds[which % (EVENTS - 1)],
						  .len = how & 7,
						  .match = how & 8,
						  .data = how >> 6};

		rets[i] = how & 16 ? via_bus_ioeventfd_deassign(side->mmio, s->base + at, &event)
				   : via_bus_ioeventfd_assign(side->mmio, s->base + at, &event);
	}
	FUZZ_CHECK(rets[0] == rets[1]);
}

/* What KVM does with a write: of a zone and an ioeventfd in it the zone takes it. False: it exits.
 */
static bool kernel_write(struct state *s, uint64_t addr, unsigned int len, uint64_t value)
{
	uint32_t slots = (PAGE - sizeof(*s->ring)) / sizeof(s->ring->coalesced_mmio[0]);
	uint64_t low = len < 8 ? value & ((UINT64_C(1) << 8 * len) - 1) : value;

	for (size_t i = 0; i < kernel.n_zones; i++) {
		const struct kvm_coalesced_mmio_zone *z = &kernel.zones[i];
		struct kvm_coalesced_mmio *slot = &s->ring->coalesced_mmio[s->ring->last];

		if (addr < z->addr || addr + len > z->addr + z->size ||
		    (s->ring->last + 1) % slots == s->ring->first)
			continue;
		slot->phys_addr = addr;
		slot->len = len;
		slot->pio = 0;
		memcpy(slot->data, &value, 8);
		s->ring->last = (s->ring->last + 1) % slots;
		return true;
	}
	for (size_t i = 0; i < kernel.n_events; i++) {
		const struct kvm_ioeventfd *e = &kernel.events[i];

		if (e->addr != addr || (e->len && e->len != len))
			continue;
		if (e->flags & KVM_IOEVENTFD_FLAG_DATAMATCH && e->datamatch != low)
			continue;
		for (unsigned int k = 0; k < EVENTS; k++)
			s->sides[1].fired[k] += s->sides[1].fds[k] == e->fd;
		return true;
	}
	return false;
}

/* Through an exit, as KVM describes it. */
static uint64_t exit_access(struct state *s, unsigned int vcpu, uint64_t addr, unsigned int len,
			    bool write, uint64_t value)
{
	struct kvm_run *run = via_kvm_vcpu_shared(s->vcpus[vcpu]);
	int ret;

	run->exit_reason = KVM_EXIT_MMIO;
	run->mmio.phys_addr = addr;
	run->mmio.len = len;
	run->mmio.is_write = write;
	memcpy(run->mmio.data, &value, 8);
	ret = via_kvm_handle_exit(s->vcpus[vcpu]);
	FUZZ_CHECK(!ret || ret == -ENXIO);
	memcpy(&value, run->mmio.data, 8);
	return value;
}

static void access_both(struct state *s, struct fuzz_input *in)
{
	uint8_t at = fuzz_u8(in), how = fuzz_u8(in);
	uint64_t addr = s->base + at % BYTES, value = (uint64_t)(how >> 6) | (uint64_t)at << 32;
	unsigned int len = 1u << (how & 3), vcpu = how >> 2 & 1;
	struct via_bus *bus = vcpu ? s->sides[0].above : s->sides[0].mmio;
	uint64_t plain = 0, other;

	if (how & 8) {
		(void)via_bus_read_value(bus, addr, len, &plain);
		other = exit_access(s, vcpu, addr, len, false, 0);
		FUZZ_CHECK(!memcmp(&plain, &other, len));
		return;
	}
	(void)via_bus_write_value(bus, addr, len, value);
	if (!kernel_write(s, addr, len, value))
		(void)exit_access(s, vcpu, addr, len, true, value);
}

static void compare(struct state *s)
{
	for (unsigned int i = 0; i < DEVICES; i++) {
		for (int k = 0; k < 2; k++)
			via_coalescer_drain(s->sides[k].coalescers[i]);
		FUZZ_CHECK(s->sides[0].devices[i].n == s->sides[1].devices[i].n);
		FUZZ_CHECK(s->sides[0].devices[i].seen == s->sides[1].devices[i].seen);
	}
	for (unsigned int i = 0; i < EVENTS; i++) {
		for (int k = 0; k < 2; k++) {
			uint64_t n;

			if (read(s->sides[k].fds[i], &n, sizeof(n)) == sizeof(n))
				s->sides[k].fired[i] += n;
		}
		FUZZ_CHECK(s->sides[0].fired[i] == s->sides[1].fired[i]);
	}
}

/* Nobody promises that only KVM writes there. */
static void anything(struct state *s, struct fuzz_input *in)
{
	struct kvm_run *run = via_kvm_vcpu_shared(s->vcpus[0]);
	char text[64];

	for (int i = 0; i < 8 && in->left; i++) {
		struct kvm_coalesced_mmio *slot = &s->ring->coalesced_mmio[fuzz_u8(in) % 170];

		run->exit_reason = fuzz_u8(in) % 64;
		fuzz_bytes(in, &run->mmio, 24);
		if (fuzz_u8(in) & 1)
			fuzz_bytes(in, slot, sizeof(*slot));
		s->ring->first = (uint32_t)fuzz_number(in);
		s->ring->last = (uint32_t)fuzz_number(in);
		(void)via_kvm_handle_exit(s->vcpus[i & 1]);
		(void)via_kvm_vcpu_describe(s->vcpus[i & 1], text, sizeof(text));
	}
}

static void new_state(struct state *s, struct fuzz_input *in)
{
	if (shared_fd < 0) {
		shared_fd = memfd_create("vcpu", MFD_CLOEXEC);
		FUZZ_CHECK(shared_fd >= 0 && !ftruncate(shared_fd, SHARED));
		shared = mmap(NULL, SHARED, PROT_READ | PROT_WRITE, MAP_SHARED, shared_fd, 0);
		FUZZ_CHECK(shared != MAP_FAILED);
	}
	memset(shared, 0, SHARED);
	memset(&kernel, 0, sizeof(kernel));
	kernel.room = 64;
	*s = (struct state){.ring = (void *)(shared + 2 * (size_t)PAGE)};
	s->base = fuzz_u8(in) & 1 ? UINT64_C(0xfee00000) : 0x10;
	side_new(&s->sides[0]);
	side_new(&s->sides[1]);
	FUZZ_CHECK(!via_kvm_new(VM, s->sides[1].mmio, NULL, NULL, &s->kvm));
	via_kvm_offload(s->kvm, true);
	FUZZ_CHECK(!via_kvm_vcpu_new(s->kvm, shared_fd, SHARED, NULL, NULL, &s->vcpus[0]));
	FUZZ_CHECK(!via_kvm_vcpu_new(s->kvm, shared_fd, SHARED, s->sides[1].above, NULL,
				     &s->vcpus[1]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	static struct state s;

	new_state(&s, &in);
	for (unsigned int i = 0; i < FUZZ_STEPS && in.left; i++) {
		uint8_t step = fuzz_u8(&in);

		switch (step % 16) {
		case 0:
		case 1:
			change_claim(&s, &in);
			break;
		case 2:
		case 3:
			change_event(&s, &in);
			break;
		case 4:
			change_own(&s, &in);
			break;
		case 5:
			kernel.room = step >> 4;
			break;
		case 6:
			kernel.refuses = step >> 4 & 1;
			break;
		case 7:
			compare(&s);
			break;
		case 8:
			via_kvm_offload(s.kvm, step >> 4);
			break;
		case 9:
			if (step >> 4 == 15) {
				compare(&s);
				anything(&s, &in);
				in.left = 0;
			}
			break;
		default:
			access_both(&s, &in);
			break;
		}
	}
	for (unsigned int i = 0; i < 2; i++)
		via_kvm_vcpu_free(s.vcpus[i]);
	via_kvm_free(s.kvm);
	FUZZ_CHECK(!kernel.n_zones && !kernel.n_events);
	side_free(&s.sides[0]);
	side_free(&s.sides[1]);
	return 0;
}
