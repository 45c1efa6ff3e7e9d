/* SPDX-License-Identifier: MIT */
/* Asynchronous events (NVM Express 1.4, section 5.2). */
#include "models/nvme/nvme.h"

/* Answer waiting requests with events of types that are not masked. */
static void deliver(struct via_nvme *ctrl)
{
	unsigned int i = 0;

	while (i < ctrl->n_events && ctrl->n_aers) {
		struct via_nvme_event event = ctrl->events[i];
		struct via_nvme_request *req;

		if (ctrl->masked_events & (1u << event.type)) {
			i++;
			continue;
		}
		ctrl->n_events--;
		memmove(&ctrl->events[i], &ctrl->events[i + 1],
			(ctrl->n_events - i) * sizeof(*ctrl->events));
		ctrl->masked_events |= 1u << event.type;
		req = ctrl->aers[--ctrl->n_aers];
		req->result = event.type | (uint32_t)event.info << 8 | (uint32_t)event.log << 16;
		via_nvme_complete(ctrl, req, NVME_SC_SUCCESS);
	}
}

void via_nvme_event_post(struct via_nvme *ctrl, uint8_t type, uint8_t info, uint8_t log)
{
	unsigned int i;

	for (i = 0; i < ctrl->n_events; i++)
		if (ctrl->events[i].type == type && ctrl->events[i].info == info)
			return;
	if (ctrl->n_events == NVME_N_EVENTS)
		return;
	ctrl->events[ctrl->n_events++] = (struct via_nvme_event){type, info, log};
	deliver(ctrl);
}

void via_nvme_event_unmask(struct via_nvme *ctrl, uint8_t type)
{
	ctrl->masked_events &= ~(1u << type);
	deliver(ctrl);
}

uint16_t via_nvme_event_request(struct via_nvme *ctrl, struct via_nvme_request *req)
{
	if (ctrl->n_aers == NVME_MAX_ASYNC_EVENTS)
		return NVME_SC_AER_LIMIT | NVME_SC_DNR;
	ctrl->aers[ctrl->n_aers++] = req;
	deliver(ctrl);
	return NVME_SC_SUCCESS;
}

bool via_nvme_event_abort(struct via_nvme *ctrl, uint16_t cid)
{
	unsigned int i;

	for (i = 0; i < ctrl->n_aers; i++) {
		struct via_nvme_request *req = ctrl->aers[i];

		if (req->cmd.cid != cid)
			continue;
		ctrl->aers[i] = ctrl->aers[--ctrl->n_aers];
		via_nvme_complete(ctrl, req, NVME_SC_ABORT_REQUESTED);
		return true;
	}
	return false;
}

void via_nvme_events_reset(struct via_nvme *ctrl)
{
	while (ctrl->n_aers)
		via_nvme_request_put(ctrl, ctrl->aers[--ctrl->n_aers]);
	ctrl->n_events = 0;
	ctrl->masked_events = 0;
}
