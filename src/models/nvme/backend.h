/* SPDX-License-Identifier: MIT */
/*
 * The image behind a namespace: a regular file or a block device, and an
 * engine that moves bytes. Everything here runs under the device's lock,
 * except the worker threads of the thread engine, which see only the I/Os
 * that were handed to them.
 */
#ifndef VIA_MODELS_NVME_BACKEND_H
#define VIA_MODELS_NVME_BACKEND_H

#include <viaduct/base.h>

#include <sys/uio.h>

struct via_nvme_backend;

enum via_nvme_io_op {
	NVME_IO_READ,
	NVME_IO_WRITE,
	NVME_IO_FLUSH,
	NVME_IO_ZERO,	 /* reads as zeros afterwards */
	NVME_IO_DISCARD, /* as ZERO where the image can give space back, else nothing */
};

/**
 * struct via_nvme_io - one operation; the submitter's until submitted, and again once reaped
 * @op, @fua, @deallocate, @offset, @len: what to do; @deallocate: a ZERO should give space back
 * @iov, @n_iov: READ and WRITE: buffers of @len bytes in all; modified
 * @result: 0 or negative errno, once reaped
 */
struct via_nvme_io {
	enum via_nvme_io_op op;
	bool fua;
	bool deallocate;
	uint64_t offset;
	uint64_t len;
	struct iovec *iov;
	unsigned int n_iov;
	int result;
	/* The rest belongs to the backend and its engine. */
	struct via_nvme_io *next;
	int64_t raw;	      /* of the last step: bytes done or negative errno */
	int mode;	      /* fallocate() mode of this step */
	unsigned int attempt; /* ZERO: which way is being tried */
	bool writing_zeros;   /* ZERO: by writes of zero_iov */
	struct iovec zero_iov;
};

/* A list of I/Os, first in first out. */
struct via_nvme_io_list {
	struct via_nvme_io *head, **tail;
};

static inline void via_nvme_io_list_init(struct via_nvme_io_list *list)
{
	list->head = NULL;
	list->tail = &list->head;
}

static inline void via_nvme_io_list_add(struct via_nvme_io_list *list, struct via_nvme_io *io)
{
	io->next = NULL;
	*list->tail = io;
	list->tail = &io->next;
}

static inline struct via_nvme_io *via_nvme_io_list_pop(struct via_nvme_io_list *list)
{
	struct via_nvme_io *io = list->head;

	if (io) {
		list->head = io->next;
		if (!list->head)
			list->tail = &list->head;
	}
	return io;
}

/* How an engine does steps; each step reports bytes done or negative errno in io->raw. */
struct via_nvme_engine_ops {
	/* Queue one step; never fails, failures are results. */
	void (*submit)(void *engine, struct via_nvme_io *io);
	/* Hand what is queued to the kernel. May be NULL. */
	void (*kick)(void *engine);
	/* Append the steps that are done. Never blocks. */
	void (*reap)(void *engine, struct via_nvme_io_list *done);
	/* Block until a step is done; only called while some are in flight. */
	void (*wait)(void *engine);
	/* Nothing is in flight. */
	void (*free)(void *engine);
};

enum via_nvme_engine_kind { NVME_ENGINE_AUTO, NVME_ENGINE_URING, NVME_ENGINE_THREADS };

/**
 * struct via_nvme_backend_config - how to open an image
 * @image: path; kept only during the call
 * @block_size: 512 or 4096
 * @hold_writes: keep writes in memory until a flush (tests of durability)
 * @ignore_flush: answer flushes without doing them (proof that such tests can fail)
 */
struct via_nvme_backend_config {
	const char *image;
	uint32_t block_size;
	bool direct;
	bool readonly;
	bool hold_writes;
	bool ignore_flush;
	enum via_nvme_engine_kind engine;
	unsigned int depth; /* I/Os in flight at most */
};

int via_nvme_backend_open(const struct via_nvme_backend_config *config, struct via_error *err,
			  struct via_nvme_backend **ret_backend);
/* Waits for what is in flight (results are dropped) and unlocks the image. */
void via_nvme_backend_close(struct via_nvme_backend *backend);

uint64_t via_nvme_backend_size(const struct via_nvme_backend *backend);
/* Alignment that buffers must have; 1 when the page cache does the copying. */
size_t via_nvme_backend_alignment(const struct via_nvme_backend *backend);
/* The kernel alone touches the buffers: they may be leased memory of another process. */
bool via_nvme_backend_takes_leases(const struct via_nvme_backend *backend);
/*
 * The bytes of the image where they lie in the host's page cache, read-only, or
 * NULL when not all of them are there now. Only to be copied from by system
 * calls, which get an error where we would get a signal should the file shrink.
 */
const void *via_nvme_backend_cached(const struct via_nvme_backend *backend, uint64_t offset,
				    uint64_t len);
/* A descriptor that is readable when something may be reaped, or -1: reap after every kick. */
int via_nvme_backend_event_fd(const struct via_nvme_backend *backend);

void via_nvme_backend_submit(struct via_nvme_backend *backend, struct via_nvme_io *io);
void via_nvme_backend_kick(struct via_nvme_backend *backend);
/* A finished I/O, or NULL when there is none now. */
struct via_nvme_io *via_nvme_backend_reap(struct via_nvme_backend *backend);
/* A finished I/O, or NULL when none is in flight; blocks. */
struct via_nvme_io *via_nvme_backend_wait(struct via_nvme_backend *backend);

/* Engines; each gives its ops, its object and what event_fd() shall answer. */
struct via_nvme_engine {
	const struct via_nvme_engine_ops *ops;
	void *object;
	int event_fd;
};

int via_nvme_uring_new(int fd, unsigned int depth, struct via_nvme_engine *ret_engine);
int via_nvme_threads_new(int fd, struct via_nvme_engine *ret_engine);
int via_nvme_volatile_new(int fd, uint32_t block_size, struct via_nvme_engine *ret_engine);

/* One step by system calls that block: bytes done or negative errno. */
int64_t via_nvme_io_blocking(int fd, const struct via_nvme_io *io);

#endif
