/* SPDX-License-Identifier: MIT */
/* The umbrella header: everything public. */
#ifndef VIADUCT_VIADUCT_H
#define VIADUCT_VIADUCT_H

#include <viaduct/base.h>
#include <viaduct/bus.h>
#include <viaduct/device.h>
#include <viaduct/iommu.h>
#include <viaduct/kvm.h>
#include <viaduct/memory.h>
#include <viaduct/models.h>
#include <viaduct/pci.h>
#include <viaduct/vmm.h>

#endif
