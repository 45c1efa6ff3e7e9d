/* SPDX-License-Identifier: MIT */
/*
 * Numbers of the NVM Express Base Specification, revision 1.4: registers
 * (section 3), opcodes and layouts (5 and 6), status codes (4.6.1.2).
 */
#ifndef VIA_MODELS_NVME_REGS_H
#define VIA_MODELS_NVME_REGS_H

#include <viaduct/base.h>

/* Controller registers, byte offsets in BAR 0. */
enum {
	NVME_REG_CAP = 0x00, /* 64 bits */
	NVME_REG_VS = 0x08,
	NVME_REG_INTMS = 0x0c,
	NVME_REG_INTMC = 0x10,
	NVME_REG_CC = 0x14,
	NVME_REG_CSTS = 0x1c,
	NVME_REG_AQA = 0x24,
	NVME_REG_ASQ = 0x28, /* 64 bits */
	NVME_REG_ACQ = 0x30, /* 64 bits */
};

#define NVME_VERSION 0x00010400u

#define NVME_CC_EN 0x1u
#define NVME_CC_CSS(cc) (((cc) >> 4) & 0x7)
#define NVME_CC_MPS(cc) (((cc) >> 7) & 0xf)
#define NVME_CC_AMS(cc) (((cc) >> 11) & 0x7)
#define NVME_CC_SHN(cc) (((cc) >> 14) & 0x3)
#define NVME_CC_IOSQES(cc) (((cc) >> 16) & 0xf)
#define NVME_CC_IOCQES(cc) (((cc) >> 20) & 0xf)
#define NVME_CC_WRITABLE 0x00fffff1u

#define NVME_CSTS_RDY 0x1u
#define NVME_CSTS_CFS 0x2u
#define NVME_CSTS_SHST_MASK 0xcu
#define NVME_CSTS_SHST_DONE 0x8u

enum {
	NVME_ADMIN_DELETE_SQ = 0x00,
	NVME_ADMIN_CREATE_SQ = 0x01,
	NVME_ADMIN_GET_LOG_PAGE = 0x02,
	NVME_ADMIN_DELETE_CQ = 0x04,
	NVME_ADMIN_CREATE_CQ = 0x05,
	NVME_ADMIN_IDENTIFY = 0x06,
	NVME_ADMIN_ABORT = 0x08,
	NVME_ADMIN_SET_FEATURES = 0x09,
	NVME_ADMIN_GET_FEATURES = 0x0a,
	NVME_ADMIN_ASYNC_EVENT = 0x0c,
};

enum {
	NVME_CMD_FLUSH = 0x00,
	NVME_CMD_WRITE = 0x01,
	NVME_CMD_READ = 0x02,
	NVME_CMD_COMPARE = 0x05,
	NVME_CMD_WRITE_ZEROES = 0x08,
	NVME_CMD_DSM = 0x09,
};

/* Command dword 12 of reads and writes. */
#define NVME_RW_FUA (1u << 30)
#define NVME_WZ_DEAC (1u << 25)
/* Command dword 11 of Dataset Management. */
#define NVME_DSM_DEALLOCATE (1u << 2)

/* Status: code type << 8 | code, and two flags, as in CQE dword 3 bits 31:17. */
enum {
	NVME_SC_SUCCESS = 0x000,
	NVME_SC_INVALID_OPCODE = 0x001,
	NVME_SC_INVALID_FIELD = 0x002,
	NVME_SC_DATA_TRANSFER = 0x004,
	NVME_SC_INTERNAL = 0x006,
	NVME_SC_ABORT_REQUESTED = 0x007,
	NVME_SC_INVALID_NS = 0x00b,
	NVME_SC_COMMAND_SEQUENCE = 0x00c,
	NVME_SC_PRP_OFFSET = 0x013,
	NVME_SC_WRITE_PROTECTED = 0x020,
	NVME_SC_LBA_RANGE = 0x080,
	NVME_SC_CAPACITY = 0x081,
	NVME_SC_CQ_INVALID = 0x100,
	NVME_SC_INVALID_QID = 0x101,
	NVME_SC_QUEUE_SIZE = 0x102,
	NVME_SC_AER_LIMIT = 0x105,
	NVME_SC_INVALID_VECTOR = 0x108,
	NVME_SC_INVALID_LOG = 0x109,
	NVME_SC_QUEUE_DELETION = 0x10c,
	NVME_SC_NOT_SAVEABLE = 0x10d,
	NVME_SC_NOT_CHANGEABLE = 0x10e,
	NVME_SC_WRITE_FAULT = 0x280,
	NVME_SC_READ_ERROR = 0x281,
	NVME_SC_COMPARE = 0x285,
	NVME_SC_MORE = 1 << 13,
	NVME_SC_DNR = 1 << 14,
	NVME_SC_MASK = 0x7ff,
};

enum {
	NVME_FEAT_ARBITRATION = 0x01,
	NVME_FEAT_POWER = 0x02,
	NVME_FEAT_TEMPERATURE = 0x04,
	NVME_FEAT_ERROR_RECOVERY = 0x05,
	NVME_FEAT_WRITE_CACHE = 0x06,
	NVME_FEAT_QUEUES = 0x07,
	NVME_FEAT_COALESCING = 0x08,
	NVME_FEAT_VECTOR = 0x09,
	NVME_FEAT_ATOMICITY = 0x0a,
	NVME_FEAT_ASYNC_EVENTS = 0x0b,
};

enum {
	NVME_LOG_ERROR = 0x01,
	NVME_LOG_SMART = 0x02,
	NVME_LOG_FIRMWARE = 0x03,
	NVME_LOG_EFFECTS = 0x05,
};

enum { NVME_EVENT_ERROR = 0, NVME_EVENT_SMART = 1 };
enum { NVME_EVENT_DOORBELL_REGISTER = 0, NVME_EVENT_DOORBELL_VALUE = 1 };
enum { NVME_EVENT_SMART_TEMPERATURE = 1 };
#define NVME_WARNING_TEMPERATURE 0x02

/* A submission queue entry. */
struct nvme_sqe {
	uint8_t opcode;
	uint8_t flags; /* 1:0 fused, 7:6 PRP or SGL */
	via_le16 cid;
	via_le32 nsid;
	via_le32 cdw2, cdw3;
	via_le64 mptr;
	via_le64 prp1, prp2;
	via_le32 cdw10, cdw11, cdw12, cdw13, cdw14, cdw15;
};
_Static_assert(sizeof(struct nvme_sqe) == 64, "submission queue entry");

/* A completion queue entry. */
struct nvme_cqe {
	via_le32 result;
	via_le32 reserved;
	via_le16 sq_head;
	via_le16 sq_id;
	via_le16 cid;
	via_le16 status; /* status << 1 | phase tag */
};
_Static_assert(sizeof(struct nvme_cqe) == 16, "completion queue entry");

/* One range of a Dataset Management command. */
struct nvme_dsm_range {
	via_le32 attributes;
	via_le32 n_blocks;
	via_le64 lba;
};
_Static_assert(sizeof(struct nvme_dsm_range) == 16, "dataset management range");

#endif
