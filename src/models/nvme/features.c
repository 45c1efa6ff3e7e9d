/* SPDX-License-Identifier: MIT */
/* Get Features and Set Features (NVM Express 1.4, sections 5.14 and 5.21). */
#include "models/nvme/nvme.h"

enum { SELECT_CURRENT, SELECT_DEFAULT, SELECT_SAVED, SELECT_CAPABILITIES };
#define SAVE (1u << 31)
#define CHANGEABLE (1u << 2)

/* Temperature thresholds: which sensor and which side. */
#define THRESHOLD_SENSOR(cdw11) (((cdw11) >> 16) & 0xf)
#define THRESHOLD_SIDE(cdw11) (((cdw11) >> 20) & 0x3)
#define ALL_SENSORS 0xf

static const struct via_nvme_features defaults = {
	.temperature_over = 343,
	.write_cache = 1,
};

void via_nvme_features_reset(struct via_nvme *ctrl)
{
	uint32_t i;

	ctrl->features = defaults;
	for (i = 0; i < NVME_VECTORS; i++)
		ctrl->features.vectors[i] = i;
}

static uint16_t get_vector(const struct via_nvme *ctrl, uint32_t vector, bool initial,
			   uint32_t *ret_value)
{
	if (vector >= NVME_VECTORS)
		return NVME_SC_INVALID_FIELD | NVME_SC_DNR;
	*ret_value = initial ? vector : ctrl->features.vectors[vector];
	return NVME_SC_SUCCESS;
}

static uint16_t get_threshold(const struct via_nvme_features *from, uint32_t cdw11,
			      uint32_t *ret_value)
{
	/* Sensor 0 is the composite temperature, and the only one. */
	if (THRESHOLD_SENSOR(cdw11) || THRESHOLD_SIDE(cdw11) > 1)
		return NVME_SC_INVALID_FIELD | NVME_SC_DNR;
	*ret_value = THRESHOLD_SIDE(cdw11) ? from->temperature_under : from->temperature_over;
	return NVME_SC_SUCCESS;
}

static uint16_t get_value(const struct via_nvme *ctrl, const struct via_nvme_cmd *cmd, bool initial,
			  uint32_t *ret_value)
{
	const struct via_nvme_features *from = initial ? &defaults : &ctrl->features;

	switch (cmd->cdw10 & 0xff) {
	case NVME_FEAT_ARBITRATION:
		*ret_value = from->arbitration;
		break;
	case NVME_FEAT_POWER:
		*ret_value = from->power;
		break;
	case NVME_FEAT_TEMPERATURE:
		return get_threshold(from, cmd->cdw11, ret_value);
	case NVME_FEAT_ERROR_RECOVERY:
		*ret_value = from->error_recovery;
		break;
	case NVME_FEAT_WRITE_CACHE:
		*ret_value = from->write_cache;
		break;
	case NVME_FEAT_QUEUES:
		*ret_value = (ctrl->max_queues - 1) | (ctrl->max_queues - 1) << 16;
		break;
	case NVME_FEAT_COALESCING:
		*ret_value = from->coalescing;
		break;
	case NVME_FEAT_VECTOR:
		return get_vector(ctrl, cmd->cdw11 & 0xffff, initial, ret_value);
	case NVME_FEAT_ATOMICITY:
		*ret_value = from->atomicity;
		break;
	case NVME_FEAT_ASYNC_EVENTS:
		*ret_value = from->async_events;
		break;
	default:
		return NVME_SC_INVALID_FIELD | NVME_SC_DNR;
	}
	return NVME_SC_SUCCESS;
}

uint16_t via_nvme_get_features(struct via_nvme *ctrl, struct via_nvme_request *req)
{
	uint32_t select = (req->cmd.cdw10 >> 8) & 7, value = 0;
	uint16_t status;

	if (select > SELECT_CAPABILITIES)
		return NVME_SC_INVALID_FIELD | NVME_SC_DNR;
	/* Nothing can be saved, so what is saved is the default. */
	status = get_value(ctrl, &req->cmd, select != SELECT_CURRENT, &value);
	if (status)
		return status;
	req->result = select == SELECT_CAPABILITIES ? CHANGEABLE : value;
	return NVME_SC_SUCCESS;
}

static uint16_t set_queues(struct via_nvme *ctrl, struct via_nvme_request *req)
{
	uint32_t asked = req->cmd.cdw11;
	unsigned int i;

	if ((asked & 0xffff) == 0xffff || asked >> 16 == 0xffff)
		return NVME_SC_INVALID_FIELD | NVME_SC_DNR;
	for (i = 1; i < NVME_N_QUEUES; i++)
		if (ctrl->cqs[i].exists || ctrl->sqs[i].exists)
			return NVME_SC_COMMAND_SEQUENCE | NVME_SC_DNR;
	/* What is allocated may be more than what was asked for. */
	req->result = (ctrl->max_queues - 1) | (ctrl->max_queues - 1) << 16;
	return NVME_SC_SUCCESS;
}

static uint16_t set_threshold(struct via_nvme *ctrl, uint32_t value)
{
	uint32_t sensor = THRESHOLD_SENSOR(value), side = THRESHOLD_SIDE(value);
	struct via_nvme_features *f = &ctrl->features;

	if ((sensor && sensor != ALL_SENSORS) || side > 1)
		return NVME_SC_INVALID_FIELD | NVME_SC_DNR;
	if (side)
		f->temperature_under = value & 0xffff;
	else
		f->temperature_over = value & 0xffff;
	if ((NVME_TEMPERATURE >= f->temperature_over || NVME_TEMPERATURE <= f->temperature_under) &&
	    (f->async_events & NVME_WARNING_TEMPERATURE))
		via_nvme_event_post(ctrl, NVME_EVENT_SMART, NVME_EVENT_SMART_TEMPERATURE,
				    NVME_LOG_SMART);
	return NVME_SC_SUCCESS;
}

uint16_t via_nvme_set_features(struct via_nvme *ctrl, struct via_nvme_request *req)
{
	struct via_nvme_features *f = &ctrl->features;
	uint32_t value = req->cmd.cdw11;

	if (req->cmd.cdw10 & SAVE)
		return NVME_SC_NOT_SAVEABLE | NVME_SC_DNR;
	switch (req->cmd.cdw10 & 0xff) {
	case NVME_FEAT_ARBITRATION:
		f->arbitration = value;
		break;
	case NVME_FEAT_POWER:
		/* Power state 0 is the only one. */
		if (value & 0x1f)
			return NVME_SC_INVALID_FIELD | NVME_SC_DNR;
		f->power = value & 0xe0;
		break;
	case NVME_FEAT_TEMPERATURE:
		return set_threshold(ctrl, value);
	case NVME_FEAT_ERROR_RECOVERY:
		f->error_recovery = value & 0xffff;
		break;
	case NVME_FEAT_WRITE_CACHE:
		f->write_cache = value & 1;
		break;
	case NVME_FEAT_QUEUES:
		return set_queues(ctrl, req);
	case NVME_FEAT_COALESCING:
		f->coalescing = value & 0xffff;
		break;
	case NVME_FEAT_VECTOR:
		if ((value & 0xffff) >= NVME_VECTORS)
			return NVME_SC_INVALID_FIELD | NVME_SC_DNR;
		f->vectors[value & 0xffff] = value & 0x1ffff;
		break;
	case NVME_FEAT_ATOMICITY:
		f->atomicity = value & 1;
		break;
	case NVME_FEAT_ASYNC_EVENTS:
		f->async_events = value;
		break;
	default:
		return NVME_SC_INVALID_FIELD | NVME_SC_DNR;
	}
	return NVME_SC_SUCCESS;
}
