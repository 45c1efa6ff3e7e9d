/* SPDX-License-Identifier: MIT */
/*
 * Interrupts: messages and pins through eventfds, whose routes change while the guest runs.
 * The guest tells by a port which vector came; where none may come
 * it sees that by the next one, which does.
 */
#include <sys/eventfd.h>
#include <unistd.h>

#include "vm.h"

#define MSI_ADDRESS 0xfee00000u
#define PORT_VECTOR 0x301u
#define PORT_DEVICE 0x302u

/*
 * Vectors 0x40 to 0x47 are messages, 0x20 to 0x2f those of the PICs, which are level-triggered for
 * IRQ 10. Each handler says its vector; that of IRQ 10 serves the device before it ends the
 * interrupt. Idle is a loop, not HLT, so that nothing depends on being woken.
 */
#define HANDLER(vector) \
	"handler_" #vector ": pushw %ax\n pushw %dx\n movb $" #vector ", %al\n jmp finish_msi\n"
#define INSTALL(vector)                                                     \
	"movw $(handler_" #vector " - guest + 0x1000), (" #vector " * 4)\n" \
	"movw $0, (" #vector " * 4 + 2)\n"
GUEST(guest,
      "cli\n" INSTALL(0x40) INSTALL(0x41) INSTALL(
	      0x42) "movw $(handler_5 - guest + 0x1000), (0x25 * 4)\n movw $0, (0x25 * 4 + 2)\n"
		    "movw $(handler_10 - guest + 0x1000), (0x2a * 4)\n movw $0, (0x2a * 4 + 2)\n"
		    "movb $0x11, %al\n outb %al, $0x20\n outb %al, $0xa0\n" /* ICW1: edge, cascaded,
									       ICW4 */
		    "movb $0x20, %al\n outb %al, $0x21\n movb $0x28, %al\n outb %al, $0xa1\n"
		    "movb $4, %al\n outb %al, $0x21\n movb $2, %al\n outb %al, $0xa1\n"
		    "movb $1, %al\n outb %al, $0x21\n outb %al, $0xa1\n"
		    "movb $0xdb, %al\n outb %al, $0x21\n movb $0xfb, %al\n outb %al, $0xa1\n" /* 2,
												 5;
												 10
											       */
		    "movw $0x4d1, %dx\n movb $4, %al\n outb %al, %dx\n" /* ELCR: 10 is a level */
		    "movl $0x1ff, %fs:0xf0\n"				/* the local APIC, on */
      GUEST_SAY(1) "sti\n 1: jmp 1b\n" HANDLER(0x40) HANDLER(0x41) HANDLER(
	      0x42) "finish_msi: movl $0, %fs:0xb0\n"
		    "finish: movw $0x301, %dx\n outb %al, %dx\n popw %dx\n popw %ax\n iret\n"
		    "handler_5: pushw %ax\n pushw %dx\n movb $0x20, %al\n outb %al, $0x20\n"
		    "movb $0x25, %al\n jmp finish\n"
		    "handler_10: pushw %ax\n pushw %dx\n"
		    "movw $0x302, %dx\n outb %al, %dx\n" /* the device is served */
		    "movb $0x20, %al\n outb %al, $0xa0\n outb %al, $0x20\n" /* both PICs */
		    "movb $0x2a, %al\n jmp finish\n");

struct test {
	struct vm vm;
	int got[16], n_got, stop_at;
	int level_fd; /* the device of IRQ 10 */
	int pending;  /* how often it wants service */
	int served;
};

static int vector_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	struct test *t = opaque;

	if (t->n_got < 16)
		t->got[t->n_got] = (int)value;
	if (++t->n_got >= t->stop_at)
		via_kvm_vcpu_stop(t->vm.vcpu);
	return VIA_BUS_OK;
}

static int device_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	struct test *t = opaque;

	t->served++;
	t->pending--;
	return VIA_BUS_OK;
}

static const struct via_bus_ops vector_ops = {.write = vector_write};
static const struct via_bus_ops level_ops = {.write = device_write};

static void signal_fd(int fd)
{
	uint64_t one = 1;

	tap_need(write(fd, &one, sizeof(one)) == sizeof(one), "an eventfd: %m");
}

static bool signalled(int fd)
{
	uint64_t n;

	return read(fd, &n, sizeof(n)) == sizeof(n);
}

static int new_fd(void)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	tap_need(fd >= 0, "an eventfd: %m");
	return fd;
}

/* Run until @n more vectors have come; the first one, or the errno of the run. */
static int vectors(struct test *t, int n)
{
	uint32_t reason;
	int ret;

	t->n_got = 0;
	t->stop_at = n;
	do {
		ret = via_kvm_vcpu_run(t->vm.vcpu, &reason);
	} while (ret == -EINTR && t->n_got < n);
	return t->n_got >= n ? t->got[0] : ret;
}

static struct via_kvm_msi message(uint32_t vector)
{
	return (struct via_kvm_msi){.address = MSI_ADDRESS, .data = vector};
}

static void messages(struct test *t)
{
	struct via_kvm_route_change both[2] = {{.kind = VIA_KVM_ROUTE_MSI, .msi = message(0x40)},
					       {.kind = VIA_KVM_ROUTE_MSI, .msi = message(0x41)}};
	struct via_kvm_msi other = message(0x42), direct = message(0x41);
	struct via_kvm *kvm = t->vm.glue;
	int fds[2] = {new_fd(), new_fd()};
	int ret, got;

	ret = via_kvm_routes_commit(kvm, both, 2);
	tap(!ret && both[0].gsi == 24 && both[1].gsi == 25, "two messages are GSI %u and %u (%d)",
	    both[0].gsi, both[1].gsi, ret);
	for (int i = 0; i < 2; i++) {
		ret = via_kvm_irqfd_assign(kvm, both[i].gsi, fds[i], -1);
		tap(!ret, "an irqfd (%d)", ret);
	}
	ret = via_kvm_irqfd_assign(kvm, both[0].gsi, fds[0], -1);
	tap(ret == -EBUSY, "an eventfd raises one GSI: %s", strerror(-ret));
	signal_fd(fds[0]);
	got = vectors(t, 1);
	tap(got == 0x40, "the first message arrives as vector 0x%x", got);
	signal_fd(fds[1]);
	got = vectors(t, 1);
	tap(got == 0x41, "the second one as vector 0x%x", got);

	ret = via_kvm_msi_update(kvm, both[0].gsi, &other);
	signal_fd(fds[0]);
	got = vectors(t, 1);
	tap(!ret && got == 0x42, "changed, the first one is vector 0x%x (%d)", got, ret);
	ret = via_kvm_msi_signal(kvm, &direct);
	got = vectors(t, 1);
	tap(ret == 1 && got == 0x41, "without a route: vector 0x%x (%d)", got, ret);

	via_kvm_msi_free(kvm, both[0].gsi);
	signal_fd(fds[0]);
	signal_fd(fds[1]);
	got = vectors(t, 1);
	tap(got == 0x41, "one that was given back does not arrive, the other one does (0x%x)", got);
	ret = via_kvm_irqfd_deassign(kvm, both[0].gsi, fds[0]);
	tap(!ret, "its irqfd can be taken away (%d)", ret);
	ret = via_kvm_irqfd_deassign(kvm, both[1].gsi, fds[1]);
	signal_fd(fds[1]);
	(void)via_kvm_msi_signal(kvm, &other);
	got = vectors(t, 1);
	tap(!ret && got == 0x42, "nor does that of an irqfd that was taken away (0x%x)", got);
	via_kvm_msi_free(kvm, both[1].gsi);
	(void)close(fds[0]);
	(void)close(fds[1]);
}

static void refusals(struct test *t)
{
	struct via_kvm_route_change pin = {
		.kind = VIA_KVM_ROUTE_PIN, .gsi = 100, .irqchip = 7, .pin = 1};
	struct via_kvm_route_change mixed[2] = {{.kind = VIA_KVM_ROUTE_MSI, .msi = message(0x40)},
						{.kind = VIA_KVM_ROUTE_REMOVE, .gsi = 300}};
	struct via_kvm_msi msi = message(0x40);
	struct via_kvm *kvm = t->vm.glue;
	uint32_t gsi = 0;
	int ret;

	ret = via_kvm_routes_commit(kvm, &pin, 1);
	tap(ret == -EINVAL, "a controller that is not there: %s", strerror(-ret));
	ret = via_kvm_msi_update(kvm, 24, &msi);
	tap(ret == -ENOENT, "a change of a GSI without a route: %s", strerror(-ret));
	ret = via_kvm_msi_update(kvm, 5, &msi);
	tap(ret == -ENOENT, "a pin is no message: %s", strerror(-ret));
	ret = via_kvm_routes_commit(kvm, mixed, 2);
	tap(ret == -ENOENT, "one of two changes is refused: %s", strerror(-ret));
	ret = via_kvm_msi_alloc(kvm, &msi, &gsi);
	tap(!ret && gsi == 24, "then neither was made: GSI %u is the next (%d)", gsi, ret);
	via_kvm_msi_free(kvm, gsi);
}

static void limits(struct test *t)
{
	enum { MORE = 5000 };
	struct via_kvm_route_change *all = calloc(MORE, sizeof(*all));
	unsigned int n = 4096 - 40;
	uint32_t gsi;
	int ret;

	tap_need(all, "no memory");
	for (unsigned int i = 0; i < MORE; i++)
		all[i] = (struct via_kvm_route_change){.kind = VIA_KVM_ROUTE_MSI,
						       .msi = message(0x40)};
	ret = via_kvm_routes_commit(t->vm.glue, all, MORE);
	tap(ret == -ENOSPC, "%d messages: %s", MORE, strerror(-ret));
	ret = via_kvm_routes_commit(t->vm.glue, all, n);
	tap(!ret && all[n - 1].gsi == 24 + n - 1,
	    "%u messages beside the pins, the last is GSI %u (%d)", n, all[n - 1].gsi, ret);
	ret = via_kvm_msi_alloc(t->vm.glue, &all[0].msi, &gsi);
	tap(ret == -ENOSPC, "one more: %s", strerror(-ret));
	for (unsigned int i = 0; i < n; i++)
		all[i].kind = VIA_KVM_ROUTE_REMOVE;
	ret = via_kvm_routes_commit(t->vm.glue, all, n);
	tap(!ret, "all are given back at once (%d)", ret);
	free(all);
}

/* Pins mean what they did before the first change. */
static void pins(struct test *t)
{
	struct via_kvm *kvm = t->vm.glue;
	int fd = new_fd();
	int ret, got;

	ret = via_kvm_irq_line(kvm, 5, true);
	got = vectors(t, 1);
	tap(!ret && got == 0x25, "IRQ 5 by its line arrives as vector 0x%x (%d)", got, ret);
	ret = via_kvm_irq_line(kvm, 5, false);
	tap(!ret, "the line goes down (%d)", ret);
	ret = via_kvm_irqfd_assign(kvm, 5, fd, -1);
	signal_fd(fd);
	got = vectors(t, 1);
	tap(!ret && got == 0x25, "IRQ 5 by an eventfd arrives as vector 0x%x (%d)", got, ret);
	(void)via_kvm_irqfd_deassign(kvm, 5, fd);
	(void)close(fd);
}

static void resample(struct test *t)
{
	struct via_kvm *kvm = t->vm.glue;
	int resample_fd = new_fd();
	int ret, got;

	t->level_fd = new_fd();
	ret = via_kvm_irqfd_assign(kvm, 10, t->level_fd, resample_fd);
	tap(!ret, "an irqfd with resample (%d)", ret);
	t->pending = 2;
	signal_fd(t->level_fd);
	got = vectors(t, 1);
	tap(got == 0x2a && t->served == 1, "a level arrives as vector 0x%x, the device is served",
	    got);
	tap(signalled(resample_fd), "the guest's end of interrupt is told");
	tap(!signalled(resample_fd), "once");
	if (t->pending > 0)
		signal_fd(t->level_fd);
	got = vectors(t, 1);
	tap(got == 0x2a && t->served == 2 && !t->pending, "still pending, it comes again: 0x%x",
	    got);
	tap(signalled(resample_fd), "and its end is told");
	(void)via_kvm_irq_line(kvm, 5, true);
	got = vectors(t, 1);
	tap(got == 0x25 && t->served == 2, "served, it comes no more: the next is 0x%x", got);
	(void)via_kvm_irq_line(kvm, 5, false);
	ret = via_kvm_irqfd_deassign(kvm, 10, t->level_fd);
	tap(!ret, "it is taken away (%d)", ret);
	(void)close(t->level_fd);
	(void)close(resample_fd);
}

int main(void)
{
	static struct test t;

	vm_new(&t.vm, true);
	vm_claim(t.vm.pio, PORT_VECTOR, PORT_VECTOR, &vector_ops, &t, NULL);
	vm_claim(t.vm.pio, PORT_DEVICE, PORT_DEVICE, &level_ops, &t, NULL);
	tap(vm_go(&t.vm, guest, guest_end) == 1,
	    "a guest with interrupt controllers of the kernel's");
	messages(&t);
	refusals(&t);
	limits(&t);
	pins(&t);
	resample(&t);
	vm_free(&t.vm);
	return tap_end();
}
