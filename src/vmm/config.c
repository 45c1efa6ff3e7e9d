/* SPDX-License-Identifier: MIT */
/*
 * Config space of bus 0 as a guest reaches it: the memory window of PCI Express (ECAM), and
 * configuration mechanism 1 of PCI, an address and a data port (PCI Local Bus 3.0, 3.2.2.3.2).
 */
#include "vmm/internal.h"

#include "pci/regs.h"

#include <errno.h>

#define CONFIG_ADDRESS 0xcf8u
#define CONFIG_DATA 0xcfcu
#define ADDRESS_ENABLE 0x80000000u
#define ADDRESS_VALID 0x80fffffcu /* bits that can be written */
#define CONFIG_BYTES 4096u
#define HEADER_MULTIFUNCTION 0x80u

/* --- one access, in a section ---------------------------------------------- */

static bool has_others(struct via_pci_root *root, unsigned int slot)
{
	for (unsigned int i = 1; i < 8; i++)
		if (via_root_function_at(root, slot * 8 + i))
			return true;
	return false;
}

/* False: there is nothing. */
static bool read_bytes(struct via_pci_root *root, unsigned int devfn, unsigned int pos,
		       uint8_t *bytes, unsigned int size)
{
	struct via_root_function *function = via_root_function_at(root, devfn);

	if (function)
		return via_device_region_read(function->dev, VIA_REGION_CONFIG, pos, bytes, size) ==
		       (ssize_t)size;
	if (devfn || root->desc.no_bridge || pos >= CONFIG_BYTES)
		return false;
	memset(bytes, 0, size);
	if (pos < sizeof(root->bridge))
		memcpy(bytes, root->bridge + pos, size);
	return true;
}

/* size is 1, 2 or 4 and inside a dword. */
static uint32_t config_read(struct via_pci_root *root, unsigned int devfn, unsigned int pos,
			    unsigned int size)
{
	uint32_t all = UINT32_MAX >> (32 - 8 * size);
	uint8_t bytes[4] = {0};

	if (!read_bytes(root, devfn, pos, bytes, size))
		return all;
	/* Where a guest learns that it is worth looking for more. */
	if (pos <= PCI_HEADER_TYPE && pos + size > PCI_HEADER_TYPE && devfn % 8 == 0 &&
	    has_others(root, devfn / 8))
		bytes[PCI_HEADER_TYPE - pos] |= HEADER_MULTIFUNCTION;
	return via_get_le32(bytes);
}

static void config_write(struct via_pci_root *root, unsigned int devfn, unsigned int pos,
			 unsigned int size, uint32_t value)
{
	struct via_root_function *function = via_root_function_at(root, devfn);
	uint8_t bytes[4];

	if (!function)
		return;
	via_put_le32(bytes, value);
	(void)via_device_region_write(function->dev, VIA_REGION_CONFIG, pos, bytes, size);
	pthread_mutex_lock(&root->lock);
	if (via_root_function_at(root, devfn) == function)
		via_root_bars_update(function);
	pthread_mutex_unlock(&root->lock);
}

/* --- ECAM ------------------------------------------------------------------ */

static int ecam_read(void *opaque, uint64_t offset, unsigned int size, uint64_t *ret_value)
{
	*ret_value = config_read(opaque, (unsigned int)(offset >> 12), offset & 0xfff, size);
	return VIA_BUS_OK;
}

static int ecam_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	config_write(opaque, (unsigned int)(offset >> 12), offset & 0xfff, size, (uint32_t)value);
	return VIA_BUS_OK;
}

static const struct via_bus_ops ecam_ops = {.read = ecam_read, .write = ecam_write};

/* --- ports ----------------------------------------------------------------- */

static int address_read(void *opaque, uint64_t offset, unsigned int size, uint64_t *ret_value)
{
	struct via_pci_root *root = opaque;

	if (offset || size != 4)
		return VIA_BUS_DECLINE;
	*ret_value = atomic_load_explicit(&root->config_address, memory_order_relaxed);
	return VIA_BUS_OK;
}

static int address_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	struct via_pci_root *root = opaque;

	/* Anything but a dword goes to the ports as if there were no such register. */
	if (offset || size != 4)
		return VIA_BUS_DECLINE;
	atomic_store_explicit(&root->config_address, (uint32_t)value & ADDRESS_VALID,
			      memory_order_relaxed);
	return VIA_BUS_OK;
}

static const struct via_bus_ops address_ops = {.read = address_read, .write = address_write};

/* False: the data port is an ordinary one. */
static bool selected(struct via_pci_root *root, uint64_t offset, bool *ret_ours,
		     unsigned int *ret_devfn, unsigned int *ret_pos)
{
	uint32_t address = atomic_load_explicit(&root->config_address, memory_order_relaxed);

	*ret_ours = !(address >> 16 & 0xff);
	*ret_devfn = address >> 8 & 0xff;
	*ret_pos = (address & 0xfc) + (unsigned int)offset;
	return address & ADDRESS_ENABLE;
}

static int data_read(void *opaque, uint64_t offset, unsigned int size, uint64_t *ret_value)
{
	unsigned int devfn, pos;
	bool ours;

	if (!selected(opaque, offset, &ours, &devfn, &pos))
		return VIA_BUS_DECLINE;
	*ret_value = ours ? config_read(opaque, devfn, pos, size) : UINT64_MAX;
	return VIA_BUS_OK;
}

static int data_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	unsigned int devfn, pos;
	bool ours;

	if (!selected(opaque, offset, &ours, &devfn, &pos))
		return VIA_BUS_DECLINE;
	if (ours)
		config_write(opaque, devfn, pos, size, (uint32_t)value);
	return VIA_BUS_OK;
}

static const struct via_bus_ops data_ops = {.read = data_read, .write = data_write};

/* --- claims ---------------------------------------------------------------- */

static int claim(struct via_pci_root *root, struct via_bus *bus, uint64_t start, uint64_t size,
		 const struct via_bus_ops *ops, const char *name, struct via_claim **ret_claim)
{
	return via_bus_add(bus,
			   &(struct via_claim_desc){
				   .start = start,
				   .last = start + (size - 1),
				   .priority = root->desc.priority,
				   .ops = ops,
				   .opaque = root,
				   .name = name,
				   .valid_unaligned = true,
				   .impl_max = 4,
			   },
			   ret_claim);
}

int via_root_config_claim(struct via_pci_root *root)
{
	int ret = 0;

	if (root->desc.ecam)
		ret = claim(root, root->desc.mmio, root->desc.ecam, VIA_ROOT_ECAM_SIZE, &ecam_ops,
			    "PCI config space", &root->ecam);
	if (!ret && root->desc.config_ports)
		ret = claim(root, root->desc.pio, CONFIG_ADDRESS, 4, &address_ops,
			    "PCI config address", &root->address_port);
	if (!ret && root->desc.config_ports)
		ret = claim(root, root->desc.pio, CONFIG_DATA, 4, &data_ops, "PCI config data",
			    &root->data_port);
	return ret;
}

void via_root_config_unclaim(struct via_pci_root *root)
{
	if (root->ecam)
		(void)via_bus_remove(root->ecam);
	if (root->address_port)
		(void)via_bus_remove(root->address_port);
	if (root->data_port)
		(void)via_bus_remove(root->data_port);
}

/* A function without BARs, capabilities and interrupts. */
void via_root_bridge_init(struct via_pci_root *root)
{
	uint8_t *b = root->bridge;

	via_put_le16(b + PCI_VENDOR_ID, root->desc.vendor ? root->desc.vendor : 0x1b36);
	via_put_le16(b + PCI_DEVICE_ID, root->desc.vendor ? root->desc.device : 0x0008);
	via_put_le16(b + PCI_CLASS_DEVICE, 0x0600);
}

/* --- for the VMM ----------------------------------------------------------- */

static bool valid(const struct via_pci_root *root, const struct via_pci_addr *addr,
		  unsigned int pos, unsigned int size)
{
	return addr->segment == root->desc.segment && !addr->bus && addr->device < VIA_PCI_SLOTS &&
	       addr->function < 8 && (size == 1 || size == 2 || size == 4) && pos < CONFIG_BYTES &&
	       size <= CONFIG_BYTES - pos;
}

uint32_t via_pci_root_config_read(struct via_pci_root *root, const struct via_pci_addr *addr,
				  unsigned int pos, unsigned int size)
{
	uint32_t value = UINT32_MAX;

	if (!valid(root, addr, pos, size))
		return value;
	via_epoch_enter();
	value = config_read(root, addr->device * 8u + addr->function, pos, size);
	via_epoch_exit();
	return value;
}

void via_pci_root_config_write(struct via_pci_root *root, const struct via_pci_addr *addr,
			       unsigned int pos, unsigned int size, uint32_t value)
{
	if (!valid(root, addr, pos, size))
		return;
	via_epoch_enter();
	config_write(root, addr->device * 8u + addr->function, pos, size, value);
	via_epoch_exit();
}
