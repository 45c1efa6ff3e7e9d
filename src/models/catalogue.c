/* SPDX-License-Identifier: MIT */
#include "models/catalogue.h"

static const struct via_model *const models[] = {
	&via_model_edu,
	&via_model_image,
	&via_model_ioat,
	&via_model_nvme,
	&via_model_sriov,
	NULL,
};

const struct via_model *const *via_models(void)
{
	return models;
}

const struct via_model *via_model_find(const char *name)
{
	for (size_t i = 0; models[i]; i++)
		if (!strcmp(models[i]->name, name))
			return models[i];
	return NULL;
}
