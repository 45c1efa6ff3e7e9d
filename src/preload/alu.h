/* SPDX-License-Identifier: MIT */
/*
 * Integer operations with the flags that the processor gives. The processor
 * itself computes them, so there is no model of them to be wrong.
 */
#ifndef VIA_PRELOAD_ALU_H
#define VIA_PRELOAD_ALU_H

#include <stdbool.h>
#include <stdint.h>

enum via_alu {
	VIA_ALU_ADD,
	VIA_ALU_OR,
	VIA_ALU_ADC,
	VIA_ALU_SBB,
	VIA_ALU_AND,
	VIA_ALU_SUB,
	VIA_ALU_XOR,
	VIA_ALU_SHL,
	VIA_ALU_SHR,
	VIA_ALU_SAR,
	VIA_ALU_ROL,
	VIA_ALU_ROR,
	VIA_ALU_INC,
	VIA_ALU_DEC,
	VIA_ALU_NEG,
	VIA_ALU_IMUL, /* two operands; not for size 1 */
};

/* CF PF AF ZF SF OF */
#define VIA_FLAGS_STATUS 0x8d5ull

/*
 * a OP b in size bytes (1, 2, 4, 8); bits of the result above size are those
 * of a or zero and mean nothing. *flags is rflags before and after.
 */
uint64_t via_alu(enum via_alu op, unsigned int size, uint64_t a, uint64_t b, uint64_t *flags);

/* Condition code (the low 4 bits of Jcc, SETcc, CMOVcc) under these flags. */
bool via_alu_condition(uint64_t flags, unsigned int code);

#endif
