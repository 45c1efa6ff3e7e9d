/* SPDX-License-Identifier: MIT */
/*
 * A recorded function: its config space is the engine's, over the device's
 * registers as they were recorded; its BARs have their recorded sizes and
 * nothing in them. For drivers and tools that look at what a function is.
 */
#include "models/catalogue.h"
#include "models/image/recording.h"

#include "device/device.h"
#include "pci/dev.h"
#include "pci/masks.h"
#include "pci/regs.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#define PAGE 4096u
struct image {
	struct via_recording *recording; /* owned */
	struct via_device_desc desc;
	uint8_t *rom;				  /* owned */
	struct via_device *dev;			  /* set before the first access */
	unsigned int pm, msi, msix;		  /* capabilities, 0: none */
	uint8_t initial[VIA_CONFIG_SIZE_EXPRESS]; /* as a program finds them */
	uint8_t value[VIA_CONFIG_SIZE_EXPRESS];	  /* under the config lock */
};

/* --- The device's registers ------------------------------------------------ */

/* MSI-X is enabled by arming it, and that can be seen. */
static uint8_t live_byte(const struct image *image, unsigned int pos)
{
	bool enabled = image->msix && pos == image->msix + PCI_MSIX_CONTROL + 1 && image->dev &&
		       via_device_irq_armed(image->dev, VIA_IRQ_MSIX);

	return image->value[pos] | (enabled ? PCI_MSIX_CONTROL_ENABLE >> 8 : 0);
}

static int image_read(void *cookie, unsigned int pos, unsigned int width, uint32_t *ret_value)
{
	const struct image *image = cookie;
	uint32_t value = 0;

	for (unsigned int i = 0; i < width; i++)
		value |= (uint32_t)live_byte(image, pos + i) << 8 * i;
	*ret_value = value;
	return 0;
}

/* Where nobody recorded which bits change: those of the header that do in any function. */
static uint8_t header_writable(unsigned int pos)
{
	const unsigned int command = PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER |
				     PCI_COMMAND_SERR | PCI_COMMAND_INTX_DISABLE;

	if (pos == PCI_COMMAND)
		return (uint8_t)command;
	if (pos == PCI_COMMAND + 1)
		return command >> 8;
	return pos == PCI_CACHE_LINE_SIZE || pos == PCI_INTERRUPT_LINE ? 0xff : 0;
}

static int image_write(void *cookie, unsigned int pos, unsigned int width, uint32_t value)
{
	struct image *image = cookie;
	const struct via_recording *rec = image->recording;
	uint8_t raise = 0;

	for (unsigned int i = 0; i < width; i++) {
		unsigned int p = pos + i;
		uint8_t byte = (uint8_t)(value >> 8 * i);
		uint8_t bits = rec->writable.size ? rec->writable.bytes[p] : header_writable(p);
		uint8_t w1c = rec->w1c.size ? rec->w1c.bytes[p] : 0;

		image->value[p] = (uint8_t)((image->value[p] & ~bits) | (byte & bits));
		image->value[p] &= (uint8_t) ~(byte & w1c);
		if (rec->raise && p == rec->raise)
			raise = byte;
	}
	for (unsigned int i = 0; raise && rec->w1c.size && i < sizeof(image->value); i++)
		image->value[i] |= raise & rec->w1c.bytes[i];
	return 0;
}

static void clear_bits(uint8_t *p, unsigned int bits)
{
	via_put_le16(p, (uint16_t)(via_get_le16(p) & ~bits));
}

/*
 * What the host does when a program opens a function (pci-config.md 6.1), where
 * it was recorded before: awake, decoding what it has, and otherwise quiet.
 */
static void host_opens(struct image *image)
{
	uint8_t *value = image->initial;

	clear_bits(value + PCI_COMMAND, PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE);
	/* A virtual function, whose ids are ones, always decodes. */
	for (unsigned int i = 0; i < VIA_PCI_BARS; i++)
		if (image->desc.bars[i].size && via_get_le16(value + PCI_VENDOR_ID) != 0xffff)
			value[PCI_COMMAND] |= image->desc.bars[i].flags & VIA_BAR_IO
						      ? PCI_COMMAND_IO
						      : PCI_COMMAND_MEMORY;
	if (image->pm)
		clear_bits(value + image->pm + PCI_PM_CSR,
			   PCI_PM_CSR_STATE | PCI_PM_CSR_PME_ENABLE);
	if (image->msi)
		clear_bits(value + image->msi + PCI_MSI_CONTROL, PCI_MSI_CONTROL_ENABLE);
	if (image->msix)
		clear_bits(value + image->msix + PCI_MSIX_CONTROL, PCI_MSIX_CONTROL_ENABLE);
}

static void image_init(void *cookie)
{
	struct image *image = cookie;

	memcpy(image->value, image->initial, sizeof(image->value));
}

/* The host saves and restores what it can; status went with the reset, and what was found lost. */
static void image_reset(void *cookie)
{
	struct image *image = cookie;
	const struct via_recording *rec = image->recording;

	for (unsigned int i = 0; i < sizeof(image->value); i++) {
		uint8_t w1c = rec->w1c.size ? rec->w1c.bytes[i] : 0;

		image->value[i] &= (uint8_t) ~(w1c | rec->lost[i]);
		image->value[i] |= image->initial[i] & rec->lost[i];
	}
}

/* What is written stays, as in an EEPROM. Behind its end: as regfile.c has it. */
static int image_vpd(void *cookie, bool write, unsigned int address, uint8_t data[4])
{
	const struct image *image = cookie;
	struct via_recording *rec = image->recording;

	if (!rec->vpd_len)
		return -ENODEV;
	if (write && (address % 4 || address + 4 > rec->vpd_len))
		return -EINVAL;
	for (unsigned int i = 0; i < 4; i++) {
		if (write)
			rec->vpd[address + i] = data[i];
		else
			data[i] = address + i < rec->vpd_len ? rec->vpd[address + i] : 0;
	}
	return 0;
}

static const struct via_config_dev_ops registers = {
	.read = image_read,
	.write = image_write,
	.init = image_init,
	.reset = image_reset,
	.vpd = image_vpd,
};

/* --- From the recording to a description ----------------------------------- */

static void describe_bar(struct image *image, unsigned int i)
{
	const struct via_recording_resource *r = &image->recording->resources[i];
	struct via_bar_desc *bar = &image->desc.bars[i];

	if (!r->size)
		return;
	bar->size = r->size;
	if (r->flags & VIA_RESOURCE_IO) {
		bar->flags = VIA_BAR_IO;
		return;
	}
	bar->flags = (r->flags & VIA_RESOURCE_MEM_64 ? VIA_BAR_MEM64 : VIA_BAR_MEM32) |
		     (r->flags & VIA_RESOURCE_PREFETCH ? VIA_BAR_PREFETCH : 0);
	/* Part of a page can be mapped when nothing else is in it. */
	if (r->start % PAGE)
		bar->flags |= VIA_BAR_UNMAPPABLE;
}

static void describe_msi(struct via_device_desc *desc, const uint8_t *bytes, unsigned int cap)
{
	unsigned int control = via_get_le16(bytes + cap + PCI_MSI_CONTROL);
	unsigned int mmc = (control & PCI_MSI_CONTROL_MMC) >> PCI_MSI_CONTROL_MMC_SHIFT;

	desc->msi.vectors = (uint8_t)(1u << (mmc > 5 ? 5 : mmc));
	desc->msi.addr64 = control & PCI_MSI_CONTROL_64BIT;
	desc->msi.maskable = control & PCI_MSI_CONTROL_MASKABLE;
}

static void describe_msix(struct via_device_desc *desc, const uint8_t *bytes, unsigned int cap)
{
	struct via_pci_msix *msix = &desc->msix;
	uint32_t table = via_get_le32(bytes + cap + PCI_MSIX_TABLE);
	uint32_t pba = via_get_le32(bytes + cap + PCI_MSIX_PBA);

	msix->vectors =
		(uint16_t)((via_get_le16(bytes + cap + PCI_MSIX_CONTROL) & PCI_MSIX_CONTROL_SIZE) +
			   1);
	msix->table_bar = table & 7;
	msix->table_offset = table & ~7u;
	msix->pba_bar = pba & 7;
	msix->pba_offset = pba & ~7u;
}

static int describe_rom(struct image *image, struct via_error *err)
{
	const struct via_recording_resource *r = &image->recording->resources[6];

	/* What firmware copied to where a program may not look is not to be had. */
	if (!r->size || r->flags & VIA_RESOURCE_ROM_SHADOW)
		return 0;
	if (r->size > 16 << 20 || r->size & (r->size - 1))
		return via_error_set(err, -EINVAL, "image: an expansion ROM of %#" PRIx64 " bytes",
				     r->size);
	/* What was in it is not recorded: a signature, and ones. */
	image->rom = malloc(r->size);
	if (!image->rom)
		return -ENOMEM;
	memset(image->rom, 0xff, r->size);
	image->rom[0] = 0x55;
	image->rom[1] = 0xaa;
	image->desc.rom = (struct via_pci_rom){image->rom, (uint32_t)r->size};
	return 0;
}

static int describe(struct image *image, struct via_error *err)
{
	const struct via_recording_image *raw = via_recording_raw(image->recording);
	const uint8_t *bytes = raw->bytes;
	struct via_device_desc *desc = &image->desc;
	struct via_config_masks *masks = malloc(sizeof(*masks));
	uint8_t *copy = malloc(VIA_CONFIG_SIZE_EXPRESS);
	int r = masks && copy ? 0 : -ENOMEM;

	desc->name = "image";
	if (bytes[PCI_HEADER_TYPE] & PCI_HEADER_TYPE_BITS)
		r = via_error_set(err, -EINVAL,
				  "image: header type %u: only type 0 functions can be assigned",
				  bytes[PCI_HEADER_TYPE] & PCI_HEADER_TYPE_BITS);
	for (unsigned int i = 0; i < VIA_PCI_BARS; i++)
		describe_bar(image, i);
	if (!r)
		r = describe_rom(image, err);
	if (!r) {
		memcpy(copy, bytes, VIA_CONFIG_SIZE_EXPRESS);
		via_config_masks_build(masks, copy, raw->size, &(struct via_config_policy){0});
		desc->ident = (struct via_pci_ident){
			.vendor = via_get_le16(bytes + PCI_VENDOR_ID),
			.device = via_get_le16(bytes + PCI_DEVICE_ID),
			.class_code = via_get_le32(bytes + PCI_REVISION_ID) >> 8,
			.interrupt_pin =
				bytes[PCI_INTERRUPT_PIN] > 4 ? 0 : bytes[PCI_INTERRUPT_PIN],
		};
		desc->express.present = masks->express;
		image->pm = masks->pm;
		image->msi = masks->msi;
		image->msix = masks->msix;
		if (masks->msi)
			describe_msi(desc, bytes, masks->msi);
		if (masks->msix)
			describe_msix(desc, bytes, masks->msix);
	}
	free(masks);
	free(copy);
	return r;
}

/* --- The model --------------------------------------------------------------- */

static void image_free(void *model)
{
	struct image *image = model;

	via_recording_free(image->recording);
	free(image->rom);
	free(image);
}

static const struct via_device_ops ops = {
	.free = image_free,
};

/* A virtual function's ids are ones in its own registers; the program sees what the host knows. */
static unsigned int config_flags(struct image *image)
{
	const struct via_recording *rec = image->recording;

	if (image->desc.ident.vendor != 0xffff)
		return VIA_CONFIG_RAW_GAPS;
	image->desc.ident.vendor = via_get_le16(rec->vfio.bytes + PCI_VENDOR_ID);
	image->desc.ident.device = via_get_le16(rec->vfio.bytes + PCI_DEVICE_ID);
	image->desc.ident.interrupt_pin = 0;
	return VIA_CONFIG_RAW_GAPS | VIA_CONFIG_VF;
}

static uint32_t shadow_size(const struct via_recording *rec)
{
	const struct via_recording_resource *r = &rec->resources[6];

	if (!(r->flags & VIA_RESOURCE_ROM_SHADOW) || r->size > 16 << 20 || r->size & (r->size - 1))
		return 0;
	return (uint32_t)r->size;
}

/* recording becomes the device's, also when this fails. */
static int image_new(struct via_recording *recording, struct via_error *err,
		     struct via_device **ret_device)
{
	struct image *image = calloc(1, sizeof(*image));
	struct via_device_backing backing = {0};
	int r;

	if (!image) {
		via_recording_free(recording);
		return -ENOMEM;
	}
	image->recording = recording;
	r = describe(image, err);
	if (r) {
		image_free(image);
		return r;
	}
	memcpy(image->initial, via_recording_raw(recording)->bytes, sizeof(image->initial));
	if (!recording->open.size)
		host_opens(image);
	image_init(image);
	backing.config = (struct via_config_dev){
		.ops = &registers,
		.cookie = image,
		.size = via_recording_raw(recording)->size,
	};
	backing.config_flags = config_flags(image);
	backing.told_reset = true;
	backing.no_reset = !recording->can_reset;
	backing.rom_bar = shadow_size(recording);
	r = via_device_new_on(&image->desc, &backing, &ops, image, err, ret_device);
	if (!r)
		image->dev = *ret_device;
	return r;
}

static int create(const struct via_options *opts, struct via_error *err,
		  struct via_device **ret_device)
{
	const char *path = via_options_string(opts, "recording");
	FILE *file = fopen(path, "re");
	struct via_recording *recording;
	struct via_error why = {0};
	int r;

	if (!file)
		return via_error_set(err, -errno, "image: recording '%s': %s", path,
				     strerror(errno));
	r = via_recording_read(file, &why, &recording);
	(void)fclose(file);
	if (r)
		return via_error_set(err, r, "image: recording '%s': %s", path,
				     why.text[0] ? why.text : strerror(-r));
	return image_new(recording, err, ret_device);
}

static const struct via_option_desc options[] = {
	{.name = "recording",
	 .type = VIA_OPTION_STRING,
	 .required = true,
	 .help = "file that a recorder wrote (tests/conformance/record-config)"},
	{.name = NULL},
};

const struct via_model via_model_image = {
	.name = "image",
	.summary = "a recorded function: config space and resources, no behaviour",
	.options = options,
	.create = create,
};
