/* SPDX-License-Identifier: MIT */
/*
 * Ioeventfds: the same questions to the kernel's own bus, to ours without the
 * kernel's help, and to ours with it. What the kernel says is a column beside ours; where it
 * is wrong that is said, and ours must be right.
 */
#include <stdint.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "vm.h"

#define BASE 0xd0000u
#define N_FDS 1000

/* The same stub for each width: EAX or MM0 to or from ES:BX. */
GUEST(stub_write1, "movb %al, %es:(%bx)\n" GUEST_SAY(1));
GUEST(stub_write2, "movw %ax, %es:(%bx)\n" GUEST_SAY(1));
GUEST(stub_write4, "movl %eax, %es:(%bx)\n" GUEST_SAY(1));
GUEST(stub_write8, "movq 0x2100, %mm0\n movq %mm0, %es:(%bx)\n" GUEST_SAY(1));
GUEST(stub_read4, "movl %es:(%bx), %eax\n movl %eax, 0x2000\n" GUEST_SAY(1));
GUEST(stub_out4, "movw %bx, %dx\n outl %eax, %dx\n" GUEST_SAY(1));

/* How ioeventfds come to be. */
enum kind { KERNEL, OURS, OFFLOADED };
static const char *const kind_name[] = {"kernel", "ours", "ours in the kernel"};

struct test {
	struct vm vm;
	enum kind kind;
	unsigned int n_writes, n_reads; /* that the device beneath saw */
	unsigned int n_exits;		/* for memory */
	uint64_t last_offset, last_value;
	int fds[N_FDS];
};

static int dev_read(void *opaque, uint64_t offset, unsigned int size, uint64_t *ret_value)
{
	struct test *t = opaque;

	t->n_reads++;
	*ret_value = 0x5eed0000 + offset;
	return VIA_BUS_OK;
}

static int dev_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	struct test *t = opaque;

	t->n_writes++;
	t->last_offset = offset;
	t->last_value = value;
	return VIA_BUS_OK;
}

static const struct via_bus_ops dev_ops = {.read = dev_read, .write = dev_write};

static void go(struct test *t, const uint8_t *code, const uint8_t *end, uint64_t addr,
	       uint64_t value)
{
	struct kvm_run *run = via_kvm_vcpu_shared(t->vm.vcpu);
	struct vm *vm = &t->vm;
	struct kvm_regs regs = {
		.rip = VM_ENTRY, .rsp = VM_ENTRY, .rflags = 2, .rax = value, .rbx = addr & 0xffff};

	memcpy(vm->ram + VM_ENTRY, code, (size_t)(end - code));
	memcpy(vm->ram + 0x2100, &value, 8);
	tap_need(!ioctl(vm->vcpu_fd, KVM_SET_REGS, &regs), "KVM_SET_REGS: %m");
	vm->said = -1;
	t->n_exits = 0;
	while (!ioctl(vm->vcpu_fd, KVM_RUN, 0)) {
		t->n_exits += run->exit_reason == KVM_EXIT_MMIO;
		(void)via_kvm_handle_exit(vm->vcpu);
	}
	/* The last access has stopped it. */
	tap_need(errno == EINTR && vm->said == 1, "an access: %m");
	run->immediate_exit = 0;
}

static void set_es(struct test *t, uint64_t base)
{
	struct kvm_sregs sregs;

	tap_need(!ioctl(t->vm.vcpu_fd, KVM_GET_SREGS, &sregs), "KVM_GET_SREGS: %m");
	sregs.es.base = base;
	tap_need(!ioctl(t->vm.vcpu_fd, KVM_SET_SREGS, &sregs), "KVM_SET_SREGS: %m");
}

static void guest_write(struct test *t, uint64_t addr, unsigned int len, uint64_t value)
{
	t->n_writes = t->n_reads = 0;
	switch (len) {
	case 1:
		go(t, stub_write1, stub_write1_end, addr, value);
		break;
	case 2:
		go(t, stub_write2, stub_write2_end, addr, value);
		break;
	case 4:
		go(t, stub_write4, stub_write4_end, addr, value);
		break;
	default:
		go(t, stub_write8, stub_write8_end, addr, value);
		break;
	}
}

static uint32_t guest_read(struct test *t, uint64_t addr)
{
	uint32_t value;

	t->n_writes = t->n_reads = 0;
	go(t, stub_read4, stub_read4_end, addr, 0);
	memcpy(&value, t->vm.ram + 0x2000, 4);
	return value;
}

static bool fired(const struct test *t, int i)
{
	uint64_t n;

	return read(t->fds[i], &n, sizeof(n)) == sizeof(n);
}

struct event {
	uint64_t addr;
	uint32_t len;
	int fd; /* index */
	bool match;
	uint64_t data;
	bool pio;
};

static int assign(struct test *t, const struct event *e, bool on)
{
	struct via_bus_ioeventfd ours = {
		.fd = t->fds[e->fd], .len = (uint8_t)e->len, .match = e->match, .data = e->data};
	struct kvm_ioeventfd theirs = {.addr = e->addr,
				       .len = e->len,
				       .fd = t->fds[e->fd],
				       .datamatch = e->data,
				       .flags = (e->match ? KVM_IOEVENTFD_FLAG_DATAMATCH : 0u) |
						(e->pio ? KVM_IOEVENTFD_FLAG_PIO : 0u) |
						(on ? 0u : KVM_IOEVENTFD_FLAG_DEASSIGN)};
	struct via_bus *bus = e->pio ? t->vm.pio : t->vm.mmio;

	if (t->kind == KERNEL)
		return ioctl(t->vm.fd, KVM_IOEVENTFD, &theirs) ? -errno : 0;
	return on ? via_bus_ioeventfd_assign(bus, e->addr, &ours)
		  : via_bus_ioeventfd_deassign(bus, e->addr, &ours);
}

static void add(struct test *t, const struct event *e)
{
	int ret = assign(t, e, true);

	tap_need(!ret, "%s: an ioeventfd at 0x%llx: %s", kind_name[t->kind],
		 (unsigned long long)e->addr, strerror(-ret));
}

static void del(struct test *t, const struct event *e)
{
	int ret = assign(t, e, false);

	tap_need(!ret, "%s: removal at 0x%llx: %s", kind_name[t->kind], (unsigned long long)e->addr,
		 strerror(-ret));
}

static const char *name(int ret)
{
	switch (-ret) {
	case 0:
		return "0";
	case EINVAL:
		return "EINVAL";
	case EEXIST:
		return "EEXIST";
	case ENOENT:
		return "ENOENT";
	case ENOSPC:
		return "ENOSPC";
	case EBADF:
		return "EBADF";
	default:
		return strerror(-ret);
	}
}

/* What the kernel holds by itself, and what it does not, of ours. */
static size_t in_kernel(struct test *t, size_t *ret_others)
{
	static struct via_kvm_item items[4096];
	size_t n = via_kvm_list(t->vm.glue, items, 4096), there = 0;

	for (size_t i = 0; i < n; i++)
		there += !items[i].error;
	if (ret_others)
		*ret_others = n - there;
	return there;
}

/* 57: for each length of the ioeventfd, which lengths of a write it takes. */
static void lengths(struct test *t)
{
	static const unsigned int lens[] = {1, 2, 4, 8};

	for (int i = 0; i < 4; i++) {
		struct event e = {BASE + 0x20, lens[i], 0, false, 0, false};
		char took[5] = "....";
		bool reached = true;

		add(t, &e);
		for (int k = 0; k < 4; k++) {
			guest_write(t, BASE + 0x20, lens[k], 0x1234);
			took[k] = fired(t, 0) ? 'x' : '.';
			reached = reached && (took[k] == 'x') == (t->n_writes == 0);
		}
		tap(took[i] == 'x' && memchr(took, 'x', 4) == memrchr(took, 'x', 4) && reached,
		    "57 %s: of length %u takes 1248 %s, the device has the others",
		    kind_name[t->kind], lens[i], took);
		if (t->kind == OFFLOADED)
			tap(in_kernel(t, NULL) == 1, "57: the kernel has it");
		del(t, &e);
	}
}

/* 58: any length; 64: what does not match, and reads. */
static void any_length(struct test *t)
{
	struct event e = {BASE + 0x20, 0, 0, false, 0, false};
	struct event match = {BASE + 0x20, 0, 0, true, 1, false};
	char took[5] = "....";
	uint32_t value;
	int ret;

	ret = assign(t, &match, true);
	tap(ret == -EINVAL, "58 %s: any length with data: %s", kind_name[t->kind], name(ret));
	add(t, &e);
	for (int k = 0; k < 4; k++) {
		guest_write(t, BASE + 0x20, 1u << k, 0x1234);
		took[k] = fired(t, 0) && !t->n_writes ? 'x' : '.';
	}
	tap(!strcmp(took, "xxxx"), "58 %s: of length 0 takes 1248 %s", kind_name[t->kind], took);
	guest_write(t, BASE + 0x21, 1, 0x1234);
	tap(!fired(t, 0) && t->n_writes == 1, "58 %s: not a byte further", kind_name[t->kind]);
	del(t, &e);
	e = (struct event){BASE + 0x20, 4, 0, true, 0xabcd, false};
	add(t, &e);
	guest_write(t, BASE + 0x20, 4, 0xabcc);
	tap(!fired(t, 0) && t->n_writes == 1 && t->last_value == 0xabcc,
	    "64 %s: other data reaches the device", kind_name[t->kind]);
	value = guest_read(t, BASE + 0x20);
	tap(!fired(t, 0) && t->n_reads == 1 && value == 0x5eed0020,
	    "64 %s: a read reaches the device: 0x%x", kind_name[t->kind], value);
	guest_write(t, BASE + 0x20, 4, 0xabcd);
	tap(fired(t, 0) && !t->n_writes, "64 %s: the data fires", kind_name[t->kind]);
	del(t, &e);
}

/* 59: what is none. 60: two that take the same write. 61: a removal by a field that differs. */
static void refusals(struct test *t)
{
	static const struct {
		struct event e;
		int want;
		const char *what;
	} bad[] = {
		{{BASE, 3, 0, false, 0, false}, -EINVAL, "59 %s: length 3: %s"},
		{{BASE, 16, 0, false, 0, false}, -EINVAL, "59 %s: length 16: %s"},
		{{UINT64_MAX - 2, 4, 0, false, 0, false}, -EINVAL, "59 %s: over the end: %s"},
	};
	static const struct {
		struct event a, b;
		int want;
		const char *what;
	} pairs[] = {
		{{BASE, 4, 0, false, 0, 0},
		 {BASE, 4, 1, true, 7, 0},
		 -EEXIST,
		 "60 %s: all data, then some: %s"},
		{{BASE, 4, 0, true, 7, 0},
		 {BASE, 4, 1, false, 0, 0},
		 -EEXIST,
		 "60 %s: some data, then all: %s"},
		{{BASE, 4, 0, true, 7, 0},
		 {BASE, 4, 1, true, 7, 0},
		 -EEXIST,
		 "60 %s: the same data: %s"},
		{{BASE, 4, 0, true, 7, 0}, {BASE, 4, 1, true, 8, 0}, 0, "60 %s: other data: %s"},
		{{BASE, 4, 0, false, 0, 0},
		 {BASE, 2, 1, false, 0, 0},
		 0,
		 "60 %s: another length: %s"},
		{{BASE, 4, 0, false, 0, 0},
		 {BASE, 0, 1, false, 0, 0},
		 -EEXIST,
		 "60 %s: then any length: %s"},
		{{BASE, 0, 0, false, 0, 0},
		 {BASE, 2, 1, true, 3, 0},
		 -EEXIST,
		 "60 %s: any length, then one: %s"},
		{{BASE, 4, 0, false, 0, 0},
		 {BASE + 2, 4, 1, false, 0, 0},
		 0,
		 "60 %s: overlapping: %s"},
	};
	static const struct {
		struct event e;
		const char *what;
	} others[] = {
		{{BASE + 4, 4, 0, true, 7, 0}, "61 %s: another address: %s"},
		{{BASE, 2, 0, true, 7, 0}, "61 %s: another length: %s"},
		{{BASE, 4, 1, true, 7, 0}, "61 %s: another eventfd: %s"},
		{{BASE, 4, 0, false, 7, 0}, "61 %s: without data: %s"},
		{{BASE, 4, 0, true, 8, 0}, "61 %s: other data: %s"},
		{{0x400, 4, 0, true, 7, 1}, "61 %s: a port: %s"},
	};
	struct event e = {BASE, 4, 0, true, 7, false};
	int ret;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ret = assign(t, &bad[i].e, true);
		tap(ret == bad[i].want, bad[i].what, kind_name[t->kind], name(ret));
	}
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		add(t, &pairs[i].a);
		ret = assign(t, &pairs[i].b, true);
		tap(ret == pairs[i].want, pairs[i].what, kind_name[t->kind], name(ret));
		if (!ret)
			del(t, &pairs[i].b);
		del(t, &pairs[i].a);
	}
	add(t, &e);
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		ret = assign(t, &others[i].e, false);
		tap(ret == -ENOENT, others[i].what, kind_name[t->kind], name(ret));
	}
	del(t, &e);
	ret = assign(t, &e, false);
	tap(ret == -ENOENT, "61 %s: twice: %s", kind_name[t->kind], name(ret));
}

/* 62: a doorbell for each of many queues at one address. */
static void many(struct test *t)
{
	struct event e = {BASE + 0x40, 4, 0, true, 0, false};
	bool good = true;

	for (int i = 0; i < N_FDS; i++) {
		e.fd = i;
		e.data = (uint64_t)i;
		add(t, &e);
	}
	for (int i = 0; i < N_FDS && good; i += 37) {
		guest_write(t, BASE + 0x40, 4, (uint64_t)i);
		for (int k = 0; k < N_FDS; k++)
			good = good && fired(t, k) == (k == i);
		good = good && !t->n_writes;
	}
	guest_write(t, BASE + 0x40, 4, N_FDS);
	tap(good && t->n_writes == 1, "62 %s: %d at one address, each takes its own",
	    kind_name[t->kind], N_FDS);
	if (t->kind == OFFLOADED)
		tap(in_kernel(t, NULL) == N_FDS, "62: the kernel has all of them");
	for (int i = 0; i < N_FDS; i++) {
		e.fd = i;
		e.data = (uint64_t)i;
		del(t, &e);
	}
}

/* 65: a counter that is full. */
static void saturated(struct test *t)
{
	struct event e = {BASE + 0x40, 4, 0, false, 0, false};
	uint64_t n = UINT64_MAX - 1;

	add(t, &e);
	tap_need(write(t->fds[0], &n, sizeof(n)) == sizeof(n), "an eventfd: %m");
	guest_write(t, BASE + 0x40, 4, 1);
	n = 0;
	(void)!read(t->fds[0], &n, sizeof(n));
	/* The kernel may count to where no program can, which polls as an error. */
	tap(!t->n_writes && n >= UINT64_MAX - 1 && (n == UINT64_MAX - 1 || t->kind != OURS),
	    "65 %s: nobody waits for a full counter, which is then 2^64 - %u", kind_name[t->kind],
	    (unsigned int)(UINT64_MAX - n) + 1);
	del(t, &e);
}

/* Ports, and an unaligned one. */
static void ports(struct test *t)
{
	struct event e = {0x402, 4, 0, true, 0x55aa55aa, true};

	add(t, &e);
	go(t, stub_out4, stub_out4_end, 0x402, 0x55aa55aa);
	tap(fired(t, 0), "%s: a port fires", kind_name[t->kind]);
	go(t, stub_out4, stub_out4_end, 0x402, 0x55aa55ab);
	tap(!fired(t, 0), "%s: other data of it does not", kind_name[t->kind]);
	del(t, &e);
}

static double now(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + 1e-9 * (double)ts.tv_nsec;
}

/* 66: a device with 64 doorbells moves. */
static void relocation(struct test *t)
{
	struct via_bus_change moves[64];
	struct via_claim *claims[64];
	struct event e = {BASE, 4, 0, false, 0, false};
	double t0, alternating, removals_first, ours;
	bool good = true;

	t->kind = KERNEL;
	for (int i = 0; i < 64; i++) {
		e.addr = BASE + 4u * (unsigned int)i;
		e.fd = i;
		add(t, &e);
	}
	t0 = now();
	for (int i = 0; i < 64; i++) {
		e.fd = i;
		e.addr = BASE + 4u * (unsigned int)i;
		del(t, &e);
		e.addr += 0x400;
		add(t, &e);
	}
	alternating = now() - t0;
	t0 = now();
	for (int pass = 0; pass < 2; pass++)
		for (int i = 0; i < 64; i++) {
			e.fd = i;
			e.addr = BASE + 4u * (unsigned int)i + (pass ? 0 : 0x400);
			if (pass)
				add(t, &e);
			else
				del(t, &e);
		}
	removals_first = now() - t0;
	for (int i = 0; i < 64; i++) {
		e.fd = i;
		e.addr = BASE + 4u * (unsigned int)i;
		del(t, &e);
	}
	t->kind = OFFLOADED;
	for (int i = 0; i < 64; i++) {
		struct via_bus_ioeventfd ev = {.fd = t->fds[i], .len = 4};
		struct via_claim_desc desc = {.start = BASE + 4u * (unsigned int)i,
					      .ioeventfd = &ev};

		tap_need(!via_bus_add(t->vm.mmio, &desc, &claims[i]), "a claim");
		moves[i] = (struct via_bus_change){
			.kind = VIA_BUS_MOVE, .claim = claims[i], .start = desc.start + 0x400};
	}
	t0 = now();
	tap_need(!via_bus_commit(t->vm.mmio, moves, 64), "a move");
	ours = now() - t0;
	for (int i = 0; i < 64; i += 21) {
		guest_write(t, BASE + 4u * (unsigned int)i, 4, 1);
		good = good && t->n_writes == 1 && !fired(t, i);
		guest_write(t, BASE + 0x400 + 4u * (unsigned int)i, 4, 1);
		good = good && t->n_writes == 0 && fired(t, i);
	}
	tap(good && in_kernel(t, NULL) == 64, "66: 64 ioeventfds moved, and the kernel has them");
	printf("# 66: that took %.1f ms; the kernel's own calls, removals first %.1f ms, "
	       "alternating %.1f ms\n",
	       1e3 * ours, 1e3 * removals_first, 1e3 * alternating);
	for (int i = 0; i < 64; i++)
		(void)via_bus_remove(claims[i]);
	tap(in_kernel(t, NULL) == 0, "66: then it has none");
}

/* --- Coalesced writes --- */

#define ZONE 0xd1000u

GUEST(stub_zone_order, "movl $1, %es:0x1800\n movl $2, %es:0x1804\n movl $3, %es:0x1808\n"
		       "movl %es:0x1804, %eax\n movl %eax, 0x2000\n" GUEST_SAY(1));
GUEST(stub_zone_many,
      "movw $400, %cx\n 1: movl %eax, %es:0x1800\n incl %eax\n loop 1b\n" GUEST_SAY(1));

/* A device that remembers writes in order, and when it was read. */
struct queue {
	uint64_t offsets[512], values[512];
	unsigned int n, n_at_read;
};

static int queue_read(void *opaque, uint64_t offset, unsigned int size, uint64_t *ret_value)
{
	struct queue *q = opaque;

	q->n_at_read = q->n;
	*ret_value = 0;
	return VIA_BUS_OK;
}

static int queue_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	struct queue *q = opaque;

	if (q->n < 512) {
		q->offsets[q->n] = offset;
		q->values[q->n] = value;
	}
	q->n++;
	return VIA_BUS_OK;
}

static const struct via_bus_ops queue_ops = {queue_read, queue_write};

/* 63: an ioeventfd in a coalesced zone. What the kernel makes of it is said, not judged. */
static void zone_kernel(struct test *t)
{
	struct kvm_coalesced_mmio_zone zone = {.addr = ZONE, .size = 0x1000};
	struct event e = {ZONE + 0x10, 4, 0, false, 0, false};
	unsigned int alone, beside, inside;
	bool fires;

	t->kind = KERNEL;
	tap_need(!ioctl(t->vm.fd, KVM_REGISTER_COALESCED_MMIO, &zone), "a zone: %m");
	guest_write(t, ZONE + 0x800, 4, 1);
	alone = t->n_exits;
	add(t, &e);
	guest_write(t, ZONE + 0x800, 4, 1);
	beside = t->n_exits;
	guest_write(t, ZONE + 0x10, 4, 1);
	inside = t->n_exits;
	fires = fired(t, 0);
	del(t, &e);
	tap_need(!ioctl(t->vm.fd, KVM_UNREGISTER_COALESCED_MMIO, &zone), "a zone: %m");
	tap(!alone, "63 kernel: a write to a zone is queued");
	printf("# 63 kernel: with an ioeventfd in the zone, a write elsewhere in it %s; at the "
	       "ioeventfd it "
	       "%s\n",
	       beside ? "exits" : "is queued",
	       fires	? "fires"
	       : inside ? "exits"
			: "is queued");
}

static struct via_claim *zone_claim(struct test *t, struct queue *q, struct via_coalescer *c,
				    uint64_t start, uint64_t len)
{
	struct via_claim_desc desc = {.start = start,
				      .last = start + len - 1,
				      .ops = &queue_ops,
				      .opaque = q,
				      .name = "queue",
				      .flags = VIA_BUS_COALESCE,
				      .coalescer = c};
	struct via_claim *claim;

	tap_need(!via_bus_add(t->vm.mmio, &desc, &claim), "a coalesced claim");
	return claim;
}

static void zone_ours(struct test *t)
{
	struct event e = {ZONE + 0x10, 4, 0, false, 0, false};
	static const unsigned int around[] = {0x0c, 0x14, 0x800};
	static struct queue q;
	struct via_coalescer *c;
	struct via_claim *claim;
	unsigned int exits = 0;
	bool good = true;

	q = (struct queue){0};
	tap_need(!via_coalescer_new(64, -1, &c), "a coalescer");
	claim = zone_claim(t, &q, c, ZONE, 0x1000);
	add(t, &e);
	if (t->kind == OFFLOADED)
		tap(in_kernel(t, NULL) == 3,
		    "63: the kernel has two zones and what is between them");
	for (int i = 0; i < 3; i++) {
		guest_write(t, ZONE + around[i], 4, 0x100u + (unsigned int)i);
		exits += t->n_exits;
	}
	tap(!fired(t, 0) && exits == (t->kind == OFFLOADED ? 0 : 3),
	    "63 %s: writes around an ioeventfd in a zone: %u exits", kind_name[t->kind], exits);
	tap(!q.n, "63 %s: they are queued", kind_name[t->kind]);
	guest_write(t, ZONE + 0x10, 4, 1);
	tap(fired(t, 0) && t->n_exits == (t->kind == OFFLOADED ? 0 : 1),
	    "63 %s: the ioeventfd in the zone fires", kind_name[t->kind]);
	via_coalescer_drain(c);
	for (unsigned int i = 0; i < 3; i++)
		good = good && q.offsets[i] == around[i] && q.values[i] == 0x100 + i;
	tap(good && q.n == 3, "63 %s: the device gets the others in order", kind_name[t->kind]);
	guest_write(t, ZONE + 0x10, 2, 1);
	via_coalescer_drain(c);
	tap(!fired(t, 0) && q.n == 4, "63 %s: at its address another length is the device's",
	    kind_name[t->kind]);
	del(t, &e);

	q = (struct queue){0};
	go(t, stub_zone_order, stub_zone_order_end, 0, 0);
	tap(q.n == 3 && q.n_at_read == 3 && q.values[2] == 3,
	    "68 %s: three writes, then a read: it sees them (%u exits)", kind_name[t->kind],
	    t->n_exits);

	q = (struct queue){0};
	go(t, stub_zone_many, stub_zone_many_end, 0, 0x1000);
	via_coalescer_drain(c);
	for (unsigned int i = 0; i < 400; i++)
		good = good && q.values[i] == 0x1000 + i;
	tap(good && q.n == 400,
	    "69 %s: 400 writes in order, through queues of 170 and of 64 (%u exits)",
	    kind_name[t->kind], t->n_exits);

	q = (struct queue){0};
	guest_write(t, ZONE + 4, 4, 7);
	tap_need(!via_bus_remove(claim), "a removal");
	tap(q.n == 1 && q.values[0] == 7, "70 %s: what is queued is made by the removal",
	    kind_name[t->kind]);
	guest_write(t, ZONE + 4, 4, 7);
	tap(q.n == 1 && t->n_exits == 1, "70 %s: then nothing comes any more", kind_name[t->kind]);
	via_coalescer_free(c);
}

/* A queue that has been written to in the kernel's ring, when the VMM itself accesses the device.
 */
static void zone_peer(struct test *t)
{
	static struct queue q;
	struct kvm_regs regs = {
		.rip = VM_ENTRY, .rsp = VM_ENTRY, .rflags = 2, .rax = 0x77, .rbx = ZONE & 0xffff};
	struct via_coalescer *c;
	struct via_claim *claim, *other;
	uint64_t value;

	t->kind = OFFLOADED;
	q = (struct queue){0};
	tap_need(!via_coalescer_new(64, -1, &c), "a coalescer");
	claim = zone_claim(t, &q, c, ZONE, 0x1000);
	/* The guest's exit that follows is not handled: the write stays in the ring. */
	memcpy(t->vm.ram + VM_ENTRY, stub_write4, (size_t)(stub_write4_end - stub_write4));
	tap_need(!ioctl(t->vm.vcpu_fd, KVM_SET_REGS, &regs) && !ioctl(t->vm.vcpu_fd, KVM_RUN, 0),
		 "a run");
	tap(!q.n && !via_bus_read_value(t->vm.mmio, ZONE + 8, 4, &value) && q.n_at_read == 1,
	    "the ring of the kernel is empty before another thread's access");
	tap_need(!ioctl(t->vm.vcpu_fd, KVM_SET_REGS, &regs) && !ioctl(t->vm.vcpu_fd, KVM_RUN, 0),
		 "a run");
	tap(q.n == 1, "a write stays in the ring until somebody looks");
	vm_claim(t->vm.mmio, 0xe0000, 0xe0fff, &queue_ops, &q, &other);
	via_coalescer_drain(c);
	tap(q.n == 2, "a change of the bus, or of what is queued, empties it");
	(void)via_bus_remove(other);
	tap_need(!ioctl(t->vm.vcpu_fd, KVM_SET_REGS, &regs) && !ioctl(t->vm.vcpu_fd, KVM_RUN, 0),
		 "a run");
	(void)via_bus_remove(claim);
	tap(q.n == 3, "and so does the removal of the claim itself");
	via_coalescer_free(c);
	go(t, stub_read4, stub_read4_end, BASE, 0);
}

/* 67: the kernel is full; what it does not take happens here. */
static void limits(struct test *t)
{
	enum { ZONES = 1100 };
	struct kvm_coalesced_mmio_zone zone = {.addr = 0x10000000, .size = 8};
	struct via_bus_ioeventfd ev = {.fd = t->fds[0], .len = 4};
	static struct via_claim *claims[ZONES];
	struct event e = {BASE + 0x10, 4, 0, false, 0, false};
	struct via_kvm_item item;
	static struct queue q;
	struct via_coalescer *c;
	size_t n = 0, n_items, there, others;

	t->kind = OFFLOADED;
	while (!ioctl(t->vm.fd, KVM_REGISTER_COALESCED_MMIO, &zone)) {
		zone.addr += 16;
		n++;
	}
	add(t, &e);
	n_items = via_kvm_list(t->vm.glue, &item, 1);
	tap(n_items == 1 && item.error == -ENOSPC && item.addr == e.addr,
	    "67: after %zu zones of somebody else's: %s", n, via_kvm_item_reason(&item));
	guest_write(t, e.addr, 4, 1);
	tap(fired(t, 0) && !t->n_writes && t->n_exits == 1,
	    "67: it fires all the same, after an exit");
	for (; n; n--) {
		zone.addr -= 16;
		tap_need(!ioctl(t->vm.fd, KVM_UNREGISTER_COALESCED_MMIO, &zone), "a zone: %m");
	}
	tap_need(!via_bus_ioeventfd_assign(t->vm.mmio, BASE + 0x18, &ev), "an ioeventfd");
	tap(in_kernel(t, NULL) == 2, "67: with room again the next change gives it to the kernel");
	guest_write(t, e.addr, 4, 1);
	tap(fired(t, 0) && !t->n_exits, "67: it fires without an exit");
	(void)via_bus_ioeventfd_deassign(t->vm.mmio, BASE + 0x18, &ev);
	del(t, &e);

	tap_need(!via_coalescer_new(64, -1, &c), "a coalescer");
	for (unsigned int i = 0; i < ZONES; i++)
		claims[i] = zone_claim(t, &q, c, 0x10000000 + 0x1000 * i, 8);
	there = in_kernel(t, &others);
	tap(there + others == ZONES && others >= 100, "67: of %d zones of ours the kernel has %zu",
	    ZONES, there);
	add(t, &e);
	tap(in_kernel(t, NULL) == there + 1, "67: and an ioeventfd beside them");
	del(t, &e);
	for (unsigned int i = 0; i < ZONES; i++)
		(void)via_bus_remove(claims[i]);
	tap(in_kernel(t, &others) == 0 && !others, "67: then it has none");
	via_coalescer_free(c);
}

/* What a vCPU has of its own is not given to the kernel, which knows no such thing. */
static void eclipse(struct test *t)
{
	struct via_bus_desc above = {.name = "vCPU", .below = t->vm.mmio};
	struct event e = {BASE + 0x20, 4, 0, false, 0, false};
	struct via_bus_change move = {.kind = VIA_BUS_MOVE, .start = BASE + 0x100};
	struct via_kvm_vcpu *vcpu;
	struct via_claim *claim;
	struct via_kvm_item item;
	struct via_bus *bus;
	size_t n_items;
	int fd;

	t->kind = OFFLOADED;
	add(t, &e);
	tap(in_kernel(t, NULL) == 1, "an ioeventfd is the kernel's");
	tap_need(!via_bus_new_as(&above, &bus), "a bus");
	vm_claim(bus, BASE, BASE + 0xff, &dev_ops, t, &claim);
	fd = ioctl(t->vm.fd, KVM_CREATE_VCPU, 1);
	tap_need(fd >= 0, "KVM_CREATE_VCPU: %m");
	tap_need(!via_kvm_vcpu_new(t->vm.glue, fd, (size_t)t->vm.shared_size, bus, NULL, &vcpu),
		 "a vCPU");
	n_items = via_kvm_list(t->vm.glue, &item, 1);
	tap(n_items == 1 && item.error == -EBUSY, "until another vCPU comes: %s",
	    via_kvm_item_reason(&item));
	guest_write(t, e.addr, 4, 1);
	tap(fired(t, 0) && t->n_exits == 1, "this one's write fires after an exit");
	tap(!via_bus_write_value(bus, e.addr, 4, 1) && !fired(t, 0) && t->n_writes == 1,
	    "the other one's would reach its own device");
	move.claim = claim;
	tap_need(!via_bus_commit(bus, &move, 1), "a move");
	tap(in_kernel(t, NULL) == 1, "when that moves away, the kernel has it again");
	move.start = BASE + 0x23;
	tap_need(!via_bus_commit(bus, &move, 1), "a move");
	tap(in_kernel(t, NULL) == 0, "when it comes over one of its bytes, not");
	via_kvm_vcpu_free(vcpu);
	tap(in_kernel(t, NULL) == 1, "without that vCPU it has");
	via_bus_free(bus);
	(void)close(fd);
	del(t, &e);
}

static void on_and_off(struct test *t)
{
	struct event e = {BASE + 0x20, 4, 0, false, 0, false};

	t->kind = OFFLOADED;
	add(t, &e);
	via_kvm_offload(t->vm.glue, false);
	tap(via_kvm_list(t->vm.glue, NULL, 0) == 0, "without offload nothing is listed");
	guest_write(t, e.addr, 4, 1);
	tap(fired(t, 0) && t->n_exits == 1, "and all happens here");
	via_kvm_offload(t->vm.glue, true);
	guest_write(t, e.addr, 4, 1);
	tap(fired(t, 0) && t->n_exits == 0, "with it the kernel has what there was");
	del(t, &e);
}

int main(void)
{
	static struct test t;

	vm_new(&t.vm, false);
	for (int i = 0; i < N_FDS; i++) {
		t.fds[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		tap_need(t.fds[i] >= 0, "an eventfd: %m");
	}
	vm_start(&t.vm, stub_read4, stub_read4_end);
	set_es(&t, BASE);
	vm_claim(t.vm.mmio, BASE, BASE + 0xfff, &dev_ops, &t, NULL);
	for (t.kind = KERNEL; t.kind <= OFFLOADED; t.kind++) {
		if (t.kind == OFFLOADED)
			via_kvm_offload(t.vm.glue, true);
		lengths(&t);
		any_length(&t);
		refusals(&t);
		many(&t);
		saturated(&t);
		ports(&t);
		if (t.kind != KERNEL)
			zone_ours(&t);
	}
	zone_kernel(&t);
	zone_peer(&t);
	relocation(&t);
	limits(&t);
	eclipse(&t);
	on_and_off(&t);
	vm_free(&t.vm);
	return tap_end();
}
