/* SPDX-License-Identifier: MIT */
/* What the two halves of instruction emulation share: integers in decode.c, vectors in vector.c. */
#ifndef VIA_PRELOAD_JOB_H
#define VIA_PRELOAD_JOB_H

#include "preload/decode.h"

#include <Zydis/Zydis.h>

struct via_job {
	ucontext_t *uc;
	const struct via_emulate_ops *ops;
	void *cookie;
	struct via_emulate_fault *fault;
	ZydisDecodedInstruction insn;
	ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
	unsigned int n_ops; /* written in the instruction, without a mask register */
	uint64_t flags;
};

/* False for a form of address that is not memory. */
bool via_job_address(const struct via_job *j, const ZydisDecodedOperand *op, uint64_t *ret_addr);
/* len bytes in accesses of 8 and less; 0 or what the access gave. */
int via_job_load(struct via_job *j, uint64_t addr, unsigned int len, uint8_t *bytes);
int via_job_store(struct via_job *j, uint64_t addr, unsigned int len, const uint8_t *bytes);

/* A move between a vector register and memory: as via_emulate(). */
int via_job_vector(struct via_job *j);

#endif
