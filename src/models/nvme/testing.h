/* SPDX-License-Identifier: MIT */
/*
 * A driver for the tests: it finds the controller as a program would find it
 * through VFIO (config space, mapped registers and doorbells, an IOAS), but
 * in process. Each step takes the device's lock once, which is what orders the
 * memory that driver and device share for ThreadSanitizer.
 */
#ifndef VIA_MODELS_NVME_TESTING_H
#define VIA_MODELS_NVME_TESTING_H

#include "device/device.h"
#include "models/nvme/regs.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define HOST_IOVA 0x10000000ull
#define HOST_MEMORY ((size_t)16 << 20)
#define HOST_QUEUES 65
#define HOST_PAGE 4096u

struct host_queue {
	uint32_t size;	 /* of both queues */
	uint64_t sq, cq; /* offsets in memory */
	uint32_t sq_tail, cq_head;
	bool phase;
};

struct host {
	char image[64];
	struct via_device *dev;
	struct via_ioas *ioas;
	struct via_space *space;
	uint8_t *memory;     /* what the device sees from HOST_IOVA on */
	uint64_t used;	     /* of memory */
	uint32_t *doorbells; /* mapped */
	uint16_t cid;
	struct host_queue queues[HOST_QUEUES];
};

enum {
	HOST_COPY_ONLY = 1, /* memory that the device cannot lease */
};

/* An image of @size bytes of known content; the options follow "image=...". */
void host_make_image(struct host *host, uint64_t size);
/* Byte @at of the image as made. */
uint8_t host_image_byte(uint64_t at);
/* Make, open and attach the device; registers are as after a reset. */
void host_open(struct host *host, const char *options, unsigned int flags);
void host_close(struct host *host);
/* Try to make a second device of the image. */
int host_create(const struct host *host, const char *options, struct via_error *err,
		struct via_device **ret_device);

/* Page-aligned memory that the device can reach; never given back. */
uint64_t host_alloc(struct host *host, size_t len);
static inline uint64_t host_iova(uint64_t offset)
{
	return HOST_IOVA + offset;
}

uint32_t host_read32(struct host *host, uint64_t reg);
uint64_t host_read64(struct host *host, uint64_t reg);
void host_write32(struct host *host, uint64_t reg, uint32_t value);
void host_write64(struct host *host, uint64_t reg, uint64_t value);

/* Admin queue of 64 entries, CC.EN, wait for CSTS.RDY. */
void host_enable(struct host *host);
/* Make the queue pair @qid, interrupts on vector @qid. */
void host_create_queues(struct host *host, uint16_t qid, uint32_t size);

/* Queue a command (a cid is chosen unless the entry has one), without doorbell. */
uint16_t host_push(struct host *host, uint16_t qid, struct nvme_sqe sqe);
void host_ring(struct host *host, uint16_t qid);
/* Take the next completion; false after @ms milliseconds. */
bool host_poll(struct host *host, uint16_t qid, unsigned int ms, struct nvme_cqe *ret_cqe);
/* Status without phase, More and Do Not Retry. */
uint16_t host_status(const struct nvme_cqe *cqe);
/* Push, ring, wait; the test fails if nothing comes. */
uint16_t host_command(struct host *host, uint16_t qid, struct nvme_sqe sqe, uint32_t *ret_result);

/* PRP1, PRP2 and lists for @len bytes at @offset of memory. */
void host_set_prps(struct host *host, struct nvme_sqe *sqe, uint64_t offset, size_t len);
/* A read, write, compare of @n blocks with data at @offset. */
struct nvme_sqe host_rw(struct host *host, uint8_t opcode, uint64_t lba, uint32_t n,
			uint32_t block_size, uint64_t offset);

#endif
