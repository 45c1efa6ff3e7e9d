/* SPDX-License-Identifier: MIT */
/*
 * linux-vmm -k KERNEL [-i INITRD] [-a COMMAND-LINE] [-m MIB] [-c CPUS] [-d MODEL[,OPTION=...]]...
 * [-e]
 *
 * The console is standard output and input. The guest's reboot ends it. -e puts one more bus, which
 * is empty, before all others: nothing may change by that.
 */
#include "linux-vmm.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <termios.h>
#include <unistd.h>

#define PORTS_LAST 0xffffu

void die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fprintf(stderr, "linux-vmm: ");
	vfprintf(stderr, format, args);
	fprintf(stderr, "\n");
	va_end(args);
	exit(1);
}

void machine_end(struct machine *m, const char *why)
{
	pthread_mutex_lock(&m->lock);
	if (!m->ended)
		m->ended = why;
	pthread_cond_signal(&m->cond);
	pthread_mutex_unlock(&m->lock);
}

/* --- KVM's part: memory, interrupt controllers, timer ------------------------------ */

static void create_vm(struct machine *m)
{
	struct kvm_pit_config pit = {.flags = KVM_PIT_SPEAKER_DUMMY};
	uint64_t identity_map = 0xfffbc000;

	m->kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (m->kvm_fd < 0)
		die("/dev/kvm: %m");
	if (ioctl(m->kvm_fd, KVM_GET_API_VERSION, 0) != KVM_API_VERSION)
		die("/dev/kvm has another version");
	m->vm_fd = ioctl(m->kvm_fd, KVM_CREATE_VM, 0);
	if (m->vm_fd < 0)
		die("no virtual machine: %m");
	if (ioctl(m->vm_fd, KVM_SET_IDENTITY_MAP_ADDR, &identity_map) ||
	    ioctl(m->vm_fd, KVM_SET_TSS_ADDR, 0xfffbd000) ||
	    ioctl(m->vm_fd, KVM_CREATE_IRQCHIP, 0) || ioctl(m->vm_fd, KVM_CREATE_PIT2, &pit))
		die("no interrupt controllers or timer: %m");
}

/* One file for the guest, as its memory, and for devices, whose addresses are the guest's. */
static void create_ram(struct machine *m)
{
	struct kvm_userspace_memory_region slot = {.memory_size = m->ram_size};

	m->ram_fd = memfd_create("ram", MFD_CLOEXEC);
	if (m->ram_fd < 0 || ftruncate(m->ram_fd, (off_t)m->ram_size))
		die("memory: %m");
	m->ram = mmap(NULL, m->ram_size, PROT_READ | PROT_WRITE, MAP_SHARED, m->ram_fd, 0);
	if (m->ram == MAP_FAILED)
		die("memory: %m");
	slot.userspace_addr = (uintptr_t)m->ram;
	if (ioctl(m->vm_fd, KVM_SET_USER_MEMORY_REGION, &slot))
		die("KVM does not take the memory: %m");
	if (via_space_new_fd(m->ram_fd, VIA_PROT_READ | VIA_PROT_WRITE, &m->ram_space) ||
	    via_ioas_new(via_iommu_props_intel(), &m->ioas) ||
	    via_ioas_map(m->ioas, 0, m->ram_space, 0, m->ram_size, VIA_PROT_READ | VIA_PROT_WRITE))
		die("devices cannot have the memory");
}

/* --- Viaduct's part: buses, PCI, devices --------------------------------------------- */

static void on_message(void *opaque, const struct via_pci_message *message)
{
	struct machine *m = opaque;

	(void)via_kvm_msi_signal(
		m->kvm, &(struct via_kvm_msi){.address = message->address, .data = message->data});
}

static void on_intx(void *opaque, unsigned int line, bool level)
{
	struct machine *m = opaque;

	(void)via_kvm_irq_line(m->kvm, PCI_IRQ + line, level);
}

static const struct via_pci_root_ops pci_ops = {.message = on_message, .intx = on_intx};

/* Answers nothing, and what lies below shows through. */
static struct via_bus *empty_bus_above(struct via_bus *below, uint64_t last)
{
	struct via_bus_desc desc = {.name = "empty", .last = last, .below = below};
	struct via_bus *bus;

	if (via_bus_new_as(&desc, &bus))
		die("no bus");
	return bus;
}

static void create_buses(struct machine *m)
{
	struct via_pci_root_desc pci = {
		.ioas = m->ioas,
		.config_ports = true,
		.n_lines = PCI_WIRES,
		.ops = &pci_ops,
		.opaque = m,
	};
	struct via_bus_desc ports = {.name = "pio", .last = PORTS_LAST};
	struct via_error err = {0};

	if (via_bus_new("mmio", &m->mmio) || via_bus_new_as(&ports, &m->pio))
		die("no bus");
	if (m->empty_bus) {
		m->mmio_above = empty_bus_above(m->mmio, 0);
		m->pio_above = empty_bus_above(m->pio, PORTS_LAST);
	}
	if (via_kvm_new(m->vm_fd, m->mmio, m->pio_above ? m->pio_above : m->pio, &err, &m->kvm))
		die("%s", err.text);
	pci.mmio = m->mmio;
	pci.pio = m->pio;
	if (via_pci_root_new(&pci, &err, &m->pci))
		die("%s", err.text);
	serial_init(m);
	ports_init(m);
}

/* text: MODEL[,OPTION=VALUE]... */
static void add_device(struct machine *m, const char *text)
{
	size_t len = strcspn(text, ",");
	const char *options = text[len] ? text + len + 1 : NULL;
	const struct via_model *model;
	struct via_options *parsed;
	struct via_device *device;
	struct via_error err = {0};
	char name[64];

	if (m->n_devices == sizeof(m->devices) / sizeof(m->devices[0]))
		die("too many devices");
	snprintf(name, sizeof(name), "%.*s", (int)len, text);
	model = via_model_find(name);
	if (!model)
		die("there is no model '%s'", name);
	if (via_options_parse(model, options, &err, &parsed))
		die("%s", err.text);
	if (model->create(parsed, &err, &device) || via_pci_root_add(m->pci, device, NULL, &err))
		die("%s", err.text);
	via_options_free(parsed);
	m->devices[m->n_devices++] = device;
}

/* --- life ------------------------------------------------------------------------- */

static struct termios terminal_before;

static void restore_terminal(void)
{
	(void)tcsetattr(STDIN_FILENO, TCSANOW, &terminal_before);
}

/* The guest has the terminal; ^C is its own. */
static void take_terminal(void)
{
	struct termios raw;

	if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &terminal_before))
		return;
	raw = terminal_before;
	cfmakeraw(&raw);
	raw.c_oflag |= OPOST | ONLCR;
	(void)tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	atexit(restore_terminal);
}

static void tear_down(struct machine *m)
{
	vcpus_stop(m);
	via_pci_root_free(m->pci);
	for (unsigned int i = 0; i < m->n_devices; i++)
		via_device_free(m->devices[i]);
	for (unsigned int i = 0; i < m->n_cpus; i++)
		via_kvm_vcpu_free(m->vcpus[i].glue);
	via_kvm_free(m->kvm);
	via_bus_free(m->mmio_above);
	via_bus_free(m->pio_above);
	via_bus_free(m->mmio);
	via_bus_free(m->pio);
	via_ioas_put(m->ioas);
	via_space_put(m->ram_space);
}

static void log_line(void *cookie, enum via_log_level level, const char *text)
{
	fprintf(stderr, "linux-vmm: %s\n", text);
}

int main(int argc, char **argv)
{
	static struct machine m = {
		.cmdline = "console=ttyS0 reboot=pci",
		.ram_size = 256ull << 20,
		.n_cpus = 1,
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.cond = PTHREAD_COND_INITIALIZER,
	};
	const char *devices[sizeof(m.devices) / sizeof(m.devices[0])];
	unsigned int n_devices = 0;
	uint64_t entry;
	int option;

	while ((option = getopt(argc, argv, "k:i:a:m:c:d:e")) != -1) {
		switch (option) {
		case 'k':
			m.kernel = optarg;
			break;
		case 'i':
			m.initrd = optarg;
			break;
		case 'a':
			m.cmdline = optarg;
			break;
		case 'm':
			m.ram_size = strtoull(optarg, NULL, 0) << 20;
			break;
		case 'c':
			m.n_cpus = (unsigned int)strtoul(optarg, NULL, 0);
			break;
		case 'd':
			if (n_devices == sizeof(devices) / sizeof(devices[0]))
				die("too many devices");
			devices[n_devices++] = optarg;
			break;
		case 'e':
			m.empty_bus = true;
			break;
		default:
			die("see the beginning of examples/linux-vmm/main.c for how to use it");
		}
	}
	if (!m.kernel || m.ram_size < 64ull << 20 || m.ram_size > MAX_RAM || !m.n_cpus ||
	    m.n_cpus > MAX_CPUS)
		die("a kernel (-k), 64 to 3072 MiB (-m) and 1 to %u CPUs (-c)", MAX_CPUS);
	via_log_set(log_line, NULL, VIA_LOG_WARNING);

	create_vm(&m);
	create_ram(&m);
	create_buses(&m);
	for (unsigned int i = 0; i < n_devices; i++)
		add_device(&m, devices[i]);
	boot_load(&m, &entry);
	mptable_write(&m);
	vcpus_create(&m, entry);
	take_terminal();
	vcpus_start(&m);

	pthread_mutex_lock(&m.lock);
	while (!m.ended)
		pthread_cond_wait(&m.cond, &m.lock);
	pthread_mutex_unlock(&m.lock);
	tear_down(&m);
	fprintf(stderr, "linux-vmm: %s\n", m.ended);
	return strcmp(m.ended, "the guest has rebooted") != 0;
}
