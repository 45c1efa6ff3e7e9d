/* SPDX-License-Identifier: MIT */
#include "preload/alu.h"

#include <stdbool.h>

/*
 * bt puts the old carry into CF, for the operations that use or keep it; lahf
 * and seto collect the six status flags without touching the stack.
 */
#define OPERATE(text, modifier, a, b, carry, ax)                  \
	__asm__("btl $0, %k[cf]\n\t" text "\n\tlahf\n\tseto %%al" \
		: [a] "+r"(a), "=&a"(ax)                          \
		: [b] "c"(b), [cf] "r"(carry)                     \
		: "cc")

#define BINARY(name)                                                \
	switch (size) {                                             \
	case 1:                                                     \
		OPERATE(name "b %b[b], %b[a]", b, a, b, carry, ax); \
		break;                                              \
	case 2:                                                     \
		OPERATE(name "w %w[b], %w[a]", w, a, b, carry, ax); \
		break;                                              \
	case 4:                                                     \
		OPERATE(name "l %k[b], %k[a]", k, a, b, carry, ax); \
		break;                                              \
	default:                                                    \
		OPERATE(name "q %q[b], %q[a]", q, a, b, carry, ax); \
	}                                                           \
	break

#define UNARY(name)                                          \
	switch (size) {                                      \
	case 1:                                              \
		OPERATE(name "b %b[a]", b, a, b, carry, ax); \
		break;                                       \
	case 2:                                              \
		OPERATE(name "w %w[a]", w, a, b, carry, ax); \
		break;                                       \
	case 4:                                              \
		OPERATE(name "l %k[a]", k, a, b, carry, ax); \
		break;                                       \
	default:                                             \
		OPERATE(name "q %q[a]", q, a, b, carry, ax); \
	}                                                    \
	break

#define SHIFT(name)                                                \
	switch (size) {                                            \
	case 1:                                                    \
		OPERATE(name "b %%cl, %b[a]", b, a, b, carry, ax); \
		break;                                             \
	case 2:                                                    \
		OPERATE(name "w %%cl, %w[a]", w, a, b, carry, ax); \
		break;                                             \
	case 4:                                                    \
		OPERATE(name "l %%cl, %k[a]", k, a, b, carry, ax); \
		break;                                             \
	default:                                                   \
		OPERATE(name "q %%cl, %q[a]", q, a, b, carry, ax); \
	}                                                          \
	break

uint64_t via_alu(enum via_alu op, unsigned int size, uint64_t a, uint64_t b, uint64_t *flags)
{
	uint64_t carry = *flags & 1, ax = 0, changed = VIA_FLAGS_STATUS;
	bool rotate = op == VIA_ALU_ROL || op == VIA_ALU_ROR;

	/* A shift by nothing leaves the flags; a rotate only has CF and OF. */
	if ((op >= VIA_ALU_SHL && op <= VIA_ALU_ROR) && (b & (size == 8 ? 63 : 31)) == 0)
		return a;
	if (rotate)
		changed = 0x801;

	switch (op) {
	case VIA_ALU_ADD:
		BINARY("add");
	case VIA_ALU_OR:
		BINARY("or");
	case VIA_ALU_ADC:
		BINARY("adc");
	case VIA_ALU_SBB:
		BINARY("sbb");
	case VIA_ALU_AND:
		BINARY("and");
	case VIA_ALU_SUB:
		BINARY("sub");
	case VIA_ALU_XOR:
		BINARY("xor");
	case VIA_ALU_SHL:
		SHIFT("shl");
	case VIA_ALU_SHR:
		SHIFT("shr");
	case VIA_ALU_SAR:
		SHIFT("sar");
	case VIA_ALU_ROL:
		SHIFT("rol");
	case VIA_ALU_ROR:
		SHIFT("ror");
	case VIA_ALU_INC:
		UNARY("inc");
	case VIA_ALU_DEC:
		UNARY("dec");
	case VIA_ALU_NEG:
		UNARY("neg");
	case VIA_ALU_IMUL:
		switch (size) {
		case 2:
			OPERATE("imulw %w[b], %w[a]", w, a, b, carry, ax);
			break;
		case 4:
			OPERATE("imull %k[b], %k[a]", k, a, b, carry, ax);
			break;
		default:
			OPERATE("imulq %q[b], %q[a]", q, a, b, carry, ax);
		}
		break;
	}

	/* AH has SF ZF - AF - PF - CF in the places of rflags, AL is OF. */
	uint64_t now = (ax >> 8 & 0xd5) | (ax & 1) << 11;

	*flags = (*flags & ~changed) | (now & changed);
	return a;
}

bool via_alu_condition(uint64_t flags, unsigned int code)
{
	bool cf = flags & 1, pf = flags >> 2 & 1, zf = flags >> 6 & 1, sf = flags >> 7 & 1,
	     of = flags >> 11 & 1, yes;

	switch (code >> 1 & 7) {
	case 0:
		yes = of;
		break;
	case 1:
		yes = cf;
		break;
	case 2:
		yes = zf;
		break;
	case 3:
		yes = cf || zf;
		break;
	case 4:
		yes = sf;
		break;
	case 5:
		yes = pf;
		break;
	case 6:
		yes = sf != of;
		break;
	default:
		yes = zf || sf != of;
	}
	return yes != (code & 1);
}
