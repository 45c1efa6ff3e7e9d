/* SPDX-License-Identifier: MIT */
/*
 * QEMU's memory API, as libunicorn has it: a region of I/O memory for each
 * device, and writes through its address space. The library's own look at its
 * list of regions comes on top, and no big lock.
 */
#include "peer.h"

#ifdef BENCH_HAVE_UNICORN

#include <unicorn/unicorn.h>

static void device_write(uc_engine *uc, uint64_t offset, unsigned int size, uint64_t value,
			 void *opaque)
{
	((struct device *)opaque)->value = value;
}

static void *create(unsigned int n)
{
	uc_engine *uc;

	if (uc_open(UC_ARCH_X86, UC_MODE_64, &uc))
		bench_die("libunicorn does not open");
	return uc;
}

static void destroy(void *bus)
{
	(void)uc_close(bus);
}

static void add(void *bus, uint64_t start, uint64_t len, struct device *device)
{
	if (uc_mmio_map(bus, start, len, NULL, NULL, device_write, device))
		bench_die("libunicorn does not map a region");
}

static inline bool dispatch(void *bus, uint64_t addr, unsigned int size, uint64_t value)
{
	return uc_mem_write(bus, addr, &value, size) == UC_ERR_OK;
}

PEER_RUN(run, dispatch)

const struct peer peer_qemu = {
	.name = "QEMU's memory API (libunicorn), no lock",
	.n_max = 1024, /* of 4096 at most, and each takes milliseconds to add */
	.older = { 55.2, 57.5, 89.3, 187, 0 },
	.create = create,
	.destroy = destroy,
	.add = add,
	.run = run,
};

#else

const struct peer peer_qemu = { .name = "QEMU's memory API (libunicorn)" };

#endif
