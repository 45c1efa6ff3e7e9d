/* SPDX-License-Identifier: MIT */
/*
 * A program's calls on everything that has I/O address spaces: /dev/iommu with the
 * kernel's test commands, containers (type1, sPAPR, no-IOMMU, and those that iommufd
 * serves), groups, devices' own nodes, and the files that all of these give.
 * Memory runs out, and the program changes, where an input says so. Afterwards
 * nothing is left of it.
 */
#include "iommu-steps.h"

/* Behind one number: rows of the second table, and steps that came later. */
static void step_more(struct world *s, struct fuzz_input *in)
{
	uint8_t op = fuzz_u8(in);

	if (op < MORE_ROWS)
		step_call(s, in, &more_rows[op]);
	else
		step_own_dma(s, in);
}

static void step(struct world *s, struct fuzz_input *in)
{
	uint8_t op = fuzz_u8(in);

	/* Calls of the table at 0 and of the rest from the end, so that both can grow. */
	if (op < CALL_ROWS) {
		step_call(s, in, &call_rows[op]);
		return;
	}
	switch (0xff - op) {
	case 0:
	case 1:
		step_open(s, in);
		break;
	case 2:
		world_forget(s, fuzz_u8(in) % FD_FILES);
		break;
	case 3:
	case 4:
	case 5:
	case 6:
		step_transfer(s, in);
		break;
	case 7:
	case 8:
	case 9:
	case 10:
		step_device_dma(s, in);
		break;
	case 11:
	case 12:
		step_mmap(s, in);
		break;
	case 13:
		step_memory(in);
		break;
	case 14:
		step_program(s, in);
		break;
	case 15:
		step_file(s, in);
		break;
	case 16:
	case 17:
	case 18:
		step_any_call(s, in);
		break;
	case 19:
	case 20:
		step_stream(s, in);
		break;
	case 21:
		step_many(s, in);
		break;
	case 22:
		machine_look(s->vfio);
		break;
	case 23:
		step_more(s, in);
		break;
	default: /* the usual ones more often */
		step_call(s, in, &call_rows[op % CALL_ROWS]);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	uint8_t kind = fuzz_u8(&in);
	struct world s;
	unsigned int fds;

	if (kind & 0x20) {
		machine_build(&in);
		return 0;
	}
	program_begin();
	(void)machine_get(kind % KINDS);
	fds = fuzz_count_fds();
	world_init(&s, kind % KINDS);
	world_begin(&s, kind >> 3 & 3);
	for (int i = 0; i < FUZZ_STEPS && in.left; i++)
		step(&s, &in);
	world_deinit(&s);
	/* Everything has been given back. */
	program_check_paid_back(s.mm);
	FUZZ_CHECK(fuzz_count_fds() == fds);
	/* The next user is served; that takes its time. */
	if (size % 4 == 0) {
		world_init(&s, kind % KINDS);
		world_begin(&s, kind >> 3 & 3);
		world_deinit(&s);
	}
	return 0;
}
