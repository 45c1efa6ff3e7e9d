/* SPDX-License-Identifier: MIT */
/*
 * What devices do by themselves, as a model's own thread does: lists of pieces,
 * leases that last, waits for memory whose address is suspended, and all of that
 * while the program goes on.
 */
#include "iommu-steps.h"
#include "no-memory.h"

#include "iommu/dma.h"

#include <viaduct/device.h>

#include <time.h>

#define SEGS 4u
#define LEASES 8u

/* A thread that has something under way: leases that it holds, or a list that it carries out. */
static struct late {
	pthread_t thread;
	bool runs; /* the fuzzer's own */
	struct via_dma *dma;
	struct via_dma_seg segs[SEGS];
	size_t n_segs;
	bool write;
	pthread_mutex_t lock; /* protects the rest */
	pthread_cond_t hurried;
	bool hurry;
	struct via_lease leases[LEASES];
	size_t n_leases;
} late = {.lock = PTHREAD_MUTEX_INITIALIZER, .hurried = PTHREAD_COND_INITIALIZER};

static uint8_t bytes[2][SEGS * 0x11000]; /* of the fuzzer's thread, and of the other one */

static void put_leases(void)
{
	while (late.n_leases)
		via_lease_put(&late.leases[--late.n_leases]);
}

/* Whoever waits for leases does not wait long, and asks for them first. */
static void *hold_leases(void *arg)
{
	struct timespec until;

	(void)clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += VADDR_WAIT_MS * 1000000L;
	until.tv_sec += until.tv_nsec / 1000000000L;
	until.tv_nsec %= 1000000000L;
	pthread_mutex_lock(&late.lock);
	while (!late.hurry && late.n_leases &&
	       !pthread_cond_timedwait(&late.hurried, &late.lock, &until))
		;
	put_leases();
	pthread_mutex_unlock(&late.lock);
	return arg;
}

static void *carry_out(void *arg)
{
	if (late.write)
		(void)via_dma_writev(late.dma, late.segs, late.n_segs, bytes[1]);
	else
		(void)via_dma_readv(late.dma, late.segs, late.n_segs, bytes[1]);
	return arg;
}

static void cancel(void *cookie)
{
	pthread_mutex_lock(&late.lock);
	put_leases();
	pthread_mutex_unlock(&late.lock);
}

void dma_listen(struct via_dma *dma)
{
	via_dma_set_cancel(dma, cancel, NULL);
}

void dma_settle(void)
{
	if (!late.runs)
		return;
	pthread_mutex_lock(&late.lock);
	late.hurry = true;
	pthread_cond_signal(&late.hurried);
	pthread_mutex_unlock(&late.lock);
	FUZZ_CHECK(!pthread_join(late.thread, NULL));
	late.runs = false;
}

static void start_late(void *(*fn)(void *arg))
{
	static const struct timespec moment = {.tv_nsec = 1000000};

	late.hurry = false;
	FUZZ_CHECK(!pthread_create(&late.thread, NULL, fn, NULL));
	late.runs = true;
	/* Let it come to where it waits. */
	(void)nanosleep(&moment, NULL);
}

static size_t take_segs(const struct world *s, struct fuzz_input *in, size_t n,
			struct via_dma_seg segs[SEGS])
{
	for (size_t i = 0; i < n; i++) {
		uint64_t len;

		/* Without an IOMMU they are addresses of this very process. */
		segs[i].iova = s->kind >= 6 ? take_address(in) : take_iova(in);
		len = take_length(in);
		segs[i].len = len < sizeof(bytes[0]) / SEGS ? len : sizeof(bytes[0]) / SEGS;
	}
	return n;
}

/* Many places, each written to. */
static void scatter(struct via_dma *dma, struct fuzz_input *in)
{
	uint8_t n = fuzz_u8(in), how = fuzz_u8(in);

	for (unsigned int i = 0; i < n; i++) {
		uint64_t iova = IOVA + (uint64_t)i * (how & 15) * ARENA_PAGE;

		(void)via_dma_write(dma, how & 0x10 ? iova << 15 : iova, bytes[0], 8);
	}
}

void step_own_dma(struct world *s, struct fuzz_input *in)
{
	uint8_t how = fuzz_u8(in);
	struct via_device *dev = via_vfio_device(s->vfio, how & 3);
	struct via_dma_seg segs[SEGS];
	bool write = how & 4;
	struct via_dma *dma;
	unsigned int fail;
	size_t n;
	int r = 0;

	if (!dev)
		return;
	dma = via_device_dma(dev);
	n = take_segs(s, in, how & 8 ? 1u + fuzz_u8(in) % SEGS : 1, segs);
	fail = how & 0x80 ? 1u + fuzz_u8(in) % 16 : 0;
	switch (how >> 4 & 7) {
	case 0:
	case 4:
		allocations_left = fail;
		r = write ? via_dma_writev(dma, segs, n, bytes[0])
			  : via_dma_readv(dma, segs, n, bytes[0]);
		break;
	case 1:
	case 5:
		allocations_left = fail;
		r = write ? via_dma_write(dma, segs[0].iova, bytes[0], segs[0].len)
			  : via_dma_read(dma, segs[0].iova, bytes[0], segs[0].len);
		break;
	case 2:
		dma_settle();
		r = via_dma_lease(dma, segs, n, write ? VIA_PROT_WRITE : VIA_PROT_READ, late.leases,
				  how & 8 ? LEASES : 1, &late.n_leases);
		if (!r)
			start_late(hold_leases);
		break;
	case 3:
		dma_settle();
		late.dma = dma;
		late.write = write;
		late.n_segs = n;
		memcpy(late.segs, segs, sizeof(segs));
		start_late(carry_out);
		break;
	case 6:
		allocations_left = fail;
		scatter(dma, in);
		break;
	default:
		dma_settle();
	}
	allocations_left = 0;
	FUZZ_CHECK(r <= 0 && r >= -4095);
}
