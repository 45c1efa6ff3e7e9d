/* SPDX-License-Identifier: MIT */
/*
 * An NVMe controller with one namespace.
 *
 * Everything runs under the device's lock: register accesses, doorbells and
 * completions. The guest is hostile: a submission queue entry, a PRP list or a
 * range list is copied once and then checked; a doorbell is loaded once.
 *
 * A command is a *request* from the moment that its entry is fetched until
 * its completion is posted, so that the number of requests bounds all the
 * memory that a guest can make us hold: when none is free, its submission
 * queue is not read on. Completions wait on their completion queue (`posts`)
 * until there is room and are written in one piece, with one interrupt.
 *
 *	doorbell, work -> via_nvme_run: scan doorbells -> fetch -> execute
 *		-> backend -> via_nvme_complete -> posts -> memory, interrupt
 */
#ifndef VIA_MODELS_NVME_NVME_H
#define VIA_MODELS_NVME_NVME_H

#include "models/nvme/backend.h"
#include "models/nvme/regs.h"

#include <viaduct/models.h>

#define NVME_MAX_IO_QUEUES 64u
#define NVME_N_QUEUES (NVME_MAX_IO_QUEUES + 1) /* number 0 is the admin queue */
#define NVME_MAX_ENTRIES 4096u		       /* of one queue */
#define NVME_VECTORS NVME_N_QUEUES

/* Pages that the host may choose: 4 KiB to 64 KiB. */
#define NVME_MIN_PAGE_SHIFT 12
#define NVME_MAX_PAGE_SHIFT 16
/* One command moves at most 2^MDTS smallest pages: 512 KiB, as QEMU's. */
#define NVME_MDTS 7u
#define NVME_MAX_TRANSFER ((size_t)1 << (NVME_MDTS + NVME_MIN_PAGE_SHIFT))
#define NVME_MAX_SEGS ((1u << NVME_MDTS) + 1)
/* Leases that cover a transfer may be more than its pieces where areas meet. */
#define NVME_MAX_LEASES (NVME_MAX_SEGS + 8)

#define NVME_N_IO_REQUESTS 256u
#define NVME_MAX_ASYNC_EVENTS 4u
#define NVME_N_ADMIN_REQUESTS 16u /* MAX_ASYNC_EVENTS of them may wait for ever */
#define NVME_N_ERRORS 64u
#define NVME_N_EVENTS 8u

/* The BAR: registers, doorbells, MSI-X table, pending bits, a page each. */
#define NVME_BAR_SIZE 0x4000u
#define NVME_BAR_DOORBELLS 0x1000u
#define NVME_BAR_MSIX_TABLE 0x2000u
#define NVME_BAR_MSIX_PBA 0x3000u

/* Bits for @work. */
#define NVME_WORK_BACKEND 1u /* the backend has finished something */
#define NVME_WORK_RUN 2u     /* there was more to do than one go allows */

/* A command; only the wanted fields of its entry, in host order. */
struct via_nvme_cmd {
	uint8_t opcode;
	uint8_t flags;
	uint16_t cid;
	uint32_t nsid;
	uint64_t prp1, prp2;
	uint32_t cdw10, cdw11, cdw12, cdw13;
};

struct via_nvme_request {
	struct via_nvme_io io;	       /* first: what the backend gives back is a request */
	struct via_nvme_request *next; /* in the free list or on posts */
	struct via_nvme_cmd cmd;
	uint16_t sqid;
	uint16_t status;
	uint32_t result;
	uint64_t len; /* bytes of the transfer */
	bool leased;  /* the backend works on guest memory, not on bounce */
	void *bounce; /* NVME_MAX_TRANSFER bytes, page aligned; NULL in admin requests */
	unsigned int n_ranges, range; /* Dataset Management: of the list in bounce */
	size_t n_segs, n_leases;
	struct via_dma_seg segs[NVME_MAX_SEGS];
	struct via_lease leases[NVME_MAX_LEASES];
	struct iovec iov[NVME_MAX_LEASES];
};

struct via_nvme_cq {
	bool exists;
	bool phase;
	bool interrupts;     /* IEN */
	bool masked_pending; /* a message waits for INTMC */
	uint16_t vector;
	uint32_t size, head, tail;
	uint64_t addr;
	unsigned int n_sqs;
	struct via_nvme_request *posts, **posts_tail; /* completions not yet written */
};

struct via_nvme_sq {
	bool exists;
	uint16_t cqid;
	uint32_t size, head, tail;
	uint64_t addr;
};

struct via_nvme_error_entry {
	uint64_t count;
	uint16_t sqid, cid, status;
	uint32_t nsid;
	uint64_t lba;
};

struct via_nvme_event {
	uint8_t type, info, log;
};

struct via_nvme_features {
	uint32_t arbitration, power, temperature_over, temperature_under, error_recovery;
	uint32_t write_cache, coalescing, atomicity, async_events;
	uint32_t vectors[NVME_VECTORS];
};

/* Counters of the SMART log. */
struct via_nvme_smart {
	uint64_t read_blocks512, written_blocks512;
	uint64_t reads, writes;
	uint64_t media_errors, errors;
	uint64_t power_cycles, unsafe_shutdowns;
};

struct via_nvme {
	struct via_device *dev;
	struct via_dma *dma;
	struct via_nvme_backend *backend;
	uint32_t *doorbells;	      /* shared with the guest; atomic loads and stores only */
	char serial[20], firmware[8]; /* padded with spaces */
	uint8_t nguid[16];
	unsigned int lba_shift;
	uint64_t n_blocks;
	bool readonly;
	unsigned int max_queues; /* I/O queue pairs */

	/* Registers */
	uint32_t cc, csts, aqa, intms;
	uint64_t asq, acq;

	/* What the registers have made of it */
	unsigned int page_shift;
	bool dropping;	      /* completions of I/O in flight go nowhere: reset */
	bool shut_down;	      /* after a shutdown notification nothing is processed */
	bool pin;	      /* INTx as we drive it */
	unsigned int top;     /* above the highest number of a queue since the reset */
	unsigned int next_sq; /* where the next round robin begins */
	struct via_nvme_sq sqs[NVME_N_QUEUES];
	struct via_nvme_cq cqs[NVME_N_QUEUES];
	uint32_t seen[2 * NVME_N_QUEUES]; /* doorbell values acted on */
	struct via_nvme_features features;

	/* Asynchronous events */
	struct via_nvme_request *aers[NVME_MAX_ASYNC_EVENTS];
	unsigned int n_aers;
	struct via_nvme_event events[NVME_N_EVENTS];
	unsigned int n_events;
	uint32_t masked_events; /* by type: reported, log not yet read */

	struct via_nvme_error_entry errors[NVME_N_ERRORS]; /* ring by count */
	struct via_nvme_smart smart;

	/* Requests */
	struct via_nvme_request *free_io, *free_admin;
	struct via_nvme_request *io_requests, *admin_requests; /* arrays */
	void *bounces;					       /* one mapping for all */
};

/* controller.c */
const struct via_device_desc *via_nvme_device_desc(void);
void via_nvme_fatal(struct via_nvme *ctrl, const char *why);
bool via_nvme_running(const struct via_nvme *ctrl);

/* queue.c: queues, doorbells, completions, interrupts */
void via_nvme_queues_reset(struct via_nvme *ctrl);
void via_nvme_sq_start(struct via_nvme *ctrl, uint16_t sqid, uint16_t cqid, uint64_t addr,
		       uint32_t size);
void via_nvme_cq_start(struct via_nvme *ctrl, uint16_t cqid, uint64_t addr, uint32_t size,
		       uint16_t vector, bool interrupts);
void via_nvme_sq_stop(struct via_nvme *ctrl, uint16_t sqid);
void via_nvme_cq_stop(struct via_nvme *ctrl, uint16_t cqid);
/* Scan doorbells and do what they ask. True when anything was new. */
bool via_nvme_run(struct via_nvme *ctrl);
/* The command is done: its completion goes to the queue's posts. */
void via_nvme_complete(struct via_nvme *ctrl, struct via_nvme_request *req, uint16_t status);
/* Write what is on posts as far as there is room, and interrupt. */
void via_nvme_post(struct via_nvme *ctrl);
void via_nvme_request_put(struct via_nvme *ctrl, struct via_nvme_request *req);
/* Wait until the backend is idle. */
void via_nvme_drain(struct via_nvme *ctrl);
void via_nvme_set_interrupt_mask(struct via_nvme *ctrl, uint32_t intms);

/* prp.c: 0 or a status; fills req->segs with req->len bytes */
uint16_t via_nvme_map_prps(struct via_nvme *ctrl, struct via_nvme_request *req, uint64_t len);
/* Data of an admin command to or from the host. */
uint16_t via_nvme_data_out(struct via_nvme *ctrl, struct via_nvme_request *req, const void *data,
			   size_t len);

/*
 * Executors. They end in via_nvme_complete(), now or later, or keep the
 * request (asynchronous events).
 */
void via_nvme_admin_execute(struct via_nvme *ctrl, struct via_nvme_request *req);
void via_nvme_io_execute(struct via_nvme *ctrl, struct via_nvme_request *req);
/* io.c: the backend has done req->io. */
void via_nvme_io_done(struct via_nvme *ctrl, struct via_nvme_request *req);
void via_nvme_io_release(struct via_nvme_request *req);

/* identify.c, features.c, log.c: return a status */
uint16_t via_nvme_identify(struct via_nvme *ctrl, struct via_nvme_request *req);
uint16_t via_nvme_get_features(struct via_nvme *ctrl, struct via_nvme_request *req);
uint16_t via_nvme_set_features(struct via_nvme *ctrl, struct via_nvme_request *req);
void via_nvme_features_reset(struct via_nvme *ctrl);
uint16_t via_nvme_get_log_page(struct via_nvme *ctrl, struct via_nvme_request *req);
void via_nvme_log_error(struct via_nvme *ctrl, const struct via_nvme_request *req, uint16_t status);
/* Composite temperature in kelvin, constant: nothing here gets warm. */
#define NVME_TEMPERATURE 310u

/* event.c */
void via_nvme_event_post(struct via_nvme *ctrl, uint8_t type, uint8_t info, uint8_t log);
/* The log of these events was read: they may be reported again. */
void via_nvme_event_unmask(struct via_nvme *ctrl, uint8_t type);
uint16_t via_nvme_event_request(struct via_nvme *ctrl, struct via_nvme_request *req);
bool via_nvme_event_abort(struct via_nvme *ctrl, uint16_t cid);
void via_nvme_events_reset(struct via_nvme *ctrl);

#endif
