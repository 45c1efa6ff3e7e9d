/* SPDX-License-Identifier: MIT */
/*
 * What KVM is told to do by itself, before one that writes down what it is told, and
 * queues writes as the real one does. tests/kvm/ioeventfd.c asks the real one.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bus/kvm.h"

#include "bus/test-support.h"

#define VM 1234 /* no descriptor: no call reaches the kernel */
#define PAGE 4096u
#define SHARED (3 * PAGE)
#define N_CALLS 4096

/* What the kernel knows, does, and was asked. */
static struct {
	pthread_mutex_t lock;
	int refuse;  /* errno for all that is put in */
	size_t room; /* zones that it takes */
	struct {
		bool on, zone;
		uint64_t addr, len;
		int ret;
	} calls[N_CALLS];
	size_t n_calls;
	struct kvm_coalesced_mmio_zone zones[64]; /* lock, as the ring's end */
	size_t n_zones;
	int coalesced_page;
} kernel = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void note(bool on, bool zone, uint64_t addr, uint64_t len, int ret)
{
	size_t i = kernel.n_calls++ % N_CALLS;

	kernel.calls[i].on = on;
	kernel.calls[i].zone = zone;
	kernel.calls[i].addr = addr;
	kernel.calls[i].len = len;
	kernel.calls[i].ret = ret;
}

static int zone_call(const struct kvm_coalesced_mmio_zone *zone, bool on)
{
	int ret = on ? kernel.refuse : 0;

	if (on && !ret && kernel.n_zones == kernel.room)
		ret = ENOSPC;
	if (on && !ret)
		kernel.zones[kernel.n_zones++] = *zone;
	for (size_t i = 0; !on && i < kernel.n_zones; i++)
		if (kernel.zones[i].addr == zone->addr && kernel.zones[i].size == zone->size)
			kernel.zones[i--] = kernel.zones[--kernel.n_zones];
	note(on, true, zone->addr, zone->size, ret);
	return ret;
}

static int call(unsigned long request, void *arg)
{
	const struct kvm_ioeventfd *event = arg;
	bool on;
	int ret;

	switch (request) {
	case KVM_REGISTER_COALESCED_MMIO:
		return zone_call(arg, true);
	case KVM_UNREGISTER_COALESCED_MMIO:
		return zone_call(arg, false);
	case KVM_IOEVENTFD:
		on = !(event->flags & KVM_IOEVENTFD_FLAG_DEASSIGN);
		ret = on ? kernel.refuse : 0;
		note(on, false, event->addr, event->len, ret);
		return ret;
	default:
		fail_msg("request 0x%lx", request);
		return EINVAL;
	}
}

int __wrap_ioctl(int fd, unsigned long request, void *arg);

int __wrap_ioctl(int fd, unsigned long request, void *arg)
{
	int ret;

	assert_int_equal(fd, VM);
	if (request == KVM_GET_API_VERSION) {
		errno = ENOTTY;
		return -1;
	}
	if (request == KVM_CHECK_EXTENSION)
		return (uintptr_t)arg == KVM_CAP_COALESCED_MMIO ? kernel.coalesced_page : 1;
	(void)pthread_mutex_lock(&kernel.lock);
	ret = call(request, arg);
	(void)pthread_mutex_unlock(&kernel.lock);
	if (!ret)
		return 0;
	errno = ret;
	return -1;
}

/* Fails one allocation of the library and all later ones, or none. */
static _Atomic long fail_after = -1;
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__real_reallocarray(void *p, size_t n, size_t size);
void *__wrap_reallocarray(void *p, size_t n, size_t size);

static bool may_allocate(void)
{
	long left = fail_after;

	if (left < 0)
		return true;
	if (left == 0)
		return false;
	fail_after = left - 1;
	return true;
}

void *__wrap_calloc(size_t n, size_t size)
{
	return may_allocate() ? __real_calloc(n, size) : NULL;
}

void *__wrap_reallocarray(void *p, size_t n, size_t size)
{
	return may_allocate() ? __real_reallocarray(p, n, size) : NULL;
}

/* A device whose writes are remembered, in order. */
struct sink {
	uint64_t values[64];
	unsigned int n;
};

static int sink_read(void *opaque, uint64_t offset, unsigned int size, uint64_t *ret_value)
{
	*ret_value = ((struct sink *)opaque)->n;
	return VIA_BUS_OK;
}

static int sink_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	struct sink *s = opaque;

	s->values[s->n++ % 64] = value;
	return VIA_BUS_OK;
}

static const struct via_bus_ops sink_ops = {.read = sink_read, .write = sink_write};

struct fixture {
	struct via_bus *mmio, *pio;
	struct via_kvm *kvm;
	struct via_kvm_vcpu *vcpu;
	struct kvm_coalesced_mmio_ring *ring;
	int vcpu_fd, event_fd;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	uint8_t *shared;

	assert_non_null(f);
	kernel.n_calls = kernel.n_zones = 0;
	kernel.refuse = 0;
	kernel.room = 64;
	kernel.coalesced_page = 2;
	f->mmio = new_bus();
	f->pio = new_bus();
	f->event_fd = eventfd(0, EFD_NONBLOCK);
	f->vcpu_fd = memfd_create("vcpu", MFD_CLOEXEC);
	assert_true(f->event_fd >= 0 && f->vcpu_fd >= 0 && !ftruncate(f->vcpu_fd, SHARED));
	shared = mmap(NULL, SHARED, PROT_READ | PROT_WRITE, MAP_SHARED, f->vcpu_fd, 0);
	assert_true(shared != MAP_FAILED);
	f->ring = (void *)(shared + kernel.coalesced_page * PAGE);
	assert_int_equal(via_kvm_new(VM, f->mmio, f->pio, NULL, &f->kvm), 0);
	assert_int_equal(via_kvm_vcpu_new(f->kvm, f->vcpu_fd, SHARED, NULL, NULL, &f->vcpu), 0);
	via_kvm_offload(f->kvm, true);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	via_kvm_vcpu_free(f->vcpu);
	via_kvm_free(f->kvm);
	via_bus_free(f->mmio);
	via_bus_free(f->pio);
	(void)munmap((uint8_t *)f->ring - 2 * (size_t)PAGE, SHARED);
	(void)close(f->vcpu_fd);
	(void)close(f->event_fd);
	free(f);
	return 0;
}

static struct via_claim *add_event(struct fixture *f, uint64_t addr, uint8_t len)
{
	struct via_bus_ioeventfd event = {.fd = f->event_fd, .len = len};
	struct via_claim_desc desc = {.start = addr, .ioeventfd = &event};

	return add_desc(f->mmio, &desc);
}

static struct via_claim *add_zone(struct via_bus *bus, struct sink *sink, struct via_coalescer *c,
				  uint64_t start, uint64_t last)
{
	struct via_claim_desc desc = {.start = start,
				      .last = last,
				      .ops = &sink_ops,
				      .opaque = sink,
				      .flags = VIA_BUS_COALESCE,
				      .coalescer = c};

	return add_desc(bus, &desc);
}

/* What the kernel was asked since the last time: "+e1000.4 -z2000.1000". */
static const char *asked(void)
{
	static char text[1024];
	size_t used = 0;

	text[0] = '\0';
	for (size_t i = 0; i < kernel.n_calls; i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%c%c%llx.%llx",
					 i ? " " : "", kernel.calls[i].on ? '+' : '-',
					 kernel.calls[i].zone ? 'z' : 'e',
					 (unsigned long long)kernel.calls[i].addr,
					 (unsigned long long)kernel.calls[i].len);
	kernel.n_calls = 0;
	return text;
}

static int error_at(struct fixture *f, size_t i)
{
	struct via_kvm_item items[16];

	assert_true(via_kvm_list(f->kvm, items, 16) > i);
	return items[i].error;
}

/* 66: a commit of moves is all removals, then all additions; the rest is left alone. */
static void removals_first(void **state)
{
	struct fixture *f = *state;
	struct via_claim *a = add_event(f, 0x1000, 4), *b = add_event(f, 0x1004, 4);
	struct via_claim *other = add_event(f, 0x3000, 2);
	struct via_bus_change moves[2] = {{.kind = VIA_BUS_MOVE, .claim = a, .start = 0x2000},
					  {.kind = VIA_BUS_MOVE, .claim = b, .start = 0x2004}};

	assert_string_equal(asked(), "+e1000.4 +e1004.4 +e3000.2");
	assert_int_equal(via_bus_commit(f->mmio, moves, 2), 0);
	assert_string_equal(asked(), "-e1000.4 -e1004.4 +e2000.4 +e2004.4");
	assert_int_equal(via_bus_remove(b), 0);
	assert_string_equal(asked(), "-e2004.4");
	moves[0].kind = VIA_BUS_DISABLE;
	assert_int_equal(via_bus_commit(f->mmio, moves, 1), 0);
	assert_string_equal(asked(), "-e2000.4");
	moves[0].kind = VIA_BUS_ENABLE;
	assert_int_equal(via_bus_commit(f->mmio, moves, 1), 0);
	assert_string_equal(asked(), "+e2000.4");
	assert_int_equal(via_bus_remove(other), 0);
	via_kvm_offload(f->kvm, true);
	assert_string_equal(asked(), "-e3000.2");
	via_kvm_offload(f->kvm, false);
	assert_string_equal(asked(), "-e2000.4");
	assert_int_equal(via_bus_remove(a), 0);
	assert_string_equal(asked(), "");
}

static void zones_are_cut(void **state)
{
	struct fixture *f = *state;
	struct via_coalescer *c, *telling;
	struct via_claim *zone, *event, *any, *above, *loud;
	struct sink sink = {0};

	assert_int_equal(via_coalescer_new(16, -1, &c), 0);
	zone = add_zone(f->mmio, &sink, c, 0x2000, 0x2fff);
	assert_string_equal(asked(), "+z2000.1000");
	event = add_event(f, 0x2010, 4);
	assert_string_equal(asked(), "-z2000.1000 +e2010.4 +z2000.10 +z2014.fec");
	any = add_event(f, 0x2000, 0);
	assert_string_equal(asked(), "-z2000.10 +e2000.0 +z2001.f");
	above = add(f->mmio, &(struct dev){0}, 0x2100, 0x21ff, 1);
	assert_string_equal(asked(), "-z2014.fec +z2014.ec +z2200.e00");
	assert_int_equal(via_bus_remove(any), 0);
	assert_int_equal(via_bus_remove(event), 0);
	assert_int_equal(via_bus_remove(above), 0);
	(void)asked();
	/* Who waits for an eventfd when something is queued would wait for ever. */
	assert_int_equal(via_coalescer_new(16, f->event_fd, &telling), 0);
	loud = add_zone(f->mmio, &sink, telling, 0x4000, 0x4fff);
	assert_string_equal(asked(), "");
	assert_int_equal(error_at(f, 1), -EPROTONOSUPPORT);
	assert_int_equal(via_bus_remove(loud), 0);
	assert_int_equal(via_bus_remove(zone), 0);
	assert_string_equal(asked(), "-z2000.1000");
	zone = add_zone(f->mmio, &sink, c, 0x100000000, 0x200000000);
	assert_int_equal(error_at(f, 0), -E2BIG);
	assert_string_equal(asked(), "");
	assert_int_equal(via_bus_remove(zone), 0);
	zone = add_zone(f->mmio, &sink, c, 0, UINT64_MAX);
	assert_int_equal(error_at(f, 0), -E2BIG);
	assert_int_equal(via_bus_remove(zone), 0);
	zone = add_zone(f->pio, &sink, c, 0x3f8, 0x3ff);
	assert_string_equal(asked(), "+z3f8.8");
	assert_int_equal(via_bus_remove(zone), 0);
	via_coalescer_free(c);
	via_coalescer_free(telling);
}

static void refusals(void **state)
{
	struct fixture *f = *state;
	struct via_claim *a, *b;

	kernel.refuse = ENOSPC;
	a = add_event(f, 0x1000, 4);
	assert_string_equal(asked(), "+e1000.4");
	assert_int_equal(error_at(f, 0), -ENOSPC);
	/* It is full: only the first is tried. */
	b = add_event(f, 0x1004, 4);
	assert_string_equal(asked(), "+e1000.4");
	assert_int_equal(error_at(f, 1), -ENOSPC);
	kernel.refuse = EEXIST;
	assert_int_equal(via_bus_remove(a), 0);
	assert_string_equal(asked(), "+e1004.4");
	assert_int_equal(error_at(f, 0), -EEXIST);
	assert_int_equal(via_bus_remove(b), 0);
	assert_string_equal(asked(), "");
	assert_int_equal(via_kvm_list(f->kvm, NULL, 0), 0);
}

/* The last zone makes room for ioeventfds, and no more are tried until one goes. */
static void full_of_zones(void **state)
{
	struct fixture *f = *state;
	struct via_claim *zones[4], *event;
	struct sink sink = {0};
	struct via_coalescer *c;

	kernel.room = 2;
	assert_int_equal(via_coalescer_new(16, -1, &c), 0);
	for (unsigned int i = 0; i < 4; i++)
		zones[i] = add_zone(f->mmio, &sink, c, 0x1000 * i, 0x1000 * i + 0xff);
	assert_string_equal(asked(), "+z0.100 +z1000.100 +z2000.100 -z1000.100");
	assert_int_equal(error_at(f, 0), 0);
	for (size_t i = 1; i < 4; i++)
		assert_int_equal(error_at(f, i), -ENOSPC);
	event = add_event(f, 0x8000, 4);
	assert_string_equal(asked(), "+e8000.4");
	assert_int_equal(via_bus_remove(zones[0]), 0);
	assert_string_equal(asked(), "-z0.100 +z1000.100 +z2000.100 +z3000.100 -z2000.100");
	for (unsigned int i = 1; i < 4; i++)
		assert_int_equal(via_bus_remove(zones[i]), 0);
	assert_int_equal(kernel.n_zones, 0);
	assert_int_equal(via_bus_remove(event), 0);
	via_coalescer_free(c);
}

static void no_vcpu_no_ring(void **state)
{
	struct fixture *f = *state;
	struct via_claim *zone, *second;
	struct sink sink = {0};
	struct via_coalescer *c;
	struct via_kvm *kvm;
	struct via_kvm_vcpu *vcpu;
	struct via_bus *bus = new_bus();

	assert_int_equal(via_coalescer_new(16, -1, &c), 0);
	assert_int_equal(via_kvm_new(VM, bus, NULL, NULL, &kvm), 0);
	via_kvm_offload(kvm, true);
	zone = add_zone(bus, &sink, c, 0x2000, 0x2fff);
	assert_string_equal(asked(), "");
	assert_int_equal(via_kvm_vcpu_new(kvm, f->vcpu_fd, SHARED, NULL, NULL, &vcpu), 0);
	assert_string_equal(asked(), "+z2000.1000");
	/* The ring stays when that vCPU goes. */
	via_kvm_vcpu_free(vcpu);
	second = add_zone(bus, &sink, c, 0x4000, 0x4fff);
	assert_string_equal(asked(), "+z4000.1000");
	via_kvm_free(kvm);
	assert_int_equal(via_bus_remove(zone), 0);
	assert_int_equal(via_bus_remove(second), 0);
	via_coalescer_free(c);
	via_bus_free(bus);
}

/* A vCPU on a bus that has nothing to do with the virtual machine's. */
static void a_bus_of_its_own(void **state)
{
	struct fixture *f = *state;
	struct via_bus *bus = new_bus();
	struct via_kvm_vcpu *vcpu;
	struct via_claim *event = add_event(f, 0x1000, 4);

	assert_string_equal(asked(), "+e1000.4");
	assert_int_equal(via_kvm_vcpu_new(f->kvm, f->vcpu_fd, SHARED, bus, NULL, &vcpu), 0);
	assert_string_equal(asked(), "-e1000.4");
	assert_int_equal(error_at(f, 0), -EBUSY);
	via_kvm_vcpu_free(vcpu);
	assert_string_equal(asked(), "+e1000.4");
	assert_int_equal(via_bus_remove(event), 0);
	via_bus_free(bus);
}

/* Without memory KVM does nothing any more, until there is some. */
static void without_memory(void **state)
{
	struct fixture *f = *state;
	struct via_claim *event = add_event(f, 0x1000, 4), *other = add_event(f, 0x2000, 4), *zone;
	struct sink sink = {0};
	struct via_coalescer *c;
	long n;

	assert_int_equal(via_coalescer_new(16, -1, &c), 0);
	zone = add_zone(f->mmio, &sink, c, 0x4000, 0x4fff);
	(void)asked();
	fail_after = 0;
	assert_int_equal(via_bus_remove(event), 0);
	fail_after = -1;
	assert_string_equal(asked(), "-e1000.4 -e2000.4 -z4000.1000");
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(error_at(f, i), -ENOMEM);
	event = add_event(f, 0x1000, 4);
	assert_string_equal(asked(), "+e1000.4 +e2000.4 +z4000.1000");
	/* Whichever allocation fails: what has gone is gone, nobody else is there. */
	for (n = 0; n < 40; n++) {
		bool there;

		fail_after = n;
		assert_int_equal(via_bus_remove(event), 0);
		fail_after = -1;
		there = strstr(asked(), "-e1000.4") != NULL;
		assert_true(there);
		event = add_event(f, 0x1000, 4);
		assert_non_null(strstr(asked(), "+e1000.4"));
		assert_int_equal(error_at(f, 0), 0);
	}
	assert_int_equal(via_bus_remove(event), 0);
	assert_int_equal(via_bus_remove(other), 0);
	assert_int_equal(via_bus_remove(zone), 0);
	via_coalescer_free(c);
}

/* A write that KVM queues if it may: under its lock, as it does. False: it exits. */
static bool kvm_write(struct fixture *f, uint64_t addr, uint32_t len, uint64_t value)
{
	struct kvm_coalesced_mmio_ring *ring = f->ring;
	uint32_t slots = (PAGE - sizeof(*ring)) / sizeof(ring->coalesced_mmio[0]);
	bool taken = false;

	(void)pthread_mutex_lock(&kernel.lock);
	for (size_t i = 0; i < kernel.n_zones; i++)
		taken |= addr >= kernel.zones[i].addr &&
			 addr + len <= kernel.zones[i].addr + kernel.zones[i].size;
	if (taken) {
		uint32_t last = ring->last, next = (last + 1) % slots;

		taken = next != __atomic_load_n(&ring->first, __ATOMIC_ACQUIRE);
		if (taken) {
			struct kvm_coalesced_mmio *slot = &ring->coalesced_mmio[last];

			slot->phys_addr = addr;
			slot->len = len;
			slot->pio = 0;
			via_put_le64(slot->data, value);
			__atomic_store_n(&ring->last, next, __ATOMIC_RELEASE);
		}
	}
	(void)pthread_mutex_unlock(&kernel.lock);
	return taken;
}

static void the_ring(void **state)
{
	struct fixture *f = *state;
	struct sink sink = {0};
	struct via_claim *zone, *other;
	struct via_coalescer *c;
	uint64_t value;

	assert_int_equal(via_coalescer_new(16, -1, &c), 0);
	zone = add_zone(f->mmio, &sink, c, 0x2000, 0x2fff);
	assert_true(kvm_write(f, 0x2000, 4, 1));
	assert_true(kvm_write(f, 0x2008, 8, 0x1122334455667788));
	assert_true(kvm_write(f, 0x2ffd, 3, 3));
	assert_false(kvm_write(f, 0x2ffe, 4, 4));
	assert_int_equal(sink.n, 0);
	/* Whoever reads the device sees what was written. */
	assert_int_equal(via_bus_read_value(f->mmio, 0x2000, 4, &value), 0);
	assert_int_equal(value, 4); /* three bytes are an access of one and one of two */
	assert_int_equal(sink.values[1], 0x1122334455667788);
	/* So does who has the queue made. */
	assert_true(kvm_write(f, 0x2000, 4, 5));
	via_coalescer_drain(c);
	assert_int_equal(sink.n, 5);
	/* An exit moves it to the queue, */
	assert_true(kvm_write(f, 0x2000, 4, 6));
	via_kvm_vcpu_shared(f->vcpu)->exit_reason = KVM_EXIT_HLT;
	assert_int_equal(via_kvm_handle_exit(f->vcpu), VIA_KVM_EXIT_OTHER);
	assert_int_equal(f->ring->first, f->ring->last);
	assert_int_equal(sink.n, 5);
	/* and a change of the bus too: what comes over it afterwards does not see it. */
	assert_true(kvm_write(f, 0x2000, 4, 7));
	other = add(f->mmio, &(struct dev){0}, 0x2000, 0x2003, 1);
	via_coalescer_drain(c);
	assert_int_equal(sink.n, 7);
	assert_int_equal(via_bus_remove(other), 0);
	assert_true(kvm_write(f, 0x2000, 4, 8));
	assert_int_equal(via_bus_remove(zone), 0);
	assert_int_equal(sink.n, 8);
	assert_int_equal(sink.values[7], 8);
	via_coalescer_free(c);
}

/* A queue that KVM no longer fills has nothing to do with the ring, whoever is freed first. */
static void a_queue_that_is_left(void **state)
{
	struct fixture *f = *state;
	struct via_coalescer *c, *other;
	struct via_claim *zone, *left;
	struct sink sink = { 0 };

	assert_int_equal(via_coalescer_new(16, -1, &c), 0);
	assert_int_equal(via_coalescer_new(16, -1, &other), 0);
	zone = add_zone(f->mmio, &sink, c, 0x2000, 0x2fff);
	left = add_zone(f->mmio, &sink, other, 0x4000, 0x4fff);
	assert_int_equal(via_bus_remove(left), 0);
	assert_true(kvm_write(f, 0x2000, 4, 1));
	via_coalescer_drain(other);
	assert_int_not_equal(f->ring->first, f->ring->last);
	via_kvm_offload(f->kvm, false);
	assert_int_equal(f->ring->first, f->ring->last);
	f->ring->first = 0;
	f->ring->last = 1;
	via_coalescer_drain(c);
	assert_int_equal(f->ring->first, 0);
	assert_int_equal(sink.n, 1);
	f->ring->last = 0;
	assert_int_equal(via_bus_remove(zone), 0);
	via_coalescer_free(c);
	via_coalescer_free(other);
}

/* What others than KVM may write there. */
static void a_ring_that_is_no_ring(void **state)
{
	struct fixture *f = *state;
	uint32_t slots = (PAGE - sizeof(*f->ring)) / sizeof(f->ring->coalesced_mmio[0]);
	struct sink sink = {0};
	struct via_coalescer *c;
	struct via_claim *zone;

	assert_int_equal(via_coalescer_new(16, -1, &c), 0);
	zone = add_zone(f->mmio, &sink, c, 0x2000, 0x2fff);
	for (uint32_t i = 0; i < slots; i++)
		f->ring->coalesced_mmio[i] = (struct kvm_coalesced_mmio){.phys_addr = 0x2000,
									 .len = i % 2	? UINT32_MAX
										: i % 4 ? 9
											: 0,
									 .pio = i % 8 == 7};
	f->ring->first = 1;
	f->ring->last = slots;
	via_coalescer_drain(c);
	f->ring->last = UINT32_MAX;
	via_coalescer_drain(c);
	f->ring->first = slots;
	f->ring->last = 1;
	via_coalescer_drain(c);
	assert_int_equal(f->ring->first, slots);
	f->ring->first = 5;
	f->ring->last = 4;
	via_coalescer_drain(c);
	assert_int_equal(f->ring->first, 4);
	assert_int_equal(sink.n, 0);
	assert_int_equal(via_bus_remove(zone), 0);
	via_coalescer_free(c);
}

/* A device that looks at the bus while its writes are being made. */
struct looker {
	struct via_bus *bus;
	struct sink sink;
};

static int looker_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	struct looker *l = opaque;
	uint64_t ignored;

	(void)via_bus_read_value(l->bus, 0x4000, 4, &ignored);
	return sink_write(&l->sink, offset, size, value);
}

static void a_write_that_leads_back(void **state)
{
	static const struct via_bus_ops ops = {.write = looker_write};
	struct fixture *f = *state;
	struct looker looker = {.bus = f->mmio};
	struct via_claim_desc desc = {.start = 0x2000,
				      .last = 0x2fff,
				      .ops = &ops,
				      .opaque = &looker,
				      .flags = VIA_BUS_COALESCE};
	struct via_claim *zones[2];
	struct sink sink = {0};

	/* The queue is full after two: the rest is made while the ring is emptied. */
	assert_int_equal(via_coalescer_new(2, -1, &desc.coalescer), 0);
	zones[0] = add_desc(f->mmio, &desc);
	zones[1] = add_zone(f->mmio, &sink, desc.coalescer, 0x4000, 0x4fff);
	for (uint64_t i = 0; i < 20; i++)
		assert_true(kvm_write(f, i % 3 ? 0x2000 : 0x4000, 4, i));
	via_coalescer_drain(desc.coalescer);
	assert_int_equal(looker.sink.n + sink.n, 20);
	assert_int_equal(via_bus_remove(zones[0]), 0);
	assert_int_equal(via_bus_remove(zones[1]), 0);
	via_coalescer_free(desc.coalescer);
}

/* Order under changes: a guest writes, others change the bus around its zone. */
struct race {
	struct fixture *f;
	_Atomic bool done;
	uint64_t next; /* that the device expects */
	unsigned int wrong;
};

static int race_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	struct race *r = opaque;

	r->wrong += value != r->next;
	r->next = value + 1;
	return VIA_BUS_OK;
}

static void *changer(void *opaque)
{
	struct race *r = opaque;

	while (!r->done) {
		struct via_claim *event = add_event(r->f, 0x2100, 4);
		struct via_claim *other = add(r->f->mmio, &(struct dev){0}, 0x2800, 0x28ff, 1);

		(void)via_bus_remove(event);
		(void)via_bus_remove(other);
	}
	return NULL;
}

static void a_race(void **state)
{
	static const struct via_bus_ops ops = {.write = race_write};
	struct race r = {.f = *state};
	struct via_claim_desc desc = {.start = 0x2000,
				      .last = 0x2fff,
				      .ops = &ops,
				      .opaque = &r,
				      .flags = VIA_BUS_COALESCE};
	unsigned int queued = 0;
	struct via_claim *zone;
	pthread_t thread;

	assert_int_equal(via_coalescer_new(8, -1, &desc.coalescer), 0);
	zone = add_desc(r.f->mmio, &desc);
	assert_int_equal(pthread_create(&thread, NULL, changer, &r), 0);
	for (uint64_t i = 0; i < 20000; i++) {
		bool taken = kvm_write(r.f, 0x2000 + 8 * (i % 16), 8, i);

		queued += taken;
		if (!taken) {
			/* An exit. */
			via_kvm_ring_drain(r.f->kvm);
			assert_int_equal(
				via_bus_write_value(r.f->mmio, 0x2000 + 8 * (i % 16), 8, i), 0);
		}
		if (i % 1000 == 999)
			via_coalescer_drain(desc.coalescer);
	}
	r.done = true;
	(void)pthread_join(thread, NULL);
	via_coalescer_drain(desc.coalescer);
	assert_int_equal(r.wrong, 0);
	assert_int_equal(r.next, 20000);
	assert_true(queued > 100 && queued < 20000);
	assert_int_equal(via_bus_remove(zone), 0);
	via_coalescer_free(desc.coalescer);
}

static void reasons(void **state)
{
	int errors[] = {0,	-EBUSY,	 -ENOSPC, -EEXIST,	    -EINVAL,
			-E2BIG, -ENODEV, -ENOMEM, -EPROTONOSUPPORT, -EOPNOTSUPP};

	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		struct via_kvm_item item = {.error = errors[i]};

		assert_true(strlen(via_kvm_item_reason(&item)) > 8);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(removals_first, setup, teardown),
		cmocka_unit_test_setup_teardown(zones_are_cut, setup, teardown),
		cmocka_unit_test_setup_teardown(refusals, setup, teardown),
		cmocka_unit_test_setup_teardown(full_of_zones, setup, teardown),
		cmocka_unit_test_setup_teardown(no_vcpu_no_ring, setup, teardown),
		cmocka_unit_test_setup_teardown(a_bus_of_its_own, setup, teardown),
		cmocka_unit_test_setup_teardown(without_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(the_ring, setup, teardown),
		cmocka_unit_test_setup_teardown(a_queue_that_is_left, setup, teardown),
		cmocka_unit_test_setup_teardown(a_ring_that_is_no_ring, setup, teardown),
		cmocka_unit_test_setup_teardown(a_write_that_leads_back, setup, teardown),
		cmocka_unit_test_setup_teardown(a_race, setup, teardown),
		cmocka_unit_test(reasons),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
