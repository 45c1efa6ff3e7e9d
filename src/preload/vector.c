/* SPDX-License-Identifier: MIT */
#include "preload/job.h"
#include "preload/xstate.h"

#include <errno.h>
#include <string.h>

static bool vector_number(ZydisRegister reg, unsigned int *ret_n, unsigned int *ret_len)
{
	if (reg >= ZYDIS_REGISTER_XMM0 && reg <= ZYDIS_REGISTER_XMM31) {
		*ret_n = (unsigned int)reg - ZYDIS_REGISTER_XMM0;
		*ret_len = 16;
	} else if (reg >= ZYDIS_REGISTER_YMM0 && reg <= ZYDIS_REGISTER_YMM31) {
		*ret_n = (unsigned int)reg - ZYDIS_REGISTER_YMM0;
		*ret_len = 32;
	} else if (reg >= ZYDIS_REGISTER_ZMM0 && reg <= ZYDIS_REGISTER_ZMM31) {
		*ret_n = (unsigned int)reg - ZYDIS_REGISTER_ZMM0;
		*ret_len = 64;
	} else {
		return false;
	}
	return true;
}

static bool vex(const struct via_job *j)
{
	return j->insn.encoding == ZYDIS_INSTRUCTION_ENCODING_VEX ||
	       j->insn.encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX;
}

static void *fpstate(struct via_job *j)
{
	return j->uc->uc_mcontext.fpregs;
}

/* One register, one memory operand; a load of less than 16 bytes clears up to 16. */
static int do_vector_move(struct via_job *j)
{
	const ZydisDecodedOperand *reg, *mem;
	uint8_t bytes[64] = {0};
	unsigned int n, reg_len, len;
	bool is_load = j->op[1].type == ZYDIS_OPERAND_TYPE_MEMORY;
	uint64_t addr;
	int err;

	if (j->n_ops != 2)
		return -ENOSYS;
	reg = &j->op[is_load ? 0 : 1];
	mem = &j->op[is_load ? 1 : 0];
	len = mem->size / 8;
	if (mem->type != ZYDIS_OPERAND_TYPE_MEMORY || reg->type != ZYDIS_OPERAND_TYPE_REGISTER ||
	    len > sizeof(bytes) || !vector_number(reg->reg.value, &n, &reg_len) ||
	    !via_job_address(j, mem, &addr) || !via_xstate_get(fpstate(j), n, len, bytes))
		return -ENOSYS;
	if (!is_load)
		return via_job_store(j, addr, len, bytes);
	memset(bytes, 0, sizeof(bytes));
	err = via_job_load(j, addr, len, bytes);
	if (!err)
		via_xstate_set(fpstate(j), n, len < 16 ? 16 : len, bytes, vex(j));
	return err;
}

/* movlps, movhps and their kin: 8 bytes at first of the register, the rest from the other source.
 */
static int do_vector_half(struct via_job *j, unsigned int first)
{
	unsigned int n, len, source;
	uint8_t bytes[16];
	uint64_t addr;
	int err;

	if (j->op[0].type == ZYDIS_OPERAND_TYPE_MEMORY) {
		if (!vector_number(j->op[1].reg.value, &n, &len) ||
		    !via_job_address(j, &j->op[0], &addr) ||
		    !via_xstate_get(fpstate(j), n, sizeof(bytes), bytes))
			return -ENOSYS;
		return via_job_store(j, addr, 8, bytes + first);
	}
	source = j->n_ops > 2 ? 1 : 0;
	if (!vector_number(j->op[source].reg.value, &n, &len) ||
	    !via_xstate_get(fpstate(j), n, sizeof(bytes), bytes) ||
	    !vector_number(j->op[0].reg.value, &n, &len) ||
	    j->op[source + 1].type != ZYDIS_OPERAND_TYPE_MEMORY ||
	    !via_job_address(j, &j->op[source + 1], &addr))
		return -ENOSYS;
	err = via_job_load(j, addr, 8, bytes + first);
	if (!err)
		via_xstate_set(fpstate(j), n, sizeof(bytes), bytes, vex(j));
	return err;
}

static int do_broadcast(struct via_job *j)
{
	uint8_t bytes[64];
	unsigned int n, reg_len, len = j->op[1].size / 8;
	uint64_t addr;
	int err;

	if (j->n_ops != 2 || j->op[1].type != ZYDIS_OPERAND_TYPE_MEMORY ||
	    !vector_number(j->op[0].reg.value, &n, &reg_len) || !len || len > reg_len ||
	    !via_xstate_get(fpstate(j), n, reg_len, bytes) || !via_job_address(j, &j->op[1], &addr))
		return -ENOSYS;
	err = via_job_load(j, addr, len, bytes);
	if (err)
		return err;
	for (unsigned int i = len; i < reg_len; i++)
		bytes[i] = bytes[i - len];
	via_xstate_set(fpstate(j), n, reg_len, bytes, true);
	return 0;
}

int via_job_vector(struct via_job *j)
{
	if (j->insn.avx.mask.reg != ZYDIS_REGISTER_NONE &&
	    j->insn.avx.mask.reg != ZYDIS_REGISTER_K0)
		return -ENOSYS;

	switch (j->insn.mnemonic) {
	case ZYDIS_MNEMONIC_MOVAPS:
	case ZYDIS_MNEMONIC_MOVAPD:
	case ZYDIS_MNEMONIC_MOVUPS:
	case ZYDIS_MNEMONIC_MOVUPD:
	case ZYDIS_MNEMONIC_MOVDQA:
	case ZYDIS_MNEMONIC_MOVDQU:
	case ZYDIS_MNEMONIC_LDDQU:
	case ZYDIS_MNEMONIC_MOVNTDQ:
	case ZYDIS_MNEMONIC_MOVNTDQA:
	case ZYDIS_MNEMONIC_MOVNTPS:
	case ZYDIS_MNEMONIC_MOVNTPD:
	case ZYDIS_MNEMONIC_MOVSS:
	case ZYDIS_MNEMONIC_MOVSD:
	case ZYDIS_MNEMONIC_MOVD:
	case ZYDIS_MNEMONIC_MOVQ:
	case ZYDIS_MNEMONIC_VMOVAPS:
	case ZYDIS_MNEMONIC_VMOVAPD:
	case ZYDIS_MNEMONIC_VMOVUPS:
	case ZYDIS_MNEMONIC_VMOVUPD:
	case ZYDIS_MNEMONIC_VMOVDQA:
	case ZYDIS_MNEMONIC_VMOVDQA32:
	case ZYDIS_MNEMONIC_VMOVDQA64:
	case ZYDIS_MNEMONIC_VMOVDQU:
	case ZYDIS_MNEMONIC_VMOVDQU8:
	case ZYDIS_MNEMONIC_VMOVDQU16:
	case ZYDIS_MNEMONIC_VMOVDQU32:
	case ZYDIS_MNEMONIC_VMOVDQU64:
	case ZYDIS_MNEMONIC_VLDDQU:
	case ZYDIS_MNEMONIC_VMOVNTDQ:
	case ZYDIS_MNEMONIC_VMOVNTDQA:
	case ZYDIS_MNEMONIC_VMOVNTPS:
	case ZYDIS_MNEMONIC_VMOVNTPD:
	case ZYDIS_MNEMONIC_VMOVSS:
	case ZYDIS_MNEMONIC_VMOVSD:
	case ZYDIS_MNEMONIC_VMOVD:
	case ZYDIS_MNEMONIC_VMOVQ:
		return do_vector_move(j);
	case ZYDIS_MNEMONIC_MOVLPS:
	case ZYDIS_MNEMONIC_MOVLPD:
	case ZYDIS_MNEMONIC_VMOVLPS:
	case ZYDIS_MNEMONIC_VMOVLPD:
		return do_vector_half(j, 0);
	case ZYDIS_MNEMONIC_MOVHPS:
	case ZYDIS_MNEMONIC_MOVHPD:
	case ZYDIS_MNEMONIC_VMOVHPS:
	case ZYDIS_MNEMONIC_VMOVHPD:
		return do_vector_half(j, 8);
	case ZYDIS_MNEMONIC_VBROADCASTSS:
	case ZYDIS_MNEMONIC_VBROADCASTSD:
	case ZYDIS_MNEMONIC_VBROADCASTF128:
	case ZYDIS_MNEMONIC_VBROADCASTI128:
	case ZYDIS_MNEMONIC_VPBROADCASTB:
	case ZYDIS_MNEMONIC_VPBROADCASTW:
	case ZYDIS_MNEMONIC_VPBROADCASTD:
	case ZYDIS_MNEMONIC_VPBROADCASTQ:
		return do_broadcast(j);
	default:
		return -ENOSYS;
	}
}
