/* SPDX-License-Identifier: MIT */
/*
 * Carrying out, in the place of the processor, one instruction that touched
 * memory it may not: its memory operands go through the caller's functions,
 * registers and flags of the signal frame change as if it had run.
 */
#ifndef VIA_PRELOAD_DECODE_H
#define VIA_PRELOAD_DECODE_H

#include <stdbool.h>
#include <stdint.h>
#include <ucontext.h>

/*
 * size is 1 to 8. Called for every operand of the instruction, also for those
 * that are ordinary memory (the other side of a string move). 0 or negative errno.
 */
struct via_emulate_ops {
	int (*read)(void *cookie, uint64_t addr, unsigned int size, uint64_t *ret_value);
	int (*write)(void *cookie, uint64_t addr, unsigned int size, uint64_t value);
};

struct via_emulate_fault {
	uint64_t addr; /* of the access that failed */
	bool write;
};

/*
 * Carry out the instruction at the frame's rip. Async-signal-safe.
 *
 * 0: done, rip is at the next instruction. -ENOSYS: not an instruction we
 * know, nothing happened. Any other negative errno is the one an access gave:
 * *ret_fault tells which, rip is still at the instruction, and a repeated
 * string instruction has the registers of its last complete step.
 */
int via_emulate(ucontext_t *uc, const struct via_emulate_ops *ops, void *cookie,
		struct via_emulate_fault *ret_fault);

#endif
