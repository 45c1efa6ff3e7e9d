/* SPDX-License-Identifier: MIT */
/*
 * The run loop: what a guest does outside its memory arrives on the buses, in
 * every width, and what it reads comes back.
 */
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "vm.h"

/* Memory that answers, and remembers how it was asked. */
struct device {
	uint8_t bytes[256];
	struct {
		bool write;
		uint64_t offset;
		unsigned int size;
	} log[32];
	unsigned int n;
};

static void device_note(struct device *d, bool write, uint64_t offset, unsigned int size)
{
	if (d->n < 32) {
		d->log[d->n].write = write;
		d->log[d->n].offset = offset;
		d->log[d->n].size = size;
	}
	d->n++;
}

static int device_read(void *opaque, uint64_t offset, unsigned int size, uint64_t *ret_value)
{
	struct device *d = opaque;

	device_note(d, false, offset, size);
	*ret_value = 0;
	memcpy(ret_value, d->bytes + offset, size);
	return VIA_BUS_OK;
}

static int device_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	struct device *d = opaque;

	device_note(d, true, offset, size);
	memcpy(d->bytes + offset, &value, size);
	return VIA_BUS_OK;
}

static const struct via_bus_ops device_ops = {device_read, device_write};

/* The calls that a device saw, as "w0.1 r4.4": direction, offset, size. */
static const char *seen(const struct device *d)
{
	static char text[512];
	size_t used = 0;

	text[0] = '\0';
	for (unsigned int i = 0; i < d->n && i < 32; i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%c%llx.%u",
					 i ? " " : "", d->log[i].write ? 'w' : 'r',
					 (unsigned long long)d->log[i].offset, d->log[i].size);
	return text;
}

static void saw(const char *what, const struct device *d, const char *want)
{
	const char *got = seen(d);

	tap(!strcmp(got, want), "%s: %s%s%s", what, got, strcmp(got, want) ? ", not " : "",
	    strcmp(got, want) ? want : "");
}

#define BASE 0xd0000u

GUEST(guest_widths, "movw $0xd000, %ax\n movw %ax, %es\n"
		    "movb $0x11, %es:0x0\n movw $0x2233, %es:0x2\n movl $0x44556677, %es:0x4\n"
		    "movq 0x2100, %mm0\n movq %mm0, %es:0x8\n"
		    "movb %es:0x10, %al\n movb %al, 0x2000\n"
		    "movw %es:0x12, %ax\n movw %ax, 0x2002\n"
		    "movl %es:0x14, %eax\n movl %eax, 0x2004\n"
		    "movq %es:0x18, %mm1\n movq %mm1, 0x2008\n" GUEST_SAY(1));

static void widths(struct vm *vm)
{
	static const uint8_t want[16] = {0x11, 0, 0x33, 0x22, 0x77, 0x66, 0x55, 0x44,
					 1,    2, 3,	4,    5,    6,	  7,	8};
	struct device d = {0};
	struct via_claim *claim;

	vm_claim(vm->mmio, BASE, BASE + 0xff, &device_ops, &d, &claim);
	for (uint8_t i = 0; i < 8; i++)
		vm->ram[0x2100 + i] = i + 1;
	for (uint8_t i = 0x10; i < 0x20; i++)
		d.bytes[i] = 0xa0 | (i & 0xf);
	tap(vm_go(vm, guest_widths, guest_widths_end) == 1,
	    "a guest that accesses memory of a device");
	saw("accesses of 1, 2, 4 and 8 bytes", &d, "w0.1 w2.2 w4.4 w8.8 r10.1 r12.2 r14.4 r18.8");
	tap(!memcmp(d.bytes, want, 16), "the device has the bytes that were written");
	tap(vm->ram[0x2000] == 0xa0 && !memcmp(vm->ram + 0x2002, d.bytes + 0x12, 14),
	    "the guest has the bytes that it read");
	(void)via_bus_remove(claim);
}

GUEST(guest_edges,
      "movw $0xd000, %ax\n movw %ax, %es\n"
      "movl $0x5a5a5a5a, 0x2000\n movl %es:0x800, %eax\n movl %eax, 0x2000\n" /* nobody */
      "movl $0x01020304, %es:0x800\n"
      "movl %es:0xfe, %eax\n movl %eax, 0x2004\n" /* over the end of a device */
      "movl $0x99887766, %es:0xffe\n"		  /* over a page */
      "movl %es:0xffe, %eax\n movl %eax, 0x2008\n" GUEST_SAY(2));

static void edges(struct vm *vm)
{
	struct device low = {.bytes = {[0xfe] = 0x12, [0xff] = 0x34}}, page = {0};
	struct via_claim *claims[2];
	uint32_t got[3];

	vm_claim(vm->mmio, BASE, BASE + 0xff, &device_ops, &low, &claims[0]);
	vm_claim(vm->mmio, BASE + 0xff0, BASE + 0x100f, &device_ops, &page, &claims[1]);
	tap(vm_go(vm, guest_edges, guest_edges_end) == 2, "a guest at the edges of devices");
	memcpy(got, vm->ram + 0x2000, sizeof(got));
	tap(got[0] == UINT32_MAX, "what nobody answers reads 0x%x", got[0]);
	tap(got[1] == 0xffff3412, "4 bytes of which a device has 2 read 0x%x", got[1]);
	saw("the half access", &low, "rfe.2");
	tap(got[2] == 0x99887766, "an access over a page reads 0x%x", got[2]);
	saw("it is made in two halves", &page, "we.2 w10.2 re.2 r10.2");
	(void)via_bus_remove(claims[0]);
	(void)via_bus_remove(claims[1]);
}

GUEST(guest_ports, "movw $0x300, %dx\n movb $0x21, %al\n outb %al, %dx\n"
		   "addw $2, %dx\n movw $0x4365, %ax\n outw %ax, %dx\n"
		   "addw $2, %dx\n movl $0x87a9cbed, %eax\n outl %eax, %dx\n"
		   "movw $0x300, %dx\n inb %dx, %al\n movb %al, 0x2000\n"
		   "addw $2, %dx\n inw %dx, %ax\n movw %ax, 0x2002\n"
		   "addw $2, %dx\n inl %dx, %eax\n movl %eax, 0x2004\n"
		   "movw $0x999, %dx\n xorl %eax, %eax\n inl %dx, %eax\n movl %eax, 0x2008\n"
		   "outl %eax, %dx\n" GUEST_SAY(3));

static void ports(struct vm *vm)
{
	struct device d = {0};
	struct via_claim *claim;

	vm_claim(vm->pio, 0x300, 0x33f, &device_ops, &d, &claim);
	tap(vm_go(vm, guest_ports, guest_ports_end) == 3, "a guest that accesses ports");
	saw("ports of 1, 2 and 4 bytes", &d, "w0.1 w2.2 w4.4 r0.1 r2.2 r4.4");
	tap(vm->ram[0x2000] == 0x21 && !memcmp(vm->ram + 0x2002, d.bytes + 2, 6) &&
		    d.bytes[4] == 0xed,
	    "what was written to ports is read back");
	tap(!memcmp(vm->ram + 0x2008, "\xff\xff\xff\xff", 4), "a port that nobody has reads ones");
	(void)via_bus_remove(claim);
}

/* A port of a FIFO: writes are kept in order, reads count; at a chosen access it goes away. */
struct fifo {
	uint8_t got[8192];
	size_t n_got;
	uint32_t next;
	unsigned int n, leave_at;
	struct via_claim *claim;
};

static void fifo_count(struct fifo *f)
{
	if (++f->n == f->leave_at)
		via_bus_remove_async(f->claim, NULL, NULL);
}

static int fifo_read(void *opaque, uint64_t offset, unsigned int size, uint64_t *ret_value)
{
	struct fifo *f = opaque;

	fifo_count(f);
	*ret_value = ++f->next;
	return VIA_BUS_OK;
}

static int fifo_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	struct fifo *f = opaque;

	fifo_count(f);
	if (f->n_got + size <= sizeof(f->got))
		memcpy(f->got + f->n_got, &value, size);
	f->n_got += size;
	return VIA_BUS_OK;
}

static const struct via_bus_ops fifo_ops = {fifo_read, fifo_write};

GUEST(guest_strings, "cld\n movw $0x310, %dx\n"
		     "movw $0x4000, %si\n movw $5, %cx\n rep outsb\n"
		     "movw $0x4000, %si\n movw $3, %cx\n rep outsw\n"
		     "movw $0x4000, %si\n movw $1024, %cx\n rep outsl\n"
		     "xorw %ax, %ax\n movw %ax, %es\n"
		     "movw $0x6000, %di\n movw $5, %cx\n rep insb\n"
		     "movw $0x6010, %di\n movw $3, %cx\n rep insw\n"
		     "movw $0x6020, %di\n movw $1024, %cx\n rep insl\n"
		     "movw $0x999, %dx\n movw $0x7100, %di\n movw $3, %cx\n rep insl\n"
		     "movw $0x4000, %si\n movw $3, %cx\n rep outsl\n" GUEST_SAY(4));

static void strings(struct vm *vm)
{
	static struct fifo f;
	uint32_t words[1024];
	bool good = true;

	for (unsigned int i = 0; i < 4096; i++)
		vm->ram[0x4000 + i] = (uint8_t)(i * 7 + 1);
	f = (struct fifo){0};
	memset(vm->ram + 0x6000, 0x5a, 0x1200);
	vm_claim(vm->pio, 0x310, 0x313, &fifo_ops, &f, &f.claim);
	tap(vm_go(vm, guest_strings, guest_strings_end) == 4, "a guest that moves strings");
	tap(f.n_got == 5 + 6 + 4096 && !memcmp(f.got, vm->ram + 0x4000, 5) &&
		    !memcmp(f.got + 5, vm->ram + 0x4000, 6) &&
		    !memcmp(f.got + 11, vm->ram + 0x4000, 4096),
	    "OUTS: all bytes in order, %zu of them", f.n_got);
	memcpy(words, vm->ram + 0x6020, sizeof(words));
	for (uint32_t i = 0; i < 1024; i++)
		good = good && words[i] == i + 9;
	tap(good && !memcmp(vm->ram + 0x6000, "\1\2\3\4\5\x5a", 6) &&
		    !memcmp(vm->ram + 0x6010, "\6\0\7\0\10\0\x5a", 7),
	    "INS: all elements in order");
	tap(!memcmp(vm->ram + 0x7100, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x5a", 13),
	    "INS from a port that nobody has: ones, no more than asked for");
	(void)via_bus_remove(f.claim);
}

GUEST(guest_leaving_in, "cld\n xorw %ax, %ax\n movw %ax, %es\n movw $0x310, %dx\n"
			"movw $0x6000, %di\n movw $1024, %cx\n rep insl\n" GUEST_SAY(5));
GUEST(guest_leaving_out, "cld\n movw $0x310, %dx\n"
			 "movw $0x4000, %si\n movw $1024, %cx\n rep outsl\n" GUEST_SAY(6));

/* Case 46: the device goes away in the middle. KVM may hand the string over in several parts. */
static void leaving(struct vm *vm)
{
	static struct fifo f;
	uint32_t words[1024];
	unsigned int counted = 0, zeros = 0, ones = 0, others = 0;

	f = (struct fifo){.leave_at = 500};
	memset(vm->ram + 0x6000, 0x5a, 4096);
	vm_claim(vm->pio, 0x310, 0x313, &fifo_ops, &f, &f.claim);
	tap(vm_go(vm, guest_leaving_in, guest_leaving_in_end) == 5,
	    "a device that leaves during INS");
	memcpy(words, vm->ram + 0x6000, sizeof(words));
	for (uint32_t i = 0; i < 1024; i++) {
		counted += words[i] == i + 1;
		zeros += !words[i];
		ones += words[i] == UINT32_MAX;
		others += words[i] != i + 1 && words[i] && words[i] != UINT32_MAX;
	}
	tap(f.n == 500 && counted == 500 && !others,
	    "case 46: %u elements from the device, then %u zeros and, of other parts, %u ones",
	    counted, zeros, ones);
	f = (struct fifo){.leave_at = 500};
	vm_claim(vm->pio, 0x310, 0x313, &fifo_ops, &f, &f.claim);
	tap(vm_go(vm, guest_leaving_out, guest_leaving_out_end) == 6,
	    "a device that leaves during OUTS");
	tap(f.n == 500, "case 46: of OUTS the device saw %u elements, the rest was dropped", f.n);
}

GUEST(guest_forever, "1: jmp 1b\n");

static void on_signal(int sig)
{
}

static void *stopper(void *opaque)
{
	const void *const *arg = opaque;

	usleep(100000);
	via_kvm_vcpu_stop((struct via_kvm_vcpu *)(uintptr_t)arg[0]);
	(void)pthread_kill(*(const pthread_t *)arg[1], SIGUSR1);
	return NULL;
}

static void stops(struct vm *vm)
{
	pthread_t self = pthread_self(), thread;
	const void *arg[2] = {vm->vcpu, &self};
	uint32_t reason = 0;
	int ret;

	(void)signal(SIGUSR1, on_signal);
	vm_start(vm, guest_forever, guest_forever_end);
	via_kvm_vcpu_stop(vm->vcpu);
	ret = via_kvm_vcpu_run(vm->vcpu, &reason);
	tap(ret == -EINTR, "a stop before the run ends it at once: %s", strerror(-ret));
	tap_need(!pthread_create(&thread, NULL, stopper, arg), "a thread");
	ret = via_kvm_vcpu_run(vm->vcpu, &reason);
	tap(ret == -EINTR, "a stop by another thread: %s", strerror(-ret));
	(void)pthread_join(thread, NULL);
	tap(!via_kvm_vcpu_shared(vm->vcpu)->immediate_exit, "a stop stops once");
}

GUEST(guest_own, "movw $0xd000, %ax\n movw %ax, %es\n"
		 "movl %es:0x40, %eax\n movl %eax, 0x2000\n"
		 "movl %es:0x44, %eax\n movl %eax, 0x2004\n hlt\n");

/* A loop of one's own, which answers what the bus does not. */
static void own_loop(struct vm *vm)
{
	struct device d = {.bytes = {0x77, 0x77, 0x77, 0x77}};
	struct kvm_run *run = via_kvm_vcpu_shared(vm->vcpu);
	struct via_claim *claim;
	int rets[3] = {0};
	uint32_t got[2];
	char text[8];
	size_t len;

	vm_claim(vm->mmio, BASE + 0x40, BASE + 0x43, &device_ops, &d, &claim);
	vm_start(vm, guest_own, guest_own_end);
	for (int i = 0; i < 3; i++) {
		if (ioctl(vm->vcpu_fd, KVM_RUN, 0))
			break;
		rets[i] = via_kvm_handle_exit(vm->vcpu);
		if (rets[i] == -ENXIO && run->mmio.phys_addr == BASE + 0x44)
			memcpy(run->mmio.data, "own!", 4);
	}
	memcpy(got, vm->ram + 0x2000, sizeof(got));
	tap(rets[0] == 0 && got[0] == 0x77777777, "own loop: a device answers 0x%x (%d)", got[0],
	    rets[0]);
	tap(rets[1] == -ENXIO && !memcmp(&got[1], "own!", 4),
	    "own loop: the VMM answers the rest (%d)", rets[1]);
	tap(rets[2] == VIA_KVM_EXIT_OTHER, "own loop: the end is its own (%d)", rets[2]);
	len = via_kvm_vcpu_describe(vm->vcpu, text, sizeof(text));
	tap(len == strlen("KVM_EXIT_HLT") && !strcmp(text, "KVM_EXI"), "it is described: %s...",
	    text);
	(void)via_bus_remove(claim);
}

GUEST(guest_crash, "lidt %cs:(1f - guest_crash + 0x1000)\n int3\n 1: .word 0\n .long 0\n");

static void crash(struct vm *vm)
{
	int said = vm_go(vm, guest_crash, guest_crash_end);

	tap(said < 0 && strstr(vm->last, "KVM_EXIT_SHUTDOWN"), "a guest that crashes: %s",
	    vm->last);
}

static void refusals(struct vm *vm)
{
	struct via_kvm_vcpu *vcpu;
	struct via_error err = {0};
	struct via_kvm *kvm;
	int ret;

	ret = via_kvm_new(vm->vcpu_fd, vm->mmio, NULL, &err, &kvm);
	tap(ret == -ENOTTY, "a vCPU is no virtual machine: %s", err.text);
	err = (struct via_error){0};
	ret = via_kvm_new(vm->kvm, vm->mmio, NULL, &err, &kvm);
	tap(ret == -ENOTTY, "nor is /dev/kvm: %s", err.text);
	err = (struct via_error){0};
	tap(via_kvm_new(-1, vm->mmio, NULL, &err, &kvm) == -EBADF, "nor is nothing: %s", err.text);
	err = (struct via_error){0};
	tap(via_kvm_vcpu_new(vm->glue, vm->vcpu_fd, 16, NULL, &err, &vcpu) == -EINVAL,
	    "too little is shared: %s", err.text);
	err = (struct via_error){0};
	tap(via_kvm_vcpu_new(vm->glue, vm->kvm, 4096, NULL, &err, &vcpu) < 0,
	    "what is no vCPU cannot be mapped: %s", err.text);
}

int main(void)
{
	struct vm vm;

	vm_new(&vm, false);
	widths(&vm);
	edges(&vm);
	ports(&vm);
	strings(&vm);
	leaving(&vm);
	own_loop(&vm);
	stops(&vm);
	refusals(&vm);
	crash(&vm);
	vm_free(&vm);
	return tap_end();
}
