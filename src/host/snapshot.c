/* SPDX-License-Identifier: MIT */
/*
 * What a program left in a device's config space, written down when it gives
 * the device up: a recording (models/image/recording.h) of the registers as
 * the next program will find them, and of what this one saw last.
 */
#include "host/internal.h"

#include "base/log.h"
#include "device/device.h"
#include "models/image/recording.h"
#include "pci/config.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

struct via_snapshot {
	struct via_snapshot *next; /* of the host; constant once programs run */
	int dir;		   /* owned by the host */
	unsigned int size;
	uint8_t last[VIA_RECORDING_SIZE], fresh[VIA_RECORDING_SIZE]; /* the device's open_lock */
};

static void write_resources(FILE *file, const struct via_device_desc *desc)
{
	for (unsigned int i = 0; i < VIA_PCI_BARS; i++) {
		const struct via_bar_desc *bar = &desc->bars[i];
		unsigned int flags = bar->flags & VIA_BAR_IO ? VIA_RESOURCE_IO : VIA_RESOURCE_MEM;

		flags |= bar->flags & VIA_BAR_MEM64 ? VIA_RESOURCE_MEM_64 : 0;
		flags |= bar->flags & VIA_BAR_PREFETCH ? VIA_RESOURCE_PREFETCH : 0;
		if (bar->size)
			(void)fprintf(file, "resource %u 0x0 %#" PRIx64 " %#x\n", i, bar->size - 1,
				      flags);
	}
}

static void write_down(struct via_snapshot *snapshot, struct via_device *dev)
{
	char addr[VIA_PCI_ADDR_LEN];
	FILE *file = NULL;
	int fd;

	via_pci_addr_format(via_device_addr(dev), addr);
	fd = openat(snapshot->dir, addr, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (fd >= 0)
		file = fdopen(fd, "w");
	if (!file) {
		via_log(VIA_LOG_WARNING, "snapshot of %s: %s", addr, strerror(errno));
		if (fd >= 0)
			(void)close(fd);
		return;
	}
	(void)fprintf(file, "# %s as a program left it\ndevice %s\n", via_device_name(dev), addr);
	write_resources(file, via_device_desc(dev));
	(void)fprintf(file, "reset_method%s\n", via_device_can_reset(dev, true) ? " flr" : "");
	via_recording_write_image(file, "config_before_open", snapshot->fresh, snapshot->size);
	via_recording_write_image(file, "config_vfio", snapshot->last, snapshot->size);
	if (ferror(file) | fclose(file))
		via_log(VIA_LOG_WARNING, "snapshot of %s: %s", addr, strerror(errno));
}

static void closing(void *cookie, struct via_device *dev, bool done)
{
	struct via_snapshot *snapshot = cookie;
	struct via_config *config = via_device_config(dev);

	if (!done) {
		(void)via_config_read(config, 0, snapshot->last, snapshot->size);
		return;
	}
	via_config_device_bytes(config, snapshot->fresh);
	write_down(snapshot, dev);
}

int via_host_snapshot(struct via_host *host, int dir)
{
	struct via_device *dev;

	for (size_t i = 0; (dev = via_vfio_device(host->vfio, i)); i++) {
		struct via_snapshot *snapshot = calloc(1, sizeof(*snapshot));

		if (!snapshot)
			return -ENOMEM;
		snapshot->dir = dir;
		snapshot->size = (unsigned int)via_device_config_size(dev);
		snapshot->next = host->snapshots;
		host->snapshots = snapshot;
		via_device_on_close(dev, closing, snapshot);
	}
	return 0;
}

void via_snapshots_free(struct via_host *host)
{
	struct via_snapshot *snapshot;

	while ((snapshot = host->snapshots)) {
		host->snapshots = snapshot->next;
		free(snapshot);
	}
}
