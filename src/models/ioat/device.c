/* SPDX-License-Identifier: MIT */
/* The function: Sky Lake Xeon's I/OAT, whose functions have one channel each. */
#include "models/ioat/ioat.h"

#include "base/util.h"
#include "models/catalogue.h"

#include <errno.h>
#include <stdlib.h>

static void reset(struct via_device *dev, void *model, enum via_reset kind)
{
	struct via_ioat *ioat = model;

	pthread_mutex_lock(&ioat->lock);
	via_ioat_channel_reset(ioat);
	ioat->chanerr = ioat->chanerr_int = 0;
	ioat->genctrl = 0;
	ioat->master_int_en = ioat->msix_vector_control = false;
	ioat->attnstatus = 0;
	ioat->int_asserted = false;
	via_irq_set_level(dev, false);
	pthread_mutex_unlock(&ioat->lock);
}

static void ioat_free(void *model)
{
	struct via_ioat *ioat = model;

	pthread_mutex_destroy(&ioat->lock);
	free(ioat);
}

static const struct via_device_ops ops = {
	.read = via_ioat_read,
	.write = via_ioat_write,
	.work = via_ioat_work,
	.config_read = via_ioat_config_read,
	.config_write = via_ioat_config_write,
	.reset = reset,
	.free = ioat_free,
	.migration = &via_ioat_migration,
};

static const struct via_device_desc desc = {
	.name = "ioat",
	.ident = {
		.vendor = 0x8086,
		.device = 0x2021,
		.subsystem_vendor = 0x8086,
		.subsystem_device = 0x0000,
		.class_code = 0x088000, /* other system peripheral */
		.revision = 0x04,
		.interrupt_pin = 1,
	},
	.bars[0] = {.size = IOAT_BAR_SIZE, .flags = VIA_BAR_MEM64},
	.msix = {
		.vectors = 1,
		.table_offset = IOAT_BAR_MSIX_TABLE,
		.pba_offset = IOAT_BAR_MSIX_PBA,
	},
	.express = {.present = true, .integrated = true, .max_payload = 1},
	.power_management = true,
	.caps = via_ioat_caps,
	.n_caps = IOAT_N_CAPS,
	.flags = VIA_DEVICE_CONCURRENT,
};

static int create(const struct via_options *opts, struct via_error *err,
		  struct via_device **ret_device)
{
	uint64_t xfercap = via_options_number(opts, "xfercap");
	struct via_ioat *ioat;
	struct via_device *dev;
	int ret;

	if (!via_is_pow2(xfercap))
		return via_error_set(err, -EINVAL, "ioat: xfercap must be a power of two");
	ioat = calloc(1, sizeof(*ioat));
	if (!ioat)
		return via_error_set(err, -ENOMEM, "ioat: out of memory");
	pthread_mutex_init(&ioat->lock, NULL);
	ioat->xfercap = (uint8_t)__builtin_ctzll(xfercap);
	ioat->state = IOAT_HALTED;
	ret = via_device_new(&desc, &ops, ioat, err, &dev);
	if (ret)
		return ret;
	ioat->dev = dev;
	*ret_device = dev;
	return 0;
}

/*
 * Hardware has up to 1 MiB. The default is less because drivers take it as the
 * measure of much work, and memory that can only be copied is slower than a bus.
 */
static const struct via_option_desc options[] = {
	{
		.name = "xfercap",
		.type = VIA_OPTION_NUMBER,
		.fallback = "128K",
		.help = "most bytes that a descriptor can copy, a power of two",
		.min = 4096,
		.max = 1048576,
	},
	{0},
};

const struct via_model via_model_ioat = {
	.name = "ioat",
	.summary = "an Intel I/OAT DMA engine with one channel",
	.options = options,
	.create = create,
};
