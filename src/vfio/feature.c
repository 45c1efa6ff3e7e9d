/* SPDX-License-Identifier: MIT */
/*
 * VFIO_DEVICE_FEATURE (pci-config.md 6.11): a table of the features that a
 * device may have, and the rules that all of them share.
 */
#include "vfio/feature.h"
#include "vfio/sriov.h"

#include <errno.h>

#define GET VIA_VFIO_DEVICE_FEATURE_GET
#define SET VIA_VFIO_DEVICE_FEATURE_SET
#define PROBE VIA_VFIO_DEVICE_FEATURE_PROBE

struct feature {
	uint32_t ops;  /* GET, SET */
	uint32_t size; /* the least that follows the header */
	/* 0 if this device has it, else the errno that says it has not. */
	via_feature_has *has;
	/* Do it: one of GET and SET. data is the caller's, len bytes from it are the feature's. */
	via_feature_run *run;
};

static int always(const struct via_device_file *df)
{
	(void)df;
	return 0;
}

/* Virtual functions can be opened only with the physical one's token. */
static int has_vfs(const struct via_device_file *df)
{
	return df->placed->sriov ? 0 : -ENOTTY;
}

static long set_vf_token(struct via_device_file *df, struct via_caller *caller, uint32_t op,
			 uint64_t data, uint32_t len)
{
	uint8_t token[VIA_UUID_SIZE];
	int ret = via_copy_in(caller, token, data, sizeof(token));

	(void)op;
	(void)len;
	if (ret < 0)
		return ret;
	pthread_mutex_lock(&df->vfio->lock);
	memcpy(df->placed->sriov->token, token, sizeof(token));
	pthread_mutex_unlock(&df->vfio->lock);
	return 0;
}

static const struct feature features[] = {
	[VIA_VFIO_DEVICE_FEATURE_PCI_VF_TOKEN] = {SET, VIA_UUID_SIZE, has_vfs, set_vf_token},
	/* Migration. */
	[VIA_VFIO_DEVICE_FEATURE_MIGRATION] = {GET, 8, via_has_migration, via_run_migration},
	[VIA_VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE] = {GET | SET, 8, via_has_migration,
						      via_run_mig_state},
	[VIA_VFIO_DEVICE_FEATURE_MIG_DATA_SIZE] = {GET, 8, via_has_migration,
						   via_run_mig_data_size},
	[VIA_VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2] = {SET, 0, via_has_precopy,
							via_run_precopy_v2},
	[VIA_VFIO_DEVICE_FEATURE_DMA_LOGGING_START] = {SET, 24, via_has_migration,
						       via_run_logging_start},
	[VIA_VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP] = {SET, 0, via_has_migration,
						      via_run_logging_stop},
	[VIA_VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT] = {GET, 32, via_has_migration,
							via_run_logging_report},
	/* Low power, and memory for others' DMA. */
	[VIA_VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY] = {SET, 0, always, via_run_low_power_entry},
	[VIA_VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP] =
		{SET, sizeof(struct via_vfio_device_low_power_entry_with_wakeup), always,
		 via_run_low_power_entry_with_wakeup},
	[VIA_VFIO_DEVICE_FEATURE_LOW_POWER_EXIT] = {SET, 0, always, via_run_low_power_exit},
	[VIA_VFIO_DEVICE_FEATURE_DMA_BUF] =
		{GET, sizeof(struct via_vfio_device_feature_dma_buf), always, via_run_dma_buf},
};

long via_device_feature(struct via_device_file *df, struct via_caller *caller, uint64_t arg)
{
	struct via_vfio_device_feature header;
	const struct feature *feature;
	uint32_t index, op;
	int ret;

	ret = via_copy_in_argsz(caller, &header, arg, sizeof(header), sizeof(header));
	if (ret < 0)
		return ret;
	op = header.flags & (GET | SET);
	if ((header.flags & ~(VIA_VFIO_DEVICE_FEATURE_MASK | GET | SET | PROBE)) ||
	    (op == (GET | SET) && !(header.flags & PROBE)))
		return -EINVAL;
	index = header.flags & VIA_VFIO_DEVICE_FEATURE_MASK;
	if (index >= sizeof(features) / sizeof(features[0]) || !features[index].has)
		return -ENOTTY;
	feature = &features[index];
	ret = feature->has(df);
	if (ret < 0)
		return ret;

	if (op & ~feature->ops)
		return -EINVAL;
	if (header.flags & PROBE)
		return 0;
	if (!op || header.argsz - sizeof(header) < feature->size)
		return -EINVAL;
	return feature->run(df, caller, op, arg + sizeof(header),
			    header.argsz - (uint32_t)sizeof(header));
}
