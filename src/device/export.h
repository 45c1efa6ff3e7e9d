/* SPDX-License-Identifier: MIT */
/*
 * Parts of a BAR offered as memory to another device's DMA, as a dma-buf of a
 * kernel's vfio-pci is: while an importer is attached it may read and write the
 * slices. Whenever the function stops answering memory accesses, or low power
 * is engaged, they are revoked: the importer is told, and has let go of them
 * when its callback returns. After the last close of the device they stay revoked.
 *
 * An export does not keep the device open, and may be freed after the device.
 */
#ifndef VIA_DEVICE_EXPORT_H
#define VIA_DEVICE_EXPORT_H

#include "device/device.h"

struct via_region_export;

struct via_region_range {
	uint64_t offset, length; /* in the region; multiples of 4096 */
};

/* An importer's, who keeps it until it is detached. */
struct via_region_importer {
	struct via_region_importer *next; /* the export's */
	/*
	 * On the thread that makes the function stop, or start again, to answer;
	 * config and memory locks of the device are held, so neither may call
	 * anything that takes these (device.h, and attach, detach and free below).
	 */
	void (*revoke)(struct via_region_importer *importer);
	void (*restore)(struct via_region_importer *importer);
	/* Set before it is attached: it accesses registers by calls; and memory too. */
	bool registers, by_calls;
};

/* What of one range is to be had: bytes in a file and, the same bytes, in our memory. */
struct via_region_slice {
	int fd;		 /* borrowed: the region's file */
	uint64_t offset; /* in it */
	void *memory;	 /* stays where it is, also while revoked; not where registers are */
	uint64_t len;
};

/*
 * -ENODEV no such BAR; -EINVAL an empty, unaligned or too long range, or an I/O
 * BAR, or beyond the BAR; -EOVERFLOW a range that wraps; -ENOMEM also for too
 * many of this device. ranges are copied.
 */
int via_region_export_new(struct via_device *dev, unsigned int region,
			  const struct via_region_range *ranges, size_t n_ranges,
			  struct via_region_export **ret_export);
/* NULL allowed. Nobody is attached any more. */
void via_region_export_free(struct via_region_export *export);

/*
 * 0, -ENODEV while revoked, -ENOMEM, -EOPNOTSUPP when some of it is registers and the importer
 * is not made for them: an access to those has to be seen by the model, they are no memory.
 */
int via_region_export_attach(struct via_region_export *export,
			     struct via_region_importer *importer);
/* No callback of importer runs any more when this returns. */
void via_region_export_detach(struct via_region_export *export,
			      struct via_region_importer *importer);

uint64_t via_region_export_size(const struct via_region_export *export);
size_t via_region_export_count(const struct via_region_export *export);
/* i below the count; attached. */
void via_region_export_slice(const struct via_region_export *export, size_t i,
			     struct via_region_slice *ret_slice);
/*
 * The memory at offset of slice i, and how far it goes on; NULL, and how far that goes on,
 * where registers are. Attached.
 */
uint8_t *via_region_export_memory(const struct via_region_export *export, size_t i,
				  uint64_t offset, uint64_t *ret_len);
/*
 * Registers there. Any thread, with any lock of any device but those of this one held. Writes are
 * posted. 0, or -EFAULT: it does not answer, or not in time.
 */
int via_region_export_access(struct via_region_export *export, size_t i, uint64_t offset,
			     void *buf, size_t len, bool write);
/* The importer has written: there may be doorbells among it. Any thread, in a callback too. */
void via_region_export_written(struct via_region_export *export);

#endif
