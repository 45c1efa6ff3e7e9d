/* SPDX-License-Identifier: MIT */
/* Submission and completion queues, their doorbells, and interrupts. */
#include "models/nvme/nvme.h"

#include "base/log.h"

#include <assert.h>

/* Commands taken from one queue before the next has its turn. */
#define BURST 32u
/* Rounds in one go: bounds how long the device's lock is held. */
#define ROUNDS 8
/* Completions written in one piece. */
#define POST_BATCH 32u

static uint32_t ring_distance(uint32_t from, uint32_t to, uint32_t size)
{
	return to >= from ? to - from : to + size - from;
}

static void store_doorbell(struct via_nvme *ctrl, unsigned int index, uint32_t value)
{
	__atomic_store_n(&ctrl->doorbells[index], value, __ATOMIC_RELAXED);
	ctrl->seen[index] = value;
}

void via_nvme_sq_start(struct via_nvme *ctrl, uint16_t sqid, uint16_t cqid, uint64_t addr,
		       uint32_t size)
{
	ctrl->sqs[sqid] = (struct via_nvme_sq){
		.exists = true,
		.cqid = cqid,
		.size = size,
		.addr = addr,
	};
	ctrl->cqs[cqid].n_sqs++;
	if (sqid >= ctrl->top)
		ctrl->top = sqid + 1u;
	store_doorbell(ctrl, 2u * sqid, 0);
}

void via_nvme_cq_start(struct via_nvme *ctrl, uint16_t cqid, uint64_t addr, uint32_t size,
		       uint16_t vector, bool interrupts)
{
	struct via_nvme_cq *cq = &ctrl->cqs[cqid];

	*cq = (struct via_nvme_cq){
		.exists = true,
		.phase = true,
		.interrupts = interrupts,
		.vector = vector,
		.size = size,
		.addr = addr,
	};
	cq->posts_tail = &cq->posts;
	if (cqid >= ctrl->top)
		ctrl->top = cqid + 1u;
	store_doorbell(ctrl, 2u * cqid + 1, 0);
}

/* Completions that are not written yet; of one submission queue, or all with -1. */
static void drop_posts(struct via_nvme *ctrl, struct via_nvme_cq *cq, int sqid)
{
	struct via_nvme_request **at = &cq->posts;

	while (*at) {
		struct via_nvme_request *req = *at;

		if (sqid >= 0 && req->sqid != sqid) {
			at = &req->next;
			continue;
		}
		*at = req->next;
		via_nvme_request_put(ctrl, req);
	}
	cq->posts_tail = at;
}

void via_nvme_sq_stop(struct via_nvme *ctrl, uint16_t sqid)
{
	struct via_nvme_sq *sq = &ctrl->sqs[sqid];

	drop_posts(ctrl, &ctrl->cqs[sq->cqid], sqid);
	ctrl->cqs[sq->cqid].n_sqs--;
	sq->exists = false;
	store_doorbell(ctrl, 2u * sqid, 0);
}

void via_nvme_cq_stop(struct via_nvme *ctrl, uint16_t cqid)
{
	ctrl->cqs[cqid].exists = false;
	store_doorbell(ctrl, 2u * cqid + 1, 0);
}

void via_nvme_queues_reset(struct via_nvme *ctrl)
{
	unsigned int i;

	for (i = 0; i < NVME_N_QUEUES; i++) {
		if (ctrl->cqs[i].exists)
			drop_posts(ctrl, &ctrl->cqs[i], -1);
		ctrl->cqs[i].exists = false;
		ctrl->sqs[i].exists = false;
		store_doorbell(ctrl, 2 * i, 0);
		store_doorbell(ctrl, 2 * i + 1, 0);
	}
	ctrl->next_sq = 0;
	ctrl->top = 0;
}

void via_nvme_request_put(struct via_nvme *ctrl, struct via_nvme_request *req)
{
	struct via_nvme_request **list = req->bounce ? &ctrl->free_io : &ctrl->free_admin;

	req->next = *list;
	*list = req;
}

static struct via_nvme_request *request_get(struct via_nvme *ctrl, uint16_t sqid)
{
	struct via_nvme_request **list = sqid ? &ctrl->free_io : &ctrl->free_admin;
	struct via_nvme_request *req = *list;

	if (req) {
		*list = req->next;
		req->sqid = sqid;
		req->result = 0;
		req->n_segs = req->n_leases = 0;
		req->leased = false;
		req->n_ranges = req->range = 0;
	}
	return req;
}

void via_nvme_complete(struct via_nvme *ctrl, struct via_nvme_request *req, uint16_t status)
{
	struct via_nvme_sq *sq = &ctrl->sqs[req->sqid];
	struct via_nvme_cq *cq = &ctrl->cqs[sq->cqid];

	assert(sq->exists && cq->exists);
	if (status) {
		via_nvme_log_error(ctrl, req, status);
		status |= NVME_SC_MORE;
	}
	req->status = status;
	req->next = NULL;
	*cq->posts_tail = req;
	cq->posts_tail = &req->next;
}

/* Interrupts ------------------------------------------------------------ */

static bool masked(const struct via_nvme *ctrl, const struct via_nvme_cq *cq)
{
	return cq->vector < 32 && (ctrl->intms & (1u << cq->vector));
}

/* The pin is asserted while a queue holds entries that the host has not taken. */
static void update_pin(struct via_nvme *ctrl)
{
	bool asserted = false;
	unsigned int i;

	if (!via_irq_message_mode(ctrl->dev)) {
		for (i = 0; i < ctrl->top && !asserted; i++) {
			const struct via_nvme_cq *cq = &ctrl->cqs[i];

			asserted = cq->exists && cq->interrupts && cq->head != cq->tail &&
				   !masked(ctrl, cq);
		}
	}
	if (asserted != ctrl->pin) {
		ctrl->pin = asserted;
		via_irq_set_level(ctrl->dev, asserted);
	}
}

static void notify(struct via_nvme *ctrl, struct via_nvme_cq *cq)
{
	if (!cq->interrupts || !via_irq_message_mode(ctrl->dev))
		return;
	if (masked(ctrl, cq))
		cq->masked_pending = true;
	else
		via_irq_trigger(ctrl->dev, cq->vector);
}

void via_nvme_set_interrupt_mask(struct via_nvme *ctrl, uint32_t intms)
{
	unsigned int i;

	ctrl->intms = intms;
	for (i = 0; i < NVME_N_QUEUES; i++) {
		struct via_nvme_cq *cq = &ctrl->cqs[i];

		if (cq->exists && cq->masked_pending && !masked(ctrl, cq)) {
			cq->masked_pending = false;
			if (cq->head != cq->tail)
				notify(ctrl, cq);
		}
	}
	update_pin(ctrl);
}

/* Completion ------------------------------------------------------------ */

/* Write what fits before the end of the ring. True when something was written. */
static bool post_run(struct via_nvme *ctrl, struct via_nvme_cq *cq)
{
	struct nvme_cqe entries[POST_BATCH];
	uint32_t room = cq->size - 1 - ring_distance(cq->head, cq->tail, cq->size);
	uint32_t n, max = cq->size - cq->tail;
	uint64_t addr = cq->addr + (uint64_t)cq->tail * sizeof(*entries);

	if (max > room)
		max = room;
	if (max > POST_BATCH)
		max = POST_BATCH;
	for (n = 0; n < max && cq->posts; n++) {
		struct via_nvme_request *req = cq->posts;

		entries[n] = (struct nvme_cqe){
			.result = via_cpu_to_le32(req->result),
			.sq_head = via_cpu_to_le16((uint16_t)ctrl->sqs[req->sqid].head),
			.sq_id = via_cpu_to_le16(req->sqid),
			.cid = via_cpu_to_le16(req->cmd.cid),
			.status = via_cpu_to_le16((uint16_t)(req->status << 1 | cq->phase)),
		};
		cq->posts = req->next;
		via_nvme_request_put(ctrl, req);
	}
	if (!cq->posts)
		cq->posts_tail = &cq->posts;
	if (!n)
		return false;
	cq->tail += n;
	if (cq->tail == cq->size) {
		cq->tail = 0;
		cq->phase = !cq->phase;
	}
	if (via_dma_write(ctrl->dma, addr, entries, n * sizeof(*entries)) < 0) {
		via_nvme_fatal(ctrl, "a completion queue cannot be written");
		return false;
	}
	return true;
}

void via_nvme_post(struct via_nvme *ctrl)
{
	bool posted = false;
	unsigned int i;

	for (i = 0; i < ctrl->top; i++) {
		struct via_nvme_cq *cq = &ctrl->cqs[i];
		bool new = false;

		if (!cq->exists || !cq->posts)
			continue;
		while (post_run(ctrl, cq))
			new = true;
		if (new)
			notify(ctrl, cq);
		posted |= new;
	}
	if (posted)
		update_pin(ctrl);
}

static bool reap(struct via_nvme *ctrl)
{
	struct via_nvme_io *io;
	bool any = false;

	while ((io = via_nvme_backend_reap(ctrl->backend))) {
		via_nvme_io_done(ctrl, (struct via_nvme_request *)io);
		any = true;
	}
	return any;
}

void via_nvme_drain(struct via_nvme *ctrl)
{
	struct via_nvme_io *io;

	while ((io = via_nvme_backend_wait(ctrl->backend)))
		via_nvme_io_done(ctrl, (struct via_nvme_request *)io);
}

/* Submission ------------------------------------------------------------ */

static void decode(const struct nvme_sqe *sqe, struct via_nvme_cmd *cmd)
{
	*cmd = (struct via_nvme_cmd){
		.opcode = sqe->opcode,
		.flags = sqe->flags,
		.cid = via_le16_to_cpu(sqe->cid),
		.nsid = via_le32_to_cpu(sqe->nsid),
		.prp1 = via_le64_to_cpu(sqe->prp1),
		.prp2 = via_le64_to_cpu(sqe->prp2),
		.cdw10 = via_le32_to_cpu(sqe->cdw10),
		.cdw11 = via_le32_to_cpu(sqe->cdw11),
		.cdw12 = via_le32_to_cpu(sqe->cdw12),
		.cdw13 = via_le32_to_cpu(sqe->cdw13),
	};
}

static void execute(struct via_nvme *ctrl, struct via_nvme_request *req)
{
	/* Fused operations and SGLs are not offered. */
	if (req->cmd.flags)
		via_nvme_complete(ctrl, req, NVME_SC_INVALID_FIELD | NVME_SC_DNR);
	else if (req->sqid == 0)
		via_nvme_admin_execute(ctrl, req);
	else
		via_nvme_io_execute(ctrl, req);
}

/*
 * Take up to a burst of commands. Entries are copied in one piece; those for
 * which no request is free are fetched again later, which is no double fetch:
 * nothing was looked at.
 */
static bool fetch(struct via_nvme *ctrl, uint16_t sqid)
{
	struct via_nvme_sq *sq = &ctrl->sqs[sqid];
	struct nvme_sqe entries[BURST];
	uint32_t n = ring_distance(sq->head, sq->tail, sq->size), i;

	if (n > sq->size - sq->head)
		n = sq->size - sq->head;
	if (n > BURST)
		n = BURST;
	if (!n || !(sqid ? ctrl->free_io : ctrl->free_admin))
		return false;
	if (via_dma_read(ctrl->dma, sq->addr + (uint64_t)sq->head * sizeof(*entries), entries,
			 n * sizeof(*entries)) < 0) {
		via_nvme_fatal(ctrl, "a submission queue cannot be read");
		return false;
	}
	for (i = 0; i < n; i++) {
		struct via_nvme_request *req = request_get(ctrl, sqid);

		if (!req)
			break;
		decode(&entries[i], &req->cmd);
		sq->head = sq->head + 1 == sq->size ? 0 : sq->head + 1;
		execute(ctrl, req);
		/* The command may have deleted or reset what we stand on. */
		if (!via_nvme_running(ctrl) || !sq->exists)
			break;
	}
	return true;
}

static bool fetch_all(struct via_nvme *ctrl)
{
	unsigned int i, first = ctrl->next_sq;
	bool any = false;

	ctrl->next_sq = first + 1 >= ctrl->top ? 0 : first + 1;
	for (i = 0; i < ctrl->top && via_nvme_running(ctrl); i++) {
		unsigned int sqid = first + i;

		if (sqid >= ctrl->top)
			sqid -= ctrl->top;
		if (ctrl->sqs[sqid].exists && ctrl->sqs[sqid].head != ctrl->sqs[sqid].tail)
			any |= fetch(ctrl, (uint16_t)sqid);
	}
	return any;
}

/* Doorbells ------------------------------------------------------------- */

static void bad_doorbell(struct via_nvme *ctrl, uint8_t info)
{
	via_nvme_event_post(ctrl, NVME_EVENT_ERROR, info, NVME_LOG_ERROR);
}

static void ring_sq(struct via_nvme *ctrl, struct via_nvme_sq *sq, uint32_t tail)
{
	if (!sq->exists)
		bad_doorbell(ctrl, NVME_EVENT_DOORBELL_REGISTER);
	else if (tail >= sq->size)
		bad_doorbell(ctrl, NVME_EVENT_DOORBELL_VALUE);
	else
		sq->tail = tail;
}

static void ring_cq(struct via_nvme *ctrl, struct via_nvme_cq *cq, uint32_t head)
{
	if (!cq->exists)
		bad_doorbell(ctrl, NVME_EVENT_DOORBELL_REGISTER);
	else if (head >= cq->size || ring_distance(cq->head, head, cq->size) >
					     ring_distance(cq->head, cq->tail, cq->size))
		bad_doorbell(ctrl, NVME_EVENT_DOORBELL_VALUE);
	else
		cq->head = head;
}

/* The doorbells of queue pair @i, which may be new. True if one of a completion queue was. */
static bool ring_pair(struct via_nvme *ctrl, unsigned int i)
{
	/* Pairs with the host's write: queue entries are visible before the doorbell. */
	uint32_t tail = __atomic_load_n(&ctrl->doorbells[2 * i], __ATOMIC_ACQUIRE);
	uint32_t head = __atomic_load_n(&ctrl->doorbells[2 * i + 1], __ATOMIC_ACQUIRE);
	bool heads = head != ctrl->seen[2 * i + 1];

	/* Bits 31:16 are reserved. */
	if (tail != ctrl->seen[2 * i]) {
		ctrl->seen[2 * i] = tail;
		ring_sq(ctrl, &ctrl->sqs[i], tail & 0xffff);
	}
	if (heads) {
		ctrl->seen[2 * i + 1] = head;
		ring_cq(ctrl, &ctrl->cqs[i], head & 0xffff);
	}
	return heads;
}

static bool scan_doorbells(struct via_nvme *ctrl)
{
	bool any = false, heads = false;
	unsigned int i;

	/* By pairs, as this is the loop that runs while nothing happens. */
	for (i = 0; i < NVME_N_QUEUES; i++) {
		const uint64_t *pair = (const uint64_t *)(const void *)ctrl->doorbells + i;
		uint64_t seen;

		memcpy(&seen, &ctrl->seen[2 * i], sizeof(seen));
		if (__atomic_load_n(pair, __ATOMIC_RELAXED) == seen)
			continue;
		heads |= ring_pair(ctrl, i);
		any = true;
	}
	if (heads)
		update_pin(ctrl);
	return any;
}

bool via_nvme_run(struct via_nvme *ctrl)
{
	bool any = false, more = true;
	int round;

	for (round = 0; round < ROUNDS && more && via_nvme_running(ctrl); round++) {
		more = scan_doorbells(ctrl);
		more |= fetch_all(ctrl);
		via_nvme_backend_kick(ctrl->backend);
		more |= reap(ctrl);
		via_nvme_post(ctrl);
		any |= more;
	}
	if (more && via_nvme_running(ctrl))
		via_device_kick(ctrl->dev, NVME_WORK_RUN);
	return any;
}
