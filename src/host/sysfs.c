/* SPDX-License-Identifier: MIT */
/*
 * The program's sysfs: what Linux shows of a PCI function that is bound to
 * vfio-pci behind an IOMMU, with the values that it prints. Written when all
 * devices are placed; virtual functions come and go in it later. Only
 * directories that the view replaces as a whole are used, so class/vfio and
 * class/iommu hold directories where Linux has links to devices/virtual.
 */
#include "host/internal.h"
#include "host/tree.h"

#include "base/log.h"
#include "device/device.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

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

static uint64_t take(uint64_t *next, uint64_t size, uint64_t n, uint64_t end)
{
	uint64_t start = (*next + size - 1) & ~(size - 1);

	if (end && start + n * size > end)
		return 0;
	*next = start + n * size;
	return start;
}

/* n of them, one after the other: those of virtual functions are so. */
static struct resource place_bar(struct windows *windows, uint64_t bar_size, unsigned int flags,
				 unsigned int n)
{
	struct resource res = {.flags = RESOURCE_SIZEALIGN};

	if (flags & VIA_BAR_IO) {
		res.start = take(&windows->io, bar_size, n, IO_END);
		res.flags |= RESOURCE_IO | 0x1;
	} else {
		/* A window is counted in pages, so that BARs do not share any. */
		uint64_t size = bar_size < 4096 ? 4096 : bar_size;

		if (!(flags & VIA_BAR_MEM64) || n * size <= 1u << 28)
			res.start = take(&windows->mem32, size, n, MEM32_END);
		if (!res.start && flags & VIA_BAR_MEM64)
			res.start = take(&windows->mem64, size, n, 0);
		res.flags |= RESOURCE_MEM;
		if (flags & VIA_BAR_MEM64)
			res.flags |= RESOURCE_MEM_64 | 0x4;
		if (flags & VIA_BAR_PREFETCH)
			res.flags |= RESOURCE_PREFETCH | 0x8;
	}
	if (!res.start)
		return (struct resource){0};
	res.end = res.start + n * bar_size - 1;
	return res;
}

/* Where the BARs of a function are, and those of all its virtual ones. */
struct placement {
	struct resource bars[VIA_PCI_BARS], vf_bars[VIA_PCI_BARS];
};

static void place(struct windows *windows, const struct via_device *dev,
		  struct placement *ret_placement)
{
	const struct via_device_desc *desc = via_device_desc(dev);
	const struct via_pci_sriov *sriov = via_device_sriov(dev);

	*ret_placement = (struct placement){0};
	for (size_t i = 0; i < VIA_PCI_BARS; i++) {
		const struct via_bar_desc *bar = &desc->bars[i];

		if (bar->size)
			ret_placement->bars[i] = place_bar(windows, bar->size, bar->flags, 1);
	}
	for (size_t i = 0; sriov && i < VIA_PCI_BARS; i++)
		if (sriov->bars[i].size)
			ret_placement->vf_bars[i] =
				place_bar(windows, sriov->bars[i].size, sriov->bars[i].flags,
					  sriov->total);
}

/* Six BARs, the ROM and six BARs for virtual functions. */
#define N_RESOURCES 13
#define FIRST_VF_RESOURCE 7

static void put_resources(struct via_tree *tree, const char *dir,
			  const struct placement *placement)
{
	char text[N_RESOURCES * 64];
	size_t at = 0;

	for (size_t i = 0; i < N_RESOURCES; i++) {
		struct resource res = {0};

		if (i < VIA_PCI_BARS)
			res = placement->bars[i];
		else if (i >= FIRST_VF_RESOURCE)
			res = placement->vf_bars[i - FIRST_VF_RESOURCE];

		at += (size_t)snprintf(text + at, sizeof(text) - at,
				       "0x%016" PRIx64 " 0x%016" PRIx64 " 0x%016" PRIx64 "\n",
				       res.start, res.end, (uint64_t)res.flags);
	}
	via_tree_put(tree, 0444, dir, "resource", "%s", text);
}

/* Address registers as the firmware would have left them. */
static void set_bars(uint8_t *registers, const struct resource *bars)
{
	for (size_t i = 0; i < VIA_PCI_BARS; i++) {
		uint8_t *bar = registers + 4 * i;

		if (!bars[i].start)
			continue;
		via_put_le32(bar, (uint32_t)bars[i].start | (bars[i].flags & 0xf));
		if (bars[i].flags & RESOURCE_MEM_64)
			via_put_le32(bar + 4, (uint32_t)(bars[i].start >> 32));
	}
}

#define CONFIG_BARS 0x10u
#define SRIOV_ID 0x0010u
#define SRIOV_BARS 0x24u
#define SRIOV_SIZE 0x40u

/* Offset of the SR-IOV capability in an image of our own making, or 0. */
static unsigned int find_sriov(const uint8_t *image, size_t size)
{
	for (unsigned int at = 0x100; at >= 0x100 && at + SRIOV_SIZE <= size;) {
		uint32_t header = via_get_le32(image + at);

		if ((header & 0xffff) == SRIOV_ID)
			return at;
		if (header >> 20 <= at)
			break;
		at = header >> 20;
	}
	return 0;
}

/* Config space as it is before anybody opens the device, with the BARs where they were put. */
static void put_config(struct via_tree *tree, struct via_device *dev, const char *dir,
		       const struct placement *placement)
{
	struct via_config *config = via_device_config(dev);
	size_t size = via_device_config_size(dev);
	uint8_t *image = calloc(1, size);
	unsigned int sriov;
	char path[128];

	if (!image) {
		via_tree_fail(tree, -ENOMEM, dir);
		return;
	}
	if (via_device_pf(dev)) {
		/* The hardware's own: ids and BARs are in the physical function. */
		via_config_device_bytes(config, image);
	} else {
		if (via_config_read(config, 0, image, size) != (ssize_t)size)
			via_tree_fail(tree, -EIO, dir);
		set_bars(image + CONFIG_BARS, placement->bars);
	}
	sriov = find_sriov(image, size);
	if (sriov)
		set_bars(image + sriov + SRIOV_BARS, placement->vf_bars);
	(void)snprintf(path, sizeof(path), "%s/config", dir);
	via_tree_bytes(tree, 0644, path, image, size);
	free(image);
}

/* The CPUs that are there, as a mask and as a list. */
static void put_cpus(struct via_tree *tree, const char *dir)
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
	via_tree_put(tree, 0444, dir, "local_cpus", "%s\n", mask);
	if (n > 1)
		via_tree_put(tree, 0444, dir, "local_cpulist", "0-%ld\n", n - 1);
	else
		via_tree_put(tree, 0444, dir, "local_cpulist", "0\n");
}

static void put_ident(struct via_tree *tree, const char *dir, const char *addr,
		      const struct via_pci_ident *id)
{
	char modalias[80];

	(void)snprintf(modalias, sizeof(modalias), "pci:v%08Xd%08Xsv%08Xsd%08Xbc%02Xsc%02Xi%02X",
		       id->vendor, id->device, id->subsystem_vendor, id->subsystem_device,
		       id->class_code >> 16 & 0xff, id->class_code >> 8 & 0xff,
		       id->class_code & 0xff);
	via_tree_put(tree, 0444, dir, "vendor", "0x%04x\n", id->vendor);
	via_tree_put(tree, 0444, dir, "device", "0x%04x\n", id->device);
	via_tree_put(tree, 0444, dir, "subsystem_vendor", "0x%04x\n", id->subsystem_vendor);
	via_tree_put(tree, 0444, dir, "subsystem_device", "0x%04x\n", id->subsystem_device);
	via_tree_put(tree, 0444, dir, "class", "0x%06x\n", id->class_code);
	via_tree_put(tree, 0444, dir, "revision", "0x%02x\n", id->revision);
	via_tree_put(tree, 0444, dir, "modalias", "%s\n", modalias);
	via_tree_put(tree, 0644, dir, "uevent",
	    "DRIVER=vfio-pci\nPCI_CLASS=%X\nPCI_ID=%04X:%04X\nPCI_SUBSYS_ID=%04X:%04X\n"
	    "PCI_SLOT_NAME=%s\nMODALIAS=%s\n",
	    id->class_code, id->vendor, id->device, id->subsystem_vendor, id->subsystem_device,
	    addr, modalias);
}

static bool has_ari(const struct via_device *dev)
{
	const struct via_device_desc *desc = via_device_desc(dev);

	for (size_t i = 0; i < desc->n_caps; i++)
		if (desc->caps[i].kind == VIA_CAP_ARI)
			return true;
	return via_device_pf(dev);
}

/* What is the same for every function in the hands of vfio-pci. */
static void put_common(struct via_tree *tree, const char *dir, const struct via_device *dev)
{
	const struct via_device_desc *desc = via_device_desc(dev);

	via_tree_put(tree, 0444, dir, "irq", "%d\n", desc->ident.interrupt_pin ? 11 : 0);
	via_tree_put(tree, 0644, dir, "numa_node", "-1\n");
	via_tree_put(tree, 0644, dir, "enable", "0\n");
	via_tree_put(tree, 0644, dir, "driver_override", "vfio-pci\n");
	via_tree_put(tree, 0644, dir, "msi_bus", "1\n");
	via_tree_put(tree, 0444, dir, "dma_mask_bits", "32\n");
	via_tree_put(tree, 0444, dir, "consistent_dma_mask_bits", "32\n");
	via_tree_put(tree, 0644, dir, "broken_parity_status", "0\n");
	via_tree_put(tree, 0644, dir, "d3cold_allowed", "0\n");
	via_tree_put(tree, 0444, dir, "ari_enabled", "%d\n", has_ari(dev));
	via_tree_put(tree, 0444, dir, "power_state", "D0\n");
	via_tree_put(tree, 0644, dir, "power/control", "auto\n");
	via_tree_put(tree, 0444, dir, "power/runtime_status", "active\n");
	if (desc->express.present) {
		via_tree_put(tree, 0444, dir, "max_link_speed", "2.5 GT/s PCIe\n");
		via_tree_put(tree, 0444, dir, "max_link_width", "1\n");
		via_tree_put(tree, 0444, dir, "current_link_speed", "2.5 GT/s PCIe\n");
		via_tree_put(tree, 0444, dir, "current_link_width", "1\n");
		via_tree_put(tree, 0644, dir, "reset_method", "flr\n");
		via_tree_put(tree, 0200, dir, "reset", "%s", "");
	}
	put_cpus(tree, dir);
}

/* Those that take writes are served by attribute.c. */
static void put_sriov(struct via_tree *tree, const char *dir, const struct via_pci_sriov *sriov)
{
	via_tree_put(tree, 0444, dir, "sriov_totalvfs", "%u\n", sriov->total);
	via_tree_put(tree, 0644, dir, "sriov_numvfs", "0\n");
	via_tree_put(tree, 0444, dir, "sriov_offset", "%u\n", sriov->offset);
	via_tree_put(tree, 0444, dir, "sriov_stride", "%u\n", sriov->stride);
	via_tree_put(tree, 0444, dir, "sriov_vf_device", "%x\n", sriov->vf_device);
	via_tree_put(tree, 0644, dir, "sriov_drivers_autoprobe", "1\n");
	via_tree_put(tree, 0444, dir, "sriov_vf_total_msix", "0\n");
}

/* Names of a function in the tree. */
struct names {
	char addr[VIA_PCI_ADDR_LEN];
	char dir[64];
};

/* A virtual function stands beside its physical one, also when its address is on another bus. */
static void name(const struct via_device *dev, struct names *ret_names)
{
	const struct via_device *pf = via_device_pf(dev);
	const struct via_pci_addr *bus = via_device_addr(pf ? pf : dev);

	via_pci_addr_format(via_device_addr(dev), ret_names->addr);
	(void)snprintf(ret_names->dir, sizeof(ret_names->dir), "devices/pci%04x:%02x/%s",
		       bus->segment, bus->bus, ret_names->addr);
}

/*
 * The device's own node, as vfio-dev/vfioN. Links are read where they lie, and
 * the view may have put class/ elsewhere: they say as much as they have to.
 */
static void put_node(struct via_tree *tree, const struct names *n, unsigned int number)
{
	char dir[96], text[128];

	(void)snprintf(dir, sizeof(dir), "%s/vfio-dev/vfio%u", n->dir, number);
	via_tree_put(tree, 0444, dir, "dev", "%u:%u\n", VIA_NODE_DEVICE_MAJOR, number);
	via_tree_put(tree, 0644, dir, "uevent", "MAJOR=%u\nMINOR=%u\nDEVNAME=vfio/devices/vfio%u\n",
		     VIA_NODE_DEVICE_MAJOR, number, number);
	via_tree_put(tree, 0644, dir, "power/control", "auto\n");
	via_tree_put(tree, 0444, dir, "power/runtime_status", "unsupported\n");
	(void)snprintf(text, sizeof(text), "../../../%s", n->addr);
	via_tree_link(tree, dir, "device", text);
	via_tree_link(tree, dir, "subsystem", "../../../../../class/vfio-dev");
	(void)snprintf(text, sizeof(text), "../../%s", dir);
	(void)snprintf(dir, sizeof(dir), "vfio%u", number);
	via_tree_link(tree, "class/vfio-dev", dir, text);
}

static void put_device(struct via_tree *tree, struct via_device *dev, unsigned int group,
		       unsigned int number, bool iommu, const struct placement *placement)
{
	char link[96], group_dir[64];
	struct names n;

	name(dev, &n);
	put_ident(tree, n.dir, n.addr, &via_device_desc(dev)->ident);
	put_common(tree, n.dir, dev);
	if (via_device_sriov(dev))
		put_sriov(tree, n.dir, via_device_sriov(dev));
	put_resources(tree, n.dir, placement);
	put_config(tree, dev, n.dir, placement);
	via_tree_link(tree, n.dir, "driver", "../../../bus/pci/drivers/vfio-pci");
	via_tree_link(tree, n.dir, "subsystem", "../../../bus/pci");
	if (iommu)
		via_tree_link(tree, n.dir, "iommu", "../../../class/iommu/dmar0");
	(void)snprintf(link, sizeof(link), "../../../kernel/iommu_groups/%u", group);
	via_tree_link(tree, n.dir, "iommu_group", link);

	(void)snprintf(link, sizeof(link), "../../../%s", n.dir);
	via_tree_link(tree, "bus/pci/devices", n.addr, link);
	(void)snprintf(link, sizeof(link), "../../../../%s", n.dir);
	via_tree_link(tree, "bus/pci/drivers/vfio-pci", n.addr, link);
	(void)snprintf(group_dir, sizeof(group_dir), "kernel/iommu_groups/%u/devices", group);
	via_tree_link(tree, group_dir, n.addr, link);
	if (iommu)
		via_tree_link(tree, "class/iommu/dmar0/devices", n.addr, link);
	put_node(tree, &n, number);
}

static bool has_iommu(const struct via_host *host)
{
	return via_vfio_device_nodes(host->vfio);
}

static const struct via_iommu_props *iommu_props(struct via_host *host)
{
	return host->iommu ? host->iommu : via_iommu_props_intel();
}

/* The gaps between the usable ranges below 4 GiB, in practice the MSI window. */
static void put_reserved(struct via_tree *tree, const char *dir, const struct via_iommu_props *props)
{
	char text[512] = "";
	size_t at = 0;

	for (size_t i = 1; i < props->n_ranges && at < sizeof(text) - 48; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at,
				       "0x%016" PRIx64 " 0x%016" PRIx64 " msi\n",
				       props->ranges[i - 1].last + 1, props->ranges[i].first - 1);
	via_tree_put(tree, 0444, dir, "reserved_regions", "%s", text);
}

static void put_group(struct via_tree *tree, struct via_host *host, unsigned int group)
{
	char dir[64], node[VIA_GROUP_NODE_LEN];

	via_vfio_group_node(host->vfio, group, node);
	(void)snprintf(dir, sizeof(dir), "kernel/iommu_groups/%u", group);
	if (has_iommu(host)) {
		via_tree_put(tree, 0644, dir, "type", "DMA\n");
		put_reserved(tree, dir, iommu_props(host));
	} else {
		via_tree_put(tree, 0644, dir, "type", "unknown\n");
		via_tree_put(tree, 0444, dir, "name", "vfio-noiommu\n");
		via_tree_put(tree, 0444, dir, "reserved_regions", "%s", "");
	}
	(void)snprintf(dir, sizeof(dir), "class/%s", node);
	/* The number of the node is of no use here: opens go by name. */
	via_tree_put(tree, 0644, dir, "uevent", "MAJOR=%u\nMINOR=%u\nDEVNAME=%s\n",
		     VIA_NODE_GROUP_MAJOR, group, node);
	via_tree_put(tree, 0444, dir, "dev", "%u:%u\n", VIA_NODE_GROUP_MAJOR, group);
}

static void put_system(struct via_tree *tree, bool iommu)
{
	static const char *const commands[] = {"bind", "unbind", "new_id", "remove_id", "uevent"};
	static const char driver[] = "bus/pci/drivers/vfio-pci";

	via_tree_dirs(tree, "bus/pci/devices", true);
	via_tree_dirs(tree, "bus/pci/slots", true);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		via_tree_put(tree, 0200, driver, commands[i], "%s", "");
	via_tree_link(tree, driver, "module", "../../../../module/vfio_pci");
	via_tree_put(tree, 0644, "bus/pci", "drivers_autoprobe", "1\n");
	via_tree_put(tree, 0200, "bus/pci", "drivers_probe", "%s", "");
	via_tree_put(tree, 0200, "bus/pci", "rescan", "%s", "");

	via_tree_put(tree, 0644, "module/vfio/parameters", "enable_unsafe_noiommu_mode",
		     iommu ? "N\n" : "Y\n");
	via_tree_put(tree, 0444, "module/vfio", "version", "0.3\n");
	via_tree_put(tree, 0444, "module/vfio_pci/parameters", "disable_denylist", "N\n");
	via_tree_put(tree, 0644, "module/vfio_pci/parameters", "disable_idle_d3", "N\n");
	via_tree_put(tree, 0444, "module/vfio_pci/parameters", "disable_vga", "N\n");
	via_tree_put(tree, 0644, "module/vfio_pci/parameters", "enable_sriov", "Y\n");
	via_tree_put(tree, 0644, "module/vfio_pci/parameters", "nointxmask", "N\n");
	via_tree_dirs(tree, "class/vfio-dev", true);
	via_tree_link(tree, "module/vfio_pci/drivers", "pci:vfio-pci",
		 "../../../bus/pci/drivers/vfio-pci");
	via_tree_put(tree, 0644, "module/vfio_iommu_type1/parameters", "allow_unsafe_interrupts", "N\n");
	via_tree_put(tree, 0644, "module/vfio_iommu_type1/parameters", "disable_hugepages", "N\n");
}

/* Of a type1 container. */
static uint32_t entry_limit(struct via_host *host)
{
	return host->entry_limit ? host->entry_limit : iommu_props(host)->entry_limit;
}

/* Fields that programs read: the guest address width (MGAW) above all. */
static void put_iommu(struct via_tree *tree, const struct via_iommu_props *props,
		      uint32_t entry_limit)
{
	static const char dir[] = "class/iommu/dmar0/intel-iommu";
	unsigned int bits =
		64 - (unsigned int)__builtin_clzll(props->ranges[props->n_ranges - 1].last);

	via_tree_put(tree, 0444, dir, "cap", "%" PRIx64 "\n",
	    (UINT64_C(0x80d2008c222f0686) & ~(UINT64_C(0x3f) << 16)) | (uint64_t)((bits - 1) & 0x3f)
									       << 16);
	via_tree_put(tree, 0444, dir, "ecap", "f00f4a\n");
	via_tree_put(tree, 0444, dir, "address", "fed90000\n");
	via_tree_put(tree, 0444, dir, "version", "1:0\n");
	via_tree_put(tree, 0444, dir, "domains_supported", "65536\n");
	via_tree_put(tree, 0444, dir, "domains_used", "1\n");
	via_tree_put(tree, 0644, "module/vfio_iommu_type1/parameters", "dma_entry_limit", "%u\n",
	    entry_limit);
	via_tree_dirs(tree, "class/iommu/dmar0/devices", true);
}

/* Once per group, whichever of its devices comes first. */
static bool first_of_group(struct via_host *host, size_t device)
{
	int group = via_vfio_device_group(host->vfio, device);

	for (size_t i = 0; i < device; i++)
		if (via_vfio_device_group(host->vfio, i) == group)
			return false;
	return true;
}

int via_host_sysfs(struct via_host *host, int dirfd, struct via_error *err)
{
	struct windows windows = {MEM32_START, MEM64_START, IO_START};
	struct via_tree tree = {.root = dirfd};
	struct via_device *dev;

	put_system(&tree, has_iommu(host));
	if (has_iommu(host))
		put_iommu(&tree, iommu_props(host), entry_limit(host));
	for (size_t i = 0; (dev = via_vfio_device(host->vfio, i)); i++) {
		unsigned int group = (unsigned int)via_vfio_device_group(host->vfio, i);
		struct placement placement;

		if (first_of_group(host, i))
			put_group(&tree, host, group);
		place(&windows, dev, &placement);
		put_device(&tree, dev, group,
			   (unsigned int)via_vfio_device_number(host->vfio, dev), has_iommu(host),
			   &placement);
	}
	if (tree.error)
		return via_error_set(err, tree.error, "cannot write %s of the program's sysfs: %s",
				     tree.failed, strerror(-tree.error));
	return 0;
}

/* Virtual functions --------------------------------------------------------- */

/* Who shows a physical function's virtual ones to programs. */
struct via_host_view {
	int sys, root; /* owned; what programs see as /sys, and what has dev/ */
	size_t n;
	struct {
		const struct via_device *pf;
		struct placement placement;
	} pfs[];
};

static const struct placement *placement_of(const struct via_host_view *view,
					    const struct via_device *pf)
{
	static const struct placement none;

	for (size_t i = 0; i < view->n; i++)
		if (view->pfs[i].pf == pf)
			return &view->pfs[i].placement;
	return &none;
}

static int finish(struct via_tree *tree, const struct via_device *dev)
{
	struct names n;

	if (!tree->error)
		return 0;
	name(dev, &n);
	via_log(VIA_LOG_WARNING, "%s: cannot change %s in the program's view: %s", n.addr,
		tree->failed, strerror(-tree->error));
	return tree->error;
}

static void forget(struct via_host *host, struct via_tree *tree, const struct via_device *vf,
		   unsigned int group, unsigned int number)
{
	struct via_tree root = {.root = host->view->root};
	char node[VIA_GROUP_NODE_LEN];
	struct names n;
	char path[128];

	name(vf, &n);
	via_vfio_group_node(host->vfio, group, node);
	(void)snprintf(path, sizeof(path), "dev/%s", node);
	via_tree_remove(&root, path);
	(void)snprintf(path, sizeof(path), "dev/vfio/devices/vfio%u", number);
	via_tree_remove(&root, path);
	(void)snprintf(path, sizeof(path), "class/vfio-dev/vfio%u", number);
	via_tree_remove(tree, path);
	(void)snprintf(path, sizeof(path), "class/%s", node);
	via_tree_remove(tree, path);
	(void)snprintf(path, sizeof(path), "kernel/iommu_groups/%u", group);
	via_tree_remove(tree, path);
	(void)snprintf(path, sizeof(path), "class/iommu/dmar0/devices/%s", n.addr);
	via_tree_remove(tree, path);
	(void)snprintf(path, sizeof(path), "bus/pci/devices/%s", n.addr);
	via_tree_remove(tree, path);
	via_tree_remove(tree, n.dir);
}

/* It is going: no driver has it any more, and its physical function does not know it. */
static void unbind(struct via_tree *tree, const struct via_device *vf, unsigned int index)
{
	struct names n, pf;
	char path[128];

	name(via_device_pf(vf), &pf);
	name(vf, &n);
	(void)snprintf(path, sizeof(path), "%s/virtfn%u", pf.dir, index);
	via_tree_remove(tree, path);
	(void)snprintf(path, sizeof(path), "%s/driver", n.dir);
	via_tree_remove(tree, path);
	(void)snprintf(path, sizeof(path), "bus/pci/drivers/vfio-pci/%s", n.addr);
	via_tree_remove(tree, path);
}

static int vf_added(void *cookie, struct via_device *vf, unsigned int index, unsigned int group,
		    unsigned int number)
{
	struct via_host *host = cookie;
	struct via_host_view *view = host->view;
	struct via_device *pf = via_device_pf(vf);
	const struct via_pci_sriov *sriov = via_device_sriov(pf);
	const struct placement *of_pf = placement_of(view, pf);
	struct via_tree tree = {.root = view->sys}, root = {.root = view->root};
	struct placement placement = {0};
	struct names n, of;
	char text[64];

	for (size_t i = 0; i < VIA_PCI_BARS; i++) {
		if (!of_pf->vf_bars[i].start)
			continue;
		placement.bars[i] = of_pf->vf_bars[i];
		placement.bars[i].start += index * sriov->bars[i].size;
		placement.bars[i].end = placement.bars[i].start + sriov->bars[i].size - 1;
	}
	name(pf, &of);
	name(vf, &n);
	put_group(&tree, host, group);
	put_device(&tree, vf, group, number, has_iommu(host), &placement);
	via_tree_put(&tree, 0200, n.dir, "sriov_vf_msix_count", "%s", "");
	(void)snprintf(text, sizeof(text), "../%s", of.addr);
	via_tree_link(&tree, n.dir, "physfn", text);
	via_vfio_group_node(host->vfio, group, text);
	via_tree_put(&root, 0666, "dev", text, "%s", "");
	(void)snprintf(text, sizeof(text), "vfio%u", number);
	if (has_iommu(host))
		via_tree_put(&root, 0666, "dev/vfio/devices", text, "%s", "");
	/* Last: who sees it finds all the rest. */
	(void)snprintf(text, sizeof(text), "virtfn%u", index);
	(void)snprintf(n.dir, sizeof(n.dir), "../%s", n.addr);
	via_tree_link(&tree, of.dir, text, n.dir);
	if (!tree.error && root.error)
		via_tree_fail(&tree, root.error, root.failed);
	if (tree.error) {
		struct via_tree rest = {.root = view->sys};

		unbind(&rest, vf, index);
		forget(host, &rest, vf, group, number);
	}
	return finish(&tree, vf);
}

static void vf_leaving(void *cookie, struct via_device *vf, unsigned int index)
{
	struct via_host *host = cookie;
	struct via_tree tree = {.root = host->view->sys};

	unbind(&tree, vf, index);
	(void)finish(&tree, vf);
}

static void vf_removed(void *cookie, struct via_device *vf, unsigned int group,
		       unsigned int number)
{
	struct via_host *host = cookie;
	struct via_tree tree = {.root = host->view->sys};

	forget(host, &tree, vf, group, number);
	(void)finish(&tree, vf);
}

static void numvfs_changed(void *cookie, struct via_device *pf, unsigned int n)
{
	struct via_host *host = cookie;
	struct via_tree tree = {.root = host->view->sys};
	uint8_t image[4096] = {0};
	size_t size = via_device_config_size(pf);
	unsigned int at;
	struct names of;
	char path[128];

	name(pf, &of);
	(void)snprintf(path, sizeof(path), "%s/config", of.dir);
	if (size <= sizeof(image)) {
		via_config_device_bytes(via_device_config(pf), image);
		at = find_sriov(image, size);
		set_bars(image + at + SRIOV_BARS, placement_of(host->view, pf)->vf_bars);
		if (at)
			via_tree_update(&tree, path, at, image + at, SRIOV_SIZE);
	}
	via_host_attribute(host, pf, "sriov_numvfs", n);
	(void)finish(&tree, pf);
}

void via_host_attribute(struct via_host *host, const struct via_device *dev, const char *name_of,
			unsigned int value)
{
	struct via_tree tree = {.root = host->view ? host->view->sys : -1};
	struct names n;
	char path[128];

	if (!host->view)
		return;
	name(dev, &n);
	(void)snprintf(path, sizeof(path), "%s/%s", n.dir, name_of);
	via_tree_value(&tree, path, value);
	(void)finish(&tree, dev);
}

static const struct via_vfio_vf_ops vf_ops = {
	.added = vf_added,
	.leaving = vf_leaving,
	.removed = vf_removed,
	.changed = numvfs_changed,
};

int via_host_view(struct via_host *host, int sys, int root)
{
	struct windows windows = {MEM32_START, MEM64_START, IO_START};
	struct via_host_view *view;
	struct via_device *dev;
	size_t n = 0;

	while (via_vfio_device(host->vfio, n))
		n++;
	view = calloc(1, sizeof(*view) + n * sizeof(view->pfs[0]));
	if (!view)
		return -ENOMEM;
	view->sys = sys;
	view->root = root;
	for (size_t i = 0; (dev = via_vfio_device(host->vfio, i)); i++) {
		struct placement placement;

		/* In the same order as when the tree was written. */
		place(&windows, dev, &placement);
		if (!via_device_sriov(dev))
			continue;
		view->pfs[view->n].pf = dev;
		view->pfs[view->n++].placement = placement;
	}
	host->view = view;
	via_vfio_on_vfs(host->vfio, &vf_ops, host);
	return 0;
}

void via_host_view_free(struct via_host *host)
{
	struct via_host_view *view = host->view;

	if (!view)
		return;
	via_vfio_on_vfs(host->vfio, NULL, NULL);
	(void)close(view->sys);
	(void)close(view->root);
	free(view);
	host->view = NULL;
}
