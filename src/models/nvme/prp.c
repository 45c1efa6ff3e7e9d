/* SPDX-License-Identifier: MIT */
/*
 * Physical region pages (NVM Express 1.4, section 4.3): the first entry may
 * start anywhere in a page, all others name whole pages; more than two go
 * through lists, each of which ends with its page and may chain to the next.
 */
#include "models/nvme/nvme.h"

static void add_seg(struct via_nvme_request *req, uint64_t addr, uint64_t len)
{
	struct via_dma_seg *last = req->n_segs ? &req->segs[req->n_segs - 1] : NULL;

	if (last && last->iova + last->len == addr)
		last->len += len;
	else
		req->segs[req->n_segs++] = (struct via_dma_seg){addr, len};
}

/* The pages named by the list at @list, which must cover @left bytes. */
static uint16_t walk_list(struct via_nvme *ctrl, struct via_nvme_request *req, uint64_t list,
			  uint64_t left)
{
	uint64_t page = (uint64_t)1 << ctrl->page_shift;
	via_le64 entries[NVME_MAX_SEGS];

	if (list & 7)
		return NVME_SC_PRP_OFFSET;
	for (;;) {
		/* What is still needed, and what this page of the list can hold. */
		size_t wanted = (size_t)((left + page - 1) >> ctrl->page_shift);
		size_t room = (size_t)((page - (list & (page - 1))) / sizeof(*entries));
		size_t n = wanted < room ? wanted : room, i;
		bool chained = wanted > room;

		if (via_dma_read(ctrl->dma, list, entries, n * sizeof(*entries)) < 0)
			return NVME_SC_DATA_TRANSFER;
		for (i = 0; i < n - chained; i++) {
			uint64_t addr = via_le64_to_cpu(entries[i]);
			uint64_t len = left < page ? left : page;

			if (addr & (page - 1))
				return NVME_SC_PRP_OFFSET | NVME_SC_DNR;
			add_seg(req, addr, len);
			left -= len;
		}
		if (!chained)
			return NVME_SC_SUCCESS;
		list = via_le64_to_cpu(entries[n - 1]);
		if (list & (page - 1))
			return NVME_SC_PRP_OFFSET | NVME_SC_DNR;
	}
}

uint16_t via_nvme_map_prps(struct via_nvme *ctrl, struct via_nvme_request *req, uint64_t len)
{
	uint64_t page = (uint64_t)1 << ctrl->page_shift;
	uint64_t first = page - (req->cmd.prp1 & (page - 1));

	/* At most NVME_MAX_SEGS pieces then, whatever the page size. */
	if (len > NVME_MAX_TRANSFER)
		return NVME_SC_INVALID_FIELD | NVME_SC_DNR;
	if (req->cmd.prp1 & 3)
		return NVME_SC_PRP_OFFSET | NVME_SC_DNR;
	req->len = len;
	req->n_segs = 0;
	if (len <= first) {
		add_seg(req, req->cmd.prp1, len);
		return NVME_SC_SUCCESS;
	}
	add_seg(req, req->cmd.prp1, first);
	len -= first;
	if (len > page)
		return walk_list(ctrl, req, req->cmd.prp2, len);
	if (req->cmd.prp2 & (page - 1))
		return NVME_SC_PRP_OFFSET | NVME_SC_DNR;
	add_seg(req, req->cmd.prp2, len);
	return NVME_SC_SUCCESS;
}

uint16_t via_nvme_data_out(struct via_nvme *ctrl, struct via_nvme_request *req, const void *data,
			   size_t len)
{
	uint16_t status = via_nvme_map_prps(ctrl, req, len);

	if (status)
		return status;
	if (via_dma_writev(ctrl->dma, req->segs, req->n_segs, data) < 0)
		return NVME_SC_DATA_TRANSFER;
	return NVME_SC_SUCCESS;
}
