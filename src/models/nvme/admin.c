/* SPDX-License-Identifier: MIT */
/* Admin commands: queue management, Abort, and the way to the others. */
#include "models/nvme/nvme.h"

static uint16_t dnr(uint16_t status)
{
	return status | NVME_SC_DNR;
}

static bool io_queue_id(const struct via_nvme *ctrl, uint32_t qid)
{
	return qid >= 1 && qid <= ctrl->max_queues;
}

/* CDW10 and PRP1 of both Create commands: number, size and place of a queue. */
static uint16_t check_create(const struct via_nvme *ctrl, const struct via_nvme_cmd *cmd,
			     bool exists, bool entry_size_ok)
{
	uint32_t size = (cmd->cdw10 >> 16) + 1;

	if (!io_queue_id(ctrl, cmd->cdw10 & 0xffff) || exists)
		return dnr(NVME_SC_INVALID_QID);
	if (size < 2 || size > NVME_MAX_ENTRIES || !entry_size_ok)
		return dnr(NVME_SC_QUEUE_SIZE);
	/* CAP.CQR: queues are physically contiguous. */
	if (!(cmd->cdw11 & 1))
		return dnr(NVME_SC_INVALID_FIELD);
	if (cmd->prp1 & (((uint64_t)1 << ctrl->page_shift) - 1))
		return dnr(NVME_SC_PRP_OFFSET);
	return NVME_SC_SUCCESS;
}

static uint16_t create_cq(struct via_nvme *ctrl, const struct via_nvme_cmd *cmd)
{
	uint16_t qid = (uint16_t)cmd->cdw10, vector = (uint16_t)(cmd->cdw11 >> 16);
	bool exists = io_queue_id(ctrl, qid) && ctrl->cqs[qid].exists;
	uint16_t status = check_create(ctrl, cmd, exists, NVME_CC_IOCQES(ctrl->cc) == 4);

	if (status)
		return status;
	if (vector >= NVME_VECTORS)
		return dnr(NVME_SC_INVALID_VECTOR);
	via_nvme_cq_start(ctrl, qid, cmd->prp1, (cmd->cdw10 >> 16) + 1, vector, cmd->cdw11 & 2);
	return NVME_SC_SUCCESS;
}

static uint16_t create_sq(struct via_nvme *ctrl, const struct via_nvme_cmd *cmd)
{
	uint16_t qid = (uint16_t)cmd->cdw10, cqid = (uint16_t)(cmd->cdw11 >> 16);
	bool exists = io_queue_id(ctrl, qid) && ctrl->sqs[qid].exists;
	uint16_t status;

	if (cqid == 0 || cqid > NVME_MAX_IO_QUEUES)
		return dnr(NVME_SC_INVALID_QID);
	if (!ctrl->cqs[cqid].exists)
		return dnr(NVME_SC_CQ_INVALID);
	status = check_create(ctrl, cmd, exists, NVME_CC_IOSQES(ctrl->cc) == 6);
	if (status)
		return status;
	via_nvme_sq_start(ctrl, qid, cqid, cmd->prp1, (cmd->cdw10 >> 16) + 1);
	return NVME_SC_SUCCESS;
}

/* What the queue has in flight is finished first, so that nothing comes after the deletion. */
static uint16_t delete_sq(struct via_nvme *ctrl, const struct via_nvme_cmd *cmd)
{
	uint16_t qid = (uint16_t)cmd->cdw10;

	if (!io_queue_id(ctrl, qid) || !ctrl->sqs[qid].exists)
		return dnr(NVME_SC_INVALID_QID);
	via_nvme_drain(ctrl);
	via_nvme_post(ctrl);
	via_nvme_sq_stop(ctrl, qid);
	return NVME_SC_SUCCESS;
}

static uint16_t delete_cq(struct via_nvme *ctrl, const struct via_nvme_cmd *cmd)
{
	uint16_t qid = (uint16_t)cmd->cdw10;

	if (!io_queue_id(ctrl, qid) || !ctrl->cqs[qid].exists)
		return dnr(NVME_SC_INVALID_QID);
	if (ctrl->cqs[qid].n_sqs)
		return dnr(NVME_SC_QUEUE_DELETION);
	via_nvme_cq_stop(ctrl, qid);
	return NVME_SC_SUCCESS;
}

/*
 * Only a waiting asynchronous event request can be aborted; an operation on
 * the image is soon done by itself. Bit 0 of the result: not aborted.
 */
static uint16_t abort_command(struct via_nvme *ctrl, struct via_nvme_request *req)
{
	uint16_t sqid = (uint16_t)req->cmd.cdw10, cid = (uint16_t)(req->cmd.cdw10 >> 16);

	if (sqid >= NVME_N_QUEUES || !ctrl->sqs[sqid].exists)
		return dnr(NVME_SC_INVALID_FIELD);
	req->result = !(sqid == 0 && via_nvme_event_abort(ctrl, cid));
	return NVME_SC_SUCCESS;
}

static uint16_t execute(struct via_nvme *ctrl, struct via_nvme_request *req)
{
	switch (req->cmd.opcode) {
	case NVME_ADMIN_DELETE_SQ:
		return delete_sq(ctrl, &req->cmd);
	case NVME_ADMIN_CREATE_SQ:
		return create_sq(ctrl, &req->cmd);
	case NVME_ADMIN_GET_LOG_PAGE:
		return via_nvme_get_log_page(ctrl, req);
	case NVME_ADMIN_DELETE_CQ:
		return delete_cq(ctrl, &req->cmd);
	case NVME_ADMIN_CREATE_CQ:
		return create_cq(ctrl, &req->cmd);
	case NVME_ADMIN_IDENTIFY:
		return via_nvme_identify(ctrl, req);
	case NVME_ADMIN_ABORT:
		return abort_command(ctrl, req);
	case NVME_ADMIN_SET_FEATURES:
		return via_nvme_set_features(ctrl, req);
	case NVME_ADMIN_GET_FEATURES:
		return via_nvme_get_features(ctrl, req);
	default:
		return dnr(NVME_SC_INVALID_OPCODE);
	}
}

void via_nvme_admin_execute(struct via_nvme *ctrl, struct via_nvme_request *req)
{
	uint16_t status;

	if (req->cmd.opcode == NVME_ADMIN_ASYNC_EVENT) {
		status = via_nvme_event_request(ctrl, req);
		if (status)
			via_nvme_complete(ctrl, req, status);
		return;
	}
	status = execute(ctrl, req);
	/* A queue that could not be written while this command waited. */
	if (!via_nvme_running(ctrl))
		via_nvme_request_put(ctrl, req);
	else
		via_nvme_complete(ctrl, req, status);
}
