/* SPDX-License-Identifier: MIT */
/*
 * What an input of the target iommufd is made of: steps, each of which takes its
 * numbers from the input, and what they share.
 */
#ifndef VIA_TESTS_FUZZ_IOMMU_STEPS_H
#define VIA_TESTS_FUZZ_IOMMU_STEPS_H

#include "iommu-world.h"

/* How long devices wait for memory whose address is suspended. */
#define VADDR_WAIT_MS 10

/* Fields of arguments. */
uint64_t take_id(struct world *s, struct fuzz_input *in, unsigned int kind);
uint64_t take_iova(struct fuzz_input *in);
uint64_t take_length(struct fuzz_input *in);
uint64_t take_address(struct fuzz_input *in);
uint64_t take_field(struct world *s, struct fuzz_input *in, const struct field *field);

/* Calls. */
void step_call(struct world *s, struct fuzz_input *in, const struct call_row *row);
void step_any_call(struct world *s, struct fuzz_input *in);
void step_many(struct world *s, struct fuzz_input *in);

/* Files. */
void step_open(struct world *s, struct fuzz_input *in);
void step_transfer(struct world *s, struct fuzz_input *in);
void step_stream(struct world *s, struct fuzz_input *in);
void step_device_dma(struct world *s, struct fuzz_input *in);
void step_mmap(struct world *s, struct fuzz_input *in);

/* What devices do by themselves. dma_settle(): it is over. */
void step_own_dma(struct world *s, struct fuzz_input *in);
void dma_settle(void);
/* They give leases back when they are asked to. */
void dma_listen(struct via_dma *dma);

/* Its memory as at the start of a program; and whether all that was locked for it is free again. */
void program_begin(void);
void program_check_paid_back(struct via_mm *mm);
/* A descriptor of memory of some kind. */
int program_memory(unsigned int kind);
void step_memory(struct fuzz_input *in);
void step_program(struct world *s, struct fuzz_input *in);
void step_file(struct world *s, struct fuzz_input *in);

/* The machine of a kind, made once; or one that is put together as the input says. */
struct via_vfio *machine_get(unsigned int kind);
void machine_build(struct fuzz_input *in);
/* What whoever shows it to people asks. */
void machine_look(struct via_vfio *vfio);

#endif
