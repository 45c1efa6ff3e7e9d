/* SPDX-License-Identifier: MIT */
/*
 * The NVM command set. Data goes straight between image and guest memory
 * where that can be leased (memory that the host process maps too), else
 * through the request's bounce buffer.
 */
#include "models/nvme/nvme.h"

#include <errno.h>

/* The range of a command that has its first block in CDW10-11: bytes in io. */
static uint16_t set_range(struct via_nvme *ctrl, struct via_nvme_request *req)
{
	uint64_t lba = (uint64_t)req->cmd.cdw11 << 32 | req->cmd.cdw10;
	uint64_t n = (uint64_t)(req->cmd.cdw12 & 0xffff) + 1;

	if (lba >= ctrl->n_blocks || n > ctrl->n_blocks - lba)
		return NVME_SC_LBA_RANGE | NVME_SC_DNR;
	req->io.offset = lba << ctrl->lba_shift;
	req->io.len = n << ctrl->lba_shift;
	return NVME_SC_SUCCESS;
}

static bool write_through(const struct via_nvme *ctrl, const struct via_nvme_request *req)
{
	return (req->cmd.cdw12 & NVME_RW_FUA) || !(ctrl->features.write_cache & 1);
}

/* Leases for the whole transfer, if all of it can be lent and the image can use it. */
static bool lease_buffers(struct via_nvme *ctrl, struct via_nvme_request *req, unsigned int prot)
{
	size_t align = via_nvme_backend_alignment(ctrl->backend), i;

	if (!via_nvme_backend_takes_leases(ctrl->backend) ||
	    via_dma_lease(ctrl->dma, req->segs, req->n_segs, prot, req->leases, NVME_MAX_LEASES,
			  &req->n_leases) < 0) {
		req->n_leases = 0;
		return false;
	}
	for (i = 0; i < req->n_leases; i++) {
		req->iov[i].iov_base = req->leases[i].ptr;
		req->iov[i].iov_len = (size_t)req->leases[i].len;
		if ((uintptr_t)req->iov[i].iov_base % align || req->iov[i].iov_len % align) {
			via_nvme_io_release(req);
			return false;
		}
	}
	req->io.iov = req->iov;
	req->io.n_iov = (unsigned int)req->n_leases;
	req->leased = true;
	return true;
}

void via_nvme_io_release(struct via_nvme_request *req)
{
	size_t i;

	for (i = 0; i < req->n_leases; i++)
		via_lease_put(&req->leases[i]);
	req->n_leases = 0;
	req->leased = false;
}

static void use_bounce(struct via_nvme_request *req)
{
	req->iov[0].iov_base = req->bounce;
	req->iov[0].iov_len = (size_t)req->len;
	req->io.iov = req->iov;
	req->io.n_iov = 1;
}

static uint16_t start_read(struct via_nvme *ctrl, struct via_nvme_request *req)
{
	uint16_t status = set_range(ctrl, req);

	if (!status)
		status = via_nvme_map_prps(ctrl, req, req->io.len);
	if (status)
		return status;
	req->io.op = NVME_IO_READ;
	/* A Compare wants the image's data beside the guest's, not over it. */
	if (req->cmd.opcode == NVME_CMD_COMPARE || !lease_buffers(ctrl, req, VIA_PROT_WRITE))
		use_bounce(req);
	return NVME_SC_SUCCESS;
}

/*
 * Memory that can only be copied costs two copies by way of a bounce buffer,
 * but one from the host's page cache, and no system call to the image.
 */
static bool read_from_cache(struct via_nvme *ctrl, struct via_nvme_request *req)
{
	const void *data;

	if (req->cmd.opcode != NVME_CMD_READ || req->leased)
		return false;
	data = via_nvme_backend_cached(ctrl->backend, req->io.offset, req->len);
	return data && via_dma_writev(ctrl->dma, req->segs, req->n_segs, data) == 0;
}

static uint16_t start_write(struct via_nvme *ctrl, struct via_nvme_request *req)
{
	uint16_t status = set_range(ctrl, req);

	if (!status)
		status = via_nvme_map_prps(ctrl, req, req->io.len);
	if (status)
		return status;
	req->io.op = NVME_IO_WRITE;
	req->io.fua = write_through(ctrl, req);
	if (lease_buffers(ctrl, req, VIA_PROT_READ))
		return NVME_SC_SUCCESS;
	use_bounce(req);
	if (via_dma_readv(ctrl->dma, req->segs, req->n_segs, req->bounce) < 0)
		return NVME_SC_DATA_TRANSFER;
	return NVME_SC_SUCCESS;
}

static uint16_t start_write_zeroes(struct via_nvme *ctrl, struct via_nvme_request *req)
{
	req->io.op = NVME_IO_ZERO;
	req->io.fua = write_through(ctrl, req);
	req->io.deallocate = req->cmd.cdw12 & NVME_WZ_DEAC;
	return set_range(ctrl, req);
}

/* The next range of a Dataset Management command; the list was checked. */
static bool next_range(struct via_nvme *ctrl, struct via_nvme_request *req)
{
	const struct nvme_dsm_range *ranges = req->bounce;
	const struct nvme_dsm_range *range;

	if (req->range == req->n_ranges)
		return false;
	range = &ranges[req->range++];
	req->io.op = NVME_IO_DISCARD;
	req->io.offset = via_le64_to_cpu(range->lba) << ctrl->lba_shift;
	req->io.len = (uint64_t)via_le32_to_cpu(range->n_blocks) << ctrl->lba_shift;
	return true;
}

static uint16_t start_dsm(struct via_nvme *ctrl, struct via_nvme_request *req)
{
	const struct nvme_dsm_range *ranges = req->bounce;
	unsigned int n = (req->cmd.cdw10 & 0xff) + 1, i;
	uint16_t status = via_nvme_map_prps(ctrl, req, n * sizeof(*ranges));

	if (status)
		return status;
	if (via_dma_readv(ctrl->dma, req->segs, req->n_segs, req->bounce) < 0)
		return NVME_SC_DATA_TRANSFER;
	for (i = 0; i < n; i++) {
		uint64_t lba = via_le64_to_cpu(ranges[i].lba);
		uint32_t n_blocks = via_le32_to_cpu(ranges[i].n_blocks);

		if (lba > ctrl->n_blocks || n_blocks > ctrl->n_blocks - lba)
			return NVME_SC_LBA_RANGE | NVME_SC_DNR;
	}
	/* The other attributes are hints, which we do not need. */
	req->n_ranges = req->cmd.cdw11 & NVME_DSM_DEALLOCATE ? n : 0;
	return NVME_SC_SUCCESS;
}

static bool writes(uint8_t opcode)
{
	return opcode == NVME_CMD_WRITE || opcode == NVME_CMD_WRITE_ZEROES ||
	       opcode == NVME_CMD_DSM;
}

static uint16_t start(struct via_nvme *ctrl, struct via_nvme_request *req)
{
	switch (req->cmd.opcode) {
	case NVME_CMD_FLUSH:
		req->io.op = NVME_IO_FLUSH;
		return NVME_SC_SUCCESS;
	case NVME_CMD_READ:
	case NVME_CMD_COMPARE:
		return start_read(ctrl, req);
	case NVME_CMD_WRITE:
		return start_write(ctrl, req);
	case NVME_CMD_WRITE_ZEROES:
		return start_write_zeroes(ctrl, req);
	case NVME_CMD_DSM:
		return start_dsm(ctrl, req);
	default:
		return NVME_SC_INVALID_OPCODE | NVME_SC_DNR;
	}
}

static uint16_t check_namespace(const struct via_nvme *ctrl, const struct via_nvme_cmd *cmd)
{
	if (cmd->nsid != 1 && !(cmd->nsid == UINT32_MAX && cmd->opcode == NVME_CMD_FLUSH))
		return NVME_SC_INVALID_NS | NVME_SC_DNR;
	if (ctrl->readonly && writes(cmd->opcode))
		return NVME_SC_WRITE_PROTECTED | NVME_SC_DNR;
	return NVME_SC_SUCCESS;
}

static void count(struct via_nvme *ctrl, const struct via_nvme_request *req, uint16_t status)
{
	struct via_nvme_smart *smart = &ctrl->smart;

	switch (req->cmd.opcode) {
	case NVME_CMD_READ:
	case NVME_CMD_COMPARE:
		smart->reads++;
		smart->read_blocks512 += req->len >> 9;
		break;
	case NVME_CMD_WRITE:
		smart->writes++;
		smart->written_blocks512 += req->len >> 9;
		break;
	default:
		break;
	}
	if (status == NVME_SC_READ_ERROR || status == NVME_SC_WRITE_FAULT)
		smart->media_errors++;
}

void via_nvme_io_execute(struct via_nvme *ctrl, struct via_nvme_request *req)
{
	uint16_t status = check_namespace(ctrl, &req->cmd);

	req->io.fua = req->io.deallocate = false;
	req->io.len = req->io.offset = 0;
	if (!status)
		status = start(ctrl, req);
	/* Nothing to do, as in a Dataset Management command of hints only. */
	if (!status && req->cmd.opcode == NVME_CMD_DSM && !next_range(ctrl, req)) {
		via_nvme_complete(ctrl, req, NVME_SC_SUCCESS);
		return;
	}
	if (!status && read_from_cache(ctrl, req)) {
		count(ctrl, req, status);
		via_nvme_complete(ctrl, req, status);
	} else if (status) {
		via_nvme_complete(ctrl, req, status);
	} else {
		via_nvme_backend_submit(ctrl->backend, &req->io);
	}
}

/* A host error as the guest's driver understands it; retrying may help. */
static uint16_t error_status(const struct via_nvme_request *req, int error)
{
	switch (error) {
	case -EFAULT:
		return NVME_SC_DATA_TRANSFER;
	case -ENOSPC:
	case -EDQUOT:
	case -EFBIG:
		return NVME_SC_CAPACITY;
	case -EIO:
	case -ENODATA:
	case -EILSEQ:
		return writes(req->cmd.opcode) ? NVME_SC_WRITE_FAULT : NVME_SC_READ_ERROR;
	default:
		return NVME_SC_INTERNAL;
	}
}

static uint16_t compare(struct via_nvme *ctrl, const struct via_nvme_request *req)
{
	const uint8_t *data = req->bounce;
	uint8_t piece[4096];
	size_t i;

	for (i = 0; i < req->n_segs; i++) {
		uint64_t at;

		for (at = 0; at < req->segs[i].len; at += sizeof(piece)) {
			uint64_t left = req->segs[i].len - at;
			size_t len = left < sizeof(piece) ? (size_t)left : sizeof(piece);

			if (via_dma_read(ctrl->dma, req->segs[i].iova + at, piece, len) < 0)
				return NVME_SC_DATA_TRANSFER;
			if (memcmp(piece, data, len) != 0)
				return NVME_SC_COMPARE | NVME_SC_DNR;
			data += len;
		}
	}
	return NVME_SC_SUCCESS;
}

void via_nvme_io_done(struct via_nvme *ctrl, struct via_nvme_request *req)
{
	uint16_t status = NVME_SC_SUCCESS;
	bool leased = req->leased;

	via_nvme_io_release(req);
	/* After a reset the queues are gone and guest memory must not be touched. */
	if (ctrl->dropping) {
		via_nvme_request_put(ctrl, req);
		return;
	}
	if (req->io.result < 0) {
		status = error_status(req, req->io.result);
	} else if (next_range(ctrl, req)) {
		via_nvme_backend_submit(ctrl->backend, &req->io);
		return;
	} else if (req->cmd.opcode == NVME_CMD_COMPARE) {
		status = compare(ctrl, req);
	} else if (req->cmd.opcode == NVME_CMD_READ && !leased &&
		   via_dma_writev(ctrl->dma, req->segs, req->n_segs, req->bounce) < 0) {
		status = NVME_SC_DATA_TRANSFER;
	}
	count(ctrl, req, status);
	via_nvme_complete(ctrl, req, status);
}
