/* SPDX-License-Identifier: MIT */
/*
 * Replay what record-config recorded of a kernel on our config space, built
 * from the recorded registers of the device, and compare every result.
 *
 * usage: replay DIFFERENCES DOCUMENT LEAST-FILES LEAST-OPERATIONS RECORDING...
 *
 * A byte may differ where a line of the file DIFFERENCES says so:
 * "NAME<TAB>WHERE BITS", where NAME stands in the document of deliberate
 * differences, WHERE is ID+OFFSET of a byte of a capability (two digits: a
 * conventional one, four: an extended one) or +OFFSET of the header, and BITS
 * are those that may differ from there on, byte by byte; all hexadecimal. One
 * that covers nothing is an error if LEAST-FILES is more than 1.
 */
#include "models/image/recording.h"
#include "pci/config.h"
#include "pci/dev.h"
#include "pci/masks.h"
#include "pci/regs.h"

#include <viaduct/abi/vfio.h>

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

enum { MAX_LEN = 8, MAX_VECTORS = 8, MAX_DIFFERENCES = 64, SHOWN = 20 };

struct difference {
	char name[96];
	uint16_t tag; /* owner */
	bool extended;
	unsigned int offset;
	uint8_t bits[MAX_LEN];
	unsigned int n, n_file; /* results that it covers: in all, of this file */
};

struct totals {
	struct difference differences[MAX_DIFFERENCES];
	unsigned int n_differences;
	unsigned int files, operations, reads, telling, unexplained;
	/* By direction, log2-like index of the width, offset: compared at least once. */
	uint8_t covered[2][MAX_LEN + 1][VIA_CONFIG_SIZE_EXPRESS + 8];
};

/* The device's registers. */
struct device {
	struct via_recording *rec;
	struct via_irqs *irqs;
	unsigned int msix; /* capability, 0: none */
	uint8_t value[VIA_CONFIG_SIZE_EXPRESS];
};

struct replay {
	struct totals *totals;
	const char *file;
	struct via_recording *rec;
	struct device device;
	struct via_irqs *irqs;
	struct via_config *config;
	struct via_config_masks masks; /* to name what differs */
	unsigned int operations, listed, unexplained;
};

_Noreturn static void die(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
_Noreturn static void die(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	fputc('\n', stderr);
	va_end(args);
	exit(2);
}

/* --- The device ---------------------------------------------------------------- */

/* MSI-X is enabled by arming it, and that can be seen. */
static uint8_t live_byte(const struct device *device, unsigned int pos)
{
	bool enabled = device->msix && pos == device->msix + PCI_MSIX_CONTROL + 1 &&
		       via_irqs_armed(device->irqs, VIA_IRQ_MSIX);

	return device->value[pos] | (enabled ? PCI_MSIX_CONTROL_ENABLE >> 8 : 0);
}

static int device_read(void *cookie, unsigned int pos, unsigned int width, uint32_t *ret_value)
{
	const struct device *device = cookie;
	uint32_t value = 0;

	for (unsigned int i = 0; i < width; i++)
		value |= (uint32_t)live_byte(device, pos + i) << 8 * i;
	*ret_value = value;
	return 0;
}

static int device_write(void *cookie, unsigned int pos, unsigned int width, uint32_t value)
{
	struct device *device = cookie;
	uint8_t raise = 0;

	for (unsigned int i = pos; i < pos + width; i++, value >>= 8) {
		uint8_t byte = (uint8_t)value, bits = device->rec->writable.bytes[i];

		device->value[i] = (uint8_t)((device->value[i] & ~bits) | (byte & bits));
		device->value[i] &= (uint8_t)~(byte & device->rec->w1c.bytes[i]);
		raise = device->rec->raise && i == device->rec->raise ? byte : raise;
	}
	for (unsigned int i = 0; raise && i < sizeof(device->value); i++)
		device->value[i] |= raise & device->rec->w1c.bytes[i];
	return 0;
}

/* As Linux has it: what is read behind the end is zero, what is written there fails. */
static int device_vpd(void *cookie, bool write, unsigned int address, uint8_t data[4])
{
	struct device *device = cookie;

	if (!device->rec->vpd_len)
		return -ENODEV;
	if (write && (address % 4 || address + 4 > device->rec->vpd_len))
		return -EINVAL;
	for (unsigned int i = 0; i < 4; i++) {
		if (write)
			device->rec->vpd[address + i] = data[i];
		else
			data[i] = address + i < device->rec->vpd_len ? device->rec->vpd[address + i] : 0;
	}
	return 0;
}

static void device_init(void *cookie)
{
	struct device *device = cookie;

	memcpy(device->value, device->rec->open.bytes, sizeof(device->value));
}

static void device_reset(void *cookie)
{
	struct device *device = cookie;

	for (unsigned int i = 0; i < sizeof(device->value); i++) {
		uint8_t lost = device->rec->lost[i];

		device->value[i] &= (uint8_t)~(device->rec->w1c.bytes[i] | lost);
		device->value[i] |= device->rec->open.bytes[i] & lost;
	}
}

static const struct via_config_dev_ops device_ops = {
	.read = device_read,
	.write = device_write,
	.init = device_init,
	.reset = device_reset,
	.vpd = device_vpd,
};

/* --- From a recording to config space -------------------------------------------- */

static void describe_bars(const struct via_recording *rec, struct via_config_desc *desc)
{
	for (unsigned int i = 0; i < VIA_PCI_BARS; i++) {
		const struct via_recording_resource *r = &rec->resources[i];

		desc->bars[i].size = r->size;
		if (r->flags & VIA_RESOURCE_IO)
			desc->bars[i].flags = VIA_BAR_IO;
		else
			desc->bars[i].flags =
				(r->flags & VIA_RESOURCE_MEM_64 ? VIA_BAR_MEM64 : 0) |
				(r->flags & VIA_RESOURCE_PREFETCH ? VIA_BAR_PREFETCH : 0);
	}
	desc->rom_size = (uint32_t)rec->resources[6].size;
}

static void start(struct replay *p)
{
	static const struct via_config_ops no_ops = {0};
	static const struct via_irqs_ops no_irqs_ops = {0};
	struct via_recording *rec = p->rec;
	const uint8_t *raw = rec->open.bytes;
	struct via_config_desc desc = {.flags = VIA_CONFIG_RAW_GAPS};
	struct via_config_dev dev = {&device_ops, &p->device, rec->open.size, NULL};
	struct via_irqs_desc irqs = {.intx = raw[PCI_INTERRUPT_PIN] != 0};
	uint8_t image[VIA_CONFIG_SIZE_EXPRESS];

	p->device.rec = rec;
	describe_bars(rec, &desc);
	if (via_get_le16(raw + PCI_VENDOR_ID) == 0xffff) {
		desc.flags |= VIA_CONFIG_VF;
		desc.ident.vendor = via_get_le16(rec->vfio.bytes + PCI_VENDOR_ID);
		desc.ident.device = via_get_le16(rec->vfio.bytes + PCI_DEVICE_ID);
		irqs.intx = false;
	}
	memcpy(image, raw, sizeof(image));
	via_config_masks_build(&p->masks, image, rec->open.size,
			       &(struct via_config_policy){.raw_gaps = true});
	irqs.express = p->masks.express;
	if (p->masks.msi) {
		unsigned int control = via_get_le16(raw + p->masks.msi + PCI_MSI_CONTROL);

		irqs.msi = (uint8_t)(1u << ((control & PCI_MSI_CONTROL_MMC) >>
					    PCI_MSI_CONTROL_MMC_SHIFT));
		irqs.msi_maskable = control & PCI_MSI_CONTROL_MASKABLE;
	}
	if (p->masks.msix)
		irqs.msix = (uint16_t)((via_get_le16(raw + p->masks.msix + PCI_MSIX_CONTROL) &
					PCI_MSIX_CONTROL_SIZE) + 1);
	if (via_irqs_new(&irqs, &no_irqs_ops, NULL, &p->irqs) ||
	    via_config_new_on(&dev, &desc, &no_ops, NULL, p->irqs, &p->config))
		die("%s: out of memory", p->file);
	p->device.irqs = p->irqs;
	p->device.msix = p->masks.msix;
	via_config_open(p->config);
}

/* --- Comparing --------------------------------------------------------------------- */

static struct difference *find_difference(struct replay *p, unsigned int pos, uint8_t bits)
{
	const struct via_config_owner *owner = &p->masks.owner[pos];

	for (unsigned int i = 0; i < p->totals->n_differences; i++) {
		struct difference *d = &p->totals->differences[i];
		unsigned int at = pos - owner->start - d->offset;

		if (d->tag == owner->tag && d->extended == (owner->start >= PCI_EXT_START) &&
		    at < MAX_LEN && !(bits & ~d->bits[at]))
			return d;
	}
	return NULL;
}

static void unexplained(struct replay *p, const char *line, const char *what)
{
	if (p->unexplained++ < SHOWN)
		printf("%s: %s: %s\n", p->file, line, what);
}

/* Every byte: the same, or covered. False: it is not. */
static bool compare_bytes(struct replay *p, const char *line, unsigned int pos,
			  const uint8_t *theirs, const uint8_t *ours, size_t len)
{
	struct difference *first = NULL;

	for (size_t i = 0; i < len; i++) {
		struct difference *d;
		char text[128];

		if (theirs[i] == ours[i])
			continue;
		d = find_difference(p, pos + (unsigned int)i, theirs[i] ^ ours[i]);
		first = first ? first : d;
		if (d)
			continue;
		snprintf(text, sizeof(text), "ours has %02x at %#zx (owner %#x at %#x)", ours[i],
			 pos + i, p->masks.owner[pos + i].tag, p->masks.owner[pos + i].start);
		unexplained(p, line, text);
		return false;
	}
	if (first) {
		p->listed++;
		first->n++;
		first->n_file++;
	}
	return true;
}

/* --- Operations ----------------------------------------------------------------------- */

struct operation {
	char kind;		/* see record-config.c */
	unsigned int len;	/* or index */
	uint64_t pos;		/* or count */
	uint8_t bytes[MAX_LEN]; /* read or to write */
	int result;		/* count or negative errno */
};

static int errno_by_name(const char *name)
{
	for (int e = 1; e < 200; e++) {
		const char *known = strerrorname_np(e);

		if (known && !strcmp(known, name))
			return e;
	}
	return 0;
}

/* All of word, two digits a byte; at least one. Their number, 0: it is something else. */
static unsigned int take_bytes(const char *word, uint8_t *bytes)
{
	unsigned int n = 0;

	while (n < MAX_LEN && word[2 * n] && sscanf(word + 2 * n, "%2hhx", &bytes[n]) == 1)
		n++;
	return word[2 * n] ? 0 : n;
}

static bool take_result(const char *word, int *ret_result)
{
	int error = errno_by_name(word);
	char *end;

	*ret_result = error ? -error : (int)strtol(word, &end, 10);
	return error || (end != word && !*end);
}

/* False: the line is no operation. */
static bool parse(const char *line, struct operation *op)
{
	char word[2 * MAX_LEN + 2] = "", result[24] = "";
	const char *equals = strchr(line, '=');
	int n = sscanf(line, "op %c%u %" SCNx64 " %17[0-9a-f]", &op->kind, &op->len, &op->pos,
		       word);

	if (equals && sscanf(equals, "= %23s", result) != 1)
		return false;
	switch (op->kind) {
	case 'r':
		if (n != 3 || op->len > MAX_LEN)
			return false;
		op->result = (int)take_bytes(result, op->bytes);
		return op->result || !op->len || take_result(result, &op->result);
	case 'w':
		op->result = (int)op->len;
		return n >= 3 && op->len <= MAX_LEN && take_bytes(word, op->bytes) == op->len &&
		       (!equals || take_result(result, &op->result));
	case 'i':
		return n == 3 && op->pos <= MAX_VECTORS &&
		       (!equals || take_result(result, &op->result));
	default:
		return op->kind == 'x' && (!equals || take_result(result, &op->result));
	}
}

static bool is_telling(const uint8_t *bytes, size_t len)
{
	bool zeros = true, ones = true;

	for (size_t i = 0; i < len; i++) {
		zeros = zeros && !bytes[i];
		ones = ones && bytes[i] == 0xff;
	}
	return !zeros && !ones;
}

static int fd_get(void *cookie, int fd, int *ret_fd)
{
	*ret_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	return *ret_fd < 0 ? -errno : 0;
}

static int set_irqs(struct replay *p, unsigned int index, unsigned int n)
{
	static const int32_t fds[MAX_VECTORS];
	struct via_set_irqs set = {
		.index = index,
		.count = n,
		.flags = VIA_VFIO_IRQ_SET_ACTION_TRIGGER |
			 (n ? VIA_VFIO_IRQ_SET_DATA_EVENTFD : VIA_VFIO_IRQ_SET_DATA_NONE),
		.fds = n ? fds : NULL,
		.fd_get = fd_get,
	};
	size_t len;
	int r = via_irqs_check(p->irqs, (uint32_t)(20 + n * sizeof(fds[0])), &set, &len);

	return r ? r : via_irqs_set(p->irqs, &set);
}

static int reset_function(struct replay *p)
{
	if (!p->rec->can_reset)
		return -EINVAL;
	via_config_reset(p->config, VIA_RESET_IOCTL);
	return 0;
}

static void run(struct replay *p, const char *line)
{
	struct operation op = {0};
	uint8_t bytes[MAX_LEN];
	ssize_t result;
	char text[64];

	if (!parse(line, &op)) {
		unexplained(p, line, "not understood");
		return;
	}
	p->operations++;
	if (op.kind == 'i')
		result = set_irqs(p, op.len, (unsigned int)op.pos);
	else if (op.kind == 'x')
		result = reset_function(p);
	else if (op.kind == 'w')
		result = via_config_write(p->config, op.pos, op.bytes, op.len);
	else
		result = via_config_read(p->config, op.pos, bytes, op.len);
	if ((op.kind == 'r' || op.kind == 'w') && op.pos < sizeof(p->totals->covered[0][0]))
		p->totals->covered[op.kind == 'w'][op.len][op.pos] = 1;
	if (result != op.result) {
		snprintf(text, sizeof(text), "ours gave %zd", result);
		unexplained(p, line, text);
	} else if (op.kind == 'r' && result > 0) {
		p->totals->reads++;
		p->totals->telling += is_telling(op.bytes, op.len);
		(void)compare_bytes(p, line, (unsigned int)op.pos, op.bytes, bytes, op.len);
	}
}

/* --- Files ------------------------------------------------------------------------------- */

static void replay_file(struct totals *totals, const char *path)
{
	static struct replay p;
	FILE *file = fopen(path, "r");
	uint8_t view[VIA_CONFIG_SIZE_EXPRESS];
	struct via_error err = {0};
	const char *name = strrchr(path, '/');

	memset(&p, 0, sizeof(p));
	p.totals = totals;
	p.file = name ? name + 1 : path;
	if (!file)
		die("%s: %s", path, strerror(errno));
	if (via_recording_read(file, &err, &p.rec))
		die("%s: %s", path, err.text);
	fclose(file);
	if (!p.rec->open.size || !p.rec->vfio.size)
		die("%s: no image of the device or of the view", path);
	start(&p);
	if (via_config_size(p.config) != p.rec->vfio.size ||
	    via_config_read(p.config, 0, view, p.rec->vfio.size) != (ssize_t)p.rec->vfio.size)
		unexplained(&p, "config_vfio", "another size");
	else
		(void)compare_bytes(&p, "config_vfio", 0, p.rec->vfio.bytes, view,
				    p.rec->vfio.size);
	for (size_t i = 0; i < p.rec->n_told; i++)
		if (!strncmp(p.rec->told[i], "op ", 3))
			run(&p, p.rec->told[i]);
	printf("%s: %u operations, %u differ as listed", p.file, p.operations, p.listed);
	for (unsigned int i = 0; i < totals->n_differences; i++) {
		struct difference *d = &totals->differences[i];

		if (d->n_file)
			printf(" (%s: %u)", d->name, d->n_file);
		d->n_file = 0;
	}
	printf(", %u unexplained\n", p.unexplained);
	totals->files += p.operations != 0;
	totals->operations += p.operations;
	totals->unexplained += p.unexplained;
	via_config_free(p.config);
	via_irqs_free(p.irqs);
	via_recording_free(p.rec);
}

static char *slurp(const char *path)
{
	FILE *file = fopen(path, "r");
	char *text = NULL;
	size_t size = 0;

	if (!file || getdelim(&text, &size, '\0', file) < 0)
		die("%s: %s", path, strerror(errno));
	fclose(file);
	return text;
}

static void read_differences(struct totals *totals, const char *path, const char *document)
{
	char *text = slurp(path), *known = slurp(document), *save = NULL;

	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		struct difference *d = &totals->differences[totals->n_differences];
		char *tab = strchr(line, '\t'), *plus;
		int at = 0;

		if (*line == '#')
			continue;
		if (!tab || totals->n_differences == MAX_DIFFERENCES)
			die("%s: '%s' is not understood", path, line);
		snprintf(d->name, sizeof(d->name), "%.*s", (int)(tab - line), line);
		if (!strstr(known, d->name))
			die("%s: '%s' is not in %s", path, d->name, document);
		plus = strchr(tab, '+');
		if (!plus || sscanf(plus, "+%x %n", &d->offset, &at) != 1 ||
		    !take_bytes(plus + at, d->bits))
			die("%s: '%s' is not understood", path, line);
		d->tag = plus == tab + 1 ? VIA_OWNER_HEADER : (uint16_t)strtoul(tab + 1, NULL, 16);
		d->extended = plus == tab + 5;
		totals->n_differences++;
	}
	free(text);
	free(known);
}

static unsigned int count_covered(const struct totals *totals)
{
	const uint8_t *p = &totals->covered[0][0][0];
	unsigned int n = 0;

	for (size_t i = 0; i < sizeof(totals->covered); i++)
		n += p[i];
	return n;
}

int main(int argc, char **argv)
{
	static struct totals totals;
	unsigned long least;
	bool bad;

	if (argc < 6)
		die("usage: replay DIFFERENCES DOCUMENT LEAST-FILES LEAST-OPERATIONS RECORDING...");
	read_differences(&totals, argv[1], argv[2]);
	for (int i = 5; i < argc; i++)
		replay_file(&totals, argv[i]);
	printf("%u devices, %u operations compared, %u (offset, width, direction), "
	       "%u%% of the results read neither 0 nor all ones, %u unexplained differences\n",
	       totals.files, totals.operations, count_covered(&totals),
	       totals.reads ? 100 * totals.telling / totals.reads : 0, totals.unexplained);
	bad = totals.unexplained;
	least = strtoul(argv[3], NULL, 10);
	if (totals.files < least || totals.operations < strtoul(argv[4], NULL, 10)) {
		printf("too few\n");
		bad = true;
	}
	for (unsigned int i = 0; least > 1 && i < totals.n_differences; i++) {
		const struct difference *d = &totals.differences[i];

		if (d->n)
			continue;
		printf("%s: the one at +%x covers nothing\n", d->name, d->offset);
		bad = true;
	}
	return bad;
}
