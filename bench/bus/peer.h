/* SPDX-License-Identifier: MIT */
/*
 * What is compared: a bus with devices of 4 KiB, one every 8 KiB, whose callback
 * is one store. Each peer is re-created from the published shape of what it is
 * named after: its lock, its ordered map, its way to keep a device alive.
 */
#ifndef VIA_BENCH_PEER_H
#define VIA_BENCH_PEER_H

#include "bench.h"

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#else
#include "goals.h"
#endif

#define STRIDE 0x2000u
#define DEVICE_LEN 0x1000u
#define N_ADDRESSES 16384u

/* A cache line, so that two threads in two devices have nothing in common. */
struct device {
	uint64_t value;
	uint64_t unused[7];
};

/*
 * What the same peer took on the machine of the goals (Xeon, family 6 model 207, of 2026-11-20),
 * in ns; 0 where there is no figure.
 */
struct peer_older {
	double hot; /* one device of 16,384 */
	double random_4, random_64, random_1024, random_16384;
};

/**
 * struct peer - one way to find a device
 * @name: column text
 * @locked: may be changed while others dispatch
 * @n_max: devices beyond which it is not measured; 0: any number
 * @scan: every device is asked in turn, so fewer accesses make a round
 * @older: see struct peer_older
 * @create: an empty bus with room for @n devices
 * @add: one more, at a higher address than all before; looks for overlap as the original does
 * @run: CPU ns of each of @n_ops writes of 4 bytes at @addr[i modulo N_ADDRESSES]; all of them
 *	must reach a device, or none
 */
struct peer {
	const char *name;
	bool locked;
	unsigned int n_max;
	bool scan;
	struct peer_older older;
	void *(*create)(unsigned int n);
	void (*destroy)(void *bus);
	void (*add)(void *bus, uint64_t start, uint64_t len, struct device *device);
	double (*run)(void *bus, const uint64_t *addr, unsigned int n_ops, bool hit);
};

/* Every peer's dispatch is one function that its loop calls, as ours is. */
#define PEER_DISPATCH static __attribute__((noinline)) bool

#define PEER_RUN(name, dispatch)                                                          \
	static double name(void *bus, const uint64_t *addr, unsigned int n_ops, bool hit) \
	{                                                                                 \
		double start = bench_cpu_ns();                                            \
		unsigned int bad = 0;                                                     \
                                                                                          \
		for (unsigned int i = 0; i < n_ops; i++)                                  \
			bad |= dispatch(bus, addr[i % N_ADDRESSES], 4, i) != hit;         \
		if (bad) {                                                                \
			fprintf(stderr, "bench bus: an access missed, or hit\n");         \
			exit(1);                                                          \
		}                                                                         \
		return (bench_cpu_ns() - start) / n_ops;                                  \
	}

extern const struct peer peer_ours;
extern const struct peer peer_floor, peer_floor_section;
extern const struct peer peer_kernel, peer_kernel_cookie, peer_linear;
extern const struct peer peer_map;
extern const struct peer peer_crosvm, peer_crosvm_mutex;
extern const struct peer peer_cloud, peer_cloud_mutex;
extern const struct peer peer_vm_device, peer_vm_device_bare;
extern const struct peer peer_qemu; /* without libunicorn its create is NULL */

#ifdef __cplusplus
}
#endif

#endif
