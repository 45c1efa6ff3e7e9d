/* SPDX-License-Identifier: MIT */
/* The models that this library was built with; catalogue.c lists them. */
#ifndef VIA_MODELS_CATALOGUE_H
#define VIA_MODELS_CATALOGUE_H

#include <viaduct/models.h>

extern const struct via_model via_model_edu;
extern const struct via_model via_model_image;
extern const struct via_model via_model_ioat;
extern const struct via_model via_model_nvme;
extern const struct via_model via_model_sriov;

#endif
