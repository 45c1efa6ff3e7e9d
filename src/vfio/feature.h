/* SPDX-License-Identifier: MIT */
/* VFIO_DEVICE_FEATURE: each feature's own file has its handlers, feature.c the table of all. */
#ifndef VIA_VFIO_FEATURE_H
#define VIA_VFIO_FEATURE_H

#include "vfio/topology.h"

long via_device_feature(struct via_device_file *df, struct via_caller *caller, uint64_t arg);

#endif
