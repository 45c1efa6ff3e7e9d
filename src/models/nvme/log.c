/* SPDX-License-Identifier: MIT */
/* Get Log Page (NVM Express 1.4, section 5.14) and the error log behind it. */
#include "models/nvme/nvme.h"

#define RETAIN_EVENT (1u << 15)
#define ENTRY_LEN 64
#define MAX_LEN ((size_t)NVME_N_ERRORS * ENTRY_LEN)

/* Effects: supported; changes the content of logical blocks. */
#define SUPPORTED 1u
#define CHANGES_BLOCKS 3u

void via_nvme_log_error(struct via_nvme *ctrl, const struct via_nvme_request *req, uint16_t status)
{
	uint64_t count = ++ctrl->smart.errors;

	ctrl->errors[count % NVME_N_ERRORS] = (struct via_nvme_error_entry){
		.count = count,
		.sqid = req->sqid,
		.cid = req->cmd.cid,
		.status = status,
		.nsid = req->cmd.nsid,
		.lba = req->sqid ? (uint64_t)req->cmd.cdw11 << 32 | req->cmd.cdw10 : 0,
	};
}

/* Newest first. */
static size_t error_log(const struct via_nvme *ctrl, uint8_t *page)
{
	uint64_t count = ctrl->smart.errors;
	size_t i;

	for (i = 0; i < NVME_N_ERRORS && i < count; i++) {
		const struct via_nvme_error_entry *from =
			&ctrl->errors[(count - i) % NVME_N_ERRORS];
		uint8_t *to = page + i * ENTRY_LEN;

		via_put_le64(to, from->count);
		via_put_le16(to + 8, from->sqid);
		via_put_le16(to + 10, from->cid);
		via_put_le16(to + 12, (uint16_t)(from->status << 1));
		via_put_le16(to + 14, 0xffff); /* not about one field of the command */
		via_put_le64(to + 16, from->lba);
		via_put_le32(to + 24, from->nsid);
	}
	return MAX_LEN;
}

static size_t smart_log(const struct via_nvme *ctrl, uint8_t *page)
{
	const struct via_nvme_smart *smart = &ctrl->smart;

	if (NVME_TEMPERATURE >= ctrl->features.temperature_over ||
	    NVME_TEMPERATURE <= ctrl->features.temperature_under)
		page[0] |= NVME_WARNING_TEMPERATURE;
	via_put_le16(page + 1, NVME_TEMPERATURE);
	page[3] = 100; /* spare, per cent */
	page[4] = 10;  /* its threshold */
	/* In thousands of 512 bytes, rounded up. */
	via_put_le64(page + 32, (smart->read_blocks512 + 999) / 1000);
	via_put_le64(page + 48, (smart->written_blocks512 + 999) / 1000);
	via_put_le64(page + 64, smart->reads);
	via_put_le64(page + 80, smart->writes);
	via_put_le64(page + 112, smart->power_cycles);
	via_put_le64(page + 144, smart->unsafe_shutdowns);
	via_put_le64(page + 160, smart->media_errors);
	via_put_le64(page + 176, smart->errors);
	return 512;
}

static size_t firmware_log(const struct via_nvme *ctrl, uint8_t *page)
{
	page[0] = 1; /* slot 1 is active */
	memcpy(page + 8, ctrl->firmware, sizeof(ctrl->firmware));
	return 512;
}

static size_t effects_log(uint8_t *page)
{
	static const uint8_t admin[] = {
		NVME_ADMIN_DELETE_SQ,	NVME_ADMIN_CREATE_SQ,	 NVME_ADMIN_GET_LOG_PAGE,
		NVME_ADMIN_DELETE_CQ,	NVME_ADMIN_CREATE_CQ,	 NVME_ADMIN_IDENTIFY,
		NVME_ADMIN_ABORT,	NVME_ADMIN_SET_FEATURES, NVME_ADMIN_GET_FEATURES,
		NVME_ADMIN_ASYNC_EVENT,
	};
	static const uint8_t changing[] = {NVME_CMD_WRITE, NVME_CMD_WRITE_ZEROES, NVME_CMD_DSM};
	static const uint8_t reading[] = {NVME_CMD_FLUSH, NVME_CMD_READ, NVME_CMD_COMPARE};
	uint8_t *nvm = page + 1024;
	size_t i;

	for (i = 0; i < sizeof(admin); i++)
		via_put_le32(page + 4 * admin[i], SUPPORTED);
	for (i = 0; i < sizeof(changing); i++)
		via_put_le32(nvm + 4 * changing[i], CHANGES_BLOCKS);
	for (i = 0; i < sizeof(reading); i++)
		via_put_le32(nvm + 4 * reading[i], SUPPORTED);
	return 4096;
}

uint16_t via_nvme_get_log_page(struct via_nvme *ctrl, struct via_nvme_request *req)
{
	const struct via_nvme_cmd *cmd = &req->cmd;
	uint64_t wanted = (((uint64_t)(cmd->cdw11 & 0xffff) << 16 | cmd->cdw10 >> 16) + 1) * 4;
	uint64_t offset = (uint64_t)cmd->cdw13 << 32 | cmd->cdw12;
	uint8_t page[MAX_LEN] = {0};
	uint8_t log = (uint8_t)cmd->cdw10;
	uint16_t status;
	size_t len;

	switch (log) {
	case NVME_LOG_ERROR:
		len = error_log(ctrl, page);
		break;
	case NVME_LOG_SMART:
		len = smart_log(ctrl, page);
		break;
	case NVME_LOG_FIRMWARE:
		len = firmware_log(ctrl, page);
		break;
	case NVME_LOG_EFFECTS:
		len = effects_log(page);
		break;
	default:
		return NVME_SC_INVALID_LOG | NVME_SC_DNR;
	}
	if (offset > len || offset & 3 || wanted > NVME_MAX_TRANSFER)
		return NVME_SC_INVALID_FIELD | NVME_SC_DNR;
	/* What is asked for beyond the end of the log is not written. */
	len -= (size_t)offset;
	if (wanted < len)
		len = (size_t)wanted;
	status = len ? via_nvme_data_out(ctrl, req, page + offset, len) : NVME_SC_SUCCESS;
	if (!status && !(cmd->cdw10 & RETAIN_EVENT)) {
		if (log == NVME_LOG_ERROR)
			via_nvme_event_unmask(ctrl, NVME_EVENT_ERROR);
		else if (log == NVME_LOG_SMART)
			via_nvme_event_unmask(ctrl, NVME_EVENT_SMART);
	}
	return status;
}
