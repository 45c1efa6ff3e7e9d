/* SPDX-License-Identifier: MIT */
/*
 * Errors as the host's side of config space has them. Drivers look there at fixed
 * offsets behind the capabilities that they know, so one vendor-specific capability
 * spans them. What CHANERR_INT has is cleared on its own, apart from CHANERR, and
 * DMAUNCERRSTS tells of parity and the like, of which nothing happens here.
 */
#include "models/ioat/ioat.h"

#define CAP 0x100u
#define BODY (CAP + 8)
#define BODY_SIZE (0x190 - BODY)

/* Which errors are not reported to the platform; nobody is there to report to. */
static const uint8_t writable[BODY_SIZE] = {
	[IOAT_PCI_CHANERRMSK_INT - BODY] = IOAT_CHANERR_ALL & 0xff,
	[IOAT_PCI_CHANERRMSK_INT - BODY + 1] = IOAT_CHANERR_ALL >> 8 & 0xff,
	[IOAT_PCI_CHANERRMSK_INT - BODY + 2] = IOAT_CHANERR_ALL >> 16 & 0xff,
};

const struct via_pci_cap via_ioat_caps[IOAT_N_CAPS] = {
	{.kind = VIA_CAP_VENDOR_EXT,
	 .offset = CAP,
	 .vendor_ext = {.body = {.writable = writable, .len = BODY_SIZE}}},
};

static bool is_chanerr_int(unsigned int pos)
{
	return (pos & ~3u) == IOAT_PCI_CHANERR_INT;
}

uint32_t via_ioat_config_read(struct via_device *dev, void *model, unsigned int pos,
			      unsigned int size, uint32_t value)
{
	struct via_ioat *ioat = model;

	if (!is_chanerr_int(pos))
		return value;
	pthread_mutex_lock(&ioat->lock);
	value = ioat->chanerr_int >> 8 * (pos & 3);
	pthread_mutex_unlock(&ioat->lock);
	return value;
}

void via_ioat_config_write(struct via_device *dev, void *model, unsigned int pos,
			   unsigned int size, uint32_t value)
{
	struct via_ioat *ioat = model;

	if (!is_chanerr_int(pos))
		return;
	if (size < 4)
		value &= (1u << 8 * size) - 1;
	pthread_mutex_lock(&ioat->lock);
	ioat->chanerr_int &= ~(value << 8 * (pos & 3));
	pthread_mutex_unlock(&ioat->lock);
}
