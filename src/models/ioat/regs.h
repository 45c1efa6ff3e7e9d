/* SPDX-License-Identifier: MIT */
/* Registers and descriptors of Intel I/OAT version 3.2, by their documented names. */
#ifndef VIA_MODELS_IOAT_REGS_H
#define VIA_MODELS_IOAT_REGS_H

#include <viaduct/base.h>

/* The device's registers. */
enum {
	IOAT_CHANCNT = 0x00,	   /* 8 bits */
	IOAT_XFERCAP = 0x01,	   /* 8: log2 of the longest transfer of a descriptor */
	IOAT_GENCTRL = 0x02,	   /* 8 */
	IOAT_INTRCTRL = 0x03,	   /* 8 */
	IOAT_ATTNSTATUS = 0x04,	   /* 32: a bit for each channel */
	IOAT_CBVER = 0x08,	   /* 8: major version in the upper half, minor in the lower */
	IOAT_PERPORTOFFSET = 0x0a, /* 16: 0, there is none */
	IOAT_INTRDELAY = 0x0c,	   /* 16: bit 15 clear, interrupts do not coalesce */
	IOAT_CS_STATUS = 0x0e,	   /* 16: 0, nothing is degraded */
	IOAT_DMACAPABILITY = 0x10, /* 32 */
	IOAT_DCAOFFSET = 0x14,	   /* 16: 0, no Direct Cache Access */
	IOAT_CHANNELS = 0x80,	   /* channel n: from (n + 1) * 0x80 */
};

#define IOAT_GENCTRL_DEBUG_EN 0x01u

#define IOAT_INTRCTRL_MASTER_INT_EN 0x01u	/* cleared by each read */
#define IOAT_INTRCTRL_INT_STATUS 0x02u		/* something is in ATTNSTATUS */
#define IOAT_INTRCTRL_INT 0x04u			/* both of the above: the pin */
#define IOAT_INTRCTRL_MSIX_VECTOR_CONTROL 0x08u /* each channel has its own vector */

#define IOAT_CBVER_3_2 0x32u

/* The channel's registers, from IOAT_CHANNELS on. */
enum {
	IOAT_CHANCTRL = 0x00,	/* 16 bits */
	IOAT_DMA_COMP = 0x02,	/* 16 */
	IOAT_CHANCMD = 0x04,	/* 8 */
	IOAT_DMACOUNT = 0x06,	/* 16: descriptors of the chain that are valid, modulo 2^16 */
	IOAT_CHANSTS = 0x08,	/* 64 */
	IOAT_CHAINADDR = 0x10,	/* 64 */
	IOAT_CHANCMP = 0x18,	/* 64 */
	IOAT_CDAR = 0x20,	/* 64: the descriptor in work */
	IOAT_CHANERR = 0x28,	/* 32, write 1 to clear */
	IOAT_CHANERRMSK = 0x2c, /* 32 */
	IOAT_DCACTRL = 0x30,	/* 32: no Direct Cache Access to control */
};

#define IOAT_CHANCTRL_INT_DISABLE 0x0001u /* set with each interrupt; 1 clears it: "rearm" */
#define IOAT_CHANCTRL_ERR_COMPLETION_EN 0x0004u
#define IOAT_CHANCTRL_ANY_ERR_ABORT_EN 0x0008u
#define IOAT_CHANCTRL_ERR_INT_EN 0x0010u
#define IOAT_CHANCTRL_DESC_ADDR_SNOOP 0x0020u
#define IOAT_CHANCTRL_IN_USE 0x0100u /* a read sets it: whoever read 0 has the channel */
#define IOAT_CHANCTRL_WRITABLE                                              \
	(IOAT_CHANCTRL_ERR_COMPLETION_EN | IOAT_CHANCTRL_ANY_ERR_ABORT_EN | \
	 IOAT_CHANCTRL_ERR_INT_EN | IOAT_CHANCTRL_DESC_ADDR_SNOOP)

#define IOAT_DMA_COMP_V2 0x2u
#define IOAT_DMA_COMP_V3 0x4u

#define IOAT_CHANCMD_SUSPEND 0x04u
#define IOAT_CHANCMD_ABORT 0x08u
#define IOAT_CHANCMD_RESUME 0x10u
#define IOAT_CHANCMD_RESET 0x20u

/* CHANSTS: the address of the last descriptor that was completed, and a state. */
#define IOAT_CHANSTS_ADDR (~0x3full)
enum ioat_state {
	IOAT_ACTIVE = 0,
	IOAT_DONE = 1,
	IOAT_SUSPENDED = 2,
	IOAT_HALTED = 3,
};

#define IOAT_CHANCMP_ADDR (~0x7ull)

#define IOAT_CHANERR_SRC_ADDR 0x00001u /* no such address */
#define IOAT_CHANERR_DEST_ADDR 0x00002u
#define IOAT_CHANERR_NEXT_ADDR 0x00004u	 /* the next descriptor cannot be read */
#define IOAT_CHANERR_NEXT_ALIGN 0x00008u /* it is not on 64 bytes */
#define IOAT_CHANERR_CHAIN_ADDR 0x00010u /* the first cannot be read */
#define IOAT_CHANERR_CHANCMD 0x00020u
#define IOAT_CHANERR_READ_DATA 0x00100u	 /* the read of the source was refused */
#define IOAT_CHANERR_WRITE_DATA 0x00200u /* the write of the destination was refused */
#define IOAT_CHANERR_CONTROL 0x00400u	 /* of the descriptor */
#define IOAT_CHANERR_LENGTH 0x00800u
#define IOAT_CHANERR_COMPLETION 0x01000u /* the completion cannot be written */

#define IOAT_CHANERR_ALL 0x7ffffu	 /* the last is 18, a wrong DMACOUNT */

/* In config space. */
#define IOAT_PCI_DMAUNCERRSTS 0x148u /* errors of the engine itself */
#define IOAT_PCI_CHANERR_INT 0x180u  /* the bits of CHANERR; write 1 to clear */
#define IOAT_PCI_CHANERRMSK_INT 0x184u

#define IOAT_DESC_ALIGN 64u

/* A descriptor as it lies in memory. */
struct ioat_desc {
	via_le32 size;
	via_le32 control;
	via_le64 src;
	via_le64 dst;
	via_le64 next;
	via_le64 reserved[2];
	via_le64 user[2]; /* the driver's own */
};

#define IOAT_DESC_INT_EN 0x0001u
#define IOAT_DESC_SRC_SNOOP_DIS 0x0002u
#define IOAT_DESC_DEST_SNOOP_DIS 0x0004u
#define IOAT_DESC_COMPL_WRITE 0x0008u
#define IOAT_DESC_FENCE 0x0010u
#define IOAT_DESC_NULL 0x0020u
#define IOAT_DESC_SRC_BRK 0x0040u /* page break: only with that capability */
#define IOAT_DESC_DEST_BRK 0x0080u
#define IOAT_DESC_BUNDLE 0x0100u
#define IOAT_DESC_DEST_DCA 0x0200u
#define IOAT_DESC_HINT 0x0400u
#define IOAT_DESC_OP(control) ((control) >> 24)
#define IOAT_OP_COPY 0x00u

#endif
