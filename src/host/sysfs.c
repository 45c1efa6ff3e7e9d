/* SPDX-License-Identifier: MIT */
/*
 * The program's sysfs: what Linux shows of a PCI function that is bound to
 * vfio-pci behind an IOMMU, with the values that it prints. Written once, when
 * all devices are placed. Only directories that the view replaces as a whole
 * are used, so class/vfio and class/iommu hold directories where Linux has
 * links to devices/virtual.
 */
#include "host/internal.h"

#include "device/device.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* A tree under construction: after the first failure nothing more is done. */
struct tree {
	int root;
	int error;
	char failed[256]; /* the path that could not be made */
};

static void fail(struct tree *tree, int error, const char *path)
{
	if (tree->error)
		return;
	tree->error = error;
	(void)snprintf(tree->failed, sizeof(tree->failed), "%s", path);
}

/* Make all directories of path, or all but its last part. */
static void make_dirs(struct tree *tree, const char *path, bool all)
{
	char part[256];

	for (size_t i = 0; i < sizeof(part) - 1 && path[i]; i++) {
		part[i] = path[i];
		part[i + 1] = '\0';
		if (path[i + 1] != '/' && !(all && !path[i + 1]))
			continue;
		if (mkdirat(tree->root, part, 0755) < 0 && errno != EEXIST)
			fail(tree, -errno, part);
	}
}

static void put_bytes(struct tree *tree, mode_t mode, const char *path, const void *bytes,
		      size_t len)
{
	int fd;

	if (tree->error)
		return;
	make_dirs(tree, path, false);
	fd = openat(tree->root, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0) {
		fail(tree, -errno, path);
		return;
	}
	if (write(fd, bytes, len) != (ssize_t)len || fchmod(fd, mode) < 0)
		fail(tree, errno ? -errno : -EIO, path);
	(void)close(fd);
}

/* dir/name with a value. */
static void put(struct tree *tree, mode_t mode, const char *dir, const char *name, const char *fmt,
		...) VIA_PRINTF(5, 6);

static void put(struct tree *tree, mode_t mode, const char *dir, const char *name, const char *fmt,
		...)
{
	char path[256], text[1024];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	put_bytes(tree, mode, path, text, strlen(text));
}

static void put_link(struct tree *tree, const char *dir, const char *name, const char *target)
{
	char path[256];

	if (tree->error)
		return;
	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	make_dirs(tree, path, false);
	if (symlinkat(target, tree->root, path) < 0)
		fail(tree, -errno, path);
}

/* Where the system's firmware would have put the BARs. */
struct windows {
	uint64_t mem32, mem64, io;
};

#define MEM32_START 0xc0000000u
#define MEM32_END 0xfec00000u /* I/O APIC, then the MSI window */
#define MEM64_START 0x380000000000u
#define IO_START 0x1000u
#define IO_END 0x10000u

/* struct resource's flags, as the file `resource` prints them. */
#define RESOURCE_IO 0x100u
#define RESOURCE_MEM 0x200u
#define RESOURCE_PREFETCH 0x2000u
#define RESOURCE_SIZEALIGN 0x40000u
#define RESOURCE_MEM_64 0x100000u

struct resource {
	uint64_t start, end; /* end inclusive; both 0: none */
	uint32_t flags;
};

static uint64_t take(uint64_t *next, uint64_t size, uint64_t end)
{
	uint64_t start = (*next + size - 1) & ~(size - 1);

	if (end && start + size > end)
		return 0;
	*next = start + size;
	return start;
}

static struct resource place_bar(struct windows *windows, const struct via_bar_desc *bar)
{
	struct resource res = {.flags = RESOURCE_SIZEALIGN};

	if (bar->flags & VIA_BAR_IO) {
		res.start = take(&windows->io, bar->size, IO_END);
		res.flags |= RESOURCE_IO | 0x1;
	} else {
		/* A window is counted in pages, so that BARs do not share any. */
		uint64_t size = bar->size < 4096 ? 4096 : bar->size;

		if (!(bar->flags & VIA_BAR_MEM64) || size <= 1u << 28)
			res.start = take(&windows->mem32, size, MEM32_END);
		if (!res.start && bar->flags & VIA_BAR_MEM64)
			res.start = take(&windows->mem64, size, 0);
		res.flags |= RESOURCE_MEM;
		if (bar->flags & VIA_BAR_MEM64)
			res.flags |= RESOURCE_MEM_64 | 0x4;
		if (bar->flags & VIA_BAR_PREFETCH)
			res.flags |= RESOURCE_PREFETCH | 0x8;
	}
	if (!res.start)
		return (struct resource){0};
	res.end = res.start + bar->size - 1;
	return res;
}

/* Six BARs, the ROM and six windows that only bridges have. */
#define N_RESOURCES 13

static void put_resources(struct tree *tree, const char *dir, const struct resource *bars)
{
	char text[N_RESOURCES * 64];
	size_t at = 0;

	for (size_t i = 0; i < N_RESOURCES; i++) {
		struct resource res = i < VIA_PCI_BARS ? bars[i] : (struct resource){0};

		at += (size_t)snprintf(text + at, sizeof(text) - at,
				       "0x%016" PRIx64 " 0x%016" PRIx64 " 0x%016" PRIx64 "\n",
				       res.start, res.end, (uint64_t)res.flags);
	}
	put(tree, 0444, dir, "resource", "%s", text);
}

/* Config space as it is before anybody opens the device, with the BARs where they were put. */
static void put_config(struct tree *tree, struct via_device *dev, const char *dir,
		       const struct resource *bars)
{
	size_t size = via_device_config_size(dev);
	uint8_t *image = calloc(1, size);
	char path[128];

	if (!image) {
		fail(tree, -ENOMEM, dir);
		return;
	}
	if (via_device_region_read(dev, VIA_REGION_CONFIG, 0, image, size) != (ssize_t)size)
		fail(tree, -EIO, dir);
	for (size_t i = 0; i < VIA_PCI_BARS; i++) {
		uint8_t *bar = image + 0x10 + 4 * i;

		if (!bars[i].start)
			continue;
		via_put_le32(bar, (uint32_t)bars[i].start | (bars[i].flags & 0xf));
		if (bars[i].flags & RESOURCE_MEM_64)
			via_put_le32(bar + 4, (uint32_t)(bars[i].start >> 32));
	}
	(void)snprintf(path, sizeof(path), "%s/config", dir);
	put_bytes(tree, 0644, path, image, size);
	free(image);
}

/* The CPUs that are there, as a mask and as a list. */
static void put_cpus(struct tree *tree, const char *dir)
{
	long n = sysconf(_SC_NPROCESSORS_CONF);
	char mask[512] = "";
	size_t at = 0;

	if (n < 1 || n > 1024)
		n = 1;
	for (long group = (n - 1) / 32; group >= 0; group--) {
		long bits = n - group * 32 >= 32 ? 32 : n - group * 32;

		at += (size_t)snprintf(mask + at, sizeof(mask) - at, at ? ",%08x" : "%x",
				       bits == 32 ? ~0u : (1u << bits) - 1);
	}
	put(tree, 0444, dir, "local_cpus", "%s\n", mask);
	if (n > 1)
		put(tree, 0444, dir, "local_cpulist", "0-%ld\n", n - 1);
	else
		put(tree, 0444, dir, "local_cpulist", "0\n");
}

static void put_ident(struct tree *tree, const char *dir, const char *addr,
		      const struct via_pci_ident *id)
{
	char modalias[80];

	(void)snprintf(modalias, sizeof(modalias), "pci:v%08Xd%08Xsv%08Xsd%08Xbc%02Xsc%02Xi%02X",
		       id->vendor, id->device, id->subsystem_vendor, id->subsystem_device,
		       id->class_code >> 16 & 0xff, id->class_code >> 8 & 0xff,
		       id->class_code & 0xff);
	put(tree, 0444, dir, "vendor", "0x%04x\n", id->vendor);
	put(tree, 0444, dir, "device", "0x%04x\n", id->device);
	put(tree, 0444, dir, "subsystem_vendor", "0x%04x\n", id->subsystem_vendor);
	put(tree, 0444, dir, "subsystem_device", "0x%04x\n", id->subsystem_device);
	put(tree, 0444, dir, "class", "0x%06x\n", id->class_code);
	put(tree, 0444, dir, "revision", "0x%02x\n", id->revision);
	put(tree, 0444, dir, "modalias", "%s\n", modalias);
	put(tree, 0644, dir, "uevent",
	    "DRIVER=vfio-pci\nPCI_CLASS=%X\nPCI_ID=%04X:%04X\nPCI_SUBSYS_ID=%04X:%04X\n"
	    "PCI_SLOT_NAME=%s\nMODALIAS=%s\n",
	    id->class_code, id->vendor, id->device, id->subsystem_vendor, id->subsystem_device,
	    addr, modalias);
}

/* What is the same for every function in the hands of vfio-pci. */
static void put_common(struct tree *tree, const char *dir, const struct via_device_desc *desc)
{
	put(tree, 0444, dir, "irq", "%d\n", desc->ident.interrupt_pin ? 11 : 0);
	put(tree, 0644, dir, "numa_node", "-1\n");
	put(tree, 0644, dir, "enable", "0\n");
	put(tree, 0644, dir, "driver_override", "vfio-pci\n");
	put(tree, 0644, dir, "msi_bus", "1\n");
	put(tree, 0444, dir, "dma_mask_bits", "32\n");
	put(tree, 0444, dir, "consistent_dma_mask_bits", "32\n");
	put(tree, 0644, dir, "broken_parity_status", "0\n");
	put(tree, 0644, dir, "d3cold_allowed", "0\n");
	put(tree, 0444, dir, "ari_enabled", "0\n");
	put(tree, 0444, dir, "power_state", "D0\n");
	put(tree, 0644, dir, "power/control", "auto\n");
	put(tree, 0444, dir, "power/runtime_status", "active\n");
	if (desc->express.present) {
		put(tree, 0444, dir, "max_link_speed", "2.5 GT/s PCIe\n");
		put(tree, 0444, dir, "max_link_width", "1\n");
		put(tree, 0444, dir, "current_link_speed", "2.5 GT/s PCIe\n");
		put(tree, 0444, dir, "current_link_width", "1\n");
		put(tree, 0644, dir, "reset_method", "flr\n");
		put(tree, 0200, dir, "reset", "%s", "");
	}
	put_cpus(tree, dir);
}

static void put_device(struct tree *tree, struct via_device *dev, int group,
		       struct windows *windows)
{
	const struct via_device_desc *desc = via_device_desc(dev);
	const struct via_pci_addr *pci = via_device_addr(dev);
	struct resource bars[VIA_PCI_BARS] = {0};
	char addr[VIA_PCI_ADDR_LEN], dir[64], link[96], group_dir[64];

	via_pci_addr_format(pci, addr);
	(void)snprintf(dir, sizeof(dir), "devices/pci%04x:%02x/%s", pci->segment, pci->bus, addr);
	for (size_t i = 0; i < VIA_PCI_BARS; i++)
		if (desc->bars[i].size)
			bars[i] = place_bar(windows, &desc->bars[i]);
	put_ident(tree, dir, addr, &desc->ident);
	put_common(tree, dir, desc);
	put_resources(tree, dir, bars);
	put_config(tree, dev, dir, bars);
	put_link(tree, dir, "driver", "../../../bus/pci/drivers/vfio-pci");
	put_link(tree, dir, "subsystem", "../../../bus/pci");
	put_link(tree, dir, "iommu", "../../../class/iommu/dmar0");
	(void)snprintf(link, sizeof(link), "../../../kernel/iommu_groups/%d", group);
	put_link(tree, dir, "iommu_group", link);

	(void)snprintf(link, sizeof(link), "../../../%s", dir);
	put_link(tree, "bus/pci/devices", addr, link);
	(void)snprintf(link, sizeof(link), "../../../../%s", dir);
	put_link(tree, "bus/pci/drivers/vfio-pci", addr, link);
	(void)snprintf(group_dir, sizeof(group_dir), "kernel/iommu_groups/%d/devices", group);
	put_link(tree, group_dir, addr, link);
	put_link(tree, "class/iommu/dmar0/devices", addr, link);
}

static const struct via_iommu_props *iommu_props(struct via_host *host)
{
	return host->iommu ? host->iommu : via_iommu_props_intel();
}

/* The gaps between the usable ranges below 4 GiB, in practice the MSI window. */
static void put_reserved(struct tree *tree, const char *dir, const struct via_iommu_props *props)
{
	char text[512] = "";
	size_t at = 0;

	for (size_t i = 1; i < props->n_ranges && at < sizeof(text) - 48; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at,
				       "0x%016" PRIx64 " 0x%016" PRIx64 " msi\n",
				       props->ranges[i - 1].last + 1, props->ranges[i].first - 1);
	put(tree, 0444, dir, "reserved_regions", "%s", text);
}

/* Once per group, whichever of its devices comes first. */
static void put_group(struct tree *tree, struct via_host *host, size_t device)
{
	int group = via_vfio_device_group(host->vfio, device);
	char dir[64];

	for (size_t i = 0; i < device; i++)
		if (via_vfio_device_group(host->vfio, i) == group)
			return;
	(void)snprintf(dir, sizeof(dir), "kernel/iommu_groups/%d", group);
	put(tree, 0644, dir, "type", "DMA\n");
	put_reserved(tree, dir, iommu_props(host));
	(void)snprintf(dir, sizeof(dir), "class/vfio/%d", group);
	/* The number of the node is of no use here: opens go by name. */
	put(tree, 0644, dir, "uevent", "MAJOR=247\nMINOR=%d\nDEVNAME=vfio/%d\n", group, group);
	put(tree, 0444, dir, "dev", "247:%d\n", group);
}

static void put_system(struct tree *tree)
{
	static const char *const commands[] = {"bind", "unbind", "new_id", "remove_id", "uevent"};
	static const char driver[] = "bus/pci/drivers/vfio-pci";

	make_dirs(tree, "bus/pci/devices", true);
	make_dirs(tree, "bus/pci/slots", true);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		put(tree, 0200, driver, commands[i], "%s", "");
	put_link(tree, driver, "module", "../../../../module/vfio_pci");
	put(tree, 0644, "bus/pci", "drivers_autoprobe", "1\n");
	put(tree, 0200, "bus/pci", "drivers_probe", "%s", "");
	put(tree, 0200, "bus/pci", "rescan", "%s", "");

	put(tree, 0644, "module/vfio/parameters", "enable_unsafe_noiommu_mode", "N\n");
	put(tree, 0444, "module/vfio", "version", "0.3\n");
	put(tree, 0444, "module/vfio_pci/parameters", "disable_denylist", "N\n");
	put(tree, 0644, "module/vfio_pci/parameters", "disable_idle_d3", "N\n");
	put(tree, 0444, "module/vfio_pci/parameters", "disable_vga", "N\n");
	put(tree, 0644, "module/vfio_pci/parameters", "enable_sriov", "N\n");
	put(tree, 0644, "module/vfio_pci/parameters", "nointxmask", "N\n");
	put_link(tree, "module/vfio_pci/drivers", "pci:vfio-pci",
		 "../../../bus/pci/drivers/vfio-pci");
	put(tree, 0644, "module/vfio_iommu_type1/parameters", "allow_unsafe_interrupts", "N\n");
	put(tree, 0644, "module/vfio_iommu_type1/parameters", "disable_hugepages", "N\n");
}

/* Fields that programs read: the guest address width (MGAW) above all. */
static void put_iommu(struct tree *tree, const struct via_iommu_props *props)
{
	static const char dir[] = "class/iommu/dmar0/intel-iommu";
	unsigned int bits =
		64 - (unsigned int)__builtin_clzll(props->ranges[props->n_ranges - 1].last);

	put(tree, 0444, dir, "cap", "%" PRIx64 "\n",
	    (UINT64_C(0x80d2008c222f0686) & ~(UINT64_C(0x3f) << 16)) | (uint64_t)((bits - 1) & 0x3f)
									       << 16);
	put(tree, 0444, dir, "ecap", "f00f4a\n");
	put(tree, 0444, dir, "address", "fed90000\n");
	put(tree, 0444, dir, "version", "1:0\n");
	put(tree, 0444, dir, "domains_supported", "65536\n");
	put(tree, 0444, dir, "domains_used", "1\n");
	put(tree, 0644, "module/vfio_iommu_type1/parameters", "dma_entry_limit", "%u\n",
	    props->entry_limit);
	make_dirs(tree, "class/iommu/dmar0/devices", true);
}

/* What the report must not count as a program's doing. */
static void note_own_reads(struct via_host *host, size_t device)
{
	struct via_device_stats stats;
	uint64_t *reads = reallocarray(host->own_config_reads, device + 1, sizeof(*reads));

	if (!reads)
		return;
	via_device_get_stats(via_vfio_device(host->vfio, device), &stats);
	reads[device] = stats.config_reads;
	host->own_config_reads = reads;
	host->n_own_config_reads = device + 1;
}

int via_host_sysfs(struct via_host *host, int dirfd, struct via_error *err)
{
	struct windows windows = {MEM32_START, MEM64_START, IO_START};
	struct tree tree = {.root = dirfd};
	struct via_device *dev;

	put_system(&tree);
	put_iommu(&tree, iommu_props(host));
	for (size_t i = 0; (dev = via_vfio_device(host->vfio, i)); i++) {
		put_group(&tree, host, i);
		put_device(&tree, dev, via_vfio_device_group(host->vfio, i), &windows);
		note_own_reads(host, i);
	}
	if (tree.error)
		return via_error_set(err, tree.error, "cannot write %s of the program's sysfs: %s",
				     tree.failed, strerror(-tree.error));
	return 0;
}
