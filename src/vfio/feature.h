/* SPDX-License-Identifier: MIT */
/* VFIO_DEVICE_FEATURE: each feature's own file has its handlers, feature.c the table of all. */
#ifndef VIA_VFIO_FEATURE_H
#define VIA_VFIO_FEATURE_H

#include "vfio/topology.h"

long via_device_feature(struct via_device_file *df, struct via_caller *caller, uint64_t arg);

/* A feature's two functions, as the table has them. */
typedef int via_feature_has(const struct via_device_file *df);
typedef long via_feature_run(struct via_device_file *df, struct via_caller *caller, uint32_t op,
			     uint64_t data, uint32_t len);

/* migration.c */
via_feature_has via_has_migration, via_has_precopy;
via_feature_run via_run_migration, via_run_mig_state, via_run_mig_data_size, via_run_precopy_v2;

/* dma_logging.c: for devices that migrate. */
via_feature_run via_run_logging_start, via_run_logging_stop, via_run_logging_report;

/* low_power.c */
via_feature_run via_run_low_power_entry, via_run_low_power_entry_with_wakeup;
via_feature_run via_run_low_power_exit;

/* dma_buf.c */
via_feature_run via_run_dma_buf;

#endif
