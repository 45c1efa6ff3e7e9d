/* SPDX-License-Identifier: MIT */
#include "preload/decode.h"

#include "preload/alu.h"
#include "preload/job.h"
#include "preload/sys.h"

#include <asm/prctl.h>
#include <errno.h>
#include <string.h>

/* Registers ------------------------------------------------------------------ */

static const uint8_t greg_of[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
				    REG_RSI, REG_RDI, REG_R8,  REG_R9,	REG_R10, REG_R11,
				    REG_R12, REG_R13, REG_R14, REG_R15};

enum { RAX = 0, RCX = 1, RDX = 2, RSP = 4, RSI = 6, RDI = 7 };

static uint64_t size_mask(unsigned int size)
{
	return size >= 8 ? ~0ull : (1ull << size * 8) - 1;
}

static uint64_t sign_extend(uint64_t v, unsigned int size)
{
	unsigned int shift = 64 - size * 8;

	return size >= 8 ? v : (uint64_t)((int64_t)(v << shift) >> shift);
}

static uint64_t gpr(const struct via_job *j, unsigned int n)
{
	return (uint64_t)j->uc->uc_mcontext.gregs[greg_of[n]];
}

/* Writing 4 bytes clears the upper half, 1 and 2 leave the rest. */
static void gpr_set(struct via_job *j, unsigned int n, unsigned int size, uint64_t v)
{
	uint64_t mask = size_mask(size);

	if (size < 4)
		v = (gpr(j, n) & ~mask) | (v & mask);
	j->uc->uc_mcontext.gregs[greg_of[n]] = (greg_t)(size == 4 ? v & mask : v);
}

/* Number and byte shift (AH to BH) of a general register; false for another kind. */
static bool gpr_number(ZydisRegister reg, unsigned int *ret_n, unsigned int *ret_shift)
{
	*ret_shift = 0;
	if (reg >= ZYDIS_REGISTER_AL && reg <= ZYDIS_REGISTER_R15B) {
		unsigned int i = (unsigned int)reg - ZYDIS_REGISTER_AL;

		/* Zydis lists AL CL DL BL, AH CH DH BH, SPL BPL SIL DIL, R8B... */
		*ret_shift = i >= 4 && i < 8 ? 8 : 0;
		*ret_n = i < 4 ? i : i - 4;
	} else if (reg >= ZYDIS_REGISTER_AX && reg <= ZYDIS_REGISTER_R15W) {
		*ret_n = (unsigned int)reg - ZYDIS_REGISTER_AX;
	} else if (reg >= ZYDIS_REGISTER_EAX && reg <= ZYDIS_REGISTER_R15D) {
		*ret_n = (unsigned int)reg - ZYDIS_REGISTER_EAX;
	} else if (reg >= ZYDIS_REGISTER_RAX && reg <= ZYDIS_REGISTER_R15) {
		*ret_n = (unsigned int)reg - ZYDIS_REGISTER_RAX;
	} else {
		return false;
	}
	return true;
}

/* Memory ----------------------------------------------------------------------- */

static uint64_t segment_base(ZydisRegister segment)
{
	uint64_t base = 0;

	if (segment == ZYDIS_REGISTER_FS)
		via_sys(SYS_arch_prctl, ARCH_GET_FS, &base);
	else if (segment == ZYDIS_REGISTER_GS)
		via_sys(SYS_arch_prctl, ARCH_GET_GS, &base);
	return base;
}

bool via_job_address(const struct via_job *j, const ZydisDecodedOperand *op, uint64_t *ret)
{
	uint64_t addr = op->mem.disp.has_displacement ? (uint64_t)op->mem.disp.value : 0;
	unsigned int n, shift;

	if (op->mem.type != ZYDIS_MEMOP_TYPE_MEM && op->mem.type != ZYDIS_MEMOP_TYPE_AGEN)
		return false;
	if (op->mem.base == ZYDIS_REGISTER_RIP || op->mem.base == ZYDIS_REGISTER_EIP) {
		addr += (uint64_t)j->uc->uc_mcontext.gregs[REG_RIP] + j->insn.length;
	} else if (op->mem.base != ZYDIS_REGISTER_NONE) {
		if (!gpr_number(op->mem.base, &n, &shift))
			return false;
		addr += gpr(j, n);
	}
	if (op->mem.index != ZYDIS_REGISTER_NONE) {
		if (!gpr_number(op->mem.index, &n, &shift))
			return false;
		addr += gpr(j, n) * op->mem.scale;
	}
	if (j->insn.address_width == 32)
		addr = (uint32_t)addr;
	*ret = addr + segment_base(op->mem.segment);
	return true;
}

static int load(struct via_job *j, uint64_t addr, unsigned int size, uint64_t *v)
{
	int err = j->ops->read(j->cookie, addr, size, v);

	if (err)
		*j->fault = (struct via_emulate_fault){addr, false};
	else
		*v &= size_mask(size);
	return err;
}

static int store(struct via_job *j, uint64_t addr, unsigned int size, uint64_t v)
{
	int err = j->ops->write(j->cookie, addr, size, v & size_mask(size));

	if (err)
		*j->fault = (struct via_emulate_fault){addr, true};
	return err;
}

int via_job_load(struct via_job *j, uint64_t addr, unsigned int len, uint8_t *bytes)
{
	for (unsigned int done = 0; done < len;) {
		unsigned int part = len - done < 8 ? len - done : 8;
		uint64_t v;
		int err = load(j, addr + done, part, &v);

		if (err)
			return err;
		memcpy(bytes + done, &v, part);
		done += part;
	}
	return 0;
}

int via_job_store(struct via_job *j, uint64_t addr, unsigned int len, const uint8_t *bytes)
{
	for (unsigned int done = 0; done < len;) {
		unsigned int part = len - done < 8 ? len - done : 8;
		uint64_t v = 0;
		int err;

		memcpy(&v, bytes + done, part);
		err = store(j, addr + done, part, v);
		if (err)
			return err;
		done += part;
	}
	return 0;
}

/* Operands ----------------------------------------------------------------------- */

/* Any operand of 1 to 8 bytes as a value. */
static int get(struct via_job *j, const ZydisDecodedOperand *op, uint64_t *v)
{
	unsigned int n, shift, size = op->size / 8;
	uint64_t addr;

	switch (op->type) {
	case ZYDIS_OPERAND_TYPE_IMMEDIATE:
		*v = op->imm.value.u;
		return 0;
	case ZYDIS_OPERAND_TYPE_REGISTER:
		if (!gpr_number(op->reg.value, &n, &shift))
			return -ENOSYS;
		*v = (gpr(j, n) >> shift) & size_mask(size);
		return 0;
	case ZYDIS_OPERAND_TYPE_MEMORY:
		if (size > 8 || !via_job_address(j, op, &addr))
			return -ENOSYS;
		return load(j, addr, size, v);
	default:
		return -ENOSYS;
	}
}

/* Whether put() can write to op at all: asked before a read with side effects. */
static bool can_put(const struct via_job *j, const ZydisDecodedOperand *op)
{
	unsigned int n, shift;
	uint64_t addr;

	if (op->type == ZYDIS_OPERAND_TYPE_REGISTER)
		return gpr_number(op->reg.value, &n, &shift);
	return op->type == ZYDIS_OPERAND_TYPE_MEMORY && op->size <= 64 &&
	       via_job_address(j, op, &addr);
}

static int put(struct via_job *j, const ZydisDecodedOperand *op, uint64_t v)
{
	unsigned int n, shift, size = op->size / 8;
	uint64_t addr;

	if (op->type == ZYDIS_OPERAND_TYPE_MEMORY) {
		if (!via_job_address(j, op, &addr))
			return -ENOSYS;
		return store(j, addr, size, v);
	}
	if (op->type != ZYDIS_OPERAND_TYPE_REGISTER || !gpr_number(op->reg.value, &n, &shift))
		return -ENOSYS;
	if (shift)
		gpr_set(j, n, 2, (gpr(j, n) & 0xff) | (v & 0xff) << 8);
	else
		gpr_set(j, n, size, v);
	return 0;
}

/* Instructions --------------------------------------------------------------------- */

static int do_move(struct via_job *j, bool extend_sign, bool swap)
{
	unsigned int from = j->op[1].size / 8, to = j->op[0].size / 8;
	uint64_t v;
	int err;

	if (!can_put(j, &j->op[0]))
		return -ENOSYS;
	err = get(j, &j->op[1], &v);
	if (err)
		return err;
	if (extend_sign)
		v = sign_extend(v, from);
	if (swap)
		v = __builtin_bswap64(v) >> (64 - to * 8);
	return put(j, &j->op[0], v);
}

/* dst = dst OP src; compare only: dst stays. */
static int do_binary(struct via_job *j, enum via_alu alu, bool compare)
{
	uint64_t a, b = 0, flags = j->flags;
	int err;

	if (!can_put(j, &j->op[0]))
		return -ENOSYS;
	err = get(j, &j->op[0], &a);
	if (!err && j->n_ops > 1)
		err = get(j, &j->op[1], &b);
	if (err)
		return err;
	a = via_alu(alu, j->op[0].size / 8, a, b, &flags);
	if (!compare)
		err = put(j, &j->op[0], a);
	if (!err)
		j->flags = flags;
	return err;
}

static int do_not(struct via_job *j)
{
	uint64_t v;
	int err = get(j, &j->op[0], &v);

	return err ? err : put(j, &j->op[0], ~v);
}

static int do_exchange(struct via_job *j, bool add)
{
	uint64_t a, b, flags = j->flags, sum;
	int err = get(j, &j->op[0], &a);

	if (!err)
		err = get(j, &j->op[1], &b);
	if (err)
		return err;
	sum = add ? via_alu(VIA_ALU_ADD, j->op[0].size / 8, a, b, &flags) : b;
	/* Memory first: it can fail, and then the register must be untouched. */
	if (j->op[1].type == ZYDIS_OPERAND_TYPE_MEMORY) {
		err = put(j, &j->op[1], a);
		return err ? err : put(j, &j->op[0], sum);
	}
	err = put(j, &j->op[0], sum);
	if (!err) {
		put(j, &j->op[1], a);
		j->flags = flags;
	}
	return err;
}

/* The write cycle happens in both outcomes, as on the processor. */
static int do_compare_exchange(struct via_job *j)
{
	unsigned int size = j->op[0].size / 8;
	uint64_t acc = gpr(j, RAX) & size_mask(size), old, src, flags = j->flags;
	int err = get(j, &j->op[0], &old);

	if (!err)
		err = get(j, &j->op[1], &src);
	if (err)
		return err;
	via_alu(VIA_ALU_SUB, size, acc, old, &flags);
	err = put(j, &j->op[0], old == acc ? src : old);
	if (err)
		return err;
	if (old != acc)
		gpr_set(j, RAX, size, old);
	j->flags = flags;
	return 0;
}

static int do_bit(struct via_job *j, ZydisMnemonic what)
{
	unsigned int size = j->op[0].size / 8, bits = size * 8;
	uint64_t addr, bit, v, mask;
	int err;

	if (j->op[0].type != ZYDIS_OPERAND_TYPE_MEMORY || !via_job_address(j, &j->op[0], &addr))
		return -ENOSYS;
	err = get(j, &j->op[1], &bit);
	if (err)
		return err;
	/* A register's bit number reaches beyond the operand, both ways. */
	if (j->op[1].type == ZYDIS_OPERAND_TYPE_REGISTER)
		addr += (uint64_t)(((int64_t)sign_extend(bit, size) >> (size == 2   ? 4
									: size == 4 ? 5
										    : 6)) *
				   (int64_t)size);
	err = load(j, addr, size, &v);
	if (err)
		return err;
	mask = 1ull << (bit & (bits - 1));
	j->flags = (j->flags & ~1ull) | !!(v & mask);
	if (what == ZYDIS_MNEMONIC_BT)
		return 0;
	if (what == ZYDIS_MNEMONIC_BTS)
		v |= mask;
	else if (what == ZYDIS_MNEMONIC_BTR)
		v &= ~mask;
	else
		v ^= mask;
	return store(j, addr, size, v);
}

static int do_multiply(struct via_job *j)
{
	uint64_t a, b, flags = j->flags;
	unsigned int size = j->op[0].size / 8;
	int err;

	/* The two- and three-operand forms; the flags do not know the order of the factors. */
	if (j->n_ops < 2 || size < 2 || !can_put(j, &j->op[0]))
		return -ENOSYS;
	err = get(j, &j->op[1], &a);
	if (!err)
		err = get(j, &j->op[j->n_ops > 2 ? 2 : 0], &b);
	if (err)
		return err;
	a = via_alu(VIA_ALU_IMUL, size, a, b, &flags);
	j->flags = flags;
	return put(j, &j->op[0], a);
}

static int do_conditional(struct via_job *j, bool set)
{
	bool yes = via_alu_condition(j->flags, j->insn.opcode);
	uint64_t v;
	int err;

	if (set)
		return put(j, &j->op[0], yes);
	if (!can_put(j, &j->op[0]))
		return -ENOSYS;
	err = get(j, &j->op[1], &v); /* read whatever the condition says */
	if (!err && !yes)
		err = get(j, &j->op[0], &v);
	return err ? err : put(j, &j->op[0], v);
}

static int do_push(struct via_job *j)
{
	unsigned int size = j->op[0].size / 8;
	uint64_t v;
	int err = get(j, &j->op[0], &v);

	if (!err)
		err = store(j, gpr(j, RSP) - size, size, v);
	if (!err)
		gpr_set(j, RSP, 8, gpr(j, RSP) - size);
	return err;
}

static int do_movdir64b(struct via_job *j)
{
	uint64_t from, to;
	uint8_t bytes[64];
	unsigned int n, shift;
	int err;

	if (j->op[0].type == ZYDIS_OPERAND_TYPE_MEMORY) {
		if (!via_job_address(j, &j->op[0], &to))
			return -ENOSYS;
	} else {
		if (!gpr_number(j->op[0].reg.value, &n, &shift))
			return -ENOSYS;
		to = gpr(j, n) & size_mask(j->insn.address_width / 8);
	}
	if (j->op[1].type != ZYDIS_OPERAND_TYPE_MEMORY || !via_job_address(j, &j->op[1], &from))
		return -ENOSYS;
	err = via_job_load(j, from, sizeof(bytes), bytes);
	return err ? err : via_job_store(j, to, sizeof(bytes), bytes);
}

/* String instructions, with their repeat prefix. */
static int do_string(struct via_job *j, char kind)
{
	unsigned int size = kind == 'l' ? j->op[1].size / 8 : j->op[0].size / 8;
	unsigned int width = j->insn.address_width / 8;
	uint64_t step = j->flags & 1 << 10 ? -(uint64_t)size : size, source_base;
	bool rep = j->insn.attributes &
		   (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE);
	uint64_t mask = size_mask(width);

	if (kind == 's')
		source_base = 0;
	else
		source_base = segment_base(j->op[1].mem.segment);
	while (!rep || (gpr(j, RCX) & mask)) {
		uint64_t v = gpr(j, RAX);
		int err = 0;

		if (kind != 's')
			err = load(j, (gpr(j, RSI) & mask) + source_base, size, &v);
		if (!err && kind != 'l')
			err = store(j, gpr(j, RDI) & mask, size, v);
		if (err)
			return err;
		if (kind == 'l')
			gpr_set(j, RAX, size, v);
		if (kind != 's')
			gpr_set(j, RSI, width, gpr(j, RSI) + step);
		if (kind != 'l')
			gpr_set(j, RDI, width, gpr(j, RDI) + step);
		if (!rep)
			break;
		gpr_set(j, RCX, width, gpr(j, RCX) - 1);
	}
	return 0;
}

/* Dispatch ------------------------------------------------------------------------------ */

static int integer(struct via_job *j)
{
	switch (j->insn.mnemonic) {
	case ZYDIS_MNEMONIC_MOV:
	case ZYDIS_MNEMONIC_MOVZX:
	case ZYDIS_MNEMONIC_MOVNTI:
	case ZYDIS_MNEMONIC_MOVDIRI:
		return do_move(j, false, false);
	case ZYDIS_MNEMONIC_MOVSX:
	case ZYDIS_MNEMONIC_MOVSXD:
		return do_move(j, true, false);
	case ZYDIS_MNEMONIC_MOVBE:
		return do_move(j, false, true);
	case ZYDIS_MNEMONIC_MOVDIR64B:
		return do_movdir64b(j);
	case ZYDIS_MNEMONIC_ADD:
		return do_binary(j, VIA_ALU_ADD, false);
	case ZYDIS_MNEMONIC_ADC:
		return do_binary(j, VIA_ALU_ADC, false);
	case ZYDIS_MNEMONIC_SUB:
		return do_binary(j, VIA_ALU_SUB, false);
	case ZYDIS_MNEMONIC_SBB:
		return do_binary(j, VIA_ALU_SBB, false);
	case ZYDIS_MNEMONIC_AND:
		return do_binary(j, VIA_ALU_AND, false);
	case ZYDIS_MNEMONIC_OR:
		return do_binary(j, VIA_ALU_OR, false);
	case ZYDIS_MNEMONIC_XOR:
		return do_binary(j, VIA_ALU_XOR, false);
	case ZYDIS_MNEMONIC_CMP:
		return do_binary(j, VIA_ALU_SUB, true);
	case ZYDIS_MNEMONIC_TEST:
		return do_binary(j, VIA_ALU_AND, true);
	case ZYDIS_MNEMONIC_SHL:
		return do_binary(j, VIA_ALU_SHL, false);
	case ZYDIS_MNEMONIC_SHR:
		return do_binary(j, VIA_ALU_SHR, false);
	case ZYDIS_MNEMONIC_SAR:
		return do_binary(j, VIA_ALU_SAR, false);
	case ZYDIS_MNEMONIC_ROL:
		return do_binary(j, VIA_ALU_ROL, false);
	case ZYDIS_MNEMONIC_ROR:
		return do_binary(j, VIA_ALU_ROR, false);
	case ZYDIS_MNEMONIC_INC:
		return do_binary(j, VIA_ALU_INC, false);
	case ZYDIS_MNEMONIC_DEC:
		return do_binary(j, VIA_ALU_DEC, false);
	case ZYDIS_MNEMONIC_NEG:
		return do_binary(j, VIA_ALU_NEG, false);
	case ZYDIS_MNEMONIC_NOT:
		return do_not(j);
	case ZYDIS_MNEMONIC_IMUL:
		return do_multiply(j);
	case ZYDIS_MNEMONIC_XCHG:
		return do_exchange(j, false);
	case ZYDIS_MNEMONIC_XADD:
		return do_exchange(j, true);
	case ZYDIS_MNEMONIC_CMPXCHG:
		return do_compare_exchange(j);
	case ZYDIS_MNEMONIC_BT:
	case ZYDIS_MNEMONIC_BTS:
	case ZYDIS_MNEMONIC_BTR:
	case ZYDIS_MNEMONIC_BTC:
		return do_bit(j, j->insn.mnemonic);
	case ZYDIS_MNEMONIC_PUSH:
		return do_push(j);
	case ZYDIS_MNEMONIC_CLFLUSH:
	case ZYDIS_MNEMONIC_CLFLUSHOPT:
	case ZYDIS_MNEMONIC_CLWB:
		return 0;
	case ZYDIS_MNEMONIC_MOVSB:
	case ZYDIS_MNEMONIC_MOVSW:
	case ZYDIS_MNEMONIC_MOVSQ:
		return do_string(j, 'm');
	case ZYDIS_MNEMONIC_STOSB:
	case ZYDIS_MNEMONIC_STOSW:
	case ZYDIS_MNEMONIC_STOSD:
	case ZYDIS_MNEMONIC_STOSQ:
		return do_string(j, 's');
	case ZYDIS_MNEMONIC_LODSB:
	case ZYDIS_MNEMONIC_LODSW:
	case ZYDIS_MNEMONIC_LODSD:
	case ZYDIS_MNEMONIC_LODSQ:
		return do_string(j, 'l');
	default:
		break;
	}
	if (j->insn.meta.category == ZYDIS_CATEGORY_CMOV)
		return do_conditional(j, false);
	if (j->insn.meta.category == ZYDIS_CATEGORY_SETCC)
		return do_conditional(j, true);
	return -ENOSYS;
}

/*
 * The instruction's bytes are executable and were just fetched; what lies
 * after its end may not be there, so a page is crossed only when needed.
 */
static bool decode(struct via_job *j, uint64_t rip)
{
	ZydisDecoder decoder;
	ZydisDecoderContext context;
	unsigned int to_page_end = (unsigned int)(4096 - (rip & 4095));
	unsigned int len = to_page_end < ZYDIS_MAX_INSTRUCTION_LENGTH
				   ? to_page_end
				   : ZYDIS_MAX_INSTRUCTION_LENGTH;
	ZyanStatus status;

	if (!ZYAN_SUCCESS(
		    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64)))
		return false;
	status =
		ZydisDecoderDecodeInstruction(&decoder, &context, (const void *)rip, len, &j->insn);
	if (status == ZYDIS_STATUS_NO_MORE_DATA && len < ZYDIS_MAX_INSTRUCTION_LENGTH)
		status = ZydisDecoderDecodeInstruction(&decoder, &context, (const void *)rip,
						       ZYDIS_MAX_INSTRUCTION_LENGTH, &j->insn);
	if (!ZYAN_SUCCESS(status) ||
	    !ZYAN_SUCCESS(ZydisDecoderDecodeOperands(&decoder, &context, &j->insn, j->op,
						     j->insn.operand_count)))
		return false;
	for (unsigned int i = 0; i < j->insn.operand_count_visible; i++)
		if (j->op[i].encoding != ZYDIS_OPERAND_ENCODING_MASK)
			j->op[j->n_ops++] = j->op[i];
	return true;
}

int via_emulate(ucontext_t *uc, const struct via_emulate_ops *ops, void *cookie,
		struct via_emulate_fault *ret_fault)
{
	struct via_job j = {.uc = uc, .ops = ops, .cookie = cookie, .fault = ret_fault};
	greg_t *gregs = uc->uc_mcontext.gregs;
	int err;

	j.flags = (uint64_t)gregs[REG_EFL];
	if (!decode(&j, (uint64_t)gregs[REG_RIP]))
		return -ENOSYS;
	if (j.insn.mnemonic == ZYDIS_MNEMONIC_MOVSD &&
	    j.insn.meta.category == ZYDIS_CATEGORY_STRINGOP)
		err = do_string(&j, 'm');
	else
		err = integer(&j);
	if (err == -ENOSYS)
		err = via_job_vector(&j);
	if (err)
		return err;
	gregs[REG_EFL] = (greg_t)j.flags;
	gregs[REG_RIP] += j.insn.length;
	return 0;
}
