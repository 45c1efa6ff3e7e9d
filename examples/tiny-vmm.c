/* SPDX-License-Identifier: MIT */
/*
 * A whole virtual machine monitor: two processors, a console, a PCI host bridge
 * and the device model `edu`, on KVM.
 *
 * KVM runs the guest. What the guest does outside its memory goes to a bus, and
 * whatever shall answer claims its addresses there:
 *
 *   I/O ports       0x0e9      console: what the guest prints
 *                   0xcf8-cff  config space of the PCI host bridge (the library's)
 *   machine's bus   0x50000000 a device that says it is the machine's
 *                   anywhere   edu's registers (the library's), where the guest puts them
 *   each vCPU's bus 0x50000000 a page of its own, like a local APIC: it eclipses what the
 *                              machine has there for this vCPU alone, and a register moves it
 *
 * The guest (tiny-vmm-guest.S) tries all that and leaves its findings in
 * memory, where they are compared with what they should be.
 *
 *   cc tiny-vmm.c tiny-vmm-guest.S $(pkg-config --cflags --libs viaduct)
 */
#include <viaduct/viaduct.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define RAM_SIZE ((uint64_t)2 << 20)
#define GUEST_ENTRY 0x1000u /* the same in the guest's source */
#define FINDINGS 0x8000u    /* 256 bytes of them for each vCPU */
#define MESSAGE 0x9000u
#define ANSWER 0xa000u
#define PAGE_TABLES 0x10000u
#define PAGE_ADDRESS 0x50000000u
#define N_VCPUS 2

#define MACHINE_ID 0x4843414du /* "MACH" */
#define VCPU_ID 0x55504330u    /* "0CPU", "1CPU" */

static const char text[32] = "DMA to the device, and back.";
extern const uint8_t tiny_vmm_guest[];
extern const uint32_t tiny_vmm_guest_size;

struct vcpu {
	uint32_t index;
	int fd;
	struct via_bus *bus;
	struct via_claim *page;
	struct via_kvm_vcpu *kvm;
	bool done;
	char end[160]; /* how it ended, if not as it should */
};

struct machine {
	int dev_kvm, fd, shared_size;
	uint8_t *ram;
	struct via_bus *mmio, *pio;
	struct via_ioas *ioas;
	struct via_kvm *kvm;
	struct via_pci_root *root;
	struct via_device *edu;
	int msi_fd; /* signalled: KVM sends the message of msi_gsi */
	uint32_t msi_gsi;
	struct vcpu vcpus[N_VCPUS];
};

static void check(int ret, const char *what, const struct via_error *err)
{
	if (ret >= 0)
		return;
	fprintf(stderr, "tiny-vmm: %s: %s\n", what, err && err->code ? err->text : strerror(-ret));
	exit(1);
}

/* ioctl(2) that has to succeed. */
static int kvm_call(int fd, unsigned long request, void *arg, const char *what)
{
	int ret = ioctl(fd, request, arg);

	check(ret < 0 ? -errno : ret, what, NULL);
	return ret;
}

/* --- Devices of our own: callbacks, and a claim of addresses for them. --- */

static void claim(struct via_bus *bus, const char *name, uint64_t start, uint64_t len,
		  const struct via_bus_ops *ops, void *opaque, struct via_claim **ret_claim)
{
	struct via_claim_desc desc = {.name = name,
				      .start = start,
				      .last = start + len - 1,
				      .ops = ops,
				      .opaque = opaque};

	check(via_bus_add(bus, &desc, ret_claim), name, NULL);
}

static int console_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	putchar((int)value);
	return VIA_BUS_OK;
}

static const struct via_bus_ops console_ops = {.write = console_write};

static int machine_page_read(void *opaque, uint64_t offset, unsigned int size, uint64_t *ret_value)
{
	*ret_value = MACHINE_ID;
	return VIA_BUS_OK;
}

static const struct via_bus_ops machine_page_ops = {.read = machine_page_read};

/* Registers of a vCPU's own page: 0 who, 4 where the page is, 8 end of the work. */
static int page_read(void *opaque, uint64_t offset, unsigned int size, uint64_t *ret_value)
{
	const struct vcpu *vcpu = opaque;

	*ret_value = VCPU_ID + vcpu->index;
	return VIA_BUS_OK;
}

static int page_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	struct vcpu *vcpu = opaque;

	if (offset == 4) { /* it moves itself, in the middle of an access to it */
		struct via_bus_change move = {
			.kind = VIA_BUS_MOVE, .claim = vcpu->page, .start = value};

		(void)via_bus_commit(vcpu->bus, &move, 1);
	} else if (offset == 8) {
		vcpu->done = value;
		via_kvm_vcpu_stop(vcpu->kvm);
	}
	return VIA_BUS_OK;
}

static const struct via_bus_ops page_ops = {.read = page_read, .write = page_write};

/* --- The machine --- */

/* Where a processor in long mode finds the first 4 GiB: at their own addresses, in pages of 2 MiB.
 */
static void page_tables_new(uint8_t *ram)
{
	uint64_t *level4 = (uint64_t *)(void *)(ram + PAGE_TABLES);
	uint64_t *level3 = level4 + 512, *level2 = level3 + 512;

	level4[0] = (PAGE_TABLES + 0x1000) | 3;
	for (uint64_t i = 0; i < 4; i++)
		level3[i] = (PAGE_TABLES + 0x2000 + 0x1000 * i) | 3;
	for (uint64_t i = 0; i < 4 * 512; i++)
		level2[i] = i << 21 | 0x83;
}

/* The guest's memory, which its processors and its devices see at the same addresses. */
static void memory_new(struct machine *m)
{
	struct kvm_userspace_memory_region slot = {.memory_size = RAM_SIZE};
	int fd = memfd_create("guest", MFD_CLOEXEC);
	struct via_space *space;

	check(fd < 0 || ftruncate(fd, (off_t)RAM_SIZE) ? -errno : 0, "memory", NULL);
	m->ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	check(m->ram == MAP_FAILED ? -errno : 0, "memory", NULL);
	slot.userspace_addr = (uintptr_t)m->ram;
	kvm_call(m->fd, KVM_SET_USER_MEMORY_REGION, &slot, "memory slot");

	check(via_ioas_new(via_iommu_props_intel(), &m->ioas), "I/O address space", NULL);
	check(via_space_new_fd(fd, VIA_PROT_READ | VIA_PROT_WRITE, &space), "memory", NULL);
	check(via_ioas_map(m->ioas, 0, space, 0, RAM_SIZE, VIA_PROT_READ | VIA_PROT_WRITE),
	      "memory for devices", NULL);
	via_space_put(space);
	(void)close(fd);

	memcpy(m->ram + GUEST_ENTRY, tiny_vmm_guest, tiny_vmm_guest_size);
	memcpy(m->ram + MESSAGE, text, sizeof(text));
	page_tables_new(m->ram);
}

/* A device's interrupt: its message becomes the route of an eventfd that KVM listens to. */
static void deliver(void *opaque, const struct via_pci_message *message)
{
	const struct via_kvm_msi msi = {.address = message->address, .data = message->data};
	struct machine *m = opaque;

	if (!via_kvm_msi_update(m->kvm, m->msi_gsi, &msi))
		(void)eventfd_write(m->msi_fd, 1);
}

static const struct via_pci_root_ops interrupt_ops = {.message = deliver};

static void pci_new(struct machine *m)
{
	const struct via_pci_root_desc desc = {.mmio = m->mmio,
					       .pio = m->pio,
					       .ioas = m->ioas,
					       .config_ports = true,
					       .ops = &interrupt_ops,
					       .opaque = m};
	const struct via_kvm_msi none = {0};
	const struct via_model *model = via_model_find("edu");
	struct via_error err = {0};
	struct via_options *opts;

	m->msi_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	check(via_kvm_msi_alloc(m->kvm, &none, &m->msi_gsi), "interrupt", NULL);
	check(via_kvm_irqfd_assign(m->kvm, m->msi_gsi, m->msi_fd, -1), "interrupt", NULL);

	check(via_options_parse(model, "", &err, &opts), "edu", &err);
	check(model->create(opts, &err, &m->edu), "edu", &err);
	via_options_free(opts);
	check(via_pci_root_new(&desc, &err, &m->root), "PCI", &err);
	check(via_pci_root_add(m->root, m->edu, NULL, &err), "PCI", &err);
}

static void machine_new(struct machine *m)
{
	const struct via_bus_desc ports = {.name = "I/O ports", .last = 0xffff};
	struct via_claim *ignored;
	struct via_error err = {0};

	m->fd = kvm_call(m->dev_kvm, KVM_CREATE_VM, NULL, "virtual machine");
	m->shared_size = kvm_call(m->dev_kvm, KVM_GET_VCPU_MMAP_SIZE, NULL, "vCPU");
	(void)ioctl(m->fd, KVM_SET_TSS_ADDR, 0xfffbd000); /* three pages that Intel's needs */
	kvm_call(m->fd, KVM_CREATE_IRQCHIP, NULL, "interrupt controllers");

	check(via_bus_new("machine", &m->mmio), "bus", NULL);
	check(via_bus_new_as(&ports, &m->pio), "bus", NULL);
	check(via_kvm_new(m->fd, m->mmio, m->pio, &err, &m->kvm), "KVM", &err);
	claim(m->pio, "console", 0xe9, 1, &console_ops, NULL, &ignored);
	claim(m->mmio, "machine's page", PAGE_ADDRESS, 0x1000, &machine_page_ops, NULL, &ignored);
	memory_new(m);
	pci_new(m);
}

/* In long mode, as a boot loader would leave it. */
static void vcpu_reset(struct vcpu *vcpu)
{
	struct kvm_regs regs = {.rip = GUEST_ENTRY,
				.rsp = GUEST_ENTRY,
				.rflags = 2,
				.rbx = vcpu->index,
				.rdi = FINDINGS + 256 * vcpu->index};
	struct kvm_segment flat = {.limit = UINT32_MAX,
				   .selector = 16,
				   .type = 3,
				   .present = 1,
				   .db = 1,
				   .s = 1,
				   .g = 1};
	struct kvm_mp_state runnable = {.mp_state = KVM_MP_STATE_RUNNABLE};
	struct kvm_sregs sregs;

	kvm_call(vcpu->fd, KVM_GET_SREGS, &sregs, "vCPU");
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = flat;
	sregs.cs = flat;
	sregs.cs.selector = 8;
	sregs.cs.type = 11;
	sregs.cs.db = 0;
	sregs.cs.l = 1;
	sregs.cr3 = PAGE_TABLES;
	sregs.cr4 |= 1 << 5;		/* PAE */
	sregs.efer |= 1 << 8 | 1 << 10; /* long mode, active */
	sregs.cr0 |= 1u << 31 | 1;	/* paging, protection */
	kvm_call(vcpu->fd, KVM_SET_SREGS, &sregs, "vCPU");
	kvm_call(vcpu->fd, KVM_SET_REGS, &regs, "vCPU");
	kvm_call(vcpu->fd, KVM_SET_MP_STATE, &runnable, "vCPU"); /* it needs nobody to start it */
}

static void vcpu_new(struct machine *m, uint32_t index)
{
	const struct via_bus_desc above = {.name = "vCPU", .below = m->mmio};
	struct vcpu *vcpu = &m->vcpus[index];
	struct via_error err = {0};

	*vcpu = (struct vcpu){.index = index};
	vcpu->fd = kvm_call(m->fd, KVM_CREATE_VCPU, (void *)(uintptr_t)index, "vCPU");
	check(via_bus_new_as(&above, &vcpu->bus), "bus", NULL);
	claim(vcpu->bus, "vCPU's page", PAGE_ADDRESS, 0x1000, &page_ops, vcpu, &vcpu->page);
	check(via_kvm_vcpu_new(m->kvm, vcpu->fd, (size_t)m->shared_size, vcpu->bus, &err,
			       &vcpu->kvm),
	      "vCPU", &err);
	vcpu_reset(vcpu);
}

static void *vcpu_run(void *opaque)
{
	struct vcpu *vcpu = opaque;
	uint32_t reason;
	int ret;

	do {
		ret = via_kvm_vcpu_run(vcpu->kvm, &reason);
	} while (ret == -EINTR && !vcpu->done);
	if (!vcpu->done)
		(void)via_kvm_vcpu_describe(vcpu->kvm, vcpu->end, sizeof(vcpu->end));
	return NULL;
}

static void machine_run(struct machine *m)
{
	pthread_t threads[N_VCPUS];

	for (unsigned int i = 0; i < N_VCPUS; i++)
		check(-pthread_create(&threads[i], NULL, vcpu_run, &m->vcpus[i]), "thread", NULL);
	for (unsigned int i = 0; i < N_VCPUS; i++)
		(void)pthread_join(threads[i], NULL);
}

static void machine_free(struct machine *m)
{
	via_pci_root_free(m->root);
	via_device_free(m->edu);
	for (unsigned int i = 0; i < N_VCPUS; i++) {
		via_kvm_vcpu_free(m->vcpus[i].kvm);
		via_bus_free(m->vcpus[i].bus);
		(void)close(m->vcpus[i].fd);
	}
	via_kvm_free(m->kvm);
	via_bus_free(m->mmio);
	via_bus_free(m->pio);
	via_ioas_put(m->ioas);
	(void)munmap(m->ram, RAM_SIZE);
	(void)close(m->msi_fd);
	(void)close(m->fd);
	(void)close(m->dev_kvm);
}

/* --- What the guest found, in its order --- */

struct finding {
	const char *what;
	uint32_t expected;
};

static const struct finding findings[N_VCPUS][16] = {
	{
		{"vCPU 0 finds its own page", VCPU_ID},
		{"when that has moved, the machine's is there", MACHINE_ID},
		{"and its own at the new place", VCPU_ID},
		{"edu is PCI device", 1},
		{"the size of its registers", 1 << 20},
		{"its identification", 0x010000ed},
		{"its inverter of 0x12345678", ~0x12345678u},
		{"an interrupt: factorial done", 0x001},
		{"10!", 3628800},
		{"an interrupt: DMA done, from memory", 0x100},
		{"an interrupt: DMA done, to memory", 0x100},
		{"interrupts in all", 3},
		{NULL, 0},
	},
	{
		{"vCPU 1 finds its own page", VCPU_ID + 1},
		{"when that has moved, the machine's is there", MACHINE_ID},
		{"and its own at the new place", VCPU_ID + 1},
		{NULL, 0},
	},
};

static bool report(const struct machine *m)
{
	const char *answer = (const char *)m->ram + ANSWER;
	bool good = true, same;

	for (unsigned int i = 0; i < N_VCPUS; i++) {
		const uint8_t *found = m->ram + FINDINGS + 256 * i;

		for (const struct finding *f = findings[i]; f->what; f++, found += 4) {
			same = via_get_le32(found) == f->expected;
			printf("%-3s %-46s 0x%08x%s\n", same ? "ok" : "NOT", f->what,
			       via_get_le32(found), same ? "" : ", which is wrong");
			good = good && same;
		}
		if (!m->vcpus[i].done)
			printf("NOT vCPU %u ended with %s\n", i, m->vcpus[i].end);
		good = good && m->vcpus[i].done;
	}
	same = !memcmp(answer, text, sizeof(text));
	printf("%-3s %-46s %.*s\n", same ? "ok" : "NOT", "the message is back in memory",
	       (int)sizeof(text), answer);
	return good && same;
}

int main(void)
{
	struct machine m = {0};
	bool good;

	m.dev_kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (m.dev_kvm < 0) {
		fprintf(stderr, "tiny-vmm: /dev/kvm: %s\n", strerror(errno));
		return 77; /* what test harnesses take for "not here" */
	}
	machine_new(&m);
	for (uint32_t i = 0; i < N_VCPUS; i++)
		vcpu_new(&m, i);
	machine_run(&m);
	good = report(&m);
	machine_free(&m);
	return good ? 0 : 1;
}
