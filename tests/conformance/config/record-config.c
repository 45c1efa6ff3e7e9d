/* SPDX-License-Identifier: MIT */
/*
 * Record one PCI function as a kernel's vfio-pci shows it: resources, the
 * device's registers, the view, and what a script of reads and writes does.
 * Static, runs as root where the function is; binds it to vfio-pci itself.
 *
 * usage: record-config ADDRESS SEED OPERATIONS [RAISE]
 *
 * ADDRESS is DDDD:BB:DD.F, or DDDD:BB:DD.F/vf for the first virtual function
 * of that one. RAISE is the offset of a byte of the device, writes to which
 * raise status bits: in all registers those at which the byte has ones. The format is that of src/models/image/recording.h; after it
 * come "raise OFFSET" if told so, "vpd BYTES", "lost OFFSET BYTES", bits that a reset of the function sets back to what
 * they were when it was opened, "seed N", and one line for each operation, in order:
 *
 *	op rLENGTH OFFSET = BYTES	a read of config space
 *	op wLENGTH OFFSET BYTES		a write
 *	op iINDEX COUNT			eventfds for so many vectors, 0: disarm
 *	op x				VFIO_DEVICE_RESET
 *
 * Length, index and count in decimal, the rest in hexadecimal, BYTES as they
 * lie in memory. What did not succeed in full ends in "= ERRNO" or "= RESULT".
 */
#include "record.h"

#include "pci/regs.h"

#include <viaduct/abi/vfio.h>

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/utsname.h>
#include <unistd.h>

#define TOKEN "8c5bbd2c-7a5e-4c39-a1b6-0d2f5d3a9a11"
#define CONFIG_OFFSET ((uint64_t)VIA_VFIO_PCI_CONFIG_REGION_INDEX << VIA_VFIO_PCI_OFFSET_SHIFT)

_Noreturn void die(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	fflush(stdout);
	vfprintf(stderr, fmt, args);
	fprintf(stderr, ": %s\n", strerror(errno));
	va_end(args);
	exit(1);
}

/* --- sysfs ------------------------------------------------------------------- */

static int open_sysfs(const char *address, const char *file, int flags)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/%s", address, file);
	return open(path, flags | O_CLOEXEC);
}

/* Without the last newline. False: there is no such file. */
static bool read_sysfs(const char *address, const char *file, char *text, size_t size)
{
	int fd = open_sysfs(address, file, O_RDONLY);
	ssize_t n;

	if (fd < 0)
		return false;
	n = read(fd, text, size - 1);
	close(fd);
	if (n < 0)
		return false;
	text[n] = '\0';
	if (n && text[n - 1] == '\n')
		text[n - 1] = '\0';
	return true;
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		die("%s", path);
	close(fd);
}

static void write_sysfs(const char *address, const char *file, const char *text)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/%s", address, file);
	write_file(path, text);
}

/* The last part of what a link leads to, "" if there is none. */
static void link_name(const char *address, const char *link, char *name, size_t size)
{
	char path[128], target[256];
	ssize_t n;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/%s", address, link);
	n = readlink(path, target, sizeof(target) - 1);
	target[n < 0 ? 0 : n] = '\0';
	snprintf(name, size, "%s", n < 0 ? "" : strrchr(target, '/') + 1);
}

static void bind_vfio(const char *address)
{
	char driver[32];

	link_name(address, "driver", driver, sizeof(driver));
	if (!strcmp(driver, "vfio-pci"))
		return;
	write_sysfs(address, "driver_override", "vfio-pci");
	if (*driver)
		write_sysfs(address, "driver/unbind", address);
	write_file("/sys/bus/pci/drivers_probe", address);
}

static void print_resources(const char *address)
{
	char text[2048], *line, *save = NULL;
	unsigned int i = 0;

	if (!read_sysfs(address, "resource", text, sizeof(text)))
		die("resource of %s", address);
	for (line = strtok_r(text, "\n", &save); line && i < 7; line = strtok_r(NULL, "\n", &save))
		printf("resource %u %s\n", i++, line);
	if (!read_sysfs(address, "reset_method", text, sizeof(text)))
		*text = '\0';
	printf("reset_method%s%s\n", *text ? " " : "", text);
}

/* --- VFIO -------------------------------------------------------------------- */

ssize_t view_read(const struct function *f, uint64_t pos, void *buf, size_t len)
{
	ssize_t n = pread(f->device, buf, len, (off_t)(CONFIG_OFFSET + pos));

	return n < 0 ? -errno : n;
}

ssize_t view_write(const struct function *f, uint64_t pos, const void *buf, size_t len)
{
	ssize_t n = pwrite(f->device, buf, len, (off_t)(CONFIG_OFFSET + pos));

	return n < 0 ? -errno : n;
}

int set_irqs(const struct function *f, unsigned int index, unsigned int n)
{
	static int fds[MAX_VECTORS];
	struct {
		struct via_vfio_irq_set set;
		int32_t fds[MAX_VECTORS];
	} s = {.set = {.index = index, .count = n,
		       .argsz = (uint32_t)(sizeof(s.set) + n * sizeof(s.fds[0])),
		       .flags = VIA_VFIO_IRQ_SET_ACTION_TRIGGER |
				(n ? VIA_VFIO_IRQ_SET_DATA_EVENTFD : VIA_VFIO_IRQ_SET_DATA_NONE)}};
	int r;

	for (unsigned int i = 0; i < n; i++) {
		if (!fds[i])
			fds[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		s.fds[i] = fds[i];
	}
	r = ioctl(f->device, VIA_VFIO_DEVICE_SET_IRQS, &s);
	return r < 0 ? -errno : r;
}

int reset_function(const struct function *f)
{
	int r = ioctl(f->device, VIA_VFIO_DEVICE_RESET);

	return r < 0 ? -errno : r;
}

static int open_group(const char *address, int container)
{
	char path[64], number[16];
	int group;

	link_name(address, "iommu_group", number, sizeof(number));
	snprintf(path, sizeof(path), "/dev/vfio/%s", number);
	group = open(path, O_RDWR | O_CLOEXEC);
	if (group < 0 || ioctl(group, VIA_VFIO_GROUP_SET_CONTAINER, &container))
		die("%s of %s", path, address);
	return group;
}

static int open_device(int group, const char *address, const char *token)
{
	char name[96];
	int fd;

	snprintf(name, sizeof(name), "%s%s", address, token);
	fd = ioctl(group, VIA_VFIO_GROUP_GET_DEVICE_FD, name);
	if (fd < 0)
		die("%s cannot be opened", name);
	return fd;
}

static void print_infos(const struct function *f)
{
	struct via_vfio_device_info info = {.argsz = sizeof(info)};

	if (ioctl(f->device, VIA_VFIO_DEVICE_GET_INFO, &info))
		die("GET_INFO");
	printf("device_info flags %x regions %u irqs %u cfg_size %u\n", info.flags,
	       info.num_regions, info.num_irqs, f->size);
	for (unsigned int i = 0; i < VIA_VFIO_PCI_NUM_REGIONS; i++) {
		struct {
			struct via_vfio_region_info info;
			struct via_vfio_info_cap_header cap;
			uint8_t rest[256];
		} r = {.info = {.argsz = sizeof(r), .index = i}};

		if (ioctl(f->device, VIA_VFIO_DEVICE_GET_REGION_INFO, &r)) {
			printf("region %u %s\n", i, strerrorname_np(errno));
			continue;
		}
		printf("region %u size %llx flags %x offset %llx", i,
		       (unsigned long long)r.info.size, r.info.flags,
		       (unsigned long long)r.info.offset);
		if (r.info.flags & VIA_VFIO_REGION_INFO_FLAG_CAPS)
			printf(" cap %u@%u", r.cap.id, r.info.cap_offset);
		putchar('\n');
	}
	for (unsigned int i = 0; i <= VIA_VFIO_PCI_NUM_IRQS; i++) {
		struct via_vfio_irq_info irq = {.argsz = sizeof(irq), .index = i};

		if (ioctl(f->device, VIA_VFIO_DEVICE_GET_IRQ_INFO, &irq))
			printf("irq %u %s\n", i, strerrorname_np(errno));
		else
			printf("irq %u count %u flags %x\n", i, irq.count, irq.flags);
	}
}

/* --- Capability lists ---------------------------------------------------------- */

static uint32_t le32(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void add_block(struct function *f, unsigned int start, unsigned int id, unsigned int len)
{
	if (f->n_blocks < BLOCKS)
		f->blocks[f->n_blocks++] = (struct block){start, id, len};
}

/* About how long it is: enough to know where to look. */
static unsigned int cap_len(const uint8_t *raw, unsigned int cap)
{
	switch (raw[cap]) {
	case PCI_CAP_ID_MSI:
		return PCI_MSI_SIZE(raw[cap + 2] & PCI_MSI_CONTROL_64BIT, raw[cap + 3] & 1);
	case PCI_CAP_ID_VENDOR:
		return raw[cap + PCI_VENDOR_LEN] > 4 ? raw[cap + PCI_VENDOR_LEN] : 4;
	case PCI_CAP_ID_EXP:
		return (raw[cap + PCI_EXP_FLAGS] & PCI_EXP_FLAGS_VERSION) == 1 ? 0x14 : 0x3c;
	case PCI_CAP_ID_MSIX:
		return PCI_MSIX_SIZE;
	default:
		return 8;
	}
}

static unsigned int ext_len(const uint8_t *raw, unsigned int cap)
{
	switch (le32(raw + cap) & PCI_EXT_ID) {
	case PCI_EXT_CAP_ID_AER:
		return 0x48;
	case PCI_EXT_CAP_ID_SRIOV:
		return PCI_SRIOV_SIZE;
	case PCI_EXT_CAP_ID_VENDOR:
	case PCI_EXT_CAP_ID_DVSEC:
		return le32(raw + cap + 4) >> 20 > 8 ? le32(raw + cap + 4) >> 20 : 8;
	case PCI_EXT_CAP_ID_PRI:
		return PCI_PRI_SIZE;
	case PCI_EXT_CAP_ID_DSN:
		return PCI_DSN_SIZE;
	default:
		return 8;
	}
}

void find_blocks(struct function *f)
{
	unsigned int cap = f->raw[PCI_CAPABILITY_LIST] & PCI_CAP_POINTER;

	f->n_blocks = 0;
	if (!(f->raw[PCI_STATUS] & PCI_STATUS_CAP_LIST))
		cap = 0;
	for (int steps = 0; cap >= PCI_HEADER_SIZE && steps < 48; steps++) {
		add_block(f, cap, f->raw[cap], cap_len(f->raw, cap));
		cap = f->raw[cap + 1] & PCI_CAP_POINTER;
	}
	if (f->size <= PCI_EXT_START || !le32(f->raw + PCI_EXT_START))
		return;
	cap = PCI_EXT_START;
	for (int steps = 0; cap >= PCI_EXT_START && steps < 60; steps++) {
		add_block(f, cap, le32(f->raw + cap) & PCI_EXT_ID, ext_len(f->raw, cap));
		cap = (le32(f->raw + cap) & PCI_EXT_NEXT) >> PCI_EXT_NEXT_SHIFT;
	}
}

const struct block *find_block(const struct function *f, unsigned int from, unsigned int id)
{
	for (unsigned int i = 0; i < f->n_blocks; i++)
		if ((f->blocks[i].start >= PCI_EXT_START) == (from >= PCI_EXT_START) &&
		    f->blocks[i].id == id)
			return &f->blocks[i];
	return NULL;
}

static void print_blocks(const struct function *f, const char *whose)
{
	printf("caps_%s", whose);
	for (unsigned int i = 0; i < f->n_blocks; i++)
		if (f->blocks[i].start < PCI_EXT_START)
			printf(" %02x@%02x", f->blocks[i].id, f->blocks[i].start);
	printf("\necaps_%s", whose);
	for (unsigned int i = 0; i < f->n_blocks; i++)
		if (f->blocks[i].start >= PCI_EXT_START)
			printf(" %04x.%x@%x", f->blocks[i].id,
			       le32(f->raw + f->blocks[i].start) >> 16 & 0xf, f->blocks[i].start);
	putchar('\n');
}

/*
 * Writes that would make the device or the guest do something: a built-in self
 * test; the window of virtio (vendor-specific, type 5) through which config
 * space reaches BARs; mailboxes; virtual functions.
 */
static void find_dangers(struct function *f)
{
	memset(f->dangerous, 0, sizeof(f->dangerous));
	f->dangerous[PCI_BIST] = 0x40;
	for (unsigned int i = 0; i < f->n_blocks; i++) {
		const struct block *b = &f->blocks[i];
		bool window = b->start < PCI_EXT_START && b->id == PCI_CAP_ID_VENDOR &&
			      f->raw[0] == 0xf4 && f->raw[1] == 0x1a && f->raw[b->start + 3] == 5;
		bool mailbox = b->start >= PCI_EXT_START && b->id == PCI_EXT_CAP_ID_DOE;

		if (window || mailbox)
			memset(f->dangerous + b->start, 0xff, b->len);
	}
}

/* --- Images ---------------------------------------------------------------------- */

void print_image(const char *name, const uint8_t *bytes, unsigned int size)
{
	static const uint8_t zeros[32];

	printf("%s %u\n", name, size);
	for (unsigned int at = 0; at < size; at += 32) {
		if (at >= PCI_EXT_START && !memcmp(bytes + at, zeros, 32))
			continue;
		printf("%03x:", at);
		for (unsigned int i = 0; i < 32; i++)
			printf(" %02x", bytes[at + i]);
		putchar('\n');
	}
}

static void read_raw(struct function *f)
{
	ssize_t n = pread(f->sysfs, f->raw, SPACE, 0);

	if (n != 256 && n != SPACE)
		die("config of %s: %zd bytes", f->address, n);
	f->size = (unsigned int)n;
	find_blocks(f);
	find_dangers(f);
}

/* Write ones to each BAR, look, put it back. */
static void print_sizing(const struct function *f)
{
	const uint32_t ones = 0xffffffff;

	printf("bar_sizing");
	for (unsigned int i = 0; i < 7; i++) {
		unsigned int pos = i < 6 ? PCI_BAR(i) : PCI_ROM_BAR;
		uint8_t old[4], now[4];

		view_read(f, pos, old, 4);
		view_write(f, pos, &ones, 4);
		view_read(f, pos, now, 4);
		view_write(f, pos, old, 4);
		printf("%s %08x", i < 6 ? "" : " rom", le32(now));
	}
	putchar('\n');
}

static void print_lost(const uint8_t *lost)
{
	for (unsigned int pos = 0; pos < SPACE; pos++) {
		if (!lost[pos])
			continue;
		printf("lost %x ", pos);
		while (pos < SPACE && lost[pos])
			printf("%02x", lost[pos++]);
		putchar('\n');
	}
}

static void print_vpd(const struct function *f)
{
	uint8_t vpd[256];
	int fd = open_sysfs(f->address, "vpd", O_RDONLY);
	ssize_t n = fd < 0 ? 0 : read(fd, vpd, sizeof(vpd));

	if (n <= 0)
		return;
	printf("vpd ");
	for (ssize_t i = 0; i < n; i++)
		printf("%02x", vpd[i]);
	putchar('\n');
}

static void record(struct function *f, uint64_t seed, unsigned int n)
{
	static uint8_t writable[SPACE], w1c[SPACE], lost[SPACE], before[SPACE];
	struct function view = *f;

	print_resources(f->address);
	read_raw(f);
	memcpy(before, f->raw, SPACE);
	/* Only an open function is awake. Closing it restores what the probe did not. */
	f->device = open_device(f->group, f->address, f->token);
	probe(f, writable, w1c);
	probe_reset(f, writable, lost);
	close(f->device);
	f->device = open_device(f->group, f->address, f->token);
	read_raw(f);
	view = *f;
	if (view_read(f, 0, view.raw, f->size) != (ssize_t)f->size)
		die("the view of %s", f->address);
	find_blocks(&view);
	print_infos(f);
	print_blocks(f, "device");
	print_blocks(&view, "vfio");
	print_sizing(f);
	print_image("config_before_open", before, f->size);
	print_image("config_while_open", f->raw, f->size);
	print_image("config_vfio", view.raw, f->size);
	print_image("dev_writable", writable, f->size);
	print_image("dev_w1c", w1c, f->size);
	if (f->raise)
		printf("raise %x\n", f->raise);
	print_vpd(f);
	print_lost(lost);
	printf("seed %llu\n", (unsigned long long)seed);
	script(f, seed, n);
}

/* Makes the first virtual function of f and turns f into it. Its owner stays open. */
static void become_virtual(struct function *f, int container)
{
	char vf[64];

	f->group = open_group(f->address, container);
	if (ioctl(container, VIA_VFIO_SET_IOMMU, VIA_VFIO_TYPE1v2_IOMMU))
		die("SET_IOMMU");
	snprintf(f->token, sizeof(f->token), " vf_token=%s", TOKEN);
	write_sysfs(f->address, "sriov_numvfs", "1");
	(void)open_device(f->group, f->address, f->token);
	link_name(f->address, "virtfn0", vf, sizeof(vf));
	snprintf(f->address, sizeof(f->address), "%.15s", vf);
	bind_vfio(f->address);
	f->group = open_group(f->address, container);
}

int main(int argc, char **argv)
{
	static struct function f;
	struct utsname uts;
	int container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	char *vf;

	if (argc != 4 && argc != 5) {
		fprintf(stderr, "usage: %s ADDRESS[/vf] SEED OPERATIONS [RAISE]\n", argv[0]);
		return 2;
	}
	if (container < 0)
		die("/dev/vfio/vfio");
	uname(&uts);
	printf("# kernel %s %s %s\n", uts.sysname, uts.release, uts.machine);
	f.raise = argc == 5 ? (unsigned int)strtoul(argv[4], NULL, 16) % SPACE : 0;
	vf = strchr(argv[1], '/');
	snprintf(f.address, sizeof(f.address), "%.*s", (int)strcspn(argv[1], "/"), argv[1]);
	bind_vfio(f.address);
	if (vf) {
		become_virtual(&f, container);
	} else {
		f.group = open_group(f.address, container);
		if (ioctl(container, VIA_VFIO_SET_IOMMU, VIA_VFIO_TYPE1v2_IOMMU))
			die("SET_IOMMU");
	}
	printf("device %s\n", f.address);
	f.sysfs = open_sysfs(f.address, "config", O_RDWR);
	if (f.sysfs < 0)
		die("config of %s", f.address);
	record(&f, strtoull(argv[2], NULL, 0), (unsigned int)strtoul(argv[3], NULL, 0));
	return 0;
}
